"""What cannot be is refused at birth, with its name: neurons, projections, networks, graphs, inputs, streams."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import sparse

import neuro
from neuro.engine.records import Recorder
from neuro.errors import NeuroError
from tests.chips import random_inputs, random_network, small

FIRE = neuro.IntegrateAndFire(3)
ONES = np.ones((2, 2), int)
TABLE: dict[str, tuple[Callable[[], Any], str]] = {
    "code of a source": (lambda: neuro.Source("morse"), "code 'morse' is not known"),
    "levels of a source": (lambda: neuro.Source(levels=0), "levels = 0"),
    "scale of a source": (lambda: neuro.Source(scale=-1.0), "scale = -1.0"),
    "digits of a source": (lambda: neuro.Source("radix", digits=17), "digits = 17"),
    "start of a source": (lambda: neuro.Source(start_step=-1), "start_step = -1"),
    "reset": (lambda: neuro.IntegrateAndFire(3, "later"), "reset 'later'"),
    "threshold of 0": (lambda: neuro.IntegrateAndFire(0), "threshold = 0"),
    "threshold that is a fraction": (lambda: neuro.IntegrateAndFire(1.5), "is not a whole number"),
    "bias that is a fraction": (lambda: neuro.IntegrateAndFire(3, bias=0.5), "must be integers"),
    "bias beyond 32 bits": (lambda: neuro.IntegrateAndFire(3, bias=2**40), "exceeds 32 bits"),
    "potential of 1 bit": (lambda: neuro.IntegrateAndFire(3, potential_bits=1), "potential_bits = 1"),
    "potential of 32 bits": (lambda: neuro.IntegrateAndFire(3, potential_bits=32), "potential_bits = 32"),
    "no gathering": (lambda: neuro.WaitIntegrateAndFire(3, 0), "gather = 0"),
    "maximum beyond 32 bits": (lambda: neuro.SignedIntegrateAndFire(3, maximum=2**31), "maximum = 2147483648"),
    "digits beyond 32 bits": (lambda: neuro.RadixIntegrateAndFire(2**20, 16, 1), "do not fit 32 bits"),
    "no digits": (lambda: neuro.RadixIntegrateAndFire(3, 0, 1), "digits = 0"),
    "payloads above 0 only": (lambda: neuro.Graded(3, minimum=1), "payloads 1..255"),
    "no levels": (lambda: neuro.Graded(3, levels=0), "levels = 0"),
    "maximum of what": (lambda: neuro.MaxPool(3, "sizes"), "code 'sizes'"),
    "maximum of nothing": (lambda: neuro.MaxPool(0), "taps = 0"),
    "maximum of too many": (lambda: neuro.MaxPool(31), "31 taps do not fit"),
    "signed digits": (lambda: neuro.MaxPool(3, "digits", signed=True), "cannot be signed"),
    "decay of 13 bits": (lambda: neuro.CubaLif(4096, 0, 3), "current_decay = 4096"),
    "negative decay": (lambda: neuro.CubaLif(0, -1, 3), "voltage_decay = -1"),
    "threshold of 18 bits": (lambda: neuro.CubaLif(0, 0, 131_072), "threshold = 131072"),
    "exponent of 4 bits": (lambda: neuro.CubaLif(0, 0, 3, bias_exponent=8), "bias_exponent = 8"),
    "bias of 14 bits": (lambda: neuro.CubaLif(0, 0, 3, bias=4_097), "13-bit"),
    "step that is none": (lambda: neuro.UserNeuron(3), "step is not a function"),
    "messages above 0 only": (lambda: neuro.UserNeuron(abs, lowest=1), "lowest = 1"),
    "no state": (lambda: neuro.UserNeuron(abs, ()), "missing or named twice"),
    "state named twice": (lambda: neuro.UserNeuron(abs, (("v", 0), ("v", 1))), "missing or named twice"),
    "state that is a fraction": (lambda: neuro.UserNeuron(abs, (("v", 0.5),)), "v = 0.5"),
    "parameter that is a fraction": (lambda: neuro.UserNeuron(abs, parameters=(0.5,)), "parameter = 0.5"),
    "scale of infinity": (lambda: neuro.Readout(scale=float("inf")), "scale is not finite"),
    "readout of no steps": (lambda: neuro.Readout(gather=0), "gather = 0"),
    "delay of a fraction": (lambda: neuro.Dense("a", "b", ONES, 1.5), "is not a whole number"),
    "no delay": (lambda: neuro.Dense("a", "b", ONES, 0), "delay = 0"),
    "endless delay": (lambda: neuro.Dense("a", "b", ONES, 2**40), "delay = 1099511627776"),
    "weights in a row": (lambda: neuro.Dense("a", "b", np.ones(3, int)), "shape"),
    "weights that are fractions": (lambda: neuro.Dense("a", "b", ONES / 2), "must be integers"),
    "the least weight": (lambda: neuro.Dense("a", "b", ONES * -(2**31)), "a weight is -2"),
    "a list of two": (lambda: neuro.Sparse("a", "b", (np.ones(2, int), np.ones(2, int))), "neither a scipy sparse array"),
    "lists of two lengths": (lambda: neuro.Sparse("a", "b", ([1], [1], [1, 2])), "neither a scipy sparse array"),
    "groups that do not divide": (lambda: neuro.Conv2d("a", "b", np.ones((3, 1, 1, 1), int), groups=2), "3 output channels in 2"),
    "no stride": (lambda: neuro.Conv2d("a", "b", np.ones((1, 1, 1, 1), int), 0), "stride = "),
    "less than no padding": (lambda: neuro.SumPool2d("a", "b", 2, padding=-1), "padding = "),
    "a window without end": (lambda: neuro.SumPool2d("a", "b", 2_000), "a window of"),
    "population without name": (lambda: neuro.Population("", (2,), FIRE), "has no name"),
    "population without neurons": (lambda: neuro.Population("a", (0,), FIRE), "a size = 0"),
    "population of a number": (lambda: neuro.Population("a", (2,), 3), "is not a neuron model"),
    "population beyond counting": (lambda: neuro.Population("a", (2**16, 2**16), FIRE), "holds 4,294,967,296 neurons"),
    "bias of another shape": (lambda: neuro.Population("a", (2,), neuro.IntegrateAndFire(3, bias=np.ones(3, int))), "broadcast"),
    "constant without a source": (lambda: neuro.Sourced(1.0, "pJ", "assumed", " "), "it has no source"),
    "no populations": (lambda: neuro.Network((), ()), "has no populations"),
    "a window of no steps": (lambda: neuro.Network((neuro.Population("a", (2,), FIRE),), (), timesteps=0), "timesteps = 0"),
    "an unknown op": (lambda: neuro.Layer("a", "gelu", (), (2,)), "op 'gelu'"),
    "a missing option": (lambda: neuro.Layer("a", "relu", ("b",), (2,)), "missing option"),
    "a negative shape": (lambda: neuro.Layer("a", "input", (), (-2,)), "its shape is"),
    "weights that are NaN": (lambda: neuro.Layer("a", "linear", ("b",), (2,), {"weight": np.full((2, 2), np.nan)}), "NaN"),
    "a graph without input": (lambda: neuro.Graph(()), "first layer is not an input"),
    "a layer twice": (lambda: neuro.Graph((neuro.Layer("a", "input", (), (2,)),) * 2), "used twice"),
    "a layer before its input": (
        lambda: neuro.Graph((neuro.Layer("a", "input", (), (2,)), neuro.Layer("b", "add", ("c", "a"), (2,)))), "does not exist",
    ),
    "a layer without input": (
        lambda: neuro.Graph((neuro.Layer("a", "input", (), (2,)), neuro.Layer("b", "add", (), (2,)))), "has no input",
    ),
    "a shape that is another": (
        lambda: neuro.Graph(
            (neuro.Layer("a", "input", (), (2,)), neuro.Layer("b", "linear", ("a",), (3,), {"weight": np.ones((2, 2))}))
        ),
        "yields",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", TABLE)
def test_nonsense_is_refused_at_birth(what: str) -> None:
    make, said = TABLE[what]
    with pytest.raises(NeuroError, match=said):
        make()


def pair(source: Any, target: Any, projection: Any, *, a: tuple[int, ...] = (2,), b: tuple[int, ...] = (2,)) -> neuro.Network:
    return neuro.Network((neuro.Population("a", a, source), neuro.Population("b", b, target)), (projection,))


PAIRS: dict[str, tuple[Callable[[], Any], str]] = {
    "into a source": (lambda: pair(FIRE, neuro.Source(), neuro.Dense("a", "b", ONES)), "is driven from outside"),
    "out of a readout": (lambda: pair(neuro.Readout(), FIRE, neuro.Dense("a", "b", ONES)), "sends nothing"),
    "to nowhere": (lambda: pair(FIRE, FIRE, neuro.Dense("a", "c", ONES)), "no population 'c'"),
    "of another shape": (lambda: pair(FIRE, FIRE, neuro.Dense("a", "b", np.ones((3, 2), int))), "weights are"),
    "beyond the targets": (lambda: pair(FIRE, FIRE, neuro.Sparse("a", "b", ([0], [2], [1]))), "leave its 2 neurons"),
    "aside of the targets": (lambda: pair(FIRE, FIRE, neuro.OneToOne("a", "b", 1, 1)), "the target \\(2,\\) has 2"),
    "weights for other channels": (lambda: pair(FIRE, FIRE, neuro.OneToOne("a", "b", np.ones(3, int))), "3 weights, the source"),
    "a kernel for another image": (
        lambda: pair(FIRE, FIRE, neuro.Conv2d("a", "b", np.ones((1, 3, 1, 1), int)), a=(2, 2, 2), b=(1, 2, 2)), "3 channels",
    ),
    "a convolution of another size": (
        lambda: pair(FIRE, FIRE, neuro.Conv2d("a", "b", np.ones((1, 2, 1, 1), int)), a=(2, 2, 2), b=(1, 1, 2)), "yields",
    ),
    "a line that is an image": (
        lambda: pair(FIRE, FIRE, neuro.Conv1d("a", "b", np.ones((1, 2, 1), int)), a=(2, 2, 2), b=(1, 2)), "channels",
    ),
    "a pool of a line": (lambda: pair(FIRE, FIRE, neuro.SumPool2d("a", "b", 1)), "not \\(channels, height, width\\)"),
    "a pool of another size": (lambda: pair(FIRE, FIRE, neuro.SumPool2d("a", "b", 1), a=(1, 2, 2), b=(1, 1, 1)), "yields"),
    "an unknown population": (lambda: pair(FIRE, FIRE, neuro.Dense("a", "b", ONES))["c"], "none of that name"),
}  # fmt: skip


@pytest.mark.parametrize("what", PAIRS)
def test_projections_that_do_not_fit_are_refused(what: str) -> None:
    make, said = PAIRS[what]
    with pytest.raises(NeuroError, match=said):
        make()


def test_scipy_arrays_and_triples_are_the_same_synapses() -> None:
    triple = neuro.Sparse("a", "b", (np.array([1, 0]), np.array([0, 1]), np.array([5, 6])))
    assert neuro.Sparse("a", "b", sparse.coo_array((np.array([5, 6]), (np.array([1, 0]), np.array([0, 1]))))) == triple


RUNS: dict[str, tuple[neuro.Network, Any, dict[str, Any], str]] = {
    "no source": (pair(FIRE, FIRE, neuro.Dense("a", "b", ONES)), np.ones((1, 2), int), {}, "no Source population"),
    "a mapping of other names": (
        pair(neuro.Source(), FIRE, neuro.Dense("a", "b", ONES)), {"c": np.ones((1, 2), int)}, {}, "not matched",
    ),
    "integers beyond the range": (
        pair(neuro.Source("rate", levels=3), FIRE, neuro.Dense("a", "b", ONES)), np.full((1, 2), 4), {"timesteps": 3}, "leave",
    ),
    "a stream beyond the range": (
        pair(neuro.Source(levels=3), FIRE, neuro.Dense("a", "b", ONES)), np.full((1, 3, 2), 4), {}, "leaves",
    ),
    "a stream longer than the window": (
        pair(neuro.Source(), FIRE, neuro.Dense("a", "b", ONES)), np.ones((1, 5, 2), int), {"timesteps": 3}, "5 steps",
    ),
    "no window": (pair(neuro.Source(), FIRE, neuro.Dense("a", "b", ONES)), np.ones((1, 2), int), {}, "has no window of its own"),
    "no threads": (
        pair(neuro.Source(), FIRE, neuro.Dense("a", "b", ONES)), np.ones((1, 2, 2), int), {"threads": 0}, "threads = 0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", RUNS)
def test_inputs_that_do_not_fit_are_refused(what: str) -> None:
    network, inputs, options, said = RUNS[what]
    with pytest.raises(NeuroError, match=said):
        neuro.run(network, inputs, **options)


def test_sources_must_get_the_same_samples_and_names() -> None:
    populations = (*(neuro.Population(name, (2,), neuro.Source()) for name in "ab"), neuro.Population("c", (2,), FIRE))
    network = neuro.Network(populations, (neuro.Dense("a", "c", ONES), neuro.Dense("b", "c", ONES)), timesteps=2)
    with pytest.raises(NeuroError, match="has 2 sources"):
        neuro.run(network, np.ones((1, 2), int))
    with pytest.raises(NeuroError, match="different numbers of samples"):
        neuro.run(network, {"a": np.ones((1, 2), int), "b": np.ones((2, 2), int)})
    assert neuro.run(network, {"a": np.ones((3, 2), int), "b": np.ones((3, 2), int)}).samples == 3
    session = neuro.open_session(network)
    with pytest.raises(NeuroError, match="has 2 sources"):
        session.step(np.ones(2, int))
    with pytest.raises(NeuroError, match="different numbers of steps"):
        session.step({"a": np.ones(2, int), "b": np.ones((3, 2), int)})
    with pytest.raises(NeuroError, match="most_steps"):
        neuro.open_session(network, most_steps=0)


def test_twin_sources_split_streams_by_sign() -> None:
    source = neuro.Source(scale=0.5, levels=9, twin=True)
    network = pair(source, neuro.IntegrateAndFire(2), neuro.Dense("a", "b", np.array([[1, 0], [0, 1]])))
    run = neuro.run(network, np.array([[[1.0], [-2.0]]]), record=("raster",))
    assert run.raster["a"].tolist() == [[[2, 0], [0, 4]]]


def test_counts_that_keep_only_some_samples_apart_add_up_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    network = random_network(2)
    placement, inputs = neuro.place(network, small()), random_inputs(network, 9, 0)
    whole = neuro.emulate(network, placement, inputs, timesteps=4)
    steps, rows = network.steps(4), placement.cores_used + 1
    monkeypatch.setattr("neuro.chip.counts._MOST_BYTES", 3 * steps * rows * 6 * 4)
    some = neuro.emulate(network, placement, inputs, timesteps=4)
    assert len(whole.counts.timed) == 9
    assert some.counts.timed.tolist() == [0, 4, 8]
    assert some.bill.dynamic_pj == pytest.approx(whole.bill.dynamic_pj)
    assert np.array_equal(some.counts.each, whole.counts.each[::4])
    assert any("mean over 3 of 9 samples" in said for said in some.bill.assumptions)


def test_logits_by_step_need_a_readout() -> None:
    network = pair(neuro.Source(), FIRE, neuro.Dense("a", "b", ONES))
    with pytest.raises(NeuroError, match="needs a Readout"):
        Recorder(network, 1, 2, ("logits_by_step",)).finish()


@pytest.mark.parametrize("weights", [(1, 0), (-1, 0), (1, -1), (0.5, 0.5)], ids=str)
@pytest.mark.parametrize("bias", [0, 70, [-70, 3]], ids=str)
def test_charges_are_allowed_up_to_the_last_bit_and_no_further(weights: tuple[float, float], bias: Any) -> None:
    """The bias and a potential of 24 bits must find room beside all that one step can bring."""
    most = 2**31 - 1 - 2**24 - (70 if bias else 0)
    for room, fits in ((most, True), (most + 1, False)):
        shares = [int(weights[0] * room), room - int(weights[0] * room) if weights[1] == 0.5 else int(weights[1] * room)]
        neuron = neuro.IntegrateAndFire(5, bias=np.array(bias) if isinstance(bias, list) else bias)
        network = pair(
            neuro.Source(levels=1), neuron, neuro.Dense("a", "b", np.array([shares] * 1 + [[0, 0]]).T.repeat(1, 0)[:, :2])
        )
        for engine in ("event", "reference"):
            if fits:
                assert neuro.run(network, np.ones((1, 2, 2), int), engine=engine).samples == 1
            else:
                with pytest.raises(NeuroError, match="beyond its 32-bit accumulator"):
                    neuro.run(network, np.ones((1, 2, 2), int), engine=engine)
