"""`neuro keywords`: train a spotter for any word, listen with it on the emulated chip, remake the published comparison."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuro.cli.output import Chip, Json, Quiet, console, working, write_json
from neuro.cli.paths import check_files
from neuro.cli.teaching import learn
from neuro.errors import UsageError, one_of

if TYPE_CHECKING:
    from rich.console import Console

    from neuro.chip.account import ChipUse
    from neuro.chip.spec import Chip as EmulatedChip
    from neuro.keywords.listening import Detection, Listener
    from neuro.keywords.making import PartResult
    from neuro.keywords.spotter import Spotter

_MODELS = ("separable", "multilayer")
app = typer.Typer(
    help="Keyword spotting: choose a word, detect it on the chip, see the energy.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

app.command()(learn)

Word = Annotated[list[str], typer.Option("--word", "-w", metavar="WORD", help="A word to spot; repeat for more.")]
Data = Annotated[
    Path | None,
    typer.Option(help="Recordings: a folder of word/speaker_nohash_0.wav, or an .npz. Left out: speech is synthesised."),
]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Where the spotter goes.")]
Model = Annotated[str, typer.Option(help="separable (default) or multilayer, the 390-256-256 network of Blouw et al.")]
Shown = Annotated[int, typer.Option(help="Clips shown to the network in all.", min=64)]
Voices = Annotated[int, typer.Option(help="Clips to synthesise for each word.", min=4)]
Seed = Annotated[int, typer.Option(help="Of voices, split, augmentation and weights.", min=0)]
File = Annotated[Path | None, typer.Argument(metavar="[FILE.wav]", help="A recording of any rate and width.", show_default=False)]
Mic = Annotated[bool, typer.Option("--mic", help="Listen to the microphone until Ctrl-C.")]
Chosen = Annotated[Path | None, typer.Option("--spotter", metavar="FILE", help="A trained spotter (default: ten command words).")]
Taught = Annotated[Path | None, typer.Option("--taught", metavar="FILE", help="Words that `keywords learn` taught this spotter.")]
OtherBody = Annotated[Path | None, typer.Option("--body", metavar="FILE", help="The body that taught them, if another.")]
Threshold = Annotated[float | None, typer.Option(help="Posterior from which a word counts (default: the spotter's own).")]
Curve = Annotated[Path | None, typer.Option("--figure", metavar="FILE.svg", help="Draw the operating curve.")]
Figure = Annotated[Path | None, typer.Option(metavar="FILE.svg", help="Draw audio, spikes and posteriors.")]


@app.command()
def train(
    word: Word,
    data: Data = None,
    out: Out = Path("spotter.safetensors"),
    model: Model = "separable",
    shown: Shown = 60_000,
    voices: Voices = 600,
    seed: Seed = 0,
    figure: Curve = None,
    json: Json = None,
    quiet: Quiet = False,
) -> None:
    """Train a spotter, convert it to spikes, and measure it on speakers it has never heard."""
    check_files({"--out": out, "--figure": figure, "--json": json}, {"--data": data})
    if model not in _MODELS:
        raise UsageError("--model", f"{model!r} is not known", one_of(model, _MODELS))
    _check_words(word)
    if data is not None and not data.exists():
        raise UsageError(f"--data {data}", "there is no such file or folder", "Check the path")
    with working("loading", quiet=quiet):
        from neuro.keywords.making import gather, make
        from neuro.keywords.training import TrainingSettings

        training = TrainingSettings(model, clips=shown, seed=seed)
    with working("gathering clips", quiet=quiet) as work:
        parts = gather(word, data, clips=voices, seed=seed, stage=lambda what, done, of: work.advance(done, of))
    origin = "synthesised speech" if data is None else data.name
    with working("training", quiet=quiet) as work:
        made = make(parts, training, card={"data": origin}, progress=lambda step, of, loss: work.advance(step, of))
    made.spotter.save(out)
    shown_on = console(quiet=quiet or str(json) == "-")
    for line in _train_report(made.spotter, made.heard):
        shown_on.print(line)
    shown_on.print(f"Written: {out}. Try it: neuro keywords listen FILE.wav --spotter {out}")
    if figure is not None:
        from neuro.files import write_text
        from neuro.report.listening import operating_curve

        curve = made.heard["test"].curve
        write_text(figure, operating_curve(curve.true_share, curve.false_share, curve.at(made.spotter.threshold)))
    write_json(json, {"card": dict(made.spotter.card), "threshold": made.spotter.threshold, "heard": _heard_rows(made.heard)})


def _check_words(words: Sequence[str]) -> None:
    """Refuse words that no folder of recordings and no class could be named after."""
    for word in words:
        if not word.strip() or "/" in word or word.startswith(("_", ".")):
            raise UsageError(f"--word {word!r}", "it is no word", "Name a word, like yes")


@app.command()
def listen(
    file: File = None,
    mic: Mic = False,
    spotter: Chosen = None,
    taught: Taught = None,
    body: OtherBody = None,
    chip: Chip = "loihi2",
    threshold: Threshold = None,
    figure: Figure = None,
    json: Json = None,
    quiet: Quiet = False,
) -> None:
    """Detect words in a recording or at the microphone, on the emulated chip, with a running account of spikes and energy."""
    if (file is None) == (not mic):
        raise UsageError("neuro keywords listen", "it needs one thing to listen to", "Name a WAV file, or pass --mic")
    for option, value in (("--figure", figure), ("--json", json)):
        if mic and value is not None:
            raise UsageError(option, "it is of a recording, not of the microphone", "Name a WAV file, or leave it out")
    if body is not None and taught is None:
        raise UsageError(f"--body {body}", "there are no taught words to hear with it", "Pass --taught too")
    if threshold is not None and not 0 < threshold < 1:
        raise UsageError("--threshold", f"{threshold:g} is no share", "Use more than 0, and less than 1")
    check_files(
        {"--figure": figure, "--json": json},
        {"FILE.wav": file, "--spotter": spotter, "--taught": taught, "--body": body, "--chip": chip},
    )
    from neuro.reading import opened

    for path in (file, spotter, taught, body):
        if path is not None:
            with opened(path):
                pass
    from neuro.chip.files import load_chip

    target = load_chip(chip)
    with working("loading", quiet=quiet):
        listener = _listener(spotter, taught, body, target, threshold, keep_spikes=figure is not None)
    shown = console(quiet=quiet or str(json) == "-")
    if file is None:
        _at_the_microphone(listener, shown)
    else:
        _to_a_file(listener, file, figure, json, shown)


@app.command()
def bench(json: Json = None, quiet: Quiet = False) -> None:
    """Remake the published keyword table: five devices measured, beside our models' predictions and their errors."""
    check_files({"--json": json})
    with working("predicting and emulating", quiet=quiet):
        from neuro.keywords.published import CHIP, WORKLOAD, published, to_rows
        from neuro.report.tables import table
        from neuro.units import count, energy, rate, time

        found = published()
    shown = console(quiet=quiet or str(json) == "-")
    for sentence in found.verdict:
        shown.print(sentence)
    rows = [
        (
            row.device,
            str(row.batch),
            rate(row.measured_per_s),
            _or_none(row.predicted_per_s, rate),
            _error(row.speed_error),
            energy(row.measured_dynamic_pj),
            _or_none(row.predicted_dynamic_pj, energy),
            _error(row.energy_error),
            energy(row.measured_total_pj),
        )
        for row in found.rows
    ]
    columns = ("device", "batch", "speed", "predicted", "error", "dynamic", "predicted ", "error ", "total")
    shown.print(table(f"{WORKLOAD}, energy per inference (Blouw et al. 2019)", columns, rows, right=columns[1:]))
    loihi = found.loihi
    lines = [(name, energy(value)) for name, value in loihi.mesh if value]
    lines += [("mesh in all, emulated", energy(loihi.mesh_pj)), ("mesh if no neuron fired", energy(loihi.least_pj))]
    lines += [("mesh if all fired at every step", energy(loihi.most_pj))]
    lines += [("measured over the idle after a run, at most", energy(loihi.measured_after_run_pj))]
    lines += [("management processors, while an inference lasts", energy(loihi.management_pj))]
    lines += [("mesh and management, predicted", energy(loihi.predicted_from_boot_pj))]
    lines += [("measured over the idle from boot", energy(loihi.measured_from_boot_pj))]
    lines += [("measured in all", energy(loihi.measured_total_pj))]
    shown.print(table(f"Where Loihi's energy goes ({CHIP}, per inference)", ("part", "energy"), lines, right=("energy",)))
    shown.print(
        f"Emulated with random weights of the same shape, rate code, 10 steps of {time(loihi.step_time_ns)}: "
        f"{count(loihi.spikes)} spikes and {count(round(loihi.synops))} synops an inference. Loihi waits for its host: "
        "that speed is not modelled. Machines: models fitted without the machine's own family."
    )
    parts = {
        "mesh_pj": dict(loihi.mesh),
        "mesh_least_pj": loihi.least_pj,
        "mesh_most_pj": loihi.most_pj,
        "management_pj": loihi.management_pj,
        "measured_after_run_pj": loihi.measured_after_run_pj,
        "measured_from_boot_pj": loihi.measured_from_boot_pj,
        "measured_total_pj": loihi.measured_total_pj,
    }
    write_json(json, {"verdict": list(found.verdict), "rows": to_rows(found), "loihi": parts})


