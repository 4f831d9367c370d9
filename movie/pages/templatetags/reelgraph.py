"""Template words of the site: posters, stars, event ids and the small parts a card is made of.

A home page holds some thirty cards: they are rendered by `pages.card_templates`, and what all cards of a list
share (addresses, hidden fields) is looked up once.
"""

import html
from collections.abc import Callable, Container, Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from django import template
from django.conf import settings
from django.core.cache import cache
from django.core.paginator import Page
from django.template import Context
from django.urls import get_script_prefix, get_urlconf, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language, get_language_info, gettext
from markupsafe import Markup

from movie.catalogue.formatting import SPOKEN_STARS, decade, spoken_stars, stars
from movie.catalogue.models import Movie
from movie.catalogue.posters.drawing import poster_version
from movie.core.ids import new_event_id
from movie.pages.card_templates import render
from movie.training.model_info import model_label
from movie.training.models import TrainingRun

register = template.Library()
register.filter(stars)
register.filter(decade)
register.filter(spoken_stars)
register.filter(model_label)

RATING_VALUES = tuple(half / 2 for half in range(1, 11))
SHOWN_OF_TRAINING = ("id", "model", "state", "progress", "message")
TRAINING_CACHE_SECONDS = 2  # one query for many pages; the banner may be this late


@register.simple_tag
def event_id() -> str:
    """A new event id (uuid7), made when the page is rendered, so that a POST sent twice counts once."""
    return new_event_id()


@register.filter
def get_item(mapping: Mapping | None, key: object) -> Any:
    """``mapping[key]``, or None: ``{{ ratings|get_item:movie.pk }}``."""
    return mapping.get(key) if mapping else None


@register.filter
def is_in(thing: object, things: Container | None) -> bool:
    """Whether a set has it; nothing has nothing: ``{{ movie.pk|is_in:watchlist }}``."""
    return bool(things) and thing in things  # type: ignore[operator]


@register.simple_tag
def poster_url(movie: Movie) -> str:
    """The address of a film's poster: the configured image host's, else the drawn one's.

    The drawn poster's address carries the time the film's facts last changed, so browsers may keep
    it for good; no genres or directors are read for it.
    """
    return _poster_maker(get_script_prefix(), get_urlconf())(movie)


# -- addresses --------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def _address_around_id(name: str, prefix: str, urlconf: str | None) -> tuple[str, str]:
    """What stands before and after the movie id in the address called ``name``."""
    before, _zero, after = reverse(f"pages:{name}", kwargs={"movie_id": 0}, urlconf=urlconf).rpartition("0")
    return before, after


@register.simple_tag
def movie_action(name: str, movie_id: int) -> str:
    """``{% url name movie_id=movie_id %}`` without the search through all patterns on every card."""
    before, after = _address_around_id(name, get_script_prefix(), get_urlconf())
    return f"{before}{movie_id}{after}"


@register.simple_tag
def movie_link(movie: Movie, surface: str = "", recommendation_id: str = "") -> Markup:
    """The attributes of a link to a film that counts the click.

    Without JavaScript the browser follows ``href`` through the counting address; with it the script
    sends a beacon to ``data-click`` and opens ``data-href``. Both carry the same event id.
    """
    return _link_maker(surface, recommendation_id)(movie.pk)


def _link_maker(surface: str, recommendation_id: str) -> Callable[[int], Markup]:
    """From a film's id to the attributes of a link to it; what all links of a list share is made once."""
    query = f"&amp;from={quote(surface)}" if surface else ""
    if recommendation_id:
        query += f"&amp;rec={quote(recommendation_id)}"
    prefix, urlconf = get_script_prefix(), get_urlconf()
    go, movie, click = (_address_around_id(name, prefix, urlconf) for name in ("go", "movie", "click"))

    def link(pk: int) -> Markup:
        return Markup(  # noqa: S704 - quoted
            f'href="{go[0]}{pk}{go[1]}?e={new_event_id()}{query}"'
            f' data-href="{movie[0]}{pk}{movie[1]}" data-click="{click[0]}{pk}{click[1]}"'
        )

    return link


@register.simple_tag
def shown_mark(ranked: Any, surface: str) -> SafeString:
    """For a list (RankedList) of an experiment the invisible picture that says it was shown, else nothing."""
    if not ranked.in_experiment or not ranked.entries:
        return mark_safe("")
    query = urlencode({"e": new_event_id(), "from": surface, "rec": ranked.recommendation_id})
    address = f"{movie_action('shown', ranked.entries[0].movie.pk)}?{query}"
    return format_html(
        '<img class="shown-mark" src="{}" width="1" height="1" alt="" loading="lazy">', address
    )


@register.simple_tag(takes_context=True)
def here(context: Context) -> str:
    """Where a form sends the visitor back to: this page, or the one that an htmx answer goes into."""
    if context.get("next"):
        return str(context["next"])
    request = context.get("request")
    if request is None:
        return ""
    if request.method == "POST":
        return request.POST.get("next", "")
    return request.get_full_path()


@register.simple_tag(takes_context=True)
def query_with(context: Context, **changes: Any) -> str:
    """This page's query string with some parameters changed; an empty value removes one."""
    request = context.get("request")
    query = request.GET.copy() if request is not None else None
    if query is None:
        return "?" + urlencode({name: value for name, value in changes.items() if value not in (None, "")})
    for name, value in changes.items():
        if value in (None, ""):
            query.pop(name, None)
        elif isinstance(value, (list, tuple)):
            query.setlist(name, [str(each) for each in value])
        else:
            query[name] = str(value)
    return "?" + query.urlencode()


