"""What lies between two populations, as one linear operator: a shared window where that is exact, else a matrix.

Knows the linear layers of a Graph and how to compose them; knows no thresholds and no integers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from converters.operators import Matrix as Matrix
from converters.operators import Operator as Operator
from converters.operators import Window as Window
from converters.operators import with_data
from neuro.graph import Layer
from neuro.ops import OPS
from neuro.projections import Conv2d
from neuro.windows import Shape, Sides

Floats = NDArray[np.float64]
_KEPT = 1 << 17  # synapses of a window whose places are kept for others like it
_SHARED = 4  # neurons that have a row in common, on average, for it to be kept once


def identity(shape: Shape) -> Operator:
    """The operator that changes nothing."""
    if len(shape) not in (2, 3):
        return Matrix(shape, shape, sparse.eye_array(int(np.prod(shape)), format="csr"))
    return _same(shape)


@lru_cache(maxsize=64)
def _same(shape: Shape) -> Window:
    ones = (1,) * (len(shape) - 1)
    return Window(shape, shape, np.ones((shape[0], 1, *ones)), ones, ((0, 0),) * len(ones), ones, shape[0])


def follow(operator: Operator, layer: Layer, part: int = 0, before: tuple[Shape, ...] = ()) -> Operator:
    """The operator followed by a linear layer without its constants; `part` is which input of a concat it enters."""
    rule = FOLLOWED.get(layer.op)
    return _after_listed(operator, layer) if rule is None else rule(operator, layer, part, before)


def _after_listed(operator: Operator, layer: Layer) -> Operator:
    """By the entries that define the layer's op; layers of a network that read values as they are, are alike."""
    options = tuple(layer.options.items())
    if (
        layer.arrays
        or not _hashable(options)
        or int(np.prod(operator.target)) > _KEPT
        or operator is not identity(operator.target)
    ):
        return _listed_after(operator, layer)
    return _first_listed(layer.op, operator.target, layer.shape, options)


@lru_cache(maxsize=16)
def _first_listed(op: str, source: Shape, target: Shape, options: tuple[tuple[str, Any], ...]) -> Operator:
    return _listed_after(identity(source), Layer(op, op, ("x",), target, {}, dict(options)))


def _hashable(value: Any) -> bool:
    return all(map(_hashable, value)) if isinstance(value, tuple) else isinstance(value, str | int | float | None)


def _listed_after(operator: Operator, layer: Layer) -> Operator:
    listed = OPS[layer.op].listed
    assert listed is not None, f"no linear path leads through {layer.op}"
    matrix, (pre, post, weight) = _unshared(operator), listed(layer, operator.target)
    size = (matrix.weight.shape[1], int(np.prod(layer.shape)))
    if np.array_equal(post, np.arange(size[1])) and (weight == 1).all():  # it only rearranges values
        return Matrix(matrix.source, layer.shape, matrix.weight[:, pre])
    entries = sparse.csr_array((weight, (pre, post)), shape=size)
    return Matrix(matrix.source, layer.shape, matrix.weight @ entries)


def _unchanged(operator: Operator, layer: Layer, part: int, before: tuple[Shape, ...]) -> Operator:
    return operator


def _reshaped(operator: Operator, layer: Layer, part: int, before: tuple[Shape, ...]) -> Operator:
    return replace(_unshared(operator), target=layer.shape)


def _joined(operator: Operator, layer: Layer, part: int, before: tuple[Shape, ...]) -> Operator:
    axis = layer.options["axis"]
    start = sum(shape[axis] for shape in before[:part])
    sides = [(0, 0)] * len(layer.shape)
    sides[axis] = (start, layer.shape[axis] - start - operator.target[axis])
    return _placed(operator, tuple(sides), layer.shape)


def _padded(operator: Operator, layer: Layer, part: int, before: tuple[Shape, ...]) -> Operator:
    sides = layer.options["padding"]
    if isinstance(operator, Matrix) or any(sides[0]) or min(map(min, sides)) < 0:
        return _placed(operator, sides, layer.shape)
    return _windowed(operator, layer, part, before)


def _scaled(operator: Operator, layer: Layer, part: int, before: tuple[Shape, ...]) -> Operator:
    return times(operator, 1.0, layer.arrays.get("factor", np.ones(1)))


