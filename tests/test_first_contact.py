"""Small work that is done before kernels are compiled for it: plain Python takes the same steps and finds the same bits."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neuro
from neuro import compiled
from neuro.chip import chance
from neuro.chip.placing import mapping
from neuro.chip.placing.anneal import Flows, Spots, anneal, total_hops
from neuro.compiling import sparing, told
from neuro.engine import event, first, reference
from neuro.engine.estimate import estimate
from neuro.engine.records import Recorder
from tests.laws import law
from tests.networks import cases
from tests.runs import RECORD, assert_same

ROOT = Path(__file__).parent.parent
DIGITS = ROOT / "tests" / "golden" / "digits_network.safetensors"


@contextmanager
def cold() -> Iterator[list[int]]:
    """A command that finds no machine code; what is heard of it: the number of functions begun, 0 for work that goes without."""
    heard: list[int] = []
    with pytest.MonkeyPatch.context() as patched, sparing(), told(heard.append):
        patched.setattr(compiled, "ready", lambda function: False)
        yield heard


@law(40)
@given(cases(), st.integers(1, 4))
def test_samples_taken_together_are_as_alone(case, together: int) -> None:
    network, inputs, timesteps = case
    inputs = np.concatenate([inputs] * 3)[:7]
    arrays, seen = {network.sources[0].name: inputs}, []
    alone, lots = (Recorder(network, len(inputs), timesteps, RECORD) for _ in range(2))
    try:
        reference.simulate(network, arrays, alone)
    except neuro.errors.NeuroError:
        return
    reference.simulate(network, arrays, lots, together=together, observe=lambda *what: seen.append(what))
    assert_same(lots.finish(), alone.finish())
    raster = alone.finish().raster
    assert [begin for begin, _ in seen] == list(range(0, len(inputs), together))
    for begin, messages in seen:
        for name, block in messages.items():
            sent = raster[name][begin : begin + together].reshape(-1, raster[name].shape[2])
            assert np.array_equal(block.neurons, np.nonzero(sent)[1])
            assert block.payloads is None or np.array_equal(block.payloads, sent[sent != 0])


def test_a_command_that_finds_no_kernels_does_small_work_without(monkeypatch) -> None:
    network = neuro.Network.load(DIGITS)
    x = np.random.default_rng(0).random((3, 1, 8, 8))
    monkeypatch.setattr(mapping, "_MOVES", 100)
    with cold() as heard, monkeypatch.context() as never:
        never.setattr(event, "simulate", None)
        placement = neuro.place(network, neuro.load_chip("loihi2"))
        plain = neuro.emulate(placement, x, record=("logits_by_step",))
    assert set(heard) == {0}
    again = neuro.place(network, neuro.load_chip("loihi2"))
    assert all(np.array_equal(cores, again.cores[name]) for name, cores in placement.cores.items())
    usual = neuro.emulate(placement, x, record=("logits_by_step",))
    assert_same(plain.run, usual.run)
    assert np.array_equal(plain.run.logits_by_step, usual.run.logits_by_step)
    for name in (
        "spikes",
        "packets_in",
        "packets_out",
        "hops",
        "links",
        "updates",
        "driven",
        "restless",
        "each",
        "heaviest",
        "far",
    ):
        assert np.array_equal(getattr(plain.counts, name), getattr(usual.counts, name)), name
    assert plain.bill == usual.bill


def test_large_work_waits_for_kernels() -> None:
    network = neuro.Network.load(DIGITS)
    with cold() as heard:
        assert compiled.sooner(anneal, 10.0, 2.0) is anneal
        assert not first.without_kernels(network, estimate(network, 10_000), 10_000, network.steps(network.timesteps))
    assert heard == []


def test_without_a_command_nothing_is_spared(monkeypatch) -> None:
    monkeypatch.setattr(compiled, "ready", lambda function: False)
    assert compiled.sooner(anneal, 0.0, 2.0) is anneal


@law(20)
@given(st.integers(0, 2**31), st.integers(1, 12))
def test_the_search_for_places_is_the_same_in_plain_python(seed: int, groups: int) -> None:
    rng = np.random.default_rng(seed)
    traffic = np.triu(rng.random((groups + 1, groups + 1)) * (rng.random((groups + 1, groups + 1)) < 0.5), 1)
    traffic += traffic.T
    starts = np.concatenate([[0], np.cumsum((traffic != 0).sum(1))])
    flows = Flows(starts, np.nonzero(traffic)[1].astype(np.int64), traffic[traffic != 0])
    spots = Spots(*rng.integers(0, 5, (4, groups + 6)), 4.0)
    begin = np.append(rng.permutation(groups + 5)[:groups], groups + 5)
    given = (flows, spots, begin, 300, 2.0, 0.01, seed % 1000)
    found = anneal(*given)
    assert np.array_equal(compiled.plain(anneal)(*given), found)
    assert compiled.plain(total_hops)(flows, spots, found) == total_hops(flows, spots, found)


@given(st.integers(0, 2**32 - 1), st.integers(-(2**31), 2**31 - 1))
def test_keys_of_chance_are_the_same_in_plain_python(key: int, part: int) -> None:
    assert compiled.plain(chance.mixed)(key, part) == chance.mixed(key, part)


@pytest.mark.compiled
def test_a_first_command_compiles_no_kernel_of_the_engine(tmp_path) -> None:
    np.savez(tmp_path / "test.npz", x=np.random.default_rng(0).random((4, 1, 8, 8)))
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "kernels"), "PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-m", "neuro", "run", str(DIGITS), "--data", "test.npz", "--json", "found.json"]
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stderr.count("the same integers") == 1
    names = {path.name.split("-")[0] for path in tmp_path.rglob("*.nbi")}
    assert names <= {"anneal.anneal", "anneal.total_hops"}, names


@pytest.mark.compiled
def test_kernels_on_disk_are_read_without_all_that_numba_can_compile() -> None:
    """Which takes half a second to import and to register."""
    program = """
import sys
from neuro.chip.chance import mixed
assert mixed(1, 2) == mixed.py_func(1, 2)
print("numba.np.linalg" in sys.modules)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    shown = [subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True) for _ in range(2)]
    assert shown[1].stdout == "False\n", shown[1].stderr
