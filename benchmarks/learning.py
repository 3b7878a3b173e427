"""What learning costs: 4,000 neurons with pairwise STDP on 10 % of all pairs, 5 % of them active at a step.

    python benchmarks/learning.py [--steps 200] [--brian2]

Prints the time of the run, of the same run without learning, of both for each synapse that is touched (synaptic operations and
synaptic updates), and, with --brian2, of the same network with pairwise STDP in Brian2's C++ standalone. All in one run, one
thread, seconds of the processor.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from typing import Any

import numpy as np

import neuro
from neuro.learning import stdp

NEURONS, SHARE, ACTIVE = 4_000, 0.1, 0.05
THRESHOLD = 170_000  # at which about 5 % of the neurons fire at a step


def network(rule: neuro.LearningRule | None) -> neuro.Network:
    rng = np.random.default_rng(0)
    fan_out = round(NEURONS * SHARE)
    pre = np.repeat(np.arange(NEURONS), fan_out)
    post = np.concatenate([rng.choice(NEURONS, fan_out, replace=False) for _ in range(NEURONS)])
    weight = rng.integers(100, 256, len(pre))
    populations = (
        neuro.Population("in", (NEURONS,), neuro.Source(levels=1)),
        neuro.Population(
            "out", (NEURONS,), neuro.IntegrateAndFire(THRESHOLD // 2, initial_potential=rng.integers(0, THRESHOLD // 2, NEURONS))
        ),
    )
    return neuro.Network(populations, (neuro.Sparse("in", "out", (pre, post, weight), rule=rule),))


def best(run: Any, times: int = 5) -> tuple[float, Any]:
    """The shortest of some runs, in seconds, after one that compiles."""
    result, seconds = run(), []
    for _ in range(times):
        began = time.process_time()
        run()
        seconds.append(time.process_time() - began)
    return min(seconds), result


def brian2_seconds(made: neuro.Network, inputs: Any, steps: int) -> tuple[float, int]:
    """Seconds of Brian2's C++ standalone for the same spikes, weights and rule in doubles, and spikes of the targets."""
    import brian2

    folder = tempfile.mkdtemp()
    brian2.set_device("cpp_standalone", build_on_run=False, directory=folder)
    brian2.prefs.codegen.cpp.extra_compile_args_gcc = ["-O3", "-march=native", "-ffast-math"]
    tick = 1 * brian2.ms
    brian2.defaultclock.dt = tick
    at, which = np.nonzero(inputs[0])
    source = brian2.SpikeGeneratorGroup(NEURONS, which, at * tick)
    limit = made["out"].neuron.threshold
    target = brian2.NeuronGroup(NEURONS, "v : 1", threshold=f"v >= {limit}", reset=f"v -= {limit}")
    synapses = brian2.Synapses(
        source,
        target,
        "w : 1\ndx/dt = -x / (20*ms) : 1 (event-driven)\ndy/dt = -y / (20*ms) : 1 (event-driven)",
        on_pre="v_post += w\nx = clip(x + 16, 0, 127)\nw = clip(w - 0.25 * y, -256, 255)",
        on_post="y = clip(y + 16, 0, 127)\nw = clip(w + 0.25 * x, -256, 255)",
    )
    listed = made.projections[0].synapses((NEURONS,), (NEURONS,))
    synapses.connect(i=listed.pre, j=listed.post)
    synapses.w = listed.weight.astype(float)
    target.v = np.broadcast_to(made["out"].neuron.initial_potential, NEURONS).astype(float)
    spikes = brian2.SpikeMonitor(target, record=False)
    whole = brian2.Network(source, target, synapses, spikes)
    whole.run(steps * tick)
    brian2.device.build(directory=folder, compile=True, run=False)
    seconds = []
    for _ in range(3):
        brian2.device.run(folder, with_output=False)
        seconds.append(float(brian2.device._last_run_time))
    return min(seconds), int(spikes.num_spikes)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--steps", type=int, default=200)
    options.add_argument("--brian2", action="store_true")
    given = options.parse_args()
    inputs = (np.random.default_rng(1).random((1, given.steps, NEURONS)) < ACTIVE).astype(np.int32)
    rule = stdp(-4, -4)
    still, learning = network(None), network(rule)
    plain_s, plain = best(lambda: neuro.run(still, inputs, threads=1))
    learned_s, learned = best(lambda: neuro.run(learning, inputs, threads=1))
    touched = learned.synops + learned.synaptic_updates
    for name, run in (("without", plain), ("with", learned)):
        print(f"{name} learning: {run.spikes['out'].sum() / given.steps / NEURONS:.1%} of the targets fire at a step")
    print(f"without learning: {plain_s:.3f} s, {plain.synops:,} synops, {1e9 * plain_s / plain.synops:.2f} ns each")
    print(f"with learning: {learned_s:.3f} s, {learned.synops:,} synops and {learned.synaptic_updates:,} updates,", end=" ")
    print(f"{1e9 * learned_s / touched:.2f} ns each: {learned_s / touched / (plain_s / plain.synops):.2f} times")
    if given.brian2:
        seconds, spikes = brian2_seconds(learning, inputs, given.steps)
        print(
            f"Brian2 C++ standalone: {seconds:.3f} s, {spikes / given.steps / NEURONS:.1%} of the targets fire at a step;",
            end=" ",
        )
        print(f"this engine takes {learned_s / seconds:.2f} times as long")


if __name__ == "__main__":
    main()
