import keras
import numpy as np
import pytest
import scipy.stats

from sslkit import data, networks
from sslkit.autoencoder import (
    Autoencoder,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    SparseAutoencoder,
    dense_autoencoder,
)


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


# Variants


def variant(cls, activation="linear", **settings):
    keras.utils.set_random_seed(0)
    model = cls(
        networks.dense_encoder(3, activation=activation),
        networks.dense_decoder(3, activation="linear"),
        **settings,
    )
    model.compile(optimizer=keras.optimizers.SGD(0.0), run_eagerly=True)
    return model


def test_noise_is_gaussian_fresh_at_every_call_and_different_in_every_image():
    model = variant(DenoisingAutoencoder, noise=0.4)
    grey = np.full((2, 40, 40), 0.5, "float32")
    first, second = (np.asarray(model.corrupt(grey)) - 0.5 for _ in range(2))
    assert scipy.stats.kstest(first.ravel(), "norm", (0, 0.4)).pvalue > 1e-4
    limit = 5 / np.sqrt(1600)
    pairs = [(first[0], first[1]), (first[0], second[0])]
    for a, b in pairs:
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < limit


def test_masked_pixels_are_zero_and_the_others_as_they_were():
    model = variant(DenoisingAutoencoder, masked=0.3)
    x = np.random.default_rng(0).uniform(0.1, 1, (10, 28, 28)).astype("float32")
    first, second = (np.asarray(model.corrupt(x)) for _ in range(2))
    np.testing.assert_array_equal(first[first != 0], x[first != 0])
    hidden = (first == 0).sum()
    assert scipy.stats.binomtest(int(hidden), x.size, 0.3).pvalue > 1e-4
    both = ((first == 0) & (second == 0)).sum()
    assert scipy.stats.binomtest(int(both), x.size, 0.3**2).pvalue > 1e-4


def test_noise_covers_masked_pixels_too():
    model = variant(DenoisingAutoencoder, noise=0.1, masked=0.9)
    corrupted = np.asarray(model.corrupt(np.ones((2, 28, 28), "float32")))
    assert (corrupted != 0).all() and np.abs(corrupted - 1).max() > 0.5


def test_without_strength_nothing_is_corrupted(images):
    model = variant(DenoisingAutoencoder)
    np.testing.assert_array_equal(model.corrupt(images), images)


def test_denoising_sees_noise_in_training_and_is_measured_by_the_clean_image(images):
    settings = {"noise": 0.5, "masked": 0.5}
    model = variant(DenoisingAutoencoder, **settings)
    twin = variant(DenoisingAutoencoder, **settings)
    losses = model.fit(images, epochs=2, batch_size=40, verbose=0, shuffle=False)
    for loss in losses.history["loss"]:
        x_hat = np.asarray(twin.decoder(twin.encoder(twin.corrupt(images))))
        assert loss == pytest.approx(np.mean((images - x_hat) ** 2), rel=1e-4)
    clean = np.asarray(model.decoder(model.encoder(images)))
    np.testing.assert_allclose(model(images), clean, atol=1e-5)
    np.testing.assert_allclose(model.predict(images, verbose=0), clean, atol=1e-5)
    error = np.mean((images - clean) ** 2)
    assert model.evaluate(images, verbose=0) == pytest.approx(error, rel=1e-4)
    one, two = (np.asarray(model(images, training=True)) for _ in range(2))
    assert np.abs(one - two).max() > 0


@pytest.mark.parametrize("penalty", [0.0, 0.7])
def test_sparse_loss_adds_the_mean_sum_of_absolute_codes(penalty, images):
    model = variant(SparseAutoencoder, penalty=penalty)
    code = np.asarray(model.encoder(images), "float64")
    error = np.mean((images - np.asarray(model.decoder(code))) ** 2)
    assert code.min() < 0 < code.max()
    expected = error + penalty * np.abs(code).sum() / len(code)
    assert model.evaluate(images, batch_size=40, verbose=0) == pytest.approx(
        expected, rel=1e-4
    )
    history = model.fit(images, batch_size=40, verbose=0).history
    assert history["loss"][0] == pytest.approx(expected, rel=1e-4)


def test_contractive_loss_adds_the_norm_of_the_jacobian_in_training_only(images):
    model = variant(ContractiveAutoencoder, penalty=0.2)
    error = np.mean((images - np.asarray(model(images))) ** 2)
    norm = (model.encoder.get_weights()[0].astype("float64") ** 2).sum()
    # One direction per image: the estimate of a linear encoder of rank 3 has a
    # relative variance of at most 2.
    x = np.tile(images, (50, 1, 1))
    loss = model.fit(x, batch_size=2000, verbose=0).history["loss"][0]
    spread = 5 * np.sqrt(2 / 2000)
    assert loss == pytest.approx(error + 0.2 * norm, abs=0.2 * norm * spread)
    report = model.evaluate(images, batch_size=40, verbose=0)
    assert report == pytest.approx(error, rel=1e-4)


def test_contraction_is_measured_in_fresh_directions(images):
    model = variant(ContractiveAutoencoder, penalty=1.0)
    losses = model.fit(images, batch_size=40, epochs=2, verbose=0).history["loss"]
    assert losses[0] != losses[1]


@pytest.mark.parametrize(
    ("cls", "settings", "name"),
    [
        (DenoisingAutoencoder, {"noise": -0.1}, "noise"),
        (DenoisingAutoencoder, {"noise": "0.1"}, "noise"),
        (DenoisingAutoencoder, {"noise": float("inf")}, "noise"),
        (DenoisingAutoencoder, {"masked": 1.0}, "masked"),
        (DenoisingAutoencoder, {"masked": -0.1}, "masked"),
        (SparseAutoencoder, {"penalty": -1}, "penalty"),
        (SparseAutoencoder, {"penalty": None}, "penalty"),
        (ContractiveAutoencoder, {"penalty": float("nan")}, "penalty"),
    ],
)
def test_strengths_out_of_range_are_refused_by_name(cls, settings, name):
    with pytest.raises(ValueError, match=f"^{name} must be a number, at least 0"):
        variant(cls, **settings)
