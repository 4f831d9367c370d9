"""Training options: a dataclass names them, its defaults give their types and values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, fields
from importlib import import_module
from typing import Any, TypeVar

from predictors.errors import TrainingError

Options = TypeVar("Options")

# Offered to every kind; ignored where the fit draws no random numbers, takes seconds, or knows no GPU.
EVERYWHERE = ("seed", "cpu_budget_seconds", "device")
_TRUE = ("1", "true", "yes", "on")
_FALSE = ("0", "false", "no", "off")


def read_options(kind: type[Options], given: Mapping[str, Any] | None) -> Options:
    """An options dataclass from names and values; text is converted to the type of the default.

    Text for a tuple is a comma-separated list. Every kind accepts the options of EVERYWHERE.
    Raises TrainingError on an unknown name or a value of the wrong type, naming what was expected.
    """
    defaults = asdict(kind())  # type: ignore[call-overload]
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for name, value in (given or {}).items():
        if name not in known:
            if name in EVERYWHERE:
                continue
            raise TrainingError(f"there is no option {name!r}; known: {', '.join(known)}")
        values[name] = _converted(name, value, defaults[name])
    return kind(**values)


def option_names(predictor: type) -> frozenset[str]:
    """What a kind takes as options: the fields of the dataclass `<Kind>Options` beside it."""
    stem = predictor.__name__.removesuffix("Predictor")
    kind = (
        getattr(predictor, "options_class", None)
        or vars(import_module(predictor.__module__))[f"{stem}Options"]
    )
    return frozenset(field.name for field in fields(kind))


def as_config(options: Any) -> dict[str, Any]:
    """An options dataclass as an artefact's `config`: what JSON gives back, so lists for tuples."""
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in asdict(options).items()
    }


def parse_pairs(pairs: list[str]) -> dict[str, str]:
    """`["k=v", ...]` as a mapping. Raises TrainingError on text without a name and a value."""
    options: dict[str, str] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or not name.strip():
            raise TrainingError(f"{pair!r} is not an option; write it as name=value")
        options[name.strip()] = value.strip()
    return options


def _converted(name: str, value: Any, default: Any) -> Any:
    try:
        return _as_type_of(default, value)
    except (TypeError, ValueError):
        expected = {bool: "yes or no", int: "a whole number", float: "a number", tuple: "numbers with commas"}
        wanted = expected.get(type(default), "text")
        raise TrainingError(f"option {name}: {value!r} is not {wanted} (default: {default})") from None


def _as_type_of(default: Any, value: Any) -> Any:
    if isinstance(default, bool):
        text = str(value).casefold()
        if text not in _TRUE + _FALSE:
            raise ValueError(text)
        return text in _TRUE
    if isinstance(default, int):
        if isinstance(value, float) and not value.is_integer():
            raise ValueError(value)
        return int(value)
    if isinstance(default, float):
        number = float(value)
        if not math.isfinite(number):
            raise ValueError(number)
        return number
    if isinstance(default, tuple):
        parts = value.split(",") if isinstance(value, str) else value
        return tuple(_as_type_of(default[0], part) for part in parts)
    return str(value)
