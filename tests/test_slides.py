"""Slides: made by the rule, in reach of the back row, and of nobody else's server.

The last part looks at every slide of every deck in a browser, and is skipped without
Chromium.
"""

import base64
import json
import re
import struct
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "_ext"))

pytest.importorskip("nbconvert")
pytest.importorskip("jupyter_book")

import slides  # noqa: E402

chromium = pytest.importorskip("chromium")

PARTS = slides.parts(ROOT)
NOTEBOOKS = [name for _, _, names in PARTS for name in names]


def read(name):
    return json.loads((ROOT / f"chapters/{name}.ipynb").read_text("utf-8"))


def made_of(name):
    return slides.notebook_slides(read(name), name)


# --- the rule, on a small notebook ------------------------------------------------


def png(width, height):
    return b"\x89PNG\r\n\x1a\n" + b"\0" * 8 + struct.pack(">II", width, height)


def markdown(text):
    return {"cell_type": "markdown", "metadata": {}, "source": text}


def code(source, text=None, picture=None, **metadata):
    outputs = []
    if text:
        outputs.append({"output_type": "stream", "name": "stdout", "text": text})
    if picture:
        data = {"image/png": base64.b64encode(picture).decode()}
        alt = {"image/png": {"alt": 'A "line".'}}
        outputs.append({"output_type": "display_data", "data": data, "metadata": alt})
    return {
        "cell_type": "code",
        "metadata": metadata,
        "source": source,
        "outputs": outputs,
    }


START = [
    markdown("# Small\n\nWhy it matters."),
    markdown("## What you will be able to do\n\n- Count.\n- Tell."),
    markdown(
        "## Prerequisites and running time\n\nNothing; see [Big](../b/big.ipynb#x)."
    ),
]
END = [
    markdown(
        "## What we showed\n\n- One is one.\n\n## Exercises\n\n**1. Two.** What is "
        "two?\n\n<details>\n<summary>Solution</summary>\n\nOne and one.\n\n</details>"
    ),
    code("assert 1 + 1 == 2", "2", tags=["hide-cell"]),
    markdown("**2. Three.** And three?\n\n## Further reading\n\n- A. Author."),
]


def made(*cells):
    return slides.notebook_slides({"cells": [*START, *cells, *END]}, "a/small")


def inner(*cells):
    """Slides between title and claims."""
    return made(*cells)[1:-2]


def test_a_notebook_begins_with_its_promises_and_ends_with_a_question():
    title, claims, question = made()
    assert (title.heading, claims.heading) == ("Small", "What we showed")
    assert title.text.endswith("- Count.\n- Tell.")
    assert "Why it matters." in title.notes
    assert "Nothing; see [Big](../chapters/b/big.html#x)." in title.notes
    assert claims.text == "- One is one."
    assert question.text == "**Two.** What is two?"
    assert question.notes == ["**Solution.**", "One and one."]


def test_a_formula_stands_with_its_sentence_and_the_rest_is_said():
    (slide,) = inner(
        markdown(
            "## Sums\n\nFirst words. The sum of $a$ and $b$ is\n\n$$c = a + b,$$\n\n"
            "where $c$ is a number. Last words.\n\nMore."
        )
    )
    (item,) = slide.items
    assert slide.heading == "Sums"
    assert item.lead == "First words. The sum of $a$ and $b$ is"
    assert item.body == "$$c = a + b,$$"
    assert item.rest == "where $c$ is a number."
    said = "\n".join(slide.notes)
    assert said.startswith("First words.") and said.endswith("More.")


def test_of_a_long_paragraph_only_the_last_sentence_leads():
    long = "First words, and many of them. " * 9
    (slide,) = inner(markdown(f"## Sums\n\n{long}The sum is\n\n$$c = a + b.$$"))
    assert slide.items[0].lead == "The sum is"
    assert slide.notes[0].startswith(long.strip())


def test_a_figure_comes_with_caption_and_alternative_text():
    (slide,) = inner(
        markdown("## Lines\n\nBefore."),
        code("plot()", picture=png(1050, 480)),
        markdown("**Figure 1.** A line. Look at it.\n\nAfter."),
    )
    (item,) = slide.items
    assert (item.kind, item.alt, item.size) == ("figure", 'A "line".', (1050, 480))
    assert item.body == "**Figure 1.** A line. Look at it."
    # Whole captions are said; what is shown of a long one is its beginning.
    assert slide.notes == ["Before.", "After.", item.body]


