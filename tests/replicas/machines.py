"""Machines that serve the site: each with a network, an address and a disk folder of its own.

Where network namespaces may be made (Linux, as root) each machine is one; elsewhere each is a group of
processes with a loopback address of its own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from services.base import HOST, free_port, program
from tests.replicas.proxy import Forwarder

ROOT = Path(__file__).resolve().parent.parent.parent
OPEN_SECONDS, STOP_SECONDS = 60, 10
POLL_SECONDS = 0.1


class Network(ABC):
    """Where machines are."""

    kind: ClassVar[str]

    @abstractmethod
    def address(self, number: int) -> str:
        """Of machine 1, 2, ..."""

    @abstractmethod
    def inside(self, number: int) -> list[str]:
        """What runs a command on that machine."""

    def reach(self, port: int) -> tuple[str, int]:
        """The address by which machines reach a server of this host that listens on loopback only."""
        return HOST, port

    def close(self) -> None:  # noqa: B027 - most have nothing to close
        """Take everything away again."""


class Loopback(Network):
    kind = "process groups on loopback addresses"

    def address(self, number: int) -> str:
        return f"127.0.0.{number + 1}" if sys.platform == "linux" else HOST

    def inside(self, number: int) -> list[str]:
        return []


class Namespaces(Network):
    """A bridge on this host, and on it one network namespace for each machine."""

    kind = "network namespaces"

    def __init__(self, machines: int) -> None:
        self._name, self._subnet = f"rg{os.getpid() % 100_000}", f"10.213.{os.getpid() % 250}"
        self._forwarders: list[Forwarder] = []
        self._made: list[list[str]] = []  # what takes away what was made
        try:
            self._make("link add {0} type bridge", undo="link del {0}")
            self._ip(f"addr add {self._subnet}.1/24 dev {self._name}")
            self._ip(f"link set {self._name} up")
            for number in range(1, machines + 1):
                self._make_machine(number)
        except (OSError, subprocess.CalledProcessError):
            self.close()
            raise

    def address(self, number: int) -> str:
        return f"{self._subnet}.{number + 1}"

    def inside(self, number: int) -> list[str]:
        return [str(program("ip")), "netns", "exec", f"{self._name}-{number}"]

    def reach(self, port: int) -> tuple[str, int]:
        forwarder = Forwarder((f"{self._subnet}.1", 0), lambda: [(HOST, port)])
        self._forwarders.append(forwarder)
        return forwarder.address

    def close(self) -> None:
        for forwarder in self._forwarders:
            forwarder.close()
        for undo in reversed(self._made):
            subprocess.run(undo, check=False, capture_output=True)

    def _make_machine(self, number: int) -> None:
        machine, outside, within = (
            f"{self._name}-{number}",
            f"{self._name}o{number}",
            f"{self._name}i{number}",
        )
        self._make("netns add {0}", machine, undo="netns del {0}")
        self._ip(f"link add {outside} type veth peer name {within} netns {machine}")
        self._ip(f"link set {outside} master {self._name} up")
        for command in (
            "link set lo up",
            f"addr add {self.address(number)}/24 dev {within}",
            f"link set {within} up",
        ):
            self._ip(f"-n {machine} {command}")

    def _make(self, command: str, name: str = "", *, undo: str) -> None:
        self._ip(command.format(name or self._name))
        self._made.append([str(program("ip")), *undo.format(name or self._name).split()])

    @staticmethod
    def _ip(command: str) -> None:
        subprocess.run([str(program("ip")), *command.split()], check=True, capture_output=True)


def network(machines: int) -> Network:
    """The truest that can be had here."""
    if sys.platform == "linux" and os.geteuid() == 0 and program("ip"):
        try:
            return Namespaces(machines)
        except (OSError, subprocess.CalledProcessError):
            pass  # a container without the right to do so
    return Loopback()


class Machine:
    """One machine with the web server and a disk. `models` is where its processes find trained models;
    `beside` are the arguments of Python for what runs there as long as the web server.
    """

    def __init__(
        self, number: int, where: Network, folder: Path, environment: dict[str, str], models: Path
    ) -> None:
        self.name, self.disk, self.models = f"machine {number}", folder / f"machine-{number}", models
        self.address = (where.address(number), free_port())
        self._inside = where.inside(number)
        self.environment = {
            **environment,
            "DATA_DIR": str(self.disk / "site"),
            "TMPDIR": str(self.disk / "tmp"),
            "MODEL_DIR": str(models),
        }
        self.beside: list[list[str]] = []
        self._running: list[subprocess.Popen[bytes]] = []  # the web server first
        for part in ("site", "tmp"):
            (self.disk / part).mkdir(parents=True)

    def start(self, workers: int = 1) -> None:
        host, port = self.address
        web = ["-m", "webapp.server", "--interface", "wsgi", "--host", host]
        web += ["--port", str(port), "--workers", str(workers), "--blocking-threads", "4"]
        web += ["--respawn-failed-workers", "--log-level", "warning", "webapp.wsgi:application"]
        self._running = [self._begin(arguments) for arguments in (web, *self.beside)]

    def _begin(self, arguments: list[str]) -> subprocess.Popen[bytes]:
        command = [*self._inside, sys.executable, *arguments]
        with (self.disk / "web.log").open("ab") as log:
            return subprocess.Popen(
                command, cwd=ROOT, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )

    def manage(self, *arguments: str) -> str:
        """Run a command of the site on this machine; what it printed."""
        command = [*self._inside, sys.executable, str(ROOT / "manage.py"), *arguments]
        done = subprocess.run(
            command, cwd=self.disk, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return done.stdout

    def runs(self) -> bool:
        return bool(self._running) and self._running[0].poll() is None

    def log(self) -> str:
        return (self.disk / "web.log").read_text(errors="replace")

    def kill(self) -> None:
        """Everything on it at once, as when its power fails."""
        self._signal(signal.SIGKILL)

    def stop(self) -> None:
        self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        alive = [process for process in self._running if process.poll() is None]
        for process in alive:
            os.killpg(process.pid, number)
        for process in alive:
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def wait_until(true: object, what: str, seconds: float = OPEN_SECONDS) -> float:
    """Seconds until the callable `true` is."""
    assert callable(true)
    started = time.monotonic()
    while not true():
        if time.monotonic() - started > seconds:
            raise AssertionError(f"{what}: not within {seconds:.0f} s")
        time.sleep(POLL_SECONDS)
    return time.monotonic() - started
