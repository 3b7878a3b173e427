"""The `neuro` command as a person meets it: help, lists, bad input, Ctrl-C."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

import neuro
from tests.commands import NEURO, ROOT, call, here, refused


def test_help_loads_nothing_heavy() -> None:
    heavy = ("numpy", "torch", "rich", "matplotlib", "scipy", "numba", "jinja2")
    program = f"import sys, neuro.cli; sys.exit(', '.join(name for name in {heavy} if name in sys.modules) or None)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def loaded(program: str, names: tuple[str, ...], folder: Path) -> list[str]:
    """Which of some modules a program loads, in a process of its own."""
    told = f"import sys\n{program}\nprint([name for name in {names} if name in sys.modules], file=sys.stderr)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", told], cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return list(ast.literal_eval(done.stderr.splitlines()[-1]))


def command(*arguments: object) -> str:
    """A program that runs `neuro ARGUMENTS` and goes on."""
    argv = ["neuro", *map(str, arguments)]
    return (
        f"from contextlib import suppress\nfrom neuro.cli import main\nsys.argv = {argv}\nwith suppress(SystemExit):\n    main()"
    )


def test_a_saved_network_runs_without_torch_or_matplotlib(tmp_path: Path) -> None:
    """Which take seconds to import, and which a network that is spiking already has no use for unless a page is asked for."""
    network = ROOT / "tests" / "golden" / "digits_network.safetensors"
    np.savez(tmp_path / "test.npz", x=np.zeros((2, 1, 8, 8)), y=np.zeros(2, int))
    program = command("run", network, "--data", "test.npz", "--quiet")
    slow = ("torch", "matplotlib", "scipy.special", "scipy.sparse.csgraph", "converters", "neuro.cli.sweep", "neuro.cli.demo")
    assert loaded(program, slow, tmp_path) == []


def test_chips_are_listed_without_arrays_and_the_other_commands(tmp_path: Path) -> None:
    slow = ("numpy", "scipy", "numba", "torch", "neuro.cli.run", "neuro.cli.keywords", "neuro.network")
    assert loaded(command("chips"), slow, tmp_path) == []
    assert loaded(command("chips", "loihi2"), slow, tmp_path) == []


def test_the_package_and_the_converters_load_only_what_they_need(tmp_path: Path) -> None:
    """A trace records calls by itself: torch's compilers are some 1,300 modules."""
    assert loaded("import neuro", ("numpy", "scipy", "numba", "torch", "rich"), tmp_path) == []
    trace = """
import numpy as np, torch, converters
converters.trace(torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU()), np.zeros((1, 2), np.float32))
"""
    assert loaded(trace, ("torch._inductor", "torch._dynamo", "onnx", "nir", "h5py", "matplotlib", "sympy"), tmp_path) == []


def test_help_shows_examples_and_every_command() -> None:
    shown = call("--help").stdout
    assert "Examples:" in shown
    for command in ("demo", "run", "compare", "sweep", "inspect", "chips", "machines"):
        assert command in shown
        assert call(command, "--help").returncode == 0


def test_version() -> None:
    assert call("--version").stdout == f"neuro-emulator {neuro.__version__}\n"


def test_no_colour_and_no_padding_when_piped() -> None:
    for shown in (call("machines").stdout, call("chips", "loihi2").stdout):
        assert "\x1b" not in shown
        assert not any(line.endswith(" ") for line in shown.splitlines())


def test_machines_as_json() -> None:
    listed = json.loads(call("machines", "--json", "-").stdout)
    assert {"a100", "tpu-v1", "tpu-v4", "stratix-10-nx", "xeon"} <= {machine["name"] for machine in listed}
    assert all(figure["source"] for machine in listed for figure in machine["figures"].values())


def test_the_help_of_run_fits_two_screens(monkeypatch, capsys, tmp_path) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    status, printed, _ = here(monkeypatch, capsys, tmp_path, "run", "--help")
    assert status == 0
    options = printed[: printed.index("Examples:")].splitlines()
    assert len(printed.splitlines()) <= 2 * 40
    assert max(map(len, options)) <= 80


def test_inspect_a_saved_network(tmp_path) -> None:
    network = neuro.Network(
        populations=(
            neuro.Population("in", (3,), neuro.Source()),
            neuro.Population("out", (2,), neuro.IntegrateAndFire(threshold=4)),
        ),
        projections=(neuro.Dense("in", "out", np.array([[1, -2], [3, 4], [5, 6]])),),
        timesteps=7,
    )
    network.save(tmp_path / "net.safetensors")
    shown = json.loads(call("inspect", tmp_path / "net.safetensors", "--json", "-").stdout)
    assert (shown["synapses"], shown["timesteps"], shown["projections"][0]["least_weight"]) == (6, 7, -2)
    assert "in -> out" in call("inspect", tmp_path / "net.safetensors").stdout


