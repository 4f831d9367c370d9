"""manage.py demo: load real data, train the quick models, serve, then install torch and train the others."""

from __future__ import annotations

import multiprocessing
import signal
import socket
import subprocess
import sys
import threading
import time
from argparse import ArgumentParser
from collections.abc import Sequence
from importlib import invalidate_caches
from importlib.util import find_spec
from multiprocessing import Process
from multiprocessing.synchronize import Event as ProcessEvent
from typing import IO, Any
from urllib.error import URLError
from urllib.request import urlopen

from django.conf import settings
from django.core.checks import Tags
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from django.utils.module_loading import import_string
from rich.console import Console
from rich.markup import escape

from movie.core import child_process
from movie.core.locks import AlreadyLocked, file_lock
from movie.core.progress import ProgressBar
from movie.operations.checks import CONFIGURATION
from movie.operations.demo_data import is_loaded
from movie.operations.site_setup import (
    FIRST_MODELS,
    QUICK_MODELS,
    bring_in_papers,
    make_administrator,
    make_tables_and_files,
    train_first_models,
)
from movie.training.models import TrainingRun
from movie.training.registry import registry
from movie.training.taste_groups import read_report

# Trained once the site is open. Pages ask for_you first; linear_sequence answers until it is trained.
LATER_MODELS = ("for_you", *(name for name in QUICK_MODELS if name not in FIRST_MODELS))
ANALYSE = (sys.executable, "-m", "webapp", "analyse_groups")
SLOW_MODELS = ("als",)
TORCH_MODELS = ("kprn", "sasrec", "next_item", "lightgcn", "ngcf")
PIP = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input")
TORCH_SIZE = "5.5 GB on Linux, where it brings CUDA along; 1 GB elsewhere"
ADMIN = "admin"
SERVER = "webapp.server.serve_in_child"  # by name: the project stands above its apps
OPEN_SECONDS = 60
END_SECONDS = 15


