"""Speed and cost of training, from `data/throughput.json`.

The directive `throughput` prints what `benchmarks/device.py` measured, a row for each
device, method and precision. The directive `cost` works out what a training would take,
with a row for each number of images and each number of devices. It starts from the
fastest row of a method, says which that is, and says what is assumed:

    ```{cost} SimCLR
    :images: 60_000 1_000_000_000
    :devices: 1 64
    :epochs: 100
    :batch: 4096
    :projections: 64
    :efficiency: 0.9
    :price: 2
    :size: 20_000
    :mean-time: 10_000
    ```

`sslkit.scale` explains the numbers. An option that is missing or out of range, or a
method without a row, breaks the strict build with a sentence.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from provenance import duration
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective

from sslkit import scale

Row = Mapping[str, Any]

FILE = "data/throughput.json"
NOTHING = "No speed has been recorded yet."
NUMBERS = {
    "images": int,
    "devices": int,
    "epochs": int,
    "batch": int,
    "projections": int,
    "efficiency": float,
    "price": float,
    "size": float,
    "mean-time": float,
}
"""Options of `cost`, all needed; the first two may have several numbers."""
SEVERAL = "images", "devices"
UNITS = {1e15: "PB", 1e12: "TB", 1e9: "GB", 1e6: "MB", 1e3: "kB"}


def read_rows(env: BuildEnvironment) -> list[Row]:
    """Read what was measured; the page is rendered anew when it changes."""
    path = Path(env.srcdir) / FILE
    env.note_dependency(str(path))
    return json.loads(path.read_text("utf-8")) if path.exists() else []


def setting(row: Row) -> str:
    """Name precision and compiler of a row."""
    return row["precision"] + (", XLA" if row["xla"] else "")


def shape(row: Row) -> str:
    """Write height, width and channels of a row's images."""
    return "\N{NO-BREAK SPACE}x\N{NO-BREAK SPACE}".join(map(str, row["shape"]))


