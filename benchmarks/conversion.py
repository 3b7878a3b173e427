"""Accuracy, spikes and synaptic operations of every code against T, on five trained networks.

`python benchmarks/conversion.py --json FILE [--quick] [--only NETWORK] [--peer PYTHON]`. Conversion is after training:
thresholds, biases and weights are set on 256 inputs without labels. `--peer` names an interpreter with SpikingJelly 2.0.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from conversion_networks import CASES, ROOT, Case
from safetensors.torch import save_file

import converters
import neuro
from converters import quantised
from converters.evaluation import logits
from converters.pipeline import Conversion
from neuro.graph import Graph

Row = dict[str, Any]
PEER = Path(__file__).parent / "peer_spikingjelly.py"
TOYS = ("digits", "sinabs_mnist_cnn")  # networks on which the peer runs
SAMPLES, QUICK = 1000, 200
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Setting:
    """One way to convert."""

    code: str
    timesteps: int
    weight_bits: int = 8
    refine: int = 0


LOSSLESS = (
    Setting("graded", 1),
    Setting("graded", 1, 6),
    Setting("graded", 1, 4),
    *(Setting("radix", digits) for digits in (4, 5, 6, 8)),
    *(Setting("wait", steps) for steps in (4, 8, 16, 32)),
)
TIMED = (*(Setting("signed", steps) for steps in (4, 8, 16, 32)), *(Setting("rate", steps) for steps in (8, 16, 32)))
TUNED = 150  # steps of `refine`, for few levels
SETTINGS = (
    *LOSSLESS,
    *TIMED,
    *(Setting(code, steps, refine=TUNED) for code, steps in (("radix", 4), ("wait", 4), *(("signed", t) for t in (4, 16, 32)))),
)


def rows(case: Case, settings: tuple[Setting, ...] = SETTINGS) -> Iterator[Row]:
    """One row for each setting; counts are per inference."""
    graph = converters.trace(case.model, case.calibration)
    right = logits(graph, case.x).argmax(axis=1) == case.y
    macs = neuro.weigh(graph).macs
    for s in settings:
        began = time.perf_counter()
        made = convert(graph, case, s)
        found, spikes, synops = evaluate(made, case.x)
        yield {
            "network": case.name,
            "code": s.code,
            "timesteps": made.timesteps,
            "weight_bits": s.weight_bits,
            "refine": s.refine,
            "samples": len(case.x),
            "accuracy_ann": float(right.mean()),
            "accuracy_snn": float((found == case.y).mean()),
            "spikes": spikes,
            "synops": synops,
            "macs_ann": macs,
            "steps": made.network.steps(made.timesteps),
            "seconds": round(time.perf_counter() - began, 1),
        }


def peer_rows(case: Case, interpreter: str) -> list[Row]:
    """The same float network and samples through SpikingJelly's converter, in an interpreter of its own."""
    with TemporaryDirectory() as folder:
        place = Path(folder)
        np.savez(place / "data.npz", calibration=case.calibration, x=case.x, y=case.y)
        save_file({key: value.contiguous() for key, value in case.model.state_dict().items()}, place / "weights.safetensors")
        command = [interpreter, str(PEER), case.name, str(place)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    macs = neuro.weigh(converters.trace(case.model, case.calibration)).macs
    return [{**row, "network": case.name, "samples": len(case.x), "macs_ann": macs} for row in json.loads(done.stdout)]


def convert(graph: Graph, case: Case, s: Setting) -> Conversion:
    """The network in one setting."""
    how: Any = {"code": s.code, "timesteps": s.timesteps, "weight_bits": s.weight_bits, "refine": s.refine}
    return converters.convert(graph, case.calibration, **how)


def evaluate(made: Conversion, x: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Decisions (samples,), spikes and synaptic operations per inference; lossless codes without stepping."""
    decisions, spikes, synops = [], 0, 0
    for start in range(0, len(x), _BATCH):
        part = x[start : start + _BATCH]
        if made.code in ("wait", "radix", "graded"):
            found = quantised.evaluate(made.network, part)
            spikes += sum(int(counts.sum()) for counts in found.spikes.values())
            decisions.append(found.predictions)
            synops += found.synops
        else:
            run = neuro.run(made.network, part)
            spikes += run.messages
            decisions.append(run.predictions)
            synops += run.synops
    return np.concatenate(decisions), spikes / len(x), synops / len(x)


def told(row: Row) -> str:
    """A row as a line."""
    lost = 100 * (row["accuracy_ann"] - row["accuracy_snn"])
    return (
        f"{row['network']:18} {row['code']:30} T={row['timesteps']:<3} {row['weight_bits']} bits refine={row['refine']:<4}"
        f"{100 * row['accuracy_snn']:7.2f} % (loses {lost:5.2f}) {row['spikes']:12,.0f} spikes {row['synops'] or 0:14,.0f} synops"
        f" {row['macs_ann']:12,} MACs"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--samples", type=int, default=SAMPLES, help="samples of each network at most (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} samples of each network")
    parser.add_argument("--peer", help="an interpreter that has SpikingJelly 2.0, whose converter is run beside ours")
    parser.add_argument("--only", choices=list(CASES), action="append", help="this network (may be repeated)")
    arguments = parser.parse_args()
    found: list[Row] = []
    for name in arguments.only or CASES:
        case, most = CASES[name](), QUICK if arguments.quick else arguments.samples
        case = replace(case, x=case.x[:most], y=case.y[:most])
        peers = peer_rows(case, arguments.peer) if arguments.peer and name in TOYS else ()
        for row in chain(rows(case), peers):
            found.append(row)
            print(told(row), flush=True)
            if arguments.json:
                arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
