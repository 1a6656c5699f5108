"""What a notebook shows while a model is trained (part *Algorithms*)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike

from sslkit import evaluate, metrics, plot


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


class CollapseMeter(keras.callbacks.Callback):
    r"""Watch whether the features of an encoder collapse while a loss looks well.

    After each epoch, and before the first, it puts two numbers into `history`, a
    list of one dictionary per measurement, and the last of them into the logs of
    `fit`: `std`, near $1/\sqrt{d}$ if $d$ features are spread evenly and 0 after a
    collapse (`sslkit.metrics.feature_std`), and `rank`, how many directions they use
    (`sslkit.metrics.effective_rank`; a collapse to zero counts as 0).

    Args:
        encoder: Model from images to features `[batch, d]`, trained inside the model
            that is fitted. A projector behind the encoder may be watched as well.
        images: uint8 images `[n, 28, 28]` to measure on; a thousand will do.
        chance: Value of the loss if all features are equal, such as
            $\log(2B - 1)$ for `sslkit.losses.nt_xent` with batches of $B$. It is
            printed beside the loss. `None` prints nothing.

    Attributes:
        history: `{"epoch", "std", "rank"}`, and `"loss"` after an epoch.

    Example:
        >>> import numpy as np
        >>> from sslkit.autoencoder import dense_autoencoder
        >>> model = dense_autoencoder(8)
        >>> model.compile(optimizer="adam")
        >>> x = np.random.default_rng(0).integers(0, 256, (40, 28, 28), "uint8")
        >>> meter = CollapseMeter(model.encoder, x)
        >>> _ = model.fit(x / 255, epochs=2, verbose=0, callbacks=[meter])
        >>> [row["epoch"] for row in meter.history]
        [0, 1, 2]
    """

    def __init__(
        self, encoder: evaluate.Encoder, images: ArrayLike, chance: float | None = None
    ) -> None:
        """Keep what to measure; see the class for the arguments."""
        super().__init__()
        self.encoder = encoder
        self.images = images
        self.chance = chance
        self.history: list[dict[str, float]] = []

    def on_train_begin(self, logs: Any = None) -> None:
        """Measure the untrained encoder."""
        self.history = [{"epoch": 0, **self._measure()}]

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Measure the encoder as this epoch left it."""
        measured = self._measure()
        logs = {} if logs is None else logs
        logs.update(measured)
        self.history.append({"epoch": epoch + 1, **logs})
        if self.chance is not None:
            print(
                f"epoch {epoch + 1}: loss {logs['loss']:.3f} (chance "
                f"{self.chance:.3f}), std {measured['std']:.3f}, "
                f"rank {measured['rank']:.1f}"
            )

    def _measure(self) -> dict[str, float]:
        h = evaluate.embed(self.encoder, self.images)
        return {
            "std": metrics.feature_std(h),
            "rank": metrics.effective_rank(h) if h.any() else 0.0,
        }
