"""For you: several models ranked as one, each counting as much as the length of the history warrants.

No model is the best at every length: with one film popularity is hard to beat, with ten it is graph
filters and neighbours, later EASE and sequence models. `blend_weights` fits how much each counts.

The artefact is complete in itself. Beside the weights of the blend it holds the weights of every
member as a file of its own, `<member>.safetensors`, equal to the bit to what the member's own artefact
would hold: so one checksum list covers everything, a roll-back takes the members back too, and no
version of another model can be missing or replaced under it. A process that serves a member on its
own as well, trained on the same rows, holds such a file's arrays once (`predictors.serving.artifact`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from predictors.base import Predictor, Query
from predictors.config import as_config, read_options
from predictors.errors import ArtifactError, CannotAnswer, PredictorError, TrainingError
from predictors.history import MovieId, Reason, Recommendation
from predictors.id_map import IdMap
from predictors.models.for_you.weights import (
    KNOTS,
    OPENINGS,
    ORDERS,
    Curves,
    fit_curves,
    openings,
    standardise,
)
from predictors.plugins import predictor_class
from predictors.progress import Progress, ProgressEvent, silent
from predictors.serving import artifact

if TYPE_CHECKING:
    from datasets.interactions import Interactions

WITHOUT_HISTORY = "popular"
FEWEST_GUESTS = 50  # people of the validation rows; with fewer, guests are held out of the training rows
HELD_OUT_SHARE = 10  # one person in so many
WEIGHED = 0.4  # of the progress bar, for fitting the weights; the rest is the members'


@dataclass(frozen=True, slots=True)
class ForYouOptions:
    """members          kinds to blend; popular must be among them, for visitors without a history
    time_share       how much guests shown their first films count while the history is short, against
                     guests shown films at random
    long_time_share  the same for long histories, where it decides what the blend is for: with 0 it finds
                     what fits a taste as a whole, towards 1 what is watched next
    guests           most people the weights are fitted on
    seed             of the choice of guests and of what they are shown, and of the members
    """

    members: tuple[str, ...] = ("popular", "neighbours", "ease", "graph_filter", "linear_sequence")
    time_share: float = 0.5
    long_time_share: float = 0.0
    guests: int = 1000
    seed: int = 1


class ForYouPredictor(Predictor):
    """score = sum over members of w_m(x) * (s_m - mean) / deviation, both over the unseen films.

    Without a liked film it is popularity.

    members  the fitted members, over the same ids
    curves   how the weights follow from a history
    """

    name = "for_you"
    min_history = 0

    def __init__(
        self,
        members: Sequence[Predictor],
        curves: Curves,
        ids: IdMap,
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(ids, meta)
        self.members, self.curves = tuple(members), curves

    @classmethod
    def fit(
        cls,
        train: Interactions,
        validation: Interactions | None = None,
        *,
        options: Mapping[str, Any] | None = None,
        progress: Progress = silent,
        checkpoint_dir: Path | None = None,
        resume: bool = False,
    ) -> Self:
        """Fit the members, then their weights on guests.

        The guests are the people of `validation` who have no rows in `train`. Where they are too few, a
        tenth of the people is held out: the weights are fitted with members that never met them, and
        the members are then fitted anew on all rows. Raises TrainingError on data or options that a
        member cannot use.
        """
        chosen = read_options(ForYouOptions, options)
        kinds = _checked(chosen)
        if len(train) == 0:
            raise TrainingError("there are no interactions to fit the members on")
        rest, guests = _apart(train, validation, chosen)
        rounds = 2 if len(rest) < len(train) else 1
        share = (1 - WEIGHED) / rounds / len(kinds)

        def fitted(rows: Interactions, done: float) -> list[Predictor]:
            members = []
            for place, kind in enumerate(kinds):
                begin = done + place * share

                def report(event: ProgressEvent, begin: float = begin, name: str = kind.name) -> None:
                    text = f"{name}: {event.message}" if event.message else name
                    progress(replace(event, done=begin + share * event.done, message=text))

                members.append(kind.fit(rows, options={"seed": chosen.seed}, progress=report))
            return members

        members = fitted(rest, 0.0)
        weighing = len(kinds) * share
        curves, figures = fit_curves(
            members,
            guests,
            openings(rest),
            time_shares=(chosen.time_share, chosen.long_time_share),
            seed=chosen.seed,
            progress=lambda done: progress(ProgressEvent(weighing + WEIGHED * done, "weights")),
        )
        if rounds == 2:
            members = fitted(train, weighing + WEIGHED)
            curves = replace(curves, opening=openings(train))
        progress(ProgressEvent(1.0))
        meta = {"config": as_config(chosen), "knots": list(KNOTS), "curve": figures}
        return cls(members, curves, IdMap(np.asarray(train.item_ids).tolist()), meta)

    def score_batch(self, queries: Sequence[Query]) -> np.ndarray:
        weights = self._weights_of(queries)
        scores = np.zeros((len(queries), self.n_items), dtype=np.float32)
        for member, column in zip(self.members, weights.T, strict=True):
            counting = np.flatnonzero(column)
            if len(counting) == 0:
                continue
            asked = [queries[row] for row in counting.tolist()]
            of_member = standardise(member.score_batch(asked), asked)
            of_member *= column[counting, None].astype(np.float32)
            scores[counting] += of_member
        return scores

    def reasons(self, query: Query, indices: Sequence[int]) -> list[tuple[Reason, ...]]:
        """What the member says that counts most for this history and names a film of it, else "popular".

        A reason's weight is its share within that member times the member's own weight.
        """
        weights = self._weights_of([query])[0]
        found: list[tuple[Reason, ...]] = [()] * len(indices)
        for place in np.argsort(-weights, kind="stable"):
            missing = [row for row, reasons in enumerate(found) if not reasons]
            if not missing or weights[place] == 0:
                break
            told = self.members[place].reasons(query, [indices[row] for row in missing])
            for row, reasons in zip(missing, told, strict=True):
                found[row] = tuple(
                    replace(reason, weight=reason.weight * float(weights[place]))
                    for reason in reasons
                    if reason.movie_id is not None
                )
        return [reasons or (Reason("popular"),) for reasons in found]

    def similar(self, movie_id: MovieId, k: int) -> list[Recommendation]:
        """What the first member says that ranks similar films. Raises CannotAnswer when none does."""
        for member in self.members:
            try:
                return member.similar(movie_id, k)
            except CannotAnswer as refusal:
                if refusal.reason != "not_supported":
                    raise
        return super().similar(movie_id, k)

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
    def from_tensors(
        cls, tensors: dict[str, np.ndarray], ids: IdMap, meta: dict[str, Any], directory: Path | None
    ) -> Self:
        described = meta.get("members", {})
        shapes = {
            "weights": (len(ORDERS), len(KNOTS), len(described)),
            "gate": (len(KNOTS), 1 + len(OPENINGS)),
            "opening": (len(ids), len(OPENINGS)),
        }
        for name, shape in shapes.items():
            if name not in tensors or tensors[name].shape != shape:
                raise ArtifactError(f"{directory}: expected the tensor {name} of shape {shape}")
        if directory is None or meta.get("knots") != list(KNOTS) or WITHOUT_HISTORY not in described:
            raise ArtifactError(f"{directory}: not a blend of members at lengths {KNOTS}")
        members = [
            _loaded(name, facts, directory, ids, meta.get("files", {})) for name, facts in described.items()
        ]
        return cls(members, Curves(tensors["weights"], tensors["gate"], tensors["opening"]), ids, meta)

    def _weights_of(self, queries: Sequence[Query]) -> np.ndarray:
        """(B, M) float64 with sum 1 in each row."""
        weights = np.zeros((len(queries), len(self.members)))
        told = np.array([len(query.liked) > 0 for query in queries], dtype=bool)
        names = [member.name for member in self.members]
        weights[~told, names.index(WITHOUT_HISTORY)] = 1.0
        if told.any():
            weights[told] = self.curves.weights_of([queries[row] for row in np.flatnonzero(told).tolist()])
        return weights


def _checked(options: ForYouOptions) -> list[type[Predictor]]:
    """The classes of the members. Raises TrainingError on options that cannot be used."""
    if not (0 <= options.time_share <= 1 and 0 <= options.long_time_share <= 1):
        raise TrainingError("time_share and long_time_share must be between 0 and 1")
    if options.guests < 2 or options.seed < 0:
        raise TrainingError("guests must be 2 or more, seed 0 or more")
    names = list(dict.fromkeys(name.strip() for name in options.members))
    if WITHOUT_HISTORY not in names or len(names) < 2:
        raise TrainingError(f"members must name {WITHOUT_HISTORY} and another kind, not {', '.join(names)}")
    kinds = []
    for name in names:
        try:
            kind = predictor_class(name)
        except PredictorError as error:
            raise TrainingError(f"members: {error}") from error
        if kind is ForYouPredictor or kind.learns_from_dislikes:
            raise TrainingError(f"members: {name} cannot be part of a blend")
        if kind.write_extra_files is not Predictor.write_extra_files:
            raise TrainingError(
                f"members: {name} keeps files besides its weights, which a blend does not hold"
            )
        kinds.append(kind)
    return kinds


def _apart(
    train: Interactions, validation: Interactions | None, options: ForYouOptions
) -> tuple[Interactions, Interactions]:
    """Rows to fit the members on, and the rows of guests whom they then never met."""
    from datasets.splits.cases import latest_of_each_pair

    rng = np.random.default_rng(options.seed)
    if validation is not None and len(validation):
        new = validation.select(~np.isin(validation.users, train.users))
        people = np.unique(new.users)
        if len(people) >= FEWEST_GUESTS:
            some = rng.permutation(people)[: options.guests]
            return train, latest_of_each_pair(new.select(np.isin(new.users, some)))
    counts = np.diff(train.indptr)
    eligible = np.flatnonzero(counts > 1)
    wanted = min(options.guests, len(eligible) // HELD_OUT_SHARE)
    if wanted < 2:
        raise TrainingError(
            f"{len(eligible)} people have two films or more; the weights of a blend need "
            f"{2 * HELD_OUT_SHARE} to be fitted on one tenth of them"
        )
    held_out = np.isin(train.users, rng.permutation(eligible)[:wanted])
    return train.select(~held_out), latest_of_each_pair(train.select(held_out))


def _file_of(member: str) -> str:
    return f"{member}.safetensors"


def _loaded(
    name: str, meta: dict[str, Any], directory: Path, ids: IdMap, files: Mapping[str, str]
) -> Predictor:
    try:
        kind = predictor_class(name)
    except PredictorError as error:
        raise ArtifactError(f"{directory}: {error}") from error
    filename = _file_of(name)
    if filename not in files:
        raise ArtifactError(f"{directory} holds no {filename}")
    tensors = artifact.read_tensors(directory / filename, files[filename])
    return kind.from_tensors(tensors, ids, meta, directory)
