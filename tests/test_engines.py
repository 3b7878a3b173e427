"""Every engine equals the reference: spikes, potentials, logits and counts, for any network, thread count and batch split."""

import sys

import numpy as np
import pytest
from hypothesis import given

import neuro
from neuro.errors import EngineError
from tests.laws import law
from tests.networks import cases
from tests.runs import NEURONS, RECORD, SHAPE, assert_same, stream


@law(100)
@given(cases())
def test_event_equals_reference(case) -> None:
    network, inputs, timesteps = case
    try:
        expected = neuro.run(network, inputs, timesteps=timesteps, engine="reference", record=RECORD)
    except EngineError:
        with pytest.raises(EngineError):
            neuro.run(network, inputs, timesteps=timesteps)
        return
    assert_same(neuro.run(network, inputs, timesteps=timesteps, record=RECORD), expected)


@law(40)
@given(cases())
def test_observers_see_the_raster(case) -> None:
    network, inputs, timesteps = case
    seen: dict = {}

    def observe(first: int, blocks: dict) -> None:
        for name, block in blocks.items():
            samples = (len(block.offsets) - 1) // network.steps(timesteps)
            for s in range(samples):
                for t in range(network.steps(timesteps)):
                    i = s * network.steps(timesteps) + t
                    chosen = slice(block.offsets[i], block.offsets[i + 1])
                    payloads = np.ones(chosen.stop - chosen.start, int) if block.payloads is None else block.payloads[chosen]
                    seen[name, first + s, t] = (block.neurons[chosen].tolist(), payloads.tolist())

    raster = neuro.run(network, inputs, timesteps=timesteps, record=("raster",), observe=observe).raster
    for (name, sample, t), (neurons, payloads) in seen.items():
        sent = raster[name][sample, t]
        assert neurons == np.nonzero(sent)[0].tolist()
        assert payloads == sent[sent != 0].tolist()
    spiking = sum(not isinstance(p.neuron, neuro.Readout) for p in network.populations)
    assert len(seen) == spiking * len(inputs) * network.steps(timesteps)


@law(25)
@given(cases())
def test_threads_and_blocks_change_no_bit(case) -> None:
    network, inputs, timesteps = case
    inputs = np.concatenate([inputs] * 3)[:7]
    one = neuro.run(network, inputs, timesteps=timesteps, threads=1, record=RECORD)
    assert_same(neuro.run(network, inputs, timesteps=timesteps, threads=2, record=RECORD), one)
    assert_same(
        neuro.run(network, inputs[:1], timesteps=timesteps, threads=3), neuro.run(network, inputs[:1], timesteps=timesteps)
    )
    halves = [neuro.run(network, part, timesteps=timesteps) for part in (inputs[:1], inputs[1:])]
    assert np.array_equal(np.concatenate([half.logits for half in halves]), one.logits)
    assert sum(half.synops for half in halves) == one.synops
    for name, spikes in one.spikes.items():
        assert np.array_equal(np.concatenate([half.spikes[name] for half in halves]), spikes)


def test_large_layers_split_their_rows_over_threads() -> None:
    rng = np.random.default_rng(0)
    network = neuro.Network(
        (
            neuro.Population("in", (3, 40, 33), neuro.Source("once", levels=255)),
            neuro.Population("a", (17, 40, 33), neuro.IntegrateAndFire(900, hold_input=True, start_step=1)),
            neuro.Population("b", (70_000,), neuro.IntegrateAndFire(60, start_step=2)),
        ),
        (
            neuro.Conv2d("in", "a", rng.integers(-20, 40, (17, 3, 3, 3)), padding=1),
            neuro.Sparse(
                "a", "b", (rng.integers(0, 22440, 90_000), rng.integers(0, 70_000, 90_000), rng.integers(-9, 40, 90_000))
            ),
        ),
        timesteps=6,
    )
    image = rng.integers(0, 256, (1, 3, 40, 33))
    expected = neuro.run(network, image, engine="reference", record=RECORD)
    assert expected.spikes["b"].sum() > 1000
    for threads in (1, 2, 3):
        assert_same(neuro.run(network, image, threads=threads, record=RECORD), expected)


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (lambda charge, parameters, v: (0, v * 0.5), "returns"),
        (lambda charge, parameters, v: (0, v, v), "returns"),
        (lambda charge, parameters, v: (0, np.zeros(3, np.int64)[v] + v), "allocates"),
        (lambda charge, parameters, v: (undefined_name, v), "does not compile"),  # noqa: F821  # the mistake under test
        (lambda charge, parameters, v: (5, v), "sent the message 5"),
    ],
)
def test_bad_user_neurons_name_population_and_remedy(step, says) -> None:
    network = neuro.Network(
        (neuro.Population("in", (2,), neuro.Source()), neuro.Population("mine", (2,), neuro.UserNeuron(step))),
        (neuro.OneToOne("in", "mine"),),
    )
    with pytest.raises(EngineError, match=says) as caught:
        neuro.run(network, np.ones((1, 2), int), timesteps=3)
    assert "mine" in str(caught.value)


