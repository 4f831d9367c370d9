"""A site of its own for the browser tests: made-up films and ratings, trained models, a real server.

The server runs as it would in production, in a process and with a database file of its own. Every
test is another guest, so one site serves them all.
"""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from benchmarks._browser import CHROMIUM, CHROMIUM_FLAGS, pages_by_visitor, sign_in

ROOT = Path(__file__).resolve().parent.parent
OPEN_SECONDS = 90

TASTES = ("Western", "Horror", "Comedy", "Romance")
FILMS_PER_TASTE = 20
PEOPLE = 160

PREPARE = """
from django.conf import settings
from django.core.management import call_command
from movie.catalogue.models import Credit, Movie, MovieTitle, Person
call_command("migrate", verbosity=0)
call_command("collectstatic", interactive=False, verbosity=0)
call_command("import_movies", "films.csv", source="made-up", no_progress=True, verbosity=0)
call_command("import_ratings", "ratings.csv", source="made-up", no_progress=True, verbosity=0)
film = Movie.objects.get(title="Western 1")
MovieTitle.objects.create(movie=film, title="서부", language="ko")
director = Person.objects.create(name="Ada Lens")
for made in Movie.objects.filter(title__in=["Western 1", "Western 3", "Western 5"]):
    Credit.objects.create(movie=made, person=director, role="director")
call_command("sync_papers", verbosity=0)
kinds = ("popular", "neighbours", "linear_sequence", "ease")
call_command("train", *kinds, from_site=True, activate=True, quiet=True)
mix = ["members=popular,cosine,counts_90", "tries=300", "kept=60"]
call_command("train", "for_you", from_site=True, activate=True, quiet=True, refit=False, options=mix)
call_command("build_knowledge_graph", verbosity=0)
graph = f"graph={settings.KNOWLEDGE_GRAPH_DIR}"
call_command("train", "kprn", from_site=True, activate=True, quiet=True, options=[graph, "steps=40"])
"""


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """Return the path of Chromium's headless shell where it is installed, else of Chromium."""
    found = shutil.which("chromium-headless-shell") or CHROMIUM
    if found is None:
        pytest.skip("Chromium is not installed, so no browser can be driven")
    return found


@pytest.fixture(scope="session")
def site_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the site of the browser tests lies; its `server.log` holds the mails too."""
    return tmp_path_factory.mktemp("site")


@pytest.fixture(scope="session")
def site_environment(site_folder: Path) -> dict[str, str]:
    """The variables of that site, for its server and its commands."""
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "webapp.settings",  # not those of the tests, which are ours
        "DEBUG": "false",
        "SECURE": "false",  # plain http
        "SECRET_KEY": "a-key-for-the-tests-that-is-long-enough-to-be-taken-for-one",
        "ALLOWED_HOSTS": "127.0.0.1,localhost",  # security keys want a name
        "DATA_DIR": str(site_folder),
        "DATABASE_URL": f"sqlite:///{site_folder / 'site.sqlite3'}",
        "MODEL_DIR": str(site_folder / "models"),
        "DEFAULT_MODELS": "linear_sequence,neighbours,popular",  # For you answers whoever chooses it
        "WEB_THREADS": "4",
        "REDIS_URL": "",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    }


@pytest.fixture(scope="session")
def site(chromium_path: str, site_folder: Path, site_environment: dict[str, str]) -> Iterator[str]:
    """The address of a running site with 80 made-up films in four genres and 160 people's ratings."""
    folder, environment = site_folder, site_environment
    _write_films(folder / "films.csv")
    _write_ratings(folder / "ratings.csv")
    prepare = [sys.executable, str(ROOT / "manage.py"), "shell", "--verbosity", "0", "-c", PREPARE]
    done = subprocess.run(prepare, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    port = _free_port()
    command = [sys.executable, "-m", "webapp.server", "--interface", "rsgi", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--log-level", "warning"]
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(
            [*command, "webapp.rsgi:application"], cwd=ROOT, env=environment, stdout=log, stderr=log
        )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_until_open(address, server, folder / "server.log")
        yield address
    finally:
        server.terminate()
        try:
            server.wait(15)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
    said = (folder / "server.log").read_text()
    before, found, after = said.partition("Traceback")
    assert not found, before[-1000:] + found + after[:4000]


@pytest.fixture(scope="session")
def site_shell(site: str, site_folder: Path, site_environment: dict[str, str]) -> Callable[[str], str]:
    """Run Python code in the environment of the site; what it printed."""

    def run(code: str) -> str:
        command = [sys.executable, str(ROOT / "manage.py"), "shell", "--verbosity", "0", "-c", code]
        done = subprocess.run(
            command, cwd=site_folder, env=site_environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def populated(site_shell: Callable[[str], str]) -> dict[str, Any]:
    """What `tests.populated_site` put behind the addresses of the site: addresses, and cookies of members."""
    said = site_shell("from tests.populated_site import print_populated; print_populated()")
    return json.loads(said.splitlines()[-1])


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[object]:
    """Chromium. Stopped with the module: its event loop would keep Django from the database in others."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=chromium_path, args=CHROMIUM_FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def pages(browser: Any, site: str, populated: dict[str, Any]) -> dict[str, list[str]]:
    """The addresses of the pages that a guest, a member and staff open."""
    return pages_by_visitor(browser, site, populated)


@pytest.fixture(scope="module")
def open_page(browser: Any, site: str, populated: dict[str, Any]) -> Callable[..., Any]:
    """`with open_page(who) as page`: a page of a guest, a member or staff."""

    @contextmanager
    def opened(who: str, **options: Any) -> Iterator[Any]:
        context = browser.new_context(**{"base_url": site, "locale": "en", **options})
        context.set_default_timeout(60_000)
        sign_in(context, site, populated, who)
        page = context.new_page()
        yield page
        page.wait_for_load_state("networkidle")  # the server logs answers that nobody waits for as errors
        context.close()

    return opened


def _write_films(path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "title", "year", "genres", "synopsis"])
        for taste in TASTES:
            for n in range(1, FILMS_PER_TASTE + 1):
                synopsis = f"A made-up {taste.lower()} for tests, the {n}. of its kind."
                rows.writerow([f"{taste[0]}{n}", f"{taste} {n}", 1950 + 3 * n, taste, synopsis])


def _write_ratings(path: Path) -> None:
    """Everyone has one taste and watches its films roughly in order, with a few others in between."""
    chance = random.Random(7)
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["user", "movie", "rating", "timestamp"])
        for person in range(PEOPLE):
            mine = TASTES[person % len(TASTES)]
            liked = sorted(chance.sample(range(1, FILMS_PER_TASTE + 1), 12))
            others = [taste for taste in TASTES if taste != mine]
            watched = [(f"{mine[0]}{n}", chance.choice([4, 4.5, 5])) for n in liked]
            for other in chance.sample(others, 2):
                film = f"{other[0]}{chance.randint(1, FILMS_PER_TASTE)}"
                watched.insert(chance.randrange(len(watched)), (film, chance.choice([1, 2, 3])))
            for step, (film, stars) in enumerate(watched):
                rows.writerow([f"p{person}", film, stars, 1_000_000_000 + 1000 * person + step])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_until_open(address: str, server: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + OPEN_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urlopen(address, timeout=10):  # noqa: S310 - our own address
                return
        except (URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    raise AssertionError(f"the server did not open:\n{log.read_text()}")
