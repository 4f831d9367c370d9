"""The clients of the API, synchronous and asynchronous, and the requests that both send.

Every request is described once, as a `_Call`: method, address, body, the type of the answer, and whether it
may be sent again when it is unknown whether it arrived. `Client` sends it and waits, `AsyncClient` awaits it.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import enum
import functools
import inspect
import random
import re
import time
import types
import typing
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Concatenate, Generic, Literal, ParamSpec, Protocol, Self, TypeVar
from urllib.parse import quote

import httpx

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
P = ParamSpec("P")

Kind = Literal["click", "rating", "dismiss", "watchlist", "watch", "undo", "impression"]
ExperimentMetric = Literal["ctr", "rating_rate", "mean_rating"]
Sort = Literal["popular", "best", "newest", "oldest", "title"]

MAX_BATCH = 1_000  # entries of a batch of lists
MAX_INTERACTIONS = 500
MAX_MOVIES = 500  # of one request that writes films
TIMEOUT = 10.0  # seconds
USER_AGENT = "reelgraph-client/0.1.0"


# -- errors --------------------------------------------------------------------------------------


class ReelgraphError(Exception):
    """The base of all errors that this client raises about a request."""


class ConnectionFailed(ReelgraphError):
    """The site could not be reached, or did not answer in time. A request that changes something may have
    arrived all the same."""


class UnexpectedAnswer(ReelgraphError):
    """The answer is not of this API; the address may belong to another program."""


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """A field that was refused, with the reason; `where` is body, query, path or header."""

    where: str
    field: str
    detail: str


class Problem(ReelgraphError):
    """The site refused (a problem document, RFC 9457). `errors` name the fields, if any are to blame."""

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        errors: Sequence[FieldProblem] = (),
        retry_after: float | None = None,
    ) -> None:
        fields = "".join(f"\n  {each.field or each.where}: {each.detail}" for each in errors)
        super().__init__(f"{status} {title}: {detail}{fields}")
        self.status, self.title, self.detail = status, title, detail
        self.errors = tuple(errors)
        self.retry_after = retry_after  # seconds, where the site said


class BadRequest(Problem):
    """400: the request cannot be read."""


class Unauthorized(Problem):
    """401: a key is needed, or this one is not valid."""


class Forbidden(Problem):
    """403: the key lacks a scope, or the visitor belongs to somebody else."""


class NotFound(Problem):
    """404: the site has nothing by this id."""


class Conflict(Problem):
    """409: the state of the site does not allow it."""


class TooLarge(Problem):
    """413: send fewer entries at once."""


class Invalid(Problem):
    """422: `errors` name the invalid fields."""


class TooManyRequests(Problem):
    """429, after all retries: ask again in `retry_after` seconds."""


class Unavailable(Problem):
    """503, after all retries: a part of the site is away."""


class ServerFailed(Problem):
    """Another status from 500 up: the site failed."""


_BY_STATUS: dict[int, type[Problem]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
    422: Invalid,
    429: TooManyRequests,
    503: Unavailable,
}


# -- requests ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ExternalId:
    """The id of a film elsewhere: `ExternalId("imdb", "tt0113277")`."""

    source: str
    value: str

    def __str__(self) -> str:
        return f"{self.source}:{self.value}"


# Wherever a film id goes: its number on the site, "source:id", or both parts.
MovieRef = int | str | ExternalId


def _ref(movie: MovieRef) -> Any:
    return {"source": movie.source, "id": movie.value} if isinstance(movie, ExternalId) else movie


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """A film of a history in a request; without `rating` it counts as a click."""

    movie_id: MovieRef
    rating: float | None = None
    at: datetime | None = None

    def _json(self) -> dict[str, Any]:
        return _without_none({"movie_id": _ref(self.movie_id), "rating": self.rating, "at": _moment(self.at)})


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
                value = _moment(value)
            elif isinstance(value, list | tuple):
                value = [_ref(part) for part in value]
            elif isinstance(value, ExternalId):
                value = _ref(value)
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
                value = _moment(value)
            elif isinstance(value, Mapping):
                value = {name: _condition(condition) for name, condition in value.items()}
            elif value is not None and not isinstance(value, int):
                value = list(value)
            stated[each.name] = value
        return _without_none(stated)


def _condition(condition: AttributeValue | Sequence[AttributeValue] | Between) -> Any:
    if isinstance(condition, Between):
        return _without_none({"from": condition.low, "to": condition.high})
    return condition if isinstance(condition, str | int | float) else list(condition)


@dataclass(frozen=True, slots=True)
class Pin:
    """A film that stands at a rank, from 1, if it may be in the list. `name` is what `rules` call it."""

    movie_id: MovieRef
    rank: int
    name: str = "pin"

    def _json(self) -> dict[str, Any]:
        return {"movie_id": _ref(self.movie_id), "rank": self.rank, "name": self.name}


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
        return _without_none(
            {
                "places": self.places,
                "movies": None if self.movies is None else [_ref(each) for each in self.movies],
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
    watch. `client_event_id` is made here: the same object sent twice has one
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

    def _json(self) -> dict[str, Any]:
        day = {} if self.watched_on is None else {"watched_on": self.watched_on.isoformat()}
        return {
            "visitor": self.visitor,
            "movie_id": _ref(self.movie_id),
            "kind": self.kind,
            "value": self.value,
            "at": _moment(self.at),
            "surface": self.surface,
            "recommendation_id": self.recommendation_id,
            "client_event_id": self.client_event_id,
            **day,
        }


def _moment(at: datetime | None) -> str | None:
    if at is None:
        return None
    if at.tzinfo is None:
        raise ValueError("at needs a time zone, such as datetime.now(UTC)")
    return at.isoformat()


def _without_none(content: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in content.items() if value is not None}


# -- answers --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fallback:
    """The reason why another model answered than the requested one."""

    requested: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class PathNode:
    """A node on a path from the history to a film, with the edge that leads to it."""

    kind: str
    id: int | None
    name: str
    url: str
    edge: str


@dataclass(frozen=True, slots=True)
class Reason:
    """A film of the history, with its share of all that supports the score."""

    movie_id: int
    sentence: str
    share: float
    external_id: str | None = None


@dataclass(frozen=True, slots=True)
class Connection:
    """A path of the knowledge graph from a film of the history, as a sentence and node by node."""

    sentence: str
    path: tuple[PathNode, ...]


@dataclass(frozen=True, slots=True)
class Recommendation:
    """`reasons`, `rest`, `connections` and `instead` are there with `explain`.

    `predicted_rating` is there from two ratings on, `external_id` with an `id_space` that has the film, and
    `rules` where rules moved it.
    """

    rank: int
    movie_id: int
    title: str
    score: float
    predicted_rating: float | None = None
    reasons: tuple[Reason, ...] | None = None
    rest: float | None = None
    connections: tuple[Connection, ...] | None = None
    instead: str | None = None
    external_id: str | None = None
    rules: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class InExperiment:
    """The experiment that decided the model of a list, and the arm that the visitor is in."""

    name: str
    arm: str


@dataclass(frozen=True, slots=True)
class Recommendations:
    """A ranked list. Send `recommendation_id` with the interactions that follow from it.

    `filled` films follow by their ratings, because the model knows no more that pass the filters.
    """

    recommendation_id: str
    model: str
    version: str
    recommendations: tuple[Recommendation, ...]
    unknown_ids: tuple[int | str, ...]
    latency_ms: float
    filled: int
    fallback: Fallback | None = None
    experiment: InExperiment | None = None


@dataclass(frozen=True, slots=True)
class BatchError:
    status: int
    title: str
    detail: str


@dataclass(frozen=True, slots=True)
class BatchEntry:
    """The list of an entry, or its `error`."""

    user_id: str | None = None
    recommendation_id: str | None = None
    model: str | None = None
    version: str | None = None
    recommendations: tuple[Recommendation, ...] | None = None
    unknown_ids: tuple[int | str, ...] | None = None
    filled: int | None = None
    fallback: Fallback | None = None
    experiment: InExperiment | None = None
    error: BatchError | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """One result for each entry, in the order of the entries."""

    results: tuple[BatchEntry, ...]
    failed: int
    latency_ms: float


@dataclass(frozen=True, slots=True)
class Movie:
    """`external_ids` are its ids elsewhere; `external_id` is the one of the `id_space` that was asked for."""

    id: int
    title: str
    year: int | None
    genres: tuple[str, ...]
    rating_count: int
    rating_average: float | None
    url: str
    external_ids: tuple[ExternalId, ...]
    external_id: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class Person:
    id: int
    name: str


@dataclass(frozen=True, slots=True)
class Title:
    title: str
    language: str


@dataclass(frozen=True, slots=True)
class MovieDetail(Movie):
    """`rating_histogram` says how often each half star was given: {"0.5": 3, ...}.

    `attributes` are what a client said of the film in words of its own.
    """

    runtime: int | None
    synopsis: str
    countries: tuple[str, ...]
    languages: tuple[str, ...]
    directors: tuple[Person, ...]
    writers: tuple[Person, ...]
    cast: tuple[Person, ...]
    titles: tuple[Title, ...]
    tags: tuple[str, ...]
    available_from: datetime | None
    available_until: datetime | None
    attributes: dict[str, Any]
    rating_histogram: dict[str, int]


@dataclass(frozen=True, slots=True)
class OwnMovie(MovieDetail):
    """A film as its owner sees it: `visible` was decided, `is_available` says what visitors see."""

    visible: bool
    is_available: bool


@dataclass(frozen=True, slots=True)
class Page:
    """Where one page of a list stands; `next` and `previous` are None at the ends."""

    count: int
    page: int
    pages: int
    page_size: int
    next: str | None
    previous: str | None


@dataclass(frozen=True, slots=True)
class MoviePage(Page):
    results: tuple[Movie, ...]

    @property
    def _items(self) -> tuple[Movie, ...]:
        return self.results


@dataclass(frozen=True, slots=True)
class FoundPerson(Person):
    films: int
    url: str


@dataclass(frozen=True, slots=True)
class SearchPage(MoviePage):
    people: tuple[FoundPerson, ...]
    did_you_mean: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PeoplePage(Page):
    results: tuple[FoundPerson, ...]

    @property
    def _items(self) -> tuple[FoundPerson, ...]:
        return self.results


@dataclass(frozen=True, slots=True)
class Genre:
    id: int
    name: str
    films: int


@dataclass(frozen=True, slots=True)
class MovieWritten:
    """What became of a film that was sent: `outcome` is added, changed, unchanged or refused."""

    movie_id: int | None
    outcome: str
    errors: tuple[FieldProblem, ...] = ()


@dataclass(frozen=True, slots=True)
class MoviesWritten:
    """Counts of the films by outcome; `results` has one for each, in their order."""

    added: int
    changed: int
    unchanged: int
    refused: int
    results: tuple[MovieWritten, ...]


@dataclass(frozen=True, slots=True)
class Similar:
    movie_id: int
    recommendation_id: str
    model: str
    version: str
    fallback: str
    similar: tuple[Recommendation, ...]
    external_id: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """An interaction that was not stored; `index` is its position in the request."""

    index: int
    errors: tuple[FieldProblem, ...]


@dataclass(frozen=True, slots=True)
class Recorded:
    """Counts of interactions: `stored` ones are safe, `repeated` ones had no second effect."""

    stored: int
    repeated: int
    refused: tuple[Refused, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """An interaction of a visitor; `event_id` is None for a rating that came with a data set."""

    event_id: str | None
    kind: str
    movie_id: int
    value: float | None
    at: datetime
    surface: str
    recommendation_id: str
    external_id: str | None = None
    watched_on: date | None = None


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """`events` are newest first; `next` is the cursor of the next page."""

    visitor: str
    events: tuple[Event, ...]
    next: str | None

    @property
    def _items(self) -> tuple[Event, ...]:
        return self.events


@dataclass(frozen=True, slots=True)
class User:
    id: str
    ratings: int


@dataclass(frozen=True, slots=True)
class UserPage:
    users: tuple[User, ...]
    next: str | None

    @property
    def _items(self) -> tuple[User, ...]:
        return self.users


@dataclass(frozen=True, slots=True)
class ModelVersion:
    version: str
    is_active: bool
    created: datetime | None
    users: int | None
    items: int | None
    interactions: int | None
    problem: str


@dataclass(frozen=True, slots=True)
class Metrics:
    """Metrics under one protocol, comparable under the same protocol only."""

    protocol: str
    conditions: str
    users: int | None
    figures: dict[str, float]


@dataclass(frozen=True, slots=True)
class Model:
    """`training` is how far a training has got, 0 to 1."""

    name: str
    label: str
    summary: str
    is_active: bool
    version: str
    is_default: bool
    training: float | None
    versions: tuple[ModelVersion, ...]
    metrics: tuple[Metrics, ...]


@dataclass(frozen=True, slots=True)
class Activated:
    """To go back, activate `previous`."""

    name: str
    version: str
    previous: str


@dataclass(frozen=True, slots=True)
class Arm:
    """A model of an experiment, and the share of visitors that it answers."""

    name: str
    model: str
    share: float
    is_control: bool = False


@dataclass(frozen=True, slots=True)
class Experiment:
    name: str
    question: str
    metric: str
    state: str
    is_running: bool
    starts_at: datetime
    ends_at: datetime | None
    arms: tuple[Arm, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """`state` is draft, planned, early, imbalance, better, worse, same or open."""

    state: str
    text: str
    winner: str | None


@dataclass(frozen=True, slots=True)
class SampleRatio:
    chi_square_p: float
    sequential_p: float
    is_alarming: bool


@dataclass(frozen=True, slots=True)
class ExperimentFigure:
    """A metric of an arm, with an interval that holds at all looks together."""

    arm: str
    model: str
    share: float
    is_control: bool
    visitors: int
    lists: int
    lists_by_fallback: int
    films_opened: int
    ratings: int
    changed_arm: int
    metric: str
    is_primary: bool
    value: float | None
    low: float | None
    high: float | None
    lift: float | None
    lift_low: float | None
    lift_high: float | None
    p: float | None


@dataclass(frozen=True, slots=True)
class ExperimentResults(Experiment):
    verdict: Verdict
    sample_ratio: SampleRatio | None
    figures: tuple[ExperimentFigure, ...]


@dataclass(frozen=True, slots=True)
class Promoted(ExperimentResults):
    """The figures that an experiment ended with, the model that is the default now, and the one before."""

    promoted: str
    previous: str


@dataclass(frozen=True, slots=True)
class _Models:
    models: tuple[Model, ...]


@dataclass(frozen=True, slots=True)
class _Experiments:
    experiments: tuple[Experiment, ...]


@dataclass(frozen=True, slots=True)
class _Genres:
    genres: tuple[Genre, ...]


@dataclass(frozen=True, slots=True)
class _Hidden:
    movie_id: int
    visible: bool


@dataclass(frozen=True, slots=True)
class _Forgotten:
    deleted: int


_SENT_AS = {"where": "in"}  # `in` is a keyword of Python


def _read(kind: Any, value: Any, path: str = "") -> Any:
    """Return a JSON value as an instance of a type. Unknown fields are dropped, so that a newer site may add
    fields. Raises UnexpectedAnswer."""
    match typing.get_origin(kind), value:
        case (types.UnionType, None):
            return None
        case (types.UnionType, _):
            kinds = [each for each in typing.get_args(kind) if each is not types.NoneType]
            fitting = [each for each in kinds if isinstance(each, type) and isinstance(value, each)]
            return _read((fitting or kinds)[0], value, path)
        case (origin, list()) if origin is tuple:
            each_kind = typing.get_args(kind)[0]
            return tuple(_read(each_kind, each, f"{path}[{index}]") for index, each in enumerate(value))
        case (origin, dict()) if origin is dict:
            each_kind = typing.get_args(kind)[1]
            return {name: _read(each_kind, each, f"{path}.{name}") for name, each in value.items()}
    return _read_plain(kind, value, path)


def _read_plain(kind: Any, value: Any, path: str) -> Any:
    if kind is Any:
        return value
    if isinstance(kind, type):
        if dataclasses.is_dataclass(kind) and isinstance(value, dict):
            return kind(**_read_fields(kind, value, path))
        if kind is float and type(value) is int:
            return float(value)
        if kind is datetime and isinstance(value, str):
            with contextlib.suppress(ValueError):
                return datetime.fromisoformat(value)
        elif kind is date and isinstance(value, str):
            with contextlib.suppress(ValueError):
                return date.fromisoformat(value)
        elif isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
            return value
    raise UnexpectedAnswer(f"{path or 'the answer'}: {value!r} was not expected")


@functools.cache
def _fields_of(kind: type) -> list[tuple[str, str, Any, bool]]:
    """Return for each field (name here, name in JSON, type, whether it may be missing)."""
    hints = typing.get_type_hints(kind)
    return [
        (
            each.name,
            _SENT_AS.get(each.name, each.name),
            hints[each.name],
            each.default is not dataclasses.MISSING,
        )
        for each in dataclasses.fields(kind)
    ]


def _read_fields(kind: type, value: Mapping[str, Any], path: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, sent_as, hint, may_be_missing in _fields_of(kind):
        where = f"{path}.{sent_as}" if path else sent_as
        if sent_as in value:
            found[name] = _read(hint, value[sent_as], where)
        elif not may_be_missing:
            raise UnexpectedAnswer(f"{where} is missing in the answer")
    return found


# -- calls ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Call(Generic[T_co]):
    """A request. A `repeatable` one has no second effect when it is sent again."""

    method: str
    path: str
    read: Callable[[Any], T_co]
    params: Sequence[tuple[str, str]] = ()
    json: Any = None
    repeatable: bool = True


def _as(kind: type[T]) -> Callable[[Any], T]:
    def read(content: Any) -> T:
        return typing.cast(T, _read(kind, content))

    return read


def _query(**pairs: str | int | float | bool | Sequence[str] | None) -> list[tuple[str, str]]:
    found = []
    for name, value in pairs.items():
        for each in [value] if isinstance(value, str | int | float) else value or ():
            found.append((name, str(each).lower() if isinstance(each, bool) else str(each)))
    return found


def _part(value: MovieRef) -> str:
    """Return a value as one segment of an address."""
    return quote(str(value), safe="")


def _history(history: History) -> list[Any]:
    return [each._json() if isinstance(each, HistoryEntry) else _ref(each) for each in history]


def _ranking_options(
    *,
    model: str | None,
    k: int | None,
    exclude_seen: bool,
    exclude: Iterable[MovieRef],
    candidates: Iterable[MovieRef] | None,
    offset: int,
    filters: Filters | None,
    rules: Rules | None,
    diversity: float,
    familiarity: float,
) -> dict[str, Any]:
    return _without_none(
        {
            "model": model,
            "k": k,
            "exclude_seen": exclude_seen,
            "exclude": [_ref(each) for each in exclude],
            "candidates": None if candidates is None else [_ref(each) for each in candidates],
            "offset": offset,
            "filters": None if filters is None else filters._json(),
            "rules": None if rules is None else rules._json(),
            "diversity": float(diversity),
            "familiarity": float(familiarity),
        }
    )


def _recommend(
    *,
    user_id: str | None = None,
    history: History | None = None,
    model: str | None = None,
    k: int | None = None,
    exclude_seen: bool = True,
    exclude: Iterable[MovieRef] = (),
    candidates: Iterable[MovieRef] | None = None,
    offset: int = 0,
    filters: Filters | None = None,
    rules: Rules | None = None,
    diversity: float = 0.0,
    familiarity: float = 0.0,
    explain: bool = False,
    endless: bool = False,
    after: str | None = None,
    id_space: str | None = None,
) -> _Call[Recommendations]:
    """Rank films for a known user, or for a history (film ids or `HistoryEntry`, oldest first).

    Give either `user_id` or `history`. Nothing is stored of what is recommended. `candidates` are ranked and
    nothing else is; without `k` there are 20 films, or all candidates. `offset` skips films. An `endless`
    list is remembered for a day, so that one `after` its recommendation_id leaves its films out. `id_space`
    adds each film's id of that source.
    """
    if (user_id is None) == (history is None):
        raise ValueError("give either user_id or history")
    asker = {"user_id": user_id} if history is None else {"history": _history(history)}
    body = {
        **asker,
        **_ranking_options(
            model=model,
            k=k,
            exclude_seen=exclude_seen,
            exclude=exclude,
            candidates=candidates,
            offset=offset,
            filters=filters,
            rules=rules,
            diversity=diversity,
            familiarity=familiarity,
        ),
        "explain": explain,
        "endless": endless,
        **_without_none({"after": after}),
    }
    return _Call("POST", "recommend", _as(Recommendations), _query(id_space=id_space), body)


def _recommend_to(
    user_id: str,
    *,
    k: int = 20,
    model: str | None = None,
    explain: bool = False,
    offset: int = 0,
    id_space: str | None = None,
) -> _Call[Recommendations]:
    """Rank films for a known user, with the defaults of `recommend`."""
    params = _query(k=k, model=model, explain=explain, offset=offset, id_space=id_space)
    return _Call("GET", f"recommend/{_part(user_id)}", _as(Recommendations), params)


def _recommend_batch(
    entries: Sequence[str | History],
    *,
    model: str | None = None,
    k: int | None = None,
    exclude_seen: bool = True,
    exclude: Iterable[MovieRef] = (),
    candidates: Iterable[MovieRef] | None = None,
    offset: int = 0,
    filters: Filters | None = None,
    rules: Rules | None = None,
    diversity: float = 0.0,
    familiarity: float = 0.0,
    id_space: str | None = None,
) -> _Call[Batch]:
    """Rank films for many: an entry is a user id or a history. At most MAX_BATCH of them.

    An entry that cannot be answered has an `error` as its result.
    """
    askers = [{"user_id": each} if isinstance(each, str) else {"history": _history(each)} for each in entries]
    body = {
        "entries": askers,
        **_ranking_options(
            model=model,
            k=k,
            exclude_seen=exclude_seen,
            exclude=exclude,
            candidates=candidates,
            offset=offset,
            filters=filters,
            rules=rules,
            diversity=diversity,
            familiarity=familiarity,
        ),
    }
    return _Call("POST", "recommend/batch", _as(Batch), _query(id_space=id_space), body)


def _movies_page(
    *,
    genre: Sequence[str] = (),
    without_genre: Sequence[str] = (),
    year_from: int | None = None,
    year_to: int | None = None,
    language: str | None = None,
    country: str | None = None,
    external_id: Sequence[MovieRef] = (),
    sort: Sort = "popular",
    id_space: str | None = None,
    page: int = 1,
    page_size: int = 100,
) -> _Call[MoviePage]:
    """Return one page of the films that have every `genre`, none of `without_genre`, one of `external_id`."""
    params = _query(
        genre=_as_list(genre),
        without_genre=_as_list(without_genre),
        year_from=year_from,
        year_to=year_to,
        language=language,
        country=country,
        external_id=[str(each) for each in external_id],
        sort=sort,
        id_space=id_space,
        page=page,
        page_size=page_size,
    )
    return _Call("GET", "movies", _as(MoviePage), params)


def _as_list(names: Sequence[str]) -> list[str]:
    """Return names as a list; a single string is one name."""
    return [names] if isinstance(names, str) else list(names)


def _movie(movie_id: MovieRef, *, id_space: str | None = None) -> _Call[MovieDetail]:
    """Return everything the catalogue knows about a film."""
    return _Call("GET", f"movies/{_part(movie_id)}", _as(MovieDetail), _query(id_space=id_space))


def _put_some(films: Sequence[MovieUpdate]) -> _Call[MoviesWritten]:
    return _Call("PUT", "movies", _as(MoviesWritten), json=[each._json() for each in films])


def _change_movie(film: MovieUpdate) -> _Call[OwnMovie]:
    """Change what is stated of a film, a hidden one too, and return all of it."""
    stated = {name: value for name, value in film._json().items() if name != "id"}
    return _Call("PATCH", f"movies/{_part(film.id)}", _as(OwnMovie), json=stated)


def _hide_movie(movie_id: MovieRef) -> _Call[int]:
    """Hide a film from everybody; return its number. Its ratings stay."""

    def read(content: Any) -> int:
        return _as(_Hidden)(content).movie_id

    return _Call("DELETE", f"movies/{_part(movie_id)}", read)


def _genres() -> _Call[tuple[Genre, ...]]:
    """Return the genres of films that are shown, by name."""
    return _Call("GET", "genres", lambda content: _as(_Genres)(content).genres)


def _people_page(q: str | None = None, *, page: int = 1, page_size: int = 100) -> _Call[PeoplePage]:
    """Return one page of people: by name, or those that `q` names, the best match first."""
    return _Call("GET", "people", _as(PeoplePage), _query(q=q, page=page, page_size=page_size))


def _similar(movie_id: MovieRef, *, k: int = 20, id_space: str | None = None) -> _Call[Similar]:
    """Return films that the same people liked."""
    return _Call("GET", f"movies/{_part(movie_id)}/similar", _as(Similar), _query(k=k, id_space=id_space))


def _search(q: str, *, page: int = 1, page_size: int = 100, id_space: str | None = None) -> _Call[SearchPage]:
    """Find films by title in any language, and people by name; the best match is first."""
    params = _query(q=q, page=page, page_size=page_size, id_space=id_space)
    return _Call("GET", "search", _as(SearchPage), params)


def _record(interaction: Interaction) -> _Call[Recorded]:
    """Store one interaction. When this returns it is safe; sent again it has no second effect."""
    return _Call("POST", "interactions", _as(Recorded), json=interaction._json())


def _record_some(interactions: Sequence[Interaction], *, atomic: bool) -> _Call[Recorded]:
    body = [each._json() for each in interactions]
    return _Call("POST", "interactions", _as(Recorded), _query(atomic=atomic), body)


def _history_page(
    visitor: str, *, limit: int = 200, cursor: str = "", id_space: str | None = None
) -> _Call[HistoryPage]:
    """Return one page of a visitor's interactions, newest first."""
    params = _query(limit=limit, cursor=cursor or None, id_space=id_space)
    return _Call("GET", f"visitors/{_part(visitor)}/history", _as(HistoryPage), params)


