"""Inputs that the fuzzer found to be different from each other, fed to the readers again; and the fuzzer itself for a moment."""

import random

import pytest

from neuro.errors import NeuroError
from tests.fuzz import corpus, damaged, fuzz, mutated
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
