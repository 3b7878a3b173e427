"""Networks with several inputs and outputs, by name: from torch and ONNX to spikes, saved, placed; refused by codes of one."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import converters
import neuro
from converters.evaluation import outputs
from neuro.errors import ConversionError, InputError
from tests.commands import here
from tests.laws import law
from tests.onnx_drawn_ports import SAMPLES, drawn

RNG = np.random.default_rng(0)


class Words(nn.Module):
    """A gate of one input on the other; one output with a softmax behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.d = nn.Linear(6, 8), nn.Linear(4, 8), nn.Linear(8, 3), nn.Linear(8, 2)

    def forward(self, sound, place):
        h = F.silu(self.a(sound)) * torch.sigmoid(self.b(place))
        return {"word": self.c(h), "direction": torch.softmax(self.d(torch.relu(h)), 1)}


def given_inputs(samples: int = 48) -> dict[str, np.ndarray]:
    """Two inputs of very different sizes."""
    rng = np.random.default_rng(1)
    scales = {"sound": (6, 1.0), "place": (4, 50.0)}
    return {name: (size * rng.normal(size=(48, n))).astype(np.float32)[:samples] for name, (n, size) in scales.items()}


@pytest.fixture(scope="module")
def words() -> tuple[nn.Module, converters.Conversion]:
    torch.manual_seed(0)
    model = Words().eval()
    return model, converters.convert(model, given_inputs(), code="graded")


def test_inputs_go_in_and_outputs_come_out_by_name(words) -> None:
    model, made = words
    x = given_inputs()
    wanted = {name: value.detach().numpy() for name, value in model(*map(torch.as_tensor, x.values())).items()}
    quantised = made.quantised(x)
    for engine in ("reference", "event", "torch"):
        run = neuro.run(made.network, dict(reversed(x.items())), engine=engine)
        assert list(run.outputs) == ["word", "direction"]
        assert all(np.array_equal(run.outputs[name], quantised[name]) for name in wanted)
    answers = made.answer(run.outputs)
    for name, value in wanted.items():
        assert np.abs(answers[name] - value).max() < 0.05 * np.ptp(value), name
    assert made.agreement.decisions == 1.0


def test_each_input_has_levels_of_its_own(words) -> None:
    _, made = words
    sound, place = (source.neuron.scale for source in made.network.sources)
    assert 30 < place / sound < 80


def test_several_outputs_have_no_one_decision(words) -> None:
    run = neuro.run(words[1].network, given_inputs(4))
    with pytest.raises(InputError, match=r"run\.of_output\('word'\)\.predictions"):
        _ = run.predictions
    with pytest.raises(ConversionError, match=r"Pass run\.outputs"):
        words[1].answer(run.logits)


def test_one_of_several_outputs_is_read_alone(words) -> None:
    run = neuro.run(words[1].network, given_inputs(4), record=("logits_by_step",))
    for name, values in run.outputs.items():
        alone = run.of_output(name)
        assert list(alone.outputs) == [name]
        assert np.array_equal(alone.outputs[name], values)
        assert np.array_equal(alone.predictions, values.argmax(axis=1))
        assert np.array_equal(alone.logits_by_step[:, -1], values)
    with pytest.raises(InputError, match="Use word or direction"):
        run.of_output("place")


def test_names_are_saved_placed_and_emulated(words, tmp_path: Path) -> None:
    _, made = words
    made.network.save(tmp_path / "words.safetensors")
    again = neuro.Network.load(tmp_path / "words.safetensors")
    assert [p.name for p in again.sources] == ["sound", "place"]
    assert [p.name for p in again.readouts] == ["word", "direction"]
    run = neuro.emulate(neuro.place(again, neuro.load_chip("loihi2")), given_inputs(4)).run
    assert all(np.array_equal(run.outputs[name], value) for name, value in made.quantised(given_inputs(4)).items())


def test_the_diagnosis_is_of_the_output_that_agrees_least(words) -> None:
    diagnosis = words[1].diagnosis
    assert {layer.name for layer in diagnosis.layers} >= {"silu", "sigmoid", "mul"}
    assert 0 < diagnosis.ablations[0].error < 0.01


