"""Run a program, or a function, that ends when the process that started it does, however that ends.

    python -m movie.core.child_process PROGRAM ARGUMENT ...

The standard input of a program is a pipe that the parent holds open: it ends with the parent, even one that
was killed. A function is called in a process with a thread that waits for the parent's end.
"""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import Process, parent_process
from pathlib import Path

END_SECONDS = 12  # after which a child that was asked to end is killed


def start(
    command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.Popen:
    """Start a program as a child of this process. SIGTERM, or the end of this process, ends it."""
    wrapped = [sys.executable, "-m", __name__, *command]
    return subprocess.Popen(wrapped, cwd=cwd, env=env, stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603


def start_function(function: Callable[..., None], *arguments: object) -> Process:
    """Call a function in a child of this process, which is forked where the system can.

    SIGTERM, or the end of this process, ends it; an interrupt at this process's terminal does not reach it.
    """
    child = Process(target=_call, args=(function, *arguments))
    child.start()
    # Before multiprocessing's own handler, which waits for a child that waits for this process.
    atexit.register(child.terminate)
    return child


def _call(function: Callable[..., None], *arguments: object) -> None:
    os.setsid()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    function(*arguments)


def _end_with_parent() -> None:
    if parent := parent_process():
        parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(END_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


def main(command: Sequence[str]) -> int:
    """Run the program and return its status."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 - what the parent named

    def end() -> None:
        child.terminate()
        patience = threading.Timer(END_SECONDS, child.kill)
        patience.daemon = True
        patience.start()

    def end_with_parent() -> None:
        # Not sys.stdin: its lock, held here, would abort the interpreter when the program ends first.
        os.read(0, 1)
        end()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: end())
    threading.Thread(target=end_with_parent, daemon=True).start()
    return child.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
