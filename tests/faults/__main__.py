"""python -m tests.faults: break everything in turn under load, then count."""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from services.base import free_port
from tests.faults.breaking import CLOCK, FAULTS, NOTICE, PROCESSES, RESTART, FillableMariaDB, reason_against
from tests.faults.deployment import ACCOUNTS, Deployment, sleep_between
from tests.faults.result import Result, wait_and_count
from tests.faults.visitors import Load, VisitorThread

SITE = """
import json
from django.contrib.auth import get_user_model
from movie.catalogue.models import Movie
accounts = get_user_model().objects.filter(username__startswith="visitor-").order_by("pk")
print(json.dumps({
    "films": list(Movie.objects.values_list("pk", flat=True)),
    "accounts": list(accounts.values_list("pk", flat=True)),
}))
"""
ENOUGH = 4  # requests during each fault, and acknowledged events after it, ...
BROKEN_AT_MOST, WHOLE_AT_MOST = 5.0, 20.0  # ... and for how many seconds they are waited for
PAUSE, SHORT_PAUSE = 0.1, 0.3  # seconds between two things that a visitor does, on average


def new_deployment(folder: Path) -> Deployment:
    return Deployment(folder, mariadb=FillableMariaDB(folder, free_port()))


def run(
    site: Deployment, names: Sequence[str], *, least: int, seconds: float, calm: float, pause: float = PAUSE
) -> Result:
    """Run the load and the named faults until `least` events are acknowledged, wait, and count."""
    left_out = [f"{name}: {reason}" for name in names if (reason := reason_against(name))]
    load = Load(site.port, **site.run(SITE))
    site.warm()
    visitors = [VisitorThread(load, number, pause) for number in range(ACCOUNTS)]
    started = time.monotonic()
    for visitor in visitors:
        visitor.start()
    try:
        _wait_for_more(lambda: len(load.acknowledged), WHOLE_AT_MOST)
        for name in _in_turn(load, [name for name in names if not reason_against(name)], least):
            _break(site, load, name, seconds, calm)
    except KeyboardInterrupt:
        sys.stderr.write("Asked to end: what there is so far is counted.\n")
    finally:
        load.stop.set()
        for visitor in visitors:
            visitor.join()
    took = time.monotonic() - started
    tally = wait_and_count(site, load)
    starts = {name: kept.starts for name, kept in site.kept.items()}
    return Result(load, tally, starts, took, left_out)


def _in_turn(load: Load, names: Sequence[str], least: int) -> Iterator[str]:
    """Yield each fault once, then, while events are wanted, those that leave the clock alone by chance."""
    yield from names
    again = [name for name in names if not name.startswith(CLOCK)]
    while len(load.acknowledged) < least:
        yield random.choice(again)


def _break(site: Deployment, load: Load, name: str, seconds: float, calm: float) -> None:
    if name.startswith(CLOCK):
        # What a guest did while the clock was wrong cannot be put in order with what the account did before.
        load.stay.set()
    # A process that is killed comes back by itself, and a site without a database answers nobody.
    short = name.endswith("is killed") and name.removesuffix(" is killed") in PROCESSES
    if short or name in ("the database is restarted", "the database is killed"):
        seconds = min(RESTART, seconds)
    _say(load, name)
    with FAULTS[name](site, seconds):
        time.sleep(seconds)
        # However busy the machine is, some requests meet the fault.
        _wait_for_more(lambda: load.n_asked, BROKEN_AT_MOST)
    time.sleep(NOTICE)
    _wait_for_more(lambda: len(load.acknowledged), WHOLE_AT_MOST)
    _say(load, "nothing")
    sleep_between(calm / 2, calm)


def _wait_for_more(count: Callable[[], int], at_most: float) -> None:
    start, deadline = count(), time.monotonic() + at_most
    while count() < start + ENOUGH and time.monotonic() < deadline:
        time.sleep(0.1)


def _say(load: Load, what: str) -> None:
    load.now = what
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {len(load.acknowledged):>6} acknowledged; {what}\n")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--least", type=int, default=5000, help="interactions to acknowledge")
    parser.add_argument("--seconds", type=float, default=20, help="for which something is broken")
    parser.add_argument("--logs", type=Path, help="copy what the processes said into this folder")
    parser.add_argument("--calm", type=float, default=4, help="seconds between two faults")
    parser.add_argument("--only", nargs="+", choices=FAULTS, default=list(FAULTS), metavar="FAULT")
    parser.add_argument("--brokers", type=int, help="break Apache Kafka alone, with so many brokers")
    arguments = parser.parse_args()
    if arguments.brokers:
        from tests.faults.cluster import main as break_kafka

        return break_kafka(arguments.brokers, arguments.seconds, arguments.logs)
    with tempfile.TemporaryDirectory(prefix="reelgraph-faults-") as folder:
        site = new_deployment(Path(folder))
        if missing := site.missing():
            sys.stderr.write(f"{missing}\n")
            return 1
        try:
            site.start()
            result = run(
                site,
                arguments.only,
                least=arguments.least,
                seconds=arguments.seconds,
                calm=arguments.calm,
            )
        finally:
            site.stop()
            if arguments.logs:
                arguments.logs.mkdir(parents=True, exist_ok=True)
                for log in [*Path(folder).glob("*.log"), *Path(folder).glob("*/server.log")]:
                    shutil.copy(log, arguments.logs / f"{log.parent.name}-{log.name}")
    sys.stdout.write(f"\n{result.table()}\n")
    for problem in result.problems:
        sys.stdout.write(f"PROBLEM: {problem}\n")
    return 1 if result.problems else 0


if __name__ == "__main__":
    sys.exit(main())
