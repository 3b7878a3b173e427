"""Random networks for hypothesis: any topology, projection, neuron model and delay, extreme weights, any input."""

from dataclasses import replace

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

import neuro
from neuro.projections import Conv1d, Conv2d


@st.composite
def neurons(draw, *, plain: bool = False, stream: bool = False) -> object:
    """Any neuron model; `plain`: only those that Brian2 can state; `stream`: without phases of fixed length."""
    threshold = draw(st.integers(1, 400))
    start = draw(st.integers(0, 3))
    bias = draw(st.integers(-40, 40))
    initial = draw(st.integers(-20, 200))
    hold = draw(st.booleans())
    kinds = ["if", "hard", "cuba"]
    kinds += [] if plain else ["signed", "graded", "user", "max", "resting", "value"]
    kinds += [] if plain or stream else ["wait", "radix"]
    kind = draw(st.sampled_from(kinds))
    bits = draw(st.sampled_from([9, 12, 24]))
    common = {"bias": bias, "start_step": start}
    if kind in ("if", "hard"):
        reset = "zero" if kind == "hard" else "subtract"
        return neuro.IntegrateAndFire(threshold, reset, initial_potential=initial, hold_input=hold, potential_bits=bits, **common)
    if kind == "signed":
        low, high = draw(st.sampled_from([(0, None), (None, None), (0, 3), (-2, 2)]))
        gather = draw(st.integers(1, 3))
        return neuro.SignedIntegrateAndFire(
            threshold, minimum=low, maximum=high, initial_potential=initial, hold_input=hold, gather=gather, **common
        )
    if kind == "wait":
        return neuro.WaitIntegrateAndFire(
            threshold, draw(st.integers(1, 6)), initial_potential=initial, hold_input=hold, **common
        )
    if kind == "radix":
        return neuro.RadixIntegrateAndFire(threshold, draw(st.integers(1, 6)), draw(st.integers(1, 6)), **common)
    if kind == "graded":
        return neuro.Graded(
            threshold,
            levels=draw(st.sampled_from([1, 15, 255])),
            minimum=draw(st.sampled_from([0, -9])),
            hold_input=hold,
            **common,
        )
    if kind == "value":
        return draw(values(start=start))
    if kind == "max":
        code = draw(st.sampled_from(["counts", "digits", "turns"]))
        signed = code == "counts" and draw(st.booleans())
        return neuro.MaxPool(draw(st.integers(1, 5)), code, signed, draw(st.sampled_from([15, 255])), start_step=start)
    if kind == "user":
        if draw(st.booleans()):
            return neuro.UserNeuron(leaky, (("v", initial), ("refractory", 0)), (threshold, 2), start_step=start)
        return neuro.UserNeuron(echo, (("total", 0),), lowest=-128, highest=127, start_step=start)
    if kind == "resting":
        interval = draw(st.sampled_from([None, 1, 4, 7]))
        reset = {"reset_interval": interval, "reset_offset": draw(st.integers(0, (interval or 1) - 1))}
        return neuro.CubaLif(300, 128, threshold, bias, 6, start, draw(st.sampled_from([1, 2, 5])), **reset)
    du, dv = draw(st.tuples(st.sampled_from([0, 300, 4095]), st.sampled_from([0, 128, 4095])))
    return neuro.CubaLif(du, dv, threshold, bias, draw(st.integers(0, 7)), start_step=start)


