"""Ranked lists for many histories at once: the chain of `movie.recommendations.ranking`, scored in blocks."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from contextlib import nullcontext

import numpy as np

from movie.recommendations.arrangement import arrange, widened
from movie.recommendations.ceiling import costly_call
from movie.recommendations.diversity import mmr_rerank, pool_size
from movie.recommendations.filtering import align_items, excluded_items, excluded_mask
from movie.recommendations.micro_batching import first_stage
from movie.recommendations.movie_index import movie_index
from movie.recommendations.ranked_list import RankedList
from movie.recommendations.ranking import Ranking, RankingOptions, candidate_models, encode, rank_all
from movie.telemetry.counters import instruments, labelled
from movie.training.model_info import MOST_RATED
from movie.training.registry import registry
from predictors.base import Predictor
from predictors.errors import CannotAnswer, PredictorError
from predictors.history import History, MovieId, Recommendation
from predictors.query import Query
from predictors.ranking import FirstStage

BLOCK = 64  # histories scored together; the scores of 60,000 movies for them take 15 MB


class NoTrainedModel(Exception):
    """Says that no candidate model can be loaded, so every list would be the same for everybody."""


def recommend_batch(histories: Sequence[History], options: RankingOptions) -> list[RankedList]:
    """Rank for each history. Filters, rules and diversity hold for all lists.

    Raises UnknownName for a filter that no movie meets, NoTrainedModel while no model is trained.
    """
    index = movie_index()
    excluded = excluded_mask(options.filters, index)  # a wrong filter is wrong whoever answers
    rules = options.rules.compiled(index)
    wide = widened(options)
    lists = rank_all(histories, wide, _rank_in_blocks)
    for ranked in lists:
        if ranked.model == MOST_RATED:
            if not _has_trained_model(options):
                raise NoTrainedModel
            known = [found for found in ranked.recommendations if found.movie_id in index]
            ranked.recommendations = known[: wide.k]
            named = [*ranked.history.known, *(options.among or ())]
            ranked.unknown = [movie_id for movie_id in named if movie_id not in index]
        arrange(ranked, options, rules, excluded)
    return lists


def _rank_in_blocks(
    predictor: Predictor, histories: Sequence[History], options: RankingOptions
) -> list[Ranking | CannotAnswer]:
    """Rank by one model. A history alone is scored with those of its group of requests."""
    rankings: dict[int, Ranking | CannotAnswer] = {}
    queries: dict[int, Query] = {}
    for position, history in enumerate(histories):
        try:
            queries[position] = encode(predictor, history)
        except CannotAnswer as error:
            rankings[position] = error
    ranker = _BlockRanker(predictor, options)
    is_large = predictor.is_costly or len(queries) > BLOCK
    with costly_call() if is_large else nullcontext():
        _rank_queries(queries, histories, ranker, rankings)
    return [rankings[position] for position in range(len(histories))]


def _rank_queries(
    queries: dict[int, Query],
    histories: Sequence[History],
    ranker: _BlockRanker,
    rankings: dict[int, Ranking | CannotAnswer],
) -> None:
    """Fill in the rankings of these queries."""
    predictor = ranker.predictor
    if len(queries) == 1:
        ((position, query),) = queries.items()
        stage, seconds = first_stage(predictor, query)
        started = time.perf_counter()
        rankings[position] = ranker.rank(stage, histories[position], query)
        seconds += time.perf_counter() - started
        labelled(instruments().ranking_seconds, predictor.name).observe(seconds)
    else:
        answerable = list(queries.items())
        for start in range(0, len(answerable), BLOCK):
            block = answerable[start : start + BLOCK]
            stages = predictor.first_stage([query for _position, query in block])
            for (position, query), stage in zip(block, stages, strict=True):
                rankings[position] = ranker.rank(stage, histories[position], query)


class _BlockRanker:
    """Makes lists from the scores of one model under the options of one request."""

    def __init__(self, predictor: Predictor, options: RankingOptions) -> None:
        self.predictor, self.options = predictor, options
        self.alignment = align_items(predictor, movie_index())
        self.excluded = excluded_items(self.alignment, excluded_mask(options.filters, self.alignment.index))
        if options.exclude:
            self.excluded = np.union1d(self.excluded, predictor.ids.indices_of(options.exclude)[0])
        self.unknown_candidates: list[MovieId] = []
        if options.among is not None:
            self._keep_alone(options.among)

    def _keep_alone(self, candidates: Collection[int]) -> None:
        """Exclude all movies but these. Raises CannotAnswer where the model knows none of them."""
        ids = self.predictor.ids
        items, unknown = ids.indices_of(candidates)
        hidden = items[self.alignment.rows[items] < 0]
        self.unknown_candidates = [*unknown, *ids.ids_of(hidden)]
        if len(items) == len(hidden):
            raise CannotAnswer("no_known_candidates", f"{self.predictor.name} knows none of the candidates")
        others = np.ones(len(ids), dtype=bool)
        others[items] = False
        self.excluded = np.union1d(self.excluded, np.flatnonzero(others))

    def rank(self, stage: FirstStage, history: History, query: Query) -> Ranking:
        """Exclude from a first stage what may not be recommended, and rank what is left."""
        stage.exclude(self.excluded)
        if self.options.exclude_known:
            known = {*history.known, *self.alignment.index.twins_of(history.known)}
            # A request's films without stars are all liked: `query.liked` has their indices already. A film
            # that is new to the model is `unknown`.
            are_liked = not query.unknown and known == history.strength.keys()
            stage.exclude(query.liked if are_liked else self.predictor.ids.indices_of(known)[0])
        k, diversity = self.options.k, self.options.diversity
        found, scores = stage.top_k(pool_size(k, diversity))
        items, values = found.tolist(), scores.tolist()
        if diversity:
            rows = self.alignment.rows[found].tolist()
            chosen = mmr_rerank(rows, values, self.alignment.index, k=k, diversity=diversity)
            items, values = [items[each] for each in chosen], [values[each] for each in chosen]
        ids = self.predictor.ids.ids_of(items)
        return Ranking(
            [Recommendation(movie_id, value) for movie_id, value in zip(ids, values, strict=True)],
            [*query.unknown, *self.unknown_candidates],
        )


def _has_trained_model(options: RankingOptions) -> bool:
    for name in candidate_models(options):
        try:
            registry().get(name)
        except PredictorError:
            continue
        return True
    return False
