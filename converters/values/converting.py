"""A folded float graph -> a network of value neurons: decompose, calibrate, encode population by population, correct biases."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.samples import Given
from converters.values.cells import Cell
from converters.values.changes import states_of, with_relays
from converters.values.correcting import Corrector
from converters.values.digits import to_digits
from converters.values.encoding import Around, encode, forecast
from converters.values.headroom import left
from converters.values.leaving import LeftOut, left_out
from converters.values.measuring import Measured, measure
from converters.values.scaling import Encoded
from converters.values.sparing import widened
from converters.values.timing import schedule, with_holds
from converters.values.widths import Widths
from neuro.graph import Graph
from neuro.network import Network
from neuro.neurons import Source

Floats = NDArray[np.float64]
VALUE_BITS = 8
CLIPPED = 0.05  # error of the outputs, relative to their spread, by values beyond a range, from which on a note says so
MORE_SAMPLES = "Calibrate on more samples, and test on others"
TOO_LARGE = "the network is too large to find which populations need more bits: compare its outputs with the float network's"


@dataclass(frozen=True, slots=True)
class ValueNetwork:
    """A network; the real value of a step of each population; of each path (source, target, share of the weights' energy that
    rounding keeps); notes; the error of the outputs, relative to their spread, that rounding explains (None: not known); the
    populations that are sums from frame to frame; what of the outputs' spread new samples are expected to lose by values beyond
    the calibrated ranges; whether some populations have bits for these; and what finds out what calibration samples lose by the
    ranges of the others, with one more pass of the float network."""

    network: Network
    units: Mapping[str, Floats]
    paths: tuple[tuple[str, str, float], ...]
    notes: tuple[str, ...]
    expected: float | None = None
    states: frozenset[str] = frozenset()
    clipped: float = 0.0
    headroom: bool = False
    left_out: Callable[[], LeftOut | None] = field(default=lambda: None, compare=False)


@dataclass(frozen=True, slots=True)
class Allotted:
    """Cells with the bits that they get; the error of the outputs, relative to their spread, that rounding explains, or None; by
    how much values beyond each population's range raise their squared error; and their error by all of these, relative too."""

    cells: tuple[Cell, ...]
    expected: float | None
    clipping: Mapping[str, float]
    clipped: float


def allotted(known: Measured, widths: Widths, sources: Mapping[str, Source]) -> Allotted:
    """The cells of a network with the bits that rounding, and samples left out in turn, ask for."""
    if known.noise is None:
        return Allotted(known.cells, None, {}, 0.0)
    scales = {name: source.scale or 1.0 for name, source in sources.items()}
    found, expected = widened(known.with_bits(widths, scales), known.ranges, known.noise, widths)
    clipping = left(found, known.ranges, known.noise.anywhere)
    return Allotted(found, expected, clipping, float(np.sqrt(sum(clipping.values()) / known.noise.spread)))


def value_network(
    graph: Graph, samples: Given, sources: Mapping[str, Source], widths: Widths, correct_bias: bool = True, framed: bool = False,
    relayed: bool = False, digits: bool = False, known: Measured | None = None,
) -> ValueNetwork:  # fmt: skip
    """The network of value neurons for a folded graph. samples (samples, *input shape) of its input or inputs: what units are
    chosen by; sources: how samples enter, by input; correct_bias: biases make the mean of every sum on them that of the float
    network. framed: it takes frames, one every period, and samples
    are (samples, frames, *input shape). relayed: with what `to_changes` needs. digits: as signed binary digits. known: what was
    measured for another network of the same graph, samples, sources and `widths.value_bits`.

    Raises ConversionError that names the layer for an op or range without a form of values.
    """
    known = known or measure(graph, samples, widths.value_bits, framed)
    simple, ranges, noise, framed = known.graph, known.ranges, known.noise, known.framed
    widths = replace(widths, framed=framed)
    bits = allotted(known, widths, sources)
    found, clipped = bits.cells, bits.clipped
    told: tuple[str, ...] = (TOO_LARGE,) if noise is None and widths.widen else ()
    if noise is not None and framed:
        told = _short_of(bits.clipping, noise.spread)
    sums = found
    found = with_relays(found) if relayed else found  # which have the bits of what they relay, so that changes are these values
    found = found if digits else with_holds(found, framed)
    steps = schedule(found, framed)
    sources = {name: one.changed(period=steps.period) if framed else one for name, one in sources.items()}
    made: dict[str, Encoded] = {}
    around = Around(made, ranges, widths, steps, _shares(found))
    corrector = Corrector(simple, found, samples, framed, known.means) if correct_bias else None
    by_name = {cell.name: cell for cell in found}
    for cell in found:
        one = forecast(cell, by_name, around, sources) if cell.kind == "previous" else encode(cell, around, sources)
        made[cell.name] = corrector.visit(cell, one, made) if corrector else one
    kept = {cell.name: made[cell.name] for cell in found if cell.kind != "previous"}
    network = Network(
        tuple(one.population for one in kept.values()),
        tuple(p for one in kept.values() for p in one.projections),
        timesteps=steps.period or 1,
    )
    if corrector:
        network._plans["links"] = corrector.links
    network = to_digits(network) if digits else network
    paths = tuple((origin, name, share) for name, one in kept.items() for origin, share in one.kept)
    units, states = {name: one.unit for name, one in kept.items()}, frozenset(states_of(found))
    notes, spared = (*_notes(found, network, steps.period), *told), any(cell.headroom for cell in found)

    def beyond() -> LeftOut | None:
        return None if framed else left_out(known, sums)

    return ValueNetwork(network, units, paths, notes, bits.expected, states, clipped, spared, beyond)


def _shares(found: tuple[Cell, ...]) -> dict[str, str]:
    """Of cells that have the unit of a state, that state; what it was a frame ago among them."""
    shares = {cell.name: cell.shares for cell in found if cell.shares}
    for cell in found:
        if cell.kind in ("previous", "hold") and cell.sources[0] in shares:
            shares[cell.name] = shares[cell.sources[0]]
    return shares


def _short_of(clipping: Mapping[str, float], spread: float) -> tuple[str, ...]:
    """What new samples are likely to lose by values beyond the calibrated ranges, as far as samples left out in turn tell."""
    worst = max(clipping, key=lambda name: clipping[name], default="")
    error = np.sqrt(clipping.get(worst, 0.0) / spread)
    if error <= CLIPPED:
        return ()
    fact = f"calibration samples, left out in turn, exceed the range of the others in {worst!r}"
    return (f"{fact}: new ones may differ from the float network by {error:.2f} of the outputs' spread more. {MORE_SAMPLES}",)


def _notes(found: tuple[Cell, ...], network: Network, period: int | None) -> tuple[str, ...]:
    """Which populations send more bits than others, and how often frames come."""
    wide: dict[int, list[str]] = {}
    told = [] if period is None else [f"frames: one every {period} steps"]
    for cell in (cell for cell in found if cell.kind != "previous"):
        neuron: Any = network[cell.name].neuron
        if neuron.computes and neuron.value_bits > VALUE_BITS:
            wide.setdefault(neuron.value_bits, []).append(cell.name)
    more = [f"{bits} bits: {', '.join(names[:4])}{' ...' if len(names) > 4 else ''}" for bits, names in sorted(wide.items())]
    return (*told, *[f"values of more than {VALUE_BITS} bits: {'; '.join(more)}"] * bool(more))
