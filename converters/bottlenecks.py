"""Linear layers behind linear layers: what they cost folded into one operator, and with populations in between.

The projection of an inverted residual (MobileNetV2, Sandler et al. 2018) has few channels and no rectifier, so that the expansion
behind it would read all that the projection does. Knows layers; knows no units.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import prod

from converters.stages import SPIKING
from neuro.graph import Graph, Layer

_WORTH = 1.5  # times the synapses from which on populations in between, which send and are updated, are the cheaper ones;
_MANY = 2**20  # synapses more, from which on that matters


@dataclass(frozen=True, slots=True)
class _Reach:
    """What a value reads of a population: so many channels (0: its own), and places along each axis that are `stride` apart.
    share: of the values of a layer, those that do."""

    source: Layer
    channels: int = 0
    extent: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    share: float = 1.0

    @property
    def count(self) -> float:
        """How many values that are, at most, of each value of the layer on average."""
        extent = (min(*pair) for pair in zip(self.extent, self.source.shape[1:], strict=False))
        return self.share * min((self.channels or 1) * prod(extent), prod(self.source.shape))


def folding_multiplies(graph: Graph) -> bool:
    """Whether a folded graph of rectifiers has many more synapses with its linear layers folded into those behind them."""
    apart, folded = _synapses(graph)
    return folded > max(_WORTH * apart, apart + _MANY)


def _synapses(graph: Graph) -> tuple[float, float]:
    """Of a graph layer by layer; and with linear layers folded."""
    reached: dict[str, tuple[_Reach, ...]] = {}
    apart = folded = 0.0
    for layer in graph.layers:
        size = prod(layer.shape)
        if layer.op in ("conv", "linear"):
            apart += size * prod(layer.arrays["weight"].shape[1:])
        if layer.op == "avg_pool":
            apart += size * prod(layer.options["kernel"])
        if layer.op in SPIKING:
            folded += size * _read(_before(graph, layer, reached)) if layer.op == "relu" else 0
            reached[layer.name] = (_Reach(layer, 0, (1,) * (len(layer.shape) - 1), (1,) * (len(layer.shape) - 1)),)
        else:
            reached[layer.name] = tuple({_through(layer, one): None for one in _before(graph, layer, reached)})
    output = graph.output
    if output.op not in SPIKING:
        folded += prod(output.shape) * _read(reached[output.name])
    return apart, folded


def _before(graph: Graph, layer: Layer, reached: dict[str, tuple[_Reach, ...]]) -> tuple[_Reach, ...]:
    found: dict[_Reach, None] = {}
    for name in layer.inputs:
        share = prod(graph[name].shape) / prod(layer.shape) if layer.op == "concat" else 1.0
        found |= {replace(one, share=share * one.share): None for one in reached.get(name, ())}
    return tuple(found)


def _read(reached: Iterable[_Reach]) -> float:
    return sum(one.count for one in reached)


def _through(layer: Layer, one: _Reach) -> _Reach:
    """What a value of a linear layer reads, of which each value before it reads `one`."""
    if layer.op == "conv":
        kernel, groups = layer.arrays["weight"].shape[2:], layer.options["groups"]
        one = replace(one, share=one.share if groups == one.source.shape[0] else 1.0)
        one = replace(one, channels=one.channels or (0 if groups == one.source.shape[0] else one.source.shape[0] // groups))
        return _wider(one, kernel, layer.options["stride"], layer.options["dilation"])
    if layer.op == "avg_pool":
        return _wider(one, layer.options["kernel"], layer.options["stride"], (1,) * len(one.extent))
    if layer.op == "linear":
        extent = one.source.shape[1:] if len(layer.shape) == 1 else one.extent
        return replace(one, channels=one.source.shape[0], extent=extent, share=1.0)
    return one


def _wider(one: _Reach, kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]) -> _Reach:
    if len(kernel) != len(one.extent):  # behind another shape: taken as all of it
        return replace(one, extent=one.source.shape[1:])
    extent = tuple(e + (k - 1) * d * s for e, k, d, s in zip(one.extent, kernel, dilation, one.stride, strict=True))
    return replace(one, extent=extent, stride=tuple(s * t for s, t in zip(one.stride, stride, strict=True)))
