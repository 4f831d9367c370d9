"""Watch next: SASRec and the linear sequence model fused. Both read the order of a history and err apart.

The artifact is complete in itself: the weights of both members are files of their own,
`<member>.safetensors`, beside the files that SASRec keeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from predictors import fusion
from predictors.base import Predictor, Query, Saved
from predictors.config import Config
from predictors.id_map import IdMap
from predictors.models.linear_sequence import LinearSequenceConfig, LinearSequencePredictor
from predictors.models.sasrec.model import SasrecConfig, SasrecPredictor
from predictors.ranking import top_k
from predictors.run import Run
from predictors.training_data import TrainingData
from predictors.validation import latest_positions

WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0)  # of the linear model, to choose from
WITHOUT_VALIDATION = 1.0
LEAST_TO_HOLD_OUT = 5  # items of a user whose last one may be held out
MOST_CASES = 2000
BATCH = 128
METRIC, DEPTH = "NDCG@10", 10
LINEAR_SHARE = 0.2  # of the progress bar

Case = tuple[Query, np.ndarray]


@dataclass(frozen=True)
class MemberSasrecConfig(SasrecConfig):
    """Configures a short run: the linear model knows much of what more epochs would learn."""

    items_in_a_run: int = 10_400_000  #: items of histories that a run by size reads
    ema_decay: float = 0.998  #: of a running average of the weights, which makes an early end safe
    #: length of the learning rate's curve against the run's, which ends about half-way down
    schedule: float = 1.875


@dataclass(frozen=True)
class NextItemConfig(Config):
    """Configures both members and the weight of the linear one."""

    weight: float = -1.0  #: of the linear model's standardised scores; below 0 = fitted on validation rows
    #: options of SASRec, as sasrec.epochs=
    sasrec: MemberSasrecConfig = field(default_factory=MemberSasrecConfig)
    #: options of the linear model, as linear_sequence.max_items=
    linear_sequence: LinearSequenceConfig = field(default_factory=LinearSequenceConfig)


class NextItemPredictor(Predictor):
    """score = log p(item | history) + weight * (s - mean) / deviation

    p is SASRec's distribution over the unseen items, s the score of the linear model with its mean and
    deviation over the unseen items. The weight is the one of WEIGHTS with the best NDCG@10 on validation.

    network  the fitted SasrecPredictor
    linear   the fitted LinearSequencePredictor
    """

    name = "next_item"
    label = "Watch next"
    summary = "What comes next, from the order of your history: a network and a linear model as one."
    config_class = NextItemConfig
    trains_on_processes = True

    def __init__(
        self,
        network: Predictor,
        linear: Predictor,
        weight: float,
        ids: IdMap,
        config: NextItemConfig | None = None,
    ) -> None:
        super().__init__(ids, config)
        self.network, self.linear, self.weight = network, linear, float(weight)

    @classmethod
    def _fit(cls, data: TrainingData, config: NextItemConfig, run: Run) -> Self:
        """Fit both on the training rows, choose the weight, and fit the linear one anew on all rows.

        Without validation rows the last rows of some users are held out for it.
        """
        held = data if data.validation is not None else _with_last_rows_held_out(data, run.seed)
        linear = LinearSequencePredictor.fit(
            TrainingData(held.train), config.linear_sequence, run.part(0.0, LINEAR_SHARE, "linear_sequence")
        )
        network = SasrecPredictor.fit(
            held, config.sasrec, replace(run.part(LINEAR_SHARE, 1.0, "sasrec"), hooks=run.hooks)
        )
        weight = config.weight
        figures: list[dict[str, float]] = []
        if weight < 0:
            weight, figures = _fit_weight(network, linear, held, run.seed)
        if held is not data:
            linear = LinearSequencePredictor.fit(
                TrainingData(data.train), config.linear_sequence, run.part(1, 1)
            )
        predictor = cls(network, linear, weight, data.items, config)
        predictor.meta = {"chosen": network.meta.get("chosen", {}), "training": {"weights": figures}}
        return predictor

    def _refit(self, data: TrainingData, run: Run) -> Self:
        """Fit both members anew, SASRec for as long as its validation chose, and keep the weight."""
        linear = self.linear.refit(data, run.part(0.0, LINEAR_SHARE, "linear_sequence", watched=False))
        network = self.network.refit(data, replace(run.part(LINEAR_SHARE, 1.0, "sasrec"), hooks=run.hooks))
        predictor = type(self)(network, linear, self.weight, data.items, self.config)
        predictor.meta = {"training": self.meta.get("training", {})}
        return predictor

    @classmethod
    def import_libraries(cls) -> None:
        SasrecPredictor.import_libraries()

    def to(self, device: str) -> Self:
        self.network.to(device)
        return self

    def _score(self, queries: Sequence[Query]) -> np.ndarray:
        standardised = fusion.standardise(self.linear.score(queries), queries)
        return _fused(self.network.score(queries), standardised, queries, self.weight)

    def tensors(self) -> dict[str, np.ndarray]:
        return {"weight": np.array([self.weight], dtype=np.float64)}

    def write_extra_files(self, directory: Path) -> None:
        fusion.write_members(directory, (self.network, self.linear))

    def save(self, directory: Path, **facts: Any) -> None:
        self.meta["members"] = {member.name: member.meta for member in (self.network, self.linear)}
        super().save(directory, **facts)

    @classmethod
    def from_artifact(cls, saved: Saved) -> Self:
        members = [fusion.read_member(kind, saved) for kind in (SasrecPredictor, LinearSequencePredictor)]
        return cls(members[0], members[1], float(saved.tensor("weight", (1,))[0]), saved.ids, saved.config)


def _fused(
    network: np.ndarray, standardised: np.ndarray, queries: Sequence[Query], weight: float
) -> np.ndarray:
    """Return (B, n_items) float32: the network's log p plus the weighted scores; overwrites `network`."""
    for row, query in zip(network, queries, strict=True):
        unseen = row[fusion.unseen_mask(query, len(row))]
        best = unseen.max()
        np.subtract(row, best + np.log(np.exp(unseen - best).sum()), out=row)
    return np.add(network, np.float32(weight) * standardised, out=network)


