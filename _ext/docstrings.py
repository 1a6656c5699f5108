"""Docstrings for the API page: Markdown's mathematics and code, as autodoc reads them.

The docstrings of `sslkit` are written to be read in an editor and in a notebook, with
`$...$`, `$$...$$` and single backticks. autodoc expects reStructuredText. A name that
begins with `sslkit.` becomes a link, and a wrong one breaks the strict build.
"""

import re
from typing import Any

from sphinx.application import Sphinx

EXAMPLE = re.compile(r"(^ *>>>(?:.+\n?)*)", re.MULTILINE)
DISPLAY = re.compile(r"^( *)\$\$(.+?)\$\$ *$", re.MULTILINE | re.DOTALL)
RETURNS = re.compile(r"^( *Returns:\n +)(?=\S)", re.MULTILINE)
# Literals and roles that are reStructuredText already come first: they are kept.
INLINE = re.compile(
    r"(?P<kept>``.+?``|:[\w:]+:`[^`]+`)|`(?P<code>[^`]+)`|\$(?P<formula>[^$]+)\$"
)
# The arguments of a long signature, as Sphinx writes them: definitions without terms.
PARAMETERS = re.compile(r'<dl>\n((?:<dd><em class="sig-param">.*?</dd>\n)+)</dl>')


def to_rst(text: str) -> str:
    """Translate one docstring.

    Args:
        text: Docstring with Markdown's mathematics and code.

    Returns:
        The same in reStructuredText. Examples (`>>>`) stay as they are.
    """
    return "".join(
        block if i % 2 else INLINE.sub(_inline, DISPLAY.sub(_display, block))
        for i, block in enumerate(EXAMPLE.split(text))
    )


def _display(match: re.Match[str]) -> str:
    indent, formula = match.groups()
    lines = [line.strip() for line in formula.strip().splitlines()]
    return "\n".join(
        [f"{indent}.. math::", "", *(f"{indent}   {line}" for line in lines), ""]
    )


def _inline(match: re.Match[str]) -> str:
    if match["kept"]:
        return match["kept"]
    if match["formula"]:
        # The escaped blank vanishes; it ends the role where a letter follows.
        return f":math:`{' '.join(match['formula'].split())}`\\ "
    if re.fullmatch(r"sslkit(\.\w+)+", match["code"]):
        return f":py:obj:`{match['code']}`"
    return f"``{' '.join(match['code'].split())}``"


def translate(
    app: Sphinx, what: str, name: str, obj: object, options: Any, lines: list[str]
) -> None:
    text = to_rst("\n".join(lines))
    # In the first line of these, napoleon takes what precedes a colon for a type. The
    # course writes none there, and a colon at the beginning says so.
    text = RETURNS.sub(r"\1: ", text)
    if what in ("attribute", "data"):
        text = f": {text}"
    lines[:] = text.split("\n")


def skip_tuple_fields(
    app: Sphinx, what: str, name: str, obj: object, skip: bool, options: Any
) -> bool | None:
    """Leave out fields of named tuples: their class describes them already."""
    generated = (getattr(obj, "__doc__", None) or "").startswith("Alias for field")
    return True if generated else None


def plain_signatures(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any
) -> None:
    """Make lines of arguments plain lines, which are not announced as a list."""
    if context.get("body"):
        context["body"] = PARAMETERS.sub(
            lambda found: (
                found[1]
                .replace("<dd>", '<span class="sig-line">')
                .replace("</dd>", "</span>")
            ),
            context["body"],
        )


def setup(app: Sphinx) -> dict[str, Any]:
    # Before napoleon, which has the default priority of 500 and needs the indentation.
    app.connect("autodoc-process-docstring", translate, priority=400)
    app.connect("autodoc-skip-member", skip_tuple_fields)
    app.connect("html-page-context", plain_signatures)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
