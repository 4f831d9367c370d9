"""Late fusion: the scores of several models, standardised over the unseen items and added by weight."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from predictors.errors import ArtifactError
from predictors.ranking import top_k
from predictors.serving import artifact
from ranking_metrics.ranking import per_user

if TYPE_CHECKING:
    from predictors.base import Predictor, Saved
    from predictors.query import Query
    from predictors.validation import Validator

TINY = 1e-9
QUERIES_AT_ONCE = 128
CANDIDATES = 200  # best items of each member that take part while weights are tried
PADDING = np.float32(-1e9)  # below every score, and finite: a weight of 0 leaves it 0, not NaN
METRIC, DEPTH = "NDCG@100", 100  # of the tries: a long list is less a matter of luck than ten items
PARTS = 10  # weights are tried in steps of a tenth
AVERAGED = 5  # best tries whose mean is taken: single ones owe their place partly to the users asked


def unseen_mask(query: Query, n_items: int) -> np.ndarray:
    """Return (n_items,) bool: the items that were not seen; all of them where nothing is left."""
    unseen = np.ones(n_items, dtype=bool)
    unseen[query.seen] = False
    if not unseen.any():
        unseen[:] = True
    return unseen


def deviation(scores: np.ndarray, query: Query) -> float:
    """Return the deviation of the scores (n_items,) of the unseen items; 1 where they are all the same."""
    found = float(scores[unseen_mask(query, len(scores))].astype(np.float64).std())
    return found if found > TINY else 1.0


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

    All weights in steps of one part of PARTS are tried; the mean of the best AVERAGED is taken. What none of
    the members has among its best CANDIDATES is left out of the tries.
    """
    scores, is_target, n_targets = _candidates(members, validator)
    rows = np.arange(len(n_targets))[:, None]
    tries = []
    for parts in _compositions(PARTS, len(members)):
        weights = np.array(parts) / PARTS
        together = np.tensordot(weights.astype(np.float32), scores, 1)  # (M,), (M, U, C) -> (U, C)
        best = np.argpartition(-together, min(DEPTH, together.shape[1]) - 1, axis=1)[:, :DEPTH]
        ranked = best[rows, np.argsort(-together[rows, best], axis=1, kind="stable")]
        values = per_user(is_target[rows, ranked], n_targets, (METRIC,))
        tries.append((float(values.mean()), weights))
    tries.sort(key=lambda each: -each[0])
    best_tries = tries[:AVERAGED]
    figures = [{"weights": weights.tolist(), METRIC: round(value, 5)} for value, weights in best_tries]
    return np.mean([weights for _, weights in best_tries], axis=0), figures


def _candidates(
    members: Sequence[Predictor], validator: Validator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return standardised scores (M, U, C) of the unseen items that a member ranks high, which of them are
    targets (U, C) bool, and how many targets each user has (U,). Users with fewer candidates have padding.
    """
    n_users, width = len(validator), min(CANDIDATES * len(members), validator.n_items)
    scores = np.full((len(members), n_users, width), PADDING, dtype=np.float32)
    is_target = np.zeros((n_users, width), dtype=bool)
    for start in range(0, n_users, QUERIES_AT_ONCE):
        queries = validator.queries[start : start + QUERIES_AT_ONCE]
        of_member = [standardise(member.score(queries), queries) for member in members]
        for each in of_member:
            for line, query in zip(each, queries, strict=True):
                line[query.seen] = -np.inf
        ranked = np.concatenate([top_k(each, CANDIDATES)[0] for each in of_member], axis=1)
        for offset in range(len(queries)):
            items = np.unique(ranked[offset][ranked[offset] >= 0])
            scores[:, start + offset, : len(items)] = [each[offset, items] for each in of_member]
            is_target[start + offset, : len(items)] = np.isin(items, validator.targets[start + offset])
    return scores, is_target, np.array([len(targets) for targets in validator.targets])


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
