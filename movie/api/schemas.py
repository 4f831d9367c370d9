"""Schemas of requests that several modules use.

They are plain pydantic models: ninja's own `Schema` wraps every object that it validates in Python, which
for a history of 200 movies costs more than the answer.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    model_validator,
)

from movie.api.movie_ids import MovieRef, numbers_first
from movie.catalogue.models import HALF_STARS
from movie.core.converters import MAX_ID
from movie.recommendations.rules import MAX_PLACES
from predictors.plugins import MODELS

MAX_HISTORY = 1000  # movies
MAX_EXCLUDED = 10_000
MAX_CANDIDATES = 1000
MAX_BATCH = 1000  # entries
MAX_OFFSET = 1000  # a batch of 1,000 lists ranks so many films for each
MAX_NAMES = 20  # in one filter
MAX_RULES = 20  # pins, and boosts
MAX_PIN_RANK = 1000
LIST_ID_LENGTH = 36
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


def _value(value: Any) -> Any:
    """Return a value of an attribute. Raises ValueError for another type, or a number beyond all floats."""
    if not isinstance(value, str | int | float):
        raise ValueError("expected a text, a number, true or false")
    if isinstance(value, int):
        try:
            float(value)
        except OverflowError:
            raise ValueError("expected a smaller number") from None
    return value


AttributeValue = Annotated[
    Any,
    AfterValidator(_value),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "boolean"}]}),
]
PersonRef = Annotated[
    Annotated[int, Field(strict=True, ge=1, le=MAX_ID), Tag("a number")] | Annotated[Name, Tag("a name")],
    Discriminator(lambda sent: "a name" if isinstance(sent, str) else "a number"),
]
Names = Annotated[list[Name], Field(max_length=MAX_NAMES)]
People = Annotated[list[PersonRef], Field(max_length=MAX_NAMES)]


class NumbersBetween(RequestModel):
    """The numbers from one to another, both included; a bound that is left out is none."""

    low: float = Field(default=NOT_GIVEN, alias="from", strict=True)
    high: float = Field(default=NOT_GIVEN, alias="to", strict=True)


AttributeCondition = Annotated[
    Annotated[NumbersBetween, Tag("two bounds")]
    | Annotated[list[AttributeValue], Field(min_length=1, max_length=MAX_NAMES), Tag("some values")]
    | Annotated[AttributeValue, Tag("a value")],
    Discriminator(
        lambda sent: (
            "two bounds"
            if isinstance(sent, dict | NumbersBetween)
            else "some values"
            if isinstance(sent, list)
            else "a value"
        )
    ),
]


class Filters(RequestModel):
    """Conditions on the recommended films. An empty list is no condition."""

    genres_in: Names = Field(default=[], description="A film has all of them.")
    genres_out: Names = Field(default=[], description="A film has none of them.")
    tags_in: Names = Field(default=[], description="A film has all of them.")
    tags_out: Names = Field(default=[], description="A film has none of them.")
    people_in: People = Field(
        default=[], description="Names, or ids of `GET /people`: each directed, wrote or played."
    )
    people_out: People = Field(default=[], description="None of them directed, wrote or played.")
    languages: Names = Field(default=[], description="A film has one of them.")
    countries: Names = Field(default=[], description="A film has one of them.")
    year_from: Year = Field(default=NOT_GIVEN)
    year_to: Year = Field(default=NOT_GIVEN)
    runtime_from: Minutes = Field(default=NOT_GIVEN, description="Minutes, as `runtime_to`.")
    runtime_to: Minutes = Field(
        default=NOT_GIVEN, description="Minutes. Films whose running time is not known are left out."
    )
    available_through: AwareDatetime = Field(
        default=NOT_GIVEN, description="A film can be seen at least until then."
    )
    leaving_by: AwareDatetime = Field(default=NOT_GIVEN, description="A film leaves then or before.")
    arrived_since: AwareDatetime = Field(default=NOT_GIVEN, description="A film came then or later.")
    attributes: dict[Name, AttributeCondition] = Field(
        default={},
        max_length=MAX_NAMES,
        description="By the attribute's name a value, a list of which a film has one, or "
        '`{"from": 1, "to": 5}` for numbers. A film meets all of them.',
    )


RuleName = Annotated[str, Field(max_length=64, description="What `rules` of a film call it.")]


class PinIn(RequestModel):
    """A film that stands at a rank, if it may be in the list: it is not seen and meets every condition."""

    movie_id: MovieRef
    rank: Annotated[int, Field(strict=True, ge=1, le=MAX_PIN_RANK)]
    name: RuleName = "pin"


class BoostIn(RequestModel):
    """Films that move up by so many places of the ranking, or down where the number is negative."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["movies"]}, {"required": ["filters"]}]}
    )

    places: Annotated[int, Field(strict=True, ge=-MAX_PLACES, le=MAX_PLACES)]
    movies: Annotated[list[MovieRef], Field(min_length=1, max_length=MAX_CANDIDATES)] = Field(
        default=NOT_GIVEN
    )
    filters: Filters = Field(default=NOT_GIVEN)
    name: RuleName = "boost"

    @model_validator(mode="after")
    def _one_of_two(self) -> BoostIn:
        if (self.movies is None) == (self.filters is None):
            raise ValueError("give either movies or filters")
        return self


class RulesIn(RequestModel):
    """Business rules. They act on what the model ranked, boosts before pins."""

    pins: list[PinIn] = Field(default=[], max_length=MAX_RULES)
    boosts: list[BoostIn] = Field(default=[], max_length=MAX_RULES)


class HistorySource(RequestModel):
    """A user of the site or a data set, or a history that the client sends."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["user_id"]}, {"required": ["history"]}]}
    )

    user_id: UserId = Field(default=NOT_GIVEN)
    history: Annotated[list[IdOrEntry], numbers_first(0, MAX_HISTORY)] = Field(
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
    exclude: Annotated[list[MovieRef], numbers_first(0, MAX_EXCLUDED)] = Field(
        default=[], max_length=MAX_EXCLUDED
    )
    candidates: Annotated[list[MovieRef], numbers_first(1, MAX_CANDIDATES)] = Field(
        default=NOT_GIVEN,
        min_length=1,
        max_length=MAX_CANDIDATES,
        description="Rank these films and no others; all of them where `k` is left out.",
    )
    offset: Annotated[int, Field(strict=True, ge=0, le=MAX_OFFSET)] = Field(
        default=0, description="Skip so many films of the ranking; not together with `diversity` or `after`."
    )
    filters: Filters = Field(default=NOT_GIVEN)
    rules: RulesIn = Field(default=NOT_GIVEN)
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
    endless: Flag = Field(
        default=False, description="Remember this list for a day, so that another goes on `after` it."
    )
    after: Annotated[str, Field(max_length=LIST_ID_LENGTH, pattern=r"^[0-9a-f-]+$")] = Field(
        default=NOT_GIVEN,
        description="The `recommendation_id` of a list of this client's that was `endless`: leave out its "
        "films and those of the lists before it. The answer is remembered too.",
    )


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
