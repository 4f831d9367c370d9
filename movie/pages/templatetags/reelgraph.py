"""Template tags and filters of the site: addresses, forms that record interactions, and cards of films.

A home page holds some thirty cards: `pages.jinja2` renders them, and the addresses and hidden fields that all
cards of a list share are looked up once.
"""

import html
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from django import template
from django.conf import settings
from django.core.paginator import Page
from django.template import Context
from django.urls import get_script_prefix, get_urlconf, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language, gettext, ngettext
from markupsafe import Markup

from movie.catalogue.formatting import SPOKEN_STARS, decade, halves, spoken_stars, stars
from movie.catalogue.models import HALF_STARS, Movie
from movie.catalogue.posters.share_card import can_draw_cards
from movie.catalogue.suggestions import Suggestions
from movie.catalogue.translations import load_local_titles
from movie.core.http import posted_next
from movie.core.ids import new_event_id
from movie.pages.browser_names import browser_name
from movie.pages.choices import shows_photographs
from movie.pages.jinja2 import card_environment
from movie.pages.poster_rows import motif_choices
from movie.training.model_info import model_label
from movie.training.registry import running_trainings

register = template.Library()
RESTORABLE = "restore:"  # before what is sealed in the tags of a message
register.filter(stars)
register.filter(halves)
register.filter(decade)
register.filter(spoken_stars)
register.filter(model_label)
register.filter(browser_name)

register.simple_tag(running_trainings)
register.filter(shows_photographs)


@register.simple_tag
def event_id() -> str:
    """Return a new event id (UUIDv7), so that a form sent twice counts once."""
    return new_event_id()


@register.filter
def get_item(mapping: Mapping | None, key: object) -> Any:
    """Return ``mapping[key]``, or None: ``{{ ratings|get_item:movie.pk }}``."""
    return mapping.get(key) if mapping else None


@register.filter
def translated_name(name: str) -> str:
    """Return the name of a genre, country or language in the visitor's language, if it has a translation."""
    return gettext(name) if name else ""


@register.filter
def sealed_events(extra_tags: str | None) -> str:
    """Return what a message about a deletion brings along for its Undo, else ""."""
    tags = extra_tags or ""
    return tags.removeprefix(RESTORABLE) if tags.startswith(RESTORABLE) else ""


@register.filter
def whole_percent(share: float) -> int:
    """Round a share to percent: 0.427 -> 43."""
    return round(100 * share)


@register.simple_tag(name="poster_url", takes_context=True)
def chosen_poster_url(context: Context, movie: Movie) -> str:
    """Return the address of a movie's poster, of the kind that the visitor chose."""
    return poster_url(movie, photographed=shows_photographs(context.get("request")))


def poster_url(movie: Movie, *, photographed: bool = False, choice: int = 0) -> str:
    """Return the address of a movie's poster: the photographed one where it is wanted and there, else the one
    at the configured image host, else the drawn one.

    `choice` is which of the motifs that suit the movie is drawn.
    The address of a drawn poster changes with the movie, that of a photographed one with the image, so
    browsers may keep both for good.
    """
    return _poster_maker(photographed=photographed)(movie, choice)


def _poster_maker(*, photographed: bool) -> Callable[[Movie, int], str]:
    """Return a function from a movie and its motif to an address; what the posters share is built once."""
    before, after = _address_around_id("poster", get_script_prefix(), get_urlconf())
    base_url = settings.POSTER_BASE_URL.rstrip("/")

    def poster(movie: Movie, choice: int) -> str:
        if photographed and movie.photograph:
            return f"{before}{movie.pk}/{movie.photograph}"
        if movie.poster_path and base_url:
            return f"{base_url}/{movie.poster_path.lstrip('/')}"
        chosen = f"&c={choice}" if choice else ""
        return f"{before}{movie.pk}{after}?v={movie.poster_version}{chosen}"

    return poster


@register.simple_tag(takes_context=True)
def share_card_url(context: Context, movie: Movie) -> str:
    """Return the whole address of a movie's card for other sites; nothing where none can be drawn."""
    if not can_draw_cards():
        return ""
    address = f"{movie_action('share_card', movie.pk)}?v={movie.poster_version}"
    return str(context["request"].build_absolute_uri(address))


# -- addresses --------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def _address_around_id(
    name: str, prefix: str, urlconf: str | None, argument: str = "movie_id"
) -> tuple[str, str]:
    """Return the text before and after the id, of a movie by default, in the address called ``name``."""
    before, _zero, after = reverse(f"pages:{name}", kwargs={argument: 0}, urlconf=urlconf).rpartition("0")
    return before, after


