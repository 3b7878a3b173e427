"""HDF5 files from strangers, as dictionaries of arrays and text. Knows what of a file to believe; knows no networks.

A file is not trusted: links that leave it are not followed, declared sizes are compared with what is stored, nothing is executed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neuro.errors import FormatError
from neuro.reading import opened as opened_file

_MOST_BYTES = 2**31
_MOST_OBJECTS = 100_000
_DEEPEST = 24
_PACKING = 1100  # deflate packs at most about 1030 to 1
_FILTERS = {1, 2, 3, 4, 6, 32000}  # deflate, shuffle, fletcher32, szip, scale-offset, lzf: what h5py itself holds


def read_group(path: Path, name: str, what: str, remedy: str) -> dict[str, Any]:
    """The group `name` at the root of a file ("": the root itself), groups as dictionaries; FormatError where it is no `what` or
    cannot be believed."""
    import h5py

    with opened_file(path):
        pass  # a regular file
    try:
        with h5py.File(path, "r") as opened:
            if not name:
                return _Walk(str(path), remedy).group(opened, 0)
            link = opened.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink) or not isinstance(opened[name], h5py.Group):
                raise FormatError(str(path), f"it holds no {what}", remedy)
            return _Walk(str(path), remedy).group(opened[name], 0)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise FormatError(str(path), f"it is not a readable {what.split()[0]} file ({error})", remedy) from None


class _Walk:
    """Reads groups into dictionaries, counting what it has read."""

    def __init__(self, path: str, remedy: str) -> None:
        self.path = path
        self.remedy = remedy
        self.bytes = 0
        self.objects = 0

    def group(self, group: Any, depth: int) -> dict[str, Any]:
        import h5py

        found: dict[str, Any] = {}
        for name in group:
            self.objects += 1
            where = f"{self.path}, {group.name}/{name}"
            if self.objects > _MOST_OBJECTS or depth > _DEEPEST:
                raise FormatError(where, "it has too many parts, or they lie too deep", self.remedy)
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise FormatError(where, "it is a link", "Store the data in the file itself")
            item = group[name]
            found[name] = self.group(item, depth + 1) if isinstance(item, h5py.Group) else self.dataset(item, where)
        return found

    def dataset(self, item: Any, where: str) -> Any:
        import h5py

        if not isinstance(item, h5py.Dataset) or item.is_virtual or item.external:
            raise FormatError(where, "it is not data of this file", "Store the data in the file itself")
        plan = item.id.get_create_plist()
        if any(plan.get_filter(i)[0] not in _FILTERS for i in range(plan.get_nfilters())):
            raise FormatError(where, "it is packed by a filter that is not built in", self.remedy)
        text = h5py.check_string_dtype(item.dtype) is not None
        if item.dtype.kind not in "biufS" and not text:
            raise FormatError(where, f"its type is {item.dtype}", "Store numbers and text only")
        size = item.size or 0
        declared, stored = size * item.dtype.itemsize, item.id.get_storage_size()
        self.bytes += declared
        if self.bytes > _MOST_BYTES or declared > _PACKING * stored + 4096:
            raise FormatError(where, f"it declares {declared:,} bytes and holds {stored:,}", self.remedy)
        value = item[()]
        return value.decode("utf8") if isinstance(value, bytes) else value
