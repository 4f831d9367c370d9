"""Training of KPRN: who is shown what, which films are asked about, and the loss.

An example is one person with a part of their films as the history, some others of theirs to find
(positives) and NEGATIVES films they never met for each. All examples of a batch share one path search.

    bce      -log sigmoid(score) for positives, -log sigmoid(-score) for negatives (Wang et al., eq. 12)
    softmax  each positive against all negatives of its example

Half of the examples are shown films in the order of time and asked for the next ones, half are shown films
drawn at random and asked for others: the site meets both.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from datasets.interactions import Interactions
from datasets.knowledge_graph.path_graph import PathGraph, path_graph_statistics
from datasets.knowledge_graph.paths import Caps, Histories, Targets
from datasets.knowledge_graph.search import candidates, find_paths
from pytorch_models.kprn.network import NO_PATH, Kprn, KprnConfig, TreeBatch, pool
from pytorch_models.training.loop import Report, TrainingConfig, TrainingState, train

NEGATIVES = 4  # for each positive, as in the paper
LOSSES = ("softmax", "bce")
SAMPLERS = ("mixed", "uniform", "hard")
FEWEST_FILMS = 2  # of a person who can be an example: one shown, one asked for


@dataclass(frozen=True)
class KprnFitConfig:
    """How to fit.

    positives    films asked for in one example
    examples     per step
    steps        0 = so many that every row was asked for `epochs` times on average, most MOST_STEPS
    history      most films shown
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
        if self.learning_rate <= 0 or self.epochs <= 0 or self.l2 < 0 or not 0 <= self.time_share <= 1:
            raise ValueError("learning_rate and epochs must be above 0, l2 not below, time_share in [0, 1]")


MOST_STEPS = 6_000


@dataclass(frozen=True)
class Example:
    """One step's examples: the paths, and which targets are positives.

    tree       paths to all targets
    owner      (N,) int64, the example of each target
    positive   (N,) bool
    """

    tree: TreeBatch
    owner: torch.Tensor
    positive: torch.Tensor


