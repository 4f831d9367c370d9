"""What a program sends: film ids, histories, films, filters, rules, interactions."""

from __future__ import annotations

import dataclasses
import enum
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal

Kind = Literal["click", "rating", "dismiss", "watchlist", "watch", "undo", "impression"]
ExperimentMetric = Literal["ctr", "rating_rate", "mean_rating"]
Sort = Literal["popular", "best", "newest", "oldest", "title"]


@dataclass(frozen=True, slots=True)
class ExternalId:
    """The id of a film elsewhere: `ExternalId("imdb", "tt0113277")`."""

    source: str
    value: str

    def __str__(self) -> str:
        return f"{self.source}:{self.value}"


# Wherever a film id goes: its number on the site, "source:id", or both parts.
MovieRef = int | str | ExternalId


def ref_json(movie: MovieRef) -> Any:
    return {"source": movie.source, "id": movie.value} if isinstance(movie, ExternalId) else movie


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """A film of a history in a request; without `rating` it counts as a click."""

    movie_id: MovieRef
    rating: float | None = None
    at: datetime | None = None

    def _json(self) -> dict[str, Any]:
        return without_none(
            {"movie_id": ref_json(self.movie_id), "rating": self.rating, "at": moment_json(self.at)}
        )


History = Sequence[MovieRef | HistoryEntry]


class Unset(enum.Enum):
    """Says that a field of a film is not stated, which is not the same as None."""

    UNSET = "unset"


UNSET = Unset.UNSET


@dataclass(frozen=True, slots=True)
class MovieUpdate:
    """What is stated of a film; fields that are left out stay as they are, None and () clear.

    `id` is an id elsewhere, which adds the film where nobody has it yet, or a number of the site. `titles`
    are pairs of a title and a language code, and `external_ids` are added to those that the film has.
    """

    id: MovieRef
    title: str | Unset = UNSET
    year: int | Unset | None = UNSET
    runtime: int | Unset | None = UNSET
    synopsis: str | Unset = UNSET
    genres: Sequence[str] | Unset = UNSET
    countries: Sequence[str] | Unset = UNSET
    languages: Sequence[str] | Unset = UNSET
    directors: Sequence[str] | Unset = UNSET
    writers: Sequence[str] | Unset = UNSET
    cast: Sequence[str] | Unset = UNSET
    titles: Sequence[tuple[str, str]] | Unset = UNSET
    tags: Sequence[str] | Unset = UNSET
    external_ids: Sequence[str | ExternalId] | Unset = UNSET
    visible: bool | Unset = UNSET
    available_from: datetime | Unset | None = UNSET
    available_until: datetime | Unset | None = UNSET
    attributes: Mapping[str, Any] | Unset = UNSET

    def _json(self) -> dict[str, Any]:
        stated: dict[str, Any] = {}
        for each in dataclasses.fields(self):
            value = getattr(self, each.name)
            if value is UNSET:
                continue
            if each.name == "titles":
                value = [{"title": title, "language": language} for title, language in value]
            elif isinstance(value, datetime):
                value = moment_json(value)
            elif isinstance(value, list | tuple):
                value = [ref_json(part) for part in value]
            elif isinstance(value, ExternalId):
                value = ref_json(value)
            stated[each.name] = dict(value) if each.name == "attributes" else value
        return stated


@dataclass(frozen=True, slots=True)
class Between:
    """The numbers from one to another, both included; None is no bound."""

    low: float | None = None
    high: float | None = None


AttributeValue = str | float | bool


