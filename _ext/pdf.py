"""The whole book as one PDF, printed from its rendered pages by headless Chromium.

    python _ext/pdf.py [HTML] [OUTPUT]

HTML is the folder of the rendered book, `_build/html` by default, and OUTPUT the file
to write, `downloads/learning-features.pdf` in that folder by default.

Every page in the table of contents is printed by itself, two at a time, in the look in
which a reader's own browser prints it, with what `pdf.css` adds. pypdf then joins the
sheets: links between pages become links within the file, sections become bookmarks, and
the tags that tell a screen reader what is a heading, a table or a picture stay. Title,
contents and footers are printed last, when the numbers of the sheets are known. Fonts
come from installed Python packages, so that lines break alike on every machine.
"""

import argparse
import asyncio
import importlib.util
import io
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin

import archive
import browsers
import jinja2
import yaml
from playwright import async_api as playwright
from pypdf import PdfReader, PdfWriter
from pypdf.constants import PageLabelStyle
from pypdf.generic import (
    ArrayObject,
    BooleanObject,
    DecodedStreamObject,
    DictionaryObject,
    Fit,
    NameObject,
    NullObject,
    NumberObject,
    TextStringObject,
)

ROOT = Path(__file__).resolve().parent.parent
HERE = Path(__file__).resolve().parent
HTML = ROOT / "_build" / "html"

# Nothing listens there: what the browser asks for is answered with files.
HOME = "http://book/"
TABS = 2
# Between the margins of A4 that pdf.css sets, at this scale, there are so many pixels.
SCALE = 0.8
PAPER = playwright.ViewportSize(width=803, height=1190)
PATIENCE = 180_000  # milliseconds that a page may take, on a machine that is busy

# Package, and folder within it, of the fonts that pdf.css names.
FONTS = (
    ("sphinx_revealjs", "_static/revealjs/dist/theme/fonts/source-sans-pro"),
    ("matplotlib", "mpl-data/fonts/ttf"),
)

# Opens what is folded, waits for what is late, and links every place that has a name:
# Chromium writes destinations only for places that a link of the same page leads to.
READY = r"""async () => {
    for (const fold of document.querySelectorAll('details')) fold.open = true;
    for (const image of document.images) image.loading = 'eager';
    await window.MathJax?.startup?.promise;
    await document.fonts.ready;
    const broken = [];
    for (const image of document.images) {
        await image.decode().catch(() => broken.push(image.src));
    }
    const article = document.querySelector('.bd-article') ?? document.body;
    for (const code of article.querySelectorAll('pre')) code.role = 'code';
    // A sheet does not scroll: what is too wide for it becomes smaller.
    for (const wide of article.querySelectorAll('mjx-math, table')) {
        const block = wide.closest('.math, .cell_output, .bd-article > *') ?? article;
        const room = block.closest(':is(p, li, div, dd, section)').clientWidth;
        const width = wide.getBoundingClientRect().width;
        if (width > room) wide.style.zoom = room / width;
    }
    const links = document.createElement('div');
    links.hidden = true;
    for (const place of article.querySelectorAll('[id]')) {
        const link = document.createElement('a');
        link.href = '#' + encodeURIComponent(place.id);
        links.append(link);
    }
    document.body.append(links);
    const words = heading => {
        const copy = heading.cloneNode(true);
        copy.querySelectorAll('.headerlink').forEach(link => link.remove());
        return copy.textContent.replace(/\s+/g, ' ').trim();
    };
    const sections = [...article.querySelectorAll('section[id] > h2')].map(
        heading => [heading.parentElement.id, words(heading)]);
    const title = article.querySelector('h1');
    return {title: title ? words(title) : document.title, sections, broken};
}"""

Place = tuple[str, str]
"""Name of a page and identifier on it; empty for its beginning."""


@dataclass
class Sheets:
    """A printed page of the book: any number of sheets.

    Attributes:
        name: File of the page, below the folder of the book.
        part: Caption of the part that it belongs to; empty for the front page.
        title: Its heading.
        sections: Identifier and heading of its sections.
        pdf: The sheets.
        first: Number of the first of them in the footer; 0 where they have none.
    """

    name: str
    part: str = ""
    title: str = ""
    sections: list[tuple[str, str]] = field(default_factory=list)
    pdf: PdfReader = field(default_factory=lambda: PdfReader(io.BytesIO()))
    first: int = 0


