"""The losses of LightGCN and NGCF.

    bpr      -log sigmoid(s_ui - s_uj), one drawn j per pair      (Rendle et al., UAI 2009)
    softmax  log(1 + sum over j of exp((s_uj - s_ui) / t))        (sampled softmax)

In the softmax all pairs of a user share one sum: batches hold entire users, so that a step over 4,096
pairs scores some fifty users instead of 4,096 rows. The j are the full catalogue without the user's
positives, or `n_negatives` drawn items, shared by the batch, where the catalogue is larger.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch.nn import functional

from pytorch_models.graph.batches import FittedGraph, Step
from pytorch_models.graph.config import GraphFitConfig

_MASKED = -1e9


def graph_loss(fitted: FittedGraph, step: Step, config: GraphFitConfig) -> torch.Tensor:
    """Return the mean loss per pair of one batch with the L2 term, a scalar."""
    model = fitted.model
    device = model.embedding.device
    with torch.autocast(device.type, enabled=False):
        final = model(fitted.propagate)
        n_users = model.config.n_users
        users, items, rows = step.users.to(device), step.items.to(device), step.rows.to(device)
        nodes = [users, n_users + items]
        if step.negatives is not None:
            nodes.append(n_users + step.negatives.to(device))
        # One gather: each costs a gradient of the size of the full table.
        chosen = final.index_select(0, torch.cat(nodes)).split([len(some) for some in nodes])
        if config.loss == "bpr":
            people, positives, negatives = chosen
            difference = negatives - positives
            loss = functional.softplus((people.index_select(0, rows) * difference).sum(dim=1)).mean()
        else:
            loss = _softmax(final[n_users:], chosen, step, config, rows=rows, items=items)
        if not config.l2:
            return loss
        penalised = torch.cat(nodes if config.loss == "bpr" else nodes[:2])
        squares = model.penalised(final, penalised).square().sum()
        return loss + config.l2 * squares / (2 * len(items))


def _softmax(
    item_vectors: torch.Tensor,
    chosen: Sequence[torch.Tensor],
    step: Step,
    config: GraphFitConfig,
    *,
    rows: torch.Tensor,
    items: torch.Tensor,
) -> torch.Tensor:
    """Compute the sampled softmax, a scalar.

    item_vectors (n_items, f); chosen: users (U, f), items of the pairs (P, f) and, if drawn, (N, f);
    rows and items (P,) -> scalar"""
    if config.similarity == "cosine":
        chosen = [functional.normalize(vectors) for vectors in chosen]
        item_vectors = item_vectors if len(chosen) > 2 else functional.normalize(item_vectors)
    users, own_items, *drawn = chosen
    own = (users.index_select(0, rows) * own_items).sum(dim=1) / config.temperature
    if drawn:
        scores = users @ drawn[0].T / config.temperature  # (U, N)
        if config.negatives == "uniform":
            # Each item is in the sum with probability N / n_items (Jean et al., ACL 2015, eq. 9).
            scores = scores + math.log(len(item_vectors) / scores.shape[1])
        scores = scores.masked_fill(step.positives.to(item_vectors.device), _MASKED)  # type: ignore[union-attr]
    else:
        scores = users @ item_vectors.T / config.temperature  # (U, n_items)
        scores = scores.index_put((rows, items), scores.new_tensor(_MASKED))
    others = torch.logsumexp(scores, dim=1)
    return functional.softplus(others.index_select(0, rows) - own).mean()
