"""The prices against the keyword networks that were measured on Loihi 1; what was assumed stands in benchmarks/blouw.py."""

import pytest

from benchmarks import blouw


def test_the_slope_per_copy_is_that_of_the_silicon() -> None:
    slope, _, rate = blouw.slope_uj(copies=(1, 3))
    assert rate == pytest.approx(0.0635, rel=0.1)
    assert slope == pytest.approx(blouw.MEASURED_SLOPE_UJ, rel=0.25)


def test_the_spotter_stays_below_what_was_measured_and_needs_the_host_to_reach_it() -> None:
    chip_run = blouw.emulated(0)
    mesh_uj = chip_run.bill.dynamic_pj / 1e6
    assert mesh_uj < blouw.MEASURED_MESH_UJ
    hosted = chip_run.price(blouw.with_host(chip_run))
    management_uj = hosted.energy_by_part()["management"] / 1e6
    assert hosted.latency_ns == pytest.approx(1e9 / blouw.INFERENCES_PER_S)
    assert 0.75 * blouw.MEASURED_OVER_BOOT_UJ < mesh_uj + management_uj < blouw.MEASURED_OVER_BOOT_UJ
