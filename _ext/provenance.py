"""Under the title of each notebook, one line that says how its outputs were made.

`_ext/run_notebooks.py` stores scale, data, seed, cost and versions in the metadata
`sslkit` of a notebook; here they become a sentence. A notebook without them says so on
its page and breaks the strict build.
"""

import json
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

logger = logging.getLogger(__name__)

MISSING = "How the outputs of this notebook were made is not recorded."


class Line(nodes.General, nodes.Element):
    """A line that only the page shows: its text is an attribute.

    Descriptions for search engines quote the first text of a page, which shall be the
    introduction.
    """


def duration(seconds: float) -> str:
    """Write a time the way one says it: `8.4 s`, `74 s`, `8 min 20 s`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 119.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min" + (f" {rest} s" if rest else "")


def describe(made: dict[str, Any]) -> str:
    """Turn the metadata `sslkit` of a notebook into one line.

    Args:
        made: What `_ext/run_notebooks.py` stored.

    Returns:
        Text such as `Outputs: full scale, MNIST 60,000 + 10,000 (SHA-256
        741c9888…), seed 0, 74 s and 1.1 GB on 2 cores, Python 3.11, …`.

    Raises:
        KeyError: If a part is missing.
    """
    versions = made["versions"]
    cost = duration(made["wall_s"])
    if made["peak_mb"] is not None:  # Windows does not tell it.
        cost += f" and {made['peak_mb'] / 1000:.1f} GB"
    parts = [
        f"{made['scale']} scale",
        *(
            f"{entry['name']} {entry['train']:,} + {entry['test']:,} "
            f"(SHA-256 {entry['sha256'][:8]}…)"
            for entry in made["data"]
        ),
        f"seed {made['seed']}",
        f"{cost} on {made['cpu'].split(',')[0]}",
        f"Python {'.'.join(versions['python'].split('.')[:2])}",
        f"Keras {versions['keras']}",
        f"TensorFlow {versions['tensorflow']}",
        made["date"],
    ]
    return "Outputs: " + ", ".join(parts) + "."


def add_line(app: Sphinx, doctree: nodes.document) -> None:
    source = Path(app.env.doc2path(app.env.docname))
    if source.suffix != ".ipynb":
        return
    made = json.loads(source.read_text("utf-8"))["metadata"].get("sslkit")
    try:
        text = MISSING if made is None else describe(made)
    except KeyError as key:
        text, made = MISSING, None
        logger.warning("metadata sslkit lacks %s", key, location=source.name)
    if made is None:
        logger.warning(
            "no provenance: run make run NB=%s",
            source.relative_to(app.srcdir).as_posix(),
            location=app.env.docname,
        )
    title = next(doctree.findall(nodes.title), None)
    if title is not None:
        classes = ["provenance"] + ["missing"] * (made is None)
        line = Line("", words=text, classes=classes)
        title.parent.insert(title.parent.index(title) + 1, line)


def visit_line(self: HTML5Translator, node: Line) -> None:
    text = self.encode(node["words"])
    self.body.append(self.starttag(node, "p", "", role="note") + text + "</p>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_node(Line, html=(visit_line, None))
    app.connect("doctree-read", add_line)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
