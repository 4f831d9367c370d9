"""NGCF: propagation with transformations and interactions (Wang et al., SIGIR 2019), at node level.

The message from i to u is a_ui (e_i W1 + b1 + (e_i * e_u) W2 + b2), the message of u to itself
e_u W1 + b1 (eq. 3-5; the biases, one per message, are ours). Summed over the edges this needs one propagation
and two matrix products per layer:

    m = A_hat x
    x' = LeakyReLU((x + m) W1 + b1 + (m * x) W2 + rowsum(A_hat) (b1 + b2))      (eq. 7)

Each layer's output is scaled to length 1 and all are put side by side with the layer 0 (eq. 9);
the score of a pair is the dot product (eq. 10).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

from pytorch_models.graph.propagation import Propagate

SLOPE = 0.2  # of the LeakyReLU for negative values, as in the authors' code
EPSILON = 1e-12  # no vector shorter than this is scaled up to length 1


@dataclass(frozen=True)
class NGCFConfig:
    """Configures NGCF; message_dropout drops entries of a layer's output, node_dropout whole nodes."""

    n_users: int
    n_items: int
    dim: int = 64
    layer_dims: tuple[int, ...] = (64, 64, 64)
    message_dropout: float = 0.1
    node_dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.dim < 1 or not self.layer_dims or min(self.layer_dims) < 1:
            raise ValueError("dim and every layer must be 1 or more, and there must be a layer")
        if not 0 <= self.message_dropout < 1 or not 0 <= self.node_dropout < 1:
            raise ValueError("message_dropout and node_dropout must be at least 0 and below 1")


class NGCF(nn.Module):
    """Holds the network: `embedding` (n_users + n_items, dim), users first; per layer k (in, out) matrices
    `w1.k`, `w2.k` and (out,) biases `b1.k`, `b2.k`.

    row_sums (n_users + n_items,) row sums of A_hat
    """

    row_sums: torch.Tensor

    def __init__(
        self, config: NGCFConfig, row_sums: torch.Tensor, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.config = config
        dims = (config.dim, *config.layer_dims)

        def matrix(rows: int, columns: int) -> nn.Parameter:
            return nn.Parameter(nn.init.xavier_uniform_(torch.empty(rows, columns), generator=generator))

        self.embedding = matrix(config.n_users + config.n_items, config.dim)
        pairs = list(pairwise(dims))
        self.w1 = nn.ParameterList(matrix(before, after) for before, after in pairs)
        self.w2 = nn.ParameterList(matrix(before, after) for before, after in pairs)
        self.b1 = nn.ParameterList(nn.Parameter(torch.zeros(after)) for _, after in pairs)
        self.b2 = nn.ParameterList(nn.Parameter(torch.zeros(after)) for _, after in pairs)
        self.register_buffer("row_sums", row_sums.float(), persistent=False)

    @torch.no_grad()
    def start_from(self, embedding: torch.Tensor) -> None:
        """Begin from an embedding (n_users + n_items, dim) that each layer averages with its neighbours'.

        W1 is half the identity and W2 is 0; all layers are as wide as the embedding.
        """
        self.embedding.copy_(embedding)
        for w1, w2 in zip(self.w1, self.w2, strict=True):
            w1.copy_(torch.eye(*w1.shape, dtype=w1.dtype) / 2)
            w2.zero_()

    def tables(self, propagate: Propagate) -> list[torch.Tensor]:
        """Compute layers 0 .. L before scaling, each (n_users + n_items, dim of the layer)."""
        x: torch.Tensor = self.embedding
        tables = [x]
        for k in range(len(self.w1)):
            x = nn.functional.leaky_relu(self.before_activation(k, x, propagate), SLOPE)
            x = nn.functional.dropout(x, self.config.message_dropout, self.training)
            tables.append(x)
        return tables

    def before_activation(self, k: int, x: torch.Tensor, propagate: Propagate) -> torch.Tensor:
        """Compute (n_nodes, out) the input of layer k's LeakyReLU, for x (n_nodes, in)."""
        message = propagate(self._with_node_dropout(x))
        biases = self.row_sums.to(x.dtype)[:, None] * (self.b1[k] + self.b2[k])
        return (x + message) @ self.w1[k] + self.b1[k] + (message * x) @ self.w2[k] + biases

    def forward(self, propagate: Propagate) -> torch.Tensor:
        """Compute (n_users + n_items, dim + sum of layer_dims) final vectors."""
        first, *others = self.tables(propagate)
        return torch.cat([first, *(nn.functional.normalize(x, dim=1, eps=EPSILON) for x in others)], dim=1)

    def penalised(self, final: torch.Tensor, nodes: torch.Tensor) -> torch.Tensor:
        """Return the rows of the L2 term: the final vectors of the batch, as in the authors' code."""
        return final[nodes]

    def _with_node_dropout(self, x: torch.Tensor) -> torch.Tensor:
        """Return x with the rows of dropped nodes at 0 and the others scaled up (section 3.4.2).

        A zero row sends nothing to anybody while the matrix stays symmetric, so the kernel's backward
        holds. The node itself still hears its neighbours and keeps its own row.
        """
        p = self.config.node_dropout
        if not self.training or p == 0:
            return x
        kept = torch.rand(len(x), 1, device=x.device) >= p
        return x * kept / (1 - p)
