"""The Brian2 engine: the same network as Brian2 equations, as a witness from outside. Needs the extra `brian2`.

Brian2 computes in doubles, which hold every integer here exactly: charges have 32 bits, and currents that could be held beyond
2^53 are refused. A step is one clock tick: charges that synapses brought
at the end of the tick before are integrated, thresholds are tested, spikes go out with delay - 1 ticks. Networks of
plain-spike neurons are accepted: IntegrateAndFire, CubaLif, Readout, and sources that send 0 or 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.encoding import encode
from neuro.engine.event import input_payloads
from neuro.engine.pace import Progress
from neuro.engine.plan import sums_of
from neuro.engine.records import Recorder
from neuro.errors import EngineError
from neuro.network import Network, Population
from neuro.neurons import CubaLif, IntegrateAndFire, Neuron, Readout

_EQUATIONS = "v : 1\nu : 1\nacc : 1\nbias : 1 (constant)\ndrive : 1\nrestless : 1"
_CLIP = "clip({0}, -{1}, {1})"


def simulate(network: Network, inputs: Mapping[str, NDArray[Any]], recorder: Recorder, progress: Progress | None = None) -> None:
    """Run every sample through Brian2 and write what happens into `recorder`."""
    try:
        import brian2
    except ImportError as error:
        raise EngineError(
            'engine "brian2"', f"Brian2 cannot be imported ({error})", "Install the extra: pip install neuro-emulator[brian2]"
        ) from None
    for population in network.populations:
        neuron = population.neuron
        stated = neuron.is_source or type(neuron) in _DYNAMICS
        if not stated or not neuron.plain:
            told = type(neuron).__name__ + (" with a reset or a refractory period" if stated else "")
            raise EngineError(f"population {population.name!r}", f"Brian2 does not run {told}", 'Use engine="event"')
    _check_currents(network, inputs, recorder)
    brian2.prefs.codegen.target = "numpy"
    for sample in range(recorder.samples):
        _simulate_sample(brian2, network, {name: array[sample : sample + 1] for name, array in inputs.items()}, recorder, sample)
        if progress:
            progress(sample + 1, recorder.samples)


def _check_currents(network: Network, inputs: Mapping[str, NDArray[Any]], recorder: Recorder) -> None:
    payloads = {p.name: p.neuron.messages for p in network.populations} | input_payloads(network, inputs)
    for population in network.populations:
        into = zip(network.projections, sums_of(network), strict=True)
        step = sum(s.bound(payloads[p.source]).step for p, s in into if p.target == population.name)
        if population.neuron.hold_input and step * recorder.steps > 1 << 53:
            raise EngineError(
                f"population {population.name!r}",
                f"a current of {step:,} more at each of {recorder.steps:,} steps is beyond Brian2's doubles",
                'Use fewer timesteps, or engine="event"',
            )


def _simulate_sample(brian2: Any, network: Network, inputs: Mapping[str, NDArray[Any]], recorder: Recorder, sample: int) -> None:
    tick = 1 * brian2.ms
    brian2.start_scope()
    clock = brian2.Clock(dt=tick)
    parts: list[Any] = []
    groups = {p.name: _group(brian2, p, inputs, recorder, clock, parts) for p in network.populations}
    for projection in network.projections:
        listed = projection.synapses(network[projection.source].shape, network[projection.target].shape)
        if listed.pre.size:
            synapses = brian2.Synapses(
                groups[projection.source], groups[projection.target], "w : 1", on_pre="acc_post += w", clock=clock
            )
            synapses.connect(i=listed.pre, j=listed.post)
            synapses.w = listed.weight.astype(float)
            synapses.delay = (projection.delay - 1) * tick
            parts.append(synapses)
    firing = [p for p in network.populations if not p.neuron.is_readout]
    spikes = {p.name: brian2.SpikeMonitor(groups[p.name]) for p in firing}
    watched = ["v", "drive", "restless"]
    neurons = [p for p in network.populations if not p.neuron.is_source]
    states = {p.name: brian2.StateMonitor(groups[p.name], watched, True, clock=clock, when="end") for p in neurons}
    brian2.Network(*groups.values(), *parts, *spikes.values(), *states.values()).run(recorder.steps * tick)
    fan_out = [
        np.bincount(p.synapses(network[p.source].shape, network[p.target].shape).pre, minlength=network[p.source].size)
        for p in network.projections
    ]
    raster = {name: _raster(monitor, recorder.steps, network[name].size, tick) for name, monitor in spikes.items()}
    raster |= {p.name: np.zeros((recorder.steps, p.size), np.int64) for p in network.readouts}
    for population in network.populations:
        _record(network, population, recorder, sample, raster, states.get(population.name), fan_out)


def _group(
    brian2: Any, p: Population, inputs: Mapping[str, NDArray[Any]], recorder: Recorder, clock: Any, parts: list[Any]
) -> Any:
    """The Brian2 group of one population."""
    neuron = p.neuron
    if neuron.is_source:
        messages = encode(p, inputs[p.name], recorder.timesteps)[0]
        if messages.size and not ((messages == 0) | (messages == 1)).all():
            raise EngineError(
                f"population {p.name!r}", "Brian2 sends plain spikes only", "Pass inputs of 0 and 1, or another engine"
            )
        at, which = np.nonzero(messages)
        return brian2.SpikeGeneratorGroup(p.size, which, (at + neuron.start_step) * clock.dt, clock=clock)
    start, stop = neuron.start_step, neuron.start_step + neuron.active_steps(recorder.timesteps)
    window = f"int(t_in_timesteps >= {start} and t_in_timesteps < {stop})"
    threshold, reset, code = _DYNAMICS[type(neuron)](neuron)
    if neuron.is_readout:
        group = brian2.NeuronGroup(p.size, _EQUATIONS, clock=clock, method="exact")
    else:
        group = brian2.NeuronGroup(
            p.size, _EQUATIONS, threshold=f"{threshold} and {window} == 1", reset=reset, clock=clock, method="exact"
        )
    gated = "\n".join(f"{name} = {window} * ({value}) + (1 - {window}) * {name}" for name, value in code)
    parts.append(group.run_regularly(f"{gated}\nacc = 0", clock=clock, when="groups"))
    group.v = neuron.initial_state(p.shape)["v"].ravel().astype(float)
    group.bias = np.broadcast_to(np.asarray(neuron.bias, float), p.shape).ravel()
    return group


Dynamics = tuple[str, str, list[tuple[str, str]]]  # threshold, reset, and the assignments of one step in order
_RESTLESS = ("restless", "int(drive != 0 or v != 0)")


def _cuba_lif(neuron: CubaLif) -> Dynamics:
    decayed = "(sign({0}) * floor(abs({0}) * {1} / 4096))"
    u = f"{decayed.format('u', 4096 - neuron.current_decay - 1)} + acc * 64 + 8388608"
    v = f"{decayed.format('v', 4096 - neuron.voltage_decay)} + drive"
    steps = [
        ("u", f"({u}) % 16777216 - 8388608"),
        ("drive", f"u + bias * {1 << neuron.bias_exponent}"),
        _RESTLESS,
        ("v", _CLIP.format(v, (1 << 23) - 1)),
    ]
    return f"v > {neuron.threshold << 6}", "v = 0", steps


def _integrate_and_fire(neuron: IntegrateAndFire) -> Dynamics:
    drive = [("u", "u + acc"), ("drive", "u + bias")] if neuron.hold_input else [("drive", "acc + bias")]
    steps = [*drive, _RESTLESS, ("v", _CLIP.format("v + drive", (1 << (neuron.potential_bits - 1)) - 1))]
    return f"v >= {neuron.threshold}", f"v -= {neuron.threshold}" if neuron.subtracts else "v = 0", steps


def _readout(neuron: Readout) -> Dynamics:
    limit = (1 << (neuron.potential_bits - 1)) - 1
    v = f"v * {2 if neuron.doubling else 1} + drive"
    return "", "", [("drive", "acc + bias"), _RESTLESS, ("v", _CLIP.format(v, limit))]


_DYNAMICS: dict[type[Neuron], Callable[[Any], Dynamics]] = {
    CubaLif: _cuba_lif,
    IntegrateAndFire: _integrate_and_fire,
    Readout: _readout,
}


def _raster(monitor: Any, steps: int, size: int, tick: Any) -> NDArray[np.int64]:
    raster = np.zeros((steps, size), np.int64)
    raster[np.rint(np.asarray(monitor.t / tick)).astype(int), np.asarray(monitor.i)] = 1
    return raster


def _record(
    network: Network, p: Population, recorder: Recorder, sample: int, raster: dict[str, Any], state: Any, fan_out: list[Any]
) -> None:
    counts, fired, neuron = recorder.counts[p.name], raster[p.name], p.neuron
    window = slice(neuron.start_step, neuron.start_step + neuron.active_steps(recorder.timesteps))
    counts.messages[:] += fired.sum(axis=1)
    recorder.spikes[p.name][sample] = fired.sum(axis=0)
    recorder.keep("raster", p.name, sample, fired)
    if neuron.is_source:
        for name in ("updates", "driven", "restless"):
            getattr(counts, name)[window] += p.size * neuron.on_chip
        return
    counts.updates[window] += p.size
    counts.driven[window] += (np.asarray(state.drive)[:, window] != 0).sum(axis=0)
    counts.restless[window] += np.asarray(state.restless)[:, window].astype(np.int64).sum(axis=0)
    for projection, fan in zip(network.projections, fan_out, strict=True):
        if projection.target == p.name:
            arriving = np.zeros(recorder.steps, np.int64)
            arriving[projection.delay :] = (raster[projection.source] @ fan)[: max(0, recorder.steps - projection.delay)]
            counts.synops[window] += arriving[window]
    potentials = np.rint(np.asarray(state.v)).astype(np.int32)
    if p.name in recorder.potentials:
        recorder.potentials[p.name][sample] = potentials[:, -1]
    recorder.keep("traces", p.name, (sample, window), potentials.T[window])
