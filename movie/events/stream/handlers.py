"""The consumer groups: what follows from events beyond their visitor's own pages, one handler each.

The setting EVENT_HANDLERS names them. With a broker `manage.py consume_events` runs them; without one,
those that count run within the transaction that records the event.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.module_loading import import_string

from movie.catalogue.models import Movie
from movie.core.database import retry_on_deadlock
from movie.events.models import DailyMovieActivity, ProcessedEvent
from movie.events.stream.counts import add_counts
from movie.events.stream.messages import InteractionRecorded, Message
from predictors.history import Interaction

REMEMBERED = timedelta(days=15)  # longer than a topic keeps a message
DROPPED_FIRST = timedelta(days=2)  # in which partitions of marks are dropped before rows are deleted
MARKS_AT_ONCE = 10_000
INTEREST = ("click", "rating", "watchlist")
NOT_COUNTED = ("import", "admin")  # surfaces: not done by the visitor on the site


class Handler(ABC):
    """Processes the messages of a consumer group, each once. Raises ValueError and its like for one it
    cannot.
    """

    group: str

    @abstractmethod
    def handle(self, messages: Sequence[Message]) -> None:
        """Process messages, all or none; return once the effect is kept."""

    def maintenance(self) -> None:  # noqa: B027 - most have nothing to do
        """Clean up; called now and then."""


class CountingHandler(Handler):
    """A handler whose effect is in the database: the effect and the ids of its events are one commit."""

    @abstractmethod
    def apply(self, messages: Sequence[Message]) -> None:
        """Process messages that were not processed before, inside a transaction."""

    def handle(self, messages: Sequence[Message]) -> None:
        by_id = {each.event_id: each for each in messages}
        try:
            self._apply_new(by_id)
        except IntegrityError:
            # Another member had the same event, as happens when partitions move. Now its ids are known.
            self._apply_new(by_id)

    def maintenance(self) -> None:
        old = ProcessedEvent.objects.filter(processed_at__lt=timezone.now() - REMEMBERED - DROPPED_FIRST)
        times = old.order_by("processed_at").values_list("processed_at", flat=True)
        if some := times[:MARKS_AT_ONCE]:
            old.filter(processed_at__lte=list(some)[-1]).delete()

    def drop_deleted(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Return the messages whose subject still exists."""
        return messages

    @retry_on_deadlock
    def _apply_new(self, messages: Mapping[str, Message]) -> None:
        rows = ProcessedEvent.objects.filter(group=self.group, event_id__in=list(messages))
        with transaction.atomic():
            processed = set(rows.values_list("event_id", flat=True))
            new = [event_id for event_id in messages if event_id not in processed]
            if new:
                ProcessedEvent.objects.bulk_create(
                    [ProcessedEvent(group=self.group, event_id=event_id) for event_id in sorted(new)]
                )
                self.apply(self.drop_deleted([messages[event_id] for event_id in new]))


class Popularity(CountingHandler):
    """Counts how often each movie is opened, rated or put on a watchlist, by day."""

    group = "popularity"

    def drop_deleted(self, messages: Sequence[Message]) -> Sequence[Message]:
        recorded = [each for each in messages if isinstance(each, InteractionRecorded)]
        wanted = {each.interaction.movie_id for each in recorded}
        there = set(Movie.objects.filter(pk__in=wanted).values_list("pk", flat=True))
        return [each for each in recorded if each.interaction.movie_id in there]

    def apply(self, messages: Sequence[Message]) -> None:
        counts = Counter(
            (each.movie_id, each.at.astimezone(UTC).date())
            for each in counted_interactions(messages)
            if each.kind in INTEREST and (each.kind == "rating" or each.value is None)
        )
        add_counts(DailyMovieActivity, ("movie", "day"), counts)


def counted_interactions(messages: Iterable[Message]) -> list[Interaction]:
    """Return the interactions of visitors on the site, without imported ones."""
    recorded = (each.interaction for each in messages if isinstance(each, InteractionRecorded))
    return [each for each in recorded if is_counted(each)]


def is_counted(interaction: Interaction) -> bool:
    """Return whether the visitor did it on the site: imports and edits by staff are not counted."""
    return interaction.surface not in NOT_COUNTED


def get_handler(group: str) -> Handler:
    handler: Handler = import_string(settings.EVENT_HANDLERS[group])()
    return handler


def handle_in_process(messages: Sequence[Message]) -> None:
    """Run the counting handlers in the open transaction, where each event is recorded once."""
    for path in settings.EVENT_HANDLERS.values():
        kind = import_string(path)
        if issubclass(kind, CountingHandler):
            kind().apply(messages)
