"""Redis as the cache: the same pages with it, without it, and when it dies in between."""

import math
import time
from datetime import UTC, datetime

import pytest
from django.core.cache import cache, caches
from django.test import override_settings
from django.utils.translation import gettext_lazy

from movie.catalogue.facets import facets
from movie.catalogue.models import Genre, Movie
from movie.core.caching import ANSWER_SECONDS, ForgivingRedisCache, JSONLocMemCache
from movie.core.ids import new_event_id
from movie.events import recording
from movie.events.history import get_history
from movie.pages.templatetags.reelgraph import running_trainings
from movie.training.models import TrainingRun
from movie.visitors import throttling
from movie.visitors.visitor import Visitor
from predictors.history import Interaction
from services.base import free_port
from services.redis import Redis

pytestmark = pytest.mark.django_db
BACKEND = "movie.core.caching.ForgivingRedisCache"


@pytest.fixture
def server(tmp_path):
    """A server that a test may kill."""
    service = Redis(tmp_path, free_port())
    if missing := service.missing():
        pytest.skip(missing)
    service.start()
    yield service
    service.stop()


@pytest.fixture
def redis(server):
    address = server.variables()["REDIS_URL"]
    with override_settings(CACHES={"default": {"BACKEND": BACKEND, "LOCATION": address}}):
        ForgivingRedisCache.away_until.clear()
        yield server
        caches["default"]._cache.get_client().connection_pool.disconnect()


@pytest.fixture(params=["memory", "redis"])
def either(request):
    """The cache and its twin in memory, which promise the same."""
    if request.param == "redis":
        request.getfixturevalue("redis")
    else:
        assert isinstance(caches["default"], JSONLocMemCache)
        cache.clear()


def test_values_are_plain_and_come_back(either):
    cache.set("a", {"ids": [1, 2], "name": "기생충"})
    assert cache.get("a") == {"ids": [1, 2], "name": "기생충"}
    assert cache.add("n", 1, 60) and not cache.add("n", 1, 60)
    assert cache.incr("n") == 2
    assert cache.get("n") == 2
    with pytest.raises(ValueError):
        cache.incr("unknown")
    assert cache.get_or_set("list", lambda: (3, 4)) == [3, 4], "a tuple comes back as a list, at once"
    cache.set_many({"x": 1, "y": None, "yes": True})
    assert cache.get_many(["x", "y", "z", "yes"]) == {"x": 1, "y": None, "yes": True}
    assert cache.get("y", "default") is None and cache.get("z", "default") == "default"
    cache.clear()
    assert cache.get("a") is None


@pytest.mark.parametrize(
    "value",
    [
        object(),
        Genre(name="Crime"),
        {1, 2},
        {1: "a"},
        [{"deep": {2: "b"}}],
        b"x",
        gettext_lazy("Draft"),
        math.nan,
    ],
)
def test_what_json_cannot_hold_is_refused(either, value):
    for store in (cache.set, cache.add):
        with pytest.raises((TypeError, ValueError)):
            store("object", value)
    assert cache.get("object") is None


def test_what_the_site_caches_survives_redis(redis):
    film = Movie.objects.create(title="Heat", rating_count=3, rating_sum=12, rating_average=4)
    film.genres.add(Genre.objects.create(name="Crime"))
    TrainingRun.objects.create(model="sasrec")
    for _ in range(2):  # from the database, then from Redis
        assert [genre.name for genre in facets().genres] == ["Crime"]
        assert [run.model for run in running_trainings()] == ["sasrec"]


def test_every_page_works_when_redis_dies_and_when_it_is_back(redis, client, caplog):
    film = Movie.objects.create(title="Heat", rating_count=3, rating_sum=12, rating_average=4)
    pages = ["/", "/browse/", "/search/?q=heat", f"/movies/{film.pk}/", "/recommend/", "/history/"]
    pages.append(f"/posters/{film.pk}.svg")
    assert [client.get(page).status_code for page in pages] == [200] * len(pages)
    redis.kill()
    assert [client.get(page).status_code for page in pages] == [200] * len(pages)
    answer = client.post(f"/movies/{film.pk}/rate/", {"value": "4"})
    assert answer.status_code == 303
    assert "Redis is away" in caplog.text
    cache.set("a", 1)
    assert cache.get("a") == 1, "in local memory meanwhile"
    redis.start()
    ForgivingRedisCache.away_until.clear()
    assert cache.get("a") is None
    assert client.get("/").status_code == 200


def test_a_server_that_does_not_answer_is_not_waited_for_again_and_again(redis):
    process = redis.process()
    process.suspend()
    try:
        started = time.monotonic()
        for n in range(50):
            cache.set(f"k{n}", n)
        assert time.monotonic() - started < 50 * ANSWER_SECONDS / 2
        assert cache.get("k49") == 49
    finally:
        process.resume()


def test_writes_are_limited_without_redis_too(redis, rf, settings):
    settings.WRITE_RATE_LIMIT = 3
    redis.kill()
    request = rf.post("/")
    request.visitor = Visitor.new_guest()
    waits = [throttling.seconds_to_wait(request) for _ in range(5)]
    assert waits[:3] == [0, 0, 0] and all(waits[3:])


def test_a_list_follows_from_the_history_and_the_version_alone(redis):
    from movie.recommendations.ranked_list import cached_ranking
    from predictors.history import History, Reason, Recommendation

    film = Movie.objects.create(title="Heat")
    made = []

    def compute():
        made.append(1)
        return [Recommendation(7, 0.5, (Reason("history", 3, 0.25),))]

    def ranking(version="1", history=None, hidden=()):
        history = get_history("guest:a") if history is None else history
        return list(cached_ranking(("ease", version), history, 10, hidden, compute))

    def record(kind, value=None):
        now = datetime.now(UTC)
        recording.record(Interaction(new_event_id(), "guest:a", kind, film.pk, now, value))

    first = ranking()
    assert ranking() == first == compute() and len(made) == 2, "made once, and once for the comparison"
    for expected, change in enumerate(
        (
            lambda: record("click"),
            lambda: record("rating", 4.0),
            lambda: record("undo"),
            lambda: record("dismiss"),
        ),
        start=3,
    ):
        change()
        ranking()
        ranking()
        assert len(made) == expected, "every interaction makes a new list, once"
    ranking(version="2")
    ranking(hidden=[7])
    assert len(made) == 8
    recording.forget("guest:a")
    assert ranking() == first and len(made) == 8, "the history is empty again"
    assert ranking(history=History.EMPTY) == first and len(made) == 8
