"""`neuro optimise` as a command, and what optimisations save on other machines."""

import json

import numpy as np
import pytest
import torch
from torch import nn

import neuro
from converters.optimising.scores import weight_scores
from converters.optimising.sparsity import follows, masked, pattern_masks, share_masks, zeros_of
from neuro.optimising.elsewhere import elsewhere
from neuro.optimising.found import OptimisedPoint
from tests.commands import here
from tests.optimising import Residual, data, learned

_MODULE = """import torch
from torch import nn


def net():
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 4))
"""


@pytest.fixture
def named(tmp_path):
    """A folder with a module, its weights, and data to learn from."""
    (tmp_path / "mine.py").write_text(_MODULE)
    x, y = data(160)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 4))
    torch.save(net.state_dict(), tmp_path / "weights.pt")
    np.savez(tmp_path / "train.npz", x=x, y=y)
    return tmp_path


def test_the_command_makes_a_front_and_goes_on(named, monkeypatch, capsys) -> None:
    command = ["optimise", "mine.py:net", "--weights", "weights.pt", "--data", "train.npz", "--out", "small"]
    asked = [*command, "--less", "1.3,1.6", "--steps", 8, "--against", "a100", "--norms"]
    status, said, wrong = here(monkeypatch, capsys, named, *asked)
    assert status == 0, wrong
    assert "elsewhere" in said
    assert "a100" in said
    made = {str(p.relative_to(named)) for p in (named / "small").rglob("*")}
    assert {f"small/{name}" for name in ("result.json", "points.csv", "front.svg", "report.html", "points/02/point.json")} <= made
    status, _, wrong = here(monkeypatch, capsys, named, *asked)
    assert status == 2
    assert "--resume" in wrong
    status, said, _ = here(monkeypatch, capsys, named, *asked, "--resume", "--json", "-")
    found = json.loads(said)
    assert status == 0
    assert len(found["points"]) == 3
    assert {row["machine"] for row in found["elsewhere"]} == {"a100"}
    assert OptimisedPoint.load(named / "small" / "points" / "01").measured.dynamic_pj == found["points"][1]["dynamic_pj"]


def test_the_command_searches(named, monkeypatch, capsys) -> None:
    pytest.importorskip("optuna")
    command = ["optimise", "mine.py:net", "--weights", "weights.pt", "--data", "train.npz", "--out", "tried", "--search", 2]
    command += ["--steps", 2, "--less", "1.5"]
    status, said, wrong = here(monkeypatch, capsys, named, *command)
    assert status == 0, wrong
    assert "2 trials" in said
    status, said, wrong = here(monkeypatch, capsys, named, *command, "--json", "-")
    assert status == 0, wrong
    found = json.loads(said)
    assert len(found["trials"]) == 2
    assert found["front"][0]["dynamic_pj"] < found["trials"][0]["points"][0]["dynamic_pj"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--less", "2,x"), "no number"),
        (("--less", "2,1.5"), "does not rise"),
        (("--score", "luck"), "luck"),
        (("--channels", "2"), "no share"),
        (("--also", "radix"), "Write it as radix:8"),
        (("--also", "mixed:4"), "one code and one T, layers cannot differ"),
        (("--also", "graded"), "is there twice"),
        (("--also", "radix:8", "--search", "2"), "Leave --search or --also out"),
        (("--value-bits", "4"), "Use code='radix', where each digit of one is a message"),
        (("--minutes", "0"), "no time"),
        (("--cluster", "tcp://127.0.0.1:1"), "Add --search N"),
        (("--depth", "1", "--search", "2"), "1 residual blocks are to be removed, the network has 0"),
        (("--json", "small/result.json"), "result.json"),
    ],
)
def test_wrong_requests_are_refused(named, monkeypatch, capsys, more, words) -> None:
    (named / "small").mkdir()
    status, _, wrong = here(monkeypatch, capsys, named, "optimise", "mine.py:net", "--data", "train.npz", "--out", "small", *more)
    assert status == 2
    assert words in wrong
    assert "Traceback" not in wrong


def test_the_same_network_is_priced_elsewhere(tmp_path) -> None:
    x, y = data(160)
    goal, settings = neuro.OptimiseGoal(energy=(1.6,)), neuro.OptimiseSettings(steps=3, channels=1.0)
    found = neuro.optimise(learned(Residual(), x, y), x, labels=y, goal=goal, settings=settings, folder=tmp_path / "f")
    rows = elsewhere(found, ("stm32u575", "a100"), (0, 1))
    assert [(row.point, row.machine) for row in rows] == [(0, "stm32u575"), (1, "stm32u575"), (0, "a100"), (1, "a100")]
    assert rows[0].faster == rows[2].faster == 1
    assert rows[1].faster > 1  # fewer products
    for row, point in zip(rows, (0, 1, 0, 1), strict=True):
        bill = neuro.cost(neuro.weigh(found.points[point].graph), neuro.load_machine(row.machine))
        assert row.latency_ns == bill.latency_ns


def test_masks_take_what_scores_least() -> None:
    x, y = data(64)
    graph = learned(Residual(), x, y, steps=5)
    scores = weight_scores(graph, x, y, "magnitude")
    masks = share_masks(graph, scores, 0.8)
    inner = list(masks)[1]
    assert masks[inner].mean() == pytest.approx(0.2, abs=0.02)
    assert scores[inner][masks[inner]].min() >= scores[inner][~masks[inner]].max()
    pairs = pattern_masks(graph, scores, 2, 4)
    pruned = masked(graph, pairs)
    assert follows(pruned, 2, 4)
    assert not follows(graph, 2, 4)
    assert set(zeros_of(pruned)) == set(pairs)
    assert zeros_of(graph) == {}
