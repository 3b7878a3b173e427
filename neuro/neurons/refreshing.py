"""Refresh of changes: every so many frames receivers begin at 0 and senders send values in full, which makes good what was lost.

Knows two neurons and what lies between them; knows nothing of networks.
"""

from __future__ import annotations

from typing import Any

from neuro.errors import NetworkError
from neuro.numbers import settle, whole
from neuro.specification import INT32


def settle_refresh(part: Any, ports: int) -> None:
    """Settle `refresh`, `refresh_at` (of so many ports) and `refresh_sent` of a neuron with frames, or raise NetworkError.

    They are frames: of each `refresh`, the one in which a port begins at 0, and the one in which values are sent in full.
    """
    where, every = type(part).__name__, part.refresh
    if every is not None:
        settle(part, NetworkError, refresh=(1, INT32.max))
        if not (part.sends_changes or any(part.takes_changes(port) for port in range(ports))):
            raise NetworkError(where, f"refresh = {every}, and it neither sends nor takes changes", "Leave refresh out")
    most = (every or 1) - 1
    if ports:
        given = part.refresh_at or (0,) * ports
        if not isinstance(given, tuple | list) or len(given) != ports:
            raise NetworkError(where, f"refresh_at = {given!r} of {ports} ports", "Give a frame for each port")
        at = tuple(whole(where, "refresh_at", frame, 0, most, error=NetworkError) for frame in given)
        object.__setattr__(part, "refresh_at", at)
    if not part.is_readout:
        settle(part, NetworkError, refresh_sent=(0, most))


def renews(neuron: Any, elapsed: int, at: int) -> bool:
    """Whether the frame of a step of the window is one of refresh."""
    return neuron.refresh is not None and elapsed // (neuron.period or 1) % neuron.refresh == at


def lag(source: Any, target: Any, delay: int) -> int:
    """How many frames ago what arrives in a frame of the target was sent, of neurons with the same period."""
    step = source.start_step + (getattr(source, "gather", None) or 1) - 1 + delay - target.start_step
    return int(step // (target.period or 1))


def unmet(source: Any, target: Any, port: int, delay: int) -> str | None:
    """Why a port that begins anew does not get the full values of that frame; None where it does, or no changes are sent."""
    if not (source.sends_changes and target.takes_changes(port)) or source.refresh == target.refresh is None:
        return None
    if source.refresh != target.refresh:
        return f"its source refreshes every {source.refresh} frames, its target every {target.refresh}"
    arrives = (source.refresh_sent + lag(source, target, delay)) % target.refresh
    if arrives == target.refresh_at[port]:
        return None
    return f"full values arrive in frame {arrives} of {target.refresh}, its target begins anew in frame {target.refresh_at[port]}"
