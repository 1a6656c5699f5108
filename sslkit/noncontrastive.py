"""Two views without negatives, and what keeps their features from collapsing.

If a loss only asks that two views agree, one answer for everything is perfect.
`SimSiam` and `BYOL` prevent it by letting only one side learn, `BarlowTwins` and
`VICReg` by asking that the numbers of a projection differ.
"""

import math
from typing import Any

import keras
from keras import ops

from sslkit import losses
from sslkit.base import Composite


class TwoViews(Composite):
    """What the models below share: two views of each example, projected."""

    def views(self, x: Any) -> Any:
        """Draw two views of each example, all first ones, then all second ones.

        Args:
            x: Examples, `[batch, ...]`.

        Returns:
            Views `[2 batch, ...]`, in one batch, so that batch normalisation sees
            them together.
        """
        pair = [self.augment(x, training=True), self.augment(x, training=True)]
        return ops.concatenate(pair)

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
class SimSiam(TwoViews):
    r"""Each view predicts the projection of the other, which gets no gradient.

    $$-\tfrac12\, s\bigl(q(z_a), \mathrm{sg}(z_b)\bigr)
      - \tfrac12\, s\bigl(q(z_b), \mathrm{sg}(z_a)\bigr)$$

    with projections $z$, predictor $q$, cosine similarity $s$, and $\mathrm{sg}$ its
    argument taken as a constant. Chen and He, arXiv 2011.10566.

    Args:
        encoder: Model from examples `[batch, ...]` to features `[batch, d]`. After
            training, `model.encoder` is what the probes judge.
        projector: Model from features `[batch, d]` to `[batch, p]`.
        predictor: Model from `[batch, p]` to `[batch, p]`.
        augment: Layer from examples to examples that draws a random change when
            called with `training=True`.
        stop_gradient: Whether $\mathrm{sg}$ stops the gradient. Without it, features
            collapse.
        seed: Kept with the model.

    Example:
        >>> import numpy as np
        >>> from sslkit import augment, networks
        >>> model = SimSiam(
        ...     networks.dense_encoder(8), networks.projector(8),
        ...     networks.projector(64),
        ...     augment.RandomAffine(15, shift=2, seed=0))
        >>> model.compile(optimizer="adam")
        >>> images = np.random.default_rng(0).random((32, 28, 28), "float32")
        >>> list(model.fit(images, verbose=0).history)
        ['loss']
    """

    parts = ("encoder", "projector", "predictor", "augment")

    def __init__(
        self,
        encoder: keras.Model,
        projector: keras.Model,
        predictor: keras.Model,
        augment: keras.Layer,
        stop_gradient: bool = True,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Keep the parts; see the class for the arguments."""
        super().__init__(seed, **kwargs)
        self.encoder = encoder
        self.projector = projector
        self.predictor = predictor
        self.augment = augment
        self.stop_gradient = stop_gradient

    def call(self, x: Any, training: bool = False) -> dict[str, Any]:
        """Predict each view's projection from the other view.

        Args:
            x: Examples, `[batch, ...]`.
            training: Passed to the networks. The views are drawn either way.

        Returns:
            `p`, predictions of the views, and `z`, what they are compared with, both
            `[2 batch, p]`: all first views, then all second views.
        """
        z = super().call(x, training)
        return {"p": self.predictor(z, training=training), "z": z}

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Mean of both directions, from -1 (all predictions right) to 1."""
        z = y_pred["z"]
        z_a, z_b = ops.split(ops.stop_gradient(z) if self.stop_gradient else z, 2)
        other = ops.concatenate([z_b, z_a])
        return ops.mean(losses.negative_cosine(y_pred["p"], other))

    def get_config(self) -> dict[str, Any]:
        """Configuration from which `from_config` makes the same architecture."""
        return {**super().get_config(), "stop_gradient": self.stop_gradient}


@keras.saving.register_keras_serializable(package="sslkit")
class BYOL(SimSiam):
    r"""As `SimSiam`, but what is predicted comes from a slowly moving copy.

    Each step moves the weights $\xi$ of the copy (encoder and projector) towards
    those of the network, $\xi \leftarrow m\, \xi + (1 - m)\, \theta$. The loss is that
    of `SimSiam`; the paper's is twice this plus 2. Grill et al., arXiv 2006.07733.

    Args:
        encoder: As in `SimSiam`.
        projector: As in `SimSiam`.
        predictor: As in `SimSiam`.
        augment: As in `SimSiam`.
        momentum: $m$, from 0 to 1. With 0 the copy is the network itself, a step
            late.
        seed: Kept with the model.

    Raises:
        ValueError: If `momentum` is out of range.

    Example:
        >>> from sslkit import augment, networks
        >>> model = BYOL(
        ...     networks.dense_encoder(8), networks.projector(8),
        ...     networks.projector(64),
        ...     augment.RandomAffine(15, shift=2, seed=0), momentum=0.99)
        >>> len(model.trainable_variables) < len(model.variables)
        True
    """

    def __init__(
        self,
        encoder: keras.Model,
        projector: keras.Model,
        predictor: keras.Model,
        augment: keras.Layer,
        momentum: float = 0.99,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Keep the parts and make the copy; see the class for the arguments."""
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum must be from 0 to 1, got {momentum!r}.")
        super().__init__(encoder, projector, predictor, augment, seed=seed, **kwargs)
        self.momentum = momentum
        self.target = keras.Sequential([_copy(encoder), _copy(projector)])
        # Not through the layers: batch normalisation would change its ways with them.
        for weight in self.target.weights:
            weight.trainable = False

    def call(self, x: Any, training: bool = False) -> dict[str, Any]:
        """As `SimSiam.call`, with `z` from the copy."""
        views = self.views(x)
        h = self.encoder(views, training=training)
        z = self.projector(h, training=training)
        # The copy normalises with the statistics of the batch, as the network does.
        return {
            "p": self.predictor(z, training=training),
            "z": self.target(views, training=training),
        }

    def train_step(self, data: Any) -> dict[str, Any]:
        """Take a step, then let the copy follow."""
        logs: dict[str, Any] = super().train_step(data)
        self.follow()
        return logs

    def follow(self) -> None:
        """Move the copy by one step towards the network."""
        network = self.encoder.weights + self.projector.weights
        for target, source in zip(self.target.weights, network, strict=True):
            target.assign(self.momentum * target + (1 - self.momentum) * source)

    def get_config(self) -> dict[str, Any]:
        """Configuration from which `from_config` makes the same architecture."""
        config = {**super().get_config(), "momentum": self.momentum}
        del config["stop_gradient"]  # the copy has no gradient in any case
        return config


@keras.saving.register_keras_serializable(package="sslkit")
class BarlowTwins(TwoViews):
    r"""Two views agree number by number, and no number repeats another.

    The loss is $\sum_i (1 - C_{ii})^2 + \lambda \sum_{i \ne j} C_{ij}^2$ with $C$ the
    correlations of `sslkit.losses.barlow_terms`. Zbontar et al., arXiv 2103.03230.

    Args:
        encoder: Model from examples `[batch, ...]` to features `[batch, d]`.
        projector: Model from features `[batch, d]` to `[batch, p]`.
        augment: Layer that draws a random change when called with `training=True`.
        weight: $\lambda$, at least 0. With 0 all numbers may be the same.
        seed: Kept with the model.

    Raises:
        ValueError: If `weight` is below 0.

    Example:
        >>> from sslkit import augment, networks
        >>> model = BarlowTwins(networks.dense_encoder(8), networks.projector(8),
        ...                     augment.RandomAffine(15, shift=2, seed=0))
        >>> model(ops.zeros((4, 28, 28))).shape
        TensorShape([8, 64])
    """

    parts = ("encoder", "projector", "augment")

    def __init__(
        self,
        encoder: keras.Model,
        projector: keras.Model,
        augment: keras.Layer,
        weight: float = 0.005,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Keep the parts; see the class for the arguments."""
        _at_least_zero("weight", weight)
        super().__init__(seed, **kwargs)
        self.encoder = encoder
        self.projector = projector
        self.augment = augment
        self.weight = weight

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Weighted sum of the terms, divided by the length of a projection."""
        terms = losses.barlow_terms(*ops.split(y_pred, 2))
        total = terms["invariance"] + self.weight * terms["redundancy"]
        return total / y_pred.shape[-1]

    def get_config(self) -> dict[str, Any]:
        """Configuration from which `from_config` makes the same architecture."""
        return {**super().get_config(), "weight": self.weight}


@keras.saving.register_keras_serializable(package="sslkit")
class VICReg(TwoViews):
    r"""Two views agree, each number varies, and no two numbers vary together.

    The loss is $\lambda$ times the invariance, $\mu$ times the variance and $\nu$
    times the covariance term of `sslkit.losses.vicreg_terms`. Bardes et al., arXiv
    2105.04906, whose weights are the defaults.

    Args:
        encoder: Model from examples `[batch, ...]` to features `[batch, d]`.
        projector: Model from features `[batch, d]` to `[batch, p]`.
        augment: Layer that draws a random change when called with `training=True`.
        invariance: $\lambda$, at least 0.
        variance: $\mu$, at least 0. With 0 features collapse.
        covariance: $\nu$, at least 0.
        seed: Kept with the model.

    Raises:
        ValueError: If a weight is below 0.

    Example:
        >>> from sslkit import augment, networks
        >>> model = VICReg(networks.dense_encoder(8), networks.projector(8),
        ...                augment.RandomAffine(15, shift=2, seed=0))
        >>> model(ops.zeros((4, 28, 28))).shape
        TensorShape([8, 64])
    """

    parts = ("encoder", "projector", "augment")

    def __init__(
        self,
        encoder: keras.Model,
        projector: keras.Model,
        augment: keras.Layer,
        invariance: float = 25.0,
        variance: float = 25.0,
        covariance: float = 1.0,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Keep the parts; see the class for the arguments."""
        self.weights_of_terms = {
            "invariance": invariance,
            "variance": variance,
            "covariance": covariance,
        }
        for name, value in self.weights_of_terms.items():
            _at_least_zero(name, value)
        super().__init__(seed, **kwargs)
        self.encoder = encoder
        self.projector = projector
        self.augment = augment

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Weighted sum of the three terms."""
        terms = losses.vicreg_terms(*ops.split(y_pred, 2))
        return sum(self.weights_of_terms[name] * terms[name] for name in terms)

    def get_config(self) -> dict[str, Any]:
        """Configuration from which `from_config` makes the same architecture."""
        return {**super().get_config(), **self.weights_of_terms}


def _at_least_zero(name: str, value: float) -> None:
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} must be a number from 0, got {value!r}.")


def _copy(network: keras.Model) -> keras.Model:
    copy = keras.models.clone_model(network)
    copy.set_weights(network.get_weights())
    return copy
