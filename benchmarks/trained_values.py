"""What trained networks that compute with values lose as spikes: `python -m benchmarks.trained_values --json FILE`.

The networks of `benchmarks/value_networks.py` on 1,000 clips of speakers that training has not heard: accuracy in float and as
graded values (chosen bits, and 8 bits wherever the construction allows) and as 8 binary digits, decisions alike, and work for one
clip. The quantised form is evaluated, which every engine equals bit for bit; the first clips are run to make sure.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

import converters
import neuro
from benchmarks.value_networks import NETWORKS, case
from converters.evaluation import logits
from converters.quantised import evaluate
from neuro.machines.workload import weigh

ROWS: dict[str, dict[str, Any]] = {
    "graded": {"code": "graded"},
    "graded, 8 bits": {"code": "graded", "value_bits": 8},
    "radix, 8 digits": {"code": "radix", "timesteps": 8},
}
CHECKED = 4


def measured(name: str, samples: int, ways: list[str]) -> list[dict[str, Any]]:
    """A row for each way of conversion."""
    one = case(name)
    x, y = one.x[:samples], one.y[:samples]
    rows, graph = [], converters.trace(one.model, one.calibration[:4])
    wanted = logits(graph, x)
    for how in ways:
        options = ROWS[how]
        made = converters.convert(graph, one.calibration, **options)
        found = evaluate(made.network, x)
        run = neuro.run(made.network, x[:CHECKED])
        assert np.array_equal(run.logits, found.logits[:CHECKED])
        right, own = (float((values.argmax(1) == y).mean()) for values in (wanted, found.logits))
        rows.append(
            {
                "network": name,
                "code": how,
                "parameters": graph.parameters,
                "samples": len(y),
                "float": right,
                "spikes": own,
                "points_lost": 100 * (right - own),
                "alike": float((found.logits.argmax(1) == wanted.argmax(1)).mean()),
                "correlation": float(np.corrcoef(found.logits.ravel(), wanted.ravel())[0, 1]),
                "macs": weigh(graph).macs,
                "messages": sum(int(counts.sum()) for counts in found.spikes.values()) / len(y),
                "synops": found.synops / len(y),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", action="append", choices=list(NETWORKS))
    parser.add_argument("--way", action="append", choices=list(ROWS))
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = [row for name in given.network or NETWORKS for row in measured(name, given.samples, given.way or list(ROWS))]
    print("| network | parameters | code | float (%) | as spikes (%) | points lost | decisions alike (%) | synops / MACs |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for r in rows:
        shares = (100 * r["float"], 100 * r["spikes"], r["points_lost"], 100 * r["alike"], r["synops"] / r["macs"])
        told = " | ".join(f"{share:{form}}" for share, form in zip(shares, (".1f", ".1f", "+.1f", ".1f", ".2f"), strict=True))
        print(f"| `{r['network']}` | {r['parameters']:,} | {r['code']} | {told} |")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
