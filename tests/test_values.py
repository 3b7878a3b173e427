"""Small values that the whole house shares: frozen arrays, specifications, rows, names, stored code."""

import dataclasses
import importlib.util
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

import neuro
from neuro.bill import Bill, Part
from neuro.bundles import load_parts, save_parts
from neuro.comparison import row_of
from neuro.compiled import compiled
from neuro.errors import EngineError, FormatError, GraphError
from neuro.graph import Graph, Layer
from neuro.reading import read_npz, read_toml
from neuro.specification import frozen_array

ONES = np.ones((2, 2), int)


def test_public_names_are_found_when_first_used_and_no_others() -> None:
    assert dir(neuro) == sorted(neuro.__all__)
    assert all(getattr(neuro, name) is not None for name in dir(neuro))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    program = "import sys, neuro; print(neuro.errors.NeuroError.__name__, 'numpy' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True).stdout
        == "NeuroError False\n"
    )
    with pytest.raises(AttributeError, match="module 'neuro' has no attribute 'runn'"):
        neuro.runn  # noqa: B018  # looking it up is the test


def test_a_frozen_number_stays_a_number() -> None:
    frozen = frozen_array(np.float32(3))
    assert (frozen.shape, float(frozen), frozen.flags.writeable) == ((), 3.0, False)


def test_specifications_equal_their_own_kind_alone_and_tell_large_arrays_by_shape() -> None:
    dense = neuro.Dense("a", "b", ONES)
    assert dense == neuro.Dense("a", "b", ONES.copy())
    assert dense != 3
    assert neuro.Readout() != neuro.Source()
    large = neuro.Dense("a", "b", np.ones((80, 80), int))
    assert "<int32 array (80, 80)>" in repr(large)
    assert eval(large.to_source(), {"Dense": neuro.Dense, "np": np}) == large
    assert "np.array([[1, 1], [1, 1]], dtype=np.int32)" in repr(dense)


def test_layers_are_kept_in_sets_and_found_by_name() -> None:
    layer = Layer("x", "input", (), (2,))
    assert {layer, Layer("x", "input", (), (2,))} == {layer}
    with pytest.raises(GraphError, match="layer 'y': there is none of that name. Use one of x"):
        Graph((layer,))["y"]


def test_a_row_is_read_like_a_mapping() -> None:
    row = row_of(Bill("mine", (Part("all", 3.0),), 1e3, 1e6))
    assert dict(row) == dataclasses.asdict(row)
    with pytest.raises(KeyError, match="joules"):
        row["joules"]


def test_a_function_that_no_file_holds_is_compiled_all_the_same() -> None:
    """Compiled functions are kept beside their files; where there is none, or no folder to write to, they are compiled anew."""
    space: dict[str, object] = {"__name__": __name__}
    exec(compile("def twice(n):\n    return 2 * n\n", "<nowhere>", "exec"), space)
    twice = compiled(space["twice"])
    assert twice(21) == 42


@pytest.mark.compiled
def test_kernels_that_older_sources_left_are_passed_over(tmp_path) -> None:
    """Even where they name a class that is gone since: what they hold is not read."""
    source = tmp_path / "older_kernels.py"
    source.write_text("def twice(n):\n    return 2 * n\n")
    spec = importlib.util.spec_from_file_location("older_kernels", source)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    twice: Any = compiled(module.twice)
    index = Path(twice._cache._cache_file._index_path)
    index.parent.mkdir(exist_ok=True)
    left = pickle.dumps(("stamp", {"signature": Gone()})).replace(b"Gone", b"Went")
    index.write_bytes(pickle.dumps(numba.__version__) + left)
    assert twice(21) == 42


@pytest.mark.compiled
def test_processes_that_compile_at_once_never_read_each_others_code(tmp_path, monkeypatch) -> None:
    """Both find the index empty and write theirs; what one then reads is its own, or nothing."""
    source = tmp_path / "some_kernels.py"
    source.write_text("def twice(n):\n    return 2 * n\n")
    spec = importlib.util.spec_from_file_location("some_kernels", source)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    one, other = (compiled(module.twice)._cache._cache_file for _ in range(2))
    Path(one._cache_path).mkdir(exist_ok=True)
    one.save("of integers", "code for integers")
    monkeypatch.setattr(other, "_load_index", dict)  # it looked before
    other.save("of reals", "code for reals")
    monkeypatch.undo()
    assert one.load("of integers") in ("code for integers", None)
    assert one.load("of reals") == "code for reals"


class Gone:
    """A class that an older version had, once its name in a pickle is changed."""


def test_a_neuron_must_stay_within_the_messages_it_declares() -> None:
    loud = neuro.UserNeuron(lambda charge, parameters, v: (9, v), (("v", 0),), highest=1)
    populations = (neuro.Population("a", (2,), neuro.Source("once")), neuro.Population("b", (2,), loud))
    network = neuro.Network(populations, (neuro.Dense("a", "b", ONES),), timesteps=2)
    with pytest.raises(EngineError, match=r"step sent the message 9. Stay within 0..1, or widen the bounds"):
        neuro.run(network, np.ones((1, 2), int), engine="reference")


def test_code_is_not_stored_and_numbers_of_numpy_are(tmp_path) -> None:
    custom = neuro.UserNeuron(lambda charge, parameters, v: (0, v), (("v", 0),))
    network = neuro.Network((neuro.Population("a", (2,), custom),), ())
    with pytest.raises(FormatError, match="population 'a': a UserNeuron's function cannot be stored. Keep its script"):
        network.save(tmp_path / "net.safetensors")
    save_parts({"whole": np.int64(3), "part": np.float32(0.5)}, tmp_path / "parts", "numbers")
    assert load_parts(tmp_path / "parts", "numbers") == {"whole": 3, "part": 0.5}


def test_an_array_that_ends_early_is_refused(tmp_path) -> None:
    """Its header and the archive promise three numbers, two follow, and even the check sum is that of two."""
    path = tmp_path / "short.npz"
    np.savez(path, x=np.arange(2.0))
    with zipfile.ZipFile(path) as archive:
        content = archive.read("x.npy")
    size = len(content).to_bytes(4, "little")
    raw = path.read_bytes().replace(b"(2,)", b"(3,)")
    crc = zipfile.crc32(content).to_bytes(4, "little")
    right = zipfile.crc32(content.replace(b"(2,)", b"(3,)")).to_bytes(4, "little")
    longer = (len(content) + 8).to_bytes(4, "little")
    path.write_bytes(raw.replace(crc, right).replace(size + size, size + longer))
    with pytest.raises(FormatError, match="'x.npy' is cut short"):
        read_npz(path)


def test_tables_without_end_are_refused(tmp_path) -> None:
    deep = tmp_path / "deep.toml"
    deep.write_text("a = " + 20 * "[" + 20 * "]" + "\n")
    with pytest.raises(FormatError, match="nested more than 16 deep"):
        read_toml(deep)
