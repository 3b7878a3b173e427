"""Plans: what is kept of a network from run to run, and the memory that packing takes."""

import tracemalloc
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neuro
from neuro.engine import listing, plan
from neuro.engine import tables as T
from neuro.engine.estimate import BLOCK_BYTES, BLOCK_SAMPLES, block_samples, estimate
from neuro.engine.live import live_kernel
from neuro.engine.plan import kept_of, make_plan, plan_of, sums_of
from tests.laws import law
from tests.runs import same


def dense(neuron: neuro.neurons.Neuron) -> neuro.Network:
    populations = (neuro.Population("in", (3,), neuro.Source()), neuro.Population("p", (2,), neuron))
    return neuro.Network(populations, (neuro.Dense("in", "p", np.array([[900, 2], [-7, 3], [5, -100]])),))


def test_runs_that_need_the_same_widths_share_a_plan_and_all_share_the_weights() -> None:
    network = dense(neuro.IntegrateAndFire(9, hold_input=True))
    plans = [plan_of(network, {"in": (0, most)}, 50) for most in (1, 2, 4, 8, 2**10, 2**18)]
    assert plans[1] is plans[2] is plans[3] is plans[4]  # payloads, wide accumulators, currents of 32 bits
    assert plans[0] is not plans[1] is not plans[5]
    assert all(a is b for one in plans for a, b in zip(one.arenas, plans[0].arenas, strict=True))
    assert plan_of(network, {"in": (0, 1)}, 50) is plans[0]


def test_only_the_plans_used_last_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    network = dense(neuro.Graded(9, hold_input=True))
    monkeypatch.setattr(plan, "PLANS_KEPT", 2)
    first = plan_of(network, {"in": (0, 1)}, 5)
    second = plan_of(network, {"in": (0, 2)}, 5)
    assert plan_of(network, {"in": (0, 1)}, 5) is first
    third = plan_of(network, {"in": (0, 2**20)}, 5)
    assert list(kept_of(network).plans.values()) == [first, third]
    assert plan_of(network, {"in": (0, 2)}, 5) is not second
    assert len(kept_of(network).plans) == 2


def test_inputs_of_every_range_keep_few_plans() -> None:
    network = dense(neuro.IntegrateAndFire(9))
    for most in range(1, 40):
        neuro.run(network, np.full((1, 3, 3), 1 << (most % 20)), threads=1)
    assert len(kept_of(network).plans) <= plan.PLANS_KEPT


@law(25)
@given(st.integers(0, 10**6), st.integers(0, 60), st.sampled_from([3, 40_000]), st.booleans())
def test_lists_by_source_equal_the_reference(seed: int, count: int, scale: int, image: bool) -> None:
    rng = np.random.default_rng(seed)
    shape = (2, 3, 7) if image else (42,)
    pairs = (rng.integers(0, 40, count), rng.integers(0, 42, count), rng.integers(-scale, scale + 1, count))
    populations = (neuro.Population("in", (40,), neuro.Source()), neuro.Population("p", shape, neuro.IntegrateAndFire(7)))
    network = neuro.Network(populations, (neuro.Sparse("in", "p", pairs, 2),))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("neuro.engine.layout.LONGEST_ROW", 16)
        patch.setattr(listing, "POINTERS_EACH", -1)
        patch.setattr("neuro.engine.pack.DENSE_LIMIT", 0)
        assert make_plan(network, {"in": (0, 1)}).projections[0]["kind"] == T.SPARSE_BY_SOURCE
        same(network, rng.integers(0, 2, (2, 5, 40)), 5)
        same(network, rng.integers(-2, 3, (2, 5, 40)), 5)


def one_to_one(n: int) -> neuro.Network:
    populations = (neuro.Population("in", (n,), neuro.Source()), neuro.Population("p", (n,), neuro.IntegrateAndFire(7)))
    return neuro.Network(populations, (neuro.OneToOne("in", "p", 3),))


def thin(n: int) -> neuro.Network:
    """As many synapses as neurons, anywhere."""
    rng = np.random.default_rng(n)
    pairs = (rng.integers(0, n, n), rng.integers(0, n, n), rng.integers(-99, 99, n))
    populations = (neuro.Population("in", (n,), neuro.Source()), neuro.Population("p", (n,), neuro.IntegrateAndFire(7)))
    return neuro.Network(populations, (neuro.Sparse("in", "p", pairs),))


