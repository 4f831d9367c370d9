from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from predictors.history import EVENT_KINDS, History, Interaction, Watch

START = datetime(2026, 1, 1, tzinfo=UTC)


def events(*steps: tuple[str, int] | tuple[str, int, float | None]) -> History:
    return History(
        Interaction(
            event_id=f"{number:04}",
            visitor="guest:1",
            kind=step[0],
            movie_id=step[1],
            at=START + timedelta(seconds=number),
            value=step[2] if len(step) == 3 else None,
        )
        for number, step in enumerate(steps)
    )


def test_a_good_rating_is_liked_and_seen_with_its_stars_as_strength():
    history = events(("rating", 7, 4.5))
    assert history.liked == (7,)
    assert history.strength == {7: 0.9}
    assert history.seen == {7}
    assert history.ratings == {7: 4.5}


def test_a_poor_rating_is_disliked_and_never_a_positive():
    history = events(("click", 7), ("rating", 7, 2.5))
    assert history.liked == ()
    assert history.disliked == {7}
    assert history.seen == {7}


def test_a_click_is_interest_but_the_film_may_still_be_recommended():
    history = events(("click", 7))
    assert history.liked == (7,)
    assert history.seen == frozenset()


def test_liked_films_stand_in_the_order_of_their_latest_positive_event():
    history = events(("click", 1), ("rating", 2, 5.0), ("rating", 1, 4.0), ("click", 3))
    assert history.liked == (2, 1, 3)


def test_a_cleared_rating_is_gone():
    history = events(("rating", 7, 4.0), ("rating", 7, None))
    assert history.ratings == {}
    assert history.seen == frozenset()


def test_undo_brings_back_what_stood_before():
    assert events(("rating", 7, 4.0), ("rating", 7, 2.0), ("undo", 7)).ratings == {7: 4.0}
    assert events(("rating", 7, 4.0), ("undo", 7)).ratings == {}
    assert events(("rating", 7, 4.0), ("dismiss", 7), ("undo", 7)).dismissed == frozenset()
    assert events(("rating", 7, 4.0), ("dismiss", 7), ("undo", 7)).ratings == {7: 4.0}


def test_undo_with_nothing_to_undo_changes_nothing():
    assert events(("undo", 7)).seen == frozenset()


def test_undo_keeps_a_click_that_came_in_between():
    history = events(("rating", 7, 1.0), ("click", 7), ("undo", 7))
    assert history.liked == (7,)
    assert history.ratings == {}


def test_impressions_say_nothing_about_taste():
    assert events(("impression", 7)).liked == ()


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["click", "rating", "dismiss", "watchlist", "watch", "undo", "impression"]),
            st.integers(1, 4),
            st.sampled_from([None, 0.5, 2.5, 3.0, 5.0]),
        )
    )
)
def test_liked_and_disliked_never_overlap_and_every_strength_is_a_share(steps):
    history = events(*steps)
    assert not set(history.liked) & history.disliked
    assert all(0 < strength <= 1 for strength in history.strength.values())
    assert history.ratings.keys() <= history.seen
    assert History(reversed(history.interactions)).liked == history.liked


@given(
    st.lists(
        st.tuples(
            st.sampled_from(EVENT_KINDS),
            st.integers(1, 4),
            st.sampled_from([None, 0.0, 1.0, 3.5]),
            st.sampled_from([None, date(2026, 1, 2)]),
            st.sampled_from([None, 0.3, 0.9]),
            st.sampled_from([None, 2.0]),
        )
    )
)
def test_rows_without_times_say_the_same_as_interactions(steps):
    history = History(
        Interaction(
            f"sent {n:05}", "guest:1", *step[:2], START + timedelta(seconds=n), step[2], "home", "", *step[3:]
        )
        for n, step in enumerate(steps)
    )
    light = History.from_rows(steps)
    assert history.has_times and not light.has_times
    for found in (light, History(light.interactions), light.filtered(lambda _: True)):
        for fact in ("strength", "ratings", "watches", "clicked", "watchlist", "seen", "liked"):
            assert getattr(found, fact) == getattr(history, fact), fact
        assert list(found.disliked) == list(history.disliked)
        assert (found.digest, found.taken_back, len(found)) == (
            history.digest,
            history.taken_back,
            len(history),
        )
        assert found.movies_of(EVENT_KINDS) == [each.movie_id for each in history]
    assert light.filtered(lambda movie: movie != 2).movies_of(EVENT_KINDS) == [
        each.movie_id for each in history if each.movie_id != 2
    ]


