"""Faults of Apache Kafka and of its members that the stand-in cannot have, and how soon the outbox is clear.

`python -m tests.faults --brokers 3` runs all; the topic has three copies then, of which two must be written.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.kafka import PASSWORD, USER, ClusterNode, KafkaCluster
from tests.faults.__main__ import PAUSE, SITE
from tests.faults.deployment import ACCOUNTS, ROOT, Deployment
from tests.faults.result import Result, wait_and_count
from tests.faults.visitors import Load, VisitorThread

CLEAR_SECONDS = 90.0  # after a fault, at most
CLAIM_SECONDS = 30.0  # of a relay for its rows
REQUEST_SECONDS = 12.0  # longer than a request to a broker may take
SESSION_SECONDS = 12.0  # longer than a member of a group may be silent
CALM_SECONDS = 3.0
RELAY_SECONDS = 2.0  # for a relay to deliver what waited
END_SECONDS = 30.0  # for a process that is asked to end, with its connections
SMALL_BATCH, DEFAULT_BATCH = 4_000, 1_048_588  # max.message.bytes
MEMBERS = ("relay-1", "relay-2", "popularity-1", "popularity-2", "experiments", "feed")
SHORT = ("all_killed", "all_hang", "batch_too_large", "credentials_changed", "topic_made_again")

MAKE_TOPIC = """
from django.core.management import call_command
call_command("create_event_topic", partitions=4)
"""
WATCH = """
import json, sys, time
from movie.events.stream.backlog import backlog
from django.db import connection, DatabaseError
while True:
    try:
        waiting = backlog()
        rows = sum(each.rows for each in waiting.values())
        oldest = max(each.oldest_seconds for each in waiting.values())
        print(json.dumps({"at": time.time(), "rows": rows, "oldest": oldest}), flush=True)
    except DatabaseError:
        connection.close()
    time.sleep(0.2)
