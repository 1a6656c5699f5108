"""The autoencoder (chapter *Model building*)."""

import math
from typing import Any

import keras
from keras import ops

from sslkit import losses, networks


@keras.saving.register_keras_serializable(package="sslkit")
class Autoencoder(keras.Model):
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

    def __init__(
        self, encoder: keras.Model, decoder: keras.Model, **kwargs: Any
    ) -> None:
        """Keep the two networks; see the class for the arguments."""
        super().__init__(**kwargs)
        self.encoder = encoder
        self.decoder = decoder

    def call(self, images: Any) -> Any:
        """Reconstruct images, `[batch, ...]` in [0, 1], to the same shape."""
        if "int" in keras.backend.standardize_dtype(images.dtype):
            raise ValueError(
                f"images must be floating point in [0, 1], got {images.dtype}: "
                "use sslkit.data.batches or sslkit.data.unit_interval."
            )
        return self.decoder(self.encoder(images))

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Mean squared error per pixel between input `x` and output `y_pred`."""
        pixels = math.prod(x.shape[1:])
        return ops.mean(losses.squared_error(x, y_pred)) / pixels

    def get_config(self) -> dict[str, Any]:
        """Configuration from which `from_config` makes the same architecture."""
        return {
            **super().get_config(),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "decoder": keras.saving.serialize_keras_object(self.decoder),
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None
    ) -> "Autoencoder":
        """Make a model from `get_config`'s answer."""
        parts = {
            name: keras.saving.deserialize_keras_object(config.pop(name))
            for name in ("encoder", "decoder")
        }
        return cls(**parts, **config)


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
