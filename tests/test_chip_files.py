"""Chip files: presets are sound, mistakes are explained by field."""

import dataclasses
import json
from importlib import resources

import pytest

import neuro
from neuro.chip.files import check_chip, describe
from neuro.chip.schema import schema
from neuro.errors import ChipError
from neuro.report.result import price_check


@pytest.mark.parametrize("name", neuro.list_chips())
def test_presets_are_sound_and_sourced(name: str) -> None:
    chip = neuro.load_chip(name)
    assert check_chip(name) == []
    assert chip.name == name
    for row in describe(chip):
        assert (row["basis"] == "unknown") == (row["value"] is None), row
        assert row["source"]
        assert row["meaning"]


def test_the_default_chip_is_as_large_as_loihi_2() -> None:
    chip = neuro.load_chip("loihi2")
    assert (chip.usable_cores, chip.core.neurons) == (128, 8192)
    known = [chip.sourced(f"energy.{f.name}") for f in dataclasses.fields(chip.energy)]
    assert {s.basis for s in known if s is not None} == {"assumed"}  # no energy of a single operation is public


def test_what_prices_were_checked_against_is_no_word_about_other_prices(tmp_path) -> None:
    assert neuro.load_chip("loihi2").checked
    assert not neuro.load_chip("loihi2-x8").checked  # which has other links
    file = tmp_path / "mine.toml"
    file.write_text('[chip]\nbase = "loihi2"\nname = "mine"\n')
    assert neuro.load_chip(file).checked == ""
    assert "no measurement" in price_check(neuro.load_chip(file))
    file.write_text('[chip]\nbase = "loihi2"\nname = "mine"\nchecked = "a run of mine: +3 %"\n')
    assert "against a run of mine: +3 %." in price_check(neuro.load_chip(file))
    file.write_text('[chip]\nbase = "loihi2"\nname = "mine"\nchecked = 3\n')
    with pytest.raises(ChipError, match="checked"):
        neuro.load_chip(file)


def test_the_published_schema_is_that_of_the_fields() -> None:
    published = resources.files("neuro.chip").joinpath("chip.schema.json").read_text(encoding="utf-8")
    assert json.loads(published) == schema()


def test_boards_are_as_large_as_their_names_say() -> None:
    sizes = {name: neuro.load_chip(name).chips for name in neuro.list_chips()}
    assert [sizes[name] for name in ("loihi2", "loihi2-x2", "loihi2-x8", "loihi2-x32", "hala-point")] == [1, 2, 8, 32, 1152]


def test_unknown_chip_is_refused() -> None:
    with pytest.raises(ChipError, match="loihi2"):
        neuro.load_chip("loihi3")


def test_a_file_builds_upon_a_preset(tmp_path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        '[chip]\nbase = "loihi2"\nname = "mine"\n[core]\n'
        'neurons = { value = 10, unit = "neurons", basis = "assumed", source = "test" }\n'
        "[energy]\nspike = {}\n"
    )
    chip = neuro.load_chip(path)
    assert (chip.name, chip.core.neurons, chip.energy.spike) == ("mine", 10, None)
    assert chip.energy.axon_out == neuro.load_chip("loihi2").energy.axon_out


@pytest.mark.parametrize(
    ("line", "field", "says"),
    [
        ("[core]\nneurons = 10", "core.neurons", "not a value with its source"),
        ('[core]\nneurons = { value = 10, unit = "cores", basis = "assumed", source = "t" }', "core.neurons", "unit is 'cores'"),
        ('[core]\nneurons = { value = 0, unit = "neurons", basis = "assumed", source = "t" }', "core.neurons", "out of range"),
        ('[core]\nneurons = { value = 1.5, unit = "neurons", basis = "assumed", source = "t" }', "core.neurons", "whole number"),
        ('[energy]\nspike = { value = 1.0, unit = "pJ", basis = "guessed", source = "t" }', "energy.spike", "basis 'guessed'"),
        ('[energy]\nspike = { value = 1.0, unit = "pJ", basis = "assumed", source = " " }', "energy.spike", "no source"),
        ('[energy]\nspike = { value = nan, unit = "pJ", basis = "assumed", source = "t" }', "energy.spike", "not a number"),
        ('[mesh]\nmulticast = { value = "all", basis = "assumed", source = "t" }', "mesh.multicast", "'all' is not known"),
        ('[mesh]\nio_x = { value = 99, unit = "tiles", basis = "assumed", source = "t" }', "mesh.io_x", "outside the mesh"),
        ('[mesh]\nwidth = { value = 999999999, unit = "tiles", basis = "assumed", source = "t" }', "mesh.chips_x", "cores"),
        ("[energy]\nbanana = 1", "energy.banana", "no such field"),
        ("[fruit]\nbanana = 1", "fruit", "no such section"),
        ('[time]\nbarrier = { value = [[1, 2], 3], unit = "ns", basis = "assumed", source = "t" }', "time.barrier", "not a list"),
        ('[time]\nbarrier = { value = [[1, 2, 3]], unit = "ns", basis = "assumed", source = "t" }', "time.barrier", "3 entries"),
        (
            '[time]\nbarrier = { value = [[2, 9.0], [1, 5.0]], unit = "ns", basis = "assumed", source = "t" }',
            "time.barrier",
            "ascend",
        ),
        (
            '[mesh]\nreserved_cores = { value = 128, unit = "cores", basis = "assumed", source = "t" }',
            "mesh.reserved_cores",
            "128",
        ),
        ('[core]\nmemory_bits = { value = 9, unit = "bits", basis = "assumed", source = "t" }', "core.memory_bits", "less than"),
        ('[core]\nencodings = { value = [], basis = "assumed", source = "t" }', "core.encodings", "list is empty"),
        ("[core", "mine.toml", "not valid TOML"),
        ("[mesh]\nwidth = {}", "mesh.width", "missing"),
    ],
)
def test_mistakes_are_explained_by_field(tmp_path, line: str, field: str, says: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f'[chip]\nbase = "loihi2"\nname = "mine"\n{line}\n')
    found = check_chip(path)
    assert any(field in where and says in fact and remedy for where, fact, remedy in found), found
    with pytest.raises(ChipError):
        neuro.load_chip(path)
