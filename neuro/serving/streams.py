"""A chip that takes frames of a stream: how often it can take one, how late it answers, what a frame costs. Runs nothing."""

from __future__ import annotations

from dataclasses import dataclass

from neuro.chip.emulator import ChipRun
from neuro.chip.spec import always_on_w
from neuro.encoding import source_of
from neuro.errors import ChipError
from neuro.serving.targets import Target


@dataclass(frozen=True, slots=True)
class Pace:
    """Frames on a chip, pipelined: a new one every period, while earlier ones are in deeper layers.

    period, depth: steps from frame to frame, and from a frame to its answer; frame_s, latency_s: the same in time, at the mean
    time of a step. dynamic_j: joules of work a frame; always_w: watts that are drawn whether it works or waits, None where a chip
    file does not say. messages, synops, updates: of a frame.
    """

    period: int
    depth: int
    frame_s: float
    latency_s: float
    dynamic_j: float
    always_w: float | None
    messages: float
    synops: float
    updates: float

    @property
    def most_per_s(self) -> float:
        """The most frames a second that the chip can take."""
        return 1 / self.frame_s

    def busy(self, rate_hz: float) -> float:
        """The share of the time in which it works at a frame rate; above 1 it cannot keep up."""
        return rate_hz * self.frame_s

    def power_w(self, rate_hz: float) -> float | None:
        """Watts at a frame rate, waiting between frames included; None where waiting is not known."""
        return None if self.always_w is None else rate_hz * self.dynamic_j + self.always_w

    def target(self, name: str) -> Target:
        """The chip as `neuro.serving` compares it with other targets."""
        waiting = None if self.always_w is None else (self.always_w, self.always_w)
        return Target(name, (self.latency_s,), (self.frame_s,), (self.dynamic_j,), waiting)


def pace(chip_run: ChipRun, *, stepwise: bool = False) -> Pace:
    """The pace of a run of frames; stepwise: of a network without frames, each step of whose stream stands for one.

    Raises ChipError for a network without frames otherwise, and for a chip whose times are not public.
    """
    network, run, chip = chip_run.placement.network, chip_run.run, chip_run.placement.chip
    period = 1 if stepwise else max((source_of(p).period or 0 for p in network.sources), default=0)
    if not period or (run.frames is None and not stepwise):
        raise ChipError("network", "it has no frames", "Convert it with frames=True")
    if not chip_run.bill.latency_ns > 0:
        raise ChipError(chip.name, "what a step takes is not public", "Use a chip file that gives times")
    frames = run.timesteps if run.frames is None else run.frames.shape[1]
    step_s = float(chip_run.step_times.total.mean()) * 1e-9
    depth = max(p.neuron.start_step for p in network.readouts) + 1
    always = list(always_on_w(chip, chip_run.placement.chips_used).values())
    each = run.samples * frames
    return Pace(
        period=period,
        depth=depth,
        frame_s=period * step_s,
        latency_s=depth * step_s,
        dynamic_j=chip_run.bill.dynamic_pj * 1e-12 / frames,
        always_w=None if None in always else float(sum(watts or 0.0 for watts in always)),
        messages=run.messages / each,
        synops=run.synops / each,
        updates=run.updates / each,
    )