@dataclass(frozen=True, slots=True)
class Filters:
    """Conditions on the recommended films: all of `..._in`, none of `..._out`, one of `languages` and of
    `countries`, and every one of `attributes`.

    People are names or ids. `attributes` holds for each name a value, several of which a film has one, or
    `Between` for numbers.
    """

    genres_in: Sequence[str] = ()
    genres_out: Sequence[str] = ()
    year_from: int | None = None
    year_to: int | None = None
    languages: Sequence[str] = ()
    runtime_to: int | None = None
    runtime_from: int | None = None
    countries: Sequence[str] = ()
    tags_in: Sequence[str] = ()
    tags_out: Sequence[str] = ()
    people_in: Sequence[str | int] = ()
    people_out: Sequence[str | int] = ()
    available_through: datetime | None = None
    leaving_by: datetime | None = None
    arrived_since: datetime | None = None
    attributes: Mapping[str, AttributeValue | Sequence[AttributeValue] | Between] = field(
        default_factory=dict
    )

    def _json(self) -> dict[str, Any]:
        stated: dict[str, Any] = {}
        for each in dataclasses.fields(self):
            value = getattr(self, each.name)
            if isinstance(value, datetime):
                value = moment_json(value)
            elif isinstance(value, Mapping):
                value = {name: _condition(condition) for name, condition in value.items()}
            elif value is not None and not isinstance(value, int):
                value = list(value)
            stated[each.name] = value
        return without_none(stated)


def _condition(condition: AttributeValue | Sequence[AttributeValue] | Between) -> Any:
    if isinstance(condition, Between):
        return without_none({"from": condition.low, "to": condition.high})
    return condition if isinstance(condition, str | int | float) else list(condition)


@dataclass(frozen=True, slots=True)
class Pin:
    """A film that stands at a rank, from 1, if it may be in the list. `name` is what `rules` call it."""

    movie_id: MovieRef
    rank: int
    name: str = "pin"

    def _json(self) -> dict[str, Any]:
        return {"movie_id": ref_json(self.movie_id), "rank": self.rank, "name": self.name}


@dataclass(frozen=True, slots=True)
class Boost:
    """Films that move up by so many places, or down where the number is negative: `movies`, or all that pass
    `filters`.
    """

    places: int
    movies: Sequence[MovieRef] | None = None
    filters: Filters | None = None
    name: str = "boost"

    def _json(self) -> dict[str, Any]:
        return without_none(
            {
                "places": self.places,
                "movies": None if self.movies is None else [ref_json(each) for each in self.movies],
                "filters": None if self.filters is None else self.filters._json(),
                "name": self.name,
            }
        )


@dataclass(frozen=True, slots=True)
class Rules:
    """Business rules of a list; boosts act before pins."""

    pins: Sequence[Pin] = ()
    boosts: Sequence[Boost] = ()

    def _json(self) -> dict[str, Any]:
        return {
            "pins": [pin._json() for pin in self.pins],
            "boosts": [boost._json() for boost in self.boosts],
        }


@dataclass(frozen=True, slots=True)
class Interaction:
    """An interaction of one of your own visitors.

    `value` is the stars of a rating, and 1 of a watch that was not the first; `watched_on` is the day of a
    watch, `progress` the share of the film that was played, 0 to 1. `weight` is how much a click
    counts, 1 by default. `client_event_id` is made here: the same object sent twice has one
    effect. Give your own id to keep that promise over a restart of your program.
    """

    visitor: str
    movie_id: MovieRef
    kind: Kind
    value: float | None = None
    at: datetime | None = None
    surface: str = ""
    recommendation_id: str = ""
    client_event_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    watched_on: date | None = None
    progress: float | None = None
    weight: float | None = None

    def _json(self) -> dict[str, Any]:
        day = None if self.watched_on is None else self.watched_on.isoformat()
        return {
            "visitor": self.visitor,
            "movie_id": ref_json(self.movie_id),
            "kind": self.kind,
            "value": self.value,
            "at": moment_json(self.at),
            "surface": self.surface,
            "recommendation_id": self.recommendation_id,
            "client_event_id": self.client_event_id,
            **without_none({"watched_on": day, "progress": self.progress, "weight": self.weight}),
        }


def moment_json(at: datetime | None) -> str | None:
    if at is None:
        return None
    if at.tzinfo is None:
        raise ValueError("at needs a time zone, such as datetime.now(UTC)")
    return at.isoformat()


def without_none(content: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in content.items() if value is not None}
