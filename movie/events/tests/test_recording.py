"""record() and what follows from it: ratings, aggregates, histories, forgetting, merging."""

import random
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from django.db.models import Sum
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from movie.catalogue.models import HALF_STARS, Movie, Rating
from movie.core.ids import new_event_id
from movie.core.tests.threads import in_threads
from movie.events.history import get_history, get_ranking_history, latest_times
from movie.events.models import HISTORY_KINDS, Event
from movie.events.recording import InvalidInteraction, forget, merge_guest, record, record_all
from predictors.history import Interaction

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def film(db):
    return Movie.objects.create(title="Heat", year=1995)


@pytest.fixture
def films(db):
    return [Movie.objects.create(title=f"Film {n}") for n in range(6)]


def event(film, kind="rating", value=None, visitor="guest:a", minute=0, **fields):
    fields = {"event_id": new_event_id(), "at": NOON + timedelta(minutes=minute), **fields}
    return Interaction(visitor=visitor, kind=kind, movie_id=film.pk, value=value, **fields)


def stars(visitor="guest:a"):
    return dict(Rating.objects.filter(visitor=visitor).values_list("movie_id", "value"))


def assert_aggregates_are_exact():
    for movie in Movie.objects.all():
        values = list(movie.ratings.values_list("value", flat=True))
        weighed = list(movie.ratings.values_list("value", "weight"))
        weight = sum(weight for _value, weight in weighed)
        mean = sum(value * weight for value, weight in weighed) / weight if weight else None
        assert (movie.rating_count, movie.rating_sum, movie.rating_average) == (
            len(values),
            sum(values),
            mean,
        )


# -- ids --------------------------------------------------------------------------------------


def test_event_ids_are_uuid7_that_only_grow():
    ids = [new_event_id() for _ in range(5000)]
    assert ids == sorted(set(ids))
    parsed = uuid.UUID(ids[0])
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    made = datetime.fromtimestamp((parsed.int >> 80) / 1000, tz=UTC)
    assert abs(datetime.now(UTC) - made) < timedelta(seconds=10)


def test_event_ids_of_many_threads_are_all_different():
    with ThreadPoolExecutor(8) as pool:
        batches = list(pool.map(lambda _: [new_event_id() for _ in range(1000)], range(8)))
    assert len(set().union(*batches)) == 8000
    assert all(batch == sorted(batch) for batch in batches)


# -- record -----------------------------------------------------------------------------------


def test_a_rating_is_stored_and_counted(film):
    assert record(event(film, value=4.5, surface="movie"))
    rating = Rating.objects.get()
    assert (rating.visitor, rating.movie, rating.value, rating.rated_at) == ("guest:a", film, 4.5, NOON)
    record(event(film, value=2.0, visitor="guest:b"))
    film.refresh_from_db()
    assert (film.rating_count, film.rating_sum, film.rating_average) == (2, 6.5, 3.25)


def test_changing_and_clearing_a_rating_keep_the_aggregates(film):
    record(event(film, value=4.5))
    record(event(film, value=1.0, minute=1))
    assert stars() == {film.pk: 1.0}
    assert_aggregates_are_exact()
    record(event(film, minute=2))
    assert stars() == {}
    film.refresh_from_db()
    assert (film.rating_count, film.rating_sum, film.rating_average) == (0, 0.0, None)


def test_the_same_post_twice_has_one_effect(film):
    rating = event(film, value=3.5)
    assert record(rating)
    assert not record(rating._replace(at=rating.at + timedelta(seconds=9)))
    assert Event.objects.count() == 1
    assert_aggregates_are_exact()


def test_a_late_repeat_does_not_bring_an_old_rating_back(film):
    old = event(film, value=3.5)
    record(old)
    record(event(film, value=5.0, minute=1))
    assert not record(old._replace(at=NOON + timedelta(minutes=2)))
    assert stars() == {film.pk: 5.0}


def test_two_interactions_in_one_microsecond_both_survive(film):
    record_all([event(film, "click")])
    record_all([event(film, "click")])
    assert Event.objects.filter(kind="click", at=NOON).count() == 2
    record(event(film, "click"))
    assert Event.objects.filter(kind="click").count() == 3


def test_undo_walks_back_through_ratings_and_dismissals(film):
    record(event(film, value=4.0))
    record(event(film, value=2.0, minute=1))
    record(event(film, "dismiss", minute=2))
    record(event(film, "undo", minute=3))
    history = get_history("guest:a")
    assert not history.dismissed and stars() == history.ratings == {film.pk: 2.0}
    record(event(film, "undo", minute=4))
    assert stars() == {film.pk: 4.0}
    assert Rating.objects.get().rated_at == NOON
    record(event(film, "undo", minute=5))
    record(event(film, "undo", minute=6))
    assert stars() == {}
    assert_aggregates_are_exact()


