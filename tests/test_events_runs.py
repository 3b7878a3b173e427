"""Events on chips: networks driven by a camera, recordings on the command line, N-MNIST from recording to energy."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import converters
import neuro
from neuro.events import Recording, driven_by_events, stacked
from tests.commands import here

ROOT = Path(__file__).parent.parent
DATA = ROOT.parent / "shared" / "data" / "nmnist_small"
STEPS = 12


def camera_net() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(2, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(36, 3)).eval()


def seen(count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    recordings = [
        Recording(
            rng.integers(0, 8, 90), rng.integers(0, 8, 90), np.sort(rng.integers(0, 12_000, 90)), rng.random(90) < 0.6, 8, 8
        )
        for _ in range(count)
    ]
    return stacked(recordings, step_us=1000, steps=STEPS)


def converted(code: str, marked: bool = True, how: str = "spikes") -> neuro.Network:
    shares = seen(30).mean(axis=1).astype(np.float32)
    shares[0, 0, 0, 0] = 1.0 if marked else shares[0, 0, 0, 0]
    return converters.convert(camera_net(), shares, code=code, timesteps=STEPS, input=how).network


def test_the_wait_code_answers_a_stream_of_events_as_it_answers_their_shares() -> None:
    x = seen(20)
    with torch.no_grad():
        wanted = camera_net()(torch.from_numpy(x.mean(axis=1).astype(np.float32))).numpy()
    found = neuro.run(driven_by_events(converted("wait")), x, timesteps=STEPS).logits
    assert np.abs(found - wanted).max() < 0.1 * np.abs(wanted).max()
    turned = neuro.run(driven_by_events(converted("wait")), x[:, ::-1], timesteps=STEPS).logits
    assert np.array_equal(found, turned), "the order of events does not matter"


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (lambda: converted("wait", marked=False), "a spike at every step stands for 0.*one pixel is 1"),
        (lambda: converted("wait", how="auto"), "not input neurons that spike"),
    ],
)
def test_networks_in_which_a_spike_stands_for_something_else_are_refused(network, message) -> None:
    with pytest.raises(neuro.errors.InputError, match=message):
        driven_by_events(network())


def bins(folder: Path, spikes: np.ndarray, labels: list[int]) -> None:
    """Recordings as N-MNIST's files of five bytes an event, in folders by class."""
    for i, (recording, label) in enumerate(zip(spikes, labels, strict=True)):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
        step, on, y, x = np.nonzero(recording)
        t = step * 1000
        raw = np.stack([x, y, (on << 7) | (t >> 16), t >> 8 & 255, t & 255], axis=1).astype(np.uint8)
        (folder / str(label) / f"{i:03}.bin").write_bytes(raw.tobytes())


def test_the_command_takes_a_folder_of_recordings(tmp_path, monkeypatch, capsys) -> None:
    size = 34
    network = neuro.Network(
        (neuro.Population("in", (2, size, size), neuro.Source(levels=1)), neuro.Population("out", (3,), neuro.Readout())),
        (neuro.Dense("in", "out", np.random.default_rng(2).integers(-9, 9, (2 * size * size, 3))),),
    )
    spikes = np.zeros((4, STEPS, 2, size, size), np.int16)
    spikes[:, :, :, :8, :8] = seen(4)
    spikes[:, 0, 0, 0, 0] = spikes[:, -1, 1, 33, 33] = 1  # from the first step to the last
    answers = neuro.run(network, spikes).predictions
    bins(tmp_path / "set", spikes, answers.tolist())
    network.save(tmp_path / "net.safetensors")
    status, said, error = here(monkeypatch, capsys, tmp_path, "run", "net.safetensors", "--data", "set", "--step-us", "1000")
    assert status == 0, error
    assert "100" in said
    status, _, error = here(monkeypatch, capsys, tmp_path, "run", "net.safetensors", "--data", "set")
    assert status == 2
    assert "Add --step-us" in error


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="shared/data is not there")
def test_nmnist_from_recording_to_energy(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["event_camera.py", *(str(DATA / f"nmnist_{part}.npz") for part in ("train", "test"))])
    found = runpy.run_path(str(ROOT / "examples" / "event_camera.py"), run_name="__main__")
    assert np.mean(found["run"].predictions == found["test"].labels) >= 0.97
    assert "energy per recording" in capsys.readouterr().out
    assert (tmp_path / "events.safetensors").is_file()
