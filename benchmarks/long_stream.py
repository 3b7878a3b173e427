"""Hours of audio through sessions: is memory flat, does state drift? `python -m benchmarks.long_stream --data FOLDER`.

FOLDER has scv2_train.npz and scv2_test.npz of Speech Commands. Test clips in a seeded order, at seeded loudness, are one stream
without an end for a saved network with frames (`benchmarks.streams` trains one). Two sessions take it: one of values, one of
changes, whose ports add up changes from the first frame to the last. Any drift, in either, shows as a frame in which they differ.
Shortly before the end a third session begins, of values, with nothing remembered: how far its answers are from the first one's is
reported, as is the size of answers in each tenth of the stream. The states of such a network need not meet: integers round.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import converters
import neuro
from benchmarks.streams import SETTINGS, calibration
from neuro.keywords.features import advance, extract_all

SEED = 0
BLOCK = 50  # frames that a session takes at a time


def resident_mb() -> float:
    """Memory that this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def features(audio: Any, mean: Any, spread: Any) -> Iterator[Any]:
    """Blocks (BLOCK, bands) of the features of clips (clips, samples) one behind the other, again and again."""
    rng, tail, ready = np.random.default_rng(SEED), np.zeros(0, np.float32), np.zeros((0, SETTINGS.bands), np.float32)
    while True:
        clip = audio[rng.integers(len(audio))] * np.float32(rng.uniform(0.5, 1.0) / 32768)
        frames, tail = advance(SETTINGS, tail, clip)
        ready = np.concatenate([ready, (frames - mean) / spread])
        while len(ready) >= BLOCK:
            yield ready[:BLOCK]
            ready = ready[BLOCK:]


def main() -> None:
    """Convert, listen, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--network", type=Path, default=Path(__file__).parent / "weights" / "words_lstm.safetensors")
    parser.add_argument("--hours", type=float, default=10.0)
    parser.add_argument("--last", type=float, default=2.0, help="minutes before the end at which the third session begins")
    parser.add_argument("--progress", type=Path, help="file for the hours so far, the frames that differ, and memory")
    given = parser.parse_args()
    with np.load(given.data / "scv2_train.npz") as file:
        known = extract_all(SETTINGS, file["audio"])
    with np.load(given.data / "scv2_test.npz") as file:
        audio = file["audio"].astype(np.float32)
    mean, spread = known.mean((0, 1)), known.std((0, 1))
    graph, samples = neuro.Graph.load(given.network), ((calibration(known) - mean) / spread).astype(np.float32)
    made = {code: converters.convert(graph, samples, code=code).network for code in ("graded", "delta")}
    sessions = {code: neuro.open_session(network, most_steps=BLOCK) for code, network in made.items()}
    rate = SETTINGS.rate / SETTINGS.hop
    blocks = round(given.hours * 3600 * rate / BLOCK)
    begins = max(0, blocks - round(given.last * 60 * rate / BLOCK))
    clipped = differing = since = 0
    apart, sizes = list[Any](), list[tuple[float, float]]()
    memory, started = [], time.process_time()
    for number, block in zip(range(blocks), features(audio, mean, spread), strict=False):
        if number == begins:
            sessions["fresh"] = neuro.open_session(made["graded"], most_steps=BLOCK)
        runs = {name: session.step(block) for name, session in sessions.items()}
        clipped += sum(runs["graded"].clipped.values())
        differing += int((runs["graded"].frames != runs["delta"].frames).any(-1).sum())
        sizes.append((float(np.abs(runs["graded"].frames).mean()), float(runs["graded"].frames.std())))
        if number > begins:
            apart.append(np.abs(runs["graded"].frames - runs["fresh"].frames).max(-1).ravel())
            if apart[-1].any():
                since = (number - begins + 1) * BLOCK
        if number % max(1, blocks // 100) == 0:
            memory.append(resident_mb())
            if given.progress:
                hours = (number + 1) * BLOCK / rate / 3600
                given.progress.write_text(json.dumps({"hours": hours, "differing": differing, "memory, mb": memory}))
    memory.append(resident_mb())
    warm, far = memory[len(memory) // 10 :], np.concatenate([*apart, np.zeros(0)])
    mean_size = [round(float(np.mean([size for size, _ in part])), 4) for part in np.array_split(np.array(sizes), 10)]
    found = {
        "hours": given.hours,
        "frames": blocks * BLOCK,
        "steps": sessions["graded"].elapsed,
        "frames in which values and changes differ": differing,
        "frames until a session begun late says the same": since,
        "of": (blocks - begins) * BLOCK,
        "share of those in which it differs": round(float((far > 0).mean()), 4) if far.size else None,
        "largest difference, in spreads of the answers": round(float(far.max() / np.mean([s for _, s in sizes])), 4)
        if far.size
        else None,
        "mean size of answers, tenth by tenth": mean_size,
        "input values clipped": clipped,
        "memory after a tenth, mb": round(warm[0], 1),
        "memory at the end, mb": round(memory[-1], 1),
        "slope, kb an hour": round(float(np.polyfit(np.linspace(0.1, 1, len(warm)) * given.hours, warm, 1)[0]) * 1e3, 1),
        "cpu s": round(time.process_time() - started),
    }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
