"""Attempts at `gaussian_kl` of assignment 3."""

import numpy as np
from keras import ops


def right_numpy(mean, log_var):
    """NumPy, terms in another order."""
    mean, log_var = np.asarray(mean), np.asarray(log_var)
    return (0.5 * (mean**2 + np.exp(log_var)) - 0.5 * (1 + log_var)).sum(axis=1)


def right_loop(mean, log_var):
    """A loop over rows and latent variables; returns a list of numbers."""
    rows = []
    for means, log_vars in zip(np.asarray(mean), np.asarray(log_var), strict=True):
        total = 0.0
        for m, v in zip(means, log_vars, strict=True):
            total += 0.5 * (np.exp(v) + m * m - 1 - v)
        rows.append(total)
    return rows


def wrong_log_var_is_std(mean, log_var):
    """Takes the log-variance for the standard deviation."""
    var = ops.square(log_var)
    return 0.5 * ops.sum(var + ops.square(mean) - 1 - ops.log(var + 1e-9), axis=-1)


def wrong_log_var_is_log_std(mean, log_var):
    """Takes the log-variance for the logarithm of the standard deviation."""
    return 0.5 * ops.sum(
        ops.exp(2 * log_var) + ops.square(mean) - 1 - 2 * log_var, axis=-1
    )


def wrong_mean_over_latents(mean, log_var):
    """Averages over the latent variables instead of adding them up."""
    return 0.5 * ops.mean(ops.exp(log_var) + ops.square(mean) - 1 - log_var, axis=-1)


def wrong_sign(mean, log_var):
    """The negative divergence, which some papers maximise."""
    return 0.5 * ops.sum(1 + log_var - ops.square(mean) - ops.exp(log_var), axis=-1)


def wrong_without_half(mean, log_var):
    """Forgets the factor one half."""
    return ops.sum(ops.exp(log_var) + ops.square(mean) - 1 - log_var, axis=-1)


def wrong_reversed(mean, log_var):
    """The divergence of the prior from the code, not of the code from the prior."""
    inverse = ops.exp(-log_var)
    return 0.5 * ops.sum(inverse + ops.square(mean) * inverse - 1 + log_var, axis=-1)


def wrong_sum_over_batch(mean, log_var):
    """One number for the whole batch."""
    return 0.5 * ops.sum(ops.exp(log_var) + ops.square(mean) - 1 - log_var)


def wrong_hard_coded(mean, log_var):
    """Answers the visible check and nothing else."""
    return np.where(np.abs(mean).sum(axis=-1) == 0, 0.0, 0.5)


def wrong_calls_the_package(mean, log_var):
    """Lets the package do it, under another name."""
    from sslkit.losses import gaussian_kl as found

    return found(mean, log_var)
