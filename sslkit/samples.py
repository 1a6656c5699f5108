"""Judging generated digits (chapters *Variational autoencoder* on).

Images that a model invents have no original to be compared with. What is compared is
their distribution, as a classifier sees it: features of many samples against features
of as many real images.
"""

from typing import NamedTuple

import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from sslkit import data, networks, supervised


class Judge(NamedTuple):
    """A classifier of digits and its last hidden layer; answer of `train_judge`.

    Attributes:
        classify: Model from images `[batch, 28, 28]` to logits `[batch, 10]`.
        features: Model from the same images to features `[batch, 64]`.
    """

    classify: keras.Model
    features: keras.Model

    def labels(self, images: ArrayLike) -> NDArray[np.int64]:
        """Digit that the classifier sees in each image, `[n]`."""
        logits = self.classify.predict(images, batch_size=500, verbose=0)
        return logits.argmax(axis=1)

    def describe(self, images: ArrayLike) -> NDArray[np.float32]:
        """Features of each image, `[n, 64]`."""
        return self.features.predict(images, batch_size=500, verbose=0)


def train_judge(dataset: data.Dataset, epochs: int = 3, seed: int = 0) -> Judge:
    """Train a small convolutional classifier, on the training images and labels.

    Distances between its features mean something only for one and the same judge: a
    data set, `epochs` and `seed` fix it on a given machine. They are not comparable
    with the Fréchet inception distance, whose judge has seen photographs.

    Args:
        dataset: What `sslkit.data.load_mnist` returned.
        epochs: Passes over the training images, at least 1.
        seed: Seed of weights and order. The global random state is left as it was
            found only where Keras allows it, so seed what comes after anew.

    Returns:
        `Judge`.
    """
    keras.utils.set_random_seed(seed)
    encoder = networks.conv_encoder(64)
    classify = supervised.fit_classifier(
        encoder, dataset.x_train, dataset.y_train, epochs, batch_size=128
    )
    return Judge(classify, encoder)


def frechet_distance(a: ArrayLike, b: ArrayLike) -> float:
    r"""Fréchet distance between Gaussians fitted to two sets of features.

    $$\lVert m_a - m_b \rVert^2
      + \operatorname{tr}\bigl(C_a + C_b - 2 (C_a C_b)^{1/2}\bigr)$$

    with means $m$ and covariances $C$. Heusel et al., arXiv 1706.08500, use it on
    features of the Inception network. It is biased upwards by few samples: compare
    only at equal numbers, and print that of real against real beside it.

    Args:
        a: Features `[n, d]`, n at least 2, finite.
        b: Features `[m, d]`, m at least 2, finite.

    Returns:
        The distance, at least 0 up to rounding, in squared units of the features.

    Raises:
        ValueError: If the shapes do not fit or a feature is NaN or infinite.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> a = rng.normal(size=(50, 3))
        >>> round(frechet_distance(a, a + [2, 0, 0]), 6)
        4.0
    """
    a, b = (np.asarray(each, dtype=np.float64) for each in (a, b))
    if (
        a.ndim != 2
        or b.ndim != 2
        or a.shape[1] != b.shape[1]
        or min(len(a), len(b)) < 2
    ):
        raise ValueError(
            "a and b must have shapes [n, d] and [m, d] with n and m at least 2, got "
            f"{a.shape} and {b.shape}: pass features of one judge."
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("a or b holds NaN or infinity: look at the images first.")
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    cov_a, cov_b = np.atleast_2d(cov_a), np.atleast_2d(cov_b)
    # tr (A B)^1/2 = tr (A^1/2 B A^1/2)^1/2, which is symmetric: eigenvalues suffice.
    values, vectors = np.linalg.eigh(cov_a)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    cross = np.linalg.eigvalsh(root @ cov_b @ root)
    trace = (
        np.trace(cov_a) + np.trace(cov_b) - 2 * np.sqrt(np.clip(cross, 0, None)).sum()
    )
    return float(np.sum((a.mean(axis=0) - b.mean(axis=0)) ** 2) + trace)


def classes_present(labels: ArrayLike, classes: int = 10, share: float = 0.01) -> int:
    """Count the classes that make up at least a given share of the samples.

    Args:
        labels: Class of each sample as a classifier sees it, integers `[n]`.
        classes: Number of classes there are.
        share: Least share of the samples, above 0, for a class to count as present.

    Returns:
        A number from 0 to `classes`.

    Raises:
        ValueError: If there are no labels, or one lies outside 0 to `classes` - 1.

    Example:
        >>> classes_present([0] * 50 + [3] * 50)
        2
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or len(labels) == 0:
        raise ValueError(f"labels must have shape [n], n > 0, got {labels.shape}.")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"labels must lie in 0 to {classes - 1}, got {labels.min()} to "
            f"{labels.max()}: say how many classes there are."
        )
    counts = np.bincount(labels, minlength=classes)
    return int(np.sum(counts >= share * len(labels)))


def two_sample_auc(a: ArrayLike, b: ArrayLike, seed: int = 0) -> float:
    """How well a fresh discriminator tells two samples apart.

    A multilayer perceptron (scikit-learn) is trained on one half of both samples; the
    area under its ROC curve is measured on the other half. One half means that it
    cannot tell them apart, one that it always can. A lower bound: a better
    discriminator might find more.

    Args:
        a: Sample `[n, d]`.
        b: Sample `[m, d]`.
        seed: Seed of the halves and of the discriminator.

    Returns:
        Area under the ROC curve, 0 to 1.

    Raises:
        ValueError: If the shapes do not fit.
    """
    a, b = np.asarray(a), np.asarray(b)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(
            f"a and b must have shapes [n, d] and [m, d], got {a.shape} and {b.shape}: "
            "pass codes and draws from the prior of the same length."
        )
    x = np.concatenate([a, b])
    y = np.repeat([1, 0], [len(a), len(b)])
    x_fit, x_eval, y_fit, y_eval = train_test_split(
        x, y, test_size=0.5, stratify=y, random_state=seed
    )
    scale = x_fit.std(axis=0) + 1e-12
    model = MLPClassifier((128, 128), early_stopping=True, random_state=seed)
    model.fit(x_fit / scale, y_fit)
    return float(roc_auc_score(y_eval, model.predict_proba(x_eval / scale)[:, 1]))
