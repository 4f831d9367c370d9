"""Content of items as vectors: names and words, hashed, weighted by how rare they are.

No table of names has to be kept, and an item that comes later gets its vector at once.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

N_FEATURES = 1024  # columns; names that share one are told apart by the others
WORD = re.compile(r"\w{3,}")

Content = Mapping[str, Iterable[str]]  # field, such as "genre", -> names or words


def words_of(text: str) -> list[str]:
    """Return the words of a text of three letters or more, case-folded."""
    return WORD.findall(text.casefold())


def decade_of(year: int | None) -> list[str]:
    """Return the names of the decades that a year is in or near, so that 1989 and 1990 share one."""
    return [] if not year else [f"{(year - 5) // 10}+", f"{year // 10}"]


@dataclass(frozen=True)
class ContentEncoder:
    """Turns contents into vectors (Salton and Buckley 1988: TF-IDF, with every field of length 1).

    rarity (N_FEATURES,) float32 is log(n / n of a feature) + 1
    """

    rarity: np.ndarray

    @classmethod
    def fit(cls, contents: Sequence[Content]) -> ContentEncoder:
        """Count how many contents have each feature."""
        columns = [np.unique(np.concatenate([*_hashed(content).values(), [0]])) for content in contents]
        counts = np.bincount(np.concatenate([*columns, [0]]).astype(np.int64), minlength=N_FEATURES)
        return cls((np.log(max(len(contents), 1) / np.maximum(counts, 1)) + 1).astype(np.float32))

    def encode(self, contents: Sequence[Content]) -> sparse.csr_matrix:
        """Return (n, N_FEATURES) float32, one row a content; of a content that says nothing it is 0."""
        rows, columns, amounts = [], [], []
        for row, content in enumerate(contents):
            for found in _hashed(content).values():
                features, times = np.unique(found, return_counts=True)
                weights = np.sqrt(times) * self.rarity[features]
                columns.append(features)
                amounts.append(weights / np.linalg.norm(weights))
                rows.append(np.full(len(features), row))
        if not rows:
            return sparse.csr_matrix((len(contents), N_FEATURES), dtype=np.float32)
        cells = (np.concatenate(amounts), (np.concatenate(rows), np.concatenate(columns)))
        return sparse.csr_matrix(cells, shape=(len(contents), N_FEATURES), dtype=np.float32)


def _hashed(content: Content) -> dict[str, np.ndarray]:
    """Return the column of each name by field, without fields that are empty."""
    hashed = {
        field: np.array([zlib.crc32(f"{field}:{name}".encode()) % N_FEATURES for name in names], np.int64)
        for field, names in content.items()
    }
    return {field: columns for field, columns in hashed.items() if len(columns)}
