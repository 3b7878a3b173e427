"""SpikingJelly's converter on a toy network of `conversion_networks.py`, in an interpreter that has it.

Run by `conversion.py --peer PYTHON` as `peer_spikingjelly.py NETWORK FOLDER`, by `whole_job.py --peer PYTHON` with `--job`: to
convert and to run at one T, with the processor time of each; prints rows as JSON. Constant-current input, logits accumulated,
weights in floating point.
"""

from __future__ import annotations

import copy
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from conversion_networks import mnist_cnn
from safetensors.torch import load_file
from spikingjelly.activation_based import ann2snn, functional, neuron
from spikingjelly.activation_based.ann2snn.recipes import RateCodingRecipe
from torch.utils.data import DataLoader, TensorDataset

from neuro.digits.model import digits_cnn

STEPS, JOB_STEPS = (4, 8, 16, 32), 16
MODELS = {"digits": digits_cnn, "sinabs_mnist_cnn": mnist_cnn}
RECIPES: dict[str, dict[str, Any]] = {
    "default": {"mode": "max"},
    "channel-wise": {"mode": "99.9%", "channel_wise": True, "half_threshold": True, "pre_spike_maxpool": True},
}


def main(name: str, folder: Path) -> list[dict[str, Any]]:
    model, x, y, calibration = given(name, folder)
    right = float((logits(model, x).argmax(1) == y).float().mean())
    rows = []
    for recipe, options in RECIPES.items():
        found = run(converted(model, calibration, options), x, y)
        for steps in STEPS:
            accuracy, spikes = found[steps]
            rows.append({"code": f"SpikingJelly rate, {recipe}", "timesteps": steps, "weight_bits": 32, "refine": 0,
                         "accuracy_ann": right, "accuracy_snn": accuracy, "spikes": spikes, "synops": None})  # fmt: skip
    return rows


def given(name: str, folder: Path) -> tuple[torch.nn.Module, torch.Tensor, torch.Tensor, torch.Tensor]:
    """The trained network, samples, their labels and calibration samples."""
    model = MODELS[name]()
    model.load_state_dict(load_file(folder / "weights.safetensors"))
    data = np.load(folder / "data.npz", allow_pickle=False)
    x, y, calibration = (torch.as_tensor(data[key]) for key in ("x", "y", "calibration"))
    return model.eval(), x, y, calibration


def converted(model: torch.nn.Module, calibration: torch.Tensor, options: dict[str, Any]) -> torch.nn.Module:
    loader = DataLoader(TensorDataset(calibration, torch.zeros(len(calibration))), batch_size=64)
    spiking: torch.nn.Module = ann2snn.FXConverter(RateCodingRecipe(loader, **options)).convert(copy.deepcopy(model))
    return spiking.eval()


def job(name: str, folder: Path) -> list[dict[str, Any]]:
    """Processor seconds to convert and to run, after a small job that imports and warms up what there is."""
    model, x, y, calibration = given(name, folder)
    rows = []
    for recipe, options in RECIPES.items():
        run(converted(model, calibration[:64], options), x[:10], y[:10], (1,))
        began = time.process_time()
        spiking = converted(model, calibration, options)
        middle = time.process_time()
        found = run(spiking, x, y, (JOB_STEPS,))
        rows.append({"recipe": recipe, "convert_cpu_s": middle - began, "job_cpu_s": time.process_time() - began,
                     "accuracy": found[JOB_STEPS][0]})  # fmt: skip
    return rows


def logits(model: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return torch.cat([model(part) for part in x.split(250)])


def run(
    model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, wanted: tuple[int, ...] = STEPS
) -> dict[int, tuple[float, float]]:
    """{steps: (accuracy, spikes per inference)}."""
    fired = [0.0]
    for module in model.modules():
        if isinstance(module, neuron.BaseNode):
            module.register_forward_hook(lambda _module, _inputs, out: fired.append(fired.pop() + float((out != 0).sum())))
    right, spikes = dict.fromkeys(wanted, 0), dict.fromkeys(wanted, 0.0)
    with torch.no_grad():
        for part, labels in zip(x.split(250), y.split(250), strict=True):
            functional.reset_net(model)
            fired[0], total = 0.0, torch.zeros(())
            for step in range(1, max(wanted) + 1):
                total = total + model(part)
                if step in right:
                    right[step] += int((total.argmax(1) == labels).sum())
                    spikes[step] += fired[0]
    return {steps: (right[steps] / len(x), spikes[steps] / len(x)) for steps in wanted}


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps((job if "--job" in sys.argv else main)(sys.argv[1], Path(sys.argv[2]))))
