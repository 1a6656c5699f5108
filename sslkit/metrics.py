"""Measures of features that need no classifier (chapter *Evaluation* on)."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import pdist
from scipy.special import logsumexp


def clustering_accuracy(y: ArrayLike, clusters: ArrayLike) -> float:
    r"""Accuracy of a clustering under the best one-to-one naming of its clusters.

    $$\max_{\pi}\; \frac{1}{n} \sum_{i=1}^{n} \mathbf{1}[\,y_i = \pi(c_i)\,]$$

    where $\pi$ runs over the one-to-one maps from clusters to classes (the
    assignment problem, solved by SciPy). With more clusters than classes the
    surplus ones count as wrong; a majority vote per cluster would not, and its
    figures are not comparable with these.

    Args:
        y: True classes, integers `[n]`.
        clusters: Cluster of each example, integers `[n]`.

    Returns:
        A fraction in (0, 1].

    Raises:
        ValueError: If the arrays are empty or differ in length.

    Example:
        >>> clustering_accuracy([0, 0, 1, 1], [7, 7, 3, 7])
        0.75
    """
    y, clusters = np.asarray(y), np.asarray(clusters)
    if y.shape != clusters.shape or y.ndim != 1 or len(y) == 0:
        raise ValueError(
            f"y and clusters must be vectors of one length, got {y.shape} and "
            f"{clusters.shape}: pass one class and one cluster per example."
        )
    _, rows = np.unique(y, return_inverse=True)
    _, columns = np.unique(clusters, return_inverse=True)
    counts = np.zeros((rows.max() + 1, columns.max() + 1), dtype=np.int64)
    np.add.at(counts, (rows, columns), 1)
    best = linear_sum_assignment(counts, maximize=True)
    return float(counts[best].sum() / len(y))


def effective_rank(h: ArrayLike) -> float:
    r"""Number of directions that features really use (RankMe, arXiv 2210.02885).

    $$\exp\Bigl(-\sum_k p_k \log p_k\Bigr), \qquad p_k = \frac{s_k}{\sum_j s_j}$$

    with $s_k$ the singular values of the feature matrix. It lies between 1 (all
    features lie on one line) and the smaller side of the matrix (all directions
    are used alike).

    Args:
        h: Features `[n, d]`, finite, not all zero. They are not centred, as in the
            paper.

    Returns:
        The effective rank, a number in [1, min(n, d)].

    Raises:
        ValueError: If `h` has another rank, holds NaN or infinity, or is all zero.

    Example:
        >>> round(effective_rank(np.eye(8)), 6)
        8.0
    """
    h = _features(h, "h")
    # The d x d matrix has the squared singular values and is small when n is large.
    gram = h.T @ h if h.shape[0] >= h.shape[1] else h @ h.T
    s = np.sqrt(np.clip(np.linalg.eigvalsh(gram), 0, None))
    if s.sum() == 0:
        raise ValueError("h is all zero: the encoder has collapsed to a point.")
    p = s / s.sum()
    p = p[p > 0]
    return float(np.exp(-(p * np.log(p)).sum()))


def feature_std(h: ArrayLike) -> float:
    r"""Spread of features of unit length: the first sign of a collapse.

    $$\frac1d \sum_{i=1}^{d} \operatorname{std}_n\Bigl(
      \frac{h_{n,i}}{\lVert h_n \rVert}\Bigr)$$

    It is 0 if all features point in one direction, close to $1/\sqrt{d}$ if they are
    spread evenly over the sphere, and never above that. Chen and He, arXiv
    2011.10566, section 4.1.

    Args:
        h: Features `[n, d]`, finite. A row of zeros stays zero.

    Returns:
        A number from 0 to $1/\sqrt{d}$.

    Raises:
        ValueError: If `h` has another rank or holds NaN or infinity.

    Example:
        >>> feature_std(np.array([[2.0, 0.0], [5.0, 0.0]]))  # one direction
        0.0
        >>> round(feature_std(np.array([[1.0, 1.0], [-1.0, -1.0]])), 4)  # 1 / sqrt(2)
        0.7071
    """
    h = _features(h, "h")
    unit = h / np.maximum(np.linalg.norm(h, axis=1, keepdims=True), 1e-12)
    return float(unit.std(axis=0).mean())


def alignment(z_a: ArrayLike, z_b: ArrayLike) -> float:
    r"""Mean squared distance between the directions of two views of one example.

    $$\mathbb{E}\, \lVert u - u^+ \rVert^2 = 2 - 2\, \mathbb{E}\, s(z, z^+), \qquad
      u = \frac{z}{\lVert z \rVert}$$

    with the cosine similarity $s$ and the other view $z^+$ of the same example. The
    smaller, the less the features depend on what differs between the views; a
    constant encoder has 0. Wang and Isola, arXiv 2005.10242, section 4.1.

    Args:
        z_a: Features of the first views, `[n, d]`, finite, no row all zero. Their
            length does not matter.
        z_b: Features of the second views, same shape.

    Returns:
        A number from 0 (same directions) to 4 (opposite ones).

    Raises:
        ValueError: If the shapes differ or are not `[n, d]`, or an array holds NaN,
            infinity or a row of zeros.

    Example:
        >>> alignment([[3.0, 0.0], [1.0, 0.0]], [[0.5, 0.0], [0.0, 2.0]])  # 0 and 2
        1.0
    """
    u_a, u_b = _directions(z_a, "z_a"), _directions(z_b, "z_b")
    if u_a.shape != u_b.shape:
        raise ValueError(
            f"z_a and z_b must have the same shape, got {u_a.shape} and {u_b.shape}: "
            "pass two views of the same examples."
        )
    return float(np.mean(np.sum((u_a - u_b) ** 2, axis=1)))


def uniformity(z: ArrayLike, t: float = 2.0) -> float:
    r"""How far the directions of features are from an even spread over the sphere.

    $$\log \frac{2}{n (n - 1)} \sum_{i < j} e^{-t \lVert u_i - u_j \rVert^2}, \qquad
      u = \frac{z}{\lVert z \rVert}$$

    It is 0 if all features have one direction, and the smaller, the more evenly they
    are spread. Of all distributions the uniform one has the smallest value: about
    -1.57 on the circle, and close to $-2t$ in many dimensions. A sample may fall
    below that, the more so the fewer points it has. Wang and Isola, arXiv 2005.10242,
    section 4.1.

    Args:
        z: Features `[n, d]`, at least two rows, finite, none all zero. Their length
            does not matter. All pairs are compared: a few thousand rows will do.
        t: Sharpness, above 0: pairs further apart than $1/\sqrt{t}$ count little.

    Returns:
        A number from $-4t$ (two opposite points) to 0.

    Raises:
        ValueError: If `z` is not `[n, d]`, has fewer than two rows, or holds NaN,
            infinity or a row of zeros; or if `t` is not above 0.

    Example:
        >>> uniformity([[3.0, 0.0], [0.0, 1.0]])  # squared distance 2
        -4.0
    """
    u = _directions(z, "z")
    if len(u) < 2:
        raise ValueError(f"z must have two rows or more, got {len(u)}: pass a batch.")
    if not 0 < t < math.inf:
        raise ValueError(f"t must be above 0, got {t!r}: 2 is the usual choice.")
    exponents = -t * pdist(u, "sqeuclidean")
    return float(logsumexp(exponents) - math.log(len(exponents)))


def _directions(z: ArrayLike, name: str) -> NDArray[np.float64]:
    z = _features(z, name)
    length = np.linalg.norm(z, axis=1, keepdims=True)
    if not length.all():
        raise ValueError(
            f"{name} holds a row of zeros, which has no direction: leave it out, or "
            "find out why the encoder made it."
        )
    return z / length


def _features(h: ArrayLike, name: str) -> NDArray[np.float64]:
    h = np.asarray(h, dtype=np.float64)
    if h.ndim != 2 or h.size == 0:
        raise ValueError(
            f"{name} must have shape [n, d], got {h.shape}: flatten it first."
        )
    if not np.isfinite(h).all():
        raise ValueError(
            f"{name} holds NaN or infinity: find out where the encoder made it."
        )
    return h
