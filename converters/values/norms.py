"""Graph -> Graph of the same values with a layer norm or an RMS norm in one layer where it is written out.

Exporters write a norm in many ways: the variance as a mean of squared differences or of squares less a squared mean, the root
as a power, a root and a division or an inverse root, weights before or behind the product. Each layer behind a mean is followed
as a polynomial in the value x, its mean, the mean of its squares and the inverse root of its variance; what comes out as
w (x - mean) / root + b is the norm, however it is written. Knows ops only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from converters.opmath import apply
from neuro.graph import Graph, Layer

Floats = NDArray[np.float64]
Places = NDArray[np.int64]
Powers = tuple[int, int, int, int]  # of x, its mean, the mean of its squares, and the inverse root
_ONE, _X, _MEAN, _SQUARES = (0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0)
_MEAN_SQUARED, _NORMED, _SHIFT = (0, 2, 0, 0), (1, 0, 0, 1), (0, 1, 0, 1)
_MOVES = frozenset({"reshape", "permute", "gather", "identity"})
_POWERS = {"square": 2.0, "sqrt": 0.5, "rsqrt": -0.5, "reciprocal": -1.0}
_SAME = 1e-6  # relative difference of numbers that are the same but for their rounding as floats
_LARGEST = 2**24  # values of a layer beyond which no norm is sought


@dataclass(frozen=True, slots=True)
class _Value:
    """A layer's value as a polynomial: coefficients by powers, each broadcast to its shape. at: of each entry the place in x,
    or in x's groups where it is a statistic of one, (*shape); None for constants. root: of what the inverse root is taken."""

    terms: Mapping[Powers, Floats]
    at: Places | None = None
    root: tuple[str, float] | None = None

    @property
    def has_x(self) -> bool:
        """Whether it varies within a group."""
        return any(powers[0] for powers in self.terms)


@dataclass(frozen=True, slots=True)
class _Groups:
    """The values that are normalised together: of each place of x its group, (size,), and of each group its places in order,
    (groups, count)."""

    of: Places
    members: Places

    def where(self, value: _Value) -> Places | None:
        """Of each entry its group."""
        return self.of[value.at] if value.at is not None and value.has_x else value.at


def with_norms(graph: Graph) -> Graph:
    """The graph with each norm that is written out as `layer_norm` or `rms_norm`; what it no longer needs is left in place."""
    if not any(_inverts(layer) for layer in graph.layers):
        return graph
    made: dict[str, list[Layer]] = {}
    order = {layer.name: i for i, layer in enumerate(graph.layers)}
    for layer in graph.layers:
        for base, axes in _bases(graph, layer):
            found = _followed(graph, order[base.name], base, axes)
            if found is not None and found[0].name not in made:
                made[found[0].name] = _written(*found, base, axes)
    return graph.relayered(one for layer in graph.layers for one in made.get(layer.name, [layer])) if made else graph


def _inverts(layer: Layer) -> bool:
    return layer.op == "function" and layer.options["name"] in ("sqrt", "rsqrt", "power")


def _bases(graph: Graph, layer: Layer) -> list[tuple[Layer, tuple[int, ...]]]:
    """The layers that a mean may be part of the norm of, and the axes."""
    if not layer.inputs or (axes := _averaged(graph, layer)) is None:
        return []
    source = graph[layer.inputs[0]]
    inside = [source.inputs[0]] if _squares(source) else []
    before = graph[inside[0]] if inside else None
    return [(one, axes) for one in (source, before) if one is not None and prod(one.shape) <= _LARGEST and one.op != "constant"]


def _squares(layer: Layer) -> bool:
    if layer.op == "multiply":
        return len(layer.inputs) == 2 and layer.inputs[0] == layer.inputs[1]
    return layer.op == "function" and (layer.options["name"], *layer.options["values"]) in (("square",), ("power", 2.0))


def _averaged(graph: Graph, layer: Layer) -> tuple[int, ...] | None:
    """The axes over which a layer sums or takes the mean; None where it does neither."""
    if layer.op == "reduce":
        return tuple(layer.options["axes"])
    shape, o = graph[layer.inputs[0]].shape, layer.options
    if layer.op == "avg_pool" and o["kernel"] == shape[1:] and not any(map(any, o["padding"])):
        return tuple(range(1, len(shape)))
    return None


