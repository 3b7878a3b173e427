"""The engine's delivery without neurons: the same compiled kernels on the spike lists of a finished run."""

from __future__ import annotations

import time

import numpy as np

import neuro
from neuro.compiled import compiled
from neuro.encoding import by_source
from neuro.engine.advance import deliver, work_at
from neuro.engine.event import BlockJob, Worker, input_payloads
from neuro.engine.invoke import as_pointer
from neuro.engine.plan import plan_of
from neuro.engine.records import Recorder
from neuro.engine.workspace import make_workspace


@compiled
def deliver_all(work, index, samples, steps):
    """Every delivery into one population."""
    held = work_at(work)
    kernels, projections, populations, narrow, wide = held[3:8]
    contexts = as_pointer(held[14]), as_pointer(held[15])
    p = populations[index]
    synops = 0
    for sample in range(samples):
        for first in range(0, p.rows, p.block_rows):
            last = min(first + p.block_rows, p.rows)
            for t in range(steps):
                if p.start <= t < p.stop:
                    for port in range(p.ports):
                        synops += deliver(
                            p, projections, populations, kernels, narrow, wide, contexts, sample, t, 0, first, last, port
                        )
    return synops


def delivery_seconds(network: neuro.Network, inputs: np.ndarray, repeats: int) -> tuple[int, float]:
    """Synapses visited in all populations, and the processor seconds of the best repeat."""
    steps, samples = inputs.shape[1], len(inputs)
    arrays = by_source(network, inputs)
    plan = plan_of(network, input_payloads(network, arrays), steps)
    recorder = Recorder(network, samples, steps)
    workspace, worker = make_workspace(plan, samples, recorder.steps, steps), Worker(plan, recorder.steps)
    BlockJob(plan, arrays, recorder, None, None).block(workspace, [worker], None, 0, samples)
    least, synops, work = float("inf"), 0, worker.work(workspace)
    for _ in range(repeats + 1):
        start = time.thread_time()
        synops = sum(
            deliver_all(work, index, samples, recorder.steps) for index, p in enumerate(workspace.populations) if p["projections"]
        )
        least = min(least, time.thread_time() - start)
    return int(synops), least
