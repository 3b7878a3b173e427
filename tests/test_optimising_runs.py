"""Whole optimisations: the same seed gives the same front, after a kill too, and every saved point runs to what is stated of
it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import converters
import neuro
from neuro.errors import FormatError, UsageError
from neuro.optimising.found import NETWORK, POINT, OptimisedPoint, front_of
from neuro.optimising.measure import measures, run_on
from neuro.optimising.optimise import split, steps_for
from neuro.optimising.plan import OptimisePlan
from neuro.optimising.rounds import Rounds
from neuro.optimising.search import search
from tests.optimising import CHIP, Residual, data, learned

X, Y = data(200)
GRAPH = learned(Residual(), X, Y)
GOAL = neuro.OptimiseGoal(0.02, (1.4, 2.0))
SETTINGS = neuro.OptimiseSettings(steps=25, batch=32)


def optimised(folder: Path, **more):
    return neuro.optimise(GRAPH, X, **{"labels": Y, "goal": GOAL, "settings": SETTINGS, "folder": folder, **more})


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return optimised(tmp_path_factory.mktemp("optimised") / "once")


def written(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


class Killed(BaseException):
    """Stands for a signal that ends the process."""


def test_rounds_cost_less_and_the_start_is_among_the_points(found):
    spent = [point.measured.dynamic_pj for point in found.points]
    assert len(spent) == 3
    assert spent == sorted(spent, reverse=True)
    assert found.less(found.points[2]) > 1.4
    assert found.points[0] is found.start
    assert {point.number for point in found.front} <= {0, 1, 2}


def test_every_saved_point_runs_to_what_is_stated_of_it(found):
    parts = split(GRAPH, X, Y, None, SETTINGS.seed)
    for point in found.points:
        assert measures(run_on(point.network, CHIP, parts.x), parts.wanted) == point.measured
        assert OptimisedPoint.load(point.folder).measured == point.measured


def test_the_same_seed_gives_the_same_front_after_a_kill_too(found, tmp_path):
    def kill(what: str, done: int, of: int) -> None:
        if what.startswith("round 2: training") and done == SETTINGS.steps + 10:
            raise Killed

    with pytest.raises(Killed):
        optimised(tmp_path / "again", report=kill)
    torn = tmp_path / "again" / "points" / "02"
    torn.mkdir()
    (torn / NETWORK).write_bytes(b"half of a file")
    optimised(tmp_path / "again", resume=True)
    assert written(tmp_path / "again") == written(found.folder)


def test_another_seed_learns_in_another_order(found, tmp_path):
    other = optimised(tmp_path / "other", settings=replace(SETTINGS, seed=1))
    assert other.points[1].measured != found.points[1].measured


def begun_early(folder: Path, **more):
    """An optimisation of a network that has hardly learned, which is trained on itself first."""
    early, goal = learned(Residual(), X, Y, steps=15), neuro.OptimiseGoal(0.02, (1.4,))
    settings = replace(SETTINGS, float_steps=60, rate=0.02, channels=1.0)
    return neuro.optimise(early, X, labels=Y, goal=goal, settings=settings, folder=folder, **more)


def test_rounds_begin_with_the_float_network_trained_on_after_a_kill_too(tmp_path):
    found = begun_early(tmp_path / "once")
    start, float_one, first = found.points[:3]
    assert "trained on for 60 steps" in float_one.recipe["how"]
    assert first.recipe["how"].startswith("round 1")
    assert float_one.kept == start.kept
    assert first.kept != start.kept
    assert float_one.measured.accuracy > start.measured.accuracy + 0.1
    assert first.measured.accuracy > start.measured.accuracy + 0.1
    for at in ("training the float network", "round 1: training"):

        def kill(what: str, done: int, of: int, at: str = at) -> None:
            if what == at and done == 10:
                raise Killed

        with pytest.raises(Killed):
            begun_early(tmp_path / at, report=kill)
        begun_early(tmp_path / at, resume=True)
        assert written(tmp_path / at) == written(found.folder)


def test_a_float_network_trained_on_has_no_thresholds_for_other_levels(tmp_path):
    settings = neuro.OptimiseSettings(code="rate", timesteps=8, steps=2, float_steps=2)
    found = optimised(tmp_path, settings=settings, goal=neuro.OptimiseGoal(energy=(1.0,)))
    assert len(found.points) == 3
    assert {layer.options.get("levels", 8) for layer in found.points[1].graph.layers if layer.op == "relu"} == {8}


def test_training_the_float_network_needs_labels_and_is_not_done_in_every_trial(tmp_path):
    settings = replace(SETTINGS, float_steps=5)
    with pytest.raises(UsageError, match="float_steps: there are no labels"):
        optimised(tmp_path / "a", labels=None, settings=settings)
    with pytest.raises(UsageError, match="each trial would train the float network anew"):
        search(GRAPH, X, labels=Y, settings=settings, trials=1, folder=tmp_path / "b")


def test_a_finished_optimisation_is_read_and_not_made_again(found):
    told = []
    again = optimised(found.folder, resume=True, report=lambda *what: told.append(what[0]))
    assert again.to_json() == found.to_json()
    assert all("training" not in what for what in told)


def test_a_folder_in_use_is_refused(found):
    with pytest.raises(UsageError, match="holds an optimisation already"):
        optimised(found.folder)
    with pytest.raises(UsageError, match="another plan"):
        optimised(found.folder, resume=True, settings=replace(SETTINGS, seed=5))
    with pytest.raises(UsageError, match="another network"):
        optimised(found.folder, resume=True, labels=(Y + 1) % 4)


def test_a_damaged_point_is_refused(found, tmp_path):
    for name, content in written(found.points[1].folder).items():
        (tmp_path / name).write_bytes(content)
    held = json.loads((tmp_path / POINT).read_text())
    (tmp_path / NETWORK).write_bytes((tmp_path / NETWORK).read_bytes() + b" ")
    with pytest.raises(FormatError, match=NETWORK):
        OptimisedPoint.load(tmp_path)
    (tmp_path / POINT).write_text(json.dumps({**held, "measured": {}}))
    with pytest.raises(FormatError, match="no point"):
        OptimisedPoint.load(tmp_path)


def test_no_point_is_said_to_be_better_than_it_is(found):
    hopeless = replace(found, plan=OptimisePlan(replace(GOAL, cores=1, chips=1), SETTINGS))
    assert hopeless.best is hopeless.start
    assert hopeless.verdict.startswith("No point is cheaper")
    assert not any(other.beats(point) for point in found.front for other in found.points)
    assert front_of([found.start]) == (found.start,)


def test_without_labels_the_float_networks_decisions_are_what_counts(tmp_path):
    made = neuro.optimise(GRAPH, X, goal=replace(GOAL, energy=(1.3,)), settings=replace(SETTINGS, steps=5), folder=tmp_path / "f")
    assert not made.labelled
    assert made.accuracy_ann == 1.0
    assert "agreement with the float network" in str(made)


def test_minutes_become_steps_by_the_pace_of_the_machine():
    ticks = iter((0.0, 2.0))
    parts = split(GRAPH, X, Y, None, 0)
    rounds = Rounds(parts.graph, parts.lesson, CHIP, SETTINGS)
    assert steps_for(1.0, rounds, OptimisePlan(GOAL, SETTINGS), lambda: next(ticks)) == 60  # 0.5 s a step, half a minute a round


def test_it_has_one_name_in_both_packages():
    assert converters.optimise is neuro.optimise
    with pytest.raises(AttributeError, match="no attribute 'optimize'"):
        _ = converters.optimize


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"goal": {"energy": (2.0, 1.5)}}, "does not rise"),
        ({"goal": {"energy": (0.9,)}}, "energy"),
        ({"goal": {"accuracy_loss": -0.1}}, "accuracy_loss"),
        ({"settings": {"score": "luck"}}, "luck"),
        ({"settings": {"code": "moral"}}, "moral"),
        ({"settings": {"channels": 1.5}}, "no share"),
        ({"settings": {"norms": True, "batch": 1}}, "no variance"),
        ({"settings": {"sparsity": 0.5, "pattern": "2:4"}}, "one of them"),
    ],
)
def test_what_cannot_be_asked_for(wrong, message):
    with pytest.raises(UsageError, match=message):
        [{"goal": neuro.OptimiseGoal, "settings": neuro.OptimiseSettings}[name](**values) for name, values in wrong.items()]


def test_a_last_softmax_stays_with_the_host():
    with torch.random.fork_rng(devices=()):
        plain = nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, 4)).eval()
    parts = split(nn.Sequential(plain, nn.Softmax(1)), X, Y, None, 0)
    assert parts.graph.layers[-1].op == "linear"
    assert parts.accuracy_ann == split(plain, X, Y, None, 0).accuracy_ann


def test_data_that_cannot_be_learned_from():
    with pytest.raises(UsageError, match="cannot be divided"):
        split(GRAPH, X[:1], Y[:1], None, 0)
    with pytest.raises(UsageError, match="labels"):
        split(GRAPH, X, Y[:5], None, 0)
    assert len(split(GRAPH, X, Y, (X[:9], None), 0).wanted) == 9
    assert np.array_equal(split(GRAPH, X, None, (X[:9], Y[:9]), 0).wanted, Y[:9])
