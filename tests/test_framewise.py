"""Networks of windows taken frame by frame: the same integers, in every engine, however a stream is cut up; refusals."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from typer.testing import CliRunner

import converters
import neuro
from neuro.cli import app
from neuro.errors import NetworkError

RUNNER = CliRunner()
WINDOWS = 6  # of a stream that are compared


def drawn(seed: int, *, causal: bool = False, twin: bool = False) -> neuro.Network:
    """A random network of windows (3, frames): convolutions of any dilation and groups, a branch that joins, and an end that
    takes the mean, has weights of its own for each frame, or answers at each."""
    rng = np.random.default_rng(seed)
    kernels = [(int(rng.integers(1, 5)), int(rng.integers(1, 3))) for _ in range(rng.integers(1, 4))]
    reach = sum((k - 1) * dilation for k, dilation in kernels)
    frames = int(rng.integers(4, 9)) if causal else reach + int(rng.integers(1, 6))
    channels, sizes = 3, [frames]
    source = neuro.Source("once", levels=9, scale=0.5, twin=True) if twin else neuro.Source("once", levels=9)
    populations = [neuro.Population("p0", ((1 + twin) * channels, frames), source)]
    projections: list[Any] = []
    channels = populations[0].shape[0]
    for depth, (kernel, dilation) in enumerate(kernels, start=1):
        span = (kernel - 1) * dilation
        sizes.append(sizes[-1] if causal else sizes[-1] - span)
        groups = channels if rng.integers(2) else 1
        wide = channels if groups > 1 else int(rng.integers(1, 5))
        weights = rng.integers(-20, 21, (wide, channels // groups, kernel))
        neuron = neuro.Graded(int(rng.integers(1, 30)), levels=15, bias=rng.integers(-50, 50, (wide, 1)), start_step=depth)
        populations.append(neuro.Population(f"p{depth}", (wide, sizes[-1]), neuron))
        how = {"padding": (span, 0)} if causal else {}
        exponent = int(rng.integers(2))
        conv = neuro.Conv1d(f"p{depth - 1}", f"p{depth}", weights, groups=groups, dilation=dilation, exponent=exponent, **how)
        projections.append(conv)
        channels = wide
    if len(kernels) > 1 and rng.integers(2):
        apart = sizes[0] - sizes[-1]
        taps = np.zeros((channels, populations[0].shape[0], apart + 1), np.int64)
        taps[:, :, rng.integers(apart + 1)] = rng.integers(-20, 21, taps.shape[:2])
        late = len(kernels)
        projections.append(neuro.Conv1d("p0", f"p{late}", taps, delay=late))
    last, out = f"p{len(kernels)}", len(kernels) + 1
    readout = neuro.Readout(scale=np.array([[0.5], [2.0]]), start_step=out)
    if causal:
        populations.append(neuro.Population("out", (2, frames), readout))
        projections.append(neuro.Conv1d(last, "out", rng.integers(-20, 21, (2, channels, 1))))
    else:
        weights = rng.integers(-20, 21, (channels, sizes[-1] if rng.integers(2) else 1, 2))
        weights = np.broadcast_to(weights, (channels, sizes[-1], 2)).reshape(-1, 2)
        populations.append(neuro.Population("out", (2,), replace(readout, scale=np.array([0.5, 2.0]))))
        projections.append(neuro.Dense(last, "out", weights))
    return neuro.Network(tuple(populations), tuple(projections), timesteps=1)


def time_first(network: neuro.Network) -> neuro.Network:
    """The same network with frames along the first axis of every population."""
    populations, projections = [], []
    for p in network.populations:
        arrays = {name: np.swapaxes(v, 0, -1) for name, v in p.neuron._values() if isinstance(v, np.ndarray) and v.ndim > 1}
        populations.append(neuro.Population(p.name, p.shape[::-1], p.neuron.changed(**arrays)))
    for p in network.projections:
        source, target = network[p.source], network[p.target]
        s = p.to_sparse(source.shape, target.shape).tocoo()
        pre, post = (np.arange(q.size).reshape(q.shape[::-1]).T.ravel() for q in (source, target))
        projections.append(neuro.Sparse(p.source, p.target, (pre[s.coords[0]], post[s.coords[1]], s.data), delay=p.delay))
    return neuro.Network(tuple(populations), tuple(projections), timesteps=1)


def in_pieces(network: neuro.Network, stream: np.ndarray, cuts: list[int]) -> np.ndarray:
    """The answers (frames, values) of a session that takes a stream in pieces."""
    session = neuro.open_session(network, most_steps=len(stream))
    parts = [session.step(part) for part in np.split(stream, sorted(cuts)) if len(part)]
    return np.concatenate([part.frames[0] for part in (*parts, session.finish())])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1 << 20), st.lists(st.integers(0, 12), max_size=4), st.booleans(), st.booleans())
def test_answers_are_those_of_every_window(seed: int, cuts: list[int], first: bool, twin: bool) -> None:
    network = drawn(seed, twin=twin and not first)
    rng, frames = np.random.default_rng(seed), network["p0"].shape[1]
    stream = rng.integers(-9, 10, (frames + WINDOWS - 1, 3)) * (0.5 if twin and not first else 1)
    windows = np.stack([stream[i : i + frames] for i in range(WINDOWS)])
    if first:
        network = time_first(network)
    expected = neuro.run(network, windows if first else windows.transpose(0, 2, 1)).logits
    framewise = neuro.frame_by_frame(network, 0 if first else -1)
    for engine in ("reference", "event"):
        assert np.array_equal(neuro.run(framewise, stream[None], engine=engine).frames[0, frames - 1 :], expected)
    assert np.array_equal(in_pieces(framewise, stream, cuts)[frames - 1 :], expected)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1 << 20), st.lists(st.integers(0, 9), max_size=3))
def test_a_causal_network_gives_the_answers_of_the_whole_stream(seed: int, cuts: list[int]) -> None:
    network = drawn(seed, causal=True)
    frames = network["p0"].shape[1]
    stream = np.random.default_rng(seed).integers(-9, 10, (frames, 3))
    expected = neuro.run(network, stream.T[None]).logits.reshape(2, frames).T
    framewise = neuro.frame_by_frame(network, causal=True)
    for engine in ("reference", "event"):
        assert np.array_equal(neuro.run(framewise, stream[None], engine=engine).frames[0], expected)
    assert np.array_equal(in_pieces(framewise, stream, cuts), expected)


class Temporal(nn.Module):
    """Causal convolutions over (4, frames) with a skip path and a smooth function, an answer at each frame."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Conv1d(4, 6, 3), nn.Conv1d(6, 6, 3, dilation=2), nn.Conv1d(6, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(F.pad(x, (2, 0))))
        x = F.silu(x + self.second(F.pad(x, (4, 0))))
        return self.last(x)