def test_a_tall_figure_has_its_text_beside_it_and_a_slide_of_its_own():
    first, second = inner(
        markdown("## Maps\n\nThe map is\n\n$$z = f(x).$$"),
        code("plot()", picture=png(1000, 1000)),
        markdown("**Figure 1.** A map."),
    )
    assert (first.look, second.look) == ("roomy", "beside")


def test_prose_between_two_things_is_shared_between_them():
    first, second = inner(
        markdown("## Two"),
        code("plot()", picture=png(1050, 480)),
        markdown("**Figure 1.** One.\n\nOf the first.\n\nTo the second."),
        code("plot()", picture=png(1050, 480)),
        markdown("**Figure 2.** Two."),
    )
    assert first.notes[0] == "Of the first." and second.notes[0] == "To the second."


def test_short_code_is_shown_only_where_nothing_else_is():
    short = code("print(1)", "1")
    (slide,) = inner(markdown("## Code\n\nWhat is one?"), short)
    assert slide.items[0].body == "```python\nprint(1)\n```\n\n```text\n1\n```"
    assert slide.items[0].lead == "What is one?"
    formula = markdown("And\n\n$$1 = 1.$$")
    (slide,) = inner(markdown("## Code\n\nWhat is one?"), short, formula)
    assert [item.kind for item in slide.items] == ["math"]
    long = code("\n".join(["print(1)"] * 11), "1")
    assert inner(markdown("## Code\n\nWhat is one?"), long) == []
    assert inner(markdown("## Code"), code("x = 1")) == []


def test_a_table_keeps_its_cells_and_loses_its_looks():
    source = (
        '<div><style>x</style>\n<table border="1" class="dataframe">\n<tr style="a: b">'
        '<th>a</th>\n<td rowspan="2" class="c">1</td></tr></table></div>'
    )
    cell = code("t") | {"outputs": [{"data": {"text/html": source}}]}
    (slide,) = inner(markdown("## T\n\nOne row:"), cell)
    assert slide.items[0].body == (
        '<table><tr><th>a</th><td rowspan="2">1</td></tr></table>'
    )
    assert slide.items[0].lead == "One row:"
    many = source.replace("<tr", "<tr></tr><tr" * slides.TABLE_ROWS)
    cell = code("t") | {"outputs": [{"data": {"text/html": many + many}}]}
    assert inner(markdown("## T\n\nOne row:"), cell) == []


def test_a_question_within_a_section_is_asked_and_its_solution_is_said():
    (slide,) = inner(
        markdown(
            "## Q\n\n### 1. One\n\nIt is said.\n\n*Your turn:* try.\n\n<details>\n"
            "<summary>Solution</summary>\n\nNo.\n\n</details>"
        )
    )
    (item,) = slide.items
    assert (slide.heading, item.kind) == ("Q\n1. One", "question")
    assert (item.lead, item.body) == ("It is said.", "*Your turn:* try.")
    assert slide.notes[-1] == "No."


def test_the_rest_of_a_sentence_does_not_lead_to_the_next_formula():
    (slide,) = inner(
        markdown("## A\n\nIs\n\n$$a.$$\n\nso that b. Then\n\n$$c,$$\n\nand so.")
    )
    assert [(i.lead, i.rest) for i in slide.items] == [
        ("Is", "so that b."),
        ("Then", "and so."),
    ]


def test_a_listing_stays_whole_over_its_blank_lines():
    listing = "```python\nx = 1\n\ny = 2\n```"
    (slide,) = inner(markdown(f"## L\n\nIt says:\n\n{listing}"))
    assert slide.items[0].body == listing


def test_what_is_recorded_is_no_slide():
    assert inner(markdown("## For the record\n\nCosts."), code("print(1)", "1")) == []


def test_what_is_marked_stays_off_the_slides():
    mark = {"slideshow": {"slide_type": "skip"}}
    figure = code("plot()", picture=png(1050, 480), **mark)
    assert inner(markdown("## A"), figure, markdown("**Figure 1.** B.")) == []


