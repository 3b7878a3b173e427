"""A special form holds every option of the general one: pools, one-to-one copies and listed synapses equal their convolutions."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

import converters
import neuro
from converters import integers, linear
from converters.delivery import carrier, deliver, exact_in, fan_out, largest
from converters.evaluation import logits
from converters.linear import Window
from neuro.chip.files import load_chip
from neuro.chip.placing.placement import place
from neuro.errors import GraphError, NetworkError, NeuroError
from neuro.machines.equivalent import equivalent
from neuro.projections import Conv1d, Conv2d, Dense, OneToOne, Sparse, SumPool2d
from neuro.projections.forms import as_convolution, most_special
from tests.laws import law
from tests.networks import axes, cases, convolutions
from tests.runs import RECORD, assert_same


def matrix(conv, source, target) -> np.ndarray:
    """(source neurons, target neurons) of torch's convolution, channel by channel of its input: the independent definition."""
    one_hot = torch.eye(int(np.prod(source)), dtype=torch.float64).reshape(-1, *source)
    sides = [p for side in reversed(np.atleast_2d(conv.padding).tolist()) for p in side]
    convolve = F.conv1d if len(source) == 2 else F.conv2d
    weights = torch.tensor(np.asarray(conv.weights, np.float64))
    return (
        convolve(F.pad(one_hot, sides), weights, None, conv.stride, 0, conv.dilation, conv.groups)
        .reshape(len(one_hot), -1)
        .numpy()
    )


def listed(projection, source, target) -> list[tuple[int, ...]]:
    s = projection.synapses(source, target)
    return sorted(zip(s.pre.tolist(), s.post.tolist(), s.weight.tolist(), strict=True))


@pytest.mark.peer("torch")
@law(30)
@given(convolutions())
def test_special_forms_have_the_synapses_of_the_convolution(drawn) -> None:
    conv, source, target = drawn
    special = most_special(conv)
    special.check(source, target)
    assert (special.source, special.target, special.delay) == (conv.source, conv.target, conv.delay)
    assert listed(special, source, target) == listed(conv, source, target)
    assert special.count(source, target) == conv.count(source, target) == len(listed(conv, source, target))
    assert np.array_equal(special.to_sparse(source, target).toarray(), matrix(conv, source, target))
    general = as_convolution(special, source, target)
    sizes = [(s[0], 1, s[1]) if len(s) == 2 else s for s in (source, target)]
    assert listed(general, *sizes) == listed(conv, source, target)


@law(12)
@given(convolutions(), st.sampled_from(["binary", "payloads"]))
def test_special_forms_spike_and_count_like_the_convolution_in_every_engine(drawn, code: str) -> None:
    conv, source, target = drawn
    special = most_special(conv)
    neuron = neuro.IntegrateAndFire(7, start_step=1, bias=1)
    populations = (neuro.Population("in", source, neuro.Source()), neuro.Population("p", target, neuron))
    rng = np.random.default_rng(5)
    inputs = rng.integers(0, 2, (2, 4, *source)) if code == "binary" else rng.integers(-4, 5, (2, 4, *source))
    runs = [
        neuro.run(neuro.Network(populations, (form,)), inputs, engine=engine, record=RECORD)
        for form, engine in ((conv, "reference"), (special, "reference"), (special, "event"), (special, "torch"))
    ]
    for run in runs[1:]:
        assert_same(run, runs[0])


