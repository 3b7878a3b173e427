"""What the host adds: how layers reach a machine. Knows the three ways of running a network there are here.

`graph`: the whole network is captured once and runs by itself. `framework`: a framework dispatches it layer by layer, after a
fixed time per call. `usb`: input and output cross a USB bus, once per batch, and a stick starts each layer itself.
"""

from __future__ import annotations

from dataclasses import replace

from neuro.machines.device import BITS, Device, Parameters
from neuro.machines.roofline import Rates


def host_seconds(machine: Device, p: Parameters) -> float:
    """Seconds that the host spends once per batch."""
    start_us = 0.0 if machine.runtime == "graph" else p[f"{machine.runtime}_start_us"]
    return machine.value("time.start", start_us) * 1e-6


def hosted(rates: Rates, machine: Device, p: Parameters) -> Rates:
    """The rates with the host's dispatch added to every kernel."""
    if machine.runtime == "graph":
        return rates
    return replace(rates, floor_s=rates.floor_s + machine.value("time.dispatch", p[f"{machine.runtime}_dispatch_us"]) * 1e-6)


def plain_rates(machine: Device, precision: str, batch: int, p: Parameters) -> Rates:
    """Peak, bandwidth and cache, each times the share that machines of this kind reach. A processor or a plain accelerator."""
    return Rates(
        macs_per_s=machine.peak_macs(precision) * p["compute_share"],
        bytes_per_s=machine.value("memory.bandwidth") * 1e9 * p["memory_share"],
        cache_bytes=machine.value("memory.cache", 0.0) * 2**20 * p["cache_share"],
        floor_s=p["floor_us"] * 1e-6,
        bits=BITS[precision],
    )
