"""Figures of the course in prose and tables, read from `data/results.json`.

The role {result}`ae64.knn` prints one figure, so that prose cannot disagree with what
a notebook measured. The directive `results` prints a table of all of them, or of those
whose ids begin with one of its arguments. The directive `comparison` prints a table
with a row for each encoder that it lists, and `scatter` draws accuracy against error
or, with the argument `cost`, against processor time.
Only `_ext/run_notebooks.py` writes the file.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from docutils import nodes
from matplotlib.figure import Figure
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole

from sslkit import plot
from sslkit.record import format_value

logger = logging.getLogger(__name__)

Results = Mapping[str, Mapping[str, Any]]

COLUMNS = {
    "test_mse": "error",
    "knn": "kNN %",
    "linear": "linear %",
    "shot1": "1 label %",
    "shot5": "5 labels %",
    "shot10": "10 labels %",
    "shot16": "16 labels %",
    "cluster": "clusters %",
    "rank": "rank",
    "parameters": "parameters",
}
"""Last parts of ids that an encoder's row shows, and the heads of their columns."""


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


def title(results: Results, name: str) -> str:
    """Name of an encoder as readers know it: what its first probe was said to be of."""
    probe = results.get(f"{name}.knn")
    return probe["what"].partition(",")[0] if probe else name


def narrow(result: Mapping[str, Any]) -> str:
    """Write a figure in few characters, so that a line may break before the spread."""
    if result["unit"] != "fraction":
        text = format_value(result["value"], result["unit"], result["spread"])
    else:
        numbers = (result["value"], result["spread"])
        text = " ± ".join(
            f"{100 * number:.1f}" for number in numbers if number is not None
        )
    return text.replace("± ", "±\N{NO-BREAK SPACE}")


def comparison(results: Results, names: Sequence[str]) -> str:
    """Write a Markdown table of encoders, one a row, a question a column.

    Args:
        results: Figures by id, `encoder.measure`.
        names: Encoders, first parts of ids, in the order of their rows.

    Returns:
        The table. A figure that was not measured is an empty cell.
    """
    lines = [
        f"| encoder | {' | '.join(COLUMNS.values())} | CPU s |",
        f"|:---|{'---:|' * len(COLUMNS)}---:|",
    ]
    for name in names:
        probe = results.get(f"{name}.knn", {})
        cpu = probe.get("cpu_seconds")
        label = title(results, name)
        cells = [
            f"[{label}](/{probe['notebook']})" if probe else label,
            *(
                narrow(results[figure])
                if (figure := f"{name}.{measure}") in results
                else ""
                for measure in COLUMNS
            ),
            "" if cpu is None else f"{cpu:,.0f}",
        ]
        escaped = (cell.replace("|", "\\|") for cell in cells)
        lines.append(f"| {' | '.join(escaped)} |")
    return "\n".join(lines)


def copies(results: Results) -> dict[str, tuple[float, float]]:
    """Collect error and accuracy with ten labels, by encoder, the best error first."""
    found = {}
    for id, error in results.items():
        name, _, measure = id.partition(".")
        if measure == "test_mse" and (accuracy := results.get(f"{name}.shot10")):
            found[title(results, name)] = error["value"], accuracy["value"]
    return dict(sorted(found.items(), key=lambda item: item[1]))


def costs(results: Results) -> dict[str, tuple[float, float]]:
    """Collect processor seconds and accuracy with ten labels, the cheapest first.

    What takes no time to make, such as raw pixels, has no place on a logarithmic axis.
    """
    found = {}
    for id, probe in results.items():
        name, _, measure = id.partition(".")
        accuracy = results.get(f"{name}.shot10")
        if measure == "knn" and accuracy and probe["cpu_seconds"]:
            found[title(results, name)] = probe["cpu_seconds"], accuracy["value"]
    return dict(sorted(found.items(), key=lambda item: item[1]))


