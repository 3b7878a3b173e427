# %% [markdown]
# # First steps
# A trained network becomes spikes on an emulated chip. Run the cells from top to bottom, or the whole file with
# `python examples/first_steps.py`. Everything needed comes with the package; it takes about half a minute.

# %%
import converters
import neuro
from neuro.digits.data import load_digits
from neuro.digits.model import train

digits = load_digits()
model = train(digits)  # an ordinary torch.nn.Module; yours would do as well
print(model)

# %% [markdown]
# ## Convert
# `code` says how a value becomes spikes. Rate code sends a spike train of `timesteps` steps; the other codes are
# `signed`, `wait`, `radix` and `graded`. Weights become 8-bit integers; calibration needs a few hundred typical inputs.

# %%
conversion = converters.convert(model, digits.x_train[:512], code="rate", timesteps=16)
print(conversion)

# %% [markdown]
# ## Place
# Every limit of the chip's cores is kept, or the network is refused with the reason.

# %%
chip = neuro.load_chip("loihi2")
placement = neuro.place(conversion.network, chip)
print(placement)
assert placement.check() == []

# %% [markdown]
# ## Run
# Everything that happens is counted first and priced afterwards. The table says what each price rests on.

# %%
chip_run = neuro.emulate(conversion.network, placement, digits.x_held_out, record=("logits_by_step",))
accuracy = (chip_run.run.predictions == digits.y_held_out).mean()
print(f"{accuracy:.1%} of {len(digits.y_held_out)} images")
print(chip_run)

# %% [markdown]
# ## Compare
# The same network on other machines. The first line says where the chip stops winning.

# %%
table = neuro.compare(conversion.graph, chip_run, machines=("a100", "xeon"), batches=(1, 64))
print(table)

# %% [markdown]
# ## Keep
# The spiking network is one safetensors file; `neuro run network.safetensors --data test.npz` takes it from there.

# %%
conversion.network.save("network.safetensors")
neuro.write_report(
    "report.html",
    conversion=conversion,
    chip_run=chip_run,
    table=table,
    labels=digits.y_held_out,
    example=neuro.run(conversion.network, digits.x_held_out[:1], record=("raster",)),
)
