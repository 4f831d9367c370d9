"""Browse, search, and the pages of films and people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import get_object_or_404, render
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext
from django.views.decorators.http import require_safe

from movie.catalogue.availability import available_now
from movie.catalogue.browse import PAGE_SIZE, BrowseFilters
from movie.catalogue.details import MovieDetails, movie_details, rating_histogram
from movie.catalogue.facets import facets, genre_facts
from movie.catalogue.fact_sources import FactSource
from movie.catalogue.models import Credit, Genre, Movie, Person
from movie.catalogue.people_search import search_people
from movie.catalogue.search import closest_titles, search_movies
from movie.catalogue.suggestions import suggestions
from movie.catalogue.translations import load_local_titles
from movie.core.http import is_htmx
from movie.pages.choices import shows_photographs
from movie.pages.film_standing import standing_on_page
from movie.pages.forms import SEARCH_LENGTH, BrowseForm, SearchForm, searched_text
from movie.pages.templatetags.reelgraph import render_suggestions
from movie.pages.views.why import why_on_page
from movie.recommendations.ranked_list import load_movies, mean_sentence
from movie.recommendations.ranking import visitor_history
from movie.recommendations.similar import rank_similar
from movie.telemetry.requests import count_shown
from movie.visitors.visitor import VisitorRequest
from predictors.history import History, Recommendation


class Listed(NamedTuple):
    """A movie with its reason, for `{% cards %}`."""

    movie: Movie
    reason: str


PEOPLE_SHOWN = 12  # beside the films found
KNOWN_FOR = 6


@require_safe
def browse(request: VisitorRequest) -> HttpResponse:
    """Browse the catalogue by genre, decade, language and country; the address holds every filter."""
    offered = facets()
    form = BrowseForm(request.GET, offered)
    filters = form.filters
    if form.sent_as_form and not form.notes and not is_htmx(request):
        return HttpResponseRedirect(filters.url())  # what a browser sends for a form, as an address to keep
    history = visitor_history(request.visitor)
    films = filters.movies(offered, visitor_key=request.visitor.key)
    page_obj = _page(films.defer("synopsis"), request, form.notes, *filters.count(offered))
    address = filters.url(page_obj.number)
    request.GET = QueryDict(filters.query(page_obj.number))  # so that links to other pages are short, too
    partial = is_htmx(request) and request.headers.get("HX-Target") == "browse-results"
    context = {
        "form": form,
        "filters": filters,
        "page_obj": page_obj,
        "listed": _listed(page_obj),
        "next": address,
        "partial": partial,
        **_standing(history),
    }
    response = render(request, "pages/_browse_results.html" if partial else "pages/browse.html", context)
    if partial:
        response["HX-Push-Url"] = address
    # The same address answers with a page or with a part of it; caches must keep them apart.
    patch_vary_headers(response, ["HX-Request", "HX-Target"])
    return response


@require_safe
def search(request: VisitorRequest) -> HttpResponse:
    """Search movies by any of their titles, and people by name."""
    form = SearchForm(request.GET)
    found = search_movies(form.text, Movie.objects.defer("synopsis"))
    page_obj = _page(found, request, form.notes, len(found), may_have_more=found.is_cut)
    people = search_people(form.text)[: PEOPLE_SHOWN + 1]
    nothing = form.text and not page_obj.paginator.count and not people
    context = {
        "form": form,
        "text": form.text,
        "page_obj": page_obj,
        "listed": _listed(page_obj, found.aliases),
        "people": people[:PEOPLE_SHOWN],
        "more_people": len(people) > PEOPLE_SHOWN,
        "closest": closest_titles(form.text) if nothing else [],
        **_standing(visitor_history(request.visitor) if page_obj.paginator.count else History.EMPTY),
    }
    return render(request, "pages/search.html", context)


@require_safe
def search_suggest(request: HttpRequest) -> HttpResponse:
    """Answer the search box with suggestions while one types."""
    text = searched_text(request.GET)[:SEARCH_LENGTH].strip()  # no form: every key asks
    options = render_suggestions(text, suggestions(text), photographed=shows_photographs(request))
    return HttpResponse(options)


@require_safe
def movie(request: VisitorRequest, movie_id: int) -> HttpResponse:
    """Show one movie. It records nothing: the click that led here was counted on its way."""
    history = visitor_history(request.visitor)
    similar = rank_similar(movie_id, history)
    # Each is here because it is like this film: the heading says so, the cards need not repeat it.
    similar.recommendations = [
        Recommendation(found.movie_id, found.score) for found in similar.recommendations
    ]
    film = load_movies(similar, more=[movie_id]).get(movie_id)
    if film is None:
        raise Http404(gettext("There is no such film."))
    count_shown([similar])
    facts = movie_details(film)
    context = {
        "movie": film,
        "facts": facts,
        "share_text": film.synopsis or _about(film, facts),
        "bars": rating_histogram(film),
        "similar": similar,
        "decade": film.year // 10 * 10 if film.year else None,
        **why_on_page(request, film.pk, history),
        "surface": request.GET.get("from", "")[:32] or "movie",
        "recommendation_id": request.GET.get("rec", "")[:36],
        **standing_on_page(history, film.pk),
        **_standing(history),
    }
    return render(request, "pages/movie.html", context)


def _about(film: Movie, facts: MovieDetails) -> str:
    """Return a sentence or two about a movie without a synopsis."""
    directors = ", ".join(person.name for person in facts.directors)
    by = gettext("Directed by %(people)s.") % {"people": directors} if directors else ""
    about = gettext("%(film)s: its people, its ratings and films like it.") % {"film": film.display_title}
    return f"{by} {about}".strip()


@require_safe
def data_sources(request: HttpRequest) -> HttpResponse:
    """Show the sources of the facts about films, with their licences."""
    sources: dict[tuple[str, str], list[FactSource]] = {}
    for each in FactSource.objects.all():
        sources.setdefault((each.name, each.licence), []).append(each)
    return render(request, "pages/data_sources.html", {"sources": sources})


@require_safe
def person(request: VisitorRequest, person_id: int) -> HttpResponse:
    """Show the movies of a person, newest first under each role."""
    credits = list(
        Credit.objects.filter(available_now("movie__"), person=person_id).order_by().select_related("person")
    )
    someone = credits[0].person if credits else get_object_or_404(Person, pk=person_id)
    played = {(credit.role, credit.movie_id) for credit in credits}
    films = Movie.objects.filter(pk__in={movie_id for _role, movie_id in played}).defer("synopsis")
    by_id = {film.pk: film for film in films}
    load_local_titles(by_id.values())
    newest = sorted(by_id.values(), key=lambda film: (-(film.year or 0), film.sort_title, film.pk))
    roles = [
        (role.label, [film for film in newest if (role.value, film.pk) in played]) for role in Credit.Role
    ]
    known_for = sorted(by_id.values(), key=lambda film: (-film.rating_count, film.pk))[:KNOWN_FOR]
    context = {
        "person": someone,
        "known_for": _listed(known_for) if len(by_id) > KNOWN_FOR else [],
        "roles": [(label, _listed(films_in_role)) for label, films_in_role in roles if films_in_role],
        **_standing(visitor_history(request.visitor)),
    }
    return render(request, "pages/person.html", context)


@require_safe
def genre(request: VisitorRequest, genre_id: int) -> HttpResponse:
    """Show a genre: its best known and best rated movies, its directors and its decades."""
    found = get_object_or_404(Genre, pk=genre_id)
    offered = facets()
    filters = BrowseFilters(genres_in=(found.name,))
    known = list(filters.movies(offered).defer("synopsis")[:KNOWN_FOR])
    shown = {film.pk for film in known}
    best_first = replace(filters, sort="best").movies(offered).defer("synopsis")
    best = [film for film in best_first[: 2 * KNOWN_FOR] if film.pk not in shown][:KNOWN_FOR]
    facts = genre_facts(found.pk)
    context = {
        "genre": found,
        "count": filters.count(offered)[0],
        "known": _listed(known),
        "best": _listed(best),
        "all_address": filters.url(),
        "best_address": replace(filters, sort="best").url(),
        "decades": [
            (decade, n_films, replace(filters, decade=decade).url()) for decade, n_films in facts.decades
        ],
        "directors": facts.directors,
        **_standing(visitor_history(request.visitor)),
    }
    return render(request, "pages/genre.html", context)


def _listed(films: Iterable[Movie], aliases: Mapping[int, str] | None = None) -> list[Listed]:
    """Return films with their mean; before it the title of `aliases` that a film was found by."""
    listed = []
    for film in films:
        alias = (aliases or {}).get(film.pk)
        called = gettext("Also called %(title)s") % {"title": alias} if alias else ""
        listed.append(Listed(film, " · ".join(filter(None, (called, mean_sentence(film))))))
    return listed


def _standing(history: History) -> dict[str, object]:
    """Return the visitor's own ratings and watchlist, which cards show."""
    return {"ratings": history.ratings, "watchlist": history.watchlist}


