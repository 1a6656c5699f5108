"""The supervised twin: what a network holds when it is given the labels.

Every chapter that judges features puts one beside its encoder. The comparison is
unfair, and useful: it shows how much there is to gain. Chapter *Pre-training and task
adaptation* begins with a trained encoder instead of a new one (`fine_tune`).
"""

import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray

from sslkit import data, evaluate


def fit_classifier(
    encoder: keras.Model,
    images: ArrayLike,
    labels: ArrayLike,
    epochs: int,
    batch_size: int = 256,
    learning_rate: float = 1e-3,
    views: keras.Layer | None = None,
) -> keras.Sequential:
    """Train an encoder, and a linear layer on top of it, to name the digit.

    Adam, cross-entropy. The order of the images and the weights of the linear layer
    come from the global seed (`keras.utils.set_random_seed`).

    Args:
        encoder: Model from images `[batch, ...]` to features `[batch, d]`. It is
            trained in place: afterwards it is the twin. To keep it, pass its `clone`.
        images: uint8 images, as `sslkit.data.load_mnist` returns them.
        labels: Digits 0 to 9, integers `[n]`.
        epochs: Passes over the images, at least 1.
        batch_size: Images a step.
        learning_rate: Adam's, above 0.
        views: Random changes of the images while training, such as
            `sslkit.contrastive.digit_views()`; none if left out.

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
    images, labels = _check(images, labels, epochs, least=1)
    changes = [] if views is None else [views]
    classifier = keras.Sequential([*changes, encoder, keras.layers.Dense(10)])
    _fit(classifier, images, labels, epochs, batch_size, learning_rate)
    return classifier


def clone(encoder: keras.Model) -> keras.Model:
    """Copy an encoder, weights and all, so that training the copy leaves it alone.

    Args:
        encoder: Any Keras model made of layers.

    Returns:
        A model with the same architecture, its own weights, and the same values.

    Example:
        >>> from sslkit import networks
        >>> encoder = networks.dense_encoder(8)
        >>> copy = clone(encoder)
        >>> copy.set_weights([0 * w for w in copy.get_weights()])
        >>> bool(encoder.get_weights()[0].any())
        True
    """
    copy = keras.models.clone_model(encoder)
    copy.set_weights(encoder.get_weights())
    return copy


def fine_tune(
    encoder: keras.Sequential,
    images: ArrayLike,
    labels: ArrayLike,
    epochs: int,
    batch_size: int = 32,
    learning_rate: float = 1e-4,
    C: float = 1.0,
    views: keras.Layer | None = None,
) -> keras.Sequential:
    """Adapt a trained encoder to a task: the linear layer first, then all weights.

    The linear layer begins as logistic regression on the frozen features, so that its
    first gradients do not tear the features apart (Kumar et al., arXiv 2202.10054);
    without epochs, the answer is the frozen probe. Then all weights are trained with
    Adam, except for batch normalisation, which stays as it was: few images make poor
    statistics.

    Args:
        encoder: Trained model from images `[batch, ...]` to features `[batch, d]`. It
            is not changed: a clone is trained.
        images: uint8 images, as `sslkit.data.load_mnist` returns them.
        labels: Classes `[n]`, integers 0 to K - 1, each at least once, K at least 3.
        epochs: Passes over the images, at least 0.
        batch_size: Images a step.
        learning_rate: Adam's, above 0; small beside that of a new network.
        C: Inverse regularisation strength of the logistic regression, positive.
        views: Random changes of the images while training; none if left out.

    Returns:
        The classifier, from images in [0, 1] to logits `[batch, K]`.

    Raises:
        ValueError: If images and labels differ in number, a class is missing, or
            `epochs` is not an integer of at least 0.

    Example:
        >>> from sslkit import networks
        >>> x, y = np.zeros((4, 28, 28), np.uint8), np.arange(4)
        >>> fine_tune(networks.dense_encoder(8), x, y, epochs=1).output_shape
        (None, 4)
    """
    images, labels = _check(images, labels, epochs, least=0)
    classes = np.unique(labels)
    if len(classes) < 3 or not np.array_equal(classes, np.arange(len(classes))):
        raise ValueError(
            f"labels must be 0 to K - 1, each at least once, K at least 3, got the "
            f"classes {classes.tolist()}: number the classes of the task from 0."
        )
    encoder = clone(encoder)
    for layer in encoder.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False  # which also keeps its statistics, says Keras
    h = evaluate.embed(encoder, images)
    centre = h.mean(axis=0)
    scale = float(np.sqrt(np.mean((h - centre) ** 2))) or 1.0
    model = evaluate.logistic(C, (h - centre) / scale, labels)
    head = keras.layers.Dense(len(classes))
    changes = [] if views is None else [views]
    classifier = keras.Sequential([*changes, encoder, head])
    classifier.build((None, *images.shape[1:]))
    weights = model.coef_.T / scale
    head.set_weights([weights, model.intercept_ - centre @ weights])
    if epochs:
        _fit(classifier, images, labels, epochs, batch_size, learning_rate)
    return classifier


def _fit(
    classifier: keras.Sequential,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    epochs: int,
    batch_size: int,
    learning_rate: float,
) -> None:
    classifier.compile(
        optimizer=keras.optimizers.Adam(learning_rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    classifier.fit(
        data.unit_interval(images),
        labels,
        batch_size=batch_size,
        epochs=epochs,
        verbose=0,
    )


def _check(
    images: ArrayLike, labels: ArrayLike, epochs: int, least: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    images, labels = np.asarray(images), np.asarray(labels)
    if len(images) != len(labels):
        raise ValueError(
            f"labels must be one per image, got {len(labels)} for {len(images)} "
            "images: pass both from the same split."
        )
    if not isinstance(epochs, int) or epochs < least:
        kind = "a positive integer" if least else "an integer of at least 0"
        raise ValueError(f"epochs must be {kind}, got {epochs!r}.")
    return images, labels
