"""Attempts at `labels_drawn_blindly` of assignment 6."""

import math

import numpy as np


def right_simulated():
    """Draws many times and takes the quantile."""
    rng = np.random.default_rng(0)
    # The wait for each digit, in draws of one long sequence per repetition.
    waits = []
    for _ in range(20):
        drawn = rng.choice(10, size=(5000, 400), p=SHARES)
        first = np.stack([(drawn == digit).argmax(axis=1) for digit in range(10)])
        waits.append(first.max(axis=0) + 1)
    return int(np.quantile(np.concatenate(waits), SURE, method="inverted_cdf"))


def right_poisson_free_recursion():
    """Probability of each set of digits, updated draw by draw."""
    held = {0: 1.0}
    n = 0
    while held.get(1023, 0.0) < SURE:
        after = {}
        for seen, p in held.items():
            for digit in range(10):
                key = seen | 1 << digit
                after[key] = after.get(key, 0.0) + p * SHARES[digit]
        held = after
        n += 1
    return n


def wrong_equal_shares():
    """Takes all digits to be equally frequent."""
    n = 10
    while (
        sum((-1) ** j * math.comb(10, j) * (1 - j / 10) ** n for j in range(11)) < SURE
    ):
        n += 1
    return n


def wrong_expected_number():
    """The mean number of draws, not the one that is enough with probability SURE."""
    rng = np.random.default_rng(0)
    drawn = rng.choice(10, size=(5000, 400), p=SHARES)
    first = np.stack([(drawn == digit).argmax(axis=1) for digit in range(10)])
    return int((first.max(axis=0) + 1).mean().round())


def wrong_rarest_mean():
    """One over the rarest share."""
    return math.ceil(1 / SHARES.min())


def wrong_rarest_only():
    """Waits for the rarest digit alone."""
    return math.ceil(math.log(1 - SURE) / math.log(1 - SHARES.min()))


def wrong_each_alone():
    """Multiplies by ten what one digit needs."""
    return 10 * math.ceil(math.log(1 - SURE) / math.log(1 - SHARES.mean()))


def wrong_other_tail():
    """The number that is enough with probability 1 - SURE."""
    rng = np.random.default_rng(0)
    drawn = rng.choice(10, size=(20000, 400), p=SHARES)
    first = np.stack([(drawn == digit).argmax(axis=1) for digit in range(10)])
    return int(np.quantile(first.max(axis=0) + 1, 1 - SURE))


def wrong_hard_coded():
    """The well-known answer for ten equal coupons."""
    return 29
