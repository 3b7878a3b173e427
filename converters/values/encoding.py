"""Cells + ranges -> populations of value neurons in chip integers, each when its operands are there.

A unit is the real value of one integer step of what a population sends. Weights into a population are multiples of one scale for
each neuron or channel, which its multiplier and shift turn into the unit of its argument.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters import integers, linear
from converters.linear import Operator, Window
from converters.values.functions import lookup
from converters.values.populations import Cell, Pick, Sum
from converters.values.ranges import Extent
from neuro.errors import ConversionError
from neuro.network import Population
from neuro.neurons import Readout, Source, Value
from neuro.neurons.tables import fixed_ratio, value_bounds
from neuro.projections import OneToOne, Projection, Sparse

Floats = NDArray[np.float64]
_MARGIN = 4.0  # how far beyond the calibrated range a sum may go before it saturates: over several steps, or that nothing clips
_CLIPPED_MARGIN = 1.25  # the same for a charge of one step whose value is clipped to that range behind
_LONGEST_DELAY = 8  # beyond, ports hold what comes early
_LARGEST_EXPONENT = 7
_NEGLIGIBLE = 2.0**-12  # of a population's charge: paths that bring less need no resolution of their own
_FINER = 16  # steps of an argument for each of the charge, at most
_ALIKE = 2.0  # scales of neurons that differ by less share the larger one


@dataclass(frozen=True, slots=True)
class Widths:
    """Bits of weights, of potentials, and of values that need no more than others; whether to widen those that need more."""

    weight_bits: int = 8
    potential_bits: int = 24
    value_bits: int = 8
    widen: bool = True

    @property
    def limit(self) -> int:
        """Largest absolute weight."""
        return int((1 << (self.weight_bits - 1)) - 1)

    def room(self, clipped: bool = False) -> float:
        """Largest charge, in integers, that the calibrated range may reach; clipped: in one step, and is clipped behind."""
        return float((1 << (self.potential_bits - 1)) - 1) / (_CLIPPED_MARGIN if clipped else _MARGIN)


@dataclass(frozen=True, slots=True)
class Encoded:
    """A population, the projections into it, the real value of a step of what it sends (as many axes as its shape, each whole
    or 1), the step at which it sends, and of each path the share of its weights' energy that rounding keeps."""

    population: Population
    projections: tuple[Projection, ...]
    unit: Floats
    sends_at: int
    kept: tuple[tuple[str, float], ...] = ()
    step: Floats | None = None  # of a weighted sum, the real value of a step of its charge

    @property
    def range(self) -> tuple[int, int]:
        """Smallest and largest integer that it sends."""
        return self.population.neuron.messages


def encode(cell: Cell, made: Mapping[str, Encoded], found: Mapping[str, Extent], widths: Widths, source: Source) -> Encoded:
    """One cell as a population; `made`: those that it reads."""
    if cell.kind == "input":
        unit = np.full((1,) * len(cell.layer.shape), source.scale or 1.0)
        return Encoded(Population(cell.name, cell.layer.shape, source), (), unit, 0)
    if cell.kind == "sum":
        return _encode_sum(cell, made, found, widths)
    if cell.kind == "readout":
        return _encode_readout(cell, made, found, widths)
    return {"product": _encode_product, "dot": _encode_dot, "largest": _encode_largest}[cell.kind](cell, made, found, widths)


# Units


def result_extent(cell: Cell, found: Mapping[str, Extent]) -> Floats:
    """The largest |value| that neurons with one unit share, (as many axes as the shape, each whole or 1)."""
    size, keep = found[cell.layer.name].size, None if cell.uniform else cell.channels
    axes = tuple(axis for axis in range(size.ndim) if axis != keep)
    return np.asarray(size.max(axis=axes, keepdims=True))


def compressed(values: Floats, alike: float = 1.0) -> Floats:
    """The array with every axis reduced to its largest entry along which entries differ by no more than a factor."""
    for axis in range(values.ndim):
        most = values.max(axis=axis, keepdims=True)
        if values.shape[axis] > 1 and (most <= alike * np.where(values > 0, values, np.inf)).all():
            values = most
    return values


# Weighted sums


