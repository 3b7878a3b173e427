"""Inputs that the fuzzer found to be different from each other, fed to the readers again; and the fuzzer itself for a moment."""

import random
import signal
import time
from pathlib import Path

import pytest

from neuro import compiling
from neuro.errors import NeuroError
from tests.fuzz import TooLong, corpus, damaged, fuzz, mutated, outcome
from tests.hostile import READERS, write_good


@pytest.mark.parametrize("reader", READERS)
def test_what_the_fuzzer_found_is_taken_or_refused(reader: str, tmp_path) -> None:
    name, read = READERS[reader]
    refusals = 0
    for content in corpus(reader):
        (tmp_path / name).write_bytes(content)
        try:
            read(tmp_path / name)
        except NeuroError:
            refusals += 1
    assert refusals > 0


@pytest.mark.parametrize("reader", READERS)
def test_a_moment_of_fuzzing_finds_no_failure(reader: str, tmp_path) -> None:
    write_good(reader, tmp_path / READERS[reader][0])
    good, rng = (tmp_path / READERS[reader][0]).read_bytes(), random.Random(1)
    assert len({damaged(rng, good, [good]) for _ in range(20)}) > 10
    assert mutated(random.Random(2), READERS[reader][0], good, [good]) == mutated(
        random.Random(2), READERS[reader][0], good, [good]
    )
    found = fuzz(reader, 30, 1, tmp_path)
    assert found["failures"] == {}
    assert found["inputs"] == found["taken"] + found["refused"] == 30
    assert found["refused"] > 0


def test_only_readers_that_wait_for_the_compiler_may_take_long() -> None:
    def busy(path: Path) -> None:
        until = time.process_time() + 0.2
        while time.process_time() < until:
            pass

    def compiling_first(path: Path) -> None:
        compiling.tell(1)
        busy(path)

    def stop(*_: object) -> None:
        raise TooLong

    before = signal.signal(signal.SIGPROF, stop)
    try:
        found = [outcome(read, Path("any"), limit_s=0.05) for read in (busy, compiling_first)]
    finally:
        signal.signal(signal.SIGPROF, before)
    assert found == ["FAILED: more than a second", "taken"]
