"""Write the benchmark document from a template and committed results, so that no figure is typed by hand.

A template is Markdown with a line `{{NAME}}` for each table and `{{chart}}` for the chart. The table NAME
is the file `NAME.json` in the folder of results, in one of two forms:

    accuracy  rows as `evaluation.report` builds them, cut down by `compact_row`, each with the command that
              measured it; `columns` lists [metric, heading]; `views` holds further columns for the same rows,
              shown by `{{NAME VIEW}}`; `comparisons` are those of the report; `references` holds figures of
              other programs, which name who measured them, on which file and how, and stand in a table of
              their own
    plain     `columns` and `rows` of texts with one `command`, and one `revision` where all rows
              have the same, for costs and memory
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from string import ascii_lowercase
from typing import Any
from xml.sax.saxutils import escape

from evaluation.report import MASKED

Table = Mapping[str, Any]
Rows = Sequence[Mapping[str, Any]]
Columns = Sequence[Sequence[str]]  # [metric, heading] each

CHART = "chart"
_PLACEHOLDER = re.compile(r"^\{\{([a-z0-9-]+)(?: ([a-z]+))?\}\}$", re.MULTILINE)
_DIGITS = 4
_SHOWN_OF_HASH = 12
SHOWN_OF_COMMIT = 7
_KEPT = (
    "model", "protocol", "part", "stated", "cpu_seconds", "score_cpu_seconds", "peak_rss_mb",
    "budget_seconds", "data", "data_sha256", "n_users", "n_items", "n_interactions", "filter", "sort",
    "split", "ranking", "recall", "seeds", "options", "config", "versions", "code", "finished",
)  # fmt: skip


class PageError(ValueError):
    """Raised for a template that names no table and for an incomplete results file; the message names it."""


def read_table(folder: Path, name: str) -> dict[str, Any]:
    """Read one results file. Raises PageError when it is missing or no JSON object with columns and rows."""
    path = folder / f"{name}.json"
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PageError(f"{path} cannot be read: {error}") from error
    if not isinstance(table, dict) or not {"columns", "rows"} <= set(table):
        raise PageError(f"{path} holds no columns and rows")
    return table


def write_table(folder: Path, name: str, table: Table) -> None:
    """Write one results file."""
    text = json.dumps(table, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def render_page(template: str, folder: Path, chart: str) -> str:
    """Return the document: the template with every placeholder replaced.

    chart  path of the chart's picture, relative to the document

    Raises PageError on an unknown name and on a results file that no placeholder shows.
    """
    shown = {name for name, _ in _PLACEHOLDER.findall(template)} - {CHART}
    unused = sorted(path.stem for path in folder.glob("*.json") if path.stem not in shown)
    if unused:
        raise PageError(f"no placeholder shows {', '.join(unused)}")

    def replace(match: re.Match[str]) -> str:
        name = match[1]
        if name == CHART:
            return f"![{_chart_title()}]({chart})"
        table = read_table(folder, name)
        return render_view(table, match[2]) if match[2] else render_table(table)

    return _PLACEHOLDER.sub(replace, template)


def render_table(table: Table) -> str:
    """Return a results file as Markdown."""
    if "command" in table:
        facts = [f"`{table['command']}`", *_measured_at(table.get("revision", ""))]
        texts = [[str(cell) for cell in row] for row in table["rows"]]
        return _markdown(table["columns"], texts) + "\n\n" + ", ".join(facts) + "."
    parts = [_accuracy_rows(table)]
    if table.get("comparisons"):
        parts.append(_differences(table))
    if table.get("references"):
        parts.append(_references(table))
    return "\n\n".join(parts)


def render_view(table: Table, name: str) -> str:
    """Return the rows of a results file that have figures in the columns of a view.

    Raises PageError on an unknown view.
    """
    if name not in table.get("views", {}):
        raise PageError(f"there is no view {name!r}; known: {', '.join(table.get('views', {})) or 'none'}")
    columns = table["views"][name]
    rows = [row for row in table["rows"] if any(metric in row["metrics"] for metric, _ in columns)]
    lines = [[_model(row), *_figures(rows, row, columns)] for row in rows]
    return _markdown(["model", *(heading for _, heading in columns)], lines)


def compact_row(row: Mapping[str, Any], command: str) -> dict[str, Any]:
    """Return the facts and figures of a report's row that the document keeps, without those of groups."""
    metrics = {name: round(value, 6) for name, value in row["metrics"].items()}
    intervals = {name: [round(bound, 6) for bound in row["intervals"][name]] for name in row["intervals"]}
    kept = {name: row[name] for name in _KEPT}
    return {
        **kept,
        "data": Path(row["data"]).name,
        "command": command,
        "metrics": metrics,
        "intervals": intervals,
    }


