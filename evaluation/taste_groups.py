"""Groups of people with a like taste: found in ratings, and measured on ratings they were not found in.

Every person's ratings are dealt into two halves. From the first come the groups: user vectors of a matrix
factorisation with learned shrinkage, brought into the space of predicted stars, where k-means looks for
directions. Everything that is then said of the groups comes from the second half:

    profile of group g    for each of the 100 most rated films the shrunken mean of its members' stars above
                          what film and member give on average
    cosine of g and h     between profiles of one half of g's members and one half of h's. With g = h this
                          is how well a group agrees with itself; groups that are only chance score as low
                          there as anywhere
    lift of a film in g   (liked by members + s * p) / (members who rated + s) / p, with p the share of
                          all who rated it that liked it ("liked": four stars, or a like without stars)

Groups that are known beforehand, as in made-up data, need no first half: all ratings measure them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from scipy.cluster.vq import kmeans2

from evaluation.plots import SUFFIXES
from predictors.epoch_loop import EpochLoop
from predictors.models.mf.groups import fit_groups

if TYPE_CHECKING:
    from datasets.interactions import Interactions

LIKED_STARS = 4.0
FEWEST_RATINGS = 10  # of a person who is put into a group
FEWEST_PEOPLE = 10  # for each group that is looked for
FACTORS, EPOCHS = 8, 15
RESTARTS = 12  # of k-means
PROFILE_FILMS = 100  # the most rated ones: of others too few members know anything
PROFILE_RIDGE = 3.0  # ratings at no difference that every mean of a profile starts with
LIFT_RIDGE = 10.0  # s
LABEL_RIDGE = 100.0  # ratings at no difference that every mean of a label starts with
LEAST_ABOVE = 0.03  # stars; less is no preference worth naming
FEWEST_LIKES = 5  # of a film that is named for a group, so that no single person shows through
SPLITS = 10  # of the members into halves; cosines are means over them


class TooFewPeople(Exception):
    """There are not enough people with enough ratings; the message says how many are needed."""


@dataclass(frozen=True)
class FilmLift:
    """Holds a film that a group likes more than others: `likes` of `raters` among its members."""

    item: int
    lift: float
    likes: int
    raters: int


@dataclass(frozen=True)
class Group:
    """`users` are row indices of the interactions; `films` have the highest lift first."""

    name: str
    users: np.ndarray
    films: tuple[FilmLift, ...]


@dataclass(frozen=True)
class Analysis:
    """groups  largest first
    cosines (K, K) float64, symmetric; the diagonal is how far a group agrees with itself
    measured  the ratings that it is measured on, of the groups' people
    """

    groups: tuple[Group, ...]
    cosines: np.ndarray
    measured: Interactions

    @property
    def n_people(self) -> int:
        return sum(len(group.users) for group in self.groups)

    @property
    def within(self) -> float:
        return float(np.nanmean(np.diag(self.cosines)))

    @property
    def between(self) -> float:
        """nan for a single group"""
        others = self.cosines[~np.eye(len(self.cosines), dtype=bool)]
        return float(np.nanmean(others)) if len(others) else float("nan")


def analyse(
    ratings: Interactions,
    *,
    n_groups: int = 6,
    known: Mapping[str, str] | None = None,
    n_films: int = 6,
    seed: int = 1,
) -> Analysis:
    """Find groups in these ratings, or take the `known` ones (user id -> name), and measure them.

    Raises TooFewPeople.
    """
    rng = np.random.default_rng(seed)
    if known is None:
        first = _half_of_each(ratings, rng)
        group_of = found_groups(ratings.select(first), ratings, n_groups, seed)
        measured = ratings.select(~first)
        names = [str(number + 1) for number in range(n_groups)]
    else:
        measured = ratings
        names = sorted(set(known.values()))
        number = {name: index for index, name in enumerate(names)}
        group_of = np.array(
            [number[known[user]] if user in known else -1 for user in map(str, ratings.user_ids)]
        )
        if not (group_of >= 0).any():
            raise TooFewPeople("none of the known groups' people has a rating")
    sizes = np.bincount(group_of[group_of >= 0], minlength=len(names))
    order = [group for group in np.argsort(-sizes, kind="stable") if sizes[group]]
    if known is None:
        names = [names[order.index(group)] if group in order else "" for group in range(len(names))]
    ours = measured.select(group_of[measured.users] >= 0)
    groups = tuple(
        Group(
            names[group], np.flatnonzero(group_of == group), _films_by_lift(ours, group_of == group, n_films)
        )
        for group in order
    )
    return Analysis(groups, _cosines(ours, [group.users for group in groups], rng), ours)


def found_groups(known: Interactions, ratings: Interactions, n_groups: int, seed: int) -> np.ndarray:
    """Return (n_users,) the group of each user, -1 with too few ratings. Raises TooFewPeople.

    The groups are found in `known`, one half of `ratings`.
    """
    stars = known.select(~np.isnan(known.values))
    counts = np.bincount(ratings.users[~np.isnan(ratings.values)], minlength=ratings.n_users)
    people = np.flatnonzero(counts >= FEWEST_RATINGS)
    if len(people) < max(FEWEST_PEOPLE * n_groups, 1):
        raise TooFewPeople(
            f"{n_groups} groups need {FEWEST_PEOPLE * n_groups} people with {FEWEST_RATINGS} ratings each; "
            f"there are {len(people)}"
        )
    matrix = sparse.csr_matrix(
        (stars.values, (stars.users, stars.items)), shape=(ratings.n_users, ratings.n_items)
    )
    factors = fit_groups(matrix, n_dims=FACTORS, loop=EpochLoop(EPOCHS), groups=1, seed=seed)
    above = sparse.csr_matrix(
        (matrix.data - factors.mean - factors.item_biases[matrix.indices], matrix.indices, matrix.indptr),
        shape=matrix.shape,
    )
    vectors = factors.fold_in(above, np.ones(above.nnz))[people, 1:].astype(np.float64)
    vectors -= vectors.mean(axis=0)
    # Two people are as far apart as their predicted stars: distance in the metric of the films' vectors.
    metric = np.linalg.cholesky(factors.items.T @ factors.items + 1e-6 * np.eye(FACTORS))
    directions = _unit(vectors @ metric)
    group_of = np.full(ratings.n_users, -1)
    group_of[people] = _clustered(directions, n_groups, seed)
    return group_of


def preferred(analysis: Analysis, labels_of: Mapping[int, Sequence[str]], limit: int) -> list[list[str]]:
    """Return for each group the labels, such as genres, whose films it rates highest above average.

    The best come first, no more than `limit`; `labels_of` is by item index. A label that a group rates as
    everybody does is left out.
    """
    rated, left = _above_average(analysis.measured)
    users, items = analysis.measured.users[rated], analysis.measured.items[rated]
    names = sorted({label for labels in labels_of.values() for label in labels})
    member = np.zeros((len(names), analysis.measured.n_items))
    for item, labels in labels_of.items():
        for label in labels:
            member[names.index(label), item] = 1
    found = []
    for group in analysis.groups:
        here = np.isin(users, group.users)
        sums, counts = (
            member @ np.bincount(items[here], weights, analysis.measured.n_items)
            for weights in (left[here], None)
        )
        above = sums / (counts + LABEL_RIDGE)
        best = [label for label in np.argsort(-above, kind="stable") if above[label] >= LEAST_ABOVE]
        found.append([names[label] for label in best[:limit]])
    return found


def agreement(one: np.ndarray, other: np.ndarray) -> float:
    """Compare two partitions of the same people: 1 if equal, 0 as by chance (adjusted Rand index,
    Hubert and Arabie 1985, eq. 5)."""
    table = np.zeros((one.max() + 1, other.max() + 1))
    np.add.at(table, (one, other), 1)

    def pairs(counts: np.ndarray) -> float:
        return float((counts * (counts - 1) / 2).sum())

    both, rows, columns = pairs(table), pairs(table.sum(axis=1)), pairs(table.sum(axis=0))
    chance = rows * columns / pairs(np.array([table.sum()]))
    largest = (rows + columns) / 2
    return 1.0 if largest == chance else (both - chance) / (largest - chance)


def _half_of_each(ratings: Interactions, rng: np.random.Generator) -> np.ndarray:
    """Draw (N,) bool, a random half of each user's rows."""
    order = np.lexsort((rng.random(len(ratings)), ratings.users))
    half = np.empty(len(ratings), dtype=bool)
    half[order] = (np.arange(len(ratings)) - ratings.indptr[ratings.users[order]]) % 2 == 0
    return half


