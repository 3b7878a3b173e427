"""Graphs with frames: `previous`, what it may and may not do, and their float arithmetic."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import neuro
from converters.evaluation import evaluate, logits, outputs
from neuro import Graph, Layer


def leaky(decay: float, start: float = 0.0) -> Graph:
    """h = decay * previous h + x."""
    arrays = {"start": np.array([start])} if start else {}
    return Graph(
        (
            Layer("x", "input", (), (3,)),
            Layer("before", "previous", ("h",), (3,), arrays),
            Layer("kept", "scale", ("before",), (3,), {"factor": np.array(decay)}),
            Layer("h", "add", ("kept", "x"), (3,)),
            Layer("y", "identity", ("h",), (3,)),
        )
    )


@given(st.floats(-1, 1), st.floats(-2, 2), st.integers(1, 9))
@settings(max_examples=25, deadline=None)
def test_a_loop_is_evaluated_frame_by_frame(decay: float, start: float, frames: int) -> None:
    x = np.random.default_rng(frames).normal(size=(2, frames, 3)).astype(np.float32)
    found, h = logits(leaky(decay, start), x), np.full((2, 3), start)
    for frame in range(frames):
        h = np.float32(decay) * h + x[:, frame]
        assert np.allclose(found[:, frame], h, atol=1e-5)


def test_a_delay_line_is_a_causal_convolution() -> None:
    weight = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    graph = Graph(
        (
            Layer("x", "input", (), (2,)),
            Layer("one", "previous", ("x",), (2,)),
            Layer("two", "previous", ("one",), (2,)),
            Layer("all", "concat", ("two", "one", "x"), (6,), {}, {"axis": 0}),
            Layer("y", "linear", ("all",), (4,), {"weight": weight}),
        )
    )
    x = np.random.default_rng(1).normal(size=(3, 7, 2)).astype(np.float32)
    kernel = torch.as_tensor(weight).reshape(4, 3, 2).permute(0, 2, 1)
    padded = torch.nn.functional.pad(torch.as_tensor(x).transpose(1, 2), (2, 0))
    wanted = torch.nn.functional.conv1d(padded, kernel).transpose(1, 2)
    assert np.allclose(outputs(graph, x)["y"], wanted, atol=1e-5)
    assert graph.has_frames
    assert evaluate(graph, {"x": torch.as_tensor(x)}, ("two",))["two"].shape == (3, 7, 2)


def test_files_keep_loops(tmp_path: Path) -> None:
    graph = leaky(0.5, 1.0)
    graph.save(tmp_path / "g.safetensors")
    assert Graph.load(tmp_path / "g.safetensors") == graph
    assert neuro.weigh(leaky_network()).macs == 9


def leaky_network() -> Graph:
    return Graph((*leaky(0.5).layers, Layer("out", "linear", ("y",), (3,), {"weight": np.eye(3)})))


def test_what_a_loop_needs_is_kept() -> None:
    graph = Graph((*leaky(0.5).layers, Layer("z", "identity", ("x",), (3,))), outputs=("y", "z"))
    assert [layer.name for layer in graph.only("y").layers] == ["x", "before", "kept", "h", "y"]
    assert [layer.name for layer in graph.only("z").layers] == ["x", "z"]


X = Layer("x", "input", (), (3,))


@pytest.mark.parametrize(
    ("layers", "told"),
    [
        ((X, Layer("p", "previous", ("q",), (3,))), "'q' does not exist"),
        ((X, Layer("p", "previous", ("x",), (2,))), r"yields \(3,\)"),
        ((X, Layer("p", "previous", ("x",), (3,), {"start": np.ones(2)})), "start of shape"),
        ((X, Layer("p", "previous", ("q",), (3,)), Layer("q", "previous", ("p",), (3,)), Layer("y", "identity", ("x",), (3,))),
         "feed each other"),
        ((X, Layer("p", "previous", ("p",), (3,)), Layer("y", "identity", ("x",), (3,))), "feed each other"),
        ((X, Layer("a", "add", ("x", "b"), (3,)), Layer("b", "identity", ("a",), (3,))), "does not come before"),
    ],
)  # fmt: skip
def test_loops_without_sense_are_refused(layers: tuple[Layer, ...], told: str) -> None:
    with pytest.raises(neuro.NeuroError, match=told):
        Graph(layers)


def test_inputs_need_frames() -> None:
    with pytest.raises(neuro.NeuroError, match=r"samples, frames, 3"):
        outputs(leaky(0.5), np.zeros((2, 3), np.float32))
