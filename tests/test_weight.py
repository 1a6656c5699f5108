"""What is done to finished pages: formulas, pictures, icons, scripts."""

import html
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

EXT = Path(__file__).parent.parent / "_ext"
sys.path.insert(0, str(EXT))
import maths  # noqa: E402
import styles  # noqa: E402
import weight  # noqa: E402


def app(folder, builder="html"):
    return SimpleNamespace(outdir=folder, builder=SimpleNamespace(format=builder))


# --- formulas ---------------------------------------------------------------------


def formula(tex, display=False):
    """Markup of a formula as Sphinx writes it."""
    tag, start, end = ("div", r"\[", r"\]") if display else ("span", r"\(", r"\)")
    text = html.escape(tex, quote=False)
    return f'<{tag} class="math notranslate nohighlight">{start}{text}{end}</{tag}>'


def page(*parts):
    return f"<html><head></head><body>{' and '.join(parts)}</body></html>"


def mathml(text):
    """Content of a page's hidden MathML, without spaces."""
    trees = map(ElementTree.fromstring, re.findall(r"<math .*?</math>", text))
    return ["".join("".join(tree.itertext()).split()) for tree in trees]


def test_formulas_are_found_with_their_kind():
    text = page(formula("a < b"), formula(r"\sum_i x_i", display=True))
    assert maths.formulas(text) == [
        {"tex": "a < b", "display": False},
        {"tex": r"\sum_i x_i", "display": True},
    ]
    assert maths.formulas(r"<code>\(x\)</code>") == []


def test_a_formula_becomes_html_and_mathml_and_no_tex_is_left(tmp_path):
    (tmp_path / "below").mkdir()
    file = tmp_path / "below" / "page.html"
    file.write_text(page(formula("a < b"), formula(r"\frac{x}{2}", display=True)))
    maths.finish(app(tmp_path), None)
    text = file.read_text()
    assert r"\frac" not in text and text.count("<mjx-container") == 2
    assert text.count('display="true"') >= 1
    assert mathml(text) == ["a<b", "x2"]
    (font,) = set(re.findall(r'url\("([^"]*MathJax_Main-Regular.woff)"\)', text))
    assert (file.parent / font).exists()
    # Each character that the page shows has its rule.
    shown = set(re.findall(r'<mjx-c class="(mjx-c[0-9A-F]+)', text))
    assert shown and all(f".{name}" in text.partition("</head>")[0] for name in shown)


def test_a_page_is_finished_once(tmp_path):
    (tmp_path / "page.html").write_text(page(formula("x")))
    maths.finish(app(tmp_path), None)
    first = (tmp_path / "page.html").read_text()
    maths.finish(app(tmp_path), None)
    assert (tmp_path / "page.html").read_text() == first


