"""A small catalogue for the tests of its pages."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import OperationalError

from movie.catalogue.models import Country, Credit, Genre, Language, Movie, MovieTitle, Person, Rating
from movie.catalogue.titles import search_key

LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)


def lose_first_race(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
    """Have the database end the first transaction that comes to this function, for another one's sake."""
    work = getattr(owner, name)
    lost: list[bool] = []

    def lose(*args: Any, **kwargs: Any) -> Any:
        done = work(*args, **kwargs)
        if not lost:
            lost.append(True)
            raise OperationalError(1213, "Deadlock found when trying to get lock")
        return done

    monkeypatch.setattr(owner, name, lose)


def make_film(
    title: str,
    year: int | None = None,
    *,
    genres: Collection[str] = (),
    countries: Collection[str] = (),
    languages: Collection[str] = (),
    directors: Collection[str] = (),
    writers: Collection[str] = (),
    cast: Collection[str] = (),
    titles: Mapping[str, str] | None = None,
    stars: Collection[float] = (),
    **fields: object,
) -> Movie:
    """A film with everything around it. `titles` is code -> title; each of `stars` is a visitor's."""
    film = Movie.objects.create(title=title, year=year, **fields)
    for facts, names in ((film.genres, genres), (film.countries, countries), (film.languages, languages)):
        if names:
            facts.set(facts.model.objects.named(names).values())
    roles = {"director": list(directors), "writer": list(writers), "cast": list(cast)}
    people = _people({name for names in roles.values() for name in names})
    Credit.objects.bulk_create(
        Credit(movie=film, person=people[name], role=role, order=order)
        for role, names in roles.items()
        for order, name in enumerate(names)
    )
    for language, other in (titles or {}).items():
        MovieTitle.objects.create(movie=film, title=other, language=language)
    if stars:
        Rating.objects.bulk_create(
            Rating(visitor=f"ml-100k:{film.pk}-{n}", movie=film, value=value, rated_at=LONG_AGO)
            for n, value in enumerate(stars)
        )
        Movie.objects.refresh_aggregates([film.pk])
        film.refresh_from_db()
    return film


def person(name: str) -> Person:
    return _people([name])[name]


def _people(names: Collection[str]) -> dict[str, Person]:
    if not names:
        return {}
    known = {found.name: found for found in Person.objects.filter(name__in=names)}
    missing = [Person(name=name, search_key=search_key(name)) for name in names if name not in known]
    return known | {made.name: made for made in Person.objects.bulk_create(missing)}


def empty_catalogue(blocker: Any) -> None:
    """What a fixture that fills the catalogue for a whole module leaves behind: nothing."""
    with blocker.unblock():
        for model in (Movie, Person, Genre, Country, Language):
            model.objects.all().delete()
