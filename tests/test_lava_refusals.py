"""Files of lava-dl that are broken, and networks that its layout cannot hold, are refused by name."""

from pathlib import Path

import h5py
import numpy as np
import pytest

import converters
import neuro
from neuro.errors import ConversionError, FormatError, NeuroError
from tests.lava_witness import dense, lif, write_net

BROKEN: dict[str, tuple[dict[str, object], str]] = {
    "unknown block": ({"type": "convT"}, r"block 1 \(convT\): blocks of the type 'convT'"),
    "unknown neuron": ({"neuron/type": "ALIF"}, "type 'ALIF'"),
    "resonate and fire": ({"neuron/type": "RF_PHASE"}, "complex"),
    "missing": ({"weight": None}, "weight is missing"),
    "missing threshold": ({"neuron/vThMant": None}, "neuron/vThMant is missing"),
    "missing type": ({"type": None}, "type is missing"),
    "wrong shape": ({"weight": np.ones((3, 5))}, "weight has shape"),
    "wrong bias": ({"bias": np.ones(7)}, "bias has shape"),
    "NaN": ({"weight": np.full((3, 4), np.nan)}, "weight holds NaN or infinity"),
    "infinite": ({"neuron/vThMant": np.inf}, "NaN or infinity"),
    "beyond 32 bits": ({"weight": np.full((3, 4), 1e12)}, "exceeds 32 bits"),
    "text": ({"bias": "no"}, "holds no numbers"),
    "negative delay": ({"delay": np.array([-1, 0, 0])}, "delay reaches"),
    "long delay": ({"delay": np.array([63, 0, 0])}, "delay reaches"),
    "odd delays": ({"delay": np.arange(2)}, "delay has 2 values"),
    "decays apart": ({"neuron/iDecay": np.array([1, 2, 3])}, "iDecay differs between neurons"),
    "no decay": ({"neuron/iDecay": 0}, "never decays"),
    "graded": ({"neuron/gradedSpike": True}, "graded"),
    "large threshold": ({"neuron/vThMant": 131_072}, "threshold = 131072"),
    "large bias": ({"bias": np.array([5000, 0, 0])}, "13-bit"),
    "no size": ({"shape": np.array([0, 1, 1])}, "no size of a layer"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_refused_by_block_and_dataset(name: str, tmp_path: Path) -> None:
    changes, said = BROKEN[name]
    good = dense(np.ones((3, 4)), lif(), bias=np.zeros(3))
    block = {key: value for key, value in {**good, **changes}.items() if value is not None}
    path = tmp_path / "a.net"
    write_net(path, [dense(np.ones((4, 2)), lif()), block])
    with pytest.raises(NeuroError, match=said) as caught:
        converters.read_lava_dl(path)
    assert str(path) in caught.value.where
    assert "block 1" in caught.value.where


def test_complex_blocks_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.net"
    block = dense(np.ones((3, 4)), lif())
    del block["weight"]
    write_net(path, [{**block, "weight/real": np.ones((3, 4)), "weight/imag": np.ones((3, 4))}])
    with pytest.raises(ConversionError, match="complex"):
        converters.read_lava_dl(path)


def test_files_that_are_no_networks(tmp_path: Path) -> None:
    path = tmp_path / "a.net"
    with h5py.File(path, "w") as opened:
        opened["other"] = 1
    with pytest.raises(FormatError, match="holds no lava-dl network"):
        converters.read_lava_dl(path)
    with h5py.File(path, "w") as opened:
        opened["layer/1/type"] = np.array([b"dense"])
    with pytest.raises(FormatError, match="not numbered from 0"):
        converters.read_lava_dl(path)
    with h5py.File(path, "w") as opened:
        opened.create_dataset("layer/0/weight", (1 << 40,), np.float32)
    with pytest.raises(FormatError, match="declares"):
        converters.read_lava_dl(path)
    write_net(path, [{"type": "input", "shape": np.array([3]), **lif()}])
    with pytest.raises(FormatError, match="no block but the input"):
        converters.read_lava_dl(path)
    for wrong in (
        {"reset_interval": 0},
        {"num_layers": 0},
        {"input_message_bits": 40},
        {"input_shape": (0,)},
        {"corrected": 1},
        {"message_bits": 1},
    ):
        with pytest.raises(FormatError):
            converters.read_lava_dl(path, **wrong)


UNWRITTEN = {
    "another neuron": (lambda n: n.with_neuron(neuro.IntegrateAndFire(3)), "no word for its IntegrateAndFire"),
    "a start": (lambda n: n.with_neuron(neuro.CubaLif(1, 2, 3, start_step=1)), "starts at step 1"),
    "fine bias": (lambda n: n.with_neuron(neuro.CubaLif(1, 2, 3, 5, 0)), "no multiple of 2\\^6"),
    "exponents": (lambda n: n.with_neuron(neuro.SigmaDelta(1, state_exponent=5)), "with these settings"),
    "scale": (lambda n: n.with_neuron(neuro.Readout(scale=3.0, potential_bits=31)), "its scale is neither"),
    "listed": (lambda n: n.with_projections(neuro.OneToOne("in", "out")), "a OneToOne"),
    "two ways": (lambda n: n.with_projections(*[neuro.Dense("in", "out", np.eye(3, dtype=int))] * 2), "before it alone"),
}


class _Small:
    """in -> out, of which one part is replaced."""

    neuron: object = neuro.CubaLif(1, 2, 3)
    projections: tuple[object, ...] = (neuro.Dense("in", "out", np.eye(3, dtype=int)),)

    def with_neuron(self, neuron: object) -> neuro.Network:
        populations = (neuro.Population("in", (3,), neuro.Source()), neuro.Population("out", (3,), neuron))
        return neuro.Network(populations, self.projections)

    def with_projections(self, *projections: object) -> neuro.Network:
        return neuro.Network(self.with_neuron(self.neuron).populations, projections)


@pytest.mark.parametrize("name", UNWRITTEN)
def test_what_the_layout_cannot_hold_is_refused(name: str, tmp_path: Path) -> None:
    make, said = UNWRITTEN[name]
    with pytest.raises(FormatError, match=said):
        converters.write_lava_dl(make(_Small()), tmp_path / "a.net")
    assert not list(tmp_path.iterdir())
