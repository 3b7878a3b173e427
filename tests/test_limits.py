"""What a run needs is known before it begins, and what cannot fit is refused with the numbers before memory is taken."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neuro
from neuro import memory
from neuro.cli.output import working
from neuro.engine import estimate as estimates
from neuro.engine import pace, torch_engine
from neuro.engine.estimate import estimate
from neuro.engine.records import Recorder, recorded_bytes
from neuro.errors import InputError, MemoryLimitError, TimeLimitError
from tests.chips import random_inputs, random_network, small
from tests.commands import here
from tests.interrupted import prepare_run

RECORDS = ("raster", "packed", "potentials", "traces", "logits_by_step")


def peak_of(work: Callable[[], Any]) -> int:
    """Bytes that some work takes at most, beyond what was taken before."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@given(seed=st.integers(0, 30), samples=st.integers(1, 40), record=st.sets(st.sampled_from(RECORDS)))
def test_the_bytes_of_results_are_those_of_the_arrays(seed: int, samples: int, record: set[str]) -> None:
    network = random_network(seed)
    recorder = Recorder(network, samples, 7, tuple(record))
    arrays = [
        *recorder.spikes.values(),
        *recorder.potentials.values(),
        *(a for kept in recorder._kept.values() for a in kept.values()),
    ]
    counted = sum(getattr(counts, name).nbytes for counts in recorder.counts.values() for name in counts.__slots__)
    later = sum(p.size for p in network.readouts) * samples * 7 * 12 if "logits_by_step" in record else 0
    assert recorded_bytes(network, samples, 7, tuple(record)) == sum(array.nbytes for array in arrays) + counted + later


@pytest.mark.parametrize("engine", ["event", "reference", "torch"])
@pytest.mark.parametrize("record", [(), ("raster",), ("traces", "logits_by_step")], ids=str)
def test_a_run_takes_no_more_than_is_estimated(engine: str, record: tuple[str, ...]) -> None:
    network, samples, steps = random_network(3), 64, 12
    inputs = random_inputs(network, samples, 0)
    neuro.run(network, inputs[:1], timesteps=steps, engine=engine, threads=1)  # compiled, imported
    again = neuro.Network(network.populations, network.projections)
    peak = peak_of(lambda: neuro.run(again, inputs, timesteps=steps, engine=engine, threads=1, record=record))
    needed = estimate(network, samples, steps, engine=engine, record=record)
    assert peak < needed.total_bytes + (1 << 20)  # what does not grow with the network
    assert needed.updates == samples * sum(p.size * p.neuron.active_steps(steps) for p in network.populations)


def big(size: int) -> neuro.Network:
    """A network whose file is small and whose neurons are many."""
    populations = (
        neuro.Population("in", (size,), neuro.Source("rate", levels=7)),
        neuro.Population("out", (size,), neuro.IntegrateAndFire(3, start_step=1)),
    )
    return neuro.Network(populations, (neuro.OneToOne("in", "out"),), timesteps=10)


@pytest.mark.parametrize("engine", ["event", "reference", "torch"])
def test_a_run_that_cannot_fit_is_refused_with_the_numbers(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    neuro.run(big(4), np.ones((1, 4), np.uint8), engine=engine, threads=1)  # imported
    monkeypatch.setenv("NEURO_MEMORY_BYTES", "20000000")
    network, inputs = big(100_000), np.ones((1, 100_000), np.uint8)

    def refused() -> None:
        with pytest.raises(MemoryLimitError, match=r"1 samples and 11 steps: .* need .* GB, 0.02 GB are free. Run fewer samples"):
            neuro.run(network, inputs, engine=engine, threads=1)

    assert peak_of(refused) < 1 << 20
    small_run = neuro.run(big(1_000), np.ones((1, 1_000), np.uint8), engine=engine, threads=1)
    assert small_run.samples == 1


def test_a_network_that_cannot_be_placed_is_refused_with_the_numbers() -> None:
    network = big(2**31 - 1)
    with pytest.raises(MemoryLimitError, match=r"4,294,967,294 neurons and 2,147,483,647 synapses need .* GB"):
        neuro.place(network, small())


def test_counts_that_cannot_be_held_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    network = random_network(1)
    placement = neuro.place(network, small())
    monkeypatch.setattr("neuro.memory.available_bytes", lambda: 10_000_000)
    with pytest.raises(MemoryLimitError, match="counting .* steps on .* cores: its tables need"):
        neuro.emulate(network, placement, random_inputs(network, 1, 0), timesteps=5)


def test_the_memory_of_machines_and_containers_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 10 kB\nMemAvailable: 7 kB\n")
    assert memory._free(str(tmp_path / "meminfo")) == 7 * 1024
    assert memory._free(str(tmp_path / "gone")) is None
    for name, text in (("memory.max", "1000\n"), ("memory.current", "700\n"), ("memory.stat", "anon 5\ninactive_file 50\n")):
        (tmp_path / name).write_text(text)
    assert memory._left("memory.max", "memory.current", "inactive_file", tmp_path) == 350
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._left("memory.max", "memory.current", "inactive_file", tmp_path) is None
    assert memory._left("gone", "memory.current", "inactive_file", tmp_path) is None
    monkeypatch.setenv("NEURO_MEMORY_BYTES", "123")
    assert memory.available_bytes() == 123
    monkeypatch.setenv("NEURO_MEMORY_BYTES", "much")
    assert memory.available_bytes() != 123


def test_where_memory_is_not_known_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: None)
    memory.check_fits("here", 1 << 60, "many arrays")
    assert memory.gigabytes(1.5e9) == "1.5 GB"


