"""The same work on a Dask cluster: each point's conversion is one task, each block of its samples another.

What tasks need is handed to them as arguments, so that the scheduler can have any of them done again elsewhere when a worker
dies. Only an address or a client is known here; how the cluster was made is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from neuro.errors import EngineError, NeuroError
from neuro.sweeping.journal import Record
from neuro.sweeping.measure import blocks, measure_block, prepare, reason_for, together
from neuro.sweeping.pool import Job
from neuro.sweeping.subject import SweepSubject

PATIENCE = "10s"  # for a scheduler to answer
_AT_ONCE = 64  # points: what is under way is kept in the scheduler's memory


class Cluster:
    """A client with the subject's data at hand."""

    def __init__(self, client: Any, subject: SweepSubject) -> None:
        self._client = client
        self._network = client.submit(_hold, subject.graph, subject.calibration, pure=False)
        some = list(blocks(len(subject.inputs)))
        self._data = [client.submit(_hold, subject.inputs[s], subject.labels[s], pure=False) for s in some]

    def measure(self, jobs: Sequence[Job]) -> Iterator[Record]:
        """The records of all jobs, as they come in."""
        from distributed import as_completed

        waiting = list(reversed(jobs))
        of: dict[Any, Job] = {}
        done = as_completed()
        while waiting or of:
            while waiting and len(of) < _AT_ONCE:
                job = waiting.pop()
                future = self._submit(job)
                of[future] = job
                done.add(future)
            future = next(done)
            yield self._record(future, of.pop(future))

    def _submit(self, job: Job) -> Any:
        placed = self._client.submit(_prepared, self._network, job.setting, job.chip, pure=False)
        parts = [self._client.submit(_block, placed, data, pure=False) for data in self._data]
        return self._client.submit(together, parts, pure=False)

    def _record(self, future: Any, job: Job) -> Record:
        from distributed.scheduler import KilledWorker

        about = {"key": job.key, "setting": asdict(job.setting)}
        try:
            return {**about, "measured": asdict(future.result())}
        except CancelledError:
            raise EngineError("cluster", "it dropped the work", "See whether its scheduler runs, then resume") from None
        except KilledWorker:
            return job.lost("no word")
        except Exception as error:  # noqa: BLE001  # a bad point must not stop the others
            return {**about, "error": reason_for(error)}


def _hold(*parts: Any) -> tuple[Any, ...]:
    return parts


def _prepared(network: tuple[Any, Any], setting: Any, chip: Any) -> Any:
    from converters.pipeline import Conversions

    return prepare(Conversions(*network), setting, chip)


def _block(placement: Any, data: tuple[Any, Any]) -> Any:
    return measure_block(placement, *data)


@contextmanager
def connected(where: Any) -> Iterator[Any]:
    """A client of the cluster at a scheduler's address; a `dask.distributed.Client` is taken as it is, and stays open."""
    try:
        from distributed import Client
    except ModuleNotFoundError:
        raise NeuroError("cluster", "dask is not installed", "pip install 'neuro-emulator[cluster]'") from None
    if isinstance(where, Client):
        yield where
        return
    try:
        client = Client(str(where), timeout=PATIENCE)
    except (OSError, ValueError, TimeoutError) as error:
        raise NeuroError(f"cluster {where!r}", f"no scheduler answers ({reason_for(error)})", "Check its address") from None
    with client:
        yield client


@contextmanager
def cluster(where: Any, subject: SweepSubject) -> Iterator[Cluster]:
    """The cluster at an address, or of a client, with the subject's data."""
    with connected(where) as client:
        yield Cluster(client, subject)
