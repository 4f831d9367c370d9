"""Measure the distance of `mf` from the best possible prediction on synthetic ratings with a known floor.

    python -m benchmarks.synthetic [--seeds 1,2,3] [--held-out 0.2] [--json FILE]

Each seed draws a world of `datasets.synthetic` and holds a share of its ratings out. Every held-out
rating is predicted from the other ratings of its visitor through the same door as on the site
(`predict_stars`). The options of `mf` are chosen on a tenth of the training ratings; the held-out ones
are looked at once. Two ratios: of the mean squared errors on the same held-out rows, and, free of the luck
in those rows' noise, 1 + (mean squared distance from the true expectation) / (mean true variance). The
baseline is the true expectation; --quick draws one world.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks._command import argument_parser, parse_options, print_ratio, run
from benchmarks.stars import predicted
from datasets.interactions import Interactions
from datasets.synthetic import World, WorldOptions, make_world, trivial_errors
from predictors.models.mf.model import LOWEST_STARS, MfPredictor
from predictors.testing import fit_model

PLAIN = {"groups": 0, "factors": 32, "epochs": 15}
CANDIDATES = (
    {"groups": 1, "factors": 4, "epochs": 30},
    {"groups": 4, "factors": 4, "epochs": 30, "item_groups": 8},
    {"groups": 8, "factors": 4, "epochs": 30, "item_groups": 8},
    {"groups": 8, "factors": 6, "epochs": 30, "item_groups": 8},
)
VALIDATION_SHARE = 0.1


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--seeds", default="1,2,3", help="comma-separated, one world each")
    parser.add_argument("--held-out", type=float, default=0.2, help="share of the ratings")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parse_options(parser, seeds="1")
    rows = [measured(int(seed), options.held_out) for seed in options.seeds.split(",")]
    for row in rows:
        sys.stdout.write(f"seed {row['seed']}: {row['chosen']}, {row['cpu_seconds']:.1f} CPU-s to fit\n")
    names = list(rows[0]["mse"])
    floor = float(np.mean([row["mse"]["truth"] for row in rows]))
    sys.stdout.write(
        f"{'mean over seeds':<22} {'MSE':>7} {'RMSE':>7} {'MSE / truth':>12} {'RMSE / truth':>13}\n"
    )
    for name in names:
        error = float(np.mean([row["mse"][name] for row in rows]))
        line = f"{name:<22} {error:>7.4f} {error**0.5:>7.4f} {error / floor:>12.4f}"
        sys.stdout.write(f"{line} {(error / floor) ** 0.5:>13.4f}\n")
    sys.stdout.write(f"expected floor (MSE)   {np.mean([row['floor'] for row in rows]):>7.4f}\n")
    excess = [row["excess"] for row in rows]
    sys.stdout.write(
        f"mf in groups above the floor, free of the rows' luck: {np.mean(excess):.2%} of the MSE, "
        f"worst {max(excess):.2%}\n"
    )
    print_ratio("synthetic: MSE of mf in groups", 1 + float(np.mean(excess)), "the floor", "at most 1.02")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def measured(seed: int, share: float) -> dict:
    """Generate one data set and return the error of every model on its held-out rows."""
    world = make_world(WorldOptions(seed=seed))
    rng = np.random.default_rng(seed + 1_000)
    held_out = rng.random(len(world.stars)) < share
    ratings = as_interactions(world)
    train, test = ratings.select(~held_out), ratings.select(held_out)
    truth, variance = world.expected(test.users, test.items)
    chosen = best_on_validation(train, rng)
    started = time.process_time()
    mf = fit_model(MfPredictor, train, options=chosen)
    cpu_seconds = time.process_time() - started
    by_mf = np.maximum(predicted(mf, train, test), LOWEST_STARS)
    plain = predicted(fit_model(MfPredictor, train, options=PLAIN), train, test)
    mse = {
        **{name: error for name, error in trivial_errors(world, held_out).items() if name != "truth"},
        "mf without groups": float(np.mean((plain - test.values) ** 2)),
        "mf in groups": float(np.mean((by_mf - test.values) ** 2)),
        "truth": float(np.mean((truth - test.values) ** 2)),
    }
    return {
        "seed": seed,
        "chosen": chosen,
        "cpu_seconds": cpu_seconds,
        "held_out": len(test),
        "mse": mse,
        "floor": float(variance.mean()),
        "excess": float(np.mean((by_mf - truth) ** 2) / variance.mean()),
    }


def best_on_validation(train: Interactions, rng: np.random.Generator) -> dict:
    """Return the candidate that predicts a random tenth of the training ratings best from the others."""
    aside = rng.random(len(train)) < VALIDATION_SHARE
    rest, asked = train.select(~aside), train.select(aside)

    def error(options: dict) -> float:
        said = predicted(fit_model(MfPredictor, rest, options=options), rest, asked)
        return float(np.mean((said - asked.values) ** 2))

    return min(CANDIDATES, key=error)


def as_interactions(world: World) -> Interactions:
    return Interactions.from_columns(
        world.users,
        world.items,
        world.stars,
        world.at,
        user_ids=world.user_ids,
        item_ids=world.item_ids,
    )


if __name__ == "__main__":
    run(main)
