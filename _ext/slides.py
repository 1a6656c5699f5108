"""Slides for each part of the course, made by rule from its notebooks.

    python _ext/slides.py [OUTPUT]        (OUTPUT is _build/html/slides by default)

A deck has a stack of slides for each notebook: what one will be able to do, then each
figure, displayed formula, table and quoted listing of its sections, then what was
shown, and the first exercise as a question. A section that has none of these shows its
first short cell that prints something. Sentences that lead to a formula or a table
stay with it; all other prose becomes the notes of the speaker. Pictures are the stored
outputs, so that a deck cannot show an older figure than its chapter.

A cell whose metadata say `"slideshow": {"slide_type": "skip"}` puts nothing on a slide.

As an extension of the book, this module writes the decks when the pages are done, and
its directive `decks` lists them. Beside the book they use its pictures and its copy of
MathJax; elsewhere they bring their own.
"""

import argparse
import base64
import hashlib
import html
import importlib.util
import json
import re
import shutil
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import maths
import nbformat
import yaml
from docutils import nodes
from nbconvert import SlidesExporter
from pygments.formatters import HtmlFormatter
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from timetable import NEEDS, OBJECTIVES

ROOT = Path(__file__).resolve().parent.parent
HERE = Path(__file__).resolve().parent
OUTPUT = ROOT / "_build" / "html" / "slides"

SHOWED = "## What we showed"
EXERCISES = "## Exercises"
RECORD = "## For the record"
FRAME = (OBJECTIVES, NEEDS, SHOWED, EXERCISES, "## Further reading")

# What fits on a slide of 1280 x 720, with text of 27 px: widths in characters, heights
# in pixels. Estimates; test_slides.py measures every slide in a browser.
LINE, CHARACTERS = 37, 100
WIDTH, BODY = 1168, 550
PICTURE = 330
CODE_LINES, CODE_WIDTH, OUTPUT_LINES = 10, 92, 6
TABLE_ROWS, TABLE_COLUMNS = 11, 8
CAPTION, BESIDE_CAPTION, LEAD = 230, 420, 210

Notebook = Mapping[str, Any]


