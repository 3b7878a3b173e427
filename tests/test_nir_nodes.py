"""NIR nodes one by one: linear ones compute what torch computes, neurons follow their equations, the rest is refused by name."""

from pathlib import Path

import h5py
import nir
import numpy as np
import pytest
import torch
import torch.nn.functional as F

import converters
import neuro
from converters.formats import nir_import
from converters.formats.nir_neurons import leaky, leaky_current, leaky_integrator

RNG = np.random.default_rng(0)
IMAGE = (2, 5, 6)
KERNEL = RNG.integers(-3, 4, (4, 1, 2, 3)).astype(np.float32)
SQUARE, ONE = RNG.integers(-3, 4, (3, 3)).astype(np.float32), np.ones(3)
ALIKE = np.full((2, 1, 2, 2), 3, np.float32)
PAIR, NONE = np.array([2, 2]), np.array([0, 0])


def graph_of(*nodes: object, shape: tuple[int, ...] = (3,), edges: tuple = (), named: dict | None = None) -> nir.NIRGraph:
    """Nodes n0, n1, ... in a row between an input and an output, with more nodes by name and more edges."""
    names = ["input", *(f"n{i}" for i in range(len(nodes))), "output"]
    ends = {"input": nir.Input(np.array(shape)), "output": nir.Output(np.array(shape))}
    row = [*zip(names, names[1:], strict=False), *edges]
    return nir.NIRGraph({**ends, **dict(zip(names[1:-1], nodes, strict=True)), **(named or {})}, row, type_check=False)


def written(graph: nir.NIRGraph, path: Path) -> Path:
    nir.write(path, graph)
    return path


