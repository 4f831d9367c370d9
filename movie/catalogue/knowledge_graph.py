"""The catalogue as a knowledge graph: who made a movie, where, when and of what kind.

    movie:<id>        the movie's primary key, or its id in another id space (`ids`)
    person:<pk>       the smallest primary key of the credited people whose names are the same
    genre:<name>      country:<name>      tag:<name>      decade:<its first year>

People are one where their `search_key` is: names that differ only in case, in the accents of Latin letters
or in white space. `same_person` finds all primary keys behind one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from django.db import models
from django.db.models import Q, QuerySet

from movie.catalogue.models import Credit, ExternalId, Movie, MovieTag, Person

if TYPE_CHECKING:
    from datasets.knowledge_graph.graph import KnowledgeGraph
    from datasets.knowledge_graph.triples import Facts

TYPES = ("movie", "person", "genre", "country", "decade")
RELATIONS = ("directed_by", "written_by", "starring", "in_genre", "from_country", "of_decade")
TAG, TAGGED = "tag", "tagged"
OF_ROLE: dict[str, str] = {
    Credit.Role.DIRECTOR: "directed_by",
    Credit.Role.WRITER: "written_by",
    Credit.Role.CAST: "starring",
}

Link = tuple[int, str, str]  # primary key of a movie, relation, key of what it leads to


def catalogue_facts(*, ids: str | None = None, tags: int | None = None) -> Facts:
    """Return entities and triples of the whole catalogue, hidden movies included, in six queries.

    ids    the id space that movies are named in, such as `movielens`; a movie without an id there is left
           out, one with several is several. By default movies have their primary keys.
    tags   also the tags that people gave this often in all, on two movies or more; one query more
    """
    from datasets.knowledge_graph.triples import Facts

    keys = movie_keys(ids)
    facts = Facts(type_names=TYPES, relation_names=RELATIONS)
    decades: list[tuple[int, int]] = []
    for pk, title, year in Movie.objects.order_by("pk").values_list("pk", "title", "year"):
        for key in keys.get(pk, ()):
            facts.entities[key] = f"{title} ({year})" if year else title
        if year:
            decades.append((pk, year // 10 * 10))
    people, names = _people()
    facts.entities |= {f"person:{pk}": name for pk, name in names.items()}
    links = [
        *_credits(people),
        *_named("in_genre", "genre", Movie.genres.through.objects),
        *_named("from_country", "country", Movie.countries.through.objects),
        *((pk, "of_decade", f"decade:{decade}") for pk, decade in decades),
    ]
    if tags is not None:
        facts.type_names, facts.relation_names = (*TYPES, TAG), (*RELATIONS, TAGGED)
        links += _tags(tags)
    facts.triples = [(movie, relation, thing) for pk, relation, thing in links for movie in keys.get(pk, ())]
    _name_the_rest(facts)
    return facts


def movie_keys(ids: str | None = None) -> dict[int, list[str]]:
    """Return the keys of each movie by primary key: its own, or those of its ids in an id space."""
    if ids is None:
        return {pk: [f"movie:{pk}"] for pk in Movie.objects.order_by("pk").values_list("pk", flat=True)}
    keys: defaultdict[int, list[str]] = defaultdict(list)
    for pk, value in (
        ExternalId.objects.filter(source=ids).order_by("movie_id", "pk").values_list("movie_id", "value")
    ):
        keys[pk].append(f"movie:{value}")
    return dict(keys)


def in_catalogue(facts: Facts, source: str, *, ids: str | None = None) -> tuple[Facts, int]:
    """Return facts of a file about movies of the catalogue, and the number of movies it lacks.

    source  the id space of the movie ids in the file
    ids     as for `catalogue_facts`

    Movies of the catalogue that the file does not have are there without edges.
    """
    keys = movie_keys(ids)
    known = dict(ExternalId.objects.filter(source=source).values_list("value", "movie_id"))
    titles = {movie.pk: str(movie) for movie in Movie.objects.only("pk", "title", "year")}
    movies = {
        f"movie:{value}": [(key, titles[pk]) for key in keys.get(pk, ())] for value, pk in known.items()
    }
    stated = [key for key in facts.entities if key.startswith("movie:")]
    moved = facts.with_films({key: movies[key] for key in stated if movies.get(key)})
    for pk in sorted(keys):
        for key in keys[pk]:
            moved.entities.setdefault(key, titles[pk])
    return moved, sum(not movies.get(key) for key in stated)


def ratings_of(graph: KnowledgeGraph, ids: str | None = None) -> np.ndarray:
    """Return (n_movies,) int64, the number of ratings of each movie of a graph with these ids."""
    counts = dict(Movie.objects.values_list("pk", "rating_count"))
    by_key = {key: counts[pk] for pk, keys in movie_keys(ids).items() for key in keys}
    return np.array([by_key.get(key, 0) for key in graph.keys[: graph.n_movies]], dtype=np.int64)


def same_person(pk: int) -> QuerySet[Person]:
    """Return the people of `person:<pk>`: everyone of the same name."""
    key = Person.objects.filter(pk=pk).exclude(search_key="").values("search_key")
    return Person.objects.filter(Q(pk=pk) | Q(search_key__in=key))


def _people() -> tuple[dict[int, int], dict[int, str]]:
    """Return the representative primary key of each credited person, and the representatives' names."""
    first: dict[str, int] = {}
    stands_for: dict[int, int] = {}
    names: dict[int, str] = {}
    credited = Person.objects.filter(pk__in=Credit.objects.values("person")).order_by("pk")
    for pk, name, key in credited.values_list("pk", "name", "search_key").iterator():
        stands_for[pk] = first.setdefault(key, pk) if key else pk
        names.setdefault(stands_for[pk], name)
    return stands_for, names


def _credits(people: dict[int, int]) -> Iterator[Link]:
    credits = Credit.objects.order_by("pk").values_list("movie_id", "role", "person_id")
    for movie, role, person in credits.iterator():
        if person in people:  # else credited since the people were read
            yield movie, OF_ROLE[role], f"person:{people[person]}"


def _named(relation: str, kind: str, links: models.Manager) -> Iterator[Link]:
    for movie, name in links.order_by("pk").values_list("movie_id", f"{kind}__name").iterator():
        yield movie, relation, f"{kind}:{name}"


def _tags(least: int) -> Iterator[Link]:
    """Return tags that enough movies have; a tag of one movie leads nowhere."""
    rows = list(MovieTag.objects.order_by("movie_id", "name").values_list("movie_id", "name", "count"))
    given: Counter[str] = Counter()
    for _movie, name, count in rows:
        given[name] += count
    movies = Counter(name for _movie, name, _count in rows)
    for movie, name, _count in rows:
        if given[name] >= least and movies[name] > 1:
            yield movie, TAGGED, f"{TAG}:{name}"


def _name_the_rest(facts: Facts) -> None:
    """Name genres, countries, decades and tags by the ends of their keys."""
    rest = {other for _movie, _relation, other in facts.triples} - facts.entities.keys()
    for key in sorted(rest):
        kind, _colon, name = key.partition(":")
        facts.entities[key] = f"{name}s" if kind == "decade" else name
