"""The machinery of the book, without building it: contents, lines, figures, docstrings.

Links, references and mathematics are checked by the strict build (`make book`), pages
by `test_browser.py`.
"""

import base64
import json
import logging
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "_ext"))

pytest.importorskip("jupyter_book")

import docstrings  # noqa: E402
import docutils.core  # noqa: E402
import offline  # noqa: E402
import pictures  # noqa: E402
import provenance  # noqa: E402
import results  # noqa: E402
import yaml  # noqa: E402
from docutils import nodes  # noqa: E402
from jupyter_book.config import get_default_sphinx_config  # noqa: E402

CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
PAGES = sorted(
    path
    for path in [ROOT / "index.md", *(ROOT / "chapters").rglob("*")]
    if path.suffix in (".md", ".ipynb")
    and path.name != "template.ipynb"
    and ".ipynb_checkpoints" not in path.parts
)


def prose(path):
    """Text of a page or notebook, without code, formulas, titles of works and links."""
    text = path.read_text("utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n\n".join(
            "".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"
        )
    text = re.sub(r"^( *)(```+)(?!\{).*?^\1\2", "", text, flags=re.DOTALL | re.M)
    text = re.sub(r"\$\$.+?\$\$|\$.+?\$|`[^`]+`", "", text, flags=re.DOTALL)
    return re.sub(r"\]\([^)]*\)|(?<!\*)\*[^*]+\*(?!\*)|https?:\S+", "", text)


# --- contents and configuration ---------------------------------------------------


def listed(entry):
    yield entry.get("file", entry.get("root"))
    for key in ("parts", "chapters", "sections"):
        for inner in entry.get(key, []):
            yield from listed(inner)


def test_table_of_contents_lists_every_page_once_and_nothing_else():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    files = sorted(file for file in listed(toc) if file)
    pages = [path.relative_to(ROOT).with_suffix("").as_posix() for path in PAGES]
    assert files == sorted(pages)


def test_only_known_extensions_of_jupyter_book_are_left_out():
    ours = set(CONFIG["sphinx"]["config"]["extensions"])
    left_out = set(get_default_sphinx_config()["extensions"]) - ours
    assert left_out == {"sphinx_thebe", "sphinx.ext.intersphinx"}


def test_api_page_has_every_public_module():
    page = (ROOT / "chapters" / "appendix" / "api.md").read_text("utf-8")
    modules = {path.stem for path in (ROOT / "sslkit").glob("[a-z]*.py")}
    assert set(re.findall(r"automodule:: sslkit\.(\w+)", page)) == modules


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_prose_is_british_and_sober(path):
    american = r"colors?|behaviors?|neighbors?|gray|analyz\w+|\w+(?<!s)izations?"
    american += r"|(?:normal|optim|initial|regular|visual|standard|minim)iz\w+"
    american += r"|label(?:ed|ing)|unlabeled|model(?:ed|ing)\b|centers?|licenses"
    hype = r"obvious(?:ly)?|trivial(?:ly)?|powerful|exciting|amazing|magic"
    hype += r"|revolution\w*|cutting-edge|seamless\w*|unleash|delve|leverag\w+|crucial"
    found = re.findall(rf"\b(?:{american}|{hype})\b", prose(path), re.IGNORECASE)
    assert found == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_pictures_of_a_page_have_a_text_alternative(path):
    text = path.read_text("utf-8") if path.suffix == ".md" else prose(path)
    assert "![](" not in text
    for directive in re.findall(r"```\{(?:figure|image)\}.*?```", text, re.DOTALL):
        assert re.search(r"^:alt: (\S+ ){8,}", directive, re.M), directive


# --- the line under the title -----------------------------------------------------

MADE = {
    "scale": "full",
    "seed": 0,
    "data": [
        {
            "name": "MNIST",
            "train": 60000,
            "test": 10000,
            "sha256": "741c9888" + "0" * 56,
        }
    ],
    "versions": {"python": "3.11.7", "keras": "3.15.1", "tensorflow": "2.21.0"},
    "cpu": "2 cores, x86_64",
    "wall_s": 74.1,
    "peak_mb": 1100,
    "date": "2026-11-23",
}


def test_line_says_how_outputs_were_made():
    assert provenance.describe(MADE) == (
        "Outputs: full scale, MNIST 60,000 + 10,000 (SHA-256 741c9888…), seed 0, "
        "74 s and 1.1 GB on 2 cores, Python 3.11, Keras 3.15.1, TensorFlow 2.21.0, "
        "2026-11-23."
    )


def test_line_leaves_out_what_does_not_exist():
    line = provenance.describe({**MADE, "peak_mb": None, "data": []})
    assert "full scale, seed 0, 74 s on 2 cores" in line


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (8.44, "8.4 s"),
        (74.1, "74 s"),
        (119.4, "119 s"),
        (119.6, "2 min"),
        (500, "8 min 20 s"),
    ],
)
def test_durations(seconds, text):
    assert provenance.duration(seconds) == text


