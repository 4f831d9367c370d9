"""The metrics of each protocol, and the statement of a history to a model.

met    every item of the history counts alike, as in papers
stars  ratings count by their stars and low ones are dislikes, as on the site; models that do not learn
       from dislikes are trained without them, as on the site
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from predictors.base import Predictor
from predictors.history import HIGHEST_RATING, IMPLICIT_STRENGTH, LIKED_FROM
from predictors.query import Query

if TYPE_CHECKING:
    from datasets.interactions import Interactions
    from datasets.splits.cases import Cases, Split

STATED = MET, STARS = ("met", "stars")

_LEAVE_ONE_OUT = ("HR@10", "NDCG@10", "MRR@10", "MRR")
METRICS = {
    "leave-one-out": _LEAVE_ONE_OUT,
    "given-split": ("Recall@20", "NDCG@20", "HR@20", "Precision@20"),
    "random-split": ("Recall@10", "NDCG@10", "HR@10", "MRR@10", "Precision@10"),
    "guest": ("NDCG@10", "Recall@20", "NDCG@100"),
    "session": ("HR@10", "NDCG@10"),
    "temporal": _LEAVE_ONE_OUT,
    "cold-item": ("Recall@20", "NDCG@20"),
}
HEADLINE = {"given-split": "Recall@20", "cold-item": "Recall@20"}  # what tuning maximises; NDCG@10 elsewhere
LIST_LENGTH = {"given-split": 20, "cold-item": 20}  # k of the metrics beyond accuracy; 10 elsewhere
KNOWN_USERS = ("leave-one-out", "given-split", "random-split")  # all users are in the training rows
UNMASKED_TOO = ("leave-one-out", "temporal")  # RecBole's sequential evaluation does not mask
NEXT_TOO = ("temporal",)  # people have many later rows; a model of what comes next is asked for the first
CAPPED_RECALL = ("guest",)  # recall divided by min(k, targets), Liang et al. 2018


def headline(protocol: str) -> str:
    """Return the metric by which models are tuned and compared under a protocol."""
    return HEADLINE.get(protocol, "NDCG@10")


def list_length(protocol: str) -> int:
    """Return the k of the metrics beyond accuracy."""
    return LIST_LENGTH.get(protocol, 10)


def build_queries(cases: Cases, first: int, last: int, stated: str = MET) -> list[Query]:
    """Return the queries of the cases first..last-1."""
    if stated == MET:
        return [
            Query.from_indices(cases.history[row], seen=cases.seen[row], ages=cases.ages_of(row))
            for row in range(first, last)
        ]
    return [
        star_query(cases.history[row], cases.stars_of(row), cases.seen[row], cases.ages_of(row))
        for row in range(first, last)
    ]


def star_query(
    items: np.ndarray, stars: np.ndarray, seen: np.ndarray, ages: np.ndarray | None = None
) -> Query:
    """Build the query of a history of ratings as the site would, by the rules of `History`.

    items (T,) int64, oldest first; stars (T,) float32, nan without a rating; seen (S,) int64; ages (T,) int64
    """
    has_stars = ~np.isnan(stars)
    disliked = stars < LIKED_FROM  # False for nan
    strength = np.where(has_stars, stars / HIGHEST_RATING, IMPLICIT_STRENGTH).astype(np.float32)
    query = Query.from_indices(items[~disliked], strength[~disliked], items[disliked], seen)
    return replace(
        query,
        rated=items[has_stars],
        stars=stars[has_stars],
        ages=None if ages is None else ages[~disliked],
    )


def training_split(split: Split, kind: type[Predictor], stated: str) -> Split:
    """Return the split with the rows that a model may learn from under a statement of histories."""
    if stated == MET or kind.learns_from_dislikes:
        return split
    validation = None if split.validation is None else liked_rows(split.validation)
    return replace(split, train=liked_rows(split.train), validation=validation)


def liked_rows(interactions: Interactions) -> Interactions:
    """Return the rows without low ratings."""
    return interactions.select(~(interactions.values < LIKED_FROM))
