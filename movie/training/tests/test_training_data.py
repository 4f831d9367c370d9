"""What the site hands to training: exactly what its visitors like."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from movie.catalogue.models import Rating
from movie.catalogue.tests.films import make_film
from movie.events.history import get_history
from movie.events.recording import new_event_id, record_all
from movie.training.datasets import interactions_from_site
from predictors.history import Interaction

pytestmark = pytest.mark.django_db

START = datetime(2024, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def films() -> list:
    return [make_film(f"Film {number}", 2000 + number) for number in range(5)]


def imported(visitor: str, film, value: float, minutes: float) -> None:
    Rating.objects.create(
        visitor=visitor, movie=film, value=value, rated_at=START + timedelta(minutes=minutes)
    )


def did(visitor: str, kind: str, film, minutes: float, value: float | None = None) -> None:
    at = START + timedelta(minutes=minutes)
    assert record_all([Interaction(new_event_id(), visitor, kind, film.pk, at, value)])


def sequences() -> dict[str, list[int]]:
    """Film ids by visitor, oldest first."""
    data = interactions_from_site()
    return {
        str(data.user_ids[user]): [int(data.item_ids[item]) for item in data.items_of(user)]
        for user in range(data.n_users)
    }


def test_imported_ratings_from_three_stars_up_in_order_of_time(films) -> None:
    imported("ml-100k:1", films[2], 5, 30)
    imported("ml-100k:1", films[0], 3, 10)
    imported("ml-100k:1", films[1], 2.5, 20)
    imported("ml-100k:2", films[4], 4, 0)
    assert sequences() == {
        "ml-100k:1": [films[0].pk, films[2].pk],
        "ml-100k:2": [films[4].pk],
    }


def test_stars_and_seconds_are_kept(films) -> None:
    imported("ml-100k:1", films[0], 4.5, 0.5)
    data = interactions_from_site()
    assert data.values.tolist() == [4.5]
    assert data.at.tolist() == [int(START.timestamp()) + 30]
    assert data.users.dtype == data.items.dtype == np.int32


def test_films_liked_within_one_second_keep_their_order(films) -> None:
    for place, film in enumerate((films[3], films[1], films[4])):
        imported("ml-100k:1", film, 4, place / 60_000)  # a millisecond apart
    assert sequences()["ml-100k:1"] == [films[3].pk, films[1].pk, films[4].pk]


def test_clicks_and_the_watchlist_count_and_dislikes_do_not(films) -> None:
    did("guest:a", "click", films[0], 0)
    did("guest:a", "watchlist", films[1], 1)
    did("guest:a", "rating", films[2], 2, 4.0)
    did("guest:a", "click", films[3], 3)
    did("guest:a", "dismiss", films[3], 4)
    did("guest:a", "rating", films[4], 5, 1.0)
    data = interactions_from_site()
    assert sequences() == {"guest:a": [films[0].pk, films[1].pk, films[2].pk]}
    assert np.isnan(data.values[:2]).all()
    assert data.values[2] == 4.0


def test_what_was_taken_back_is_not_liked(films) -> None:
    did("guest:a", "rating", films[0], 0, 5.0)
    did("guest:a", "undo", films[0], 1)
    did("guest:a", "rating", films[1], 2, 5.0)
    assert sequences() == {"guest:a": [films[1].pk]}


def test_it_is_what_the_pages_take_for_liked(films) -> None:
    """A member who brought a file along: imported ratings and what was done here are one history."""
    did("user:7", "rating", films[0], -100, 4)
    did("user:7", "rating", films[1], -50, 5)
    did("user:7", "rating", films[1], 0, 1.0)
    did("user:7", "click", films[2], 1)
    imported("ml-100k:8", films[3], 5, 0)
    found = sequences()
    assert found["user:7"] == list(get_history("user:7").liked) == [films[0].pk, films[2].pk]
    assert found["ml-100k:8"] == list(get_history("ml-100k:8").liked) == [films[3].pk]


def test_equal_data_has_an_equal_fingerprint(films) -> None:
    for visitor, film in (("ml-100k:1", 3), ("ml-100k:1", 0), ("ml-100k:2", 1)):
        imported(visitor, films[film], 4, film)
    assert interactions_from_site().fingerprint() == interactions_from_site().fingerprint()


def test_a_site_without_ratings_gives_no_rows(films) -> None:
    data = interactions_from_site()
    assert (len(data), data.n_users, data.n_items) == (0, 0, 0)


def test_the_number_of_queries_does_not_grow_with_the_imported_users(
    films, django_assert_num_queries
) -> None:
    for number in range(30):
        imported(f"ml-100k:{number}", films[number % 5], 4, number)
    with django_assert_num_queries(2):
        assert len(interactions_from_site()) == 30
