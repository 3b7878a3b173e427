"""A trained network -> a spiking network in chip integers: trace, fold, calibrate, encode. torch lives here."""

import importlib
from typing import Any

from converters.choosing import Goal
from converters.finetuning import finetune
from converters.frontend import trace
from converters.lava_files import lava_dl_inputs, read_lava_dl, write_lava_dl
from converters.nir_files import read_nir, write_nir
from converters.onnx_files import read_onnx
from converters.pipeline import Conversion, convert

__all__ = [
    "Conversion",
    "Goal",
    "convert",
    "finetune",
    "optimise",
    "lava_dl_inputs",
    "read_lava_dl",
    "read_nir",
    "read_onnx",
    "trace",
    "write_lava_dl",
    "write_nir",
]


def __getattr__(name: str) -> Any:
    """`optimise` measures on a chip, which lies above this package: it is looked up when it is first asked for."""
    if name != "optimise":
        raise AttributeError(f"module 'converters' has no attribute {name!r}")
    return importlib.import_module("neuro.optimising.optimise").optimise
