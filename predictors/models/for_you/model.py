"""For you: item-item models joined so that a list is personal from the first film and follows what is new.

Every member says what each film adds to every other (`AddsUpItems`). Their weights, how fast older films
fade and how much popularity counts depend on the length of the history, and are fitted on visitors the
members never met (`balance`, `mix`). The mix stays linear: what a film of the history added is exact.

The artifact holds the members as one basis (`basis`), without their own artifacts.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np

from predictors.base import Predictor, Query, Saved
from predictors.config import Config, nested
from predictors.errors import ArtifactError, CannotAnswer, ConfigError, TrainingError
from predictors.history import MovieId, Reason, Recommendation
from predictors.history_features import top_influences
from predictors.id_map import IdMap
from predictors.models.for_you.balance import DEPTH, Balance, Cases, cases_at, decayed
from predictors.models.for_you.basis import ItemBasis
from predictors.models.for_you.members import (
    DEFAULT_MEMBERS,
    PRIOR,
    VARIANTS,
    follows_order,
    member_class,
    member_config,
)
from predictors.models.for_you.mix import AIMS, KNOTS, Mix, fit_mix, fit_similar
from predictors.models.transitions import TransitionsConfig
from predictors.plugins import MODELS
from predictors.run import Run
from predictors.training_data import TrainingData

if TYPE_CHECKING:
    from datasets.interactions import Interactions
    from predictors.capabilities import AddsUpItems

logger = logging.getLogger(__name__)

FEWEST_VISITORS = 50  # people of the validation rows; with fewer, some are held out of the training rows
HELD_OUT_SHARE = 10  # one person in so many
WELL_KNOWN = 300  # most met films, whose similar films are to leave popular ones out
KEPT, KEPT_IN_ALL = (60, 300), 3_600_000  # targets of each member: of a film, of the catalogue
FEWEST_CASES = 10  # visitors without which nothing is fitted at a length
TINY = 1e-6
WEIGHED = 0.4  # of the progress bar, for fitting the weights; the rest is the members'


@dataclass(frozen=True)
class ForYouConfig(Config):
    """The members with their own configurations (`ease.ridge=`), and the fit of their weights."""

    #: models to join; popular must be among them, for visitors without a history
    members: tuple[str, ...] = DEFAULT_MEMBERS
    most_shared: float = 0.09  #: share of their ten films that two random visitors may have in common
    recencies: tuple[float, ...] = (1.0, 0.8, 0.6)  #: how much a film counts against the one after it, to try
    #: what it costs when the rest of a taste, in no order, is found less well than wanted (`Wish`)
    taste: float = 4.0
    tries: int = 1000  #: mixes to try at each length of a history
    visitors: int = 600  #: most users the weights are fitted on
    kept: int = 0  #: best targets kept of each film and member; 0 = by size, from 300 down to 60
    dislike_weight: float = 0.2  #: how much a disliked item takes away, against what a liked one adds
    max_history: int = 50  #: latest liked items that are read
    file_order: bool = False  #: rows without times are in the order in which they happened
    #: configurations of members by name; the others have their defaults
    member_configs: Mapping[str, Config] = field(default_factory=dict)

    def check(self) -> None:
        self.require(0 < self.most_shared <= 1, "most_shared must be above 0, and 1 at most")
        self.require(
            len(self.recencies) > 0 and all(0 < each <= 1 for each in self.recencies),
            "recencies must be above 0, and 1 at most",
        )
        object.__setattr__(self, "recencies", tuple(sorted(set(self.recencies), reverse=True)))
        self.require(self.taste >= 0, "taste must be 0 or more")
        self.require(self.tries >= 8, "tries must be 8 or more")
        self.require(self.visitors >= 2, "visitors must be 2 or more")
        self.require(self.kept >= 0, "kept must be 0 or more")
        self.require(self.max_history >= 1, "max_history must be 1 or more")
        self.require(self.dislike_weight >= 0, "dislike_weight must be 0 or more")
        object.__setattr__(self, "members", tuple(dict.fromkeys(self.members)))
        self.require(
            PRIOR in self.members and len(self.members) > 1,
            f"members must name {PRIOR} and another model, not {', '.join(self.members)}",
        )
        for name in self.members:
            member_class(name)
        for name in self.member_configs:
            self.require(name in self.members, f"option {name}: it is not one of the members")

    @classmethod
    def read(cls, given: Mapping[str, Any] | None) -> Self:
        """Read a configuration; `ease.ridge` names the option ridge of the member ease."""
        values = nested(given or {})
        configs = {}
        for name in [name for name in values if name in VARIANTS or name in MODELS]:
            options = values.pop(name)
            if not isinstance(options, Mapping):
                raise ConfigError(f"option {name}: write {name}.option=value")
            configs[name] = member_config(name, options)
        return super().read(values | ({"member_configs": configs} if configs else {}))

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values that `read` accepts: the options of a member under its name."""
        values = super().as_dict()
        return {**values, **values.pop("member_configs")}

    def of_member(self, name: str) -> Config:
        """Return the configuration of a member."""
        config = self.member_configs.get(name) or member_config(name)
        if self.file_order and isinstance(config, TransitionsConfig):
            return replace(config, file_order=True)
        return config


