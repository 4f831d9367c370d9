"""SASRec: self-attention over a sequence of films, trained to name the next one at every place.

Kang and McAuley, "Self-Attentive Sequential Recommendation" (ICDM 2018), with three changes that later
work found to matter more than the architecture: cross-entropy over the whole catalogue instead of one
negative with BCE (Klenitskiy and Vasilev, "Turning Dross Into Gold Loss", RecSys 2023; Petrov and
Macdonald, "gSASRec", RecSys 2023), pre-norm blocks with a wide GELU layer, and windows drawn from
the whole of a long history instead of only its end.

Sequences are padded on the right. Attention is causal, so no real place ever sees padding, and a
sequence scores the same in any batch and without padding at all. Places are counted from the start of
the window.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

INITIAL_STD = 0.02  # of weights and embeddings, as in GPT-2
LOGITS_AT_ONCE = 7_000_000  # elements of a chunk of logits: what stays near the processor's cache
LENGTH_JITTER = 16  # sequences whose lengths differ by less than this may share a batch


@dataclass(frozen=True)
class SasrecConfig:
    n_items: int
    dim: int = 64
    blocks: int = 2
    heads: int = 2
    max_length: int = 200
    dropout: float = 0.2


class ByteDropout(nn.Module):
    """Dropout that draws one random byte per element: on a CPU the draws cost more than the model.

    The probability is rounded to a multiple of 1/256.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.keep = round((1 - probability) * 256)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training or self.keep == 256:
            return x
        words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64, device=x.device).random_(-(2**63), None)
        kept = words.view(torch.uint8)[: x.numel()].view(x.shape) < self.keep
        return x * (kept.to(x.dtype) * (256 / self.keep))


class CausalSelfAttention(nn.Module):
    def __init__(self, config: SasrecConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.qkv = nn.Linear(config.dim, 3 * config.dim)
        self.out = nn.Linear(config.dim, config.dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        B, T, D = x.shape
        q, k, v = (
            self.qkv(x).view(B, T, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)
        )  # (B, h, T, D/h)
        # No dropout in here: with it the call leaves its fused form.
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(1, 2).reshape(B, T, D))


class Block(nn.Module):
    def __init__(self, config: SasrecConfig) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.dim)
        self.attention = CausalSelfAttention(config)
        self.feed_norm = nn.LayerNorm(config.dim)
        self.up = nn.Linear(config.dim, 4 * config.dim)
        self.down = nn.Linear(4 * config.dim, config.dim)
        self.dropout = ByteDropout(config.dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.dropout(self.attention(self.attention_norm(x)))
        return x + self.dropout(self.down(F.gelu(self.up(self.feed_norm(x)))))


class Sasrec(nn.Module):
    """`item.weight` (n_items, dim) serves as input and as output table (tied)."""

    def __init__(self, config: SasrecConfig) -> None:
        super().__init__()
        self.config = config
        self.item = nn.Embedding(config.n_items, config.dim)
        self.place = nn.Embedding(config.max_length, config.dim)
        self.dropout = ByteDropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(config.dim)
        self.apply(_initialise)

    def forward(self, items: torch.Tensor) -> torch.Tensor:
        """(B, T) int64, oldest first, T <= max_length -> (B, T, dim) float32.

        Place t of the result, multiplied with `item.weight`, scores what follows items[:, :t + 1].
        Padding goes behind the real items; its index may be any, its results mean nothing.
        """
        return self.encode(self.item(items))

    def encode(self, films: torch.Tensor) -> torch.Tensor:
        """The same from item vectors: (B, T, dim) -> (B, T, dim)."""
        x = self.dropout(films + self.place.weight[: films.shape[1]])
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=INITIAL_STD)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)


# -- losses --------------------------------------------------------------------------------------


