"""Benchmarks one after another, and one table of what they measured against their goals.

    python -m benchmarks [NAME ...] [--all] [--full] [--write]

Runs a selection that takes some minutes, or the named ones, in their `--quick` form, unless --full is given.
`serving` is part of it where the packages of requirements-bench.txt are installed.
Each is a module of its own; `python -m benchmarks.NAME --help` tells its options and names its baseline.
--write puts their rows in the place of their former ones, in the table that the document reads. Exits with 1
where one could not measure, or missed a goal.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from benchmarks._command import Ratio, run
from benchmarks.accuracy import RESULTS
from evaluation.benchmark_page import SHOWN_OF_COMMIT, read_table, write_table
from evaluation.provenance import commit

SELECTION = (
    "home_page", "observability", "import_ratings", "propagation", "sasrec_latency", "live_new_user",
    "training_feed", "stars", "synthetic", "play_weights", "similar", "experiments", "serving", "growth",
)  # fmt: skip
PACKAGES = {"serving": ("fastapi", "uvicorn")}  # of requirements-bench.txt: what the site is compared with
COLUMNS = ("what", "ratio", "baseline", "goal", "", "revision", "command")
FOLDER = Path(__file__).resolve().parent


def benchmark_names() -> list[str]:
    """Return the names of all benchmarks: the modules and packages here that are commands."""
    modules = [path.stem for path in FOLDER.glob("[a-z]*.py")]
    return sorted(modules + [path.parent.name for path in FOLDER.glob("[a-z]*/__main__.py")])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--all", action="store_true", help="services and Chromium are needed")
    parser.add_argument("--full", action="store_true", help="at the sizes of the document")
    parser.add_argument("--write", action="store_true", help="keep the table in benchmarks/results")
    options = parser.parse_args()
    known = benchmark_names()
    if unknown := set(options.names) - {*known}:
        parser.error(f"no benchmark named {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    if options.write and options.all:
        parser.error("--write keeps the table of the selection, or named rows of it; leave out --all")
    rows, failed, revision = [], [], commit()[:SHOWN_OF_COMMIT]
    for name in known if options.all else options.names or runnable(SELECTION):
        command = ["python", "-m", f"benchmarks.{name}", *([] if options.full else ["--quick"])]
        ratios, status = measure(command)
        rows += [as_row(ratio, revision, command) for ratio in ratios]
        failed += [name] if has_failed(status, ratios) else []
    print("\n" + as_text([COLUMNS, *rows]))
    if options.write and not failed:
        all_rows = with_new_rows(read_table(RESULTS, "goals")["rows"], rows)
        table = {"command": "python -m benchmarks", "columns": list(COLUMNS), "rows": all_rows}
        write_table(RESULTS, "goals", table)
    missed = [row[0] for row in rows if row[4] == "missed"]
    for what, names in (("could not measure or ended with a failure", failed), ("missed", missed)):
        if names:
            sys.stderr.write(f"{what}: {', '.join(names)}\n")
    return bool(failed or missed)


def runnable(names: Sequence[str]) -> list[str]:
    """Return the benchmarks whose packages are installed, and say which are left out."""
    missing = {
        name: [package for package in PACKAGES.get(name, ()) if find_spec(package) is None] for name in names
    }
    for name, packages in missing.items():
        if packages:
            print(f"{name} is left out: {', '.join(packages)} of requirements-bench.txt missing")
    return [name for name in names if not missing[name]]


def measure(command: Sequence[str]) -> tuple[list[Ratio], int]:
    """Run a benchmark, show what it prints, and return its ratios and its exit status."""
    print(f"\n== {' '.join(command)}", flush=True)
    began, ratios = time.perf_counter(), []
    with subprocess.Popen(
        [sys.executable, *command[1:]], cwd=FOLDER.parent, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            for line in process.stdout or ():
                print(line, end="", flush=True)
                if ratio := Ratio.parse(line):
                    ratios.append(ratio)
        except (SystemExit, KeyboardInterrupt) as signalled:
            if isinstance(signalled, SystemExit):  # a terminal interrupts the benchmark too
                process.terminate()
            process.wait()  # it stops its servers
            raise
    status = process.returncode
    print(f"== status {status} after {time.perf_counter() - began:.0f} s", flush=True)
    return ratios, status


def has_failed(status: int, ratios: Sequence[Ratio]) -> bool:
    """Return whether a benchmark ended with a failure: status 1 with a missed goal is a measurement."""
    return bool(status) and not (status == 1 and any(not ratio.is_met for ratio in ratios))


def as_row(ratio: Ratio, revision: str, command: Sequence[str]) -> list[str]:
    """Return the cells of a ratio in the order of COLUMNS."""
    verdict = ("met" if ratio.is_met else "missed") if ratio.goal else ""
    measured = [ratio.what, f"{ratio.value:.4g}", ratio.baseline, ratio.goal, verdict]
    return [*measured, f"`{revision}`" if revision else "", f"`{' '.join(command)}`"]


def with_new_rows(rows: Sequence[list[str]], new: Sequence[list[str]]) -> list[list[str]]:
    """Return the rows of all other benchmarks, and the new ones, in the order of the selection."""

    def benchmark(row: Sequence[str]) -> str:
        return row[-1].strip("`").split()[2].removeprefix("benchmarks.")

    named = {benchmark(row) for row in new}
    kept = [row for row in rows if benchmark(row) not in named]
    return sorted([*kept, *new], key=lambda row: [*SELECTION, benchmark(row)].index(benchmark(row)))


def as_text(rows: Sequence[Sequence[str]]) -> str:
    """Return the rows in aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


if __name__ == "__main__":
    run(main)