@register.simple_tag
def movie_action(name: str, movie_id: int) -> str:
    """Return ``{% url name movie_id=movie_id %}``, without searching all patterns for every card."""
    before, after = _address_around_id(name, get_script_prefix(), get_urlconf())
    return f"{before}{movie_id}{after}"


@register.simple_tag
def movie_link(movie: Movie, surface: str = "", recommendation_id: str = "", why: str = "") -> Markup:
    """Return the attributes of a link to a movie that counts the click.

    Without JavaScript the browser follows ``href`` through the counting address; with it the script
    sends a beacon to ``data-click`` and opens ``data-href``. Both carry the same event id. With `why`, the
    query of the list's "Why?" links, the movie's page gives the reason that it has in that list.
    """
    return _link_maker(surface, recommendation_id, why)(movie.pk)


def _link_maker(surface: str, recommendation_id: str, why: str = "") -> Callable[[int], Markup]:
    """Return a function from a movie's id to the attributes of a link; what the links share is built once."""
    query = f"&amp;from={quote(surface)}" if surface else ""
    if recommendation_id:
        query += f"&amp;rec={quote(recommendation_id)}"
    in_list = html.escape(why)
    if in_list:
        query, in_list = f"{query}&amp;{in_list}", f"?{in_list}"
    prefix, urlconf = get_script_prefix(), get_urlconf()
    go, movie, click = (_address_around_id(name, prefix, urlconf) for name in ("go", "movie", "click"))

    def link(pk: int) -> Markup:
        return Markup(  # noqa: S704 - quoted
            f'href="{go[0]}{pk}{go[1]}?e={new_event_id()}{query}"'
            f' data-href="{movie[0]}{pk}{movie[1]}{in_list}" data-click="{click[0]}{pk}{click[1]}"'
        )

    return link


@register.simple_tag
def impression_pixel(ranked: Any, surface: str) -> SafeString:
    """Return the invisible image that records an impression of an experiment's list (RankedList), else ""."""
    if not ranked.in_experiment or not ranked.entries:
        return mark_safe("")
    query = urlencode({"e": new_event_id(), "from": surface, "rec": ranked.recommendation_id})
    address = f"{movie_action('shown', ranked.entries[0].movie.pk)}?{query}"
    return format_html(
        '<img class="impression-pixel" src="{}" width="1" height="1" alt="" loading="lazy">', address
    )


@register.simple_tag(takes_context=True)
def current_path(context: Context) -> str:
    """Return the address a form leads back to: this page, or the page that an htmx answer goes into."""
    if context.get("next"):
        return str(context["next"])
    request = context.get("request")
    if request is None:
        return ""
    if request.method == "POST":
        return posted_next(request)
    return request.get_full_path()


@register.simple_tag(takes_context=True)
def query_with(context: Context, **changes: Any) -> str:
    """Return this page's query string with some parameters changed; an empty value removes one."""
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
    """Return page numbers for a pager, with gaps: [1, "…", 4, 5, 6, "…", 20]."""
    return list(page.paginator.get_elided_page_range(page.number, on_each_side=1, on_ends=1))


# -- forms ------------------------------------------------------------------------------------


@register.simple_tag(takes_context=True)
def interaction_fields(context: Context, surface: str = "", recommendation_id: str = "") -> Markup:
    """Return the hidden fields of a form that records an interaction, with a new event id."""
    own = Markup('<input type="hidden" name="event_id" value="{}">').format(new_event_id())
    return _shared_fields(context, surface, recommendation_id) + own


def _shared_fields(context: Context, surface: str, recommendation_id: str) -> Markup:
    """Return the hidden fields that are the same in all forms of a list; each form has its own event id."""
    fields = {
        "csrfmiddlewaretoken": context.get("csrf_token") or "",
        "surface": surface or "",
        "recommendation_id": recommendation_id or "",
        "next": current_path(context),
    }
    printed = ""
    for name, value in fields.items():
        if value and value != "NOTPROVIDED":
            printed += f'<input type="hidden" name="{name}" value="{html.escape(str(value))}">'
    return Markup(printed)  # noqa: S704 - escaped


@lru_cache(maxsize=256)
def _star_radios(language: str | None, checked: float | None) -> Markup:
    parts = []
    for value in HALF_STARS:
        mark = " checked" if value == checked else ""
        parts.append(
            f'<input type="radio" name="value" value="{value:g}"{mark}'
            f' class="{"whole" if value == int(value) else "half"}"'
            f' aria-label="{html.escape(gettext(SPOKEN_STARS[value]))}">'
        )
    return Markup("".join(parts))  # noqa: S704 - built from constants and escaped translations


# -- cards ------------------------------------------------------------------------------------


POSTERS_AT_ONCE = 2  # a phone shows two beside each other


