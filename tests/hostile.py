"""Small good files of every kind that is read, their readers, and ways to break them, for the hostile tests and the fuzzer."""

import csv
import io
import json
import os
import re
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from dataclasses import asdict, fields
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load, save

import converters
import neuro
from converters.modules import load_module
from neuro.bundles import save_parts
from neuro.cli.inputs import read_data
from neuro.engine.session import Session
from neuro.errors import NeuroError
from neuro.events import read_events
from neuro.files import read_tensors
from neuro.folders.images import read_images
from neuro.keywords.audio import read_wav
from neuro.keywords.corpus import read_arrays
from neuro.keywords.features import FeatureSettings
from neuro.keywords.model import load_mlperf_dscnn
from neuro.keywords.pooled import Pooled
from neuro.keywords.spotter import Spotter
from neuro.machines.ownership import read_prices
from neuro.machines.points import PublishedPoint, read_points
from neuro.serving.use import read_arrivals
from neuro.sweeping.journal import open_journal
from neuro.weights import read_weights as read_any_weights
from tests.lava_witness import dense, lif, sdn, write_net


def read_weights(path: Path) -> object:
    """As `neuro run MODEL --weights FILE` reads them."""
    return load_module("torch.nn:Identity", weights=path)


def read_journal(path: Path) -> object:
    """As `neuro sweep` opens the journal of an earlier one."""
    with open_journal(path, {"about": "a test"}) as journal:
        return dict(journal.records)


EVENTS = Path(__file__).parent / "data" / "events"
READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {  # reader: (how its files are named, the reader)
    "network": ("net.safetensors", neuro.Network.load),
    "graph": ("graph.safetensors", neuro.Graph.load),
    "tensors": ("tensors.safetensors", read_tensors),
    "weights": ("weights.safetensors", read_weights),
    "torch weights": ("weights.pt", read_any_weights),
    "old torch weights": ("old.pth", read_any_weights),
    "session": ("session.safetensors", Session.load),
    "spotter": ("spotter.safetensors", Spotter.load),
    "pooled channels": ("pooled.safetensors", Pooled.load),
    "data": ("data.npz", read_data),
    "corpus": ("corpus.npz", read_arrays),
    "published weights": ("dscnn.npz", load_mlperf_dscnn),
    "chip": ("chip.toml", neuro.load_chip),
    "machine": ("machine.toml", neuro.load_machine),
    "points": ("points.csv", read_points),
    "recording": ("recording.wav", read_wav),
    "prices": ("prices.toml", read_prices),
    "arrivals": ("arrivals.txt", read_arrivals),
    "image": ("image.png", lambda path: read_images([path])),
    "onnx": ("net.onnx", converters.read_onnx),
    "nir": ("net.nir", converters.read_nir),
    "lava": ("net.net", converters.read_lava_dl),
    "journal": ("journal.jsonl", read_journal),
    "event packets": ("dv_lz4.aedat4", read_events),
    "event words": ("wizard_evt3.raw", read_events),
    "event arrays": ("events.npz", read_events),
}


def refused(read: Callable[[Path], Any], path: Path, said: str) -> NeuroError:
    """The reader's error, which must say where, what (`said`) and what to change, after little memory was taken."""
    size = os.path.getsize(path) if os.path.isfile(path) else 0
    tracemalloc.start()
    try:
        with pytest.raises(NeuroError) as caught:
            read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    error, told = caught.value, str(caught.value)
    assert peak < 8 * min(size, 64 << 20) + (16 << 20), f"{peak:,} bytes for a file of {size:,}"
    assert all((error.where, error.fact, error.remedy))
    assert len(told) < 7_000
    assert told.isprintable()
    assert re.search(said, told), told
    return error


def network() -> neuro.Network:
    """Every kind of projection and of stored neuron, in a few hundred bytes."""
    fire = neuro.IntegrateAndFire(9, bias=np.array([[[1]], [[2]]]))
    populations = (
        neuro.Population("in", (1, 4, 4), neuro.Source("rate", levels=7)),
        neuro.Population("conv", (2, 3, 3), fire),
        neuro.Population("pool", (2, 1, 1), neuro.SignedIntegrateAndFire(5, gather=2)),
        neuro.Population("same", (2, 1, 1), neuro.MaxPool(2)),
        neuro.Population("list", (3,), neuro.CubaLif(4095, 64, 3)),
        neuro.Population("line", (1, 3), neuro.WaitIntegrateAndFire(3, 2)),
        neuro.Population("more", (1, 2), neuro.RadixIntegrateAndFire(3, 2, 2)),
        neuro.Population("grade", (1, 2), neuro.Graded(3)),
        neuro.Population("out", (2,), neuro.Readout(scale=np.array([0.5, 2.0]))),
    )
    projections = (
        neuro.Conv2d("in", "conv", np.arange(8).reshape(2, 1, 2, 2)),
        neuro.SumPool2d("conv", "pool", 3),
        neuro.OneToOne("pool", "same"),
        neuro.Sparse("same", "list", (np.array([0, 1]), np.array([2, 0]), np.array([4, -4]))),
        neuro.OneToOne("list", "line", 5),
        neuro.Conv1d("line", "more", np.ones((1, 1, 2), int)),
        neuro.OneToOne("more", "grade", np.array([3])),
        neuro.Dense("grade", "out", np.eye(2, dtype=int), delay=2),
    )
    return neuro.Network(populations, projections, timesteps=4, notes=("small",))


