"""The dial of For you, from unexpected to well-known films: what each point of it finds, on people held out.

    python -m benchmarks.dial [--data ml-1m] [--seed 1] [--n 1,5,20] [--write NAME]

Fits For you once and asks it at five points of the dial, after each number of films: NDCG@10 of the film
after the last n (protocol session), NDCG@10 of all films after the first n over that of popularity (guest, in
time order), how many of ten films two people have in common, how many different films a thousand people see.
Settings are the model's own; nothing is chosen here. --write puts the table where the document reads it.
The baseline is popularity. --data is MovieLens 100K by default; --quick asks after 5 films alone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks._command import argument_parser, data_or_default, parse_options, print_ratio, run
from benchmarks.accuracy import RESULTS
from benchmarks.clicks import FEW_TRIES
from datasets.readers.dataset import read_dataset
from datasets.splits.cases import Split
from datasets.splits.protocols import latest_of_each_pair, split_interactions
from evaluation.benchmark_page import write_table
from evaluation.conditions import Outcome, evaluate
from evaluation.provenance import commit
from predictors.base import Predictor
from predictors.models.for_you.config import ForYouConfig
from predictors.models.for_you.model import ForYouPredictor
from predictors.models.popular import PopularPredictor
from predictors.run import Run
from predictors.training_data import TrainingData

POINTS = (-1.0, -0.5, 0.0, 0.5, 1.0)  # unexpected to well-known
METRIC = "NDCG@10"
COLUMNS = ("n", "point", "next film", "later / popularity's", "films in common", "films per 1,000")


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--n", default="1,5,20")
    parser.add_argument("--write", metavar="NAME", help="of a file in benchmarks/results")
    options = parse_options(parser, n="5")
    options.data = data_or_default(options.data)
    config = ForYouConfig(**FEW_TRIES) if options.quick else ForYouConfig()
    rows = list(measure(options.data, options.n.split(","), options.seed, config))
    for row in [list(COLUMNS), *rows]:
        sys.stdout.write("  ".join(f"{cell:>20}" for cell in row) + "\n")
    for row in rows:
        if float(row[1]) == 0:
            print_ratio(f"dial: all later films after {row[0]}, NDCG@10", float(row[3]), "popularity")
    if options.write:
        command = (
            f"python -m benchmarks.dial --data {options.data.name} --n {options.n} --seed {options.seed}"
        )
        table = {"command": command, "revision": commit(), "columns": list(COLUMNS), "rows": rows}
        write_table(RESULTS, options.write, table)


def measure(data: Path, lengths: Sequence[str], seed: int, config: ForYouConfig) -> Iterator[list[str]]:
    """Yield a row of texts for each length and point of the dial."""
    rows = latest_of_each_pair(read_dataset(data).interactions)
    following = split_interactions("session", rows, seed=seed, n=lengths)
    later = split_interactions("guest", rows, seed=seed, order="time", n=lengths)
    given = TrainingData(following.train, following.validation)  # both hold the same people out
    by_popularity = _ask(PopularPredictor.fit(given), later)
    for_you = ForYouPredictor.fit(given, config, Run(seed=seed))
    for point in POINTS:
        at_point = for_you.with_familiarity(point)
        for next_film, all_later, popular in zip(
            _ask(at_point, following), _ask(at_point, later), by_popularity, strict=True
        ):
            yield [
                next_film.label.removeprefix("n="),
                f"{point:g}",
                f"{_mean(next_film):.4f}",
                f"{_mean(all_later) / _mean(popular):.3f}",
                f"{1 - next_film.totals['personalization@10']:.3f}",
                f"{next_film.totals['films_per_1000@10']:.0f}",
            ]


def _ask(predictor: Predictor, split: Split) -> list[Outcome]:
    return evaluate(predictor, split, metrics=(METRIC,))


def _mean(outcome: Outcome) -> float:
    return float(outcome.values[:, 0].mean())


if __name__ == "__main__":
    run(main)
