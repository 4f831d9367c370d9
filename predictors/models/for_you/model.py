"""For you: several models ranked as one, each counting as much as the length of the history warrants.

No model is the best at every length: with one film popularity is hard to beat, with ten it is graph
filters and neighbours, later EASE and sequence models. `blend_weights` fits how much each counts.

The artifact is complete in itself. Beside the weights of the blend it holds the weights of every
member as a file of its own, `<member>.safetensors`, equal to the bit to what the member's own artifact
would hold: so one checksum list covers everything, a roll-back takes the members back too, and no
version of another model can be missing or replaced under it. A process that serves a member on its
own as well, trained on the same rows, holds such a file's arrays once (`predictors.serving.artifact`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from predictors.base import Predictor, Query, Saved
from predictors.capabilities import ExplainsScores, FindsSimilar
from predictors.config import Config, nested
from predictors.errors import ArtifactError, CannotAnswer, ConfigError, PredictorError, TrainingError
from predictors.history import MovieId, Reason, Recommendation
from predictors.id_map import IdMap
from predictors.models.for_you.cases import KNOTS, ORDERS, standardise
from predictors.models.for_you.weights import OPENINGS, Curves, fit_curves, openings
from predictors.plugins import MODELS, predictor_class
from predictors.run import Run
from predictors.serving import artifact
from predictors.training_data import TrainingData

if TYPE_CHECKING:
    from datasets.interactions import Interactions

logger = logging.getLogger(__name__)

WITHOUT_HISTORY = "popular"
FEWEST_GUESTS = 50  # users of the validation rows; with fewer, guests are held out of the training rows
HELD_OUT_SHARE = 10  # one user in so many
WEIGHED = 0.4  # of the progress bar, for fitting the weights; the rest is the members'


@dataclass(frozen=True)
class ForYouConfig(Config):
    """The members with their own configurations (`ease.ridge=`), and the fit of their weights."""

    #: models to blend; popular must be among them, for visitors without a history
    members: tuple[str, ...] = ("popular", "neighbours", "ease", "graph_filter", "linear_sequence")
    #: weight of guests shown their first items while the history is short, against items at random
    time_share: float = 0.5
    #: the same for long histories: 0 fits the preferences as a whole, towards 1 what is watched next
    long_time_share: float = 0.0
    guests: int = 1000  #: most users the weights are fitted on
    #: configurations of members by name; the others have their defaults
    member_configs: Mapping[str, Config] = field(default_factory=dict)

    def check(self) -> None:
        self.require(
            0 <= self.time_share <= 1 and 0 <= self.long_time_share <= 1,
            "time_share and long_time_share must be between 0 and 1",
        )
        self.require(self.guests >= 2, "guests must be 2 or more")
        object.__setattr__(self, "members", tuple(dict.fromkeys(self.members)))
        self.require(
            WITHOUT_HISTORY in self.members and len(self.members) > 1,
            f"members must name {WITHOUT_HISTORY} and another model, not {', '.join(self.members)}",
        )
        for name in self.members:
            self.require(not _refusal(name), f"members: {_refusal(name)}")
        for name in self.member_configs:
            self.require(name in self.members, f"option {name}: it is not one of the members")

    @classmethod
    def read(cls, given: Mapping[str, Any] | None) -> Self:
        """Read a configuration; `ease.ridge` names the option ridge of the member ease."""
        values = nested(given or {})
        configs = {}
        for name in [name for name in values if name in MODELS]:
            options = values.pop(name)
            if not isinstance(options, Mapping):
                raise ConfigError(f"option {name}: write {name}.option=value")
            configs[name] = predictor_class(name).config_class.read(options)
        return super().read(values | ({"member_configs": configs} if configs else {}))

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values that `read` accepts: the options of a member under its name."""
        values = super().as_dict()
        return {**values, **values.pop("member_configs")}


