"""Relays deliver the outbox to the archive and the stream. Any number of them share the work.

A relay claims rows for half a minute, delivers them, and only then marks them. One that dies leaves
its claim to run out, and another delivers the rows again: archived rows replace themselves and
consumers know the ids.
"""

from __future__ import annotations

import logging
import math
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from movie.core.backoff import Backoff
from movie.core.database import retry_on_deadlock, retry_while_away
from movie.core.shutdown import GracefulShutdown
from movie.events.archive import ArchiveUnavailable, ClickArchive, get_archive
from movie.events.archive.base import Archived
from movie.events.history import covers
from movie.events.models import (
    CLAIM,
    CLOCK_ERROR,
    DELIVERIES,
    TO_PRUNE,
    Event,
    HistoryChange,
    pending_values,
)
from movie.events.stream import EventStreamUnavailable, get_event_stream
from movie.events.stream.backlog import SINKS
from movie.events.stream.messages import (
    GuestMerged,
    HistoryForgotten,
    InteractionRecorded,
    Message,
)
from movie.telemetry.counters import count_delivered, count_delivery_failure, count_pruned

log = logging.getLogger(__name__)

BATCH = 500
IDLE_SECONDS = 0.2  # between looks at an empty outbox
LONGEST_STREAM_PAUSE = 5.0  # seconds: a broker that is back gets what waits within seven seconds
PRUNED_AT_ONCE = 2_000
CHANGED_AT_ONCE = 500
FURTHEST_AHEAD = 2 * CLAIM  # of the end of a claim or of a pause, with clocks that differ a little


@dataclass
class Sink:
    """A place to deliver to, with its pause after failures."""

    label: str  # in metrics
    name: str
    delivered: int = 0
    failures: int = 0
    backoff: Backoff = field(default_factory=Backoff)
    open_at: float = 0.0  # monotonic
    logged: str = ""  # the last failure in the log

    def __post_init__(self) -> None:
        self.bit = SINKS[self.label]
        count_delivered(self.label, 0)  # known to Prometheus before the first delivery
        count_delivery_failure(self.label, 0)

    def is_open(self) -> bool:
        return time.monotonic() >= self.open_at

    def record_success(self, number: int) -> None:
        if self.backoff.failures:
            log.info("%s takes deliveries again", self.name)
            self.logged = ""
        self.delivered += number
        count_delivered(self.label, number)
        self.backoff.reset()

    def record_failure(self, error: Exception) -> None:
        self.failures += 1
        count_delivery_failure(self.label)
        if str(error) != self.logged:
            self.logged = str(error)
            log.warning("%s takes no deliveries, they wait: %s", self.name, error)
        self.open_at = time.monotonic() + self.backoff.next_pause()


