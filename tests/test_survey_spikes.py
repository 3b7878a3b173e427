"""The survey's workloads as spikes: walked population by population they count what the whole network counts, bit for bit."""

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

import neuro
from converters.drawing import Drawing
from converters.evaluation import outputs
from converters.folding import fold
from converters.inputs import input_source
from converters.samples import Samples
from converters.values import decompose, timing
from converters.values.converting import value_network
from converters.values.tail import split_tail
from converters.values.walking import walk
from converters.values.widths import Widths
from neuro.errors import MachineError
from neuro.machines.ready import ready_workload
from neuro.machines.survey_spikes import measured_rows, table_two_spikes
from neuro.machines.workload import weigh
from neuro.studies.surveying import counting, measuring, shapes
from neuro.studies.surveying.counting import COUNTED, total
from neuro.studies.surveying.measuring import measured, outputs_of, works
from tests.commands import here

CHIP = neuro.load_chip("loihi2-x32")
SHRUNKEN: dict[str, Callable[[Drawing], None]] = {
    "resnet50": lambda d: shapes.resnet50(d, 32, 4, (1, 2, 1, 1), 5),
    "efficientnet-b7": lambda d: shapes.efficientnet_b7(d, 24, ((1, 3, 1, 4, 4, 1), (2, 5, 2, 4, 6, 2)), 4, 8, 3),
    "bert-large-128": lambda d: shapes.bert_large(d, 6, 16, 2, 2),
    "gpt3-decode": lambda d: shapes.gpt3_block(d, 8, 16, 2, 2),
    "yolov5l": lambda d: shapes.yolov5l(d, 64, 4, 1, 6),
}


def drawn(name: str) -> tuple[neuro.Graph, dict[str, np.ndarray]]:
    drawing = Drawing()
    SHRUNKEN[name](drawing)
    return drawing.graph(name, outputs_of(drawing)), drawing.samples


def whole(graph: neuro.Graph, samples: dict[str, np.ndarray]) -> neuro.Network:
    """The network converted as a whole, in the way that it is walked."""
    graph, _ = split_tail(fold(graph))
    given = Samples(samples) if len(samples) > 1 else next(iter(samples.values()))
    sources = {name: input_source(x, "graded", 1, "auto") for name, x in samples.items()}
    return value_network(graph, given, sources, Widths(widen=False), correct_bias=False).network


@pytest.mark.parametrize("name", SHRUNKEN)
def test_populations_add_up_to_the_network(name: str) -> None:
    """Messages, synapses and updates of every population are those of one run of the whole network."""
    graph, samples = drawn(name)
    network, found = whole(graph, samples), works(graph, samples, CHIP)
    run = neuro.run(network, {one: x[:1] for one, x in samples.items()})
    assert [work.name for work in found] == [p.name for p in network.populations]
    for work in found:
        counts = run.counts[work.name]
        assert (work.counts["messages"], work.counts["synops"]) == (counts.messages.sum(), counts.synops.sum()), work.name
        if network[work.name].neuron.on_chip:
            assert work.counts["updates"] == counts.updates.sum(), work.name
            assert work.delay == max(q.delay for q in network.into(work.name))
            assert work.steps == (network[work.name].neuron.start_step, network[work.name].neuron.active_steps(1))
    added = total(found, CHIP)
    assert (added.counts["neurons"], added.counts["synapses"]) == (network.neurons, network.synapses)
    assert (added.counts["messages"], added.counts["synops"]) == (run.messages, run.synops)


@pytest.mark.parametrize("name", ["bert-large-128", "gpt3-decode"])
def test_values_are_held_where_the_network_holds_them(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "LONGEST_OF_SYNAPSES", 9)
    graph, samples = drawn(name)
    network, found = whole(graph, samples), works(graph, samples, CHIP)
    assert [work.name for work in found] == [p.name for p in network.populations]
    assert any(work.name.endswith(".held") for work in found)
    assert max(work.delay for work in found) <= 9
    for work in found:
        neuron = network[work.name].neuron
        assert not neuron.on_chip or work.steps == (neuron.start_step, neuron.active_steps(1)), work.name
    added, run = total(found, CHIP), neuro.run(network, {one: x[:1] for one, x in samples.items()})
    assert (added.counts["messages"], added.counts["synops"]) == (run.messages, run.synops)