def _forget(visitor: str, *, movie_id: MovieRef | None = None) -> _Call[int]:
    """Delete the history of one of your own visitors, or its part about one film; return its size."""

    def read(content: Any) -> int:
        return _as(_Forgotten)(content).deleted

    film = None if movie_id is None else str(movie_id)
    return _Call("DELETE", f"visitors/{_part(visitor)}/history", read, _query(movie_id=film))


def _users_page(*, limit: int = 1_000, cursor: str = "") -> _Call[UserPage]:
    """Return one page of the users of data sets and, with the scope `read`, of your own visitors."""
    return _Call("GET", "users", _as(UserPage), _query(limit=limit, cursor=cursor or None))


def _models() -> _Call[tuple[Model, ...]]:
    """Return the models, their versions, and the metrics of the active one."""
    return _Call("GET", "models", lambda content: _as(_Models)(content).models)


def _activate(name: str, version: str) -> _Call[Activated]:
    """Verify a version of a model and make it serve."""
    address = f"models/{_part(name)}/activate"
    return _Call("POST", address, _as(Activated), json={"version": version}, repeatable=False)


def _experiments() -> _Call[tuple[Experiment, ...]]:
    """Return all experiments."""
    return _Call("GET", "experiments", lambda content: _as(_Experiments)(content).experiments)


