"""Likeness of movies by what they are: the series that a title belongs to, and the directors.

It puts movies that the same people met in a new order, so that a sequel stands among the first of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from movie.catalogue.titles import match_key

POOL = 200  # nearest movies by who met both that are compared

_SUBTITLE = re.compile(r"(?:\s?:|\s[-–—]\s).*$")
_AND_THE = re.compile(r"^(\w+(?: \w+)+) and the .+$", re.IGNORECASE)  # "Indiana Jones and the Last Crusade"
_PART = re.compile(r",?\s+(?:Part\s+\w+|[2-9]|II|III|IV|VI{0,3}|IX)$", re.IGNORECASE)


class MovieFacts(NamedTuple):
    """Holds what a movie is compared by; directors are the ints among its features."""

    title: str
    features: frozenset[str | int]


class LikenessWeights(NamedTuple):
    """Holds what each kind of likeness adds to a score that is 1 for the movie that most people met too."""

    series: float = 1.0
    director: float = 0.5


CHOSEN = LikenessWeights()  # on validation visitors of MovieLens 100K, where genres found nothing more


@lru_cache(maxsize=100_000)
def series_key(title: str) -> str:
    """Return what the titles of a series have in common: the title without subtitle and number.

    "Star Trek VI: The Undiscovered Country" and "Star Trek: First Contact" have one key, as do movies of the
    same title.
    """
    name = _AND_THE.sub(r"\1", _SUBTITLE.sub("", title))
    return match_key(_PART.sub("", name)) or match_key(title)


def likeness(a: MovieFacts, b: MovieFacts, weights: LikenessWeights = CHOSEN) -> float:
    """Return how alike two movies are, 0 or more."""
    value = weights.series if series_key(a.title) == series_key(b.title) else 0.0
    if any(isinstance(each, int) for each in a.features & b.features):
        value += weights.director
    return value


def scores_with_likeness(
    movie: MovieFacts,
    others: Sequence[MovieFacts],
    scores: Sequence[float],
    weights: LikenessWeights = CHOSEN,
) -> list[float]:
    """Return the scores, the largest as 1, with the likeness of the first POOL movies added.

    scores  how many people met both, by any measure that is above 0, descending
    """
    added = [likeness(movie, other, weights) for other in others[:POOL]]
    return [score / scores[0] + (added[rank] if rank < POOL else 0.0) for rank, score in enumerate(scores)]
