"""Fit the class parameters on neuro/machines/measured.csv and write neuro/machines/calibrated.toml.

    python benchmarks/calibrate_machines.py          # prints the file
    python benchmarks/calibrate_machines.py --write  # replaces it

What no measurement can tell keeps its assumed value, listed here with its reason.
"""

import argparse
from pathlib import Path

from neuro.machines.calibration import TASKS, calibrate
from neuro.machines.points import shipped_points
from neuro.machines.prediction import observations

FILE = Path(__file__).parent.parent / "neuro" / "machines" / "calibrated.toml"
CALCULON = "prior of calculon, systems/a100_80g.json: 0.9 of the bandwidth for large transfers"
HALF = "half of the memory holds what the next layer reads"
ASSUMED = {
    "accelerator": {"memory_share": (0.9, "share", CALCULON), "cache_share": (0.5, "share", HALF)},
    "systolic": {
        "compute_share": (0.8, "share", "cycles are exact; a fifth is left for synchronisation and the layers between products"),
        "memory_share": (0.9, "share", CALCULON),
        "cache_share": (0.5, "share", HALF),
        "floor_us": (5.0, "us", "as other accelerators; no batch-1 latency of a TPU is public"),
    },
    "power": {"idle_share": (0.12, "share", "idle draw of cards and modules; a wall reading cannot tell it from the server's")},
    "cpu": {"cache_share": (0.5, "share", HALF)},
    "mcu": {
        "awake_share": (1.0, "share", "power.busy is a running power"),
        "idle_share": (0.0, "share", "idle power is not told apart"),
    },
    "dataflow": {
        "resource_share": (0.5, "share", "what place and route commonly reach"),
        "host_us": (12.5, "us", "facts of FINN on PYNQ-Z2: 57,257 of 200,000 inferences a second; one family, so not held out"),
        "awake_share": (1.0, "share", "power.busy is a running power"),
        "idle_share": (0.0, "share", "idle power is not told apart"),
    },
}
UNITS = {"us": "us", "cycles": "cycles", "tops": "W/TOPS", "exponent": "1", "w": "W", "coremark": "MAC/cycle per CoreMark/MHz"}


def unit_of(name: str) -> str:
    return UNITS.get(name.rsplit("_", 1)[-1], "share")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="replace the shipped file")
    write = parser.parse_args().write
    data, _ = observations(shipped_points())
    found = calibrate(data)
    evidence = {}
    for task in TASKS:
        used = [o for o in data if task.uses(o)]
        text = f"measured.csv: {len(used)} numbers of {len({o.family for o in used})} families"
        evidence.update({(task.section, name): text for name in task.names})
    lines = ["# Written by benchmarks/calibrate_machines.py; see docs/machines.md."]
    for section in sorted({*found, *ASSUMED}):
        lines.append(f"\n[{section}]")
        for name, value in found.get(section, {}).items():
            rounded, source = f"{value if value > 1e-4 else 0:.4g}", evidence[section, name]
            lines.append(f'{name} = {{value = {rounded}, unit = "{unit_of(name)}", basis = "fitted", source = "{source}"}}')
        for name, (value, unit, source) in ASSUMED.get(section, {}).items():
            lines.append(f'{name} = {{value = {value}, unit = "{unit}", basis = "assumed", source = "{source}"}}')
    text = "\n".join(lines) + "\n"
    if write:
        FILE.write_text(text)
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
