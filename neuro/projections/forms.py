"""Forms of a projection: every window as the general two-dimensional convolution, and a convolution in its most special form.

The one place where a special form is chosen. It is taken only where the general form made of it again equals the
convolution in every field, so an option that the special form cannot hold keeps it from being taken. Knows no chip.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import prod
from typing import cast

from neuro.projections.base import Projection
from neuro.projections.conv1d import Conv1d
from neuro.projections.conv2d import Conv2d
from neuro.projections.one_to_one import OneToOne
from neuro.projections.sum_pool2d import MAX_WINDOW, SumPool2d
from neuro.windows import Shape


def as_convolution(projection: Projection, source: Shape, target: Shape) -> Conv2d | None:
    """The same synapses as a convolution over (channels, height, width), 1 high for (channels, length); None where there is none.

    `source` and `target` are the shapes of the populations. Windows have this form, and one-to-one projections between equal
    shapes of two or three axes.
    """
    return cast(Conv2d | None, projection.convolution(source, target))  # the base class of Conv2d cannot name it


def most_special(conv: Conv2d | Conv1d) -> Projection:
    """The same synapses in the kind that stores the fewest weights: OneToOne, SumPool2d, or the convolution itself."""
    channels, per_group = conv.weights.shape[:2]
    if per_group != 1 or conv.groups != channels:
        return conv
    general = replace(conv, exponent=0).convolution((), ())
    kernel = general.weights.shape[2:]
    dilation = tuple(d if k > 1 else 1 for d, k in zip(general.dilation, kernel, strict=True))  # type: ignore[arg-type]  # a pair, settled
    general = replace(general, dilation=dilation)  # type: ignore[arg-type]  # a kernel of one place has none
    for special in _candidates(general, two=conv.weights.ndim == 4):
        if as_convolution(special, (channels, 1, 1), (channels, 1, 1)) == general:
            return replace(special, exponent=conv.exponent)  # type: ignore[type-var]  # every kind is a dataclass
    return conv


def _candidates(conv: Conv2d, two: bool) -> Iterator[Projection]:
    """Special forms that might hold a convolution of one channel each; `two`: over images of two axes."""
    values, kernel = conv.weights.ravel(), (conv.weights.shape[2], conv.weights.shape[3])
    alike = bool((values == values[:1]).all())
    if prod(kernel) == 1:
        yield OneToOne(conv.source, conv.target, int(values[0]) if alike else values, delay=conv.delay, port=conv.port)
    if alike and two and prod(kernel) <= MAX_WINDOW:
        yield SumPool2d(
            conv.source, conv.target, kernel, conv.stride, conv.padding, int(values[0]), conv.delay, conv.dilation, conv.port
        )  # fmt: skip
