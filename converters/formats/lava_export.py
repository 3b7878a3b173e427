"""Network -> the blocks of a lava-dl file, where the layout can hold it: a chain of layers of Lava's neurons.

What it cannot hold is refused by population.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from converters.formats.lava_blocks import EXPONENT
from neuro.errors import FormatError
from neuro.network import Network, Population
from neuro.neurons import CubaLif, Delta, Neuron, Readout, SigmaDelta, Source
from neuro.projections import Conv2d, Dense, Projection

Block = dict[str, Any]
_HOLDS = "Use a chain of CubaLif or SigmaDelta layers, or Network.save"


def exported(network: Network) -> tuple[list[Block], list[str]]:
    """The blocks of a network, datasets by name, and what a reader must be told. Raises FormatError by population."""
    blocks: list[Block] = []
    notes: list[str] = []
    for k, p in enumerate(network.populations):
        where = f"population {p.name!r}"
        if p.neuron.start_step:
            raise FormatError(where, f"it starts at step {p.neuron.start_step}, layers of lava-dl at once", "Start it at step 0")
        if k == 0:
            blocks += _input(p, where)
            notes += _told(getattr(p.neuron, "neuron", None), 0)
            continue
        before = network.populations[k - 1]
        forward = [q for q in network.into(p.name) if q.source != p.name]
        inner = [q for q in network.into(p.name) if q.source == p.name]
        if len(forward) != 1 or len(inner) > 1 or forward[0].source != before.name:
            raise FormatError(where, "it is not fed by the population before it alone", _HOLDS)
        blocks += _layer(forward[0], inner, before, p, where)
        notes += _told(p.neuron, k)
    return blocks, list(dict.fromkeys(notes))


def _input(p: Population, where: str) -> list[Block]:
    source = p.neuron
    if not isinstance(source, Source) or source.code not in ("held", "driven") or source.scale is not None or source.twin:
        raise FormatError(
            where, "it is no source of integers or of driven neurons", 'Use Source() or Source("driven", neuron=...)'
        )
    shape = {"type": "input", "shape": np.array(p.shape)}
    return [shape if source.neuron is None else {**shape, **_neuron(source.neuron, where)}]


def _told(neuron: Neuron | None, layer: int) -> list[str]:
    """What the file does not hold of a neuron."""
    if isinstance(neuron, CubaLif) and neuron.reset_interval is not None:
        first = (neuron.reset_offset - layer) % neuron.reset_interval
        return [f"read it with reset_interval={neuron.reset_interval}, reset_offset={first}"]
    return ["read it with corrected=True"] if isinstance(neuron, SigmaDelta | Delta) and neuron.corrected else []


def _layer(projection: Projection, inner: list[Projection], before: Population, p: Population, where: str) -> list[Block]:
    flatten = [{"type": "flatten", "shape": np.array([before.size, 1, 1])}] if len(before.shape) > 1 else []
    if isinstance(projection, Conv2d) and not inner and len(p.shape) == 3:
        return [
            {
                **_window(projection, where),
                "shape": np.array(p.shape),
                **_delay(projection),
                **_bias(p, where),
                **_neuron(p.neuron, where),
            }
        ]
    if not isinstance(projection, Dense) or not all(isinstance(q, Dense) and q.delay == projection.delay for q in inner):
        kind = type(projection).__name__
        raise FormatError(
            where, f"a {kind}, or what leads from it to itself, has no block", "Use Conv2d and Dense, with one delay"
        )
    if len(p.shape) != 1:
        raise FormatError(where, f"its shape is {p.shape}, a dense block has one axis", "Give it one axis")
    weight = {"weight": projection.weights.T.astype(np.float32)}
    sizes = {"inFeatures": before.size, "outFeatures": p.size, "shape": np.array([p.size, 1, 1])}
    form: Block = {"type": "dense_rec", "weight_rec": inner[0].weights.T.astype(np.float32)} if inner else {"type": "dense"}
    return [*flatten, {**form, **sizes, **weight, **_delay(projection), **_bias(p, where), **_neuron(p.neuron, where)}]


def _window(conv: Conv2d, where: str) -> Block:
    sides: Any = conv.padding
    if any(first != last for first, last in sides):
        raise FormatError(where, f"its padding {sides} differs from side to side", "Pad both sides alike")
    sizes = {"inChannels": conv.weights.shape[1] * conv.groups, "outChannels": conv.weights.shape[0]}
    window = {"stride": np.array(conv.stride), "dilation": np.array(conv.dilation), "padding": np.array([s[0] for s in sides])}
    kernel = {"kernelSize": np.array(conv.weights.shape[2:]), "groups": conv.groups, "weight": conv.weights.astype(np.float32)}
    return {"type": "conv", **sizes, **window, **kernel}


def _delay(projection: Projection) -> Block:
    return {} if projection.delay == 1 else {"delay": np.array([projection.delay - 1])}


def _bias(p: Population, where: str) -> Block:
    """The bias mantissa of each channel or neuron, from units of 2^-6 weights, or of 2^-12."""
    neuron = p.neuron
    if isinstance(neuron, CubaLif):
        values, exponent = np.asarray(neuron.bias, np.int64) << neuron.bias_exponent, EXPONENT
    elif isinstance(neuron, SigmaDelta):
        values, exponent = np.asarray(neuron.initial_potential, np.int64), 2 * EXPONENT
    else:
        return {}
    if (values & ((1 << exponent) - 1)).any():
        raise FormatError(where, f"its bias is no multiple of 2^{exponent}", "Round it")
    mantissas = values >> exponent
    if not mantissas.any():
        return {}
    full = np.broadcast_to(mantissas, p.shape)
    alike = (full == full[(slice(None), *(slice(0, 1),) * (full.ndim - 1))]).all()
    return {"bias": full.reshape(p.shape[0], -1)[:, 0] if alike else full.copy()}


def _neuron(neuron: Neuron, where: str) -> Block:
    found: Block
    if isinstance(neuron, CubaLif):
        found = {"type": "LOIHI", "iDecay": neuron.current_decay + 1, "vDecay": neuron.voltage_decay, "vThMant": neuron.threshold}
        found["refDelay"] = neuron.refractory
    elif isinstance(neuron, SigmaDelta | Delta) and (neuron.spike_exponent, neuron.state_exponent) == (EXPONENT, EXPONENT):
        if isinstance(neuron, SigmaDelta) and not neuron.rectified:
            raise FormatError(where, "its activation is not rectified", "Use rectified=True")
        found = {"type": "SDNN", "activation": "relu", "vThMant": neuron.threshold, "messageBits": neuron.message_bits}
    elif (
        isinstance(neuron, Readout)
        and not (neuron.doubling or neuron.average or np.any(neuron.offset))
        and neuron.potential_bits == 31
    ):
        if np.all(np.asarray(neuron.scale) == 1.0):
            found = {"type": "SDNN", "sigma_output": True}
        elif np.all(np.asarray(neuron.scale) == float(1 << EXPONENT)):
            return {}
        else:
            raise FormatError(where, "its scale is neither 1 (sigma) nor 64 (a current)", "Use one of them")
    else:
        raise FormatError(where, f"lava-dl has no word for its {type(neuron).__name__} with these settings", _HOLDS)
    return {f"neuron/{name}": value for name, value in found.items()}
