"""Live reports of known networks, and a page that lists them, for `python -m docs.site FOLDER --gallery`.

Each is what `neuro run --report` writes: test samples on an emulated Loihi 2 beside machines. The digits come with the package;
the other networks and their data lie in ../shared/data, and are left out by name where that is absent. Pages hold figures and
numbers, no sample of the data but the one whose spikes they draw.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

import converters
import neuro
from benchmarks.conversion_networks import CASES, DATA
from benchmarks.published_networks import chain, enlarged_photographs, sound_frames
from benchmarks.train_nmnist import SIZE, STEP_US, STEPS, event_cnn
from converters.evaluation import outputs
from examples import voice_activity
from neuro.events import driven_by_events, read_recordings, stacked

SAMPLES = 100
STREAMS = 6  # of about 155 frames
EVENT_WEIGHTS = Path(__file__).parent.parent / "examples" / "nmnist_cnn.safetensors"
WITHOUT_DATA = {
    "MLPerf Tiny: image classification": "its weights are not at hand; the ResNet-20 stands for it",
}


@dataclass(frozen=True, slots=True)
class Subject:
    """A network with its test samples, as arguments of `neuro.study`."""

    title: str
    data: str  # the folder of ../shared/data that it needs, or ""
    arguments: Callable[[], dict[str, Any]]
    fed: str = ""  # what is fed to it, where that is not its own test data
    measured: Callable[[Any, dict[str, Any]], str] | None = None  # of the study and its arguments, where there are no labels


def _case(name: str) -> Callable[[], dict[str, Any]]:
    def made() -> dict[str, Any]:
        case = CASES[name]()
        return {"model": case.model, "x": case.x[:SAMPLES], "labels": case.y[:SAMPLES], "calibration": case.calibration}

    return made


def _events() -> dict[str, Any]:
    """As examples/event_camera.py makes it: the wait code, with the camera in place of input neurons."""
    paths = (DATA / "nmnist_small" / f"nmnist_{part}.npz" for part in ("train", "test"))
    known, test = (read_recordings(path, size=(SIZE, SIZE)) for path in paths)
    model = event_cnn().eval()
    model.load_state_dict(load_file(EVENT_WEIGHTS))
    shares = stacked(known.recordings[:200], step_us=STEP_US, steps=STEPS).mean(axis=1).astype(np.float32)
    shares[0, 0, 0, 0] = 1.0  # the largest input: an event at every step
    made = converters.convert(model, shares, code="wait", timesteps=STEPS, input="spikes")
    x = stacked(test.recordings[:SAMPLES], step_us=STEP_US, steps=STEPS)
    return {"model": driven_by_events(made.network), "x": x, "labels": test.labels[:SAMPLES], "timesteps": STEPS}


def _wake_words() -> dict[str, Any]:
    known, new = (enlarged_photographs(part, count) for part, count in (("train", 256), ("test", SAMPLES)))
    return {"model": chain("mlperf_vww_mobilenet96"), "x": new, "calibration": known}


def _same_decisions(study: neuro.Study, given: dict[str, Any]) -> str:
    truth, found = _floats(given), study.trial.chip_run.run.logits
    same, person = (truth.argmax(1) == found.argmax(1)).mean(), truth.argmax(1).mean()
    alike = np.corrcoef(truth[:, 1] - truth[:, 0], found[:, 1] - found[:, 0])[0, 1]
    return (
        f"{100 * same:.0f} % of decisions are the float network's, which sees a person in {100 * person:.0f} %; "
        f"how sure both are correlates by {alike:.3f}."
    )


def _anomalies() -> dict[str, Any]:
    known, new = (sound_frames(part, count) for part, count in (("val", 512), ("test", SAMPLES)))
    return {"model": chain("mlperf_ad_autoencoder"), "x": new, "calibration": known, "code": "graded"}


def _same_errors(study: neuro.Study, given: dict[str, Any]) -> str:
    """The score that the benchmark judges by, the mean squared error of what comes out against what went in."""
    x = given["x"]
    one, other = (((said - x) ** 2).mean(axis=1) for said in (_floats(given), study.trial.chip_run.run.logits))
    apart, alike = np.abs(other / one - 1), np.corrcoef(one, other)[0, 1]
    return (
        f"The error of what it rebuilds is the float network's to within {100 * apart.max():.2f} % "
        f"({100 * apart.mean():.2f} % on average; correlation {alike:.5f})."
    )


def _floats(given: dict[str, Any]) -> np.ndarray[Any, Any]:
    with torch.no_grad():
        return np.asarray(given["model"](torch.from_numpy(given["x"])))


def _voice() -> dict[str, Any]:
    """As examples/voice_activity.py makes it: the chip's part of silero-vad, on streams of recordings; decisions of frames."""
    known, new = (
        voice_activity.streams(DATA / "speech_commands" / f"scv2_{part}.npz", count, 5, seed)
        for part, count, seed in (("val", 12, 0), ("test", STREAMS, 1))
    )
    graph, front, rest = voice_activity.voice_network(DATA / "wild" / "silero_vad_16k.onnx", known)
    made = voice_activity.converted(front, rest, known)
    truth = outputs(graph, new)[graph.output.name][..., 0] > 0.5
    return {"model": made.network, "x": voice_activity.spectra(front, new), "answer": made.answer, "truth": truth}


