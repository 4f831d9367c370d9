"""The one door of film ids: from what a client sends to ids of this site, and back to the client's own.

A client names a film by its number here (7), by an id that it has elsewhere ("imdb:tt0113277",
"shop:sku-7"), or by that id in two parts ({"source": "shop", "id": "sku-7"}). However many ids a request
holds, they take one query.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

from django.db.models import Q
from ninja import Path, Query
from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
    WrapValidator,
)

from movie.api.problems import Problem, field_problem
from movie.catalogue.importing.cells import imdb_id, tmdb_id
from movie.catalogue.importing.errors import RowError
from movie.catalogue.models import ExternalId
from movie.core.converters import MAX_ID

LONGEST_SOURCE, LONGEST_VALUE = 64, 128  # characters, of the columns
ID_FORMS = 'Expected a number, "source:id" or {"source": ..., "id": ...}'
SHOWN_SOURCES = 20
MAX_DIGITS, SHOWN_DIGITS = 1000, 40  # of a number in an address: leading zeros are none of a larger one
PARSERS = {"imdb": imdb_id, "tmdb": tmdb_id}  # each id in the one form in which it is stored


def _in_stored_form(ref: ExternalRef) -> ExternalRef:
    parse = PARSERS.get(ref.source)
    if parse is None:
        return ref
    try:
        value = parse(ref.id)
    except RowError as error:
        raise ValueError(str(error.reason.label)) from error
    if not value:
        raise ValueError(f"{ref.id[:40]!r} is no id of {ref.source}")
    return ExternalRef(source=ref.source, id=value)


class ExternalRef(BaseModel):
    """The id of a film elsewhere, in two parts; as `external_ids` of an answer have it, too."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = Field(min_length=1, max_length=LONGEST_SOURCE, description="The id space, such as imdb.")
    id: str = Field(
        min_length=1,
        max_length=LONGEST_VALUE,
        validation_alias=AliasChoices("id", "value"),
        description="The id there.",
    )

    def __str__(self) -> str:
        return f"{self.source}:{self.id}"


def _parse_text(text: str) -> ExternalRef:
    source, colon, value = text.partition(":")
    if not colon or not 1 <= len(source) <= LONGEST_SOURCE or not 1 <= len(value) <= LONGEST_VALUE:
        raise ValueError(ID_FORMS)
    return _in_stored_form(ExternalRef(source=source, id=value))


MovieId = Annotated[int, Field(strict=True, ge=1, le=MAX_ID, description="A film of this site.")]
ExternalText = Annotated[
    str,
    Field(
        max_length=LONGEST_SOURCE + 1 + LONGEST_VALUE,
        description="The id of a film elsewhere: its source, a colon, its id there.",
        json_schema_extra={"pattern": "^[^:]+:.+$", "examples": ["imdb:tt0113277"]},
    ),
    AfterValidator(_parse_text),
]
ExternalObject = Annotated[ExternalRef, AfterValidator(_in_stored_form)]
NUMBER, TEXT, PARTS = "a number", "a text", "two parts"  # tags, which messages of pydantic do not name


def form_of(sent: Any) -> str:
    """Return in which form an id was sent."""
    if isinstance(sent, str):
        return TEXT
    return PARTS if isinstance(sent, dict | ExternalRef) else NUMBER


Ref = int | ExternalRef  # an id after validation
if TYPE_CHECKING:
    MovieRef = Ref
else:
    MovieRef = Annotated[
        Annotated[MovieId, Tag(NUMBER)]
        | Annotated[ExternalText, Tag(TEXT)]
        | Annotated[ExternalObject, Tag(PARTS)],
        Discriminator(form_of),
    ]


def numbers_first(min_length: int, max_length: int) -> WrapValidator:
    """Return what validates a list of numbers of this length without looking for the form of each id.

    pydantic finds the form by seven calls of Python for each. Every other list is left to the field.
    """
    numbers = TypeAdapter(Annotated[list[MovieId], Field(min_length=min_length, max_length=max_length)])

    def validate(sent: Any, of_field: Callable[[Any], list[Any]]) -> list[Any]:
        if isinstance(sent, list) and are_numbers(sent):
            with suppress(ValidationError):  # the field's own says which entry is wrong
                return numbers.validate_python(sent)
        return of_field(sent)

    return WrapValidator(validate)


def are_numbers(ids: Iterable[Any]) -> bool:
    """Return whether all these ids of a request are numbers, which nobody has to look up."""
    return set(map(type, ids)) <= {int}


PathRef = Annotated[
    str,
    Path(
        min_length=1,
        description="A film of this site by its number, or by an id elsewhere: `imdb:tt0113277`.",
        examples=["1"],
    ),
]
IdSpace = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=LONGEST_SOURCE,
        description="Give each film its id of this source too, as `external_id`.",
    ),
]


