"""What NIR files may hold: what has no form here is refused by name, and files are not trusted."""

from pathlib import Path

import h5py
import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import converters
import neuro

RECORDED = Path(__file__).parent / "data" / "nir"


def _graph(path: Path, *nodes: object, **more: object) -> Path:
    names = ["input", *(f"n{i}" for i in range(len(nodes))), "output"]
    ends = {"input": nir.Input(np.array([3])), "output": nir.Output(np.array([3]))}
    edges = [*zip(names, names[1:], strict=False), *more.get("edges", [])]
    nir.write(path, nir.NIRGraph({**ends, **dict(zip(names[1:-1], nodes, strict=True))}, edges, type_check=False))
    return path


ONE, SOME = np.ones(3), np.array([0.1, 0.2, 0.4])
REFUSED = {
    "threshold": ((nir.Threshold(ONE),), {}, "node 'n0' (Threshold): it has no form here"),
    "time constants": ((nir.LIF(SOME, ONE, 0 * ONE, ONE),), {}, "the membrane has 3 different time constants"),
    "short": ((nir.LIF(0.01 * ONE, ONE, 0 * ONE, ONE),), {}, "a step of 1 is longer than the time constant 0.01"),
    "no threshold": ((nir.IF(ONE, 0 * ONE),), {}, "a threshold is not above v_reset"),
    "shapes": ((nir.Linear(np.ones((2, 4))),), {}, "weights (2, 4) do not fit inputs (3,)"),
    "loop": ((nir.IF(ONE, ONE), nir.Scale(ONE)), {"edges": [("n1", "n1")]}, "it is part of a loop"),
    "feedback over layers": ((nir.IF(ONE, ONE), nir.IF(ONE, ONE)), {"edges": [("n1", "n0")]}, "it is part of a loop"),
    "delay": ((nir.Delay(SOME), nir.IF(ONE, ONE)), {}, "it delays by"),
    "potential": ((nir.LI(2 * ONE, ONE, 0 * ONE), nir.IF(ONE, ONE)), {}, "its potential is read by other nodes"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_form_is_refused_by_name(name, tmp_path) -> None:
    nodes, more, message = REFUSED[name]
    with pytest.raises(neuro.NeuroError) as caught:
        converters.read_nir(_graph(tmp_path / "n.nir", *nodes, **more))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"writer": "nest"}, "Use one of nir, snntorch"),
        ({"dt": -1.0}, "Use a number above 0"),
        ({"weight_bits": 99}, "from 2 to 24"),
        ({"reset": "none"}, "Use 'subtract' or 'zero'"),
    ],
)
def test_arguments_are_checked(arguments, message, tmp_path) -> None:
    path = _graph(tmp_path / "n.nir", nir.IF(ONE, ONE))
    with pytest.raises(neuro.NeuroError, match=message):
        converters.read_nir(path, **arguments)


def test_delays_and_feedback_keep_their_steps(tmp_path) -> None:
    nodes = (nir.Delay(2 * ONE), nir.IF(ONE, 4 * ONE), nir.Scale(3 * ONE))
    path = _graph(tmp_path / "n.nir", *nodes, edges=[("n2", "n1")])
    network = converters.read_nir(path, reset="subtract")
    (forward, back) = network.into("n1")
    assert (forward.delay, back.delay, back.source) == (3, 1, "n1")


def test_deep_networks_are_read(tmp_path) -> None:
    nodes = [node for _ in range(600) for node in (nir.Scale(ONE), nir.IF(ONE, ONE))]
    network = converters.read_nir(_graph(tmp_path / "n.nir", *nodes), writer="sinabs")
    x = np.eye(3, dtype=int)[None]
    assert network["output"].neuron.start_step == 601
    assert np.array_equal(neuro.run(network, x).logits, [[1, 1, 1]])


# Files that are not what they seem


def _broken(tmp_path: Path, change: object) -> Path:
    path = _graph(tmp_path / "n.nir", nir.Affine(np.eye(3), np.ones(3)), nir.IF(ONE, ONE))
    with h5py.File(path, "r+") as opened:
        change(opened["node/nodes"])
    return path


def _replace(group: h5py.Group, make: object) -> None:
    del group["n0/weight"]
    make(group["n0"])


CHANGES = {
    "external link": (
        lambda g: _replace(g, lambda n: n.__setitem__("weight", h5py.ExternalLink("/tmp/x.h5", "/w"))),
        "it is a link",
    ),
    "soft link": (lambda g: _replace(g, lambda n: n.__setitem__("weight", h5py.SoftLink("/node/nodes/n0/bias"))), "it is a link"),
    "external storage": (
        lambda g: _replace(g, lambda n: n.create_dataset("weight", (3, 3), "f4", external=[("/tmp/x.bin", 0, 36)])),
        "not data of this file",
    ),
    "bomb": (lambda g: _replace(g, lambda n: n.create_dataset("weight", (2**20, 2**20), "f4", chunks=(64, 64))), "it declares"),
    "objects": (lambda g: _replace(g, lambda n: n.create_dataset("weight", (3, 3), h5py.ref_dtype)), "its type is"),
    "missing": (lambda g: g.__delitem__("n0/bias"), "node 'n0' (Affine): its parts do not fit together"),
    "loop of groups": (lambda g: g.__setitem__("n0/again", g), "too many parts, or they lie too deep"),
    "no graph": (lambda g: g.file.__delitem__("node"), "it holds no NIR graph"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_files_are_not_trusted(name, tmp_path) -> None:
    change, message = CHANGES[name]
    with pytest.raises(neuro.NeuroError) as caught:
        converters.read_nir(_broken(tmp_path, change))
    assert message in str(caught.value)


def test_files_that_are_no_hdf5_are_refused(tmp_path) -> None:
    (tmp_path / "n.nir").write_bytes(b"nothing")
    for path, message in ((tmp_path / "n.nir", "not a readable NIR file"), (tmp_path / "none.nir", "there is no such file")):
        with pytest.raises(neuro.NeuroError, match=message):
            converters.read_nir(path)


def test_metadata_that_contradicts_the_weights_is_refused(tmp_path) -> None:
    network = neuro.Network(
        (neuro.Population("in", (3,), neuro.Source()), neuro.Population("a", (3,), neuro.IntegrateAndFire(5))),
        (neuro.Sparse("in", "a", (np.array([0, 1]), np.array([1, 2]), np.array([3, 4]))),),
    )
    converters.write_nir(network, tmp_path / "n.nir")
    with h5py.File(tmp_path / "n.nir", "r+") as opened:
        opened["node/nodes/synapses_0/weight"][1, 0] = 7
    with pytest.raises(neuro.NeuroError, match="its weights differ from those of its metadata"):
        converters.read_nir(tmp_path / "n.nir")


@settings(max_examples=60)
@given(data=st.data())
def test_a_damaged_file_is_refused_and_nothing_else_happens(data, tmp_path_factory) -> None:
    content = bytearray((RECORDED / "norse_spikes.nir").read_bytes())
    for _ in range(data.draw(st.integers(1, 20))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.nir"
    path.write_bytes(content)
    try:
        read_anyway = converters.read_nir(path, writer="norse")
    except neuro.NeuroError:
        return
    assert isinstance(read_anyway, neuro.Network)
