"""What a visitor did with the film of a page: stars, watchlist, diary; and the stars expected of them."""

from __future__ import annotations

from django.utils import timezone

from movie.events.history_files import diary_of
from movie.recommendations.ranking import expected_stars
from predictors.history import History


def standing_on_page(history: History, movie_id: int) -> dict[str, object]:
    """Return the context of `pages/_film_yours.html`."""
    is_dismissed = movie_id in history.dismissed
    return {
        "is_dismissed": is_dismissed,
        "is_watchlisted": movie_id in history.watchlist,
        "watches": diary_of(history, movie_id),
        "today": timezone.localdate(),
        "rating": history.ratings.get(movie_id),
        "expected": None if is_dismissed else expected_stars(history, movie_id),
    }
