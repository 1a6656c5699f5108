"""Pictures on pages, taken from the stored outputs of notebooks.

The directive `picture` shows the n-th picture of a notebook, with the text alternative
that it has there, so that a page cannot show an older figure than its chapter:

    ```{picture} chapters/mnist/evaluation.ipynb 2
    A caption.
    ```
"""

import base64
import json
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


def stored_pictures(notebook: dict[str, Any]) -> list[tuple[bytes, str]]:
    """Collect the PNG outputs of a notebook, each with its text alternative."""
    return [
        (
            base64.b64decode("".join(output["data"]["image/png"])),
            output["metadata"]["image/png"]["alt"],
        )
        for cell in notebook["cells"]
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]


class Picture(SphinxDirective):
    """The n-th picture of a notebook; the content of the directive is its caption."""

    required_arguments = 2
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Write the picture where Sphinx finds it, and return the figure."""
        name, number = self.arguments
        path = Path(self.env.srcdir) / name
        self.env.note_dependency(str(path))
        pictures = stored_pictures(json.loads(path.read_text("utf-8")))
        if not 1 <= int(number) <= len(pictures):
            raise self.error(f"{name} holds {len(pictures)} pictures, not {number}.")
        png, alt = pictures[int(number) - 1]
        target = Path(self.env.app.outdir).parent / "pictures"
        target.mkdir(exist_ok=True)
        file = target / f"{path.stem}-{number}.png"
        file.write_bytes(png)
        uri = "/" + file.relative_to(self.env.srcdir).as_posix()
        figure = nodes.figure("", nodes.image(uri=uri, alt=alt))
        caption = nodes.caption()
        self.state.nested_parse(self.content, self.content_offset, caption)
        # The parser makes a paragraph; a caption holds its text without one.
        caption.children = caption.children[0].children if caption.children else []
        figure += caption
        return [figure]


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("picture", Picture)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
