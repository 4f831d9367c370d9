"""The deployment: real servers, a web server with two workers, relays and consumers, each restarted
when it dies, as a supervisor would."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil

from services import SERVICES, Service
from services.base import HOST, free_port, is_open
from services.kafka import KafkaCluster, KafkaStandIn
from tests.faults.links import Link
from tests.faults.visitors import PASSWORD

ROOT = Path(__file__).resolve().parent.parent.parent
FILMS = 40
WEB_WORKERS = 2
OPEN_SECONDS = 60
STOP_SECONDS = 20
RESTART_SECONDS = 0.5
STAND_IN_SECONDS = 0.02  # for each piece of data to and from the stand-in for Kafka

COMPILER = shutil.which("cc")
OFFSET = struct.Struct("=q")  # seconds, as clock.c reads them
ACCOUNTS = 8  # users visitor-0, visitor-1, ...

PEOPLE, RATINGS_EACH = 60, 8  # of a data set, for the models to learn from
MODELS = ("neighbours", "popular")

PREPARE = f"""
import random
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.core.management import call_command
from django.utils import timezone
from movie.catalogue.models import Movie, Rating
call_command("migrate", verbosity=0)
call_command("collectstatic", interactive=False, verbosity=0)
call_command("create_event_table")
call_command("create_event_topic", partitions=4)
Movie.objects.bulk_create([Movie(title=f"Film {{n}}", sort_title=f"film {{n}}") for n in range({FILMS})])
User, password = get_user_model(), make_password({PASSWORD!r})
User.objects.bulk_create([User(username=f"visitor-{{n}}", password=password) for n in range({ACCOUNTS})])
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
        self._limit: tuple[int, tuple[int, int]] | None = None
        self._stopping = threading.Event()
        self._process = self._start()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def kill(self) -> None:
        self._process.kill()

    @contextmanager
    def limited(self, what: int, most: int) -> Iterator[None]:
        """Give the process, and those that take its place, a limit of its system (`resource.RLIMIT_...`)."""
        _soft, hard = resource.prlimit(self._process.pid, what)
        self._limit = what, (most, hard)
        resource.prlimit(self._process.pid, *self._limit)
        try:
            yield
        finally:
            self._limit = None
            if self._process.poll() is None:
                resource.prlimit(self._process.pid, what, (hard, hard))

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
            process = subprocess.Popen(
                self.command, cwd=ROOT, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        if self._limit:
            resource.prlimit(process.pid, *self._limit)
        return process

    def _watch(self) -> None:
        while not self._stopping.wait(RESTART_SECONDS):
            if self._process.poll() is not None:
                self._process = self._start()


CONSOLE = """
import contextlib, io, json, sys, traceback
from django.db import close_old_connections
for line in sys.stdin:
    close_old_connections()
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            exec(json.loads(line), {"__name__": "__console__"})
        answer = {"said": said.getvalue()}
    except Exception:
        answer = {"error": traceback.format_exc()}
    print(json.dumps(answer), flush=True)
"""


class Console:
    """A process of the site that runs programs one after the other; each alone would start for seconds."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        command = [sys.executable, str(ROOT / "manage.py"), "shell", "--verbosity", "0", "-c", CONSOLE]
        with (folder / "console.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def run(self, program: str) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(program) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline() or '{"error": "the console has ended"}')
        assert "error" not in answer, answer["error"]
        lines = answer["said"].strip().splitlines()
        return json.loads(lines[-1]) if lines and lines[-1].startswith("{") else None

    def close(self) -> None:
        self._process.kill()
        self._process.wait(STOP_SECONDS)


class Deployment:
    """Everything, in one folder. Nothing of it outlives `stop`."""

    def __init__(self, folder: Path, **services: Service | KafkaCluster) -> None:
        """`services` take the place of those of the same names."""
        self.folder = folder
        self.services: dict[str, Any] = {
            name: services.get(name) or service(folder, free_port())
            for name, service in SERVICES.items()
            if name != "postgresql"  # one database: the faults are those of MariaDB
        }
        self.links: dict[str, Link] = {}
        self.port = free_port()
        self.console: Console | None = None
        self.kept: dict[str, Kept] = {}

    def missing(self) -> str:
        """Return what is not installed, or an empty string."""
        return "; ".join(filter(None, (service.missing() for service in self.services.values())))

    def start(self) -> None:
        """Start everything: a relay and a consumer before what they depend on is prepared, for order does not
        matter. They end and start again until then, at a cost, so the others start after it."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda service: service.start(), self.services.values()))
        variables: dict[str, str] = {}
        for name, service in self.services.items():
            given = self._through_link(name, service)
            assert not variables.keys() & given.keys(), f"another service has the variables of {name}"
            variables |= given
        self.environment = {
            **os.environ,
            **variables,
            **self._clock(),
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
        consume = [*manage, "consume_events", "--group"]
        self._keep("popularity-1", [*consume, "popularity", "--member", "popularity-1"])
        self.run(PREPARE)
        self._keep("relay-2", [*manage, "relay_events"])
        for name, group in (
            ("popularity-2", "popularity"),
            ("experiments", "experiments"),
            ("feed", "training-feed"),
        ):
            self._keep(name, [*consume, group, "--member", name])
        web = [sys.executable, "-m", "webapp.server", "--interface", "wsgi", "--host", HOST]
        web += [
            "--port",
            str(self.port),
            "--workers",
            str(WEB_WORKERS),
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

    def warm(self) -> None:
        """Wait until the web workers answer: the port is open before the first of them has started."""
        for _ in range(2 * WEB_WORKERS):
            deadline = time.monotonic() + OPEN_SECONDS
            while time.monotonic() < deadline:
                try:
                    urlopen(f"http://{HOST}:{self.port}/", timeout=OPEN_SECONDS).close()
                    break
                except OSError:
                    time.sleep(0.2)

    def run(self, program: str) -> Any:
        """Run a program inside the site; what it prints as JSON on its last line comes back."""
        if self.console is None:
            self.console = Console(self.environment, self.folder)
        return self.console.run(program)

    def set_clock(self, seconds: int) -> None:
        """Let the clock of all processes of the site, not of the services, be wrong by so much, at once."""
        with self._offset.open("r+b") as file:
            file.write(OFFSET.pack(seconds))

    def stop(self) -> None:
        stopping = [threading.Thread(target=kept.stop) for kept in self.kept.values()]
        for thread in stopping:
            thread.start()
        for thread in stopping:
            thread.join()
        if self.console is not None:
            self.console.close()
        for link in self.links.values():
            link.close()
        for service in self.services.values():
            service.stop()

    def _through_link(self, name: str, service: Any) -> dict[str, str]:
        """Return the variables with which the site uses a service, by way of a link that can be cut.

        The nodes of a cluster are reached without: each has its own address.
        """
        variables: dict[str, str] = service.variables()
        if isinstance(service, KafkaCluster):
            return variables
        # The stand-in for Kafka answers at once that there is nothing new, and members would ask without end.
        is_stand_in = isinstance(service, KafkaStandIn)
        link = self.links[name] = Link(service.port_used, STAND_IN_SECONDS if is_stand_in else 0.0)
        return {
            variable: value.replace(f":{link.target}", f":{link.port}")
            for variable, value in variables.items()
        }

    def _clock(self) -> dict[str, str]:
        """Return the variables by which processes take `_offset` for how wrong their clock is."""
        self._offset = self.folder / "clock"
        self._offset.write_bytes(OFFSET.pack(0))
        if COMPILER is None:
            return {}
        library = self.folder / "clock.so"
        compile_it = [COMPILER, "-O2", "-shared", "-fPIC", "-o", str(library)]
        subprocess.run([*compile_it, str(Path(__file__).with_name("clock.c")), "-ldl"], check=True)
        return {"LD_PRELOAD": str(library), "WRONG_CLOCK": str(self._offset)}

    def _keep(self, name: str, command: list[str]) -> None:
        self.kept[name] = Kept(name, command, self.environment, self.folder)


def sleep_between(least: float, most: float) -> None:
    """Sleep for a random time, to end at a random point of the work."""
    time.sleep(random.uniform(least, most))