def graph() -> neuro.Graph:
    weight = np.arange(8, dtype=np.float32).reshape(2, 1, 2, 2)
    conv = {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1}
    pool = {"kernel": (3, 3), "stride": (3, 3), "padding": ((0, 0), (0, 0)), "divisor": None}
    return neuro.Graph(
        (
            neuro.Layer("in", "input", (), (1, 4, 4)),
            neuro.Layer("conv", "conv", ("in",), (2, 3, 3), {"weight": weight}, conv),
            neuro.Layer("relu", "relu", ("conv",), (2, 3, 3), {}, {"ceiling": 6.0}),
            neuro.Layer("pool", "avg_pool", ("relu",), (2, 1, 1), {}, pool),
            neuro.Layer("flat", "reshape", ("pool",), (2,)),
            neuro.Layer("out", "linear", ("flat",), (2,), {"weight": np.eye(2, dtype=np.float32)}),
        )
    )


def write_session(path: Path) -> None:
    populations = (
        neuro.Population("in", (4,), neuro.Source()),
        neuro.Population("hidden", (3,), neuro.CubaLif(4095, 64, 3)),
        neuro.Population("out", (2,), neuro.Readout()),
    )
    projections = (
        neuro.Dense("in", "hidden", np.eye(4, 3, dtype=int), delay=2),
        neuro.Dense("hidden", "out", np.ones((3, 2), int)),
    )
    session = neuro.open_session(neuro.Network(populations, projections))
    session.step(np.arange(4))
    session.save(path)


def write_spotter(path: Path) -> None:
    settings = FeatureSettings(bands=2)
    size, frames = settings.size, 3
    spikes = neuro.Network(
        (neuro.Population("in", (size, frames), neuro.Source()), neuro.Population("out", (3,), neuro.Readout())),
        (neuro.Dense("in", "out", np.ones((size * frames, 3), int)),),
        timesteps=1,
    )
    floats = neuro.Graph((neuro.Layer("in", "input", (), (size, frames)),))
    parts = {
        "network": spikes, "graph": floats, "features": asdict(settings), "mean": np.zeros(size, np.float32),
        "factor": np.ones(size, np.float32), "classes": ("yes", "_silence_", "_unknown_"), "threshold": 0.5, "card": {},
    }  # fmt: skip
    save_parts(parts, path, "spotter")


def points() -> str:
    text, wanted = io.StringIO(), [field.name for field in fields(PublishedPoint)]
    row = dict.fromkeys(wanted, "") | {
        "id": "a", "family": "New", "device": "2x T4", "workload": "ResNet-50", "macs": "4089184256", "precision": "int8",
        "batch_or_scenario": "offline", "throughput_per_s": "11000", "source": "here",
    }  # fmt: skip
    writer = csv.DictWriter(text, wanted)
    writer.writeheader()
    writer.writerow(row)
    return text.getvalue()


def wav(data: bytes, *, code=1, channels=1, rate=16_000, bits=16, claimed: int | None = None) -> bytes:
    """A WAV file; `claimed` is the length that its sound chunk states."""
    block = channels * bits // 8
    layout = struct.pack("<HHIIHH", code, channels, rate, min(rate * block, 2**32 - 1), block & 0xFFFF, bits)
    length = len(data) if claimed is None else claimed
    return b"RIFF\0\0\0\0WAVEfmt " + struct.pack("<I", 16) + layout + b"data" + struct.pack("<I", length) + data


