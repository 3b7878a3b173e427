"""What learning costs: 4,000 neurons with pairwise STDP on 10 % of all pairs, 5 % of them active at a step.

    python benchmarks/learning.py [--steps 200] [--rounds 7] [--brian2]

Prints the time of the run, of the same run without learning, of both for each synapse that is touched (synaptic operations and
synaptic updates), and, with --brian2, of the same network with pairwise STDP in Brian2's C++ standalone. One thread, seconds of
the processor; in every round all run one after the other, so that what else the machine does falls on all of them.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
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


def processor_seconds(run: Callable[[], Any]) -> float:
    began = time.process_time()
    run()
    return time.process_time() - began


def interleaved(runs: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each run in each round, one after the other in every round, after one round that compiles."""
    for run in runs.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            seconds[name].append(run())
    return seconds


def brian2_program(made: neuro.Network, inputs: Any, steps: int) -> tuple[Callable[[], float], Callable[[], int]]:
    """Brian2's C++ standalone for the same spikes, weights and rule in doubles: a run, in seconds; spikes of the targets."""
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
    brian2.device.insert_code("before_network_run", "std::clock_t began = std::clock();")
    brian2.device.insert_code(
        "after_network_run", f'std::ofstream("{folder}/seconds") << double(std::clock() - began) / CLOCKS_PER_SEC;'
    )
    whole.run(steps * tick)
    brian2.device.build(directory=folder, compile=True, run=False)

    def once() -> float:
        brian2.device.run(folder, with_output=False)
        return float(Path(folder, "seconds").read_text())

    return once, lambda: int(spikes.num_spikes)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--steps", type=int, default=200)
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--brian2", action="store_true")
    given = options.parse_args()
    inputs = (np.random.default_rng(1).random((1, given.steps, NEURONS)) < ACTIVE).astype(np.int32)
    still, learning = network(None), network(stdp(-4, -4))
    plain, learned = (neuro.run(made, inputs, threads=1) for made in (still, learning))
    runs: dict[str, Callable[[], float]] = {
        "without learning": lambda: processor_seconds(lambda: neuro.run(still, inputs, threads=1)),
        "with learning": lambda: processor_seconds(lambda: neuro.run(learning, inputs, threads=1)),
    }
    fired = {"without learning": int(plain.spikes["out"].sum()), "with learning": int(learned.spikes["out"].sum())}
    if given.brian2:
        runs["Brian2 C++ standalone"], spikes = brian2_program(learning, inputs, given.steps)
    seconds = interleaved(runs, given.rounds)
    if given.brian2:
        fired["Brian2 C++ standalone"] = spikes()
    work = {"without learning": plain.synops, "with learning": learned.synops + learned.synaptic_updates}
    print(f"{learned.synops:,} synaptic operations, with learning {learned.synaptic_updates:,} synaptic updates more")
    for name, each in seconds.items():
        touched = work.get(name, work["with learning"])
        active = fired[name] / given.steps / NEURONS
        print(f"{name}: {min(each):.3f} s, {1e9 * min(each) / touched:.2f} ns each; {active:.1%} of the targets fire at a step")
    without, learns = (np.array(seconds[name]) / work[name] for name in ("without learning", "with learning"))
    print(f"with learning, a touched synapse takes {spread(learns / without)} as long as without")
    if given.brian2:
        faster = np.array(seconds["Brian2 C++ standalone"]) / np.array(seconds["with learning"])
        print(f"Brian2 takes {spread(faster)} as long as this engine with learning")


def spread(ratios: Any) -> str:
    """The middle of the rounds' ratios, and the least and the largest."""
    return f"{np.median(ratios):.2f} times ({ratios.min():.2f} to {ratios.max():.2f} in {len(ratios)} rounds)"


if __name__ == "__main__":
    main()
