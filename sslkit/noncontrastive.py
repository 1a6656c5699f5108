"""Two views without negatives, and what keeps their features from collapsing.

Chapter *Without negatives*. If the loss only asks that two views agree, one answer for
everything is perfect. `SimSiam` and `BYOL` prevent it by letting only one side learn,
`BarlowTwins` and `VICReg` by asking that the numbers of a projection differ.
"""

import math
from typing import Any

import keras
from keras import ops

from sslkit import losses
from sslkit.base import follow, moving_copy
from sslkit.contrastive import TwoViews
from sslkit.distribute import gather, share


def batchnorm_mlp(
    inputs: int, hidden: int = 256, outputs: int = 256, normalise: bool = False
) -> keras.Sequential:
    """Projector or predictor: a hidden layer with batch normalisation and ReLU.

    Unlike `sslkit.networks.projector` it does not bend its inputs, and it may
    normalise its outputs. SimSiam's projector does (arXiv 2011.10566, section 4.4),
    its predictor does not.

    Args:
        inputs: Length of the input vectors, at least 1.
        hidden: Units of the hidden layer.
        outputs: Length of the output vectors.
        normalise: Whether batch normalisation follows the last layer.

    Returns:
        A model from `[batch, inputs]` to `[batch, outputs]`.

    Raises:
        ValueError: If a width is not a positive integer.

    Example:
        >>> batchnorm_mlp(128, 64, 32).output_shape
        (None, 32)
    """
    for name, width in [("inputs", inputs), ("hidden", hidden), ("outputs", outputs)]:
        if not isinstance(width, int) or width < 1:
            raise ValueError(
                f"{name} must be a positive integer, got {width!r}: pass the number "
                "of units of the layer."
            )
    network = keras.Sequential(
        [
            keras.Input((inputs,)),
            keras.layers.Dense(hidden, use_bias=False),
            keras.layers.BatchNormalization(momentum=0.9),
            keras.layers.ReLU(),
            keras.layers.Dense(outputs),
        ]
    )
    if normalise:
        network.add(keras.layers.BatchNormalization(momentum=0.9))
    return network


@keras.saving.register_keras_serializable(package="sslkit")
class SimSiam(TwoViews):
    r"""Each view predicts the projection of the other, which gets no gradient.

    $$-\tfrac12\, s\bigl(q(z_a), \mathrm{sg}(z_b)\bigr)
      - \tfrac12\, s\bigl(q(z_b), \mathrm{sg}(z_a)\bigr)$$

    with projections $z_a$, $z_b$ of two views, predictor $q$, cosine similarity $s$,
    and $\mathrm{sg}$ its argument taken as a constant. Chen and He, arXiv 2011.10566.

    Args:
        *parts: `encoder`, `projector` and `augment`, as in `TwoViews`.
        predictor: Model from projections `[batch, p]` to `[batch, p]`.
        stop_gradient: Whether $\mathrm{sg}$ stops the gradient. Without it features
            collapse, which the chapter shows.
        **kwargs: `seed`, as in `TwoViews`, and `name`.

    Example:
        >>> import numpy as np
        >>> from sslkit import augment, networks
        >>> model = SimSiam(
        ...     networks.dense_encoder(8), batchnorm_mlp(8, 16, 16, normalise=True),
        ...     augment.RandomAffine(15, shift=2, seed=0),
        ...     predictor=batchnorm_mlp(16, 8, 16))
        >>> model.compile(optimizer="adam")
        >>> images = np.random.default_rng(0).random((32, 28, 28), "float32")
        >>> list(model.fit(images, verbose=0).history)
        ['loss']
    """

    parts = (*TwoViews.parts, "predictor")

    def __init__(
        self,
        *parts: Any,
        predictor: keras.Model,
        stop_gradient: bool = True,
        **kwargs: Any,
    ) -> None:
        """Keep the parts; see the class for the arguments."""
        super().__init__(*parts, **kwargs)
        self.predictor = predictor
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
        return share(ops.mean(losses.negative_cosine(y_pred["p"], other)))

    def get_config(self) -> dict[str, Any]:
        """Configuration from which `from_config` makes the same architecture."""
        return {**super().get_config(), "stop_gradient": self.stop_gradient}


