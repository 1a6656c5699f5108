"""The rendered book in a browser: nothing foreign, nothing missing, nothing too wide.

Needs Chromium and a book in `_build/html` (`make book`), and is skipped without them.
Pages that are opened from a folder are in `test_accessibility.py`.
"""

import pytest

chromium = pytest.importorskip("chromium")

PAGES, SITE = chromium.PAGES, chromium.SITE
VIEWS = [(1280, "light"), (1280, "dark"), (390, "dark"), (390, "light")]
# Words a reader may look for, and the page that should be among the first found.
TERMS = {
    "autoencoder": "algorithms/autoencoder",
    "mode collapse": "algorithms/generative_adversarial_network",
    "InfoNCE": "algorithms/contrastive",
    "pretext task": "algorithms/pretext_tasks",
    "denoising": "algorithms/denoising_and_sparse",
    "ten labels": "algorithms/ten_labels",
    "evidence lower bound": "mathematics/elbo",
    "mutual information": "mathematics/contrastive_bound",
    "Colab": "start/running",
    "licence": "appendix/licences",
}
FIRST = 5
# What a reader would see of TeX that was not set, outside code and what only machines
# read.
UNSET = r"""() => {
    const found = [];
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const skipped = "pre, code, script, style, template, noscript, .sig, annotation";
    for (let node; (node = walk.nextNode());) {
        const tex = node.data.match(/\\[a-zA-Z(\[]|\$\$|\$[^\s$][^$]*\$/);
        if (tex && !node.parentElement.closest(skipped))
            found.push(`unset: ${node.data.slice(tex.index, tex.index + 40)}`);
    }
    for (const formula of document.querySelectorAll(".math"))
        if (!formula.querySelector("mjx-container"))
            found.push(`unset: ${formula.textContent}`);
    for (const wrong of document.querySelectorAll("mjx-merror, [data-mjx-error]"))
        found.push(`wrong formula: ${wrong.title || wrong.dataset.mjxError}`);
    return found;
}"""

pytestmark = chromium.needs_book


def check(tab, home, page):
    """Open a page, look at it in every view, and list what is wrong with it."""
    tab.look(*VIEWS[0])
    tab.open(home + page)
    found = tab.run(UNSET)
    for width, scheme in VIEWS:
        tab.look(width, scheme)
        if not tab.turns(scheme):
            found.append(f"does not turn {scheme}")
        too_wide = tab.run(chromium.TOO_WIDE)
        if too_wide:
            found.append(f"wider than {width}, {scheme}: {too_wide}")
    # Without it a phone shows the page as a desktop would, in small.
    if not tab.page.locator(
        "meta[name=viewport][content*='width=device-width']"
    ).count():
        found.append("does not fit itself to a phone")
    return found + tab.complaints(home)


@pytest.mark.parametrize("page", PAGES)
def test_page_is_self_contained_and_fits(tab, home, page):
    assert check(tab, home, page) == []


@pytest.mark.parametrize("start", ["server", "folder"])
@pytest.mark.parametrize("term", TERMS)
def test_search_finds_what_readers_look_for(tab, home, term, start):
    start = home if start == "server" else SITE.as_uri() + "/"
    tab.open(f"{start}search.html?q={term.replace(' ', '+')}")
    results = tab.page.locator("#search-results li > a:first-child")
    results.first.wait_for(timeout=20_000)
    # Results come one by one; when all have come, their number is said.
    assert tab.becomes("/found/.test(document.body.innerText)", 20)
    first = [link.get_attribute("href") for link in results.all()[:FIRST]]
    page = f"chapters/{TERMS[term]}.html"
    assert page in [address.partition("#")[0] for address in first]
    tab.page.wait_for_load_state("networkidle")  # pages are asked for their words
    assert tab.complaints(start) == []


def test_a_search_is_made_by_typing(tab, home):
    tab.look(1280, "light")
    tab.open(home + "index.html")
    tab.page.keyboard.press("Control+k")
    tab.page.keyboard.type("autoencoder")
    tab.page.keyboard.press("Enter")
    tab.page.locator("#search-results li").first.wait_for(timeout=20_000)
    assert tab.complaints(home) == []


def test_a_dark_page_is_printed_light_and_stays_dark(tab, home):
    tab.look(1280, "dark")
    tab.open(home + "index.html")
    assert tab.turns("dark")
    theme = "document.documentElement.dataset.theme"
    tab.run(f"addEventListener('beforeprint', () => {{ window.printed = {theme}; }})")
    tab.page.pdf()
    assert tab.run("window.printed") == "light"
    assert tab.run(theme) == "dark"


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("<img src='http://localhost:9/x.png'>", "asks http://localhost:9/x.png"),
        ("<script>new WebSocket('ws://localhost:9')</script>", "asks ws://localhost:9"),
        ("<script src='gone.js'></script>", "misses"),
        ("<script>undefined.x</script>", "undefined"),
        ("<script>console.warn('careful')</script>", "careful"),
        ("<script>console.assert(false, 'or else')</script>", "or else"),
        ("<p style='width: 2000px'>wide</p>", "wider than 390, light: HTML 2"),
        ("<script>dark.onchange = null</script>", "does not turn dark"),
        ("<script>document.querySelector('meta').remove()</script>", "to a phone"),
        ("<p>Then \\(x\\) is</p>", "unset: "),
        ("<p>Then $x$ is</p>", "unset: "),
        ("<details><p>a \\frac12</p></details>", "unset: "),
        ("<span class=math>x</span>", "unset: x"),
        ("<mjx-merror title='Too many {'></mjx-merror>", "wrong formula: Too many {"),
        ("<g data-mjx-error='Too many {'></g>", "wrong formula: Too many {"),
    ],
)
def test_each_fault_of_a_page_is_noticed(tab, tmp_path, body, complaint):
    start = (
        "<!doctype html><meta name=viewport content='width=device-width'>"
        "<link rel=icon href='data:,'><script>"
        "const dark = matchMedia('(prefers-color-scheme: dark)');"
        "const set = () => document.documentElement.dataset.theme ="
        " dark.matches ? 'dark' : 'light'; set(); dark.onchange = set;</script>"
        "<body><code>$x$</code><p class=math><mjx-container>x</mjx-container>"
    )
    (tmp_path / "good.html").write_text(start)
    (tmp_path / "bad.html").write_text(start + body)
    with chromium.serve(tmp_path) as address:
        assert check(tab, address, "good.html") == []
        assert complaint in " ".join(check(tab, address, "bad.html"))
