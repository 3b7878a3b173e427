"""Sessions: a network that keeps its state between calls, for streams that have no end. Frame by frame it does exactly what
one run over the whole stream does.

Knows the event engine's workspace; keeps as much of the past as the longest delay needs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.compiled import compiled
from neuro.encoding import as_numbers, clipped_values, frame_messages, named, source_of, stream_messages, value_shape
from neuro.engine.estimate import check_memory, estimate
from neuro.engine.event import Worker, teach
from neuro.engine.models import has_kernel
from neuro.engine.plan import FOREVER, MOST_STEPS, Payloads, check_charges, check_steps, plan_of
from neuro.engine.plastic import Learning
from neuro.engine.records import Recorder, Run
from neuro.engine.saving import load_session, save_session
from neuro.engine.streaming import Stream, can_stream
from neuro.engine.workspace import Workspace, list_messages, make_workspace
from neuro.errors import EngineError, InputError, expect
from neuro.learning.checking import check_sent
from neuro.network import Network, Population
from neuro.numbers import whole

Frames = dict[str, NDArray[np.int32]]  # (steps, neurons) by source


def open_session(network: Network, *, record: Iterable[str] = (), most_steps: int = 64) -> Session:
    """Open a session on a network with one or more sources: `session.step(frame)` takes it on.

    record: as in `neuro.run`, for what each step returns. most_steps: steps, of a network with frames frames, that one call may
    take (memory grows with it).
    Raises EngineError for populations that work in phases of fixed length (wait and radix codes), which no stream has.
    """
    return Session(network, tuple(record), most_steps)


class Session:
    """A running network. `elapsed` counts the steps taken."""

    def __init__(self, network: Network, record: tuple[str, ...], most_steps: int) -> None:
        expect("network", network, Network, "Pass a neuro.Network, such as conversion.network", EngineError)
        most_steps = whole("session", "most_steps", most_steps, 1, error=InputError)
        for population in network.populations:
            if population.neuron.is_source and source_of(population).neuron is not None:
                fact = "its inputs are a register of neurons, whose state is not carried from step to step of a session"
                raise EngineError(f"population {population.name!r}", fact, "Use neuro.run on the whole stream")
            if population.neuron.phased:
                raise EngineError(
                    f"population {population.name!r}",
                    f"{type(population.neuron).__name__} works in phases of fixed length, a stream has none",
                    'Convert with code="rate", "signed" or "graded"',
                )
        self.network = network
        self.elapsed = 0
        self._record, self._most = record, most_steps
        self._period = max((source_of(p).period or 1 for p in network.sources), default=1)
        self._limits = _payload_limits(network)
        epochs = [p.rule.epoch for p in network.projections if p.rule is not None]
        self._history = max((p.delay for p in network.projections), default=0) + max(epochs, default=0)
        self._room = self._history + max(self._most * self._period, network.steps(1) - 1)  # steps that are kept at a time
        check_memory(estimate(network, 1, min(self._room, MOST_STEPS), record=record), 1, self._room)
        self._plan = plan_of(network, self._limits)
        self.reset()

    def reset(self) -> None:
        """Back to the first step, in the initial state; what was learned is forgotten."""
        wanted = Recorder(self.network, 1, 1, self._record)
        traced = [wanted.wants("traces", p.name) or not has_kernel(p.neuron) for p in self.network.populations]
        self._workspace: Workspace = make_workspace(self._plan, 1, self._room, FOREVER, traces=frozenset(np.flatnonzero(traced)))
        self._learning = Learning(self.network, self._plan) if self.network.learns else None
        if self._learning:
            self._workspace = replace(self._workspace, arenas=self._learning.arenas)
        self._workspace.reset()
        self._worker = Worker(self._plan, self._room)
        quick = not self._record and can_stream(self.network, self._workspace)
        self._stream = Stream(self.network, self._workspace, self._worker, self._limits) if quick else None
        self.elapsed, self._ended = 0, False
        self._told: set[str] = set()  # sources of whose inputs beyond the calibrated range was warned: once in a stream
        self._known = {p.name: np.zeros((1, p.size), np.int64) for p in self.network.sources}

    def step(self, frame: Any) -> Run:
        """Take the network one step on with a frame (*source shape), or several with frames (steps, *source shape). With
        one frame a network with frames takes as many steps as its period; its answer comes when it has passed all layers.

        Integers are sent as they are, real values through the source's scale (what is accepted is as in `neuro.run`, see
        `neuro.encoding`); a mapping by name where there are several sources. Returns what the network did in these steps; its
        logits are those after the last of them, its `frames` those of every frame that was answered in them. Raises InputError
        for frames that do not fit, EngineError after `finish`.
        """
        self._check_open()
        if self._stream and (steps := self._stream.takes(frame, self._most)):
            check_steps(self.elapsed + steps)
            self._make_room(steps)
            run = self._stream.step(steps, self.elapsed + steps)
            if run is not None:
                self.elapsed += steps
                return run
        frames = self._frames(frame)
        run = self._advance(frames, len(next(iter(frames.values()))))
        return replace(run, clipped=self._clipped)

    @property
    def learned(self) -> Network:
        """The network with what it has learned so far; the same network where it does not learn.

        Of an epoch that has not ended yet there is nothing in it. A session on it goes on with its weights, tags and traces.
        """
        return self._learning.learned() if self._learning else self.network

    def finish(self) -> Run:
        """End the stream: populations that started late get the steps that one run would give them.

        Afterwards the session takes no frames, and raises EngineError, until it is `reset`.
        """
        self._check_open()
        tail = self.network.steps(self.elapsed) - self.elapsed if self.elapsed else 0
        for p, population in zip(self._workspace.populations, self.network.populations, strict=True):
            p["stop"] = population.neuron.start_step + population.neuron.active_steps(self.elapsed)
        silence = {p.name: np.zeros((tail, p.size), np.int32) for p in self.network.sources}
        run = self._advance(silence, tail, self.elapsed)
        self._ended = True
        return run

    def save(self, path: Any) -> None:
        """Write the session into a file, in the middle of its stream: what it has learned, its neurons' state, and messages that
        are on their way. `Session.load` goes on as if nothing had happened. Raises EngineError after `finish`, FormatError for
        a network with a neuron of the user's own."""
        self._check_open()
        save_session(self, path)

    @staticmethod
    def load(path: Any, *, record: Iterable[str] = (), most_steps: int = 64) -> Session:
        """Go on with a session that `save` wrote; `record` and `most_steps` as in `neuro.open_session`. Raises FormatError for
        anything else. `reset` leads back to the first step, with what was learned until it was saved."""
        session: Session = load_session(path, open_session, record, most_steps)
        return session

    def _check_open(self) -> None:
        if self._ended:
            raise EngineError("session", "its stream was ended by finish()", "Call reset() to begin another stream")

    def _advance(self, frames: Frames, steps: int, window: int | None = None) -> Run:
        check_steps(self.elapsed + steps)
        self._make_room(steps)
        workspace, worker = self._workspace, self._worker
        base = workspace.base[0]
        for counted in (worker.totals, workspace.traces, workspace.counts):
            counted[:] = 0
        for index, population in enumerate(self.network.populations):
            if population.name in frames:
                in_memory = self._plan.layouts[index].to_memory(frames[population.name][None])
                totals = worker.totals[index]
                list_messages(
                    workspace.populations[index], in_memory, base, *workspace.spikes, workspace.counts, totals, self.elapsed
                )
        span = (self.elapsed, self.elapsed + steps)
        recorder = Recorder(self.network, 1, max(1, span[1]), self._record, steps=steps, window=window)
        if self._learning:
            teach(worker, workspace, self._learning, recorder, span, self.elapsed)
        else:
            worker.advance_all(workspace, 1, span)
        run = self._finish(steps, recorder)
        self.elapsed += steps
        return run

    def _frames(self, frame: Any) -> Frames:
        frames, known = {}, {}
        clipped: dict[str, int] = {}
        for name, given in named(self.network, frame).items():
            population = self.network[name]
            array, shape = as_numbers(population, given), value_shape(population)
            array = array[None] if array.shape == shape else array
            if array.shape[1:] != shape:
                raise InputError(
                    f"inputs for {name!r}", f"the frame's shape is {array.shape}", f"Pass {shape} or (steps, *{shape})"
                )
            if not 1 <= len(array) <= self._most:
                fact = f"{len(array)} steps in one call of at most {self._most}"
                raise InputError("frames", fact, "Pass fewer, or raise most_steps")
            known[name] = self._known[name]
            if source_of(population).period is not None:
                clipped |= clipped_values(self.network, {name: array[None]}, self._told)
                first = self.elapsed // (source_of(population).period or 1)
                made, known[name] = frame_messages(population, array[None], known[name], first)
                messages = made[0]
            else:
                messages = stream_messages(population, array[None])[0]
            low, high = self._limits[population.name]
            if messages.min(initial=0) < low or messages.max(initial=0) > high:
                raise InputError(
                    f"inputs for {population.name!r}",
                    f"a message leaves {low}..{high}, beyond which charges could exceed 32 bits",
                    "Scale the stream down",
                )
            check_sent(self.network.projections, {name: (int(messages.min(initial=0)), int(messages.max(initial=0)))})
            frames[population.name] = messages
        if len({len(messages) for messages in frames.values()}) != 1:
            raise InputError("frames", "sources got different numbers of steps", "Pass the same steps to all")
        self._known, self._clipped = known, clipped
        return frames

    def _make_room(self, steps: int) -> None:
        """Move the past that delays still reach to the front of the workspace when the new steps would not fit behind it."""
        workspace = self._workspace
        used = self.elapsed - workspace.base[0]
        if used + steps <= workspace.steps:
            return
        kept = min(self._history, used)
        for p in workspace.populations:
            if p["count_at"] >= 0:
                _move_to_front(p, *workspace.spikes, used - kept, kept)
        workspace.base[0] += used - kept

    def _finish(self, steps: int, recorder: Recorder) -> Run:
        workspace, network = self._workspace, self.network
        first = self.elapsed - workspace.base[0]
        for index, population in enumerate(network.populations):
            name, layout, p = population.name, self._plan.layouts[index], workspace.populations[index]
            for row, field in enumerate(("synops", "messages", "updates", "driven", "restless")):
                getattr(recorder.counts[name], field)[:] = self._worker.totals[index, row, first : first + steps]
            if population.neuron.is_source:
                for field in ("updates", "driven", "restless"):
                    getattr(recorder.counts[name], field)[:] += population.size if population.neuron.on_chip else 0
            if p["count_at"] >= 0:
                recorder.spikes[name][:] = layout.to_user(workspace.sent(index, 1, first, steps))
            if name in recorder.potentials:
                recorder.potentials[name][:] = layout.to_user(workspace.slice_of(index, "v_at", workspace.state, 1))
            if recorder.wants("raster", name) and p["count_at"] >= 0:
                recorder.keep("raster", name, slice(None), workspace.raster(index, 1, first, steps))
            if recorder.wants("traces", name):
                traced = workspace.traces[p["trace_at"] : p["trace_at"] + workspace.steps * p["trace_stride"]].reshape(
                    workspace.steps, -1
                )
                recorder.keep("traces", name, slice(None), layout.to_user(traced[None, first : first + steps]))
        return recorder.finish()


