"""Attempts at `spread_labels` of assignment 6."""

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import spsolve


def right_repeated(S, labelled, y, classes, alpha):
    """Repeats the step until nothing changes."""
    Y = np.zeros((len(S), classes))
    for row, c in zip(labelled, y, strict=True):
        Y[row, c] = 1
    F = Y.copy()
    for _ in range(1000):
        F = alpha * S @ F + (1 - alpha) * Y
    return F / F.sum(axis=0, keepdims=True)


def right_sparse(S, labelled, y, classes, alpha):
    """Solves a sparse system, class by class."""
    A = sparse.csc_matrix(np.eye(len(S)) - alpha * S)
    columns = []
    for c in range(classes):
        start = np.zeros(len(S))
        start[np.asarray(labelled)[np.asarray(y) == c]] = 1
        column = spsolve(A, start)
        columns.append(column / column.sum())
    return np.stack(columns, axis=1)


def right_inverse(S, labelled, y, classes, alpha):
    """The inverse, one-hot classes by comparison."""
    inverse = np.linalg.inv(np.eye(len(S)) - alpha * S)
    one_hot = (np.asarray(y)[:, None] == np.arange(classes)).astype(float)
    F = inverse[:, labelled] @ one_hot
    return (F.T / F.T.sum(axis=1, keepdims=True)).T


def wrong_not_divided(S, labelled, y, classes, alpha):
    """Forgets to divide the columns by their sums."""
    Y = np.zeros((len(S), classes))
    Y[labelled, y] = 1
    return (1 - alpha) * np.linalg.solve(np.eye(len(S)) - alpha * S, Y)


def wrong_rows_divided(S, labelled, y, classes, alpha):
    """Divides rows instead of columns."""
    Y = np.zeros((len(S), classes))
    Y[labelled, y] = 1
    F = np.linalg.solve(np.eye(len(S)) - alpha * S, Y)
    return F / F.sum(axis=1, keepdims=True)


def wrong_one_step(S, labelled, y, classes, alpha):
    """One step along the edges."""
    Y = np.zeros((len(S), classes))
    Y[labelled, y] = 1
    F = alpha * S @ Y + (1 - alpha) * Y
    return F / F.sum(axis=0)


def wrong_alpha_swapped(S, labelled, y, classes, alpha):
    """Exchanges alpha and one minus alpha."""
    Y = np.zeros((len(S), classes))
    Y[labelled, y] = 1
    F = np.linalg.solve(np.eye(len(S)) - (1 - alpha) * S, Y)
    return F / F.sum(axis=0)


def wrong_labels_at_the_top(S, labelled, y, classes, alpha):
    """Puts the labels into the first rows."""
    Y = np.zeros((len(S), classes))
    Y[np.arange(len(y)), y] = 1
    F = np.linalg.solve(np.eye(len(S)) - alpha * S, Y)
    return F / F.sum(axis=0)


def wrong_clamped(S, labelled, y, classes, alpha):
    """Holds the labelled rows at their labels."""
    Y = np.zeros((len(S), classes))
    Y[labelled, y] = 1
    F = Y.copy()
    for _ in range(500):
        F = alpha * S @ F + (1 - alpha) * Y
        F[labelled] = Y[labelled]
    return F / F.sum(axis=0)


def wrong_classes_returned(S, labelled, y, classes, alpha):
    """Returns the best class of each row."""
    Y = np.zeros((len(S), classes))
    Y[labelled, y] = 1
    return np.linalg.solve(np.eye(len(S)) - alpha * S, Y).argmax(axis=1)


def wrong_too_few_steps(S, labelled, y, classes, alpha):
    """Stops before it has settled."""
    Y = np.zeros((len(S), classes))
    Y[labelled, y] = 1
    F = Y.copy()
    for _ in range(2):
        F = alpha * S @ F + (1 - alpha) * Y
    return F / F.sum(axis=0)


def wrong_hard_coded(S, labelled, y, classes, alpha):
    """Answers the visible check and nothing else."""
    third = 1 / 3
    return np.array([[0, 2 * third], [0, third], [third, 0], [2 * third, 0]])


def wrong_calls_the_package(S, labelled, y, classes, alpha):
    """Lets the package do it."""
    from sslkit.labels import propagate

    return propagate(S, labelled, y, classes, alpha, steps=2000)