def test_attention_over_128_tokens_is_placed() -> None:
    drawing = Drawing()
    shapes.bert_large(drawing, 128, 8, 2, 1)
    graph, samples = drawing.graph("bert", outputs_of(drawing)), drawing.samples
    network, found = whole(graph, samples), works(graph, samples, CHIP)
    assert any(work.name.endswith(".held") for work in found)
    assert total(found, CHIP).longest_delay <= CHIP.core.delay_steps
    neuro.place(network, CHIP, method="sequential").check()


def test_what_is_sized_by_one_of_its_parts_is_reached_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list into one head alone would make the messages of all heads reach fewer cores than they do."""
    monkeypatch.setattr(counting, "LISTED", 1)
    graph, samples = drawn("bert-large-128")
    parts = 0
    network, sizing = whole(graph, samples), counting.Sizing(CHIP)
    for p in network.populations:
        into = network.into(p.name)
        if into and len(p.shape) == 3 and all(isinstance(q, neuro.Sparse) for q in into):
            one = neuro.Network((*(network[name] for name in dict.fromkeys(q.source for q in into)), p), into, timesteps=1)
            cores, reach = sizing.of(one)
            fans = [q.count(network[q.source].shape, p.shape) / network[q.source].size for q in into]
            assert reach == pytest.approx([min(cores, fan) for fan in fans]), p.name
            parts += cores >= p.shape[0] > 1
    assert parts


def test_sums_of_more_than_a_core_holds_are_taken_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers of 16, 16, 16 and 16 values: two at a time read 32 of the 40 that a neuron may."""
    graph, samples = drawn("gpt3-decode")
    monkeypatch.setattr(decompose, "MOST_READ", 40)
    network, found = whole(graph, samples), works(graph, samples, CHIP)
    assert [work.name for work in found] == [p.name for p in network.populations]
    names = {p.name for p in network.populations}
    assert {"add64.0", "add64.1", "add70.0", "add70.1"} <= names
    run = neuro.run(network, {name: x[:1] for name, x in samples.items()})
    assert (total(found, CHIP).counts["messages"], total(found, CHIP).counts["synops"]) == (run.messages, run.synops)
    simple, _ = decompose.decompose(graph)
    given, wanted = outputs(graph, samples), outputs(simple, samples)
    for name, values in given.items():
        np.testing.assert_allclose(wanted[name], values, atol=1e-4)


def test_programs_are_counted_as_the_chip_counts_them() -> None:
    graph, samples = drawn("bert-large-128")
    network = whole(graph, samples)
    counts = neuro.emulate(neuro.place(network, CHIP), {one: x[:1] for one, x in samples.items()}).counts
    added = total(works(graph, samples, CHIP), CHIP)
    for name in ("products", "lookups", "passes", "updates"):
        assert added.counts[name] == getattr(counts, name).sum(), name


def test_a_visit_holds_what_the_network_holds() -> None:
    graph, samples = drawn("gpt3-decode")
    network = whole(graph, samples)
    folded, _ = split_tail(fold(graph))
    sources = {name: input_source(x, "graded", 1, "auto") for name, x in samples.items()}
    for visit in walk(folded, Samples(samples), sources, Widths(widen=False)):
        assert visit.network.populations[-1] == network[visit.name]
        assert visit.network.projections == network.into(visit.name)


def test_estimates_are_near_a_placed_network() -> None:
    """On a chip with few cores, so that it is placed on few: within what estimates of hops and queues leave open."""
    graph, samples = drawn("resnet50")
    chip = neuro.load_chip("loihi2")
    chip = replace(chip, mesh=replace(chip.mesh, width=5, height=1, cores_per_tile=4, reserved_cores=0, io_x=0, io_y=0))
    placement = neuro.place(whole(graph, samples), chip)
    bill, added = neuro.emulate(placement, samples["image"][:1]).bill, total(works(graph, samples, chip), chip)
    assert added.cores <= placement.cores_used <= 20
    assert 0.8 < added.dynamic_pj / bill.dynamic_pj < 1.25
    assert 0.5 < added.latency_ns / bill.latency_ns < 2
    assert added.interval_ns < added.latency_ns


