"""Search spaces by model, and the configuration files that a search writes.

A space maps options to the values they may take. In a file (JSON or TOML), as in SPACES, an option has
either `choices`, or `low` and `high` (whole numbers search whole numbers), with `log = true` where its
order of magnitude matters more than its size.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from predictors.config import Config, nested, read_file
from predictors.errors import ConfigError
from predictors.plugins import MODELS

if TYPE_CHECKING:
    from predictors.base import Predictor

Value = bool | int | float | str
_KEYS = {"low", "high", "log", "choices"}


@dataclass(frozen=True)
class Parameter:
    """Describes the values of one option: between `low` and `high`, or one of `choices`."""

    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple[Value, ...] = ()

    @classmethod
    def read(cls, name: str, given: object) -> Self:
        """Build a parameter from a mapping of a file. Raises ConfigError on anything else."""
        if not isinstance(given, Mapping) or set(given) - _KEYS:
            raise ConfigError(f"space {name}: expected low and high, or choices, not {given!r}")
        choices = given.get("choices", [])
        if not isinstance(choices, list) or any(not isinstance(each, Value) for each in choices):
            raise ConfigError(f"space {name}: choices are a list of values, not {choices!r}")
        found = cls(given.get("low"), given.get("high"), bool(given.get("log")), tuple(choices))
        found.check(name)
        return found

    def check(self, name: str) -> None:
        """Raise ConfigError unless the parameter describes at least one value."""
        bounds = [bound for bound in (self.low, self.high) if bound is not None]
        if any(isinstance(bound, bool) or not isinstance(bound, int | float) for bound in bounds):
            raise ConfigError(f"space {name}: low and high are numbers, not {self.low!r} and {self.high!r}")
        if bool(self.choices) == bool(bounds) or (bounds and len(bounds) < 2):
            raise ConfigError(f"space {name}: expected either low and high, or choices")
        if self.low is not None and self.high is not None and not self.low <= self.high:
            raise ConfigError(f"space {name}: low {self.low} is above high {self.high}")
        if self.log and not (self.low or 0) > 0:
            raise ConfigError(f"space {name}: log needs a low above 0")

    @property
    def is_integer(self) -> bool:
        """True if integers are searched."""
        return isinstance(self.low, int) and isinstance(self.high, int)


Space = Mapping[str, Parameter]

_GRAPH = {
    "learning_rate": Parameter(1e-3, 3e-2, log=True),
    "l2": Parameter(1e-4, 1e-1, log=True),
    "temperature": Parameter(0.1, 2.0, log=True),
    "dim": Parameter(choices=(32, 64, 128)),
    "layers": Parameter(1, 3),
}
SPACES: Mapping[str, Space] = {
    "popular": {
        "half_life_days": Parameter(30.0, 3000.0, log=True),
        "rating_weight": Parameter(0.0, 1.0),
        "prior": Parameter(1.0, 100.0, log=True),
    },
    "neighbours": {
        "neighbours": Parameter(20, 2000, log=True),
        "shrinkage": Parameter(1.0, 300.0, log=True),
        "exponent": Parameter(0.2, 0.7),
        "popularity_weight": Parameter(0.0, 1.0),
    },
    "linear_sequence": {
        "smoothing": Parameter(0.05, 0.9, log=True),
        "popularity_exponent": Parameter(0.0, 0.4),
    },
    "sasrec": {
        "learning_rate": Parameter(5e-4, 5e-3, log=True),
        "dropout": Parameter(0.0, 0.5),
        "dim": Parameter(choices=(32, 64, 128)),
        "blocks": Parameter(1, 3),
        "weight_decay": Parameter(1e-6, 1e-1, log=True),
    },
    "next_item": {
        "sasrec.learning_rate": Parameter(5e-4, 5e-3, log=True),
        "sasrec.dropout": Parameter(0.0, 0.5),
        "linear_sequence.smoothing": Parameter(0.05, 0.9, log=True),
    },
    "ease": {
        "ridge": Parameter(5.0, 3000.0, log=True),
        "dropout": Parameter(0.0, 0.8),
        "popularity_exponent": Parameter(0.0, 0.4),
    },
    "ensemble": {
        "ease.ridge": Parameter(5.0, 3000.0, log=True),
        "als.factors": Parameter(16, 256, log=True),
        "als.ridge": Parameter(1.0, 100.0, log=True),
    },
    "als": {
        "factors": Parameter(16, 256, log=True),
        "ridge": Parameter(1.0, 100.0, log=True),
        "unobserved_weight": Parameter(0.05, 2.0, log=True),
        "ridge_exponent": Parameter(0.0, 1.0),
    },
    "mf": {
        "factors": Parameter(4, 64, log=True),
        "ridge": Parameter(0.02, 0.5, log=True),
        "bias_ridge": Parameter(0.5, 20.0, log=True),
        "popularity_weight": Parameter(0.0, 4.0),
        "groups": Parameter(0, 1),
    },
    "mf_softmax": {
        "learning_rate": Parameter(1e-3, 3e-2, log=True),
        "l2": Parameter(1e-2, 1.0, log=True),
        "sampling_exponent": Parameter(0.0, 1.0),
        "dim": Parameter(choices=(32, 64, 128)),
        "fold_in_ridge": Parameter(1e-2, 10.0, log=True),
    },
    "lightgcn": _GRAPH,
    "ngcf": {**_GRAPH, "message_dropout": Parameter(0.0, 0.5)},
    "kprn": {
        "learning_rate": Parameter(5e-4, 1e-2, log=True),
        "dropout": Parameter(0.0, 0.4),
        "gamma": Parameter(0.3, 3.0, log=True),
        "l2": Parameter(1e-6, 1e-2, log=True),
    },
    "graph_filter": {"factors": Parameter(16, 512, log=True), "alpha": Parameter(0.0, 1.0)},
    "transitions": {
        "window": Parameter(1, 6),
        "popularity_exponent": Parameter(0.0, 0.8),
        "recency": Parameter(0.3, 1.0),
    },
    "for_you": {"taste": Parameter(0.0, 8.0), "dislike_weight": Parameter(0.0, 0.5)},
}


def search_space(kind: type[Predictor], path: Path | None = None) -> Space:
    """Return what to search for a model: a file, the model's own `search_space`, or the built-in one.

    Raises ConfigError on a file that cannot be read, an option that the model does not have, or a model
    for which no space is known.
    """
    if path is not None:
        given = read_file(path)
        own = given.get(kind.name)
        if isinstance(own, Mapping) and not set(own) <= _KEYS:  # the spaces of several models in one file
            given = dict(own)
        space: Space = {name: Parameter.read(name, each) for name, each in given.items()}
    else:
        space = getattr(kind, "search_space", None) or SPACES.get(kind.name, {})
    if not space:
        raise ConfigError(f"{kind.name} has no search space of its own: describe one in a file, --space FILE")
    check_space(kind.config_class, space)
    return space


def check_space(config: type[Config], space: Space) -> None:
    """Raise ConfigError if an option is unknown or the model refuses a bound or a choice."""
    for name, parameter in space.items():
        for value in parameter.choices or (parameter.low, parameter.high):
            try:
                config.read({name: value})
            except ConfigError as error:
                raise ConfigError(f"space {name}: {error}") from error


def read_config(path: Path, model: str) -> dict[str, Any]:
    """Return the options of one model from a file: plain names, or names below the model's own.

    Options below the names of other models are left out, so that one file can serve several models.
    Raises ConfigError on a file that cannot be read.
    """
    given = nested(read_file(path))
    own = given.get(model)
    shared = {
        name: each
        for name, each in given.items()
        if not (isinstance(each, Mapping) and (name == model or name in MODELS))
    }
    return {**shared, **(own if isinstance(own, Mapping) else {})}


def write_config(path: Path, model: str, options: Mapping[str, Any]) -> None:
    """Write options as `read_config` reads them, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writing = path.with_name(f".{path.name}.{os.getpid()}")
    writing.write_text(json.dumps({model: dict(options)}, indent=1) + "\n", encoding="utf-8")
    os.replace(writing, path)  # noqa: PTH105 - os.replace is the atomic one on every system
