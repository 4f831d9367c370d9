"""Processes share the arrays that they made alike, and each has its own where they cannot."""

import os
import time

import numpy as np
import pytest

from movie.core import shared_arrays
from movie.core.shared_arrays import KEPT, share


@pytest.fixture
def folder(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(shared_arrays, "LEAST_BYTES", 0)
    settings.SHARED_ARRAYS_DIR = tmp_path / "arrays"
    return settings.SHARED_ARRAYS_DIR


def arrays(last: int = 3) -> dict[str, np.ndarray]:
    return {"ids": np.array([1, 2, last]), "years": np.array([1999], dtype=np.int16), "none": np.empty(0)}


def same(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> bool:
    return found.keys() == wanted.keys() and all(
        found[name].dtype == each.dtype and np.array_equal(found[name], each) for name, each in wanted.items()
    )


def test_equal_arrays_are_one_file_which_is_mapped(folder):
    first, second = share("movies", arrays()), share("movies", arrays())
    assert same(first, arrays()) and same(second, arrays())
    assert np.shares_memory(first["ids"], second["ids"])
    assert len(list(folder.iterdir())) == 1


def test_a_file_that_was_cut_off_is_written_again(folder):
    share("movies", arrays())
    (path,) = folder.iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    assert same(share("movies", arrays()), arrays())


def test_old_files_are_deleted_and_stay_where_they_are_mapped(folder):
    first = share("movies", arrays(10))
    share("windows", arrays(10))
    os.utime(next(folder.glob("movies-*")), (0, 0))
    for last in range(11, 11 + KEPT):
        share("movies", arrays(last))
        time.sleep(0.01)
    assert len(list(folder.glob("movies-*"))) == KEPT and len(list(folder.glob("windows-*"))) == 1
    assert same(first, arrays(10))
    assert same(share("movies", arrays(10)), arrays(10))


def test_without_a_folder_each_process_has_its_own(folder, caplog):
    folder.write_text("no folder")
    own = arrays()
    assert share("movies", own)["ids"] is own["ids"]
    assert "cannot be shared" in caplog.text


def test_few_bytes_are_no_file(folder, monkeypatch):
    monkeypatch.setattr(shared_arrays, "LEAST_BYTES", 10**6)
    assert same(share("movies", arrays()), arrays()) and not folder.exists()