# -- tables --------------------------------------------------------------------------------------------


def _accuracy_rows(table: Table) -> str:
    """Return the rows, best figures bold, each with the letter of its run, and the runs below."""
    rows, columns = table["rows"], table["columns"]
    runs = {_run_facts(row): None for row in rows}
    letters = {facts: ascii_lowercase[number] for number, facts in enumerate(runs)}
    cost = ["fit CPU-s"] if any("cpu_seconds" in row for row in rows) else []
    headings = ["model", *(heading for _, heading in columns), *cost, "run"]
    lines = [
        [
            _model(row),
            *_figures(rows, row, columns),
            *([_seconds(row.get("cpu_seconds", ""))] if cost else []),
            letters[_run_facts(row)],
        ]
        for row in rows
    ]
    listed = [f"- {letter}: {facts}" for facts, letter in letters.items()]
    widest = _widest(rows, [metric for metric, _ in columns])
    note = [f"95 % intervals over users reach ±{_plain(widest, 3)}."] if widest else []
    return "\n\n".join([_markdown(headings, lines), *note, "\n".join(listed)])


def _figures(rows: Rows, row: Mapping[str, Any], columns: Columns) -> list[str]:
    """Return the cells of a row's metrics; the largest of each column is bold."""
    best = {
        metric: max((each["metrics"][metric] for each in rows if metric in each["metrics"]), default=None)
        for metric, _ in columns
    }
    return [_cell(row, metric, bold=row["metrics"].get(metric) == best[metric]) for metric, _ in columns]


def _run_facts(row: Mapping[str, Any]) -> str:
    """Return how a row came about, in one line: command, seeds, revision, digest of the data."""
    seeds = ", ".join(map(str, row["seeds"]))
    code = row.get("code", {})
    facts = [
        f"`{row['command']}`",
        f"seed{'s' if len(row['seeds']) > 1 else ''} {seeds}",
        *_measured_at(code.get("commit", "")),
        f"data sha256 `{row['data_sha256'][:_SHOWN_OF_HASH]}`",
    ]
    return ", ".join(facts)


def _measured_at(commit: str) -> list[str]:
    return [f"revision `{commit[:SHOWN_OF_COMMIT]}`"] if commit else []


def _differences(table: Table) -> str:
    """Return the paired differences to a baseline, a star where the interval leaves zero out."""
    found = {
        (each["candidate"], each["metric"], each["condition"]): each["difference"]
        for each in table["comparisons"]
    }
    asked = [(heading, *_metric_and_condition(metric)) for metric, heading in table["columns"]]
    columns = [each for each in asked if any(key[1:] == each[1:] for key in found)]
    lines = [
        [model, *(_difference(found.get((model, metric, label))) for _, metric, label in columns)]
        for model in dict.fromkeys(candidate for candidate, *_ in found)
    ]
    baseline = table["comparisons"][0]["baseline"]
    title = (
        f"Less `{baseline}`, with paired 95 % intervals over the same users; a star where zero is outside:"
    )
    return title + "\n\n" + _markdown(["model", *(heading for heading, *_ in columns)], lines)


def _metric_and_condition(name: str) -> tuple[str, str]:
    """Return ("NDCG@10", "n=3") for "NDCG@10 [n=3]"; the condition of a plain name is the masked one."""
    metric, _, condition = name.partition(" [")
    return metric, condition.removesuffix("]") or MASKED


def _difference(found: Mapping[str, float] | None) -> str:
    if found is None:
        return ""
    star = "*" if found["low"] > 0 or found["high"] < 0 else ""
    return f"{_signed(found['value'])} ({_signed(found['low'])} to {_signed(found['high'])}){star}"


