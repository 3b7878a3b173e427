"""A folded float graph -> a network of value neurons: decompose, calibrate, encode population by population, correct biases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.values.correcting import Corrector
from converters.values.decompose import decompose
from converters.values.encoding import Encoded, Widths, encode
from converters.values.populations import Cell, cells
from converters.values.precision import effects, widened
from converters.values.ranges import extents
from neuro.graph import Graph
from neuro.network import Network
from neuro.neurons import Source

Floats = NDArray[np.float64]
VALUE_BITS = 8
TOO_LARGE = "the network is too large to find which populations need more bits: compare its outputs with the float network's"


@dataclass(frozen=True, slots=True)
class ValueNetwork:
    """A network; the real value of a step of each population; of each path (source, target, share of the weights' energy that
    rounding keeps); notes; and the error of the outputs, relative to their spread, that rounding explains (None: not known)."""

    network: Network
    units: Mapping[str, Floats]
    paths: tuple[tuple[str, str, float], ...]
    notes: tuple[str, ...]
    expected: float | None = None


def value_network(
    graph: Graph, samples: NDArray[np.float32], source: Source, widths: Widths, correct_bias: bool = True
) -> ValueNetwork:
    """The network of value neurons for a folded graph. samples (samples, *input shape): what units are chosen by; correct_bias:
    biases make the mean of every sum on them that of the float network.

    Raises ConversionError that names the layer for an op or range without a form of values.
    """
    simple, bits = decompose(graph)
    found = cells(simple, bits, widths.value_bits)
    ranges = extents(simple, found, samples)
    noise = effects(simple, found, samples)
    expected, told = None, (TOO_LARGE,) if noise is None and widths.widen else ()
    if noise is not None:
        found, expected = widened(found, ranges, noise, widths, source.scale or 1.0)
    made: dict[str, Encoded] = {}
    corrector = Corrector(simple, found, samples) if correct_bias else None
    for cell in found:
        one = encode(cell, made, ranges, widths, source)
        made[cell.name] = corrector.visit(cell, one, made) if corrector else one
    network = Network(
        tuple(one.population for one in made.values()), tuple(p for one in made.values() for p in one.projections), timesteps=1
    )
    paths = tuple((origin, name, kept) for name, one in made.items() for origin, kept in one.kept)
    return ValueNetwork(
        network, {name: one.unit for name, one in made.items()}, paths, (*_notes(found, network), *told), expected
    )


def _notes(found: tuple[Cell, ...], network: Network) -> tuple[str, ...]:
    """Which populations send more bits than others."""
    wide: dict[int, list[str]] = {}
    for cell in found:
        neuron: Any = network[cell.name].neuron
        if neuron.computes and neuron.value_bits > VALUE_BITS:
            wide.setdefault(neuron.value_bits, []).append(cell.name)
    told = [f"{bits} bits: {', '.join(names[:4])}{' ...' if len(names) > 4 else ''}" for bits, names in sorted(wide.items())]
    return (f"values of more than {VALUE_BITS} bits: {'; '.join(told)}",) if told else ()
