"""Which files of a folder are samples, and their classes: one folder a class, numbered by sorted names. Reads no sample."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neuro.errors import FormatError, one_of
from neuro.reading import read_text

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".pbm", ".tif", ".tiff", ".webp")
SOUNDS = (".wav",)
ORDER = "classes.txt"  # names of the class folders, a line each, where their sorted order is not that of the outputs
_SPLITS = ("train", "training", "test", "testing", "val", "valid", "validation")
_KINDS = {**dict.fromkeys(IMAGES, "images"), **dict.fromkeys(SOUNDS, "sounds")}


@dataclass(frozen=True, slots=True)
class Listing:
    """Sample files of one kind ("images" or "sounds"); `labels`: a class number each, None without classes.

    The classes take turns, so that the first samples are of all of them. `classes`: names of the folders in the order of their
    numbers, `order` what that is. `left_out`: files of other kinds.
    """

    kind: str
    files: tuple[Path, ...]
    labels: tuple[int, ...] | None
    classes: tuple[str, ...]
    left_out: int
    order: str = ""


def listed(folder: Path) -> Listing:
    """The samples of a folder. Raises FormatError for mixed kinds, an empty class, and an order of classes that is not plain."""
    where = str(folder)
    inner = sorted(path.name for path in _seen(folder) if path.is_dir())
    if any(name.lower() in _SPLITS for name in inner) and all(_has_folders(folder / n) for n in inner if n.lower() in _SPLITS):
        fact = f"it holds {' and '.join(inner)}, parts of a data set with classes inside"
        raise FormatError(where, fact, f"Pass one part, such as --data {_last_part(folder, inner)}")
    if not inner:
        files, left_out = _samples(folder)
        mixed = [files[at] for at in np.random.default_rng(0).permutation(len(files))]  # names often follow classes
        return Listing(_kind(where, files), tuple(mixed), None, (), left_out)
    if any(path.suffix.lower() in _KINDS for path in _seen(folder)):
        raise FormatError(where, "samples lie in it and in folders of it", "Move each sample into the folder of its class")
    names, order = _order(folder, inner)
    found = [_class_files(folder / name) for name in names]
    turns = [(turn, number, file) for number, (members, _) in enumerate(found) for turn, file in enumerate(members)]
    files, labels = [file for *_, file in sorted(turns)], tuple(number for _, number, _ in sorted(turns))
    left_out = _samples(folder)[1] + sum(others for _, others in found)
    return Listing(_kind(where, files), tuple(files), labels, tuple(names), left_out, order)


def _class_files(folder: Path) -> tuple[list[Path], int]:
    members, left_out = _samples(folder)
    if _has_folders(folder):
        raise FormatError(str(folder), "a class has folders of its own", "Put the samples of a class into one folder")
    if not members:
        fact = "the class folder holds no image and no .wav file"
        raise FormatError(str(folder), fact, "Add samples, or remove it: its place in the order is a class number")
    return members, left_out


def _order(folder: Path, names: list[str]) -> tuple[list[str], str]:
    """Names of class folders in the order of their numbers, and what that is."""
    listing = folder / ORDER
    if listing.exists():
        order = [line.strip() for line in read_text(listing).splitlines() if line.strip()]
        wrong = next((name for name in order if name not in names), None)
        if wrong is not None:
            raise FormatError(str(listing), f"there is no folder {wrong!r}", one_of(wrong, names))
        if sorted(order) != names:
            fact = f"it names {len(order)} folders, {len(set(order))} of them once, of {len(names)}"
            raise FormatError(str(listing), fact, "Name each folder once")
        return order, f"the order of {ORDER}"
    numerals = all(name.isascii() and name.isdecimal() for name in names)
    if numerals and sorted(names, key=int) != names:
        fact = f"as text its class folders sort as {', '.join(names[:4])}, ..., as numbers they do not"
        raise FormatError(
            str(folder), fact, f"Write their names into {listing}, one a line, in the order of the network's outputs"
        )
    return names, "sorted folder names"


def _samples(folder: Path) -> tuple[list[Path], int]:
    """Sample files in the order of their names, and how many other files there are."""
    files = sorted(path for path in _seen(folder) if path.is_file())
    chosen = [path for path in files if path.suffix.lower() in _KINDS]
    return chosen, sum(path.name != ORDER for path in files) - len(chosen)


def _seen(folder: Path) -> Iterator[Path]:
    """What lies in a folder, without what systems hide there."""
    try:
        yield from (path for path in folder.iterdir() if not path.name.startswith((".", "__MACOSX")))
    except OSError as error:
        raise FormatError(str(folder), f"it cannot be read ({error.strerror})", "Check who may read it") from None


def _kind(where: str, files: list[Path]) -> str:
    kinds = {_KINDS[file.suffix.lower()] for file in files}
    if not kinds:
        raise FormatError(where, "it holds no samples", f"Put {', '.join((*IMAGES, *SOUNDS))} files there, one folder a class")
    if len(kinds) > 1:
        raise FormatError(where, "it holds images and sounds", "Keep samples of one kind in it")
    return kinds.pop()


def _has_folders(folder: Path) -> bool:
    return any(path.is_dir() for path in _seen(folder))


def _last_part(folder: Path, names: list[str]) -> Path:
    tests = [name for name in names if name.lower().startswith(("test", "val"))]
    return folder / (tests or names)[0]
