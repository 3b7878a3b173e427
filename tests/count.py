"""Count the tests, what they are and whether they assert anything: python tests/count.py [--json].

A property is a test that hypothesis calls with many inputs. Counted are test functions, and what pytest makes of them.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import json
import sys
import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
_ASSERTING = ("assert", "raises", "warns")


class Collected:
    """Every item that pytest finds, whatever its marks."""

    def __init__(self) -> None:
        self.items: list[Any] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.items = list(session.items)


def collect() -> list[Any]:
    """All tests, collected and not run."""
    found = Collected()
    with contextlib.redirect_stdout(io.StringIO()):
        status = pytest.main(["--collect-only", "-q", "-m", "slow or not slow", str(ROOT / "tests")], plugins=[found])
    if status != pytest.ExitCode.OK:
        raise SystemExit(f"pytest could not collect the tests: {status!r}")
    return found.items


def is_property(function: Any) -> bool:
    """Whether hypothesis draws the inputs."""
    return bool(getattr(function, "is_hypothesis_test", False))


def asserts(function: Any, depth: int = 3) -> bool:
    """Whether the function, or a helper of the tests that it calls, asserts something or expects an error."""
    inner = getattr(getattr(function, "hypothesis", None), "inner_test", function)
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(inner)))):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            helper = inner.__globals__.get(name)
            if name.startswith(_ASSERTING) or depth and _of_tests(helper) and asserts(helper, depth - 1):
                return True
    return False


def _of_tests(helper: Any) -> bool:
    return inspect.isfunction(helper) and "tests" in Path(inspect.getsourcefile(helper) or "").parts


def witnesses(name: str, item: Any) -> list[dict[str, str]]:
    """What a test is compared with: a tool that runs beside it (peer), or numbers that were recorded (golden)."""
    marks = [mark for mark in item.iter_markers() if mark.name in ("peer", "golden")]
    return [{"test": name, "kind": mark.name, "witness": ", ".join(mark.args)} for mark in marks]


def count() -> dict[str, Any]:
    """The numbers, and the names of the properties by file and of tests that assert nothing."""
    items = collect()
    functions = {f"{item.path.name}::{item.originalname}": item for item in items}
    marks: Counter[str] = Counter()
    for item in items:
        marks.update({mark.name for mark in item.iter_markers()} & {"slow", "golden", "peer"})
    properties: dict[str, list[str]] = {}
    for name, item in sorted(functions.items()):
        if is_property(item.obj):
            properties.setdefault(item.path.name, []).append(name.split("::")[1])
    return {
        "tests": len(items),
        "run_by_default": len(items) - marks["slow"],
        "functions": len(functions),
        "files": len({item.path for item in items}),
        "properties": sum(map(len, properties.values())),
        **{name: marks[name] for name in ("slow", "golden", "peer")},
        "witnesses": [row for name, item in sorted(functions.items()) for row in witnesses(name, item)],
        "asserting_nothing": sorted(name for name, item in functions.items() if not asserts(item.obj)),
        "properties_by_file": properties,
    }


def main() -> None:
    found = count()
    if "--json" in sys.argv:
        print(json.dumps(found, indent=2))  # noqa: T201  # a command
        return
    for name, value in found.items():
        print(f"{name}: {len(value) if isinstance(value, dict | list) else value}")  # noqa: T201  # a command


if __name__ == "__main__":
    main()