@dataclass(frozen=True, slots=True)
class _Scaled:
    """Integer operators, their exponents, and the real value of one step of the charge that they bring, per neuron."""

    operators: tuple[Operator, ...]
    exponents: tuple[int, ...]
    step: Floats
    kept: tuple[tuple[str, float], ...]


def _scaled(cell: Cell, port: Sum, made: Mapping[str, Encoded], extent: Extent, widths: Widths, clipped: bool = False) -> _Scaled:
    shape, senders = cell.layer.shape, [made[path.source] for path in port.paths]
    real = [linear.times(path.operator, s.unit, 1.0) for path, s in zip(port.paths, senders, strict=True)]
    sizes = [integers.largest_weight([op]) for op in real]
    exponents = exponents_of(sizes, [max(map(abs, s.range)) for s in senders])
    each = [largest_into(op, shape) / 2.0**e for op, e in zip(real, exponents, strict=True)]
    largest = together(each, shape, any(isinstance(op, Window) for op in real))
    room = reach_of(port, extent, largest.shape)
    whole = np.clip(np.floor(largest * widths.room(clipped) / np.where(room > 0, room, 1e-300)), 1, widths.limit)
    step = np.where(largest > 0, largest / whole, 1.0)
    step = np.maximum(
        step, room / widths.room(clipped)
    )  # weights that are small beside the bias lose digits, not the sum its range
    fine = [linear.times(op, 1.0, 1 / np.broadcast_to(step, shape) / 2.0**e) for op, e in zip(real, exponents, strict=True)]
    rounded = tuple(integers.rounded(op, widths.limit) for op in fine)
    kept = tuple((path.source, integers.kept(op, done)) for path, op, done in zip(port.paths, fine, rounded, strict=True))
    return _Scaled(rounded, tuple(exponents), np.asarray(step), kept)


def exponents_of(largest: Sequence[float], levels: Sequence[int]) -> list[int]:
    """Powers of two by which sources of very different units keep all the bits of their weights. For each source: its largest
    weight, in real values for one step of it, and the largest integer that it sends."""
    brought = [size * most for size, most in zip(largest, levels, strict=True)]
    counted = [size for size, part in zip(largest, brought, strict=True) if part > _NEGLIGIBLE * max(brought)]
    if len(largest) == 1 or not counted:
        return [0] * len(largest)
    finest = min(counted)
    return [int(np.clip(np.ceil(np.log2(size / finest)), 0, _LARGEST_EXPONENT)) if size > finest else 0 for size in largest]


def largest_into(op: Operator, shape: tuple[int, ...]) -> Floats:
    """The largest weight into each neuron; into each channel where a window shares its weights. As many axes as the shape."""
    if isinstance(op, Window):
        return np.asarray(np.abs(op.weight).reshape(len(op.weight), -1).max(axis=1).reshape(-1, *[1] * (len(shape) - 1)))
    return linear.largest_into(op).reshape(shape)


def together(each: Sequence[Floats], shape: tuple[int, ...], shared: bool) -> Floats:
    """The largest of all paths' weights, for neurons with one scale; shared: a window is among them, so channels have one."""
    largest = np.asarray(np.broadcast_arrays(np.zeros((1,) * len(shape)), *each)).max(axis=0)
    if shared:
        return np.asarray(largest.max(axis=tuple(range(1, len(shape))), keepdims=True))
    return compressed(largest, _ALIKE)


def reach_of(port: Sum, extent: Extent, scales: tuple[int, ...]) -> Floats:
    """How far a sum goes on the way to its calibrated range, for neurons that share a scale of that shape."""
    reach = np.maximum(extent.size, np.abs(port.bias)) + np.abs(port.bias)
    room = compressed(reach, _ALIKE) if scales == reach.shape else reach
    for axis, count in enumerate(scales):
        if count == 1:
            room = room.max(axis=axis, keepdims=True)
    return np.asarray(room)


