"""What every private server has in common: start, stop, is it running, is it ready."""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import psutil

HOST = "127.0.0.1"
READY_SECONDS = 60.0
STOP_SECONDS = 20.0
LINES_OF_LOG = 8
SAME_START = 1.0  # seconds by which two readings of one process's start may differ


class ServiceError(Exception):
    """A server cannot be had. The message says what to do."""


class Service(ABC):
    """One private server: `folder` holds its data, its log and the number of its process.

    A process is only ever signalled when its number and its start time are the recorded ones.
    """

    name: str
    title: str
    port: ClassVar[int]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, root: Path, port: int | None = None) -> None:
        self.folder = root.resolve() / self.name
        self.log = self.folder / "server.log"
        self.port_used = port or self._recorded().get("port") or self.port
        self._record = self.folder / "process.json"

    @abstractmethod
    def missing(self) -> str:
        """What is not installed and how to get it; empty when everything is there."""

    @abstractmethod
    def prepare(self) -> None:
        """Make the data folder, before the first start."""

    @abstractmethod
    def command(self) -> list[str]:
        """What to run."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it does its work now."""

    @abstractmethod
    def variables(self) -> dict[str, str]:
        """The environment variables with which the site uses it."""

    def settle(self) -> None:  # noqa: B027 - most servers need nothing
        """What a fresh server needs once it answers, such as an account. Done at every start."""

    def start(self) -> bool:
        """Run it and wait until it answers; returns whether it had to be started.

        Two callers at once start it once. Raises ServiceError.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder / "lock"):
            if self.process() is not None:
                self._wait()
                return False
            if missing := self.missing():
                raise ServiceError(f"{self.title}: {missing}")
            if is_open(self.port_used):
                raise ServiceError(
                    f"{self.title}: port {self.port_used} is taken by another program. Choose another one: "
                    f"make services PORTS={self.name}={free_port()}"
                )
            self.prepare()
            with self.log.open("ab") as log:
                # A session of its own: Ctrl+C in the terminal ends the command and not the server.
                process = subprocess.Popen(
                    self.command(),
                    cwd=self.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            created = psutil.Process(process.pid).create_time()
            record = {"pid": process.pid, "created": created, "port": self.port_used}
            self._record.write_text(json.dumps(record))
            self._wait(process)
            self.settle()
            return True

    def stop(self) -> bool:
        """End it in its own good time; returns whether it was running."""
        process = self.process()
        if process is None:
            return False
        process.send_signal(self.stop_signal)
        try:
            process.wait(STOP_SECONDS)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)
        return True

    def kill(self) -> None:
        """End it as a power cut would."""
        if (process := self.process()) is not None:
            process.kill()
            process.wait(STOP_SECONDS)

    def process(self) -> psutil.Process | None:
        """The running server, if it is the one that was started here."""
        record = self._recorded()
        with contextlib.suppress(psutil.NoSuchProcess, KeyError):
            process = psutil.Process(record["pid"])
            same = abs(process.create_time() - record["created"]) < SAME_START
            if same and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None

    def _recorded(self) -> dict:
        try:
            return json.loads((self.folder / "process.json").read_text())
        except (OSError, ValueError):
            return {}

    def _wait(self, child: subprocess.Popen | None = None) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if child is not None and child.poll() is not None:
                raise ServiceError(f"{self.title} ended with {child.returncode}:\n{self._last_words()}")
            if self.answers():
                return
            time.sleep(0.05)
        raise ServiceError(f"{self.title} did not answer within {READY_SECONDS:.0f} s:\n{self._last_words()}")

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-LINES_OF_LOG:]
        return "\n".join(f"    {line}" for line in lines) + f"\n    (all of it in {self.log})"


@contextlib.contextmanager
def locked(file: Path) -> Iterator[None]:
    """Nobody else is in here meanwhile, in any process."""
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def is_open(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def program(*names: str) -> str | None:
    """The first of these that is installed; servers often lie in folders of the administrator."""
    places = (None, "/usr/local/sbin:/usr/sbin:/sbin")
    found = (shutil.which(name, path=place) for name in names for place in places)
    return next(filter(None, found), None)
