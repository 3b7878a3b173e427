"""Devices and batches as measurements name them: a count is read or refused, never taken for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuro.errors import MachineError
from neuro.machines.naming import batch_of
from neuro.machines.points import match_device, shipped_points

READ = {
    "DGX Station 4x A100 MaxQ": ("a100", 4, True),
    "A100": ("a100", 1, False),
    "A100 Max-Q": ("a100", 1, True),
    "A100 x4": ("a100", 4, False),
    "x4 A100": ("a100", 4, False),
    "2 x A100-PCIe-40GB": ("a100", 2, False),
    "4×A100": ("a100", 4, False),
    "dual A100": ("a100", 2, False),
    "A100 (8 GPUs)": ("a100", 8, False),
    "2S Xeon Platinum 8380": ("xeon-8380", 2, False),
    "Xeon E5-2630 (24 cores)": ("xeon-e5-2630", 1, False),
    "8x T4 (5622/s each)": ("t4", 8, False),
    "TPU v3-8 (4 chips)": ("tpu-v3", 4, False),
    "GAP9 0.65V 240MHz": ("gap9", 1, False),
}
REFUSED = (
    "32x TPU v3-8", "TPU v3-8", "TPU v3-32", "2 x", "x4", "(8)", "A100 (8)", "8 A100", "0x A100", "2x A100 + 1x T4", "2x 4x A100",
    "Inferentia 2", "A100 x", "8xA100", "A100 times 4",
)  # fmt: skip


@pytest.mark.parametrize("device", READ)
def test_a_device_is_read_with_its_count(device: str) -> None:
    machine, count, capped = match_device(device)
    assert (machine.name, count, capped) == READ[device]


@pytest.mark.parametrize("device", REFUSED)
def test_a_count_that_is_not_understood_is_refused(device: str) -> None:
    with pytest.raises(MachineError, match="device"):
        match_device(device)


@given(
    st.integers(0, 64), st.sampled_from(["{n}x {m}", "{m} x{n}", "host {n}x {m} MaxQ", "{m} ({n} chips)", "{n} {m}", "{m} ({n})"])
)
def test_no_count_becomes_one(count: int, written: str) -> None:
    try:
        found = match_device(written.format(n=count, m="A100-SXM-80GB"))[1]
    except MachineError:
        return
    assert found == count


def test_shipped_measurements_are_counted() -> None:
    counts = {}
    for point in shipped_points():
        if not point.device.startswith("Loihi"):
            counts[point.device] = match_device(point.device)[1]
    assert {device for device, count in counts.items() if count == 1 and device[:1] in "23456789"} == set()
    assert counts["4S Cooper Lake (CPX)"] == counts["4x T4 (Dell)"] == 4
    assert counts["16x QAIC100 Pro"] == 16


@pytest.mark.parametrize(
    ("text", "batch"),
    [
        ("offline b2048", 2048),
        ("b1 single stream", 1),
        ("offline batch 8", 8),
        ("batch size 16", 16),
        ("offline bs=4", 4),
        ("offline", None),
    ],
)
def test_a_batch_is_read(text: str, batch: int | None) -> None:
    assert batch_of("point", text) == batch


@pytest.mark.parametrize("text", ["offline 8", "offline b0", "b1 b8", "offline batch", "offline 8-batch", "offline batch eight"])
def test_a_batch_that_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(MachineError, match="one batch of 1 or more"):
        batch_of("point", text)
