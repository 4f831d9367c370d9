"""SASRec on the CPU by ONNX Runtime: the encoder, and approximate scores of all items."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from predictors.errors import ArtifactError

ENCODER = "encoder.onnx"
QUANTISED_TABLE = "items-products.onnx"
PACKED_TABLE = "items-products.bin"  # beside it: the table as this kind of processor reads it
QUANTISED_TABLE_FLOAT = "items-int8.onnx"  # of artifacts made before the products were whole numbers
Encoder = Callable[[np.ndarray], np.ndarray]
TINY = np.finfo(np.float32).tiny
LARGEST = 127  # magnitude of an encoded history in int8
MIN_OUTSIDE_BYTES = 1_024  # of a constant that stands in a file of its own
LARGEST_OF_ITEM = 63  # seven bits, as processors without VNNI add two products in 16 bits


def onnx_encoder(graph: bytes) -> Encoder:
    """Return a function of item vectors (b, T, D) float32 that gives the last position's output (b, D).

    `graph` is what `predictors.models.sasrec.onnx_graph` writes. Raises ArtifactError when it cannot be read.
    """
    # It would keep what the largest group ever needed: 17 MB after 16 histories of 200 items. Without that
    # one history, and 16 of 20 items, take as long; 16 of 200 items take 7 % longer.
    session = _session(graph, ENCODER, keeps_memory=False)
    return lambda vectors: session.run(None, {"items": vectors})[0]


def item_scales(table: np.ndarray) -> np.ndarray:
    """Return (n,) float32 by which an item vector of the table (n, D) is divided to become int8."""
    largest: np.ndarray = np.maximum(np.abs(table).max(axis=1), TINY) / np.float32(LARGEST_OF_ITEM)
    return largest.astype(np.float32)


def onnx_approximate_scores(
    graph: bytes | Path, table: np.ndarray
) -> Callable[[np.ndarray], Sequence[np.ndarray]]:
    """Return a function of encoded histories (b, D) float32 that gives approximate scores, b of (n,) float32.

    The scores of a history are in a unit of its own: they order its items, and no more.
    `graph` is the quantised `table` (n, D) of `predictors.models.sasrec.onnx_graph`, or its file. Each
    history is quantised by itself, so that its scores do not depend on those beside it. Raises ArtifactError
    as `onnx_encoder` does.
    """
    session = _session(graph, QUANTISED_TABLE, keeps_memory=True)  # as large for each group of as many
    is_scaled = session.get_outputs()[0].type == "tensor(float)"  # the graph of an older artifact does it
    scales = item_scales(table)

    def scores(encoded: np.ndarray) -> Sequence[np.ndarray]:
        units = np.maximum(np.abs(encoded).max(axis=1, keepdims=True), TINY) / LARGEST
        whole = (np.rint(encoded / units) + 128).astype(np.uint8)
        (products,) = session.run(None, {"items": whole})
        return products if is_scaled else [_scaled(row, scales) for row in products]

    return scores


def _scaled(products: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Return products (n,) int32 times the scales of the items, float32, in the memory of the products."""
    scores = products.view(np.float32)
    return np.multiply(products, scales, out=scores, dtype=np.float32, casting="unsafe")


def onnx_runtime() -> Any:
    """Return ONNX Runtime, imported so that it reports nothing to its makers.

    Else its import starts a thread that is made to send them what is run, by a number of this machine.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    return onnxruntime


def write_quantised_table(graph: bytes | Path, directory: Path) -> None:
    """Write the graph of a quantised table, and the table as ONNX Runtime packs it, which processes then map.

    On a processor that packs otherwise each process packs the table in memory of its own.
    """
    save_as = {
        "session.optimized_model_external_initializers_file_name": PACKED_TABLE,
        "session.optimized_model_external_initializers_min_size_in_bytes": str(MIN_OUTSIDE_BYTES),
        "session.save_external_prepacked_constant_initializers": "1",
    }
    _session(
        graph, QUANTISED_TABLE, keeps_memory=False, save_to=directory / QUANTISED_TABLE, settings=save_as
    )


def _session(
    graph: bytes | Path,
    name: str,
    *,
    keeps_memory: bool,
    save_to: Path | None = None,
    settings: Mapping[str, str] = MappingProxyType({}),
) -> Any:
    onnxruntime = onnx_runtime()
    from onnxruntime.capi.onnxruntime_pybind11_state import (
        Fail,
        InvalidArgument,
        InvalidGraph,
        InvalidProtobuf,
        NoSuchFile,
    )

    options = onnxruntime.SessionOptions()
    # One thread: requests run side by side already, and a pool would not survive a fork.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # it plans for one length, here every history has its own
    options.enable_cpu_mem_arena = keeps_memory
    options.log_severity_level = 3
    if save_to is not None:
        options.optimized_model_filepath = str(save_to)
    for key, value in settings.items():
        options.add_session_config_entry(key, value)
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, NoSuchFile) as error:
        raise ArtifactError(f"{name} cannot be read: {error}") from error
