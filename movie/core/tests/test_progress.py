"""A progress bar shows on a terminal, and only when the work is long enough to look at."""

import sys

import pytest

from movie.core import progress
from predictors.progress import ProgressEvent


@pytest.fixture
def terminal(monkeypatch, capsys):
    monkeypatch.setattr(type(sys.stderr), "isatty", lambda stream: True)
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes any file for a terminal
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")


def work(**options):
    with progress.ProgressBar(**options) as bar:
        bar(0.25, "reading", "films")
        bar.show(ProgressEvent(0.5, "epoch [3]", {"NDCG@10": 0.123}), "sasrec")


def test_long_work_shows_a_line_for_each_task(terminal, monkeypatch, capsys):
    monkeypatch.setattr(progress, "DELAY_SECONDS", 0.0)
    work(transient=False)
    text = capsys.readouterr().err
    assert all(word in text for word in ("films", "reading", "25 %", "sasrec", "50 %"))
    assert "epoch [3]  NDCG@10 0.1230" in text


def test_short_work_shows_nothing(terminal, capsys):
    work()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("enabled", [True, False])
def test_a_log_gets_no_bar(monkeypatch, capsys, enabled):
    monkeypatch.setattr(progress, "DELAY_SECONDS", 0.0)
    if not enabled:
        monkeypatch.setenv("FORCE_COLOR", "1")
    work(enabled=enabled)
    line = "sasrec   50%  epoch [3]  NDCG@10 0.1230" if enabled else ""  # of a training, not a bar
    assert capsys.readouterr().err.strip() == line
