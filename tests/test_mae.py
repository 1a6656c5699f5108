"""Patches, masks and the masked loss against slow loops; what may reach what."""

import keras
import numpy as np
import pytest
from keras import ops

from sslkit import mae, supervised


@pytest.fixture
def images():
    """Images without two equal patches."""
    return np.random.default_rng(0).random((6, 28, 28), "float32")


def small_model(ratio=0.75, seed=0, **kwargs):
    keras.utils.set_random_seed(seed)
    return mae.MaskedAutoencoder(
        mae.patch_encoder(7, d=8, blocks=1, heads=2),
        mae.patch_decoder(7, d=8, width=4, heads=2),
        ratio,
        seed=seed,
        **kwargs,
    )


# --- patches ----------------------------------------------------------------------


def slow_patches(images, patch):
    """The definition: one patch after the other, by its corner."""
    return np.array(
        [
            [
                image[top : top + patch, left : left + patch].ravel()
                for top in range(0, image.shape[0], patch)
                for left in range(0, image.shape[1], patch)
            ]
            for image in images
        ]
    )


@pytest.mark.parametrize("patch", [1, 4, 7, 14, 28])
def test_patches_are_squares_in_reading_order(images, patch):
    patches = np.asarray(mae.patchify(images, patch))
    np.testing.assert_array_equal(patches, slow_patches(images, patch))
    np.testing.assert_array_equal(mae.unpatchify(patches), images)


def test_patches_of_images_that_are_not_square():
    images = np.random.default_rng(0).random((2, 4, 6))
    np.testing.assert_allclose(
        mae.patchify(images, 2), slow_patches(images, 2), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("shape", "patch"), [((6, 4, 3), 2), ((4, 6), 2), ((8, 8, 2), 4), ((5, 15, 3), 5)]
)
def test_patches_of_other_images_are_put_together_again(shape, patch):
    images = np.random.default_rng(0).random((3, *shape), "float32")
    patches = np.asarray(mae.patchify(images, patch))
    np.testing.assert_array_equal(patches, slow_patches(images, patch))
    np.testing.assert_array_equal(mae.unpatchify(patches, shape), images)


@pytest.mark.parametrize(
    "shape", [(6, 6, 3), (4, 6), (6, 4, 2), (8, 4, 3), (3, 8, 3), (48, 48)]
)
def test_patches_of_another_shape_are_refused(shape):
    patches = mae.patchify(np.zeros((2, 6, 4, 3)), 2)
    with pytest.raises(ValueError, match="patches must be those of images of shape"):
        mae.unpatchify(patches, shape)


@pytest.mark.parametrize("patch", [0, 5, 2.0])
def test_bad_patch_is_named(images, patch):
    with pytest.raises(ValueError, match="patch must divide height and width"):
        mae.patchify(images, patch)


def test_bad_shapes_are_named(images):
    with pytest.raises(ValueError, match="images must have shape"):
        mae.patchify(images[..., None], 7)
    for shape in [(2, 15, 16), (2, 16, 15), (16, 16)]:
        with pytest.raises(ValueError, match="patches must have shape"):
            mae.unpatchify(np.zeros(shape))


# --- masks ------------------------------------------------------------------------


@pytest.mark.parametrize("ratio", [0.1, 0.25, 0.5, 0.75, 0.9])
def test_every_image_hides_equally_many_patches(ratio):
    visible, mask = map(np.asarray, mae.random_mask(200, 49, ratio, seed=0))
    assert set(mask.sum(axis=1)) == {round(49 * ratio)}
    assert set(np.unique(mask)) == {0, 1}
    for places, row in zip(visible, mask, strict=True):
        assert sorted(places) == list(np.flatnonzero(row == 0))


def test_every_patch_is_hidden_equally_often_and_images_differ():
    _, mask = mae.random_mask(8000, 16, 0.75, seed=1)
    # Three standard deviations of a mean of 8000 draws, for each of 16 places.
    np.testing.assert_allclose(np.mean(mask, axis=0), 0.75, atol=0.02)
    pairs = np.cov(np.asarray(mask).T)  # of draws without replacement: -p(1-p)/15
    off = pairs[~np.eye(16, dtype=bool)]
    np.testing.assert_allclose(off.mean(), -0.75 * 0.25 / 15, atol=1e-3)


def test_an_integer_repeats_the_draw_and_a_generator_does_not():
    generator = keras.random.SeedGenerator(3)
    first, same = (mae.random_mask(4, 16, 0.5, 3)[1] for _ in range(2))
    other, another = (mae.random_mask(4, 16, 0.5, generator)[1] for _ in range(2))
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(other, another)