def _clustered(points: np.ndarray, n_groups: int, seed: int) -> np.ndarray:
    """Return (R,) the cluster of each point, by the best of several runs of k-means."""
    best, least = np.zeros(len(points), dtype=int), np.inf
    for run in range(RESTARTS if n_groups > 1 else 0):
        centres, member_of = kmeans2(points, n_groups, minit="++", rng=np.random.default_rng([seed, run]))
        distance = float(((points - centres[member_of]) ** 2).sum())
        if distance < least:
            best, least = member_of, distance
    return best


def _above_average(ratings: Interactions) -> tuple[np.ndarray, np.ndarray]:
    """Return (M,) rows with stars, and (M,) their stars less the averages of film and person."""
    rated = np.flatnonzero(~np.isnan(ratings.values))
    users, items = ratings.users[rated], ratings.items[rated]
    left = ratings.values[rated].astype(np.float64)
    left -= left.mean()
    for rows, number in ((items, ratings.n_items), (users, ratings.n_users)):
        means = np.bincount(rows, left, number) / (np.bincount(rows, minlength=number) + PROFILE_RIDGE)
        left -= means[rows]
    return rated, left


def _cosines(ratings: Interactions, groups: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Return (K, K) cosines between profiles of halves of groups, means over random halvings."""
    rated, left = _above_average(ratings)
    users, items = ratings.users[rated], ratings.items[rated]
    most_rated = np.argsort(-np.bincount(items, minlength=ratings.n_items), kind="stable")[:PROFILE_FILMS]
    kept = np.isin(items, most_rated)
    users, items, left = users[kept], items[kept], left[kept]
    total = np.zeros((len(groups), len(groups)))
    for _ in range(SPLITS):
        half_of = np.full(ratings.n_users, -1)
        for group, members in enumerate(groups):
            half_of[rng.permutation(members)] = 2 * group + np.arange(len(members)) % 2
        profiles = _unit(_profiles(half_of[users], items, left, 2 * len(groups), ratings.n_items))
        all_four = (profiles @ profiles.T).reshape(len(groups), 2, len(groups), 2)
        # A half never meets itself: one half of g with the other half of h, both ways.
        total += (all_four[:, 0, :, 1] + all_four[:, 1, :, 0]) / 2
    return total / SPLITS


def _profiles(rows: np.ndarray, items: np.ndarray, left: np.ndarray, n_rows: int, n_items: int) -> np.ndarray:
    """Return (n_rows, n_items) shrunken means; entries with row -1 belong to nobody."""
    here = rows >= 0
    cell = rows[here] * n_items + items[here]
    sums = np.bincount(cell, left[here], n_rows * n_items)
    counts = np.bincount(cell, minlength=n_rows * n_items)
    return (sums / (counts + PROFILE_RIDGE)).reshape(n_rows, n_items)


def _films_by_lift(ratings: Interactions, members: np.ndarray, n_films: int) -> tuple[FilmLift, ...]:
    liked = np.isnan(ratings.values) | (ratings.values >= LIKED_STARS)
    inside = members[ratings.users]

    def count(rows: np.ndarray) -> np.ndarray:
        return np.bincount(ratings.items[rows], minlength=ratings.n_items)

    likes, raters = count(liked & inside), count(inside)
    everywhere = (count(liked) + 1) / (count(np.ones(len(ratings), dtype=bool)) + 2)
    lift = (likes + LIFT_RIDGE * everywhere) / (raters + LIFT_RIDGE) / everywhere
    named = np.flatnonzero(likes >= FEWEST_LIKES)
    best = named[np.lexsort((named, -lift[named]))][:n_films]
    return tuple(FilmLift(int(item), float(lift[item]), int(likes[item]), int(raters[item])) for item in best)


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


# -- the picture ---------------------------------------------------------------------------------


def draw(analysis: Analysis, labels: Sequence[str], path: Path, *, title: str) -> None:
    """Write a heatmap of the cosines beside the sizes of the groups. Raises ValueError on the suffix."""
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"a plot is one of {', '.join(SUFFIXES)}, not {path.suffix or 'without a suffix'}")
    import matplotlib as mpl
    from matplotlib.figure import Figure

    n = len(labels)
    positions = range(n)
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "taste groups", "font.size": 10}):
        figure = Figure(figsize=(4.5 + 0.8 * n, 2.2 + 0.6 * n), dpi=150, layout="constrained")
        heat, bars = figure.subplots(1, 2, width_ratios=[3, 1], sharey=True)
        heat.imshow(analysis.cosines, cmap="RdBu_r", vmin=-1, vmax=1)
        for row in positions:
            for column in positions:
                value = analysis.cosines[row, column]
                ink = "white" if abs(value) > 0.6 else "#222222"
                heat.text(column, row, f"{value:.2f}", ha="center", va="center", color=ink)
        heat.set_xticks(positions, labels, rotation=30, ha="right")
        heat.set_yticks(positions, labels)
        heat.set_title("Cosine of group profiles", loc="left", fontsize=10)
        sizes = [len(group.users) for group in analysis.groups]
        bars.barh(positions, sizes, color="#0072B2")
        for position, size in zip(positions, sizes, strict=True):
            bars.text(size, position, f" {size:,}", va="center")
        bars.set_title("People", loc="left", fontsize=10)
        bars.set_xlim(0, 1.3 * max(sizes))
        bars.spines[["top", "right"]].set_visible(False)
        figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
