"""Home, recommendations, and the two choices that a visitor's browser remembers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from django.core.cache import cache
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from movie.catalogue.models import Genre, Movie
from movie.core.http import is_htmx, safe_next, see_other
from movie.events.trending import trending_ids
from movie.experiments.assignment import assign_arm
from movie.pages.choices import (
    MODEL_COOKIE,
    PHOTOGRAPHED,
    POSTERS_COOKIE,
    THEME_COOKIE,
    THEMES,
    cookie_options,
    forget_choice,
)
from movie.pages.dial import UNEXPECTED, DialStep, chosen_step, dial_steps, remember_step
from movie.pages.views.history_imports import ImportForm
from movie.recommendations.explanations.wording import because
from movie.recommendations.movie_index import movie_index
from movie.recommendations.ranked_list import RankedList, load_movies
from movie.recommendations.ranking import SPARE, answering_model, visitor_history
from movie.recommendations.ranking import recommend as rank
from movie.recommendations.similar import rank_similar
from movie.telemetry.requests import count_shown
from movie.training.model_info import MODEL_INFO, MOST_RATED, TRENDING, UNTRAINED
from movie.training.registry import model_choices, registry
from movie.visitors.throttling import limited_page
from movie.visitors.visitor import VisitorRequest
from predictors.history import History, Recommendation

MODEL_SALT = "movie.pages.views.pages.model"

FOR_YOU, LIKE_THIS, POPULAR, TO_RATE, RECOMMENDED, WATCH_NEXT = 12, 6, 12, 12, 24, 12
ROWS_AT_ONCE = 3  # the others of the home page follow as one scrolls
MOST_ROWS = 5  # of the home page: more are beyond 100 KB, and few scroll so far
FEWEST = 4  # a row with fewer films is not shown, except the first of a page
TASTE, NEXT = "for_you", "next_item"  # models that answer two questions, and say which
LIKE_THIS_ROWS = 2
LIKED_ENOUGH = 4.0  # stars of the films that rows of similar films are about, where there are such
FEW = 5  # with fewer films than this a visitor is offered well-known ones to rate
WELL_KNOWN, WELL_KNOWN_SECONDS = 160, 600
ENOUGH_TO_BEGIN = 2  # ratings after which a newcomer's own row slides in
GROUPS = 8


@dataclass(slots=True)
class Row:
    heading: str
    ranked: RankedList
    surface: str
    note: str = ""
    dial: Sequence[DialStep] = ()
    is_later: bool = False  # a script draws its cards when they come near, so that the page is light


@require_safe
def home(request: VisitorRequest) -> HttpResponse:
    """Show rows of cards with reasons; a guest without a history gets popular movies and some to rate."""
    history = visitor_history(request.visitor)
    rows: list[Row] = []
    shown: set[int] = set()
    for row in _home_rows(request, history, shown):
        if rows and len(row.ranked.films) < FEWEST:
            continue
        rows.append(row)
        shown.update(row.ranked.films)
        if len(rows) == MOST_ROWS:
            break  # the lists that would follow are not ranked
    seeded = [(row, int(row.ranked.seed_movie_id)) for row in rows if row.ranked.seed_movie_id is not None]
    movies = load_movies(*(row.ranked for row in rows), more=[movie_id for _row, movie_id in seeded])
    for row, movie_id in seeded:
        if movie_id in movies:
            row.heading = because(movies[movie_id].display_title, movie_id, history).text
    rows = [row for row in rows if row.heading and row.ranked.entries]
    for row in rows[ROWS_AT_ONCE:]:
        row.is_later = True
    count_shown([row.ranked for row in rows])
    context = {
        "rows": rows,
        "ratings": history.ratings,
        "watchlist": history.watchlist,
        "is_new_here": not history.liked,
    }
    if not history.liked:
        context |= _progress(history) | {"form": ImportForm(), "groups": _groups()}
    response = render(request, "pages/home.html", context)
    remember_step(request, response)
    return response


def _home_rows(request: VisitorRequest, history: History, shown: Collection[int]) -> Iterator[Row]:
    """Yield the rows of the home page, each ranked when it is asked for, without the films in `shown`."""
    if not history.liked:
        yield Row(_("Popular"), _popular(history, shown, POPULAR), "popular")
        yield Row(_("Trending"), _trending(history, shown, LIKE_THIS), "trending", _trending_note())
        yield Row(_("Rate a few"), _well_known(history, shown, TO_RATE), "rate_a_few", _few_note())
        return
    for_you = _for_you(request, history, FOR_YOU)
    yield Row(_("For you"), for_you, "for_you", dial=_dial_of(request, for_you))
    for movie_id in _latest_liked(history):
        similar = rank_similar(movie_id, history, LIKE_THIS, exclude=shown)
        similar.seed_movie_id = movie_id
        yield Row("", similar, "because")  # the heading names a movie that is still to be loaded
    if for_you.familiarity is not None and chosen_step(request) != UNEXPECTED:
        yield Row(
            _("Less seen, for you"), _less_seen(for_you, history, shown), "less_seen", _less_seen_note()
        )
    if len(history.ratings) < FEW:
        yield Row(_("Rate a few more"), _well_known(history, shown, LIKE_THIS), "rate_a_few", _few_note())
    yield Row(_("Trending"), _trending(history, shown, LIKE_THIS), "trending", _trending_note())
    yield Row(_("Popular"), _popular(history, shown, LIKE_THIS), "popular")


@require_safe
@never_cache
@limited_page
def programme(request: VisitorRequest) -> HttpResponse:
    """Answer htmx after a newcomer's rating: how far they are, then the personal row."""
    if not is_htmx(request):
        return see_other(reverse("pages:home"))
    history = visitor_history(request.visitor)
    context: dict[str, object] = _progress(history) | {"is_answer": True}
    if history.liked and len(history.ratings) >= ENOUGH_TO_BEGIN:
        ranked = _for_you(request, history, FOR_YOU)
        load_movies(ranked)
        count_shown([ranked])
        context |= {"ranked": ranked, "ratings": history.ratings, "watchlist": history.watchlist}
    return render(request, "pages/_programme.html", context)