class Card(NamedTuple):
    """The facts and addresses of one card; see ``jinja2/pages/_cards.html``."""

    movie: Movie
    rating: float | None
    star_radios: Markup
    in_watchlist: bool
    reason: str
    rank: int | str | None
    link: Markup
    poster: str  # addresses from here on
    dismiss: str
    watchlist: str
    why: str
    rate: str
    event_id: str  # of the form that dismisses or saves; the form that rates has one of its own
    rating_event_id: str
    motif: int = 0  # which choice of its poster; sent back, so that the answer draws the same
    undo: str = ""  # the address that takes back what was just done to the watchlist
    undo_event_id: str = ""


@register.simple_tag(takes_context=True)
def cards(
    context: Context,
    entries: Iterable[Any],
    surface: str = "",
    recommendation_id: str = "",
    *,
    ranks: bool = False,
    why: str = "",
    first: bool = False,
) -> SafeString:
    """Render the cards of a list by ``jinja2/pages/_cards.html``. `first` on the page, its first posters are
    fetched at once; all others when they come near the window.

    An entry has `movie`, and may have `reason` and `rank`; `ratings` (dict) and `watchlist` (a set of
    ids) are the visitor's, from the page. `why` is the query of the "Why?" links; without it there are none.
    """
    ratings, watchlist = context.get("ratings") or {}, context.get("watchlist") or ()
    link = _link_maker(surface, recommendation_id, why)
    site = get_script_prefix(), get_urlconf()
    dismiss, watch, explain, rate = (
        _address_around_id(name, *site) for name in ("dismiss", "watchlist", "why", "rate")
    )
    language = get_language()
    poster = _poster_maker(photographed=shows_photographs(context.get("request")))
    undoable = context.get("undoable")
    entries = list(entries)
    load_local_titles(entry.movie for entry in entries)
    made = []
    choices = motif_choices([entry.movie for entry in entries])
    for entry, free_choice in zip(entries, choices, strict=True):
        movie: Movie = entry.movie
        choice = getattr(entry, "motif", free_choice)
        pk = movie.pk
        rating = ratings.get(pk)
        made.append(
            Card(
                movie,
                rating,
                _star_radios(language, rating),
                pk in watchlist,
                getattr(entry, "reason", ""),
                entry.rank if ranks else None,
                link(pk),
                poster(movie, choice),
                f"{dismiss[0]}{pk}{dismiss[1]}",
                f"{watch[0]}{pk}{watch[1]}",
                f"{explain[0]}{pk}{explain[1]}",
                f"{rate[0]}{pk}{rate[1]}",
                new_event_id(),
                new_event_id(),
                choice,
                movie_action("undo", pk) if undoable else "",
                new_event_id() if undoable else "",
            )
        )
    content = (
        card_environment(language)
        .get_template("pages/_cards.html")
        .render(
            cards=made,
            why=why,
            n_at_once=POSTERS_AT_ONCE if first else 0,
            shared_fields=_shared_fields(context, surface, recommendation_id),
        )
    )
    return mark_safe(content)  # noqa: S308 - escaped there


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
    """Render the form that rates a movie by ``jinja2/pages/_rating_form.html``, as it is on a card."""
    language = get_language()
    content = (
        card_environment(language)
        .get_template("pages/_rating_form.html")
        .render(
            movie=movie,
            rating=rating or None,
            large=large,
            saved=saved,
            undone=undone,
            rate=movie_action("rate", movie.pk),
            undo=movie_action("undo", movie.pk),
            shared_fields=_shared_fields(context, surface, recommendation_id),
            event_id=new_event_id(),
            star_radios=_star_radios(language, rating or None),
        )
    )
    return mark_safe(content)  # noqa: S308 - escaped there


def render_suggestions(text: str, found: Suggestions, *, photographed: bool) -> SafeString:
    """Render the options of the search box by ``jinja2/pages/_suggestions.html``: every key asks for them."""
    prefix, urlconf = get_script_prefix(), get_urlconf()
    before, after = _address_around_id("go", prefix, urlconf)
    before_person, after_person = _address_around_id("person", prefix, urlconf, "person_id")
    poster = _poster_maker(photographed=photographed)
    movies = [
        (film, f"{before}{film.movie.pk}{after}?e={new_event_id()}&from=search", poster(film.movie, 0))
        for film in found.movies
    ]
    people = [
        (
            someone,
            f"{before_person}{someone.pk}{after_person}",
            ngettext("%(count)s film", "%(count)s films", n) % {"count": n},
        )
        for someone in found.people
        if (n := someone.n_movies)  # type: ignore[attr-defined]
    ]
    template = card_environment(get_language()).get_template("pages/_suggestions.html")
    content = template.render(text=text, movies=movies, people=people, search=reverse("pages:search"))
    return mark_safe(content)  # noqa: S308 - escaped there
