"""A visitor who has just arrived: one new node of a trained graph, or rebuild and train in the request.

    python -m benchmarks.live_new_user [--graphs ml-100k big] [--guests 100] [--rebuild-guests 20]

Both answer the same held-out users after n = 1, 2, 5, 10, 20, 50 of their films, in one run. The graphs:

    ml-100k  MovieLens 100K, of the recbole wheel unless --data names it; users held out as in protocol guest
    big      10,538 users, 25,139 items and about 1.5 M edges, synthesised here: film popularity and user
             activity follow power laws, and each user has two of forty tastes to which films belong

The rebuild is written to do that approach justice: the graph is built from arrays, with the propagation
kernel and the node-level NGCF of this project instead of loops and messages per edge, and a fresh NGCF of the
same size takes --rebuild-epochs full-batch epochs of BPR with Adam. The trained models serve from a loaded
artifact, without torch. The baselines are the rebuild for what a list costs, and popularity for what it
finds. --quick asks 10 guests of ml-100k about models that were trained for one epoch, which shows times
alone.

Times are CPU-milliseconds of the process (user + system), one thread, median over the guests; memory is the
peak resident size of a process that did nothing else. Errors are against the whole graph rebuilt with the
guest in float64; `same top 10` is the share of guests whose list by the local form is that of the exact one.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks._command import argument_parser, data_or_default, parse_options, print_ratio, run
from benchmarks._power_laws import synthesised
from datasets.interactions import Interactions
from datasets.readers.dataset import read_dataset
from datasets.splits.cases import Cases, Split
from datasets.splits.protocols import split_interactions
from predictors.models.graph.base import GraphPredictor
from predictors.models.graph.fine_tuning import FineTuning
from predictors.plugins import predictor_class
from predictors.progress import ProgressEvent
from predictors.query import Query
from predictors.run import Run, split_options
from predictors.training_data import TrainingData
from ranking_metrics.ranking import hits_of, per_user

BIG = {"n_users": 10_538, "n_items": 25_139, "n_edges": 1_500_000}
LENGTHS = ("1", "2", "5", "10", "20", "50")
FIT = {
    "ml-100k": {"lightgcn": {}, "ngcf": {}},
    "big": {
        "lightgcn": {"epochs": 4, "batch_size": 32_768, "n_negatives": 1024, "learning_rate": 0.05},
        "ngcf": {"epochs": 10, "batch_size": 32_768, "n_negatives": 1024, "learning_rate": 0.03},
    },
}
NAMES = ("lightgcn", "ngcf")
_CHECKED = 3  # guests per n whose vector is compared with a rebuild in float64


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--graphs", nargs="+", choices=tuple(FIT), default=list(FIT))
    parser.add_argument("--guests", type=int, default=100, help="asked at each n")
    parser.add_argument("--rebuild-guests", type=int, default=20, help="of these, asked of the rebuild too")
    parser.add_argument("--fit-epochs", type=int, help="train for so many epochs: 1 shows the times only")
    parser.add_argument("--rebuild-epochs", type=int, default=10)
    parser.add_argument("--rebuild-rate", type=float, default=0.02)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    arguments = parse_options(
        parser, graphs=["ml-100k"], guests=10, rebuild_guests=1, fit_epochs=1, rebuild_epochs=2
    )
    arguments.data = data_or_default(arguments.data) if "ml-100k" in arguments.graphs else None
    figures = {}
    for graph in arguments.graphs:
        figures[graph] = _measure(graph, arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")


def _measure(graph: str, arguments: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in NAMES:
            found[f"{name} fit"] = _in_a_process(_fit, graph, name, Path(folder), arguments)
            found[name] = _in_a_process(_serve, graph, name, Path(folder), arguments)
    found["popular"] = _in_a_process(_popular, graph, arguments)
    if arguments.rebuild_guests:
        found["rebuild"] = _in_a_process(_rebuild, graph, arguments)
    _show(graph, found, arguments)
    return found


def _show(graph: str, found: dict[str, Any], arguments: argparse.Namespace) -> None:
    shape = found["lightgcn fit"]["graph"]
    print(f"\n== {graph}: {shape[0]:,} users, {shape[1]:,} items, {shape[2]:,} edges")
    for name in NAMES:
        fit = found[f"{name} fit"]
        print(
            f"{name} trained in {fit['cpu_s']:.0f} CPU-s; serving process "
            f"{found[name]['peak_mb']:.0f} MB peak, {found[name]['idle_mb']:.0f} MB before loading"
        )
    rows = [("popularity, NDCG@10", found["popular"], "ndcg", ".4f")]
    for name in NAMES:
        rows += [
            (f"{name} exact, CPU-ms", found[name], "exact_ms", ".2f"),
            (f"{name} exact + scores + top 10", found[name], "list_ms", ".2f"),
            (f"{name} local, CPU-ms", found[name], "local_ms", ".2f"),
            (f"{name} exact + 10 BPR steps", found[name], "tuned_ms", ".2f"),
            (f"{name} exact, error", found[f"{name} fit"], "exact_error", ".0e"),
            (f"{name} local, error", found[f"{name} fit"], "local_error", ".0e"),
            (f"{name} local, same top 10", found[name], "same_top_10", ".1%"),
            (f"{name} exact, NDCG@10", found[name], "ndcg", ".4f"),
            (f"{name} + 10 BPR steps, NDCG@10", found[name], "tuned_ndcg", ".4f"),
        ]
    print(f"{'n':36}" + "".join(f"{n:>10}" for n in LENGTHS))
    print(f"{'guests':36}" + "".join(f"{found['popular']['guests'][n]:>10}" for n in LENGTHS))
    _lines(rows)
    if "rebuild" not in found:
        return
    rebuild = found["rebuild"]
    print(
        f"rebuild, {arguments.rebuild_epochs} epochs per request: {rebuild['peak_mb']:.0f} MB peak; "
        f"on the first guests of each n, at most {arguments.rebuild_guests}:"
    )
    _lines(
        [
            ("rebuild, CPU-ms", rebuild, "ms", ".0f"),
            ("rebuild, NDCG@10", rebuild, "ndcg", ".4f"),
            ("popularity, NDCG@10", found["popular"], "first_ndcg", ".4f"),
            *((f"{name} exact, NDCG@10", found[name], "first_ndcg", ".4f") for name in NAMES),
        ]
    )
    for name in NAMES:
        ratios = [rebuild["ms"][n] / found[name]["list_ms"][n] for n in LENGTHS]
        print(f"{f'rebuild / {name} list':36}" + "".join(f"{ratio:>9.0f}x" for ratio in ratios))
        what = f"live_new_user: rebuild, {arguments.rebuild_epochs} epochs, {graph}, least of all n"
        print_ratio(what, min(ratios), f"the {name} list", "at least 100")


def _lines(rows: list[tuple[str, dict[str, Any], str, str]]) -> None:
    for label, figures, key, form in rows:
        print(f"{label:36}" + "".join(f"{format(figures[key][n], form):>10}" for n in LENGTHS))


# -- data ----------------------------------------------------------------------------------------


def _split(graph: str, arguments: argparse.Namespace) -> Split:
    """Hold out guests, whole users that no model is trained on, and as many users for validation."""
    if graph == "ml-100k":
        rows = read_dataset(arguments.data).interactions
        return split_interactions("guest", rows, seed=arguments.seed, n=LENGTHS)
    held_out = max(arguments.guests, 1)
    rows = synthesised(**BIG, guests=2 * held_out, seed=arguments.seed)
    return split_interactions("guest", rows, seed=arguments.seed, n=LENGTHS, held_out=held_out)


def _guests(cases: Cases, arguments: argparse.Namespace) -> int:
    return min(len(cases), arguments.guests)


def _ndcg(lists: list[np.ndarray], cases: Cases, n_items: int) -> np.ndarray:
    """Return (len(lists),) NDCG@10 of the first guests."""
    return per_user(
        hits_of(np.stack(lists), cases.targets.mask(0, len(lists), n_items)),
        cases.targets.lengths[: len(lists)],
        ["NDCG@10"],
    )[:, 0]


# -- each in a process of its own ----------------------------------------------------------------


def _in_a_process(work: Callable[..., dict[str, Any]], *given: Any) -> dict[str, Any]:
    """Run `work(*given)` in a fresh process, so that its peak memory is its own."""
    named = [argument for argument in given if isinstance(argument, str)]
    _tell(" ".join([work.__name__.strip("_"), *named]))
    with ProcessPoolExecutor(
        1, multiprocessing.get_context("spawn"), initializer=_end_with, initargs=(os.getpid(),)
    ) as pool:
        return pool.submit(work, *given).result()


def _end_with(parent: int) -> None:
    """End this process with its parent: work of minutes must not outlive a benchmark that was killed."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _progress() -> Callable[[ProgressEvent], None]:
    """Report a fit ten times."""
    told = -1

    def progress(event: ProgressEvent) -> None:
        nonlocal told
        if int(event.done * 10) > told:
            told = int(event.done * 10)
            figures = " ".join(f"{name} {value:.4f}" for name, value in event.metrics.items())
            _tell(f"  {event.done:.0%} {figures}")

    return progress


