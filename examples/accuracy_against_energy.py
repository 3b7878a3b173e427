# %% [markdown]
# # Accuracy against energy
# How many timesteps does rate code need, and what does each cost? Every other code beside it, on the same images.
# Takes about half a minute: `python examples/accuracy_against_energy.py`.

# %%
from pathlib import Path
from tempfile import TemporaryDirectory

import neuro
from neuro.digits.data import load_digits
from neuro.digits.model import train

digits = load_digits()
model = train(digits)
x, y = digits.x_held_out[:200], digits.y_held_out[:200]

# %% [markdown]
# Each combination is converted, placed and emulated by worker processes. The folder keeps a journal: name one of your own,
# and `resume=True` goes on where a sweep was interrupted. A combination that is not possible is recorded and stops nothing.

# %%
space = neuro.Space(code=("rate", "signed", "wait", "radix", "graded"), timesteps=(2, 4, 8, 16))
with TemporaryDirectory() as folder:
    found = neuro.sweep(model, x, y, calibration=digits.x_train[:512], space=space, folder=Path(folder) / "sweep")

# %%
print("code     T   accuracy   dynamic uJ   total uJ   latency us")
for point in found.points:
    code, timesteps, m = point.setting.code, point.setting.timesteps, point.measured
    numbers = (m.accuracy * 100, m.dynamic_pj * 1e-6, m.energy_pj * 1e-6, m.latency_ns * 1e-3)
    print(f"{code:6} {timesteps:3} {numbers[0]:9.1f}% {numbers[1]:12.2f} {numbers[2]:10.1f} {numbers[3]:12.1f}")

# %% [markdown]
# The Pareto front: settings that no other beats in accuracy, energy and latency together.

# %%
print(found)
print("worth considering:", ", ".join(f"{p.setting.code} at T = {p.setting.timesteps}" for p in found.front))