@pytest.mark.parametrize("make", [one_to_one, thin])
def test_the_memory_of_listed_synapses_grows_with_their_number_alone(make) -> None:
    def arenas(n: int) -> int:
        return sum(arena.nbytes for arena in make_plan(make(n), {"in": (0, 1)}).arenas)

    few, many = arenas(50_000), arenas(400_000)
    assert many < 10 * few


def packed_peak(network: neuro.Network) -> int:
    tracemalloc.start()
    try:
        plan_of(network, {"in": (0, 1)})
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _weights(*shape: int, scale: int = 99) -> np.ndarray:
    return np.random.default_rng(0).integers(-scale, scale + 1, shape)


def _join(projection: neuro.projections.Projection, source: tuple[int, ...], target: tuple[int, ...]) -> neuro.Network:
    populations = (neuro.Population("in", source, neuro.Source()), neuro.Population("p", target, neuro.IntegrateAndFire(7)))
    return neuro.Network(populations, (projection,))


PACKED = {
    "one to one": lambda: one_to_one(200_000),
    "few synapses": lambda: thin(200_000),
    "listed images": lambda: _join(
        neuro.Sparse("in", "p", (*np.random.default_rng(0).integers(0, 20_000, (2, 200_000)), _weights(200_000))),
        (10, 2000, 1), (10, 2000, 1),
    ),
    "many pairs": lambda: _join(
        neuro.Sparse("in", "p", (*np.random.default_rng(0).integers(0, 700, (2, 200_000)), _weights(200_000))), (700,), (700,)
    ),
    "dense": lambda: _join(neuro.Dense("in", "p", _weights(500, 500)), (500,), (500,)),
    "dense images": lambda: _join(neuro.Dense("in", "p", _weights(500, 500)), (5, 10, 10), (5, 10, 10)),
    "dense, few targets": lambda: _join(neuro.Dense("in", "p", _weights(20_000, 3)), (20_000,), (3,)),
    "dense, wide": lambda: _join(neuro.Dense("in", "p", _weights(400, 400, scale=99_999)), (400,), (400,)),
    "convolution": lambda: _join(neuro.Conv2d("in", "p", _weights(150, 150, 3, 3), padding=1), (150, 8, 8), (150, 8, 8)),
    "convolution, strided": lambda: _join(neuro.Conv2d("in", "p", _weights(3, 400, 3, 3), 2, 1), (400, 8, 8), (3, 4, 4)),
    "depthwise": lambda: _join(neuro.Conv2d("in", "p", _weights(64, 1, 3, 3), padding=1, groups=64), (64, 99, 99), (64, 99, 99)),
}  # fmt: skip


@pytest.mark.parametrize("kind", PACKED)
def test_packing_takes_no_more_than_is_estimated_and_not_much_less(kind: str) -> None:
    packed_peak(PACKED[kind]())  # compiled
    network = PACKED[kind]()
    needed, peak = estimate(network, 1, 1).plan_bytes, packed_peak(network)
    assert peak < needed + (1 << 19)
    assert needed < 6 * peak + (1 << 19)
    assert len(sums_of(network)) == 1


def test_every_kernel_of_a_neuron_model_has_a_name_of_its_own() -> None:
    """Kernels are looked up by their names, on disk and among machine code: two of one name would stand for each other."""
    each = product(range(T.USER), range(3), (False, True), range(3))
    kernels = [live_kernel(*one) for one in each]
    names = {getattr(kernel, "py_func", kernel).__qualname__ for kernel in kernels}
    assert len(names) == len(kernels)


@law(100)
@given(st.integers(1, 1 << 30), st.integers(0, 300), st.integers(1, 9))
def test_threads_get_as_many_samples_as_each_other(each, samples, threads):
    """Blocks have room, no fewer would do, and a thread with the most of them has less than a block beyond its share."""
    block, most = block_samples(each, samples, threads), max(1, min(BLOCK_SAMPLES, BLOCK_BYTES // each))
    assert 1 <= block <= most
    blocks = -(-samples // block)
    turns = -(-blocks // threads)
    assert turns == -(-samples // (threads * most))
    assert turns * block * threads < samples + threads * max(turns, 1)