def test_unknown_names_are_refused(tmp_path) -> None:
    refused(call("machines", "abacus"), "abacus", "a100")
    refused(call("inspect", tmp_path / "none.safetensors"), "there is no such file")
    (tmp_path / "bad.safetensors").write_bytes(b"not tensors")
    refused(call("inspect", tmp_path / "bad.safetensors"), "not a readable safetensors file")


def test_unknown_option_is_a_usage_error() -> None:
    result = call("machines", "--colour")
    assert result.returncode == 2
    assert "--colour" in result.stderr
    assert "Traceback" not in result.stderr


def test_completion_knows_names() -> None:
    for words, expected in (
        ("neuro run --chip ", "loihi2"),
        ("neuro machines a", "a100"),
        ("neuro demo --code ", "graded"),
        ("neuro sweep --code rate,g", "rate,graded"),
    ):
        asked = {"_NEURO_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
        environment = {**os.environ, **asked, "PYTHONPATH": str(ROOT)}
        done = subprocess.run([*NEURO], env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert expected in done.stdout.split()


def test_every_command_shows_an_example() -> None:
    for command in ("demo", "run", "compare", "sweep", "inspect", "chips", "machines"):
        assert f"neuro {command}" in call(command, "--help").stdout.split("Examples:")[1]


def test_check_explains_a_chip_file(tmp_path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text('[chip]\nbase = "loihi2"\nname = "mine"\n')
    assert "no mistakes" in call("chips", "check", mine).stdout
    mine.write_text('[chip]\nbase = "loihi2"\nname = "mine"\n[core]\nneurons = 3\nbanana = 1\n')
    done = call("chips", "check", mine)
    refused(done, "2 mistakes")
    assert "core.neurons" in done.stdout
    assert "core.banana" in done.stdout
    assert len(json.loads(call("chips", "check", mine, "--json", "-").stdout)) == 2
    refused(call("chips", "check"), "neuro chips check FILE")
    refused(call("chips", "loihi2", mine), "neuro chips check FILE")


def test_inspect_places_and_draws(tmp_path) -> None:
    source = neuro.Population("in", (4,), neuro.Source("rate", levels=3))
    network = neuro.Network(
        (source, neuro.Population("out", (3,), neuro.Readout())), (neuro.Dense("in", "out", np.eye(4, 3, dtype=int)),)
    )
    network.save(tmp_path / "net.safetensors")
    done = call("inspect", tmp_path / "net.safetensors", "--chip", "loihi2", "--pictures", tmp_path / "placed", "--json", "-")
    placed = json.loads(done.stdout)["placement"]
    assert (placed["cores_used"], placed["packets"]) == (2, 4)
    assert {p.name for p in (tmp_path / "placed").iterdir()} == {"fill.svg", "links.svg"}
    refused(call("inspect", tmp_path / "net.safetensors", "--pictures", tmp_path), "--chip")
    refused(call("inspect", tmp_path / "net.safetensors", "--chip", "loihi2", "--board", "huge"), "auto")


def test_a_board_grows_with_the_network_on_request(tmp_path) -> None:
    chip = tmp_path / "small.toml"
    entry = '{ value = %d, unit = "%s", basis = "assumed", source = "test" }'
    mesh = "".join(
        f"{name} = {entry % (1, unit)}\n" for name, unit in (("width", "tiles"), ("height", "tiles"), ("cores_per_tile", "cores"))
    )
    chip.write_text(f'[chip]\nbase = "loihi2"\nname = "small"\n[mesh]\n{mesh}[core]\nneurons = {entry % (5, "neurons")}\n')
    source = neuro.Population("in", (8,), neuro.Source("rate", levels=3))
    projection = neuro.Dense("in", "out", np.ones((8, 3), int))
    neuro.Network((source, neuro.Population("out", (3,), neuro.Readout())), (projection,), timesteps=4).save(
        tmp_path / "net.safetensors"
    )
    np.savez(tmp_path / "data.npz", x=np.ones((2, 8), int))
    given = ("run", tmp_path / "net.safetensors", "--data", tmp_path / "data.npz", "--chip", chip, "--quiet", "--json", "-")
    refused(call(*given), "board")
    grown = json.loads(call(*given, "--board", "auto").stdout)
    assert grown["chip"].startswith("small (")
    assert grown["cores_used"] == 3
    refused(call(*given, "--board", "many"), "auto")
