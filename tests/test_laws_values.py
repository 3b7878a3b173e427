"""Laws of values: `eval(x.to_source()) == x`, equal values hash alike, what is saved is what is loaded, codes keep values."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neuro
from neuro.bill import Part, added
from neuro.chip import spec
from neuro.chip.faultspec import Faults
from neuro.chip.files import describe
from neuro.encoding import encode
from neuro.graph import Graph, Layer
from neuro.machines.workload import Op
from neuro.sourced import BASES, Sourced
from tests.laws import law
from tests.networks import cases, neurons
from tests.runs import RECORD, assert_same

LAW = law(25)
NAMES = {name: getattr(neuro, name) for name in neuro.__all__} | {"np": np}


def again(value, **names):
    """The value that its source makes."""
    source = value.to_source() if hasattr(value, "to_source") else repr(value)
    return eval(source, {**NAMES, **names})  # of our own values, and only in tests


def plain(network) -> neuro.Network:
    """The network as far as its source says all: without a user's functions."""
    fire = neuro.IntegrateAndFire(3)
    kept = (p if not isinstance(p.neuron, neuro.UserNeuron) else replace(p, neuron=fire) for p in network.populations)
    return replace(network, populations=tuple(kept))


@LAW
@given(cases())
def test_networks_say_what_they_are(case) -> None:
    network = plain(case[0])
    assert again(network) == network
    assert hash(again(network)) == hash(network)


@LAW
@given(cases())
def test_populations_and_projections_say_what_they_are(case) -> None:
    network = plain(case[0])
    for part in (*network.populations, *network.projections):
        assert again(part) == part
        assert hash(again(part)) == hash(part)


@law(60)
@given(neurons())
def test_neurons_say_what_they_are(neuron) -> None:
    if not isinstance(neuron, neuro.UserNeuron):
        assert again(neuron) == neuron
        assert hash(again(neuron)) == hash(neuron)


@LAW
@given(cases(), cases())
def test_equal_networks_have_equal_hashes_and_others_differ(one, two) -> None:
    a, b = plain(one[0]), plain(two[0])
    assert (a == b) == (a.to_source() == b.to_source())
    assert a != b or hash(a) == hash(b)
    assert a != replace(a, timesteps=(a.timesteps or 0) + 1)


@LAW
@given(cases())
def test_what_is_saved_is_what_is_loaded(tmp_path_factory, case) -> None:
    network, inputs, timesteps = plain(case[0]), case[1], case[2]
    path = tmp_path_factory.mktemp("saved") / "network.safetensors"
    network.save(path)
    loaded = neuro.Network.load(path)
    assert loaded == network
    first, second = (neuro.run(n, inputs, timesteps=timesteps, record=RECORD) for n in (network, loaded))
    assert_same(second, first)
    written = path.read_bytes()
    loaded.save(path)
    assert path.read_bytes() == written


@st.composite
def chains(draw) -> Graph:
    """A chain of linear layers and activations."""
    rng, layers = np.random.default_rng(draw(st.integers(0, 10**6))), [Layer("x", "input", (), (draw(st.integers(1, 9)),))]
    for i, op in enumerate(draw(st.lists(st.sampled_from(["linear", "relu", "scale", "identity"]), min_size=1, max_size=5))):
        before = layers[-1]
        size = draw(st.integers(1, 9)) if op == "linear" else before.shape[0]
        arrays = {"linear": {"weight": (size, before.shape[0]), "bias": (size,)}, "scale": {"factor": (size,)}}.get(op, {})
        values = {name: rng.normal(size=shape) for name, shape in arrays.items()}
        options = {"ceiling": draw(st.sampled_from([None, 6.0]))} if op == "relu" else {}
        layers.append(Layer(f"{op}{i}", op, (before.name,), (size,), values, options))
    return Graph(tuple(layers), draw(st.sampled_from(["network", "mine"])))


@LAW
@given(chains())
def test_graphs_say_what_they_are(graph) -> None:
    assert again(graph) == graph


@LAW
@given(chains())
def test_graphs_are_saved_and_loaded(tmp_path_factory, graph) -> None:
    path = tmp_path_factory.mktemp("saved") / "graph.safetensors"
    graph.save(path)
    assert Graph.load(path) == graph


@given(st.floats(allow_nan=False), st.text(min_size=1), st.sampled_from(BASES), st.text())
def test_constants_say_what_they_are(value: float, source: str, basis: str, unit: str) -> None:
    if source.strip():
        constant = Sourced(value, unit, basis, source)
        assert again(constant, inf=float("inf")) == constant


@given(st.lists(st.floats(0, 1e15), max_size=4), st.floats(1, 1e12))
def test_bills_say_what_they_are_and_add_up(energies: list[float], latency: float) -> None:
    parts = tuple(Part(f"part {i}", pj, "static" if i % 2 else "dynamic") for i, pj in enumerate(energies))
    bill = neuro.Bill("chip", parts, latency, 1e9 / latency)
    assert again(bill) == bill
    assert bill.energy_pj == added(energies)
    assert bill.dynamic_pj == added(energies[::2])
    assert added(row["energy_pj"] for row in bill.to_rows()) == bill.energy_pj
    assert bill.energy_pj == pytest.approx(math.fsum(energies), rel=1e-12)


