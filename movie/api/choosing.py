"""From scores to a list: what may be in it, and how much alike its films are."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from movie.api.film_table import FilmTable, Names
from movie.api.problems import field_problem
from movie.api.schemas import Filters
from predictors.base import Predictor

POOL, MOST_POOLED = 5, 500  # films looked at for a diverse list: so many times its length, at most so many
_NO_ITEMS = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Placement:
    """How the items of one model and the rows of the film table belong together.

    rows    (n_items,) int64 row of each item, -1 where the film is hidden or not in the catalogue
    absent  items with row -1
    """

    predictor: Predictor
    table: FilmTable
    rows: np.ndarray
    absent: np.ndarray


class _Placements:
    """The placement of each model of this process, made anew for a new version or a changed catalogue."""

    def __init__(self) -> None:
        self.by_name: dict[str, Placement] = {}
        self.lock = threading.Lock()

    def of(self, predictor: Predictor, table: FilmTable) -> Placement:
        found = self.by_name.get(predictor.name)
        if found is not None and found.predictor is predictor and found.table is table:
            return found
        with self.lock:
            rows = table.rows_of(predictor.ids.ids)
            made = Placement(predictor, table, rows, np.flatnonzero(rows < 0))
            self.by_name[predictor.name] = made
            return made


placement_of = _Placements().of


def refused_rows(filters: Filters | None, table: FilmTable) -> np.ndarray | None:
    """(n,) bool, True for films that may not be recommended; None when everything may.

    Raises Problem for a genre or a language that no film has.
    """
    if filters is None or filters == Filters():
        return None
    refused = np.zeros(len(table), dtype=bool)
    for place, name in enumerate(filters.genres_in):
        rows = _having(table.genres, name, f"filters.genres_in[{place}]", "genre")
        refused |= ~_marked(rows, len(table))
    for place, name in enumerate(filters.genres_out):
        refused[_having(table.genres, name, f"filters.genres_out[{place}]", "genre")] = True
    if filters.languages:
        spoken = [
            _having(table.languages, name, f"filters.languages[{place}]", "language")
            for place, name in enumerate(filters.languages)
        ]
        refused |= ~_marked(np.concatenate(spoken), len(table))
    if filters.year_from is not None:
        refused |= table.years < filters.year_from
    if filters.year_to is not None:
        refused |= (table.years > filters.year_to) | (table.years == 0)
    return refused


def refused_items(placement: Placement, refused: np.ndarray | None) -> np.ndarray:
    """Items of the model that may not be recommended."""
    if refused is None:
        return placement.absent
    return np.flatnonzero(refused[placement.rows] | (placement.rows < 0))


def diverse(
    rows: Sequence[int], scores: Sequence[float], table: FilmTable, *, k: int, diversity: float
) -> list[int]:
    """The places of k films, chosen one by one by maximal marginal relevance.

    argmax of (1 - diversity) * score_i - diversity * max_j similarity(i, j) over those not chosen, where j
    are those chosen (Carbonell and Goldstein, SIGIR 1998, eq. in section 2, with diversity = 1 - lambda).
    Scores are brought to 0..1 over the candidates; two films are as similar as the genres and directors
    that they share: |A and B| / sqrt(|A| |B|).
    """
    features = [table.features[row] for row in rows]
    relevance = _scaled(np.asarray(scores, dtype=np.float64))
    nearest = np.zeros(len(rows))  # similarity to the most similar film chosen so far
    left = np.ones(len(rows), dtype=bool)
    chosen: list[int] = []
    while len(chosen) < min(k, len(rows)):
        value = (1 - diversity) * relevance - diversity * nearest
        best = int(np.argmax(np.where(left, value, -np.inf)))
        chosen.append(best)
        left[best] = False
        np.maximum(nearest, [_alike(features[best], other) for other in features], out=nearest)
    return chosen


def pool_size(k: int, diversity: float) -> int:
    """How many films to rank so that k can be chosen from them."""
    return k if diversity == 0 else max(k, min(POOL * k, MOST_POOLED))


def _scaled(scores: np.ndarray) -> np.ndarray:
    span = float(scores.max() - scores.min()) if len(scores) else 0.0
    return (scores - scores.min()) / span if span > 0 else np.ones(len(scores))


def _alike(a: frozenset[str | int], b: frozenset[str | int]) -> float:
    return len(a & b) / float(np.sqrt(len(a) * len(b))) if a and b else 0.0


def _having(names: Names, name: str, field: str, kind: str) -> np.ndarray:
    rows = names.get(name.casefold())
    if rows is None:
        raise field_problem("body", field, f"No film has the {kind} {name[:40]!r}.")
    return rows


def _marked(rows: np.ndarray, n: int) -> np.ndarray:
    marked = np.zeros(n, dtype=bool)
    marked[rows] = True
    return marked
