"""The one-way direction, and what must not be imported at start."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def run(*command: str) -> subprocess.CompletedProcess:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


def test_the_direction_is_one_way_and_models_know_no_django():
    finished = run(str(Path(sys.executable).parent / "lint-imports"))
    assert finished.returncode == 0, finished.stdout + finished.stderr


STARTS = (
    "from django.core.management import call_command; call_command('check')",
    "import webapp.urls",
    "from django.urls import reverse; reverse('pages:home')",
    "import predictors.base, predictors.serving.registry, predictors.plugins",
)
HEAVY = {"torch", "dgl", "onnxruntime", "kafka", "boto3", "matplotlib", "polars"}
START = f"""
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "webapp.settings_test"
import django
django.setup()
for start in {STARTS}:
    exec(start)
    if heavy := {HEAVY} & sys.modules.keys():
        sys.exit(f"{{heavy}} after {{start}}")
"""


def test_nothing_heavy_is_imported_at_start():
    """One process does them all: what is not there after the last start was there after none."""
    finished = run(sys.executable, "-c", START)
    assert finished.returncode == 0, finished.stderr


FOR_THE_ADMIN = {
    "import_export.admin",
    "tablib",
    "diff_match_patch",
    "psycopg",
    "openpyxl",
    "django.contrib.postgres",
}
SERVER = f"""
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "webapp.settings_test"
from webapp.server import import_site
import_site()
import threading
from django.db import connections
from django.http import HttpRequest
from django.urls import resolve, reverse
from movie.core import migrations
from movie.core.replicas import ReplicaMiddleware
assert threading.active_count() == 1, threading.enumerate()
assert not [each for each in connections.all(initialized_only=True) if each.connection]
assert "prometheus_client" not in sys.modules, "where workers count is said before this is imported"
reverse("pages:home")
resolve("/browse/")
request = HttpRequest()
request.method, request.path_info = "GET", "/browse/"
ReplicaMiddleware(lambda request: None)(request)
if unwanted := {HEAVY | FOR_THE_ADMIN} & sys.modules.keys():
    sys.exit(f"a web worker does not need {{unwanted}}")
migrations.require_migrations = lambda: None
from webapp.server import make_application
make_application()
assert "webapp.wsgi" in sys.modules
assert threading.active_count() == 1, threading.enumerate()
assert not [each for each in connections.all(initialized_only=True) if each.connection]
from movie.telemetry.counters import Instruments, worker_pids
assert not worker_pids(), "no start is counted but those of forked workers"
if not os.fork():
    assert worker_pids() == [os.getpid()]
    os._exit(0)
assert os.wait()[1] == 0
assert Instruments.folder.name.rpartition("-")[2] == str(os.getpid())
assert "import_export.admin" not in sys.modules, "the checks at start imported the admin"
assert "movie.pages.urls" in sys.modules and "movie.recommendations.ranking" in sys.modules
assert reverse("admin:catalogue_movie_changelist") == "/admin/catalogue/movie/"
assert resolve(reverse("admin:visitor_export")).namespace == "admin"
assert "import_export.admin" in sys.modules
"""


def test_workers_are_forked_from_a_process_with_one_thread_and_without_what_only_the_admin_needs():
    finished = run(sys.executable, "-c", SERVER)
    assert finished.returncode == 0, finished.stderr


BROKEN_ADMIN = """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "webapp.settings_test"
import django
django.setup()
from django.contrib.admin import ModelAdmin
from django.core.management import call_command
ModelAdmin.list_per_page = "many"
call_command("check", tags=["admin"])
"""


def test_a_broken_admin_is_found_by_check_also_where_no_address_of_it_was_asked_for():
    finished = run(sys.executable, "-c", BROKEN_ADMIN)
    assert finished.returncode != 0
    assert "admin.E118" in finished.stderr


def test_only_settings_reads_the_environment():
    readers = [
        path.relative_to(ROOT).as_posix()
        for package in (
            "webapp",
            "movie",
            "evaluation",
            "predictors",
            "pytorch_models",
            "datasets",
            "ranking_metrics",
        )
        for path in (ROOT / package).rglob("*.py")
        if "/tests/" not in path.as_posix()
        and ("getenv" in path.read_text() or "environ.get" in path.read_text())
    ]
    assert readers == []
