"""Brian2 C++ standalone on workload A or B; prints seconds of its simulation and spikes per layer as JSON.

python benchmarks/peer_brian2.py A|B
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

import brian2  # noqa: E402  # after the path is set

from benchmarks.workloads import STEPS, workload_a, workload_b  # noqa: E402  # from this checkout


def main(name: str) -> None:
    network, inputs, _ = (workload_a if name == "A" else workload_b)()
    folder = tempfile.mkdtemp()
    brian2.set_device("cpp_standalone", build_on_run=False, directory=folder)
    brian2.prefs.codegen.cpp.extra_compile_args_gcc = ["-O3", "-march=native", "-ffast-math"]
    tick = 1 * brian2.ms
    brian2.defaultclock.dt = tick
    groups, parts = {}, []
    for p in network.populations:
        if p.name == "in":
            at, which = np.nonzero(inputs[0])
            groups[p.name] = brian2.SpikeGeneratorGroup(p.size, which, at * tick)
            continue
        keep, threshold = 4096 - p.neuron.voltage_decay, p.neuron.threshold << 6
        group = brian2.NeuronGroup(p.size, "v : 1\nacc : 1", threshold=f"v > {threshold}", reset="v = 0", method="exact")
        leak = f"sign(v) * floor(abs(v) * {keep} / 4096)" if p.neuron.voltage_decay else "v"
        parts.append(group.run_regularly(f"v = {leak} + acc * 64\nacc = 0", when="groups"))
        groups[p.name] = group
    for projection in network.projections:
        listed = projection.synapses(network[projection.source].shape, network[projection.target].shape)
        synapses = brian2.Synapses(groups[projection.source], groups[projection.target], "w : 1", on_pre="acc_post += w")
        synapses.connect(i=listed.pre, j=listed.post)
        synapses.w = listed.weight.astype(float)
        parts.append(synapses)
    monitors = {name: brian2.SpikeMonitor(group, record=False) for name, group in groups.items() if name != "in"}
    run = brian2.Network(*groups.values(), *parts, *monitors.values())
    run.run(STEPS[name] * tick)
    brian2.device.build(directory=folder, compile=True, run=False)
    seconds = []
    for _ in range(5):
        brian2.device.run(folder, with_output=False)
        seconds.append(float(brian2.device._last_run_time))
    spikes = {layer: int(monitor.num_spikes) for layer, monitor in monitors.items()}
    print(json.dumps({"seconds": min(seconds), "spikes": spikes}))


if __name__ == "__main__":
    main(sys.argv[1])
