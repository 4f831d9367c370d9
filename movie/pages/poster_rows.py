"""Which motif each poster of a list takes, so that no neighbours have the same."""

from __future__ import annotations

from collections.abc import Sequence

from movie.catalogue.models import Movie
from movie.catalogue.posters.meanings import without_repeats

MOST_KEPT = 50_000  # films whose genres this process keeps; beyond them it begins anew

# (movie id, poster version) -> genres. A changed movie has another version.
_genres: dict[tuple[int, str], tuple[str, ...]] = {}


def motif_choices(movies: Sequence[Movie]) -> list[int]:
    """Return the choice of motif of each movie of a list.

    One query reads the genres of movies that this process has not seen; none where all are known.
    """
    if len(movies) < 2:
        return [0] * len(movies)
    keys = [(movie.pk, movie.poster_version) for movie in movies]
    unseen = {key[0]: key for key in keys if key not in _genres}
    if unseen:
        found: dict[int, list[str]] = {pk: [] for pk in unseen}
        named = Movie.genres.through.objects.filter(movie__in=unseen).order_by("genre__name")
        for pk, name in named.values_list("movie_id", "genre__name"):
            found[pk].append(name)
        if len(_genres) > MOST_KEPT:
            _genres.clear()
        _genres.update({unseen[pk]: tuple(names) for pk, names in found.items()})
    return without_repeats(
        [(movie.title, _genres.get(key, ())) for movie, key in zip(movies, keys, strict=True)]
    )
