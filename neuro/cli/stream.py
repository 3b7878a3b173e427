"""`neuro stream`: a recording, frames, events or the microphone through a saved network, frame by frame, on an emulated chip."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuro.cli.output import Chip, Json, Quiet, console, working, write_json
from neuro.cli.paths import check_files
from neuro.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neuro.studies.streaming import Heard, Stream, Streamed

EXAMPLES = """
Examples:

\b
  neuro stream network.safetensors recording.wav --hop 512
      audio, one frame of the network's input size every 512 samples at 16 kHz
  neuro stream network.safetensors --mic --hop 512 --live
      the same from the microphone, until Ctrl-C; every answer as it comes
  neuro stream network.safetensors video.npz --rate 30 --live
      frames x (frames, *shape), 30 a second
  neuro stream network.safetensors hand.raw --step-us 10000
      events of a camera, one frame every 10 ms
  neuro stream spotter.safetensors features.npz --rate 50 --time-axis -1
      a network of windows, (40, 49) say, that takes frames (40,): an answer about the last window every frame
"""
AUDIO_HZ = 16_000
MOST_SHOWN = 6  # answers of a frame that a line has room for

Saved = Annotated[Path, typer.Argument(metavar="NETWORK", help="A saved network (network.save) that takes a stream.")]
Input = Annotated[
    Path | None,
    typer.Argument(metavar="[FILE]", help="A .wav recording, an .npz file with frames x, or events.", show_default=False),
]
Mic = Annotated[bool, typer.Option("--mic", help="Listen to the microphone until Ctrl-C.")]
Hop = Annotated[int | None, typer.Option(help="Audio samples from frame to frame.", min=1, show_default="a frame")]
Rate = Annotated[float | None, typer.Option(metavar="HZ", help="Frames a second of an .npz file.")]
StepUs = Annotated[int | None, typer.Option("--step-us", metavar="N", help="Microseconds of a frame of an event camera.", min=1)]
TimeAxis = Annotated[
    int | None,
    typer.Option(metavar="N", help="The network decides about windows of frames along this axis: take it frame by frame."),
]
Causal = Annotated[
    bool, typer.Option("--causal", help="With --time-axis: its padding in front of a window stands for the frames before.")
]
Live = Annotated[bool, typer.Option("--live", help="Print a line for every answer: what it is and what the chip did.")]


@dataclass(frozen=True, slots=True)
class _Fed:
    """What a network is fed with: pieces of frames, how many come in a second and in all (0: until Ctrl-C), and notes."""

    pieces: Iterable[NDArray[Any]]
    rate_hz: float
    frames: int = 0
    notes: tuple[str, ...] = ()


def stream(
    network: Saved, file: Input = None, mic: Mic = False, chip: Chip = "loihi2", hop: Hop = None, rate: Rate = None,
    step_us: StepUs = None, time_axis: TimeAxis = None, causal: Causal = False, live: Live = False, json: Json = None,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Take a network through a stream, frame by frame: how it keeps up, how late it answers, what it draws."""
    if (file is None) == (not mic):
        raise UsageError("neuro stream", "it needs one thing to listen to", "Name a file, or pass --mic")
    if causal and time_axis is None:
        raise UsageError("--causal", "it is about windows of frames", "Add --time-axis N, the axis of the network's input")
    check_files({"--json": json}, {"NETWORK": network, "FILE": file})
    from neuro.chip.files import load_chip
    from neuro.framewise import frame_by_frame
    from neuro.network import Network
    from neuro.studies.streaming import Stream, frame_shape, streamed

    shown = console(quiet=quiet or str(json) == "-")
    with working("loading", quiet=quiet) as work:
        saved = Network.load(network)
        if time_axis is not None:
            saved = frame_by_frame(saved, time_axis, causal=causal)
        fed = _fed(file, frame_shape(saved), hop, rate, step_us)
        taken = Stream(saved, load_chip(chip), fed.rate_hz)
        for note in fed.notes:
            shown.print(f"Note: {note}")
        if live:
            shown.print(f"{'time':>11}  {'messages':>9} {'synops':>9} {'energy':>9}  answer")
        work.step("listening, Ctrl-C ends" if mic else "listening")

        def tell(heard: Heard) -> None:
            if fed.frames:
                work.advance(heard.first + len(heard.answers), fed.frames)
            if live:
                _tell(heard, taken, shown)

        found = streamed(taken, fed.pieces, tell)
    _show(found, shown)
    write_json(json, {**found.to_row(), "answers": found.answers.tolist()})


