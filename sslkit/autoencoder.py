"""Autoencoders: plain, denoising, sparse, contractive.

Chapters *Model building*, *Autoencoder* and *Denoising and sparse autoencoders*.
"""

import math
import threading
from typing import Any

import keras
from keras import ops

from sslkit import losses, networks
from sslkit.base import Composite
from sslkit.distribute import share


@keras.saving.register_keras_serializable(package="sslkit")
class Autoencoder(Composite):
    r"""Encoder and decoder, trained together to copy the image.

    $$\min_{f, g}\; \mathbb{E}_x\, \tfrac{1}{n}\lVert x - g(f(x)) \rVert^2$$

    with encoder $f$, decoder $g$ and $n$ pixels. The target is the input itself:
    `fit` takes images and no labels. Rumelhart, Hinton & Williams (1986) trained
    the first ones; Hinton & Salakhutdinov (2006), doi 10.1126/science.1127647,
    the first deep ones.

    Args:
        encoder: Model from images in [0, 1], `[batch, ...]`, to features
            `[batch, d]`.
        decoder: Model from features `[batch, d]` to images of the same shape.
        seed: Integer that fixes the random numbers of the variants below.

    Raises:
        ValueError: When called on integers, which are almost always pixels from
            0 to 255 that nobody scaled.

    Example:
        >>> import numpy as np
        >>> model = dense_autoencoder(features=8)
        >>> model.compile(optimizer="adam")
        >>> images = np.zeros((32, 28, 28), "float32")
        >>> history = model.fit(images, verbose=0)
        >>> list(history.history)
        ['loss']
    """

    parts = ("encoder", "decoder")

    def __init__(
        self, encoder: keras.Model, decoder: keras.Model, seed: int = 0, **kwargs: Any
    ) -> None:
        """Keep the two networks; see the class for the arguments."""
        super().__init__(seed, **kwargs)
        self.encoder = encoder
        self.decoder = decoder

    def call(self, images: Any, training: bool = False) -> Any:
        """Reconstruct images, `[batch, ...]` in [0, 1], to the same shape."""
        if "int" in keras.backend.standardize_dtype(images.dtype):
            raise ValueError(
                f"images must be floating point in [0, 1], got {images.dtype}: "
                "use sslkit.data.batches or sslkit.data.unit_interval."
            )
        return self.decoder(self.encoder(images, training=training), training=training)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Mean squared error per pixel of `y_pred`, plus what layers charge."""
        pixels = math.prod(x.shape[1:])
        error = ops.mean(losses.squared_error(x, y_pred)) / pixels
        return share(error + sum(self.losses))


@keras.saving.register_keras_serializable(package="sslkit")
class DenoisingAutoencoder(Autoencoder):
    r"""Autoencoder that gets a corrupted image and has to return the clean one.

    $$\min_{f, g}\; \mathbb{E}_x \mathbb{E}_{\tilde x \mid x}\,
      \tfrac1n \lVert x - g(f(\tilde x)) \rVert^2$$

    The noise is drawn anew at every step. Without training, images go in as they
    are. Vincent et al. (2008), doi 10.1145/1390156.1390294.

    Args:
        encoder: As for `Autoencoder`.
        decoder: As for `Autoencoder`.
        noise: Standard deviation of Gaussian noise added to every pixel, in units of
            the range of a pixel, at least 0. It is not clipped, so that the theory of
            Gaussian noise holds.
        masked: Share of the pixels set to 0, from 0 to below 1.
        seed: Integer that fixes the sequence of corruptions.

    Raises:
        ValueError: If `noise` or `masked` is outside its range.
    """

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        noise: float = 0.0,
        masked: float = 0.0,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Keep networks and strengths; see the class for the arguments."""
        _check_number("noise", noise, math.inf)
        _check_number("masked", masked, 1)
        super().__init__(encoder, decoder, seed, **kwargs)
        self.noise = noise
        self.masked = masked

    def corrupt(self, images: Any) -> Any:
        """Draw a corrupted copy of images, `[batch, ...]`."""
        shape, seed = ops.shape(images), self.seed_generator
        if self.masked:
            kept = keras.random.uniform(shape, seed=seed) >= self.masked
            images = images * ops.cast(kept, images.dtype)
        if self.noise:
            noise = keras.random.normal(shape, seed=seed)
            images = images + self.noise * ops.cast(noise, images.dtype)
        return images

    def call(self, images: Any, training: bool = False) -> Any:
        """Reconstruct images, corrupted first when training."""
        return super().call(self.corrupt(images) if training else images, training)

    def get_config(self) -> dict[str, Any]:
        """Configuration from which `from_config` makes the same architecture."""
        return {**super().get_config(), "noise": self.noise, "masked": self.masked}


