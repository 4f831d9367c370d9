"""Tests of push_models and pull_models: what an operator types, and the loop that runs beside a site."""

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from io import StringIO

import numpy as np
import pytest
from django.conf import settings as site_settings
from django.core.management import CommandError, call_command

from movie.core.locks import file_lock
from movie.training.management.commands.pull_models import Command as PullModels
from movie.training.replication import NO_MODELS
from predictors.id_map import IdMap
from predictors.models.popular import PopularPredictor
from predictors.serving.artifact import WEIGHTS
from predictors.serving.registry import ModelStore
from predictors.serving.remote import open_remote
from predictors.testing import overwrite


@pytest.fixture
def machine(tmp_path, settings):
    """Switch the settings to the model folder of a machine, and return its store."""

    def switch(name: str) -> ModelStore:
        settings.MODEL_DIR = tmp_path / name
        return ModelStore(settings.MODEL_DIR)

    settings.MODEL_STORE_URL = f"file://{tmp_path / 'remote'}"
    return switch


def run(command: str, **options: object) -> str:
    out = StringIO()
    call_command(command, stdout=out, quiet=True, **options)
    return out.getvalue()


def publish(store: ModelStore) -> str:
    return store.publish(PopularPredictor(np.ones(3, np.float32), IdMap([1, 2, 3])), activate=True)


def test_what_one_machine_pushes_another_pulls(machine):
    version = publish(machine("writer"))
    assert run("push_models") == f"popular {version} is active.\n"
    reader = machine("reader")
    assert run("pull_models") == f"popular {version} is active.\n"
    assert reader.current("popular") == version
    assert run("pull_models") == ""


def test_a_loop_compares_every_file_until_all_were_sound_once(machine):
    version = publish(machine("writer"))
    run("push_models")
    reader = machine("reader")
    run("pull_models")
    weights = reader.path("popular", version) / WEIGHTS
    command = PullModels()
    remote = open_remote(site_settings.MODEL_STORE_URL)
    for repaired in ([("popular", version)], []):
        overwrite(weights, b"x")
        assert command.replicate(reader, remote).activated == repaired


def test_mistakes_are_one_line(machine, settings, tmp_path):
    machine("reader")
    with pytest.raises(CommandError, match=r"^/.*/remote/active\.json does not exist$") as nothing_yet:
        run("pull_models")
    assert nothing_yet.value.returncode == NO_MODELS
    lock = settings.MODEL_DIR / ".pull.lock"
    with (
        file_lock(lock),
        pytest.raises(CommandError, match=f"Another pull is at work here: process {os.getpid()}"),
    ):
        run("pull_models")
    for option, complaint in (("every", "above 0"), ("keep", "1 or more")):
        with pytest.raises(CommandError, match=complaint):
            run("pull_models", **{option: 0})
    (tmp_path / "file").touch()
    machine("file/reader")
    with pytest.raises(CommandError, match=r"^/.*/file/reader: Not a directory$"):
        run("pull_models")
    settings.MODEL_STORE_URL = ""
    with pytest.raises(CommandError, match="MODEL_STORE_URL is not set"):
        run("push_models")


def test_a_loop_says_a_failure_once_activates_what_comes_and_ends_on_sigterm(machine, tmp_path):
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHON_DOTENV_DISABLED": "1",
        "SECRET_KEY": "x" * 50,
        "ALLOWED_HOSTS": "localhost",
        "LOG_FORMAT": "readable",
        "DATA_DIR": str(tmp_path / "data"),
        "MODEL_DIR": str(tmp_path / "reader"),
        "MODEL_STORE_URL": f"file://{tmp_path / 'remote'}",
    }
    command = [sys.executable, "manage.py", "pull_models", "--every", "0.05"]
    held = ExitStack()
    held.enter_context(file_lock(tmp_path / "reader" / ".pull.lock"))
    pulling = subprocess.Popen(
        command, cwd=site_settings.BASE_DIR, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        lines = iter(pulling.stderr.readline, b"")
        assert any(f"Another pull is at work here: process {os.getpid()}.".encode() in line for line in lines)
        held.close()
        assert any(b"does not exist" in line for line in lines)
        time.sleep(0.5)  # tries that fail
        reader, version = machine("reader"), publish(machine("writer"))
        run("push_models")
        wait_for(lambda: reader.current("popular") == version)
        pulling.send_signal(signal.SIGTERM)
        out, err = pulling.communicate(timeout=60)
    finally:
        held.close()
        pulling.kill()
    assert pulling.returncode == 0
    assert out.decode() == f"popular {version} is active.\n"
    assert b"does not exist" not in err and b"The models can be copied again." in err


def wait_for(condition, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
