"""The tables of a trained graph network as arrays, which is all that a new node needs to be served."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from pytorch_models.graph.lightgcn import LightGCN
from pytorch_models.graph.ngcf import NGCF
from pytorch_models.graph.propagation import Propagate


@dataclass(frozen=True)
class LightGCNTables:
    """Holds the layers of a LightGCN.

    item_layers  [k] (n_items, d) E^(k), k = 0 .. L
    alpha        (L + 1,) the weights of the layers
    users        (n_users, d) final vectors of the users
    """

    item_layers: list[np.ndarray]
    alpha: np.ndarray
    users: np.ndarray


@dataclass(frozen=True)
class NGCFTables:
    """Holds the weights and layers of a NGCF; the layers are those before scaling to length 1.

    w1, w2, b1, b2  [k] matrices (d_k, d_{k+1}) and biases (d_{k+1},) of each layer
    layers          [k] (n_nodes, d_k), k = 0 .. L
    messages        [k] (n_nodes, d_k) A_hat x of layer k, k = 0 .. max(L - 2, 0)
    before          (n_nodes, d_1) input of the first layer's LeakyReLU
    final           (n_nodes, f) final vectors
    """

    n_users: int
    w1: list[np.ndarray]
    w2: list[np.ndarray]
    b1: list[np.ndarray]
    b2: list[np.ndarray]
    layers: list[np.ndarray]
    messages: list[np.ndarray]
    before: np.ndarray
    final: np.ndarray


def tables_of(model: LightGCN | NGCF, propagate: Propagate) -> LightGCNTables | NGCFTables:
    """Compute the tables of a model in the precision of its weights, without gradients or dropout."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            if isinstance(model, LightGCN):
                return lightgcn_tables(model, propagate)
            return ngcf_tables(model, propagate)
    finally:
        model.train(was_training)


def lightgcn_tables(model: LightGCN, propagate: Propagate) -> LightGCNTables:
    """Compute the tables of a LightGCN."""
    n_users = model.config.n_users
    return LightGCNTables(
        [_array(table[n_users:]) for table in model.tables(propagate)],
        _array(model.combination()),
        _array(model(propagate)[:n_users]),
    )


def ngcf_tables(model: NGCF, propagate: Propagate) -> NGCFTables:
    """Compute the tables of a NGCF."""
    layers = model.tables(propagate)
    w1, w2, b1, b2 = (
        [_array(weights) for weights in part] for part in (model.w1, model.w2, model.b1, model.b2)
    )
    return NGCFTables(
        model.config.n_users,
        w1,
        w2,
        b1,
        b2,
        [_array(layer) for layer in layers],
        [_array(propagate(layer)) for layer in layers[: max(len(layers) - 2, 1)]],
        _array(model.before_activation(0, layers[0], propagate)),
        _array(model(propagate)),
    )


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()
