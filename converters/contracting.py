"""Products of two tensors by named axes (einsum), as reductions, permutations, reshapes and one product of matrices.

Whoever adds layers to a graph says how: `add(op, inputs, shape, **options)` -> the layer's name. Knows no files and no modules.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

Add = Callable[..., str]
Shapes = Callable[[str], tuple[int, ...]]


def contracted(add: Add, shape: Shapes, names: Sequence[str], letters: Sequence[Sequence[str]], out: Sequence[str]) -> str:
    """The layer of one or two factors, whose axes have names, summed over the axes that `out` has not.

    Sums over what only one factor has, then (shared, rows, inner) by (shared, inner, columns), then the order asked for.
    """
    summed = [
        _summed(add, shape, names[i], letters[i], {*out, *(letters[1 - i] if len(names) > 1 else ())}) for i in range(len(names))
    ]
    if len(names) == 1:
        ((name, own),) = summed
        return permuted(add, shape, name, [own.index(letter) for letter in out])
    (_, first), (_, second) = summed
    sizes = {letter: size for name, own in summed for letter, size in zip(own, shape(name), strict=True)}
    shared = [letter for letter in first if letter in second and letter in out]
    inner = [letter for letter in first if letter in second and letter not in out]
    rows, columns = [x for x in first if x not in second], [x for x in second if x not in first]
    count = [math.prod(sizes[x] for x in part) for part in (rows, inner, columns)]
    lead = tuple(sizes[x] for x in shared)
    parts = []
    for (name, own), order, form in zip(
        summed,
        ([*shared, *rows, *inner], [*shared, *inner, *columns]),
        ((*lead, count[0], count[1]), (*lead, count[1], count[2])),
        strict=True,
    ):
        parts.append(add("reshape", (permuted(add, shape, name, [own.index(x) for x in order]),), form))
    made = add("matmul", tuple(parts), (*lead, count[0], count[2]))
    full = [*shared, *rows, *columns]
    made = add("reshape", (made,), tuple(sizes[x] for x in full))
    return permuted(add, shape, made, [full.index(x) for x in out])


def permuted(add: Add, shape: Shapes, name: str, axes: Sequence[int]) -> str:
    """The layer with its axes in another order."""
    return add("permute", (name,), tuple(shape(name)[i] for i in axes), axes=tuple(axes))


def _summed(add: Add, shape: Shapes, name: str, own: Sequence[str], kept: set[str]) -> tuple[str, list[str]]:
    """The factor, summed over axes that nothing else names, and the axes that are left."""
    gone, before = tuple(k for k, letter in enumerate(own) if letter not in kept), shape(name)
    if gone:
        ones = tuple(1 if k in gone else n for k, n in enumerate(before))
        name = add("reduce", (name,), ones, kind="sum", axes=gone)
        name = add("reshape", (name,), tuple(n for k, n in enumerate(before) if k not in gone))
    return name, [letter for letter in own if letter in kept]
