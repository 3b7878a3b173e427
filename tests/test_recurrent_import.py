"""Recurrent networks of torch and ONNX as graphs: whole sequences, streams, and files of one step with their states."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from torch import nn

import converters
import neuro
from converters.evaluation import logits

ort = pytest.importorskip("onnxruntime")
WILD = Path(__file__).parent.parent.parent / "shared" / "data" / "wild"
NEAR = 1e-5


class Layers(nn.Module):
    """Linear layers around a recurrent one, which answers at every step or once, behind the last."""

    def __init__(self, kind: str, last: bool, **how) -> None:
        super().__init__()
        self.before, self.last = nn.Linear(5, 6), last
        self.recurrent = getattr(nn, kind)(6, 7, batch_first=True, **how)
        self.behind = nn.Linear(how.get("proj_size", 7) * (1 + how.get("bidirectional", False)), 3)

    def forward(self, x):
        h, _ = self.recurrent(torch.relu(self.before(x)))
        return self.behind(h[:, -1] if self.last else h)


HOW = {
    "plain": {},
    "two layers": {"num_layers": 2},
    "both ways": {"bidirectional": True, "num_layers": 2},
    "no bias": {"bias": False},
}
STREAM = np.random.default_rng(0).normal(size=(3, 6, 5)).astype(np.float32)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_recurrent_modules_become_graphs_of_sequences_and_of_frames(kind: str, how: str, last: bool) -> None:
    torch.manual_seed(0)
    model = Layers(kind, last, **HOW[how]).eval()
    with torch.no_grad():
        expected = model(torch.as_tensor(STREAM)).numpy()
    assert np.abs(logits(converters.trace(model, STREAM), STREAM) - expected).max() < NEAR
    if "bidirectional" in HOW[how]:
        with pytest.raises(neuro.NeuroError, match="frames that are still to come"):
            converters.trace(model, STREAM, frames=True)
        return
    found = logits(converters.trace(model, STREAM, frames=True), STREAM)
    assert found.shape == (3, 6, 3)
    assert np.abs((found[:, -1] if last else found) - expected).max() < NEAR


def test_relu_and_first_states_are_kept() -> None:
    class Started(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.RNN(5, 4, nonlinearity="relu", batch_first=True)
            self.second = nn.LSTM(4, 3)

        def forward(self, x):
            h, last = self.first(x, torch.full((1, len(x), 4), 0.5))
            h, (_, c) = self.second(h.transpose(0, 1), (torch.ones(1, len(x), 3), -torch.ones(1, len(x), 3)))
            return torch.cat([h[-1], c[0], last[0]], 1)

    torch.manual_seed(0)
    model = Started().eval()
    with torch.no_grad():
        expected = model(torch.as_tensor(STREAM)).numpy()
    assert np.abs(logits(converters.trace(model, STREAM), STREAM) - expected).max() < NEAR
    assert np.abs(logits(converters.trace(model, STREAM, frames=True), STREAM)[:, -1] - expected).max() < NEAR


def test_causal_convolutions_remember_frames() -> None:
    class Causal(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Conv1d(5, 8, 3), nn.Conv1d(8, 4, 3, dilation=2)

        def forward(self, x):
            x = torch.relu(self.one(nn.functional.pad(x.transpose(1, 2), (2, 0))))
            return self.two(nn.functional.pad(x, (4, 0))).transpose(1, 2)

    torch.manual_seed(0)
    model = Causal().eval()
    with torch.no_grad():
        expected = model(torch.as_tensor(STREAM)).numpy()
    graph = converters.trace(model, STREAM, frames=True)
    assert np.abs(logits(graph, STREAM) - expected).max() < NEAR
    assert sum(layer.op == "previous" for layer in graph.layers) == 6
    made = converters.convert(model, STREAM, code="graded", frames=True)
    assert np.array_equal(neuro.run(made.network, STREAM, engine="reference").frames, made.quantised(STREAM))


def test_layers_that_mix_frames_are_refused() -> None:
    class Mixes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv1d(5, 8, 3, padding=1)

        def forward(self, x):
            return self.conv(x.transpose(1, 2)).transpose(1, 2)

    with pytest.raises(neuro.NeuroError, match=r"differs from what it computes for its frames.*F\.pad"):
        converters.trace(Mixes(), STREAM, frames=True)
    with pytest.raises(neuro.NeuroError, match="axis of samples"):
        converters.trace(nn.LSTM(5, 3), STREAM)


@pytest.mark.parametrize("kind", ["LSTMCell", "GRUCell", "RNNCell"])
def test_cells_whose_states_go_out_and_in_are_closed(kind: str) -> None:
    class Step(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = getattr(nn, kind)(5, 4)

        def forward(self, x, h, c):
            new = self.cell(x, (h, c) if kind == "LSTMCell" else h)
            h, c = new if kind == "LSTMCell" else (new, c + new)
            return {"y": h * 2, "hn": h, "cn": c}

    torch.manual_seed(0)
    model, h, c, expected = Step().eval(), torch.zeros(3, 4), torch.zeros(3, 4), []
    for frame in range(STREAM.shape[1]):
        with torch.no_grad():
            out = model(torch.as_tensor(STREAM[:, frame]), h, c)
        h, c = out["hn"], out["cn"]
        expected.append(out["y"].numpy())
    zeros = np.zeros((3, 4), np.float32)
    for state in (True, {"h": "hn", "c": "cn"}):
        graph = converters.trace(model, (STREAM[:, 0], zeros, zeros), state=state)
        assert [layer.name for layer in graph.inputs] == ["x"]
        assert graph.outputs == ("y",)
        assert np.abs(logits(graph, STREAM) - np.stack(expected, 1)).max() < NEAR
    for state, told in (({"h": "y", "z": "cn"}, "Name an input"), ({"x": "hn"}, "same shape")):
        with pytest.raises(neuro.NeuroError, match=told):
            converters.trace(model, (STREAM[:, 0], zeros, zeros), state=state)


def operator(kind: str, seed: int, folder: Path, steps: int, **how) -> Path:
    """A file of one recurrent operator of random weights, of one sequence (steps, 1, 5)."""
    rng, size = np.random.default_rng(seed), 4
    gates, sides = {"LSTM": 4, "GRU": 3, "RNN": 1}[kind], 1 + (how.get("direction") == "bidirectional")
    peep = how.pop("peepholes", False)
    given = {"w": (sides, gates * size, 5), "r": (sides, gates * size, size), "b": (sides, 2 * gates * size),
             "h": (sides, 1, size), "c": (sides, 1, size), "p": (sides, 3 * size)}  # fmt: skip
    names = ["x", "w", "r", "b", "", "h"] + (["c", "p"] if peep else ["c"]) * (kind == "LSTM")
    node = helper.make_node(kind, names, ["y", "yh"], "cell", hidden_size=size, **how)
    weights = [numpy_helper.from_array(rng.normal(size=s).astype(np.float32) / 2, n) for n, s in given.items() if n in names]
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [steps, 1, 5])
    outputs = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None) for n in ("y", "yh")]
    model = helper.make_model(
        helper.make_graph([node], "g", [x], outputs, weights), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    onnx.save(model, folder / "m.onnx")
    return folder / "m.onnx"


OPERATORS = {
    "lstm": ("LSTM", {}),
    "lstm, both ways": ("LSTM", {"direction": "bidirectional"}),
    "lstm, peepholes": ("LSTM", {"peepholes": True}),
    "lstm, activations": ("LSTM", {"activations": ["Sigmoid", "Softsign", "Relu"]}),
    "gru": ("GRU", {}),
    "gru, reset behind": ("GRU", {"linear_before_reset": 1, "direction": "reverse"}),
    "rnn": ("RNN", {"activations": ["Relu", "Tanh"], "direction": "bidirectional"}),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_onnx_operators_are_what_onnxruntime_computes(name: str, tmp_path: Path) -> None:
    kind, how = OPERATORS[name]
    path = operator(kind, 1, tmp_path, 5, **dict(how))
    x = np.random.default_rng(0).normal(size=(5, 1, 5)).astype(np.float32)
    expected = ort.InferenceSession(path).run(None, {"x": x})
    graph = converters.read_onnx(path, samples=False)
    for output, wanted in zip(graph.outputs, expected, strict=True):
        assert np.abs(logits(graph.only(output), x[None])[0] - wanted).max() < NEAR
    if how.get("direction") is None:
        streamed = converters.read_onnx(operator(kind, 1, tmp_path, 1, **dict(how)), samples=False, frames=True).only("y")
        assert np.abs(logits(streamed, x[None, :, None])[0].reshape(5, -1) - expected[0].reshape(5, -1)).max() < NEAR


@pytest.mark.skipif(not WILD.exists(), reason="shared data is absent")
def test_a_voice_activity_file_keeps_its_state() -> None:
    path = WILD / "silero_vad_16k.onnx"
    graph = converters.read_onnx(path, shape=(576,), fixed={"sr": 16000}, state=True)
    x = np.random.default_rng(0).normal(size=(2, 6, 576)).astype(np.float32) / 10
    session, state, expected = ort.InferenceSession(path), np.zeros((2, 2, 128), np.float32), []
    for frame in range(6):
        y, state = session.run(None, {"input": x[:, frame], "state": state, "sr": np.array(16000)})
        expected.append(y)
    assert np.abs(logits(graph, x) - np.stack(expected, 1)).max() < NEAR


@pytest.mark.skipif(not WILD.exists(), reason="shared data is absent")
def test_an_echo_rating_with_gru_is_read() -> None:
    path, start = WILD / "aecmos_gru.onnx", np.zeros((4, 1, 64), np.float32)
    graph = converters.read_onnx(path, shape=(3, 32, 160), fixed={"h0": start})
    x = np.random.default_rng(0).normal(size=(1, 3, 32, 160)).astype(np.float32)
    expected = ort.InferenceSession(path).run(None, {"input": x, "h0": start})[0]
    assert np.abs(logits(graph, x).ravel() - expected).max() < 1e-4
