"""A child ends with its parent, even with one that was killed, and keeps no port."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from movie.core.locks import AlreadyLocked, file_lock
from services.base import free_port

PARENT = """
import http.server, signal, sys
from movie.core import child_process

# Tests may run where a shell has these ignored, such as behind `nohup` or `&`.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)

def serve(port):
    http.server.HTTPServer(("127.0.0.1", port), http.server.SimpleHTTPRequestHandler).serve_forever()

kind, port = sys.argv[1:]
if kind == "program":
    child_process.start([sys.executable, "-m", "http.server", "--bind", "127.0.0.1", port])
else:
    child_process.start_function(serve, int(port))
sys.stdin.readline()
"""
HOLDER = """
import os, pathlib, signal, sys, time
from movie.core import child_process, locks

def stay():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print(os.getpid(), flush=True)
    time.sleep(60)

with locks.file_lock(pathlib.Path(sys.argv[1])):
    child_process.start_function(stay)
    time.sleep(60)
"""


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def eventually(condition, seconds: float = 30.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("kind", ["program", "function"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP, signal.SIGTERM, signal.SIGINT, None])
def test_no_orphan_keeps_the_port(number, kind):
    """However the parent ends; it ends normally without a signal."""
    port = free_port()
    with subprocess.Popen([sys.executable, "-c", PARENT, kind, str(port)], stdin=subprocess.PIPE) as parent:
        try:
            assert eventually(lambda: is_open(port))
            if number is None:
                parent.stdin.close()
            else:
                parent.send_signal(number)
            parent.wait(30)
        finally:
            parent.kill()
    assert eventually(lambda: not is_open(port))


def test_a_lock_is_held_by_one_process_and_says_which(tmp_path: Path):
    path = tmp_path / "new" / "demo.lock"
    with file_lock(path), pytest.raises(AlreadyLocked, match=str(os.getpid())), file_lock(path):
        pass
    with file_lock(path):
        pass


def test_a_child_does_not_keep_the_lock_of_a_parent_that_was_killed(tmp_path: Path):
    path = tmp_path / "demo.lock"
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        try:
            with pytest.raises(AlreadyLocked, match=str(parent.pid)), file_lock(path):
                pass
            parent.kill()
            parent.wait()
            with file_lock(path):
                os.kill(child, 0)  # it lives
        finally:
            parent.kill()
            os.kill(child, signal.SIGKILL)
