"""The options of KPRN."""

from __future__ import annotations

from dataclasses import dataclass

from predictors.config import Config


@dataclass(frozen=True)
class KprnConfig(Config):
    """Configures the path graph, the network (pytorch_models.kprn.network) and its training."""

    neighbours: int = 1000  #: see datasets.knowledge_graph.path_graph.build_path_graph
    hub_limit: int = 50  #: see datasets.knowledge_graph.path_graph.build_path_graph
    dim: int = 32  #: length of an entity's vector
    small_dim: int = 8  #: length of the vectors of types and relations
    hidden: int = 32  #: of the network
    relations: bool = True  #: read the relations of a path
    types: bool = True  #: read the types of its entities
    walk: bool = True  #: read features of how the path is walked
    general: bool = True  #: let a path lead to every item from people in general, as a prior
    pooling: str = "lse"  #: how the paths to an item are summed
    gamma: float = 1.0  #: of the pooling
    dropout: float = 0.1  #: while training
    epochs: float = 1.5  #: passes over the interactions; 0 = as it starts, untrained
    steps: int = 0  #: of the training instead of epochs; 0 = by epochs
    examples: int = 64  #: histories of a step
    positives: int = 4  #: of a history
    history: int = 30  #: items of a history
    learning_rate: float = 0.002  #: of Adam
    loss: str = "softmax"  #: see pytorch_models.kprn.config
    negatives: str = "mixed"  #: see pytorch_models.kprn.config
    time_share: float = 0.5  #: share of histories in the order of time
    l2: float = 1e-4  #: weight of the squared vectors of the entities of a batch
    evaluations: int = 5  #: validations in a run
    patience: int = 0  #: validations without a better one before stopping; 0 = never
