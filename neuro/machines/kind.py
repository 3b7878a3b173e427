"""What a kind of machine declares: a row of functions and facts. Others read them; nobody asks which kind a machine is.

Knows workloads and figures; knows no particular kind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from neuro.machines.device import Device, Parameters
from neuro.machines.host import host_seconds, hosted
from neuro.machines.roofline import Rates, Timing, Waste, layer_seconds, no_waste, timing
from neuro.machines.workload import Workload
from neuro.sourced import Sourced

Bounds = tuple[float, float, float]  # of a fitted parameter: prior, lowest, highest
LayerTimes = list[tuple[str, float, float, float]]  # of a batch: name, nanoseconds of compute, memory, floor
Timed = Callable[[Workload, Device, str, int, Parameters], Timing]  # workload, machine, precision, batch, parameters
Layered = Callable[[Workload, Device, str, int, Parameters], LayerTimes]
Reached = Callable[[Device, str, int, Parameters], Rates]  # machine, precision, batch, parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineKind:
    """One kind of machine.

    model: its name in the basis of a bill. needs: figures that a machine file must give; figures: names and units of figures that
    only this kind has. timing and layers: the time of a batch, as a whole and by layer.
    classes: how the error tables call it, by runtime. fitted: parameters that measurements decide, of machines whose file gives
    the figure `fitted_with` where one is named; assumed: parameters that calibrated.toml need not hold.
    full_w(machine, parameters): watts that full load needs; 0: its power limit.
    external_memory: whether work waits for a memory beside the machine; trains: whether networks are trained on it; sparse_since:
    the year from which such machines skip 2:4 sparse weights.
    """

    model: str
    needs: tuple[str, ...]
    timing: Timed
    layers: Layered
    figures: Mapping[str, str] = field(default_factory=dict)
    classes: Mapping[str, str] = field(default_factory=dict)
    fitted: Mapping[str, Bounds] = field(default_factory=dict)
    fitted_with: str = ""
    assumed: Mapping[str, Sourced] = field(default_factory=dict)
    full_w: Callable[[Device, Parameters], float] = lambda machine, p: 0.0
    external_memory: bool = True
    trains: bool = False
    sparse_since: int | None = None


def _plain(machine: Device) -> Waste:
    return no_waste


def roofed_timing(rates: Reached, waste: Callable[[Device], Waste] = _plain) -> Timed:
    """The time of a batch by the roofline, with what such machines reach and what they waste."""

    def timed(workload: Workload, machine: Device, precision: str, batch: int, p: Parameters) -> Timing:
        reached = hosted(rates(machine, precision, batch, p), machine, p)
        return timing(workload, reached, batch, waste(machine), host_seconds(machine, p))

    return timed


def roofed_layers(rates: Reached, waste: Callable[[Device], Waste] = _plain) -> Layered:
    """The same by layer."""

    def layered(workload: Workload, machine: Device, precision: str, batch: int, p: Parameters) -> LayerTimes:
        reached = hosted(rates(machine, precision, batch, p), machine, p)
        seconds = layer_seconds(workload, reached, batch, waste(machine))
        parts = zip(workload.ops, *seconds, strict=True)
        return [(op.name, 1e9 * float(c), 1e9 * float(m), 1e9 * float(f)) for op, c, m, f in parts]

    return layered
