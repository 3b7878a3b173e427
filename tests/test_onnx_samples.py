"""Exported networks that move samples to another axis or make them share one: read for one sample; refused where samples meet."""

import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import converters
from converters.evaluation import logits
from neuro.errors import ConversionError
from tests.merged import MODELS, Parts


class Encoder(nn.Module):
    """What torch exports with samples on the second axis."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True, dropout=0.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


class Queries(nn.Module):
    """Learned queries: attention and norms of constants."""

    def __init__(self) -> None:
        super().__init__()
        self.queries, self.attend = nn.Parameter(torch.randn(3, 8)), nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm, self.own = nn.LayerNorm(8), nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        queries = self.queries.expand(len(x), -1, -1)
        queries = self.norm(queries + self.own(queries, queries, queries)[0])
        return self.attend(queries, x, x)[0]


class Einsums(nn.Module):
    """Products by named axes, of a constant and of what has samples first."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Parameter(torch.randn(6, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores = torch.einsum("bic,bjc->bij", x, x) / 3
        return torch.einsum("bij,jk->bk", torch.einsum("bij,bjc->bic", scores.softmax(-1), x)[:, :, :6], self.mix)


class Frames(nn.Module):
    """A convolution of every frame of a sample."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 3, 3), nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, frames = x.shape[:2]
        y = F.relu(self.conv(x.reshape(n * frames, 1, 6, 6))).mean((2, 3)).reshape(n, frames, 3)
        return self.head(y.mean(1))


def exported(model: nn.Module, x: torch.Tensor, folder, *, open_axis: bool) -> str:
    path = str(folder / "m.onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        axes = {"x": {0: "n"}, "y": {0: "n"}} if open_axis else None
        given = x[:2] if open_axis else x[:1]
        torch.onnx.export(model, (given,), path, opset_version=17, dynamo=False, input_names=["x"], output_names=["y"],
                          dynamic_axes=axes)  # fmt: skip
    return path


NETWORKS = [*MODELS, (Encoder, (5, 8)), (Queries, (5, 8)), (Einsums, (6, 7)), (Frames, (4, 6, 6))]
FOR_ONE = (Parts, Queries)  # which torch exports for a fixed number of samples alone


@pytest.mark.parametrize(
    ("model", "shape", "open_axis"), [(*one, kind) for one in NETWORKS for kind in (False, True)[: 2 - (one[0] in FOR_ONE)]]
)
def test_it_is_read_for_one_sample_as_torch_computes_it(model, shape, open_axis, tmp_path):
    torch.manual_seed(0)
    made, x = model().eval(), torch.randn(6, *shape)
    graph = converters.read_onnx(exported(made, x, tmp_path, open_axis=open_axis))
    assert graph.inputs[0].shape == shape
    with torch.no_grad():
        truth = made(x).numpy()
    np.testing.assert_allclose(logits(graph, x.numpy()).reshape(truth.shape), truth, rtol=1e-4, atol=1e-5)


class Meeting(nn.Module):
    """Samples that meet: in attention across them, in their mean, in rows of two."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.how == "attention":
            return (x @ x.transpose(0, 1)).softmax(-1) @ x
        if self.how == "mean":
            return (x.transpose(0, 1) - x.mean(0)[:, None]).transpose(0, 1)
        return x.transpose(0, 1).reshape(-1, x.shape[1])


@pytest.mark.parametrize("how", ["attention", "mean", "rows"])
def test_samples_that_meet_are_refused(how, tmp_path):
    path = exported(Meeting(how).eval(), torch.randn(2, 5), tmp_path, open_axis=True)
    with pytest.raises(ConversionError, match="sample"):
        converters.read_onnx(path)