class MovieLookup:
    """The films of many ids at once, by one query; a second one only where an id was not found."""

    def __init__(self, refs: Iterable[Ref]) -> None:
        wanted = {ref for ref in refs if isinstance(ref, ExternalRef)}
        self._found: dict[ExternalRef, int] = {}
        self._unknown_sources: set[str] = set()
        if not wanted:
            return
        self._found = _films_of(wanted)
        missing = {ref.source for ref in wanted - self._found.keys()} - {ref.source for ref in self._found}
        self._unknown_sources = missing - _known_sources(missing)

    def get(self, ref: Ref, field: str, where: str = "body") -> int | None:
        """Return the id here, None for an id that no film has; a number is returned as it is.

        Raises Problem (422), naming the field and the sources there are, where no film has an id of that
        source.
        """
        if isinstance(ref, int):
            return ref
        if ref.source in self._unknown_sources:
            raise field_problem(where, field, f"There is no film {ref}: {unknown_source(ref.source)}")
        return self._found.get(ref)

    def require(self, ref: Ref, field: str, where: str = "body", *, status: int = 422) -> int:
        """Return the id here. Raises Problem with this status where no film has it."""
        found = self.get(ref, field, where)
        if found is None:
            raise field_problem(where, field, f"There is no film {ref}.", status=status)
        return found

    def known(self, refs: Sequence[Ref], field: str, unknown: list[str]) -> list[int]:
        """Return the ids here; ids that no film has are added to `unknown`. Raises Problem as `get`."""
        if are_numbers(refs):
            return list(refs)  # type: ignore[arg-type]
        ids = []
        for position, ref in enumerate(refs):
            found = self.get(ref, f"{field}[{position}]")
            if found is None:
                unknown.append(str(ref))
            else:
                ids.append(found)
        return ids


def parse_path_id(text: str, field: str = "movie_id", where: str = "path") -> Ref:
    """Return the id in an address. Raises Problem: 404 for a number that no row has, 422 for no id."""
    if text.isascii() and text.isdecimal():
        if len(text) > MAX_DIGITS or not 1 <= int(text) <= MAX_ID:
            raise Problem(404, f"There is no film {text[:SHOWN_DIGITS]}.")
        return int(text)
    try:
        return _parse_text(text)
    except ValueError as error:
        detail = str(error) if ":" in text else 'Expected a number or "source:id"'
        raise field_problem(where, field, detail) from error


def movie_id_of(text: str, field: str = "movie_id", where: str = "path") -> int:
    """Return the id here of the id in an address. Raises Problem: 404 for an id that no film has, 422."""
    ref = parse_path_id(text, field, where)
    if isinstance(ref, int):
        return ref
    found = _films_of({ref}).get(ref)
    if found is None:
        raise Problem(404, f"There is no film {ref}.")
    return found


def external_ids_in(space: str | None, movie_ids: Iterable[int]) -> dict[int, str]:
    """Return the ids that films have in an id space, by our own; one query, none without a space.

    Of several the first that was given. Raises Problem (422) for a space in which no film has an id.
    """
    if space is None:
        return {}
    rows = ExternalId.objects.filter(source=space, movie__in=set(movie_ids)).order_by("-pk")
    found = dict(rows.values_list("movie_id", "value"))
    if not found:
        require_id_space(space)
    return found


def require_id_space(space: str | None) -> None:
    """Raise Problem (422) for a space in which no film has an id."""
    if space is not None and not _known_sources({space}):
        raise field_problem("query", "id_space", f"There is no such id space: {unknown_source(space)}")


def unknown_source(source: str) -> str:
    """Say that no film has an id of a source, and of which there are some."""
    rows = ExternalId.objects.order_by("source").values_list("source", flat=True).distinct()
    there = ", ".join(rows[:SHOWN_SOURCES]) or "none"
    return f"no film has an id of {source!r}; there are ids of: {there}."


def _films_of(refs: set[ExternalRef]) -> dict[ExternalRef, int]:
    values: dict[str, set[str]] = {}
    for ref in refs:
        values.setdefault(ref.source, set()).add(ref.id)
    condition = Q()
    for source, wanted in values.items():
        condition |= Q(source=source, value__in=wanted)
    if not condition:
        return {}
    rows = ExternalId.objects.filter(condition).values_list("source", "value", "movie_id")
    return {ExternalRef(source=source, id=value): pk for source, value, pk in rows}


def _known_sources(sources: set[str]) -> set[str]:
    if not sources:
        return set()
    rows = ExternalId.objects.filter(source__in=sources).order_by()
    return set(rows.values_list("source", flat=True).distinct())