def test_several_networks_cost_as_often() -> None:
    found = works(*drawn("gpt3-decode"), CHIP)
    one, many = total(found, CHIP), total(found, CHIP, 96)
    assert all(many.counts[name] == 96 * one.counts[name] for name in COUNTED)
    assert (many.cores, many.steps) == (96 * one.cores, 96 * one.steps)
    assert many.dynamic_pj == pytest.approx(96 * one.dynamic_pj)


def test_graphs_have_the_operations_of_the_workloads() -> None:
    """At full size, of one block where blocks are alike."""
    drawing = Drawing()
    shapes.bert_large(drawing, layers=1)
    block = weigh(drawing.graph("bert")).macs
    ready = ready_workload("bert-large-128")
    pooler = 1024 * 1024
    assert 24 * (block - pooler) + pooler == ready.macs


def test_other_names_are_refused() -> None:
    with pytest.raises(MachineError, match="it has no graph"):
        measured("resnet51", CHIP)


# The table


def row_of(name: str, energy_pj: float = 1e9, times: int = 1) -> dict[str, object]:
    counts = dict.fromkeys((*COUNTED, "packets", "steps"), 10)
    board = {"cores": 130, "chips": 33, "longest_delay": 3, "times": times, "chip": "loihi2-x32"}
    return {
        "workload": name,
        **board,
        **counts,
        "dynamic_pj": energy_pj / 2,
        "energy_pj": energy_pj,
        "latency_ns": 1e12,
        "interval_ns": 1e9,
    }


def test_the_table_says_where_the_chip_loses() -> None:
    cheap, dear = table_two_spikes([row_of("resnet50", 1.0), row_of("gpt3-decode", 1e18, 96)])
    assert (cheap["boards"], cheap["name"]) == (2, "ResNet-50")
    assert "energy" not in cheap["where_the_chip_loses"]
    assert "latency: a100, tpu-v4" in cheap["where_the_chip_loses"]
    assert cheap["pipelined_mj"] == pytest.approx((0.5 + 0.5 * 1e9 / 1e12) * 1e-9)
    assert dear["name"].endswith("(one block x 96)")
    assert dear["where_the_chip_loses"].startswith("not comparable")
    assert cheap["a100_batch_1_latency_ms"] > 0


def test_the_shipped_rows_are_whole(monkeypatch, capsys, tmp_path) -> None:
    for row in measured_rows():
        assert row["workload"] in shapes.WORKLOADS
        assert row["synops"] > 0 < row["energy_pj"]
    status, printed, errors = here(monkeypatch, capsys, tmp_path, "compare", "--table", "2", "--spikes", "--json", "out.json")
    assert status == 0, errors
    assert "Table II as spikes" in printed
    assert [row["workload"] for row in json.loads((tmp_path / "out.json").read_text())] == [
        r["workload"] for r in measured_rows()
    ]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("--table 1 --spikes", "Write --table 2 --spikes"),
        ("--table 2 --workload resnet50", "Write --table 2 --spikes"),
        ("--table 2 --spikes --chip loihi2-x8", "Name one chip, and a workload"),
        ("--table 2 --spikes --workload resnet51", "it has no graph"),
        ("--table 2 --spikes --machine a100", "Leave --machine out"),
    ],
)
def test_options_that_do_not_go_together(monkeypatch, capsys, tmp_path, asked: str, said: str) -> None:
    status, _, errors = here(monkeypatch, capsys, tmp_path, "compare", *asked.split())
    assert status == 2
    assert said in " ".join(errors.split())


def test_a_workload_may_be_measured_anew(monkeypatch, capsys, tmp_path) -> None:
    monkeypatch.setitem(shapes.WORKLOADS, "resnet50", (SHRUNKEN["resnet50"], 1))
    monkeypatch.setattr(measuring, "_check_operations", lambda *_: None)
    asked = ["compare", "--table", "2", "--spikes", "--workload", "resnet50", "--chip", "loihi2", "--json", "-"]
    status, printed, errors = here(monkeypatch, capsys, tmp_path, *asked)
    assert status == 0, errors
    (row,) = json.loads(printed)
    assert (row["workload"], row["chips"]) == ("resnet50", 1)
