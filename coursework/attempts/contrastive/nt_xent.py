"""Attempts at `nt_xent` of assignment 5."""

import keras
import numpy as np
from keras import ops
from scipy.special import logsumexp


def cosines(z_a, z_b):
    """All cosines of the views, float64 `[2n, 2n]`."""
    z = np.concatenate([z_a, z_b]).astype("float64")
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    return z @ z.T


def partners(n):
    """Where the partner of each view stands."""
    return (np.arange(2 * n) + n) % (2 * n)


def mean_loss(s):
    """Mean loss from scores, `[2n, 2n]`."""
    views = len(s)
    rest = s[~np.eye(views, dtype=bool)].reshape(views, views - 1)
    return np.mean(logsumexp(rest, axis=1) - s[np.arange(views), partners(views // 2)])


def right_loop(z_a, z_b, temperature):
    """View by view, with the candidates in a list."""
    s, total, n = cosines(z_a, z_b) / temperature, 0.0, len(z_a)
    for i in range(2 * n):
        partner = i + n if i < n else i - n
        candidates = [s[i, j] for j in range(2 * n) if j != i]
        top = max(candidates)
        total += top + np.log(sum(np.exp(c - top) for c in candidates)) - s[i, partner]
    return total / (2 * n)


def right_cross_entropy(z_a, z_b, temperature):
    """As a classification among the views, by Keras."""
    n = len(z_a)
    z = ops.normalize(ops.concatenate([z_a, z_b], axis=0), axis=1)
    logits = ops.where(
        np.eye(2 * n, dtype=bool), -1e9, ops.matmul(z, ops.transpose(z)) / temperature
    )
    return ops.mean(
        keras.losses.sparse_categorical_crossentropy(
            partners(n), logits, from_logits=True
        )
    )


def right_without_diagonal(z_a, z_b, temperature):
    """SciPy, with the diagonal cut out of the matrix."""
    return mean_loss(cosines(z_a, z_b) / temperature)


def right_four_blocks(z_a, z_b, temperature):
    """Within the views and across, block by block, as in the code of the paper."""
    n = len(z_a)
    a, b = (ops.normalize(z, axis=1) for z in (z_a, z_b))
    own = [ops.matmul(z, ops.transpose(z)) / temperature for z in (a, b)]
    own = [block - 1e9 * ops.eye(n) for block in own]
    across = ops.matmul(a, ops.transpose(b)) / temperature
    rows_a = ops.concatenate([across, own[0]], axis=1)
    rows_b = ops.concatenate([ops.transpose(across), own[1]], axis=1)
    both = ops.logsumexp(rows_a, axis=1) + ops.logsumexp(rows_b, axis=1)
    return ops.mean(both / 2 - ops.diagonal(across))


def wrong_itself_a_candidate(z_a, z_b, temperature):
    """Every view is a candidate for itself."""
    s, n = cosines(z_a, z_b) / temperature, len(z_a)
    return np.mean(logsumexp(s, axis=1) - s[np.arange(2 * n), partners(n)])


def wrong_itself_at_cosine_0(z_a, z_b, temperature):
    """Sets the cosine with itself to 0, which is a candidate still."""
    n = len(z_a)
    s = cosines(z_a, z_b) * (1 - np.eye(2 * n)) / temperature
    return np.mean(logsumexp(s, axis=1) - s[np.arange(2 * n), partners(n)])


def wrong_times_temperature(z_a, z_b, temperature):
    """Multiplies by the temperature."""
    return mean_loss(cosines(z_a, z_b) * temperature)


def wrong_not_normalised(z_a, z_b, temperature):
    """Scalar products of the vectors as they come."""
    z = np.concatenate([z_a, z_b]).astype("float64")
    return mean_loss(z @ z.T / temperature)


def wrong_normalised_columns(z_a, z_b, temperature):
    """Makes the columns unit vectors instead of the rows."""
    z = np.concatenate([z_a, z_b]).astype("float64")
    z = z / np.linalg.norm(z, axis=0)
    return mean_loss(z @ z.T / temperature)


def wrong_first_views_only(z_a, z_b, temperature):
    """Only the first views look for their partners."""
    s, n = cosines(z_a, z_b) / temperature, len(z_a)
    rest = np.where(np.eye(2 * n, dtype=bool), -np.inf, s)
    return np.mean(logsumexp(rest[:n], axis=1) - np.diag(s[:n, n:]))


def wrong_across_views_only(z_a, z_b, temperature):
    """Both directions, but the candidates are those of the other view."""
    s, n = cosines(z_a, z_b) / temperature, len(z_a)
    across = s[:n, n:]
    both = logsumexp(across, axis=0) + logsumexp(across, axis=1)
    return np.mean(both / 2 - np.diag(across))


def wrong_sum(z_a, z_b, temperature):
    """The sum over the views."""
    return 2 * len(z_a) * mean_loss(cosines(z_a, z_b) / temperature)


def wrong_sum_over_images(z_a, z_b, temperature):
    """Divides by the number of images, not of views."""
    return 2 * mean_loss(cosines(z_a, z_b) / temperature)


def wrong_neighbour_is_partner(z_a, z_b, temperature):
    """Takes the views for interleaved: 0 and 1, 2 and 3, and so on are partners."""
    s, n = cosines(z_a, z_b) / temperature, len(z_a)
    rest = np.where(np.eye(2 * n, dtype=bool), -np.inf, s)
    neighbour = np.arange(2 * n) ^ 1
    return np.mean(logsumexp(rest, axis=1) - s[np.arange(2 * n), neighbour])


def wrong_partner_left_out(z_a, z_b, temperature):
    """The partner is not in the sum."""
    s, n = cosines(z_a, z_b) / temperature, len(z_a)
    each = np.arange(2 * n)
    rest = np.where(np.eye(2 * n, dtype=bool), -np.inf, s)
    rest[each, partners(n)] = -np.inf
    return np.mean(logsumexp(rest, axis=1) - s[each, partners(n)])


def wrong_overflow(z_a, z_b, temperature):
    """Right on paper: the exponentials are infinite at low temperatures."""
    n = len(z_a)
    with np.errstate(all="ignore"):
        e = np.exp(cosines(z_a, z_b) / temperature) * (1 - np.eye(2 * n))
        return np.mean(-np.log(e[np.arange(2 * n), partners(n)] / e.sum(axis=1)))


def wrong_mean_inside(z_a, z_b, temperature):
    """The logarithm of the mean probability, not the mean of the logarithms."""
    s, n = cosines(z_a, z_b) / temperature, len(z_a)
    rest = np.where(np.eye(2 * n, dtype=bool), -np.inf, s)
    chosen = s[np.arange(2 * n), partners(n)] - logsumexp(rest, axis=1)
    return np.log(2 * n) - logsumexp(chosen)


def wrong_sign(z_a, z_b, temperature):
    """The negative loss, which an optimiser would make large."""
    return -mean_loss(cosines(z_a, z_b) / temperature)


def wrong_hard_coded(z_a, z_b, temperature):
    """Answers the visible check and nothing else."""
    n = len(z_a)
    if np.allclose(z_a, z_a[0]):
        return np.log(2 * n - 1)
    return np.log(1 + (2 * n - 2) * np.exp(-1 / temperature))


def wrong_calls_the_package(z_a, z_b, temperature):
    """Lets the package do it."""
    from sslkit.losses import nt_xent as found

    return ops.mean(found(z_a, z_b, temperature))
