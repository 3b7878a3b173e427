"""Trained weights from files of torch: the same arrays as torch reads, nothing run, nothing taken that is not there."""

import argparse
import io
import os
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from converters.modules import load_module
from neuro.errors import FormatError
from neuro.weights import read_weights
from tests.hostile import refused

TYPES = (
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
)


class Trap:
    def __reduce__(self):
        return os.mkdir, ("trap-was-sprung",)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path_factory) -> Iterator[None]:
    """A trap that is sprung leaves its folder here."""
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("here"))
    yield
    os.chdir(before)


def save(value: object, path: Path, **how: object) -> Path:
    torch.save(value, path, **how)
    return path


@st.composite
def tensors(draw) -> torch.Tensor:
    """A tensor of any type, seen in any order of its axes, perhaps from the middle of what is stored."""
    shape = draw(st.lists(st.integers(0, 4), max_size=4))
    kind = draw(st.sampled_from((*TYPES, torch.bool)))
    values = torch.arange(int(np.prod(shape)) + 3).to(kind)[3:].reshape(shape)
    values = values.permute(draw(st.permutations(range(len(shape)))))
    return values[1:] if shape and draw(st.booleans()) else values


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("law")


@given(
    table=st.dictionaries(st.text(min_size=1, max_size=5), tensors(), min_size=1, max_size=4),
    under=st.sampled_from((None, "state_dict", "model")),
    old=st.booleans(),
    protocol=st.sampled_from((2, 3, 4)),
    tied=st.booleans(),
)
def test_arrays_are_those_that_torch_reads(folder, table, under, old, protocol, tied) -> None:
    if tied:
        table |= {f"{name} again": value for name, value in table.items()}
    table = {f"layer.{name}": value for name, value in table.items()}
    beside = {"epoch": 3, "best": np.float64(0.5), "args": argparse.Namespace(lr=0.1), "opt": [{"step": torch.ones(2)}]}
    file = io.BytesIO()
    whole = table if under is None else {**beside, under: table}
    torch.save(whole, file, _use_new_zipfile_serialization=not old, pickle_protocol=protocol)
    path = folder / "law.pt"
    path.write_bytes(file.getvalue())
    found = read_weights(path)
    wanted = torch.load(path, weights_only=False)
    wanted = wanted if under is None else wanted[under]
    assert list(found) == list(wanted)
    for name, value in wanted.items():
        exact = value.float() if value.dtype == torch.bfloat16 else value
        np.testing.assert_array_equal(found[name], exact.numpy(), strict=True)


@pytest.mark.parametrize("old", [False, True])
def test_nothing_in_a_file_of_weights_is_run(old, tmp_path) -> None:
    beside = save({"state_dict": {"a": torch.ones(2)}, "trap": Trap()}, tmp_path / "w.pt", _use_new_zipfile_serialization=not old)
    assert read_weights(beside)["a"].tolist() == [1, 1]
    whole = save({"a": torch.ones(2), "b": Trap()}, tmp_path / "w.pt", _use_new_zipfile_serialization=not old)
    refused(read_weights, whole, "'b' is no tensor but posix.mkdir")
    assert not Path("trap-was-sprung").exists()


@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
@pytest.mark.parametrize("old", [False, True])
def test_pickled_modules_are_refused_with_the_line_that_saves_weights(old, tmp_path) -> None:
    path = save(nn.Linear(2, 3), tmp_path / "w.pt", _use_new_zipfile_serialization=not old)
    refused(read_weights, path, r"pickled torch.nn.modules.linear.Linear.*save_file\(model.state_dict\(\), path\)")
    path = save({"model": nn.Linear(2, 3)}, tmp_path / "w.pt", _use_new_zipfile_serialization=not old)
    refused(read_weights, path, "Linear")


def test_other_files_are_refused_by_their_kind(tmp_path) -> None:
    with open(tmp_path / "x.pt", "wb") as file:
        np.savez(file, x=np.ones(3))
    refused(read_weights, tmp_path / "x.pt", "an .npz file")
    (tmp_path / "x.pt").write_bytes(pickle.dumps({"a": 1}))
    refused(read_weights, tmp_path / "x.pt", "a pickle that torch.save did not write")
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
        archive.writestr("m/data.pkl", "")
        archive.writestr("m/constants.pkl", "")
    refused(read_weights, tmp_path / "x.pt", "TorchScript")
    two = {"model": {"a": torch.ones(1)}, "net": {"a": torch.zeros(1)}}
    refused(read_weights, save(two, tmp_path / "x.pt"), "under 'model' and 'net'. Choose one")
    refused(read_weights, save({"model": {}}, tmp_path / "x.pt"), "no table of weights")
    refused(read_weights, save([torch.ones(1)], tmp_path / "x.pt"), "no table of weights")
    refused(read_weights, save({"a": 3}, tmp_path / "x.pt"), "'a' is no tensor but int")
    refused(read_weights, save({"a": torch.ones(3).to_sparse()}, tmp_path / "x.pt"), "'a' is no tensor but torch")
    refused(read_weights, save({"a": torch.tensor([1j]).conj()}, tmp_path / "x.pt"), "'a' is no tensor but")
    refused(read_weights, save({"a": torch.tensor([1j])}, tmp_path / "x.pt"), "ComplexFloatStorage are not read")