class Command(BaseCommand):
    help = "Load MovieLens 100K and the Wikidata films, train, and serve. A second start only serves."
    requires_system_checks = (Tags.security, CONFIGURATION)  # what this machine can break, not every address

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--workers", type=int, default=1, help="server processes")
        parser.add_argument("--no-serve", action="store_true", help="load and train everything, then end")
        parser.add_argument(
            "--quick-only", action="store_true", help="leave out the models that take minutes"
        )
        parser.add_argument(
            "--no-torch", action="store_true", help="install no PyTorch and leave out the models that need it"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        self.console = Console()
        host, port = options["host"], options["port"]
        if not options["no_serve"]:
            _require_free_port(host, port)
        try:
            with file_lock(settings.DATA_DIR / "demo.lock"):
                self._run(host, port, options)
        except AlreadyLocked as other:
            raise CommandError(
                f"Another demo is at work in {settings.DATA_DIR}: process {other.pid}. End it first, or name "
                "another folder in DATA_DIR."
            ) from None

    def _run(self, host: str, port: int, options: dict[str, Any]) -> None:
        if options["no_serve"]:
            self._load()
            self._bring_in_papers()
            self._prepare()
            self._train_all(_missing_models(options))
            return
        # Forked before anything is done, it shares the imported modules and nothing else. It imports the rest
        # of the site on another core.
        is_ready = multiprocessing.Event()
        server = _start_server(host, port, options["workers"], is_ready)
        try:
            was_loaded = self._load()
            if not server.is_alive():  # `set` may wait for ever for one that was killed while it waited
                raise _server_ended(server)
            is_ready.set()
            if not was_loaded:  # a second start opens sooner
                self._bring_in_papers()
            self._prepare()
            self._serve(server, host, port, _missing_models(options), papers=was_loaded)
        finally:
            _end_server(server)

    def _load(self) -> bool:
        """Make the tables and load the data; return whether the data was there."""
        make_tables_and_files()
        was_loaded = is_loaded()
        if not was_loaded:
            call_command("load_demo_data")
        return was_loaded

    def _train_all(self, missing: list[str]) -> None:
        needing, others = _by_torch(missing)
        if others:
            call_command("train", *others, from_site=True, activate=True, refit=False)
        if needing and self._has_torch(threading.Event()):
            call_command("train", *needing, from_site=True, activate=True, refit=False)
        self._find_taste_groups()

    def _prepare(self) -> None:
        train_first_models(*FIRST_MODELS)
        if password := make_administrator(ADMIN):
            self.console.print(
                f"Administrator [bold]{ADMIN}[/], password [bold]{password}[/] (shown only now)"
            )

    def _bring_in_papers(self) -> None:
        """Bring the reviews of papers up to date. A failure stops nothing."""
        try:
            problem = bring_in_papers()
        except (DatabaseError, OSError) as error:
            problem = f"The reviews of papers were not brought up to date: {error}"
        if problem:
            self.console.print(f"[yellow]{escape(problem)}[/]")

    def _serve(self, server: Process, host: str, port: int, to_train: list[str], *, papers: bool) -> None:
        """Wait for the server and train beside it until one is interrupted; leave no training behind.

        `papers` brings the reviews up to date once the site is open.
        """
        worker = None
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: stop.set())
        try:
            address = f"http://{'localhost' if host in ('127.0.0.1', '0.0.0.0') else host}:{port}/"  # noqa: S104
            _wait_until_open(host, port, server, stop)
            worker = _start_worker()
            self.console.print(f"\nReelgraph is open: [bold]{address}[/]   (Ctrl-C closes it)\n")
            if papers:
                self._bring_in_papers()
            needing, others = _by_torch(to_train)
            self._find_taste_groups(stop, server)
            self._train(others, server, stop)
            if needing and self._has_torch(stop, server):
                self._train(needing, server, stop)
            while not stop.is_set() and server.is_alive():
                stop.wait(1)
            if server.exitcode and not stop.is_set():
                raise _server_ended(server)
        finally:
            _end(worker)

    def _find_taste_groups(self, stop: threading.Event | None = None, server: Process | None = None) -> None:
        """Find the groups of taste for their page, where nobody has yet. A failure stops nothing."""
        if read_report() is not None:
            return
        stop = stop or threading.Event()
        file = settings.DATA_DIR / "taste_groups.log"
        with file.open("wb") as log:
            is_done = _runs_through(ANALYSE, log, stop, server)
        if not is_done and not stop.is_set():
            self.console.print(f"[yellow]No taste groups were found; {escape(str(file))} says why.[/]")

    def _has_torch(self, stop: threading.Event, server: Process | None = None) -> bool:
        """Install PyTorch where it is missing and return whether it is there; without a network say so."""
        if _is_installed():
            return True
        self.console.print(f"Installing PyTorch ({TORCH_SIZE}); make demo TORCH=0 leaves it out.")
        file = settings.DATA_DIR / "install.log"
        with file.open("wb") as log:
            is_done = all(_install(arguments, log, stop, server) for arguments in _torch_requirements())
        invalidate_caches()
        if is_done and _is_installed():
            return True
        if not stop.is_set():
            self.console.print(
                f"[yellow]PyTorch could not be installed; is there a network? {escape(str(file))} says why. "
                "The site works without; another make demo tries again.[/]"
            )
        return False

    def _train(self, names: list[str], server: Process, stop: threading.Event) -> None:
        """Train models beside the server; an interrupted training goes on unless its data changed."""
        for arguments in (["--resume"], []) if names else ():
            if stop.is_set() or not server.is_alive():
                return
            trainer = _start_training(names, arguments)
            try:
                if self._watch(trainer, names, server, stop):
                    return
            finally:
                _end(trainer)

    def _watch(
        self, trainer: subprocess.Popen, names: list[str], server: Process, stop: threading.Event
    ) -> bool:
        """Show where the background training stands until it ends; False when it failed."""
        with ProgressBar(transient=False) as bar:
            while trainer.poll() is None and server.is_alive() and not stop.is_set():
                for run in TrainingRun.objects.filter(model__in=names).order_by("started_at"):
                    bar(run.progress, run.message, f"training {run.model}")
                stop.wait(1)
            if trainer.poll() == 0:
                for name in names:
                    bar(1.0, "live", f"training {name}")
        return trainer.poll() == 0 or stop.is_set() or not server.is_alive()


