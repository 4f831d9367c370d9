"""Facets of My history: the rated films of one number of stars, genre, director or decade.

The figures of the taste page lead here.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.http import QueryDict
from django.utils.translation import gettext

from movie.catalogue.formatting import decade, stars
from movie.catalogue.models import HALF_STARS, Credit, Genre, Movie, Person
from predictors.history import History, MovieId

MAX_DIGITS = 18


@dataclass(frozen=True, slots=True)
class Facet:
    """Some of the rated films of a history, and what they have in common in words."""

    label: str
    movie_ids: frozenset[MovieId]


def facet_of(query: QueryDict, history: History) -> Facet | None:
    """Return the facet that an address names; None where it names none that there is."""
    if value := query.get("stars"):
        return _of_stars(value, history)
    for parameter, facet in (("genre", _of_genre), ("director", _of_director), ("decade", _of_decade)):
        text = query.get(parameter, "")
        if text.isdecimal() and len(text) <= MAX_DIGITS:
            return facet(int(text), history)
    return None


def _of_stars(text: str, history: History) -> Facet | None:
    try:
        value = float(text)
    except ValueError:
        return None
    if value not in HALF_STARS:
        return None
    label = stars(value)
    return Facet(label, frozenset(pk for pk, given in history.ratings.items() if given == value))


def _of_genre(pk: int, history: History) -> Facet | None:
    genre = Genre.objects.filter(pk=pk).first()
    if genre is None:
        return None
    rated = Movie.objects.filter(pk__in=history.ratings, genres=genre)
    return Facet(gettext(genre.name), frozenset(rated.values_list("pk", flat=True)))


def _of_director(pk: int, history: History) -> Facet | None:
    person = Person.objects.filter(pk=pk).first()
    if person is None:
        return None
    made = Credit.objects.filter(movie_id__in=history.ratings, person=person, role=Credit.Role.DIRECTOR)
    return Facet(person.name, frozenset(made.values_list("movie_id", flat=True)))


def _of_decade(year: int, history: History) -> Facet | None:
    if not 1000 <= year <= 9990:
        return None
    first = year // 10 * 10
    rated = Movie.objects.filter(pk__in=history.ratings, year__gte=first, year__lt=first + 10)
    return Facet(decade(first), frozenset(rated.values_list("pk", flat=True)))