def _create_experiment(
    name: str,
    arms: Sequence[Arm],
    *,
    question: str = "",
    metric: ExperimentMetric = "ctr",
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
) -> _Call[Experiment]:
    """Store an experiment that is not started yet. The shares add up to 1, and one arm is the control."""
    body = {
        "name": name,
        "question": question,
        "metric": metric,
        "starts_at": _moment(starts_at),
        "ends_at": _moment(ends_at),
        "arms": [dataclasses.asdict(arm) for arm in arms],
    }
    return _Call("POST", "experiments", _as(Experiment), json=body, repeatable=False)


def _start_experiment(name: str) -> _Call[Experiment]:
    """Start a draft. Raises Conflict where a model is not trained or another experiment runs."""
    return _Call("POST", f"experiments/{_part(name)}/start", _as(Experiment))


def _stop_experiment(name: str) -> _Call[Experiment]:
    """End an experiment for good."""
    return _Call("POST", f"experiments/{_part(name)}/stop", _as(Experiment))


def _promote(name: str, arm: str) -> _Call[Promoted]:
    """Make the model of an arm the site's default, whatever the verdict, and end the experiment."""
    address = f"experiments/{_part(name)}/promote"
    return _Call("POST", address, _as(Promoted), json={"arm": arm}, repeatable=False)