def _fit_weight(
    network: Predictor, linear: Predictor, data: TrainingData, seed: int
) -> tuple[float, list[dict[str, float]]]:
    """Return the weight with the best NDCG@10 on the validation rows, and the figures of all."""
    from ranking_metrics.ranking import hits_of, per_user

    cases = _cases(data, seed)
    if not cases:
        return WITHOUT_VALIDATION, []
    values: dict[float, list[float]] = {weight: [] for weight in WEIGHTS}
    for start in range(0, len(cases), BATCH):
        some = cases[start : start + BATCH]
        queries = [query for query, _ in some]
        by_network = network.score(queries)
        by_linear = fusion.standardise(linear.score(queries), queries)
        for weight in values:
            scores = _fused(by_network.copy(), by_linear, queries, weight)
            for row, query in zip(scores, queries, strict=True):
                row[query.seen] = -np.inf
            ranked, _ = top_k(scores, DEPTH)
            wanted = np.zeros(scores.shape, dtype=bool)
            for row, (_, targets) in enumerate(some):
                wanted[row, targets] = True
            n_targets = np.array([len(targets) for _, targets in some])
            values[weight] += per_user(hits_of(ranked, wanted), n_targets, (METRIC,))[:, 0].tolist()
    figures = [{"weight": weight, METRIC: round(float(np.mean(each)), 5)} for weight, each in values.items()]
    return max(figures, key=lambda row: row[METRIC])["weight"], figures


def _cases(data: TrainingData, seed: int) -> list[Case]:
    """Return queries and the item that came next, of a seeded sample of the validation users.

    A user without training rows is asked for the last of their validation rows.
    """
    if data.validation is None:
        return []
    rng = np.random.default_rng([seed, MOST_CASES])
    cases: list[Case] = []
    for user in rng.permutation(np.unique(data.validation.users)):
        known, asked = data.train.items_of(user), data.validation.items_of(user)
        known_at, asked_at = data.train.at_of(user), data.validation.at_of(user)
        if not len(known):
            known, asked = asked[:-1], asked[-1:]
            known_at, asked_at = asked_at[:-1], asked_at[-1:]
        positions = latest_positions(known)
        history = known[positions].astype(np.int64)
        targets = np.setdiff1d(asked[:1], history)
        if len(history) and len(targets) and len(cases) < MOST_CASES:
            ages = np.maximum(asked_at[0] - known_at[positions], 0) if data.train.has_time else None
            cases.append((Query.from_indices(history, ages=ages), targets.astype(np.int64)))
    return cases


def _with_last_rows_held_out(data: TrainingData, seed: int) -> TrainingData:
    train = data.train
    counts = np.diff(train.indptr)
    rng = np.random.default_rng([seed, MOST_CASES])
    users = rng.permutation(np.flatnonzero(counts >= LEAST_TO_HOLD_OUT))[:MOST_CASES]
    if len(users) == 0:
        return data
    held_out = np.zeros(len(train), dtype=bool)
    held_out[train.indptr[users + 1] - 1] = True
    return replace(data, train=train.select(~held_out), validation=train.select(held_out))
