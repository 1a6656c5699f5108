"""Attempts at `feature_spread` of assignment 5."""

import numpy as np
from keras import ops
from sklearn.preprocessing import StandardScaler, normalize


def right_numpy(h):
    """NumPy, from the definition."""
    u = h / np.linalg.norm(h, axis=1, keepdims=True)
    centred = u - u.mean(axis=0)
    return np.sqrt(np.mean(centred**2, axis=0)).mean()


def right_loop(h):
    """A loop over the features of plain numbers."""
    rows = [[float(x) for x in row] for row in h]
    rows = [[x / sum(y * y for y in row) ** 0.5 for x in row] for row in rows]
    total = 0.0
    for feature in zip(*rows, strict=True):
        mean = sum(feature) / len(feature)
        total += (sum((x - mean) ** 2 for x in feature) / len(feature)) ** 0.5
    return total / len(rows[0])


def right_scikit_learn(h):
    """With what scikit-learn has."""
    scaler = StandardScaler().fit(normalize(h).astype("float64"))
    return np.sqrt(scaler.var_).mean()


def right_transposed(h):
    """Features in rows, images in columns."""
    columns = ops.transpose(h)
    u = columns / ops.sqrt(ops.sum(ops.square(columns), axis=0))
    return ops.mean(ops.sqrt(ops.var(u, axis=1)))


def wrong_not_normalised(h):
    """The spread of the features as they come, which grows with their length."""
    return ops.mean(ops.std(h, axis=0))


def wrong_over_features(h):
    """The spread within each row."""
    return ops.mean(ops.std(ops.normalize(h, axis=-1), axis=-1))


def wrong_columns_normalised(h):
    """Unit columns instead of unit rows."""
    return ops.mean(ops.std(ops.normalize(h, axis=0), axis=0))


def wrong_variance(h):
    """Variances, without the root."""
    return ops.mean(ops.var(ops.normalize(h, axis=-1), axis=0))


def wrong_root_of_mean_variance(h):
    """Averages the variances and takes the root afterwards."""
    return ops.sqrt(ops.mean(ops.var(ops.normalize(h, axis=-1), axis=0)))


def wrong_all_numbers(h):
    """One standard deviation of all numbers: a collapsed encoder has one, too."""
    return ops.std(ops.normalize(h, axis=-1))


def wrong_less_one(h):
    """Divides by n - 1."""
    u = h / np.linalg.norm(h, axis=1, keepdims=True)
    return u.std(axis=0, ddof=1).mean()


def wrong_centred_first(h):
    """Takes the mean off before the rows are made unit vectors."""
    return ops.mean(ops.std(ops.normalize(h - np.mean(h, axis=0), axis=-1), axis=0))


def wrong_sum_of_absolutes(h):
    """Divides by the sum of the absolute values."""
    return np.mean(np.std(h / np.abs(h).sum(axis=1, keepdims=True), axis=0))


def wrong_cancellation(h):
    """Mean square less squared mean: below zero after rounding, and then NaN."""
    u = h / np.linalg.norm(h, axis=1, keepdims=True)
    with np.errstate(all="ignore"):
        return np.sqrt((u**2).mean(axis=0) - u.mean(axis=0) ** 2).mean()


def wrong_hard_coded(h):
    """Answers the visible check and nothing else."""
    u = h / np.linalg.norm(h, axis=1, keepdims=True)
    return 0.0 if np.allclose(u, u[0]) else 1 / np.sqrt(h.shape[1])


def wrong_calls_the_package(h):
    """Lets the package do it."""
    from sslkit.metrics import feature_std

    return feature_std(h)
