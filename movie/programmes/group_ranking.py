"""Rank one list for several visitors: what suits all of them, and nobody's least wanted film.

The scores of a model mean something within one visitor's list alone, so each visitor's are standardised
before their mean is taken: the average strategy of group recommendation, with a threshold below which a
film makes a member miserable (Masthoff 2004).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from movie.events.history import get_history
from movie.programmes.models import GroupMember
from movie.recommendations.ceiling import costly_call
from movie.recommendations.filtering import align_items
from movie.recommendations.movie_index import movie_index
from movie.recommendations.ranked_list import RankedList, cached_ranking
from movie.recommendations.ranking import SPARE, RankingOptions, candidate_models, encode, recommend
from movie.training.model_info import IMPERSONAL_MODELS
from movie.training.registry import registry
from predictors.base import Predictor
from predictors.errors import CannotAnswer, PredictorError
from predictors.history import History, Reason, Recommendation
from predictors.query import Query

FLOOR = 0.5  # quantile of each visitor's scores below which no film of the list lies
CANDIDATES = 3  # times the length of the list: films with a reason for everybody come first among them
MEMBER = "member"  # the kind of a reason whose detail is the key of a member


@dataclass(frozen=True, slots=True)
class GroupRanking:
    """A list for a group; `counted` are the members whose histories made it."""

    ranked: RankedList
    counted: Collection[int]


def histories_of(members: Sequence[GroupMember]) -> dict[int, History]:
    """Return the history of each member, by the key of the member."""
    return {member.pk: get_history(member.visitor) for member in members}


def rank_together(histories: Mapping[int, History], k: int) -> GroupRanking:
    """Rank k movies for several histories at once.

    The first candidate model that can answer for all who have liked something does, else the first that
    can answer for anybody. Movies that one of them has seen are left out. Each recommendation has a reason
    for each member who counted: the movie of their history that supports it most.
    """
    seen = {int(pk) for history in histories.values() for pk in history.known}
    left_out = seen | movie_index().twins_of(seen)
    predictor, queries = _answering(histories)
    if predictor is None:
        return GroupRanking(recommend(History.EMPTY, k=k, exclude=left_out), ())
    versions = (predictor.name, predictor.version, movie_index().digest, *map(str, queries))
    everything = History(chain.from_iterable(histories[key] for key in queries))

    def compute() -> list[Recommendation]:
        with costly_call():  # of each member the reasons too
            return _rank(predictor, queries, left_out, k)

    ranked = RankedList(predictor.name, predictor.version, predictor.name, k=k)
    ranked.recommendations = cached_ranking(versions, everything, k, left_out, compute)
    return GroupRanking(ranked, tuple(queries))


def _answering(histories: Mapping[int, History]) -> tuple[Predictor | None, dict[int, Query]]:
    """Return the model that answers and the queries of those whom it can answer."""
    asking = {key: history for key, history in histories.items() if history.liked}
    first: tuple[Predictor | None, dict[int, Query]] = (None, {})
    for name in candidate_models(RankingOptions()):
        if name in IMPERSONAL_MODELS or not asking:
            continue
        try:
            predictor = registry().get(name)
        except PredictorError:
            continue
        queries: dict[int, Query] = {}
        for key, history in asking.items():
            try:
                queries[key] = encode(predictor, history)
            except CannotAnswer:
                continue
        if len(queries) == len(asking):
            return predictor, queries
        if queries and not first[1]:
            first = (predictor, queries)
    return first


def _rank(
    predictor: Predictor, queries: Mapping[int, Query], left_out: Collection[int], k: int
) -> list[Recommendation]:
    allowed = np.ones(predictor.n_items, dtype=bool)
    hidden = align_items(predictor, movie_index()).absent
    allowed[hidden] = False
    allowed[predictor.ids.indices_of(left_out)[0]] = False
    items = np.flatnonzero(allowed)
    if len(items) == 0:
        return []
    scores = predictor.score(list(queries.values()))[:, items].astype(np.float64)
    joint = joint_scores(scores)
    order = np.argsort(-joint, kind="stable")[: CANDIDATES * k + SPARE]
    best = order[np.isfinite(joint[order])]
    targets = items[best]
    supporters = {key: predictor.supporters(query, targets, hidden) for key, query in queries.items()}
    found = [
        Recommendation(
            movie_id,
            float(joint[position]),
            tuple(
                Reason(MEMBER, ranked[row][0][0], round(ranked[row][0][1], 4), str(key))
                for key, ranked in supporters.items()
                if ranked[row]
            ),
        )
        for row, (movie_id, position) in enumerate(zip(predictor.ids.ids_of(targets), best, strict=True))
    ]
    return sorted(found, key=lambda each: len(each.reasons) < len(queries))[: k + SPARE]


def joint_scores(scores: np.ndarray) -> np.ndarray:
    """Return (n,) float64: the mean of the standardised rows of (m, n) scores, -inf below anybody's floor.

    Where no item is above the floor of all, the least content member decides: the minimum, not the mean.
    """
    spread = scores.std(axis=1, keepdims=True)
    standardised = (scores - scores.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1.0)
    lowest = scores.min(axis=1, keepdims=True)
    floor = np.quantile(scores, FLOOR, axis=1, keepdims=True)
    # Many models score most items alike, with the lowest score: a floor there would let everything pass.
    is_wanted = (scores >= floor) & ((scores > lowest) | (spread == 0))
    suits_all = is_wanted.all(axis=0)
    if not suits_all.any():
        return standardised.min(axis=0)
    return np.where(suits_all, standardised.mean(axis=0), -np.inf)