class _SoftmaxCrossEntropy(torch.autograd.Function):
    """Mean cross-entropy over all items; the gradient is made in the forward pass, chunk by chunk.

    Each chunk of logits is turned in place into probabilities and then into dL/dlogits = p - y, so the
    logits of a whole batch (over a gigabyte) never exist.
    """

    @staticmethod
    def forward(
        ctx, hidden: torch.Tensor, table: torch.Tensor, targets: torch.Tensor, dtype: torch.dtype
    ) -> torch.Tensor:
        rows = max(1, LOGITS_AT_ONCE // len(table))
        low_hidden, low_table = hidden.to(dtype), table.to(dtype)
        hidden_gradient = torch.empty_like(hidden, dtype=torch.float32)
        table_gradient = torch.zeros_like(table, dtype=torch.float32)
        buffer = torch.empty(min(rows, len(hidden)), len(table), dtype=dtype, device=hidden.device)
        loss = torch.zeros((), device=hidden.device)
        for start in range(0, len(hidden), rows):
            chunk, wanted = low_hidden[start : start + rows], targets[start : start + rows]
            p = torch.mm(chunk, low_table.t(), out=buffer[: len(chunk)])  # (rows, V)
            torch.softmax(p, 1, out=p)
            at_target = p.gather(1, wanted[:, None])[:, 0].float()
            loss -= at_target.clamp_min(1e-9).log().sum()
            p[torch.arange(len(chunk), device=p.device), wanted] = (at_target - 1).to(dtype)
            hidden_gradient[start : start + rows] = torch.mm(p, low_table)
            table_gradient += torch.mm(p.t(), chunk)
        ctx.save_for_backward(hidden_gradient, table_gradient)
        ctx.dtypes = hidden.dtype, table.dtype
        return loss / len(hidden)

    @staticmethod
    def backward(ctx, upstream: torch.Tensor):
        hidden_gradient, table_gradient = ctx.saved_tensors
        scale = upstream / len(hidden_gradient)
        return (
            (hidden_gradient * scale).to(ctx.dtypes[0]),
            (table_gradient * scale).to(ctx.dtypes[1]),
            None,
            None,
        )


def softmax_cross_entropy(
    hidden: torch.Tensor, table: torch.Tensor, targets: torch.Tensor, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """Mean of -log softmax(hidden @ table.T)[target] over the whole catalogue.

    hidden (N, D), table (V, D), targets (N,) int64; `dtype` is that of the logits and products.
    """
    with torch.autocast(hidden.device.type, enabled=False):
        return _SoftmaxCrossEntropy.apply(hidden, table, targets, dtype)


def sampled_cross_entropy(
    hidden: torch.Tensor, table: torch.Tensor, targets: torch.Tensor, negatives: torch.Tensor
) -> torch.Tensor:
    """Cross-entropy over the target and negatives that the whole batch shares.

    negatives (S,) int64, distinct and uniform over the V items. Their logits are raised by
    log((V - 1) / S), so that the sum over them estimates the sum over all (Bengio and Senecal 2008, the
    correction by the log of the proposal); a negative that is a row's target is left out of that row.
    """
    positive = (hidden * table[targets]).sum(1, keepdim=True)  # (N, 1)
    others = hidden @ table[negatives].t() + np.log((len(table) - 1) / len(negatives))  # (N, S)
    others = others.masked_fill(negatives[None, :] == targets[:, None], -torch.inf)
    return F.cross_entropy(torch.cat([positive, others], 1).float(), torch.zeros_like(targets))


def fastest_logits_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 on the GPUs that multiply it faster, else float32: on a CPU it gains next to nothing."""
    half = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.bfloat16 if half else torch.float32


# -- batches -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Batch:
    """inputs (B, T) int64 padded behind with 0; real (B, T) bool; targets (real.sum(),) int64 row by row."""

    inputs: torch.Tensor
    real: torch.Tensor
    targets: torch.Tensor

    def to(self, device: torch.device) -> Batch:
        return Batch(self.inputs.to(device), self.real.to(device), self.targets.to(device))


@dataclass(frozen=True)
class Windows:
    """One window of every history per epoch, in batches of like lengths so that padding is rare.

    items (N,) with the rows of user u at indptr[u]:indptr[u + 1], oldest first. A history longer than
    max_length + 1 gives a window at a random place, drawn anew each epoch. A batch holds at most
    `places` places, or one sequence.
    """

    items: np.ndarray
    indptr: np.ndarray
    max_length: int
    places: int
    seed: int

    @property
    def places_per_epoch(self) -> int:
        return int(np.minimum(np.maximum(np.diff(self.indptr) - 1, 0), self.max_length).sum())

    def batches_per_epoch(self) -> int:
        """Of the first epoch; later ones may differ by one or two."""
        return len(self._groups(np.random.default_rng([self.seed, 0]))[2])

    def __call__(self, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch; the same (seed, epoch) gives the same batches."""
        starts, lengths, groups = self._groups(np.random.default_rng([self.seed, epoch]))
        for users in groups:
            width = int(lengths[users].max())
            offsets = np.arange(width)
            real = offsets < lengths[users, None]  # (B, T)
            rows = starts[users, None] + np.where(real, offsets, 0)
            inputs = np.where(real, self.items[rows], 0).astype(np.int64)
            targets = self.items[(rows + 1)[real]].astype(np.int64)
            yield Batch(torch.from_numpy(inputs), torch.from_numpy(real), torch.from_numpy(targets))

    def _groups(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
        """First row and number of inputs of each window, and the batches as arrays of window numbers."""
        counts = np.diff(self.indptr)
        users = np.flatnonzero(counts >= 2)
        lengths = np.minimum(counts[users] - 1, self.max_length)
        slack = counts[users] - 1 - lengths
        starts = self.indptr[users] + rng.integers(0, slack + 1)
        order = np.argsort(-(lengths + rng.random(len(users)) * LENGTH_JITTER), kind="stable")
        groups, first = [], 0
        while first < len(order):
            widest = np.maximum.accumulate(lengths[order[first : first + self.places]])
            fitting = widest * np.arange(1, len(widest) + 1) <= self.places
            size = max(1, int(fitting.sum()))
            groups.append(order[first : first + size])
            first += size
        return starts, lengths, [groups[index] for index in rng.permutation(len(groups))]
