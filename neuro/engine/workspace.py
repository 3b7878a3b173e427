"""The memory of a block of samples while the event engine works on it: spike lists, neuron state, totals.

Everything is a flat arena, allocated once and reused for every block; the largest it can get is known before the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.compiled import compiled
from neuro.engine.lanes import HALF
from neuro.engine.plan import Plan
from neuro.engine.records import Messages
from neuro.engine.sent import SLACK
from neuro.engine.tables import HELD_LONG, U
from neuro.neurons import Neuron
from neuro.specification import IntArray

MOST_COUNTED = 2**16 - 1  # steps, with a message of each neuron in every one, that `counts` can hold


@dataclass(frozen=True, slots=True)
class Workspace:
    """`populations` is the plan's table with this workspace's offsets filled in."""

    plan: Plan
    samples: int
    steps: int
    timesteps: int
    traced: frozenset[int]
    populations: NDArray[Any]
    lists: NDArray[np.uint32]
    payloads: NDArray[np.int32]
    begins: NDArray[np.int64]
    ends: NDArray[np.int64]
    state: NDArray[np.int32]
    fresh: tuple[tuple[int, int, NDArray[np.int32]], ...]  # begin, length and initial values of each state variable
    counts: NDArray[np.uint16]  # right for at most MOST_COUNTED steps; see `sent`
    traces: NDArray[np.int32]
    base: list[int]  # the step of the first segments, which moves on in a stream
    arenas: tuple[NDArray[Any], ...]  # weights: the plan's, or a copy that learns

    @property
    def spikes(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Lists, payloads, and where segments begin and end."""
        return self.lists, self.payloads, self.begins, self.ends

    def reset(self) -> None:
        """Every neuron to its initial state, no messages, nothing counted."""
        for begin, length, values in self.fresh:
            if values.size == 1:
                self.state[begin : begin + length].fill(values[0])
            else:
                self.state[begin : begin + length].reshape(self.samples, -1)[:] = values
        self.begins[:] = 0
        self.ends[:] = 0
        self.counts[:] = 0

    def slice_of(self, index: int, field: str, arena: NDArray[Any], samples: int) -> NDArray[Any]:
        """(samples, neurons) of one population's arena, in memory order."""
        p = self.populations[index]
        return arena[p[field] : p[field] + samples * p["size"]].reshape(samples, -1)

    def sent(self, index: int, samples: int, first: int = 0, steps: int | None = None) -> NDArray[Any]:
        """How many messages each neuron sent, (samples, neurons in memory order), in `steps` steps from step `first` on.

        Of fewer steps than all only where nothing else was counted.
        """
        steps = self.steps if steps is None else steps
        if steps <= MOST_COUNTED:
            return self.slice_of(index, "count_at", self.counts, samples)
        counted = np.zeros((samples, int(self.populations[index]["size"])), np.int64)
        _count_each(self.populations[index], self.lists, self.begins, self.ends, first, steps, counted)
        return counted

    def messages(self, index: int, samples: int) -> Messages:
        """The messages of one population in C order of the user's shape."""
        p = self.populations[index]
        memory = self.plan.layouts[index].to_user(np.arange(int(p["size"])))
        total = int(_count(p, self.begins, self.ends, samples, self.steps))
        offsets = np.zeros(samples * self.steps + 1, np.int64)
        neurons, payloads = np.empty(total, np.int32), np.empty(total if p["payload"] else 0, np.int32)
        scratch = np.zeros(int(p["size"]), np.int32)
        _collect(p, *self.spikes, samples, self.steps, memory, scratch, offsets, neurons, payloads)
        return Messages(offsets, neurons, payloads if p["payload"] else None)

    def raster(self, index: int, samples: int, first: int = 0, steps: int | None = None) -> NDArray[np.int32]:
        """Payloads (samples, steps, neurons in C order) of one population, in some steps from the workspace's step `first` on."""
        p = self.populations[index]
        raster = np.zeros((samples, self.steps if steps is None else steps, int(p["size"])), np.int32)
        _unlist(p, *self.spikes, first, raster)
        return self.plan.layouts[index].to_user(raster)


