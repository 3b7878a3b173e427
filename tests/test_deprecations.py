"""Names that went: each still gives what its new name gives, and says so."""

import re
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parent.parent
_RENAMED = re.compile(r"^    (\w+) = renamed\(\"(\w+)\", \"(\w+)\"\)$", re.M)


def old_names() -> list[tuple[str, str, str]]:
    """(module, old name, new name) of every name that was kept."""
    found = []
    for package in ("neuro", "converters"):
        for path in sorted((ROOT / package).rglob("*.py")):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found += [(module, old, new) for _, old, new in _RENAMED.findall(path.read_text(encoding="utf-8"))]
    return found


def test_names_that_went_are_known() -> None:
    assert {("converters.pipeline", "recipe", "calibrated"), ("converters.diagnosis", "swaps", "ablations")} <= set(old_names())


@pytest.mark.parametrize(("module", "old", "new"), old_names())
def test_an_old_name_warns_and_gives_what_the_new_one_gives(module: str, old: str, new: str) -> None:
    (owner,) = (c for c in vars(import_module(module)).values() if isinstance(c, type) and old in vars(c))
    assert new in owner.__dataclass_fields__ or hasattr(owner, new)
    held = object()
    with pytest.warns(DeprecationWarning, match=rf"\b{new}\b"):
        assert vars(owner)[old].__get__(SimpleNamespace(**{new: held}), owner) is held
