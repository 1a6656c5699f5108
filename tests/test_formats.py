"""The book as one PDF, and as an archive for a machine without a network.

Books of three pages are printed and bound, and read back with pypdf; this needs
Chromium and is skipped without it. What concerns the whole book is asked of the one in
`_build/html` (`make book`), and skipped where there is none.
"""

import asyncio
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from chromium import needs_chromium

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "_ext"))

pytest.importorskip("nbconvert")
pytest.importorskip("playwright")
pypdf = pytest.importorskip("pypdf")

import archive  # noqa: E402
import pdf  # noqa: E402

SITE = ROOT / "_build" / "html"
has_book = pytest.mark.skipif(
    not (SITE / "index.html").exists(), reason="no book in _build/html"
)

TOC = {
    "root": "index",
    "parts": [
        {"caption": "First part", "chapters": [{"file": "a/one.ipynb"}]},
        {"caption": "Second part", "chapters": [{"file": "a/two"}]},
    ],
}
ABOUT = {
    "title": "A small book",
    "authors": [{"name": "A. Author"}, {"name": "B. Author"}],
    "version": "1.2.3",
    "date-released": "2026-11-23",
}
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c"
    "49444154789c63f8cfc0000003010100c9fe92ef0000000049454e44ae426082"
)


def page(title, body, up=""):
    return (
        f'<!DOCTYPE html><html lang="en-GB"><head><title>{title} - Book</title>'
        f'<link rel="icon" href="data:,"><link rel="stylesheet" href="{up}book.css">'
        f'</head><body><article class="bd-article"><section id="top"><h1>{title}'
        f'<a class="headerlink" href="#top">#</a></h1>{body}</section></article>'
        "</body></html>"
    )


def section(id, heading, words="", gap=0):
    return (
        f'<section id="{id}"><h2>{heading}<a class="headerlink" href="#{id}">#</a></h2>'
        f'<p>{words}</p><div style="height: {gap}px"></div></section>'
    )


def write(folder, index="", one="", two="", canonical=""):
    """Write a book of three pages, with the styles of the real one."""
    (folder / "a").mkdir(parents=True)
    (folder / "book.css").write_bytes((ROOT / "_static" / "book.css").read_bytes())
    front = page("Front", index).replace("</head>", f"{canonical}</head>")
    (folder / "index.html").write_text(front, "utf-8")
    (folder / "a" / "one.html").write_text(page("One", one, "../"), "utf-8")
    (folder / "a" / "two.html").write_text(page("Two", two, "../"), "utf-8")
    return folder


def made(site, path):
    asyncio.run(pdf.make(site, TOC, ABOUT)).write(path)
    return pypdf.PdfReader(path)


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """The small book: of *One* there are three sheets, of *Two* two."""
    folder = tmp_path_factory.mktemp("book")
    site = write(
        folder / "html",
        index='<p><a href="a/two.html#deep">to the deep</a> '
        '<a href="https://example.org/x">away</a> <a href="notes.txt">to notes</a></p>',
        one=section("start", "Start", "Early words.", 1200)
        + section("middle", "Middle", '<a href="#start">back</a>', 1200)
        + section("end", "End", '<a href="two.html">next</a>'),
        two="<details><summary>Solution</summary><p>Folded words.</p></details>"
        + section("shallow", "Shallow", "Some words.", 1400)
        + section("deep", "Deep &amp; far", '<a href="../index.html">home</a>')
        + '<p><img loading="lazy" src="../pixel.png" alt="A pixel" width="9"></p>'
        + '<script src="../_static/live/moves.js"></script>',
    )
    (site / "notes.txt").write_text("No page of the book.")
    (site / "pixel.png").write_bytes(PIXEL)
    live = site / "_static" / "live"
    live.mkdir(parents=True)
    (live / "moves.js").write_text("document.body.append('It moves.');")
    return made(site, folder / "book.pdf")


def text(sheet):
    return " ".join(sheet.extract_text().split())


def texts(reader):
    return [text(sheet) for sheet in reader.pages]


