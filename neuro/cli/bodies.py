"""`--body` of `neuro keywords learn`: a body's file, or a network in an ONNX file of which one is made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neuro.errors import UsageError

if TYPE_CHECKING:
    from neuro.engine.pace import Work
    from neuro.keywords.body import Body
    from neuro.keywords.corpus import Corpus
    from neuro.keywords.pooled import Pooled

OWN = Path("own")
_BODY = "Another network to learn with: an .onnx file that takes a window of sound and gives numbers, or a body made of one; "
_BODY += "own: the spotter's. Left out: the one that comes with the package."
BodyFile = Annotated[Path | None, typer.Option("--body", metavar="FILE", help=_BODY)]
_DATA = "With an .onnx file: recordings of other words by which it is read, a folder of word/speaker_nohash_0.wav, or an .npz."
BodyData = Annotated[Path | None, typer.Option("--data", metavar="PATH", help=_DATA)]
_FRONT = "With an .onnx file: what it takes, waveform, log-mel or speech-embedding."
Front = Annotated[str, typer.Option("--front", metavar="KIND", help=_FRONT)]


def check_body(body: Path | None, data: Path | None) -> None:
    """Refuse what does not go together before anything is loaded."""
    made = body is not None and body.suffix == ".onnx"
    if body == OWN and data is None:
        return
    if made and data is None:
        raise UsageError(f"--body {body}", "there are no recordings by which the network could be read", "Pass --data too")
    if data is not None and not made:
        raise UsageError(f"--data {data}", "it is for an .onnx file", "Leave it out, or pass --body FILE.onnx")
    for path in (body, data):
        if path is not None and not path.exists():
            raise UsageError(str(path), "there is no such file or folder", "Check the path")


def chosen_body(body: Path | None, word: str, data: Path | None, front: str, kept: Path, work: Work) -> Body | Pooled:
    """The body of a file, or that of the package; one that is made of an ONNX file is written to `kept`."""
    from neuro.keywords.body import Body, shipped_body
    from neuro.keywords.pooled import shipped_pooled

    if body is None or body == OWN:
        return shipped_body() if body is None else shipped_pooled()
    if data is None:
        return Body.load(body)
    import converters
    from neuro.keywords.corpus import split
    from neuro.keywords.embedding import front_of, make_body

    graph = converters.read_onnx(body)
    front_of(graph, front)
    parts = split(_recordings(data, word), {"read": 0.6, "thresholds": 0.4})
    made = make_body(graph, front, parts["read"], parts["thresholds"], card={"from": body.name}, progress=work.advance)
    made.save(kept)
    return made


def _recordings(data: Path, word: str) -> Corpus:
    """Recordings of all words but the one to learn."""
    import numpy as np

    from neuro.keywords.corpus import BACKGROUND, read_arrays, read_folder

    if data.is_dir():
        words = sorted(p.name for p in data.iterdir() if p.is_dir() and p.name not in (BACKGROUND, word))
        return read_folder(data, words)
    corpus = read_arrays(data)
    return corpus.take(np.array([said != word for said in corpus.words]))
