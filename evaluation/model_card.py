"""The model card of an artifact, as Markdown (Mitchell et al., FAT* 2019).

Everything is read from the artifact's meta.json and the model's class; what is not known is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from predictors.base import Predictor

_METRIC = re.compile(r"\w+@\d+|[A-Z]{2,}")
CONDITIONS = ("protocol", "part", "label", "ranking", "stated", "users", "seed")


def model_card(kind: type[Predictor], meta: Mapping[str, Any]) -> str:
    """Return the card of one trained version."""
    data, run = _mapping(meta.get("data")), _mapping(meta.get("run"))
    sections = [
        f"# {kind.label or kind.name}",
        kind.summary,
        _list(
            {
                "Model": kind.name,
                "Version": meta.get("version"),
                "Trained": meta.get("created"),
                "Paper": kind.paper,
            }
        ),
        "## Data",
        _list(
            {
                "Source": _source(data),
                "Users": _number(data.get("n_users")),
                "Items": _number(data.get("n_items")),
                "Interactions": _number(data.get("n_interactions")),
                "Fingerprint (sha256)": data.get("fingerprint"),
            }
        ),
        "## Configuration",
        _table(("option", "value"), _flat(_mapping(meta.get("config")))),
        _list({name.replace("_", " ").capitalize(): value for name, value in run.items() if value}),
        "## Metrics",
        *_metrics(meta.get("metrics")),
        *_retraining(_mapping(meta.get("retrained"))),
        "## Intended use",
        _intended_use(kind, data),
        "## Limits",
        _bullets(_limits(kind, meta, data)),
        "## Files",
        _table(("file", "sha256"), _mapping(meta.get("files")).items()),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _source(data: Mapping[str, Any]) -> str:
    if data.get("id_space") == "site":
        return "what visitors of the site like"
    return f"the file {Path(str(data['source'])).name}" if data.get("source") else ""


def _metrics(rows: object) -> list[str]:
    """Return one table per row of metrics: figures of different protocols never share one."""
    parts = []
    for row in map(_mapping, rows if isinstance(rows, list) else []):
        said = ", ".join(f"{name} {row[name]}" for name in CONDITIONS if row.get(name) not in (None, ""))
        intervals = _mapping(row.get("intervals"))
        figures = [
            (name, f"{value:.4f}{_interval(intervals.get(name))}")
            for name, value in {**row, **_mapping(row.get("metrics"))}.items()
            if _METRIC.fullmatch(str(name)) and isinstance(value, int | float)
        ]
        if figures:
            parts += [f"{said}:", _table(("metric", "value"), figures)]
    return parts or ["Nothing was held out to measure on: there were too few interactions."]


def _interval(bounds: object) -> str:
    if isinstance(bounds, list) and len(bounds) == 2:
        return f" ({bounds[0]:.4f} to {bounds[1]:.4f}, 95 %)"
    return ""


def _retraining(outcome: Mapping[str, Any]) -> list[str]:
    if not outcome:
        return []
    return [
        "## Comparison with the version before",
        f"{outcome.get('outcome', '')}: {outcome.get('reason', '')}",
    ]


def _intended_use(kind: type[Predictor], data: Mapping[str, Any]) -> str:
    where = (
        "pages and API of the site it was trained on"
        if data.get("id_space") == "site"
        else "measurements only: its ids are those of a file, not those of the site's films"
    )
    needs = (
        f"a history of at least {kind.min_history} liked item{'s' * (kind.min_history != 1)}"
        if kind.min_history
        else "any history, an empty one included"
    )
    learns = "stars and dislikes" if kind.learns_from_dislikes else "what is liked; dislikes are masked"
    return f"Ranking the catalogue for {needs}, for {where}. It learns from {learns}."


def _limits(kind: type[Predictor], meta: Mapping[str, Any], data: Mapping[str, Any]) -> Iterable[str]:
    n_items = _number(data.get("n_items"))
    known = f"{n_items} items" if n_items else "items"
    yield (
        f"It knows the {known} of its data and no item added since; an unknown one is left out of a history "
        "and of every list."
    )
    if kind.min_history:
        yield "With a shorter history another model has to answer."
    if kind.wants_knowledge_graph:
        yield "It is as good as the knowledge graph it was trained on."
    for member, reason in _mapping(meta.get("left_out")).items():
        yield f"The member {member} is missing: {reason}"
    rows = [_mapping(row) for row in meta.get("metrics", []) if isinstance(row, dict)]
    n_users = max((row.get("users") or 0 for row in rows), default=0)
    if n_users < 1000:
        yield f"Its figures come from {n_users:,} users: small differences between versions mean little."
    yield (
        "Figures were measured on the past of the same users and say nothing about people unlike them; a "
        "list follows what people like these watched, popular items first."
    )


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _table(headings: Sequence[str], rows: Iterable[tuple[Any, Any]]) -> str:
    lines = [f"| {_cell(name)} | {_cell(value)} |" for name, value in rows]
    if not lines:
        return ""
    return "\n".join([f"| {' | '.join(headings)} |", "|---|---|", *lines])


def _cell(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")


def _list(facts: Mapping[str, Any]) -> str:
    return _bullets(f"{name}: {value}" for name, value in facts.items() if value not in (None, ""))


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else ""


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
