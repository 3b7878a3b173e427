"""What the code is held to so that it stays readable: sizes, reasons for exceptions to the linters, models that are not asked
what they are. Limits are what the largest part needs today: lower them with it."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import neuro.neurons
import neuro.projections
from neuro.neurons.base import Neuron
from neuro.projections.base import Projection

ROOT = Path(__file__).parent.parent
LONGEST_FUNCTION = 80  # lines, docstring and signature included
LONGEST_FILE = 400
MOST_QUESTIONS = 13  # `isinstance` of models and projections outside their rooms
ANY_IN_ENGINE = 0.43  # share of annotations; kernels, which numba types, have most of them


@cache
def trees() -> dict[str, ast.Module]:
    """The files of the package by path."""
    paths = sorted(path for top in ("neuro", "converters") for path in (ROOT / top).rglob("*.py"))
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))


def test_functions_are_short() -> None:
    lengths = {
        f"{path}: {one.name}": one.end_lineno - one.lineno + 1 for path, tree in trees().items() for one in functions(tree)
    }
    assert {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION} == {}


def test_files_are_of_one_subject() -> None:
    files = [*trees(), *(path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "tests").glob("*.py")))]
    lengths = {path: (ROOT / path).read_text(encoding="utf-8").count("\n") for path in files}
    assert {path: length for path, length in lengths.items() if length > LONGEST_FILE} == {}


def test_exceptions_to_the_linters_have_a_reason() -> None:
    """`# noqa: E402  # why`; a type checker's errors and a linter's are silenced one by one, by name."""
    silenced = re.compile(r"#\s*(type: ignore|noqa)(?P<named>[\[:])?")
    for folder in ("neuro", "converters", "tests", "benchmarks", "docs", "examples"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                found = silenced.search(line)
                if found and path != Path(__file__):
                    assert found["named"], f"{path}:{number}: name the rule"
                    assert line.count("#", found.start()) > 1, f"{path}:{number}: say why behind a second #"


def test_models_and_projections_are_asked_for_facts_not_for_what_they_are() -> None:
    """A class that declares a fact is right in every place that reads it; a place that asks for a class forgets the next one."""
    rooms = (neuro.neurons, neuro.projections)
    kinds = {
        name
        for room in rooms
        for name, value in vars(room).items()
        if isinstance(value, type) and issubclass(value, Neuron | Projection)
    }
    assert {"IntegrateAndFire", "Conv2d", "Source"} <= kinds
    asked = []
    for path, tree in trees().items():
        ours = {
            alias.asname or alias.name
            for one in ast.walk(tree)
            if isinstance(one, ast.ImportFrom) and (one.module or "").startswith("neuro")
            for alias in one.names
        }
        for one in ast.walk(tree):
            if isinstance(one, ast.Call) and isinstance(one.func, ast.Name) and one.func.id == "isinstance":
                parts = list(ast.walk(one.args[1]))
                named = {part.id for part in parts if isinstance(part, ast.Name)} & ours
                named |= {  # by their module's name
                    part.attr
                    for part in parts
                    if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id in ours
                }
                if named & kinds and not path.startswith(("neuro/neurons/", "neuro/projections/")):
                    asked.append(f"{path}:{one.lineno}: {ast.unparse(one)}")
    assert len(asked) <= MOST_QUESTIONS, "\n".join(asked)


def test_the_engine_says_what_it_takes() -> None:
    """`Any` in place of a type, among the annotations of the engine's functions."""
    names = [
        ast.unparse(annotation)
        for path, tree in trees().items()
        if path.startswith("neuro/engine/")
        for one in functions(tree)
        for annotation in [one.returns, *(argument.annotation for argument in [*one.args.args, *one.args.kwonlyargs])]
        if annotation is not None
    ]
    assert len(names) > 1000
    assert names.count("Any") / len(names) <= ANY_IN_ENGINE, f"{names.count('Any')} of {len(names)}"
