"""Run inside the site: where every interaction is, and what it led to. Prints JSON."""

TALLY = """
import json
from collections import Counter
import polars as pl
from django.conf import settings
from django.db.models import Sum
from movie.events.archive import get_archive
from movie.events.stream import get_event_stream
from movie.events.stream.messages import decode
from movie.training.training_feed import TrainingFeed
from movie.catalogue.models import Movie, Rating
from movie.events.models import DailyMovieActivity, DeadLetter, Event, ProcessedEvent
from movie.operations.health import readiness
from movie.events.models import Event
from movie.events.models import DeadLetter, DailyMovieActivity, ProcessedEvent

rated = Event.objects.filter(kind="rating").exclude(surface="import")
ratings = {}
for visitor, movie_id, value in Rating.objects.values_list("visitor", "movie_id", "value"):
    ratings.setdefault(visitor, {})[movie_id] = value
rows = set(Event.objects.exclude(surface="import").values_list("event_id", "movie_id"))
items = [(each.interaction.event_id, each.interaction.movie_id) for each in get_archive().read()]
stored = Counter(event_id for event_id, _ in rows | set(items))
stored.update(event_id for event_id, number in Counter(items).items() if number > 1)
delivered, empty = Counter(), 0
for batch in get_event_stream().consume("tally-GROUP", lambda: empty > 6):
    empty = 0 if batch else empty + 1
    for each in batch:
        message = decode(each.raw)
        if message.interaction.surface != "import":
            delivered[message.event_id] += 1
TrainingFeed().compact()
feed = pl.read_parquet(settings.FEED_DIR / "events.parquet")
feed = feed.filter(pl.col("surface") != "import")
experiments = ProcessedEvent.objects.filter(group="experiments")
print(json.dumps({
    "stored": stored,
    "in_rows": len(rows),
    "in_dynamodb": len(set(items)),
    "delivered": delivered,
    "activity": dict(DailyMovieActivity.objects.values_list("movie").annotate(Sum("count"))),
    "experiments": list(experiments.values_list("event_id", flat=True)),
    "feed": Counter(feed["event_id"]),
    "dead": DeadLetter.objects.count(),
    "ratings": sum(Movie.objects.values_list("rating_count", flat=True)),
    "rating_rows": Rating.objects.count(),
    "visitor_of": dict(rated.values_list("event_id", "visitor")),
    "stars": ratings,
    "readiness": readiness().as_json(),
}))
"""

PROGRESS = """
import json
from django.db.models import Sum
from movie.events.stream.backlog import backlog
from movie.events.models import DailyMovieActivity, ProcessedEvent
waiting = backlog()
print(json.dumps({
    "waiting": sum(each.rows for each in waiting.values()),
    "activity": DailyMovieActivity.objects.aggregate(n=Sum("count"))["n"] or 0,
    "experiments": ProcessedEvent.objects.filter(group="experiments").count(),
}))
"""
