"""A softmax over values some of which are masked by constants, without these: their size would take every bit of the others.

Exporters mask by adding or filling in -10,000, -10^9 or the lowest number there is. Knows ops only.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.values.writing import Writer
from neuro.graph import Graph, Layer

_MASKED = -5e3  # values and shifts below it are masks, which leave nothing of an exponential
_NOTHING = -16.0  # argument of an exponential that is 1e-7 of the largest

Kept = NDArray[np.bool_]


def masked(layer: Layer, before: Mapping[str, Layer]) -> tuple[Layer, Kept] | None:
    """The layer that masks some values of a softmax, and which it keeps, (*shape); None where none does, or where it keeps none
    of those that are normalised together."""
    if layer.op != "softmax" or layer.inputs[0] not in before:
        return None
    source = before[layer.inputs[0]]
    if source.op == "mask" and source.options["value"] <= _MASKED:
        kept = np.broadcast_to(source.arrays["keep"] != 0, layer.shape)
    elif source.op == "scale" and "shift" in source.arrays:
        kept = np.broadcast_to(source.arrays["shift"] > _MASKED, layer.shape)
    else:
        return None
    useful = not kept.all() and kept.any(axis=layer.options["axis"]).all()
    return (source, kept) if useful else None


def write_softmax(w: Writer, layer: Layer, found: tuple[Layer, Kept], bits: tuple[int, int]) -> None:
    """exp(x - largest) over its sum: the largest of the values that are kept, and nothing of the others. bits: of exponentials
    and of the reciprocal of their sum."""
    (source, kept), axis = found, layer.options["axis"]
    x = _unmasked(w, source)
    lowered = w.less(x, w.largest(_filled(w, x, kept, axis), axis))
    lowered = w.add("mask", (lowered,), arrays={"keep": kept.astype(np.float32)}, value=_NOTHING)
    power = w.function("exp", lowered, bits=bits[0])
    total = w.add("reduce", (power,), kind="sum", axes=(axis,))
    w.add("multiply", (power, w.function("reciprocal", total, bits=bits[1])))


def without_masks(graph: Graph, layers: list[Layer], masks: set[str]) -> list[Layer]:
    """The layers without masks that none of them reads any more."""
    read = {name for layer in layers for name in layer.inputs} | set(graph.outputs)
    return [layer for layer in layers if layer.name not in masks or layer.name in read]


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
