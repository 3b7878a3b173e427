"""Networks of other packages on chips by way of NIR: what places, what is refused, recurrence, leaky readouts."""

from pathlib import Path

import nir
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import converters
import neuro
from converters.formats.nir_import import imported
from converters.formats.nir_neurons import reading
from docs.refresh_formats import NIR_CHIPS, NIR_NAMES, PAGE, RECORDED, on_chip
from neuro.errors import FitError
from tests.commands import here

PROGRAMMED = ("snntorch_leaky", "snntorch_recurrent", "snntorch_synaptic")  # neurons that Loihi 1 does not have


def read(name: str, **options: int) -> neuro.Network:
    given_reset = {"reset": "zero"} if name.endswith("zero") else {}
    return converters.read_nir(RECORDED / f"{name}.nir", writer=name.split("_")[0], **given_reset, **options)


@pytest.mark.parametrize("chip", NIR_CHIPS)
@pytest.mark.parametrize("name", NIR_NAMES)
def test_recorded_networks_run_on_chips_that_have_their_neurons(name, chip) -> None:
    network, x = read(name), np.load(RECORDED / f"{name}.npz")["x"][:1]
    (row,) = [line for line in PAGE.read_text().splitlines() if line.startswith(f"| `{name}` |")]
    assert row.split("|")[2 + NIR_CHIPS.index(chip)].strip() == on_chip(name, chip)  # `python -m docs.refresh_formats nir_chips`
    if chip == "loihi1-nahuku" and name in PROGRAMMED:
        with pytest.raises(
            FitError, match=r"\(user\) have no program there.*Use a chip with programmable neurons, such as loihi2"
        ):
            neuro.place(network, neuro.load_chip(chip))
        return
    placement = neuro.place(network, neuro.load_chip(chip))
    placement.check()
    found = neuro.emulate(network, placement, x)
    assert np.array_equal(found.run.logits, neuro.run(network, x).logits)
    assert found.bill.energy_pj > 0


def test_a_leaky_readout_is_the_chips_neuron_in_every_engine(tmp_path: Path) -> None:
    network, recorded = read("norse_box"), np.load(RECORDED / "norse_box.npz")
    assert isinstance(network.readouts[0].neuron, neuro.LeakyReadout)
    expected = neuro.run(network, recorded["x"], engine="reference", record=("logits_by_step",))
    never = neuro.CubaLif(4095, network.readouts[0].neuron.voltage_decay, 131071, start_step=2)
    as_neuron = [neuro.Population(p.name, p.shape, never) if p.neuron.is_readout else p for p in network.populations]
    chips_own = neuro.run(neuro.Network(tuple(as_neuron), network.projections), recorded["x"], record=("potentials:3",))
    assert np.array_equal(chips_own.potentials["3"], expected.potentials["3"])
    for engine in ("event", "torch"):
        found = neuro.run(network, recorded["x"], engine=engine, record=("logits_by_step",))
        assert np.array_equal(found.logits_by_step, expected.logits_by_step)
        assert (found.synops, found.updates, found.messages) == (expected.synops, expected.updates, expected.messages)
    network.save(tmp_path / "n.safetensors")
    session = neuro.open_session(neuro.Network.load(tmp_path / "n.safetensors"))
    for frame in recorded["x"][0]:
        session.step(frame)
    assert np.array_equal(session.finish().logits[0], expected.logits[0])
    converters.write_nir(network, tmp_path / "n.nir")
    assert converters.read_nir(tmp_path / "n.nir") == network
    exact = read("norse_box", weight_bits=20)  # where 12 bits of a decay are much coarser than the weights
    assert [type(p.neuron).__name__ for p in exact.readouts] == ["Readout"]
    assert "leaks by a program" in " ".join(exact.notes)


def test_a_decay_that_no_leaky_readout_has_is_refused() -> None:
    for lost in (0, 4096):
        with pytest.raises(neuro.NeuroError, match="voltage_decay"):
            neuro.LeakyReadout(lost)


def test_inputs_that_are_no_spikes_are_refused_where_messages_carry_none() -> None:
    network, chip = read("norse_spikes"), neuro.load_chip("loihi1-nahuku")
    placement, x = neuro.place(network, chip), np.load(RECORDED / "norse_spikes.npz")["x"][:1]
    with pytest.raises(FitError, match="messages of up to 3 carry 2 bits, the chip's carry none.*Send spikes"):
        neuro.emulate(network, placement, 3 * x)
    assert neuro.emulate(neuro.place(network, neuro.load_chip("loihi2")), 3 * x).run.synops > 0


def test_a_declared_range_is_refused_when_the_network_is_placed() -> None:
    parts = neuro.Population("in", (2,), neuro.Source(levels=7)), neuro.Population("out", (2,), neuro.Readout())
    network = neuro.Network(parts, (neuro.OneToOne("in", "out"),), timesteps=1)
    with pytest.raises(FitError, match="carry 3 bits.*takes levels=1"):
        neuro.place(network, neuro.load_chip("loihi1-nahuku"))


