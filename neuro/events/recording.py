"""A recording of an event camera, checked: where, when and with which sign light changed. Knows no files' formats.

What a format's reader found goes through `settled`: coordinates beyond the sensor are refused, times out of order are sorted and
wrapped counters continued, and the recording's notes say how often.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.errors import FormatError, InputError
from neuro.numbers import whole
from neuro.specification import frozen_array

Integers = NDArray[np.integer[Any]]
MOST_PIXELS = 2**15  # along an axis
_REMEDY_ORDER = "Sort by time first: order = numpy.argsort(t_us, kind='stable')"


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """Events in the order of their times: columns `x` from the left and rows `y` from the top (events,) int32, times `t_us` in
    microseconds (events,) int64, and `on` (events,) bool, true where it got brighter; `width` x `height` pixels.

    `notes`: what was done to the file's events. Raises InputError for arrays that disagree, lie beyond the sensor or go back
    in time.
    """

    x: NDArray[np.int32]
    y: NDArray[np.int32]
    t_us: NDArray[np.int64]
    on: NDArray[np.bool_]
    width: int
    height: int
    name: str = "recording"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("width", "height"):
            object.__setattr__(self, name, whole(self.name, name, getattr(self, name), 1, MOST_PIXELS, error=InputError))
        given = {name: np.asarray(getattr(self, name)) for name in ("x", "y", "t_us", "on")}
        if len({array.shape for array in given.values()}) > 1 or given["x"].ndim != 1:
            shapes = ", ".join(f"{name} {array.shape}" for name, array in given.items())
            raise InputError(self.name, f"its arrays have the shapes {shapes}", "Pass one number of each for every event")
        for name, kinds in (("x", "iu"), ("y", "iu"), ("t_us", "iu"), ("on", "b")):
            if given[name].dtype.kind not in kinds:
                wanted = "truth values" if name == "on" else "whole numbers"
                raise InputError(self.name, f"{name} holds {given[name].dtype}", f"Pass {wanted}")
        bad = beyond(given["x"], given["y"], self.width, self.height)
        if bad is not None:
            fact = (
                f"event {bad:,} is at ({given['x'][bad]}, {given['y'][bad]}), the sensor has {self.width} x {self.height} pixels"
            )
            raise InputError(self.name, fact, "Pass the sensor's size, or leave such events out")
        if np.any(np.diff(given["t_us"].astype(np.int64, copy=False)) < 0):
            raise InputError(self.name, "times go back", _REMEDY_ORDER)
        for name, kind in (("x", np.int32), ("y", np.int32), ("t_us", np.int64), ("on", np.bool_)):
            object.__setattr__(self, name, frozen_array(given[name], kind))

    def __len__(self) -> int:
        return len(self.x)

    @property
    def duration_us(self) -> int:
        """From the first event to the last, in microseconds; 0 where there are fewer than two."""
        return int(self.t_us[-1] - self.t_us[0]) if len(self) else 0


@dataclass(frozen=True, slots=True)
class Found:
    """What a format's reader found: arrays (events,) in the file's order, the sensor's (width, height) where the file says it,
    and the byte at which an event lies."""

    x: Integers
    y: Integers
    t_us: NDArray[np.int64]
    on: NDArray[np.bool_]
    size: tuple[int, int] | None = None
    byte: Callable[[int], int] | None = None
    notes: tuple[str, ...] = field(default=())


def settled(where: str, found: Found, size: tuple[int, int] | None) -> Recording:
    """The recording; `size`: what the caller knows better than the file. FormatError for events beyond the sensor."""
    width, height = size or found.size or _smallest(where, found)
    bad = beyond(found.x, found.y, width, height)
    if bad is not None:
        at = f", byte {found.byte(bad):,}" if found.byte else ""
        fact = f"event {bad:,} is at ({found.x[bad]}, {found.y[bad]}), the sensor has {width} x {height} pixels"
        raise FormatError(f"{where}{at}", fact, "Pass size=(width, height) of the camera, or record again if the file is damaged")
    notes = [*found.notes]
    if size is None and found.size is None:
        notes.append(
            f"the file does not say how large the sensor is: taken as {width} x {height}, the smallest that holds its events"
        )
    back = int(np.count_nonzero(np.diff(found.t_us) < 0))
    x, y, t_us, on = found.x.astype(np.int32), found.y.astype(np.int32), found.t_us, found.on
    if back:
        order = np.argsort(t_us, kind="stable")
        x, y, t_us, on = x[order], y[order], t_us[order], on[order]
        notes.append(f"times go back {back:,} times: events were sorted by time")
    return Recording(x, y, t_us, on, width, height, where, tuple(notes))


def beyond(x: Integers, y: Integers, width: int, height: int) -> int | None:
    """The first event that lies beyond the sensor, or None."""
    outside = (x < 0) | (y < 0) | (x >= width) | (y >= height)
    return int(np.argmax(outside)) if outside.any() else None


def continued(counter: Integers, bits: int) -> tuple[NDArray[np.int64], int]:
    """A counter of so many bits as if it had never wrapped, and how often it did: a step back by more than half of its range."""
    values = counter.astype(np.int64)
    back = np.diff(values) < -(1 << (bits - 1))
    forth = np.diff(values) > 1 << (bits - 1)  # events that straddle a wrap and came late
    laps = np.concatenate([[0], np.cumsum(back.astype(np.int64) - forth)]) if values.size else values
    return values + (np.maximum(laps, 0) << bits), int(laps.max(initial=0))


def wrapped_note(wraps: int, bits: int) -> tuple[str, ...]:
    """What to tell of a counter that wrapped."""
    times = "once" if wraps == 1 else f"{wraps:,} times"
    return (f"the time counter of {bits} bits wraps {times}: times go on after it",) if wraps else ()


def cut_short(where: str, at: int, need: int, left: int) -> FormatError:
    """The refusal of a file that ends inside a part that begins at byte `at`."""
    fact = f"the file ends inside a part of {need:,} bytes, {left:,} of them are there"
    return FormatError(f"{where}, byte {at:,}", fact, f"Copy the file again, or cut it to {at:,} bytes to use what is whole")


def _smallest(where: str, found: Found) -> tuple[int, int]:
    if not len(found.x):
        raise FormatError(where, "it holds no events and does not say how large the sensor is", "Record again")
    width, height = int(found.x.max()) + 1, int(found.y.max()) + 1
    if max(width, height) > MOST_PIXELS:
        raise FormatError(where, f"its events reach {width} x {height} pixels", "Pass size=(width, height) of the camera")
    return max(width, 1), max(height, 1)
