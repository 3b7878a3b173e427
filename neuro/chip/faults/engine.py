"""A run on broken hardware: the network's own arithmetic step by step, with every fault of `neuro.chip.faults` where it strikes.

Without faults it does exactly what every engine does. Slower than the event engine, and it lists every synapse. Knows
placements and faults; knows nothing of energy or time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neuro.chip.chance import POTENTIALS, THRESHOLDS, Flips, Ints, flip_all, flips, key_of, mixed
from neuro.chip.counts import Counter, Counts
from neuro.chip.cutting.candidates import on_cores
from neuro.chip.faults.losses import Loss, loss_of, lost, take_away, without_dead
from neuro.chip.faults.memory import with_broken_weights
from neuro.chip.faultspec import Faults
from neuro.chip.placing.placement import Placement
from neuro.compiled import compiled
from neuro.encoding import encode
from neuro.engine.event import input_payloads
from neuro.engine.pace import Progress
from neuro.engine.plan import check_charges
from neuro.engine.records import Messages, Observer, Recorder, Run, listed
from neuro.engine.reference import flat
from neuro.engine.run import run
from neuro.errors import ChipError, EngineError
from neuro.network import Network, Population
from neuro.neurons import Neuron, State

MOST_SYNAPSES = 100_000_000  # that are listed one by one, 8 bytes each
_BLOCK_BYTES = 64 << 20


class SynapseLists(NamedTuple):
    """A projection's synapses by source neuron and core of the target.

    Neuron i sends the packets starts[i]:starts[i + 1]; packet k goes to cores[k] and visits the synapses
    bounds[k]:bounds[k + 1], which lead to `posts` with `weights`.
    """

    starts: Ints
    cores: Ints
    bounds: Ints
    posts: NDArray[np.uint32]
    weights: NDArray[np.int32]


@compiled
def deliver(
    messages: NDArray[np.int32], population: int, first: int, step: int, lists: SynapseLists, loss: Loss, charge: Ints
) -> int:
    """Add what arrives of the messages (samples, neurons) sent in a step to charge (samples, targets); returns the synapses
    visited."""
    visited = 0
    for s in range(messages.shape[0]):
        for i in range(messages.shape[1]):
            payload = np.int64(messages[s, i])
            if payload == 0:
                continue
            for k in range(lists.starts[i], lists.starts[i + 1]):
                if loss.any and lost(loss, population, first + s, step, i, lists.cores[k]):
                    continue
                for j in range(lists.bounds[k], lists.bounds[k + 1]):
                    charge[s, lists.posts[j]] += payload * lists.weights[j]
                visited += lists.bounds[k + 1] - lists.bounds[k]
    return visited


@compiled
def _shake(potentials: Ints, key: int, how: Flips, first: int) -> None:
    """Flip bits of potentials (samples, neurons)."""
    for s in range(len(potentials)):
        flip_all(potentials[s], mixed(key, first + s), how)


def synapse_lists(network: Network, placement: Placement) -> list[SynapseLists]:
    """The synapse lists of every projection. Raises EngineError where there are too many synapses to list."""
    if network.synapses > MOST_SYNAPSES:
        raise EngineError(
            "faults",
            f"{network.synapses:,} synapses would have to be listed one by one, the most is {MOST_SYNAPSES:,}",
            "Use faults of weights only, or a smaller network",
        )
    return [_synapse_list(network, placement, i) for i in range(len(network.projections))]


def _synapse_list(network: Network, placement: Placement, index: int) -> SynapseLists:
    projection = network.projections[index]
    source, target = network[projection.source], network[projection.target]
    synapses = projection.synapses(source.shape, target.shape)
    slices = placement.cuts[target.name].labels()[synapses.post]
    order = np.lexsort((slices, synapses.pre))
    pre, slices = synapses.pre[order], slices[order]
    begins = np.flatnonzero(np.append(True, (np.diff(pre) != 0) | (np.diff(slices) != 0))[: len(pre)])
    return SynapseLists(
        np.searchsorted(pre[begins], np.arange(source.size + 1)),
        placement.cores[target.name][slices[begins]],
        np.append(begins, len(pre)),
        synapses.post[order].astype(np.uint32),
        np.ascontiguousarray(synapses.weight[order], np.int32),
    )


class Broken:
    """A placed network on hardware with faults that strike while it runs. `network` has the weights that the memory holds."""

    def __init__(self, network: Network, placement: Placement, faults: Faults) -> None:
        self.network, self.faults = network, faults
        self.lists = synapse_lists(network, placement)
        self.number = {p.name: i for i, p in enumerate(network.populations)}
        self.loss = loss_of(placement, faults)
        self.alive = {p.name: self._alive(p, placement) for p in network.populations}
        self.neurons = {p.name: self._neuron(p) for p in network.populations}
        widths = {p.name: p.neuron.potential_bits for p in network.populations}
        self.flips = {name: flips(bits, faults.potential_flips) for name, bits in widths.items() if bits}

    def _alive(self, population: Population, placement: Placement) -> NDArray[np.bool_]:
        if not on_cores(population):
            return np.ones(population.size, np.bool_)
        return ~self.loss.dead[placement.core_map[population.name]]

    def _neuron(self, population: Population) -> Neuron:
        """The neuron's parameters, with a threshold for each neuron where thresholds are noisy."""
        neuron = flat(population)
        if not self.faults.threshold_noise or neuron.threshold is None:
            return neuron
        rng = np.random.default_rng(key_of(self.faults.seed, THRESHOLDS, self.number[population.name]))
        share = 1 + self.faults.threshold_noise * rng.standard_normal(population.size)
        noisy = np.maximum(1, np.rint(neuron.threshold * share)).astype(np.int64)
        return neuron.with_arrays(threshold=noisy)

    def simulate(
        self,
        inputs: Mapping[str, NDArray[Any]],
        recorder: Recorder,
        *,
        observe: Observer | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Run every sample and write what happens into `recorder`."""
        each = recorder.steps * sum(p.size for p in self.network.populations) * 4
        block = max(1, _BLOCK_BYTES // each)
        for first in range(0, recorder.samples, block):
            part = {name: array[first : first + block] for name, array in inputs.items()}
            sent = self._block(part, recorder, first)
            done = min(first + block, recorder.samples)
            if observe:
                observe(first, {name: listed(messages) for name, messages in sent.items()})
            if progress:
                progress(done, recorder.samples)

    def _block(self, inputs: Mapping[str, NDArray[Any]], recorder: Recorder, first: int) -> dict[str, NDArray[np.int32]]:
        samples = len(next(iter(inputs.values())))
        chosen = slice(first, first + samples)
        sent = {p.name: np.zeros((samples, recorder.steps, p.size), np.int32) for p in self.network.populations}
        for p in self.network.sources:
            messages = encode(p, inputs[p.name], recorder.timesteps) * self.alive[p.name]
            sent[p.name][:, p.neuron.start_step : p.neuron.start_step + messages.shape[1]] = messages
        state = {p.name: self._initial(p, samples) for p in self.network.populations}
        for t in range(recorder.steps):
            for p in self.network.populations:
                if not 0 <= t - p.neuron.start_step < p.neuron.active_steps(recorder.timesteps):
                    continue
                if p.neuron.is_source:
                    _count_source(recorder, p, t, samples, self.alive[p.name])
                else:
                    state[p.name] = self._step(p, state[p.name], sent, recorder, chosen, t)
        for p in self.network.populations:
            recorder.spikes[p.name][chosen] = (sent[p.name] != 0).sum(axis=1)
            recorder.counts[p.name].messages[:] += (sent[p.name] != 0).sum(axis=(0, 2))
            recorder.keep("raster", p.name, chosen, sent[p.name])
            if p.name in recorder.potentials and not p.neuron.is_source:
                recorder.potentials[p.name][chosen] = state[p.name][p.neuron.potential]
        return sent

    def _initial(self, p: Population, samples: int) -> State:
        state = p.neuron.initial_state(p.shape)
        return {name: np.tile(values.ravel() * self.alive[p.name], (samples, 1)) for name, values in state.items()}

    def _step(
        self,
        p: Population,
        before: State,
        sent: dict[str, NDArray[np.int32]],
        recorder: Recorder,
        chosen: slice,
        t: int,
    ) -> State:
        """One step of a population: what arrives, what it makes of it, what of that a fault destroys."""
        counts, alive, samples = recorder.counts[p.name], self.alive[p.name], chosen.stop - chosen.start
        charges = [np.zeros((samples, p.size), np.int64) for _ in range(p.neuron.port_count)]
        for projection, lists in zip(self.network.projections, self.lists, strict=True):
            if projection.target == p.name and t >= projection.delay:
                step, number = t - projection.delay, self.number[projection.source]
                messages = np.ascontiguousarray(sent[projection.source][:, step])
                counts.synops[t] += deliver(messages, number, chosen.start, step, lists, self.loss, charges[projection.port])
        given = charges[0] if len(charges) == 1 else tuple(charges)
        after, message, drive = self.neurons[p.name].advance(before, given, t - p.neuron.start_step)
        if not alive.all():
            after, message = {name: values * alive for name, values in after.items()}, message * alive
        sent[p.name][:, t] = message
        self._flip(p, after, chosen.start, t)
        counts.updates[t] += samples * np.count_nonzero(alive)
        counts.driven[t] += np.count_nonzero(drive[:, alive])
        counts.restless[t] += np.count_nonzero(((drive != 0) | (before[p.neuron.potential] != 0))[:, alive])
        recorder.keep("traces", p.name, (chosen, t), after[p.neuron.potential])
        return after

    def _flip(self, p: Population, state: State, first: int, t: int) -> None:
        if self.faults.potential_flips and p.name in self.flips:
            key = key_of(self.faults.seed, POTENTIALS, self.number[p.name], t)
            _shake(state[p.neuron.potential], key, self.flips[p.name], first)
            state[p.neuron.potential] *= self.alive[p.name]


@dataclass(frozen=True, slots=True)
class Harm:
    """What faults do to the runs of a placed network, and to what is counted of them."""

    placement: Placement
    faults: Faults
    loss: Loss

    @staticmethod
    def of(faults: Faults, placement: Placement, noc: str, engine: str) -> Harm:
        """The harm of faults that the chip can have, and that the network model and engine asked for can show."""
        _check(faults, placement, noc, engine)
        return Harm(placement, faults, loss_of(placement, faults))

    def run(self, network: Network, inputs: Mapping[str, NDArray[Any]], **how: Any) -> Run:
        """Run checked inputs through the placed network; options as for `neuro.run`."""
        return _run(self.placement, inputs, self.faults, **how)

    def take_away(self, counter: Counter, first: int, messages: dict[str, Messages]) -> None:
        """Take what was lost of one block of samples, the first of which is number `first`, away from a counter's sums."""
        take_away(counter, self.loss, first, messages)

    def without_dead(self, counts: Counts) -> Counts:
        """The counts without updates on dead cores, and what neurons compute in them."""
        return without_dead(counts, self.faults)


def _check(faults: Faults, placement: Placement, noc: str, engine: str) -> None:
    """Refuse faults that the chip cannot have, or that the network model or engine asked for cannot show."""
    faults.check(placement.chip)
    if placement.chip.core.axon_types and (faults.weight_flips or faults.stuck_weights):
        fact = "synapses of a crossbar share the weights of their neurons, faults of memory are modelled for weights of their own"
        raise ChipError(f"faults on chip {placement.chip.name!r}", fact, "Leave out weight_flips and stuck_weights")
    lossy = loss_of(placement, faults).any
    if placement.network.learns and (faults.strikes or lossy or faults.weight_flips or faults.stuck_weights):
        fact = "they strike weights and messages of a network that learns, which is not modelled"
        raise EngineError("faults", fact, "Break the network that was learned: run.learned.fixed()")
    if noc == "packet" and (faults.dead_links or lossy):
        raise ChipError("faults", "packets are not sent one by one through a mesh that loses them", 'Use noc="analytic"')
    if engine != "event" and (faults.strikes or lossy):
        raise EngineError(f"engine {engine!r}", "these faults strike in an engine of their own", 'Leave out engine="..."')


def _run(
    placement: Placement,
    inputs: Mapping[str, NDArray[Any]],
    faults: Faults,
    *,
    timesteps: int,
    engine: str = "event",
    threads: int | None = None,
    record: Iterable[str] = (),
    observe: Observer | None = None,
    progress: Progress | None = None,
) -> Run:
    """Run checked inputs through a placed network on a chip with faults. Where none strikes on the way, engines run as usual."""
    network = with_broken_weights(placement.network, placement.chip, faults)
    if not faults.strikes and not loss_of(placement, faults).any:
        how: dict[str, Any] = {"engine": engine, "threads": threads, "record": record, "progress": progress}
        return run(network, inputs, timesteps=timesteps, observe=observe, **how)
    check_charges(network, input_payloads(network, inputs))
    recorder = Recorder(network, len(next(iter(inputs.values()))), timesteps, record)
    Broken(network, placement, faults).simulate(inputs, recorder, observe=observe, progress=progress)
    return recorder.finish()


def _count_source(recorder: Recorder, p: Population, t: int, samples: int, alive: NDArray[np.bool_]) -> None:
    if p.neuron.on_chip:
        for name in ("updates", "driven", "restless"):
            getattr(recorder.counts[p.name], name)[t] += samples * np.count_nonzero(alive)