def pages(toc: Mapping[str, Any]) -> list[tuple[str, str]]:
    """List the pages of a table of contents: file, and caption of the part."""

    def below(entry: Mapping[str, Any], part: str) -> Iterator[tuple[str, str]]:
        if "file" in entry:
            yield re.sub(r"\.(md|ipynb)$", "", entry["file"]) + ".html", part
        for key in ("chapters", "sections"):
            for inner in entry.get(key, []):
                yield from below(inner, part)

    found = [(f"{toc['root']}.html", "")]
    for part in toc.get("parts", [toc]):
        found += below(part, part.get("caption", ""))
    return found


# --- printing ---------------------------------------------------------------------


def font_folders() -> list[Path]:
    """Find the folders of the fonts in the packages that bring them."""
    found = []
    for name, folder in FONTS:
        package = importlib.util.find_spec(name)
        if package is None or package.origin is None:
            raise ModuleNotFoundError(f"{name} is missing: pip install {name}.")
        found.append(Path(package.origin).parent / folder)
    return found


class Printer:
    """A browser that sees a folder and nothing else.

    Args:
        site: The folder.
        browser: The browser, already started.
    """

    def __init__(self, site: Path, browser: playwright.Browser) -> None:
        """Take folder and browser."""
        self.site, self.browser = site, browser
        self.fonts = font_folders()
        self.css = (HERE / "pdf.css").read_text("utf-8")
        self.own: dict[str, str] = {}
        self.missing: set[str] = set()

    async def answer(self, route: playwright.Route) -> None:
        """Answer the browser's question for a file."""
        address = re.sub(r"[?#].*", "", route.request.url)
        name = unquote(address.removeprefix(HOME))
        if name in self.own:
            await route.fulfill(body=self.own[name], content_type="text/html")
            return
        if "_static/live/" in name and name.endswith(".js"):
            # Figures that move on a screen are printed as their still pictures.
            await route.fulfill(body="", content_type="text/javascript")
            return
        if name.startswith("fonts/"):
            places = [folder / name.removeprefix("fonts/") for folder in self.fonts]
        else:
            places = [self.site / name]
        file = next((place for place in places if place.is_file()), None)
        if file and address.startswith(HOME):
            await route.fulfill(path=file)
        else:
            self.missing.add(address)
            await route.abort()

    async def open(self) -> playwright.Page:
        """Open a tab."""
        tab = await self.browser.new_page(viewport=PAPER)
        tab.set_default_timeout(PATIENCE)
        await tab.emulate_media(media="print")
        await tab.route("**/*", self.answer)
        return tab

    async def print(
        self, tab: playwright.Page, name: str, part: str = "", tagged: bool = True
    ) -> Sheets:
        """Print a page in a tab."""
        await tab.goto(HOME + name)
        await tab.add_style_tag(content=self.css)
        found = await tab.evaluate(READY)
        self.missing.update(found["broken"])
        if self.missing:
            lost = ", ".join(sorted(self.missing))
            raise FileNotFoundError(f"{name} wants what {self.site} lacks: {lost}.")
        data = await tab.pdf(
            prefer_css_page_size=True,
            print_background=True,
            scale=SCALE,
            tagged=tagged,
        )
        sections = [(id, heading) for id, heading in found["sections"]]
        pdf = PdfReader(io.BytesIO(data))
        return Sheets(name, part, found["title"], sections, pdf)

    async def print_all(self, names: Sequence[tuple[str, str]]) -> list[Sheets]:
        """Print pages of the folder, given with their parts, in a few tabs."""
        left = iter(names)
        done: dict[str, Sheets] = {}

        async def work() -> None:
            tab = await self.open()
            for name, part in left:
                done[name] = await self.print(tab, name, part)

        await asyncio.gather(*(work() for _ in range(TABS)))
        return [done[name] for name, _ in names]


# --- binding ----------------------------------------------------------------------


