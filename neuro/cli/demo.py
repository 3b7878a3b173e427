"""`neuro demo`."""

from __future__ import annotations


def demo() -> None:
    """Train, convert, emulate and compare on handwritten digits."""
    import time

    time.sleep(5)