def test_a_section_without_anything_to_show_is_said_with_the_next():
    (slide,) = inner(
        markdown("## Empty\n\nSaid anyway."),
        markdown("## Empty too\n\nSaid as well."),
        markdown("## Full\n\nIs\n\n$$1 = 1.$$"),
    )
    assert slide.heading == "Full"
    empty = ["**Empty**", "Said anyway.", "**Empty too**", "Said as well."]
    assert slide.notes[:4] == empty


def test_many_claims_take_two_slides():
    claims = "\n".join(f"- {'words ' * 30}{i}." for i in range(8))
    first, second = slides.split_list(claims)
    assert first + "\n" + second == claims
    assert slides.split_list("- One.") == ["- One."]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("One. Two? Three!", ["One.", "Two?", "Three!"]),
        ("**Figure 1.** A line. B.", ["**Figure 1.**", "A line.", "B."]),
        ("With $a. B$ and `c. D` all.", ["With $a. B$ and `c. D` all."]),
        ("See [A. B](c.ipynb). $x$ is.", ["See [A. B](c.ipynb).", "$x$ is."]),
        ("At 0.5 it ends.", ["At 0.5 it ends."]),
    ],
)
def test_sentences(text, parts):
    assert slides.sentences(text) == parts


def test_links_become_words_on_a_slide_and_pages_in_notes():
    text = "See [A](../b/c.ipynb#d), [arXiv](https://arxiv.org) and [E](e.md)."
    assert slides.unlinked(text) == "See A, arXiv and E."
    assert slides.for_notes(text, "x") == (
        "See [A](../chapters/b/c.html#d), arXiv and [E](../chapters/x/e.html)."
    )


# --- the notebooks of the course --------------------------------------------------


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_figure_and_formula_of_a_section_is_on_a_slide(name):
    notebook = read(name)
    shown = [item for slide in made_of(name) for item in slide.items]
    figures = sum(
        "image/png" in output.get("data", {})
        for cell in notebook["cells"]
        if "hide-cell" not in cell["metadata"].get("tags", [])
        for output in cell.get("outputs", [])
    )
    assert sum(item.kind == "figure" for item in shown) == figures
    text = "\n\n".join(
        "".join(cell["source"])
        for cell in notebook["cells"]
        if cell["cell_type"] == "markdown"
    ).partition("\n## Exercises")[0]
    formulas = re.findall(r"^\$\$.+?\$\$", text, re.DOTALL | re.MULTILINE)
    assert [
        item.body.rstrip(" .,;") for item in shown if item.kind == "math"
    ] == formulas


def test_a_part_is_a_folder_of_notebooks():
    assert [folder for folder, _, _ in PARTS] == [
        "concepts",
        "algorithms",
        "mathematics",
        "mnist",
        "beyond",
        "future",
        "appendix",
    ]
    assert len(NOTEBOOKS) == len(set(NOTEBOOKS))


# --- the decks --------------------------------------------------------------------


@pytest.fixture(scope="module")
def decks(tmp_path_factory):
    output = tmp_path_factory.mktemp("book") / "slides"
    return {path.stem: path for path in slides.make_slides(output)}


@pytest.mark.parametrize("part", [folder for folder, _, _ in PARTS])
def test_a_deck_names_no_foreign_address_and_nothing_that_is_missing(decks, part):
    text = decks[part].read_text("utf-8")
    assert re.findall(r"(?:https?:)?//[\w.-]+\.\w+", text) == []
    for address in re.findall(r'(?:src|href)="([^"]+)"', text):
        if address.startswith("../chapters/"):
            page = ROOT / address.partition("#")[0].removeprefix("../")
            assert any(page.with_suffix(end).exists() for end in (".ipynb", ".md"))
        elif not address.startswith(("#/", "data:")):
            assert (decks[part].parent / address).exists(), address
    assert text.count("<section") == text.count("</section>")
    names = dict((folder, names) for folder, _, names in PARTS)[part]
    shown = [i for name in names for s in made_of(name) for i in s.items]
    assert text.count("<img") == sum(item.kind == "figure" for item in shown)
    assert text.count('class="math"') == sum(item.kind == "math" for item in shown)
    assert not re.search(r"<img(?![^>]*alt=\"[^\"]{20,})", text)


