"""Changes and loss against NumPy and scikit-learn; both models as Keras models."""

import itertools
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import logsumexp
from sklearn.metrics import log_loss

from sslkit import networks, pretext


@pytest.fixture
def images():
    return np.random.default_rng(0).random((24, 28, 28)).astype("float32")


# --- loss -------------------------------------------------------------------------


def loss_of(a, k):
    """Loss of a model that drew the changes `k` and made the logits `a` of them."""
    model = pretext.RotationPredictor(
        networks.dense_encoder(2), networks.mlp(2, (), a.shape[1]), range(a.shape[1])
    )
    return model.compute_loss(y_pred=(a, k))


def test_loss_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    a, k = rng.normal(scale=3, size=(50, 4)), rng.integers(4, size=50)
    p = np.exp(a - logsumexp(a, axis=1, keepdims=True))
    expected = log_loss(k, p, labels=range(4))
    assert float(loss_of(a, k)) == pytest.approx(expected, rel=1e-5)


def test_gradient_of_loss_is_that_of_finite_differences():
    rng = np.random.default_rng(1)
    a, k = rng.normal(size=(3, 4)).astype("float32"), np.array([0, 3, 1])
    with tf.GradientTape() as tape:
        source = tf.constant(a)
        tape.watch(source)
        loss = loss_of(source, k)
    slope = tape.gradient(loss, source).numpy()

    def exact(a):  # in float64, from the definition
        return np.mean([logsumexp(row) - row[i] for row, i in zip(a, k, strict=True)])

    for index in np.ndindex(a.shape):
        step = np.zeros(a.shape)
        step[index] = 1e-5
        difference = (exact(a + step) - exact(a - step)) / 2e-5
        assert slope[index] == pytest.approx(difference, abs=1e-5)


def test_loss_of_float16_logits_is_finite():
    a = np.array([[60000, -60000, 0], [12, 12, 12]], "float16")
    loss = loss_of(a, np.array([1, 0]))
    assert float(loss) == pytest.approx((120000 + math.log(3)) / 2, rel=1e-3)


# --- changes ----------------------------------------------------------------------


def test_rotation_is_that_of_numpy(images):
    turns = np.arange(24) % 4
    turned = np.asarray(pretext.rotate(images, turns))
    for image, k, result in zip(images, turns, turned, strict=True):
        np.testing.assert_array_equal(result, np.rot90(image, k))


def test_coloured_images_are_turned_with_all_their_channels():
    images = np.random.default_rng(0).random((8, 6, 6, 3), "float32")
    turned = np.asarray(pretext.rotate(images, np.arange(8) % 4))
    for image, k, result in zip(images, np.arange(8) % 4, turned, strict=True):
        np.testing.assert_array_equal(result, np.rot90(image, k))