def _tell(what: str) -> None:
    """Show progress to who watches; a file gets the figures alone."""
    console = Console(stderr=True)
    if console.is_terminal:
        console.print(f"[dim]{time.strftime('%H:%M:%S')}[/dim] {what}")


def _peak_mb() -> float:
    """Return the peak megabytes of this program alone; getrusage includes the process that started it."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return int(status.read_text(encoding="ascii").partition("VmHWM:")[2].split()[0]) / 1024


def _cpu_ms(call: Callable[[], Any]) -> tuple[float, Any]:
    started = time.process_time()
    result = call()
    return (time.process_time() - started) * 1000, result


def _fit(graph: str, name: str, folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    import torch

    from datasets.bipartite_graph import BipartiteGraph

    torch.set_num_threads(1)
    split = _split(graph, arguments)
    kind: type[GraphPredictor] = predictor_class(name)  # type: ignore[assignment]
    options = {"seed": arguments.seed, **FIT[graph][name]}
    if arguments.fit_epochs:
        options["epochs"] = arguments.fit_epochs
    started = time.process_time()
    config, how, _graph = split_options(kind, options, Run(progress=_progress()))
    predictor, model = kind.fit_with_model(TrainingData(split.train, split.validation), config, how)  # type: ignore[arg-type]
    spent = time.process_time() - started
    predictor.save(folder / name)
    # Held-out users are rows without edges in the graph the model was trained on.
    trained = BipartiteGraph.from_arrays(
        split.train.users, split.train.items, split.train.n_users, split.train.n_items
    )
    errors: dict[str, dict[str, float]] = {"exact_error": {}, "local_error": {}}
    for cases in split.cases:
        n = cases.label.removeprefix("n=")
        for form in ("exact", "local"):
            errors[f"{form}_error"][n] = max(
                _error(predictor, model, trained, cases.history[row], form)
                for row in range(min(_CHECKED, len(cases)))
            )
    shape = (int((np.diff(split.train.indptr) > 0).sum()), split.train.n_items, len(split.train))
    return {"cpu_s": spent, "graph": shape, **errors}


def _error(predictor: GraphPredictor, model: Any, trained: Any, items: np.ndarray, form: str) -> float:
    """Return the largest difference of the new node's vector to that of the rebuilt graph in float64."""
    import torch

    from datasets.bipartite_graph import BipartiteGraph
    from pytorch_models.graph.propagation import propagation

    node = predictor.node
    edges = node.edges(items, np.ones(len(items), np.float32))
    start = node.initial(edges)
    found = node.vector(edges, start, form)
    met = trained.user_items.tocoo()
    newcomer = trained.n_users
    whole = BipartiteGraph.from_arrays(
        np.append(met.row, np.full(len(items), newcomer)),
        np.append(met.col, items),
        newcomer + 1,
        trained.n_items,
    )
    kept, kept_sums = model.embedding, getattr(model, "row_sums", None)
    row = torch.from_numpy(start.astype(np.float64))[None]
    model.embedding = torch.nn.Parameter(torch.cat([kept[:newcomer], row, kept[newcomer:]]).detach())
    if kept_sums is not None:
        model.row_sums = torch.as_tensor(whole.row_sums)
    try:
        with torch.no_grad():
            rebuilt = model(propagation(whole, dtype=torch.float64))[newcomer].numpy()
    finally:
        model.embedding = kept
        if kept_sums is not None:
            model.row_sums = kept_sums
    return float(np.abs(found - rebuilt).max())


