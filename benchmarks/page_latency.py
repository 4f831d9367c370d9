"""What pages cost with SQLite alone and with every service, in one run: CPU-ms, p50, p95, memory of a worker.

    python -m benchmarks.page_latency [--requests 200]

Makes two sites with MovieLens 100K and the quick models (about 25 CPU-s each): one on SQLite with nothing
else, one on private servers (`services/`): MariaDB, Redis, and clicks that go by the outbox and a relay to
DynamoDB and Kafka. Each is served by granian with one worker. One guest with 20 ratings and 20 clicks asks
both for the same pages, in turn, a few at a time, so that whatever else this machine does is shared fairly.
CPU is that of the worker, without servers and relay. The baseline is the site on SQLite alone. --quick makes
sites with the first models alone, and gives up after three minutes of an idle machine.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks._command import QUICK_SECONDS, argument_parser, end_within, parse_options, print_ratio, run
from benchmarks._serving import ROOT, Guest, Served, make_site, manage, private_services, site_environment
from movie.core import child_process

AT_ONCE = 10  # requests before the other site has its turn
EMBEDDED, REAL = "SQLite alone", "every service"
FILM = re.compile(r'data-movie="(\d+)"')


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--requests", type=int, default=200, help="of each page")
    options = parse_options(parser, requests=20)
    if options.quick:
        end_within(QUICK_SECONDS)
    with (
        tempfile.TemporaryDirectory(prefix="reelgraph-pages-") as folder,
        private_services(Path(folder), "mariadb", "kafka", "dynamodb", "redis") as servers,
    ):
        variables = {name: value for each in servers.values() for name, value in each.items()}
        _measure(Path(folder), variables, options)


def _measure(root: Path, variables: dict[str, str], options: argparse.Namespace) -> None:
    environments = {
        EMBEDDED: site_environment(root / "embedded", {}),
        REAL: site_environment(root / "real", variables),
    }
    manage(environments[REAL], "migrate", "--verbosity", "0")
    manage(environments[REAL], "create_event_table")
    manage(environments[REAL], "create_event_topic")
    for environment in environments.values():
        make_site(environment, is_quick=options.quick)
    relay = child_process.start(
        [sys.executable, str(ROOT / "manage.py"), "relay_events"], cwd=ROOT, env=environments[REAL]
    )
    try:
        with Served(environments[EMBEDDED]) as embedded, Served(environments[REAL]) as real:
            sites = {EMBEDDED: embedded, REAL: real}
            guests = {name: _with_history(site) for name, site in sites.items()}
            time.sleep(3)  # the clicks arrive in DynamoDB
            for name, (guest, film) in guests.items():
                for path in ("/", "/recommend/", f"/movies/{film}/"):
                    for _ in range(8):  # every thread has its connections and models
                        guest.get(path)
                print(f"{name}: {len(guest.get('/')):,} bytes of home page")
            _compare(sites, guests, options.requests)
    finally:
        relay.terminate()
        relay.wait()


def _with_history(site: Served) -> tuple[Guest, int]:
    """A guest with a history, and a film they have not seen."""
    guest = Guest(site)
    films = list(dict.fromkeys(FILM.findall(guest.get("/") + guest.get("/browse/"))))
    for number, film in enumerate(films[:20]):
        guest.post(f"/movies/{film}/rate/", value=str(3 + number % 5 / 2))
        guest.post(f"/movies/{films[(number + 7) % len(films)]}/click/")
    return guest, int(FILM.findall(guest.get("/recommend/"))[0])


def _compare(sites: dict[str, Served], guests: dict[str, tuple[Guest, int]], requests: int) -> None:
    pages: dict[str, Callable[[Guest, int], object]] = {
        "home": lambda guest, _film: guest.get("/"),
        "film": lambda guest, film: guest.get(f"/movies/{film}/"),
        "recommend": lambda guest, _film: guest.get("/recommend/"),
        "a click, then home": lambda guest, film: (guest.post(f"/movies/{film}/click/"), guest.get("/")),
        "a click": lambda guest, film: guest.post(f"/movies/{film}/click/"),
    }
    print(f"{'':20}{EMBEDDED:^30}{REAL:^30}{'CPU':>8}")
    print(f"{'':20}{'CPU-ms   p50 ms   p95 ms':>26}    {'CPU-ms   p50 ms   p95 ms':>26}{'ratio':>10}")
    ratios = {}
    for page, ask in pages.items():
        cpu, wall = dict.fromkeys(sites, 0.0), {name: [] for name in sites}  # type: dict, dict
        for _ in range(0, requests, AT_ONCE):
            for name, site in sites.items():
                before = site.thread_seconds()
                for _ in range(AT_ONCE):
                    started = time.perf_counter()
                    ask(*guests[name])
                    wall[name].append(1000 * (time.perf_counter() - started))
                cpu[name] += site.thread_seconds() - before
        figures = []
        for name in sites:
            quantiles = statistics.quantiles(wall[name], n=20)
            figures.append(
                f"{1000 * cpu[name] / len(wall[name]):>8.2f}{quantiles[9]:>9.1f}{quantiles[18]:>9.1f}    "
            )
        ratios[page] = cpu[REAL] / cpu[EMBEDDED]
        print(f"{page:20}{''.join(figures)}{ratios[page]:>10.2f}")
    for page, ratio in ratios.items():
        print_ratio(f"page_latency: {page}, every service", ratio, EMBEDDED)
    memory = {name: site.memory_mb() for name, site in sites.items()}
    for number, what in enumerate(("resident", "of its own")):
        both = [memory[name][number] for name in sites]
        print(f"{f'MB, {what}':20}{both[0]:>8.0f}{both[1]:>30.0f}{both[1] / both[0]:>32.2f}")


if __name__ == "__main__":
    run(main)
