"""`neuro keywords learn`: a spotter learns a further word from a few recordings, on the emulated chip."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuro.cli.bodies import OWN, BodyData, BodyFile, Front, check_body, chosen_body
from neuro.cli.output import Chip, Json, Quiet, console, working, write_json
from neuro.cli.paths import check_files
from neuro.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from neuro.chip.emulator import ChipRun
    from neuro.keywords.teaching import Taught

Word = Annotated[str, typer.Option("--word", "-w", metavar="NAME", help="The word to learn.")]
Recordings = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[RECORDINGS]...", help="WAV files of the word, one lesson each.", show_default=False),
]
Mic = Annotated[int, typer.Option("--mic", metavar="TIMES", help="Say the word so many times, one lesson each.", min=0)]
Test = Annotated[
    list[Path] | None, typer.Option("--test", metavar="FILE.wav", help="A recording to hear afterwards; repeat for more.")
]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Where what was learned goes.")]


def learn(
    word: Word,
    recordings: Recordings = None,
    mic: Mic = 0,
    test: Test = None,
    out: Out = Path("taught.safetensors"),
    body: BodyFile = None,
    data: BodyData = None,
    front: Front = "log-mel",
    chip: Chip = "loihi2",
    json: Json = None,
    quiet: Quiet = False,
) -> None:
    """Teach the shipped spotter a further word from recordings or the microphone, on the emulated chip; its ten words stay.

    A network on the chip says what the word sounds like: one that comes with the package, the spotter's own, or yours.
    """
    if not word.strip() or word.startswith(("_", ".")) or "/" in word:
        raise UsageError(f"--word {word!r}", "it is no word", "Name a word, like seven")
    files, tests = recordings or [], test or []
    if not files and not mic:
        raise UsageError("neuro keywords learn", "there is nothing to learn from", "Name WAV files of the word, or pass --mic 5")
    read = {f"recording {file}": file for file in (*files, *tests)}
    check_body(body, data)
    kept = out.with_name(f"{out.stem}_body.safetensors")
    results = {"--out": out, "--json": json, **({"the body's file": kept} if data else {})}
    check_files(results, {**read, "--chip": chip, "--body": None if body == OWN else body})
    with working("loading", quiet=quiet):
        import numpy as np

        from neuro.chip.files import load_chip
        from neuro.keywords.spotter import shipped
        from neuro.keywords.teaching import Taught

        target = load_chip(chip)
    with working("reading the body", quiet=quiet) as work:
        pooled = chosen_body(body, word, data, front, kept, work)
        before = Taught.of(shipped(), (word,), pooled)
        lessons = _clips(files, before)
        asked = _clips(tests, before)
    shown = console(quiet=quiet or str(json) == "-")
    lessons = [*lessons, *_spoken(word, mic, before, shown)]
    with working("learning", quiet=quiet):
        taught, chip_run = before.teach(word, np.stack(lessons), target, pooled)
    taught.save(out)
    heard = taught.heard(np.stack(asked)) if asked else ()
    for line in _said(taught, chip_run, dict(zip(tests, heard, strict=True)), out):
        shown.print(line)
    other = "" if body in (None, OWN) else f" --body {kept if data else body}"
    shown.print(f"Hear it: neuro keywords listen FILE.wav --taught {out}{other}")
    write_json(json, _facts(taught, chip_run, dict(zip(map(str, tests), heard, strict=True))))


def _clips(files: list[Path], taught: Taught) -> list[Any]:
    """Recordings as clips (samples,) of one window each."""
    from neuro.keywords.audio import read_wav
    from neuro.keywords.augment import fit

    return [fit(read_wav(file, taught.spotter.features.rate), taught.samples) for file in files]


def _spoken(word: str, times: int, taught: Taught, shown: Console) -> Iterator[Any]:
    """What is said at the microphone after each prompt, one window (samples,) each, with a pause of as long between two."""
    from neuro.keywords.audio import microphone

    blocks = microphone(taught.spotter.features.rate, taught.samples)
    for number in range(times):
        shown.print(f"Say {word!r} now ({number + 1} of {times}).")
        yield next(blocks)
        if number + 1 < times:
            next(blocks)


def _costs(chip_run: ChipRun) -> tuple[float, float]:
    """Dynamic energy of a lesson, and of the synaptic updates in it (pJ)."""
    dynamic = [part for part in chip_run.bill.parts if part.kind == "dynamic"]
    return sum(part.energy_pj or 0.0 for part in dynamic), sum(p.energy_pj or 0.0 for p in dynamic if p.name == "learning")


def _said(taught: Taught, chip_run: ChipRun, heard: dict[Path, str], out: Path) -> Iterator[str]:
    from neuro import units

    whole, learning = _costs(chip_run)
    lessons, updates = chip_run.run.samples, chip_run.run.synaptic_updates / chip_run.run.samples
    taken = f"{units.count(round(updates))} synaptic updates take {units.energy(learning)}"
    yield f"Learned {taught.words[0]!r} in {lessons} lessons on {chip_run.bill.target}."
    yield f"A lesson takes {units.energy(whole)} dynamic; its {taken} of them."
    yield f"Its threshold is to let at most 2 % of other recordings through: a score of {taught.thresholds[0]:.4g}."
    for file, word in heard.items():
        yield f"{file}: {word}"
    yield f"Written: {out}"


def _facts(taught: Taught, chip_run: ChipRun, heard: dict[str, str]) -> dict[str, Any]:
    whole, learning = _costs(chip_run)
    return {
        "word": taught.words[0],
        "lessons": taught.lessons[0],
        "threshold": taught.thresholds[0],
        "chip": chip_run.bill.target,
        "dynamic_pj_per_lesson": whole,
        "learning_pj_per_lesson": learning,
        "synaptic_updates_per_lesson": chip_run.run.synaptic_updates / chip_run.run.samples,
        "heard": heard,
    }