@matplotlib.rc_context(plot.STYLE)
def scatter(
    points: Mapping[str, tuple[float, float]],
    levels: Mapping[str, float],
    kind: str = "error",
) -> Figure:
    """Draw accuracy against error or cost, an encoder a mark, levels as lines."""
    figure = Figure(figsize=(plot.WIDTH, max(3.8, 0.26 * len(points))))
    axes = figure.subplots()
    colours = plot.STYLE["axes.prop_cycle"].by_key()["color"]
    for i, (label, (x, accuracy)) in enumerate(points.items()):
        # After a round of colours the markers move on by one, hollow every other time.
        turn, place = divmod(i, len(colours))
        axes.plot(
            [x],
            [100 * accuracy],
            plot.MARKERS[(place + turn) % len(plot.MARKERS)],
            color=colours[place],
            markersize=8,
            markerfacecolor="none" if turn % 2 else colours[place],
            label=label,
        )
    for (label, level), style in zip(levels.items(), ("--", ":"), strict=False):
        axes.axhline(
            100 * level, color="#555555", linestyle=style, marker="", label=label
        )
    axes.set_ylabel("test accuracy, 10 labels per class (%)")
    if kind == "cost":
        axes.set(xlabel="processor time of training (s)", xscale="log")
    else:
        axes.set(xlabel="squared error per pixel, test images", xlim=(0, None))
        axes.locator_params(axis="x", nbins=6)
    figure.legend(loc="outside right upper")
    return figure


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


class Comparison(SphinxDirective):
    """A table of encoders; the content lists them, one name a line."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return the table, and warn if its list and the figures disagree."""
        results = read_results(self.env)
        if not results:
            return [nodes.paragraph("", "No figures have been recorded yet.")]
        names = [name for line in self.content if (name := line.strip())]
        known = {id.partition(".")[0] for id in results}
        probed = {id.removesuffix(".knn") for id in results if id.endswith(".knn")}
        for name in sorted(set(names) - known):
            logger.warning(
                "no result begins with '%s.'", name, location=self.get_location()
            )
        for name in sorted(probed - set(names)):
            logger.warning(
                "encoder %r has results but no line in this comparison",
                name,
                location=self.get_location(),
            )
        rows = nodes.container(classes=["comparison"])
        text = comparison(results, [name for name in names if name in known])
        rows += self.parse_text_to_nodes(text)
        for group in rows.findall(nodes.tgroup):
            group[0]["stub"] = 1  # The first column holds the heads of the rows.
        return [rows]


class Scatter(SphinxDirective):
    """Accuracy against error, or with `cost` against time; content: the caption."""

    has_content = True
    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Draw the picture where Sphinx finds it, and return the figure."""
        results = read_results(self.env)
        kind = self.arguments[0] if self.arguments else "error"
        points = costs(results) if kind == "cost" else copies(results)
        if not points:
            return [nodes.paragraph("", "No figures have been recorded yet.")]
        levels = {
            title(results, name): results[f"{name}.shot10"]["value"]
            for name in ("raw", "supervised")
            if f"{name}.shot10" in results
        }
        target = Path(self.env.app.outdir).parent / "pictures"
        target.mkdir(parents=True, exist_ok=True)
        file = target / f"comparison_{kind}.png"
        scatter(points, levels, kind).savefig(file, dpi=plot.DPI, facecolor="white")
        digits, unit = (".0f", " s") if kind == "cost" else (".5f", "")
        listed = [
            f"{name} {x:{digits}}{unit} and {100 * a:.1f} %"
            for name, (x, a) in points.items()
        ]
        listed += [f"{name} (a level) {100 * a:.1f} %" for name, a in levels.items()]
        against = {
            "error": "error per pixel. Error and accuracy, from the best copies to the "
            "worst",
            "cost": "processor time of training. Time and accuracy, the cheapest first",
        }[kind]
        alt = f"Accuracy with ten labels per class against {against}: "
        alt += f"{'; '.join(listed)}."
        uri = "/" + file.relative_to(self.env.srcdir).as_posix()
        figure = nodes.figure("", nodes.image(uri=uri, alt=alt))
        caption = nodes.caption()
        self.state.nested_parse(self.content, self.content_offset, caption)
        # The parser makes a paragraph; a caption holds its text without one.
        caption.children = caption.children[0].children if caption.children else []
        figure += caption
        return [figure]


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_role("result", ResultRole())
    app.add_directive("results", ResultsTable)
    app.add_directive("comparison", Comparison)
    app.add_directive("scatter", Scatter)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
