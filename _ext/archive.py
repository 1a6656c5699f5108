"""The book to take along: one archive with all that reading and running need offline.

    python _ext/archive.py [HTML] [OUTPUT]

HTML is the folder of the rendered book, `_build/html` by default, and OUTPUT the file
to write, `downloads/learning-features-offline.zip` in that folder by default. It holds
the pages, which work from a folder, the PDF if it has been made (`make pdf`), the
notebooks, the package, and a README that says what to fetch while there is a network.
Data sets are no part of it; quick scale needs none.

The same files give the same archive, bit by bit.
"""

import argparse
import re
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml
from slides import parts

ROOT = Path(__file__).resolve().parent.parent
HTML = ROOT / "_build" / "html"
TOP = "learning-features"
PDF = "downloads/learning-features.pdf"
ZIP = "downloads/learning-features-offline.zip"

# Files of the course that installing its package needs, or that say what one may do
# with it. Patterns rather than folders: what is fetched or made lies beside them.
COURSE = (
    "CITATION.cff",
    "LICENSE",
    "LICENSE-CONTENT.md",
    "README.md",
    "pyproject.toml",
    "requirements.txt",
    "data/*.json",
    "data/*.py",
    "data/README.md",
    "sslkit/*.py",
)
# Of use to a server and to builders only.
NOT_PAGES = {"404.html", ".buildinfo", ".nojekyll", "sitemap.xml", ZIP}

MARKS = re.compile(r"(<!-- downloads -->).*?(<!-- end of downloads -->)", re.DOTALL)
NAMES = {
    PDF: "The book as one PDF",
    ZIP: "The book, the notebooks and the package for a machine without a network",
}

README = """\
{title}

To read: open html/index.html in a browser. Nothing needs a network.
{pdf}
To run the notebooks without a network, you need Python 3.11, 3.12 or 3.13, about 3 GB
of disk, and wheels, which you fetch while there is a network: on the machine that will
run the notebooks, or on one with the same system, processor and version of Python. In
the folder of this file, while online:

    python3 -m pip wheel -r course/requirements.txt -w wheels
    python3 -m pip wheel --no-deps ./course -w wheels

Offline, with the folder wheels beside this file:

    python3 -m venv venv
    venv/bin/python -m pip install --no-index -f wheels -r course/requirements.txt
    venv/bin/python -m pip install --no-index -f wheels --no-deps sslkit
    venv/bin/jupyter-lab {notebooks}

On Windows, write py -3.11 for python3 (or the version that you have), and
venv\\Scripts\\ for venv/bin/. Begin with {notebooks}/mnist/data_preparation.ipynb.

Notebooks run at quick scale unless you say otherwise, on 5,000 images of MNIST that
come with one of the packages. Full scale needs all of MNIST, which is not in this
archive: course/data/README.md says where it is. Put mnist.npz into a folder, and name
that folder in the environment variable SSLKIT_DATA.

Licences: course/LICENSE for the code, course/LICENSE-CONTENT.md for text and figures,
and for the data that figures show. Those of what the pages are made with are in
html/_static/licences and in html/slides/reveal.
"""


def with_downloads(page: str, sizes: Mapping[str, int], up: str) -> str:
    """Let a page list what there is to download, between the marks that it has for it.

    Args:
        page: Text of the page. Without `<!-- downloads -->` it stays as it is.
        sizes: Size in bytes of what there is, by its address below the top folder.
        up: Address of the top folder as seen from the page: `""` or `"../../"`.

    Returns:
        The page.
    """
    entries = "".join(
        f'<li><a href="{up}{name}">{NAMES[name]}</a> ({size / 1e6:.0f} MB)</li>'
        for name, size in sizes.items()
    )
    listed = f"<ul>{entries}</ul>" if entries else ""
    return MARKS.sub(lambda marks: f"{marks[1]}{listed}{marks[2]}", page)


def list_downloads(site: Path) -> None:
    """Write links to the files that have been made into the pages that have marks."""
    sizes = {
        name: (site / name).stat().st_size for name in NAMES if (site / name).exists()
    }
    for path in sorted(site.rglob("*.html")):
        text = path.read_text("utf-8")
        up = "../" * (len(path.relative_to(site).parts) - 1)
        if (listed := with_downloads(text, sizes, up)) != text:
            path.write_text(listed, "utf-8")


def members(site: Path, root: Path) -> Iterator[tuple[str, bytes]]:
    """Give name and content of each file of the archive.

    Args:
        site: Folder of the rendered book.
        root: Folder of the course.
    """
    pdf = {PDF: (site / PDF).stat().st_size} if (site / PDF).exists() else {}
    for path in site.rglob("*"):
        name = path.relative_to(site).as_posix()
        if path.is_dir() or name in NOT_PAGES or path.suffix == ".log":
            continue
        content = path.read_bytes()
        if path.suffix == ".html":
            up = "../" * name.count("/")
            content = with_downloads(content.decode("utf-8"), pdf, up).encode("utf-8")
        yield f"html/{name}", content
    for pattern in COURSE:
        for path in root.glob(pattern):
            yield f"course/{path.relative_to(root).as_posix()}", path.read_bytes()
    files = [f"{name}.ipynb" for _, _, names in parts(root) for name in names]
    # Where the book has copies of its own, those will do.
    folder = "html/notebooks/chapters"
    if not (site / "notebooks" / "chapters").exists():
        folder = "notebooks"
        for name in files:
            yield f"notebooks/{name}", (root / "chapters" / name).read_bytes()
    about = yaml.safe_load((root / "CITATION.cff").read_text("utf-8"))
    text = README.format(
        title=f"{about['title']}, version {about['version']}",
        pdf=f"The whole book is also one PDF: html/{PDF}\n" if pdf else "",
        notebooks=folder,
    )
    yield "README.txt", text.encode("utf-8")


def make(site: Path, output: Path, root: Path = ROOT) -> None:
    """Write the archive.

    Args:
        site: Folder of the rendered book.
        output: The archive, overwritten if it exists.
        root: Folder of the course.

    Raises:
        FileNotFoundError: If there is no rendered book.
    """
    if not (site / "index.html").exists():
        raise FileNotFoundError(f"no book in {site}: make book first.")
    output.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in sorted(members(site, root)):
            # Dated 1980, the first year that an archive knows.
            entry = zipfile.ZipInfo(f"{TOP}/{name}")
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("html", nargs="?", type=Path, default=HTML)
    parser.add_argument("output", nargs="?", type=Path)
    given = parser.parse_args()
    output = given.output or given.html / ZIP
    make(given.html, output)
    list_downloads(given.html)
    print(f"{output}: {output.stat().st_size / 1e6:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
