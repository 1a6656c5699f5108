"""Attempts at `squared_error` of assignment 2."""

import numpy as np
from keras import ops


def right_numpy_reshaped(x, x_hat):
    """NumPy, each image as one row of float64."""
    if x.shape != x_hat.shape:
        raise ValueError("not the same shape")
    gap = (x.astype("float64") - x_hat.astype("float64")).reshape(len(x), -1)
    return (gap**2).sum(axis=1)


def right_loop(x, x_hat):
    """Image after image; returns a list of numbers."""
    if np.shape(x) != np.shape(x_hat):
        raise ValueError("not the same shape")
    errors = []
    for image, copy in zip(x, x_hat, strict=True):
        gap = np.subtract(image, copy, dtype="float32").ravel()
        errors.append(float(gap @ gap))
    return errors


def right_axis_by_axis(x, x_hat):
    """Keras, the last axis first, until one is left."""
    if x.shape != x_hat.shape:
        raise ValueError("not the same shape")
    square = ops.square(ops.subtract(x.astype("float32"), x_hat.astype("float32")))
    while len(square.shape) > 1:
        square = ops.sum(square, axis=-1)
    return square


def right_expanded(x, x_hat):
    """The square multiplied out, in exact whole numbers or in float64."""
    if x.shape != x_hat.shape:
        raise ValueError("not the same shape")
    kind = "int64" if x.dtype == np.uint8 else "float64"
    a, b = (v.reshape(len(v), -1).astype(kind) for v in (x, x_hat))
    return (a * a).sum(1) - 2 * (a * b).sum(1) + (b * b).sum(1)


def wrong_mean_over_pixels(x, x_hat):
    """Mean for sum."""
    if x.shape != x_hat.shape:
        raise ValueError("not the same shape")
    gap = (x.astype("float32") - x_hat.astype("float32")).reshape(len(x), -1)
    return (gap**2).mean(axis=1)


def wrong_sum_over_batch(x, x_hat):
    """One number for the whole batch."""
    if x.shape != x_hat.shape:
        raise ValueError("not the same shape")
    return np.sum((x.astype("float32") - x_hat.astype("float32")) ** 2)


def wrong_last_axis_only(x, x_hat):
    """Sums over the last axis, which is enough for `[n, p]` only."""
    if x.shape != x_hat.shape:
        raise ValueError("not the same shape")
    square = (x.astype("float32") - x_hat.astype("float32")) ** 2
    return square.sum(axis=-1)


def wrong_over_images(x, x_hat):
    """Sums over the images, and leaves the pixels."""
    if x.shape != x_hat.shape:
        raise ValueError("not the same shape")
    gap = (x.astype("float32") - x_hat.astype("float32")).reshape(len(x), -1)
    return (gap**2).sum(axis=0)


def wrong_root(x, x_hat):
    """The distance, not its square."""
    if x.shape != x_hat.shape:
        raise ValueError("not the same shape")
    gap = (x.astype("float32") - x_hat.astype("float32")).reshape(len(x), -1)
    return np.linalg.norm(gap, axis=1)


def wrong_absolute(x, x_hat):
    """Absolute values for squares."""
    if x.shape != x_hat.shape:
        raise ValueError("not the same shape")
    gap = (x.astype("float32") - x_hat.astype("float32")).reshape(len(x), -1)
    return np.abs(gap).sum(axis=1)


def wrong_uint8_wraps(x, x_hat):
    """Subtracts 8-bit numbers: 10 - 11 is 255."""
    if x.shape != x_hat.shape:
        raise ValueError("not the same shape")
    gap = (x - x_hat).astype("float32").reshape(len(x), -1)
    return (gap**2).sum(axis=1)


def wrong_int16_wraps(x, x_hat):
    """Whole numbers of 16 bits hold the difference, but not its square."""
    if x.shape != x_hat.shape:
        raise ValueError("not the same shape")
    if x.dtype == np.uint8:
        x, x_hat = x.astype("int16"), x_hat.astype("int16")
    return ((x - x_hat) ** 2).reshape(len(x), -1).sum(axis=1)


def wrong_scales(x, x_hat):
    """Divides 8-bit pixels by 255, though their own unit is asked for."""
    if x.shape != x_hat.shape:
        raise ValueError("not the same shape")
    unit = 255.0 if x.dtype == np.uint8 else 1.0
    gap = (x / unit - x_hat / unit).reshape(len(x), -1)
    return (gap**2).sum(axis=1)


def wrong_broadcasts(x, x_hat):
    """Does not look at the shapes."""
    gap = ops.cast(x, "float32") - ops.cast(x_hat, "float32")
    return ops.sum(ops.square(gap), axis=tuple(range(1, len(gap.shape))))


def wrong_hard_coded(x, x_hat):
    """Answers the visible check and nothing else."""
    return {28: [196.0, 196.0], 2: [9.0, 16.0]}[x.shape[1]] if len(x) == 2 else [5.0]


def wrong_calls_the_package(x, x_hat):
    """Lets the package do it."""
    from sslkit.losses import squared_error as found

    if np.shape(x) != np.shape(x_hat):
        raise ValueError("shapes differ")
    return found(np.asarray(x, "float32"), np.asarray(x_hat, "float32"))
