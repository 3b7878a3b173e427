"""No command replaces what it reads, or writes two results to one file; what cannot be written is refused before any work."""

import os
from pathlib import Path

import numpy as np
import pytest

import neuro
from neuro.cli.paths import check_files
from neuro.errors import FormatError, UsageError
from neuro.files import write_text
from tests.commands import NET, here

MODEL = ("mymodel.py:net", "--data", "data.npz", "--weights", "w.pt", "--calibration", "typical.npz")
READ = {  # command: its arguments, the files that it reads, and the options of its results
    "run": (("run", *MODEL, "--chip", "chip.toml"), "data.npz w.pt typical.npz chip.toml mymodel.py", "--json --report"),
    "run saved": (("run", "net.safetensors", "--data", "data.npz"), "data.npz net.safetensors", "--json --report"),
    "compare": (("compare", *MODEL, "--machine", "m.toml"), "data.npz w.pt typical.npz m.toml mymodel.py", "--json --csv"),
    "compare table": (("compare", "--table", 1, *MODEL[1:], "--chip", "chip.toml"), "data.npz w.pt chip.toml", "--json --csv"),
    "faults": (("faults", *MODEL, "--chip", "chip.toml"), "data.npz w.pt chip.toml mymodel.py", "--json --report --figure"),
    "sweep": (("sweep", *MODEL, "--chip", "loihi2,chip.toml"), "data.npz w.pt typical.npz chip.toml mymodel.py", "--json"),
    "demo": (("demo", "--chip", "chip.toml"), "chip.toml", "--json --report"),
    "inspect": (("inspect", "net.safetensors", "--chip", "chip.toml"), "net.safetensors chip.toml", "--json"),
    "chips": (("chips", "chip.toml"), "chip.toml", "--json"),
    "chips check": (("chips", "check", "chip.toml"), "chip.toml", "--json"),
    "machines": (("machines", "m.toml"), "m.toml", "--json"),
    "machines validate": (("machines", "--validate", "--points", "points.csv"), "points.csv", "--json"),
    "keywords train": (
        ("keywords", "train", "--word", "yes", "--data", "clips"), "clips/yes/a_nohash_0.wav", "--out --json --figure"
    ),
    "keywords listen": (
        ("keywords", "listen", "a.wav", "--spotter", "net.safetensors", "--chip", "chip.toml"),
        "a.wav net.safetensors chip.toml", "--json --figure",
    ),
    "keywords learn": (
        ("keywords", "learn", "--word", "new", "a.wav", "--chip", "chip.toml"), "a.wav chip.toml", "--out --json"
    ),
}  # fmt: skip
REPLACED = [
    (what, read, option)
    for what, (_, reads, options) in READ.items()
    for read in reads.split()
    for option in options.split()
    if read == reads.split()[0] or option == options.split()[0]
]


@pytest.fixture
def desk(tmp_path, monkeypatch) -> Path:
    """A folder with a file for each thing that a command reads; most are never opened."""
    monkeypatch.chdir(tmp_path)
    Path("mymodel.py").write_text(NET)
    np.savez("data.npz", x=np.ones((2, 4), np.float32))
    Path("clips/yes").mkdir(parents=True)
    for name in (
        "w.pt",
        "typical.npz",
        "chip.toml",
        "m.toml",
        "net.safetensors",
        "points.csv",
        "a.wav",
        "clips/yes/a_nohash_0.wav",
    ):
        Path(name).write_text(name)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(("what", "read", "option"), REPLACED)
def test_no_result_replaces_what_a_command_reads(what, read, option, desk, monkeypatch, capsys) -> None:
    before = contents(desk)
    status, printed, errors = here(monkeypatch, capsys, desk, *READ[what][0], option, read)
    assert (status, printed, errors.count("\n")) == (2, "", 1), errors
    assert "it would replace" in errors
    assert f"{option} {read}" in errors
    assert contents(desk) == before