def t(array: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(array)


COMPUTED = {
    "convolution, same": (
        (nir.Conv2d(IMAGE[1:], KERNEL, 1, "same", (2, 1), 2, np.ones(4, np.float32)),), IMAGE, {},
        lambda x: F.conv2d(x, t(KERNEL), torch.ones(4), 1, "same", (2, 1), 2),
    ),
    "convolution, valid": (
        (nir.Conv2d(IMAGE[1:], KERNEL, (1, 2), "valid", 1, 2, np.zeros(4, np.float32)),), IMAGE, {},
        lambda x: F.conv2d(x, t(KERNEL), None, (1, 2), 0, 1, 2),
    ),
    "convolution over time": (
        (nir.Conv1d(7, KERNEL[:, :, 0], 2, 1, 1, 2, np.zeros(4, np.float32)),), (2, 7), {},
        lambda x: F.conv1d(x, t(KERNEL[:, :, 0]), None, 2, 1, 1, 2),
    ),
    "dilated convolution of one channel and equal weights": (
        (nir.Conv2d((5, 6), 2 * ALIKE[:1], 1, (0, 1), 2, 1, np.zeros(1, np.float32)),), (1, 5, 6), {},
        lambda x: F.conv2d(x, t(2 * ALIKE[:1]), None, 1, (0, 1), 2),
    ),
    "dilated channels of equal weights": (
        (nir.Conv2d(IMAGE[1:], ALIKE, (2, 1), "same", (1, 2), 2, np.zeros(2, np.float32)),), IMAGE, {},
        lambda x: F.conv2d(F.pad(x, (1, 1, 0, 1)), t(ALIKE), None, (2, 1), 0, (1, 2), 2),
    ),
    "dilated line of equal weights": (
        (nir.Conv1d(7, ALIKE[:, :, 0], 1, 1, 3, 2, np.zeros(2, np.float32)),), (2, 7), {},
        lambda x: F.conv1d(x, t(ALIKE[:, :, 0]), None, 1, 1, 3, 2),
    ),
    "average pool with padding": (
        (nir.AvgPool2d(PAIR, PAIR, np.array([1, 1])),), IMAGE, {}, lambda x: F.avg_pool2d(x, 2, 2, 1),
    ),
    "average pool": ((nir.AvgPool2d(PAIR, PAIR, NONE),), IMAGE, {}, lambda x: F.avg_pool2d(x, 2)),
    "sum pool": ((nir.SumPool2d(PAIR, PAIR, np.array([1, 0])),), IMAGE, {}, lambda x: 4 * F.avg_pool2d(x, 2, 2, (1, 0))),
    "flatten": ((nir.Flatten({"input": np.array(IMAGE)}, 1, 2),), IMAGE, {}, lambda x: x.flatten(2)),
    "flatten nothing": ((nir.Flatten({"input": np.array(IMAGE)}, 2, 1),), IMAGE, {}, lambda x: x),
    "scale": ((nir.Scale(2 * ONE),), (3,), {}, lambda x: 2 * x),
    "affine": ((nir.Affine(SQUARE, ONE),), (3,), {}, lambda x: F.linear(x, t(SQUARE), torch.ones(3))),
    "edges that meet": (
        (nir.Linear(SQUARE), nir.Scale(ONE)), (3,), {"edges": (("input", "n1"),)}, lambda x: F.linear(x, t(SQUARE)) + x,
    ),
    "output of a sum": (
        (nir.Linear(SQUARE), nir.Affine(SQUARE, ONE)), (3,), {"edges": (("n0", "output"),)},
        lambda x: F.linear(F.linear(x, t(SQUARE)), t(SQUARE), torch.ones(3)) + F.linear(x, t(SQUARE)),
    ),
    "a graph inside": (
        (nir.Scale(2 * ONE), graph_of(nir.Linear(SQUARE), graph_of(nir.Scale(ONE))), nir.Affine(SQUARE, ONE)), (3,), {},
        lambda x: F.linear(F.linear(2 * x, t(SQUARE)), t(SQUARE), torch.ones(3)),
    ),
}  # fmt: skip


@pytest.mark.peer("torch")
@pytest.mark.parametrize("name", COMPUTED)
def test_linear_nodes_compute_what_torch_computes(name: str, tmp_path: Path) -> None:
    nodes, shape, more, expected = COMPUTED[name]
    network = converters.read_nir(written(graph_of(*nodes, shape=shape, **more), tmp_path / "n.nir"))
    x = np.random.default_rng(1).integers(0, 2, (3, 8, *shape))
    mean = expected(torch.as_tensor(x.mean(axis=1), dtype=torch.float32)).numpy()
    assert np.allclose(neuro.run(network, x).logits.reshape(mean.shape), mean, atol=1e-5)


def test_an_axis_of_samples_is_left_out_of_the_input_and_said(tmp_path: Path) -> None:
    network = converters.read_nir(written(graph_of(nir.Linear(SQUARE), shape=(1, 3)), tmp_path / "n.nir"))
    assert network["input"].shape == (3,)
    assert any("begins with an axis of samples" in note for note in network.notes)


CONV = nir.Conv2d((5, 6), KERNEL, 1, 0, 1, 2, np.zeros(4, np.float32))
REFUSED = {
    "two outputs": ((nir.Scale(ONE),), {"named": {"more": nir.Output(np.array([3]))}}, "NIR graph: it has 2 outputs"),
    "edge to nowhere": ((nir.Scale(ONE),), {"edges": (("n0", "n7"),)}, "an edge joins 'n0' and 'n7', which are not both there"),
    "graph of two inputs": (
        (graph_of(nir.Scale(ONE), named={"more": nir.Input(np.array([3]))}),), {}, "'n0': a graph inside must have one input",
    ),
    "input without neurons": ((nir.Scale(ONE),), {"shape": (0,)}, "node 'input' (Input): its shape is (0,)"),
    "node without input": (
        (nir.Scale(ONE),), {"named": {"s": nir.Scale(ONE)}, "edges": (("s", "n0"),)}, "node 's' (Scale): nothing leads to it",
    ),
    "shapes that meet": (
        (nir.Linear(np.ones((2, 3))), nir.Linear(np.ones((3, 2)))), {"edges": (("input", "n1"),)},
        "node 'n1' (Linear): inputs of the shapes [(2,), (3,)] meet",
    ),
    "parameters of another shape": ((nir.IF(np.ones(4), np.ones(4)),), {}, "parameters of shape (4,) for inputs of shape (3,)"),
    "feedback of another shape": (
        (nir.IF(ONE, ONE),), {"named": {"s": nir.Linear(np.ones((2, 3)))}, "edges": (("n0", "s"), ("s", "n0"))},
        "node 'n0' (IF): its feedback has another shape",
    ),
    "weights beyond the bits": ((nir.Scale(1000 * ONE), nir.IF(ONE, ONE)), {}, "reach 1e+03 thresholds. Pass more weight_bits"),
    "kernel beyond the image": ((CONV,), {"shape": (2, 1, 6)}, "it yields the shape (4, 0, 4)"),
    "kernel of other channels": (
        (CONV,), {"shape": IMAGE[1:]}, "node 'n0' (Conv2d): it does not fit inputs of the shapes [(5, 6)] (ValueError: w",
    ),
    "half a kernel": ((nir.SumPool2d(PAIR + 0.5, PAIR, NONE),), {"shape": IMAGE}, "node 'n0' (SumPool2d): it does not fit"),
    "pool of a line": ((nir.SumPool2d(PAIR, PAIR, NONE),), {"shape": (2, 7)}, "a pool over two axes on inputs of shape (2, 7)"),
    "outputs of no group": (
        (nir.Conv2d((5, 6), KERNEL[:3], 1, 0, 1, 2, np.zeros(3, np.float32)),), {"shape": IMAGE}, "3 outputs in 2 groups",
    ),
    "bias of another size": ((nir.Affine(SQUARE, np.ones(2)),), {}, "'n0' (Affine): it does not fit inputs of the shapes [(3,)]"),
    "axes beyond": ((nir.Flatten({"input": np.array(IMAGE)}, 4, -1),), {"shape": IMAGE}, "axes 4 to -1 of inputs of shape (2,"),
    "NaN": ((nir.Linear(np.full((3, 3), np.nan)),), {}, "node 'n0' (Linear): weight holds NaN"),
    "NaN in a neuron": ((nir.IF(ONE, np.nan * ONE),), {}, "node 'n0' (IF): v_threshold holds NaN"),
    "infinity": ((nir.Affine(SQUARE, np.inf * ONE),), {}, "node 'n0' (Affine): bias holds infinity"),
    "NaN inside": ((graph_of(nir.Scale(np.nan * ONE)),), {}, "node 'n0', node 'n0' (Scale): scale holds NaN"),
    "threshold alone": ((nir.Threshold(ONE),), {}, "node 'n0' (Threshold): it has no form here. Use Affine"),
    "kernel for other channels": ((CONV,), {"shape": (3, 5, 6)}, "weights (4, 1, 2, 3) do not fit inputs (3, 5, 6)"),
    "stride of three axes": (
        (nir.AvgPool2d(PAIR, np.array([1, 2, 3]), NONE),), {"shape": IMAGE}, "(ValueError: [1 2 3] for 2 axes)",
    ),
    "readout with a current": ((nir.CubaLI(ONE, 2 * ONE, ONE, 0 * ONE),), {}, "CubaLI has no form here. Use I, IF, LI"),
    "time constant of 0": ((nir.LIF(0 * ONE, ONE, 0 * ONE, ONE),), {}, "a time constant of the membrane is not positive"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_form_is_refused_by_name(name: str, tmp_path: Path) -> None:
    nodes, more, message = REFUSED[name]
    path = written(graph_of(*nodes, **more), tmp_path / "n.nir")
    with pytest.raises(neuro.NeuroError) as caught:
        converters.read_nir(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))


def test_a_node_of_an_unknown_type_is_named_with_its_file(tmp_path: Path) -> None:
    path = written(graph_of(nir.Scale(ONE)), tmp_path / "n.nir")
    for value, message in (("GRU", "n.nir, node 'n0': its type 'GRU' is not known. Use Input, Output, Affine"), (7, "its type ")):
        with h5py.File(path, "r+") as file:
            put("node/nodes/n0/type", value)(file)
        with pytest.raises(neuro.NeuroError) as caught:
            converters.read_nir(path)
        assert message in str(caught.value)


def test_parts_that_no_node_can_have_are_named(tmp_path: Path) -> None:
    path = written(graph_of(CONV, shape=IMAGE), tmp_path / "n.nir")
    with h5py.File(path, "r+") as file:
        put("node/nodes/n0/padding", "reflect")(file)
    with pytest.raises(
        neuro.NeuroError, match=r"n.nir, node 'n0' \(Conv2d\): its parts do not fit together \(ValueError: padding"
    ):
        converters.read_nir(path)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (nir.IF(ONE, ONE, 0.5 * ONE), "it subtracts, and has a v_reset. Set v_reset to 0"),
        (nir.CubaLIF(2 * ONE, 2 * ONE, ONE, 0.5 * ONE, ONE), "a leak voltage has no place in its model here"),
    ],
)
def test_what_no_subtraction_can_hold_is_refused(node: object, message: str, tmp_path: Path) -> None:
    path = written(graph_of(node), tmp_path / "n.nir")
    with pytest.raises(neuro.NeuroError, match=message):
        converters.read_nir(path, reset="subtract")