def _payload_limits(network: Network) -> Payloads:
    """The largest payloads of each source for which every charge stays within 32 bits: its own, or a power of two."""
    limits: Payloads = {}
    for population in network.sources:
        low, high = population.neuron.messages
        while True:
            try:
                check_charges(network, limits | {population.name: (low, high)} | _silent(network, population, limits))
                break
            except EngineError:
                if high <= 1:
                    raise
                largest = 1 << (max(high, -low).bit_length() - 2)
                low, high = max(low, -largest), min(high, largest)
        limits[population.name] = (low, high)
    return limits


def _silent(network: Network, population: Population, known: Payloads) -> Payloads:
    return {p.name: (0, 0) for p in network.sources if p is not population and p.name not in known}


@compiled
def _move_to_front(p: Any, lists: Any, payloads: Any, begins: Any, ends: Any, first: int, kept: int) -> None:
    """Keep the messages of `kept` steps from segment `first` on, as the first segments of every row."""
    shift = p.payload_at - p.list_at
    for y in range(p.rows):
        segment = p.segment_at + y * p.segment_row
        at = p.list_at + y * p.list_row
        for s in range(kept):
            begin, end = begins[segment + first + s], ends[segment + first + s]
            begins[segment + s] = at
            for k in range(begin, end):
                lists[at] = lists[k]
                if p.payload:
                    payloads[at + shift] = payloads[k + shift]
                at += 1
            ends[segment + s] = at