@dataclass(frozen=True)
class Item:
    """One thing to show: a formula, figure, table or piece of code.

    Attributes:
        kind: `math`, `figure`, `table`, `code` or `question`.
        body: Markdown, for a figure its caption.
        lead: The sentence that leads to it, Markdown.
        rest: What follows a formula within the same sentence, Markdown.
        png: Bytes of a figure.
        alt: Its text alternative.
    """

    kind: str
    body: str
    lead: str = ""
    rest: str = ""
    png: bytes = b""
    alt: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of a figure in pixels, as its header says."""
        width, height = struct.unpack(">II", self.png[16:24])
        return width, height

    @property
    def tall(self) -> bool:
        """Whether text goes beside a figure rather than below it."""
        return self.kind == "figure" and self.size[0] < 1.45 * self.size[1]


@dataclass
class Slide:
    """A slide: heading, what is shown, and notes. Texts are Markdown."""

    heading: str
    items: list[Item] = field(default_factory=list)
    text: str = ""
    notes: list[str] = field(default_factory=list)
    look: str = ""


# --- reading a notebook -----------------------------------------------------------


@dataclass(frozen=True)
class Piece:
    """A piece of a section, in order: a heading, a paragraph, or an item."""

    kind: str
    text: str = ""
    item: Item | None = None


def paragraphs(text: str) -> Iterator[str]:
    """Split Markdown at blank lines, but not within fences, formulas and details."""
    block: list[str] = []
    closing = ""
    for line in text.splitlines():
        start = line.strip()
        if closing:
            block.append(line)
        elif start.startswith("$$"):
            if block:
                yield "\n".join(block)
            # A formula is a block of its own, with blank lines around it or without.
            block, closing = [line], "$$"
            start = start[2:]
        elif not start:
            if block:
                yield "\n".join(block)
            block = []
            continue
        else:
            block.append(line)
            if start.startswith("```"):
                closing, start = "```", ""
            elif start.startswith("<details"):
                closing = "</details>"
        if closing and start.rstrip(" .,;").endswith(closing):
            closing = ""
            if block[0].startswith("$$"):
                yield "\n".join(block)
                block = []
    if block:
        yield "\n".join(block)


def printed(cell: Mapping[str, Any]) -> str:
    """What a cell has printed."""
    return "".join(
        "".join(output.get("text", "")) for output in cell.get("outputs", [])
    ).rstrip()


def skipped(cell: Mapping[str, Any]) -> bool:
    """Whether the metadata of a cell keep it from slides."""
    marks = cell["metadata"]
    return marks.get("slideshow", {}).get(
        "slide_type"
    ) == "skip" or "hide-cell" in marks.get("tags", [])


def pieces(notebook: Notebook) -> list[Piece]:
    """Take a notebook apart into headings, paragraphs and things to show."""
    found: list[Piece] = []
    figure: Item | None = None
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            for block in paragraphs(source):
                if figure and block.startswith("**Figure"):
                    found.append(
                        Piece(
                            "item",
                            item=Item("figure", block, png=figure.png, alt=figure.alt),
                        )
                    )
                    figure = None
                elif re.match(r"#{1,3} ", block):
                    heading, _, below = block.partition("\n")
                    found.append(Piece("heading", heading))
                    if below.strip():
                        found.append(Piece("paragraph", below.strip()))
                else:
                    found.append(read_block(block, skipped(cell)))
            continue
        if skipped(cell):
            continue
        if figure := read_figure(cell):
            continue
        if table := read_table(cell):
            found.append(Piece("item", item=Item("table", table)))
        elif short := read_code(cell):
            found.append(Piece("code", item=Item("code", short)))
    return found


def read_block(block: str, skip: bool = False) -> Piece:
    """Say whether a block of Markdown is prose or something to show."""
    if not skip:
        if block.startswith("$$"):
            return Piece("item", block, Item("math", block))
        if block.startswith("|") and fits_table(block):
            return Piece("item", block, Item("table", block))
        if block.startswith("```") and fits_code(block.splitlines()[1:-1]):
            return Piece("item", block, Item("code", block))
    return Piece("paragraph", block)


def read_figure(cell: Mapping[str, Any]) -> Item | None:
    """The picture among the outputs of a cell, still without its caption."""
    for output in cell["outputs"]:
        if "image/png" in output.get("data", {}):
            return Item(
                "figure",
                "",
                png=base64.b64decode("".join(output["data"]["image/png"])),
                alt=output["metadata"]["image/png"]["alt"],
            )
    return None


def read_table(cell: Mapping[str, Any]) -> str:
    """The table among the outputs of a cell as HTML without styles, if it fits."""
    for output in cell["outputs"]:
        source = "".join(output.get("data", {}).get("text/html", ""))
        match = re.search(r"<table.*?</table>", source, re.DOTALL)
        if match and len(re.findall(r"<tr", match[0])) <= TABLE_ROWS + 1:
            first = match[0].partition("</tr>")[0]
            if len(re.findall(r"<th", first)) <= TABLE_COLUMNS:
                looks = r' (?:border|class|style|halign|valign)="[^"]*"'
                bare = re.sub(looks, "", match[0])
                return re.sub(r"\s*\n\s*", "", bare)
    return ""


def fits_table(block: str) -> bool:
    lines = block.splitlines()
    cells = sum(len(plain(line)) for line in lines)
    return len(lines) <= TABLE_ROWS + 2 and cells <= 1000


def fits_code(lines: Sequence[str]) -> bool:
    return 0 < len(lines) <= CODE_LINES and max(map(len, lines)) <= CODE_WIDTH


def read_code(cell: Mapping[str, Any]) -> str:
    """A short cell with what it printed, as Markdown; empty if it is not short."""
    source, output = "".join(cell["source"]), printed(cell)
    if "run." in source:  # It keeps the books of the run.
        return ""
    out = output.splitlines()
    if not (output and len(out) <= OUTPUT_LINES and max(map(len, out)) <= CODE_WIDTH):
        return ""
    if not fits_code(source.splitlines()):
        return ""
    return f"```python\n{source}\n```\n\n```text\n{output}\n```"


# --- words ------------------------------------------------------------------------


def plain(text: str) -> str:
    """About as many characters as a reader sees: no links, marks and commands."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"\\[a-zA-Z]+|[{}$*`]", "", text)
    return re.sub(r"\s+", " ", text)


def sentences(text: str) -> list[str]:
    """Split a paragraph into sentences, formulas and code being no place to split."""
    kept: list[str] = []

    def hide(match: re.Match[str]) -> str:
        kept.append(match[0])
        return f"\0{len(kept) - 1}\0"

    hidden = re.sub(
        r"\$[^$]+\$|`[^`]+`|\[[^\]]*\]\([^)]*\)", hide, " ".join(text.split())
    )
    parts = re.sub(r"([.?!][*)]*) (?=[A-Z*(\[\0])", "\\1\n", hidden).split("\n")
    return [re.sub(r"\0(\d+)\0", lambda m: kept[int(m[1])], part) for part in parts]


