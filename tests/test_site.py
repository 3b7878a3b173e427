"""The site of the documents: every page is made without network, links lead somewhere, every public name is described."""

import re
import subprocess

import numpy as np
import pytest
import torch

import converters
import neuro
from benchmarks import published_networks
from docs import gallery
from docs.site import PAGES, build, rendered
from tests.browser import _FLAGS, CHROMIUM


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    made = build(folder)
    return folder, {page.name: page.read_text() for page in made}


def test_every_document_has_a_page_and_every_link_leads_somewhere(site) -> None:
    folder, pages = site
    assert set(PAGES.values()) < set(pages)
    assert {"lesson-first_steps.html", "lesson-does_it_pay.html", "lesson-your_own_chip.html", "reference.html"} < set(pages)
    for name, text in pages.items():
        assert not re.search(r'(src|<link[^>]*href)="http', text), f"{name} asks for something"
        for target in re.findall(r'(?:href|src)="([^"]+)"', text):
            if not target.startswith(("http", "#", "data:")):
                assert (folder / target.partition("#")[0]).exists(), f"{name}: {target}"


def test_every_public_name_is_described(site) -> None:
    reference = site[1]["reference.html"]
    for module in (neuro, converters):
        for name in module.__all__:
            assert name.startswith("_") or f'id="{module.__name__}.{name}"' in reference, name
    assert "Convert, place and emulate" in reference or "Convert a network" in reference


def test_a_gallery_shows_reports_and_says_what_is_absent(tmp_path, monkeypatch) -> None:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3)).eval()
    x = np.random.default_rng(0).random((20, 4), dtype=np.float32)
    shown = gallery.Subject(
        "A small one", "", lambda: {"model": net, "x": x, "machines": ("gap9",)}, "Random.", lambda *_: "It agrees."
    )
    absent = gallery.Subject("An absent one", "no_such_folder", dict)
    monkeypatch.setattr(gallery, "SUBJECTS", {"small": shown, "absent": absent})
    body = gallery.build(tmp_path)
    assert 'href="gallery-small.html"' in body
    assert "Does it pay?" in body
    assert "An absent one: left out, shared/data/no_such_folder is absent" in body
    page = (tmp_path / "gallery-small.html").read_text()
    assert "gap9" in page
    assert "<h1>A small one, on loihi2</h1>" in page
    assert "Random. It agrees.</li>" in body
    assert all(said in page for said in ("Random.", "It agrees."))
    assert [path.name for path in tmp_path.iterdir()] == ["gallery-small.html"]


def test_a_link_that_leads_nowhere_is_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="gone.md leads nowhere"):
        rendered("[there](gone.md)", next(iter(PAGES)), tmp_path)


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: apt-get install chromium")
def test_a_browser_has_nothing_to_complain_of(site, tmp_path) -> None:
    command = [str(CHROMIUM), *_FLAGS, f"--user-data-dir={tmp_path}", "--dump-dom", (site[0] / "index.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    assert not [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.skipif(not (gallery.DATA / "pretrained").exists(), reason="shared data is absent")
def test_networks_of_keras_are_padded_as_keras_pads() -> None:
    """A stride of 2 over an even edge adds a row and a column at the end only; checked by a sum written out."""
    net = published_networks.chain("mlperf_vww_mobilenet96")
    x = torch.from_numpy(np.random.default_rng(0).random((1, 3, 96, 96), dtype=np.float32))
    with torch.no_grad():
        first = net[:2](x)[0].numpy()
        assert net(x).shape == (1, 2)
    weight, bias = net[1].weight.detach().numpy(), net[1].bias.detach().numpy()
    assert np.allclose(first[:, 5, 7], (weight * x[0, :, 10:13, 14:17].numpy()).sum(axis=(1, 2, 3)) + bias, atol=1e-5)
    corner = (weight[..., :2, :2] * x[0, :, 94:, 94:].numpy()).sum(axis=(1, 2, 3)) + bias
    assert np.allclose(first[:, 47, 47], corner, atol=1e-5)
