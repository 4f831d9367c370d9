"""The length of a refit on all rows: the one that the validation chose.

Iterative models name their length in their configuration: `epochs`, or `steps` where it is set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from predictors.config import Config
from predictors.run import Hook


class Schedule(Hook):
    """Records how much of its schedule a training completed."""

    def __init__(self) -> None:
        self.total_steps = 0
        self.epochs = 0

    def on_step(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        self.total_steps = total

    def on_epoch(self, epoch: int, total: int, metrics: Mapping[str, float]) -> None:
        self.epochs = epoch

    def chosen(self, training: Mapping[str, Any], config: Config) -> dict[str, float]:
        """Return the chosen length by option name: that of the best step, else all that was trained.

        training holds the facts of the fit: `best_step`, and `epochs` where the model chose them by size.
        """
        best = training.get("best_step")
        if best == 0:  # the untrained start was the best
            return {name: 0 for name in ("epochs", "steps") if hasattr(config, name)}
        if not best or not self.total_steps:
            return {"epochs": self.epochs} if self.epochs else {}
        share = best / self.total_steps
        if getattr(config, "steps", 0):
            return {"steps": share * config.steps}  # type: ignore[attr-defined]
        return {"epochs": share * (training.get("epochs") or getattr(config, "epochs", 0))}


def refit_config(config: Config, chosen: Mapping[str, float]) -> Config:
    """Return the configuration of the refit: the chosen length, and no early stopping."""
    changes: dict[str, Any] = {}
    for name, amount in chosen.items():
        is_count = isinstance(getattr(config, name), int)
        changes[name] = max(1, round(amount)) if is_count and amount else amount
    if hasattr(config, "patience"):
        changes["patience"] = 0
    return replace(config, **changes)