@require_safe
@limited_page
def recommend(request: VisitorRequest) -> HttpResponse:
    """Show one long list from the model that the visitor chose, and a row of what comes next."""
    history = visitor_history(request.visitor)
    chosen = chosen_model(request)
    ranked = _for_you(request, history, RECOMMENDED)
    watch_next = _watch_next(history, ranked)
    lists = [ranked, watch_next] if watch_next else [ranked]
    load_movies(*lists)
    count_shown(lists)
    choices = model_choices()
    context = {
        "ranked": ranked,
        "is_taste": ranked.model == TASTE and bool(history.liked),
        "dial": _dial_of(request, ranked) if history.liked else (),
        "watch_next": watch_next,
        "choices": choices,
        "chosen": chosen or "",
        "waiting": next((choice for choice in choices if choice.name == chosen and choice.training), None),
        "ratings": history.ratings,
        "watchlist": history.watchlist,
        "has_history": bool(history.liked),
    }
    response = render(request, "pages/recommend.html", context)
    remember_step(request, response)
    return response


@require_POST
def choose_model(request: HttpRequest) -> HttpResponse:
    """Set the cookie of the chosen model; an empty name leaves the choice to the site."""
    response = see_other(reverse("pages:recommend"))
    name = request.POST.get("model", "")
    if name in MODEL_INFO and name not in UNTRAINED:
        response.set_signed_cookie(MODEL_COOKIE, name, salt=MODEL_SALT, **cookie_options())
    else:
        forget_choice(response, MODEL_COOKIE)
    return response


def chosen_model(request: HttpRequest) -> str | None:
    """Return the model that this visitor chose and the site still has, else None."""
    name = request.get_signed_cookie(MODEL_COOKIE, default=None, salt=MODEL_SALT)
    return name if name and name in MODEL_INFO else None


def visitor_model(request: VisitorRequest) -> str:
    """Return the model that would answer this visitor: their choice, their experiment's, or the site's."""
    chosen = chosen_model(request)
    return answering_model(chosen, None if chosen else assign_arm(request.visitor.key))


@require_POST
def choose_theme(request: HttpRequest) -> HttpResponse:
    """Set the cookie of the theme: light, dark, or as the device says."""
    response = see_other(safe_next(request, default=reverse("pages:home")))
    theme = request.POST.get("theme")
    if theme in THEMES:
        response.set_cookie(THEME_COOKIE, theme, **cookie_options())
    else:
        forget_choice(response, THEME_COOKIE)
    return response


@require_POST
def choose_posters(request: HttpRequest) -> HttpResponse:
    """Set the cookie of photographed posters; drawn ones need none."""
    response = see_other(safe_next(request, default=reverse("pages:home")))
    if request.POST.get("posters") == PHOTOGRAPHED:
        response.set_cookie(POSTERS_COOKIE, PHOTOGRAPHED, **cookie_options())
    else:
        forget_choice(response, POSTERS_COOKIE)
    return response


@require_safe
@never_cache
def training_status(request: HttpRequest) -> HttpResponse:
    """Answer htmx with the line about models in training; it asks until there are none."""
    back = request.htmx.current_url_abs_path if request.htmx else None  # type: ignore[attr-defined]
    return render(request, "pages/_training.html", {"was_training": back or reverse("pages:recommend")})


