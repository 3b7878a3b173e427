"""What a person waits for besides the run itself: conversion, the whole job on few images, the first seconds of a command, and
what `benchmarks/engine_jobs.py` adds: sessions, small runs, recurrent networks, cycles, packing, packets, placing, and
runs in every code.

    python benchmarks/whole_job.py --json FILE [--only TEXT] [--before CHECKOUT] [--peer PYTHON] [--side PIXELS]

Everything is processor time of one thread, each measurement in a process of its own. `--before` names another checkout of this
repository, which is measured in turn with this one; conversions are also given in forward passes of the float network over the
calibration samples, measured in the same process.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import engine_jobs
import numpy as np

ROOT = Path(__file__).parent.parent
Found = dict[str, float]
SAMPLES, IMAGES, T = 32, 500, 16
DIGITS = ROOT / "tests" / "golden" / "digits_network.safetensors"


def clocked(work: Callable[[], Any]) -> tuple[Any, float]:
    began = time.process_time()
    done = work()
    return done, time.process_time() - began


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def forward_s(model: Any, x: np.ndarray) -> float:
    """Seconds of one pass of the float network over x, the better of two."""
    import torch

    def once() -> None:
        with torch.no_grad():
            for part in torch.tensor(x).split(32):
                model(part)

    return min(clocked(once)[1] for _ in range(2))


def converted(model: Any, x: np.ndarray, code: str) -> tuple[Any, Found]:
    """A conversion and what it cost; kernels are compiled, and modules imported, by a small one before it."""
    import warnings

    import torch

    import converters
    from neuro.digits.model import digits_cnn

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    how: Any = {"code": code, "timesteps": T}
    converters.convert(digits_cnn().eval(), np.random.default_rng(0).random((32, 1, 8, 8), np.float32), **how)
    passes, before = forward_s(model, x), peak_mb()
    made, seconds = clocked(lambda: converters.convert(model, x, **how))
    return made, {"cpu_s": seconds, "passes": seconds / passes, "peak_mb": peak_mb(), "forward_peak_mb": before}


def mnist(code: str) -> Found:
    """The MNIST network of sinabs: conversion on 256 images, and the whole job of 500 more; of these, as they are and dimmed to a
    quarter, the least and largest share of neurons that send in a step, layer by layer, and what an image takes."""
    from conversion_networks import mnist_case

    import neuro

    case = mnist_case()
    made, found = converted(case.model, case.calibration, code)
    neuro.run(made.network, case.x[:1])
    run, seconds = clocked(lambda: neuro.run(made.network, case.x[:IMAGES], threads=1))
    right = float((run.predictions == case.y[:IMAGES]).mean())
    found |= {"job_cpu_s": found["cpu_s"] + seconds, "accuracy": right}
    for which, light in (("", 1), ("dimmed_", 0.25)):
        x = case.x[:IMAGES] * np.float32(light)
        run, seconds = min(
            (clocked(lambda x=x: neuro.run(made.network, x, threads=1)) for _ in range(5)), key=lambda done: done[1]
        )
        shares = [run.counts[p.name].messages.sum() / run.counts[p.name].updates.sum() for p in made.network.populations[1:-1]]
        found |= {
            which + "image_cpu_s": seconds / IMAGES,
            which + "least_active": min(shares),
            which + "most_active": max(shares),
        }
        found[which + "synops_per_s"] = run.synops / seconds
    return found


def peer(interpreter: str) -> list[dict[str, Any]]:
    """The same whole job in SpikingJelly, which an interpreter has: rows of its recipes."""
    from conversion_networks import mnist_case
    from safetensors.torch import save_file

    case = mnist_case()
    with TemporaryDirectory() as folder:
        place = Path(folder)
        np.savez(place / "data.npz", calibration=case.calibration, x=case.x[:IMAGES], y=case.y[:IMAGES])
        save_file({key: value.contiguous() for key, value in case.model.state_dict().items()}, place / "weights.safetensors")
        line = [interpreter, str(Path(__file__).parent / "peer_spikingjelly.py"), "sinabs_mnist_cnn", folder, "--job"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(line, check=True, capture_output=True, text=True, env=environment)
    rows: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return rows


def large(name: str, side: int, code: str = "rate") -> Found:
    from large_networks import images, settled

    x = images(SAMPLES, side)
    return converted(settled(name, x), x, code)[1]


def values(name: str) -> Found:
    """A network of `value_networks` on its 256 calibration inputs."""
    from benchmarks.value_networks import case

    given = case(name)
    return converted(given.model, given.calibration, "graded")[1]


def second_point(name: str, code: str, timesteps: int, side: int) -> Found:
    """A further point of a sweep on the calibration of the first (rate, T = 16), not checked again, beside that one."""
    import warnings

    import torch
    from conversion_networks import mnist_case
    from large_networks import images, settled

    from converters.building import build
    from converters.options import settings_of
    from converters.pipeline import convert

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    case = mnist_case()
    how: Any = {"code": "rate", "timesteps": T}
    small = convert(case.model, case.calibration[:32], **how)
    x = case.calibration if name == "mnist" else images(SAMPLES, side)
    model = case.model if name == "mnist" else settled(name, x)

    def point(of: Any) -> Any:
        return build(of.calibrated, settings_of(of.calibrated.samples, code, timesteps, (8, 24), "auto")[0])

    point(small)
    first, seconds = clocked(lambda: convert(model, x, **how))
    _, again = clocked(lambda: point(first))
    return {"cpu_s": again, "first_cpu_s": seconds}


def second_values(name: str) -> Found:
    """A further point of a sweep over a network of `value_networks`: weights of 6 bits after those of 8, not checked again."""
    import torch

    from benchmarks.value_networks import case
    from converters.options import Options
    from converters.pipeline import Conversions, convert

    torch.set_num_threads(1)
    given = case(name)
    convert(given.model, given.calibration[:16], code="graded")
    shared = Conversions(given.model, given.calibration)
    _, seconds = clocked(lambda: shared.network(Options(code="graded")))
    _, again = clocked(lambda: shared.network(Options(code="graded", weight_bits=6)))
    return {"cpu_s": again, "first_cpu_s": seconds}


def command(*arguments: str, cold: bool = False) -> Found:
    """A command of `neuro`, with kernels on disk or, `cold`, without any."""
    with TemporaryDirectory() as folder:
        place = Path(folder)
        np.savez(place / "test.npz", x=np.random.default_rng(0).random((64, 1, 8, 8)), y=np.zeros(64, int))
        environment = {**os.environ, **({"NUMBA_CACHE_DIR": str(place / "kernels")} if cold else {})}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has its byte code

        def once() -> float:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            line = [sys.executable, "-m", "neuro", *arguments]
            subprocess.run(line, check=True, cwd=folder, env=environment, capture_output=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

        if arguments[0] == "run" and not cold:  # a command does small work without kernels rather than compile them
            subprocess.run([sys.executable, "-c", COMPILED], check=True, cwd=folder, env=environment)
        first = once()
        return {"cpu_s": first if cold else min(once() for _ in range(3))}


COMPILED = f"""
import neuro, numpy as np
network = neuro.Network.load({str(DIGITS)!r})
neuro.emulate(neuro.place(network, neuro.load_chip("loihi2")), np.load("test.npz")["x"], record=("logits_by_step",))
"""
PACKETS = f"""
import time
import neuro, numpy as np
network = neuro.Network.load({str(DIGITS)!r})
placement, x = neuro.place(network, neuro.load_chip("loihi2")), np.random.default_rng(0).random((4, 1, 8, 8))
neuro.emulate(placement, x)
began = time.process_time()
neuro.emulate(placement, x, noc="packet")
print(time.process_time() - began)
"""


def first_packets() -> Found:
    """The first simulation of packets ever, beyond a run that counts them."""
    with TemporaryDirectory() as folder:
        environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
        done = subprocess.run([sys.executable, "-c", PACKETS], check=True, capture_output=True, text=True, env=environment)
    return {"cpu_s": float(done.stdout)}


RUN = ("run", str(DIGITS), "--data", "test.npz", "--quiet")
Case = Callable[[int], Found]
CASES: dict[str, Case] = {
    "convert MNIST, rate": lambda side: mnist("rate"),
    "convert MNIST, signed": lambda side: mnist("signed"),
    "convert MNIST, graded": lambda side: mnist("graded"),
    "convert ResNet-18, rate": lambda side: large("resnet18", side),
    "convert MobileNet, rate": lambda side: large("mobilenet", side),
    "convert ResNet-50, rate": lambda side: large("resnet50", side),
    "convert MobileNet with hardswish, graded": lambda side: large("hardswish", side, "graded"),
    "convert a small MobileNetV3, graded": lambda side: values("mobilenet"),
    "convert a small Conformer, graded": lambda side: values("conformer"),
    **{
        f"{told} after rate, T = 16, {shown}": (lambda side, one=(name, code, timesteps): second_point(*one, side))
        for name, shown in (("mnist", "MNIST"), ("resnet18", "ResNet-18"))
        for told, code, timesteps in (("rate, T = 32,", "rate", 32), ("radix, 8 digits,", "radix", 8), ("graded", "graded", 1))
    },
    "weights of 6 bits after 8, small Conformer": lambda side: second_values("conformer"),
    "neuro chips": lambda side: command("chips"),
    "neuro run, kernels on disk": lambda side: command(*RUN),
    "neuro run, first ever": lambda side: command(*RUN, cold=True),
    "packet network, first ever": lambda side: first_packets(),
    **{name: (lambda side, job=job: job()) for name, job in engine_jobs.CASES.items()},
}


def measured(case: str, checkout: Path, side: int) -> Found:
    """A case in a process of its own, with the packages of a checkout."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    line = [sys.executable, str(Path(__file__)), "--measure", case, "--side", str(side)]
    done = subprocess.run(line, check=False, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"{case} in {checkout} ended with\n{done.stderr}")
    found: Found = json.loads(done.stdout.splitlines()[-1])
    return found


