"""A Graph's float arithmetic in torch, layer by layer. Knows no spikes; the graph itself is never changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from math import prod
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from converters.valuemath import VALUES
from neuro.errors import ConversionError
from neuro.graph import Graph, Layer
from neuro.ops import OPS

Tensor = torch.Tensor
Arrays = Mapping[str, Tensor]


class Evaluation:
    """A graph's values, computed as far as they are asked for and dropped once nothing needs them.

    inputs: values (samples, *shape) of enough layers before the wanted ones; a layer whose value is given is not computed.
    `quantised`: rectifiers that were tuned for a number of levels take only those.
    """

    def __init__(self, graph: Graph, inputs: Mapping[str, Tensor], wanted: Iterable[str], *, quantised: bool = False) -> None:
        self._uses = Counter(wanted)
        needed = _needed(graph, set(inputs), tuple(self._uses))
        self._uses.update(name for layer in needed for name in set(layer.inputs))
        self._values, self._needed, self._quantised = dict(inputs), iter(needed), quantised
        self._samples = len(next(iter(inputs.values()), ()))

    def value(self, name: str) -> Tensor:
        """The value (samples, *shape) of a wanted layer, which can be asked for as often as it was wanted."""
        with torch.no_grad():
            while name not in self._values:
                layer = next(self._needed)
                if layer.op == "constant":
                    self._values[layer.name] = torch.tensor(layer.arrays["value"]).expand(self._samples, *layer.shape)
                    continue
                before = [self._values[source] for source in layer.inputs]
                tuned = self._quantised and "threshold" in layer.options
                self._values[layer.name] = quantise(layer, before[0]) if tuned else apply(layer, before)
                for source in set(layer.inputs):
                    self._used(source)
        value = self._values[name]
        self._used(name)
        return value

    def _used(self, name: str) -> None:
        self._uses[name] -= 1
        if not self._uses[name]:
            del self._values[name]


def evaluate(graph: Graph, inputs: Mapping[str, Tensor], wanted: Iterable[str], *, quantised: bool = False) -> dict[str, Tensor]:
    """Values (samples, *shape) of the wanted layers, as `Evaluation` computes them."""
    wanted = tuple(dict.fromkeys(wanted))
    found = Evaluation(graph, inputs, wanted, quantised=quantised)
    return {name: found.value(name) for name in wanted}


def logits(graph: Graph, inputs: NDArray[Any], batch: int = 256) -> NDArray[np.float32]:
    """Outputs (samples, *output shape) of the float network."""
    name = graph.inputs[0].name
    parts = []
    for start in range(0, len(inputs), batch):
        x = torch.as_tensor(np.array(inputs[start : start + batch], np.float32, order="C"))
        parts.append(evaluate(graph, {name: x}, (graph.output.name,))[graph.output.name].numpy())
    return np.concatenate(parts)


def outputs(graph: Graph, inputs: Any, *, batch: int = 256) -> dict[str, NDArray[np.float32]]:
    """What the float network yields, by the names of its outputs: (samples, *shape) each.

    inputs: an array (samples, *shape), or one for each input by its name. Raises ConversionError that names an input that is
    missing, unknown or of another shape.
    """
    given = {name: np.asarray(value) for name, value in _by_name(graph, inputs).items()}
    counts = {name: len(value) for name, value in given.items()}
    if len(set(counts.values())) > 1:
        raise ConversionError("inputs", f"they hold different numbers of samples: {counts}", "Pass as many for each input")
    parts: list[dict[str, Tensor]] = []
    for start in range(0, max(counts.values()), batch):
        x = {name: torch.as_tensor(np.array(v[start : start + batch], np.float32, order="C")) for name, v in given.items()}
        parts.append(evaluate(graph, x, graph.outputs))
    return {name: np.concatenate([part[name].numpy() for part in parts]) for name in graph.outputs}


def _by_name(graph: Graph, given: Any) -> Mapping[str, Any]:
    """The inputs by name, complete and of the right shapes."""
    known = {layer.name: layer.shape for layer in graph.inputs}
    inputs: Mapping[str, Any] = given if isinstance(given, Mapping) else {next(iter(known)): given}
    if not isinstance(given, Mapping) and len(known) > 1:
        fact = f"the network takes {len(known)} inputs ({', '.join(known)})"
        raise ConversionError("inputs", fact, "Pass a mapping of names and arrays")
    for name in (*known, *inputs):
        if name not in inputs or name not in known:
            what = "is missing" if name not in inputs else "is not one of the network's"
            raise ConversionError(f"input {name!r}", f"it {what}", f"Pass {', '.join(known)}")
        if np.shape(inputs[name])[1:] != known[name] or np.ndim(inputs[name]) == 0:
            fact = f"its shape is {np.shape(inputs[name])}"
            raise ConversionError(f"input {name!r}", fact, f"Pass (samples, {', '.join(map(str, known[name]))})")
    return inputs


def apply(layer: Layer, values: list[Tensor], arrays: Arrays | None = None) -> Tensor:
    """The layer's output for its inputs' values (samples, *shape), with its own arrays or with those given."""
    return _APPLY.get(layer.op, _listed)(layer, arrays_of(layer) if arrays is None else arrays, *values)


def quantise(layer: Layer, z: Tensor) -> Tensor:
    """A tuned rectifier's output in the levels that it was tuned for."""
    theta = torch.tensor(layer.options["threshold"], dtype=torch.float32)
    return rounded(z, theta, layer.options["levels"])