@given(
    st.builds(
        Faults,
        dead_cores=st.lists(st.integers(0, 99), max_size=4).map(tuple),
        weight_flips=st.floats(0, 1),
        seed=st.integers(0, 9),
    )
)
def test_faults_say_what_they_are(faults: Faults) -> None:
    assert again(faults) == faults
    assert hash(again(faults)) == hash(faults)


@given(st.builds(Op, st.text(), st.sampled_from(["fc", "conv"]), *[st.integers(0, 99)] * 3, repeats=st.integers(1, 9)))
def test_operations_say_what_they_are(op: Op) -> None:
    assert again(op, Op=Op) == op


def toml(chip: neuro.Chip) -> str:
    """A chip as the text of a chip file."""

    def write(value) -> str:
        if isinstance(value, tuple):
            return f"[{', '.join(map(write, value))}]"
        return str(value).lower() if isinstance(value, bool) else repr(value).replace("'", '"')

    lines = [
        "[chip]",
        *(
            f"{name} = '''{getattr(chip, name)}'''"
            for name in ("name", "title", "scope", "caution", "checked")
            if getattr(chip, name)
        ),
    ]
    rows = [row for row in describe(chip) if row["value"] is not None]
    for section in dict.fromkeys(row["field"].partition(".")[0] for row in rows):
        lines.append(f"[{section}]")
        for row in rows:
            if row["field"].startswith(f"{section}."):
                said = f"unit = '{row['unit']}', basis = '{row['basis']}', source = '''{row['source']}'''"
                lines.append(f"{row['field'].partition('.')[2]} = {{ value = {write(row['value'])}, {said} }}")
    return "\n".join(lines)


@LAW
@given(st.sampled_from(neuro.list_chips()), st.integers(1, 64), st.integers(1, 8), st.floats(0.001, 1e6))
def test_chip_files_come_back_as_they_were(tmp_path_factory, name: str, width: int, chips: int, pj: float) -> None:
    preset = neuro.load_chip(name)
    mesh = replace(preset.mesh, width=width, io_x=0, chips_x=chips)
    origin = {**preset.origin, "energy.hop_x": spec.Origin("pJ", "assumed", "a test")}
    chip = replace(preset, mesh=mesh, energy=replace(preset.energy, hop_x=pj), origin=origin)
    path = tmp_path_factory.mktemp("chips") / "mine.toml"
    path.write_text(toml(chip))
    assert neuro.load_chip(path) == chip


@pytest.mark.parametrize("name", neuro.list_chips())
def test_chips_say_what_they_are(name: str) -> None:
    chip = neuro.load_chip(name)
    assert again(chip, **vars(spec)) == chip


VALUES = st.lists(st.integers(0, 15), min_size=1, max_size=6)


def sent(source: neuro.Source, values, timesteps: int) -> np.ndarray:
    """Messages (steps, neurons) of one sample."""
    return encode(neuro.Population("in", (len(values),), source), np.array([values]), timesteps)[0]


@given(VALUES)
def test_digits_hold_the_value(values: list[int]) -> None:
    messages = sent(neuro.Source("radix", levels=15, digits=4), values, 9)
    assert np.array_equal(np.array([8, 4, 2, 1]) @ messages, values)


@given(VALUES, st.integers(1, 40))
def test_a_rate_is_the_value_over_the_window_within_half_a_spike(values: list[int], timesteps: int) -> None:
    count = sent(neuro.Source("rate", levels=15), values, timesteps).sum(axis=0)
    assert (np.abs(count - np.array(values) * timesteps / 15) <= 0.5 + 1e-9).all()


@given(VALUES, st.integers(1, 20))
def test_a_negative_value_sends_the_negated_train(values: list[int], timesteps: int) -> None:
    source = neuro.Source("signed", levels=14)  # even, so that the early first spike is symmetric
    clipped = np.minimum(values, 14)
    up, down = sent(source, clipped, timesteps), sent(source, -clipped, timesteps)
    assert (np.abs(up.sum(axis=0) + down.sum(axis=0)) <= 1).all()
    assert up.min() >= 0
    assert down.max() <= 0


@given(VALUES, st.integers(1, 9))
def test_held_values_are_sent_at_every_step_and_others_once(values: list[int], timesteps: int) -> None:
    assert np.array_equal(sent(neuro.Source("held"), values, timesteps), [values] * timesteps)
    assert np.array_equal(sent(neuro.Source("once"), values, timesteps), [values])


@given(st.lists(st.floats(-4, 4), min_size=1, max_size=6), st.floats(0.01, 1), st.sampled_from(["held", "signed"]))
def test_real_values_are_sent_as_their_rounded_integers(values: list[float], scale: float, code: str) -> None:
    real = encode(neuro.Population("in", (len(values),), neuro.Source(code, scale, 7)), np.array([values]), 5)
    whole = np.clip(np.rint(np.array([values]) / scale), -7, 7).astype(int)
    assert np.array_equal(real, encode(neuro.Population("in", (len(values),), neuro.Source(code, levels=7)), whole, 5))


@given(st.lists(st.integers(-9, 9), min_size=1, max_size=5))
def test_twins_hold_the_value_between_them(values: list[int]) -> None:
    both = neuro.Population("in", (2 * len(values),), neuro.Source("held", twin=True))
    up, down = np.split(encode(both, np.array([values]), 1)[0, 0], 2)
    assert np.array_equal(up - down, values)
    assert not (up * down).any()
