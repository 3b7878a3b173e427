"""A converted network whose inputs are the events themselves. Knows sources and networks; knows nothing of recordings."""

from __future__ import annotations

from dataclasses import replace

from neuro.encoding import source_of
from neuro.errors import InputError
from neuro.network import Network
from neuro.neurons import Source

_REMEDY = "Calibrate with shares of steps (spikes.mean(axis=1)) in which one pixel is 1, and convert with input='spikes'"


def driven_by_events(network: Network) -> Network:
    """The network with the camera in place of its input neurons: spikes come from outside at their steps, and cost no neurons.

    It must have been converted with `input="spikes"` from shares of steps in which a pixel sent an event, so that a spike at
    every step stands for 1. Raises InputError where it was not: its answers would be off by that factor.
    """
    sources = network.sources
    if len(sources) != 1:
        raise InputError("network", f"it has {len(sources)} sources", "Use a network with one input")
    (camera,) = sources
    source = source_of(camera)
    if source.code not in ("rate", "signed") or source.scale is None or source.twin:
        fact = f"its source is {source.code!r}{' of two halves' if source.twin else ''}, not input neurons that spike"
        raise InputError(f"population {camera.name!r}", fact, _REMEDY)
    if abs(source.scale * source.levels - 1) > 1e-6:
        fact = f"a spike at every step stands for {source.scale * source.levels:.4g}, not for 1"
        raise InputError(f"population {camera.name!r}", fact, _REMEDY)
    plain = replace(camera, neuron=Source(levels=1, start_step=source.start_step))
    return replace(network, populations=tuple(plain if p is camera else p for p in network.populations))
