"""Run inside the site: where every interaction is, and what it led to. Prints JSON."""

TALLY = """
import json
from collections import Counter
import polars as pl
from django.conf import settings
from django.db.models import Sum
from movie.event_log import get_event_log
from movie.event_stream import get_event_stream
from movie.event_stream.messages import decode
from movie.event_stream.backlog import backlog
from movie.event_stream.training_feed import TrainingFeed
from movie.models import InteractionRecord, Movie
from movie.stream_models import DeadLetter, MovieActivity, ProcessedEvent, SurfaceCount

rows = set(InteractionRecord.objects.exclude(surface="import").values_list("event_id", "movie_id"))
items = []
table = get_event_log().table
for visitor in table.visitors():
    found = [each.interaction for each in table.newest_first(visitor)]
    items += [(each.event_id, each.movie_id) for each in found]
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
print(json.dumps({
    "stored": stored,
    "in_rows": len(rows),
    "in_dynamodb": len(set(items)),
    "delivered": delivered,
    "activity": dict(MovieActivity.objects.values_list("movie").annotate(Sum("count"))),
    "surface": SurfaceCount.objects.filter(surface="faults").aggregate(n=Sum("count"))["n"] or 0,
    "feed": Counter(feed["event_id"]),
    "dead": DeadLetter.objects.count(),
    "ratings": sum(Movie.objects.values_list("rating_count", flat=True)),
    "rating_rows": __import__("movie.models").models.Rating.objects.count(),
}))
"""

PROGRESS = """
import json
from django.db.models import Sum
from movie.event_stream.backlog import backlog
from movie.stream_models import MovieActivity, ProcessedEvent, SurfaceCount
waiting = backlog()
print(json.dumps({
    "waiting": sum(each.rows for each in waiting.values()),
    "activity": MovieActivity.objects.aggregate(n=Sum("count"))["n"] or 0,
    "surface": SurfaceCount.objects.filter(surface="faults").aggregate(n=Sum("count"))["n"] or 0,
}))
"""
