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
from movie.core.shared_arrays import UNUSED_SECONDS, share


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


def test_of_the_files_that_nobody_has_mapped_only_those_that_were_used_just_now_are_kept(folder):
    share("movies", arrays(10))
    (folder / f".windows-{'0' * 64}.unfinished").write_bytes(b"of a process that was killed")
    last_use(folder, UNUSED_SECONDS + 1)
    share("movies", arrays(11))
    share("movies", arrays(12))
    assert len(list(folder.iterdir())) == 2


def test_files_that_are_mapped_are_kept_however_many_and_large_they_are(folder):
    """As of several models that know other films, each of which is read once."""
    sizes = range(3_000_000, 3_000_003)
    models = [share("content", {"data": np.arange(size)}) for size in sizes]
    inodes = {path.stat().st_ino for path in folder.iterdir()}
    last_use(folder, 10 * UNUSED_SECONDS)
    later = share("content", {"data": np.arange(5)})
    for size in sizes:
        share("content", {"data": np.arange(size)})
    assert inodes < {path.stat().st_ino for path in folder.iterdir()}
    del models, later
    last_use(folder, UNUSED_SECONDS + 1)
    share("content", arrays())
    assert len(list(folder.iterdir())) == 1


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


def test_what_another_process_has_mapped_is_kept_until_it_ends(folder):
    command = [sys.executable, "-c", SHARING, str(folder)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as other:
        other.stdin.write(b"begin\n")
        other.stdin.flush()
        assert (other.stdout.readline(), other.stdout.readline()) == (b"ready\n", b"shared\n")
        (mapped,) = folder.iterdir()
        for last, is_kept in ((10, True), (11, False)):
            last_use(folder, UNUSED_SECONDS + 1)
            share("movies", arrays(last))
            assert mapped.exists() == is_kept
            other.kill()
            other.wait()


def test_without_a_folder_each_process_has_its_own(folder, caplog):
    folder.write_text("no folder")
    own = arrays()
    assert share("movies", own)["ids"] is own["ids"]
    assert "cannot be shared" in caplog.text


def test_few_bytes_are_no_file(folder, monkeypatch):
    monkeypatch.setattr(shared_arrays, "MIN_SHARED_BYTES", 10**6)
    assert same(share("movies", arrays()), arrays()) and not folder.exists()
