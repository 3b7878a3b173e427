"""Network -> the blocks of a lava-dl file, where the layout can hold it: a chain of layers of Lava's neurons.

What it cannot hold is refused by population.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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
    return _WRITERS[type(neuron)].told(neuron, layer) if type(neuron) in _WRITERS else []


def _layer(projection: Projection, inner: list[Projection], before: Population, p: Population, where: str) -> list[Block]:
    kinds = {type(projection), *(type(q) for q in inner)}
    if kinds == {Conv2d} and not inner and len(p.shape) == 3:
        blocks: list[Block] = []
        form = {**_window(projection, where), "shape": np.array(p.shape)}
    elif kinds == {Dense} and all(q.delay == projection.delay for q in inner):
        blocks, form = _dense(projection, inner, before, p, where)
    else:
        kind = type(projection).__name__
        raise FormatError(
            where, f"a {kind}, or what leads from it to itself, has no block", "Use Conv2d and Dense, with one delay"
        )
    return [*blocks, {**form, **_delay(projection), **_bias(p, where), **_neuron(p.neuron, where)}]


def _dense(projection: Any, inner: list[Any], before: Population, p: Population, where: str) -> tuple[list[Block], Block]:
    if len(p.shape) != 1:
        raise FormatError(where, f"its shape is {p.shape}, a dense block has one axis", "Give it one axis")
    flatten = [{"type": "flatten", "shape": np.array([before.size, 1, 1])}] if len(before.shape) > 1 else []
    weight = {"weight": projection.weights.T.astype(np.float32)}
    sizes = {"inFeatures": before.size, "outFeatures": p.size, "shape": np.array([p.size, 1, 1])}
    form: Block = {"type": "dense_rec", "weight_rec": inner[0].weights.T.astype(np.float32)} if inner else {"type": "dense"}
    return flatten, {**form, **sizes, **weight}


def _window(conv: Any, where: str) -> Block:
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
    if type(p.neuron) not in _WRITERS:
        return {}
    bias, exponent = _WRITERS[type(p.neuron)].bias(p.neuron)
    values = np.asarray(bias, np.int64)
    if (values & ((1 << exponent) - 1)).any():
        raise FormatError(where, f"its bias is no multiple of 2^{exponent}", "Round it")
    mantissas = values >> exponent
    if not mantissas.any():
        return {}
    full = np.broadcast_to(mantissas, p.shape)
    alike = (full == full[(slice(None), *(slice(0, 1),) * (full.ndim - 1))]).all()
    return {"bias": full.reshape(p.shape[0], -1)[:, 0] if alike else full.copy()}


def _neuron(neuron: Neuron, where: str) -> Block:
    found = _WRITERS[type(neuron)].block(neuron, where) if type(neuron) in _WRITERS else None
    if found is None:
        raise FormatError(where, f"lava-dl has no word for its {type(neuron).__name__} with these settings", _HOLDS)
    return {f"neuron/{name}": value for name, value in found.items()}


# How each model is written


@dataclass(frozen=True)
class _Writer:
    """block: its fields, or None where lava-dl has no word for its settings. bias: values, and the exponent of their unit. told:
    what a reader must be told, given the number of its layer."""

    block: Callable[[Any, str], Block | None]
    bias: Callable[[Any], tuple[Any, int]] = lambda neuron: (0, 0)
    told: Callable[[Any, int], list[str]] = lambda neuron, layer: []


def _cuba_lif(neuron: Any, where: str) -> Block:
    found = {"type": "LOIHI", "iDecay": neuron.current_decay + 1, "vDecay": neuron.voltage_decay, "vThMant": neuron.threshold}
    return {**found, "refDelay": neuron.refractory}


def _cuba_lif_told(neuron: Any, layer: int) -> list[str]:
    every = neuron.reset_interval
    return [] if every is None else [f"read it with reset_interval={every}, reset_offset={(neuron.reset_offset - layer) % every}"]


def _delta(neuron: Any, where: str) -> Block | None:
    if (neuron.spike_exponent, neuron.state_exponent) != (EXPONENT, EXPONENT):
        return None
    return {"type": "SDNN", "activation": "relu", "vThMant": neuron.threshold, "messageBits": neuron.message_bits}


def _sigma_delta(neuron: Any, where: str) -> Block | None:
    found = _delta(neuron, where)
    if found and not neuron.rectified:
        raise FormatError(where, "its activation is not rectified", "Use rectified=True")
    return found


def _delta_told(neuron: Any, layer: int) -> list[str]:
    return ["read it with corrected=True"] if neuron.corrected else []


def _readout(neuron: Any, where: str) -> Block | None:
    if neuron.doubling or neuron.average or np.any(neuron.offset) or neuron.potential_bits != 31:
        return None
    if np.all(np.asarray(neuron.scale) == 1.0):
        return {"type": "SDNN", "sigma_output": True}
    if np.all(np.asarray(neuron.scale) == float(1 << EXPONENT)):
        return {}
    raise FormatError(where, "its scale is neither 1 (sigma) nor 64 (a current)", "Use one of them")


_WRITERS: dict[type[Neuron] | type[None], _Writer] = {
    CubaLif: _Writer(_cuba_lif, lambda n: (np.asarray(n.bias, np.int64) << n.bias_exponent, EXPONENT), _cuba_lif_told),
    SigmaDelta: _Writer(_sigma_delta, lambda n: (n.initial_potential, 2 * EXPONENT), _delta_told),
    Delta: _Writer(_delta, told=_delta_told),
    Readout: _Writer(_readout),
}
