"""Measure the cost of one SASRec answer beside the same network in eager torch, in one process.

    python -m benchmarks.sasrec_latency [--items 60000] [--dim 64] [--length 200] [--repeats 200]

The weights are random: they change what is recommended, not how long it takes. Times are milliseconds of
CPU (user + system of the process) with one thread each; the two take turns, so that whatever else the
machine does falls on both. The baseline is eager torch.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks._command import argument_parser, parse_options, print_ratio, run
from predictors.id_map import IdMap
from predictors.models.sasrec.model import SasrecConfig as ServedConfig
from predictors.models.sasrec.model import SasrecPredictor
from predictors.query import Query

DEPTH, HISTORIES = 100, 300  # of the lists that are compared
ROUND = 10  # answers by one side before it is the other's turn


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--items", type=int, default=60_000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--blocks", type=int, default=2)
    parser.add_argument("--heads", type=int, default=2)
    parser.add_argument("--length", type=int, default=200, help="films in the history")
    parser.add_argument("--batch", type=int, default=16, help="histories in the batched measurement")
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    arguments = parse_options(parser, items=20_000, repeats=50)
    figures = measure(arguments)
    for name, value in figures.items():
        print(f"{name:34} {value}")
    saved = float(str(figures["torch / ONNX Runtime"]))
    print_ratio("sasrec_latency: all scores of one history by torch", saved, "ONNX Runtime", "at least 1.3")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")


def measure(arguments: argparse.Namespace) -> dict[str, object]:
    import torch
    from threadpoolctl import threadpool_limits

    from pytorch_models.sasrec.network import Sasrec, SasrecConfig

    torch.set_num_threads(1)
    torch.manual_seed(1)
    config = SasrecConfig(
        arguments.items, arguments.dim, arguments.blocks, arguments.heads, max(arguments.length, 200)
    )
    model = Sasrec(config).eval()
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    ids, served = IdMap(range(arguments.items)), ServedConfig(heads=arguments.heads)
    predictor = SasrecPredictor.from_weights(weights, ids, served)
    exact = SasrecPredictor(weights, predictor.encoder, ids, served)
    history = np.random.default_rng(1).permutation(arguments.items)[: arguments.length]
    query = Query.from_indices(history)

    def by_torch() -> np.ndarray:
        with torch.inference_mode():
            hidden = model(torch.from_numpy(history)[None])[:, -1]
            return (hidden @ model.item.weight.t()).numpy()

    with threadpool_limits(1):
        difference = float(np.abs(predictor.score([query]) - by_torch()).max())
        sides = {
            "scores": lambda: predictor.score([query]),
            "encoder": lambda: predictor.encode_histories([history]),
            "top20": lambda: predictor.retrieve([query], 20),
            "exact20": lambda: exact.retrieve([query], 20),
            "torch": by_torch,
        }
        times = take_turns(sides, arguments.repeats)
        many = [query] * arguments.batch
        batched = take_turns(
            {"batched": lambda: predictor.retrieve(many, 20), "exact": lambda: exact.retrieve(many, 20)},
            arguments.repeats // ROUND,
        )
        same = np.mean([same_items(predictor, exact, each) for each in random_queries(arguments.items)])
    return {
        "items, dim, blocks, heads, length": (
            f"{arguments.items:,} {arguments.dim} {arguments.blocks} {arguments.heads} {arguments.length}"
        ),
        "weights": "random",
        "torch eager, ms": times["torch"],
        "all scores by ONNX Runtime, ms": times["scores"],
        "of that the encoder, ms": times["encoder"],
        "top 20 by int8, then exact, ms": times["top20"],
        "top 20 by exact scores alone, ms": times["exact20"],
        "exact / int8": round(times["exact20"] / times["top20"], 2),
        f"top 20 in batches of {arguments.batch}, ms each": round(batched["batched"] / arguments.batch, 3),
        "the same, exact / int8": round(batched["exact"] / batched["batched"], 2),
        f"same {DEPTH} items, of {HISTORIES} histories": f"{same:.1%}",
        "torch / ONNX Runtime": round(times["torch"] / times["scores"], 2),
        "largest difference of a score": f"{difference:.1e}",
    }


def random_queries(n_items: int) -> Iterator[Query]:
    """Yield queries of 1 to 200 items."""
    rng = np.random.default_rng(2)
    for _ in range(HISTORIES):
        yield Query.from_indices(rng.choice(n_items, size=rng.integers(1, 201), replace=False))


def same_items(one: SasrecPredictor, other: SasrecPredictor, query: Query) -> bool:
    """Say whether two lists hold the same items; the last digit of equal scores may swap two of them."""
    first, second = (np.sort(each.retrieve([query], DEPTH)[0]) for each in (one, other))
    return bool((first == second).all())


def take_turns(sides: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the median over rounds of the CPU milliseconds of one call of each side."""
    rounds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(max(3, repeats // ROUND) + 1):
        for name, call in sides.items():
            started = time.process_time()
            for _ in range(ROUND):
                call()
            if number:  # the first round warms up
                rounds[name].append((time.process_time() - started) / ROUND * 1000)
    return {name: round(float(np.median(values)), 3) for name, values in rounds.items()}


if __name__ == "__main__":
    run(main)
