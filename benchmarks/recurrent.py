"""Two recurrent networks of leaky neurons, with the same spikes in the event engine, a plain compiled loop and Brian2's C++.

    python -m benchmarks.recurrent [--only TEXT] [--rounds 7] [--json FILE]

After the CUBA network of Vogels and Abbott (2005): four fifths of the neurons excite, one fifth inhibits, everyone is driven
above its threshold, and a neuron rests for five milliseconds of ten steps each after a spike. `plain loop` is what a reader would
write with numba in an hour: one pass over the neurons, one over the synapses of those who fired (`simulated`). Brian2 is its C++
standalone with `-O3 -march=native -ffast-math`, without compilation and set-up. All are timed in turns, in processor seconds of
one thread; ratios are medians over rounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numba
import numpy as np

import neuro

Synapses = tuple[np.ndarray, np.ndarray, np.ndarray]
KICKED = 50  # steps in which input arrives
SECONDS = """
std::ofstream seconds("results/seconds");
seconds << double(std::clock() - began) / CLOCKS_PER_SEC;
"""


class Case:
    """A network with its synapses sorted by source, and its input."""

    def __init__(self, neurons: int, fan_out: int, excites: int, inhibits: int, steps: int) -> None:
        rng = np.random.default_rng(0)
        self.steps = steps
        pre = np.repeat(np.arange(neurons), fan_out)
        post = np.sort(rng.integers(0, neurons, (neurons, fan_out)), axis=1).ravel()
        weight = np.where(pre < neurons * 4 // 5, excites, -inhibits)
        self.starts = np.arange(neurons + 1) * fan_out
        self.synapses: Synapses = (pre, post, weight)
        self.neuron = neuro.CubaLif(
            current_decay=81, voltage_decay=20, threshold=10_000, bias=rng.integers(3300, 3700, neurons), refractory=50
        )
        self.network = neuro.Network(
            (neuro.Population("in", (neurons // 100,), neuro.Source(levels=1)), neuro.Population("a", (neurons,), self.neuron)),
            (
                neuro.Sparse("a", "a", self.synapses),
                neuro.Sparse("in", "a", (np.arange(neurons // 100), np.arange(neurons // 100) * 7, np.full(neurons // 100, 200))),
            ),
        )
        self.inputs = np.zeros((1, steps, neurons // 100), np.int8)
        self.inputs[:, :KICKED] = rng.random((1, KICKED, neurons // 100)) < 0.1


@numba.njit(cache=True)
def dec(x: Any, kept: Any) -> Any:
    return np.sign(x) * ((abs(x) * kept) >> 12)


@numba.njit(cache=True)
def simulated(inputs, starts, post, weight, keeps, threshold, bias, refractory):  # noqa: ANN001, ANN201  # compiled
    """Spikes of each neuron."""
    steps, n = len(inputs), len(bias)
    u, v, rest = np.zeros(n, np.int32), np.zeros(n, np.int32), np.zeros(n, np.int32)
    charge, spikes = np.zeros(n, np.int32), np.zeros(n, np.int32)
    fired = np.empty(n, np.int32)
    for t in range(steps):
        found = 0
        for i in range(n):
            u[i] = dec(u[i], keeps[0]) + (charge[i] << 6)
            charge[i] = 0
            if rest[i] > 0:
                rest[i] -= 1
                v[i] = 0
            else:
                v[i] = dec(v[i], keeps[1]) + u[i] + bias[i]
                if v[i] > threshold:
                    v[i] = 0
                    rest[i] = refractory - 1
                    fired[found] = i
                    found += 1
                    spikes[i] += 1
        for k in range(found):
            i = fired[k]
            for s in range(starts[i], starts[i + 1]):
                charge[post[s]] += weight[s]
        for i in range(inputs.shape[1]):
            if inputs[t, i]:
                charge[i * 7] += 200
    return spikes


def plain_loop(case: Case) -> Callable[[], np.ndarray]:
    _, post, weight = (part.astype(np.int32) for part in case.synapses)
    neuron = case.neuron
    keeps = (4096 - neuron.current_decay - 1, 4096 - neuron.voltage_decay)
    bias = np.asarray(neuron.bias).astype(np.int32)
    given = (case.inputs[0], case.starts, post, weight, keeps, neuron.threshold << 6, bias, neuron.refractory)
    return lambda: simulated(*given)


def in_brian2(case: Case) -> Callable[[], tuple[float, np.ndarray]]:
    """Seconds of a simulation and its spikes."""
    import brian2 as b

    folder, neuron = tempfile.mkdtemp(), case.neuron
    b.set_device("cpp_standalone", build_on_run=False, directory=folder)
    b.device.reinit()
    b.device.activate(build_on_run=False, directory=folder)
    b.prefs.codegen.cpp.extra_compile_args_gcc = ["-O3", "-march=native", "-ffast-math"]
    tick = 0.1 * b.ms
    b.defaultclock.dt = tick
    n, last = len(case.starts) - 1, neuron.refractory - 1
    group = b.NeuronGroup(
        n,
        "v : 1\nu : 1\nacc : 1\nbias : 1 (constant)\nrest : integer",
        threshold=f"v > {neuron.threshold << 6}",
        reset=f"v = 0\nrest = {last}",
        method="exact",
    )
    group.bias = np.asarray(neuron.bias)
    step = group.run_regularly(
        f"u = sign(u) * floor(abs(u) * {4096 - neuron.current_decay - 1} / 4096) + acc * 64\n"
        f"v = int(rest == 0) * (sign(v) * floor(abs(v) * {4096 - neuron.voltage_decay} / 4096) + u + bias)\n"
        "rest = clip(rest - 1, 0, 64)\nacc = 0",
        when="groups",
    )
    at, which = np.nonzero(case.inputs[0])
    source = b.SpikeGeneratorGroup(case.inputs.shape[2], which, at * tick)
    inside, outside = (b.Synapses(one, group, "w : 1", on_pre="acc_post += w") for one in (group, source))
    inside.connect(i=case.synapses[0], j=case.synapses[1])
    inside.w = case.synapses[2].astype(float)
    outside.connect(i=np.arange(source.N), j=np.arange(source.N) * 7)
    outside.w = 200.0
    monitor = b.SpikeMonitor(group, record=False)
    b.device.insert_code("before_network_run", "std::clock_t began = std::clock();")
    b.device.insert_code("after_network_run", SECONDS)
    b.Network(group, source, inside, outside, monitor, step).run(case.steps * tick)
    b.device.build(directory=folder, compile=True, run=False)

    def run() -> tuple[float, np.ndarray]:
        b.device.run(folder, with_output=False)
        return float((Path(folder) / "results" / "seconds").read_text()), np.asarray(monitor.count)

    return run


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.thread_time()
    done = work()
    return time.thread_time() - began, done


def measured(name: str, case: Case, rounds: int) -> dict[str, Any]:
    loop = plain_loop(case)
    ways: dict[str, Callable[[], tuple[float, np.ndarray]]] = {
        "event engine": lambda: timed(lambda: neuro.run(case.network, case.inputs, threads=1).spikes["a"][0]),
        "plain loop": lambda: timed(loop),
    }
    with suppress(ImportError):
        ways["Brian2 C++ standalone"] = in_brian2(case)
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    expected = ways["event engine"]()[1]
    for _ in range(rounds + 1):
        for way, run in ways.items():
            took, spikes = run()
            assert (spikes == expected).all(), f"{name}: {way} has {spikes.sum()} spikes, the event engine {expected.sum()}"
            seconds[way].append(took)
    ours = seconds.pop("event engine")[1:]
    run = neuro.run(case.network, case.inputs, threads=1)
    return {
        "case": name,
        "updates": int(run.updates),
        "synops": int(run.synops),
        "spikes": int(expected.sum()),
        "seconds": min(ours),
        "times": {way: statistics.median(b / a for a, b in zip(ours, them[1:], strict=True)) for way, them in seconds.items()},
    }


CASES: dict[str, Callable[[], Case]] = {
    "4,000 neurons, 320,000 synapses, 5,000 steps": lambda: Case(4000, 80, 8, 45, 5000),
    "80,000 neurons, 13 million synapses, 500 steps": lambda: Case(80_000, 163, 4, 22, 500),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="cases whose name holds this text")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    arguments = parser.parse_args()
    rows = []
    for name in (name for name in CASES if arguments.only in name):
        row = measured(name, CASES[name](), arguments.rounds)
        rows.append(row)
        times = ", ".join(f"{ratio:.2f} times as fast as {way}" for way, ratio in row["times"].items())
        each = f"{1e9 * row['seconds'] / row['updates']:.2f} ns an update, {row['synops'] / row['updates']:.2f} synops each"
        print(f"{name}: {1e3 * row['seconds']:.1f} ms, {row['spikes']} spikes, {each}; {times}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
