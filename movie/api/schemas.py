"""Schemas of requests and answers that several modules use.

They are plain pydantic models: ninja's own `Schema` wraps every object that it validates in Python, which
for a history of 200 movies costs more than the answer.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

from movie.catalogue.models import HALF_STARS
from movie.core.converters import MAX_ID
from predictors.plugins import MODELS

MAX_HISTORY = 1000  # movies
MAX_EXCLUDED = 10_000
MAX_BATCH = 1000  # entries
MAX_K = 100
DEFAULT_K = 20
NOT_GIVEN: Any = None  # the default of a field that may be left out, but not be null
MIN_YEAR, MAX_YEAR = 1800, 2200
MAX_RUNTIME = 32_767  # minutes, of the column


def _check_model_name(name: object) -> object:
    if isinstance(name, str) and name not in MODELS:
        raise ValueError(f"there is no model {name!r}; known: {', '.join(MODELS)}")
    return name


MovieId = Annotated[int, Field(strict=True, ge=1, le=MAX_ID, description="A film of this site.")]
UserId = Annotated[
    str,
    Field(
        min_length=1,
        max_length=128,
        description="A user of a data set, such as `ml-100k:42`, or a visitor: `user:7`, `guest:...`.",
    ),
]
ModelName = Annotated[
    str, BeforeValidator(_check_model_name), Field(json_schema_extra={"enum": list(MODELS)})
]
K = Annotated[int, Field(strict=True, ge=1, le=MAX_K, description="How many films.")]
Stars = Annotated[float, Field(strict=True, ge=HALF_STARS[0], le=HALF_STARS[-1], multiple_of=0.5)]
Year = Annotated[int, Field(strict=True, ge=MIN_YEAR, le=MAX_YEAR)]
Minutes = Annotated[int, Field(strict=True, ge=1, le=MAX_RUNTIME)]
Name = Annotated[str, Field(min_length=1, max_length=128)]
Flag = Annotated[bool, Field(strict=True)]
Diversity = Annotated[float, Field(strict=True, ge=0, le=1, description="0 ranks by score alone.")]
Familiarity = Annotated[
    float,
    Field(
        strict=True,
        ge=-1,
        le=1,
        description="-1 for unexpected films, 1 for well-known ones, 0 as fitted. "
        "Models without such a dial answer as always.",
    ),
]


class RequestModel(BaseModel):
    """A body that a client sends. Unknown fields are refused, so that a misspelt one is not ignored."""

    model_config = ConfigDict(extra="forbid")


class HistoryEntry(RequestModel):
    """A film of a history; without `rating` it counts as a click."""

    movie_id: MovieId
    rating: Stars = Field(default=NOT_GIVEN)
    at: AwareDatetime = Field(default=NOT_GIVEN)


IdOrEntry = Annotated[
    Annotated[MovieId, Tag("int")] | Annotated[HistoryEntry, Tag("HistoryEntry")],
    Discriminator(lambda sent: "HistoryEntry" if isinstance(sent, dict | HistoryEntry) else "int"),
]


class Filters(RequestModel):
    """Conditions on the recommended films. An empty list is no condition."""

    genres_in: list[Name] = Field(default=[], max_length=20, description="A film has all of them.")
    genres_out: list[Name] = Field(default=[], max_length=20, description="A film has none of them.")
    year_from: Year = Field(default=NOT_GIVEN)
    year_to: Year = Field(default=NOT_GIVEN)
    languages: list[Name] = Field(default=[], max_length=20, description="A film has one of them.")
    runtime_to: Minutes = Field(
        default=NOT_GIVEN, description="Minutes. Films whose running time is not known are left out."
    )


class HistorySource(RequestModel):
    """A user of the site or a data set, or a history that the client sends."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["user_id"]}, {"required": ["history"]}]}
    )

    user_id: UserId = Field(default=NOT_GIVEN)
    history: list[IdOrEntry] = Field(
        default=NOT_GIVEN,
        max_length=MAX_HISTORY,
        description="Oldest first: ids, or objects. Where every entry has a time, the times decide.",
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> HistorySource:
        if (self.user_id is None) == (self.history is None):
            raise ValueError("give either user_id or history")
        return self


class RankingRequest(RequestModel):
    """Options of a list, and of all lists of a batch."""

    model: ModelName = Field(default=NOT_GIVEN, description="Without it the site's default answers.")
    k: K = DEFAULT_K
    exclude_seen: Flag = Field(default=True, description="Leave out films of the history.")
    exclude: list[MovieId] = Field(default=[], max_length=MAX_EXCLUDED)
    filters: Filters = Field(default=NOT_GIVEN)
    diversity: Diversity = 0.0
    familiarity: Familiarity = 0.0


class RecommendRequest(HistorySource, RankingRequest):
    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [{"required": ["user_id"]}, {"required": ["history"]}],
            "examples": [{"history": [1, {"movie_id": 7, "rating": 4.5}], "k": 5}],
        }
    )

    explain: Flag = Field(default=False, description="Say why each film is in the list.")


