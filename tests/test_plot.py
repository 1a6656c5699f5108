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


def test_label_gaps_are_differences_in_points_around_zero():
    gaps = {"frozen": {1: Spread(0.2, 0.05, 3), 1000: Spread(-0.01, 0.002, 2)}}
    (axes,) = plot.label_gaps(gaps, "from scratch").axes
    bar = axes.containers[0]
    np.testing.assert_allclose(np.array(bar.lines[0].get_ydata(), float), [20, -1])
    segments = bar.lines[2][0].get_segments()
    np.testing.assert_allclose(np.array(segments[1], float)[:, 1], [-1.2, -0.8])
    assert "points" in axes.get_ylabel()
    zero = [line for line in axes.lines if line.get_label() == "from scratch"]
    assert set(zero[0].get_ydata()) == {0}
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "1000"]


def test_histograms_count_every_number_and_shade_an_interval():
    values = {"a": np.array([0.1, 0.1, 0.9]), "b": np.array([[2.0], [2.0]])}
    figure = plot.histograms(
        values, "value", bins=[0, 0.5, 1, 3], shade={"unit": (0, 1)}
    )
    first, second = figure.axes
    assert [p.get_height() for p in first.patches[:3]] == [2, 1, 0]
    assert [p.get_height() for p in second.patches[:3]] == [0, 0, 2]
    assert second.get_xlabel() == "value" and first.get_ylabel() == "pixels"


# Figures of the part Algorithms


def test_live_replaces_the_figure_shown_before(monkeypatch):
    calls = []

    class Handle:
        def update(self, *args, **options):
            calls.append(("update", args, options))

    def display(*args, **options):
        calls.append(("display", args, options))
        return Handle()

    monkeypatch.setattr(plot, "display", display)
    live = plot.Live("A digit that grows clearer with every epoch.")
    assert calls == []
    for height in (2, 3, 4):
        live.draw(plot.curves({"a": [1, height]}, "x", "y"))
    assert [name for name, _, _ in calls] == ["display", "update", "update"]
    assert calls[0][2]["display_id"] is True
    pictures = {args[0]["image/png"] for _, args, _ in calls}
    assert len(pictures) == 3
    for _, _, options in calls:
        assert options["raw"] and options["metadata"]["image/png"]["alt"] == live.alt


def test_live_refuses_an_alternative_that_says_nothing():
    with pytest.raises(ValueError, match="alt must describe"):
        plot.Live("a digit").draw(Figure())


def test_image_grid_puts_each_image_in_its_place():
    images = np.arange(6).reshape(2, 3, 1, 1) / 10 + np.zeros((2, 3, 4, 5))
    images[0, 2, 1, 3] = 1  # second line, fourth column of the image at top right
    (axes,) = plot.image_grid(images, "angle", "style").axes
    mosaic = axes.images[0].get_array()
    assert mosaic.shape == (8, 15) and axes.images[0].get_clim() == (0, 1)
    assert mosaic[1, 13] == 1 and mosaic[7, 0] == 0.3 and mosaic[4, 14] == 0.5
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("angle", "style")
    assert len(axes.get_xticks()) == len(axes.get_yticks()) == 0


def test_image_grid_has_ticks_where_positions_mean_something():
    images = np.zeros((2, 2, 28, 28))
    (axes,) = plot.image_grid(images, "$z_1$", "$z_2$", extent=(-3, 3, -2, 2)).axes
    assert axes.images[0].get_extent() == [-3, 3, -2, 2]
    assert axes.get_xlim() == (-3, 3) and len(axes.get_xticks()) > 1


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((4, 28, 28)), r"images must have shape \[rows, columns"),
        (np.full((1, 1, 28, 28), 255.0), r"images must lie in \[0, 1\]"),
        (np.full((1, 1, 28, 28), -0.5), r"images must lie in \[0, 1\]"),
    ],
)
def test_image_grid_refuses_what_would_be_shown_wrongly(images, message):
    with pytest.raises(ValueError, match=message):
        plot.image_grid(images)


def test_code_maps_draw_every_code_as_its_digit():
    codes = np.array([[0.0, 1.0], [2.0, 3.0], [-1.0, -2.0]])
    panels = {"AE": (codes, [7, 1, 7]), "VAE": (2 * codes, np.array([0, 0, 0]))}
    figure = plot.code_maps(panels, limit=4, rings=[1, 2])
    first, second = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["AE", "VAE"]
    ones, sevens = first.collections  # in the order of the digits
    np.testing.assert_array_equal(ones.get_offsets(), codes[[1]])
    np.testing.assert_array_equal(sevens.get_offsets(), codes[[0, 2]])
    assert not np.array_equal(ones.get_facecolor(), sevens.get_facecolor())
    np.testing.assert_array_equal(second.collections[0].get_offsets(), 2 * codes)
    assert first.get_xlim() == first.get_ylim() == (-4, 4)
    for ring, radius in zip(first.lines, (1, 2), strict=True):
        np.testing.assert_allclose(np.hypot(*ring.get_data()), radius)
    assert (first.get_xlabel(), first.get_ylabel()) == ("$z_1$", "$z_2$")


