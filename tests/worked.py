"""Worked examples of docs/extending.md put to work: new files become modules, changes of tables reach the tables in use.

A block behind a line that ends in "`path`:" is a new file (python) or a change of one (diff: hunks parted by @@).
"""

import re
import shutil
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "extending.md"
_BLOCK = re.compile(r"`([\w/]+\.py)`[^`\n]*:\n\n```(python|diff)\n(.*?)```", re.S)


def blocks(heading: str) -> list[tuple[str, str, str]]:
    """(path, "python" or "diff", text) of each block of a section, in order."""
    page = PAGE.read_text(encoding="utf-8")
    (section,) = (part for part in page.split("\n## ") if part.startswith(heading + "\n"))
    return [match.groups() for match in _BLOCK.finditer(section)]  # type: ignore[misc]  # three groups


def changed(path: str, diff: str) -> str:
    """The text of a file with a diff applied; each hunk must be there once."""
    text = (ROOT / path).read_text(encoding="utf-8")
    for hunk in diff.split("@@\n"):
        lines = hunk.splitlines()
        before, after = ("\n".join(line[1:] for line in lines if line[:1] in marks) + "\n" for marks in (" -", " +"))
        assert text.count(before) == 1, f"{path} does not hold this once:\n{before}"
        text = text.replace(before, after)
    return text


def install(heading: str, patch: pytest.MonkeyPatch) -> dict[str, ModuleType]:
    """Apply a section to the code in use until the patch is undone; its modules by path."""
    made: dict[str, ModuleType] = {}
    for path, kind, text in blocks(heading):
        name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        if kind == "python":
            made[path] = _executed(name, text, path)
            patch.setitem(sys.modules, name, made[path])
            patch.setattr(import_module(name.rpartition(".")[0]), name.rpartition(".")[2], made[path], raising=False)
        else:
            _extend(import_module(name), _executed(name, changed(path, text), path), patch)
    return made


def copied(heading: str, folder: Path) -> list[str]:
    """Write the package with a section applied into a folder; the paths of the section's files."""
    shutil.copytree(ROOT / "neuro", folder / "neuro", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "tests").mkdir()
    for path, kind, text in blocks(heading):
        (folder / path).write_text(text if kind == "python" else changed(path, text), encoding="utf-8")
    return [path for path, _, _ in blocks(heading)]


def _executed(name: str, text: str, path: str) -> ModuleType:
    module = ModuleType(name)
    module.__file__ = str(ROOT / path)
    replaced = sys.modules.get(name)
    sys.modules[name] = module  # dataclasses look their module up
    try:
        exec(compile(text, path, "exec"), module.__dict__)
    finally:
        if replaced is None:
            del sys.modules[name]
        else:
            sys.modules[name] = replaced
    return module


def _extend(used: ModuleType, new: ModuleType, patch: pytest.MonkeyPatch) -> None:
    """Bring what a changed module's tables hold more into those in use."""
    for name, table in vars(new).items():
        if isinstance(table, dict) and not name.startswith("__"):
            held: dict[Any, Any] = getattr(used, name)
            for key in table.keys() - held.keys():
                patch.setitem(held, key, table[key])
    if isinstance(getattr(new, "app", None), typer.Typer):  # the command line, made when it is asked for
        patch.setattr(used, "app", new.app)
