"""Schemas of requests that several modules use.

They are plain pydantic models: ninja's own `Schema` wraps every object that it validates in Python, which
for a history of 200 movies costs more than the answer.
"""

from __future__ import annotations

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

from movie.api.movie_ids import MovieRef
from movie.catalogue.models import HALF_STARS
from predictors.plugins import MODELS

MAX_HISTORY = 1000  # movies
MAX_EXCLUDED = 10_000
MAX_CANDIDATES = 1000
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

    movie_id: MovieRef
    rating: Stars = Field(default=NOT_GIVEN)
    at: AwareDatetime = Field(default=NOT_GIVEN)


def _is_entry(sent: Any) -> bool:
    return isinstance(sent, HistoryEntry) or (isinstance(sent, dict) and not sent.keys() & {"source", "id"})


IdOrEntry = Annotated[
    Annotated[MovieRef, Tag("an id")] | Annotated[HistoryEntry, Tag("an entry")],
    Discriminator(lambda sent: "an entry" if _is_entry(sent) else "an id"),
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
    exclude: list[MovieRef] = Field(default=[], max_length=MAX_EXCLUDED)
    candidates: list[MovieRef] = Field(
        default=NOT_GIVEN,
        min_length=1,
        max_length=MAX_CANDIDATES,
        description="Rank these films and no others; all of them where `k` is left out.",
    )
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


class ActivateRequest(RequestModel):
    version: Annotated[str, Field(min_length=1, max_length=64)]


Sort = Literal["popular", "best", "newest", "oldest", "title"]
