"""The survey's workloads as spikes on a board, at their public shapes with random weights; writes neuro/machines/spikes.csv.

python benchmarks/survey_spikes.py --workload resnet50                     # prints its row, after minutes
python benchmarks/survey_spikes.py --workload bert-large-128 --write       # replaces its row in the shipped file

Each workload is one process of at most 16 GB; populations are computed and counted one after the other and given up.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import sys
from pathlib import Path

import torch

import neuro
from neuro.studies.surveying.measuring import measured
from neuro.studies.surveying.shapes import WORKLOADS

FILE = Path(__file__).parent.parent / "neuro" / "machines" / "spikes.csv"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workload", action="append", choices=list(WORKLOADS))
    parser.add_argument("--chip", default="loihi2-x32", help="a chip or board by name, or a .toml file")
    parser.add_argument("--write", action="store_true", help="replace the workload's row in the shipped file")
    parser.add_argument("--file", type=Path, default=FILE)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for name in asked.workload or list(WORKLOADS):
        found = measured(name, neuro.load_chip(asked.chip), lambda line: print(line, file=sys.stderr, flush=True))
        made = {"made_by": f"python benchmarks/survey_spikes.py --workload {name} --write", "version": neuro.__version__}
        row = {**found, **made, "date": datetime.date.today().isoformat()}
        before = list(csv.DictReader(asked.file.open())) if asked.write and asked.file.is_file() else []
        kept = {one["workload"]: one for one in before} | {name: row}
        out = asked.file.open("w", newline="") if asked.write else sys.stdout
        writer = csv.DictWriter(out, list(row), lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept[one] for one in WORKLOADS if one in kept)
        if asked.write:
            out.close()


if __name__ == "__main__":
    main()
