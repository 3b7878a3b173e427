"""A stream through a network, frame by frame, and what the chip takes for it. Reads and shows nothing."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.chip.account import Account, ChipUse
from neuro.chip.emulator import emulate
from neuro.chip.placing.placement import place
from neuro.chip.spec import Chip
from neuro.encoding import source_of, value_shape
from neuro.engine.records import Run
from neuro.engine.session import open_session
from neuro.errors import InputError
from neuro.events import Recording, binned
from neuro.network import Network
from neuro.serving.streams import Pace, pace

TIMED_FRAMES = 64  # of the stream, its last ones, of which steps on the chip are timed
BLOCK_S = 0.25  # of stream that is taken at a time


@dataclass(frozen=True, slots=True)
class Heard:
    """What a part of a stream brought: its answers (frames, classes), the first of which is that of frame `first`; what the chip
    did meanwhile; and input values beyond the calibrated range, which were clipped."""

    first: int
    answers: NDArray[Any]
    use: ChipUse
    clipped: int


Each = Callable[[Heard], None]


@dataclass(frozen=True, slots=True)
class Streamed:
    """The answers of all frames (frames, classes), what the chip takes, frames a second of the stream, seconds that the emulation
    took, and input values beyond the calibrated range, which were clipped."""

    answers: NDArray[Any]
    pace: Pace
    rate_hz: float
    wall_s: float
    clipped: int

    @property
    def real_time(self) -> float:
        """How many seconds of stream the emulation takes in a second."""
        return len(self.answers) / self.rate_hz / self.wall_s

    def to_row(self) -> dict[str, Any]:
        """Everything but the answers, for JSON."""
        p = self.pace
        return {
            "frames": len(self.answers),
            "rate_hz": self.rate_hz,
            "real_time_factor": self.real_time,
            "clipped": self.clipped,
            "period_steps": p.period,
            "depth_steps": p.depth,
            "latency_us": p.latency_s * 1e6,
            "most_frames_per_s": p.most_per_s,
            "busy": p.busy(self.rate_hz),
            "work_uj_per_frame": p.dynamic_j * 1e6,
            "work_mw": p.dynamic_j * self.rate_hz * 1e3,
            "power_w": p.power_w(self.rate_hz),
            "synops_per_frame": p.synops,
            "messages_per_frame": p.messages,
        }


def frames_of_audio(audio: NDArray[Any], size: int, hop: int) -> NDArray[np.float32]:
    """Audio (samples,) as frames (frames, size), one every `hop` samples; InputError where there is less than one."""
    if len(audio) < size:
        raise InputError("audio", f"it has {len(audio):,} samples, a frame {size:,}", "Pass a longer recording")
    return np.lib.stride_tricks.sliding_window_view(np.asarray(audio, np.float32), size)[::hop].copy()


def frames_of_pieces(pieces: Iterable[NDArray[Any]], size: int, hop: int) -> Iterator[NDArray[np.float32]]:
    """The same frames of audio that comes in pieces (samples,): each piece brings those that it completes."""
    left, skipped = np.zeros(0, np.float32), 0
    for piece in pieces:
        left = np.concatenate([left, np.asarray(piece, np.float32)])
        gone = min(skipped, len(left))
        left, skipped = left[gone:], skipped - gone
        if len(left) >= size:
            frames = frames_of_audio(left, size, hop)
            yield frames
            used = len(frames) * hop
            skipped = max(0, used - len(left))
            left = left[used:]


def frames_of_events(recording: Recording, shape: tuple[int, ...], step_us: int) -> NDArray[Any]:
    """Events as frames (frames, *shape), of so many microseconds each: OFF and ON in two channels, or both in one."""
    if len(shape) != 3 or shape[0] > 2:
        raise InputError("network", f"its frames have the shape {shape}", "Use a network that takes (1 or 2, rows, columns)")
    return binned(recording, step_us=step_us, polarity="two" if shape[0] == 2 else "one")


def frame_shape(network: Network) -> tuple[int, ...]:
    """The shape of a frame of a network that takes streams from one source; InputError for any other network."""
    (source, *others) = network.sources or (None,)
    if source is None or others:
        raise InputError("network", f"it has {len(network.sources)} sources", "Use a network with one input")
    told = source_of(source)
    if told.period is None and (told.on_chip or told.scale is not None or any(p.neuron.phased for p in network.populations)):
        raise InputError(
            "network", "it takes no frames, and no spikes from outside step by step",
            "Convert with frames=True, or, where its inputs are windows of frames, use neuro.frame_by_frame(network, axis), "
            "--time-axis; or put a camera in front: neuro.events.driven_by_events(network)",
        )  # fmt: skip
    return value_shape(source)


class Stream:
    """A network on a chip in the middle of a stream: `hear` frames as they come, `finish`, and `pace` says what they took.

    Answers are those of one run over all frames, bit for bit, however they are cut up.
    """

    def __init__(self, network: Network, chip: Chip, rate_hz: float) -> None:
        self.shape = frame_shape(network)
        self.rate_hz, self.placement = rate_hz, place(network, chip)
        self.block = max(1, min(TIMED_FRAMES, round(BLOCK_S * rate_hz)))  # frames that `hear` takes at a time
        self._framed = source_of(network.sources[0]).period is not None
        record = ("raster",) if self._framed else ("raster", "logits_by_step")
        self._session = open_session(network, record=record, most_steps=self.block)
        most = max(self.block * (source_of(network.sources[0]).period or 1), network.steps(1))
        self._account = Account(self.placement, most)
        self._last: deque[NDArray[Any]] = deque(maxlen=TIMED_FRAMES)
        self._early = 0 if self._framed else max(p.neuron.start_step for p in network.readouts)  # steps before the first answer
        self.use, self.frames, self._answered = ChipUse(), 0, 0

    def hear(self, frames: NDArray[Any]) -> Iterator[Heard]:
        """Take frames (frames, *shape), any number of them, block by block."""
        frames = np.asarray(frames)
        if frames.shape[1:] != self.shape:
            raise InputError("frames", f"their shape is {frames.shape}", f"Pass (frames, {', '.join(map(str, self.shape))})")
        for first in range(0, len(frames), self.block):
            some = frames[first : first + self.block]
            self._last.extend(some)
            self.frames += len(some)
            yield self._heard(self._session.step(some), ended=False)

    def finish(self) -> Heard:
        """The end: answers of frames that are still on their way."""
        return self._heard(self._session.finish(), ended=True)

    def _heard(self, run: Run, *, ended: bool) -> Heard:
        found = run.frames if self._framed else run.logits_by_step
        assert found is not None
        answers = found[0][self._early :]
        self._early -= len(found[0]) - len(answers)
        heard = Heard(self._answered, answers, self._account.of(run, ended=ended), sum(run.clipped.values()))
        self.use, self._answered = self.use + heard.use, self._answered + len(heard.answers)
        return heard

    def pace(self) -> Pace:
        """What the chip took for all frames so far; how long its steps last is that of the last frames."""
        if not self.frames:
            raise InputError("stream", "it had no frames", "Pass a longer one")
        timed = pace(emulate(self.placement, np.stack(self._last)[None]), stepwise=not self._framed)
        messages, synops, updates = (n / self.frames for n in (self.use.spikes, self.use.synops, self.use.updates))
        work_j = self.use.dynamic_pj * 1e-12 / self.frames
        return replace(timed, dynamic_j=work_j, messages=messages, synops=synops, updates=updates)


def stream(network: Network, frames: NDArray[Any], chip: Chip, rate_hz: float, each: Each | None = None) -> Streamed:
    """Take a network through frames (frames, *shape), one after the other; `each` hears the answers as soon as they are there.

    The answers are those of one run over all frames, bit for bit. Raises InputError for a network or frames that do not fit, and
    what placing raises.
    """
    return streamed(Stream(network, chip, rate_hz), (frames,), each)


def streamed(taken: Stream, pieces: Iterable[NDArray[Any]], each: Each | None = None) -> Streamed:
    """Take a stream through pieces of frames until they end, or until Ctrl-C."""
    answers, clipped, wall = list[NDArray[Any]](), 0, 0.0
    with suppress(KeyboardInterrupt):
        for piece in pieces:
            started = time.perf_counter()
            for heard in taken.hear(piece):
                answers.append(heard.answers)
                clipped += heard.clipped
                if each is not None:
                    each(heard)
            wall += time.perf_counter() - started
    started = time.perf_counter()
    if taken.frames:
        last = taken.finish()
        answers.append(last.answers)
        if each is not None:
            each(last)
    wall += time.perf_counter() - started
    return Streamed(np.concatenate(answers) if answers else np.zeros((0, 0)), taken.pace(), taken.rate_hz, wall, clipped)
