"""The chip's benchmark: quality and time of placement, speed of the packet network, overhead of emulation, prices.

    python benchmarks/chip.py [--json FILE] [--quick]

Every row says what its value is measured against. Times are processor seconds of one thread, so that a busy machine does not
change them much; the network's speed counts one packet over one link as a hop. Nothing here is compared with a typed-in time.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import blouw
import numpy as np
from chip_networks import listed_layers, mobilenet, resnet50, small_convnet

import neuro
from neuro.chip.packets.grid import Grid, Packets
from neuro.chip.packets.noc import drain

Row = dict[str, Any]
Result = TypeVar("Result")
MESH = Grid(
    width=8, height=8, local_ports=1, fabrics=1, buffer=16, chip_width=8, chip_height=8, hop_x=4, hop_y=4, service=1,
    across_hop=0, across_service=1, local=0,
)  # fmt: skip


def row(case: str, metric: str, value: float, unit: str, against: str) -> Row:
    return {"case": case, "metric": metric, "value": float(value), "unit": unit, "against": against}


def timed(function: Callable[[], Result], repeats: int = 1) -> tuple[float, Result]:
    """Processor seconds of the quickest of some repeats, and the last result."""
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        result = function()
        best = min(best, time.process_time() - start)
    return best, result


def placement_quality(*, quick: bool) -> Iterator[Row]:
    """Packets times hops of each placement method, every neuron sending one message."""
    large, small = neuro.load_chip("loihi2"), neuro.load_chip("loihi1-nahuku")
    local, lists = listed_layers(side=16 if quick else 32)[0], listed_layers(side=16)[1]
    plain_methods = ("refined", "sequential", "random")
    cases: list[tuple[str, neuro.Network, neuro.Chip, tuple[Any, ...]]] = [
        ("convnet, 117,898 neurons", small_convnet(), large, plain_methods),
        ("mobilenet, 462,056 neurons", mobilenet(), large, plain_methods),
        (f"local layers, {local.neurons:,} neurons, convolutions", local, small, plain_methods),
        (f"local layers, {lists.neurons:,} neurons, shuffled lists", lists, small, ("partitioned", *plain_methods)),
    ]
    for case, network, chip, methods in cases:
        measured = {m: neuro.place(network, chip, method=m).traffic() for m in methods}
        for method in methods:
            packets, hops = measured[method]
            yield row(case, f"packets, {method}", packets, "packets", "one message of every neuron")
            yield row(case, f"hops, {method}", hops, "hops", "one message of every neuron")
        best, plain = measured[methods[0]][1], measured["sequential"][1]
        yield row(case, f"hops, {methods[0]} / sequential", best / plain, "ratio", "0.5 or less asked for")


def placement_time(*, quick: bool) -> Iterator[Row]:
    chip = neuro.load_chip("loihi2")
    cases: list[tuple[str, Callable[[], neuro.Network], str]] = [
        ("mobilenet, 462,056 neurons", mobilenet, "less than 60 s asked for")
    ]
    if not quick:
        cases.append(("ResNet-50 at 224x224 on a board", resnet50, "less than 180 s asked for"))
    for case, make, bar in cases:
        network = make()
        start = time.perf_counter()
        seconds, placement = timed(lambda network=network: neuro.place(network, chip, board="auto"))
        yield row(case, "neurons", network.neurons, "neurons", "")
        yield row(case, "place, processor time", seconds, "s", bar)
        yield row(case, "place, clock time", time.perf_counter() - start, "s", bar)
        yield row(case, "cores", placement.cores_used, "cores", f"{placement.chip.usable_cores} on {placement.chip.chips} chips")
        yield row(case, "limits broken", len(placement.check()), "limits", "0 asked for")


def packet_network(*, quick: bool) -> Iterator[Row]:
    """The laws that were measured on BookSim2 (8x8 mesh, 1-flit packets, batches), and the speed of the simulation."""
    rng = np.random.default_rng(0)
    each = 500 if quick else 3000
    sender, zeros = np.repeat(np.arange(64), each), np.zeros(64 * each, np.int64)
    ones = zeros + 1
    drained = drain(MESH, Packets(np.array([0, 64 * each]), sender, zeros, zeros, ones))
    over = int(drained.makespan[0]) - 64 * each
    yield row("hotspot, 64 nodes to a corner", "makespan less 64 N services", over, "services", "below 10: the exact law")
    for n in dict.fromkeys((10, 20, 50, 100, 500, each)):
        late, hops, seconds = [], 0, 0.0
        for _ in range(3):
            sender, receiver, ready = np.repeat(np.arange(64), n), rng.integers(0, 64, 64 * n), np.tile(np.arange(n), 64)
            packets = Packets(np.array([0, 64 * n]), sender, receiver, ready, ones[: 64 * n])
            spent, drained = timed(lambda packets=packets: drain(MESH, packets))
            hops, seconds = hops + drained.hops, seconds + spent
            late.append(drained.makespan[0] / (drained.loads.max() + 2 * 63 / 24 * MESH.hop_x + MESH.service) - 1)
        against = "0.06 to 0.29 on BookSim2, most for short batches"
        yield row(f"uniform, {n} packets a node", "drain over heaviest-link bound", float(np.mean(late)), "share", against)
    yield row(f"uniform, {each} packets a node", "simulated", hops / seconds / 1e6, "M hops/s", "5 or more asked for")


def emulation(*, quick: bool) -> Iterator[Row]:
    """What counting and the packet simulation add to the plain run of the same samples, one thread."""
    chip, rng = neuro.load_chip("loihi2"), np.random.default_rng(0)
    cases = [("convnet", small_convnet(), 8), ("mobilenet", mobilenet(), 4)][: 1 if quick else 2]
    for name, network, samples in cases:
        inputs = rng.integers(0, 256, (samples, *network.populations[0].shape))
        placement = neuro.place(network, chip)
        for noc in ("analytic", "packet"):
            neuro.emulate(network, placement, inputs[:1], noc=noc)  # compile first
        plain, _ = timed(lambda n=network, x=inputs: neuro.run(n, x, threads=1), 3)
        case = f"{name}, {samples} samples"
        yield row(case, "plain run", plain, "s", "")
        for noc in ("analytic", "packet"):
            seconds, found = timed(lambda n=network, p=placement, x=inputs, k=noc: neuro.emulate(n, p, x, noc=k, threads=1), 3)
            yield row(case, f'emulate, noc="{noc}"', seconds / plain, "times", "the plain run")
            yield row(case, f'latency, noc="{noc}"', found.bill.latency_ns / 1000, "us", "one inference")
        assert found.traffic is not None
        yield row(case, "samples simulated", len(found.traffic.samples), "samples", f"of {samples}; energy is of all")
        yield row(case, "packets simulated", found.traffic.packets, "packets", f"{found.traffic.hops:,} hops")


def prices() -> Iterator[Row]:
    """The scaled keyword networks and the spotter against the silicon (see benchmarks/blouw.py for what was assumed)."""
    for refractory in (1.0, 2.0):
        case = f"Blouw et al., copies of 10 x 256, refractory {refractory:g} ms"
        slope, _, rate = blouw.slope_uj(refractory)
        yield row(case, "mean rate", rate, "spikes/step", "Nengo's default rates without input, assumed")
        yield row(case, "energy of a copy", slope, "uJ", f"{blouw.MEASURED_SLOPE_UJ} uJ measured")
        yield row(case, "error", slope / blouw.MEASURED_SLOPE_UJ - 1, "share", "within 0.25 asked for")
    case, chip_run = "Blouw et al., spotter 390-256-256-29", blouw.emulated(0)
    mesh = chip_run.bill.dynamic_pj / 1e6
    hosted = chip_run.price(blouw.with_host(chip_run)).energy_by_part()
    management = hosted["management"] / 1e6
    yield row(case, "mesh", mesh, "uJ", f"at most {blouw.MEASURED_MESH_UJ} uJ measured over the idle after a run")
    yield row(case, "management", management, "uJ", "66.8 mW for the measured 3.37 ms")
    yield row(case, "mesh and management", mesh + management, "uJ", f"{blouw.MEASURED_OVER_BOOT_UJ} uJ measured over boot idle")
    yield row(case, "error", (mesh + management) / blouw.MEASURED_OVER_BOOT_UJ - 1, "share", "")
    davies = chip_run.price(neuro.load_chip("loihi1-davies2018")).dynamic_pj / 1e6
    yield row(case, "mesh, prices of Davies et al. 2018", davies, "uJ", f"{mesh:.2f} uJ with the fitted prices")


def rows(*, quick: bool) -> Iterator[Row]:
    yield from placement_quality(quick=quick)
    yield from placement_time(quick=quick)
    yield from packet_network(quick=quick)
    yield from emulation(quick=quick)
    yield from prices()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--quick", action="store_true", help="smaller cases, without ResNet-50")
    arguments = parser.parse_args()
    found = []
    for entry in rows(quick=arguments.quick):
        found.append(entry)
        print(
            f"{entry['case']:55} {entry['metric']:40} {entry['value']:14,.4g} {entry['unit']:12} {entry['against']}", flush=True
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
