"""Cuts and costs worked out by hand, on networks of a few neurons and chips with round prices."""

import dataclasses

import numpy as np
import pytest

import neuro
from neuro.chip.cutting.partition import Partitioner, partition, partition_in_order
from neuro.chip.spec import Chip
from neuro.errors import FitError
from tests.chips import small

FIRE = neuro.IntegrateAndFire(9, start_step=1)
ENERGIES = {"axon_out": 3.0, "axon_in": 5.0, "hop_x": 7.0, "hop_y": 11.0}
TIMES = {
    "neuron_access": 2.0,
    "neuron_update": 3.0,
    "spike": 5.0,
    "axon_out": 7.0,
    "axon_in": 1.0,
    "synop_dense": 0.5,
    "synop_conv": 0.5,
    "barrier": ((1, 100.0), (2, 200.0), (3, 300.0)),
}
FREE = dict.fromkeys(ENERGIES), dict.fromkeys(TIMES)
ROOMY = {"in_axons": None, "out_axons": None, "synapse_bits": 10**9, "memory_bits": None}


def chip_of(neurons: int, energy=ENERGIES, time=TIMES, static=0.5, management=0.25, mesh=None, neuron=None, **core) -> Chip:
    mesh = {"width": 8, "height": 8, "cores_per_tile": 2, "reserved_cores": 0} | (mesh or {})
    chip = small(mesh=mesh, energy=energy, time=time, neuron=neuron, **{**ROOMY, "neurons": neurons, **core})
    origin = {**chip.origin, "power.static": chip.origin["mesh.width"], "power.management": chip.origin["mesh.width"]}
    return dataclasses.replace(chip, power=dataclasses.replace(chip.power, static=static, management=management), origin=origin)


def network(*populations: neuro.Population, joins: tuple = ()) -> neuro.Network:
    return neuro.Network(populations, joins, timesteps=2)


def chain(n: int, m: int, neuron=FIRE) -> neuro.Network:
    """4 inputs of the host -> n neurons -> m more, all to all."""
    return network(
        neuro.Population("in", (4,), neuro.Source()),
        neuro.Population("a", (n,), neuron),
        neuro.Population("b", (m,), neuro.IntegrateAndFire(9, "zero", start_step=2)),
        joins=(neuro.Dense("in", "a", np.ones((4, n), int)), neuro.Dense("a", "b", np.ones((n, m), int))),
    )


def grids(tilings) -> dict[str, tuple[int, ...]]:
    return {name: tiling.grid for name, tiling in tilings.items()}


@pytest.mark.parametrize("hops", [(7.0, 11.0), (11.0, 7.0)])
def test_the_estimate_of_a_plan_adds_packets_and_power_over_its_time(hops) -> None:
    chip = chip_of(4, {**ENERGIES, "hop_x": hops[0], "hop_y": hops[1]})
    plan = Partitioner(chain(8, 2), chip, {}).fewest()
    assert grids(plan.tilings) == {"in": (1,), "a": (2,), "b": (1,)}
    assert plan.slices == 3
    # a: 4 neurons of 2 + 3 ns, and at a rate of 0.1 a spike of 5 and a packet of 7 ns
    assert plan.work_ns == pytest.approx(4 * (2 + 3 + 0.1 * (5 + 7)))
    packets = 0.1 * 4 * 2 + 0.1 * 8 * 1
    moving = packets * (3 + 5 + 2 * 11)
    assert plan.energy_pj == pytest.approx(moving + (0.5 * 1 + 0.25) * (plan.work_ns + 200) * 1000)  # W ns = 1000 pJ; 2 tiles


def test_rates_weigh_packets_and_time() -> None:
    plan = Partitioner(chain(8, 2), chip_of(4, static=0, management=0), {"in": 1.0, "a": 0.5}).fewest()
    assert plan.work_ns == pytest.approx(4 * (5 + 0.5 * 12))
    assert plan.energy_pj == pytest.approx((4 * 2 + 0.5 * 8) * 30)


def test_a_neuron_sends_a_packet_to_every_slice_it_reaches() -> None:
    plan = Partitioner(chain(4, 8), chip_of(4), {"a": 1.0}).fewest()
    assert grids(plan.tilings) == {"in": (1,), "a": (1,), "b": (2,)}
    assert plan.work_ns == pytest.approx(4 * (5 + 5 + 2 * 7))


@pytest.mark.parametrize(("axon_in", "synop"), [(100.0, 0.5), (1.0, 100.0)])
def test_the_busiest_core_may_be_one_that_receives(axon_in: float, synop: float) -> None:
    plan = Partitioner(chain(8, 2), chip_of(4, time={**TIMES, "axon_in": axon_in, "synop_dense": synop}), {}).fewest()
    assert plan.work_ns == pytest.approx(0.1 * max(4 * axon_in + 16 * synop, 8 * axon_in + 16 * synop))


