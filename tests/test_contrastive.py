"""NT-Xent against a slow loop and closed forms; SimCLR as a Keras model."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from sslkit import augment, contrastive, losses, networks
from sslkit.base import follow


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


@pytest.mark.parametrize("shape", [(40, 40), (32, 48, 3), (20, 20, 1)])
@pytest.mark.parametrize("make", ["photo", "digit"])
def test_views_keep_shape_and_range_and_repeat_with_the_seed(make, shape, tmp_path):
    def views(seed):
        if make == "photo":
            return contrastive.photo_views(shape, seed, strength=0.5)
        return contrastive.digit_views(seed, shape)

    x = np.random.default_rng(0).random((8, *shape), "float32")
    model = views(1)
    model.save(tmp_path / "views.keras")
    loaded = keras.models.load_model(tmp_path / "views.keras")
    np.testing.assert_array_equal(model(x), x)
    first, second = (np.asarray(model(x, training=True)) for _ in range(2))
    assert first.shape == x.shape and 0 <= first.min() <= first.max() <= 1
    # Every image is changed, and in another way each time and for each seed.
    for other in (x, second, np.asarray(views(2)(x, training=True))):
        assert np.abs(first - other).max(axis=tuple(range(1, x.ndim))).min() > 0.05
    np.testing.assert_array_equal(views(1)(x, training=True), first)
    np.testing.assert_array_equal(loaded(x, training=True), first)


def test_views_of_photographs_crop_flip_recolour_and_turn_grey():
    # Left red, right dark green: what is left of that tells what was done.
    x = np.zeros((500, 16, 16, 3), "float32")
    x[:, :, :8, 0], x[:, :, 8:, 1] = 0.8, 0.4
    changed = np.asarray(contrastive.photo_views(x.shape[1:])(x, training=True))
    grey = np.ptp(changed, axis=-1).max(axis=(1, 2)) < 1e-6
    assert 0.15 < grey.mean() < 0.25
    share = (changed[~grey].argmax(axis=-1) == 0).mean(axis=(1, 2))
    assert ((share > 0.55) | (share < 0.45)).mean() > 0.3  # crops off the middle
    left, right = (
        changed[:, :, 0].mean(axis=(1, 2)),
        changed[:, :, -1].mean(axis=(1, 2)),
    )
    assert 0.3 < (left < right - 0.02).mean() < 0.6  # mirrored
    brightest = changed.max(axis=(1, 2, 3))
    assert brightest.min() < 0.5 and (brightest == 1).mean() > 0.1
    # Grey images cannot turn grey: there is no layer for it.
    assert len(contrastive.photo_views((16, 16)).layers) == 3
    with pytest.raises(ValueError, match="strength must be above 0"):
        contrastive.photo_views((16, 16), strength=-1)


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


def slow_info_nce(q, k, queue, temperature):
    """The definition, one query and one candidate at a time."""

    def score(a, b):
        return math.exp(a @ b / math.sqrt((a @ a) * (b @ b)) / temperature)

    answers = []
    for query, key in zip(q, k, strict=True):
        own = score(query, key)
        answers.append(-math.log(own / (own + sum(score(query, e) for e in queue))))
    return np.array(answers)


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_info_nce_is_its_definition(temperature):
    rng = np.random.default_rng(0)
    q, k, queue = (
        rng.normal(size=(3, 4)),
        rng.normal(size=(3, 4)),
        rng.normal(size=(7, 4)),
    )
    np.testing.assert_allclose(
        losses.info_nce(q, k, queue, temperature),
        slow_info_nce(q, k, queue, temperature),
        rtol=1e-5,
    )


def test_info_nce_of_equal_vectors_is_the_log_of_the_candidates():
    same = np.ones((5, 3))
    np.testing.assert_allclose(
        losses.info_nce(same, same, np.ones((30, 3)), 0.2), math.log(31), rtol=1e-5
    )


@pytest.mark.parametrize("loss", ["info_nce", "nt_xent"])
def test_contrastive_losses_stay_finite_in_half_precision(loss):
    z = (1000 * np.random.default_rng(0).normal(size=(2, 6, 4))).astype("float16")
    queue = (z[0],) if loss == "info_nce" else ()
    value = np.asarray(getattr(losses, loss)(z[0], -z[0], *queue, 0.01))
    assert np.isfinite(value).all() and value.dtype == np.float32


@pytest.mark.parametrize("loss", ["info_nce", "nt_xent"])
def test_gradients_are_finite_differences(loss):
    rng = np.random.default_rng(0)
    z_a, z_b, queue = rng.normal(size=(3, 4, 3)).astype("float32")
    rest = (queue, 0.5) if loss == "info_nce" else (0.5,)

    def total(z):
        return ops.sum(getattr(losses, loss)(z, z_b, *rest))

    z = tf.constant(z_a)
    with tf.GradientTape() as tape:
        tape.watch(z)
        value = total(z)
    gradient = tape.gradient(value, z).numpy()
    for i, j in [(0, 0), (1, 2), (3, 1)]:
        step = np.zeros_like(z_a)
        step[i, j] = 1e-2
        slope = (float(total(z_a + step)) - float(total(z_a - step))) / 2e-2
        assert gradient[i, j] == pytest.approx(slope, abs=2e-3)


def small_moco(queue=64, **kwargs):
    keras.utils.set_random_seed(0)
    return contrastive.MoCo(
        networks.batchnorm_encoder(8, channels=(4, 8)),
        networks.projector(8, 64, 8),
        augment.RandomAffine(10, shift=2, seed=0),
        queue=queue,
        **kwargs,
    )


def test_moco_loss_is_that_of_queries_keys_and_queue(images):
    model = small_moco(temperature=0.3)
    model.compile(optimizer="adam")
    out = {name: np.asarray(value) for name, value in model(images).items()}
    expected = slow_info_nce(out["q"], out["k"], np.asarray(model.queue.value), 0.3)
    loss = model.compute_loss(images, y_pred=out, training=False)
    assert float(loss) == pytest.approx(expected.mean(), 1e-4)


def test_moco_queue_takes_new_keys_first_and_drops_the_oldest(images):
    model = small_moco(queue=50)
    model.compile(optimizer="adam")
    first = np.asarray(model.queue.value)
    out = model(images)
    model.compute_loss(images, y_pred=out, training=False)
    np.testing.assert_array_equal(model.queue, first)  # judging leaves it alone
    model.compute_loss(images, y_pred=out, training=True)
    after = np.asarray(model.queue.value)
    np.testing.assert_array_equal(after[:40], out["k"])
    np.testing.assert_array_equal(after[40:], first[:10])


def test_moco_copy_follows_at_its_own_pace(images):
    model = small_moco(momentum=0.9)
    model.compile(optimizer=keras.optimizers.SGD(0.0))
    start = [np.asarray(weight.value) for weight in model.target.weights]
    for weight in model.encoder.trainable_weights:
        weight.assign(weight + 1.0)
    for _ in range(5):
        follow(model.target, (model.encoder, model.projector), 0.9)
    # Towards a constant, the share of the way that is left is 0.9 to the fifth.
    kernel = np.asarray(model.target.weights[0].value)
    np.testing.assert_allclose(kernel, start[0] + 1 - 0.9**5, rtol=1e-5)


def test_moco_gives_keys_no_gradient_and_learns(images):
    # A queue of one batch: a longer one would hold the same images as negatives.
    model = small_moco(queue=20, momentum=0.9)
    model.compile(optimizer=keras.optimizers.Adam(1e-2))
    assert not model.target.trainable_weights
    history = model.fit(images, epochs=20, batch_size=20, shuffle=False, verbose=0)
    assert history.history["loss"][-1] < 0.8 * math.log(21)


def test_saved_moco_keeps_copy_and_queue(images, tmp_path):
    model = small_moco(temperature=0.4, momentum=0.5)
    model.compile(optimizer="adam")
    model.fit(images, batch_size=20, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert (loaded.temperature, loaded.momentum) == (0.4, 0.5)
    np.testing.assert_array_equal(model.queue, loaded.queue)
    np.testing.assert_array_equal(model.target(images), loaded.target(images))


def test_moco_names_a_bad_argument(images):
    with pytest.raises(ValueError, match="momentum must be from 0 to 1, got 2"):
        small_moco(momentum=2)
    with pytest.raises(ValueError, match="queue must be a positive integer, got 0"):
        small_moco(queue=0)
    model = small_moco(queue=8)
    model.compile(optimizer="adam", run_eagerly=True)
    with pytest.raises(ValueError, match="queue must hold a batch, got 8"):
        model.fit(images, batch_size=20, verbose=0)
