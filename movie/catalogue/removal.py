"""Delete movies with everything about them, without holding up visitors."""

from __future__ import annotations

from collections.abc import Iterable

from movie.catalogue.models import Movie
from movie.core.batches import write_all_in_batches
from movie.core.database import retry_on_deadlock


def delete_movies(ids: Iterable[int]) -> None:
    """Delete movies with their ratings, credits and events, each movie in a transaction of its own."""
    write_all_in_batches(list(ids), _delete, size=1)


@retry_on_deadlock
def _delete(ids: list[int]) -> None:
    Movie.objects.filter(pk__in=ids).delete()
