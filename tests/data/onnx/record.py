"""Writes the .onnx files beside this script, with inputs and outputs in .npz; see README.md for the environment.

python tests/data/onnx/record.py   (from the repository's root)
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[2]))

from tests.convertible import Branches, Chain, settled  # noqa: E402  # from this checkout
from tests.onnx_models import exported  # noqa: E402  # from this checkout


class Samples(CalibrationDataReader):
    def __init__(self, x: np.ndarray) -> None:
        self.batches = iter([{"input": x}])

    def get_next(self) -> dict | None:
        return next(self.batches, None)


def answers(path: Path, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path)
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def main() -> None:
    x = np.random.default_rng(0).random((64, 1, 8, 8), np.float32)
    for name, model in (("chain", Chain()), ("branches", Branches())):
        model = settled(model, x)
        path = HERE / f"{name}.onnx"
        shapes = {"x": {0: torch.export.Dim("samples")}}
        torch.onnx.export(model, (torch.as_tensor(x[:2]),), path, dynamo=True, dynamic_shapes=shapes, external_data=False)
        np.savez_compressed(HERE / f"{name}.npz", x=x[:6], logits=answers(path, x[:6]))
        with tempfile.TemporaryDirectory() as folder:
            plain, ready = Path(folder) / "plain.onnx", Path(folder) / "ready.onnx"
            exported(model, x, plain, plain=False, open_batch=True)
            quant_pre_process(plain, ready)
            path = HERE / f"{name}_int8.onnx"
            options = {"quant_format": QuantFormat.QDQ, "per_channel": True, "weight_type": QuantType.QInt8}
            quantize_static(ready, path, Samples(x), **options)
        np.savez_compressed(HERE / f"{name}_int8.npz", x=x[:6], logits=answers(path, x[:6]))


if __name__ == "__main__":
    main()
