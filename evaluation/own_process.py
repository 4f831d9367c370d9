"""Work in a process of its own, so that its CPU-seconds and its peak memory are its own."""

from __future__ import annotations

import multiprocessing
import platform
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from predictors.errors import PredictorError
from predictors.progress import Progress, ProgressEvent, silent

_SECONDS_BETWEEN_REPORTS = 0.2


class ProcessFailed(PredictorError):
    """Raised when the work failed; the message names the cause."""


def run_in_own_process(work: Callable[..., Any], *arguments: Any, progress: Progress = silent) -> Any:
    """Return `work(*arguments, report)` of a fresh process; what it reports reaches `progress`.

    The process is spawned, not forked: a forked child of a process that ran threads can hang. `work` is a
    function of a module, its arguments and its result are pickled. Raises ProcessFailed with the words of a
    PredictorError, or when the process ends without a result.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    child = context.Process(target=_child, args=(there,), name=work.__name__)
    try:
        with _undisturbed_start():
            child.start()
        there.close()
        here.send((work, arguments))
        while True:
            kind, content = here.recv()
            if kind == "progress":
                progress(content)
            elif kind == "error":
                raise ProcessFailed(content)
            else:
                child.join()
                return content
    except (EOFError, BrokenPipeError, ConnectionResetError):
        child.join()
        raise ProcessFailed(f"the process ended with exit code {child.exitcode}") from None
    finally:
        here.close()
        if child.pid is not None:
            if child.is_alive():
                child.terminate()
            child.join()


@contextmanager
def _undisturbed_start() -> Iterator[None]:
    """Hold SIGTERM for the milliseconds in which a child is made, so that none is left behind.

    The child inherits that Ctrl-C, which reaches the process group, is for the parent alone. Only the
    main thread may and need do this.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    late: list[int] = []
    before = {
        signal.SIGTERM: signal.signal(signal.SIGTERM, lambda number, frame: late.append(number)),
        signal.SIGINT: signal.signal(signal.SIGINT, signal.SIG_IGN),
    }
    try:
        yield
    finally:
        for held, handler in before.items():
            signal.signal(held, signal.SIG_DFL if handler is None else handler)
    for number in late:
        signal.raise_signal(number)


def _child(parent: Connection) -> None:
    try:
        work, arguments = parent.recv()
    except (EOFError, OSError):  # the parent was interrupted
        return
    last_report = 0.0

    def report(event: ProgressEvent) -> None:
        nonlocal last_report
        now = time.monotonic()
        if event.done >= 1 or now - last_report >= _SECONDS_BETWEEN_REPORTS:
            last_report = now
            parent.send(("progress", event))

    try:
        parent.send(("result", work(*arguments, report)))
    except PredictorError as error:
        parent.send(("error", str(error)))
    finally:
        parent.close()


def cpu_seconds() -> float:
    """Return the user and system time of this process, all its threads, and its finished children."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def peak_rss_mb() -> float:
    """Return the peak memory in megabytes (2**20 bytes). VmHWM starts anew at exec, ru_maxrss does not."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    unit = 1 << 20 if platform.system() == "Darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
