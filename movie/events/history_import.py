"""Import a visitor's own history file: few imports at a time, in small batches that let others write.

A file waits as a HistoryImport until its visitor has seen what it would bring, and can be taken back as one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from movie.core.batches import write_in_batches
from movie.core.database import is_away
from movie.events.models import Event, HistoryImport, ImportSlot
from movie.events.recording import InvalidInteraction, forget_imported, record_all
from movie.events.repeats import find_new
from predictors.history import Interaction

IMPORT_SECONDS = 40.0  # for one request: proxies wait for a minute
SLOTS = 2  # imports of the whole site at a time
LEASE = timedelta(seconds=2 * IMPORT_SECONDS)  # a slot whose server died is free after it
RETRY_SECONDS = 15
KEPT = timedelta(hours=1)  # a file that nobody confirms
LONGEST_NAME = 100


class ImportBusy(Exception):
    """Refuses an import that would have to wait. `is_own` when the visitor's own import is still at work."""

    def __init__(self, *, is_own: bool) -> None:
        super().__init__("an import is running")
        self.is_own = is_own


@dataclass(frozen=True, slots=True)
class ImportCounts:
    """Counts the interactions of a file.

    left  those not stored because the time was up, the database away or a movie deleted meanwhile
    """

    new: int
    known: int
    left: int


@contextmanager
def import_slot(visitor: str) -> Iterator[None]:
    """Hold one of the site's few places for imports. Raises ImportBusy, and never waits."""
    number = _take_slot(visitor)
    try:
        yield
    finally:
        with suppress(DatabaseError):  # else it runs out
            ImportSlot.objects.filter(number=number, visitor=visitor).delete()


def _take_slot(visitor: str) -> int:
    now = timezone.now()
    taken = dict(ImportSlot.objects.filter(expires_at__gt=now).values_list("visitor", "number"))
    if visitor in taken:
        raise ImportBusy(is_own=True)
    for number in set(range(SLOTS)) - set(taken.values()):
        with suppress(IntegrityError), transaction.atomic():
            ImportSlot.objects.filter(expires_at__lte=now).delete()
            ImportSlot.objects.create(number=number, visitor=visitor, expires_at=now + LEASE)
            return number
    raise ImportBusy(is_own=ImportSlot.objects.filter(visitor=visitor).exists())


def import_history(
    interactions: list[Interaction],
    *,
    network: str = "",
    number: int | None = None,
    seconds: float = IMPORT_SECONDS,
) -> ImportCounts:
    """Store a visitor's interactions, each batch in one transaction; what is known is found before.

    `network` is as for `record`; `number` is that of the HistoryImport. What was stored stays, whatever
    happens next: the same file again does the rest.
    """
    until = time.monotonic() + seconds
    remaining = find_new(interactions).interactions
    n_known = len(interactions) - len(remaining)
    n_done = n_new = 0

    def store(batch: list[Interaction]) -> int:
        nonlocal n_done
        stored = record_all(batch, network=network, import_number=number)
        n_done += len(batch)
        return stored

    try:
        for stored in write_in_batches(remaining, store, until=until):
            n_new += stored
    except InvalidInteraction:  # a movie was deleted after the file was read
        pass
    except DatabaseError as error:
        if not is_away(error):
            raise
    return ImportCounts(new=n_new, known=n_known + n_done - n_new, left=len(remaining) - n_done)


def prepare_import(visitor: str, name: str, source: str, content: bytes) -> HistoryImport:
    """Keep a file until its visitor confirms it: one of each visitor, and none for long."""
    old = Q(created__lt=timezone.now() - KEPT) | Q(visitor=visitor)
    HistoryImport.objects.filter(old, count=0).delete()
    HistoryImport.objects.filter(old).exclude(content=b"").update(content=b"")
    return HistoryImport.objects.create(
        visitor=visitor, name=name[:LONGEST_NAME], source=source, content=content
    )


def finish_import(
    prepared: HistoryImport,
    interactions: list[Interaction],
    *,
    network: str = "",
    seconds: float | None = None,
) -> ImportCounts:
    """Store what a prepared file says. Its content goes once all of it is stored."""
    limits = {} if seconds is None else {"seconds": seconds}
    counts = import_history(interactions, network=network, number=prepared.pk, **limits)
    prepared.count += counts.new
    if not counts.left:
        prepared.content = b""
    if prepared.count or prepared.content:
        prepared.save(update_fields=["content", "count"])
    else:
        prepared.delete()
    return counts


def take_back_import(done: HistoryImport) -> int:
    """Delete what an import brought, in small batches; return how many interactions went.

    What the visitor did besides with the same films stays. If it is cut short, the same call does the rest.
    """
    brought = Event.objects.of(done.visitor).filter(import_number=done.pk)
    movies = sorted(set(brought.values_list("movie", flat=True)))

    def forget(some: list[int]) -> int:
        return forget_imported(done.visitor, done.pk, some)

    count = sum(write_in_batches(movies, forget))
    done.delete()
    return count
