"""SASRec: the liked items as a sequence; trained by torch, served by ONNX Runtime.

Importing this module imports neither torch nor ONNX Runtime; `fit` needs the first, scoring the second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Self

import numpy as np

from predictors import item_index
from predictors.base import Saved
from predictors.config import Config
from predictors.errors import ArtifactError, InvalidScores, TrainingError
from predictors.id_map import IdMap
from predictors.inner_product import InnerProductPredictor
from predictors.models.sasrec.encoder import (
    ENCODER,
    QUANTISED_TABLE,
    QUANTISED_TABLE_FLOAT,
    onnx_approximate_scores,
    onnx_encoder,
    onnx_runtime,
    write_quantised_table,
)
from predictors.query import Query
from predictors.ranking import AllScores, FirstStage
from predictors.run import Run
from predictors.training_data import TrainingData
from predictors.validation import MAX_USERS, METRIC, Validator, hold_out_last

LOSSES = ("softmax", "sampled")
BLOCKS = ("pre", "ligr")

SEQUENCES_AT_ONCE = 64
COLUMNS = "item.columns"  # of an artifact: the item table by columns
APPROXIMATE_FROM = 50_000  # items from which a list is chosen by int8 scores first
N_GAPS = 32  # buckets of times: unknown, at once, and one for each power of two of the seconds, to 34 years


@dataclass(frozen=True)
class SasrecConfig(Config):
    """Configures the network and its training."""

    dim: int = 64  #: length of an item's vector
    blocks: int = 2  #: attention blocks
    heads: int = 2  #: of each block
    max_length: int = 200  #: latest liked items that are read
    dropout: float = 0.2  #: while training
    block: str = "pre"  #: pre = as in the paper; ligr = gated, which gains where it serves alone
    times: bool = False  #: read how long it took from each item to the next, and to the question
    epochs: int = 0  #: passes over the histories; 0 = by size, between 5 and 45
    items_in_a_run: int = 26_000_000  #: items of histories that a run by size reads
    batch: int = 0  #: positions of histories per step; 0 = by size
    learning_rate: float = 2e-3  #: the highest, after the warm-up
    #: length of the learning rate's curve against the run's: with 2 a run ends half-way down
    schedule: float = 1.0
    weight_decay: float = 0.0  #: of AdamW
    loss: str = "softmax"  #: softmax = over the full catalogue; sampled = over `negatives` items per step
    negatives: int = 512  #: items of the sampled loss
    ema_decay: float = 0.0  #: of a running average of the weights, which is kept; 0 = none
    patience: int = 8  #: validations (30 per run) without a better one before stopping; 0 = never
    threads: int = 0  #: of torch; 0 = as many as it takes by itself

    def check(self) -> None:
        self.require(
            self.dim >= 1 and self.heads >= 1 and self.dim % self.heads == 0,
            f"option dim: {self.dim} is not a positive multiple of heads",
        )
        for name in ("blocks", "max_length", "negatives", "items_in_a_run"):
            self.require(getattr(self, name) >= 1, f"option {name}: {getattr(self, name)} is not 1 or more")
        for name in ("epochs", "batch", "weight_decay", "patience", "threads"):
            self.require(getattr(self, name) >= 0, f"option {name}: {getattr(self, name)} is not 0 or more")
        self.require(0 <= self.ema_decay < 1, f"option ema_decay: {self.ema_decay} is not in [0, 1)")
        self.require(0 <= self.dropout < 1, f"option dropout: {self.dropout} is not at least 0 and below 1")
        self.require(self.schedule >= 1, f"option schedule: {self.schedule} is not 1 or more")
        self.require(self.learning_rate > 0, f"option learning_rate: {self.learning_rate} is not above 0")
        for name, choices in (("loss", LOSSES), ("block", BLOCKS)):
            value = getattr(self, name)
            self.require(value in choices, f"option {name}: {value!r} is not {' or '.join(choices)}")


_SHAPE = ("dim", "blocks", "heads", "max_length", "dropout", "block")
_FIT = (
    "epochs", "items_in_a_run", "batch", "learning_rate", "schedule", "weight_decay", "loss", "negatives",
    "ema_decay", "patience", "threads",
)  # fmt: skip


def buckets(seconds: np.ndarray) -> np.ndarray:
    """Return the bucket of each time (T,) int64: 1 = at once, 2 + n = 2^n to 2^(n + 1) seconds."""
    _, exponents = np.frexp(np.maximum(seconds, 0))  # 0 gives 0, 2^n to 2^(n + 1) gives n + 1
    return np.minimum(exponents.astype(np.int64) + 1, N_GAPS - 1)


def gap_buckets(query: Query) -> np.ndarray:
    """Return (T,) int64 the bucket of the time from each liked item to the next, the last to the question."""
    if query.ages is None:
        return np.zeros(len(query.liked), dtype=np.int64)
    return buckets(-np.diff(query.ages, append=0))


class SasrecPredictor(InnerProductPredictor):
    """Reads the liked items as a sequence, and scores every item as the next one.

    score_i = h . e_i, where h is the encoder's output at the last position and e_i the item's vector (Kang
    and McAuley, ICDM 2018, eq. 6). Only the latest `max_length` liked items are read. On the CPU ONNX Runtime
    computes h; `to("cuda")` moves the encoder to torch on a GPU. Without an index a list from a large
    catalogue is chosen by int8 scores, and exact ones rank what was chosen.
    """

    name = "sasrec"
    label = "SASRec"
    summary = "A self-attentive network that reads your history as a sequence."
    paper = "sasrec"
    config_class = SasrecConfig
    trains_on_processes = True

    def __init__(
        self,
        weights: Mapping[str, np.ndarray],
        encoder: bytes,
        ids: IdMap,
        config: SasrecConfig | None = None,
        *,
        quantised_table: bytes | Path | None = None,
        columns: np.ndarray | None = None,
    ) -> None:
        """Serve the `weights` of pytorch_models.sasrec.network.Sasrec and the `encoder` made of them.

        quantised_table  of `quantised_table_graph`, or the file that holds it, which spares each process a
                         copy of it; without one every score is exact
        columns          (D, n_items) float32 the item table by columns, where an artifact holds it
        """
        super().__init__(ids, config)
        self.weights = dict(weights)
        self.encoder, self.quantised_table = encoder, quantised_table
        self.table = np.ascontiguousarray(weights["item.weight"], dtype=np.float32)  # (n_items, D)
        self._approximate_scores = (
            None if quantised_table is None else onnx_approximate_scores(quantised_table, self.table)
        )
        self._given_columns = columns
        self.gaps = weights.get("gap.weight")  # (N_GAPS, D), or None where times are not read
        self.max_length = len(weights["position.weight"])
        self._encode = onnx_encoder(encoder)

    @classmethod
    def _fit(cls, data: TrainingData, config: SasrecConfig, run: Run) -> Self:
        """Train and keep the weights of the best validation NDCG@10 (full ranking, seen items masked).

        Without validation rows the last item of up to MAX_USERS users is held out, except for a refit.
        Ctrl-C and SIGTERM stop between two steps; with a `checkpoint_dir` the run can then be resumed to the
        same result. Raises TrainingError on unusable data, and when training was stopped.
        """
        from pytorch_models.sasrec.fit import SasrecFitConfig, Score, available_device, fit
        from pytorch_models.training.checkpoints import CheckpointError
        from pytorch_models.training.process_group import ProcessGroupError

        train, validation = data.train, data.validation
        if config.times and not train.has_time:
            raise TrainingError("option times: the data has no times")
        if validation is None and run.stage != "refit":
            train, validation = hold_out_last(train, max_users=MAX_USERS, seed=run.seed)
        validator = Validator.from_rows(train, validation, seed=run.seed)

        def validate(score: Score) -> Mapping[str, float]:
            if validator is None:
                return {}
            return validator.measure(
                lambda queries: score(
                    [query.liked for query in queries],
                    [gap_buckets(query) for query in queries] if config.times else None,
                )
            )

        try:
            device = available_device(run.device)
        except ValueError as error:
            raise TrainingError(f"option device: {error}") from error
        try:
            fitted = fit(
                train,
                {**{name: getattr(config, name) for name in _SHAPE}, "n_gaps": N_GAPS * config.times},
                SasrecFitConfig(
                    **{name: getattr(config, name) for name in _FIT},
                    cpu_budget_seconds=run.cpu_budget_seconds,
                    seed=run.seed,
                ),
                validate=validate if validator else None,
                metric=METRIC,
                device=device,
                directory=run.checkpoint_dir,
                report=run.report_step,
                on_epoch=run.end_epoch,
                resume=run.resume,
                gaps=buckets(np.diff(train.at, append=train.at[-1:])) if config.times else None,
            )
        except (ValueError, CheckpointError, ProcessGroupError) as error:
            raise TrainingError(str(error)) from error
        except FloatingPointError as error:
            raise TrainingError(f"{error}: try a lower learning_rate") from error
        state = fitted.state
        if state.stopped == "interrupted":
            raise TrainingError(
                f"training was stopped at step {state.step:,} of {fitted.steps:,}; resume continues it"
            )
        run.report(1.0, "", state.best_metrics)
        predictor = cls.from_weights(fitted.weights, data.items, config)
        predictor.meta["training"] = {
            "epochs": fitted.epochs,
            "batch": fitted.batch,
            "device": fitted.device,
            "steps": state.step,
            "best_step": state.best_step,
            "stopped": state.stopped,
            "fit_cpu_seconds": round(state.cpu_seconds, 1),
            "validation": {**state.best_metrics, "users": len(validator) if validator else 0},
        }
        return predictor.to("cuda") if fitted.device == "cuda" else predictor

    @classmethod
    def from_weights(cls, weights: Mapping[str, np.ndarray], ids: IdMap, config: SasrecConfig) -> Self:
        """Write the graphs that serve the weights of a trained network. Needs the package onnx."""
        from predictors.models.sasrec.onnx_graph import encoder_graph, quantised_table_graph

        encoder = encoder_graph(weights, heads=config.heads)
        quantised = quantised_table_graph(weights["item.weight"]) if len(ids) >= APPROXIMATE_FROM else None
        return cls(weights, encoder, ids, config, quantised_table=quantised)

    @classmethod
    def import_libraries(cls) -> None:
        onnx_runtime()

    def to(self, device: str) -> Self:
        """Encode on this device from now on: "cpu" by ONNX Runtime, "cuda" by torch. Returns itself.

        Raises ValueError on a device that is unknown or not there.
        """
        if device == "cpu":
            self._encode = onnx_encoder(self.encoder)
        elif device == "cuda":
            from pytorch_models.sasrec.encoder import torch_encoder

            self._encode = torch_encoder(self.weights, heads=self.config.heads, device="cuda")
        else:
            raise ValueError(f"a device is cpu or cuda, not {device!r}")
        return self

    def _score(self, queries: Sequence[Query]) -> np.ndarray:
        """Return (B, n_items) float32; zeros where nothing is liked."""
        return self.query_vectors(queries) @ self._columns

    @cached_property
    def _columns(self) -> np.ndarray:
        """Return (D, n_items) float32 the table by columns.

        The product with one vector then reads ahead well: two thirds of the time by rows. Where lists are
        chosen by the index or the quantised table it is not worth a copy.
        """
        if self._given_columns is not None:
            return self._given_columns
        return np.ascontiguousarray(self.table.T) if self._is_read_whole else self.table.T

    @property
    def _is_read_whole(self) -> bool:
        """Return whether a list is chosen by the exact scores of all items."""
        return self.index is None and self._approximate_scores is None

    def first_stage(self, queries: Sequence[Query]) -> list[FirstStage]:
        if self.index is not None or self._approximate_scores is None:
            return super().first_stage(queries)
        encoded = self.query_vectors(queries)
        if np.isnan(encoded).any():
            raise InvalidScores(f"{self.name} {self.version}".strip() + " scored an item with NaN")
        exact = [partial(self._product, vector) for vector in encoded]
        return [AllScores(*each) for each in zip(self._approximate_scores(encoded), exact, strict=True)]

    def item_vectors(self) -> np.ndarray:
        return self.table

    def query_vectors(self, queries: Sequence[Query]) -> np.ndarray:
        gaps = None if self.gaps is None else [gap_buckets(query) for query in queries]
        return self.encode_histories([query.liked for query in queries], gaps)

    def encode_histories(
        self, histories: Sequence[np.ndarray], gaps: Sequence[np.ndarray] | None = None
    ) -> np.ndarray:
        """Encode histories, item indices (T,) oldest first, into (B, D) float32; an empty one gives zeros.

        gaps (T,) int64 by history are buckets of the time to the next item; unknown without. Histories of the
        same length are encoded together, so nothing is ever padded.
        """
        result = np.zeros((len(histories), self.table.shape[1]), dtype=np.float32)
        by_length: dict[int, list[int]] = {}
        for row, history in enumerate(histories):
            by_length.setdefault(min(len(history), self.max_length), []).append(row)
        by_length.pop(0, None)
        for length, rows in by_length.items():
            for start in range(0, len(rows), SEQUENCES_AT_ONCE):
                some = rows[start : start + SEQUENCES_AT_ONCE]
                vectors = self.table[np.array([histories[row][-length:] for row in some])]  # (b, T, D)
                if self.gaps is not None:
                    vectors += self.gaps[np.stack([gaps[row][-length:] for row in some]) if gaps else 0]
                result[some] = self._encode(vectors)
        return result

    def tensors(self) -> dict[str, np.ndarray]:
        """Return the weights, and the item table by columns where it is read, which processes then share."""
        return {**self.weights, COLUMNS: self._columns} if self._is_read_whole else self.weights

    def write_extra_files(self, directory: Path) -> None:
        super().write_extra_files(directory)
        (directory / ENCODER).write_bytes(self.encoder)
        if self.quantised_table is not None:
            write_quantised_table(self.quantised_table, directory)

    @classmethod
    def from_artifact(cls, saved: Saved) -> Self:
        saved.tensor("item.weight", (len(saved.ids), None))
        saved.tensor("position.weight", (None, None))
        weights = dict(saved.tensors)
        columns = weights.pop(COLUMNS, None)  # older artifacts have none
        if columns is not None and columns.shape != weights["item.weight"].shape[::-1]:
            raise ArtifactError(f"{saved.directory}: {COLUMNS} and item.weight differ in their shapes")
        directory = saved.directory
        if directory is None:
            raise ArtifactError(f"SASRec needs the directory that holds {ENCODER}")
        try:
            encoder = (directory / ENCODER).read_bytes()
            is_needed = not ("index" in saved.meta and item_index.is_installed())
            files = [directory / name for name in (QUANTISED_TABLE, QUANTISED_TABLE_FLOAT) if is_needed]
            quantised_table = next((file for file in files if file.exists()), None)
        except OSError as error:
            raise ArtifactError(f"{directory}: a graph cannot be read: {error}") from error
        ids, config = saved.ids, saved.config
        return cls(weights, encoder, ids, config, quantised_table=quantised_table, columns=columns)
