"""run(network, inputs, ...) -> Run: the one call behind which every engine stands."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from neuro.encoding import by_source, check_timesteps, clipped_values
from neuro.engine import event
from neuro.engine.estimate import check_memory, estimate
from neuro.engine.first import together, without_kernels
from neuro.engine.pace import Progress, within
from neuro.engine.plan import check_charges, check_steps
from neuro.engine.records import Observer, Recorder, Run, listed
from neuro.errors import EngineError, InputError, expect
from neuro.learning.checking import check_epochs, check_sent
from neuro.network import Network
from neuro.numbers import whole

if TYPE_CHECKING:
    from neuro.engine.batch.plan import Batch

ENGINES = ("event", "reference", "torch", "brian2")
LEARNING_ENGINES = ("event", "reference")


def run(
    network: Network,
    inputs: Any,
    *,
    timesteps: int | None = None,
    engine: str = "event",
    threads: int | None = None,
    record: Iterable[str] = (),
    progress: Progress | None = None,
    within_s: float | None = None,
    observe: Observer | None = None,
) -> Run:
    """Run samples through a spiking network.

    inputs: (samples, *input shape), held as the source's code says, or (samples, steps, *input shape), integers sent at
    those steps; a mapping from source names where there are several. Integers, truth values and finite floats are accepted,
    fractions where the source has a scale (see `neuro.encoding`). timesteps: the window T in which each population
    is switched on (default: the stream's length, or the window the network was made for). engine: "event" (compiled),
    "reference" (the definition, slow), "torch" (batches, on a CUDA device where there is one), "brian2" (an outside
    witness, extra `brian2`); all give the same integers. threads: of the event engine; default all processors.
    record: any of "raster", "packed" (one bit per neuron), "potentials", "traces", "logits_by_step", or one of them for one
    population, "raster:conv1", or for some of its neurons, "traces:conv1:0,5,9".
    progress(done, samples). within_s: seconds that all of it may take; a run whose first samples show that it takes longer is
    ended with TimeLimitError. observe: called block by block with every message (see `Messages`), to count without a raster.
    Real inputs beyond the calibrated range are clipped and counted in `Run.clipped`; RangeWarning where they lie far beyond.
    Raises InputError for inputs that do not fit, EngineError for what an engine cannot do exactly, MemoryLimitError before
    anything is allocated where the run cannot fit.
    """
    expect("network", network, Network, "Pass a neuro.Network, such as conversion.network", EngineError)
    if not isinstance(engine, str) or engine not in ENGINES:
        raise EngineError(f"engine {engine!r}", "there is none of that name", f"Use one of {', '.join(ENGINES)}")
    if network.learns and engine not in LEARNING_ENGINES:
        fact = "the network has projections that learn, which it cannot do"
        raise EngineError(f"engine {engine!r}", fact, f"Use one of {', '.join(LEARNING_ENGINES)}, or network.fixed()")
    arrays = by_source(network, inputs)
    window = check_timesteps(network, arrays, timesteps)
    samples = len(next(iter(arrays.values())))
    record = tuple(record) if not isinstance(record, str) else record
    check_steps(network.steps(window))
    check_epochs(network.projections, network.steps(window))
    needed = estimate(network, samples, window, engine=engine, record=record, threads=_threads(threads))
    check_memory(needed, samples, network.steps(window))
    progress = progress if within_s is None else within(within_s, progress)
    clipped = clipped_values(network, arrays)
    spared = engine == "event" and without_kernels(network, needed, samples, network.steps(window))
    if engine == "event" and not spared:
        if made := _side_by_side(network, arrays, record, window):
            from neuro.engine.batch import run as batch

            recorder = Recorder(network, samples, window, record, spikes=False)
            batch.simulate(made, arrays, recorder, threads=_threads(threads), progress=progress, observe=observe)
            return replace(recorder.finish(), clipped=clipped)
        recorder = Recorder(network, samples, window, record)
        event.simulate(network, arrays, recorder, threads=_threads(threads), observe=observe, progress=progress)
        return replace(recorder.finish(), clipped=clipped)
    payloads = event.input_payloads(network, arrays)
    check_sent(network.projections, payloads)
    check_charges(network, payloads)
    if spared:
        recorder, at_once = Recorder(network, samples, window, record), together(network, network.steps(window))
        from neuro.engine import reference

        reference.simulate(network, arrays, recorder, progress, together=at_once, observe=observe)
        return replace(recorder.finish(), clipped=clipped)
    recorder = Recorder(network, samples, window, (*record, "raster") if observe else record)
    _simulate_plainly(engine, network, arrays, recorder, progress)
    if observe:
        observe(0, {name: listed(raster) for name, raster in recorder.finish().raster.items()})
    return replace(recorder.finish(), clipped=clipped)


def _side_by_side(network: Network, arrays: Mapping[str, NDArray[Any]], record: Iterable[str], window: int) -> Batch | None:
    """The tables of a network whose samples can be run side by side; read only for networks that compute with values."""
    if not any(p.neuron.computes for p in network.populations):
        return None
    from neuro.engine.batch.plan import batch_of
    from neuro.engine.batch.run import suits

    return batch_of(network, event.input_payloads(network, arrays), window) if suits(network, arrays, record, window) else None


def _simulate_plainly(
    engine: str, network: Network, arrays: Mapping[str, NDArray[Any]], recorder: Recorder, progress: Progress | None
) -> None:
    """The engines that know nothing of blocks and threads; each is imported when it is asked for."""
    if engine == "torch":
        from neuro.engine import torch_engine

        torch_engine.simulate(network, arrays, recorder, progress)
    elif engine == "brian2":
        from neuro.engine import brian2_engine

        brian2_engine.simulate(network, arrays, recorder, progress)
    else:
        from neuro.engine import reference

        reference.simulate(network, arrays, recorder, progress)


def _threads(threads: int | None) -> int:
    if threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return whole("run", "threads", threads, 1, error=InputError)
