"""Settings of the training of KPRN."""

from __future__ import annotations

from dataclasses import dataclass

LOSSES = ("softmax", "bce")
SAMPLERS = ("mixed", "uniform", "hard")
MAX_STEPS = 6_000


@dataclass(frozen=True)
class KprnFitConfig:
    """Configures a fit.

    positives    films asked for in one example
    examples     per step
    steps        0 = so many that every row was asked for `epochs` times on average, MAX_STEPS at most;
                 without epochs nothing is trained
    history      the latest films shown, at most
    time_share   share of the examples in the order of time
    negatives    uniform over the catalogue; hard: among what an open search finds; mixed: half and half
    l2           multiplies the squared vectors of the entities of a batch, per entity
    """

    steps: int = 0
    epochs: float = 1.5
    examples: int = 64
    positives: int = 4
    history: int = 30
    learning_rate: float = 0.002
    loss: str = "softmax"
    negatives: str = "mixed"
    time_share: float = 0.5
    l2: float = 1e-4
    evaluations: int = 5
    patience: int = 0
    cpu_budget_seconds: float = 0.0
    seed: int = 1

    def __post_init__(self) -> None:
        if self.loss not in LOSSES or self.negatives not in SAMPLERS:
            raise ValueError(
                f"loss must be one of {', '.join(LOSSES)}, negatives one of {', '.join(SAMPLERS)}"
            )
        if min(self.examples, self.positives, self.history, self.evaluations) < 1:
            raise ValueError("examples, positives, history and evaluations must be 1 or more")
        if self.steps < 0 or self.patience < 0:
            raise ValueError("steps and patience must be 0 or more")
        if self.learning_rate <= 0 or min(self.epochs, self.l2) < 0 or not 0 <= self.time_share <= 1:
            raise ValueError("learning_rate must be above 0, epochs and l2 not below, time_share in [0, 1]")
