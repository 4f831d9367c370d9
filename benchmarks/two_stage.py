"""Measure lists of 100 from large catalogues: exact scores, and an index of FAISS with exact rescoring.

    python -m benchmarks.two_stage [--items 60000 1000000] [--queries 200] [--repeats 5]

The vectors are trained, on made interactions: ALS with 64 factors learns from users and films that follow
power laws and 40 tastes (`benchmarks._power_laws`), and the queries are histories of such users, folded in.
Real catalogues of this size differ; the recall that counts for yours stands in the artifact of your model.

For each size: CPU-ms a list of 100 (one thread, the sides taking turns, the fold-in of the history counted
apart), the share of the exact best 100 that is found, CPU-s to build, and the memory of two processes that
serve the same artifact: `private` is what would be freed if one ended. The baseline is exact scores of all
items, which serve catalogues below `item_index.INDEX_FROM`. Needs FAISS (requirements-faiss.txt). --quick
measures 60,000 items alone.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import psutil

from benchmarks._command import CouldNotMeasure, argument_parser, parse_options, print_ratio, run
from benchmarks._power_laws import synthesised
from predictors import item_index
from predictors.item_index import FLAT, GRAPH
from predictors.models.als import AlsConfig, AlsPredictor
from predictors.query import Query

EXACT, FOLD_IN = "exact", "fold-in"
DEPTH, MB = 100, 2**20
USERS_OF_AN_ITEM, EDGES_OF_AN_ITEM = 0.15, 10  # of the made data: its users, and its interactions
MOST_QUERIES = 500
PROCESSES = 2
SERVE = """
import sys, pathlib, numpy as np
from predictors.models.als import AlsPredictor
from predictors.query import Query
predictor = AlsPredictor.load(pathlib.Path(sys.argv[1]))
for first in range(0, 400, 4):
    predictor.retrieve([Query.from_indices(np.arange(first, first + 20))], 100)
print("ready", flush=True)
sys.stdin.read()
"""


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--items", type=int, nargs="+", default=[60_000, 1_000_000], metavar="N")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=5, help="turns of each side, 20 lists in each")
    options = parse_options(parser, items=[60_000])
    if not item_index.is_installed():
        raise CouldNotMeasure("FAISS is not installed: .venv/bin/pip install -r requirements-faiss.txt")
    for n_items in options.items:
        measure(n_items, options.queries, options.repeats)


def measure(n_items: int, n_queries: int, repeats: int) -> None:
    started = time.process_time()
    predictor, queries = trained(n_items, n_queries)
    print(f"\n{n_items:,} items, 64 factors, trained in {time.process_time() - started:.0f} CPU-s")
    sides = {
        EXACT: predictor,
        FLAT: indexed(predictor, FLAT, queries),
        GRAPH: indexed(predictor, GRAPH, queries),
    }
    fold_in, costs = take_turns(sides, queries, repeats)
    with tempfile.TemporaryDirectory(prefix="reelgraph-two-stage-") as folder:
        memory = {name: private_mb(side, Path(folder) / name) for name, side in sides.items()}
    print(f"fold-in of a history: {fold_in:.2f} CPU-ms, in no row")
    print(f"{'':10}{'CPU-ms a list':>14}{'recall@100':>12}{'private MB':>12}")
    for name, side in sides.items():
        recall = side.meta["index"]["recall"] if name != EXACT else 1.0
        print(f"{name:10}{costs[name]:14.2f}{recall:12.4f}{memory[name]:12.0f}")
    for name in (FLAT, GRAPH):
        what = f"two_stage: a list of {DEPTH} from {n_items:,} items by {name}"
        goal = "at most 0.9" if n_items >= item_index.INDEX_FROM else ""
        print_ratio(what, costs[name] / costs[EXACT], "exact scores", goal)


def trained(n_items: int, n_queries: int) -> tuple[AlsPredictor, list[Query]]:
    """Return a model of made interactions, and the histories of users as queries."""
    n_users = int(USERS_OF_AN_ITEM * n_items)
    rows = synthesised(
        n_users=n_users, n_items=n_items, n_edges=EDGES_OF_AN_ITEM * n_items, guests=MOST_QUERIES, seed=1
    )
    predictor = AlsPredictor.fit(rows, AlsConfig(factors=64, epochs=2))
    some = range(n_users, n_users + min(n_queries, MOST_QUERIES))
    return predictor, [Query.from_indices(rows.items_of(user)) for user in some]


def indexed(predictor: AlsPredictor, kind: str, queries: list[Query]) -> AlsPredictor:
    """Return the same model with an index of this kind."""
    other = AlsPredictor(predictor.factors.items, predictor.factors.ridge, predictor.ids, predictor.config)
    started = time.process_time()
    index = item_index.ItemIndex.build(other.item_vectors(), kind)
    seconds = time.process_time() - started
    other.use_index(index, queries)
    print(f"{kind} built in {seconds:.1f} CPU-s")
    return other


def take_turns(
    sides: dict[str, AlsPredictor], queries: list[Query], repeats: int
) -> tuple[float, dict[str, float]]:
    """Return CPU-ms of a fold-in, and of a list by each side without it: medians over turns."""
    costs: dict[str, list[float]] = {name: [] for name in (FOLD_IN, *sides)}
    for turn in range(repeats + 1):
        some = [queries[(20 * turn + each) % len(queries)] for each in range(20)]
        for name, values in costs.items():
            started = time.process_time()
            for query in some:
                if name == FOLD_IN:
                    sides[EXACT].query_vectors([query])
                else:
                    sides[name].retrieve([query], DEPTH)
            if turn:  # the first warms up
                values.append((time.process_time() - started) / len(some) * 1000)
    medians = {name: float(np.median(values)) for name, values in costs.items()}
    fold_in = medians.pop(FOLD_IN)
    return fold_in, {name: value - fold_in for name, value in medians.items()}


def private_mb(predictor: AlsPredictor, artifact: Path) -> float:
    """Return the private memory of one of two processes that answer from the same artifact."""
    predictor.save(artifact)
    with ExitStack() as stack:
        servers = [stack.enter_context(serving(artifact)) for _ in range(PROCESSES)]
        return psutil.Process(servers[0].pid).memory_full_info().uss / MB


@contextmanager
def serving(artifact: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a process that has answered from an artifact and waits; it ends with the context."""
    command = [sys.executable, "-c", SERVE, str(artifact)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None or process.stdout.readline().strip() != "ready":
                raise CouldNotMeasure(f"no process could serve {artifact}")
            yield process
        finally:
            process.kill()


if __name__ == "__main__":
    run(main)
