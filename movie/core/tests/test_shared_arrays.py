"""Processes share the arrays that they made alike, and each has its own where they cannot."""

import os
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from movie.core import shared_arrays
from movie.core.shared_arrays import MAX_UNUSED_SECONDS, MIN_UNUSED_SECONDS, share


@pytest.fixture
def folder(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(shared_arrays, "MIN_SHARED_BYTES", 0)
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
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert same(share("movies", arrays()), arrays())
    assert path.read_bytes() == whole


def test_a_file_is_compared_without_a_copy_of_it_in_memory(folder):
    large = {"ids": np.arange(500_000)}
    share("movies", large)
    tracemalloc.start()
    try:
        share("movies", large)
        assert tracemalloc.get_traced_memory()[1] < 1.5 * large["ids"].nbytes
    finally:
        tracemalloc.stop()


def last_use(folder: Path, seconds_ago: float) -> None:
    for path in folder.iterdir():
        os.utime(path, (time.time() - seconds_ago,) * 2)


def test_a_file_that_nobody_used_for_long_is_deleted_and_stays_where_it_is_mapped(folder):
    first = share("movies", arrays(10))
    share("windows", arrays(10))
    (folder / f".movies-{'0' * 64}.unfinished").write_bytes(b"of a process that was killed")
    last_use(folder, MAX_UNUSED_SECONDS + 1)
    share("movies", arrays(11))
    assert len(list(folder.glob("*movies-*"))) == 1 and len(list(folder.glob("windows-*"))) == 1
    assert same(first, arrays(10))
    assert same(share("movies", arrays(10)), arrays(10))


def test_files_in_use_are_kept_however_many_there_are(folder, monkeypatch):
    written = []
    write = shared_arrays._write
    monkeypatch.setattr(shared_arrays, "_write", lambda *args: (written.append(1), write(*args)))
    for _worker in range(2):
        for last in range(10, 30):
            share("alignments", arrays(last))
    assert len(written) == 20


def test_of_many_bytes_only_what_was_used_just_now_is_kept(folder, monkeypatch):
    monkeypatch.setattr(shared_arrays, "MAX_UNUSED_BYTES", 1)
    share("movies", arrays(10))
    last_use(folder, MIN_UNUSED_SECONDS + 1)
    share("movies", arrays(11))
    share("movies", arrays(12))
    assert len(list(folder.iterdir())) == 2


def test_a_file_of_another_user_is_shared(folder, monkeypatch, caplog):
    first = share("movies", arrays())

    def refuse(*_args, **_options):
        raise PermissionError

    monkeypatch.setattr(os, "utime", refuse)
    assert np.shares_memory(share("movies", arrays())["ids"], first["ids"])
    assert not caplog.text


def test_a_file_that_is_deleted_meanwhile_leaves_no_empty_one(folder, monkeypatch):
    share("movies", arrays())

    def delete_and_use(path, *_args, **_options):
        path.unlink()
        raise FileNotFoundError

    monkeypatch.setattr(os, "utime", delete_and_use)
    assert same(share("movies", arrays()), arrays())
    assert not list(folder.iterdir())


def test_a_file_that_another_process_wrote_meanwhile_stays(folder):
    share("movies", arrays())
    (path,) = folder.iterdir()
    inode = path.stat().st_ino
    shared_arrays._write(path, path.read_bytes())
    assert path.stat().st_ino == inode and len(list(folder.iterdir())) == 1


SHARING = """
import sys
from pathlib import Path
import numpy as np
from django.conf import settings
settings.configure(SHARED_ARRAYS_DIR=Path(sys.argv[1]))
from movie.core.shared_arrays import share
print("ready", flush=True)
sys.stdin.readline()
shared = share("movies", {"ids": np.arange(100_000)})
print("shared", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="this system does not say what is mapped")
def test_two_processes_that_begin_at_once_map_the_same_file(tmp_path):
    command = [sys.executable, "-c", SHARING, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as first, subprocess.Popen(command, **pipes) as second:
        assert first.stdout.readline() == second.stdout.readline() == b"ready\n"
        for process in (first, second):
            process.stdin.write(b"begin\n")
            process.stdin.flush()
        assert first.stdout.readline() == second.stdout.readline() == b"shared\n"
        assert mapped_inodes(first.pid) == mapped_inodes(second.pid) != set()


def mapped_inodes(pid: int) -> set[str]:
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return {line.split()[4] for line in lines if "/movies-" in line}


def test_without_a_folder_each_process_has_its_own(folder, caplog):
    folder.write_text("no folder")
    own = arrays()
    assert share("movies", own)["ids"] is own["ids"]
    assert "cannot be shared" in caplog.text


def test_few_bytes_are_no_file(folder, monkeypatch):
    monkeypatch.setattr(shared_arrays, "MIN_SHARED_BYTES", 10**6)
    assert same(share("movies", arrays()), arrays()) and not folder.exists()
