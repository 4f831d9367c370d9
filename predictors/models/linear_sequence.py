"""A linear model of what is watched next: ridge regression on exponentially decayed histories.

A history x_1 .. x_t becomes one vector per decay rate r, its entries weighted by how long ago each
item occurred:

    f_r(t) = sum over i <= t of r ** (t - i) * onehot(x_i)

With a rate near 0 only the last film counts (a Markov chain), with rate 1 all films count alike (item
co-occurrence, as in EASE). The concatenation f(t) of all rates and a constant 1 predicts what comes
next, the films after that counting less and less,

    y(t) = (1 - s) * sum over k >= 1 of s ** (k - 1) * onehot(x_{t+k})

by one ridge regression over every position of every history:

    W = (F'F + diag(ridge)) ** -1  F'Y

(ridge regression: Hoerl and Kennard 1970, eq. 2.1; for next items: Choe et al., SIGIR 2022, SLIST,
eq. 9; for item co-occurrence: Steck, WWW 2019, EASE). The fit is exact: no epochs, no random numbers.

F'F is never formed from F. Within one user, the entry of F'F for the film at position i at rate a and
the film at position j >= i at rate b is a geometric series over the positions after j,

    a ** (j - i) * c_ab(j),  c_ab(j) = 1 + ab + (ab) ** 2 + ...  (as many terms as positions follow j)

so one sparse product per pair of rates sums it over all users. The entry of F'Y for the films at i at
rate a and at j > i is the sum of a ** m * s ** (j - i - 1 - m) over m = 0 .. j - i - 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from scipy import linalg

from predictors.base import Predictor, Query, Saved
from predictors.config import Config
from predictors.errors import ArtifactError, TrainingError
from predictors.id_map import IdMap
from predictors.influences import Influences
from predictors.models.normal_equations import GRAM_SHARE, NEGLIGIBLE, inverse_index, normal_equations
from predictors.run import Run
from predictors.training_data import TrainingData

if TYPE_CHECKING:
    from datasets.interactions import Interactions

QUANTISED = 127  # largest magnitude of a weight in int8


@dataclass(frozen=True)
class LinearSequenceConfig(Config):
    """Configures the decayed histories and the regression on them."""

    rates: tuple[float, ...] = (0.2, 0.85, 1.0)  #: weight of an item one step later, one per decayed history
    ridge: tuple[float, ...] = (600.0, 1500.0, 3000.0)  #: regularisation, one number per rate
    smoothing: float = 0.3  #: s: how much the item after the next one counts as a target, and so on
    #: scores are divided by popularity to this power, against least squares' bias towards popular items
    popularity_exponent: float = 0.1
    max_history: int = 500  #: longest history: older items of a user are left out
    #: items whose weights are fitted, the most frequent ones; with k = rates * max_items a fit takes
    #: 4 bytes * k * (k + items), and time by the cube of k
    max_items: int = 6000
    max_targets: int = 24_000  #: items that can be predicted, the most frequent ones

    def check(self) -> None:
        self.require(
            len(self.ridge) == len(self.rates),
            f"ridge must have one number per rate: {len(self.rates)}, not {len(self.ridge)}",
        )
        self.require(len(self.rates) > 0, "rates must have at least one number")
        self.require(all(0 <= rate <= 1 for rate in self.rates), "rates must be between 0 and 1")
        self.require(min(self.ridge) > 0, "ridge must be above 0")
        self.require(0 <= self.smoothing < 1, "smoothing must be 0 or more and below 1")
        self.require(self.max_history >= 2, "max_history must be 2 or more")
        self.require(self.max_items >= 1, "max_items must be 1 or more")
        self.require(self.max_targets >= 1, "max_targets must be 1 or more")


class LinearSequencePredictor(Predictor):
    """Scores = sum over films of the history and rates of decay * weight, plus a bias.

    The weights are kept as int8 with one scale per row: a quarter of the memory of float32, and the
    ranking is the one that was measured. A film's weight on itself is kept apart and applies to seen
    films only: no user of the training data has an item twice, so the fit pushes known items far down,
    which is wrong for films that a visitor has only looked at.

    weights  (rates, m, t) int8 from history film to next film, scales (rates, m) float32
    own      (rates, m) float32, from a film to itself
    bias     (n_items,) float32, the score for a history of nothing known
    items    (t,) int64 indices of the films that can come next, ascending; the others score their bias
    inputs   (m,) int64 positions in `items` of the films that weights start from, ascending; the
             others only age a history
    """

    name = "linear_sequence"
    label = "Linear sequence"
    summary = "A linear model of what people watch next, recent films counting more."
    config_class = LinearSequenceConfig

    def __init__(
        self, tensors: Mapping[str, np.ndarray], ids: IdMap, config: LinearSequenceConfig | None = None
    ) -> None:
        super().__init__(ids, config)
        self.weights, self.scales, self.own = tensors["weights"], tensors["scales"], tensors["own"]
        self.bias, self.items, self.inputs = tensors["bias"], tensors["items"], tensors["inputs"]
        self.rates = np.asarray(self.config.rates, dtype=np.float64)
        self.max_history = self.config.max_history
        self._target_of = np.full(len(ids), -1, dtype=np.int64)  # of an item among those that can come next
        self._target_of[self.items] = np.arange(len(self.items))
        self._input_of = inverse_index(self.inputs, len(self.items))

    @classmethod
    def _fit(cls, data: TrainingData, config: LinearSequenceConfig, run: Run) -> Self:
        """Solve for the weights. Raises TrainingError when no user has two items."""
        train = data.train
        items = _most_frequent(train, config.max_targets)
        inputs = np.searchsorted(items, _most_frequent(train, min(config.max_items, len(items))))
        histories = _histories(train, items, config.max_history)
        if not histories:
            raise TrainingError("no user has two films, so there is no next film to learn from")
        gram, targets = normal_equations(
            histories, len(items), config.rates, smoothing=config.smoothing, run=run, inputs=inputs
        )
        run.report(GRAM_SHARE, "solving")
        counts = np.bincount(train.items, minlength=train.n_items).astype(np.float64)
        solution = _solved(gram, targets, np.repeat(config.ridge, len(inputs)))
        del gram, targets
        run.report(1.0)
        solution /= ((counts[items] + 1) ** config.popularity_exponent).astype(np.float32)
        bias = counts / counts.sum() / (counts + 1) ** config.popularity_exponent
        bias[items] = solution[-1]
        tensors = {
            **_quantised(solution[:-1].reshape(len(config.rates), len(inputs), len(items)), inputs),
            "bias": bias.astype(np.float32),
            "items": items,
            "inputs": inputs.astype(np.int64),
        }
        return cls(tensors, data.items, config)

    def _score(self, queries: Sequence[Query]) -> np.ndarray:
        scores = np.tile(self.bias, (len(queries), 1))
        for row, query in zip(scores, queries, strict=True):
            rows, decays = self._decayed(query)
            if len(rows) == 0:
                continue
            modelled = np.zeros(len(self.items), dtype=np.float32)
            for rate, decay in enumerate(decays):
                counting = np.flatnonzero(decay >= NEGLIGIBLE)
                counted = rows[counting]
                amounts = decay[counting] * self.scales[rate, counted]
                modelled += amounts @ self.weights[rate, counted].astype(np.float32)
            row[self.items] += modelled
            films = self.items[self.inputs[rows]]
            again = np.isin(films, query.seen)
            row[films[again]] += (decays * self.own[:, rows]).sum(axis=0)[again]
        return scores

    def influences(self, query: Query, targets: np.ndarray) -> Influences:
        """Return the exact parts of each score; items that are too old to count are left out."""
        rows, decays = self._decayed(query)
        columns = self._target_of[targets]
        added = np.zeros((len(rows), len(columns)), dtype=np.float32)
        for rate, decay in enumerate(decays):
            weights = self.weights[rate, rows[:, None], np.maximum(columns, 0)]
            added += (decay * self.scales[rate, rows])[:, None] * weights
        added[:, columns < 0] = 0
        return Influences(self.items[self.inputs[rows]], added)

    def tensors(self) -> dict[str, np.ndarray]:
        return {
            "weights": self.weights,
            "scales": self.scales,
            "own": self.own,
            "bias": self.bias,
            "items": self.items,
            "inputs": self.inputs,
        }

    @classmethod
    def from_artifact(cls, saved: Saved) -> Self:
        items, inputs = saved.tensor("items", (None,)), saved.tensor("inputs", (None,))
        n_rates = len(saved.config.rates)
        saved.tensor("weights", (n_rates, len(inputs), len(items)))
        saved.tensor("scales", (n_rates, len(inputs)))
        saved.tensor("own", (n_rates, len(inputs)))
        saved.tensor("bias", (len(saved.ids),))
        for indices, size in ((items, len(saved.ids)), (inputs, len(items))):
            if len(indices) and not (indices.min() >= 0 and indices.max() < size):
                raise ArtifactError(f"{saved.directory}: weights of items beyond the {len(saved.ids)} ids")
        return cls(saved.tensors, saved.ids, saved.config)

    def _decayed(self, query: Query) -> tuple[np.ndarray, np.ndarray]:
        """Return (T,) int64 rows of the weights for the films of a history, and their decays (rates, T)."""
        targets = self._target_of[query.liked]
        known = targets >= 0
        targets, strength = targets[known][-self.max_history :], query.weights[known][-self.max_history :]
        age = np.arange(len(targets) - 1, -1, -1)
        decays = self.rates[:, None] ** age * strength  # 0 ** 0 = 1: the last film counts at every rate
        rows = self._input_of[targets]
        return rows[rows >= 0], decays[:, rows >= 0].astype(np.float32)


def _most_frequent(train: Interactions, max_items: int) -> np.ndarray:
    """Ascending indices of the films that occur, the most frequent ones where there are too many."""
    counts = np.bincount(train.items, minlength=train.n_items)
    by_count = np.argsort(-counts, kind="stable")[:max_items]
    return np.sort(by_count[counts[by_count] > 0])


def _histories(train: Interactions, items: np.ndarray, max_history: int) -> list[np.ndarray]:
    """Per user the rows of modelled items, oldest first, each once at its latest position; shortest first."""
    row_of = np.full(train.n_items, -1, dtype=np.int32)
    row_of[items] = np.arange(len(items), dtype=np.int32)
    modelled = row_of[train.items]
    histories = []
    for user in range(train.n_users):
        history = modelled[train.indptr[user] : train.indptr[user + 1]]
        history = history[history >= 0]
        if len(np.unique(history)) < len(history):
            _, from_the_end = np.unique(history[::-1], return_index=True)
            history = history[np.sort(len(history) - 1 - from_the_end)]
        if len(history) > 1:
            histories.append(history[-max_history:])
    return sorted(histories, key=len)


def _solved(gram: np.ndarray, targets: np.ndarray, ridge: np.ndarray) -> np.ndarray:
    """Return (k, n) weights by Cholesky; overwrites gram and targets; ridge (k - 1,), 1 for the constant."""
    diagonal = np.arange(len(gram))
    gram[diagonal, diagonal] += np.append(ridge, 1).astype(np.float32)
    try:
        # The transpose is the same matrix in the order of LAPACK, which then copies nothing.
        factor = linalg.cho_factor(gram.T, lower=False, overwrite_a=True, check_finite=False)
        return linalg.cho_solve(factor, targets, overwrite_b=True, check_finite=False)
    except linalg.LinAlgError as error:
        raise TrainingError("the linear system cannot be solved; use a larger ridge") from error


def _quantised(weights: np.ndarray, inputs: np.ndarray) -> dict[str, np.ndarray]:
    """Return (rates, m, t) float32 as int8 `weights`, (rates, m) `scales`, and what a film says of itself as
    (rates, m) `own`; inputs (m,) are the columns of the films of the rows.
    """
    n_rates, m, _ = weights.shape
    rows = np.arange(m)
    own = weights[:, rows, inputs].copy()
    weights[:, rows, inputs] = 0
    rounded = np.empty(weights.shape, dtype=np.int8)
    scales = np.empty((n_rates, m), dtype=np.float32)
    for rate, block in enumerate(weights):
        scales[rate] = np.abs(block).max(axis=1) / QUANTISED
        rounded[rate] = np.rint(block / np.where(scales[rate] > 0, scales[rate], 1)[:, None])
    return {"weights": rounded, "scales": scales, "own": own}