@pytest.mark.parametrize("code", ["rate", "signed", "wait"])
def test_codes_of_one_input_say_so(code: str) -> None:
    torch.manual_seed(0)
    with pytest.raises(ConversionError, match=rf"2 inputs \(sound, place\), and code='{code}' carries one\. Use code='graded'"):
        converters.convert(Words().eval(), given_inputs(), code=code)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: {"sound": x["sound"]}, "takes sound, place|place"),
        (lambda x: {**x, "more": x["sound"]}, "takes sound, place, the example has sound, place, more"),
        (lambda x: {**x, "place": x["place"][:5]}, "different numbers of samples: 48 of sound, 5 of place"),
        (lambda x: {**x, "place": x["place"] * 0}, "calibration data of 'place'.*every value is zero"),
        (lambda x: x["sound"], "2 inputs|takes sound, place|more inputs"),
    ],
)
def test_wrong_inputs_are_named(change, said: str) -> None:
    torch.manual_seed(0)
    with pytest.raises(neuro.errors.NeuroError, match=said):
        converters.convert(Words().eval(), change(given_inputs()), code="graded")


def test_a_run_wants_each_input(words) -> None:
    with pytest.raises(InputError, match="'place' is not matched.*sound, place"):
        neuro.run(words[1].network, {"sound": given_inputs()["sound"]})


class Both(nn.Module):
    """Logits, and the shares that they stand for."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(5, 4)

    def forward(self, x):
        y = self.a(x)
        return y, torch.softmax(y, 1), torch.relu(y)


def test_a_tail_may_share_its_values_with_another_output() -> None:
    torch.manual_seed(0)
    model, x = Both().eval(), RNG.normal(size=(32, 5)).astype(np.float32)
    made = converters.convert(model, x, code="graded")
    run = neuro.run(made.network, x)
    assert list(run.outputs) == ["output0", "output1", "output2"]
    assert np.allclose(run.outputs["output0"], run.outputs["output1"], atol=0.05)
    for wanted, found in zip(model(torch.as_tensor(x)), made.answer(run.outputs).values(), strict=True):
        assert np.abs(wanted.detach().numpy() - found).max() < 0.05


class Named(nn.Module):
    """The largest value's place, what a table has there, and how sure that is; `apart`: of other values."""

    def __init__(self, apart: bool, plain: bool) -> None:
        super().__init__()
        self.a, self.b, self.table = nn.Linear(5, 4), nn.Linear(5, 1), nn.Embedding(4, 3)
        self.apart, self.plain = apart, plain

    def forward(self, x):
        y = torch.tanh(self.a(x))
        place = y.argmax(1)
        sure = torch.sigmoid(self.b(x)) if self.apart else y.softmax(1)
        found = self.table(place) * sure[:, :1]
        return (found, place, sure, torch.relu(self.b(x))) if self.plain else (found, place)


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("plain", [False, True])
def test_what_reads_an_arg_max_stays_with_the_host(apart: bool, plain: bool) -> None:
    """Exactly: of the float values that it reads it makes what the model answers; of those of spikes nearly."""
    torch.manual_seed(0)
    model, x = Named(apart, plain).eval(), RNG.normal(size=(32, 5)).astype(np.float32)
    made = converters.convert(model, x, code="graded")
    wanted = dict(zip(converters.trace(model, x).outputs, model(torch.as_tensor(x)), strict=True))
    floats, run = outputs(made.graph, x), neuro.run(made.network, x)
    several = len(made.graph.outputs) > 1
    exact = made.answer(floats if several else next(iter(floats.values())))
    near = made.answer(run.outputs if several else run.logits)
    assert set(exact) == set(near) == set(wanted)
    for name, values in wanted.items():
        assert np.allclose(exact[name], values.detach().numpy(), atol=1e-5), name
        assert np.mean(np.abs(near[name] - values.detach().numpy()) > 0.1) < 0.1, name
    assert any("argmax" in note and "stays with the host" in note for note in made.notes)