def test_feedback_by_two_ways_adds_up(tmp_path: Path) -> None:
    """One by way of a node that both ways share, the other with the sum of their weights: the same spikes."""
    near = {name: nir.Scale(weight * ONE) for name, weight in (("s", 1.0), ("a", 2.0), ("b", -3.0))}
    ways = (("n0", "a"), ("n0", "b"), ("a", "s"), ("b", "s"), ("s", "n0"))
    x = np.random.default_rng(3).integers(0, 2, (2, 20, 3))
    logits = []
    for named, edges, count in ((near, ways, 3), ({"s": nir.Scale(-ONE)}, (("n0", "s"), ("s", "n0")), 2)):
        path = written(graph_of(nir.IF(ONE, 2 * ONE), edges=edges, named=named), tmp_path / "n.nir")
        network = converters.read_nir(path, reset="subtract")
        assert len(network.into("n0")) == count
        logits.append(neuro.run(network, x).logits)
    assert np.array_equal(*logits)
    assert not np.array_equal(logits[0], x.sum(axis=1) // 2)


def test_ways_that_multiply_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nir_import, "_MOST_PATHS", 7)
    forks = {f"{side}{i}": nir.Scale(ONE) for i in range(3) for side in "ab"}
    edges = [(f"{side}{i}", f"{other}{i + 1}") for i in range(2) for side in "ab" for other in "ab"]
    edges += [("input", "a0"), ("input", "b0"), ("a2", "n0"), ("b2", "n0")]
    path = written(graph_of(nir.Scale(ONE), edges=tuple(edges), named=forks), tmp_path / "n.nir")
    with pytest.raises(neuro.NeuroError, match=r"node 'n0' \(Scale\): 9 ways lead to it"):
        converters.read_nir(path)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("current", [False, True])
