"""How much a play should count beside stars: lists for people half of whose ratings are known as plays alone.

    python -m benchmarks.play_weights [--data PATH] [--models ease,als,for_you] [--part validation]

People rate what they have watched. So a random half of the films that somebody rated three stars or better
is stated without its stars, as a play, and the other half with them; low ratings stay dislikes. The rows are
the weights that `EVENT_COUNTING` may give a play, from 0 (plays are ignored) to 1 (as five stars). Users of
the protocol `guest` are held out entirely; what they did later is to be found, among all films. The baseline
is weight 0. --data is MovieLens 100K by default; --quick takes `ease` alone.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks._command import argument_parser, data_or_default, parse_options, print_ratio, run
from datasets.readers.dataset import read_interactions
from datasets.splits.cases import Cases
from datasets.splits.protocols import split_interactions
from evaluation.protocols import liked_rows, star_query
from predictors.base import Predictor
from predictors.history import LIKED_FROM
from predictors.plugins import predictor_class
from predictors.query import Query
from predictors.ranking import top_k
from predictors.run import Run
from predictors.training_data import TrainingData
from ranking_metrics.ranking import hits_of, per_user

WEIGHTS = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
SHARE = "80%"  # of a history is told, the rest is to be found
DEFAULT = 0.5  # of EVENT_COUNTING
METRICS = ("NDCG@10", "Recall@20")


def queries_of(cases: Cases, weight: float, seed: int) -> list[Query]:
    """Return the queries in which half of the liked films are plays of this weight."""
    draw = np.random.default_rng(seed)
    queries = []
    for row in range(len(cases)):
        stars = cases.stars_of(row)
        is_play = (draw.random(len(stars)) < 0.5) & (stars >= LIKED_FROM)
        query = star_query(cases.history[row], np.where(is_play, np.nan, stars), cases.seen[row])
        plays = np.isin(query.liked, cases.history[row][is_play])
        weights = np.where(plays, np.float32(weight), query.weights).astype(np.float32)
        kept = weights > 0
        queries.append(replace(query, liked=query.liked[kept], weights=weights[kept]))
    return queries


def measure(predictor: Predictor, cases: Cases, weight: float, seed: int) -> dict[str, float]:
    """Return the means of the metrics over all cases; who has no liked film left gets no list."""
    values = np.zeros((len(cases), len(METRICS)))
    queries = queries_of(cases, weight, seed)
    for row, query in enumerate(queries):
        if len(query.liked) < predictor.min_history:
            continue
        scores = predictor.score([query])
        scores[0, query.seen] = -np.inf
        wanted = np.zeros((1, predictor.n_items), dtype=bool)
        wanted[0, cases.targets[row]] = True
        ranked, _scores = top_k(scores, 20)
        values[row] = per_user(hits_of(ranked, wanted), wanted.sum(axis=1), METRICS)[0]
    return dict(zip(METRICS, values.mean(axis=0).round(4).tolist(), strict=True))


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--models", default="ease,als,for_you")
    parser.add_argument("--part", default="validation", choices=("validation", "test"))
    parser.add_argument("--seed", type=int, default=1)
    options = parse_options(parser, models="ease")
    data = data_or_default(options.data)
    interactions = read_interactions(data)
    split = split_interactions("guest", interactions, seed=options.seed, part=options.part, n=(SHARE,))
    (cases,) = split.cases
    for name in options.models.split(","):
        kind = predictor_class(name)
        keep = (lambda rows: rows) if kind.learns_from_dislikes else liked_rows
        validation = None if split.validation is None else keep(split.validation)
        predictor = kind.fit(TrainingData(keep(split.train), validation), run=Run(seed=options.seed))
        found = {weight: measure(predictor, cases, weight, options.seed) for weight in WEIGHTS}
        for weight, figures in found.items():
            print(json.dumps({"data": data.name, "model": name, "weight": weight} | figures), flush=True)
        ratio = found[DEFAULT]["NDCG@10"] / found[0]["NDCG@10"]
        print_ratio(
            f"play_weights: {name}, plays at {DEFAULT}, NDCG@10", ratio, "plays ignored", "at least 1"
        )


if __name__ == "__main__":
    run(main)
