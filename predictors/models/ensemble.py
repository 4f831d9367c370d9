"""Whole taste: EASE, implicit ALS and the graph filter fused. None reads an order, and they err apart.

The artifact is complete in itself: the weights of each member are a file of their own,
`<member>.safetensors`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from predictors import fusion
from predictors.base import Predictor, Query, Saved
from predictors.config import Config
from predictors.errors import ArtifactError, TrainingError
from predictors.id_map import IdMap
from predictors.influences import Influences
from predictors.models.als import AlsConfig, AlsPredictor
from predictors.models.ease import EaseConfig, EasePredictor
from predictors.models.graph_filter import GraphFilterConfig, GraphFilterPredictor
from predictors.run import Run
from predictors.training_data import TrainingData
from predictors.validation import Validator

logger = logging.getLogger(__name__)

MEMBERS: Mapping[str, type[Predictor]] = {
    kind.name: kind for kind in (EasePredictor, AlsPredictor, GraphFilterPredictor)
}
WITHOUT_VALIDATION = (0.5, 0.35, 0.15)
FITTED = 0.9  # of the progress bar; the rest are the weights


@dataclass(frozen=True)
class MemberEaseConfig(EaseConfig):
    """Configures EASE with scores that favour popular items less."""

    #: scores are divided by popularity to this power, against least squares' bias towards popular items
    popularity_exponent: float = 0.1


@dataclass(frozen=True)
class EnsembleConfig(Config):
    """Configures the members and their weights."""

    #: of ease, als and graph_filter, by their standardised scores; empty = fitted on validation rows
    weights: tuple[float, ...] = ()
    ease: MemberEaseConfig = field(default_factory=MemberEaseConfig)  #: options of EASE, as ease.ridge=
    als: AlsConfig = field(default_factory=AlsConfig)  #: options of ALS, as als.factors=
    #: options of the graph filter, as graph_filter.alpha=
    graph_filter: GraphFilterConfig = field(default_factory=GraphFilterConfig)

    def check(self) -> None:
        self.require(
            len(self.weights) in (0, len(MEMBERS)), f"weights must be {len(MEMBERS)} numbers, or none"
        )
        self.require(not self.weights or min(self.weights) >= 0, "weights must be 0 or more")
        self.require(not self.weights or sum(self.weights) > 0, "a weight must be above 0")

    def of_member(self, name: str) -> Config:
        """Return the configuration of one member."""
        return getattr(self, name)


class EnsemblePredictor(Predictor):
    """score = sum over members m of w_m * (s_m - mean) / deviation

    s_m is the score of member m, with its mean and deviation over the unseen items. The weights are those
    with the best NDCG@100 on validation (see `fusion.fit_weights`).

    members  the fitted predictors by name
    weights  (M,) float64 of sum 1, in the order of the members
    """

    name = "ensemble"
    label = "Whole taste"
    summary = "Three models of taste as one: every film of your history counts alike, old or new."
    config_class = EnsembleConfig

    def __init__(
        self,
        members: Mapping[str, Predictor],
        weights: np.ndarray,
        ids: IdMap,
        config: EnsembleConfig | None = None,
    ) -> None:
        super().__init__(ids, config)
        self.members = dict(members)
        self.weights = np.asarray(weights, dtype=np.float64)

    @classmethod
    def check_data(cls, data: TrainingData, config: EnsembleConfig) -> None:
        """Raise TrainingError where no member can use the data."""
        _usable(data, config)

    @classmethod
    def _fit(cls, data: TrainingData, config: EnsembleConfig, run: Run) -> Self:
        """Fit the members on the training rows and choose the weights on the validation rows.

        Members that cannot use the data are left out and named in `meta`. Without validation rows the weights
        are WITHOUT_VALIDATION.
        """
        names, left_out = _usable(data, config)
        members = {}
        for row, name in enumerate(names):
            part = run.part(FITTED * row / len(names), FITTED * (row + 1) / len(names), name, watched=False)
            members[name] = MEMBERS[name].fit(TrainingData(data.train), config.of_member(name), part)
        validator = Validator.from_rows(data.train, data.validation, seed=run.seed, in_order=False)
        figures: list[dict[str, Any]] = []
        if config.weights or validator is None or len(members) == 1:
            given = dict(zip(MEMBERS, config.weights or WITHOUT_VALIDATION, strict=True))
            weights = np.array([given[name] for name in members])
            if not weights.sum():
                raise TrainingError("the members that can use the data have a weight of 0")
            weights /= weights.sum()
        else:
            run.report(FITTED, "weights")
            weights, figures = fusion.fit_weights(list(members.values()), validator)
        predictor = cls(members, weights, data.items, config)
        predictor.meta = {"left_out": left_out, "training": {"weights": figures}}
        return predictor

    def _refit(self, data: TrainingData, run: Run) -> Self:
        """Fit the members anew and keep their weights."""
        members = {}
        for row, (name, member) in enumerate(self.members.items()):
            part = run.part(row / len(self.members), (row + 1) / len(self.members), name, watched=False)
            members[name] = member.refit(data, part)
        predictor = type(self)(members, self.weights, data.items, self.config)
        predictor.meta = {name: self.meta[name] for name in ("left_out", "training") if name in self.meta}
        return predictor

    def _score(self, queries: Sequence[Query]) -> np.ndarray:
        return fusion.fused(list(self.members.values()), self.weights, queries)

    def influences(self, query: Query, targets: np.ndarray) -> Influences:
        """Return the sum of the members' parts, each divided by the deviation of the member's scores."""
        added = np.zeros((len(query.liked), len(targets)))
        row_of = {item: row for row, item in enumerate(query.liked.tolist())}
        for member, weight in zip(self.members.values(), self.weights.tolist(), strict=True):
            if not weight or not row_of:
                continue
            part = member.influences(query, targets)
            rows = [row_of[item] for item in part.items.tolist()]
            added[rows] += part.amounts * (weight / fusion.deviation(member.score([query])[0], query))
        return Influences(query.liked, added)

    def tensors(self) -> dict[str, np.ndarray]:
        return {"weights": self.weights}

    def write_extra_files(self, directory: Path) -> None:
        fusion.write_members(directory, self.members.values())

    def save(self, directory: Path, **facts: Any) -> None:
        self.meta["members"] = {name: member.meta for name, member in self.members.items()}
        super().save(directory, **facts)

    @classmethod
    def from_artifact(cls, saved: Saved) -> Self:
        described = saved.meta.get("members", {})
        unknown = set(described) - set(MEMBERS)
        if unknown or not described:
            raise ArtifactError(f"{saved.directory}: members {sorted(described)}, known are {list(MEMBERS)}")
        members = {name: fusion.read_member(MEMBERS[name], saved) for name in described}
        return cls(members, saved.tensor("weights", (len(members),)), saved.ids, saved.config)


def _usable(data: TrainingData, config: EnsembleConfig) -> tuple[list[str], dict[str, str]]:
    """Return the members that can use this data, and for each of the others why not."""
    names, left_out = [], {}
    for name, kind in MEMBERS.items():
        try:
            kind.check_data(data, config.of_member(name))
            names.append(name)
        except TrainingError as error:
            left_out[name] = str(error)
            logger.warning("ensemble is fitted without %s: %s", name, error)
    if not names:
        raise TrainingError("; ".join(f"{name}: {reason}" for name, reason in left_out.items()))
    return names, left_out
