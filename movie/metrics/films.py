"""Which films were recommended lately, and how popular they are, in two tables of a fixed size.

    films.u32        when each film was last recommended, in seconds since 1970
    popularity.f32   the share of films that have at most as many ratings; 0 where it is not known

A page writes four bytes for each film it shows. A film's place is its number; with more than `PLACES` films
some share a place. All workers of a server write into the same file, in which the last one is right.
"""

from __future__ import annotations

import mmap
import time
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from movie.metrics.shared import shared_folder

if TYPE_CHECKING:
    import numpy as np

PLACES = 2**20
WIDTH = 4  # bytes
MASK = PLACES - 1
WINDOW = 3600  # seconds


class Shown(NamedTuple):
    """Films with a known popularity in a list, and the sum of their percentiles (0 to 1)."""

    films: int
    percentiles: float


class FilmTables:
    """With a folder they are shared with the other workers of a server."""

    def __init__(self, folder: Path | None) -> None:
        self._shown_at = _table(folder, "films.u32").cast("I")
        self._popularity = _table(folder, "popularity.f32").cast("f")
        self._are_ranked = False

    def show(self, films: Iterable[int]) -> Shown:
        """Note that these are on a page now. Before popularities are known it only notes."""
        now = int(time.time())
        shown_at, popularity = self._shown_at, self._popularity
        number, total = 0, 0.0
        for film in films:
            place = film & MASK
            shown_at[place] = now
            total += popularity[place]
            number += 1
        if not self._are_ranked:
            self._are_ranked = popularity[0] == 1.0
        return Shown(number, total) if self._are_ranked else Shown(0, 0.0)

    def shown_lately(self) -> int:
        """Different films that were on a page in the last hour."""
        import numpy as np

        shown_at = np.asarray(self._shown_at)
        return int(np.count_nonzero(shown_at[1:] > time.time() - WINDOW))

    def rank(self, ratings: Mapping[int, int]) -> None:
        """Film -> number of ratings, of the whole catalogue."""
        import numpy as np

        films = np.fromiter(ratings.keys(), dtype=np.int64, count=len(ratings)) & MASK
        counts = np.fromiter(ratings.values(), dtype=np.int64, count=len(ratings))
        percentiles: np.ndarray = np.zeros(PLACES, dtype=np.float32)
        if len(counts):
            percentiles[films] = np.searchsorted(np.sort(counts), counts, side="right") / len(counts)
        percentiles[0] = 1.0  # no film has number 0: says that the others are known
        np.asarray(self._popularity)[:] = percentiles


@cache
def film_tables() -> FilmTables:
    return FilmTables(shared_folder())


def _table(folder: Path | None, name: str) -> memoryview:
    if folder is None:
        return memoryview(mmap.mmap(-1, PLACES * WIDTH))
    with (folder / name).open("ab") as file:
        file.truncate(PLACES * WIDTH)  # sparse: takes the place of what was written
    with (folder / name).open("r+b") as file:
        return memoryview(mmap.mmap(file.fileno(), PLACES * WIDTH))
