"""Clicks and impressions in DynamoDB, decisions in the database.

Everything is first a row in the database. Relays (`manage.py relay_events`) copy clicks and
impressions to DynamoDB, and the rows are deleted some time later. No request writes to DynamoDB, and
one that cannot read from it goes on with what the database knows.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from itertools import islice

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from movie.event_log.base import DECISIONS, TOLD, Elsewhere, EventLogUnavailable
from movie.event_log.dynamodb_table import DynamoDBTable, Stored
from movie.event_log.embedded import EmbeddedEventLog
from movie.models import InteractionRecord
from movie.stream_models import TO_LOG, TO_PRUNE, LogChange
from predictors.history import Interaction, MovieId

log = logging.getLogger(__name__)

AWAY_SECONDS = 5.0  # after a failure pages do without DynamoDB for so long
# The table is ordered by event id, made when a page was rendered; a history is ordered by what
# happened. So many items more are read, in case some forms were open for long.
OUT_OF_ORDER = 50


class DynamoDBEventLog(EmbeddedEventLog):
    def __init__(self, *, table: str, region: str, endpoint_url: str = "") -> None:
        self.table = DynamoDBTable(table, region=region, endpoint_url=endpoint_url)
        self._away_until = 0.0

    def history(
        self, visitor: str, *, limit: int | None = None, movie_id: MovieId | None = None
    ) -> list[Interaction]:
        # First the rows: what is deleted from there meanwhile is already in DynamoDB.
        rows = super().history(visitor, limit=limit, movie_id=movie_id)
        return _joined(rows, self._elsewhere_if_there(visitor, limit, movie_id), limit)

    def export(self, visitor: str) -> list[Interaction]:
        rows = super().export(visitor)
        return _joined(rows, self._elsewhere(visitor), None)

    def visitors(self) -> Iterator[str]:
        yield from sorted({*super().visitors(), *self.table.visitors()})

    def elsewhere(self, visitor: str, movie_id: MovieId | None = None) -> Elsewhere:
        changes = LogChange.objects.filter(visitor=visitor).order_by("-pk").values_list("pk", flat=True)
        last = changes.first() or 0
        found = self._elsewhere_if_there(visitor, None, movie_id)
        return Elsewhere(frozenset(each.event_id for each in found), last)

    def forget(
        self, visitor: str, movie_id: MovieId | None = None, elsewhere: Elsewhere | None = None
    ) -> int:
        elsewhere = self.elsewhere(visitor, movie_id) if elsewhere is None else elsewhere
        with transaction.atomic():
            rows = super().history(visitor, movie_id=movie_id)
            there = self._still_there(elsewhere, visitor)
            deleted = super().forget(visitor, movie_id)
        return deleted + len(there - {each.event_id for each in rows})

    def merge(self, guest: str, user: str, elsewhere: Elsewhere | None = None) -> int:
        elsewhere = self.elsewhere(guest) if elsewhere is None else elsewhere
        with transaction.atomic():
            there = self._still_there(elsewhere, guest)
            rows = InteractionRecord.objects.filter(visitor=guest)
            # Also what is on its way, or there already, under the guest's key.
            rows.exclude(kind__in=DECISIONS).update(
                due=F("due").bitor(TO_LOG | TO_PRUNE), claim="", deliver_after=timezone.now()
            )
            event_ids = set(rows.values_list("event_id", flat=True))
            moved = super().merge(guest, user)
        return moved + len(there - event_ids)

    def follow(self, change: LogChange) -> None:
        """Make the table say what a forgetting or joining means. May be done twice.

        Raises EventLogUnavailable; then some of it may be done.
        """
        found = self.table.newest_first(change.visitor, consistent=True)
        covered = (each for each in found if _covered(each, change))
        while some := list(islice(covered, 500)):
            if change.kind == LogChange.Kind.MERGE:
                self.table.write([each.of(change.into) for each in some])
            self.table.write([], some)

    def _due(self, kind: str) -> int:
        return super()._due(kind) | (0 if kind in DECISIONS else TO_LOG | TO_PRUNE)

    def _due_of_changes(self) -> int:
        return super()._due_of_changes() | TO_LOG

    def _still_there(self, elsewhere: Elsewhere, visitor: str) -> frozenset[str]:
        """Nothing, if the visitor's history was deleted or joined since somebody looked."""
        later = LogChange.objects.filter(visitor=visitor, pk__gt=elsewhere.after)
        return frozenset() if later.exists() else elsewhere.event_ids

    def _elsewhere_if_there(
        self, visitor: str, limit: int | None, movie_id: MovieId | None
    ) -> list[Interaction]:
        """What DynamoDB has, or nothing for a while after it failed."""
        if time.monotonic() < self._away_until:
            return []
        try:
            found = self._elsewhere(visitor, None if movie_id else limit)
        except EventLogUnavailable as error:
            self._away_until = time.monotonic() + AWAY_SECONDS
            log.warning("Histories are without older clicks, as DynamoDB cannot be read: %s", error)
            return []
        return [each for each in found if each.kind in TOLD and movie_id in (None, each.movie_id)]

    def _elsewhere(self, visitor: str, limit: int | None = None) -> list[Interaction]:
        """What DynamoDB has, as it will be once it followed all changes."""
        due = LogChange.objects.undelivered(TO_LOG).order_by("pk")
        changes = list(due.filter(Q(visitor=visitor) | Q(into=visitor)))
        if guests := {change.visitor for change in changes if change.into == visitor}:
            changes = list(due.filter(Q(visitor=visitor) | Q(visitor__in=guests)))
        return [each.interaction for each in self._as_changed(visitor, changes, limit)]

    def _as_changed(self, visitor: str, changes: list[LogChange], limit: int | None) -> list[Stored]:
        items = self.table.newest_first(visitor)
        if limit is not None:
            told = (each for each in items if each.interaction.kind in TOLD)
            items = islice(told, limit + OUT_OF_ORDER)
        found = list(items)
        for place, change in enumerate(changes):
            if change.into == visitor:
                guest = self._as_changed(change.visitor, changes[:place], limit)
                found += [each.of(visitor) for each in guest if _covered(each, change)]
            elif change.visitor == visitor:
                found = [each for each in found if not _covered(each, change)]
        return found


def _covered(stored: Stored, change: LogChange) -> bool:
    return change.covers(stored.interaction.movie_id, stored.recorded_at)


def _joined(rows: list[Interaction], elsewhere: list[Interaction], limit: int | None) -> list[Interaction]:
    """Both as one, each interaction once, oldest first."""
    known = {(each.event_id, each.kind, each.movie_id): each for each in [*elsewhere, *rows]}
    merged = sorted(known.values(), key=lambda each: (each.at, each.event_id))
    return merged if limit is None else merged[-limit:]