def test_an_arg_max_that_layers_with_weights_read_is_refused() -> None:
    torch.manual_seed(0)

    class Read(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.table, self.b = nn.Linear(5, 4), nn.Embedding(4, 3), nn.Linear(3, 2)

        def forward(self, x):
            return self.b(self.table(self.a(x).argmax(1)))

    with pytest.raises(ConversionError, match="has no spiking form"):
        converters.convert(Read().eval(), RNG.normal(size=(32, 5)).astype(np.float32), code="graded")


def test_rectified_networks_with_two_outputs_run_as_values() -> None:
    torch.manual_seed(0)
    model = Both().eval()
    made = converters.convert(converters.trace(model, RNG.normal(size=(8, 5))).only("output0", "output2"), given_x := RNG.normal(
        size=(32, 5)).astype(np.float32), code="auto")  # fmt: skip
    assert list(neuro.run(made.network, given_x[:2]).outputs) == ["output0", "output2"]


class Clash(nn.Module):
    """Outputs that are called like its modules, and like its input."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 2), nn.Linear(3, 4)

    def forward(self, x):
        return {"second": self.first(x), "first": self.second(x)}


def test_outputs_keep_their_names_where_layers_have_the_same() -> None:
    torch.manual_seed(0)
    model, x = Clash().eval(), RNG.normal(size=(16, 3)).astype(np.float32)
    made = converters.convert(model, x, code="graded")
    run = neuro.run(made.network, x)
    assert {name: value.shape for name, value in run.outputs.items()} == {"second": (16, 2), "first": (16, 4)}
    assert np.abs(run.outputs["second"] - model.first(torch.as_tensor(x)).detach().numpy()).max() < 0.05


def remembering() -> neuro.Graph:
    """Two inputs a frame, one of which is summed from frame to frame; two outputs."""
    draw = np.random.default_rng(3)
    arrays = {"weight": draw.normal(size=(4, 3)).astype(np.float32) / 2}
    return neuro.Graph(
        (
            neuro.Layer("sound", "input", (), (3,)),
            neuro.Layer("place", "input", (), (4,)),
            neuro.Layer("before", "previous", ("kept",), (4,)),
            neuro.Layer("in", "linear", ("sound",), (4,), arrays),
            neuro.Layer("old", "scale", ("before",), (4,), {"factor": np.full(4, 0.75, np.float32)}),
            neuro.Layer("kept", "add", ("in", "old"), (4,)),
            neuro.Layer("gated", "multiply", ("kept", "place"), (4,)),
            neuro.Layer("word", "linear", ("gated",), (2,), {"weight": draw.normal(size=(2, 4)).astype(np.float32)}),
            neuro.Layer("level", "function", ("kept",), (4,), options={"name": "tanh", "values": ()}),
        ),
        outputs=("word", "level"),
    )


@pytest.mark.parametrize("code", ["graded", "delta"])
def test_streams_of_several_inputs(code: str) -> None:
    draw = np.random.default_rng(4)
    x = {name: draw.normal(size=(12, 6, n)).astype(np.float32) for name, n in (("sound", 3), ("place", 4))}
    graph = remembering()
    made = converters.convert(graph, x, code=code)
    few = {name: one[:4] for name, one in x.items()}
    quantised, wanted = made.quantised(few), outputs(graph, few)
    for engine in ("reference", "event"):
        run = neuro.run(made.network, few, engine=engine)
        for name, value in quantised.items():
            assert value.shape == (4, 6, *graph[name].shape)
            assert np.array_equal(run.outputs[name], value), (engine, name)
            assert np.abs(value - wanted[name]).max() < 0.06 * np.ptp(wanted[name])
    for go in (made.quantised, lambda x: neuro.run(made.network, x)):
        with pytest.raises(InputError, match="different numbers of frames: 6 of sound, 3 of place"):
            go({**few, "place": few["place"][:, :3]})


# Against onnxruntime


@law(12)
@given(st.integers(0, 2**31))
@pytest.mark.filterwarnings("ignore::neuro.errors.AccuracyWarning")
def test_files_with_two_inputs_and_more_outputs(tmp_path_factory, seed: int) -> None:
    """Equal to onnxruntime in float; as spikes the same integers in every engine, and near the float outputs."""
    content, x, names = drawn(seed)
    path = tmp_path_factory.mktemp("ports") / "drawn.onnx"
    path.write_bytes(content)
    graph = converters.read_onnx(path)
    assert (tuple(layer.name for layer in graph.inputs), set(graph.outputs)) == (tuple(x), set(names))
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    wanted = dict(zip(names, session.run(list(names), x), strict=True))
    for name, value in outputs(graph, x).items():
        assert value.shape == wanted[name].shape
        assert np.abs(value - wanted[name]).max() <= 1e-4 * max(1.0, np.abs(wanted[name]).max()), name
    made = converters.convert(path, x, code="graded")
    quantised = made.quantised(x)
    for engine in ("reference", "event"):
        found = neuro.run(made.network, x, engine=engine).outputs
        assert set(found) == set(names)
        assert all(np.array_equal(found[name], quantised[name]) for name in names), engine
    for name, value in made.answer(found).items():
        apart = np.sqrt(np.square(value - wanted[name]).mean())
        assert apart <= 0.1 * max(float(wanted[name].std()), 0.05 * float(np.abs(wanted[name]).max())), name


# On the command line


def two_armed() -> nn.Module:
    torch.manual_seed(0)
    return Words().eval()


def written(folder: Path, **arrays) -> Path:
    np.savez(folder / "data.npz", **arrays)
    return folder / "data.npz"


def test_the_command_takes_arrays_by_the_names_of_the_inputs(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent))
    data, model = written(tmp_path, **given_inputs(16)), "tests.test_ports:two_armed"
    status, _, errors = here(
        monkeypatch, capsys, tmp_path, "run", model, "--data", data, "--json", "out.json", "--against", "a100"
    )
    assert status == 0, errors
    found = json.loads((tmp_path / "out.json").read_text())
    assert (found["samples"], found["accuracy_snn"]) == (16, None)
    missing = written(tmp_path, sound=given_inputs()["sound"], other=given_inputs()["place"])
    status, _, errors = here(monkeypatch, capsys, tmp_path, "run", model, "--data", missing)
    assert status == 2
    assert "the network takes sound, place; the data hold sound, other" in " ".join(errors.split())
    labelled = written(tmp_path, **given_inputs(16), y=np.zeros(16, np.int64))
    status, _, errors = here(monkeypatch, capsys, tmp_path, "run", model, "--data", labelled)
    assert status == 2
    assert "2 outputs (word, direction). Say whose classes y are: --output word" in " ".join(errors.split())


def test_the_command_judges_the_output_that_the_classes_are_of(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent))
    x = given_inputs(16)
    answers = {name: value.detach().numpy() for name, value in two_armed()(*map(torch.as_tensor, x.values())).items()}
    wanted = answers["direction"].argmax(axis=1)
    data, model = written(tmp_path, **x, y=np.where(np.arange(16) < 4, 1 - wanted, wanted)), "tests.test_ports:two_armed"
    asked = ("run", model, "--data", data, "--against", "a100", "--json", "out.json", "--output")
    status, _, errors = here(monkeypatch, capsys, tmp_path, *asked, "direction", "--report", "out.html")
    assert status == 0, errors
    found = json.loads((tmp_path / "out.json").read_text())
    assert (found["accuracy_ann"], found["accuracy_snn"]) == (0.75, 0.75)
    status, _, errors = here(monkeypatch, capsys, tmp_path, *asked, "place")
    assert status == 2
    assert "output 'place': the network has 2 outputs (word, direction). Use word or direction" in " ".join(errors.split())


def test_the_command_takes_files_with_several_inputs(tmp_path: Path, monkeypatch, capsys) -> None:
    content, x, names = drawn(5)
    (tmp_path / "drawn.onnx").write_bytes(content)
    data = written(tmp_path, **x)
    status, _, errors = here(monkeypatch, capsys, tmp_path, "run", "drawn.onnx", "--data", data, "--json", "out.json", "--quiet")
    assert status == 0, errors
    assert json.loads((tmp_path / "out.json").read_text())["samples"] == SAMPLES
    alone = written(tmp_path, x=x["left"])
    status, _, errors = here(monkeypatch, capsys, tmp_path, "run", "drawn.onnx", "--data", alone)
    assert status == 2
    assert "left, right" in " ".join(errors.split())


def test_the_command_lists_inputs_and_outputs(words, tmp_path: Path, monkeypatch, capsys) -> None:
    words[1].network.save(tmp_path / "words.safetensors")
    status, printed, _ = here(monkeypatch, capsys, tmp_path, "inspect", "words.safetensors", "--json", "-")
    shown = json.loads(printed)
    assert status == 0
    assert [(one["name"], one["shape"]) for one in shown["inputs"] + shown["outputs"]] == [
        ("sound", "6"), ("place", "4"), ("word", "3"), ("direction", "2"),
    ]  # fmt: skip
    data = written(tmp_path, **given_inputs(8))
    status, _, errors = here(monkeypatch, capsys, tmp_path, "run", "words.safetensors", "--data", data, "--quiet")
    assert status == 0, errors


@pytest.mark.parametrize("command", ["sweep", "optimise", "faults"])
def test_commands_of_one_input_say_so(command: str, tmp_path: Path, monkeypatch, capsys) -> None:
    data = written(tmp_path, **given_inputs(16))
    status, _, errors = here(monkeypatch, capsys, tmp_path, command, "tests.test_ports:two_armed", "--data", data)
    assert status == 2
    assert "arrays of several inputs (sound, place)" in " ".join(errors.split())
