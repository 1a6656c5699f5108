"""Figures. Nothing is computed here: what is drawn comes in as arrays and numbers.

Each function returns a Matplotlib figure; `show` displays it with the text that a
screen reader speaks. Line colours come from a palette that colour-blind readers can
tell apart (Okabe & Ito 2008), and every line has a marker of its own besides.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from cycler import cycler
from IPython.display import display
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator
from numpy.typing import ArrayLike

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.prop_cycle": cycler(color=COLOURS) + cycler(marker=MARKERS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.use": True,
    "font.size": 10.0,
    "grid.color": "#dddddd",
    "legend.edgecolor": "none",
    "legend.framealpha": 0.85,
    "lines.markersize": 4.0,
}
"""Matplotlib settings of the book's figures."""

WIDTH = 7.0
"""Width of a figure in inches: that of a column of text."""

DPI = 150
"""Pixels per inch of a stored picture."""


def show(figure: Figure, alt: str) -> None:
    """Display a figure as a picture with a text alternative, and close it.

    Args:
        figure: What to display.
        alt: What the figure shows, in a sentence or two, for those who do not see
            it: the kind of figure, its axes, and what is to be noticed.

    Raises:
        ValueError: If `alt` is empty or too short to say anything.
    """
    bundle, metadata = _bundle(figure, alt)
    display(bundle, metadata=metadata, raw=True)


class Live:
    """A place in a notebook where one figure takes the place of the one before.

    Args:
        alt: What the last figure shows, as for `show`.
    """

    def __init__(self, alt: str) -> None:
        """Take the text alternative; nothing is shown yet."""
        self.alt = alt
        self.handle: Any = None

    def draw(self, figure: Figure) -> None:
        """Show a figure instead of the last one."""
        bundle, metadata = _bundle(figure, self.alt)
        if self.handle is None:
            self.handle = display(bundle, metadata=metadata, raw=True, display_id=True)
        else:
            self.handle.update(bundle, metadata=metadata, raw=True)


def _bundle(figure: Figure, alt: str) -> tuple[dict[str, str], dict[str, Any]]:
    if len(alt.split()) < 5:
        raise ValueError(f"alt must describe the figure in a sentence, got {alt!r}.")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, facecolor="white")
    # Shown at 96 pixels an inch, so that it is sharp on screens of high density.
    shown = {"alt": alt, "width": round(96 * figure.get_figwidth())}
    png = base64.b64encode(buffer.getvalue()).decode("ascii")
    # Whatever cannot show a picture falls back to the text.
    bundle = {"image/png": png, "text/plain": f"Figure: {alt}"}
    return bundle, {"image/png": shown}


@matplotlib.rc_context(STYLE)
def image_rows(rows: Mapping[str, ArrayLike]) -> Figure:
    """Rows of images, one name a row.

    Args:
        rows: Images `[n, 28, 28]` in [0, 1] by the name of their row, the same n in
            each. Grey levels are fixed to 0 to 1, so that rows can be compared.

    Returns:
        The figure.

    Raises:
        ValueError: If the rows differ in length or a value lies outside [0, 1] by
            more than rounding. (Matplotlib would rescale it without a word.)
    """
    arrays = {name: np.asarray(images) for name, images in rows.items()}
    lengths = {len(images) for images in arrays.values()}
    if len(lengths) != 1:
        raise ValueError(f"rows must hold equally many images, got {sorted(lengths)}.")
    for name, images in arrays.items():
        if images.min() < -1e-3 or images.max() > 1 + 1e-3:
            raise ValueError(
                f"row {name!r} must lie in [0, 1], got {images.min():.3g} to "
                f"{images.max():.3g}: undo the scaling, or clip and say so."
            )
    n = lengths.pop()
    cell = min(0.66, (WIDTH - 1.3) / n)
    figure = Figure(figsize=(1.3 + cell * n, 0.08 + (cell + 0.04) * len(arrays)))
    grid = figure.subplots(len(arrays), n, squeeze=False)
    for line, (name, images) in zip(grid, arrays.items(), strict=True):
        # Few pixels are shown as they are: smoothed, they take twice the bytes.
        large = cell * DPI >= 2 * max(images.shape[1:3])
        for axes, image in zip(line, images, strict=True):
            smooth = "nearest" if large else "antialiased"
            axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation=smooth)
            axes.grid(False)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center")
    return figure


