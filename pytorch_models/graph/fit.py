"""The fit of LightGCN and NGCF: from interactions to trained tables."""

from __future__ import annotations

import hashlib
import math
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from datasets.bipartite_graph import BipartiteGraph
from datasets.interactions import Interactions
from datasets.negatives import Positives, sampler
from pytorch_models.graph.batches import Batches, FittedGraph, GraphModel
from pytorch_models.graph.config import GraphFitConfig
from pytorch_models.graph.lightgcn import LightGCN, LightGCNConfig
from pytorch_models.graph.loss import graph_loss
from pytorch_models.graph.ngcf import NGCF, NGCFConfig
from pytorch_models.graph.propagation import Propagate, propagation
from pytorch_models.graph.tables import LightGCNTables, NGCFTables, tables_of
from pytorch_models.training.config import TrainingConfig, TrainingState, identity_of
from pytorch_models.training.loop import OnEpoch, Report, train


def fit_tables(
    network: str,
    shape: Mapping[str, Any],
    train_on: Interactions,
    config: GraphFitConfig,
    *,
    start: np.ndarray | None = None,
    validate: Callable[[LightGCNTables | NGCFTables], Mapping[str, float]] | None = None,
    **options: Any,
) -> tuple[LightGCNTables | NGCFTables, GraphModel, TrainingState]:
    """Fit "lightgcn" or "ngcf" and return its tables in float64, the model behind them and the state.

    `shape` are the fields of LightGCNConfig or NGCFConfig besides the sizes of the graph, `start` is the
    embedding to begin from, (n_users + n_items, dim) float32, random where there is none. `validate` gets
    the tables of the current weights in float32. The tables that are returned are computed in float64, so
    that the only error of a rounded copy is its rounding. Takes and raises otherwise what `fit` does.
    """

    def model_of(graph: BipartiteGraph, generator: torch.Generator) -> GraphModel:
        model: GraphModel
        if network == "lightgcn":
            model = LightGCN(LightGCNConfig(graph.n_users, graph.n_items, **shape), generator)
        else:
            row_sums = torch.as_tensor(graph.row_sums)
            model = NGCF(NGCFConfig(graph.n_users, graph.n_items, **shape), row_sums, generator)
        if start is not None:
            model.start_from(torch.from_numpy(start))
        return model

    model, graph, state = fit(
        model_of,
        train_on,
        config,
        validate=(lambda model, propagate: validate(tables_of(model, propagate))) if validate else None,
        begins="random" if start is None else hashlib.sha256(start.tobytes()).hexdigest(),
        **options,
    )
    model = model.to("cpu").double()
    return tables_of(model, propagation(graph, dtype=torch.float64)), model, state


def fit(
    model_of: Callable[[BipartiteGraph, torch.Generator], GraphModel],
    train_on: Interactions,
    config: GraphFitConfig,
    *,
    validate: Callable[[GraphModel, Propagate], Mapping[str, float]] | None = None,
    metric: str = "",
    device: torch.device | str = "cpu",
    directory: Path | None = None,
    report: Report = lambda step, total, message, metrics: None,
    on_epoch: OnEpoch = lambda epoch, total, metrics: None,
    resume: bool = False,
    begins: str = "random",
) -> tuple[GraphModel, BipartiteGraph, TrainingState]:
    """Build the graph of the training rows, fit a model on it and return it with its best weights.

    `begins` names what `model_of` begins with: a resumed run must begin alike.

    Negatives keep clear of training positives alone, whatever the sampler: to know the validation positives
    would leak the validation items into the negatives and flatter the validation figures.
    Raises ValueError where no user can be trained on, and what `training.train` raises.
    """
    device = torch.device(device)
    graph = BipartiteGraph.from_arrays(train_on.users, train_on.items, train_on.n_users, train_on.n_items)
    positives = Positives(graph.n_users, graph.n_items, (train_on.users, train_on.items))
    popularity = np.bincount(train_on.items, minlength=graph.n_items)
    negatives = sampler(
        config.negatives,
        positives,
        popularity,
        hard_share=config.hard_share,
        refresh_every=config.refresh_every,
    )
    model = model_of(graph, torch.Generator().manual_seed(config.seed)).to(device)
    fitted = FittedGraph(model, propagation(graph, device=device, backend=config.backend), negatives).to(
        device
    )
    batches = Batches(graph, fitted, config)
    steps = batches.steps_per_epoch
    training = TrainingConfig(
        steps=config.epochs * steps,
        learning_rate=config.learning_rate,
        warm_up=0.0,
        betas=(0.9, 0.999),
        clip_norm=math.inf,
        evaluate_every=config.evaluate_every * steps,
        patience=config.patience if metric else 0,
        cpu_budget_seconds=config.cpu_budget_seconds,
        epochs=config.epochs,
        seed=config.seed,
        identity={
            **identity_of(config),
            **{f"model.{name}": value for name, value in asdict(model.config).items()},
            "data": train_on.fingerprint(),
            "begins": begins,
        },
    )
    with tempfile.TemporaryDirectory() as scratch:
        state = train(
            fitted,
            batches,
            lambda step: graph_loss(fitted, step, config),
            training,
            device=device,
            directory=directory or Path(scratch),
            validate=(lambda: validate(model, fitted.propagate)) if validate else None,
            metric=metric,
            report=report,
            on_epoch=on_epoch,
            resume=resume,
        )
    return model, graph, state
