"""A softmax over values some of which are masked, by constants or by an input, without what masks them: its size would take every
bit of the others.

Exporters mask by adding or filling in -10,000, -10^9 or the lowest number there is. Knows ops only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.values.writing import Writer
from neuro.graph import Graph, Layer

_MASKED = -5e3  # values and shifts below it are masks, which leave nothing of an exponential
_NOTHING = -16.0  # argument of an exponential that is 1e-7 of the largest
_RAISED = 64.0  # by which scores are raised: e^-64 of the others is left where the largest that is kept is 0
_MOVES = frozenset({"reshape", "permute", "gather", "identity"})
_TRUTHS = frozenset({"greater", "greater_or_equal", "equal"})

Kept = NDArray[np.bool_]


def write_masked(w: Writer, layer: Layer, before: Mapping[str, Layer], bits: tuple[int, int]) -> bool:
    """Write the softmax of masked values, where it is one. bits: of exponentials and of the reciprocal of their sum."""
    if (found := _masked(layer, before)) is not None:
        _write_softmax(w, layer, found, bits)
    elif (gate := _gated(layer, before)) is not None:
        _write_gated_softmax(w, layer, gate, before, bits[0])
    return found is not None or gate is not None


def _masked(layer: Layer, before: Mapping[str, Layer]) -> tuple[Layer, Kept] | None:
    """The layer that masks some values of a softmax, and which it keeps, (*shape); None where none does, or where it keeps none
    of those that are normalised together."""
    if layer.op != "softmax" or layer.inputs[0] not in before:
        return None
    source = before[layer.inputs[0]]
    kept = _kept(source, layer.shape)
    return (source, kept) if not kept.all() and kept.any(axis=layer.options["axis"]).all() else None


def _kept(source: Layer, shape: tuple[int, ...]) -> Kept:
    """Which values of a shape a layer does not mask by constants."""
    if source.op == "mask" and source.options["value"] <= _MASKED:
        return np.broadcast_to(source.arrays["keep"] != 0, shape)
    return np.broadcast_to(source.arrays["shift"] > _MASKED if source.op == "scale" and "shift" in source.arrays else True, shape)


def _write_softmax(w: Writer, layer: Layer, found: tuple[Layer, Kept], bits: tuple[int, int]) -> None:
    """exp(x - largest) over its sum: the largest of the values that are kept, and nothing of the others."""
    (source, kept), axis = found, layer.options["axis"]
    x = _unmasked(w, source)
    lowered = w.less(x, w.largest(_filled(w, x, kept, axis), axis))
    lowered = w.add("mask", (lowered,), arrays={"keep": kept.astype(np.float32)}, value=_NOTHING)
    power = w.function("exp", lowered, bits=bits[0])
    total = w.add("reduce", (power,), kind="sum", axes=(axis,))
    w.add("multiply", (power, w.function("reciprocal", total, bits=bits[1])))


@dataclass(frozen=True, slots=True)
class _Gate:
    """Scores in front of a softmax and a truth value that masks some: its layer, whether it is that of what is kept, and the
    layers that bring it to the scores' shape, the last one first."""

    scores: tuple[str, ...]
    truth: Layer
    keeps: bool
    moves: tuple[Layer, ...]


def _gated(layer: Layer, before: Mapping[str, Layer]) -> _Gate | None:
    """The gate of a softmax: a choice between scores and a mask's number, or such numbers for a 0 or 1 added to scores. None
    where there is none. An input that is made a mask is taken to be 0 or 1."""
    source = before.get(layer.inputs[0]) if layer.op == "softmax" else None
    if source is None or source.op not in ("add", "where"):
        return None
    if source.op == "where":
        condition, yes, no = source.inputs
        chosen = [_constant(name, before) <= _MASKED for name in (yes, no)]
        line, scores = _line(condition, before), (no if chosen[0] else yes,)
        if line is None or chosen[0] == chosen[1] or before[scores[0]].shape != layer.shape:
            return None
        truth, moves, at_0, at_1 = line
        return _Gate(scores, truth, (at_1 != 0) != chosen[0], moves) if (at_0 == 0) != (at_1 == 0) else None
    for name in source.inputs:
        line = _line(name, before)
        if line is None or min(line[2:]) > _MASKED or abs(max(line[2:])) > 1e-6 * -min(line[2:]):
            continue
        truth, moves, at_0, at_1 = line
        return _Gate(tuple(other for other in source.inputs if other != name), truth, at_1 > at_0, moves)
    return None


