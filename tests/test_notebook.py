"""Results show themselves as small tables, in text and in a notebook."""

from xml.etree import ElementTree

import numpy as np
import pytest
import torch

import converters
import neuro
from neuro.notebook import html_table, text_table


@pytest.fixture(scope="module")
def results() -> dict[str, object]:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3)).eval()
    x = np.random.default_rng(0).random((40, 6), np.float32)
    conversion = converters.convert(model, x, code="graded")
    placement = neuro.place(conversion.network, neuro.load_chip("loihi2"))
    chip_run = neuro.emulate(conversion.network, placement, x)
    table = neuro.compare(conversion.graph, chip_run, ("a100",), (1,))
    found = {"conversion": conversion, "placement": placement, "chip_run": chip_run, "table": table}
    described = {"network": conversion.network, "graph": conversion.graph, "chip": placement.chip, "machine": table.machines[0]}
    return found | described | {"run": chip_run.run, "counts": chip_run.counts, "bill": chip_run.bill}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("conversion", ("code graded", "72 synapses")),
        ("placement", ("cores of loihi2", "in axons")),
        ("chip_run", ("synops", "latency", "dynamic")),
        ("table", ("a100", "loihi2", "total energy")),
        ("network", ("Network of ", "72 synapses", "Readout")),
        ("graph", ("linear", "83 parameters")),
        ("run", ("Run of 40 samples", "messages", "all")),
        ("counts", ("Counts of 40 samples", "synops, dense", "hops along x")),
        ("bill", ("One inference on loihi2", "synapse", "latency", "of batch 1")),
        ("chip", ("Chip loihi2", "8,192 neurons", "prices cover", "assumed")),
        ("machine", ("Machine a100", "memory.bandwidth", "vendor")),
    ],
)
def test_results_show_themselves(results, name, words) -> None:
    text, html = repr(results[name]), results[name]._repr_html_()
    for word in words:
        assert word in text
        assert word in html
    assert len(ElementTree.fromstring(html).findall("tbody/tr")) == len(text.splitlines()) - 3


def test_long_tables_are_abridged(results) -> None:
    populations = [neuro.Population(f"p{i}", (2,), neuro.IntegrateAndFire(3)) for i in range(300)]
    text = repr(neuro.Network(tuple(populations), ()))
    assert len(text.splitlines()) <= 16
    assert "... 289 more" in text
    assert "p299" in text
    assert max(len(repr(value).splitlines()) for value in results.values()) < 45


def test_tables_align_and_escape() -> None:
    columns, rows = ("part", "pJ"), [("<synapse>", "1"), ("hop", "1,234")]
    assert text_table("Title", columns, rows).splitlines() == [
        "Title",
        "part          pJ",
        "---------  -----",
        "<synapse>      1",
        "hop        1,234",
    ]
    assert "<td>&lt;synapse&gt;</td>" in html_table("Title", columns, rows)