"""


class Outbox:
    """The rows that wait, as a process of the site sees them five times a second."""

    def __init__(self, site: Deployment) -> None:
        command = [sys.executable, str(ROOT / "manage.py"), "shell", "--verbosity", "0", "-c", WATCH]
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=site.environment, stdout=subprocess.PIPE, text=True
        )
        self.last: dict[str, float] = {"at": 0.0, "rows": 0, "oldest": 0.0}
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self.last = json.loads(line)

    def seconds_until_clear(self, end: float) -> float | None:
        """Wait until nothing waits that was recorded before `end` (Unix time); None if it takes too long."""
        while time.time() - end < CLEAR_SECONDS:
            last = self.last
            if last["at"] > end and (not last["rows"] or last["at"] - last["oldest"] > end):
                return last["at"] - end
            time.sleep(0.1)
        return None

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


@dataclass
class Breaker:
    """The faults of a cluster, one method each."""

    site: Deployment
    cluster: KafkaCluster
    load: Load
    seconds: float

    def leader_killed(self) -> None:
        node = self._leader()
        node.kill()
        time.sleep(self.seconds)
        node.start()

    def leader_killed_and_back(self) -> None:
        node = self._leader()
        node.kill()
        node.start()

    def leader_hangs(self) -> None:
        with self._hung([self._leader()]):
            time.sleep(max(REQUEST_SECONDS, self.seconds))

    def all_killed(self) -> None:
        self.cluster.kill()
        time.sleep(self.seconds)
        self.cluster.start()

    def all_hang(self) -> None:
        with self._hung(self.cluster.nodes):
            time.sleep(max(REQUEST_SECONDS, self.seconds))

    def rolled(self) -> None:
        for node in self.cluster.nodes:
            node.stop()
            node.start()
            time.sleep(5)

    def one_replica_too_few(self) -> None:
        self._set("min.insync.replicas", len(self.cluster.nodes))
        node = self._leader(1)
        node.kill()
        time.sleep(self.seconds)
        node.start()
        time.sleep(5)
        self._set("min.insync.replicas", min(2, len(self.cluster.nodes)))

    def batch_too_large(self) -> None:
        """An outbox that grew while the brokers were away goes out in batches larger than the topic takes."""
        self._set("max.message.bytes", SMALL_BATCH)
        self.cluster.kill()
        time.sleep(self.seconds)
        self.cluster.start()
        time.sleep(self.seconds)
        self._set("max.message.bytes", DEFAULT_BATCH)

    def consumer_hangs(self) -> None:
        with self._hung([self.site.kept["popularity-1"]]):
            time.sleep(max(SESSION_SECONDS, self.seconds))

    def relay_hangs(self) -> None:
        with self._hung([self.site.kept["relay-1"]]):
            time.sleep(max(CLAIM_SECONDS + 5, self.seconds))

    def nameless_consumer_killed(self) -> None:
        self.site.kept["nameless"].kill()
        time.sleep(self.seconds)

    def credentials_changed(self) -> None:
        """A running connection keeps its rights, so the members start anew while their password is wrong."""
        self._set_password("another")
        before = {name: self.site.kept[name].starts for name in MEMBERS}
        for name in MEMBERS:
            self.site.kept[name].signal(signal.SIGTERM)
        deadline = time.monotonic() + END_SECONDS
        while any(self.site.kept[name].starts == n for name, n in before.items()):
            assert time.monotonic() < deadline, "a process does not end when it is asked to"
            time.sleep(0.1)
        time.sleep(self.seconds)
        self._set_password(PASSWORD)

    def topic_made_again(self) -> None:
        """Messages that were consumed are gone with the topic; what is recorded meanwhile waits.

        The visitors pause until it is gone: what is delivered and not consumed then is lost.
        """
        topic = self.site.environment.get("KAFKA_TOPIC", "movie.interactions")
        with self._hung([self.site.kept["feed"]]):  # to it the topic was never away
            with self._admin() as admin:
                admin.delete_topics([topic])
            self.load.pause.clear()
            time.sleep(self.seconds)
            self.site.run(MAKE_TOPIC)
            time.sleep(RELAY_SECONDS)

    @contextmanager
    def _hung(self, processes: list[Any]) -> Iterator[None]:
        signals = [getattr(each, "signal", None) or each.process().send_signal for each in processes]
        for send in signals:
            send(signal.SIGSTOP)
        try:
            yield
        finally:
            for send in signals:
                send(signal.SIGCONT)

    @contextmanager
    def _admin(self) -> Iterator[Any]:
        from kafka.admin import KafkaAdminClient

        admin = KafkaAdminClient(bootstrap_servers=self.cluster.servers())
        try:
            yield admin
        finally:
            admin.close()

    def _leader(self, partition: int = 0) -> ClusterNode:
        with self._admin() as admin:
            (topic,) = admin.describe_topics(["movie.interactions"])
        leaders = {each["partition_index"]: each["leader_id"] for each in topic["partitions"]}
        return next(node for node in self.cluster.nodes if node.number == leaders[partition])

    def _set(self, name: str, value: int) -> None:
        from kafka.admin import ConfigResource, ConfigResourceType

        with self._admin() as admin:
            configs = {name: str(value)}
            admin.alter_configs(
                [ConfigResource(ConfigResourceType.TOPIC, "movie.interactions", configs=configs)]
            )

    def _set_password(self, password: str) -> None:
        from kafka.admin import ScramMechanism, UserScramCredentialUpsertion

        with self._admin() as admin:
            change = UserScramCredentialUpsertion(USER, ScramMechanism.SCRAM_SHA_512, password)
            admin.alter_user_scram_credentials([change])


ALL = (
    "leader_killed",
    "leader_killed_and_back",
    "leader_hangs",
    "one_replica_too_few",
    "all_killed",
    "all_hang",
    "rolled",
    "consumer_hangs",
    "relay_hangs",
    "nameless_consumer_killed",
    "credentials_changed",
    "batch_too_large",
    "topic_made_again",
)


@dataclass
class Trial:
    """Counts of everything and, for each fault, seconds until the outbox was clear."""

    result: Result
    clear: dict[str, float | None] = field(default_factory=dict)
    deaths: dict[str, int] = field(default_factory=dict)  # processes that ended by themselves, by fault

    def table(self) -> str:
        lines = [
            f"{name.replace('_', ' '):<28}"
            f"{'never' if seconds is None else f'{seconds:.1f} s':>8}{self.deaths.get(name, 0):>6}"
            for name, seconds in self.clear.items()
        ]
        head = f"{'fault':<28}{'clear':>8}{'died':>6}"
        return "\n".join([head, *lines, "", self.result.table()])


def run(
    site: Deployment, cluster: KafkaCluster, names: tuple[str, ...], seconds: float, pause: float = PAUSE
) -> Trial:
    """Start everything, break Kafka and its members in turn under load, wait for everything and count."""
    manage = [sys.executable, str(ROOT / "manage.py")]
    site._keep("nameless", [*manage, "consume_events", "--group", "experiments"])
    load = Load(site.port, **site.run(SITE))
    outbox, breaker = Outbox(site), Breaker(site, cluster, load, seconds)
    visitors = [VisitorThread(load, number, pause) for number in range(ACCOUNTS)]
    started = time.monotonic()
    for visitor in visitors:
        visitor.start()
    clear: dict[str, float | None] = {}
    deaths: dict[str, int] = {}
    tally: dict[str, Any] = {}
    try:
        for name in names:
            load.now = "nothing"
            time.sleep(CALM_SECONDS)
            if name == "topic_made_again":  # the messages of the old topic are counted before it goes
                load.pause.set()
                tally = wait_and_count(site, load)
            load.now, before = name, _starts(site)
            getattr(breaker, name)()
            clear[name] = outbox.seconds_until_clear(time.time())
            deaths[name] = _starts(site) - before - (len(MEMBERS) if name == "credentials_changed" else 0)
            deaths[name] -= name == "nameless_consumer_killed"
            number = len(load.acknowledged)
            sys.stderr.write(f"{time.strftime('%H:%M:%S')} {number:>6} acknowledged; {name}: {clear[name]}\n")
        load.now = "nothing"
        time.sleep(CALM_SECONDS)
    finally:
        load.pause.clear()
        load.stop.set()
        for visitor in visitors:
            visitor.join()
        outbox.close()
    took = time.monotonic() - started
    delivered = tally.get("delivered", {})
    last = wait_and_count(site, load, delivered)
    problems = [f"{name}: the outbox did not clear" for name, seconds in clear.items() if seconds is None]
    starts = {name: kept.starts for name, kept in site.kept.items()}
    result = Result(load, last, starts, took, problems=problems)
    return Trial(result, clear, deaths)


def _starts(site: Deployment) -> int:
    return sum(kept.starts for kept in site.kept.values())


def main(n_brokers: int, seconds: float, logs: Path | None) -> int:
    with tempfile.TemporaryDirectory(prefix="reelgraph-cluster-") as folder:
        cluster = KafkaCluster(Path(folder), n_brokers)
        site = Deployment(Path(folder), kafka=cluster)
        if missing := site.missing():
            sys.stderr.write(f"{missing}\n")
            return 1
        skipped = () if n_brokers > 1 else ("one_replica_too_few",)
        try:
            site.start()
            trial = run(site, cluster, tuple(name for name in ALL if name not in skipped), seconds)
        finally:
            site.stop()
            if logs:
                logs.mkdir(parents=True, exist_ok=True)
                for log in [*Path(folder).glob("*.log"), *Path(folder).glob("kafka-*/server.log")]:
                    shutil.copy(log, logs / f"{log.parent.name}-{log.name}")
    sys.stdout.write(f"\n{trial.table()}\n")
    for problem in trial.result.problems:
        sys.stdout.write(f"PROBLEM: {problem}\n")
    return 1 if trial.result.problems else 0
