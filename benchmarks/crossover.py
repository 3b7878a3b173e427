"""From how many messages of a row on a product is faster than adding weights, against what `neuro/engine/tiled.py` computes.

    python -m benchmarks.crossover [--only TEXT]

For each shape and kind of messages: nanoseconds of a source row that is multiplied, nanoseconds of a message that is added,
where the two are equal, and the threshold that the engine takes. Processor time of one thread, the best of some repeats.
"""

from __future__ import annotations

import argparse
import time
from unittest import mock

import numpy as np

import neuro
from benchmarks.delivery import deliver_all
from neuro.encoding import by_source
from neuro.engine import plan as plans
from neuro.engine import tiled
from neuro.engine.event import BlockJob, Worker, input_payloads
from neuro.engine.records import Recorder
from neuro.engine.workspace import make_workspace

STEPS, DENSITY = 16, 0.3
SHAPES = [  # source channels, target channels, side, kernel, stride
    (20, 32, 16, 5, 1), (32, 32, 32, 3, 1), (32, 64, 32, 4, 2), (64, 64, 16, 3, 1), (64, 128, 16, 4, 2), (128, 128, 8, 3, 1),
    (256, 256, 8, 3, 1), (128, 256, 8, 1, 1),
]  # fmt: skip
# Least and largest message, and the largest weight.
SENT = {"spikes": (1, 1, 127), "signed": (-1, 1, 127), "payloads": (-9, 200, 127), "spikes with long weights": (1, 1, 2000)}


def measured(shape: tuple[int, ...], sent: tuple[int, int, int]) -> tuple[float, float, float, int]:
    """Nanoseconds of a multiplied row and of an added message, messages of a row, and the threshold."""
    channels, out, side, kernel, stride = shape
    rng, pad = np.random.default_rng(0), (kernel - 1) // 2
    weights = np.clip(np.rint(rng.normal(0, sent[2] / 6, (out, channels, kernel, kernel))), -sent[2], sent[2]).astype(int)
    after = (side + 2 * pad - kernel) // stride + 1
    network = neuro.Network(
        (
            neuro.Population("in", (channels, side, side), neuro.Source()),
            neuro.Population("out", (out, after, after), neuro.IntegrateAndFire(2000)),
        ),
        (neuro.Conv2d("in", "out", weights, stride=stride, padding=pad),),
    )
    values = rng.integers(sent[0], sent[1] + 1, (1, STEPS, channels, side, side))
    inputs = by_source(network, np.where(values == 0, 1, values) * (rng.random(values.shape) < DENSITY))
    chosen: list[int] = []

    def threshold(*arguments: object) -> int:
        chosen.append(tiled.threshold(*arguments))
        return chosen[-1]

    with mock.patch.object(plans, "threshold", threshold), mock.patch("neuro.engine.pack.worth_tiles", return_value=True):
        plan = plans.make_plan(network, input_payloads(network, inputs), STEPS)
    found = []
    for above in (-1, tiled.NEVER - 1):
        plan.projections["tile_above"] = above
        recorder = Recorder(network, 1, STEPS)
        workspace, worker = make_workspace(plan, 1, STEPS, STEPS), Worker(plan, STEPS)
        BlockJob(plan, inputs, recorder, None, None).block(workspace, [worker], None, 0, 1)
        work, least = worker.work(workspace), float("inf")
        for _ in range(12):
            began = time.thread_time()
            deliver_all(work, 1, 1, STEPS)
            least = min(least, time.thread_time() - began)
        found.append(least * 1e9 / (STEPS - 1) / side)
    messages = channels * side * DENSITY
    return found[0], found[1] / messages, found[0] / found[1] * messages, chosen[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", metavar="TEXT", help="messages whose kind holds TEXT")
    options = parser.parse_args()
    print("| channels, targets, side, kernel, stride | messages | row, ns | message, ns | equal at | threshold | of |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, sent in SENT.items():
        for shape in SHAPES:
            if options.only in name:
                row, message, equal, taken = measured(shape, sent)
                numbers = f"{row:.0f} | {message:.1f} | {equal:.0f} | {min(taken, 10**6)} | {shape[0] * shape[2]}"
                print(f"| {', '.join(map(str, shape))} | {name} | {numbers} |", flush=True)


if __name__ == "__main__":
    main()