@keras.saving.register_keras_serializable(package="sslkit")
class BYOL(SimSiam):
    r"""As `SimSiam`, but what is predicted comes from a slowly moving copy.

    Each step moves the weights $\xi$ of the copy (encoder and projector) towards
    those of the network, $\xi \leftarrow m\, \xi + (1 - m)\, \theta$. The loss is that
    of `SimSiam`; the paper's is twice this plus 2 in each direction. Grill et al.,
    arXiv 2006.07733.

    Args:
        *parts: `encoder`, `projector` and `augment`, as in `TwoViews`.
        momentum: $m$, from 0 to 1. With 0 the copy is the network itself as the last
            step left it, with 1 it stays as it was made.
        **kwargs: `predictor`, as in `SimSiam`, `seed` and `name`.

    Raises:
        ValueError: If `momentum` is out of range.

    Example:
        >>> from sslkit import augment, networks
        >>> model = BYOL(
        ...     networks.dense_encoder(8), batchnorm_mlp(8, 16, 16),
        ...     augment.RandomAffine(15, shift=2, seed=0),
        ...     predictor=batchnorm_mlp(16, 8, 16), momentum=0.9)
        >>> any(weight.trainable for weight in model.target.weights)
        False
    """

    def __init__(self, *parts: Any, momentum: float = 0.99, **kwargs: Any) -> None:
        """Keep the parts and make the copy; see the class for the arguments."""
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum must be from 0 to 1, got {momentum!r}.")
        super().__init__(*parts, **kwargs)
        self.momentum = momentum
        self.target = moving_copy(self.encoder, self.projector)

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
        follow(self.target, [self.encoder, self.projector], self.momentum)
        return logs

    def get_config(self) -> dict[str, Any]:
        """Configuration from which `from_config` makes the same architecture."""
        return {**super().get_config(), "momentum": self.momentum}


@keras.saving.register_keras_serializable(package="sslkit")
class BarlowTwins(TwoViews):
    r"""Two views agree number by number, and no number repeats another.

    The loss is $\sum_i (1 - C_{ii})^2 + \lambda \sum_{i \ne j} C_{ij}^2$, divided by
    the length of a projection, with $C$ the correlations of
    `sslkit.losses.barlow_terms`. Zbontar et al., arXiv 2103.03230.

    Args:
        *parts: `encoder`, `projector` and `augment`, as in `TwoViews`.
        weight: $\lambda$, at least 0. With 0 all numbers may be the same.
        **kwargs: `seed`, as in `TwoViews`, and `name`.

    Raises:
        ValueError: If `weight` is below 0.

    Example:
        >>> from sslkit import augment, networks
        >>> model = BarlowTwins(networks.dense_encoder(8), networks.projector(8),
        ...                     augment.RandomAffine(15, shift=2, seed=0))
        >>> model(ops.zeros((4, 28, 28))).shape
        TensorShape([8, 64])
    """

    def __init__(self, *parts: Any, weight: float = 0.005, **kwargs: Any) -> None:
        """Keep the parts; see the class for the arguments."""
        _at_least_zero("weight", weight)
        super().__init__(*parts, **kwargs)
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
        terms = losses.barlow_terms(*gather(*ops.split(y_pred, 2)))
        total = terms["invariance"] + self.weight * terms["redundancy"]
        return share(total / y_pred.shape[-1])

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
        *parts: `encoder`, `projector` and `augment`, as in `TwoViews`.
        invariance: $\lambda$, at least 0.
        variance: $\mu$, at least 0. With 0 features collapse.
        covariance: $\nu$, at least 0.
        **kwargs: `seed`, as in `TwoViews`, and `name`.

    Raises:
        ValueError: If a weight is below 0.

    Example:
        >>> from sslkit import augment, networks
        >>> model = VICReg(networks.dense_encoder(8), networks.projector(8),
        ...                augment.RandomAffine(15, shift=2, seed=0))
        >>> model(ops.zeros((4, 28, 28))).shape
        TensorShape([8, 64])
    """

    def __init__(
        self,
        *parts: Any,
        invariance: float = 25.0,
        variance: float = 25.0,
        covariance: float = 1.0,
        **kwargs: Any,
    ) -> None:
        """Keep the parts; see the class for the arguments."""
        weights = {
            "invariance": invariance,
            "variance": variance,
            "covariance": covariance,
        }
        for name, value in weights.items():
            _at_least_zero(name, value)
        super().__init__(*parts, **kwargs)
        self.term_weights = weights

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Weighted sum of the three terms."""
        terms = losses.vicreg_terms(*gather(*ops.split(y_pred, 2)))
        return share(sum(self.term_weights[name] * terms[name] for name in terms))

    def get_config(self) -> dict[str, Any]:
        """Configuration from which `from_config` makes the same architecture."""
        return {**super().get_config(), **self.term_weights}


def _at_least_zero(name: str, value: float) -> None:
    if not 0 <= value < math.inf:
        raise ValueError(
            f"{name} must be a number from 0, got {value!r}: pass 0 to switch the "
            "term off."
        )
