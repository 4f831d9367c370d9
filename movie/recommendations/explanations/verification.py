"""Verification of paths: every edge is looked up in the catalogue as it is now, before a page shows it.

A path comes from a knowledge graph that was built some time ago. A credit may have been corrected since, a
film hidden, a rating taken back; then the path is dropped. What a page shows of a path (names, roles,
addresses) comes from here and not from the graph.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from django.db.models import Q, Value
from django.urls import reverse
from django.utils.translation import gettext

from movie.catalogue.formatting import decade
from movie.catalogue.models import Credit, Movie, Person
from movie.catalogue.translations import load_local_titles
from movie.recommendations.explanations.wording import Link, Node
from predictors.explain import PathReason

INVERSE = "^-1"
ROLE_OF = {
    "directed_by": Credit.Role.DIRECTOR.value,
    "written_by": Credit.Role.WRITER.value,
    "starring": Credit.Role.CAST.value,
}
KIND_OF = {
    **dict.fromkeys(ROLE_OF, "person"),
    "in_genre": "genre",
    "from_country": "country",
    "of_decade": "decade",
}
LEADING_PARTS = 5  # billed so high, a part is worth naming


@dataclass(frozen=True, slots=True)
class Hop:
    """A step of a path from one movie over a node to another, as the graph claims it."""

    before: int
    relation_before: str
    entity: str  # what follows the colon of its key
    relation_after: str
    after: int

    @property
    def kind(self) -> str:
        return KIND_OF[self.relation_before]


def parse_path(reason: PathReason) -> tuple[Hop, ...]:
    """Return the path as hops between movies; empty where it has other relations than the catalogue's."""
    first, *rest = reason.steps
    film = _film(first.entity)
    hops: list[Hop] = []
    if film is None or not rest or len(rest) % 2:
        return ()
    for there, back in zip(rest[::2], rest[1::2], strict=True):
        after, kind = _film(back.entity), KIND_OF.get(there.relation)
        relation_after = back.relation.removesuffix(INVERSE)
        entity_type, _, entity = there.entity.partition(":")
        if after is None or after == film or kind is None or kind != KIND_OF.get(relation_after):
            return ()
        if not back.relation.endswith(INVERSE) or entity_type != kind:
            return ()
        hops.append(Hop(film, there.relation, entity, relation_after, after))
        film = after
    return tuple(hops)


class PathVerifier:
    """Holds the facts of the catalogue that paths claim: four queries at most, one more for local titles."""

    def __init__(self, paths: Iterable[Sequence[Hop]], *, more: Iterable[int] = ()) -> None:
        hops = [hop for path in paths for hop in path]
        wanted = {*more, *(film for hop in hops for film in (hop.before, hop.after))}
        self.films = {
            film.pk: film for film in Movie.objects.visible().filter(pk__in=wanted).defer("synopsis")
        }
        load_local_titles(self.films.values())
        self._keys: dict[str, str] = {}  # a person's primary key -> their name as searches fold it
        self._credited: dict[tuple[int, str], dict[str, Person]] = defaultdict(dict)  # film, name -> by role
        self._labels: dict[tuple[str, int, str], int] = {}  # kind, film, name -> primary key
        people = {int(hop.entity) for hop in hops if hop.kind == "person" and hop.entity.isdecimal()}
        if people:
            self._read_credits(people, wanted)
        if any(hop.kind in ("genre", "country") for hop in hops):
            self._read_labels(wanted)

    def links(self, path: Sequence[Hop]) -> tuple[Link, ...]:
        """Return the path with verified names and roles; empty unless every edge is in the catalogue."""
        links = [self._link(hop) for hop in path]
        return tuple(link for link in links if link) if all(links) else ()

    def node_of(self, film: int) -> Node:
        movie = self.films[film]
        return Node("movie", movie.display_title, movie.get_absolute_url(), film)

    def _link(self, hop: Hop) -> Link | None:
        if hop.before not in self.films or hop.after not in self.films:
            return None
        if hop.kind == "person":
            return self._by_person(hop)
        match hop.kind:
            case "decade":
                node = self._decade(hop)
            case kind:
                node = self._label(kind, hop)
        return Link(self.node_of(hop.before), node, self.node_of(hop.after)) if node else None

    def _by_person(self, hop: Hop) -> Link | None:
        key = self._keys.get(hop.entity, "")
        before, after = self._credited[hop.before, key], self._credited[hop.after, key]
        claimed = ROLE_OF[hop.relation_before], ROLE_OF[hop.relation_after]
        if claimed[0] not in before or claimed[1] not in after:
            return None
        someone = after[claimed[1]]
        node = Node("person", someone.name, someone.get_absolute_url(), someone.pk)
        films = self.node_of(hop.before), self.node_of(hop.after)
        return Link(films[0], node, films[1], frozenset(before), frozenset(after))

    def _label(self, kind: str, hop: Hop) -> Node | None:
        pk = self._labels.get((kind, hop.after, hop.entity))
        if pk is None or (kind, hop.before, hop.entity) not in self._labels:
            return None
        address = reverse("pages:genre", args=[pk]) if kind == "genre" else _browse(country=hop.entity)
        return Node(kind, gettext(hop.entity), address, pk)

    def _decade(self, hop: Hop) -> Node | None:
        for film in (hop.before, hop.after):
            year = self.films[film].year
            if year is None or str(year // 10 * 10) != hop.entity:
                return None
        return Node("decade", decade(int(hop.entity)), _browse(decade=hop.entity))

    def _read_credits(self, people: set[int], films: set[int]) -> None:
        """Read the credits that paths claim, without small parts.

        People of one name are one here, as they are in the graph.
        """
        named = Person.objects.filter(pk__in=people).order_by()
        self._keys = {str(someone.pk): _name_of(someone) for someone in named}
        theirs = Q(person__in=people) | Q(person__search_key__in={*self._keys.values()})
        is_small_part = Q(role=Credit.Role.CAST, order__gte=LEADING_PARTS)
        credits = Credit.objects.filter(theirs, movie__in=films).exclude(is_small_part)
        for credit in credits.order_by().select_related("person"):
            self._credited[credit.movie_id, _name_of(credit.person)][credit.role] = credit.person

    def _read_labels(self, films: set[int]) -> None:
        genres = Movie.genres.through.objects.filter(movie__in=films).order_by()
        countries = Movie.countries.through.objects.filter(movie__in=films).order_by()
        rows = genres.values_list(Value("genre"), "movie_id", "genre__name", "genre_id").union(
            countries.values_list(Value("country"), "movie_id", "country__name", "country_id"), all=True
        )
        self._labels = {(kind, film, name): pk for kind, film, name, pk in rows}


def _name_of(person: Person) -> str:
    """Return the name that people are compared by; one that a search cannot find is unique."""
    return person.search_key or f"#{person.pk}"


def _film(entity: str) -> int | None:
    kind, _, pk = entity.partition(":")
    return int(pk) if kind == "movie" and pk.isdecimal() else None


def _browse(**filters: str) -> str:
    return f"{reverse('pages:browse')}?{urlencode(filters)}"
