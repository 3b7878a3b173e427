"""The facts that every kind of projection declares are those of its list of synapses."""

import numpy as np
from hypothesis import given

import neuro
from neuro import projections
from neuro.engine import estimate
from neuro.projections import KINDS, Projection
from neuro.projections.forms import as_convolution
from tests.networks import cases


def test_every_kind_is_in_the_table_of_kinds() -> None:
    assert {kind.__name__ for kind in Projection.__subclasses__()} == set(KINDS)
    assert all(getattr(projections, name) is getattr(neuro, name) is kind for name, kind in KINDS.items())
    assert {kind.storage for kind in KINDS.values()} == {"dense", "sparse", "conv"}


@given(case=cases(stream=True))
def test_facts_follow_from_the_synapses(case) -> None:
    network = case[0]
    for p in network.projections:
        source, target = network[p.source].shape, network[p.target].shape
        listed = p.synapses(source, target)
        assert p.count(source, target) == len(listed.weight)
        assert p.with_weights(p.stored_weights) == p
        doubled = p.with_weights(2 * p.stored_weights)
        assert type(doubled) is type(p)
        np.testing.assert_array_equal(doubled.synapses(source, target).weight, 2 * listed.weight)
        assert set(np.unique(p.unshared_weights(source))) == set(np.unique(p.stored_weights))
        if p.offset is not None:
            np.testing.assert_array_equal(listed.post, listed.pre + p.offset)
        if p.matrix is not None:
            np.testing.assert_array_equal(p.matrix, p.to_sparse(source, target).toarray())
        conv = as_convolution(p, source, target)
        assert conv is not None or not p.slides
        if conv is not None:
            heights = [(s[0], 1, s[1]) if len(s) == 2 else s for s in (source, target)]
            assert (p.to_sparse(source, target) != conv.to_sparse(*heights)).nnz == 0
            assert conv.weights.size == p.unshared_weights(source).size


def test_placing_kernels_is_estimated_by_their_weights_and_lists_by_their_synapses(monkeypatch) -> None:
    """A sequence of 4,096 places is read by 3 weights: 12,286 synapses, which are held where a chip lists them alone."""
    network = neuro.Network(
        (neuro.Population("in", (1, 4096), neuro.Source()), neuro.Population("a", (1, 4094), neuro.IntegrateAndFire(1))),
        (neuro.Conv1d("in", "a", np.ones((1, 1, 3), int)),),
    )
    asked = []
    monkeypatch.setattr(estimate, "check_fits", lambda what, needed, *more: asked.append(needed))
    estimate.check_placeable(network, ())
    estimate.check_placeable(network, {"in->a"})
    assert asked[1] - asked[0] == 48 * (3 * 4094 - 3)
