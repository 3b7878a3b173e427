"""The reference engine: slow, plain, and the definition of what a Network does, spike for spike.

For each step, each population that is switched on: deliver what was sent `delay` steps ago, then integrate and fire; at the end
of a learning epoch, synapses change (`neuro.learning`), and act with their new weights from the next step on.
All arithmetic is int64 on whole arrays, of one sample unless it is told to take several together; nothing is clever. Messages
that would arrive outside the target's window are dropped and visit no synapse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.encoding import encode
from neuro.engine.pace import Progress
from neuro.engine.records import Observer, Recorder, listed
from neuro.errors import EngineError, NetworkError
from neuro.learning.progress import Learner
from neuro.network import Network, Population
from neuro.neurons import Neuron, State, Step
from neuro.neurons.integers import Int64s

Sent = dict[str, Int64s]  # messages sent so far, (samples, steps, neurons) per population


def simulate(
    network: Network,
    inputs: Mapping[str, NDArray[Any]],
    recorder: Recorder,
    progress: Progress | None = None,
    *,
    together: int = 1,
    observe: Observer | None = None,
) -> None:
    """Run every sample through the network and write what happens into `recorder`; `together`: samples at once, 1 if it learns;
    `observe` is called with the messages of each lot of them."""
    neurons = {p.name: flat(p) for p in network.populations}
    matrices = [p.to_sparse(network[p.source].shape, network[p.target].shape) for p in network.projections]
    learners = {
        i: Learner(p, network[p.source], network[p.target]) for i, p in enumerate(network.projections) if p.rule is not None
    }
    fan_out = [np.bincount(_pre(network, i), minlength=network[p.source].size) for i, p in enumerate(network.projections)]
    for first in range(0, recorder.samples, together):
        chosen = slice(first, min(first + together, recorder.samples))
        samples = chosen.stop - first
        sent = _sources(network, {name: array[chosen] for name, array in inputs.items()}, recorder)
        state = {p.name: neurons[p.name].initial_state((samples, p.size)) for p in network.populations}
        for learner in learners.values():
            learner.rest()
        for t in range(recorder.steps):
            for population in network.populations:
                neuron = neurons[population.name]
                elapsed = t - neuron.start_step
                if not 0 <= elapsed < neuron.active_steps(recorder.timesteps):
                    continue
                if neuron.is_source:
                    _record_source(recorder, chosen, t, population, sent[population.name][:, t])
                    continue
                charges = _gathered(network, population, sent, t, matrices, fan_out, recorder)
                before = state[population.name]
                after, message, drive = _step(population, neuron, before, charges, elapsed)
                state[population.name], sent[population.name][:, t] = after, message
                _record(recorder, chosen, t, population, before, after, message, drive)
            _end_epochs(network, learners, sent, t + 1, matrices, recorder)
        for name, potentials in recorder.potentials.items():
            if not neurons[name].is_source:
                potentials[chosen] = state[name][neurons[name].potential]
        if observe:
            observe(first, {p.name: listed(sent[p.name]) for p in network.populations if not p.neuron.is_readout})
        if progress:
            progress(chosen.stop, recorder.samples)
    if learners:
        learned = tuple(learners[i].learned() if i in learners else p for i, p in enumerate(network.projections))
        recorder.learned = replace(network, projections=learned)


def _gathered(
    network: Network, population: Population, sent: Sent, t: int, matrices: list[Any], fan_out: list[Any], recorder: Recorder
) -> list[Int64s]:
    """The charges that arrive at step t, one for each port."""
    shape = sent[population.name][:, t].shape
    charges = [np.zeros(shape, np.int64) for _ in range(population.neuron.port_count)]
    for i, projection in enumerate(network.projections):
        if projection.target == population.name and t >= projection.delay:
            messages = sent[projection.source][:, t - projection.delay]
            charges[projection.port] += messages @ matrices[i]
            recorder.counts[population.name].synops[t] += fan_out[i] @ np.count_nonzero(messages, axis=0)
    return charges


def _end_epochs(
    network: Network, learners: dict[int, Learner], sent: Sent, until: int, matrices: list[Any], recorder: Recorder
) -> None:
    """Change the synapses whose epoch ends before step `until`."""
    for i, learner in learners.items():
        if until % learner.rule.epoch == 0:
            _learn(network, learner, sent, until, recorder)
            matrices[i] = learner.matrix()


def _learn(network: Network, learner: Learner, sent: Sent, until: int, recorder: Recorder) -> None:
    """The epoch that ends before step `until`: what arrived and was fired in it, within the target's window."""
    projection, neuron = learner.projection, network[learner.projection.target].neuron
    steps = np.arange(until - learner.rule.epoch, until)
    on = (steps >= neuron.start_step) & (steps < neuron.start_step + neuron.active_steps(recorder.timesteps))
    before = arrived(sent[projection.source][0], steps, projection.delay) * on[:, None]
    behind = sent[projection.target][0, steps]
    given = {
        name: np.broadcast_to(arrived(sent[source][0], steps, 1), behind.shape)
        for name, source in learner.rule.third_factors.items()
    }
    found = learner.end_epoch(before, behind, given)
    recorder.learning[projection.name][until - 1] += np.count_nonzero(found)
    if projection.name in recorder.learning_by_neuron:
        recorder.learning_by_neuron[projection.name][until - 1] += np.bincount(learner.post[found], minlength=learner.sizes[1])


