"""Files that are not what they say, for every reader; and what safetensors files of strangers may hold."""

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from tests.hostile import READERS, redescribed, refused, with_header, write_good, zipped


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("trap-was-sprung",))


def _missing(path: Path) -> None:
    assert not path.exists()


def _folder(path: Path) -> None:
    path.mkdir()


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


def _nowhere(path: Path) -> None:
    path.symlink_to(path.parent / "gone")


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


ANY_FILE = {
    "missing": _missing,
    "a folder": _folder,
    "a pipe": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to itself": _loop,
    "a link to nothing": _nowhere,
    "empty": lambda path: path.write_bytes(b""),
    "one byte": lambda path: path.write_bytes(b"P"),
    "zeros": lambda path: path.write_bytes(bytes(4096)),
    "a terabyte of nothing": _sparse,
    "noise": lambda path: path.write_bytes(np.random.default_rng(0).bytes(4096)),
    "text in UTF-16": lambda path: path.write_bytes('[chip]\nname = "µ"\n'.encode("utf-16")),
    "text in Latin-1": lambda path: path.write_bytes("name = 'm\xfcde'".encode("latin-1")),
    "a pickle": lambda path: path.write_bytes(pickle.dumps(Trap())),
    "a pickle in a zip, as torch saves": lambda path: path.write_bytes(zipped({"archive/data.pkl": pickle.dumps(Trap())})),
    "a script": lambda path: path.write_bytes(b"#!/bin/sh\nmkdir trap-was-sprung\n"),
    "brackets without end": lambda path: path.write_bytes(b"[" * 100_000),
}


NO_LINE = (  # for a journal these are the beginning of one, or a torn first line
    *("missing", "a link to nothing", "empty", "one byte", "noise", "zeros", "brackets without end"),
    *("a pickle", "a pickle in a zip, as torch saves", "text in Latin-1"),
)
CASES = [(reader, kind) for reader in READERS for kind in ANY_FILE if reader != "journal" or kind not in NO_LINE]


