# %% [markdown]
# # A network by hand
# No training and no conversion: populations, projections, delays and a chip. The network tells which of two ears hears a sound
# first, with delay lines as in Jeffress 1948. Takes a second: `python examples/by_hand.py`.

# %%
import numpy as np

import neuro

LAGS = 5  # steps by which one ear may be ahead of the other

# %% [markdown]
# ## Populations
# A population is a name, a shape and a neuron model. A `Source` is driven by the host; `CubaLif` is Loihi's leaky neuron, here
# one that forgets within a step and fires from its threshold on; a `Readout` adds up and is read. Parameters are integers.

# %%
both = 2 * LAGS + 1  # coincidence detectors: the left ear is LAGS steps ahead, ..., the right one is
populations = (
    neuro.Population("left", (1,), neuro.Source()),
    neuro.Population("right", (1,), neuro.Source()),
    neuro.Population("coincidence", (both,), neuro.CubaLif(current_decay=4095, voltage_decay=4095, threshold=3)),
    neuro.Population("answer", (both,), neuro.Readout()),
)

# %% [markdown]
# ## Projections
# Each detector hears both ears, each with a delay of its own: those delays that make up for the lag make the spikes meet. One ear
# alone adds 2, below the threshold of 3; both together add 4. A projection has one delay, so there is one for each delay line.

# %%
lines = []
for detector in range(both):
    lag = detector - LAGS
    weights = np.zeros((1, both), int)
    weights[0, detector] = 2
    lines.append(neuro.Dense("left", "coincidence", weights, delay=1 + max(0, lag)))
    lines.append(neuro.Dense("right", "coincidence", weights, delay=1 + max(0, -lag)))
network = neuro.Network(populations, (*lines, neuro.OneToOne("coincidence", "answer")), timesteps=4 * LAGS)
print(network)

# %% [markdown]
# ## Run
# A source without a code takes integers sent at time steps: (samples, steps, neurons). Several sources: one array for each.

# %%
lags = np.arange(-LAGS, LAGS + 1)
left, right = (np.zeros((len(lags), 4 * LAGS, 1), int) for _ in range(2))
for sample, lag in enumerate(lags):
    left[sample, LAGS, 0] = 1
    right[sample, LAGS + lag, 0] = 1
inputs = {"left": left, "right": right}
run = neuro.run(network, inputs)
print("lags heard:", run.predictions - LAGS)
assert (run.predictions - LAGS == lags).all()

# %% [markdown]
# ## On a chip
# The same network, placed and priced. The reference engine defines what a network does; every engine equals it bit for bit.

# %%
placement = neuro.place(network, neuro.load_chip("loihi2"))
chip_run = neuro.emulate(network, placement, inputs)
print(chip_run.bill)
assert (chip_run.run.predictions == neuro.run(network, inputs, engine="reference").predictions).all()
