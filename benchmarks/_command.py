"""Shared by the commands of all benchmarks: `--quick`, an end with status 1, and the lines of ratios."""

from __future__ import annotations

import argparse
import math
import os
import re
import signal
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from datasets.readers.packaged import movielens_100k
from predictors.errors import PackageMissing

QUICK_SECONDS = 165  # of three minutes; the rest is for servers to end


class CouldNotMeasure(Exception):
    """Raised where a figure cannot be had; says what is missing. The command then ends with status 1."""


@dataclass(frozen=True)
class Ratio:
    """States what a measured thing is as a multiple of a named baseline, and what it is to be."""

    what: str
    value: float
    baseline: str
    goal: str = ""  # "at most 1.5" or "at least 2.5"

    _LINE = re.compile(r"ratio: (.+) = (\S+) x (.+?)(?: \(goal: (at \w+ \S+), \w+\))?")

    def __post_init__(self) -> None:
        if not (math.isfinite(self.value) and self.value >= 0):
            raise CouldNotMeasure(f"{self.what}: {self.value} times {self.baseline} is no ratio")

    @property
    def is_met(self) -> bool:
        """Return whether the ratio is as its goal says; True without a goal."""
        if not self.goal:
            return True
        side, bound = self.goal.removeprefix("at ").split()
        return self.value <= float(bound) if side == "most" else self.value >= float(bound)

    def __str__(self) -> str:
        goal = f" (goal: {self.goal}, {'met' if self.is_met else 'missed'})" if self.goal else ""
        return f"ratio: {self.what} = {self.value:.4g} x {self.baseline}{goal}"

    @classmethod
    def parse(cls, line: str) -> Ratio | None:
        """Return the ratio of a line of output, None where it states none."""
        found = cls._LINE.fullmatch(line.strip())
        return cls(found[1], float(found[2]), found[3], found[4] or "") if found else None


_missed: list[str] = []  # what this process has printed that is not as its goal says


def times_of(baseline: Sequence[float], costs: Sequence[float]) -> float:
    """Return how many times its baseline something costs: the median over pairs, the n-th of each."""
    return statistics.median(cost / before for before, cost in zip(baseline, costs, strict=True))


def print_ratio(what: str, value: float, baseline: str, goal: str = "") -> Ratio:
    """Print and return the ratio; one that misses its goal has `run` end with status 1.

    Raises CouldNotMeasure on a value that is none.
    """
    ratio = Ratio(what, value, baseline, goal)
    print(ratio, flush=True)
    if not ratio.is_met:
        _missed.append(what)
    return ratio


def argument_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser that shows the module's docstring and knows --quick."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, within three minutes")
    return parser


def parse_options(parser: argparse.ArgumentParser, **quick: object) -> argparse.Namespace:
    """Parse the command line; with --quick these are the values of options that it does not name."""
    options = parser.parse_args()
    if options.quick:
        parser.set_defaults(**quick)
        options = parser.parse_args()
    return options


def end_within(seconds: int) -> None:
    """Let this process give up after so many seconds, as where it cannot measure: it stops its servers.

    The seconds are those of an idle machine: with twice as many busy processes as cores there are twice as
    many.
    """
    began = time.monotonic()

    def give_up(*_: object) -> None:
        passed = time.monotonic() - began
        allowed = seconds * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
        if passed < allowed:
            signal.alarm(math.ceil(allowed - passed))
            return
        raise CouldNotMeasure(f"not done within {passed:.0f} seconds")

    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)


def data_or_default(given: Path | None) -> Path:
    """Return the folder or file of the data, MovieLens 100K by default. Raises CouldNotMeasure."""
    if given is not None:
        if not given.exists():
            raise CouldNotMeasure(f"{given} is not there; name a data set with --data")
        return given
    try:
        return movielens_100k()
    except FileNotFoundError as error:
        raise CouldNotMeasure(str(error)) from error


def run(main: Callable[[], int | None]) -> NoReturn:
    """Run a benchmark and end this process: with 1 where a goal was missed or something not measured.

    SIGTERM and SIGINT end it as an exception does, so that it stops the servers that it started.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        status = main()
    except (CouldNotMeasure, PackageMissing, ModuleNotFoundError) as error:
        sys.exit(f"could not measure: {error}")  # status 1
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    if _missed:
        sys.stderr.write(f"missed: {'; '.join(_missed)}\n")
    sys.exit(status or int(bool(_missed)))
