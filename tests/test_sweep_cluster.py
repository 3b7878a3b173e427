"""A sweep on a Dask cluster gives what worker processes give, and says when the cluster fails it."""

import os
import signal
import sys
from types import SimpleNamespace

import pytest
from distributed import Client, Future, LocalCluster
from distributed.scheduler import KilledWorker

import neuro
from neuro.errors import EngineError, NeuroError
from neuro.sweeping import cluster
from tests.sweeps import sweep, written

FEW = neuro.Space(("rate", "radix"), 2, weight_bits=8, chip=("loihi2", "truenorth"))


def found(folder):
    """The points of FEW in a folder that holds more."""
    return tuple(point for point in sweep(folder, resume=True).points if point.setting in FEW.settings())


@pytest.fixture
def local():
    """A scheduler and one worker in this process."""
    with LocalCluster(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=None, protocol="inproc://") as made:
        yield made


@pytest.mark.filterwarnings("default")
def test_a_cluster_measures_what_workers_do(undisturbed, local, tmp_path) -> None:
    by_address = sweep(tmp_path / "address", FEW, cluster=local.scheduler_address)
    with Client(local) as client:
        by_client = sweep(tmp_path / "client", FEW, cluster=client)
        assert client.status == "running", "it belongs to the caller"
    assert by_address.points == by_client.points == found(undisturbed)


@pytest.mark.filterwarnings("default")
def test_a_point_that_kills_workers_of_a_cluster_is_lost(local, tmp_path, monkeypatch) -> None:
    """What the scheduler says when it has given a task up, said here by the task itself."""

    def given_up(*parts) -> None:
        raise KilledWorker("task", SimpleNamespace(address="tcp://elsewhere"), 3)

    monkeypatch.setattr(cluster, "prepare", given_up)
    [point] = sweep(tmp_path, neuro.Space("rate", 2), cluster=local.scheduler_address).points
    assert point.error == "its worker process ended 4 times, the last time with no word"
    monkeypatch.undo()
    assert sweep(tmp_path, neuro.Space("rate", 2), cluster=local.scheduler_address, resume=True).failed == ()


@pytest.mark.filterwarnings("default")
def test_work_that_a_cluster_drops_ends_the_sweep_which_can_go_on(undisturbed, local, tmp_path, monkeypatch) -> None:
    measure_block = cluster.measure_block
    with Client(local) as client:

        def dropped(*block):
            client.cancel([Future(key, client) for key in client.futures if key.startswith("together")])
            return measure_block(*block)

        monkeypatch.setattr(cluster, "measure_block", dropped)
        with pytest.raises(EngineError, match="cluster: it dropped the work. See whether its scheduler runs, then resume"):
            sweep(tmp_path, FEW, cluster=client)
        monkeypatch.undo()
        assert sweep(tmp_path, FEW, cluster=client, resume=True).points == found(undisturbed)


def test_a_sweep_without_dask_says_how_to_get_it(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(NeuroError, match=r"cluster: dask is not installed. pip install 'neuro-emulator\[cluster\]'"):
        sweep(tmp_path, cluster="tcp://scheduler:8786")


def test_an_absent_cluster_is_told(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(cluster, "PATIENCE", "0.2s")
    with pytest.raises(NeuroError, match="no scheduler answers"):
        sweep(tmp_path, cluster="tcp://127.0.0.1:9")


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_cluster_gives_the_same_even_when_a_worker_is_killed(undisturbed, tmp_path) -> None:
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as local, Client(local) as client:
        sweep(tmp_path / "whole", cluster=client)
        assert written(tmp_path / "whole") == written(undisturbed)

        def kill_one(done, total) -> None:
            if done == 3:
                os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)

        sweep(tmp_path / "killed", cluster=local.scheduler_address, progress=kill_one)
        assert written(tmp_path / "killed") == written(undisturbed)
