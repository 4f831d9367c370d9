"""How long visitors' ratings take while somebody else's bulk work runs, on SQLite and on MariaDB.

    python -m benchmarks.bulk_work [--only sqlite] [--rows 10000] [--json FILE]

A site is served by two workers with eight threads each. Six visitors rate films, one after the other with
short pauses, all the time; meanwhile a history of 10,000 rows is imported, the same file again, a table of
20,000 films is previewed in the admin, 500 ratings of 500 people are sent to the API ten times, and at last
all three at once. Baseline (named `one transaction`): the same 10,000 ratings saved row by row in one
transaction of another process, the plain Django way. A ratio is the 99th percentile over that of the quiet
site in the same run. `CPU-ms` is what a call to the API costs the workers, less the visitors' share as it was
when quiet.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

from benchmarks._command import CouldNotMeasure, argument_parser, parse_options, print_ratio, run
from benchmarks._serving import Guest, Served, manage, private_services, site_environment

ROOT = Path(__file__).resolve().parent.parent
VISITORS = 6
PAUSE = 0.05  # seconds between two ratings of a visitor
QUIET_SECONDS = 10.0
BOUNDARY = "reelgraph-bulk-work"

SETUP = """
import json
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model
from django.contrib.sessions.backends.db import SessionStore
from django.core.management import call_command
from movie.api.models import SCOPES, ApiClient, create_key
from movie.catalogue.models import Movie, MovieTitle
call_command("migrate", verbosity=0)
call_command("collectstatic", interactive=False, verbosity=0)
Movie.objects.bulk_create([Movie(title=f"Film {n}", sort_title=f"film {n}", year=1990) for n in range(FILMS)])
named = Movie.objects.order_by("pk").values_list("pk", "title")
MovieTitle.objects.bulk_create([MovieTitle(movie_id=pk, title=t, search_key=t.lower()) for pk, t in named])
admin = get_user_model().objects.create_superuser("admin")
session = SessionStore()
backend = "allauth.account.auth_backends.AuthenticationBackend"
session.update({SESSION_KEY: str(admin.pk), BACKEND_SESSION_KEY: backend})
session[HASH_SESSION_KEY] = admin.get_session_auth_hash()
session.create()
client = ApiClient.objects.create(slug="bulk")
token = create_key(client, list(SCOPES)).token
print(json.dumps({"session": session.session_key, "token": token, "films": [pk for pk, _ in named]}))
"""
ONE_TRANSACTION = """
import uuid
from django.db import transaction
from django.utils import timezone
from movie.catalogue.models import Movie, Rating
from movie.events.models import Event
films = list(Movie.objects.order_by("pk").values_list("pk", flat=True)[:ROWS])
who, now = f"guest:{uuid.uuid4()}", timezone.now()
with transaction.atomic():
    for pk in films:
        one = {"visitor": who, "movie_id": pk, "value": 4.0}
        Event.objects.create(event_id=str(uuid.uuid4()), kind="rating", at=now, **one)
        Rating.objects.create(rated_at=now, **one)
    Movie.objects.refresh_aggregates(films)
