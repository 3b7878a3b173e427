"""Depthwise messages spread as bits, where a processor adds under a mask: the integers of the reference engine."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import neuro
from neuro.engine import masked
from neuro.engine.deliver import deliver_masked, kernel_of
from neuro.engine.event import input_payloads
from neuro.engine.plan import plan_of
from neuro.specification import IntArray
from tests.runs import same


@st.composite
def depthwise(draw: Any) -> tuple[neuro.Network, IntArray]:
    """Convolutions of each channel with its own kernel: strides, dilations, margins, sums of 16 bits and some emptied into 32."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    channels, height, width = draw(st.sampled_from((8, 16, 24, 40, 64))), draw(st.integers(1, 9)), draw(st.integers(3, 21))
    kernel, stride = draw(st.sampled_from((1, 2, 3, 4, 5))), draw(st.sampled_from((1, 2, 3)))
    padding = draw(st.integers(kernel // 2, kernel // 2 + 1))
    dilation = draw(st.integers(1, 2 if width + 2 * padding > 2 * kernel and height + 2 * padding > 2 * kernel else 1))
    largest = draw(st.sampled_from((100, 3_000)))
    made = neuro.Conv2d(
        "in", "p", rng.integers(-largest, largest + 1, (channels, 1, kernel, kernel)), stride, padding, dilation, groups=channels
    )
    shape = (channels, *((size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1 for size in (height, width)))
    network = neuro.Network(
        (
            neuro.Population("in", (channels, height, width), neuro.Source(levels=1)),
            neuro.Population("p", shape, neuro.IntegrateAndFire(largest)),
        ),
        (made,),
    )
    sent = rng.random((2, 3, channels, height, width)) < draw(st.sampled_from((0.02, 0.2, 0.9)))
    return network, sent.astype(int)


@pytest.mark.compiled
@settings(deadline=None)
@given(depthwise())
def test_messages_as_bits(case: tuple[neuro.Network, IntArray]) -> None:
    network, inputs = case
    plan = plan_of(network, input_payloads(network, {"in": inputs}), inputs.shape[1])
    q = plan.projections[0]
    chosen = kernel_of(q, False, plan.arenas[0].dtype) is deliver_masked
    assert chosen == (masked.MASKED and q["runs"] > 0 and q["spread"] >= masked.WORD)
    same(network, inputs, inputs.shape[1], by=(1, 2))


def test_only_plain_messages_of_eights_of_channels() -> None:
    q = {"scaled": 0, "channels": 16, "spread": 640}
    assert masked.has_bits(q) == masked.MASKED
    for other in ({"scaled": 1}, {"channels": 12}, {"spread": 40}):
        assert not masked.has_bits(q | other)
