"""CPU-microseconds an event costs at each stage: posted, recorded, relayed, consumed; servers of its own.

    python -m benchmarks.events [--events 2000]

Each stage runs in a process of its own against private servers (`services/`). The figures are user and
system time of that process, without its start and without the servers. "Posted" is a request from a guest
to a web server with two workers: everything from the socket to the commit; eight guests at a time. The
other stages are without a web server. Of ten events seven are clicks, two ratings, one is for the watchlist.
The baseline of each stage is an event posted and counted in process with SQLite.
"""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks._command import CouldNotMeasure, argument_parser, parse_options, print_ratio, run
from benchmarks._serving import Guest, Served, private_services, site_environment

ROOT = Path(__file__).resolve().parent.parent
GUESTS = 8
WARM, FEWEST = 20, 400  # events before a consumer is measured, and of a run

SETUP = """
from django.core.management import call_command
from movie.catalogue.models import Movie
call_command("migrate", verbosity=0)
call_command("collectstatic", interactive=False, verbosity=0)
Movie.objects.bulk_create([Movie(title=f"Film {n}", sort_title=f"film {n}") for n in range(200)])
"""
SINKS = """
from django.core.management import call_command
call_command("create_event_table")
call_command("create_event_topic", partitions=4)
"""
TIMED = """
import json, os, random, resource, time
from datetime import UTC, datetime
def measured(name, work, number):
    before, started = time.process_time(), time.perf_counter()
    work()
    cpu, wall = time.process_time() - before, time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"stage": name, "number": number, "cpu": cpu, "wall": wall, "peak_mb": peak}))
"""
RECORD = (
    TIMED
    + """
from movie.core.ids import new_event_id
from movie.events.recording import record
from movie.catalogue.models import Movie
from predictors.history import Interaction
films = list(Movie.objects.values_list("pk", flat=True))
chance = random.Random(1)
def one(n):
    kind = chance.choice(["click"] * 7 + ["rating"] * 2 + ["watchlist"])
    value = chance.choice([2.0, 3.5, 5.0]) if kind == "rating" else None
    film, now = chance.choice(films), datetime.now(UTC)
    record(Interaction(new_event_id(), f"guest:{n % 200}", kind, film, now, value, "home"))
for n in range(50):
    one(n)
measured("LABEL", lambda: [one(n) for n in range(EVENTS)], EVENTS)
"""
)
RELAY = (
    TIMED
    + """
from movie.events.stream.relay import Relay
from movie.events.models import Event
relay = Relay()
relay.batch = 20
relay.step()  # builds the clients
relay.batch = 500
number = Event.objects.undelivered().count()
def work():
    while Event.objects.undelivered().exists():
        relay.step()
measured("relay to DynamoDB and Kafka", work, number)
"""
)
CONSUME = (
    TIMED
    + """
from movie.events.stream import get_event_stream
from movie.events.stream.consumer import Consumer
from movie.events.stream.handlers import get_handler
consumer = Consumer(get_handler("GROUP"), get_event_stream())
batches = get_event_stream().consume("GROUP", lambda: False)
while not (first := next(batches)):
    pass
consumer.process(first[:WARM])
already = consumer.handled
def work():
    consumer.process(first[WARM:])
    while consumer.handled < EVENTS:
        consumer.process(next(batches))
measured("consume: GROUP", work, EVENTS - already)
batches.close()
"""
)


def main() -> int:
    parser = argument_parser(__doc__)
    parser.add_argument("--events", type=int, default=2000)
    arguments = parse_options(parser, events=FEWEST)
    if arguments.events < FEWEST:
        raise CouldNotMeasure(f"--events {arguments.events} are too few; {FEWEST} is the least")
    with (
        tempfile.TemporaryDirectory(prefix="reelgraph-events-") as folder,
        private_services(Path(folder), "mariadb", "kafka", "dynamodb", "redis") as servers,
    ):
        real = {name: value for variables in servers.values() for name, value in variables.items()}
        costs = _measure(Path(folder), real, arguments.events)
    baseline = next(iter(costs))
    for stage, cost in list(costs.items())[1:]:
        print_ratio(f"events: {stage}", cost / costs[baseline], baseline)
    return 0


def _measure(root: Path, real: dict[str, str], events: int) -> dict[str, float]:
    """Print each stage, and return its CPU-us an event by its name."""
    sqlite = site_environment(root / "site", {})
    mariadb = site_environment(root / "site", {"DATABASE_URL": real["DATABASE_URL"]})
    parts = site_environment(root / "site", real)
    (root / "site").mkdir()
    costs: dict[str, float] = {}
    for label, environment in (("SQLite", sqlite), ("MariaDB", mariadb)):
        _run(SETUP, environment)
        costs |= _post(f"posted, counted in process: {label}", environment, events)
        costs |= _run(RECORD.replace("LABEL", f"record, counted in process: {label}"), environment, events)
    _run(SINKS, parts)
    costs |= _post("posted, to be relayed: MariaDB", parts, events)
    costs |= _run(RECORD.replace("LABEL", "record, to be relayed: MariaDB"), parts, events)
    costs |= _run(RELAY, parts, events)
    for group in ("popularity", "experiments", "training-feed"):
        costs |= _run(CONSUME.replace("GROUP", group), parts, events)
    return costs


def _post(stage: str, environment: dict[str, str], events: int) -> dict[str, float]:
    """Post what guests do through the doors of the site."""
    with Served(environment, workers=2) as site:
        guests = [Guest(site) for _ in range(GUESTS)]
        films = sorted(set(re.findall(r"/movies/(\d+)/", guests[0].get("/"))))
        for guest in guests:
            guest.get("/")
            guest.post(f"/movies/{films[0]}/click/")
        before, started = site.cpu_seconds(), time.perf_counter()
        with ThreadPoolExecutor(GUESTS) as pool:
            list(pool.map(lambda guest: _use(guest, films, events // GUESTS), guests))
        wall, cpu = time.perf_counter() - started, site.cpu_seconds() - before
        number = events // GUESTS * GUESTS
        return _say(stage, number, cpu, wall, site.memory_mb()[0])


def _use(guest: Guest, films: list[str], number: int) -> None:
    chance = random.Random(number)
    for _ in range(number):
        door = chance.choice(["click"] * 7 + ["rate"] * 2 + ["watchlist"])
        fields = {"value": chance.choice(["2", "3.5", "5"])} if door == "rate" else {}
        guest.post(f"/movies/{chance.choice(films)}/{door}/", **fields)


def _say(stage: str, number: int, cpu: float, wall: float, peak_mb: float) -> dict[str, float]:
    """Print the seconds that `number` events took, and return CPU-us an event by the stage."""
    if number < 1 or cpu <= 0:
        raise CouldNotMeasure(f"{stage}: {number} events in {cpu:.3f} CPU-s")
    cpu_us = 1e6 * cpu / number
    print(
        f"{stage:<42}{cpu_us:>6.0f} CPU-us an event {number / wall:>7.0f} events/s {peak_mb:>5.0f} MB",
        flush=True,
    )
    return {stage: cpu_us}


def _run(program: str, environment: dict[str, str], events: int = 0) -> dict[str, float]:
    command = [sys.executable, str(ROOT / "manage.py"), "shell", "--verbosity", "0", "-c"]
    done = subprocess.run(
        [*command, program.replace("EVENTS", str(events)).replace("WARM", str(WARM))],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise CouldNotMeasure(done.stdout + done.stderr)
    costs: dict[str, float] = {}
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            costs |= _say(**json.loads(line))
    return costs


if __name__ == "__main__":
    run(main)
