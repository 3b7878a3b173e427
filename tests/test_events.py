"""Recordings of event cameras: other packages' files, files encoded by hand from the public formats, damaged ones, time steps."""

import struct
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neuro
from neuro.events import Recording, binned, read_events, read_recordings, stacked
from neuro.events.lz4 import unpacked
from neuro.events.recording import continued

RECORDED = Path(__file__).parent / "data" / "events"


def columns(r: Recording) -> tuple[list[int], ...]:
    return r.x.tolist(), r.y.tolist(), r.t_us.tolist(), r.on.astype(int).tolist()


def written(tmp_path: Path, name: str, *parts: bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(b"".join(parts))
    return path


@pytest.mark.golden("writers of event files")
@pytest.mark.parametrize("name", ["wizard.dat", "wizard_evt2.raw", "wizard_evt3.raw", "dv_none.aedat4", "dv_lz4.aedat4"])
def test_files_of_other_packages_hold_what_was_written(name) -> None:
    wanted = np.load(RECORDED / "events.npz")
    times = wanted["short_t" if "evt3" in name else "t"]
    found = read_events(RECORDED / name, size=(640, 480))
    assert columns(found) == tuple(array.tolist() for array in (wanted["x"], wanted["y"], times, wanted["p"]))
    assert (found.width, found.height, found.notes) == (640, 480, ())


def test_the_sensor_s_size_is_the_file_s_or_told() -> None:
    assert read_events(RECORDED / "dv_lz4.aedat4").width == 640
    assert any("taken as 638 x 480" in note for note in read_events(RECORDED / "wizard.dat").notes)


# Encoded by hand

CD = b"% Data file containing CD events\n% Version 2\n% Width 304\n% Height 240\n"


def dat_event(t: int, x: int, y: int, p: int) -> bytes:
    return struct.pack("<II", t & 0xFFFFFFFF, x | y << 14 | p << 28)


def test_dat_times_go_on_after_a_wrap(tmp_path) -> None:
    events = [dat_event(2**32 - 5, 303, 0, 1), dat_event(2**32 - 4, 0, 239, 0), dat_event(3, 7, 8, 1), dat_event(9, 1, 2, 0)]
    found = read_events(written(tmp_path, "a.dat", CD, bytes([12, 8]), *events))
    assert columns(found) == ([303, 0, 7, 1], [0, 239, 8, 2], [2**32 - 5, 2**32 - 4, 2**32 + 3, 2**32 + 9], [1, 0, 1, 0])
    assert found.notes == ("the time counter of 32 bits wraps once: times go on after it",)
    assert (found.width, found.height) == (304, 240)


def test_evt2_words(tmp_path) -> None:
    def event(kind: int, low: int, x: int, y: int) -> int:
        return kind << 28 | low << 22 | x << 11 | y

    early, first, trigger = event(1, 3, 5, 6), event(1, 63, 1279, 719), 10 << 28 | 1
    words = [early, 8 << 28 | 100, first, trigger, event(0, 2, 0, 0), 8 << 28 | 101, event(0, 0, 3, 4)]
    head = b"% evt 2.0\n% geometry 1280x720\n% end\n"
    found = read_events(written(tmp_path, "a.raw", head, struct.pack("<7I", *words)))
    assert columns(found) == ([0, 1279, 3], [0, 719, 4], [6402, 6463, 6464], [0, 1, 0])
    told = (
        "1 words of events come before the first time or row: they were left out",
        "times go back 1 times: events were sorted by time",
    )
    assert found.notes == told


def test_evt3_vectors_rows_and_time_wraps(tmp_path) -> None:
    words = [
        0x8FFF, 0x6FFE, 0x0005, 0x2807,  # time 2^24 - 2, row 5: x 7, on
        0x3064, 0x4801, 0x5003, 0x4400,  # base 100, off: 100, 111; 112, 113; 120 + 10
        0x3800, 0x5080,  # base 0, on: 7
        0x8000, 0x6001, 0x0006, 0x2003,  # the time wraps: 2^24 + 1
        0xA000, 0xE000, 0xF000, 0x7000, 0x9000,  # a trigger, other words, one of a reserved type
    ]  # fmt: skip
    head = b"% format EVT3;height=720;width=1280\r\n% end\r\n"
    found = read_events(written(tmp_path, "a.raw", head, struct.pack(f"<{len(words)}H", *words)))
    x, y, t, on = [7, 100, 111, 112, 113, 130, 7, 3], [5] * 7 + [6], [2**24 - 2] * 7 + [2**24 + 1], [1, 0, 0, 0, 0, 0, 1, 0]
    assert columns(found) == (x, y, t, on)
    assert found.notes == (
        "1 words are of reserved types: they were left out",
        "the time counter of 24 bits wraps once: times go on after it",
    )


def _evt3_one_by_one(words: list[int]) -> list[tuple[int, int, int, int]]:
    """The state machine of the format's description, word by word."""
    high = low = row = base = None
    laps, sign, found = 0, 0, []
    for word in words:
        kind, held = word >> 12, word & 0xFFF
        if kind == 8:
            laps += high is not None and held - high < -2048
            laps -= high is not None and held - high > 2048
            high = held
        elif kind == 6:
            low = held
        elif kind == 0:
            row = held & 0x7FF
        elif kind == 3:
            base, sign = held & 0x7FF, held >> 11
        ready = None not in (high, low, row)
        if kind == 2 and ready:
            found.append((held & 0x7FF, row, (max(laps, 0) << 24) + (high << 12) + low, held >> 11))
        elif kind in (4, 5) and base is not None:
            length = 12 if kind == 4 else 8
            if ready:
                time = (max(laps, 0) << 24) + (high << 12) + low
                found += [(base + i, row, time, sign) for i in range(length) if held >> i & 1]
            base += length
    return found


@given(words=st.lists(st.integers(0, 0xFFFF), max_size=60))
def test_evt3_equals_its_state_machine(words, tmp_path_factory) -> None:
    path = tmp_path_factory.getbasetemp() / "law.raw"
    path.write_bytes(b"% evt 3.0\n% end\n" + struct.pack(f"<{len(words)}H", *words))
    wanted = sorted(_evt3_one_by_one(words), key=lambda event: event[2])
    if not wanted:
        with pytest.raises(neuro.errors.FormatError, match="holds no events"):
            read_events(path)
        return
    assert list(zip(*columns(read_events(path)), strict=True)) == wanted


@pytest.mark.parametrize(
    ("chip", "addresses", "wanted"),
    [
        ("ch.unizh.ini.jaer.chip.retina.DVS128", [5 << 8 | 3 << 1 | 1, 1 << 15, 127 << 8], ([3, 0], [122, 0], [10, 30], [1, 0])),
        ("eu.seebetter.ini.chips.davis.DAVIS240C", [4 << 22 | 9 << 12 | 1 << 11, 1 << 31, 1 << 10], ([9], [175], [10], [1])),
    ],
)
def test_aedat2_addresses(chip, addresses, wanted, tmp_path) -> None:
    head = f"#!AER-DAT2.0\r\n# This is a raw AE data file\r\n# AEChip: {chip}\r\n".encode()
    body = [struct.pack(">II", address, 10 * (i + 1)) for i, address in enumerate(addresses)]
    found = read_events(written(tmp_path, "a.aedat", head, *body))
    assert columns(found) == wanted
    assert any(f"{len(addresses) - len(wanted[0])} records are no events" in note for note in found.notes)
    with pytest.raises(neuro.errors.FormatError, match="Pass camera="):
        read_events(written(tmp_path, "b.aedat", b"#!AER-DAT2.0\r\n", *body))
    assert columns(read_events(tmp_path / "b.aedat", camera="DVS128" if "DVS" in chip else "DAVIS240")) == wanted


def packet(kind: int, events: list[tuple[int, int]], overflow: int = 0) -> bytes:
    head = struct.pack("<hhiiiiii", kind, 0, 8, 4, overflow, len(events), len(events), len(events))
    return head + b"".join(struct.pack("<Ii", *event) for event in events)


def test_aedat3_packets(tmp_path) -> None:
    head = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DAVIS240\r\n#!END-HEADER\r\n"
    events = [(9 << 17 | 4 << 2 | 3, 50), (9 << 17 | 4 << 2 | 2, 51), (1 << 17 | 0 << 2 | 1, 60)]  # the second is not valid
    parts = packet(1, events), packet(0, [(1, 2)]), packet(1, [(3, 1)], overflow=1)
    found = read_events(written(tmp_path, "a.aedat", head, *parts))
    assert columns(found) == ([9, 1, 0], [4, 0, 0], [50, 60, 2**31 + 1], [1, 0, 1])
    assert (found.width, found.height) == (240, 180)
    assert found.notes == ("1 records are of other types: they were left out", "1 events are marked invalid: they were left out")


def nmnist(x: int, y: int, p: int, t: int) -> bytes:
    return bytes([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255])


def test_nmnist_events_and_their_overflow_marks(tmp_path) -> None:
    events = nmnist(33, 0, 1, 70_000), nmnist(0, 240, 0, 0), nmnist(2, 33, 0, 70_001)
    found = read_events(written(tmp_path, "a.bin", *events))
    assert columns(found) == ([33, 2], [0, 33], [70_000, 70_001 + 2**13], [1, 0])
    assert (found.width, found.height, found.notes) == (34, 34, ())


def test_arrays_in_npz_and_h5(tmp_path) -> None:
    np.savez(tmp_path / "a.npz", x=[1, 2], y=[3, 4], t=[10, 20], p=[0, 1], width=8, height=9)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, values in (("x", [1, 2]), ("y", [3, 4]), ("t", [1e-5, 2e-5]), ("p", [-1, 1])):
            file[f"events/{name}"] = values
    wanted = ([1, 2], [3, 4], [10, 20], [0, 1])
    assert [columns(read_events(tmp_path / name)) for name in ("a.npz", "a.h5")] == [wanted, wanted]
    assert "times are fractions: taken as seconds" in read_events(tmp_path / "a.h5").notes


def test_several_recordings_of_one_file_and_of_folders(tmp_path) -> None:
    np.savez(tmp_path / "a.npz", x=[1, 2, 3], y=[0, 0, 0], t_us=[5, 1, 2], p=[1, 1, 0], start=[0, 1, 3], label=[4, 7])
    found = read_recordings(tmp_path / "a.npz")
    assert [len(r) for r in found.recordings] == [1, 2]
    assert found.labels.tolist() == [4, 7]
    assert {r.width for r in found.recordings} == {4}
    with pytest.raises(neuro.errors.FormatError, match="2 recordings"):
        read_events(tmp_path / "a.npz")
    for label, name in ((0, "b"), (2, "a"), (2, "c")):
        (tmp_path / "set" / str(label)).mkdir(parents=True, exist_ok=True)
        written(tmp_path / "set" / str(label), f"{name}.bin", nmnist(label, 1, 1, 3))
    folder = read_recordings(tmp_path / "set")
    assert folder.labels.tolist() == [0, 2, 2]
    assert [r.x[0] for r in folder.recordings] == [0, 2, 2]
    (tmp_path / "set" / "cat").mkdir()
    with pytest.raises(neuro.errors.FormatError, match="'cat'"):
        read_recordings(tmp_path / "set")


@given(true=st.lists(st.integers(0, 100), min_size=1, max_size=40), bits=st.integers(8, 12))
def test_a_counter_goes_on_where_it_wraps(true, bits) -> None:
    times = np.cumsum(true)
    going, wraps = continued(times & ((1 << bits) - 1), bits)
    assert np.array_equal(going, times - (times[0] >> bits << bits))
    assert wraps == (times[-1] >> bits) - (times[0] >> bits)


# Damaged files

FAR = CD, bytes([12, 8]), dat_event(1, 2, 3, 1), dat_event(1, 304, 3, 1)
AEDAT3 = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#!END-HEADER\r\n"
REFUSED = {
    "cut.dat": ((CD, bytes([12, 8]), dat_event(1, 2, 3, 1)[:5]), "byte 72.*ends inside.*cut it to 72 bytes"),
    "type.dat": ((CD, bytes([14, 8])), "byte 70.*type 14"),
    "far.dat": (FAR, r"byte 80.*event 1 is at \(304, 3\).*size="),
    "none.raw": ((b"% date\n% end\n", b"\0" * 8), "does not name an encoding"),
    "evt21.raw": ((b"% evt 2.1\n% end\n", b"\0" * 8), "in EVT 2.1"),
    "cut.raw": ((b"% evt 3.0\n% end\n", b"\0" * 7), "byte 22.*ends inside"),
    "cut.bin": ((nmnist(1, 2, 0, 3), b"\1\2"), "byte 5.*cut it to 5 bytes"),
    "empty.bin": ((b"",), "it is empty"),
    "what.xyz": ((b"abc",), "no format of event cameras ends in '.xyz'"),
    "no.aedat": ((b"abc",), "does not begin as AEDAT"),
    "one.aedat": ((b"#!AER-DAT1.0\r\n", b"\0" * 6), "it is AEDAT 1.0"),
    "head.aedat": ((AEDAT3, packet(1, [(3, 1)])[:-1]), "byte 42.*ends inside a part of 36"),
    "size.aedat": ((AEDAT3, struct.pack("<hhiiiiii", 1, 0, 8, 4, 0, -1, 2, 2)), "states 2 of -1"),
    "cut.aedat4": ((b"#!AER-DAT4.0\r\n", b"\xff\0\0\0ab"), "byte 14.*ends inside"),
    "far.aedat4": ((b"#!AER-DAT4.0\r\n", b"\4\0\0\0\xff\xff\xff\0"), "points at byte"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_damaged_files_are_refused_with_the_byte(name, tmp_path) -> None:
    parts, message = REFUSED[name]
    with pytest.raises(neuro.errors.FormatError, match=message) as caught:
        read_events(written(tmp_path, name, *parts))
    assert str(tmp_path / name) in caught.value.where


@pytest.mark.parametrize("name", ["wizard.dat", "wizard_evt2.raw", "wizard_evt3.raw", "dv_none.aedat4", "dv_lz4.aedat4"])
def test_a_file_cut_anywhere_is_refused_or_a_beginning(name, tmp_path) -> None:
    raw, whole = (RECORDED / name).read_bytes(), read_events(RECORDED / name, size=(640, 480))
    for length in range(0, len(raw), 37):
        try:
            found = read_events(written(tmp_path, name, raw[:length]), size=(640, 480))
        except neuro.NeuroError:
            continue
        assert columns(found) == tuple(column[: len(found)] for column in columns(whole))


def test_lz4_overlapping_matches_and_damage() -> None:
    block = bytes([0x1F, ord("a"), 1, 0, 3, 0x30]) + b"xyz"  # an a, 22 more by a match into itself, then literals
    frame = struct.pack("<I", 0x184D2204) + bytes([0x60, 0x40, 0]) + struct.pack("<I", len(block)) + block + b"\0\0\0\0"
    assert unpacked(frame) == b"a" * 23 + b"xyz"
    far = frame.replace(bytes([ord("a"), 1, 0]), bytes([ord("a"), 2, 0]))
    for damaged in (frame[:-1], frame[:-6], b"abcdefgh", far):
        with pytest.raises(ValueError, match="LZ4"):
            unpacked(damaged)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"x": [0, 9]}, r"event 1 is at \(9, 0\)"),
        ({"t_us": [2, 1]}, "times go back.*argsort"),
        ({"x": [0]}, "the shapes x"),
        ({"on": [0, 1]}, "on holds int64"),
        ({"width": 0}, "width"),
    ],
)
def test_a_recording_is_valid_from_birth(more, message) -> None:
    good = {"x": [0, 1], "y": [0, 0], "t_us": [1, 2], "on": [True, False], "width": 4, "height": 4}
    assert len(Recording(**good)) == 2
    with pytest.raises(neuro.errors.InputError, match=message):
        Recording(**good | more)


