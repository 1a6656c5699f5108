"""Networks: plain functions that return Keras models (chapter *Model building* on)."""

from collections.abc import Sequence

import keras

IMAGE_SHAPE = (28, 28)
"""Height and width of the images of the course."""


def dense_encoder(
    features: int = 64,
    hidden: Sequence[int] = (),
    activation: str = "relu",
    hidden_activation: str = "relu",
) -> keras.Sequential:
    """Fully connected encoder from an image to a vector of features.

    Args:
        features: Length d of the feature vector, at least 1.
        hidden: Widths of the layers between image and features, first to last.
        activation: Activation of the feature layer; `"linear"` for none.
        hidden_activation: Activation of the layers between, such as `"silu"`, which
            is smooth and trains deep encoders faster.

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
        model.add(keras.layers.Dense(width, activation=hidden_activation))
    model.add(keras.layers.Dense(features, activation=activation))
    return model


def dense_decoder(
    features: int = 64,
    hidden: Sequence[int] = (),
    activation: str = "sigmoid",
    hidden_activation: str = "relu",
) -> keras.Sequential:
    """Fully connected decoder from a vector of features to an image.

    Args:
        features: Length d of the feature vector, at least 1.
        hidden: Widths of the layers between features and image, first to last.
        activation: Activation of the pixels. `"sigmoid"` keeps them in [0, 1];
            `"linear"` returns logits, which `sslkit.losses.bernoulli_nll` takes.
        hidden_activation: Activation of the layers between.

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
        model.add(keras.layers.Dense(width, activation=hidden_activation))
    pixels = IMAGE_SHAPE[0] * IMAGE_SHAPE[1]
    model.add(keras.layers.Dense(pixels, activation=activation))
    model.add(keras.layers.Reshape(IMAGE_SHAPE))
    return model


def mlp(
    inputs: int, hidden: Sequence[int], outputs: int = 1, name: str = "mlp"
) -> keras.Sequential:
    """Fully connected network between vectors, such as a discriminator of codes.

    Its units are leaky ReLU: those of a discriminator get pushed far to one side, and
    ReLU units that no input reaches any more would never learn again.

    Args:
        inputs: Length of the input vectors, at least 1.
        hidden: Widths of the leaky ReLU layers between, first to last.
        outputs: Length of the output vectors; they have no activation.
        name: Name of the model.

    Returns:
        A model from `[batch, inputs]` to `[batch, outputs]`.

    Raises:
        ValueError: If a width is not a positive integer.

    Example:
        >>> mlp(2, (16,)).count_params()  # 2 x 16 + 16 and 16 x 1 + 1
        65
    """
    _check_widths(inputs, (*hidden, outputs), "inputs")
    model = keras.Sequential([keras.Input((inputs,))], name=name)
    for width in hidden:
        model.add(keras.layers.Dense(width, activation="leaky_relu"))
    model.add(keras.layers.Dense(outputs))
    return model


def conv_encoder(
    features: int = 64, channels: Sequence[int] = (32, 64), activation: str = "relu"
) -> keras.Sequential:
    """Convolutional encoder from an image to a vector of features.

    Each convolution, 3 x 3 and ReLU, halves height and width; one dense layer
    follows.

    Args:
        features: Length d of the feature vector, at least 1.
        channels: Channels of the convolutions, first to last.
        activation: Activation of the feature layer; `"linear"` for none.

    Returns:
        A model from `[batch, 28, 28]` in [0, 1] to `[batch, features]`.

    Raises:
        ValueError: If a width is not a positive integer.

    Example:
        >>> conv_encoder(64).output_shape
        (None, 64)
    """
    _check_widths(features, channels)
    model = keras.Sequential(
        [keras.Input(IMAGE_SHAPE), keras.layers.Reshape((*IMAGE_SHAPE, 1))],
        name="encoder",
    )
    for width in channels:
        model.add(
            keras.layers.Conv2D(width, 3, strides=2, padding="same", activation="relu")
        )
    model.add(keras.layers.Flatten())
    model.add(keras.layers.Dense(features, activation=activation))
    return model


def batchnorm_encoder(
    features: int = 128,
    channels: Sequence[int] = (32, 64, 128),
    strides: Sequence[int] = (),
    momentum: float = 0.99,
) -> keras.Sequential:
    """Convolutional encoder with batch normalisation, for contrastive learning.

    Each convolution, 3 x 3, is followed by batch normalisation and ReLU; one dense
    layer without activation follows.

    Args:
        features: Length d of the feature vector, at least 1.
        channels: Channels of the convolutions, first to last.
        strides: By how much each convolution divides height and width, first to
            last; left out, each of them halves both.
        momentum: Of the running averages of batch normalisation. A short training
            wants 0.9, or the averages remember its first steps.

    Returns:
        A model from `[batch, 28, 28]` in [0, 1] to `[batch, features]`.

    Raises:
        ValueError: If a width is not a positive integer, or there are more or fewer
            strides than convolutions.

    Example:
        >>> batchnorm_encoder(64).output_shape
        (None, 64)
    """
    _check_widths(features, channels)
    model = keras.Sequential(
        [keras.Input(IMAGE_SHAPE), keras.layers.Reshape((*IMAGE_SHAPE, 1))],
        name="encoder",
    )
    strides = strides or [2] * len(channels)
    if len(strides) != len(channels):
        raise ValueError(
            f"strides must be one per convolution, got {len(strides)} for "
            f"{len(channels)} channels: give both one length."
        )
    for width, stride in zip(channels, strides, strict=True):
        # Batch normalisation has a bias of its own.
        model.add(
            keras.layers.Conv2D(
                width, 3, strides=stride, padding="same", use_bias=False
            )
        )
        model.add(keras.layers.BatchNormalization(momentum=momentum))
        model.add(keras.layers.ReLU())
    model.add(keras.layers.Flatten())
    model.add(keras.layers.Dense(features))
    return model