def told(row: dict[str, Any]) -> str:
    now, before = row["now"], row.get("before")
    passes = f", {now['passes']:.1f} forward passes" if "passes" in now else ""
    was = f" (before: {in_s(before['cpu_s'])} s, {before['cpu_s'] / now['cpu_s']:.1f} times as much)" if before else ""
    job = f", with {IMAGES} images {now['job_cpu_s']:.2f} s, {100 * now['accuracy']:.1f} % right" if "job_cpu_s" in now else ""
    others = "".join(
        f"\n    SpikingJelly, {one['recipe']}: {one['convert_cpu_s']:.2f} s, with the images {one['job_cpu_s']:.2f} s, "
        f"{100 * one['accuracy']:.1f} % right"
        for one in row.get("peer", ())
    )
    first = f", {now['cpu_s'] / now['first_cpu_s']:.2f} of the first" if "first_cpu_s" in now else ""
    images = "".join(
        f"\n    an image with {100 * now[which + 'least_active']:.0f} to {100 * now[which + 'most_active']:.0f} % active: "
        f"{1e3 * now[which + 'image_cpu_s']:.2f} ms, {now[which + 'synops_per_s'] / 1e9:.1f} G synops/s"
        + "".join(
            f", {image_cpu_s(one) / now[which + 'image_cpu_s']:.1f} times as fast as {one['recipe']}"
            for one in row.get("peer", ())
        )
        for which in ("", "dimmed_")
        if which + "image_cpu_s" in now
    )
    return f"{row['case']:44} {in_s(now['cpu_s']):>9} s{passes}{first}{job}{was}{others}{images}"


