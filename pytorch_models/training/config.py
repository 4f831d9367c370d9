"""Settings and state of a training run. No torch here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

FINAL_LEARNING_RATE = 0.01  # of the highest one, where the cosine ends


def identity_of(config: Any) -> dict[str, Any]:
    """Return the fields of a dataclass of options, without those that only say how soon a run ends."""
    return {
        name: value
        for name, value in asdict(config).items()
        if name not in ("patience", "cpu_budget_seconds")
    }


@dataclass(frozen=True)
class TrainingConfig:
    """Configures a run.

    steps               optimiser steps in all
    epochs              passes over the data that `steps` are, for messages; 0 = unknown
    learning_rate       the highest; reached after `warm_up` (share of the schedule), then a cosine down
    schedule            length of that curve against the run's: with 2 the run ends half-way down
    evaluate_every      steps between two validations
    patience            validations without a better one before stopping; 0 = never
    ema_decay           of a running average of the weights, which is validated and kept; 0 = none
    cpu_budget_seconds  stop after so many CPU-seconds of this process; 0 = no limit
    identity            what else makes the run what it is, as JSON; a resumed run must have the same
    """

    steps: int
    learning_rate: float = 2e-3
    warm_up: float = 0.05
    schedule: float = 1.0
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.98)
    clip_norm: float = 1.0
    evaluate_every: int = 1000
    patience: int = 0
    cpu_budget_seconds: float = 0.0
    epochs: float = 0.0
    ema_decay: float = 0.0
    seed: int = 1
    identity: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class TrainingState:
    """Holds where a run stands. `stopped`: steps (all done), patience, budget, or interrupted."""

    step: int = 0
    epoch: int = 0
    batch: int = 0  # of this epoch, the next one to train on
    best: float = -math.inf
    best_step: int = 0
    best_metrics: dict[str, float] = field(default_factory=dict)
    since_best: int = 0
    cpu_seconds: float = 0.0
    stopped: str = ""
    # step, cpu_seconds and metrics of each validation
    curve: list[dict[str, float]] = field(default_factory=list)

    def facts(self) -> dict[str, Any]:
        """Return what an artifact keeps of the run, as JSON."""
        return {
            "steps": self.step,
            "best_step": self.best_step,
            "stopped": self.stopped,
            "cpu_seconds": round(self.cpu_seconds, 2),
            "curve": self.curve,
            **self.best_metrics,
        }


def learning_rate_at(step: int, config: TrainingConfig) -> float:
    """Return the rate of a step: linear warm-up, then a cosine down to its end (SGDR, eq. 5)."""
    length = config.schedule * config.steps
    rising = max(1, round(config.warm_up * length))
    if step < rising:
        return config.learning_rate * (step + 1) / rising
    done = min(1.0, (step - rising) / max(1, length - rising))
    cosine = 0.5 * (1 + math.cos(math.pi * done))
    return config.learning_rate * (FINAL_LEARNING_RATE + (1 - FINAL_LEARNING_RATE) * cosine)
