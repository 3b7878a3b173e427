"""The demo's page in a real browser: nothing logged, nothing asked for, every figure visible, on a desk and on a telephone."""

import pytest

import neuro
from neuro.report.sweeping import write_sweep_page
from neuro.sweeping.found import Sweep, SweepPoint
from neuro.sweeping.measure import Measured
from tests.browser import CHROMIUM, look, printed

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: apt-get install chromium")


@pytest.mark.parametrize(("width", "dark"), [(1200, False), (1200, True), (360, False)])
def test_page_is_whole(demo, tmp_path, width, dark) -> None:
    seen = look(demo / "report.html", tmp_path, width=width, dark=dark)
    assert seen.console == []
    assert seen.requests == []
    assert len(seen.figures) >= 8
    for figure in seen.figures:
        assert min(width - 40, 300) <= figure["width"] <= width, figure
        assert figure["height"] > 50
        assert figure["shapes"] > 5
    assert seen.width <= width, "the page must not scroll sideways"


def test_dark_and_light_differ(demo, tmp_path) -> None:
    light, dark = (look(demo / "report.html", tmp_path, dark=dark) for dark in (False, True))
    assert (light.back, dark.back) == ("rgb(255, 255, 255)", "rgb(20, 23, 29)")
    assert light.ink != dark.ink


@pytest.mark.parametrize(("width", "dark"), [(1200, True), (360, False)])
def test_a_sweep_shows_well(tmp_path, width, dark) -> None:
    blank = dict.fromkeys(Measured.__dataclass_fields__, 100)
    points = [
        SweepPoint(
            neuro.Setting(code, t), Measured(**{**blank, "accuracy": 0.8 + t / 100, "energy_pj": 1e6 * t, "latency_ns": 1e4 * t})
        )
        for code in ("rate", "wait")
        for t in (2, 4, 8, 16)
    ]
    failed = SweepPoint(neuro.Setting(chip="<truenorth>"), None, "it has <no> program")
    write_sweep_page(tmp_path / "sweep.html", Sweep("A network", (*points, failed), 100, 0.99))
    seen = look(tmp_path / "sweep.html", tmp_path, width=width, dark=dark)
    assert (seen.console, seen.requests, len(seen.figures)) == ([], [], 2)
    assert all(figure["width"] >= min(width - 40, 300) and figure["shapes"] > 5 for figure in seen.figures)
    assert seen.width <= width


def test_the_page_prints_on_a_few_sheets(demo, tmp_path) -> None:
    sheets = printed(demo / "report.html", tmp_path)
    assert 2 <= sheets <= 5


def test_the_browser_would_notice(tmp_path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text("<body><script>nope()</script><img src='http://127.0.0.1:9/x.png'><div style='width:9999px'>x</div></body>")
    seen = look(bad, tmp_path)
    assert "nope is not defined" in seen.console[0]
    assert seen.requests == ["http://127.0.0.1:9/x.png"]
    assert seen.width > 9000
