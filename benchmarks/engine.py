"""How fast the event engine is: kernels, layers, whole networks, two public workloads, against bare kernels and Brian2.

    python benchmarks/engine.py [--quick] [--json FILE] [--only TEXT]

`synops_per_s` counts stored synapses visited. `roof_synops_per_s` is the same additions by a bare kernel in the same run (see
bare.py), so `roof_ratio` says what integrating, firing, listing and counting leave of it. Single-thread rows are in processor
seconds, the best of some repeats, because other work may share the machine; rows of several threads are in wall seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

import neuro  # noqa: E402  # from this checkout
from benchmarks import bare, shapes  # noqa: E402  # from this checkout
from benchmarks.workloads import STEPS, workload_a, workload_b  # noqa: E402  # from this checkout

Row = dict[str, object]


def best(run: Callable[[], neuro.Run], clock: Callable[[], float], repeats: int) -> tuple[neuro.Run, float]:
    """The last run and the least time."""
    least, done = float("inf"), run()
    for _ in range(repeats):
        start = clock()
        done = run()
        least = min(least, clock() - start)
    return done, least


def forget_peak() -> None:
    """Let the operating system count the process's peak memory anew, where it can."""
    if Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")


def peak_mb() -> float:
    """The most memory that the process has held since `forget_peak`."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def roofs(network: neuro.Network, inputs: np.ndarray, timesteps: int, repeats: int) -> tuple[int, float]:
    """Synapses visited and bare seconds of the first sample, over the projections whose messages are plain spikes."""
    seen = {}
    neuro.run(network, inputs[:1], timesteps=timesteps, observe=lambda first, messages: seen.update(messages))
    synops, seconds = 0, 0.0
    for projection in network.projections:
        if isinstance(network[projection.source].neuron, neuro.Source) and network[projection.source].neuron.code == "once":
            continue  # payloads: one step of one layer
        neuron = network[projection.target].neuron
        window = range(neuron.start_step, neuron.start_step + neuron.active_steps(timesteps))
        sent = range(max(0, window.start - projection.delay), max(0, window.stop - projection.delay))
        done = bare.roof(network, projection, seen[projection.source], sent, repeats)
        synops, seconds = synops + done.synops, seconds + done.seconds
    return synops, seconds


def row(case: str, network: neuro.Network, inputs: np.ndarray, timesteps: int | None, repeats: int, threads: int = 1) -> Row:
    """One whole run, everything included: encoding, delivery, integration, firing, counting, records."""
    window = timesteps or network.timesteps or inputs.shape[1]
    clock = time.thread_time if threads == 1 else time.perf_counter
    forget_peak()
    run, seconds = best(lambda: neuro.run(network, inputs, timesteps=timesteps, threads=threads), clock, repeats)
    peak = peak_mb()
    roof_synops, roof_seconds = roofs(network, inputs, window, repeats)
    roof = roof_synops / roof_seconds
    return {
        "case": case,
        "threads": threads,
        "synops": run.synops,
        "seconds": seconds,
        "synops_per_s": run.synops / seconds,
        "roof_synops_per_s": roof,
        "roof_ratio": run.synops / seconds / roof,
        "updates_per_s": run.updates / seconds,
        "peak_mb": peak,
    }


def layer(
    projection: Callable[[str, str], object], source: tuple[int, ...], target: tuple[int, ...], activity: float, steps: int
):
    """Two layers: random plain spikes into one projection and its neurons; and the inputs."""
    rng = np.random.default_rng(0)
    network = neuro.Network(
        (neuro.Population("in", source, neuro.Source()), neuro.Population("out", target, neuro.IntegrateAndFire(2000))),
        (projection("in", "out"),),
    )
    return network, (rng.random((1, steps, *source)) < activity).astype(np.int8)


def deliveries(case: str, network: neuro.Network, inputs: np.ndarray, repeats: int) -> Row:
    """The engine's delivery alone, on the lists of a finished run: its kernels against the bare ones."""
    from benchmarks.delivery import delivery_seconds

    forget_peak()
    synops, seconds = delivery_seconds(network, inputs, repeats)
    roof_synops, roof_seconds = roofs(network, inputs, inputs.shape[1], repeats)
    assert synops == roof_synops, f"{case}: {synops} synapses visited, {roof_synops} by the bare kernel"
    roof = roof_synops / roof_seconds
    return {
        "case": case,
        "threads": 1,
        "synops": synops,
        "seconds": seconds,
        "synops_per_s": synops / seconds,
        "roof_synops_per_s": roof,
        "roof_ratio": synops / seconds / roof,
        "updates_per_s": 0.0,
        "peak_mb": peak_mb(),
    }


