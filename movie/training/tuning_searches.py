"""Searches of manage.py tune, for the page of trained versions. Read from the files it writes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from django.utils.dateparse import parse_datetime

from movie.training.model_info import model_label

TRIALS_SHOWN = 50  # of one search, best first
TRIALS_FILE = "trials.json"


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial; `value` is None where it was pruned or failed."""

    number: int
    state: str
    value: float | None
    options: list[tuple[str, str]]
    cpu_seconds: float
    message: str
    is_best: bool


@dataclass(frozen=True, slots=True)
class SearchTable:
    """One search with its trials, best first."""

    label: str
    protocol: str
    metric: str
    split: str
    stated: str
    updated: datetime | None
    trials: list[Trial]
    n_trials: int

    @property
    def cpu_seconds(self) -> float:
        return sum(trial.cpu_seconds for trial in self.trials)


def tuning_searches(root: Path) -> list[SearchTable]:
    """Return every search on the disk, newest first. A file that cannot be read is left out."""
    found = [search for path in sorted(root.glob(f"*/{TRIALS_FILE}")) for search in _read(path)]
    return sorted(found, key=lambda search: str(search.updated), reverse=True)


def _read(path: Path) -> Iterator[SearchTable]:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        trials = sorted(
            (_trial(each, best=said["best"]) for each in said["trials"]),
            key=lambda trial: (trial.value is None, -(trial.value or 0), trial.number),
        )
        yield SearchTable(
            model_label(said["model"]),
            str(said["protocol"]),
            str(said["metric"]),
            str(said["split"]),
            str(said["stated"]),
            parse_datetime(said["updated"]),
            trials[:TRIALS_SHOWN],
            len(trials),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return


def _trial(said: Mapping[str, Any], *, best: object) -> Trial:
    return Trial(
        int(said["number"]),
        str(said["state"]),
        None if said["value"] is None else float(said["value"]),
        [(str(name), _short(value)) for name, value in said["options"].items()],
        float(said["cpu_seconds"]),
        str(said["message"]),
        said["number"] == best,
    )


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