def image_cpu_s(peer_row: dict[str, Any]) -> float:
    """What an image takes in SpikingJelly, which computes as much whatever is sent."""
    return float((peer_row["job_cpu_s"] - peer_row["convert_cpu_s"]) / IMAGES)


def in_s(seconds: float) -> str:
    """Seconds, with more places where they are few."""
    return f"{seconds:.2f}" if seconds >= 0.1 else f"{seconds:.9f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--only", default="", help="cases whose name holds this text")
    parser.add_argument("--before", type=Path, help="another checkout, measured beside this one")
    parser.add_argument("--peer", help="an interpreter that has SpikingJelly 2.0, for whole jobs beside ours")
    parser.add_argument("--side", type=int, default=224, help="pixels of a large network's images (default: %(default)s)")
    parser.add_argument("--measure", choices=list(CASES), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(CASES[arguments.measure](arguments.side)))
        return
    rows: list[dict[str, Any]] = []
    for case in (name for name in CASES if arguments.only in name):
        row: dict[str, Any] = {"case": case, "side": arguments.side, "now": measured(case, ROOT, arguments.side)}
        if arguments.before:
            row["before"] = measured(case, arguments.before.resolve(), arguments.side)
        if arguments.peer and "job_cpu_s" in row["now"]:
            row["peer"] = peer(arguments.peer)
        rows.append(row)
        print(told(row), flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