def kernel_cases(quick: bool) -> list[tuple[str, Callable[[], Row]]]:
    rng = np.random.default_rng(1)
    repeats = 3 if quick else 9

    def weights(*shape: int) -> np.ndarray:
        return np.clip(np.rint(rng.normal(0, 12, shape)), -127, 127).astype(int)

    def conv(width: int, side: int) -> Callable[[], Row]:
        def make(a: str, b: str) -> object:
            return neuro.Conv2d(a, b, weights(width, width, 3, 3), padding=1)

        return lambda: deliveries(
            f"kernel: 3x3 convolution, {width} channels", *layer(make, (width, side, side), (width, side, side), 0.1, 16), repeats
        )

    def dense(n: int, steps: int, where: str) -> Callable[[], Row]:
        def make(a: str, b: str) -> object:
            return neuro.Dense(a, b, weights(n, n))

        return lambda: deliveries(f"kernel: dense {n} x {n}, {where}", *layer(make, (n,), (n,), 0.2, steps), repeats)

    def sparse(n: int, fan: int, where: str) -> Callable[[], Row]:
        pre = np.repeat(np.arange(n), fan)

        def make(a: str, b: str) -> object:
            return neuro.Sparse(a, b, (pre, rng.integers(0, n, pre.size), weights(pre.size)))

        return lambda: deliveries(f"kernel: sparse {n} x {fan}, {where}", *layer(make, (n,), (n,), 0.2, 32), repeats)

    return [
        ("dense in cache", dense(512, 200, "in cache")),
        ("dense out of cache", dense(4096, 32, "out of cache")),
        *((f"conv{width}", conv(width, side)) for width, side in ((16, 32), (32, 32), (64, 32), (128, 16), (256, 8))),
        ("sparse in cache", sparse(1024, 32, "in cache")),
        ("sparse out of cache", sparse(32_768, 200, "out of cache")),
    ]


def network_cases(quick: bool) -> list[tuple[str, Callable[[], Row]]]:
    def whole(name: str, samples: int, repeats: int, threads: int = 1) -> Callable[[], Row]:
        def measure() -> Row:
            network, image = getattr(shapes, name)()
            label = f"{name}, T = 16, {samples} image{'s' if samples > 1 else ''}"
            return row(label, network, np.repeat(image, samples, 0), 16, repeats, threads)

        return measure

    few = 2 if quick else 5
    cases = [
        (f"{name} x{threads}", whole(name, 8, few, threads)) for name in ("vgg9", "resnet18", "mobilenet") for threads in (1, 2)
    ]
    return [*cases, *((f"resnet50 x{threads}", whole("resnet50", 1, few, threads)) for threads in (1, 2))]


def workload_rows(name: str, quick: bool) -> Row:
    """Workload A or B with its exact spike counts, and Brian2 C++ standalone beside it where Brian2 and a compiler are."""
    network, inputs, golden = (workload_a if name == "A" else workload_b)()
    measured = row(f"workload {name}", network, inputs, STEPS[name], 5 if quick else 20)
    run, wall = best(lambda: neuro.run(network, inputs, threads=1), time.perf_counter, 20)
    spikes = {p: int(run.spikes[p].sum()) for p in golden}
    assert spikes == golden, f"workload {name}: spikes {spikes}, golden {golden}"
    peer = Path(__file__).parent / "peer_brian2.py"
    command = [sys.executable, str(peer), name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode == 0:
        told = json.loads(done.stdout.splitlines()[-1])
        wall = min(wall, best(lambda: neuro.run(network, inputs, threads=1), time.perf_counter, 20)[1])
        measured |= {
            "peer": "Brian2 C++ standalone",
            "peer_seconds": told["seconds"],
            "peer_spikes": told["spikes"],
            "wall_seconds": wall,
        }
    else:
        measured |= {"peer": f"Brian2 C++ standalone did not run: {done.stderr.strip().splitlines()[-1:]}"}
    return measured


def show(m: Row) -> None:
    """One line of the table."""
    billions = {name: m[f"{name}_per_s"] / 1e9 for name in ("synops", "roof_synops", "updates")}
    text = f"{m['case']:42s} {m['threads']} thr {m['synops'] / 1e6:9.1f} M synops {m['seconds'] * 1e3:9.2f} ms"
    text += f" {billions['synops']:7.2f} G/s  roof {billions['roof_synops']:6.2f} G/s  ratio {m['roof_ratio']:5.2f}"
    text += f"  {billions['updates']:5.2f} G updates/s  {m['peak_mb']:6.0f} MB"
    if "peer_seconds" in m:
        text += f"  {m['peer_seconds'] / m['wall_seconds']:.1f} x as fast as {m['peer']}"
    print(text, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    parser.add_argument("--json", metavar="FILE", help="write the rows to FILE")
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose name holds TEXT")
    options = parser.parse_args()
    cases = [*kernel_cases(options.quick), *network_cases(options.quick)]
    cases += [(f"workload {name}", lambda name=name: workload_rows(name, options.quick)) for name in "AB"]
    rows, where = [], machine()
    for name, measure in cases:
        if options.only in name:
            rows.append(measure() | {"machine": where})
            show(rows[-1])
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=1))


def machine() -> str:
    """What the numbers were taken on, and how busy it was."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")
    return f"{model}, {os.cpu_count()} processors, Python {sys.version.split()[0]}, load {os.getloadavg()[0]:.1f} at the start"


if __name__ == "__main__":
    main()
