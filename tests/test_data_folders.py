"""Folders of samples: what they become, in which order, and what is refused with which remedy."""

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from neuro.cli.inputs import read_data, read_inputs
from neuro.errors import NeuroError, UsageError
from neuro.folders.images import SCALES, scale_of, with_channels
from neuro.folders.listing import listed
from neuro.studies.data import Data, typical_of
from tests.samplefolders import image_folder, save_image, sound_folder


def test_images_become_values_from_0_to_1_and_classes_their_sorted_names(tmp_path) -> None:
    found = read_data(image_folder(tmp_path, ("cat", "ant", "bee")))
    assert found.y is not None
    assert found.x.shape == (6, 1, 4, 5)
    assert found.x.dtype == np.float32
    filled = np.rint(found.x[:, 0, 0, 0] * 255).astype(int).tolist()
    places = {"ant": 1, "bee": 2, "cat": 0}  # in the order in which they were written
    names = ["ant", "bee", "cat"]
    assert [16 * places[names[label]] + k for label, k in zip(found.y, (0, 0, 0, 1, 1, 1), strict=True)] == filled
    assert found.y.tolist() == [0, 1, 2, 0, 1, 2], "classes take turns, so that the first samples are of all of them"
    said = " ".join(found.facts)
    assert "6 images of 5 x 4 pixels, grey; values from 0 to 1" in said
    assert "classes by sorted folder names: 0 = ant, 1 = bee, 2 = cat" in said
    assert (read_inputs(tmp_path) == found.x).all()


@given(st.lists(st.integers(0, 255), min_size=12, max_size=12), st.sampled_from([*SCALES, "0.13/0.31", "0.1,0.2,0.3/1,2,3"]))
def test_every_scale_is_what_training_code_does(tmp_path_factory, values, scale) -> None:
    folder = tmp_path_factory.mktemp("scaled")
    pixels = np.array(values, np.uint8).reshape(2, 2, 3)
    save_image(folder / "one" / "a.png", pixels)
    mean, deviation = (np.array(v, np.float64).reshape(-1, 1, 1) for v in scale_of(scale))
    expected = (pixels.transpose(2, 0, 1) / 255 - mean) / deviation
    assert np.allclose(read_data(folder, scale).x[0], expected, atol=1e-5, rtol=1e-5)
    if scale == "bytes":
        assert np.allclose(expected, pixels.transpose(2, 0, 1))


@pytest.mark.parametrize("scale", ["unity", "0.5", "0.5/0", "a/b", "nan/1", "0.1,0.2/1,2", "0.1/1,2,3", "1/inf"])
def test_unknown_scales_are_refused(scale) -> None:
    with pytest.raises(UsageError, match="unit, signed, bytes, imagenet, or MEAN/DEVIATION"):
        scale_of(scale)


def test_kinds_of_images(tmp_path) -> None:
    colour = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    opaque = np.dstack([colour, np.full((4, 5), 255, np.uint8)])
    for kind, values in {"rgb": colour, "rgba": opaque}.items():
        save_image(tmp_path / kind / "x" / "a.png", values)
        assert np.allclose(read_data(tmp_path / kind).x[0] * 255, colour.transpose(2, 0, 1))
    deep = np.arange(20, dtype=np.uint16).reshape(4, 5) * 3000
    save_image(tmp_path / "deep" / "x" / "a.png", deep)
    assert np.allclose(read_data(tmp_path / "deep").x[0, 0] * 65535, deep)
    Image.fromarray(colour).quantize(20).save(tmp_path / "rgb" / "x" / "b.png")  # with a palette
    save_image(tmp_path / "rgb" / "x" / "c.png", colour[:, :, 0])
    mixed = read_data(tmp_path / "rgb")
    assert np.allclose(mixed.x * 255, np.stack([colour, colour, colour[:, :, :1].repeat(3, 2)]).transpose(0, 3, 1, 2))
    assert "in colour, grey ones as such" in mixed.facts[0]


def test_channels_follow_the_network_where_nothing_is_lost() -> None:
    grey, colour = np.ones((2, 1, 3, 3)), np.arange(54.0).reshape(2, 3, 3, 3)
    assert with_channels(grey, 3)[0].shape == (2, 3, 3, 3)
    assert with_channels(grey.repeat(3, 1), 1)[0].shape == (2, 1, 3, 3)
    for x, wanted in ((colour, 1), (colour, 3), (grey, 1), (grey, None), (np.ones((2, 1, 9)), 3)):
        assert with_channels(x, wanted) == (x, "")


def test_sounds(tmp_path) -> None:
    found = read_data(sound_folder(tmp_path))
    assert (found.x.shape, found.y.tolist()) == ((2, 1, 80), [0, 1])
    assert np.allclose(found.x[1], 0.5)
    assert "2 sounds of 80 values at 8,000 Hz, mono" in found.facts[0]
    with pytest.raises(UsageError, match="--scale"):
        read_data(tmp_path, "unit")
    with pytest.raises(NeuroError, match="80 values at 8,000 Hz, .* 90 values .*Cut or pad all to one length"):
        read_data(sound_folder(tmp_path, lengths=(80, 90)))


def test_an_order_of_ones_own(tmp_path) -> None:
    image_folder(tmp_path, ("ant", "bee", "cat"))
    (tmp_path / "classes.txt").write_text("cat\nant\n\nbee\n")
    assert listed(tmp_path).classes == ("cat", "ant", "bee")
    assert "by the order of classes.txt: 0 = cat" in " ".join(read_data(tmp_path).facts)
    for text, said in (
        ("cat\nant\n", "names 2 folders"),
        ("cat\nant\nbee\nbee", "names 4 folders"),
        ("cats", "did you mean 'cat'"),
    ):
        (tmp_path / "classes.txt").write_text(text)
        with pytest.raises(NeuroError, match=f"(?i){said}"):
            listed(tmp_path)


