"""SASRec behind the predictor's four methods: trained by torch, served by ONNX Runtime.

Importing this module imports neither torch nor ONNX Runtime; `fit` needs the first, scoring the second.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from predictors.base import Predictor, Query, Saved, top_k
from predictors.config import Config
from predictors.errors import ArtifactError, TrainingError
from predictors.history import Reason
from predictors.id_map import IdMap
from predictors.run import Run
from predictors.training_data import TrainingData

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from datasets.interactions import Interactions
    from pytorch_models.sasrec.network import Sasrec

ENCODER = "encoder.onnx"
LOSSES = ("softmax", "sampled")

# What `epochs 0` and `batch 0` stand for. A run visits PLACES_IN_A_RUN places of histories, within
# bounds on epochs: MovieLens 100K gets 45 epochs, 1M 40, 20M 5. A batch is a 32nd of an epoch.
PLACES_IN_A_RUN = 26_000_000
FEWEST_EPOCHS, MOST_EPOCHS = 5, 45
BATCHES_PER_EPOCH = 32
SMALLEST_BATCH, LARGEST_BATCH = 256, 4096

VALIDATIONS = 30  # in a run, at most one per epoch
VALIDATION_USERS = 2000
LEAST_TO_HOLD_OUT = 3  # interactions of a user, so that one is left to learn from and one to predict
SEQUENCES_AT_ONCE = 64
EXPLAINED_FILMS = 6  # latest films that can be named as the reason for a recommendation
EXPLAINED_LENGTH = 50  # latest films that the model reads while looking for reasons


@dataclass(frozen=True)
class SasrecConfig(Config):
    """The shape of the network and its training."""

    dim: int = 64  #: length of an item's vector
    blocks: int = 2  #: attention blocks
    heads: int = 2  #: of each block
    max_length: int = 200  #: latest liked items that are read
    dropout: float = 0.2  #: while training
    epochs: int = 0  #: passes over the histories; 0 = by size (see PLACES_IN_A_RUN)
    batch: int = 0  #: positions of histories per step; 0 = by size
    learning_rate: float = 2e-3  #: the highest, after the warm-up
    weight_decay: float = 0.0  #: of AdamW
    loss: str = "softmax"  #: softmax = over the whole catalogue; sampled = over `negatives` items per step
    negatives: int = 512  #: items of the sampled loss
    patience: int = 8  #: validations (30 per run) without a better one before stopping; 0 = never
    threads: int = 0  #: of torch; 0 = as many as it takes by itself

    def check(self) -> None:
        self.require(
            self.dim >= 1 and self.heads >= 1 and self.dim % self.heads == 0,
            f"option dim: {self.dim} is not a positive multiple of heads",
        )
        for name in ("blocks", "max_length", "negatives"):
            self.require(getattr(self, name) >= 1, f"option {name}: {getattr(self, name)} is not 1 or more")
        for name in ("epochs", "batch", "weight_decay", "patience", "threads"):
            self.require(getattr(self, name) >= 0, f"option {name}: {getattr(self, name)} is not 0 or more")
        self.require(0 <= self.dropout < 1, f"option dropout: {self.dropout} is not at least 0 and below 1")
        self.require(self.learning_rate > 0, f"option learning_rate: {self.learning_rate} is not above 0")
        self.require(self.loss in LOSSES, f"option loss: {self.loss!r} is not {' or '.join(LOSSES)}")


class SasrecPredictor(Predictor):
    """Reads the liked films as a sequence, and scores every film as the next one.

    score_i = h . e_i, where h is the encoder's answer at the last place and e_i the item's vector (Kang and
    McAuley, ICDM 2018, eq. 6). Only the latest `max_length` liked films are read. On the CPU ONNX Runtime
    computes h; `to("cuda")` moves the encoder to torch on a GPU.
    """

    name = "sasrec"
    label = "SASRec"
    summary = "A self-attentive network that reads your history as a sequence."
    paper = "sasrec"
    config_class = SasrecConfig

    def __init__(
        self,
        weights: Mapping[str, np.ndarray],
        encoder: bytes,
        ids: IdMap,
        config: SasrecConfig | None = None,
    ) -> None:
        """`weights` are those of `pytorch_models.sasrec.network.Sasrec`, `encoder` the graph made of them."""
        super().__init__(ids, config)
        self.weights = dict(weights)
        self.encoder = encoder
        self.table = np.ascontiguousarray(weights["item.weight"], dtype=np.float32)  # (n_items, D)
        # By columns the product with one vector reads ahead well: two thirds of the time by rows.
        self._columns = np.ascontiguousarray(self.table.T)  # (D, n_items)
        self.max_length = len(weights["place.weight"])
        self._taste = _onnx_encoder(encoder)

    @classmethod
    def _fit(cls, data: TrainingData, config: SasrecConfig, run: Run) -> Self:
        """Train; the weights of the best validation NDCG@10 (full ranking, seen items masked) are kept.

        Without validation rows the last item of up to VALIDATION_USERS users is held out.
        Ctrl-C and SIGTERM stop between two steps; with a `checkpoint_dir` the run can then be resumed to
        the same result. Raises TrainingError on unusable data, and when training was stopped.
        """
        import torch

        with tempfile.TemporaryDirectory() as temporary, _torch_settings(config.threads):
            directory = run.checkpoint_dir or Path(temporary)
            device = _device(run.device)
            model, facts = _trained(data, config, run, device, directory)
            weights = {name: tensor.float().cpu().numpy() for name, tensor in model.state_dict().items()}
        del model
        from predictors.models.sasrec.onnx_graph import encoder_graph

        predictor = cls(weights, encoder_graph(weights, heads=config.heads), data.items, config)
        predictor.meta["training"] = facts
        return predictor.to("cuda") if device == torch.device("cuda") else predictor

    def to(self, device: str) -> Self:
        """Encode on this device from now on: "cpu" by ONNX Runtime, "cuda" by torch. Returns itself.

        Raises ValueError on a device that is unknown or not there.
        """
        if device == "cpu":
            self._taste = _onnx_encoder(self.encoder)
        elif device == "cuda":
            import torch

            if not torch.cuda.is_available():
                raise ValueError("there is no CUDA device")
            self._taste = torch_encoder(self.weights, heads=self.config.heads, device="cuda")
        else:
            raise ValueError(f"a device is cpu or cuda, not {device!r}")
        return self

    def _score(self, queries: Sequence[Query]) -> np.ndarray:
        """(B, n_items) float32; zeros where nothing is liked."""
        return self.tastes([query.liked for query in queries]) @ self._columns

    def tastes(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        """(B, D) float32: what each history, item indices (T,) oldest first, leads to; zeros when empty.

        Histories of the same length are encoded together, so nothing is ever padded.
        """
        result = np.zeros((len(histories), self.table.shape[1]), dtype=np.float32)
        by_length: dict[int, list[int]] = {}
        for row, history in enumerate(histories):
            by_length.setdefault(min(len(history), self.max_length), []).append(row)
        by_length.pop(0, None)
        for length, rows in by_length.items():
            for start in range(0, len(rows), SEQUENCES_AT_ONCE):
                some = rows[start : start + SEQUENCES_AT_ONCE]
                items = np.stack([histories[row][-length:] for row in some])  # (b, T)
                result[some] = self._taste(self.table[items])
        return result

    def reasons(self, query: Query, indices: Sequence[int]) -> list[tuple[Reason, ...]]:
        """For each item the recent liked film without which its score would fall the most.

        Each of the EXPLAINED_FILMS latest films is taken out of the sequence in turn; `weight` is how
        much of the fall over all of them is this film's. Where no film raises the score, none is named.
        """
        liked = query.liked[-EXPLAINED_LENGTH:]
        chosen = np.asarray(indices, dtype=np.int64)
        if len(liked) < 2 or not len(chosen):
            only = int(liked[0]) if len(liked) else None
            return [(self._reason(only, 1.0 if len(liked) else 0.0),) for _ in chosen]
        places = range(len(liked) - 1, max(-1, len(liked) - 1 - EXPLAINED_FILMS), -1)
        without = self.tastes([liked, *(np.delete(liked, place) for place in places)]) @ self.table[chosen].T
        falls = np.maximum(without[0] - without[1:], 0)  # (films, items)
        reasons: list[tuple[Reason, ...]] = []
        for fall in falls.T:
            strongest, total = int(fall.argmax()), float(fall.sum())
            film = int(liked[places[strongest]]) if total > 0 else None
            reasons.append((self._reason(film, float(fall[strongest]) / total if total > 0 else 0.0),))
        return reasons

    def _reason(self, item: int | None, weight: float) -> Reason:
        return Reason(kind="sequence", movie_id=None if item is None else self.ids.ids[item], weight=weight)

    def tensors(self) -> dict[str, np.ndarray]:
        return self.weights

    def write_extra_files(self, directory: Path) -> None:
        (directory / ENCODER).write_bytes(self.encoder)

    @classmethod
    def from_artifact(cls, saved: Saved) -> Self:
        saved.tensor("item.weight", (len(saved.ids), None))
        saved.tensor("place.weight", (None, None))
        directory = saved.directory
        if directory is None:
            raise ArtifactError(f"SASRec needs the directory that holds {ENCODER}")
        try:
            encoder = (directory / ENCODER).read_bytes()
        except OSError as error:
            raise ArtifactError(f"{directory / ENCODER} cannot be read: {error}") from error
        return cls(saved.tensors, encoder, saved.ids, saved.config)


# -- encoders: (b, T, D) float32 item vectors -> (b, D) float32 ------------------------------------

Encoder = Callable[[np.ndarray], np.ndarray]


def _onnx_encoder(graph: bytes) -> Encoder:
    import onnxruntime
    from onnxruntime.capi.onnxruntime_pybind11_state import (
        Fail,
        InvalidArgument,
        InvalidGraph,
        InvalidProtobuf,
    )

    options = onnxruntime.SessionOptions()
    # One thread: requests run side by side already, and a pool would not survive a fork.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # it plans for one length, here every history has its own
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf) as error:
        raise ArtifactError(f"{ENCODER} cannot be read: {error}") from error
    return lambda films: session.run(None, {"films": films})[0]


def torch_encoder(weights: Mapping[str, np.ndarray], *, heads: int, device: str) -> Encoder:
    """The same encoder by torch; for a GPU, and to check ONNX Runtime against."""
    import torch

    from pytorch_models.sasrec import network

    n_items, dim = weights["item.weight"].shape
    blocks = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("blocks."))
    config = network.SasrecConfig(n_items, dim, blocks, heads, len(weights["place.weight"]))
    model = network.Sasrec(config)
    model.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in weights.items()})
    model.to(device).eval()

    def encode(films: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return model.encode(torch.from_numpy(films).to(device))[:, -1].cpu().numpy()

    return encode


# -- training ------------------------------------------------------------------------------------


def _trained(
    data: TrainingData, options: SasrecConfig, run: Run, device: torch.device, directory: Path
) -> tuple[Sasrec, dict[str, Any]]:
    """The model with its best weights, and the facts of the run for the artefact."""
    import torch

    from pytorch_models.sasrec import network
    from pytorch_models.training import loop

    train, cases = _validation_cases(data.train, data.validation, run.seed)
    windows = network.Windows(train.items, train.indptr, options.max_length, 1, run.seed)
    per_epoch = windows.places_per_epoch
    if not per_epoch:
        raise TrainingError("there is nothing to learn: no one has two or more films in the training data")
    epochs = options.epochs or int(np.clip(PLACES_IN_A_RUN // per_epoch, FEWEST_EPOCHS, MOST_EPOCHS))
    batch = options.batch or int(np.clip(per_epoch // BATCHES_PER_EPOCH, SMALLEST_BATCH, LARGEST_BATCH))
    windows = network.Windows(train.items, train.indptr, options.max_length, batch, run.seed)
    steps_per_epoch = windows.batches_per_epoch()
    config = loop.TrainingConfig(
        steps=epochs * steps_per_epoch,
        learning_rate=options.learning_rate,
        weight_decay=options.weight_decay,
        evaluate_every=steps_per_epoch * max(1, round(epochs / VALIDATIONS)),
        patience=options.patience,
        cpu_budget_seconds=run.cpu_budget_seconds,
        seed=run.seed,
        identity={
            **_identity(options),
            "seed": run.seed,
            "epochs": epochs,
            "batch": batch,
            "data": train.fingerprint(),
        },
    )
    torch.manual_seed(run.seed)
    shape = (options.dim, options.blocks, options.heads, options.max_length, options.dropout)
    model = network.Sasrec(network.SasrecConfig(train.n_items, *shape)).to(device)
    dtype = network.fastest_logits_dtype(device)

    def loss_of(some: network.Batch) -> torch.Tensor:
        some = some.to(device)
        hidden = model(some.inputs)[some.real]  # (N, D)
        if options.loss == "softmax":
            return network.softmax_cross_entropy(hidden, model.item.weight, some.targets, dtype)
        drawn = torch.randperm(train.n_items, device=device)[: options.negatives]
        return network.sampled_cross_entropy(hidden, model.item.weight, some.targets, drawn)

    def report(step: int, total: int, message: str, metrics: Mapping[str, float]) -> None:
        run.report_step(step, total, f"step {step:,} of {total:,}", metrics)

    try:
        state = loop.train(
            model,
            windows,
            loss_of,
            config,
            device=device,
            directory=directory,
            validate=(lambda: _validation_metrics(model, cases, device)) if cases else None,
            metric="NDCG@10" if cases else "",
            report=report,
            resume=run.resume,
        )
    except loop.CheckpointError as error:
        raise TrainingError(str(error)) from error
    except FloatingPointError as error:
        raise TrainingError(f"{error}: try a lower learning_rate") from error
    if state.stopped == "interrupted":
        raise TrainingError(
            f"training was stopped at step {state.step:,} of {config.steps:,}; resume continues it"
        )
    run.report(1.0, "", state.best_metrics)
    facts = {
        "epochs": epochs,
        "batch": batch,
        "device": device.type,
        "steps": state.step,
        "best_step": state.best_step,
        "stopped": state.stopped,
        "fit_cpu_seconds": round(state.cpu_seconds, 1),
        "validation": {**state.best_metrics, "users": len(cases)},
    }
    return model, facts


@dataclass(frozen=True, slots=True)
class _Case:
    """A user to validate on: history (T,) oldest first, T >= 1, and the targets (n,), n >= 1."""

    history: np.ndarray
    targets: np.ndarray


def _validation_cases(
    train: Interactions, validation: Interactions | None, seed: int
) -> tuple[Interactions, list[_Case]]:
    """What to train on, and up to VALIDATION_USERS users to validate on, a seeded sample.

    A validation user who is not in the training data is asked for their own last film.
    """
    rng = np.random.default_rng([seed, VALIDATION_USERS])
    if validation is None:
        counts = np.diff(train.indptr)
        users = rng.permutation(np.flatnonzero(counts >= LEAST_TO_HOLD_OUT))[:VALIDATION_USERS]
        held_out = train.indptr[users + 1] - 1
        rest = np.ones(len(train), dtype=bool)
        rest[held_out] = False
        cases = [
            _Case(train.items_of(user)[:-1], train.items[row : row + 1])
            for user, row in zip(users, held_out, strict=True)
        ]
        return train.select(rest), cases
    cases = []
    for user in rng.permutation(np.unique(validation.users)):
        known, asked = train.items_of(user), validation.items_of(user)
        if not len(known):
            known, asked = asked[:-1], asked[-1:]
        if len(known) and len(cases) < VALIDATION_USERS:
            cases.append(_Case(known, asked))
    return train, cases


def _validation_metrics(model: Sasrec, cases: Sequence[_Case], device: torch.device) -> dict[str, float]:
    import torch

    from ranking_metrics import ranking

    names = ("NDCG@10", "HR@10")
    length = model.config.max_length
    ordered = sorted(cases, key=lambda case: len(case.history))  # like lengths together: little padding
    values = []
    for start in range(0, len(ordered), SEQUENCES_AT_ONCE):
        some = ordered[start : start + SEQUENCES_AT_ONCE]
        recent = [case.history[-length:] for case in some]
        items = np.zeros((len(some), max(map(len, recent))), dtype=np.int64)
        wanted = np.zeros((len(some), model.config.n_items), dtype=bool)
        for row, (case, history) in enumerate(zip(some, recent, strict=True)):
            items[row, : len(history)] = history
            wanted[row, case.targets] = True
        last = torch.tensor([len(history) - 1 for history in recent], device=device)
        hidden = model(torch.from_numpy(items).to(device))[torch.arange(len(some), device=device), last]
        scores = (hidden @ model.item.weight.t()).float().cpu().numpy()
        for row, case in zip(scores, some, strict=True):
            row[case.history] = -np.inf
        ranked, _ = top_k(scores, 10)
        n_targets = np.array([len(np.unique(case.targets)) for case in some])
        values.append(ranking.per_user(ranking.hits_of(ranked, wanted), n_targets, names))
    return dict(zip(names, map(float, np.concatenate(values).mean(0)), strict=True))


def _identity(options: SasrecConfig) -> dict[str, Any]:
    """The options that make a run what it is; a checkpoint of others is not continued."""
    free = ("threads", "patience", "epochs", "batch")
    return {name: value for name, value in options.as_dict().items() if name not in free}


def _device(name: str) -> torch.device:
    import torch

    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise TrainingError("option device: cuda was asked for, but there is no CUDA device")
    return torch.device("cuda" if there and name != "cpu" else "cpu")


@contextmanager
def _torch_settings(threads: int) -> Iterator[None]:
    """So many threads, and no oneDNN: it keeps a compiled kernel for every shape it meets, and as no two
    batches have the same shape, a long run would fill gigabytes with them at no gain in speed.
    """
    import torch

    before = torch.get_num_threads(), torch.backends.mkldnn.enabled
    if threads:
        torch.set_num_threads(threads)
    torch.backends.mkldnn.enabled = False  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.backends.mkldnn.enabled = before[1]