def links(reader, number):
    """Links of a sheet: number of the sheet that each leads to, or its address."""
    found = []
    for note in reader.pages[number].get("/Annots", ()):
        note = note.get_object()
        if "/Dest" in note:
            found.append(reader.get_page_number(note["/Dest"][0].get_object()))
        else:
            found.append(note["/A"]["/URI"])
    return found


# --- the PDF ----------------------------------------------------------------------


def test_pages_come_in_the_order_of_the_table_of_contents():
    assert pdf.pages(TOC) == [
        ("index.html", ""),
        ("a/one.html", "First part"),
        ("a/two.html", "Second part"),
    ]
    nested = {"root": "x", "chapters": [{"file": "y", "sections": [{"file": "z.md"}]}]}
    assert [name for name, _ in pdf.pages(nested)] == ["x.html", "y.html", "z.html"]


@needs_chromium
def test_sheets_stand_in_order_and_are_numbered(book):
    found = texts(book)
    begin = ["A small book", "Contents", "Front", "One", "Middle", "End"]
    begin += ["Two", "Deep & far"]
    for words, expected in zip(found, begin, strict=True):
        assert words.startswith(expected)
    labels = ["i", "ii", *map(str, range(1, 7))]
    assert book.page_labels == labels
    footers = ["Front", *["First part · One"] * 3, *["Second part · Two"] * 2]
    for words, footer, label in zip(found[2:], footers, labels[2:], strict=True):
        assert words.endswith(f"{footer} {label}")
    assert "Version 1.2.3 of 2026-11-23" in found[0]
    assert "A. Author, B. Author" in found[0]


@needs_chromium
def test_contents_name_the_numbers_in_the_footers_and_lead_there(book):
    words = texts(book)[1]
    assert re.findall(r"(Front|One|Two) (\d)", words) == [
        ("Front", "1"),
        ("One", "2"),
        ("Two", "5"),
    ]
    assert words.index("First part") < words.index("One") < words.index("Second part")
    assert links(book, 1) == [2, 3, 6]


@needs_chromium
def test_links_lead_to_their_place_within_the_file(book):
    assert links(book, 2) == [7, "https://example.org/x"]
    assert links(book, 4) == [3]
    assert links(book, 5) == [6]
    assert links(book, 7) == [2]
    # Not only to the sheet: a little above the heading, not above everything.
    (_, back) = book.pages[4]["/Annots"][0].get_object(), book.pages[3]
    height = float(_["/Dest"][3])
    assert 0.75 * float(back.mediabox.height) < height < float(back.mediabox.height)


@needs_chromium
def test_files_of_the_book_that_are_no_pages_are_linked_where_it_is_published(tmp_path):
    site = write(
        tmp_path / "html",
        one='<a href="../notes.txt">notes</a> <a href="two.html#top">two</a>',
        canonical='<link rel="canonical" href="https://example.org/b/index.html">',
    )
    reader = made(site, tmp_path / "book.pdf")
    assert links(reader, 3) == ["https://example.org/b/notes.txt", 4]


@needs_chromium
def test_bookmarks_are_parts_pages_and_sections(book):
    def tree(items):
        found = []
        for item in items:
            if isinstance(item, list):
                found[-1] = (*found[-1], tree(item))
            else:
                found.append((item.title, book.get_destination_page_number(item)))
        return found

    assert tree(book.outline) == [
        ("A small book", 0),
        ("Contents", 1),
        ("Front", 2),
        ("First part", 3, [("One", 3, [("Start", 3), ("Middle", 4), ("End", 5)])]),
        ("Second part", 6, [("Two", 6, [("Shallow", 6), ("Deep & far", 7)])]),
    ]


@needs_chromium
def test_what_is_folded_or_late_is_printed_and_what_moves_is_not(book):
    words = " ".join(texts(book))
    assert "Folded words." in words
    assert "It moves." not in words
    assert [len(sheet.images) for sheet in book.pages] == [0, 0, 0, 0, 0, 0, 0, 1]


