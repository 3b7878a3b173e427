"""The README's Python runs as it stands, its commands exist, and its figure and output are there."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_ten_lines_of_python(tmp_path, monkeypatch, capsys) -> None:
    programs = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(programs) == 2
    program = "\n".join(programs)
    statements = [line for line in program.splitlines() if line and not line.startswith(("import", "from"))]
    assert len(statements) <= 10
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(program, "README.md", "exec"), names)
    assert "loihi2" in capsys.readouterr().out
    page = (tmp_path / "report.html").read_text()
    assert '<section id="comparison">' in page
    study, by_hand = names["study"], names["chip_run"]
    assert study.accuracy > 0.97
    assert (study.trial.chip_run.run.logits == by_hand.run.logits).all()
    assert study.trial.chip_run.bill == by_hand.bill


def test_files_it_points_to_exist() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / target).exists(), target


def test_commands_it_names_exist() -> None:
    named = set(re.findall(r"(?:^    |`)neuro (\w+)", README, re.MULTILINE))
    assert {"run", "chips", "machines"} <= named
    listed = subprocess.run(
        [sys.executable, "-m", "neuro", "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    commands = set(re.findall(r"^  (\w+) ", listed.stdout, re.MULTILINE))
    assert named <= commands
    targets = {name for pair in re.findall(r"`make (\w+)`|^    make (\w+)", README, re.MULTILINE) for name in pair if name}
    assert {f"{target}:" for target in targets} <= {line.split(" ")[0] for line in (ROOT / "Makefile").read_text().splitlines()}


def test_output_shown_is_of_this_version() -> None:
    shown = README.split("<!-- demo -->")[1].split("<!-- end of demo -->")[0]
    for word in ("rate", "graded", "a100", "stratix-10-nx", "What these numbers hold for"):
        assert word in shown
