"""Runs compared: every neuron model with inputs for it, and whether two runs are equal in all that they record."""

import numpy as np

import neuro
from tests.networks import echo, leaky

SHAPE = (2, 3, 3)


EACH = np.arange(18).reshape(SHAPE) % 4 - 1  # a bias of its own for every neuron


NEURONS = {
    "if": neuro.IntegrateAndFire(5),
    "if, biased": neuro.IntegrateAndFire(4, bias=np.array([[[1]], [[-2]]]), initial_potential=3, start_step=1),
    "if, hard, held": neuro.IntegrateAndFire(9, "zero", EACH, hold_input=True),
    "if, few bits": neuro.IntegrateAndFire(6, bias=2, potential_bits=4),
    "signed": neuro.SignedIntegrateAndFire(4, bias=-1, initial_potential=2),
    "signed, unbounded": neuro.SignedIntegrateAndFire(3, EACH, minimum=None, gather=2, hold_input=True),
    "signed, bounded": neuro.SignedIntegrateAndFire(2, minimum=-1, maximum=2, bias=1),
    "wait": neuro.WaitIntegrateAndFire(3, 3, EACH, hold_input=True),
    "wait, late": neuro.WaitIntegrateAndFire(4, 2, initial_potential=5, start_step=2),
    "radix": neuro.RadixIntegrateAndFire(2, 3, 3, EACH),
    "graded": neuro.Graded(3, levels=7, bias=1),
    "graded, signed": neuro.Graded(2, 5, -5, EACH, hold_input=True),
    "cuba": neuro.CubaLif(1200, 300, 4, EACH, 2),
    "cuba, leaking": neuro.CubaLif(4095, 4095, 1),
    "maximum of counts": neuro.MaxPool(3),
    "maximum of signed counts": neuro.MaxPool(2, signed=True),
    "maximum of digits": neuro.MaxPool(3, "digits"),
    "maximum in turns": neuro.MaxPool(3, "turns", levels=4),
    "user, leaky": neuro.UserNeuron(leaky, (("v", 1), ("refractory", 0)), (6, 1)),
    "user, echo": neuro.UserNeuron(echo, (("total", 0),), lowest=-128, highest=127),
}


def same(network: neuro.Network, inputs: np.ndarray, timesteps: int, *, by: tuple[int, ...] = (1, 2)) -> None:
    """Both engines give the same bits, counts included, alone and in threads (`by`), and without traces, with which states do not
    stay in fewer bits from step to step."""
    record = ("raster", "traces", "potentials", "logits_by_step") if network.readouts else ("raster", "traces", "potentials")
    expected = neuro.run(network, inputs, timesteps=timesteps, engine="reference", record=record)
    for threads, kept in ((threads, kept) for threads in by for kept in (record, ("raster", "potentials"))):
        found = neuro.run(network, inputs, timesteps=timesteps, threads=threads, record=kept)
        assert np.array_equal(found.logits, expected.logits)
        for population in network.populations:
            name = population.name
            assert np.array_equal(found.raster[name], expected.raster[name]), name
            assert np.array_equal(found.spikes[name], expected.spikes[name]), name
            for field in ("synops", "messages", "updates", "driven", "restless"):
                counted = getattr(found.counts[name], field), getattr(expected.counts[name], field)
                assert np.array_equal(*counted), (name, field)
        for name, potentials in expected.potentials.items():
            assert np.array_equal(found.potentials[name], potentials), name
        for name, traces in found.traces.items():
            assert np.array_equal(expected.traces[name], traces), name


def stream(low: int, high: int, samples: int = 3, steps: int = 6, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    rng = np.random.default_rng(high)
    return rng.integers(low, high, (samples, steps, *shape)) * (rng.random((samples, steps, *shape)) < 0.5)


RECORD = ("raster", "potentials", "traces")


def assert_same(a: neuro.Run, b: neuro.Run) -> None:
    assert np.array_equal(a.logits, b.logits)
    for name, counts in b.counts.items():
        for field in counts.__slots__:
            assert np.array_equal(getattr(a.counts[name], field), getattr(counts, field)), (name, field)
    for kind in ("spikes", "raster", "traces", "potentials"):
        for name, values in getattr(b, kind).items():
            assert np.array_equal(getattr(a, kind)[name], values), (kind, name)
