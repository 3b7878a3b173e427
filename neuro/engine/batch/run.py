"""Runs of networks in which every neuron sends at most once: blocks of samples, and counts from what each neuron sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.compiled import goes_without
from neuro.encoding import encode, is_stream
from neuro.engine import tables as T
from neuro.engine.batch.kernels import advance, collect
from neuro.engine.batch.plan import Batch, parts_of, sends_once
from neuro.engine.batch.rowwise import LANES, SIDE, address
from neuro.engine.records import RECORDABLE, Messages, Observer, Recorder
from neuro.network import Network, Population

FEWEST_SAMPLES = 8  # that are worth a block
_EVENT_S, _COMPILING_S = 1e-7, 10.0  # of a value in the other way; of the kernels here


def suits(network: Network, inputs: Mapping[str, NDArray[Any]], record: Iterable[str], timesteps: int) -> bool:
    """Whether a run can go neuron by neuron: nothing is recorded step by step, and sources send one value for each sample."""
    samples, by_step = len(next(iter(inputs.values()))), set(RECORDABLE) - {"potentials"}
    if samples < FEWEST_SAMPLES or any(what.partition(":")[0] in by_step for what in record):
        return False
    plain_s = samples * sum(p.size for p in network.populations) * _EVENT_S
    held = not any(is_stream(network[name], x) for name, x in inputs.items())
    return held and sends_once(network, timesteps) and not goes_without(advance, plain_s, _COMPILING_S)


def simulate(
    batch: Batch,
    inputs: Mapping[str, NDArray[Any]],
    recorder: Recorder,
    *,
    threads: int,
    progress: Callable[[int, int], None] | None = None,
    observe: Observer | None = None,
) -> None:
    """Run every sample and write what happens into `recorder`; `observe` is called with the messages of each block."""
    job = _Job(batch, inputs, recorder, observe)
    parts = [*parts_of(recorder.samples)]
    with ThreadPoolExecutor(threads) if threads > 1 and len(parts) > 1 else nullcontext() as pool:
        for first, samples in (pool.map if pool else map)(job.block, parts):
            if progress:
                progress(first + samples, recorder.samples)
    job.record()


class _Job:
    """What the blocks of one run share."""

    def __init__(
        self, batch: Batch, inputs: Mapping[str, NDArray[Any]], recorder: Recorder, observe: Observer | None
    ) -> None:  # fmt: skip
        self._batch, self._inputs, self._recorder, self._observe = batch, inputs, recorder, observe
        neurons = int(sum(batch.populations["size"]))
        self._spikes = np.zeros((neurons, -(-recorder.samples // SIDE) * SIDE), np.uint8)
        self._found: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []

    def block(self, part: tuple[int, int]) -> tuple[int, int]:
        """Take a block of samples through the network; returns it."""
        (first, samples), batch, recorder = part, self._batch, self._recorder
        memory, sent = batch.memory(), np.zeros(len(self._spikes), np.int64)
        totals, rows = np.zeros((len(batch.steps), 2, LANES), np.int32), memory[0].reshape(-1, SIDE)
        for p, own in zip(batch.members, batch.batched, strict=True):
            if p.neuron.is_source:
                messages = encode(p, self._inputs[p.name][first : first + samples], recorder.timesteps)[:, 0].T
                rows[own["first"] : own["first"] + p.size] = 0
                rows[own["first"] : own["first"] + p.size, :samples] = messages
                at = slice(own["number"], own["number"] + p.size)
                self._spikes[at, first : first + samples] = messages != 0
                sent[at] = np.count_nonzero(messages, axis=1)
        lists, spikes = tuple(map(address, batch.lists)), address(self._spikes)
        heard: dict[str, Messages] = {}
        for some in self._turns():
            advance(
                batch.populations[some], batch.batched[some], address(batch.steps), batch.products, lists, address(batch.rows),
                address(batch.matrix), address(batch.own), address(memory[0]), address(memory[1]), spikes,
                self._spikes.shape[1], sent, address(totals), first, samples,
            )  # fmt: skip
            if self._observe and not (p := batch.members[some.start]).neuron.is_readout:
                heard[p.name] = self._messages(p, rows[batch.batched[some.start]["first"] :][: p.size], samples)
        if self._observe:
            self._observe(first, heard)
        for p, own in zip(batch.members, batch.batched, strict=True):
            if p.neuron.is_readout:
                recorder.potentials[p.name][first : first + samples] = rows[own["first"] : own["first"] + p.size, :samples].T
        batch.spare.append(memory)
        self._found.append((sent, totals.sum(axis=2)))
        return part

    def _turns(self) -> list[slice]:
        """Populations that are computed together: all, or where somebody observes each alone, for rows are lent again."""
        count = len(self._batch.members)
        return [slice(i, i + 1) for i in range(count)] if self._observe else [slice(0, count)]

    def _messages(self, p: Population, rows: NDArray[np.int32], samples: int) -> Messages:
        """What a population sent, of rows (neurons, SIDE)."""
        neuron: Any = p.neuron
        counts = np.zeros((samples, self._recorder.steps), np.int64)
        step = neuron.start_step + (neuron.gather - 1 if neuron.computes else 0)
        counts[:, step] = np.count_nonzero(rows[:, :samples], axis=0)
        offsets = np.concatenate([[0], np.cumsum(counts)])
        neurons, payloads = np.empty((2, int(offsets[-1])), np.int32)
        collect(rows, offsets[step : -1 : self._recorder.steps].copy(), neurons, payloads)
        return Messages(offsets, neurons, payloads)

    def record(self) -> None:
        """Messages of each neuron, and counts step by step."""
        batch, recorder = self._batch, self._recorder
        sent, totals = (np.sum([found[i] for found in self._found], axis=0) for i in (0, 1))
        for p, row, own in zip(batch.members, batch.populations, batch.batched, strict=True):
            counts, start, at = recorder.counts[p.name], p.neuron.start_step, slice(own["number"], own["number"] + p.size)
            recorder.spikes[p.name] = self._spikes[at, : recorder.samples].T
            if row["model"] == T.SOURCE:
                counts.messages[start] = sent[at].sum()
                continue
            counts.updates[start : start + p.neuron.active_steps(recorder.timesteps)] = p.size * recorder.samples
            chosen = slice(own["step_from"], own["step_to"])
            steps = start + batch.steps[chosen, 0]
            counts.driven[steps], counts.restless[steps] = totals[chosen].T
            if row["model"] == T.VALUE:
                counts.messages[steps[-1]] = sent[at].sum()
        for (index, step), synops in zip(batch.arrivals, batch.fan_out @ sent, strict=True):
            recorder.counts[batch.members[index].name].synops[step] += synops
