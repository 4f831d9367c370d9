"""Search people by name, as `search` finds movies, ranked by the number of their visible movies."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import nsmallest

from django.db.models import BigIntegerField, Count, DateTimeField
from django.utils import timezone

from movie.catalogue.availability import available_now
from movie.catalogue.beginnings import names_beginning_with
from movie.catalogue.models import Credit, Person
from movie.catalogue.popular import KnownName, popular_names
from movie.catalogue.search import closeness, holds_every_word, is_short, look_up, popular_with
from movie.catalogue.titles import search_key
from movie.core.compiled import CompiledQuery, Parameter

PEOPLE_FOUND = 30


class FoundPeople(list[Person]):
    """Lists people, best match first; `is_cut` says that more may match."""

    is_cut = False


def search_people(text: str) -> FoundPeople:
    """Return people of visible movies whose name holds every word of `text`, best match first.

    Each has `match` (0 to 3) and `n_movies`, the number of their visible movies. There are PEOPLE_FOUND at
    most. A single Latin letter names nobody.
    """
    people = FoundPeople()
    key = search_key(text)
    if not key or (len(key) == 1 and is_short(key)):
        return people
    popular = popular_with(key, popular_names.get())
    found, is_cut = look_up(key, names_beginning_with)
    names = popular | {name.person: name for name in found if holds_every_word(name, key)}
    best = best_people(names.values(), key, PEOPLE_FOUND + 1)
    people.is_cut = is_cut or len(best) > PEOPLE_FOUND
    people += best[:PEOPLE_FOUND]
    return people


def best_people(names: Iterable[KnownName], key: str, wanted: int) -> list[Person]:
    """Return those with a visible movie, by match, number of visible movies and name; `wanted` at most.

    `movie_count` is an upper bound, so that only those are counted who may be wanted. Of a popular name that
    is kept it may be minutes old, and who was credited meanwhile may be missing.
    """
    known = {name.person: name for name in names}
    matches = {pk: closeness(name.key, key) for pk, name in known.items()}

    def rank(pk: int, n_movies: int) -> tuple[int, int, str, int]:
        return matches[pk], -n_movies, known[pk].name, pk

    highest = {pk: rank(pk, name.movie_count) for pk, name in known.items()}
    left = sorted(known, key=highest.__getitem__)
    ranks: list[tuple[int, int, str, int]] = []
    n_counted = wanted
    while left and not (len(ranks) == wanted and ranks[-1] < highest[left[0]]):
        counts = _movies_of.rows(person=left[:n_counted], now=timezone.now())
        ranks = nsmallest(wanted, [*ranks, *(rank(*row) for row in counts)])
        left, n_counted = left[n_counted:], 2 * n_counted
    people = []
    for match, minus_movies, name, pk in ranks:
        person = Person(pk=pk, name=name, search_key=known[pk].key)
        person.match, person.n_movies = match, -minus_movies  # type: ignore[attr-defined]
        people.append(person)
    return people


_now = Parameter("now", DateTimeField())
_movies_of = CompiledQuery(  # rows of a person and the number of their visible movies
    lambda some: (
        Credit.objects.filter(
            available_now("movie__", _now), person__id__in=some("person", BigIntegerField())
        )
        .order_by()
        .values_list("person")
        .annotate(n=Count("movie", distinct=True))
    )
)