KINDS = {
    "pool": (np.full((3, 1, 2, 2), 4), {"groups": 3}, SumPool2d),
    "dilated pool": (np.full((3, 1, 2, 2), 4), {"groups": 3, "dilation": (1, 2)}, SumPool2d),
    "pool of one channel": (np.full((1, 1, 2, 2), 4), {"dilation": 2, "padding": ((1, 0), (0, 1))}, SumPool2d),
    "copy": (np.full((3, 1, 1, 1), 4), {"groups": 3}, OneToOne),
    "copy with a dilation of no effect": (np.array([4, 5, 6]).reshape(3, 1, 1, 1), {"groups": 3, "dilation": 2}, OneToOne),
    "strided copy": (np.full((3, 1, 1, 1), 4), {"groups": 3, "stride": (1, 2)}, SumPool2d),
    "padded copy": (np.full((3, 1, 1, 1), 4), {"groups": 3, "padding": ((0, 1), (0, 0))}, SumPool2d),
    "strided copy of other weights": (np.array([4, 5, 6]).reshape(3, 1, 1, 1), {"groups": 3, "stride": 2}, Conv2d),
    "two channels for one": (np.full((6, 1, 2, 2), 4), {"groups": 3}, Conv2d),
    "one channel of two": (np.full((3, 2, 2, 2), 4), {"groups": 3}, Conv2d),
    "groups fewer than channels": (np.full((3, 1, 2, 2), 4), {}, Conv2d),
}


@pytest.mark.parametrize("name", KINDS)
def test_which_special_form_is_chosen(name: str) -> None:
    weights, options, kind = KINDS[name]
    assert type(most_special(Conv2d("in", "p", weights, **options))) is kind


def test_a_line_has_no_pool_and_a_long_window_keeps_its_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(most_special(Conv1d("in", "p", np.full((3, 1, 2), 4), groups=3))) is Conv1d
    assert type(most_special(Conv1d("in", "p", np.full((3, 1, 1), 4), groups=3))) is OneToOne
    assert type(most_special(Conv1d("in", "p", np.full((3, 1, 1), 4), 2, groups=3))) is Conv1d
    monkeypatch.setattr("neuro.projections.forms.MAX_WINDOW", 3)
    assert type(most_special(Conv2d("in", "p", np.full((3, 1, 2, 2), 4), groups=3))) is Conv2d


@law(20)
@given(convolutions())
def test_integer_windows_and_their_matrices_become_the_same_synapses(drawn) -> None:
    conv, source, target = drawn
    dims = len(source) - 1
    options = [tuple(np.ravel(value).tolist()) for value in (conv.stride, conv.dilation)]
    padding = tuple(map(tuple, np.atleast_2d(conv.padding).tolist()))
    assert len(padding) == dims
    window = Window(source, target, conv.weights.astype(np.float64), options[0], padding, options[1], conv.groups)
    expected = matrix(conv, source, target)
    assert np.array_equal(linear.to_matrix(window).weight.toarray(), expected)
    for operator in (window, linear.to_matrix(window), replace(window)):
        made = integers.projection("in", "p", operator, conv.delay)
        made.check(source, target)
        assert np.array_equal(made.to_sparse(source, target).toarray(), expected)
        assert made.delay == conv.delay


def carried(p, x: np.ndarray, target: tuple[int, ...]) -> torch.Tensor:
    """Charges of whole messages, in the float type that is promised to hold them."""
    one = carrier(p, x.shape[1:], target, torch.tensor(x)[None], 5)
    kind = exact_in(one.largest)
    charge = one.bring(torch.tensor(x).to(kind), kind)
    assert charge.abs().max() <= one.largest
    return charge


@law(15)
@given(cases(), st.integers(0, 99))
def test_charges_and_fan_out_without_an_engine_equal_the_synapses(case, seed: int) -> None:
    network, _, _ = case
    for p in network.projections:
        source, target = network[p.source].shape, network[p.target].shape
        listing, whole = p.synapses(source, target), p.to_sparse(source, target)
        x = np.random.default_rng(seed).integers(-5, 6, (2, *source))
        expected = (x.reshape(2, -1) @ whole).reshape(2, *target)
        assert np.array_equal(carried(p, x, target), expected)
        assert np.allclose(deliver(p, torch.tensor(x, dtype=torch.float64), target), expected)
        assert np.array_equal(fan_out(p, source, target).ravel(), np.bincount(listing.pre, minlength=x[0].size))
        most = np.zeros((2, int(np.prod(target))), np.int64)
        for sample in (0, 1):
            np.maximum.at(most[sample], listing.post, np.abs(x[sample]).ravel()[listing.pre])
        assert np.array_equal(largest([p], torch.tensor(np.abs(x)), target).reshape(2, -1), most)


