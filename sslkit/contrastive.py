"""Contrastive learning: two views of one example are to get similar features.

Chapters *Unlabelled data and feature learning*, *Audio* and whichever else needs a
self-supervised encoder that works with few labels.
"""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import keras
from keras import ops

from sslkit import losses
from sslkit.augment import (
    RandomColour,
    RandomElastic,
    RandomFlip,
    RandomGain,
    RandomGrey,
    RandomResizedCrop,
)
from sslkit.base import Composite, follow, moving_copy
from sslkit.distribute import gather, share
from sslkit.networks import IMAGE_SHAPE


class TwoViews(Composite):
    """What models with two views of each example share (chapters *Contrastive* on).

    Both views come from one augmentation, which is one seeded warp for images
    (`digit_views`), and pass the networks in one batch. A subclass adds the loss in
    `compute_loss`.

    Args:
        encoder: Model from examples `[batch, ...]` to features `[batch, d]`. After
            training, `model.encoder` is what the probes judge.
        projector: Model from features `[batch, d]` to `[batch, p]`.
        augment: Layer or model from examples to examples of the same shape that
            draws a random change when called with `training=True`.
        seed: Kept with the model. The random changes have the seeds of their own
            layers.
    """

    parts: ClassVar[tuple[str, ...]] = ("encoder", "projector", "augment")

    def __init__(
        self,
        encoder: keras.Model,
        projector: keras.Model,
        augment: keras.Layer,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Keep the parts; see the class for the arguments."""
        super().__init__(seed, **kwargs)
        self.encoder = encoder
        self.projector = projector
        self.augment = augment

    def views(self, x: Any) -> Any:
        """Draw two views of each example.

        Args:
            x: Examples, `[batch, ...]`.

        Returns:
            Views `[2 batch, ...]`: all first ones, then all second ones. They are one
            batch, so that batch normalisation sees them together.
        """
        return ops.concatenate(
            [self.augment(x, training=True), self.augment(x, training=True)]
        )

    def call(self, x: Any, training: bool = False) -> Any:
        """Draw two views of each example and project their features.

        Args:
            x: Examples, `[batch, ...]`.
            training: Passed to the networks. The views are drawn either way.

        Returns:
            Projections `[2 batch, p]`: all first views, then all second views.
        """
        h = self.encoder(self.views(x), training=training)
        return self.projector(h, training=training)


@keras.saving.register_keras_serializable(package="sslkit")
class SimCLR(TwoViews):
    r"""Encoder trained to recognise its own example behind another random change.

    $$\min_f\; \mathbb{E}\; {-\log}
      \frac{e^{s(z, z^+)/\tau}}{\sum_{z' \ne z} e^{s(z, z')/\tau}}, \qquad
      z = p(f(T(x)))$$

    with encoder $f$, projector $p$, random change $T$, cosine similarity $s$ and
    temperature $\tau$. $z^+$ belongs to the other view of the same example, and the
    sum runs over all other views of the batch. Features are what the encoder
    returns; the projector serves the loss alone. Chen et al., arXiv 2002.05709.

    Args:
        encoder: Model from examples `[batch, ...]` to features `[batch, d]`. After
            training, `model.encoder` is what the probes judge.
        projector: Model from features `[batch, d]` to `[batch, p]`.
        augment: Layer or model from examples to examples of the same shape that
            draws a random change when called with `training=True`.
        temperature: $\tau$, above 0.
        seed: Kept with the model. The random changes have the seeds of their own
            layers.

    Raises:
        ValueError: If `temperature` is not above 0.

    Example:
        >>> import numpy as np
        >>> from sslkit import augment, networks
        >>> model = SimCLR(
        ...     networks.dense_encoder(8),
        ...     networks.projector(8),
        ...     augment.RandomAffine(15, shift=2, seed=0),
        ... )
        >>> model.compile(optimizer="adam")
        >>> images = np.random.default_rng(0).random((32, 28, 28), "float32")
        >>> list(model.fit(images, verbose=0).history)
        ['loss']
        >>> model.encoder(images).shape
        TensorShape([32, 8])
    """

    def __init__(
        self,
        encoder: keras.Model,
        projector: keras.Model,
        augment: keras.Layer,
        temperature: float = 0.2,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Keep the parts; see the class for the arguments."""
        _check_temperature(temperature)
        super().__init__(encoder, projector, augment, seed, **kwargs)
        self.temperature = temperature

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Mean NT-Xent loss of the batch, in nats."""
        z_a, z_b = gather(*ops.split(y_pred, 2))
        return share(ops.mean(losses.nt_xent(z_a, z_b, self.temperature)))

    def get_config(self) -> dict[str, Any]:
        """Configuration from which `from_config` makes the same architecture."""
        return {**super().get_config(), "temperature": self.temperature}


@keras.saving.register_keras_serializable(package="sslkit")
class MoCo(TwoViews):
    r"""Contrast with a queue of earlier keys, which a slowly moving copy makes.

    The first view of an example is a query, the second, through the copy, its key.
    The negatives are the keys of the last batches, so that their number does not
    depend on the size of a batch. Each step moves the copy's weights,
    $\xi \leftarrow m\, \xi + (1 - m)\, \theta$. He et al., arXiv 1911.05722.

    Args:
        encoder: As in `SimCLR`.
        projector: As in `SimCLR`.
        augment: As in `SimCLR`.
        temperature: $\tau$, above 0.
        momentum: $m$, from 0 to 1.
        queue: Number of keys that are kept, at least the size of a batch.
        seed: Fixes the random vectors that fill the queue at first.

    Raises:
        ValueError: If an argument is out of range, or a batch exceeds the queue.

    Example:
        >>> import numpy as np
        >>> from sslkit import augment, networks
        >>> model = MoCo(
        ...     networks.dense_encoder(8),
        ...     networks.projector(8),
        ...     augment.RandomAffine(15, shift=2, seed=0),
        ...     queue=64,
        ... )
        >>> model.compile(optimizer="adam")
        >>> images = np.random.default_rng(0).random((32, 28, 28), "float32")
        >>> list(model.fit(images, verbose=0).history)
        ['loss']
    """

    def __init__(
        self,
        encoder: keras.Model,
        projector: keras.Model,
        augment: keras.Layer,
        temperature: float = 0.2,
        momentum: float = 0.99,
        queue: int = 4096,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Keep the parts, make the copy and the queue; see the class."""
        _check_temperature(temperature)
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum must be from 0 to 1, got {momentum!r}.")
        if not isinstance(queue, int) or queue < 1:
            raise ValueError(f"queue must be a positive integer, got {queue!r}.")
        super().__init__(encoder, projector, augment, seed, **kwargs)
        self.temperature = temperature
        self.momentum = momentum
        self.target = moving_copy(encoder, projector)
        self.queue = self.add_weight(
            shape=(queue, projector.output_shape[-1]),
            initializer=keras.initializers.RandomNormal(seed=seed),
            trainable=False,
            name="queue",
        )

    def call(self, x: Any, training: bool = False) -> dict[str, Any]:
        """Draw two views of each example: a query and its key.

        Args:
            x: Examples, `[batch, ...]`.
            training: Passed to the networks. The views are drawn either way.

        Returns:
            `q`, projections of the first views, and `k`, those that the copy makes of
            the second views, each `[batch, p]`.
        """
        first, second = ops.split(self.views(x), 2)
        h = self.encoder(first, training=training)
        return {
            "q": self.projector(h, training=training),
            "k": ops.stop_gradient(self.target(second, training=training)),
        }

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Mean InfoNCE loss of the batch, in nats; in training, its keys queue up."""
        q, k = y_pred["q"], y_pred["k"]
        loss = ops.mean(losses.info_nce(q, k, self.queue, self.temperature))
        if training:
            k, size = gather(k), self.queue.shape[0]
            if k.shape[0] is not None and k.shape[0] > size:
                raise ValueError(
                    f"queue must hold a batch, got {size} for a batch of "
                    f"{k.shape[0]}: make it larger."
                )
            keys = ops.cast(k, self.queue.dtype)
            self.queue.assign(ops.concatenate([keys, self.queue])[:size])
        return share(loss)

    def train_step(self, data: Any) -> dict[str, Any]:
        """Take a step, then let the copy follow."""
        logs: dict[str, Any] = super().train_step(data)
        follow(self.target, (self.encoder, self.projector), self.momentum)
        return logs

    def get_config(self) -> dict[str, Any]:
        """Configuration from which `from_config` makes the same architecture."""
        return {
            **super().get_config(),
            "temperature": self.temperature,
            "momentum": self.momentum,
            "queue": self.queue.shape[0],
        }

    # Keras saves the weights of networks by itself, those of the model here.

    def save_own_variables(self, store: Any) -> None:
        """Save the queue, and what every `Composite` saves."""
        super().save_own_variables(store)
        store["queue"] = ops.convert_to_numpy(self.queue)

    def load_own_variables(self, store: Any) -> None:
        """Load the queue, and what every `Composite` loads."""
        super().load_own_variables(store)
        self.queue.assign(store["queue"])


def digit_views(seed: int = 0, shape: Sequence[int] = IMAGE_SHAPE) -> keras.Sequential:
    """Random changes that leave a digit what it is, for two views of an image.

    Rotation by up to 20 degrees, scale 0.75 to 1.25 along each axis, shear 0.3, a
    shift of up to 3 pixels and a bend of 1.2 pixels, all in one warp; then a gain of
    0.7 to 1.3.

    Args:
        seed: Fixes the sequence of draws.
        shape: Shape of an image, `(height, width)` or `(height, width, channels)`.
            The moves stay as many pixels, whatever the size.

    Returns:
        A model from images `[batch, *shape]` in [0, 1] to images of the same shape.

    Example:
        >>> digit_views()(ops.zeros((2, 28, 28)), training=True).shape
        TensorShape([2, 28, 28])
    """
    warp = RandomElastic(
        1.2, degrees=20, scale=(0.75, 1.25), shear=0.3, shift=3, seed=seed
    )
    return keras.Sequential(
        [keras.Input(shape), warp, RandomGain(0.7, 1.3, seed=seed)],
        name="digit_views",
    )


def photo_views(
    shape: Sequence[int], seed: int = 0, strength: float = 1.0
) -> keras.Sequential:
    """Random changes that leave a photograph's subject what it is, for two views.

    A crop of a fifth of the area to all of it, enlarged to the old size; a mirror
    image in one case of two; other colours; and in one case of five none. Grey images
    get another contrast and brightness instead of colours. Chen et al., arXiv
    2002.05709, section 3 and appendix A, where crops go down to 8 % of the area, and
    without the blur, of which the small images of CIFAR-10 get none either.

    Args:
        shape: Shape of an image, `(height, width)` or `(height, width, channels)`.
        seed: Fixes the sequence of draws.
        strength: Strength of `sslkit.augment.RandomColour`. The paper takes 1 for
            ImageNet and 0.5 for CIFAR-10 (appendix B.9).

    Returns:
        A model from images `[batch, *shape]` in [0, 1] to images of the same shape.

    Raises:
        ValueError: If `strength` is out of range.

    Example:
        >>> photo_views((64, 64, 3))(ops.zeros((2, 64, 64, 3)), training=True).shape
        TensorShape([2, 64, 64, 3])
    """
    layers = [
        RandomResizedCrop((0.2, 1.0), seed=seed),
        RandomFlip("horizontal", seed=seed),
        RandomColour(strength, seed=seed),
    ]
    if math.prod(shape[2:]) > 1:
        layers.append(RandomGrey(0.2, seed=seed))
    return keras.Sequential([keras.Input(shape), *layers], name="photo_views")


def _check_temperature(temperature: float) -> None:
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature must be above 0, got {temperature!r}.")
