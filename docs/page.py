"""Tables in Markdown, and where they stand on a page: between `<!-- name -->` and `<!-- end -->`."""

from __future__ import annotations

from collections.abc import Sequence


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "/") for cell in line) + " |" for line in lines)


def put(page: str, name: str, text: str) -> str:
    """The page with a text between its marks. Raises ValueError where they are not there."""
    before, rest = page.split(f"<!-- {name} -->\n")
    _, after = rest.split("<!-- end -->", 1)
    return f"{before}<!-- {name} -->\n{text}\n<!-- end -->{after}"
