"""Attempts at `loss_of_reader` of assignment 5."""

from collections import Counter

import numpy as np


def factor():
    """What a candidate of another digit adds to the sum, if one of its own adds 1."""
    return np.exp((COSINE - 1) / TEMPERATURE)


def alike():
    """For each image of the batch, how many show its digit."""
    return np.count_nonzero(LABELS[:, None] == LABELS, axis=1)


def right_digit_by_digit():
    """A loop over the digits, weighted by how many images show them."""
    total = 0.0
    for count in Counter(LABELS.tolist()).values():
        same, different = 2 * count - 1, 2 * (len(LABELS) - count)
        log_sum = np.logaddexp(
            np.log(same) + 1 / TEMPERATURE, np.log(different) + COSINE / TEMPERATURE
        )
        total += count * (log_sum - 1 / TEMPERATURE)
    return total / len(LABELS)


def right_cosine_matrix():
    """The matrix of all cosines, and the definition."""
    labels = np.tile(LABELS, 2)
    s = np.where(labels[:, None] == labels, 1.0, COSINE)
    e = np.exp(s / TEMPERATURE)
    np.fill_diagonal(e, 0)
    return np.mean(-np.log(np.exp(1 / TEMPERATURE) / e.sum(axis=1)))


def right_rounded():
    """Found on paper, and written down with two decimals."""
    count = alike()
    exact = np.log(2 * count - 1 + 2 * (BATCH - count) * factor()).mean()
    return round(float(exact), 2)


def wrong_collapsed():
    """The chance value."""
    return np.log(2 * BATCH - 1)


def wrong_images_told_apart():
    """Takes other images of the same digit to have another vector."""
    return np.log(1 + (2 * BATCH - 2) * factor())


def wrong_labels_known():
    """Leaves images of the same digit out, as if the loss knew the labels."""
    return np.mean(np.log(1 + 2 * (BATCH - alike()) * factor()))


def wrong_itself_counted():
    """Every view is a candidate for itself."""
    count = alike()
    return np.mean(np.log(2 * count + 2 * (BATCH - count) * factor()))


def wrong_one_view():
    """Candidates of the other view only."""
    count = alike()
    return np.mean(np.log(count + (BATCH - count) * factor()))


def wrong_digits_at_right_angles():
    """Takes vectors of different digits to be at right angles."""
    count = alike()
    return np.mean(
        np.log(2 * count - 1 + 2 * (BATCH - count) * np.exp(-1 / TEMPERATURE))
    )


def wrong_times_temperature():
    """Multiplies by the temperature."""
    count = alike()
    small = np.exp((COSINE - 1) * TEMPERATURE)
    return np.mean(np.log(2 * count - 1 + 2 * (BATCH - count) * small))


def wrong_without_temperature():
    """Leaves the temperature out."""
    count = alike()
    return np.mean(np.log(2 * count - 1 + 2 * (BATCH - count) * np.exp(COSINE - 1)))


def wrong_mean_over_digits():
    """Every digit counts the same, however many images show it."""
    count = np.unique(LABELS, return_counts=True)[1]
    return np.mean(np.log(2 * count - 1 + 2 * (BATCH - count) * factor()))


def wrong_equal_digits():
    """Takes all ten digits to be equally frequent."""
    count = BATCH / 10
    return np.log(2 * count - 1 + 2 * (BATCH - count) * factor())


def wrong_in_bits():
    """Bits instead of nats."""
    count = alike()
    return np.mean(np.log2(2 * count - 1 + 2 * (BATCH - count) * factor()))


def wrong_hard_coded():
    """A number that the visible check lets pass."""
    return 0.7
