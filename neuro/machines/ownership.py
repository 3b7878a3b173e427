"""Total cost of ownership per inference, from the user's own prices. Holds no price of its own.

cost = (capital / (life x utilisation) + power x PUE x electricity) x time per inference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from neuro.bill import Bill
from neuro.errors import FormatError, UsageError
from neuro.frozen import FrozenDict
from neuro.reading import read_toml

SECONDS_PER_YEAR = 365.25 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Prices:
    """What the user pays, in one currency: for the machine (`capital`), per kWh; `pue`: energy of site per energy of machine."""

    capital: float
    life_years: float
    utilisation: float
    electricity_per_kwh: float
    pue: float

    def __post_init__(self) -> None:
        checks = (
            ("capital", self.capital >= 0, "0 or more"),
            ("life_years", self.life_years > 0, "more than 0"),
            ("utilisation", 0 < self.utilisation <= 1, "a share between 0 and 1"),
            ("electricity_per_kwh", self.electricity_per_kwh >= 0, "0 or more"),
            ("pue", self.pue >= 1, "1 or more"),
        )
        for name, good, wanted in checks:
            if not good:
                raise UsageError(f"prices, {name}", f"it is {getattr(self, name)}", f"Give {wanted}")


def cost_per_million(bill: Bill, prices: Prices) -> dict[str, float]:
    """What a million inferences cost at this bill: capital, electricity and their sum. Energy is the device's own, times PUE."""
    if not bill.energy_known:
        raise UsageError(
            f"machine {bill.target!r}", "its energy is not known", "Use a machine with power.busy, or add it to a machine file"
        )
    seconds = 1e6 / bill.throughput_per_s
    capital = prices.capital * seconds / (prices.life_years * SECONDS_PER_YEAR * prices.utilisation)
    electricity = _electricity(bill.energy_pj * 1e-12, prices.pue, prices.electricity_per_kwh)
    return {"capital": capital, "electricity": electricity, "total": capital + electricity}


def _electricity(joules: float, pue: float, per_kwh: float) -> float:
    """Of a million inferences that need so many joules each."""
    return joules * 1e6 / 3.6e6 * pue * per_kwh


@dataclass(frozen=True, slots=True)
class PriceList:
    """What devices and electricity cost one user: `capital` by target's name, in `currency`; the other fields as in `Prices`."""

    capital: Mapping[str, float]
    life_years: float
    electricity_per_kwh: float
    pue: float = 1.0
    currency: str = ""

    def __post_init__(self) -> None:
        for name, value in self.capital.items():
            self.of(name, value)
        object.__setattr__(self, "capital", FrozenDict(self.capital))

    def of(self, name: str, capital: float) -> Prices:
        """The prices of one target, in use all the time. UsageError for what is out of range."""
        try:
            return Prices(capital, self.life_years, 1.0, self.electricity_per_kwh, self.pue)
        except UsageError as error:
            raise UsageError(f"prices of {name}, {error.where.partition(', ')[2]}", error.fact, error.remedy) from None

    def per_million(self, name: str, devices: int, rate_hz: float, joules: float) -> dict[str, float] | None:
        """What a million inferences cost on devices that make `rate_hz` together, at `joules` each, waiting included.

        None for a target whose capital is not in the list.
        """
        if name not in self.capital:
            return None
        capital = devices * self.capital[name] * 1e6 / rate_hz / (self.life_years * SECONDS_PER_YEAR)
        electricity = _electricity(joules, self.pue, self.electricity_per_kwh)
        return {"capital": capital, "electricity": electricity, "total": capital + electricity}


def read_prices(path: Any) -> PriceList:
    """A price list from a TOML file: life_years, electricity_per_kwh, and if wanted pue and currency; [capital]."""
    found = read_toml(path)
    remedy = "Write life_years = 4, electricity_per_kwh = 0.3, and below [capital] lines such as gap9 = 15"
    numbers = {key: found.pop(key, None) for key in ("life_years", "electricity_per_kwh")}
    numbers["pue"], currency, capital = found.pop("pue", 1.0), found.pop("currency", ""), found.pop("capital", None)
    if found:
        raise FormatError(str(path), f"there is no field {next(iter(found))!r}", remedy)
    if not isinstance(capital, dict) or not isinstance(currency, str):
        raise FormatError(str(path), "it has no table of capital", remedy)
    for key, value in {**numbers, **capital}.items():
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise FormatError(str(path), f"{key} is {value!r}", remedy)
    prices = {name: float(value) for name, value in capital.items()}
    years, per_kwh, pue = (float(value or 0) for value in numbers.values())
    try:
        return PriceList(prices, years, per_kwh, pue, currency)
    except UsageError as error:
        raise FormatError(f"{path}, {error.where}", error.fact, error.remedy) from None
