import base64
import io

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

from sslkit import plot
from sslkit.evaluate import Spread


@pytest.fixture
def shown(monkeypatch):
    """What `display` was given."""
    calls = []
    monkeypatch.setattr(plot, "display", lambda *args, **kw: calls.append((args, kw)))
    return calls


def test_show_displays_a_picture_with_its_alternative(shown):
    alt = "A line that rises from one to three."
    plot.show(plot.curves({"loss": [1, 2, 3]}, "epoch", "loss"), alt)
    ((bundle,), options) = shown[0]
    png = base64.b64decode(bundle["image/png"])
    height, width, _ = matplotlib.image.imread(io.BytesIO(png)).shape
    meta = options["metadata"]["image/png"]
    assert alt == meta["alt"] and alt in bundle["text/plain"]
    assert meta["width"] == 96 * plot.WIDTH
    assert width == plot.DPI * plot.WIDTH and height > 100


@pytest.mark.parametrize("alt", ["", "a figure", "   "])
def test_show_refuses_an_alternative_that_says_nothing(alt):
    with pytest.raises(ValueError, match="alt must describe"):
        plot.show(Figure(), alt)


def test_image_rows_fix_the_grey_levels():
    dim = np.full((3, 28, 28), 0.25)
    figure = plot.image_rows({"dim": dim, "bright": 2 * dim})
    assert len(figure.axes) == 6
    for axes in figure.axes:
        assert axes.images[0].get_clim() == (0, 1)
    np.testing.assert_array_equal(figure.axes[4].images[0].get_array(), 2 * dim[0])
    assert [figure.axes[i].get_ylabel() for i in (0, 3)] == ["dim", "bright"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"a": np.zeros((2, 28, 28)), "b": np.zeros((3, 28, 28))}, "equally many"),
        ({"a": np.full((2, 28, 28), 255.0)}, r"row 'a' must lie in \[0, 1\]"),
        ({"a": np.full((2, 28, 28), -0.5)}, r"row 'a' must lie in \[0, 1\]"),
    ],
)
def test_image_rows_refuse_what_would_be_shown_wrongly(rows, message):
    with pytest.raises(ValueError, match=message):
        plot.image_rows(rows)


def test_curves_carry_labels_positions_and_levels():
    figure = plot.curves(
        {"train": [3, 2, 1], "val": [3, 2.5, 2]},
        "epoch",
        "error",
        log="y",
        levels={"PCA": 1.5},
    )
    (axes,) = figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "error")
    assert (axes.get_xscale(), axes.get_yscale()) == ("linear", "log")
    train, val, level = axes.lines
    np.testing.assert_array_equal(train.get_xdata(), [1, 2, 3])
    np.testing.assert_array_equal(val.get_ydata(), [3, 2.5, 2])
    assert set(level.get_ydata()) == {1.5}
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == ["train", "val", "PCA"]
    assert train.get_color() != val.get_color()
    assert train.get_marker() != val.get_marker()


def test_curves_take_their_own_positions():
    figure = plot.curves({"a": [1, 2]}, "x", "y", x=[10, 20])
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_xdata(), [10, 20])


def test_label_curves_draw_means_with_error_bars_in_per_cent():
    scores = {"pixels": {1: Spread(0.4, 0.05, 10), 10: Spread(0.8, 0.01, 10)}}
    (axes,) = plot.label_curves(scores).axes
    bar = axes.containers[0]
    np.testing.assert_allclose(np.array(bar.lines[0].get_ydata(), float), [40, 80])
    segments = bar.lines[2][0].get_segments()
    np.testing.assert_allclose(np.array(segments[0], float)[:, 1], [35, 45])
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "10"]


def test_histograms_count_every_number_and_shade_an_interval():
    values = {"a": np.array([0.1, 0.1, 0.9]), "b": np.array([[2.0], [2.0]])}
    figure = plot.histograms(
        values, "value", bins=[0, 0.5, 1, 3], shade={"unit": (0, 1)}
    )
    first, second = figure.axes
    assert [p.get_height() for p in first.patches[:3]] == [2, 1, 0]
    assert [p.get_height() for p in second.patches[:3]] == [0, 0, 2]
    assert second.get_xlabel() == "value" and first.get_ylabel() == "pixels"
