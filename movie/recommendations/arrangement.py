"""Arrange a ranked list as a request wants it: filled up, moved by rules, and cut from an offset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from django.db import DatabaseError

from movie.recommendations.movie_index import MovieIndex
from movie.recommendations.ranked_list import RankedList
from movie.recommendations.ranking import RankingOptions, last_resort
from movie.recommendations.rules import CompiledRules, place_pins
from predictors.history import History, MovieId, Recommendation


def widened(options: RankingOptions) -> RankingOptions:
    """Return options of rankings that are long enough for `arrange`."""
    k = options.offset + options.k + options.rules.spread
    return options if k == options.k else replace(options, k=k)


def arrange(
    ranked: RankedList, options: RankingOptions, rules: CompiledRules, excluded: np.ndarray | None
) -> None:
    """Fill, move and cut the ranking of a list; `excluded` are the rows of the index that filters exclude."""
    found = list(ranked.recommendations)
    filled = []
    if options.filters is not None and options.among is None:
        filled = _unknown_to_model(ranked.history, options, found, rules.index)
        found += filled
    found, moved_by = rules.boost(found)
    if options.rules.pins:
        pins = list(rules.pinned(_allowed_pins(ranked.history, options, rules, excluded)))
        found = place_pins(found, pins, options.start)
        moved_by |= {pin.movie_id: [pin.name] for pin in pins}
    end = options.offset + options.k
    ranked.recommendations, ranked.k = found[options.offset : end], options.k
    ranked.start = options.start + options.offset
    unknown = {each.movie_id for each in filled}
    ranked.n_filled = len(unknown & {each.movie_id for each in ranked.recommendations}) if unknown else 0
    ranked.moved_by = moved_by


def _unknown_to_model(
    history: History, options: RankingOptions, found: Sequence[Recommendation], index: MovieIndex
) -> list[Recommendation]:
    """Return movies that the filters allow and the model does not know, most rated first.

    As many as the list lacks, and an empty list while the database is away: lists for a history that was
    sent go on without it.
    """
    missing = widened(options).k - len(found)
    if missing <= 0:
        return []
    listed = {each.movie_id for each in found}
    more = replace(options, k=missing, exclude={*options.exclude, *listed})  # type: ignore[arg-type]
    try:
        ranking = last_resort(history, more).recommendations
    except DatabaseError:
        return []
    return [each for each in ranking if each.movie_id in index][:missing]


def _allowed_pins(
    history: History, options: RankingOptions, rules: CompiledRules, excluded: np.ndarray | None
) -> set[MovieId]:
    """Return the pinned movies that may be in the list: visible, not seen, and within every condition."""
    index, wanted = rules.index, [pin.movie_id for pin in rules.rules.pins]
    allowed: set[MovieId] = {
        movie_id
        for movie_id, row in zip(wanted, index.rows_of(wanted).tolist(), strict=True)
        if row >= 0 and (excluded is None or not excluded[row])
    }
    if options.among is not None:
        allowed &= set(options.among)
    known = history.known if options.exclude_known else ()
    return allowed - {*options.exclude, *known, *index.twins_of(known)}
