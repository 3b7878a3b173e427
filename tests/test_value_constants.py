"""Constants among values: learned queries, stacks of matrices that multiply activations, sums that nothing arrives at."""

import numpy as np
import pytest
import torch
from torch import nn

import converters
import neuro
from neuro.errors import ConversionError

QUERIES, TOKENS, WIDTH = 4, 6, 8


class Asked(nn.Module):
    """Learned queries that attend to tokens, as those of DETR and Perceiver: the same for every sample."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.queries, self.embed = nn.Parameter(torch.randn(QUERIES, WIDTH)), nn.Linear(5, WIDTH)
        self.attention, self.norm = nn.MultiheadAttention(WIDTH, 2, batch_first=True), nn.LayerNorm(WIDTH)
        self.stack = nn.Parameter(torch.randn(2, QUERIES, WIDTH // 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens, queries = self.embed(x), self.queries.expand(len(x), -1, -1)
        if self.kind == "module":
            return self.norm(queries + self.attention(queries, tokens, tokens, need_weights=False)[0]).mean(1)
        heads = tokens.reshape(len(x), TOKENS, 2, WIDTH // 2).transpose(1, 2)
        if self.kind == "function":
            asked = self.norm(queries).reshape(len(x), QUERIES, 2, WIDTH // 2).transpose(1, 2)
            return nn.functional.scaled_dot_product_attention(asked, heads, heads).flatten(2)
        return self.stack @ heads.transpose(2, 3)  # a constant of its own for each head


@pytest.mark.parametrize("kind", ["module", "function", "stack"])
def test_what_is_the_same_for_every_sample_is_an_operand(kind):
    torch.manual_seed(0)
    model, x = Asked(kind).eval(), torch.randn(96, TOKENS, 5)
    made = converters.convert(model, x[:64].numpy(), code="graded")
    with torch.no_grad():
        truth = model(x).numpy().reshape(len(x), -1)
    got = np.asarray(made.quantised(x.numpy())).reshape(len(x), -1)
    assert np.square(got - truth).mean() < 0.05**2 * np.square(truth - truth.mean(axis=0)).mean()
    assert made.agreement.correlation > 0.999
    run = neuro.run(made.network, x[:4].numpy())
    np.testing.assert_array_equal(run.logits.reshape(4, -1), got[:4])


def test_a_sum_that_nothing_arrives_at_keeps_its_bias():
    """Its unit is its own: a constant population sends what it stands for, to the rounding of its bits."""
    torch.manual_seed(0)
    made = converters.convert(Asked("stack").eval(), torch.randn(64, TOKENS, 5).numpy(), code="graded")
    (alone,) = (p for p in made.network.populations if not p.neuron.is_source and not made.network.into(p.name))
    sent = neuro.run(made.network, np.zeros((1, TOKENS, 5), np.float32), record=("raster",)).raster[alone.name][0].sum(axis=0)
    held = next(layer.arrays["value"] for layer in made.graph.layers if layer.op == "constant")
    unit = np.abs(held).max() / np.abs(sent).max()
    assert np.abs(sent.reshape(held.shape) * unit - held).max() < 0.02 * np.abs(held).max()


def test_a_constant_that_differs_from_sample_to_sample_is_refused():
    class Own(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            rising = torch.arange(len(x), dtype=torch.float32)[:, None, None].expand(-1, 3, 5)
            return nn.functional.scaled_dot_product_attention(rising, x, x)

    with pytest.raises(ConversionError, match="differs from sample to sample"):
        converters.convert(Own(), np.random.default_rng(0).normal(size=(16, 4, 5)).astype(np.float32), code="graded")
