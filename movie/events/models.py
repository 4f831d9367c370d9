"""Tables of events: what visitors did, the outbox, and what the consumers keep."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import ClassVar, Self, TypeVar

from django.db import models
from django.db.models import Expression, F
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from movie.core.fields import ExactCharField
from predictors.history import Interaction, MovieId

# The sinks that relays still have to serve a row for; `pending_sinks` is a sum of these.
TO_ARCHIVE, TO_STREAM, TO_PRUNE = 1, 2, 4
DELIVERIES = TO_ARCHIVE | TO_STREAM
CLAIM = timedelta(seconds=30)  # for which a relay has the rows it took; a dead one's are free after it
CLOCK_ERROR = timedelta(
    days=1
)  # by which the clocks of two processes may differ, or one be set ahead or back

# What ratings and lists follow from: it stays in the database, where one transaction sees all of it.
DECISION_KINDS = ("rating", "dismiss", "watchlist", "watch", "undo")
HISTORY_KINDS = (*DECISION_KINDS, "click")  # an impression is nothing that a visitor did
FIELDS = (
    "event_id",
    "visitor",
    "kind",
    "movie_id",
    "at",
    "value",
    "surface",
    "recommendation_id",
    "watched_on",
    "progress",
    "weight",
)


Row = TypeVar("Row", bound=models.Model)


class DeliverableQuerySet(models.QuerySet[Row]):
    def undelivered(self, sinks: int = DELIVERIES) -> Self:
        """Return the rows that wait for any of these sinks."""
        return self.filter(pending_sinks__in=pending_values(sinks))

    def ready(self, now: datetime) -> Self:
        """Return the rows that no relay has claimed and that do not pause after a failure."""
        return self.filter(available_at__lte=now)


class Deliverable(models.Model):
    """A row that relays deliver. `available_at` is the end of a claim, of a pause after a failure or, once
    delivered, of the time for which the row is kept.
    """

    recorded_at = models.DateTimeField(_("recorded"), default=timezone.now)
    pending_sinks = models.PositiveSmallIntegerField(default=0)
    available_at = models.DateTimeField(default=timezone.now)
    claimed_by = ExactCharField(max_length=32, blank=True)

    class Meta:
        abstract = True


class EventQuerySet(DeliverableQuerySet["Event"]):
    def of(self, visitor: str | Expression, movie_id: MovieId | None = None) -> Self:
        """Return the events of a visitor, with one movie if given."""
        rows = self.filter(visitor=visitor)
        return rows if movie_id is None else rows.filter(movie_id=movie_id)

    def of_pairs(self, visitors: Collection[str], movies: Collection[MovieId]) -> Self:
        """Return the events of these visitors with these movies, in no order.

        One visitor's are found pair by pair in `events_of_movie_and_visitor`. Of many visitors the pairs are
        a cross product: the sum keeps databases from going through it, and they read the visitors' events.
        """
        rows = self.filter(visitor__in=visitors).order_by()
        if len(visitors) == 1:
            return rows.filter(movie__id__in=movies)
        return rows.alias(number=F("movie_id") + 0).filter(number__in=movies)

    def decisions(self) -> Self:
        return self.filter(kind__in=DECISION_KINDS)

    def interactions(self, limit: int | None = None) -> list[Interaction]:
        """Return the latest `limit` of these events (all, when None), oldest first."""
        rows = self.order_by("-at", "-event_id").values_list(*FIELDS)
        return [Interaction(*row) for row in rows[:limit]][::-1]


class Event(Deliverable):
    """One interaction of a visitor; see `predictors.history.Interaction` for the fields.

    With an archive or a stream it is a row of the outbox too: `pending_sinks` says where it is to go.
    """

    event_id = ExactCharField(max_length=36, primary_key=True)
    visitor = ExactCharField(_("visitor"), max_length=128)
    kind = models.CharField(_("kind"), max_length=16)
    # `events_of_movie_and_visitor` is its index. The database has no constraint, with which the table could
    # not be partitioned or sharded: `ratings.hold_movies` keeps the movie until an event is committed.
    movie = models.ForeignKey(
        "catalogue.Movie", models.CASCADE, related_name="+", db_index=False, db_constraint=False
    )
    at = models.DateTimeField(_("at"))
    value = models.FloatField(_("stars"), null=True, blank=True)
    surface = models.CharField(_("page"), max_length=32, blank=True)
    recommendation_id = ExactCharField(_("recommendation"), max_length=36, blank=True)
    watched_on = models.DateField(_("watched on"), null=True, blank=True)  # of a watch
    progress = models.FloatField(_("progress"), null=True, blank=True)  # of a watch, 0 to 1
    weight = models.FloatField(_("weight"), null=True, blank=True)  # of a click
    import_number = models.BigIntegerField(null=True, editable=False)  # of the HistoryImport it came by

    objects = EventQuerySet.as_manager()

    class Meta:
        verbose_name = _("interaction")
        verbose_name_plural = _("interactions")
        indexes: ClassVar = [
            models.Index(fields=["visitor", "at", "event_id"], name="events_of_visitor"),
            # What one visitor did with some movies is found without a look at the rest of a long history.
            models.Index(fields=["movie", "visitor"], name="events_of_movie_and_visitor"),
            models.Index(fields=["pending_sinks", "available_at"], name="pending_events"),
        ]

    def __str__(self) -> str:
        return f"{self.visitor} {self.kind} {self.movie_id}"

    @property
    def interaction(self) -> Interaction:
        return Interaction(*(getattr(self, name) for name in FIELDS))


class HistoryChange(Deliverable):
    """A deletion or a merge of histories, which the archive and the stream follow.

    It covers what was recorded up to it. The archive follows the changes one by one in order of their ids.
    Once followed it stays for CLOCK_ERROR: what the visitor does meanwhile is recorded as later than it.
    """

    class Kind(models.TextChoices):
        FORGET = "forget", _("Forget")
        MERGE = "merge", _("Merge")

    event_id = ExactCharField(max_length=36, unique=True)
    kind = models.CharField(_("kind"), max_length=8, choices=Kind.choices)
    visitor = ExactCharField(_("visitor"), max_length=128, db_index=True)
    into = ExactCharField(_("account"), max_length=128, blank=True, db_index=True)
    movie_id = models.BigIntegerField(_("film"), null=True, blank=True)

    objects = DeliverableQuerySet["HistoryChange"].as_manager()

    class Meta:
        verbose_name = _("change of the log")
        verbose_name_plural = _("changes of the log")
        indexes: ClassVar = [models.Index(fields=["pending_sinks", "available_at"], name="pending_changes")]

    def __str__(self) -> str:
        return f"{self.kind} {self.visitor} {self.into}".strip()

    def covers(self, movie_id: MovieId, recorded_at: datetime) -> bool:
        """Return whether this change deletes or moves an event of the visitor."""
        return recorded_at <= self.recorded_at and self.movie_id in (None, movie_id)


def pending_values(sinks: int) -> list[int]:
    """Return every value of `pending_sinks` that contains any of these sinks."""
    return [value for value in range(1, (DELIVERIES | TO_PRUNE) + 1) if value & sinks]


class VisitorStanding(models.Model):
    """Holds since when a guest or a member has rated, and the weight of their ratings as last settled."""

    visitor = ExactCharField(max_length=128, primary_key=True)
    since = models.DateTimeField()
    weight = models.PositiveSmallIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.visitor}: {self.weight}%"


class NetworkOfRating(models.Model):
    """Keeps for some weeks from which network a rating came, as a keyed hash that differs by movie."""

    visitor = ExactCharField(max_length=128)
    movie = models.ForeignKey("catalogue.Movie", models.CASCADE, related_name="+")
    network = ExactCharField(max_length=24, db_index=True)
    created = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["visitor", "movie"], name="one_network_per_rating")
        ]

    def __str__(self) -> str:
        return f"{self.movie_id} {self.network}"


class DailyMovieActivity(models.Model):
    """Counts how often a movie was opened, rated or put on a watchlist on a day (UTC)."""

    movie = models.ForeignKey("catalogue.Movie", models.CASCADE, related_name="activity")
    day = models.DateField(_("day"))
    count = models.PositiveIntegerField(_("how often"), default=0)

    class Meta:
        verbose_name = _("activity")
        verbose_name_plural = _("activity")
        constraints: ClassVar = [models.UniqueConstraint(fields=["movie", "day"], name="one_count_a_day")]
        indexes: ClassVar = [models.Index(fields=["day", "movie", "count"], name="activity_of_days")]

    def __str__(self) -> str:
        return f"{self.movie_id} {self.day}: {self.count}"


class ProcessedEvent(models.Model):
    """Marks an event as processed by a consumer group, so that a redelivery has no effect.

    The key begins with the time-ordered id: new rows are put at the end, and a day is a range of the key.
    """

    pk = models.CompositePrimaryKey("event_id", "group")
    group = ExactCharField(max_length=32)
    event_id = ExactCharField(max_length=36)
    processed_at = models.DateTimeField(default=timezone.now, db_index=True)

    def __str__(self) -> str:
        return f"{self.group} {self.event_id}"


class ImportSlot(models.Model):
    """Lets one import of a history file run: few at a time, and one of each visitor."""

    number = models.PositiveSmallIntegerField(primary_key=True)
    visitor = ExactCharField(max_length=128, unique=True)
    expires_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.number} {self.visitor}"


class HistoryImport(models.Model):
    """One file that a visitor brings. `content` is kept until the visitor has confirmed it.

    Events name it by `import_number` and not by a foreign key, whose index on the largest table only
    deletions would use: they find an import's events among those of the visitor.
    """

    visitor = ExactCharField(max_length=128, db_index=True)
    created = models.DateTimeField(default=timezone.now, db_index=True)
    name = models.CharField(max_length=100)
    source = models.CharField(max_length=16)
    content = models.BinaryField(default=b"")
    count = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.visitor} {self.name}: {self.count}"


class DeadLetter(models.Model):
    """A message that a consumer group could not process, kept for replay."""

    group = ExactCharField(_("group"), max_length=32)
    position = ExactCharField(_("where it was"), max_length=128)
    raw = models.TextField(_("message"))
    reason = models.CharField(_("reason"), max_length=255)
    created = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["pk"]
        verbose_name = _("dead letter")
        verbose_name_plural = _("dead letters")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["group", "position"], name="each_position_once_a_group")
        ]

    def __str__(self) -> str:
        return f"{self.group} {self.position}: {self.reason}"