def brief(text: str, limit: int) -> str:
    """The first sentences, as many as fit, but at least one."""
    taken = ""
    for sentence in sentences(text):
        if taken and len(plain(f"{taken} {sentence}")) > limit:
            break
        taken = f"{taken} {sentence}".strip()
    return taken


def leading(text: str) -> str:
    """What leads to a formula or table: the paragraph before it, or its last words."""
    if not text or text.startswith(("|", "-", "1.", "<", "```", "**Figure", "#")):
        return ""
    for words in (" ".join(text.split()), sentences(text)[-1]):
        words = re.sub(r"^\((.*)\)$", r"\1", words)
        if len(plain(words)) <= LEAD and words.count("(") == words.count(")"):
            return words
    return ""


def unlinked(text: str) -> str:
    """Markdown whose links are their words: a slide is nothing to click on."""
    return re.sub(r"(?<!!)\[([^\]]+)\]\([^)]*\)", r"\1", text)


def for_notes(text: str, folder: str) -> str:
    """Markdown for the speaker: links to notebooks lead to pages of the book."""
    text = re.sub(r"</?details>|<summary>.*?</summary>", "", text)

    def follow(match: re.Match[str]) -> str:
        words, target = match.groups()
        if target.startswith(("http", "#")):
            return words
        path = Path("chapters") / folder
        for step in Path(target).parts:
            path = path.parent if step == ".." else path / step
        address = re.sub(r"\.(ipynb|md)\b", ".html", path.as_posix())
        return f"[{words}](../{address})"

    return re.sub(r"(?<!!)\[([^\]]+)\]\(([^)]*)\)", follow, text).strip()


# --- from pieces to slides --------------------------------------------------------


def title_of(heading: str) -> str:
    return heading.lstrip("#").strip()


