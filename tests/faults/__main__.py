"""python -m tests.faults: break everything in turn under load, then count."""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.base import is_open
from tests.faults.deployment import Deployment, pause
from tests.faults.tally import PROGRESS, TALLY
from tests.faults.visitors import Load, VisitorThread

CLIENTS = 8
CAUGHT_UP_SECONDS = 180
WORKER_SECONDS = 8.0  # until a new web worker is there
FILM_IDS = """
import json
from movie.catalogue.models import Movie
print(json.dumps({"films": list(Movie.objects.values_list("pk", flat=True))}))
"""
PAUSE = 0.2  # seconds between two things that a visitor does, on average


@dataclass
class Result:
    """The outcome of a run. `problems` is empty when nothing was lost or doubled."""

    load: Load
    tally: dict[str, Any]
    starts: dict[str, int]  # of each process
    problems: list[str]
    took: float

    def table(self) -> str:
        """Return the figures as text."""
        acknowledged, tally = self.load.acknowledged, self.tally
        stored, delivered = Counter(tally["stored"]), Counter(tally["delivered"])
        effects = sum(tally["activity"].values())
        lines = [
            ("acknowledged", len(acknowledged), ""),
            (
                "stored",
                len(stored),
                f"{tally['in_rows']} in the database, {tally['in_dynamodb']} in DynamoDB",
            ),
            ("delivered to the stream", len(delivered), f"{delivered.total()} messages"),
            ("counted by popularity", effects, ""),
            ("processed by experiments", len(tally["experiments"]), ""),
            ("in the training feed", len(tally["feed"]), ""),
            ("duplicated (stored or in effect)", self.duplicated(), ""),
            ("lost (stored, delivered or in effect)", self.lost(), ""),
            (
                "ratings that are not the last stars",
                len(self.wrong_stars()),
                f"of {len(self.load.last_ratings)}",
            ),
            ("dead letters", tally["dead"], ""),
        ]
        text = "\n".join(f"{what:<40}{number:>8}  {note}".rstrip() for what, number, note in lines)
        answers = sorted(self.load.answers.items())
        seen = "\n".join(f"  {state:<52}{what:<44}{number:>6}" for (state, what), number in answers)
        slow = sorted(self.load.seconds)
        half, most = slow[len(slow) // 2] * 1000, slow[int(len(slow) * 0.99)] * 1000
        return (
            f"{text}\n\nAnswers, by what was broken:\n{seen}\n\n"
            f"Starts: {', '.join(f'{name} {number}' for name, number in self.starts.items())}\n"
            f"Models: {tally['readiness']['checks']['models']['why']}\n"
            f"{self.took:.0f} s under load; acknowledged within {half:.0f} ms (median), {most:.0f} ms (99 %)"
        )

    def lost(self) -> int:
        acknowledged = set(self.load.acknowledged)
        counted = Counter(self.tally["activity"])
        expected = Counter(str(film) for film in self.load.acknowledged.values())
        return (
            len(acknowledged - set(self.tally["stored"]))
            + len(acknowledged - set(self.tally["delivered"]))
            + len(acknowledged - set(self.tally["feed"]))
            + (expected - counted).total()
            + len(acknowledged - set(self.tally["experiments"]))
        )

    def wrong_stars(self) -> list[str]:
        """Return the ratings that are not the stars their visitor was acknowledged last, or another's."""
        visitors, stored = self.tally["visitor_of"], self.tally["stars"]
        found, keys = [], {}
        for (number, film), (event_id, stars) in self.load.last_ratings.items():
            visitor = visitors.get(event_id, "")
            kept = stored.get(visitor, {}).get(str(film))
            if kept != stars or keys.setdefault(number, visitor) != visitor:
                found.append(f"{visitor or number}, film {film}: {kept} stars in place of {stars}")
        return found

    def duplicated(self) -> int:
        counted = Counter(self.tally["activity"])
        expected = Counter(str(film) for film in self.load.acknowledged.values())
        again = sum(n - 1 for n in (*self.tally["stored"].values(), *self.tally["feed"].values()))
        extra = len(set(self.tally["stored"]) - set(self.load.acknowledged))
        return again + extra + (counted - expected).total()


def break_in_turn(site: Deployment, load: Load, *, seconds: float, calm: float) -> None:
    """Break every part once; a stopped service is away for `seconds`."""
    services, kept = site.services, site.kept

    def say(what: str) -> None:
        load.now = what
        sys.stderr.write(f"{time.strftime('%H:%M:%S')} {len(load.acknowledged):>6} acknowledged; {what}\n")

    def calm_down() -> None:
        say("nothing")
        pause(calm / 2, calm)

    calm_down()
    for name in ("kafka", "dynamodb"):
        say(f"{name} is stopped")
        if name == "kafka":
            time.sleep(1.0)  # the broker of these tests loses what it acknowledged in its last half second
        services[name].stop()
        time.sleep(seconds)
        services[name].start()
        calm_down()
    say("the database is restarted")
    services["mariadb"].stop()
    time.sleep(min(2.0, seconds))
    services["mariadb"].start()
    time.sleep(1.0)  # until every process has noticed
    calm_down()
    say("the database is killed")
    services["mariadb"].kill()
    services["mariadb"].start()
    time.sleep(1.0)
    calm_down()
    say("redis is killed")
    services["redis"].kill()
    time.sleep(min(3.0, seconds))
    services["redis"].start()
    calm_down()
    victims = ["relay-1", "relay-2", "popularity-1", "popularity-2", "feed", "experiments"]
    random.shuffle(victims)
    for victim in victims:
        say(f"{victim} is killed")
        pause(0, 1.0)
        kept[victim].kill()
        pause(0.5, 2.0)
    for _ in range(2):
        say("a web worker is killed")
        kept["web"].kill_a_child()
        time.sleep(WORKER_SECONDS)
    while not is_open(site.port):
        time.sleep(0.1)
    calm_down()


def run(site: Deployment, *, least: int, seconds: float, calm: float) -> Result:
    """Run the load and the faults, wait until everything has arrived, and count."""
    load = Load(site.port, site.run(FILM_IDS)["films"])
    visitors = [VisitorThread(load, number, PAUSE) for number in range(CLIENTS)]
    started = time.monotonic()
    for visitor in visitors:
        visitor.start()
    break_in_turn(site, load, seconds=seconds, calm=calm)
    while len(load.acknowledged) < least:
        time.sleep(0.5)
    load.stop.set()
    for visitor in visitors:
        visitor.join()
    took = time.monotonic() - started
    number = len(load.acknowledged)
    deadline = time.monotonic() + CAUGHT_UP_SECONDS
    while time.monotonic() < deadline:
        progress = site.run(PROGRESS)
        if not progress["waiting"] and min(progress["activity"], progress["experiments"]) >= number:
            break
        time.sleep(2)
    time.sleep(2)  # for what would be counted twice
    tally = site.run(TALLY.replace("GROUP", str(time.time_ns())))
    starts = {name: kept.starts for name, kept in site.kept.items()}
    result = Result(load, tally, starts, [], took)
    result.problems = [*load.wrong, *_problems(result)]
    return result


def _problems(result: Result) -> list[str]:
    load, tally = result.load, result.tally
    found = []
    if result.lost():
        found.append(f"{result.lost()} lost")
    if result.duplicated():
        found.append(f"{result.duplicated()} duplicated")
    if tally["dead"]:
        found.append(f"{tally['dead']} dead letters")
    if load.unanswered:
        found.append(f"{len(load.unanswered)} never acknowledged")
    found += result.wrong_stars()
    if not tally["readiness"]["checks"]["models"]["ok"]:
        found.append(f"no model answers: {tally['readiness']['checks']['models']['why']}")
    if tally["ratings"] != tally["rating_rows"]:
        found.append(f"the films count {tally['ratings']} ratings, there are {tally['rating_rows']}")
    for (state, what), number in load.answers.items():
        if what == "503" and "database" not in state:
            found.append(f"{number} times 503 while {state}")
        if what.startswith("connection lost") and "web worker" not in state:
            found.append(f"{number} connections lost while {state}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--least", type=int, default=2000, help="interactions to acknowledge")
    parser.add_argument("--seconds", type=float, default=20, help="for which a service is away")
    parser.add_argument("--logs", type=Path, help="copy what the processes said into this folder")
    parser.add_argument("--calm", type=float, default=4, help="seconds between two faults")
    parser.add_argument("--brokers", type=int, help="break Apache Kafka alone, with so many brokers")
    arguments = parser.parse_args()
    if arguments.brokers:
        from tests.faults.cluster import main as break_kafka

        return break_kafka(arguments.brokers, arguments.seconds, arguments.logs)
    with tempfile.TemporaryDirectory(prefix="reelgraph-faults-") as folder:
        site = Deployment(Path(folder))
        if missing := site.missing():
            sys.stderr.write(f"{missing}\n")
            return 1
        try:
            site.start()
            result = run(site, least=arguments.least, seconds=arguments.seconds, calm=arguments.calm)
        finally:
            site.stop()
            if arguments.logs:
                arguments.logs.mkdir(parents=True, exist_ok=True)
                for log in Path(folder).glob("*.log"):
                    shutil.copy(log, arguments.logs)
    sys.stdout.write(f"\n{result.table()}\n")
    for problem in result.problems:
        sys.stdout.write(f"PROBLEM: {problem}\n")
    return 1 if result.problems else 0


if __name__ == "__main__":
    sys.exit(main())
