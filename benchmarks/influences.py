"""Reasons: do they name the film that leaving each one out names, and what do they cost?

    python -m benchmarks.influences [--data PATH --models var/models] [--visitors 100]

Loads the active version of every model that a site trained, or trains those of FITTED, and takes the
histories of visitors with 60 to 200 liked films. For the ten best films of each list:

    agreement  share of films where the film that the card names is the one whose absence lowers the score
               most, when every film of the history is left out in turn (the baseline)
    CPU-ms     a list of 24 with its reasons, and without; the ratio is the price of a reason

Times are CPU-milliseconds of the process (user + system), one thread, median over the visitors.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks._command import (
    CouldNotMeasure,
    argument_parser,
    data_or_default,
    parse_options,
    print_ratio,
    run,
)
from datasets.readers.dataset import read_dataset
from predictors.base import Predictor
from predictors.errors import PredictorError
from predictors.influences import Influences, without_liked
from predictors.plugins import MODELS, predictor_class
from predictors.query import Query
from predictors.serving.registry import ModelStore
from predictors.training_data import TrainingData

LENGTHS = (60, 200)
TOP, LISTED = 10, 24
FITTED = ("neighbours", "ease", "als", "linear_sequence")


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--data", type=Path, help="ratings by the site's film ids; MovieLens 100K by default")
    parser.add_argument("--models", type=Path, help="folder of a site's models")
    parser.add_argument("--visitors", type=int, default=100)
    options = parse_options(parser, visitors=5)
    data = data_or_default(options.data)
    rows, table = read_dataset(data).interactions, Table("model", "agreement", "CPU-ms", "without", "ratio")
    for name, predictor in (_active(options.models) if options.models else _fitted(rows)).items():
        queries = _histories(predictor, rows, options.visitors)
        if queries and (row := measure(predictor, queries)):
            table.add_row(name, *row)
            print_ratio(f"influences: a list with its reasons, {name}", float(row[-1]), "the list without")
    if not table.rows:
        raise CouldNotMeasure(f"no model in {options.models} knows the films of {data}")
    Console().print(table)


def _active(folder: Path) -> dict[str, Predictor]:
    store, found = ModelStore(folder), {}
    for name in MODELS:
        with suppress(PredictorError):  # none is active, or it is of another version
            found[name] = store.load(name, store.current(name))
    return found


def _fitted(rows: Any) -> dict[str, Predictor]:
    return {name: predictor_class(name).fit(TrainingData(rows)) for name in FITTED}


def measure(predictor: Predictor, queries: list[Query]) -> tuple[str, ...]:
    """Return agreement and costs in words; empty for a model that gives no reasons."""
    same: list[bool] = []
    for query in queries:
        best = predictor.retrieve([query], TOP)[0][0]
        named = predictor.reasons(query, best)
        for reasons, first in zip(named, _first_of_all_falls(predictor, query, best), strict=True):
            if reasons and first is not None:
                same.append(reasons[0].movie_id == predictor.ids[first])
    if not same:
        return ()

    def ranked(query: Query) -> np.ndarray:
        return predictor.retrieve([query], LISTED)[0][0]

    without = _cpu_ms(queries, ranked)
    with_reasons = _cpu_ms(queries, lambda query: predictor.reasons(query, ranked(query)))
    ratio = with_reasons / max(without, 1e-3)
    return f"{np.mean(same):.3f}", f"{with_reasons:.1f}", f"{without:.1f}", f"{ratio:.1f}"


def _first_of_all_falls(predictor: Predictor, query: Query, targets: np.ndarray) -> list[int | None]:
    """Return for each target the supporting film whose absence costs most, each left out in turn."""
    queries = [query, *(without_liked(query, item) for item in query.liked.tolist())]
    scores = np.concatenate([predictor.score([each], targets) for each in queries]).astype(np.float64)
    shares = Influences(query.liked, scores[0] - scores[1:]).shares(query)
    return [
        int(query.liked[row]) if shares[row, column] > 0 else None
        for column, row in enumerate(shares.argmax(axis=0).tolist())
    ]


def _histories(predictor: Predictor, rows: Any, n_visitors: int) -> list[Query]:
    """Return the likes of visitors with a long history, as far as the model knows them, oldest first."""
    known, queries = predictor.ids, []
    for user in np.random.default_rng(1).permutation(rows.n_users):
        mine = np.flatnonzero((rows.users == user) & (rows.values >= 3))
        liked, _ = known.indices_of(rows.item_ids[rows.items[mine]].tolist())
        if LENGTHS[0] <= len(liked) <= LENGTHS[1]:
            queries.append(Query.from_indices(liked))
        if len(queries) == n_visitors:
            break
    return queries


def _cpu_ms(queries: list[Query], work: Callable[[Query], Any]) -> float:
    times = []
    for query in queries[:30]:
        started = time.process_time()
        work(query)
        times.append(1000 * (time.process_time() - started))
    return statistics.median(times)


if __name__ == "__main__":
    run(main)
