"""KPRN: films ranked by the paths that lead to them, over people with the same films and over entities.

Trained by torch, served by NumPy: importing this module imports no torch. The paths are found by
`datasets.knowledge_graph.search`, read by `predictors.models.kprn.scorer`, and are what `explain` shows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from datasets.knowledge_graph.path_graph import PathGraph, build_path_graph, path_graph_statistics
from datasets.knowledge_graph.paths import EXPLAINING, RANKING, Histories, Paths, Targets
from datasets.knowledge_graph.search import candidates, find_paths
from predictors.base import Predictor, Saved
from predictors.errors import ArtifactError, TrainingError
from predictors.explain import Explanation
from predictors.history import History, MovieId
from predictors.id_map import IdMap
from predictors.influences import Influences
from predictors.models.kprn.config import KprnConfig
from predictors.models.kprn.explanations import Entities, PathNames, path_reasons, path_shares
from predictors.models.kprn.scorer import GENERAL, NAMES, KprnScorer
from predictors.query import Query
from predictors.run import Run
from predictors.training_data import TrainingData
from predictors.validation import METRIC, Validator

if TYPE_CHECKING:
    from datasets.knowledge_graph.graph import KnowledgeGraph

ENTITIES = "entities.json"
CASES_AT_ONCE = 8  # queries whose paths are in memory together
VALIDATION_USERS = 300
SHORT = (1, 3)  # latest films of a history, validated beside the whole one: visitors begin with few
BELOW = 1.0  # between the last film with a path and the first without


_SHAPE = (
    "dim", "small_dim", "hidden", "relations", "types", "walk", "general", "pooling", "gamma", "dropout",
)  # fmt: skip
_FIT = (
    "epochs", "steps", "examples", "positives", "history", "learning_rate", "loss", "negatives",
    "time_share", "l2", "evaluations", "patience",
)  # fmt: skip


class KprnPredictor(Predictor):
    """Ranks by KPRN (Wang et al., AAAI 2019) the films that an open path search finds.

    Films that no path was scored for come after those with one, by popularity. Disliked films begin no
    path; a liked film's weight multiplies what its paths count. Reasons come from a narrower search than
    ranks, and never from the path that leads to every film.
    """

    name = "kprn"
    label = "KPRN"
    summary = "Weighs the paths of people, genres and shared tastes that lead from your films to others."
    paper = "kprn"
    config_class = KprnConfig
    wants_knowledge_graph = is_costly = True

    def __init__(
        self,
        graph: PathGraph,
        weights: Mapping[str, np.ndarray],
        entities: Entities,
        ids: IdMap,
        config: KprnConfig | None = None,
    ) -> None:
        """Serve from arrays. Raises ValueError when the weights belong to another graph."""
        super().__init__(ids, config)
        self.graph, self.weights, self.entities, self.caps = graph, dict(weights), entities, EXPLAINING
        self.names = PathNames(ids, graph, entities)
        self.scorer = KprnScorer.from_weights(
            weights,
            graph,
            relations=self.config.relations,
            types=self.config.types,
            general=self.config.general,
            pooling=self.config.pooling,
            gamma=self.config.gamma,
        )
        # What a film without a path scores: below 0, and above -1.
        order = np.argsort(np.argsort(-graph.n_users, kind="stable"), kind="stable")
        self._without_path = (-(order + 1.0) / (len(order) + 1.0)).astype(np.float32)

    @classmethod
    def _fit(cls, data: TrainingData, config: KprnConfig, run: Run) -> Self:
        """Build the path graph and train; the weights of the best validation NDCG@10 are kept, those of the
        untrained start where no training is better.

        Validation users with training rows are shown them in the order of time, the others half of their
        validation rows; each is asked about as well with SHORT histories. Raises TrainingError when the
        data, the graph or an option cannot be used, and when training was stopped.
        """
        train, ids = data.train, data.items
        knowledge, about = _knowledge_graph(data.graph)
        from pytorch_models.kprn.config import KprnFitConfig
        from pytorch_models.kprn.fit import fit
        from pytorch_models.training.checkpoints import CheckpointError

        try:
            graph, known = build_path_graph(
                train, knowledge, neighbours=config.neighbours, hub_limit=config.hub_limit
            )
            entities = Entities()
            if knowledge is not None:
                entities = Entities(
                    tuple(knowledge.keys[each] for each in known),
                    tuple(knowledge.names[each] for each in known),
                )
            meta = {"graph": {**about, "paths": path_graph_statistics(graph)}}
            validator = Validator.from_rows(train, data.validation, max_users=VALIDATION_USERS, seed=run.seed)
            validators = [validator, *(validator.latest(n) for n in SHORT)] if validator else []

            def validate(weights: dict[str, np.ndarray]) -> Mapping[str, float]:
                predictor = cls(graph, weights, entities, ids, config)
                found = [each.measure(predictor, [METRIC])[METRIC] for each in validators]
                return {METRIC: float(np.mean(found))} if found else {}

            weights, state = fit(
                train,
                graph,
                EXPLAINING,
                {name: getattr(config, name) for name in _SHAPE},
                KprnFitConfig(
                    **{name: getattr(config, name) for name in _FIT},
                    cpu_budget_seconds=run.cpu_budget_seconds,
                    seed=run.seed,
                ),
                validate=validate if validator else None,
                metric=METRIC if validator else "",
                directory=run.checkpoint_dir,
                report=run.report_step,
                on_epoch=run.end_epoch,
                resume=run.resume,
            )
        except (ValueError, FloatingPointError, CheckpointError) as error:
            raise TrainingError(str(error)) from error
        if state.stopped == "interrupted":
            raise TrainingError("interrupted; go on with resume")
        meta["training"] = {
            "steps": state.step,
            "best_step": state.best_step,
            "stopped": state.stopped,
            "cpu_seconds": round(state.cpu_seconds, 2),
            **state.best_metrics,
        }
        predictor = cls(graph, weights, entities, ids, config)
        predictor.meta = meta
        return predictor

    # -- ranking ------------------------------------------------------------------------------

    def _score(self, queries: Sequence[Query]) -> np.ndarray:
        scores = np.tile(self._without_path, (len(queries), 1))
        for start in range(0, len(queries), CASES_AT_ONCE):
            some = queries[start : start + CASES_AT_ONCE]
            histories = Histories.from_items([query.liked for query in some], RANKING.history)
            found = candidates(self.graph, histories, [query.seen for query in some], RANKING)
            targets, ends = _targets(found)
            pooled = self._pooled(some, histories, targets)
            for row, (films, last) in enumerate(zip(found, ends, strict=True), start=start):
                of_row = pooled[last - len(films) : last]
                reached = np.isfinite(of_row)
                if reached.any():
                    scores[row] += of_row[reached].min() - np.float32(BELOW)
                    scores[row, films[reached]] = of_row[reached]
        return scores

    def score_films(self, queries: Sequence[Query], films: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Score films (N,) int64 for each query, every film once; -inf without a path.

        Used to rerank the list of another model.
        """
        scores: list[np.ndarray] = []
        for start in range(0, len(queries), CASES_AT_ONCE):
            some = queries[start : start + CASES_AT_ONCE]
            targets, ends = _targets(films[start : start + CASES_AT_ONCE])
            histories = Histories.from_items([query.liked for query in some], RANKING.history)
            scores += np.split(self._pooled(some, histories, targets), ends[:-1])
        return scores

    def _pooled(self, queries: Sequence[Query], histories: Histories, targets: Targets) -> np.ndarray:
        paths = find_paths(self.graph, histories, targets, RANKING)
        popularity = self.graph.log_popularity(targets.films)
        return self.scorer.pool(self._scores(queries, paths), paths.target, popularity)

    def _scores(self, queries: Sequence[Query], paths: Paths) -> np.ndarray:
        """Return (P,) float32 scores of paths, with the weights of the films they start from."""
        weights = np.concatenate([query.weights[-self.caps.history :] for query in queries])
        scores = self.scorer.score(self.graph, paths)
        scores += np.log(weights)[paths.row]
        return scores

    # -- explaining ---------------------------------------------------------------------------

    def influences(self, query: Query, targets: np.ndarray) -> Influences:
        """Return the share of the paths that begin at each liked item: the gradient of the pooled score.

        The score is a log-sum over paths, so its derivative by the score of a path is the path's share.
        """
        paths, shares = self._shares(query, targets)
        position = np.full(self.n_items, -1, dtype=np.int64)
        position[query.liked] = np.arange(len(query.liked))
        added = np.zeros((len(query.liked), len(targets)))
        np.add.at(added, (position[paths.films[:, 0]], paths.target), shares)
        return Influences(query.liked, added)

    def explain(self, history: History, movie_ids: Sequence[MovieId], limit: int = 3) -> list[Explanation]:
        """Explain films by the paths to them, whichever model recommended them.

        Shares are a softmax over the scores of all paths found.

        Paths that differ in the relations alone are one reason, with their shares added. No two reasons of a
        film lead over the same entity from the same film of the history. Where ratings are many, paths over
        other users hold most of the weight; `limit` of the others are named as well.
        """
        query = self.encode(history)
        known = [index for index in map(self.ids.index_of, dict.fromkeys(movie_ids)) if index is not None]
        paths, shares = self._shares(query, np.asarray(known, dtype=np.int64))
        rows = {self.ids[index]: row for row, index in enumerate(known)}
        explained = []
        for movie_id in movie_ids:
            row = rows.get(movie_id, -1)
            first, last = np.searchsorted(paths.target, [row, row + 1]) if row >= 0 else (0, 0)
            rows_of_film = slice(int(first), int(last))
            reasons = path_reasons(self.names, history, paths, shares, rows=rows_of_film, limit=limit)
            rest = max(0.0, 1.0 - sum(reason.share for reason in reasons)) if reasons else 0.0
            explained.append(Explanation(movie_id, reasons, rest, int(last - first)))
        return explained

    def _shares(self, query: Query, films: np.ndarray) -> tuple[Paths, np.ndarray]:
        """Find all paths to these films, and the share of each within its film, (P,) float64.

        None begins where it ends: a film of the history is no reason for itself.
        """
        targets = Targets(films, np.zeros(len(films), dtype=np.int64))
        histories = Histories.from_items([query.liked], self.caps.history)
        paths = find_paths(self.graph, histories, targets, self.caps)
        paths = paths.select(paths.films[:, 0] != paths.films[:, 2])
        if not len(paths):
            return paths, np.empty(0)
        return paths, path_shares(paths, self._scores([query], paths) / np.float64(self.scorer.gamma))

    def key_of(self, entity: int) -> str:
        """Return the key of an entity: "movie:12", "person:5", or SOMEONE for any user."""
        return self.names.key_of(entity)

    def name_of(self, key: str) -> str:
        """Return the name of an entity that is no film, as it was during training; else the key."""
        return self.names.name_of(key)

    # -- the artifact -------------------------------------------------------------------------

    def tensors(self) -> dict[str, np.ndarray]:
        graph = {f"graph.{name}": array for name, array in self.graph.tensors().items()}
        kept = [name for name in (*NAMES, GENERAL) if name in self.weights]
        return graph | {f"network.{name}": self.weights[name] for name in kept}

    def write_extra_files(self, directory: Path) -> None:
        words = {
            "types": self.graph.type_names,
            "relations": self.graph.relation_names,
            "keys": self.entities.keys,
            "names": self.entities.names,
        }
        (directory / ENTITIES).write_text(json.dumps(words, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def from_artifact(cls, saved: Saved) -> Self:
        tensors, ids, directory = saved.tensors, saved.ids, saved.directory
        if directory is None:
            raise ArtifactError(f"KPRN needs the directory that holds {ENTITIES}")
        try:
            words = json.loads((directory / ENTITIES).read_text(encoding="utf-8"))
            graph = PathGraph.from_tensors(
                {name.removeprefix("graph."): array for name, array in tensors.items()},
                words["types"],
                words["relations"],
            )
            entities = Entities(tuple(words["keys"]), tuple(words["names"]))
            weights = {name: tensors[f"network.{name}"] for name in NAMES}
            if f"network.{GENERAL}" in tensors:
                weights[GENERAL] = tensors[f"network.{GENERAL}"]
            if graph.n_items != len(ids):
                raise ValueError(f"the graph has {graph.n_items} films, the artifact {len(ids)}")
            if not len(entities.keys) == len(entities.names) == graph.n_entities - graph.n_items - 1:
                raise ValueError(f"{ENTITIES} names {len(entities.keys)} entities, which are not those there")
            return cls(graph, weights, entities, ids, saved.config)
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"{directory} is no KPRN model: {error}") from error


def _targets(found: Sequence[np.ndarray]) -> tuple[Targets, np.ndarray]:
    """Return the films of all cases in one array, and where each case ends."""
    sizes = np.array([len(films) for films in found], dtype=np.int64)
    films = np.concatenate([np.asarray(each, dtype=np.int64) for each in found])
    return Targets(films, np.repeat(np.arange(len(found)), sizes)), np.cumsum(sizes)


def _knowledge_graph(folder: str) -> tuple[KnowledgeGraph | None, dict[str, Any]]:
    """Load the graph in a folder, with the facts that the artifact records. Raises TrainingError."""
    if not folder:
        return None, {"source": "people only"}
    from datasets.knowledge_graph.graph import KnowledgeGraphError
    from datasets.knowledge_graph.statistics import graph_statistics
    from datasets.knowledge_graph.storage import load_graph, read_about

    try:
        about = read_about(Path(folder))
        graph = load_graph(Path(folder))
    except KnowledgeGraphError as error:
        raise TrainingError(f"option graph: {error}") from error
    digest = hashlib.sha256("".join(sorted(about["files"].values())).encode()).hexdigest()
    facts: dict[str, Any] = {name: about[name] for name in ("source", "ids", "created") if name in about}
    return graph, {**facts, "fingerprint": digest, "statistics": graph_statistics(graph)}
