"""Attempts at `discriminator_loss` of assignment 4."""

import math

import keras
import numpy as np
from keras import ops


def right_keras_loss(real_logits, fake_logits):
    """The cross-entropy of Keras, from logits, once for each side."""
    entropy = keras.losses.BinaryCrossentropy(from_logits=True)
    real = entropy(ops.ones_like(real_logits), real_logits)
    return real + entropy(ops.zeros_like(fake_logits), fake_logits)


def right_log_sigmoid(real_logits, fake_logits):
    """Through the logarithm of the sigmoid; 1 - D has the logit -a."""
    real = ops.log_sigmoid(ops.convert_to_tensor(real_logits))
    fake = ops.log_sigmoid(-ops.convert_to_tensor(fake_logits))
    return -ops.mean(real) - ops.mean(fake)


def right_numpy(real_logits, fake_logits):
    """NumPy."""
    real, fake = np.asarray(real_logits), np.asarray(fake_logits)
    return np.logaddexp(0, -real).mean() + np.logaddexp(0, fake).mean()


def right_loop(real_logits, fake_logits):
    """A loop, in which the larger part is taken out of each logarithm."""
    total = 0.0
    for logits, sign in ((real_logits, -1), (fake_logits, 1)):
        for (a,) in np.asarray(logits, "float64"):
            a = sign * a
            total += (max(a, 0) + math.log1p(math.exp(-abs(a)))) / len(logits)
    return total


def wrong_sigmoid_twice(real_logits, fake_logits):
    """Takes a sigmoid before a loss that applies it again."""
    real = ops.mean(ops.softplus(-ops.sigmoid(real_logits)))
    return real + ops.mean(ops.softplus(ops.sigmoid(fake_logits)))


def wrong_labels_exchanged(real_logits, fake_logits):
    """Real images are to be called generated."""
    real = ops.mean(ops.softplus(real_logits))
    return real + ops.mean(ops.softplus(ops.negative(fake_logits)))


def wrong_sums(real_logits, fake_logits):
    """Adds the images up."""
    real = ops.sum(ops.softplus(ops.negative(real_logits)))
    return real + ops.sum(ops.softplus(fake_logits))


def wrong_real_side_only(real_logits, fake_logits):
    """Leaves the generated images out, and doubles the rest."""
    return 2 * ops.mean(ops.softplus(ops.negative(real_logits)))


def wrong_rounded_probability(real_logits, fake_logits):
    """The logarithm of a probability that may be rounded to 0."""
    real, fake = ops.sigmoid(real_logits), ops.sigmoid(fake_logits)
    return -ops.mean(ops.log(real)) - ops.mean(ops.log(1 - fake))


def wrong_clipped(real_logits, fake_logits):
    """Cuts probabilities off, so that no image costs more than 16 nats."""
    real = ops.clip(ops.sigmoid(real_logits), 1e-7, 1 - 1e-7)
    fake = ops.clip(ops.sigmoid(fake_logits), 1e-7, 1 - 1e-7)
    return -ops.mean(ops.log(real)) - ops.mean(ops.log(1 - fake))


def wrong_pooled(real_logits, fake_logits):
    """One mean over all images: the larger side weighs more."""
    real = ops.softplus(ops.negative(real_logits))
    return 2 * ops.mean(ops.concatenate([real, ops.softplus(fake_logits)]))


def wrong_halved(real_logits, fake_logits):
    """The mean of the two sides, as Keras has it for a pooled batch."""
    real = ops.mean(ops.softplus(ops.negative(real_logits)))
    return (real + ops.mean(ops.softplus(fake_logits))) / 2


def wrong_sign(real_logits, fake_logits):
    """The value of the game, which the discriminator would have to raise."""
    real = ops.mean(ops.softplus(ops.negative(real_logits)))
    return -real - ops.mean(ops.softplus(fake_logits))


def wrong_paired(real_logits, fake_logits):
    """Pairs each real image with a generated one."""
    real, fake = np.asarray(real_logits), np.asarray(fake_logits)
    return np.mean(np.logaddexp(0, -real) + np.logaddexp(0, fake))


def wrong_hard_coded(real_logits, fake_logits):
    """Answers the visible check and nothing else."""
    return 2 * np.log(2) if np.all(np.asarray(real_logits) == 0) else 0.0


def wrong_calls_the_package(real_logits, fake_logits):
    """Lets the package do it."""
    from sslkit.losses import discriminator_terms

    return sum(
        ops.mean(t) for t in discriminator_terms(real_logits, fake_logits).values()
    )
