"""NT-Xent against a slow loop and closed forms; SimCLR as a Keras model."""

import math

import keras
import numpy as np
import pytest

from sslkit import augment, contrastive, losses, networks


def slow_nt_xent(z_a, z_b, temperature):
    """The definition, one anchor and one candidate at a time."""
    z, n = np.concatenate([z_a, z_b]), len(z_a)

    def s(i, j):
        return z[i] @ z[j] / (np.linalg.norm(z[i]) * np.linalg.norm(z[j]))

    total = np.zeros(2 * n)
    for i in range(2 * n):
        partner = i + n if i < n else i - n
        others = sum(math.exp(s(i, j) / temperature) for j in range(2 * n) if j != i)
        total[i] = -math.log(math.exp(s(i, partner) / temperature) / others)
    return (total[:n] + total[n:]) / 2


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_nt_xent_is_its_definition(temperature):
    rng = np.random.default_rng(0)
    z_a, z_b = rng.normal(size=(2, 6, 3))
    fast = np.asarray(losses.nt_xent(z_a, z_b, temperature))
    np.testing.assert_allclose(fast, slow_nt_xent(z_a, z_b, temperature), rtol=1e-5)


def test_nt_xent_of_collapsed_features_is_the_log_of_the_candidates():
    z = np.tile(np.random.default_rng(0).normal(size=(1, 5)), (16, 1))
    np.testing.assert_allclose(losses.nt_xent(z, z, 0.2), math.log(31), rtol=1e-5)


def test_nt_xent_of_orthogonal_examples_has_a_closed_form():
    # Each view has one candidate of similarity 1 and six of similarity 0.
    z, tau = np.eye(4), 0.5
    expected = -1 / tau + math.log(math.exp(1 / tau) + 6)
    np.testing.assert_allclose(losses.nt_xent(z, z, tau), expected, rtol=1e-5)


def test_nt_xent_ignores_length_and_refuses_other_shapes():
    z_a, z_b = np.random.default_rng(0).normal(size=(2, 5, 3))
    np.testing.assert_allclose(
        losses.nt_xent(7 * z_a, z_b, 0.3), losses.nt_xent(z_a, z_b, 0.3), rtol=1e-5
    )
    with pytest.raises(ValueError, match="z_a and z_b must have the same shape"):
        losses.nt_xent(z_a, z_b[:4], 0.3)


def small_model(seed=0, **kwargs):
    keras.utils.set_random_seed(seed)
    return contrastive.SimCLR(
        networks.batchnorm_encoder(8, channels=(4, 8)),
        networks.projector(8, 64, 8),
        augment.RandomAffine(10, shift=2, seed=seed),
        **kwargs,
    )


@pytest.fixture
def images():
    """Coarse patterns, which survive a rotation and a shift."""
    coarse = np.random.default_rng(0).random((40, 4, 4)) > 0.5
    return coarse.repeat(7, axis=1).repeat(7, axis=2).astype("float32")


def test_model_returns_both_views_and_its_loss_is_that_of_its_projections(images):
    model = small_model(temperature=0.3)
    model.compile(optimizer="adam")
    z = np.asarray(model(images))
    assert z.shape == (80, 8)
    assert not np.allclose(z[:40], z[40:])  # two different draws
    expected = slow_nt_xent(z[:40], z[40:], 0.3).mean()
    assert float(model.compute_loss(images, y_pred=z)) == pytest.approx(expected, 1e-4)


def test_training_lowers_the_loss_below_chance_and_repeats(images):
    def train():
        model = small_model()
        model.compile(optimizer=keras.optimizers.Adam(1e-2))
        history = model.fit(images, epochs=20, batch_size=20, shuffle=False, verbose=0)
        return history.history["loss"], model.get_weights()

    (loss, first), (_, second) = train(), train()
    assert loss[-1] < 0.8 * loss[0] < math.log(39)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_saved_model_continues_where_it_stopped(images, tmp_path):
    model = small_model(temperature=0.4)
    model.compile(optimizer="adam")
    model.fit(images, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, contrastive.SimCLR) and loaded.temperature == 0.4
    np.testing.assert_array_equal(model.encoder(images), loaded.encoder(images))


def test_views_of_digits_change_only_when_asked(images):
    views = contrastive.digit_views(seed=1)
    assert np.array_equal(views(images), images)
    assert not np.allclose(views(images, training=True), images)


def test_bad_temperature_is_named():
    for temperature in (0, -1, math.inf):
        with pytest.raises(ValueError, match="temperature must be above 0"):
            small_model(temperature=temperature)


def test_batchnorm_encoder_and_projector_have_their_parameters():
    # 3 x 3 weights, four numbers per channel of batch normalisation, a dense layer.
    encoder = networks.batchnorm_encoder(16, channels=(4, 8))
    assert encoder.count_params() == 36 + 16 + 288 + 32 + 7 * 7 * 8 * 16 + 16
    projector = networks.projector(16, 32, 8)
    assert projector.count_params() == 64 + 16 * 32 + 32 + 32 * 8 + 8
    with pytest.raises(ValueError, match="must be made of positive integers"):
        networks.projector(0)
    with pytest.raises(ValueError, match="must be made of positive integers"):
        networks.batchnorm_encoder(8, channels=(0,))