def test_charges_beyond_32_bits_are_refused_by_every_engine() -> None:
    weights = np.full((300, 1), 2**23)
    network = neuro.Network(
        (neuro.Population("in", (300,), neuro.Source()), neuro.Population("a", (1,), neuro.IntegrateAndFire(5))),
        (neuro.Dense("in", "a", weights),),
    )
    for engine in ("event", "reference"):
        with pytest.raises(EngineError, match=r"'a'.*beyond its 32-bit"):
            neuro.run(network, np.ones((1, 300), int), timesteps=2, engine=engine)


@law(60)
@given(cases())
def test_torch_equals_event(case) -> None:
    network, inputs, timesteps = case
    if any(isinstance(p.neuron, neuro.UserNeuron) for p in network.populations):
        with pytest.raises(EngineError, match="UserNeuron"):
            neuro.run(network, inputs, timesteps=timesteps, engine="torch")
        return
    expected = neuro.run(network, inputs, timesteps=timesteps, record=RECORD)
    assert_same(neuro.run(network, inputs, timesteps=timesteps, engine="torch", record=RECORD), expected)


@pytest.mark.parametrize("low", [0, -3])
@pytest.mark.parametrize("neuron", [name for name in NEURONS if "user" not in name])
def test_torch_computes_every_neuron(neuron: str, low: int) -> None:
    populations = (neuro.Population("in", SHAPE, neuro.Source()), neuro.Population("p", SHAPE, NEURONS[neuron]))
    network, inputs = neuro.Network(populations, (neuro.OneToOne("in", "p", 2),)), stream(low, 4)
    expected = neuro.run(network, inputs, timesteps=6, record=RECORD)
    assert_same(neuro.run(network, inputs, timesteps=6, engine="torch", record=RECORD), expected)


@pytest.mark.peer("Brian2")
@pytest.mark.filterwarnings("ignore")  # Brian2 warns of itself
@law(4)
@given(cases(plain=True))
def test_brian2_equals_event(case) -> None:
    pytest.importorskip("brian2", exc_type=ImportError)
    network, inputs, timesteps = case
    expected = neuro.run(network, inputs, timesteps=timesteps, record=RECORD)
    assert_same(neuro.run(network, inputs, timesteps=timesteps, engine="brian2", record=RECORD), expected)


@pytest.mark.peer("Brian2")
@pytest.mark.filterwarnings("ignore")  # Brian2 warns of itself
def test_brian2_equals_event_when_the_run_ends_before_the_delay() -> None:
    pytest.importorskip("brian2", exc_type=ImportError)
    populations = (
        neuro.Population("in", (3,), neuro.Source(code="held")),
        neuro.Population("a", (3,), neuro.IntegrateAndFire(2)),
        neuro.Population("out", (2,), neuro.Readout()),
    )
    network = neuro.Network(populations, (neuro.OneToOne("in", "a"), neuro.Dense("in", "out", np.ones((3, 2), int), delay=9)))
    inputs = np.ones((1, 3), int)
    expected = neuro.run(network, inputs, timesteps=2, record=RECORD)
    assert_same(neuro.run(network, inputs, timesteps=2, engine="brian2", record=RECORD), expected)
    unrecorded = neuro.run(network, inputs, timesteps=2, engine="brian2")
    assert_same(unrecorded, neuro.run(network, inputs, timesteps=2))
    assert set(unrecorded.potentials) == {"out"}  # a readout's are the answer


@pytest.mark.peer("Brian2")
@pytest.mark.filterwarnings("ignore")  # Brian2 warns of itself
@pytest.mark.parametrize(
    ("neuron", "most", "says"),
    [(neuro.Graded(3), 1, "'p'.*does not run Graded"), (neuro.IntegrateAndFire(3), 2, "'in'.*plain spikes only")],
)
def test_what_brian2_cannot_do_is_refused(neuron: neuro.neurons.Neuron, most: int, says: str) -> None:
    pytest.importorskip("brian2", exc_type=ImportError)
    populations = (neuro.Population("in", (2,), neuro.Source()), neuro.Population("p", (2,), neuron))
    network = neuro.Network(populations, (neuro.OneToOne("in", "p"),))
    with pytest.raises(EngineError, match=says):
        neuro.run(network, np.full((1, 2, 2), most), engine="brian2")


def test_without_brian2_its_engine_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "brian2", None)
    network = neuro.Network((neuro.Population("in", (2,), neuro.Source()),), ())
    with pytest.raises(EngineError, match=r"cannot be imported.*neuro-emulator\[brian2\]"):
        neuro.run(network, np.ones((1, 2), int), timesteps=3, engine="brian2")


@pytest.mark.parametrize("engine", ["fastest", ""])
def test_unknown_engines_are_refused(engine) -> None:
    network = neuro.Network((neuro.Population("in", (2,), neuro.Source()),), ())
    with pytest.raises(EngineError, match="Use one of event, reference, torch, brian2"):
        neuro.run(network, np.ones((1, 2), int), timesteps=3, engine=engine)
