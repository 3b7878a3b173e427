"""Which chips a network fits, with how many of them, what limits it there, and what an inference takes; prints nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from neuro.chip.cutting.crossbars import for_chip
from neuro.chip.cutting.limits import REMEDIES
from neuro.chip.emulator import emulate
from neuro.chip.files import list_chips, load_chip
from neuro.chip.placing.placement import place
from neuro.chip.spec import Chip
from neuro.engine.pace import Work
from neuro.errors import NeuroError
from neuro.network import Network

SAMPLES = 8  # that energy and latency are averages of


@dataclass(frozen=True, slots=True)
class Fit:
    """A network on one kind of chip. Where it fits: `chips` and `cores` in use on the smallest board, and of the limits of a core
    the one that cores come closest to, `limit`, filled to `share` on average; else `refused` says why not. `lever` would help.

    `energy_pj` of an inference, static power included, and `latency_ns` are None where the chip's are not public. `agreement`:
    share of the float network's decisions on calibration samples, None where it was not converted. `meets`: whether it is known
    to make the rate asked for.
    """

    chip: str
    fits: bool
    chips: int | None = None
    cores: int | None = None
    limit: str = ""
    share: float | None = None
    lever: str = ""
    energy_pj: float | None = None
    latency_ns: float | None = None
    agreement: float | None = None
    refused: str = ""
    meets: bool | None = None

    def to_row(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


Made = tuple[Network, float | None]  # and its agreement


def single_chips() -> tuple[str, ...]:
    """The presets of one chip; boards of them are made as large as a network needs."""
    return tuple(name for name in list_chips() if load_chip(name).chips == 1)


def fit_chips(
    made_for: Callable[[Chip], Made],
    samples: Any,
    *,
    chips: Iterable[str] | None = None,
    rate_hz: float | None = None,
    work: Work | None = None,
) -> tuple[Fit, ...]:
    """A network, made for each chip by `made_for`, on every preset of one chip, or on `chips`: the smallest board, some samples.

    samples: inputs (samples, ...), of which the first SAMPLES are run. rate_hz: inferences a second that are asked for.
    """
    work = work or Work()
    fits = []
    for name in single_chips() if chips is None else chips:
        work.step(f"{name}: converting, placing and running {min(len(samples), SAMPLES)} samples")
        try:
            fits.append(_fit(name, made_for, samples[:SAMPLES], rate_hz))
        except NeuroError as error:
            fits.append(Fit(name, False, lever=error.remedy, refused=f"{error.where}: {error.fact}"))
    return tuple(fits)


def smallest(fits: Iterable[Fit]) -> Fit | None:
    """The fit with the fewest chips, then the least energy, of those that meet the rate asked for, if one was."""
    able = [fit for fit in fits if fit.fits and fit.meets is not False]
    return min(able, key=lambda fit: (fit.chips or 0, fit.energy_pj or math.inf, fit.cores or 0), default=None)


def _fit(name: str, made_for: Callable[[Chip], Made], samples: Any, rate_hz: float | None) -> Fit:
    chip = load_chip(name)
    network, agreement = made_for(chip)
    placement = place(for_chip(network, chip), chip, board="auto")
    bill = emulate(placement, samples).bill
    latency = None if math.isnan(bill.latency_ns) else bill.latency_ns
    limit, share = placement.tightest
    return Fit(
        chip=name,
        fits=True,
        chips=placement.chips_used,
        cores=placement.cores_used,
        limit=limit,
        share=share,
        lever=REMEDIES[limit],
        energy_pj=bill.energy_pj if bill.energy_known else None,
        latency_ns=latency,
        agreement=agreement,
        meets=None if rate_hz is None else latency is not None and 1e9 / latency >= rate_hz,
    )
