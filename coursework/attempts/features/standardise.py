"""Attempts at `standardise` of assignment 1."""

import numpy as np
from keras import ops
from sklearn.preprocessing import StandardScaler


def right_scikit_learn(train, test):
    """Fitted on one side, applied to both."""
    scaler = StandardScaler().fit(train)
    return scaler.transform(train), scaler.transform(test)


def right_keras(train, test):
    """Tensors of Keras, returned as a list."""
    train, test = ops.convert_to_tensor(train), ops.convert_to_tensor(test)
    mean, s = ops.mean(train, axis=0), ops.std(train, axis=0)
    s = ops.where(s > 0, s, ops.ones_like(s))
    return [(train - mean) / s, (test - mean) / s]


def right_loop(train, test):
    """Feature by feature, value by value; lists of columns, turned at the end."""
    sides = [], []
    for j in range(train.shape[1]):
        column = [float(x) for x in train[:, j]]
        mean = sum(column) / len(column)
        s = (sum((x - mean) ** 2 for x in column) / len(column)) ** 0.5
        for side, values in zip(sides, (train[:, j], test[:, j]), strict=True):
            side.append([(float(x) - mean) / (s or 1.0) for x in values])
    return tuple(np.transpose(side) for side in sides)


def right_mean_of_squares(train, test):
    """The deviation as the mean of the squares less the square of the mean."""
    x = np.asarray(train, "float64")
    mean = x.mean(axis=0)
    s = np.sqrt(np.maximum((x**2).mean(axis=0) - mean**2, 0))
    s[s < 1e-6] = 1
    return (train - mean) / s, (test - mean) / s


def wrong_fitted_on_both(train, test):
    """Mean and deviation of all images together."""
    both = np.concatenate([train, test])
    mean, s = both.mean(axis=0), both.std(axis=0)
    s = np.where(s == 0, 1, s)
    return (train - mean) / s, (test - mean) / s


def wrong_each_by_itself(train, test):
    """Each side with its own mean and deviation."""
    return tuple(StandardScaler().fit_transform(side) for side in (train, test))


def wrong_axis(train, test):
    """Each image with its own mean and deviation."""
    sides = []
    for x in (train, test):
        s = x.std(axis=1, keepdims=True)
        sides.append((x - x.mean(axis=1, keepdims=True)) / np.where(s == 0, 1, s))
    return tuple(sides)


def wrong_one_for_all_features(train, test):
    """One mean and one deviation for all features together."""
    return (train - train.mean()) / train.std(), (test - train.mean()) / train.std()


def wrong_sample_deviation(train, test):
    """Divides by n - 1 in the variance."""
    mean, s = train.mean(axis=0), train.std(axis=0, ddof=1)
    s = np.where(s == 0, 1, s)
    return (train - mean) / s, (test - mean) / s


def wrong_variance(train, test):
    """Divides by the variance."""
    mean, s = train.mean(axis=0), train.var(axis=0)
    s = np.where(s == 0, 1, s)
    return (train - mean) / s, (test - mean) / s


def wrong_in_place(train, test):
    """Overwrites the caller's arrays."""
    mean, s = train.mean(axis=0), train.std(axis=0)
    s = np.where(s == 0, 1, s).astype(train.dtype)
    for side in (train, test):
        side -= mean
        side /= s
    return train, test


def wrong_epsilon(train, test):
    """Keeps the zero away with a small number, which blows up constant features."""
    mean, s = train.mean(axis=0), train.std(axis=0) + 1e-8
    return (train - mean) / s, (test - mean) / s


def wrong_division_by_zero(train, test):
    """Takes no care of constant features."""
    mean, s = train.mean(axis=0), train.std(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (train - mean) / s, (test - mean) / s


def wrong_drops_constant(train, test):
    """Sets constant features to 0 on both sides."""
    mean, s = train.mean(axis=0), train.std(axis=0)
    keep, s = s > 0, np.where(s == 0, 1, s)
    return keep * (train - mean) / s, keep * (test - mean) / s


def wrong_hard_coded(train, test):
    """Answers the visible check and nothing else."""
    return np.array([[-1.0, 0.0], [1.0, 0.0]]), np.array([[3.0, 1.0]])
