"""The SASRec encoder and its table of items as ONNX graphs, written node by node from the trained weights.

Written by hand rather than exported, because serving needs less than training: no padding, and in the
last block only the last position has a query. The item table stays outside, so that the scores of
all items are one matrix product.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from predictors.models.sasrec.encoder import item_scales

OPSET = 20  # the first with Gelu
IR_VERSION = 9
INPUT, OUTPUT = "items", "encoded"
_NORM_EPSILON = 1e-5  # torch's default for LayerNorm
# What is added to the logits of later positions. exp(-60) is 1e-26, far below the resolution of float32;
# minus infinity would give the same sums, but through denormal numbers, at seven times the cost.
_FUTURE = -60.0


def encoder_graph(weights: Mapping[str, np.ndarray], *, heads: int) -> bytes:
    """Write a serialised model: items (B, T, D) float32 vectors, oldest first -> encoded (B, D) float32.

    `weights` are those of `pytorch_models.sasrec.network.Sasrec` by name; T is at most max_length.
    """
    graph = _Graph(weights, heads)
    x = graph.add("Add", INPUT, graph.positions())
    blocks = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("blocks."))
    for index in range(blocks):
        x = graph.block(x, f"blocks.{index}", last=index == blocks - 1)
    encoded = graph.add("Squeeze", graph.norm(x, "norm"), graph.integers(1))
    graph.nodes.append(helper.make_node("Identity", [encoded], [OUTPUT]))
    dim = weights["norm.weight"].shape[0]
    return _serialised(
        graph.nodes,
        helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["batch", "length", dim]),
        helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", dim]),
        list(graph.constants.values()),
    )


def quantised_table_graph(table: np.ndarray) -> bytes:
    """Write a serialised model: encoded (B, D) uint8 around 128 -> products with all items (B, n) int32.

    `table` (n, D) is stored as int8, each item divided by its `item_scales`, which makes the products
    approximate. To multiply them by these scales is left to numpy: ONNX Runtime's MatMulIntegerToFloat takes
    .39 CPU-ms for 60,000 items and one history where both take .20.
    """
    whole = np.rint(table / item_scales(table)[:, None]).astype(np.int8)
    constants = {"table": np.ascontiguousarray(whole.T), "middle": np.uint8(128)}
    product = helper.make_node("MatMulInteger", [INPUT, "table", "middle"], [OUTPUT])
    return _serialised(
        [product],
        helper.make_tensor_value_info(INPUT, TensorProto.UINT8, ["batch", table.shape[1]]),
        helper.make_tensor_value_info(OUTPUT, TensorProto.INT32, ["batch", len(table)]),
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )


def _serialised(nodes: Sequence[Any], given: Any, found: Any, constants: Sequence[Any]) -> bytes:
    model = helper.make_model(
        helper.make_graph(nodes, "sasrec", [given], [found], constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    onnx.checker.check_model(model)
    return model.SerializeToString()


class _Graph:
    """Collects nodes and constants; methods return the name of what they add."""

    def __init__(self, weights: Mapping[str, np.ndarray], heads: int) -> None:
        self.weights = weights
        self.heads = heads
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def add(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        names = [f"{kind.lower()}_{len(self.nodes)}_{index}" for index in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, name: str, array: np.ndarray) -> str:
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def integers(self, *values: int) -> str:
        return self.constant("int_" + "_".join(map(str, values)), np.asarray(values, np.int64))

    def positions(self) -> str:
        """Add the vectors (T, D) of the first T positions; leaves the causal mask (T, T) in `self.mask`."""
        table = self.weights["position.weight"]
        future = np.triu(np.full((len(table), len(table)), _FUTURE, np.float32), k=1)
        length = self.add("Shape", INPUT, start=1, end=2)
        both = self.add("Concat", length, length, axis=0)
        mask = self.constant("future", future)
        self.mask = self.add("Slice", mask, self.integers(0, 0), both, self.integers(0, 1))
        positions = self.constant("positions", table)
        return self.add("Slice", positions, self.integers(0), length, self.integers(0))

    def norm(self, x: str, name: str) -> str:
        scale = self.constant(f"{name}.weight", self.weights[f"{name}.weight"])
        shift = self.constant(f"{name}.bias", self.weights[f"{name}.bias"])
        return self.add("LayerNormalization", x, scale, shift, axis=-1, epsilon=_NORM_EPSILON)

    def linear(self, x: str, name: str, weight: np.ndarray, bias: np.ndarray) -> str:
        product = self.add("MatMul", x, self.constant(f"{name}.weight", weight.T))
        return self.add("Add", product, self.constant(f"{name}.bias", bias))

    def block(self, x: str, name: str, *, last: bool) -> str:
        """Add a block: (B, T, D) -> (B, T, D), or (B, 1, D) where only the last position is needed."""
        read = self.norm(x, f"{name}.attention_norm")
        queries = read
        if last:
            x, queries = (
                self.add("Slice", y, self.integers(-1), self.integers(2**31), self.integers(1))
                for y in (x, read)
            )
        change = self.attention(read, queries, f"{name}.attention", masked=not last)
        x = self.residual(x, change, f"{name}.attention")
        read = self.norm(x, f"{name}.feed_norm")
        change = self.linear_of(self.add("Gelu", self.linear_of(read, f"{name}.up")), f"{name}.down")
        return self.residual(x, change, f"{name}.feed")

    def residual(self, x: str, change: str, name: str) -> str:
        """Add x + change, with the gate on the change where the block has one."""
        gate = self.weights.get(f"{name}_gate.weight")
        if gate is not None:
            opened = self.add("MatMul", x, self.constant(f"{name}_gate.weight", gate.T))
            change = self.add("Mul", change, self.add("Sigmoid", opened))
        return self.add("Add", x, change)

    def linear_of(self, x: str, name: str) -> str:
        return self.linear(x, name, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def attention(self, normed: str, queries: str, name: str, *, masked: bool) -> str:
        """Add softmax(q k' / sqrt(D / h)) v by head; the scale is folded into the weights of q."""
        weight, bias = self.weights[f"{name}.qkv.weight"], self.weights[f"{name}.qkv.bias"]
        dim = weight.shape[1]
        scale = np.float32((dim // self.heads) ** -0.5)
        q = self.linear(queries, f"{name}.q", weight[:dim] * scale, bias[:dim] * scale)
        k = self.linear(normed, f"{name}.k", weight[dim : 2 * dim], bias[dim : 2 * dim])
        v = self.linear(normed, f"{name}.v", weight[2 * dim :], bias[2 * dim :])
        split = self.integers(0, 0, self.heads, dim // self.heads)
        q = self.add("Transpose", self.add("Reshape", q, split), perm=[0, 2, 1, 3])  # (B, h, T, D/h)
        k = self.add("Transpose", self.add("Reshape", k, split), perm=[0, 2, 3, 1])  # (B, h, D/h, T)
        v = self.add("Transpose", self.add("Reshape", v, split), perm=[0, 2, 1, 3])
        logits = self.add("MatMul", q, k)  # (B, h, T, T)
        if masked:
            logits = self.add("Add", logits, self.mask)
        mixed = self.add("MatMul", self.add("Softmax", logits, axis=-1), v)
        joined = self.add(
            "Reshape", self.add("Transpose", mixed, perm=[0, 2, 1, 3]), self.integers(0, 0, dim)
        )
        return self.linear_of(joined, f"{name}.out")