def test_beside_a_book_the_decks_use_its_pictures(tmp_path):
    picture = png(10, 10)
    pictures = slides.Pictures(tmp_path / "slides")
    alone = pictures.address(picture)
    assert (tmp_path / "slides" / alone).read_bytes() == picture
    (tmp_path / "_images").mkdir()
    beside = Path(alone).with_suffix(".webp").name
    (tmp_path / "_images" / beside).touch()
    assert pictures.address(picture) == f"../_images/{beside}"


# --- in a browser -----------------------------------------------------------------

SMALLEST = 20
# Shows all slides at once, one upon the other, so that they are laid out once, and
# lists what is wrong with each. Lengths are pixels of the slide, whatever its size on
# the screen.
LOOK = """
(async () => {
  await window.ready;
  const style = document.createElement("style");
  style.textContent = `.reveal .slides section {
    display: block !important; transform: none !important; visibility: visible; }
    /* Only spoken. */
    mjx-assistive-mml { display: none !important; }`;
  document.head.append(style);
  document.body.getBoundingClientRect();  // begins to load fonts that only now are used
  await document.fonts.ready;
  fitFormulas();
  const found = [];
  for (const section of Reveal.getSlides()) {
    const {h, v} = Reveal.getIndices(section);
    const slide = section.querySelector(".slide");
    const scale = Reveal.getScale();
    const say = text => found.push(`#/${h}/${v} ${text}`);
    const box = slide.getBoundingClientRect();
    if (Math.abs(box.height / scale - 720) > 1) say(`is ${box.height / scale} high`);
    // Of what MathJax makes, the outermost box is enough.
    const inside = "mjx-container, mjx-math *, mjx-assistive-mml, mjx-assistive-mml *";
    for (const part of slide.querySelectorAll(`:not(${inside})`)) {
      const rect = part.getBoundingClientRect();
      if (!rect.width) continue;
      const over = Math.max(rect.right - box.right, rect.bottom - box.bottom,
                            box.left - rect.left, box.top - rect.top) / scale;
      const name = `${part.tagName} ${part.className} ${part.textContent.slice(0, 30)}`;
      if (over > 1) say(`${name} leaves it by ${over.toFixed()}`);
      const words = [...part.childNodes].some(n => n.nodeType == 3 && n.data.trim());
      const size = parseFloat(getComputedStyle(part).fontSize);
      const formula = part.tagName == "MJX-MATH";
      if ((words || formula) && size < LEAST - 0.5) say(`${name} has ${size} px`);
      if (part.matches("div, p, li, td, th, pre, h1, h2, h3")
          && part.scrollWidth > part.clientWidth + 1)
        say(`${name} is too wide`);
      if (part.tagName == "IMG" && (!part.naturalWidth || rect.height / scale < 90
          || rect.height / scale < Math.min(300, 0.85 * part.naturalHeight)))
        say(`a picture is ${(rect.height / scale).toFixed()} high`);
    }
    const boxes = [...(slide.querySelector(".body") || slide).children];
    boxes.forEach((one, i) => boxes.slice(i + 1).forEach(two => {
      const a = one.getBoundingClientRect(), b = two.getBoundingClientRect();
      if (Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2
          && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 2)
        say("two things lie on one another");
    }));
    if (slide.textContent.includes("$")) say("has a formula that was not set");
    if (slide.querySelector("mjx-merror")) say("has a wrong formula");
    const notes = section.querySelector("aside.notes");
    if (!notes || notes.textContent.trim().length < 20) say("has no notes");
    else if (notes.textContent.includes("$")) say("has a formula unset in its notes");
  }
  return found;
})()
""".replace("LEAST", str(SMALLEST))


def look(tab, address):
    tab.page.set_viewport_size({"width": 1280, "height": 720})
    tab.open(address)
    return tab.run(LOOK)


AXE = """async (slide) => {
  Reveal.slide(...slide);
  const {violations} = await axe.run({
    runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"],
    resultTypes: ["violations"], preload: false});
  return violations.flatMap(({id, nodes}) => nodes.map(({html}) => `${id}: ${html}`));
}"""


@chromium.needs_chromium
@pytest.mark.parametrize("part", ["concepts", "mnist"])
def test_slides_are_accessible(tab, decks, part):
    """The title and a few more; all decks are made alike, and with many formulas axe
    takes a minute."""
    script = pytest.importorskip("axe_playwright_python.base").AXE_SCRIPT
    with chromium.serve(decks[part].parent) as home:
        tab.page.set_viewport_size({"width": 1280, "height": 720})
        tab.open(f"{home}{part}.html")
        tab.run("async () => { await window.ready; }")
        tab.run(f"{script}; 0")
        for slide in ([0, 0], [1, 0], [1, 1], [1, 2]):
            assert tab.run(AXE, slide) == []


