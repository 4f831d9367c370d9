"""New films, which nobody has met, found by their content: the protocol cold-item of `evaluation`.

    python -m benchmarks.cold_items [--data-root FOLDER] [--data ml-100k,ml-1m] [--seeds 1,2,3]
        [--models ease,als] [--tune]

A tenth of the films of MovieLens 100K and 1M is held out with all its ratings, and those films alone are
ranked for everybody who rated one of them. A model scores the films that it knows, and the bridge of
`predictors.new_items` carries these scores over to the others by genres, decade, words of the title,
directors and leads (from the graphs of RKGE and entity2rec beside the data). Without --data-root it is the
MovieLens 100K of the recbole wheel, which says nothing of people. The baselines are a random order and
`popular`, for which all of these films are alike, and each part of the content alone. `--tune` measures
ridges on the validation films instead, another tenth; nothing is chosen on test films. --quick takes one
seed and `ease` alone.
"""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from benchmarks._command import argument_parser, data_or_default, parse_options, print_ratio, run
from datasets.interactions import Interactions
from datasets.readers.dataset import read_interactions
from datasets.splits.protocols import split_interactions
from evaluation.conditions import evaluate
from predictors.base import Predictor, Saved
from predictors.content import Content, ContentEncoder, decade_of, hash_contents, words_of
from predictors.new_items import RIDGE, ContentBridge
from predictors.plugins import predictor_class
from predictors.query import Query
from predictors.run import Run
from predictors.training_data import TrainingData

DATA = ("ml-100k", "ml-1m")
PACKAGED = "ml-100k of the wheel"
PARTS = {
    "genres and decade": ("genre", "decade"),
    "people": ("director", "cast"),
    "words of the title": ("word",),
    "all content": ("genre", "decade", "word", "director", "cast"),
}
RIDGES = (3.0, 10.0, 30.0, 100.0, 300.0)
METRICS = ("Recall@20", "NDCG@20")
GENRES_100K = (  # flags of u.item, in their order
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama"),
    *("Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War"),
    "Western",
)


class Unfitted(Predictor):
    """Scores by a rule; made here, never trained or saved."""

    def tensors(self) -> dict[str, np.ndarray]:
        raise NotImplementedError

    @classmethod
    def _fit(cls, data: TrainingData, config: Any, run: Run) -> Self:
        raise NotImplementedError

    @classmethod
    def from_artifact(cls, saved: Saved) -> Self:
        raise NotImplementedError


class RandomOrder(Unfitted):
    name = "random"

    def _score(self, queries: Sequence[Query]) -> np.ndarray:
        return np.random.default_rng(len(queries)).random((len(queries), self.n_items), dtype=np.float32)


class ColdByContent(Unfitted):
    """Scores the items without training rows by content, and the others as the model does."""

    name = "cold-by-content"

    def __init__(self, inner: Predictor, known: np.ndarray, bridge: ContentBridge) -> None:
        super().__init__(inner.ids)
        self.inner, self.known, self.bridge = inner, known, bridge

    def _score(self, queries: Sequence[Query]) -> np.ndarray:
        scores = self.inner.score(queries)
        scores[:, ~self.known] = self.bridge.mapped(scores[:, self.known])
        return scores


def contents_of(root: Path | None, data: str, item_ids: Sequence[object]) -> list[dict[str, list[str]]]:
    """Return what the files beside a data set say of each item."""
    found = _of_package() if root is None else READERS[data](root)
    return [found.get(str(item), {}) for item in item_ids]


def _titled(title: str, genres: list[str]) -> dict[str, list[str]]:
    name, _bracket, year = title.rpartition("(")
    decade = decade_of(int(year[:4]) if year[:4].isdigit() else None)
    return {"genre": genres, "decade": decade, "word": words_of(name)}


def _of_package() -> dict[str, dict[str, list[str]]]:
    lines = (data_or_default(None) / "ml-100k.item").read_text(encoding="utf-8").splitlines()[1:]
    rows = [line.split("\t") for line in lines]
    return {item: _titled(f"{title} ({year})", genres.split()) for item, title, year, genres in rows}


