"""Pages that hold one live figure and nothing else, in the look of the book.

Tests, `benchmarks/live_figures.py` and `stills.py` open them; the book does not need
them.
"""

from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils

ROOT = Path(__file__).resolve().parent.parent


def build(folder: Path, names: list[str]) -> Path:
    """Build a page for each figure.

    Args:
        folder: An empty folder.
        names: Figures of `live.yaml`.

    Returns:
        The folder with `NAME.html`, and with the scripts and models, copied, in
        `_static/live`.
    """
    source, out = folder / "source", folder / "html"
    source.mkdir()
    (source / "_static").symlink_to(ROOT / "_static", target_is_directory=True)
    for name in names:
        text = f"---\norphan: true\n---\n# {name}\n\n```{{live}} {name}\n```\n"
        (source / f"{name}.md").write_text(text, "utf-8")
    (source / "index.md").write_text("# Figures\n", "utf-8")
    settings = {
        "extensions": ["myst_parser", "live"],
        "html_theme": "sphinx_book_theme",
        "html_static_path": [str(ROOT / "_static")],
        "html_css_files": ["book.css"],
        "html_js_files": ["book.js"],
        "html_context": {"default_mode": "auto"},
        "project": "Live figures",
    }
    with patch_docutils(), docutils_namespace():
        app = Sphinx(
            str(source),
            None,
            str(out),
            str(folder / "doctrees"),
            "html",
            settings,
            status=None,
            warningiserror=False,
        )
        app.build()
    return out
