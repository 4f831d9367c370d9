"""The columns of the movie index: rows of the database as arrays, read in chunks that are not kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import TypeVar

import numpy as np

CHUNK = 1000

T = TypeVar("T")
Film = tuple[int, str, int | None, int | None, datetime]  # id, title, year, running time, when it came


def read_columns(films: Iterable[Film]) -> dict[str, np.ndarray]:
    """Return the arrays of the index, of movies by ascending id, read in chunks that are not kept."""
    chunks = [_columns_of_chunk(())]
    chunks += map(_columns_of_chunk, chunks_of(iter(films)))
    columns = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}
    columns["title_bounds"] = np.concatenate([[0], columns.pop("title_bytes").cumsum()])
    return columns


def _columns_of_chunk(films: Sequence[Film]) -> dict[str, np.ndarray]:
    ids, titles, years, runtimes, created = zip(*films, strict=True) if films else ((),) * 5
    encoded = [title.encode() for title in titles]
    return {
        "ids": np.array(ids, dtype=np.int64),
        "years": np.array([year or 0 for year in years], dtype=np.int16),
        "runtimes": np.array([runtime or 0 for runtime in runtimes], dtype=np.int32),
        "created": np.array([moment.timestamp() for moment in created], dtype=np.float64),
        "titles": np.frombuffer(b"".join(encoded), dtype=np.uint8),
        "title_bytes": np.array([len(each) for each in encoded], dtype=np.int64),
    }


def chunks_of(rows: Iterator[T]) -> Iterator[list[T]]:
    while chunk := list(islice(rows, CHUNK)):
        yield chunk
