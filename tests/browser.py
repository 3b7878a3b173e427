"""A headless Chromium that says what a page does: what it draws, logs and asks for. Used by tests only."""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from html import escape, unescape
from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-sync",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--hide-scrollbars",
    "--enable-logging=stderr",
)
_PROBE = """<script>addEventListener("load", () => {
  const seen = [...document.querySelectorAll("figure svg")].map(svg => {
    const box = svg.getBoundingClientRect();
    const shapes = svg.querySelectorAll("path,use,text").length;
    return {label: svg.getAttribute("aria-label"), width: box.width, height: box.height, shapes};
  });
  const style = getComputedStyle(document.body);
  const found = {figures: seen, width: document.documentElement.scrollWidth, ink: style.color, back: style.backgroundColor,
    requests: performance.getEntriesByType("resource").map(r => r.name)};
  const note = parent.document.createElement("pre"); note.id = "probe"; note.textContent = JSON.stringify(found);
  parent.document.body.append(note);
});</script>"""  # a frame, because a window cannot be as narrow as a telephone
_FRAME = """<!doctype html><meta charset="utf-8"><body>
<iframe style="width:{width}px;height:900px;border:0" srcdoc="{page}"></iframe></body>"""


@dataclass(frozen=True)
class Seen:
    """What the browser saw: figures with their boxes, page width, colours, requests, and what it wrote to its console."""

    figures: list[dict[str, float]]
    width: float
    ink: str
    back: str
    requests: list[str]
    console: list[str]


def look(page: Path, folder: Path, *, width: int = 1200, dark: bool = False) -> Seen:
    """Open `page` in a window of this width and report what was seen; `folder` is for temporary files."""
    probed = folder / f"probed-{width}-{dark}.html"
    inner = page.read_text(encoding="utf-8").replace("</body>", f"{_PROBE}</body>")
    probed.write_text(_FRAME.format(width=width, page=escape(inner, quote=True)), encoding="utf-8")
    flags = [*_FLAGS, "--window-size=1600,1000", f"--user-data-dir={folder / 'profile'}"]
    flags += ["--blink-settings=preferredColorScheme=0"] if dark else []
    assert CHROMIUM is not None
    done = subprocess.run(
        [CHROMIUM, *flags, "--dump-dom", probed.as_uri()], capture_output=True, text=True, timeout=90, check=True
    )
    found = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    return Seen(**json.loads(unescape(found[1])), console=[line for line in done.stderr.splitlines() if "CONSOLE" in line])


def printed(page: Path, folder: Path) -> int:
    """The number of sheets that the page takes on paper."""
    paper = folder / "paper.pdf"
    assert CHROMIUM is not None
    flags = [*_FLAGS, f"--user-data-dir={folder / 'profile'}", f"--print-to-pdf={paper}"]
    subprocess.run([CHROMIUM, *flags, page.as_uri()], capture_output=True, timeout=90, check=True)
    return len(re.findall(rb"/Type\s*/Page\b", paper.read_bytes()))
