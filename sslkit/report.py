"""One page about a run: curves, neighbours, a map, and what probes found.

Page *Your own images*. The page is one HTML file that asks for nothing else, so that
it can be mailed. Nothing is trained here.
"""

import base64
import html
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

from sslkit import plot, pretrain, recipes, resume
from sslkit.data import unit_interval
from sslkit.images import Source, shrink

QUERIES, NEIGHBOURS, MAPPED = 8, 7, 1000
SMALL = 4096
"""Numbers that a picture on the map may have, see `sslkit.images.shrink`."""
REPORT = "report.html"
STYLE = """
:root { color-scheme: light dark; }
body { font: 17px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 46rem;
  padding: 0 1rem; }
h1, h2 { line-height: 1.2; }
h2 { margin-top: 2.5rem; }
img { background: #fff; border-radius: 6px; height: auto; max-width: 100%; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; }
th, td { border-bottom: 1px solid #8886; padding: 0.3rem 0.8rem 0.3rem 0;
  text-align: left; vertical-align: top; }
td { font-variant-numeric: tabular-nums; white-space: nowrap; }
"""


def write(run: str | Path) -> Path:
    """Write the report of a run.

    Args:
        run: Folder of a run that has come to its end and whose pictures were embedded.

    Returns:
        Path of the page.

    Raises:
        ValueError: If there are no features yet, or they are not those of the
            pictures of the run.
    """
    run = Path(run)
    settings = pretrain.settings_of(run)
    if not (run / pretrain.FEATURES).exists():
        raise ValueError(f"{run} has no {pretrain.FEATURES} yet: embed its pictures.")
    with np.load(run / pretrain.FEATURES) as file:
        h, names, skipped = file["h"], file["names"], file["skipped"]
        fingerprint = str(file["pictures"])
    source = settings.open(run / "scratch")
    if fingerprint != source.fingerprint():
        raise ValueError(
            f"{pretrain.FEATURES} in {run} is of other pictures than the run's, or "
            "they have changed since: embed those first."
        )
    pictures = Pictures(source, names)
    model = settings.build(source.shape)
    chance = recipes.chance(model, settings.batch) if settings.batch else None
    parts = [
        f"<h1>{html.escape(settings.method)} on {len(h):,} pictures</h1>",
        *_curves(pretrain.history(run), chance),
        *_neighbours(h, pictures),
        *_map(h, pictures),
        *_probes(run),
        *_settings(run),
        *_skipped(skipped),
    ]
    path = run / REPORT
    title = html.escape(f"{settings.method}, {run.resolve().name}")
    page = (
        '<!DOCTYPE html>\n<html lang="en-GB">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n"
        f"<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(parts)
        + "\n</main>\n</body>\n</html>\n"
    )
    with resume.atomic(path) as file:
        # Names that are not text in any encoding have question marks.
        file.write(page.encode("utf-8", "replace"))
    return path


