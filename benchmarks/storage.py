"""Bytes that a rating, an interaction and a cached list take, where they are kept.

    python -m benchmarks.storage [--rows 100000]

Fills SQLite and a private MariaDB with made-up rows in the order in which they would come (event ids by
time, visitors and films at random) and asks how large the tables became, indexes included. DynamoDB's figure
is the size of an item by its own rule (names and values in UTF-8): it bills storage with 100 bytes more, and
writes by the kilobyte. Kafka's is the message without compression; Redis's is what Redis says of one key. The
baseline of MariaDB is SQLite.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks._command import CouldNotMeasure, argument_parser, parse_options, print_ratio, run
from benchmarks._serving import ROOT, private_services, site_environment

FILL = """
import json, random
from datetime import UTC, datetime, timedelta
from django.core.management import call_command
from django.db import connection
from movie.core.ids import new_event_id
from movie.catalogue.models import Movie, Rating
from movie.events.models import Event, ProcessedEvent
from movie.visitors.visitor import Visitor
chance, now = random.Random(1), datetime.now(UTC)
call_command("migrate", verbosity=0)
Movie.objects.bulk_create([Movie(title=f"Film {n}", sort_title=f"film {n}") for n in range(2000)])
films = list(Movie.objects.values_list("pk", flat=True))
visitors = [Visitor.new_guest().key if n % 2 else f"user:{1000000 + n}" for n in range(ROWS // 20)]
pairs = list({(chance.choice(visitors), chance.choice(films)) for _ in range(ROWS)})
def size(model):
    table = model._meta.db_table
    with connection.cursor() as cursor:
        if connection.vendor == "mysql":
            cursor.execute(f"ANALYZE TABLE {table}")
            cursor.fetchall()
            cursor.execute("SELECT data_length + index_length FROM information_schema.tables "
                           "WHERE table_schema = DATABASE() AND table_name = %s", [table])
            return int(cursor.fetchone()[0])
        cursor.execute("SELECT SUM(pgsize) FROM dbstat WHERE name = %s OR name IN "
                       "(SELECT name FROM sqlite_master WHERE tbl_name = %s)", [table, table])
        return cursor.fetchone()[0]
def fill(model, rows):
    before = size(model)
    model.objects.bulk_create(rows, batch_size=2000)
    return round((size(model) - before) / len(rows))
print(json.dumps({
    "a rating": fill(Rating, [
        Rating(visitor=v, movie_id=f, value=chance.choice([3.0, 4.5]), rated_at=now) for v, f in pairs]),
    "an event (row of the log or the outbox)": fill(Event, [
        Event(
            event_id=new_event_id(), visitor=v, kind="click", movie_id=f, pending_sinks=7,
            surface="recommend",
            at=now + timedelta(seconds=n), recommendation_id=new_event_id())
        for n, (v, f) in enumerate(pairs)]),
    "an event that a consumer group has processed": fill(ProcessedEvent, [
        ProcessedEvent(group="popularity", event_id=new_event_id(), processed_at=now + timedelta(seconds=n))
        for n in range(len(pairs))]),
}))
"""
ELSEWHERE = """
import json, random
from datetime import UTC, datetime
from django.core.cache import cache
from movie.recommendations.ranked_list import _as_plain
from movie.core.ids import new_event_id
from movie.events.archive.base import Archived
from movie.events.archive.dynamodb import _item
from movie.events.stream.messages import InteractionRecorded, encode
from movie.visitors.visitor import Visitor
from predictors.history import Interaction, Reason, Recommendation
now = datetime.now(UTC)
guest = Visitor.new_guest().key
click = Interaction(new_event_id(), guest, "click", 1234, now, None, "recommend", new_event_id())
item = _item(Archived(click, now))
reason = (Reason("liked", 1234, 0.123456789, ""),)
ranking = [_as_plain(Recommendation(n + 1000, random.random(), reason)) for n in range(24)]
key = "list:" + "0" * 32  # as long as a real one
cache.set(key, ranking, 600)
client = cache._cache.get_client()
print(json.dumps({
    "DynamoDB, an item": sum(len(name) + len(next(iter(value.values()))) for name, value in item.items()),
    "Kafka, a message": len(encode(InteractionRecorded(click, now))),
    "Redis, a cached list of 24 films": client.memory_usage(cache.make_key(key)),
}))
"""


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    rows = parse_options(parser, rows=20_000).rows
    with tempfile.TemporaryDirectory(prefix="reelgraph-storage-") as folder:
        root, sizes = Path(folder), {}
        with private_services(root, "mariadb", "redis") as servers:
            for where, services in (("SQLite", {}), ("MariaDB", servers["mariadb"])):
                sizes[where] = _run(FILL.replace("ROWS", str(rows)), root, services)
                for what, size in sizes[where].items():
                    print(f"{f'{where}, {what}':<52}{size:>7} bytes")
            for what, size in _run(ELSEWHERE, root, servers["redis"]).items():
                print(f"{what:<52}{size:>7} bytes")
    for what, size in sizes["SQLite"].items():
        print_ratio(f"storage: {what}, MariaDB", sizes["MariaDB"][what] / size, "SQLite")


def _run(program: str, root: Path, services: dict[str, str]) -> dict[str, int]:
    (root / "site").mkdir(exist_ok=True)
    command = [sys.executable, str(ROOT / "manage.py"), "shell", "--verbosity", "0", "-c", program]
    environment = site_environment(root / "site", services)
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CouldNotMeasure(done.stdout + done.stderr)
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    run(main)
