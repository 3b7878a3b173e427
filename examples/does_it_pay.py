# %% [markdown]
# # Does it pay?
# A trained network, samples with labels, one call: which code agrees, what it needs, who needs less, and what would change that.
# Takes half a minute: `python examples/does_it_pay.py`. The command is `neuro run MODEL --data D --rate 10/s --report out.html`.

# %%
import neuro
from neuro.digits.data import load_digits
from neuro.digits.model import train
from neuro.serving.use import Use, parse_battery

digits = load_digits()
study = neuro.study(
    train(digits, epochs=10),
    digits.x_held_out,
    labels=digits.y_held_out,
    calibration=digits.x_train[:512],
    use=Use(rate_hz=10, battery_j=parse_battery("battery", "1000mAh@3.7V")),
)
found = study.to_dict()

# %% [markdown]
# ## The answer
# In words first; the same stands in `found["verdict"]` as data: winner, ratio, crossing, conditions.

# %%
for sentence in [*found["verdict"]["answer"], *found["serving"]["answer"], *found["warnings"]]:
    print(sentence)

# %% [markdown]
# ## Ten times a second, on a battery
# What a target draws while it waits decides a day. Where that is not public there are bounds, from nothing to the running power.

# %%
for row in found["serving"]["duty"]:
    watts = row["power_w"] or ["not", "public"]
    print(f"{row['target']:12} {watts[0]} to {watts[1]} W")

# %% [markdown]
# ## A page to play with
# Sliders for T, activity, prices, batch and rate; the page prices the same counts again, without a network.

# %%
study.write_report("report.html")
