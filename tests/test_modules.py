"""A torch module named on the command line: found, called and given its weights, or refused by what is wrong with it."""

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from converters.modules import load_module
from neuro.errors import NeuroError

NETS = """
import torch
from neuro.errors import UsageError

made = torch.nn.Linear(2, 3)
number = 7

class Holder:
    small = torch.nn.Linear

    @staticmethod
    def net():
        return torch.nn.Linear(2, 3).train()

def text():
    return "no module"

def fails():
    raise ValueError("no such size\\nsecond line")

def refuses():
    raise UsageError("nets", "it refuses", "Ask another")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "nets_of_test.py").write_text(NETS)
    (tmp_path / "broken_of_test.py").write_text("import nowhere_to_be_found\n")
    (tmp_path / "raising_of_test.py").write_text("\nraise KeyError('lost')\n")
    (tmp_path / "empty_of_test.py").write_text("_hidden = 1\n")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.endswith("_of_test")]:
        del sys.modules[name]


def test_a_module_is_found_in_the_current_folder_and_made(folder: Path) -> None:
    before = list(sys.path)
    assert isinstance(load_module("nets_of_test:made"), nn.Linear)
    assert not load_module("nets_of_test:Holder.net").training
    assert sys.path == before


def test_weights_come_from_a_safetensors_file(folder: Path) -> None:
    state = {"weight": torch.arange(6.0).reshape(3, 2), "bias": torch.ones(3)}
    save_file(state, folder / "w.safetensors")
    loaded = load_module("nets_of_test:Holder.net", weights=folder / "w.safetensors")
    assert all(torch.equal(loaded.state_dict()[name], value) for name, value in state.items())
    save_file({"weight": torch.zeros(4, 2), "bias": torch.ones(3)}, folder / "w.safetensors")
    with pytest.raises(NeuroError, match=r"weights do not fit the model: .*size mismatch for weight.*this model's weights"):
        load_module("nets_of_test:Holder.net", weights=folder / "w.safetensors")


REFUSED = {
    "nets_of_test": "neither a file nor package.module:callable. Write it like",
    "nets_of_test:": "neither a file nor package.module:callable",
    "nowhere_of_test.nets:net": "there is no module 'nowhere_of_test'. Check its spelling",
    "broken_of_test:net": "its import failed (No module named 'nowhere_to_be_found'). Install what it imports",
    "raising_of_test:net": "its import failed (KeyError: 'lost', raising_of_test.py:2). Correct the code there",
    "nets_of_test:net": "'nets_of_test' has no 'net'. Use one of Holder, text, fails, refuses, UsageError, made",
    "nets_of_test:Holder.large": "'nets_of_test' has no 'Holder.large'. Use one of small, net",
    "empty_of_test:net": "Define it there: it has nothing that can be called",
    "nets_of_test:number": "it is an int, not a callable. Name a function or class",
    "nets_of_test:text": "it returns a str, not a torch.nn.Module. Name a function",
    "nets_of_test:fails": "calling it without arguments failed (ValueError: no such size, nets_of_test.py:",
    "nets_of_test:refuses": "nets: it refuses. Ask another",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_name_that_leads_nowhere_is_refused_by_what_is_wrong(name: str, folder: Path) -> None:
    with pytest.raises(NeuroError) as caught:
        load_module(name)
    assert REFUSED[name] in str(caught.value)
