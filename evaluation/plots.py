"""Draw benchmark rows: bars with intervals, lines over n given items, or curves over CPU time.

Colours are Okabe and Ito's (2008), told apart by every common kind of colour vision; every mark is
labelled where it stands, so that no legend and no colour is needed to read it. Axes start at zero.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Rows = Sequence[Mapping[str, Any]]

SUFFIXES = (".png", ".svg", ".pdf")
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = "osD^vPX"
_INK, _QUIET = "#222222", "#666666"
_HEADLINES = {
    "leave-one-out": ("NDCG@10", "HR@10"),
    "given-split": ("NDCG@20", "Recall@20"),
    "random-split": ("NDCG@10", "Recall@10"),
    "temporal": ("NDCG@10", "HR@10"),
    "cold-item": ("NDCG@20", "Recall@20"),
}
_BY_LENGTH = ("guest", "session")  # protocols with a condition for each number of given items
_GIVEN_METRIC = re.compile(r"NDCG@10 \[n=(\d+|all)\]")
_LABEL_GAP = 0.045  # least distance of two direct labels, as a share of the axis


def draw(rows: Rows, path: Path) -> None:
    """Write a PNG, SVG or PDF, as the name of `path` says. All rows are of one protocol.

    Raises ValueError when there are no rows or the suffix is another.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"a plot is one of {', '.join(SUFFIXES)}, not {path.suffix or 'without a suffix'}")
    if not rows:
        raise ValueError("there are no results to draw")
    import matplotlib as mpl
    from matplotlib.figure import Figure

    first = rows[0]
    with mpl.rc_context({"svg.fonttype": "none", "font.size": 10, "text.color": _INK}):
        by_length = first["protocol"] in _BY_LENGTH
        panels = _length_panels(rows) if by_length else list(_HEADLINES.get(first["protocol"], ("NDCG@10",)))
        height = 4.6 if by_length else 1.7 + 0.42 * len(rows)
        figure = Figure(figsize=(10.5, height), dpi=150, layout="constrained")
        widths = [2 if panel == "lines" else 1 for panel in panels]
        axes = figure.subplots(1, len(panels), squeeze=False, width_ratios=widths)[0]
        for ax, panel in zip(axes, panels, strict=True):
            if panel == "lines":
                _lines(ax, rows)
            else:
                _bars(ax, rows, panel, tall=by_length)
        figure.suptitle(_title(first), x=0.01, ha="left", fontsize=12, fontweight="bold")
        figure.supxlabel(_facts(first), x=0.01, ha="left", fontsize=8, color=_QUIET)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)


def draw_curves(rows: Rows, path: Path) -> None:
    """Write a picture of the metrics over CPU seconds of training, one line per seed; suffixes as for `draw`.

    Raises ValueError when no row has a curve.
    """
    drawn = [row for row in rows if any(run.get("curve") for run in row["per_seed"])]
    if not drawn:
        raise ValueError("none of these models was observed while it trained")
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from evaluation.runner import CURVE_METRICS, CURVE_USERS

    first = drawn[0]
    with mpl.rc_context({"svg.fonttype": "none", "font.size": 10, "text.color": _INK}):
        figure = Figure(figsize=(10.5, 4.6), dpi=150, layout="constrained")
        axes = figure.subplots(1, len(CURVE_METRICS), squeeze=False)[0]
        for ax, metric in zip(axes, CURVE_METRICS, strict=True):
            _curves(ax, drawn, metric)
        figure.suptitle(f"{_title(first)}, while training", x=0.01, ha="left", fontsize=12, fontweight="bold")
        part = "test" if first["part"] == "test" else "validation"
        facts = (
            f"{first['ranking']} · up to {CURVE_USERS:,} {part} users, who decide nothing · "
            f"data sha256 {first['data_sha256'][:12]}"
        )
        figure.supxlabel(facts, x=0.01, ha="left", fontsize=8, color=_QUIET)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)


def _curves(ax: Axes, rows: Rows, metric: str) -> None:
    """Draw one metric over CPU seconds, each model named at the end of its longest line."""
    ends: list[tuple[float, float, str, str]] = []
    top, longest = 0.0, 0.0
    for index, row in enumerate(rows):
        colour = _COLOURS[index % len(_COLOURS)]
        last = (0.0, 0.0)
        for run in row["per_seed"]:
            seconds = [0.0, *(point["cpu_seconds"] for point in run["curve"])]
            values = [0.0, *(point[metric] for point in run["curve"])]
            ax.plot(
                seconds, values, color=colour, linewidth=2, alpha=1.0 if run is row["per_seed"][0] else 0.5
            )
            last = max(last, (seconds[-1], values[-1]))
            top, longest = max(top, *values), max(longest, seconds[-1])
        ends.append((last[1], last[0], f"{row['model']} {last[1]:.4f}", colour))
    at = -1.0
    for value, end, text, colour in sorted(ends):
        at = max(value, at + _LABEL_GAP * top)
        ax.annotate(
            text,
            (end, value),
            (longest * 1.02, at),
            va="center",
            color=colour,
            fontweight="bold",
            fontsize=8,
        )
    ax.set_ylim(0, max(top, at) * 1.08 or 1.0)
    ax.set_xlim(0, longest * 1.5)
    ax.set_xlabel("CPU seconds of training")
    ax.set_title(metric, loc="left", fontsize=10)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color="#dddddd", linewidth=0.7)
    ax.set_axisbelow(True)


