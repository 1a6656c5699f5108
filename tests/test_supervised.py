"""The supervised twin: trained in place, with labels, from the seed."""

import keras
import numpy as np
import pytest

from sslkit import networks, supervised


def bars(n, seed=0):
    """Images with one bright row out of ten, named by its place."""
    labels = np.random.default_rng(seed).integers(10, size=n)
    images = np.zeros((n, 28, 28), np.uint8)
    images[np.arange(n), 2 * labels] = 255
    return images, labels


def trained(labels_of=lambda y: y, seed=0, epochs=25):
    keras.utils.set_random_seed(seed)
    encoder = networks.dense_encoder(16)
    before = encoder.get_weights()
    images, labels = bars(500)
    model = supervised.fit_classifier(
        encoder, images, labels_of(labels), epochs, batch_size=50
    )
    return encoder, before, model


def accuracy(model, labels_of=lambda y: y):
    images, labels = bars(200, seed=1)
    answers = np.asarray(model(images / np.float32(255))).argmax(axis=1)
    return np.mean(answers == labels_of(labels))


def test_names_new_images():
    assert accuracy(trained()[2]) > 0.95


def test_learns_the_labels_it_is_given():
    def turned(labels):
        return (labels + 3) % 10

    model = trained(turned)[2]
    assert accuracy(model, turned) > 0.95 > 0.05 > accuracy(model)


def test_trains_the_encoder_in_place():
    encoder, before, model = trained(epochs=1)
    assert model.layers[0] is encoder
    assert all(
        np.any(old != new)
        for old, new in zip(before, encoder.get_weights(), strict=True)
    )


def test_same_seed_same_twin():
    one, two, other = (trained(seed=s, epochs=1)[0].get_weights() for s in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    assert not np.array_equal(one[0], other[0])


def test_bad_arguments_are_named():
    images, labels = bars(10)
    with pytest.raises(ValueError, match="labels must be one per image, got 9 for 10"):
        supervised.fit_classifier(networks.dense_encoder(4), images, labels[1:], 1)
    for epochs in (0, -1, 1.5):
        with pytest.raises(ValueError, match="epochs must be a positive integer"):
            supervised.fit_classifier(networks.dense_encoder(4), images, labels, epochs)