@st.composite
def values(draw, *, start: int = 0, bits: int = 8, shape: tuple[int, ...] = ()) -> neuro.Value:
    """Any value neuron of values of at most `bits` bits; with a shape, what scales may differ from channel to channel."""
    combine = draw(st.sampled_from(["charge", "product", "dot", "maximum"]))
    count = {"charge": 1, "maximum": draw(st.integers(1, 2))}.get(combine, 2)
    ports = tuple(draw(st.sampled_from(["fresh", "held", "digits", "changes"])) for _ in range(count))
    value_bits, lookup = draw(st.integers(4, bits)), draw(st.sampled_from([None, "direct", "reciprocal", "inverse root"]))
    most = (1 << (value_bits - 1)) - 1
    seed = draw(st.integers(0, 10**6))
    rng = np.random.default_rng(seed)

    def own(low, high):  # of each channel where there is a shape, and for all of them as often
        channels = (shape[0], *(1,) * (len(shape) - 1)) if shape and rng.random() < 0.5 else ()
        return rng.integers(low, high + 1, channels) if channels else int(rng.integers(low, high + 1))

    more = {}
    if lookup is None:
        low = draw(st.sampled_from([-most, 0, -3]))
        more = {"lowest": low if low else own(0, 1), "highest": own(2, most) if low else own(2, 2 * most + 1)}
    elif lookup == "direct":
        low, length = draw(st.integers(-300, 0)), draw(st.integers(1, 600))
        more = {"lowest": low, "highest": low + length - 1, "table": rng.integers(-most, most + 1, length)}
    else:
        entries = 1 << draw(st.integers(1, 5))
        more = {"lowest": -4, "highest": draw(st.sampled_from([5, 255, 2**31 - 1])), "point": draw(st.integers(-20, 6))}
        more |= {"table": rng.integers(draw(st.sampled_from([0, -(1 << 16)])), 1 << 16, entries), "lookup": lookup}
    emit = draw(st.sampled_from(["value", "value", "change", "digits"]))
    more |= {"digits": 9} if emit == "digits" else {"dead_zone": draw(st.integers(1, 6))} if emit == "change" else {}
    gather = draw(st.integers(1, 4))
    period = draw(st.sampled_from([None, gather + 8, gather + 11]))
    half = None if draw(st.booleans()) else own(-(2**20), 2**20)
    return neuro.Value(
        ports, combine, gather, draw(st.integers(0, 9)), own(-99, 99), own(0, 12), half, emit=emit, value_bits=value_bits,
        period=period, bias=own(-300, 300), start_step=start, potential_bits=draw(st.sampled_from([9, 24, 31])), **more,
    )  # fmt: skip


SHAPES = [(5,), (40,), (2, 7), (4, 6, 5), (3, 4, 4), (1, 1, 1), (6, 1, 9)]


def _weights(draw, shape, scale):
    seed = draw(st.integers(0, 10**6))
    return np.random.default_rng(seed).integers(-scale, scale + 1, shape)


@st.composite
def projections(draw, source, target):
    """A projection of any kind that fits the two populations, to any port, with any exponent."""
    projection = draw(_plain_projections(source, target))
    port = draw(st.integers(0, 1)) if target.neuron.port_count > 1 else 0
    small = not projection.stored_weights.size or np.abs(projection.stored_weights).max() < 128
    return replace(projection, port=port, exponent=draw(st.sampled_from([0, 0, 1, 8])) if small else 0)


