"""Run inside the site: where every interaction is, and what it led to. Prints JSON."""

TALLY = """
import json
from collections import Counter
import polars as pl
from django.db.models import Sum
from movie.catalogue.models import Movie, Rating
from movie.events.archive import get_archive
from movie.events.models import DailyMovieActivity, DeadLetter, Event, ProcessedEvent
from movie.operations.health import readiness
from movie.training.training_feed import TrainingFeed
from movie.visitors.visitor import can_act

ratings = {}
for visitor, movie_id, value in Rating.objects.values_list("visitor", "movie_id", "value"):
    if can_act(visitor):
        ratings.setdefault(visitor, {})[movie_id] = value
rows = set(Event.objects.values_list("event_id", "movie_id", "visitor"))
items = [
    (each.interaction.event_id, each.interaction.movie_id, each.interaction.visitor)
    for each in get_archive().read()
]
stored = Counter(event_id for event_id, *_ in rows | set(items))
stored.update(event_id for (event_id, *_), number in Counter(items).items() if number > 1)
TrainingFeed().compact()
feed = TrainingFeed().events().filter(pl.col("type") == "interaction")
experiments = ProcessedEvent.objects.filter(group="experiments")
print(json.dumps({
    "stored": stored,
    "owners": {event_id: visitor for event_id, _, visitor in [*items, *rows]},
    "in_rows": len(rows),
    "in_dynamodb": len(set(items)),
    "activity": dict(DailyMovieActivity.objects.values_list("movie").annotate(Sum("count"))),
    "experiments": list(experiments.values_list("event_id", flat=True)),
    "feed": Counter(feed["event_id"]),
    "feed_owners": dict(zip(feed["event_id"], feed["owner"])),
    "dead": DeadLetter.objects.count(),
    "ratings": sum(Movie.objects.values_list("rating_count", flat=True)),
    "rating_rows": Rating.objects.count(),
    "stars": ratings,
    "readiness": readiness().as_json(),
}))
"""

# Reads the whole topic, which takes a while.
DELIVERED = """
import json
import time
from collections import Counter
from movie.events.stream import get_event_stream
from movie.events.stream.messages import InteractionRecorded, decode

delivered, empty, end = Counter(), 0, time.monotonic() + 60
for batch in get_event_stream().consume(
    "tally-GROUP", lambda: time.monotonic() > end or (delivered and empty > 6)
):
    empty = 0 if batch else empty + 1
    for each in batch:
        message = decode(each.raw)
        if isinstance(message, InteractionRecorded):
            delivered[message.event_id] += 1
print(json.dumps(delivered))
"""

# Changes (deletions, merges) wait for half a minute, until no relay can still hold a row that they cover.
# Here everything else is delivered first, so nothing is left to wait for.
PROGRESS = """
import json
from django.utils import timezone
from movie.core.database import retry_on_deadlock
from movie.events.models import Event, HistoryChange
rows = Event.objects.undelivered().count()
if not rows:
    now = timezone.now()
    late = HistoryChange.objects.undelivered().filter(available_at__gt=now)
    retry_on_deadlock(late.update)(available_at=now)  # relays deliver them meanwhile
print(json.dumps({"waiting": rows + HistoryChange.objects.undelivered().count()}))
"""