def test_pages_keep_their_own_formulas(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.html").write_text(page(formula(name), formula(name * 2)))
    maths.finish(app(tmp_path), None)
    for name in "ab":
        assert mathml((tmp_path / f"{name}.html").read_text()) == [name, name * 2]


def test_a_wrong_formula_is_named(tmp_path, monkeypatch):
    warned = []
    monkeypatch.setattr(
        maths.logger, "warning", lambda text, *words, **_: warned.append(text % words)
    )
    (tmp_path / "page.html").write_text(page(formula("x"), formula(r"\frac{1}")))
    maths.finish(app(tmp_path), None)
    assert warned == [r"wrong formula: \frac{1}"]


@pytest.mark.parametrize(
    ("builder", "error"), [("latex", None), ("html", ValueError("no"))]
)
def test_nothing_is_done_without_pages(tmp_path, builder, error):
    maths.finish(app(tmp_path, builder), error)
    weight.finish(app(tmp_path, builder), error)
    assert list(tmp_path.iterdir()) == []


def test_missing_mathjax_is_named(monkeypatch):
    monkeypatch.setattr(maths.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ModuleNotFoundError, match="sphinx-mathjax-offline is missing"):
        maths.mathjax()


def test_decks_get_mathjax_with_its_fonts(tmp_path):
    maths.copy_parts(tmp_path)
    names = {path.name for path in tmp_path.rglob("*")}
    assert {"tex-chtml.js", "MathJax_Main-Regular.woff", "explorer.js"} <= names
    maths.copy_parts(tmp_path)  # a second build finds them there


# --- pictures ---------------------------------------------------------------------


def chart():
    """White paper with a black frame and a blue line."""
    pixels = np.full((60, 80, 3), 255, "uint8")
    pixels[[2, -3]] = pixels[:, [2, -3]] = 0
    pixels[30, 5:70] = (0, 114, 178)
    return Image.fromarray(pixels)


def grid():
    """Noisy grey images on black."""
    noise = np.random.default_rng(0).normal(60, 40, (60, 80)).clip(0, 255)
    return Image.fromarray(noise.astype("uint8"))


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "html" / "_images"
    folder.mkdir(parents=True)
    chart().save(folder / "chart.png")
    grid().save(folder / "grid.png")
    return folder


def test_charts_are_kept_exactly_and_grids_nearly(pictures):
    known = weight.convert(pictures)
    assert known["chart.png"] == {"width": 80, "height": 60, "chart": True}
    assert known["grid.png"]["chart"] is False
    assert sorted(path.name for path in pictures.iterdir()) == [
        "chart.webp",
        "grid.webp",
    ]
    with Image.open(pictures / "chart.webp") as image:
        assert np.array_equal(np.asarray(image.convert("RGB")), np.asarray(chart()))
    with Image.open(pictures / "grid.webp") as image:
        error = np.asarray(image.convert("L"), float) - np.asarray(grid(), float)
    assert 0 < np.abs(error).mean() < 12


def test_an_unchanged_picture_is_remembered(pictures):
    first = weight.convert(pictures)
    assert weight.convert(pictures) == first


def test_pages_show_the_pictures_with_their_sizes_and_later_ones_late(pictures):
    known = weight.convert(pictures)
    text = weight.lighten_pictures(
        '<img alt="A chart." src="../_images/chart.png"/>'
        '<img alt="Digits." class="x" src="../_images/grid.png" />'
        '<img alt="Logo" src="_static/logo.svg"/>'
        '<a class="image-reference" href="../_images/grid.png">large</a>'
        '<a href="../_images/other.png">another</a>',
        known,
    )
    first, second, other = re.findall("<img[^>]*>", text)
    assert 'src="../_images/chart.webp"' in first and 'alt="A chart."' in first
    assert 'class="chart"' in first and 'width="80" height="60"' in first
    assert "lazy" not in first and 'loading="lazy"' in second
    assert 'class="x"' in second and 'src="../_images/grid.webp"' in second
    assert other == '<img alt="Logo" src="_static/logo.svg"/>'
    links = re.findall('href="([^"]*)"', text)
    assert links == ["../_images/grid.webp", "../_images/other.png"]
    assert weight.lighten_pictures(text, known) == text


# --- icons ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def drawings():
    script = styles.THEME / "static" / "scripts" / "fontawesome.js"
    return weight.icons(script.read_text("utf-8"))


def test_drawings_are_those_of_the_solid_font(drawings):
    """The outline of the font has the same box and almost the same area."""
    from fontTools.pens.areaPen import AreaPen
    from fontTools.svgLib.path import parse_path
    from fontTools.ttLib import TTFont

    with TTFont(styles.FONT) as font:
        glyphs, names = font.getGlyphSet(), font.getBestCmap()
        for name, sign in {"sun": 0xF185, "file": 0xF15B, "list": 0xF03A}.items():
            area, drawn = AreaPen(glyphs), AreaPen()
            glyphs[names[sign]].draw(area)
            parse_path(drawings[name][2], drawn)
            assert abs(area.value) == pytest.approx(abs(drawn.value), rel=0.03)


def test_icons_become_drawings_and_keep_what_the_theme_asks_for(drawings):
    text = weight.draw_icons(
        '<i class="fas fa-expand"></i><span class="fa-solid fa-bars"></span>'
        '<i class="theme-switch fa-solid fa-sun fa-lg" data-mode="light"></i>'
        '<i class="other"></i><span>words</span>',
        drawings,
    )
    assert text.count("<svg") == 3 and text.count('aria-hidden="true"') == 3
    assert 'class="svg-inline--fa theme-switch fa-solid fa-sun fa-lg"' in text
    assert 'data-mode="light"' in text and drawings["sun"][2] in text
    assert text.endswith('<i class="other"></i><span>words</span>')


def test_an_unknown_icon_is_an_error(drawings):
    with pytest.raises(KeyError, match="no-such-icon"):
        weight.draw_icons('<i class="fas fa-no-such-icon"></i>', drawings)


# --- scripts and styles -----------------------------------------------------------

HEAD = """<html><head>
<meta name="viewport" content="width=device-width, initial-scale=1.0" />
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<link rel="stylesheet" type="text/css" href="_static/copybutton.css?v=1" />
<link rel="stylesheet" type="text/css" href="_static/book.css?v=1" />
<script defer src="_static/scripts/fontawesome.js?digest=1"></script>
<script src="_static/documentation_options.js?v=1"></script>
<script src="_static/copybutton.js?v=1"></script>
<script src="_static/book.js"></script>
<script>DOCUMENTATION_OPTIONS.pagename = 'x';</script>
<script src="searchindex.js"></script>
</head>"""


def files(text):
    return re.findall(r'(?:src|href)="(?:_static/)?(?:scripts/)?([^"?]*)', text)


def test_a_page_loads_what_it_uses():
    plain = weight.drop_unused(HEAD + "<body><p>words</p></body>")
    assert files(plain) == ["book.css", "documentation_options.js", "book.js"]
    code = weight.drop_unused(HEAD + '<body><div class="highlight"></div></body>')
    assert {"copybutton.css", "copybutton.js"} <= set(files(code))
    found = weight.drop_unused(HEAD + '<body><div id="search-results"></div></body>')
    assert "searchindex.js" in files(found)
    assert plain.count("viewport") == 1 and "pagename = 'x'" in plain


def test_scripts_wait_except_the_one_that_the_page_itself_speaks_to():
    text = weight.drop_unused(HEAD + "<body></body>")
    assert '<script defer src="_static/book.js">' in text
    assert '<script src="_static/documentation_options.js?v=1">' in text
    assert weight.drop_unused(text) == text


def test_the_search_looks_for_places_by_name():
    """In the script that Sphinx brings, whose version may differ."""
    import sphinx

    path = Path(sphinx.__file__).parent / "themes/basic/static/searchtools.js"
    text = weight.mend_search(path.read_text("utf-8"))
    assert "] ${anchor}`)" not in text
    assert text.count("htmlElement.getElementById(anchor.slice(1));") == 1
    assert weight.mend_search(text) == text


def test_entries_of_a_bibliography_are_items_of_a_list():
    text = '<div role="list"><div role="doc-biblioentry">Book</div></div>'
    assert weight.plain_roles(text) == text.replace("doc-biblioentry", "listitem")