@st.composite
def _plain_projections(draw, source, target):
    delay = draw(st.sampled_from([1, 1, 1, 2, 3, 17, 62]))
    scale = draw(st.sampled_from([3, 60, 127, 5000, 40_000]))
    a, b = source.shape, target.shape
    kinds = ["dense", "sparse"]
    if len(a) == len(b) == 3:
        kinds += ["conv", "conv"]
    if len(a) == len(b) == 2:
        kinds.append("conv1d")
    if len(a) == len(b) == 3 and a == b:
        kinds += ["depthwise", "pool"]
    if source.size <= target.size:
        kinds.append("one")
    kind = draw(st.sampled_from(kinds))
    if kind == "conv":
        return _conv(draw, source, target, scale, delay)
    if kind == "conv1d":
        conv = _conv(draw, source, target, scale, delay)
        return neuro.Conv1d(
            source.name, target.name, conv.weights[:, :, 0], conv.stride[1], conv.padding[1], conv.dilation[1], conv.groups, delay
        )
    if kind == "depthwise":
        return neuro.Conv2d(source.name, target.name, _weights(draw, (a[0], 1, 3, 3), scale), padding=1, groups=a[0], delay=delay)
    if kind == "pool":
        apart = draw(st.integers(1, 2))
        return neuro.SumPool2d(source.name, target.name, 3, 1, apart, draw(st.integers(-9, 9)), delay, apart)
    if kind == "one":
        per_channel = draw(st.booleans())
        weights = _weights(draw, (a[0],), scale) if per_channel else draw(st.integers(-scale, scale))
        return neuro.OneToOne(source.name, target.name, weights, draw(st.integers(0, target.size - source.size)), delay)
    if kind == "dense":
        return neuro.Dense(source.name, target.name, _weights(draw, (source.size, target.size), scale), delay)
    count = draw(st.sampled_from([0, 1, 30, source.size * target.size // 3]))
    seed = draw(st.integers(0, 10**6))
    rng = np.random.default_rng(seed)
    pairs = (rng.integers(0, source.size, count), rng.integers(0, target.size, count))
    return neuro.Sparse(source.name, target.name, (*pairs, rng.integers(-scale, scale + 1, count)), delay)


def _conv(draw, source, target, scale, delay):
    """A convolution between given shapes: padding is whatever makes them fit."""
    flat = len(source.shape) == 2
    sizes = [((1,), (1,))] if flat else [((source.shape[1],), (target.shape[1],))]
    sizes.append(((source.shape[-1],), (target.shape[-1],)))
    stride, dilation, kernel, padding = [], [], [], []
    for (n,), (m,) in sizes:
        s, d = draw(st.integers(1, 3)), draw(st.integers(1, 2))
        k = 1 if n == m == 1 and flat else draw(st.integers(1, 4))
        need = (m - 1) * s + d * (k - 1) + 1 - n  # total padding for which the output has m places
        if need < 0:
            k += (-need + d - 1) // d
            need = (m - 1) * s + d * (k - 1) + 1 - n
        before = draw(st.integers(0, need))
        stride.append(s), dilation.append(d), kernel.append(k), padding.append((before, need - before))
    groups = draw(st.sampled_from([g for g in (1, 2, 3) if source.shape[0] % g == 0 and target.shape[0] % g == 0]))
    weights = _weights(draw, (target.shape[0], source.shape[0] // groups, *kernel), scale)
    return neuro.Conv2d(source.name, target.name, weights, tuple(stride), tuple(padding), tuple(dilation), groups, delay)


@st.composite
def cases(draw, *, plain: bool = False, stream: bool = False):
    """A network, inputs for it and a number of timesteps."""
    codes = ["binary stream"] if stream or plain else ["held", "once", "signed"]
    codes += ["stream"] if not plain else []
    codes += ["rate", "radix"] if not stream else []
    code = draw(st.sampled_from(codes))
    source = {
        "radix": neuro.Source("radix", levels=15, digits=4),
        "rate": neuro.Source("rate", levels=9),
        "signed": neuro.Source("signed", levels=9),
    }
    shape = draw(st.sampled_from(SHAPES))
    populations = [neuro.Population("in", shape, source.get(code, neuro.Source("held" if code != "once" else "once")))]
    for i in range(draw(st.integers(1, 4))):
        populations.append(neuro.Population(f"p{i}", draw(st.sampled_from(SHAPES)), draw(neurons(plain=plain, stream=stream))))
    if draw(st.booleans()):
        populations.append(neuro.Population("out", (draw(st.integers(1, 5)),), neuro.Readout(doubling=draw(st.booleans()))))
    chosen = []
    for target in populations[1:]:
        sources = [s for s in populations if not isinstance(s.neuron, neuro.Readout)]
        for source in draw(st.lists(st.sampled_from(sources), min_size=1, max_size=3)):
            chosen.append(draw(projections(source, target)))
    timesteps = draw(st.integers(1, 9)) + 60 * draw(st.sampled_from([0, 0, 0, 1]))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    samples = draw(st.integers(1, 4))
    low = 0 if code in ("rate", "radix", "binary stream") else -9
    high = {"radix": 15, "binary stream": 1}.get(code, 9)
    steps = (timesteps,) if "stream" in code else ()
    inputs = rng.integers(low, high + 1, (samples, *steps, *shape)) * (
        rng.random((samples, *steps, *shape)) < draw(st.sampled_from([0.0, 0.3, 1.0]))
    )
    return neuro.Network(tuple(populations), tuple(chosen)), inputs, timesteps


VALUE_SHAPES = [(4,), (2, 5), (3, 4, 3)]


@st.composite
def value_networks(draw):
    """A network of value populations, and inputs for it, a stream."""
    populations = [neuro.Population("in", draw(st.sampled_from(VALUE_SHAPES)), neuro.Source())]
    for i in range(draw(st.integers(1, 3))):
        shape = draw(st.sampled_from(VALUE_SHAPES))
        populations.append(neuro.Population(f"v{i}", shape, draw(values(start=draw(st.integers(0, 3)), shape=shape))))
    chosen = []
    for target in populations[1:]:
        for _ in range(draw(st.integers(1, 3))):
            chosen.append(draw(projections(draw(st.sampled_from(populations)), target)))
    populations.append(neuro.Population("out", (3,), neuro.Readout()))
    chosen.append(draw(projections(populations[-2], populations[-1])))
    timesteps, samples = draw(st.integers(1, 40)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    inputs = rng.integers(-99, 100, (samples, timesteps, *populations[0].shape)) * (rng.random(populations[0].shape) < 0.7)
    return neuro.Network(tuple(populations), tuple(chosen)), inputs


def leaky(charge, parameters, v, refractory):
    """A user's neuron: leaks an eighth, fires above parameters[0], then rests parameters[1] steps."""
    v = v - (v >> 3) + charge
    if refractory > 0:
        return 0, v, refractory - 1
    if v > parameters[0]:
        return 1, v - parameters[0], parameters[1]
    return 0, v, 0


def echo(charge, parameters, total):
    """Another: sends what arrived, cut to a byte."""
    return min(max(charge, -128), 127), total + charge


SIDE = st.tuples(st.integers(0, 2), st.integers(0, 2))


def axes(strategy, dims: int):
    return st.tuples(*[strategy] * dims)


@st.composite
def convolutions(draw):
    """A convolution of any option over one or two axes, often one that a special form could hold; source and target shapes."""
    dims = draw(st.integers(1, 2))
    kernel, stride, dilation = (draw(axes(st.integers(1, n), dims)) for n in (3, 3, 3))
    padding, size = draw(axes(SIDE, dims)), draw(axes(st.integers(1, 8), dims))
    rooms = [n + sum(p) - d * (k - 1) for n, p, d, k in zip(size, padding, dilation, kernel, strict=True)]
    assume(min(rooms) >= 1)
    groups, per_in, per_out = draw(st.sampled_from([(1, 1, 1), (3, 1, 1), (2, 1, 2), (2, 2, 1), (1, 2, 3)]))
    shape = (groups * per_out, per_in, *kernel)
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    weights = rng.integers(-5, 6, shape)
    weights = draw(st.sampled_from([weights, np.broadcast_to(weights[:1, :1, :1], shape), np.full(shape, weights.flat[0])]))
    delay = draw(st.integers(1, 3))
    source = (groups * per_in, *size)
    target = (groups * per_out, *((room - 1) // s + 1 for room, s in zip(rooms, stride, strict=True)))
    if dims == 2:
        return Conv2d("in", "p", weights, stride, padding, dilation, groups, delay), source, target
    return Conv1d("in", "p", weights, stride[0], padding[0], dilation[0], groups, delay), source, target