@pytest.mark.parametrize("shape", [(10, 10, 3), (12, 8), (6, 10, 2)])
def test_tiles_of_other_images_are_slices(shape):
    images = np.random.default_rng(0).random((5, *shape), "float32")
    down, across = shape[0] // 2, shape[1] // 2
    tiles = np.asarray(pretext.cut(images))
    for place in range(4):
        top, left = down * (place // 2), across * (place % 2)
        part = images[:, top : top + down, left : left + across]
        np.testing.assert_array_equal(tiles[:, place], part)
    if down == across:
        np.testing.assert_array_equal(pretext.assemble(tiles, down), images)
        corners = np.random.default_rng(0).integers(0, 3, (5, 4, 2))
        windows = np.asarray(pretext.crop(tiles, corners, 3))
        for n, place in itertools.product(range(5), range(4)):
            row, column = corners[n, place]
            part = tiles[n, place, row : row + 3, column : column + 3]
            np.testing.assert_array_equal(windows[n, place], part)
        whole = np.asarray(pretext.assemble(windows, down))
        assert whole.shape == images.shape
        np.testing.assert_array_equal(whole[:, 6:9, 1:4], windows[:, 2])
        assert whole.sum() == pytest.approx(windows.sum())


def test_what_cannot_be_cut_is_named():
    with pytest.raises(ValueError, match="images must have an even height and width"):
        pretext.cut(np.zeros((2, 28, 27)))
    for shape in [(28, 30), (27, 27)]:
        with pytest.raises(ValueError, match="encoder must take images with equal, ev"):
            jigsaw(encoder=networks.dense_encoder(16, shape=shape))


def test_four_quarter_turns_are_none(images):
    turned, ones = images, np.ones(24, int)
    for _ in range(4):
        turned = pretext.rotate(turned, ones)
    np.testing.assert_array_equal(turned, images)


def test_tiles_and_windows_are_slices(images):
    size, rng = 11, np.random.default_rng(0)
    corners = rng.integers(0, 14 - size + 1, (24, 4, 2))
    tiles = np.asarray(pretext.cut(images))
    windows = np.asarray(pretext.crop(tiles, corners, size))
    for n, place in itertools.product(range(24), range(4)):
        top, left = 14 * (place // 2), 14 * (place % 2)
        tile = images[n, top : top + 14, left : left + 14]
        np.testing.assert_array_equal(tiles[n, place], tile)
        row, column = corners[n, place]
        window = tile[row : row + size, column : column + size]
        np.testing.assert_array_equal(windows[n, place], window)


@pytest.mark.parametrize("size", [14, 13, 10])
def test_assembled_tiles_lie_in_the_middle_of_their_places(images, size):
    tiles = np.asarray(pretext.cut(images))[:, :, :size, :size]
    edge, expected = (14 - size) // 2, np.zeros_like(images)
    for place in range(4):
        top, left = 14 * (place // 2) + edge, 14 * (place % 2) + edge
        expected[:, top : top + size, left : left + size] = tiles[:, place]
    np.testing.assert_array_equal(pretext.assemble(tiles), expected)


def test_rotation_refuses_what_is_not_square():
    with pytest.raises(ValueError, match=r"images must have shape \[batch, side, side"):
        pretext.rotate(np.zeros((2, 28, 20)), [0, 1])


@pytest.mark.parametrize(("count", "least"), [(2, 4), (4, 4), (12, 3), (24, 2)])
def test_permutations_are_as_far_apart_as_can_be(count, least):
    # 4: the largest sets are rows of a Latin square. 3: of two permutations of
    # different parity, half differ by one swap, so that 12, of one parity, is largest.
    orders = pretext.permutations(count)
    assert orders[0].tolist() == [0, 1, 2, 3]
    assert {tuple(sorted(order)) for order in orders} == {(0, 1, 2, 3)}
    apart = [np.sum(a != b) for a, b in itertools.combinations(orders, 2)]
    assert len(apart) == count * (count - 1) // 2 and min(apart) == least


def test_counts_out_of_range_are_named():
    for count in (0, 1, 25, 4.5):
        with pytest.raises(ValueError, match="count must be 2 to 24"):
            pretext.permutations(count)


# --- models -----------------------------------------------------------------------


def rotation(seed=0, changes=4, encoder=None, **kwargs):
    keras.utils.set_random_seed(seed)
    encoder = encoder or networks.dense_encoder(16)
    head = networks.mlp(16, (16,), changes)
    return pretext.RotationPredictor(encoder, head, seed=seed, **kwargs)


def jigsaw(seed=0, changes=4, encoder=None, **kwargs):
    keras.utils.set_random_seed(seed)
    encoder = encoder or networks.dense_encoder(16)
    head = networks.mlp(16, (16,), changes)
    kwargs = {"orders": pretext.permutations(changes), **kwargs}
    return pretext.Jigsaw(encoder, head, seed=seed, **kwargs)


def test_rotation_predictor_turns_by_what_it_says(images):
    model = rotation(turns=(3, 0), changes=2)
    turned, k = map(np.asarray, model.draw(images))
    assert set(k) == {0, 1}
    for image, index, result in zip(images, k, turned, strict=True):
        np.testing.assert_array_equal(result, np.rot90(image, (3, 0)[index]))


def test_jigsaw_places_the_tiles_that_it_says(images):
    model = jigsaw(changes=24)
    puzzles, k = map(np.asarray, model.draw(images))
    for image, index, puzzle in zip(images, k, puzzles, strict=True):
        for place, tile in enumerate(model.orders[index]):
            shown = puzzle[14 * (place // 2) :, 14 * (place % 2) :][:14, :14]
            held = image[14 * (tile // 2) :, 14 * (tile % 2) :][:14, :14]
            np.testing.assert_array_equal(shown, held)


def test_models_change_coloured_images_of_another_size(tmp_path):
    shape = (20, 20, 3)
    images = np.random.default_rng(0).random((12, *shape), "float32")
    turned, k = map(
        np.asarray,
        rotation(encoder=networks.dense_encoder(16, shape=shape)).draw(images),
    )
    for image, index, result in zip(images, k, turned, strict=True):
        np.testing.assert_array_equal(result, np.rot90(image, index))
    model = jigsaw(encoder=networks.dense_encoder(16, shape=shape), changes=24)
    assert model.size == 10  # whole tiles
    puzzles, k = map(np.asarray, model.draw(images))
    for image, index, puzzle in zip(images, k, puzzles, strict=True):
        for place, tile in enumerate(model.orders[index]):
            shown = puzzle[10 * (place // 2) :, 10 * (place % 2) :][:10, :10]
            held = image[10 * (tile // 2) :, 10 * (tile % 2) :][:10, :10]
            np.testing.assert_array_equal(shown, held)
    small = jigsaw(encoder=networks.dense_encoder(16, shape=shape), size=9)
    small.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    puzzles = np.asarray(small.draw(images)[0])
    np.testing.assert_array_equal(loaded.draw(images)[0], puzzles)
    assert puzzles.shape == images.shape and not puzzles[:, 9].any()


def test_jigsaw_shows_every_window_alike_often():
    # A single bright pixel in the middle of each tile tells where the window was.
    x = np.zeros((3000, 2, 14, 2, 14), "float32")
    x[:, :, 6, :, 6] = 1
    puzzles, _ = jigsaw(size=12).draw(x.reshape(-1, 28, 28))
    tiles = np.asarray(pretext.cut(puzzles)).reshape(-1, 14, 14)
    assert np.all(tiles.sum(axis=(1, 2)) == 1)
    share = tiles.mean(axis=0)[5:8, 5:8]  # 3 x 3 places, one ninth each
    np.testing.assert_allclose(share, 1 / 9, atol=5 * math.sqrt(1 / 9 / 12000))


@pytest.mark.parametrize("make", [rotation, jigsaw])
def test_loss_and_accuracy_are_those_of_the_answers(make, images):
    model = make()
    model.compile(optimizer="adam", run_eagerly=True)
    logits, k = map(np.asarray, model(images))
    expected = np.mean(logsumexp(logits, axis=1) - logits[np.arange(24), k])
    loss = float(model.compute_loss(images, y_pred=(logits, k)))
    assert loss == pytest.approx(expected, rel=1e-5)
    metrics = model.compute_metrics(images, None, (logits, k))
    assert float(metrics["accuracy"]) == pytest.approx(np.mean(logits.argmax(1) == k))


@pytest.mark.parametrize("make", [rotation, jigsaw])
def test_training_beats_guessing_and_repeats(make):
    # One image, brighter towards one corner: every turn and every order can be told.
    ramp = np.add.outer(np.arange(28), 2 * np.arange(28)) / 81
    x = np.tile(ramp.astype("float32"), (64, 1, 1))

    def train():
        model = make()
        model.compile(optimizer=keras.optimizers.Adam(1e-2), jit_compile=False)
        history = model.fit(x, epochs=8, batch_size=32, shuffle=False, verbose=0)
        return history.history, model.get_weights()

    (first, weights), (_, again) = train(), train()
    assert first["accuracy"][-1] > 0.9 and first["loss"][-1] < 0.5 * math.log(4)
    assert all(np.array_equal(a, b) for a, b in zip(weights, again, strict=True))


@pytest.mark.parametrize("make", [rotation, jigsaw])
def test_turns_differ_between_batches_and_do_not_depend_on_training(make, images):
    model = make()
    first, second = np.asarray(model(images)[1]), np.asarray(model(images)[1])
    assert not np.array_equal(first, second)
    again = np.asarray(make()(images, training=True)[1])
    assert np.array_equal(first, again)


@pytest.mark.parametrize(
    ("make", "arguments"),
    [(rotation, {"turns": (0, 2), "changes": 2}), (jigsaw, {"size": 12})],
)
def test_saved_model_continues_where_it_stopped(make, arguments, images, tmp_path):
    model = make(seed=3, **arguments)
    model.compile(optimizer="adam", run_eagerly=True)
    model.fit(images, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded) is type(model)
    for one, other in zip(model(images), loaded(images), strict=True):
        np.testing.assert_array_equal(one, other)


def test_rotation_predictor_in_mixed_precision_stays_finite(images):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = rotation()
        model.compile(optimizer="adam", run_eagerly=True)
        assert np.isfinite(model.fit(images, verbose=0).history["loss"]).all()
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("turns", [(0,), (0, 0), (0, 4), (0, 1.5), ()])
def test_bad_turns_are_named(turns):
    with pytest.raises(ValueError, match="turns must be at least two different"):
        rotation(turns=turns)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"orders": [[0, 1, 2]]}, "orders must be different permutations"),
        ({"orders": [[0, 1, 2, 2]]}, "orders must be different permutations"),
        ({"orders": [[0, 1, 2, 3]] * 2}, "orders must be different permutations"),
        ({"orders": [0, 1, 2, 3]}, "orders must be different permutations"),
        ({"size": 0}, "size must be an integer 1 to 14"),
        ({"size": 15}, "size must be an integer 1 to 14"),
        ({"size": 12.0}, "size must be an integer 1 to 14"),
        ({"orders": pretext.permutations(5)}, "head must have 5 outputs"),
    ],
)
def test_bad_puzzles_are_named(arguments, complaint):
    with pytest.raises(ValueError, match=complaint):
        jigsaw(**arguments)