class Clock:
    """A clock that goes on by `tick_s` whenever it is looked at."""

    def __init__(self, *ticks_s: float) -> None:
        self.ticks, self.now = list(ticks_s), 0.0

    def __call__(self) -> float:
        self.now += self.ticks.pop(0) if len(self.ticks) > 1 else self.ticks[0]
        return self.now


@given(first_s=st.floats(0, 100), each_s=st.floats(0.001, 10), block=st.integers(1, 9), blocks=st.integers(2, 30))
def test_work_at_an_even_pace_is_foreseen_from_its_second_piece_on(
    first_s: float, each_s: float, block: int, blocks: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pace, "CLOCK", Clock(0, first_s, each_s))
        work = pace.Pace()
        expected = [work.expected_s(block * (i + 1), block * blocks) for i in range(blocks)]
    assert expected[0] is None
    assert expected[1:] == pytest.approx([first_s + each_s * (blocks - 1)] * (blocks - 1))


def test_no_pace_is_known_before_something_more_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "CLOCK", Clock(1))
    work = pace.Pace()
    assert [work.expected_s(done, 10) for done in (0, 0, 0)] == [None] * 3
    assert work.expected_s(5, 10) == 4 + 5 * 3 / 5  # begun at 1, first heard of at 2, five done at 5


def test_a_log_is_told_once_what_takes_long(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(pace, "CLOCK", Clock(0, 10))
    with working("loading") as work:
        for piece, samples in (("running 5 samples", 5), ("running 90 samples", 90)):
            monkeypatch.setattr(pace, "CLOCK", Clock(0, 10))
            work.step(piece)
            for done in range(1, samples + 1):
                work.advance(done, samples)
    with working("loading", quiet=True) as work:
        for done in range(1, 90):
            work.advance(done, 90)
    assert capsys.readouterr() == ("", "neuro: running 90 samples: about 15 min\n")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside Brian2
@pytest.mark.parametrize("engine", ["event", "reference", "torch", "brian2"])
def test_a_run_that_takes_too_long_is_ended_with_the_numbers(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if engine == "brian2":
        pytest.importorskip("brian2", exc_type=ImportError)
    monkeypatch.setattr("neuro.engine.estimate.BLOCK_SAMPLES", 1)
    monkeypatch.setattr(torch_engine, "BATCH_BYTES", 1)
    monkeypatch.setattr(pace, "CLOCK", Clock(0, 5, 2))
    network, inputs, heard = big(4), np.ones((100, 4), np.uint8), []
    told = r"a run of 100 samples: it needs about 203 s as 2 of them show, 200 s are allowed\. Run fewer samples"
    with pytest.raises(TimeLimitError, match=told):
        neuro.run(network, inputs, engine=engine, threads=1, progress=lambda *said: heard.append(said), within_s=200)
    assert heard == [(1, 100)]
    monkeypatch.setattr(pace, "CLOCK", Clock(0, 5, 2))
    assert neuro.run(network, inputs[:3], engine=engine, threads=1, within_s=9).samples == 3


def test_blocks_that_were_to_come_are_not_run_when_the_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuro.engine.estimate.BLOCK_SAMPLES", 1)
    monkeypatch.setattr(pace, "CLOCK", Clock(0, 1, 10))
    network, seen = big(5_000), []
    with pytest.raises(TimeLimitError):
        neuro.run(network, np.ones((300, 5_000), np.uint8), threads=2, within_s=1, observe=lambda first, _: seen.append(first))
    assert len(seen) < 300


@pytest.mark.parametrize("limit", [0, -1, float("nan")])
def test_a_time_limit_is_a_positive_number(limit: float) -> None:
    with pytest.raises(InputError, match="within_s"):
        neuro.run(big(4), np.ones((1, 4), np.uint8), within_s=limit)


def test_a_placed_run_has_the_same_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuro.engine.estimate.BLOCK_SAMPLES", 1)
    monkeypatch.setattr(pace, "CLOCK", Clock(0, 5, 2))
    network = big(4)
    with pytest.raises(TimeLimitError, match="200 s are allowed"):
        neuro.emulate(network, neuro.place(network, small()), np.ones((100, 4), np.uint8), threads=1, within_s=200)


def test_the_command_has_a_time_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("neuro.engine.estimate.BLOCK_SAMPLES", 1)
    prepare_run(tmp_path)
    asked = ("run", "net.safetensors", "--data", "data.npz", "--quiet", "--json", "found.json", "--within")
    status, out, errors = here(monkeypatch, capsys, tmp_path, *asked, "1e-9")
    assert (status, out) == (2, "")
    assert errors.startswith("neuro: a run of 6 samples: it needs about ")
    assert not (tmp_path / "found.json").exists()
    assert here(monkeypatch, capsys, tmp_path, *asked, "1e9") == (0, "", "")
    assert here(monkeypatch, capsys, tmp_path, *asked, "0")[0] == 2


def test_a_second_run_looks_at_no_weight_to_estimate_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    network, seen = big(4), []
    magnitude = estimates.magnitude
    monkeypatch.setattr(estimates, "magnitude", lambda values: seen.append(values.size) or magnitude(values))
    first = estimate(network, 2, 3)
    assert seen
    seen.clear()
    assert estimate(network, 2, 3) == first
    assert not seen
