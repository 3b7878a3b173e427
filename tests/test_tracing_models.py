"""What a torch model may be like: any float type, hooks, shared parts, calls in place, defaults. It stays as it was."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations
from torch.utils._traceback import CapturedTraceback
from torch.utils.data import DataLoader, TensorDataset

import converters
from converters.calibration import as_array
from converters.evaluation import logits
from converters.finetuning import finetune
from converters.folding import fold
from neuro.errors import ConversionError
from neuro.graph import Graph
from tests.graphs import conv, graph, row
from tests.modules import Module

X = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)


def small() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))


def same(model: nn.Module, made: Graph, x: np.ndarray = X, tolerance: float = 1e-5) -> bool:
    kind = next(iter(model.parameters())).dtype
    with torch.no_grad():
        expected = model.eval()(torch.as_tensor(x).to(kind)).float().numpy()
    return bool(np.allclose(logits(made, x), expected, atol=tolerance))


@pytest.mark.parametrize(("kind", "tolerance"), [(torch.float64, 1e-5), (torch.float16, 5e-3), (torch.bfloat16, 5e-2)])
def test_models_and_samples_of_any_float_type_are_taken_and_models_stay_as_they_were(kind, tolerance: float) -> None:
    model = small().to(kind).train()
    before = dict(model.named_parameters())
    made = converters.trace(model, torch.as_tensor(X).to(kind))
    assert all(p is before[name] and p.dtype == kind for name, p in model.named_parameters())
    assert all(module.training for module in model.modules())
    assert same(model, made, tolerance=tolerance)
    assert converters.convert(model, torch.as_tensor(X).to(kind), code="graded").network.neurons == 8


def test_a_weight_shared_by_two_layers_and_a_layer_called_twice() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)).double()
    model[2].weight = model[0].weight
    model.append(model[1])
    assert same(model, converters.trace(model, X))


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear, self.calls = nn.Linear(4, 3), 0
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x, flag=False, sizes=(1, 2), *args, scale=2.0, **more):
        self.calls += 1
        self.seen += len(x)
        self.last = x
        return self.linear(x) * scale if not flag and sizes[1] == 2 else x


def test_arguments_with_a_default_take_it_and_attributes_and_buffers_stay_as_they_were() -> None:
    model = Counting()
    made = converters.trace(model, X)
    assert model.calls == 0
    assert model.seen == 0
    assert not hasattr(model, "last")
    assert same(model, made)


def test_a_hook_that_changes_values_is_traced_and_one_that_looks_at_them_is_left_out() -> None:
    model, seen = small(), []
    model[0].register_forward_hook(lambda module, inputs, output: output * 2)
    model[2].register_forward_hook(lambda module, inputs, output: seen.append(output.mean()))
    assert same(model, converters.trace(model, X))


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(
    "normed", [nn.utils.weight_norm, nn.utils.spectral_norm, parametrizations.weight_norm, parametrizations.spectral_norm]
)
def test_weights_that_are_computed(normed) -> None:
    for kind in (torch.float32, torch.float64):
        model = nn.Sequential(normed(nn.Linear(4, 5)), nn.ReLU()).to(kind)
        assert same(model, converters.trace(model, X))


def test_wrapped_models() -> None:
    for model in (Module(None, _orig_mod=small()), nn.DataParallel(small())):  # the first as torch.compile wraps it
        assert [layer.name for layer in converters.trace(model, X).layers[1:]] == ["0", "1", "2"]


def statement(m, x):
    y = m.linear(x)
    F.relu_(y)
    return y + 1


def through_identity(m, x):
    y = m.linear(x)
    z = m.identity(y)
    y.relu_()
    return z - 3 * y


def augmented(m, x):
    y = z = m.linear(x)
    z += 1
    return 2 * y + z


def into_out(m, x):
    y = m.linear(x)
    torch.add(y, 1, out=y)
    return y


@pytest.mark.parametrize("forward", [statement, through_identity, augmented, into_out])
def test_what_is_changed_in_place_is_read_as_it_is_then(forward) -> None:
    model = Module(forward, linear=nn.Linear(4, 5), identity=nn.Identity())
    assert same(model, converters.trace(model, X))


def view_read(m, x):
    y = m.linear(x)
    view = y[:, :2]
    y.mul_(2)
    return view


def constant_changed(m, x):
    weight = m.linear.weight.clone()
    y = F.linear(x, weight)
    weight.mul_(2)
    return y + F.linear(x, weight)


def item_set(m, x):
    y = m.linear(x)
    y[:, 0] = 0
    return y


@pytest.mark.parametrize(
    ("forward", "says"),
    [
        (view_read, r"'mul_'.*in place.*'output' reads"),
        (constant_changed, r"'mul_'.*in place.*reads"),
        (item_set, r"'setitem'.*no spiking form"),
        (lambda m, x: m.linear(x).half(), r"'half'.*casts activations to torch.float16"),
        (lambda m, x: m.linear(x).max(1)[1], r"where the maximum lies"),
        (lambda m, x: m.linear(x).max(1).indices, r"reads 'indices'"),
    ],
)
def test_what_cannot_be_followed_is_refused_by_name(forward, says: str) -> None:
    with pytest.raises(ConversionError, match=says):
        converters.trace(Module(forward, linear=nn.Linear(4, 5)), X)


def on_meta() -> nn.Module:
    with torch.device("meta"):
        return small()


def huge() -> nn.Module:
    model = nn.Sequential(nn.Linear(4, 2, dtype=torch.float64))
    model[0].weight.data.fill_(1e300)
    return model


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (on_meta(), r"parameter '0.weight'.*meta device.*to_empty"),
        (nn.Sequential(nn.LazyLinear(3)), r"parameter '0.weight'.*lazy.*Call the model once"),
        (Module(None, linear=nn.Linear(4, 2, dtype=torch.complex64)), r"parameter 'linear.weight'.*complex64.*model.float"),
        (huge(), r"parameter '0.weight'.*float32 cannot hold"),
    ],
)
def test_tensors_that_float32_cannot_stand_for_are_named(model: nn.Module, says: str) -> None:
    with pytest.raises(ConversionError, match=says):
        converters.trace(model, X)


def test_samples_of_another_shape_come_with_the_line_that_makes_them_right() -> None:
    image = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 3))
    colour = nn.Conv2d(3, 2, 3)
    for model, shape, line in (
        (image, (8, 8), r"Pass x\[:, None\]"),
        (small(), (2, 2), r"x.reshape\(len\(x\), -1\)"),
        (colour, (8, 9, 3), r"x.transpose\(0, 3, 1, 2\)"),
    ):
        with pytest.raises(ConversionError, match=line):
            converters.convert(model, np.ones((40, *shape)))
    with pytest.raises(ConversionError, match=r"Pass x\[:, None\]"):
        converters.convert(converters.trace(image, np.ones((4, 1, 8, 8))), np.ones((40, 8, 8)))


def test_loaders_and_data_sets_give_their_inputs() -> None:
    data = TensorDataset(torch.as_tensor(X), torch.zeros(40))
    for samples in (data, DataLoader(data, batch_size=7), list(torch.as_tensor(X)), torch.as_tensor(X).bfloat16()):
        assert np.allclose(as_array(samples), X, atol=2e-2)
    assert len(as_array(TensorDataset(torch.zeros(3000, 1)))) == len(as_array(DataLoader(torch.zeros(3000, 1)))) == 1024
    assert converters.convert(small(), DataLoader(data, batch_size=7), code="graded").network.neurons == 8
    with pytest.raises(ConversionError, match=r"np.concatenate\(\[np.asarray\(x\) for x, \*_ in batches"):
        as_array([(torch.zeros(3, 4), torch.zeros(3)), (torch.zeros(2, 4), torch.zeros(2))])
    with pytest.raises(ConversionError, match="mappings with 'image'"):
        as_array(DataLoader([{"image": torch.zeros(3)}]))
    with pytest.raises(ConversionError, match="order of samples"):
        finetune(small(), DataLoader(data), labels=np.zeros(40))


def test_the_layout_of_samples_in_memory_does_not_matter() -> None:
    model = small()
    plain = converters.convert(model, X, code="graded").network
    frozen = X.copy()
    frozen.setflags(write=False)
    for samples in (np.asfortranarray(X), X[::-1].copy()[::-1], np.repeat(X, 2, axis=1)[:, ::2], frozen):
        assert converters.convert(model, samples, code="graded").network == plain
        assert np.array_equal(logits(fold(converters.trace(model, samples)), samples), logits(converters.trace(model, X), X))
    whole = np.random.default_rng(0).integers(0, 256, (40, 4))
    assert (
        converters.convert(model, whole.astype(np.uint8)).network == converters.convert(model, whole.astype(np.float32)).network
    )


def test_a_name_is_found_at_once_however_often_it_was_used() -> None:
    def deep(m, x):
        for _ in range(300):
            x = m.relu(x)
        return x

    names = [layer.name for layer in converters.trace(Module(deep, relu=nn.ReLU()), X).layers[1:]]
    assert names == ["relu", *(f"relu_{i}" for i in range(1, 300))]


def test_notes_of_a_graph_survive_tuning() -> None:
    made = converters.trace(small(), X)
    noted = Graph(made.layers, made.name, ("ranges were left out",))
    assert finetune(noted, X, steps=1).notes == noted.notes
    assert "ranges were left out" in converters.convert(noted, X, code="rate", refine=1).notes


def test_tracing_does_not_import_the_compiler_of_torch(monkeypatch) -> None:
    """torch imports it (1,200 modules, 2 s) to write down a stack, as torch.fx does where it is asked to keep stacks."""
    asked: list[object] = []
    monkeypatch.setattr(CapturedTraceback, "extract", lambda *_, **__: asked.append(1))
    assert converters.trace(small(), X).layers
    assert not asked


MAX = {"kernel": (2, 2), "stride": (2, 2), "padding": ((0, 0), (0, 0)), "dilation": (1, 1)}


@pytest.mark.parametrize(
    "move", [row("permute", axes=(0, 2, 1)), row("concat", "l1", "l1", axis=1), row("reshape", shape=(6, 3, 8))]
)
@pytest.mark.parametrize("ceiling", [None, 2.0])
def test_a_max_pool_reads_its_rectifier_whatever_lies_before_that(move: dict, ceiling: float | None) -> None:
    made = graph((4, 6, 8), conv(6, 4), row("relu", ceiling=ceiling), move, row("max_pool", **MAX))
    folded = fold(made)
    pool = next(layer for layer in folded.layers if layer.op == "max_pool")
    assert folded[pool.inputs[0]].op == "relu"
    x = np.random.default_rng(0).normal(size=(3, 4, 6, 8)).astype(np.float32)
    assert np.allclose(logits(folded, x), logits(made, x), atol=1e-5)
