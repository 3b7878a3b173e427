"""The network of values of a graph: units and bits by calibration samples, and bits beyond their ranges where that pays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from converters.agreement import Agreement, agreement, on_new
from converters.building import Built, CalibratedGraph
from converters.coding import CodeSettings, PathKept
from converters.convertible import OF_VALUES
from converters.options import LEAST_DIGITS, Options
from converters.samples import by_input
from converters.valuediagnosis import widths_of
from converters.values.converting import ValueNetwork, allotted, value_network
from converters.values.measuring import Measured, measure
from neuro.codes import CODES
from neuro.errors import ConversionError
from neuro.graph import Graph
from neuro.neurons import Source

Measurable = tuple[int, bool, str]  # what measurements depend on: bits of values, frames, how samples enter
Made = tuple[Graph, CalibratedGraph, CodeSettings, Built, tuple[str, ...], Agreement | None]  # notes; how it agrees, if known


def network_of_values(
    graph: Graph, samples: Any, chosen: Options, framed: bool, ready: dict[Measurable, Measured] | None = None
) -> Made:
    """The network of value neurons of a folded graph, not yet compared with it. ready: where what samples tell is kept for the
    next network of the same graph and samples.

    Bits for values beyond calibrated ranges leave weights fewer. Where the error on the samples is more than rounding explains,
    and new ones are not expected to lose more by the ranges, the network is made without such bits too: that one is taken whose
    error on the samples, with what new ones are expected to lose, is less.
    """
    digits = chosen.code == "radix"
    why = (f"code={OF_VALUES!r}: the network computes with values",) if chosen.code == "auto" else ()
    graph = replace(graph, notes=(*graph.notes, *why))
    calibrated = CalibratedGraph(graph, samples, chosen.threshold, chosen.correct_bias)
    made_for = {name: chosen.settings(one, OF_VALUES, 1)[0] for name, one in by_input(graph, samples).items()}
    sources: Mapping[str, Source] = {name: one.source for name, one in made_for.items()}
    settings = replace(
        made_for[graph.inputs[0].name],
        value_bits=_digits(chosen) if digits else chosen.value_bits,
        sources=sources,
        paired=chosen.paired,
        headroom=chosen.headroom,
    )

    key, ready = (widths_of(settings).value_bits, framed, chosen.input), {} if ready is None else ready
    known = ready[key] if key in ready else measure(graph, samples, key[0], framed)
    ready[key] = known

    def made_with(how: CodeSettings) -> tuple[ValueNetwork, CodeSettings, Built]:
        made = value_network(graph, samples, sources, widths_of(how), chosen.correct_bias, framed, chosen.changes, digits, known)
        built = Built(made.network, made.units, tuple(PathKept(*path) for path in made.paths), made.expected, made.states)
        return made, replace(how, code="radix") if digits else how, built

    found = made_with(settings)
    reached: Agreement | None = None
    if found[0].headroom:
        plain = replace(settings, spare_bits=False)
        beyond = allotted(known, replace(widths_of(plain), framed=known.framed), sources).clipped
        reached = agreement(graph, calibrated, *found[1:])
        loss = reached.error**2 + found[0].clipped ** 2
        surprising = reached.error > (found[0].expected or 0.0)  # else what the bits were given for holds
        if surprising and loss >= beyond**2:  # else no error on the samples makes up for what is lost beyond their ranges
            other = made_with(plain)
            without = agreement(graph, calibrated, *other[1:])
            if loss >= without.error**2 + other[0].clipped ** 2:
                found, reached = other, without
    made, settings, built = found
    lost = made.left_out()
    if lost is not None:
        built = replace(built, beyond=lost.error, exceeded=lost.most)
        reached = None if reached is None else on_new(reached, built, len(calibrated.samples), settings)
    return graph, calibrated, settings, built, (*graph.notes, *made.notes), reached


def _digits(chosen: Options) -> int:
    """The bits of values that are sent as digits."""
    if chosen.timesteps < LEAST_DIGITS and not chosen.value_bits:
        fact = f"{chosen.timesteps} digits, and the network computes with values"
        raise ConversionError("timesteps", fact, f"Use {LEAST_DIGITS} to {CODES['radix'].most_timesteps}, as values have bits")
    return int(chosen.value_bits or min(chosen.timesteps, CODES["radix"].most_timesteps))
