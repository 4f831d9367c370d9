"""Benchmark explanations: the speed of KPRN, the share of films it explains, and the loss of reranking by it.

    python -m benchmarks.explanations [--data PATH] [--graph FOLDER] [--protocols guest leave-one-out]
        [--bases for_you ease] [--explained for_you ease sasrec] [--ablations relations types pooling walk]

`--graph` is a saved knowledge graph whose films have the ids of the data (manage.py build_knowledge_graph
--ids SOURCE); without it paths lead over people alone. For each protocol, on one split:

    ranking    NDCG@10 over the full catalogue, seen items masked, of popularity, item neighbours, each
               base, KPRN alone, and each base with its first 100 films ranked anew by (1 - w) * base +
               w * KPRN, both standardised; w is chosen on validation users shown as many films (w = 0
               would be the base itself)
    coverage   share of the films in the top 10 of each explained model to which a path was found, and one
               over something else than people
    speed      CPU-ms, one thread, p50 and p95 over visitors with 20 films

NDCG is the honest one: divided by the DCG of the best list possible. Beside it, as `of hits`, stands a
definition found in published code, which divides by the DCG of the hits of the list itself and so
forgives what was missed; with one target per user they are the same. The baselines are popularity, and for
reranking the model without it. --quick asks 50 guests of a KPRN that was not trained.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._command import argument_parser, data_or_default, parse_options, print_ratio, run
from datasets.knowledge_graph.paths import PEOPLE, Histories, Paths, Targets
from datasets.knowledge_graph.search import candidates, find_paths
from datasets.readers.dataset import read_dataset
from datasets.splits.cases import Cases, Split
from datasets.splits.protocols import latest_of_each_pair, split_interactions
from predictors.base import Predictor
from predictors.config import parse_pairs
from predictors.history import History, Interaction
from predictors.models.kprn.model import KprnPredictor
from predictors.models.kprn.rerank import WEIGHTS, blended, candidates_of
from predictors.plugins import predictor_class
from predictors.query import Query
from predictors.testing import fit_model
from ranking_metrics.ranking import hits_of, per_user

PLACES = 10
BATCH = 128
GUEST_LENGTHS = ("1", "3", "5", "10", "80%")
VISITOR_FILMS, VISITORS, EXPLAINED = 20, 200, 12
SCORED_PATHS = 300
ABLATIONS = {
    "relations": {"relations": False},
    "types": {"types": False},
    "walk": {"walk": False},
    "pooling": None,  # two of them, see _variants
    "negatives": None,
}

Figures = dict[str, Any]
Weights = dict[str, float]  # by case
Rank = Callable[[Sequence[Query], str], np.ndarray]  # queries of a case -> (B, k) films


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--data", type=Path, help="MovieLens 100K by default")
    parser.add_argument("--graph", type=Path, help="a saved knowledge graph with the ids of the data")
    parser.add_argument("--protocols", nargs="+", default=["guest", "leave-one-out"])
    parser.add_argument("--order", choices=("random", "time"), default="random", help="of a guest's films")
    parser.add_argument("--bases", nargs="*", default=["for_you", "ease"])
    parser.add_argument("--explained", nargs="*", default=["for_you", "ease", "sasrec"])
    parser.add_argument("--ablations", nargs="*", choices=tuple(ABLATIONS), default=[])
    parser.add_argument("--options", nargs="*", default=[], metavar="NAME=VALUE", help="of KPRN's training")
    parser.add_argument("--limit-users", type=int, help="ask about no more than so many users")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="write the trained KPRN of each protocol into this folder")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    quick = {"protocols": ["guest"], "bases": ["ease"], "explained": ["ease"], "options": ["epochs=0"]}
    arguments = parse_options(parser, limit_users=50, **quick)
    arguments.data = data_or_default(arguments.data)
    figures = {protocol: _measure(protocol, arguments) for protocol in arguments.protocols}
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")


def _measure(protocol: str, arguments: argparse.Namespace) -> Figures:
    test, validation = _splits(protocol, arguments)
    _say(f"\n== {arguments.data.name}, {protocol}: {test.description}")
    options: dict[str, Any] = {"seed": arguments.seed, **parse_pairs(arguments.options)}
    if arguments.graph:
        options["graph"] = str(arguments.graph)
    kprn, spent = _fitted("kprn", test, options)
    if arguments.keep:
        kprn.save(arguments.keep / f"{arguments.data.name}-{protocol}-{uuid.uuid4().hex[:6]}")
    _say(f"kprn trained in {spent:.0f} CPU-s, {kprn.meta['training']}")
    found: Figures = {"training": kprn.meta["training"], "graph": kprn.meta["graph"]["paths"], "ndcg": {}}
    found["speed"] = _speed(kprn, test, arguments.seed)
    table = found["ndcg"]
    _heading(test)
    table["kprn"] = _row("kprn alone", test, _alone(kprn))
    models: dict[str, Predictor] = {}
    for name in dict.fromkeys(["popular", "neighbours", *arguments.bases, *arguments.explained]):
        models[name], _ = _fitted(name, test, {"seed": arguments.seed})
        table[name] = _row(name, test, _alone(models[name]))
    weighed_by = kprn
    apart = len(validation.train) != len(test.train)  # then validation rows are training rows of the test
    if apart:
        weighed_by, _ = _fitted("kprn", validation, options)
    for name in arguments.bases:
        base = _fitted(name, validation, {"seed": arguments.seed})[0] if apart else models[name]
        weights = _weights(base, weighed_by, validation)
        _say(f"{'  weight of KPRN':34}" + "".join(f"{weight:>9.2f}" for weight in weights.values()))
        reached = _row(f"{name} reranked", test, _reranked(models[name], kprn, weights), against=table[name])
        table[f"{name} reranked"] = {"weights": weights, **reached}
    last = list(table["kprn"]["honest"])[-1]
    for name in ("kprn", *(f"{base} reranked" for base in arguments.bases)):
        baseline = name.removesuffix(" reranked") if name != "kprn" else "popular"
        ratio = table[name]["honest"][last] / table[baseline]["honest"][last]
        print_ratio(f"explanations: {name}, {protocol} {last}, NDCG@10", ratio, baseline)
    found["coverage"] = {name: _coverage(name, models[name], kprn, test) for name in arguments.explained}
    for label, changed in _variants(arguments.ablations):
        other, _ = _fitted("kprn", test, {**options, **changed})
        table[label] = _row(label, test, _alone(other))
    return found


def _splits(protocol: str, arguments: argparse.Namespace) -> tuple[Split, Split]:
    """Return the test and the validation cases; a given split has other training rows for each."""
    dataset = read_dataset(arguments.data)
    rows = latest_of_each_pair(dataset.interactions)
    given: dict[str, Any] = {"seed": arguments.seed, "limit_users": arguments.limit_users}
    if protocol == "guest":
        given |= {"n": GUEST_LENGTHS, "order": arguments.order}
    if protocol == "given-split" and dataset.train is not None and dataset.test is not None:
        given["given"] = (dataset.train, dataset.test)
    test = split_interactions(protocol, rows, **given)
    return test, split_interactions(protocol, rows, part="validation", **given)


def _fitted(name: str, split: Split, options: dict[str, Any]) -> tuple[Any, float]:
    started = time.process_time()
    predictor = fit_model(predictor_class(name), split.train, split.validation, options=options)
    return predictor, time.process_time() - started


def _variants(names: Sequence[str]) -> list[tuple[str, dict[str, Any]]]:
    variants: list[tuple[str, dict[str, Any]]] = []
    for name in names:
        changed = ABLATIONS[name]
        if changed is not None:
            variants.append((f"kprn without {name}", changed))
        elif name == "pooling":
            variants += [(f"kprn, pooling={each}", {"pooling": each}) for each in ("max", "mean")]
        else:
            variants += [(f"kprn, negatives={each}", {"negatives": each}) for each in ("uniform", "hard")]
    return variants


# -- ranking -------------------------------------------------------------------------------------


def _batches(cases: Cases, n_items: int) -> list[tuple[list[Query], np.ndarray, np.ndarray]]:
    """Yield queries, their targets (B, n_items) bool and the number of targets (B,)."""
    return [
        (
            [Query.from_indices(cases.history[row], seen=cases.seen[row]) for row in range(first, last)],
            cases.targets.mask(first, last, n_items),
            cases.targets.lengths[first:last],
        )
        for first in range(0, len(cases), BATCH)
        for last in [min(first + BATCH, len(cases))]
    ]


def _alone(model: Predictor) -> Rank:
    return lambda queries, label: model.retrieve(queries, PLACES)[0]


def _reranked(base: Predictor, kprn: KprnPredictor, weights: Weights) -> Rank:
    return lambda queries, label: blended(*candidates_of(base, kprn, queries), weights[label])[:, :PLACES]


def _row(label: str, split: Split, rank: Rank, against: Figures | None = None) -> Figures:
    honest, of_hits = {}, {}
    for cases in split.cases:
        values = []
        for queries, targets, counts in _batches(cases, split.train.n_items):
            hits = hits_of(rank(queries, cases.label), targets)
            values.append(np.stack([_ndcg(hits, counts), _ndcg_of_hits(hits)], axis=1))
        honest[cases.label], of_hits[cases.label] = np.concatenate(values).mean(axis=0).tolist()
    line = f"{label:34}" + "".join(f"{value:>9.4f}" for value in honest.values())
    if len(honest) > 1:
        line += "   of hits" + "".join(f"{value:>8.4f}" for value in of_hits.values())
    if against:
        changes = [value / against["honest"][case] - 1 for case, value in honest.items()]
        line += "   against the base" + "".join(f"{change:>+8.1%}" for change in changes)
    _say(line)
    return {"honest": honest, "of hits": of_hits}


def _heading(split: Split) -> None:
    _say(f"{'NDCG@10':34}" + "".join(f"{cases.label or 'all users':>9}" for cases in split.cases))


def _ndcg(hits: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return per_user(hits, counts, ["NDCG@10"])[:, 0]


def _ndcg_of_hits(hits: np.ndarray) -> np.ndarray:
    """Return DCG divided by the DCG of the same hits at the first ranks: not NDCG, but published as NDCG."""
    some = hits.any(axis=1)
    values = np.zeros(len(hits))
    values[some] = _ndcg(hits[some], hits[some].sum(axis=1))
    return values


def _weights(base: Predictor, kprn: KprnPredictor, split: Split) -> Weights:
    """Return for each case the weight of WEIGHTS with the best mean NDCG@10; the lowest among equals."""
    chosen = {}
    for cases in split.cases:
        sums = np.zeros(len(WEIGHTS))
        for queries, targets, counts in _batches(cases, split.train.n_items):
            found = candidates_of(base, kprn, queries)
            for place, weight in enumerate(WEIGHTS):
                hits = hits_of(blended(*found, weight)[:, :PLACES], targets)
                sums[place] += _ndcg(hits, counts).sum()
        chosen[cases.label] = WEIGHTS[int(sums.argmax())]
    return chosen


# -- explaining ----------------------------------------------------------------------------------


def _coverage(name: str, model: Predictor, kprn: KprnPredictor, split: Split) -> Figures:
    """Return the share of the recommended films with a path, and with a path without people."""
    found: Figures = {}
    for cases in split.cases:
        reached = linked = asked = 0
        for queries, _, _ in _batches(cases, split.train.n_items):
            for query, films in zip(queries, model.retrieve(queries, PLACES)[0], strict=True):
                paths = _paths_to(kprn, query, films[films >= 0])
                asked += int((films >= 0).sum())
                reached += len(np.unique(paths.target))
                over_people = (paths.kind == PEOPLE) | (paths.people > 0).any(axis=1)
                linked += len(np.unique(paths.target[~over_people]))
        found[cases.label] = {"any": reached / asked, "over no people": linked / asked}
    _say(
        f"{name + ': films with a path':34}"
        + "".join(f"{each['any']:>9.1%}" for each in found.values())
        + "   over no people"
        + "".join(f"{each['over no people']:>8.1%}" for each in found.values())
    )
    return found


def _paths_to(kprn: KprnPredictor, query: Query, films: np.ndarray) -> Paths:
    histories = Histories.from_items([query.liked], kprn.caps.history)
    return find_paths(kprn.graph, histories, Targets(films, np.zeros(len(films), dtype=np.int64)), kprn.caps)


# -- speed ---------------------------------------------------------------------------------------


def _speed(kprn: KprnPredictor, split: Split, seed: int) -> Figures:
    rng = np.random.default_rng(seed)
    lengths = np.diff(split.train.indptr)
    users = rng.permutation(np.flatnonzero(lengths > VISITOR_FILMS))[:VISITORS]
    times: dict[str, list[float]] = {}
    sizes = []
    for user in users:
        films = rng.permutation(split.train.items_of(user))[:VISITOR_FILMS].astype(np.int64)
        query = Query.from_indices(films)
        histories = Histories.from_items([films], kprn.caps.history)
        found, paths = _timed(times, "path search", partial(_searched, kprn, histories, query))
        some = rng.permutation(len(paths))[:SCORED_PATHS]
        few = Paths(*(getattr(paths, name)[np.sort(some)] for name in Paths.__dataclass_fields__))
        _timed(times, f"score {SCORED_PATHS} paths", partial(kprn.scorer.score, kprn.graph, few))
        _timed(times, "score all paths", partial(kprn.scorer.score, kprn.graph, paths))
        history = _visitor([kprn.ids[film] for film in films])
        asked = [kprn.ids[film] for film in found[:EXPLAINED]]
        _timed(times, f"explain {EXPLAINED} films", partial(kprn.explain, history, asked))
        _timed(times, "recommend 20", partial(kprn.recommend, history, 20))
        sizes.append(len(paths))
    _say(f"{len(users)} visitors with {VISITOR_FILMS} films, {np.median(sizes):.0f} paths each (median)")
    speed: Figures = {"paths": float(np.median(sizes))}
    for label, values in times.items():
        p50, p95 = np.percentile(values, [50, 95]).tolist()
        speed[label] = {"p50": p50, "p95": p95}
        _say(f"{label + ', CPU-ms':34}  p50 {p50:6.2f}   p95 {p95:6.2f}")
    return speed


def _searched(kprn: KprnPredictor, histories: Histories, query: Query) -> tuple[np.ndarray, Paths]:
    """Return the candidates of an open search and all paths to them."""
    found = candidates(kprn.graph, histories, [query.seen], kprn.caps)[0]
    targets = Targets(found, np.zeros(len(found), dtype=np.int64))
    return found, find_paths(kprn.graph, histories, targets, kprn.caps)


def _timed(times: dict[str, list[float]], label: str, call: Callable[[], Any]) -> Any:
    started = time.process_time()
    result = call()
    times.setdefault(label, []).append((time.process_time() - started) * 1000)
    return result


def _visitor(films: Sequence[Any]) -> History:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    return History(
        Interaction(
            str(uuid.UUID(int=place)), "guest:1", "rating", film, start + timedelta(minutes=place), 5.0
        )
        for place, film in enumerate(films)
    )


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    run(main)
