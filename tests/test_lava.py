"""lava-dl files: Lava's own golden values, its arithmetic as a witness for every block, and files that are refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import converters
import neuro
from neuro.errors import EngineError, NeuroError
from tests.commands import here
from tests.lava_witness import Lif, Sdn, dense, lif, sdn, write_net
from tests.laws import law

DATA = Path(__file__).parent.parent.parent / "shared" / "data" / "lava_dl"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="shared/data is not there")
FAST = ("event", "reference", "torch")


def channels_first(array: np.ndarray) -> np.ndarray:
    """Lava's (columns, rows, channels, ...) as (channels, rows, columns, ...)."""
    return array.transpose(2, 1, 0, *range(3, array.ndim))


@needs_data
@pytest.mark.parametrize("engine", FAST)
def test_tiny_net_gives_the_golden_spikes_of_lava(engine: str) -> None:
    network = converters.read_lava_dl(DATA / "tiny.net", reset_interval=17)
    bias = channels_first(np.load(DATA / "tinynet" / "input_bias.npy"))
    run = neuro.run(network, bias[None], timesteps=20, engine=engine, record=("raster",))
    for name, golden, first in (("input0", "input", 1), ("conv1", "layer1", 1), ("conv2", "output", 1)):
        wanted = np.load(DATA / "tinynet" / f"{golden}.npy")[0, ..., first:]
        start = {"input0": 0, "conv1": 1, "conv2": 2}[name]
        seen = run.raster[name][0, start : start + wanted.shape[-1]].T.reshape(wanted.shape)
        assert np.array_equal(seen, wanted), name
        assert wanted.any()


@needs_data
def test_the_small_sigma_delta_network_gives_the_values_of_lava() -> None:
    kept = {path.stem: np.load(path) for path in (DATA / "tinynet_sdnn").glob("*.npy")}
    turns = np.sin(2 * np.pi * np.arange(15) / 15)
    driving = (kept["input_bias"][..., None] * turns).astype(int).transpose(3, 2, 1, 0)
    network = neuro.Network(
        (
            neuro.Population("in", (3, 16, 16), neuro.Source("driven", neuron=neuro.Delta(20))),
            neuro.Population("conv", (24, 6, 6), neuro.SigmaDelta(20, (kept["layer1_bias"] << 12).reshape(-1, 1, 1))),
        ),
        (neuro.Conv2d("in", "conv", kept["layer1_kernel"].transpose(0, 3, 2, 1), 2),),
    )
    run = neuro.run(network, driving[None], record=("raster",))
    assert np.array_equal(run.raster["in"][0], kept["input"].transpose(3, 2, 1, 0).reshape(15, -1))
    golden = kept["layer1"].transpose(3, 2, 1, 0).reshape(16, -1)  # recorded in one step alone, which its bias drives
    assert np.array_equal(run.raster["conv"][0, 0], golden[0])
    assert golden[0].any()
    binary = (kept["layer1"].reshape(-1, 16).T != 0).astype(int)  # as Lava's test of the block sends them
    readout = neuro.Network(
        (neuro.Population("in", (864,), neuro.Source()), neuro.Population("out", (100,), neuro.Readout(potential_bits=31))),
        (neuro.Dense("in", "out", kept["layer2_weight"].T),),
    )
    sigma = neuro.run(readout, binary[None], record=("traces",)).traces["out"][0]
    assert np.array_equal(sigma, kept["layer2"].T)


@needs_data
def test_pilotnet_has_the_published_sizes_and_synops() -> None:
    network = converters.read_lava_dl(DATA / "pilotnet_lif.net", reset_interval=16)
    assert network.neurons == 118_909 + 39_600
    assert network.timesteps == 16
    run = neuro.run(network, converters.lava_dl_inputs(DATA / "pilotnet_lif.net", np.zeros((1, 3, 66, 200))), timesteps=160)
    assert run.messages / 160 == pytest.approx(34_503, abs=1)
    assert not run.counts["input0"].messages.any()


