"""The base of LightGCN and NGCF as predictors: a query becomes a new node, and the node ranks the items."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from predictors.base import Saved
from predictors.config import Config
from predictors.errors import ArtifactError, TrainingError
from predictors.id_map import IdMap
from predictors.inner_product import InnerProductPredictor
from predictors.memory import memory_limit
from predictors.models.graph.fine_tuning import MAX_OPERATIONS, FineTuning, fine_tuned
from predictors.models.graph.first_embedding import RANDOM, SINGULAR, singular_start
from predictors.models.graph.new_node import EPSILON, FORMS, MAX_LAYERS, ItemRows, NewNode
from predictors.query import Query
from predictors.run import Run
from predictors.training_data import TrainingData
from predictors.validation import METRIC, Validator

if TYPE_CHECKING:
    from datasets.interactions import Interactions
    from pytorch_models.graph.batches import GraphModel

VALIDATION_USERS = 500


@dataclass(frozen=True)
class GraphConfig(Config):
    """Configures training (see pytorch_models.graph.config) and serving."""

    dim: int = 64  #: columns of a layer
    layers: int = 3  #: propagation steps
    start: str = "random"  #: the first embedding: random, or singular vectors of the graph (singular)
    epochs: int = 60  #: passes over the interactions
    batch_size: int = 4096  #: interactions of a step
    learning_rate: float = 0.01  #: of Adam
    loss: str = "softmax"  #: softmax or bpr, see pytorch_models.graph.loss
    l2: float = 0.01  #: weight of the squared length of the vectors of a batch
    temperature: float = 1.0  #: scores are divided by it in the softmax
    similarity: str = "dot"  #: dot or cosine
    #: cosine: items are served at their length to this power. 0 leaves the length out, 1 is the dot product
    length_power: float = 0.0
    negatives: str = "uniform"  #: sampler of negatives: uniform, popularity or hard
    n_negatives: int = 0  #: drawn per batch in the softmax; 0 = the full catalogue
    hard_share: float = 0.5  #: share of hard negatives among the sampled
    refresh_every: int = 5  #: epochs between two searches for hard negatives
    evaluate_every: int = 5  #: epochs between two validations
    patience: int = 3  #: validations without a better one before stopping; 0 = never
    backend: str = "native"  #: of the propagation
    form: str = "exact"  #: exact, or local: faster, with an error of second order
    fine_tune_steps: int = 0  #: BPR steps on the new node's own vector; 0 = none
    fine_tune_rate: float = 0.1  #: size of these steps
    fine_tune_operations: int = MAX_OPERATIONS  #: multiply-adds they may take; no clock is read

    starts: ClassVar[tuple[str, ...]] = (RANDOM, SINGULAR)

    def check(self) -> None:
        self.require(self.form in FORMS, f"form must be one of {', '.join(FORMS)}")
        self.require(self.start in self.starts, f"start must be one of {', '.join(self.starts)}")
        self.require(
            1 <= self.layers <= MAX_LAYERS,
            f"layers must be 1 to {MAX_LAYERS}: more cannot be served exactly",
        )
        self.require(self.fine_tune_steps >= 0, "fine_tune_steps must be 0 or more")
        self.require(self.fine_tune_operations > 0, "fine_tune_operations must be above 0")


_FIT_OPTIONS = (
    "epochs", "batch_size", "learning_rate", "loss", "l2", "temperature", "similarity", "negatives",
    "n_negatives", "hard_share", "refresh_every", "evaluate_every", "patience", "backend",
)  # fmt: skip


class GraphPredictor(InnerProductPredictor):
    """Serves from the cached tables of a `NewNode`; they are only read, so threads share them freely.

    An item's weight in the history is the weight of its edge. Disliked items take part in the
    fine-tuning only. `form` and `fine_tuning` may be replaced on a loaded predictor before it serves.
    """

    config_class: ClassVar[type[Config]] = GraphConfig
    can_be_observed = is_costly = True
    #: memory of a training as so many float32 tables of (n_users + n_items, dim), measured with 2, 3 and 4
    #: layers: whatever the number of layers, and for each of them
    tables_in_memory: ClassVar[tuple[int, int]]

    def __init__(self, node: NewNode, ids: IdMap, config: GraphConfig | None = None) -> None:
        super().__init__(ids, config)
        self.node = node
        self.trained_users: np.ndarray | None = None  # (n_users, f) float32, after `fit` only
        self.form = self.config.form
        self.fine_tuning = FineTuning(
            self.config.fine_tune_steps, self.config.fine_tune_rate, self.config.fine_tune_operations
        )

    # -- what each model adds -----------------------------------------------------------------

    @classmethod
    @abstractmethod
    def shape(cls, config: Any) -> dict[str, Any]:
        """Return the fields of the network's configuration besides the sizes of the graph."""

    @classmethod
    def fit_options(cls, config: Any) -> dict[str, Any]:
        """Return the fields of the fit's configuration (pytorch_models.graph.config)."""
        return {name: getattr(config, name) for name in _FIT_OPTIONS}

    @classmethod
    def first_embedding(cls, data: TrainingData, config: Any, run: Run) -> np.ndarray | None:
        """Return the embedding that training begins with, (n_nodes, dim) float32; None = random."""
        return singular_start(data.matrix(), config.dim, run.seed) if config.start == SINGULAR else None

    @classmethod
    @abstractmethod
    def new_node(cls, tables: Any, rows: ItemRows) -> NewNode:
        """Build the new node's tables from those of a trained network (pytorch_models.graph.tables)."""

    @classmethod
    @abstractmethod
    def user_vectors(cls, tables: Any) -> np.ndarray:
        """Return (n_users, f) the final vectors of the users of the training data."""

    # -- the predictor ------------------------------------------------------------------------

    @classmethod
    def check_data(cls, data: TrainingData, config: GraphConfig) -> None:
        """Raise TrainingError on a graph that does not fit into the memory that this process may take."""
        n_nodes = data.n_users + data.n_items
        fixed, of_layer = cls.tables_in_memory
        needed = n_nodes * config.dim * 4 * (fixed + of_layer * config.layers)
        memory = memory_limit()
        if needed > memory:
            raise TrainingError(
                f"{cls.name} computes with the whole graph in every step: {n_nodes:,} users and items with "
                f"dim={config.dim} and layers={config.layers} take about {needed / 1e9:.0f} GB of "
                f"{memory / 1e9:.0f}; "
                "mf_softmax trains on graphs of any size"
            )

    @classmethod
    def _fit(cls, data: TrainingData, config: GraphConfig, run: Run) -> Self:
        return cls.fit_with_model(data, config, run)[0]

    @classmethod
    def fit_with_model(cls, data: TrainingData, config: GraphConfig, run: Run) -> tuple[Self, GraphModel]:
        """Fit, and return the model behind the tables in float64 as well, which serving does not need."""
        from pytorch_models.graph.config import GraphFitConfig
        from pytorch_models.graph.fit import fit_tables
        from pytorch_models.training.checkpoints import CheckpointError

        rows = item_rows(data.train)
        validator = Validator.from_rows(
            data.train, data.validation, max_users=VALIDATION_USERS, seed=run.seed
        )

        def node_of(tables: Any) -> NewNode:
            node = cls.new_node(tables, rows)
            if config.similarity == "cosine":  # a user's own length does not change their ranking
                node.item_vectors = _scaled(node.item_vectors, config.length_power)
            return node

        def validate(tables: Any) -> dict[str, float]:
            node, metrics = node_of(tables), {}
            if validator:
                plain = cls(node, data.items, replace(config, form="local", fine_tune_steps=0))
                metrics = validator.measure(plain, [METRIC])
            if run.has_observers:
                metrics |= run.observe(cls(node, data.items, replace(config, form="local")))
            return metrics

        try:
            tables, model, state = fit_tables(
                cls.name,
                cls.shape(config),
                data.train,
                GraphFitConfig(
                    **cls.fit_options(config),
                    cpu_budget_seconds=run.cpu_budget_seconds,
                    seed=run.seed,
                ),
                start=cls.first_embedding(data, config, run),
                validate=validate if validator or run.has_observers else None,
                metric=METRIC if validator else "",
                device=run.torch_device,
                directory=run.checkpoint_dir,
                report=run.report_step,
                on_epoch=run.end_epoch,
                resume=run.resume,
            )
        except (ValueError, FloatingPointError, CheckpointError) as error:
            raise TrainingError(str(error)) from error
        if state.stopped == "interrupted":
            raise TrainingError("interrupted; go on with resume")
        predictor = cls(node_of(tables), data.items, config)
        predictor.meta["training"] = state.facts()
        predictor.trained_users = cls.user_vectors(tables).astype(np.float32)
        return predictor, model

    def vector(self, query: Query) -> np.ndarray:
        """Compute (f,) float32 the final vector of the new node; zeros for a query without items."""
        node = self.node
        if not len(query.liked):
            return np.zeros(node.item_vectors.shape[1], dtype=np.float32)
        edges = node.edges(query.liked, query.weights)
        start = node.initial(edges)
        if self.fine_tuning.steps:
            start = fine_tuned(node, edges, start, query.disliked, self.fine_tuning)
        return node.vector(edges, start, self.form).astype(np.float32, copy=False)

    def score_users(self, users: np.ndarray) -> np.ndarray | None:
        return None if self.trained_users is None else self.trained_users[users] @ self.node.item_vectors.T

    def item_vectors(self) -> np.ndarray:
        return self.node.item_vectors

    def query_vectors(self, queries: Sequence[Query]) -> np.ndarray:
        vectors = np.empty((len(queries), self.node.item_vectors.shape[1]), dtype=np.float32)
        for row, query in zip(vectors, queries, strict=True):
            row[:] = self.vector(query)
        return vectors


