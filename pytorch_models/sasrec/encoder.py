"""The SASRec encoder in torch, from arrays to arrays: for a GPU, and to check ONNX Runtime against."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch

from pytorch_models.sasrec.network import Sasrec, SasrecConfig


def torch_encoder(
    weights: Mapping[str, np.ndarray], *, heads: int, device: str
) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function of item vectors (b, T, D) float32 that gives the last position's output (b, D).

    Raises ValueError when the device is not there.
    """
    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        raise ValueError("there is no CUDA device")
    n_items, dim = weights["item.weight"].shape
    blocks = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("blocks."))
    block = "ligr" if "blocks.0.feed_gate.weight" in weights else "pre"
    model = Sasrec(SasrecConfig(n_items, dim, blocks, heads, len(weights["position.weight"]), block=block))
    outside = "gap.weight"  # added to the item vectors by the caller
    model.load_state_dict(
        {name: torch.from_numpy(np.array(array)) for name, array in weights.items() if name != outside}
    )
    model.to(device).eval()

    def encode(vectors: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return model.encode(torch.from_numpy(vectors).to(device))[:, -1].cpu().numpy()

    return encode
