"""A spiking network -> the float network with the same connections, so that machines can be asked what it would cost them.

One inference of the float network visits every synapse once. Knows shapes and weights; knows nothing of thresholds or time.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from neuro.errors import MachineError
from neuro.graph import Graph, Layer
from neuro.network import Network, Population
from neuro.projections import Projection
from neuro.projections.forms import as_convolution
from neuro.windows import Shape

MOST_WEIGHTS = 100_000_000  # of a sparse projection written out as a full matrix


def equivalent(network: Network) -> Graph:
    """The float network of a feedforward spiking one: each projection a layer, each population a sum and a ReLU.

    Populations that nothing projects to, but which project on, carry constants: a float network has them as biases, for free.
    Raises MachineError for a network with loops, which one pass through layers cannot stand for.
    """
    layers: list[Layer] = []
    constant = {p.name for p in network.populations if not p.neuron.is_source and _sends_only(network, p.name)}
    for population in _in_order(network):
        if population.name in constant:
            continue
        if population.neuron.is_source:
            layers.append(Layer(population.name, "input", (), population.shape))
            continue
        into = [(i, p) for i, p in enumerate(network.projections) if p.target == population.name and p.source not in constant]
        arriving = [_connect(network, i, p, layers) for i, p in into]
        if not arriving:
            raise MachineError(f"population {population.name!r}", "nothing projects to it", "Connect it, or leave it out")
        if len(arriving) > 1:
            layers.append(Layer(f"{population.name}.sum", "add", tuple(arriving), population.shape))
        op, options = ("identity", {}) if population.neuron.is_readout else ("relu", {"ceiling": None})
        layers.append(Layer(population.name, op, (layers[-1].name,), population.shape, {}, options))
    return Graph(tuple(layers), "the float network with the same connections")


def _sends_only(network: Network, name: str) -> bool:
    return not network.into(name) and bool(network.out_of(name))


def _in_order(network: Network) -> list[Population]:
    """Populations so that each comes after those that project to it."""
    waiting, done = list(network.populations), set[str]()
    ordered: list[Population] = []
    while waiting:
        ready = [p for p in waiting if all(q.source in done for q in network.into(p.name))]
        if not ready:
            names = ", ".join(p.name for p in waiting[:4])
            raise MachineError("network", f"{names} form a loop", "Compare feedforward networks only")
        ordered += ready
        done |= {p.name for p in ready}
        waiting = [p for p in waiting if p.name not in done]
    return ordered


def _connect(network: Network, index: int, projection: Projection, layers: list[Layer]) -> str:
    """Add the layers of one projection; returns the name of the last, which has the target's shape."""
    source, target = network[projection.source], network[projection.target]
    name = f"{projection.name} #{index}"
    op, shape, arrays, options = _layer(projection, source.shape, target.shape)
    before = source.name
    if op == "linear" and len(source.shape) > 1:
        layers.append(Layer(f"{name} flat", "reshape", (before,), (source.size,)))
        before = layers[-1].name
    layers.append(Layer(name, op, (before,), shape, arrays, options))
    windows: Any = as_convolution(projection, source.shape, target.shape) if op == "avg_pool" else None
    weight = int(windows.weights.flat[0]) if windows is not None else 1
    if weight != 1:  # sums of equal weights: adds, and one product for each sum
        factor = np.asarray(weight, np.float32)
        layers.append(Layer(f"{name} weighted", "scale", (name,), shape, {"factor": factor}))
    if shape != target.shape:
        layers.append(Layer(f"{name} shaped", "reshape", (layers[-1].name,), target.shape))
    return layers[-1].name


LayerParts = tuple[str, Shape, dict[str, Any], dict[str, Any]]


def _layer(p: Projection, source: Shape, target: Shape) -> LayerParts:
    """The op of a projection between populations of these shapes, the shape that it yields, its arrays and options."""
    if p.slides:
        return _window(p, source, target)
    if p.matrix is not None:
        return "linear", (prod(target),), {"weight": p.matrix.T}, {}
    if p.offset == 0 and source == target:
        return (
            "scale",
            target,
            {"factor": np.asarray(p.expanded().weights, np.float32).reshape(-1, *(1,) * (len(target) - 1))},
            {},
        )
    rows, columns = prod(target), prod(source)
    if rows * columns > MOST_WEIGHTS:
        raise MachineError(
            f"projection {p.name}", f"{rows * columns:,} weights as a full matrix", "Compare networks without such projections"
        )
    synapses, weights = p.synapses(source, target), np.zeros((rows, columns), np.float32)
    np.add.at(weights, (synapses.post, synapses.pre), synapses.weight)
    return "linear", (rows,), {"weight": weights}, {}


def _window(p: Projection, source: Shape, target: Shape) -> LayerParts:
    """A convolution over the axes of the image; a sum over windows as a pool, which has no dilation."""
    conv: Any = as_convolution(p, source, target)
    if p.one_kernel and conv.dilation == (1, 1):
        return (
            "avg_pool",
            target,
            {},
            {"kernel": conv.weights.shape[2:], "stride": conv.stride, "padding": conv.padding, "divisor": 1},
        )
    first = 2 - (len(source) - 1)  # a sequence has no height
    options = {name: getattr(conv, name)[first:] for name in ("stride", "padding", "dilation")} | {"groups": conv.groups}
    return "conv", target, {"weight": conv.weights.reshape(*conv.weights.shape[:2], *conv.weights.shape[2 + first :])}, options
