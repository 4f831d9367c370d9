"""A small catalogue for the tests of its pages."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from movie.models import Country, Credit, Genre, Language, Movie, MovieTitle, Person, Rating

LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)


def make_film(
    title: str,
    year: int | None = None,
    *,
    genres: Iterable[str] = (),
    countries: Iterable[str] = (),
    languages: Iterable[str] = (),
    directors: Iterable[str] = (),
    writers: Iterable[str] = (),
    cast: Iterable[str] = (),
    titles: Mapping[str, str] | None = None,
    stars: Iterable[float] = (),
    **fields: object,
) -> Movie:
    """A film with everything around it. `titles` is code -> title; each of `stars` is a visitor's."""
    film = Movie.objects.create(title=title, year=year, **fields)
    film.genres.set(Genre.objects.named(genres).values())
    film.countries.set(Country.objects.named(countries).values())
    film.languages.set(Language.objects.named(languages).values())
    for role, names in (("director", directors), ("writer", writers), ("cast", cast)):
        for order, name in enumerate(names):
            Credit.objects.create(movie=film, person=person(name), role=role, order=order)
    for language, other in (titles or {}).items():
        MovieTitle.objects.create(movie=film, title=other, language=language)
    Rating.objects.bulk_create(
        Rating(visitor=f"ml-100k:{film.pk}-{n}", movie=film, value=value, rated_at=LONG_AGO)
        for n, value in enumerate(stars)
    )
    Movie.objects.refresh_aggregates([film.pk])
    film.refresh_from_db()
    return film


def person(name: str) -> Person:
    return Person.objects.filter(name=name).first() or Person.objects.create(name=name)
