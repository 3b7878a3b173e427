"""Numbers are written as people read them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuro import units


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (units.energy(0), "0 J"),
        (units.energy(1.0), "1.00 pJ"),
        (units.energy(999.6), "1.00 nJ"),
        (units.energy(23_600_000), "23.6 µJ"),
        (units.energy(4.2e12), "4.20 J"),
        (units.energy(math.nan), "not public"),
        (units.time(None), "not public"),
        (units.count(math.nan), "not public"),
        (units.times(0), "0×"),
        (units.time(1_250), "1.25 µs"),
        (units.time(2e9), "2.00 s"),
        (units.rate(12_345), "12.3 k/s"),
        (units.count(12_345), "12,345"),
        (units.count(0.25), "0.25"),
        (units.count(4_089_184_256), "4.09 G"),
        (units.percent(0.9933), "99.3 %"),
        (units.times(3.14159), "3.1×"),
        (units.times(1234.5), "1,234×"),
        (units.times(0.0421), "0.042×"),
    ],
)
def test_examples(written, expected) -> None:
    assert written == expected


@given(st.floats(1e-3, 1e17))
def test_energy_keeps_three_digits(pj) -> None:
    number, unit = units.energy(pj).split(" ")
    back = float(number.replace(",", "")) * {"p": 1, "n": 1e3, "µ": 1e6, "m": 1e9, "J": 1e12, "k": 1e15, "M": 1e18}[unit[0]]
    assert back == pytest.approx(pj, rel=5.1e-3)