# Time steps


@st.composite
def recordings(draw) -> Recording:
    n = draw(st.integers(0, 30))

    def column(most: int) -> np.ndarray:
        return np.array(draw(st.lists(st.integers(0, most), min_size=n, max_size=n)), np.int64)

    return Recording(column(5), column(3), np.sort(column(60)) + 1000, column(1) > 0, 6, 4)


@given(r=recordings(), step=st.integers(1, 20), scale=st.integers(1, 2), kind=st.sampled_from(["two", "one", "signed"]))
def test_binning_equals_one_event_at_a_time(r, step, scale, kind) -> None:
    made = binned(r, step_us=step, downscale=scale, polarity=kind, most=None)
    wanted = np.zeros_like(made)
    for x, y, t, on in zip(*columns(r), strict=True):
        channel = on if kind == "two" else 0
        wanted[(t - int(r.t_us[0])) // step, channel, y // scale, x // scale] += -1 if kind == "signed" and not on else 1
    assert np.array_equal(made, wanted)
    assert np.array_equal(binned(r, step_us=step, downscale=scale, polarity=kind), np.clip(wanted, -1, 1))
    if kind != "signed":
        assert made.sum() == len(r)


def test_steps_of_equal_counts_crops_and_windows() -> None:
    r = Recording(np.arange(6), np.zeros(6, int), np.arange(6) * 100, np.arange(6) % 2 == 0, 6, 2)
    assert binned(r, events_per_step=4).sum(axis=(1, 2, 3)).tolist() == [4, 2]
    assert binned(r, step_us=100, steps=3).sum() == 3
    assert binned(r, step_us=100, steps=9).shape == (9, 2, 2, 6)
    cropped = binned(r, step_us=1000, crop=(2, 0, 3, 1), polarity="one")
    assert cropped.shape == (1, 1, 1, 3)
    assert cropped.sum() == 3
    assert stacked([r, r], step_us=100).shape == (2, 6, 2, 2, 6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "both, or neither"),
        ({"step_us": 1, "events_per_step": 1}, "both, or neither"),
        ({"step_us": 0}, "step_us"),
        ({"step_us": 1, "polarity": "three"}, "Use one of two, one, signed"),
        ({"step_us": 1, "crop": (0, 0, 9, 1)}, "within the sensor"),
        ({"step_us": 1, "downscale": 9}, "Merge fewer"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message) -> None:
    r = Recording([0], [0], [0], [True], 4, 4)
    with pytest.raises(neuro.NeuroError, match=message):
        binned(r, **options)