def _serve(graph: str, name: str, folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    split = _split(graph, arguments)
    guests = {
        cases.label.removeprefix("n="): [cases.history[row] for row in range(_guests(cases, arguments))]
        for cases in split.cases
    }
    found = _in_a_process(_serve_guests, name, folder, guests)
    for cases in split.cases:
        n = cases.label.removeprefix("n=")
        for key in ("lists", "tuned_lists"):
            values = _ndcg(found[key][n], cases, split.train.n_items)
            measure = key.replace("lists", "ndcg")
            found.setdefault(measure, {})[n] = float(values.mean())
            if arguments.rebuild_guests:
                first = float(values[: arguments.rebuild_guests].mean())
                found.setdefault(f"first_{measure}", {})[n] = first
    del found["lists"], found["tuned_lists"]
    return found


def _serve_guests(name: str, folder: Path, guests: dict[str, list[np.ndarray]]) -> dict[str, Any]:
    """Load the artifact and answer, as a serving process does."""
    idle = _peak_mb()
    predictor: GraphPredictor = predictor_class(name).load(folder / name)  # type: ignore[assignment]
    found: dict[str, Any] = {"idle_mb": idle}
    predictor.vector(Query.from_indices([0]))  # fills what is computed once
    times: dict[str, float] = {}
    for n, histories in guests.items():
        kept: dict[str, list[float]] = {"exact": [], "list": [], "local": [], "tuned": []}
        lists: dict[str, list[np.ndarray]] = {"exact": [], "local": [], "tuned": []}
        for items in histories:
            query = Query.from_indices(items)
            for form, steps in (("exact", 0), ("local", 0), ("tuned", 10)):
                predictor.form = "local" if form == "local" else "exact"
                predictor.fine_tuning = FineTuning(steps, max_operations=10**12)
                kept[form].append(_cpu_ms(lambda query=query: predictor.vector(query))[0])
                times["list"], (ranked, _) = _cpu_ms(lambda query=query: predictor.retrieve([query], 10))
                lists[form].append(ranked[0])
                if form == "exact":
                    kept["list"].append(times["list"])
        for form, values in kept.items():
            found.setdefault(f"{form}_ms", {})[n] = float(np.median(values))
        same = [np.array_equal(*pair) for pair in zip(lists["exact"], lists["local"], strict=True)]
        found.setdefault("same_top_10", {})[n] = float(np.mean(same))
        found.setdefault("lists", {})[n] = lists["exact"]
        found.setdefault("tuned_lists", {})[n] = lists["tuned"]
    found["peak_mb"] = _peak_mb()
    return found


def _popular(graph: str, arguments: argparse.Namespace) -> dict[str, Any]:
    split = _split(graph, arguments)
    predictor = predictor_class("popular").fit(split.train)
    found: dict[str, Any] = {"ndcg": {}, "first_ndcg": {}, "guests": {}}
    for cases in split.cases:
        n = cases.label.removeprefix("n=")
        queries = [Query.from_indices(cases.history[row]) for row in range(_guests(cases, arguments))]
        values = _ndcg(list(predictor.retrieve(queries, 10)[0]), cases, split.train.n_items)
        found["guests"][n] = len(queries)
        found["ndcg"][n] = float(values.mean())
        if arguments.rebuild_guests:
            found["first_ndcg"][n] = float(values[: arguments.rebuild_guests].mean())
    return found


def _rebuild(graph: str, arguments: argparse.Namespace) -> dict[str, Any]:
    import torch

    torch.set_num_threads(1)
    split = _split(graph, arguments)
    found: dict[str, Any] = {"ms": {}, "ndcg": {}}
    for cases in split.cases:
        n = cases.label.removeprefix("n=")
        times, lists = [], []
        for row in range(min(_guests(cases, arguments), arguments.rebuild_guests)):
            items = cases.history[row]
            spent, ranked = _cpu_ms(lambda items=items: rebuilt_list(split.train, items, arguments))
            _tell(f"  n = {n}: rebuilt in {spent / 1000:.1f} CPU-s")
            times.append(spent)
            lists.append(ranked)
        found["ms"][n] = float(np.median(times))
        found["ndcg"][n] = float(_ndcg(lists, cases, split.train.n_items).mean())
    found["peak_mb"] = _peak_mb()
    return found


def rebuilt_list(train: Interactions, items: np.ndarray, arguments: argparse.Namespace) -> np.ndarray:
    """Return (10,) int64: build the graph with the visitor in it, train a fresh NGCF and rank."""
    import torch

    from datasets.bipartite_graph import BipartiteGraph
    from datasets.negatives import Positives, UniformNegatives
    from pytorch_models.graph.ngcf import NGCF, NGCFConfig
    from pytorch_models.graph.propagation import propagation

    visitor, n_items = train.n_users, train.n_items
    users = np.append(train.users, np.full(len(items), visitor, dtype=np.int32))
    films = np.append(train.items, items)
    graph = BipartiteGraph.from_arrays(users, films, visitor + 1, n_items)
    rng = np.random.default_rng(arguments.seed)
    torch.manual_seed(arguments.seed)
    model = NGCF(NGCFConfig(graph.n_users, n_items), torch.as_tensor(graph.row_sums))
    optimiser = torch.optim.Adam(model.parameters(), arguments.rebuild_rate)
    propagate = propagation(graph)
    negatives = UniformNegatives(Positives(graph.n_users, n_items, (users, films)))
    row = torch.from_numpy(users).long()
    liked = torch.from_numpy(films).long() + graph.n_users
    for _ in range(arguments.rebuild_epochs):
        against = torch.from_numpy(negatives.draw(users, 1, rng)[:, 0]) + graph.n_users
        final = model(propagate)
        mine = final.index_select(0, row)
        margin = (mine * final.index_select(0, liked)).sum(dim=1)
        margin = margin - (mine * final.index_select(0, against)).sum(dim=1)
        optimiser.zero_grad()
        torch.nn.functional.softplus(-margin).mean().backward()
        optimiser.step()
    model.eval()
    with torch.no_grad():
        final = model(propagate)
        scores = (final[graph.n_users :] @ final[visitor]).numpy()
    scores[items] = -np.inf
    return np.argsort(-scores, kind="stable")[:10]


if __name__ == "__main__":
    run(main)
