"""Rows of similar movies, which are the same for all visitors but for the movies that they have seen."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from itertools import compress, islice, repeat

from django.core.cache import cache
from django.db.models import Count

from movie.catalogue.models import Genre, Movie
from movie.recommendations.content_similarity import POOL, MovieFacts, scores_with_content
from movie.recommendations.filtering import align_items
from movie.recommendations.movie_index import MovieIndex, movie_index
from movie.recommendations.ranked_list import CACHE_SECONDS, RankedList, cache_key
from movie.recommendations.ranking import SPARE
from movie.telemetry.counters import instruments
from movie.training.model_info import MOST_RATED, NOT_TRAINED
from movie.training.registry import registry
from predictors.base import Predictor
from predictors.capabilities import FindsSimilar
from predictors.errors import CannotAnswer, PredictorError
from predictors.history import History, MovieId, Reason, Recommendation

SIMILAR_MODELS = ("for_you", "neighbours")  # the first that knows a movie finds those like it, everywhere
Alike = tuple[list[MovieId], list[float]]  # movies and their scores, which JSON holds faster than pairs
BEST_KNOWN = 1_000  # movies of which some are found by genre where no model finds similar ones


def rank_similar(
    movie_id: int, history: History = History.EMPTY, k: int = 12, exclude: Collection[int] = ()
) -> RankedList:
    """Rank movies like this one without those the visitor has seen."""
    taken = {movie_id, *history.seen, *exclude}
    taken |= movie_index().twins_of(taken)
    longest = k + SPARE + len(taken)
    for name in SIMILAR_MODELS:
        try:
            predictor = registry().get(name)
            found_alike = zip(*_nearest(predictor, movie_id, longest), strict=True)
        except PredictorError as error:
            reason = getattr(error, "reason", NOT_TRAINED)
            continue
        ranked = RankedList(name, requested=name, version=predictor.version, k=k, history=history)
        break
    else:
        instruments().fallbacks.labels(name, reason).inc()
        found_alike = zip(_of_same_genres(movie_id, longest), repeat(0.0))
        ranked = RankedList(MOST_RATED, requested=name, fallback="unknown_film", k=k, history=history)
    reasons = (Reason("similar_to", movie_id, 1.0),) if ranked.model != MOST_RATED else ()
    unseen = ((pk, score) for pk, score in found_alike if pk not in taken)
    ranked.recommendations = [Recommendation(*each, reasons) for each in islice(unseen, k + SPARE)]
    return ranked


def _nearest(predictor: Predictor, movie_id: int, n: int) -> Alike:
    """Return n movies like this one, or somewhat more, the highest score first.

    All visitors have the same ones, so they are kept in the cache. Raises CannotAnswer.
    """
    if not isinstance(predictor, FindsSimilar):
        raise CannotAnswer("not_supported", f"{predictor.name} ranks no similar movies")
    index = movie_index()
    wanted = POOL << max(0, math.ceil(math.log2(n / POOL)))
    key = cache_key("alike", predictor.name, predictor.version, index.facts, movie_id, wanted)
    found: Alike | None = cache.get(key)
    if found is None:
        similar = predictor.similar(movie_id, wanted + len(align_items(predictor, index).absent))
        is_visible = index.are_visible([each.movie_id for each in similar])
        found = _by_content(movie_id, [*compress(similar, is_visible)], index)
        cache.set(key, found, CACHE_SECONDS)
    return found


def _by_content(movie_id: int, similar: Sequence[Recommendation], index: MovieIndex) -> Alike:
    """Return similar movies and scores with content similarity added, the highest first.

    They stay as they are for a hidden movie, and where scores are not above 0.
    """
    ids, scores = [found.movie_id for found in similar], [found.score for found in similar]
    if movie_id not in index or not similar or scores[0] <= 0:
        return ids, scores
    rows = index.rows_of([movie_id, *ids[:POOL]]).tolist()
    facts = [MovieFacts(index.title(row), index.features_of(row)) for row in rows]
    scores = scores_with_content(facts[0], facts[1:], scores)
    best = sorted(range(len(similar)), key=scores.__getitem__, reverse=True)
    return [ids[rank] for rank in best], [scores[rank] for rank in best]


def _of_same_genres(movie_id: int, n: int) -> list[int]:
    """Return up to n of the `BEST_KNOWN` most rated movies by how many genres they share with this one.

    Of those alone, since half of a catalogue may share the genre Drama.
    """
    best_known = Movie.objects.visible().most_rated().values_list("pk", flat=True)[:BEST_KNOWN]
    pairs = Movie.genres.through.objects.filter(
        movie__in=list(best_known), genre__in=list(Genre.objects.filter(movies=movie_id))
    )
    alike = pairs.values("movie").annotate(shared=Count("pk"))
    ranked = alike.order_by("-shared", "-movie__rating_count", "movie").values_list("movie", flat=True)
    return list(ranked[:n])