def _experiment(name: str) -> _Call[ExperimentResults]:
    """Return the results of an experiment so far."""
    return _Call("GET", f"experiments/{_part(name)}", _as(ExperimentResults))


# -- sending and retries -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Retries:
    """The policy for sending a failed request again.

    After 429 and 503 the client waits as long as `Retry-After` says, or else `first_wait` seconds, twice as
    long each time and a random part of that again. It does not wait longer than `longest_wait`: then
    the refusal is raised at once, with `retry_after`. Broken connections are tried again too.
    """

    attempts: int = 4  # in all; 1 = never again
    first_wait: float = 0.25
    longest_wait: float = 30.0

    def wait(self, attempt: int, asked: float | None) -> float | None:
        """Return the seconds before the next attempt; None = give up."""
        if attempt >= self.attempts:
            return None
        seconds = self.first_wait * 2 ** (attempt - 1) * (1 + random.random()) if asked is None else asked  # noqa: S311
        return seconds if seconds <= self.longest_wait else None


_TRY_AGAIN = (429, 502, 503, 504)
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


def _seconds(retry_after: str | None) -> float | None:
    """Return the seconds of a Retry-After header, which holds seconds or a date."""
    if retry_after is None:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max((moment - datetime.now(UTC)).total_seconds(), 0.0)