"""


@dataclass(slots=True)
class Waits:
    """Holds what the visitors saw while a piece of bulk work ran."""

    name: str
    seconds: float = 0.0  # of the bulk work
    waits: list[float] = field(default_factory=list)  # seconds
    statuses: list[int] = field(default_factory=list)
    cpu_ms: float | None = None
    notes: str = ""

    def percentile(self, share: float) -> float:
        ordered = sorted(self.waits)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    @property
    def refused(self) -> int:
        return sum(status != 204 for status in self.statuses)


class Visitor(Guest):
    """Rates films and notes the wait and the status of each answer."""

    def rate(self, film: int, stars: float) -> tuple[float, int]:
        fields = {"event_id": str(uuid.uuid4()), "surface": "home", "value": f"{stars:g}"}
        began = time.perf_counter()
        status, _text = self.send(f"/movies/{film}/rate/", urlencode(fields).encode(), FORM)
        return time.perf_counter() - began, status

    def upload(self, path: str, field_name: str, content: str, **fields: str) -> tuple[int, str]:
        self.reconnect()  # the server closes what was idle for long
        parts = [
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        ]
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field_name}"; filename="rows.csv"\r\n'
        body = "".join(parts) + head + "Content-Type: text/csv\r\n\r\n" + content + f"\r\n--{BOUNDARY}--\r\n"
        return self.send(path, body.encode(), f"multipart/form-data; boundary={BOUNDARY}", "text/html")


FORM = "application/x-www-form-urlencoded"


class BulkSite:
    """Serves a site with visitors who rate all the time."""

    def __init__(self, site: Served, made: dict, rows: int, preview_rows: int) -> None:
        self.site, self.films, self.token = site, made["films"], made["token"]
        self.rows, self.preview_rows = rows, preview_rows
        self.visitors = [self._visitor() for _ in range(VISITORS)]
        self.importer = self._visitor()
        self.admin = self._visitor(sessionid=made["session"])
        self._calls = 0

    def _visitor(self, **cookies: str) -> Visitor:
        visitor = Visitor(self.site, **cookies)
        visitor.get("/")
        visitor.rate(self.films[0], 3.0)
        return visitor

    @contextmanager
    def _rating(self, waits: Waits) -> Iterator[None]:
        """Let every visitor rate until the block ends."""
        stop = threading.Event()

        def rate(number: int) -> None:
            turn = number
            while not stop.wait(PAUSE):
                turn += 1
                film = self.films[(turn * 37 + number * 101) % min(500, len(self.films))]
                wait, status = self.visitors[number].rate(film, 0.5 + turn % 10 / 2)
                waits.waits.append(wait)
                waits.statuses.append(status)

        with ThreadPoolExecutor(VISITORS) as pool:
            running = [pool.submit(rate, number) for number in range(VISITORS)]
            try:
                yield
            finally:
                stop.set()
        for each in running:
            each.result()

    def during(self, name: str, *works: Callable[[], str]) -> Waits:
        """Return what visitors waited while these works ran at once."""
        waits = Waits(name)
        with self._rating(waits):
            began = time.perf_counter()
            with ThreadPoolExecutor(len(works)) as pool:
                notes = [each.result() for each in [pool.submit(work) for work in works]]
            waits.seconds = time.perf_counter() - began
            while len(waits.waits) < 20:  # a percentile of fewer says nothing
                time.sleep(PAUSE)
        waits.notes = ", ".join(filter(None, notes))
        return waits

    # -- bulk work --------------------------------------------------------------------------------

    def import_history(self, salt: int = 0) -> str:
        lines = ["at,kind,movie_id,value"]
        for n in range(self.rows):
            at = f"2024-01-{1 + n % 28:02}T{n % 24:02}:{n % 60:02}:{salt:02}Z"
            lines.append(f"{at},rating,{self.films[n % len(self.films)]},{0.5 + n % 10 / 2}")
        left = True
        while left:  # a file is taken in within 40 seconds, or in parts
            status, _text = self.importer.upload("/history/import/", "file", "\n".join(lines))
            if status != 303:
                return f"the upload answered {status}"
            status, text = self.importer.send(f"{self.importer.location}confirm/", b"", FORM)
            if status != 200:
                return f"the import answered {status}"
            left = "are left" in text
        return ""

    def preview(self) -> str:
        lines = ["id,title,year,genres,imdb"]
        lines += [f",New {n},{1950 + n % 70},Drama|Crime,tt77{n:05}" for n in range(self.preview_rows)]
        path = "/admin/catalogue/movie/import/"
        status, text = self.admin.upload(path, "import_file", "\n".join(lines), format="0", resource="0")
        return "" if status == 200 and "import_file_name" in text else f"the preview answered {status}"

    def call_api(self, calls: int) -> str:
        program = Visitor(self.site)
        for _call in range(calls):
            self._calls += 1
            body = [
                {
                    "visitor": f"{self._calls}-{n}",
                    "movie_id": self.films[(self._calls + 7 * n) % len(self.films)],
                    "kind": "rating",
                    "value": 0.5 + n % 10 / 2,
                }
                for n in range(500)
            ]
            headers = {"Authorization": f"Bearer {self.token}"}
            path = "/api/v1/interactions"
            status, text = program.send(path, json.dumps(body).encode(), "application/json", **headers)
            if status != 200:
                return f"the API answered {status}: {text[:200]}"
        return ""


def measure(
    environment: dict[str, str], *, rows: int = 10_000, preview_rows: int = 20_000, calls: int = 10,
    quiet_seconds: float = QUIET_SECONDS, short: bool = False,
) -> Iterator[Waits]:  # fmt: skip
    """Yield the waits on a new site with this environment: first of the quiet site, then with each work.

    The `short` form does all works at once alone.
    """
    made = json.loads(_run(SETUP.replace("FILMS", str(rows)), environment).splitlines()[-1])
    with Served(environment, workers=2, threads=8) as served:
        site = BulkSite(served, made, rows, preview_rows)
        before = served.cpu_seconds()
        quiet = site.during("quiet", lambda: time.sleep(quiet_seconds) or "")
        cpu_of_visitors = (served.cpu_seconds() - before) / len(quiet.waits)  # seconds for one rating
        yield quiet
        if not short:
            yield from _one_by_one(site, calls, cpu_of_visitors)
        works = (lambda: site.import_history(salt=1), site.preview, lambda: site.call_api(calls))
        yield site.during("all three at once", *works)
        if not short:
            program = _run_later(ONE_TRANSACTION.replace("ROWS", str(rows)), environment)
            yield site.during("one transaction (baseline)", program)


def _one_by_one(site: BulkSite, calls: int, cpu_of_visitors: float) -> Iterator[Waits]:
    yield site.during(f"import of {site.rows:,} rows", site.import_history)
    yield site.during("the same file again", site.import_history)
    yield site.during(f"preview of {site.preview_rows:,} rows", site.preview)
    before = site.site.cpu_seconds()
    by_api = site.during(f"{calls} API calls of 500 ratings", lambda: site.call_api(calls))
    spent = site.site.cpu_seconds() - before - cpu_of_visitors * len(by_api.waits)
    by_api.cpu_ms = 1000 * spent / calls
    yield by_api


def bulk_environment(folder: Path, database: dict[str, str]) -> dict[str, str]:
    """Return the variables of a site whose limits let this much through."""
    folder.mkdir(parents=True, exist_ok=True)
    limits = {"API_RATE_LIMIT": "1000000", "IMPORT_ROW_LIMIT": "1000000"}
    return site_environment(folder, database) | limits


def _run(program: str, environment: dict[str, str]) -> str:
    return manage(environment, "shell", "--verbosity", "0", "-c", program)


def _run_later(program: str, environment: dict[str, str]) -> Callable[[], str]:
    def run() -> str:
        command = [sys.executable, str(ROOT / "manage.py"), "shell", "--verbosity", "0", "-c", program]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        return done.stderr.strip().splitlines()[-1] if done.returncode else ""

    return run


def report(each: Waits, quiet: Waits) -> None:
    line = (
        f"  {each.name:<30}{each.seconds:>7.1f} s {len(each.waits):>6} ratings, median "
        f"{1000 * each.percentile(0.5):>5.0f} ms, 99 % {1000 * each.percentile(0.99):>6.0f} ms, longest "
        f"{1000 * max(each.waits):>6.0f} ms, {each.percentile(0.99) / quiet.percentile(0.99):>6.1f} x quiet, "
        f"{each.refused} refused"
    )
    cpu = f", {each.cpu_ms:.0f} CPU-ms a call" if each.cpu_ms is not None else ""
    print(line + cpu, each.notes, flush=True)


def _figures(each: Waits) -> dict[str, object]:
    return {
        "work": each.name,
        "seconds": round(each.seconds, 1),
        "ratings": len(each.waits),
        "p50_ms": round(1000 * each.percentile(0.5)),
        "p99_ms": round(1000 * each.percentile(0.99)),
        "longest_ms": round(1000 * max(each.waits)),
        "refused": each.refused,
        "cpu_ms": each.cpu_ms and round(each.cpu_ms),
    }


def main() -> int:
    parser = argument_parser(__doc__)
    parser.add_argument("--only", choices=("sqlite", "mariadb"))
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parse_options(parser, only="sqlite", rows=1_000)
    results = {}
    with tempfile.TemporaryDirectory(prefix="reelgraph-bulk-") as name, ExitStack() as stack:
        folder = Path(name)
        for database in ("sqlite", "mariadb"):
            if arguments.only not in (None, database):
                continue
            variables: dict[str, str] = {}
            if database == "mariadb":
                variables = stack.enter_context(private_services(folder, "mariadb"))["mariadb"]
            print(f"{database}, {VISITORS} visitors who rate", flush=True)
            found: list[Waits] = []
            environment, rows = bulk_environment(folder / database, variables), arguments.rows
            for each in measure(environment, rows=rows, preview_rows=2 * rows):
                if each.notes:
                    raise CouldNotMeasure(f"{each.name}: {each.notes}")
                found.append(each)
                report(each, found[0])
            quiet = found[0].percentile(0.99)
            for each in found[-2:]:
                what = f"bulk_work: 99 % of ratings wait, {database}, {each.name}"
                print_ratio(what, each.percentile(0.99) / quiet, "the quiet site")
            results[database] = [_figures(each) for each in found]
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    run(main)