@chromium.needs_chromium
@pytest.mark.parametrize("part", [folder for folder, _, _ in PARTS])
def test_every_slide_fits_and_has_notes(tab, decks, part):
    with chromium.serve(decks[part].parent) as home:
        assert look(tab, f"{home}{part}.html") == []
        assert tab.complaints(home) == []


@chromium.needs_chromium
@pytest.mark.parametrize(
    ("slide", "complaint"),
    [
        (slides.Slide("Long", text="Words and words. " * 200), "leaves it by"),
        (slides.Slide("Wide", text="W" * 200), "too wide"),
        (slides.Slide("Small", text='<small style="font-size: 9px">x</small>'), "9 px"),
        (slides.Slide("Wrong", text="$\\frac{1}$"), "wrong formula"),
        (slides.Slide("Bare", text="5 $ and more"), "not set"),
        (slides.Slide("Dumb", notes=["-"]), "no notes"),
        (
            slides.Slide("Crowd", [slides.Item("code", "```\n" + "x\n" * 30 + "```")]),
            "leaves it by",
        ),
    ],
)
def test_each_fault_of_a_slide_is_noticed(tab, tmp_path, slide, complaint):
    slides.copy_reveal(tmp_path)
    slides.maths.copy_parts(tmp_path / "mathjax")
    slide.notes = slide.notes or ["Words that the speaker says."]
    for name, stack in (("good", made()), ("bad", [slide])):
        cells = slides.deck_cells([stack], slides.Pictures(tmp_path))
        text = slides.render(name, cells)
        (tmp_path / f"{name}.html").write_text(text, "utf-8")
    with chromium.serve(tmp_path) as home:
        assert look(tab, home + "good.html") == []
        assert complaint in " ".join(look(tab, home + "bad.html"))


@chromium.needs_chromium
def test_a_wide_formula_is_set_smaller_when_its_slide_comes(tab, tmp_path):
    slides.copy_reveal(tmp_path)
    slides.maths.copy_parts(tmp_path / "mathjax")
    wide = slides.Slide(
        "Wide", [slides.Item("math", f"$${'a + ' * 50}b$$")], notes=["W"]
    )
    # Far from the first slide, or it would be laid out with it.
    cells = slides.deck_cells([*[made()] * 5, [wide]], slides.Pictures(tmp_path))
    (tmp_path / "wide.html").write_text(slides.render("wide", cells), "utf-8")
    tab.open((tmp_path / "wide.html").as_uri())
    tab.run("window.ready.then(() => 1)")
    size = "document.querySelector('div.math mjx-container').style.fontSize"
    assert tab.run(size) == ""
    tab.run("Reveal.slide(5, 0)")
    assert tab.becomes(f"parseFloat({size}) < 99")


@chromium.needs_chromium
def test_the_window_of_the_speaker_works_from_a_folder(tab, decks):
    tab.open(decks["mathematics"].as_uri() + "#/1/1")
    tab.run("window.ready.then(() => 1)")
    with tab.page.expect_popup() as opened:
        tab.run("Reveal.getPlugin('notes').open()")
    speaker = opened.value
    notes = speaker.locator(".speaker-controls-notes .value")
    notes.locator("math").first.wait_for(state="attached")
    before = notes.text_content()
    assert len(before) > 100
    tab.run("Reveal.slide(1, 2)")
    speaker.wait_for_function(
        "before => document.querySelector('.speaker-controls-notes .value')"
        ".textContent != before",
        arg=before,
    )
    speaker.close()


@chromium.needs_chromium
def test_a_deck_is_printed_with_a_page_for_each_slide(tab, decks):
    count = len(
        re.findall(r'<div class="slide[ "]', decks["beyond"].read_text("utf-8"))
    )
    tab.open(decks["beyond"].as_uri() + "?print-pdf")
    assert tab.becomes(f"document.querySelectorAll('.pdf-page').length == {count}", 60)
    printed = tab.page.pdf(prefer_css_page_size=True, print_background=True)
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == count
