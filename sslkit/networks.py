"""Networks: plain functions that return Keras models (chapter *Model building*)."""

from collections.abc import Sequence

import keras

IMAGE_SHAPE = (28, 28)
"""Height and width of the images of the course."""


def dense_encoder(
    features: int = 64, hidden: Sequence[int] = (), activation: str = "relu"
) -> keras.Sequential:
    """Fully connected encoder from an image to a vector of features.

    Args:
        features: Length d of the feature vector, at least 1.
        hidden: Widths of the layers between image and features, first to last.
            They use ReLU.
        activation: Activation of the feature layer; `"linear"` for none.

    Returns:
        A model from `[batch, 28, 28]` in [0, 1] to `[batch, features]`.

    Raises:
        ValueError: If a width is not a positive integer.

    Example:
        >>> dense_encoder(64).count_params()  # 784 x 64 weights and 64 biases
        50240
    """
    _check_widths(features, hidden)
    model = keras.Sequential(
        [keras.Input(IMAGE_SHAPE), keras.layers.Flatten()], name="encoder"
    )
    for width in hidden:
        model.add(keras.layers.Dense(width, activation="relu"))
    model.add(keras.layers.Dense(features, activation=activation))
    return model


def dense_decoder(
    features: int = 64, hidden: Sequence[int] = (), activation: str = "sigmoid"
) -> keras.Sequential:
    """Fully connected decoder from a vector of features to an image.

    Args:
        features: Length d of the feature vector, at least 1.
        hidden: Widths of the layers between features and image, first to last.
            They use ReLU.
        activation: Activation of the pixels. `"sigmoid"` keeps them in [0, 1];
            `"linear"` returns logits, which `sslkit.losses.bernoulli_nll` takes.

    Returns:
        A model from `[batch, features]` to `[batch, 28, 28]`.

    Raises:
        ValueError: If a width is not a positive integer.

    Example:
        >>> dense_decoder(64).output_shape
        (None, 28, 28)
    """
    _check_widths(features, hidden)
    model = keras.Sequential([keras.Input((features,))], name="decoder")
    for width in hidden:
        model.add(keras.layers.Dense(width, activation="relu"))
    pixels = IMAGE_SHAPE[0] * IMAGE_SHAPE[1]
    model.add(keras.layers.Dense(pixels, activation=activation))
    model.add(keras.layers.Reshape(IMAGE_SHAPE))
    return model


def _check_widths(features: int, hidden: Sequence[int]) -> None:
    for name, width in [("features", features), *(("hidden", w) for w in hidden)]:
        if not isinstance(width, int) or width < 1:
            raise ValueError(
                f"{name} must be made of positive integers, got {width!r}: "
                "pass the number of units of the layer."
            )
