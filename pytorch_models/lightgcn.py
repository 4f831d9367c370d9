"""LightGCN: propagation and nothing else (He et al., SIGIR 2020).

    E^(k+1) = A_hat E^(k)                (eq. 8)
    E = sum over k of alpha_k E^(k)      (eq. 4; alpha_k = 1 / (layers + 1) in the paper)
    score(u, i) = E_u . E_i              (eq. 5)

With a learned combination alpha = softmax(logits), so that the weights stay positive and sum to 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from pytorch_models.graph import Propagate

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
    """Parameters: `embedding` (n_users + n_items, dim), users first; `logits` (layers + 1,) if learned."""

    def __init__(self, config: LightGCNConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        start = torch.randn((config.n_users + config.n_items, config.dim), generator=generator)
        self.embedding = nn.Parameter(start * _INITIAL_STD)
        self.logits = (
            nn.Parameter(torch.zeros(config.layers + 1)) if config.combination == "learned" else None
        )

    def combination(self) -> torch.Tensor:
        """(layers + 1,) alpha, summing to 1."""
        if self.logits is None:
            n = self.config.layers + 1
            return torch.full((n,), 1 / n, dtype=self.embedding.dtype, device=self.embedding.device)
        return torch.softmax(self.logits, dim=0)

    def tables(self, propagate: Propagate) -> list[torch.Tensor]:
        """E^(0) .. E^(layers), each (n_users + n_items, dim)."""
        tables: list[torch.Tensor] = [self.embedding]
        for _ in range(self.config.layers):
            tables.append(propagate(tables[-1]))
        return tables

    def forward(self, propagate: Propagate) -> torch.Tensor:
        """(n_users + n_items, dim) final vectors; the score of a pair is their dot product."""
        alpha = self.combination()
        # Horner's scheme: one running sum instead of all tables alive at once.
        x = alpha[-1] * self.embedding
        for k in range(self.config.layers - 1, -1, -1):
            x = propagate(x) + alpha[k] * self.embedding
        return x

    def penalised(self, final: torch.Tensor, nodes: torch.Tensor) -> torch.Tensor:
        """What the L2 term looks at: the rows of E^(0) in the batch (eq. 15 and the authors' code)."""
        return self.embedding[nodes]
