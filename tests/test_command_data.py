"""Data files as people have them: what is read, and what a refusal tells them to write instead; bad input loads no torch."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuro.cli.inputs import read_data, read_inputs
from neuro.errors import InputError, NeuroError, UsageError, one_of
from neuro.locating import locate
from neuro.studies.data import check_classes
from tests.commands import NET, here

ROOT = Path(__file__).parent.parent
X = np.ones((4, 3), np.float32)
NAMES = ["ant", "bee", "cat"]
LABELS = {
    "text": ({"y": ["ant", "bee", "ant", "cat"]}, "it holds names .'ant', ....*Add an array 'classes'.*or pass class numbers"),
    "text not in the classes": (
        {"y": ["ant", "bee", "ant", "dog"], "classes": NAMES},
        "'dog' is not in 'classes'. Use ant, bee, cat",
    ),
    "classes twice": ({"y": ["ant"] * 4, "classes": ["ant", "bee", "ant"]}, "a name is in it twice"),
    "classes as numbers": ({"y": ["ant"] * 4, "classes": [1, 2]}, "its shape is .2,., its type int64"),
    "classes in a table": ({"y": ["ant"] * 4, "classes": [NAMES]}, "classes: its shape is .1, 3."),
    "fewer classes than numbers": ({"y": [0, 1, 2, 3], "classes": NAMES}, "class 3, and 'classes' has 3"),
    "whole fractions": ({"y": [0.0, 1.0, 2.0, 1.0]}, r"float64. Pass y.astype\(int\)"),
    "fractions": ({"y": [0.5, 1.0, 2.0, 1.0]}, r"Pass class numbers 0, 1, 2, ... as whole numbers"),
    "NaN": ({"y": [np.nan, 1.0, 2.0, 1.0]}, "leave out samples without a class"),
    "truth values": ({"y": [True, False, True, True]}, r"bool. Pass y.astype\(int\)"),
    "one row for each": ({"y": np.eye(3)[[0, 1, 2, 0]]}, r"\(4, 3\) for 4 samples.*y.argmax\(axis=1\)"),
    "a column": ({"y": [[0], [1], [2], [0]]}, r"that is y\[:, 0\]"),
    "negative": ({"y": [0, -1, 1, 2]}, "it goes from -1 to 2. Pass class numbers 0, 1, 2, ..., and leave out"),
    "huge": ({"y": np.array([0, 2**63, 1, 2], np.uint64)}, "it goes from 0 to 9223372036854775808"),
    "too few": ({"y": [0, 1]}, r"its shape is \(2,\) for 4 samples"),
    "none": ({"y": []}, r"its shape is \(0,\)"),
}


def written(folder: Path, **arrays: object) -> Path:
    path = folder / "data.npz"
    np.savez(path, **{name: np.asarray(array) for name, array in arrays.items()})
    return path


@pytest.mark.parametrize("kind", LABELS)
def test_labels_that_are_no_class_numbers_are_refused(kind, tmp_path) -> None:
    arrays, said = LABELS[kind]
    path = written(tmp_path, x=X, **arrays)
    with pytest.raises(InputError, match=said):
        read_data(path)
    assert (read_inputs(path) == X).all(), "of typical inputs nobody asks the classes"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("data")


@given(
    order=st.lists(st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=4), min_size=1, max_size=6, unique=True),
    drawn=st.lists(st.integers(0, 5), min_size=1, max_size=8),
    as_bytes=st.booleans(),
)
def test_names_of_classes_become_their_places_and_not_those_of_the_alphabet(folder, order, drawn, as_bytes) -> None:
    places = [number % len(order) for number in drawn]
    names = [order[place] for place in places]
    coded = [name.encode() for name in names] if as_bytes else names
    found = read_data(written(folder, x=np.ones((len(names), 2)), y=coded, classes=order)).y
    assert found is not None
    assert found.tolist() == places


def test_classes_of_a_network_bound_the_labels() -> None:
    check_classes("--data", None, 2)
    check_classes("--data", np.array([0, 1]), 2)
    with pytest.raises(InputError, match="class 2 for a network of 2 classes. Use 0 to 1, that is y - 1"):
        check_classes("--data", np.array([1, 2]), 2)
    with pytest.raises(InputError, match=r"class 2 for a network of 2 classes. Use 0 to 1\.$"):
        check_classes("--data", np.array([0, 2]), 2)


ARRAYS = {
    "other names": ({"images": X, "labels": [0, 1, 2, 0]}, r"x=a\['images'\], y=a\['labels'\]\) and pass data.npz"),
    "nothing": ({}, "it holds nothing"),
    "complex": ({"x": X + 1j}, "it holds complex numbers .complex64.. Pass real numbers"),
    "text": ({"x": [["a"], ["b"]]}, "it holds text"),
    "one axis": ({"x": [1.0, 2.0]}, r"its shape is \(2,\). .*x\[:, None\] if each number is a sample, x\[None\]"),
    "no samples": ({"x": X[:0]}, r"its shape is \(0, 3\): there are no numbers"),
    "samples of nothing": ({"x": X[:, :0]}, r"its shape is \(4, 0\)"),
    "NaN": ({"x": [[1.0, np.nan], [1.0, 2.0]]}, "1 of 2 samples hold NaN or infinity"),
    "more than float32 can hold": ({"x": [[1e300, 1.0]]}, r"values of up to 1e\+300 exceed"),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_inputs_that_cannot_be_used_are_refused(kind, tmp_path) -> None:
    arrays, said = ARRAYS[kind]
    with pytest.raises(NeuroError, match=said):
        read_data(written(tmp_path, **arrays))


def test_of_names_that_could_be_either_none_is_taken(tmp_path) -> None:
    """They may be the inputs of a network with several; one with one input says what it takes."""
    found = read_data(written(tmp_path, x_train=X, x_test=X))
    with pytest.raises(NeuroError, match=r"the network takes x; the data hold x_train, x_test\. Write numpy.savez"):
        found.named(("x",))


def test_other_files_are_told_how_to_become_data(tmp_path) -> None:
    np.save(tmp_path / "x.npy", X)
    with pytest.raises(NeuroError, match=r"it is one array .*savez\(\"data.npz\", x=numpy.load\('x.npy'\), y=y\)"):
        read_data(tmp_path / "x.npy")
    (tmp_path / "x.npz").write_bytes(b"")
    with pytest.raises(NeuroError, match="it is empty"):
        read_data(tmp_path / "x.npz")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mine.py", "it names a file.*Write it like mine.py:small"),
        ("mine", "neither a file nor package.module:callable"),
        (":net", "neither a file"),
        ("mine:", "neither a file"),
        ("mine:net()", "'net..' is no name in Python"),
        ("my-nets:net", "'my-nets' is no module's name"),
        (".mine:net", "no module's name"),
        ("./gone:net", "there is no file 'gone.py'"),
        ("gone.py:net", "there is no file 'gone.py'"),
        ("gone.of.here:net", "there is no module 'gone'"),
    ],
)
def test_names_of_code_that_lead_nowhere_are_refused(name, said, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=said):
        locate(name)


@pytest.mark.parametrize(
    "name", ["./deep/mymodel:net", "deep/mymodel.py:net", "mymodel.py:net", "mymodel:net", "deep.mymodel:net"]
)
def test_code_is_found_by_path_and_by_name(name, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("deep").mkdir()
    for path in (Path("mymodel.py"), Path("deep/mymodel.py")):
        path.write_text(NET)
    sources = [path.resolve() for path in locate(name).sources() if path.exists()]
    assert sources == [Path("deep/mymodel.py" if "deep" in name else "mymodel.py").resolve()]


def test_unknown_names_are_answered_with_the_nearest() -> None:
    assert one_of("Lohi2", ["loihi2", "speck"]) == "Did you mean 'loihi2'? Use one of loihi2, speck"
    assert one_of("zzz", ["loihi2", "speck"], " or a file") == "Use one of loihi2, speck or a file"
    assert str(UsageError("here", "no", "Use 0, 1, 2, ...")) == "here: no. Use 0, 1, 2, ..."


def test_text_labels_end_a_command_in_one_paragraph(tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "mymodel.py").write_text(NET)
    written(tmp_path, x=X, y=list("abca"))
    status, printed, errors = here(monkeypatch, capsys, tmp_path, "run", "mymodel.py:net", "--data", "data.npz")
    assert (status, printed, errors.count("\n")) == (2, "", 1)
    assert "it holds names ('a', ...)" in errors


REFUSED = """
run mymodel.py:net --data gone.npz
run mymodel.py:net --data text.npz
run mymodel.py:net --data data.npz --chip lohi2
run mymodel.py:net --data data.npz --code morse
run mymodel.py:net --data data.npz --board big
run mymodel.py:net --data data.npz --within 0
run mymodel.py:net --data data.npz --weights gone.pt
run mymodel.py:net --data data.npz --weights data.npz
run mymodel.py:net --data data.npz --calibration gone.npz
run mymodel.py:net --data data.npz --json data.npz
run mymodel.py:net --data data.npz --report -
run mymodel.py:net --data data.npz --nir-writer nir
run nomodel:net --data data.npz
run weights.pt --data data.npz
run gone.onnx --data data.npz
run gone.nir --data data.npz --nir-writer nobody
run gone.safetensors --data data.npz
compare mymodel.py:net --data data.npz --machine abacus
compare mymodel.py:net --data data.npz --figure f.svg
compare --table 1 --machine a100
compare --table 2 --weights weights.pt --data data.npz
compare --roofline --batch 3
compare --roofline --figure -
sweep mymodel.py:net --data gone.npz
sweep mymodel.py:net --data data.npz
sweep mymodel.py:net --data labelled.npz --chip lohi2
sweep mymodel.py:net --data labelled.npz --code morse
sweep --weights weights.pt
sweep --out data.npz
faults mymodel.py:net --data text.npz
faults mymodel.py:net --data data.npz --kind rust
faults mymodel.py:net --data data.npz --rate inf
faults mymodel.py:net --data data.npz --rate 2
faults --weights weights.pt
faults --chip lohi2
demo --chip lohi2
demo --code auto
inspect gone.safetensors
inspect data.npz --chip lohi2
inspect data.npz --pictures data.npz --chip loihi2
inspect data.npz --pictures a/b/c --chip loihi2
inspect data.npz --board auto
chips lohi2
machines a1000
machines --validate --points gone.csv
keywords train --word yes --model big
keywords train --word yes --data gone
keywords train --word a/b
keywords listen gone.wav
keywords listen data.npz --threshold 2
keywords listen --mic --json out.json
"""
PROGRAM = """
import sys
from neuro.cli import main
for line in sys.stdin:
    sys.argv = ["neuro", *line.split()]
    try:
        main()
        print("not refused:", line)
    except SystemExit as end:
        if end.code != 2 or "torch" in sys.modules:
            print(end.code, "torch" in sys.modules, line)
"""


def test_what_is_refused_is_refused_in_one_line_before_torch_is_loaded(tmp_path) -> None:
    (tmp_path / "mymodel.py").write_text(NET)
    np.savez(tmp_path / "data.npz", x=X)
    np.savez(tmp_path / "text.npz", x=X, y=list("abca"))
    np.savez(tmp_path / "labelled.npz", x=X, y=[0, 1, 2, 0])
    (tmp_path / "weights.pt").write_bytes(b"PK\3\4")
    before = {path.name for path in tmp_path.iterdir()}
    lines = REFUSED.strip()
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}){PROGRAM}"]
    done = subprocess.run(command, cwd=tmp_path, input=lines, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "", done.stdout
    told = done.stderr.splitlines()
    assert len(told) == lines.count("\n") + 1, done.stderr
    assert all(line.startswith("neuro: ") for line in told), done.stderr
    assert {path.name for path in tmp_path.iterdir()} - {"__pycache__"} == before
