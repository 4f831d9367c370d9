"""What pages cost as films, ratings and a guest's own history grow: CPU-ms of the server by request.

    python -m benchmarks.growth [--quick] [--only RATINGS ...] [--keep FOLDER]

Makes sites (`benchmarks._made_site`) of 10,000, 60,000 and 300,000 films with 0.1, 1 and 10 million ratings,
serves all of them, each with one worker on SQLite, and asks them for the same pages in turn, so that whatever
else the machine does falls on all. Each request comes from another guest, whose lists are not kept from
before: half of the columns are of guests who rated 20 films, the others of guests who rated 1,000. Both ask
in turn, too, each for films of its own, whose caches nobody filled. --quick makes the two small sizes of both
(three sites). --keep leaves the sites in a folder, and uses those there; each run leaves them as they were.

The baseline of a site is the one with as many films and the fewest ratings; as films grow, the one with as
many ratings and the fewest films. The baseline of the guests with 1,000 ratings are those with 20. A ratio is
the median over pairs of requests that follow each other: a shared machine may take 1.7 times as long for the
same a minute later. Exits with 1 where a request costs more than FLAT times its baseline as ratings or films
grow, or more than LONG times as the guest's history does.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import product
from pathlib import Path

from benchmarks._command import CouldNotMeasure, Ratio, argument_parser, print_ratio, run, times_of
from benchmarks._made_site import GUEST_LENGTHS, GUESTS
from benchmarks._serving import ROOT, Guest, Served, site_environment

SITES = (  # films, ratings
    (10_000, 100_000), (10_000, 1_000_000), (60_000, 1_000_000), (10_000, 10_000_000), (300_000, 10_000_000),
)  # fmt: skip
QUICK_SITES = 3  # the first ones
FLAT, LONG = "at most 1.3", "at most 1.5"
AT_ONCE = 4  # requests of guests of each length before the next site has its turn
WARMING = 4  # guests of each length whose requests warm a site up and are not measured
MOST_REQUESTS = GUESTS - WARMING
FIRST_UNSEEN = 2  # the most popular film that no guest rated: they rated those of odd ids
RATED = FIRST_UNSEEN + 2 * len(GUEST_LENGTHS) * GUESTS  # after all that the pages are of
ASKED = json.dumps({"history": list(range(1, 41, 2)), "k": 10}).encode()

Page = Callable[[Guest, int], object]
PAGES: dict[str, Page] = {
    "home": lambda guest, _n: guest.get("/"),
    "film": lambda guest, n: guest.get(f"/movies/{FIRST_UNSEEN + 2 * n}/"),
    "Why?": lambda guest, n: guest.get(f"/movies/{FIRST_UNSEEN + 2 * n}/why/"),
    "recommend": lambda guest, _n: guest.get("/recommend/"),
    "history": lambda guest, _n: guest.get("/history/"),
    "rate": lambda guest, n: guest.post(f"/movies/{RATED + 2 * n}/rate/", value="4"),
}
OF_NOBODY: dict[str, Page] = {  # the same for every guest
    "browse": lambda guest, n: guest.get(f"/browse/?page={1 + n % 5}"),
    "browse, best of a genre": lambda guest, n: guest.get(f"/browse/?in=Genre+{n % 18}&sort=best"),
    "browse, two filters": lambda guest, n: guest.get(
        f"/browse/?in=Genre+{n % 18}&decade={1950 + n % 7 * 10}"
    ),
    "genre": lambda guest, n: guest.get(f"/genres/{1 + n % 18}/"),
    "search": lambda guest, n: guest.get(f"/search/?q={('bacor', 'delfa', 'gan+hil', 'mino')[n % 4]}"),
    "suggest": lambda guest, n: guest.get(f"/search/suggest/?q={('baco', 'delf', 'hilj', 'mino')[n % 4]}"),
    "similar API": lambda guest, n: guest.get(f"/api/v1/movies/{FIRST_UNSEEN + 2 * n}/similar"),
    "film API": lambda guest, n: guest.get(f"/api/v1/movies/{FIRST_UNSEEN + 2 * n}"),
    "recommend API": lambda guest, _n: _recommend(guest),
}
# CPU-ms of each request, by site, page and length of the history; the n-th of all were asked in one turn.
Costs = dict[tuple[tuple[int, int], str, int], list[float]]
RARE = 4  # times the median: a request that did what the site does once in a while


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--only", nargs="+", type=int, metavar="RATINGS", help="sites with so many ratings")
    parser.add_argument(
        "--requests", type=int, default=20, help=f"of each page and site, {MOST_REQUESTS} at most"
    )
    parser.add_argument("--keep", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    sites = list(SITES[: QUICK_SITES if options.quick else None])
    sites = [site for site in sites if not options.only or site[1] in options.only]
    with tempfile.TemporaryDirectory(prefix="reelgraph-growth-") as temporary:
        costs = measure(sites, options.keep or Path(temporary), min(options.requests, MOST_REQUESTS))
    show(sites, costs)
    as_ratings_grow(sites, costs)
    as_films_grow(sites, costs)
    as_histories_grow(sites, costs)


def measure(sites: list[tuple[int, int]], folder: Path, n_requests: int) -> Costs:
    """Make and serve all sites; return what each request costs."""
    made = {site: make_site(folder / "-".join(map(str, site)), *site) for site in sites}
    with ExitStack() as stack:
        served = {site: stack.enter_context(Served(environment)) for site, (environment, _) in made.items()}
        guests = {
            (site, length): [Guest(served[site], guest=cookie) for cookie in cookies[str(length)]]
            for site, (_, cookies) in made.items()
            for length in GUEST_LENGTHS
        }
        for site in sites:
            _warm_up([guests[site, length][MOST_REQUESTS:] for length in GUEST_LENGTHS])
        costs: Costs = defaultdict(list)
        for name in (*PAGES, *OF_NOBODY):
            page = {**PAGES, **OF_NOBODY}[name]
            lengths = GUEST_LENGTHS if name in PAGES else GUEST_LENGTHS[:1]
            for start in range(0, n_requests, AT_ONCE):
                for site, number in product(sites, range(start, min(start + AT_ONCE, n_requests))):
                    turns = [*enumerate(lengths)]
                    for n, length in turns if number % 2 else turns[::-1]:
                        guest, asked = guests[site, length][number], len(lengths) * number + n
                        before = served[site].thread_seconds()
                        page(guest, asked)
                        costs[site, name, length].append(1000 * (served[site].thread_seconds() - before))
                        if name == "rate":
                            _forget(guest, asked)
            for site, length in product(sites, lengths):
                spent = costs[site, name, length]
                if max(spent) > RARE * statistics.median(spent):
                    print(f"once: {name}, {_words(site)}: {max(spent):.0f} CPU-ms", flush=True)
        return costs


def _words(site: tuple[int, int]) -> str:
    return f"{site[0] // 1000}k films, {site[1] / 1e6:g}M ratings"


def make_site(folder: Path, n_films: int, n_ratings: int) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Fill a site in this folder, unless it was; return its environment and the cookies of its guests.

    A folder without cookies is one whose filling ended early: it is deleted and filled anew.
    """
    environment = site_environment(folder, {"DEFAULT_MODELS": "for_you,popular"})
    file = folder / "cookies.json"
    if not file.exists():
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        command = [sys.executable, "-m", "benchmarks._made_site", str(n_films), str(n_ratings)]
        environment_of_fill = {
            **environment,
            "DJANGO_SETTINGS_MODULE": "webapp.settings",
            "LOG_LEVEL": "ERROR",
        }
        done = subprocess.run(
            command, cwd=ROOT, env=environment_of_fill, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise CouldNotMeasure(f"{' '.join(command)}\n{done.stderr[-2000:]}")
        whole = file.with_suffix(".new")
        whole.write_text(done.stdout.splitlines()[-1], encoding="utf-8")
        whole.replace(file)
    return environment, json.loads(file.read_text(encoding="utf-8"))["cookies"]


def _warm_up(guests: Sequence[Sequence[Guest]]) -> None:
    """Let every thread of the server load the models, open its connections and meet guests of each length."""
    for number, together in enumerate(zip(*guests, strict=True)):
        for n, guest in enumerate(together):
            asked = 20 * GUESTS + len(together) * number + n
            for page in (*PAGES.values(), *OF_NOBODY.values()):
                page(guest, asked)
            _forget(guest, asked)


def _forget(guest: Guest, n: int) -> None:
    """Take back a rating, so that the next run finds the guest as this one did."""
    status, text = guest.send(
        f"/history/{RATED + 2 * n}/forget/",
        b"",
        "application/x-www-form-urlencoded",
        **{"HX-Request": "true"},
    )
    if status != 200:
        raise CouldNotMeasure(f"a rating is not forgotten: {status}\n{text[:500]}")


def _recommend(guest: Guest) -> None:
    status, text = guest.send("/api/v1/recommend", ASKED, "application/json")
    if status != 200:
        raise CouldNotMeasure(f"POST /api/v1/recommend: {status}\n{text[:500]}")


def show(sites: list[tuple[int, int]], costs: Costs) -> None:
    """Print CPU-ms of each page by site, for guests with 20 ratings and with 1,000."""
    print(f"{'CPU-ms of the server':24}" + "".join(f"{f'{films // 1000}k films':>22}" for films, _ in sites))
    print(f"{'':24}" + "".join(f"{f'{ratings / 1e6:g}M ratings':>22}" for _, ratings in sites))
    lengths = " / ".join(f"{length:,}" for length in GUEST_LENGTHS)
    print(f"{'':24}" + f"{lengths:>22}" * len(sites))
    for name in (*PAGES, *OF_NOBODY):
        cells = []
        for site in sites:
            found = [costs[site, name, length] for length in GUEST_LENGTHS if (site, name, length) in costs]
            cells.append(" / ".join(f"{statistics.median(each):.1f}" for each in found))
        print(f"{name:24}" + "".join(f"{cell:>22}" for cell in cells))


def as_ratings_grow(sites: list[tuple[int, int]], costs: Costs) -> list[Ratio]:
    """Print and return the ratio of each page with the most ratings to that with the fewest."""
    ratios = []
    for films in sorted({films for films, _ in sites}):
        alike = sorted(site for site in sites if site[0] == films)
        fewest, most = alike[0], alike[-1]
        if fewest == most:
            continue
        for name in (*PAGES, *OF_NOBODY):
            times = times_of(*(costs[site, name, GUEST_LENGTHS[0]] for site in (fewest, most)))
            what = f"growth: {name}, {most[1] / 1e6:g}M ratings"
            ratios.append(print_ratio(what, times, f"the same with {fewest[1] / 1e6:g}M", FLAT))
    return ratios


def as_films_grow(sites: list[tuple[int, int]], costs: Costs) -> list[Ratio]:
    """Print and return the ratio of each page with the most films to that with the fewest."""
    ratios = []
    for ratings in sorted({ratings for _, ratings in sites}):
        alike = sorted(site for site in sites if site[1] == ratings)
        fewest, most = alike[0], alike[-1]
        if fewest == most:
            continue
        for name in (*PAGES, *OF_NOBODY):
            times = times_of(*(costs[site, name, GUEST_LENGTHS[0]] for site in (fewest, most)))
            what = f"growth: {name}, {most[0] // 1000}k films"
            ratios.append(print_ratio(what, times, f"the same with {fewest[0] // 1000}k", FLAT))
    return ratios


def as_histories_grow(sites: list[tuple[int, int]], costs: Costs) -> list[Ratio]:
    """Print and return the largest ratio of each page for guests with 1,000 ratings to those with 20."""
    short, long = GUEST_LENGTHS
    ratios = []
    for name in PAGES:
        value, site = max(
            (times_of(costs[site, name, short], costs[site, name, long]), site) for site in sites
        )
        what = f"growth: {name}, guest with {long:,} ratings ({_words(site)})"
        ratios.append(print_ratio(what, value, f"with {short}", LONG))
    return ratios


if __name__ == "__main__":
    run(main)
