"""What the site answers, as frozen dataclasses."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from reelgraph_client.errors import FieldProblem
from reelgraph_client.requests import ExternalId


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
    `rules` where rules moved it. `is_new` says that the film came after the model was trained, and is ranked
    by its content.
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
    is_new: bool = False
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
    """`is_cut` says that more films may match than `count` says; older sites do not tell."""

    people: tuple[FoundPerson, ...]
    did_you_mean: tuple[str, ...]
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class PeoplePage(Page):
    """`is_cut` says that more people may match than `count` says; older sites do not tell."""

    results: tuple[FoundPerson, ...]
    is_cut: bool = False

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
    progress: float | None = None
    weight: float | None = None


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
