"""Imports go only downward, torch and matplotlib stay in their rooms."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = [
    {
        "errors",
        "sourced",
        "bill",
        "specification",
        "units",
        "notebook",
        "compiled",
        "reading",
        "memory",
        "windows",
        "locating",
        "pickles",
    },
    {"graph", "network", "neurons", "dynamics", "projections", "encoding", "files", "weights"},
    {"engine"},
    {"chip"},
    {"machines"},
    {"comparison", "metrics", "sweeping", "keywords", "digits"},
    {"report"},
    {"cli", "__main__"},
]
TORCH = ("neuro/engine/torch_engine.py", "neuro/keywords/model.py", "neuro/digits/model.py", "converters/")


def floor(room: str) -> int:
    return next(i for i, rooms in enumerate(FLOORS) if room in rooms)


def modules() -> list[Path]:
    return sorted(p for top in ("neuro", "converters") for p in (ROOT / top).rglob("*.py"))


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_every_room_has_a_floor() -> None:
    rooms = {p.relative_to(ROOT / "neuro").parts[0].removesuffix(".py") for p in (ROOT / "neuro").rglob("*.py")}
    assert rooms - {"__init__"} <= set().union(*FLOORS)


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_downward(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    for imported in imports(path):
        parts = imported.split(".")
        if name.startswith("neuro/") and parts[0] == "neuro" and len(parts) > 1 and name != "neuro/__init__.py":
            room = path.relative_to(ROOT / "neuro").parts[0].removesuffix(".py")
            if parts[1] in set().union(*FLOORS):
                assert floor(parts[1]) <= floor(room), f"{name} imports {imported}, which lies above it"
        if name.startswith("converters/") and parts[0] == "neuro" and len(parts) > 1:
            assert parts[1] in FLOORS[0] | FLOORS[1] | FLOORS[2], f"{name} imports {imported}"
        if name.startswith("neuro/") and parts[0] == "converters":
            assert name.startswith(("neuro/cli", "neuro/sweeping/", "neuro/keywords/")), f"{name} imports {imported}"
        if parts[0] == "torch":
            assert name.startswith(TORCH), f"{name} imports torch"
        if parts[0] == "matplotlib":
            assert name.startswith("neuro/report/"), f"{name} imports matplotlib"
