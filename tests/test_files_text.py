"""Text files as other systems save them: a byte order mark is read as without it, other encodings are refused by name."""

import codecs
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neuro
from neuro.bundles import save_parts
from neuro.errors import FormatError, NeuroError
from neuro.machines.points import read_points
from neuro.reading import json_object, read_text
from tests.commands import here

CHIP = '[chip]\nbase = "loihi2"\nname = "mine"\ntitle = "mine, größer"\n'
POINTS = (Path(neuro.__file__).parent / "machines" / "measured.csv").read_text(encoding="utf-8")
MACHINE = (Path(neuro.__file__).parent / "machines" / "catalogue" / "a100.toml").read_text(encoding="utf-8")
READERS = {
    "chip": (CHIP, neuro.load_chip),
    "machine": (MACHINE + "\n# größer\n", neuro.load_machine),
    "points": (POINTS, read_points),
}


def written(tmp_path: Path, kind: str, encoding: str) -> Path:
    path = tmp_path / ("mine.csv" if kind == "points" else "mine.toml")
    path.write_bytes(READERS[kind][0].encode(encoding))
    return path


@pytest.mark.parametrize("kind", READERS)
def test_a_byte_order_mark_changes_nothing(tmp_path: Path, kind: str) -> None:
    read = READERS[kind][1]
    plain = read(written(tmp_path, kind, "utf-8"))
    marked = read(written(tmp_path, kind, "utf-8-sig"))
    sources = [value.to_source() if hasattr(value, "to_source") else repr(value) for value in (marked, plain)]
    assert sources[0] == sources[1]


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"])
def test_other_encodings_are_refused_by_the_name_of_the_file(tmp_path: Path, kind: str, encoding: str) -> None:
    path = (
        written(tmp_path, kind, encoding) if encoding != "latin-1" else tmp_path / f"mine.{'csv' if kind == 'points' else 'toml'}"
    )
    if encoding == "latin-1":
        path.write_bytes(READERS[kind][0].encode("utf-8").replace(b"mine", b"gr\xf6\xdfe").replace(b"id,", b"\xf6d,"))
        path.write_bytes(path.read_bytes() + b"\n# \xf6")
    with pytest.raises(NeuroError, match=r"mine\.(toml|csv).*UTF-8"):
        READERS[kind][1](path)


def test_the_encoding_is_named_where_the_mark_tells_it(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(codecs.BOM_UTF16_LE + "größe".encode("utf-16-le"))
    with pytest.raises(FormatError, match="UTF-16, not in UTF-8. Save it again as UTF-8"):
        read_text(path)


@given(st.text(alphabet=st.characters(exclude_characters="\r\0\ufeff", exclude_categories=["Cs"])))
def test_text_is_read_as_it_was_written(tmp_path_factory, text: str) -> None:
    path = tmp_path_factory.mktemp("text") / "a.txt"
    for encoding in ("utf-8", "utf-8-sig"):
        path.write_bytes(text.encode(encoding))
        assert read_text(path) == text


def test_a_chip_file_from_windows_is_shown(monkeypatch, capsys, tmp_path: Path) -> None:
    (tmp_path / "bom.toml").write_bytes(CHIP.replace("\n", "\r\n").encode("utf-8-sig"))
    status, _, errors = here(monkeypatch, capsys, tmp_path, "chips", "bom.toml")
    assert (status, errors) == (0, "")


def test_a_network_with_a_projection_without_synapses_is_shown(monkeypatch, capsys, tmp_path: Path) -> None:
    none = np.zeros(0, int)
    populations = (neuro.Population("in", (2,), neuro.Source()), neuro.Population("r", (2,), neuro.Readout()))
    joined = (neuro.Sparse("in", "r", (none, none, none)), neuro.Dense("in", "r", np.eye(2, dtype=int)))
    neuro.Network(populations, joined, timesteps=2).save(tmp_path / "n.safetensors")
    status, printed, _ = here(monkeypatch, capsys, tmp_path, "inspect", "n.safetensors", "--json", "n.json")
    rows = json_object((tmp_path / "n.json").read_text())["projections"]
    assert status == 0
    assert "none" in printed
    assert [row["least_weight"] for row in rows] == [None, 0]
    assert json.dumps(rows)


def test_what_no_file_holds_is_refused(tmp_path) -> None:
    with pytest.raises(FormatError, match="object: no file holds it"):
        save_parts({"a": object()}, tmp_path / "a.safetensors", "things")
    assert not (tmp_path / "a.safetensors").exists()
