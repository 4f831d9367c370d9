"""Pick a few films for one evening: under a running time, and different from each other."""

from __future__ import annotations

from collections.abc import Sequence

from movie.experiments.assignment import Arm
from movie.recommendations.diversity import mmr_rerank
from movie.recommendations.filtering import Filters
from movie.recommendations.movie_index import MovieIndex, movie_index
from movie.recommendations.ranked_list import RankedList
from movie.recommendations.ranking import recommend
from predictors.history import History, Recommendation

FILMS = 3  # as many as one compares without a list
POOL = 30  # best films of the model from which they are chosen
DIVERSITY = 0.7  # of `mmr_rerank`
TURNS = POOL // FILMS - 1  # of three films each; the last films are spare


def recommend_for_tonight(
    history: History,
    minutes: int,
    *,
    model: str | None = None,
    arm: Arm | None = None,
    familiarity: float = 0.0,
    turn: int = 1,
) -> RankedList:
    """Return three films that fit a history, last `minutes` at most, and are unlike each other.

    Films whose running time is not known are left out, and films with a reason come before those without.
    `turn` from 1 to `TURNS` gives other films. The options are as for `recommend`, and so are the reasons.
    """
    ranked = recommend(
        history,
        k=POOL,
        model=model,
        arm=arm,
        familiarity=familiarity,
        filters=Filters(runtime_to=minutes),
    )
    index, wanted = movie_index(), turn * FILMS + FILMS
    pool = [each for each in ranked.recommendations[:POOL] if each.movie_id in index]
    chosen = _unlike_each_other([each for each in pool if each.reasons], index, wanted)
    chosen += _unlike_each_other([each for each in pool if not each.reasons], index, wanted - len(chosen))
    ranked.recommendations, ranked.k = chosen[(turn - 1) * FILMS :], FILMS
    return ranked


def count_known_runtimes() -> tuple[int, int]:
    """Return how many visible films have a known running time, and how many there are."""
    index = movie_index()
    return int((index.runtimes > 0).sum()), len(index)


def _unlike_each_other(found: Sequence[Recommendation], index: MovieIndex, k: int) -> list[Recommendation]:
    """Return k of these recommendations, in the order of maximal marginal relevance."""
    rows = index.rows_of(each.movie_id for each in found).tolist()
    order = mmr_rerank(rows, [each.score for each in found], index, k=k, diversity=DIVERSITY)
    return [found[position] for position in order]
