"""Attempts at `gain_over_majority` of assignment 1."""

from collections import Counter

import numpy as np
from keras import ops
from sklearn.neighbors import NearestCentroid


def predicted(x, y, new_x):
    """Classes by the nearest class mean."""
    return NearestCentroid().fit(x, y).predict(new_x)


def right_scores():
    """Without distances: twice the product with a mean, less its squared length."""
    names, means = [], []
    for c in sorted(set(LABELLED_Y.tolist())):
        names.append(c)
        means.append(LABELLED_X[LABELLED_Y == c].mean(axis=0))
    score = 2 * TEST_X @ np.transpose(means) - np.square(means).sum(axis=1)
    probe = (np.array(names)[score.argmax(axis=1)] == TEST_Y).mean()
    (majority, _), *_ = Counter(LABELLED_Y.tolist()).most_common()
    return round(float(probe - (TEST_Y == majority).mean()), 3)


def right_loop():
    """Image by image; the majority from the printed counts."""
    gain, majority = 0, CLASSES[list(N_LABELLED).index(max(N_LABELLED))]
    means = {c: LABELLED_X[LABELLED_Y == c].mean(axis=0) for c in CLASSES}
    for x, y in zip(TEST_X, TEST_Y, strict=True):
        answer = min(means, key=lambda c: ((x - means[c]) ** 2).sum())
        gain += int(answer == y) - int(majority == y)
    return gain / len(TEST_Y)


def right_keras_float32():
    """Tensors of single precision."""
    member = ops.cast(LABELLED_Y[None] == CLASSES[:, None], "float32")
    x, new = ops.cast(LABELLED_X, "float32"), ops.cast(TEST_X, "float32")
    means = ops.matmul(member, x) / ops.sum(member, axis=1, keepdims=True)
    distance = ops.sum(ops.square(new[:, None] - means), axis=-1)
    answer = ops.take(CLASSES, ops.argmin(distance, axis=1))
    commonest = ops.argmax(ops.sum(member, axis=1))
    right = ops.cast(ops.equal(answer, TEST_Y), "float32")
    blind = ops.cast(ops.equal(TEST_Y, CLASSES[int(commonest)]), "float32")
    return ops.mean(right) - ops.mean(blind)


def wrong_without_baseline():
    """The accuracy by itself."""
    return np.mean(predicted(LABELLED_X, LABELLED_Y, TEST_X) == TEST_Y)


def wrong_chance():
    """Less one in four, as if all classes were equally frequent."""
    return np.mean(predicted(LABELLED_X, LABELLED_Y, TEST_X) == TEST_Y) - 1 / 4


def wrong_majority_of_test():
    """The baseline is fitted on the test labels."""
    probe = np.mean(predicted(LABELLED_X, LABELLED_Y, TEST_X) == TEST_Y)
    return probe - np.bincount(TEST_Y).max() / len(TEST_Y)


def wrong_share_among_labelled():
    """The baseline is judged on the labelled images."""
    probe = np.mean(predicted(LABELLED_X, LABELLED_Y, TEST_X) == TEST_Y)
    return probe - np.bincount(LABELLED_Y).max() / len(LABELLED_Y)


def wrong_on_labelled():
    """Both are judged on the images that they were fitted on."""
    probe = np.mean(predicted(LABELLED_X, LABELLED_Y, LABELLED_X) == LABELLED_Y)
    return probe - np.bincount(LABELLED_Y).max() / len(LABELLED_Y)


def wrong_means_of_test():
    """Class means of the test images."""
    probe = np.mean(predicted(TEST_X, TEST_Y, TEST_X) == TEST_Y)
    return probe - np.mean(TEST_Y == np.bincount(LABELLED_Y).argmax())


def wrong_means_of_both():
    """Class means of labelled and test images together."""
    x, y = np.concatenate([LABELLED_X, TEST_X]), np.concatenate([LABELLED_Y, TEST_Y])
    probe = np.mean(predicted(x, y, TEST_X) == TEST_Y)
    return probe - np.mean(TEST_Y == np.bincount(LABELLED_Y).argmax())


def wrong_all_labels():
    """All training images of the four classes, with labels that nobody gave."""
    rows = np.isin(mnist.y_train, CLASSES)
    x, y = mnist.x_train[rows].reshape(-1, 784) / 255, mnist.y_train[rows]
    probe = np.mean(predicted(x, y, TEST_X) == TEST_Y)
    return probe - np.mean(TEST_Y == np.bincount(LABELLED_Y).argmax())


def wrong_ten_classes():
    """The means of all ten digits compete."""
    x, y = mnist.x_train.reshape(-1, 784) / 255, mnist.y_train
    probe = np.mean(predicted(x, y, TEST_X) == TEST_Y)
    return probe - np.mean(TEST_Y == np.bincount(LABELLED_Y).argmax())


def wrong_positions_for_classes():
    """Compares the position of the nearest mean, 0 to 3, with the digit."""
    means = np.stack([LABELLED_X[LABELLED_Y == c].mean(axis=0) for c in CLASSES])
    position = np.linalg.norm(TEST_X[:, None] - means, axis=2).argmin(axis=1)
    majority = np.bincount(LABELLED_Y).argmax()
    return np.mean(position == TEST_Y) - np.mean(TEST_Y == majority)


def wrong_standardised():
    """Standardises the pixels first, which makes it another probe."""
    m, s = LABELLED_X.mean(axis=0), LABELLED_X.std(axis=0)
    s = np.where(s == 0, 1, s)
    answer = predicted((LABELLED_X - m) / s, LABELLED_Y, (TEST_X - m) / s)
    majority = np.bincount(LABELLED_Y).argmax()
    return np.mean(answer == TEST_Y) - np.mean(TEST_Y == majority)


def wrong_in_per_cent():
    """Percentage points for a fraction."""
    probe = np.mean(predicted(LABELLED_X, LABELLED_Y, TEST_X) == TEST_Y)
    return 100 * (probe - np.mean(TEST_Y == np.bincount(LABELLED_Y).argmax()))


def wrong_hard_coded():
    """A plausible number."""
    return 0.6
