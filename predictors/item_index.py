"""An index of item vectors by FAISS, for first stages that do not score a large catalogue whole.

Vectors are kept as 8-bit integers, one scale a dimension, in a flat list that is scanned, or in a graph
(HNSW: Malkov and Yashunin, 2018) of which a search visits a small part. Both find items by inner product,
approximately; exact scores then rank more of them than are asked for. FAISS is optional: without it nothing
here is used, and every item is scored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from predictors.errors import ArtifactError
from predictors.ranking import RESCORED, FirstStage, Rescore, top_k

FLAT, GRAPH = "flat-sq8", "hnsw-sq8"
INDEX_FROM = 100_000  # items from which a scan of 8-bit integers costs two thirds of exact scores
GRAPH_FROM = 1_000_000  # items from which a graph is worth its building and its memory
NEIGHBOURS, BUILD_DEPTH, SEARCH_DEPTH = 32, 200, 512  # of the graph: M, efConstruction and ef of the paper
RECALL_DEPTH, LEAST_RECALL = 100, 0.95  # of the recall of a version, below which it cannot be activated
BLOCK = 10_000  # items that are added between two reports
FEW = 16  # where less than one item in so many is left, they are scored without the index

FILE = "items.faiss"


def is_installed() -> bool:
    """Return whether FAISS is installed."""
    return find_spec("faiss") is not None


def find_obstacle(meta: Mapping[str, Any]) -> str:
    """Return why a version with these facts cannot be activated; "" where its index finds enough."""
    stated = meta.get("index")
    if not stated or stated["recall"] >= LEAST_RECALL:
        return ""
    return (
        f"its index {stated['kind']} finds {stated['recall']:.3f} of the exact best {stated['depth']} items, "
        f"less than {LEAST_RECALL}; train it anew, or without faiss-cpu to rank by exact scores"
    )


@dataclass(frozen=True)
class ItemIndex:
    """Finds items whose vectors have large inner products with a query's. Threads may share it."""

    faiss_index: Any  # a faiss.Index; one that was read is mapped into memory
    kind: str

    @classmethod
    def build(
        cls,
        vectors: np.ndarray,
        kind: str,
        report: Callable[[int], None] = lambda done: None,
    ) -> ItemIndex:
        """Build an index of item vectors (n_items, d) float32; a graph of a million takes minutes.

        `report` is called with the number of items that are in it; what it raises ends the building.
        """
        import faiss

        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        how = faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
        if kind == GRAPH:
            index = faiss.IndexHNSWSQ(vectors.shape[1], how[0], NEIGHBOURS, how[1])
            index.hnsw.efConstruction = BUILD_DEPTH
        else:
            index = faiss.IndexScalarQuantizer(vectors.shape[1], *how)
        index.train(vectors)
        for start in range(0, len(vectors), BLOCK):
            index.add(vectors[start : start + BLOCK])
            report(int(index.ntotal))
        return cls(index, kind)

    @classmethod
    def read(cls, path: Path, kind: str) -> ItemIndex:
        """Map an index that `write` wrote into memory. Raises ArtifactError when it cannot be read."""
        import faiss

        try:
            return cls(faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC), kind)
        except RuntimeError as error:
            raise ArtifactError(f"{path} cannot be read: {error}") from error

    def write(self, path: Path) -> None:
        import faiss

        faiss.write_index(self.faiss_index, str(path))

    @property
    def n_items(self) -> int:
        return int(self.faiss_index.ntotal)

    def search(self, vector: np.ndarray, n: int, is_excluded: np.ndarray) -> np.ndarray:
        """Return up to n items, int64 ascending, for a vector (d,) float32, of those not excluded.

        is_excluded  (n_items,) bool
        """
        import faiss

        selected = faiss.IDSelectorBitmap(np.packbits(~is_excluded, bitorder="little"))
        if self.kind == GRAPH:
            # A search passes through excluded items too: the fewer are left, the further it has to go.
            left = np.count_nonzero(~is_excluded) / len(is_excluded)
            depth = int(max(SEARCH_DEPTH, n) / left)
            parameters = faiss.SearchParametersHNSW(sel=selected, efSearch=depth)
        else:
            parameters = faiss.SearchParameters(sel=selected)
        threads = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)  # of this thread alone: requests run side by side already
        try:
            _, found = self.faiss_index.search(vector[None], n, params=parameters)
        finally:
            faiss.omp_set_num_threads(threads)
        return np.sort(found[0][found[0] >= 0])


class IndexFirstStage(FirstStage):
    """Chooses items by an index, and gives them exact scores.

    vector   (d,) float32 of the query
    rescore  gives exact scores
    """

    def __init__(self, index: ItemIndex, vector: np.ndarray, rescore: Rescore) -> None:
        self.index, self.vector, self.rescore = index, vector, rescore
        self.is_excluded = np.zeros(index.n_items, dtype=bool)

    def exclude(self, items: np.ndarray) -> None:
        self.is_excluded[items] = True

    def top_k(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        n_left = len(self.is_excluded) - int(np.count_nonzero(self.is_excluded))
        wanted = 2 * k + RESCORED
        items = None
        is_zero = not self.vector.any()  # then all scores are equal, and the lowest indices win
        if not is_zero and n_left > max(wanted, len(self.is_excluded) // FEW):
            items = self.index.search(self.vector, wanted, self.is_excluded)
        if items is None or len(items) < wanted:  # few are left, or the graph led to too few of them
            items = np.flatnonzero(~self.is_excluded)
        indices, scores = top_k(self.rescore(items)[None], k)
        return items[indices[0]], scores[0]
