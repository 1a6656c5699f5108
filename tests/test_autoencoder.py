import keras
import numpy as np
import pytest

from sslkit import data, networks
from sslkit.autoencoder import Autoencoder, dense_autoencoder


@pytest.fixture
def images():
    return np.random.default_rng(0).random((40, 28, 28)).astype("float32")


def test_loss_is_the_mean_squared_error_of_scikit_learn(images):
    from sklearn.metrics import mean_squared_error

    model = dense_autoencoder(8)
    model.compile(optimizer="adam")
    reported = model.evaluate(images, batch_size=16, verbose=0)
    expected = mean_squared_error(
        images.reshape(40, -1), model.predict(images, verbose=0).reshape(40, -1)
    )
    assert reported == pytest.approx(expected, rel=1e-5)


def test_it_has_the_parameters_of_784_64_784():
    assert dense_autoencoder(64).count_params() == 784 * 64 + 64 + 64 * 784 + 784


def test_a_linear_autoencoder_reaches_the_error_of_pca_and_no_less():
    # Baldi & Hornik (1989): the best linear autoencoder spans the PCA subspace.
    from sklearn.decomposition import PCA

    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(256, 6)) * [3, 2.5, 2, 0.5, 0.4, 0.3]
    flat = factors @ np.linalg.qr(rng.normal(size=(784, 6)))[0].T
    x = flat.astype("float32").reshape(256, 28, 28)
    model = Autoencoder(
        networks.dense_encoder(3, activation="linear"),
        networks.dense_decoder(3, activation="linear"),
    )
    model.compile(optimizer=keras.optimizers.Adam(1e-2))
    model.fit(np.tile(x, (40, 1, 1)), batch_size=256, epochs=10, verbose=0)
    pca = PCA(3).fit(flat)
    error = np.mean((flat - pca.inverse_transform(pca.transform(flat))) ** 2)
    assert error * (1 - 1e-4) < model.evaluate(x, verbose=0) < 1.05 * error


def test_training_is_repeatable_and_moves_every_weight(images):
    def train():
        keras.utils.set_random_seed(1)
        model = dense_autoencoder(8)
        before = model.get_weights()
        model.compile(optimizer="adam")
        pixels = (255 * images).astype("uint8")
        model.fit(data.batches(pixels, 16, seed=1), epochs=2, shuffle=False, verbose=0)
        return before, model.get_weights()

    before, first = train()
    _, second = train()
    for start, a, b in zip(before, first, second, strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.abs(start - a).max() > 0


def test_saved_model_continues_where_it_stopped(images, tmp_path):
    model = dense_autoencoder(8)
    model.compile(optimizer="adam")
    model.fit(images, epochs=2, shuffle=False, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, Autoencoder)
    for each in (model, loaded):
        each.fit(images, epochs=2, shuffle=False, verbose=0)
    for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_configuration_makes_the_same_architecture():
    copy = Autoencoder.from_config(dense_autoencoder(8).get_config())
    assert copy.encoder.output_shape == (None, 8)
    assert copy.decoder.output_shape == (None, 28, 28)


def test_unscaled_pixels_are_refused(images):
    model = dense_autoencoder(8)
    with pytest.raises(ValueError, match=r"floating point in \[0, 1\].*uint8"):
        model((255 * images).astype("uint8"))


def test_mixed_precision_trains_to_finite_numbers(images):
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        model = dense_autoencoder(8)
        model.compile(optimizer="adam")
        history = model.fit(images, epochs=2, verbose=0).history["loss"]
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert np.isfinite(history).all() and history[1] < history[0]
