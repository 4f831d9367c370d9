"""What LightGCN and NGCF share as predictors: a query becomes a new node, and the node ranks the films."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from predictors.base import Observe, Predictor, Query, top_k
from predictors.config import read_options
from predictors.errors import ArtifactError, TrainingError
from predictors.id_map import IdMap
from predictors.models.graph.fold_in import EPSILON, FORMS, FineTuning, ItemRows, NewNode, fine_tuned
from predictors.progress import Progress, ProgressEvent, silent
from ranking_metrics.ranking import hits_of, per_user

if TYPE_CHECKING:
    from datasets.interactions import Interactions
    from pytorch_models.graph.fit import GraphModel
    from pytorch_models.graph.propagation import BipartiteGraph, Propagate

METRIC = "NDCG@10"
MOST_VALIDATION_USERS = 500
_GIVEN_TO_GUESTS = 0.5  # share of the rows of a validation user who has no training rows


@dataclass(frozen=True, slots=True)
class GraphOptions:
    """Training (see pytorch_models.graph.fit) and serving.

    layers, dim      of the model
    similarity       what is trained, dot or cosine
    length_power     cosine: films are served at their length to this power. Cosines are blind to length,
                     but the longer a film's vector the more people it was averaged from: 0 leaves that
                     out, 1 is the dot product
    form             exact, or local: faster, with an error of second order
    fine_tune_steps  BPR steps on the new node's own vector; 0 = none
    fine_tune_rate   their size, see FineTuning
    budget_ms        CPU-milliseconds they may take
    """

    dim: int = 64
    layers: int = 3
    epochs: int = 60
    batch_size: int = 4096
    learning_rate: float = 0.01
    loss: str = "softmax"
    l2: float = 0.01
    temperature: float = 1.0
    similarity: str = "dot"
    length_power: float = 0.0
    negatives: str = "uniform"
    n_negatives: int = 0
    hard_share: float = 0.5
    refresh_every: int = 5
    evaluate_every: int = 5
    patience: int = 3
    cpu_budget_seconds: float = 0.0
    backend: str = "native"
    device: str = "cpu"
    seed: int = 1
    form: str = "exact"
    fine_tune_steps: int = 0
    fine_tune_rate: float = 0.1
    budget_ms: float = 50.0


_FIT_OPTIONS = (
    "epochs", "batch_size", "learning_rate", "loss", "l2", "temperature", "similarity", "negatives",
    "n_negatives", "hard_share", "refresh_every", "evaluate_every", "patience", "cpu_budget_seconds",
    "backend", "seed",
)  # fmt: skip


class GraphPredictor(Predictor):
    """Serves from the cached tables of a `NewNode`; they are only read, so threads share them freely.

    A film's weight in the history is the weight of its edge. Disliked films take part in the
    fine-tuning only. `form` and `fine_tuning` may be replaced on a loaded predictor before it serves.
    """

    options_class: type[GraphOptions] = GraphOptions
    can_be_observed = True

    def __init__(self, node: NewNode, ids: IdMap, meta: Mapping[str, Any] | None = None) -> None:
        super().__init__(ids, meta)
        self.node = node
        self.trained_users: np.ndarray | None = None  # (n_users, f) float32, after `fit` only
        config = self.meta.get("config", {})
        default = self.options_class()
        self.form = str(config.get("form", default.form))
        if self.form not in FORMS:
            raise ArtifactError(f"form must be one of {', '.join(FORMS)}, not {self.form!r}")
        self.fine_tuning = FineTuning(
            int(config.get("fine_tune_steps", default.fine_tune_steps)),
            float(config.get("fine_tune_rate", default.fine_tune_rate)),
            float(config.get("budget_ms", default.budget_ms)),
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
    def fit(
        cls,
        train: Interactions,
        validation: Interactions | None = None,
        *,
        options: Mapping[str, Any] | None = None,
        progress: Progress = silent,
        checkpoint_dir: Path | None = None,
        resume: bool = False,
        observe: Observe | None = None,
    ) -> Self:
        """Train, then cache the tables that a new node needs.

        Early stopping looks at NDCG@10 of validation users as visitors, by the local form: those with
        training rows are given them, the others half of their validation rows. `observe` looks on as often:
        what it returns is kept in `meta["training"]["curve"]` and decides nothing.
        Raises TrainingError when the data or an option cannot be used.
        """
        return cls.fit_with_model(
            train,
            validation,
            options=options,
            progress=progress,
            checkpoint_dir=checkpoint_dir,
            resume=resume,
            observe=observe,
        )[0]

    @classmethod
    def fit_with_model(
        cls,
        train: Interactions,
        validation: Interactions | None = None,
        *,
        options: Mapping[str, Any] | None = None,
        progress: Progress = silent,
        checkpoint_dir: Path | None = None,
        resume: bool = False,
        observe: Observe | None = None,
    ) -> tuple[Self, GraphModel]:
        """As `fit`, with the model behind the tables in float64, which serving does not need."""
        import torch

        from pytorch_models.graph.fit import GraphFitConfig, describe, fit
        from pytorch_models.graph.propagation import propagation

        chosen = read_options(cls.options_class, options)
        if chosen.form not in FORMS or chosen.fine_tune_steps < 0 or chosen.budget_ms <= 0:
            raise TrainingError(
                f"form must be one of {', '.join(FORMS)}, fine_tune_steps 0 or more, budget_ms above 0"
            )
        if len(train) == 0:
            raise TrainingError("there are no interactions to build a graph from")
        rows = item_rows(train)
        visitors = _Visitors.of(train, validation, chosen.seed)
        ids = IdMap(np.asarray(train.item_ids).tolist())

        def node_of(model: GraphModel, propagate: Propagate) -> NewNode:
            node = cls.node_of(model, propagate, rows)
            if chosen.similarity == "cosine":  # a visitor's own length does not change their ranking
                node.films = _scaled(node.films, chosen.length_power)
            return node

        def judged(model: GraphModel, propagate: Propagate) -> dict[str, float]:
            node = node_of(model, propagate)
            metrics = {METRIC: visitors.ndcg(node)} if visitors else {}
            if observe:
                metrics |= observe(cls(node, ids, {"config": {**asdict(chosen), "form": "local"}}))
            return metrics

        def report(step: int, total: int, message: str, metrics: Mapping[str, float]) -> None:
            progress(ProgressEvent(step / total, message, metrics))

        try:
            config = GraphFitConfig(**{name: getattr(chosen, name) for name in _FIT_OPTIONS})
            model, graph, state = fit(
                lambda graph, generator: cls.build_model(graph, generator, chosen),
                train,
                validation,
                config,
                validate=judged if visitors or observe else None,
                metric=METRIC if visitors else "",
                device=chosen.device,
                directory=checkpoint_dir,
                report=report,
                resume=resume,
            )
        except (ValueError, FloatingPointError) as error:
            raise TrainingError(str(error)) from error
        if state.stopped == "interrupted":
            raise TrainingError("interrupted; go on with resume")
        # The cached tables in float64, so that their only error is the rounding to float32.
        model = model.to("cpu").double()
        with torch.no_grad():
            propagate = propagation(graph, dtype=torch.float64)
            predictor = cls(
                node_of(model, propagate), ids, {"config": asdict(chosen), "training": describe(state)}
            )
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

    def score_batch(self, queries: Sequence[Query]) -> np.ndarray:
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


def take(
    tensors: Mapping[str, np.ndarray], directory: Path | None
) -> Callable[[str, tuple[int | None, ...]], np.ndarray]:
    """A reader of named tensors of a known shape (None = any). It raises ArtifactError."""

    def read(name: str, shape: tuple[int | None, ...]) -> np.ndarray:
        array = tensors.get(name)
        fits = array is not None and array.ndim == len(shape)
        if not fits or any(want not in (None, have) for want, have in zip(shape, array.shape, strict=True)):  # type: ignore[union-attr]
            have = "nothing" if array is None else f"shape {array.shape}"
            raise ArtifactError(f"{directory}: expected the tensor {name} of shape {shape}, found {have}")
        return array  # type: ignore[return-value]

    return read


def graph_tensors(rows: ItemRows) -> dict[str, np.ndarray]:
    return {"graph.indptr": rows.indptr, "graph.users": rows.users, "graph.n_users": np.array([rows.n_users])}


def graph_from(
    read: Callable[[str, tuple[int | None, ...]], np.ndarray], n_items: int, directory: Path | None
) -> ItemRows:
    """The inverse of `graph_tensors`. Raises ArtifactError on a graph that does not hold together."""
    indptr, users = read("graph.indptr", (n_items + 1,)), read("graph.users", (None,))
    n_users = int(read("graph.n_users", (1,))[0])
    whole = indptr[0] == 0 and indptr[-1] == len(users) and not (np.diff(indptr) < 0).any()
    if not whole or (len(users) and (users.min() < 0 or users.max() >= n_users)):
        raise ArtifactError(f"{directory}: the graph's indptr and users do not belong together")
    return ItemRows(indptr, users, n_users)