def test_code_maps_choose_their_limits_by_panel():
    codes = np.array([[0.0, 1.0], [2.0, 3.0]])
    panels = {"a": (codes, [1, 2]), "b": (100 * codes, [1, 2])}
    first, second = plot.code_maps(panels).axes
    assert first.get_xlim()[1] < 10 < second.get_xlim()[1]
    assert len(first.lines) == 0


def test_landscapes_put_points_over_surfaces_on_one_colour_scale():
    x, y = np.linspace(-1, 1, 4), np.linspace(-1, 1, 3)
    heights = np.arange(12.0).reshape(3, 4)
    points = {"data": np.array([[0.0, 1.0], [2.0, -1.0]]), "samples": np.zeros((1, 2))}
    figure = plot.landscapes(
        {name: points for name in ("step 0", "step 1", "step 2", "step 3")},
        surfaces={"step 0": (x, y, heights), "step 3": (x, y, -heights)},
        surface_label="score",
        xlabel="across",
        ylabel="up",
        limit=2.5,
    )
    *panels, bar = figure.axes
    assert bar.get_ylabel() == "score"
    shown = [axes for axes in panels if axes.get_visible()]
    assert [axes.get_title() for axes in shown] == [f"step {i}" for i in range(4)]
    assert (
        len(panels) == 6 and [axes.get_ylabel() for axes in panels[::3]] == ["up"] * 2
    )
    for i in (0, 3):
        (mesh,) = shown[i].collections
        assert mesh.get_clim() == (-11, 11)
    assert len(shown[1].collections) == 0
    data, samples = shown[2].lines
    np.testing.assert_array_equal(np.transpose(data.get_data()), points["data"])
    assert data.get_marker() != samples.get_marker()
    assert shown[0].get_xlim() == shown[0].get_ylim() == (-2.5, 2.5)
    # The lowest panel of each column says what its axis is.
    assert [axes.get_xlabel() for axes in shown] == ["", "across", "across", "across"]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["data", "samples"]


def test_landscapes_without_surfaces_have_no_colour_bar():
    figure = plot.landscapes({"now": {"data": np.zeros((2, 2))}})
    (axes,) = figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("$x_1$", "$x_2$")


def test_sounds_share_a_scale_and_name_frequencies():
    wave = np.array([0.0, 0.5, -0.5, 0.0])
    loud, quiet = np.array([[-10.0, -20.0], [0.0, -90.0]]), np.full((2, 2), -30.0)
    panels = {"one": (wave, loud), "two": (wave / 2, quiet)}
    figure = plot.sounds(panels, rate=2, hertz=[101.0, 1204.0])
    first, second, left, right, bar = figure.axes
    assert (first.get_title(), second.get_title()) == ("one", "two")
    np.testing.assert_array_equal(first.lines[0].get_xdata(), [0, 0.5, 1, 1.5])
    np.testing.assert_array_equal(second.lines[0].get_ydata(), wave / 2)
    for axes, sound in ((left, loud), (right, quiet)):
        (mesh,) = axes.images
        np.testing.assert_array_equal(mesh.get_array(), sound.T)
        assert mesh.get_clim() == (-60, 0) and mesh.origin == "lower"
        assert mesh.get_extent()[:2] == [0, 2.0] or mesh.get_extent()[:2] == (0, 2.0)
    labels = {text.get_text() for text in left.get_yticklabels()}
    assert labels == {"100", "1200"}
    assert (left.get_xlabel(), left.get_ylabel()) == ("time (s)", "frequency (Hz)")
    assert bar.get_ylabel() == "power (dB)"


def test_groups_have_one_marker_for_each_method():
    scores = {"raw": {"ann": 0.5, "bob": 0.75}, "net": {"ann": 0.9, "bob": 1.0}}
    (axes,) = plot.by_group(scores, "speaker", chance=0.1).axes
    raw, net, guess = axes.lines
    np.testing.assert_allclose(raw.get_ydata(), [50, 75])
    np.testing.assert_allclose(net.get_ydata(), [90, 100])
    assert raw.get_marker() != net.get_marker() and raw.get_linestyle() == "None"
    np.testing.assert_allclose((raw.get_xdata() + net.get_xdata()) / 2, [0, 1])
    np.testing.assert_allclose(guess.get_ydata(), 10)
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["ann", "bob"]
    assert axes.get_xlabel() == "speaker" and axes.get_ylim() == (0, 103)
