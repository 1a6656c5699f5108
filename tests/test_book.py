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
    assert section[1]["words"] == provenance.describe(MADE)
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
    assert "not recorded" in section[1]["words"]
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


# --- the comparison of encoders ---------------------------------------------------

EVERY = {
    "raw.knn": {**KNN, "what": "raw pixels, kNN", "spread": None, "n": 1}
    | {"cpu_seconds": 0.0},
    "raw.shot10": {**KNN, "value": 0.7312, "spread": 0.0151, "n": 10},
    "ae64.knn": KNN,
    "ae64.shot10": {**KNN, "value": 0.7, "spread": 0.02, "n": 10},
    "ae64.rank": {**KNN, "value": 40.26, "spread": 0.5, "unit": "directions"},
    "ae64.parameters": {**PCA, "value": 1125290, "unit": "parameters"},
    "ae64.test_mse": {
        **KNN,
        "value": 0.00378,
        "spread": 0.00002,
        "unit": "squared error per pixel",
    },
    "conv.knn": {**KNN, "what": "conv | AE, kNN", "value": 0.98},
    "conv.shot10": {**KNN, "value": 0.8, "spread": 0.02, "n": 10},
    "conv.test_mse": {**PCA, "value": 0.003, "unit": "squared error per pixel"},
    "pca30.test_sse": PCA,
}
NOTEBOOK = "](/chapters/mnist/evaluation.ipynb)"


@pytest.fixture
def page(tmp_path):
    """Return a function that runs a directive of the comparison on these figures."""
    (tmp_path / "data").mkdir()
    (tmp_path / "_build" / "html").mkdir(parents=True)
    path = tmp_path / "data" / "results.json"

    def run(kind, content, figures=EVERY, arguments=()):
        path.write_text(json.dumps(figures))
        app = SimpleNamespace(outdir=tmp_path / "_build" / "html")
        self = SimpleNamespace(
            env=SimpleNamespace(
                srcdir=str(tmp_path), note_dependency=lambda _: None, app=app
            ),
            arguments=list(arguments),
            content=content.split("\n"),
            content_offset=3,
            get_location=lambda: "page.md:7",
            parse_text_to_nodes=lambda text: [nodes.Text(text)],
            state=SimpleNamespace(
                nested_parse=lambda lines, _, node: node.append(
                    nodes.paragraph("", *[nodes.Text(line) for line in lines])
                )
            ),
        )
        (node,) = kind.run(self)
        return node

    return run


def rows_of(text):
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in text.splitlines()
    ]


def test_comparison_has_a_row_for_each_listed_encoder_in_that_order(page, caplog):
    text = page(results.Comparison, "raw\n\n  ae64  \nconv").astext()
    heads, rule, raw, ae64, conv = rows_of(text)
    assert {len(row) for row in (heads, rule, raw, ae64, conv)} == {12}
    assert dict(zip(heads, ae64, strict=True)) == {
        "encoder": "[AE-64" + NOTEBOOK,
        "error": "0.00378 ±\xa00.00002",
        "kNN %": "97.1 ±\xa00.0",
        "linear %": "",
        "1 label %": "",
        "5 labels %": "",
        "10 labels %": "70.0 ±\xa02.0",
        "16 labels %": "",
        "clusters %": "",
        "rank": "40.3 ±\xa00.5",
        "parameters": "1,125,290",
        "CPU s": "1,261",
    }
    assert raw[0] == "[raw pixels" + NOTEBOOK
    assert (raw[1], raw[2], raw[6], raw[-1]) == ("", "97.1", "73.1 ±\xa01.5", "0")
    assert conv[0] == "[conv \\| AE" + NOTEBOOK
    assert caplog.records == []


def test_comparison_warns_of_an_unknown_encoder(page, caplog):
    # Beginning like a known name is not enough.
    text = page(results.Comparison, "raw\nae64\nconv\nae6").astext()
    assert len(rows_of(text)) == 5
    assert [record.getMessage() for record in caplog.records] == [
        "no result begins with 'ae6.'"
    ]