class ForYouPredictor(Predictor):
    """score = sum over members of w_m(x) * (s_m - mean) / deviation, both over the unseen films.

    Without a liked film it is popularity.

    members  the fitted members, over the same ids
    curves   how the weights follow from a history
    """

    name = "for_you"
    label = "For you"
    summary = "Several models as one, each counting as much as the length of your history warrants."
    paper = "one-more-node"
    config_class = ForYouConfig
    min_history = 0

    def __init__(
        self,
        members: Sequence[Predictor],
        curves: Curves,
        ids: IdMap,
        config: ForYouConfig | None = None,
    ) -> None:
        super().__init__(ids, config)
        self.members, self.curves = tuple(members), curves

    @classmethod
    def _fit(cls, data: TrainingData, config: ForYouConfig, run: Run) -> Self:
        """Fit the members, then their weights on guests. Members that cannot use the data are left out.

        The guests are the users of `validation` who have no rows in `train`. Where they are too few, a
        tenth of the users is held out: the weights are fitted with members that never saw them, and the
        members are then fitted anew on all rows. Raises TrainingError on data that a member cannot use.
        """
        names, left_out = _usable(data, config)
        rest, guests = _apart(data, config, run.seed)
        again = len(rest.train) < len(data.train) and run.stage != "select"
        rounds = 2 if again else 1
        share = (1 - WEIGHED) / rounds / len(names)
        quiet = replace(run, cpu_budget_seconds=0.0, resume=False, checkpoint_dir=None)

        def fitted(rows: TrainingData, start: float) -> list[Predictor]:
            return [
                predictor_class(name).fit(
                    rows,
                    config.member_configs.get(name),
                    quiet.part(start + row * share, start + (row + 1) * share, name, watched=False),
                )
                for row, name in enumerate(names)
            ]

        members = fitted(rest, 0.0)
        weighing = len(members) * share
        curves, figures = fit_curves(
            members,
            guests,
            openings(rest.train),
            time_shares=(config.time_share, config.long_time_share),
            seed=run.seed,
            progress=lambda done: run.report(weighing + WEIGHED * done, "weights"),
        )
        if again:
            members = fitted(TrainingData(data.train), weighing + WEIGHED)
            curves = replace(curves, opening=openings(data.train))
        run.report(1.0)
        predictor = cls(members, curves, data.items, config)
        predictor.meta = {"knots": list(KNOTS), "curve": figures, "left_out": left_out}
        return predictor

    def _refit(self, data: TrainingData, run: Run) -> Self:
        """Fit the members anew and keep their weights; everything anew where a member cannot use the data."""
        names, _ = _usable(data, self.config)
        if names != [member.name for member in self.members]:
            return self._fit(data, self.config, run)
        share = 1 / len(names)
        quiet = replace(run, checkpoint_dir=None, resume=False)
        members = [
            member.refit(data, quiet.part(row * share, (row + 1) * share, member.name, watched=False))
            for row, member in enumerate(self.members)
        ]
        curves = replace(self.curves, opening=openings(data.train))
        predictor = type(self)(members, curves, data.items, self.config)
        predictor.meta = {name: self.meta[name] for name in ("knots", "curve", "left_out")}
        return predictor

    def _score(self, queries: Sequence[Query]) -> np.ndarray:
        weights = self._weights_of(queries)
        scores = np.zeros((len(queries), self.n_items), dtype=np.float32)
        for member, column in zip(self.members, weights.T, strict=True):
            counting = np.flatnonzero(column)
            if len(counting) == 0:
                continue
            asked = [queries[row] for row in counting.tolist()]
            of_member = standardise(member.score(asked), asked)
            of_member *= column[counting, None].astype(np.float32)
            scores[counting] += of_member
        return scores

    def reasons(self, query: Query, indices: Sequence[int]) -> list[tuple[Reason, ...]]:
        """What the member says that counts most for this history and names a film of it, else "popular".

        A reason's weight is its share within that member times the member's own weight.
        """
        weights = self._weights_of([query])[0]
        found: list[tuple[Reason, ...]] = [()] * len(indices)
        for column in np.argsort(-weights, kind="stable"):
            missing = [row for row, reasons in enumerate(found) if not reasons]
            if not missing or weights[column] == 0:
                break
            member = self.members[column]
            if not isinstance(member, ExplainsScores):
                continue
            named = member.reasons(query, [indices[row] for row in missing])
            for index, reasons in zip(missing, named, strict=True):
                found[index] = tuple(
                    replace(reason, weight=reason.weight * float(weights[column]))
                    for reason in reasons
                    if reason.movie_id is not None
                )
        return [reasons or (Reason("popular"),) for reasons in found]

    def similar(self, movie_id: MovieId, k: int) -> list[Recommendation]:
        """Rank by the first member that finds similar items. Raises CannotAnswer when none does."""
        for member in self.members:
            if isinstance(member, FindsSimilar):
                return member.similar(movie_id, k)
        raise CannotAnswer("not_supported", f"no member of {self.name} ranks similar items")

    def tensors(self) -> dict[str, np.ndarray]:
        return {
            "weights": self.curves.weights,
            "gate": self.curves.gate,
            "opening": self.curves.opening,
        }

    def write_extra_files(self, directory: Path) -> None:
        for member in self.members:
            artifact.write_tensors(directory / _file_of(member.name), member.tensors())

    def save(self, directory: Path, **facts: Any) -> None:
        self.meta["members"] = {member.name: member.meta for member in self.members}
        super().save(directory, **facts)

    @classmethod
    def from_artifact(cls, saved: Saved) -> Self:
        described = saved.meta.get("members", {})
        if saved.meta.get("knots") != list(KNOTS) or WITHOUT_HISTORY not in described:
            raise ArtifactError(f"{saved.directory}: not a blend of members at lengths {KNOTS}")
        curves = Curves(
            saved.tensor("weights", (len(ORDERS), len(KNOTS), len(described))),
            saved.tensor("gate", (len(KNOTS), 1 + len(OPENINGS))),
            saved.tensor("opening", (len(saved.ids), len(OPENINGS))),
        )
        return cls([_loaded(name, saved) for name in described], curves, saved.ids, saved.config)

    def _weights_of(self, queries: Sequence[Query]) -> np.ndarray:
        """(B, M) float64 with sum 1 in each row."""
        weights = np.zeros((len(queries), len(self.members)))
        has_liked = np.array([len(query.liked) > 0 for query in queries], dtype=bool)
        names = [member.name for member in self.members]
        weights[~has_liked, names.index(WITHOUT_HISTORY)] = 1.0
        if has_liked.any():
            weights[has_liked] = self.curves.weights_of(
                [queries[row] for row in np.flatnonzero(has_liked).tolist()]
            )
        return weights