class Examples:
    """Batches of examples, the same ones whenever an epoch is asked for again."""

    def __init__(
        self, rows: Interactions, graph: PathGraph, caps: Caps, config: KprnFitConfig, per_epoch: int
    ) -> None:
        self.rows, self.graph, self.caps, self.config = rows, graph, caps, config
        self.per_epoch = per_epoch
        self.counts = np.diff(rows.indptr)
        self.people = np.flatnonzero(self.counts >= FEWEST_FILMS)
        if not len(self.people):
            raise ValueError("nobody met two films, so there is nothing to ask for")
        # As often as they have films to ask for; the square root keeps the busiest from crowding out others.
        self.chance = np.sqrt(self.counts[self.people])
        self.chance = self.chance / self.chance.sum()
        self.met = rows.csr(np.int8)

    def __call__(self, epoch: int) -> Iterator[Example]:
        for batch in range(self.per_epoch):
            example = self.draw(np.random.default_rng([self.config.seed, epoch, batch]))
            if example is not None:
                yield example

    def draw(self, rng: np.random.Generator) -> Example | None:
        """One batch; None when no positive of it can be reached."""
        config, n_items = self.config, self.rows.n_items
        users = self.people[rng.choice(len(self.people), config.examples, p=self.chance)]
        histories, positives = self._shown(users, rng)
        met = self.met[users].toarray() > 0  # (B, n_items)
        found = np.zeros_like(met)
        nothing = [np.empty(0, dtype=np.int64)] * len(users)
        for row, films in zip(found, candidates(self.graph, histories, nothing, self.caps), strict=True):
            row[films] = True
        if config.negatives != "uniform":
            # Where negatives are films of an open search, positives are too: otherwise the model would
            # learn that what the search does not find is good.
            kept = found[positives.owner, positives.films]
            positives = Targets(positives.films[kept], positives.owner[kept])
        negatives = self._negatives(met, found, rng)
        films = np.concatenate([positives.films, negatives.films])
        owner = np.concatenate([positives.owner, negatives.owner])
        is_positive = np.arange(len(films)) < len(positives.films)
        # A target is asked about once per example.
        _, once = np.unique(owner * n_items + films, return_index=True)
        targets = Targets(films[once], owner[once])
        paths = find_paths(self.graph, histories, targets, self.caps, known=is_positive[once])
        reached = np.zeros(len(once), dtype=bool)
        reached[paths.target] = True
        if not (reached & is_positive[once]).any():
            return None
        return Example(
            TreeBatch.of(self.graph, paths, len(once)),
            torch.from_numpy(targets.owner),
            torch.from_numpy(is_positive[once] & reached),
        )

    def _shown(self, users: np.ndarray, rng: np.random.Generator) -> tuple[Histories, Targets]:
        """What each is shown and asked for. In the order of time: up to a random moment, and what
        follows; at random: any films, and any others.
        """
        config, rows = self.config, self.rows
        sizes = self.counts[users]
        owner = np.repeat(np.arange(len(users)), sizes)
        ends = np.cumsum(sizes)
        place = np.arange(ends[-1]) - np.repeat(ends - sizes, sizes)
        row = rows.indptr[users][owner] + place
        by_time = rng.random(len(users)) < config.time_share
        shuffled = np.lexsort((rng.random(len(place)), owner))
        drawn = np.empty(len(place), dtype=np.int64)
        drawn[shuffled] = place
        order = np.where(by_time[owner], place, drawn)
        # At random as many short histories as long ones, on a scale of ratios: guests have few films.
        longest = np.minimum(config.history, sizes - 1)
        length = np.floor(np.exp(rng.random(len(users)) * np.log(longest + 1))).astype(np.int64)
        moment = 1 + np.floor(rng.random(len(users)) * (sizes - 1)).astype(np.int64)
        moment = np.where(by_time, moment, np.clip(length, 1, longest))
        shown = (order < moment[owner]) & (order >= (moment - config.history)[owner])
        asked = (order >= moment[owner]) & (order < (moment + config.positives)[owner])
        films = rows.items[row].astype(np.int64)
        histories = Histories.from_columns(films[shown], owner[shown], len(users))
        return histories, Targets(films[asked], owner[asked])

    def _negatives(self, met: np.ndarray, found: np.ndarray, rng: np.random.Generator) -> Targets:
        """Films that each example's person never met, drawn uniformly; hard ones among those `found`.

        met, found (B, n_items) bool. A film drawn twice counts once.
        """
        wanted = NEGATIVES * self.config.positives
        hard = {"uniform": 0, "mixed": wanted // 2, "hard": wanted}[self.config.negatives]
        parts = []
        for number, free in ((wanted - hard, ~met), (hard, found & ~met)):
            ends = np.cumsum(free, axis=1)  # the k-th free film is where the count first reaches k
            draws = np.ceil(rng.random((len(met), number)) * ends[:, -1:]).astype(np.int64)
            keys = np.arange(len(met))[:, None] * (met.shape[1] + 1)
            places = np.searchsorted((ends + keys).ravel(), (draws + keys).ravel())
            owner, films = np.divmod(places, met.shape[1])
            some = draws.ravel() > 0
            parts.append((films[some], owner[some]))
        films, owner = (np.concatenate(column) for column in zip(*parts, strict=True))
        return Targets(films, owner)


def loss_of(model: Kprn, example: Example, config: KprnFitConfig) -> torch.Tensor:
    """Mean over the positives (softmax) or over all targets with a path (bce)."""
    tree = example.tree
    scores = pool(model(tree), tree.target, tree.n_targets, model.config.pooling, model.config.gamma)
    reached = scores > NO_PATH
    if config.loss == "bce":
        asked = reached | example.positive
        return functional.binary_cross_entropy_with_logits(scores[asked], example.positive[asked].float())
    negative = reached & ~example.positive
    n = int(example.owner.max()) + 1
    against = pool(scores[negative], example.owner[negative], n, "lse", 1.0)  # (B,)
    mine, owner = scores[example.positive], example.owner[example.positive]
    return functional.softplus(against.index_select(0, owner) - mine).mean()


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
    resume: bool = False,
) -> tuple[dict[str, np.ndarray], TrainingState]:
    """Train on the rows of a graph built from them; `shape` are fields of KprnConfig.

    `validate` gets the weights as arrays. Returns the best weights and where the run ended.
    Raises ValueError on data or options that cannot be used.
    """
    caps = Caps(**{**asdict(caps), "history": config.history})
    model_config = KprnConfig(graph.n_entities, len(graph.type_names), graph.end + 1, **shape)
    generator = torch.Generator().manual_seed(config.seed)
    model = Kprn(model_config, graph.types, graph.rated, generator)
    per_epoch = max(1, math.ceil(len(rows) / (config.examples * config.positives)))
    steps = config.steps or min(MOST_STEPS, max(1, round(config.epochs * per_epoch)))
    examples = Examples(rows, graph, caps, config, per_epoch)

    def loss(example: Example) -> torch.Tensor:
        value = loss_of(model, example, config)
        if config.l2:
            vectors = model.entities.index_select(0, example.tree.entities)
            value = value + config.l2 * vectors.square().sum(dim=1).mean()
        return value

    def judged() -> Mapping[str, float]:
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
            validate=judged if validate else None,
            metric=metric,
            report=report,
            resume=resume,
        )
    return weights_of(model), state


def weights_of(model: Kprn) -> dict[str, np.ndarray]:
    """Copies of the parameters by name."""
    return {name: value.detach().numpy().copy() for name, value in model.named_parameters()}
