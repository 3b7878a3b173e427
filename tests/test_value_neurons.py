"""The value neuron: every engine equals the definition, which equals plain Python and what its parameters promise."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neuro
from neuro.engine.widths import needed_bits
from neuro.errors import EngineError, FormatError, NetworkError
from neuro.neurons.tables import fixed_ratio, inverse_root_table, reciprocal_table, value_bounds, value_table
from tests.laws import law
from tests.networks import value_networks, values
from tests.runs import RECORD, assert_same

LAW = law(40)
SEEDS = st.integers(0, 10**6)


@LAW
@given(value_networks())
def test_every_engine_equals_the_definition(case) -> None:
    network, inputs = case
    reference = neuro.run(network, inputs, engine="reference", record=RECORD)
    for engine in ("event", "torch"):
        assert_same(neuro.run(network, inputs, engine=engine, record=RECORD), reference)


@LAW
@given(value_networks())
def test_files_and_source_text_hold_every_parameter(case) -> None:
    network, _ = case
    for population in network.populations:
        assert eval(population.to_source(), {"np": np, **{name: getattr(neuro, name) for name in _NAMES}}) == population
    for projection in network.projections:
        assert eval(projection.to_source(), {"np": np, **{name: getattr(neuro, name) for name in _NAMES}}) == projection


_NAMES = ("Population", "Value", "Source", "Readout", "Dense", "Sparse", "OneToOne", "Conv1d", "Conv2d", "SumPool2d")


def test_a_saved_network_is_the_same(tmp_path) -> None:
    network = neuro.Network(
        (neuro.Population("in", (3,), neuro.Source()), neuro.Population("out", (3,), neuro.Value(table=np.arange(255) - 127))),
        (neuro.Dense("in", "out", np.eye(3, dtype=int), port=0, exponent=4),),
    )
    network.save(tmp_path / "network.safetensors")
    assert neuro.Network.load(tmp_path / "network.safetensors") == network
    with pytest.raises(FormatError, match="Network.save"):
        pytest.importorskip("converters.nir_files").write_nir(network, tmp_path / "network.nir", extended=True)


def oracle(n: neuro.Value, charges: list[list[int]]) -> list[int]:
    """Messages of one neuron for charges (steps, ports), in plain Python: unbounded integers, one thing after the other."""

    def cut(x: int) -> int:
        most = 2 ** (n.potential_bits - 1) - 1
        return max(-most, min(most, x))

    sent, held, known, sending, running, seen = [], [0, 0], 0, [], 0, []
    for t, arriving in enumerate(charges):
        phase = t % n.period
        if phase == 0:
            held = [h if mode == "changes" else 0 for h, mode in zip(held, (*n.ports, ""), strict=False)] + [0]
            running, seen = 0, []
        for i, mode in enumerate(n.ports):
            if mode == "fresh":
                held[i] = cut(arriving[i])
            elif mode == "changes" or phase < n.gather:
                held[i] = cut((2 if mode == "digits" else 1) * held[i] + arriving[i])
        if phase < n.gather:
            seen += held[: len(n.ports)]
            if n.combine in ("product", "dot"):
                running = cut((running if n.combine == "dot" else 0) + held[0] * held[1] // 2**n.product_shift)
        message = 0
        if phase == n.gather - 1:
            x = {"charge": held[0], "maximum": max(seen)}.get(n.combine, running)
            half = 2**n.shift // 2 if n.half is None else n.half
            y = max(n.lowest, min(n.highest, (cut(x + n.bias) * n.multiplier + half) // 2**n.shift))
            y = y if n.table is None else looked_up(n, y)
            if n.emit == "change":
                message = y - known if abs(y - known) >= n.dead_zone else 0
                known += message
            message = y if n.emit == "value" else message
            sending = [int(d) * (1 if y >= 0 else -1) for d in f"{abs(y):0{n.digits}b}"] if n.emit == "digits" else []
        sent.append(sending.pop(0) if sending else message)
    return sent


def looked_up(n: neuro.Value, y: int) -> int:
    """What the table says, with the leading bit found in the text of the number."""
    if n.lookup == "direct":
        return int(n.table[y - n.lowest])
    bits = f"{max(y, 1):b}"
    size = len(n.table).bit_length() - 1
    place = len(bits) - 1 if n.lookup == "reciprocal" else (len(bits) - 1) // 2
    follow = bits[1:] + "0" * 32
    index = follow[:size] if n.lookup == "reciprocal" else str((len(bits) - 1) % 2) + follow[: size - 1]
    exact = int(n.table[int(index or "0", 2)]) * 2.0 ** (n.point - place)  # a product with a power of two is exact
    low, high = n.value_range
    return int(max(low, min(high, np.floor(exact + 0.5))))


@law(200)
@given(values(), SEEDS, st.sampled_from([5, 300, 2**28]))
def test_the_definition_equals_plain_python(neuron: neuro.Value, seed: int, scale: int) -> None:
    rng = np.random.default_rng(seed)
    charge = rng.integers(-scale, scale + 1, (30, 2, 6)) * rng.integers(0, 2, (30, 2, 6))
    state, sent = neuron.initial_state((6,)), []
    for t in range(30):
        state, message, _ = neuron.advance(state, charge[t, 0] if neuron.port_count == 1 else tuple(charge[t]), t)
        sent.append(message)
    for i in range(6):
        assert [int(message[i]) for message in sent] == oracle(neuron, charge[:, :, i].tolist())
        assert all(neuron.messages[0] <= message[i] <= neuron.messages[1] for message in sent)


def sent_by(neuron: neuro.Value, charges: np.ndarray) -> np.ndarray:
    """Messages (steps, neurons) for charges (steps, neurons) of its one port."""
    state, sent = neuron.initial_state(charges.shape[1:]), []
    for t, charge in enumerate(charges):
        state, message, _ = neuron.advance(state, charge, t)
        sent.append(message)
    return np.array(sent)


@LAW
@given(SEEDS, st.integers(1, 9))
def test_changes_add_up_to_the_value_within_the_dead_zone(seed: int, dead_zone: int) -> None:
    charges = np.random.default_rng(seed).integers(-40, 41, (20, 7)).cumsum(axis=0) // 3
    value, change = neuro.Value(shift=2), neuro.Value(shift=2, emit="change", dead_zone=dead_zone)
    told = sent_by(change, charges).cumsum(axis=0)
    assert np.abs(told - sent_by(value, charges)).max() < dead_zone


@LAW
@given(SEEDS)
def test_digits_spell_the_value_and_a_port_of_digits_reads_it(seed: int) -> None:
    charges = np.random.default_rng(seed).integers(-400, 401, (8 * 3, 7)) * (np.arange(24) % 8 == 0)[:, None]
    digits = sent_by(neuro.Value(shift=1, emit="digits", digits=8), charges)
    assert set(np.unique(digits)) <= {-1, 0, 1}
    read = sent_by(neuro.Value(("digits",), gather=8), digits)
    assert np.array_equal(read[7::8], sent_by(neuro.Value(shift=1), charges)[::8])


@pytest.mark.parametrize("engine", ["reference", "event", "torch"])
def test_changes_through_layers_equal_values_frame_by_frame(engine: str) -> None:
    """Receivers of changes keep their sums: after the pipeline has filled, every frame has the answer of plain values."""
    rng = np.random.default_rng(2)
    weights = [rng.integers(-60, 61, size) for size in ((6, 5), (5, 4))]
    frames = rng.integers(-9, 10, (1, 12, 6))

    def answers(ports, emit, inputs) -> np.ndarray:
        populations = [neuro.Population("in", (6,), neuro.Source())]
        links = []
        for i, w in enumerate(weights):
            neuron = neuro.Value(ports, multiplier=3, shift=5, emit=emit, start_step=i + 1)
            populations.append(neuro.Population(f"v{i}", (w.shape[1],), neuron))
            links.append(neuro.Dense(populations[i].name, f"v{i}", w))
        return neuro.run(neuro.Network(populations, links), inputs, engine=engine, record=("raster",)).raster["v1"][0]

    plain = answers(("fresh",), "value", frames)
    changes = answers(("changes",), "change", np.diff(frames, axis=1, prepend=0))
    assert np.array_equal(changes.cumsum(axis=0), plain)
    assert (changes != plain).any()


def test_sixteen_bits_are_exact_in_every_engine() -> None:
    """The widest values, products and potentials; beyond 32 bits of charge, a run is refused."""
    most = 2**15 - 1
    wide = {"value_bits": 16, "potential_bits": 31}
    product = neuro.Value(("fresh", "fresh"), "product", product_shift=1, multiplier=2**29, shift=44, **wide)
    network = neuro.Network(
        (neuro.Population("in", (3,), neuro.Source()), neuro.Population("p", (3,), product)),
        (neuro.OneToOne("in", "p", delay=1), neuro.OneToOne("in", "p", -1, delay=1, port=1)),
    )
    inputs = np.array([[[most, -most, 5]]])
    for engine in ("reference", "event", "torch"):
        raster = neuro.run(network, inputs, timesteps=2, engine=engine, record=("raster",)).raster["p"][0]
        assert raster[1].tolist() == [(-(most**2) // 2 * 2**29 + 2**43) >> 44, (-(most**2) // 2 * 2**29 + 2**43) >> 44, 0]
    with pytest.raises(EngineError, match="beyond its 32-bit accumulator"):
        neuro.run(replace(network, projections=(neuro.OneToOne("in", "p", 1, exponent=20),)), inputs)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"combine": "product"}, "combine='product' of 1 ports"),
        ({"combine": "mean"}, "combine 'mean' is not known"),
        ({"ports": ("fresh", "late")}, "ports"),
        ({"ports": "fresh"}, "is not a tuple"),
        ({"table": [1, 2, 3]}, "a table of 3 entries for values -127..127"),
        ({"table": np.arange(255), "lowest": 0, "highest": 254, "value_bits": 7}, "values 0..254 need 8 bits"),
        ({"lookup": "reciprocal"}, "without a table"),
        ({"lookup": "reciprocal", "table": [1, 2, 3]}, "Use a power of two"),
        ({"lookup": "inverse root", "table": [1]}, "Use a power of two"),
        ({"lowest": 5, "highest": 2}, "lowest 5 exceeds highest 2"),
        ({"highest": 200}, "values -127..200 need 9 bits, value_bits is 8"),
        ({"shift": 48}, r"shift leaves 0..47"),
        ({"multiplier": 2**30 + 1}, "multiplier leaves"),
        ({"emit": "digits", "digits": 6}, "values -127..127 in 6 digits"),
        ({"digits": 8}, "digits = 8"),
        ({"dead_zone": 3}, "a dead zone of 3 with emit='value'"),
        ({"gather": 4, "period": 3}, "period = 3"),
        ({"value_bits": 17}, "value_bits = 17"),
    ],
)
def test_what_contradicts_itself_is_refused(fields, says: str) -> None:
    fields = {name: np.array(value) if isinstance(value, list) else value for name, value in fields.items()}
    with pytest.raises(NetworkError, match=says):
        neuro.Value(**fields)


def test_only_neurons_with_two_ports_have_a_second_one() -> None:
    populations = (neuro.Population("in", (3,), neuro.Source()), neuro.Population("out", (3,), neuro.Graded(2)))
    with pytest.raises(NetworkError, match="port 1 of 'out', a Graded of 1"):
        neuro.Network(populations, (neuro.OneToOne("in", "out", port=1),))


@pytest.mark.parametrize(
    ("name", "function", "low"),
    [
        ("silu", lambda x: x / (1 + np.exp(-x)), -128),
        ("gelu", lambda x: x / (1 + np.exp(-1.702 * x)), -128),
        ("sigmoid", lambda x: 1 / (1 + np.exp(-x)), -128),
        ("tanh", np.tanh, -128),
        ("exp", np.exp, -255),
    ],
)
def test_tables_are_within_half_a_unit_of_their_function(name: str, function, low: int) -> None:
    high, unit_in = (0 if name == "exp" else 127), 1 / 16
    bits, unit_out = 12, 8 / 2**11
    table = value_table(function, lowest=low, highest=high, unit_in=unit_in, unit_out=unit_out, bits=bits)
    neuron = neuro.Value(lowest=low, highest=high, table=table, value_bits=bits)
    x = np.arange(low, high + 1)
    assert np.abs(sent_by(neuron, x[None])[0] * unit_out - function(x * unit_in)).max() <= unit_out / 2 + 1e-12


@pytest.mark.parametrize(
    ("lookup", "make", "power"), [("reciprocal", reciprocal_table, 1), ("inverse root", inverse_root_table, 0.5)]
)
@pytest.mark.parametrize("entries", [16, 256])
def test_tables_without_the_leading_bit_serve_24_bits(lookup: str, make, power: float, entries: int) -> None:
    x = np.unique(np.concatenate([np.arange(1, 5000), np.geomspace(1, 2**23 - 1, 5000).astype(int)]))
    unit_in, unit_out = 0.003, 1 / (0.003 * x[0]) ** power / 60_000
    table, point = make(unit_in=unit_in, unit_out=unit_out, entries=entries)
    neuron = neuro.Value(highest=2**23 - 1, table=table, lookup=lookup, point=point, value_bits=16)
    got, wanted = sent_by(neuron, x[None])[0] * unit_out, (x * unit_in) ** -power
    assert np.abs(got - wanted).max() <= unit_out / 2 + (1 / (2 * entries) + 2**-15) * wanted.max()
    assert (np.abs(got - wanted) <= unit_out / 2 + (1 / (2 * entries) + 2**-15) * wanted).all()


@LAW
@given(st.lists(st.floats(-60_000, 60_000), min_size=1, max_size=5), st.integers(16, 30))
def test_ratios_are_fixed_within_their_bound(ratios: list[float], bits: int) -> None:
    wanted = np.array(ratios)
    multiplier, shift = fixed_ratio(wanted, bits=bits)
    error = np.abs(multiplier / 2.0**shift - wanted)
    assert (error <= np.maximum(np.abs(wanted) * 2.0**-bits, 2.0**-48)).all()
    neuro.Value(multiplier=multiplier, shift=shift)
    assert fixed_ratio(float(wanted[0]), bits=bits) == (multiplier[0], shift[0])


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: fixed_ratio(70_000.0), "Stay below 2\\^16"),
        (lambda: fixed_ratio(np.nan), "nan"),
        (lambda: value_table(np.log, lowest=0, highest=4, unit_in=1.0, unit_out=1.0), "the function is -inf at 0"),
        (lambda: value_table(np.exp, lowest=0, highest=4, unit_in=0.0, unit_out=1.0), "unit = 0"),
        (lambda: reciprocal_table(unit_in=1.0, unit_out=1.0, entries=100), "Use a power of two"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_helpers_refuse_what_they_cannot_make(call, says: str) -> None:
    with pytest.raises(NetworkError, match=says):
        call()


def test_bounds_of_bits() -> None:
    assert value_bounds(8) == (-127, 127)
    assert value_bounds(8, signed=False) == (0, 255)


@LAW
@given(value_networks(), st.sampled_from([1, 5]))
def test_a_potential_of_the_bits_that_are_needed_never_saturates(case, timesteps: int) -> None:
    """The same answers with 31 bits as with those that the proof asks for; a network that the proof refuses may differ."""
    network, inputs = case
    need = needed_bits(network, timesteps)
    assert set(need) == {p.name for p in network.populations if isinstance(p.neuron, neuro.Value)}
    if max(need.values()) > 31:
        return

    def made(bits) -> neuro.Network:
        populations = tuple(
            replace(p, neuron=p.neuron.changed(potential_bits=bits(p.name))) if p.name in need else p for p in network.populations
        )
        return replace(network, populations=populations)

    results = [
        neuro.run(made(bits), inputs[:, :timesteps], timesteps=timesteps, record=("raster",))
        for bits in (lambda name: 31, lambda name: max(2, need[name]))
    ]
    assert all(np.array_equal(results[0].raster[name], raster) for name, raster in results[1].raster.items())


def test_needed_bits_are_those_of_the_largest_product() -> None:
    product = neuro.Value(("fresh", "held"), "dot", 4, 3, bias=-5, value_bits=16)
    populations = (neuro.Population("in", (2,), neuro.Source("once", levels=100)), neuro.Population("p", (2,), product))
    links = (neuro.OneToOne("in", "p", 7, exponent=1), neuro.OneToOne("in", "p", np.array([-9, 2]), port=1))
    assert needed_bits(neuro.Network(populations, links)) == {"p": (-(-1400 * 900 // 8) * 4 + 5).bit_length() + 1}
