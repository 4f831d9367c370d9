"""Content of items as vectors: names and words, hashed, weighted by how rare they are.

No table of names has to be kept, and an item that comes later gets its vector at once.
"""

from __future__ import annotations

import re
import zlib
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from scipy import sparse

N_FEATURES = 1024  # columns; names that share one are told apart by the others
AT_ONCE = 2_000  # contents that are encoded together
WORD = re.compile(r"\w{3,}")

Content = Mapping[str, Iterable[str]]  # field, such as "genre", -> names or words


def words_of(text: str) -> list[str]:
    """Return the words of a text of three letters or more, case-folded."""
    return WORD.findall(text.casefold())


def decade_of(year: int | None) -> list[str]:
    """Return the names of the decades that a year is in or near, so that 1989 and 1990 share one."""
    return [] if not year else [f"{(year - 5) // 10}+", f"{year // 10}"]


@dataclass(frozen=True)
class HashedContents:
    """Contents of n items in arrays: two bytes a name. Iterated over, the columns of an item's fields.

    columns   (m,) the feature of each name, by item and field
    lengths   (f,) names of each field that is not empty
    n_fields  (n,) such fields of each item
    """

    columns: np.ndarray
    lengths: np.ndarray
    n_fields: np.ndarray

    def __len__(self) -> int:
        return len(self.n_fields)

    def __iter__(self) -> Iterator[list[np.ndarray]]:
        lengths, first = iter(self.lengths.tolist()), 0
        for n in self.n_fields.tolist():
            fields = []
            for length in islice(lengths, n):
                fields.append(self.columns[first : first + length])
                first += length
            yield fields


@dataclass(frozen=True)
class ContentEncoder:
    """Turns contents into vectors (Salton and Buckley 1988: TF-IDF, with every field of length 1).

    rarity (N_FEATURES,) float32 is log(n / n of a feature) + 1
    """

    rarity: np.ndarray

    @classmethod
    def fit(cls, contents: HashedContents) -> ContentEncoder:
        """Count how many contents have each feature."""
        counts = np.bincount([0], minlength=N_FEATURES)
        for fields in contents:
            counts[np.unique(np.concatenate([*fields, [0]]).astype(np.int64))] += 1
        return cls((np.log(max(len(contents), 1) / np.maximum(counts, 1)) + 1).astype(np.float32))

    def encode(self, contents: HashedContents) -> sparse.csr_matrix:
        """Return (n, N_FEATURES) float32, one row a content; of a content that says nothing it is 0."""
        remaining, parts = iter(contents), [self._encode([])]
        while part := list(islice(remaining, AT_ONCE)):
            parts.append(self._encode(part))
        return sparse.vstack(parts, format="csr")

    def _encode(self, contents: Sequence[Sequence[np.ndarray]]) -> sparse.csr_matrix:
        rows, columns, amounts = [], [], []
        for row, fields in enumerate(contents):
            for found in fields:
                features, times = np.unique(found, return_counts=True)
                weights = np.sqrt(times) * self.rarity[features]
                columns.append(features)
                amounts.append(weights / np.linalg.norm(weights))
                rows.append(np.full(len(features), row))
        if not rows:
            return sparse.csr_matrix((len(contents), N_FEATURES), dtype=np.float32)
        cells = (np.concatenate(amounts), (np.concatenate(rows), np.concatenate(columns)))
        return sparse.csr_matrix(cells, shape=(len(contents), N_FEATURES), dtype=np.float32)


def hash_contents(contents: Iterable[Content]) -> HashedContents:
    """Return contents with their names hashed. None of them is kept."""
    columns, lengths, n_fields = array("H"), array("L"), array("L")
    for content in contents:
        before = len(lengths)
        for field, names in content.items():
            first = len(columns)
            columns.extend(zlib.crc32(f"{field}:{name}".encode()) % N_FEATURES for name in names)
            if len(columns) > first:
                lengths.append(len(columns) - first)
        n_fields.append(len(lengths) - before)
    return HashedContents(np.array(columns), np.array(lengths), np.array(n_fields))
