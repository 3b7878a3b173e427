"""Image files of one size as an array. Knows Pillow; knows nothing of classes or networks.

Files are opened in the formats of `listing.IMAGES` only, and their sizes are held against memory before any is decoded.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neuro.errors import FormatError, NeuroError, UsageError
from neuro.memory import check_fits
from neuro.reading import opened, reason

SCALES = {  # name: mean and deviation of values from 0 to 1; three of them: of red, green and blue
    "unit": ((0.0,), (1.0,)),
    "signed": ((0.5,), (0.5,)),
    "bytes": ((0.0,), (1 / 255,)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),  # torchvision's, of ImageNet's training images
}
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
_GREY = {
    "1": 255,
    "L": 255,
    "LA": 255,
    "I;16": 65535,
    "I;16B": 65535,
}  # modes of Pillow with one channel, and their largest value
_COLOUR = ("RGB", "RGBA", "P", "PA", "CMYK", "YCbCr")
_REMEDY = "Save it as PNG, grey or RGB"
Floats = NDArray[np.float32]
Scale = tuple[tuple[float, ...], tuple[float, ...]]


def scale_of(name: str) -> Scale:
    """Mean and deviation that values from 0 to 1 are normalised by: of `SCALES`, or "MEAN/DEVIATION" such as 0.13/0.31."""
    if name in SCALES:
        return SCALES[name]
    mean, slash, deviation = name.partition("/")
    try:
        means, deviations = (tuple(float(n) for n in text.split(",")) for text in (mean, deviation))
    except ValueError:
        means = deviations = ()
    same = len(means) == len(deviations) in (1, 3)
    if not slash or not same or not np.isfinite(means).all() or not all(0 < d < np.inf for d in deviations):
        raise UsageError("--scale", f"{name!r} is not known", f"Use {', '.join(SCALES)}, or MEAN/DEVIATION such as 0.1307/0.3081")
    return means, deviations


def read_images(files: Sequence[Path], scale: str = "unit") -> tuple[Floats, tuple[str, ...]]:
    """Images (samples, channels, height, width), and in sentences what was done: one channel where all are grey, else three.

    scale: see `scale_of`. Raises FormatError for files that cannot be read, sizes that differ, several frames, and transparency;
    UsageError for an unknown scale.
    """
    mean, deviation = scale_of(scale)
    sizes, modes = _described(files)
    (width, height), channels = sizes, 1 if all(mode in _GREY for mode in modes) else 3
    if len(mean) > channels:
        raise UsageError("--scale", f"{scale!r} has three channels, the images are grey", "Give one MEAN/DEVIATION")
    check_fits("--data", 4 * len(files) * channels * height * width, "its images", "Take fewer of them, or smaller ones")
    x = np.empty((len(files), channels, height, width), np.float32)
    for number, file in enumerate(files):
        x[number] = _decoded(file, channels)
    middle, spread = (np.array(values, np.float32).reshape(-1, 1, 1) for values in (mean, deviation))
    x -= middle
    x /= spread
    kinds = (
        "grey" if channels == 1 else "in colour" if all(mode not in _GREY for mode in modes) else "in colour, grey ones as such"
    )
    done = {"unit": "from 0 to 1", "signed": "from -1 to 1", "bytes": "from 0 to 255"}
    how = done.get(scale, f"from 0 to 1, less {_listed(mean)}, over {_listed(deviation)}")
    return x, (f"{len(files):,} images of {width} x {height} pixels, {kinds}; values {how} (--scale)",)


def _listed(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _described(files: Sequence[Path]) -> tuple[tuple[int, int], set[str]]:
    """The one size (width, height), and the modes that there are, from the heads of the files."""
    sizes: Counter[tuple[int, int]] = Counter()
    first: dict[tuple[int, int], Path] = {}
    modes = set()
    for file in files:
        with opened(file) as stream, _guarded(file, stream) as image:
            sizes[image.size] += 1
            first.setdefault(image.size, file)
            modes.add(image.mode)
            if image.mode not in _GREY and image.mode not in _COLOUR:
                raise FormatError(str(file), f"its values are of the kind {image.mode!r}", _REMEDY)
            if getattr(image, "n_frames", 1) > 1:
                raise FormatError(str(file), "it has several frames", "Save the one that is the sample")
    if len(sizes) > 1:
        (usual, many), *_, (odd, few) = sizes.most_common()
        fact = f"{many:,} images have {usual[0]} x {usual[1]} pixels, {few:,} {odd[0]} x {odd[1]} (such as {first[odd]})"
        remedy = "Resize or crop all to the size that the network was trained on, for example with Pillow's ImageOps.fit"
        raise FormatError("--data", fact, remedy)
    return next(iter(sizes)), modes


def _decoded(file: Path, channels: int) -> NDArray[np.float32]:
    """One image (channels, height, width) with values from 0 to 1."""
    with opened(file) as stream, _guarded(file, stream) as image:
        try:
            if image.has_transparency_data and image.convert("RGBA").getextrema()[-1] != (255, 255):
                raise FormatError(str(file), "parts of it are transparent", "Save it on the background of the training images")
            most = _GREY.get(image.mode, 255)
            plain = image.convert("RGB" if image.mode in _COLOUR else "L") if most == 255 else image
            values = np.asarray(plain, np.float32) / np.float32(most)
        except (OSError, ValueError, SyntaxError, MemoryError) as error:
            raise FormatError(str(file), f"it cannot be decoded ({reason(error)})", "Copy or save it again") from None
    planes = values[None] if values.ndim == 2 else np.moveaxis(values, 2, 0)
    return np.broadcast_to(planes, (channels, *planes.shape[1:]))


def _guarded(file: Path, stream: Any) -> Image.Image:
    """The image in a file, not decoded yet."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return Image.open(stream, formats=_FORMATS)
    except NeuroError:
        raise
    except Image.DecompressionBombWarning:
        raise FormatError(str(file), f"it has more than {Image.MAX_IMAGE_PIXELS:,} pixels", "Use smaller images") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise FormatError(str(file), f"it is not a readable image ({reason(error)})", _REMEDY) from None


def with_channels(x: NDArray[Any], wanted: int | None) -> tuple[NDArray[Any], str]:
    """Images (samples, channels, height, width) with the channels that a network takes, and in a sentence what was done.

    Grey ones are repeated for red, green and blue; of three equal channels one is kept. Others stay as they are.
    """
    have = x.shape[1] if x.ndim == 4 else None
    if (have, wanted) == (1, 3):
        return np.repeat(x, 3, axis=1), "grey images repeated for the network's three channels"
    if (have, wanted) == (3, 1) and np.array_equal(x[:, :1], x[:, 1:2]) and np.array_equal(x[:, :1], x[:, 2:]):
        return np.ascontiguousarray(x[:, :1]), "one of three equal channels kept, as the network takes one"
    return x, ""