def bytes_per_sample(plan: Plan, steps: int, timesteps: int, *, traces: frozenset[int] = frozenset()) -> int:
    """The most memory that one sample of a block can need: every neuron firing at every step."""
    all_of = plan.populations
    spikes, rows, size = all_of["count_at"] >= 0, all_of["rows"].astype(np.int64), all_of["size"].astype(np.int64)
    most = np.array([_places(population.neuron, steps, timesteps) for population in plan.members], np.int64)
    traced = np.array([index in traces for index in range(len(plan.members))])
    places = np.where(spikes, rows * (all_of["lanes"] * most + SLACK), 0) * np.where(all_of["payload"] != 0, 8, 4)
    neurons = size * (4 * np.array(plan.variables, np.int64) + 2 * spikes + 4 * steps * traced)
    return int((places + rows * steps * 16 + neurons).sum())


def _places(neuron: Neuron, steps: int, timesteps: int) -> int:
    """The most messages of a neuron in `steps` steps: one in each that it is switched on for, or in each of a stream."""
    return min(steps, max(timesteps, neuron.active_steps(timesteps)))


def take_workspace(plan: Plan, samples: int, steps: int, timesteps: int, *, traces: frozenset[int] = frozenset()) -> Workspace:
    """A workspace of an earlier run of the same shape, or a new one."""
    while plan.spare:
        spare: Workspace = plan.spare.pop()
        if (spare.samples, spare.steps, spare.timesteps, spare.traced) == (samples, steps, timesteps, traces):
            return spare
    return make_workspace(plan, samples, steps, timesteps, traces=traces)


def make_workspace(plan: Plan, samples: int, steps: int, timesteps: int, *, traces: frozenset[int] = frozenset()) -> Workspace:
    """Arenas for blocks of up to `samples` samples of `steps` steps, populations being switched on for a window of
    `timesteps`; potentials of `traces` are kept at every step."""
    populations = plan.populations.copy()
    at = dict.fromkeys(("list", "payload", "segment", "state", "count", "trace"), 0)
    fresh: list[tuple[int, int, NDArray[np.int32]]] = []
    for index, p in enumerate(populations):
        spikes = p["count_at"] >= 0
        neuron = plan.members[index].neuron
        p["stop"] = neuron.start_step + neuron.active_steps(timesteps)
        p["list_row"] = p["lanes"] * _places(neuron, steps, timesteps) + SLACK if spikes else 0
        p["list_sample"] = p["rows"] * p["list_row"]
        p["list_at"], p["payload_at"] = at["list"], at["payload"]
        at["list"] += int(p["list_sample"]) * samples
        at["payload"] += int(p["list_sample"]) * samples if p["payload"] else 0
        p["segment_row"], p["segment_sample"], p["segment_at"] = steps, p["rows"] * steps, at["segment"]
        at["segment"] += int(p["rows"]) * steps * samples
        if spikes:
            p["count_at"] = at["count"]
            at["count"] += int(p["size"]) * samples
        if index in traces:
            p["trace_at"], p["trace_stride"] = at["trace"], p["size"] * samples
            at["trace"] += int(p["size"]) * steps * samples
        p["v_at"] = p["aux_at"] = p["second_at"] = at["state"]
        p["state_stride"] = p["size"] * samples
        for field, values in zip_longest(("v_at", "aux_at", "second_at"), _initial(plan, index)):
            if values is not None:
                if field:
                    p[field] = at["state"]
                constant = values[:1] if (values == values[0]).all() else values
                fresh.append((at["state"], values.size * samples, constant.astype(np.int32)))
                at["state"] += values.size * samples
    return Workspace(
        plan,
        samples,
        steps,
        timesteps,
        traces,
        populations,
        lists=np.empty(max(at["list"], 1) + HALF, np.uint32)[: max(at["list"], 1)],  # HALF at a time may be read,
        payloads=np.empty(max(at["payload"], 1), np.int32),
        begins=np.zeros(at["segment"], np.int64),
        ends=np.zeros(at["segment"], np.int64),
        state=np.empty(at["state"], np.int32),
        fresh=tuple(fresh),
        counts=np.zeros(max(at["count"], 1), np.uint16),
        traces=np.zeros(max(at["trace"], 1), np.int32),
        base=[0],
        arenas=plan.arenas,
    )


