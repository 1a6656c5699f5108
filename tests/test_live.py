"""The directive of live figures, and how notebooks ask for one."""

import json
import re
import sys
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "_ext"))

pytest.importorskip("jupyter_book")

import live  # noqa: E402
import live_pages  # noqa: E402
from sphinx.errors import ExtensionError  # noqa: E402

LIVE = ROOT / "_static" / "live"


def markdown(source, **metadata):
    return {"cell_type": "markdown", "id": "x", "metadata": metadata, "source": source}


def read(cells, name="page.ipynb"):
    """What is left of a notebook's cells once it has been read for the book."""
    app = SimpleNamespace(env=SimpleNamespace(doc2path=lambda _: name))
    source = [json.dumps({"cells": cells, "metadata": {}, "nbformat": 4})]
    live.insert_cells(app, "page", source)
    return json.loads(source[0])["cells"]


def test_a_cell_asks_for_a_figure_after_it():
    asks = markdown("Before.", live="latent")
    code = {"cell_type": "code", "id": "y", "metadata": {}, "source": "1"}
    found = read([asks, code, markdown("After.")])
    assert [cell["source"] for cell in found] == [
        "Before.", "```{live} latent\n```", "1", "After.",
    ]  # fmt: skip
    assert found[0] == asks and found[1]["metadata"] == {}
    assert len({cell["id"] for cell in found[:3]}) == 3


def test_other_pages_stay_as_they_are():
    cells = [markdown("One."), markdown("Two.")]
    assert read(cells) == cells
    asks = [markdown("Before.", live="latent")]
    assert read(asks, "page.md") == asks


def test_a_code_cell_cannot_ask():
    code = {"cell_type": "code", "id": "y", "metadata": {"live": "draw"}, "source": ""}
    with pytest.raises(ExtensionError, match="only text cells"):
        read([code])


def test_notebooks_ask_for_figures_that_there_are():
    for path in (ROOT / "chapters").rglob("*.ipynb"):
        for cell in json.loads(path.read_text("utf-8"))["cells"]:
            assert cell["metadata"].get("live", "latent") in live.FIGURES, path.name


@pytest.mark.parametrize("name", live.FIGURES)
def test_a_figure_is_complete(name):
    about = live.FIGURES[name]
    assert set(about) == {"title", "models", "height", "alt", "caption", "help"}
    assert len(about["height"]) == 2 and len(about["alt"]) > 60
    assert (LIVE / f"{name}.js").exists()
    assert (LIVE / "still" / f"{name}.webp").exists()
    assert (LIVE / "models" / f"{name}.js").exists() == about["models"]


def test_models_are_those_that_the_notebook_wrote():
    """Its stored output has their checksums."""
    notebook = (ROOT / "chapters" / "appendix" / "live_models.ipynb").read_text("utf-8")
    told = dict(re.findall(r"(\w+)\.js .{1,60}SHA-256 ([0-9a-f]{16})", notebook))
    models = (LIVE / "models").glob("*.js")
    digests = {path.stem: sha256(path.read_bytes()).hexdigest() for path in models}
    assert told == {name: digest[:16] for name, digest in digests.items()}


def test_the_configuration_lists_the_extension():
    sphinx = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))["sphinx"]
    assert sphinx["local_extensions"]["live"] == "_ext"
    assert "live" in sphinx["config"]["extensions"]


def test_only_pages_with_a_figure_load_its_scripts(tmp_path):
    site = live_pages.build(tmp_path, ["latent", "gan"])
    latent, gan, other = (
        (site / f"{name}.html").read_text("utf-8")
        for name in ("latent", "gan", "index")
    )
    for file in (*live.SCRIPTS, live.STYLE):
        assert file in latent and file in gan and "live/" not in other
    assert latent.index("live/nn.js") < latent.index("live/figures.js")
    assert 'data-live="latent"' in latent and 'data-models="latent"' in latent
    assert 'data-live="gan"' in gan and "data-models" not in gan
    figure = latent[latent.index("<figure") : latent.index("</figure>")]
    assert live.OFFLINE in figure and 'alt="Three square maps' in figure
    assert "<em>between</em>" in figure  # captions are Markdown


def test_jupyter_book_is_kept_from_adding_the_scripts_to_every_page():
    config = {
        "html_js_files": ["book.js", "live/nn.js", "live/models/latent.js"],
        "html_css_files": ["book.css", "live/live.css"],
    }
    live.leave_out(None, config)
    assert config == {"html_js_files": ["book.js"], "html_css_files": ["book.css"]}