@needs_chromium
def test_footers_do_not_cover_the_sheets_that_they_are_laid_over(book):
    for sheet in book.pages[2:]:
        content = sheet.get_contents().get_data()
        (footer,) = re.findall(rb"/Artifact BMC(.*?)EMC", content, re.DOTALL)
        operators = set(re.findall(rb"\b[A-Za-z]+\*?(?=\s)", footer))
        assert b"Tj" in operators or b"TJ" in operators
        assert not operators & {b"f", b"f*", b"F", b"B", b"b", b"sh", b"Do"}


@needs_chromium
def test_the_file_says_what_it_is(book):
    assert book.metadata.title == "A small book"
    assert book.metadata.author == "A. Author, B. Author"
    assert book.root_object["/Lang"] == "en-GB"
    assert book.root_object["/MarkInfo"]["/Marked"]


@needs_chromium
def test_tags_of_each_sheet_are_its_own(book):
    root = book.root_object["/StructTreeRoot"]
    numbers = root["/ParentTree"]["/Nums"]
    keys = list(numbers[::2])
    assert keys == sorted(set(keys)) and keys[-1] < root["/ParentTreeNextKey"]
    owners = dict(zip(keys, numbers[1::2], strict=True))
    document = root["/K"]
    assert [part.get_object()["/S"] for part in document["/K"]] == ["/Part"] * 5
    reached, alternatives = set(), []

    def walk(tag):
        tag = tag.get_object()
        if isinstance(tag, pypdf.generic.DictionaryObject) and "/S" in tag:
            reached.add(tag.indirect_reference)
            alternatives.append(tag.get("/Alt"))
            assert tag["/S"] != "/NonStruct"
            below = tag.get("/K", [])
            for inner in below if isinstance(below, list) else [below]:
                walk(inner)

    walk(document)
    assert "A pixel" in alternatives
    for sheet in book.pages:
        elements = [tag.get_object() for tag in owners[sheet["/StructParents"]]]
        assert {tag.indirect_reference for tag in elements} <= reached
        assert sheet.indirect_reference in {
            tag["/Pg"].indirect_reference for tag in elements
        }
        for note in sheet.get("/Annots", ()):
            link = owners[note.get_object()["/StructParent"]].get_object()
            assert link["/S"] == "/Link" and link.indirect_reference in reached


@needs_chromium
def test_headings_are_not_left_alone_at_the_foot_of_a_sheet(tmp_path):
    # Whatever the height above it, a heading stands on the sheet of its first words.
    places = "".join(
        f'<div style="break-before: page; height: {height}px"></div>'
        + section(f"s{height}", f"Heading {height}.", f"Paragraph {height}.")
        for height in range(700, 1260, 14)
    )
    reader = made(write(tmp_path / "html", one=places), tmp_path / "book.pdf")
    heads, words = {}, {}
    for number, found in enumerate(texts(reader)):
        heads |= dict.fromkeys(re.findall(r"Heading (\d+)\.", found), number)
        words |= dict.fromkeys(re.findall(r"Paragraph (\d+)\.", found), number)
    assert len(heads) == 40 and heads == words
    # Some stood so low that they had to move.
    assert len(reader.pages) > 4 + 40


@needs_chromium
def test_what_is_too_wide_for_a_sheet_becomes_smaller(tmp_path):
    cells = "".join(f"<td>column{i:02d}</td>" for i in range(40))
    site = write(tmp_path / "html", two=f"<table><tr>{cells}</tr></table>")
    reader = made(site, tmp_path / "book.pdf")
    assert "column39" in text(reader.pages[4])
    rights = []

    def visit(words, matrix, tm, *_):
        if words.strip():
            rights.append(tm[4] * matrix[0] + matrix[4])

    reader.pages[4].extract_text(visitor_text=visit)
    assert max(rights) < float(reader.pages[4].mediabox.width)


@needs_chromium
def test_what_is_missing_is_named(tmp_path):
    site = write(tmp_path / "html", two='<img src="../gone.png" alt="">')
    with pytest.raises(FileNotFoundError, match=r"a/two.html wants .*gone\.png"):
        made(site, tmp_path / "book.pdf")
    (site / "a" / "one.html").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks a/one.html: make book first"):
        made(site, tmp_path / "book.pdf")