def _of_100k(root: Path) -> dict[str, dict[str, list[str]]]:
    contents = {}
    for line in (root / "ml-100k" / "u.item").read_text(encoding="latin-1").splitlines():
        item, title, *_rest = line.split("|")
        flags = line.split("|")[5:]
        genres = [name for name, flag in zip(GENRES_100K, flags, strict=True) if flag == "1"]
        contents[item] = _titled(title, genres)
    facts = (root / "kg-rkge-ml100k" / "auxiliary.txt").read_text(encoding="utf-8-sig")
    for line in facts.splitlines():
        cells = dict(cell.split(":", 1) for cell in line.split("|") if ":" in cell)
        if cells.get("id") in contents:
            contents[cells["id"]]["director"] = _names(cells.get("director", ""))
            contents[cells["id"]]["cast"] = _names(cells.get("actors", ""))
    return contents


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _of_1m(root: Path) -> dict[str, dict[str, list[str]]]:
    contents = {}
    for line in (root / "ml-1m" / "movies.dat").read_text(encoding="latin-1").splitlines():
        item, title, genres = line.split("::")
        contents[item] = _titled(title, genres.split("|"))
    graph = root / "kg-entity2rec-ml1m"
    film_of = {}
    for line in (graph / "original" / "mappings.tsv").read_text(encoding="utf-8").splitlines():
        item, *_title, entity = line.split("\t")
        film_of[entity] = item
    for field, relation in (("director", "director"), ("cast", "starring")):
        people: dict[str, list[str]] = defaultdict(list)
        for line in (graph / "graphs" / f"dbo:{relation}.edgelist").read_text(encoding="utf-8").splitlines():
            entity, person = line.split()[:2]
            if entity in film_of:
                people[film_of[entity]].append(person)
        for item, found in people.items():
            if item in contents:
                contents[item][field] = found
    return contents


READERS = {"ml-100k": _of_100k, "ml-1m": _of_1m}


def bridge_of(
    contents: Sequence[Content], fields: Sequence[str], known: np.ndarray, ridge: float
) -> ContentBridge:
    chosen = [{field: content[field] for field in fields if field in content} for content in contents]
    encoder = ContentEncoder.fit(hash_contents(itertools.compress(chosen, known)))
    features = encoder.encode(hash_contents(chosen))
    return ContentBridge(features[known], features[~known], ridge)


def shuffled(interactions: Interactions, seed: int) -> Interactions:
    """Return the same rows with items in random order.

    Ties are ordered by index, and the ids of MovieLens tell how popular a film is: 1 to 100 are its hits.
    """
    order = np.random.default_rng([seed, 16]).permutation(interactions.n_items)
    position = np.argsort(order).astype(np.int32)
    return replace(interactions, items=position[interactions.items], item_ids=interactions.item_ids[order])


def measure(
    root: Path | None, data: str, models: Sequence[str], seed: int, *, tune: bool
) -> list[dict[str, Any]]:
    """Return a row for each way of ranking the films that were held out."""
    interactions = shuffled(read_interactions(data_or_default(root and root / data)), seed)
    split = split_interactions("cold-item", interactions, seed=seed, part="validation" if tune else "test")
    contents = contents_of(root, data, interactions.item_ids.tolist())
    known = np.bincount(split.train.items, minlength=interactions.n_items) > 0
    rows: list[dict[str, Any]] = []

    def add(name: str, content: str, ridge: float, predictor: Predictor) -> None:
        (outcome, *_more) = evaluate(predictor, split, metrics=METRICS, seed=seed)
        means = dict(zip(outcome.names, outcome.values.mean(axis=0).round(4).tolist(), strict=False))
        figures = {metric: means[metric] for metric in METRICS}
        rows.append({"data": data, "seed": seed, "model": name, "content": content, "ridge": ridge} | figures)
        print(json.dumps(rows[-1]), flush=True)

    popular = predictor_class("popular").fit(split.train)
    add("random", "", 0, RandomOrder(popular.ids))
    add("popular", "", 0, popular)
    for name in models:
        inner = predictor_class(name).fit(TrainingData(split.train), run=Run(seed=seed))
        add(name, "none", 0, inner)
        for content, fields in PARTS.items():
            if not any(field in each for each in contents for field in fields):
                continue  # nothing is known of people
            for ridge in RIDGES if tune else (RIDGE,):
                if tune and content != "all content":
                    continue
                bridge = bridge_of(contents, fields, known, ridge)
                add(name, content, ridge, ColdByContent(inner, known, bridge))
    return rows


def main() -> int:
    parser = argument_parser(__doc__)
    parser.add_argument("--data-root", type=Path, metavar="FOLDER")
    parser.add_argument("--data", default=",".join(DATA), help="below --data-root")
    parser.add_argument("--models", default="ease,als")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parse_options(parser, models="ease", seeds="1")
    rows = []
    if options.data_root is None:
        options.data = PACKAGED
    for data, seed in itertools.product(options.data.split(","), map(int, options.seeds.split(","))):
        rows += measure(options.data_root, data, options.models.split(","), seed, tune=options.tune)
    found = {row["model"]: row["Recall@20"] for row in rows if row["content"] in ("", "all content")}
    for name in options.models.split(","):
        print_ratio(
            f"cold_items: {name} by content, Recall@20", found[name] / found["random"], "a random order"
        )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    run(main)
