"""What is measured over axes: every form of it is traced as torch computes it, and becomes spikes."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import converters
from converters.evaluation import logits
from converters.frontend import trace
from neuro.errors import ConversionError

FORMS = {
    "norm": lambda x: torch.norm(x, dim=2),
    "norm of two axes": lambda x: x.norm(p=2, dim=(1, 2), keepdim=True),
    "sizes": lambda x: x.norm(1, 2),
    "largest": lambda x: torch.linalg.vector_norm(x, ord=float("inf"), dim=1),
    "vector norm": lambda x: torch.linalg.vector_norm(x, dim=-1, keepdim=True),
    "matrix": lambda x: torch.linalg.norm(x, dim=(1, 2)),
    "std": lambda x: x.std(2),
    "std of all": lambda x: torch.std(x, (1, 2), unbiased=False),
    "var": lambda x: torch.var(x, dim=1, correction=0, keepdim=True),
    "logsumexp": lambda x: torch.logsumexp(3 * x, dim=2),
    "logsumexp of two": lambda x: x.logsumexp((1, 2), keepdim=True),
    "softmin": lambda x: F.softmin(x, dim=-1),
    "likeness": lambda x: F.cosine_similarity(x[:, :1], x[:, 1:], dim=-1),
    "windows": lambda x: x.unfold(2, 3, 2).sum(-1),
}


class Form(nn.Module):
    def __init__(self, form) -> None:
        super().__init__()
        self.form, self.before = form, nn.Linear(7, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 1.5 * self.form(torch.tanh(self.before(x)))


def both(model: nn.Module, x: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    with torch.no_grad():
        truth = model(x).numpy()
    return logits(trace(model, x.numpy()), x.numpy()).reshape(truth.shape), truth


@pytest.mark.parametrize("name", FORMS)
def test_forms_are_computed_as_torch_does(name):
    torch.manual_seed(0)
    model, x = Form(FORMS[name]).eval(), torch.randn(64, 4, 7)
    np.testing.assert_allclose(*both(model, x), rtol=1e-4, atol=1e-5)
    assert converters.convert(model, x.numpy(), code="graded").agreement.correlation > 0.99


class Pairs(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.module(x[:, 0], torch.sigmoid(x[:, 1])).reshape(len(x), -1)


@pytest.mark.parametrize("module", [nn.Bilinear(7, 7, 3), nn.Bilinear(7, 7, 2, bias=False), nn.CosineSimilarity(dim=1)])
def test_modules_of_two_operands(module):
    torch.manual_seed(0)
    model, x = Pairs(module).eval(), torch.randn(64, 2, 7)
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    np.testing.assert_allclose(*both(model, x), rtol=1e-4, atol=1e-5)
    assert converters.convert(model, x.numpy(), code="graded").agreement.correlation > 0.99


@pytest.mark.parametrize(
    ("form", "fact"),
    [
        (lambda x: x.std() * x, "all samples together"),
        (lambda x: x.norm(dim=0) + x, "sample axis"),
        (lambda x: x.norm(3, 2), "its order is 3"),
        (lambda x: torch.linalg.norm(x, 1, dim=(1, 2)), "its order is 1"),
        (lambda x: x[:, :, :1].std(2), "[Cc]orrection"),
    ],
)
def test_what_is_not_of_one_sample_or_has_no_form_is_refused(form, fact):
    with pytest.raises(ConversionError, match=fact):
        converters.convert(Form(form).eval(), np.random.default_rng(0).normal(size=(16, 4, 7)).astype(np.float32), code="graded")
