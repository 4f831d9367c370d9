from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from predictors.history import History, Interaction

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
            st.sampled_from(["click", "rating", "dismiss", "watchlist", "undo", "impression"]),
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
