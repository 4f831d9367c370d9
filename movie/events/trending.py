"""Movies by the activity of the last week."""

from datetime import timedelta

from django.core.cache import cache
from django.db.models import Case, F, Sum, Value, When
from django.utils import timezone

from movie.catalogue.models import Movie
from movie.events.models import DailyMovieActivity

DAYS = 7
FRESH_DAYS, FRESH_WEIGHT = 2, 3  # today and yesterday count three times
KEPT = 60  # films: enough for a row without what a visitor has seen
MOST_RANKED = 10 * KEPT  # films: among so many, most are visible
CACHED_SECONDS = 60


def trending_ids() -> list[int]:
    """Return the ids of visible movies by their activity of the last week, most first; at most a minute
    old.
    """
    return cache.get_or_set("trending-films", _rank_by_activity, CACHED_SECONDS) or []


def _rank_by_activity() -> list[int]:
    today = timezone.now().date()
    weight = Case(
        When(day__gt=today - timedelta(days=FRESH_DAYS), then=Value(FRESH_WEIGHT)), default=Value(1)
    )
    days = DailyMovieActivity.objects.filter(day__gt=today - timedelta(days=DAYS), day__lte=today)
    heat = days.values("movie").annotate(heat=Sum(F("count") * weight)).order_by("-heat", "movie")
    ranked = list(heat.values_list("movie", flat=True)[:MOST_RANKED])  # once: the counts move meanwhile
    shown: list[int] = []
    # The best-ranked movies are looked up, rather than all that are hidden; few of them are.
    for start in range(0, len(ranked), KEPT):
        some = ranked[start : start + KEPT]
        visible = set(Movie.objects.visible().filter(pk__in=some).values_list("pk", flat=True))
        shown += [pk for pk in some if pk in visible]
        if len(shown) >= KEPT:
            break
    return shown[:KEPT]
