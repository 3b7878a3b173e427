"""One setting measured: converted, placed, emulated in blocks of samples, and the blocks put together.

The blocks are the same wherever they are worked on, so that one machine and a cluster give the same numbers to the last digit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from neuro.chip.cutting.capabilities import conversion_for
from neuro.chip.cutting.crossbars import for_chip
from neuro.chip.emulator import emulate
from neuro.chip.placing.mapping import Method
from neuro.chip.placing.placement import Placement, place
from neuro.chip.spec import Chip
from neuro.errors import ChipError, NeuroError
from neuro.sweeping.settings import Setting

if TYPE_CHECKING:
    from converters.pipeline import Conversions

BLOCK = 256  # samples


@dataclass(frozen=True, slots=True)
class Measured:
    """What samples cost on the chip: averages of one inference, energies in pJ, times in ns; `accuracy` is a share."""

    samples: int
    accuracy: float
    energy_pj: float
    dynamic_pj: float
    latency_ns: float
    spikes: float
    synops: float
    updates: float
    packets: float
    steps: int
    cores_used: int


_MEANS = ("accuracy", "energy_pj", "dynamic_pj", "latency_ns", "spikes", "synops", "updates", "packets")


def prepare(conversions: Conversions, setting: Setting, chip: Chip) -> Placement:
    """Convert and place; what does not depend on the setting is kept with the conversions. Raises ConversionError or FitError
    where the setting is not possible."""
    from converters.options import Options
    from neuro.threads import one_thread

    how: dict[str, Any] = {"code": setting.code, "threshold": setting.threshold, "weight_bits": setting.weight_bits}
    how |= conversion_for(chip, setting.code)
    with one_thread():  # without a comparison on calibration samples: a sweep measures the accuracy of every setting
        network = conversions.network(Options(timesteps=setting.timesteps, **how))
    return place(for_chip(network, chip), chip, method=cast(Method, setting.placement))


def blocks(samples: int) -> Iterator[slice]:
    """Which samples are worked on together."""
    for first in range(0, samples, BLOCK):
        yield slice(first, min(first + BLOCK, samples))


def measure_block(placement: Placement, inputs: NDArray[Any], labels: NDArray[np.int64]) -> Measured:
    """One block of samples on the chip, in one thread. Raises ChipError where no price or no time of the chip is public."""
    ran = emulate(placement, inputs, threads=1)
    run, bill, samples = ran.run, ran.bill, len(inputs)
    for what, known in (("energy", bill.energy_known), ("time", not math.isnan(bill.latency_ns))):
        if not known:
            raise ChipError(f"chip {bill.target!r}", f"no {what} is public for it, so it has no place on a front", "Leave it out")
    return Measured(
        samples,
        accuracy=float((run.predictions == labels).mean()),
        energy_pj=bill.energy_pj,
        dynamic_pj=bill.dynamic_pj,
        latency_ns=bill.latency_ns,
        spikes=run.messages / samples,
        synops=ran.synops / samples,
        updates=run.updates / samples,
        packets=ran.counts.packets / samples,
        steps=run.steps,
        cores_used=placement.cores_used,
    )


def together(parts: Sequence[Measured]) -> Measured:
    """Blocks of the same placement as one: averages weighted by samples."""
    samples = sum(part.samples for part in parts)
    means: dict[str, Any] = {name: math.fsum(getattr(part, name) * part.samples for part in parts) / samples for name in _MEANS}
    same = {f.name: getattr(parts[0], f.name) for f in fields(Measured) if f.name not in (*_MEANS, "samples")}
    return Measured(samples=samples, **means, **same)


def reason_for(error: Exception) -> str:
    """Why a setting could not be measured, in one line."""
    text = str(error) if isinstance(error, NeuroError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())
