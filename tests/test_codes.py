"""Rows of codes: what each declares agrees with the neurons that it makes, and with what a chip must be able to do."""

from pathlib import Path
from typing import get_args

import pytest

from converters.codes import lossless_codes, named, row_of
from converters.coding import CodeSettings
from neuro.chip.spec import Program
from neuro.codes import CODES, LONGEST, Code
from neuro.neurons import MaxPool, Neuron, Source

FILES = Path(__file__).parent.parent / "converters" / "codes"


def settings(code: str, timesteps: int | None = None) -> CodeSettings:
    window = row_of(code).to_try[-1] if timesteps is None else timesteps
    return CodeSettings(code, window, 8, Source(), row_of(code).look_ahead(window))


def neuron(code: str, all_once: bool = False) -> Neuron:
    chosen, row = settings(code), row_of(code)
    return row.neuron(64, 3, row.timing(chosen, all_once), chosen)


def test_every_code_has_a_file_and_every_file_a_code() -> None:
    assert {path.stem for path in FILES.glob("*.py")} - {"__init__", "row"} == set(CODES) == set(get_args(Code))


@pytest.mark.parametrize("code", CODES)
def test_a_chip_is_asked_for_what_the_neurons_of_a_code_send(code: str) -> None:
    low, high = neuron(code).messages
    assert CODES[code].program in get_args(Program)
    assert CODES[code].signed == (low < 0)
    assert CODES[code].payload_bits == (high.bit_length() if high > 1 else 0)


@pytest.mark.parametrize("code", CODES)
def test_windows_to_try_grow_and_are_allowed(code: str) -> None:
    tried = row_of(code).to_try
    assert tried == tuple(sorted(set(tried)))
    assert tried[0] >= 1
    assert tried[-1] <= CODES[code].most_timesteps <= LONGEST


@pytest.mark.parametrize("code", CODES)
def test_weights_of_a_max_pool_tell_its_taps_apart(code: str) -> None:
    pool = row_of(code).pool(3, 2, settings(code))
    turns = isinstance(pool, MaxPool) and pool.code == "turns"
    expected = None if turns else pool.base if isinstance(pool, MaxPool) else 1
    assert row_of(code).pool_base == expected
    assert pool.start_step == 2


@pytest.mark.parametrize("code", CODES)
def test_a_code_that_depends_on_timing_names_a_lossless_one_of_the_same_levels(code: str) -> None:
    row = row_of(code)
    assert row.lossless != bool(row.lossless_form)
    if row.lossless_form:
        assert row.lossless_form in lossless_codes()
        assert all(row.levels(t) == row_of(row.lossless_form).levels(t) for t in row.to_try)
    assert not set(row.finer) - set(CODES)
    assert code not in row.finer


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("all_once", [False, True])
def test_neurons_start_when_asked_and_answer_after_what_they_gather(code: str, all_once: bool) -> None:
    timing, made = row_of(code).timing(settings(code), all_once), neuron(code, all_once)
    assert made.start_step == 3
    assert getattr(made, "hold_input", False) == timing.hold
    assert timing.gather >= 1
    assert timing.lag in (0, timing.gather - 1)
    assert getattr(made, "gather", timing.gather) == timing.gather


def test_codes_are_named_as_a_remedy_names_them() -> None:
    assert named(lossless_codes()) == "'wait', 'radix' or 'graded'"
    assert named(("wait",)) == "'wait'"