@pytest.mark.parametrize(("reader", "kind"), CASES)
def test_what_is_no_such_file_is_refused(reader: str, kind: str, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    name, read = READERS[reader]
    ANY_FILE[kind](tmp_path / name)
    refused(read, tmp_path / name, name.split(".")[0])
    assert not (tmp_path / "trap-was-sprung").exists()


WHOLE_AT_ANY_END = (
    "weights",
    "recording",
    "image",
    "prices",
    "arrivals",
    "points",
    "chip",
    "machine",
    "journal",
    "event packets",
    "event words",
)


@pytest.mark.parametrize("reader", [reader for reader in READERS if reader not in WHOLE_AT_ANY_END])
def test_files_cut_anywhere_are_refused(reader: str, tmp_path) -> None:
    name, read = READERS[reader]
    path = tmp_path / name
    write_good(reader, path)
    whole = path.read_bytes()
    for cut in range(0, len(whole) - 1, max(1, len(whole) // 60)):
        path.write_bytes(whole[:cut])
        refused(read, path, name)


@pytest.mark.parametrize("name", ["a\0b", "x" * 300, ""], ids=["zero byte", "long", "empty"])
@pytest.mark.parametrize("reader", [reader for reader in READERS if reader != "journal"])
def test_names_that_no_file_can_have_are_refused(reader: str, name: str, tmp_path) -> None:
    suffix = READERS[reader][0].split(".")[1]
    refused(READERS[reader][1], tmp_path / f"{name}.{suffix}", "no such file|cannot be opened|no chip or TOML file")


F32, FOUR = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, b"\0" * 8
SAFETENSORS = {
    "a header of 100 GB": with_header(b"{}", length=100 << 30),
    "a header beyond the end": with_header({"a": F32}, FOUR, length=5_000),
    "a header of 2^64 - 1": with_header(b"{}", length=2**64 - 1),
    "a header cut by its length": with_header({"a": F32}, FOUR, length=20),
    "a header that is no JSON": with_header(b"{a: 1}"),
    "a header that is a list": with_header(b"[]"),
    "a header in UTF-16": with_header("{}".encode("utf-16")),
    "a header nested without end": with_header(b'{"a":' * 50_000),
    "a name twice": with_header(b'{"a": %s, "a": %s}' % ((json.dumps(F32).encode(),) * 2), FOUR),
    "infinity in the header": with_header(b'{"a": {"dtype": "F32", "shape": [Infinity], "data_offsets": [0, 8]}}', FOUR),
    "overlapping offsets": with_header({"a": F32, "b": F32 | {"data_offsets": [4, 12]}}, FOUR * 2),
    "a hole between tensors": with_header({"a": F32, "b": F32 | {"data_offsets": [16, 24]}}, FOUR * 3),
    "offsets beyond the end": with_header({"a": F32 | {"data_offsets": [0, 1 << 40], "shape": [1 << 38]}}, FOUR),
    "offsets backwards": with_header({"a": F32 | {"data_offsets": [8, 0]}}, FOUR),
    "negative offsets": with_header({"a": F32 | {"data_offsets": [-8, 0]}}, FOUR),
    "bytes left over": with_header({"a": F32}, FOUR * 2),
    "a negative shape": with_header({"a": F32 | {"shape": [-2]}}, FOUR),
    "a shape of 2^63": with_header({"a": F32 | {"shape": [2**63]}}, FOUR),
    "a shape that overflows": with_header({"a": F32 | {"shape": [2**62, 2**62]}}, FOUR),
    "a shape of fractions": with_header({"a": F32 | {"shape": [0.5]}}, FOUR),
    "more values than bytes": with_header({"a": F32 | {"shape": [2, 1000]}}, FOUR),
    "an unknown type": with_header({"a": F32 | {"dtype": "PICKLE"}}, FOUR),
    "no type": with_header({"a": {"shape": [2], "data_offsets": [0, 8]}}, FOUR),
    "metadata that are no text": with_header({"__metadata__": {"neuro": {"format": 1}}}),
}


@pytest.mark.parametrize("reader", ["network", "tensors", "weights", "spotter"])
@pytest.mark.parametrize("kind", SAFETENSORS)
def test_broken_safetensors_are_refused(reader: str, kind: str, tmp_path) -> None:
    name, read = READERS[reader]
    (tmp_path / name).write_bytes(SAFETENSORS[kind])
    refused(read, tmp_path / name, "not a readable safetensors file")


def _set(*where: Any) -> Any:
    """A change of a description: the value at a path of keys."""
    *path, last, value = where

    def change(described: Any) -> None:
        for key in path:
            described = described[key]
        described[last] = value

    return change


def _population(index: int, *where: Any) -> Any:
    return _set("value", "fields", "populations", index, "fields", *where)


def _projection(index: int, *where: Any) -> Any:
    return _set("value", "fields", "projections", index, "fields", *where)


def _neuron(index: int, *where: Any) -> Any:
    return _population(index, "neuron", "fields", *where)


DESCRIPTIONS = {  # what a stranger may write into the description of a network
    "not JSON": (lambda d: "{", "description is broken"),
    "a list": (lambda d: "[]", "description is broken"),
    "null": (lambda d: "null", "description is broken"),
    "nested without end": (lambda d: "[" * 100_000, "description is broken"),
    "a key twice": (lambda d: '{"format": 1, "format": 1}', "named twice"),
    "a number of 5,000 digits": (lambda d: '{"format": ' + "9" * 5_000 + "}", "description is broken"),
    "another format": (_set("format", 99), "format 99"),
    "another kind": (_set("kind", "graph"), "holds a graph"),
    "only numbers": (_set("value", [1, 2]), "describes a tuple"),
    "a part only": (_set("value", {"type": "IntegrateAndFire", "fields": {"threshold": 3}}), "describes a IntegrateAndFire"),
    "an unknown class": (_set("value", "type", "os.system"), "KeyError"),
    "a class of the language": (_set("value", "type", "eval"), "KeyError"),
    "a neuron of the user's": (_population(1, "neuron", {"type": "UserNeuron", "fields": {"step": "os.system"}}), "UserNeuron"),
    "a hidden field": (_set("value", "fields", "_plans", {"map": {}}), "unknown field"),
    "a field too many": (_neuron(1, "__class__", "x"), "unknown field"),
    "a tensor that is not there": (_projection(0, "weights", {"tensor": "t99"}), "KeyError"),
    "text for a number": (_neuron(1, "threshold", "9"), "threshold is a str"),
    "a fraction for a number": (_neuron(1, "threshold", 1.5), "threshold is a float"),
    "truth for a number": (_neuron(1, "threshold", True), "threshold is a bool"),
    "a number for a name": (_population(0, "name", 7), "name is a int"),
    "a table for a shape": (_population(0, "shape", {"map": {}}), "shape is a dict"),
    "a shape of text": (_population(0, "shape", ["1", "4", "4"]), "shape is a tuple"),
    "a shape of 2^62 neurons": (_population(0, "shape", [2**31, 2**31]), "holds 4,611,686,018,427,387,904 neurons"),
    "a shape of 10^400": (_population(0, "shape", [10**400]), "description is broken|holds"),
    "a negative shape": (_population(0, "shape", [-1, 4, 4]), "a size = -1"),
    "no shape": (_population(0, "shape", []), "no neurons"),
    "a threshold of 0": (_neuron(1, "threshold", 0), "threshold = 0"),
    "a threshold of 10^30": (_neuron(1, "threshold", 10**30), "from 1 to 2,147,483,647"),
    "NaN as a scale": (_neuron(0, "scale", float("nan")), "NaN is no number"),
    "a scale of 0": (_neuron(0, "scale", 0.0), "scale = 0"),
    "taps beyond counting": (_neuron(3, "taps", 10**12), "taps"),
    "a wait beyond counting": (_neuron(5, "gather", 10**12), "gather"),
    "a start beyond counting": (_neuron(5, "start_step", 10**12), "start_step"),
    "a bias of another shape": (_neuron(1, "bias", {"tensor": "t2"}), "bias"),
    "a window of 10^12 steps": (_set("value", "fields", "timesteps", 10**12), "timesteps"),
    "a delay of 0": (_projection(0, "delay", 0), "delay = 0"),
    "a delay of 10^30": (_projection(0, "delay", 10**30), "delay = 1"),
    "a stride of 0": (_projection(0, "stride", 0), "stride"),
    "a stride of text": (_projection(0, "stride", "1"), "stride is a str"),
    "negative padding": (_projection(0, "padding", -1), "padding"),
    "padding beyond counting": (_projection(0, "padding", 10**12), "yields"),
    "a pool of 10^9 by 10^9": (_projection(1, "kernel", [10**9, 10**9]), "window"),
    "groups that do not divide": (_projection(0, "groups", 3), "groups"),
    "synapses to nowhere": (_projection(3, "weights", [[0], [99], [1]]), "leave its 3 neurons|is a"),
    "a projection to nowhere": (_projection(0, "target", "gone"), "no population"),
    "populations of one name": (_population(1, "name", "in"), "used twice"),
    "no populations": (_set("value", "fields", "populations", []), "no populations"),
    "a population that is text": (_set("value", "fields", "populations", 0, "x"), "populations is a tuple"),
}  # fmt: skip


@pytest.mark.parametrize("kind", DESCRIPTIONS)
def test_broken_descriptions_of_networks_are_refused(kind: str, tmp_path) -> None:
    change, said = DESCRIPTIONS[kind]
    name, read = READERS["network"]
    write_good("network", tmp_path / name)
    redescribed(tmp_path / name, change)
    refused(read, tmp_path / name, said)


def _layer(index: int, *where: Any) -> Any:
    return _set("value", "fields", "layers", index, "fields", *where)


GRAPHS = {
    "an unknown op": (_layer(1, "op", "eval"), "op 'eval'"),
    "a stride of 0": (_layer(1, "options", "map", "stride", [0, 0]), "stride|ZeroDivisionError"),
    "a stride of text": (_layer(1, "options", "map", "stride", "ab"), "is not a tuple"),
    "a missing option": (_layer(1, "options", {"map": {}}), "missing option"),
    "a shape of 10^30": (_layer(0, "shape", [1, 10**30, 4]), "yields"),
    "a negative shape": (_layer(0, "shape", [-1, 4, 4]), "shape"),
    "layers in a loop": (_layer(1, "inputs", ["out"]), "does not come before"),
    "a layer that is a neuron": (
        _set("value", "fields", "layers", 0, {"type": "Graded", "fields": {"threshold": 1}}),
        "description is broken",
    ),
    "no layers": (_set("value", "fields", "layers", []), "not an input"),
}


@pytest.mark.parametrize("kind", GRAPHS)
def test_broken_descriptions_of_graphs_are_refused(kind: str, tmp_path) -> None:
    change, said = GRAPHS[kind]
    name, read = READERS["graph"]
    write_good("graph", tmp_path / name)
    redescribed(tmp_path / name, change)
    refused(read, tmp_path / name, said)


@pytest.mark.parametrize("value", [np.nan, np.inf], ids=str)
def test_weights_that_are_no_numbers_are_refused(value: float, tmp_path) -> None:
    name, read = READERS["graph"]
    write_good("graph", tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    length = int.from_bytes(whole[:8], "little")
    tensors = load(whole)
    (tmp_path / name).write_bytes(
        save(
            {key: np.full_like(array, value) for key, array in tensors.items()}, json.loads(whole[8 : 8 + length])["__metadata__"]
        )
    )
    refused(read, tmp_path / name, "holds NaN, infinity")


SPOTTERS = {
    "a transform of 10^12": (_set("value", "map", "features", "map", "fft", 10**12), "fft"),
    "a hop of 0": (_set("value", "map", "features", "map", "hop", 0), "hop"),
    "a rate of text": (_set("value", "map", "features", "map", "rate", "16 kHz"), "spotter"),
    "an unknown setting": (_set("value", "map", "features", "map", "colour", 1), "spotter"),
    "no words": (_set("value", "map", "classes", []), "0 words"),
    "words that are numbers": (_set("value", "map", "classes", [1, 2, 3]), "spotter"),
    "a threshold of 2": (_set("value", "map", "threshold", 2), "threshold"),
    "a threshold of text": (_set("value", "map", "threshold", "high"), "spotter"),
    "a network that is none": (_set("value", "map", "network", 3), "spotter"),
    "a graph that is none": (_set("value", "map", "graph", None), "spotter"),
    "a mean of text": (_set("value", "map", "mean", "low"), "spotter"),
    "a card that is no table": (_set("value", "map", "card", 5), "spotter"),
}


@pytest.mark.parametrize("kind", SPOTTERS)
def test_broken_descriptions_of_spotters_are_refused(kind: str, tmp_path) -> None:
    change, said = SPOTTERS[kind]
    name, read = READERS["spotter"]
    write_good("spotter", tmp_path / name)
    redescribed(tmp_path / name, change)
    refused(read, tmp_path / name, said)
