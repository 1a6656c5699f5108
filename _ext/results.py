"""Figures of the course in prose and tables, read from `data/results.json`.

The role {result}`ae64.knn` prints one figure, so that prose cannot disagree with what
a notebook measured. The directive `results` prints a table of all of them, or of those
whose ids begin with one of its arguments. Only `_ext/run_notebooks.py` writes the file.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole

from sslkit.record import format_value

logger = logging.getLogger(__name__)

Results = Mapping[str, Mapping[str, Any]]


def read_results(env: BuildEnvironment) -> Results:
    """Read the figures; the page is rendered anew when they change."""
    path = Path(env.srcdir) / "data" / "results.json"
    env.note_dependency(str(path))
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def shown(result: Mapping[str, Any]) -> str:
    """Write a figure with its spread, in one piece that no line break tears apart."""
    text = format_value(result["value"], result["unit"], result["spread"])
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def table(results: Results) -> str:
    """Write figures as a Markdown table, one a row, in the order of their ids."""
    lines = [
        "| figure | value | runs | data | CPU s | notebook |",
        "|:---|---:|---:|:---|---:|:---|",
    ]
    for id, result in sorted(results.items()):
        unit = "" if result["unit"] == "fraction" else f", {result['unit']}"
        cpu = result["cpu_seconds"]
        cells = [
            f"{result['what']}{unit} `{id}`",
            shown(result),
            str(result["n"]),
            result["data"],
            "" if cpu is None else f"{cpu:,.0f}",
            f"[](/{result['notebook']})",
        ]
        escaped = (cell.replace("|", "\\|") for cell in cells)
        lines.append(f"| {' | '.join(escaped)} |")
    return "\n".join(lines)


class ResultRole(SphinxRole):
    """{result}`id`: the figure with its spread."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the text of the figure, or a warning that names the known ids."""
        results = read_results(self.env)
        if self.text not in results:
            known = ", ".join(sorted(results)) or "none, run make run"
            logger.warning(
                "unknown result %r; known: %s",
                self.text,
                known,
                location=self.get_location(),
            )
            return [nodes.inline("", f"(no figure {self.text})")], []
        return [nodes.inline("", shown(results[self.text]), classes=["result"])], []


class ResultsTable(SphinxDirective):
    """A table of figures; arguments are prefixes of the ids to show."""

    optional_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Return the table, or a sentence where there is nothing to show."""
        prefixes = tuple(self.arguments[0].split()) if self.arguments else ("",)
        results = read_results(self.env)
        for prefix in prefixes:
            if results and not any(id.startswith(prefix) for id in results):
                logger.warning(
                    "no result begins with %r", prefix, location=self.get_location()
                )
        chosen = {id: r for id, r in results.items() if id.startswith(prefixes)}
        if not chosen:
            return [nodes.paragraph("", "No figures have been recorded yet.")]
        rows = nodes.container(classes=["results"])
        rows += self.parse_text_to_nodes(table(chosen))
        return [rows]


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_role("result", ResultRole())
    app.add_directive("results", ResultsTable)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