def _for_you(request: VisitorRequest, history: History, k: int) -> RankedList:
    """Rank by the model that the visitor chose, else by their arm of an experiment, else by the default."""
    chosen = chosen_model(request)
    arm = None if chosen else assign_arm(request.visitor.key)
    return rank(history, k=k, model=chosen, arm=arm, familiarity=float(chosen_step(request)))


def _dial_of(request: VisitorRequest, ranked: RankedList) -> list[DialStep]:
    """Return the steps of the dial; none where the model that answered has no dial."""
    return [] if ranked.familiarity is None else dial_steps(chosen_step(request))


def _less_seen(for_you: RankedList, history: History, shown: Collection[int]) -> RankedList:
    """Rank without the best-known movies, by the model of the row For you at the end of its dial."""
    best_known = cache.get_or_set("best-known-films", _best_known_films, WELL_KNOWN_SECONDS) or []
    exclude = {*shown, *best_known}
    return rank(history, k=LIKE_THIS, model=for_you.model, exclude=exclude, familiarity=float(UNEXPECTED))


def _less_seen_note() -> str:
    return _("Films that go with yours, without the best-known ones.")


def _best_known_films() -> list[int]:
    """Return the movies that most people rated, a quarter of a small catalogue."""
    most = min(WELL_KNOWN, len(movie_index()) // 4)
    return list(Movie.objects.visible().most_rated().values_list("pk", flat=True)[:most])


def _watch_next(history: History, above: RankedList) -> RankedList | None:
    """Rank what comes next without the movies above and those opened.

    None where the model cannot, or has answered above.
    """
    if not history.liked or above.model == NEXT or not registry().store.current(NEXT):
        return None
    exclude = [*above.films, *map(int, history.liked)]
    ranked = rank(history, k=WATCH_NEXT, model=NEXT, exclude=exclude)
    return ranked if ranked.model == NEXT and len(ranked.films) >= FEWEST else None


def _progress(history: History) -> dict[str, object]:
    rated = min(len(history.ratings), ENOUGH_TO_BEGIN)
    return {"n_rated": rated, "n_needed": ENOUGH_TO_BEGIN}


def _groups() -> list[tuple[int, str]]:
    """Return (id, name) of the genres with the most films, for newcomers who know none of those shown."""
    return cache.get_or_set("largest-genres", _largest_genres, WELL_KNOWN_SECONDS) or []


def _largest_genres() -> list[tuple[int, str]]:
    genres = Genre.objects.annotate(n=Count("movies")).filter(n__gte=FEWEST).order_by("-n", "name")
    return [(genre.pk, genre.name) for genre in genres[:GROUPS]]


def _latest_liked(history: History) -> list[int]:
    """Return the movies of the rows "Because you rated Heat 4½", latest first."""
    stars = history.ratings
    mean = sum(stars.values()) / len(stars) if stars else 0.0  # what is below it speaks for no film
    above = [pk for pk in reversed(history.liked) if stars.get(pk, mean) >= mean]
    liked = [pk for pk in above if stars.get(pk, LIKED_ENOUGH) >= LIKED_ENOUGH]
    return [int(pk) for pk in (liked or above)[:LIKE_THIS_ROWS]]


def _few_note() -> str:
    return _("Films many people know. Half stars count; what you rate changes the next page.")


def _trending_note() -> str:
    return _("What people open, rate and save this week.")


def _trending(history: History, shown: Iterable[int], k: int) -> RankedList:
    return _counted(TRENDING, trending_ids(), history, shown, k)


def _popular(history: History, shown: Collection[int], k: int) -> RankedList:
    return rank(history, k=k, model="popular", exclude=shown)


def _well_known(history: History, shown: Iterable[int], k: int) -> RankedList:
    """Return much-rated movies of alternating genres."""
    ids: list[int] = cache.get_or_set("well-known-films", _varied_films, WELL_KNOWN_SECONDS) or []
    return _counted(MOST_RATED, ids, history, shown, k)


def _counted(model: str, ids: Iterable[int], history: History, shown: Iterable[int], k: int) -> RankedList:
    """Build a list from counted ids, without movies seen before or shown above it."""
    taken = {*shown, *history.seen}
    ranking = [Recommendation(pk, 0.0) for pk in ids if pk not in taken][: k + SPARE]
    return RankedList(model, requested=model, recommendations=ranking, k=k, history=history)


def _varied_films() -> list[int]:
    films = Movie.objects.visible().most_rated().only("pk", "year").prefetch_related("genres")[:WELL_KNOWN]
    turns: dict[str, int] = {}
    order = []
    for place, film in enumerate(films):
        genres = film.genre_names or [""]
        rarest = min(genres, key=lambda genre: turns.get(genre, 0))
        turns[rarest] = turns.get(rarest, 0) + 1
        order.append((turns[rarest], place, film.pk))
    return [pk for _turn, _place, pk in sorted(order)]