class ForYouPredictor(Predictor):
    """score = sum over liked films i, members m, recencies r of w_mr(n) * a_ir * s_mi + w(n) * popularity

        a_ir = strength_i * r ** age_i, divided by the sum over the history

    n is the number of liked films, s_mi what member m says film i adds, with deviation 1. A disliked film
    counts -dislike_weight times what a liked one does in the mean. Without a liked film it is popularity.

    basis    what each film adds to the others, by member
    mix      weights by length, at three points of the dial
    popular  (n_items,) float32 scores of the popular model
    similar_weights  (M,) weights of the members for films like one film
    recencies        r of the mix, descending; (1.0,) where the training data had no order
    """

    name = "for_you"
    label = "For you"
    summary = "What goes with your films, the latest counting most, personal from the first click."
    paper = "one-more-node"
    config_class = ForYouConfig
    min_history = 0
    familiarity = 0.0  # -1 unexpected films, 0 as fitted, 1 well-known ones

    def __init__(
        self,
        basis: ItemBasis,
        mix: Mix,
        popular: np.ndarray,
        similar_weights: np.ndarray,
        recencies: Sequence[float],
        *,
        ids: IdMap,
        config: ForYouConfig | None = None,
    ) -> None:
        super().__init__(ids, config)
        self.basis, self.mix, self.popular, self.similar_weights = basis, mix, popular, similar_weights
        self.recencies = tuple(recencies)
        self.prior = _standardised(popular)

    def with_familiarity(self, familiarity: float) -> Self:
        """Return this model at another point of the dial, from -1 (unexpected) to 1 (well-known).

        It shares all arrays. Raises ValueError on a number outside.
        """
        if not -1 <= familiarity <= 1:
            raise ValueError(f"familiarity must be between -1 and 1, not {familiarity}")
        other = copy.copy(self)
        other.familiarity = float(familiarity)
        return other

    @classmethod
    def _fit(cls, data: TrainingData, config: ForYouConfig, run: Run) -> Self:
        """Fit the members, then their weights on visitors.

        The visitors are the users of `validation` who have no rows in `train`. Where they are too few, a
        tenth of the users is held out: the weights are fitted with members that never saw them, and the
        members are then fitted anew on all rows. Members that cannot be fitted are left out and named in
        `meta`. Raises TrainingError where none is left, or too few users for the fit.
        """
        _, left_out = _usable(data, config)
        rest, visitors = _apart(data, config, run.seed)
        again = len(rest.train) < len(data.train) and run.stage != "select"
        share = (1 - WEIGHED) / (2 if again else 1)
        joined = _join(rest, _without(config, left_out), run.part(0.0, share))
        left_out |= joined.left_out
        in_order = data.train.has_time or config.file_order
        recencies = config.recencies if in_order else (1.0,)  # without an order no film is the latest one
        asked = _Visitors(visitors, np.bincount(rest.train.items, minlength=data.n_items), in_order)
        mix, similar, figures = _fit_weights(
            joined,
            asked,
            config=replace(config, recencies=recencies),
            run=run.part(share, share + WEIGHED),
        )
        training = {"recencies": list(recencies), "members": [*joined.names, PRIOR], "lengths": figures}
        if again:
            first, n_members = list(joined.names), len(joined.names)
            joined = _join(
                TrainingData(data.train), _without(config, left_out), run.part(share + WEIGHED, 1.0)
            )
            left_out |= joined.left_out
            still = np.array([first.index(name) for name in joined.names])
            mix, similar = mix.select(still, n_members), similar[still]
        weights = mix.weights[:, :, :-1].reshape(-1, len(joined.names))
        used = np.flatnonzero((weights != 0).any(axis=0) | (similar != 0))  # nothing is stored of the others
        mix, similar = mix.select(used, len(joined.names)), similar[used]
        joined = joined.select(used)
        run.report(1.0, f"left out: {', '.join(left_out)}" if left_out else "")
        predictor = cls(joined.basis, mix, joined.popular, similar, recencies, ids=data.items, config=config)
        predictor.meta = {
            "knots": list(KNOTS),
            "members": {name: member_class(name).name for name in joined.names},
            "left_out": left_out,
            "weights": _readable(mix, recencies, joined.names),
            "training": training,
        }
        return predictor

    def _refit(self, data: TrainingData, run: Run) -> Self:
        """Fit the members anew and keep their weights; everything anew where other members can be used."""
        names, kept = list(self.meta["members"]), self.meta["left_out"]
        _, left_out = _usable(data, self.config)
        if set(left_out) != set(kept):
            return self._fit(data, self.config, run)
        absent = {name: "" for name in self.config.members if name not in (PRIOR, *names)}
        joined = _join(data, _without(self.config, absent), run)
        if joined.names != names:
            return self._fit(data, self.config, run)
        predictor = type(self)(
            joined.basis,
            self.mix,
            joined.popular,
            self.similar_weights,
            self.recencies,
            ids=data.items,
            config=self.config,
        )
        predictor.meta = {
            name: self.meta[name] for name in ("knots", "members", "left_out", "weights", "training")
        }
        return predictor

    def _score(self, queries: Sequence[Query]) -> np.ndarray:
        scores = np.empty((len(queries), self.n_items), dtype=np.float32)
        for row, query in enumerate(queries):
            if len(query.liked) == 0:
                scores[row] = self.popular
                continue
            films, weights, of_prior = self._weights_of(query)
            np.multiply(self.prior, np.float32(of_prior), out=scores[row])
            scores[row] += self.basis.mixed(films, weights)
        return scores

    def influences(self, query: Query, indices: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What each film of a history added to the scores of some: indices (T,) and (T, K) float32.

        Together with popularity's part the sums are the scores. Disliked films come last.
        """
        targets = np.asarray(indices, dtype=np.int64)
        if len(query.liked) == 0:
            return np.empty(0, np.int64), np.zeros((0, len(targets)), np.float32)
        films, weights, _ = self._weights_of(query)
        return films, self.basis.influences(films, weights, targets)

    def reasons(self, query: Query, indices: Sequence[int]) -> list[tuple[Reason, ...]]:
        """The liked film that added most to each score, with its share of all that was added."""
        films, added = self.influences(query, indices)
        liked = max(len(films) - len(query.disliked), 0)
        named = top_influences(added[:liked], films[:liked], self.ids)
        return [reasons or (Reason("popular"),) for reasons in named]

    def similar(self, movie_id: MovieId, k: int) -> list[Recommendation]:
        """Films that the same people met, popularity divided out, nearest first; ties by index.

        Raises CannotAnswer on a film that the model does not know, ValueError when k is negative.
        """
        if k < 0:
            raise ValueError(f"k must not be negative, not {k}")
        index = self.ids.index_of(movie_id)
        if index is None:
            raise CannotAnswer("unknown_film", f"{self.name} does not know the film {movie_id!r}")
        films, values = self.basis.row(index, self.similar_weights)
        nearest = np.argsort(-values, kind="stable")[:k]
        why = (Reason("similar_to", movie_id, 1.0),)
        return [
            Recommendation(self.ids.ids[films[rank]], float(values[rank]), why)
            for rank in nearest
            if values[rank] > 0
        ]

    def tensors(self) -> dict[str, np.ndarray]:
        return {
            "indptr": self.basis.indptr,
            "indices": self.basis.indices,
            "values": self.basis.values,
            "scales": self.basis.scales,
            "weights": self.mix.weights,
            "similar": self.similar_weights,
            "popular": self.popular,
        }

    @classmethod
    def from_artifact(cls, saved: Saved) -> Self:
        n_items, described = len(saved.ids), saved.meta.get("members", {})
        recencies = saved.meta.get("training", {}).get("recencies", [])
        if saved.meta.get("knots") != list(KNOTS) or not described or not recencies:
            raise ArtifactError(f"{saved.directory}: no mix of members at lengths {KNOTS}")
        basis = ItemBasis(
            saved.tensor("indptr", (n_items + 1,)),
            saved.tensor("indices", (None,)),
            saved.tensor("values", (None, len(described))),
            saved.tensor("scales", (n_items, len(described))),
        )
        indptr, indices = basis.indptr, basis.indices
        if (
            indptr[0] != 0
            or (np.diff(indptr) < 0).any()
            or not indptr[-1] == len(indices) == len(basis.values)
            or (len(indices) and not 0 <= int(indices.max()) < n_items)
        ):
            raise ArtifactError(f"{saved.directory}: not rows of weights between {n_items} items")
        mix = Mix(saved.tensor("weights", (len(AIMS), len(KNOTS), len(recencies) * len(described) + 1)))
        return cls(
            basis,
            mix,
            saved.tensor("popular", (n_items,)),
            saved.tensor("similar", (len(described),)),
            recencies,
            ids=saved.ids,
            config=saved.config,
        )

    def _weights_of(self, query: Query) -> tuple[np.ndarray, np.ndarray, float]:
        """Liked films, then disliked ones, (T,); what each member counts for each, (T, M); the prior's."""
        n, n_members = len(query.liked), self.basis.n_members
        weights = self.mix.at(n, self.familiarity)
        table = weights[:-1].reshape(-1, n_members)  # by recency
        counts = [place for place in range(len(table)) if table[place].any()]
        films, strengths = (each[-self.config.max_history :] for each in (query.liked, query.weights))
        amounts = np.stack([decayed(strengths, self.recencies[place]) for place in counts], axis=1)
        by_member = amounts @ table[counts]
        if len(query.disliked):
            # What a film of full strength counts in the mean of the history: decays of sum 1 count it so.
            ones = np.ones(len(films))
            plain = np.stack([decayed(ones, self.recencies[place]) for place in counts], axis=1)
            strength = np.maximum((plain * strengths[:, None]).sum(axis=0), TINY)
            of_dislike = -self.config.dislike_weight / n * (table[counts] / strength[:, None]).sum(axis=0)
            films = np.concatenate([films, query.disliked])
            by_member = np.concatenate([by_member, np.tile(of_dislike, (len(query.disliked), 1))])
        return films, by_member, float(weights[-1])


@dataclass(frozen=True)
class _Joined:
    """Fitted members as one basis, popularity's scores, and the members that could not be fitted and why."""

    basis: ItemBasis
    popular: np.ndarray
    names: list[str]
    left_out: dict[str, str]

    def select(self, members: np.ndarray) -> _Joined:
        names = [self.names[row] for row in members]
        return replace(self, basis=self.basis.select(members), names=names)


def _usable(data: TrainingData, config: ForYouConfig) -> tuple[list[str], dict[str, str]]:
    """Return the members that can use this data, and for each of the others why not.

    Raises TrainingError where none is left beside popular.
    """
    names, left_out = [], {}
    for name in config.members:
        try:
            member_class(name).check_data(data, config.of_member(name))
            names.append(name)
        except TrainingError as error:
            left_out[name] = str(error)
            logger.warning("for_you is fitted without %s: %s", name, error)
    if PRIOR not in names or len(names) < 2:
        raise TrainingError("; ".join(f"{name}: {reason}" for name, reason in left_out.items()))
    return names, left_out


def _without(config: ForYouConfig, names: Mapping[str, str]) -> ForYouConfig:
    """Return the configuration without some members."""
    members = tuple(name for name in config.members if name not in names)
    configs = {name: own for name, own in config.member_configs.items() if name in members}
    return replace(config, members=members, member_configs=configs)


def _join(data: TrainingData, config: ForYouConfig, run: Run) -> _Joined:
    """Fit the members and join them. Those whose fit fails are left out too."""
    quiet = replace(run, cpu_budget_seconds=0.0, resume=False, checkpoint_dir=None)
    fitted: dict[str, Predictor] = {}
    left_out: dict[str, str] = {}
    part = 0.8 / len(config.members)
    for row, name in enumerate(config.members):
        try:
            fitted[name] = member_class(name).fit(
                data,
                config.of_member(name),
                quiet.part(row * part, (row + 1) * part, name, watched=False),
            )
        except TrainingError as error:
            if name == PRIOR:
                raise
            left_out[name] = str(error)
            logger.warning("for_you is fitted without %s: %s", name, error)
    popular = fitted.pop(PRIOR).score([Query.from_indices([])])[0]
    if not fitted:
        raise TrainingError("; ".join(f"{name}: {reason}" for name, reason in left_out.items()))
    basis = ItemBasis.build(
        cast("list[AddsUpItems]", list(fitted.values())),
        data.n_items,
        kept=config.kept or int(np.clip(KEPT_IN_ALL // data.n_items, *KEPT)),
        progress=lambda done: run.report(0.8 + 0.2 * done, "joining"),
    )
    return _Joined(basis, popular, list(fitted), left_out)


@dataclass(frozen=True)
class _Visitors:
    """Rows of users whom the members never saw, each item's number of users, whether rows have an order."""

    rows: Interactions
    counts: np.ndarray
    in_order: bool


def _fit_weights(
    joined: _Joined, data: _Visitors, *, config: ForYouConfig, run: Run
) -> tuple[Mix, np.ndarray, list[dict[str, Any]]]:
    """Fit the mix, and the weights of similar films."""
    basis, names, prior = joined.basis, joined.names, _standardised(joined.popular)
    order_free = tuple(row for row, name in enumerate(names) if not follows_order(name)) or (0,)
    films = np.argsort(-data.counts, kind="stable")[:WELL_KNOWN]
    alone = [(np.array([film]), np.array([film])) for film in films]
    known = Cases.of(basis, prior, data.counts, alone, config.recencies)
    popular = np.argsort(-prior, kind="stable")[:DEPTH]
    one_film: list[Cases] = []

    def balance_at(n: int) -> Balance | None:
        shown = cases_at(data.rows, n, np.random.default_rng([run.seed, n]), in_order=data.in_order)
        if min(len(pairs) for pairs in shown) < (FEWEST_CASES if n > KNOTS[0] else 1):
            return None
        following, later, taste = (
            Cases.of(basis, prior, data.counts, pairs, config.recencies) for pairs in shown
        )
        if n == KNOTS[0]:
            one_film.append(following)
        alone_too = (known, popular) if n == KNOTS[0] else (None, None)
        return Balance(following, later, taste, order_free, *alone_too)

    try:
        mix, figures = fit_mix(
            balance_at,
            len(names),
            len(config.recencies),
            tries=config.tries,
            most_shared=config.most_shared,
            taste=config.taste,
            seed=run.seed,
            progress=lambda done: run.report(done, "weights"),
        )
    except ValueError as error:
        raise TrainingError(str(error)) from error
    similar = fit_similar(
        one_film[0],
        known,
        popular,
        order_free,
        n_members=len(names),
        tries=config.tries,
        seed=run.seed,
    )
    return mix, similar, figures


def _apart(data: TrainingData, config: ForYouConfig, seed: int) -> tuple[TrainingData, Interactions]:
    """Return the data to fit the members on, and the rows of visitors whom they then never saw."""
    from datasets.splits.protocols import latest_of_each_pair

    rng = np.random.default_rng(seed)
    train, validation = data.train, data.validation
    if validation is not None and len(validation):
        new = validation.select(~np.isin(validation.users, train.users))
        users = np.unique(new.users)
        if len(users) >= FEWEST_VISITORS:
            some = rng.permutation(users)[: config.visitors]
            return TrainingData(train), latest_of_each_pair(new.select(np.isin(new.users, some)))
    counts = np.diff(train.indptr)
    eligible = np.flatnonzero(counts > 1)
    wanted = min(config.visitors, len(eligible) // HELD_OUT_SHARE)
    if wanted < 2:
        raise TrainingError(
            f"{len(eligible)} users have two items or more; the weights of {ForYouPredictor.name} need "
            f"{2 * HELD_OUT_SHARE} to be fitted on one tenth of them"
        )
    held_out = np.isin(train.users, rng.permutation(eligible)[:wanted])
    return TrainingData(train.select(~held_out)), latest_of_each_pair(train.select(held_out))


def _standardised(popular: np.ndarray) -> np.ndarray:
    deviation = float(popular.std())
    return ((popular - popular.mean()) / (deviation if deviation > 0 else 1.0)).astype(np.float32)


def _readable(mix: Mix, recencies: Sequence[float], names: Sequence[str]) -> dict[str, Any]:
    """The table as people read it: by aim and length, what counts."""
    columns = [f"{name} {recency}" for recency in recencies for name in names]
    return {
        aim: {
            str(n): {
                name: round(float(weight), 4)
                for name, weight in zip([*columns, PRIOR], row, strict=True)
                if weight
            }
            for n, row in zip(KNOTS, of_weights, strict=True)
        }
        for aim, of_weights in zip(AIMS, mix.weights, strict=True)
    }
