"""Make faults, one context each: what is broken at its start is whole again after its end."""

from __future__ import annotations

import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial

from services.base import is_open
from services.mariadb import DATABASE, MariaDB
from tests.faults.deployment import COMPILER, Deployment

RESTART = 2.0  # seconds: for which something that is missed at once is away
NOTICE = 1.0  # until every process has noticed that it is back
HELD_SECONDS = 2.0  # until relays have claimed rows that they cannot deliver
CLAIM_SECONDS = 30.0  # of a relay for its rows
WORKER_SECONDS = 8.0  # until a new web worker is there
SLOW_SECONDS = 0.05  # for each piece of data, in each direction
STEP_SECONDS = 3600  # of the clock
NO_SPACE_LEFT = "is full"  # in what MariaDB says
EXPIRE_CLAIMS = """
from django.utils import timezone
from movie.events.models import Event
Event.objects.exclude(claimed_by="").update(available_at=timezone.now())
"""

Fault = Callable[[Deployment, float], AbstractContextManager[None]]


class FillableMariaDB(MariaDB):
    """MariaDB with one file for all tables, which can be told not to grow: full as a disk is, without one."""

    def command(self) -> list[str]:
        return [
            "sh",
            "-c",
            'trap "" XFSZ; exec "$@"',  # a write beyond the limit is an error, as on a full disk
            "sh",
            *super().command(),
            "--innodb-file-per-table=0",
            "--innodb-log-file-size=8M",
            "--innodb-autoextend-increment=1",
        ]

    def fill(self) -> None:
        """Let no file grow and use up what room there is, at last by small rows."""
        self._limit((self._data / "ibdata1").stat().st_size)
        error = self._sql(f"CREATE TABLE {DATABASE}.ballast (content LONGBLOB)").stderr
        for size in (1_000_000, 50_000, 4_000):
            insert = f"INSERT INTO {DATABASE}.ballast VALUES (REPEAT('x', {size}));\n"  # noqa: S608
            while not error:
                error = self._sql(insert * 20).stderr
            assert NO_SPACE_LEFT in error, error
            error = ""

    def make_room(self) -> None:
        self._limit(resource.RLIM_INFINITY)
        self._sql(f"DROP TABLE IF EXISTS {DATABASE}.ballast")

    def _limit(self, n_bytes: int) -> None:
        process = self.process()
        assert process is not None
        hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (n_bytes, hard))


@contextmanager
def stopped(name: str, site: Deployment, seconds: float) -> Iterator[None]:
    """End a service in good order and start it again."""
    if name == "kafka":
        time.sleep(1.0)  # the broker of these tests loses what it acknowledged in its last half second
    site.services[name].stop()
    yield
    site.services[name].start()


@contextmanager
def killed(name: str, site: Deployment, seconds: float) -> Iterator[None]:
    """End a service as by a power cut and start it again."""
    site.services[name].kill()
    yield
    site.services[name].start()


@contextmanager
def cut(name: str, site: Deployment, seconds: float) -> Iterator[None]:
    """Let nothing through between the site and a service, which runs on."""
    with site.links[name].cut():
        yield


@contextmanager
def slow(name: str, site: Deployment, seconds: float) -> Iterator[None]:
    with site.links[name].slow(SLOW_SECONDS):
        yield


@contextmanager
def process_killed(name: str, site: Deployment, seconds: float) -> Iterator[None]:
    site.kept[name].kill()
    yield


@contextmanager
def process_hangs(name: str, site: Deployment, seconds: float) -> Iterator[None]:
    site.kept[name].signal(signal.SIGSTOP)
    yield
    site.kept[name].signal(signal.SIGCONT)


@contextmanager
def worker_killed(site: Deployment, seconds: float) -> Iterator[None]:
    site.kept["web"].kill_a_child()
    yield
    time.sleep(max(0.0, WORKER_SECONDS - seconds))
    while not is_open(site.port):
        time.sleep(0.1)


