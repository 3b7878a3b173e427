"""`neuro compare --table`, `--roofline` and `neuro machines --validate`: the models' own tables as commands."""

import csv
import json

import numpy as np
import pytest
from safetensors.numpy import save_file

import neuro
from neuro.machines.points import read_points, shipped_points
from neuro.machines.survey import table_one
from neuro.machines.validation import ErrorRow, Validation
from tests.commands import here


@pytest.mark.parametrize(("number", "words"), [(1, ("loihi2-x32", "15,553")), (2, ("MAC, not FLOP",)), (3, ("printed:", "edge"))])
def test_tables_are_printed_and_written(number, words, tmp_path, monkeypatch, capsys) -> None:
    flags = ("--json", "rows.json", "--csv", "rows.csv")
    status, printed, errors = here(monkeypatch, capsys, tmp_path, "compare", "--table", number, *flags)
    assert status == 0, errors
    assert all(word in printed for word in words)
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert len(rows) == len(list(csv.DictReader((tmp_path / "rows.csv").read_text().splitlines())))
    if number == 1:
        assert rows == table_one()


def test_rooflines_are_drawn(tmp_path, monkeypatch, capsys) -> None:
    flags = ("--figure", "roofs.svg", "--machine", "a100", "--csv", "-")
    status, printed, errors = here(monkeypatch, capsys, tmp_path, "compare", "--roofline", *flags)
    assert status == 0, errors
    rows = list(csv.DictReader(printed.splitlines()))
    assert {"a100", "xeon"} <= {row["machine"] for row in rows}
    assert (tmp_path / "roofs.svg").read_text().startswith("<svg")


def test_what_is_asked_for_is_printed_and_nothing_else_is_written(tmp_path, monkeypatch, capsys) -> None:
    status, printed, errors = here(monkeypatch, capsys, tmp_path, "compare", "--table", 2)
    assert status == 0, errors
    assert "ResNet-50" in printed
    assert list(tmp_path.iterdir()) == []
    status, printed, errors = here(monkeypatch, capsys, tmp_path, "compare", "--roofline")
    assert status == 0, errors
    assert "a100" in printed
    assert [path.name for path in tmp_path.iterdir()] == ["roofline.svg"]


def test_weights_of_ones_own_get_a_row(tmp_path, monkeypatch, capsys) -> None:
    """On a network of the same kind that is small enough for a test."""
    weight = np.random.default_rng(0).normal(size=(5, 12)).astype(np.float32)
    save_file({"weight": weight}, tmp_path / "w.safetensors")
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(1).random((6, 3, 2, 2), np.float32))

    def graph(tensors: dict[str, np.ndarray]) -> neuro.Graph:
        flat = neuro.Layer("flat", "reshape", ("x",), (12,))
        last = neuro.Layer("fc", "linear", ("flat",), (5,), {"weight": tensors["weight"]})
        return neuro.Graph((neuro.Layer("x", "input", (), (3, 2, 2)), flat, last))

    monkeypatch.setattr("neuro.machines.spiking.resnet50_graph", graph)
    own = ("--weights", "w.safetensors", "--data", "x.npz", "--chip", "loihi2", "--code", "graded", "--json", "rows.json")
    status, printed, errors = here(monkeypatch, capsys, tmp_path, "compare", "--table", 1, *own)
    assert status == 0, errors
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert len(rows) == len(table_one()) + 1
    assert rows[-1]["machine"] == "loihi2"
    assert rows[-1]["latency_ms"] > 0
    assert rows[:-1] == table_one()


@pytest.fixture(scope="module")
def points(tmp_path_factory):
    """Two shipped points as a file of the user's own."""
    path = tmp_path_factory.mktemp("points") / "mine.csv"
    with path.open("w", newline="") as file:
        chosen = [point for point in shipped_points() if point.device == "1x T4" or point.id.startswith("blouw_loihi")][:40]
        writer = csv.DictWriter(file, chosen[0].__slots__)
        writer.writeheader()
        writer.writerows({name: getattr(point, name) for name in chosen[0].__slots__} for point in chosen)
    return path


def test_validation_of_ones_own_points(points, tmp_path, monkeypatch, capsys) -> None:
    given = sum(1 for _ in csv.DictReader(points.read_text().splitlines()))
    status, printed, errors = here(monkeypatch, capsys, tmp_path, "machines", "--validate", "--points", points, "--json", "-")
    assert status == 0, errors
    found = json.loads(printed)
    marked = tmp_path / "marked.csv"
    marked.write_bytes(b"\xef\xbb\xbf" + points.read_bytes())
    assert read_points(marked) == read_points(points), "a byte order mark changes nothing"
    assert len({row["id"] for row in found["points"]} | {row["id"] for row in found["unused"]}) == given
    assert all(row["mean_error"] >= 0 for row in found["errors"])


def test_a_validation_that_uses_every_point_says_nothing_of_others(tmp_path, monkeypatch, capsys) -> None:
    row = ErrorRow("GPU", "latency", 3, 2, 0.1, 0.2, 0.05, 0.3, True, "made up")
    for unused in ((), (("id-1", "no machine"),)):
        found = Validation((row,), (), unused)
        monkeypatch.setattr("neuro.machines.validation.validate", lambda points, found=found: found)
        status, printed, errors = here(monkeypatch, capsys, tmp_path, "machines", "--validate")
        assert status == 0, errors
        assert "GPU" in printed
        assert ("no machine" in printed) == bool(unused)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("compare",), ("MODEL --data",)),
        (("compare", "--table", 1, "--roofline"), ("--table and --roofline",)),
        (("compare", "mine:net", "--table", 1), ("MODEL and --table",)),
        (("compare", "--table", 1, "--weights", "w.safetensors"), ("--data", "images")),
        (("compare", "--table", 1, "--data", "x.npz"), ("--weights",)),
        (("compare", "--table", 1, "--weights", "w.safetensors", "--data", "x.npz"), ("conv1.weight", "torchvision")),
        (("compare", "--roofline", "--machine", "abacus"), ("abacus", "a100")),
        (("compare", "--roofline", "--figure", "nowhere/roofs.svg"), ("nowhere",)),
        (("machines", "--points", "x.csv"), ("--validate",)),
        (("machines", "a100", "--validate"), ("Leave the name out",)),
        (("machines", "--validate", "--points", "gone.csv"), ("gone.csv",)),
    ],
    ids=lambda value: " ".join(map(str, value))[:60],
)
def test_questions_that_do_not_go_together(arguments, words, tmp_path, monkeypatch, capsys) -> None:
    save_file({"fc.bias": np.zeros(3, np.float32)}, tmp_path / "w.safetensors")
    np.savez(tmp_path / "x.npz", x=np.zeros((1, 3, 224, 224), np.float32))
    status, printed, errors = here(monkeypatch, capsys, tmp_path, *arguments)
    assert (status, printed, errors.count("\n")) == (2, "", 1), errors
    assert all(word in errors for word in words), errors
    assert not list(tmp_path.glob("*.svg"))
