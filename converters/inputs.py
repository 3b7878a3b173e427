"""How samples enter a spiking network: which source, with which grid of integers. Knows codes; knows no layers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from converters.codes import row_of
from neuro.errors import ConversionError
from neuro.neurons import Source

PAYLOAD_BITS = 12  # of a graded input that is on no coarser grid of its own; images mostly have 8


def input_source(samples: NDArray[np.float32], code: str, timesteps: int, how: str) -> Source:
    """The source that carries inputs like the samples.

    "graded" (and "auto"): one message with the value; "spikes": input neurons that fire in the network's own code, two for
    each value where values may be negative and spikes may not; "ideal": the value itself at every step, as simulators do it.
    """
    row = row_of(code)
    largest, negative = float(np.abs(samples).max()), bool((samples < 0).any())
    if how == "spikes":
        if row.source is None:
            raise ConversionError("input='spikes'", f"the {code} code sends payloads, not spikes", "Use input='graded' or 'auto'")
        return row.source(largest, negative, timesteps)
    held = how == "ideal" and row.counts
    coarse = 127 if negative else 255
    step = grid_step(samples, coarse)
    levels = 2 ** (PAYLOAD_BITS - negative) - 1 if step is None else coarse
    return Source("held" if held else "once", step or largest / levels, levels)


def grid_step(samples: NDArray[np.float32], levels: int) -> float | None:
    """The spacing of values that lie on an even grid of at most `levels` steps from zero (images, counts), else None."""
    if len(np.unique(np.abs(samples[0]))) > levels + 1:
        return None
    values = np.unique(np.abs(samples))
    if len(values) > levels + 1:
        return None
    step = float(np.diff(values, prepend=0.0 if values[0] else values[0])[values > 0].min())
    multiples = values / step
    on_grid = multiples.max() <= levels + 0.5 and np.abs(multiples - np.rint(multiples)).max() < 1e-3
    return float(values[-1] / np.rint(multiples[-1])) if on_grid else None
