"""The documents as one folder of HTML pages, without network: python -m docs.site [FOLDER] [--gallery] (default: site).

README, the pages of docs/, the lessons of examples/ and a reference of the public names from their docstrings. Made with
markdown-it-py, which rich brings, and jinja2: no tool is installed for it. Links between pages are checked while they are made.
"""

import inspect
import re
import shutil
import sys
from html import escape
from importlib import import_module
from pathlib import Path
from types import ModuleType

from jinja2 import Environment
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from docs import gallery
from docs.notebooks import lessons

ROOT = Path(__file__).parent.parent
PAGES = {  # file: page
    ROOT / "README.md": "index.html",
    **{path: f"{path.stem}.html" for path in sorted((ROOT / "docs").glob("*.md"))},
    **{ROOT / f"{name}.md": f"{name.lower()}.html" for name in ("CONTRIBUTING", "CHANGELOG")},
}
_TEMPLATE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,"><title>{{ title }}</title><style>{{ style }}
nav { columns: 12rem; font-size: .875rem; border-bottom: 1px solid var(--line); padding-bottom: .8rem; margin-bottom: 1.2rem; }
nav a { display: block; } a { color: var(--mark); } img { max-width: 100%; } main > table { display: block; overflow-x: auto; }
pre { background: var(--soft); border: 1px solid var(--line); border-radius: .3rem; padding: .6rem .8rem; overflow-x: auto; }
pre.said { white-space: pre-wrap; }
</style></head><body>
<nav>{% for name, at in links %}<a href="{{ at }}">{{ name }}</a>{% endfor %}</nav>
<main>{{ body }}</main></body></html>
"""


def build(folder: Path, with_gallery: bool = False) -> list[Path]:
    """Write all pages and return them; a gallery of live reports takes minutes.

    ValueError for a link between documents that leads nowhere.
    """
    folder.mkdir(parents=True, exist_ok=True)
    bodies = {page: rendered(path.read_text(encoding="utf-8"), path, folder) for path, page in PAGES.items()}
    for lesson in lessons():
        bodies[f"lesson-{lesson.stem}.html"] = rendered(_lesson(lesson.read_text(encoding="utf-8")), lesson, folder)
    bodies["reference.html"] = _reference()
    if with_gallery:
        bodies["gallery.html"] = gallery.build(folder)
    links = [(_title(body, page), page) for page, body in bodies.items()]
    style = (ROOT / "neuro" / "report" / "page.css").read_text(encoding="utf-8")
    template = Environment(autoescape=True).from_string(_TEMPLATE)
    for page, body in bodies.items():
        _check_anchors(page, body, bodies)
        text = template.render(title=_title(body, page), style=Markup(style), links=links, body=Markup(body))
        (folder / page).write_text(text, encoding="utf-8")
    return [folder / page for page in bodies]


def rendered(text: str, path: Path, folder: Path) -> str:
    """A document as HTML: links to documents lead to their pages, those to other files become plain; figures are copied."""
    reader = MarkdownIt("commonmark").enable("table")
    tokens = reader.parse(text)
    for at, token in enumerate(tokens):
        if token.type == "heading_open":
            token.attrSet("id", _slug(tokens[at + 1].content))
        for inner in token.children or ():
            _link(inner, path, folder)
    return str(reader.renderer.render(tokens, reader.options, {}))


def _link(token: Token, path: Path, folder: Path) -> None:
    name = {"link_open": "href", "image": "src"}.get(token.type)
    target = str(token.attrGet(name) or "") if name else ""
    if not name or not target or target.startswith(("http", "#", "data:")):
        return
    file, _, anchor = target.partition("#")
    there = (path.parent / file).resolve()
    if there in PAGES:
        token.attrSet(name, PAGES[there] + (f"#{anchor}" if anchor else ""))
    elif there.suffix == ".svg" and there.exists():
        shutil.copy(there, folder / there.name)
        token.attrSet(name, there.name)
    elif there.exists():
        token.attrs.pop(name)  # a file of the repository, which has no page
    else:
        raise ValueError(f"{path.name}: {target} leads nowhere")


def _check_anchors(page: str, body: str, bodies: dict[str, str]) -> None:
    for target in re.findall(r'href="([^"]*#[^"]+)"', body):
        file, _, anchor = target.partition("#")
        if not target.startswith("http") and f'id="{anchor}"' not in bodies[file or page]:
            raise ValueError(f"{page}: {target} leads nowhere")


def _lesson(text: str) -> str:
    """The cells of an example as a document: prose, and code in fences."""
    parts = []
    for cell in f"\n{text}".split("\n# %%")[1:]:
        head, _, body = cell.partition("\n")
        prose = "\n".join(line[2:] for line in body.strip("\n").split("\n"))
        parts.append(prose if "[markdown]" in head else f"```python\n{body.strip()}\n```")
    return "\n\n".join(parts)


def _reference() -> str:
    """Every public name with its signature and docstring."""
    parts = ['<h1 id="reference">Reference</h1>']
    for module in (import_module("neuro"), import_module("converters")):
        parts.append(f'<h2 id="{module.__name__}">{module.__name__}</h2>')
        parts += [_described(module, name) for name in sorted(module.__all__) if not name.startswith("_")]
    return "\n".join(parts)


def _described(module: ModuleType, name: str) -> str:
    value = getattr(module, name)
    try:
        signature = str(inspect.signature(value)) if callable(value) else ""
    except (TypeError, ValueError):  # of what is written in C
        signature = ""
    known = inspect.isroutine(value) or inspect.isclass(value) or inspect.ismodule(value)
    said = (inspect.getdoc(value) or "") if known else str(value)
    told = f'<pre class="said">{escape(said)}</pre>' if said else ""
    full = f"{module.__name__}.{name}"
    return f'<h3 id="{full}"><code>{full}</code></h3><pre class="said">{escape(name + signature)}</pre>{told}'


def _title(body: str, page: str) -> str:
    found = re.search(r"<h1[^>]*>(.*?)</h1>", body, re.DOTALL)
    return re.sub(r"<[^>]*>", "", found[1]) if found else page.removesuffix(".html")


def _slug(heading: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


if __name__ == "__main__":
    where = [argument for argument in sys.argv[1:] if argument != "--gallery"]
    made = build(Path(where[0] if where else "site"), with_gallery="--gallery" in sys.argv)
    print(f"{len(made)} pages in {made[0].parent}")  # noqa: T201  # a command
