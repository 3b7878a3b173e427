"""The tool that changes the code: its verdicts are about mutants that there are, and each mutant differs from the code."""

import ast
import json

import pytest

from tests.mutants import LOOKED_AT, ROOT, TESTS, mutant, places

SAMPLE = '''
def outer(x: int = 0) -> int:
    """Says 3."""
    if x > 1 and x < 9:
        x += 1
        x += 1
    print(x)
    return min(x[0], x[0])
'''


def test_every_change_has_a_name_of_its_own() -> None:
    found = places(SAMPLE)
    names = [place["name"] for place in found]
    assert len(set(names)) == len(names)
    assert [place["name"] for place in found if place["line"] == 6] == [
        "outer: x += 1: x += 1 -> x -= 1 (2)",
        "outer: x += 1: without x += 1 (2)",
        "outer: x += 1: 1 -> 2 (2)",
    ]
    assert not any("annotation" in name or "Says" in name for name in names)


def test_mutants_differ_from_the_code_and_from_each_other() -> None:
    tree = ast.parse(SAMPLE)
    texts = [ast.unparse(mutant(tree, number)) for number in range(len(places(SAMPLE)))]
    assert ast.unparse(tree) not in texts
    assert len(set(texts)) == len(texts) == 17
    assert ast.unparse(tree) == ast.unparse(ast.parse(SAMPLE))


@pytest.mark.parametrize("module", TESTS)
def test_every_verdict_is_about_a_mutant_that_there_is(module: str) -> None:
    looked_at = [key.removeprefix(f"{module}, ") for key in json.loads(LOOKED_AT.read_text()) if key.startswith(f"{module}, ")]
    assert {place["name"] for place in places((ROOT / module).read_text())} >= set(looked_at)


def test_every_verdict_names_its_module() -> None:
    assert {key.partition(", ")[0] for key in json.loads(LOOKED_AT.read_text())} <= set(TESTS)
