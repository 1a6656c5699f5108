"""Attempts at `pca_features` of assignment 1."""

import numpy as np
from keras import ops
from sklearn.decomposition import PCA


def right_scikit_learn(train, test, k):
    """Fitted on one side, applied to both."""
    pca = PCA(k).fit(train)
    return pca.transform(train), pca.transform(test)


def right_covariance(train, test, k):
    """Eigenvectors of the covariance matrix, the last ones first."""
    m = train.mean(axis=0)
    _, vectors = np.linalg.eigh(np.cov(train, rowvar=False))
    W = vectors[:, ::-1][:, :k]
    return (train - m) @ W, (test - m) @ W


def right_keras(train, test, k):
    """Singular vectors with Keras, and the other sign."""
    m = ops.mean(train, axis=0)
    _, _, directions = ops.svd(train - m, full_matrices=False)
    W = -ops.transpose(directions)[:, :k]
    return ops.matmul(train - m, W), ops.matmul(test - m, W)


def right_power_iteration(train, test, k):
    """One direction after the other, by repeated multiplication; a loop over rows."""
    m = np.mean(train, axis=0, dtype="float64")
    left, W = train - m, []
    for _ in range(k):
        w = np.ones(len(m)) + np.arange(len(m)) / 7
        for _ in range(300):
            w = left.T @ (left @ w)
            w /= np.linalg.norm(w)
        left = left - np.outer(left @ w, w)
        W.append(w)
    return tuple(
        [[float(np.dot(w, x - m)) for w in W] for x in side] for side in (train, test)
    )


def wrong_not_centred(train, test, k):
    """Directions and codes around the origin."""
    _, _, directions = np.linalg.svd(train, full_matrices=False)
    return train @ directions[:k].T, test @ directions[:k].T


def wrong_codes_not_centred(train, test, k):
    """Directions of the centred features, and codes without subtracting the mean."""
    _, _, directions = np.linalg.svd(train - train.mean(axis=0), full_matrices=False)
    return train @ directions[:k].T, test @ directions[:k].T


def wrong_test_mean(train, test, k):
    """Centres the test side by its own mean."""
    m = train.mean(axis=0)
    _, _, directions = np.linalg.svd(train - m, full_matrices=False)
    return (train - m) @ directions[:k].T, (test - test.mean(axis=0)) @ directions[:k].T


def wrong_fitted_on_both(train, test, k):
    """Mean and directions of all images together."""
    pca = PCA(k).fit(np.concatenate([train, test]))
    return pca.transform(train), pca.transform(test)


def wrong_each_by_itself(train, test, k):
    """Each side with its own mean and directions."""
    sides = []
    for x in (train, test):
        centred = x - x.mean(axis=0)
        _, _, directions = np.linalg.svd(centred)
        sides.append(centred @ directions[:k].T)
    return tuple(sides)


def wrong_rows_for_columns(train, test, k):
    """Takes columns of the matrix whose rows are the directions."""
    m = train.mean(axis=0)
    _, _, directions = np.linalg.svd(train - m, full_matrices=False)
    return (train - m) @ directions[:, :k], (test - m) @ directions[:, :k]


def wrong_smallest(train, test, k):
    """The first eigenvectors, which belong to the smallest eigenvalues."""
    m = train.mean(axis=0)
    _, vectors = np.linalg.eigh(np.cov(train, rowvar=False))
    return (train - m) @ vectors[:, :k], (test - m) @ vectors[:, :k]


def wrong_order(train, test, k):
    """The right directions, the smallest variance first."""
    m = train.mean(axis=0)
    _, vectors = np.linalg.eigh(np.cov(train, rowvar=False))
    return (train - m) @ vectors[:, -k:], (test - m) @ vectors[:, -k:]


def wrong_whitened(train, test, k):
    """Divides the codes by their standard deviations."""
    pca = PCA(k, whiten=True).fit(train)
    return pca.transform(train), pca.transform(test)


def wrong_standardised(train, test, k):
    """Divides the features by their standard deviations first."""
    m, s = train.mean(axis=0), train.std(axis=0)
    _, _, directions = np.linalg.svd((train - m) / s, full_matrices=False)
    return (train - m) / s @ directions[:k].T, (test - m) / s @ directions[:k].T


def wrong_signs_differ(train, test, k):
    """Flips each side so that its first code is positive."""
    pca = PCA(k).fit(train)
    codes = pca.transform(train), pca.transform(test)
    return tuple(z * np.where(z[:1] < 0, -1, 1) for z in codes)


def wrong_in_place(train, test, k):
    """Subtracts the mean from the caller's arrays."""
    m = train.mean(axis=0)
    train -= m
    test -= m
    _, _, directions = np.linalg.svd(train, full_matrices=False)
    return train @ directions[:k].T, test @ directions[:k].T


def wrong_hard_coded(train, test, k):
    """Answers the visible check and nothing else."""
    return 2**0.5 * np.array([[-1.0], [0.0], [1.0]]), 2**0.5 * np.array([[0.0], [2.0]])