def test_undo_returns_to_a_rating_that_came_with_a_file(film):
    record_all([event(film, value=3.0, minute=-400 * 24 * 60)])
    record(event(film, value=5.0))
    record(event(film, "undo", minute=1))
    assert stars() == get_history("guest:a").ratings == {film.pk: 3.0}
    record(event(film, "undo", minute=2))
    assert stars() == get_history("guest:a").ratings == {}
    assert_aggregates_are_exact()


def test_the_watchlist_is_left_as_it_was_entered(film):
    record(event(film, "watchlist"))
    assert get_history("guest:a").watchlist == {film.pk}
    record(event(film, "watchlist", 0.0, minute=1))
    assert get_history("guest:a").watchlist == frozenset()
    record(event(film, "undo", minute=2))
    assert get_history("guest:a").watchlist == {film.pk}


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"value": 4.3}, "value"),
        ({"value": 0.0}, "value"),
        ({"value": 5.5}, "value"),
        ({"value": float("nan")}, "value"),
        ({"kind": "click", "value": 4.0}, "value"),
        ({"kind": "like"}, "kind"),
        ({"event_id": "1"}, "event_id"),
        ({"event_id": "{" + str(uuid.uuid4()) + "}"}, "event_id"),
        ({"movie_id": 999_999_999}, "movie_id"),
        ({"at": datetime(2024, 5, 1)}, "at"),
        ({"surface": "x" * 33}, "surface"),
        ({"recommendation_id": "x" * 37}, "recommendation_id"),
    ],
)
def test_what_cannot_be_true_is_refused_and_nothing_is_stored(film, wrong, field):
    with pytest.raises(InvalidInteraction) as refused:
        record_all([event(film, value=3.0), event(film)._replace(**wrong)])
    assert refused.value.field == field
    assert str(refused.value)
    assert not Event.objects.exists() and not Rating.objects.exists()
    assert_aggregates_are_exact()


def test_many_at_once_count_as_one_by_one(films):
    batch = [
        event(film, value=value, minute=minute)
        for minute, (film, value) in enumerate([(films[0], 4.0), (films[1], 2.0), (films[0], 1.5)])
    ]
    assert record_all([*batch, batch[0]]) == 3
    assert record_all(batch) == 0
    assert stars() == {films[0].pk: 1.5, films[1].pk: 2.0}
    assert_aggregates_are_exact()


# -- history ----------------------------------------------------------------------------------


def test_a_person_of_a_data_set_has_a_history_in_one_query(films, django_assert_num_queries):
    for day, film in enumerate(films):
        Rating.objects.create(
            visitor="ml-100k:42", movie=film, value=4.0, rated_at=NOON + timedelta(days=day)
        )
    with django_assert_num_queries(1):
        history = get_history("ml-100k:42")
    assert history.liked == tuple(film.pk for film in films)


def test_a_person_of_a_data_set_cannot_act(film):
    with pytest.raises(InvalidInteraction) as refused:
        record(event(film, "click", visitor="ml-100k:42"))
    assert refused.value.field == "visitor"
    assert not Event.objects.exists()


def test_a_cut_history_still_knows_every_rating(films):
    record(event(films[0], value=4.0))
    record(event(films[0], value=3.0, minute=1))
    record(event(films[0], "undo", minute=2))
    for minute, film in enumerate(films[1:], start=3):
        record(event(film, "click", minute=minute))
    record(event(films[1], value=1.0, minute=20))
    whole = get_history("guest:a", limit=None)
    for limit in range(1, 10):
        assert get_history("guest:a", limit=limit).ratings == whole.ratings == stars()


