"""Sweeps: what a setting is, what is measured of it, which settings are worth considering, and how all that is told."""

import dataclasses
import io
import json
import sys
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import converters
import neuro
from converters.options import METHODS
from neuro.bundles import save_parts
from neuro.errors import ChipError, FormatError, NeuroError, UsageError
from neuro.report.page import render
from neuro.report.sweeping import accuracy_against, page, terminal
from neuro.sweeping import settings
from neuro.sweeping.found import SweepPoint, front_of
from neuro.sweeping.genetic import search
from neuro.sweeping.measure import Measured, measure_block, together
from neuro.sweeping.subject import KIND, load_subject, subject_of
from tests.sweeps import SPACE, subject, sweep

# Settings


def test_names_agree_with_the_converter() -> None:
    assert settings.THRESHOLDS == METHODS


def test_space_holds_each_setting_in_effect_once() -> None:
    found = neuro.Space(code=("radix", "graded"), timesteps=(4, 8, 16)).settings()
    assert [(s.code, s.timesteps) for s in found] == [("radix", 4), ("radix", 8), ("graded", 1)]


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"code": "morse"}, "code: 'morse' is not known. Use one of rate, "),
        ({"timesteps": (0,)}, "timesteps = 0. Use a whole number from 1 to 4,096"),
        ({"weight_bits": (9,)}, "weight_bits = 9. Use a whole number from 2 to 8"),
        ({"chip": ()}, "chip: there is no value"),
        ({"timesteps": range(1, 4097), "weight_bits": range(2, 9)}, "more than 100,000 combinations. Name fewer values"),
    ],
)
def test_wrong_spaces_are_refused(wrong, word) -> None:
    with pytest.raises(UsageError, match=word):
        neuro.Space(**wrong)


@pytest.mark.parametrize("wrong", [{"trials": 0}, {"trials": 5, "population": 1}])
def test_wrong_searches_are_refused(wrong) -> None:
    with pytest.raises(UsageError, match="Use a whole number of at least"):
        neuro.Search(**wrong)


def test_key_follows_every_figure_of_the_chip() -> None:
    chip = neuro.load_chip("loihi2")
    other = dataclasses.replace(chip, energy=dataclasses.replace(chip.energy, spike=1.0))
    setting = neuro.Setting()
    assert setting.key(chip) == neuro.Setting().key(neuro.load_chip("loihi2"))
    assert setting.key(chip) != setting.key(other)


# Front

whole = st.integers(0, 4)


@given(st.lists(st.tuples(whole, whole, whole), max_size=12))
def test_front_is_what_nobody_beats(goals) -> None:
    blank = dict.fromkeys(Measured.__dataclass_fields__, 0)
    points = [
        SweepPoint(neuro.Setting(timesteps=i + 1), Measured(**{**blank, "accuracy": a, "energy_pj": e, "latency_ns": t}))
        for i, (a, e, t) in enumerate(goals)
    ]
    front = front_of([*points, SweepPoint(neuro.Setting(code="wait"), None, "it was not possible")])
    assert all(not other.beats(point) for point in front for other in points)
    assert all(any(other.beats(point) for other in front) for point in set(points) - set(front))


# Measuring


def test_a_point_is_what_one_run_gives(undisturbed) -> None:
    model, x, y = subject()
    conversion = converters.convert(model, x, code="radix", timesteps=4, weight_bits=4)
    ran = neuro.emulate(conversion.network, neuro.place(conversion.network, neuro.load_chip("loihi2")), x)
    wanted = {"code": "radix", "timesteps": 4, "weight_bits": 4, "chip": "loihi2"}
    points = json.loads((undisturbed / "result.json").read_text())["points"]
    [row] = [row for row in points if wanted.items() <= row.items()]
    assert row["accuracy"] == (ran.run.predictions == y).mean()
    assert row["samples"] == len(x)
    for name, value in {
        "energy_pj": ran.bill.energy_pj,
        "latency_ns": ran.bill.latency_ns,
        "synops": ran.run.synops / len(x),
        "packets": ran.counts.packets / len(x),
    }.items():
        assert row[name] == pytest.approx(value, rel=1e-9), name


def test_bad_points_are_told_and_stop_nothing(undisturbed) -> None:
    points = json.loads((undisturbed / "result.json").read_text())["points"]
    assert len(points) == len(SPACE.settings())
    for point in points:
        assert (point["chip"] == "truenorth" and point["code"] != "rate") == (
            "no program" in point["error"] or "carry" in point["error"]
        )
        assert bool(point["error"]) == (point["accuracy"] is None)


def test_blocks_add_up_in_any_split() -> None:
    blank = dict.fromkeys(Measured.__dataclass_fields__, 2)
    parts = [Measured(**{**blank, "samples": n, "accuracy": a, "energy_pj": 10.0 * n}) for n, a in ((256, 0.5), (44, 1.0))]
    found = together(parts)
    assert (found.samples, found.steps, found.cores_used) == (300, 2, 2)
    assert found.accuracy == pytest.approx((128 + 44) / 300)
    assert found.energy_pj == pytest.approx((2560 * 256 + 440 * 44) / 300)


