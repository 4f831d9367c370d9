"""Lists whose entries stand alone: a wrong entry is refused by its index and spoils no other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError, ValidatorFunctionWrapHandler

from movie.api.problems import Problem, field_problems

Errors = list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class InvalidEntry:
    """An entry of a list that is not as expected, with its errors."""

    errors: Errors


def keep_invalid(value: object, validate_entry: ValidatorFunctionWrapHandler) -> object:
    """Return the entry, or an InvalidEntry in its place, as pydantic's WrapValidator calls it."""
    try:
        return validate_entry(value)
    except ValidationError as error:
        return InvalidEntry(
            field_problems({**each, "loc": ("body", "entry", *each["loc"])} for each in error.errors())
        )


def nothing_stored(refused: Sequence[tuple[int, Errors]], sent: int, *, is_list: bool) -> Problem:
    """Return the refusal (422) of a whole request, whose errors name the entries by their positions."""
    errors = list(_with_positions(refused)) if is_list else refused[0][1]
    detail = (
        f"{len(refused)} of {sent} entries are wrong; nothing was stored." if is_list else errors[0]["detail"]
    )
    return Problem(422, detail, errors=errors)


def _with_positions(refused: Sequence[tuple[int, Errors]]) -> Iterator[Mapping[str, str]]:
    for index, errors in refused:
        for error in errors:
            yield {**error, "field": f"[{index}].{error['field']}" if error["field"] else f"[{index}]"}
