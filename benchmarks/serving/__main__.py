"""Recommendations served by us and by a plain FastAPI service with the same SASRec, side by side.

    python -m benchmarks.serving [--items 60000] [--length 20] [--connections 1,16,64] [--workers 1,2]
        [--seconds 4] [--rounds 4] [--rates 1000] [--rate-seconds 60]
        [--keep FOLDER] [--only api|rates|batch|pages] [--json FILE]

Needs `pip install -r requirements-bench.txt`, and wrk (apt-get install wrk) or else loads by Python.

All servers run at once on this machine, on which the loader runs too, and take turns: one load of some
seconds each, in `--rounds` rounds, so that whatever else the machine does falls on all of them. Both
serve the same random weights in real shapes (d 64, 2 blocks, 2 heads, length 200), which change what is
recommended, not how long it takes. Ours is granian as docs/deployment.md starts it, with its log of
requests; theirs is uvicorn[standard] without one, with torch on one thread. 256 histories follow each other,
each of other films.

    CPU-ms      user and system time of the server's processes, by requests answered
    RSS, PSS    memory of its processes together, and with shared pages counted in parts
    ratio       how many times ours theirs is (CPU-ms), or theirs ours is (requests/s)

Then one body over and over, which shows what is answered from memory; so many requests a second as --rates
says, each sent at its own moment (waits count from that moment); `POST /recommend/batch` with a thousand
histories; and the pages of MovieLens 100K's demo for 100 guests with 20 ratings each, four connections. The
baseline is ours. --quick has the API alone, one worker, one and sixteen connections and two short rounds.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import resource
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from benchmarks._command import CouldNotMeasure, argument_parser, parse_options, print_ratio, run
from benchmarks.serving.load import Load, Request, finish_load, loader_name, run_at_rate, run_load
from benchmarks.serving.servers import Server, answer_to, films_in, free_port
from benchmarks.serving.sites import environment_of, made_api_site, made_pages_site

WARM_CONNECTIONS, WARM_SECONDS = 16, 4
BATCH = 1000
PAGE_CONNECTIONS = 4
MOST_CONNECTIONS = 256  # of a load at a rate
OURS, UNPADDED, PADDED = "Reelgraph", "FastAPI", "FastAPI, padded"
GOALS = {1: "at least 1.3", 16: "at least 2.4"}  # times our CPU-ms, by connections


@dataclass(slots=True)
class Cell:
    """One server under one load, over all rounds."""

    name: str
    workers: int
    connections: int
    server: Server
    requests: Sequence[Request]
    loader: Callable[..., Load] = run_load
    load: Load = field(default_factory=Load)
    cpu: float = 0.0

    def run(self, seconds: float) -> None:
        before = self.server.cpu_seconds()
        self.load += self.loader(
            self.server.port, self.requests, connections=self.connections, seconds=seconds
        )
        self.cpu += self.server.cpu_seconds() - before
        self.server.wait_until_idle()  # what was cut off must not fall on the next

    @property
    def cpu_ms(self) -> float:
        return 1000 * self.cpu / max(1, self.load.requests)

    @property
    def per_second(self) -> float:
        return self.load.requests / max(1e-9, self.load.seconds)

    def figures(self) -> dict[str, Any]:
        waits = {f"p{share}": round(self.load.percentile_ms(share / 100), 2) for share in (50, 90, 99)}
        return {
            "server": self.name,
            "workers": self.workers,
            "connections": self.connections,
            "cpu_ms": round(self.cpu_ms, 3),
            "per_second": round(self.per_second, 1),
            **waits,
            "errors": self.load.errors,
            "requests": self.load.requests,
        }


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--items", type=int, default=60_000)
    parser.add_argument("--length", type=int, default=20, help="films in a history")
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--connections", type=_numbers, default=[1, 16, 64])
    parser.add_argument("--workers", type=_numbers, default=[1, 2])
    parser.add_argument("--seconds", type=float, default=4, help="of one load")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--rates", type=_numbers, default=[], help="requests a second, sent whatever happens")
    parser.add_argument("--rate-seconds", type=float, default=60)
    parser.add_argument("--port", type=int, default=0, help="the first of ten; any that are free without it")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="make the sites there, or use them")
    parser.add_argument("--only", choices=("api", "rates", "batch", "pages"))
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    options = parse_options(parser, connections=[1, 16], workers=[1], seconds=2, rounds=2, only="api")
    if options.only in (None, "api"):
        _require("fastapi", "uvicorn")
    figures: dict[str, Any] = {"conditions": _conditions()}
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        bench = _Bench(options, folder, Path(temporary), stack)
        if options.only != "pages":
            figures |= bench.api()
        if options.only in (None, "pages"):
            figures |= bench.pages()
    print(f"\nload average at the end: {_load_average()}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")


class _Bench:
    def __init__(self, options: argparse.Namespace, folder: Path, temporary: Path, stack: ExitStack) -> None:
        self.options, self.folder, self.temporary, self.stack = options, folder, temporary, stack

    # -- the API ---------------------------------------------------------------------------------

    def api(self) -> dict[str, Any]:
        options, site = self.options, self.folder / "api"
        asked = made_api_site(site, items=options.items, length=options.length, k=options.k)
        theirs: dict[str, list[Request]] = {}
        if options.only in (None, "api"):
            theirs = {name: _to(asked, path) for name, path in _their_paths().items()}
        ours, fastapi = {}, {}
        for workers in options.workers:
            ours[workers] = self._ours(site, workers, asked[0], models="sasrec")
            if theirs:
                fastapi[workers] = self._fastapi(site, workers, theirs[UNPADDED][0])
        figures: dict[str, Any] = {}
        if theirs:
            first = options.workers[0]
            _require_same_films(ours[first], asked, fastapi[first], theirs)
            figures["api"] = self._side_by_side(asked, theirs, ours, fastapi)
            figures["memory"] = self._memory(ours, fastapi)
            figures["one_body"] = self._one_body(asked, ours)
        figures["rates"] = [self._at_rate(asked, ours, rate) for rate in options.rates]
        if options.only != "rates":
            figures["batch"] = self._batches(asked, ours)
        return figures

    def _side_by_side(
        self,
        asked: list[Request],
        theirs: dict[str, list[Request]],
        ours: dict[int, Server],
        fastapi: dict[int, Server],
    ) -> list[dict[str, Any]]:
        cells = [
            Cell(name, workers, connections, server, requests)
            for connections in self.options.connections
            for workers in self.options.workers
            for name, server, requests in [
                (OURS, ours[workers], asked),
                *((name, fastapi[workers], theirs[name]) for name in theirs),
            ]
        ]
        for cell in cells[: len(cells) // len(self.options.connections)]:
            run_load(cell.server.port, cell.requests, connections=WARM_CONNECTIONS, seconds=WARM_SECONDS)
        others = _Others([*ours.values(), *fastapi.values()])
        self._run(cells)
        print(f"\nPOST recommend: {self.options.items:,} films, histories of {self.options.length}")
        rows = _print(cells)
        print(f"other processes took {others.share():.0%} of the machine meanwhile")
        ratios = _ratios(cells)
        for row in ratios:
            print(
                f"{row['connections']:3} connections, {row['workers']} workers: {row['server']:16} "
                f"{row['cpu']:5.2f} times our CPU-ms; ours {row['throughput']:5.2f} times the requests/s"
            )
            what = f"serving: {row['server']}, {row['connections']} connections, {row['workers']} workers"
            goal = GOALS.get(row["connections"], "") if row["server"] == UNPADDED else ""
            print_ratio(what, row["cpu"], "our CPU-ms", goal)
        return [*rows, *ratios]

    def _memory(self, ours: dict[int, Server], fastapi: dict[int, Server]) -> list[dict[str, Any]]:
        print(f"\n{'memory':18}{'workers':>8}{'RSS':>8}{'PSS':>8}  MB (2**20 bytes)")
        rows = []
        for name, servers in ((OURS, ours), (UNPADDED, fastapi)):
            for workers, server in servers.items():
                rss, pss = server.memory_mb()
                rows.append({"server": name, "workers": workers, "rss": round(rss), "pss": round(pss)})
                print(f"{name:18}{workers:8}{rss:8.0f}{pss:8.0f}")
        return rows

    def _one_body(self, asked: list[Request], ours: dict[int, Server]) -> list[dict[str, Any]]:
        print("\nthe same body over and over")
        cells = [Cell(OURS, workers, 16, server, asked[:1]) for workers, server in ours.items()]
        self._run(cells)
        return _print(cells)

    def _at_rate(self, asked: list[Request], ours: dict[int, Server], rate: int) -> dict[str, Any]:
        """Print what requests wait for our server with most workers; the loader shares the machine."""
        workers, server = max(ours.items())
        run_load(server.port, asked, connections=WARM_CONNECTIONS, seconds=WARM_SECONDS)
        cell = Cell(OURS, workers, MOST_CONNECTIONS, server, asked, partial(run_at_rate, rate=rate))
        cell.run(self.options.rate_seconds)
        print(f"\n{rate} requests a second for {self.options.rate_seconds:g} s, waits from the moment due")
        return {"rate": rate, "load": _load_average(), **_print([cell])[0]}

    def _batches(self, asked: list[Request], ours: dict[int, Server]) -> list[dict[str, Any]]:
        entries = [{"history": json.loads(request.body)["history"]} for request in asked]
        batches = [
            Request(
                "POST",
                "/api/v1/recommend/batch",
                json.dumps({"entries": [entries[(first + n) % len(entries)] for n in range(BATCH)], "k": 10}),
            )
            for first in range(0, len(entries), 32)
        ]
        answer = json.loads(answer_to(next(iter(ours.values())).port, batches[0]))
        if answer["failed"] or len(answer["results"]) != BATCH:
            raise CouldNotMeasure(f"a batch failed: {answer['failed']} of {len(answer['results'])}")
        # As many connections as workers: whoever scores a thousand users waits for the answer.
        cells = [
            Cell(OURS, workers, workers, server, batches, finish_load) for workers, server in ours.items()
        ]
        self._run(cells)
        print(f"\nPOST recommend/batch, {BATCH:,} histories of {self.options.length} each")
        rows = _print(cells)
        for cell, row in zip(cells, rows, strict=True):
            row["users_per_second"] = round(cell.per_second * BATCH)
            row["cpu_ms_per_user"] = round(cell.cpu_ms / BATCH, 3)
            print(
                f"{cell.workers} workers: {row['users_per_second']:,} users/s, "
                f"{row['cpu_ms_per_user']} CPU-ms a user"
            )
        return rows

    # -- the pages -------------------------------------------------------------------------------

    def pages(self) -> dict[str, Any]:
        site = self.folder / "pages"
        pages = made_pages_site(site)
        workers = self.options.workers[0]
        server = self._ours(site, workers, pages["home"][0])
        for requests in pages.values():
            run_load(server.port, requests, connections=PAGE_CONNECTIONS, seconds=WARM_SECONDS)
        cells = [Cell(name, workers, PAGE_CONNECTIONS, server, requests) for name, requests in pages.items()]
        self._run(cells)
        print("\npages, MovieLens 100K, 100 guests with 20 ratings each, whose lists are in the cache")
        return {"pages": _print(cells)}

    # -- running ---------------------------------------------------------------------------------

    def _run(self, cells: list[Cell]) -> None:
        """In rounds; every second one backwards, so that nobody always comes after the same neighbour."""
        for number in range(self.options.rounds):
            for cell in cells[:: -1 if number % 2 else 1]:
                cell.run(self.options.seconds)

    def _ours(self, site: Path, workers: int, probe: Request, models: str = "") -> Server:
        port = self._port()
        command = ["webapp.server", "--interface", "rsgi", "--host", "127.0.0.1", "--port", str(port)]
        command += ["--workers", str(workers), "--log-level", "warning", "webapp.rsgi:application"]
        environment = environment_of(site, models) | {"API_ANONYMOUS_BATCH": str(BATCH), "LOG_LEVEL": "INFO"}
        return self._started(Server(OURS, command, port, environment, self._log(port)), probe)

    def _fastapi(self, site: Path, workers: int, probe: Request) -> Server:
        port = self._port()
        command = ["benchmarks.serving.baseline", str(site), "--port", str(port), "--workers", str(workers)]
        one_thread = {"OMP_NUM_THREADS": "1"}
        return self._started(Server(UNPADDED, command, port, one_thread, self._log(port)), probe)

    def _started(self, server: Server, probe: Request) -> Server:
        self.stack.enter_context(server)
        server.wait_until_open(probe)
        return server

    def _log(self, port: int) -> Path:
        return self.temporary / f"server-{port}.log"

    def _port(self) -> int:
        return free_port(self.options.port)


class _Others:
    """What everybody but these servers, the loader and this process takes of the machine from now on."""

    def __init__(self, servers: Sequence[Server]) -> None:
        self.servers = servers
        self.busy, self.whole = self._spent()

    def share(self) -> float:
        busy, whole = self._spent()
        return (busy - self.busy) / (whole - self.whole)

    def _spent(self) -> tuple[float, float]:
        """CPU-seconds of the others, and of the machine with its idle time."""
        times = psutil.cpu_times()
        idle = times.idle + getattr(times, "iowait", 0.0)
        # A guest's time is part of the user's.
        whole = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        own = sum(usage.ru_utime + usage.ru_stime for usage in usages)
        return whole - idle - own - sum(server.cpu_seconds() for server in self.servers), whole


def _their_paths() -> dict[str, str]:
    from benchmarks.serving import baseline

    return {UNPADDED: baseline.UNPADDED, PADDED: baseline.PADDED}


def _to(requests: list[Request], path: str) -> list[Request]:
    return [Request("POST", path, request.body) for request in requests]


def _require_same_films(
    ours: Server, asked: list[Request], fastapi: Server, theirs: dict[str, list[Request]]
) -> None:
    """The comparison is fair only if everybody answers the same question."""
    for place in range(0, len(asked), 32):
        expected = films_in(answer_to(ours.port, asked[place]))
        for name, requests in theirs.items():
            found = films_in(answer_to(fastapi.port, requests[place]))
            if found != expected:
                raise CouldNotMeasure(f"{name} recommends {found} where {OURS} recommends {expected}")


def _ratios(cells: list[Cell]) -> list[dict[str, Any]]:
    ours = {(cell.workers, cell.connections): cell for cell in cells if cell.name == OURS}
    rows = []
    for cell in cells:
        if cell.name != OURS:
            our = ours[cell.workers, cell.connections]
            rows.append(
                {
                    "server": cell.name,
                    "workers": cell.workers,
                    "connections": cell.connections,
                    "cpu": round(cell.cpu_ms / our.cpu_ms, 2),
                    "throughput": round(our.per_second / cell.per_second, 2),
                }
            )
    return rows


def _print(cells: list[Cell]) -> list[dict[str, Any]]:
    print(
        f"{'':18}{'workers':>8}{'conns':>7}{'CPU-ms':>10}{'requests/s':>12}"
        f"{'p50 ms':>9}{'p90 ms':>9}{'p99 ms':>9}{'errors':>8}"
    )
    rows = [cell.figures() for cell in cells]
    for row in rows:
        print(
            f"{row['server']:18}{row['workers']:8}{row['connections']:7}{row['cpu_ms']:10.2f}"
            f"{row['per_second']:12.1f}{row['p50']:9.1f}{row['p90']:9.1f}{row['p99']:9.1f}{row['errors']:8}"
        )
    return rows


def _conditions() -> dict[str, Any]:
    packages = ("granian", "django", "onnxruntime", "fastapi", "uvicorn", "torch")
    found = {name: version(name) for name in packages if importlib.util.find_spec(name)}
    conditions = {
        "cores": psutil.cpu_count(),
        "python": platform.python_version(),
        "packages": found,
        "loader": loader_name(),
        "load_average": _load_average(),
    }
    for name, value in conditions.items():
        print(f"{name:14}{value}")
    return conditions


def _load_average() -> str:
    """Of the last 1, 5 and 15 minutes, others' work and ours."""
    return " ".join(f"{value:.1f}" for value in psutil.getloadavg())


def _require(*packages: str) -> None:
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise CouldNotMeasure(
            f"{', '.join(missing)} missing; pip install -r requirements-bench.txt, or --only pages"
        )


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


if __name__ == "__main__":
    run(main)
