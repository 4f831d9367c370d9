"""The losses of SASRec: cross-entropy over the full catalogue, or over sampled negatives."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

# Elements of a chunk of logits. A CPU wants a chunk near its cache; a GPU wants few, large kernels, and
# half a gigabyte of bfloat16 is a small part of its memory.
LOGITS_AT_ONCE = {"cpu": 7_000_000, "cuda": 268_435_456}


class _SoftmaxCrossEntropy(torch.autograd.Function):
    """Computes the summed cross-entropy over all items with its gradient in the forward pass, chunk by chunk.

    Each chunk of logits is turned in place into probabilities and then into dL/dlogits = p - y, so the
    logits of a full batch (over a gigabyte) never exist.
    """

    @staticmethod
    def forward(
        ctx,
        hidden: torch.Tensor,
        table: torch.Tensor,
        targets: torch.Tensor,
        dtype: torch.dtype,
    ) -> torch.Tensor:
        rows = rows_at_once(len(table), hidden.device)
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
        return loss

    @staticmethod
    def backward(ctx, upstream: torch.Tensor):
        hidden_gradient, table_gradient = ctx.saved_tensors
        return (
            (hidden_gradient * upstream).to(ctx.dtypes[0]),
            (table_gradient * upstream).to(ctx.dtypes[1]),
            None,
            None,
        )


def softmax_cross_entropy(
    hidden: torch.Tensor,
    table: torch.Tensor,
    targets: torch.Tensor,
    dtype: torch.dtype = torch.float32,
    n: int | None = None,
) -> torch.Tensor:
    """Compute the mean of -log softmax(hidden @ table.T)[target] over the full catalogue.

    hidden (N, D), table (V, D), targets (N,) int64; `dtype` is that of the logits and products. Of a part of
    `n` rows it is the share of their mean.
    """
    with torch.autocast(hidden.device.type, enabled=False):
        total = _SoftmaxCrossEntropy.apply(hidden, table, targets, dtype)
        return total / (len(hidden) if n is None else n)


def sampled_cross_entropy(
    hidden: torch.Tensor,
    table: torch.Tensor,
    targets: torch.Tensor,
    negatives: torch.Tensor,
    n: int | None = None,
) -> torch.Tensor:
    """Compute the mean cross-entropy over the target and negatives that the batch shares.

    negatives (S,) int64, distinct and uniform over the V items. Their logits are raised by log(V / S), minus
    the log of how often each is expected, so that the sum of their exponentials estimates the sum over all
    other items without bias (Bengio and Senecal 2008; the logQ correction of Yi et al., RecSys 2019).
    A negative that is a row's target is left out of that row. Of a part of `n` rows it is the share of their
    mean.
    """
    positive = (hidden * table[targets]).sum(1, keepdim=True)  # (N, 1)
    others = hidden @ table[negatives].t() + np.log(len(table) / len(negatives))  # (N, S)
    others = others.masked_fill(negatives[None, :] == targets[:, None], -torch.inf)
    logits = torch.cat([positive, others], 1).float()
    total = F.cross_entropy(logits, torch.zeros_like(targets), reduction="sum")
    return total / (len(targets) if n is None else n)


def fastest_logits_dtype(device: torch.device) -> torch.dtype:
    """Return bfloat16 on GPUs that multiply it faster, else float32: on a CPU it gains next to nothing."""
    half = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.bfloat16 if half else torch.float32


def rows_at_once(n_items: int, device: torch.device) -> int:
    """Return the number of rows whose logits over the catalogue are computed together on a device."""
    return max(1, LOGITS_AT_ONCE.get(device.type, LOGITS_AT_ONCE["cpu"]) // n_items)
