"""`neuro chips` and `neuro machines` list and show, with sources; what a command needs and has not is told; how one is ended."""

import json
import signal
import socket
import sys
import threading

import numpy as np
import pytest

import neuro
from neuro import compiling
from neuro.cli import interrupt, output
from neuro.cli.output import console, working
from neuro.compiled import recompiled
from tests.commands import here


def test_chips_are_listed(tmp_path, monkeypatch, capsys) -> None:
    status, printed, errors = here(monkeypatch, capsys, tmp_path, "chips", "--json", "chips.json")
    assert status == 0, errors
    listed = json.loads((tmp_path / "chips.json").read_text())
    assert [chip["name"] for chip in listed] == list(neuro.list_chips())
    for chip in listed:
        assert chip["title"].split()[0] in printed
        assert f"{chip['cores']:,}" in printed
        assert chip["programs"]


@pytest.mark.parametrize("name", ["loihi2", "spinnaker2", "speck"])
def test_a_chip_is_shown_with_sources(name, tmp_path, monkeypatch, capsys) -> None:
    status, printed, errors = here(monkeypatch, capsys, tmp_path, "chips", name, "--json", "chip.json")
    assert status == 0, errors
    shown, chip = json.loads((tmp_path / "chip.json").read_text()), neuro.load_chip(name)
    assert (shown["name"], shown["scope"]) == (name, chip.scope)
    figures = {row["field"]: row for row in shown["fields"]}
    assert figures["core.neurons"]["value"] == chip.core.neurons
    assert all(row["source"] for row in shown["fields"] if row["value"] is not None)
    assert "Caution: " in printed
    words = " ".join(printed.split())
    assert f"core.neurons {chip.core.neurons} " in words
    assert ("unknown" in words) == any(row["value"] is None for row in shown["fields"])


@pytest.mark.parametrize("name", ["a100", "tpu-v1", "xeon"])
def test_a_machine_is_shown_with_what_backs_it(name, tmp_path, monkeypatch, capsys) -> None:
    status, printed, errors = here(monkeypatch, capsys, tmp_path, "machines", name, "--json", "machine.json")
    assert status == 0, errors
    machine, shown = neuro.load_machine(name), json.loads((tmp_path / "machine.json").read_text())
    assert shown["figures"].keys() == machine.figures.keys()
    assert all(figure in printed for figure in machine.figures)
    backed = machine.validated or "none, its figures are not validated"
    assert f"Measurements that back the model: {backed}." in " ".join(printed.split())


def test_progress_is_shown_on_a_terminal_alone(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "90")
    with working("loading") as work:
        work.step("counting spikes")
        work.advance(1, 2)
        work.advance(2, 2)
    shown = capsys.readouterr()
    assert "counting spikes" in shown.err
    assert shown.out == ""
    with working("loading", quiet=True) as work:
        work.step("counting spikes")
    assert capsys.readouterr().err == ""


def test_whoever_waits_for_kernels_to_be_compiled_is_told(monkeypatch, capsys) -> None:
    """What is compiled is counted on a terminal; a log gets one line, and none for a kernel or two that were missing."""

    def waiting(kernels: int, quiet: bool = False) -> str:
        with working("running 64 samples", quiet=quiet):
            for count in range(1, kernels + 1):
                compiling.tell(count)
        compiling.tell(kernels + 1)  # nobody listens any more
        return capsys.readouterr().err

    assert waiting(2) == ""
    assert waiting(70).count("compiling kernels, once for this installation") == waiting(70).count("\n") == 1
    assert waiting(70, quiet=True) == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "150")
    assert "(70 done)" in waiting(70)


@pytest.mark.compiled
def test_the_compiler_says_what_it_compiles() -> None:
    heard: list[int] = []
    with compiling.told(heard.append):
        recompiled(lambda x: x + 1)(1)
    assert heard


def test_a_console_is_as_wide_as_its_terminal(monkeypatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert console().width == output.PIPED_WIDTH
    monkeypatch.setenv("COLUMNS", "70")
    assert console().width == 70


class Ended(BaseException):
    """In place of the end of the process."""


@pytest.mark.parametrize(("number", "status", "said"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")])
def test_a_signal_that_python_does_not_act_on_ends_the_process(number, status, said, monkeypatch, capfd) -> None:
    ends: list[int] = []

    def end(with_status: int) -> None:
        ends.append(with_status)
        raise Ended

    monkeypatch.setattr(interrupt.os, "_exit", end)
    monkeypatch.setattr(interrupt, "PATIENCE_S", 0.0)
    listen, wake = socket.socketpair()
    with wake:
        wake.send(bytes([signal.SIGCHLD, number]))  # the first is nobody's business
        with pytest.raises(Ended):
            interrupt._end_when_told(listen, threading.Event())
    assert ends == [status]
    assert capfd.readouterr().err == f"\nneuro: {said}\n"


def test_a_command_that_is_terminated_says_so_by_its_status() -> None:
    with pytest.raises(SystemExit) as ended, interrupt.ends_within_a_second():
        signal.raise_signal(signal.SIGTERM)
    assert ended.value.code == interrupt.TERMINATED == 143
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_notes_of_a_network_are_shown(tmp_path, monkeypatch, capsys) -> None:
    populations = (neuro.Population("in", (2,), neuro.Source("rate", levels=3)), neuro.Population("out", (2,), neuro.Readout()))
    projections = (neuro.Dense("in", "out", np.eye(2, dtype=int)),)
    neuro.Network(populations, projections, notes=("made by hand",)).save(tmp_path / "net.safetensors")
    status, printed, errors = here(monkeypatch, capsys, tmp_path, "inspect", "net.safetensors", "--chip", "loihi2")
    assert status == 0, errors
    assert "Note: made by hand" in printed
    assert "cores of loihi2" in printed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.safetensors"]