@st.composite
def networks(draw: st.DrawFn) -> tuple[list[dict[str, object]], list[object], np.ndarray, dict[str, object]]:
    """Blocks of dense, recurrent and delayed layers, the witness of each, and inputs for them."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    changes, size, interval = draw(st.booleans()), draw(st.integers(2, 7)), draw(st.sampled_from([None, 3, 5]))
    corrected, steps = draw(st.booleans()), draw(st.integers(4, 14))
    blocks, layers = [], []
    du, dv, vth = draw(st.integers(1, 4096)), draw(st.integers(0, 4096)), draw(st.integers(0, 60))
    blocks.append({"type": "input", "shape": np.array([size]), **(sdn(vth // 20) if changes else lif(du, dv, vth))})
    first = Sdn(size, vth // 20, 0, corrected, values=True) if changes else Lif(size, du - 1, dv, vth, 0, interval, 1)
    layers.append((first, None, None, None))
    for number in range(1, draw(st.integers(2, 4))):
        out = draw(st.integers(1, 6))
        weight, bias = rng.integers(-30, 31, (out, size)), rng.integers(-9, 40, out)
        recurrent = draw(st.booleans()) and not changes
        late = rng.integers(0, 4, out) if draw(st.booleans()) else None
        inner = rng.integers(-20, 21, (out, out)) if recurrent else None
        du, dv, vth = draw(st.integers(1, 4096)), draw(st.integers(0, 4096)), draw(st.integers(0, 60))
        more = {"bias": bias, **({} if late is None else {"delay": late}), **({"weight_rec": inner} if recurrent else {})}
        neuron = sdn(vth) if changes else lif(du, dv, vth)
        blocks.append(dense(weight, neuron, "dense_rec" if recurrent else "dense", **more))
        witness = Sdn(out, vth, bias, corrected) if changes else Lif(out, du - 1, dv, vth, bias, interval, 1 + number)
        layers.append((witness, weight, inner, late))
        size = out
    values = rng.integers(-6, 60, (steps, blocks[0]["shape"][0]))
    reset = {} if changes or interval is None else {"reset_interval": interval}
    return blocks, layers, values, {"corrected": corrected, **reset}


def witnessed(layers: list[object], values: np.ndarray) -> list[np.ndarray]:
    """Messages (steps, neurons) of every layer: synapses hand on one step later what they get, and `late` steps more."""
    sent = [[] for _ in layers]
    for t in range(len(values)):
        for k, (neuron, weight, inner, late) in enumerate(layers):
            if weight is None and isinstance(neuron, Lif):
                neuron.bias = values[t]
                arriving = 0 * values[t]
            elif weight is None:
                arriving = values[t]
            else:
                arriving = np.zeros(len(weight), np.int64)
                for i in range(len(weight)):
                    at = t - 1 - (0 if late is None else late[i])
                    if at >= 0:
                        arriving[i] += weight[i] @ sent[k - 1][at] + (0 if inner is None else inner[i] @ sent[k][at])
            sent[k].append(neuron.step(arriving, t + 1))
    return [np.array(layer) for layer in sent]


@given(case=networks())
@law(15)
def test_every_block_runs_as_in_lava(case: tuple[object, ...], tmp_path_factory: pytest.TempPathFactory) -> None:
    blocks, layers, values, how = case
    path = tmp_path_factory.mktemp("lava") / "drawn.net"
    write_net(path, blocks)
    network = converters.read_lava_dl(path, **how)
    wanted = witnessed(layers, values)
    for engine in ("event", "reference"):
        if max(np.abs(sent).max() for sent in wanted) >= 1 << 15:
            with pytest.raises(NeuroError, match="sent the message"):
                neuro.run(network, values[None], engine=engine)
            continue
        run = neuro.run(network, values[None], engine=engine, record=("raster",))
        for population, sent in zip(network.populations, wanted, strict=True):
            assert np.array_equal(run.raster[population.name][0], sent), (engine, population.name)


@given(
    seed=st.integers(0, 10**6), threshold=st.integers(0, 300), exponents=st.tuples(st.integers(0, 7), st.integers(0, 7)),
    corrected=st.booleans(), rectified=st.booleans(),
)  # fmt: skip
@law(12)
def test_changes_are_the_same_in_every_engine(
    seed: int, threshold: int, exponents: tuple[int, int], corrected: bool, rectified: bool
) -> None:
    rng = np.random.default_rng(seed)
    changes = {"spike_exponent": exponents[0], "state_exponent": exponents[1], "corrected": corrected, "message_bits": 20}
    network = neuro.Network(
        (
            neuro.Population("in", (4,), neuro.Source()),
            neuro.Population("a", (3,), neuro.Delta(threshold >> 6, **changes)),
            neuro.Population("b", (5,), neuro.SigmaDelta(threshold, rng.integers(-900, 900, 5), rectified=rectified, **changes)),
        ),
        (
            neuro.Dense("in", "a", rng.integers(-3, 4, (4, 3))),
            neuro.Dense("a", "b", rng.integers(-9, 10, (3, 5))),
            neuro.OneToOne("b", "b", 0),
        ),
    )
    x = rng.integers(-2, 3, (2, 9, 4))
    runs = [neuro.run(network, x, engine=engine, record=("raster", "traces")) for engine in FAST]
    for run in runs[1:]:
        assert all(np.array_equal(run.raster[name], runs[0].raster[name]) for name in ("a", "b"))
        assert all(np.array_equal(run.traces[name], runs[0].traces[name]) for name in ("a", "b"))
        assert run.counts["b"].synops.tolist() == runs[0].counts["b"].synops.tolist()
        assert run.counts["b"].restless.tolist() == runs[0].counts["b"].restless.tolist()


@given(seed=st.integers(0, 10**6), threshold=st.integers(1, 5))
@law(10)
def test_corrected_receivers_know_the_value_to_within_a_threshold(seed: int, threshold: int) -> None:
    values = np.random.default_rng(seed).integers(-200, 200, (30, 3))
    source = neuro.Source("driven", neuron=neuro.Delta(threshold, corrected=True))
    network = neuro.Network(
        (neuro.Population("in", (3,), source), neuro.Population("out", (3,), neuro.Readout(potential_bits=31))),
        (neuro.OneToOne("in", "out"),),
    )
    known = neuro.run(network, values[None], timesteps=31, record=("traces",)).traces["out"][0, 1:]
    assert np.abs(known - (values << 6)).max() < threshold << 6


def test_a_value_stays_where_it_was_written() -> None:
    source = neuro.Source("driven", levels=4096, neuron=neuro.CubaLif(4095, 0, 9, bias_exponent=6))
    network = neuro.Network(
        (neuro.Population("in", (2,), source), neuro.Population("out", (2,), neuro.Readout())), (neuro.OneToOne("in", "out"),)
    )
    held = neuro.run(network, np.array([[4, -4]]), timesteps=9, record=("raster",))
    written = neuro.run(network, np.array([[[4, -4]]]), timesteps=9, record=("raster",))
    assert held.raster["in"].tolist() == written.raster["in"].tolist()
    assert held.raster["in"][0].tolist() == [[int(t % 3 == 2), 0] for t in range(9)]
    with pytest.raises(EngineError, match="register"):
        neuro.open_session(network)


def test_images_drive_as_netx_transforms_them(tmp_path: Path) -> None:
    path = tmp_path / "a.net"
    block = {"type": "input", "shape": np.array([1, 2, 2]), "weight": np.array([36.0]), "bias": np.array([34.0]), **lif()}
    write_net(path, [block, dense(np.ones((3, 4)), lif())])
    images = np.array([[[[0.0, 1.0], [0.4, 0.01]]]])
    assert converters.lava_dl_inputs(path, images).tolist() == [[[[-2, 70], [26, -1]]]]  # 26.8 and -1.28, cut toward zero
    with pytest.raises(NeuroError, match="images have shape"):
        converters.lava_dl_inputs(path, images[0])


def test_layers_without_neurons_are_read_by_the_host(tmp_path: Path) -> None:
    path = tmp_path / "a.net"
    rng = np.random.default_rng(0)
    weight, last = rng.integers(-9, 10, (6, 4)), rng.integers(-9, 10, (2, 6))
    first = dense(weight, lif(4096, 0, 3))
    affine = {name: value for name, value in dense(last, {}).items() if not name.startswith("neuron")}
    write_net(path, [first, affine])
    x = rng.integers(0, 2, (1, 12, 4))
    network = converters.read_lava_dl(path)
    run = neuro.run(network, x, record=("raster",))
    assert np.array_equal(run.logits[0], 64 * (last @ run.raster["dense0"][0, :11].sum(axis=0)))
    write_net(path, [first, {"type": "average", "shape": np.array([3, 1, 1])}])
    averaged = neuro.run(converters.read_lava_dl(path), x, record=("raster",))
    assert np.allclose(averaged.logits[0], averaged.raster["dense0"][0, :11].sum(axis=0).reshape(3, 2).mean(axis=1))


def test_pools_and_delays_of_convolutions(tmp_path: Path) -> None:
    path = tmp_path / "a.net"
    rng = np.random.default_rng(1)
    kernel, pool = rng.integers(-9, 10, (4, 2, 3, 3)), np.full((1, 1, 2, 2), 5)
    window = {"stride": np.array([1, 1]), "padding": np.array([1, 1]), "dilation": np.array([1, 1]), "groups": 1}
    conv = {"type": "conv", "shape": np.array([4, 6, 6]), "weight": kernel[..., None], **window, **lif(4096, 0, 8)}
    pooled = {"type": "pool", "shape": np.array([4, 3, 3]), "weight": pool, "stride": np.array([2, 2]), **lif(4096, 0, 8)}
    write_net(path, [conv, pooled, {"type": "flatten"}, dense(rng.integers(-9, 10, (3, 36)), lif())])
    x = rng.integers(0, 2, (1, 9, 2, 6, 6))
    network = converters.read_lava_dl(path, input_shape=(2, 6, 6))
    plain = neuro.run(network, x, record=("raster",))
    write_net(path, [{**conv, "delay": np.array([2, 0, 1, 2])}])
    late = neuro.run(converters.read_lava_dl(path, input_shape=(2, 6, 6)), x, record=("raster",))
    for channel, delay in enumerate((2, 0, 1, 2)):
        here_, there = (run.raster["conv0"][0].reshape(9, 4, -1)[:, channel] for run in (plain, late))
        assert np.array_equal(there[delay:], here_[: 9 - delay])
        assert here_.any()
    counted = plain.raster["conv0"][0].reshape(9, 4, 3, 2, 3, 2).sum(axis=(3, 5)).reshape(9, -1)
    assert plain.counts["pool1"].synops.sum() == counted[:8].sum()


def test_messages_beyond_their_bits_end_the_run(tmp_path: Path) -> None:
    path = tmp_path / "a.net"
    write_net(path, [{"type": "input", "shape": np.array([4]), **sdn()}, dense(np.ones((3, 4)), sdn(), bias=np.arange(3))])
    x = np.full((1, 4, 4), 600)  # 600 << 6 has 16 bits without a sign
    with pytest.raises(NeuroError, match="sent the message 38400"):
        neuro.run(converters.read_lava_dl(path), x)
    run = neuro.run(converters.read_lava_dl(path, message_bits=20), x, record=("raster",))
    assert run.raster["dense1"][0].tolist()[:2] == [[0, 0, 128], [2400, 2464, 2400]]


def test_networks_survive_saving(tmp_path: Path) -> None:
    path = tmp_path / "a.net"
    write_net(path, [{"type": "input", "shape": np.array([4]), **sdn()}, dense(np.ones((3, 4)), sdn(), bias=np.arange(3))])
    network = converters.read_lava_dl(path)
    network.save(tmp_path / "a.safetensors")
    assert neuro.Network.load(tmp_path / "a.safetensors") == network


@given(case=networks())
@law(8)
def test_what_is_written_is_read_again(case: tuple[object, ...], tmp_path_factory: pytest.TempPathFactory) -> None:
    blocks, _, values, how = case
    blocks = [{name: value for name, value in block.items() if name != "delay"} for block in blocks]
    folder = tmp_path_factory.mktemp("lava")
    write_net(folder / "drawn.net", blocks, steps=9)
    network = converters.read_lava_dl(folder / "drawn.net", **how)
    notes = converters.write_lava_dl(network, folder / "ours.net")
    again = converters.read_lava_dl(folder / "ours.net", **how)
    assert again.populations == network.populations
    assert again.projections == network.projections
    assert again.timesteps == 9
    assert len(notes) == ("reset_interval" in how or (how["corrected"] and blocks[0]["neuron/type"] == "SDNN"))


@needs_data
@pytest.mark.parametrize("name", ["tiny", "pilotnet_lif"])
def test_files_of_lava_come_back(name: str, tmp_path: Path) -> None:
    network = converters.read_lava_dl(DATA / f"{name}.net", reset_interval=16)
    assert converters.write_lava_dl(network, tmp_path / "a.net") == ("read it with reset_interval=16, reset_offset=0",)
    again = converters.read_lava_dl(tmp_path / "a.net", reset_interval=16)
    assert again.projections == network.projections
    assert again.populations == network.populations


def test_readouts_and_delays_are_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    for scale in (1.0, 64.0):
        network = neuro.Network(
            (
                neuro.Population("input", (1, 4, 4), neuro.Source(levels=1)),
                neuro.Population("conv1", (2, 2, 2), neuro.CubaLif(4095, 9, 3, np.array([[[2]], [[-3]]]), 6)),
                neuro.Population("dense3", (3,), neuro.Readout(scale=scale, potential_bits=31)),
            ),
            (
                neuro.Conv2d("input", "conv1", rng.integers(-9, 10, (2, 1, 3, 3))),
                neuro.Dense("conv1", "dense3", rng.integers(1, 10, (8, 3)), delay=4),
            ),
        )
        converters.write_lava_dl(network, tmp_path / "a.net")
        x = rng.integers(0, 2, (2, 9, 1, 4, 4))
        assert np.array_equal(neuro.run(converters.read_lava_dl(tmp_path / "a.net"), x).logits, neuro.run(network, x).logits)


def test_the_command_runs_and_shows_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    rng = np.random.default_rng(0)
    images, weight = rng.random((4, 1, 2, 2)), rng.integers(-9, 30, (3, 4))
    first = {"type": "input", "shape": np.array([1, 2, 2]), **lif(4096, 128, 20)}
    write_net(tmp_path / "a.net", [first, {"type": "flatten"}, dense(weight, lif(4096, 128, 20))], steps=16)
    np.savez(tmp_path / "x.npz", x=images, y=np.zeros(4, int))
    status, out, errors = here(monkeypatch, capsys, tmp_path, "run", "a.net", "--data", "x.npz", "--json", "-", "--quiet")
    assert (status, errors) == (0, "")
    network = converters.read_lava_dl(tmp_path / "a.net")
    run = neuro.run(network, converters.lava_dl_inputs(tmp_path / "a.net", images))
    assert run.spikes["dense2"].any()
    assert json.loads(out)["accuracy_snn"] == (run.predictions == 0).mean()
    status, out, _ = here(monkeypatch, capsys, tmp_path, "inspect", "a.net", "--json", "-")
    assert (status, json.loads(out)["neurons"]) == (0, 7)
    write_net(tmp_path / "a.net", [{"type": "convT"}])
    for command in (("inspect", "a.net"), ("run", "a.net", "--data", "x.npz")):
        status, _, errors = here(monkeypatch, capsys, tmp_path, *command)
        assert status == 2
        assert "'convT' are not supported" in " ".join(errors.split())
        assert "Traceback" not in errors