@pytest.mark.parametrize("ratio", [0, 1, -0.5, 0.01, 0.99, float("nan")])
def test_bad_ratio_is_named(ratio):
    with pytest.raises(ValueError, match="ratio must hide some and leave some of 16"):
        mae.random_mask(2, 16, ratio, seed=0)
    with pytest.raises(ValueError, match="ratio must hide some and leave some of 16"):
        small_model(ratio)


# --- loss -------------------------------------------------------------------------


def slow_error(patches, guess, mask):
    """The definition, one pixel at a time."""
    errors = []
    for b, p in zip(*np.nonzero(mask), strict=True):
        pixels = zip(patches[b, p], guess[b, p], strict=True)
        errors.append(sum((a - c) ** 2 for a, c in pixels) / patches.shape[2])
    return sum(errors) / len(errors)


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    patches, guess = rng.random((2, 3, 9, 4))
    return patches, guess, (rng.random((3, 9)) < 0.6).astype("float64")


def test_loss_is_its_definition(arrays):
    assert float(mae.masked_error(*arrays)) == pytest.approx(slow_error(*arrays), 1e-5)


def test_loss_on_everything_is_the_mean_squared_error(arrays):
    patches, guess, mask = arrays
    found = float(mae.masked_error(patches, guess, np.ones_like(mask)))
    assert found == pytest.approx(np.mean((patches - guess) ** 2), 1e-5)
    assert float(mae.masked_error(patches, guess, 0 * mask)) == 0


def test_gradient_of_the_loss_is_that_of_finite_differences(arrays):
    tf = pytest.importorskip("tensorflow")
    patches, guess, mask = arrays
    variable = tf.Variable(guess, dtype="float32")
    with tf.GradientTape() as tape:
        loss = mae.masked_error(patches, variable, mask)
    found = tape.gradient(loss, variable).numpy()
    expected, eps = np.zeros_like(guess), 1e-4
    for place in np.ndindex(guess.shape):
        up, down = guess.copy(), guess.copy()
        up[place] += eps
        down[place] -= eps
        difference = slow_error(patches, up, mask) - slow_error(patches, down, mask)
        expected[place] = difference / (2 * eps)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert not found[mask == 0].any()


def test_loss_stays_finite_in_float16():
    x, guess = (
        np.zeros((600, 49, 16), "float16"),
        np.full((600, 49, 16), 200, "float16"),
    )
    found = mae.masked_error(x, guess, np.ones((600, 49), "float16"))
    assert float(found) == pytest.approx(40_000)


def test_shapes_that_do_not_fit_are_named(arrays):
    patches, guess, mask = arrays
    for wrong in [(patches[:2], guess, mask), (patches, guess, mask[:, :4])]:
        with pytest.raises(ValueError, match="patches and guess must have one shape"):
            mae.masked_error(*wrong)


# --- the model --------------------------------------------------------------------


def test_hidden_pixels_do_not_reach_the_network(images):
    model = small_model()
    visible, mask = mae.random_mask(len(images), 16, 0.75, seed=2)
    hidden = np.asarray(mae.unpatchify(ops.repeat(mask[..., None], 49, axis=2)))
    other = np.where(hidden == 1, np.float32(1e6), images)
    guess = np.asarray(model.rebuild(images, visible, mask))
    arrays = np.asarray(visible), np.asarray(mask)  # both kinds are taken
    np.testing.assert_array_equal(guess, model.rebuild(other, *arrays))
    # The test can fail: one visible pixel changes the answer.
    other = np.where(hidden == 0, images + 0.1, images)
    assert not np.allclose(guess, model.rebuild(other, visible, mask))


def test_encoder_is_given_no_more_than_the_visible_patches(images, monkeypatch):
    model, seen = small_model(), []
    inner = model.encoder.call
    monkeypatch.setattr(
        model.encoder, "call", lambda x, **more: seen.append(x[0]) or inner(x, **more)
    )
    model(images)
    assert seen[0].shape == (6, 4, 49)


@pytest.mark.parametrize("loss_on", ["hidden", "all"])
def test_visible_pixels_enter_the_loss_only_if_asked_for(images, loss_on):
    model = small_model(loss_on=loss_on)
    guess, mask = model(images)
    loss = float(model.compute_loss(images, y_pred=(guess, mask)))
    counted = np.asarray(mask) if loss_on == "hidden" else np.ones((6, 16))
    expected = slow_error(slow_patches(images, 7), np.asarray(guess), counted)
    assert loss == pytest.approx(expected, 1e-5)
    shown = np.asarray(mae.unpatchify(ops.repeat(1 - mask[..., None], 49, axis=2)))
    other = float(model.compute_loss(images + 5 * shown, y_pred=(guess, mask)))
    assert (other == pytest.approx(loss)) == (loss_on == "hidden")