def test_a_converted_causal_network_is_the_same_in_one_shot_and_in_a_stream() -> None:
    torch.manual_seed(0)
    x = np.random.default_rng(0).standard_normal((24, 4, 20)).astype(np.float32)
    made = converters.convert(Temporal().eval(), x, code="graded")
    framewise = neuro.frame_by_frame(made.network, causal=True)
    expected = made.quantised(x[:2]).reshape(2, 3, 20).transpose(0, 2, 1)
    assert np.array_equal(neuro.run(framewise, x[:2].transpose(0, 2, 1)).frames, expected)
    assert np.array_equal(in_pieces(framewise, x[0].T, [7]), expected[0])
    assert framewise.neurons < made.network.neurons / 19


def test_images_over_time_keep_their_other_axis() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, (5, 3), padding=(2, 0)), nn.ReLU(), nn.Conv2d(4, 4, (3, 3), stride=(2, 1), groups=4), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3),
    )  # fmt: skip
    stream = np.random.default_rng(0).standard_normal((20, 1, 8)).astype(np.float32)
    windows = np.stack([stream[i : i + 12].transpose(1, 2, 0) for i in range(9)])
    made = converters.convert(model.eval(), windows, code="graded")
    framewise = neuro.frame_by_frame(made.network)
    assert framewise.sources[0].shape == (1, 8)
    found = neuro.run(framewise, stream[None])
    assert np.array_equal(found.frames[0, 11:], neuro.run(made.network, windows).logits)
    assert found.synops / 20 < neuro.run(made.network, windows).synops / 9 / 5


