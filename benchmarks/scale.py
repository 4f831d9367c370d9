"""Machines, memory and money of a site of a stated size: measured unit costs times assumptions.

    python -m benchmarks.scale [--visitors 1000000] [--pages 10] [--clicks 9] [--ratings 2] [--decisions 1]
        [--items 25000] [--busiest 4] [--costs FILE] [--prices FILE]

Nothing is run at that size. The `UnitCosts` were measured by the benchmarks that are named there, on two busy
cores; `--costs` and `--prices` take JSON files with one's own values of some of them. What grows is priced as
it is after a year. The last table says how far relays and consumers fall behind when for a minute ten times
as many events come as in the busiest hour. docs/operations.md quotes the output. The baseline of what a
visitor costs is a site with a tenth of the visitors; --quick changes nothing.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from benchmarks._command import argument_parser, parse_options, print_ratio, run

DAY, MONTH_HOURS = 86_400, 730
MOST_USED = 0.6  # of the processors of web machines in the busiest hour
CORES = 4  # of a web machine
WEB_THREADS = 4
GROUPS = 3  # of consumers
BURST, BURST_SECONDS = 10.0, 60  # times the arrivals of the busiest hour, for so long
GB, MILLION, MILLIONTH = 1e9, 1e6, 1e-6
CACHE_NODE_GB = 3  # memory of a node of Redis

S = TypeVar("S")


@dataclass(frozen=True)
class Site:
    """States what is assumed about a site. All but `items` and `busiest` are of a day."""

    visitors: float = 1_000_000
    pages: float = 10  # of a visitor, as the next three
    clicks: float = 9
    ratings: float = 2
    decisions: float = 1  # dismissals, places on the watchlist, diary entries
    items: float = 25_000
    busiest: float = 4  # times the mean: arrivals in the busiest hour

    @property
    def pages_a_day(self) -> float:
        return self.visitors * self.pages

    @property
    def clicks_a_day(self) -> float:
        return self.visitors * self.clicks

    @property
    def events_a_day(self) -> float:
        return self.visitors * (self.clicks + self.ratings + self.decisions)

    @property
    def pages_busiest(self) -> float:
        """Return the pages of a second in the busiest hour."""
        return self.busiest * self.pages_a_day / DAY

    @property
    def events_busiest(self) -> float:
        """Return the events of a second in the busiest hour."""
        return self.busiest * self.events_a_day / DAY


@dataclass(frozen=True)
class UnitCosts:
    """Holds what one of each costs."""

    page_ms: float = 27  # CPU of web with every service, home after a click; benchmarks.page_latency
    event_ms: float = 9.2  # CPU of web for a posted event; benchmarks.events, as the next two
    relay_ms: float = 0.62
    consume_ms: float = 0.26
    rating_bytes: float = 224  # in MariaDB with indexes, of a million; rows as in benchmarks.storage
    event_bytes: float = 474
    processed_bytes: float = 144  # the mark of a consumer group that counts
    item_bytes: float = 348  # a click in DynamoDB, with the 100 that are billed besides; benchmarks.storage
    message_bytes: float = 352
    list_bytes: float = 1_624
    worker_mb: float = 174  # a web worker with the quick models; benchmarks.memory
    page_kb: float = 30  # sent for a page; benchmarks.page_weight, with pictures and styles mostly cached
    outbox_days: float = 1  # OUTBOX_KEEP_MINUTES
    processed_days: float = 17  # for which marks are kept, longer than the topic keeps a message
    counting_groups: float = 2  # popularity and experiments
    kafka_days: float = 14  # KAFKA_RETENTION_HOURS
    kafka_copies: float = 3
    list_seconds: float = 600  # for which a list is cached
    lists_a_page: float = 1.5
    read_units: float = 3.1  # DynamoDB, of a page of a visitor with a hundred clicks


@dataclass(frozen=True)
class Prices:
    """Holds dollars. They are rounded list prices of AWS, on demand, and date fast: pass your own."""

    core_hour: float = 0.041  # a quarter of a machine of 4 cores and 16 GB
    primary_hour: float = 1.9  # a database of 8 cores and 64 GB with a standby
    database_gb: float = 0.23  # a month, with a standby
    write_million: float = 0.625  # DynamoDB by request
    read_million: float = 0.125
    archive_gb: float = 0.25
    broker_hour: float = 0.204
    broker_gb: float = 0.10
    cache_hour: float = 0.068
    traffic_gb: float = 0.085


@dataclass(frozen=True)
class Need:
    """States what a part needs: how it was reckoned, the result in words, and dollars a month."""

    part: str
    arithmetic: str
    result: str
    dollars: float = 0.0


def needs(site: Site, costs: UnitCosts, prices: Prices) -> list[Need]:
    """Return what each part of the site needs."""
    parts = (_web, _relays_and_consumers, _database, _dynamodb, _others)
    return [need for part in parts for need in part(site, costs, prices)]


def _web(site: Site, costs: UnitCosts, prices: Prices) -> list[Need]:
    page_cores = site.pages_busiest * costs.page_ms / 1000
    event_cores = site.events_busiest * costs.event_ms / 1000
    workers = math.ceil((page_cores + event_cores) / MOST_USED)
    machines = math.ceil(workers / CORES)
    pages, events = site.pages_a_day, site.events_a_day
    traffic = pages * costs.page_kb * 1000 / GB
    return [
        Need(
            "pages",
            f"{pages:,.0f} a day = {pages / DAY:,.0f}/s, busiest {site.pages_busiest:,.0f}/s "
            f"x {costs.page_ms:g} ms",
            f"{page_cores:.0f} cores",
        ),
        Need(
            "events",
            f"{events:,.0f} a day = {events / DAY:,.0f}/s, busiest {site.events_busiest:,.0f}/s "
            f"x {costs.event_ms:g} ms",
            f"{event_cores:.0f} cores",
        ),
        Need(
            "web",
            f"{page_cores + event_cores:.0f} cores busy, at most {100 * MOST_USED:.0f} % used",
            f"{workers} workers: {machines} machines of {CORES} cores, with `WEB_THREADS={WEB_THREADS}` "
            f"{workers * WEB_THREADS} database connections, {workers * costs.worker_mb / 1000:.0f} GB",
            machines * CORES * prices.core_hour * MONTH_HOURS,
        ),
        Need(
            "models on each web machine",
            f"EASE is films squared x 4 B: {site.items:,.0f} films",
            f"{site.items**2 * 4 / GB:.1f} GB, shared by its workers; tens of MB for the others",
        ),
        Need(
            "traffic",
            f"{pages:,.0f} pages x {costs.page_kb:g} kB",
            f"{30 * traffic / 1000:.1f} TB a month",
            30 * traffic * prices.traffic_gb,
        ),
    ]


def _relays_and_consumers(site: Site, costs: UnitCosts, prices: Prices) -> list[Need]:
    relayed, consumed = (
        site.events_busiest * cost / 1000 for cost in (costs.relay_ms, costs.consume_ms)
    )  # cores
    relays = max(2, math.ceil(relayed / MOST_USED) + 1)
    members = math.ceil(consumed / MOST_USED)
    return [
        Need(
            "relays",
            f"{site.events_busiest:,.0f}/s x {costs.relay_ms:g} ms = {relayed:.2f} core",
            f"{relays}, so that one may die",
            relays * prices.core_hour * MONTH_HOURS,
        ),
        Need(
            "consumers",
            f"{GROUPS} groups, {site.events_busiest:,.0f}/s x {costs.consume_ms:g} ms = {consumed:.2f} core "
            "each",
            f"{members} of each group, and one that may die",
            (GROUPS * members + 1) * prices.core_hour * MONTH_HOURS,
        ),
    ]


def _database(site: Site, costs: UnitCosts, prices: Prices) -> list[Need]:
    ratings = site.visitors * site.ratings
    decisions = site.visitors * (site.ratings + site.decisions)
    grows = (ratings * costs.rating_bytes + decisions * costs.event_bytes) / GB
    outbox = site.clicks_a_day * costs.event_bytes * costs.outbox_days / GB
    marks = site.events_a_day * costs.processed_bytes * costs.processed_days * costs.counting_groups / GB
    return [
        Need(
            "database, writes",
            f"{site.events_busiest:,.0f} transactions a second of 3 to 8 statements in the busiest hour",
            "one primary with fast disks, and a standby",
            prices.primary_hour * MONTH_HOURS,
        ),
        Need(
            "database, grows",
            f"{ratings:,.0f} ratings x {costs.rating_bytes:g} B + {decisions:,.0f} decisions x "
            f"{costs.event_bytes:g} B = {grows:.1f} GB a day",
            f"{365 * grows:,.0f} GB a year",
            365 * grows * prices.database_gb,
        ),
        Need(
            "database, outbox",
            f"{site.clicks_a_day:,.0f} clicks a day x {costs.event_bytes:g} B x {costs.outbox_days:g}",
            f"{outbox:.1f} GB at any time",
            outbox * prices.database_gb,
        ),
        Need(
            "database, processed events",
            f"{site.events_a_day:,.0f} x {costs.processed_bytes:g} B x {costs.processed_days:g} days x "
            f"{costs.counting_groups:g} groups that count",
            f"{marks:.0f} GB at any time",
            marks * prices.database_gb,
        ),
    ]


def _dynamodb(site: Site, costs: UnitCosts, prices: Prices) -> list[Need]:
    clicks = site.clicks_a_day
    archived = clicks * costs.item_bytes / GB
    return [
        Need(
            "DynamoDB, writes",
            f"{clicks:,.0f} clicks of less than 1 kB: {clicks / DAY:,.0f}/s",
            f"{site.busiest * clicks / DAY:,.0f} WCU in the busiest hour, or by request",
            30 * clicks / MILLION * prices.write_million,
        ),
        Need(
            "DynamoDB, reads",
            f"{site.pages_a_day:,.0f} pages x {costs.read_units:g} RCU for a hundred clicks",
            f"{site.pages_busiest * costs.read_units:,.0f} RCU in the busiest hour, or by request",
            30 * site.pages_a_day * costs.read_units / MILLION * prices.read_million,
        ),
        Need(
            "DynamoDB, storage",
            f"{clicks:,.0f} x {costs.item_bytes:g} B = {archived:.1f} GB a day",
            f"{365 * archived / 1000:.1f} TB a year, less what expires of guests",
            365 * archived * prices.archive_gb,
        ),
    ]


def _others(site: Site, costs: UnitCosts, prices: Prices) -> list[Need]:
    log = site.events_a_day * costs.message_bytes / GB
    kept = log * costs.kafka_copies * costs.kafka_days
    lists = site.pages_busiest * costs.lists_a_page
    cached = lists * costs.list_seconds * costs.list_bytes / GB
    memory = max(1, math.ceil(2 * cached))
    return [
        Need(
            "Kafka",
            f"{site.events_a_day:,.0f} x {costs.message_bytes:g} B = {log:.1f} GB a day, x "
            f"{costs.kafka_copies:g} copies x {costs.kafka_days:g} days",
            f"{kept:.0f} GB; {site.events_busiest * costs.message_bytes / MILLION:.1f} MB/s "
            "in the busiest hour",
            costs.kafka_copies * prices.broker_hour * MONTH_HOURS + kept * prices.broker_gb,
        ),
        Need(
            "Redis",
            f"{site.pages_busiest:,.0f} pages/s x {costs.lists_a_page:g} new lists x "
            f"{costs.list_seconds:g} s x {costs.list_bytes:,.0f} B",
            f"{cached:.1f} GB: `maxmemory {memory}gb`, `maxmemory-policy allkeys-lru`",
            math.ceil(memory / CACHE_NODE_GB) * prices.cache_hour * MONTH_HOURS,
        ),
    ]


@dataclass(frozen=True)
class Lag:
    """Says how far consumers fall behind: the longest wait of an event, and how long until nobody waits."""

    longest: float  # seconds
    cleared: float  # seconds after the burst's begin; infinity where more comes than goes


def lag(burst: float, seconds: float, calm: float, capacity: float) -> Lag:
    """Return the lag where `burst` events a second come for so long, and `calm` after it. All but `seconds`
    are events a second; `capacity` is above 0.
    """
    waiting = max(0.0, (burst - capacity) * seconds)
    if not waiting:
        return Lag(0.0, 0.0)
    cleared = seconds + waiting / (capacity - calm) if capacity > calm else math.inf
    return Lag(waiting / capacity if capacity > calm else math.inf, cleared)


def bursts(site: Site, costs: UnitCosts) -> list[tuple[str, int, Lag]]:
    """Return the lag of relays and of a consumer group with 1, 2 and 4 processes in a burst."""
    calm = site.events_busiest
    return [
        (part, n, lag(BURST * calm, BURST_SECONDS, calm, n * 1000 / cost))
        for part, cost in (("relays", costs.relay_ms), ("a consumer group", costs.consume_ms))
        for n in (1, 2, 4)
    ]


def report(site: Site, costs: UnitCosts, prices: Prices) -> str:
    """Return both tables as Markdown."""
    found = needs(site, costs, prices)
    rows = [
        (each.part, each.arithmetic, each.result, f"{each.dollars:,.0f}" if each.dollars else "")
        for each in found
    ]
    total = ("together", "", "", f"{sum(each.dollars for each in found):,.0f}")
    lags = [
        (
            part,
            str(n),
            f"{each.longest:.0f} s" if each.longest < math.inf else "without end",
            f"after {each.cleared:.0f} s" if each.cleared < math.inf else "never",
        )
        for part, n, each in bursts(site, costs)
    ]
    return "\n\n".join(
        [
            _table(("part", "arithmetic", "so", "$ a month"), [*rows, total]),
            _table(("in a burst", "processes", "an event waits at most", "nobody waits"), lags),
        ]
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _with_values(given: S, values: Mapping[str, Any], where: str) -> S:
    """Return the dataclass with these values. Raises ValueError on an unknown name or what is no number."""
    known = [each.name for each in fields(given)]  # type: ignore[arg-type]
    for name, value in values.items():
        if name not in known:
            raise ValueError(f"{where}: there is no {name!r}; known: {', '.join(known)}")
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        least = 0 if isinstance(given, Prices) else MILLIONTH  # of costs and of visitors none is nothing
        if not is_number or value < least:
            raise ValueError(f"{where}: {name} is {value!r}, expected a number of {least:g} or more")
    return replace(given, **values)  # type: ignore[type-var]


def _read(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise ValueError(f"{path}: expected an object of names and numbers")
    return found


def main() -> int:
    parser = argument_parser(__doc__)
    for name, value in asdict(Site()).items():
        parser.add_argument(f"--{name}", type=float, default=value, help=f"{value:,.0f} if left out")
    parser.add_argument("--costs", type=Path, metavar="FILE", help="JSON with some of UnitCosts")
    parser.add_argument("--prices", type=Path, metavar="FILE", help="JSON with some of Prices, in dollars")
    options = vars(parse_options(parser))
    del options["quick"]
    try:
        costs = _with_values(UnitCosts(), _read(options.pop("costs")), "--costs")
        prices = _with_values(Prices(), _read(options.pop("prices")), "--prices")
        site = _with_values(Site(), options, "the command line")
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"{report(site, costs, prices)}\n")
    tenth = replace(site, visitors=site.visitors / 10)
    dollars, dollars_of_tenth = (sum(each.dollars for each in needs(s, costs, prices)) for s in (site, tenth))
    print_ratio("scale: dollars a visitor", dollars / dollars_of_tenth / 10, "a tenth of the visitors")
    return 0


if __name__ == "__main__":
    run(main)