def _references(table: Table) -> str:
    """Return the figures of other programs and papers in a table of their own."""
    references = table["references"]
    names = list(dict.fromkeys(name for each in references for name in each["metrics"]))
    lines = [
        [
            each["model"],
            each["library"],
            each["file"],
            each["setting"],
            each["measured_by"],
            *(
                _plain(each["metrics"][name], each.get("digits", _DIGITS)) if name in each["metrics"] else ""
                for name in names
            ),
        ]
        for each in references
    ]
    title = "Figures of others. A row on another file cannot be compared with the rows above:"
    return (
        title
        + "\n\n"
        + _markdown(["model", "library, version", "file", "setting", "measured by", *names], lines)
    )


def _markdown(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(cells)} |" for cells in (headings, *rows)]
    lines.insert(1, "|---" * len(headings) + "|")
    return "\n".join(lines)


def _model(row: Mapping[str, Any]) -> str:
    label = str(row.get("label") or row["model"])
    return f"{label}, budget {row['budget_seconds']:g} CPU-s" if row.get("budget_seconds") else label


def _cell(row: Mapping[str, Any], metric: str, *, bold: bool) -> str:
    if metric not in row["metrics"]:
        return ""
    name = metric.partition("@")[0]
    value = row["metrics"][metric]
    text = f"{value:,.0f}" if name == "films_per_1000" else _plain(value, row.get("digits", _DIGITS))
    return f"**{text}**" if bold else text


def _plain(value: float, digits: int = _DIGITS) -> str:
    """Return .1757 for 0.1757."""
    return f"{value:.{digits}f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.{digits}f}"


def _signed(value: float) -> str:
    return f"{'-' if value < 0 else '+'}{_plain(abs(value))}"


def _seconds(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.1f}"


def _widest(rows: Rows, metrics: Sequence[str]) -> float:
    """Return half of the widest interval among the figures that are shown."""
    bounds = [
        row["intervals"][metric] for row in rows for metric in metrics if metric in row.get("intervals", {})
    ]
    return max(((high - low) / 2 for low, high in bounds), default=0.0)


# -- chart ---------------------------------------------------------------------------------------------

_CHART_MODELS = {  # model -> what it does, for who reads no papers
    "popular": "the most watched films, the same for everybody",
    "neighbours": "films that people with the same films liked",
    "linear_sequence": "linear model of what follows what",
    "sasrec": "neural network over the order of the history",
    "next_item": "the network and the linear model as one",
}
_INK, _QUIET, _BAR = "#222222", "#666666", "#0072B2"


def _chart_title() -> str:
    return "Of 100 people, for how many the film they watched next is among ten recommended ones"


def render_chart(table: Table) -> str:
    """Return an SVG: HR@10 of leave-one-out as people of a hundred, one bar per model, best on top."""
    rows = sorted(
        (row for row in table["rows"] if row["model"] in _CHART_MODELS),
        key=lambda row: -row["metrics"]["HR@10"],
    )
    n_users, n_items = rows[0]["n_users"], rows[0]["n_items"]
    bars = [(row["model"], _CHART_MODELS[row["model"]], 100 * row["metrics"]["HR@10"]) for row in rows]
    bars.append(("chance", f"ten films drawn from {n_items:,}", 100 * 10 / n_items))
    longest = max(value for *_, value in bars)
    height = 96 + 44 * len(bars)
    lines = [
        '<svg xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" role="img"',
        f'viewBox="0 0 760 {height}">',
        f"<title>{escape(_chart_title())}</title>",
        f'<rect width="760" height="{height}" fill="#ffffff"/>',
        f'<text x="16" y="30" font-size="17" font-weight="bold" fill="{_INK}">'
        "Is the film that somebody watched next among ten recommended ones?</text>",
        f'<text x="16" y="52" font-size="13" fill="{_QUIET}">'
        f"People of 100 for whom it is. MovieLens 1M: {n_users:,} people, {n_items:,} films</text>",
    ]
    for number, (name, summary, value) in enumerate(bars):
        y = 72 + 44 * number
        width = 380 * value / longest
        lines += [
            f'<text x="16" y="{y + 14}" font-size="14" font-weight="bold" fill="{_INK}">{name}</text>',
            f'<text x="16" y="{y + 30}" font-size="11" fill="{_QUIET}">{summary}</text>',
            f'<rect x="310" y="{y + 4}" width="{width:.1f}" height="22" fill="{_BAR}"/>',
            f'<text x="{310 + width + 8:.1f}" y="{y + 20}" font-size="14" fill="{_INK}">{value:.1f}</text>',
        ]
    return "\n".join([*lines, "</svg>"]) + "\n"
