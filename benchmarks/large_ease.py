"""Measure EASE with all pairs of items, and with each item on its nearest alone, as large catalogues have it.

    python -m benchmarks.large_ease [--items 60000] [--both 3000] [--neighbours 200]

Interactions are made, 25 for each item (`benchmarks._power_laws`). At `--both` items the two are fitted and
find the last items of 500 users: NDCG@100, the baseline being all pairs. At `--items` the nearest alone are:
CPU-s, the most memory that the fit takes beside its rows, and the size of the artifact; the baseline is the
16 bytes a pair that all pairs would take. --quick makes 10,000 items. Linux only.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks._command import CouldNotMeasure, argument_parser, parse_options, print_ratio, run
from benchmarks._power_laws import synthesised
from datasets.interactions import Interactions
from predictors.models.ease import EaseConfig, EasePredictor
from predictors.validation import Validator, hold_out_last

ITEMS_OF_A_USER, EDGES_OF_A_USER = 3, 75  # items of the catalogue per user, and interactions of a user
HELD_OUT, METRIC, BYTES_OF_A_PAIR, MB = 500, "NDCG@100", 16, 2**20
FIT = """
import json, sys, time
import numpy as np
from datasets.interactions import Interactions
from predictors.models.ease import EaseConfig, EasePredictor
with np.load(sys.argv[1]) as file:
    users, items, n_users, n_items = (file[name] for name in ("users", "items", "n_users", "n_items"))
data = Interactions.from_columns(users, items, user_ids=np.arange(n_users), item_ids=np.arange(n_items))
data.csr()
most = lambda: int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0]) / 1024
before, started = most(), time.process_time()
ease = EasePredictor.fit(data, EaseConfig(max_items=1, neighbours=int(sys.argv[2])))
stored = sum(array.nbytes for array in ease.tensors().values()) / 2**20
print(json.dumps({"cpu_seconds": time.process_time() - started, "memory": most() - before, "stored": stored}))
"""


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--items", type=int, default=60_000)
    parser.add_argument("--both", type=int, default=3_000, help="items that both are fitted on")
    parser.add_argument("--neighbours", type=int, default=200)
    options = parse_options(parser, items=10_000)
    if not Path("/proc/self/status").exists():
        raise CouldNotMeasure("this benchmark reads /proc, which only Linux has")
    compare_accuracy(options.both, options.neighbours)
    measure_fit(options.items, options.neighbours)


def made(n_items: int) -> Interactions:
    n_users = n_items // ITEMS_OF_A_USER
    return synthesised(n_users=n_users, n_items=n_items, n_edges=EDGES_OF_A_USER * n_users, guests=0, seed=1)


def compare_accuracy(n_items: int, neighbours: int) -> None:
    train, validation = hold_out_last(made(n_items), max_users=HELD_OUT, seed=1)
    validator = Validator.from_rows(train, validation)
    if validator is None:
        raise CouldNotMeasure("no user has three items")
    found = []
    for name, most in (("all pairs", n_items), (f"the {neighbours} nearest", 1)):
        started = time.process_time()
        ease = EasePredictor.fit(train, EaseConfig(max_items=most, neighbours=neighbours))
        seconds = time.process_time() - started
        found.append(validator.measure(ease, [METRIC])[METRIC])
        print(f"{n_items:,} items, {name}: {METRIC} {found[-1]:.4f}, {seconds:.1f} CPU-s")
    what = f"large_ease: {METRIC} by the {neighbours} nearest of {n_items:,} items"
    print_ratio(what, found[1] / found[0], "all pairs", "at least 0.95")


def measure_fit(n_items: int, neighbours: int) -> None:
    """Fit in a process of its own: what making the rows took would hide what the fit takes."""
    rows = made(n_items)
    with tempfile.TemporaryDirectory(prefix="reelgraph-large-ease-") as folder:
        file = Path(folder) / "rows.npz"
        np.savez(file, users=rows.users, items=rows.items, n_users=rows.n_users, n_items=rows.n_items)
        command = [sys.executable, "-c", FIT, str(file), str(neighbours)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    figures = json.loads(done.stdout)
    print(
        f"{n_items:,} items, {len(rows):,} interactions, the {neighbours} nearest: "
        f"{figures['cpu_seconds']:.0f} CPU-s, {figures['memory']:.0f} MB beside the rows, "
        f"weights of {figures['stored']:.0f} MB"
    )
    dense = BYTES_OF_A_PAIR * n_items**2 / MB
    what = f"large_ease: memory of a fit of {n_items:,} items"
    print_ratio(what, figures["memory"] / dense, "all pairs", "at most 0.5")


if __name__ == "__main__":
    run(main)