def prune(tag: Any, owner: Any, heirs: dict[int, Any]) -> list[Any]:
    """Kids of a tag, where those that mean nothing are replaced by their own kids.

    Args:
        tag: Reference to the tag.
        owner: Reference to the tag that will have the kids.
        heirs: Collects who has inherited from a tag, by the number of its object.
    """
    element, found = tag.get_object(), []
    kids: Any = element.raw_get("/K") if "/K" in element else ArrayObject()
    if not isinstance(kids.get_object(), ArrayObject):
        kids = ArrayObject([kids])
    for kid in kids.get_object():
        inner = kid.get_object()
        if isinstance(inner, NumberObject):
            content = DictionaryObject({NameObject("/Type"): NameObject("/MCR")})
            content[NameObject("/Pg")] = element.raw_get("/Pg")
            content[NameObject("/MCID")] = inner
            found.append(content)
        elif inner.get("/S") == "/NonStruct":
            heirs[kid.idnum] = owner
            found += prune(kid, owner, heirs)
        else:
            if "/S" in inner:
                inner[NameObject("/P")] = owner
                adopt(inner, prune(kid, kid, heirs))
            found.append(kid)
    return found


def adopt(element: Any, kids: list[Any]) -> None:
    """Give kids to a tag; content on its own sheet is named by a number only."""
    for i, kid in enumerate(kids):
        if kid.get_object().get("/Type") == "/MCR":
            content = kid.get_object()
            element.setdefault(NameObject("/Pg"), content.raw_get("/Pg"))
            if element.raw_get("/Pg") == content.raw_get("/Pg"):
                kids[i] = content["/MCID"]
    element[NameObject("/K")] = ArrayObject(kids)


def leave_out_tags(tree: Any) -> None:
    """Leave out tags that mean nothing: each word of a listing has some."""
    heirs: dict[int, Any] = {}
    top = tree.raw_get("/K")
    adopt(top.get_object(), prune(top, top, heirs))
    for owners in tree["/ParentTree"]["/Nums"][1::2]:
        if isinstance(owners := owners.get_object(), ArrayObject):
            owners[:] = [
                heirs.get(getattr(owner, "idnum", 0), owner) for owner in owners
            ]


