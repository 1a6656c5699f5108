"""Light pages: what a finished page does not need is taken out.

When the book is written, four things happen to it here:

- Pictures become WebP. Pages tell their sizes, so that nothing moves while they arrive,
  and load a picture only when its reader comes near. Charts, on white, are marked: they
  can turn dark with the page (`book.css`).
- Icons become drawings within the page. The theme brings every icon of Font Awesome,
  1.5 MB of script, for a dozen.
- Scripts and styles go from pages that have nothing for them to do, and the search
  index, which the theme puts into every page, stays on the page that searches.
- The search is mended: it quotes the place that it found, not the start of its page.
"""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sphinx.application import Sphinx
from styles import THEME

CHART = 0.75
"""A picture with more white than this share is a chart, not a grid of images."""

# Files that pages load, and what a page must hold to have a use for them.
USES = {
    "clipboard.min.js": "highlight",
    "copybutton.js": "highlight",
    "copybutton.css": "highlight",
    "togglebutton.js": 'class="[^"]*(?:toggle|dropdown)',
    "togglebutton.css": 'class="[^"]*(?:toggle|dropdown)',
    "design-tabs.js": 'class="sd-tab',
    "sphinx-design.min.css": 'class="[^"]*sd-',
    "quiz.js": 'class="quiz',
    "translations.js": 'id="search-results"',
    "searchtools.js": 'id="search-results"',
    "language_data.js": 'id="search-results"',
    "searchindex.js": 'id="search-results"',
    "fontawesome.js": "(?!)",
}
UNUSED = ("scripts/fontawesome.js*", "vendor/fontawesome/webfonts/fa-*", "**/*.map")
ICON = re.compile(
    r'<(?P<tag>i|span) class="(?P<classes>(?:[^"]* )?fa-[a-z][^"]*)"(?P<more>[^>]*)>'
    r"</(?P=tag)>"
)


# --- pictures ---------------------------------------------------------------------


def is_chart(image: Image.Image) -> bool:
    """Whether a picture is mostly white paper."""
    pixels = np.asarray(image.convert("RGB"))
    return bool(np.mean(pixels.min(axis=-1) >= 250) > CHART)


def to_webp(png: Path) -> None:
    """Write a picture beside its PNG: charts exactly, grids of images nearly."""
    with Image.open(png) as image:
        if is_chart(image):
            image.save(png.with_suffix(".webp"), lossless=True, quality=60, method=4)
        else:
            image.convert("RGB").save(png.with_suffix(".webp"), quality=85, method=4)


def convert(folder: Path) -> dict[str, dict[str, Any]]:
    """Replace the PNG files of a folder by WebP.

    Args:
        folder: Where the built book has its pictures.

    Returns:
        For each picture that is WebP now: its `width` and `height` in pixels, and
        whether it is a `chart`. Kept beside the folder for the next build, which
        writes only the pages that changed.
    """
    notes = folder.parent.parent / "pictures.json"
    known = json.loads(notes.read_text("utf-8")) if notes.exists() else {}
    fresh = sorted(folder.glob("*.png"))
    with ThreadPoolExecutor() as pool:
        list(pool.map(to_webp, fresh))
    for png in fresh:
        with Image.open(png) as image:
            width, height = image.size
            chart = is_chart(image)
        known[png.name] = {"width": width, "height": height, "chart": chart}
        png.unlink()
    notes.write_text(json.dumps(known), "utf-8")
    return known


def lighten_pictures(page: str, pictures: dict[str, dict[str, Any]]) -> str:
    """Have a page show its pictures as WebP, with their sizes, when they are needed."""
    count = 0

    def change(found: re.Match[str]) -> str:
        nonlocal count
        tag, name = found[0], found["name"]
        if f"{name}.png" not in pictures:
            return tag
        picture = pictures[f"{name}.png"]
        tag = tag.replace(f"{name}.png", f"{name}.webp")
        if picture["chart"]:
            tag = re.sub(r'class="', 'class="chart ', tag)
            if "class=" not in tag:
                tag = tag.replace("<img", '<img class="chart"', 1)
        sizes = f'width="{picture["width"]}" height="{picture["height"]}"'
        # The first picture may be in sight when the page opens.
        when = "" if count == 0 else ' loading="lazy"'
        count += 1
        return re.sub(r"\s*/?>$", f' {sizes} decoding="async"{when} />', tag)

    # A picture that is shown smaller than it is links to itself.
    page = re.sub(
        r'(<a\b[^>]*\bhref="[^"]*_images/([^"/]+))\.png"',
        lambda link: f'{link[1]}.webp"' if f"{link[2]}.png" in pictures else link[0],
        page,
    )
    return re.sub(
        r'<img\b[^>]*\bsrc="[^"]*_images/(?P<name>[^"/]+)\.png"[^>]*>', change, page
    )


