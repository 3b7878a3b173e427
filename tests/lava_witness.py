"""Lava's own arithmetic, restated plainly from lava.proc (lif, sdn, dense) as a witness that shares nothing with the package."""

import h5py
import numpy as np


def decayed(x: np.ndarray, lost: int) -> np.ndarray:
    return np.sign(x) * ((np.abs(x) * (4096 - lost)) >> 12)


class Lif:
    """PyLifResetModelBitAcc: reset before the step, current, voltage, strict threshold. Steps are counted from 1."""

    def __init__(self, size: int, du: int, dv: int, vth: int, bias: np.ndarray, interval: int | None, offset: int):
        self.u, self.v = np.zeros(size, np.int64), np.zeros(size, np.int64)
        self.du, self.dv, self.vth, self.bias, self.interval, self.offset = du, dv, vth, bias, interval, offset

    def step(self, arriving: np.ndarray, time_step: int) -> np.ndarray:
        if self.interval and time_step % self.interval == self.offset % self.interval:
            self.u[:], self.v[:] = 0, 0
        self.u = decayed(self.u, self.du + 1) + (arriving << 6)
        self.v = np.clip(decayed(self.v, self.dv) + self.u + (self.bias << 6), 1 - 2**23, 2**23 - 1)
        fired = self.v > self.vth << 6
        self.v[fired] = 0
        return fired.astype(np.int64)


class Sdn:
    """PySigmaDeltaModelFixed, its corrected form, and PyDeltaModelFixed where values are its input."""

    def __init__(self, size: int, vth: int, bias: object, corrected: bool, values: bool = False):
        zero = np.zeros(size, np.int64)
        self.sigma, self.act, self.residue = zero, zero, zero
        self.vth, self.bias, self.corrected, self.values = vth << 12, np.asarray(bias) << 12, corrected, values

    def step(self, arriving: np.ndarray, time_step: int) -> np.ndarray:
        if self.values:
            act = arriving << 12
        else:
            self.sigma = self.sigma + arriving
            act = np.maximum(self.sigma + self.bias, 0)
        if self.corrected:
            delta = act - self.act
            sent = np.where(np.abs(delta) >= self.vth, delta, 0) >> 6
            self.act = self.act + (sent << 6)
            return sent
        delta = act - self.act + self.residue
        sent = np.where(np.abs(delta) >= self.vth, delta, 0)
        self.residue, self.act = delta - sent, act
        return sent >> 6


def write_net(path: object, blocks: list[dict[str, object]], steps: int | None = None) -> None:
    """A file as slayer exports it: `blocks` by name of dataset, "neuron/..." in a group of their own."""
    with h5py.File(path, "w") as opened:
        for number, block in enumerate(blocks):
            for name, value in block.items():
                text = np.array([value.encode()], "S10") if isinstance(value, str) else value
                opened[f"layer/{number}/{name}"] = text
        if steps:
            opened["simulation/tSample"] = steps


def lif(du: int = 1024, dv: int = 128, vth: int = 20, **more: object) -> dict[str, object]:
    given = {"type": "LOIHI", "iDecay": du, "vDecay": dv, "vThMant": vth, "refDelay": 1, "wgtExp": 0, **more}
    return {f"neuron/{name}": value for name, value in given.items()}


def sdn(vth: int = 2, **more: object) -> dict[str, object]:
    return {f"neuron/{name}": value for name, value in {"type": "SDNN", "activation": "relu", "vThMant": vth, **more}.items()}


def dense(weight: np.ndarray, neuron: dict[str, object], kind: str = "dense", **more: object) -> dict[str, object]:
    out, inputs = weight.shape
    sizes = {"shape": np.array([out, 1, 1]), "inFeatures": inputs, "outFeatures": out}
    return {"type": kind, **sizes, "weight": weight.astype(np.float32), **neuron, **more}
