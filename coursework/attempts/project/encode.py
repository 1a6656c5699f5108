"""Attempts at `encode` of assignment 6; `network` is in the solution of `train`."""

import keras
import numpy as np
from sklearn.decomposition import PCA

from sslkit import networks


def loaded():
    """The network with the weights that were handed in."""
    encoder = network()
    encoder.load_weights("encoder.weights.h5")
    return encoder


def right_all_at_once(images):
    """One batch, features as a tensor, every second one with its sign changed."""
    signs = np.resize([1.0, -1.0], 64).astype("float32")
    return loaded()(images, training=False) * signs


def right_predict(images):
    """Through predict, in float64 and ten times as long."""
    h = loaded().predict(images, batch_size=128, verbose=0)
    return 10 * h[:, ::-1].astype("float64")


def wrong_raw_pixels(images):
    """Returns the pixels: too many numbers, and worse neighbours."""
    return images.reshape(len(images), -1)


def wrong_pca(images):
    """Principal components, fitted on whatever it is given."""
    few = min(32, len(images))
    return PCA(few, random_state=0).fit_transform(images.reshape(len(images), -1))


def wrong_pca_of_pool(images):
    """Principal components, fitted on the pool: no better than pixels."""
    pca = PCA(64, random_state=0).fit(POOL.reshape(len(POOL), -1))
    return pca.transform(images.reshape(len(images), -1))


def wrong_untrained(images):
    """Forgets to load the file."""
    keras.utils.set_random_seed(0)
    return np.asarray(network()(images, training=False))


def wrong_training_mode(images):
    """Normalises by the batch at hand."""
    return np.asarray(loaded()(images, training=True))


def wrong_projector(images):
    """Puts a projector of the moment on top, and returns its four numbers."""
    keras.utils.set_random_seed(0)
    return np.asarray(networks.projector(64, outputs=4)(loaded()(images)))


def wrong_collapsed(images):
    """The same features for every image."""
    return np.ones((len(images), 64), "float32")


def wrong_not_finite(images):
    """A logarithm of what may be zero."""
    with np.errstate(all="ignore"):
        return np.log(np.asarray(loaded()(images, training=False)))


def wrong_shuffled(images):
    """Batches in another order than the images."""
    h = np.asarray(loaded()(images, training=False))
    return h[np.random.default_rng(0).permutation(len(h))]
