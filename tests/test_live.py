"""The directive of live figures, and how notebooks ask for one."""

import json
import pickle
import re
import sys
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from docutils import nodes, utils

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "_ext"))

pytest.importorskip("jupyter_book")
bs4 = pytest.importorskip("bs4")

import live  # noqa: E402
import live_pages  # noqa: E402
from quiz import tag  # noqa: E402
from sphinx.application import Sphinx  # noqa: E402
from sphinx.errors import ExtensionError  # noqa: E402
from sphinx.util.docutils import docutils_namespace, patch_docutils  # noqa: E402

LIVE = ROOT / "_static" / "live"


def markdown(source, **metadata):
    return {"cell_type": "markdown", "id": "x", "metadata": metadata, "source": source}


def read(cells, name="page.ipynb"):
    """What is left of a notebook's cells once it has been read for the book."""
    app = SimpleNamespace(env=SimpleNamespace(doc2path=lambda _: name))
    source = [json.dumps({"cells": cells, "metadata": {}, "nbformat": 4})]
    live.insert_cells(app, "page", source)
    notebook = json.loads(source[0])
    cells = notebook.pop("cells")
    assert notebook == {"metadata": {}, "nbformat": 4}
    return cells


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
    for name in ("page.md", "page.rst"):
        assert read(asks, name) == asks


def test_a_code_cell_cannot_ask():
    code = {"cell_type": "code", "id": "y", "metadata": {"live": "draw"}, "source": ""}
    with pytest.raises(ExtensionError, match="page: only text cells"):
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


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return live_pages.build(tmp_path_factory.mktemp("live"), ["latent", "gan"])


def test_only_pages_with_a_figure_load_its_scripts(site):
    latent, gan, other = (
        (site / f"{name}.html").read_text("utf-8")
        for name in ("latent", "gan", "index")
    )
    for file in (*live.SCRIPTS, live.STYLE):
        assert file in latent and file in gan and "live/" not in other
    assert latent.index("live/nn.js") < latent.index("live/figures.js")
    for file in ("nn.js", "models/latent.js"):
        copy = site / "_static" / "live" / file
        assert copy.read_bytes() == (LIVE / file).read_bytes()
    for file in ("sphinx-book-theme.css", "book.css", "book.js"):
        assert file in latent
    assert 'data-default-mode="auto"' in latent
    assert "<em>between</em>" in latent  # captions are Markdown


@pytest.mark.parametrize("name", ["latent", "gan"])
def test_a_figure_says_what_it_is_without_a_script(site, name):
    about = live.FIGURES[name]
    page = bs4.BeautifulSoup((site / f"{name}.html").read_text("utf-8"), "html.parser")
    (figure,) = page.find_all("figure", class_="live")
    assert figure["data-live"] == name
    assert figure.get("data-models") == (name if about["models"] else None)
    title = figure.find("p", class_="live-title").text
    assert title == figure["aria-label"] == about["title"]
    rooms = re.findall(r"--live-(\w+): ([\d.]+)rem", figure["style"])
    assert {room: float(rem) for room, rem in rooms} == dict(
        zip(("wide", "narrow"), about["height"], strict=True)
    )
    image = figure.find("div", class_="live-stage").img
    assert image["alt"].split() == about["alt"].split()
    still = LIVE / "still" / f"{name}.webp"
    assert (site / image["src"]).read_bytes() == still.read_bytes()
    assert figure.figcaption.noscript.text == live.OFFLINE
    # Plain words of Markdown are those of the page.
    words = figure.find("div", class_="live-help").p.text.split()
    assert words[:3] == about["help"].split()[:3]


def test_a_page_is_made_anew_when_the_texts_have_changed(site):
    trees = site.parent / "doctrees" / "environment.pickle"
    needs = pickle.loads(trees.read_bytes()).dependencies
    assert any(str(file).endswith("live.yaml") for file in needs["latent"])
    assert not needs.get("index")


def test_a_figure_that_is_none_is_named():
    directive = SimpleNamespace(arguments=["lament"], error=ValueError)
    with pytest.raises(ValueError, match="no live figure 'lament'; known: latent, "):
        live.LiveDirective.run(directive)


def test_other_parts_of_a_page_need_no_script():
    added = []
    app = SimpleNamespace(add_css_file=added.append, add_js_file=added.append)
    page = utils.new_document("page")
    page += [nodes.container(), tag("div", data_quiz="concepts")]
    live.add_files(app, "page", "", {}, page)
    live.add_files(app, "genindex", "", {}, None)
    assert added == []
    page += tag("figure", data_live="gan")
    live.add_files(app, "page", "", {}, page)
    assert added == [live.STYLE, *live.SCRIPTS]


def test_a_notebook_of_the_book_shows_its_figure(tmp_path):
    cells = [markdown("# Page\n\nBefore.", live="gan"), markdown("After.")]
    notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    cells[1]["id"] = "y"
    (tmp_path / "page.ipynb").write_text(json.dumps(notebook))
    (tmp_path / "index.rst").write_text("Home\n====\n\n.. toctree::\n\n   page\n")
    (tmp_path / "_static").symlink_to(ROOT / "_static", target_is_directory=True)
    site = tmp_path / "site"
    settings = {
        "extensions": ["myst_nb", "live"],
        "nb_execution_mode": "off",
        "html_theme": "basic",
        "html_static_path": ["_static"],
        "html_js_files": ["live/nn.js"],  # as Jupyter Book lists what it finds
    }
    trees = tmp_path / "trees"
    with patch_docutils(), docutils_namespace():
        app = Sphinx(tmp_path, None, site, trees, "html", settings, status=None)
        app.build()
    page = (site / "page.html").read_text("utf-8")
    places = [page.index(part) for part in ("Before.", 'data-live="gan"', "After.")]
    assert places == sorted(places)
    assert "live/nn.js" in page
    assert "live/" not in (site / "index.html").read_text("utf-8")


def test_jupyter_book_is_kept_from_adding_the_scripts_to_every_page():
    config = {
        "html_js_files": ["book.js", "live/nn.js", "live/models/latent.js"],
        "html_css_files": [("book.css", {"media": "print"}), "live/live.css"],
    }
    live.leave_out(None, config)
    assert config == {
        "html_js_files": ["book.js"],
        "html_css_files": [("book.css", {"media": "print"})],
    }
