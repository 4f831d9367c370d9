"""CPU-microseconds an event costs at each stage: posted, recorded, relayed, consumed; servers of its own.

    python -m benchmarks.events [--events 2000]

Each stage runs in a process of its own against private servers (`services/`). The figures are user and
system time of that process, without its start and without the servers. "Posted" is a request from a guest
to a web server with two workers: everything from the socket to the commit; eight guests at a time. The
other stages are without a web server. Of ten events seven are clicks, two ratings, one is for the watchlist.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks._serving import Guest, Served, site_environment
from services import SERVICES
from services.base import ServiceError, free_port

ROOT = Path(__file__).resolve().parent.parent
GUESTS = 8

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
    figures = {"cpu_us": round(1e6 * cpu / number), "per_second": round(number / wall), "peak_mb": peak}
    print(json.dumps({"stage": name, **figures}))
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
consumer.process(first)
already = consumer.handled
def work():
    while consumer.handled < EVENTS:
        consumer.process(next(batches))
measured("consume: GROUP", work, EVENTS - already)
batches.close()
"""
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--events", type=int, default=2000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="reelgraph-events-") as folder:
        root = Path(folder)
        servers = [service(root, free_port()) for service in SERVICES.values()]
        try:
            for server in servers:
                server.start()
            _measure(
                root, {k: v for server in servers for k, v in server.variables().items()}, arguments.events
            )
        except ServiceError as error:
            sys.stderr.write(f"{error}\n")
            return 1
        finally:
            for server in servers:
                server.stop()
    return 0


def _measure(root: Path, real: dict[str, str], events: int) -> None:
    sqlite = site_environment(root / "site", {"DATABASE_URL": f"sqlite:///{root / 'site.sqlite3'}"})
    mariadb = site_environment(root / "site", {"DATABASE_URL": real["DATABASE_URL"]})
    parts = site_environment(root / "site", real)
    (root / "site").mkdir()
    for label, environment in (("SQLite", sqlite), ("MariaDB", mariadb)):
        _run(SETUP, environment)
        _post(f"posted, counted in process: {label}", environment, events)
        _run(RECORD.replace("LABEL", f"record, counted in process: {label}"), environment, events)
    _run(SINKS, parts)
    _post("posted, to be relayed: MariaDB", parts, events)
    _run(RECORD.replace("LABEL", "record, to be relayed: MariaDB"), parts, events)
    _run(RELAY, parts, events)
    for group in ("popularity", "experiments", "training-feed"):
        _run(CONSUME.replace("GROUP", group), parts, events)


def _post(stage: str, environment: dict[str, str], events: int) -> None:
    """What guests send through the doors of the site."""
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
        _say(stage, 1e6 * cpu / number, number / wall, site.memory_mb()[0])


def _use(guest: Guest, films: list[str], number: int) -> None:
    chance = random.Random(number)
    for _ in range(number):
        door = chance.choice(["click"] * 7 + ["rate"] * 2 + ["watchlist"])
        fields = {"value": chance.choice(["2", "3.5", "5"])} if door == "rate" else {}
        guest.post(f"/movies/{chance.choice(films)}/{door}/", **fields)


def _say(stage: str, cpu_us: float, per_second: float, peak_mb: float) -> None:
    print(
        f"{stage:<42}{cpu_us:>6.0f} CPU-us an event {per_second:>7.0f} events/s {peak_mb:>5.0f} MB",
        flush=True,
    )


def _run(program: str, environment: dict[str, str], events: int = 0) -> None:
    command = [sys.executable, str(ROOT / "manage.py"), "shell", "--verbosity", "0", "-c"]
    done = subprocess.run(
        [*command, program.replace("EVENTS", str(events))],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            found = json.loads(line)
            _say(found["stage"], found["cpu_us"], found["per_second"], found["peak_mb"])


if __name__ == "__main__":
    sys.exit(main())
