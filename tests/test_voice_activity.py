"""Voice activity on the chip: the decisions of a network of the wild on real recordings, and the example that shows it."""

import runpy
from pathlib import Path

import numpy as np
import pytest

import neuro
from converters.evaluation import outputs
from neuro.serving.streams import pace

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared" / "data"
LEAST = {"spinnaker2": 0.99, "loihi2": 0.985}  # of few frames; docs/streams.md has many
pytestmark = pytest.mark.skipif(not (SHARED / "wild").exists(), reason="shared data is absent")


@pytest.fixture(scope="module")
def voice():
    example = runpy.run_path(str(ROOT / "examples" / "voice_activity.py"))
    known = example["streams"](SHARED / "speech_commands" / "scv2_val.npz", 6, 4, 0)
    graph, front, rest = example["voice_network"](SHARED / "wild" / "silero_vad_16k.onnx", known)
    return example, graph, front, rest, {chip: example["converted"](front, rest, known, chip=chip) for chip in LEAST}


@pytest.mark.parametrize("chip", LEAST)
def test_decisions_on_new_recordings_are_those_of_the_float_network(voice, chip: str) -> None:
    example, graph, front, _, made = voice
    made = made[chip]
    new = example["streams"](SHARED / "speech_commands" / "scv2_test.npz", 4, 5, 1)
    truth = outputs(graph, new)[graph.output.name][..., 0]
    said = made.answer(made.quantised(example["spectra"](front, new))).reshape(truth.shape)
    assert 0.1 < (truth > 0.5).mean() < 0.9
    assert ((said > 0.5) == (truth > 0.5)).mean() >= LEAST[chip]


def test_the_host_and_the_chip_together_are_the_whole_network(voice) -> None:
    example, graph, front, rest, _ = voice
    x = example["streams"](SHARED / "speech_commands" / "scv2_test.npz", 1, 1, 2)
    whole = outputs(graph, x)[graph.output.name]
    assert np.allclose(outputs(rest, example["spectra"](front, x))[rest.output.name], whole, atol=1e-4)


def test_it_keeps_up_with_the_microphone(voice) -> None:
    example, _, front, _, both = voice
    made = both["loihi2"]
    x = example["spectra"](front, example["streams"](SHARED / "speech_commands" / "scv2_test.npz", 1, 1, 2))[:, :4]
    run = neuro.emulate(neuro.place(made.network, neuro.load_chip("loihi2")), x)
    found = pace(run)
    assert np.array_equal(run.run.frames, made.quantised(x))
    assert found.period == 5
    assert found.busy(example["RATE_HZ"]) < 0.01
    assert found.frame_s == pytest.approx(found.period * found.latency_s / found.depth)
