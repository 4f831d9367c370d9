"""The sizes of a large site: sums that can be done by hand, the document, and queues in a burst."""

import json
import math
import subprocess
import sys

import pytest

from benchmarks._serving import ROOT
from benchmarks.scale import Lag, Prices, Site, UnitCosts, lag, needs, report

OPERATIONS = ROOT / "docs" / "operations.md"


def need_of(part, **assumed):
    (found,) = [each for each in needs(Site(**assumed), UnitCosts(), Prices()) if each.part == part]
    return found


def run(*arguments):
    command = [sys.executable, "-m", "benchmarks.scale", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_document_quotes_the_output():
    document = OPERATIONS.read_text(encoding="utf-8")
    for table in report(Site(), UnitCosts(), Prices()).split("\n\n"):
        assert table in document


def test_marks_of_processed_events_are_counted_for_every_group_and_day():
    """12 million events, 144 bytes, 17 days, 2 groups."""
    assert need_of("database, processed events").result == "59 GB at any time"


def test_twice_the_visitors_need_twice_of_what_grows_with_them():
    once, twice = (need_of("DynamoDB, writes", visitors=n) for n in (1e6, 2e6))
    assert twice.dollars == pytest.approx(2 * once.dollars)
    assert need_of("models on each web machine", visitors=2e6) == need_of("models on each web machine")


def test_what_the_capacity_holds_makes_nobody_wait():
    assert lag(burst=100, seconds=60, calm=10, capacity=100) == Lag(0, 0)


def test_a_burst_is_worked_off():
    """Ten seconds of 50 too many leave 500, which take 5 s at 100; 50 of them go each second of calm."""
    assert lag(burst=150, seconds=10, calm=50, capacity=100) == Lag(longest=5, cleared=20)


def test_a_queue_that_takes_hours_is_worked_off_too():
    assert lag(burst=1000, seconds=60, calm=99, capacity=100).cleared == 60 + 54_000


def test_more_than_the_capacity_is_never_worked_off():
    assert lag(burst=1000, seconds=60, calm=100, capacity=100) == Lag(math.inf, math.inf)


def test_own_figures_are_taken(tmp_path):
    prices = tmp_path / "prices.json"
    prices.write_text(json.dumps({"traffic_gb": 0}))
    ran = run("--visitors", "1000", "--prices", str(prices))
    assert ran.returncode == 0
    assert "| traffic | 10,000 pages x 30 kB | 0.0 TB a month |  |" in ran.stdout


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"gold": 1}', "there is no 'gold'"),
        ('{"core_hour": "x"}', "core_hour is 'x'"),
        ('{"core_hour": NaN}', "core_hour is nan"),
        ("[]", "an object"),
    ],
)
def test_what_is_no_price_is_refused(tmp_path, content, said):
    prices = tmp_path / "prices.json"
    prices.write_text(content)
    ran = run("--prices", str(prices))
    assert ran.returncode == 2
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_cost_of_nothing_is_refused(tmp_path):
    costs = tmp_path / "costs.json"
    costs.write_text('{"relay_ms": 0}')
    ran = run("--costs", str(costs))
    assert ran.returncode == 2
    assert "relay_ms is 0" in ran.stderr
