"""A small benchmark of every model under every protocol on made-up data, equal on every run.

    OMP_NUM_THREADS=1 python -m evaluation.tests.reproducibility FILE

writes the figures; `reproducibility.json` beside this file holds those that a rerun must equal.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from datasets.interactions import Interactions
from datasets.knowledge_graph.graph import KnowledgeGraph
from datasets.knowledge_graph.storage import save_graph
from datasets.splits.protocols import latest_of_each_pair, split_interactions
from datasets.synthetic import WorldOptions, make_world
from evaluation.conditions import evaluate
from evaluation.protocols import MET, STARS, training_split
from predictors.plugins import predictor_class
from predictors.run import split_options
from predictors.training_data import TrainingData

GRAPH = {"epochs": 4, "dim": 16, "layers": 2, "batch_size": 512, "evaluate_every": 2}
MODELS = {
    "popular": {},
    "neighbours": {},
    "linear_sequence": {},
    "ease": {"ridge": 20.0},
    "als": {"factors": 16, "epochs": 3},
    "graph_filter": {"factors": 16},
    "mf": {"factors": 8, "epochs": 4, "groups": 0},
    "for_you": {"visitors": 100, "tries": 100},
    "sasrec": {"dim": 16, "epochs": 3, "max_length": 50, "threads": 1, "device": "cpu"},
    "transitions": {},
    "next_item": {"sasrec": {"dim": 16, "epochs": 3, "max_length": 50, "threads": 1}},
    "ensemble": {"ease.ridge": 20.0, "als": {"factors": 16, "epochs": 3}, "graph_filter.factors": 16},
    "mf_softmax": {"dim": 16, "epochs": 4, "batch_size": 512, "negatives": 64, "evaluate_every": 2},
    "lightgcn": GRAPH,
    "ngcf": GRAPH,
    "kprn": {"dim": 8, "small_dim": 4, "hidden": 8, "epochs": 0.5, "evaluations": 2},
}
PROTOCOLS = ("leave-one-out", "given-split", "random-split", "guest", "temporal", "session", "cold-item")
STATED_AS_STARS = ("popular", "neighbours", "als", "mf")  # under leave-one-out
CANDIDATES = 20


def data() -> Interactions:
    """Return the made-up ratings of 150 people and 80 films."""
    world = make_world(WorldOptions(users=150, items=80, ratings=6000, seed=3))
    users, items, values, at = zip(*world.rows(), strict=True)
    user_ids, user_of = np.unique(users, return_inverse=True)
    item_ids, item_of = np.unique(items, return_inverse=True)
    rows = Interactions.from_columns(
        user_of, item_of, np.array(values), np.array(at), user_ids=user_ids, item_ids=item_ids
    )
    return latest_of_each_pair(rows)


def graph(item_ids: np.ndarray, folder: Path) -> Path:
    """Save a knowledge graph in which the first letters of a film's id are its genre."""
    films = [f"movie:{each}" for each in item_ids]
    genres = [f"genre:{str(each)[:4]}" for each in item_ids]
    entities = [(key, key) for key in dict.fromkeys([*films, *genres])]
    triples = [(film, "has_genre", genre) for film, genre in zip(films, genres, strict=True)]
    save_graph(KnowledgeGraph.from_triples(entities, triples), folder)
    return folder


def figures(
    rows: Interactions, protocol: str, model: str, graph_folder: Path, stated: str = MET
) -> dict[str, dict[str, float]]:
    """Return every metric of one model under one protocol, by condition."""
    test = np.random.default_rng(5).random(len(rows)) < 0.2
    split = split_interactions(protocol, rows, given=(rows.select(~test), rows.select(test)), seed=1)
    kind = predictor_class(model)
    options = {**MODELS[model], **({"graph": str(graph_folder)} if kind.wants_knowledge_graph else {})}
    config, run, folder = split_options(kind, options)
    taught = training_split(split, kind, stated)
    predictor = kind.fit(TrainingData(taught.train, taught.validation, folder), config, run)
    outcomes = evaluate(predictor, split, stated=stated, candidates=CANDIDATES)
    return {outcome.label or "masked": outcome.means() for outcome in outcomes}


def main(target: Path) -> None:
    """Write the figures of all models under all protocols."""
    rows = data()
    with TemporaryDirectory() as folder:
        graph_folder = graph(rows.item_ids, Path(folder) / "graph")
        found = {
            f"{protocol}/{model}": figures(rows, protocol, model, graph_folder)
            for protocol in PROTOCOLS
            for model in MODELS
        }
        for model in STATED_AS_STARS:
            found[f"leave-one-out, stars/{model}"] = figures(
                rows, "leave-one-out", model, graph_folder, STARS
            )
    target.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
