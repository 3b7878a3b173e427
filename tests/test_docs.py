"""The documentation names what there is: keys of result.json, sections of the page, commands, files."""

import json
import re
from pathlib import Path

import pytest

from neuro.cli import app

DOCS = Path(__file__).parent.parent / "docs"


def test_every_key_of_the_result_is_explained(demo) -> None:
    page = (DOCS / "command_line.md").read_text().split("## result.json")[1]
    explained = {
        key for line in page.splitlines() if line.startswith("| `") for key in re.findall(r"`(\w+)`", line.split("|")[1])
    }
    found = json.loads((demo / "result.json").read_text())
    assert explained == set(found)
    assert all(f"`{key}`" in page for row in found["comparison"] for key in row)


def test_every_section_of_the_page_is_explained(demo) -> None:
    told = re.findall(r"<h2>(.*?)</h2>", (demo / "report.html").read_text())
    page = (DOCS / "report.md").read_text()
    for title in told:
        assert title.split(":")[0] in page


def test_every_command_is_explained() -> None:
    page = (DOCS / "command_line.md").read_text()
    commands = {command.callback.__name__ for command in app.registered_commands if command.callback}
    for name in commands | {group.name for group in app.registered_groups}:
        assert f"`neuro {name}" in page


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda path: path.name)
def test_links_lead_somewhere(page) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert (page.parent / target).exists() or target.startswith("http"), target


def test_the_tables_of_formats_are_as_the_code_makes_them() -> None:
    from docs.refresh_formats import PAGE, refreshed

    quick = ("operators", "readings")  # that of node tests: tests/test_onnx_witnesses.py
    assert refreshed(PAGE.read_text(), quick) == PAGE.read_text()