def _problem(response: httpx.Response) -> ReelgraphError:
    retry_after = _seconds(response.headers.get("Retry-After"))
    kind = _BY_STATUS.get(response.status_code, ServerFailed if response.status_code >= 500 else Problem)
    try:
        content = response.json()
    except ValueError:
        content = None
    if isinstance(content, dict) and "detail" in content:
        errors = _read(tuple[FieldProblem, ...], content.get("errors", []), "errors")
        title = str(content.get("title", response.reason_phrase))
        return kind(response.status_code, title, str(content["detail"]), errors, retry_after)
    if response.status_code >= 500 or response.status_code == 429:
        said = response.text[:200] or "without a word"
        return kind(response.status_code, response.reason_phrase, said, (), retry_after)
    where = response.headers.get("Location")
    told = f"led to {where}" if where else f"answered {response.status_code} {response.reason_phrase}"
    return UnexpectedAnswer(f"{response.request.url} {told}; is this the address of a Reelgraph site?")


def _answer(call: _Call[T], response: httpx.Response) -> T:
    try:
        content = response.json()
    except ValueError as error:
        raise UnexpectedAnswer(f"{response.request.url} answered with something else than JSON") from error
    return call.read(content)


class _Attempt:
    """A call under way: builds the request, reads the answer, decides about retries for both clients."""

    def __init__(self, call: _Call[Any], retries: Retries) -> None:
        self._call, self._retries = call, retries
        self._number = 0

    def wait_after(self, response: httpx.Response) -> float | None:
        """Return the seconds until a retry; None if this is the answer. Raises the refusal."""
        self._number += 1
        if response.is_success:
            return None
        problem = _problem(response)
        # 429 and 503 changed nothing; after a gateway's 502 or 504 nobody knows.
        if response.status_code in _TRY_AGAIN and (
            response.status_code in (429, 503) or self._call.repeatable
        ):
            asked = problem.retry_after if isinstance(problem, Problem) else None
            wait = self._retries.wait(self._number, asked)
            if wait is not None:
                return wait
        raise problem

    def wait_after_failure(self, error: httpx.HTTPError) -> float:
        self._number += 1
        wait = self._retries.wait(self._number, None)
        if wait is None or not (self._call.repeatable or isinstance(error, _NOT_SENT)):
            raise ConnectionFailed(
                f"{self._call.method} {self._call.path}: {error or type(error).__name__}"
            ) from error
        return wait


