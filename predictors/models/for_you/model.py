"""For you: a mix of item-item models, personal from the first film, the latest films counting most.

Every member says what each film adds to every other (`AddsUpItems`). Their weights, how fast older films
fade and how much popularity counts depend on the length of the history, and are fitted on visitors the
members never met (`balance`, `mix`). The mix stays linear: what a film of the history added is exact.

The artifact holds the members as one basis (`basis`), without their own artifacts.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Self

import numpy as np

from predictors.base import Predictor, Query, Saved
from predictors.errors import ArtifactError, CannotAnswer
from predictors.history import MovieId, Reason, Recommendation
from predictors.id_map import IdMap
from predictors.influences import Influences
from predictors.models.for_you.balance import TINY, Popularity, decay
from predictors.models.for_you.basis import ItemBasis
from predictors.models.for_you.config import ForYouConfig
from predictors.models.for_you.fitting import (
    Visitors,
    describe_mix,
    find_usable,
    fit_weights,
    hold_out_visitors,
    join_members,
    without_members,
)
from predictors.models.for_you.members import PRIOR, member_class
from predictors.models.for_you.mix import AIMS, KNOTS, Mix
from predictors.ranking import FirstStage, LateScores
from predictors.run import Run
from predictors.training_data import TrainingData

# The latest disliked films that are read; with more, lists are found no better (docs/for-you.md).
MOST_DISLIKED = 100
WEIGHED = 0.4  # of the progress bar, for fitting the weights; the rest is the members'


class ForYouPredictor(Predictor):
    """score = sum over liked films i, members m, recencies r of w_mr(n) * a_ir * s_mi + w(n) * popularity

        a_ir = strength_i * r ** age_i, divided by the sum over the history

    n is the number of liked films, s_mi the scores that film i adds by member m, of deviation 1. A disliked
    film counts -dislike_weight times the mean of the liked ones; the latest MOST_DISLIKED are read. Without a
    liked film it is popularity.

    basis    what each film adds to the others, by member
    mix      weights by length, at three points of the dial
    popular  (n_items,) float32 scores of the popular model
    prior    (n_items,) float32, what counts of them in a score (`balance.Popularity`)
    similar_weights  (M,) weights of the members for films like one film
    recencies        r of the mix, descending; (1.0,) where the training data had no order
    """

    name = "for_you"
    label = "For you"
    summary = "What goes with your films, the latest counting most, personal from the first click."
    paper = "one-more-node"
    config_class = ForYouConfig
    min_history = 0
    aims_at_balance = True
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
        prior: np.ndarray | None = None,
    ) -> None:
        super().__init__(ids, config)
        self.basis, self.mix, self.popular, self.similar_weights = basis, mix, popular, similar_weights
        self.recencies = tuple(recencies)
        self.prior = Popularity.from_scores(popular).prior if prior is None else prior

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
        _, left_out = find_usable(data, config)
        rest, visitors = hold_out_visitors(data, config, run.seed)
        again = len(rest.train) < len(data.train) and run.stage != "select"
        share = (1 - WEIGHED) / (2 if again else 1)
        joined = join_members(rest, without_members(config, left_out), run.part(0.0, share))
        left_out |= joined.left_out
        in_order = data.train.has_time or config.file_order
        recencies = config.recencies if in_order else (1.0,)  # without an order no film is the latest one
        asked = Visitors(visitors, np.bincount(rest.train.items, minlength=data.n_items), in_order)
        mix, similar, figures = fit_weights(
            joined,
            asked,
            config=replace(config, recencies=recencies),
            run=run.part(share, share + WEIGHED),
        )
        training = {"recencies": list(recencies), "members": [*joined.names, PRIOR], "lengths": figures}
        if again:
            first, n_members = list(joined.names), len(joined.names)
            joined = join_members(
                TrainingData(data.train), without_members(config, left_out), run.part(share + WEIGHED, 1.0)
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
            "weights": describe_mix(mix, recencies, joined.names),
            "training": training,
        }
        return predictor

    def _refit(self, data: TrainingData, run: Run) -> Self:
        """Fit the members anew and keep their weights; everything anew where other members can be used."""
        names, kept = list(self.meta["members"]), self.meta["left_out"]
        _, left_out = find_usable(data, self.config)
        if set(left_out) != set(kept):
            return self._fit(data, self.config, run)
        absent = {name: "" for name in self.config.members if name not in (PRIOR, *names)}
        joined = join_members(data, without_members(self.config, absent), run)
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

    def _score_items(self, queries: Sequence[Query], items: np.ndarray) -> np.ndarray:
        scores = np.empty((len(queries), items.shape[-1]), dtype=np.float32)
        for row, query in enumerate(queries):
            scores[row] = self._score_some(query, items if items.ndim == 1 else items[row])
        return scores

    def _score_some(self, query: Query, items: np.ndarray) -> np.ndarray:
        """Return the scores (n,) of some items."""
        if len(query.liked) == 0:
            return self.popular[items]
        films, weights, of_prior = self._weights_of(query)
        return self.prior[items] * np.float32(of_prior) + self.basis.mixed_at(films, weights, items)

    def first_stage(self, queries: Sequence[Query]) -> list[FirstStage]:
        """Score late where most films were seen: the well-known ones have most of the entries."""
        stages: list[FirstStage] = []
        for query in queries:
            if 2 * len(query.seen) <= self.n_items:
                stages += super().first_stage([query])
            else:
                stages.append(LateScores(self.n_items, partial(self._checked_scores, query)))
        return stages

    def _checked_scores(self, query: Query, items: np.ndarray) -> np.ndarray:
        """Return the scores (n,) of items (n,). Raises InvalidScores as `score` does."""
        return self.score([query], items)[0]

    def influences(self, query: Query, targets: np.ndarray) -> Influences:
        """Return the exact parts of each score: the sum over all members of what a liked film adds.

        With the parts of popularity and of disliked films the sums are the scores.
        """
        if len(query.liked) == 0:
            return Influences(query.liked, np.zeros((0, len(targets)), np.float32))
        films, weights, _ = self._weights_of(query)
        n_liked = len(films) - len(self._latest_disliked(query))  # disliked films come last
        return Influences(films[:n_liked], self.basis.influences(films[:n_liked], weights[:n_liked], targets))

    def similar(self, movie_id: MovieId, k: int) -> list[Recommendation]:
        """Return films that the same people met, popularity divided out, nearest first; ties by index.

        Raises CannotAnswer on a film that the model does not know, ValueError when k is negative.
        """
        if k < 0:
            raise ValueError(f"k must not be negative, not {k}")
        index = self.ids.index_of(movie_id)
        if index is None:
            raise CannotAnswer("unknown_film", f"{self.name} does not know the film {movie_id!r}")
        films, values = self.basis.row(index, self.similar_weights)
        nearest = np.argsort(-values, kind="stable")[:k]
        nearest = nearest[values[nearest] > 0]
        why = (Reason("similar_to", movie_id, 1.0),)
        found = zip(self.ids.ids_of(films[nearest]), values[nearest].tolist(), strict=True)
        return [Recommendation(*each, why) for each in found]

    def tensors(self) -> dict[str, np.ndarray]:
        return {
            "indptr": self.basis.indptr,
            "indices": self.basis.indices,
            "values": self.basis.values,
            "scales": self.basis.scales,
            "weights": self.mix.weights,
            "similar": self.similar_weights,
            "popular": self.popular,
            "prior": self.prior,
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
        popular = saved.tensor("popular", (n_items,))
        # Versions without a prior of their own count popularity as it is.
        is_old = "prior" not in saved.tensors
        return cls(
            basis,
            mix,
            popular,
            saved.tensor("similar", (len(described),)),
            recencies,
            ids=saved.ids,
            config=saved.config,
            prior=Popularity.from_scores(popular).scores if is_old else saved.tensor("prior", (n_items,)),
        )

    @cached_property
    def _decays(self) -> np.ndarray:
        """Return (R, max_history) float64 weights of films by recency, oldest first; negligible ones 0."""
        return np.stack([decay(self.config.max_history, each) for each in self.recencies])

    def _weights_of(self, query: Query) -> tuple[np.ndarray, np.ndarray, float]:
        """Return films (T,) int64, liked ones first, their weights by member (T, M), and the prior's."""
        n, n_members = len(query.liked), self.basis.n_members
        weights = self.mix.at(n, self.familiarity)
        table = weights[:-1].reshape(-1, n_members)  # by recency
        films, strengths = (each[-self.config.max_history :] for each in (query.liked, query.weights))
        decays = self._decays[:, -len(films) :]
        amounts = decays * strengths
        totals = np.maximum(amounts.sum(axis=1, keepdims=True), TINY)
        by_member = (amounts / totals).T @ table
        disliked = self._latest_disliked(query)
        if len(disliked):
            # What a film of full strength counts in the mean of the history: decays of sum 1 count it so.
            strength = np.maximum(totals / decays.sum(axis=1, keepdims=True), TINY)
            of_dislike = -self.config.dislike_weight / n * (table / strength).sum(axis=0)
            films = np.concatenate([films, disliked])
            by_member = np.concatenate([by_member, np.tile(of_dislike, (len(disliked), 1))])
        return films, by_member, float(weights[-1])

    @staticmethod
    def _latest_disliked(query: Query) -> np.ndarray:
        return query.disliked[-MOST_DISLIKED:]
