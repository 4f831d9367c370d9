"""Forward and backward of one propagation over a graph: ours beside DGL, torch CSR and SciPy, in one process.

    python -m benchmarks.propagation [--data gowalla] [--dim 64] [--threads 1 2] [--repeats 10]

The sides take turns, so that whatever else the machine does falls on all of them. Figures are the median
CPU-milliseconds (user + system of the process) and, since CPU time cannot show what a second thread brings,
the shortest wall time. SciPy has one thread always. The graph is made up, of Gowalla's size, unless --data
names a data set; --quick makes a tenth of it. Our kernel is the baseline. All sides but one use that
the matrix is symmetric: the gradient is the matrix times the gradient of the result. Beside it
stands torch's own autograd of CSR, which transposes the matrix.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._command import (
    CouldNotMeasure,
    argument_parser,
    data_or_default,
    parse_options,
    print_ratio,
    run,
)
from benchmarks._power_laws import synthesised
from datasets.interactions import Interactions
from datasets.readers.dataset import read_dataset

GOWALLA = {"n_users": 29_858, "n_items": 40_981, "n_edges": 810_128}


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    arguments = parse_options(parser, threads=[1], repeats=5)
    if find_spec("dgl") is None:
        raise CouldNotMeasure("DGL is not installed; requirements-torch.txt names it for Python 3.11")
    figures = measure(arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")


def measure(arguments: argparse.Namespace) -> list[dict[str, object]]:
    import torch

    from datasets.bipartite_graph import BipartiteGraph
    from pytorch_models.graph.propagation import propagation

    rows = read_or_make(arguments)
    graph = BipartiteGraph.from_arrays(rows.users, rows.items, rows.n_users, rows.n_items)
    rng = np.random.default_rng(1)
    x = torch.from_numpy(rng.standard_normal((graph.n_nodes, arguments.dim), dtype=np.float32))
    x.requires_grad_()
    upstream = torch.from_numpy(rng.standard_normal((graph.n_nodes, arguments.dim), dtype=np.float32))
    matrix = graph.normalised.astype(np.float32)
    warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
    csr = torch.sparse_csr_tensor(
        torch.from_numpy(matrix.indptr).long(),
        torch.from_numpy(matrix.indices).long(),
        torch.from_numpy(matrix.data),
        size=matrix.shape,
        check_invariants=False,
    )
    native = propagation(graph)
    by_dgl = propagation(graph, backend="dgl")
    plain_x, plain_upstream = x.detach().numpy(), upstream.numpy()

    class Symmetric(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, matrix: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
            context.save_for_backward(matrix)
            return matrix @ x

        @staticmethod
        def backward(context: Any, gradient: torch.Tensor) -> tuple[None, torch.Tensor]:
            return None, context.saved_tensors[0] @ gradient

    def differentiated(call: Callable[[torch.Tensor], torch.Tensor]) -> np.ndarray:
        x.grad = None
        call(x).backward(upstream)
        return x.grad.numpy()  # type: ignore[union-attr]

    sides: dict[str, Callable[[], np.ndarray]] = {
        "ours": lambda: differentiated(native),
        "DGL": lambda: differentiated(by_dgl),
        "torch CSR": lambda: differentiated(lambda x: Symmetric.apply(csr, x)),
        "torch's own": lambda: differentiated(lambda x: csr @ x),
        "SciPy": lambda: (matrix @ plain_x, matrix @ plain_upstream)[1],
    }
    exact = graph.normalised @ plain_upstream.astype(np.float64)
    size = f"{graph.n_users:,} users, {graph.n_items:,} items, {graph.n_edges:,} edges"
    print(f"{arguments.data or 'made up'}: {size}")
    print(f"{arguments.dim}-d float32, forward + backward, {arguments.repeats} rounds")
    figures: list[dict[str, object]] = []
    for threads in arguments.threads:
        torch.set_num_threads(threads)
        cpu, wall = take_turns(sides, arguments.repeats)
        print(
            f"\n{threads} thread{'s' if threads > 1 else ''}     CPU-ms  ours is   wall-ms  ours is   error"
        )
        for name, call in sides.items():
            error = float(np.abs(call() - exact).max())
            print(
                f"{name:12}{cpu[name]:9.1f}{cpu[name] / cpu['ours']:8.2f}x"
                f"{wall[name]:10.1f}{wall[name] / wall['ours']:8.2f}x   {error:.0e}"
            )
            figures.append(
                {"side": name, "threads": threads, "cpu_ms": cpu[name], "wall_ms": wall[name], "error": error}
            )
        for name, goal in (("DGL", "at least 2.5"), ("torch CSR", ""), ("torch's own", "")):
            what = f"propagation: {name}, {threads} thread{'s' if threads > 1 else ''}"
            print_ratio(what, cpu[name] / cpu["ours"], "ours", goal)
    return figures


def read_or_make(arguments: argparse.Namespace) -> Interactions:
    """Return the rows of the graph: those of the data set, or made-up ones."""
    if arguments.data is None:
        size = {name: n // 10 if arguments.quick else n for name, n in GOWALLA.items()}
        return synthesised(**size, guests=0, seed=1)
    dataset = read_dataset(data_or_default(arguments.data))
    return dataset.train if dataset.train is not None else dataset.interactions


def take_turns(
    sides: dict[str, Callable[[], object]], repeats: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Return the median CPU and shortest wall milliseconds of one call of each side."""
    cpu: dict[str, list[float]] = {name: [] for name in sides}
    wall: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(repeats + 1):
        for name, call in sides.items():
            started, started_wall = time.process_time(), time.perf_counter()
            call()
            if number:  # the first round warms up
                cpu[name].append((time.process_time() - started) * 1000)
                wall[name].append((time.perf_counter() - started_wall) * 1000)
    return (
        {name: float(np.median(values)) for name, values in cpu.items()},
        {name: min(values) for name, values in wall.items()},
    )


if __name__ == "__main__":
    run(main)