@st.composite
def pools(draw):
    """A torch pool over one or two axes with any option torch takes, and the size of an image that it fits."""
    dims, most = draw(st.integers(1, 2)), draw(st.booleans())
    kernel = draw(axes(st.integers(1, 3), dims))
    stride, size = draw(axes(st.integers(1, 3), dims)), draw(axes(st.integers(3, 8), dims))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    how = {"stride": stride, "padding": padding, "ceil_mode": draw(st.booleans())}
    if most:
        how["dilation"] = draw(axes(st.integers(1, 3), dims))
        return (nn.MaxPool1d, nn.MaxPool2d)[dims - 1](kernel if dims == 2 else kernel[0], **_flat(how, dims)), size
    how["count_include_pad"] = draw(st.booleans())
    if dims == 2:
        how["divisor_override"] = draw(st.sampled_from([None, None, 1, 7]))
    return (nn.AvgPool1d, nn.AvgPool2d)[dims - 1](kernel if dims == 2 else kernel[0], **_flat(how, dims)), size


def _flat(how: dict, dims: int) -> dict:
    return {key: value[0] if dims == 1 and isinstance(value, tuple) else value for key, value in how.items()}


def pointwise(dims: int) -> nn.Module:
    """Two channels of one, that rise and fall with it."""
    first = (nn.Conv1d, nn.Conv2d)[dims - 1](1, 2, 1)
    with torch.no_grad():
        first.weight[:, 0, 0] = torch.tensor([1.0, -0.7]).reshape(2, *[1] * (dims - 1))
        first.bias[:] = torch.tensor([-0.2, 0.6])
    return first


def pooled(pool: nn.Module, size: tuple[int, ...]) -> tuple[nn.Module, np.ndarray]:
    """A model of a pointwise layer, the pool and a linear layer, and inputs."""
    first = pointwise(len(size))
    x = np.random.default_rng(1).random((24, 1, *size)).astype(np.float32)
    body = nn.Sequential(first, nn.ReLU(), pool, nn.ReLU(), nn.Flatten())  # so that the pool is a projection of its own
    torch.manual_seed(0)
    width = body(torch.zeros(1, 1, *size)).shape[1]
    return nn.Sequential(body, nn.Linear(width, 4)).eval(), x


@pytest.mark.peer("torch")
@law(20)
@given(pools())
def test_traced_pools_equal_torch_or_are_refused(drawn) -> None:
    pool, size = drawn
    try:
        model, x = pooled(pool, size)
    except RuntimeError:  # torch refuses a window larger than the image
        assume(False)
    with torch.no_grad():
        wanted = model(torch.from_numpy(x)).numpy()
    try:
        graph = converters.trace(model, x[:1])
    except NeuroError as refusal:
        said = str(refusal)
        assert "divides unevenly" in said or ("reads padding alone" in said and not np.isfinite(wanted).all())
        return
    assert np.allclose(logits(graph, x), wanted, atol=1e-5)


def error(model: nn.Module, x: np.ndarray, **how: object) -> float:
    """Root mean square error of the emulated logits over the spread of the float ones."""
    with torch.no_grad():
        wanted = model.eval()(torch.from_numpy(x)).numpy()
    got = neuro.run(converters.convert(model, x, **how).network, x).logits
    return float(np.sqrt(((got - wanted) ** 2).mean()) / wanted.std(0).mean())


@pytest.mark.peer("torch")
@pytest.mark.parametrize("code", ["wait", "graded", "radix"])
@law(3)
@given(drawn=pools())
def test_converted_pools_answer_like_torch(code: str, drawn) -> None:
    pool, size = drawn
    assume(not (code == "radix" and isinstance(pool, nn.MaxPool1d | nn.MaxPool2d) and np.prod(pool.kernel_size) > 6))
    try:
        model, x = pooled(pool, size)
        converters.trace(model, x[:1])
    except (RuntimeError, NeuroError):  # the law before this one says when
        assume(False)
    assert error(model, x, code=code, timesteps=64) < 0.1