def _windowed(operator: Operator, layer: Layer, part: int, before: tuple[Shape, ...]) -> Operator:
    second = as_window(layer, operator.target)
    joined = _join(operator, second) if isinstance(operator, Window) else None
    result: Operator = joined or _product(_unshared(operator), _at_one_place(second) or to_matrix(second))
    if layer.op == "avg_pool" and layer.options["divisor"] is None and any(map(any, layer.options["padding"])):
        inside = to_matrix(second).weight.sum(axis=0)
        return times(result, 1.0, (1 / inside).reshape(layer.shape))
    return result


def as_window(layer: Layer, source: Shape) -> Window:
    """A convolution, pooling or padding layer as a window."""
    o = layer.options
    channels, ones = source[0], (1,) * (len(source) - 1)
    if layer.op == "conv":
        weight = np.asarray(layer.arrays["weight"], np.float64)
        return Window(source, layer.shape, weight, o["stride"], o["padding"], o["dilation"], o["groups"])
    if layer.op == "pad":
        return Window(source, layer.shape, np.ones((channels, 1, *ones)), ones, tuple(o["padding"][1:]), ones, channels)
    padded = any(map(any, o["padding"]))
    divisor = o["divisor"] or (1 if padded else int(np.prod(o["kernel"])))
    weight = np.full((channels, 1, *o["kernel"]), 1 / divisor)
    return Window(source, layer.shape, weight, o["stride"], o["padding"], ones, channels)


def times(operator: Operator, before: Any, after: Any) -> Operator:
    """The operator with factors on its inputs and outputs; each broadcasts to the shape there."""
    if isinstance(operator, Window):
        channels = [_per_channel(*given) for given in ((before, operator.source), (after, operator.target))]
        if channels[0] is not None and channels[1] is not None:
            out, per_group = operator.weight.shape[:2]
            group = np.arange(out) // (out // operator.groups)
            inputs = channels[0][group[:, None] * per_group + np.arange(per_group)]
            tail = (1,) * (operator.weight.ndim - 2)
            weight = operator.weight * (inputs * channels[1][:, None]).reshape(out, per_group, *tail)
            return Window(
                operator.source, operator.target, weight, operator.stride, operator.padding, operator.dilation, operator.groups
            )  # fmt: skip
    matrix = to_matrix(operator)
    pre, post = (_factors(value, shape) for value, shape in ((before, operator.source), (after, operator.target)))
    if matrix.rows is not None:
        first = np.unique(matrix.rows, return_index=True)[1]
        if (pre.ravel() == pre.ravel()[first][matrix.rows]).all():
            pre = pre.ravel()[first]
        else:
            matrix = _unshared(matrix)
    if not sparse.issparse(matrix.weight):
        weight = matrix.weight
        for factor in (pre.reshape(-1, 1), post.reshape(1, -1)):
            weight = weight if (factor == 1).all() else weight * factor
        return replace(matrix, weight=weight)
    weight = matrix.weight.tocsr()
    data = weight.data
    if not _is_one(before):
        data = data * np.repeat(pre.ravel(), np.diff(weight.indptr))
    if not _is_one(after):
        data = data * post.ravel()[weight.indices]
    return Matrix(matrix.source, matrix.target, with_data(weight, data.astype(np.float64)))


def _is_one(factor: Any) -> bool:
    return isinstance(factor, float) and factor == 1.0


def added(first: Operator, second: Operator) -> Operator:
    """The sum of two operators that are written alike."""
    if isinstance(first, Matrix) and isinstance(second, Matrix):
        return replace(_unshared(second), weight=first.whole + second.whole)
    return replace(second, weight=first.weight + second.weight)


def to_matrix(operator: Operator) -> Matrix:
    """The operator as an explicit matrix."""
    if isinstance(operator, Matrix):
        return operator
    two: Any = _as_2d(operator)  # of two axes
    small = two.weight.size * int(np.prod(two.target[1:])) <= _KEPT
    placed = (_kept if small else _listed)(
        two.source, two.target, two.weight.shape, two.stride, two.padding, two.dilation, two.groups
    )  # fmt: skip
    return Matrix(operator.source, operator.target, with_data(placed, two.weight.ravel()[placed.data]))


