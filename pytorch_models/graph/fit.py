"""Losses, batches and the fit of LightGCN and NGCF: everything but the loop itself.

    bpr      -log sigmoid(s_ui - s_uj), one drawn j per pair      (Rendle et al., UAI 2009)
    softmax  log(1 + sum over j of exp((s_uj - s_ui) / t))        (sampled softmax)

In the softmax all pairs of a user share one sum: batches hold whole users, so that a step over 4,096
pairs scores some fifty users instead of 4,096 rows. The j are the whole catalogue without the user's
positives, or `n_negatives` drawn items, shared by the batch, where the catalogue is larger.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from datasets.interactions import Interactions
from pytorch_models.graph.lightgcn import LightGCN
from pytorch_models.graph.ngcf import NGCF
from pytorch_models.graph.propagation import BipartiteGraph, Propagate, propagation
from pytorch_models.training.loop import Report, TrainingConfig, TrainingState, train
from pytorch_models.training.negatives import HardNegatives, Negatives, Positives, ranges, sampler

LOSSES = ("bpr", "softmax")
SIMILARITIES = ("dot", "cosine")
DRAWN = 1024  # items drawn per batch where negatives are not uniform and no number is given
_MASKED = -1e9

GraphModel = LightGCN | NGCF


@dataclass(frozen=True)
class GraphFitConfig:
    """How to fit. `l2` multiplies half the squared norms per pair, as in the papers.

    batch_size    pairs per step (softmax: as many whole users as make up so many pairs)
    n_negatives   items drawn per batch in the softmax; 0 = the whole catalogue, or DRAWN of them
                  where negatives are not uniform
    temperature   t of the softmax
    similarity    what the softmax compares: dot products, or cosines, whose lengths carry no popularity
    negatives     uniform, popularity or hard, see pytorch_models.training.negatives
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
        if min(self.learning_rate, self.temperature) <= 0 or min(self.l2, self.n_negatives) < 0:
            raise ValueError("learning_rate and temperature must be above 0, l2 and n_negatives not below")


@dataclass(frozen=True)
class Step:
    """One batch: pairs by user row.

    users (U,) int64; rows (P,) int64 into users; items (P,) int64; negatives (P,) int64 for BPR,
    (N,) int64 shared for a drawn softmax, None for the whole catalogue; positives (U, N) bool, where
    a drawn item is one
    """

    users: torch.Tensor
    rows: torch.Tensor
    items: torch.Tensor
    negatives: torch.Tensor | None
    positives: torch.Tensor | None = None


class FittedGraph(nn.Module):
    """A graph model in training, with the pool of hard negatives beside it.

    The pool and the epoch it was made in are buffers: they are part of a checkpoint, and a resumed
    run draws the same negatives as an uninterrupted one.
    """

    pool: torch.Tensor
    pool_epoch: torch.Tensor

    def __init__(self, model: GraphModel, propagate: Propagate, negatives: Negatives) -> None:
        super().__init__()
        self.model, self.propagate, self.negatives = model, propagate, negatives
        if isinstance(negatives, HardNegatives):
            shape = (negatives.positives.n_users, negatives.pool_width)
            self.register_buffer("pool", torch.zeros(shape, dtype=torch.int32))
            self.register_buffer("pool_epoch", torch.tensor(-1))

    def refresh_negatives(self, epoch: int) -> None:
        """Rank for every user with the current weights, when the schedule says so."""
        if not isinstance(self.negatives, HardNegatives):
            return
        if self.negatives.due(epoch) and int(self.pool_epoch) != epoch:
            users, items = self.vectors()
            self.negatives.refresh(users, items)
            self.pool.copy_(torch.as_tensor(self.negatives.pool))
            self.pool_epoch.fill_(epoch)
        elif int(self.pool_epoch) >= 0:
            self.negatives.pool = self.pool.cpu().numpy()

    def vectors(self) -> tuple[np.ndarray, np.ndarray]:
        """(n_users, f) and (n_items, f) float32 final vectors, without dropout."""
        was_training = self.model.training
        self.model.eval()
        with torch.no_grad():
            final = self.model(self.propagate).cpu().numpy()
        self.model.train(was_training)
        n_users = self.model.config.n_users
        return final[:n_users], final[n_users:]