def _initial(plan: Plan, index: int) -> list[NDArray[Any]]:
    """Initial state variables in memory order, the potential first, a held current last, in one word or two."""
    population, layout = plan.members[index], plan.layouts[index]
    state = population.neuron.initial_state(population.shape)
    found = [layout.to_memory(values.reshape(1, -1))[0] for values in state.values()]
    return [*found, np.zeros_like(found[-1])] if plan.populations[index]["hold"] == HELD_LONG else found


@compiled
def list_messages(
    p: Any, messages: IntArray, base: int, lists: IntArray, payloads: IntArray, begins: IntArray, ends: IntArray,
    counts: IntArray, totals: IntArray, first: int,
) -> None:  # fmt: skip
    """Enter a source's messages (samples, steps, neurons in memory order), sent from step `first` on, into its lists."""
    for sample in range(messages.shape[0]):
        for y in range(p.rows):
            n, lane = U(min(p.lanes, p.size - y * p.lanes)), U(y * p.lanes)
            count = U(p.count_at + sample * p.size) + lane
            for s in range(messages.shape[1]):
                slot = first + s - base
                segment = p.segment_at + sample * p.segment_sample + y * p.segment_row + slot
                begin = p.list_at + sample * p.list_sample + y * p.list_row
                if slot > 0:
                    begin = max(begin, ends[segment - 1])
                at, apart = U(begin), U(p.payload_at) - U(p.list_at)  # may wrap around
                if p.payload:
                    for j in range(n):  # what is not sent is overwritten by what is sent next: lists have some SLACK
                        value = messages[sample, s, lane + j]
                        lists[at] = j
                        payloads[at + apart] = value
                        at += U(value != 0)
                else:
                    for j in range(n):
                        lists[at] = j
                        at += U(messages[sample, s, lane + j] != 0)
                for j in range(n):
                    counts[count + j] += np.uint16(messages[sample, s, lane + j] != 0)
                begins[segment] = begin
                ends[segment] = np.int64(at)
                totals[1, slot] += np.int64(at) - begin


@compiled
def _count(p: Any, begins: IntArray, ends: IntArray, samples: int, steps: int) -> int:
    total = 0
    for s in range(p.segment_at, p.segment_at + samples * p.rows * steps):
        total += ends[s] - begins[s]
    return total


@compiled
def _count_each(p: Any, lists: IntArray, begins: IntArray, ends: IntArray, first: int, steps: int, counted: IntArray) -> None:
    for sample in range(counted.shape[0]):
        for y in range(p.rows):
            for t in range(first, first + steps):
                segment = p.segment_at + sample * p.segment_sample + y * p.segment_row + t
                for k in range(begins[segment], ends[segment]):
                    counted[sample, y * p.lanes + lists[k]] += 1


@compiled
def _unlist(p: Any, lists: IntArray, payloads: IntArray, begins: IntArray, ends: IntArray, first: int, raster: IntArray) -> None:
    for sample in range(raster.shape[0]):
        for y in range(p.rows):
            for t in range(raster.shape[1]):
                segment = p.segment_at + sample * p.segment_sample + y * p.segment_row + first + t
                for k in range(begins[segment], ends[segment]):
                    value = payloads[k - p.list_at + p.payload_at] if p.payload else 1
                    raster[sample, t, y * p.lanes + lists[k]] = value


@compiled
def _collect(
    p: Any, lists: IntArray, payloads: IntArray, begins: IntArray, ends: IntArray, samples: int, steps: int, memory: IntArray,
    scratch: IntArray, offsets: IntArray, neurons: IntArray, values: IntArray,
) -> None:  # fmt: skip
    """Messages in C order: mark those of one step in memory order, then walk the neurons in the user's order."""
    found = 0
    for sample in range(samples):
        for t in range(steps):
            any_sent = False
            for y in range(p.rows):
                segment = p.segment_at + sample * p.segment_sample + y * p.segment_row + t
                for k in range(begins[segment], ends[segment]):
                    scratch[y * p.lanes + lists[k]] = payloads[k - p.list_at + p.payload_at] if p.payload else 1
                    any_sent = True
            if any_sent:
                for i in range(p.size):
                    m = memory[i]
                    if scratch[m] != 0:
                        neurons[found] = i
                        if p.payload:
                            values[found] = scratch[m]
                        scratch[m] = 0
                        found += 1
            offsets[sample * steps + t + 1] = found