def height(item: Item) -> int:
    """Estimate the height of an item in pixels, of a figure the least it needs."""

    def lines(text: str) -> int:
        return -(-len(plain(text)) // CHARACTERS) if text else 0

    words = LINE * (lines(item.lead) + lines(item.rest))
    if item.kind == "math":
        rows = item.body.count(r"\\") + 1
        return words + 40 + (70 if "frac" in item.body else 50) * rows
    if item.kind == "figure":
        return PICTURE + 30 * lines(brief(item.body, CAPTION))
    if item.kind == "question":
        return words + LINE * (1 + lines(item.body))
    if item.kind == "code":
        return words + 40 + 28 * (item.body.count("\n") - 2)
    rows = max(item.body.count("<tr>"), item.body.count("\n"))
    longest = max((len(plain(line)) for line in item.body.splitlines()), default=0)
    return words + 38 * rows * (1 if "<tr>" in item.body else 1 + longest // 110)


def section_slides(heading: str, content: Sequence[Piece], folder: str) -> list[Slide]:
    """Make the slides of one section."""
    entries: list[tuple[str, Item]] = []  # subheading, item
    notes: list[list[str]] = [[]]  # what is said before the first item, after it, ...
    sub = ""
    unit = 0  # items since the last heading
    spare: Item | None = None  # a short cell, for units that have nothing else
    spare_at = 0
    last = ""
    rests: dict[str, str] = {}  # what is left of a paragraph that began on a slide
    unit_words: list[str] = []

    def settle() -> None:
        nonlocal spare
        if spare and not unit:
            entries.insert(spare_at, (sub, spare))
            notes.insert(spare_at + 1, [])
        spare = None

    def add(item: Item) -> None:
        nonlocal unit
        entries.append((sub, item))
        notes.append([])
        unit += 1

    for number, piece in enumerate(content):
        if piece.kind == "heading":
            settle()
            sub, unit, last, unit_words = title_of(piece.text), 0, "", []
            notes[-1].append(f"**{sub}**")
        elif piece.kind == "paragraph":
            if piece.text.startswith("<details") and unit_words:
                # A question within the section, whose solution is said.
                asked, told = unit_words[-1], "\n\n".join(unit_words[:-1])
                fits = not unit and len(plain(told)) <= 3 * LEAD
                add(Item("question", asked, lead=told if fits else ""))
            last = rests.get(piece.text, piece.text)
            unit_words.append(piece.text)
            notes[-1].append(piece.text)
        elif piece.kind == "code" and piece.item:
            if spare is None:
                spare = Item("code", piece.item.body, lead=leading(last))
                spare_at = len(entries)
            last = ""
        elif piece.item:
            item, rest = piece.item, ""
            after = content[number + 1] if number + 1 < len(content) else None
            if item.kind == "math" and after and after.kind == "paragraph":
                first, *others = sentences(after.text)
                if first[:1].islower() and len(plain(first)) <= LEAD:
                    rest = first
                    rests[after.text] = " ".join(others)
            lead = "" if item.kind == "figure" else leading(last)
            add(Item(item.kind, item.body, lead, rest, item.png, item.alt))
            if piece.text:  # A formula that prose goes on with is said as well.
                notes[-2].append(piece.text)
            last = ""
    settle()
    if not entries:
        return []
    return [
        Slide(name, items, look=look, notes=said)
        for name, items, look, said in group(heading, entries, notes, folder)
    ]


def group(
    heading: str,
    entries: Sequence[tuple[str, Item]],
    notes: Sequence[Sequence[str]],
    folder: str,
) -> Iterator[tuple[str, list[Item], str, list[str]]]:
    """Put items on slides: as many as fit, one figure, table or listing at most."""
    said = share(notes)
    start = 0
    while start < len(entries):
        sub, first = entries[start]
        taken, total = [first], height(first)
        end = start + 1
        while end < len(entries) and entries[end][0] == sub:
            item = entries[end][1]
            total += height(item)
            only_formulas = all(other.kind == "math" for other in taken)
            if not only_formulas or total > BODY or item.tall or len(taken) == 3:
                break
            taken.append(item)
            end += 1
        text = [for_notes(t, folder) for part in said[start:end] for t in part]
        text += [for_notes(i.body, folder) for i in taken if i.kind == "figure"]
        yield (
            f"{heading}\n{sub}" if sub else heading,
            taken,
            look(taken),
            [t for t in text if t],
        )
        start = end


def look(items: Sequence[Item]) -> str:
    """Name the layout: text beside a tall figure, or large where there is room."""
    if items[-1].tall:
        return "beside"
    roomy = all(item.kind in ("math", "table", "question") for item in items)
    return "roomy" if roomy and sum(map(height, items)) < 0.6 * BODY else ""


def share(notes: Sequence[Sequence[str]]) -> list[list[str]]:
    """Divide prose among items.

    What stands between two belongs to the first of them, but its last paragraph, or
    what is below a heading, leads to the second.
    """
    count = len(notes) - 1
    said: list[list[str]] = [[] for _ in range(count)]
    for gap, texts in enumerate(notes):
        heads = [
            i for i, text in enumerate(texts) if re.fullmatch(r"\*\*[^*]+\*\*", text)
        ]
        cut = heads[-1] if heads else max(len(texts) - 1, 0)
        if gap == 0:
            cut = 0
        elif gap == count:
            cut = len(texts)
        for text in texts[:cut]:
            said[gap - 1].append(text)
        for text in texts[cut:]:
            said[gap].append(text)
    return said


def split_list(text: str, limit: int = BODY) -> list[str]:
    """Divide a list into as few lists as fit on a slide each, of about equal length."""
    points = re.split(r"\n(?=- )", text.strip())

    def tall(point: str) -> int:
        return LINE * -(-len(plain(point)) // (CHARACTERS - 4)) + 14

    pages = -(-sum(map(tall, points)) // limit)
    aim = sum(map(tall, points)) / pages
    lists: list[list[str]] = [[]]
    for point in points:
        if lists[-1] and len(lists) < pages and sum(map(tall, lists[-1])) >= aim * 0.8:
            lists.append([])
        lists[-1].append(point)
    return ["\n".join(points) for points in lists]


def notebook_slides(notebook: Notebook, name: str) -> list[Slide]:
    """Make the slides of one notebook.

    Args:
        notebook: The notebook, as JSON.
        name: Its path below `chapters`, such as `mnist/training`.

    Returns:
        Slides; the first has the title.
    """
    folder = name.rpartition("/")[0]
    sections: dict[str, list[Piece]] = {}
    title, opening, current = "", [], ""
    for piece in pieces(notebook):
        if piece.kind == "heading" and piece.text.startswith("# "):
            title = title_of(piece.text)
        elif piece.kind == "heading" and piece.text.startswith("## "):
            current = piece.text
            sections[current] = []
        elif current:
            sections[current].append(piece)
        else:
            opening.append(piece.text)

    def words(heading: str) -> list[str]:
        return [p.text for p in sections.get(heading, []) if p.kind == "paragraph"]

    page = f"../chapters/{name}.html"
    promises = "\n".join(text for text in words(OBJECTIVES) if text.startswith("- "))
    made = [
        Slide(
            title,
            text=f"You will be able to\n\n{promises}",
            look="title",
            notes=[
                *(for_notes(t, folder) for t in (*opening, *words(NEEDS))),
                f"[The notebook]({page})",
            ],
        )
    ]
    untold: list[str] = []
    for heading, content in sections.items():
        if heading in FRAME:
            continue
        # What is recorded there has been shown before.
        slides = heading != RECORD and section_slides(
            title_of(heading), content, folder
        )
        if slides:
            for slide in slides:
                slide.notes = slide.notes or [f"[In the notebook]({page})"]
            slides[0].notes[:0] = untold
            untold = []
            made += slides
        else:  # Nothing to show: it is said with the slide that comes next.
            told = [p.text for p in content if p.kind == "paragraph"]
            untold += [
                f"**{title_of(heading)}**",
                *(for_notes(t, folder) for t in told),
            ]
    claims = "\n".join(text for text in words(SHOWED) if text.startswith("- "))
    if not claims:
        claims = "\n\n".join(t for t in words(SHOWED) if not t.startswith("|"))
    if claims:
        asserted = (
            f"The [notebook]({page}) asserts these claims in code, as far as they "
        )
        asserted += "are figures, below the same heading."
        for number, part in enumerate(split_list(claims)):
            head = "What we showed" + (", continued" if number else "")
            made.append(
                Slide(head, text=part, look="claims", notes=[*untold, asserted])
            )
            untold = []
    if question := first_exercise(words(EXERCISES)):
        made.append(question_slide(question, folder))
    return made


def first_exercise(texts: Sequence[str]) -> list[str]:
    """The paragraphs of the first exercise, with the solution as the last."""
    taken: list[str] = []
    for text in texts:
        if re.match(r"\*\*\d+\. ", text) and taken:
            break
        taken.append(text)
        if text.startswith("<details"):
            break
    return taken


def question_slide(texts: Sequence[str], folder: str) -> Slide:
    asked = [text for text in texts if not text.startswith("<details")]
    told = [for_notes(text, folder) for text in texts if text.startswith("<details")]
    asked[0] = re.sub(r"^\*\*\d+\. (.*?)\*\*", r"**\1**", asked[0])
    return Slide(
        "A question to you",
        text="\n\n".join(asked),
        look="question",
        notes=["**Solution.**", *told],
    )


# --- from slides to a deck --------------------------------------------------------


def shown(slide: Slide, pictures: "Pictures") -> str:
    """Write a slide as Markdown with a few boxes around it."""
    heading, _, sub = slide.heading.partition("\n")
    level = "#" if slide.look in ("title", "deck") else "##"
    lines = [f'<div class="slide {slide.look}">', "", f"{level} {heading}", ""]
    if sub:
        lines += [f"### {unlinked(sub)}", ""]
    if slide.text:
        lines += [unlinked(slide.text) if slide.look != "deck" else slide.text, ""]
    lines += ['<div class="body">', ""] if slide.items else []
    for item in slide.items:
        if item.kind == "figure":
            source, alt = pictures.address(item.png), html.escape(item.alt)
            full = (
                WIDTH * item.size[1] // item.size[0]
            )  # as high as it would like to be
            limit = BESIDE_CAPTION if item.tall else CAPTION
            lines += [
                f'<div class="figure" style="flex-basis: {full}px">'
                f'<img src="{source}" alt="{alt}"></div>',
                "",
                '<div class="caption">',
                "",
                unlinked(brief(item.body, limit)),
                "",
                "</div>",
                "",
            ]
        else:
            parts = (item.lead, item.body, item.rest)
            box = [f'<div class="{item.kind}">', ""]
            box += [f"{unlinked(part)}\n" for part in parts if part]
            lines += [*box, "</div>", ""]
    lines += ["</div>", ""] if slide.items else []
    return "\n".join([*lines, "</div>"])


class Pictures:
    """Where the pictures of decks are: those of the book, or a folder of their own."""

    def __init__(self, output: Path) -> None:
        """Take the folder of the decks."""
        self.output = output

    def address(self, png: bytes) -> str:
        """Address of a picture as seen from a deck; writes it if the book has none."""
        digest = hashlib.sha256(png).hexdigest()
        if (self.output.parent / "_images" / f"{digest}.webp").exists():
            return f"../_images/{digest}.webp"
        name = f"{digest}.png"
        (self.output / "pictures").mkdir(parents=True, exist_ok=True)
        (self.output / "pictures" / name).write_bytes(png)
        return f"pictures/{name}"


def deck_cells(slides: Sequence[Sequence[Slide]], pictures: Pictures) -> list[Any]:
    """Cells of the notebook that nbconvert makes a deck of."""
    cells = []
    for stack in slides:
        for number, slide in enumerate(stack):
            kind = "subslide" if number else "slide"
            for slide_type, text in (
                (kind, shown(slide, pictures)),
                ("notes", "\n\n".join(slide.notes)),
            ):
                cell = nbformat.v4.new_markdown_cell(text)
                cell.metadata["slideshow"] = {"slide_type": slide_type}
                cells.append(cell)
    return cells


def render(title: str, cells: Sequence[Any]) -> str:
    """Have nbconvert write a deck."""
    notebook = nbformat.v4.new_notebook(cells=list(cells))
    notebook.metadata["title"] = title
    exporter = SlidesExporter(
        raw_template=(HERE / "slides.html.j2").read_text("utf-8"),
        exclude_anchor_links=True,
        mathjax_url="mathjax/tex-chtml.js",
    )
    text, _ = exporter.from_notebook_node(notebook)
    # Sections of different notebooks have the same names.
    return re.sub(r"(<h[1-4]) id=\"[^\"]*\"", r"\1", text)


def parts(root: Path) -> list[tuple[str, str, list[str]]]:
    """Parts with notebooks: name of the folder, caption, names of the notebooks."""
    toc = yaml.safe_load((root / "_toc.yml").read_text("utf-8"))
    found = []
    for part in toc["parts"]:
        names = [
            chapter["file"].removeprefix("chapters/")
            for chapter in part["chapters"]
            if (root / f"{chapter['file']}.ipynb").exists()
        ]
        if names:
            found.append((names[0].partition("/")[0], part["caption"], names))
    return found


def make_deck(
    root: Path, caption: str, names: Sequence[str], output: Path
) -> list[Any]:
    """Make the cells of the deck of one part."""
    stacks = []
    for name in names:
        notebook = json.loads((root / f"chapters/{name}.ipynb").read_text("utf-8"))
        stacks.append(notebook_slides(notebook, name))
    contents = "\n".join(
        f"{number}. [{stack[0].heading}](#/{number})"
        for number, stack in enumerate(stacks, start=1)
    )
    first = Slide(
        caption,
        text=f"Learning Features from Unlabelled Data\n\n{contents}",
        look="deck",
        notes=[
            "To the right are the notebooks of this part, and below each its slides. "
            "The space bar goes through all of them."
        ],
    )
    return deck_cells([[first], *stacks], Pictures(output))


def copy_reveal(output: Path) -> None:
    """Copy what the decks need of reveal.js, and the font that they are set in."""
    package = importlib.util.find_spec("sphinx_revealjs")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("sphinx-revealjs is missing: pip install it.")
    source = Path(package.origin).parent / "_static" / "revealjs"
    target = output / "reveal"
    font = "dist/theme/fonts/source-sans-pro"
    for name in (
        "LICENSE",
        "dist/reveal.css",
        "dist/reveal.js",
        "plugin/notes/notes.js",
    ):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target / name)
    (target / font).mkdir(parents=True, exist_ok=True)
    for path in (source / font).iterdir():
        if path.suffix in (".woff", ".css") or path.name == "LICENSE":
            shutil.copyfile(path, target / font / path.name)
    style = HtmlFormatter(style="a11y-high-contrast-light").get_style_defs(".highlight")
    css = (HERE / "slides.css").read_text("utf-8")
    (output / "slides.css").write_text(f"{css}\n{style}\n", "utf-8")


def make_slides(output: Path = OUTPUT, root: Path = ROOT) -> list[Path]:
    """Write the decks of all parts.

    Args:
        output: Folder for them, made if needed.
        root: Folder of the book's sources.

    Returns:
        The files of the decks.
    """
    output.mkdir(parents=True, exist_ok=True)
    copy_reveal(output)
    maths.copy_parts(output / "mathjax")
    files = []
    for folder, caption, names in parts(root):
        cells = make_deck(root, caption, names, output)
        files.append(output / f"{folder}.html")
        files[-1].write_text(render(caption, cells), "utf-8")
    return files


# --- the book ---------------------------------------------------------------------


class Decks(SphinxDirective):
    """A list of links to the decks, with the number of their slides."""

    def run(self) -> list[nodes.Node]:
        """Return the list."""
        root = Path(self.env.srcdir)
        up = "../" * self.env.docname.count("/")
        entries = nodes.bullet_list()
        for folder, caption, names in parts(root):
            count = 1
            for name in names:
                path = root / f"chapters/{name}.ipynb"
                self.env.note_dependency(str(path))
                count += len(notebook_slides(json.loads(path.read_text("utf-8")), name))
            link = nodes.reference(
                "", caption, refuri=f"{up}slides/{folder}.html", internal=True
            )
            line = nodes.paragraph("", "", link, nodes.Text(f", {count} slides"))
            entries += nodes.list_item("", line)
        return [entries]


def write_decks(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        make_slides(Path(app.outdir) / "slides", Path(app.srcdir))


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("decks", Decks)
    # After `weight`, whose pictures the decks use.
    app.connect("build-finished", write_decks, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("output", nargs="?", type=Path, default=OUTPUT)
    for file in make_slides(parser.parse_args().output.resolve()):
        print(file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