def _encode_sum(cell: Cell, made: Mapping[str, Encoded], found: Mapping[str, Extent], widths: Widths) -> Encoded:
    (port,) = cell.ports
    assert isinstance(port, Sum)
    timing = Timing.of([made[path.source] for path in port.paths])
    scaled = _scaled(cell, port, made, found[cell.before], widths, clipped=timing.together)
    how = lookup(
        cell.layer,
        cell.fused,
        found[cell.before],
        result_extent(cell, found),
        cell.bits,
        float(scaled.step.max()) / _FINER,
        cell.argument_bits,
    )
    multiplier, shift = _ratio(scaled.step / how.unit_in)
    bias = narrow(np.rint(port.bias / scaled.step).astype(np.int64))
    neuron = Value(
        (timing.port,), "charge", timing.gather, 0, multiplier, shift,
        bias=bias, start_step=timing.start, potential_bits=widths.potential_bits, **how.parameters,
    )  # fmt: skip
    unit = how.unit_out.reshape((1,) * (len(cell.layer.shape) - how.unit_out.ndim) + how.unit_out.shape)
    links = _weighted(cell, port, scaled, made, timing)
    return Encoded(Population(cell.name, cell.layer.shape, neuron), links, unit, timing.sends_at, scaled.kept, scaled.step)


def _ratio(of: Floats) -> tuple[Any, Any]:
    """Multiplier and shift. A ratio beyond 2^15 stands for values that calibration saw to be below one step of the charge."""
    return fixed_ratio(narrow(np.minimum(of, 2.0**15)))


def narrow(values: Any) -> Any:
    """The array with axes of equal entries reduced to one, a number where all are equal."""
    for axis in range(values.ndim):
        first = values.take([0], axis)
        values = first if (values == first).all() else values
    return values.reshape(-1)[0] if values.size == 1 else values


def _encode_readout(cell: Cell, made: Mapping[str, Encoded], found: Mapping[str, Extent], widths: Widths) -> Encoded:
    (port,) = cell.ports
    assert isinstance(port, Sum)
    extent = found[cell.layer.name]
    less = Extent(extent.lowest - port.bias, extent.highest - port.bias)  # the host adds the offset
    scaled = _scaled(cell, replace(port, bias=np.zeros_like(port.bias)), made, less, widths)
    timing = Timing.of([made[path.source] for path in port.paths])
    neuron = Readout(
        scale=narrow(scaled.step), offset=port.bias, gather=timing.gather, start_step=timing.start,
        potential_bits=widths.potential_bits,
    )  # fmt: skip
    projections = _weighted(cell, port, scaled, made, timing)
    unit = np.ones((1,) * len(cell.layer.shape))
    return Encoded(Population(cell.name, cell.layer.shape, neuron), projections, unit, timing.sends_at, scaled.kept, scaled.step)


def _weighted(cell: Cell, port: Sum, scaled: _Scaled, made: Mapping[str, Encoded], timing: Timing) -> tuple[Projection, ...]:
    return tuple(
        replace(integers.projection(path.source, cell.name, op, timing.delay(made[path.source])), exponent=e)  # type: ignore[type-var]
        for path, op, e in zip(port.paths, scaled.operators, scaled.exponents, strict=True)
    )


# Products, dot products and maxima of values as they are


def _encode_product(cell: Cell, made: Mapping[str, Encoded], found: Mapping[str, Extent], widths: Widths) -> Encoded:
    a, b = _picks(cell)
    senders, shape = [made[a.source], made[b.source]], cell.layer.shape
    product = _units(a, made, shape) * _units(b, made, shape)
    timing = Timing.of(senders)
    most = prod(max(map(abs, s.range)) for s in senders)
    neuron, unit = _multiplied(cell, product, most, found, widths, (timing.port, timing.port), "product", timing)
    links = [
        _plain(pick.source, cell, pick.places[:, 0], made, timing.delay(made[pick.source]), port)
        for port, pick in enumerate((a, b))
    ]
    return Encoded(Population(cell.name, shape, neuron), tuple(links), unit, timing.sends_at)


