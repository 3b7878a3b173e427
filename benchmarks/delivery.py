"""The engine's delivery without neurons: the same compiled kernels on the spike lists of a finished run."""

from __future__ import annotations

import time

import numpy as np

import neuro
from neuro.compiled import compiled
from neuro.encoding import by_source
from neuro.engine.advance import deliver
from neuro.engine.event import BlockJob, Worker, input_payloads
from neuro.engine.plan import plan_of
from neuro.engine.records import Recorder
from neuro.engine.workspace import make_workspace


@compiled
def deliver_all(p, projections, populations, arenas, workspace, accumulators, samples, steps):
    """Every delivery into one population."""
    lists, payloads, begins, ends = workspace
    synops = 0
    for sample in range(samples):
        for first in range(0, p.rows, p.block_rows):
            last = min(first + p.block_rows, p.rows)
            for t in range(steps):
                if p.start <= t < p.stop:
                    synops += deliver(
                        p,
                        projections,
                        populations,
                        arenas,
                        lists,
                        payloads,
                        begins,
                        ends,
                        accumulators,
                        sample,
                        t,
                        0,
                        first,
                        last,
                    )
    return synops


def delivery_seconds(network: neuro.Network, inputs: np.ndarray, repeats: int) -> tuple[int, float]:
    """Synapses visited in all populations, and the processor seconds of the best repeat."""
    steps, samples = inputs.shape[1], len(inputs)
    arrays = by_source(network, inputs)
    plan = plan_of(network, input_payloads(network, arrays), steps)
    recorder = Recorder(network, samples, steps)
    workspace, worker = make_workspace(plan, samples, recorder.steps, steps), Worker(plan, recorder.steps)
    BlockJob(plan, arrays, recorder, None).block(workspace, [worker], None, 0, samples)
    least, synops = float("inf"), 0
    for _ in range(repeats + 1):
        start = time.thread_time()
        synops = sum(
            deliver_all(
                p, plan.projections, workspace.populations, plan.arenas, workspace.spikes, worker.scratch, samples, recorder.steps
            )
            for p in workspace.populations
            if p["projections"]
        )
        least = min(least, time.thread_time() - start)
    return int(synops), least