class _Penalised(Autoencoder):
    """What the two autoencoders that charge for their code share: the price."""

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        penalty: float,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Keep networks and penalty; see the class for the arguments."""
        _check_number("penalty", penalty, math.inf)
        super().__init__(encoder, decoder, seed, **kwargs)
        self.penalty = penalty
        # `add_loss` has one list for all replicas, each of which runs in a thread of
        # its own and would pay for the others.
        self.owed = threading.local()

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Mean squared error per pixel of `y_pred`, plus what `call` charged."""
        error = super().compute_loss(x, y, y_pred, sample_weight, training)
        return error + share(self.owed.price)

    def get_config(self) -> dict[str, Any]:
        """Configuration from which `from_config` makes the same architecture."""
        return {**super().get_config(), "penalty": self.penalty}


@keras.saving.register_keras_serializable(package="sslkit")
class SparseAutoencoder(_Penalised):
    r"""Autoencoder that pays for every unit of its code that is not zero.

    $$\min_{f, g}\; \mathbb{E}_x \bigl[\tfrac1n \lVert x - g(f(x)) \rVert^2
      + \lambda \lVert f(x) \rVert_1\bigr]$$

    The code may then have more units than the image has pixels. Weights of the
    decoder can undo the penalty by growing while the code shrinks, so use it with a
    decoder whose weights are bounded, such as
    `kernel_constraint=keras.constraints.UnitNorm(axis=1)`.

    Args:
        encoder: As for `Autoencoder`.
        decoder: As for `Autoencoder`.
        penalty: Weight $\lambda$ of the sum of absolute values, at least 0.
        seed: As for `Autoencoder`.

    Raises:
        ValueError: If `penalty` is negative.
    """

    def call(self, images: Any, training: bool = False) -> Any:
        """Reconstruct images, and charge for their codes."""
        code = self.encoder(images, training=training)
        size = ops.abs(ops.cast(code, "float32"))
        self.owed.price = self.penalty * ops.mean(ops.sum(size, axis=-1))
        return self.decoder(code, training=training)


@keras.saving.register_keras_serializable(package="sslkit")
class ContractiveAutoencoder(_Penalised):
    r"""Autoencoder whose code shall hardly move when the image does.

    $$\min_{f, g}\; \mathbb{E}_x \bigl[\tfrac1n \lVert x - g(f(x)) \rVert^2
      + \lambda \lVert J_f(x) \rVert_F^2\bigr]$$

    with the Jacobian $J_f$ of the encoder. Reconstruction keeps the directions in
    which images differ, the penalty flattens all others. Rifai et al. (2011),
    *Contractive auto-encoders*, ICML.

    Args:
        encoder: As for `Autoencoder`.
        decoder: As for `Autoencoder`.
        penalty: Weight $\lambda$, at least 0.
        seed: Integer that fixes the directions in which the slope is measured.

    Raises:
        ValueError: If `penalty` is negative.
    """

    def call(self, images: Any, training: bool = False) -> Any:
        """Reconstruct images; in training, charge for the slope of the encoder."""
        self.owed.price = 0.0
        if training:
            # In float32, for the square of a difference would overflow in float16.
            v = keras.random.normal(ops.shape(images), seed=self.seed_generator)
            slope = losses.contraction(
                lambda x: ops.cast(self.encoder(x), "float32"),
                ops.cast(images, v.dtype),
                v,
            )
            self.owed.price = self.penalty * ops.mean(slope)
        return super().call(images, training)


def dense_autoencoder(features: int = 64) -> Autoencoder:
    """The article's network: 784 pixels, `features` ReLU units, 784 sigmoid pixels.

    Args:
        features: Length of the code, at least 1.

    Returns:
        An `Autoencoder` that is not compiled yet.

    Raises:
        ValueError: If `features` is not a positive integer.

    Example:
        >>> dense_autoencoder(64).count_params()
        101200
    """
    model = Autoencoder(
        networks.dense_encoder(features), networks.dense_decoder(features)
    )
    model.build((None, *networks.IMAGE_SHAPE))
    return model


def _check_number(name: str, value: float, below: float) -> None:
    if not isinstance(value, (int, float)) or not 0 <= value < below:
        limit = "" if below == math.inf else f" and below {below}"
        raise ValueError(
            f"{name} must be a number, at least 0{limit}, got {value!r}: "
            "0 turns it off."
        )
