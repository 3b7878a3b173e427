"""Fewer residual blocks and smaller kernels, by hand and in searches, on a cluster too."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from distributed import LocalCluster
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import neuro
from converters.evaluation import logits
from converters.folding import fold
from converters.frontend import trace
from converters.optimising.shapes import blocks, kernel_sizes, with_kernels, without_blocks
from neuro.errors import UsageError
from neuro.optimising.search import OptimiseSpace, search
from tests.optimising import Residual, data, learned

X, Y = data(160)
GRAPH = learned(Residual(), X, Y)
CONVS = [layer.name for layer in GRAPH.layers if layer.op == "conv"]


class Deep(nn.Module):
    """Three blocks: the second hardly changes anything, the third changes the shape; what the first computes inside is read
    again at the end, if `shared`."""

    def __init__(self, shared: bool = False) -> None:
        super().__init__()
        self.shared = shared
        self.stem, self.answer = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(8, 4)
        self.inner = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(4))
        self.down, self.beside = nn.Conv2d(4, 8, 3, stride=2, padding=1), nn.Conv2d(4, 8, 1, stride=2)

    def forward(self, x: torch.Tensor, left: tuple[int, ...] = (0, 1)) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        for block in left:
            inside = torch.relu(self.inner[2 * block](x))
            x = torch.relu(self.inner[2 * block + 1](inside) + x)
            if self.shared and block == 0:
                kept = inside
        x = x + kept if self.shared else x
        return self.answer(torch.relu(self.down(x) + self.beside(x)).mean(dim=(2, 3)))


def deep(shared: bool = False) -> Deep:
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        model = Deep(shared).eval()
    model.inner[3].weight.data *= 1e-3
    model.inner[3].bias.data *= 1e-3
    return model


def test_blocks_leave_by_what_they_change():
    model = deep()
    graph = fold(trace(model, X[:2]))
    assert len(blocks(graph)) == 2  # the third changes the shape
    with torch.no_grad():
        wanted = [model(torch.as_tensor(X[:40]), left).numpy() for left in ((0, 1), (0,), ())]
    for count, answers in enumerate(wanted):
        smaller = without_blocks(graph, count, X[:40])
        assert len(smaller.layers) == len(graph.layers) - 5 * count  # two convolutions, two rectifiers and the sum
        assert np.allclose(logits(smaller, X[:40]), answers, atol=1e-5)
    with pytest.raises(UsageError, match="3 residual blocks are to be removed, the network has 2 that can be. Use 2"):
        without_blocks(graph, 3, X[:40])


def test_what_others_read_stays():
    graph = fold(trace(deep(shared=True), X[:2]))
    assert len(blocks(graph)) == 1
    assert np.allclose(logits(without_blocks(graph, 1, X[:40]), X[:40]), logits(graph, X[:40]), atol=0.05)
    plain = nn.Sequential(nn.Flatten(), nn.Linear(36, 4))
    with pytest.raises(UsageError, match="has 0 that can be. Leave it at 0"):
        without_blocks(fold(trace(plain.eval(), X[:2])), 1, X[:8])


@settings(max_examples=25)
@given(st.integers(1, 3), st.integers(1, 2), st.sampled_from([3, 5, 7]), st.integers(0, 99), st.data())
def test_a_cut_kernel_is_one_with_zeros_around_it(stride, dilation, kernel, seed, drawn):
    rng = np.random.default_rng(seed)
    padding = drawn.draw(st.integers(0, 3)) * dilation
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        model = nn.Conv2d(2, 3, kernel, stride, padding, dilation)
    x = rng.random((3, 2, 15, 14)).astype(np.float32)
    graph = fold(trace(model.eval(), x))
    name = next(layer.name for layer in graph.layers if layer.op == "conv")
    sizes = kernel_sizes(graph[name])
    assert sizes[-1] == kernel
    size = drawn.draw(st.sampled_from(sizes))
    weight = np.array(graph[name].arrays["weight"])
    cut = (kernel - size) // 2
    inside = np.zeros((kernel, kernel), bool)
    inside[cut : kernel - cut, cut : kernel - cut] = True
    zeroed = replace(graph[name], arrays={**graph[name].arrays, "weight": weight * inside})
    wanted = graph.relayered(zeroed if layer.name == name else layer for layer in graph.layers)
    assert np.allclose(logits(with_kernels(graph, {name: size}), x), logits(wanted, x), atol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "message"), [({"nobody": 1}, "'nobody' is no convolution"), ({CONVS[0]: 2}, "2 cannot be cut")]
)
def test_kernels_that_cannot_be(wrong, message):
    with pytest.raises(UsageError, match=message):
        with_kernels(GRAPH, wrong)


def test_rounds_begin_with_the_depth_and_kernels_that_were_named(tmp_path):
    how = neuro.OptimiseSettings(steps=3, channels=0.0, depth=1, kernels=((CONVS[0], 1),), norms=True)
    goal = neuro.OptimiseGoal(energy=(1.5,))
    found = neuro.optimise(GRAPH, X, labels=Y, goal=goal, settings=how, folder=tmp_path / "f")
    start, smaller = found.points[0].graph, found.points[1].graph
    assert len(blocks(start)) == 1
    assert not blocks(smaller)
    assert smaller[CONVS[0]].arrays["weight"].shape[2:] == (1, 1)
    assert found.points[1].measured.synops < found.start.measured.synops
    assert found.plan == type(found.plan).read(tmp_path / "f" / "plan.json")


@pytest.mark.filterwarnings("default")
def test_trials_on_a_cluster_are_those_of_this_machine(tmp_path):
    space = OptimiseSpace(energy=(1.5,), channels=(0.5,), score=("magnitude",), depth=(0, 1), kernels=(1,), widths=(1.0, 0.5))
    how = {"labels": Y, "space": space, "settings": neuro.OptimiseSettings(steps=2), "trials": 4, "population": 2}
    here = search(GRAPH, X, folder=tmp_path / "here", **how)
    with LocalCluster(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=None, protocol="inproc://") as made:
        there = search(GRAPH, X, folder=tmp_path / "there", cluster=made.scheduler_address, **how)
    plain = [{**trial.to_json(), "folder": ""} for trial in here.trials]
    assert [{**trial.to_json(), "folder": ""} for trial in there.trials] == plain
    chosen = [(trial.plan.settings.depth, dict(trial.plan.settings.kernels)) for trial in here.trials]
    assert len({str(one) for one in chosen}) > 1
    assert all(len(kernels) == 3 for _, kernels in chosen)  # those of the four convolutions that are no single place
