"""Ranking: the one place that asks predictors, with one chain of fallbacks.

A list names the model that answered. When the model that was asked for cannot answer, the next candidate
does and `RankedList.fallback` says why; with no trained model at all the movies with most ratings answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

import numpy as np

from movie.catalogue.models import Movie
from movie.events.history import get_ranking_history
from movie.events.recording import new_event_id
from movie.experiments.assignment import Arm
from movie.recommendations.ceiling import costly_call
from movie.recommendations.filtering import Filters, align_items, excluded_items, excluded_mask
from movie.recommendations.movie_index import movie_index
from movie.recommendations.new_films import with_new_films
from movie.recommendations.ranked_list import RankedList, cached_ranking
from movie.recommendations.rules import NO_RULES, Rules
from movie.telemetry.counters import instruments
from movie.training.model_info import FALLBACK_REASONS, MODEL_INFO, MOST_RATED, NOT_TRAINED
from movie.training.registry import default_models, registry
from movie.visitors.visitor import Visitor
from predictors.base import Predictor
from predictors.capabilities import PredictsStars, at_familiarity, has_dial
from predictors.errors import CannotAnswer, PredictorError
from predictors.history import History, MovieId, Recommendation
from predictors.new_items import WithNewItems
from predictors.query import Query

SPARE = 24  # movies ranked beyond k: they take the place of those hidden or deleted a moment ago
STAR_PREDICTOR = "mf"
MIN_RATINGS = 2  # with fewer the expected stars are hardly more than the movie's mean


@dataclass(frozen=True, slots=True)
class RankingOptions:
    """Options of a ranking. `arm` answers where no `model` is named; with `alone` no other model may.

    With `among` the list holds these movies alone. The first `offset` movies are skipped, and a list that
    goes on from another has a first rank of `start` + 1; `rules` are of the whole list. Batches alone heed
    these three.
    `familiarity` is the point of the dial, from -1 (unexpected) to 1 (well-known), of models that have one.
    """

    k: int = 20
    model: str | None = None
    arm: Arm | None = None
    exclude: Collection[int] = ()
    alone: bool = False
    exclude_known: bool = True
    filters: Filters | None = None
    diversity: float = 0.0
    among: Collection[int] | None = None
    familiarity: float = 0.0
    offset: int = 0
    start: int = 0
    rules: Rules = NO_RULES


class Ranking(NamedTuple):
    recommendations: Sequence[Recommendation]
    unknown: Sequence[MovieId] = ()


Ranker = Callable[[Predictor, Sequence[History], RankingOptions], Sequence[Ranking | CannotAnswer]]


def recommend(
    history: History,
    *,
    k: int = 20,
    model: str | None = None,
    arm: Arm | None = None,
    exclude: Collection[int] = (),
    alone: bool = False,
    familiarity: float = 0.0,
    filters: Filters | None = None,
) -> RankedList:
    """Rank k movies for a history. The first candidate model that can answer does; the list names it.

    Movies of the history and `exclude` are left out. The list's id tells of the `arm` of an experiment. An
    unknown `model` counts as none. `alone` computes the list now and lets no other model answer: where this
    one cannot, the list is empty and its `fallback` says why. `familiarity` goes from -1, unexpected movies,
    to 1, well-known ones; models without such a dial answer as always. Raises UnknownName for a name in
    `filters` that no movie has.
    """
    options = RankingOptions(
        k, model, None if model else arm, exclude, alone, filters=filters, familiarity=familiarity
    )
    return rank_all([history], options, _rank_now if alone else _rank_cached)[0]


def rank_among(
    history: History,
    movie_ids: Collection[int],
    *,
    model: str | None = None,
    familiarity: float = 0.0,
) -> RankedList:
    """Order these movies, and no others, by how well they fit a history.

    Nothing is masked: a movie that was seen is ordered like the rest. Movies that the model does not know
    come last. Costs one query to the model however many movies there are.
    """
    options = RankingOptions(
        len(movie_ids), model, exclude_known=False, among=movie_ids, familiarity=familiarity
    )
    return rank_all([history], options, _rank_these)[0]


def rank_all(histories: Sequence[History], options: RankingOptions, rank: Ranker) -> list[RankedList]:
    """Make one list for each history, by the first candidate model that can answer it.

    `rank` asks one model for several histories.
    """
    lists: dict[int, RankedList] = {}
    reasons: dict[int, str] = {}  # why the first candidate could not answer, by position
    requested = ""
    for name in candidate_models(options):
        waiting = sorted(set(range(len(histories))) - lists.keys())
        if not waiting:
            break
        requested = requested or name
        try:
            predictor = at_familiarity(registry().get(name), options.familiarity)
            asked = with_new_films(predictor)
            rankings = rank(asked, [histories[position] for position in waiting], options)
        except PredictorError as error:
            refusal = error if isinstance(error, CannotAnswer) else CannotAnswer(NOT_TRAINED, str(error))
            rankings = [refusal] * len(waiting)
        for position, ranking in zip(waiting, rankings, strict=True):
            if isinstance(ranking, Ranking):
                lists[position] = _new_list(name, ranking, histories[position], options)
                lists[position].version = predictor.version
                if isinstance(asked, WithNewItems):
                    lists[position].new_films = asked.new_ids
                if has_dial(predictor):
                    lists[position].familiarity = options.familiarity
            elif name == requested:
                reasons[position] = ranking.reason if ranking.reason in FALLBACK_REASONS else NOT_TRAINED
    for position, history in enumerate(histories):
        if position not in lists:
            lists[position] = _new_list(MOST_RATED, last_resort(history, options), history, options)
        ranked = lists[position]
        ranked.requested = requested or MOST_RATED
        if options.model or ranked.model == MOST_RATED:
            ranked.fallback = reasons.get(position, "")
    for reason in reasons.values():
        instruments().fallbacks.labels(requested, reason).inc()
    return [lists[position] for position in range(len(histories))]


def candidate_models(options: RankingOptions) -> Iterator[str]:
    """Yield the models to ask, in order. The defaults are looked up only when it comes to them."""
    first = options.arm.predictor if options.arm else options.model
    if first and first in MODEL_INFO:
        yield first
    for name in () if options.alone else default_models():
        if name in MODEL_INFO and name != first:
            yield name


def answering_model(model: str | None = None, arm: Arm | None = None) -> str:
    """Return the first candidate that is trained, without asking it."""
    store = registry().store
    candidates = candidate_models(RankingOptions(model=model, arm=None if model else arm))
    return next((name for name in candidates if store.current(name)), MOST_RATED)


def visitor_history(visitor: Visitor) -> History:
    """Return the history of who is asking; a guest without a cookie has none, and no query is made."""
    return History.EMPTY if visitor.is_new else get_ranking_history(visitor.key)


class ExpectedStars(NamedTuple):
    """Holds the stars that are expected of a visitor, and the mean of their ratings; both in halves."""

    stars: float
    own_mean: float


def expected_stars(history: History, movie_id: int) -> ExpectedStars | None:
    """Return the stars that the star predictor expects this visitor to give a movie.

    None with fewer than two ratings to go by, for a movie they rated, where no predictor is active or it
    does not know the movie, and for stars below the visitor's own mean: the movie may lead their list, and
    one page must not speak for it and against it.
    """
    if movie_id in history.ratings:
        return None
    stars = predicted_stars(history, [movie_id]).get(movie_id)
    if stars is None:
        return None
    own_mean = fmean(history.ratings.values())
    return ExpectedStars(_halves(stars), _halves(own_mean)) if stars >= own_mean else None


def _halves(stars: float) -> float:
    return round(stars * 2) / 2


def predicted_stars(history: History, movie_ids: Sequence[MovieId]) -> dict[MovieId, float]:
    """Return the stars that the star predictor expects, by movie; nothing where it cannot tell."""
    if len(history.ratings) < MIN_RATINGS:
        return {}
    try:
        predictor = registry().get(STAR_PREDICTOR)
    except PredictorError:
        return {}
    if not isinstance(predictor, PredictsStars):
        return {}
    return predictor.predict_stars(history, movie_ids)


def encode(predictor: Predictor, history: History) -> Query:
    """Return the query for a history. Raises CannotAnswer where the model knows too little of it."""
    query = predictor.encode(history)
    if len(query.liked) < predictor.min_history:
        raise CannotAnswer("no_known_films" if query.unknown else "history_too_short")
    return query


def _new_list(model: str, ranking: Ranking, history: History, options: RankingOptions) -> RankedList:
    arm = options.arm
    return RankedList(
        model,
        recommendations=ranking.recommendations,
        k=options.k,
        history=history,
        unknown=ranking.unknown,
        arm=arm,
        recommendation_id=arm.list_id(fallback=model != arm.predictor) if arm else new_event_id(),
    )


# -- one model, one history ------------------------------------------------------------------------


def _rank_now(predictor: Predictor, histories: Sequence[History], options: RankingOptions) -> list[Ranking]:
    """Rank by one model alone."""
    (history,) = histories
    index = movie_index()
    left_out = {*options.exclude, *index.twins_of(history.known)}
    alignment = align_items(predictor, index)
    filtered = excluded_items(alignment, excluded_mask(options.filters, index))
    excluded = np.union1d(filtered, predictor.ids.indices_of(left_out)[0])
    query = encode(predictor, history)
    with costly_call() if predictor.is_costly else nullcontext():
        indices, scores = predictor.retrieve([query], options.k + SPARE, excluded)
        best = indices[0][indices[0] >= 0]
        reasons = predictor.reasons(query, best, alignment.absent)
    found = zip(predictor.ids.ids_of(best), scores[0].tolist(), reasons, strict=False)
    return [Ranking([Recommendation(*each) for each in found])]


def _rank_cached(
    predictor: Predictor, histories: Sequence[History], options: RankingOptions
) -> list[Ranking]:
    """Rank by one model alone with reasons, from the cache when nothing changed since."""

    def compute() -> Sequence[Recommendation]:
        (ranking,) = _rank_now(predictor, histories, options)
        return ranking.recommendations

    inner = predictor.inner if isinstance(predictor, WithNewItems) else predictor
    dial = f"{options.familiarity:g}" if has_dial(inner) else ""
    excluded = excluded_mask(options.filters, movie_index())
    # The movies themselves, as facts change and filters do not.
    filtered = "" if excluded is None else hashlib.blake2b(excluded.tobytes(), digest_size=8).hexdigest()
    made_of = (predictor.name, predictor.version, movie_index().digest, dial, filtered)
    left_out = {*options.exclude, *movie_index().twins_of(histories[0].known)}
    return [Ranking(cached_ranking(made_of, histories[0], options.k, left_out, compute))]


def _rank_these(predictor: Predictor, histories: Sequence[History], options: RankingOptions) -> list[Ranking]:
    """Order `options.among` by one model alone, without reasons."""
    (history,) = histories
    query = encode(predictor, history)
    items, unknown = predictor.ids.indices_of(sorted(options.among or ()))
    if len(items) == 0:
        raise CannotAnswer("unknown_film", f"{predictor.name} knows none of these movies")
    with costly_call() if predictor.is_costly else nullcontext():
        scores = predictor.score([query], items)[0]
    best = np.argsort(-scores, kind="stable")
    found = zip(predictor.ids.ids_of(items[best]), scores[best].tolist(), strict=True)
    return [Ranking([Recommendation(*each) for each in found] + [Recommendation(pk, 0.0) for pk in unknown])]


# -- lists without a model -------------------------------------------------------------------------


def last_resort(history: History, options: RankingOptions) -> Ranking:
    """Return the movies with most ratings, from the database; all scores are 0. With `alone` none."""
    if options.alone:
        return Ranking(())
    index = movie_index()
    known = history.known if options.exclude_known else ()
    taken = {*options.exclude, *known, *index.twins_of(known)}
    ids = Movie.objects.visible().most_rated().values_list("pk", flat=True)
    if options.among is not None:
        ids = ids.filter(pk__in=options.among)
    excluded = excluded_mask(options.filters, index)
    if excluded is None:
        found = list(ids[: options.k + SPARE + len(taken)])
    else:
        found = [pk for pk in ids if pk in index]
        found = [pk for pk, row in zip(found, index.rows_of(found), strict=True) if not excluded[row]]
    ranked = [Recommendation(pk, 0.0) for pk in found if pk not in taken]
    return Ranking(ranked[: options.k + SPARE])
