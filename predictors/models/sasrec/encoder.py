"""The SASRec encoder on the CPU: item vectors to the output of the last position, by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from predictors.errors import ArtifactError

ENCODER = "encoder.onnx"
Encoder = Callable[[np.ndarray], np.ndarray]


def onnx_encoder(graph: bytes) -> Encoder:
    """Return a function of item vectors (b, T, D) float32 that gives the last position's output (b, D).

    `graph` is what `predictors.models.sasrec.onnx_graph` writes. Raises ArtifactError when it cannot be read.
    """
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
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf) as error:
        raise ArtifactError(f"{ENCODER} cannot be read: {error}") from error
    return lambda vectors: session.run(None, {"items": vectors})[0]