def test_the_digest_is_of_all_that_rankings_read():
    row = ("watch", 7, 1.0, date(2026, 1, 2), 0.9, None)
    others = [
        ("click", 7, 1.0, date(2026, 1, 2), 0.9, None),
        ("watch", 8, 1.0, date(2026, 1, 2), 0.9, None),
        ("watch", 7, None, date(2026, 1, 2), 0.9, None),
        ("watch", 7, 1.0, None, 0.9, None),
        ("watch", 7, 1.0, date(2026, 1, 2), 0.8, None),
        ("watch", 7, 1.0, date(2026, 1, 2), 0.9, 2.0),
    ]
    histories = [[], [row], [row, row], *([other] for other in others), [row, others[0]], [others[0], row]]
    assert len({History.from_rows(rows).digest for rows in histories}) == len(histories)
    kind = "".join(["wa", "tch"])  # an equal string that is another object
    assert History.from_rows([row, (kind, *row[1:])]).digest == History.from_rows([row, row]).digest


def watched(*steps: tuple[str, date | None, float | None]) -> History:
    return History(
        Interaction(f"{n:04}", "guest:1", kind, 7, START + timedelta(seconds=n), value, watched_on=day)
        for n, (kind, day, value) in enumerate(steps)
    )


FRIDAY, SUNDAY = date(2026, 1, 2), date(2026, 1, 4)


def test_a_diary_has_one_entry_a_day_earliest_first():
    history = watched(("watch", SUNDAY, 1.0), ("watch", None, None), ("watch", FRIDAY, None))
    assert history.watches == {7: (Watch(None), Watch(FRIDAY), Watch(SUNDAY, is_again=True))}
    assert watched(("watch", FRIDAY, None), ("watch", FRIDAY, 1.0)).watches == {7: (Watch(FRIDAY, True),)}


def test_a_watched_film_is_seen_and_a_weak_positive_until_it_is_rated():
    history = watched(("watch", FRIDAY, None))
    assert history.seen == {7} and history.liked == (7,) and history.strength == {7: 0.5}
    assert watched(("watch", FRIDAY, None), ("rating", None, 2.0)).disliked == {7}


def test_an_entry_is_taken_back_by_its_day_or_by_undo():
    both = ("watch", FRIDAY, None), ("watch", SUNDAY, None)
    assert watched(*both, ("watch", FRIDAY, 0.0)).watches == {7: (Watch(SUNDAY),)}
    assert watched(*both, ("undo", None, None)).watches == {7: (Watch(FRIDAY),)}
    assert watched(*both, ("watch", FRIDAY, 0.0), ("undo", None, None)).watches == watched(*both).watches
    gone = watched(*both, ("watch", FRIDAY, 0.0), ("watch", SUNDAY, 0.0))
    assert gone.watches == {} and gone.seen == frozenset() and gone.liked == ()


def test_undo_of_a_rating_leaves_the_diary_and_the_other_way_round():
    steps = ("rating", None, 4.0), ("watch", FRIDAY, None), ("undo", None, None)
    assert watched(*steps).ratings == {7: 4.0} and watched(*steps).watches == {}
    steps = ("watch", FRIDAY, None), ("rating", None, 4.0), ("undo", None, None)
    assert watched(*steps).ratings == {} and watched(*steps).watches == {7: (Watch(FRIDAY),)}
