"""Cells + ranges -> populations of value neurons in chip integers, each when its operands are there.

A unit is the real value of one integer step of what a population sends. Weights into a population are multiples of one scale for
each neuron or channel, which its multiplier and shift turn into the unit of its argument.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters import integers
from converters.linear import Operator
from converters.values.cells import Cell, Pick, Sum
from converters.values.functions import lookup
from converters.values.ranges import Extent
from converters.values.scaling import Encoded, Scaled, compressed, scaled
from converters.values.timing import Schedule, Timing
from converters.values.widths import MARGIN, Widths
from neuro.errors import ConversionError
from neuro.network import Population
from neuro.neurons import Readout, Source, Value
from neuro.neurons.tables import fixed_ratio, value_bounds
from neuro.projections import OneToOne, Projection, Sparse

Floats = NDArray[np.float64]
_LEAST = 1 / 16  # of a population's range, that each channel has where some bits are for values beyond calibration
_FINER = 16  # steps of an argument for each of the charge, at most


@dataclass(frozen=True, slots=True)
class Around:
    """What cells are encoded by: the populations made so far, the ranges of layers, widths, and when each cell works."""

    made: Mapping[str, Encoded]
    found: Mapping[str, Extent]
    widths: Widths
    schedule: Schedule
    shares: Mapping[str, str]  # of cells that have the unit of a state, that state

    def timing(self, cell: Cell) -> Timing:
        """When a cell works."""
        return self.schedule.of[cell.name]

    def alike(self, cell: Cell) -> frozenset[str]:
        """Cells with the same unit as a state: their values join it without rounding."""
        return frozenset(name for name, state in self.shares.items() if cell.shares and state == cell.shares)


def encode(cell: Cell, around: Around, sources: Mapping[str, Source]) -> Encoded:
    """One cell as a population; those that it reads have been made. sources: how samples enter, by input."""
    if cell.kind == "input":
        source = sources[cell.name]
        unit = np.full((1,) * len(cell.layer.shape), source.scale or 1.0)
        return Encoded(Population(cell.name, cell.layer.shape, source), (), unit, 0)
    return _ENCODE[cell.kind](cell, around)


def forecast(cell: Cell, cells: Mapping[str, Cell], around: Around, sources: Mapping[str, Source]) -> Encoded:
    """What a cell will send, before it can be encoded: its unit, its range of values, and when. For those that read it a frame
    later."""
    shape, name, sends_at = cell.layer.shape, cell.name, around.timing(cell).sends_at
    if cell.kind in ("previous", "largest"):
        (pick,) = cell.ports
        assert isinstance(pick, Pick)
        before = forecast(cells[pick.source], cells, around, sources)
        if cell.kind == "previous":  # it is the population itself, heard later
            return replace(before, sends_at=sends_at)
        unit = _units(pick, {pick.source: before}, shape)
        return Encoded(Population(name, shape, before.population.neuron.changed(start_step=sends_at)), (), unit, sends_at)
    if cell.kind == "input":
        return encode(cell, around, sources)
    if cell.kind == "sum":
        extent = result_extent(cell, around.found)
        how = lookup(cell.layer, cell.fused, around.found[cell.before], extent, cell.bits, 0.0, cell.argument_bits, cell.headroom)
        neuron, unit = Value(**how.parameters, start_step=sends_at), _spread(how.unit_out, shape)
    else:
        low, high, unit = _result(cell, around.found)
        neuron = Value(lowest=low, highest=high, value_bits=cell.bits, start_step=sends_at)
    return Encoded(Population(name, shape, neuron), (), unit, sends_at)


def result_extent(cell: Cell, found: Mapping[str, Extent]) -> Floats:
    """The largest |value| that neurons with one unit share, (as many axes as the shape, each whole or 1). With bits for values
    beyond calibration, what hardly moved there may do in a new sample what other channels do."""
    size, keep = found[cell.layer.name].size, None if cell.uniform else cell.channels
    axes = tuple(axis for axis in range(size.ndim) if axis != keep)
    each = size.max(axis=axes, keepdims=True)
    return np.asarray(np.maximum(each, _LEAST * each.max()) if cell.headroom else each)


def _encode_sum(cell: Cell, around: Around) -> Encoded:
    made, found, widths = around.made, around.found, around.widths
    (port,) = cell.ports
    assert isinstance(port, Sum)
    timing = around.timing(cell)
    weights = scaled(cell, port, made, found[cell.before], widths, timing.together, around.alike(cell))
    how = lookup(
        cell.layer,
        cell.fused,
        found[cell.before],
        result_extent(cell, found),
        cell.bits,
        float(weights.step.max()) / _FINER,
        cell.argument_bits,
        cell.headroom,
    )
    multiplier, shift = _ratio(weights.step / how.unit_in)
    bias = narrow(np.rint(port.bias / weights.step).astype(np.int64))
    neuron = Value(
        (timing.port,), "charge", timing.gather, 0, multiplier, shift,
        bias=bias, start_step=timing.start, potential_bits=widths.potential_bits, period=around.schedule.period, **how.parameters,
    )  # fmt: skip
    unit = _spread(how.unit_out, cell.layer.shape)
    links = _weighted(cell, port, weights, made, timing, widths.limit)
    return Encoded(Population(cell.name, cell.layer.shape, neuron), links, unit, timing.sends_at, weights.kept, weights.step)


def _spread(unit: Floats, shape: tuple[int, ...]) -> Floats:
    """A unit with as many axes as the shape."""
    return np.asarray(unit.reshape((1,) * (len(shape) - unit.ndim) + unit.shape))


def _ratio(of: Floats) -> tuple[Any, Any]:
    """Multiplier and shift. A ratio beyond 2^15 stands for values that calibration saw to be below one step of the charge."""
    return fixed_ratio(narrow(np.minimum(of, 2.0**15)))


def narrow(values: Any) -> Any:
    """The array with axes of equal entries reduced to one, a number where all are equal."""
    for axis in range(values.ndim):
        first = values.take([0], axis)
        values = first if (values == first).all() else values
    return values.reshape(-1)[0] if values.size == 1 else values


def _encode_readout(cell: Cell, around: Around) -> Encoded:
    made, widths = around.made, around.widths
    (port,) = cell.ports
    assert isinstance(port, Sum)
    extent = around.found[cell.layer.name]
    less = Extent(extent.lowest - port.bias, extent.highest - port.bias)  # the host adds the offset
    weights = scaled(cell, replace(port, bias=np.zeros_like(port.bias)), made, less, widths)
    timing = around.timing(cell)
    neuron = Readout(
        scale=narrow(weights.step), offset=port.bias, gather=timing.gather, start_step=timing.start,
        potential_bits=widths.potential_bits, period=around.schedule.period,
    )  # fmt: skip
    projections = _weighted(cell, port, weights, made, timing, widths.limit)
    unit = np.ones((1,) * len(cell.layer.shape))
    return Encoded(
        Population(cell.name, cell.layer.shape, neuron), projections, unit, timing.sends_at, weights.kept, weights.step
    )


def _weighted(
    cell: Cell, port: Sum, scaled: Scaled, made: Mapping[str, Encoded], timing: Timing, limit: int
) -> tuple[Projection, ...]:
    """The projections of a sum: two of each path with weights beyond the limit, one 2^n times as coarse as the other."""
    return tuple(
        _projection(made[path.source], cell.name, part, timing, e + more)
        for path, op, e in zip(port.paths, scaled.operators, scaled.exponents, strict=True)
        for part, more in integers.paired(op, limit)
    )


def _projection(sender: Encoded, target: str, op: Operator, timing: Timing, exponent: int) -> Projection:
    made = integers.projection(sender.population.name, target, op, timing.delay(sender.sends_at))
    return replace(made, exponent=exponent) if exponent else made  # type: ignore[type-var]  # dataclasses all


# Products, dot products and maxima of values as they are


def _encode_product(cell: Cell, around: Around) -> Encoded:
    made, timing = around.made, around.timing(cell)
    a, b = _picks(cell)
    senders, shape = [made[a.source], made[b.source]], cell.layer.shape
    product = _units(a, made, shape) * _units(b, made, shape)
    most = prod(max(map(abs, s.range)) for s in senders)
    neuron, unit = _multiplied(cell, product, most, around, (timing.port, timing.port), "product")
    links = [
        _plain(made[pick.source], cell, pick.places[:, 0], timing.delay(made[pick.source].sends_at), port)
        for port, pick in enumerate((a, b))
    ]
    return Encoded(Population(cell.name, shape, neuron), tuple(links), unit, timing.sends_at)


def _encode_dot(cell: Cell, around: Around) -> Encoded:
    made, timing = around.made, around.timing(cell)
    a, b = _picks(cell)
    senders, shape = [made[a.source], made[b.source]], cell.layer.shape
    taps = a.places.shape[1]
    product = _units(a, made, shape) * _units(b, made, shape)
    bound = taps * prod(max(map(abs, s.range)) for s in senders)
    seen = float((around.found[cell.layer.name].size / product).max()) * max(MARGIN, 2.0**cell.headroom)
    neuron, unit = _multiplied(cell, product, min(bound, int(seen) + 1), around, ("fresh", "fresh"), "dot")
    links = [one for port, pick in enumerate((a, b)) for one in _one_by_one(made[pick.source], cell, pick, timing, port)]
    return Encoded(Population(cell.name, shape, neuron), tuple(links), unit, timing.sends_at)


def _result(cell: Cell, found: Mapping[str, Extent]) -> tuple[int, int, Floats]:
    """The smallest and largest value of a product, and its unit."""
    signed = bool(found[cell.layer.name].lowest.min() < 0)
    low, high = value_bounds(cell.bits, signed)
    extent = result_extent(cell, found)
    least = float(extent[extent > 0].min(initial=np.inf))
    unit = np.where(extent > 0, extent, least if np.isfinite(least) else 1.0) / value_bounds(cell.bits - cell.headroom, signed)[1]
    return low, high, np.asarray(unit)


def _multiplied(cell: Cell, product: Floats, most: int, around: Around, ports: Any, combine: Any) -> tuple[Value, Floats]:
    """The neuron of products whose real value of a step is `product`, none beyond `most` steps; and its unit."""
    widths, timing = around.widths, around.timing(cell)
    product_shift = max(0, most.bit_length() - (widths.potential_bits - 1))
    low, high, unit = _result(cell, around.found)
    multiplier, shift = _ratio(product * 2.0**product_shift / unit)
    neuron = Value(
        ports, combine, timing.gather, product_shift, multiplier, shift, lowest=low, highest=high, value_bits=cell.bits,
        start_step=timing.start, potential_bits=widths.potential_bits, period=around.schedule.period,
    )  # fmt: skip
    return neuron, unit


def _encode_largest(cell: Cell, around: Around) -> Encoded:
    made, timing = around.made, around.timing(cell)
    (pick,) = cell.ports
    assert isinstance(pick, Pick)
    sender, shape, taps = made[pick.source], cell.layer.shape, pick.places.shape[1]
    low, high = sender.range
    bits = max(4, max(high, -low - 1 if low < 0 else 0).bit_length() + (low < 0))
    if bits > 16:
        raise ConversionError(cell.layer.place, "it takes the largest of inputs of more than 16 bits", "Scale inputs first")
    neuron = Value(
        ("fresh",), "maximum", taps, lowest=low, highest=high, value_bits=bits, start_step=timing.start,
        potential_bits=around.widths.potential_bits, period=around.schedule.period,
    )  # fmt: skip
    links = _one_by_one(sender, cell, pick, timing, 0)
    return Encoded(Population(cell.name, shape, neuron), tuple(links), _units(pick, made, shape), timing.sends_at)


def _picks(cell: Cell) -> tuple[Pick, Pick]:
    a, b = cell.ports
    assert isinstance(a, Pick)
    assert isinstance(b, Pick)
    return a, b


def _units(pick: Pick, made: Mapping[str, Encoded], shape: tuple[int, ...]) -> Floats:
    """The units of what a port reads, of the first tap; all taps have the same."""
    sender = made[pick.source]
    each = np.broadcast_to(sender.unit, sender.population.shape).ravel()[pick.places]
    assert (each == each[:, :1]).all(), f"{pick.source} has units that differ between taps"
    return compressed(each[:, 0].reshape(shape))


def _one_by_one(sender: Encoded, cell: Cell, pick: Pick, timing: Timing, port: int) -> list[Projection]:
    """Values as they are, one of those that a port reads in each step."""
    made: list[Projection] = []
    first, order, delay = pick.places[:, 0], None, timing.delay(sender.sends_at)
    for tap in range(pick.places.shape[1]):
        places = pick.places[:, tap]
        moved = order is not None and places.size > 0 and (places - first == places[0] - first[0]).all()  # in the same order
        order = order if moved else _order(places, sender.population.size)
        made.append(_plain(sender, cell, places, delay + tap, port, order))
        first = places
    return made


def _order(places: Any, size: int) -> Any:
    """The neurons by the places that they read; of those that read the same in order. size: how many places there are."""
    return np.argsort(places.astype(np.uint16) if size <= 1 << 16 else places, kind="stable").astype(
        np.int32
    )  # 16 bits are counted


def _plain(sender: Encoded, cell: Cell, places: Any, delay: int, port: int, order: Any = None) -> Projection:
    """Values as they are, each neuron from its place. order: of the neurons by their places, if known."""
    source = sender.population.name
    same = places.size == sender.population.size and np.array_equal(places, np.arange(places.size))
    if same:
        return OneToOne(source, cell.name, delay=delay, port=port)
    order = _order(places, sender.population.size) if order is None else order
    return Sparse(source, cell.name, (places[order].astype(np.int32), order, np.ones(places.size, np.int32)), delay, port)


def _encode_relay(cell: Cell, around: Around) -> Encoded:
    """The values of another population as they are."""
    timing, (pick,) = around.timing(cell), cell.ports
    assert isinstance(pick, Pick)
    sender = around.made[pick.source]
    low, high = sender.range
    bits = max(4, max(high, -low - 1 if low < 0 else 0).bit_length() + (low < 0))
    neuron = Value(
        (timing.port,), gather=timing.gather, lowest=low, highest=high, value_bits=bits, start_step=timing.start,
        potential_bits=around.widths.potential_bits, period=around.schedule.period,
    )  # fmt: skip
    links = (_plain(sender, cell, pick.places[:, 0], timing.delay(sender.sends_at), 0),)
    return Encoded(Population(cell.name, cell.layer.shape, neuron), links, sender.unit, timing.sends_at)


_ENCODE: dict[str, Callable[[Cell, Around], Encoded]] = {
    "sum": _encode_sum,
    "readout": _encode_readout,
    "product": _encode_product,
    "dot": _encode_dot,
    "largest": _encode_largest,
    "relay": _encode_relay,
    "hold": _encode_relay,
}