def _encode_dot(cell: Cell, made: Mapping[str, Encoded], found: Mapping[str, Extent], widths: Widths) -> Encoded:
    a, b = _picks(cell)
    senders, shape = [made[a.source], made[b.source]], cell.layer.shape
    taps = a.places.shape[1]
    product = _units(a, made, shape) * _units(b, made, shape)
    timing = Timing.in_turn(senders, taps)
    bound = taps * prod(max(map(abs, s.range)) for s in senders)
    seen = float((found[cell.layer.name].size / product).max()) * _MARGIN
    neuron, unit = _multiplied(cell, product, min(bound, int(seen) + 1), found, widths, ("fresh", "fresh"), "dot", timing)
    links = [
        _plain(pick.source, cell, pick.places[:, tap], made, timing.delay(made[pick.source]) + tap, port)
        for port, pick in enumerate((a, b))
        for tap in range(taps)
    ]
    return Encoded(Population(cell.name, shape, neuron), tuple(links), unit, timing.sends_at)


def _multiplied(
    cell: Cell, product: Floats, most: int, found: Mapping[str, Extent], widths: Widths, ports: Any, combine: Any, timing: Timing
) -> tuple[Value, Floats]:
    """The neuron of products whose real value of a step is `product`, none beyond `most` steps; and its unit."""
    product_shift = max(0, most.bit_length() - (widths.potential_bits - 1))
    signed = bool(found[cell.layer.name].lowest.min() < 0)
    low, high = value_bounds(cell.bits, signed)
    extent = result_extent(cell, found)
    least = float(extent[extent > 0].min(initial=np.inf))
    unit = np.where(extent > 0, extent, least if np.isfinite(least) else 1.0) / high
    multiplier, shift = _ratio(product * 2.0**product_shift / unit)
    neuron = Value(
        ports, combine, timing.gather, product_shift, multiplier, shift, lowest=low, highest=high, value_bits=cell.bits,
        start_step=timing.start, potential_bits=widths.potential_bits,
    )  # fmt: skip
    return neuron, np.asarray(unit)


def _encode_largest(cell: Cell, made: Mapping[str, Encoded], found: Mapping[str, Extent], widths: Widths) -> Encoded:
    (pick,) = cell.ports
    assert isinstance(pick, Pick)
    sender, shape, taps = made[pick.source], cell.layer.shape, pick.places.shape[1]
    low, high = sender.range
    timing = Timing.in_turn([sender], taps)
    bits = max(4, max(high, -low - 1 if low < 0 else 0).bit_length() + (low < 0))
    if bits > 16:
        raise ConversionError(cell.layer.place, "it takes the largest of inputs of more than 16 bits", "Scale inputs first")
    neuron = Value(
        ("fresh",), "maximum", taps, lowest=low, highest=high, value_bits=bits, start_step=timing.start,
        potential_bits=widths.potential_bits,
    )  # fmt: skip
    links = [_plain(pick.source, cell, pick.places[:, tap], made, timing.delay(sender) + tap, 0) for tap in range(taps)]
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


def _plain(source: str, cell: Cell, places: Any, made: Mapping[str, Encoded], delay: int, port: int) -> Projection:
    """Values as they are, each neuron from its place."""
    same = places.size == made[source].population.size and np.array_equal(places, np.arange(places.size))
    if same:
        return OneToOne(source, cell.name, delay=delay, port=port)
    return Sparse(source, cell.name, (places, np.arange(places.size), np.ones(places.size, np.int64)), delay, port)


# Steps


@dataclass(frozen=True, slots=True)
class Timing:
    """When a population gathers: its first step and their number; whether ports hold what came before the last of them."""

    start: int
    gather: int
    port: str
    together: bool

    @staticmethod
    def of(senders: Sequence[Encoded]) -> Timing:
        """Values that are needed at once: delayed until the last is there, or held where that would be long."""
        ready = [s.sends_at for s in senders] or [0]
        if max(ready) - min(ready) < _LONGEST_DELAY:
            return Timing(max(ready) + 1, 1, "fresh", True)
        return Timing(min(ready) + 1, max(ready) - min(ready) + 1, "held", False)

    @staticmethod
    def in_turn(senders: Sequence[Encoded], taps: int) -> Timing:
        """Values that are taken one a step."""
        return Timing(max(s.sends_at for s in senders) + 1, taps, "fresh", True)

    @property
    def sends_at(self) -> int:
        return self.start + self.gather - 1

    def delay(self, sender: Encoded) -> int:
        """The delay with which a value arrives in time."""
        return self.start - sender.sends_at if self.together else 1