@pytest.fixture
def title_page(tmp_path):
    """Return a function that puts the line on a page with this metadata."""

    def make(metadata, suffix=".ipynb"):
        path = tmp_path / f"page{suffix}"
        path.write_text(json.dumps({"metadata": metadata}))
        env = SimpleNamespace(docname="page", doc2path=lambda _: str(path))
        section = nodes.section("", nodes.title("", "Training"), nodes.paragraph())
        page = docutils.core.publish_doctree("")
        page += section
        provenance.add_line(SimpleNamespace(env=env, srcdir=tmp_path), page)
        return section

    return make


def test_line_stands_under_the_title(title_page, caplog):
    section = title_page({"sslkit": MADE})
    assert [type(child).__name__ for child in section] == ["title", "Line", "paragraph"]
    assert section[1].children[0].astext() == provenance.describe(MADE)
    assert section[1]["classes"] == ["provenance"]
    # The description of the page for search engines must not begin with it.
    assert "SHA-256" not in section.astext()
    assert caplog.records == []


@pytest.mark.parametrize("metadata", [{}, {"sslkit": {"scale": "full"}}])
def test_notebook_of_unknown_origin_is_marked_and_breaks_the_build(
    title_page, caplog, metadata
):
    section = title_page(metadata)
    assert section[1]["classes"] == ["provenance", "missing"]
    assert "not recorded" in section[1].children[0].astext()
    assert "make run NB=page.ipynb" in caplog.text
    assert all(record.levelno == logging.WARNING for record in caplog.records)


def test_pages_have_no_line(title_page, caplog):
    assert len(title_page({}, suffix=".md")) == 2
    assert caplog.records == []


# --- figures in prose and tables --------------------------------------------------

KNN = {
    "value": 0.97124,
    "spread": 0.0004,
    "n": 3,
    "unit": "fraction",
    "what": "AE-64, kNN",
    "data": "MNIST",
    "cpu_seconds": 1261.2,
    "notebook": "chapters/mnist/evaluation.ipynb",
}
PCA = {
    **KNN,
    "value": 13.8663,
    "spread": None,
    "n": 1,
    "unit": "squared error per image",
    "what": "PCA-30 | test",
    "cpu_seconds": None,
}


@pytest.fixture
def env(tmp_path):
    """A build environment with two figures."""
    (tmp_path / "data").mkdir()
    text = json.dumps({"pca30.test_sse": PCA, "ae64.knn": KNN})
    (tmp_path / "data" / "results.json").write_text(text)
    watched = []
    return SimpleNamespace(
        srcdir=str(tmp_path), note_dependency=watched.append, watched=watched
    )


def role(env, id):
    reporter = SimpleNamespace(get_source_and_line=lambda line: ("page.md", line))
    document = SimpleNamespace(settings=SimpleNamespace(env=env))
    inliner = SimpleNamespace(reporter=reporter, document=document)
    (node,), _ = results.ResultRole()("result", id, id, 7, inliner)
    return node.astext()


def directive(env, *arguments):
    self = SimpleNamespace(
        env=env,
        arguments=list(arguments),
        get_location=lambda: "page.md:7",
        parse_text_to_nodes=lambda text: [nodes.Text(text)],
    )
    (node,) = results.ResultsTable.run(self)
    return node.astext()


def test_role_prints_a_figure_and_watches_the_file(env, caplog):
    assert role(env, "ae64.knn") == "97.12\xa0±\xa00.04\xa0%"
    assert role(env, "pca30.test_sse") == "13.87"
    assert env.watched[0].endswith("results.json")
    assert caplog.records == []


def test_role_warns_of_an_unknown_id(env, caplog):
    assert role(env, "ae64.typo") == "(no figure ae64.typo)"
    assert "unknown result 'ae64.typo'; known: ae64.knn, pca30" in caplog.text


def test_table_has_a_row_for_each_figure(env):
    header, rule, *rows = directive(env).splitlines()
    assert rows == [
        "| AE-64, kNN `ae64.knn` | 97.12\xa0±\xa00.04\xa0% | 3 | MNIST | 1,261 "
        "| [](/chapters/mnist/evaluation.ipynb) |",
        "| PCA-30 \\| test, squared error per image `pca30.test_sse` | 13.87 | 1 "
        "| MNIST |  | [](/chapters/mnist/evaluation.ipynb) |",
    ]
    assert header.count("|") == rule.count("|") == rows[0].count("|")


def test_table_can_be_narrowed(env, caplog):
    assert "pca30" not in directive(env, "ae64. raw.")
    assert "no result begins with 'raw.'" in caplog.text


def test_nothing_recorded_yet(env, caplog):
    (Path(env.srcdir) / "data" / "results.json").unlink()
    assert "No figures" in directive(env)
    assert caplog.records == []
    assert role(env, "ae64.knn") == "(no figure ae64.knn)"
    assert "none, run make run" in caplog.text


