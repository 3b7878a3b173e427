"""Learning as it runs: laws, hand-counted updates, what the chip keeps and pays."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neuro
from neuro.bundles import load_parts, save_parts
from neuro.chip.cutting.demand import CoreDemand
from neuro.engine.session import Session
from neuro.errors import EngineError, FormatError
from neuro.learning import delta, oja, pes, prototype, reward_stdp, stdp, triplet_stdp
from neuro.learning.draws import draws
from neuro.learning.updating import Events, trace_table
from tests.learning_networks import pair, rule, spikes

READY = (stdp(), triplet_stdp(pair=-16), reward_stdp("r"), oja(), pes("e"), delta("t"), prototype("teacher"))


@pytest.mark.parametrize("engine", ["event", "reference"])
def test_a_rate_of_zero_changes_nothing(engine: str) -> None:
    network = pair(rule("0 * x0 * y1 + 0 * y0 * x1"))
    run = neuro.run(network, spikes(), engine=engine)
    assert np.array_equal(run.learned.projections[0].weights, network.projections[0].weights)
    still = neuro.run(network.fixed(), spikes(), engine=engine)
    assert still.learned is None
    assert still.synaptic_updates == 0
    assert np.array_equal(run.spikes["out"], still.spikes["out"])


def test_without_a_rule_nothing_is_different() -> None:
    network = pair()
    assert not network.learns
    assert network.fixed() == network
    assert "rule" not in repr(network.projections[0])


@pytest.mark.parametrize("given", READY[:2], ids=["pair", "triplet"])
def test_learning_goes_on_where_it_stopped(given: neuro.LearningRule, tmp_path: Path) -> None:
    network, inputs = pair(dataclasses.replace(given, dt="u1 * x1 - u0 * t", epoch=3, seed=5)), spikes()
    whole = neuro.run(network, inputs)
    first = neuro.run(network, inputs[:2])
    first.learned.save(tmp_path / "half.safetensors")
    loaded = neuro.Network.load(tmp_path / "half.safetensors")
    assert loaded == first.learned
    assert loaded.projections[0].memory.epochs == 2 * (40 // 3)
    second = neuro.run(loaded, inputs[2:])
    assert second.learned == whole.learned
    assert np.array_equal(np.concatenate([first.spikes["out"], second.spikes["out"]]), whole.spikes["out"])
    assert whole.learned != first.learned


def test_any_number_of_threads_and_any_engine_gives_the_same_weights() -> None:
    network = pair(dataclasses.replace(stdp(), epoch=2))
    runs = [neuro.run(network, spikes(), threads=threads) for threads in (1, 2, 5)]
    runs.append(neuro.run(network, spikes(), engine="reference"))
    assert all(run.learned == runs[0].learned for run in runs)


@pytest.mark.parametrize("pieces", [[1] * 40, [7] * 5 + [5], [40]], ids=["1", "7", "40"])
def test_sessions_learn_as_runs_do(pieces: list[int]) -> None:
    network, inputs = pair(dataclasses.replace(stdp(), epoch=4), delay=3), spikes(1)[0]
    run = neuro.run(network, inputs[None])
    session, at, updates = neuro.open_session(network, most_steps=40), 0, 0
    for piece in pieces:
        updates += session.step(inputs[at : at + piece]).synaptic_updates
        at += piece
    assert session.learned == run.learned
    assert updates == run.synaptic_updates
    session.reset()
    assert session.learned.projections[0].weights.tolist() == network.projections[0].weights.tolist()


@pytest.mark.parametrize("cut", [1, 2, 13, 39])
@pytest.mark.parametrize("epoch", [1, 4])
def test_a_session_that_learns_is_saved_in_the_middle_of_an_epoch(cut: int, epoch: int, tmp_path: Path) -> None:
    network, inputs = pair(dataclasses.replace(stdp(), dt="u1 * x1 - u0 * t", epoch=epoch, seed=3), delay=3), spikes(1)[0]
    whole, half = neuro.open_session(network, record=("raster",)), neuro.open_session(network)
    for session in (whole, half):
        session.step(inputs[:cut])
    half.save(tmp_path / "half.safetensors")
    loaded = Session.load(tmp_path / "half.safetensors", record=("raster",))
    assert loaded.elapsed == cut
    one, two = (session.step(inputs[cut:]) for session in (whole, loaded))
    assert np.array_equal(one.raster["out"], two.raster["out"])
    assert one.synaptic_updates == two.synaptic_updates > 0
    assert whole.learned == loaded.learned == neuro.run(network, inputs[None]).learned


def test_what_is_no_session_is_refused(tmp_path: Path) -> None:
    session = neuro.open_session(pair())
    session.network.save(tmp_path / "network.safetensors")
    with pytest.raises(FormatError):
        Session.load(tmp_path / "network.safetensors")
    session.save(tmp_path / "session.safetensors")
    parts = load_parts(tmp_path / "session.safetensors", "session")
    for name, wrong in {"state": parts["state"][1:], "kept": 7, "past": parts["past"][1:], "elapsed": "3", "network": 1}.items():
        save_parts({**parts, name: wrong}, tmp_path / "wrong.safetensors", "session")
        with pytest.raises(FormatError):
            Session.load(tmp_path / "wrong.safetensors")
    session.finish()
    with pytest.raises(EngineError, match="ended"):
        session.save(tmp_path / "session.safetensors")


def test_a_session_goes_on_with_traces() -> None:
    """Traces outlast a session, neurons begin anew: a spike before and one behind the border still make a pair."""
    network = pair(neuro.LearningRule("y0 * x1", x1=(16, None)), target=neuro.IntegrateAndFire(60))
    first = neuro.open_session(network)
    first.step([0, 1, 0])
    first.step([0, 0, 0])
    second = neuro.open_session(first.learned)
    second.step([1, 0, 0])
    second.step([0, 0, 0])
    change = second.learned.projections[0].weights - network.projections[0].weights
    assert change[:, 0].tolist() == [16, 16, 0]


@pytest.mark.parametrize("given", READY, ids=["pair", "triplet", "reward", "oja", "pes", "delta", "prototype"])
def test_ready_made_rules_learn_alike_in_both_engines(given: neuro.LearningRule) -> None:
    plain, rng = pair(given) if not given.third_factors else None, np.random.default_rng(1)
    inputs = {"in": spikes(2)}
    if plain is None:
        name = next(iter(given.third_factors.values()))
        third = neuro.Population(name, (1,), neuro.Source(levels=127))
        still = pair()
        learning = dataclasses.replace(still.projections[0], rule=given)
        plain = neuro.Network((*still.populations, third), (learning,))
        inputs[name] = rng.integers(1, 60, (2, 40, 1))
    runs = [neuro.run(plain, inputs, engine=engine) for engine in ("event", "reference")]
    assert runs[0].learned == runs[1].learned
    assert not np.array_equal(runs[0].learned.projections[0].weights, plain.projections[0].weights)


# By hand


@pytest.mark.parametrize("engine", ["event", "reference"])
def test_updates_are_counted_one_by_one(engine: str) -> None:
    """Input 0 spikes at steps 0 and 4, input 1 at step 4; output 0 fires at step 5 alone (60 + 60 + 20 >= 100)."""
    inputs = np.zeros((1, 8, 3), int)
    inputs[0, 0, 0] = inputs[0, 4, :2] = 1
    both = neuro.run(pair(rule("x0 * x1 + y0 * y1")), inputs, engine=engine, record=("learning",))
    # step 1: two synapses of input 0; step 5: four of inputs 0 and 1, and that from input 2 to output 0, which fired
    assert both.learning["in->out"].tolist() == [0, 2, 0, 0, 0, 5, 0, 0]
    assert both.learning_by_neuron["in->out"][5].tolist() == [3, 2]
    assert neuro.run(pair(rule("x0 * x1")), inputs, engine=engine).synaptic_updates == 2 + 4
    assert neuro.run(pair(rule("y0 * y1")), inputs, engine=engine).synaptic_updates == 3
    assert neuro.run(pair(rule("u1 * x1", epoch=2)), inputs, engine=engine).synaptic_updates == 6 * 2
    assert neuro.run(pair(rule("x0 * x1", epoch=2)), inputs, engine=engine).learning["in->out"].tolist()[1::2] == [2, 0, 4, 0]


@pytest.mark.parametrize("engine", ["event", "reference"])
def test_a_pair_of_spikes_changes_the_weight_by_the_trace(engine: str) -> None:
    """No decay, so all is exact: 2^-2 of the trace 16 at the firing, 2^-1 of the trace at the next arrival."""
    given = neuro.LearningRule("2^-2 * y0 * x1 - 2^-1 * x0 * y1", x1=(16, None), y1=(16, None))
    inputs = np.zeros((1, 6, 3), int)
    inputs[0, 0, 0] = inputs[0, 1, 0] = inputs[0, 3, 1] = 1
    run = neuro.run(pair(given), inputs, engine=engine)
    # Output 0 fires at step 2, at which input 0 arrives too: x1 is 32 and y1 is 16, so +8 - 8. At step 4 input 1 arrives: -8.
    assert run.learned.projections[0].weights.tolist() == [[60, 10], [12, 30], [0, 5]]


def test_changes_that_need_rounding_are_right_on_average() -> None:
    """2^-3 a step rounds up in one step of 8: the mean of 10 runs of 1,600 steps, within five standard errors."""
    found = []
    for seed in range(10):
        network = pair(neuro.LearningRule("2^-3 * x0", seed=seed))
        learned = neuro.run(network, np.ones((1, 1_601, 3), int)).learned.projections[0].weights
        assert len({*(learned - network.projections[0].weights)[:, 1]}) == 1  # one number for all synapses, as in Lava
        found.append(int(learned[2, 0]))
    assert abs(np.mean(found) - 200) < 5 * np.sqrt(1_600 * 1 / 8 * 7 / 8 / 10)


@pytest.mark.parametrize(("whole", "rate"), [(32, 0), (64, -1)])
def test_many_lessons_leave_their_mean(whole: int, rate: int) -> None:
    """Payloads near 16 in twenty lessons at a rate of 1/n: products rounded down to whole weights took five of eight."""
    rng = np.random.default_rng(0)
    payloads = rng.integers(0, 33, (20, 1, 400))
    teacher = np.maximum(1, np.rint(whole / np.arange(1, 21))).astype(int).reshape(20, 1, 1)
    populations = (
        neuro.Population("in", (400,), neuro.Source(levels=255)),
        neuro.Population("teacher", (1,), neuro.Source(levels=127)),
        neuro.Population("out", (1,), neuro.Graded(1, 1 << 20)),
    )
    given = dataclasses.replace(prototype("teacher", rate), epoch=2)
    learning = neuro.Dense("in", "out", np.zeros((400, 1), np.int32), rule=given)
    inputs = {name: np.concatenate([sent, 0 * sent], axis=1) for name, sent in (("in", payloads), ("teacher", teacher))}
    run = neuro.run(neuro.Network(populations, (learning,)), inputs)
    off = run.learned.projections[0].weights[:, 0] - payloads.mean(axis=0)[0] / 2
    assert abs(off.mean()) < 1.25
    assert np.abs(off).mean() < 1.5


@pytest.mark.parametrize("side", ["x1", "y1"])
def test_traces_decay_and_rise_right_on_average(side: str) -> None:
    """An impulse of 100.25 at the first of 4 steps leaves 100.25 exp(-3/7): the mean of 3,000, within five standard errors."""
    given = neuro.LearningRule("x0 * x1 * y1", x1=(100.25, 7), y1=(100.25, 7))
    drawn, messages, left = draws(3, 0, 3_000, 4), np.array([[1], [0], [0], [0]]), []
    for epoch in range(3_000):
        events = Events(epoch + 1, messages, messages, {}, drawn.decay[epoch], drawn.impulse[epoch], 0)
        left.append(trace_table(given.traces[side], given, np.zeros(1, np.int64), events)[-1, 0])
    assert 60 < min(left) < max(left) < 70
    assert abs(np.mean(left) - 100.25 * np.exp(-3 / 7)) < 5 * np.std(left) / np.sqrt(3_000)


def test_what_is_drawn_is_evenly_spread() -> None:
    drawn = draws(1, 10, 4_000, 3)
    again = draws(1, 20, 10, 3)
    assert np.array_equal(drawn.decay[10:20], again.decay)
    for numbers, most in ((drawn.decay, 1 << 32), (drawn.impulse, 128), (drawn.rounding, 128)):
        assert 0 <= numbers.min() <= numbers.max() < most
        assert abs(numbers.mean() / most - 0.5) < 5 / np.sqrt(12 * numbers.size)
    assert abs(np.corrcoef(drawn.decay[:, 0, 0], drawn.decay[:, 1, 0])[0, 1]) < 5 / np.sqrt(4_000)
    assert abs(np.corrcoef(drawn.rounding[:-1], drawn.rounding[1:])[0, 1]) < 5 / np.sqrt(4_000)


# On the chip


def test_a_chip_counts_and_prices_what_is_learned() -> None:
    network, chip = pair(rule("x0 * x1 + y0 * y1", epoch=2)), neuro.load_chip("loihi1-nahuku")
    chip_run = neuro.emulate(neuro.place(network, chip), spikes())
    run = neuro.run(network, spikes())
    assert chip_run.run.learned == run.learned
    assert chip_run.counts.synaptic_updates.sum() == run.synaptic_updates > 0
    assert chip_run.counts.synaptic_updates.sum(axis=1).tolist() == run.learning["in->out"].tolist()
    part = next(part for part in chip_run.bill.parts if part.name == "learning")
    assert part.energy_pj == pytest.approx(120 * run.synaptic_updates / 4)
    assert part.basis == "simulated"
    still = neuro.emulate(neuro.place(network.fixed(), chip), spikes())
    assert "learning" not in {part.name for part in still.bill.parts}
    longer = chip_run.step_times.send - still.step_times.send
    assert longer.max() >= 6.1


def test_tags_and_traces_take_memory() -> None:
    rng, chip = np.random.default_rng(0), neuro.load_chip("loihi2")
    weights = rng.integers(-100, 100, (200, 100))

    def needs(given: neuro.LearningRule | None) -> Any:
        populations = (neuro.Population("in", (200,), neuro.Source()), neuro.Population("out", (100,), neuro.IntegrateAndFire(9)))
        network = neuro.Network(populations, (neuro.Dense("in", "out", weights, rule=given),))
        cuts = neuro.place(network, chip, method="sequential").cuts
        return CoreDemand(network, chip).needs(populations[1], cuts["out"], cuts)

    plain, learning, tagged = needs(None), needs(stdp()), needs(dataclasses.replace(stdp(), dt="x0 * y1"))
    # x1 of 7 bits and a time of 6 for each of 200 axons, the same of y1 for each of 100 neurons
    assert (learning.memory_bits - learning.synapse_bits) - (plain.memory_bits - plain.synapse_bits) == 13 * 200 + 13 * 100
    # 64 synapses of 8 bits, and of 17 with a tag, in groups rounded to 64 bits: 9 words and 18; the other 36: 5 and 10
    assert learning.synapse_bits == 200 * 64 * (9 + 5)
    assert tagged.synapse_bits == 200 * 64 * (18 + 10)
