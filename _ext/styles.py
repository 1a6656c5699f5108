"""Small styles: pages are sent the rules that some page can use.

The theme's style has rules for all of Bootstrap and for every icon of Font Awesome,
300 kB, and a browser must compare each rule with each element before it paints. Here a
rule goes when it asks for a class or an id whose name stands in no page and no script
of the book. Names that a script puts together are not seen: `COMPOSED` lists how they
begin.
"""

import hashlib
import re
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pydata_sphinx_theme
import tinycss2
from fontTools import subset
from sphinx.application import Sphinx
from tinycss2.ast import HashToken, IdentToken, Node

THEME = Path(pydata_sphinx_theme.__file__).parent / "theme" / "pydata_sphinx_theme"
FONT = THEME / "static" / "vendor" / "fontawesome" / "webfonts" / "fa-solid-900.ttf"
STYLES = ("styles/pydata-sphinx-theme.css", "styles/sphinx-book-theme.css", "basic.css")
"""Styles of the theme and of Sphinx, in `_static`; those of the book are its own."""
COMPOSED = ("bs-",)  # Bootstrap writes `bs-${name}-auto`.
NAME = re.compile(r"[A-Za-z_][\w-]*")


def names(texts: Iterable[str]) -> set[str]:
    """Words of pages and scripts, among them all names of classes and ids."""
    return {word for text in texts for word in NAME.findall(text)}


def selectors(prelude: list[Node]) -> list[list[Node]]:
    """The selectors of a rule, which commas separate."""
    found: list[list[Node]] = [[]]
    for token in prelude:
        if token == ",":
            found.append([])
        else:
            found[-1].append(token)
    return found


def asks_for(selector: list[Node]) -> set[str]:
    """Classes and ids that an element must have for a selector to match.

    What stands in brackets, as in `:not(.this)` and `:is(.this, .that)`, is left alone:
    the element need not have it.
    """
    asked = {token.value for token in selector if isinstance(token, HashToken)}
    for dot, name in pairwise(selector):
        if dot == "." and isinstance(name, IdentToken):
            asked.add(name.value)
    return asked


def reduced(css: str, known: set[str]) -> str:
    """A style without the rules that can match nothing.

    Args:
        css: Text of the style.
        known: Names of classes and ids that exist.

    Returns:
        The rules that stay, in their order. Rules in `@media` and `@supports` are
        treated alike; any other `@` rule stays as it is.
    """

    def possible(selector: list[Node]) -> bool:
        return all(
            name in known or name.startswith(COMPOSED) for name in asks_for(selector)
        )

    def write(rules: list[Node]) -> str:
        parts = []
        for rule in rules:
            if rule.type == "qualified-rule":
                kept = [each for each in selectors(rule.prelude) if possible(each)]
                if kept:
                    head = ",".join(tinycss2.serialize(each).strip() for each in kept)
                    parts.append(f"{head}{{{tinycss2.serialize(rule.content)}}}")
            elif rule.type == "at-rule" and rule.lower_at_keyword in (
                "media",
                "supports",
            ):
                inner = write(
                    tinycss2.parse_rule_list(
                        rule.content, skip_comments=True, skip_whitespace=True
                    )
                )
                if inner:
                    head = tinycss2.serialize(rule.prelude)
                    parts.append(f"@{rule.at_keyword}{head}{{{inner}}}")
            else:
                parts.append(rule.serialize())
        return "".join(parts)

    return write(
        tinycss2.parse_stylesheet(css, skip_comments=True, skip_whitespace=True)
    )


def trim_font(static: Path) -> None:
    """Leave in the theme's style and font of icons what the style itself shows.

    Signs before notes and downloads are characters of Font Awesome. Its three fonts
    have thousands more, and the style has a rule for each of them.
    """
    path = static / "styles" / "pydata-sphinx-theme.css"
    css = path.read_text("utf-8")
    css = re.sub(r"(?:\.fa-[a-z0-9-]+:before,?)+\{content:[^{}]*\}", "", css)
    css = re.sub(r"@font-face\{[^{}]*Font Awesome[^{}]*\}", "", css)
    fonts = static / "vendor" / "fontawesome" / "webfonts"
    options = subset.Options(flavor="woff", layout_features=[], hinting=False)
    with subset.load_font(FONT, options) as font:
        chosen = subset.Subsetter(options)
        # Private characters stand in the style as they are; the book's theme writes one
        # as a number.
        chosen.populate(text="".join(re.findall("[\ue000-\uf8ff]", css)) + "\uf107")
        chosen.subset(font)
        subset.save_font(font, fonts / "icons.woff", options)
    css += (
        "@font-face{font-family:Font Awesome\\ 6 Free;font-weight:900;"
        "font-display:block;"
        'src:url(../vendor/fontawesome/webfonts/icons.woff) format("woff")}'
    )
    path.write_text(css, "utf-8")


def early_theme(page: str) -> str:
    """Have a page know before its first paint whether it is dark.

    The theme says "auto" first, and which of the two when all its scripts are there:
    the page is painted twice, and in the dark it flashes.
    """
    return page.replace(
        'dataset.theme = localStorage.getItem("theme") || "auto";',
        'dataset.theme = document.documentElement.dataset.mode === "auto"'
        ' ? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")'
        " : document.documentElement.dataset.mode;",
    )


def finish(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None or app.builder.format != "html":
        return
    output = Path(app.outdir)
    static = output / "_static"
    pages = {
        path: path.read_text("utf-8")
        for path in output.rglob("*.html")
        if not {"_static", "slides"} & set(path.relative_to(output).parts)
    }
    scripts = [
        path.read_text("utf-8")
        for path in static.rglob("*.js")
        if not {"mathjax", "models"} & set(path.relative_to(static).parts)
    ]
    known = names([*pages.values(), *scripts])
    trim_font(static)
    versions = {}
    for style in STYLES:
        css = reduced((static / style).read_text("utf-8"), known)
        (static / style).write_text(css, "utf-8")
        versions[style] = hashlib.sha256(css.encode()).hexdigest()[:8]
    for path, before in pages.items():
        # The theme's first style does nothing but ask for Sphinx's: one wait less.
        after = re.sub(r'/styles/theme\.css[^"]*"', '/basic.css"', early_theme(before))
        for style, version in versions.items():
            # A browser that kept another build's style asks for this one.
            after = re.sub(rf'(/{style})(?:\?[^"]*)?"', rf'\1?v={version}"', after)
        if after != before:
            path.write_text(after, "utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    # After the pages have got all that they will show.
    app.connect("build-finished", finish, priority=700)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
