"""Loss functions, as pure functions of `keras.ops` (chapters *Model building* on).

Each returns one value per image, so that the choice between sum and mean is made,
and seen, where the loss is used.
"""

from typing import Any

from keras import ops


def squared_error(x: Any, x_hat: Any) -> Any:
    r"""Squared error of a reconstruction, summed over the pixels of each image.

    $$\mathrm{SE}(x, \hat x) = \sum_{i} (x_i - \hat x_i)^2$$

    Up to a constant and a factor this is the negative log-likelihood of a Gaussian
    with mean $\hat x$ and a fixed variance.

    Args:
        x: Images, `[batch, ...]`.
        x_hat: Reconstructions, same shape.

    Returns:
        Squared errors, `[batch]`. Divide by the number of pixels for the mean
        squared error per pixel.

    Raises:
        ValueError: If the two shapes differ. (Broadcasting would return a number,
            but not the one that was asked for.)

    Example:
        >>> import numpy as np
        >>> x, x_hat = np.zeros((2, 28, 28)), np.full((2, 28, 28), 0.5)
        >>> print(np.asarray(squared_error(x, x_hat)))
        [196. 196.]
    """
    _same_shape(x, x_hat, "x_hat")
    return _sum_over_pixels(ops.square(ops.subtract(x, x_hat)))


def bernoulli_nll(x: Any, logits: Any) -> Any:
    r"""Negative log-likelihood of pixels under independent Bernoulli variables.

    $$-\sum_i \bigl[x_i \log \sigma(a_i) + (1 - x_i)\log(1 - \sigma(a_i))\bigr]
      = \sum_i \bigl[\max(a_i, 0) - a_i x_i + \log(1 + e^{-|a_i|})\bigr]$$

    The right-hand side, which is what is computed, does not overflow. For a grey
    pixel, $0 < x_i < 1$, the smallest value is the entropy of $x_i$ and not zero.

    Args:
        x: Images with values in [0, 1], `[batch, ...]`.
        logits: Pre-activations $a$ of the sigmoid $\sigma$, same shape.

    Returns:
        Negative log-likelihoods in nats, `[batch]`.

    Raises:
        ValueError: If the two shapes differ.

    Example:
        >>> import numpy as np
        >>> x, logits = np.ones((1, 2, 2)), np.zeros((1, 2, 2))
        >>> print(np.asarray(bernoulli_nll(x, logits)).round(4))  # 4 log 2
        [2.7726]
    """
    _same_shape(x, logits, "logits")
    nll = (
        ops.relu(logits)
        - ops.multiply(logits, x)
        + ops.log1p(ops.exp(-ops.abs(logits)))
    )
    return _sum_over_pixels(nll)


def _same_shape(x: Any, other: Any, name: str) -> None:
    # Inside a traced function the batch size is unknown (None) and matches any.
    shapes = tuple(x.shape), tuple(other.shape)
    same = len(shapes[0]) == len(shapes[1]) and all(
        a == b or None in (a, b) for a, b in zip(*shapes, strict=True)
    )
    if not same:
        raise ValueError(
            f"x and {name} must have the same shape, got {shapes[0]} and "
            f"{shapes[1]}: reshape {name} to the shape of the images."
        )


def _sum_over_pixels(values: Any) -> Any:
    return ops.sum(values, axis=tuple(range(1, len(values.shape))))
