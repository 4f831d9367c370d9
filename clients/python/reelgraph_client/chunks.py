"""Lists that are longer than one request may be, and the answers put together."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Sequence

from reelgraph_client.answers import MoviesWritten, MovieWritten, Recorded, Refused
from reelgraph_client.errors import FieldProblem, Invalid
from reelgraph_client.requests import Interaction, MovieUpdate

MAX_INTERACTIONS = 500
MAX_MOVIES = 500  # of one request that writes films


_PLACE = re.compile(r"\[(\d+)\]\.?(.*)")


def movie_chunks(films: Iterable[MovieUpdate]) -> Iterator[list[MovieUpdate]]:
    everything = list(films)
    for start in range(0, len(everything), MAX_MOVIES):
        yield everything[start : start + MAX_MOVIES]


def refused_movies(problem: Invalid, sent: int) -> MoviesWritten:
    """Return the result of a chunk of films without a valid one. Raises any other problem."""
    refused = {each.index: each.errors for each in refused_interactions(problem).refused}
    results = tuple(MovieWritten(None, "refused", refused.get(index, ())) for index in range(sent))
    return MoviesWritten(0, 0, 0, sent, results)


def merge_written(written: Sequence[MoviesWritten]) -> MoviesWritten:
    return MoviesWritten(
        sum(each.added for each in written),
        sum(each.changed for each in written),
        sum(each.unchanged for each in written),
        sum(each.refused for each in written),
        tuple(result for each in written for result in each.results),
    )


def interaction_chunks(
    interactions: Iterable[Interaction], atomic: bool
) -> Iterator[tuple[int, list[Interaction]]]:
    """Yield chunks of at most MAX_INTERACTIONS, each with the index of its first interaction."""
    everything = list(interactions)
    if atomic and len(everything) > MAX_INTERACTIONS:
        raise ValueError(
            f"all or none is possible for {MAX_INTERACTIONS} interactions, not {len(everything)}"
        )
    for start in range(0, len(everything), MAX_INTERACTIONS):
        yield start, everything[start : start + MAX_INTERACTIONS]


def refused_interactions(problem: Invalid) -> Recorded:
    """Return the result of a chunk without a valid entry. Raises any other problem."""
    refused: dict[int, list[FieldProblem]] = {}
    for error in problem.errors:
        found = _PLACE.fullmatch(error.field)
        if found is None:
            raise problem
        refused.setdefault(int(found[1]), []).append(dataclasses.replace(error, field=found[2]))
    if not refused:
        raise problem
    return Recorded(0, 0, tuple(Refused(index, tuple(errors)) for index, errors in refused.items()))


def merge_recorded(recorded: Iterable[tuple[int, Recorded]]) -> Recorded:
    stored = repeated = 0
    refused: list[Refused] = []
    for start, each in recorded:
        stored, repeated = stored + each.stored, repeated + each.repeated
        refused += [dataclasses.replace(one, index=start + one.index) for one in each.refused]
    return Recorded(stored, repeated, tuple(refused))