def _groups(shape: tuple[int, ...], axes: tuple[int, ...]) -> _Groups:
    kept = [axis for axis in range(len(shape)) if axis not in axes]
    count = prod(shape[axis] for axis in axes)
    members = np.arange(prod(shape)).reshape(shape).transpose(*kept, *axes).reshape(-1, count)
    of = np.empty(members.size, np.int64)
    of[members] = np.arange(len(members))[:, None]
    return _Groups(of, np.sort(members, axis=1))


def _followed(graph: Graph, start: int, base: Layer, axes: tuple[int, ...]) -> tuple[Layer, _Value] | None:
    """The last layer with the norm of `base` over axes, with the weights that follow alone; None where there is none."""
    groups = _groups(base.shape, axes)
    values: dict[str, _Value] = {base.name: _Value({_X: np.ones(1)}, np.arange(prod(base.shape)).reshape(base.shape))}
    found: tuple[Layer, _Value] | None = None
    for layer in graph.layers[start + 1 :]:
        known = [values.get(name) or _constant(graph, graph[name]) for name in layer.inputs]
        if not any(name in values for name in layer.inputs) or any(one is None for one in known):
            continue
        value = _value(graph, layer, [one for one in known if one is not None], groups)
        if value is None:
            continue
        values[layer.name] = value
        if _is_norm(value, base) and (found is None or _only_reader(graph, found[0], layer)):
            found = layer, value
    return found


def _only_reader(graph: Graph, before: Layer, layer: Layer) -> bool:
    return before.name not in graph.outputs and [one.name for one in graph.consumers(before.name)] == [layer.name]


def _constant(graph: Graph, layer: Layer) -> _Value | None:
    if layer.op in _MOVES:
        before = _constant(graph, graph[layer.inputs[0]])
        return before and _moved(layer, graph[layer.inputs[0]].shape, before)
    return _Value({_ONE: np.asarray(layer.arrays["value"], np.float64)}) if layer.op == "constant" else None


# Layers as polynomials


def _value(graph: Graph, layer: Layer, known: list[_Value], groups: _Groups) -> _Value | None:
    """What a layer makes of what its inputs are; None where it is no such polynomial."""
    first = known[0]
    if layer.op in _MOVES:
        return _moved(layer, graph[layer.inputs[0]].shape, first)
    if layer.op == "scale":
        factor, shift = (np.asarray(layer.arrays.get(name, other), np.float64) for name, other in (("factor", 1), ("shift", 0)))
        scaled = _product(first, _Value({_ONE: factor}), layer.shape, groups)
        return scaled and _sum(scaled, _Value({_ONE: shift}), layer.shape, groups)
    if layer.op in ("add", "multiply"):
        join = _sum if layer.op == "add" else _product
        total: _Value | None = first
        for one in known[1:]:
            total = total and join(total, one, layer.shape, groups)
        return total
    if layer.op == "maximum":
        return _not_below(known)
    if layer.op == "relu":
        return first if layer.options["ceiling"] is None and _is_positive(first) else None
    if layer.op == "function":
        return _function(layer, first, groups)
    axes = _averaged(graph, layer)
    if axes is None:
        return None
    shape = graph[layer.inputs[0]].shape
    count = prod(shape[axis] for axis in axes)
    divisor = (1 if layer.options["kind"] == "sum" else count) if layer.op == "reduce" else layer.options["divisor"] or count
    return _mean(first, shape, axes, groups, count / divisor)


def _moved(layer: Layer, shape: tuple[int, ...], value: _Value) -> _Value:
    def move(array: Any) -> Any:
        return apply(layer, [torch.tensor(np.broadcast_to(array, shape))[None]])[0].numpy()

    terms = {powers: one if one.size == 1 else move(one) for powers, one in value.terms.items()}
    return replace(value, terms=terms, at=None if value.at is None else move(value.at))


