"""What a job found, as one value: the network's runs on the chip, the float network's accuracy, the comparison.

Terminal, JSON and HTML page are all written from it. Knows nothing of how they look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from neuro.chip.emulator import ChipRun
from neuro.chip.placing.placement import Placement
from neuro.comparison import Comparison
from neuro.engine.records import Run
from neuro.faultcurves import Curves
from neuro.metrics import NeuroBench
from neuro.serving.serving import Serving

Labels = NDArray[np.int64]


class Agreement(Protocol):
    """How a converted network agrees with the float one, as `Conversion.agreement` says it."""

    @property
    def samples(self) -> int: ...
    @property
    def warning(self) -> str | None: ...
    def to_dict(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Trial:
    """One network on one chip: its code ("-" where it is not known), what it did, the classes of the samples, how it agrees
    with the float network on calibration samples, and which of several outputs the classes are of."""

    code: str
    chip_run: ChipRun
    labels: Labels | None = None
    agreement: Agreement | None = None
    output: str = ""

    @property
    def judged(self) -> Run:
        """The run, with the output alone that the classes are of."""
        return self.chip_run.run.of_output(self.output) if self.output else self.chip_run.run

    @property
    def placement(self) -> Placement:
        return self.chip_run.placement

    @property
    def accuracy(self) -> float | None:
        """Share of samples whose largest logit is the label's; None without labels."""
        return None if self.labels is None else float((self.judged.predictions == self.labels).mean())

    @property
    def interval(self) -> tuple[float, float] | None:
        """Where the accuracy on many more such samples lies, 95 times in 100 (Wilson 1927); None without labels."""
        if self.accuracy is None:
            return None
        share, n, z = self.accuracy, self.chip_run.run.samples, 1.96
        middle = (share + z * z / (2 * n)) / (1 + z * z / n)
        half = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return float(max(0.0, middle - half)), float(min(1.0, middle + half))

    @property
    def accuracy_by_step(self) -> NDArray[np.float64] | None:
        """Accuracy (steps,) if the readout had been read after each step of its window; None if that was not recorded."""
        by_step = None if self.labels is None else self.judged.logits_by_step
        if by_step is None or self.labels is None:
            return None
        return np.asarray((by_step.argmax(axis=2) == self.labels[:, None]).mean(axis=0), np.float64)


class Ablation(Protocol):
    """The outputs' error and agreement with the float network when one cause of error is taken away, and what that gains."""

    @property
    def cause(self) -> str: ...
    @property
    def error(self) -> float: ...
    @property
    def gain(self) -> float: ...
    @property
    def agreement(self) -> float: ...
    @property
    def remedy(self) -> str: ...


class Losses(Protocol):
    """What each layer of a conversion loses and why, as `Conversion.diagnosis` holds it."""

    @property
    def samples(self) -> int: ...
    @property
    def ablations(self) -> Sequence[Ablation]: ...
    @property
    def advice(self) -> str: ...
    def rows(self) -> list[dict[str, Any]]: ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that a command reports.

    `trial` is the network that the headline is about, `others` the same float network in other codes, `refused` the codes
    that were tried and why they were refused. `example` is a run of one sample with its raster. `diagnosis` is what was
    noticed during conversion, `losses` what each layer loses. `elsewhere`: the same network on other chips, and `refused_chips`
    those that cannot hold it, with the reason. `serving`: what a use of it costs. `facts` are lines such as where the data came
    from.
    """

    title: str
    trial: Trial
    accuracy_ann: float | None = None
    comparison: Comparison | None = None
    example: Run | None = None
    others: tuple[Trial, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    diagnosis: tuple[str, ...] = ()
    losses: Losses | None = None
    facts: tuple[str, ...] = ()
    seed: int | None = None
    faults: Curves | None = None
    metrics: NeuroBench | None = None
    serving: Serving | None = None
    elsewhere: tuple[Outcome, ...] = ()
    refused_chips: Mapping[str, str] = field(default_factory=dict)

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All runs, the headline's first."""
        return (self.trial, *self.others)
