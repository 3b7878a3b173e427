"""A trained network -> a spiking network in chip integers: trace, fold, calibrate, encode. torch lives here."""

from converters.finetuning import finetune
from converters.frontend import trace
from converters.onnx_files import read_onnx
from converters.pipeline import Conversion, convert

__all__ = ["Conversion", "convert", "finetune", "read_onnx", "trace"]
