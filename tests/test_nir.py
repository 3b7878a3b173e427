"""NIR in and out: what four packages wrote gives their spikes, and what we write comes back."""

import json
from dataclasses import replace
from pathlib import Path

import nir
import numpy as np
import pytest
import torch
from hypothesis import given, settings

import converters
import neuro
from benchmarks.conversion_networks import mnist_cnn, resnet20, spoken
from neuro.digits.model import digits_cnn
from neuro.keywords.model import DsCnn
from tests.commands import here
from tests.convertible import Branches, Chain, Pools, settled
from tests.networks import cases

RECORDED = Path(__file__).parent / "data" / "nir"
NAMES = sorted(path.stem for path in RECORDED.glob("*.nir") if path.stem != "written")
SPIKING = [name for name in NAMES if name != "norse_box"]


def read(name: str, **more: object) -> neuro.Network:
    """A recorded file; which reset it was is not in it."""
    given_reset = {"reset": "zero"} if name.endswith("zero") else {}
    return converters.read_nir(RECORDED / f"{name}.nir", writer=name.split("_")[0], **given_reset, **more)


def answers(network: neuro.Network, x: np.ndarray) -> np.ndarray:
    """Spikes (samples, steps, neurons) of the population before the output, in its own window."""
    (counted,) = network.into("output")
    run = neuro.run(network, x, record=("raster",))
    start = network[counted.source].neuron.start_step
    return np.asarray(run.raster[counted.source])[:, start : start + x.shape[1]].reshape(*x.shape[:2], -1)


@pytest.mark.golden("writers of NIR files")
@pytest.mark.parametrize("name", SPIKING)
def test_files_of_other_packages_give_their_spikes_step_by_step(name) -> None:
    recorded = np.load(RECORDED / f"{name}.npz")
    network = read(name, weight_bits=20)
    assert np.array_equal(answers(network, recorded["x"]), recorded["outputs"])
    assert recorded["outputs"].sum() > 10
    run = neuro.run(network, recorded["x"])
    assert np.array_equal(run.logits, recorded["outputs"].sum(axis=1))
    assert any(f"as {name.split('_')[0]} does" in note for note in network.notes)


@pytest.mark.golden("writers of NIR files")
@pytest.mark.parametrize("name", SPIKING)
def test_with_eight_bits_few_spikes_differ_and_the_notes_say_so(name) -> None:
    recorded = np.load(RECORDED / f"{name}.npz")
    network = read(name)
    spikes = answers(network, recorded["x"])
    assert np.abs(spikes - recorded["outputs"]).mean() < 0.12
    assert abs(spikes.sum() / recorded["outputs"].sum() - 1) < 0.1
    assert any("rounded to 8 bits" in note for note in network.notes)


@pytest.mark.golden("writers of NIR files")
def test_a_leaky_readout_ends_at_the_recorded_potential() -> None:
    recorded = np.load(RECORDED / "norse_box.npz")
    run = neuro.run(read("norse_box", weight_bits=20), recorded["x"])
    assert np.allclose(run.logits, recorded["outputs"][:, -1], atol=1e-3)


def ours() -> neuro.Network:
    """A network that NIR has all words for, but for the step at which layers start."""
    rng = np.random.default_rng(1)
    populations = (
        neuro.Population("in", (1, 8, 8), neuro.Source(levels=1)),
        neuro.Population("a", (4, 6, 6), neuro.IntegrateAndFire(41, reset="zero", start_step=1)),
        neuro.Population("b", (5,), neuro.IntegrateAndFire(131, reset="zero", start_step=2)),
    )
    conv = neuro.Conv2d("in", "a", rng.integers(-9, 20, (4, 1, 3, 3)))
    return neuro.Network(populations, (conv, neuro.Dense("a", "b", rng.integers(-9, 20, (144, 5)))))


