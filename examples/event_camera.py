# %% [markdown]
# # From an event camera to energy
# N-MNIST: digits seen by an event camera that moves along a triangle, three times 100 ms. A small network, trained on binned
# frames (`benchmarks/train_nmnist.py`), is converted and runs on the events as they come, on an emulated Loihi 2.
# Takes about a minute: `python examples/event_camera.py nmnist_train.npz nmnist_test.npz`. Each file holds x, y, t_us, p, start
# and label; a folder of folders 0, 1, ..., 9 with N-MNIST's .bin files does as well.

# %%
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

import converters
import neuro
from neuro.events import driven_by_events, read_recordings, stacked

STEP_US, STEPS = 10_000, 34
train, test = (read_recordings(path, size=(34, 34)) for path in sys.argv[1:3])
print(f"{len(test)} recordings, {np.mean([len(r) for r in test.recordings]):,.0f} events each on average")

# %% [markdown]
# ## Events become steps
# A step lasts 10 ms. A pixel that sent one or more events of a sign in it sends one spike: (recordings, steps, 2, rows, columns).

# %%
spikes = {name: stacked(part.recordings, step_us=STEP_US, steps=STEPS) for name, part in (("calibration", train), ("test", test))}
print(f"{spikes['test'].sum() / len(test):,.0f} spikes a recording in {STEPS} steps")

# %% [markdown]
# ## The trained network
# It knows no time: its inputs are the shares of steps in which a pixel sent an event.

# %%
model = nn.Sequential()
for name, layer in (
    ("conv1", nn.Conv2d(2, 24, 5, stride=2, bias=False)),
    ("norm1", nn.BatchNorm2d(24)),
    ("relu1", nn.ReLU()),
    ("conv2", nn.Conv2d(24, 48, 3, bias=False)),
    ("norm2", nn.BatchNorm2d(48)),
    ("relu2", nn.ReLU()),
    ("pool2", nn.AvgPool2d(2)),
    ("flat", nn.Flatten()),
    ("answer", nn.Linear(48 * 6 * 6, 10)),
):
    model.add_module(name, layer)
model.load_state_dict(load_file(Path(__file__).parent / "nmnist_cnn.safetensors"))
model.eval()
with torch.no_grad():
    answers = model(torch.from_numpy(spikes["test"].mean(axis=1).astype(np.float32))).argmax(1).numpy()
print(f"float network on shares of steps: {np.mean(answers == test.labels):.1%} of {len(test)}")

# %% [markdown]
# ## Converted, with the camera in place of input neurons
# A pixel that fires at every step is the largest input there is: one calibration sample says so. In the wait code the first layer
# adds up events as they come and speaks when the recording is over; its charges do not depend on the order of the events, so
# nothing is lost. (Rate code loses here: events come in bursts, and a neuron sends one spike a step at most.)

# %%
shares = spikes["calibration"][:200].mean(axis=1).astype(np.float32)
shares[0, 0, 0, 0] = 1.0
conversion = converters.convert(model, shares, code="wait", timesteps=STEPS, input="spikes")
network = driven_by_events(conversion.network)
run = neuro.run(network, spikes["test"], timesteps=STEPS)
print(f"spiking network on events: {np.mean(run.predictions == test.labels):.1%} of {len(test)}")

# %% [markdown]
# ## On the chip
# Every packet of the first recordings, and what they cost; beside it the same float network on other machines, one image
# at a time.

# %%
chip = neuro.load_chip("loihi2")
placement = neuro.place(network, chip)
chip_run = neuro.emulate(network, placement, spikes["test"][:10], timesteps=STEPS)
bill = chip_run.bill
print(f"{placement.cores_used} cores; {run.synops / len(test):,.0f} synaptic operations a recording")
print(f"energy per recording: {bill.dynamic_pj * 1e-6:,.1f} uJ dynamic, {bill.energy_pj * 1e-6:,.1f} uJ with static power")
print(f"{bill.latency_ns * 1e-3:,.0f} us for a recording of 340 ms")
print(neuro.compare(conversion.graph, chip_run, machines=("orin", "gap9", "rpi4", "a100"), batches=(1,)))

# %% [markdown]
# `neuro run events.safetensors --data FOLDER --step-us 10000` does the last part for a folder of recordings.

# %%
network.save("events.safetensors")