def _graph(nodes: dict[str, object], edges: list[tuple[str, str]], size: int, last: int) -> nir.NIRGraph:
    ends = {"input": nir.Input(np.array([size])), "output": nir.Output(np.array([last]))}
    return nir.NIRGraph({**ends, **nodes}, edges, type_check=False)


@settings(max_examples=40)
@given(data=st.data())
def test_a_leaky_readout_stays_within_its_stated_error(data) -> None:
    size, last, bits = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 3)), data.draw(st.integers(3, 20))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    weight = rng.normal(0, data.draw(st.sampled_from([0.01, 1.0, 50.0])), (last, size))
    tau = data.draw(st.sampled_from([1.0, 2.5, 10.0, 97.0, 3000.0]))
    nodes = {"w": nir.Linear(weight), "li": nir.LI(np.full(last, tau), np.ones(last), np.zeros(last))}
    graph = _graph(nodes, [("input", "w"), ("w", "li"), ("li", "output")], size, last)
    assume(np.abs(weight).max() / tau < 2 ** (bits - 1) - 1)  # beyond, the weights have too few bits
    network = imported(graph, reading("nir", None, dt=None, weight_bits=bits, input_scale=None, timesteps=None))
    x = (rng.random((2, 60, size)) < rng.random()).astype(np.int8)
    v = np.zeros((2, last))
    for step in range(60):
        v = v * (1 - 1 / tau) + x[:, step] @ weight.T / tau
    (said,) = (note for note in network.notes if "24 bits" in note)
    bound = float(said.split("within ")[1].split(" ")[0])
    assert np.abs(neuro.run(network, x).logits - v).max() <= 1.01 * bound + 1e-6 * np.abs(v).max()
    assert all((p.neuron.potential_bits or 24) <= 24 for p in network.populations)
    full = neuro.run(network, np.ones((1, 400, size), np.int8)).logits  # all inputs, the most that can add up
    (readout,) = network.readouts
    assert (np.abs(full / readout.neuron.scale) <= 131071 << 6).all()  # where a leaky neuron of Loihi would fire


def _recurrent(kind: str) -> nir.NIRGraph:
    rng = np.random.default_rng(4)
    ones, back = np.ones(6), 0.2 * rng.normal(size=(6, 6))
    neuron = {
        "spikingjelly": nir.LIF(5e-4 * ones, ones, 0 * ones, ones, 0 * ones),
        "norse": nir.LIF(5e-6 * ones, ones, 0 * ones, ones, 0 * ones),
        "snntorch": nir.LIF(5e-4 * ones, 5 * ones, 0 * ones, ones),
    }[kind]
    nodes = {"w": nir.Linear(6 * rng.random((6, 4)) - 1.5), "lif": neuron, "back": nir.Linear(back)}
    return _graph(nodes, [("input", "w"), ("w", "lif"), ("lif", "back"), ("back", "lif"), ("lif", "output")], 4, 6)


@pytest.mark.parametrize(("kind", "dt"), [("spikingjelly", 1e-4), ("norse", 1e-6), ("snntorch", 1e-4)])
def test_recurrent_networks_spike_as_their_equations_say(kind, dt) -> None:
    graph, keep = _recurrent(kind), 0.8
    given = {"dt": dt, "weight_bits": 20, "input_scale": None, "timesteps": None}
    network = imported(graph, reading(kind, None, **given))
    x = (np.random.default_rng(5).random((1, 40, 4)) < 0.4).astype(np.int8)
    w, back = (np.asarray(graph.nodes[name].weight, np.float64) for name in ("w", "back"))
    v, spikes, seen = np.zeros(6), np.zeros(6), []
    gain = 0.2 * float(np.asarray(graph.nodes["lif"].r)[0])
    for step in range(40):
        late = spikes if kind == "snntorch" else 0.0
        v = keep * v + gain * (w @ x[0, step] + back @ spikes) - late
        spikes = (v >= 1) * 1.0 if kind == "spikingjelly" else (v > 1) * 1.0
        v = v if kind == "snntorch" else v * (1 - spikes)
        seen.append(spikes)
    run = neuro.run(network, x, record=("raster",))
    start = network["lif"].neuron.start_step
    found = np.asarray(run.raster["lif"])[0, start : start + 40].reshape(40, -1)
    assert np.sum(seen) > 20
    assert np.array_equal(found, seen)


def test_the_command_runs_a_recurrent_network_on_a_stream(tmp_path, monkeypatch, capsys) -> None:
    x = np.load(RECORDED / "snntorch_recurrent.npz")["x"]
    np.savez(tmp_path / "x.npz", x=x)
    file = RECORDED / "snntorch_recurrent.nir"
    options = ("--nir-writer", "snntorch", "--dt", "1e-4")
    status, said, error = here(monkeypatch, capsys, tmp_path, "run", file, "--data", "x.npz", *options)
    assert status == 0, error
    assert "steps of 0.0001" in " ".join(said.split())
    np.savez(tmp_path / "n.npz", x=x)
    status, _, error = here(monkeypatch, capsys, tmp_path, "run", "n.npz", "--data", "x.npz", "--dt", "1e-4")
    assert status == 2
    assert "--dt" in error
    assert "is not a .nir file" in error
