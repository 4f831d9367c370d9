"""Settings of the training of LightGCN and NGCF."""

from __future__ import annotations

from dataclasses import dataclass

LOSSES = ("bpr", "softmax")
SIMILARITIES = ("dot", "cosine")
DRAWN = 1024  # items drawn per batch where negatives are not uniform and no number is given


@dataclass(frozen=True)
class GraphFitConfig:
    """Configures a fit. `l2` multiplies half the squared norms per pair, as in the papers.

    batch_size    pairs per step (softmax: as many entire users as make up so many pairs)
    n_negatives   items drawn per batch in the softmax; 0 = the full catalogue, or DRAWN of them
                  where negatives are not uniform
    temperature   t of the softmax
    similarity    what the softmax compares: dot products, or cosines, whose lengths carry no popularity
    negatives     uniform, popularity or hard, see datasets.negatives
    frozen_epochs  first epochs in which the embedding stays as it starts (NGCF)
    """

    epochs: int = 60
    batch_size: int = 4096
    learning_rate: float = 0.01
    loss: str = "softmax"
    l2: float = 1e-2
    temperature: float = 1.0
    similarity: str = "dot"
    negatives: str = "uniform"
    n_negatives: int = 0
    hard_share: float = 0.5
    refresh_every: int = 5
    evaluate_every: int = 5
    patience: int = 3
    cpu_budget_seconds: float = 0.0
    frozen_epochs: int = 0
    backend: str = "native"
    seed: int = 1

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise ValueError(f"loss must be one of {', '.join(LOSSES)}, not {self.loss!r}")
        if self.similarity not in SIMILARITIES:
            raise ValueError(f"similarity must be one of {', '.join(SIMILARITIES)}, not {self.similarity!r}")
        if self.similarity == "cosine" and self.loss == "bpr":
            raise ValueError("bpr compares dot products; similarity=cosine goes with loss=softmax")
        if min(self.epochs, self.batch_size, self.evaluate_every, self.refresh_every) < 1:
            raise ValueError("epochs, batch_size, evaluate_every and refresh_every must be 1 or more")
        if min(self.learning_rate, self.temperature) <= 0:
            raise ValueError("learning_rate and temperature must be above 0")
        if min(self.l2, self.n_negatives, self.frozen_epochs) < 0:
            raise ValueError("l2, n_negatives and frozen_epochs must be 0 or more")
