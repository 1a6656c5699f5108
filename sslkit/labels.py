"""Spread a handful of labels over many images (chapter *Ten labels*).

Three steps that need a trained encoder and hardly a label: a graph of neighbours, over
which labels can be propagated; heads that sort images into clusters in which neighbours
agree; and the naming of those clusters by whatever labels there are.
"""

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.optimize import linear_sum_assignment
from sklearn.neighbors import NearestNeighbors

from sslkit.distribute import gather, share


def directions(h: ArrayLike, centre: ArrayLike) -> NDArray[np.float32]:
    """Features as directions: the centre is taken off, and lengths are made 1.

    Args:
        h: Features `[n, d]`.
        centre: What to take off, `[d]`, as a rule the mean of the training features.

    Returns:
        Vectors of length 1, `[n, d]`, float32, but 0 for a row at the centre, which has
        no direction. Products of two of them are cosines.

    Example:
        >>> directions([[3.0, 4.0]], [0.0, 0.0])
        array([[0.6, 0.8]], dtype=float32)
    """
    offset = np.asarray(h, "float32") - np.asarray(centre, "float32")
    length = np.linalg.norm(offset, axis=1, keepdims=True)
    return offset / np.maximum(length, 1e-12)


def neighbours(
    h: ArrayLike, k: int = 15, queries: ArrayLike | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find the examples with the most similar features, by cosine.

    Args:
        h: Features `[n, d]`; their mean is taken off first.
        k: Neighbours of each example, at least 1 and below n.
        queries: Features `[m, d]` to find the neighbours of. Left out, each of the
            n examples gets its neighbours among the others.

    Returns:
        Row numbers in `h`, integers `[n or m, k]`, nearest first, and cosines of the
        same shape.

    Raises:
        ValueError: If `h` is no matrix, `queries` do not fit it, or `k` is out of
            range.

    Example:
        >>> index, cosine = neighbours([[2.0, 0], [2, 0.1], [-2, 0], [-2, -0.1]], k=1)
        >>> index.ravel()
        array([1, 0, 3, 2])
    """
    h = np.asarray(h, "float32")
    if h.ndim != 2:
        raise ValueError(
            f"h must have shape [n, d], got {h.shape}: one row an example."
        )
    if not isinstance(k, int) or not 1 <= k < len(h):
        raise ValueError(
            f"k must be from 1 to n - 1, got {k!r} for {len(h)} examples: ask for "
            "fewer neighbours."
        )
    if queries is not None and np.shape(queries)[1:] != h.shape[1:]:
        raise ValueError(
            f"queries must have shape [m, {h.shape[1]}], got {np.shape(queries)}: pass "
            "features of the same encoder."
        )
    centre = h.mean(axis=0, dtype="float64")
    search = NearestNeighbors(n_neighbors=k, algorithm="brute")
    search.fit(directions(h, centre))
    asked = None if queries is None else directions(queries, centre)
    index = search.kneighbors(asked, return_distance=False)
    unit = directions(h, centre)
    asked = unit if asked is None else asked
    # A column at a time: all neighbours at once would be k times the features.
    cosines = [np.einsum("id,id->i", asked, unit[column]) for column in index.T]
    return index, np.stack(cosines, axis=1)


def affinity(
    index: NDArray[np.int64], cosine: NDArray[np.float32], power: float = 4.0
) -> sparse.csr_matrix:
    r"""Matrix of the graph of neighbours, made symmetric and normalised.

    $$S = D^{-1/2} W D^{-1/2}, \qquad
      W_{ij} = \max(w_{ij}, w_{ji}), \quad w_{ij} = \max(0, s_{ij})^{\gamma}$$

    for neighbours $i$ and $j$ with cosine $s_{ij}$, 0 for all others, and $D$ the sums
    of the rows of $W$. Zhou et al., *Learning with local and global consistency*
    (2003); Iscen et al., arXiv 1904.04717.

    Args:
        index: Neighbours of each of n examples, `[n, k]`, from `neighbours`.
        cosine: Their cosines, `[n, k]`.
        power: $\gamma$, above 0: the larger, the less far neighbours count.

    Returns:
        $S$, sparse `[n, n]`. Its eigenvalues lie between -1 and 1.

    Raises:
        ValueError: If the shapes differ or `power` is not above 0.

    Example:
        >>> S = affinity(np.array([[1], [0]]), np.array([[0.5], [0.5]]))
        >>> print(S.toarray())
        [[0. 1.]
         [1. 0.]]
    """
    if index.shape != cosine.shape or index.ndim != 2:
        raise ValueError(
            f"index and cosine must have one shape [n, k], got {index.shape} and "
            f"{cosine.shape}: pass what neighbours returned."
        )
    if not power > 0:
        raise ValueError(f"power must be above 0, got {power!r}: pass, say, 4.")
    n, k = index.shape
    weight = np.maximum(cosine, 0).ravel() ** power
    pairs = (np.repeat(np.arange(n), k), index.ravel())
    w = sparse.csr_matrix((weight, pairs), shape=(n, n))
    w = w.maximum(w.T)
    degree = np.asarray(w.sum(axis=1)).ravel()
    # An image without edges has a row of zeros, whatever its scale.
    scale = sparse.diags(1 / np.sqrt(np.where(degree > 0, degree, 1)))
    return (scale @ w @ scale).tocsr()


def propagate(
    S: Any,
    labelled: ArrayLike,
    y: ArrayLike,
    classes: int = 10,
    alpha: float = 0.99,
    steps: int = 60,
) -> NDArray[np.float64]:
    r"""Let labels flow along the edges of a graph.

    $$F \leftarrow \alpha\, S F + (1 - \alpha)\, Y$$

    from $F = Y$, where a row of $Y$ is 1 at the class of a labelled example, and 0
    elsewhere. Repeated for ever, it ends at
    $(1 - \alpha)(I - \alpha S)^{-1} Y$. At last each column is divided by its sum, so
    that a class does not win for the many neighbours of its labels. Zhou et al. (2003).

    Args:
        S: Matrix of the graph, `[n, n]`, from `affinity`.
        labelled: Row numbers of the labelled examples, `[m]`.
        y: Their classes, integers from 0, `[m]`.
        classes: Number of classes; each needs a label.
        alpha: $\alpha$, from 0 (keep what is known) to below 1 (spread far).
        steps: Number of repetitions, at least 0.

    Returns:
        Scores `[n, classes]`, at least 0. Columns sum to 1; the largest score of a row
        is its class.

    Raises:
        ValueError: If `labelled` and `y` differ in length, a class has no label, or
            `alpha` or `steps` is out of range.

    Example:
        >>> S = affinity(np.array([[1], [0], [3], [2]]), np.ones((4, 1)))
        >>> propagate(S, [0, 2], [0, 1], classes=2).argmax(axis=1)
        array([0, 0, 1, 1])
    """
    labelled, y = np.asarray(labelled), np.asarray(y)
    if labelled.shape != y.shape or labelled.ndim != 1:
        raise ValueError(
            f"labelled and y must have one length, got {labelled.shape} and {y.shape}: "
            "pass one class for each row number."
        )
    if not np.array_equal(np.unique(y), np.arange(classes)):
        raise ValueError(
            f"y must hold each class from 0 to {classes - 1}, got "
            f"{np.unique(y).tolist()}: label at least one example of each."
        )
    if not 0 <= alpha < 1:
        raise ValueError(f"alpha must be from 0 to below 1, got {alpha!r}: pass 0.99.")
    if steps < 0:
        raise ValueError(f"steps must be at least 0, got {steps!r}: pass, say, 60.")
    start = np.zeros((S.shape[0], classes))
    start[labelled, y] = 1
    F = start
    for _ in range(steps):
        F = alpha * (S @ F) + (1 - alpha) * start
    return F / F.sum(axis=0)


def neighbour_loss(log_p: Any, weight: float = 3.0) -> Any:
    r"""Neighbours share a cluster, and all clusters are used: the loss of SCAN.

    $$-\frac1B \sum_{i=1}^{B} \log \sum_k p_{ik}\, p'_{ik}
      \;-\; \lambda\, H(\bar p)$$

    with cluster probabilities $p_i$ of an example and $p'_i$ of a neighbour, and the
    entropy $H$ of their mean over the batch. It is at least $-\lambda \log K$: then
    all neighbours agree without doubt, and clusters are equally large. Van Gansbeke
    et al., arXiv 2005.12320, equation 2.

    Args:
        log_p: Logarithms of probabilities of $K$ clusters, for an example and its
            neighbour, from several heads: `[batch, 2, heads, K]`.
        weight: $\lambda$, at least 0. With 0 one cluster for all is as good
            as any.

    Returns:
        One loss per head, in nats, `[heads]`.

    Raises:
        ValueError: If `log_p` has another rank or `weight` is below 0.

    Example:
        >>> log_p = ops.log(ops.full((4, 2, 1, 10), 0.1))
        >>> print(ops.convert_to_numpy(neighbour_loss(log_p, 0.0)).round(4))  # log 10
        [2.3026]
    """
    if len(log_p.shape) != 4 or log_p.shape[1] != 2:
        raise ValueError(
            f"log_p must have shape [batch, 2, heads, K], got {tuple(log_p.shape)}: "
            "put an example and its neighbour side by side."
        )
    if not weight >= 0:
        raise ValueError(f"weight must be at least 0, got {weight!r}: pass, say, 3.")
    log_p = ops.cast(log_p, "float32")
    agree = ops.mean(ops.logsumexp(ops.sum(log_p, axis=1), axis=-1), axis=0)
    mean = ops.mean(ops.exp(log_p), axis=(0, 1))
    entropy = -ops.sum(mean * ops.log(ops.maximum(mean, 1e-12)), axis=-1)
    return -agree - weight * entropy


@keras.saving.register_keras_serializable(package="sslkit")
class ClusterHeads(keras.Model):
    r"""Many small networks beside one another that sort features into clusters.

    Each head is a layer of `hidden` units with ReLU and a softmax over `clusters`; the
    loss is the sum of their `neighbour_loss`, so that each learns by itself. Where a
    head ends depends on where it began, and the loss, which needs no labels, says
    which of them to keep.

    Args:
        clusters: $K$, at least 2.
        heads: Number of heads.
        hidden: Units between features and clusters.
        weight: $\lambda$ of `neighbour_loss`.
        seed: Fixes the first weights.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> heads = ClusterHeads(clusters=10, heads=3)
        >>> heads.compile(optimizer="adam")
        >>> pairs = np.random.default_rng(0).normal(size=(64, 2, 8))
        >>> list(heads.fit(pairs, verbose=0).history)
        ['loss']
        >>> heads(pairs[:, 0]).shape
        TensorShape([64, 3, 10])
    """

    def __init__(
        self,
        clusters: int = 10,
        heads: int = 16,
        hidden: int = 256,
        weight: float = 3.0,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Keep the numbers; see the class for the arguments."""
        for name, number, least in [
            ("clusters", clusters, 2),
            ("heads", heads, 1),
            ("hidden", hidden, 1),
        ]:
            if not isinstance(number, int) or number < least:
                raise ValueError(
                    f"{name} must be an integer of at least {least}, got {number!r}: "
                    f"pass {least} or more."
                )
        if not weight >= 0:
            raise ValueError(
                f"weight must be at least 0, got {weight!r}: pass, say, 3."
            )
        super().__init__(**kwargs)
        self.clusters, self.heads, self.hidden = clusters, heads, hidden
        self.weight, self.seed = weight, seed

    def build(self, input_shape: tuple) -> None:
        """Make the weights of all heads."""
        sizes = (input_shape[-1], self.hidden, self.clusters)
        self.kernels, self.biases = [], []
        for layer in range(2):
            start = keras.initializers.RandomNormal(
                stddev=(2 / sizes[layer]) ** 0.5, seed=self.seed + layer
            )
            shape = (self.heads, sizes[layer], sizes[layer + 1])
            self.kernels.append(
                self.add_weight(shape=shape, initializer=start, name=f"kernel_{layer}")
            )
            self.biases.append(
                self.add_weight(
                    shape=(self.heads, sizes[layer + 1]),
                    initializer="zeros",
                    name=f"bias_{layer}",
                )
            )
        self.built = True

    def call(self, h: Any) -> Any:
        """Sort features.

        Args:
            h: Features `[..., d]`, such as pairs of neighbours `[batch, 2, d]`.

        Returns:
            Logarithms of cluster probabilities `[..., heads, K]`.
        """
        # Plain products, head by head: an `einsum` over them broadcasts the kernels to
        # the whole batch, which takes gigabytes.
        leading = ops.shape(h)[:-1]
        a = ops.reshape(h, (1, -1, h.shape[-1]))
        for kernel, bias, activation in zip(
            self.kernels, self.biases, (ops.relu, ops.log_softmax), strict=True
        ):
            a = activation(ops.matmul(a, kernel) + bias[:, None])
        return ops.reshape(
            ops.transpose(a, (1, 0, 2)), (*leading, self.heads, self.clusters)
        )

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Sum of the losses of all heads."""
        return share(ops.sum(neighbour_loss(gather(y_pred), self.weight)))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {
            **super().get_config(),
            "clusters": self.clusters,
            "heads": self.heads,
            "hidden": self.hidden,
            "weight": self.weight,
            "seed": self.seed,
        }


def name_clusters(cluster: ArrayLike, scores: ArrayLike) -> NDArray[np.int64]:
    """Give each cluster a class, one to one, by the labels that reach it.

    Args:
        cluster: Cluster of each example, integers 0 to K - 1, `[n]`.
        scores: Scores of K classes for each example, `[n, K]`, as `propagate` returns.

    Returns:
        The class of each cluster, `[K]`: of all one-to-one namings the one under which
        clusters hold the largest share of the scores of their classes.

    Raises:
        ValueError: If the lengths differ, a cluster is out of range, or a class has no
            score at all.

    Example:
        >>> name_clusters([0, 0, 1], [[0.0, 0.4], [0.1, 0.5], [0.9, 0.1]])
        array([1, 0])
    """
    cluster, scores = np.asarray(cluster), np.asarray(scores)
    if scores.ndim != 2 or cluster.shape != scores.shape[:1]:
        raise ValueError(
            f"cluster and scores must have n rows, got {cluster.shape} and "
            f"{scores.shape}: pass one cluster and one row of scores per example."
        )
    classes = scores.shape[1]
    if not np.all(scores.sum(axis=0) > 0):
        raise ValueError(
            f"scores must have a positive sum for each class, got sums "
            f"{scores.sum(axis=0)}: label at least one example of each."
        )
    if cluster.min() < 0 or cluster.max() >= classes:
        raise ValueError(
            f"cluster must be from 0 to {classes - 1}, got {cluster.min()} to "
            f"{cluster.max()}: use as many clusters as classes."
        )
    held = np.zeros((classes, classes))
    np.add.at(held, cluster, scores)
    return linear_sum_assignment(held / held.sum(axis=0), maximize=True)[1]