def _settings(base_url: str, key: str | None, timeout: float | httpx.Timeout) -> dict[str, Any]:
    headers = {"Accept": "application/json", "User-Agent": USER_AGENT}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    return {"base_url": f"{base_url.rstrip('/')}/api/v1/", "headers": headers, "timeout": timeout}


def _request_arguments(call: _Call[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"method": call.method, "url": call.path, "params": call.params}
    if call.json is not None:
        found["json"] = call.json
    return found


def _copy_signature(build: Callable[..., Any], method: Callable[..., Any]) -> None:
    """Copy the signature and the docstring of a call to a method, for help()."""
    functools.update_wrapper(method, build)
    method.__name__ = build.__name__.removeprefix("_")
    del method.__dict__["__wrapped__"]
    signature = inspect.signature(build)
    me = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    answer = str(signature.return_annotation).removeprefix("_Call[").removesuffix("]")
    method.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[me, *signature.parameters.values()], return_annotation=answer
    )


def _blocking(build: Callable[P, _Call[T]]) -> Callable[Concatenate[Client, P], T]:
    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._send(build(*args, **kwargs))

    _copy_signature(build, method)
    return method


def _awaiting(build: Callable[P, _Call[T]]) -> Callable[Concatenate[AsyncClient, P], Awaitable[T]]:
    async def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._send(build(*args, **kwargs))

    _copy_signature(build, method)
    return method


