"""Attempts at `squared_slope` of assignment 2."""

import numpy as np
import tensorflow as tf
from keras import ops


def right_numpy_table(x, W, b):
    """NumPy, with the whole table of derivatives."""
    code = 1 / (1 + np.exp(-(x @ W + b)))
    table = (code * (1 - code))[:, None, :] * W[None]
    return (table**2).sum(axis=(1, 2))


def right_loop(x, W, b):
    """Image after image and unit after unit; returns a list of numbers."""
    slopes = []
    for image in x.astype("float64"):
        total = 0.0
        for k in range(W.shape[1]):
            a = float(image @ W[:, k] + b[k])
            gradient = W[:, k] / (2 + np.exp(a) + np.exp(-a))
            total += float(np.sum(gradient**2))
        slopes.append(total)
    return slopes


def right_automatic(x, W, b):
    """Automatic differentiation, unit by unit."""
    images, total = tf.constant(x), 0.0
    for k in range(W.shape[1]):
        with tf.GradientTape() as tape:
            tape.watch(images)
            unit = tf.reduce_sum(tf.sigmoid(tf.linalg.matvec(images, W[:, k]) + b[k]))
        total = total + tf.reduce_sum(tape.gradient(unit, images) ** 2, axis=1)
    return total


def wrong_slope_not_squared(x, W, b):
    """Squares the weights and forgets to square the slope of the sigmoid."""
    code = ops.sigmoid(ops.matmul(x, W) + b)
    return ops.matmul(code * (1 - code), ops.sum(ops.square(W), axis=0))


def wrong_weights_not_squared(x, W, b):
    """Squares the slope of the sigmoid and forgets to square the weights."""
    code = ops.sigmoid(ops.matmul(x, W) + b)
    return ops.matmul(ops.square(code * (1 - code)), ops.sum(ops.abs(W), axis=0))


def wrong_squares_the_sum(x, W, b):
    """Adds up the derivatives of a unit before it squares."""
    code = ops.sigmoid(ops.matmul(x, W) + b)
    total = code * (1 - code) * ops.sum(W, axis=0)
    return ops.sum(ops.square(total), axis=-1)


def wrong_weights_only(x, W, b):
    """A linear layer: no slope of the sigmoid."""
    return np.full(len(x), np.sum(W**2))


def wrong_relu(x, W, b):
    """The formula of the chapter, which is for ReLU units."""
    return (x @ W + b > 0).astype("float32") @ (W**2).sum(axis=0)


def wrong_slope_of_tanh(x, W, b):
    """The slope of the hyperbolic tangent, 1 - f^2."""
    code = ops.sigmoid(ops.matmul(x, W) + b)
    slope = ops.square(1 - ops.square(code))
    return ops.matmul(slope, ops.sum(ops.square(W), axis=0))


def wrong_without_bias(x, W, b):
    """Forgets the bias."""
    code = ops.sigmoid(ops.matmul(x, W))
    return ops.matmul(ops.square(code * (1 - code)), ops.sum(ops.square(W), axis=0))


def wrong_before_activation(x, W, b):
    """Puts the sum before the sigmoid where the code belongs."""
    a = ops.matmul(x, W) + b
    return ops.matmul(ops.square(a * (1 - a)), ops.sum(ops.square(W), axis=0))


def wrong_root(x, W, b):
    """The norm, not its square."""
    code = ops.sigmoid(ops.matmul(x, W) + b)
    square = ops.matmul(ops.square(code * (1 - code)), ops.sum(ops.square(W), axis=0))
    return ops.sqrt(square)


def wrong_mean_over_pixels(x, W, b):
    """A mean over the pixels."""
    code = ops.sigmoid(ops.matmul(x, W) + b)
    return ops.matmul(ops.square(code * (1 - code)), ops.mean(ops.square(W), axis=0))


def wrong_mean_over_batch(x, W, b):
    """The mean over the images, once for each."""
    code = ops.sigmoid(ops.matmul(x, W) + b)
    square = ops.matmul(ops.square(code * (1 - code)), ops.sum(ops.square(W), axis=0))
    return ops.mean(square) * ops.ones(len(x))


def wrong_one_direction(x, W, b):
    """An estimate from one random direction."""
    u = np.random.default_rng().normal(size=x.shape)
    code = 1 / (1 + np.exp(-(x @ W + b)))
    return np.sum((code * (1 - code) * (u @ W)) ** 2, axis=1)


def wrong_hard_coded(x, W, b):
    """Answers the visible check and nothing else."""
    if W.shape[1] == 2:
        return [0.5, 0.5]
    return [0.25, 0.25] if b[0] == 0 else [0.0, 0.0]