def test_what_is_not_the_same_at_every_frame_is_refused() -> None:
    network = drawn(3)
    source, hidden = network.populations[:2]
    first = network.projections[0]

    def made(populations: tuple[Any, ...], projections: tuple[Any, ...] = (), timesteps: int = 1) -> neuro.Network:
        return neuro.Network(populations, projections, timesteps=timesteps)

    wide = neuro.Population("p1", (2, source.shape[1]), neuro.Graded(3))
    around = neuro.Conv1d("p0", "p1", np.ones((2, 3, 3), int), padding=1)
    ahead = neuro.Conv1d("p0", "p1", np.ones((2, 3, 3), int), padding=(2, 0))
    halved = neuro.Conv1d("p0", "p1", np.ones((2, 3, 2), int), stride=2)
    half = neuro.Population("p1", (2, source.shape[1] // 2), neuro.Graded(3))
    uneven = neuro.Graded(3, bias=np.arange(hidden.size).reshape(hidden.shape))
    cases: list[tuple[neuro.Network, str]] = [
        (made((source, wide), (around,)), "'p1' .* is not the same at every frame"),
        (made((source, wide), (ahead,)), "causal=True"),
        (made((source, half), (halved,)), "strides over time"),
        (made((source, replace(hidden, neuron=uneven)), (first,)), "its bias differs"),
        (made((source, replace(hidden, neuron=neuro.IntegrateAndFire(3))), (first,)), "IntegrateAndFire.*graded"),
        (made((replace(source, neuron=neuro.Source("rate", levels=9)), hidden), (first,), 4), "'rate' in 4 steps"),
        (made((source, hidden)), "nothing leads to population 'p1'"),
        (made((source, neuro.Population("q", source.shape, neuro.Source("once", levels=9)))), "2 sources"),
        (neuro.frame_by_frame(network), "frames already"),
        (replace(network, projections=(*network.projections, neuro.OneToOne("p1", "p1"))), "leads to itself"),
    ]
    for network, said in cases:
        with pytest.raises(NetworkError, match=said):
            neuro.frame_by_frame(network)
    with pytest.raises(NetworkError, match="axis 2 of an input of shape"):
        neuro.frame_by_frame(made((source, wide), (ahead,)), axis=2)
    back = neuro.Dense("p2", "p1", np.ones((4, hidden.size), int))
    there = neuro.Dense("p1", "p2", np.ones((hidden.size, 4), int))
    loop = made((source, hidden, neuro.Population("p2", (4,), neuro.Graded(3))), (first, there, back))
    with pytest.raises(NetworkError, match="p1, p2 are a loop"):
        neuro.frame_by_frame(loop)


def test_the_command_takes_windows_along_an_axis(tmp_path: Path) -> None:
    network = drawn(5, twin=True)
    frames = network["p0"].shape[1]
    stream = np.random.default_rng(0).integers(-9, 10, (frames + 4, 3)) * 0.5
    network.save(tmp_path / "n.safetensors")
    np.savez(tmp_path / "x.npz", x=stream)
    command = ["stream", str(tmp_path / "n.safetensors"), str(tmp_path / "x.npz"), "--rate", "50"]
    done = RUNNER.invoke(app, [*command, "--time-axis", "-1", "--json", str(tmp_path / "out.json"), "--quiet"])
    assert done.exit_code == 0, done.output
    told = json.loads((tmp_path / "out.json").read_text())
    expected = neuro.run(network, np.stack([stream[i : i + frames].T for i in range(5)])).logits
    assert np.array_equal(np.array(told["answers"])[frames - 1 :], expected)
    for more, said in ((["--time-axis", "3"], "axis 3 of an input"), (["--causal"], "about windows"), ([], "--time-axis")):
        failed = RUNNER.invoke(app, [*command, *more])
        assert said in str(failed.exception)