@pytest.mark.peer("torch")
def test_a_dilated_max_pool_in_the_wait_code_answers_like_torch() -> None:
    torch.manual_seed(0)
    layers = (nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2, 2, dilation=2), nn.Flatten(), nn.Linear(36, 5))
    x = np.random.default_rng(1).random((60, 2, 7, 7)).astype(np.float32)
    assert error(nn.Sequential(*layers), x, code="wait", timesteps=64) < 0.1


@pytest.mark.peer("torch")
def test_a_dilated_convolution_of_equal_weights_answers_like_torch() -> None:
    torch.manual_seed(0)
    window = nn.Conv2d(1, 1, 2, stride=2, dilation=2, bias=False)
    nn.init.constant_(window.weight, 0.25)
    x = np.random.default_rng(1).random((60, 1, 7, 7)).astype(np.float32)
    assert error(nn.Sequential(window, nn.ReLU(), nn.Flatten(), nn.Linear(9, 5)), x, code="graded") < 0.1


@pytest.mark.peer("torch")
@pytest.mark.parametrize("dims", [1, 2])
def test_pools_over_signed_values(dims: int) -> None:
    """Averages of negative values, padded with zeros that count or not, and maxima of such values."""
    size, kinds = (6, 7)[:dims], ((nn.AvgPool1d, nn.MaxPool1d), (nn.AvgPool2d, nn.MaxPool2d))[dims - 1]
    x = np.random.default_rng(1).normal(size=(40, 1, *size)).astype(np.float32)
    pools = [kinds[0](3, 2, 1, count_include_pad=counted) for counted in (True, False)] + [kinds[1](3, 2, 1)]
    for pool in pools:
        torch.manual_seed(0)
        model = nn.Sequential(pointwise(dims), pool, nn.ReLU(), nn.Flatten(), nn.LazyLinear(4))
        model(torch.from_numpy(x))
        assert error(model, x, code="graded") < 0.05
    assert error(nn.Sequential(pointwise(dims), pools[2], nn.Flatten()), x, code="graded") < 0.05


def dilated(kind: type = SumPool2d) -> neuro.Network:
    """A dilated sum pool between images, as a pool or as the convolution that it is."""
    pool = SumPool2d("in", "p", (2, 3), (2, 1), ((1, 0), (0, 2)), 3, dilation=(2, 2))
    populations = (
        neuro.Population("in", (4, 9, 10), neuro.Source()),
        neuro.Population("p", (4, 4, 8), neuro.Readout(start_step=1)),
    )
    return neuro.Network(populations, (pool if kind is SumPool2d else pool.convolution((4, 1, 1), (4, 1, 1)),))


def test_a_dilated_pool_costs_a_chip_what_its_convolution_costs_except_for_shared_weights() -> None:
    pool, conv = (place(dilated(kind), load_chip("loihi2")) for kind in (SumPool2d, Conv2d))
    assert pool.traffic() == conv.traffic()
    for name in ("neurons", "in_axons", "out_axons"):
        assert np.array_equal(pool.fill[name], conv.fill[name])
    assert 0 < pool.fill["synapse_bits"].sum() <= conv.fill["synapse_bits"].sum()
    assert dilated().synapses == dilated(Conv2d).synapses < 4 * 4 * 8 * 6


def test_a_dilated_pool_survives_files_and_source_and_becomes_a_float_convolution(tmp_path) -> None:
    network = dilated()
    network.save(tmp_path / "n.safetensors")
    assert neuro.Network.load(tmp_path / "n.safetensors") == network
    names = {name: getattr(neuro, name) for name in neuro.__all__} | {"np": np}
    assert eval(network.to_source(), names) == network
    x = np.random.default_rng(0).integers(0, 5, (3, 4, 9, 10))
    got = logits(equivalent(network), x)
    assert np.array_equal(got.reshape(3, -1), neuro.run(network, x, timesteps=1).logits)
    assert got.any()