@pytest.mark.parametrize("what", [what for what, (_, _, options) in READ.items() if " " in options])
def test_no_two_results_go_to_one_file(what, desk, monkeypatch, capsys) -> None:
    arguments, _, options = READ[what]
    one, other = options.split()[:2]
    status, printed, errors = here(monkeypatch, capsys, desk, *arguments, one, "out", other, "./out")
    assert (status, printed) == (2, "")
    assert "goes there too" in errors
    assert not (desk / "out").exists()


def test_a_sweep_replaces_nothing_with_the_files_of_its_folder(desk, monkeypatch, capsys) -> None:
    Path("out").mkdir()
    os.rename("data.npz", "out/result.json")
    status, _, errors = here(monkeypatch, capsys, desk, "sweep", "mymodel.py:net", "--data", "out/result.json", "--out", "out")
    assert status == 2
    assert "it would replace --data (out/result.json)" in errors
    status, _, errors = here(monkeypatch, capsys, desk, "sweep", "--out", "out", "--json", "out/journal.jsonl")
    assert status == 2
    assert "goes there too" in errors


SPELT = {
    "the same": lambda path: path,
    "with a dot": lambda path: f"./{path}",
    "through another folder": lambda path: f"clips/../{path}",
    "absolute": lambda path: os.path.abspath(path),
    "a link": lambda path: os.symlink(path, "other") or "other",
    "a link to a link": lambda path: os.symlink(path, "one") or os.symlink("one", "other") or "other",
    "a hard link": lambda path: os.link(path, "other") or "other",
    "through a linked folder": lambda path: os.symlink(".", "here") or f"here/{path}",
}


@pytest.mark.parametrize("how", SPELT)
def test_every_spelling_of_a_path_is_seen_through(how, desk) -> None:
    spelt = Path(SPELT[how]("data.npz"))
    with pytest.raises(UsageError, match="it would replace --data"):
        check_files({"--json": spelt}, {"--data": Path("data.npz")})
    with pytest.raises(UsageError, match="it would replace --data"):
        check_files({"--json": Path("data.npz")}, {"--data": spelt})
    with pytest.raises(UsageError, match="--json goes there too"):
        check_files({"--json": spelt, "--csv": Path("data.npz")})
    check_files({"--json": spelt}, {"--data": Path("w.pt"), "--chip": "loihi2"})


def test_what_cannot_be_written_is_refused(desk, monkeypatch) -> None:
    os.mkfifo("pipe")
    for path, said in (("clips", "it is a folder"), ("pipe", "a pipe or device"), ("/dev/null", "a pipe or device"),
                       ("no/where", "its folder does not exist"), ("w.pt/x", "its folder does not exist"),
                       ("x" * 300, "cannot be a file"), ("a\0b", "cannot be a file"), ("", "it is a folder")):  # fmt: skip
        with pytest.raises(FormatError, match=said):
            check_files({"--json": Path(path)})
    for results, said in (({"--report": Path("-")}, "--report: it cannot go to standard output"),
                          ({"--json": Path("-"), "--csv": Path("-")}, "both would go to standard output")):  # fmt: skip
        with pytest.raises(UsageError, match=said):
            check_files(results)
    check_files({"--json": Path("-"), "--csv": Path("new.csv"), "--report": None})
    monkeypatch.setattr(os, "access", lambda path, how: False)  # whoever runs this test may be allowed everything
    with pytest.raises(FormatError, match=r"out.json: its folder cannot be written to. Choose another folder"):
        check_files({"--json": desk / "out.json"})


def test_a_link_stays_a_link(desk) -> None:
    os.symlink("a.wav", "link")
    write_text("link", "new")
    assert Path("link").is_symlink()
    assert Path("a.wav").read_text() == "new"


def test_base_of_chip_names_is_not_a_file(desk) -> None:
    """A chip named by its name is no input file, even where a file of that name lies about."""
    Path("loihi2").write_text("notes")
    assert neuro.load_chip("loihi2").name == "loihi2"