def _together(a: _Value, b: _Value, shape: tuple[int, ...], groups: _Groups) -> tuple[bool, Places | None]:
    """Whether two values are of the same x or group at each place of what joins them, and of which."""
    if a.at is None or b.at is None:
        one = b.at if a.at is None else a.at
        return True, None if one is None else np.broadcast_to(one, shape)
    if a.root and b.root and a.root != b.root:
        return False, None
    both = a.has_x and b.has_x
    left, right = (a.at, b.at) if both else (groups.where(a), groups.where(b))
    assert left is not None
    assert right is not None
    whole = b.at if b.has_x else a.at
    return bool((left == right).all()), np.broadcast_to(whole, shape)


def _settled(terms: Mapping[Powers, Floats], a: _Value, b: _Value, at: Places | None, groups: _Groups) -> _Value | None:
    kept = {powers: one for powers, one in terms.items() if np.any(one)} or {_ONE: np.zeros(1)}
    if any(x + mean > 2 or squares > 1 or abs(root) > 2 for x, mean, squares, root in kept):
        return None
    varied = any(powers[0] for powers in kept)
    at = groups.of[at] if at is not None and (a.has_x or b.has_x) and not varied else at
    return _Value(kept, at, a.root or b.root)


def _sum(a: _Value, b: _Value, shape: tuple[int, ...], groups: _Groups) -> _Value | None:
    fits, at = _together(a, b, shape, groups)
    terms = dict(a.terms)
    for powers, one in b.terms.items():
        total = np.asarray(terms.get(powers, 0.0) + one, np.float64)
        rounding = _SAME * np.maximum(np.abs(one), np.abs(terms.get(powers, 0.0)))
        terms[powers] = np.where(np.abs(total) <= rounding, 0.0, total)
    return _settled(terms, a, b, at, groups) if fits else None


def _product(a: _Value, b: _Value, shape: tuple[int, ...], groups: _Groups) -> _Value | None:
    fits, at = _together(a, b, shape, groups)
    terms: dict[Powers, Floats] = {}
    for p, one in a.terms.items():
        for q, two in b.terms.items():
            powers = (p[0] + q[0], p[1] + q[1], p[2] + q[2], p[3] + q[3])
            terms[powers] = np.asarray(terms.get(powers, 0.0) + one * two, np.float64)
    return _settled(terms, a, b, at, groups) if fits else None