@pytest.mark.golden("readers of NIR files")
def test_another_package_reads_what_we_write_and_spikes_alike(tmp_path) -> None:
    recorded = np.load(RECORDED / "written.npz")
    run = neuro.run(ours(), recorded["x"], record=("raster",))
    assert np.array_equal(run.raster["b"][:, 2:], recorded["outputs"])
    assert recorded["outputs"].sum() > 50
    converters.write_nir(ours(), tmp_path / "n.nir")
    new, old = (nir.read(path) for path in (tmp_path / "n.nir", RECORDED / "written.nir"))
    assert set(new.edges) == set(old.edges)
    for name, node in new.nodes.items():
        mine, theirs = node.to_dict(), old.nodes[name].to_dict()
        assert all(np.array_equal(mine[key], theirs[key]) for key in mine if key != "metadata")
        written = set(mine["metadata"]) & set(theirs["metadata"])
        assert all(np.array_equal(mine["metadata"][key], theirs["metadata"][key]) for key in written)
        newer = {"dead_zone", "emit", "period", "refresh", "refresh_sent"}  # than the recorded file
        assert set(mine["metadata"]) ^ written <= newer


def test_both_engines_run_what_was_read() -> None:
    recorded = np.load(RECORDED / "snntorch_recurrent.npz")
    network = read("snntorch_recurrent")
    runs = [neuro.run(network, recorded["x"][:1], engine=engine) for engine in ("event", "reference")]
    assert np.array_equal(runs[0].logits, runs[1].logits)


def refusal(network: neuro.Network, path: Path, **more: bool) -> str:
    """Why a network cannot be written; "" where it was."""
    path.unlink(missing_ok=True)
    try:
        converters.write_nir(network, path, **more)
    except neuro.NeuroError as error:
        return str(error)
    return ""


@settings(max_examples=60)
@given(case=cases())
def test_what_is_written_comes_back(case, tmp_path_factory) -> None:
    network, _, _ = case
    path = tmp_path_factory.getbasetemp() / "random.nir"
    if why := refusal(network, path, extended=True):
        assert any(fact in why for fact in ("UserNeuron", "has no equal sides", "no ports and tables"))
        assert not path.exists()
        return
    assert converters.read_nir(path) == replace(network, projections=tuple(p.expanded() for p in network.projections))


@settings(max_examples=60)
@given(case=cases(plain=True))
def test_without_extensions_a_network_is_refused_by_name_or_gives_the_same_spikes(case, tmp_path_factory) -> None:
    network, inputs, timesteps = case
    path = tmp_path_factory.getbasetemp() / "plain.nir"
    held = [p.name for p in network.populations if p.neuron.hold_input or getattr(p.neuron, "doubling", False)]
    if why := refusal(network, path):
        assert "equal sides" in why or any(f"population {name!r}: NIR has no word for" in why for name in held)
        return
    assert not held
    back = converters.read_nir(path)
    runs = [neuro.run(n, inputs, timesteps=timesteps) for n in (network, back)]
    assert all(np.array_equal(runs[0].spikes[name], runs[1].spikes[name]) for name in runs[0].spikes)
    assert np.array_equal(runs[0].logits, runs[1].logits)


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    return np.random.default_rng(0).random((32, 1, 8, 8), np.float32)


