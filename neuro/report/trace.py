"""A run as a trace for Perfetto and chrome://tracing: cores as rows, steps as slices, packets as a counter.

Format: the JSON object of Google's "Trace Event Format": complete events (X), counters (C) and names (M), times in microseconds.
Viewers add a slice's length to its start: the times here are multiples of 2^-14 us (61 ps), whose sums are exact, so that a slice
never ends behind the one that follows it, or the one that it lies in.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from neuro.chip.counts import IN, OUT, SPIKES, SYNOPS
from neuro.chip.emulator import ChipRun
from neuro.chip.pricing import core_times
from neuro.errors import UsageError
from neuro.files import write_text

CHIP, CORES = 1, 2  # the two groups of rows
_HOST = "host's port"
_TICKS = 1 << 14  # of a microsecond
Event = dict[str, Any]


def write_trace(path: Any, chip_run: ChipRun) -> None:
    """Write the first timed sample of a run. UsageError where the chip's times are not public, FormatError for the path."""
    write_text(path, json.dumps(trace(chip_run), allow_nan=False, separators=(",", ":")) + "\n")


def trace(chip_run: ChipRun) -> dict[str, Any]:
    """The same as plain values: traceEvents, displayTimeUnit, otherData."""
    times = chip_run.step_times
    if not times.total.size or not times.total[0].any():
        fact = f"the times of {chip_run.placement.chip.name} are not public"
        raise UsageError("trace", fact, "Use a chip with times, such as loihi2")
    events = [*_names(chip_run), *_steps(chip_run), *_cores(chip_run), *_packets(chip_run)]
    sample = int(chip_run.counts.timed[0])
    said = {"sample": sample, "chip": chip_run.placement.chip.name, "steps": chip_run.run.steps, "basis": chip_run.bill.basis}
    return {"traceEvents": events, "displayTimeUnit": "ns", "otherData": said}


def _starts(chip_run: ChipRun) -> Any:
    """When each step of the sample begins, ns; and where the last one ends."""
    return np.concatenate([[0.0], np.cumsum(chip_run.step_times.total[0])])


def _names(chip_run: ChipRun) -> Iterator[Event]:
    placement = chip_run.placement
    lives: dict[int, list[str]] = {}
    for name, cores in placement.cores.items():
        for core in np.unique(cores).tolist():
            lives.setdefault(core, []).append(name)
    for number, name in ((CHIP, f"steps of {placement.chip.name}"), (CORES, "cores")):
        yield {"ph": "M", "pid": number, "name": "process_name", "args": {"name": name}}
    for row, core in enumerate(chip_run.counts.cores.tolist()):
        held = _HOST if core < 0 else f"core {core}: {', '.join(lives.get(core, []))}"
        yield {"ph": "M", "pid": CORES, "tid": row, "name": "thread_name", "args": {"name": held}}
        yield {"ph": "M", "pid": CORES, "tid": row, "name": "thread_sort_index", "args": {"sort_index": row}}


def _steps(chip_run: ChipRun) -> Iterator[Event]:
    """Each step, and in it the work of cores and network, then the barrier, management and waiting."""
    times, starts = chip_run.step_times, _starts(chip_run)
    parts = {"work": times.work, "barrier": times.barrier, "management": times.management, "shortest step": times.idle}
    for step in range(times.total.shape[1]):
        yield _slice(f"step {step}", CHIP, 0, starts[step], starts[step + 1])
        at = starts[step]
        for name, spent in parts.items():
            if spent[0, step]:
                end = min(at + spent[0, step], starts[step + 1])
                yield _slice(name, CHIP, 0, at, end)
                at = end


def _cores(chip_run: ChipRun) -> Iterator[Event]:
    """What each core does in each step: as long as the longer of sending and receiving, which go on side by side."""
    counts, starts = chip_run.counts, _starts(chip_run)
    send, receive = (spent[0] for spent in core_times(counts, chip_run.placement.chip))
    each = counts.each[0]
    for step, row in np.argwhere((send > 0) | (receive > 0)).tolist():
        counted = each[step, row]
        args = {"send_ns": float(send[step, row]), "receive_ns": float(receive[step, row]), "spikes": int(counted[SPIKES])}
        args |= {"packets_out": int(counted[OUT]), "packets_in": int(counted[IN]), "synops": int(counted[SYNOPS:].sum())}
        cause = "sends" if send[step, row] >= receive[step, row] else "receives"
        yield _slice(cause, CORES, row, starts[step], starts[step] + max(send[step, row], receive[step, row]), args)


def _packets(chip_run: ChipRun) -> Iterator[Event]:
    """Packets of each step: all at its beginning, none once its work is done."""
    times, starts = chip_run.step_times, _starts(chip_run)
    sent = chip_run.counts.each[0, :, :, IN].sum(axis=1)
    for step, count in enumerate(sent.tolist()):
        for at, value in ((starts[step], int(count)), (starts[step] + times.work[0, step], 0)):
            yield {"ph": "C", "pid": CHIP, "name": "packets in flight", "ts": _us(at), "args": {"packets": value}}


def _us(time_ns: float) -> float:
    return round(float(time_ns) / 1e3 * _TICKS) / _TICKS


def _slice(name: str, group: int, row: int, start_ns: float, end_ns: float, args: Event | None = None) -> Event:
    start, end = _us(start_ns), _us(end_ns)
    event: Event = {"ph": "X", "pid": group, "tid": row, "name": name, "ts": start, "dur": end - start}
    return event if args is None else {**event, "args": args}
