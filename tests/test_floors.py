"""Imports go only downward and never in a circle, torch and matplotlib stay in their rooms."""

import ast
from collections.abc import Collection
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from neuro.compiled import sources

ROOT = Path(__file__).parent.parent
FLOORS = [
    {"errors", "sourced", "frozen", "bill", "specification", "units", "notebook", "compiled", "compiling", "reading", "memory"}
    | {"components", "windows", "numbers", "locating", "pickles", "codes", "functions", "hdf5"},
    {
        "weights",
        "files",
        "bundles",
        "oprows",
        "threads",
        "valueops",
        "ops",
        "graph",
        "network",
        "neurons",
        "projections",
        "encoding",
        "events",
        "framewise",
        "learning",
    },
    {"engine"},
    {"chip"},
    {"machines"},
    {"comparison", "metrics", "faultcurves", "sweeping", "optimising", "keywords", "digits", "folders", "serving"},
    {"rivals", "verdict"},
    {"report"},
    {"studies"},
    {"cli", "__main__"},
]
CHIP_FLOORS = [
    {"spec", "files", "schema", "chance", "faultspec"},
    {"cutting"},
    {"mesh"},
    {"placing"},
    {"tally", "counts", "pricing", "account"},
    {"packets", "faults"},
    {"emulator"},
]
CONVERTER_FLOORS = [
    {
        "cells",
        "codes",
        "contracting",
        "delivery",
        "drawing",
        "evaluation",
        "folding",
        "frames",
        "fronts",
        "integrating",
        "linear",
        "modules",
        "naming",
        "operators",
        "opmath",
        "samples",
        "states",
        "tracing",
        "trinary",
        "valuemath",
    },
    {"calibration", "inputs", "integers", "observations", "reconstruction", "stages", "stepping"},
    {"balance", "convertible", "formats", "frontend", "importance", "lifting", "quantised", "values"},
    {"coding", "finetuning", "optimising", "lava_files", "nir_files", "onnx_files"},
    {"advice", "bottlenecks", "convertible", "correction", "pooling"},
    {"building"},
    {"ablations", "choosing"},
    {"diagnosis", "options"},
    {"agreement", "valuediagnosis"},
    {"crosschecking"},
    {"valuenetwork"},
    {"pipeline"},
]
TORCH = ("neuro/threads.py", "neuro/engine/torch_engine.py", "neuro/keywords/model.py", "neuro/digits/model.py", "converters/")


def floor(room: str, floors: list[set[str]] = FLOORS) -> int:
    return next(i for i, rooms in enumerate(floors) if room in rooms)


def rooms_of(folder: Path) -> set[str]:
    return {p.relative_to(folder).parts[0].removesuffix(".py") for p in folder.rglob("*.py")} - {"__init__"}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def modules() -> list[Path]:
    return sorted(p for top in ("neuro", "converters") for p in (ROOT / top).rglob("*.py"))


