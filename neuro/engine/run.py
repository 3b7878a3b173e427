"""run(network, inputs, ...) -> Run: the one call behind which every engine stands."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from neuro.encoding import by_source, check_timesteps
from neuro.engine import event, reference
from neuro.engine.records import Observer, Recorder, Run, listed
from neuro.errors import EngineError
from neuro.network import Network

Progress = Callable[[int, int], None]


def run(
    network: Network,
    inputs: Any,
    *,
    timesteps: int | None = None,
    engine: str = "event",
    threads: int | None = None,
    record: Iterable[str] = (),
    progress: Progress | None = None,
    observe: Observer | None = None,
) -> Run:
    """Run samples through a spiking network.

    inputs: (samples, *input shape), held as the source's code says, or (samples, steps, *input shape), integers sent at
    those steps; a mapping from source names where there are several. timesteps: the window T in which each population
    is switched on (default: the stream's length, or the window the network was made for). record: any of "raster",
    "potentials", "traces", "logits_by_step", or one of them for one population, "raster:conv1". progress(done, samples).
    observe: called block by block with the messages of every population (see `Messages`), for counting without a raster.
    Raises InputError for inputs that do not fit, EngineError for what an engine cannot do exactly.
    """
    arrays = by_source(network, inputs)
    window = check_timesteps(network, arrays, timesteps)
    samples = len(next(iter(arrays.values())))
    recorder = Recorder(network, samples, window, (*record, "raster") if observe else record)
    if engine not in ("event", "reference"):
        raise EngineError(f"engine {engine!r}", "there is none of that name", "Use event or reference")
    if engine == "event":
        event.simulate(network, arrays, recorder, threads=threads or 1, observe=observe, progress=progress)
        return recorder.finish()
    reference.simulate(network, arrays, recorder)
    if observe:
        observe(0, {name: listed(raster) for name, raster in recorder.raster.items()})
    return recorder.finish()