def rewritten(path: Path, change: dict[bytes, bytes], *, method: int = zipfile.ZIP_STORED, **members: bytes) -> Path:
    """The file again with pieces of its pickle, or whole members, in another form."""
    with zipfile.ZipFile(path) as archive:
        held = {info.filename: archive.read(info) for info in archive.infolist()}
    root = next(name for name in held if name.endswith("data.pkl")).removesuffix("data.pkl")
    for old, new in change.items():
        assert old in held[f"{root}data.pkl"]
        held[f"{root}data.pkl"] = held[f"{root}data.pkl"].replace(old, new)
    held |= {f"{root}{name}": content for name, content in members.items()}
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in held.items():
            archive.writestr(name, content)
    return path


SIZE = b"K\x02K\x03\x86"  # (2, 3), as a pickle writes it
LIES = {
    "a size beyond the values": ({SIZE: b"K\x02K\x04\x86"}, "larger than the values"),
    "a size of gigabytes": ({SIZE: b"K\x02J\xff\xff\xff\x7f\x86"}, "promise tensors"),
    "a stride beyond the values": ({b"K\x03K\x01\x86": b"K\x63K\x01\x86"}, "larger than the values"),
    "one value seen often": ({SIZE: b"K\x06K\x06\x86", b"K\x03K\x01\x86": b"K\x00K\x00\x86"}, "promise tensors|larger than"),
    "a negative stride": ({b"K\x03K\x01\x86": b"J\xff\xff\xff\xffK\x01\x86"}, "torch describes none"),
    "more values than a member has": ({b"K\x06t": b"K\x09t"}, "larger than the values"),
    "another type": ({b"FloatStorage": b"DoubleStorage"}, "larger than the values|promise"),
    "a type that is none": ({b"FloatStorage": b"PathStorage"}, "PathStorage are not read"),
    "a function in its place": (
        {b"_rebuild_tensor_v2": b"_rebuild_tensor_v9"},
        "is no tensor but torch._utils._rebuild_tensor_v9",
    ),
    "a member that is not there": ({b"X\x01\x00\x00\x000": b"X\x01\x00\x00\x007"}, "data/7"),
}


@pytest.mark.parametrize("lie", LIES)
def test_descriptions_that_do_not_fit_the_values_are_refused(lie, tmp_path) -> None:
    change, said = LIES[lie]
    path = rewritten(save({"a": torch.arange(6.0).reshape(2, 3)}, tmp_path / "w.pt"), change)
    refused(read_weights, path, said)


def test_bombs_are_refused_before_they_grow(tmp_path) -> None:
    path = save({"a": torch.zeros(1 << 20)}, tmp_path / "w.pt")
    refused(read_weights, rewritten(path, {}, method=zipfile.ZIP_DEFLATED), "packed")
    save({"a": torch.ones(2)}, path)
    refused(read_weights, rewritten(path, {}, **{"data.pkl": b"\x80\x02" + b"]" * (5 << 20) + b"."}), "description has more than")
    for deep in (b"\x80\x02N" + b"\x85" * 200_000 + b".", b"\x80\x02" + b"(" * 200_000 + b"."):
        refused(read_weights, rewritten(path, {}, **{"data.pkl": deep}), "no table of weights|not a readable")
    memo = b"\x80\x02}r\xff\xff\xff\x7f."
    refused(read_weights, rewritten(path, {}, **{"data.pkl": memo}), "no table of weights")


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors", "parallel.pt"])
def test_a_module_gets_its_weights_from_any_of_these(name, tmp_path) -> None:
    (tmp_path / "weightsnets.py").write_text("from torch.nn import *\ndef net():\n    return Sequential(Linear(4, 5), ReLU())\n")
    state = nn.Sequential(nn.Linear(4, 5), nn.ReLU()).state_dict()
    if name == "w.safetensors":
        save_file(state, tmp_path / name)
    else:
        save({f"module.{key}" if name == "parallel.pt" else key: value for key, value in state.items()}, tmp_path / name)
    loaded = load_module(f"{tmp_path}/weightsnets.py:net", weights=tmp_path / name).state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in state.items())


def test_weights_of_another_network_are_refused(tmp_path) -> None:
    path = save(nn.Linear(4, 5).state_dict(), tmp_path / "w.pt")
    with pytest.raises(FormatError, match="its weights do not fit the model"):
        load_module("torch.nn:Identity", weights=path)
