"""Attempts at `knn_accuracy` of assignment 1."""

import numpy as np
from keras import ops
from scipy import stats
from sklearn.neighbors import KNeighborsClassifier

from sslkit import evaluate


def unit(h):
    """Scale rows to length 1."""
    return h / np.linalg.norm(h, axis=1, keepdims=True)


def right_scikit_learn(train_h, train_y, test_h, test_y, k):
    """Brute force, with equal votes."""
    knn = KNeighborsClassifier(k, metric="cosine", weights="uniform")
    return knn.fit(train_h, train_y).score(test_h, test_y)


def right_keras(train_h, train_y, test_h, test_y, k):
    """The largest entries of a matrix product, counted as one-hot vectors."""
    s = ops.matmul(ops.normalize(test_h, axis=1), ops.transpose(ops.normalize(train_h)))
    _, nearest = ops.top_k(s, k)
    votes = ops.sum(ops.one_hot(ops.take(train_y, nearest), 10), axis=1)
    right = ops.equal(ops.cast(ops.argmax(votes, axis=1), "int64"), test_y)
    return ops.mean(ops.cast(right, "float32"))


def right_distance_of_units(train_h, train_y, test_h, test_y, k):
    """The smallest distance between vectors of length 1, and the smallest mode."""
    train_u, test_u = unit(train_h), unit(test_h)
    distance = ((test_u[:, None] - train_u) ** 2).sum(axis=2)
    nearest = np.argpartition(distance, k - 1, axis=1)[:, :k]
    return np.mean(stats.mode(train_y[nearest], axis=1).mode == test_y)


def right_loop(train_h, train_y, test_h, test_y, k):
    """Image by image, with lists."""
    right = 0
    for h, y in zip(test_h, test_y, strict=True):
        angle = [
            np.arccos(np.clip(h @ a / np.sqrt((h @ h) * (a @ a)), -1, 1))
            for a in np.asarray(train_h, "float64")
        ]
        names = [
            int(train_y[j]) for j in sorted(range(len(angle)), key=angle.__getitem__)
        ]
        most = max(sorted(set(names[:k])), key=names[:k].count)
        right += most == y
    return right / len(test_y)


def wrong_euclidean(train_h, train_y, test_h, test_y, k):
    """Distances of features as they are."""
    return KNeighborsClassifier(k).fit(train_h, train_y).score(test_h, test_y)


def wrong_dot_product(train_h, train_y, test_h, test_y, k):
    """Normalises the test side alone: long training features win."""
    nearest = np.argsort(-(unit(test_h) @ train_h.T), axis=1)[:, :k]
    votes = (train_y[nearest][:, :, None] == np.arange(10)).sum(axis=1)
    return np.mean(votes.argmax(axis=1) == test_y)


def wrong_farthest(train_h, train_y, test_h, test_y, k):
    """Sorts similarities from low to high, as if they were distances."""
    nearest = np.argsort(unit(test_h) @ unit(train_h).T, axis=1)[:, :k]
    votes = (train_y[nearest][:, :, None] == np.arange(10)).sum(axis=1)
    return np.mean(votes.argmax(axis=1) == test_y)


def wrong_centred(train_h, train_y, test_h, test_y, k):
    """Subtracts the mean first: a correlation, not a cosine."""
    m = train_h.mean(axis=0)
    knn = KNeighborsClassifier(k, metric="cosine").fit(train_h - m, train_y)
    return knn.score(test_h - m, test_y)


def wrong_test_among_train(train_h, train_y, test_h, test_y, k):
    """Searches among all images, so that each test image finds itself."""
    h, y = np.concatenate([train_h, test_h]), np.concatenate([train_y, test_y])
    return KNeighborsClassifier(k, metric="cosine").fit(h, y).score(test_h, test_y)


def wrong_skips_the_nearest(train_h, train_y, test_h, test_y, k):
    """Leaves the nearest out, as if the test image were in the training side."""
    nearest = np.argsort(-(unit(test_h) @ unit(train_h).T), axis=1)[:, 1 : k + 1]
    votes = (train_y[nearest][:, :, None] == np.arange(10)).sum(axis=1)
    return np.mean(votes.argmax(axis=1) == test_y)


def wrong_mean_of_labels(train_h, train_y, test_h, test_y, k):
    """Averages class numbers: between a 3 and a 9 lies a 6."""
    nearest = np.argsort(-(unit(test_h) @ unit(train_h).T), axis=1)[:, :k]
    return np.mean(np.rint(train_y[nearest].mean(axis=1)) == test_y)


def wrong_one_neighbour(train_h, train_y, test_h, test_y, k):
    """Ignores k."""
    knn = KNeighborsClassifier(1, metric="cosine").fit(train_h, train_y)
    return knn.score(test_h, test_y)


def wrong_any_neighbour(train_h, train_y, test_h, test_y, k):
    """Right as soon as one neighbour is: the recall at k of retrieval."""
    nearest = np.argsort(-(unit(test_h) @ unit(train_h).T), axis=1)[:, :k]
    return np.mean((train_y[nearest] == test_y[:, None]).any(axis=1))


def wrong_largest_of_ties(train_h, train_y, test_h, test_y, k):
    """Decides ties for the largest class."""
    nearest = np.argsort(-(unit(test_h) @ unit(train_h).T), axis=1)[:, :k]
    votes = (train_y[nearest][:, :, None] == np.arange(9, -1, -1)).sum(axis=1)
    return np.mean(9 - votes.argmax(axis=1) == test_y)


def wrong_weighted(train_h, train_y, test_h, test_y, k):
    """The weighted vote of the course."""
    return evaluate.knn_probe(evaluate.Features(train_h, train_y, test_h, test_y), k)


def wrong_error(train_h, train_y, test_h, test_y, k):
    """The fraction that is classified wrongly."""
    knn = KNeighborsClassifier(k, metric="cosine").fit(train_h, train_y)
    return 1 - knn.score(test_h, test_y)


def wrong_in_per_cent(train_h, train_y, test_h, test_y, k):
    """Per cent for a fraction."""
    knn = KNeighborsClassifier(k, metric="cosine").fit(train_h, train_y)
    return 100 * knn.score(test_h, test_y)


def wrong_count(train_h, train_y, test_h, test_y, k):
    """The number of test images for their fraction."""
    knn = KNeighborsClassifier(k, metric="cosine").fit(train_h, train_y)
    return (knn.predict(test_h) == test_y).sum()


def wrong_in_place(train_h, train_y, test_h, test_y, k):
    """Normalises the caller's arrays."""
    train_h /= np.linalg.norm(train_h, axis=1, keepdims=True)
    test_h /= np.linalg.norm(test_h, axis=1, keepdims=True)
    knn = KNeighborsClassifier(k, metric="cosine").fit(train_h, train_y)
    return knn.score(test_h, test_y)


def wrong_hard_coded(train_h, train_y, test_h, test_y, k):
    """Answers the visible check and nothing else."""
    return 0.5 if len(test_y) == 2 else float(k == 1)