def _length_panels(rows: Rows) -> list[str]:
    """Choose the panels: lines where items were counted, bars where a share was given."""
    names = rows[0]["metrics"]
    counted = ["lines"] if any(map(_GIVEN_METRIC.fullmatch, names)) else []
    return counted + [name for name in names if re.fullmatch(r"NDCG@100 \[n=\d+%\]", name)][:1]


def _title(row: Mapping[str, Any]) -> str:
    return f"{row['protocol']} on {Path(row['data']).name}"


def _facts(row: Mapping[str, Any]) -> str:
    seeds = ", ".join(map(str, row["seeds"]))
    part = "" if row["part"] == "test" else f" · {row['part']} part"
    return (
        f"{row['ranking']} · seeds {seeds}{part} · filter {row['filter']} · "
        f"data sha256 {row['data_sha256'][:12]} · whiskers and bands: 95 % bootstrap over users"
    )


def _bars(ax: Axes, rows: Rows, metric: str, *, tall: bool = False) -> None:
    """Draw horizontal bars, best on top, with whiskers and the value at the end."""
    ordered = sorted(
        (row for row in rows if metric in row["metrics"]), key=lambda row: row["metrics"][metric]
    )
    values = [row["metrics"][metric] for row in ordered]
    bounds = [
        row["intervals"].get(metric, (value, value)) for row, value in zip(ordered, values, strict=True)
    ]
    errors = [
        [max(value - low, 0.0) for value, (low, _) in zip(values, bounds, strict=True)],
        [max(high - value, 0.0) for value, (_, high) in zip(values, bounds, strict=True)],
    ]
    ax.barh(
        [row["model"] for row in ordered],
        values,
        xerr=errors,
        height=0.62,
        color=_COLOURS[0],
        error_kw={"ecolor": _INK, "elinewidth": 1.2, "capsize": 3},
    )
    furthest = max([high for _, high in bounds] + values) or 1.0
    for position, (value, (_, high)) in enumerate(zip(values, bounds, strict=True)):
        ax.text(max(high, value) + 0.015 * furthest, position, f"{value:.4f}", va="center")
    ax.set_xlim(0, furthest * 1.18)
    if tall:  # beside the lines: bars of the usual thickness, from the top
        ax.set_ylim(min(-0.6, len(ordered) - 7.5), len(ordered) - 0.4)
    ax.set_title(metric, loc="left", fontsize=10)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)


def _lines(ax: Axes, rows: Rows) -> None:
    """Draw NDCG@10 over the number of given items, one line per model, named at its right end."""
    found = filter(None, map(_GIVEN_METRIC.fullmatch, rows[0]["metrics"]))
    numbers = sorted((match[1] for match in found), key=lambda n: (n == "all", n.zfill(9)))
    positions = range(len(numbers))
    ends = []
    for index, row in enumerate(rows):
        names = [f"NDCG@10 [n={number}]" for number in numbers]
        values = [row["metrics"][name] for name in names]
        colour = _COLOURS[index % len(_COLOURS)]
        lower, upper = zip(*(row["intervals"][name] for name in names), strict=True)
        ax.fill_between(positions, lower, upper, color=colour, alpha=0.15, linewidth=0)
        ax.plot(positions, values, color=colour, marker=_MARKERS[index % len(_MARKERS)], linewidth=2)
        ends.append((values[-1], f"{row['model']} {values[-1]:.3f}", colour))
    top = max(max(row["intervals"][f"NDCG@10 [n={n}]"][1] for n in numbers) for row in rows) * 1.08 or 1.0
    at = -1.0
    for value, text, colour in sorted(ends):
        at = max(value, at + _LABEL_GAP * top)
        ax.annotate(
            text,
            (positions[-1], value),
            (positions[-1] + 0.08, at),
            va="center",
            color=colour,
            fontweight="bold",
        )
    ax.set_ylim(0, max(top, at * 1.05))
    ax.set_xlim(-0.15, len(numbers) - 1 + 0.35 * max(len(numbers) - 1, 1))
    ax.set_xticks(list(positions), numbers)
    ax.set_xlabel("films given")
    ax.set_title("NDCG@10", loc="left", fontsize=10)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color="#dddddd", linewidth=0.7)
    ax.set_axisbelow(True)