@register.simple_tag
def elided_pages(page: Page) -> list[int | str]:
    """Page numbers for a pager, with gaps: [1, "…", 4, 5, 6, "…", 20]."""
    return list(page.paginator.get_elided_page_range(page.number, on_each_side=1, on_ends=1))


# -- forms ------------------------------------------------------------------------------------


@register.simple_tag(takes_context=True)
def interaction_fields(context: Context, surface: str = "", recommendation_id: str = "") -> Markup:
    """The hidden fields of every form that records an interaction, with a new event id."""
    return _fields_maker(context, surface, recommendation_id)()


def _fields_maker(context: Context, surface: str, recommendation_id: str) -> Callable[[], Markup]:
    """A function that makes the hidden fields of one form; what all forms of a list share is made once."""
    fields = {
        "csrfmiddlewaretoken": context.get("csrf_token") or "",
        "surface": surface or "",
        "recommendation_id": recommendation_id or "",
        "next": here(context),
    }
    shared = "".join(
        f'<input type="hidden" name="{name}" value="{html.escape(str(value))}">'
        for name, value in fields.items()
        if value and value != "NOTPROVIDED"
    )
    own = '<input type="hidden" name="event_id" value="{}">'
    return lambda: Markup(shared + own.format(new_event_id()))  # noqa: S704 - escaped


@lru_cache(maxsize=256)
def _star_radios(checked: float | None, language: str) -> Markup:
    parts = []
    for value in RATING_VALUES:
        mark = " checked" if value == checked else ""
        parts.append(
            f'<label class="{"whole" if value == int(value) else "half"}">'
            f'<input type="radio" name="value" value="{value:g}"{mark}>'
            f"<span>{html.escape(gettext(SPOKEN_STARS[value]))}</span></label>"
        )
    return Markup("".join(parts))  # noqa: S704 - built from constants and escaped translations


# -- cards ------------------------------------------------------------------------------------


class Card(NamedTuple):
    """What a card shows besides the words of its list."""

    movie: Movie
    rating: float | None
    in_watchlist: bool
    reason: str
    rank: int | str | None
    link: Markup
    poster: str
    dismiss: str  # addresses from here on
    watchlist: str
    why: str
    rate: str


@register.simple_tag(takes_context=True)
def cards(
    context: Context,
    entries: Iterable[Any],
    surface: str = "",
    recommendation_id: str = "",
    *,
    ranks: bool = False,
    why: str = "",
) -> SafeString:
    """The cards of a list, by ``pages/_cards.html``.

    An entry has `movie`, and may have `reason` and `rank`; `ratings` (dict) and `watchlist` (a set of
    ids) are the visitor's, from the page. `why` is the query that links to "Why?" get; without it there
    are none.
    """
    ratings, watchlist = context.get("ratings") or {}, context.get("watchlist") or ()
    link = _link_maker(surface, recommendation_id)
    place = get_script_prefix(), get_urlconf()
    poster = _poster_maker(*place)
    addresses = [_address_around_id(name, *place) for name in ("dismiss", "watchlist", "why", "rate")]
    made = []
    for entry in entries:
        movie: Movie = entry.movie
        pk = movie.pk
        made.append(
            Card(
                movie,
                ratings.get(pk),
                pk in watchlist,
                getattr(entry, "reason", ""),
                entry.rank if ranks else None,
                link(pk),
                poster(movie),
                *[f"{before}{pk}{after}" for before, after in addresses],
            )
        )
    fields = _fields_maker(context, surface, recommendation_id)
    return render("pages/_cards.html", {"cards": made, "why": why, **_rating_words(fields)})


@register.simple_tag(takes_context=True)
def rating_form(
    context: Context,
    movie: Movie,
    rating: float | None = None,
    surface: str = "",
    recommendation_id: str = "",
    *,
    large: bool = False,
    saved: bool = False,
    undone: bool = False,
) -> SafeString:
    """The form that rates a film, by ``pages/_rating_form.html``, as it is on a card."""
    words: dict[str, Any] = {
        "movie": movie,
        "rating": rating or None,
        "large": large,
        "saved": saved,
        "undone": undone,
    }
    words |= {"rate": movie_action("rate", movie.pk), "undo": movie_action("undo", movie.pk)}
    fields = _fields_maker(context, surface, recommendation_id)
    return render("pages/_rating_form.html", words | _rating_words(fields))


def _rating_words(hidden_fields: Callable[[], Markup]) -> dict[str, Any]:
    language = get_language() or "en"
    return {"hidden_fields": hidden_fields, "star_radios": lambda rating: _star_radios(rating, language)}


@lru_cache(maxsize=64)
def _poster_maker(prefix: str, urlconf: str | None) -> Callable[[Movie], str]:
    before, after = _address_around_id("poster", prefix, urlconf)

    def address(movie: Movie) -> str:
        if movie.poster_path and settings.POSTER_BASE_URL:
            return f"{settings.POSTER_BASE_URL.rstrip('/')}/{movie.poster_path.lstrip('/')}"
        return f"{before}{movie.pk}{after}?v={poster_version(movie.updated)}"

    return address


@register.simple_tag
def own_language_name(code: str) -> str:
    """A language in its own words: "ko" -> "한국어"."""
    return get_language_info(code)["name_local"]


# -- training ---------------------------------------------------------------------------------


@register.simple_tag
def running_trainings() -> list[TrainingRun]:
    """Models that are being trained now or wait for it; asked at most every two seconds."""
    rows = cache.get("running_trainings")
    if rows is None:
        rows = list(TrainingRun.objects.alive().order_by("pk").values(*SHOWN_OF_TRAINING))
        cache.set("running_trainings", rows, TRAINING_CACHE_SECONDS)
    return [TrainingRun(**row) for row in rows]
