"""Memory of a site's web workers with every trained model loaded.

    python -m benchmarks.memory [--workers 2] [--history 20]

Serves this site (its database and models, as the environment says) with granian, asks the compare page, which
every active model answers, until each worker has loaded them all, and reads what the system says. Per worker:

    RSS      everything it maps, with what it shares with others
    PSS      what it shares counted in equal parts
    private  what would be freed if it ended

The tables of the models are mapped from their files: they count once, however many workers read them. The
baseline is a process that has done nothing but import torch. Linux only.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlencode

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")

FIELDS = ("Rss", "Pss", "Private_Clean", "Private_Dirty")
REQUESTS = 12  # per worker: the system chooses who answers
_SECONDS_TO_START = 60


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--history", type=int, default=20, help="films in the history that is asked about")
    options = parser.parse_args()
    if not Path("/proc/self/smaps_rollup").exists():
        sys.exit("this benchmark reads /proc, which only Linux has")
    films, models = _site(options.history)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", str(options.workers), "--blocking-threads", "1"]
    command += ["--log-level", "warning", "webapp.wsgi:application"]
    server = subprocess.Popen(command, cwd=Path(__file__).resolve().parents[1])
    try:
        _ask_until_loaded(server.pid, port, films, set(models), options.workers)
        memory = {pid: _memory(pid) for pid in _workers(server.pid)}
    finally:
        server.terminate()
        server.wait()
    print(f"{len(models)} models loaded: {', '.join(models)}")
    print(f"{'':14}{'RSS':>8}{'PSS':>8}{'private':>9}  MB (2**20 bytes)")
    for number, kept in enumerate(memory.values(), start=1):
        private = kept["Private_Clean"] + kept["Private_Dirty"]
        print(f"{f'worker {number}':14}{kept['Rss']:8.0f}{kept['Pss']:8.0f}{private:9.0f}")
    alone = subprocess.run(
        [sys.executable, "-c", f"import torch, sys; {_PRINT_RSS}"], check=True, capture_output=True, text=True
    )
    torch_mb = float(alone.stdout)
    largest = max(kept["Rss"] for kept in memory.values())
    print(
        f"{'import torch':14}{torch_mb:8.0f}  a worker with all models is {largest / torch_mb:.2f} times that"
    )


_PRINT_RSS = "print(int(open('/proc/self/smaps_rollup').read().partition('Rss:')[2].split()[0]) / 1024)"


def _site(length: int) -> tuple[list[int], list[str]]:
    """The most rated films of the site, and its active models."""
    import django

    django.setup()
    from movie.catalogue.models import Movie
    from movie.training.registry import registry

    store = registry().store
    active = [name for name in store.names() if store.current(name)]
    if not active:
        sys.exit("no model is active here; run `make demo` or `manage.py train` first")
    return list(Movie.objects.visible().most_rated().values_list("pk", flat=True)[:length]), active


def _ask_until_loaded(server: int, port: int, films: list[int], models: set[str], workers: int) -> None:
    query = urlencode({"history": " ".join(f"{pk}:4" for pk in films)})
    deadline = time.monotonic() + _SECONDS_TO_START
    for _ in range(REQUESTS * workers):
        while True:
            try:
                # A new connection each time, so that every worker gets its turn.
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/compare/?{query}") as page:
                    page.read()
                break
            except urllib.error.URLError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
        if all(_mapped_models(pid) >= models for pid in _workers(server)):
            return
    reached = {pid: sorted(models - _mapped_models(pid)) for pid in _workers(server)}
    sys.exit(f"not every worker has loaded every model; missing, by process: {reached}")


def _workers(server: int) -> list[int]:
    children = Path(f"/proc/{server}/task/{server}/children").read_text(encoding="ascii").split()
    return [int(pid) for pid in children if b"multiprocessing.resource_tracker" not in _command(pid)]


def _command(pid: str) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def _mapped_models(pid: int) -> set[str]:
    """The kinds whose weights this process has mapped: .../<kind>/<version>/weights.safetensors"""
    maps = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace")
    return {line.split("/")[-3] for line in maps.splitlines() if line.endswith("/weights.safetensors")}


def _memory(pid: int) -> dict[str, float]:
    """Megabytes by field."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    kept = {line.partition(":")[0]: line for line in lines}
    return {name: int(kept[name].split()[1]) / 1024 for name in FIELDS}


if __name__ == "__main__":
    main()