def rounded(z: Tensor, theta: Tensor, levels: int) -> Tensor:
    """theta / n * clip(round(z n / theta), 0, n) per channel, n = levels; gradients pass the rounding straight through."""
    theta = theta.reshape(-1, *[1] * (z.ndim - 2))
    number = (z * (levels / theta)).clamp(0, levels)
    return (number + (torch.floor(number + 0.5).clamp(0, levels) - number).detach()) * (theta / levels)


def arrays_of(layer: Layer) -> dict[str, Tensor]:
    """The layer's arrays as tensors."""
    return {name: torch.tensor(values) for name, values in layer.arrays.items()}


def _needed(graph: Graph, given: set[str], wanted: tuple[str, ...]) -> list[Layer]:
    need, layers = set(wanted), []
    for layer in reversed(graph.layers):
        if layer.name in need and layer.name not in given:
            layers.append(layer)
            need.update(layer.inputs)
    return layers[::-1]


def _spatial(layer: Layer, x: Tensor, value: float = 0.0) -> Tensor:
    """The image with the layer's padding around it."""
    flat = [n for side in reversed(layer.options["padding"]) for n in side]
    return F.pad(x, flat, value=value) if any(flat) else x


def _conv(layer: Layer, arrays: Arrays, x: Tensor) -> Tensor:
    function: Any = (F.conv1d, F.conv2d)[x.ndim - 3]
    o = layer.options
    weight, bias = arrays["weight"], arrays.get("bias")
    symmetric = all(before == after for before, after in o["padding"])
    if symmetric:
        result: Tensor = function(x, weight, bias, o["stride"], [a for a, _ in o["padding"]], o["dilation"], o["groups"])
    else:
        result = function(_spatial(layer, x), weight, bias, o["stride"], 0, o["dilation"], o["groups"])
    return result


def _batch_norm(layer: Layer, arrays: Arrays, x: Tensor) -> Tensor:
    mean, variance, weight, bias = (arrays.get(name) for name in ("mean", "variance", "weight", "bias"))
    return F.batch_norm(x, mean, variance, weight, bias, False, 0.0, layer.options["epsilon"])


def _avg_pool(layer: Layer, arrays: Arrays, x: Tensor) -> Tensor:
    o = layer.options
    total: Tensor = _window_sum(_spatial(layer, x), o)
    return total / (o["divisor"] or _window_sum(_spatial(layer, torch.ones_like(x[:1, :1])), o))


def _window_sum(x: Tensor, options: Mapping[str, Any]) -> Tensor:
    function: Any = (F.avg_pool1d, F.avg_pool2d)[x.ndim - 3]
    mean: Tensor = function(x, options["kernel"], options["stride"])
    return mean * int(np.prod(options["kernel"]))


def _max_pool(layer: Layer, arrays: Arrays, x: Tensor) -> Tensor:
    function: Any = (F.max_pool1d, F.max_pool2d)[x.ndim - 3]
    o = layer.options
    result: Tensor = function(_spatial(layer, x, -float("inf")), o["kernel"], o["stride"], 0, o["dilation"])
    return result


def _add(layer: Layer, arrays: Arrays, *values: Tensor) -> Tensor:
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total


def _scale(layer: Layer, arrays: Arrays, x: Tensor) -> Tensor:
    x = x * arrays["factor"] if "factor" in arrays else x
    return x + arrays["shift"] if "shift" in arrays else x


def _listed(layer: Layer, arrays: Arrays, x: Tensor) -> Tensor:
    """By the entries that define the layer's op."""
    listed = OPS[layer.op].listed
    assert listed is not None, f"no rule evaluates {layer.op}"
    pre, post, weight = (torch.as_tensor(part) for part in listed(layer, tuple(x.shape[1:])))
    total = x.new_zeros((len(x), prod(layer.shape))).index_add(1, post, x.reshape(len(x), -1)[:, pre] * weight.to(x.dtype))
    return total.reshape(len(x), *layer.shape)


_APPLY: dict[str, Callable[..., Tensor]] = {
    "conv": _conv,
    "linear": lambda layer, arrays, x: F.linear(x, arrays["weight"], arrays.get("bias")),
    "batch_norm": _batch_norm,
    "relu": lambda layer, arrays, x: torch.clamp(x, 0.0, layer.options["ceiling"]),
    "avg_pool": _avg_pool,
    "max_pool": _max_pool,
    "add": _add,
    "concat": lambda layer, arrays, *values: torch.cat(values, 1 + layer.options["axis"]),
    "reshape": lambda layer, arrays, x: x.reshape(len(x), *layer.shape),
    "permute": lambda layer, arrays, x: x.permute(0, *(1 + axis for axis in layer.options["axes"])),
    "pad": lambda layer, arrays, x: _spatial(layer, x, layer.options["value"]),
    "scale": _scale,
    "identity": lambda layer, arrays, x: x,
    **VALUES,
}
