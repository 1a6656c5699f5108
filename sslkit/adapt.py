"""Test-time adaptation: a trained classifier follows a shifted stream without labels.

Chapter *More adaptive models*. All of it concerns batch normalisation: re-estimate
its statistics (`update_statistics`), or train its scales and offsets until the
classifier is sure of itself (`Tent`).
"""

from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf
from keras import ops


def entropy(logits: Any) -> Any:
    r"""Entropy of the classes that a classifier predicts, in nats.

    $$H = -\sum_k p_k \log p_k, \qquad p_k = \frac{e^{a_k}}{\sum_l e^{a_l}}$$

    Args:
        logits: $a$, one row an example, `[batch, classes]`.

    Returns:
        Entropies `[batch]`, from 0 (sure) to the logarithm of the number of classes.

    Example:
        >>> import numpy as np
        >>> print(np.asarray(entropy(np.zeros((1, 10)))).round(4))  # log 10
        [2.3026]
    """
    log_p = ops.log_softmax(logits)
    return -ops.sum(ops.exp(log_p) * log_p, axis=-1)


def update_statistics(model: keras.Sequential, x: Any, weight: float = 1.0) -> Any:
    r"""Move the statistics of batch normalisation towards those of a batch.

    In each layer of batch normalisation, from the first to the last,
    $m \leftarrow (1 - w)\, m + w\, \hat m$ and the same for the variance, where
    $\hat m$ is the mean of what reaches the layer from this batch. No weight is
    trained. Schneider et al., arXiv 2006.16971; Nado et al., arXiv 2006.10963.

    Args:
        model: A `Sequential` model, which may hold others. It is changed.
        x: Batch of inputs, `[batch, ...]`.
        weight: $w$, above 0, at most 1. With 1 the batch alone counts.

    Returns:
        What the model returns for `x` with the new statistics.

    Raises:
        ValueError: If `weight` is out of range, or the model is of another kind or
            has no batch normalisation.

    Example:
        >>> import numpy as np
        >>> layer = keras.layers.BatchNormalization()
        >>> model = keras.Sequential([keras.Input((1,)), layer])
        >>> _ = update_statistics(model, np.array([[1.0], [3.0]]))
        >>> print(layer.moving_mean.numpy(), layer.moving_variance.numpy())
        [2.] [1.]
    """
    if not 0 < weight <= 1:
        raise ValueError(f"weight must be above 0 and at most 1, got {weight!r}.")
    normalisations(model)
    h = ops.convert_to_tensor(x, dtype="float32")
    for layer in _layers(model):
        if isinstance(layer, keras.layers.BatchNormalization):
            axes = tuple(range(len(h.shape) - 1))
            mean, variance = ops.moments(h, axes)
            for old, new in [
                (layer.moving_mean, mean),
                (layer.moving_variance, variance),
            ]:
                old.assign((1 - weight) * old + weight * new)
        h = layer(h, training=False)
    return h


class Tent:
    r"""Entropy minimisation: be surer of this batch than before.

    Each call predicts a batch, with the statistics of the batch itself, and then
    takes one step of an optimizer on the mean `entropy` of the predictions. Only the
    scale and the offset of each batch normalisation are trained. Wang et al.,
    arXiv 2006.10726.

    Args:
        model: A `Sequential` classifier from `[batch, ...]` to logits. It is changed.
        optimizer: A Keras optimizer that no other model uses.

    Raises:
        ValueError: If the model is of another kind or has no batch normalisation.

    Example:
        >>> import numpy as np
        >>> model = keras.Sequential([
        ...     keras.Input((4,)), keras.layers.BatchNormalization(),
        ...     keras.layers.Dense(3)])
        >>> tent = Tent(model, keras.optimizers.Adam(1e-3))
        >>> tent(np.random.default_rng(0).normal(size=(8, 4))).shape
        TensorShape([8, 3])
    """

    def __init__(
        self, model: keras.Sequential, optimizer: keras.optimizers.Optimizer
    ) -> None:
        """Keep the model; see the class for the arguments."""
        self.model = model
        self.optimizer = optimizer
        self.variables = [
            variable
            for layer in normalisations(model)
            for variable in (layer.gamma, layer.beta)
        ]
        optimizer.build(self.variables)
        self._step = tf.function(self.step)

    def __call__(self, x: Any) -> Any:
        """Predict, then adapt.

        Args:
            x: Batch of inputs, `[batch, ...]`, at least two examples.

        Returns:
            Logits `[batch, classes]`, from before the step.
        """
        return self._step(ops.convert_to_tensor(x, dtype="float32"))

    def step(self, x: Any) -> Any:
        """Do what a call does, without compilation."""
        with tf.GradientTape() as tape:
            logits = self.model(x, training=True)
            loss = ops.mean(entropy(logits))
        sources = [variable.value for variable in self.variables]
        self.optimizer.apply(tape.gradient(loss, sources), self.variables)
        return logits


def normalisations(model: keras.Sequential) -> list[keras.layers.BatchNormalization]:
    """List the batch normalisations of a model, from the first to the last.

    Args:
        model: A `Sequential` model, which may hold others.

    Returns:
        The layers themselves.

    Raises:
        ValueError: If the model is of another kind or has none.
    """
    found = [
        layer
        for layer in _layers(model)
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    if not found:
        raise ValueError(
            "model has no batch normalisation, so there is nothing to adapt: build "
            "it with, say, sslkit.networks.batchnorm_encoder."
        )
    return found


def _layers(model: keras.Sequential) -> Iterator[keras.layers.Layer]:
    if not isinstance(model, keras.Sequential):
        raise ValueError(
            f"model must be a keras.Sequential, got {type(model).__name__}: its "
            "layers are visited in order."
        )
    for layer in model.layers:
        if isinstance(layer, keras.Sequential):
            yield from _layers(layer)
        else:
            yield layer
