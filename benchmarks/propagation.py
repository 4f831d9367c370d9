"""Forward and backward of one propagation over a graph: ours beside DGL, torch CSR and SciPy, in one process.

    python -m benchmarks.propagation [--data ../shared/data/gowalla] [--dim 64] [--threads 1 2] [--repeats 10]

The sides take turns, so that whatever else the machine does falls on all of them. Figures are the median
CPU-milliseconds (user + system of the process) and, since CPU time cannot show what a second thread brings,
the shortest wall time. SciPy has one thread always.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/gowalla"))
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    arguments = parser.parse_args()
    if not arguments.data.exists():
        parser.exit(2, f"{arguments.data} is not there; give a data set with --data\n")
    figures = measure(arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")


def measure(arguments: argparse.Namespace) -> list[dict[str, object]]:
    import torch

    from datasets.bipartite_graph import BipartiteGraph
    from datasets.readers.dataset import read_dataset
    from pytorch_models.graph.propagation import propagation

    dataset = read_dataset(arguments.data)
    rows = dataset.train if dataset.train is not None else dataset.interactions
    graph = BipartiteGraph.from_arrays(rows.users, rows.items, rows.n_users, rows.n_items)
    rng = np.random.default_rng(1)
    x = torch.from_numpy(rng.standard_normal((graph.n_nodes, arguments.dim), dtype=np.float32))
    x.requires_grad_()
    upstream = torch.from_numpy(rng.standard_normal((graph.n_nodes, arguments.dim), dtype=np.float32))
    matrix = graph.normalised.astype(np.float32)
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

    def differentiated(call: Callable[[torch.Tensor], torch.Tensor]) -> np.ndarray:
        x.grad = None
        call(x).backward(upstream)
        return x.grad.numpy()  # type: ignore[union-attr]

    sides: dict[str, Callable[[], np.ndarray]] = {
        "ours": lambda: differentiated(native),
        "DGL": lambda: differentiated(by_dgl),
        "torch CSR": lambda: differentiated(lambda x: csr @ x),
        "SciPy": lambda: (matrix @ plain_x, matrix @ plain_upstream)[1],
    }
    exact = graph.normalised @ plain_upstream.astype(np.float64)
    print(f"{arguments.data}: {graph.n_users:,} users, {graph.n_items:,} items, {graph.n_edges:,} edges")
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
    return figures


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
    main()
