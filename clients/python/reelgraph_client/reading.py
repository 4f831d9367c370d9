"""Read JSON values as the dataclasses of answers."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from reelgraph_client.errors import UnexpectedAnswer

_SENT_AS = {"where": "in"}  # `in` is a keyword of Python


def read_value(kind: Any, value: Any, path: str = "") -> Any:
    """Return a JSON value as an instance of a type. Unknown fields are dropped, so that a newer site may add
    fields. Raises UnexpectedAnswer."""
    match typing.get_origin(kind), value:
        case (types.UnionType, None):
            return None
        case (types.UnionType, _):
            kinds = [each for each in typing.get_args(kind) if each is not types.NoneType]
            fitting = [each for each in kinds if isinstance(each, type) and isinstance(value, each)]
            return read_value((fitting or kinds)[0], value, path)
        case (origin, list()) if origin is tuple:
            each_kind = typing.get_args(kind)[0]
            return tuple(read_value(each_kind, each, f"{path}[{index}]") for index, each in enumerate(value))
        case (origin, dict()) if origin is dict:
            each_kind = typing.get_args(kind)[1]
            return {name: read_value(each_kind, each, f"{path}.{name}") for name, each in value.items()}
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
            found[name] = read_value(hint, value[sent_as], where)
        elif not may_be_missing:
            raise UnexpectedAnswer(f"{where} is missing in the answer")
    return found