def test_the_busiest_core_need_not_be_the_first_or_the_last() -> None:
    for sizes in ((6, 2), (2, 6)):
        plan = Partitioner(chain(*sizes), chip_of(8), {"a": 0, "b": 0}).fewest()
        assert plan.work_ns == pytest.approx(6 * 5)


def test_two_compartments_take_twice_the_time_and_room() -> None:
    plan = Partitioner(chain(8, 1), chip_of(8, neuron={"subtract": "two_compartment"}), {"a": 0}).fewest()
    assert grids(plan.tilings) == {"in": (1,), "a": (2,), "b": (1,)}
    assert plan.work_ns == pytest.approx(4 * 2 * 5)


def test_static_power_is_spent_by_every_chip_in_use_and_management_once() -> None:
    mesh = {"width": 1, "height": 1, "cores_per_tile": 2, "chips_x": 2, "chips_y": 2}
    for neurons, chips, tiles in ((8, 1, 1), (4, 2, 2), (2, 3, 3)):
        plan = Partitioner(chain(8, 2), chip_of(neurons, mesh=mesh), {"in": 0, "a": 0, "b": 0}).fewest()
        assert plan.slices == {8: 2, 4: 3, 2: 5}[neurons]
        waiting = {1: 100, 2: 200, 3: 300}[tiles]
        assert plan.energy_pj == pytest.approx((0.5 * chips + 0.25) * (neurons * 5 + waiting) * 1000)


def test_what_is_not_known_counts_as_nothing() -> None:
    nothing = Partitioner(chain(8, 2), chip_of(4, FREE[0], FREE[1]), {}).fewest()
    assert (nothing.work_ns, nothing.energy_pj) == (0, 0)
    unpowered = Partitioner(chain(8, 2), chip_of(4, static=None, management=None), {}).fewest()
    assert unpowered.energy_pj == pytest.approx(1.6 * 30)
    for name in ENERGIES:
        known = {**FREE[0], name: 2.0}
        energy = Partitioner(chain(8, 2), chip_of(4, known, FREE[1]), {}).fewest().energy_pj
        assert energy == pytest.approx(1.6 * 2 * (2 if name.startswith("hop") else 1)), name
    for name, work in {"neuron_access": 8.0, "neuron_update": 8.0, "spike": 0.8, "axon_out": 0.8}.items():
        assert Partitioner(chain(8, 2), chip_of(4, time={**FREE[1], name: 2.0}), {}).fewest().work_ns == pytest.approx(work), name


def quick(barrier: float = 0.0) -> tuple[neuro.Network, Chip]:
    """96 neurons that take 1 ns each; the energy is the time."""
    time = {**FREE[1], "neuron_update": 1.0, "barrier": ((1, barrier),)}
    alone = network(neuro.Population("a", (96,), neuro.Source("rate", levels=2)))
    return alone, chip_of(96, FREE[0], time, static=0, management=1)


@pytest.mark.parametrize(
    ("cores", "used"),
    [
        (1, 1),
        (2, 2),
        (3, 3),
        (4, 4),
        (5, 4),
        (6, 6),
        (8, 8),
        (11, 8),
        (12, 12),
        (16, 16),
        (24, 24),
        (31, 24),
        (32, 32),
        (None, 32),
    ],
)
def test_free_cores_are_used_where_they_save_energy(cores: int | None, used: int) -> None:
    alone, chip = quick()
    assert partition(alone, chip, cores=cores)["a"].slices == used


@pytest.mark.parametrize(("barrier", "used"), [(0, 32), (6.5, 32), (7.5, 24), (26.5, 24), (27.5, 16)])
def test_of_plans_within_a_tenth_of_the_least_energy_the_smallest_is_taken(barrier: float, used: int) -> None:
    """With k slices a step takes barrier + 96 / k: 24 slices are within a tenth of 32 from 7 ns on, 16 from 27 ns on."""
    assert partition(*quick(barrier))["a"].slices == used


def test_more_slices_are_not_taken_where_packets_cost_more_than_time() -> None:
    assert grids(partition(chain(8, 2), chip_of(4, static=0, management=0)))["a"] == (2,)
    hasty = chip_of(4, FREE[0], {**TIMES, "barrier": None})
    assert grids(partition(chain(8, 2), hasty, rates={"in": 0, "a": 0}))["a"] == (8,)  # then none is quicker: no plan


def test_the_fewest_slices_are_the_answer_even_on_too_small_a_chip() -> None:
    assert grids(partition(chain(8, 2), chip_of(4), cores=1))["a"] == (2,)


def pointwise(source: neuro.Source) -> neuro.Network:
    """1 x 1 x 3 -> 2 x 1 x 3 by a 1 x 1 kernel: cuts along channels double the packets, cuts along columns do not."""
    return network(
        neuro.Population("in", (1, 1, 3), source),
        neuro.Population("a", (2, 1, 3), FIRE),
        joins=(neuro.Conv2d("in", "a", np.ones((2, 1, 1, 1), int)),),
    )


