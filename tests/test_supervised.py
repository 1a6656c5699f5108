"""The supervised twin, and fine-tuning: a linear layer first, then all weights."""

import keras
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from sslkit import augment, networks, supervised


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


def test_first_step_of_adam_has_the_length_of_the_learning_rate():
    # Adam's first step is the rate times the sign of the gradient.
    images, labels = bars(50)
    encoder = networks.dense_encoder(4, activation="linear")
    before = encoder.get_weights()[1]
    supervised.fit_classifier(encoder, images, labels, 1, 50, learning_rate=0.003)
    step = np.abs(encoder.get_weights()[1] - before)
    np.testing.assert_allclose(step, 0.003, rtol=1e-2)


def test_views_change_images_in_training_only():
    images, labels = bars(500)
    keras.utils.set_random_seed(0)
    # Rows are shifted by up to 14 pixels, so their place says little.
    views = augment.RandomAffine(0, shift=14, seed=0)
    model = supervised.fit_classifier(
        networks.dense_encoder(16), images, labels, 25, 50, views=views
    )
    assert accuracy(model) < 0.8 < accuracy(trained()[2])
    x = images[:5] / np.float32(255)
    np.testing.assert_array_equal(model(x), model(x))


def normalised():
    """A trained-looking encoder whose statistics are not those of a batch."""
    encoder = networks.batchnorm_encoder(16, channels=(4, 8))
    encoder(bars(100, seed=5)[0] / np.float32(255), training=True)
    return encoder


def test_clone_has_the_same_values_and_its_own_weights():
    encoder = normalised()
    copy = supervised.clone(encoder)
    x = bars(10)[0] / np.float32(255)
    np.testing.assert_array_equal(encoder(x), copy(x))
    before = encoder.get_weights()
    copy.set_weights([np.zeros_like(w) for w in before])
    assert all(map(np.array_equal, before, encoder.get_weights()))


def test_fine_tuning_begins_with_the_frozen_probe():
    images, labels = bars(300)
    encoder, x = normalised(), images / np.float32(255)
    h = np.asarray(encoder(x), dtype=float)
    h = (h - h.mean(axis=0)) / np.sqrt(np.mean((h - h.mean(axis=0)) ** 2))
    probe = LogisticRegression(C=0.3, max_iter=200).fit(h, labels)
    model = supervised.fine_tune(encoder, images, labels, epochs=0, C=0.3)
    found = keras.ops.softmax(model(x))
    np.testing.assert_allclose(found, probe.predict_proba(h), atol=2e-3)


def test_fine_tuning_trains_a_copy_and_keeps_its_statistics():
    images, labels = bars(300)
    encoder = normalised()
    before = encoder.get_weights()
    model = supervised.fine_tune(encoder, images, labels, epochs=2)
    assert all(map(np.array_equal, before, encoder.get_weights()))
    old, new = encoder.layers, model.layers[0].layers
    for a, b in zip(old, new, strict=True):
        same = list(map(np.array_equal, a.get_weights(), b.get_weights()))
        is_norm = isinstance(a, keras.layers.BatchNormalization)
        assert all(same) if is_norm else not any(same), a.name


def test_fine_tuning_goes_on_where_the_frozen_probe_ends():
    images, labels = bars(500)
    keras.utils.set_random_seed(0)
    encoder = networks.dense_encoder(4, activation="linear")

    def loss(epochs):
        model = supervised.fine_tune(
            encoder, images, labels, epochs, learning_rate=3e-3
        )
        logits = np.asarray(model(images / np.float32(255)))
        return keras.losses.sparse_categorical_crossentropy(
            labels, logits, from_logits=True
        ).numpy()

    assert loss(10).mean() < 0.5 * loss(0).mean()


def test_fine_tuning_copes_with_features_that_are_constant():
    images, labels = bars(100)
    encoder = networks.dense_encoder(4)
    encoder.set_weights([np.zeros_like(w) for w in encoder.get_weights()])
    model = supervised.fine_tune(encoder, images, labels, 0)
    assert np.isfinite(model(images[:1] / np.float32(255))).all()


def test_bad_arguments_of_fine_tuning_are_named():
    images, labels = bars(50)
    encoder = networks.dense_encoder(4)
    with pytest.raises(ValueError, match="epochs must be an integer of at least 0"):
        supervised.fine_tune(encoder, images, labels, -1)
    for wrong in (labels + 1, labels % 2):
        with pytest.raises(ValueError, match="labels must be 0 to K - 1"):
            supervised.fine_tune(encoder, images, wrong, 1)