def arrived(sent: Int64s, steps: Int64s, delay: int) -> Int64s:
    """What arrives at some steps, (steps, neurons), of one sample's messages sent `delay` steps before; none before the first."""
    return np.where((steps >= delay)[:, None], sent[np.maximum(steps - delay, 0)], 0)


def _step(population: Population, neuron: Neuron, before: State, charges: list[Int64s], elapsed: int) -> Step:
    """One step of a population; what the model's own step does wrong is reported under the population's name."""
    try:
        return neuron.advance(before, charges[0] if len(charges) == 1 else tuple(charges), elapsed)
    except NetworkError as error:
        raise EngineError(f"population {population.name!r}", error.fact, error.remedy) from None


def flat(population: Population) -> Neuron:
    """The population's neuron with per-neuron parameters spread over a flat axis."""
    given = {name: getattr(population.neuron, name) for name in population.neuron.per_neuron}
    arrays = {name: np.broadcast_to(v, population.shape).ravel() for name, v in given.items() if np.ndim(v)}
    return population.neuron.changed(**arrays) if arrays else population.neuron


def _pre(network: Network, index: int) -> NDArray[np.int64]:
    projection = network.projections[index]
    return projection.synapses(network[projection.source].shape, network[projection.target].shape).pre


def _sources(network: Network, inputs: Mapping[str, NDArray[Any]], recorder: Recorder) -> Sent:
    samples = len(next(iter(inputs.values())))
    sent = {p.name: np.zeros((samples, recorder.steps, p.size), np.int64) for p in network.populations}
    for p in network.sources:
        messages = encode(p, inputs[p.name], recorder.timesteps)
        sent[p.name][:, p.neuron.start_step : p.neuron.start_step + messages.shape[1]] = messages
    return sent


def _record_source(recorder: Recorder, chosen: slice, t: int, population: Population, messages: Int64s) -> None:
    counts = recorder.counts[population.name]
    counts.messages[t] += np.count_nonzero(messages)
    recorder.spikes[population.name][chosen] += messages != 0
    recorder.keep("raster", population.name, (chosen, t), messages)
    if population.neuron.on_chip:
        for name in ("updates", "driven", "restless"):
            getattr(counts, name)[t] += messages.size


def _record(
    recorder: Recorder, chosen: slice, t: int, population: Population, before: State, after: State, message: Int64s, drive: Int64s
) -> None:
    name, counts = population.name, recorder.counts[population.name]
    counts.messages[t] += np.count_nonzero(message)
    counts.updates[t] += message.size
    counts.driven[t] += np.count_nonzero(drive)
    counts.restless[t] += np.count_nonzero((drive != 0) | (before[population.neuron.potential] != 0))
    recorder.spikes[name][chosen] += message != 0
    recorder.keep("raster", name, (chosen, t), message)
    recorder.keep("traces", name, (chosen, t), after[population.neuron.potential])
