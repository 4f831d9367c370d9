"""The full rebuild in float64 that a new node is compared with: SciPy and NumPy only."""

import numpy as np
from scipy import sparse

from predictors.models.graph.new_node import EPSILON, ItemRows
from predictors.models.graph.ngcf_node import SLOPE


def normalised_with(rows: ItemRows, items: np.ndarray, weights: np.ndarray) -> tuple[sparse.csr_matrix, int]:
    """A_hat of the graph with one more user, built from nothing, and that user's node number.

    Nodes: old users, the new user, items.
    """
    n_items = len(rows.indptr) - 1
    films = np.repeat(np.arange(n_items), np.diff(rows.indptr))
    users = np.concatenate([rows.users, np.full(len(items), rows.n_users)]).astype(np.int64)
    films = np.concatenate([films, items])
    values = np.concatenate([np.ones(len(rows.users)), np.asarray(weights, dtype=np.float64)])
    met = sparse.csr_matrix((values, (users, films)), shape=(rows.n_users + 1, n_items))
    adjacency = sparse.bmat([[None, met], [met.T, None]], format="csr")
    degrees = np.asarray(adjacency.sum(axis=1)).ravel()
    scale = sparse.diags(np.divide(1.0, np.sqrt(degrees), out=np.zeros_like(degrees), where=degrees > 0))
    return (scale @ adjacency @ scale).tocsr(), rows.n_users


def lightgcn_vector(
    matrix: sparse.csr_matrix, node: int, layer_0: np.ndarray, alpha: np.ndarray
) -> np.ndarray:
    """layer_0 (n_nodes, d) float64 with the new node in its row -> its final vector."""
    x, total = layer_0, alpha[0] * layer_0[node]
    for weight in alpha[1:]:
        x = matrix @ x
        total = total + weight * x[node]
    return total


def ngcf_vector(matrix: sparse.csr_matrix, node: int, layer_0: np.ndarray, layers: list) -> np.ndarray:
    """As `lightgcn_vector`, edge sums at node level; layers hold (w1, w2, b1, b2) in float64."""
    x, parts = layer_0, [layer_0[node]]
    row_sums = np.asarray(matrix.sum(axis=1))
    for w1, w2, b1, b2 in layers:
        message = matrix @ x
        x = (x + message) @ w1 + b1 + (message * x) @ w2 + row_sums * (b1 + b2)
        x = np.where(x > 0, x, SLOPE * x)
        parts.append(x[node] / max(np.linalg.norm(x[node]), EPSILON))
    return np.concatenate(parts)