@pytest.mark.parametrize("code", ["rate", "signed", "wait", "radix", "graded"])
@pytest.mark.parametrize("model", [Chain, Branches, Pools])
def test_converted_networks_come_back_in_every_code(model, code, samples, tmp_path) -> None:
    network = converters.convert(settled(model(), samples), samples, code=code, timesteps=6, correct_bias=False).network
    converters.write_nir(network, tmp_path / "n.nir", extended=True)
    assert converters.read_nir(tmp_path / "n.nir") == network


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        pytest.param(digits_cnn, (1, 8, 8), id="digits"),
        pytest.param(spoken, (1, 32, 32), id="spoken_digits"),
        pytest.param(mnist_cnn, (1, 28, 28), id="sinabs_mnist_cnn"),
        pytest.param(DsCnn, (10, 49), id="mlperf_kws_dscnn", marks=pytest.mark.slow),
        pytest.param(resnet20, (3, 32, 32), id="cifar_resnet20", marks=pytest.mark.slow),
    ],
)
def test_the_benchmark_s_networks_come_back(make, shape, tmp_path) -> None:
    torch.manual_seed(0)
    x = np.random.default_rng(0).random((4, *shape), np.float32)
    network = converters.convert(make().eval(), x, timesteps=6, correct_bias=False).network
    converters.write_nir(network, tmp_path / "n.nir", extended=True)
    assert converters.read_nir(tmp_path / "n.nir") == network


def test_the_metadata_says_what_nir_cannot(samples, tmp_path) -> None:
    model = settled(Branches(), samples)
    network = converters.convert(model, samples, timesteps=6, input="spikes").network
    notes = converters.write_nir(network, tmp_path / "n.nir")
    assert any("reset by subtraction" in note for note in notes)
    assert any("start steps" in note for note in notes)
    graph = nir.read(tmp_path / "n.nir")  # with nir's own check of types
    neurons = [node for node in graph.nodes.values() if isinstance(node, nir.IF)]
    assert {(n.metadata["reset"], n.metadata["potential_bits"]) for n in neurons} == {("subtract", 24)}
    assert sorted(n.metadata["start_step"] for n in neurons) == [1, 2, 3, 4]
    assert all("initial_potential" in n.metadata for n in neurons)
    weights = [node for node in graph.nodes.values() if isinstance(node, nir.Conv2d | nir.Linear | nir.Affine)]
    assert all(1 < node.metadata["weight_bits"] <= 8 and node.metadata["delay"] >= 1 for node in weights)
    assert graph.metadata["timesteps"] == 6
    assert any(isinstance(node, nir.Delay) for node in graph.nodes.values()) == any(
        p.delay != network[p.target].neuron.start_step - network[p.source].neuron.start_step for p in network.projections
    )


def test_our_file_read_as_a_stranger_s_gives_the_same_spikes(tmp_path) -> None:
    rng = np.random.default_rng(1)
    network = neuro.Network(
        (
            neuro.Population("in", (2, 5, 6), neuro.Source(levels=1)),
            neuro.Population("a", (4, 5, 6), neuro.IntegrateAndFire(37, bias=rng.integers(0, 5, (4, 1, 1)), start_step=1)),
            neuro.Population("b", (7,), neuro.IntegrateAndFire(90, start_step=2)),
            neuro.Population("out", (3,), neuro.Readout(start_step=3)),
        ),
        (
            neuro.Conv2d("in", "a", rng.integers(-20, 30, (4, 2, 3, 3)), padding=((0, 2), (2, 0))),
            neuro.Dense("a", "b", rng.integers(-20, 30, (120, 7))),
            neuro.Dense("in", "b", rng.integers(-20, 30, (60, 7)), 2),
            neuro.Dense("b", "out", rng.integers(-20, 30, (7, 3))),
        ),
    )
    x = (rng.random((3, 12, 2, 5, 6)) < 0.2).astype(np.int8)
    converters.write_nir(network, tmp_path / "n.nir")
    stranger = converters.read_nir(tmp_path / "n.nir", writer="sinabs")
    runs = [neuro.run(n, x) for n in (network, stranger)]
    assert np.array_equal(runs[0].spikes["b"], runs[1].spikes["b"])
    assert np.array_equal(runs[0].spikes["a"], runs[1].spikes["a"])
    assert np.array_equal(runs[0].logits, runs[1].logits)
    assert all("rounded" not in note for note in stranger.notes)