class BatchRequest(RankingRequest):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"entries": [{"user_id": "ml-100k:22"}, {"history": [1]}], "k": 5}],
        }
    )

    entries: list[Any] = Field(
        min_length=1,
        max_length=MAX_BATCH,
        description="One list for each; an invalid entry has an error as its result.",
    )


class Fallback(BaseModel):
    """The reason why another model answered than the requested one."""

    requested: str
    reason: str = Field(description="history_too_short, no_known_films or not_trained")
    detail: str


class PathNode(BaseModel):
    """A node on a path from the history to a film, with the edge that leads to it."""

    kind: str
    id: int | None
    name: str
    url: str
    edge: str


class ReasonOut(BaseModel):
    """A film of the history, with its share of all that supports the score."""

    movie_id: int
    sentence: str
    share: float


class ConnectionOut(BaseModel):
    """A path of the knowledge graph from a film of the history, as a sentence and node by node."""

    sentence: str
    path: list[PathNode]


class RecommendationOut(BaseModel):
    rank: int
    movie_id: int
    title: str
    score: float
    predicted_rating: float | None = Field(default=None, description="Stars, from at least two ratings.")
    reasons: list[ReasonOut] | None = Field(default=None, description="With `explain`.")
    rest: float | None = Field(default=None, description="The share of reasons that are not shown.")
    connections: list[ConnectionOut] | None = Field(default=None, description="What else connects it.")
    instead: str | None = Field(default=None, description="Where the score came from, without a reason.")


class RankedOut(BaseModel):
    """A ranked list, with the model that made it."""

    recommendation_id: str = Field(description="Send it with interactions that follow from this list.")
    model: str
    version: str
    recommendations: list[RecommendationOut]
    unknown_ids: list[int] = Field(description="Films of the history that the model does not know.")
    fallback: Fallback | None


class RecommendOut(RankedOut):
    latency_ms: float


class BatchError(BaseModel):
    status: int
    title: str
    detail: str


class BatchEntryOut(BaseModel):
    """The list of an entry, or its error."""

    user_id: str | None = None
    recommendation_id: str | None = None
    model: str | None = None
    version: str | None = None
    recommendations: list[RecommendationOut] | None = None
    unknown_ids: list[int] | None = None
    fallback: Fallback | None = None
    error: BatchError | None = None


class BatchOut(BaseModel):
    """One result for each entry, in the order of the entries."""

    results: list[BatchEntryOut]
    failed: int
    latency_ms: float


class MovieOut(BaseModel):
    id: int
    title: str
    year: int | None
    genres: list[str]
    rating_count: int
    rating_average: float | None
    url: str


class ExternalIdOut(BaseModel):
    source: str
    value: str


class TitleOut(BaseModel):
    title: str
    language: str


class PersonOut(BaseModel):
    id: int
    name: str


class MovieDetailOut(MovieOut):
    runtime: int | None
    synopsis: str
    countries: list[str]
    languages: list[str]
    directors: list[PersonOut]
    writers: list[PersonOut]
    cast: list[PersonOut]
    titles: list[TitleOut]
    external_ids: list[ExternalIdOut]
    rating_histogram: dict[str, int] = Field(description="How often each half star was given.")


class MoviePageOut(BaseModel):
    """One page of films; `next` and `previous` are addresses or null."""

    count: int
    page: int
    pages: int
    page_size: int
    next: str | None
    previous: str | None
    results: list[MovieOut]


class FoundPersonOut(PersonOut):
    films: int
    url: str


class SearchOut(MoviePageOut):
    people: list[FoundPersonOut]
    did_you_mean: list[str] = Field(description="Titles and names alike, where nothing was found.")


class SimilarOut(BaseModel):
    movie_id: int
    recommendation_id: str
    model: str
    version: str
    fallback: str
    similar: list[RecommendationOut]


class ModelVersionOut(BaseModel):
    version: str
    is_active: bool
    created: datetime | None
    users: int | None
    items: int | None
    interactions: int | None
    problem: str


class MetricsOut(BaseModel):
    """Metrics under one protocol; `conditions` say how they were measured."""

    protocol: str
    conditions: str
    users: int | None
    figures: dict[str, float]


class ModelOut(BaseModel):
    name: str
    label: str
    summary: str
    is_active: bool
    version: str
    is_default: bool
    training: float | None = Field(description="How far a training has got, 0 to 1.")
    versions: list[ModelVersionOut]
    metrics: list[MetricsOut] = Field(description="Of the active version, by protocol.")


class ModelsOut(BaseModel):
    models: list[ModelOut]


class ActivateRequest(RequestModel):
    version: Annotated[str, Field(min_length=1, max_length=64)]


class ActivatedOut(BaseModel):
    name: str
    version: str
    previous: str


Sort = Literal["popular", "best", "newest", "oldest", "title"]