def test_leaky_neurons_follow_their_equations(current: bool, late: bool) -> None:
    """v = keep v + i, with the threshold subtracted at once or after the next decay; 64 integer units are one of a weight."""
    keep, kept, threshold = 0.9, 0.6 * current, 40
    charge = np.random.default_rng(2).integers(-9, 25, 200)
    parameters = (threshold << 6, threshold << 6, round(keep * 2**16), int(late), round(kept * 2**16))
    v, i, state, over = 0.0, 0.0, (0, 0) if current else (0,), 0
    fired, expected = [], []
    for c in charge.tolist():
        i = kept * i + c
        v = keep * v + i - threshold * (over if late else 0)
        over = int(v >= threshold)
        v -= 0 if late else threshold * over
        spike, *state = (leaky_current if current else leaky)(c, parameters, *state)
        fired.append(spike)
        expected.append(over)
        assert state[0] / 64 == pytest.approx(v, abs=0.2)
    assert fired == expected
    assert 10 < sum(fired) < 190


def test_a_leaky_integrator_sends_what_its_potential_changes_by() -> None:
    sent, v = zip(*(leaky_integrator(c, (2**15, 6), v) for c, v in [(3, 0), (0, 192), (-1, 96)]), strict=True)
    assert v == (192, 96, 48 - 64)
    assert sent == (192, -96, -112)


def own_file(tmp_path: Path) -> Path:
    network = neuro.Network(
        (
            neuro.Population("in", (2, 9), neuro.Source()),
            neuro.Population("a", (4, 5), neuro.IntegrateAndFire(5, start_step=1)),
            neuro.Population("b", (3,), neuro.IntegrateAndFire(7, start_step=2)),
        ),
        (
            neuro.Conv1d("in", "a", np.arange(-6, 6).reshape(4, 1, 3), 2, (2, 0), groups=2),
            neuro.Dense("a", "b", np.arange(60).reshape(20, 3)),
            neuro.Sparse("in", "b", ([0, 17], [1, 2], [3, 0]), 3),
        ),
    )
    converters.write_nir(network, tmp_path / "n.nir")
    assert converters.read_nir(tmp_path / "n.nir") == network
    return tmp_path / "n.nir"