def test_the_history_for_rankings_says_the_same_in_one_query(films, settings, django_assert_num_queries):
    for minute in range(30):
        kind = ("click", "rating", "click", "watchlist", "undo", "dismiss")[minute % 6]
        # Every other one comes at the time of the one before it: clicks of one time are cut by their ids.
        stars_given = 1.0 + minute % 4 if kind == "rating" else None
        record(event(films[minute * 7 % 6], kind, value=stars_given, minute=minute // 2))
    for limit in range(1, 12):
        settings.HISTORY_LIMIT = limit
        with django_assert_num_queries(1):
            light = get_ranking_history("guest:a")
        whole = get_history("guest:a")
        assert light.digest == whole.digest and light.strength == whole.strength
        assert light.movies_of(HISTORY_KINDS) == [each.movie_id for each in whole]
    everything = get_history("guest:a", limit=None)
    assert get_ranking_history("guest:a", limit=None).digest == everything.digest
    assert not get_ranking_history("guest:nobody")


def test_latest_times_are_those_of_the_interactions(films, django_assert_num_queries):
    for minute in range(12):
        record(event(films[minute * 5 % 4], "click" if minute % 2 else "watchlist", minute=minute))
    record(event(films[0], "impression", minute=20))
    record(event(films[4], "impression", minute=21))
    ids = [film.pk for film in films]
    light, whole = get_ranking_history("guest:a", limit=None), get_history("guest:a", limit=None)
    with django_assert_num_queries(1):
        times = latest_times("guest:a", light, ids)
    with django_assert_num_queries(0):
        assert latest_times("guest:a", whole, ids) == times
    assert times.keys() == {film.pk for film in films[:4]}
    assert times[films[3].pk].minute == 11


def test_clicks_are_limited_and_decisions_never(films, django_assert_num_queries):
    for minute, film in enumerate(films):
        record(event(film, "watchlist", minute=minute))
    record(event(films[0], "dismiss", minute=7))
    for minute in range(10, 20):
        record(event(films[minute % 6], "click", minute=minute))
    with django_assert_num_queries(2):
        history = get_history("guest:a", limit=3)
    assert [each.at.minute for each in history if each.kind == "click"] == [17, 18, 19]
    assert history.watchlist == {film.pk for film in films}
    assert history.dismissed == {films[0].pk}


# -- order ------------------------------------------------------------------------------------


def test_what_was_acknowledged_last_counts_though_the_clock_is_set_back(film):
    back = -60
    record(event(film, value=2.0))
    record(event(film, value=5.0, minute=back))
    assert stars() == get_history("guest:a").ratings == {film.pk: 5.0}
    record(event(film, "undo", minute=back + 1))
    assert stars() == get_history("guest:a").ratings == {film.pk: 2.0}
    record(event(film, "undo", minute=back + 2))
    assert stars() == get_history("guest:a").ratings == {}
    record(event(film, "watchlist", minute=back + 3))
    record(event(film, "watchlist", 0.0, minute=back + 3))
    assert not get_history("guest:a").watchlist
    times = [each.at for each in get_history("guest:a")]
    assert times == [NOON + timedelta(microseconds=n) for n in range(6)]
    assert_aggregates_are_exact()


def test_other_films_and_other_visitors_keep_their_times(films):
    record(event(films[0], value=4.0))
    record(event(films[1], "click", minute=-60))
    record(event(films[0], "click", minute=-60, visitor="guest:b"))
    assert {each.at for each in Event.objects.filter(kind="click")} == {NOON - timedelta(hours=1)}


def test_what_a_file_tells_keeps_its_times(film):
    record(event(film, value=5.0))
    record_all([event(film, value=1.0, minute=-60)])
    assert stars() == {film.pk: 5.0}
    assert [each.at for each in get_history("guest:a")] == [NOON - timedelta(hours=1), NOON]


# -- forgetting -------------------------------------------------------------------------------


def test_forgetting_one_film_leaves_the_others(films):
    for film in films[:2]:
        record(event(film, value=4.0))
        record(event(film, "click"))
    assert forget("guest:a", films[0].pk) == 2
    assert stars() == {films[1].pk: 4.0}
    assert {each.movie_id for each in get_history("guest:a")} == {films[1].pk}
    assert_aggregates_are_exact()


def test_forgetting_everything_touches_nobody_else(films):
    for visitor in ("guest:a", "guest:b", "user:1"):
        for value, film in enumerate(films, start=1):
            record(event(film, value=value / 2 + 1, visitor=visitor))
    before = get_history("guest:b").interactions
    assert forget("guest:a") == len(films)
    assert len(get_history("guest:a")) == 0 and stars() == {}
    assert get_history("guest:b").interactions == before
    assert len(stars("user:1")) == len(films)
    assert_aggregates_are_exact()
    assert forget("guest:a") == 0
    assert_aggregates_are_exact()


# -- merging ----------------------------------------------------------------------------------


def test_joining_moves_the_guest_and_the_newer_rating_stands(films):
    older, newer, alone, cleared, imported, clicked = films
    record(event(older, value=1.0, visitor="user:1", minute=5))
    record(event(older, value=5.0, minute=1))
    record(event(newer, value=1.0, visitor="user:1", minute=1))
    record(event(newer, value=5.0, minute=5))
    record(event(alone, value=4.0))
    record(event(cleared, value=2.0, visitor="user:1", minute=1))
    record(event(cleared, visitor="user:1", minute=5))
    record(event(cleared, value=3.0, minute=3))
    record_all([event(imported, value=0.5, visitor="user:1", minute=9)])
    record(event(imported, value=4.5, minute=2))
    record(event(clicked, "click"))

    moved = merge_guest("guest:a", "user:1")

    assert moved == 6
    wanted = {older.pk: 1.0, newer.pk: 5.0, alone.pk: 4.0, imported.pk: 0.5}
    assert stars("user:1") == wanted == get_history("user:1").ratings
    assert clicked.pk in get_history("user:1").clicked
    assert stars("guest:a") == {} and len(get_history("guest:a")) == 0
    assert_aggregates_are_exact()


def test_joining_twice_changes_nothing(films):
    record(event(films[0], value=4.0))
    assert merge_guest("guest:a", "user:1") == 1
    before = get_history("user:1").interactions
    assert merge_guest("guest:a", "user:1") == 0
    assert merge_guest("guest:a", "user:2") == 0
    assert get_history("user:1").interactions == before
    assert stars("user:2") == {}
    assert_aggregates_are_exact()


# -- many visitors, any order -----------------------------------------------------------------

steps = st.lists(
    st.tuples(
        st.sampled_from(["guest:a", "user:1"]),
        st.integers(0, 2),
        st.sampled_from(["rating", "clear", "undo", "dismiss", "watchlist", "click", "forget", "merge"]),
        st.sampled_from(HALF_STARS),
    ),
    max_size=25,
)


class RatingRowsAlwaysSayWhatTheHistorySays(TestCase):
    @effort(max_examples=40, deadline=None)
    @given(steps)
    def test_after_anything_that_can_happen(self, steps):
        films = [Movie.objects.create(title=f"Film {n}") for n in range(3)]
        record_all([event(films[0], value=2.5)])
        for minute, (visitor, number, what, value) in enumerate(steps, start=1):
            film = films[number]
            match what:
                case "forget":
                    forget(visitor, film.pk)
                case "merge":
                    merge_guest("guest:a", "user:1")
                case "rating":
                    record(event(film, "rating", value, visitor, minute))
                case "clear":
                    record(event(film, "rating", None, visitor, minute))
                case kind:
                    record(event(film, kind, None, visitor, minute))
        for visitor in ("guest:a", "user:1"):
            assert stars(visitor) == get_history(visitor).ratings
        assert_aggregates_are_exact()


# -- at the same time -------------------------------------------------------------------------


def test_eight_threads_rating_at_once_lose_nothing(own_connections):
    films = [Movie.objects.create(title=f"Film {n}") for n in range(4)]

    def rate_everything(number):
        order = random.Random(number)
        for turn in range(3):
            for film in order.sample(films, len(films)):
                record(event(film, value=order.choice(HALF_STARS), visitor=f"guest:{number}", minute=turn))

    in_threads(8, rate_everything)
    assert Event.objects.count() == 8 * 3 * 4
    assert Rating.objects.count() == 8 * 4
    assert_aggregates_are_exact()
    for number in range(8):
        assert stars(f"guest:{number}") == get_history(f"guest:{number}").ratings


def test_one_visitor_in_eight_tabs_rating_the_same_film(own_connections):
    film = Movie.objects.create(title="Heat")
    in_threads(8, lambda number: record(event(film, value=HALF_STARS[number], minute=number)))
    assert Event.objects.count() == len({each.at for each in Event.objects.all()}) == 8
    assert stars() == {film.pk: Event.objects.latest("at").value} == get_history("guest:a").ratings
    assert_aggregates_are_exact()


def test_files_of_eight_tabs_count_in_the_order_of_their_times(own_connections):
    film = Movie.objects.create(title="Heat")
    in_threads(8, lambda number: record_all([event(film, value=HALF_STARS[number], minute=number)]))
    assert Event.objects.count() == 8
    assert stars() == {film.pk: HALF_STARS[7]}
    assert_aggregates_are_exact()


def test_the_same_post_arriving_eight_times_at_once_has_one_effect(own_connections):
    film = Movie.objects.create(title="Heat")
    rating = event(film, value=4.0)
    assert sum(in_threads(8, lambda number: record(rating))) == 1
    assert Event.objects.count() == 1
    film.refresh_from_db()
    assert (film.rating_count, film.rating_sum) == (1, 4.0)


def test_signing_in_twice_at_once_joins_once(own_connections):
    films = [Movie.objects.create(title=f"Film {n}") for n in range(4)]
    for film in films:
        record(event(film, value=4.0))
    record(event(films[0], value=1.0, visitor="user:1", minute=9))
    moved = in_threads(4, lambda number: merge_guest("guest:a", "user:1"))
    assert sorted(moved) == [0, 0, 0, 4]
    assert Movie.objects.aggregate(Sum("rating_count"))["rating_count__sum"] == 4
    assert stars("user:1") == {films[0].pk: 1.0, **{film.pk: 4.0 for film in films[1:]}}
    assert stars("user:1") == get_history("user:1").ratings
    assert_aggregates_are_exact()
