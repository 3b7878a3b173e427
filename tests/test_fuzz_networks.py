"""Random networks keep what conversion promises; the checks notice broken arithmetic; what once failed stays right."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import converters.pipeline
from converters import coding, integers, linear, pooling, stepping
from tests import fuzz_networks
from tests.drawing import drawn
from tests.drawn import Unfit, module_code, network_of, reproduction, without
from tests.fuzz_networks import outcome, script, shrunk

CASES = json.loads((Path(__file__).parent / "corpus" / "networks.json").read_text())
SEEDS = range(2012, 2039)
HOW = {"code": "graded", "timesteps": 1, "correct_bias": False, "threshold": "max"}
CONV = {"op": "conv", "kernel": [3, 3], "out": 3, "padding": 1, "from": [0]}
SMALL = {
    "seed": 5,
    "shape": [2, 5, 5],
    "data": "unit",
    "count": 8,
    "how": HOW,
    "steps": [
        CONV,
        {"op": "relu", "kind": "module", "from": [1]},
        {"op": "pool", "kind": "Max", "kernel": [2, 2], "from": [2]},
        {"op": "move", "kind": "flatten", "from": [3]},
        {"op": "linear", "out": 4, "from": [4]},
    ],
}


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_networks(seed) -> None:
    what, said, _ = outcome(drawn(seed))
    assert not what.startswith("FAILED"), f"{what}: {said}; python tests/fuzz_networks.py --shrink {seed}"


@pytest.mark.parametrize("name", CASES)
def test_what_once_failed(name) -> None:
    what, said, _ = outcome(CASES[name])
    assert not what.startswith("FAILED"), f"{what}: {said}\n{script(CASES[name])}"


BREAKS = {
    "weights": (coding.integers, "rounded", lambda op, limit, plain=integers.rounded: linear.times(plain(op, limit), 1.0, 0.9)),
    "bias": (coding, "with_charge", lambda neuron, extra, steps, plain=coding.with_charge: plain(neuron, extra + 40, steps)),
    "values: max pool": (
        pooling,
        "_in_turns",
        lambda name, window, sender, plain=pooling._in_turns: plain(name, replace(window, weight=window.weight[..., :1]), sender),
    ),
    "engines: event is not quantised": (
        stepping,
        "fire",
        lambda n, total, steps, plain=stepping.fire: plain(n, 2 * total, steps),
    ),
}


@pytest.mark.parametrize("kind", BREAKS)
def test_broken_arithmetic_is_noticed(kind, monkeypatch) -> None:
    assert outcome(SMALL)[0].startswith("passed")
    monkeypatch.setattr(*BREAKS[kind])
    assert outcome(SMALL)[0].startswith("FAILED")


def test_lost_resolution_is_noticed(monkeypatch) -> None:
    """A network whose integers are all consistent, only far too coarse: what weights of 3 bits do to a promise of 8."""
    assert outcome(SMALL)[0].startswith("passed")
    monkeypatch.setattr(coding.CodeSettings, "limit", property(lambda settings: 127))
    monkeypatch.setattr(coding, "_LARGEST_THRESHOLD", 3.0)
    monkeypatch.setattr(converters.pipeline, "agreement", lambda *_: SimpleNamespace(warning=None))
    assert outcome(SMALL)[0].startswith("FAILED outputs")


def test_a_failure_shrinks_to_what_it_needs(monkeypatch) -> None:
    def stub(program, limit_s=0):
        failed = any(step["op"] == "conv" and step.get("padding") for step in program["steps"])
        module_code(program)
        return ("FAILED it" if failed else "passed", "", None)

    monkeypatch.setattr(fuzz_networks, "outcome", stub)
    found = shrunk(SMALL)
    assert [step["op"] for step in found["steps"]] == ["conv"]
    assert found["steps"][0]["padding"] == 1
    assert found["steps"][0]["kernel"] == [1, 1]


def test_a_script_computes_the_same_network(capsys) -> None:
    space: dict = {}
    exec(reproduction(SMALL, "print(net(torch.as_tensor(x)).shape)"), space)
    net, x = network_of(SMALL)
    assert np.array_equal(space["x"], x)
    with torch.no_grad():
        assert torch.equal(space["net"](torch.as_tensor(x)), net(torch.as_tensor(x)))
    assert "8, 4" in capsys.readouterr().out


def test_steps_that_do_not_fit_are_refused() -> None:
    with pytest.raises(Unfit):
        module_code({**SMALL, "steps": [{**CONV, "kernel": [9, 9], "padding": 0}]})
    assert len(without(SMALL, 2)["steps"]) == 4
