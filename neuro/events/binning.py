"""Events -> messages of time steps: equal times or equal numbers of events, signs as channels, crops, larger pixels.

Knows recordings; knows nothing of networks. What comes out is a stream for `neuro.run`: (steps, channels, rows, columns).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from neuro.errors import InputError
from neuro.events.recording import Recording
from neuro.memory import check_fits
from neuro.numbers import whole

_CHANNELS = {"two": 2, "one": 1, "signed": 1}


def binned(
    recording: Recording,
    *,
    step_us: int | None = None,
    events_per_step: int | None = None,
    steps: int | None = None,
    polarity: Literal["two", "one", "signed"] = "two",
    crop: tuple[int, int, int, int] | None = None,
    downscale: int = 1,
    most: int | None = 1,
) -> NDArray[np.int16]:
    """Messages (steps, channels, rows, columns) of a recording, int16.

    Steps last `step_us` microseconds from the first event on, or hold `events_per_step` events. `steps`: how many; events after
    the last are left out, missing ones are silent; None takes as many as there are events for. `polarity`: "two" channels,
    first OFF, then ON; "one" for both; "signed" ON less OFF in one. `crop`: (left, top, width, height) in pixels, before
    `downscale` x `downscale` of them are merged into one. At most `most` events of a pixel and step are counted: 1 makes
    spikes, None counts all.
    Raises InputError for options that do not fit the recording.
    """
    if polarity not in _CHANNELS:
        raise InputError("polarity", f"{polarity!r} is not known", f"Use one of {', '.join(_CHANNELS)}")
    scale = whole("binned", "downscale", downscale, 1, 2**15, error=InputError)
    left, top, width, height = _window(recording, crop)
    shape = (_CHANNELS[polarity], height // scale, width // scale)
    if min(shape) < 1:
        raise InputError("downscale", f"{scale} pixels are more than the {width} x {height} there are", "Merge fewer pixels")
    step = _steps(recording, step_us, events_per_step)
    last = int(step[-1]) + 1 if len(step) else 1
    count = last if steps is None else whole("binned", "steps", steps, 1, error=InputError)
    x, y = (recording.x - left) // scale, (recording.y - top) // scale
    kept = (x >= 0) & (y >= 0) & (x < shape[2]) & (y < shape[1]) & (step < count)
    check_fits("binned", 6 * count * int(np.prod(shape)), "its steps", "Take longer steps, fewer of them, or downscale")
    channel = recording.on.astype(np.int64) if polarity == "two" else np.zeros(len(recording), np.int64)
    place = np.ravel_multi_index((step[kept], channel[kept], y[kept], x[kept]), (count, *shape))
    made = np.zeros(count * int(np.prod(shape)), np.int32)
    np.add.at(made, place, np.where(recording.on[kept] | (polarity != "signed"), 1, -1))
    ceiling = (
        np.iinfo(np.int16).max if most is None else whole("binned", "most", most, 1, np.iinfo(np.int16).max, error=InputError)
    )
    if most is None and np.abs(made).max() > ceiling:
        raise InputError("binned", f"a pixel has {np.abs(made).max():,} events in a step", "Take shorter steps")
    return np.clip(made, -ceiling, ceiling).astype(np.int16).reshape(count, *shape)


def stacked(recordings: Sequence[Recording], **options: Any) -> NDArray[np.int16]:
    """The messages of several recordings, (recordings, steps, channels, rows, columns); the shorter ones end in silent steps.

    `options` are those of `binned`. Raises InputError for recordings of sensors of different sizes.
    """
    if not recordings:
        raise InputError("recordings", "there are none", "Pass at least one")
    parts = [binned(recording, **options) for recording in recordings]
    if len({part.shape[1:] for part in parts}) > 1:
        sizes = sorted({(r.width, r.height) for r in recordings})
        raise InputError("recordings", f"their sensors differ: {sizes[:4]}", "Pass size=(width, height) when you read them")
    made = np.zeros((len(parts), max(len(part) for part in parts), *parts[0].shape[1:]), np.int16)
    for row, part in zip(made, parts, strict=True):
        row[: len(part)] = part
    return made


def _steps(recording: Recording, step_us: int | None, events_per_step: int | None) -> NDArray[np.int64]:
    """The step of each event."""
    if (step_us is None) == (events_per_step is None):
        raise InputError("binned", "step_us and events_per_step were given both, or neither", "Pass one of them")
    if step_us is not None:
        length = whole("binned", "step_us", step_us, 1, error=InputError)
        since = recording.t_us - recording.t_us[:1].sum()
        return np.asarray(since // length, np.int64)
    return np.arange(len(recording)) // whole("binned", "events_per_step", events_per_step, 1, error=InputError)


def _window(recording: Recording, crop: Any) -> tuple[int, int, int, int]:
    if crop is None:
        return 0, 0, recording.width, recording.height
    if not isinstance(crop, tuple | list) or len(crop) != 4:
        raise InputError("crop", f"it is {crop!r}", "Pass (left, top, width, height)")
    left, top, width, height = (whole("crop", name, n, 0, error=InputError) for name, n in zip("xywh", crop, strict=True))
    if min(width, height) < 1 or left + width > recording.width or top + height > recording.height:
        fact = f"{width} x {height} pixels from ({left}, {top}) are not within {recording.width} x {recording.height}"
        raise InputError("crop", fact, "Choose a window within the sensor")
    return left, top, width, height
