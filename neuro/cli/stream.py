"""`neuro stream`: a recording or frames through a saved network, frame by frame, on an emulated chip."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuro.cli.output import Chip, Json, Quiet, console, working, write_json
from neuro.cli.paths import check_files
from neuro.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neuro.network import Network
    from neuro.studies.streaming import Streamed

EXAMPLES = """
Examples:

\b
  neuro stream network.safetensors recording.wav --hop 512
      audio, one frame of the network's input size every 512 samples at 16 kHz
  neuro stream network.safetensors video.npz --rate 30 --live
      frames x (frames, *shape), 30 a second; every answer as it comes
"""
AUDIO_HZ = 16_000

Saved = Annotated[Path, typer.Argument(metavar="NETWORK", help="A saved network with frames (conversion.network.save).")]
Input = Annotated[Path, typer.Argument(metavar="FILE", help="A .wav recording, or an .npz file with frames x.")]
Hop = Annotated[int | None, typer.Option(help="Audio samples from frame to frame.", min=1, show_default="a frame")]
Rate = Annotated[float | None, typer.Option(metavar="HZ", help="Frames a second of an .npz file.")]
Live = Annotated[bool, typer.Option("--live", help="Print the answer of every frame.")]


def stream(
    network: Saved, file: Input, chip: Chip = "loihi2", hop: Hop = None, rate: Rate = None, live: Live = False,
    json: Json = None, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Take a network with frames through a stream, frame by frame: how it keeps up, how late it answers, what it draws."""
    check_files({"--json": json}, {"NETWORK": network, "FILE": file})
    from neuro.chip.files import load_chip
    from neuro.network import Network
    from neuro.studies.streaming import stream as through

    shown = console(quiet=quiet or str(json) == "-")
    with working("loading", quiet=quiet) as work:
        saved = Network.load(network)
        frames, rate_hz = _frames(saved, file, hop, rate)
        work.step("listening")

        def tell(number: int, answer: Any) -> None:
            work.advance(number + 1, len(frames))
            if live:
                shown.print(f"{number / rate_hz:9.3f} s  " + "  ".join(f"{value:.4g}" for value in answer))

        found = through(saved, frames, load_chip(chip), rate_hz, tell)
    _show(found, shown)
    write_json(json, {**found.to_row(), "answers": found.answers.tolist()})


def _frames(network: Network, file: Path, hop: int | None, rate: float | None) -> tuple[NDArray[Any], float]:
    """The frames of a file, and how many come in a second."""
    from neuro.cli.inputs import read_inputs
    from neuro.encoding import value_shape
    from neuro.keywords.audio import read_wav
    from neuro.studies.streaming import frames_of_audio

    if file.suffix.lower() == ".wav":
        shape = value_shape(network.sources[0]) if network.sources else ()
        if rate is not None or len(shape) != 1:
            fact = "--rate is for .npz files" if rate is not None else f"the network's frames have the shape {shape}"
            raise UsageError(str(file), fact, "Pass --hop, and a network that takes audio; or frames in an .npz file")
        hop = shape[0] if hop is None else hop
        return frames_of_audio(read_wav(file, AUDIO_HZ), shape[0], hop), AUDIO_HZ / hop
    if hop is not None or rate is None or not 0 < rate < float("inf"):
        raise UsageError(str(file), "frames of a file need their rate, and no --hop", "Add --rate HZ, above 0")
    return read_inputs(file), rate


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
