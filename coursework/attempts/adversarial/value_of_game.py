"""Attempts at `value_of_game` of assignment 4."""

import numpy as np
from scipy import optimize, spatial


def right_best_beliefs():
    """Puts the best belief into the payoff, kind by kind."""
    value = 0.0
    for p, q in zip(P, Q, strict=True):
        best = p / (p + q)
        value += p * np.log(best) if p else 0.0
        value += q * np.log(1 - best) if q else 0.0
    return value


def right_shared_kinds_only():
    """A kind that one side alone has is known for sure, and contributes nothing."""
    both = (P > 0) & (Q > 0)
    p, q = P[both], Q[both]
    return float(p @ np.log(p / (p + q)) + q @ np.log(q / (p + q)))


def right_scipy():
    """SciPy's distance is the square root of the divergence."""
    return 2 * spatial.distance.jensenshannon(P, Q) ** 2 - np.log(4)


def right_numerical():
    """An optimiser that knows no formula."""

    def loss(a):
        return P @ np.logaddexp(0, -a) + Q @ np.logaddexp(0, a)

    return -optimize.minimize(loss, np.zeros(8), method="BFGS").fun


def right_on_paper():
    """Three decimals, in single precision."""
    both = (P > 0) & (Q > 0)
    p, q = P[both], Q[both]
    value = np.sum(p * np.log(p / (p + q)) + q * np.log(q / (p + q)))
    return np.float32(round(value, 3))


def wrong_kullback_leibler():
    """The divergence of P from Q, where both are positive."""
    both = (P > 0) & (Q > 0)
    return 2 * np.sum(P[both] * np.log(P[both] / Q[both])) - np.log(4)


def wrong_nan():
    """0 times the logarithm of 0."""
    with np.errstate(all="ignore"):
        m = (P + Q) / 2
        return np.sum(P * np.log(P / m) + Q * np.log(Q / m)) - np.log(4)


def wrong_in_bits():
    """Base 2."""
    return (2 * spatial.distance.jensenshannon(P, Q) ** 2 - np.log(4)) / np.log(2)


def wrong_base_two_divergence():
    """The divergence in bits, its offset in nats."""
    return 2 * spatial.distance.jensenshannon(P, Q, base=2) ** 2 - np.log(4)


def wrong_divergence():
    """The Jensen-Shannon divergence itself."""
    return spatial.distance.jensenshannon(P, Q) ** 2


def wrong_without_offset():
    """Twice the divergence, without the offset."""
    return 2 * spatial.distance.jensenshannon(P, Q) ** 2


def wrong_one_divergence():
    """The divergence once instead of twice."""
    return spatial.distance.jensenshannon(P, Q) ** 2 - np.log(4)


def wrong_distance():
    """Takes SciPy's distance for the divergence."""
    return 2 * spatial.distance.jensenshannon(P, Q) - np.log(4)


def wrong_offset_twice():
    """Forgets that the mixture has a half, and subtracts log 4 once more."""
    both = (P > 0) & (Q > 0)
    p, q = P[both], Q[both]
    return np.sum(p * np.log(p / (p + q)) + q * np.log(q / (p + q))) - np.log(4)


def wrong_loss():
    """The loss of the discriminator, which is minus the value."""
    return np.log(4) - 2 * spatial.distance.jensenshannon(P, Q) ** 2


def wrong_undecided():
    """A discriminator that answers one half, as in the end of an ideal game."""
    return -np.log(4)


def wrong_renormalised():
    """Leaves out what one side does not have, and scales the rest up."""
    both = (P > 0) & (Q > 0)
    p, q = P[both] / P[both].sum(), Q[both] / Q[both].sum()
    return np.sum(p * np.log(p / (p + q)) + q * np.log(q / (p + q)))


def wrong_smoothed():
    """Adds one image to each count, to be rid of the zeros."""
    p, q = (REAL_COUNTS + 1) / (REAL_COUNTS + 1).sum(), (FAKE_COUNTS + 1)
    q = q / q.sum()
    return np.sum(p * np.log(p / (p + q)) + q * np.log(q / (p + q)))


def wrong_mean_over_sides():
    """The mean of the two sides: the payoff, halved."""
    return spatial.distance.jensenshannon(P, Q) ** 2 - np.log(2)


def wrong_last_year():
    """The number of the year before."""
    last = np.random.default_rng(YEAR - 1)
    real, fake = np.exp(last.uniform(0, 5, (2, 8))).astype(int)
    dropped, invented = last.choice(8, size=2, replace=False)
    fake[dropped], real[invented] = 0, 0
    distance = spatial.distance.jensenshannon(real, fake)
    return 2 * distance**2 - np.log(4)


def wrong_hard_coded():
    """A plausible number."""
    return -1.1