@dataclass
class Relay:
    """Delivers the outbox; `keep` is the time for which delivered rows stay, so that repeats are
    recognised.
    """

    batch: int = BATCH
    keep: timedelta = field(default_factory=lambda: timedelta(minutes=settings.OUTBOX_KEEP_MINUTES))
    pruned: int = 0

    def __post_init__(self) -> None:
        self.archive, self.stream = get_archive(), get_event_stream()
        self.to_archive = Sink("archive", "The archive")
        self.to_stream = Sink("stream", "The stream", backoff=Backoff(LONGEST_STREAM_PAUSE))
        sinks = ((self.archive, self.to_archive), (self.stream, self.to_stream))
        self.sinks = [sink for backend, sink in sinks if backend.uses_outbox]
        self._looked_ahead_at = -math.inf  # monotonic

    def run(self, shutdown: GracefulShutdown) -> None:
        """Deliver until asked to stop. A database that is away is waited for."""
        while not shutdown.requested():
            if not retry_while_away(self.step, shutdown):
                connection.close_if_unusable_or_obsolete()
                shutdown.wait(IDLE_SECONDS)
        self.stream.close()

    def step(self) -> bool:
        """Deliver one batch and one change and prune old rows; return whether there was anything to do."""
        self._allow_for_wrong_clocks()
        rows = self._deliver_rows()
        changes = self._deliver_change()
        pruned = self._prune()
        return bool(rows or changes or pruned == PRUNED_AT_ONCE)

    @retry_on_deadlock
    def _allow_for_wrong_clocks(self) -> None:
        """Let rows wait for a claim at most, and delete the changes that have served their time.

        What was recorded while a clock was ahead would wait until that time has come, and so would every
        deletion and merge after it.
        """
        if time.monotonic() - self._looked_ahead_at < CLAIM.total_seconds():
            return
        self._looked_ahead_at = time.monotonic()
        now = timezone.now()
        for model in (Event, HistoryChange):
            ahead = model.objects.undelivered().filter(available_at__gt=now + FURTHEST_AHEAD)
            if number := ahead.update(available_at=now + CLAIM):
                log.warning("%d rows were recorded while a clock was ahead; they wait no longer", number)
        old = HistoryChange.objects.filter(pending_sinks=0, recorded_at__lte=now - CLOCK_ERROR)
        old.delete()

    def _deliver_rows(self) -> int:
        bits = sum(sink.bit for sink in self.sinks if sink.is_open())
        if not bits:
            return 0
        claim = uuid.uuid4().hex
        until = time.monotonic() + CLAIM.total_seconds() / 2
        rows = self._claim(pending_values(bits), claim)
        done: dict[str, int] = defaultdict(int)
        for sink, deliver in ((self.to_archive, self._write_archive), (self.to_stream, self._publish)):
            some = [row for row in rows if row.pending_sinks & sink.bit & bits]
            # A process that was held up must not deliver what others may have claimed since.
            if some and time.monotonic() < until and _try_delivery(sink, deliver, some):
                for row in some:
                    done[row.pk] |= sink.bit
        self._mark(rows, done, claim)
        return len(done)

    @retry_on_deadlock
    def _claim(self, values: list[int], claim: str) -> list[Event]:
        ready = Event.objects.filter(pending_sinks__in=values).ready(timezone.now())
        if not ready.exists():
            return []
        with transaction.atomic():
            now = timezone.now()
            ids: list[str] = []
            for value in values:  # one by one, so that each is a walk along the index
                rows = Event.objects.filter(pending_sinks=value).ready(now).order_by("available_at")
                rows = rows.select_for_update(
                    skip_locked=connection.features.has_select_for_update_skip_locked
                )
                ids += rows.values_list("pk", flat=True)[: self.batch - len(ids)]
            Event.objects.filter(pk__in=ids).update(claimed_by=claim, available_at=now + CLAIM)
        # By id, which is by time: a visitor's events go out in order as far as one relay can help it.
        return list(Event.objects.filter(pk__in=ids, claimed_by=claim).order_by("pk"))

    @retry_on_deadlock
    def _mark(self, rows: Sequence[Event], done: dict[str, int], claim: str) -> None:
        """Mark the delivered rows. A row that changed hands or was merged into an account is left."""
        now = timezone.now()
        groups: dict[tuple[int, datetime], list[str]] = defaultdict(list)
        for row in rows:
            pending = row.pending_sinks & ~done[row.pk]
            after = now + self.keep if pending == TO_PRUNE else now
            groups[pending, after].append(row.pk)
        with transaction.atomic():
            for (pending, after), ids in groups.items():
                Event.objects.filter(pk__in=ids, claimed_by=claim).update(
                    pending_sinks=pending, available_at=after, claimed_by=""
                )

    def _deliver_change(self) -> int:
        """Deliver the oldest deletion or merge; each sink takes them in order of their ids."""
        followed = 0
        for sink, deliver in (
            (self.to_archive, self._apply_changes),
            (self.to_stream, self._publish_changes),
        ):
            if sink not in self.sinks or not sink.is_open():
                continue
            change = self._claim_change(sink.bit)
            if change is not None:
                worked = _try_delivery(sink, deliver, [change])
                left = F("pending_sinks").bitand(DELIVERIES - sink.bit) if worked else F("pending_sinks")
                HistoryChange.objects.filter(pk=change.pk).update(
                    pending_sinks=left, available_at=timezone.now()
                )
                followed += worked
        return followed

    @retry_on_deadlock
    def _claim_change(self, bit: int) -> HistoryChange | None:
        due = HistoryChange.objects.undelivered(bit).order_by("pk")
        if not due.exists():
            return None
        with transaction.atomic():
            change = due.select_for_update().first()
            if change is None or change.available_at > timezone.now():
                return None
            HistoryChange.objects.filter(pk=change.pk).update(available_at=timezone.now() + CLAIM)
        return change

    @retry_on_deadlock
    def _prune(self) -> int:
        old = Event.objects.filter(pending_sinks=TO_PRUNE).ready(timezone.now())
        ids = list(old.values_list("pk", flat=True)[:PRUNED_AT_ONCE])
        if ids:
            pruned, _ = Event.objects.filter(pk__in=ids, pending_sinks=TO_PRUNE).delete()
            self.pruned += pruned
            count_pruned(pruned)
        return len(ids)

    def _write_archive(self, rows: Sequence[Event]) -> None:
        self.archive.write([Archived(row.interaction, row.recorded_at) for row in rows])

    def _publish(self, rows: Sequence[Event]) -> None:
        self.stream.publish([InteractionRecorded(row.interaction, row.recorded_at) for row in rows])

    def _apply_changes(self, changes: Sequence[HistoryChange]) -> None:
        for change in changes:
            apply_change(self.archive, change)

    def _publish_changes(self, changes: Sequence[HistoryChange]) -> None:
        self.stream.publish([message_of(change) for change in changes])


def _try_delivery(sink: Sink, deliver: Callable[[Sequence], None], what: Sequence) -> bool:
    try:
        deliver(what)
    except (ArchiveUnavailable, EventStreamUnavailable) as error:
        sink.record_failure(error)
        return False
    sink.record_success(len(what))
    return True


def apply_change(archive: ClickArchive, change: HistoryChange) -> None:
    """Delete or move what a change covers. May be done twice, and half when ArchiveUnavailable is raised."""
    covered = (each for each in archive.read(change.visitor) if covers(change, each))
    while some := list(islice(covered, CHANGED_AT_ONCE)):
        if change.kind == HistoryChange.Kind.MERGE:
            archive.write([each.of(change.into) for each in some])
        archive.delete(some)


def message_of(change: HistoryChange) -> Message:
    if change.kind == HistoryChange.Kind.MERGE:
        return GuestMerged(change.event_id, change.visitor, change.into, change.recorded_at)
    return HistoryForgotten(change.event_id, change.visitor, change.movie_id, change.recorded_at)