class _PageOf(Protocol[T_co]):
    """A page of a list, with its items and the mark of the next page."""

    @property
    def _items(self) -> tuple[T_co, ...]: ...
    @property
    def next(self) -> str | None: ...


def _page_after(call: _Call[T], page: _PageOf[Any]) -> _Call[T] | None:
    """Return the call for the page after this one: by its cursor, or by its number."""
    if page.next is None:
        return None
    params = dict(call.params)  # a page has each of these once
    mark = {"page": str(int(params["page"]) + 1)} if "page" in params else {"cursor": page.next}
    others = [(name, value) for name, value in call.params if name not in mark]
    return dataclasses.replace(call, params=[*others, *mark.items()])


def _iterating(build: Callable[P, _Call[_PageOf[T]]]) -> Callable[Concatenate[Client, P], Iterator[T]]:
    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        call: _Call[_PageOf[T]] | None = build(*args, **kwargs)
        while call is not None:
            page = self._send(call)
            yield from page._items
            call = _page_after(call, page)

    _describe_iterator(build, method)
    return method


def _iterating_async(
    build: Callable[P, _Call[_PageOf[T]]],
) -> Callable[Concatenate[AsyncClient, P], AsyncIterator[T]]:
    async def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        call: _Call[_PageOf[T]] | None = build(*args, **kwargs)
        while call is not None:
            page = await self._send(call)
            for item in page._items:
                yield item
            call = _page_after(call, page)

    _describe_iterator(build, method)
    return method


def _describe_iterator(build: Callable[..., Any], method: Callable[..., Any]) -> None:
    _copy_signature(build, method)
    name = method.__name__
    method.__doc__ = f"Iterate over all that `{name}` returns; pages are requested when needed."


_PLACE = re.compile(r"\[(\d+)\]\.?(.*)")


def _movie_chunks(films: Iterable[MovieUpdate]) -> Iterator[list[MovieUpdate]]:
    everything = list(films)
    for start in range(0, len(everything), MAX_MOVIES):
        yield everything[start : start + MAX_MOVIES]


def _refused_movies(problem: Invalid, sent: int) -> MoviesWritten:
    """Return the result of a chunk of films without a valid one. Raises any other problem."""
    refused = {each.index: each.errors for each in _refused_chunk(problem).refused}
    results = tuple(MovieWritten(None, "refused", refused.get(index, ())) for index in range(sent))
    return MoviesWritten(0, 0, 0, sent, results)


def _merge_written(written: Sequence[MoviesWritten]) -> MoviesWritten:
    return MoviesWritten(
        sum(each.added for each in written),
        sum(each.changed for each in written),
        sum(each.unchanged for each in written),
        sum(each.refused for each in written),
        tuple(result for each in written for result in each.results),
    )


def _chunks(interactions: Iterable[Interaction], atomic: bool) -> Iterator[tuple[int, list[Interaction]]]:
    """Yield chunks of at most MAX_INTERACTIONS, each with the index of its first interaction."""
    everything = list(interactions)
    if atomic and len(everything) > MAX_INTERACTIONS:
        raise ValueError(
            f"all or none is possible for {MAX_INTERACTIONS} interactions, not {len(everything)}"
        )
    for start in range(0, len(everything), MAX_INTERACTIONS):
        yield start, everything[start : start + MAX_INTERACTIONS]


def _refused_chunk(problem: Invalid) -> Recorded:
    """Return the result of a chunk without a valid entry. Raises any other problem."""
    refused: dict[int, list[FieldProblem]] = {}
    for error in problem.errors:
        found = _PLACE.fullmatch(error.field)
        if found is None:
            raise problem
        refused.setdefault(int(found[1]), []).append(dataclasses.replace(error, field=found[2]))
    if not refused:
        raise problem
    return Recorded(0, 0, tuple(Refused(index, tuple(errors)) for index, errors in refused.items()))


def _merge(recorded: Iterable[tuple[int, Recorded]]) -> Recorded:
    stored = repeated = 0
    refused: list[Refused] = []
    for start, each in recorded:
        stored, repeated = stored + each.stored, repeated + each.repeated
        refused += [dataclasses.replace(one, index=start + one.index) for one in each.refused]
    return Recorded(stored, repeated, tuple(refused))


