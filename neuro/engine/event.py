"""The event engine: block of samples by block, population by population, each through all its steps before the next.

Populations in a cycle advance together, as many steps at a time as the shortest delay among them. Threads take samples, or,
when samples are few, rows of one population. The arithmetic is integer and every neuron is written by one thread, so the
bits are the same for any number of threads and any block size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuro.encoding import encode, source_of
from neuro.engine import compact, steady
from neuro.engine import tables as T
from neuro.engine.advance import advance, advance_user
from neuro.engine.calls import calls_of
from neuro.engine.estimate import block_samples
from neuro.engine.invoke import InPlace
from neuro.engine.lanes import LANES
from neuro.engine.models import has_kernel
from neuro.engine.plan import FOREVER, Payloads, Plan, plan_of
from neuro.engine.records import Observer, Recorder
from neuro.engine.user import compile_step
from neuro.engine.workspace import Workspace, bytes_per_sample, list_messages, take_workspace
from neuro.errors import EngineError
from neuro.learning.checking import check_sent
from neuro.network import Network

if TYPE_CHECKING:
    from neuro.engine.plastic import Learning

SHARED_NEURONS = 1 << 16  # of a cycle, for threads to share its rows: they meet at each of its steps, which takes 20 us


class Worker:
    """One thread's scratch memory and totals."""

    def __init__(self, plan: Plan, steps: int) -> None:
        lanes = plan.scratch_lanes
        most = int(max(p["lanes"] * p["block_rows"] for p in plan.populations)) + 64
        kernel_rows = int(max(plan.projections["kernel_rows"].max(), 1))
        accumulators = (np.zeros(lanes, np.int16), np.zeros(lanes, np.int32))
        room = plan.spread_lanes + most + LANES
        spread = (np.zeros(room, np.int16), np.zeros(room, np.int32))
        sources = np.zeros(int(max(p["rows"] * p["lanes"] for p in plan.populations)), np.uint32)
        other = np.zeros(lanes if max(p["ports"] for p in plan.populations) > 1 else 1, np.int32)  # charges of a second port
        values = np.zeros(plan.spread_values, np.int16)
        self.scratch = (*accumulators, np.zeros((kernel_rows, 2), np.int64), *spread, sources, values, other)
        self.masks = (np.zeros(most, np.uint8), np.zeros(most, np.int32))
        self.kept = np.zeros(len(compact.KEPT), np.int64)
        words = self.masks[1][: most // 2 * 2].view(np.uint64)  # of populations whose messages carry nothing, as in `_bind`
        self.steady = (words, np.zeros(steady.STEPS, np.int64), np.zeros(steady.ROOM, np.int32))
        self.totals = np.zeros((len(plan.populations), 5, steps), np.int64)
        self._bound: tuple[Workspace, tuple[InPlace, ...]] | None = None

    def work(self, workspace: Workspace) -> Any:
        """Where all arrays of a workspace and of this thread lie, as `advance` takes it; written down once for a workspace."""
        if self._bound is None or self._bound[0] is not workspace:
            self._bound = (workspace, self._bind(workspace))
        return self._bound[1][0].address

    def _bind(self, workspace: Workspace) -> tuple[InPlace, ...]:
        plan, calls = workspace.plan, calls_of(workspace.plan)
        narrow, wide, reach, spread_narrow, spread_wide, sources, values, other = self.scratch
        shared = (workspace.arenas, workspace.spikes, reach, sources, values.view(np.uint8), values)
        delivering = (InPlace((narrow, wide, spread_narrow, *shared)), InPlace((wide, wide, spread_wide, *shared)))
        short = self.masks[1].view(np.int16)  # of populations whose messages carry nothing, `engine.compact` keeps states there
        kept = (other, plan.bias, workspace.state, workspace.counts, workspace.traces, self.totals, *self.masks, short, self.kept)
        held = (plan.bias, workspace.state, workspace.counts, self.totals, workspace.spikes, *self.steady)
        contexts = (*delivering, InPlace((narrow, *kept)), InPlace((wide, *kept)), InPlace(held))
        tables = (calls.groups, calls.order, calls.live, calls.deliver, plan.projections, workspace.populations)
        left = (workspace.spikes, workspace.counts, workspace.traces, self.totals, self.masks)
        work = InPlace((*tables, narrow, wide, other, *left, *(context.address for context in contexts), calls.steady))
        return (work, *contexts)

    def advance(
        self, workspace: Workspace, index: int, samples: tuple[int, int], rows: tuple[int, int], steps: tuple[int, int]
    ) -> None:
        """Take some rows of one population through some steps."""
        group = len(calls_of(workspace.plan).groups) - len(workspace.populations) + index
        advance(self.work(workspace), group, group + 1, *samples, *rows, *steps, workspace.base[0])
        if workspace.populations[index]["model"] == T.USER:
            self._advance_user(workspace, index, samples, rows, steps)

    def advance_group(self, workspace: Workspace, group: tuple[int, ...], samples: int, steps: tuple[int, int]) -> None:
        """Take the populations of a cycle through some steps, in one call of compiled code."""
        row = calls_of(workspace.plan).rows[group]
        advance(self.work(workspace), row, row + 1, 0, samples, 0, FOREVER, *steps, workspace.base[0])

    def advance_all(self, workspace: Workspace, samples: int, steps: tuple[int, int]) -> None:
        """Take all populations but sources through some steps."""
        for part in calls_of(workspace.plan).parts:
            if part.compiled:
                advance(self.work(workspace), *part.compiled, 0, samples, 0, FOREVER, *steps, workspace.base[0])
                continue
            stride = part.stride or max(steps[1] - steps[0], 1)
            for t in range(*steps, stride):
                for index in part.populations:
                    rows = (0, int(workspace.populations[index]["rows"]))
                    self.advance(workspace, index, (0, samples), rows, (t, min(t + stride, steps[1])))

    def _advance_user(
        self, workspace: Workspace, index: int, samples: tuple[int, int], rows: tuple[int, int], steps: tuple[int, int]
    ) -> None:
        population = workspace.plan.members[index]
        neuron = population.neuron
        bad = advance_user(
            compile_step(neuron, population.name),
            workspace.populations[index],
            neuron.parameters,
            workspace.plan.bias,
            workspace.state,
            workspace.spikes,
            workspace.counts,
            workspace.traces,
            self.totals[index],
            self.masks,
            samples,
            rows,
            (*steps, workspace.base[0]),
        )
        if bad:
            lowest, highest = neuron.messages
            raise EngineError(
                f"population {population.name!r}",
                f"its step sent the message {bad}",
                f"Stay within {lowest}..{highest}, or widen the bounds",
            )


def simulate(
    network: Network,
    inputs: Mapping[str, NDArray[Any]],
    recorder: Recorder,
    *,
    threads: int,
    observe: Observer | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Run every sample through the network and write what happens into `recorder`."""
    payloads = input_payloads(network, inputs)
    check_sent(network.projections, payloads)
    plan = plan_of(network, payloads, recorder.timesteps)
    traced = frozenset(
        i for i, p in enumerate(network.populations) if recorder.wants("traces", p.name) or not has_kernel(p.neuron)
    )
    recorder.layouts = {p.name: layout for p, layout in zip(network.populations, plan.layouts, strict=True)}
    each = bytes_per_sample(plan, recorder.steps, recorder.timesteps, traces=traced)
    learning: Learning | None = None
    if network.learns:
        from neuro.engine.plastic import Learning

        learning = Learning(network, plan)
    threads, block = (1, 1) if learning else (threads, block_samples(int(each), recorder.samples, threads))  # taught in turn
    starts = range(0, recorder.samples, block)
    by_sample = len(starts) >= threads
    workers = [_take_worker(plan, recorder.steps) for _ in range(threads)]
    kept = range(threads if by_sample else 1)
    workspaces = [take_workspace(plan, block, recorder.steps, recorder.timesteps, traces=traced) for _ in kept]
    if learning:
        workspaces = [replace(workspace, arenas=learning.arenas) for workspace in workspaces]
    job = BlockJob(plan, inputs, recorder, observe, learning)
    with ThreadPoolExecutor(threads) if threads > 1 else nullcontext() as pool:
        if pool and by_sample:
            free = list(zip(workers, workspaces, strict=True))
            for done in pool.map(lambda start: job.with_free(free, start, block), starts):
                if progress:
                    progress(done, recorder.samples)
        else:
            for start in starts:
                done = job.block(workspaces[0], workers, pool, start, block)
                if progress:
                    progress(done, recorder.samples)
    plan.spare[:] = [] if learning else workspaces
    plan.workers[:] = [] if learning else workers
    if learning:
        recorder.learned = learning.learned()
    total = np.sum([worker.totals for worker in workers], axis=0)
    for index, p in enumerate(network.populations):
        counts = recorder.counts[p.name]
        for row, name in enumerate(("synops", "messages", "updates", "driven", "restless")):
            getattr(counts, name)[:] = total[index, row]


def _take_worker(plan: Plan, steps: int) -> Worker:
    """A worker of an earlier run of as many steps, or a new one."""
    while plan.workers:
        worker: Worker = plan.workers.pop()
        if worker.totals.shape[2] == steps:
            worker.totals[:] = 0
            return worker
    return Worker(plan, steps)


def teach(
    worker: Worker, workspace: Workspace, learning: Learning, recorder: Recorder, steps: tuple[int, int], first: int
) -> None:
    """Take a network that learns through some steps; `first` is the step of the recorder's first."""
    for begin, end in learning.spans(*steps):
        learning.begin(workspace, begin)
        worker.advance_all(workspace, 1, (begin, end))
        learning.end_epochs(workspace, end, end - 1 - first, recorder)


def input_payloads(network: Network, inputs: Mapping[str, NDArray[Any]]) -> Payloads:
    """The payloads that sources will really send: plain where all are 0 or 1, else rounded out to a power of two."""
    found: Payloads = {}
    for p in network.sources:
        values, source = inputs[p.name], source_of(p)
        low, high = source.messages
        sent_as_given = not source.on_chip or (values.ndim == len(p.shape) + 2 and source.neuron is None)
        if sent_as_given and (low, high) != (0, 1):
            scale = source.scale or 1.0
            least, most = float(values.min(initial=0)) / scale, float(values.max(initial=0)) / scale
            if source.twin:
                least, most = 0.0, max(-least, most)
            if source.emit == "change":
                least, most = min(least, 0) - max(most, 0), max(most, 0) - min(least, 0)
            low, high = max(low, _outward(least)), min(high, _outward(most))
        found[p.name] = (0, 1) if (low, high) == (0, 0) else (low, high)
    return found


def _outward(value: float) -> int:
    """0, 1, -1, or the next power of two away from zero."""
    size = int(np.ceil(abs(np.rint(value))))
    rounded = size if size <= 1 else 1 << (size - 1).bit_length()
    return rounded if value > 0 else -rounded


class BlockJob:
    """What the blocks of one run share."""

    def __init__(
        self,
        plan: Plan,
        inputs: Mapping[str, NDArray[Any]],
        recorder: Recorder,
        observe: Observer | None,
        learning: Learning | None,
    ) -> None:
        self.plan, self.inputs, self.recorder, self.observe, self.learning = plan, inputs, recorder, observe, learning

    def with_free(self, free: list[tuple[Worker, Workspace]], start: int, block: int) -> int:
        """One block on whatever worker is free."""
        worker, workspace = free.pop()
        try:
            return self.block(workspace, [worker], None, start, block)
        finally:
            free.append((worker, workspace))

    def block(self, workspace: Workspace, workers: list[Worker], pool: ThreadPoolExecutor | None, start: int, block: int) -> int:
        """Run samples [start, start + block) and record them; returns how many samples lie behind."""
        samples = min(block, self.recorder.samples - start)
        workspace.reset()
        for index, p in enumerate(workspace.populations):
            if p["model"] == T.SOURCE:
                self._send(workspace, workers[0], index, start, samples)
        if self.learning:
            self.learning.rest()
            teach(workers[0], workspace, self.learning, self.recorder, (0, self.recorder.steps), 0)
        elif pool is None:
            workers[0].advance_all(workspace, samples, (0, self.recorder.steps))
        else:
            for group, stride in self.plan.groups:
                if stride and self._alone(group):
                    workers[0].advance_group(workspace, group, samples, (0, self.recorder.steps))
                    continue
                for t in range(0, self.recorder.steps, stride or max(self.recorder.steps, 1)):
                    for index in group:
                        until = min(t + (stride or self.recorder.steps), self.recorder.steps)
                        self._advance(workspace, workers, pool, index, samples, (t, until))
        self._record(workspace, start, samples)
        return start + samples

    def _alone(self, group: tuple[int, ...]) -> bool:
        """Whether one thread takes a cycle through its steps sooner than several that meet at each of them."""
        neurons = sum(self.plan.layouts[index].size for index in group)
        return neurons < SHARED_NEURONS and group in calls_of(self.plan).rows

    def _advance(
        self, workspace: Workspace, workers: list[Worker], pool: ThreadPoolExecutor, index: int, samples: int, steps: Any
    ) -> None:
        p = workspace.populations[index]
        if p["model"] == T.SOURCE:
            return
        parts = _row_parts(int(p["rows"]), int(p["block_rows"]), len(workers))
        if len(parts) == 1:
            workers[0].advance(workspace, index, (0, samples), (0, int(p["rows"])), steps)
            return
        tasks = [
            pool.submit(worker.advance, workspace, index, (0, samples), rows, steps)
            for worker, rows in zip(workers, parts, strict=False)
        ]
        for task in tasks:
            task.result()

    def _send(self, workspace: Workspace, worker: Worker, index: int, start: int, samples: int) -> None:
        population = self.plan.members[index]
        messages = encode(population, self.inputs[population.name][start : start + samples], self.recorder.timesteps)
        in_memory = self.plan.layouts[index].to_memory(messages)
        p, totals = workspace.populations[index], worker.totals[index]
        list_messages(p, in_memory, 0, *workspace.spikes, workspace.counts, totals, population.neuron.start_step)
        if population.neuron.on_chip:
            totals[2:, p["start"] : p["stop"]] += population.size * samples

    def _record(self, workspace: Workspace, start: int, samples: int) -> None:
        recorder, chosen = self.recorder, slice(start, start + samples)
        for index, population in enumerate(self.plan.members):
            name, layout = population.name, self.plan.layouts[index]
            if workspace.populations[index]["count_at"] >= 0:
                recorder.spikes[name][chosen] = workspace.sent(index, samples)
            if name in recorder.potentials:
                recorder.potentials[name][chosen] = layout.to_user(workspace.slice_of(index, "v_at", workspace.state, samples))
            if recorder.wants("raster", name) and workspace.populations[index]["count_at"] >= 0:
                recorder.keep("raster", name, chosen, workspace.raster(index, samples))
            if recorder.wants("traces", name):
                p = workspace.populations[index]
                traced = workspace.traces[p["trace_at"] : p["trace_at"] + recorder.steps * p["trace_stride"]]
                by_sample = traced.reshape(recorder.steps, workspace.samples, -1)[:, :samples].swapaxes(0, 1)
                recorder.keep("traces", name, chosen, layout.to_user(by_sample))
        if self.observe:
            spiking = [i for i, p in enumerate(workspace.populations) if p["count_at"] >= 0]
            self.observe(start, {self.plan.members[i].name: workspace.messages(i, samples) for i in spiking})


def _row_parts(rows: int, block_rows: int, parts: int) -> list[tuple[int, int]]:
    """Row ranges for threads, cut at whole blocks."""
    blocks = -(-rows // block_rows)
    cuts = [min(rows, blocks * k // parts * block_rows) for k in range(parts + 1)]
    return [(a, b) for a, b in zip(cuts, cuts[1:], strict=False) if b > a]