# --- icons ------------------------------------------------------------------------


def icons(script: str) -> dict[str, tuple[int, int, str]]:
    """Drawings in Font Awesome's script: width, height and path by name."""
    # The names are in several styles; the solid one, which the theme uses, comes last.
    found = re.finditer(
        r'(?<=[{,])"?(?P<name>[a-z0-9-]+)"?:\[(?P<w>\d+),(?P<h>\d+),\[[^\]]*\],'
        r'"[0-9a-f]+","(?P<path>M[^"]+)"\]',
        script,
    )
    return {
        each["name"]: (int(each["w"]), int(each["h"]), each["path"]) for each in found
    }


def draw_icons(page: str, drawings: dict[str, tuple[int, int, str]]) -> str:
    """Put drawings where a page has names of icons.

    Raises:
        KeyError: If there is no drawing of a name.
    """

    def draw(found: re.Match[str]) -> str:
        classes = found["classes"].split()
        name = next(
            each.removeprefix("fa-")
            for each in classes
            if each.startswith("fa-") and each not in ("fa-solid", "fa-lg")
        )
        width, height, path = drawings[name]
        return (
            f'<svg class="svg-inline--fa {" ".join(classes)}"{found["more"]} '
            f'aria-hidden="true" viewBox="0 0 {width} {height}">'
            f'<path fill="currentColor" d="{path}"/></svg>'
        )

    return ICON.sub(draw, page)


# --- scripts and styles -----------------------------------------------------------


def drop_unused(page: str) -> str:
    """Take out files that have nothing to do on a page, and doubled tags."""
    start, head_end, body = page.partition("</head>")
    for name, use in USES.items():
        if not re.search(use, body):
            file = rf'[^"]*/?{re.escape(name)}(?:\?[^"]*)?'
            start = re.sub(
                rf'\s*<script[^>]* src="{file}"[^>]*></script>'
                rf'|\s*<link[^>]* href="{file}"[^>]*>',
                "",
                start,
            )
            start = re.sub(rf'\s*<script[^>]* src="{file}"[^>]*></script>', "", start)
    for tag in (r"<meta name=\"viewport\"[^>]*>", r"<script>var toggle[^<]*</script>"):
        first = re.search(tag, start)
        if first:
            rest = start[first.end() :]
            start = start[: first.end()] + re.sub(rf"\s*{tag}", "", rest)
    # A script with an address waits until the page is there. Those that tell others
    # something, within the page, run first.
    waiting = r'(?!defer)((?:[^>]* )?src="(?![^"]*documentation_options)[^"]*"[^>]*)'
    start = re.sub(f"<script {waiting}>", r"<script defer \1>", start)
    return start + head_end + body


def plain_roles(page: str) -> str:
    """Call entries of the bibliography what they are, items of a list.

    The role that docutils writes was given up by WAI-ARIA.
    """
    return page.replace('role="doc-biblioentry"', 'role="listitem"')


def mend_search(script: str) -> str:
    """Have the search look a place up by its name.

    Sphinx takes `#module-a.b` for a selector, in which the dot has a meaning of its
    own: it finds nothing, warns, and quotes the start of the page instead.
    """
    return script.replace(
        'htmlElement.querySelector(`[role="main"] ${anchor}`)',
        "htmlElement.getElementById(anchor.slice(1))",
    )


# --- the book ---------------------------------------------------------------------


def finish(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None or app.builder.format != "html":
        return
    output = Path(app.outdir)
    script = THEME / "static" / "scripts" / "fontawesome.js"
    drawings = icons(script.read_text("utf-8"))
    pictures = convert(output / "_images")
    for path in sorted(output.rglob("*.html")):
        if {"_static", "slides"} & set(path.relative_to(output).parts):
            continue
        before = path.read_text("utf-8")
        after = draw_icons(lighten_pictures(before, pictures), drawings)
        after = plain_roles(drop_unused(after))
        if after != before:
            path.write_text(after, "utf-8")
    search = output / "_static" / "searchtools.js"
    if search.exists():
        search.write_text(mend_search(search.read_text("utf-8")), "utf-8")
    for pattern in UNUSED:
        for path in (output / "_static").glob(pattern):
            path.unlink()


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("build-finished", finish, priority=600)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
