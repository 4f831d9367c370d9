"""Template words of the site: posters, stars, event ids and the small parts a card is made of.

A home page holds some thirty cards, so what every card repeats (addresses, hidden fields, ten radio
buttons) is put together here from parts that are made once, not by template nodes.
"""

import html
from collections.abc import Callable, Container, Iterable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlencode

from django import template
from django.conf import settings
from django.core.cache import cache
from django.core.paginator import Page
from django.template import Context
from django.template.loader import get_template
from django.urls import get_script_prefix, get_urlconf, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language, get_language_info, gettext

from movie.event_ids import new_event_id
from movie.model_info import model_label
from movie.models import Movie, TrainingRun
from movie.posters import poster_version
from movie.stars import SPOKEN_STARS, spoken_stars, stars

register = template.Library()
register.filter(stars)
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


@register.filter
def decade(year: int | None) -> str:
    """1995 -> "1990s", None -> ""."""
    return gettext("%(decade)ds") % {"decade": int(year) // 10 * 10} if year else ""


@register.simple_tag
def poster_url(movie: Movie) -> str:
    """The address of a film's poster: the configured image host's, else the drawn one's.

    The drawn poster's address carries the time the film's facts last changed, so browsers may keep
    it for good; no genres or directors are read for it.
    """
    if movie.poster_path and settings.POSTER_BASE_URL:
        return f"{settings.POSTER_BASE_URL.rstrip('/')}/{movie.poster_path.lstrip('/')}"
    return f"{movie_action('poster', movie.pk)}?v={poster_version(movie.updated)}"


# -- addresses --------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def _address_around_id(name: str, prefix: str, urlconf: str | None) -> tuple[str, str]:
    """What stands before and after the movie id in the address called ``name``."""
    before, _zero, after = reverse(name, kwargs={"movie_id": 0}, urlconf=urlconf).rpartition("0")
    return before, after


@register.simple_tag
def movie_action(name: str, movie_id: int) -> str:
    """``{% url name movie_id=movie_id %}`` without the search through all patterns on every card."""
    before, after = _address_around_id(name, get_script_prefix(), get_urlconf())
    return f"{before}{movie_id}{after}"


@register.simple_tag(takes_context=True)
def movie_link(context: Context, movie: Movie, surface: str = "", recommendation_id: str = "") -> SafeString:
    """The attributes of a link to a film that counts the click.

    Without JavaScript the browser follows ``href`` through the counting address; with it the script
    sends a beacon to ``data-click`` and opens ``data-href``. Both carry the same event id.
    """
    if STENCIL in context:
        return _blank("link")
    return mark_safe(_link_maker(surface, recommendation_id)(movie.pk))  # noqa: S308 - quoted


def _link_maker(surface: str, recommendation_id: str) -> Callable[[int], str]:
    """From a film's id to the attributes of a link to it; what all links of a list share is made once."""
    query = f"&amp;from={quote(surface)}" if surface else ""
    if recommendation_id:
        query += f"&amp;rec={quote(recommendation_id)}"
    prefix, urlconf = get_script_prefix(), get_urlconf()
    go, movie, click = (_address_around_id(name, prefix, urlconf) for name in ("go", "movie", "click"))

    def link(pk: int) -> str:
        return (
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
def interaction_fields(context: Context, surface: str = "", recommendation_id: str = "") -> SafeString:
    """The hidden fields of every form that records an interaction, with a new event id."""
    if STENCIL in context:
        return _blank("fields")
    return mark_safe(_shared_fields(context, surface, recommendation_id) + _event_field())  # noqa: S308 - escaped


def _shared_fields(context: Context, surface: str, recommendation_id: str) -> str:
    fields = {
        "csrfmiddlewaretoken": context.get("csrf_token") or "",
        "surface": surface or "",
        "recommendation_id": recommendation_id or "",
        "next": here(context),
    }
    return "".join(
        f'<input type="hidden" name="{name}" value="{html.escape(str(value))}">'
        for name, value in fields.items()
        if value and value != "NOTPROVIDED"
    )


def _event_field() -> str:
    return f'<input type="hidden" name="event_id" value="{new_event_id()}">'


@lru_cache(maxsize=256)
def _star_radios(checked: float | None, language: str) -> SafeString:
    parts = []
    for value in RATING_VALUES:
        mark = " checked" if value == checked else ""
        parts.append(
            f'<label class="{"whole" if value == int(value) else "half"}">'
            f'<input type="radio" name="value" value="{value:g}"{mark}>'
            f"<span>{html.escape(gettext(SPOKEN_STARS[value]))}</span></label>"
        )
    return mark_safe("".join(parts))  # noqa: S308 - built from constants and escaped translations


@register.simple_tag
def star_radios(rating: float | None = None) -> SafeString:
    """Ten native radio buttons, half a star to five, the visitor's rating checked."""
    return _star_radios(None if rating in (None, "") else float(rating), get_language() or "en")


# -- cards ------------------------------------------------------------------------------------
# Rendering a card's template takes some 0.7 ms. In a list the template is rendered once for each kind of
# card with blanks for what differs from film to film, and the blanks are filled in for every card.

STENCIL = "is_stencil"
_MARK = "\ue000"  # from Unicode's private use area: escaping leaves it alone


def _blank(name: str) -> SafeString:
    return mark_safe(f"{_MARK}{name}{_MARK}")  # noqa: S308 - a name of ours


class _BlankFilm:
    """Stands in for the film while a stencil is cut."""

    pk = _blank("pk")
    title = _blank("title")
    year: str | None = _blank("year")

    def __init__(self, *, has_year: bool) -> None:
        if not has_year:
            self.year = None


@lru_cache(maxsize=1024)
def _stencil(language: str, rating: float | None, kind: tuple[bool, ...]) -> tuple[str, ...]:
    """Text and names of blanks in turn. `language` is what the card's words are in."""
    has_year, has_reason, has_rank, in_watchlist, has_why = kind
    card = get_template("movie/_card.html").render(
        {
            STENCIL: True,
            "movie": _BlankFilm(has_year=has_year),
            "reason": _blank("reason") if has_reason else "",
            "rank": _blank("rank") if has_rank else None,
            "why": _blank("why") if has_why else "",
            "poster": _blank("poster"),
            "rating": rating,
            "in_watchlist": in_watchlist,
        }
    )
    return tuple(card.split(_MARK))


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
    """The cards of a list: what including ``movie/_card.html`` for each entry gives, much faster.

    An entry has `movie`, and may have `reason` and `rank`; `ratings` (dict) and `watchlist` (a set of
    ids) are the visitor's, from the page. `why` is the query that links to "Why?" get; without it there
    are none.
    """
    ratings, watchlist = context.get("ratings") or {}, context.get("watchlist") or ()
    language = get_language() or "en"
    shared = _shared_fields(context, surface, recommendation_id)
    link = _link_maker(surface, recommendation_id)
    printed: list[str] = []
    for entry in entries:
        movie: Movie = entry.movie
        reason = getattr(entry, "reason", "")
        rank = entry.rank if ranks else None
        kind = (bool(movie.year), bool(reason), bool(rank), movie.pk in watchlist, bool(why))
        words = {
            "pk": str(movie.pk),
            "title": html.escape(movie.title),
            "year": str(movie.year),
            "reason": html.escape(reason),
            "rank": str(rank),
            "why": html.escape(why),
            "poster": html.escape(poster_url(movie)),
            "link": link(movie.pk),
        }
        is_blank = False
        for part in _stencil(language, ratings.get(movie.pk), kind):
            if not is_blank:
                printed.append(part)
            elif part == "fields":
                printed.append(shared + _event_field())
            else:
                printed.append(words[part])
            is_blank = not is_blank
    return mark_safe("".join(printed))  # noqa: S308 - the template's own text and escaped words


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
