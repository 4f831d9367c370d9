"""What follows from what visitors do, beyond their own pages: one handler for each group of consumers.

Where a broker is configured, `manage.py consume_events` runs them; elsewhere those that count run
within the transaction that records the interaction.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.module_loading import import_string

from movie.database import retried_on_deadlock
from movie.event_stream.counts import add_counts
from movie.event_stream.messages import Message, Recorded
from movie.experiment_counts import count, follow
from movie.models import Movie
from movie.stream_models import MovieActivity, ProcessedEvent, SurfaceCount

GROUPS = {
    "popularity": "movie.event_stream.handlers.Popularity",
    "training-feed": "movie.event_stream.training_feed.TrainingFeed",
    "experiments": "movie.event_stream.handlers.Experiments",
}
REMEMBERED = timedelta(days=15)  # longer than a topic keeps a message
INTEREST = ("click", "rating", "watchlist")
NOT_COUNTED = ("import",)  # surfaces: brought along from elsewhere, not done here


class Handler(ABC):
    """Makes messages have their effect, once each. Raises ValueError and its like for one that cannot."""

    group: str

    @abstractmethod
    def handle(self, messages: Sequence[Message]) -> None:
        """Returns once the effect of all of them is kept; all or none."""

    def tidy(self) -> None:  # noqa: B027 - most have nothing to tidy
        """Called now and then."""


class CountingHandler(Handler):
    """A handler whose effect is in the database: the effect and the ids of its events are one commit."""

    @abstractmethod
    def count(self, events: Sequence[Recorded]) -> None:
        """The effect of events that had none yet, inside a transaction."""

    def handle(self, messages: Sequence[Message]) -> None:
        events = {each.event_id: each for each in messages if isinstance(each, Recorded)}
        try:
            self._count_new(events)
        except IntegrityError:
            # Another member had the same event, as happens when partitions move. Now its ids are known.
            self._count_new(events)

    def tidy(self) -> None:
        old = ProcessedEvent.objects.filter(processed_at__lt=timezone.now() - REMEMBERED)
        ids = list(old.values_list("pk", flat=True)[:10_000])
        ProcessedEvent.objects.filter(pk__in=ids).delete()

    def still_there(self, events: Sequence[Recorded]) -> Sequence[Recorded]:
        """Without what was deleted while the message was under way."""
        return events

    @retried_on_deadlock
    def _count_new(self, events: dict[str, Recorded]) -> None:
        seen = ProcessedEvent.objects.filter(group=self.group, event_id__in=list(events))
        with transaction.atomic():
            new = sorted(events.keys() - set(seen.values_list("event_id", flat=True)))
            if new:
                ProcessedEvent.objects.bulk_create(
                    [ProcessedEvent(group=self.group, event_id=event_id) for event_id in new]
                )
                self.count(self.still_there([events[event_id] for event_id in new]))


class Popularity(CountingHandler):
    """How often each film is opened, rated or put on a watchlist, by day."""

    group = "popularity"

    def still_there(self, events: Sequence[Recorded]) -> Sequence[Recorded]:
        wanted = {each.interaction.movie_id for each in events}
        there = set(Movie.objects.filter(pk__in=wanted).values_list("pk", flat=True))
        return [each for each in events if each.interaction.movie_id in there]

    def count(self, events: Sequence[Recorded]) -> None:
        counts = Counter(
            (each.movie_id, each.at.astimezone(UTC).date())
            for each in _counted(events)
            if each.kind in INTEREST and (each.kind == "rating" or each.value is None)
        )
        add_counts(MovieActivity, ("movie", "day"), counts)


class Experiments(CountingHandler):
    """What is done on each part of each page, by day, and by each visitor with the lists of an experiment."""

    group = "experiments"

    def handle(self, messages: Sequence[Message]) -> None:
        super().handle(messages)
        follow(messages)

    def count(self, events: Sequence[Recorded]) -> None:
        counts = Counter(
            (each.at.astimezone(UTC).date(), each.surface, each.kind)
            for each in _counted(events)
            if each.surface
        )
        add_counts(SurfaceCount, ("day", "surface", "kind"), counts)
        count(_counted(events))


def handler_of(group: str) -> Handler:
    handler: Handler = import_string(GROUPS[group])()
    return handler


def handle_in_process(messages: Sequence[Message]) -> None:
    """The counting effects, in the open transaction. What is recorded once counts once."""
    events = [each for each in messages if isinstance(each, Recorded)]
    for counting in (Popularity(), Experiments()):
        counting.count(events)
    follow(messages)


def _counted(events: Sequence[Recorded]) -> list:
    return [each.interaction for each in events if each.interaction.surface not in NOT_COUNTED]
