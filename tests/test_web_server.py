"""The web server as it is deployed: senders that dawdle stop nobody, and no orphan keeps the port."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from services.base import free_port

ROOT = Path(__file__).resolve().parent.parent
DAWDLERS, THREADS = 30, 2
SLOW = (
    b"POST /movies/1/rate/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\n\r\nvalue="
)


# The demo's server, which says when it is there and waits for a line. Forked, it has the command's settings.
DEMO = """
import multiprocessing, sys

class Ready:
    def __init__(self):
        self.event = multiprocessing.Event()

    def wait(self):
        print("it waits", flush=True)
        self.event.wait()

if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    import django

    django.setup()
    from movie.operations.management.commands import demo

    is_ready = Ready()
    child = demo._start_server("127.0.0.1", int(sys.argv[2]), 1, is_ready)
    sys.stdin.readline()
    is_ready.event.set()
    child.join()
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables of a site without films, whose tables and files are made."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHON_DOTENV_DISABLED": "1",
        "DATA_DIR": str(tmp_path_factory.mktemp("site")),
        "SECRET_KEY": "a-key-for-the-tests-that-is-long-enough-to-be-taken-for-one",
        "ALLOWED_HOSTS": "127.0.0.1,localhost",
        "SECURE": "false",
        "WEB_THREADS": str(THREADS),
        "BODY_SECONDS": "4",
    }
    manage = [sys.executable, str(ROOT / "manage.py")]
    for command in (["migrate", "--verbosity", "0"], ["collectstatic", "--noinput", "--verbosity", "0"]):
        subprocess.run([*manage, *command], env=environment, check=True, timeout=120)
    return environment


@pytest.fixture
def server(tmp_path: Path, environment: dict[str, str]) -> Iterator[tuple[subprocess.Popen, int]]:
    """The main process of a site and its port."""
    port = free_port()
    command = [sys.executable, "-m", "webapp.server", "--interface", "rsgi", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--log-level", "error", "webapp.rsgi:application"]
    with (tmp_path / "server.log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        assert eventually(lambda: is_open(port))
        yield process, port
    finally:
        process.kill()
        process.wait()
        assert eventually(lambda: not is_open(port)), "a worker outlives its server"
    assert "Traceback" not in (tmp_path / "server.log").read_text()


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def eventually(condition, seconds: float = 90.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return False


def status(port: int, path: str) -> int:
    try:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            return answer.status
    except HTTPError as error:
        return error.code


def test_many_who_send_slowly_stop_neither_pages_nor_probes(server):
    _process, port = server
    status(port, "/browse/")
    slow = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(DAWDLERS)]
    for each in slow:
        each.sendall(SLOW)
    assert status(port, "/health/live") == 200
    assert status(port, "/health/ready") == 503, "it has no model"
    assert status(port, "/browse/") == 200
    for each in slow:
        assert each.recv(100).startswith(b"HTTP/1.1 408 ")
        each.close()


def test_those_who_leave_in_the_middle_are_no_errors(server):
    """Neither of what they send nor of what they fetch; the fixture reads the server's log."""
    _process, port = server
    leaver = struct.pack("ii", 1, 0)  # of SO_LINGER: the connection is reset, as by a tab that is closed
    fetch = b"GET /static/vendor/chart.umd.min.js HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for part in [fetch] * 20 + [SLOW, SLOW.replace(b"1000", b"1000000")] * 5:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, leaver)
            connection.sendall(part)
            if part is fetch:
                connection.recv(100)
    assert status(port, "/health/live") == 200


@pytest.mark.parametrize(
    ("argument", "code", "text"),
    [
        ("--help", 0, "Usage: granian"),
        ("--no-such-option", 2, "No such option"),
        ("webapp.rsgi:application", 1, "not applied; run manage.py migrate"),
    ],
)
def test_only_right_arguments_ask_for_the_tables_of_the_database(tmp_path, environment, argument, code, text):
    done = subprocess.run(
        [sys.executable, "-m", "webapp.server", "--respawn-failed-workers", argument],
        cwd=ROOT,
        env=environment | {"DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == code
    output = done.stdout + done.stderr
    assert text in output
    assert "Spawning worker" not in output


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_worker_keeps_the_port_when_the_server_ends(server, number):
    process, port = server
    process.send_signal(number)
    process.wait(30)
    assert eventually(lambda: not is_open(port), 30)


@pytest.mark.parametrize(
    ("method", "level", "n_lines"), [("fork", None, 0), ("spawn", None, 0), ("fork", "INFO", 1)]
)
def test_the_server_of_the_demo_opens_once_it_may_and_shows_requests_only_if_asked(
    tmp_path, environment, method, level, n_lines
):
    port, log, program = free_port(), tmp_path / "server.log", tmp_path / "program.py"
    program.write_text(DEMO)
    environment = environment | {"PYTHONPATH": str(ROOT), "DJANGO_SETTINGS_MODULE": "webapp.settings"}
    if level:
        environment["LOG_LEVEL"] = level
    command = [sys.executable, str(program), method, str(port)]
    with (
        log.open("w") as out,
        subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=out, stderr=out) as process,
    ):
        try:
            assert eventually(lambda: log.read_text() == "it waits\n"), log.read_text()
            assert not is_open(port)
            process.stdin.write(b"\n")
            process.stdin.flush()
            assert eventually(lambda: is_open(port))
            assert status(port, "/browse/") == 200
        finally:
            process.kill()
    assert eventually(lambda: not is_open(port)), "the server outlives the demo"
    assert log.read_text().count("browse") == n_lines, log.read_text()
