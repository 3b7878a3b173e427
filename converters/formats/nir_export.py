"""Network -> NIR graph: what NIR can say in its nodes, the rest in metadata. Knows what other readers will make of it.

Time is counted in steps. Metadata of a node holds every field of the population or projection that it stands for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.errors import FormatError
from neuro.network import Network, Population
from neuro.neurons import CubaLif, IntegrateAndFire, LeakyReadout, Neuron, Readout, Source
from neuro.projections import Projection, SumPool2d
from neuro.projections.forms import as_convolution
from neuro.windows import Shape

FORMAT = 1
NONE = "None"
_MOST_WEIGHTS = 2**27  # of a matrix; NIR has no sparse ones
_NO_LEAK = 1e12  # steps: a time constant that is as good as none


def exported(network: Network, *, extended: bool) -> tuple[Any, tuple[str, ...]]:
    """The network as a nir.NIRGraph, and notes on what a reader that ignores the metadata gets wrong."""
    import nir

    writer = _Writer(network, extended)
    for population in network.populations:
        writer.population(population)
    for index, projection in enumerate(network.projections):
        writer.projection(index, projection)
    for population in network.populations:
        writer.bias(population)
    metadata: dict[str, Any] = {"neuro_format": FORMAT, "timesteps": network.timesteps or 0}
    metadata |= {f"note_{i}": note for i, note in enumerate(network.notes)}
    metadata["order"] = ",".join(writer.keys[p.name] for p in network.populations)
    return nir.NIRGraph(writer.nodes, writer.edges, metadata, type_check=False), tuple(dict.fromkeys(writer.notes))


_SINCE = {"neuron": None, "refractory": 1, "reset_interval": None, "reset_offset": 0}  # fields that older readers do not know


def described(part: Any, skip: tuple[str, ...] = ()) -> dict[str, Any]:
    """Fields of a frozen value as metadata: numbers, text and arrays; None as text."""
    found: dict[str, Any] = {}
    for name, value in part._values():
        if name in skip or (name in _SINCE and value == _SINCE[name]):
            continue
        if isinstance(value, tuple | list | np.ndarray):
            found[name] = np.asarray(value)
        elif value is None:
            found[name] = NONE
        else:
            found[name] = int(value) if isinstance(value, bool | np.integer) else value
    return found


class _Writer:
    """Collects nodes and edges."""

    def __init__(self, network: Network, extended: bool) -> None:
        self.network, self.extended = network, extended
        self.nodes: dict[str, Any] = {}
        self.edges: list[tuple[str, str]] = []
        self.notes: list[str] = []
        self.keys = {p.name: self._key(p.name, i) for i, p in enumerate(network.populations)}
        self.flat = self._flat()

    def _key(self, name: str, index: int) -> str:
        plain = "/" not in name and "," not in name and name.strip(".") != "" and name.isprintable()
        return name if plain and not name.startswith(("synapses_", "population_")) else f"population_{index}"

    def _flat(self) -> set[str]:
        """Populations that are written as one axis, because what projects to them yields no other."""
        flat: set[str] = set()
        while True:
            more = {p.target for p in self.network.projections if p.target not in flat and self._flattens(p, flat)}
            if not more:
                return flat
            flat |= more

    def _flattens(self, p: Projection, flat: set[str]) -> bool:
        source, target = self.network[p.source], self.network[p.target]
        if len(target.shape) == 1:
            return False
        native = p.slides or (p.offset == 0 and source.shape == target.shape)
        return not native or p.source in flat

    def _shape(self, p: Population) -> tuple[int, ...]:
        return (p.size,) if p.name in self.flat else p.shape

    def population(self, p: Population) -> None:
        """The node of a population; a readout has an Output behind it, and so has what projects nowhere."""
        import nir

        key, shape = self.keys[p.name], self._shape(p)
        where = f"population {p.name!r}"
        self._check(p, where)
        metadata = {"name": p.name, "shape": np.array(p.shape), "model": type(p.neuron).__name__, **described(p.neuron)}
        self.nodes[key] = _neuron_node(p.neuron, shape, metadata)
        if p.neuron.is_source:
            if p.neuron.on_chip or metadata["scale"] != NONE or metadata["twin"]:
                self.notes.append(f"{where}: other readers must be fed its coded messages, not the values")
            return
        if p.neuron.start_step:
            self.notes.append("start steps are in the metadata only: other readers pass spikes on within a step")
        if type(p.neuron) is IntegrateAndFire and p.neuron.subtracts:
            self.notes.append("the reset by subtraction is in the metadata only: NIR's IF resets to v_reset")
        if not p.neuron.plain:
            self.notes.append(f"{where}: its reset at intervals or refractory period is in the metadata only")
        if np.any(p.neuron.initial_potential):
            self.notes.append("initial potentials are in the metadata only: NIR has none")
        if p.neuron.is_readout or not self.network.out_of(p.name):
            output = f"{key}_output"
            self.nodes[output] = nir.Output(np.array(shape))
            self.edges.append((key, output))

    def _check(self, p: Population, where: str) -> None:
        neuron = p.neuron
        if not neuron.storable:
            raise FormatError(where, f"a {type(neuron).__name__}'s function cannot be stored", "Keep its script")
        if neuron.computes:
            raise FormatError(where, f"NIR has no ports and tables for a {type(neuron).__name__}", "Use Network.save")
        held = neuron.hold_input or described(neuron).get("doubling", False)
        if isinstance(neuron, Source) and neuron.neuron is not None:
            raise FormatError(where, "NIR has no word for inputs that drive neurons", "Save it with Network.save")
        if type(neuron) in _NODES and not held:
            return
        fact = f"NIR has no word for {type(neuron).__name__}{' that holds or doubles its input' if held else ''}"
        if not self.extended:
            raise FormatError(
                where, fact, "Convert with code='rate' and no max pools, or pass extended=True (only we can read it)"
            )
        self.notes.append(f"{where}: {fact}; it is written as an IF that no other reader takes for what it is")

    def projection(self, index: int, p: Projection) -> None:
        """The chain of nodes of a projection: [Flatten ->] weights [-> Delay]."""
        import nir

        if p.exponent:
            self.notes.append("exponents of weights are multiplied into them: NIR has none")
        p = p.expanded()
        key, source, target = f"synapses_{index}", self.network[p.source], self.network[p.target]
        chain, native = self._weights(key, p, source, target)
        bits, exponent = _mantissas(p.stored_weights.astype(np.int64))
        listed = p.storage == "sparse"
        node = self.nodes[key]
        node.metadata = {"kind": type(p).__name__, "weight_bits": bits, **node.metadata}
        node.metadata |= {"weight_exponent": exponent} if exponent else {}
        node.metadata |= described(p, ("port", "exponent", *(("weights",) if native or listed else ())))
        if listed and p.weights[0].size:  # a matrix cannot tell a synapse of weight 0 from none
            node.metadata |= dict(zip(("pre", "post", "listed"), p.weights, strict=True))
        late = p.delay - (target.neuron.start_step - source.neuron.start_step)
        if late > 0:
            self.nodes[f"{key}_delay"] = nir.Delay(np.full(self._shape(target), float(late)))
            chain.append(f"{key}_delay")
        path = [self.keys[p.source], *chain, self.keys[p.target]]
        self.edges += list(zip(path, path[1:], strict=False))

    def bias(self, p: Population) -> None:
        """The bias of an IF as that of the first weights before it, where these can hold it."""
        import nir

        bias = np.broadcast_to(np.asarray(p.neuron.bias, np.float64), p.shape)
        if not bias.any() or p.neuron.mantissas:  # a CubaLIF has a place for its own
            return
        per_channel = bias.reshape(len(bias), -1)
        for i, projection in enumerate(self.network.projections):
            node = self.nodes[f"synapses_{i}"]
            if projection.target == p.name and isinstance(node, nir.Linear):
                self.nodes[f"synapses_{i}"] = nir.Affine(node.weight, bias.ravel().astype(np.float32))
                self.nodes[f"synapses_{i}"].metadata = node.metadata
                return
            uniform = (per_channel == per_channel[:, :1]).all()
            if projection.target == p.name and isinstance(node, nir.Conv1d | nir.Conv2d) and uniform:
                node.bias = per_channel[:, 0].astype(np.float32)
                return
        self.notes.append(f"population {p.name!r}: its bias is in the metadata only")

    def _weights(self, key: str, p: Projection, source: Population, target: Population) -> tuple[list[str], bool]:
        """Add the nodes of the weights; returns their chain, and whether our weights are those of the node."""
        import nir

        before, where = self._shape(source), f"projection {p.name}"
        if p.slides and target.name not in self.flat and source.name not in self.flat:
            return self._window(key, p, source, target)
        same = p.offset == 0 and source.size == target.size
        chain = []
        if len(before) > 1 and not (same and before == self._shape(target)):
            self.nodes[f"{key}_flatten"] = nir.Flatten({"input": np.array(before)}, 0, -1)
            chain.append(f"{key}_flatten")
        if same:
            weights = np.repeat(p.stored_weights, source.size // p.stored_weights.size).astype(np.float32)
            self.nodes[key] = nir.Scale(weights.reshape(before if not chain else (source.size,)))
            return [*chain, key], False
        if source.size * target.size > _MOST_WEIGHTS:
            fact = f"NIR has no sparse matrix, and {source.size:,} x {target.size:,} weights are too many to write out"
            raise FormatError(where, fact, "Save the network with Network.save")
        matrix = p.to_sparse(source.shape, target.shape).T.toarray()
        if np.abs(matrix).max(initial=0) > 2**24:
            raise FormatError(where, "a weight exceeds 2^24, which NIR's floats cannot hold", "Scale the weights down")
        self.nodes[key] = nir.Linear(matrix.astype(np.float32))
        return [*chain, key], p.matrix is not None

    def _window(self, key: str, p: Projection, source: Population, target: Population) -> tuple[list[str], bool]:
        """A convolution or sum; returns the chain of its nodes, and whether our weights are those of the node."""
        nodes = window_nodes(key, p, source.shape, target.shape)
        self.nodes |= nodes
        return list(nodes), not p.one_kernel


def window_nodes(key: str, p: Projection, source: Shape, target: Shape) -> dict[str, Any]:
    """The nodes of a window between populations of these shapes, in order; the one named `key` is the last.

    A node of NIR's SumPool2d is written where it holds every option, and a convolution elsewhere. Padding that differs between
    sides becomes zeros in the kernel.
    """
    import nir

    if isinstance(p, SumPool2d):  # the one kind that NIR has a node of its own for
        stride: Any = p.stride
        padding = [before for before, _ in p.padding]
        if SumPool2d(p.source, p.target, p.kernel, stride, padding, p.weight, p.delay) == p:
            pool = nir.SumPool2d(*(np.array(v) for v in (p.kernel, stride, padding)))
            pool.input_type, pool.output_type = {"input": np.array(source)}, {"output": np.array(target)}
            return {f"{key}_sum": pool, key: nir.Scale(np.full(target, p.weight, np.float32))}
    two: Any = as_convolution(p, source, target)
    weights, sides, crop = symmetrical(two, f"projection {p.name}")
    zeros = np.zeros(len(weights), np.float32)
    if len(source) == 2:
        node = nir.Conv1d(source[1], weights[:, :, 0], two.stride[1], sides[1], two.dilation[1], two.groups, zeros)
    else:
        node = nir.Conv2d(source[1:], weights, two.stride, sides, two.dilation, two.groups, zeros)
    node.input_type, node.output_type = {"input": np.array(source)}, {"output": np.array(target)}
    node.metadata = {"crop": np.array(crop)} if crop else {}
    return {key: node}


def symmetrical(conv: Any, where: str) -> tuple[NDArray[np.float32], tuple[int, int], list[list[int]]]:
    """Weights and padding of the same convolution with equal padding on both sides: a wider kernel with zeros.

    The crop is the place of our kernel in the wider one, ((first, last), ...) for height and width; empty where it is the same.
    """
    shapes = conv.weights.shape
    front, back, padding = [0, 0], [0, 0], [0, 0]
    dilations: Any = conv.dilation
    for axis, ((before, after), dilation) in enumerate(zip(conv.padding, dilations, strict=True)):
        more, rest = divmod(after - before, dilation)
        if rest:
            raise FormatError(where, f"padding {conv.padding} with dilation {conv.dilation} has no equal sides", "Pad alike")
        front[axis], back[axis] = max(more, 0), max(-more, 0)
        padding[axis] = before + front[axis] * dilation
    if not any(front) and not any(back):
        return conv.weights.astype(np.float32), (padding[0], padding[1]), []
    place = [[f, f + k] for f, k in zip(front, shapes[2:], strict=True)]
    wide = np.zeros((*shapes[:2], *(f + k + b for f, k, b in zip(front, shapes[2:], back, strict=True))), np.float32)
    wide[:, :, slice(*place[0]), slice(*place[1])] = conv.weights
    return wide, (padding[0], padding[1]), place


def _neuron_node(neuron: Neuron, shape: tuple[int, ...], metadata: dict[str, Any]) -> Any:
    import nir

    write: Callable[..., Any] = _NODES.get(type(neuron), _integrator)
    node = write(nir, neuron, shape)
    node.metadata = metadata
    return node


def _integrator(nir: Any, n: Neuron, shape: tuple[int, ...]) -> Any:
    return nir.IF(np.ones(shape), np.full(shape, 1 if n.threshold is None else n.threshold, np.float64), np.zeros(shape))


def _cuba(nir: Any, n: CubaLif, shape: tuple[int, ...]) -> Any:
    """Time constants in steps; a leak voltage in the place of the bias."""
    synapse = 4096 / (n.current_decay + 1)
    membrane = 4096 / n.voltage_decay if n.voltage_decay else _NO_LEAK
    bias = np.broadcast_to(np.asarray(n.bias, np.float64) * 2.0**n.bias_exponent / 64, shape)
    return nir.CubaLIF(
        tau_syn=np.full(shape, synapse), tau_mem=np.full(shape, membrane), r=np.full(shape, membrane), v_leak=bias * membrane,
        v_threshold=np.full(shape, float(n.threshold)), v_reset=np.zeros(shape), w_in=np.full(shape, synapse),
    )  # fmt: skip


def _leaky(nir: Any, n: LeakyReadout, shape: tuple[int, ...]) -> Any:
    tau = 4096 / n.voltage_decay
    return nir.LI(tau=np.full(shape, tau), r=np.full(shape, 64 * tau), v_leak=np.zeros(shape))


_NODES: dict[type[Neuron], Callable[..., Any]] = {  # of models that NIR has a word for
    Source: lambda nir, n, shape: nir.Input(np.array(shape)),
    IntegrateAndFire: _integrator,
    CubaLif: _cuba,
    Readout: lambda nir, n, shape: nir.I(np.ones(shape, np.float32)),
    LeakyReadout: _leaky,
}


def _mantissas(weights: NDArray[np.int64]) -> tuple[int, int]:
    """Bits of the weights, with sign, once the power of two that all share is taken out; and that power."""
    together = int(np.bitwise_or.reduce(weights.ravel())) if weights.size else 0
    exponent = (together & -together).bit_length() - 1 if together else 0
    return int(np.abs(weights >> exponent).max(initial=1)).bit_length() + 1, exponent