def fit(
    model_of: Callable[[BipartiteGraph, torch.Generator], GraphModel],
    train_on: Interactions,
    validation: Interactions | None,
    config: GraphFitConfig,
    *,
    validate: Callable[[GraphModel, Propagate], Mapping[str, float]] | None = None,
    metric: str = "",
    device: torch.device | str = "cpu",
    directory: Path | None = None,
    report: Report = lambda step, total, message, metrics: None,
    resume: bool = False,
) -> tuple[GraphModel, BipartiteGraph, TrainingState]:
    """Build the graph of the training rows and fit a model on it; its best weights are returned.

    Hard negatives keep clear of validation positives too; the other kinds do not look at them, since
    that would tell the model which items to spare and flatter the validation figures.
    Raises ValueError where no user can be trained on, and what `training.train` raises.
    """
    device = torch.device(device)
    graph = BipartiteGraph.from_arrays(train_on.users, train_on.items, train_on.n_users, train_on.n_items)
    columns = [(train_on.users, train_on.items)]
    if validation is not None and config.negatives == "hard":
        columns.append((validation.users, validation.items))
    positives = Positives(graph.n_users, graph.n_items, *columns)
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
        seed=config.seed,
        identity={
            **{
                name: value
                for name, value in asdict(config).items()
                if name not in ("patience", "cpu_budget_seconds")
            },
            **{f"model.{name}": value for name, value in asdict(model.config).items()},
            "data": train_on.fingerprint(),
        },
    )
    with tempfile.TemporaryDirectory() as scratch:
        state = train(
            fitted,
            batches,
            lambda step: loss_of(fitted, step, config),
            training,
            device=device,
            directory=directory or Path(scratch),
            validate=(lambda: validate(model, fitted.propagate)) if validate else None,
            metric=metric,
            report=report,
            resume=resume,
        )
    return model, graph, state


def loss_of(fitted: FittedGraph, step: Step, config: GraphFitConfig) -> torch.Tensor:
    """Mean loss per pair with the L2 term, for one batch; a scalar."""
    model = fitted.model
    device = model.embedding.device
    with torch.autocast(device.type, enabled=False):
        final = model(fitted.propagate)
        n_users = model.config.n_users
        users, items, rows = step.users.to(device), step.items.to(device), step.rows.to(device)
        nodes = [users, n_users + items]
        if step.negatives is not None:
            nodes.append(n_users + step.negatives.to(device))
        # One gather: each costs a gradient of the size of the whole table.
        chosen = final.index_select(0, torch.cat(nodes)).split([len(some) for some in nodes])
        if config.loss == "bpr":
            people, positives, negatives = chosen
            difference = negatives - positives
            loss = functional.softplus((people.index_select(0, rows) * difference).sum(dim=1)).mean()
        else:
            loss = _softmax(final[n_users:], chosen, step, config, rows=rows, items=items)
        if not config.l2:
            return loss
        looked_at = torch.cat(nodes if config.loss == "bpr" else nodes[:2])
        squares = model.penalised(final, looked_at).square().sum()
        return loss + config.l2 * squares / (2 * len(items))


def _softmax(
    films: torch.Tensor,
    chosen: Sequence[torch.Tensor],
    step: Step,
    config: GraphFitConfig,
    *,
    rows: torch.Tensor,
    items: torch.Tensor,
) -> torch.Tensor:
    """films (n_items, f); chosen: users (U, f), films of the pairs (P, f) and, if drawn, (N, f);
    rows and items (P,) -> scalar"""
    if config.similarity == "cosine":
        chosen = [functional.normalize(vectors) for vectors in chosen]
        films = films if len(chosen) > 2 else functional.normalize(films)
    users, own_films, *drawn = chosen
    own = (users.index_select(0, rows) * own_films).sum(dim=1) / config.temperature
    if drawn:
        scores = users @ drawn[0].T / config.temperature  # (U, N)
        if config.negatives == "uniform":
            # Each item is in the sum with probability N / n_items (Jean et al., ACL 2015, eq. 9).
            scores = scores + math.log(len(films) / scores.shape[1])
        scores = scores.masked_fill(step.positives.to(films.device), _MASKED)  # type: ignore[union-attr]
    else:
        scores = users @ films.T / config.temperature  # (U, n_items)
        scores = scores.index_put((rows, items), scores.new_tensor(_MASKED))
    others = torch.logsumexp(scores, dim=1)
    return functional.softplus(others.index_select(0, rows) - own).mean()


