"""Films as a client states them: the schema of an entry, and what it says to the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
)

from movie.api.answer_schemas import MovieDetailOut
from movie.api.movie_ids import PARTS, TEXT, ExternalObject, ExternalRef, ExternalText, MovieRef, form_of
from movie.api.problems import FieldProblem
from movie.api.schemas import NOT_GIVEN, RequestModel
from movie.catalogue import attributes
from movie.catalogue.importing.cells import LONGEST_RUNTIME, MOST_NAMES
from movie.catalogue.importing.rows import LONGEST_PERSON, LONGEST_TITLE
from movie.catalogue.titles import EARLIEST_YEAR, LATEST_YEAR, clean
from movie.catalogue.upsert import MovieStatement
from movie.core.times import is_possible

MAX_MOVIES = 500  # of one request
MAX_SYNOPSIS = 20_000
MAX_IDS = 20
ANY_ID = Discriminator(lambda sent: TEXT if form_of(sent) == TEXT else PARTS)


def _cleaned(text: str) -> str:
    text = clean(text)
    if not text:
        raise ValueError("it is empty")
    return text


def _possible(at: Any) -> Any:
    if not is_possible(at):
        raise ValueError("it is not between 1970 and 2100")
    return at


Text = Annotated[str, AfterValidator(_cleaned)]
Name = Annotated[Text, Field(min_length=1, max_length=64)]
Names = Annotated[list[Name], Field(max_length=MOST_NAMES)]
PersonNames = Annotated[
    list[Annotated[Text, Field(min_length=1, max_length=LONGEST_PERSON)]],
    Field(max_length=MOST_NAMES, description="By billing. One name is one person."),
]
Title = Annotated[Text, Field(min_length=1, max_length=LONGEST_TITLE)]
Moment = Annotated[AwareDatetime, AfterValidator(_possible)]
if TYPE_CHECKING:
    ExternalId = ExternalRef
else:
    ExternalId = Annotated[Annotated[ExternalText, Tag(TEXT)] | Annotated[ExternalObject, Tag(PARTS)], ANY_ID]
Attribute = Annotated[
    Any,
    AfterValidator(attributes.check_value),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "maxLength": attributes.LONGEST_TEXT},
                {
                    "type": "integer",
                    "minimum": -attributes.LARGEST_EXACT,
                    "maximum": attributes.LARGEST_EXACT,
                },
                {"type": "number"},
                {"type": "boolean"},
                {"type": "null"},
                {
                    "type": "array",
                    "maxItems": attributes.MOST_TEXTS,
                    "items": {"type": "string", "maxLength": attributes.LONGEST_TEXT},
                },
            ]
        }
    ),
]
Attributes = Annotated[
    dict[Annotated[str, Field(min_length=1, max_length=attributes.LONGEST_NAME)], Attribute],
    Field(max_length=attributes.MOST_ATTRIBUTES, description="Anything else, by names of the client's own."),
    AfterValidator(attributes.check_length),
]


class TitleIn(RequestModel):
    title: Title
    language: str = Field(default="", max_length=16, pattern=r"^[A-Za-z0-9-]*$", description="Such as ko.")


class MovieFieldsIn(RequestModel):
    """What is stated of a film replaces what it said; what is left out stays. null clears."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"genres": ["Drama"], "available_until": "2030-01-01T00:00:00Z"}]}
    )

    title: Title = Field(default=NOT_GIVEN)
    year: Annotated[int, Field(strict=True, ge=EARLIEST_YEAR, le=LATEST_YEAR)] | None = None
    runtime: Annotated[int, Field(strict=True, ge=1, le=LONGEST_RUNTIME)] | None = Field(
        default=None, description="Minutes."
    )
    synopsis: str = Field(default=NOT_GIVEN, max_length=MAX_SYNOPSIS)
    genres: Names = Field(default=NOT_GIVEN)
    countries: Names = Field(default=NOT_GIVEN)
    languages: Names = Field(default=NOT_GIVEN)
    directors: PersonNames = Field(default=NOT_GIVEN)
    writers: PersonNames = Field(default=NOT_GIVEN)
    cast: PersonNames = Field(default=NOT_GIVEN)
    titles: Annotated[list[TitleIn], Field(max_length=MOST_NAMES)] = Field(
        default=NOT_GIVEN, description="Its other titles."
    )
    tags: Names = Field(default=NOT_GIVEN)
    external_ids: Annotated[list[ExternalId], Field(max_length=MAX_IDS)] = Field(
        default=NOT_GIVEN, description="Further ids elsewhere; they are added to those it has."
    )
    visible: Annotated[bool, Field(strict=True)] = Field(
        default=NOT_GIVEN, description="false hides it from everybody."
    )
    available_from: Moment | None = Field(default=None, description="Before it nobody sees the film.")
    available_until: Moment | None = Field(default=None, description="From then on nobody sees it.")
    attributes: Attributes = Field(default=NOT_GIVEN)

    def statement(self, movie: int | ExternalRef) -> MovieStatement:
        """Return what is stated of a movie."""
        values = {name: getattr(self, name) for name in self.model_fields_set - {"id", "external_ids"}}
        if "visible" in values:
            values["is_visible"] = values.pop("visible")
        if "titles" in values:
            values["titles"] = [(each.title, each.language) for each in values["titles"]]
        if "synopsis" in values:
            values["synopsis"] = values["synopsis"].strip()
        ids = tuple((each.source, each.id) for each in self.external_ids or ())
        return MovieStatement(movie if isinstance(movie, int) else (movie.source, movie.id), ids, values)


class MovieIn(MovieFieldsIn):
    """A film by its id elsewhere, which adds it where nobody has that id yet, or by its number here."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "shop:sku-7",
                    "title": "Heat",
                    "year": 1995,
                    "genres": ["Crime", "Drama"],
                    "directors": ["Michael Mann"],
                    "external_ids": ["imdb:tt0113277"],
                }
            ]
        }
    )

    id: MovieRef


class MovieWrittenOut(BaseModel):
    """What became of an entry; `movie_id` is null for one that was refused."""

    movie_id: int | None
    outcome: Literal["added", "changed", "unchanged", "refused"]
    errors: list[FieldProblem] = []


class MoviesWrittenOut(BaseModel):
    """Counts of the entries by outcome, and one result for each, in their order."""

    added: int
    changed: int
    unchanged: int
    refused: int
    results: list[MovieWrittenOut]


class OwnMovieOut(MovieDetailOut):
    """A film as those see it who may change it."""

    visible: bool = Field(description="false for a film that was hidden.")
    is_available: bool = Field(description="Whether visitors see it now.")


class HiddenOut(BaseModel):
    movie_id: int
    visible: bool