def test_without_a_browser_it_says_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(FileNotFoundError, match="install Chromium"):
        pdf.browsers.find()


@needs_chromium
@has_book
def test_formulas_are_printed_and_not_their_source():
    async def printed(name):
        async with pdf.playwright.async_playwright() as driver:
            browser = await driver.chromium.launch(
                executable_path=pdf.browsers.find(), args=["--no-sandbox"]
            )
            printer = pdf.Printer(SITE, browser)
            return await printer.print(await printer.open(), name)

    sheets = asyncio.run(printed("chapters/appendix/notation.html"))
    words = " ".join(map(text, sheets.pdf.pages))
    for sign in ("μ", "σ", "λ", "∥"):
        assert sign in words
    for source in ("\\(", "\\[", "\\mu", "\\frac", "\\mathbb", "$"):
        assert source not in words


# --- the archive ------------------------------------------------------------------


class Links(HTMLParser):
    """Addresses that a page names."""

    def __init__(self, text):
        super().__init__()
        self.found = set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if given.get("rel") in ("canonical", "next", "prev"):
            return
        for name in ("href", "src", "data-src", "poster"):
            if given.get(name):
                self.found.add(given[name])


def lost(folder):
    """Links of pages below a folder to files that are not there."""
    found = []
    for path in sorted(folder.rglob("*.html")):
        here = path.relative_to(folder).as_posix()
        if "_static" in path.parts:  # templates of the theme, which nobody opens
            continue
        for link in Links(path.read_text("utf-8")).found:
            if re.match(r"[a-z]+:|//", link):
                continue
            name = unquote(re.sub(r"[?].*", "", link.partition("#")[0]))
            goal = (path.parent / name).resolve() if name else path
            if not goal.is_file() or not goal.is_relative_to(folder.resolve()):
                found.append(f"{here}: {link}")
    return found


def unpacked(path, folder):
    with zipfile.ZipFile(path) as packed:
        packed.extractall(folder)
    return folder / archive.TOP


@pytest.fixture
def small(tmp_path):
    """A small rendered book, with what builders leave behind."""
    site = write(
        tmp_path / "html",
        one='<img src="../_images/x.png" alt=""> <a href="two.html#top">two</a>'
        "<!-- downloads --><!-- end of downloads -->",
    )
    (site / "_images").mkdir()
    (site / "_images" / "x.png").write_bytes(PIXEL)
    (site / ".buildinfo").write_text("config: 0")
    (site / "404.html").write_text('<a href="/index.html">home</a>')
    (site / "reports").mkdir()
    (site / "reports" / "error.log").write_text(str(ROOT))
    return site


def test_archive_has_what_its_readme_names(small, tmp_path):
    archive.make(small, tmp_path / "a.zip")
    folder = unpacked(tmp_path / "a.zip", tmp_path / "out")
    readme = (folder / "README.txt").read_text("utf-8")
    named = re.findall(
        r"(?:(?<= \./)|(?<![\w/]))(?:html|course|notebooks)\b[\w./-]*", readme
    )
    named = {name.rstrip(".") for name in named}
    assert {"html/index.html", "course/requirements.txt", "course"} <= named
    assert "notebooks/mnist/data_preparation.ipynb" in named
    # The licences of other people come with the pages of the real book.
    named -= {"html/_static/licences", "html/slides/reveal"}
    assert [name for name in sorted(named) if not (folder / name).exists()] == []
    assert "PDF" not in readme


def test_archive_has_the_notebooks_once(small, tmp_path):
    (small / "notebooks" / "chapters" / "mnist").mkdir(parents=True)
    copy = small / "notebooks" / "chapters" / "mnist" / "data_preparation.ipynb"
    copy.write_text("{}")
    archive.make(small, tmp_path / "a.zip")
    folder = unpacked(tmp_path / "a.zip", tmp_path / "out")
    assert len(list(folder.rglob("*.ipynb"))) == 1
    readme = (folder / "README.txt").read_text("utf-8")
    (first,) = re.findall(r"Begin with (\S+ipynb)", readme)
    assert (folder / first).read_text() == "{}"


