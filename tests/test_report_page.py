"""The page escapes text, needs no network, and its figures share it without clashing."""

import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from markupsafe import Markup

import neuro
from neuro.errors import UsageError
from neuro.report import figures, figures_chip
from neuro.report.losses import losses_section
from neuro.report.page import Card, Cell, Figure, Page, Section, page_table, render

RNG = np.random.default_rng(0)
DRAWN = {
    "time": figures.accuracy_over_time(np.linspace(0.1, 0.99, 16), 0.995),
    "front": figures.front([("rate", 3e6, 0.98), ("graded", 5e5, 0.99)], 0.995),
    "parts": figures.bars("parts", "Energy by part", {"synapses": 2e6, "neurons": 1e6, "nothing": 0.0}),
    "raster": figures.raster({"in": RNG.random((20, 64)) < 0.1, "conv <1>": RNG.random((20, 900)) < 0.3}),
    "machines": figures.machines(
        [figures.Dot("loihi2", 1, 3e6, 4e4, 0, 0, True), figures.Dot("a100", 64, 2e10, 5e5, 0.4, 0.1, False)]
    ),
    "map": figures_chip.timeline("map", {"barrier": np.ones(4), "network": np.arange(4.0)}),
}


def page() -> Page:
    drawn = tuple(Figure(Markup(svg), name) for name, svg in DRAWN.items())
    table = page_table(("machine", "energy"), [("a100", Cell("3 µJ", 3e6, "win")), ("<b>", "x")], numbers=("energy",), own=0)
    section = Section("all", "All & everything", ("A <script>alert(1)</script>.",), drawn, (table,), ("one point",))
    return Page("Digits <on> a chip", ("first line",), (Card("accuracy", "99 %"),), ("the chip loses",), (section,))


@pytest.mark.parametrize("name", DRAWN)
def test_figures_are_well_formed_and_use_the_page_ink(name) -> None:
    root = ElementTree.fromstring(DRAWN[name])
    assert root.get("role") == "img"
    assert root.get("aria-label")
    assert "currentColor" in DRAWN[name]
    assert len(DRAWN[name]) < 150_000


def test_numbers_that_are_read_keep_their_digits() -> None:
    drawn = figures.bars("times", "Times", {"a": 99.75e3}, unit="time")
    assert "99.8 µs" in "".join(ElementTree.fromstring(drawn).itertext())
    precise = figures.front([("rate", 6e7, 0.9955), ("graded", 1.7e7, 0.9955)], 0.9955)
    assert {"99.25", "99.75"} <= {text.strip() for text in ElementTree.fromstring(precise).itertext()}


@pytest.mark.parametrize(
    ("spread", "ticks"), [(1.2, {"11 µJ", "12 µJ"}), (3, {"10 µJ", "30 µJ"}), (30, {"20 µJ", "100 µJ"}), (3000, {"10 mJ"})]
)
def test_axes_have_written_ticks_however_wide(spread, ticks) -> None:
    drawn = figures.front([("rate", 1e7, 0.98), ("graded", spread * 1e7, 0.99)], None)
    assert ticks <= {text.strip() for text in ElementTree.fromstring(drawn).itertext()}


def test_same_numbers_same_figure() -> None:
    assert figures.accuracy_over_time(np.linspace(0.1, 0.99, 16), 0.995) == DRAWN["time"]


def test_ids_are_unique_on_the_page() -> None:
    ids = re.findall(r'\bid="([^"]+)"', "".join(DRAWN.values()))
    assert len(ids) == len(set(ids))
    used = re.findall(r'(?:href="#|url\(#)([^")]+)', "".join(DRAWN.values()))
    assert used
    assert set(used) <= set(ids)


def test_text_is_escaped() -> None:
    html = render(page())
    assert "<script>alert" not in html
    assert "Digits &lt;on&gt; a chip" in html
    assert "&lt;b&gt;" in html


def test_page_asks_for_nothing() -> None:
    html = re.sub(r'xmlns="[^"]*"', "", render(page()))
    assert "http://" not in html
    assert "https://" not in html
    assert all(used.startswith("data:") for used in re.findall(r'(?:src|href)="([^"#][^"]*)"', html))
    assert len(html) < 600_000


def test_a_raster_too_full_is_thinned() -> None:
    full = {"a": np.ones((50, 400), bool)}
    assert figures.raster_share(full) == pytest.approx(0.125)
    assert len(figures.raster(full)) < 150_000


def test_a_board_of_many_chips_is_drawn_without_a_frame_for_each_tile() -> None:
    """Lines of more than 1,024 tiles would be all that is seen."""
    cores, values, mesh = np.arange(4), np.arange(4.0), neuro.load_chip("loihi2").mesh
    lines = []
    for height in (32, 33):
        drawn = figures_chip.core_map("m", "M", replace(mesh, width=32, height=height), cores, values, "n")
        lines.append(drawn.count("<path") - 32 * height * mesh.cores_per_tile)
    framed, bare = lines
    assert framed == bare + 33 + 33


def test_losses_of_a_network_without_hidden_layers_have_no_figures() -> None:
    made = losses_section({"layers": [], "swaps": [], "samples": 40, "advice": "Nothing is lost."})
    assert made.figures == ()
    assert "Nothing is lost." in made.text[0]
    assert [page_table.rows for page_table in made.tables] == [(), ()]


def test_labels_that_do_not_match_are_refused_before_a_report_is_written(tmp_path) -> None:
    populations = (neuro.Population("in", (2,), neuro.Source("rate", levels=3)), neuro.Population("out", (2,), neuro.Readout()))
    network = neuro.Network(populations, (neuro.Dense("in", "out", np.eye(2, dtype=int)),), timesteps=3)
    chip_run = neuro.emulate(network, neuro.place(network, neuro.load_chip("loihi2")), np.array([[3, 1], [0, 2]]))
    for labels in ([0], [0.0, 1.0]):
        with pytest.raises(UsageError, match="for 2 samples. Pass one class number for each sample"):
            neuro.write_report(tmp_path / "report.html", chip_run=chip_run, labels=labels)
    assert not (tmp_path / "report.html").exists()
    neuro.write_report(tmp_path / "report.html", chip_run=chip_run, labels=[0, 1])
    assert "100.0 %" in (tmp_path / "report.html").read_text()
