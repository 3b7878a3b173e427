"""A folder of samples as arrays, with what was done to them in sentences. Knows no network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.errors import UsageError
from neuro.folders.listing import listed

Read = tuple[NDArray[np.float32], NDArray[Any] | None, tuple[str, ...]]


def read_folder(folder: Path, scale: str | None = None) -> Read:
    """Samples (samples, channels, ...), class numbers (samples,) or None without classes, and facts.

    scale: how images become numbers, see `neuro.folders.images.scale_of`; left out: from 0 to 1. Raises FormatError for what is
    no such folder, UsageError for a scale of sounds.
    """
    found = listed(folder)
    if found.kind == "images":
        from neuro.folders.images import read_images

        x, facts = read_images(found.files, scale or "unit")
    else:
        from neuro.folders.sounds import read_sounds  # scipy

        if scale is not None:
            raise UsageError("--scale", f"{folder} holds sounds, whose values go from -1 to 1", "Leave it out")
        x, facts = read_sounds(found.files)
    if found.left_out:
        facts = (*facts, f"{found.left_out:,} files of other kinds in {folder} were left out")
    if found.labels is None:
        return x, None, (*facts, f"no class folders in {folder}, so that no accuracy is known")
    names = [f"{number} = {name}" for number, name in enumerate(found.classes)]
    shown = names if len(names) <= 12 else [*names[:10], "...", names[-1]]
    return x, np.array(found.labels), (*facts, f"classes by {found.order}: {', '.join(shown)}")
