"""Attempts at `sample_codes` of assignment 3."""

import numpy as np
from keras import ops


def right_standard_deviation_first(mean, log_var, noise):
    """The root of the variance, and the sum the other way round."""
    std = ops.sqrt(ops.exp(log_var))
    return ops.add(ops.multiply(noise, std), mean)


def right_rows(mean, log_var, noise):
    """One latent variable after the other."""
    columns = [
        mean[:, j] + noise[:, j] * ops.exp(log_var[:, j] / 2)
        for j in range(mean.shape[1])
    ]
    return ops.stack(columns, axis=1)


def wrong_variance_for_std(mean, log_var, noise):
    """Scales the noise by the variance."""
    return mean + ops.exp(log_var) * noise


def wrong_log_var_is_std(mean, log_var, noise):
    """Scales the noise by the log-variance."""
    return mean + log_var * noise


def wrong_own_noise(mean, log_var, noise):
    """Draws noise of its own, so that the caller's seed has no effect."""
    noise = np.random.default_rng().normal(size=np.shape(noise)).astype("float32")
    return mean + ops.exp(0.5 * log_var) * noise


def wrong_no_gradient(mean, log_var, noise):
    """NumPy: the right numbers, and no gradient."""
    return np.asarray(mean) + np.exp(0.5 * np.asarray(log_var)) * np.asarray(noise)


def wrong_stopped_gradient(mean, log_var, noise):
    """Cuts the gradient to the spread."""
    return mean + ops.stop_gradient(ops.exp(0.5 * log_var)) * noise


def wrong_mean_only(mean, log_var, noise):
    """No noise at all: an autoencoder."""
    return mean + 0 * log_var * noise


def wrong_scales_mean(mean, log_var, noise):
    """Scales mean and noise alike."""
    return ops.exp(0.5 * log_var) * (mean + noise)
