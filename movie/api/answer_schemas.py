"""Schemas of answers: plain pydantic models, as those of requests are (schemas.py)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

WITH_ID_SPACE = "Its id in the `id_space` that was asked for; null where it has none."


class Fallback(BaseModel):
    """The reason why another model answered than the requested one."""

    requested: str
    reason: str = Field(description="history_too_short, no_known_films, no_known_candidates or not_trained")
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
    external_id: str | None = Field(default=None, description=WITH_ID_SPACE)
    sentence: str
    share: float


class ConnectionOut(BaseModel):
    """A path of the knowledge graph from a film of the history, as a sentence and node by node."""

    sentence: str
    path: list[PathNode]


class RecommendationOut(BaseModel):
    rank: int
    movie_id: int
    external_id: str | None = Field(default=None, description=WITH_ID_SPACE)
    title: str
    score: float
    is_new: bool = Field(
        default=False,
        description="It came after the model was trained, and is ranked by its genres, people and words.",
    )
    predicted_rating: float | None = Field(default=None, description="Stars, from at least two ratings.")
    reasons: list[ReasonOut] | None = Field(default=None, description="With `explain`.")
    rest: float | None = Field(default=None, description="The share of reasons that are not shown.")
    connections: list[ConnectionOut] | None = Field(default=None, description="What else connects it.")
    instead: str | None = Field(default=None, description="Where the score came from, without a reason.")
    rules: list[str] | None = Field(default=None, description="Names of the rules that moved it.")


class InExperiment(BaseModel):
    """The experiment that decided the model of a list, and the arm that the visitor is in."""

    name: str
    arm: str


class RankedOut(BaseModel):
    """A ranked list, with the model that made it."""

    recommendation_id: str = Field(description="Send it with interactions that follow from this list.")
    model: str
    version: str
    recommendations: list[RecommendationOut]
    unknown_ids: list[int | str] = Field(
        description="Films of the history and candidates that the model does not know; ids that no film has."
    )
    filled: int = Field(description="So many films of the list follow by their ratings: see `filters`.")
    fallback: Fallback | None
    experiment: InExperiment | None


class RecommendOut(RankedOut):
    latency_ms: float = Field(
        description="Milliseconds until the list was made. Other requests may have had some of them."
    )


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
    unknown_ids: list[int | str] | None = None
    filled: int | None = None
    fallback: Fallback | None = None
    experiment: InExperiment | None = None
    error: BatchError | None = None


class BatchOut(BaseModel):
    """One result for each entry, in the order of the entries."""

    results: list[BatchEntryOut]
    failed: int
    latency_ms: float


class ExternalIdOut(BaseModel):
    source: str
    value: str


class MovieOut(BaseModel):
    id: int
    external_id: str | None = Field(default=None, description=WITH_ID_SPACE)
    external_ids: list[ExternalIdOut] = Field(description="Its ids elsewhere.")
    title: str
    year: int | None
    genres: list[str]
    rating_count: int
    rating_average: float | None
    url: str


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
    tags: list[str]
    available_from: datetime | None
    available_until: datetime | None
    attributes: dict[str, Any] = Field(description="What a client said of it in words of its own.")
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
    count: int = Field(description="Films found, of some hundreds that are compared.")
    people: list[FoundPersonOut] = Field(description="The best matches, 12 at most.")
    did_you_mean: list[str] = Field(description="Titles and names alike, where nothing was found.")
    is_cut: bool = Field(description="Whether more films may match than `count` says.")


class SimilarOut(BaseModel):
    movie_id: int
    external_id: str | None = Field(default=None, description=WITH_ID_SPACE)
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


class ActivatedOut(BaseModel):
    name: str
    version: str
    previous: str
