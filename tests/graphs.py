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