def _tell(heard: Heard, taken: Stream, shown: Any) -> None:
    """A line for each answer; work and energy are the mean of the frames that were taken together."""
    from neuro import units

    use, frames = heard.use, max(1, len(heard.answers))
    work = f"{use.spikes / frames:9,.0f} {use.synops / frames:9,.0f} {units.energy(use.dynamic_pj / frames):>9}"
    for i, answer in enumerate(heard.answers):
        told = "  ".join(f"{value:.4g}" for value in answer)
        if len(answer) > MOST_SHOWN:
            told = f"{answer.argmax()} ({answer.max():.4g})"
        shown.print(f"{(heard.first + i) / taken.rate_hz:9.3f} s  {work}  {told}")


def _fed(file: Path | None, shape: tuple[int, ...], hop: int | None, rate: float | None, step_us: int | None) -> _Fed:
    """The frames of a file or of the microphone."""
    sound = file is None or file.suffix.lower() == ".wav"
    events = not sound and (step_us is not None or _is_recorded(file))
    name = "--mic" if file is None else str(file)
    if rate is not None and (sound or events):
        raise UsageError(name, "--rate is for .npz files", "Leave it out")
    if step_us is not None and sound:
        raise UsageError(name, "--step-us is for recordings of event cameras", "Leave it out")
    if hop is not None and not sound:
        raise UsageError(name, "--hop is for audio", "Leave it out")
    if sound:
        return _audio(file, name, shape, hop)
    assert file is not None
    if events:
        return _events(file, shape, step_us)
    if rate is None or not 0 < rate < float("inf"):
        raise UsageError(name, "frames of a file need their rate", "Add --rate HZ, above 0")
    from neuro.cli.inputs import read_inputs

    frames = read_inputs(file)
    return _Fed((frames,), rate, len(frames))


def _is_recorded(file: Path | None) -> bool:
    from neuro.cli.inputs import RECORDED

    return file is not None and file.suffix.lower() in RECORDED


def _audio(file: Path | None, name: str, shape: tuple[int, ...], hop: int | None) -> _Fed:
    from neuro.keywords.audio import microphone, read_wav
    from neuro.studies.streaming import frames_of_audio, frames_of_pieces

    if len(shape) != 1:
        raise UsageError(name, f"the network's frames have the shape {shape}", "Pass a network that takes audio, or another file")
    hop = shape[0] if hop is None else hop
    if file is None:
        block = max(hop, AUDIO_HZ // 4)
        return _Fed(frames_of_pieces(microphone(AUDIO_HZ, block), shape[0], hop), AUDIO_HZ / hop)
    frames = frames_of_audio(read_wav(file, AUDIO_HZ), shape[0], hop)
    return _Fed((frames,), AUDIO_HZ / hop, len(frames))


def _events(file: Path, shape: tuple[int, ...], step_us: int | None) -> _Fed:
    from neuro.events import read_events
    from neuro.studies.streaming import frames_of_events

    if step_us is None:
        raise UsageError(str(file), "a recording of an event camera has no frames of its own", "Add --step-us N, microseconds")
    recording = read_events(file)
    frames = frames_of_events(recording, shape, step_us)
    return _Fed((frames,), 1e6 / step_us, len(frames), tuple(recording.notes))


def _show(found: Streamed, shown: Any) -> None:
    from neuro import units
    from neuro.report.tables import table

    pace, rate = found.pace, found.rate_hz
    power = pace.power_w(rate)
    cells = [
        ("frames", f"{len(found.answers):,}, {rate:g} a second"),
        ("emulated", f"{found.real_time:.2f} times as fast as the stream"),
        ("latency on the chip", f"{units.time(pace.latency_s * 1e9)}, {pace.depth} steps"),
        (
            "busy",
            f"{units.percent(pace.busy(rate))}; at most {pace.most_per_s:,.0f} frames a second, one every {pace.period} steps",
        ),
        ("work", f"{units.energy(pace.dynamic_j * 1e12)} a frame, {units.energy(pace.dynamic_j * rate * 1e12)} a second"),
        ("with what is always on", "not public" if power is None else f"{power:.3g} W"),
        ("a frame", f"{pace.messages:,.0f} messages, {pace.synops:,.0f} synops, {pace.updates:,.0f} updates"),
    ]
    if found.clipped:
        cells.append(("clipped", f"{found.clipped:,} input values lie beyond the calibrated range"))
    shown.print(table("Stream", ("", ""), cells))
    if pace.busy(rate) > 1:
        shown.print("The chip cannot keep up with this rate.")
