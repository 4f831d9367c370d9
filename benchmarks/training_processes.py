"""A training step by one process and by two, and what two exchange of a large table: whole, or by rows.

    python -m benchmarks.training_processes [--steps 30] [--rounds 3] [--items 1000000] [--ratings 4000000]

SASRec trains on made-up histories (6,000 users, 3,400 films, a million rows; a fifth with --quick) with the
same batches by one process and by two on this machine, one thread each, by Gloo. mf_softmax trains with a
table of `--items` films, twice by two processes: every gradient added up whole, and of large tables only the
rows that a batch touches. mf, which is solved, goes through epochs over `--ratings` ratings by one process
and by two; an epoch stands for a step, and there are a tenth as many. Sides take turns. CPU-seconds are those
of all processes together, per step, and wall-clock time is that between two steps; both are medians of the
rounds. One process, and the exchange of whole gradients, are the baselines.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from statistics import median
from typing import Any

import numpy as np

from benchmarks._command import CouldNotMeasure, argument_parser, parse_options, print_ratio, run
from benchmarks._power_laws import synthesised

N_FILMS = 3400
WARM_UP = 3  # steps
Cost = tuple[float, float]  # CPU-seconds and wall-clock seconds of a step
Side = tuple[int, Callable[..., None], Mapping[str, Any]]  # processes, training, its size


class Enough(Exception):
    """Raised when enough steps were timed."""


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--ratings", type=int, default=4_000_000)
    options = parse_options(parser, steps=10, rounds=1, items=200_000, ratings=500_000)
    n_users = 1200 if options.quick else 6000
    n_epochs = max(1, options.steps // 10)
    sides: dict[str, Side] = {
        "sasrec, 1 process": (1, sasrec, {"n_users": n_users}),
        "sasrec, 2 processes": (2, sasrec, {"n_users": n_users}),
        "mf_softmax, whole": (2, factors, {"n_items": options.items, "rows_from": options.items + 1}),
        "mf_softmax, by rows": (2, factors, {"n_items": options.items, "rows_from": 1}),
        "mf, 1 process": (1, solved, {"n_ratings": options.ratings, "n_epochs": n_epochs}),
        "mf, 2 processes": (2, solved, {"n_ratings": options.ratings, "n_epochs": n_epochs}),
    }
    costs: dict[str, list[Cost]] = {name: [] for name in sides}
    for _ in range(options.rounds):
        for name, (n, train, size) in sides.items():
            steps = n_epochs if train is solved else options.steps
            costs[name].append(step_cost(n, train, size, steps))
    found = {name: (median(c for c, _ in each), median(w for _, w in each)) for name, each in costs.items()}
    print(f"{'a step':22}{'CPU-ms':>10}{'wall-ms':>10}")
    for name, (cpu, wall) in found.items():
        print(f"{name:22}{cpu * 1000:10.1f}{wall * 1000:10.1f}")
    for what, side, baseline in (
        ("a step of SASRec by 2 processes", "sasrec, 2 processes", "sasrec, 1 process"),
        ("a step of mf_softmax that exchanges touched rows", "mf_softmax, by rows", "mf_softmax, whole"),
        ("an epoch of mf by 2 processes", "mf, 2 processes", "mf, 1 process"),
    ):
        cpu, wall = (here / there for here, there in zip(found[side], found[baseline], strict=True))
        print_ratio(f"{what}, CPU", cpu, baseline)
        print_ratio(f"{what}, wall", wall, baseline)


def step_cost(n: int, train: Callable[..., None], size: Mapping[str, Any], steps: int) -> Cost:
    """Return the cost of a step by n processes. Raises CouldNotMeasure where one of them ends without."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    processes, receivers = [], []
    for rank in range(n):
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_timed, args=((rank, n, port), train, size, steps, sender))
        process.start()
        sender.close()
        processes.append(process)
        receivers.append(receiver)
    try:
        costs: list[Cost] = [receiver.recv() for receiver in receivers]
    except EOFError as error:
        raise CouldNotMeasure(f"a process of {train.__name__} ended") from error
    finally:
        for process in processes:
            process.join()
    return sum(cpu for cpu, _ in costs), max(wall for _, wall in costs)


def _timed(
    place: tuple[int, int, int],
    train: Callable[..., None],
    size: Mapping[str, Any],
    steps: int,
    sender: Connection,
) -> None:
    """Train for some steps in a process of this rank, number and port, and send the cost of one."""
    import torch

    from pytorch_models.training.process_group import joined

    rank, n, port = place
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    at: list[Cost] = []

    def report(step: int, *_: Any) -> None:
        at.append((time.process_time(), time.perf_counter()))
        if step == WARM_UP + steps:
            raise Enough

    with joined(rank, n, device="cpu"):
        try:
            train(report, **size)
        except Enough:
            pass
        else:
            raise CouldNotMeasure("the training has too few steps")
    cpu, wall = (end - begin for begin, end in zip(at[WARM_UP - 1], at[-1], strict=True))
    sender.send((cpu / steps, wall / steps))


def sasrec(report: Callable[..., None], *, n_users: int) -> None:
    """Train SASRec as it ships, for one epoch: so few steps that each is reported."""
    from pytorch_models.sasrec.fit import SasrecFitConfig, fit

    shape = {"dim": 64, "blocks": 2, "heads": 2, "max_length": 200, "dropout": 0.2}
    rows = synthesised(n_users=n_users, n_items=N_FILMS, n_edges=166 * n_users, guests=0, seed=1)
    fit(rows, shape, SasrecFitConfig(epochs=1, batch=4096, threads=1), report=report)


def factors(report: Callable[..., None], *, n_items: int, rows_from: int) -> None:
    """Train mf_softmax as it ships, on 5,000 users; a table of `rows_from` items or more goes by rows."""
    from pytorch_models.mf_softmax import fit as mf_softmax

    mf_softmax.ROWS_FROM = rows_from
    rows = synthesised(n_users=5000, n_items=n_items, n_edges=500_000, guests=0, seed=1)
    config = mf_softmax.SoftmaxFactorsFitConfig(
        dim=64,
        epochs=1,
        batch_size=4096,
        learning_rate=0.01,
        l2=0.1,
        negatives=1024,
        sampling_exponent=0.75,
        evaluate_every=1,
        patience=0,
    )
    mf_softmax.fit(rows, config, report=report)


def solved(report: Callable[..., None], *, n_ratings: int, n_epochs: int) -> None:
    """Fit mf as it ships, 100 ratings a user and 1,000 an item, for as many epochs as are timed."""
    from datasets.interactions import Interactions
    from predictors.models.mf.model import MfConfig, MfPredictor
    from predictors.run import Hook, Run

    class Epochs(Hook):
        def on_epoch(self, epoch: int, total: int, metrics: Mapping[str, float]) -> None:
            report(epoch)

    n_users, n_items = n_ratings // 100, n_ratings // 1000
    rows = synthesised(n_users=n_users, n_items=n_items, n_edges=n_ratings, guests=0, seed=1)
    stars = np.random.default_rng(1).integers(1, 6, len(rows))
    rows = Interactions.from_columns(
        rows.users, rows.items, stars, user_ids=rows.user_ids, item_ids=rows.item_ids
    )
    MfPredictor.fit(rows, MfConfig(epochs=WARM_UP + n_epochs + 1), Run(hooks=(Epochs(),)))


if __name__ == "__main__":
    run(main)
