"""The deployment: real servers, a web server with two workers, relays and consumers, each restarted
when it dies, as a supervisor would."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from services import SERVICES, Service
from services.base import HOST, free_port, is_open
from services.kafka import KafkaCluster

ROOT = Path(__file__).resolve().parent.parent.parent
FILMS = 40
OPEN_SECONDS = 60
STOP_SECONDS = 20
RESTART_SECONDS = 0.5

PEOPLE, RATINGS_EACH = 60, 8  # of a data set, for the models to learn from
MODELS = ("neighbours", "popular")

PREPARE = f"""
import random
from django.core.management import call_command
from django.utils import timezone
from movie.catalogue.models import Movie, Rating
call_command("migrate", verbosity=0)
call_command("collectstatic", interactive=False, verbosity=0)
call_command("create_event_table")
call_command("create_event_topic", partitions=4)
Movie.objects.bulk_create([Movie(title=f"Film {{n}}", sort_title=f"film {{n}}") for n in range({FILMS})])
films, chance = list(Movie.objects.values_list("pk", flat=True)), random.Random(1)
Rating.objects.bulk_create([
    Rating(visitor=f"people:{{n}}", movie_id=film, value=chance.randint(6, 10) / 2, rated_at=timezone.now())
    for n in range({PEOPLE}) for film in chance.sample(films, {RATINGS_EACH})
])
Movie.objects.refresh_aggregates(films)
call_command("train", *{MODELS}, from_site=True, activate=True, quiet=True)
"""


class Kept:
    """A process that is started again whenever it ends."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str], folder: Path) -> None:
        self.name, self.command, self.environment, self.folder = name, command, environment, folder
        self.starts = 0
        self._stopping = threading.Event()
        self._process = self._start()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def kill(self) -> None:
        self._process.kill()

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def kill_a_child(self) -> None:
        """A worker of a server that keeps its own: the one that has run longest.

        A worker that dies again within seconds of its start looks to granian like a crash loop, and then the
        whole server ends.
        """
        children = psutil.Process(self._process.pid).children()
        workers = [child for child in children if "resource_tracker" not in " ".join(child.cmdline())]
        min(workers, key=psutil.Process.create_time).kill()

    def stop(self) -> None:
        self._stopping.set()
        self._watcher.join()
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def cpu_seconds(self) -> float:
        times = psutil.Process(self._process.pid).cpu_times()
        return times.user + times.system

    def _start(self) -> subprocess.Popen:
        self.starts += 1
        with (self.folder / f"{self.name}.log").open("ab") as log:
            return subprocess.Popen(
                self.command, cwd=ROOT, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )

    def _watch(self) -> None:
        while not self._stopping.wait(RESTART_SECONDS):
            if self._process.poll() is not None:
                self._process = self._start()


class Deployment:
    """Everything, in one folder. Nothing of it outlives `stop`."""

    def __init__(self, folder: Path, **services: Service | KafkaCluster) -> None:
        """`services` take the place of those of the same names."""
        self.folder = folder
        self.services: dict[str, Any] = {
            name: services.get(name) or service(folder, free_port()) for name, service in SERVICES.items()
        }
        self.port = free_port()
        self.kept: dict[str, Kept] = {}

    def missing(self) -> str:
        """Return what is not installed, or an empty string."""
        return "; ".join(filter(None, (service.missing() for service in self.services.values())))

    def start(self) -> None:
        """The site starts before what it depends on is prepared: the order does not matter."""
        for service in self.services.values():
            service.start()
        variables = [service.variables() for service in self.services.values()]
        self.environment = {
            **os.environ,
            **{name: value for each in variables for name, value in each.items()},
            "DJANGO_SETTINGS_MODULE": "webapp.settings",
            "DEBUG": "false",
            "SECURE": "false",
            "SECRET_KEY": "a-key-for-the-faults-that-is-long-enough-to-be-taken-for-one",
            "ALLOWED_HOSTS": HOST,
            "DATA_DIR": str(self.folder / "site"),
            "WRITE_RATE_LIMIT": "1000000",
            "DEFAULT_MODELS": ",".join(MODELS),
            "OUTBOX_KEEP_MINUTES": "1",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
        }
        (self.folder / "site").mkdir()
        manage = [sys.executable, str(ROOT / "manage.py")]
        self._keep("relay-1", [*manage, "relay_events"])
        self._keep("relay-2", [*manage, "relay_events"])
        for name, group in (
            ("popularity-1", "popularity"),
            ("popularity-2", "popularity"),
            ("experiments", "experiments"),
            ("feed", "training-feed"),
        ):
            self._keep(name, [*manage, "consume_events", "--group", group, "--member", name])
        self.run(PREPARE)
        web = [sys.executable, "-m", "granian", "--interface", "wsgi", "--host", HOST]
        web += [
            "--port",
            str(self.port),
            "--workers",
            "2",
            "--blocking-threads",
            "4",
            "--log-level",
            "warning",
        ]
        web += ["--respawn-failed-workers", "--respawn-interval", "0.5", "webapp.wsgi:application"]
        self._keep("web", web)
        deadline = time.monotonic() + OPEN_SECONDS
        while not is_open(self.port):
            if time.monotonic() > deadline:
                raise AssertionError((self.folder / "web.log").read_text()[-3000:])
            time.sleep(0.1)

    def run(self, program: str) -> Any:
        """Run a program inside the site; what it prints as JSON on its last line comes back."""
        command = [sys.executable, str(ROOT / "manage.py"), "shell", "--verbosity", "0", "-c", program]
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        lines = done.stdout.strip().splitlines()
        return json.loads(lines[-1]) if lines and lines[-1].startswith("{") else None

    def stop(self) -> None:
        for kept in self.kept.values():
            kept.stop()
        for service in self.services.values():
            service.stop()

    def _keep(self, name: str, command: list[str]) -> None:
        self.kept[name] = Kept(name, command, self.environment, self.folder)


def pause(least: float, most: float) -> None:
    """Sleep for a random time, to end at a random point of the work."""
    time.sleep(random.uniform(least, most))
