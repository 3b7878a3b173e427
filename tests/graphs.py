"""Float graphs written by hand for the tests: layers in a row, their shapes worked out."""

from typing import Any

import numpy as np

import neuro
from neuro.ops import output_shape

PLAIN = {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1}
POOL = {"kernel": (2, 2), "stride": (2, 2), "padding": ((0, 0), (0, 0)), "divisor": 4}


def row(op: str, *inputs: str, name: str = "", shape: tuple[int, ...] | None = None, **more: Any) -> dict[str, Any]:
    """A layer for `graph`: arrays of numbers are arrays, all else options, places among them; `name_` is an option's name."""
    arrays = {key: value for key, value in more.items() if isinstance(value, np.ndarray) and value.dtype.kind == "f"}
    options = {key.rstrip("_"): value for key, value in more.items() if key not in arrays}
    return {"op": op, "inputs": inputs, "name": name, "shape": shape, "arrays": arrays, "options": options}


def graph(shape: tuple[int, ...], *rows: dict[str, Any]) -> neuro.Graph:
    """Layers l0, l1, ... behind the input x, each behind the one before it unless its inputs are named."""
    layers = [neuro.Layer("x", "input", (), shape)]
    for i, given in enumerate(rows):
        inputs = () if given["op"] == "constant" else given["inputs"] or (layers[-1].name,)
        shapes = [layer.shape for name in inputs for layer in layers if layer.name == name]
        made = neuro.Layer(
            given["name"] or f"l{i}", given["op"], inputs, given["shape"] or (), given["arrays"], given["options"]
        )  # fmt: skip
        yields = given["shape"] or output_shape(made, shapes)
        layers.append(neuro.Layer(made.name, made.op, made.inputs, yields, made.arrays, made.options))
    return neuro.Graph(tuple(layers))


def weights(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def conv(out: int, inputs: int, kernel: tuple[int, ...] = (3, 3), *, source: str = "", bias: bool = False, **more: Any) -> dict:
    """A convolution with random weights; sides of padding given as one number."""
    dims = len(kernel)
    padding = more.pop("padding", 0)
    sides = ((padding, padding),) * dims if isinstance(padding, int) else padding
    options = {"stride": (1,) * dims, "dilation": (1,) * dims, "groups": 1, **more, "padding": sides}
    arrays = {"weight": weights(out, inputs // options["groups"], *kernel, seed=out)} | ({"bias": weights(out)} if bias else {})
    return row("conv", *([source] if source else []), **arrays, **options)


MAX = {key: value for key, value in POOL.items() if key != "divisor"} | {"dilation": (1, 1)}
NORM = {name: np.ones(3) for name in ("mean", "variance", "weight", "bias")}

SOUND = {  # op -> shape of its input and a layer that fits
    "conv": ((4, 5, 5), conv(6, 4, bias=True, groups=2)),
    "linear": ((4,), row("linear", weight=weights(3, 4), bias=weights(3))),
    "batch_norm": ((3, 2, 2), row("batch_norm", epsilon=1e-5, **NORM)),
    "relu": ((3,), row("relu", ceiling=6.0)),
    "avg_pool": ((3, 4, 4), row("avg_pool", **POOL)),
    "max_pool": ((3, 4, 4), row("max_pool", **MAX)),
    "add": ((3,), row("add", "x", "x")),
    "concat": ((3, 2), row("concat", "x", "x", axis=1)),
    "reshape": ((3, 2), row("reshape", shape=(6,))),
    "permute": ((3, 2, 4), row("permute", axes=(2, 0, 1))),
    "pad": ((3, 2), row("pad", padding=((0, 0), (1, -1)), value=0.5)),
    "scale": ((3, 2), row("scale", factor=weights(3, 1), shift=weights(3, 1))),
    "identity": ((3,), row("identity")),
    "constant": ((3,), row("constant", value=weights(4))),
    "function": ((3, 2), row("function", name_="silu", values=(1.0,))),
    "prelu": ((3, 2), row("prelu", slope=weights(3, 1))),
    "multiply": ((3,), row("multiply", "x", "x")),
    "maximum": ((3,), row("maximum", "x", "x")),
    "minimum": ((3,), row("minimum", "x", "x")),
    "where": ((3,), row("where", "x", "x", "x")),
    "matmul": ((2, 3, 3), row("matmul", "x", "x")),
    "softmax": ((3, 2), row("softmax", axis=1)),
    "log_softmax": ((3, 2), row("log_softmax", axis=0)),
    "layer_norm": ((3, 4), row("layer_norm", weight=weights(4), bias=weights(4), axes=(1,), epsilon=1e-5)),
    "rms_norm": ((3, 4), row("rms_norm", weight=weights(4), axes=(1,), epsilon=1e-6)),
    "group_norm": ((4, 3), row("group_norm", weight=weights(4), bias=weights(4), groups=2, epsilon=1e-5)),
    "local_response_norm": ((4, 2, 2), row("local_response_norm", size=3, alpha=0.1, beta=0.75, bias=1.0)),
    "conv_transpose": (
        (4, 3, 2),
        row(
            "conv_transpose",
            weight=weights(4, 3, 3, 2),
            bias=weights(6),
            stride=(2, 3),
            padding=((1, 0), (0, -1)),
            dilation=(1, 2),
            groups=2,
        ),
    ),
    "reduce": ((3, 2, 4), row("reduce", kind="mean", axes=(0, 2))),
    "gather": ((3, 4), row("gather", axis=1, indices=np.array([2, 0, 2, 2, 1]))),
    "resample": ((3, 4), row("resample", axis=1, places=np.array([[0, 1], [1, 3], [3, 3]]), weight=weights(3, 2))),
    "mask": ((3, 2), row("mask", keep=np.array([[1.0, 0.0]]), value=-9.0)),
    "embedding": ((3,), row("embedding", weight=weights(5, 2))),
    "argmax": ((3, 4), row("argmax", axis=1)),
    "previous": ((3,), row("previous", start=np.ones(3))),
    "quantise": (
        (3,),
        row("quantise", scale=np.array(0.1), zero=np.array(0.0), lowest=-3, highest=3, rounding="nearest"),
    ),
}
