"""Shared code of benchmarks of the running site: a web server in its own processes, and its guests."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import urlencode

import psutil

from benchmarks._command import CouldNotMeasure
from movie.core import child_process
from services import SERVICES
from services.base import HOST, ServiceError, free_port

ROOT = Path(__file__).resolve().parent.parent
OPEN_SECONDS, STOP_SECONDS = 300, 15  # on a machine that does much else
FOLDERS = {
    "MODEL_DIR": "models", "FEED_DIR": "feed", "JOB_DIR": "jobs", "METRICS_DIR": "metrics",
    "STATIC_ROOT": "static", "KNOWLEDGE_GRAPH_DIR": "knowledge_graph", "PHOTOGRAPH_DIR": "photographs",
}  # fmt: skip

FIRST_STEPS = """
from django.core.management import call_command
from movie.operations import site_setup
site_setup.make_tables_and_files()
call_command("load_demo_data")
site_setup.bring_in_papers()
site_setup.train_first_models(*site_setup.FIRST_MODELS)
"""
LIMITS = ("WRITE_RATE_LIMIT", "PAGE_RATE_LIMIT", "API_RATE_LIMIT", "API_ANONYMOUS_RATE_LIMIT")  # a minute


def site_environment(folder: Path, services: dict[str, str]) -> dict[str, str]:
    """Return the variables of a site in this folder that uses these services alone and logs errors alone.

    Settings of this shell and of a `.env` are overruled, so that nobody's own data is touched.
    """
    folder = folder.resolve()
    return {
        "MALLOC_ARENA_MAX": "2",  # as deployments have it; `benchmarks.memory` says why
        **os.environ,
        **dict.fromkeys(("REDIS_URL", "DYNAMODB_TABLE", "KAFKA_BOOTSTRAP_SERVERS"), ""),
        **{name: str(folder / part) for name, part in FOLDERS.items()},
        "DATABASE_URL": f"sqlite:///{folder / 'reelgraph.sqlite3'}",
        "DEBUG": "false",
        "SECURE": "false",
        "SECRET_KEY": "x" * 60,
        "ALLOWED_HOSTS": f"localhost,{HOST}",
        "DATA_DIR": str(folder),
        "LOG_LEVEL": "ERROR",
        **dict.fromkeys(LIMITS, str(10**9)),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
        "DJANGO_SETTINGS_MODULE": "webapp.settings",
        **services,
    }


def use_site(folder: Path, **services: str) -> None:
    """Make this process, before Django is set up, and all that it starts use a site in this folder.

    The folder of static files is there, though empty: Django warns where it is not.
    """
    environment = site_environment(folder, services)
    Path(environment["STATIC_ROOT"]).mkdir(parents=True, exist_ok=True)
    os.environ.update(environment)


@contextmanager
def demo_site(folder: Path | None = None, *, is_quick: bool = False) -> Iterator[dict[str, str]]:
    """Yield the variables of a site with MovieLens 100K and the quick models; made there if it is empty.

    Without a folder it is made anew (about 60 CPU-s) and deleted afterwards. `is_quick` leaves out the models
    that no page waits for, which takes half as long.
    """
    with tempfile.TemporaryDirectory(prefix="reelgraph-site-") as temporary:
        environment = site_environment(folder or Path(temporary), {})
        if not (Path(environment["MODEL_DIR"])).exists():
            make_site(environment, is_quick=is_quick)
        yield environment


def make_site(environment: dict[str, str], *, is_quick: bool = False) -> None:
    """Load MovieLens 100K into a site and train the quick models, or the first of them alone."""
    if is_quick:
        manage(environment, "shell", "--verbosity", "0", "-c", FIRST_STEPS)
    else:
        manage(environment, "demo", "--quick-only", "--no-serve")


@contextmanager
def private_services(folder: Path, *names: str) -> Iterator[dict[str, dict[str, str]]]:
    """Start private servers; yield the variables of a site by the name of the server, and stop them.

    Raises CouldNotMeasure on one that is not installed or does not start.
    """
    servers = {name: SERVICES[name](folder, free_port()) for name in names}
    try:
        with ExitStack() as stack:
            for server in servers.values():
                stack.callback(server.stop)
                server.start()
            yield {name: server.variables() for name, server in servers.items()}
    except (ServiceError, subprocess.SubprocessError) as error:
        raise CouldNotMeasure(str(error)) from error


def manage(environment: dict[str, str], *arguments: str) -> str:
    """Run a command of the site and return what it printed. Raises CouldNotMeasure where it fails."""
    command = [sys.executable, str(ROOT / "manage.py"), *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CouldNotMeasure(f"{' '.join(arguments)[:200]}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout


def thread_seconds(*processes: int) -> float:
    """Return CPU-seconds of the threads that these processes have now. Linux alone tells: CouldNotMeasure."""
    files = [file for pid in processes for file in Path(f"/proc/{pid}/task").glob("*/schedstat")]
    if processes and not files:
        raise CouldNotMeasure("this system does not tell the CPU time of threads in /proc/PID/task")
    return sum(int(file.read_text().split()[0]) for file in files) / 1e9


class Served:
    """Serves the site as in production: `with Served(environment) as site`."""

    def __init__(self, environment: dict[str, str], *, workers: int = 1, threads: int = 4) -> None:
        self.address = (HOST, free_port())
        self._command = [sys.executable, "-m", "webapp.server", "--interface", "wsgi", "--host", HOST]
        self._command += ["--port", str(self.address[1]), "--workers", str(workers)]
        self._command += ["--blocking-threads", str(threads), "--log-level", "error"]
        self._command += ["webapp.wsgi:application"]
        self._environment = environment

    def __enter__(self) -> Served:
        self._server = child_process.start(self._command, cwd=ROOT, env=self._environment)
        deadline = time.monotonic() + OPEN_SECONDS
        while True:
            try:
                Guest(self).get("/")
            except OSError as error:
                if time.monotonic() > deadline or self._server.poll() is not None:
                    self.__exit__()
                    raise CouldNotMeasure(f"the server does not answer: {error}") from error
                time.sleep(0.1)
            except BaseException:
                self.__exit__()  # a page that fails, or a signal
                raise
            else:
                return self

    def __exit__(self, *_: object) -> None:
        """Stop the server; a worker that does not end, as one that still starts, is killed with it."""
        self._server.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._server.wait(STOP_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(self._server.pid, signal.SIGKILL)
        self._server.wait()

    def cpu_seconds(self) -> float:
        """Return CPU-seconds of all workers so far, user and system."""
        return sum(sum(worker.cpu_times()[:2]) for worker in self.workers())

    def thread_seconds(self) -> float:
        """Return CPU-seconds of the threads that the workers have now, to the microsecond; Linux alone tells.

        For single requests: `cpu_seconds` counts in steps of 10 ms.
        """
        return thread_seconds(*(worker.pid for worker in self.workers()))

    def memory_mb(self) -> tuple[float, float]:
        """Return MB of the largest worker: resident, and its own."""
        found = [worker.memory_full_info() for worker in self.workers()]
        return max(each.rss for each in found) / 2**20, max(each.uss for each in found) / 2**20

    def workers(self) -> list[psutil.Process]:
        """Return the processes that answer."""
        (granian,) = psutil.Process(self._server.pid).children()
        children = granian.children()
        return [child for child in children if "resource_tracker" not in " ".join(child.cmdline())]


class Guest:
    """Sends a guest's requests over one connection that stays open."""

    def __init__(self, site: Served, **cookies: str) -> None:
        self._connection = http.client.HTTPConnection(*site.address, timeout=120)
        self._cookies: SimpleCookie = SimpleCookie(cookies)

    def reconnect(self) -> None:
        self._connection.close()  # the next request opens it again

    def get(self, path: str) -> str:
        return self._ask("GET", path, None, "text/html")

    def post(self, path: str, **fields: str) -> None:
        """As the site's script sends it; a new event each time."""
        body = urlencode({"event_id": str(uuid.uuid4()), "surface": "home", **fields})
        self._ask("POST", path, body, "*/*")

    def send(
        self, path: str, body: bytes, content_type: str, accept: str = "*/*", **headers: str
    ) -> tuple[int, str]:
        """POST a body; return the status and the text of the answer, whatever it is."""
        return self._request("POST", path, body, {"Accept": accept, "Content-Type": content_type, **headers})

    def _ask(self, method: str, path: str, body: str | None, accept: str) -> str:
        headers = {"Accept": accept}
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        status, text = self._request(method, path, body and body.encode(), headers)
        if status not in (200, 204):
            raise CouldNotMeasure(f"{method} {path}: {status}\n{text[:500]}")
        return text

    def _request(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, str]:
        headers["Cookie"] = "; ".join(f"{name}={morsel.value}" for name, morsel in self._cookies.items())
        if body is not None and "csrftoken" in self._cookies:
            headers["X-CSRFToken"] = self._cookies["csrftoken"].value
        try:
            self._connection.request(method, path, body, headers)
            answer = self._connection.getresponse()
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            self.reconnect()  # the server closes a connection that was idle for long
            self._connection.request(method, path, body, headers)
            answer = self._connection.getresponse()
        text = answer.read().decode()
        self.location = answer.headers.get("Location", "")  # where the last answer leads to
        if method == "GET":
            for header in answer.headers.get_all("Set-Cookie") or []:
                self._cookies.load(header)
        return answer.status, text
