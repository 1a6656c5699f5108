"""Small styles: rules go that match nothing, and nothing looks different."""

import hashlib
import re
import sys
from pathlib import Path

import pytest
from chromium import SITE, needs_book

EXT = Path(__file__).parent.parent / "_ext"
sys.path.insert(0, str(EXT))
import styles  # noqa: E402

THEME = "styles/pydata-sphinx-theme.css"


@pytest.mark.parametrize(
    ("css", "left"),
    [
        (".there{a:b}.gone{a:b}", ".there{a:b}"),
        ("#there{a:b}#gone{a:b}", "#there{a:b}"),
        ("p{a:b}[href]{a:b}*{a:b}", "p{a:b}[href]{a:b}*{a:b}"),
        (".there,.gone,p{a:b}", ".there,p{a:b}"),
        (".there.gone{a:b}.there>.gone p{a:b}", ""),
        ("p:not(.gone){a:b}", "p:not(.gone){a:b}"),
        (":is(.gone,.there){a:b}", ":is(.gone,.there){a:b}"),
        (".bs-tooltip-auto{a:b}", ".bs-tooltip-auto{a:b}"),
        (".there{a:url(x.gone)}", ".there{a:url(x.gone)}"),
        ('.there::before{content:".gone{}"}', '.there::before{content:".gone{}"}'),
        ("@media print{.gone{a:b}.there{a:b}}", "@media print{.there{a:b}}"),
        ("@media print{.gone{a:b}}", ""),
        ("@supports (a:b){.gone{a:b}p{a:b}}", "@supports (a:b){p{a:b}}"),
        ("@font-face{a:b}", "@font-face{a:b}"),
        ("@keyframes gone{to{a:b}}", "@keyframes gone{to{a:b}}"),
        ("/* words */ .there {a:b}\n", ".there{a:b}"),
    ],
)
def test_rules_stay_that_can_match(css, left):
    assert styles.reduced(css, {"there"}) == left


def test_order_of_rules_stays():
    css = ".a{x:1}@media print{.a{x:2}}.b{x:3}.a{x:4}"
    assert styles.reduced(css, {"a", "b"}) == css


def test_names_are_found_in_pages_and_scripts():
    texts = ['<p class="one two-words" id=three>', "list.add('four_5');x.six=`7-up`"]
    assert styles.names(texts) >= {"one", "two-words", "three", "four_5", "six"}


def test_the_style_keeps_signs_and_loses_icons(tmp_path):
    from fontTools.ttLib import TTFont

    (tmp_path / THEME).parent.mkdir(parents=True)
    (tmp_path / THEME).write_bytes((styles.THEME / "static" / THEME).read_bytes())
    (tmp_path / "vendor/fontawesome/webfonts").mkdir(parents=True)
    styles.trim_font(tmp_path)
    css = (tmp_path / THEME).read_text("utf-8")
    assert ".fa-ship" not in css and "--pst-icon-download" in css
    assert re.findall(r"url\((\.\./vendor[^)]*)\)", css) == [
        "../vendor/fontawesome/webfonts/icons.woff"
    ]
    with TTFont(tmp_path / "vendor/fontawesome/webfonts/icons.woff") as font:
        signs = set(font.getBestCmap())
    # Download, note, warning; and a ship is no longer there.
    assert {0xF019, 0xF05A, 0xF071} <= signs and 0xF21A not in signs


# --- in the browser ---------------------------------------------------------------

# All that the style decides, of each element and of the signs before and after it. An
# icon is a drawing, which shows no sign; the theme has one for it nevertheless.
LOOK = """() => [...document.querySelectorAll("body, body *")].map(element =>
    [null, "::before", "::after"].map(part => {
        if (part && element.closest("svg")) return "";
        const style = getComputedStyle(element, part);
        return element.tagName + [...style].filter(name => !name.startsWith("--"))
            .map(name => name + ":" + style.getPropertyValue(name)).join(";");
    }).join("\\n"))"""


@needs_book
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_looks_different(tab, home, scheme):
    """The theme's whole style, as its package has it, gives each element the same."""
    tab.look(390, scheme)
    name = "chapters/start/running.html"
    tab.open(home + name)
    assert tab.turns(scheme)
    small = tab.run(LOOK)

    whole = (styles.THEME / "static" / THEME).read_text("utf-8")
    # Icons are drawings; of the font the page has what the style itself shows.
    whole = re.sub(r"@font-face\{[^{}]*Font Awesome[^{}]*\}", "", whole)
    tab.page.route(
        f"**/{THEME}*",
        lambda route: route.fulfill(body=whole, content_type="text/css"),
    )
    tab.open(home + name)
    assert tab.turns(scheme)
    large = tab.run(LOOK)
    tab.page.unroute(f"**/{THEME}*")

    assert len(small) == len(large) > 300
    assert [a for a, b in zip(small, large, strict=True) if a != b] == []
    assert (SITE / "_static" / THEME).stat().st_size < 0.5 * len(whole)


@needs_book
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_knows_before_its_scripts_whether_it_is_dark(tab, home, scheme):
    tab.look(1280, scheme)
    tab.page.route("**/*.js*", lambda route: route.abort())
    tab.open(home + "index.html")
    assert tab.run("document.documentElement.dataset.theme") == scheme
    tab.run("localStorage.setItem('mode', 'dark')")
    tab.open(home + "index.html")
    assert tab.run("document.documentElement.dataset.theme") == "dark"
    tab.run("localStorage.clear()")
    tab.page.unroute("**/*.js*")


@needs_book
@pytest.mark.parametrize("style", styles.STYLES)
def test_a_page_asks_for_the_style_of_its_build(style):
    digest = hashlib.sha256((SITE / "_static" / style).read_bytes()).hexdigest()
    for name in ("index.html", "chapters/start/running.html"):
        text = (SITE / name).read_text("utf-8")
        assert re.findall(rf'/{style}([^"]*)"', text) == [f"?v={digest[:8]}"]


@needs_book
def test_a_wide_formula_can_be_reached_once_its_text_is_unfolded(tab, home):
    """Without a mouse one scrolls a formula by stopping at it."""
    tab.look(390, "light")
    tab.open(home + "chapters/algorithms/masked_modelling.html")
    wide = """[...document.querySelectorAll("details mjx-container[display]")].filter(
        box => box.scrollWidth > box.clientWidth)"""
    tab.run("document.querySelectorAll('details').forEach(one => { one.open = 1; })")
    assert tab.becomes(f"{wide}.length > 0 && {wide}.every(box => box.tabIndex === 0)")
    stops = "document.querySelectorAll('mjx-container[tabindex]').length"
    narrow = tab.run(stops)
    tab.look(1280, "light")
    assert tab.becomes(f"{stops} < {narrow}")
