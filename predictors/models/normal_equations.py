"""Gram and target sums of the linear sequence model; `linear_sequence` derives the formulas."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy import sparse

from predictors.run import Run

NEGLIGIBLE = 1e-3  # decayed entries below it are left out of the sums
GRAM_SHARE = 0.6  # of the progress bar; the rest is the solution of the linear system
CHUNK_ENTRIES = 12_000_000  # entries of decayed histories in memory at one time


def inverse_index(chosen: np.ndarray, n: int) -> np.ndarray:
    """Return (n,) int64: the position of each of 0..n-1 among the chosen ones, else -1."""
    inverse = np.full(n, -1, dtype=np.int64)
    inverse[chosen] = np.arange(len(chosen))
    return inverse


def _chunks(histories: list[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """Yield histories whose triangles of (item, earlier item) pairs fit into memory together."""
    chunk: list[np.ndarray] = []
    entries = 0
    for history in histories:
        entries += len(history) * (len(history) + 1) // 2
        if chunk and entries > CHUNK_ENTRIES:
            yield chunk
            chunk, entries = [], len(history) * (len(history) + 1) // 2
        chunk.append(history)
    yield chunk


def normal_equations(
    histories: list[np.ndarray],
    n: int,
    rates: Sequence[float],
    *,
    smoothing: float,
    run: Run,
    inputs: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """F'F as (k, k) float32 of which the lower triangle is filled, and F'Y as (k, n) float32.

    inputs  (m,) films that weights start from, all n by default; the others are targets only

    k = rates * m + 1; the last row belongs to the constant.
    """
    inputs = np.arange(n) if inputs is None else inputs
    input_of = inverse_index(inputs, n)
    m = len(inputs)
    k = len(rates) * m + 1
    gram = np.zeros((k, k), dtype=np.float32)
    targets = np.zeros((k, n), dtype=np.float32)
    diagonal = np.arange(m)
    total = sum(len(history) ** 2 for history in histories)
    done = 0
    for chunk in _chunks(histories):
        lengths = np.array([len(history) for history in chunk])
        films = np.concatenate(chunk)
        ends = np.repeat(np.cumsum(lengths), lengths)
        rows = np.arange(len(films))
        position = rows - (ends - np.repeat(lengths, lengths))
        following = ends - 1 - rows  # positions after this one: each has a target
        known = np.flatnonzero(input_of[films] >= 0)
        starts, after = input_of[films[known]], following[known]
        for a, rate in enumerate(rates):
            block = slice(a * m, (a + 1) * m)
            decayed, led_to = _decayed_rows(input_of[films], position, rate, smoothing, m)
            for b, other in enumerate(rates):
                amounts = _geometric(rate * other, after)
                pairs = _summed_by_film(starts, known, amounts, decayed, m)  # [film at j, film at i <= j]
                if b >= a:
                    gram[b * m : (b + 1) * m, block] += pairs
                if b <= a:
                    pairs[diagonal, diagonal] -= np.bincount(starts, weights=amounts, minlength=m)
                    gram[block, b * m : (b + 1) * m] += pairs.T  # i = j is counted once
            ones = np.ones(len(films), dtype=np.float32)
            targets[block] += _summed_by_film(films, rows, ones, led_to, n).T
            gram[-1, block] += np.bincount(starts, weights=_geometric(rate, after), minlength=m)
        targets[-1] += (1 - smoothing) * np.bincount(
            films, weights=_geometric(smoothing, position), minlength=n
        )
        gram[-1, -1] += np.count_nonzero(following)
        done += int((lengths**2).sum())
        run.report(GRAM_SHARE * done / total, "counting")
    return gram, targets


def _decayed_rows(
    films: np.ndarray, position: np.ndarray, rate: float, smoothing: float, n: int
) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Two (rows, n) matrices with an entry for each film up to position t of the same user.

    The first holds rate ** age in row t. The second holds what the film at that age adds to the
    prediction of the film at t, summed over all positions between them; 0 at age 0. Films of index -1
    only take a position.
    """
    slowest = max(rate, smoothing)
    reach = int(position.max()) + 1
    if slowest < 1:
        reach = min(reach, 2 + int(np.log(NEGLIGIBLE) / np.log(slowest)) if slowest > 0 else 2)
    entries = np.minimum(position + 1, reach)
    indptr = np.concatenate([[0], np.cumsum(entries)])
    row = np.repeat(np.arange(len(films), dtype=np.int32), entries)
    age = np.repeat(indptr[1:].astype(np.int32), entries)
    age -= 1
    age -= np.arange(indptr[-1], dtype=np.int32)
    row -= age
    columns = films[row]
    del row
    if len(films) and films.min() < 0:
        known = columns >= 0
        indptr = np.concatenate([[0], np.cumsum(known)])[indptr]
        columns, age = columns[known], age[known]
    ages = np.arange(reach)
    by_age = float(rate) ** ages
    led_to = (1 - smoothing) * np.convolve(by_age, float(smoothing) ** ages)[: reach - 1]
    shape = (len(films), n)
    return (
        sparse.csr_matrix((by_age.astype(np.float32)[age], columns, indptr), shape=shape),
        sparse.csr_matrix((np.append(0, led_to).astype(np.float32)[age], columns, indptr), shape=shape),
    )


def _geometric(ratio: float, terms: np.ndarray) -> np.ndarray:
    """1 + ratio + ... with so many terms, as float32."""
    series = terms if ratio == 1 else (1 - ratio**terms) / (1 - ratio)
    return series.astype(np.float32)


def _summed_by_film(
    films: np.ndarray, rows: np.ndarray, amounts: np.ndarray, decayed: sparse.csr_matrix, n_films: int
) -> np.ndarray:
    """(n_films, n) float32: for each film the sum of amount * decayed[row] over its rows."""
    choose = sparse.csr_matrix((amounts, (films, rows)), shape=(n_films, decayed.shape[0]))
    return (choose @ decayed).toarray()