def projector(inputs: int, hidden: int = 128, outputs: int = 64) -> keras.Sequential:
    """Small network between features and a contrastive loss, not used afterwards.

    Batch normalisation and ReLU on the features, then a dense layer of `hidden`
    units with ReLU and a linear one. arXiv 2002.05709, section 4.2.

    Args:
        inputs: Length d of the feature vectors, at least 1.
        hidden: Units of the layer between.
        outputs: Length of the projections.

    Returns:
        A model from `[batch, inputs]` to `[batch, outputs]`.

    Raises:
        ValueError: If a width is not a positive integer.

    Example:
        >>> projector(128).output_shape
        (None, 64)
    """
    _check_widths(inputs, (hidden, outputs), "inputs")
    return keras.Sequential(
        [
            keras.Input((inputs,)),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.Dense(hidden, activation="relu"),
            keras.layers.Dense(outputs),
        ],
        name="projector",
    )


def conv_decoder(
    features: int = 64, channels: Sequence[int] = (64, 32), activation: str = "sigmoid"
) -> keras.Sequential:
    """Convolutional decoder from a vector of features to an image.

    A dense layer makes 7 x 7 pixels of `channels[0]` channels; two transposed
    convolutions, 3 x 3 and ReLU, double height and width; a last one makes the pixel.

    Args:
        features: Length d of the feature vector, at least 1.
        channels: Channels of the two transposed convolutions.
        activation: Activation of the pixels. `"sigmoid"` keeps them in [0, 1];
            `"linear"` returns logits.

    Returns:
        A model from `[batch, features]` to `[batch, 28, 28]`.

    Raises:
        ValueError: If a width is not a positive integer, or `channels` does not hold
            two of them.

    Example:
        >>> conv_decoder(64).output_shape
        (None, 28, 28)
    """
    _check_widths(features, channels)
    _check_two(channels)
    side = IMAGE_SHAPE[0] // 4
    model = keras.Sequential(
        [
            keras.Input((features,)),
            keras.layers.Dense(side * side * channels[0], activation="relu"),
            keras.layers.Reshape((side, side, channels[0])),
        ],
        name="decoder",
    )
    for width in channels:
        model.add(
            keras.layers.Conv2DTranspose(
                width, 3, strides=2, padding="same", activation="relu"
            )
        )
    model.add(keras.layers.Conv2D(1, 3, padding="same", activation=activation))
    model.add(keras.layers.Reshape(IMAGE_SHAPE))
    return model


def dcgan_generator(
    latent: int = 64, channels: Sequence[int] = (64, 32)
) -> keras.Sequential:
    """Generator after the rules of DCGAN (arXiv 1511.06434), sized for 28 x 28 pixels.

    Transposed convolutions instead of upsampling, batch normalisation and ReLU in
    every layer but the last.

    Args:
        latent: Length of the noise vector $z$, at least 1.
        channels: Channels at 7 x 7 and at 14 x 14 pixels.

    Returns:
        A model from `[batch, latent]` to images `[batch, 28, 28]` in [0, 1].

    Raises:
        ValueError: If a width is not a positive integer, or `channels` does not hold
            two of them.

    Example:
        >>> dcgan_generator(64).output_shape
        (None, 28, 28)
    """
    _check_widths(latent, channels, "latent")
    _check_two(channels)
    side, layers = IMAGE_SHAPE[0] // 4, keras.layers
    # Batch normalisation has a bias of its own, so the layers before it need none.
    return keras.Sequential(
        [
            keras.Input((latent,)),
            layers.Dense(side * side * channels[0], use_bias=False),
            layers.Reshape((side, side, channels[0])),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2DTranspose(
                channels[1], 4, strides=2, padding="same", use_bias=False
            ),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2DTranspose(
                1, 4, strides=2, padding="same", activation="sigmoid"
            ),
            layers.Reshape(IMAGE_SHAPE),
        ],
        name="generator",
    )


def dcgan_discriminator(channels: Sequence[int] = (32, 64)) -> keras.Sequential:
    """Discriminator after the rules of DCGAN: strided convolutions, leaky ReLU.

    It has no batch normalisation, so that each image is judged by itself. (With it,
    the verdict on an image depends on the rest of the batch, and the gradient penalty
    of WGAN-GP is not defined image by image.)

    Args:
        channels: Channels at 14 x 14 and at 7 x 7 pixels.

    Returns:
        A model from images `[batch, 28, 28]` to logits `[batch, 1]`.

    Raises:
        ValueError: If a width is not a positive integer, or `channels` does not hold
            two of them.

    Example:
        >>> dcgan_discriminator().output_shape
        (None, 1)
    """
    _check_widths(1, channels)
    _check_two(channels)
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input(IMAGE_SHAPE), layers.Reshape((*IMAGE_SHAPE, 1))],
        name="discriminator",
    )
    for width in channels:
        model.add(layers.Conv2D(width, 4, strides=2, padding="same"))
        model.add(layers.LeakyReLU(0.2))
    model.add(layers.Flatten())
    model.add(layers.Dense(1))
    return model


def _check_two(channels: Sequence[int]) -> None:
    if len(channels) != 2:
        raise ValueError(
            f"channels must hold two numbers, got {list(channels)!r}: 28 pixels can "
            "be halved twice."
        )


def _check_widths(features: int, hidden: Sequence[int], name: str = "features") -> None:
    for argument, width in [(name, features), *(("hidden", w) for w in hidden)]:
        if not isinstance(width, int) or width < 1:
            raise ValueError(
                f"{argument} must be made of positive integers, got {width!r}: "
                "pass the number of units of the layer."
            )
