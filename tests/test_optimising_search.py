"""Searches: widths that were named are there, proposals repeat, and what is done is not done again; and other teachers."""

import pytest
import torch
from torch import nn

import neuro
from converters.evaluation import logits
from neuro.errors import UsageError
from neuro.optimising.optimise import split, with_teacher
from neuro.optimising.rounds import Rounds
from neuro.optimising.search import OptimiseSpace, search
from tests.optimising import CHIP, Residual, data, learned

X, Y = data(160)
GRAPH = learned(Residual(), X, Y)
SETTINGS = neuro.OptimiseSettings(steps=3)
RELUS = [layer.name for layer in GRAPH.layers if layer.op == "relu"]


def test_layers_have_the_widths_that_were_named():
    parts = split(GRAPH, X, Y, None, 0)
    settings = neuro.OptimiseSettings(widths=((RELUS[0], 0.5), (RELUS[-1], 0.25)))
    rounds = Rounds(parts.graph, parts.lesson, CHIP, settings)
    shaped = rounds.shaped(rounds.start)
    assert [shaped.graph[name].shape[0] for name in RELUS] == [4, 4, 4, 3]
    assert len(shaped.kept[RELUS[0]]) == 4
    wrong = Rounds(parts.graph, parts.lesson, CHIP, neuro.OptimiseSettings(widths=(("nobody", 0.5),)))
    with pytest.raises(UsageError, match="nobody"):
        wrong.shaped(rounds.start)


def test_a_search_repeats_itself_and_takes_what_is_done(tmp_path):
    space = OptimiseSpace(energy=(1.5, 3.0), channels=(0.5,), score=("magnitude",), widths=(1.0, 0.5))
    how = {"labels": Y, "space": space, "settings": SETTINGS, "folder": tmp_path / "s", "population": 2}
    told: list[int] = []
    first = search(GRAPH, X, trials=3, report=lambda what, done, of: told.append(done), **how)
    folders = {path: path.stat().st_mtime_ns for path in (tmp_path / "s").rglob("*.safetensors")}
    again = search(GRAPH, X, trials=3, **how)
    assert [trial.to_json() for trial in again.trials] == [trial.to_json() for trial in first.trials]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "s").rglob("*.safetensors")} == folders
    assert told == list(range(1, len(told) + 1))
    assert {len(trial.plan.settings.widths) for trial in first.trials} == {2}
    assert first.front[0].measured.dynamic_pj < first.trials[0].start.measured.dynamic_pj


def test_another_teacher_is_learned_from():
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(1)
        large = nn.Sequential(nn.Flatten(), nn.Linear(36, 64), nn.ReLU(), nn.Linear(64, 4))
    parts = split(GRAPH, X, None, None, 0)
    taught = with_teacher(parts, large.eval())
    how = neuro.OptimiseSettings(steps=150, rate=1e-2)
    rounds = Rounds(taught.graph, taught.lesson, CHIP, how)
    priced = rounds.priced(rounds.start)
    student = rounds.trained(rounds.start, priced, 10 * priced.dynamic_pj, 1)
    with torch.no_grad():
        wanted = large(torch.as_tensor(parts.x)).softmax(dim=1)
    answers = (torch.as_tensor(logits(graph, parts.x)).softmax(dim=1) for graph in (parts.graph, student.graph))
    before, after = (float((found - wanted).abs().mean()) for found in answers)
    assert after < 0.7 * before
    with pytest.raises(UsageError, match="same inputs and answers"):
        with_teacher(parts, nn.Sequential(nn.Flatten(), nn.Linear(36, 5)))
