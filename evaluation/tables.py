"""Result rows as tables for a terminal."""

from __future__ import annotations

from typing import Any

from rich.markup import escape
from rich.table import Table

from evaluation.compare import Compared
from ranking_metrics.intervals import Difference

SHORT = {
    "popularity_bias": "pop.bias",
    "films_per_1000": "per 1000",
    "stratified_recall": "strat.recall",
    "personalization": "personal",
}


def result_tables(rows: list[dict[str, Any]]) -> list[Table]:
    """Return one table per way of ranking: masked, unmasked and sampled figures never stand together."""
    first = rows[0]
    by_ranking: dict[str, dict[str, None]] = {}
    for row in rows:  # a condition may be known to some models only
        for condition in row["conditions"]:
            by_ranking.setdefault(condition["ranking"], {})[condition["label"]] = None
    tables = [_table(rows, ranking, list(labels)) for ranking, labels in by_ranking.items()]
    caption = (
        f"seeds {', '.join(map(str, first['seeds']))} · filter: {first['filter']} · {first['split']} · "
        f"data sha256 {first['data_sha256'][:12]} · ±: 95 % interval"
    )
    if any(row["budget_exceeded"] for row in rows):
        caption += "\n! a fit took more than the budget"
    tables[-1].caption = caption
    return tables


def _table(rows: list[dict[str, Any]], ranking: str, labels: list[str]) -> Table:
    table = Table(
        title=f"{rows[0]['protocol']}: {ranking}; histories stated as {rows[0]['stated']}",
        title_justify="left",
        caption_justify="left",
        pad_edge=False,
    )
    by_label = {
        label: {
            index: condition
            for index, row in enumerate(rows)
            for condition in row["conditions"]
            if (condition["ranking"], condition["label"]) == (ranking, label)
        }
        for label in labels
    }
    has_several = len(labels) > 1
    for heading in ("condition", "users") if has_several else ():
        table.add_column(heading, no_wrap=True)
    table.add_column("model", no_wrap=True)
    metrics = list(next(iter(by_label[labels[0]].values()))["metrics"])
    for heading in (
        *(_heading(metric) for metric in metrics),
        "fit CPU s",
        "rank CPU s",
        "peak MB",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for label, measured in by_label.items():
        for position, (index, own) in enumerate(measured.items()):
            row = rows[index]
            first_cells = (label, str(own["users"])) if position == 0 else ("", "")
            over = "!" if row["budget_exceeded"] else ""
            table.add_row(
                *(first_cells if has_several else ()),
                escape(row["model"]),
                *(_figure(name, own["metrics"][name], own["intervals"].get(name)) for name in metrics),
                f"{row['cpu_seconds']:.1f}{over}",
                f"{row['score_cpu_seconds']:.1f}",
                f"{row['peak_rss_mb']:.0f}",
            )
        table.add_section()
    return table


def difference_tables(found: list[Compared], baseline: str) -> list[Table]:
    """Return one table per condition: each model less the baseline, with paired 95 % intervals over users."""
    tables = []
    for condition in dict.fromkeys(each.condition for each in found):
        here = [each for each in found if each.condition == condition]
        table = Table(
            title=f"less {baseline}, {condition}: "
            f"paired 95 % intervals over {here[0].difference.n_users} users",
            title_justify="left",
            pad_edge=False,
        )
        table.add_column("model", no_wrap=True)
        metrics = list(dict.fromkeys(each.metric for each in here))
        for metric in metrics:
            table.add_column(metric, justify="right", no_wrap=True)
        for model in dict.fromkeys(each.candidate for each in here):
            own = {each.metric: each.difference for each in here if each.candidate == model}
            table.add_row(escape(model), *(_difference(own.get(metric)) for metric in metrics))
        tables.append(table)
    return tables


def _difference(found: Difference | None) -> str:
    """Return a difference with its interval; a star where the interval leaves out zero."""
    if found is None:
        return ""
    return f"{found.value:+.4f} ({found.low:+.4f} to {found.high:+.4f}){'*' if found.is_clear else ' '}"


def _heading(metric: str) -> str:
    for name, short in SHORT.items():
        metric = metric.replace(name, short)
    return metric


def _figure(name: str, value: float, bounds: list[float] | None) -> str:
    """Return an accuracy with half the width of its interval; other figures alone."""
    if name.startswith(("novelty", "films")):
        return f"{value:.2f}"
    if bounds is None or name.startswith(("popularity", "diversity", "calibration")):
        return f"{value:.3f}"
    return f"{value:.4f} ±{(bounds[1] - bounds[0]) / 2:.3f}"