def _same_frames(study: neuro.Study, given: dict[str, Any]) -> str:
    truth = given["truth"]
    said = given["answer"](study.trial.chip_run.run.frames).reshape(truth.shape) > 0.5
    return (
        f"{100 * (said == truth).mean():.1f} % of {truth.size:,} frames are decided as by the float network, "
        f"which hears speech in {100 * truth.mean():.0f} %."
    )


SUBJECTS = {
    "digits": Subject("Handwritten digits of 8 x 8 pixels, the demo's network", "", _case("digits")),
    "mnist": Subject("MNIST, the test network of sinabs", "mnist", _case("sinabs_mnist_cnn")),
    "keywords": Subject("MLPerf Tiny: keyword spotting, DS-CNN", "speech_commands", _case("mlperf_kws_dscnn")),
    "spoken": Subject("Spoken digits, a residual network", "fsdd", _case("spoken_digits")),
    "wake-words": Subject(
        "MLPerf Tiny: visual wake words, MobileNetV1",
        "pretrained",
        _wake_words,
        "Photographs of CIFAR-10 (lossy copies), enlarged to 96 x 96: not its own data, so nothing is said of its accuracy.",
        _same_decisions,
    ),
    "anomalies": Subject(
        "MLPerf Tiny: anomaly detection, autoencoder",
        "pretrained",
        _anomalies,
        "Five log-mel frames each of Speech Commands: real sound, though of no machine, so nothing is said of its accuracy.",
        _same_errors,
    ),
    "voice": Subject(
        "Voice activity, silero-vad",
        "wild",
        _voice,
        f"{STREAMS} streams of some 155 frames of Speech Commands, each an inference; spectra come from the host.",
        _same_frames,
    ),
    "images": Subject("CIFAR-10 (lossy copies), ResNet-20", "cifar10_jpeg", _case("cifar_resnet20")),
    "events": Subject("N-MNIST, events of a camera as they come", "nmnist_small", _events),
}


def build(folder: Path) -> str:
    """Write the report of each subject into a folder, and return the body of the page that lists them. A subject without its data
    is said to be so."""
    lines = []
    for name, subject in SUBJECTS.items():
        if subject.data and not (DATA / subject.data).is_dir():
            lines.append(f"<li>{escape(subject.title)}: left out, shared/data/{subject.data} is absent</li>")
            continue
        given = subject.arguments()
        study = neuro.study(**{name: value for name, value in given.items() if name not in ("answer", "truth")})
        said = tuple(filter(None, (subject.fed, subject.measured(study, given) if subject.measured else "")))
        report = folder / f"gallery-{name}.html"
        replace(
            study, title=f"{subject.title}, on {study.trial.chip_run.placement.chip.name}", facts=(*said, *study.facts)
        ).write_report(report)
        answer = study.to_dict()["verdict"]["answer"][:1] if study.comparison else []
        link = f'<a href="{report.name}">{escape(subject.title)}</a>'
        lines.append(f"<li>{link}: {escape(' '.join((*answer, *said)))}</li>")
    lines += [f"<li>{escape(title)}: not here, {escape(why)}</li>" for title, why in WITHOUT_DATA.items()]
    intro = f"<p>Each page runs {SAMPLES} samples, or as many as it says, on an emulated Loihi 2; sliders price them again.</p>"
    return f'<h1 id="gallery">Gallery</h1>{intro}<ul>{"".join(lines)}</ul>'
