"""Ctrl-C and SIGTERM end a command within a second, even while compiled code that does not listen is running."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

PATIENCE_S = 0.5
INTERRUPTED, TERMINATED = 130, 143
_STATUS = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED}


@contextmanager
def ends_within_a_second() -> Iterator[None]:
    """While the block runs, an interrupt that Python has not acted on after `PATIENCE_S` ends the process with that status.

    Nothing half-written can be left: files appear under their names only when they are whole (`neuro.files`).
    """
    ends = signal.signal(signal.SIGTERM, _terminate)
    listen, wake = socket.socketpair()
    wake.setblocking(False)
    before = signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    done = threading.Event()
    threading.Thread(target=_end_when_told, args=(listen, done), daemon=True).start()
    try:
        yield
    finally:
        done.set()
        signal.set_wakeup_fd(before)
        signal.signal(signal.SIGTERM, ends)
        wake.close()


def end_now(status: int = INTERRUPTED) -> NoReturn:
    """End the process without the second that it takes to unload torch."""
    os.write(2, b"\nneuro: interrupted\n" if status == INTERRUPTED else b"\nneuro: terminated\n")
    os._exit(status)


def _terminate(number: int, frame: object) -> NoReturn:
    raise SystemExit(TERMINATED)


def _end_when_told(listen: socket.socket, done: threading.Event) -> None:
    with listen:
        while number := listen.recv(1):
            if number[0] in _STATUS and not done.wait(PATIENCE_S):
                end_now(_STATUS[signal.Signals(number[0])])
