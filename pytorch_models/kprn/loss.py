"""The losses of KPRN.

bce      -log sigmoid(score) for positives, -log sigmoid(-score) for negatives (Wang et al., eq. 12)
softmax  each positive against all negatives of its example
"""

from __future__ import annotations

import torch
from torch.nn import functional

from pytorch_models.kprn.config import KprnFitConfig
from pytorch_models.kprn.examples import Example
from pytorch_models.kprn.network import NO_PATH, Kprn, pool


def kprn_loss(model: Kprn, example: Example, config: KprnFitConfig) -> torch.Tensor:
    """Return the mean over the positives (softmax) or over all targets with a path (bce)."""
    tree = example.tree
    scores = model.pooled(tree)
    reached = scores > NO_PATH
    if config.loss == "bce":
        asked = reached | example.positive
        return functional.binary_cross_entropy_with_logits(scores[asked], example.positive[asked].float())
    negative = reached & ~example.positive
    n = int(example.owner.max()) + 1
    against = pool(scores[negative], example.owner[negative], n, "lse", 1.0)  # (B,)
    mine, owner = scores[example.positive], example.owner[example.positive]
    return functional.softplus(against.index_select(0, owner) - mine).mean()
