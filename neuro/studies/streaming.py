"""A stream through a converted network, frame by frame, and what the chip takes for it. Reads and shows nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.chip.emulator import emulate
from neuro.chip.placing.placement import place
from neuro.chip.spec import Chip
from neuro.encoding import source_of, value_shape
from neuro.engine.session import open_session
from neuro.errors import InputError
from neuro.network import Network
from neuro.serving.streams import Pace, pace

PRICED_FRAMES = 64  # of the stream, from its middle, that are placed and priced
Each = Callable[[int, NDArray[Any]], None]  # a frame's number and its answer


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


def check_stream(network: Network, frames: NDArray[Any]) -> None:
    """Refuse a network that takes no frames, and frames (frames, *shape) that do not fit it."""
    (source, *others) = network.sources or (None,)
    if source is None or others or source_of(source).period is None:
        raise InputError("network", "it takes no frames from one source", "Save a network that was converted with frames=True")
    shape = value_shape(source)
    if frames.shape[1:] != shape or not len(frames):
        raise InputError("frames", f"their shape is {frames.shape}", f"Pass (frames, {', '.join(map(str, shape))})")


def stream(network: Network, frames: NDArray[Any], chip: Chip, rate_hz: float, each: Each | None = None) -> Streamed:
    """Take a network through frames (frames, *shape), one after the other; `each` hears every answer as soon as it is there.

    The answers are those of one run over all frames, bit for bit. Energy and times are those of some frames on the chip. Raises
    InputError for a network or frames that do not fit, and what placing raises.
    """
    check_stream(network, frames)
    session, answers, clipped, started = open_session(network), list[NDArray[Any]](), 0, time.perf_counter()
    for i in range(len(frames) + 1):
        run = session.step(frames[i]) if i < len(frames) else session.finish()
        clipped += sum(run.clipped.values())
        for answer in run.frames[0] if run.frames is not None else ():
            answers.append(answer)
            if each is not None:
                each(len(answers) - 1, answer)
    wall = time.perf_counter() - started
    first = max(0, (len(frames) - PRICED_FRAMES) // 2)
    some = frames[None, first : first + PRICED_FRAMES]
    return Streamed(np.stack(answers), pace(emulate(place(network, chip), some)), rate_hz, wall, clipped)