def _listed(source: Shape, target: Shape, shape: Shape, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    """The numbers of a window's weights as a sparse array (source neurons, target neurons)."""
    numbers = np.arange(1, int(np.prod(shape)) + 1).reshape(shape)
    listed = Conv2d("a", "b", numbers, stride, padding, dilation, groups).synapses(source, target)
    return sparse.csr_array(
        (listed.weight - 1, (listed.pre, listed.post)), shape=(int(np.prod(source)), int(np.prod(target)))
    )  # fmt: skip


_kept = lru_cache(maxsize=16)(_listed)  # layers of a network are alike


def _at_one_place(w: Window) -> Matrix | None:
    """A window of one place over an image of one as a plain matrix; None of any other."""
    if w.groups > 1 or int(np.prod(w.source[1:])) * int(np.prod(w.weight.shape[2:])) > 1 or int(np.prod(w.target[1:])) > 1:
        return None
    return Matrix(w.source, w.target, w.weight.reshape(w.weight.shape[:2]).T)


def _as_2d(w: Window) -> Window:
    if len(w.source) == 3:
        return w
    return Window(
        (w.source[0], 1, *w.source[1:]), (w.target[0], 1, *w.target[1:]), w.weight[:, :, None],
        (1, *w.stride), ((0, 0), *w.padding), (1, *w.dilation), w.groups,
    )  # fmt: skip


def _factors(value: Any, shape: Shape) -> Floats:
    return np.broadcast_to(np.asarray(value, np.float64), shape)


def _per_channel(value: Any, shape: Shape) -> Floats | None:
    """One factor per channel, or None where they differ within a channel."""
    given = np.asarray(value, np.float64)
    if given.size == 1:
        return np.full(shape[0], given.reshape(-1)[0])
    if given.shape == (shape[0],) + (1,) * (len(shape) - 1):
        return given.reshape(-1).copy()
    flat = _factors(given, shape).reshape(shape[0], -1)
    return flat[:, 0].copy() if (flat == flat[:, :1]).all() else None


def _product(first: Matrix, second: Matrix) -> Matrix:
    return Matrix(first.source, second.target, first.weight @ second.weight)


def _after_linear(operator: Operator, layer: Layer, part: int, before: tuple[Shape, ...]) -> Operator:
    matrix, weight = _unshared(operator), np.asarray(layer.arrays["weight"], np.float64).T
    outer = int(np.prod(layer.shape[:-1]))
    if outer > 1:
        second = sparse.kron(sparse.eye_array(outer), weight, format="csr")
    else:
        second = sparse.csr_array(weight) if _mostly_unread(matrix) else weight
    return Matrix(matrix.source, layer.shape, matrix.weight @ second)


def _mostly_unread(matrix: Matrix) -> bool:
    """Whether most source neurons lead nowhere, as those of all tokens but one: then zeros are not worth keeping."""
    weight = matrix.weight
    return bool(sparse.issparse(weight) and 2 * np.count_nonzero(np.diff(weight.tocsr().indptr)) <= weight.shape[0])


def after_shared(operator: Operator, layer: Layer) -> Matrix | None:
    """The operator followed by a fully connected layer, with rows shared by neurons that reach it alike; None where each reaches
    several of its inputs, or where few share."""
    plain = isinstance(operator, Matrix) and not sparse.issparse(operator.weight)
    if plain or layer.op != "linear" or len(layer.shape) != 1:
        return None
    matrix = to_matrix(operator).weight.tocsr()
    if (np.diff(matrix.indptr) != 1).any() or _SHARED * matrix.shape[1] > matrix.shape[0]:
        return None
    ways, rows = np.unique(np.stack([matrix.indices, matrix.data]), axis=1, return_inverse=True)
    if _SHARED * ways.shape[1] > len(rows):
        return None
    weight = np.asarray(layer.arrays["weight"], np.float64).T[ways[0].astype(np.intp)] * ways[1][:, None]
    return Matrix(operator.source, layer.shape, weight, rows.reshape(-1))


def _unshared(operator: Operator) -> Matrix:
    """The operator as a matrix with a row for each source neuron."""
    matrix = to_matrix(operator)
    return matrix if matrix.rows is None else Matrix(matrix.source, matrix.target, matrix.whole)


def _placed(operator: Operator, sides: Sides, target: Shape) -> Matrix:
    """The operator's outputs inside a larger (or, for negative sides, smaller) shape."""
    places = np.full([n + 2 * max(max(a, b), 0) for n, (a, b) in zip(operator.target, sides, strict=True)], -1)
    inner = tuple(slice(max(max(a, b), 0), max(max(a, b), 0) + n) for n, (a, b) in zip(operator.target, sides, strict=True))
    places[inner] = np.arange(int(np.prod(operator.target))).reshape(operator.target)
    outer = tuple(slice(i.start - a, i.start - a + n) for i, (a, _), n in zip(inner, sides, target, strict=True))
    order = places[outer].ravel()
    at = np.flatnonzero(order >= 0)
    select = sparse.csr_array((np.ones(at.size), (order[at], at)), shape=(int(np.prod(operator.target)), order.size))
    matrix = _unshared(operator)
    weight = matrix.weight
    if not sparse.issparse(weight) and order.size > 2 * weight.shape[1]:  # most of it would be zeros
        weight = sparse.csr_array(weight)
    return Matrix(matrix.source, target, weight @ select)


def _join(first: Window, second: Window) -> Window | None:
    """Two windows as one, or None where that would not be exact: where the second would read what lies beyond the first."""
    groups = _joined_groups(first, second)
    if groups is None:
        return None
    size, middle = first.source[1:], first.target[1:]
    parts = zip(size, middle, second.target[1:], first.stride, first.padding, first.dilation, first.weight.shape[2:],
                second.stride, second.padding, second.dilation, second.weight.shape[2:], strict=True)  # fmt: skip
    stride, padding, dilation, kernel = [], [], [], []
    for n, m, out, s1, (p1, _), d1, k1, s2, (p2, _), d2, k2 in parts:
        lowest, highest = -p2, (out - 1) * s2 - p2 + d2 * (k2 - 1)
        if lowest < 0 and -s1 - p1 + (k1 - 1) * d1 >= 0:
            return None  # the window just before the first one reaches into the image
        if highest >= m and m * s1 - p1 < n:
            return None  # the window just after the last one does
        k, d = ((k1 - 1) * d1 + (k2 - 1) * d2 * s1 + 1, 1) if k1 > 1 and k2 > 1 else (k2, d2 * s1) if k1 == 1 else (k1, d1)
        s, before = s1 * s2, p1 + s1 * p2
        after = max((out - 1) * s + d * (k - 1) + 1 - n - before, 0)
        stride.append(s)
        padding.append((before, after))
        dilation.append(d)
        kernel.append(k)
    weight = _joined_weight(first, second, tuple(kernel), groups)
    return Window(first.source, second.target, weight, tuple(stride), tuple(padding), tuple(dilation), groups)


def _joined_groups(first: Window, second: Window) -> int | None:
    channels = first.target[0]
    if first.groups == 1 and second.groups == 1:
        return 1
    if first.groups == first.source[0] == channels:
        return second.groups
    return first.groups if second.groups == channels == second.target[0] else None


def _joined_weight(first: Window, second: Window, kernel: tuple[int, ...], groups: int) -> Floats:
    """Sum over the taps of the second window of the first window's kernel, shifted."""
    a, b = first.weight, second.weight
    out, per_group = second.target[0], first.source[0] // groups
    if first.groups == first.source[0] == first.target[0] and groups == second.groups and a.size == len(a) and (a == 1).all():
        return b.copy()
    weight = np.zeros((out, per_group, *kernel))
    for tap in np.ndindex(*b.shape[2:]):
        factor = b[(slice(None), slice(None), *tap)]
        if groups == first.groups == second.groups == 1 and not first.groups == first.source[0] == first.target[0]:
            piece = np.einsum("om,mi...->oi...", factor, a)
        elif first.groups == first.source[0] == first.target[0]:
            group = np.arange(out) // (out // groups)
            piece = factor.reshape(out, per_group, *[1] * (a.ndim - 2)) * a[group[:, None] * per_group + np.arange(per_group), 0]
        else:
            piece = factor.reshape(out, 1, *[1] * (a.ndim - 2)) * a
        at = []
        for t, k1, k2, s1, d1, d2 in zip(
            tap, a.shape[2:], b.shape[2:], first.stride, first.dilation, second.dilation, strict=True
        ):
            at.append(
                slice(t * d2 * s1, t * d2 * s1 + (k1 - 1) * d1 + 1, d1)
                if k1 > 1 and k2 > 1
                else slice(t, t + 1)
                if k1 == 1
                else slice(None)
            )
        weight[(slice(None), slice(None), *at)] += piece
    return weight


FOLLOWED: dict[str, Callable[[Operator, Layer, int, tuple[Shape, ...]], Operator]] = {
    "identity": _unchanged,
    "add": _unchanged,
    "reshape": _reshaped,
    "concat": _joined,
    "pad": _padded,
    "linear": _after_linear,
    "scale": _scaled,
    "conv": _windowed,
    "avg_pool": _windowed,
}
