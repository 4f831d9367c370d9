"""The demo's second step: PyTorch comes while the site is open, or is left out, and nothing fails for it."""

from __future__ import annotations

import io
import sys
import threading
from importlib.machinery import ModuleSpec
from multiprocessing import Process
from unittest import mock

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import OperationalError
from rich.console import Console

from movie.core.locks import file_lock
from movie.operations.management.commands import demo
from predictors.errors import PackageMissing
from predictors.packages import packages_required
from services.base import free_port


@pytest.fixture
def command(monkeypatch, settings, tmp_path):
    """The command on a machine without PyTorch; `pip` is a program that ends as `outcome` says."""
    settings.DATA_DIR = tmp_path
    made = demo.Command()
    made.console = Console(file=io.StringIO(), width=2_000)
    monkeypatch.setattr(demo, "find_spec", lambda name: None)
    return made


def said(command):
    return command.console.file.getvalue()


def pip(monkeypatch, program):
    monkeypatch.setattr(demo, "PIP", (sys.executable, "-c", program))


def test_the_size_is_said_and_the_models_follow_once_it_is_there(command, monkeypatch):
    pip(monkeypatch, "")
    specs = iter([None, ModuleSpec("torch", None), ModuleSpec("onnx", None)])
    monkeypatch.setattr(demo, "find_spec", lambda name: next(specs))
    assert command._has_torch(threading.Event())
    assert "5.5 GB" in said(command) and "TORCH=0" in said(command)


def test_without_a_network_a_sentence_says_so(command, monkeypatch, tmp_path):
    pip(monkeypatch, "import sys; sys.exit('no route to host')")
    assert not command._has_torch(threading.Event())
    assert "is there a network?" in said(command) and "make demo tries again" in said(command)
    assert "no route to host" in (tmp_path / "install.log").read_text()


def test_closing_the_demo_ends_the_installation(command, monkeypatch):
    pip(monkeypatch, "import time; time.sleep(60)")
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    assert not command._has_torch(stop)
    assert "could not" not in said(command)


def test_models_that_need_pytorch_are_trained_after_the_others():
    names = ["sasrec", "for_you", "als", "ngcf"]
    assert demo._by_torch(names) == (["sasrec", "ngcf"], ["for_you", "als"])


def test_a_missing_package_is_one_line_with_its_command():
    line = r"PyTorch is not installed.*pip install -r requirements\.txt"
    with pytest.raises(PackageMissing, match=line), packages_required():
        raise ModuleNotFoundError("No module named 'torch'", name="torch")
    with pytest.raises(ModuleNotFoundError), packages_required():
        raise ModuleNotFoundError("No module named 'typo'", name="typo")


def test_a_second_demo_in_the_same_folder_says_so_and_changes_nothing(settings, tmp_path, monkeypatch):
    settings.DATA_DIR = tmp_path
    monkeypatch.setattr(demo.Command, "_run", lambda self, *_: pytest.fail("it would load and train"))
    with file_lock(tmp_path / "demo.lock"), pytest.raises(CommandError, match=str(tmp_path)):
        call_command("demo", no_serve=True)


def test_taste_groups_are_found_once_and_a_failure_stops_nothing(command, monkeypatch, tmp_path):
    monkeypatch.setattr(demo, "read_report", lambda: None)
    made = tmp_path / "made"
    program = f"import pathlib; pathlib.Path({str(made)!r}).touch()"
    monkeypatch.setattr(demo, "ANALYSE", (sys.executable, "-c", program))
    command._find_taste_groups()
    assert made.exists() and not said(command)
    monkeypatch.setattr(demo, "ANALYSE", (sys.executable, "-c", "import sys; sys.exit('too few people')"))
    command._find_taste_groups(threading.Event())
    assert "No taste groups were found" in said(command)
    assert "too few people" in (tmp_path / "taste_groups.log").read_text()
    made.unlink()
    monkeypatch.setattr(demo, "read_report", object)
    monkeypatch.setattr(demo, "ANALYSE", (sys.executable, "-c", program))
    command._find_taste_groups()
    assert not made.exists()


OPTIONS = {"no_serve": False, "workers": 1, "quick_only": True, "no_torch": True}


@pytest.mark.parametrize(
    ("is_loaded", "no_serve", "brought"),
    [(False, False, 1), (False, True, 1), (True, True, 1), (True, False, 0)],
)
def test_papers_come_before_the_site_opens_but_at_a_second_start(
    command, monkeypatch, *, is_loaded, no_serve, brought
):
    papers, served = [], []
    for name in ("call_command", "make_tables_and_files", "train_first_models", "make_administrator"):
        monkeypatch.setattr(demo, name, lambda *_, **__: None)
    monkeypatch.setattr(demo, "is_loaded", lambda: is_loaded)
    monkeypatch.setattr(demo, "bring_in_papers", lambda: papers.append(True))
    monkeypatch.setattr(demo, "read_report", object)
    monkeypatch.setattr(command, "_serve", lambda *_, papers: served.append(papers))
    monkeypatch.setattr(demo, "_start_server", mock.Mock())
    command._run("127.0.0.1", 0, OPTIONS | {"no_serve": no_serve})
    assert len(papers) == brought
    assert served == ([] if no_serve else [not brought])


def test_the_server_is_forked_first_waits_for_the_data_and_ends_with_a_failure(command, monkeypatch):
    steps, ended = [], []

    def start(host, port, workers, is_ready):
        steps.append("server")
        monkeypatch.setattr(is_ready, "set", lambda: steps.append("it may serve"))
        return server

    server = mock.Mock()

    for name in ("call_command", "make_tables_and_files", "bring_in_papers"):
        monkeypatch.setattr(demo, name, lambda *_, name=name, **__: steps.append(name))
    monkeypatch.setattr(demo, "is_loaded", lambda: False)
    monkeypatch.setattr(demo, "_start_server", start)
    monkeypatch.setattr(demo, "train_first_models", mock.Mock(side_effect=CommandError("no data")))
    monkeypatch.setattr(demo, "_end_server", ended.append)
    with pytest.raises(CommandError, match="no data"):
        command._run("127.0.0.1", 0, OPTIONS)
    assert steps == ["server", "make_tables_and_files", "call_command", "it may serve", "bring_in_papers"]
    assert ended == [server]


def ended_server(status: int) -> Process:
    server = Process(target=sys.exit, args=[status])
    server.start()
    server.join()
    return server


def test_a_server_that_ends_before_it_answers_is_not_said_to_be_slow():
    with pytest.raises(CommandError, match="ended with status 3"):
        demo._wait_until_open("127.0.0.1", free_port(), ended_server(3), threading.Event())


def test_a_server_that_ends_while_the_data_is_loaded_is_told_of_before_more_is_done(command, monkeypatch):
    for name in ("make_tables_and_files", "bring_in_papers", "train_first_models"):
        monkeypatch.setattr(demo, name, lambda *_, name=name: pytest.fail(name))
    monkeypatch.setattr(command, "_load", lambda: False)
    monkeypatch.setattr(demo, "_start_server", lambda *_: ended_server(3))
    with pytest.raises(CommandError, match="ended with status 3"):
        command._run("127.0.0.1", 0, OPTIONS)


def test_papers_that_cannot_be_stored_are_a_line_and_stop_nothing(command, monkeypatch):
    def fail():
        raise OperationalError("database is locked")

    monkeypatch.setattr(demo, "bring_in_papers", fail)
    command._bring_in_papers()
    assert "papers were not brought up to date: database is locked" in said(command)