def test_order_of_the_visible_patches_does_not_matter(images):
    model = small_model(ratio=0.5)
    visible, mask = mae.random_mask(len(images), 16, 0.5, seed=2)
    turned = ops.flip(visible, axis=1)
    np.testing.assert_allclose(
        model.rebuild(images, visible, mask),
        model.rebuild(images, turned, mask),
        atol=1e-5,
    )
    elsewhere = (visible + 1) % 16
    h, moved = (
        model.encoder([mae.patchify(images, 7)[:, :8], places])
        for places in (visible, elsewhere)
    )
    assert not np.allclose(h, moved, atol=1e-3)


def test_training_lowers_the_loss():
    # Grey images: one visible patch tells all others.
    grey = np.random.default_rng(0).random((40, 1, 1)).astype("float32")
    images = np.broadcast_to(grey, (40, 28, 28)).copy()
    model = small_model()
    model.compile(optimizer=keras.optimizers.Adam(1e-2))
    history = model.fit(images, epochs=20, batch_size=20, shuffle=False, verbose=0)
    assert history.history["loss"][-1] < 0.3 * history.history["loss"][0]


def test_saved_model_continues_where_it_stopped(images, tmp_path):
    model = small_model(0.5, loss_on="all")
    model.compile(optimizer="adam", run_eagerly=True)  # one step: faster than tracing
    model.fit(images, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert (loaded.ratio, loaded.loss_on) == (0.5, "all")
    for found, expected in zip(loaded(images), model(images), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_bad_arguments_of_the_model_are_named():
    with pytest.raises(ValueError, match="loss_on must be 'hidden' or 'all'"):
        small_model(loss_on="visible")
    with pytest.raises(ValueError, match="decoder must take vectors of the encoder"):
        mae.MaskedAutoencoder(
            mae.patch_encoder(7, d=8, heads=2), mae.patch_decoder(7, d=16, heads=2)
        )
    with pytest.raises(ValueError, match="patch must be a divisor of 28"):
        mae.patch_encoder(5)
    with pytest.raises(ValueError, match="multiple of heads"):
        mae.patch_decoder(4, d=8, width=6, heads=4)
    with pytest.raises(ValueError, match="patches must be a square number"):
        mae.Positions(15)
    with pytest.raises(ValueError, match="must have a multiple of 4 numbers"):
        mae.Positions(16)(np.zeros((1, 16, 6), "float32"))


@pytest.mark.parametrize(("shape", "patch"), [((16, 24, 3), 4), ((32, 32, 3), 8)])
def test_other_images_pass_the_model_and_can_be_saved(shape, patch, tmp_path):
    keras.utils.set_random_seed(0)
    model = mae.MaskedAutoencoder(
        mae.patch_encoder(patch, 8, 1, 2, shape),
        mae.patch_decoder(patch, 8, 4, heads=2, shape=shape),
        shape=shape,
    )
    model.compile(optimizer="adam", run_eagerly=True)
    images = np.random.default_rng(0).random((6, *shape), "float32")
    model.fit(images, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.image_shape == shape and loaded.patch == patch
    guess, mask = model(images)
    np.testing.assert_array_equal(loaded(images)[0], guess)
    patches = slow_patches(images, patch)
    assert guess.shape == patches.shape
    loss = float(model.compute_loss(images, y_pred=(guess, mask)))
    expected = slow_error(patches, np.asarray(guess), np.asarray(mask))
    assert loss == pytest.approx(expected, 1e-5)
    # What is hidden does not count, in any channel.
    visible, mask = mae.random_mask(6, patches.shape[1], 0.75, seed=2)
    hidden = np.repeat(np.asarray(mask)[..., None], patches.shape[2], axis=2)
    other = np.asarray(mae.unpatchify(np.where(hidden == 1, 9, patches), shape))
    np.testing.assert_array_equal(
        model.rebuild(images, visible, mask), model.rebuild(other, visible, mask)
    )
    encoder = mae.image_encoder(model.encoder, shape=shape)
    everywhere = np.tile(np.arange(patches.shape[1]), (6, 1))
    h = np.asarray(model.encoder([patches, everywhere])).mean(axis=1)
    np.testing.assert_allclose(encoder(images), h, atol=1e-5)


def test_pixels_are_standardised_as_asked():
    plain = mae.patch_encoder(4, 8, 1, 2, pixels=(0.0, 1.0))
    other = mae.patch_encoder(4, 8, 1, 2, pixels=(0.4, 0.2))
    other.set_weights(plain.get_weights())
    patches = np.random.default_rng(0).random((2, 3, 16), "float32")
    places = np.array([[0, 5, 7], [1, 2, 3]])
    np.testing.assert_allclose(
        other([patches, places]), plain([(patches - 0.4) / 0.2, places]), atol=1e-4
    )


def test_models_of_the_course_are_saved_as_they_always_were():
    assert "shape" not in small_model().get_config()
    assert "columns" not in mae.Positions(16).get_config()
    assert mae.Positions(6, 3).get_config()["columns"] == 3


def test_shapes_that_do_not_suit_are_named():
    parts = mae.patch_encoder(7, 8, 1, 2), mae.patch_decoder(7, 8, 4, heads=2)
    with pytest.raises(ValueError, match="shape must be that of the decoder's images"):
        mae.MaskedAutoencoder(*parts, shape=(28, 28, 3))
    with pytest.raises(ValueError, match="patch must be a divisor of 32 and 24, got 5"):
        mae.patch_encoder(5, shape=(32, 24, 3))
    with pytest.raises(ValueError, match="pixels must be a mean and a spread above 0"):
        mae.patch_encoder(7, pixels=(0.5, 0))
    for patches, columns in [(6, 4), (6, 0), (0, 3)]:
        with pytest.raises(ValueError, match="patches must be a multiple of columns"):
            mae.Positions(patches, columns)


def test_places_of_any_grid_are_those_of_a_larger_square_one():
    square = np.asarray(mae.Positions(25)(np.zeros((1, 25, 12), "float32")))[0]
    for rows, columns in [(3, 5), (5, 2)]:
        layer = mae.Positions(rows * columns, columns)
        table = np.asarray(layer(np.zeros((1, rows * columns, 12), "float32")))[0]
        expected = square.reshape(5, 5, 12)[:rows, :columns].reshape(-1, 12)
        np.testing.assert_allclose(table, expected, atol=1e-6)


def test_products_of_places_depend_on_their_distance_alone():
    table = np.asarray(mae.Positions(16)(np.zeros((1, 16, 12), "float32")))[0]
    speeds = [np.pi, np.pi / 2, np.pi / 4]
    for p in range(16):
        for q in range(16):
            rows, columns = p // 4 - q // 4, p % 4 - q % 4
            expected = sum(np.cos(w * rows) + np.cos(w * columns) for w in speeds)
            assert table[p] @ table[q] == pytest.approx(expected, abs=1e-5)


# --- features ---------------------------------------------------------------------


def test_features_are_the_mean_of_all_encoded_patches(images):
    model = small_model()
    everywhere = np.tile(np.arange(16), (6, 1))
    h = np.asarray(model.encoder([slow_patches(images, 7), everywhere]))
    encoder = mae.image_encoder(model.encoder)
    np.testing.assert_allclose(encoder(images), h.mean(axis=1), atol=1e-5)
    joined = mae.image_encoder(model.encoder, pool="concatenate")
    np.testing.assert_allclose(joined(images), h.reshape(6, -1), atol=1e-5)


def test_features_share_the_weights_and_a_clone_does_not(images, tmp_path):
    model = small_model()
    encoder = mae.image_encoder(model.encoder)
    copy, before = supervised.clone(encoder), np.asarray(encoder(images))
    np.testing.assert_allclose(copy(images), before, atol=1e-6)
    model.encoder.set_weights([0 * w for w in model.encoder.get_weights()])
    assert not np.allclose(encoder(images), before)
    np.testing.assert_allclose(copy(images), before, atol=1e-6)
    copy.save(tmp_path / "encoder.keras")
    loaded = keras.models.load_model(tmp_path / "encoder.keras")
    np.testing.assert_array_equal(loaded(images), copy(images))


def test_features_from_further_inside_and_bad_choices():
    encoder = mae.patch_encoder(7, d=8, blocks=2, heads=2)
    first = mae.image_encoder(encoder, layer="block_0")
    # Dense layer, positions and one block of twelve times d squared and some biases.
    assert first.count_params() < encoder.count_params()
    with pytest.raises(ValueError, match="layer must be one of"):
        mae.image_encoder(encoder, layer="block_2")
    with pytest.raises(ValueError, match="pool must be 'mean' or 'concatenate'"):
        mae.image_encoder(encoder, pool="max")
