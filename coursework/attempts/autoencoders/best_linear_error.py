"""Attempts at `best_linear_error` of assignment 2."""

import numpy as np
from sklearn.decomposition import PCA


def right_singular_values():
    """Singular values of the centred images."""
    values = np.linalg.svd(IMAGES - IMAGES.mean(axis=0), compute_uv=False)
    return np.sum(values[CODE_LENGTH:] ** 2) / len(IMAGES)


def right_reconstruction():
    """Copies by components from an eigendecomposition, compared with the images."""
    mean = IMAGES.mean(axis=0)
    values, vectors = np.linalg.eigh((IMAGES - mean).T @ (IMAGES - mean))
    basis = vectors[:, np.argsort(values)[::-1][:CODE_LENGTH]]
    copies = mean + (IMAGES - mean) @ basis @ basis.T
    return np.square(IMAGES - copies).sum(axis=1).mean()


def right_scikit_learn():
    """Variances of scikit-learn, which divides by one less than the images."""
    model = PCA(svd_solver="full").fit(IMAGES)
    left = model.explained_variance_[CODE_LENGTH:].sum()
    return left * (len(IMAGES) - 1) / len(IMAGES)


def right_gram_matrix():
    """Products of images with images: 180 eigenvalues instead of 196."""
    centred = (IMAGES - IMAGES.mean(axis=0)).astype("float32")
    values = np.linalg.eigvalsh(centred @ centred.T / len(IMAGES))
    return float(values[: len(IMAGES) - CODE_LENGTH].sum())


def wrong_not_centred():
    """Forgets the biases: components of images that are not centred."""
    values = np.linalg.eigvalsh(IMAGES.T @ IMAGES / len(IMAGES))
    return values[:-CODE_LENGTH].sum()


def wrong_one_less():
    """Variances with n - 1 in the denominator."""
    return np.linalg.eigvalsh(np.cov(IMAGES, rowvar=False))[:-CODE_LENGTH].sum()


def wrong_per_pixel():
    """A mean over the pixels."""
    values = np.linalg.eigvalsh(np.cov(IMAGES, rowvar=False, bias=True))
    return values[:-CODE_LENGTH].sum() / 196


def wrong_all_images():
    """A sum over the images."""
    values = np.linalg.svd(IMAGES - IMAGES.mean(axis=0), compute_uv=False)
    return np.sum(values[CODE_LENGTH:] ** 2)


def wrong_kept_variances():
    """What the code keeps, not what it loses."""
    values = np.linalg.eigvalsh(np.cov(IMAGES, rowvar=False, bias=True))
    return values[-CODE_LENGTH:].sum()


def wrong_ascending_order():
    """Drops the first eigenvalues, which are the smallest here."""
    values = np.linalg.eigvalsh(np.cov(IMAGES, rowvar=False, bias=True))
    return values[CODE_LENGTH:].sum()


def wrong_singular_values_not_squared():
    """Singular values taken for variances."""
    values = np.linalg.svd(IMAGES - IMAGES.mean(axis=0), compute_uv=False)
    return np.sum(values[CODE_LENGTH:]) / len(IMAGES)


def wrong_one_component_less():
    """Counts the mean image as one number of the code."""
    values = np.linalg.eigvalsh(np.cov(IMAGES, rowvar=False, bias=True))
    return values[: -(CODE_LENGTH - 1)].sum()


def wrong_one_component_more():
    """Counts the components from 0."""
    values = np.linalg.eigvalsh(np.cov(IMAGES, rowvar=False, bias=True))
    return values[: -(CODE_LENGTH + 1)].sum()


def wrong_share():
    """The share of the variance that is lost."""
    model = PCA(CODE_LENGTH, svd_solver="full").fit(IMAGES)
    return 1 - model.explained_variance_ratio_.sum()


def wrong_other_images():
    """The first images of the digits instead of this year's."""
    rows = [np.flatnonzero(mnist.y_train == digit)[:60] for digit in DIGITS]
    squares = mnist.x_train[np.concatenate(rows)].reshape(-1, 14, 2, 14, 2) / 255
    images = squares.mean(axis=(2, 4)).reshape(-1, 196)
    values = np.linalg.eigvalsh(np.cov(images, rowvar=False, bias=True))
    return values[:-CODE_LENGTH].sum()


def wrong_hard_coded():
    """Answers the visible check and nothing else."""
    return 0.6
