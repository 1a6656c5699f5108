"""Live figures: small networks that run in the page, described in `live.yaml`.

    ```{live} latent
    ```

shows the figure of that name: its title, a still picture, what to look for and how to
operate it. `_static/live/figures.js` puts the live part in the picture's place; without
JavaScript, and on paper, the picture stays.

Notebooks hold no directives. There, a text cell asks for a figure after it by its
metadata, `"live": "latent"`, which other readers of notebooks ignore.
"""

import json
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from quiz import tag
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

FIGURES: dict[str, dict[str, Any]] = yaml.safe_load(
    Path(__file__).with_suffix(".yaml").read_text("utf-8")
)
SCRIPTS = ("live/nn.js", "live/figures.js")
STYLE = "live/live.css"
OFFLINE = (
    "This figure works where the browser runs JavaScript; here is a picture of it."
)


class LiveDirective(SphinxDirective):
    """The live figure that the argument names."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the figure in its first state, which needs no script."""
        name = self.arguments[0]
        if name not in FIGURES:
            known = ", ".join(FIGURES)
            raise self.error(f"no live figure {name!r}; known: {known}")
        self.env.note_dependency(str(Path(__file__).with_suffix(".yaml")))
        about = FIGURES[name]
        wide, narrow = about["height"]
        still = nodes.image(uri=f"/_static/live/still/{name}.webp", alt=about["alt"])
        figure = tag(
            "figure",
            tag("p", about["title"], class_="live-title"),
            tag("div", still, class_="live-stage"),
            tag(
                "figcaption",
                *self.parse_text_to_nodes(about["caption"]),
                tag(
                    "div", *self.parse_text_to_nodes(about["help"]), class_="live-help"
                ),
                tag("noscript", OFFLINE),
            ),
            class_="live",
            aria_label=about["title"],
            style=f"--live-wide: {wide}rem; --live-narrow: {narrow}rem",
            data_live=name,
            **({"data_models": name} if about["models"] else {}),
        )
        return [figure]


def insert_cells(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put a directive after each cell of a notebook that asks for a figure."""
    if Path(app.env.doc2path(docname)).suffix != ".ipynb":
        return
    notebook = json.loads(source[0])
    cells = []
    for cell in notebook["cells"]:
        cells.append(cell)
        name = cell["metadata"].get("live")
        if name is None:
            continue
        if cell["cell_type"] != "markdown":
            raise ExtensionError(f"{docname}: only text cells can ask for live figures")
        text = f"```{{live}} {name}\n```"
        inserted = {"cell_type": "markdown", "metadata": {}, "source": text}
        cells.append({**inserted, "id": f"live-{name}"})
    if len(cells) > len(notebook["cells"]):
        source[0] = json.dumps({**notebook, "cells": cells})


def leave_out(app: Sphinx, config: Config) -> None:
    """Take the scripts of the figures from all pages, where Jupyter Book puts them."""
    for setting in ("html_js_files", "html_css_files"):
        files = [name for name in config[setting] if not str(name).startswith("live/")]
        config[setting] = files


def add_files(
    app: Sphinx, page: str, template: str, context: dict, doctree: nodes.document | None
) -> None:
    """Add scripts and style to a page that has a figure."""
    if doctree is None or not any(
        "data-live" in node.get("html", {}) for node in doctree.findall(nodes.container)
    ):
        return
    app.add_css_file(STYLE)
    for script in SCRIPTS:
        app.add_js_file(script)


def setup(app: Sphinx) -> dict[str, Any]:
    app.setup_extension("quiz")
    app.add_directive("live", LiveDirective)
    app.connect("source-read", insert_cells)
    app.connect("config-inited", leave_out)
    app.connect("html-page-context", add_files)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
