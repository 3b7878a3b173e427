"""What to change where a conversion loses: for each cause, options of `convert` that can still be changed.

Knows the settings of a conversion; knows nothing of how losses are measured.
"""

from __future__ import annotations

from typing import Literal

from converters.codes import named
from converters.coding import CodeSettings
from neuro.codes import CODES

Cause = Literal["timing", "rounding", "clipping", "weights", "inputs"]
MOST_WEIGHT_BITS = 8
REFINE = "refine=150"
REFINE_TRINARY = "refine=1000"


def remedy(cause: Cause, threshold: str, settings: CodeSettings) -> str:
    """What to convert with instead, in order of how much it should help; never what the settings have already."""
    given = [option for option in _options(cause, threshold, settings) if option is not None]
    if given:
        return f"Convert with {', or with '.join(given)}"
    if cause == "clipping":
        return "Calibrate on samples that cover what the network will see"
    if cause == "inputs":
        return "Scale the input's channels to similar ranges before the network, and its first layer's weights by the inverse"
    return "Scale the inputs of this layer to similar ranges"


def _options(cause: Cause, threshold: str, settings: CodeSettings) -> list[str | None]:
    finer, window = () if settings.trinary else settings.row.finer, _window(settings)
    other = f"code={named(finer)}" if finer else None
    if cause == "timing":
        return [other, window]
    if cause == "rounding":
        return [window, other, REFINE_TRINARY if settings.trinary else REFINE]
    if cause == "clipping":
        return [window, "threshold='max'" if threshold != "max" else None]  # few levels clip to spend them well
    if cause == "inputs":
        return ["input='graded'" if settings.source.on_chip else None]
    if settings.trinary:
        return [REFINE_TRINARY, 'weights="integer"']
    bits = min(MOST_WEIGHT_BITS, settings.weight_bits + 2)
    return [f"weight_bits={bits}" if bits > settings.weight_bits else other or REFINE]


def _window(settings: CodeSettings) -> str | None:
    """More timesteps, or digits, where the code can have them."""
    more = min(CODES[settings.code].most_timesteps, 2 * settings.timesteps)
    return f"timesteps={more}" if more > settings.timesteps else None
