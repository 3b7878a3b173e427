"""Rows of few messages, added one by one, and of many, added column by column: the integers of the reference engine."""

import numpy as np
import pytest

import neuro
from neuro.engine.deliver import EACH
from tests.runs import same

WIDTH = 6


@pytest.mark.compiled
@pytest.mark.parametrize("largest", [20, 900, 20_000], ids=["16 bits", "emptied", "32 bits"])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (3, 2), (4, 3)])
@pytest.mark.parametrize("channels", [1, 3, 20])
def test_rows_of_any_number_of_messages(channels: int, kernel: int, stride: int, largest: int) -> None:
    rng = np.random.default_rng(channels)
    weights = rng.integers(-largest, largest + 1, (19, channels, kernel, kernel))
    side = (WIDTH + 2 - kernel) // stride + 1
    network = neuro.Network(
        (
            neuro.Population("in", (channels, WIDTH, WIDTH), neuro.Source(levels=1)),
            neuro.Population("p", (19, side, side), neuro.IntegrateAndFire(2 * largest)),
        ),
        (neuro.Conv2d("in", "p", weights, stride, 1),),
    )
    sent = np.zeros((1, 24, channels, WIDTH, WIDTH), int)
    for step in range(24):  # from none of a row to more than are added one by one, and all
        for y in range(WIDTH):
            many = min((step + y) % (EACH * WIDTH + 4) * (1 if step < 16 else 5), channels * WIDTH)
            sent[0, step].reshape(channels, WIDTH, WIDTH)[:, y].flat[rng.permutation(channels * WIDTH)[:many]] = 1
    same(network, sent, 24, by=(1,))
