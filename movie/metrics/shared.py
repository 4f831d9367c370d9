"""Workers of one server count in files that they share, so that any of them can answer for all.

    METRICS_DIR/<host>/<server>/     one folder for each start of a server
        worker-<n>.lock              held by the worker that has place n; its process id
        counter_<n>.db ...           what that worker counted (prometheus_client's multiprocess mode)
        films.u32, popularity.f32    see films.py

The files are numbered by place and not by process id: a worker that is started again takes a free place and
goes on counting where the one before it stopped. So there are never more files than workers at one time, and
no counter goes back when one of them is killed. The folder of a server that has ended is removed by the next.
"""

from __future__ import annotations

import itertools
import logging
import os
import shutil
import socket
import time
from functools import partial
from pathlib import Path

from django.conf import settings

log = logging.getLogger(__name__)

FORGOTTEN_SECONDS = 7 * 24 * 3600  # after which the folder of another machine is taken for left behind


class Place:
    """A number that no other running worker of this server has; a forked process gets one of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process, self._number, self._lock = 0, 0, -1

    def number(self) -> int:
        if self._process != os.getpid():
            self._process = os.getpid()
            self._number, self._lock = _take_place(self.folder)
        return self._number


def share_between_workers() -> None:
    """Call once in every worker of a web server, before anything is counted."""
    try:
        _share(settings.METRICS_DIR / socket.gethostname())
    except OSError as error:
        log.warning("Each worker counts for itself, METRICS_DIR cannot be used: %s", error)


def shared_folder() -> Path | None:
    """Where the workers of this server count; None in a process that counts for itself."""
    return _state.place.folder if _state.place else None


def workers(folder: Path) -> dict[int, int]:
    """Place -> process id of the workers that run now."""
    found = {}
    for lock in folder.glob("worker-*.lock"):
        text = lock.read_text(encoding="ascii")
        if text.isdecimal() and _started(int(text)):
            found[int(lock.stem.partition("-")[2])] = int(text)
    return found


class _State:
    place: Place | None = None


_state = _State()


def _share(root: Path) -> None:
    server = os.getppid() or os.getpid()
    folder = root / f"{server}-{_started(server)}"
    folder.mkdir(parents=True, exist_ok=True)
    _remove_left_behind(root)
    place = Place(folder)
    place.number()
    # It writes where this variable says when a metric is made. We never read it.
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    from prometheus_client import values

    values.ValueClass = values.MultiProcessValue(process_identifier=place.number)
    _state.place = place


def _take_place(folder: Path) -> tuple[int, int]:
    import fcntl

    for number in itertools.count():
        lock = os.open(folder / f"worker-{number}.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # given back by the kernel, however it ends
        except BlockingIOError:
            os.close(lock)
            continue
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        break
    return number, lock


def _started(process: int) -> str:
    """When this process started, exactly; empty when it does not run. The same number may be given again."""
    stat = Path(f"/proc/{process}/stat")
    try:
        return stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        pass
    if stat.parent.parent.is_dir():
        return ""
    import psutil  # where there is no /proc

    try:
        return str(int(psutil.Process(process).create_time()))
    except psutil.NoSuchProcess:
        return ""


def _remove_left_behind(root: Path) -> None:
    remove = partial(shutil.rmtree, ignore_errors=True)  # another worker may be at it too
    for folder in root.iterdir():
        server, _, started = folder.name.partition("-")
        if not server.isdecimal() or _started(int(server)) != started:
            remove(folder)
    for host in root.parent.iterdir():
        if host != root and _last_write(host) < time.time() - FORGOTTEN_SECONDS:
            remove(host)


def _last_write(folder: Path) -> float:
    try:
        return max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))
    except FileNotFoundError:
        return time.time()  # somebody is removing it