def _or_none(value: float | None, write: Callable[[float], str]) -> str:
    return "-" if value is None else write(value)


def _error(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:+.0f} %"


def _listener(
    spotter: Path | None,
    taught: Path | None,
    body: Path | None,
    chip: EmulatedChip,
    threshold: float | None,
    *,
    keep_spikes: bool,
) -> Listener:
    from dataclasses import replace

    from neuro.keywords.listening import Listener
    from neuro.keywords.spotter import Spotter, shipped

    chosen = shipped() if spotter is None else Spotter.load(spotter)
    if threshold is not None:
        chosen = replace(chosen, threshold=threshold)
    if taught is None:
        return Listener(chosen, chip, keep_spikes)
    from neuro.keywords.body import Body
    from neuro.keywords.teaching import Taught

    return Listener(chosen, chip, keep_spikes, Taught.load(taught, chosen, None if body is None else Body.load(body)))


def _to_a_file(listener: Listener, file: Path, figure: Path | None, json: Path | None, shown: Console) -> None:
    import time

    import numpy as np

    from neuro.chip.account import ChipUse
    from neuro.files import write_text
    from neuro.keywords.audio import clipped_share, read_wav

    rate = listener.spotter.features.rate
    audio = read_wav(file, rate)
    seconds, started = audio.size / rate, time.process_time()
    parts = [listener.hear(audio[at : at + 5 * rate]) for at in range(0, audio.size, 5 * rate)] + [listener.finish()]
    spent_s = time.process_time() - started
    account = sum((part.account for part in parts), ChipUse())
    detections = [found for part in parts for found in part.detections]
    for found in detections:
        shown.print(_spelt(found))
    if not detections:
        shown.print(f"No word heard in {seconds:.1f} s. The spotter knows: {', '.join(listener.words)}.")
    if clipped_share(audio) > 0.001:
        shown.print(f"Caution: {100 * clipped_share(audio):.1f} % of the samples are at full scale; record more softly.")
    for line in _account_lines(account, listener):
        shown.print(line)
    shown.print(f"{seconds:.1f} s of audio took {spent_s:.2f} s of CPU.")
    if figure is not None:
        from neuro.report.listening import heard

        frames = [part for part in parts if part.account.steps]
        shares = np.concatenate([part.posteriors for part in frames])
        curves = {word: shares[:, i] for i, word in enumerate(listener.words)}
        marks = [(found.word, found.at_s) for found in detections]
        spikes = np.concatenate([part.spikes for part in frames])
        write_text(figure, heard(audio, rate, spikes, listener.spotter.features.hop / rate, curves, marks))
    found_rows = [{"word": found.word, "at_s": found.at_s, "share": found.share} for found in detections]
    write_json(json, {"seconds": seconds, "cpu_s": spent_s, "detections": found_rows, **_account_facts(account, listener)})


