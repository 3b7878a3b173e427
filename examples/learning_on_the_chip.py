"""Synapses that learn: what pairwise STDP makes of Poisson inputs, and a function learned by error (PES).

python examples/learning_on_the_chip.py
"""

import numpy as np

import neuro
from neuro.learning import LearningRule, pes


def weights_under_stdp(steps: int = 40_000, inputs: int = 200) -> np.ndarray:
    """Weights (inputs,) of one leaky neuron under additive STDP that weakens a little more than it strengthens.

    After Song, Miller and Abbott 2000: independent Poisson inputs compete, weights end near 0 or near the largest. A neuron fires
    in the step in which its input arrives, so y1 already holds that firing when x0 reads it; the third product takes it out.
    """
    dw = "2^-1 * x1 * y0 - 2^-1 * y1 * x0 + 5 * 2^1 * x0 * y0"
    rule = LearningRule(dw, x1=(20, 20), y1=(22, 20), sign="excitatory")
    neuron = neuro.CubaLif(current_decay=4095, voltage_decay=200, threshold=6_000)
    network = neuro.Network(
        (neuro.Population("in", (inputs,), neuro.Source(levels=1)), neuro.Population("out", (1,), neuron)),
        (neuro.Dense("in", "out", np.full((inputs, 1), 128), rule=rule),),
    )
    spikes = (np.random.default_rng(0).random((1, steps, inputs)) < 0.02).astype(np.int32)
    return neuro.run(network, spikes).learned.projections[0].weights[:, 0]


def errors_under_pes(steps: int = 3_000, neurons: int = 100) -> np.ndarray:
    """Errors (steps,) of a population that learns the square of its input, the host sending the error, as in nengo-loihi.

    Differs from nengo-loihi in: the error is a payload, not spikes.
    """
    rng = np.random.default_rng(1)
    encoders, bias = rng.choice([-1, 1], neurons) * rng.integers(4, 16, neurons), rng.integers(0, 600, neurons)
    network = neuro.Network(
        (
            neuro.Population("x", (1,), neuro.Source(levels=100)),
            neuro.Population("error", (1,), neuro.Source(levels=127)),
            neuro.Population("neurons", (neurons,), neuro.IntegrateAndFire(2_000, bias=bias)),
            neuro.Population("out", (1,), neuro.Graded(1, levels=1 << 20, minimum=-(1 << 20))),
        ),
        (
            neuro.Dense("x", "neurons", encoders[None]),
            neuro.Dense("neurons", "out", np.zeros((neurons, 1), int), rule=pes("error", -7, impulse=4, tau=10)),
        ),
    )
    session, decoded, error, errors = neuro.open_session(network, record=("raster:out",)), 0.0, 0, []
    for step in range(steps):
        value = round(100 * np.sin(step / 80))
        run = session.step({"x": [value], "error": [error]})
        decoded += (run.raster["out"][0, 0, 0] - decoded) / 20
        missing = decoded / 4 - value**2 / 100
        error = int(np.clip(missing, -127, 127))
        errors.append(missing)
    return np.array(errors)


def main() -> None:
    weights = weights_under_stdp()
    low, high = (weights < 64).mean(), (weights >= 192).mean()
    print(
        f"STDP on Poisson inputs: {low:.0%} of the weights are below a quarter of the largest, {high:.0%} above three quarters,"
    )
    print(f"{1 - low - high:.0%} in the half between them")
    errors = np.abs(errors_under_pes())
    print(f"PES, the square of the input, 0 to 100: mean error {errors[-1000:].mean():.0f}; 50 where nothing is learned")


if __name__ == "__main__":
    main()