def test_a_chip_without_public_prices_or_times_has_no_place_on_a_front(tmp_path) -> None:
    model, x, y = subject()
    network = converters.convert(model, x, code="rate", timesteps=2).network
    known = neuro.load_chip("loihi2")
    for what, table in (("energy", known.energy), ("time", known.time)):
        figures = {f.name: None for f in dataclasses.fields(table) if f.name not in ("update_when", "barrier")}
        silent = dataclasses.replace(table, **figures, **({"barrier": ()} if what == "time" else {}))
        placement = neuro.place(network, dataclasses.replace(known, **{what: silent}))
        with pytest.raises(ChipError, match=f"chip 'loihi2': no {what} is public for it.*Leave it out"):
            measure_block(placement, x[:4], y[:4])


# Subjects


def test_what_cannot_be_swept_is_refused(tmp_path) -> None:
    model, x, y = subject()
    for labels in (y[1:], y.astype(float), y[:, None]):
        with pytest.raises(UsageError, match="for 300 samples. Pass one class number for each sample"):
            subject_of(model, x, labels)
    with pytest.raises(UsageError, match="for 0 samples"):
        subject_of(model, x[:0], y[:0])
    whole = subject_of(model, x, y)
    whole.save(tmp_path / "whole")
    assert load_subject(tmp_path / "whole").accuracy_ann == whole.accuracy_ann == pytest.approx(0.9, abs=0.07)
    for parts, told in (({"title": 3}, "title, graph, "), ({"more": 3}, r"\(more\)")):
        held = {name: getattr(whole, name) for name in whole.__slots__} if "more" in parts else {}
        save_parts({**held, **parts}, tmp_path / "other", KIND)
        with pytest.raises(FormatError, match=f"no sweep's subject .*{told}"):
            load_subject(tmp_path / "other")


# Search


def searched(space: neuro.Space, wanted: neuro.Search, measure: Any) -> tuple[neuro.Setting, ...]:
    """What a search through a space asked for."""
    return search(space.axes(), lambda chosen: neuro.Setting(**chosen).in_effect(), wanted, measure)


def test_search_without_optuna_says_how_to_get_it(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(NeuroError, match=r"search: optuna is not installed. pip install 'neuro-emulator\[sweep\]'"):
        searched(neuro.Space(), neuro.Search(trials=2), dict)


def test_search_finds_the_front_and_repeats_itself() -> None:
    space = neuro.Space(timesteps=(1, 2, 4, 8, 16, 32), weight_bits=(2, 3, 4, 5, 6, 7, 8))

    def measure(asked):
        return {s: None if s.code == "wait" else (s.weight_bits * s.timesteps**0.5, 1.0 * s.timesteps, 1.0) for s in asked}

    found = searched(space, neuro.Search(trials=120, population=12, seed=1), measure)
    assert found == searched(space, neuro.Search(trials=120, population=12, seed=1), measure)
    assert found != searched(space, neuro.Search(trials=120, population=12, seed=2), measure)
    late = [s.weight_bits for s in found[-20:]]
    assert np.mean(late) > 6, "it leans towards what is better"


def test_searching_measures_what_a_grid_would(undisturbed, tmp_path) -> None:
    found = sweep(tmp_path, neuro.Space("rate", (2, 4), weight_bits=(4, 8)), search=neuro.Search(8, 4))
    rows = json.loads((undisturbed / "result.json").read_text())["points"]
    assert 1 < len(found.points) <= 4
    for mine in found.to_rows():
        [same] = [row for row in rows if all(row[name] == mine[name] for name in neuro.Setting.__dataclass_fields__)]
        assert {**same, "front": None} == {**mine, "front": None}


# Telling


def test_the_page_and_the_figure_hold_every_point(undisturbed) -> None:
    found = sweep(undisturbed, resume=True)
    told = render(page(found))
    drawn = ElementTree.fromstring(accuracy_against(found, "energy"))
    assert {"rate", "radix", "graded"} <= {text.strip() for text in drawn.itertext()}
    assert told.count("<tr>") == 2 + len(found.front) + len(found.points) - len(found.failed)
    assert "no program there" in told
    assert "float network" in str(found)
    assert found._repr_html_().count("<tr>") == 1 + len(found.front)


def printed(found) -> str:
    console = Console(width=110, file=io.StringIO())
    console.print(terminal(found))
    return console.file.getvalue()


def test_the_terminal_tells_what_could_not_be_had_up_to_a_dozen(undisturbed) -> None:
    found = sweep(undisturbed, resume=True)
    told = printed(found)
    assert 0 < len(found.failed) <= 12
    assert f"{len(found.front)} of {len(found.points)} settings worth considering" in told
    assert told.count("truenorth, refined: ") == len(found.failed)
    assert "more, see result.json" not in told
    assert "in all of them: threshold mse, placed refined" in told
    many = dataclasses.replace(found, points=found.failed * 5)
    told = printed(many)
    assert told.count("truenorth, refined: ") == 12
    assert f"and {5 * len(found.failed) - 12} more, see result.json" in told


def test_a_sweep_of_nothing_but_failures_has_a_page_without_fronts(undisturbed) -> None:
    found = sweep(undisturbed, resume=True)
    none = dataclasses.replace(found, points=found.failed)
    told = render(page(none))
    assert "not possible" in told
    assert "<svg" not in told
    assert f"0 of {len(none.points)} settings worth considering" in printed(none)