@contextmanager
def old_claim(site: Deployment, seconds: float) -> Iterator[None]:
    """Stop a relay in the middle of a delivery, and let it go on with it when its claim has run out.

    Where there is little time the claim is made to run out.
    """
    relay = site.kept["relay-1"]
    with site.links["kafka"].cut():
        time.sleep(HELD_SECONDS)
        relay.signal(signal.SIGSTOP)
    try:
        if seconds < CLAIM_SECONDS / 2:
            site.run(EXPIRE_CLAIMS)
        else:
            time.sleep(CLAIM_SECONDS)
        yield
    finally:
        relay.signal(signal.SIGCONT)


@contextmanager
def database_full(site: Deployment, seconds: float) -> Iterator[None]:
    database = site.services["mariadb"]
    database.fill()
    yield
    database.make_room()


@contextmanager
def feed_full(site: Deployment, seconds: float) -> Iterator[None]:
    """Let the consumer that writes files write none: a limit of their size stands for the end of the disk."""
    with site.kept["feed"].limited(resource.RLIMIT_FSIZE, 0):
        yield


@contextmanager
def clock_steps(by: int, site: Deployment, seconds: float) -> Iterator[None]:
    site.set_clock(by)
    yield
    site.set_clock(0)


def both(first: Fault, second: Fault) -> Fault:
    @contextmanager
    def together(site: Deployment, seconds: float) -> Iterator[None]:
        with ExitStack() as stack:
            stack.enter_context(first(site, seconds))
            stack.enter_context(second(site, seconds))
            yield

    return together


PROCESSES = ("relay-1", "relay-2", "popularity-1", "popularity-2", "feed", "experiments")
SERVICES = {"mariadb": "the database", "kafka": "kafka", "dynamodb": "dynamodb", "redis": "redis"}
CLOCK = "the clock steps"

# A name that holds "database" allows 503, one that holds "web worker" allows broken connections.
FAULTS: dict[str, Fault] = {
    "kafka is stopped": partial(stopped, "kafka"),
    "dynamodb is stopped": partial(stopped, "dynamodb"),
    "the database is restarted": partial(stopped, "mariadb"),
    "the database is killed": partial(killed, "mariadb"),
    "redis is killed": partial(killed, "redis"),
    **{f"{name} is killed": partial(process_killed, name) for name in PROCESSES},
    "popularity-1 hangs": partial(process_hangs, "popularity-1"),
    "a web worker is killed": worker_killed,
    **{f"the link to {title} is cut": partial(cut, name) for name, title in SERVICES.items()},
    **{f"the link to {title} is slow": partial(slow, name) for name, title in SERVICES.items()},
    "a relay comes back with an old claim": old_claim,
    "the link to kafka is cut and relay-2 is killed": both(
        partial(cut, "kafka"), partial(process_killed, "relay-2")
    ),
    "redis is killed and the link to dynamodb is slow": both(
        partial(killed, "redis"), partial(slow, "dynamodb")
    ),
    "the database and experiments are killed": both(
        partial(killed, "mariadb"), partial(process_killed, "experiments")
    ),
    "the link to dynamodb is cut and a web worker is killed": both(partial(cut, "dynamodb"), worker_killed),
    "the database is full": database_full,
    "the disk of the feed is full": feed_full,
    f"{CLOCK} an hour ahead": partial(clock_steps, STEP_SECONDS),
    f"{CLOCK} an hour back": partial(clock_steps, -STEP_SECONDS),
}
SHORT = (
    "the database is killed",
    "redis is killed and the link to dynamodb is slow",
    "a relay comes back with an old claim",
    "the link to the database is cut",
    "the database is full",
    "the disk of the feed is full",
    "the link to kafka is cut and relay-2 is killed",
    "popularity-1 is killed",
    "a web worker is killed",
    f"{CLOCK} an hour back",
)


def reason_against(name: str) -> str:
    """Return why a fault cannot be made on this machine, or an empty string."""
    if name.startswith(CLOCK) and COMPILER is None:
        return "there is no C compiler (cc), which makes the library of the wrong clock"
    return ""