def test_numbered_folders_are_refused_where_text_and_numbers_sort_otherwise(tmp_path) -> None:
    names = tuple(str(n) for n in range(11))
    image_folder(tmp_path / "plain", names[:10])
    assert listed(tmp_path / "plain").classes == names[:10]
    image_folder(tmp_path / "eleven", names, each=1)
    with pytest.raises(NeuroError, match=r"0, 1, 10, 2.*Write their names into .*classes.txt"):
        listed(tmp_path / "eleven")
    (tmp_path / "eleven" / "classes.txt").write_text("\n".join(names))
    assert listed(tmp_path / "eleven").classes == names


def test_images_without_classes(tmp_path) -> None:
    for k in range(5):
        save_image(tmp_path / f"{k}.png", np.full((2, 2), k, np.uint8))
    (tmp_path / "notes.txt").write_text("of last year")
    found = read_data(tmp_path)
    assert found.y is None
    assert sorted(np.rint(found.x[:, 0, 0, 0] * 255)) == [0, 1, 2, 3, 4]
    assert "1 files of other kinds" in found.facts[1]
    assert "no accuracy is known" in found.facts[2]


def _wrong(folder: Path, kind: str) -> Path:
    first = image_folder(folder)
    grey = np.zeros((4, 5), np.uint8)
    if kind == "sizes":
        save_image(folder / "bee" / "odd.png", np.zeros((4, 6), np.uint8))
    elif kind == "empty":
        (folder / "cat").mkdir()
    elif kind == "beside":
        save_image(folder / "a.png", grey)
    elif kind == "deep":
        save_image(folder / "bee" / "more" / "a.png", grey)
    elif kind == "mixed":
        sound_folder(folder)
    elif kind == "broken":
        (folder / "bee" / "x.jpg").write_bytes(b"no image")
    elif kind == "cut":
        data = save_image(
            folder / "bee" / "x.png", np.random.default_rng(0).integers(0, 255, (4, 5)).astype(np.uint8)
        ).read_bytes()
        (folder / "bee" / "x.png").write_bytes(data[:-30])
    elif kind == "transparent":
        save_image(folder / "bee" / "x.png", np.zeros((4, 5, 4), np.uint8))
    elif kind == "frames":
        frames = [Image.fromarray(grey), Image.fromarray(grey + 9)]
        frames[0].save(folder / "bee" / "x.gif", save_all=True, append_images=frames[1:])
    elif kind == "float":
        Image.fromarray(np.zeros((4, 5), np.float32)).save(folder / "bee" / "x.tiff")
    elif kind == "bomb":
        head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 60_000, 60_000, 8, 0, 0, 0, 0)
        (folder / "bee" / "x.png").write_bytes(head + b"\0\0\0\0")
    return first


REFUSED = {
    "sizes": "4 images have 5 x 4 pixels, 1 6 x 4 .*odd.png.*Resize or crop",
    "empty": "cat: the class folder holds no image.*its place in the order is a class number",
    "beside": "samples lie in it and in folders of it",
    "deep": "a class has folders of its own",
    "mixed": "it holds images and sounds",
    "broken": "x.jpg: it is not a readable image",
    "cut": "x.png: it cannot be decoded|x.png: it is not a readable",
    "transparent": "parts of it are transparent",
    "frames": "several frames",
    "float": "of the kind 'F'",
    "bomb": "x.png: it (is not a readable image|has more than)",
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_refused(kind, tmp_path) -> None:
    with pytest.raises(NeuroError, match=REFUSED[kind]):
        read_data(_wrong(tmp_path, kind))


def test_parts_of_a_data_set_are_told_apart(tmp_path) -> None:
    image_folder(tmp_path / "train")
    image_folder(tmp_path / "test")
    with pytest.raises(NeuroError, match=r"it holds test and train, parts of a data set.*--data .*test\.$"):
        read_data(tmp_path)
    image_folder(tmp_path / "plain", ("test", "other"))  # a class may have that name
    assert listed(tmp_path / "plain").classes == ("other", "test")
    (tmp_path / "none").mkdir()
    with pytest.raises(NeuroError, match="it holds no samples. Put .png"):
        read_data(tmp_path / "none")


def test_labels_have_two_names(tmp_path) -> None:
    x, y = np.ones((3, 2), np.float32), np.array([0, 1, 0])
    for names, said in (({"labels": y}, y), ({"y": y, "labels": y}, y), ({}, None)):
        np.savez(tmp_path / "d.npz", x=x, **names)
        found = read_data(tmp_path / "d.npz").y
        assert found is None if said is None else found.tolist() == said.tolist()
    np.savez(tmp_path / "d.npz", x=x, y=y, labels=1 - y)
    with pytest.raises(NeuroError, match="it holds y and labels, which differ"):
        read_data(tmp_path / "d.npz")


@given(st.integers(1, 30), st.integers(1, 4), st.integers(4, 12))
def test_typical_inputs_are_of_all_classes_even_where_the_data_are_sorted(each, classes, count) -> None:
    y = np.repeat(np.arange(classes), each)
    x = np.stack([y, np.arange(len(y))], axis=1)
    found = typical_of(Data(x, y), count)
    assert len(found) == min(count, len(y))
    assert len(np.unique(found[:, 1])) == len(found)
    assert set(found[:, 0]) == set(range(classes))
    assert (typical_of(Data(x), count) == x[:count]).all()