def _refusal(name: str) -> str:
    """Return why a model cannot be a member, or an empty string."""
    try:
        kind = predictor_class(name)
    except PredictorError as error:
        return str(error)
    if kind is ForYouPredictor or kind.learns_from_dislikes:
        return f"{name} cannot be part of a blend"
    if kind.write_extra_files is not Predictor.write_extra_files:
        return f"{name} keeps files besides its weights, which a blend does not hold"
    return ""


def _usable(data: TrainingData, config: ForYouConfig) -> tuple[list[str], dict[str, str]]:
    """Return the members that can be fitted on this data, and for each of the others why not.

    Raises TrainingError where fewer than two are left.
    """
    names, left_out = [], {}
    for name in config.members:
        kind = predictor_class(name)
        try:
            kind.check_data(data, config.member_configs.get(name, kind.config_class()))
            names.append(name)
        except TrainingError as error:
            left_out[name] = str(error)
            logger.warning("for_you is fitted without %s: %s", name, error)
    if WITHOUT_HISTORY not in names or len(names) < 2:
        raise TrainingError("; ".join(f"{name}: {reason}" for name, reason in left_out.items()))
    return names, left_out


def _apart(data: TrainingData, config: ForYouConfig, seed: int) -> tuple[TrainingData, Interactions]:
    """Return the data to fit the members on, and the rows of guests whom they then never saw."""
    from datasets.splits.protocols import latest_of_each_pair

    rng = np.random.default_rng(seed)
    train, validation = data.train, data.validation
    if validation is not None and len(validation):
        new = validation.select(~np.isin(validation.users, train.users))
        users = np.unique(new.users)
        if len(users) >= FEWEST_GUESTS:
            some = rng.permutation(users)[: config.guests]
            return TrainingData(train), latest_of_each_pair(new.select(np.isin(new.users, some)))
    counts = np.diff(train.indptr)
    eligible = np.flatnonzero(counts > 1)
    wanted = min(config.guests, len(eligible) // HELD_OUT_SHARE)
    if wanted < 2:
        raise TrainingError(
            f"{len(eligible)} users have two items or more; the weights of a blend need "
            f"{2 * HELD_OUT_SHARE} to be fitted on one tenth of them"
        )
    held_out = np.isin(train.users, rng.permutation(eligible)[:wanted])
    return TrainingData(train.select(~held_out)), latest_of_each_pair(train.select(held_out))


def _file_of(member: str) -> str:
    return f"{member}.safetensors"


def _loaded(name: str, saved: Saved) -> Predictor:
    try:
        kind = predictor_class(name)
    except PredictorError as error:
        raise ArtifactError(f"{saved.directory}: {error}") from error
    filename, files = _file_of(name), saved.meta.get("files", {})
    if saved.directory is None or filename not in files:
        raise ArtifactError(f"{saved.directory} holds no {filename}")
    tensors = artifact.read_tensors(saved.directory / filename, files[filename])
    return kind.restore(tensors, saved.ids, saved.meta["members"][name], saved.directory)
