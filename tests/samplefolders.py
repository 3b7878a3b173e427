"""Folders of images and sounds as people have them, made by tests."""

from pathlib import Path

import numpy as np
from PIL import Image

from neuro.keywords.audio import write_wav


def save_image(path: Path, values: np.ndarray) -> Path:
    """An image (height, width) or (height, width, 3 or 4) of bytes, or (height, width) of 16 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


def image_folder(folder: Path, classes: tuple[str, ...] = ("ant", "bee"), each: int = 2, shape: tuple[int, ...] = (4, 5)) -> Path:
    """One folder a class; image k of class c is filled with 16 c + k."""
    for number, name in enumerate(classes):
        for k in range(each):
            save_image(folder / name / f"{k}.png", np.full(shape, 16 * number + k, np.uint8))
    return folder


def sound_folder(folder: Path, classes: tuple[str, ...] = ("no", "yes"), lengths: tuple[int, ...] = (80, 80)) -> Path:
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True, exist_ok=True)
        write_wav(folder / name / "a.wav", np.full(lengths[number], 0.25 * (number + 1), np.float32), 8_000)
    return folder
