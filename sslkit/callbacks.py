"""What a notebook shows while a model is trained (part *Algorithms*)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike

from sslkit import plot


class Filmstrip(keras.callbacks.Callback):
    """Show what the model makes at chosen epochs, one row of images an epoch.

    The figure grows while `fit` runs and stays as it was at the end.

    Args:
        draw: Function without arguments that returns images `[n, 28, 28]` in [0, 1],
            such as `lambda: model.predict(x, verbose=0)`.
        epochs: After which epochs, counted from 1. 0 is before the first.
        alt: What the last figure shows, as for `sslkit.plot.show`.
        above: Rows to show above, by name, such as the originals.

    Raises:
        ValueError: If `epochs` is empty.
    """

    def __init__(
        self,
        draw: Callable[[], ArrayLike],
        epochs: Sequence[int],
        alt: str,
        above: Mapping[str, ArrayLike] | None = None,
    ) -> None:
        """Keep what to draw and when; see the class for the arguments."""
        super().__init__()
        if not epochs:
            raise ValueError("epochs is empty: say after which epochs to draw.")
        self.make = draw
        self.epochs = frozenset(epochs)
        self.rows = dict(above or {})
        self.live = plot.Live(alt)

    def on_train_begin(self, logs: Any = None) -> None:
        """Draw the untrained model, if epoch 0 is asked for."""
        self._draw(0)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Add a row, if this epoch is one of those asked for."""
        self._draw(epoch + 1)

    def _draw(self, epoch: int) -> None:
        if epoch in self.epochs:
            self.rows[f"epoch {epoch}"] = np.asarray(self.make())
            self.live.draw(plot.image_rows(self.rows))