def test_packets_decide_among_quick_cuts_and_slices_among_equals() -> None:
    partitioner = Partitioner(pointwise(neuro.Source()), chip_of(6, time={**FREE[1], "neuron_update": 1.0}), {})
    assert partitioner.fewest().work_ns == 6
    assert grids(partitioner.within(3.0).tilings)["a"] == (1, 1, 3)  # rather than (2, 1, 1), of fewer slices
    assert grids(partitioner.within(4.0).tilings)["a"] == (1, 1, 2)
    assert grids(partitioner.within(1.0).tilings)["a"] == (2, 1, 3)
    assert partitioner.within(0.9) is None
    ones = network(
        neuro.Population("in", (4, 1, 8), neuro.Source()),
        neuro.Population("a", (4, 1, 8), FIRE),
        joins=(neuro.OneToOne("in", "a"),),
    )
    assert Partitioner(ones, chip_of(32, time={**FREE[1], "neuron_update": 1.0}), {}).within(8.0).slices == 4


def test_slow_reception_counts_as_slow() -> None:
    partitioner = Partitioner(pointwise(neuro.Source()), chip_of(6, time={**FREE[1], "axon_in": 10.0}), {})
    assert partitioner.fewest().work_ns == pytest.approx(3)
    assert grids(partitioner.within(2.0).tilings)["a"] == (1, 1, 2)  # 2 of the 3 sources, at a rate of 0.1
    assert grids(partitioner.within(1.0).tilings)["a"] == (1, 1, 3)
    assert partitioner.within(0.5) is None


def test_the_fewest_slices_count_the_axons_that_lead_to_them() -> None:
    """2 slices by channel take 6 outgoing axons, 3 by column take 3; with 2 axons a core that is 2 + 3 cores against 3 + 1.5."""
    source = neuro.Source("rate", levels=2)
    assert grids(Partitioner(pointwise(source), chip_of(3), {}).fewest().tilings)["a"] == (2, 1, 1)
    assert grids(Partitioner(pointwise(source), chip_of(3, out_axons=2), {}).fewest().tilings) == {
        "in": (1, 1, 2),
        "a": (1, 1, 3),
    }


def test_recurrent_populations_are_cut_again_until_their_axons_fit() -> None:
    """10 neurons to themselves and to one slice more: k slices need ceil(10 / k) * (k + 1) <= 12 axons, first at k = 5."""
    loop = network(
        neuro.Population("in", (4,), neuro.Source()),
        neuro.Population("a", (10,), FIRE),
        neuro.Population("out", (1,), neuro.Readout(start_step=2)),
        joins=(
            neuro.Dense("in", "a", np.ones((4, 10), int)),
            neuro.Dense("a", "a", np.ones((10, 10), int)),
            neuro.Dense("a", "out", np.ones((10, 1), int)),
        ),
    )
    assert grids(Partitioner(loop, chip_of(10, out_axons=12), {}).fewest().tilings) == {"in": (1,), "a": (5,), "out": (1,)}
    assert grids(partition_in_order(loop, chip_of(10, out_axons=19)))["a"] == (2,)


def test_cuts_in_order_divide_channels_first() -> None:
    tilings = partition_in_order(pointwise(neuro.Source()), chip_of(3))
    assert grids(tilings) == {"in": (1, 1, 1), "a": (2, 1, 1)}
    assert grids(partition_in_order(pointwise(neuro.Source()), chip_of(2)))["a"] == (2, 1, 2)


def test_cuts_in_order_are_refused_when_none_fits() -> None:
    loud = chain(2, 2)
    assert grids(partition_in_order(loud, chip_of(2, out_axons=2)))["a"] == (1,)
    with pytest.raises(FitError, match="one neuron needs 2 out axons, a core has 1"):
        partition_in_order(loud, chip_of(1, out_axons=1))


def test_a_refusal_names_the_limit_and_the_neuron_that_needs_most() -> None:
    listed = network(
        neuro.Population("in", (5,), neuro.Source()),
        neuro.Population("a", (2,), FIRE),
        joins=(neuro.Sparse("in", "a", (np.array([0, 1, 0, 1, 2, 3, 4]), np.array([0, 0, 1, 1, 1, 1, 1]), np.ones(7, int))),),
    )
    with pytest.raises(FitError, match=r"one neuron needs 5 in axons, a core has 4"):
        partition(listed, chip_of(9, in_axons=4))
    assert grids(partition(listed, chip_of(9, in_axons=5), cores=1))["a"] == (1,)
    with pytest.raises(FitError, match=r"one neuron needs 2 out axons, a core has 1.*Narrow the next layer"):
        partition(chain(1, 2), chip_of(1, out_axons=1))
