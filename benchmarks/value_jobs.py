"""What networks that compute with values cost beside their float networks, for cases of `benchmarks/whole_job.py`.

Conversion on 128 calibration samples, a run of them in the event engine (and message by message, as it was before
`neuro.engine.batch`), and their quantised form: processor time of one thread in one process, in forward passes of the float
network in torch over the same samples, medians of rounds in which each is timed right after a pass.

    python benchmarks/value_jobs.py [NAME ...]
"""

from __future__ import annotations

import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent.parent))  # as a script's neighbour it does not find `benchmarks` and `tests`

SAMPLES, ROUNDS = 128, 7
NAMES = ("mobilenet", "conformer", "ViT", "ConvNeXt")


def network_of(name: str) -> tuple[Any, Any]:
    """A trained network of `benchmarks/value_networks.py`, or a small one of `tests/architectures.py`; and samples."""
    import torch

    if name in ("mobilenet", "conformer"):
        from benchmarks.value_networks import case

        found = case(name)
        return found.model, found.calibration[:SAMPLES]
    from tests.architectures import ARCHITECTURES

    made, shape, _ = ARCHITECTURES[name]
    torch.manual_seed(0)
    return made().eval(), torch.randn(SAMPLES, *shape).numpy()


def measured(name: str) -> dict[str, float]:
    """Passes of conversion, of a run in either way and of the quantised form; `cpu_s` is that of a run."""
    import torch

    import converters
    import neuro
    from neuro.engine.batch import run as batch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    model, x = network_of(name)
    converters.convert(model, x[:16], code="graded")
    given = torch.tensor(x)

    def forward() -> None:
        with torch.no_grad():
            model(given)

    def message_by_message() -> None:
        fewest, batch.FEWEST_SAMPLES = batch.FEWEST_SAMPLES, 1 << 30
        try:
            neuro.run(made.network, x, threads=1)
        finally:
            batch.FEWEST_SAMPLES = fewest

    made = converters.convert(model, x, code="graded")
    works: dict[str, tuple[Callable[[], Any], int]] = {
        "passes": (lambda: neuro.run(made.network, x, threads=1), ROUNDS),
        "passes_by_message": (message_by_message, 3),
        "passes_quantised": (lambda: made.quantised(x), 3),
        "passes_conversion": (lambda: converters.convert(model, x, code="graded"), 2),
    }
    found: dict[str, float] = {}
    for what, (work, rounds) in works.items():
        work(), forward()
        ratios, seconds = [], []
        for _ in range(rounds):
            each = [min(cpu_s(forward) for _ in range(3)), cpu_s(work)]
            ratios.append(each[1] / each[0])
            seconds.append(each[1])
        found[what] = statistics.median(ratios)
        if what == "passes":
            found["cpu_s"] = min(seconds)
    return {**found, "neurons": float(sum(p.size for p in made.network.populations)), "steps": float(made.network.steps(1))}


def cpu_s(work: Callable[[], Any]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def main() -> None:
    print("| network | neurons | steps | a run | message by message | quantised | conversion |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in sys.argv[1:] or NAMES:
        one = measured(name)
        passes = " | ".join(
            f"{one[what]:.1f}" for what in ("passes", "passes_by_message", "passes_quantised", "passes_conversion")
        )
        print(f"| {name} | {one['neurons']:,.0f} | {one['steps']:.0f} | {passes} |", flush=True)


if __name__ == "__main__":
    main()
