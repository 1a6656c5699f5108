import numpy as np
import pytest

from sslkit import plot
from sslkit.autoencoder import dense_autoencoder
from sslkit.callbacks import Filmstrip

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