def throughput(rows: Sequence[Row]) -> str:
    """Write rows as a Markdown table, devices together, the fastest first in each."""
    order: dict[str, float] = {}
    for row in rows:
        order[row["device"]] = max(order.get(row["device"], 0), row["images_per_s"])
    lines = [
        "| device | method | images | parameters | precision | images per second "
        "| peak memory, MB | time to 98 % | measured |",
        "|:---|:---|:---|---:|:---|---:|---:|---:|:---|",
    ]
    for row in sorted(
        rows,
        key=lambda row: (-order[row["device"]], row["device"], row["method"]),
    ):
        reached = row["to_98_s"]
        versions = row["versions"]
        cells = [
            row["device"],
            row["method"],
            shape(row),
            f"{row['parameters']:,}",
            setting(row),
            f"{row['images_per_s']:,.0f}",
            f"{row['memory_mb']:,}",
            "" if reached is None else duration(reached),
            f"{row['date']}, TensorFlow {versions['tensorflow']}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def fastest(rows: Sequence[Row], method: str) -> Row:
    """Row of a method with the most images per second, of those without XLA.

    TensorFlow cannot compile a step in which several devices exchange numbers.
    """
    alone = [row for row in rows if not row["xla"]]
    found = [row for row in alone if row["method"] == method]
    if not found:
        known = "; ".join(sorted({row["method"] for row in alone}))
        raise ValueError(f"no row of {FILE} has the method {method!r}: name {known}.")
    return max(found, key=lambda row: row["images_per_s"])


def amount(number: float) -> str:
    """Write bytes in the unit that leaves one to three digits before the point."""
    for size, unit in UNITS.items():
        if number >= size:
            value = number / size
            return f"{value:.{1 if value < 10 else 0}f} {unit}"
    return f"{number:.0f} B"


def time(hours: float) -> str:
    """Write hours as one says them, in days where there are many."""
    if hours >= 72:
        return f"{hours / 24:,.0f} days" if hours >= 240 else f"{hours / 24:.1f} days"
    return f"{hours:.1f} h" if hours >= 1 else duration(3600 * hours)


def table(row: Row, options: Mapping[str, Any]) -> str:
    """Write costs as a Markdown table, and the assumptions above it.

    Args:
        row: What was measured.
        options: Values of `NUMBERS`, lists for those of `SEVERAL`.

    Raises:
        ValueError: If a value is out of range.
    """
    gathered = 2 * options["batch"] * options["projections"]
    lines = [
        f"Measured: {row['images_per_s']:,.0f} images per second with "
        f"{row['method']} ({setting(row)}, {row['parameters']:,} parameters, images of "
        f"{shape(row)}) on one device: {row['device']}. "
        f"Assumed: {options['epochs']:,} epochs; several devices reach "
        f"{100 * options['efficiency']:g} % of their speed; a device costs "
        f"{options['price']:g} an hour, in whatever currency, and fails once in "
        f"{options['mean-time']:,.0f} hours; an image takes "
        f"{amount(options['size'])} on disk; a checkpoint every ten minutes; "
        f"{options['batch']:,} images per step on all devices together, with "
        f"projections of {options['projections']:,} numbers; a tenth of a step's "
        "time may go to sending.",
        "",
        "| images | devices | time | device hours | price | images on disk | to be "
        "read, per second | sent, per step | network, per second | failures "
        "| time lost to them |",
        f"|{'---:|' * 11}",
    ]
    for images in options["images"]:
        for devices in options["devices"]:
            found = scale.cost(
                images,
                options["epochs"],
                row["images_per_s"],
                devices,
                options["efficiency"],
                options["price"],
                options["size"],
                options["mean-time"],
            )
            sent = scale.traffic(row["parameters"], devices, gathered)
            network = scale.network(
                row["parameters"],
                devices,
                row["images_per_s"],
                options["batch"],
                gathered,
            )
            cells = [
                f"{images:,}",
                f"{devices:,}",
                time(found.hours),
                f"{found.device_hours:,.{0 if found.device_hours >= 10 else 1}f}",
                f"{found.price:,.{0 if found.price >= 10 else 1}f}",
                amount(found.storage),
                amount(found.bandwidth),
                amount(sent) if sent else "nothing",
                amount(network) if sent else "nothing",
                f"{found.failures:.2g}",
                time(found.lost_hours),
            ]
            text = (cell.replace(" ", "\N{NO-BREAK SPACE}") for cell in cells)
            lines.append(f"| {' | '.join(text)} |")
    return "\n".join(lines)


def parse(options: Mapping[str, str]) -> dict[str, Any]:
    """Turn the text of options into numbers.

    Raises:
        ValueError: If an option is missing or is no number.
    """
    found: dict[str, Any] = {}
    for name, kind in NUMBERS.items():
        text = options.get(name) or ""
        try:
            numbers = [kind(word) for word in text.split()]
        except ValueError:
            numbers = []
        if not numbers or (len(numbers) > 1 and name not in SEVERAL):
            several = " or several" if name in SEVERAL else ""
            raise ValueError(
                f"the option {name!r} must be a number{several}, got {text!r}."
            )
        found[name] = numbers if name in SEVERAL else numbers[0]
    return found


class Throughput(SphinxDirective):
    """The table of what was measured."""

    def run(self) -> list[nodes.Node]:
        """Return the table, or a sentence where nothing was measured."""
        rows = read_rows(self.env)
        if not rows:
            return [nodes.paragraph("", NOTHING)]
        made = nodes.container(classes=["comparison"])
        made += self.parse_text_to_nodes(throughput(rows))
        return [made]


class Cost(SphinxDirective):
    """What a training takes; the argument is a method, as in the other table."""

    required_arguments = 1
    final_argument_whitespace = True
    option_spec: ClassVar = dict.fromkeys(NUMBERS, directives.unchanged)

    def run(self) -> list[nodes.Node]:
        """Return assumptions and table, or a sentence if nothing was measured."""
        rows = read_rows(self.env)
        if not rows:
            return [nodes.paragraph("", NOTHING)]
        try:
            text = table(fastest(rows, self.arguments[0]), parse(self.options))
        except ValueError as error:
            raise self.error(str(error)) from error
        assumed, _, costs = text.partition("\n\n")
        made = nodes.container(classes=["comparison"])
        made += self.parse_text_to_nodes(costs)
        return [*self.parse_text_to_nodes(assumed), made]


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("throughput", Throughput)
    app.add_directive("cost", Cost)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