class Binder:
    """Joins sheets to one file.

    Args:
        address: Where the book is published. Links to files of the book that are no
            part of the PDF lead there; if it is empty, they are left out.
    """

    def __init__(self, address: str = "") -> None:
        """Begin with no sheets."""
        self.address = address
        self.writer = PdfWriter()
        self.bound: list[Sheets] = []
        self.starts: dict[str, int] = {}
        self.places: dict[Place, ArrayObject] = {}
        self.tags = ArrayObject()
        self.owners = ArrayObject()
        self.next_owner = 0

    def add(self, sheets: Sheets) -> None:
        """Append sheets. Their links still lead nowhere."""
        writer, start = self.writer, len(self.writer.pages)
        self.bound.append(sheets)
        self.starts[sheets.name] = start
        copies = {}
        page: Any
        for page in sheets.pdf.pages:
            copy = writer.add_page(page, excluded_keys=["/Annots"])
            copies[page.indirect_reference] = copy.indirect_reference
            # pypdf leaves tags behind.
            if "/StructParents" in page:
                copy[NameObject("/StructParents")] = page["/StructParents"]
            copy[NameObject("/Annots")] = ArrayObject(
                note.get_object().clone(writer).indirect_reference
                for note in page.get("/Annots", ())
            )
        root: Any = sheets.pdf.root_object
        for name, place in root.get("/Dests", DictionaryObject()).items():
            sheet, *where = place.get_object()
            home = copies[sheet.get_object().indirect_reference]
            self.places[sheets.name, name[1:]] = ArrayObject([home, *where])
        top = [NameObject("/XYZ"), NullObject(), NullObject(), NullObject()]
        self.places[sheets.name, ""] = ArrayObject(
            [writer.pages[start].indirect_reference, *top]
        )
        if "/StructTreeRoot" in root:
            self.add_tags(root["/StructTreeRoot"], start)

    def add_tags(self, tree: Any, start: int) -> None:
        """Append the tags of the sheets that begin at page `start`."""
        writer = self.writer
        first = self.next_owner
        self.next_owner += tree["/ParentTreeNextKey"]
        leave_out_tags(tree)
        tree = tree.clone(writer)
        numbers = tree["/ParentTree"].get_object()["/Nums"]
        for key, owner in zip(numbers[::2], numbers[1::2], strict=True):
            self.owners += [NumberObject(first + key), owner]
        top = tree["/K"].get_object()
        # A document within the document.
        top[NameObject("/S")] = NameObject("/Part")
        self.tags.append(top.indirect_reference)
        page: Any
        for page in writer.pages[start:]:
            for thing, key in (
                (page, "/StructParents"),
                *((note.get_object(), "/StructParent") for note in page["/Annots"]),
            ):
                if key in thing:
                    thing[NameObject(key)] = NumberObject(first + thing[key])

    def link(self) -> None:
        """Let links lead to their places, or away from the file."""
        for sheets in self.bound:
            start = self.starts[sheets.name]
            page: Any
            for page in self.writer.pages[start : start + len(sheets.pdf.pages)]:
                kept = ArrayObject()
                for reference in page["/Annots"]:
                    if self.leads(reference.get_object(), sheets.name):
                        kept.append(reference)
                page[NameObject("/Annots")] = kept

    def leads(self, note: Any, name: str) -> bool:
        """Mend a link on the sheets of page `name`; say whether it leads somewhere."""
        if "/Dest" in note:
            address = f"{HOME}{name}#{note['/Dest'][1:]}"
        else:
            address = note["/A"]["/URI"]
        if not address.startswith(HOME):
            return True
        page, place = urldefrag(address.removeprefix(HOME))
        note.pop("/A", None)
        note.pop("/Dest", None)
        if page in self.starts:
            # A place that is not printed is still on its page.
            goal = self.places.get((page, unquote(place)), self.places[page, ""])
            note[NameObject("/Dest")] = goal
        elif self.address:
            note[NameObject("/A")] = DictionaryObject(
                {
                    NameObject("/S"): NameObject("/URI"),
                    NameObject("/URI"): TextStringObject(
                        urljoin(self.address, address.removeprefix(HOME))
                    ),
                }
            )
        else:
            return False
        return True

    def bookmark(self) -> None:
        """Make bookmarks: parts, pages and sections."""
        add, part, above = self.writer.add_outline_item, "", None
        for sheets in self.bound:
            start = self.starts[sheets.name]
            if sheets.part != part:
                part = sheets.part
                above = add(title=part, page_number=start, bold=True, is_open=False)
            entry = add(
                title=sheets.title, page_number=start, parent=above, is_open=False
            )
            for id, heading in sheets.sections:
                sheet, _, _, top, *_ = self.places[sheets.name, id]
                add(
                    title=heading,
                    page_number=sheet,
                    parent=entry,
                    fit=Fit.xyz(top=float(top)),
                )

    def lay_footers(self, footers: Sheets) -> None:
        """Lay the last so many sheets over footers."""
        for page, footer in zip(
            self.writer.pages[-len(footers.pdf.pages) :], footers.pdf.pages, strict=True
        ):
            content = footer.get_contents()
            assert content is not None
            artifact = b"/Artifact BMC\n" + content.get_data() + b"\nEMC\n"
            marked = DecodedStreamObject()
            marked.set_data(artifact)
            footer[NameObject("/Contents")] = marked
            page.merge_page(footer)
            page.compress_content_streams()

    def finish(self, title: str, author: str, date: str, front: int) -> None:
        """Add what concerns the whole file; its first `front` sheets are no body."""
        writer = self.writer
        writer.metadata = {
            "/Title": title,
            "/Author": author,
            "/Producer": "pypdf, from sheets printed by Chromium",
            "/CreationDate": f"D:{date.replace('-', '')}000000Z",
        }
        root = writer.root_object
        root[NameObject("/Lang")] = TextStringObject("en-GB")
        root[NameObject("/ViewerPreferences")] = DictionaryObject(
            {NameObject("/DisplayDocTitle"): BooleanObject(True)}
        )
        root[NameObject("/PageMode")] = NameObject("/UseOutlines")
        if self.tags:
            self.set_tags(root)
        count = len(writer.pages)
        writer.set_page_label(0, front - 1, PageLabelStyle.LOWERCASE_ROMAN)
        writer.set_page_label(front, count - 1, PageLabelStyle.DECIMAL, start=1)
        writer.compress_identical_objects()

    def set_tags(self, root: DictionaryObject) -> None:
        """Make one tree of the tags of all sheets."""
        add = self.writer._add_object
        document = DictionaryObject(
            {
                NameObject("/Type"): NameObject("/StructElem"),
                NameObject("/S"): NameObject("/Document"),
                NameObject("/K"): self.tags,
            }
        )
        tree = DictionaryObject(
            {
                NameObject("/Type"): NameObject("/StructTreeRoot"),
                NameObject("/K"): add(document),
                NameObject("/ParentTree"): add(
                    DictionaryObject({NameObject("/Nums"): self.owners})
                ),
                NameObject("/ParentTreeNextKey"): NumberObject(self.next_owner),
            }
        )
        root[NameObject("/StructTreeRoot")] = add(tree)
        document[NameObject("/P")] = root.raw_get("/StructTreeRoot")
        for part in self.tags:
            part.get_object()[NameObject("/P")] = document.indirect_reference
        root[NameObject("/MarkInfo")] = DictionaryObject(
            {NameObject("/Marked"): BooleanObject(True)}
        )


