"""The fit of For you: join the members, then fit their weights on visitors whom no member met."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from predictors.base import Predictor, Query
from predictors.errors import TrainingError
from predictors.models.for_you.balance import DEPTH, Balance, Cases, Popularity, cases_at
from predictors.models.for_you.basis import ItemBasis
from predictors.models.for_you.config import ForYouConfig
from predictors.models.for_you.members import PRIOR, follows_order, member_class
from predictors.models.for_you.mix import AIMS, KNOTS, Mix, fit_mix, fit_similar
from predictors.run import Run
from predictors.training_data import TrainingData

if TYPE_CHECKING:
    from datasets.interactions import Interactions
    from predictors.capabilities import AddsUpItems

logger = logging.getLogger(__name__)

KEPT, KEPT_IN_ALL = (60, 300), 3_600_000  # targets of each member: of a film, of the catalogue
FEWEST_VISITORS = 50  # people of the validation rows; with fewer, some are held out of the training rows
HELD_OUT_SHARE = 10  # one person in so many
WELL_KNOWN = 300  # most met films, whose similar films are to leave popular ones out
FEWEST_CASES = 10  # visitors without which nothing is fitted at a length


@dataclass(frozen=True)
class JoinedMembers:
    """Holds the fitted members as one basis, popularity's scores, and the members that were left out and why.

    popular  (n_items,) float32 scores of the popular model
    names    of the members, in the order of the basis
    """

    basis: ItemBasis
    popular: np.ndarray
    names: list[str]
    left_out: dict[str, str]

    def select(self, members: np.ndarray) -> JoinedMembers:
        """Return some members only, by their rows (K,) int64."""
        names = [self.names[row] for row in members]
        return replace(self, basis=self.basis.select(members), names=names)


def find_usable(data: TrainingData, config: ForYouConfig) -> tuple[list[str], dict[str, str]]:
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


def without_members(config: ForYouConfig, names: Mapping[str, str]) -> ForYouConfig:
    """Return the configuration without some members."""
    members = tuple(name for name in config.members if name not in names)
    configs = {name: own for name, own in config.member_configs.items() if name in members}
    return replace(config, members=members, member_configs=configs)


def join_members(data: TrainingData, config: ForYouConfig, run: Run) -> JoinedMembers:
    """Fit the members and join them, without those whose fit fails. Raises TrainingError if all fail."""
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
    return JoinedMembers(basis, popular, list(fitted), left_out)


@dataclass(frozen=True)
class Visitors:
    """Holds rows of users whom the members never saw.

    counts    (n_items,) int64 training users of each item
    in_order  whether the rows of a user have an order
    """

    rows: Interactions
    counts: np.ndarray
    in_order: bool


def fit_weights(
    joined: JoinedMembers, data: Visitors, *, config: ForYouConfig, run: Run
) -> tuple[Mix, np.ndarray, list[dict[str, Any]]]:
    """Return the fitted mix, weights (M,) of similar films, figures of each length. Raises TrainingError."""
    basis, names, popularity = joined.basis, joined.names, Popularity.from_scores(joined.popular)
    order_free = tuple(row for row, name in enumerate(names) if not follows_order(name)) or (0,)
    films = np.argsort(-data.counts, kind="stable")[:WELL_KNOWN]
    alone = [(np.array([film]), np.array([film])) for film in films]
    known = Cases.from_histories(basis, popularity, data.counts, alone, config.recencies)
    popular = np.argsort(-joined.popular, kind="stable")[:DEPTH]
    one_film: list[Cases] = []

    def balance_at(n: int) -> Balance | None:
        shown = cases_at(data.rows, n, np.random.default_rng([run.seed, n]), in_order=data.in_order)
        if min(len(pairs) for pairs in shown) < (FEWEST_CASES if n > KNOTS[0] else 1):
            return None
        following, later, taste = (
            Cases.from_histories(basis, popularity, data.counts, pairs, config.recencies) for pairs in shown
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


def hold_out_visitors(
    data: TrainingData, config: ForYouConfig, seed: int
) -> tuple[TrainingData, Interactions]:
    """Return the data to fit the members on, and the rows of visitors whom they then never saw."""
    from datasets.splits.protocols import latest_of_each_pair

    train, validation = data.train, data.validation
    if validation is not None and len(validation):
        new = validation.select(~np.isin(validation.users, train.users))
        users = np.unique(new.users)
        if len(users) >= FEWEST_VISITORS:
            some = np.random.default_rng(seed).permutation(users)[: config.visitors]
            return TrainingData(train), latest_of_each_pair(new.select(np.isin(new.users, some)))
    counts = np.diff(train.indptr)
    eligible = np.flatnonzero(counts > 1)
    wanted = min(config.visitors, len(eligible) // HELD_OUT_SHARE)
    if wanted < 2:
        raise TrainingError(
            f"{len(eligible)} users have two items or more; the weights of for_you need "
            f"{2 * HELD_OUT_SHARE} to be fitted on one tenth of them"
        )
    chosen = eligible[np.argsort(_drawn_by_id(train.user_ids[eligible], seed), kind="stable")[:wanted]]
    held_out = np.isin(train.users, chosen)
    return TrainingData(train.select(~held_out)), latest_of_each_pair(train.select(held_out))


def _drawn_by_id(user_ids: np.ndarray, seed: int) -> np.ndarray:
    """Return (N,) uint64 random numbers that depend on the seed and the id alone: new users move no other.

    A retraining then asks nearly the same visitors as the one before, and lists change by what is new.
    """
    digests = [hashlib.blake2b(f"{seed}:{each}".encode(), digest_size=8).digest() for each in user_ids]
    return np.frombuffer(b"".join(digests), dtype=np.uint64)


def describe_mix(mix: Mix, recencies: Sequence[float], names: Sequence[str]) -> dict[str, Any]:
    """Return the weights that are not 0, by aim, length, and member with recency."""
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