@matplotlib.rc_context(STYLE)
def curves(
    lines: Mapping[str, ArrayLike],
    xlabel: str,
    ylabel: str,
    x: ArrayLike | None = None,
    log: str = "",
    levels: Mapping[str, float] | None = None,
) -> Figure:
    """Curves over a common horizontal axis.

    Args:
        lines: Values by name, each as long as `x`.
        xlabel: Label of the horizontal axis.
        ylabel: Label of the vertical axis, with its unit.
        x: Horizontal positions; 1, 2, 3, … when left out, as for epochs.
        log: Which axes are logarithmic: `""`, `"x"`, `"y"` or `"xy"`.
        levels: Horizontal dashed lines by name, such as a baseline.

    Returns:
        The figure.
    """
    figure = Figure(figsize=(WIDTH, 3.2))
    axes = figure.subplots()
    for name, values in lines.items():
        values = np.asarray(values)
        positions = np.arange(1, len(values) + 1) if x is None else np.asarray(x)
        axes.plot(positions, values, label=name, markevery=max(1, len(values) // 10))
    for i, (name, level) in enumerate((levels or {}).items()):
        style = ("--", "-.", ":")[i % 3]
        axes.axhline(level, color="#555555", linestyle=style, label=name, marker="")
    axes.set(xlabel=xlabel, ylabel=ylabel)
    for name in log:
        axes.set(**{f"{name}scale": "log"})
        axis = getattr(axes, f"{name}axis")
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())
    axes.legend()
    return figure


@matplotlib.rc_context(STYLE)
def label_curves(
    scores: Mapping[str, Mapping[int, Any]], chance: float = 0.1
) -> Figure:
    """Accuracy against labels per class: the label-efficiency figure.

    Args:
        scores: By encoder, then by labels per class, a
            `sslkit.evaluate.Spread` (attributes `mean` and `sd`) of accuracies.
        chance: Accuracy of guessing, drawn as a dashed line.

    Returns:
        The figure, with one standard deviation as error bars.
    """
    figure = Figure(figsize=(WIDTH, 3.6))
    axes = figure.subplots()
    _over_labels(axes, scores)
    axes.axhline(
        100 * chance, color="#555555", linestyle="--", label="chance", marker=""
    )
    axes.set(ylabel="test accuracy (%)", ylim=(0, 100))
    axes.legend(ncols=2, loc="best")
    return figure


@matplotlib.rc_context(STYLE)
def label_gaps(gaps: Mapping[str, Mapping[int, Any]], reference: str) -> Figure:
    """Difference in accuracy to a reference, against labels per class.

    Args:
        gaps: By encoder, then by labels per class, a `sslkit.evaluate.Spread`
            (attributes `mean` and `sd`) of accuracies minus those of the reference.
        reference: Name of the reference, drawn as a dashed line at zero.

    Returns:
        The figure, with one standard deviation as error bars, in percentage points.
    """
    figure = Figure(figsize=(WIDTH, 3.6))
    axes = figure.subplots()
    _over_labels(axes, gaps)
    axes.axhline(0, color="#555555", linestyle="--", label=reference, marker="")
    axes.set(ylabel="difference in accuracy (points)")
    axes.legend()
    return figure


def _over_labels(axes: Any, scores: Mapping[str, Mapping[int, Any]]) -> None:
    for i, (name, by_shots) in enumerate(scores.items()):
        # A small sideways shift keeps error bars of different encoders apart.
        shots = np.array(list(by_shots)) * (1 + 0.03 * (i - (len(scores) - 1) / 2))
        axes.errorbar(
            shots,
            [100 * score.mean for score in by_shots.values()],
            yerr=[100 * score.sd for score in by_shots.values()],
            label=name,
            capsize=3,
        )
    ticks = sorted({shots for by_shots in scores.values() for shots in by_shots})
    axes.set_xscale("log")
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("labels per class")


@matplotlib.rc_context(STYLE)
def histograms(
    values: Mapping[str, ArrayLike],
    xlabel: str,
    bins: Sequence[float] | int = 60,
    shade: Mapping[str, tuple[float, float]] | None = None,
) -> Figure:
    """Histograms of several sets of numbers, one above the other.

    Args:
        values: Numbers by name.
        xlabel: Label of the common horizontal axis.
        bins: Edges of the bins, or their number.
        shade: Intervals to shade by name, such as the range an output can reach.

    Returns:
        The figure, with a logarithmic count axis: rare values are often the point.
    """
    figure = Figure(figsize=(WIDTH, 1.7 * len(values) + 0.3))
    rows = figure.subplots(len(values), sharex=True, sharey=True, squeeze=False)[:, 0]
    for i, (axes, (name, numbers)) in enumerate(zip(rows, values.items(), strict=True)):
        axes.hist(np.ravel(numbers), bins=bins, color=COLOURS[i], log=True)
        for label, interval in (shade or {}).items():
            axes.axvspan(*interval, color="#009E73", alpha=0.2, label=label, lw=0)
            axes.legend(loc="upper right")
        axes.set(ylabel="pixels", title=name)
        axes.yaxis.set_minor_formatter(NullFormatter())
    rows[-1].set_xlabel(xlabel)
    return figure


@matplotlib.rc_context(STYLE)
def image_grid(
    images: ArrayLike,
    xlabel: str = "",
    ylabel: str = "",
    extent: tuple[float, float, float, float] | None = None,
) -> Figure:
    """Images side by side without gaps: samples, or a decoder over a grid of codes.

    Args:
        images: `[rows, columns, height, width]` in [0, 1].
        xlabel: What changes from left to right.
        ylabel: What changes from bottom to top.
        extent: Values at the left, right, bottom and top edge, for ticks; no ticks
            without.

    Returns:
        The figure.

    Raises:
        ValueError: If the array has another rank, or values outside [0, 1] by more
            than rounding.
    """
    images = np.asarray(images)
    if images.ndim != 4:
        raise ValueError(
            f"images must have shape [rows, columns, height, width], got "
            f"{images.shape}."
        )
    if images.min() < -1e-3 or images.max() > 1 + 1e-3:
        raise ValueError(
            f"images must lie in [0, 1], got {images.min():.3g} to "
            f"{images.max():.3g}: undo the scaling, or clip and say so."
        )
    rows, columns = images.shape[:2]
    mosaic = images.transpose(0, 2, 1, 3).reshape(
        rows * images.shape[2], columns * images.shape[3]
    )
    width = min(WIDTH, 0.45 * columns + 0.6)
    figure = Figure(figsize=(width, (width - 0.6) * rows / columns + 0.5))
    axes = figure.subplots()
    axes.imshow(mosaic, cmap="gray", vmin=0, vmax=1, extent=extent, aspect="auto")
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    if extent is None:
        axes.set(xticks=[], yticks=[])
    return figure


@matplotlib.rc_context(STYLE)
def picture_map(places: ArrayLike, images: ArrayLike, size: float = 0.28) -> Figure:
    """Small images at places in a plane, such as those that t-SNE finds.

    Args:
        places: `[n, 2]`, to the right and up. Their unit means nothing.
        images: `[n, height, width]` or `[n, height, width, 3]` in [0, 1].
        size: Side of an image in inches.

    Returns:
        The figure.

    Raises:
        ValueError: If there are not as many places as images.
    """
    places, images = np.asarray(places, float), np.asarray(images)
    if places.shape != (len(images), 2):
        raise ValueError(
            f"places must have shape [{len(images)}, 2], one for each image, got "
            f"{places.shape}."
        )
    low, high = places.min(axis=0), places.max(axis=0)
    figure = Figure(figsize=(WIDTH, WIDTH))
    axes = figure.subplots()
    half = size / WIDTH / 2
    for (x, y), image in zip((places - low) / (high - low), images, strict=True):
        box = (x - half, x + half, y - half, y + half)
        axes.imshow(image, cmap="gray", vmin=0, vmax=1, extent=box, aspect="equal")
    axes.set(xlim=(-half, 1 + half), ylim=(-half, 1 + half), xticks=[], yticks=[])
    axes.set(xlabel="first coordinate of the map", ylabel="second coordinate")
    axes.grid(False)
    return figure


@matplotlib.rc_context(STYLE)
def code_maps(
    panels: Mapping[str, tuple[ArrayLike, ArrayLike]],
    limit: float | None = None,
    rings: Sequence[float] = (),
) -> Figure:
    """Codes of two numbers, one panel beside the other, coloured by digit.

    Args:
        panels: Codes `[n, 2]` and digits `[n]` by title. Each point is drawn as its
            digit, so that colour is not needed to tell them apart.
        limit: Largest coordinate shown either way; chosen for each panel if left out.
        rings: Radii of dashed circles, such as 1 and 2 standard deviations of a prior.

    Returns:
        The figure.
    """
    figure = Figure(figsize=(WIDTH, WIDTH / len(panels) + 0.4))
    row = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (title, (codes, digits)) in zip(row, panels.items(), strict=True):
        codes, digits = np.asarray(codes), np.asarray(digits)
        for digit in np.unique(digits):
            x, y = codes[digits == digit].T
            colour = matplotlib.colormaps["tab10"](int(digit) % 10)
            axes.scatter(x, y, s=14, color=colour, marker=f"${digit}$", linewidths=0.2)
        for radius in rings:
            turn = np.linspace(0, 2 * np.pi, 100)
            circle = radius * np.cos(turn), radius * np.sin(turn)
            axes.plot(*circle, color="#000000", lw=0.8, ls="--", marker="")
        axes.set(title=title, xlabel="$z_1$", ylabel="$z_2$", aspect="equal")
        if limit is not None:
            axes.set(xlim=(-limit, limit), ylim=(-limit, limit))
    return figure


@matplotlib.rc_context(STYLE)
def landscapes(
    panels: Mapping[str, Mapping[str, ArrayLike]],
    surfaces: Mapping[str, tuple[ArrayLike, ArrayLike, ArrayLike]] | None = None,
    surface_label: str = "",
    xlabel: str = "$x_1$",
    ylabel: str = "$x_2$",
    limit: float = 3.0,
    columns: int = 3,
) -> Figure:
    """Points in the plane over a coloured surface, one panel a moment or a model.

    Args:
        panels: By title, sets of points `[n, 2]` by name.
        surfaces: By title, a grid `x [m]`, `y [k]` and values `[k, m]`, all panels on
            one colour scale.
        surface_label: What the colours mean.
        xlabel: Label of the horizontal axes.
        ylabel: Label of the vertical axes.
        limit: Largest coordinate shown either way.
        columns: Panels a row.

    Returns:
        The figure.
    """
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    bar = 0.8 * bool(surfaces)
    side = min(3.4, (WIDTH - bar) / columns)
    figure = Figure(figsize=(side * columns + bar, (side + 0.15) * rows + 0.6))
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    values = [np.asarray(z) for _, _, z in (surfaces or {}).values()]
    low, high = (
        (min(map(np.min, values)), max(map(np.max, values))) if values else (0, 1)
    )
    mesh = None
    for axes, (title, sets) in zip(grid.flat, panels.items(), strict=False):
        if surfaces and title in surfaces:
            mesh = axes.pcolormesh(
                *surfaces[title], cmap="cividis", vmin=low, vmax=high, shading="auto"
            )
        for i, (name, points) in enumerate(sets.items()):
            axes.plot(
                *np.asarray(points).T,
                ls="",
                marker=MARKERS[i],
                ms=2.5,
                alpha=0.7,
                color=("#FFFFFF", "#D55E00", "#009E73")[i] if surfaces else COLOURS[i],
                mec="#000000" if surfaces and i == 0 else None,
                mew=0.2,
                label=name,
            )
        axes.set(
            title=title, aspect="equal", xlim=(-limit, limit), ylim=(-limit, limit)
        )
        axes.grid(False)
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_visible(False)
    for axes in list(grid.flat)[: len(panels)][-columns:]:  # the lowest of each column
        axes.set_xlabel(xlabel)
        axes.tick_params(labelbottom=True)
    for axes in grid[:, 0]:
        axes.set_ylabel(ylabel)
    if mesh is not None:
        figure.colorbar(mesh, ax=grid, label=surface_label, shrink=0.8)
    handles, names = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names))
    return figure


