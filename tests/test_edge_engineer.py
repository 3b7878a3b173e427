"""The edge engineer: weights of torch.save, the file that defines the network, images. The first command must be right."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from neuro.digits.data import Digits, load_digits
from neuro.digits.model import train
from neuro.rivals import EDGE
from tests.commands import here
from tests.samplefolders import save_image, sound_folder

NET = """
import torch
from torch import nn

class Net(nn.Sequential):
    def __init__(self):
        layers = []
        for before, after in ((1, 16), (16, 32), (32, 32)):
            layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
            layers += [nn.AvgPool2d(2)] if before > 1 else []
        super().__init__(*layers, nn.Flatten(), nn.Linear(128, 10))

def net():
    return Net()
"""
STEP = 15  # grey levels a step of the digits' 0 to 16
EACH = 12  # images a class


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Path:
    """net.py, net.pt and images/, as they come from a training script."""
    folder = tmp_path_factory.mktemp("engineer")
    digits = load_digits()
    trained = train(Digits(digits.x_train * 16 * STEP / 255, digits.y_train, digits.x_held_out, digits.y_held_out), epochs=12)
    own = dict(zip(_names(folder), trained.state_dict().values(), strict=True))
    torch.save({"epoch": 12, "model": own}, folder / "net.pt")
    save_file(own, folder / "net.safetensors")
    for label in range(10):
        for k, image in enumerate(digits.x_held_out[digits.y_held_out == label][:EACH]):
            save_image(folder / "images" / f"{label}" / f"{k}.png", np.rint(image[0] * 16 * STEP).astype(np.uint8))
    return folder


def _names(folder: Path) -> list[str]:
    (folder / "net.py").write_text(NET)
    scope: dict[str, type] = {}
    exec(compile(NET, "net.py", "exec"), scope)
    return list(scope["Net"]().state_dict())


def test_the_first_command_gives_the_right_verdict(desk, tmp_path, monkeypatch, capsys) -> None:
    arguments = ("run", "net.py:Net", "--weights", "net.pt", "--data", "images", "--json", "out.json")
    monkeypatch.setenv("COLUMNS", "80")
    status, printed, errors = here(monkeypatch, capsys, desk, *arguments)
    assert status == 0, errors
    found = json.loads((desk / "out.json").read_text())

    scope: dict[str, type] = {}
    exec(compile(NET, "net.py", "exec"), scope)
    net = scope["Net"]()
    net.load_state_dict(torch.load(desk / "net.pt", weights_only=True)["model"])
    right = [
        int(net.eval()(torch.tensor(np.array(Image.open(file)) / 255, dtype=torch.float32)[None, None]).argmax()) == label
        for label in range(10)
        for file in (desk / "images" / f"{label}").iterdir()
    ]
    assert found["accuracy_ann"] == pytest.approx(np.mean(right))
    assert np.mean(right) > 0.9
    assert found["accuracy_snn"] >= found["accuracy_ann"] - 0.01
    assert found["warnings"] == []
    energies = {row["machine"]: row["energy_pj"] for row in found["comparison"] if row["batch"] == 1 and row["energy_pj"]}
    assert set(energies) <= {"loihi2", *EDGE}
    best = min(energies, key=energies.__getitem__)
    assert found["verdict"]["winner"] == best
    assert found["verdict"]["pays"] == (best == "loihi2")
    first = next(line for line in printed.splitlines() if "Does it pay?" in line)
    assert ("Yes" in first) == found["verdict"]["pays"]
    assert max(map(len, printed.splitlines())) <= 80
    assert "120 images of 8 x 8 pixels, grey; values from 0 to 1" in " ".join(printed.split())
    assert "classes by sorted folder names: 0 = 0, 1 = 1" in " ".join(printed.split())


def test_a_network_that_answers_no_better_than_chance_is_warned_of(desk, monkeypatch, capsys) -> None:
    tensors = torch.load(desk / "net.pt", weights_only=True)["model"]
    last = list(tensors)[-2:]
    rolled = {name: t.roll(1, 0) if name in last else t for name, t in tensors.items()}  # classes in another order
    save_file(rolled, desk / "rolled.safetensors")
    named = ("net.py:Net", "--weights", "rolled.safetensors", "--data", "images")
    arguments = ("run", *named, "--code", "graded", "--json", "-")
    status, printed, _ = here(monkeypatch, capsys, desk, *arguments)
    assert status == 0
    [said] = json.loads(printed)["warnings"]
    assert "no better than chance among 10 classes. Check its weights, that values are scaled" in said


def test_models_that_hold_no_program_are_told_how_they_are_run(desk, monkeypatch, capsys, tmp_path) -> None:
    hub = tmp_path / "hub"
    hub.mkdir()
    (hub / "config.json").write_text('{"architectures": ["TinyForImageClassification"], "model_type": "tiny"}')
    shutil.copy(desk / "net.safetensors", hub / "model.safetensors")
    with zipfile.ZipFile(tmp_path / "script.pt", "w") as archive:  # torch.jit.script is deprecated
        for name in ("data.pkl", "constants.pkl", "code/__torch__.py"):
            archive.writestr(f"script/{name}", b"")
    (tmp_path / "exported.pt2").write_bytes(b"PK\3\4")
    shutil.copy(desk / "net.py", tmp_path)
    shutil.copy(desk / "net.pt", tmp_path)
    shutil.copy(desk / "net.safetensors", tmp_path)
    told = {
        "hub": ("a folder of weights of TinyForImageClassification", "--weights hub/model.safetensors"),
        "net.pt": ("read as weights only", "like mine.py:net, and add --weights net.pt"),
        "net.safetensors": ("it holds weights (", "add --weights net.safetensors"),
        "net.py": ("it names a file", "Write it like net.py:Net or net.py:net"),
        "script.pt": ("TorchScript archive", "torch.jit.load", "torch.onnx.export"),
        "exported.pt2": ("a program of torch.export", "Pass the module that was exported"),
    }
    for model, words in told.items():
        status, _, errors = here(monkeypatch, capsys, tmp_path, "run", model, "--data", desk / "images")
        assert (status, errors.count("\n")) == (2, 1), errors
        for word in words:
            assert word in errors, errors


def test_weights_in_parts_are_put_together(desk, monkeypatch, capsys, tmp_path) -> None:
    tensors = torch.load(desk / "net.pt", weights_only=True)["model"]
    names = sorted(tensors)
    for k, part in enumerate((names[:9], names[9:])):
        save_file({name: tensors[name] for name in part}, tmp_path / f"model-0000{k + 1}-of-00002.safetensors")
    arguments = ("run", desk / "net.py:Net", "--data", desk / "images", "--code", "graded", "--json", "-", "--weights", tmp_path)
    status, _, errors = here(monkeypatch, capsys, tmp_path, *arguments)
    assert (status, "no index that says that they belong together" in errors) == (2, True)
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    status, printed, errors = here(monkeypatch, capsys, tmp_path, *arguments)
    assert status == 0, errors
    assert json.loads(printed)["accuracy_ann"] > 0.9


def test_a_folder_of_sounds_is_run_as_it_is(tmp_path, monkeypatch, capsys) -> None:
    sound_folder(tmp_path / "sounds", lengths=(80, 80))
    layers = "nn.Conv1d(1, 4, 8, stride=4), nn.ReLU(), nn.Flatten(), nn.Linear(76, 2)"
    (tmp_path / "ears.py").write_text(
        f"import torch\nfrom torch import nn\ndef net():\n    torch.manual_seed(0)\n    return nn.Sequential({layers})\n"
    )
    arguments = ("run", "ears.py:net", "--data", "sounds", "--code", "graded", "--json", "-")
    status, printed, errors = here(monkeypatch, capsys, tmp_path, *arguments)
    assert status == 0, errors
    found = json.loads(printed)
    assert found["samples"] == 2
    assert found["accuracy_snn"] == found["accuracy_ann"]
    assert found["facts"][0] == "2 sounds of 80 values at 8,000 Hz, mono; values from -1 to 1"
    status, _, errors = here(monkeypatch, capsys, tmp_path, *arguments, "--scale", "unit")
    assert (status, "--scale" in errors) == (2, True)