def _at_the_microphone(listener: Listener, shown: Console) -> None:
    from neuro.chip.account import ChipUse
    from neuro.keywords.audio import microphone

    rate = listener.spotter.features.rate
    account = ChipUse()
    shown.print(f"Listening for {', '.join(listener.words)}. Ctrl-C ends.")
    with suppress(KeyboardInterrupt):
        for block in microphone(rate, rate // 4):
            heard = listener.hear(block)
            account = account + heard.account
            for found in heard.detections:
                shown.print(_spelt(found))
    for line in _account_lines(account, listener):
        shown.print(line)


def _spelt(found: Detection) -> str:
    return f"{found.at_s:8.2f} s  {found.word}  ({100 * found.share:.0f} %)"


def _account_facts(account: ChipUse, listener: Listener) -> dict[str, Any]:
    """The account per inference (a frame) and per second of audio; what the chip draws when idle stands apart."""
    frames = max(1, account.steps)
    rate, power = listener.spotter.features.frames_per_s, listener.placement.chip.power
    return {
        "chip": listener.placement.chip.name,
        "chips": listener.chips,
        "cores_used": listener.cores_used,
        "inferences": account.steps,
        "spikes_per_inference": account.spikes / frames,
        "synops_per_inference": account.synops / frames,
        "packets_per_inference": account.packets / frames,
        "dynamic_pj_per_inference": account.dynamic_pj / frames,
        "dynamic_pj_per_second": account.dynamic_pj / frames * rate,
        "busy_ns_per_inference": account.busy_ns / frames,
        "energy_by_part_pj_per_inference": {name: None if pj is None else pj / frames for name, pj in account.parts_pj},
        "static_w": None if power.static is None else listener.chips * power.static,
        "management_w": None if power.management is None else listener.chips * power.management,
    }


def _account_lines(account: ChipUse, listener: Listener) -> Iterator[str]:
    from neuro import units

    facts = _account_facts(account, listener)
    rate, several = listener.spotter.features.frames_per_s, listener.chips > 1
    yield (
        f"On {facts['chip']}, {facts['cores_used']} cores{' of 2 chips' if several else ''}, "
        f"one inference every {1000 / rate:g} ms: "
        f"{units.count(round(facts['spikes_per_inference']))} spikes, "
        f"{units.count(round(facts['synops_per_inference']))} synops, "
        f"{units.energy(facts['dynamic_pj_per_inference'])} dynamic in {units.time(facts['busy_ns_per_inference'])}."
    )
    yield (
        f"Per second: {units.count(round(facts['spikes_per_inference'] * rate))} spikes, "
        f"{units.energy(facts['dynamic_pj_per_second'])} dynamic; being switched on adds "
        f"{_drawn(facts['static_w'])} for {'the chips' if several else 'the chip'} and "
        f"{_drawn(facts['management_w'])} for {'their boards' if several else 'its board'}."
    )


def _drawn(power_w: float | None) -> str:
    """The energy of a second at a power (W)."""
    from neuro import units

    return units.energy(None if power_w is None else power_w * 1e12)


def _train_report(spotter: Spotter, heard: Mapping[str, PartResult]) -> Iterator[Any]:
    from neuro.report.tables import table
    from neuro.units import percent

    test = heard["test"]
    rows = [
        (
            part,
            f"{h.clips:,}",
            f"{h.speakers:,}",
            percent(h.accuracy_ann),
            percent(h.accuracy_spikes),
            percent(h.true[1]),
            percent(h.false[1]),
        )
        for part, h in heard.items()
    ]
    columns = ("speakers never heard", "clips", "speakers", "float network", "spikes", "words heard", "false alarms")
    yield table(f"Accuracy, and alarms at threshold {spotter.threshold:.2f}", columns, rows, right=columns[1:])
    matrix = [(name, *(str(n) for n in row)) for name, row in zip(spotter.classes, test.confusion, strict=True)]
    yield table("Confusion on test speakers: said (rows), heard (columns)", ("", *spotter.classes), matrix, right=spotter.classes)
    points = [0.5, 0.6, 0.7, 0.8, 0.9, 0.95]
    curve = [(f"{at:.2f}", *(percent(share) for share in test.curve.at(at))) for at in points]
    yield table("Operating curve on test speakers", ("threshold", "words heard", "false alarms"), curve)
    if test.near_false is not None:
        yield f"Of texts made to sound almost as a keyword, {percent(test.near_false[1])} were taken for it."


def _heard_rows(heard: Mapping[str, PartResult]) -> dict[str, Any]:
    return {
        part: {
            "clips": h.clips,
            "speakers": h.speakers,
            "accuracy_ann": h.accuracy_ann,
            "accuracy_spikes": h.accuracy_spikes,
            "true_ann": h.true[0],
            "true_spikes": h.true[1],
            "false_ann": h.false[0],
            "false_spikes": h.false[1],
            "spikes": h.spikes,
            "synops": h.synops,
            "confusion": h.confusion.tolist(),
        }
        for part, h in heard.items()
    }