def write_good(reader: str, path: Path) -> None:
    """A small file that the reader takes (except the weights, which fit no module without parameters)."""
    shipped = resources.files("neuro")
    x, ones = np.arange(12, dtype=np.float32).reshape(3, 4), partial(np.ones, dtype=np.int64)
    whole: dict[str, Callable[[], Any]] = {
        "network": lambda: network().save(path),
        "graph": lambda: graph().save(path),
        "tensors": lambda: path.write_bytes(save({"a": x, "b": x[0]})),
        "weights": lambda: path.write_bytes(save({})),
        "torch weights": lambda: torch.save({"state_dict": {"a": torch.ones(2, 3), "b": torch.arange(4)}, "epoch": 3}, path),
        "old torch weights": lambda: torch.save({"a": torch.ones(2, 3)}, path, _use_new_zipfile_serialization=False),
        "session": lambda: write_session(path),
        "spotter": lambda: write_spotter(path),
        "pooled channels": lambda: Pooled(("conv",), ones((2, 4)), ones(4), 3, ones((5, 8)), ones((8, 2))).save(path),
        "data": lambda: np.savez_compressed(path, x=x, y=np.array([0, 1, 2])),
        "corpus": lambda: np.savez(
            path, audio=np.ones((2, 8), np.int16), label=[0, 1], classes=["yes", "_silence_", "_unknown_"], word=["yes", "-"],
            speaker=["a", "b"], rate=16_000,
        ),
        "published weights": lambda: np.savez(path, **dscnn()),
        "chip": lambda: path.write_text((shipped / "chip" / "presets" / "speck.toml").read_text()),
        "machine": lambda: path.write_text((shipped / "machines" / "catalogue" / "xeon.toml").read_text()),
        "points": lambda: path.write_text(points()),
        "onnx": lambda: write_onnx(path),
        "nir": lambda: converters.write_nir(network_for_nir(), path),
        "lava": lambda: write_net(path, [dense(np.ones((4, 2)), lif()), dense(np.ones((3, 4)), sdn())]),
        "journal": lambda: write_journal(path),
        "prices": lambda: path.write_text("life_years = 4\nelectricity_per_kwh = 0.3\n[capital]\ngap9 = 15\n"),
        "arrivals": lambda: path.write_text("0.5\n0.75\n1.5\n"),
        "image": lambda: Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3)).save(path),
        "recording": lambda: path.write_bytes(wav(np.arange(64, dtype="<i2").tobytes())),
        **{name: lambda: path.write_bytes((EVENTS / READERS[reader][0]).read_bytes()) for name in READERS if "event" in name},
    }  # fmt: skip
    whole[reader]()


def write_onnx(path: Path) -> None:
    import onnx

    tensors = {"w": np.full((2, 4), 0.5, np.float32), "b": np.zeros(2, np.float32)}
    nodes = [
        onnx.helper.make_node("Gemm", ["x", "w", "b"], ["h"], transB=1),
        onnx.helper.make_node("Relu", ["h"], ["y"]),
    ]
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, n]) for name, n in (("x", 4), ("y", 2))]
    kept = [onnx.numpy_helper.from_array(value, name) for name, value in tensors.items()]
    graph = onnx.helper.make_graph(nodes, "small", ends[:1], ends[1:], kept)
    path.write_bytes(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)]).SerializeToString())


def network_for_nir() -> neuro.Network:
    populations = (
        neuro.Population("in", (3,), neuro.Source()),
        neuro.Population("fire", (2,), neuro.IntegrateAndFire(5, start_step=1)),
    )
    return neuro.Network(populations, (neuro.Dense("in", "fire", np.arange(6).reshape(3, 2)),), timesteps=4)


def write_journal(path: Path) -> None:
    with open_journal(path, {"about": "a test"}) as journal:
        journal.append({"key": "a", "error": "it did not fit"})
        journal.append({"key": "b", "error": "it did not fit either"})


def dscnn() -> dict[str, Any]:
    """Weights of the published shapes, all alike."""
    from neuro.keywords.model import _DSCNN, DsCnn

    layers = [layer for layer in DsCnn().layers if hasattr(layer, "weight")]
    shapes = {f"{name}.{key}": tuple(value.shape) for name, layer in zip(_DSCNN, layers, strict=True) for key, value in
              layer.state_dict().items()}  # fmt: skip
    return {name: np.full(shape, 0.5, np.float32) for name, shape in shapes.items()}


def redescribed(path: Path, change: Callable[[Any], Any]) -> None:
    """Save a network, graph or spotter file again with its description changed."""
    whole = path.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    described = json.loads(json.loads(whole[8 : 8 + length])["__metadata__"]["neuro"])
    changed = change(described)
    text = changed if isinstance(changed, str) else json.dumps(described)
    path.write_bytes(save(load(whole), metadata={"neuro": text}))


def with_header(header: bytes | dict[str, Any], data: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file of this header; `length` is what it claims the header's length to be."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def npy(header: str | bytes, data: bytes = b"", *, version: int = 1, length: int | None = None) -> bytes:
    """An .npy file of this header."""
    text = header.encode() if isinstance(header, str) else header
    size = len(text) if length is None else length
    return b"\x93NUMPY" + bytes([version, 0]) + size.to_bytes(2 if version == 1 else 4, "little") + text + data


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return file.getvalue()
