"""docs/own-site.md, done: its eight commands on files of one's own, from an empty folder to a served list."""

import json
import os
import random
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest
from django.conf import settings

from movie.core import child_process
from services.base import free_port

PAGE = (settings.BASE_DIR / "docs/own-site.md").read_text(encoding="utf-8")
COMMANDS = re.search(r"```sh\n(.*?)```", PAGE, re.DOTALL)[1].splitlines()
FILES = re.findall(r"```csv\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def site(tmp_path):
    """A folder with the files of the page, and more rows; returns how a command of the page is run there."""
    chance = random.Random(1)
    films = [f"sku-{number}" for number in range(3, 63)]
    rows = [f"{sku},Film {sku},{1950 + number},Drama,Carol Reed" for number, sku in enumerate(films)]
    (tmp_path / "films.csv").write_text(FILES[0] + "\n".join(rows) + "\n", encoding="utf-8")
    rows = [
        f"u{user}@example.org,{sku},{chance.choice([3, 4, 4.5, 5])},{1_700_000_000 + user}"
        for user in range(60)
        for sku in chance.sample(films, 12)
    ]
    (tmp_path / "ratings.csv").write_text(FILES[1] + "\n".join(rows) + "\n", encoding="utf-8")
    environment = os.environ | {
        "DATA_DIR": str(tmp_path / "var"),
        "SECRET_KEY": "a secret of this test",
        "ALLOWED_HOSTS": "127.0.0.1",
        "SECURE": "false",
        "DJANGO_SETTINGS_MODULE": "webapp.settings",
        "OMP_NUM_THREADS": "1",
    }

    def run(command: str) -> str:
        words = [
            str(settings.BASE_DIR / word) if word == "manage.py" else word for word in shlex.split(command)
        ]
        done = subprocess.run(
            [sys.executable, *words[1:]],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run.environment = environment
    return run


def test_eight_commands_lead_from_an_empty_folder_to_a_served_list(site):
    assert len(COMMANDS) == 8 and COMMANDS[0] == "make install"
    assert "password" in site(COMMANDS[1])
    key = re.search(r"rg_\S+", site(COMMANDS[2]))[0]
    assert "62 added" in site(COMMANDS[3])
    assert "721" in site(COMMANDS[4])
    site(COMMANDS[5])
    assert "password" not in site(COMMANDS[1]), "a second setup makes only what is missing"
    port = free_port()
    served = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "--old-file=install", "serve", f"PORT={port}"],
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.replace("\\\n", " ")
    words = shlex.split(served.partition("-m webapp.server")[2])
    server = child_process.start(
        [sys.executable, "-m", "webapp.server", *words], cwd=settings.BASE_DIR, env=site.environment
    )
    try:
        asked = COMMANDS[7].replace("$KEY", key).replace(":8000/", f":{port}/")
        answer = _ask(asked, server, seconds=60)
    finally:
        server.terminate()
        server.wait(30)
    ids = [each["external_id"] for each in answer["recommendations"]]
    assert len(ids) == 10 and all(each.startswith("sku-") for each in ids)
    assert "sku-1" not in ids, "it was rated"


def _ask(command: str, server: subprocess.Popen, seconds: float) -> dict:
    """Send the request of a curl command, as soon as somebody listens."""
    words, deadline = shlex.split(command), time.monotonic() + seconds
    headers = dict(words[at + 1].split(": ", 1) for at, word in enumerate(words) if word == "-H")
    request = Request(words[1], words[words.index("-d") + 1].encode(), headers)  # noqa: S310
    while True:
        assert server.poll() is None, "the server ended; see its output"
        try:
            with urlopen(request, timeout=30) as response:  # noqa: S310
                return json.load(response)
        except URLError as error:
            if not isinstance(error.reason, ConnectionRefusedError) or time.monotonic() > deadline:
                raise
        time.sleep(0.1)


def test_make_goes_on_after_an_environment_that_was_not_finished(tmp_path):
    """At first this stand-in for Python could install nothing. Its programs do nothing."""
    (tmp_path / "Makefile").write_text((settings.BASE_DIR / "Makefile").read_text())
    python = tmp_path / "python"
    python.write_text(
        "#!/bin/sh\n"
        'case "$*" in\n'
        "-c*) ;;\n"
        "*--without-pip*) mkdir -p .venv/bin && ln -sf /bin/true .venv/bin/python ;;\n"
        "-m\\ venv*) [ -e online ] && ln -s /bin/true .venv/bin/pip ;;\n"
        "*) exit 1 ;;\n"
        "esac\n"
    )
    python.chmod(0o755)

    def make() -> int:
        command = ["make", "wheels", f"PYTHON={python}"]
        return subprocess.run(command, cwd=tmp_path, env={"PATH": "/usr/bin:/bin"}, check=False).returncode

    assert make() != 0
    (tmp_path / "online").touch()
    assert make() == 0


def test_clean_leaves_the_data_and_reset_asks_first(tmp_path):
    (tmp_path / "Makefile").write_text((settings.BASE_DIR / "Makefile").read_text())
    (tmp_path / "var").mkdir()

    def make(target: str, answer: str = "") -> int:
        return subprocess.run(["make", target], cwd=tmp_path, input=answer, text=True, check=False).returncode

    assert make("clean") == 0 and Path(tmp_path / "var").exists()
    assert make("reset", "y\n") != 0 and Path(tmp_path / "var").exists()
    assert make("reset", "delete\n") == 0 and not Path(tmp_path / "var").exists()
