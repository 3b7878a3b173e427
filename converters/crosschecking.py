"""The error of a network of rectified sums on samples that it was not calibrated on, by calibrating anew on three of four.

Weights are fitted to what populations send on calibration samples. Where small changes grow from layer to layer, a fit can hide
on these samples what rounding does to all others. Knows calibrated graphs; knows no options.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from converters.agreement import SAMPLES, VISIBLE, Agreement, error_of
from converters.building import CalibratedGraph, build
from converters.coding import CodeSettings
from neuro.errors import ConversionError
from neuro.graph import Graph

_HIDDEN = 2.0  # times the error on calibration samples, from which on what rounding explains is not to be seen in it;
_STEPPED = 4.0  # of codes that are stepped through, of which timing is only roughly known
_WARNED = 0.15  # error on new inputs, relative to the outputs' spread, from which on it is a warning,
_MUCH = 1.5  # times that error, from which on the other one is a warning
_OBSERVED = 128  # values of a channel, of all samples and places, by fewer of which its threshold says little of new inputs
_TURNS = 4  # of so many samples one is left to be measured on
_FEWEST = 8  # samples, of which such a part says anything


def crosschecked(found: Agreement, graph: Graph, calibrated: CalibratedGraph, settings: CodeSettings) -> Agreement:
    """The agreement with the float network `graph`, with the error on new inputs where that on calibration samples says little:
    where most thresholds and weights are chosen by a few values, or rounding explains an error that is visible, and many times as
    large."""
    if not calibrated.correct_bias or settings.trinary or len(calibrated.samples) < _FEWEST:
        return found
    seen = [len(calibrated.samples) * prod(stage.shape[1:]) for stage in calibrated.stages if stage.kind == "relu"]
    hidden = found.expected > max(VISIBLE, (_HIDDEN if settings.lossless else _STEPPED) * found.error)
    if not (hidden or (seen and np.median(seen) < _OBSERVED)):
        return found
    turn = np.arange(len(calibrated.samples)) % _TURNS
    most = CalibratedGraph(calibrated.graph, calibrated.samples[turn > 0], calibrated.threshold, True)
    others = calibrated.samples[turn == 0]
    some = others[np.linspace(0, len(others) - 1, min(SAMPLES, len(others))).astype(int)]
    try:
        new = error_of(build(most, settings), graph, some, settings)
    except ConversionError:  # three quarters are too few to calibrate on: nothing is known of new ones
        return found
    found = replace(found, estimate_on_new=new)
    if found.warning or new <= max(_WARNED, _MUCH * found.error):
        return found
    fact = f"new inputs may differ from the float network by an estimated {new:.2f} of the outputs' spread"
    why = "calibrated on three of four samples, the network does by that on the rest; on those that its weights are fitted to"
    return replace(found, warning=f"{fact}: {why} by {found.error:.2f}. Calibrate on more samples, and test it on others")
