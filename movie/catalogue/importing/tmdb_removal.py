"""Take back what TMDB gave: its facts, ids and posters, and when it was asked.

A fact that nobody changed since becomes what it was before TMDB gave it. A fact that somebody changed stays
and is staff's from then on, so that a later import leaves it alone, too.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from django.db import transaction

from movie.catalogue.fact_sources import STAFF, FactOrigin, FactSource, TmdbLookup, order_text, people_of
from movie.catalogue.importing.reports import ProgressCallback, ignore_progress
from movie.catalogue.importing.tmdb import FIELDS, ROLES, SOURCE, TITLES
from movie.catalogue.models import Credit, Movie, Person
from movie.core.batches import write_in_batches
from movie.core.database import retry_on_deadlock

LANGUAGES = {fact: code for code, fact in TITLES.items()}


@dataclass
class TmdbRemoval:
    """Counts what was taken back. `facts` and `kept` are movies by fact; `kept` ones were changed since."""

    movies: int = 0
    people: int = 0  # who are in no film any more
    facts: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)


def remove_tmdb(*, dry_run: bool = False, progress: ProgressCallback = ignore_progress) -> TmdbRemoval:
    """Take back everything that TMDB gave, each movie in one transaction.

    Done again after an interruption it does the rest.
    """
    result = TmdbRemoval()
    touched = {*FactOrigin.objects.filter(source=SOURCE).values_list("movie", flat=True)}
    touched |= {*TmdbLookup.objects.values_list("movie", flat=True)}

    @retry_on_deadlock
    def remove(some: list[int]) -> None:
        (pk,) = some
        movie = Movie.objects.filter(pk=pk).first()
        if movie is None:  # deleted meanwhile
            return
        with transaction.atomic():
            one = _Remover(movie)
            one.remove()
            if dry_run:
                transaction.set_rollback(True)
        result.movies += 1
        result.people += one.n_people
        result.facts.update(one.facts)
        result.kept.update(one.kept)

    for n_done, _ in enumerate(write_in_batches(sorted(touched), remove, size=1), 1):
        progress(n_done / len(touched), f"{n_done:,} of {len(touched):,} films")
    if not dry_run:
        FactSource.objects.filter(name=SOURCE).delete()
    return result


class _Remover:
    """Takes back the facts of one movie. Must run in a transaction."""

    def __init__(self, movie: Movie) -> None:
        self._movie = movie
        self.facts: list[str] = []
        self.kept: list[str] = []
        self.n_people = 0

    def remove(self) -> None:
        origins = FactOrigin.objects.filter(movie=self._movie, source=SOURCE)
        for origin in origins:
            value = self._value(origin.fact)
            if origin.is_of(SOURCE, value):
                self._restore(origin.fact, value, origin.before)
                self.facts.append(origin.fact)
            else:
                self.kept.append(origin.fact)
        origins.filter(fact__in=self.kept).update(source=STAFF)
        origins.filter(fact__in=self.facts).delete()
        TmdbLookup.objects.filter(movie=self._movie).delete()
        if self.facts:
            self._movie.save(update_fields=[*FIELDS, "updated"])

    def _value(self, fact: str) -> str:
        """Return what the movie says now, as the text that the fact's digest is of."""
        if fact in ROLES:
            return order_text(self._people(fact))
        if fact in LANGUAGES:
            titles = self._movie.titles.filter(language=LANGUAGES[fact]).order_by("pk")
            return titles.values_list("title", flat=True).first() or ""
        if fact in FIELDS:
            return str(getattr(self._movie, fact) or "")
        return self._movie.external_ids.filter(source=fact).values_list("value", flat=True).first() or ""

    def _restore(self, fact: str, value: str, before: str) -> None:
        if fact in ROLES:
            self._restore_people(fact, people_of(before))
        elif fact in LANGUAGES:
            self._movie.titles.filter(language=LANGUAGES[fact], title=value).delete()
        elif fact in FIELDS:
            setattr(self._movie, fact, None if fact == "runtime" else "")
        else:
            self._movie.external_ids.filter(source=fact, value=value).delete()

    def _people(self, fact: str) -> list[int]:
        credits = Credit.objects.filter(movie=self._movie, role=ROLES[fact]).order_by("order")
        return list(credits.values_list("person", flat=True))

    def _restore_people(self, fact: str, before: list[int]) -> None:
        """Put the people back who were there before, in their order; who was only TMDB's goes."""
        there = self._people(fact)
        known = Person.objects.in_bulk(before)
        Credit.objects.filter(movie=self._movie, role=ROLES[fact]).delete()
        Credit.objects.bulk_create(
            Credit(movie=self._movie, person_id=pk, role=ROLES[fact], order=order)
            for order, pk in enumerate(pk for pk in before if pk in known)
        )
        gone = Person.objects.filter(pk__in=set(there) - known.keys(), credits__isnull=True)
        self.n_people += gone.count()
        gone.delete()