def put(where: str, value: object):
    """Changes a dataset of the file, whatever its type was."""

    def change(file: h5py.File) -> None:
        if where in file:
            del file[where]
        file[where] = value

    return change


def packed(file: h5py.File) -> None:
    """Weights packed by a filter that is not there to unpack them."""
    del file["node/nodes/synapses_1/weight"]
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_chunk((3, 20))
    plan.set_filter(307, h5py.h5z.FLAG_OPTIONAL)
    space = h5py.h5s.create_simple((3, 20))
    h5py.h5d.create(file["node/nodes/synapses_1"].id, b"weight", h5py.h5t.IEEE_F32LE, space, plan)


DAMAGED = {
    "format": (put("node/metadata/neuro_format", 9), "its metadata has the format 9. Use format 1"),
    "no metadata": (lambda f: f.__delitem__("node/nodes/a/metadata"), "node 'a': it is missing or has lost its metadata"),
    "no population": (put("node/metadata/order", "in,c"), "node 'c': it is missing or has lost its metadata"),
    "model": (put("node/nodes/a/metadata/model", "Perceptron"), "node 'a': its neuron model 'Perceptron' is not known"),
    "threshold": (put("node/nodes/a/metadata/threshold", 6), "node 'a': its threshold differs from that of its metadata"),
    "field of a neuron": (put("node/nodes/a/metadata/colour", 1), "node 'a': IntegrateAndFire has no 'colour'"),
    "kind": (put("node/nodes/synapses_1/metadata/kind", "Wire"), "its metadata names no projection between populations"),
    "target": (put("node/nodes/synapses_1/metadata/target", "c"), "its metadata names no projection between populations"),
    "field of a projection": (put("node/nodes/synapses_1/metadata/colour", 1), "node 'synapses_1': Dense has no 'colour'"),
    "stride": (put("node/nodes/synapses_0/stride", 1), "node 'synapses_0': its stride differs from that of its metadata"),
    "dilation": (put("node/nodes/synapses_0/metadata/dilation", 2), "'synapses_0': its metadata make no Conv1d: the convolution"),
    "halves": (put("node/nodes/synapses_0/weight", np.full((4, 1, 5), 0.5)), "its weights are no integers any more"),
    "kind of another size": (put("node/nodes/synapses_1/weight", np.ones((3, 7))), "weights are (pre, post) = (7, 3)"),
    "list of another size": (put("node/nodes/synapses_2/weight", np.ones((3, 7))), "its weights (3, 7) do not fit its metadata"),
    "filter": (packed, "synapses_1/weight: it is packed by a filter that is not built in"),
    "a node alone": (lambda f: (f.move("node/nodes/in", "in"), f.__delitem__("node"), f.move("in", "node")), "it holds a Input"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED)
def test_a_file_of_ours_that_was_changed_is_refused(name: str, tmp_path: Path) -> None:
    change, message = DAMAGED[name]
    path = own_file(tmp_path)
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(neuro.NeuroError) as caught:
        converters.read_nir(path)
    assert message in str(caught.value)


LATE = neuro.Conv2d("a", "b", np.ones((1, 1, 2, 1), int), padding=((0, 1), (0, 0)), dilation=2)


@pytest.mark.parametrize(
    ("shape", "projection", "message"),
    [
        (12_000, neuro.Sparse("a", "b", ([0], [1], [2])), "NIR has no sparse matrix, and 12,000 x 12,000 weights are too many"),
        (2, neuro.Dense("a", "b", np.full((2, 2), 2**25)), "a weight exceeds 2^24, which NIR's floats cannot hold"),
        ((1, 4, 3), LATE, "padding ((0, 1), (0, 0)) with dilation (2, 2) has no equal sides. Pad alike"),
    ],
)
def test_what_nir_cannot_hold_is_not_written(shape: object, projection: object, message: str, tmp_path: Path) -> None:
    a = shape if isinstance(shape, tuple) else (shape,)
    b = (1, 3, 3) if projection is LATE else a
    populations = tuple(neuro.Population(name, size, neuro.IntegrateAndFire(5)) for name, size in (("a", a), ("b", b)))
    with pytest.raises(neuro.NeuroError) as caught:
        converters.write_nir(neuro.Network(populations, (projection,)), tmp_path / "n.nir")
    assert message in str(caught.value)
    assert not (tmp_path / "n.nir").exists()


def test_a_bias_of_pixels_behind_a_convolution_is_kept_in_the_metadata_and_said(tmp_path: Path) -> None:
    neuron = neuro.IntegrateAndFire(5, bias=np.arange(9).reshape(1, 3, 3), start_step=1)
    network = neuro.Network(
        (neuro.Population("x", (1, 4, 3), neuro.Source()), neuro.Population("y", (1, 3, 3), neuron)),
        (neuro.Conv2d("x", "y", np.ones((1, 1, 2, 1), int)),),
    )
    notes = converters.write_nir(network, tmp_path / "n.nir")
    assert "population 'y': its bias is in the metadata only" in notes
    assert converters.read_nir(tmp_path / "n.nir") == network


WINDOWS = {
    "dilated pool": neuro.SumPool2d("x", "y", 2, 1, ((1, 1), (0, 0)), 3, dilation=(2, 1)),
    "dilated pool with unequal padding": neuro.SumPool2d("x", "y", 2, 1, ((2, 0), (0, 0)), 3, dilation=(2, 1)),
    "plain pool": neuro.SumPool2d("x", "y", (1, 2), 1, 0, 3),
    "dilated convolution": neuro.Conv2d("x", "y", np.arange(16).reshape(2, 2, 2, 2), 1, ((1, 1), (0, 0)), (2, 1)),
}


@pytest.mark.parametrize("name", WINDOWS)
def test_windows_survive_and_other_readers_compute_the_same(name: str, tmp_path: Path) -> None:
    populations = (
        neuro.Population("x", (2, 4, 5), neuro.Source()),
        neuro.Population("y", (2, 4, 4), neuro.IntegrateAndFire(9, "zero", start_step=1)),
        neuro.Population("z", (2, 4, 4), neuro.Readout(start_step=2)),
    )
    network = neuro.Network(populations, (WINDOWS[name], neuro.OneToOne("y", "z")))
    converters.write_nir(network, tmp_path / "n.nir")
    assert converters.read_nir(tmp_path / "n.nir") == network
    theirs = converters.read_nir(tmp_path / "n.nir", writer="spikingjelly", dt=1.0)
    x = np.random.default_rng(3).integers(0, 2, (3, 8, 2, 4, 5))
    assert np.array_equal(neuro.run(theirs, x).logits, neuro.run(network, x).logits)
    changed = {"Conv2d": "dilation", "SumPool2d": "kernel_size"}
    with h5py.File(tmp_path / "n.nir", "r+") as file:
        node = file["node/nodes"].get("synapses_0_sum", file["node/nodes/synapses_0"])
        field = changed[node["type"][()].decode()]
        put(f"{node.name}/{field}", np.array([1, 3]))(file)
    with pytest.raises(neuro.NeuroError, match=f"its {field} differs from that of its metadata"):
        converters.read_nir(tmp_path / "n.nir")


@pytest.mark.peer("torch")
@pytest.mark.parametrize("size", [(1, 1), (2, 3)])
def test_adaptive_pools_survive(size: tuple[int, int], tmp_path: Path) -> None:
    torch.manual_seed(2)
    body = (torch.nn.Conv2d(1, 2, 1), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(size), torch.nn.ReLU(), torch.nn.Flatten())
    body[0].bias.data[:] = 1
    model = torch.nn.Sequential(*body, torch.nn.Linear(2 * size[0] * size[1], 3))
    x = np.random.default_rng(1).random((20, 1, 4, 6)).astype(np.float32)
    network = converters.convert(model, x, code="rate", timesteps=32).network
    assert any(isinstance(p, neuro.Conv2d | neuro.SumPool2d) and p.source != "input_1" for p in network.projections)
    converters.write_nir(network, tmp_path / "n.nir", extended=True)
    assert converters.read_nir(tmp_path / "n.nir") == network