def test_archive_has_the_package_as_pip_needs_it(small, tmp_path):
    archive.make(small, tmp_path / "a.zip")
    course = unpacked(tmp_path / "a.zip", tmp_path / "out") / "course"
    project = tomllib.loads((course / "pyproject.toml").read_text("utf-8"))
    assert (course / project["project"]["readme"]).exists()
    setup = project["tool"]["setuptools"]
    for package in setup["packages"]:
        folder = course / setup["package-dir"].get(package, package.replace(".", "/"))
        assert (folder / "__init__.py").exists()
        for name in setup["package-data"].get(package, ()):
            assert (folder / name).exists()
    ours = {path.name for path in (ROOT / "sslkit").glob("*.py")}
    assert {path.name for path in (course / "sslkit").iterdir()} == ours


def test_archive_has_nothing_of_the_machine_that_made_it(small, tmp_path):
    archive.make(small, tmp_path / "a.zip")
    folder = unpacked(tmp_path / "a.zip", tmp_path / "out")
    assert not list(folder.rglob("*.log")) and not list(folder.rglob("404.html"))
    assert not list(folder.rglob(".*"))
    assert lost(folder) == []
    for path in folder.rglob("*"):
        assert path.is_dir() or str(ROOT).encode() not in path.read_bytes()


def test_archive_has_nothing_that_git_ignores(small, tmp_path):
    if not (ROOT / ".git").exists():
        pytest.skip("no git repository")
    archive.make(small, tmp_path / "a.zip")
    course = unpacked(tmp_path / "a.zip", tmp_path / "out") / "course"
    files = [path for path in course.rglob("*") if path.is_file()]
    names = "\n".join(path.relative_to(course).as_posix() for path in files)
    asked = ["git", "-C", str(ROOT), "check-ignore", "--stdin", "--no-index"]
    ignored = subprocess.run(asked, input=names, capture_output=True, text=True)
    assert ignored.stdout == "" and ignored.returncode == 1, ignored


def test_the_same_files_give_the_same_archive(small, tmp_path):
    archive.make(small, tmp_path / "a.zip")
    for path in small.rglob("*"):
        os.utime(path, (0, 0))
    small.rename(tmp_path / "elsewhere")
    archive.make(tmp_path / "elsewhere", tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as packed:
        assert packed.namelist() == sorted(packed.namelist())


def test_pages_list_the_files_that_there_are(small, tmp_path):
    page = small / "a" / "one.html"
    archive.list_downloads(small)
    assert "downloads/" not in page.read_text("utf-8")
    (small / "downloads").mkdir()
    (small / archive.PDF).write_bytes(b"0" * 2_400_000)
    archive.make(small, small / archive.ZIP)
    for _ in range(2):  # The second time changes nothing.
        archive.list_downloads(small)
        found = Links(page.read_text("utf-8")).found
        assert {f"../{archive.PDF}", f"../{archive.ZIP}"} <= found
        assert page.read_text("utf-8").count("(2 MB)") == 1
    # The archive holds the PDF and links it, and neither holds nor links itself.
    archive.make(small, small / archive.ZIP)
    folder = unpacked(small / archive.ZIP, tmp_path / "out")
    assert lost(folder) == []
    assert not (folder / "html" / archive.ZIP).exists()
    found = Links((folder / "html" / "a" / "one.html").read_text("utf-8")).found
    assert f"../{archive.PDF}" in found and f"../{archive.ZIP}" not in found
    assert f"html/{archive.PDF}" in (folder / "README.txt").read_text("utf-8")


def test_without_a_book_it_says_what_to_make(tmp_path):
    with pytest.raises(FileNotFoundError, match="make book first"):
        archive.make(tmp_path, tmp_path / "a.zip")


@has_book
def test_archive_of_the_book_is_complete(tmp_path):
    archive.make(SITE, tmp_path / "a.zip")
    folder = unpacked(tmp_path / "a.zip", tmp_path / "out")
    assert lost(folder) == []
    foreign = [
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and f"{ROOT}/".encode() in path.read_bytes()
    ]
    assert foreign == []
    for name in ("html/_static/licences", "html/slides/reveal/LICENSE"):
        assert (folder / name).exists()
