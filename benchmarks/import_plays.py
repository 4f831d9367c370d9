"""What importing plays costs: CPU-seconds, peak memory, and as a ratio to recording them row by row.

    python -m benchmarks.import_plays [--rows 1000000] [--database-url URL] [--json FILE]

Plays of 50,000 users and 5,000 films are drawn with a fixed seed (films by Zipf's law, times over two years)
and written to a CSV file. Every run is a process of its own on an empty database (SQLite in a temporary
folder unless the URL of an empty database is given). Imported are a tenth of the rows and all of them, so
that memory can be seen to stay flat, and all of them again, which changes nothing. It works with the pauses
in which visitors write unless `--no-pauses` is given; they cost no CPU. Beside the CPU-seconds of the
importing process stand those of a MySQL or MariaDB on the same machine. Two baselines record a sample of the
same plays, and their times are scaled to all rows: `record_all`, hundreds of rows a call, which is how plays
came in before there was a path for many, and `record`, one row a call, as the API does it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks._command import argument_parser, parse_options, print_ratio, run
from benchmarks._serving import site_environment
from benchmarks.import_ratings import cpu_seconds, peak_rss_mb, server_cpu_seconds

N_USERS, N_FILMS = 50_000, 5_000
CLIENT, SOURCE = "shop", "shop"
SEED = 16
BEGIN, SPAN = 1_600_000_000, 2 * 365 * 86_400  # seconds
BATCH = 500  # rows of a call of `record_all`
SAMPLES = {"record_all": 20_000, "record": 2_000}  # rows


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--database-url", metavar="URL")
    parser.add_argument("--no-pauses", action="store_true")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--scenario", help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options = parse_options(parser, rows=20_000)
    if options.scenario:
        print(json.dumps(measure(options.scenario, options.file, pauses=not options.no_pauses)))
        return
    results = {}
    with tempfile.TemporaryDirectory() as files:
        sizes = {"tenth": options.rows // 10, "import": options.rows} | {
            name: min(n, options.rows) for name, n in SAMPLES.items()
        }
        for scenario, n_rows in sizes.items():
            file = Path(files) / f"{scenario}.csv"
            write_plays(file, n_rows)
            with tempfile.TemporaryDirectory() as folder:
                database = {"DATABASE_URL": options.database_url} if options.database_url else {}
                environment = site_environment(Path(folder), database)
                command = [sys.executable, "-m", "benchmarks.import_plays", "--scenario", scenario]
                command += ["--file", str(file), *(["--no-pauses"] if options.no_pauses else [])]
                output = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout
                results[scenario] = json.loads(output.splitlines()[-1])
    report(results)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def write_plays(file: Path, n_rows: int) -> None:
    """Write a table of plays: user, film and time of each, in order of time."""
    draw = np.random.default_rng(SEED)
    users = draw.integers(N_USERS, size=n_rows)
    films = np.minimum(draw.zipf(1.2, size=n_rows), N_FILMS)
    times = BEGIN + np.sort(draw.integers(SPAN, size=n_rows))
    with file.open("w", encoding="utf-8") as out:
        out.write("user,item,timestamp\n")
        out.writelines(f"u{user},f{film},{at}\n" for user, film, at in zip(users, films, times, strict=True))


def measure(scenario: str, file: Path, *, pauses: bool) -> dict:
    """Run one scenario, in a process of its own."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "webapp.settings"
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from movie.catalogue.models import ExternalId, Movie
    from movie.events.client_import import import_interactions
    from movie.events.models import Event

    call_command("migrate", verbosity=0, skip_checks=True)
    Event.objects.all().delete()
    Movie.objects.all().delete()
    Movie.objects.bulk_create([Movie(title=f"Film {n}") for n in range(1, N_FILMS + 1)])
    films = Movie.objects.order_by("pk").values_list("pk", flat=True)
    named = [ExternalId(movie_id=pk, source=SOURCE, value=f"f{n}") for n, pk in enumerate(films, 1)]
    ExternalId.objects.bulk_create(named)
    result = {"database": connection.vendor, "before_rss_mb": peak_rss_mb()}
    start, server, began = cpu_seconds(), server_cpu_seconds(), time.perf_counter()

    def import_all() -> int:
        return import_interactions(file, CLIENT, kind="watch", source=SOURCE, pauses=pauses).added

    result["rows"] = import_all() if scenario in ("tenth", "import") else record_rows(scenario, file)
    result["cpu_seconds"] = cpu_seconds() - start
    result["seconds"] = time.perf_counter() - began
    after = server_cpu_seconds()
    result["server_cpu_seconds"] = None if server is None or after is None else after - server
    result["peak_rss_mb"] = peak_rss_mb()
    if scenario == "import":
        start = cpu_seconds()
        result["again_changed"] = import_all()
        result["again_cpu_seconds"] = cpu_seconds() - start
    return result


def record_rows(baseline: str, file: Path) -> int:
    """Record the plays of a file by the door that takes few; return how many were stored."""
    from datetime import UTC, datetime

    from movie.catalogue.models import ExternalId
    from movie.core.ids import event_id_for
    from movie.events.recording import record, record_all
    from movie.visitors.client_ids import client_visitor
    from predictors.history import Interaction

    films = dict(ExternalId.objects.filter(source=SOURCE).values_list("value", "movie_id"))
    plays = []
    for line in file.read_text(encoding="utf-8").splitlines()[1:]:
        user, film, at = line.split(",")
        visitor, movie, moment = (
            client_visitor(CLIENT, user),
            films[film],
            datetime.fromtimestamp(int(at), UTC),
        )
        event_id = event_id_for(int(at), visitor, "watch", movie, None)
        plays.append(
            Interaction(event_id, visitor, "watch", movie, moment, surface="import", watched_on=moment.date())
        )
    if baseline == "record":
        return sum(record(play) for play in plays)
    return sum(record_all(plays[start : start + BATCH]) for start in range(0, len(plays), BATCH))


def report(results: dict[str, dict]) -> None:
    tenth, whole = results["tenth"], results["import"]
    print(f"{whole['rows']:,} plays into {whole['database']}")
    print(
        f"  import             {whole['cpu_seconds']:8.2f} CPU-s in {whole['seconds']:.0f} s   "
        f"{whole['rows'] / whole['cpu_seconds']:10,.0f} rows/CPU-s"
    )
    if whole["server_cpu_seconds"] is not None:
        print(f"  the server beside  {whole['server_cpu_seconds']:8.2f} CPU-s")
    print(
        f"  import again       {whole['again_cpu_seconds']:8.2f} CPU-s   "
        f"{whole['again_changed']} rows changed"
    )
    print(
        f"  peak memory        {tenth['peak_rss_mb']:8.0f} MB after {tenth['rows']:,} rows, "
        f"{whole['peak_rss_mb']:.0f} MB after {whole['rows']:,} "
        f"({whole['before_rss_mb']:.0f} MB before the first)"
    )
    for name in SAMPLES:
        baseline = results[name]
        scaled = baseline["cpu_seconds"] * whole["rows"] / baseline["rows"]
        print(
            f"  {name + '()':<18} {scaled:8.2f} CPU-s   {scaled / whole['cpu_seconds']:.1f} times the import "
            f"(from {baseline['rows']:,} rows)"
        )
        print_ratio("import_plays: a row", whole["cpu_seconds"] / scaled, f"{name}()", "at most 0.5")


if __name__ == "__main__":
    run(main)