# --- docstrings, read by docutils as the independent judge ------------------------


def read(text):
    settings = {"report_level": 5, "halt_level": 6}
    return docutils.core.publish_doctree(
        docstrings.to_rst(text), settings_overrides=settings
    )


def texts(tree, kind):
    return [node.astext() for node in tree.findall(kind)]


def test_formulas_and_code_reach_docutils():
    tree = read(
        "Loss of `x_hat` against $x$, the $k$th try, with ``kept`` as it is.\n\n"
        "$$\\sum_i x_i\n  = \\max(a_i, 0)$$\n\nwhere $a$ is `[n, d]`.\n"
    )
    assert texts(tree, nodes.math) == ["x", "k", "a"]
    assert texts(tree, nodes.math_block) == ["\\sum_i x_i\n= \\max(a_i, 0)"]
    assert texts(tree, nodes.literal) == ["x_hat", "kept", "[n, d]"]
    assert "the kth try" in tree.astext()
    assert texts(tree, nodes.system_message) == []


def test_formula_that_is_broken_over_two_lines():
    tree = read("Factors ($s_y$,\n$s_x$) and $(a_0,\na_1)$, `a\nb`.")
    assert texts(tree, nodes.math) == ["s_y", "s_x", "(a_0, a_1)"]
    assert texts(tree, nodes.literal) == ["a b"]


def test_examples_stay_as_they_are():
    example = "    >>> print('$5 and `x`')\n    $5 and `x`\n"
    assert docstrings.to_rst(example) == example
    tree = read(f"Cost $c$.\n\n{example}\nAfter `y`.")
    assert texts(tree, nodes.doctest_block) == [">>> print('$5 and `x`')\n$5 and `x`"]
    assert texts(tree, nodes.literal) == ["y"]


def test_names_of_the_package_become_links():
    assert docstrings.to_rst("See `sslkit.data.batches`.") == (
        "See :py:obj:`sslkit.data.batches`."
    )
    assert docstrings.to_rst(":py:obj:`sslkit.data`") == ":py:obj:`sslkit.data`"


def translated(what, text):
    lines = text.split("\n")
    docstrings.translate(None, what, "name", None, None, lines)
    from sphinx.ext.napoleon import Config, GoogleDocstring

    return str(GoogleDocstring(lines, Config(), what=what, name="name", obj=0))


def test_what_precedes_a_colon_is_no_type():
    assert translated("data", "Width: in inches.") == "Width: in inches."
    function = translated("function", "Draw.\n\nReturns:\n    The figure: a plot.")
    assert ":returns: The figure: a plot." in function
    assert "rtype" not in function


def test_fields_of_named_tuples_are_left_out():
    from sslkit.evaluate import Spread, raw_pixels

    def skip(obj):
        return docstrings.skip_tuple_fields(None, "class", "n", obj, False, None)

    assert skip(Spread.mean) is True
    assert skip(raw_pixels) is None


# --- mathematics without a network ------------------------------------------------


def built(tmp_path, builder="html", exception=None):
    app = SimpleNamespace(outdir=tmp_path, builder=SimpleNamespace(format=builder))
    offline.copy_mathjax(app, exception)
    return sorted(p.name for p in tmp_path.rglob("*") if p.is_file())


def test_mathjax_is_copied_with_its_fonts(tmp_path):
    files = built(tmp_path)
    assert (tmp_path / "_static" / CONFIG["sphinx"]["config"]["mathjax_path"]).exists()
    assert "MathJax_Main-Regular.woff" in files
    assert built(tmp_path) == files  # a second build finds them there


def test_mathjax_is_not_copied_where_nothing_reads_it(tmp_path):
    assert built(tmp_path, builder="latex") == []
    assert built(tmp_path, exception=ValueError("build failed")) == []


def test_missing_mathjax_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(offline.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ModuleNotFoundError, match="sphinx-mathjax-offline is missing"):
        built(tmp_path)


def test_stored_pictures_come_in_order_with_their_alternatives():
    def picture(content, alt):
        data = {"image/png": base64.b64encode(content).decode()}
        return {"data": data, "metadata": {"image/png": {"alt": alt}}}

    notebook = {
        "cells": [
            {"cell_type": "markdown", "source": "text"},
            {"outputs": [{"name": "stdout", "text": "1"}, picture(b"one", "first")]},
            {"outputs": [picture(b"two", "second")]},
        ]
    }
    found = pictures.stored_pictures(notebook)
    assert found == [(b"one", "first"), (b"two", "second")]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_pictures_that_a_page_borrows_exist(path):
    for name, number in re.findall(
        r"^```\{picture\} (\S+) (\d+)$", path.read_text("utf-8"), re.MULTILINE
    ):
        stored = pictures.stored_pictures(json.loads((ROOT / name).read_text("utf-8")))
        assert 1 <= int(number) <= len(stored)
