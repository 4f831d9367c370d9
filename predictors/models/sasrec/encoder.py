"""SASRec on the CPU by ONNX Runtime: the encoder, and approximate scores of all items."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from predictors.errors import ArtifactError

ENCODER = "encoder.onnx"
QUANTISED_TABLE = "items-int8.onnx"
Encoder = Callable[[np.ndarray], np.ndarray]
LARGEST = 127  # magnitude of an encoded history in int8


def onnx_encoder(graph: bytes) -> Encoder:
    """Return a function of item vectors (b, T, D) float32 that gives the last position's output (b, D).

    `graph` is what `predictors.models.sasrec.onnx_graph` writes. Raises ArtifactError when it cannot be read.
    """
    session = _session(graph, ENCODER)
    return lambda vectors: session.run(None, {"items": vectors})[0]


def onnx_approximate_scores(graph: bytes) -> Encoder:
    """Return a function of encoded histories (b, D) float32 that gives approximate scores (b, n) float32.

    The scores of a history are in a unit of its own: they order its items, and no more.
    `graph` is the quantised table of `predictors.models.sasrec.onnx_graph`. Each history is quantised by
    itself, so that its scores do not depend on those beside it. Raises ArtifactError as `onnx_encoder` does.
    """
    session = _session(graph, QUANTISED_TABLE)

    def scores(encoded: np.ndarray) -> np.ndarray:
        units = np.maximum(np.abs(encoded).max(axis=1, keepdims=True), np.finfo(np.float32).tiny) / LARGEST
        whole = (np.rint(encoded / units) + 128).astype(np.uint8)
        return session.run(None, {"items": whole})[0]

    return scores


def _session(graph: bytes, name: str) -> Any:
    import onnxruntime
    from onnxruntime.capi.onnxruntime_pybind11_state import (
        Fail,
        InvalidArgument,
        InvalidGraph,
        InvalidProtobuf,
    )

    options = onnxruntime.SessionOptions()
    # One thread: requests run side by side already, and a pool would not survive a fork.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # it plans for one length, here every history has its own
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf) as error:
        raise ArtifactError(f"{name} cannot be read: {error}") from error