WINDOW = {"weights": np.ones((2, 2, 2, 2), int)}
REFUSED = {
    "stride of three axes": (lambda: Conv2d("in", "p", **WINDOW, stride=(1, 1, 1)), "in->p: stride = (1, 1, 1)"),
    "half a stride": (lambda: Conv2d("in", "p", **WINDOW, stride=1.5), "in->p: stride = 1.5"),
    "dilation of three axes": (lambda: SumPool2d("in", "p", 2, dilation=(1, 2, 1)), "in->p: dilation = (1, 2, 1)"),
    "no dilation": (lambda: SumPool2d("in", "p", 2, dilation=0), "in->p: dilation = (0, 0). Use 1 or more"),
    "half a kernel": (lambda: SumPool2d("in", "p", 2.5), "in->p: kernel = 2.5"),
    "padding of three axes": (lambda: Conv2d("in", "p", **WINDOW, padding=(1, 1, 1)), "in->p: padding = (1, 1, 1)"),
    "padding of one axis": (lambda: Conv2d("in", "p", **WINDOW, padding=((1, 1),)), "in->p: padding = ((1, 1),)"),
    "uneven padding": (lambda: Conv2d("in", "p", **WINDOW, padding=((1, 1), 2)), "in->p: padding = ((1, 1), 2)"),
    "half a group": (lambda: Conv2d("in", "p", **WINDOW, groups=0.5), "in->p: groups = 0.5"),
    "two strides on a line": (lambda: Conv1d("in", "p", np.ones((2, 2, 2), int), (1, 2)), "in->p: stride = (1, 2)"),
    "padding of four sides on a line": (
        lambda: Conv1d("in", "p", np.ones((2, 2, 2), int), 1, ((1, 0), (0, 1))), "in->p: padding = ((1, 0), (0, 1))",
    ),
    "half an offset": (lambda: OneToOne("in", "p", 1, 0.5), "in->p: offset = 0.5"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_options_with_other_axes_or_fractions_are_refused(name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(NetworkError) as caught:
        make()
    assert message in str(caught.value)


SIZES = {
    "another image": (SumPool2d("in", "p", 2, dilation=2), (2, 5, 5), (2, 2, 3), "yields (2, 2, 2), the target is (2, 2, 3)"),
    "too few neurons": (OneToOne("in", "p", 1, 2), (5,), (6,), "5 neurons of the source (5,) at offset 2, the target (6,) has 6"),
    "weights of other channels": (OneToOne("in", "p", np.ones(3, int)), (2, 5), (2, 5), "3 weights, the source (2, 5) has 2"),
    "other channels": (Conv2d("in", "p", **WINDOW), (3, 5, 5), (2, 4, 4), "(2, 2, 2, 2) in 1 groups, the source is (3, 5, 5)"),
    "a line": (Conv2d("in", "p", **WINDOW), (2, 5), (2, 4, 4), "(2, 2, 2, 2) in 1 groups, the source is (2, 5)"),
    "neurons": (Dense("in", "p", np.ones((5, 6), int)), (5,), (5,), "(5, 6), the neurons (5, 5)"),
    "a place": (Sparse("in", "p", ([5], [0], [1])), (5,), (5,), "source indices 5..5 leave its 5 neurons"),
}  # fmt: skip


@pytest.mark.parametrize("name", SIZES)
def test_sizes_that_do_not_coincide_are_refused_with_both(name: str) -> None:
    projection, source, target, message = SIZES[name]
    populations = (neuro.Population("in", source, neuro.Source()), neuro.Population("p", target, neuro.Readout()))
    with pytest.raises(NetworkError, match="in->p") as caught:
        neuro.Network(populations, (projection,))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("op", "options", "yields"),
    [
        ("max_pool", {"kernel": (2,), "stride": (2,), "padding": ((1, 1),), "dilation": (2,)}, 1),
        ("avg_pool", {"kernel": (1,), "stride": (1,), "padding": ((1, 1),), "divisor": None}, 3),
    ],
)
def test_a_pool_of_padding_alone_is_refused(op: str, options: dict, yields: int) -> None:
    layers = (neuro.Layer("x", "input", (), (1, 1)), neuro.Layer("y", op, ("x",), (1, yields), {}, options))
    with pytest.raises(GraphError, match="layer 'y': a window of .* reads padding alone"):
        neuro.Graph(layers)
