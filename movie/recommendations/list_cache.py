"""Ranked lists in the cache.

A list is kept under everything that it follows from: the model and its version, the visible movies, and
every single interaction of the history. So an interaction, a deletion or a new version leads to another key
at once, in every process, and a list of before is never shown. Nothing has to be invalidated.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import starmap

from django.conf import settings
from django.core.cache import cache

from movie.telemetry.counters import count_lookup, count_ranking
from predictors.history import History, MovieId, Reason, Recommendation

SECONDS = 600


def cached_ranking(
    versions: Sequence[str],
    history: History,
    k: int,
    exclude: Iterable[MovieId],
    compute: Callable[[], Sequence[Recommendation]],
) -> Sequence[Recommendation]:
    """Return the list that `compute` makes, or made before for the same versions, history, k and exclude.

    `versions` begins with the name of the model that answers.
    """
    key = _key(versions, history, k, exclude)
    found = cache.get(key)
    count_lookup(versions[0], found=found is not None)
    if found is None:
        started = time.perf_counter()
        ranking = compute()
        count_ranking(versions[0], time.perf_counter() - started)
        cache.set(key, [_as_plain(each) for each in ranking], SECONDS)
        return ranking
    return [
        Recommendation(movie_id, score, tuple(starmap(Reason, reasons))) for movie_id, score, reasons in found
    ]


def _key(versions: Sequence[str], history: History, k: int, exclude: Iterable[MovieId]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    digest.update(repr((str(settings.MODEL_DIR), *versions, k, sorted(map(str, exclude)))).encode())
    digest.update("".join([f"{event.event_id}{event.movie_id}:{event.value}" for event in history]).encode())
    return f"list:{digest.hexdigest()}"


def _as_plain(found: Recommendation) -> tuple:
    reasons = [(each.kind, each.movie_id, each.weight, each.detail) for each in found.reasons]
    return found.movie_id, found.score, reasons
