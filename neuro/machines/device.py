"""What the models read of a machine, and the widths of number formats. Knows no kind of machine and no file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from neuro.sourced import Sourced

BITS = {"int1": 1, "int2": 2, "int3": 3, "int4": 4, "int8": 8, "fp8": 8, "bf16": 16, "fp16": 16, "tf32": 32, "fp32": 32}
Parameters = Mapping[str, float]  # of a kind of machine, by name


class Device(Protocol):
    """A machine as its kind's model sees it: named figures, and the rates of the number formats it has."""

    @property
    def name(self) -> str: ...
    @property
    def runtime(self) -> str: ...
    @property
    def dataflow(self) -> str: ...
    @property
    def figures(self) -> Mapping[str, Sourced]: ...

    def value(self, name: str, default: float | None = None) -> float:
        """The figure `name`, or `default`; a MachineError where there is neither."""

    def peak_macs(self, precision: str) -> float:
        """Peak multiply-accumulates per second; a MachineError for an unknown precision."""