def item_rows(train: Interactions) -> ItemRows:
    """Return the users of each item from training rows; repeated rows are one edge."""
    by_item = train.csr().tocsc()
    by_item.sort_indices()
    return ItemRows(by_item.indptr.astype(np.int64), by_item.indices.astype(np.int32), train.n_users)


def _scaled(item_vectors: np.ndarray, power: float) -> np.ndarray:
    """Scale rows (n_items, f) to their length to this power; an item without a vector stays at zero."""
    lengths = np.maximum(np.linalg.norm(item_vectors, axis=1, keepdims=True), EPSILON)
    return (item_vectors * lengths ** (power - 1)).astype(item_vectors.dtype)


def graph_tensors(rows: ItemRows) -> dict[str, np.ndarray]:
    """Return the graph as tensors of an artifact."""
    return {"graph.indptr": rows.indptr, "graph.users": rows.users, "graph.n_users": np.array([rows.n_users])}


def graph_from(saved: Saved) -> ItemRows:
    """Read the graph from an artifact. Raises ArtifactError on a graph that does not hold together."""
    indptr = saved.tensor("graph.indptr", (len(saved.ids) + 1,))
    users = saved.tensor("graph.users", (None,))
    n_users = int(saved.tensor("graph.n_users", (1,))[0])
    is_sound = indptr[0] == 0 and indptr[-1] == len(users) and not (np.diff(indptr) < 0).any()
    if not is_sound or (len(users) and (users.min() < 0 or users.max() >= n_users)):
        raise ArtifactError(f"{saved.directory}: the graph's indptr and users do not belong together")
    return ItemRows(indptr, users, n_users)
