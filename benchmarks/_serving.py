"""Shared code of benchmarks of the running site: a web server in its own processes, and its guests."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import time
import uuid
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import urlencode

import psutil

from services.base import HOST, free_port

ROOT = Path(__file__).resolve().parent.parent
OPEN_SECONDS = 60
OUTSIDE = ("DATABASE_URL", "REDIS_URL", "DYNAMODB_TABLE", "KAFKA_BOOTSTRAP_SERVERS", "MODEL_DIR", "FEED_DIR")


def site_environment(folder: Path, services: dict[str, str]) -> dict[str, str]:
    """Return the variables of a site in this folder that uses these services and no setting of this shell."""
    return {
        **{name: value for name, value in os.environ.items() if name not in OUTSIDE},
        "DEBUG": "false",
        "SECURE": "false",
        "SECRET_KEY": "x" * 60,
        "ALLOWED_HOSTS": f"localhost,{HOST}",
        "DATA_DIR": str(folder),
        "LOG_LEVEL": "WARNING",
        "WRITE_RATE_LIMIT": "10000000",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
        **services,
    }


def manage(environment: dict[str, str], *arguments: str) -> str:
    """Run a command of the site; what it printed."""
    command = [sys.executable, str(ROOT / "manage.py"), *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout[-3000:] + done.stderr[-3000:])
    return done.stdout


class Served:
    """Serves the site as in production: `with Served(environment) as site`."""

    def __init__(self, environment: dict[str, str], *, workers: int = 1, threads: int = 4) -> None:
        self.address = (HOST, free_port())
        self._command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--host", HOST]
        self._command += ["--port", str(self.address[1]), "--workers", str(workers)]
        self._command += ["--blocking-threads", str(threads), "--log-level", "warning"]
        self._command += ["webapp.wsgi:application"]
        self._environment = environment

    def __enter__(self) -> Served:
        self._server = subprocess.Popen(self._command, cwd=ROOT, env=self._environment)
        deadline = time.monotonic() + OPEN_SECONDS
        while True:
            try:
                Guest(self).get("/")
            except OSError:
                if time.monotonic() > deadline or self._server.poll() is not None:
                    raise
                time.sleep(0.1)
            else:
                return self

    def __exit__(self, *_: object) -> None:
        self._server.terminate()
        self._server.wait()

    def cpu_seconds(self) -> float:
        """Return CPU-seconds of all workers so far, user and system."""
        return sum(sum(worker.cpu_times()[:2]) for worker in self._workers())

    def memory_mb(self) -> tuple[float, float]:
        """Return MB of the largest worker: resident, and its own."""
        found = [worker.memory_full_info() for worker in self._workers()]
        return max(each.rss for each in found) / 2**20, max(each.uss for each in found) / 2**20

    def _workers(self) -> list[psutil.Process]:
        children = psutil.Process(self._server.pid).children()
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
            raise SystemExit(f"{method} {path}: {status}\n{text[:500]}")
        return text

    def _request(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, str]:
        headers["Cookie"] = "; ".join(f"{name}={morsel.value}" for name, morsel in self._cookies.items())
        if body is not None and "csrftoken" in self._cookies:
            headers["X-CSRFToken"] = self._cookies["csrftoken"].value
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        text = answer.read().decode()
        self.location = answer.headers.get("Location", "")  # where the last answer leads to
        if method == "GET":
            for header in answer.headers.get_all("Set-Cookie") or []:
                self._cookies.load(header)
        return answer.status, text
