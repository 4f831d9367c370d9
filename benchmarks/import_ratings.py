"""What importing ratings costs: CPU-seconds, peak memory, and as a ratio to the plain Django ways.

    python -m benchmarks.import_ratings [--data FOLDER] [--database-url URL] [--json FILE]

Every run is a process of its own on an empty database (SQLite in a temporary folder unless a URL of
an empty database is given). Imported are a tenth of the rows and all of them, so that memory can be
seen to stay flat, and all of them again, which changes nothing. Beside the CPU-seconds of the importing
process stand those of a MySQL or MariaDB on the same machine, whoever else used it meanwhile included.
The baselines read the same rows with str.split and store a sample: objects.bulk_create of model
instances, and save() for each row; their times are scaled to all rows. FOLDER is a data set (films and
ratings); MovieLens 100K from the recbole wheel by default. --quick leaves the memory of a tenth out.
"""

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from benchmarks._command import argument_parser, data_or_default, parse_options, print_ratio, run
from benchmarks._serving import site_environment

BULK_SAMPLE = 100_000
SAVE_SAMPLE = 2_000


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--data", type=Path, metavar="FOLDER")
    parser.add_argument("--database-url", metavar="URL")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--scenario", help=argparse.SUPPRESS)
    options = parse_options(parser)
    if options.scenario:
        print(json.dumps(measure(options.scenario, options.data)))
        return
    results = {}
    for scenario in ("import", "bulk_create", "save", *(() if options.quick else ("tenth",))):
        with tempfile.TemporaryDirectory() as folder:
            database = {"DATABASE_URL": options.database_url} if options.database_url else {}
            environment = site_environment(Path(folder), database)
            command = [sys.executable, "-m", "benchmarks.import_ratings", "--scenario", scenario]
            command += ["--data", str(data_or_default(options.data).resolve())]
            output = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout
            results[scenario] = json.loads(output.splitlines()[-1])
    report(results)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


def report(results: dict[str, dict]) -> None:
    whole = results["import"]
    print(f"{whole['data']} into {whole['database']}: {whole['rows']:,} rows")
    print(
        f"  import             {whole['cpu_seconds']:8.2f} CPU-s   "
        f"{whole['rows'] / whole['cpu_seconds']:10,.0f} rows/CPU-s"
    )
    if whole["server_cpu_seconds"] is not None:
        print(f"  the server beside  {whole['server_cpu_seconds']:8.2f} CPU-s")
    print(
        f"  import again       {whole['again_cpu_seconds']:8.2f} CPU-s   "
        f"{whole['again_changed']} rows changed"
    )
    print(
        f"  peak memory        {whole['peak_rss_mb']:8.0f} MB after {whole['rows']:,} rows "
        f"({whole['before_rss_mb']:.0f} MB before the first)"
    )
    if tenth := results.get("tenth"):
        ratio = whole["peak_rss_mb"] / tenth["peak_rss_mb"]
        print_ratio("import_ratings: peak memory", ratio, "a tenth of the rows")
    for name in ("bulk_create", "save"):
        baseline = results[name]
        scaled = baseline["cpu_seconds"] * whole["rows"] / baseline["rows"]
        print(
            f"  {name + '()':<18} {scaled:8.2f} CPU-s   {scaled / whole['cpu_seconds']:.1f} times the import "
            f"(from {baseline['rows']:,} rows)"
        )
        print_ratio("import_ratings: a row", whole["cpu_seconds"] / scaled, f"{name}()", "at most 0.5")


def cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system


def server_cpu_seconds() -> float | None:
    """Of a database server on this machine, all that it did since its start; None where there is none."""
    import psutil
    from django.db import connection

    if connection.vendor != "mysql":
        return None
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@pid_file, @@datadir")
        pid_file, folder = cursor.fetchone()
    try:
        times = psutil.Process(int((Path(folder) / pid_file).read_text())).cpu_times()
    except (OSError, ValueError, psutil.Error):  # elsewhere, or not ours to look at
        return None
    return times.user + times.system


def peak_rss_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(scenario: str, folder: Path) -> dict:
    """One run, in a process of its own."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "webapp.settings"
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from movie.catalogue.importing import formats
    from movie.catalogue.importing.movies import import_movies
    from movie.catalogue.models import Rating
    from movie.events.rating_import import import_ratings

    call_command("migrate", verbosity=0, skip_checks=True)
    import_movies(folder)
    Rating.objects.all().delete()
    path = formats.locate(folder, "ratings")
    result = {"data": path.name, "database": connection.vendor, "before_rss_mb": peak_rss_mb()}
    with tempfile.TemporaryDirectory() as temporary:
        if scenario == "tenth":
            path = first_tenth(path, Path(temporary))
        start, server = cpu_seconds(), server_cpu_seconds()
        if scenario in ("tenth", "import"):
            source = formats.source_of(path, formats.format_of(path, "ratings"))
            result["rows"] = import_ratings(path, source=source).added
        else:
            result["rows"] = BASELINES[scenario](path)
        result["cpu_seconds"] = cpu_seconds() - start
        after = server_cpu_seconds()
        result["server_cpu_seconds"] = None if server is None or after is None else after - server
        result["peak_rss_mb"] = peak_rss_mb()
        if scenario == "import":
            start = cpu_seconds()
            again = import_ratings(path)
            result["again_cpu_seconds"] = cpu_seconds() - start
            result["again_changed"] = again.added + again.changed
    return result


def first_tenth(path: Path, folder: Path) -> Path:
    from movie.catalogue.importing import formats
    from movie.catalogue.importing.reading import TextFile, plain_name

    known = formats.format_of(path, "ratings")
    with TextFile(path, fallback=known.fallback) as file:
        total = sum(1 for _line in file.lines())
    target = folder / plain_name(path)
    with TextFile(path, fallback=known.fallback) as file, target.open("w", encoding="utf-8") as copy:
        copy.writelines(f"{line}\n" for _number, line in itertools.islice(file.lines(), total // 10))
    return target


def model_instances(path: Path, sample: int) -> list:
    """Ratings as a first attempt would make them: split the line, one model instance a row."""
    from movie.catalogue.importing import formats
    from movie.catalogue.importing.reading import TextFile
    from movie.catalogue.models import ExternalId, Rating

    known = formats.format_of(path, "ratings")
    source = formats.source_of(path, known)
    films = dict(ExternalId.objects.filter(source=source).values_list("value", "movie_id"))
    separator = {"movielens-dat": "::", "movielens-csv": ","}.get(known.name, "\t")
    instances = []
    with TextFile(path, fallback=known.fallback) as file:
        for _number, line in file.lines():
            user, film, value, at = line.split(separator)
            if film not in films:
                continue  # the header
            instances.append(
                Rating(
                    visitor=f"{source}:{user}",
                    movie_id=films[film],
                    value=float(value),
                    rated_at=datetime.fromtimestamp(float(at), UTC),
                )
            )
            if len(instances) == sample:
                break
    return instances


def with_bulk_create(path: Path) -> int:
    from movie.catalogue.models import Movie, Rating

    instances = model_instances(path, BULK_SAMPLE)
    Rating.objects.bulk_create(instances)
    Movie.objects.refresh_aggregates({each.movie_id for each in instances})
    return len(instances)


def with_save(path: Path) -> int:
    from movie.catalogue.models import Movie

    instances = model_instances(path, SAVE_SAMPLE)
    for each in instances:
        each.save()
    Movie.objects.refresh_aggregates({each.movie_id for each in instances})
    return len(instances)


BASELINES = {"bulk_create": with_bulk_create, "save": with_save}

if __name__ == "__main__":
    run(main)
