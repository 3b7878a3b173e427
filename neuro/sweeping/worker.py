"""A worker process: reads settings from standard input, line by line, and answers each with what it measured.

It ends when its input does, so that none is left behind however the sweep ends.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue
from typing import Any

READY = {"ready": True}


def main() -> None:
    """Serve the subject's file that the command line names."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the sweep itself, whose end is noticed here
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)  # whatever else is printed must not stand between answers
        asked: SimpleQueue[str] = SimpleQueue()
        threading.Thread(target=_listen, args=(asked,), daemon=True).start()
        from converters.pipeline import Conversions
        from neuro.sweeping.subject import load_subject

        subject = load_subject(Path(sys.argv[1]))
        conversions = Conversions(subject.graph, subject.calibration)
        _answer(answers, READY)
        while True:
            _answer(answers, answer(subject, conversions, **json.loads(asked.get())))


def answer(subject: Any, conversions: Any, key: str, setting: dict[str, Any], chip: str) -> dict[str, Any]:
    """The record of one setting, by conversions of the subject; `chip` is the digest that the chip's figures must have."""
    from neuro.chip.files import load_chip
    from neuro.errors import ChipError
    from neuro.sweeping.measure import blocks, measure_block, prepare, reason_for, together
    from neuro.sweeping.settings import Setting, chip_digest

    one = Setting(**setting)
    try:
        loaded = load_chip(one.chip)
        if chip_digest(loaded) != chip:
            raise ChipError(f"chip {one.chip!r}", "its file has changed since the sweep began", "Begin a new sweep")
        placement = prepare(conversions, one, loaded)
        parts = [measure_block(placement, subject.inputs[some], subject.labels[some]) for some in blocks(len(subject.inputs))]
        return {"key": key, "setting": setting, "measured": asdict(together(parts))}
    except Exception as error:  # noqa: BLE001  # a bad point must not stop the others
        return {"key": key, "setting": setting, "error": reason_for(error)}


def _answer(answers: Any, record: dict[str, Any]) -> None:
    answers.write(json.dumps(record) + "\n")
    answers.flush()


def _listen(asked: SimpleQueue[str]) -> None:
    for line in sys.stdin:
        asked.put(line)
    os._exit(0)


if __name__ == "__main__":
    main()