@matplotlib.rc_context(STYLE)
def sounds(
    panels: Mapping[str, tuple[ArrayLike, ArrayLike]],
    rate: int,
    hertz: Sequence[float],
) -> Figure:
    """Waveforms above their spectrograms, one column a sound.

    Args:
        panels: By title, a waveform `[samples]` and its spectrogram in decibels
            `[frames, bands]`, over the same time. All spectrograms are on one colour
            scale, from the loudest value of all to 60 decibels below.
        rate: Samples per second.
        hertz: Centre of each band, for the labels of the frequency axis, `[bands]`.

    Returns:
        The figure.
    """
    figure = Figure(figsize=(WIDTH, 4.0))
    grid = figure.subplots(
        2, len(panels), squeeze=False, sharex=True, sharey="row", height_ratios=(1, 2)
    )
    top = max(np.max(sound) for _, sound in panels.values())
    ticks = np.linspace(0, len(hertz) - 1, 6).round().astype(int)
    mesh: Any = None
    for (upper, lower), (title, (wave, sound)) in zip(
        grid.T, panels.items(), strict=True
    ):
        wave, sound = np.asarray(wave), np.asarray(sound)
        seconds = len(wave) / rate
        upper.plot(np.arange(len(wave)) / rate, wave, lw=0.5, marker="")
        upper.set_title(title)
        mesh = lower.imshow(
            sound.T,
            origin="lower",
            aspect="auto",
            extent=(0, seconds, -0.5, len(hertz) - 0.5),
            cmap="magma",
            vmin=top - 60,
            vmax=top,
        )
        lower.grid(False)
        lower.set_xlabel("time (s)")
        lower.set_yticks(ticks, [f"{round(hertz[tick], -1):.0f}" for tick in ticks])
    grid[0, 0].set_ylabel("amplitude")
    grid[1, 0].set_ylabel("frequency (Hz)")
    figure.colorbar(mesh, ax=grid[1], label="power (dB)")
    return figure


@matplotlib.rc_context(STYLE)
def by_group(
    scores: Mapping[str, Mapping[str, float]], xlabel: str, chance: float = 0.1
) -> Figure:
    """Accuracy of several methods for each of several groups.

    Args:
        scores: By method, then by group, accuracies. All have the same groups.
        xlabel: What the groups are.
        chance: Accuracy of guessing, drawn as a dashed line.

    Returns:
        The figure, with a marker for each method and group.
    """
    figure = Figure(figsize=(WIDTH, 3.6))
    axes = figure.subplots()
    for i, (name, by_name) in enumerate(scores.items()):
        # A small sideways shift keeps markers of different methods apart.
        places = np.arange(len(by_name)) + 0.1 * (i - (len(scores) - 1) / 2)
        heights = [100 * value for value in by_name.values()]
        axes.plot(places, heights, linestyle="", markersize=6, label=name)
        axes.set_xticks(range(len(by_name)), list(by_name))
    axes.axhline(
        100 * chance, color="#555555", linestyle="--", label="chance", marker=""
    )
    axes.set(xlabel=xlabel, ylabel="accuracy (%)", ylim=(0, 103))
    axes.legend(ncols=2, loc="lower right")
    return figure
