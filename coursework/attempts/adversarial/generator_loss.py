"""Attempts at `generator_loss` of assignment 4."""

import keras
import numpy as np
import tensorflow as tf
from keras import ops


def right_keras_loss(fake_logits):
    """The cross-entropy of Keras with the label "real"."""
    entropy = keras.losses.BinaryCrossentropy(from_logits=True)
    return entropy(ops.ones_like(fake_logits), fake_logits)


def right_log_sigmoid(fake_logits):
    """Minus the mean of the logarithm of the sigmoid."""
    return -ops.mean(ops.log_sigmoid(ops.convert_to_tensor(fake_logits)))


def right_parts(fake_logits):
    """The larger part taken out of the logarithm, summed and divided."""
    a = ops.reshape(ops.convert_to_tensor(fake_logits), (-1,))
    terms = ops.relu(-a) + ops.log1p(ops.exp(-ops.absolute(a)))
    return ops.sum(terms) / a.shape[0]


def right_tensorflow(fake_logits):
    """TensorFlow's own cross-entropy."""
    a = tf.convert_to_tensor(fake_logits)
    terms = tf.nn.sigmoid_cross_entropy_with_logits(labels=tf.ones_like(a), logits=a)
    return tf.reduce_mean(terms)


def wrong_saturating(fake_logits):
    """The loss of the game, log(1 - D): no gradient where the generator loses."""
    return -ops.mean(ops.softplus(fake_logits))


def wrong_shifted_saturating(fake_logits):
    """The loss of the game, shifted and scaled to pass for the other at a glance."""
    return np.log(2) + ops.mean(ops.softplus(0.0) - ops.softplus(fake_logits))


def wrong_labels_exchanged(fake_logits):
    """Wants its images to be called generated."""
    return ops.mean(ops.softplus(fake_logits))


def wrong_sign(fake_logits):
    """Raises what it should lower."""
    return -ops.mean(ops.softplus(ops.negative(fake_logits)))


def wrong_sigmoid_twice(fake_logits):
    """Takes a sigmoid before a loss that applies it again."""
    return ops.mean(ops.softplus(-ops.sigmoid(fake_logits)))


def wrong_hinge(fake_logits):
    """A hinge."""
    return ops.mean(ops.relu(1 - ops.convert_to_tensor(fake_logits)))


def wrong_critic(fake_logits):
    """The loss against a Wasserstein critic."""
    return -ops.mean(fake_logits)


def wrong_sum(fake_logits):
    """Adds the images up."""
    return ops.sum(ops.softplus(ops.negative(fake_logits)))


def wrong_clipped(fake_logits):
    """Cuts the probability off, and the gradient with it."""
    p = ops.clip(ops.sigmoid(fake_logits), 1e-7, 1 - 1e-7)
    return -ops.mean(ops.log(p))


def wrong_no_gradient(fake_logits):
    """NumPy: the right number, and no gradient."""
    return np.logaddexp(0, -np.asarray(fake_logits)).mean()


def wrong_stopped(fake_logits):
    """The right number as a tensor, and no gradient."""
    return ops.stop_gradient(ops.mean(ops.softplus(ops.negative(fake_logits))))


def wrong_overflow(fake_logits):
    """The formula as it stands, with an exponential that overflows."""
    return ops.mean(ops.log(1 + ops.exp(ops.negative(fake_logits))))


def wrong_hard_coded(fake_logits):
    """Answers the visible check and nothing else."""
    a = float(np.mean(fake_logits))
    return np.log(2) if a == 0 else max(-a, 0.0)


def wrong_calls_the_package(fake_logits):
    """Lets the package do it."""
    from sslkit.losses import non_saturating

    return ops.mean(non_saturating(fake_logits))
