"""A process that has gone is known to have gone, and one that works says so."""

import subprocess
import sys
import threading

from movie.core.processes import has_ended, heartbeat, this_process


def test_a_process_of_this_machine_is_alive_until_it_ends():
    assert not has_ended(this_process())
    code = "from movie.core.processes import this_process; print(this_process()); input()"
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    name = child.stdout.readline().strip()
    assert not has_ended(name)
    child.kill()
    child.communicate()
    assert has_ended(name)


def test_a_number_that_another_process_has_now_is_not_the_process():
    host, pid, start = this_process().rsplit(" ", 2)
    assert has_ended(f"{host} {pid} {float(start) - 60:.2f}")


def test_of_another_machine_and_of_rows_without_a_process_nothing_is_known():
    assert not has_ended(f"elsewhere {this_process().split(' ', 1)[1]}")
    assert not has_ended("")


def test_a_heart_beats_until_the_block_ends():
    beats = threading.Semaphore(0)
    with heartbeat(beats.release, seconds=0.01):
        assert beats.acquire(timeout=5) and beats.acquire(timeout=5)
    assert "heartbeat" not in {thread.name for thread in threading.enumerate()}
