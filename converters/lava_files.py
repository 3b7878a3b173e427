"""lava-dl files (`.net`, HDF5 of slayer's export, as netx reads them) in and out. Knows files; the blocks are in `formats/`.

Files are not trusted: see `neuro.hdf5`. Lava and lava-dl were archived in May 2026; the layout is that of their last
version.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.formats.lava_blocks import Block, Shape
from converters.formats.lava_export import exported
from converters.formats.lava_import import Reading, imported
from neuro.errors import FormatError, InputError, NeuroError
from neuro.files import atomic_path
from neuro.hdf5 import read_group
from neuro.network import Network
from neuro.numbers import truth, whole

_REMEDY = "Export the network again with lava-dl"
_WHAT = "lava-dl network"


def read_lava_dl(
    path: Any,
    *,
    reset_interval: int | None = None,
    reset_offset: int = 0,
    num_layers: int | None = None,
    input_shape: tuple[int, ...] | None = None,
    input_message_bits: int = 0,
    corrected: bool = False,
    message_bits: int | None = None,
) -> Network:
    """The spiking network in a lava-dl file, in chip integers, as netx runs it in Lava, step for step.

    Step t of a run is Lava's time step t + 1. Shapes are (channels, rows, columns). Where the file has an input block with
    neurons, inputs are what drives them: bias mantissas of LIF neurons, values of sigma-delta ones (`lava_dl_inputs` makes them
    of images); elsewhere they are the messages themselves. `reset_interval`: every so many steps all state of LIF layers is set
    to 0, of each layer one step after that of the layer before it, the first at step `reset_offset` (netx's parameters of these
    names). `num_layers`: the first blocks only. `input_shape`: where the file does not say it. `input_message_bits`: of a file
    without input neurons, 0 for spikes. `corrected`: sigma-delta neurons that lose nothing (see `SigmaDelta`) in the place of
    Lava's. `message_bits`: of sigma-delta neurons, the file's, or 16; a message beyond them ends a run with an error. Differs
    from netx in: delays of convolutions are applied, and refractory periods; `Network.notes` says what was not read.
    Raises FormatError for a broken file, ConversionError for what has no form here; both name the file and the block.
    """
    reading = _reading(reset_interval, reset_offset, num_layers, input_shape, input_message_bits, corrected, message_bits)
    layers, timesteps = _layers(Path(path))
    try:
        return imported(layers, timesteps, reading)
    except NeuroError as error:
        raise type(error)(f"{path}, {error.where}", error.fact, error.remedy) from None
    except (KeyError, ValueError, IndexError, TypeError, AttributeError, OverflowError) as error:
        raise FormatError(str(path), f"its blocks do not fit together ({type(error).__name__}: {error})", _REMEDY) from None


def write_lava_dl(network: Network, path: Any) -> tuple[str, ...]:
    """Write a network in the layout of lava-dl; returns what a reader must be told besides, such as a reset at intervals.

    The layout holds chains of CubaLif or SigmaDelta layers behind one source, joined by Conv2d and Dense, and a readout at the
    end; anything else is refused by population (FormatError).
    """
    import h5py

    network.refuse_learning(str(path), "the layout has no learning rules", FormatError)
    blocks, notes = exported(network)
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as opened:
        for number, block in enumerate(blocks):
            for name, value in block.items():
                text = isinstance(value, str)
                opened[f"layer/{number}/{name}"] = np.array([value.encode("ascii")], "S10") if text else value
        if network.timesteps is not None:
            opened["simulation/Ts"], opened["simulation/tSample"] = 1, network.timesteps
    return tuple(notes)


def lava_dl_inputs(path: Any, images: Any) -> NDArray[np.int64]:
    """What drives the input neurons of a lava-dl file for images (samples, *shape of its input), from 0 to 1, as netx makes it:
    2 weight x - weight + bias, cut toward zero, with the file's numbers. FormatError where the file has no such block."""
    block = Block(0, _layers(Path(path))[0].get("0", {}))
    if block.kind != "input" or not block.has_neuron:
        raise FormatError(str(path), "it does not begin with an input block that has neurons", "Pass messages instead")
    weight, bias = block.number_of("weight", default=64), block.number_of("bias", default=0)
    values = np.asarray(images, np.float64)
    if values.shape[1:] != block.shape or not np.isfinite(values).all():
        fact = f"images have shape {values.shape}, or hold NaN or infinity"
        raise InputError("images", fact, f"Pass (samples, {', '.join(map(str, block.shape))}) finite numbers")
    return np.trunc(2 * weight * values - weight + bias).astype(np.int64)


def _reading(
    interval: int | None,
    offset: int,
    layers: int | None,
    shape: tuple[int, ...] | None,
    bits: int,
    corrected: bool,
    message_bits: int | None,
) -> Reading:
    where = "read_lava_dl"
    if interval is not None:
        whole(where, "reset_interval", interval, 1, error=FormatError)
    whole(where, "reset_offset", offset, 0, error=FormatError)
    if layers is not None:
        whole(where, "num_layers", layers, 1, error=FormatError)
    whole(where, "input_message_bits", bits, 0, 31, error=FormatError)
    truth(where, "corrected", corrected, error=FormatError)
    sizes: Shape | None = None
    if shape is not None:
        sizes = tuple(whole(where, "a size of input_shape", size, 1, error=FormatError) for size in shape)
    if message_bits is not None:
        whole(where, "message_bits", message_bits, 2, 31, error=FormatError)
    return Reading(interval, offset, layers, sizes, bits, corrected, message_bits)


def _layers(path: Path) -> tuple[dict[str, Any], int | None]:
    """The blocks of a file, by name, and the steps of a sample, where it says so."""
    found = read_group(path, "layer", _WHAT, _REMEDY)
    try:
        simulation = read_group(path, "simulation", _WHAT, _REMEDY)
        steps = int(np.asarray(simulation["tSample"]).ravel()[0])
    except (FormatError, KeyError, ValueError, TypeError, IndexError):
        return found, None
    return found, steps if 1 <= steps < 2**31 else None