# --- the book ---------------------------------------------------------------------


def by_part(body: Sequence[Sheets]) -> list[tuple[str, list[Sheets]]]:
    """Group pages by their part, which they come in the order of."""
    return [(part, list(group)) for part, group in groupby(body, lambda it: it.part)]


def published(site: Path) -> str:
    """Address that the book says it is published at; empty if it says none."""
    front = (site / "index.html").read_text("utf-8")
    found = re.search(r'<link rel="canonical" href="([^"]*/)index\.html"', front)
    return found[1] if found else ""


async def make(
    site: Path, toc: Mapping[str, Any], about: Mapping[str, Any]
) -> PdfWriter:
    """Print and bind a book.

    Args:
        site: Folder of the rendered book.
        toc: Its table of contents.
        about: What `CITATION.cff` says of it.

    Returns:
        The file, not yet written.
    """
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True
    )
    sheets: Any = templates.get_template("pdf.html.j2").module
    names = pages(toc)
    if lost := [name for name, _ in names if not (site / name).exists()]:
        raise FileNotFoundError(f"{site} lacks {', '.join(lost)}: make book first.")
    title, date = about["title"], str(about["date-released"])
    author = ", ".join(person["name"] for person in about["authors"])
    async with playwright.async_playwright() as driver:
        browser = await driver.chromium.launch(
            executable_path=browsers.find(), args=["--no-sandbox"]
        )
        printer = Printer(site, browser)
        body = await printer.print_all(names)
        lines: list[tuple[str, int]] = []
        for page in body:
            page.first = len(lines) + 1
            text = f"{page.part} · {page.title}" if page.part else page.title
            lines += [(text, len(lines) + 1 + i) for i in range(len(page.pdf.pages))]
        printer.own = {
            "title": sheets.cover(title, author, about["version"], date),
            "contents": sheets.contents(by_part(body), HOME),
            "footers": sheets.footers(lines),
        }
        tab = await printer.open()
        front = [await printer.print(tab, name) for name in ("title", "contents")]
        laid = await printer.print(tab, "footers", tagged=False)
        await browser.close()
    binder = Binder(published(site))
    for page in [*front, *body]:
        binder.add(page)
    binder.link()
    binder.bookmark()
    binder.lay_footers(laid)
    binder.finish(title, author, date, sum(len(page.pdf.pages) for page in front))
    return binder.writer


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("html", nargs="?", type=Path, default=HTML)
    parser.add_argument("output", nargs="?", type=Path)
    given = parser.parse_args()
    output = given.output or given.html / archive.PDF
    if not (given.html / "index.html").exists():
        raise FileNotFoundError(f"no book in {given.html}: make book first.")
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    about = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    book = asyncio.run(make(given.html.resolve(), toc, about))
    output.parent.mkdir(parents=True, exist_ok=True)
    book.write(output)
    archive.list_downloads(given.html)
    print(f"{output}: {len(book.pages)} pages, {output.stat().st_size / 1e6:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
