"""Total cost of ownership per inference, from the user's own prices. Holds no price of its own.

cost = (capital / (life x utilisation) + power x PUE x electricity) x time per inference.
"""

from __future__ import annotations

from dataclasses import dataclass

from neuro.bill import Bill
from neuro.errors import UsageError

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
    electricity = bill.energy_pj * 1e-12 * 1e6 / 3.6e6 * prices.pue * prices.electricity_per_kwh
    return {"capital": capital, "electricity": electricity, "total": capital + electricity}