def _line(name: str, before: Mapping[str, Layer]) -> tuple[Layer, tuple[Layer, ...], float, float] | None:
    """The truth value of which a layer is a linear function, the moves on the way, and what the layer is where it is 0 and 1."""
    layer, factor, shift, moves = before[name], 1.0, 0.0, []
    while layer.op == "scale" or layer.op in _MOVES:
        if layer.op in _MOVES:
            moves.append(layer)
        elif any(array.size != 1 for array in layer.arrays.values()):
            return None
        else:
            own, added = (float(np.ravel(layer.arrays.get(key, usual))[0]) for key, usual in (("factor", 1.0), ("shift", 0.0)))
            factor, shift = factor * own, shift + factor * added
        layer = before[layer.inputs[0]]
    return (layer, tuple(moves), shift, shift + factor) if _is_truth(layer, before) else None


def _is_truth(layer: Layer, before: Mapping[str, Layer]) -> bool:
    if layer.op == "multiply":
        lines = [_line(name, before) for name in layer.inputs]
        return all(line is not None and line[2:] == (0, 1) for line in lines)
    return layer.op == "input" or (layer.op == "function" and layer.options["name"] in _TRUTHS)


def _constant(name: str, before: Mapping[str, Layer]) -> float:
    """The largest number of a constant, moved; infinity for what is none."""
    layer = before[name]
    while layer.op in _MOVES:
        layer = before[layer.inputs[0]]
    return float(layer.arrays["value"].max()) if layer.op == "constant" else np.inf


def _write_gated_softmax(w: Writer, layer: Layer, gate: _Gate, before: Mapping[str, Layer], bits: int) -> None:
    """A softmax of scores that are raised far above 0 and multiplied by 1 where they are kept, by 0 elsewhere. bits: of these."""
    truth = gate.truth.name
    kept = truth if gate.truth.op == "function" else w.function("greater", truth, 0.5)
    kept = kept if gate.keeps else w.scaled(kept, -1.0, 1.0)
    for move in reversed(gate.moves):
        kept = w.add(move.op, (kept,), shape=move.shape, arrays=move.arrays, **move.options)
    scores, always = [], np.ones(layer.shape, bool)
    for name in gate.scores:
        here = _kept(before[name], layer.shape)
        scores.append(name if here.all() else _unmasked(w, before[name]))
        always &= here
    if not always.all():  # constants mask too, as where attention is causal and padded
        kept = w.add("mask", (kept,), arrays={"keep": always.astype(np.float32)}, value=0.0)
    x = scores[0] if len(scores) == 1 else w.add("add", scores)
    raised = w.add("scale", (x,), bits=bits, arrays={"shift": np.asarray(_RAISED, np.float32)})
    w.add("softmax", (w.add("multiply", (raised, kept), bits=bits),), axis=layer.options["axis"])


def without_masks(graph: Graph, layers: list[Layer]) -> list[Layer]:
    """The layers without masks that none of them reads any more, and what leads to these alone."""
    made = graph.relayered(layers)
    needed = made.leading_to({*made.outputs, *(layer.name for layer in made.inputs)})
    return [layer for layer in made.layers if layer.name in needed]


def _unmasked(w: Writer, source: Layer) -> str:
    if source.op == "mask":
        return source.inputs[0]
    shift = source.arrays["shift"]
    factor: Any = source.arrays.get("factor", 1.0)
    return w.scaled(source.inputs[0], factor, np.where(shift > _MASKED, shift, 0))


def _filled(w: Writer, x: str, kept: Kept, axis: int) -> str:
    """The values with one that is kept, of those that it is compared with, in each place of another."""
    at = np.arange(kept.size).reshape(kept.shape)
    first = np.take_along_axis(at, kept.argmax(axis, keepdims=True), axis)
    places = np.where(kept, at, first).ravel()
    flat = w.reshaped(x, (prod(kept.shape),))
    return w.reshaped(w.taken(flat, 0, places), kept.shape)