def _missing_models(options: dict[str, Any]) -> list[str]:
    """Return the models that these options ask for and that no version is active of, in order."""
    slow: tuple[str, ...] = () if options["quick_only"] else SLOW_MODELS
    if not (options["quick_only"] or options["no_torch"]):
        slow += TORCH_MODELS
    return [name for name in (*LATER_MODELS, *slow) if not registry().store.current(name)]


def _install(arguments: list[str], log: IO[bytes], stop: threading.Event, server: Process | None) -> bool:
    """Run pip until it ends, the demo is to stop or its server ends; return whether all was installed."""
    return _runs_through([*PIP, *arguments], log, stop, server)


def _torch_requirements() -> tuple[list[str], ...]:
    """Return what pip is to install for the networks: the lock of a checkout, or the extras of a wheel."""
    if settings.IS_CHECKOUT:
        return ["--require-hashes", "-r", "locks/train.txt"], ["-r", "requirements-torch.txt"]
    return (["reelgraph[train,torch]"],)


def _runs_through(
    command: Sequence[str], log: IO[bytes], stop: threading.Event, server: Process | None
) -> bool:
    """Run a command until it ends, the demo is to stop or its server ends; return whether it succeeded."""
    process = subprocess.Popen(  # noqa: S603 - our own command
        command, cwd=settings.SITE_DIR, stdout=log, stderr=log, start_new_session=True
    )
    try:
        while process.poll() is None and not stop.wait(0.5) and (server is None or server.is_alive()):
            pass
    finally:
        _end(process)
    return process.returncode == 0


def _is_installed() -> bool:
    """Return whether the networks can be trained; ONNX writes what serves SASRec without PyTorch."""
    return all(find_spec(name) is not None for name in ("torch", "onnx"))


def _by_torch(names: list[str]) -> tuple[list[str], list[str]]:
    """Split names of models into those that need PyTorch for their training and the others."""
    return [name for name in names if name in TORCH_MODELS], [n for n in names if n not in TORCH_MODELS]


def _require_free_port(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise CommandError(
                f"{host}:{port} cannot be used ({error.strerror}); choose another with: make demo PORT=8001"
            ) from error


def _start_server(host: str, port: int, workers: int, is_ready: ProcessEvent) -> Process:
    arguments = ["--interface", "rsgi", "--host", host, "--port", str(port), "--workers", str(workers)]
    # Without it the whole server ends with the first worker that dies.
    arguments += ["--log-level", "error", "--respawn-failed-workers", "webapp.rsgi:application"]
    return child_process.start_function(import_string(SERVER), arguments, is_ready)


def _start_worker() -> subprocess.Popen:
    """Start what does the jobs of the admin."""
    command = [sys.executable, "-m", "webapp", "db_worker", "--no-reload", "--verbosity", "0"]
    return child_process.start(command, cwd=settings.SITE_DIR)


def _start_training(names: list[str], arguments: list[str]) -> subprocess.Popen:
    command = [
        sys.executable,
        "-m",
        "webapp",
        "train",
        *names,
        "--from-site",
        "--activate",
        "--no-refit",
        "--quiet",
        *arguments,
    ]
    return child_process.start(command, cwd=settings.SITE_DIR)


def _wait_until_open(host: str, port: int, server: Process, stop: threading.Event) -> None:
    deadline = time.monotonic() + OPEN_SECONDS
    reachable = "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104
    while not stop.is_set() and server.is_alive() and time.monotonic() < deadline:
        try:
            with urlopen(f"http://{reachable}:{port}/", timeout=10):
                return
        except (URLError, ConnectionError, TimeoutError):
            time.sleep(0.05)
    if stop.is_set():
        return
    if not server.is_alive():
        raise _server_ended(server)
    raise CommandError(f"the server did not answer within {OPEN_SECONDS} seconds")


def _server_ended(server: Process) -> CommandError:
    return CommandError(f"the server ended with status {server.exitcode}")


def _end(process: subprocess.Popen | None) -> None:
    if process is None or process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _end_server(server: Process) -> None:
    server.terminate()
    server.join(END_SECONDS)
    server.kill()
    server.join()
