"""A Graph's float arithmetic in torch, layer by layer. Knows no spikes; the graph itself is never changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from converters.frames import FrameEvaluation, check_frames, frame_values
from converters.opmath import Tensor, apply, arrays_of
from converters.samples import Given, by_input
from neuro.errors import ConversionError
from neuro.graph import Graph, Layer

Tensors = dict[str, dict[str, Tensor]]  # the arrays of layers, by name
Change = Callable[[str, Tensor], Tensor]
_TOGETHER = 2**22  # values of a layer


class Evaluation:
    """A graph's values, computed as far as they are asked for and dropped once nothing needs them.

    inputs: values (samples, *shape) of enough layers before the wanted ones; a layer whose value is given is not computed.
    `quantised`: rectifiers that were tuned for a number of levels take only those. tensors: where the arrays of layers are kept
    for the next evaluation of the same graph. change: what becomes of the value of a layer, by its name, that was computed.
    """

    def __init__(
        self, graph: Graph, inputs: Mapping[str, Tensor], wanted: Iterable[str], *, quantised: bool = False,
        tensors: Tensors | None = None, change: Change | None = None,
    ) -> None:  # fmt: skip
        self._change = change
        uses = dict(Counter(wanted))
        needed = _needed(graph, set(inputs), tuple(uses))
        for layer in needed:
            for name in set(layer.inputs) if len(layer.inputs) > 1 else layer.inputs:
                uses[name] = uses.get(name, 0) + 1
        self._uses = uses
        self._values, self._needed, self._quantised = dict(inputs), iter(needed), quantised
        self._samples = len(next(iter(inputs.values()), ()))
        self._learning = any(value.requires_grad for value in inputs.values())
        self._tensors: Tensors = {} if tensors is None else tensors

    def value(self, name: str) -> Tensor:
        """The value (samples, *shape) of a wanted layer, which can be asked for as often as it was wanted."""
        if name not in self._values:
            if self._learning:
                with torch.no_grad():
                    self._reach(name)
            else:
                self._reach(name)
        value = self._values[name]
        self._used(name)
        return value

    def _reach(self, name: str) -> None:
        """Compute layers up to one of them."""
        while name not in self._values:
            layer = next(self._needed)
            if layer.op == "constant":
                self._values[layer.name] = torch.tensor(layer.arrays["value"]).expand(self._samples, *layer.shape)
                continue
            before = [self._values[source] for source in layer.inputs]
            if self._quantised and "threshold" in layer.options:
                self._values[layer.name] = quantise(layer, before[0])
            else:
                if layer.name not in self._tensors:
                    self._tensors[layer.name] = arrays_of(layer)
                self._values[layer.name] = apply(layer, before, self._tensors[layer.name])
            if self._change is not None:
                self._values[layer.name] = self._change(layer.name, self._values[layer.name])
            for source in set(layer.inputs) if len(layer.inputs) > 1 else layer.inputs:
                self._used(source)

    def _used(self, name: str) -> None:
        self._uses[name] -= 1
        if not self._uses[name]:
            del self._values[name]


def evaluation_of(
    graph: Graph, samples: Given, wanted: Iterable[str], tensors: Tensors | None = None
) -> Evaluation | FrameEvaluation:
    """The values of a graph for samples (samples, *shape) of its input or inputs, or (samples, frames, *shape) where it has
    frames: then they are values of samples x frames. tensors: as `Evaluation` takes them."""
    given = {name: torch.as_tensor(array) for name, array in by_input(graph, samples).items()}
    return FrameEvaluation(graph, given, wanted) if graph.has_frames else Evaluation(graph, given, wanted, tensors=tensors)


def batch_of(graph: Graph) -> int:
    """How many samples to compute together: 64, fewer where layers are large, whose values would then lie in fresh memory."""
    return max(1, min(64, _TOGETHER // max(int(np.prod(layer.shape)) for layer in graph.layers)))


def evaluate(graph: Graph, inputs: Mapping[str, Tensor], wanted: Iterable[str], *, quantised: bool = False) -> dict[str, Tensor]:
    """Values (samples, *shape) of the wanted layers, as `Evaluation` computes them; with frames (samples, frames, *shape)."""
    wanted = tuple(dict.fromkeys(wanted))
    if graph.has_frames:
        return frame_values(graph, inputs, wanted)
    found = Evaluation(graph, inputs, wanted, quantised=quantised)
    return {name: found.value(name) for name in wanted}


def logits(graph: Graph, inputs: NDArray[Any], batch: int = 256) -> NDArray[np.float32]:
    """Outputs (samples, *output shape) of the float network, with frames (samples, frames, *output shape)."""
    name = graph.inputs[0].name
    parts = []
    for start in range(0, len(inputs), batch):
        x = torch.as_tensor(np.array(inputs[start : start + batch], np.float32, order="C"))
        parts.append(evaluate(graph, {name: x}, (graph.output.name,))[graph.output.name].numpy())
    return np.concatenate(parts)


def outputs(graph: Graph, inputs: Any, *, batch: int = 256) -> dict[str, NDArray[np.float32]]:
    """What the float network yields, by the names of its outputs: (samples, *shape) each.

    inputs: an array (samples, *shape), or one for each input by its name; inputs and results of a graph with frames are
    (samples, frames, *shape). Raises ConversionError that names an input that is
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
        if graph.has_frames:
            check_frames(f"input {name!r}", known[name], inputs[name])
        elif np.shape(inputs[name])[1:] != known[name] or np.ndim(inputs[name]) == 0:
            fact = f"its shape is {np.shape(inputs[name])}"
            raise ConversionError(f"input {name!r}", fact, f"Pass (samples, {', '.join(map(str, known[name]))})")
    return inputs


def quantise(layer: Layer, z: Tensor) -> Tensor:
    """A tuned rectifier's output in the levels that it was tuned for."""
    theta = torch.tensor(layer.options["threshold"], dtype=torch.float32)
    return rounded(z, theta, layer.options["levels"])


def rounded(z: Tensor, theta: Tensor, levels: int) -> Tensor:
    """theta / n * clip(round(z n / theta), 0, n) per channel, n = levels; gradients pass the rounding straight through."""
    out: Tensor = _Rounded.apply(z, theta.reshape(-1, *[1] * (z.ndim - 2)), levels)  # type: ignore[no-untyped-call]  # torch's lacks annotations
    return out


class _Rounded(torch.autograd.Function):
    """One node where torch's own functions would need ten, which take longer than the convolutions of a small network."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, theta: Tensor, levels: int) -> Tensor:
        number = (z * (levels / theta)).clamp_(0, levels)
        out = (number + 0.5).floor_().clamp_(0, levels).sub_(number).add_(number).mul_(theta / levels)
        ctx.save_for_backward(z, theta, out)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, None]:
        z, theta, out = ctx.saved_tensors
        inner = gradient * ((z >= 0) & (z <= theta))
        if not ctx.needs_input_grad[1]:
            return inner, None, None
        return inner, ((gradient * out - inner * z) / theta).sum_to_size(theta.shape), None


def _needed(graph: Graph, given: set[str], wanted: tuple[str, ...]) -> list[Layer]:
    need, layers = set(wanted), []
    for layer in reversed(graph.layers):
        if layer.name in need and layer.name not in given:
            layers.append(layer)
            need.update(layer.inputs)
    return layers[::-1]
