"""Chip: what a neuromorphic chip can hold and do, and what each operation costs, every constant with its source.

The sections below are the fields of a chip file. A field that may be None may be left out: it is then unknown, is neither
checked nor priced, and results say so. Knows nothing of networks or files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

from neuro.errors import ChipError
from neuro.frozen import FrozenDict, Sourceable
from neuro.notebook import Table, TableRepr
from neuro.sourced import BASES, Basis, Sourced

WATT_NS_IN_PJ = 1000.0
Encoding = Literal["dense", "sparse", "conv"]
ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)
Program = Literal["if", "cuba_lif", "signed", "wait", "radix", "graded", "value", "user"]
PROGRAMS: tuple[Program, ...] = get_args(Program)
Zeros = Literal["visited", "skipped"]
ConvMemory = Literal["lists", "rows"]
Learning = Literal["none", "spikes", "graded"]
Pairs = tuple[tuple[int, float], ...]
MOST_CORES = 1 << 20  # of a board


def constant(unit: str, doc: str, *, least: float = 0, optional: bool = False) -> Any:
    """A field of a chip file: its unit, what it means, and the smallest value that makes sense."""
    default: Any = None if optional else MISSING
    return field(default=default, metadata={"unit": unit, "doc": doc, "least": least})


@dataclass(frozen=True, slots=True, kw_only=True)
class Mesh:
    """Where the cores lie and how messages travel between them."""

    width: int = constant("tiles", "tiles in a row of one chip", least=1)
    height: int = constant("tiles", "tiles in a column of one chip", least=1)
    cores_per_tile: int = constant("cores", "cores that share one router", least=1)
    reserved_cores: int = constant("cores", "cores of each chip that a network may not use, the last ones")
    chips_x: int = constant("chips", "chips in a row of the board", least=1)
    chips_y: int = constant("chips", "chips in a column of the board", least=1)
    fabrics: int = constant("meshes", "physical meshes that share the packets", least=1)
    buffer_packets: int = constant("packets", "packets that a router's input port can hold", least=1)
    io_x: int = constant("tiles", "column of the tile where the host's messages enter")
    io_y: int = constant("tiles", "row of the tile where the host's messages enter")
    multicast: Literal["unicast", "tree"] = constant("", "one packet to each destination core, or one that branches on its way")

    @property
    def columns(self) -> int:
        """Tiles in a row of the whole board."""
        return self.width * self.chips_x

    @property
    def rows(self) -> int:
        """Tiles in a column of the whole board."""
        return self.height * self.chips_y

    @property
    def tiles(self) -> int:
        """Tiles of the whole board, numbered row by row."""
        return self.columns * self.rows

    @property
    def link_numbers(self) -> int:
        """Numbers of links, tile * 4 + direction; those that would leave the board are numbers without a link."""
        return self.tiles * 4

    @property
    def io_tile(self) -> int:
        """The tile where the host's messages enter."""
        return self.io_y * self.columns + self.io_x


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """What one core can hold."""

    neurons: int = constant("neurons", "neuron compartments", least=1)
    in_axons: int | None = constant("axons", "incoming axons (lists of synapses from one source)", least=1, optional=True)
    out_axons: int | None = constant("axons", "outgoing axons (pairs of a neuron and a destination core)", least=1, optional=True)
    synapse_bits: int = constant("bits", "synaptic memory", least=1)
    memory_bits: int | None = constant("bits", "memory for synapses, axons and neuron state together", least=1, optional=True)
    word_bits: int = constant("bits", "a group of synapses is rounded up to words of this size", least=1)
    group_synapses: int = constant("synapses", "most synapses in a group", least=1)
    group_overhead_bits: int = constant("bits", "what each group stores besides its synapses")
    weight_bits: tuple[int, ...] = constant("bits", "sizes in which a weight can be stored")
    index_bits: tuple[int, ...] = constant("bits", "sizes of the target index of a sparse synapse")
    encodings: tuple[Encoding, ...] = constant("", "forms in which synapses can be stored")
    zero_weights: Zeros | None = constant(
        "",
        "synapses of weight zero: visited, or skipped and not stored where a sparse list is smaller (unknown: visited)",
        optional=True,
    )
    conv_memory: ConvMemory | None = constant(
        "",
        "shared kernels: lists of what a source position reaches, or a row of each source channel and tap (unknown: lists)",
        optional=True,
    )
    delay_steps: int = constant("steps", "longest delay of a message", least=1)
    neuron_configs: int | None = constant("configs", "different neuron parameter sets", least=1, optional=True)
    synapse_configs: int | None = constant("configs", "different synapse formats", least=1, optional=True)
    exponent_span: int | None = constant("", "how far exponents of weights into one population may differ", optional=True)
    axon_types: int | None = constant(
        "types",
        "a crossbar: each axon has one of so many types, each neuron a weight for each type and one target axon (unknown: none)",
        least=1,
        optional=True,
    )
    in_axon_bits: int | None = constant("bits", "an entry of the table of incoming axons", optional=True)
    out_axon_bits: int | None = constant("bits", "an entry of the table of outgoing axons", optional=True)
    state_word_bits: int | None = constant("bits", "one integer of neuron state", optional=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What the chip's neurons can compute and send."""

    programs: tuple[Program, ...] = constant("", "neuron models")
    subtract: Literal["native", "two_compartment", "none"] = constant("", "how reset by subtraction is done")
    hold_input: bool = constant("", "whether a current can be kept without decay while the potential integrates it")
    payload_bits: int = constant("bits", "largest payload of a message; 0 means plain spikes")
    signed_payload: bool = constant("", "whether a payload may be negative")
    potential_bits: int = constant("bits", "width of the membrane potential, with sign", least=2)
    threshold_bits: int | None = constant("bits", "width of the threshold", least=1, optional=True)
    bias_bits: int | None = constant("bits", "width of the bias mantissa, with sign", least=1, optional=True)
    bias_exponent: int | None = constant("", "largest exponent of the bias", optional=True)
    learning: Learning | None = constant("", "learning rules: none, of spikes, or of payloads too (unknown: none)", optional=True)
    value_passes: int | None = constant("passes", "passes of the value program in an update (unknown: 1)", least=1, optional=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy:
    """Energy of each operation (pJ). Unknown ones count as nothing, and the bill says so."""

    synop_dense: float | None = constant("pJ", "synaptic operation, dense list", optional=True)
    synop_sparse: float | None = constant("pJ", "synaptic operation, sparse list", optional=True)
    synop_conv: float | None = constant("pJ", "synaptic operation, shared kernel", optional=True)
    neuron_access: float | None = constant("pJ", "every mapped neuron, every step it is switched on", optional=True)
    neuron_update: float | None = constant("pJ", "added for a neuron that changes (see update_when)", optional=True)
    neuron_pass: float | None = constant("pJ", "each pass of a neuron's program after the first of an update", optional=True)
    product: float | None = constant("pJ", "added for a product of two inputs in a neuron", optional=True)
    lookup: float | None = constant("pJ", "added for an entry of a table that a neuron reads", optional=True)
    synaptic_update: float | None = constant("pJ", "a learning rule computed for one synapse, once an epoch", optional=True)
    spike: float | None = constant("pJ", "added for a neuron that fires", optional=True)
    axon_out: float | None = constant("pJ", "packet sent by a core", optional=True)
    axon_in: float | None = constant("pJ", "packet received by a core", optional=True)
    hop_x: float | None = constant("pJ", "packet moved one tile east or west", optional=True)
    hop_y: float | None = constant("pJ", "packet moved one tile north or south", optional=True)
    local: float | None = constant("pJ", "packet that stays within its tile", optional=True)
    chip_link: float | None = constant("pJ", "packet crossing from chip to chip, added to its hop", optional=True)
    barrier: float | None = constant("pJ", "barrier of one step on one chip", optional=True)
    update_when: Literal["driven", "restless"] = constant("", "changing neurons: with input, or with input or potential")


@dataclass(frozen=True, slots=True, kw_only=True)
class Time:
    """Time of each operation (ns). Unknown ones count as nothing, and the bill says so."""

    synop_dense: float | None = constant("ns", "synaptic operation, dense list", optional=True)
    synop_sparse: float | None = constant("ns", "synaptic operation, sparse list", optional=True)
    synop_conv: float | None = constant("ns", "synaptic operation, shared kernel", optional=True)
    neuron_access: float | None = constant("ns", "every mapped neuron, every step it is switched on", optional=True)
    neuron_update: float | None = constant("ns", "added for a neuron that changes", optional=True)
    neuron_pass: float | None = constant("ns", "each pass of a neuron's program after the first of an update", optional=True)
    product: float | None = constant("ns", "added for a product of two inputs in a neuron", optional=True)
    lookup: float | None = constant("ns", "added for an entry of a table that a neuron reads", optional=True)
    synaptic_update: float | None = constant("ns", "a learning rule computed for one synapse, once an epoch", optional=True)
    spike: float | None = constant("ns", "added for a neuron that fires", optional=True)
    axon_out: float | None = constant("ns", "packet sent by a core", optional=True)
    axon_in: float | None = constant("ns", "packet received by a core", optional=True)
    hop_x: float | None = constant("ns", "packet moved one tile east or west", optional=True)
    hop_y: float | None = constant("ns", "packet moved one tile north or south", optional=True)
    local: float | None = constant("ns", "packet handed from a router to a core", optional=True)
    chip_link: float | None = constant("ns", "packet crossing from chip to chip, added to its hop", optional=True)
    link_service: float | None = constant("ns", "time between two packets on one link of one mesh", optional=True)
    chip_link_service: float | None = constant("ns", "time between two packets on a link from chip to chip", optional=True)
    step_least: float | None = constant("ns", "the shortest step, however little happens in it", optional=True)
    barrier: Pairs | None = constant("ns", "barrier by number of tiles in use: [[tiles, ns], ...], ascending", optional=True)
    management_step: float | None = constant("ns", "management processors, each step", optional=True)
    management_inference: float | None = constant("ns", "host: input and reading the answer, each inference", optional=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """Power that is spent whether or not anything happens (W)."""

    static: float | None = constant("W", "one chip that is switched on", optional=True)
    management: float | None = constant("W", "management processors and host interface of the board", optional=True)


SECTIONS: dict[str, type[Any]] = {
    "mesh": Mesh,
    "core": Core,
    "neuron": Capabilities,
    "energy": Energy,
    "time": Time,
    "power": Power,
}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a field's value comes from."""

    unit: str
    basis: Basis
    source: str


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Chip(TableRepr, Sourceable):
    """A chip, or a board of several: `chip.core.neurons`, `chip.energy.synop_dense`.

    `chip.origin["core.neurons"]` says where a number is from.

    `scope` says what the prices cover, `caution` what they are not fit for, and `checked` what measurements they were held
    against and how near they came; empty: none.
    """

    name: str
    title: str
    scope: str
    caution: str
    mesh: Mesh
    core: Core
    neuron: Capabilities
    energy: Energy
    time: Time
    power: Power
    origin: Mapping[str, Origin]
    checked: str = ""

    def __post_init__(self) -> None:
        for mistake in mistakes(self):
            raise ChipError(f"chip {self.name!r}, {mistake[0]}", mistake[1], mistake[2])

    def _shown(self) -> Table:
        known: Counter[str] = Counter(origin.basis for origin in self.origin.values())
        rows = [
            ("cores", f"{self.usable_cores:,} on {self.chips:,} chips"),
            ("a core", f"{self.core.neurons:,} neurons, {self.core.synapse_bits:,} bits of synapses"),
            ("weights", f"{', '.join(map(str, self.core.weight_bits))} bits, stored {', '.join(self.core.encodings)}"),
            ("neurons", ", ".join(self.neuron.programs)),
            ("payload", f"{self.neuron.payload_bits} bits"),
            ("learning", self.neuron.learning or "none known"),
            ("figures", ", ".join(f"{known[basis]} {basis}" for basis in BASES if known[basis])),
            ("prices cover", self.scope),
            ("not fit for", self.caution),
            ("checked against", self.checked or "no measurement"),
        ]
        return f"Chip {self.name}: {self.title}", ("", "value"), rows

    @property
    def chips(self) -> int:
        """Chips on the board."""
        return self.mesh.chips_x * self.mesh.chips_y

    @property
    def cores_per_chip(self) -> int:
        """Cores of one chip, reserved ones included."""
        return self.mesh.width * self.mesh.height * self.mesh.cores_per_tile

    @property
    def usable_cores(self) -> int:
        """Cores of the whole board that a network may use."""
        return self.chips * (self.cores_per_chip - self.mesh.reserved_cores)

    def value(self, key: str) -> Any:
        """The value of a field such as "energy.spike", None where it is unknown."""
        section, _, name = key.partition(".")
        return getattr(getattr(self, section), name)

    def sourced(self, key: str) -> Sourced | None:
        """A number with its source, None where it is unknown."""
        value = self.value(key)
        if value is None or not isinstance(value, int | float):
            return None
        origin = self.origin[key]
        return Sourced(float(value), origin.unit, origin.basis, origin.source)


@cache
def all_keys() -> tuple[str, ...]:
    """Every field of a chip file, as "section.name"."""
    return tuple(f"{section}.{f.name}" for section, kind in SECTIONS.items() for f in fields(kind))


@cache
def _hints(section: str) -> dict[str, Any]:
    return get_type_hints(SECTIONS[section])


@cache
def kind_of(key: str) -> Any:
    """The Python type of a field, without None."""
    section, _, name = key.partition(".")
    hint = _hints(section)[name]
    options = [t for t in get_args(hint) if t is not type(None)]
    return options[0] if get_origin(hint) is not tuple and type(None) in get_args(hint) else hint


@cache
def about(key: str) -> Mapping[str, Any]:
    """Unit, doc and least value of a field, and whether it is optional."""
    section, _, name = key.partition(".")
    found = next(f for f in fields(SECTIONS[section]) if f.name == name)
    return FrozenDict({**found.metadata, "optional": found.default is None})


def mistakes(chip: Chip) -> list[tuple[str, str, str]]:
    """Fields that contradict each other: (field, fact, remedy)."""
    found = []
    if chip.mesh.reserved_cores >= chip.cores_per_chip:
        found.append(("mesh.reserved_cores", f"all {chip.cores_per_chip} cores are reserved", "Leave some for networks"))
    if chip.chips * chip.cores_per_chip > MOST_CORES:
        found.append(("mesh.chips_x", f"the board has {chip.chips * chip.cores_per_chip:,} cores", f"Stay within {MOST_CORES:,}"))
    if not (chip.mesh.io_x < chip.mesh.columns and chip.mesh.io_y < chip.mesh.rows):
        found.append(("mesh.io_x", "the host's tile lies outside the mesh", "Use a tile of the mesh, say (0, 0)"))
    if chip.core.memory_bits is not None and chip.core.memory_bits < chip.core.synapse_bits:
        found.append(("core.memory_bits", "it is less than core.synapse_bits", "It holds synapses, axons and state together"))
    for name in ("weight_bits", "index_bits", "encodings"):
        if not getattr(chip.core, name):
            found.append((f"core.{name}", "the list is empty", "Name at least one"))
    tiles = [t for t, _ in chip.time.barrier or ()]
    if tiles != sorted(set(tiles)):
        found.append(("time.barrier", f"tile numbers {tiles} do not ascend", "Sort the pairs by tiles"))
    unsourced = [key for key in all_keys() if chip.value(key) is not None and key not in chip.origin]
    found.extend((key, "its value has no source", "Say where it comes from") for key in unsourced)
    return found


def choices(kind: Any) -> tuple[Any, ...]:
    """The allowed words of a Literal field, else ()."""
    return get_args(kind) if get_origin(kind) is Literal else ()


def neuron_ns(chip: Chip) -> float:
    """Time of one update of one compartment."""
    return (chip.time.neuron_access or 0.0) + (chip.time.neuron_update or 0.0)


def always_on_w(chip: Chip, chips: int) -> dict[Literal["static", "management"], float | None]:
    """Power that flows as long as `chips` chips of a board are switched on, whatever they do; None where it is not public."""
    static = chip.power.static
    return {"static": None if static is None else static * chips, "management": chip.power.management}


def barrier_ns(chip: Chip, tiles: int) -> float:
    """Time of the barrier: the entry of the largest number of tiles that is not above `tiles`."""
    fitting = [ns for least, ns in chip.time.barrier or () if least <= tiles]
    return fitting[-1] if fitting else 0.0
