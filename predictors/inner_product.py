"""The base of models whose scores are inner products of a query's vector with those of the items."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from predictors import item_index
from predictors.base import Predictor
from predictors.config import Config
from predictors.errors import ArtifactError, InvalidScores
from predictors.id_map import IdMap
from predictors.item_index import FLAT, GRAPH, LEAST_RECALL, RECALL_DEPTH, IndexFirstStage, ItemIndex
from predictors.query import Query
from predictors.ranking import AllScores, FirstStage
from predictors.run import Run
from predictors.training_data import TrainingData, as_training_data
from predictors.validation import Validator, hold_out_last

if TYPE_CHECKING:
    from datasets.interactions import Interactions

logger = logging.getLogger(__name__)

RECALL_QUERIES = 200  # on which the recall of an index is measured


class InnerProductPredictor(Predictor):
    """Scores items by the inner products of a query's vector with their vectors.

    From `item_index.INDEX_FROM` items on, and where FAISS is installed, an artifact is saved with an index of
    the item vectors, and `meta["index"]` states its recall. It then chooses the items that exact scores rank.
    Where no index reaches `LEAST_RECALL` there is none, and every item is scored.
    """

    index: ItemIndex | None = None
    _recall_queries: Sequence[Query] = ()  # after a fit of many items: what the index is measured on
    _fitted_by: Run | None = None  # what reports the building of an index

    @abstractmethod
    def query_vectors(self, queries: Sequence[Query]) -> np.ndarray:
        """Return (B, d) float32 the vectors of these queries."""

    @abstractmethod
    def item_vectors(self) -> np.ndarray:
        """Return (n_items, d) float32 the vectors of the items."""

    def _products(self, vectors: np.ndarray, items: np.ndarray | slice) -> np.ndarray:
        """Return the exact scores (B, n) float32 of items for the vectors (B, d) of queries."""
        return vectors @ self.item_vectors()[items].T

    def _score(self, queries: Sequence[Query]) -> np.ndarray:
        return self._products(self.query_vectors(queries), slice(None))

    def _score_items(self, queries: Sequence[Query], items: np.ndarray) -> np.ndarray:
        vectors = self.query_vectors(queries)
        if items.ndim == 1:
            return self._products(vectors, items)
        return np.stack([self._product(*each) for each in zip(vectors, items, strict=True)])

    def _product(self, vector: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Return the exact scores (n,) of items (n,) for the vector (d,) of a query."""
        return self._products(vector[None], items)[0]

    def first_stage(self, queries: Sequence[Query]) -> list[FirstStage]:
        if self.index is None:
            return super().first_stage(queries)
        vectors = self.query_vectors(queries)
        if np.isnan(vectors).any():
            raise InvalidScores(f"{self.name} {self.version}".strip() + " scored an item with NaN")
        return [IndexFirstStage(self.index, vector, partial(self._product, vector)) for vector in vectors]

    # -- the index ------------------------------------------------------------------------------

    @classmethod
    def fit(
        cls, data: TrainingData | Interactions, config: Config | None = None, run: Run | None = None
    ) -> Self:
        predictor = super().fit(data, config, run)
        predictor._keep_queries(as_training_data(data), run)
        return predictor

    def refit(self, data: TrainingData | Interactions, run: Run | None = None) -> Self:
        predictor = super().refit(data, run)
        predictor._keep_queries(replace(as_training_data(data), validation=None), run)
        return predictor

    def _keep_queries(self, data: TrainingData, run: Run | None) -> None:
        """Keep queries to measure an index on: those of validation, or of users without their last item."""
        if self.n_items < item_index.INDEX_FROM or not item_index.is_installed():
            return
        seed = 1 if run is None else run.seed
        train, validation = data.train, data.validation
        if validation is None:
            train, validation = hold_out_last(train, max_users=RECALL_QUERIES, seed=seed)
        validator = Validator.from_rows(train, validation, max_users=RECALL_QUERIES, seed=seed)
        self._recall_queries = validator.queries if validator else ()
        self._fitted_by = run

    def use_index(self, index: ItemIndex, queries: Sequence[Query]) -> None:
        """Rank by this index from now on; `meta["index"]` states its recall on these queries.

        Recall is the share of the exact best RECALL_DEPTH unseen items that the list holds, mean of queries.
        """
        self.index = index
        shares = []
        for query, by_index in zip(queries, self.first_stage(queries), strict=True):
            lists = []
            for stage in (by_index, AllScores(self.score([query])[0])):
                stage.exclude(query.seen)
                lists.append(stage.top_k(RECALL_DEPTH)[0])
            shares.append(np.isin(lists[1], lists[0]).mean())
        self.meta["index"] = {
            "kind": index.kind,
            "recall": round(float(np.mean(shares)), 4),
            "depth": RECALL_DEPTH,
            "queries": len(queries),
        }

    def save(self, directory: Path, **facts: Any) -> None:
        """Save, with an index that finds enough where there are many items."""
        if self._recall_queries and self.index is None:
            self._build_index()
        super().save(directory, **facts)

    def _build_index(self) -> None:
        """Use a graph, or a flat index where that finds too few items, or none where both do.

        Without one `meta["poor_index"]` has the facts of the last that was tried.
        """
        for kind in (GRAPH, FLAT) if self.n_items >= item_index.GRAPH_FROM else (FLAT,):
            index = ItemIndex.build(self.item_vectors(), kind, partial(self._report_index, kind))
            self.use_index(index, self._recall_queries)
            if self.meta["index"]["recall"] >= LEAST_RECALL:
                return
        self.index, self._recall_queries = None, ()
        self.meta["poor_index"] = self.meta.pop("index")
        logger.warning(
            "%s ranks by exact scores, which takes longer: an index finds %s of the best items, less than %s",
            self.name,
            self.meta["poor_index"]["recall"],
            LEAST_RECALL,
        )

    def _report_index(self, kind: str, done: int) -> None:
        """Report items that are in an index; the fit, whose run this is, is over."""
        if self._fitted_by is not None:
            self._fitted_by.report(1.0, f"index {kind}: {done:,} of {self.n_items:,} items")

    def write_extra_files(self, directory: Path) -> None:
        if self.index is not None:
            self.index.write(directory / item_index.FILE)

    @classmethod
    def restore(
        cls,
        tensors: Mapping[str, np.ndarray],
        ids: IdMap,
        meta: Mapping[str, Any],
        directory: Path | None = None,
    ) -> Self:
        predictor = super().restore(tensors, ids, meta, directory)
        if directory is not None and (stated := meta.get("index")):
            predictor.index = _read_index(directory, stated, len(ids))
            if predictor.index is None:
                del predictor.meta["index"]
        return predictor


def _read_index(directory: Path, stated: Mapping[str, Any], n_items: int) -> ItemIndex | None:
    """Return the index of an artifact, None without FAISS. Raises ArtifactError on one that does not fit."""
    if not item_index.is_installed():
        logger.warning("%s has an index, but FAISS is not installed: every item is scored", directory)
        return None
    index = ItemIndex.read(directory / item_index.FILE, stated["kind"])
    if index.n_items != n_items:
        raise ArtifactError(f"{directory / item_index.FILE} holds {index.n_items} items, not {n_items}")
    return index
