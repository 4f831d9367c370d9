"""`manage.py shard_data` shows progress, ends in good order and goes on where it ended."""

from __future__ import annotations

import io
import os
import signal
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from datasets.readers.dataset import read_interactions
from movie.core.progress import followed_by
from movie.core.shutdown import INTERRUPTED


def run(file: Path, folder: Path) -> str:
    out = io.StringIO()
    call_command("shard_data", "--data", str(file), "--to", str(folder), stdout=out)
    return out.getvalue()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "ratings.csv"
    lines = [f"u{n % 100},{n % 7},{n % 5},{n}\n" for n in range(3_000)]
    path.write_text("user,item,rating,timestamp\n" + "".join(lines), encoding="utf-8")
    return path


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_the_next_run_goes_on(file, tmp_path, monkeypatch, number) -> None:
    monkeypatch.setattr("datasets.readers.shard_writer.ROWS_IN_SEGMENT", 1_000)
    monkeypatch.setattr("datasets.readers.source.BLOCK", 4_000)
    told: list[tuple[float, str]] = []

    def stop_in_second_segment(done: float, text: str) -> None:
        told.append((done, text))
        if int(text.split(maxsplit=1)[0].replace(",", "")) > 2_000:
            os.kill(os.getpid(), number)

    with (
        followed_by(stop_in_second_segment),
        pytest.raises(CommandError, match="after the last segment that was finished, if one was") as end,
    ):
        run(file, tmp_path / "shards")
    assert end.value.returncode == INTERRUPTED
    assert not (tmp_path / "shards").exists()
    told.clear()
    with followed_by(lambda done, text: told.append((done, text))):
        assert "3000 interactions" in run(file, tmp_path / "shards")
    assert told[0][0] > 0.3 and told[-1] == (1.0, "3,000 rows written")
    assert read_interactions(tmp_path / "shards").fingerprint() == read_interactions(file).fingerprint()


def test_a_wrong_row_is_named(tmp_path) -> None:
    (tmp_path / "rows.csv").write_text("user,item,rating\n1,2,3\n1,3,good\n", encoding="utf-8")
    with pytest.raises(CommandError, match=r"rows\.csv, line 3: a rating of 'good'"):
        run(tmp_path / "rows.csv", tmp_path / "shards")
