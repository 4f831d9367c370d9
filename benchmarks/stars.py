"""Measure the root mean squared error of predicted stars on held-out ratings.

    python -m benchmarks.stars [--data FILE] [--seed 1] [--held-out 0.2] [--json FILE]

A seeded share of all ratings is held out; `mf` learns from the rest and predicts each held-out rating from
the other ratings of its visitor, through the same door as the site (`predict_stars`). Beside it what it must
beat: the mean of all ratings, and the baseline, the mean with a bias per visitor and film. FILE is MovieLens
100K by default; --quick changes nothing.
"""

import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks._command import (
    CouldNotMeasure,
    argument_parser,
    data_or_default,
    parse_options,
    print_ratio,
    run,
)
from datasets.interactions import Interactions
from datasets.readers.dataset import read_dataset
from datasets.splits.protocols import latest_of_each_pair
from predictors.history import History, Interaction
from predictors.models.mf.model import LOWEST_STARS, MfPredictor
from predictors.testing import fit_model

BIASES_ALONE = {"groups": 0, "factors": 1, "ridge": 1e6}  # a ridge that leaves no vector


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--held-out", type=float, default=0.2, help="share of the ratings")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parse_options(parser)
    options.data = data_or_default(options.data)
    dataset = read_dataset(options.data)
    ratings = latest_of_each_pair(dataset.interactions)
    ratings = ratings.select(~np.isnan(ratings.values))
    if not len(ratings):
        raise CouldNotMeasure(f"{options.data} holds no ratings")
    held_out = np.random.default_rng(options.seed).random(len(ratings)) < options.held_out
    train, test = ratings.select(~held_out), ratings.select(held_out)
    always_mean = np.full(len(test), train.values.mean(dtype=np.float64))
    figures: dict[str, float] = {"global mean": error_of(always_mean, test)}
    for label, chosen in (("mean and biases", BIASES_ALONE), ("mf", {})):
        before = time.process_time()
        predictor = fit_model(MfPredictor, train, options={"seed": options.seed, **chosen})
        fitted = time.process_time() - before
        before = time.process_time()
        figures[label] = error_of(predicted(predictor, train, test), test)
        cost = 1000 * (time.process_time() - before) / len(np.unique(test.users))
        sys.stdout.write(f"{label}: fitted in {fitted:.1f} CPU-s, {cost:.2f} CPU-ms a visitor\n")
    for label, error in figures.items():
        sys.stdout.write(f"{label:<16} RMSE {error:.4f}\n")
    print_ratio(
        "stars: RMSE of mf", figures["mf"] / figures["mean and biases"], "mean and biases", "at most 1"
    )
    if options.json:
        report = {
            "data_sha256": dataset.sha256,
            "seed": options.seed,
            "held_out": int(held_out.sum()),
            "rmse": figures,
        }
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def predicted(predictor: MfPredictor, train: Interactions, test: Interactions) -> np.ndarray:
    """Return (len(test),) float64 stars, predicted for each user from their training ratings."""
    stars = np.empty(len(test))
    ids = predictor.ids
    for visitor in np.unique(test.users):
        known = range(train.indptr[visitor], train.indptr[visitor + 1])
        history = History(
            Interaction(
                event_id=f"{row:012}",
                visitor="data set",
                kind="rating",
                movie_id=ids[train.items[row]],
                at=datetime.fromtimestamp(int(train.at[row]), tz=UTC),
                value=float(train.values[row]),
            )
            for row in known
        )
        asked = slice(test.indptr[visitor], test.indptr[visitor + 1])
        films = [ids[item] for item in test.items[asked]]
        stars[asked] = list(predictor.predict_stars(history, films).values())
    return stars


def error_of(stars: np.ndarray, test: Interactions) -> float:
    """Return the root mean squared error, in stars."""
    lowest = max(LOWEST_STARS, float(test.values.min()))  # a scale that begins at 1 is known to
    return float(np.sqrt(np.mean((np.maximum(stars, lowest) - test.values) ** 2)))


if __name__ == "__main__":
    run(main)
