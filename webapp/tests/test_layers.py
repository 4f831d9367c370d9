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
folder = sys.argv[1]
os.environ.update(DATABASE_URL="sqlite:///" + folder + "/database", DATABASE_REPLICA_URL="", MODEL_DIR=folder)
os.environ["DJANGO_SETTINGS_MODULE"] = "webapp.settings_test"
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
os.environ.pop("ORT_DISABLE_TELEMETRY", None)
from webapp.server import import_site
import_site()
import psutil
from django.conf import settings
from django.db import connection, connections
from django.db.backends.signals import connection_created
from django.db.migrations.recorder import MigrationRecorder
from django.http import HttpRequest
from django.urls import resolve, reverse
from movie.core import migrations
from movie.core.replicas import ReplicaMiddleware
server = psutil.Process()
assert server.num_threads() == 1
assert not [each for each in connections.all(initialized_only=True) if each.connection]
assert "prometheus_client" not in sys.modules, "where workers count is said before this is imported"
reverse("pages:home")
resolve("/browse/")
request = HttpRequest()
request.method, request.path_info = "GET", "/browse/"
ReplicaMiddleware(lambda request: None)(request)
if unwanted := {HEAVY | FOR_THE_ADMIN} & sys.modules.keys():
    sys.exit(f"a web worker does not need {{unwanted}}")
recorder = MigrationRecorder(connection)
recorder.ensure_schema()
for each in migrations._migrations_on_disk():
    recorder.record_applied(*each)
connections.close_all()
opened = []
connection_created.connect(lambda **_: opened.append(1), weak=False)
(settings.MODEL_DIR / "sasrec").mkdir()
(settings.MODEL_DIR / "sasrec" / "current").write_text("1")
from webapp.server import make_application
make_application()
assert "webapp.wsgi" in sys.modules
assert "onnxruntime" in sys.modules, "the library of an active model"
assert opened, "the database was asked for its migrations"
assert server.num_threads() == 1
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


def test_workers_are_forked_from_a_process_with_one_thread_and_without_what_only_the_admin_needs(
    tmp_path,
):
    finished = run(sys.executable, "-c", SERVER, str(tmp_path))
    assert finished.returncode == 0, finished.stderr


AWAY = """
import os, sys
from pathlib import Path
folder = Path(sys.argv[1])
os.environ.update(DATABASE_URL=f"sqlite:///{folder}/database", DATABASE_REPLICA_URL="")
os.environ["DJANGO_SETTINGS_MODULE"] = "webapp.settings_test"
from webapp.server import import_site, make_application
import_site()
make_application()
if os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
folder.mkdir()
import webapp.rsgi
"""


def test_a_worker_asks_for_the_tables_where_the_database_was_away_when_its_server_started(tmp_path):
    finished = run(sys.executable, "-c", AWAY, str(tmp_path / "away"))
    assert finished.returncode == 1
    assert "not applied; run manage.py migrate" in finished.stderr


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
