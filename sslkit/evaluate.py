"""One evaluation protocol for every encoder of the course (chapter *Evaluation*).

An encoder is anything that maps images, float32 `[batch, 28, 28]` in [0, 1], to
features, `[batch, ...]`: a Keras model, a function, the pixels themselves. `embed`
applies it, `features` applies it to both sides of a split, and every probe takes what
`features` returns, so that all encoders go through the same door.

The discipline is built in. `features` looks at the validation split unless it is asked
for the test set by name, and a probe chooses its settings inside its training side.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from sslkit import data, metrics

Encoder = Callable[[Any], Any]
"""Maps float32 images `[batch, 28, 28]` in [0, 1] to features `[batch, ...]`."""


class Features(NamedTuple):
    """Features and labels of the two sides of a split.

    Attributes:
        h_train: Training features, float32 `[n, d]`.
        y_train: Training classes, integers `[n]`.
        h_eval: Features to be judged on, float32 `[m, d]`.
        y_eval: Their classes, integers `[m]`.
    """

    h_train: NDArray[np.float32]
    y_train: NDArray[np.int64]
    h_eval: NDArray[np.float32]
    y_eval: NDArray[np.int64]


class LinearProbe(NamedTuple):
    """Answer of `linear_probe`.

    Attributes:
        accuracy: Fraction of `h_eval` that is classified correctly.
        C: The inverse regularisation strength that was chosen.
    """

    accuracy: float
    C: float


class Spread(NamedTuple):
    """Mean and sample standard deviation over repetitions.

    Attributes:
        mean: Mean.
        sd: Standard deviation with n - 1 in the denominator.
        n: Number of repetitions, at least two.
    """

    mean: float
    sd: float
    n: int


def raw_pixels(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """The encoder that does nothing: pixels as features.

    Args:
        images: `[batch, 28, 28]`.

    Returns:
        The same numbers, `[batch, 784]`.

    Example:
        >>> raw_pixels(np.zeros((2, 28, 28), "float32")).shape
        (2, 784)
    """
    return images.reshape(len(images), -1)


def pca_encoder(images: ArrayLike, n_components: int) -> Encoder:
    """The best linear encoder for squared error, fitted on images without labels.

    Args:
        images: uint8 images `[n, 28, 28]` to fit mean and components on.
        n_components: Number of components, 1 to 784.

    Returns:
        An encoder to `[batch, n_components]`. Its attribute `pca` is the fitted
        `sklearn.decomposition.PCA`.

    Raises:
        ValueError: If there are fewer images or pixels than components.

    Example:
        >>> images = np.random.default_rng(0).integers(0, 256, (50, 28, 28), "uint8")
        >>> pca_encoder(images, 3)(images[:2] / 255).shape
        (2, 3)
    """
    x = raw_pixels(data.unit_interval(images))
    if not 1 <= n_components <= min(x.shape):
        raise ValueError(
            f"n_components must be 1 to {min(x.shape)}, the smaller of the numbers of "
            f"images and pixels, got {n_components}."
        )
    pca = PCA(n_components, svd_solver="covariance_eigh").fit(x)

    def encode(images: NDArray[np.float32]) -> NDArray[np.float32]:
        return pca.transform(raw_pixels(images))

    encode.pca = pca  # type: ignore[attr-defined]
    return encode


def embed(
    encoder: Encoder, images: ArrayLike, batch_size: int = 1000
) -> NDArray[np.float32]:
    """Apply an encoder to images, batch by batch.

    Args:
        encoder: See `Encoder`. It is called, not trained; a Keras model runs with
            `training=False`, as it does whenever it is called outside `fit`.
        images: uint8 images `[n, 28, 28]`, or of another size or with three colours,
            n at least 1.
        batch_size: Images per call. It bounds the memory and changes nothing else.

    Returns:
        Features, float32 `[n, d]`. Longer shapes are flattened.

    Raises:
        ValueError: If the images have another type or rank, the encoder returns
            another number of rows, or a feature is NaN or infinite.

    Example:
        >>> embed(raw_pixels, np.full((3, 28, 28), 255, "uint8")).sum(axis=1)
        array([784., 784., 784.], dtype=float32)
    """
    images = np.asarray(images)
    if len(images) == 0:
        raise ValueError("images is empty: there is nothing to embed.")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
    parts = []
    for start in range(0, len(images), batch_size):
        batch = data.unit_interval(images[start : start + batch_size])
        h = np.asarray(encoder(batch), dtype=np.float32)
        if h.ndim < 2 or len(h) != len(batch):
            raise ValueError(
                f"encoder must return one row of features per image, got shape "
                f"{h.shape} for {len(batch)} images."
            )
        parts.append(h.reshape(len(h), -1))
    features = np.concatenate(parts)
    _check_finite("encoder's features", features)
    return features


def features(encoder: Encoder, dataset: data.Dataset, on: str = "val") -> Features:
    """Features of a data set, ready for the probes.

    Args:
        encoder: See `Encoder`.
        dataset: What `sslkit.data.load_mnist` returned.
        on: `"val"` judges on the last sixth of the training images and is what
            every choice is made with. `"test"` trains on all training images and
            judges on the test set: it is for the last line.

    Returns:
        `Features`.

    Raises:
        ValueError: If `on` is neither, or as `embed` raises.
    """
    if on == "val":
        x_train, y_train, x_eval, y_eval = dataset.train_val()
    elif on == "test":
        x_train, y_train = dataset.x_train, dataset.y_train
        x_eval, y_eval = dataset.x_test, dataset.y_test
    else:
        raise ValueError(f"on must be 'val' or 'test', got {on!r}.")
    return Features(embed(encoder, x_train), y_train, embed(encoder, x_eval), y_eval)


def linear_probe(
    split: Features, Cs: Sequence[float] = (1e-3, 1e-2, 1e-1, 1.0)
) -> LinearProbe:
    """Accuracy of a linear classifier on frozen features, all labels.

    Multinomial logistic regression (scikit-learn, L-BFGS). The inverse
    regularisation strength is chosen on the last sixth of the training side, then
    the classifier is fitted once more on all of it. Features are centred and
    divided by one number, their root mean square, so that the grid means the same
    whatever the scale of an encoder.

    Args:
        split: Answer of `features`. Where there is something to choose, training rows
            have to be in random order, not sorted by class or origin.
        Cs: Candidates, positive. With one candidate nothing needs choosing.

    Returns:
        `LinearProbe`.

    Raises:
        ValueError: If features and labels do not fit together, or the training side
            is too small to split.
    """
    h_train, y_train, h_eval, y_eval = _standardise(_check(split))
    if min(Cs, default=0) <= 0:
        raise ValueError(f"Cs must hold positive numbers, got {list(Cs)}.")
    n_fit = len(y_train) - len(y_train) // 6
    if len(Cs) == 1:
        best = Cs[0]
    elif n_fit == len(y_train):
        raise ValueError(
            f"{len(y_train)} training examples leave none to choose C with: pass "
            "a single C."
        )
    else:
        best = max(
            Cs,
            key=lambda C: logistic(C, h_train[:n_fit], y_train[:n_fit]).score(
                h_train[n_fit:], y_train[n_fit:]
            ),
        )
    model = logistic(best, h_train, y_train)
    return LinearProbe(float(model.score(h_eval, y_eval)), best)


def knn_probe(split: Features, k: int = 20, temperature: float = 0.07) -> float:
    r"""Accuracy of weighted nearest neighbours by cosine (arXiv 1805.01978).

    Each of the `k` training features most similar to a query votes for its class
    with the weight $e^{s/\tau}$, $s$ the cosine similarity and $\tau$ the
    temperature. Nothing is fitted and nothing is chosen.

    Args:
        split: Answer of `features`.
        k: Number of neighbours, 1 to the number of training features.
        temperature: $\tau$, positive.

    Returns:
        Fraction of `h_eval` that is classified correctly.

    Raises:
        ValueError: If `k` or `temperature` is out of range, or features and labels
            do not fit together.
    """
    h_train, y_train, h_eval, y_eval = _check(split)
    if not 1 <= k <= len(y_train):
        raise ValueError(
            f"k must be 1 to {len(y_train)}, the number of training features, got {k}."
        )
    if temperature <= 0:
        raise ValueError(f"temperature must be positive, got {temperature}.")
    # On vectors of unit length the Euclidean search, which scikit-learn has in
    # compiled code, finds the same neighbours as the cosine: |a - b|^2 = 2 - 2 cos.
    index = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(_unit(h_train))
    distances, neighbours = index.kneighbors(_unit(h_eval))
    similarity = 1 - distances**2 / 2
    # Subtracting the largest similarity leaves the vote as it is and cannot overflow.
    weights = np.exp((similarity - similarity[:, :1]) / temperature)
    classes, codes = np.unique(y_train, return_inverse=True)
    votes = np.zeros((len(h_eval), len(classes)))
    np.add.at(votes, (np.arange(len(h_eval))[:, None], codes[neighbours]), weights)
    return float(np.mean(classes[votes.argmax(axis=1)] == y_eval))


def few_label_probe(
    split: Features,
    per_class: Sequence[int] = (1, 5, 10, 16),
    draws: int = 10,
    C: float = 1.0,
    seed: int = 0,
) -> dict[int, Spread]:
    """Accuracy of a linear classifier that sees few labels, over several draws.

    Nothing is tuned, because whoever has ten labels has none to tune with: `C` is
    the same for all encoders. Centre and scale come from all training features,
    which needs no labels.

    Args:
        split: Answer of `features`.
        per_class: Labels per class, each at least 1.
        draws: Number of random draws of the labels, at least 2.
        C: Inverse regularisation strength, positive.
        seed: Draw `i` uses `seed + i`, so that all encoders see the same draws.

    Returns:
        Mean and standard deviation over the draws, by labels per class.

    Raises:
        ValueError: If a class has too few examples, `draws` is below 2, or features
            and labels do not fit together.
    """
    h_train, y_train, h_eval, y_eval = _standardise(_check(split))
    if draws < 2:
        raise ValueError(f"draws must be at least 2 to show a spread, got {draws}.")
    scores: dict[int, Spread] = {}
    for shots in per_class:
        accuracies = []
        for i in range(draws):
            chosen = data.few_labels(y_train, shots, seed + i)
            model = logistic(C, h_train[chosen], y_train[chosen])
            accuracies.append(model.score(h_eval, y_eval))
        scores[shots] = spread(accuracies)
    return scores


def cluster_probe(split: Features, seeds: Sequence[int] = (0, 1, 2)) -> Spread:
    """Accuracy of k-means clusters of `h_eval`, named in the best possible way.

    As many clusters as there are classes, which is itself a piece of knowledge.
    K-means is fitted on the training features without labels; labels only name the
    clusters (`sslkit.metrics.clustering_accuracy`).

    Args:
        split: Answer of `features`.
        seeds: Seeds of k-means, at least two: the result depends on them.

    Returns:
        Mean and standard deviation over the seeds. Not the best seed.

    Raises:
        ValueError: If fewer than two seeds are given, or features and labels do not
            fit together.
    """
    h_train, y_train, h_eval, y_eval = _standardise(_check(split))
    n_clusters = len(np.unique(y_train))
    return spread(
        metrics.clustering_accuracy(
            y_eval,
            KMeans(n_clusters, n_init=3, random_state=seed)
            .fit(h_train)
            .predict(h_eval),
        )
        for seed in seeds
    )


def protocol(
    encoders: Encoder | Sequence[Encoder], dataset: data.Dataset, on: str = "val"
) -> dict[str, float | Spread]:
    """Put an encoder through every probe, each with its default settings.

    Args:
        encoders: An encoder, or several that differ in their seed only.
        dataset: What `sslkit.data.load_mnist` returned.
        on: As for `features`.

    Returns:
        `knn`, `linear` and `rank` (effective rank of the judged features): a number,
        or mean and spread over several encoders. `shot1`, `shot5`, `shot10`,
        `shot16`: `few_label_probe` of the first encoder, over draws. `cluster`:
        `cluster_probe` of the first encoder, over seeds of k-means. Accuracies are
        fractions.

    Raises:
        ValueError: As `features` and the probes do.
    """
    group = [encoders] if callable(encoders) else list(encoders)
    splits = [features(encoder, dataset, on) for encoder in group]
    once = [
        {
            "knn": knn_probe(split),
            "linear": linear_probe(split).accuracy,
            "rank": metrics.effective_rank(split.h_eval),
        }
        for split in splits
    ]
    scores: dict[str, float | Spread] = {
        key: value if len(once) == 1 else spread(each[key] for each in once)
        for key, value in once[0].items()
    }
    few = few_label_probe(splits[0])
    scores.update({f"shot{shots}": score for shots, score in few.items()})
    scores["cluster"] = cluster_probe(splits[0])
    return scores


def logistic(C: float, h: NDArray[Any], y: NDArray[Any]) -> LogisticRegression:
    """Fit multinomial logistic regression on one thread, as the probes do.

    Args:
        C: Inverse regularisation strength, positive.
        h: Features `[n, d]`, centred and of a scale for which `C` is meant.
        y: Classes `[n]`.

    Returns:
        The fitted `sklearn.linear_model.LogisticRegression`.

    Example:
        >>> model = logistic(1.0, np.array([[-1.0], [0.0], [1.0]]), np.arange(3))
        >>> model.predict([[-2.0], [2.0]])
        array([0, 2])
    """
    model = LogisticRegression(C=C, max_iter=200)
    # The matrices are too small for several threads, which wait for one another: on
    # two cores one thread was 1.3 to 20 times faster, at 4,000 and 60,000 images.
    with warnings.catch_warnings(), threadpool_limits(1, user_api="blas"):
        # Weak regularisation may stop at the iteration limit. The validation split
        # judges the classifier that results, early stop included.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(h, y)


def spread(values: Any) -> Spread:
    """Mean and sample standard deviation of repeated measurements.

    Args:
        values: Numbers, at least two.

    Returns:
        `Spread`.

    Raises:
        ValueError: If there are fewer than two.

    Example:
        >>> spread([0.25, 0.5, 0.75])
        Spread(mean=0.5, sd=0.25, n=3)
    """
    values = np.asarray(list(values), dtype=np.float64)
    if len(values) < 2:
        raise ValueError(
            f"a spread needs at least two values, got {len(values)}: repeat with "
            "another seed."
        )
    return Spread(float(values.mean()), float(values.std(ddof=1)), len(values))


def _standardise(split: Features) -> Features:
    # Sums in float64 for accuracy, arrays in float32 for memory.
    centre = split.h_train.mean(axis=0, dtype=np.float64).astype(np.float32)
    h_train, h_eval = split.h_train - centre, split.h_eval - centre
    scale = np.sqrt(np.mean(h_train**2, dtype=np.float64)).astype(np.float32)
    if scale > 0:  # Constant features stay at zero: the probe is then at chance.
        h_train, h_eval = h_train / scale, h_eval / scale
    return split._replace(h_train=h_train, h_eval=h_eval)


def _unit(h: NDArray[np.float32]) -> NDArray[np.float32]:
    # A feature vector of zeros has no direction; it stays zero, equally far from all.
    return h / np.maximum(np.linalg.norm(h, axis=1, keepdims=True), 1e-12)


def _check(split: Features) -> Features:
    for side in ("train", "eval"):
        h = np.asarray(getattr(split, f"h_{side}"))
        y = np.asarray(getattr(split, f"y_{side}"))
        if h.ndim != 2 or y.ndim != 1 or len(h) != len(y) or len(y) == 0:
            raise ValueError(
                f"h_{side} must have shape [n, d] and y_{side} shape [n] with the "
                f"same n > 0, got {h.shape} and {y.shape}."
            )
        _check_finite(f"h_{side}", h)
    if split.h_train.shape[1] != split.h_eval.shape[1]:
        raise ValueError(
            f"h_train has {split.h_train.shape[1]} features and h_eval "
            f"{split.h_eval.shape[1]}: use one encoder for both."
        )
    return split


def _check_finite(name: str, h: NDArray[Any]) -> None:
    if not np.isfinite(h).all():
        raise ValueError(
            f"{name} hold NaN or infinity in {(~np.isfinite(h)).any(axis=1).sum()} of "
            f"{len(h)} rows: find out where the encoder made them."
        )
