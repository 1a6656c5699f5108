"""Attempts at `elbo` of assignment 3. `divergence` is given in the notebook."""

import numpy as np
from keras import ops


def right_log_sigmoid(x, logits, mean, log_var):
    """Through the logarithm of the sigmoid, both ways."""
    ink, paper = (
        ops.log_sigmoid(logits),
        ops.log_sigmoid(-ops.convert_to_tensor(logits)),
    )
    return ops.sum(x * ink + (1 - x) * paper, axis=1) - divergence(mean, log_var)


def right_numpy_loop(x, logits, mean, log_var):
    """NumPy, image by image."""
    bounds = []
    for image, a in zip(np.asarray(x), np.asarray(logits), strict=True):
        bounds.append(-np.logaddexp(0, np.where(image > 0.5, -a, a)).sum())
    return np.array(bounds) - divergence(mean, log_var)


def wrong_mean_over_pixels(x, logits, mean, log_var):
    """Mean for sum: the divergence weighs 784 times as much."""
    log_likelihood = ops.mean(x * logits - ops.softplus(logits), axis=-1)
    return log_likelihood - divergence(mean, log_var)


def wrong_adds_divergence(x, logits, mean, log_var):
    """Adds the divergence."""
    log_likelihood = ops.sum(x * logits - ops.softplus(logits), axis=-1)
    return log_likelihood + divergence(mean, log_var)


def wrong_sigmoid_twice(x, logits, mean, log_var):
    """Applies the sigmoid before a loss that applies it again."""
    p = ops.sigmoid(logits)
    log_likelihood = ops.sum(x * p - ops.softplus(p), axis=-1)
    return log_likelihood - divergence(mean, log_var)


def wrong_overflow(x, logits, mean, log_var):
    """The logarithm of a rounded probability: infinite for sure and wrong answers."""
    p = 1 / (1 + np.exp(-np.asarray(logits, "float32")))
    log_likelihood = np.sum(x * np.log(p) + (1 - x) * np.log(1 - p), axis=-1)
    return log_likelihood - divergence(mean, log_var)


def wrong_clipped(x, logits, mean, log_var):
    """Clips the probability, so that no pixel costs more than 16 nats."""
    p = np.clip(1 / (1 + np.exp(-np.asarray(logits))), 1e-7, 1 - 1e-7)
    log_likelihood = np.sum(x * np.log(p) + (1 - x) * np.log(1 - p), axis=-1)
    return log_likelihood - divergence(mean, log_var)


def wrong_without_divergence(x, logits, mean, log_var):
    """The log-likelihood alone: an autoencoder."""
    return ops.sum(x * logits - ops.softplus(logits), axis=-1)


def wrong_negative(x, logits, mean, log_var):
    """The loss instead of the bound."""
    nll = ops.sum(ops.softplus(logits) - x * logits, axis=-1)
    return nll + divergence(mean, log_var)


def wrong_calls_the_package(x, logits, mean, log_var):
    """Lets the package do it."""
    from sslkit import losses as package

    nll = package.bernoulli_nll(x, logits)
    return -np.asarray(nll) - np.asarray(package.gaussian_kl(mean, log_var))