def test_comparison_warns_of_an_encoder_without_a_line(page, caplog):
    page(results.Comparison, "raw\nconv")
    assert [record.getMessage() for record in caplog.records] == [
        "encoder 'ae64' has results but no line in this comparison"
    ]


def test_comparison_before_anything_is_recorded(page, caplog):
    for kind in (results.Comparison, results.Scatter):
        assert "No figures" in page(kind, "raw\nvae", {}).astext()
    assert caplog.records == []


def test_names_of_encoders_are_heads_of_rows(monkeypatch):
    def two_columns(text):
        head = nodes.tgroup("", nodes.colspec(), nodes.colspec(), cols=2)
        return [nodes.table("", head)]

    self = SimpleNamespace(
        env=SimpleNamespace(srcdir=None), content=["raw", "ae64", "conv"]
    )
    self.parse_text_to_nodes = two_columns
    monkeypatch.setattr(results, "read_results", lambda _: EVERY)
    (node,) = results.Comparison.run(self)
    first, second = node.findall(nodes.colspec)
    assert first["stub"] and "stub" not in second
    assert node["classes"] == ["comparison"]


def test_scatter_has_encoders_with_an_error_and_says_so(page, tmp_path):
    assert results.copies(EVERY) == {"conv | AE": (0.003, 0.8), "AE-64": (0.00378, 0.7)}
    figure = page(results.Scatter, "A caption.")
    image, caption = figure
    assert caption.astext() == "A caption."
    assert "conv | AE 0.00300 and 80.0 %; AE-64 0.00378 and 70.0 %" in image["alt"]
    assert "raw pixels (a level) 73.1 %" in image["alt"]
    file = tmp_path / image["uri"].removeprefix("/")
    assert file.read_bytes().startswith(b"\x89PNG")


def test_scatter_of_costs_leaves_out_what_costs_nothing(page, tmp_path):
    # Raw pixels took no time; they are a level.
    assert results.costs(EVERY) == {
        results.title(EVERY, name): (
            EVERY[f"{name}.knn"]["cpu_seconds"],
            EVERY[f"{name}.shot10"]["value"],
        )
        for name in ("conv", "ae64")
    }
    figure = page(results.Scatter, "A caption.", arguments=["cost"])
    assert "AE-64 1261 s and 70.0 %" in figure[0]["alt"]
    assert (tmp_path / figure[0]["uri"].removeprefix("/")).exists()
    (axes,) = results.scatter({"a": (10, 0.5)}, {}, "cost").axes
    assert axes.get_xscale() == "log"


def test_marks_of_a_scatter_differ():
    points = {str(i): (0.001 * i, 0.7) for i in range(26)}
    (axes,) = results.scatter(points, {"raw": 0.7, "twin": 0.9}).axes
    looks = {
        (line.get_marker(), line.get_color(), str(line.get_markerfacecolor()))
        for line in axes.lines[:26]
    }
    assert len(looks) == 26
    assert axes.lines[26].get_linestyle() != axes.lines[27].get_linestyle()
    assert axes.get_xlim()[0] == 0


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


def test_arguments_on_lines_of_their_own_are_no_list_of_definitions():
    line = '<dd><em class="sig-param"><span class="n">{}</span></em>, </dd>\n'
    other = "<dl>\n<dt>term</dt><dd>words</dd>\n</dl>"
    arguments = f"<dl>\n{line.format('a')}{line.format('b')}</dl>"
    context = {"body": f'<dt class="sig">f({arguments})</dt>{other}'}
    docstrings.plain_signatures(None, "", "", context, None)
    signature, rest = context["body"].split("</dt>", 1)
    assert signature.count('<span class="sig-line">') == 2
    assert not re.search("</?d[dl]>", signature) and rest == other
    docstrings.plain_signatures(None, "", "", {}, None)  # a page without a text


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
