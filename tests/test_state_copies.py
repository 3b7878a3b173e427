"""States that others know with a dead zone, through a copy, and their loops exactly: nothing is lost, nothing drifts."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import converters
import neuro
from converters import quantised
from converters.values import evaluating
from converters.values.changes import to_changes
from converters.values.copies import with_copies
from converters.values.refreshing import with_refresh
from tests.streams import drawn, network, stream

ENGINES = ("reference", "event", "torch")


def same_with_copies(graph: neuro.Graph, seed: int, engines: tuple[str, ...], every: int | None = None) -> int:
    """Copies of all states with a dead zone of 1 give every frame of values, bit for bit; returns how many there are."""
    x = stream(seed, 4, 7, *graph.inputs[0].shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # small random networks may differ from float ones by more than trained ones
        values, changes = (converters.convert(graph, x, code=code, frames=True) for code in ("graded", "delta"))
    states = changes.built.states
    network, copies = with_copies(changes.network, sorted(states), states)
    network = to_changes(network) if every is None else with_refresh(to_changes(network), every)
    assert network.timesteps == changes.network.timesteps
    expected = values.quantised(x[:2])
    assert np.array_equal(quantised.evaluate(network, x[:2]).logits, expected), seed
    for engine in engines:
        assert np.array_equal(neuro.run(network, x[:2], engine=engine).frames, expected), (seed, engine)
    return len(copies)


@given(st.integers(0, 1 << 20), st.sampled_from(["drawn", "modes", "rotating modes", "gru"]), st.sampled_from([None, 1, 3]))
@settings(max_examples=8, deadline=None)
def test_copies_of_states_lose_nothing(seed: int, kind: str, every: int | None) -> None:
    graph = drawn(seed) if kind == "drawn" else network(kind, seed=seed)
    found = same_with_copies(graph, seed, ("event",), None if kind == "drawn" else every)
    assert found > 0 or kind in ("drawn", "gru")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100))
def test_copies_of_states_lose_nothing_in_every_engine(seed: int) -> None:
    same_with_copies(drawn(seed) if seed % 4 else network("rotating modes", seed=seed), seed, ENGINES)


def test_states_know_themselves_exactly_and_others_read_copies_with_dead_zones(tmp_path: Path) -> None:
    """A dead zone within the loop of slow modes would lose what changes by less; the copy costs a synapse a change."""
    graph, x = network("rotating modes", hidden=12), stream(1, 8, 20) / 4
    plain = converters.convert(graph, x, code="delta")
    made = converters.convert(graph, x, code="delta", goal=converters.Goal(0.95))
    zones = {p.name: p.neuron.dead_zone for p in made.network.populations if not p.neuron.is_readout}
    copies = {p.name for p in made.network.populations} - {p.name for p in plain.network.populations}
    assert len(copies) == 2
    assert all(zones[name] > 1 for name in copies)
    assert all(zones[name] == 1 for name in made.built.states)
    one, other = (neuro.run(net, x) for net in (plain.network, made.network))
    assert other.synops < 0.5 * one.synops
    assert (one.frames.argmax(2) == other.frames.argmax(2)).mean() >= 0.95
    for copy in copies:
        (into,) = made.network.into(copy)
        assert into.source in made.built.states
        assert other.counts[into.source].messages.sum() > other.counts[copy].messages.sum() > 0
    made.network.save(tmp_path / "n.safetensors")
    assert neuro.Network.load(tmp_path / "n.safetensors") == made.network
    chip = neuro.emulate(neuro.place(made.network, neuro.load_chip("loihi2")), x[:2])
    assert np.array_equal(chip.run.frames, other.frames[:2])
    assert chip.run.synops == neuro.run(made.network, x[:2]).synops
    assert {layer.name for layer in made.diagnosis.layers} == {layer.name for layer in plain.diagnosis.layers}


def test_dead_zones_of_copies_leave_states_as_they_are() -> None:
    graph, x = network("rotating modes", hidden=12), stream(1, 4, 20) / 4
    values = converters.convert(graph, x, code="graded")
    states = converters.convert(graph, x, code="delta").built.states
    asked = dict.fromkeys(states, 200)
    held = to_changes(values.network, asked, states)
    truth, known = (evaluating.values(net, x) for net in (values.network, held))
    for name in states:
        assert np.array_equal(known[name].cumsum(axis=1), truth[name])
    copies = [name for name in known if name not in truth]
    assert len(copies) == 2
    for name in copies:
        apart = np.abs(known[name].cumsum(axis=1) - truth[name.removesuffix(".copy")]).max()
        assert 0 < apart < 200
