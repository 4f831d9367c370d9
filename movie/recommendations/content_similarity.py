"""Content similarity: whether two movies belong to one series, by their titles, and share a director.

It is added to how many people met both, so that a sequel that few people met stands among the first.
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


class ContentWeights(NamedTuple):
    """Holds what is added to a score that is 1 for the movie that most people met too."""

    series: float = 1.0
    director: float = 0.1


CHOSEN = ContentWeights()  # on validation visitors of MovieLens 100K and 1M; genres found nothing more


@lru_cache(maxsize=100_000)
def series_key(title: str) -> str:
    """Return what the titles of a series have in common: the title without subtitle and number.

    "Star Trek VI: The Undiscovered Country" and "Star Trek: First Contact" have one key, as do movies of the
    same title.
    """
    name = _AND_THE.sub(r"\1", _SUBTITLE.sub("", title))
    return match_key(_PART.sub("", name)) or match_key(title)


def content_similarity(a: MovieFacts, b: MovieFacts, weights: ContentWeights = CHOSEN) -> float:
    """Return what two movies have in common, 0 or more."""
    value = weights.series if series_key(a.title) == series_key(b.title) else 0.0
    if any(isinstance(each, int) for each in a.features & b.features):
        value += weights.director
    return value


def scores_with_content(
    movie: MovieFacts,
    others: Sequence[MovieFacts],
    scores: Sequence[float],
    weights: ContentWeights = CHOSEN,
) -> list[float]:
    """Return the scores, the largest as 1, with the content similarity of the first POOL movies added.

    scores  how many people met both, by any measure that is above 0, descending
    """
    added = [content_similarity(movie, other, weights) for other in others[:POOL]]
    return [score / scores[0] + (added[rank] if rank < POOL else 0.0) for rank, score in enumerate(scores)]
