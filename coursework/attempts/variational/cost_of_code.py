"""Attempts at `cost_of_code` of assignment 3."""

import numpy as np


def right_sum_of_parts():
    """One latent variable after the other."""
    total = 0.0
    for m, s in zip(CODE_MEAN, CODE_STD, strict=True):
        total += np.log(PRIOR_STD / s) + (s**2 + m**2) / (2 * PRIOR_STD**2) - 0.5
    return total


def right_monte_carlo():
    """Sampled, with enough samples for three digits."""
    noise = np.random.default_rng(0).normal(size=(2_000_000, 4))
    z = CODE_MEAN + CODE_STD * noise
    log_q = -0.5 * noise**2 - np.log(CODE_STD)
    log_p = -0.5 * (z / PRIOR_STD) ** 2 - np.log(PRIOR_STD)
    return (log_q - log_p).sum(axis=-1).mean()


def wrong_standard_prior():
    """Takes the prior to have width 1."""
    return 0.5 * np.sum(CODE_STD**2 + CODE_MEAN**2 - 1 - 2 * np.log(CODE_STD))


def wrong_prior_variance():
    """Takes the width of the prior for its variance."""
    ratio = CODE_STD**2 / PRIOR_STD
    return 0.5 * np.sum(ratio + CODE_MEAN**2 / PRIOR_STD - 1 - np.log(ratio))


def wrong_reversed():
    """The divergence of the prior from the code."""
    ratio = PRIOR_STD / CODE_STD
    return 0.5 * np.sum(ratio**2 + (CODE_MEAN / CODE_STD) ** 2 - 1 - 2 * np.log(ratio))


def wrong_in_bits():
    """Bits instead of nats."""
    ratio = CODE_STD / PRIOR_STD
    nats = 0.5 * np.sum(ratio**2 + (CODE_MEAN / PRIOR_STD) ** 2 - 1 - 2 * np.log(ratio))
    return nats / np.log(2)


def wrong_mean_over_latents():
    """The average over the latent variables."""
    ratio = CODE_STD / PRIOR_STD
    return 0.5 * np.mean(
        ratio**2 + (CODE_MEAN / PRIOR_STD) ** 2 - 1 - 2 * np.log(ratio)
    )


def wrong_hard_coded():
    """A plausible number."""
    return 7.5
