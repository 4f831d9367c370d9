"""What LightGCN and NGCF share as predictors: a query becomes a new node, and the node ranks the films."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from predictors.base import Predictor, Query, Saved, top_k
from predictors.config import Config
from predictors.errors import ArtifactError, TrainingError
from predictors.id_map import IdMap
from predictors.models.graph.fold_in import EPSILON, FORMS, FineTuning, ItemRows, NewNode, fine_tuned
from predictors.run import Run
from predictors.training_data import TrainingData
from ranking_metrics.ranking import hits_of, per_user

if TYPE_CHECKING:
    from datasets.interactions import Interactions
    from pytorch_models.graph.fit import GraphModel
    from pytorch_models.graph.propagation import BipartiteGraph, Propagate

METRIC = "NDCG@10"
MOST_VALIDATION_USERS = 500
_GIVEN_TO_GUESTS = 0.5  # share of the rows of a validation user who has no training rows


@dataclass(frozen=True)
class GraphConfig(Config):
    """Training (see pytorch_models.graph.fit) and serving."""

    dim: int = 64  #: columns of a layer
    layers: int = 3  #: propagation steps
    epochs: int = 60  #: passes over the interactions
    batch_size: int = 4096  #: interactions of a step
    learning_rate: float = 0.01  #: of Adam
    loss: str = "softmax"  #: softmax, bpr or what pytorch_models.graph.fit names
    l2: float = 0.01  #: weight of the squared length of the vectors of a batch
    temperature: float = 1.0  #: scores are divided by it in the softmax
    similarity: str = "dot"  #: dot or cosine
    #: cosine: items are served at their length to this power. 0 leaves the length out, 1 is the dot product
    length_power: float = 0.0
    negatives: str = "uniform"  #: sampler of negatives: uniform, popularity or hard
    n_negatives: int = 0  #: per positive; 0 = as the loss needs
    hard_share: float = 0.5  #: share of hard negatives among the sampled
    refresh_every: int = 5  #: epochs between two searches for hard negatives
    evaluate_every: int = 5  #: epochs between two validations
    patience: int = 3  #: validations without a better one before stopping; 0 = never
    backend: str = "native"  #: of the propagation
    form: str = "exact"  #: exact, or local: faster, with an error of second order
    fine_tune_steps: int = 0  #: BPR steps on the new node's own vector; 0 = none
    fine_tune_rate: float = 0.1  #: size of these steps
    budget_ms: float = 50.0  #: CPU-milliseconds they may take

    def check(self) -> None:
        self.require(self.form in FORMS, f"form must be one of {', '.join(FORMS)}")
        self.require(self.fine_tune_steps >= 0, "fine_tune_steps must be 0 or more")
        self.require(self.budget_ms > 0, "budget_ms must be above 0")


_FIT_OPTIONS = (
    "epochs", "batch_size", "learning_rate", "loss", "l2", "temperature", "similarity", "negatives",
    "n_negatives", "hard_share", "refresh_every", "evaluate_every", "patience", "backend",
)  # fmt: skip


class GraphPredictor(Predictor):
    """Serves from the cached tables of a `NewNode`; they are only read, so threads share them freely.

    A film's weight in the history is the weight of its edge. Disliked films take part in the
    fine-tuning only. `form` and `fine_tuning` may be replaced on a loaded predictor before it serves.
    """

    config_class: type[GraphConfig] = GraphConfig
    can_be_observed = True

    def __init__(self, node: NewNode, ids: IdMap, config: GraphConfig | None = None) -> None:
        super().__init__(ids, config)
        self.node = node
        self.trained_users: np.ndarray | None = None  # (n_users, f) float32, after `fit` only
        self.form = self.config.form
        self.fine_tuning = FineTuning(
            self.config.fine_tune_steps, self.config.fine_tune_rate, self.config.budget_ms
        )

    # -- what each model adds -----------------------------------------------------------------

    @classmethod
    @abstractmethod
    def build_model(cls, graph: BipartiteGraph, generator: Any, options: Any) -> GraphModel:
        """An untrained model. Raises ValueError on an unusable option."""

    @classmethod
    @abstractmethod
    def node_of(cls, model: GraphModel, propagate: Propagate, rows: ItemRows) -> NewNode:
        """The tables of a model that `propagate`s in its graph."""

    # -- the predictor ------------------------------------------------------------------------

    @classmethod
    def _fit(cls, data: TrainingData, config: GraphConfig, run: Run) -> Self:
        return cls.fit_with_model(data, config, run)[0]

    @classmethod
    def fit_with_model(cls, data: TrainingData, config: GraphConfig, run: Run) -> tuple[Self, GraphModel]:
        """Fit, and return the model behind the tables in float64 as well, which serving does not need."""
        import torch

        from pytorch_models.graph.fit import GraphFitConfig, describe, fit
        from pytorch_models.graph.propagation import propagation

        train, validation, ids = data.train, data.validation, data.items
        rows = item_rows(train)
        visitors = _Visitors.of(train, validation, run.seed)

        def node_of(model: GraphModel, propagate: Propagate) -> NewNode:
            node = cls.node_of(model, propagate, rows)
            if config.similarity == "cosine":  # a visitor's own length does not change their ranking
                node.films = _scaled(node.films, config.length_power)
            return node

        def judged(model: GraphModel, propagate: Propagate) -> dict[str, float]:
            node = node_of(model, propagate)
            metrics = {METRIC: visitors.ndcg(node)} if visitors else {}
            if run.has_observers:
                metrics |= run.observe(cls(node, ids, replace(config, form="local")))
            return metrics

        try:
            fit_config = GraphFitConfig(
                **{name: getattr(config, name) for name in _FIT_OPTIONS},
                cpu_budget_seconds=run.cpu_budget_seconds,
                seed=run.seed,
            )
            model, graph, state = fit(
                lambda graph, generator: cls.build_model(graph, generator, config),
                train,
                validation,
                fit_config,
                validate=judged if visitors or run.has_observers else None,
                metric=METRIC if visitors else "",
                device=run.torch_device,
                directory=run.checkpoint_dir,
                report=run.report_step,
                resume=run.resume,
            )
        except (ValueError, FloatingPointError) as error:
            raise TrainingError(str(error)) from error
        if state.stopped == "interrupted":
            raise TrainingError("interrupted; go on with resume")
        # The cached tables in float64, so that their only error is the rounding to float32.
        model = model.to("cpu").double()
        with torch.no_grad():
            propagate = propagation(graph, dtype=torch.float64)
            predictor = cls(node_of(model, propagate), ids, config)
            predictor.meta["training"] = describe(state)
            predictor.trained_users = model(propagate)[: train.n_users].numpy().astype(np.float32)
        return predictor, model

    def vector(self, query: Query) -> np.ndarray:
        """(f,) float32: the final vector of the new node. A query without films gives zeros."""
        node = self.node
        if not len(query.liked):
            return np.zeros(node.films.shape[1], dtype=np.float32)
        edges = node.edges(query.liked, query.weights)
        start = node.initial(edges)
        if self.fine_tuning.steps:
            tuned = fine_tuned(node, edges, start, query.disliked, self.fine_tuning)
            start = start if tuned is None else tuned
        return node.vector(edges, start, self.form).astype(np.float32, copy=False)

    def score_users(self, users: np.ndarray) -> np.ndarray | None:
        return None if self.trained_users is None else self.trained_users[users] @ self.node.films.T

    def _score(self, queries: Sequence[Query]) -> np.ndarray:
        vectors = np.empty((len(queries), self.node.films.shape[1]), dtype=np.float32)
        for row, query in zip(vectors, queries, strict=True):
            row[:] = self.vector(query)
        return vectors @ self.node.films.T


def item_rows(train: Interactions) -> ItemRows:
    """Who met each film, from training rows; repeated rows are one edge."""
    by_item = train.csr().tocsc()
    by_item.sort_indices()
    return ItemRows(by_item.indptr.astype(np.int64), by_item.indices.astype(np.int32), train.n_users)


@dataclass(frozen=True)
class _Visitors:
    """Validation users with what they are given and what they should find, as index arrays."""

    given: list[np.ndarray]
    targets: list[np.ndarray]

    @classmethod
    def of(cls, train: Interactions, validation: Interactions | None, seed: int) -> _Visitors | None:
        if validation is None or not len(validation):
            return None
        rng = np.random.default_rng(seed)
        given, targets = [], []
        users = np.unique(validation.users)
        for user in rng.permutation(users):
            history, wanted = train.items_of(user), validation.items_of(user)
            if not len(history):
                shuffled = rng.permutation(wanted)
                shown = int(len(shuffled) * _GIVEN_TO_GUESTS)
                history, wanted = shuffled[:shown], shuffled[shown:]
            history = np.unique(history)
            wanted = np.setdiff1d(wanted, history)
            if len(history) and len(wanted):
                given.append(history.astype(np.int64))
                targets.append(wanted.astype(np.int64))
            if len(given) == MOST_VALIDATION_USERS:
                break
        return cls(given, targets) if given else None

    def ndcg(self, node: NewNode, form: str = "local") -> float:
        """Mean NDCG@10 over the visitors, given items masked."""
        vectors = np.stack([_vector(node, items, form) for items in self.given])
        scores = vectors @ node.films.T
        target_mask = np.zeros(scores.shape, dtype=bool)
        for row, (items, wanted) in enumerate(zip(self.given, self.targets, strict=True)):
            scores[row, items] = -np.inf
            target_mask[row, wanted] = True
        ranked, _ = top_k(scores, 10)
        n_targets = np.array([len(wanted) for wanted in self.targets])
        return float(per_user(hits_of(ranked, target_mask), n_targets, [METRIC]).mean())


def _scaled(films: np.ndarray, power: float) -> np.ndarray:
    """(n_items, f) -> rows of their length to this power; a film without a vector stays at zero."""
    lengths = np.maximum(np.linalg.norm(films, axis=1, keepdims=True), EPSILON)
    return (films * lengths ** (power - 1)).astype(films.dtype)


def _vector(node: NewNode, items: np.ndarray, form: str) -> np.ndarray:
    edges = node.edges(items, np.ones(len(items), dtype=np.float32))
    return node.vector(edges, node.initial(edges), form)


def graph_tensors(rows: ItemRows) -> dict[str, np.ndarray]:
    return {"graph.indptr": rows.indptr, "graph.users": rows.users, "graph.n_users": np.array([rows.n_users])}


def graph_from(saved: Saved) -> ItemRows:
    """The inverse of `graph_tensors`. Raises ArtifactError on a graph that does not hold together."""
    indptr = saved.tensor("graph.indptr", (len(saved.ids) + 1,))
    users = saved.tensor("graph.users", (None,))
    n_users = int(saved.tensor("graph.n_users", (1,))[0])
    whole = indptr[0] == 0 and indptr[-1] == len(users) and not (np.diff(indptr) < 0).any()
    if not whole or (len(users) and (users.min() < 0 or users.max() >= n_users)):
        raise ArtifactError(f"{saved.directory}: the graph's indptr and users do not belong together")
    return ItemRows(indptr, users, n_users)
