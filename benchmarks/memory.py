"""Memory of a site's web workers with every trained model loaded.

    python -m benchmarks.memory [--workers 2] [--history 20] [--data-dir FOLDER]

Serves the site in FOLDER, or one with MovieLens 100K and the quick models, with granian as deployments do,
asks the compare page, which every active model answers, until each worker has loaded them all, and reads what
the system says. Per worker:

    RSS      everything it maps, with what it shares with others
    PSS      what it shares counted in equal parts
    private  what would be freed if it ended

Each worker has as many threads as deployments give it, and all of them work. The tables of the models are
mapped from their files: they count once, however many workers read them. The baseline is a process that has
done nothing but import torch. MALLOC_ARENA_MAX is 2, as in deploy/, unless the environment says otherwise.
Ends with status 1 where a goal is missed. --quick gives up after three minutes of an idle machine. Linux
only.
"""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode

from benchmarks._command import (
    QUICK_SECONDS,
    CouldNotMeasure,
    argument_parser,
    end_within,
    parse_options,
    print_ratio,
    run,
)
from benchmarks._serving import Served, demo_site

THREADS = 16  # of a worker: WEB_THREADS of the deployments
MOST_OWN_MB = 100
ROUNDS = 12  # per worker: the system chooses who answers
MB = 2**20


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--data-dir", type=Path, help="of the site; made there if it is empty")
    parser.add_argument("--history", type=int, default=20, help="films in the history that is asked about")
    options = parse_options(parser)
    if options.quick:
        end_within(QUICK_SECONDS)
    if not Path("/proc/self/smaps_rollup").exists():
        raise CouldNotMeasure("this benchmark reads /proc, which only Linux has")
    with demo_site(options.data_dir) as environment:
        os.environ.update(environment)
        films, models = _site(options.history)
        with Served(environment, workers=options.workers, threads=THREADS) as site:
            _ask_until_loaded(site, films, set(models), options.workers)
            memory = [worker.memory_full_info() for worker in site.workers()]
    print(f"{len(models)} models loaded: {', '.join(models)}")
    print(f"{'':14}{'RSS':>8}{'PSS':>8}{'private':>9}  MB (2**20 bytes)")
    for number, kept in enumerate(memory, start=1):
        print(f"{f'worker {number}':14}{kept.rss / MB:8.0f}{kept.pss / MB:8.0f}{kept.uss / MB:9.0f}")
    alone = subprocess.run(
        [sys.executable, "-c", f"import torch, sys; {_PRINT_RSS}"], check=True, capture_output=True, text=True
    )
    torch_mb = float(alone.stdout)
    print(f"{'import torch':14}{torch_mb:8.0f}")
    largest, own = max(kept.rss for kept in memory) / MB, max(kept.uss for kept in memory) / MB
    goals = (
        ("memory: RSS of a worker with all models", largest / torch_mb, "import torch", "at most 2"),
        ("memory: own pages of a worker", own / MOST_OWN_MB, f"{MOST_OWN_MB} MB", "at most 1"),
    )
    for goal in goals:
        print_ratio(*goal)


_PRINT_RSS = "print(int(open('/proc/self/smaps_rollup').read().partition('Rss:')[2].split()[0]) / 1024)"


def _site(length: int) -> tuple[list[int], list[str]]:
    """Return the most rated films of the site, and its active models."""
    import django

    django.setup()
    from movie.catalogue.models import Movie
    from movie.training.registry import registry

    store = registry().store
    active = [name for name in store.names() if store.current(name)]
    if not active:
        raise CouldNotMeasure("no model is active here; run `make demo` or `manage.py train` first")
    return list(Movie.objects.visible().most_rated().values_list("pk", flat=True)[:length]), active


def _ask_until_loaded(site: Served, films: list[int], models: set[str], workers: int) -> None:
    """Ask from all threads at once, until every worker has mapped the weights of every model."""
    query = urlencode({"history": " ".join(f"{pk}:4" for pk in films)})

    def ask(_number: int) -> None:
        # A new connection each time, so that every worker gets its turn.
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{site.address[1]}/compare/?{query}") as page:
                page.read()
        except HTTPError as error:
            if error.code != HTTPStatus.TOO_MANY_REQUESTS:  # others are asking the slow models
                raise CouldNotMeasure(f"the compare page: {error}") from error

    for _ in range(ROUNDS * workers):
        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(ask, range(THREADS)))
    missing = {worker.pid: sorted(models - _mapped_models(worker.pid)) for worker in site.workers()}
    if any(missing.values()):
        raise CouldNotMeasure(f"not every worker has loaded every model; missing, by process: {missing}")


def _mapped_models(pid: int) -> set[str]:
    """Return the kinds whose weights a process has mapped: .../<kind>/<version>/weights.safetensors"""
    maps = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace")
    return {line.split("/")[-3] for line in maps.splitlines() if line.endswith("/weights.safetensors")}


if __name__ == "__main__":
    run(main)
