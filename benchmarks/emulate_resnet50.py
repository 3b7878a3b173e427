"""Place ResNet-50 on a board of Loihi-2-like chips and count it at stated activities; writes neuro/machines/emulated.csv.

python benchmarks/emulate_resnet50.py                     # prints; placing ten million neurons takes many minutes
python benchmarks/emulate_resnet50.py --write             # replaces the shipped file
python benchmarks/emulate_resnet50.py --side 64 --chip loihi2-x8   # a small image, quicker
"""

import argparse
import csv
import datetime
import sys
import time
from pathlib import Path

import neuro
from neuro.machines.spiking import at_activity, resnet50_network

FILE = Path(__file__).parent.parent / "neuro" / "machines" / "emulated.csv"
ACTIVITIES = (0.05, 0.10, 0.20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="replace the shipped file")
    parser.add_argument("--side", type=int, default=224, help="side of the image in pixels")
    parser.add_argument("--chip", default="loihi2-x32", help="a chip or board by name, or a .toml file")
    parser.add_argument("--timesteps", type=int, default=16)
    asked = parser.parse_args()
    network = resnet50_network(side=asked.side, timesteps=asked.timesteps)
    chip = neuro.load_chip(asked.chip)
    began = time.perf_counter()
    placement = neuro.place(network, chip)
    print(
        f"placed {network.neurons:,} neurons on {placement.cores_used:,} cores in {time.perf_counter() - began:.0f} s",
        file=sys.stderr,
    )
    rows = []
    for activity in ACTIVITIES:
        bill = at_activity(placement, activity)
        rows.append(
            {
                "machine": bill.target,
                "side": asked.side,
                "timesteps": asked.timesteps,
                "activity": activity,
                "neurons": network.neurons,
                "synapses": network.synapses,
                "cores": placement.cores_used,
                "latency_ns": f"{bill.latency_ns:.6g}",
                "throughput_per_s": f"{bill.throughput_per_s:.6g}",
                "energy_pj": f"{bill.energy_pj:.6g}",
                "dynamic_pj": f"{bill.dynamic_pj:.6g}",
                "basis": bill.basis,
                "made_by": "python benchmarks/emulate_resnet50.py --write",
                "version": neuro.__version__,
                "date": datetime.date.today().isoformat(),
            }
        )
    out = FILE.open("w", newline="") if asked.write else sys.stdout
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


if __name__ == "__main__":
    main()
