"""Every page opened from its folder, as without a network, and judged by axe-core.

axe-core looks for violations of WCAG 2.2, levels A and AA. What it cannot see (whether
an alternative text tells the point of a picture, whether a quiz can be taken by
keyboard) is in `test_book.py`, `test_quizzes_browser.py` and `test_live_browser.py`.
Needs Chromium and a book in `_build/html` (`make book`), and is skipped without them.
"""

import pytest

chromium = pytest.importorskip("chromium")
axe = pytest.importorskip("axe_playwright_python.base")

LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
EVERYTHING = {"runOnly": {"type": "tag", "values": LEVELS}}
CONTRAST = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}
# Widest last: the theme gives tab stops to what scrolls when a page is loaded, and some
# time after it was resized. What fits a phone does not scroll on a desktop.
VIEWS = [
    (390, "dark", EVERYTHING),
    (1280, "dark", CONTRAST),
    (1280, "light", EVERYTHING),
]
# The time that axe takes grows fast with the number of elements, and tokens of code are
# most of them. The first token of a kind stands for all others in the same kind of
# block.
THIN_OUT = """() => {
    const seen = new Set();
    const tokens = ":is(pre, code, .sig) span[class]:not(:has(*))";
    for (const token of document.querySelectorAll(tokens)) {
        const block = token.closest(
            "dt, dl, .cell_input, .cell_output, div[class*=highlight-]");
        const kind = `${token.className} in ${block?.className}`;
        if (seen.has(kind)) token.replaceWith(...token.childNodes);
        // Of a single character, axe cannot tell the contrast.
        else if (token.textContent.trim().length > 1) seen.add(kind);
    }
}"""
# Likewise, the first three texts of each colour, size and weight on each ground; three,
# because axe does not judge what lies under or over something else.
MARK = """() => {
    const kinds = new Map();
    const clear = /^rgba\\(.*, 0\\)$/;
    const ground = (element) => {
        for (; element; element = element.parentElement) {
            const style = getComputedStyle(element);
            if (style.backgroundImage != "none" || !clear.test(style.backgroundColor))
                return style.backgroundColor + style.backgroundImage;
        }
    };
    for (const old of document.querySelectorAll("[data-first]"))
        old.removeAttribute("data-first");
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node; (node = walk.nextNode());) {
        const element = node.parentElement;
        if (node.data.trim().length < 2 || !element.checkVisibility()) continue;
        const {color, fontSize, fontWeight, opacity, textShadow} =
            getComputedStyle(element);
        const kind = [
            color, fontSize, fontWeight, opacity, textShadow, ground(element),
        ].join();
        const marked = kinds.get(kind) ?? 0;
        if (marked == 3) continue;
        kinds.set(kind, marked + 1);
        element.dataset.first = "";
    }
}"""
JUDGE = """async (options) => {
    axe.configure({rules: [{id: "color-contrast", selector: "[data-first]"}]});
    // Without preload, or axe would ask for the style sheets again.
    const {violations} = await axe.run(
        {...options, resultTypes: ["violations"], preload: false});
    return violations.flatMap(({id, nodes}) =>
        nodes.map(({target, any, all, none}) =>
            [id, target, ...[...any, ...all, ...none].map(({message}) => message)]
            .join(": ")));
}"""

pytestmark = chromium.needs_book


def judge(tab, address):
    """Open a page, and list what axe says of it on a phone and a desktop."""
    tab.look(*VIEWS[0][:2])
    tab.open(address)
    tab.run(f"{axe.AXE_SCRIPT}; 0")
    tab.run(THIN_OUT)
    # A colour on its way from light to dark is neither.
    tab.page.add_style_tag(content="* { transition: none !important; }")
    found = []
    for width, scheme, options in VIEWS:
        tab.look(width, scheme)
        assert tab.turns(scheme)
        tab.run(MARK)
        said = tab.run(JUDGE, options)
        found += [f"{width}, {scheme}: {violation}" for violation in said]
    return found


@pytest.mark.parametrize("page", chromium.PAGES)
def test_page_is_accessible_and_works_from_a_folder(tab, home, page):
    # A server answers with this page to any address, so it cannot name files beside it.
    start = home if page == "404.html" else chromium.SITE.as_uri() + "/"
    assert judge(tab, start + page) == []
    assert tab.complaints(start) == []


def test_a_folder_has_its_formulas(tab):
    tab.open((chromium.SITE / "chapters/appendix/notation.html").as_uri())
    assert tab.page.locator("mjx-container").count() > 20


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("<img id=a src='data:,'>", "390, dark: image-alt: #a"),
        ("<p id=a class=pale>Too pale</p>", "1280, dark: color-contrast: #a"),
        ("<pre><b class=k>ok</b></pre><pre><b class=k>ok</b></pre>", None),
        ("<pre><span id=a class=k>if</span></pre>", "light: color-contrast: #a"),
        ("<button class=small id=a>+</button><button class=small>-", "target-size: #a"),
        (
            "<p id=a class=wide tabindex=-1>" + "wide " * 99,
            "390, dark: scrollable-region-focusable: #a",
        ),
        ("<dl id=a><dd>Without a term</dl>", "1280, light: definition-list: #a"),
        ("<button class=phone id=a></button>", "390, dark: button-name: #a"),
        ("<script src=gone.js></script>", "failed to load"),
    ],
)
def test_each_fault_is_noticed(tab, tmp_path, body, complaint):
    start = (
        "<!doctype html><html lang=en><title>A</title>"
        "<meta name=viewport content='width=device-width'><style>"
        "body { background: white; color: black } "
        "[data-theme=dark] body { background: black; color: white } "
        ".pale { color: #666 } pre span.k { color: #777 } "
        ".small { padding: 0; border: 0; width: 9px; height: 9px } "
        ".wide { overflow-x: scroll; white-space: nowrap } "
        "@media (width > 600px) { .phone { display: none } } </style><script>"
        "const dark = matchMedia('(prefers-color-scheme: dark)');"
        "const set = () => document.documentElement.dataset.theme ="
        " dark.matches ? 'dark' : 'light'; set(); dark.onchange = set;</script>"
        "<body><main><h1>A</h1><pre class=highlight><span class=n>a</span></pre>"
    )
    (tmp_path / "good.html").write_text(start)
    (tmp_path / "bad.html").write_text(start + body)
    folder = tmp_path.as_uri() + "/"
    assert judge(tab, folder + "good.html") == []
    assert tab.complaints(folder) == []
    found = judge(tab, folder + "bad.html") + tab.complaints(folder)
    assert complaint in " ".join(found) if complaint else found == []
