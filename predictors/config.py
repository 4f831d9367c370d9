"""Model configurations: a frozen dataclass per model that checks itself, read from text, files and artifacts.

Every source is read by `Config.read`: names and values of `--options`, a JSON or TOML file, the `config`
of an artifact's meta.json. Unknown names, wrong types and refused values are a `ConfigError` everywhere.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self, get_args, get_origin, get_type_hints

from predictors.errors import ConfigError

_TRUE = ("1", "true", "yes", "on")
_FALSE = ("0", "false", "no", "off")
_EXPECTED = {bool: "yes or no", int: "a whole number", float: "a number", str: "text", tuple: "a list"}


@dataclass(frozen=True)
class Config:
    """Base of all model configurations. Subclasses are frozen dataclasses and override `check`.

    Field types are bool, int, float, str, tuples of these, and other configurations; text is converted
    to the type of its field. Raises ConfigError on a value of another type or a refused value.
    """

    def __post_init__(self) -> None:
        config: Any = type(self)
        for name, kind in _field_types(config).items():
            object.__setattr__(self, name, _converted(name, getattr(self, name), kind))
        self.check()

    def check(self) -> None:
        """Refuse unusable values; call `require` once per rule."""

    def require(self, holds: bool, message: str) -> None:
        """Raise ConfigError with `message` unless the rule holds."""
        if not holds:
            raise ConfigError(message)

    @classmethod
    def read(cls, given: Mapping[str, Any] | None) -> Self:
        """Build a configuration from names and values; `a.b` names the option b of the nested a.

        Raises ConfigError on an unknown name, a value of the wrong type or a refused value.
        """
        values = nested(given or {})
        known = cls.names()
        for name in values:
            if name not in known:
                raise ConfigError(f"there is no option {name!r}; known: {', '.join(known)}")
        return cls(**values)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of all options."""
        return tuple(field.name for field in fields(cls))

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values that `read` accepts: lists for tuples, dicts for nested configurations."""
        return {name: _plain(getattr(self, name)) for name in self.names()}


def nested(given: Mapping[str, Any]) -> dict[str, Any]:
    """Turn dotted names into nested dicts. Raises ConfigError when a name is both a value and a prefix."""
    values: dict[str, Any] = {}
    for name, value in given.items():
        first, dot, rest = name.partition(".")
        if not dot and not isinstance(value, Mapping):
            if first in values:
                raise ConfigError(f"option {first!r} is a value and has options of its own")
            values[first] = value
            continue
        inner = values.setdefault(first, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"option {first!r} is a value and has options of its own")
        inner.update(nested({rest: value} if dot else value))
    return values


def parse_pairs(pairs: list[str]) -> dict[str, str]:
    """Read `["name=value", ...]` as a mapping. Raises ConfigError on text without a name and a value."""
    options: dict[str, str] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or not name.strip():
            raise ConfigError(f"{pair!r} is not an option; write it as name=value")
        options[name.strip()] = value.strip()
    return options


def read_file(path: Path) -> dict[str, Any]:
    """Read options from a JSON or TOML file. Raises ConfigError when it is neither or holds no mapping."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        options = tomllib.loads(text) if Path(path).suffix == ".toml" else json.loads(text)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path} is no JSON or TOML file: {error}") from error
    if not isinstance(options, dict):
        raise ConfigError(f"{path} holds no options by name")
    return options


def options_of(model: str, given: Mapping[str, Any], models: Collection[str]) -> dict[str, Any]:
    """Return the options of one of several models, as a command line gives them.

    `model.name` addresses one of `models` alone (`for_you.ease.ridge` its nested configuration), any other
    name all of them.
    """
    values = nested(given)
    addressed = {name for name in models if isinstance(values.get(name), Mapping)}
    shared = {name: value for name, value in values.items() if name not in addressed}
    return {**shared, **(values[model] if model in addressed else {})}


@cache
def _field_types(config: Any) -> Mapping[str, Any]:
    hints = get_type_hints(config)
    return MappingProxyType({field.name: hints[field.name] for field in fields(config)})


def _converted(name: str, value: Any, kind: Any) -> Any:
    if isinstance(kind, type) and issubclass(kind, Config):
        if isinstance(value, kind):
            return value
        if isinstance(value, Mapping):
            return kind.read(value)
        raise ConfigError(f"option {name}: expected {name}.option=value, not {value!r}")
    try:
        return _as_type(kind, value)
    except (TypeError, ValueError, OverflowError):
        parts = get_args(kind)
        if get_origin(kind) is tuple:
            wanted = "numbers with commas" if parts[0] in (int, float) else "names with commas"
        else:
            wanted = _EXPECTED[kind]
        raise ConfigError(f"option {name}: {value!r} is not {wanted}") from None


def _as_type(kind: Any, value: Any) -> Any:
    """Convert text, JSON values and Python values to a field's type. Raises ValueError or TypeError."""
    if get_origin(kind) is tuple:
        parts = value.split(",") if isinstance(value, str) else value
        return tuple(_as_type(get_args(kind)[0], part) for part in parts)
    if kind is bool:
        text = str(value).strip().casefold()
        if text not in _TRUE + _FALSE:
            raise ValueError(text)
        return text in _TRUE
    if kind in (int, float) and isinstance(value, bool):
        raise TypeError(value)
    if kind is int:
        if isinstance(value, float) and not value.is_integer():
            raise ValueError(value)
        return int(value)
    if kind is float:
        number = float(value)
        if not math.isfinite(number):
            raise ValueError(number)
        return number
    if kind is str:
        if not isinstance(value, str | Path):
            raise TypeError(value)
        return str(value).strip()
    return value  # objects that no text stands for, such as callbacks


def _plain(value: Any) -> Any:
    if isinstance(value, Config):
        return value.as_dict()
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    return list(value) if isinstance(value, tuple) else value
