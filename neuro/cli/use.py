"""Options that say how a network is used: rate, battery, load, deadline, prices."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from neuro.serving.use import Use

_RATE = "Judge every target at so many inferences a second: 10/s, 6/min, 1/h; waiting counts."
_BATTERY = "How long it lasts at --rate: 1000mAh@3.7V or 3.7Wh."
_ARRIVALS = "Requests that queue: 200/s at random, a file of times, single-stream, multi-stream, server or offline."
_PRICES = "A .toml file of what devices and electricity cost."
Rate = Annotated[str | None, typer.Option("--rate", metavar="R", help=_RATE, show_default=False)]
Battery = Annotated[str | None, typer.Option("--battery", metavar="B", help=_BATTERY, show_default=False)]
Arrivals = Annotated[str | None, typer.Option("--arrivals", metavar="A", help=_ARRIVALS, show_default=False)]
Deadline = Annotated[str | None, typer.Option("--deadline", metavar="T", help="Of 99 in 100 requests: 15ms.", show_default=False)]
PriceFile = Annotated[Path | None, typer.Option("--prices", metavar="FILE", help=_PRICES, show_default=False)]


@dataclass(frozen=True, slots=True)
class UseOptions:
    """The options as they were written."""

    rate: str | None = None
    battery: str | None = None
    arrivals: str | None = None
    deadline: str | None = None
    prices: Path | None = None

    def files(self) -> dict[str, Path | str | None]:
        """The files that are read, by the option that names them."""
        trace = self.arrivals if self.arrivals is not None and os.path.exists(self.arrivals) else None
        return {"--prices": self.prices, "--arrivals": trace}

    def parsed(self) -> Use | None:
        """The use; None where no option was given. Raises UsageError and FormatError under the names of the options."""
        if self == UseOptions():
            return None
        from neuro.errors import UsageError
        from neuro.machines.ownership import read_prices
        from neuro.serving.use import Use, parse_arrivals, parse_battery, parse_rate, parse_time

        if self.prices is not None and self.rate is None and self.arrivals is None:
            raise UsageError("--prices", "what an inference costs depends on how many there are", "Add --rate or --arrivals")
        try:
            return Use(
                None if self.rate is None else parse_rate("--rate", self.rate),
                None if self.battery is None else parse_battery("--battery", self.battery),
                None if self.arrivals is None else parse_arrivals("--arrivals", self.arrivals),
                None if self.deadline is None else parse_time("--deadline", self.deadline),
                None if self.prices is None else read_prices(self.prices),
            )
        except UsageError as error:
            raise UsageError(f"--{error.where.removeprefix('--')}", error.fact, error.remedy) from None
