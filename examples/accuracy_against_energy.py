# %% [markdown]
# # Accuracy against energy
# How many timesteps does rate code need, and what does each cost? Every other code beside it, on the same images.
# Takes about half a minute: `python examples/accuracy_against_energy.py`.

# %%
import converters
import neuro
from neuro.digits.data import load_digits
from neuro.digits.model import train

digits = load_digits()
model = train(digits)
x, y = digits.x_held_out[:200], digits.y_held_out[:200]
chip = neuro.load_chip("loihi2")
settings = [("rate", 2), ("rate", 4), ("rate", 8), ("rate", 16), ("signed", 4), ("wait", 4), ("radix", 4), ("graded", 1)]

# %% [markdown]
# One conversion, one placement, one run for each setting.

# %%
points = []
print("code     T   accuracy   dynamic uJ   total uJ   latency us")
for code, timesteps in settings:
    conversion = converters.convert(model, digits.x_train[:512], code=code, timesteps=timesteps)
    placement = neuro.place(conversion.network, chip)
    chip_run = neuro.emulate(conversion.network, placement, x)
    bill = chip_run.bill
    accuracy = float((chip_run.run.predictions == y).mean())
    points.append((code, timesteps, accuracy, bill.energy_pj))
    numbers = (accuracy * 100, bill.dynamic_pj * 1e-6, bill.energy_pj * 1e-6, bill.latency_ns * 1e-3)
    print(f"{code:6} {timesteps:3} {numbers[0]:9.1f}% {numbers[1]:12.2f} {numbers[2]:10.1f} {numbers[3]:12.1f}")

# %% [markdown]
# The Pareto front: settings that no other setting beats in both accuracy and energy.

# %%
front = [p for p in points if not any(q[2] >= p[2] and q[3] <= p[3] and (q[2], -q[3]) != (p[2], -p[3]) for q in points)]
print("worth considering:", ", ".join(f"{code} at T = {timesteps}" for code, timesteps, *_ in front))
