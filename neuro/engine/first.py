"""Whether a run is over sooner in plain numpy than its kernels are compiled, and how many samples that takes together.

Knows networks and what the reference engine costs; knows nothing of kernels.
"""

from __future__ import annotations

from neuro.compiled import goes_without
from neuro.engine.advance import advance
from neuro.engine.estimate import BLOCK_BYTES, BLOCK_SAMPLES, Estimate
from neuro.network import Network

_COMPILING_S = 6.0  # that the kernels of the smallest runs take
_CALLS_S, _UPDATE_S, _SYNAPSE_S = 1e-4, 4e-8, 2e-9  # of a population's step, of a neuron in it, of a synapse
_WORDS = 8  # of a neuron, beside one for each step


def together(network: Network, steps: int) -> int:
    """Samples that the reference engine takes at once for a run that goes without kernels."""
    each = sum(p.size for p in network.populations) * (steps + _WORDS) * 8
    return max(1, min(BLOCK_SAMPLES, BLOCK_BYTES // each))


def without_kernels(network: Network, needed: Estimate, samples: int, steps: int) -> bool:
    """Whether a run goes without kernels: none is compiled yet, and the whole run takes the reference engine less time."""
    if network.learns or not all(p.neuron.on_tensors or p.neuron.is_source for p in network.populations):
        return False  # sample by sample, or neuron by neuron
    calls = -(-samples // together(network, steps)) * steps * (len(network.populations) + len(network.projections))
    plain_s = calls * _CALLS_S + needed.updates * _UPDATE_S + needed.synapses * samples * steps * _SYNAPSE_S
    return goes_without(advance, plain_s, _COMPILING_S)
