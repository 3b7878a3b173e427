"""Max pooling as populations, exact in every code. Knows windows and codes; knows no thresholds.

Counted spikes: max(C[t]) - max(C[t-1]) of cumulative counts is itself a spike; digits: one by one; payloads: one tap a step.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from converters.codes import named, row_of
from converters.coding import CodeSettings, EncodedPopulation, Sender
from converters.integers import projection
from converters.linear import Window, to_matrix
from converters.stages import Stage
from neuro.codes import CODES
from neuro.errors import ConversionError
from neuro.network import Population
from neuro.projections import Projection, Sparse
from neuro.windows import Shape, Sides


def encode_pool(stage: Stage, sender: Sender, settings: CodeSettings) -> tuple[EncodedPopulation, ...]:
    """A max pool as one population, or as rows and then columns where the taps of the whole window exceed the weight bits."""
    window = _window(stage)
    taps = int(np.prod(window.weight.shape[2:]))
    base = settings.row.pool_base
    if base is None:
        return (_in_turns(stage.name, window, sender, settings),)
    if base ** (taps - 1) <= settings.limit:
        return (_pool(stage.name, window, sender, settings),)
    rows, columns = _separate(window)
    if any(base ** (int(np.prod(w.weight.shape[2:])) - 1) > settings.limit for w in (rows, columns)):
        raise ConversionError(
            stage.layer.where or f"layer {stage.name!r}",
            f"its window of {window.weight.shape[2:]} needs weights up to {base}^{max(window.weight.shape[2:]) - 1}, "
            f"{settings.weight_bits} bits hold {settings.limit}",
            f"Pool in smaller windows, one after the other, or convert with code={named(_of_any_window())}",
        )
    first = _pool(f"{stage.name}.rows", rows, sender, settings)
    return (first, _pool(stage.name, columns, first.sender, settings))


def _of_any_window() -> tuple[str, ...]:
    """Codes whose max pools need no weights that grow with the window."""
    return tuple(code for code in CODES if row_of(code).pool_base in (None, 1))


def _window(stage: Stage) -> Window:
    """The pool as a depthwise window of ones."""
    (path,), o = stage.paths, stage.layer.options
    source: Shape = path.operator.source
    ones = np.ones((source[0], 1, *o["kernel"]))
    return Window(source, stage.shape, ones, tuple(o["stride"]), tuple(o["padding"]), tuple(o["dilation"]), source[0])


def _separate(window: Window) -> tuple[Window, Window]:
    """Along the last axis first, then along the others."""
    channels, dims = window.source[0], window.weight.ndim - 2
    none: Sides = ((0, 0),) * (dims - 1)
    ones = (1,) * (dims - 1)
    kernel, middle = window.weight.shape[2:], (*window.source[:-1], window.target[-1])
    rows = Window(
        window.source, middle, np.ones((channels, 1, *ones, kernel[-1])), (*ones, window.stride[-1]),
        (*none, window.padding[-1]), (*ones, window.dilation[-1]), channels,
    )  # fmt: skip
    columns = Window(
        middle, window.target, np.ones((channels, 1, *kernel[:-1], 1)), (*window.stride[:-1], 1),
        (*window.padding[:-1], (0, 0)), (*window.dilation[:-1], 1), channels,
    )  # fmt: skip
    return rows, columns


def _pool(name: str, window: Window, sender: Sender, settings: CodeSettings) -> EncodedPopulation:
    kernel = window.weight.shape[2:]
    taps, start = int(np.prod(kernel)), sender.ready + 1
    neuron, base = settings.row.pool(taps, start, settings), settings.row.pool_base
    assert base is not None  # else taps arrive in turns
    powers = float(base) ** np.arange(taps).reshape(kernel)
    weight = np.array(np.broadcast_to(powers, window.weight.shape))
    made = projection(sender.name, name, replace(window, weight=weight), start - sender.ready)
    return EncodedPopulation(Population(name, window.target, neuron), (made,), replace(sender, name=name, start=start, lag=0))


def _in_turns(name: str, window: Window, sender: Sender, settings: CodeSettings) -> EncodedPopulation:
    """Payloads: tap i of every window arrives i steps after the first."""
    taps = list(np.ndindex(*window.weight.shape[2:]))
    start = sender.ready + 1
    projections: list[Projection] = []
    for i, tap in enumerate(taps):
        only = np.zeros_like(window.weight)
        only[(slice(None), 0, *tap)] = 1
        matrix = to_matrix(replace(window, weight=only)).weight.tocoo()
        kept = matrix.data != 0
        parts = (matrix.row[kept], matrix.col[kept], matrix.data[kept].astype(np.int64))
        projections.append(Sparse(sender.name, name, parts, start - sender.ready + i))
    neuron = settings.row.pool(len(taps), start, settings)
    lag = len(taps) - 1
    return EncodedPopulation(
        Population(name, window.target, neuron), tuple(projections), replace(sender, name=name, start=start, lag=lag)
    )
