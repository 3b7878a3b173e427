"""FPGA dataflow pipelines (FINN): one stage of hardware per layer, folded to fit. Knows layers with MACs only.

A stage of PE x SIMD multipliers takes cycles = (MH / PE) (MW / SIMD) pixels (FINN, matrix-vector unit, get_exp_cycles); the
slowest stage sets the initiation interval. Folding: the slowest stage is doubled until the LUTs or block RAMs run out. The host
adds a fixed time per inference. Attention and recurrence have no such stage and are refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from neuro.errors import MachineError
from neuro.machines.device import BITS, Device, Parameters
from neuro.machines.kind import LayerTimes, MachineKind
from neuro.machines.roofline import Timing
from neuro.machines.workload import Op, Workload

BRAM_SHAPES = ((1, 16384), (2, 8192), (4, 4096), (9, 2048), (18, 1024), (36, 512))  # width x depth of an 18 Kb block RAM
LUT_PER_BIT2 = 1.2  # LUTs of a multiplier per product of operand widths; FINN-R (Blott 2018) reports 1.0 to 1.4
LUT_PER_STAGE = 1000  # stream control and thresholds of one stage, assumed


@dataclass(frozen=True, slots=True)
class PipelineStage:
    """One layer in hardware: `pe` rows (of `rows` outputs) and `simd` columns (of `columns` inputs) at once."""

    name: str
    rows: int
    columns: int
    pixels: int
    pe: int = 1
    simd: int = 1

    @property
    def cycles(self) -> int:
        return (self.rows // self.pe) * (self.columns // self.simd) * self.pixels

    def luts(self, bits: int) -> float:
        return LUT_PER_STAGE + LUT_PER_BIT2 * bits * bits * self.pe * self.simd

    def brams(self, bits: int) -> int:
        """Block RAMs of the weights: width SIMD x bits x PE, depth the folding, in the block shape that wastes least."""
        width, depth = self.simd * bits * self.pe, (self.rows // self.pe) * (self.columns // self.simd)
        return min(math.ceil(width / wide) * math.ceil(depth / deep) for wide, deep in BRAM_SHAPES)


def fold(workload: Workload, *, luts: float, brams: float, bits: int) -> tuple[PipelineStage, ...]:
    """The pipeline that balances the layers within the resources. A MachineError where not even the smallest fits."""
    stages = [_stage(workload, op) for op in workload.ops if op.macs]
    if _over(stages, luts, brams, bits):
        raise MachineError(
            f"workload {workload.name!r}",
            f"its smallest pipeline needs {sum(s.brams(bits) for s in stages):,} block RAMs, {brams:,.0f} are there",
            "Use a smaller network, fewer bits, or a larger FPGA",
        )
    while True:
        slowest = max(range(len(stages)), key=lambda i: stages[i].cycles)
        wider = _wider(stages[slowest])
        if wider is None:
            return tuple(stages)
        trial = [*stages[:slowest], wider, *stages[slowest + 1 :]]
        if _over(trial, luts, brams, bits):
            return tuple(stages)
        stages = trial


def _stage(workload: Workload, op: Op) -> PipelineStage:
    if op.kind in ("attention", "recurrent"):
        raise MachineError(
            f"workload {workload.name!r}, layer {op.name!r}",
            f"{op.kind} has no stage in a dataflow pipeline",
            "Use an overlay (stratix-10-nx, vck5000) or another machine",
        )
    return PipelineStage(op.name, op.n * op.groups, op.k, op.m * op.repeats)


def _wider(stage: PipelineStage) -> PipelineStage | None:
    """The stage with the next larger number of multipliers, or None when it is fully parallel."""
    simd = next((n for n in range(stage.simd + 1, stage.columns + 1) if stage.columns % n == 0), None)
    pe = next((n for n in range(stage.pe + 1, stage.rows + 1) if stage.rows % n == 0), None)
    if simd is not None and (pe is None or stage.simd <= stage.pe):
        return PipelineStage(stage.name, stage.rows, stage.columns, stage.pixels, stage.pe, simd)
    if pe is not None:
        return PipelineStage(stage.name, stage.rows, stage.columns, stage.pixels, pe, stage.simd)
    return None


def _over(stages: list[PipelineStage], luts: float, brams: float, bits: int) -> bool:
    return sum(s.luts(bits) for s in stages) > luts or sum(s.brams(bits) for s in stages) > brams


def pipeline(workload: Workload, machine: Device, precision: str, p: Parameters) -> tuple[PipelineStage, ...]:
    """The folded pipeline of a workload on an FPGA, within what place and route can use of it."""
    share = p["resource_share"]
    luts, brams = share * machine.value("fpga.luts"), share * machine.value("fpga.brams")
    try:
        return fold(workload, luts=luts, brams=brams, bits=BITS[precision])
    except MachineError as error:
        raise MachineError(f"machine {machine.name!r}, {error.where}", error.fact, error.remedy) from None


def dataflow_timing(workload: Workload, machine: Device, precision: str, batch: int, p: Parameters) -> Timing:
    """Timing of a folded pipeline: the sum of the fills, then one answer per interval; the host handles each inference."""
    clock_hz = machine.value("core.clock") * 1e6
    stages = pipeline(workload, machine, precision, p)
    interval_s = max(stage.cycles for stage in stages) / clock_hz
    host_s = machine.value("time.start", p["host_us"]) * 1e-6
    fill_s = sum(stage.cycles / stage.pixels for stage in stages) / clock_hz
    first_s = max(fill_s, interval_s) + host_s
    total = first_s + (batch - 1) * (interval_s + host_s)
    multipliers = sum(stage.pe * stage.simd for stage in stages)
    note = f"pipeline of {len(stages)} stages, {multipliers:,} multipliers, interval {interval_s * 1e6:.3g} us"
    return Timing(total, batch * (interval_s + host_s), batch * interval_s / total, batch * host_s, (note,))


def _layers(workload: Workload, machine: Device, precision: str, batch: int, p: Parameters) -> LayerTimes:
    clock_ghz = machine.value("core.clock") * 1e-3
    return [(s.name, batch * s.cycles / clock_ghz, 0.0, 0.0) for s in pipeline(workload, machine, precision, p)]


KIND = MachineKind(
    model="folded pipeline",
    needs=("core.clock", "fpga.luts", "fpga.brams"),
    timing=dataflow_timing,
    layers=_layers,
    classes={"graph": "FPGA dataflow"},
    external_memory=False,
)
