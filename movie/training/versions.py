"""Facts that every trained version on the disk stores about itself, for the table of runs.

The facts come from `meta.json` of the artifacts, unverified: a file somebody edited or cut short makes
a row that says so. Figures of different protocols never share a column.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from django.utils.dateparse import parse_datetime

from movie.core.paths import without_folders
from movie.training.model_info import model_label
from predictors.errors import ArtifactError
from predictors.plugins import MODELS
from predictors.serving.registry import ModelStore

FINGERPRINT_SHOWN = 8  # of 64 digits
CONFIG_SHOWN = 3  # options in the summary; the rest unfolds
# What a row of metrics has to agree in for its figures to be comparable.
CONDITIONS = ("protocol", "part", "label", "n", "order", "candidates", "ranking")
NAMED = ("n", "candidates")  # of these the value alone would say nothing
_METRIC = re.compile(r"\w+@\d+|[A-Z]{2,}")  # NDCG@10, coverage@10, MRR, RMSE


@dataclass(frozen=True, slots=True)
class MetricValue:
    """A metric of one run; `low` and `high` are its interval where one was stored."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(slots=True)
class TrainedVersion:
    """A trained version; `problem` is set, and little else, when its facts cannot be read."""

    model: str
    label: str
    version: str
    is_active: bool
    created: datetime | None = None
    users: int | None = None
    items: int | None = None
    interactions: int | None = None
    fingerprint: str = ""
    id_space: str = ""
    source: str = ""
    config: list[tuple[str, str]] = field(default_factory=list)
    cpu_seconds: float | None = None
    retrained: str = ""  # "activated" or "kept", where manage.py retrain made it, with its reason
    reason: str = ""
    problem: str = ""
    damage: str = ""  # of an active version: the one before it serves where there is one

    @property
    def config_shown(self) -> list[tuple[str, str]]:
        return self.config[:CONFIG_SHOWN]

    @property
    def short_fingerprint(self) -> str:
        return self.fingerprint[:FINGERPRINT_SHOWN]


@dataclass(slots=True)
class Measured:
    """One run in the table of a protocol. `figures` are in the order of the table's metrics."""

    run: TrainedVersion
    users: int | None
    seed: int | None
    by_metric: dict[str, MetricValue]
    figures: list[MetricValue | None] = field(default_factory=list)


@dataclass(slots=True)
class ProtocolTable:
    """All runs measured the same way, best first by the first metric."""

    protocol: str
    conditions: str
    metrics: list[str] = field(default_factory=list)
    rows: list[Measured] = field(default_factory=list)

    @property
    def data_differs(self) -> bool:
        """Return whether the runs saw different data, so that small differences mean little."""
        return len({row.run.fingerprint for row in self.rows}) > 1


def trained_versions(store: ModelStore) -> tuple[list[TrainedVersion], list[ProtocolTable]]:
    """Return every version on the disk, by model and newest first, and its figures by protocol."""
    runs: list[TrainedVersion] = []
    tables: dict[tuple[str, ...], ProtocolTable] = {}
    for name in MODELS:
        current = store.current(name)
        for version in store.versions(name):
            run = TrainedVersion(name, model_label(name), version, version == current)
            runs.append(run)
            if run.is_active:
                run.damage = find_damage(store, name, version)
            try:
                meta = without_folders(store.meta(name, version))
            except ArtifactError as error:
                run.problem = _without_paths(error, store)
                continue
            rows = [row for row in _list(meta.get("metrics")) if isinstance(row, dict)]
            _describe(run, meta, rows)
            for row in rows:
                _enter(tables, run, row)
    for table in tables.values():
        for measured in table.rows:
            measured.figures = [measured.by_metric.get(name) for name in table.metrics]
        table.rows.sort(key=lambda row: -(row.figures[0].value if row.figures[0] else -1.0))
    return runs, sorted(tables.values(), key=lambda table: (table.protocol, _by_number(table.conditions)))


def find_damage(store: ModelStore, name: str, version: str) -> str:
    """Return the error in the files of a version; "" where they are as written.

    Files are read again only when one of them has changed.
    """
    folder = store.path(name, version)
    stamps = tuple(
        (path.name, status.st_mtime_ns, status.st_size)
        for path in sorted(folder.iterdir())
        for status in (path.stat(),)
    )
    return _damage(store, name, version, stamps)


@lru_cache(maxsize=64)
def _damage(store: ModelStore, name: str, version: str, stamps: tuple[tuple[str, int, int], ...]) -> str:
    try:
        store.verify(name, version)
    except ArtifactError as error:
        return _without_paths(error, store)
    return ""


def _without_paths(error: Exception, store: ModelStore) -> str:
    """Return an error's text for a page, without paths of the server."""
    return str(without_folders(str(error).replace(f"{store.root}/", "")))


def _describe(run: TrainedVersion, meta: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> None:
    data, config = _mapping(meta.get("data")), _mapping(meta.get("config"))
    run.created = _datetime(meta.get("created"))
    run.users, run.items, run.interactions = (
        _whole(data.get(name)) for name in ("n_users", "n_items", "n_interactions")
    )
    run.fingerprint, run.id_space, run.source = (
        str(data.get(name) or "") for name in ("fingerprint", "id_space", "source")
    )
    retrained = _mapping(meta.get("retrained"))
    run.retrained, run.reason = (str(retrained.get(name) or "") for name in ("outcome", "reason"))
    run.config = [(str(name), _short(value)) for name, value in config.items()]
    run.config += [("without", name) for name in _mapping(meta.get("left_out"))]
    spent = [_number(row.get("cpu_seconds")) for row in rows]
    run.cpu_seconds = max((seconds for seconds in spent if seconds is not None), default=None)


def _enter(tables: dict[tuple[str, ...], ProtocolTable], run: TrainedVersion, row: Mapping[str, Any]) -> None:
    """Put a row of metrics into the table of its protocol and conditions."""
    intervals = _mapping(row.get("intervals"))
    by_metric = {}
    for name, value in {**row, **_mapping(row.get("metrics"))}.items():
        number = _number(value)
        if number is not None and _METRIC.fullmatch(str(name)):
            bounds = [bound for bound in map(_number, _list(intervals.get(name))) if bound is not None]
            by_metric[str(name)] = MetricValue(number, *(bounds if len(bounds) == 2 else ()))
    if not by_metric:
        return
    said = [str(row[name]) if name in row and row[name] not in (None, "") else "" for name in CONDITIONS]
    protocol, part, *conditions = said
    words = [
        f"{name} {value}" if name in NAMED else value
        for name, value in zip(CONDITIONS[2:], conditions, strict=True)
        if value
    ]
    table = tables.setdefault(tuple(said), ProtocolTable(protocol, ", ".join(filter(None, [part, *words]))))
    table.metrics += [name for name in by_metric if name not in table.metrics]
    table.rows.append(Measured(run, _whole(row.get("users")), _whole(row.get("seed")), by_metric))


def _by_number(text: str) -> str:
    """Return a key that sorts "n 3" before "n 10"."""
    return re.sub(r"\d+", lambda digits: digits[0].zfill(9), text)


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _datetime(value: object) -> datetime | None:
    try:
        return parse_datetime(value) if isinstance(value, str) else None
    except ValueError:  # well formed, but no such day
        return None


def _short(value: object) -> str:
    """Return an option's value on one line."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return " ".join(_short(each) for each in value)
    return str(value)
