"""The fit of KPRN: from interactions and a path graph to the best weights."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from datasets.interactions import Interactions
from datasets.knowledge_graph.path_graph import PathGraph, path_graph_statistics
from datasets.knowledge_graph.paths import Caps
from pytorch_models.kprn.config import MAX_STEPS, KprnFitConfig
from pytorch_models.kprn.examples import Example, Examples
from pytorch_models.kprn.loss import kprn_loss
from pytorch_models.kprn.network import Kprn, KprnConfig
from pytorch_models.training.config import TrainingConfig, TrainingState
from pytorch_models.training.loop import OnEpoch, Report, train


def fit(
    rows: Interactions,
    graph: PathGraph,
    caps: Caps,
    shape: Mapping[str, Any],
    config: KprnFitConfig,
    *,
    validate: Callable[[dict[str, np.ndarray]], Mapping[str, float]] | None = None,
    metric: str = "",
    directory: Path | None = None,
    report: Report = lambda step, total, message, metrics: None,
    on_epoch: OnEpoch = lambda epoch, total, metrics: None,
    resume: bool = False,
) -> tuple[dict[str, np.ndarray], TrainingState]:
    """Train on the rows of a graph built from them; `shape` are fields of KprnConfig.

    `validate` gets the weights as arrays. Returns the best weights and where the run ended: the untrained
    ones, with `best_step` 0, where no trained ones are better, and without epochs or steps.
    Raises ValueError on data or options that cannot be used.
    """
    caps = Caps(**{**asdict(caps), "history": config.history})
    model_config = KprnConfig(graph.n_entities, len(graph.type_names), graph.end + 1, **shape)
    generator = torch.Generator().manual_seed(config.seed)
    model = Kprn(model_config, graph.types, graph.rated, generator)
    untrained = weights_of(model)
    at_start = dict(validate(untrained)) if validate else {}
    if not (config.steps or config.epochs):
        return untrained, TrainingState(stopped="untrained", best_metrics=at_start)
    per_epoch = max(1, math.ceil(len(rows) / (config.examples * config.positives)))
    steps = config.steps or min(MAX_STEPS, max(1, round(config.epochs * per_epoch)))
    examples = Examples(rows, graph, caps, config, per_epoch)

    def loss(example: Example) -> torch.Tensor:
        value = kprn_loss(model, example, config)
        if config.l2:
            vectors = model.entities.index_select(0, example.tree.entities)
            value = value + config.l2 * vectors.square().sum(dim=1).mean()
        return value

    def validated() -> Mapping[str, float]:
        return validate(weights_of(model)) if validate else {}

    with tempfile.TemporaryDirectory() as temporary:
        state = train(
            model,
            examples,
            loss,
            TrainingConfig(
                steps,
                config.learning_rate,
                evaluate_every=max(1, steps // config.evaluations),
                patience=config.patience,
                cpu_budget_seconds=config.cpu_budget_seconds,
                epochs=steps / per_epoch,
                seed=config.seed,
                identity={
                    **asdict(model_config),
                    **asdict(config),
                    "data": rows.fingerprint(),
                    "paths": path_graph_statistics(graph),
                },
            ),
            device=torch.device("cpu"),
            directory=directory or Path(temporary),
            validate=validated if validate else None,
            metric=metric,
            report=report,
            on_epoch=on_epoch,
            resume=resume,
        )
    if metric and at_start[metric] >= state.best:
        state.best, state.best_step, state.best_metrics = at_start[metric], 0, at_start
        return untrained, state
    return weights_of(model), state


def weights_of(model: Kprn) -> dict[str, np.ndarray]:
    """Return copies of the parameters by name."""
    return {name: value.detach().numpy().copy() for name, value in model.named_parameters()}
