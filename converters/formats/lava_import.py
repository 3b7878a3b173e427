"""The blocks of a lava-dl file -> Network, as netx runs them in Lava. What a block's parts mean is `lava_blocks`."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from converters.formats.lava_blocks import EXPONENT, SDNN, Block, Shape, convolution, delayed, neuron_of
from neuro.errors import ConversionError, FormatError, NeuroError
from neuro.network import Network, Population
from neuro.neurons import Readout, Source
from neuro.projections import Dense, Projection, Sparse

_SUPPORTED = ("input", "conv", "pool", "flatten", "dense", "affine", "dense_rec", "recurrent", "average")
_RECURRENT = ("dense_rec", "recurrent")  # and any dense block with recurrent weights
_MANTISSA = 4096  # of a bias, 13 bits with sign


@dataclass(frozen=True, slots=True)
class Reading:
    """What a file does not say."""

    reset_interval: int | None = None
    reset_offset: int = 0
    num_layers: int | None = None
    input_shape: Shape | None = None
    input_message_bits: int = 0
    corrected: bool = False
    message_bits: int | None = None


@dataclass
class _Importer:
    r: Reading
    populations: list[Population] = field(default_factory=list)
    projections: list[Projection] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    layers: int = 0  # of neurons so far: each is reset one step after the one before

    def reset(self) -> dict[str, Any]:
        interval = self.r.reset_interval
        return (
            {}
            if interval is None
            else {"reset_interval": interval, "reset_offset": (self.r.reset_offset + self.layers) % interval}
        )

    def chosen(self) -> dict[str, Any]:
        return {"corrected": self.r.corrected, "message_bits": self.r.message_bits}

    def visit(self, block: Block) -> None:
        if block.kind not in _SUPPORTED:
            raise ConversionError(
                block.where, f"blocks of the type {block.kind!r} are not supported", f"Use {', '.join(_SUPPORTED)}"
            )
        if isinstance(block.parts.get("weight"), dict) or "RF" in (block.model if block.has_neuron else ""):
            raise ConversionError(
                block.where, "it is complex: weights or neurons have a real and an imaginary part", "Use real blocks"
            )
        if block.kind == "input":
            self.input(block)
        elif block.kind != "flatten":  # channels, rows, columns: ours lie as they are flattened
            self.layer(block)
        self.notes += [note for note in block.notes if note not in self.notes]

    def input(self, block: Block) -> None:
        if self.populations:
            raise FormatError(block.where, "it is not the first block", "Write one input block, first")
        if not block.has_neuron:
            self.plain_source(block.shape)
            return
        neuron = neuron_of(block, block.shape, reset=self.reset(), driven=True, **self.chosen())
        weight, bias = (block.number_of(name, default=d) for name, d in (("weight", 64), ("bias", 0)))
        levels = _MANTISSA if neuron.mantissas else (1 << 18) - 1
        self.add(f"input{block.number}", block.shape, Source("driven", levels=levels, neuron=neuron))
        self.notes.append(
            f"{block.where}: inputs are integers that drive its neurons; of an image x from 0 to 1 they are "
            f"int(2 * {weight} * x - {weight} + {bias}), see lava_dl_inputs"
        )
        self.layers += 1

    def plain_source(self, shape: Shape) -> None:
        bits = self.r.input_message_bits
        self.add("input", shape, Source(levels=1 if bits == 0 else (1 << bits) - 1))

    def source(self, block: Block) -> Population:
        """The population that leads to a block."""
        if not self.populations:
            shape = self.r.input_shape
            if shape is None and block.kind in ("conv", "pool", "average"):
                raise ConversionError(
                    block.where, "the file does not say how large its input is", "Pass input_shape=(channels, ...)"
                )
            self.plain_source(shape or (block.integers("weight").size // prod(block.shape),))
        before = self.populations[-1]
        if before.neuron.is_readout:
            raise ConversionError(block.where, f"it comes after {before.name!r}, which only the host reads", "Write it before")
        return before

    def layer(self, block: Block) -> None:
        before, name = self.source(block), f"{block.kind.split('_')[0]}{block.number}"
        shape = block.shape
        if block.kind in ("conv", "pool"):
            if len(before.shape) != 3:
                raise FormatError(
                    block.where, f"what leads to it has the shape {before.shape}", "Write it before flatten and dense"
                )
            found: Projection = convolution(block, before.name, name, before.shape[0])
        elif block.kind == "average":
            shape = (prod(shape),)
            found = _averaged(block, before, name, shape[0])
        else:
            shape = (prod(shape),)
            found = Dense(before.name, name, block.weights("weight", before.size, shape[0]))
        found.check(before.shape, shape)
        self.add(name, shape, self.neuron(block, shape, before))
        late = block.delays(shape, before.size, prod(shape))
        self.projections += delayed(block, found, before.shape, shape, found=late)
        if block.kind in _RECURRENT or "weight_rec" in block.parts:
            inner = Dense(name, name, block.weights("weight_rec", shape[0], shape[0]))
            self.projections += delayed(block, inner, shape, shape, found=late if late and late[0] == "target" else None)
        self.layers += 1

    def neuron(self, block: Block, shape: Shape, before: Population) -> Any:
        if block.kind == "average":
            return Readout(scale=1.0 / (before.size // shape[0]), potential_bits=31)
        if not block.has_neuron:
            self.notes.append(f"{block.where}: no neuron; a readout that adds up, in units of its current (64 a weight)")
            return Readout(scale=float(1 << EXPONENT), potential_bits=31)
        if block.model in SDNN:
            if self.r.reset_interval is not None:
                self.notes.append("sigma-delta neurons are not reset, as in netx")
            if "sigma_output" in block.neuron_parts:
                offset = np.asarray(block.bias(shape), np.float64) * (1 << 2 * EXPONENT)
                return Readout(offset=offset, potential_bits=31)
        return neuron_of(block, shape, reset=self.reset(), **self.chosen())

    def add(self, name: str, shape: Shape, neuron: Any) -> None:
        self.populations.append(Population(name, shape, neuron))


def _averaged(block: Block, before: Population, name: str, groups: int) -> Sparse:
    """Every neuron to the group that it is averaged in: as many outputs as the block's shape has places, in order."""
    if before.size % groups:
        raise FormatError(block.where, f"{before.size:,} neurons are not {groups:,} equal groups", "Write another shape")
    pre = np.arange(before.size)
    return Sparse(before.name, name, (pre, pre // (before.size // groups), np.ones(before.size, np.int64)))


def imported(layers: dict[str, Any], timesteps: int | None, r: Reading) -> Network:
    """The network of the blocks of a file, by their numbers."""
    numbers = sorted(int(name) for name in layers if name.isdecimal())
    strange = [name for name in layers if not name.isdecimal() or not isinstance(layers[name], dict)]
    if strange or numbers != list(range(len(numbers))) or not numbers:
        named = ", ".join(map(repr, strange[:3])) or f"{numbers[:9]}"
        raise FormatError("layer", f"its blocks are not numbered from 0 on ({named})", "Export the network again with lava-dl")
    importer = _Importer(r)
    for number in numbers[: r.num_layers]:
        block = Block(number, layers[str(number)])
        try:
            importer.visit(block)
        except NeuroError as error:
            if error.where == block.where:
                raise
            raise type(error)(f"{block.where}, {error.where}", error.fact, error.remedy) from None
    if not importer.projections:
        raise FormatError("layer", "no block but the input leads anywhere", "Read more blocks")
    return Network(tuple(importer.populations), tuple(importer.projections), timesteps, tuple(importer.notes))
