# %% [markdown]
# # Your own chip
# A chip is a TOML file. It may build upon a preset and change what differs; every value carries its basis and its source.
# Here: smaller cores than Loihi 2's, and cheaper synapses. Takes a few seconds: `python examples/your_own_chip.py`.

# %%
from pathlib import Path

import converters
import neuro
from neuro.digits.data import load_digits
from neuro.digits.model import train

Path("my_chip.toml").write_text("""
[chip]
base = "loihi2"
name = "my-chip"
title = "A sketch of a chip with small cores"

[core]
neurons = {value = 256, unit = "neurons", basis = "assumed", source = "our design study"}

[energy]
synop_conv = {value = 5.0, unit = "pJ", basis = "assumed", source = "our design study"}
""")
mine, loihi2 = neuro.load_chip("my_chip.toml"), neuro.load_chip("loihi2")
print(mine.title, "-", mine.core.neurons, "neurons per core")

# %% [markdown]
# The same network on both. Smaller cores mean more cores, and more packets between them.

# %%
digits = load_digits()
model = train(digits, epochs=10)
conversion = converters.convert(model, digits.x_train[:256], code="graded")
runs = {}
for chip in (loihi2, mine):
    placement = neuro.place(conversion.network, chip)
    runs[chip.name] = neuro.emulate(conversion.network, placement, digits.x_held_out[:100])
    print(placement)
    print(runs[chip.name])

# %% [markdown]
# Counts do not depend on prices: ask what the first run would have cost at the other chip's prices, without running again.

# %%
repriced = runs["loihi2"].price(mine)
print(f"the run on loihi2 at my prices: {repriced.dynamic_pj * 1e-6:.3f} uJ dynamic")

# %% [markdown]
# What does not fit is refused with the reason.

# %%
Path("tiny_chip.toml").write_text("""
[chip]
base = "my_chip.toml"
name = "tiny"

[mesh]
width = {value = 1, unit = "tiles", basis = "assumed", source = "our design study"}
height = {value = 1, unit = "tiles", basis = "assumed", source = "our design study"}
""")
try:
    neuro.place(conversion.network, neuro.load_chip("tiny_chip.toml"))
except neuro.NeuroError as error:
    print(error)