def _mean(value: _Value, shape: tuple[int, ...], axes: tuple[int, ...], groups: _Groups, times: float) -> _Value | None:
    """The mean over axes, so many times, of a value of that shape; each must be over one whole group, or within one."""
    if value.at is None:
        return None
    at = groups.where(value)
    assert at is not None
    of = at.min(axis=axes, keepdims=True)
    if (of != at).any() or (value.has_x and not _is_whole(value.at, axes, of, groups)):
        return None
    terms: dict[Powers, Floats] = {}
    for (x, mean, squares, root), one in value.terms.items():
        powers = (0, mean + x % 2, squares + x // 2, root)
        whole = np.broadcast_to(one, shape)
        if x and (whole != whole.min(axis=axes, keepdims=True)).any():
            return None
        part = one if one.size == 1 else whole.mean(axis=axes, keepdims=True)
        terms[powers] = np.asarray(terms.get(powers, 0.0) + part * times, np.float64)
    return _Value(terms, of, value.root)


def _is_whole(at: Places, axes: tuple[int, ...], of: Places, groups: _Groups) -> bool:
    """Whether the places along axes are all those of the group, each once."""
    kept = [axis for axis in range(at.ndim) if axis not in axes]
    rows = at.transpose(*kept, *axes).reshape(of.size, -1)
    return rows.shape[1] == groups.members.shape[1] and bool((np.sort(rows, axis=1) == groups.members[of.ravel()]).all())


def _function(layer: Layer, value: _Value, groups: _Groups) -> _Value | None:
    name, values = layer.options["name"], layer.options["values"]
    power = values[0] if name == "power" else _POWERS.get(name)
    if name == "abs":
        return value if _is_positive(value) else None
    if power is None:
        return None
    if power == 2.0:
        return _product(value, value, layer.shape, groups)
    rooted = _rooted(value)
    if rooted is None:
        return None
    factor, exponent, root = rooted
    raised = exponent * power
    whole = raised == int(raised) and abs(raised) <= 2
    return _Value({(0, 0, 0, int(raised)): factor**power}, value.at, root) if whole else None


def _rooted(value: _Value) -> tuple[Floats, int, tuple[str, float]] | None:
    """Factor, power and kind of a value that is a power of an inverse root of a variance, or mean square, plus epsilon."""
    (powers, factor), *others = value.terms.items()
    if not others and powers[:3] == (0, 0, 0) and powers[3] and value.root and (factor > 0).all():
        return factor, powers[3], value.root
    if not set(value.terms) <= {_SQUARES, _MEAN_SQUARED, _ONE}:
        return None
    squares, mean, more = (_number(value.terms.get(key)) for key in (_SQUARES, _MEAN_SQUARED, _ONE))
    if squares is None or mean is None or more is None or squares <= 0 or more < 0:
        return None
    if mean and abs(mean + squares) > _SAME * squares:
        return None
    return np.array([squares]), -2, ("layer_norm" if mean else "rms_norm", more / squares)


def _number(values: Floats | None) -> float | None:
    """The number that all values are; None where they differ."""
    if values is None:
        return 0.0
    return float(values.flat[0]) if (values == values.flat[0]).all() else None


def _is_positive(value: _Value) -> bool:
    """Whether a value is never below 0, so that a bound at 0 does nothing."""
    return _rooted(value) is not None


def _not_below(known: list[_Value]) -> _Value | None:
    """A maximum with constants that never win."""
    varied = [one for one in known if one.at is not None]
    bounds = [one.terms.get(_ONE, np.zeros(1)) for one in known if one.at is None]
    return varied[0] if len(varied) == 1 and all((one <= 0).all() for one in bounds) and _is_positive(varied[0]) else None


# The norm


def _is_norm(value: _Value, base: Layer) -> bool:
    if value.root is None or value.at is None or value.at.size != prod(base.shape) or _NORMED not in value.terms:
        return False
    kind, weight = value.root[0], value.terms[_NORMED]
    if set(value.terms) - {_ONE} != ({_NORMED, _SHIFT} if kind == "layer_norm" else {_NORMED}):
        return False
    less = kind == "rms_norm" or bool((np.abs(weight + value.terms[_SHIFT]) <= _SAME * np.abs(weight)).all())
    return less and bool((value.at.ravel() == np.arange(value.at.size)).all())


def _written(layer: Layer, value: _Value, base: Layer, axes: tuple[int, ...]) -> list[Layer]:
    """The norm as layers, the last with the name of the layer that it replaces."""
    assert value.root is not None
    kind, epsilon = value.root
    whole = {"weight": value.terms[_NORMED], "bias": value.terms.get(_ONE, np.zeros(1))}
    rank = len(layer.shape)
    arrays = {name: _short(array, rank) for name, array in whole.items() if (array != (name == "weight")).any()}
    options = {"axes": axes, "epsilon": epsilon}
    if layer.shape == base.shape:
        return [Layer(layer.name, kind, (base.name,), layer.shape, arrays, options, layer.where)]
    names = [f"{layer.name}.norm", f"{layer.name}.norm.moved"]
    affine = {{"weight": "factor", "bias": "shift"}[name]: array for name, array in arrays.items()}
    return [
        Layer(names[0], kind, (base.name,), base.shape, {}, options, layer.where),
        Layer(names[1], "reshape", (names[0],), layer.shape, where=layer.where),
        Layer(layer.name, "scale", (names[1],), layer.shape, affine, {}, layer.where),
    ]


def _short(array: Floats, rank: int) -> NDArray[np.float32]:
    """The array with as many axes as its layer, axes of equal entries reduced to one."""
    array = array.reshape((1,) * (rank - array.ndim) + array.shape) if array.ndim <= rank else array.reshape((1,) * rank)
    for axis in range(rank):
        first = array.take([0], axis)
        array = first if (array == first).all() else array
    return array.astype(np.float32)
