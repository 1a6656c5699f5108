"""Networks: plain functions that return Keras models (chapter *Model building* on)."""

import math
from collections.abc import Sequence
from typing import Any

import keras

IMAGE_SHAPE = (28, 28)
"""Height and width of the images of the course."""


def halvings(shape: Sequence[int] = IMAGE_SHAPE) -> list[int]:
    """How often images can be halved, down to a size that a dense layer can make.

    Args:
        shape: Shape of an image: height and width in pixels, then maybe channels.

    Returns:
        All numbers n for which height and width are divisible by $2^n$ and the
        shorter side is then at most 12 pixels. None at all if there is an odd side.

    Example:
        >>> halvings((28, 28)), halvings((64, 64, 3)), halvings((27, 27))
        ([2], [3, 4, 5, 6], [])
    """
    height, width = shape[:2]
    return [
        n
        for n in range(1, 16)
        if height % 2**n == width % 2**n == 0 and min(height, width) <= 12 * 2**n
    ]


def dense_encoder(
    features: int = 64,
    hidden: Sequence[int] = (),
    activation: str = "relu",
    hidden_activation: str = "relu",
    shape: Sequence[int] = IMAGE_SHAPE,
) -> keras.Sequential:
    """Fully connected encoder from an image to a vector of features.

    Args:
        features: Length d of the feature vector, at least 1.
        hidden: Widths of the layers between image and features, first to last.
        activation: Activation of the feature layer; `"linear"` for none.
        hidden_activation: Activation of the layers between, such as `"silu"`, which
            is smooth and trains deep encoders faster.
        shape: Shape of an image: `(height, width)` if grey, or `(height, width,
            channels)`.

    Returns:
        A model from `[batch, *shape]` in [0, 1] to `[batch, features]`.

    Raises:
        ValueError: If a width is not a positive integer, or `shape` is no shape of
            images.

    Example:
        >>> dense_encoder(64).count_params()  # 784 x 64 weights and 64 biases
        50240
    """
    _check_widths(features, hidden)
    model = keras.Sequential(
        [keras.Input(_check_shape(shape)), keras.layers.Flatten()], name="encoder"
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
    shape: Sequence[int] = IMAGE_SHAPE,
) -> keras.Sequential:
    """Fully connected decoder from a vector of features to an image.

    Args:
        features: Length d of the feature vector, at least 1.
        hidden: Widths of the layers between features and image, first to last.
        activation: Activation of the pixels. `"sigmoid"` keeps them in [0, 1];
            `"linear"` returns logits, which `sslkit.losses.bernoulli_nll` takes.
        hidden_activation: Activation of the layers between.
        shape: Shape of an image: `(height, width)` if grey, or `(height, width,
            channels)`.

    Returns:
        A model from `[batch, features]` to `[batch, *shape]`.

    Raises:
        ValueError: If a width is not a positive integer, or `shape` is no shape of
            images.

    Example:
        >>> dense_decoder(64).output_shape
        (None, 28, 28)
    """
    _check_widths(features, hidden)
    shape = _check_shape(shape)
    model = keras.Sequential([keras.Input((features,))], name="decoder")
    for width in hidden:
        model.add(keras.layers.Dense(width, activation=hidden_activation))
    model.add(keras.layers.Dense(math.prod(shape), activation=activation))
    model.add(keras.layers.Reshape(shape))
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
    features: int = 64,
    channels: Sequence[int] = (32, 64),
    activation: str = "relu",
    shape: Sequence[int] = IMAGE_SHAPE,
) -> keras.Sequential:
    """Convolutional encoder from an image to a vector of features.

    Each convolution, 3 x 3 and ReLU, halves height and width, rounding up; one dense
    layer follows.

    Args:
        features: Length d of the feature vector, at least 1.
        channels: Channels of the convolutions, first to last.
        activation: Activation of the feature layer; `"linear"` for none.
        shape: Shape of an image: `(height, width)` if grey, or `(height, width,
            channels)`.

    Returns:
        A model from `[batch, *shape]` in [0, 1] to `[batch, features]`.

    Raises:
        ValueError: If a width is not a positive integer, or `shape` is no shape of
            images.

    Example:
        >>> conv_encoder(64).output_shape
        (None, 64)
    """
    _check_widths(features, channels)
    model = keras.Sequential(_with_channels(shape), name="encoder")
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
    shape: Sequence[int] = IMAGE_SHAPE,
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
        shape: Shape of an image: `(height, width)` if grey, or `(height, width,
            channels)`.

    Returns:
        A model from `[batch, *shape]` in [0, 1] to `[batch, features]`.

    Raises:
        ValueError: If a width is not a positive integer, there are more or fewer
            strides than convolutions, or `shape` is no shape of images.

    Example:
        >>> batchnorm_encoder(64).output_shape
        (None, 64)
    """
    _check_widths(features, channels)
    model = keras.Sequential(_with_channels(shape), name="encoder")
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


def residual_encoder(
    features: int | None = 128,
    shape: Sequence[int] = (64, 64, 3),
    widths: Sequence[int] = (32, 64, 128),
    blocks: int = 1,
    stem: int = 2,
    momentum: float = 0.9,
) -> keras.Model:
    r"""Residual network for small photographs, light enough for a CPU.

    A 3 x 3 convolution, the stem, is followed by one stage per width. The blocks of a
    stage compute $\operatorname{ReLU}(x + F(x))$, where $F$ is two 3 x 3 convolutions
    with ReLU between; the first block of each stage halves height and width, rounding
    up. Every convolution is followed by batch normalisation. In the end each channel
    is averaged over the image. He et al., arXiv 1512.03385, section 3.3, where the
    stem is larger and the stages are four.

    Args:
        features: Length d of the feature vector, at least 1; `None` for the averages
            themselves, of which there are as many as the last width.
        shape: Shape of an image: `(height, width)` if grey, or `(height, width,
            channels)`.
        widths: Channels of the stages, first to last; the stem has those of the first.
        blocks: Blocks of a stage, at least 1.
        stem: By how much the stem divides height and width, at least 1: for images of
            32 pixels 1, and for 64 pixels 2, leave 4 x 4.
        momentum: Of the running averages of batch normalisation; for long trainings
            0.99.

    Returns:
        A model from `[batch, *shape]` in [0, 1] to `[batch, features]`.

    Raises:
        ValueError: If a number is not a positive integer, there are no widths, or
            `shape` is no shape of images.

    Example:
        >>> residual_encoder(None).output_shape
        (None, 128)
    """
    _check_widths(1 if features is None else features, widths)
    _check_widths(blocks, (), "blocks")
    _check_widths(stem, (), "stem")
    if not widths:
        raise ValueError("widths must hold a number for each stage, got none.")
    images, *reshape = _with_channels(shape)

    def convolve(x: Any, width: int, stride: int, size: int = 3) -> Any:
        x = keras.layers.Conv2D(
            width, size, strides=stride, padding="same", use_bias=False
        )(x)
        return keras.layers.BatchNormalization(momentum=momentum)(x)

    x = reshape[0](images) if reshape else images
    x = keras.layers.ReLU()(convolve(x, widths[0], stem))
    for width in widths:
        for stride in (2, *[1] * (blocks - 1)):
            h = keras.layers.ReLU()(convolve(x, width, stride))
            h = convolve(h, width, 1)
            # What goes past a block has to get its new shape.
            past = x if stride == 1 else convolve(x, width, stride, size=1)
            x = keras.layers.ReLU()(keras.layers.Add()([past, h]))
    x = keras.layers.GlobalAveragePooling2D()(x)
    if features is not None:
        x = keras.layers.Dense(features)(x)
    return keras.Model(images, x, name="encoder")


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
    features: int = 64,
    channels: Sequence[int] = (64, 32),
    activation: str = "sigmoid",
    shape: Sequence[int] = IMAGE_SHAPE,
) -> keras.Sequential:
    """Convolutional decoder from a vector of features to an image.

    A dense layer makes a small image, of 28 x 28 pixels 7 x 7, of `channels[0]`
    channels; transposed convolutions, 3 x 3 and ReLU, double height and width each; a
    last convolution makes the pixels.

    Args:
        features: Length d of the feature vector, at least 1.
        channels: Channels of the transposed convolutions, first to last. Their number
            is one of `halvings(shape)`.
        activation: Activation of the pixels. `"sigmoid"` keeps them in [0, 1];
            `"linear"` returns logits.
        shape: Shape of an image: `(height, width)` if grey, or `(height, width,
            channels)`.

    Returns:
        A model from `[batch, features]` to `[batch, *shape]`.

    Raises:
        ValueError: If a width is not a positive integer, or images of this shape
            cannot be halved once per channel.

    Example:
        >>> conv_decoder(64).output_shape
        (None, 28, 28)
    """
    _check_widths(features, channels)
    shape = _check_shape(shape)
    small = _halved(shape, channels)
    model = keras.Sequential(
        [
            keras.Input((features,)),
            keras.layers.Dense(math.prod(small), activation="relu"),
            keras.layers.Reshape(small),
        ],
        name="decoder",
    )
    for width in channels:
        model.add(
            keras.layers.Conv2DTranspose(
                width, 3, strides=2, padding="same", activation="relu"
            )
        )
    colours = math.prod(shape[2:])  # 1 if there is no axis for them
    model.add(keras.layers.Conv2D(colours, 3, padding="same", activation=activation))
    model.add(keras.layers.Reshape(shape))
    return model


def dcgan_generator(
    latent: int = 64,
    channels: Sequence[int] = (64, 32),
    shape: Sequence[int] = IMAGE_SHAPE,
) -> keras.Sequential:
    """Generator after the rules of DCGAN (arXiv 1511.06434), sized for small images.

    Transposed convolutions instead of upsampling, batch normalisation and ReLU in
    every layer but the last.

    Args:
        latent: Length of the noise vector $z$, at least 1.
        channels: Channels of each size but the last, smallest first: of 28 x 28
            pixels those at 7 x 7 and at 14 x 14. Their number is one of
            `halvings(shape)`.
        shape: Shape of an image: `(height, width)` if grey, or `(height, width,
            channels)`.

    Returns:
        A model from `[batch, latent]` to images `[batch, *shape]` in [0, 1].

    Raises:
        ValueError: If a width is not a positive integer, or images of this shape
            cannot be halved once per channel.

    Example:
        >>> dcgan_generator(64).output_shape
        (None, 28, 28)
    """
    _check_widths(latent, channels, "latent")
    shape, layers = _check_shape(shape), keras.layers
    small = _halved(shape, channels)
    # Batch normalisation has a bias of its own, so the layers before it need none.
    model = keras.Sequential(
        [
            keras.Input((latent,)),
            layers.Dense(math.prod(small), use_bias=False),
            layers.Reshape(small),
        ],
        name="generator",
    )
    for width in channels[1:]:
        model.add(layers.BatchNormalization())
        model.add(layers.ReLU())
        model.add(
            layers.Conv2DTranspose(width, 4, strides=2, padding="same", use_bias=False)
        )
    model.add(layers.BatchNormalization())
    model.add(layers.ReLU())
    colours = math.prod(shape[2:])  # 1 if there is no axis for them
    model.add(
        layers.Conv2DTranspose(
            colours, 4, strides=2, padding="same", activation="sigmoid"
        )
    )
    model.add(layers.Reshape(shape))
    return model


def dcgan_discriminator(
    channels: Sequence[int] = (32, 64), shape: Sequence[int] = IMAGE_SHAPE
) -> keras.Sequential:
    """Discriminator after the rules of DCGAN: strided convolutions, leaky ReLU.

    It has no batch normalisation, so that each image is judged by itself. (With it,
    the verdict on an image depends on the rest of the batch, and the gradient penalty
    of WGAN-GP is not defined image by image.)

    Args:
        channels: Channels after each halving: of 28 x 28 pixels those at 14 x 14 and
            at 7 x 7. Their number is one of `halvings(shape)`.
        shape: Shape of an image: `(height, width)` if grey, or `(height, width,
            channels)`.

    Returns:
        A model from images `[batch, *shape]` to logits `[batch, 1]`.

    Raises:
        ValueError: If a width is not a positive integer, or images of this shape
            cannot be halved once per channel.

    Example:
        >>> dcgan_discriminator().output_shape
        (None, 1)
    """
    _check_widths(1, channels)
    _halved(_check_shape(shape), channels)
    layers = keras.layers
    model = keras.Sequential(_with_channels(shape), name="discriminator")
    for width in channels:
        model.add(layers.Conv2D(width, 4, strides=2, padding="same"))
        model.add(layers.LeakyReLU(0.2))
    model.add(layers.Flatten())
    model.add(layers.Dense(1))
    return model


def _check_shape(shape: Sequence[int]) -> tuple[int, ...]:
    shape = tuple(shape)
    if len(shape) not in (2, 3) or not all(isinstance(n, int) and n > 0 for n in shape):
        raise ValueError(
            f"shape must be (height, width) or (height, width, channels), got {shape}: "
            "pass, say, (64, 64, 3) for colour and (64, 64) for grey images."
        )
    return shape


def _with_channels(shape: Sequence[int]) -> list[Any]:
    """Begin a network: the input, and the axis of channels that grey images lack."""
    shape = _check_shape(shape)
    first = [keras.Input(shape)]
    return first if len(shape) == 3 else [*first, keras.layers.Reshape((*shape, 1))]


def _halved(shape: tuple[int, ...], channels: Sequence[int]) -> tuple[int, int, int]:
    """Shape of an image that has been halved once per channel, with the first channel.

    Generators and decoders begin there.
    """
    counts, words = halvings(shape), ("no", "one", "two", "three", "four", "five")
    if not counts:
        raise ValueError(
            f"shape must have a height and width that can be halved until 12 pixels or "
            f"fewer are left, got {shape}: choose multiples of 4, 8 or 16."
        )
    if len(channels) not in counts:
        able = " or ".join(words[n] if n < len(words) else str(n) for n in counts)
        raise ValueError(
            f"channels must hold {able} number{'s' * (max(counts) > 1)}, got "
            f"{list(channels)!r}: {shape[0]} x {shape[1]} pixels can be halved that "
            "often."
        )
    factor = 2 ** len(channels)
    return shape[0] // factor, shape[1] // factor, channels[0]


def _check_widths(features: int, hidden: Sequence[int], name: str = "features") -> None:
    for argument, width in [(name, features), *(("hidden", w) for w in hidden)]:
        if not isinstance(width, int) or width < 1:
            raise ValueError(
                f"{argument} must be made of positive integers, got {width!r}: "
                "pass the number of units of the layer."
            )
