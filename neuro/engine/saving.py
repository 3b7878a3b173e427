"""A session as a file, in the middle of a stream: the network as it has learned, the state of its neurons, and as much of the
past as delays and unfinished epochs reach. Knows the inside of `engine.session`, which calls it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from neuro.bundles import load_parts, save_parts
from neuro.engine.plan import MOST_STEPS
from neuro.engine.workspace import Workspace, list_messages
from neuro.errors import FormatError
from neuro.network import Network, check_storable

KIND = "session"
_PLACES = ["model", "state_stride", "v_at", "aux_at", "second_at", "port0_at", "port1_at", "sent_at"]  # of a population's state


def save_session(session: Any, path: Any) -> None:
    """Write a session into one file."""
    check_storable(session.network)
    workspace, known = session._workspace, session._known
    kept = min(session._history, session.elapsed - workspace.base[0])
    past = {
        p.name: workspace.raster(index, 1, session.elapsed - workspace.base[0] - kept, kept)[0]
        for index, p in enumerate(session.network.populations)
        if workspace.populations[index]["count_at"] >= 0
    }
    parts = {
        "network": session.learned,
        "elapsed": session.elapsed,
        "kept": kept,
        "layout": _layout(session),
        "state": workspace.state,
        "known": list(known.values()),
        "past": list(past.values()),
    }
    save_parts(parts, path, KIND)


def load_session(path: Any, begin: Any, record: Iterable[str], most_steps: int) -> Any:
    """The session that a file holds; begin: `open_session`, which makes one at its first step."""
    parts = load_parts(path, KIND)
    try:
        if not isinstance(parts["network"], Network):
            raise TypeError("its network is no network")
        session = begin(parts["network"], record=record, most_steps=most_steps)
        _restore(session, **{name: parts[name] for name in ("elapsed", "kept", "layout", "state", "known", "past")})
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        fact = f"its parts do not fit each other ({error}), or another version wrote it"
        raise FormatError(str(path), fact, "Save the session again") from None
    return session


def _layout(session: Any) -> int:
    """A checksum of where each neuron's state lies: another version may lay it out otherwise in as many integers."""
    found = zlib.crc32(np.array([session._workspace.populations[name] for name in _PLACES], np.int64).tobytes())
    for layout in session._plan.layouts:
        found = zlib.crc32(np.ascontiguousarray(layout.memory_index, np.int64).tobytes(), found)
    return found


def _restore(session: Any, elapsed: int, kept: int, layout: int, state: Any, known: Any, past: Any) -> None:
    workspace: Workspace = session._workspace
    if not all(type(count) is int for count in (elapsed, kept)) or not 0 <= elapsed <= MOST_STEPS:
        raise ValueError("steps so far")
    senders = [index for index in range(len(session.network.populations)) if workspace.populations[index]["count_at"] >= 0]
    if not 0 <= kept <= min(elapsed, session._history) or state.dtype != np.int32 or state.shape != workspace.state.shape:
        raise ValueError("steps or the state of the neurons")
    if layout != _layout(session):
        raise ValueError("where the state of each neuron lies")
    workspace.state[:] = state
    workspace.base[0], session.elapsed = elapsed - kept, elapsed
    for index, messages in zip(senders, past, strict=True):
        if messages.shape != (kept, session.network.populations[index].size) or messages.dtype != np.int32:
            raise ValueError("messages that are on their way")
        in_memory = session._plan.layouts[index].to_memory(messages[None])
        record, totals = workspace.populations[index], session._worker.totals[index]
        list_messages(record, in_memory, elapsed - kept, *workspace.spikes, workspace.counts, totals, elapsed - kept)
    session._worker.totals[:] = 0
    workspace.counts[:] = 0
    for name, values in zip(session._known, known, strict=True):
        if values.shape != session._known[name].shape or values.dtype != session._known[name].dtype:
            raise ValueError("values that sources sent last")
        session._known[name] = values.copy()
