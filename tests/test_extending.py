"""The worked examples of docs/extending.md: what the page shows runs in every engine, is placed, priced, saved and loaded."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import neuro
from converters.nir_files import read_nir, write_nir
from neuro.errors import EngineError, FitError, NetworkError
from neuro.neurons import MODELS, Neuron
from tests.runs import RECORD, assert_same

PAGE = (Path(__file__).parent.parent / "docs" / "extending.md").read_text()


def load(monkeypatch, text: str, name: str) -> type[Neuron]:
    """The model of a file, with its one row in the table."""
    module = ModuleType(f"neuro.neurons.{name.lower()}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(text, f"{name.lower()}.py", "exec"), module.__dict__)
    model = getattr(module, name)
    monkeypatch.setitem(MODELS, name, model)
    return model


@pytest.fixture(scope="module")
def refractory() -> Iterator[type[Neuron]]:
    section = PAGE.split("## A new neuron")[1].split("\n## ")[0]
    (text,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield load(monkeypatch, text, "Refractory")


def network(neuron: Neuron, seed: int = 0) -> neuro.Network:
    """Messages -> a population of the neuron, with itself and a copy behind it -> a readout."""
    rng = np.random.default_rng(seed)
    populations = (
        neuro.Population("in", (6,), neuro.Source("rate", levels=4)),
        neuro.Population("a", (2, 3, 4), neuron),
        neuro.Population("b", (2, 3, 4), neuron.changed(start_step=1)),
        neuro.Population("out", (3,), neuro.Readout(start_step=2)),
    )
    projections = (
        neuro.Dense("in", "a", rng.integers(-40, 90, (6, 24))),
        neuro.Dense("a", "a", rng.integers(-20, 20, (24, 24)), delay=2),
        neuro.Conv2d("a", "b", rng.integers(-40, 90, (2, 2, 3, 3)), padding=1),
        neuro.Dense("b", "out", rng.integers(-9, 9, (24, 3))),
    )
    return neuro.Network(populations, projections, timesteps=12)


INPUTS = np.random.default_rng(1).integers(0, 5, (5, 6))


def test_it_rests_after_each_spike(refractory) -> None:
    """By hand: a charge of 60 a step against a threshold of 100 fires at every second step, and rests two."""
    made = neuro.Network(
        (neuro.Population("in", (1,), neuro.Source()), neuro.Population("a", (1,), refractory(100, leak=31, rest=2))),
        (neuro.OneToOne("in", "a", 60),),
        timesteps=12,
    )
    run = neuro.run(made, np.ones((1, 1), int), record=("raster", "traces"))
    assert run.raster["a"][0, :, 0].tolist() == [0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0]
    assert run.traces["a"][0, :, 0].tolist() == [0, 60, 0, 0, 0, 60, 0, 0, 0, 60, 0, 0]


def test_it_runs_in_every_engine_or_is_refused(refractory) -> None:
    made = network(refractory(150, bias=np.arange(24).reshape(2, 3, 4)))
    expected = neuro.run(made, INPUTS, engine="reference", record=RECORD)
    assert expected.spikes["b"].sum() > 20
    for threads in (1, 2):
        assert_same(neuro.run(made, INPUTS, threads=threads, record=RECORD), expected)
    with pytest.raises(EngineError, match="torch cannot run a Refractory"):
        neuro.run(made, INPUTS, engine="torch")


def test_random_networks_of_it_run_alike(refractory) -> None:
    bias = st.integers(-50, 50) | st.just(np.arange(24).reshape(2, 3, 4))

    @settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.integers(1, 400), st.integers(0, 31), st.integers(0, 5), bias, st.integers(0, 99))
    def law(threshold: int, leak: int, rest: int, bias, seed: int) -> None:
        made = network(refractory(threshold, leak, rest, bias), seed)
        assert_same(neuro.run(made, INPUTS, record=RECORD), neuro.run(made, INPUTS, engine="reference", record=RECORD))

    law()


def test_a_stream_of_it_is_one_run(refractory) -> None:
    made = neuro.Network(
        (neuro.Population("in", (6,), neuro.Source()), neuro.Population("a", (6,), refractory(90, bias=3))),
        (neuro.OneToOne("in", "a", 30),),
    )
    frames = np.random.default_rng(2).integers(0, 3, (40, 6))
    session = neuro.open_session(made, record=("raster",))
    steps = np.concatenate([session.step(frame).raster["a"][0] for frame in frames])
    assert np.array_equal(steps, neuro.run(made, frames[None], record=("raster",)).raster["a"][0])


def test_it_is_placed_counted_and_priced(refractory) -> None:
    made, chip = network(refractory(150)), neuro.load_chip("loihi2")
    placement = neuro.place(made, chip)
    placement.check()
    chip_run = neuro.emulate(made, placement, INPUTS)
    assert_same(chip_run.run, neuro.run(made, INPUTS))
    assert chip_run.bill.energy_pj > 0
    more = neuro.place(network(refractory(150, bias=1)), chip)
    words = {p.name: p.neuron.state_words for p in (*made.populations, *more.network.populations)}
    assert words["a"] == 3  # two variables and the bias of the second network
    with pytest.raises(FitError, match="user"):
        neuro.place(made, neuro.load_chip("loihi1-nahuku"))


def test_it_runs_on_broken_hardware(refractory) -> None:
    made = network(refractory(150, bias=2))
    placement = neuro.place(made, neuro.load_chip("loihi2"))
    noisy = neuro.emulate(made, placement, INPUTS, noc="analytic", faults=neuro.Faults(threshold_noise=1e-9))
    assert_same(noisy.run, neuro.run(made, INPUTS))
    dead = neuro.Faults(dead_cores=tuple(map(int, placement.cores["a"])))
    assert not neuro.emulate(made, placement, INPUTS, noc="analytic", faults=dead).run.spikes["a"].any()


def test_it_is_measured(refractory) -> None:
    made = network(refractory(150))
    metrics = neuro.neurobench(made, neuro.run(made, INPUTS), INPUTS)
    assert 0 < metrics.activation_sparsity < 1
    assert metrics.membrane_updates > 0


def test_it_is_saved_and_loaded(refractory, tmp_path) -> None:
    made = network(refractory(150, rest=4, bias=np.arange(24).reshape(2, 3, 4)))
    made.save(tmp_path / "network")
    assert neuro.Network.load(tmp_path / "network") == made
    write_nir(made, tmp_path / "network.nir", extended=True)
    assert read_nir(tmp_path / "network.nir") == made


def test_its_parameters_are_checked(refractory) -> None:
    with pytest.raises(TypeError, match="threshold"):  # it has no default, though every model has a fact of that name
        refractory()
    with pytest.raises(NetworkError, match="leak = 32"):
        refractory(9, leak=32)
    with pytest.raises(NetworkError, match="does not broadcast"):
        neuro.Population("a", (5,), refractory(9, bias=[1, 2]))


def test_a_model_without_its_row_is_refused(refractory, monkeypatch) -> None:
    monkeypatch.delitem(MODELS, "Refractory")
    with pytest.raises(NetworkError, match="is not a neuron model"):
        neuro.Population("a", (5,), refractory(9))


ALTERNATING = '''
from __future__ import annotations
from dataclasses import dataclass
import numpy as np
from neuro.neurons.base import Neuron, check_fields


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Alternating(Neuron):
    """Sends every second one of the steps at which more than its threshold arrives."""

    threshold: int
    start_step: int = 0

    def __post_init__(self):
        check_fields(self)

    def advance(self, state, charge, elapsed, xp=np):
        over = charge > self.threshold
        v = xp.where(over, 1 - state["v"], state["v"])
        return {"v": v}, 1 * (over & (v == 0)), charge
'''


def test_a_model_on_arrays_alone_runs_in_torch_and_says_what_compiles(monkeypatch) -> None:
    made = network(load(monkeypatch, ALTERNATING, "Alternating")(60))
    expected = neuro.run(made, INPUTS, engine="reference", record=RECORD)
    assert expected.spikes["b"].any()
    assert_same(neuro.run(made, INPUTS, engine="torch", record=RECORD), expected)
    with pytest.raises(EngineError, match='engine="reference"'):
        neuro.run(made, INPUTS)
