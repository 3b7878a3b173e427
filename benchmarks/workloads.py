"""Two small public workloads with known spike counts: A, sparse leaky neurons; B, dense integrate and fire.

One generator makes everything in a fixed order, so that other tools can make the same; a layer hears the one before a step
later. The golden counts are those of nengo-loihi and Brian2 on the same networks.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

import neuro

STEPS = {"A": 200, "B": 100}
Workload = tuple[neuro.Network, np.ndarray, dict[str, int]]


def _made() -> dict[str, object]:
    rng = np.random.default_rng(0)

    def listed(rows: int, columns: int) -> sparse.csr_array:
        matrix = sparse.random(rows, columns, density=0.1, format="csr", random_state=rng, dtype=np.float64)
        data = 2 * rng.integers(-40, 60, matrix.nnz)
        matrix.data = np.where(data == 0, 2, data).astype(np.int32)
        return sparse.csr_array(matrix.astype(np.int32))

    made: dict[str, object] = {"a": rng.random((200, 1000)) < 0.05}
    made["a1"], made["a2"] = listed(4096, 1000), listed(4096, 4096)
    made["b"] = rng.random((100, 784)) < 0.10
    for name, shape in (("b1", (1024, 784)), ("b2", (1024, 1024)), ("b3", (10, 1024))):
        made[name] = (2 * rng.integers(-40, 60, shape)).astype(np.int32)
    return made


def _neuron(threshold: int, decay: int) -> neuro.CubaLif:
    return neuro.CubaLif(current_decay=4095, voltage_decay=decay, threshold=threshold)


def workload_a() -> Workload:
    """1000 sources at 5 % -> 4096 -> 4096 leaky neurons, a tenth of the pairs connected, 200 steps."""
    made = _made()
    network = neuro.Network(
        (
            neuro.Population("in", (1000,), neuro.Source(levels=1)),
            neuro.Population("L1", (4096,), _neuron(1748, 128)),
            neuro.Population("L2", (4096,), _neuron(4462, 128)),
        ),
        (neuro.Sparse("in", "L1", made["a1"].T), neuro.Sparse("L1", "L2", made["a2"].T)),
    )
    return network, made["a"][None].astype(np.int8), {"L1": 27_964, "L2": 32_874}


def workload_b() -> Workload:
    """784 sources at 10 % -> 1024 -> 1024 -> 10 neurons without leak, all connected, 100 steps."""
    made = _made()
    network = neuro.Network(
        (
            neuro.Population("in", (784,), neuro.Source(levels=1)),
            neuro.Population("L1", (1024,), _neuron(23904, 0)),
            neuro.Population("L2", (1024,), _neuron(15468, 0)),
            neuro.Population("L3", (10,), _neuron(15520, 0)),
        ),
        tuple(neuro.Dense(a, b, made[w].T) for a, b, w in (("in", "L1", "b1"), ("L1", "L2", "b2"), ("L2", "L3", "b3"))),
    )
    return network, made["b"][None].astype(np.int8), {"L1": 5_643, "L2": 6_182, "L3": 68}
