"""The engine's delivery without neurons: the same compiled kernels on the spike lists of a finished run."""

from __future__ import annotations

import time

import numpy as np

import neuro
from neuro.compiled import compiled
from neuro.encoding import by_source
from neuro.engine.advance import deliver
from neuro.engine.event import BlockJob, Worker, calls_of, input_payloads
from neuro.engine.invoke import pointer_to
from neuro.engine.plan import plan_of
from neuro.engine.records import Recorder
from neuro.engine.workspace import make_workspace


@compiled
def deliver_all(p, projections, populations, kernels, arenas, workspace, accumulators, samples, steps):
    """Every delivery into one population."""
    narrow, wide, reach, spread_narrow, spread_wide, sources, _ = accumulators
    contexts = (
        pointer_to((narrow, wide, spread_narrow, arenas, workspace, reach, sources)),
        pointer_to((wide, wide, spread_wide, arenas, workspace, reach, sources)),
    )
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
    BlockJob(plan, arrays, recorder, None).block(workspace, [worker], None, 0, samples)
    least, synops = float("inf"), 0
    for _ in range(repeats + 1):
        start = time.thread_time()
        synops = sum(
            deliver_all(
                p,
                plan.projections,
                workspace.populations,
                calls_of(plan).deliver,
                plan.arenas,
                workspace.spikes,
                worker.scratch,
                samples,
                recorder.steps,
            )
            for p in workspace.populations
            if p["projections"]
        )
        least = min(least, time.thread_time() - start)
    return int(synops), least
