"""Parts of one block of a lava-dl file: numbers, shapes, weights, delays, neurons. Knows no networks.

A number is taken as Lava takes it: fractions are cut toward zero. NaN, infinity and what exceeds 32 bits are refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.errors import ConversionError, FormatError
from neuro.neurons import CubaLif, Delta, Neuron, SigmaDelta
from neuro.projections import Conv2d, Projection, Sparse
from neuro.specification import INT32

Shape = tuple[int, ...]
CUBA, SDNN = ("LOIHI", "CUBA"), ("SDNN",)
EXPONENT = 6  # of biases, of messages and of the state of sigma-delta neurons: netx writes them nowhere
MOST_DELAY = 62  # steps, as netx allows
MOST_SYNAPSES = 1 << 27  # of a projection whose synapses are listed one by one
_REMEDY = "Export the network again with lava-dl"
_READ = {
    "type", "shape", "weight", "weight_rec", "bias", "delay", "stride", "padding", "dilation", "groups", "kernelSize",
    "inFeatures", "outFeatures", "inChannels", "outChannels", "neuron",
}  # fmt: skip
_NEURON_READ = {
    "type", "iDecay", "vDecay", "vThMant", "refDelay", "gradedSpike", "messageBits", "sigma_output", "activation",
    "scaleRho", "tauRho", "theta",
}  # fmt: skip
_EXPONENTS = ("wgtExp", "weight_exp")  # which netx does not read


@dataclass
class Block:
    """One block of a file, `parts` by name; `notes` collects what was assumed."""

    number: int
    parts: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.kind = self.text("type", self.parts)
        unread = sorted(set(self.parts) - _READ) + sorted(set(self.neuron_parts) - _NEURON_READ - set(_EXPONENTS))
        if unread:
            self.notes.append(f"{self.where}: {', '.join(unread)} not read, as in netx")
        told = [name for name in _EXPONENTS if np.any(np.asarray(self.neuron_parts.get(name, 0)))]
        if told:
            self.notes.append(f"{self.where}: {', '.join(told)} is not zero and not applied, as in netx")

    @property
    def where(self) -> str:
        return f"block {self.number}" + (f" ({self.kind})" if hasattr(self, "kind") else "")

    @property
    def neuron_parts(self) -> dict[str, Any]:
        found = self.parts.get("neuron", {})
        if not isinstance(found, dict):
            raise FormatError(self.where, "neuron is no group", _REMEDY)
        return found

    @property
    def has_neuron(self) -> bool:
        return "neuron" in self.parts

    @property
    def model(self) -> str:
        """The type of its neuron."""
        return self.text("type", self.neuron_parts, "neuron/")

    def text(self, name: str, parts: dict[str, Any], prefix: str = "") -> str:
        value = parts.get(name)
        value = value.ravel()[0] if isinstance(value, np.ndarray) and value.size == 1 else value
        value = value.decode("ascii", "replace") if isinstance(value, bytes) else value
        if not isinstance(value, str):
            raise FormatError(self.where, f"{prefix}{name} is missing or no text", _REMEDY)
        return value

    def integers(self, name: str, parts: dict[str, Any] | None = None) -> NDArray[np.int64]:
        """A dataset as integers, cut toward zero."""
        prefix = "" if parts is None else "neuron/"
        parts = self.parts if parts is None else parts
        if name not in parts:
            raise FormatError(self.where, f"{prefix}{name} is missing", _REMEDY)
        array = np.asarray(parts[name])
        if array.dtype.kind not in "biuf" or not array.size:
            raise FormatError(self.where, f"{prefix}{name} holds no numbers", _REMEDY)
        if not np.isfinite(array).all():
            raise FormatError(
                self.where, f"{prefix}{name} holds NaN or infinity", "Train the network again, or write other values"
            )
        whole = np.trunc(array.astype(np.float64))
        if np.abs(whole).max() > INT32.max:
            raise FormatError(self.where, f"{prefix}{name} exceeds 32 bits", "Scale it down")
        cut = int(np.count_nonzero(whole != array))
        if cut:
            self.notes.append(f"{self.where}: {cut:,} of {array.size:,} values of {prefix}{name} are fractions, cut as netx does")
        return whole.astype(np.int64)

    def number_of(self, name: str, parts: dict[str, Any] | None = None, default: int | None = None) -> int:
        """A dataset that holds one number, or the same number for every neuron."""
        if default is not None and name not in (self.parts if parts is None else parts):
            return default
        values = self.integers(name, parts)
        if (values != values.flat[0]).any():
            fact = f"{name} differs between neurons ({values.min()}..{values.max()})"
            raise ConversionError(self.where, fact, "Train with shared_param=True")
        return int(values.flat[0])

    def pair(self, name: str, default: int | None = None) -> tuple[int, int]:
        """Two numbers, for rows and columns, or one for both."""
        if default is not None and name not in self.parts:
            return (default, default)
        values = self.integers(name).ravel()
        if values.size not in (1, 2):
            raise FormatError(self.where, f"{name} has {values.size} numbers", "Write one, or one for rows and one for columns")
        return int(values[0]), int(values[-1])

    @property
    def shape(self) -> Shape:
        """(channels, rows, columns), or fewer axes, as it is written."""
        values = self.integers("shape").ravel()
        if values.size > 3 or values.min() < 1 or prod(values.tolist()) > INT32.max:
            raise FormatError(self.where, f"shape {tuple(values.tolist())} is no size of a layer", _REMEDY)
        return tuple(int(v) for v in values)

    def bias(self, shape: Shape) -> int | NDArray[np.int64]:
        """The bias mantissa, for each neuron or channel, to broadcast to `shape`; 0 where there is none."""
        if "bias" not in self.parts:
            return 0
        values = self.integers("bias")
        if not values.any():
            return 0
        if values.size == 1:
            return int(values.flat[0])
        if values.shape == shape:
            return values
        if values.size == shape[0]:  # of each channel, or of each neuron of a layer without channels
            return values.reshape(-1, *(1,) * (len(shape) - 1))
        raise FormatError(self.where, f"bias has shape {values.shape}, the layer {shape}", "Write one for each channel or neuron")

    def weights(self, name: str, inputs: int, outputs: int) -> NDArray[np.int64]:
        """A dense matrix (inputs, outputs)."""
        values = self.integers(name)
        values = values.reshape(outputs, -1) if values.size == inputs * outputs else values
        if values.shape != (outputs, inputs):
            fact = f"{name} has shape {values.shape}, {inputs:,} neurons lead to {outputs:,}"
            raise FormatError(self.where, fact, f"Write it as ({outputs}, {inputs})")
        return values.T

    def kernel(self) -> NDArray[np.int64]:
        """A kernel (out, in, rows, columns)."""
        values = self.integers("weight")
        if values.ndim == 5 and values.shape[4] == 1:
            values = values[..., 0]
        if values.ndim != 4:
            raise FormatError(self.where, f"weight has shape {values.shape}", "Write it as (out, in, rows, columns)")
        return values

    def delays(self, target: Shape, inputs: int, outputs: int) -> tuple[str, NDArray[np.int64]] | None:
        """Steps of delay beyond the first, (neurons,) of "target" or "source"; None where there are none."""
        if "delay" not in self.parts:
            return None
        values = self.integers("delay").ravel()
        if values.min() < 0 or values.max() > MOST_DELAY:
            raise FormatError(self.where, f"delay reaches {values.min()}..{values.max()}", f"Use 0 to {MOST_DELAY} steps")
        if not values.any():
            return None
        if values.size == 1:
            return "target", np.full(outputs, values[0])
        if values.size == outputs:
            return "target", values
        if values.size == target[0]:
            return "target", np.repeat(values, outputs // target[0])
        if values.size == inputs:
            return "source", values
        fact = f"delay has {values.size:,} values, {inputs:,} neurons lead to {outputs:,}"
        raise FormatError(self.where, fact, "Write one for each neuron or channel")


def neuron_of(
    block: Block, shape: Shape, *, reset: dict[str, Any], corrected: bool, message_bits: int | None, driven: bool = False
) -> Neuron:
    """The neuron of a block. reset: the fields of a reset at intervals; driven: of an input, whose bias is what comes in."""
    parts, model = block.neuron_parts, block.model
    bits = block.number_of("messageBits", parts, 0)
    bias = 0 if driven else block.bias(shape)
    if model in CUBA:
        if bits or block.number_of("gradedSpike", parts, 0):
            raise ConversionError(block.where, "its LIF neurons send graded spikes", "Export it with graded_spike=False")
        decay = block.number_of("iDecay", parts)
        if decay == 0:
            fact = "neuron/iDecay = 0: a current that never decays does not fit Loihi's register"
            raise ConversionError(block.where, fact, "Use a current decay of at least 1 / 4096")
        refractory = max(1, block.number_of("refDelay", parts, 1))
        threshold, leak = block.number_of("vThMant", parts), block.number_of("vDecay", parts)
        return CubaLif(decay - 1, leak, threshold, bias, EXPONENT, refractory=refractory, **reset)
    if model in SDNN:
        activation = block.text("activation", parts, "neuron/") if "activation" in parts else "relu"
        if activation.lower() != "relu":
            raise ConversionError(block.where, f"its activation {activation!r} is not supported", "Use relu")
        threshold, bits = block.number_of("vThMant", parts), message_bits or bits or 16
        if driven:
            return Delta(threshold, EXPONENT, EXPONENT, corrected, bits)
        start = np.asarray(bias, np.int64) << 2 * EXPONENT
        first = int(start) if start.ndim == 0 else start
        return SigmaDelta(threshold, first, EXPONENT, EXPONENT, corrected, message_bits=bits)
    fact = f"its neurons are of the type {model!r}" + (", which is complex" if "RF" in model else "")
    raise ConversionError(block.where, fact, f"Use {', '.join((*CUBA, *SDNN))}")


def delayed(
    block: Block, projection: Projection, source: Shape, target: Shape, *, found: tuple[str, NDArray[np.int64]] | None
) -> list[Projection]:
    """A projection, or the lists of those of its synapses that share a delay, as netx delays them: what arrives, by target."""
    if found is None:
        return [projection]
    if projection.count(source, target) > MOST_SYNAPSES:
        raise ConversionError(block.where, "it has too many synapses to give each a delay", "Train it without delays")
    whose, steps = found
    synapses = projection.synapses(source, target)
    late = steps[synapses.post if whose == "target" else synapses.pre]
    kept = synapses.weight != 0
    parts = []
    for delay in np.unique(late[kept]):
        chosen = kept & (late == delay)
        triple = (synapses.pre[chosen], synapses.post[chosen], synapses.weight[chosen])
        parts.append(Sparse(projection.source, projection.target, triple, delay=int(delay) + 1))
    return list(parts)


def convolution(block: Block, source: str, target: str, channels: int) -> Conv2d:
    """The projection of a conv block, or of a pool block, whose one kernel serves every channel."""
    kernel, groups = block.kernel(), channels
    if block.kind == "pool":
        if kernel.shape[:2] != (1, 1):
            raise FormatError(block.where, f"weight has shape {kernel.shape}", "Write one kernel, (1, 1, rows, columns)")
        kernel = np.repeat(kernel, channels, axis=0)
        stride = block.pair("stride") if "stride" in block.parts else (kernel.shape[2], kernel.shape[3])
    else:
        groups, stride = block.number_of("groups", default=1), block.pair("stride", 1)
    return Conv2d(source, target, kernel, stride, block.pair("padding", 0), block.pair("dilation", 1), groups)
