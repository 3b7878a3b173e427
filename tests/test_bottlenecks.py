"""Linear layers behind linear layers: populations of values where folding would multiply synapses, folded where it would not."""

import numpy as np
import pytest
import torch
from torch import nn

import converters
import neuro
from converters import quantised
from neuro.errors import ConversionError

SHAPE = (3, 12, 12)


class Inverted(nn.Module):
    """An inverted residual without a rectifier behind its projection."""

    def __init__(self, channels: int, wide: int) -> None:
        super().__init__()
        self.up, self.mix = nn.Conv2d(channels, wide, 1), nn.Conv2d(wide, wide, 3, padding=1, groups=wide)
        self.down = nn.Conv2d(wide, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.down(torch.relu(self.mix(torch.relu(self.up(x)))))


def network(channels: int = 6, wide: int = 96) -> nn.Sequential:
    torch.manual_seed(0)
    blocks = [Inverted(channels, wide) for _ in range(3)]
    return nn.Sequential(
        nn.Conv2d(3, channels, 1), *blocks, nn.Conv2d(channels, 16, 1), nn.ReLU(), nn.Flatten(), nn.Linear(2304, 4)
    )


def samples(count: int = 64, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, *SHAPE), np.float32)


def neurons(made: converters.Conversion) -> set[str]:
    return {type(p.neuron).__name__ for p in made.network.populations}


@pytest.mark.parametrize("code", ["graded", "radix"])
def test_bottlenecks_become_populations_with_fewer_synapses(code) -> None:
    model, x, new = network().eval(), samples(), samples(8, 1)
    made, folded = (converters.convert(model, x, code=code, timesteps=8, bottlenecks=how) for how in ("auto", "folded"))
    assert "Value" in neurons(made)
    assert "Value" not in neurons(folded)
    synops = [quantised.evaluate(one.network, new).synops for one in (made, folded)]
    assert synops[0] < synops[1] / 1.5
    assert made.agreement.correlation > 0.995
    np.testing.assert_array_equal(neuro.run(made.network, new).logits, made.quantised(new))
    assert made.diagnosis.layers
    assert made.timesteps_for(0.5) == 1


def test_they_are_folded_where_that_takes_no_more_synapses() -> None:
    wide = nn.Sequential(nn.Flatten(), nn.Linear(432, 20), nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 4)).eval()
    torch.manual_seed(0)
    small = nn.Sequential(nn.Flatten(), nn.Linear(432, 400), nn.Linear(400, 16), nn.ReLU(), nn.Linear(16, 4)).eval()
    assert "Value" not in neurons(converters.convert(small, samples(), code="graded"))
    assert "Value" not in neurons(converters.convert(wide, samples(), code="graded"))


@pytest.mark.parametrize(
    "how",
    [{"threshold": "max"}, {"weight_bits": {"output": 6}}, {"code": "radix", "timesteps": 3}, {"refine": 2}],
)
def test_what_only_rectifiers_have_folds_them(how) -> None:
    model = network().eval()
    if "weight_bits" in how:
        name = converters.convert(model, samples(32), code="graded", bottlenecks="folded").network.populations[1].name
        how = {"weight_bits": {name: 6}}
    made = converters.convert(model, samples(32), **{"code": "graded", **how})
    assert "Value" not in neurons(made)


def test_other_words_are_refused() -> None:
    with pytest.raises(ConversionError, match="auto or folded"):
        converters.convert(network(), samples(8), code="graded", bottlenecks="never")


def test_a_mean_behind_a_large_linear_layer_leaves_its_weights_shared() -> None:
    torch.manual_seed(0)
    wide = [nn.Conv2d(3, 128, 1), nn.GELU(), nn.Conv2d(128, 64, 1)]
    model = nn.Sequential(*wide, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 4))
    made = converters.convert(model.eval(), samples(32), code="graded")
    stored = sum(projection.stored_weights.size for projection in made.network.projections)
    assert stored < 40_000  # folded, 128 x 144 x 64 weights
    assert made.agreement.correlation > 0.99
