"""LightGCN: propagation and nothing else (He et al., SIGIR 2020).

    E^(k+1) = A_hat E^(k)                (eq. 8)
    E = sum over k of alpha_k E^(k)      (eq. 4; alpha_k = 1 / (layers + 1) in the paper)
    score(u, i) = E_u . E_i              (eq. 5)

With a learned combination alpha = softmax(logits), so that the weights stay positive and sum to 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from pytorch_models.graph.propagation import Propagate

COMBINATIONS = ("mean", "learned")
_INITIAL_STD = 0.1  # section 4.1.2 of the authors' code


@dataclass(frozen=True)
class LightGCNConfig:
    n_users: int
    n_items: int
    dim: int = 64
    layers: int = 3
    combination: str = "mean"

    def __post_init__(self) -> None:
        if self.combination not in COMBINATIONS:
            raise ValueError(
                f"combination must be one of {', '.join(COMBINATIONS)}, not {self.combination!r}"
            )
        if self.dim < 1 or self.layers < 1:
            raise ValueError("dim and layers must be 1 or more")


class LightGCN(nn.Module):
    """Holds `embedding` (n_users + n_items, dim), users first, and `logits` (layers + 1,) if learned."""

    def __init__(self, config: LightGCNConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        start = torch.randn((config.n_users + config.n_items, config.dim), generator=generator)
        self.embedding = nn.Parameter(start * _INITIAL_STD)
        self.logits = (
            nn.Parameter(torch.zeros(config.layers + 1)) if config.combination == "learned" else None
        )

    @torch.no_grad()
    def start_from(self, embedding: torch.Tensor) -> None:
        """Begin from an embedding (n_users + n_items, dim)."""
        self.embedding.copy_(embedding)

    def combination(self) -> torch.Tensor:
        """Return (layers + 1,) alpha, summing to 1."""
        if self.logits is None:
            n = self.config.layers + 1
            return torch.full((n,), 1 / n, dtype=self.embedding.dtype, device=self.embedding.device)
        return torch.softmax(self.logits, dim=0)

    def tables(self, propagate: Propagate) -> list[torch.Tensor]:
        """Compute E^(0) .. E^(layers), each (n_users + n_items, dim)."""
        tables: list[torch.Tensor] = [self.embedding]
        for _ in range(self.config.layers):
            tables.append(propagate(tables[-1]))
        return tables

    def forward(self, propagate: Propagate) -> torch.Tensor:
        """Compute (n_users + n_items, dim) final vectors; the score of a pair is their dot product."""
        if self.logits is None:
            return _MeanOfLayers.apply(self.embedding, propagate, self.config.layers)
        alpha = self.combination()
        # Horner's scheme: one running sum instead of all tables alive at once.
        x = alpha[-1] * self.embedding
        for k in range(self.config.layers - 1, -1, -1):
            x = propagate(x) + alpha[k] * self.embedding
        return x

    def penalised(self, final: torch.Tensor, nodes: torch.Tensor) -> torch.Tensor:
        """Return the rows of the L2 term: those of E^(0) in the batch (eq. 15 and the authors' code)."""
        return self.embedding[nodes]


class _MeanOfLayers(torch.autograd.Function):
    """Computes (I + A + ... + A^layers) / (layers + 1) x.

    A is symmetric, so backward is the same sum of the gradient, and no table of a layer is kept for it.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, propagate: Propagate, layers: int) -> torch.Tensor:
        ctx.propagate, ctx.layers = propagate, layers
        return _mean_of_layers(x, propagate, layers)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        return _mean_of_layers(gradients[0], ctx.propagate, ctx.layers), None, None


def _mean_of_layers(x: torch.Tensor, propagate: Propagate, layers: int) -> torch.Tensor:
    total = x
    for _ in range(layers):
        total = propagate(total).add_(x)
    return total.mul_(1 / (layers + 1))
