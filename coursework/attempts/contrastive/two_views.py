"""Attempts at `two_views` of assignment 5."""

import keras
import numpy as np
from keras import ops


def right_numpy(images, augment):
    """NumPy, one view after the other."""
    first = np.asarray(augment(images))
    second = np.asarray(augment(images))
    return np.concatenate([first, second], axis=0)


def right_one_call(images, augment):
    """All images twice in one batch; each has a draw of its own."""
    return augment(np.concatenate([images, images]))


def right_image_by_image(images, augment):
    """A loop over single images; returns a list."""
    return [augment(images[i : i + 1])[0] for _ in range(2) for i in range(len(images))]


def wrong_one_draw_twice(images, augment):
    """The same view twice: there is nothing to learn from the pair."""
    view = augment(images)
    return ops.concatenate([view, view])


def wrong_original_as_view(images, augment):
    """The image itself is one of the views."""
    return np.concatenate([images, np.asarray(augment(images))])


def wrong_interleaved(images, augment):
    """First and second view of each image next to each other."""
    pairs = np.stack([np.asarray(augment(images)), np.asarray(augment(images))], axis=1)
    return pairs.reshape(-1, *images.shape[1:])


def wrong_second_shuffled(images, augment):
    """The second views in a random order."""
    second = np.asarray(augment(images))[np.random.permutation(len(images))]
    return np.concatenate([np.asarray(augment(images)), second])


def wrong_second_reversed(images, augment):
    """The second views from back to front."""
    return ops.concatenate([augment(images), augment(images[::-1])])


def wrong_changed_twice(images, augment):
    """The second view is a view of the first."""
    first = augment(images)
    return ops.concatenate([first, augment(first)])


def wrong_seed_set(images, augment):
    """Sets the seed before each draw, for the sake of reproducibility."""
    views = []
    for _ in range(2):
        keras.utils.set_random_seed(0)
        views.append(np.asarray(augment(images)))
    return np.concatenate(views)


def wrong_new_axis(images, augment):
    """Stacked along an axis of their own."""
    return ops.stack([augment(images), augment(images)])


def wrong_change_shared(images, augment):
    """One draw for the whole batch: the change of the first image, for all."""
    changes = [np.asarray(augment(images[:1])) - images[:1] for _ in range(2)]
    return np.concatenate([images + change for change in changes])


def wrong_hard_coded(images, augment):
    """Answers the visible check and nothing else: changes of its own."""
    return np.concatenate([images + 0.2, images + 0.3])