def test_the_command_line_runs_and_shows_nir_files(tmp_path, monkeypatch, capsys) -> None:
    recorded = np.load(RECORDED / "spikingjelly_if_lif.npz")
    np.savez(tmp_path / "d.npz", x=recorded["x"], y=recorded["outputs"].sum(axis=1).argmax(axis=1))
    file = RECORDED / "spikingjelly_if_lif.nir"
    flags = ("--data", "d.npz", "--nir-writer", "spikingjelly", "--json", "-")
    status, printed, errors = here(monkeypatch, capsys, tmp_path, "run", file, *flags)
    assert status == 0, errors
    found = json.loads(printed)
    assert (found["samples"], found["timesteps"]) == (3, 20)
    assert all(any("as spikingjelly does" in line for line in found[key]) for key in ("diagnosis", "facts"))
    (tmp_path / "mine_of_nir.py").write_text("import torch\n\n\ndef net():\n    return torch.nn.Linear(3, 2)\n")
    status, _, errors = here(monkeypatch, capsys, tmp_path, "run", "mine_of_nir:net", "--data", "d.npz", "--nir-writer", "norse")
    assert (status, "not a .nir file" in " ".join(errors.split())) == (2, True)
    network = neuro.Network((neuro.Population("in", (3,), neuro.Source()),), ())
    converters.write_nir(network, tmp_path / "own.nir")
    status, printed, errors = here(monkeypatch, capsys, tmp_path, "inspect", "own.nir")
    assert (status, "in" in printed) == (0, True), errors


def test_the_command_line_inspects_a_file_as_its_writer_means_it(tmp_path, monkeypatch, capsys) -> None:
    ones = np.ones(2)
    nodes = {"i": nir.Input(np.array([2])), "n": nir.LIF(ones, ones, 0 * ones, ones), "o": nir.Output(np.array([2]))}
    nir.write(tmp_path / "theirs.nir", nir.NIRGraph(nodes, [("i", "n"), ("n", "o")], type_check=False))
    said = {(): "read as nir does: steps of 1;", ("--nir-writer", "sinabs"): "as sinabs does: steps of 1;"}
    for words, part in (*said.items(), (("--nir-writer", "sinabs", "--dt", "0.5"), "as sinabs does: steps of 0.5;")):
        status, printed, errors = here(monkeypatch, capsys, tmp_path, "inspect", "theirs.nir", "--json", "-", *words)
        assert status == 0, errors
        assert part in " ".join(json.loads(printed)["notes"])
    neuro.Network((neuro.Population("in", (3,), neuro.Source()),), ()).save(tmp_path / "own.safetensors")
    for words in (("--nir-writer", "sinabs"), ("--dt", "1")):
        status, _, errors = here(monkeypatch, capsys, tmp_path, "inspect", "own.safetensors", *words)
        assert (status, "is not a .nir file" in " ".join(errors.split())) == (2, True)
    status, _, errors = here(monkeypatch, capsys, tmp_path, "inspect", "theirs.nir", "--dt", "-1")
    assert (status, "Use a number above 0" in " ".join(errors.split())) == (2, True)


def test_resets_and_refractory_periods_come_back(tmp_path: Path) -> None:
    resting = neuro.CubaLif(4095, 64, 3, refractory=4, reset_interval=9, reset_offset=2)
    network = neuro.Network(
        (neuro.Population("in", (3,), neuro.Source()), neuro.Population("out", (3,), resting)), (neuro.OneToOne("in", "out", 5),)
    )
    notes = converters.write_nir(network, tmp_path / "a.nir")
    assert any("refractory" in note for note in notes)
    assert converters.read_nir(tmp_path / "a.nir") == network
    driven = neuro.Source("driven", neuron=neuro.Delta(2))
    network = neuro.Network((neuro.Population("in", (3,), driven), *network.populations[1:]), network.projections)
    with pytest.raises(neuro.errors.FormatError, match="drive neurons"):
        converters.write_nir(network, tmp_path / "a.nir")