class Pictures:
    """Pictures by the row of their features.

    Args:
        source: The pictures.
        names: Their names by row.
    """

    def __init__(self, source: Source, names: NDArray[Any]) -> None:
        """Find each name's number; see the class for the arguments."""
        self.source = source
        numbers = {name: i for i, name in enumerate(source.names)}
        self.numbers = [numbers[str(name)] for name in names]

    def read(self, rows: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Read the pictures of some rows, `[n, height, width, 3]` if coloured."""
        return self.source.batch(np.array([self.numbers[row] for row in rows]))


def _curves(rows: list[dict[str, float]], chance: float | None) -> Iterator[str]:
    yield "<h2>Training</h2>"
    meters = "epoch", "step", "std", "rank"
    losses = [name for name in rows[-1] if name not in meters]
    epochs = [row["epoch"] for row in rows]
    for name in losses:
        # Before training there is no loss to show.
        values = [row[name] for row in rows[1:]]
        levels = {}
        if name == "loss" and chance is not None:
            levels["if all features were equal"] = chance
        figure = plot.curves({name: values}, "epoch", name, x=epochs[1:], levels=levels)
        yield _figure(
            figure,
            f"Line: {name} over epochs, from {values[0]:.3g} to {values[-1]:.3g}.",
            f"{name.capitalize()} of the training pictures, mean of each epoch.",
        )
    for name, words in (("std", "Spread"), ("rank", "Effective rank")):
        values = [row[name] for row in rows]
        figure = plot.curves({name: values}, "epoch", words.lower(), x=epochs)
        yield _figure(
            figure,
            f"Line: {words.lower()} of features over epochs, from {values[0]:.3g} to "
            f"{values[-1]:.3g}.",
            f"{words} of the features of {pretrain.WATCHED} pictures or fewer. Near "
            "zero, all pictures have nearly one feature: they have collapsed.",
        )


def _neighbours(h: NDArray[np.float32], pictures: Pictures) -> Iterator[str]:
    yield "<h2>Nearest neighbours</h2>"
    count = min(NEIGHBOURS, len(h) - 1)
    if count < 1:
        yield "<p>There is only one picture.</p>"
        return
    queries = np.unique(np.linspace(0, len(h) - 1, QUERIES).astype(int))
    index = NearestNeighbors(n_neighbors=count + 1, metric="cosine").fit(h)
    near = index.kneighbors(h[queries], return_distance=False)
    rows = {}
    for line, (query, found) in enumerate(zip(queries, near, strict=True), 1):
        others = [row for row in found if row != query][:count]
        rows[f"{line}"] = unit_interval(pictures.read(np.array([query, *others])))
    yield _figure(
        plot.image_rows(rows),
        f"{len(rows)} rows of pictures: one and the {count} most alike by features.",
        f"Left, {len(rows)} pictures spread over the collection; after each, the "
        f"{count} whose features point most nearly the same way.",
    )


def _map(h: NDArray[np.float32], pictures: Pictures) -> Iterator[str]:
    yield "<h2>Map</h2>"
    rows = np.unique(np.linspace(0, len(h) - 1, min(MAPPED, len(h))).astype(int))
    if len(rows) < 10:
        yield "<p>There are too few pictures for a map.</p>"
        return
    # Of vectors of unit length, those are close whose directions are.
    some = normalize(h[rows])
    if not np.ptp(some, axis=0).any():
        yield "<p>All features are the same: there is nothing to map.</p>"
        return
    some = PCA(min(50, *some.shape), random_state=0).fit_transform(some)
    # From a line, t-SNE would never leave it: features of one direction need the noise.
    start = np.random.default_rng(0).normal(0, 0.01, (len(rows), 2))
    start[:, : some.shape[1]] += some[:, :2] / some[:, 0].std()
    settings = {"perplexity": min(30, len(rows) / 4), "random_state": 0}
    places = TSNE(init=1e-4 * start, **settings).fit_transform(some)
    small = unit_interval(shrink(pictures.read(rows), SMALL))
    yield _figure(
        plot.picture_map(places, small),
        f"Map: {len(rows)} small pictures, alike ones by features side by side.",
        f"{len(rows)} pictures, placed by t-SNE so that neighbours by features stay "
        "neighbours. Distances between groups and the size of a group mean nothing.",
    )


def _probes(run: Path) -> Iterator[str]:
    if not (run / pretrain.PROBE).exists():
        return
    scores = json.loads((run / pretrain.PROBE).read_text())
    columns = list(next(iter(scores.values())))
    named = {"knn": "nearest neighbours", "linear": "linear, all labels"}
    heads = [
        named.get(name) or f"linear, {name.removeprefix('shot')} a class"
        for name in columns
    ]
    yield "<h2>Probes</h2>"
    yield (
        "<p>Accuracy in per cent on the sixth of the labelled pictures that was held "
        "out; with few labels, mean and standard deviation over draws of them.</p>"
    )
    yield _table(
        ["features", *heads],
        [
            [name, *(_score(score[column]) for column in columns)]
            for name, score in scores.items()
        ],
    )


def _settings(run: Path) -> Iterator[str]:
    stored = json.loads((run / pretrain.RUN).read_text())
    rows = {"pictures": stored["pictures"], "shape": stored["shape"]}
    yield "<h2>Settings</h2>"
    yield _table(
        ["setting", "value"],
        [[name, str(value)] for name, value in {**stored["settings"], **rows}.items()],
    )


def _skipped(names: NDArray[Any]) -> Iterator[str]:
    if len(names):
        yield f"<h2>Unreadable pictures</h2>\n<p>{len(names)} were skipped:</p>"
        items = "".join(f"<li>{html.escape(str(name))}</li>" for name in names[:50])
        yield f"<ul>{items}</ul>"


def _score(value: Any) -> str:
    if isinstance(value, dict):
        return f"{100 * value['mean']:.1f} ± {100 * value['sd']:.1f}"
    return f"{100 * value:.1f}"


def _table(heads: list[str], rows: list[list[str]]) -> str:
    head = "".join(f'<th scope="col">{html.escape(each)}</th>' for each in heads)
    body = "".join(
        f'<tr><th scope="row">{html.escape(first)}</th>'
        + "".join(f"<td>{html.escape(each)}</td>" for each in rest)
        + "</tr>"
        for first, *rest in rows
    )
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _figure(figure: Figure, alt: str, caption: str) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=plot.DPI, facecolor="white")
    png = base64.b64encode(buffer.getvalue()).decode("ascii")
    width = round(96 * figure.get_figwidth())
    return (
        f'<figure><img src="data:image/png;base64,{png}" width="{width}" '
        f'alt="{html.escape(alt)}"><figcaption>{html.escape(caption)}</figcaption>'
        "</figure>"
    )
