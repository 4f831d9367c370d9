"""Matrix factorisation with a sampled softmax: vectors of users and items, and a bias per item.

    s_ui = x_u . y_i + b_i

For each pair (u, i) of the training data the loss is that of choosing i among all items that are not u's,
where the sum over them is estimated from N drawn items (Bengio and Senecal 2008):

    L_ui = -log( exp(s_ui) / (exp(s_ui) + sum over drawn j, not u's, of exp(s_uj - log(N q_j))) )

q_j is the probability of drawing j. The term log(N q_j) is the logQ correction (Yi et al., "Sampling-Bias-
Corrected Neural Modeling for Large Corpus Item Recommendations", RecSys 2019): without it popular items,
which are drawn often, would be pushed down. The loss costs the same for any size of the
catalogue. The gradients of tables in `lazy` are sparse: they have the rows that a batch looks at. Those of
other tables have all rows.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from pytorch_models.mf_softmax.batches import Batch
from pytorch_models.training.loop import ROWS_FROM

INITIAL_STD = 0.1  # of the vectors
_MASKED = -1e9


class SoftmaxFactors(nn.Module):
    """Holds `users` (n_users, dim), `items` (n_items, dim) and `biases` (n_items,).

    Biases begin with the logarithms of `shares` (n_items,), the probabilities that an item is chosen by
    anybody, so that the vectors have to say only how a user differs from all. Tables of `rows_from` rows or
    more are `lazy`.
    """

    def __init__(
        self,
        n_users: int,
        dim: int,
        shares: torch.Tensor,
        generator: torch.Generator,
        rows_from: int = ROWS_FROM,
    ) -> None:
        super().__init__()
        self.users = nn.Parameter(torch.randn(n_users, dim, generator=generator) * INITIAL_STD)
        self.items = nn.Parameter(torch.randn(len(shares), dim, generator=generator) * INITIAL_STD)
        self.biases = nn.Parameter(shares.log().float())
        self.lazy = frozenset(name for name, table in self.named_parameters() if len(table) >= rows_from)

    def loss(self, batch: Batch, log_expected: torch.Tensor, l2: float) -> torch.Tensor:
        """Return the sum of L_ui and l2 / 2 (|x_u|^2 + |y_i|^2) over the pairs, divided by `n_pairs`.

        log_expected  (n_items,) log(N q_j), the logarithm of how often each item is expected to be drawn
        """
        users = self._rows("users", batch.users)  # (U, d)
        nodes = torch.cat([batch.items, batch.drawn])  # one gather: each costs a gradient of the entire table
        vectors = self._rows("items", nodes)
        biases = torch.gather(self.biases, 0, nodes, sparse_grad="biases" in self.lazy)
        own_vectors, drawn_vectors = vectors.split([len(batch.items), len(batch.drawn)])  # (P, d), (N, d)
        own_biases, drawn_biases = biases.split([len(batch.items), len(batch.drawn)])
        of_pairs = users[batch.rows]  # (U, d) -> (P, d)
        own = (of_pairs * own_vectors).sum(1) + own_biases  # (P,)
        others = users @ drawn_vectors.t() + drawn_biases - log_expected[batch.drawn]  # (U, N)
        others = others.masked_fill(batch.positive, _MASKED).logsumexp(1)  # (U,)
        total = F.softplus(others[batch.rows] - own).sum()
        if l2:
            total = total + l2 / 2 * (of_pairs.square().sum() + own_vectors.square().sum())
        return total / batch.n_pairs

    def _rows(self, name: str, rows: torch.Tensor) -> torch.Tensor:
        table = getattr(self, name)
        return F.embedding(rows, table, sparse=True) if name in self.lazy else table[rows]
