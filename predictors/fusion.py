"""Late fusion: the scores of several models, standardised over the unseen items and added by weight."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from predictors.errors import ArtifactError
from predictors.serving import artifact
from predictors.validation import METRIC

if TYPE_CHECKING:
    from predictors.base import Predictor, Saved
    from predictors.query import Query
    from predictors.validation import Validator

TINY = 1e-9
QUERIES_AT_ONCE = 128
CELLS_AT_MOST = 60_000_000  # scores that are kept while weights are tried: 240 MB
PARTS = 10  # weights are tried in steps of a tenth
AVERAGED = 5  # best tries whose mean is taken: single ones owe their place partly to the users asked


def unseen_mask(query: Query, n_items: int) -> np.ndarray:
    """Return (n_items,) bool: the items that were not seen; all of them where nothing is left."""
    unseen = np.ones(n_items, dtype=bool)
    unseen[query.seen] = False
    if not unseen.any():
        unseen[:] = True
    return unseen


def standardise(scores: np.ndarray, queries: Sequence[Query]) -> np.ndarray:
    """Give each row of (B, n_items) float32 mean 0 and deviation 1 over the unseen items, in place.

    A row that says the same of all items becomes 0.
    """
    for row, query in zip(scores, queries, strict=True):
        values = row[unseen_mask(query, len(row))].astype(np.float64)
        deviation = values.std()
        if deviation > TINY:
            np.subtract(row, np.float32(values.mean()), out=row)
            np.divide(row, np.float32(deviation), out=row)
        else:
            row[:] = 0
    return scores


def fused(members: Sequence[Predictor], weights: np.ndarray, queries: Sequence[Query]) -> np.ndarray:
    """Return (B, n_items) float32: the weighted sum of the members' standardised scores."""
    total: np.ndarray | None = None
    for member, weight in zip(members, weights.tolist(), strict=True):
        if weight:
            scores = standardise(member.score(queries), queries)
            scores *= np.float32(weight)
            total = scores if total is None else np.add(total, scores, out=total)
    if total is None:
        raise ValueError("no member has a weight above 0")
    return total


def fit_weights(
    members: Sequence[Predictor], validator: Validator
) -> tuple[np.ndarray, list[dict[str, object]]]:
    """Return weights (M,) of sum 1, and the best tries with their figures.

    All weights in steps of one part of PARTS are tried; the mean of the best AVERAGED is taken. Fewer users
    are asked where the catalogue is large.
    """
    n_asked = max(1, CELLS_AT_MOST // (validator.n_items * len(members)))
    asked = validator.first(n_asked)
    table = [_all_scores(member, asked.queries) for member in members]
    row_of = {id(query): row for row, query in enumerate(asked.queries)}
    tries = []
    for parts in _compositions(PARTS, len(members)):
        weights = np.array(parts) / PARTS

        def score(queries: Sequence[Query], weights: np.ndarray = weights) -> np.ndarray:
            rows = [row_of[id(query)] for query in queries]
            counted = [(weight, each) for weight, each in zip(weights, table, strict=True) if weight]
            return np.sum([np.float32(weight) * each[rows] for weight, each in counted], axis=0)

        tries.append((asked.measure(score)[METRIC], weights))
    tries.sort(key=lambda each: -each[0])
    best = tries[:AVERAGED]
    figures = [{"weights": weights.tolist(), METRIC: round(value, 5)} for value, weights in best]
    return np.mean([weights for _, weights in best], axis=0), figures


def _all_scores(member: Predictor, queries: Sequence[Query]) -> np.ndarray:
    """Return (Q, n_items) float32 standardised scores."""
    parts = [queries[start : start + QUERIES_AT_ONCE] for start in range(0, len(queries), QUERIES_AT_ONCE)]
    return np.concatenate([standardise(member.score(part), part) for part in parts])


def _compositions(parts: int, n: int) -> list[tuple[int, ...]]:
    """Return all ways to share `parts` among n members."""
    if n == 1:
        return [(parts,)]
    return [(first, *rest) for first in range(parts + 1) for rest in _compositions(parts - first, n - 1)]


def write_members(directory: Path, members: Iterable[Predictor]) -> None:
    """Write the tensors of each member as `<member>.safetensors`, and its further files."""
    for member in members:
        artifact.write_tensors(directory / _file_of(member.name), member.tensors())
        member.write_extra_files(directory)


def read_member(kind: type[Predictor], saved: Saved) -> Predictor:
    """Rebuild a member from an artifact whose meta describes its `members`. Raises ArtifactError."""
    filename, files = _file_of(kind.name), saved.meta.get("files", {})
    described = saved.meta.get("members", {})
    if saved.directory is None or filename not in files or kind.name not in described:
        raise ArtifactError(f"{saved.directory} holds no {filename}")
    tensors = artifact.read_tensors(saved.directory / filename, files[filename])
    return kind.restore(tensors, saved.ids, described[kind.name], saved.directory)


def _file_of(member: str) -> str:
    return f"{member}.safetensors"
