"""Live reports of known networks, and a page that lists them, for `python -m docs.site FOLDER --gallery`.

Each is what `neuro run --report` writes: 100 test samples on an emulated Loihi 2 beside machines. The digits come with the
package; the other networks and their data lie in ../shared/data, and are left out by name where that is absent.
"""

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file

import converters
import neuro
from benchmarks.conversion_networks import CASES, DATA
from benchmarks.train_nmnist import SIZE, STEP_US, STEPS, event_cnn
from neuro.events import driven_by_events, read_recordings, stacked

SAMPLES = 100
EVENT_WEIGHTS = Path(__file__).parent.parent / "examples" / "nmnist_cnn.safetensors"
WITHOUT_DATA = {
    "MLPerf Tiny: visual wake words, anomaly detection": "their weights are public, inputs to run them on are not at hand",
    "MLPerf Tiny: image classification": "its weights are not at hand; the ResNet-20 stands for it",
}


@dataclass(frozen=True, slots=True)
class Subject:
    """A network with its test samples, as arguments of `neuro.study`."""

    title: str
    data: str  # the folder of ../shared/data that it needs, or ""
    arguments: Callable[[], dict[str, Any]]


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


SUBJECTS = {
    "digits": Subject("Handwritten digits of 8 x 8 pixels, the demo's network", "", _case("digits")),
    "mnist": Subject("MNIST, the test network of sinabs", "mnist", _case("sinabs_mnist_cnn")),
    "keywords": Subject("MLPerf Tiny: keyword spotting, DS-CNN", "speech_commands", _case("mlperf_kws_dscnn")),
    "spoken": Subject("Spoken digits, a residual network", "fsdd", _case("spoken_digits")),
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
        study = neuro.study(**subject.arguments())
        report = folder / f"gallery-{name}.html"
        study.write_report(report)
        answer = study.to_dict()["verdict"]["answer"] if study.comparison else [f"accuracy {study.accuracy}"]
        link = f'<a href="{report.name}">{escape(subject.title)}</a>'
        lines.append(f"<li>{link}: {escape(' '.join(answer[:1]))}</li>")
    lines += [f"<li>{escape(title)}: not here, {escape(why)}</li>" for title, why in WITHOUT_DATA.items()]
    intro = f"<p>Each page runs {SAMPLES} test samples on an emulated Loihi 2; sliders price the same counts again.</p>"
    return f'<h1 id="gallery">Gallery</h1>{intro}<ul>{"".join(lines)}</ul>'
