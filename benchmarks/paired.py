"""Two versions of the engine side by side: the same cases in turns, one process each, one thread, processor seconds.

    git worktree add ../before COMMIT
    python benchmarks/paired.py ../before . [--rounds 7] [--only TEXT]

A busy machine slows both: each round times one version right after the other, and the ratio is the median over rounds. Cases are
those of engine.py, of which each version brings its own copy.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys

_WORKER = """
import sys, time
sys.path.insert(0, sys.argv[1])
import neuro
from benchmarks import engine
from benchmarks.delivery import delivery_seconds
from benchmarks.workloads import STEPS, workload_a, workload_b

engine.deliveries = lambda case, network, inputs, repeats: lambda: delivery_seconds(network, inputs, 4)[1]

def row(case, network, inputs, timesteps, repeats, threads=1):
    return lambda: engine.best(lambda: neuro.run(network, inputs, timesteps=timesteps, threads=1), time.thread_time, 2)[1]

engine.row = row
cases = dict(engine.kernel_cases(True))
cases |= {name: make for name, make in engine.network_cases(True) if name.endswith("x1")}
for letter, make in (("A", workload_a), ("B", workload_b)):
    cases[f"workload {letter}"] = lambda make=make, letter=letter: row("", *make()[:2], STEPS[letter], 0)
for line in sys.stdin:
    name = line.strip()
    if name not in cases:
        print(*cases, sep=";", flush=True)
        continue
    if not isinstance(cases[name], tuple):
        cases[name] = (cases[name](),)
    print(cases[name][0](), flush=True)
"""


class Version:
    """A process that times cases in one source tree."""

    def __init__(self, tree: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _WORKER, tree], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def ask(self, line: str) -> str:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(line + "\n")
        return self.process.stdout.readline().strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before")
    parser.add_argument("after")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose name holds TEXT")
    options = parser.parse_args()
    before, after = Version(options.before), Version(options.after)
    print("| case | before, ms | after, ms | after / before, median (least to most) |\n| --- | --- | --- | --- |")
    for name in before.ask("?").split(";"):
        if options.only not in name:
            continue
        pairs = [(float(before.ask(name)), float(after.ask(name))) for _ in range(options.rounds + 1)][1:]
        ratios = sorted(b / a for a, b in pairs)
        least = [1e3 * min(times) for times in zip(*pairs, strict=True)]
        found = f"{statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})"
        print(f"| {name} | {least[0]:.2f} | {least[1]:.2f} | {found} |", flush=True)


if __name__ == "__main__":
    main()
