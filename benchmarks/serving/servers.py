"""Servers in processes of their own, and what they cost."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self
from urllib.error import HTTPError, URLError
from urllib.request import Request as Asking
from urllib.request import urlopen

import psutil

from benchmarks.serving.load import Request

ROOT = Path(__file__).resolve().parents[2]
SECONDS_TO_START, SECONDS_TO_END = 120, 20


class Server:
    """A server and its workers, from `with` to its end. What it writes goes to `log`."""

    def __init__(
        self, name: str, command: Sequence[str], port: int, environment: Mapping[str, str], log: Path
    ) -> None:
        self.name, self.command, self.port = name, [sys.executable, "-m", *command], port
        self.environment, self.log = {**os.environ, **environment}, log

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self.command, cwd=ROOT, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        return self

    def __exit__(self, *_: object) -> None:
        try:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(SECONDS_TO_END)
        except ProcessLookupError:
            pass
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def wait_until_open(self, probe: Request) -> None:
        """Raises RuntimeError, with the end of the log, when it never answers."""
        deadline = time.monotonic() + SECONDS_TO_START
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                answer_to(self.port, probe)
                return
            except HTTPError as error:
                raise RuntimeError(f"{self.name}: {probe.path} answers {error.code}") from error
            except (URLError, ConnectionError, TimeoutError):
                time.sleep(0.1)
        raise RuntimeError(f"{self.name} did not open:\n{self.log.read_text(encoding='utf-8')[-2000:]}")

    def cpu_seconds(self) -> float:
        """User and system time of all its processes."""
        return sum(sum(each.cpu_times()[:2]) for each in self._processes())

    def wait_until_idle(self) -> None:
        """Until it works for less than a tenth of the time, or has been waited for long enough."""
        for _ in range(50):
            before = self.cpu_seconds()
            time.sleep(0.1)
            if self.cpu_seconds() - before <= 0.01:
                return

    def memory_mb(self) -> tuple[float, float]:
        """RSS and PSS of all its processes together; PSS is 0 where the system does not tell it."""
        kept = [each.memory_full_info() for each in self._processes()]
        return sum(each.rss for each in kept) / 2**20, sum(getattr(each, "pss", 0) for each in kept) / 2**20

    def _processes(self) -> list[psutil.Process]:
        process = psutil.Process(self.process.pid)
        return [process, *process.children(recursive=True)]


def answer_to(port: int, request: Request) -> bytes:
    """Raises HTTPError for a refusal, URLError while nobody listens."""
    headers = dict(request.headers) | ({"Content-Type": "application/json"} if request.body else {})
    address, body = f"http://127.0.0.1:{port}{request.path}", request.body.encode() or None
    asking = Asking(address, body, headers, method=request.method)
    with urlopen(asking, timeout=60) as answer:  # noqa: S310 - it is our own server
        return answer.read()


def films_in(answer: bytes) -> list[int]:
    return [film["movie_id"] for film in json.loads(answer)["recommendations"]]


def free_port(first: int = 0) -> int:
    """This one or one of the nine above it; any that is free without `first`."""
    for port in range(first, first + 10) if first else [0]:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise RuntimeError(f"no port from {first} to {first + 9} is free")
