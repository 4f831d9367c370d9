"""SASRec: causal self-attention over a sequence of items, trained to predict the next one at every position.

Kang and McAuley, "Self-Attentive Sequential Recommendation" (ICDM 2018). The blocks are pre-norm as in the
paper (section III-B); `block="ligr"` adds a gate. Three things differ, which later work found to matter more
than the architecture: cross-entropy over the full catalogue instead of one negative with BCE (Klenitskiy and
Vasilev, "Turning Dross Into Gold Loss", RecSys 2023; Petrov and Macdonald, "gSASRec", RecSys 2023), a GELU
layer of four times the width, and windows drawn from all of a long history instead of only its end.

Sequences are padded on the right. Attention is causal, so no real position ever sees padding, and a
sequence scores the same in any batch and without padding at all. Positions are counted from the start of
the window.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

INITIAL_STD = 0.02  # of weights and embeddings, as in GPT-2
BLOCKS = ("pre", "ligr")


@dataclass(frozen=True)
class SasrecConfig:
    """Configures the network; `max_length` is the number of positions, `block` one of BLOCKS.

    n_gaps  buckets of the time from an item to the next one, of which 0 is "unknown"; 0 = times are not read
    """

    n_items: int
    dim: int = 64
    blocks: int = 2
    heads: int = 2
    max_length: int = 200
    dropout: float = 0.2
    block: str = "pre"
    n_gaps: int = 0


class Part(NamedTuple):
    """Names the rows of a batch of `n_rows` that are computed here."""

    rows: slice
    n_rows: int


class ByteDropout(nn.Module):
    """Drops elements by one random byte each: on a CPU the draws cost more than the model.

    The probability is rounded to a multiple of 1/256. For rows that are a part of a batch the bytes of all
    its rows are drawn: a row drops the same elements in whichever process it is.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.keep = round((1 - probability) * 256)

    def forward(self, x: torch.Tensor, part: Part | None = None) -> torch.Tensor:
        if not self.training or self.keep == 256:
            return x
        shape = x.shape if part is None else (part.n_rows, *x.shape[1:])
        n = math.prod(shape)
        words = torch.empty((n + 7) // 8, dtype=torch.int64, device=x.device).random_(-(2**63), None)
        drawn = words.view(torch.uint8)[:n].view(shape)
        kept = (drawn if part is None else drawn[part.rows]) < self.keep
        return x * (kept.to(x.dtype) * (256 / self.keep))


class CausalSelfAttention(nn.Module):
    """Attends to earlier positions (Kang and McAuley, eq. 2-3), (B, T, D) -> (B, T, D)."""

    def __init__(self, config: SasrecConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.qkv = nn.Linear(config.dim, 3 * config.dim)
        self.out = nn.Linear(config.dim, config.dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        B, T, D = x.shape
        qkv = self.qkv(x).view(B, T, 3, self.heads, D // self.heads)  # (B, T, 3D) -> (B, T, 3, h, D/h)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # 3 of (B, h, T, D/h)
        # No dropout in here: with it the call leaves its fused form.
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)  # (B, h, T, D/h)
        return self.out(y.transpose(1, 2).reshape(B, T, D))  # (B, T, h, D/h) -> (B, T, D)


class Block(nn.Module):
    """Applies attention and a feed-forward layer, each with a residual, (B, T, D) -> (B, T, D)."""

    def __init__(self, config: SasrecConfig) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.dim)
        self.attention = CausalSelfAttention(config)
        self.feed_norm = nn.LayerNorm(config.dim)
        self.up = nn.Linear(config.dim, 4 * config.dim)
        self.down = nn.Linear(4 * config.dim, config.dim)
        self.dropout = ByteDropout(config.dropout)
        self.attention_gate = _gate(config)
        self.feed_gate = _gate(config)

    def forward(self, x: torch.Tensor, part: Part | None = None) -> torch.Tensor:
        x = self._residual(x, self.attention, self.attention_norm, self.attention_gate, part)
        return self._residual(x, self._feed, self.feed_norm, self.feed_gate, part)

    def _feed(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(F.gelu(self.up(x)))

    def _residual(
        self,
        x: torch.Tensor,
        layer: Callable[[torch.Tensor], torch.Tensor],
        norm: nn.LayerNorm,
        gate: nn.Linear | None,
        part: Part | None,
    ) -> torch.Tensor:
        """Add a layer's output to its input, (B, T, D) -> (B, T, D).

        pre   x + layer(norm(x)), Kang and McAuley 2018, eq. 5
        ligr  x + layer(norm(x)) * sigmoid(x W), Borisyuk et al., "From Features to Transformers" 2025
        """
        change = self.dropout(layer(norm(x)), part)
        return x + (change if gate is None else change * torch.sigmoid(gate(x)))


class Sasrec(nn.Module):
    """Holds the network; `item.weight` (n_items, dim) is the input and the output table (tied).

    `gap.weight` (n_gaps, dim) is added to the items: the time from an item to the next one, the last to the
    question, in buckets of powers of two. HSTU (Zhai et al., ICML 2024, section 3.2) has such buckets as
    biases of the attention, which gained less on validation at twice the work.
    """

    def __init__(self, config: SasrecConfig) -> None:
        super().__init__()
        self.config = config
        self.item = nn.Embedding(config.n_items, config.dim)
        self.position = nn.Embedding(config.max_length, config.dim)
        self.gap = nn.Embedding(config.n_gaps, config.dim) if config.n_gaps else None
        self.dropout = ByteDropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(config.dim)
        self.apply(_initialise)

    def forward(
        self, items: torch.Tensor, gaps: torch.Tensor | None = None, part: Part | None = None
    ) -> torch.Tensor:
        """Encode items (B, T) int64, oldest first, T <= max_length, into (B, T, dim) float32.

        gaps (B, T) int64 are buckets of the time from each item to the next; None = unknown. Position t of
        the result, multiplied with `item.weight`, scores what follows items[:, :t + 1]. Padding goes behind
        the real items; its index may be any, its results mean nothing. `part` says which rows of a batch in
        training these are; None = all.
        """
        vectors = self.item(items)
        if self.gap is not None:
            vectors = vectors + self.gap(torch.zeros_like(items) if gaps is None else gaps)
        return self.encode(vectors, part)

    def encode(self, vectors: torch.Tensor, part: Part | None = None) -> torch.Tensor:
        """Encode item vectors: (B, T, dim) -> (B, T, dim)."""
        x = self.dropout(vectors + self.position.weight[: vectors.shape[1]], part)
        for block in self.blocks:
            x = block(x, part)
        return self.norm(x)


def _gate(config: SasrecConfig) -> nn.Linear | None:
    return nn.Linear(config.dim, config.dim, bias=False) if config.block == "ligr" else None


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=INITIAL_STD)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