class Client:
    """A client of one site's API. Safe to share between threads; close it, or use it in a `with` block.

    base_url   of the site: https://films.example.org
    key        rg_...; without it only what every visitor of the site may read
    timeout    seconds for each of connecting, sending and waiting for an answer
    retries    see Retries
    transport  of httpx, for a proxy or a socket of your own
    """

    def __init__(
        self,
        base_url: str,
        key: str | None = None,
        *,
        timeout: float | httpx.Timeout = TIMEOUT,
        retries: Retries | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._retries = retries or Retries()
        self._http = httpx.Client(**_settings(base_url, key, timeout), transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    recommend = _blocking(_recommend)
    recommend_to = _blocking(_recommend_to)
    recommend_batch = _blocking(_recommend_batch)
    movies_page = _blocking(_movies_page)
    movie = _blocking(_movie)
    change_movie = _blocking(_change_movie)
    hide_movie = _blocking(_hide_movie)
    genres = _blocking(_genres)
    people_page = _blocking(_people_page)
    similar = _blocking(_similar)
    search = _blocking(_search)
    record = _blocking(_record)
    history_page = _blocking(_history_page)
    forget = _blocking(_forget)
    users_page = _blocking(_users_page)
    models = _blocking(_models)
    activate = _blocking(_activate)
    experiments = _blocking(_experiments)
    experiment = _blocking(_experiment)
    create_experiment = _blocking(_create_experiment)
    start_experiment = _blocking(_start_experiment)
    stop_experiment = _blocking(_stop_experiment)
    promote = _blocking(_promote)
    movies = _iterating(_movies_page)
    people = _iterating(_people_page)
    search_movies = _iterating(_search)
    history = _iterating(_history_page)
    users = _iterating(_users_page)

    def put_movies(self, films: Iterable[MovieUpdate]) -> MoviesWritten:
        """Add or change films, MAX_MOVIES at a time. Sent again it changes nothing.

        Invalid ones are refused in their place of `results`, and the others are written.
        """
        written = []
        for some in _movie_chunks(films):
            try:
                written.append(self._send(_put_some(some)))
            except Invalid as problem:
                written.append(_refused_movies(problem, len(some)))
        return _merge_written(written)

    def record_all(self, interactions: Iterable[Interaction], *, atomic: bool = False) -> Recorded:
        """Store many, MAX_INTERACTIONS at a time. Invalid ones are in `refused`, the others are stored.

        With `atomic` all are stored or none, and Invalid is raised; then they must fit in one request.
        """
        recorded = []
        for start, some in _chunks(interactions, atomic):
            try:
                recorded.append((start, self._send(_record_some(some, atomic=atomic))))
            except Invalid as problem:
                if atomic:
                    raise
                recorded.append((start, _refused_chunk(problem)))
        return _merge(recorded)

    def _send(self, call: _Call[T]) -> T:
        attempt = _Attempt(call, self._retries)
        while True:
            try:
                response = self._http.request(**_request_arguments(call))
                wait = attempt.wait_after(response)
                if wait is None:
                    return _answer(call, response)
            except httpx.HTTPError as error:
                wait = attempt.wait_after_failure(error)
            time.sleep(wait)


class AsyncClient:
    """An asynchronous `Client`, with methods to await and iterators for `async for`.

    Close it with `aclose`, or use it in an `async with` block.
    """

    def __init__(
        self,
        base_url: str,
        key: str | None = None,
        *,
        timeout: float | httpx.Timeout = TIMEOUT,
        retries: Retries | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._retries = retries or Retries()
        self._http = httpx.AsyncClient(**_settings(base_url, key, timeout), transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._http.aclose()

    recommend = _awaiting(_recommend)
    recommend_to = _awaiting(_recommend_to)
    recommend_batch = _awaiting(_recommend_batch)
    movies_page = _awaiting(_movies_page)
    movie = _awaiting(_movie)
    change_movie = _awaiting(_change_movie)
    hide_movie = _awaiting(_hide_movie)
    genres = _awaiting(_genres)
    people_page = _awaiting(_people_page)
    similar = _awaiting(_similar)
    search = _awaiting(_search)
    record = _awaiting(_record)
    history_page = _awaiting(_history_page)
    forget = _awaiting(_forget)
    users_page = _awaiting(_users_page)
    models = _awaiting(_models)
    activate = _awaiting(_activate)
    experiments = _awaiting(_experiments)
    experiment = _awaiting(_experiment)
    create_experiment = _awaiting(_create_experiment)
    start_experiment = _awaiting(_start_experiment)
    stop_experiment = _awaiting(_stop_experiment)
    promote = _awaiting(_promote)
    movies = _iterating_async(_movies_page)
    people = _iterating_async(_people_page)
    search_movies = _iterating_async(_search)
    history = _iterating_async(_history_page)
    users = _iterating_async(_users_page)

    async def put_movies(self, films: Iterable[MovieUpdate]) -> MoviesWritten:
        """Add or change films, as `Client.put_movies`."""
        written = []
        for some in _movie_chunks(films):
            try:
                written.append(await self._send(_put_some(some)))
            except Invalid as problem:
                written.append(_refused_movies(problem, len(some)))
        return _merge_written(written)

    async def record_all(self, interactions: Iterable[Interaction], *, atomic: bool = False) -> Recorded:
        """Store many, as `Client.record_all`."""
        recorded = []
        for start, some in _chunks(interactions, atomic):
            try:
                recorded.append((start, await self._send(_record_some(some, atomic=atomic))))
            except Invalid as problem:
                if atomic:
                    raise
                recorded.append((start, _refused_chunk(problem)))
        return _merge(recorded)

    async def _send(self, call: _Call[T]) -> T:
        attempt = _Attempt(call, self._retries)
        while True:
            try:
                response = await self._http.request(**_request_arguments(call))
                wait = attempt.wait_after(response)
                if wait is None:
                    return _answer(call, response)
            except httpx.HTTPError as error:
                wait = attempt.wait_after_failure(error)
            await asyncio.sleep(wait)
