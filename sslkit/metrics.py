"""Measures of features that need no classifier (chapter *Evaluation*)."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment


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
    h = np.asarray(h, dtype=np.float64)
    if h.ndim != 2 or h.size == 0:
        raise ValueError(f"h must have shape [n, d], got {h.shape}: flatten it first.")
    if not np.isfinite(h).all():
        raise ValueError("h holds NaN or infinity: find out where the encoder made it.")
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
        >>> feature_std(np.array([[1.0, 1.0], [-1.0, -1.0]])) == 0.5**0.5
        True
    """
    h = np.asarray(h, dtype=np.float64)
    if h.ndim != 2 or h.size == 0:
        raise ValueError(f"h must have shape [n, d], got {h.shape}: flatten it first.")
    if not np.isfinite(h).all():
        raise ValueError("h holds NaN or infinity: find out where the encoder made it.")
    unit = h / np.maximum(np.linalg.norm(h, axis=1, keepdims=True), 1e-12)
    return float(unit.std(axis=0).mean())
