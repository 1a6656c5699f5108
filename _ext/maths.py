r"""Formulas as HTML: pages show them without JavaScript, a network or a delay.

Sphinx writes a formula as TeX and leaves it to the reader's browser to set it. Here
MathJax sets it when the book is built, and the page carries the result: HTML, which
needs no more than a few fonts, and hidden MathML for screen readers. The Python package
sphinx-mathjax-offline brings MathJax 3 as files; the Node.js that runs it comes with
Playwright.
"""

import html
import importlib.util
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from playwright._impl._driver import compute_driver_executable
from sphinx.application import Sphinx
from sphinx.ext.mathjax import html_visit_displaymath, html_visit_math
from sphinx.util import logging

logger = logging.getLogger(__name__)

SCRIPT = Path(__file__).with_name("maths.js")
FONTS = "output/chtml/fonts/woff-v2"
# What decks of slides need, which set their formulas when they are opened.
PARTS = (
    "tex-chtml.js",
    "input/tex/extensions",
    "output/chtml/fonts",
    "a11y",
    "input/mml.js",
    "sre/mathmaps/base.json",
    "sre/mathmaps/en.json",
    "sre/mathmaps/nemeth.json",
)
FORMULA = re.compile(
    r'(?P<open><(?P<tag>span|div) class="(?:[^"]* )?math [^"]*"[^>]*>)'
    r"\s*\\(?P<kind>[(\[])(?P<tex>.*?)\\[)\]]\s*(?P<close></(?P=tag)>)",
    re.DOTALL,
)


def mathjax() -> Path:
    """Folder of MathJax in its package."""
    package = importlib.util.find_spec("sphinx-mathjax-offline")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("sphinx-mathjax-offline is missing: pip install it.")
    return Path(package.origin).parent / "static" / "mathjax"


def copy_parts(target: Path, parts: Sequence[str] = PARTS) -> None:
    """Copy parts of MathJax into a folder."""
    for part in parts:
        source = mathjax() / part
        (target / part).parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target / part, dirs_exist_ok=True)
        else:
            shutil.copyfile(source, target / part)


def typeset(pages: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    r"""Set formulas.

    Args:
        pages: For each page its formulas, `{"tex": r"\alpha", "display": False}`.

    Returns:
        For each page `{"html": [...], "css": "..."}`: the formulas in their order, and
        the style that they need, which names its fonts as `FONTS/...`.

    Raises:
        RuntimeError: If MathJax does not run; a wrong formula is no such case.
    """
    node = compute_driver_executable()[0]
    done = subprocess.run(
        [node, SCRIPT],
        input=json.dumps({"root": str(mathjax()), "pages": pages}),
        capture_output=True,
        encoding="utf-8",
    )
    if done.returncode:
        raise RuntimeError(f"MathJax failed: {done.stderr}")
    return json.loads(done.stdout)


def formulas(page: str) -> list[dict[str, Any]]:
    """Formulas of a page that are still TeX."""
    return [
        {"tex": html.unescape(found["tex"]), "display": found["kind"] == "["}
        for found in FORMULA.finditer(page)
    ]


def insert(page: str, answer: dict[str, Any], up: str) -> str:
    """Put formulas, set by `typeset`, and their style into a page.

    Args:
        page: Text of the page.
        answer: What `typeset` returned for its formulas.
        up: Address of the top folder, seen from the page: `""` or `"../../"`.

    Returns:
        The page, without TeX.
    """
    made = iter(answer["html"])
    page = FORMULA.sub(
        lambda found: found["open"] + next(made) + found["close"],
        page,
    )
    css = answer["css"].replace("FONTS", f"{up}_static/mathjax/fonts")
    css = re.sub(r"\s*\n\s*", " ", css).strip()
    return page.replace("</head>", f"<style>{css}</style>\n</head>", 1)


def finish(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None or app.builder.format != "html":
        return
    fonts = Path(app.outdir) / "_static" / "mathjax" / "fonts"
    shutil.copytree(mathjax() / FONTS, fonts, dirs_exist_ok=True)
    texts = {}
    for path in sorted(Path(app.outdir).rglob("*.html")):
        if "_static" not in path.parts:
            text = path.read_text("utf-8")
            if formulas(text):
                texts[path] = text
    answers = typeset([formulas(text) for text in texts.values()])
    for (path, text), answer in zip(texts.items(), answers, strict=True):
        name = path.relative_to(app.outdir)
        for formula, made in zip(formulas(text), answer["html"], strict=True):
            if "data-mjx-error" in made:
                logger.warning("wrong formula: %s", formula["tex"], location=str(name))
        up = "../" * (len(name.parts) - 1)
        path.write_text(insert(text, answer, up), "utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_html_math_renderer(
        "static", (html_visit_math, None), (html_visit_displaymath, None)
    )
    app.connect("build-finished", finish)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