class CountedPaginator(Paginator):
    """Pages through as many rows as it is told; `has_more` says that there are more, `may_have_more` that
    nobody knows."""

    def __init__(
        self, rows: QuerySet[Movie] | Sequence[Movie], n_rows: int, *, has_more: bool, may_have_more: bool
    ) -> None:
        super().__init__(rows, PAGE_SIZE)
        self.has_more, self.may_have_more = has_more, may_have_more
        self.count = n_rows  # in place of Django's, which counts all


def _page(
    films: QuerySet[Movie] | Sequence[Movie],
    request: HttpRequest,
    notes: list[str],
    n_films: int,
    has_more: bool = False,
    *,
    may_have_more: bool = False,
) -> Page:
    """Return the requested page; for one that does not exist the nearest, and add a note."""
    paginator = CountedPaginator(films, n_films, has_more=has_more, may_have_more=may_have_more)
    asked = request.GET.get("page") or "1"
    try:
        number = int(asked)
    except ValueError:
        notes.append(gettext("“%(page)s” is no page number; this is the first page.") % {"page": asked[:20]})
        return paginator.page(1)
    shown = min(max(number, 1), paginator.num_pages)
    if shown != number:
        notes.append(
            gettext("There is no page %(page)s; this is page %(shown)s.")
            % {"page": asked[:20], "shown": shown}
        )
    return paginator.page(shown)
