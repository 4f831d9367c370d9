"""What one click changes: lists after single clicks on well-known films, and what one more click replaces.

    python -m benchmarks.clicks [--data ml-100k,ml-1m] [--seed 1] [--write NAME]

Fits For you as the site does, without low ratings, on everybody but the people whom protocol session holds
out, and asks it twice. After one click on each of the 300 best-known films: the share of ten films that two
of the lists have in common, the share that stands in the list of popular films, how many films they hold.
Then one more click of each held-out person, on the film that they met after the last n: how many of the ten
films that were shown before are gone, and for how many people none is. The baseline is popularity, whose
lists are the same for everybody. --data is MovieLens 100K by default; --quick tries fewer weights of For you.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._command import argument_parser, data_or_default, parse_options, print_ratio, run
from benchmarks.accuracy import RESULTS
from datasets.readers.dataset import read_dataset
from datasets.splits.cases import Split
from datasets.splits.protocols import latest_of_each_pair, split_interactions
from evaluation.benchmark_page import write_table
from evaluation.protocols import STARS, training_split
from evaluation.provenance import commit
from predictors.base import Predictor
from predictors.history import IMPLICIT_STRENGTH
from predictors.models.for_you.config import ForYouConfig
from predictors.models.for_you.model import ForYouPredictor
from predictors.models.popular import PopularPredictor
from predictors.query import Query
from predictors.ranking import top_k
from predictors.run import Run
from predictors.training_data import TrainingData
from ranking_metrics.beyond_accuracy import personalization

WELL_KNOWN, DEPTH, BATCH = 300, 10, 100
LENGTHS = (3, 10, 50)
FEW_TRIES: dict[str, Any] = {"tries": 100, "visitors": 100}  # for a fit in seconds
COLUMNS = (
    "data", "films in common", "popular films", "films shown",
    *(f"replaced after {n}" for n in LENGTHS), f"none replaced after {LENGTHS[-1]}",
)  # fmt: skip


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--data", help="comma-separated folders")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", metavar="NAME", help="of a file in benchmarks/results")
    options = parse_options(parser)
    folders = [data_or_default(Path(each) if each else None) for each in (options.data or "").split(",")]
    config = ForYouConfig(**FEW_TRIES) if options.quick else ForYouConfig()
    rows = []
    for folder in folders:
        rows.append(list(measure(folder, options.seed, config)))
        sys.stdout.write("  ".join(rows[-1]) + "\n")
        print_ratio(f"clicks: films in common of two lists, {folder.name}", float(rows[-1][1]), "popularity")
    if options.write:
        names = ",".join(folder.name for folder in folders)
        command = f"python -m benchmarks.clicks --data {names} --seed {options.seed}"
        table = {"command": command, "revision": commit(), "columns": list(COLUMNS), "rows": rows}
        write_table(RESULTS, options.write, table)


def measure(folder: Path, seed: int, config: ForYouConfig) -> Iterator[str]:
    """Yield the cells of one data set, in the order of COLUMNS."""
    rows = latest_of_each_pair(read_dataset(folder).interactions)
    split = split_interactions("session", rows, seed=seed, n=[str(n) for n in LENGTHS])
    liked = training_split(split, ForYouPredictor, STARS)
    data = TrainingData(liked.train, liked.validation)
    for_you = ForYouPredictor.fit(data, config, Run(seed=seed))
    popular = lists_of(PopularPredictor.fit(data), [Query.from_indices([])])[0]
    counts = np.bincount(liked.train.items, minlength=data.n_items)
    clicked = np.argsort(-counts, kind="stable")[:WELL_KNOWN]
    lists = lists_of(for_you, [Query.from_indices([film], [IMPLICIT_STRENGTH]) for film in clicked])
    yield folder.name
    counts = np.bincount(lists.ravel(), minlength=data.n_items)
    yield f"{1 - personalization(counts, *lists.shape):.3f}"
    yield f"{np.isin(lists, popular).mean():.3f}"
    yield str(int((counts > 0).sum()))
    replaced = [replaced_by_a_click(for_you, split, n) for n in LENGTHS]
    for each in replaced:
        yield f"{each.mean():.2f}"
    yield f"{(replaced[-1] == 0).mean():.3f}"


def replaced_by_a_click(predictor: Predictor, split: Split, n: int) -> np.ndarray:
    """Return (C,) for each person of the test how many of ten films go when they click on one more.

    The film that is clicked on is the one that the protocol asks for; it leaves the list in any case.
    """
    (cases,) = (each for each in split.cases if each.label == f"n={n}")
    before, after = [], []
    for person in range(len(cases)):
        history, clicked = cases.history[person], cases.targets[person][:1]
        strengths = np.append(np.ones(len(history), np.float32), np.float32(IMPLICIT_STRENGTH))
        before.append(Query.from_indices(history, strengths[:-1]))
        after.append(Query.from_indices(np.append(history, clicked), strengths))
    pairs = zip(lists_of(predictor, before), lists_of(predictor, after), strict=True)
    return np.array([len(np.setdiff1d(old, new)) for old, new in pairs])


def lists_of(predictor: Predictor, queries: list[Query]) -> np.ndarray:
    """Return (len(queries), 10) the best unseen films."""
    lists = []
    for first in range(0, len(queries), BATCH):
        some = queries[first : first + BATCH]
        scores = predictor.score(some)
        for row, query in enumerate(some):
            scores[row, query.seen] = -np.inf
        lists.append(top_k(scores, DEPTH)[0])
    return np.concatenate(lists)


if __name__ == "__main__":
    run(main)
