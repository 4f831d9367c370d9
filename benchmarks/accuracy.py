"""Write docs/benchmarks.md from the committed results, and measure tables of it anew.

    python -m benchmarks.accuracy                                 write the document and its charts
    python -m benchmarks.accuracy TABLE ... --data-root FOLDER    run the commands of these tables first
    python -m benchmarks.accuracy TABLE ... --models for_you,ease run those of these models' rows only

A table is the name of a file in benchmarks/results. Each of its commands is run as it stands there, with the
data below FOLDER, and its rows replaced by what was measured. Rows keep their order and their labels. A new
row is written into the file by hand, with its model and its command, and then measured. The baseline of the
tables is popularity; --quick writes nothing and exits with 1 where the document is not that of the results.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks._command import argument_parser, parse_options, run
from evaluation.benchmark_page import (
    PageError,
    compact_row,
    read_table,
    render_chart,
    render_page,
    write_table,
)
from evaluation.frontier_chart import render_frontier

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
TEMPLATE = ROOT / "benchmarks" / "page.md"
PAGE = ROOT / "docs" / "benchmarks.md"
CHART = "images/next-film.svg"
CHART_TABLE = "ml-1m-leave-one-out"
FRONTIER = "images/dial.svg"
FRONTIER_TABLE = "dial-ml-1m"


def main() -> int:
    parser = argument_parser(__doc__)
    parser.add_argument("tables", nargs="*", metavar="TABLE", help="results files to measure anew")
    parser.add_argument("--data-root", type=Path, default=Path(), help="folder that holds the data sets")
    parser.add_argument("--models", help="comma-separated; the rows of the others stay as they are")
    options = parse_options(parser)
    models = options.models.split(",") if options.models else None
    try:
        for name in options.tables:
            write_table(RESULTS, name, measure_anew(read_table(RESULTS, name), options.data_root, models))
        page, charts = rendered()
    except (PageError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if options.quick:
        files = {PAGE: page, **{PAGE.parent / path: chart for path, chart in charts.items()}}
        if stale := [str(path) for path, text in files.items() if path.read_text(encoding="utf-8") != text]:
            sys.stderr.write(f"not written from the results as they are: {', '.join(stale)}\n")
            return 1
        return 0
    PAGE.write_text(page, encoding="utf-8")
    for path, chart in charts.items():
        (PAGE.parent / path).write_text(chart, encoding="utf-8")
    return 0


def rendered() -> tuple[str, dict[str, str]]:
    """Return the document and the SVG of each chart. Raises PageError on an unusable results file."""
    page = render_page(TEMPLATE.read_text(encoding="utf-8"), RESULTS, CHART)
    return page, {
        CHART: render_chart(read_table(RESULTS, CHART_TABLE)),
        FRONTIER: render_frontier(read_table(RESULTS, FRONTIER_TABLE)),
    }


def measure_anew(
    table: Mapping[str, Any], data_root: Path, models: Collection[str] | None = None
) -> dict[str, Any]:
    """Return the table with the rows of these models, or all rows, measured by their commands.

    Raises PageError on a table that cannot be measured and on a model without a row, CalledProcessError.
    """
    if "command" in table:
        raise PageError(f"this table holds what a command prints; run it yourself: {table['command']}")
    chosen = [row for row in table["rows"] if models is None or row["model"] in models]
    if missing := set(models or ()) - {row["model"] for row in chosen}:
        raise PageError(f"the table has no row of {', '.join(sorted(missing))}")
    measured: dict[str, dict[str, dict[str, Any]]] = {}
    comparisons = list(table.get("comparisons", []))
    for command in dict.fromkeys(row["command"] for row in chosen):
        report = run_benchmark_command(command, data_root)
        of_models = {row["model"] for row in chosen if row["command"] == command}
        measured[command] = {row["model"]: row for row in report["results"]}
        comparisons = [each for each in comparisons if each["candidate"] not in of_models]
        comparisons += [each for each in report["comparisons"] if each["candidate"] in of_models]
    rows = []
    for row in table["rows"]:
        if row not in chosen:
            rows.append(row)
            continue
        found = measured[row["command"]].get(row["model"])
        if found is None or "error" in found:
            raise PageError(f"{row['command']} gave no row of {row['model']}")
        rows.append({**compact_row(found, row["command"]), **_label(row)})
    return {**table, "rows": rows, **({"comparisons": comparisons} if comparisons else {})}


def run_benchmark_command(command: str, data_root: Path) -> dict[str, Any]:
    """Run `manage.py benchmark ...` with the data below `data_root` and return its report."""
    words = shlex.split(command)
    position = words.index("--data") + 1
    words[position] = str(data_root / words[position])
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        arguments: Sequence[str] = [
            sys.executable,
            str(ROOT / "manage.py"),
            *words[1:],
            "--json",
            str(report),
        ]
        subprocess.run(arguments, check=True)
        return json.loads(report.read_text(encoding="utf-8"))


def _label(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"label": row["label"]} if "label" in row else {}


if __name__ == "__main__":
    run(main)
