"""Workload: what one inference of a float network asks of a machine, layer by layer.

Knows counts and shapes only; knows nothing of machines or prices. One multiply-accumulate is a MAC (= 2 FLOP).
Elementwise layers that every compiler fuses (batch norm, activation, reshape) move no memory of their own. A scalar
function counts as one operation a value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from neuro.errors import MachineError, expect
from neuro.graph import Graph, Layer
from neuro.numbers import settle
from neuro.ops import OPS

OpKind = Literal["conv", "shallow", "depthwise", "fc", "attention", "recurrent", "lookup", "pool", "elementwise"]
KINDS: tuple[str, ...] = get_args(OpKind)


@dataclass(frozen=True, slots=True)
class Op:
    """One layer as `groups` products of (m, k) by (k, n), done `repeats` times. "shallow" is a convolution of one channel.

    `adds` counts additions and comparisons beside the MACs, `parameters` trained values, `inputs` and `outputs` the activation
    values moved. `weights` are the stored values that must be read once per batch; None: all parameters.
    """

    name: str
    kind: OpKind
    m: int = 0
    k: int = 0
    n: int = 0
    groups: int = 1
    repeats: int = 1
    adds: int = 0
    parameters: int = 0
    weights: int | None = None
    inputs: int = 0
    outputs: int = 0

    def __post_init__(self) -> None:
        where = f"operation {self.name!r}"
        if self.kind not in KINDS:
            raise MachineError(where, f"kind {self.kind!r} is not known", f"Use one of {', '.join(KINDS)}")
        counts = dict.fromkeys(("m", "k", "n", "adds", "parameters", "inputs", "outputs"), (0, None))
        settle(self, MachineError, where, **counts, groups=(1, None), repeats=(1, None))
        if self.weights is not None:
            settle(self, MachineError, where, weights=(0, None))

    @property
    def macs(self) -> int:
        """Multiply-accumulates per inference, all repeats."""
        return self.m * self.k * self.n * self.groups * self.repeats

    @property
    def weight_reads(self) -> int:
        """Stored values read once per batch, all repeats."""
        return (self.parameters if self.weights is None else self.weights) * self.repeats


Columns = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, slots=True, eq=False)  # compared by identity: models remember what they worked out for a workload
class Workload:
    """The operations of one inference, in order. `assumptions` says what was counted how."""

    name: str
    ops: tuple[Op, ...]
    assumptions: tuple[str, ...] = ()
    columns: Columns = field(init=False, repr=False)
    merged: Columns = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ops", tuple(self.ops))
        if not self.ops or not any(op.macs for op in self.ops):
            raise MachineError(
                f"workload {self.name!r}", "it holds no multiply-accumulate", "Give at least one layer with weights"
            )
        object.__setattr__(self, "columns", _columns(self.ops))
        object.__setattr__(self, "merged", _columns(_merged(self.ops)))

    @property
    def macs(self) -> int:
        """Multiply-accumulates per inference (FLOP = 2 x MAC)."""
        return sum(op.macs for op in self.ops)

    @property
    def adds(self) -> int:
        """Additions and comparisons per inference that are not part of a MAC."""
        return sum(op.adds * op.repeats for op in self.ops)

    @property
    def parameters(self) -> int:
        """Trained values, each counted once."""
        return sum(op.parameters * op.repeats for op in self.ops)

    def bytes_moved(self, bits: int, batch: int = 1) -> float:
        """Bytes per batch when every layer reads its weights once and its inputs and outputs pass through memory."""
        c = self.columns
        return float((c["repeats"] * (c["weights"] + batch * (c["inputs"] + c["outputs"]))).sum()) * bits / 8

    def intensity(self, bits: int, batch: int = 1) -> float:
        """Arithmetic intensity in FLOP (= 2 x MAC) per byte."""
        return 2 * self.macs * batch / self.bytes_moved(bits, batch)

    def to_rows(self, bits: int = 8, batch: int = 1) -> list[dict[str, Any]]:
        """One row per operation: MACs, adds, parameters, bytes and GEMM shape per batch."""
        return [
            {
                "layer": op.name,
                "kind": op.kind,
                "macs": op.macs * batch,
                "adds": op.adds * op.repeats * batch,
                "parameters": op.parameters * op.repeats,
                "weight_bytes": op.weight_reads * bits / 8,
                "input_bytes": op.inputs * op.repeats * batch * bits / 8,
                "output_bytes": op.outputs * op.repeats * batch * bits / 8,
                "m": op.m * batch,
                "k": op.k,
                "n": op.n,
                "groups": op.groups,
                "repeats": op.repeats,
            }
            for op in self.ops
        ]


_COLUMNS = ("macs", "adds", "weights", "inputs", "outputs", "m", "k", "n", "groups", "repeats")


def _columns(ops: Iterable[Op]) -> Columns:
    """The ops as arrays (ops,), each for one of its repeats; `repeats` says how many there are."""
    rows = [
        (o.macs // o.repeats, o.adds, o.weight_reads // o.repeats, o.inputs, o.outputs, o.m, o.k, o.n, o.groups, o.repeats)
        for o in ops
    ]
    table = np.array(rows, np.float64)
    table.setflags(write=False)
    return dict(zip(_COLUMNS, table.T, strict=True))


def _merged(ops: Iterable[Op]) -> list[Op]:
    """Ops of the same shape as one op with more repeats: the same totals, sooner computed."""
    shapes: dict[Op, int] = {}
    for op in ops:
        key = replace(op, name="", repeats=1)
        shapes[key] = shapes.get(key, 0) + op.repeats
    return [replace(op, repeats=repeats) for op, repeats in shapes.items()]


def weigh(graph: Graph) -> Workload:
    """What one inference of `graph` asks: one Op per layer that computes or moves data."""
    expect("graph", graph, Graph, "Pass a neuro.Graph, such as converters.read_onnx(path) or conversion.graph", MachineError)
    ops: list[Op] = []
    for layer in graph.layers:
        ops.extend(_COUNT.get(layer.op, _listed)(layer, [graph[name].shape for name in layer.inputs]))
    return Workload(graph.name, tuple(ops), ("batch norm, activations and reshapes are fused into the layer before",))


def _size(shape: Iterable[int]) -> int:
    return int(np.prod(tuple(shape), dtype=np.int64))


def _trained(layer: Layer) -> int:
    return sum(array.size for name, array in layer.arrays.items() if name not in ("mean", "variance"))


def _conv(layer: Layer, inputs: list[tuple[int, ...]]) -> list[Op]:
    out, per_group, *kernel = layer.arrays["weight"].shape
    groups = int(layer.options["groups"])
    kind: OpKind = "conv" if per_group > 1 else "depthwise" if groups > 1 else "shallow"
    outputs = _size(layer.shape)
    return [
        Op(
            layer.name,
            kind,
            m=_size(layer.shape[1:]),
            k=per_group * _size(kernel),
            n=out // groups,
            groups=groups,
            adds=outputs if "bias" in layer.arrays else 0,
            parameters=_trained(layer),
            inputs=_size(inputs[0]),
            outputs=outputs,
        )
    ]


def _linear(layer: Layer, inputs: list[tuple[int, ...]]) -> list[Op]:
    out, k = layer.arrays["weight"].shape
    outputs = _size(layer.shape)
    adds = outputs if "bias" in layer.arrays else 0
    m = _size(layer.shape[:-1])
    return [Op(layer.name, "fc", m, k, out, adds=adds, parameters=_trained(layer), inputs=_size(inputs[0]), outputs=outputs)]


def _pool(layer: Layer, inputs: list[tuple[int, ...]]) -> list[Op]:
    outputs = _size(layer.shape)
    adds = outputs * _size(layer.options["kernel"])
    return [Op(layer.name, "pool", adds=adds, inputs=_size(inputs[0]), outputs=outputs)]


def _fused(layer: Layer, inputs: list[tuple[int, ...]]) -> list[Op]:
    parameters = _trained(layer)
    adds = _size(layer.shape) if layer.op != "identity" else 0
    return [Op(layer.name, "elementwise", adds=adds, parameters=parameters, weights=0)]


def _nothing(layer: Layer, inputs: list[tuple[int, ...]]) -> list[Op]:
    return []


def _listed(layer: Layer, inputs: list[tuple[int, ...]]) -> list[Op]:
    """An op that its entries define: a multiplication for each weight other than 1, an addition for each further entry."""
    listed = OPS[layer.op].listed
    assert listed is not None, f"nothing says what {layer.op} asks of a machine"
    _, post, weight = listed(layer, inputs[0])
    adds = int((weight != 1).sum()) + post.size - np.unique(post).size
    return [Op(layer.name, "elementwise", adds=adds, inputs=_size(inputs[0]), outputs=_size(layer.shape))]


def _joined(layer: Layer, inputs: list[tuple[int, ...]]) -> list[Op]:
    """One operation a value for each further operand; the first one is still at hand where the layer is fused."""
    others = sum(_size(shape) for shape in inputs[1:])
    return [Op(layer.name, "elementwise", adds=_size(layer.shape) * (len(inputs) - 1), inputs=others)]


def _matmul(layer: Layer, inputs: list[tuple[int, ...]]) -> list[Op]:
    *outer, m, n = layer.shape
    read = sum(_size(shape) for shape in inputs)
    return [Op(layer.name, "attention", m, inputs[0][-1], n, max(_size(outer), 1), inputs=read, outputs=_size(layer.shape))]


def _transposed(layer: Layer, inputs: list[tuple[int, ...]]) -> list[Op]:
    """A product of every pixel with the kernel, whose results are added up where they overlap; nothing is multiplied by zeros."""
    channels, per_group, *kernel = layer.arrays["weight"].shape
    groups, m, outputs = int(layer.options["groups"]), _size(inputs[0][1:]), _size(layer.shape)
    n = per_group * _size(kernel)
    adds = max(m * n * groups - outputs, 0) + (outputs if "bias" in layer.arrays else 0)
    kind: OpKind = "conv" if channels > groups else "depthwise" if groups > 1 else "shallow"
    k, read = channels // groups, _size(inputs[0])
    return [Op(layer.name, kind, m, k, n, groups, adds=adds, parameters=_trained(layer), inputs=read, outputs=outputs)]


def _statistic(each: int) -> Callable[[Layer, list[tuple[int, ...]]], list[Op]]:
    """So many operations a value; all are read before the first is written."""

    def count(layer: Layer, inputs: list[tuple[int, ...]]) -> list[Op]:
        size, trained = _size(inputs[0]), _trained(layer)
        adds = size * (each + len(layer.arrays))
        outputs = _size(layer.shape)
        return [Op(layer.name, "elementwise", adds=adds, parameters=trained, inputs=size, outputs=outputs)]

    return count


def _neighbours(layer: Layer, inputs: list[tuple[int, ...]]) -> list[Op]:
    return _statistic(layer.options["size"] + 4)(layer, inputs)


def _resample(layer: Layer, inputs: list[tuple[int, ...]]) -> list[Op]:
    outputs, taps = _size(layer.shape), layer.options["places"].shape[1]
    return [Op(layer.name, "elementwise", adds=outputs * (2 * taps - 1), inputs=_size(inputs[0]), outputs=outputs)]


def _moved(layer: Layer, inputs: list[tuple[int, ...]]) -> list[Op]:
    outputs = _size(layer.shape)
    return [Op(layer.name, "elementwise", inputs=outputs, outputs=outputs)]


def _lookup(layer: Layer, inputs: list[tuple[int, ...]]) -> list[Op]:
    outputs, rows = _size(layer.shape), _size(inputs[0])
    return [Op(layer.name, "lookup", parameters=_trained(layer), weights=outputs, inputs=rows, outputs=outputs)]


_COUNT = {
    "input": _nothing,
    "constant": _nothing,
    "conv": _conv,
    "linear": _linear,
    "batch_norm": _fused,
    "relu": _fused,
    "scale": _fused,
    "avg_pool": _pool,
    "max_pool": _pool,
    "add": _joined,
    "concat": _nothing,
    "reshape": _nothing,
    "pad": _nothing,
    "identity": _nothing,
    "function": _fused,
    "prelu": _fused,
    "multiply": _joined,
    "maximum": _joined,
    "minimum": _joined,
    "where": _joined,
    "matmul": _matmul,
    "softmax": _statistic(5),  # largest, difference, exponential, sum, quotient
    "log_softmax": _statistic(5),
    "layer_norm": _statistic(6),  # mean, difference, square, mean, root, quotient
    "rms_norm": _statistic(4),
    "group_norm": _statistic(6),
    "local_response_norm": _neighbours,
    "conv_transpose": _transposed,
    "reduce": _statistic(1),
    "gather": _moved,
    "previous": _moved,  # a state, read and written
    "resample": _resample,
    "mask": _fused,
    "embedding": _lookup,
    "argmax": _statistic(1),
    "quantise": _fused,
}
