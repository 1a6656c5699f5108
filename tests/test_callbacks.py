import numpy as np
import pytest

from sslkit import plot
from sslkit.autoencoder import dense_autoencoder
from sslkit.callbacks import CollapseMeter, Filmstrip

ALT = "Two digits that grow clearer from row to row."


@pytest.fixture
def shown(monkeypatch):
    """The rows of every figure shown, in the place of `display`."""
    rows, draw = [], plot.Live.draw

    def record(self, figure):
        rows.append([axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()])
        draw(self, figure)

    class Handle:
        def update(self, *args, **options):
            pass

    monkeypatch.setattr(plot.Live, "draw", record)
    monkeypatch.setattr(plot, "display", lambda *args, **options: Handle())
    return rows


def test_the_filmstrip_grows_at_the_epochs_asked_for(shown):
    images = np.zeros((2, 28, 28), "float32")
    model = dense_autoencoder(2)
    model.compile(optimizer="adam", run_eagerly=True)
    drawn = []

    def draw():
        drawn.append(model.predict(images, verbose=0))
        return drawn[-1]

    strip = Filmstrip(draw, (0, 1, 3), ALT, above={"original": images})
    model.fit(images, epochs=4, verbose=0, callbacks=[strip])
    assert shown == [
        ["original", "epoch 0"],
        ["original", "epoch 0", "epoch 1"],
        ["original", "epoch 0", "epoch 1", "epoch 3"],
    ]
    # Each row was drawn at its own time.
    assert np.abs(drawn[1] - drawn[2]).max() > 0
    np.testing.assert_array_equal(strip.rows["epoch 0"], drawn[0])


def test_nothing_is_drawn_before_training_unless_asked_for(shown):
    strip = Filmstrip(lambda: np.zeros((1, 28, 28)), [2], ALT)
    strip.on_train_begin()
    strip.on_epoch_end(0)
    assert shown == []
    strip.on_epoch_end(1)
    assert shown == [["epoch 2"]]


def test_images_above_are_not_changed_by_the_strip(shown):
    above = {"original": np.zeros((1, 28, 28))}
    Filmstrip(lambda: np.zeros((1, 28, 28)), [0], ALT, above).on_train_begin()
    assert list(above) == ["original"]


def test_a_filmstrip_without_epochs_is_refused():
    with pytest.raises(ValueError, match="epochs is empty"):
        Filmstrip(lambda: np.zeros((1, 28, 28)), [], ALT)


def encoder_of(columns):
    """An encoder that returns the first pixels, a column of zeros for the others."""

    def encode(images):
        h = np.asarray(images).reshape(len(images), -1)[:, :4].copy()
        h[:, columns:] = 0
        return h

    return encode


def fit_one_epoch(meter):
    model = dense_autoencoder(2)
    model.compile(optimizer="adam", run_eagerly=True)
    images = np.zeros((2, 28, 28), "float32")
    return model.fit(images, epochs=1, verbose=0, callbacks=[meter])


def test_collapse_meter_tells_a_point_a_line_and_a_sphere(capsys):
    rng = np.random.default_rng(0)
    images = rng.integers(1, 256, (500, 28, 28)).astype("uint8")
    rows = {}
    for columns in (0, 1, 4):
        meter = CollapseMeter(encoder_of(columns), images, chance=1.5)
        logged = fit_one_epoch(meter).history
        rows[columns] = meter.history[-1]
        assert [row["epoch"] for row in meter.history] == [0, 1]
        assert logged["std"] == [rows[columns]["std"]]
    assert rows[0]["std"] == rows[0]["rank"] == 0
    assert rows[1]["std"] == 0 and rows[1]["rank"] == pytest.approx(1)
    assert rows[4]["std"] > 0.1 and rows[4]["rank"] > 2
    assert f"loss {rows[4]['loss']:.3f} (chance 1.500)" in capsys.readouterr().out


def test_collapse_meter_says_nothing_without_a_chance_value(capsys):
    images = np.full((3, 28, 28), 9, "uint8")
    fit_one_epoch(CollapseMeter(encoder_of(4), images))
    assert capsys.readouterr().out == ""
