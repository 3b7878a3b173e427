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
    return {"conversion": conversion, "placement": placement, "chip_run": chip_run, "table": table}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("conversion", ("code graded", "72 synapses")),
        ("placement", ("cores of loihi2", "in axons")),
        ("chip_run", ("synops", "latency", "dynamic")),
        ("table", ("a100", "loihi2", "total energy")),
    ],
)
def test_results_show_themselves(results, name, words) -> None:
    text, html = repr(results[name]), results[name]._repr_html_()
    for word in words:
        assert word in text
        assert word in html
    assert len(ElementTree.fromstring(html).findall("tbody/tr")) == len(text.splitlines()) - 3


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