def imports(path: Path) -> set[str]:
    """What a file imports, inside functions and for type checkers too: modules, or module.name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} has a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def file_of(imported: str, known: Collection[str]) -> str:
    """The module that an import leads to, or "" where it is none of those known."""
    return next((name for name in (imported, imported.rpartition(".")[0]) if name in known), "")


def test_every_room_has_a_floor() -> None:
    assert rooms_of(ROOT / "neuro") == set().union(*FLOORS)
    assert rooms_of(ROOT / "neuro" / "chip") == set().union(*CHIP_FLOORS)
    assert rooms_of(ROOT / "converters") == set().union(*CONVERTER_FLOORS)


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_downward(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    for imported in imports(path):
        parts = imported.split(".")
        if name.startswith("neuro/") and parts[0] == "neuro" and len(parts) > 1 and name != "neuro/__init__.py":
            room = path.relative_to(ROOT / "neuro").parts[0].removesuffix(".py")
            if parts[1] in set().union(*FLOORS):
                assert floor(parts[1]) <= floor(room), f"{name} imports {imported}, which lies above it"
            if room == parts[1] == "chip" and path.name != "__init__.py" and len(parts) > 2:
                inner = path.relative_to(ROOT / "neuro" / "chip").parts[0].removesuffix(".py")
                assert floor(parts[2], CHIP_FLOORS) <= floor(inner, CHIP_FLOORS), f"{name} imports {imported}, above it"
        if name.startswith("converters/") and parts[0] == "neuro" and len(parts) > 1:
            assert parts[1] in FLOORS[0] | FLOORS[1] | FLOORS[2], f"{name} imports {imported}"
        if name.startswith("converters/") and parts[0] == "converters" and name != "converters/__init__.py":
            inner = path.relative_to(ROOT / "converters").parts[0].removesuffix(".py")
            assert floor(parts[1], CONVERTER_FLOORS) <= floor(inner, CONVERTER_FLOORS), f"{name} imports {imported}, above it"
        if name.startswith("neuro/") and parts[0] == "converters":
            assert name.startswith(("neuro/cli", "neuro/studies/", "neuro/sweeping/", "neuro/optimising/", "neuro/keywords/")), (
                f"{name} imports {imported}"
            )
        if parts[0] == "torch":
            assert name.startswith(TORCH), f"{name} imports torch"
        if parts[0] == "matplotlib":
            assert name.startswith("neuro/report/"), f"{name} imports matplotlib"


def test_tests_share_no_test_module() -> None:
    """What several test modules need lies in a module of helpers: importing a test module collects its tests twice."""
    for path in sorted((ROOT / "tests").rglob("*.py")):
        assert not any(imported.startswith("tests.test_") for imported in imports(path)), path


def test_imports_make_no_circle() -> None:
    """Imports inside functions and for type checkers only count too: what needs them is one thing in two files."""
    paths = {module_name(path): path for path in modules() if path != ROOT / "neuro" / "__init__.py"}
    TopologicalSorter({name: {file_of(one, paths) for one in imports(path)} - {""} for name, path in paths.items()}).prepare()


def test_kernels_assign_no_slice_to_a_slice() -> None:
    """Shapes that do not match are reported by code that writes texts: numba compiles some forty functions for it, 4 s."""
    found = 0
    for path in modules():
        for function in kernels_of(path):
            found += 1
            assigned = [one for one in ast.walk(function) if isinstance(one, ast.Assign)]
            lines = [one.lineno for one in assigned if has_slice(one.targets[0]) and has_slice(one.value)]
            assert not lines, f"{path}, lines {lines}: write a loop"
    assert found > 50


def kernels_of(path: Path) -> list[ast.FunctionDef]:
    """The compiled functions of a file."""
    text = path.read_text(encoding="utf-8")
    functions = [one for one in ast.parse(text).body if isinstance(one, ast.FunctionDef)] if "neuro.compiled" in text else []
    marks = {"compiled", "inner", "addressed", "recompiled"}
    return [one for one in functions if marks & {ast.unparse(mark) for mark in one.decorator_list}]


def has_slice(part: ast.AST) -> bool:
    return any(isinstance(one, ast.Slice) for one in ast.walk(part))


def test_kernels_call_kernels_only_of_files_that_their_cache_watches() -> None:
    """A kernel on disk is out of date when one that it calls has changed; `neuro.compiled` looks at these files."""
    paths = {module_name(path): path for path in modules()}
    kernels = {name for name, path in paths.items() if "neuro.compiled" in {file_of(one, paths) for one in imports(path)}}
    assert {"neuro.chip.faults.losses", "neuro.chip.chance", "neuro.engine.kernels"} <= kernels
    for name in kernels:
        called = {paths[other] for other in {file_of(one, kernels) for one in imports(paths[name])} - {""}}
        assert called <= set(sources(paths[name])), f"kernels of {name} may be out of date when others change"
