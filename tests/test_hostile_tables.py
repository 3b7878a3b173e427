"""Data, chips, machines, measurements and recordings of strangers: what their files may hold, and what is refused."""

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.hostile import READERS, npy, points, refused, wav, write_good, zipped

HEAD = "{'descr': '<f4', 'fortran_order': False, 'shape': (%s,), }"
ONE = npy(HEAD % 1, bytes(4))


def _npz(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def _objects() -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([{"a": 1}], object), allow_pickle=True)
    return zipped({"x.npy": file.getvalue()})


def _bomb() -> bytes:
    size = 200 << 20
    return zipped({"x.npy": npy(HEAD % (size // 4)) + bytes(size)}, zipfile.ZIP_DEFLATED)


def _patched(content: bytes, mark: bytes, offset: int, value: bytes) -> bytes:
    at = content.index(mark) + offset
    return content[:at] + value + content[at + len(value) :]


def _twice() -> bytes:
    content = zipped({"x.npy": ONE, "y.npy": ONE})
    return content.replace(b"y.npy", b"x.npy")


def _declared(size: int) -> bytes:
    """An archive whose directory promises a member of another size than it has."""
    return _patched(zipped({"x.npy": ONE}), b"PK\1\2", 20, struct.pack("<II", size, size))


NPZ = {
    "a zip bomb": (_bomb(), "packed bytes promise"),
    "a member of 4 GB that is not there": (_declared(0xFFFFFFF0), "promise|cannot be read|needs"),
    "a member larger than declared": (_declared(90), "needs|cannot be read"),
    "a shape of 10^15": (zipped({"x.npy": npy(HEAD % 10**15, bytes(8))}), "needs 4,000,000,000,000,000 bytes"),
    "a shape that overflows": (zipped({"x.npy": npy(HEAD % "2**62", bytes(8))}), "cannot be read"),
    "a shape of 2^63 by 4": (zipped({"x.npy": npy(HEAD % f"{2**63}, 4", bytes(8))}), "needs"),
    "nothing, 10^18 times": (zipped({"x.npy": npy(HEAD % f"0, {10**18}, {10**18}")}), "cannot be read"),
    "a negative shape": (zipped({"x.npy": npy(HEAD % -2, bytes(8))}), "of shape"),
    "a shape of fractions": (zipped({"x.npy": npy(HEAD % 0.5, bytes(8))}), "of shape"),
    "a shape of 100 axes": (zipped({"x.npy": npy(HEAD % ",".join("1" * 100), bytes(4))}), "cannot be read"),
    "objects, which are pickles": (_objects(), "objects and records"),
    "records": (_npz(x=np.zeros(3, [("a", "f4"), ("b", "i4")])), "objects and records"),
    "dates": (_npz(x=np.zeros((3, 1), "M8[s]")), "objects and records"),
    "text": (_npz(x=np.array([["a"]])), "shape"),
    "complex numbers": (_npz(x=np.zeros((2, 2), complex)), "complex"),
    "elements without bytes": (zipped({"x.npy": npy("{'descr': '<U0', 'fortran_order': False, 'shape': (9,), }")}), "objects"),
    "a type that is none": (zipped({"x.npy": npy("{'descr': '<f7', 'fortran_order': False, 'shape': (1,), }", bytes(7))}), "f7"),
    "a header of 4 GB": (zipped({"x.npy": npy("{", version=2, length=2**32 - 1)}), "a header of"),
    "a header cut short": (zipped({"x.npy": npy("{'descr': '<f4'")}), "cannot be read"),
    "a header of code": (zipped({"x.npy": npy("__import__('os').mkdir('trap')")}), "cannot be read"),
    "a header without end": (zipped({"x.npy": npy("(" * 9_000)}), "cannot be read"),
    "a header that is a list": (zipped({"x.npy": npy("[1, 2]")}), "cannot be read"),
    "a header without a shape": (zipped({"x.npy": npy("{'descr': '<f4', 'fortran_order': False}")}), "shape"),
    "another version": (zipped({"x.npy": npy(HEAD % 1, bytes(4), version=9)}), "is no array"),
    "a member that is no array": (zipped({"x.npy": b"hello"}), "is no array"),
    "an empty member": (zipped({"x.npy": b""}), "is no array"),
    "more bytes than values": (zipped({"x.npy": ONE + b"more"}), "4 bytes, 8 follow"),
    "a name twice": (_twice(), "2 members, 1 names"),
    "a bare array": (npy(HEAD % 1, bytes(4)), "one array"),
    "packed by LZMA": (zipped({"x.npy": ONE}, zipfile.ZIP_LZMA), "unusual method"),
    "packed by bzip2": (zipped({"x.npy": ONE}, zipfile.ZIP_BZIP2), "unusual method"),
    "locked by a password": (_patched(zipped({"x.npy": ONE}), b"PK\1\2", 8, b"\1"), "encrypted"),
    "a wrong checksum": (zipped({"x.npy": ONE}).replace(bytes(4) + b"PK\1\2", b"abcdPK\1\2"), "CRC"),
    "a directory that leads elsewhere": (zipped({"x.npy": ONE})[:-6] + struct.pack("<IH", 0x7FFFFFFF, 0), "cannot be read"),
    "noise in the packing": (
        _patched(zipped({"x.npy": ONE * 50}, zipfile.ZIP_DEFLATED), b"x.npy", 5, b"\xff" * 12), "cannot be read",
    ),
    "nothing in it": (zipped({}), "no array 'x'"),
    "other names": (_npz(images=np.zeros((2, 2))), "it holds images"),
    "a way out of the folder": (zipped({"../../x.npy": ONE}), "no array 'x'"),
    "NaN": (_npz(x=np.array([[np.nan]])), "NaN or infinity"),
    "infinity": (_npz(x=np.array([[-np.inf]])), "NaN or infinity"),
    "no samples": (_npz(x=np.zeros((0, 4))), "no numbers"),
    "one number": (_npz(x=np.float32(3)), "shape"),
    "classes below zero": (_npz(x=np.zeros((2, 2)), y=np.array([0, -1])), "from -1 to 0"),
    "classes that are fractions": (_npz(x=np.zeros((2, 2)), y=np.array([0.5, 1])), "float64"),
    "classes beyond counting": (_npz(x=np.zeros((2, 2)), y=np.array([0, 2**64 - 1], np.uint64)), "18446744073709551615|uint64"),
    "too few classes": (_npz(x=np.zeros((2, 2)), y=np.array([0])), "2 samples"),
}  # fmt: skip


@pytest.mark.parametrize("kind", NPZ)
def test_broken_data_are_refused(kind: str, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    name, read = READERS["data"]
    content, said = NPZ[kind]
    (tmp_path / name).write_bytes(content)
    refused(read, tmp_path / name, said)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("reader", ["corpus", "published weights"])
@pytest.mark.parametrize("kind", ["a zip bomb", "objects, which are pickles", "a shape of 10^15", "nothing in it", "text"])
def test_other_archives_are_refused_alike(reader: str, kind: str, tmp_path) -> None:
    name, read = READERS[reader]
    (tmp_path / name).write_bytes(NPZ[kind][0])
    refused(read, tmp_path / name, name)


CORPORA = {
    "a rate of text": {"rate": "fast"},
    "two rates": {"rate": [1, 2]},
    "a label beyond the words": {"label": [0, 9]},
    "labels of text": {"label": ["a", "b"]},
    "audio of text": {"audio": ["a", "b"]},
    "audio of one number": {"audio": 5},
    "no speakers": {"speaker": []},
    "starts beyond the end": {"start": [0, 10**15], "digit": [1], "audio": np.zeros(4, np.int16), "speaker": ["a"]},
    "digits that are none": {"start": [0, 2], "digit": [11], "audio": np.zeros(4, np.int16), "speaker": ["a"]},
    "a rate beyond hearing": {"start": [0, 2], "digit": [1], "audio": np.ones(4, np.int16), "speaker": ["a"], "rate": 10**12},
    "a rate of nothing": {"start": [0, 2], "digit": [1], "audio": np.ones(4, np.int16), "speaker": ["a"], "rate": 0},
}


@pytest.mark.parametrize("kind", CORPORA)
def test_recordings_that_contradict_themselves_are_refused(kind: str, tmp_path) -> None:
    name, read = READERS["corpus"]
    write_good("corpus", tmp_path / name)
    with np.load(tmp_path / name) as good:
        arrays = dict(good)
    np.savez(tmp_path / name, **(arrays | CORPORA[kind]))
    refused(read, tmp_path / name, name if kind != "no speakers" else "speakers|do not fit")


TOML = {
    "not TOML": "a = = 1",
    "brackets without end": "a = " + "[" * 50_000,
    "tables in tables": "a = " + "{b = " * 5_000,
    "a key of 100,000 parts": ".".join(["a"] * 100_000) + " = 1",
    "a section of 1,000 parts": "[" + ".".join(["a"] * 1_000) + "]\nb = 1",
    "a name twice": 'name = "a"\nname = "b"',
    "a number of 5,000 digits": "year = " + "9" * 5_000,
    "a number of 200 bits": f"year = {2**200}",
    "a hidden bell": 'name = "\a"',
    "text without end": 'name = "' + "a" * 200_000,
    "more than is read": "# " + "a" * (2 << 20),
    "only a list": "[[chip]]\n[[chip]]",
}


@pytest.mark.parametrize("reader", ["chip", "machine"])
@pytest.mark.parametrize("kind", TOML)
def test_broken_toml_is_refused(reader: str, kind: str, tmp_path) -> None:
    name, read = READERS[reader]
    (tmp_path / name).write_text(TOML[kind])
    refused(read, tmp_path / name, name)


CHIPS = {
    "NaN": ('[core]\nneurons = {value = nan, unit = "", basis = "assumed", source = "x"}', "core.neurons"),
    "infinity": ('[energy]\nsynop_pj = {value = inf, unit = "pJ", basis = "assumed", source = "x"}', "energy"),
    "a negative energy": ('[energy]\nsynop_pj = {value = -1.0, unit = "pJ", basis = "assumed", source = "x"}', "energy"),
    "truth": ('[core]\nneurons = {value = true, unit = "", basis = "assumed", source = "x"}', "core.neurons"),
    "a fraction of a neuron": ('[core]\nneurons = {value = 1.5, unit = "", basis = "assumed", source = "x"}', "core.neurons"),
    "a table": ("[core]\nneurons = {}\n[core.neurons.more]\na = 1", "TOML|core"),
    "an unknown section": ("[eval]\na = 1", "no such section"),
    "an unknown field": ("[core]\n__class__ = 1", "no such field"),
    "an unknown basis": ('[core]\nneurons = {value = 9, unit = "", basis = "guessed", source = "x"}', "basis"),
    "terminal commands": ('[core]\n"\\u001b[2J" = 1', "no such field"),
    "a section that is a number": ("core = 1", "TOML|not a section"),
}


@pytest.mark.parametrize("kind", CHIPS)
def test_broken_chips_are_refused(kind: str, tmp_path) -> None:
    text, said = CHIPS[kind]
    (tmp_path / "chip.toml").write_text(f'{text}\n[chip]\nbase = "loihi2"\nname = "mine"\n')
    refused(READERS["chip"][1], tmp_path / "chip.toml", said)


@pytest.mark.parametrize("base", ["chip.toml", "../chip.toml", "/etc/chip.toml", "sub/other.toml", "..", "", "gone.toml"])
def test_chips_are_built_upon_files_beside_them_only(base: str, tmp_path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "chip.toml").write_text('[chip]\nbase = "loihi2"\nname = "outside"\n')
    (tmp_path / "here" / "chip.toml").write_text(f'[chip]\nbase = "{base}"\nname = "mine"\n')
    refused(READERS["chip"][1], tmp_path / "here" / "chip.toml", "leads nowhere|no chip or TOML file|no such file")


MACHINES = {
    "NaN": ('[power]\nbusy = {value = nan, unit = "W", basis = "vendor", source = "x"}', "power.busy"),
    "minus infinity": ('[power]\nbusy = {value = -inf, unit = "W", basis = "vendor", source = "x"}', "power.busy"),
    "a unit that is another": ('[power]\nbusy = {value = 1, unit = "kW", basis = "vendor", source = "x"}', "unit"),
    "a figure that is text": ('[power]\nbusy = "a lot"', "not a value with its source"),
    "a section that is a number": ("power = 3", "no such field|not valid TOML"),
    "an unknown figure": ('[power]\n"\\u001b[31m" = {value = 1, unit = "W", basis = "vendor", source = "x"}', "no such figure"),
    "a share of 2": ('[peak]\nsparse = {value = 2, unit = "share", basis = "vendor", source = "x"}', "peak"),
}


@pytest.mark.parametrize("kind", MACHINES)
def test_broken_machines_are_refused(kind: str, tmp_path) -> None:
    text, said = MACHINES[kind]
    write_good("machine", tmp_path / "machine.toml")
    good = (tmp_path / "machine.toml").read_text()
    without = "\n".join(line for line in good.splitlines() if not line.startswith(("[power]", "busy", "idle")))
    (tmp_path / "machine.toml").write_text(f"{without}\n{text}\n" if "[" in text else f"{text}\n{without}\n")
    refused(READERS["machine"][1], tmp_path / "machine.toml", said)


GOOD_POINTS = points()
POINTS = {
    "no heading": ("1,2,3\n", "column 'id'"),
    "only a heading": (GOOD_POINTS.splitlines()[0], "no row"),
    "a field of 200,000 letters": (GOOD_POINTS.replace("New", "N" * 200_000), "field larger"),
    "a quote without end": (GOOD_POINTS + '"' + "x" * 140_000, "field larger"),
    "a row too long": (GOOD_POINTS + "1," * 100_000 + "\n", "more or fewer"),
    "a row too short": (GOOD_POINTS + "b,New\n", "more or fewer"),
    "NaN": (GOOD_POINTS.replace("11000", "nan"), "it is nan"),
    "infinity": (GOOD_POINTS.replace("11000", "1e999"), "it is 1e999"),
    "less than nothing": (GOOD_POINTS.replace("11000", "-5"), "it is -5"),
    "a formula": (GOOD_POINTS.replace("11000", "=1+1"), "not a number"),
    "an id twice": (GOOD_POINTS + GOOD_POINTS.splitlines()[1], "used twice"),
    "zero bytes": (GOOD_POINTS.replace("11000", "\0"), "zero bytes"),
    "terminal commands": (GOOD_POINTS.replace("11000", "\033[2J"), "not a number"),
}


@pytest.mark.parametrize("kind", POINTS)
def test_broken_measurements_are_refused(kind: str, tmp_path) -> None:
    text, said = POINTS[kind]
    (tmp_path / "points.csv").write_text(text)
    refused(READERS["points"][1], tmp_path / "points.csv", said)


def _fmt(*extra: bytes) -> bytes:
    return b"RIFF\0\0\0\0WAVE" + b"".join(extra)


def _sparse_sound(path: Path) -> None:
    """Four gigabytes of silence that take no room on the disk, rightly declared."""
    size = 0xFFFFFF00
    path.write_bytes(wav(b"", channels=64, bits=32, rate=768_000, claimed=size))
    with path.open("r+b") as file:
        file.truncate(44 + size)


SOUNDS = {
    "4 GB declared": (wav(b"ab", claimed=0xFFFFFFF0), "cut short"),
    "an unknown length, no sound": (wav(b"", claimed=0xFFFFFFFF), "no sound"),
    "65,535 channels": (wav(bytes(8), channels=65_535, bits=8), "65535 channels"),
    "chunks without end": (_fmt(b"junk\0\0\0\0" * 100_000), "within 1,000 chunks"),
    "a chunk of 4 GB": (_fmt(b"junk\xff\xff\xff\xff"), "claims 4294967295"),
    "big-endian": (b"RIFX" + wav(b"ab")[4:], "does not begin"),
    "the 64-bit form": (b"RF64" + wav(b"ab")[4:], "does not begin"),
    "a format of no bytes": (_fmt(b"fmt \0\0\0\0"), "format chunk has 0 bytes"),
    "an unknown encoding": (wav(b"ab", code=0xFFFF), "encoding 65535"),
    "blocks that disagree": (_patched(wav(b"abcd"), b"fmt ", 20, b"\7\0"), "blocks of 7"),
    "infinity": (wav(np.array([np.inf], "<f4").tobytes(), code=3, bits=32), "NaN or infinity"),
    "half a frame": (wav(b"abc", channels=2, bits=16), "no whole number"),
}


@pytest.mark.parametrize("kind", SOUNDS)
def test_broken_recordings_are_refused(kind: str, tmp_path) -> None:
    content, said = SOUNDS[kind]
    (tmp_path / "recording.wav").write_bytes(content)
    refused(READERS["recording"][1], tmp_path / "recording.wav", said)


def test_gigabytes_of_silence_are_refused(tmp_path) -> None:
    _sparse_sound(tmp_path / "recording.wav")
    refused(READERS["recording"][1], tmp_path / "recording.wav", "lasts longer")