class Batches:
    """`batches(epoch)` for the training loop: the same batches whenever asked for the same epoch."""

    def __init__(self, graph: BipartiteGraph, fitted: FittedGraph, config: GraphFitConfig) -> None:
        matrix = graph.user_items
        self.indptr, self.items = matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64)
        self.fitted, self.config = fitted, config
        counts = np.diff(self.indptr)
        # A user who met everything has no negative, and nothing to be recommended.
        self.users = np.flatnonzero((counts > 0) & fitted.negatives.positives.have_negatives)
        self.counts = counts
        if not len(self.users):
            raise ValueError("no user has both a positive and a negative to learn from")
        n_pairs = int(counts[self.users].sum())
        self.steps_per_epoch = math.ceil(n_pairs / config.batch_size)
        self.pair_users = np.repeat(self.users, counts[self.users])
        self.pair_items = self.items[ranges(self.indptr[self.users], counts[self.users])]

    def __call__(self, epoch: int) -> Iterator[Step]:
        self.fitted.refresh_negatives(epoch)
        rng = np.random.default_rng([self.config.seed, epoch])
        yield from self._pairs(rng) if self.config.loss == "bpr" else self._whole_users(rng)

    def _pairs(self, rng: np.random.Generator) -> Iterator[Step]:
        order = rng.permutation(len(self.pair_users))
        negatives = self.fitted.negatives.draw(self.pair_users, 1, rng)[:, 0]
        for chosen in np.array_split(order, self.steps_per_epoch):
            rows = torch.arange(len(chosen))
            yield Step(
                _tensor(self.pair_users[chosen]),
                rows,
                _tensor(self.pair_items[chosen]),
                _tensor(negatives[chosen]),
            )

    def _whole_users(self, rng: np.random.Generator) -> Iterator[Step]:
        order = rng.permutation(self.users)
        pairs_before = np.cumsum(self.counts[order]) - self.counts[order]
        # Equal shares of the pairs, each user in the batch where their first pair falls.
        batch = pairs_before * self.steps_per_epoch // int(self.counts[order].sum())
        for number in range(self.steps_per_epoch):
            users = order[batch == number]
            if len(users):
                yield self._users_step(users, rng)

    def _users_step(self, users: np.ndarray, rng: np.random.Generator) -> Step:
        counts = self.counts[users]
        rows = np.repeat(np.arange(len(users)), counts)
        items = self.items[ranges(self.indptr[users], counts)]
        step = Step(_tensor(users), _tensor(rows), _tensor(items), None)
        drawn = self._drawn(users, rng)
        if drawn is None:
            return step
        met = self.fitted.negatives.positives.among(users, drawn)
        return replace(step, negatives=_tensor(drawn), positives=_tensor(met))

    def _drawn(self, users: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
        """(N,) int64 items shared by a batch, each once; None for the whole catalogue."""
        n, n_items = self.config.n_negatives, self.fitted.model.config.n_items
        if self.config.negatives == "uniform":
            return rng.permutation(n_items)[:n] if 0 < n < n_items else None
        per_user = math.ceil((n or DRAWN) / len(users))
        return np.unique(self.fitted.negatives.draw(users, per_user, rng))


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def describe(state: TrainingState) -> dict[str, Any]:
    """What an artefact keeps of a run."""
    return {
        "steps": state.step,
        "best_step": state.best_step,
        "stopped": state.stopped,
        "cpu_seconds": round(state.cpu_seconds, 2),
        "curve": state.curve,
        **state.best_metrics,
    }
