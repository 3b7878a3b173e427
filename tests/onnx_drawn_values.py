"""Steps of random ONNX graphs that compute with values: functions, products, softmax, norms, resizing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tests.onnx_drawn import Drawn, Shape

PLAIN = (
    "Abs",
    "Elu",
    "LeakyRelu",
    "Selu",
    "Sigmoid",
    "Softplus",
    "Softsign",
    "Tanh",
    "Sin",
    "Cos",
    "Atan",
    "Erf",
    "ThresholdedRelu",
)
SINCE = {"Erf": 9, "ThresholdedRelu": 10, "HardSwish": 14, "Mish": 18, "Gelu": 20}


def _function(g: Drawn, x: str, shape: Shape) -> str:
    op = g.pick(*(name for name in (*PLAIN, "HardSwish", "Mish", "Gelu") if SINCE.get(name, 0) <= g.opset))
    alpha = {"alpha": float(g.rng.uniform(0.1, 1.5))} if op in ("Elu", "LeakyRelu") and g.rng.random() < 0.7 else {}
    return g.node(op, [x], **alpha)[0]


def _product(g: Drawn, x: str, shape: Shape) -> str:
    """Two activations, equal in shape or one of them a mean over axes."""
    other = g.pick(*(name for name, value in g.values.items() if value.shape[1:] == shape))
    if g.rng.random() < 0.5:
        more, attributes = g.listed("axes", [g.whole(1, len(shape))], 18)
        other = g.node("ReduceMean", [other, *more], keepdims=1, **attributes)[0]
    gated = g.node("Sigmoid", [other])[0]
    pair = [x, gated] if g.rng.random() < 0.5 else [gated, x]
    return g.node(g.pick("Mul", "Mul", "Max", "Min", "Add"), pair)[0]


def _softmax(g: Drawn, x: str, shape: Shape) -> str:
    return g.node(g.pick("Softmax", "LogSoftmax"), [x], axis=g.pick(*range(1, len(shape) + 1), -1))[0]


def _attention(g: Drawn, x: str, shape: Shape) -> str:
    """x x^T, softmax, times x."""
    axes = [*range(len(shape) - 1), len(shape), len(shape) - 1]
    turned = g.node("Transpose", [x], perm=axes)[0]
    scores = g.node("MatMul", [x, turned])[0]
    shares = g.node("Softmax", [g.node("Mul", [scores, g.held(np.float32(0.2))])[0]], axis=len(shape))[0]
    return g.node("MatMul", [shares, x])[0]


def _normalised(g: Drawn, x: str, shape: Shape) -> str:
    op = g.pick("InstanceNormalization", "LRN", *["LayerNormalization"] * (g.opset >= 17))
    if op == "LayerNormalization":
        axis = g.whole(1, len(shape))
        weights = [g.held(g.floats(*shape[axis - 1 :])) for _ in range(g.whole(1, 2))]
        return g.node(op, [x, *weights], axis=g.pick(axis, axis - len(shape) - 1), epsilon=1e-3)[0]
    if op == "LRN":
        return g.node(op, [x], size=g.pick(1, 3, 5), alpha=float(g.rng.uniform(0, 2)), beta=0.75, bias=1.0)[0]
    return g.node(op, [x, g.held(g.floats(shape[0])), g.held(g.floats(shape[0]))], epsilon=1e-2)[0]


def _resized(g: Drawn, x: str, shape: Shape) -> str:
    """By whole factors and halves, in the modes on which ONNX and onnxruntime agree."""
    scales = np.array([1, 1, *(g.pick(1.0, 2.0, 3.0) for _ in shape[1:])], np.float32)
    if g.opset < 10:
        return g.node("Upsample", [x, *([g.held(scales)] if g.opset == 9 else [])],
                      **({} if g.opset == 9 else {"scales": scales.tolist()}), mode="nearest")[0]  # fmt: skip
    mode = g.pick("nearest", "linear") if len(shape) == 3 else "nearest"
    if g.opset == 10:
        return g.node("Resize", [x, g.held(scales)], mode="nearest")[0]
    how: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": g.pick("half_pixel", "asymmetric", "align_corners")}
    if mode == "nearest":
        how |= {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    roi = "" if g.opset > 11 else g.held(np.zeros(0, np.float32))
    return g.node("Resize", [x, roi, g.held(scales)], **how)[0]


def _transposed(g: Drawn, x: str, shape: Shape) -> str:
    dims, groups = len(shape) - 1, g.pick(1, shape[0])
    kernel = [g.whole(1, 3) for _ in range(dims)]
    strides = [g.whole(1, 3) for _ in range(dims)]
    weight = g.floats(shape[0], g.whole(1, 3), *kernel)
    more: dict[str, Any] = {"strides": strides, "group": groups, "dilations": [g.whole(1, 2) for _ in range(dims)]}
    if g.rng.random() < 0.5:
        more["pads"] = [g.whole(0, 1) for _ in range(2 * dims)]
        more["output_padding"] = [g.whole(0, s - 1) for s in strides]
    bias = [g.held(g.floats(weight.shape[1] * groups))] if g.rng.random() < 0.5 else []
    return g.node("ConvTranspose", [x, g.held(weight), *bias], **more)[0]


def _chosen(g: Drawn, x: str, shape: Shape) -> str:
    keep = g.held(g.rng.random((1, *shape)) < 0.7)
    other = g.pick(g.held(np.float32(-2.0)), *(name for name, value in g.values.items() if value.shape[1:] == shape))
    return g.node("Where", [keep, *([x, other] if g.rng.random() < 0.5 else [other, x])])[0]


def _repeated(g: Drawn, x: str, shape: Shape) -> str:
    if g.rng.random() < 0.5:
        return g.node("Tile", [x, g.held(np.array([1, *(g.whole(1, 2) for _ in shape)], np.int64))])[0]
    padding = [0, 0, *(g.whole(0, n - 1) for n in shape[1:])]
    more, attributes = g.listed("pads", [*padding, *padding], 11)
    return g.node("Pad", [x, *more], mode=g.pick("reflect", "edge"), **attributes)[0]


def _slope(g: Drawn, x: str, shape: Shape) -> str:
    if g.rng.random() < 0.5:
        return g.node("PRelu", [x, g.held(g.floats(shape[0], *[1] * (len(shape) - 1)))])[0]
    bounded = g.node("Abs", [x])[0]
    kind = g.pick("square", "sqrt", "root", "log")
    if kind == "square":
        return g.node("Pow", [x, g.held(np.float32(2))])[0]
    safe = g.node("Add", [bounded, g.held(np.float32(0.5))])[0]
    return g.node("Pow", [safe, g.held(np.float32(0.3))])[0] if kind == "root" else g.node(kind.capitalize(), [safe])[0]


STEPS = {
    f.__name__: f
    for f in (_function, _product, _softmax, _attention, _normalised, _resized, _transposed, _chosen, _repeated, _slope)
}  # fmt: skip
