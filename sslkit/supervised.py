"""The supervised twin: what a network holds when it is given the labels.

Every chapter that judges features puts one beside its encoder. The comparison is
unfair, and useful: it shows how much there is to gain.
"""

import keras
import numpy as np
from numpy.typing import ArrayLike

from sslkit import data


def fit_classifier(
    encoder: keras.Model,
    images: ArrayLike,
    labels: ArrayLike,
    epochs: int,
    batch_size: int = 256,
) -> keras.Sequential:
    """Train an encoder, and a linear layer on top of it, to name the digit.

    Adam at its default rate, cross-entropy. The order of the images and the weights
    of the linear layer come from the global seed (`keras.utils.set_random_seed`).

    Args:
        encoder: Model from images `[batch, ...]` to features `[batch, d]`. It is
            trained in place: afterwards it is the twin.
        images: uint8 images, as `sslkit.data.load_mnist` returns them.
        labels: Digits 0 to 9, integers `[n]`.
        epochs: Passes over the images, at least 1.
        batch_size: Images a step.

    Returns:
        The classifier, from images in [0, 1] to logits `[batch, 10]`.

    Raises:
        ValueError: If images and labels differ in number, or `epochs` is not a
            positive integer.

    Example:
        >>> from sslkit import networks
        >>> x, y = np.zeros((4, 28, 28), np.uint8), np.arange(4)
        >>> fit_classifier(networks.dense_encoder(8), x, y, epochs=1).output_shape
        (None, 10)
    """
    images, labels = np.asarray(images), np.asarray(labels)
    if len(images) != len(labels):
        raise ValueError(
            f"labels must be one per image, got {len(labels)} for {len(images)} "
            "images: pass both from the same split."
        )
    if not isinstance(epochs, int) or epochs < 1:
        raise ValueError(f"epochs must be a positive integer, got {epochs!r}.")
    classifier = keras.Sequential([encoder, keras.layers.Dense(10)])
    classifier.compile(
        optimizer=keras.optimizers.Adam(1e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    classifier.fit(
        data.unit_interval(images),
        labels,
        batch_size=batch_size,
        epochs=epochs,
        verbose=0,
    )
    return classifier
