import json

import keras
import numpy as np
import pytest
import scipy.ndimage
import scipy.spatial.transform
import scipy.stats
import tensorflow as tf
from keras import ops

from sslkit import augment

MAKERS = {
    "affine": lambda seed=0, **kw: augment.RandomAffine(
        20, scale=(0.8, 1.25), shear=0.3, shift=3, seed=seed, **kw
    ),
    "elastic": lambda seed=0, **kw: augment.RandomElastic(
        1.5, 20, scale=(0.8, 1.25), shear=0.3, shift=3, seed=seed, **kw
    ),
    "rotation": lambda seed=0, **kw: augment.RandomRotation(30, seed=seed, **kw),
    "crop": lambda seed=0, **kw: augment.RandomCrop(3, seed=seed, **kw),
    "resized": lambda seed=0, **kw: augment.RandomResizedCrop(
        (0.2, 0.9), seed=seed, **kw
    ),
    "colour": lambda seed=0, **kw: augment.RandomColour(0.5, seed=seed, **kw),
    "flip": lambda seed=0, **kw: augment.RandomFlip("vertical", seed=seed, **kw),
    "gain": lambda seed=0, **kw: augment.RandomGain(0.7, 1.3, seed=seed, **kw),
    "noise": lambda seed=0, **kw: augment.GaussianNoise(0.1, seed=seed, **kw),
    "mask": lambda seed=0, **kw: augment.RandomMask(4, 0.75, seed=seed, **kw),
    "binarise": lambda seed=0, **kw: augment.Binarise(seed=seed, **kw),
}
every = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
every_warp = pytest.mark.parametrize("name", ["affine", "rotation", "crop"])


@pytest.fixture
def images():
    # Smooth and different everywhere, so that no two moves look alike.
    noise = np.random.default_rng(0).random((16, 28, 28))
    smooth = scipy.ndimage.gaussian_filter(noise, (0, 1.5, 1.5))
    low, high = smooth.min(), smooth.max()
    return ((smooth - low) / (high - low)).astype("float32")


def warp(images, degrees=0.0, scale=(1.0, 1.0), shear=0.0, shift=(0.0, 0.0)):
    n, size = len(images), images.shape[1:3]
    matrix = augment.affine_matrix(
        np.full(n, degrees), np.tile(scale, (n, 1)), np.full(n, shear),
        np.tile(shift, (n, 1)), size,
    )  # fmt: skip
    return ops.image.affine_transform(
        images[..., None], matrix, "bilinear", fill_mode="constant"
    ).numpy()[..., 0]


# The parameters of a map, and what they do to images


def test_no_move_is_the_identity(images):
    np.testing.assert_array_equal(warp(images), images)


@pytest.mark.parametrize("turns", [1, 2, -1])
def test_quarter_turns_are_those_of_rot90(images, turns):
    expected = np.rot90(images, turns, axes=(1, 2))
    np.testing.assert_allclose(warp(images, degrees=90 * turns), expected, atol=1e-5)


@pytest.mark.parametrize("down, right", [(2, 0), (0, 3), (-4, 1)])
def test_whole_shifts_roll_and_fill_with_black(images, down, right):
    rows, columns = np.arange(28) - down, np.arange(28) - right
    inside = ((rows >= 0) & (rows < 28))[:, None] & (columns >= 0) & (columns < 28)
    expected = np.roll(images, (down, right), axis=(1, 2)) * inside
    np.testing.assert_array_equal(warp(images, shift=(down, right)), expected)


@pytest.mark.parametrize("degrees", [-70.0, 12.0, 135.0])
def test_rotation_is_that_of_scipy(images, degrees):
    expected = scipy.ndimage.rotate(
        images, degrees, axes=(2, 1), reshape=False, order=1, mode="grid-constant"
    )
    # Both rotate counter-clockwise, as rot90 does: np.rot90 fixes scipy's sign.
    np.testing.assert_allclose(
        scipy.ndimage.rotate(images, 90, axes=(2, 1), reshape=False, order=1),
        np.rot90(images, axes=(1, 2)),
        atol=1e-5,
    )
    np.testing.assert_allclose(warp(images, degrees=degrees), expected, atol=1e-4)


@pytest.mark.parametrize("shape", [(28, 28), (20, 33)])
def test_any_map_is_the_inverse_of_scale_shear_rotate_shift(images, shape):
    images = np.resize(images, (3, *shape)).astype("float32")
    degrees, (s_y, s_x), k, (t_y, t_x) = 25.0, (0.7, 1.3), 0.4, (1.5, -2.25)
    # Homogeneous coordinates (row, column, 1), moved about the centre.
    a = np.deg2rad(degrees)
    move_to_centre = np.eye(3)
    move_to_centre[:2, 2] = [-(shape[0] - 1) / 2, -(shape[1] - 1) / 2]
    scaling = np.diag([s_y, s_x, 1])
    shearing = np.array([[1, 0, 0], [k, 1, 0], [0, 0, 1]])
    rotating = np.array(
        [[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]]
    )
    shifting = np.array([[1, 0, t_y], [0, 1, t_x], [0, 0, 1]])
    forward = (
        shifting @ np.linalg.inv(move_to_centre)
        @ rotating @ shearing @ scaling @ move_to_centre
    )  # fmt: skip
    expected = [
        scipy.ndimage.affine_transform(
            image, np.linalg.inv(forward), order=1, mode="grid-constant"
        )
        for image in images
    ]
    moved = warp(images, degrees, (s_y, s_x), k, (t_y, t_x))
    np.testing.assert_allclose(moved, expected, atol=1e-4)
    assert np.abs(moved - images).max() > 0.3


@every_warp
def test_layer_applies_the_map_that_it_draws(images, name):
    layer, twin = MAKERS[name](), MAKERS[name]()
    matrix = augment.affine_matrix(**twin.draw(len(images)), size=(28, 28))
    expected = []
    for image, (a0, a1, a2, b0, b1, b2, *_) in zip(images, matrix.numpy(), strict=True):
        rows = np.array([[b1, b0, b2], [a1, a0, a2], [0, 0, 1]])
        expected.append(
            scipy.ndimage.affine_transform(image, rows, order=1, mode="grid-constant")
        )
    np.testing.assert_allclose(layer(images, training=True), expected, atol=1e-4)


def test_elastic_fetches_each_pixel_from_where_it_says(images):
    layer, twin = MAKERS["elastic"](), MAKERS["elastic"]()
    matrix = augment.affine_matrix(**twin.draw(len(images)), size=(28, 28)).numpy()
    bend = twin.draw_bend(len(images), (28, 28)).numpy()
    y, x = np.mgrid[:28, :28]
    expected = [
        scipy.ndimage.map_coordinates(
            image,
            [b0 * x + b1 * y + b2 + by, a0 * x + a1 * y + a2 + bx],
            order=1,
            mode="grid-constant",
        )
        for image, (a0, a1, a2, b0, b1, b2, *_), bx, by in zip(
            images, matrix, bend[..., 0], bend[..., 1], strict=True
        )
    ]
    np.testing.assert_allclose(layer(images, training=True), expected, atol=1e-4)


def test_elastic_inside_a_compiled_function_is_the_same(images):
    # Once, slicing the coefficients with None failed when compiled, and only then.
    layer, twin = MAKERS["elastic"](), MAKERS["elastic"]()
    compiled = tf.function(lambda x: twin(x, training=True))
    plain = layer(images, training=True)
    np.testing.assert_allclose(compiled(images), plain, atol=1e-5)


# What is drawn


def test_bends_have_the_spread_asked_for_and_neighbours_move_together():
    bend = augment.RandomElastic(2.0, seed=0).draw_bend(2_000, (25, 25)).numpy()
    # A point of the 5 x 5 grid falls on every fifth pixel from the third on.
    assert abs(bend[:, 2::5, 2::5].std() - 2.0) < 0.1
    assert abs(bend.mean()) < 0.05
    steps = np.diff(bend, axis=1)
    assert np.abs(steps).max() < 0.6 * np.abs(bend).max() and steps.std() < 0.8
    assert_independent(bend[:, 2, [2, 12, 22]].reshape(2_000, -1).T)


def photographs(shape=(20, 33, 3), n=12):
    noise = np.random.default_rng(1).random((n, *shape))
    smooth = scipy.ndimage.gaussian_filter(noise, (0, 2, 2) + (0,) * (len(shape) - 2))
    low, high = smooth.min(), smooth.max()
    return ((smooth - low) / (high - low)).astype("float32")


@pytest.mark.parametrize("shape", [(28, 28), (20, 33, 3)])
def test_a_resized_crop_shows_its_rectangle_and_nothing_else(shape):
    images, (rows, columns) = photographs(shape), shape[:2]
    layer, twin = (augment.RandomResizedCrop((0.2, 1.0), seed=4) for _ in range(2))
    size, corner = (each.numpy() for each in twin.draw_boxes(len(images)))
    expected = []
    for image, (tall, wide), (top, left) in zip(images, size, corner, strict=True):
        # Pixels are squares; their centres lie half a pixel from the edge.
        y = (top + tall * (np.arange(rows) + 0.5) / rows) * rows - 0.5
        x = (left + wide * (np.arange(columns) + 0.5) / columns) * columns - 0.5
        expected.append(
            [
                scipy.ndimage.map_coordinates(
                    channel, np.meshgrid(y, x, indexing="ij"), order=1, mode="nearest"
                )
                for channel in np.atleast_3d(image).transpose(2, 0, 1)
            ]
        )
    expected = np.moveaxis(expected, 1, -1).reshape(images.shape)
    changed = layer(images, training=True)
    np.testing.assert_allclose(changed, expected, atol=1e-4)
    assert np.abs(changed - images).max() > 0.3


def test_resized_crops_of_white_stay_white_to_the_edge():
    white = np.ones((50, 20, 33, 3), "float32")
    changed = augment.RandomResizedCrop((0.2, 1.0), seed=0)(white, training=True)
    np.testing.assert_allclose(changed, white, atol=1e-6)


def test_rectangles_are_uniform_in_area_aspect_and_place():
    layer = augment.RandomResizedCrop((0.2, 0.7), (0.75, 1.25), seed=0)
    size, corner = (each.numpy() for each in layer.draw_boxes(20_000))
    area, aspect = size.prod(axis=1), size[:, 1] / size[:, 0]
    place = corner / (1 - size)
    assert_uniform(area, 0.2 - 1e-6, 0.7 + 1e-6)
    assert_uniform(np.log(aspect), np.log(0.75) - 1e-6, np.log(1.25) + 1e-6)
    assert_uniform(place, 0, 1 + 1e-6)
    assert_independent([area, np.log(aspect), *place.T])


def test_rectangles_that_would_not_fit_are_as_long_as_the_image():
    layer = augment.RandomResizedCrop((0.9, 1.0), (0.5, 2.0), seed=0)
    size, corner = (each.numpy() for each in layer.draw_boxes(5_000))
    assert (size.max(axis=1) == 1).mean() > 0.9 and size.max() == 1
    assert corner.min() >= 0 and (size + corner).max() <= 1 + 1e-6
    whole = augment.RandomResizedCrop((1, 1), (1, 1), seed=0)
    images = photographs()
    np.testing.assert_allclose(whole(images, training=True), images, atol=1e-6)


def recoloured(image, brightness, contrast, saturation, hue):
    """The definition, one pixel after the other, with a rotation from SciPy."""
    colours = image.reshape(-1, image.shape[-1]).astype("float64")
    changed = []
    for pixel in colours:
        grey = np.full_like(pixel, pixel.mean())
        colour = pixel - grey
        if len(pixel) == 3:
            axis = 2 * np.pi * hue * np.ones(3) / np.sqrt(3)
            colour = scipy.spatial.transform.Rotation.from_rotvec(axis).apply(colour)
        changed.append(grey + saturation * colour)
    middle = np.mean(changed)
    return np.clip(
        brightness * (middle + contrast * (np.array(changed) - middle)), 0, 1
    ).reshape(image.shape)


@pytest.mark.parametrize("shape", [(9, 7, 3), (9, 7, 2), (9, 7, 1), (9, 7)])
def test_colours_are_changed_as_the_definition_says(shape):
    images = photographs(shape)
    layer, twin = (augment.RandomColour(1.0, seed=2) for _ in range(2))
    drawn = {name: each.numpy() for name, each in twin.draw(len(images)).items()}
    changed = layer(images, training=True)
    expected = [
        recoloured(
            image.reshape(9, 7, -1), **{name: each[i] for name, each in drawn.items()}
        ).reshape(shape)
        for i, image in enumerate(images)
    ]
    np.testing.assert_allclose(changed, expected, atol=1e-5)
    assert np.abs(changed - images).max() > 0.3


def test_a_third_of_a_turn_gives_each_channel_the_place_of_the_next(monkeypatch):
    layer, image = augment.RandomColour(1.0, seed=0), photographs((4, 4, 3), 1)
    one, third = np.ones(1, "float32"), np.full(1, 1 / 3, "float32")
    still = {"brightness": one, "contrast": one, "saturation": one}
    monkeypatch.setattr(layer, "draw", lambda batch: {**still, "hue": third})
    turned = layer(image, training=True)
    np.testing.assert_allclose(turned, np.roll(image, 1, axis=-1), atol=1e-6)


def test_changes_of_colour_are_uniform_and_independent():
    drawn = augment.RandomColour(0.5, seed=0).draw(20_000)
    for name in ("brightness", "contrast", "saturation"):
        assert_uniform(drawn[name], 0.6, 1.4)
    assert_uniform(drawn["hue"], -0.1, 0.1)
    assert_independent(drawn.values())


@pytest.mark.parametrize("probability", [0.0, 0.2, 1.0])
def test_some_images_turn_grey_and_others_stay(probability):
    images = np.resize(photographs((4, 5, 3)), (2_000, 4, 5, 3))
    layer = augment.RandomGrey(probability, seed=1)
    changed = layer(images, training=True).numpy()
    grey = np.broadcast_to(images.mean(axis=-1, keepdims=True), images.shape)
    is_grey = np.isclose(changed, grey, atol=1e-6).all(axis=(1, 2, 3))
    is_kept = (changed == images).all(axis=(1, 2, 3))
    assert (is_grey ^ is_kept).all()
    assert scipy.stats.binomtest(int(is_grey.sum()), 2_000, probability).pvalue > 1e-4
    if 0 < probability < 1:
        assert_independent([is_grey])


def test_turning_grey_waits_for_training_and_keeps_grey_images(images, tmp_path):
    coloured, layer = photographs(), augment.RandomGrey(0.5, seed=3)
    np.testing.assert_array_equal(layer(coloured), coloured)
    np.testing.assert_array_equal(layer(images, training=True), images)
    half = layer(coloured.astype("float16"), training=True)
    assert keras.backend.standardize_dtype(half.dtype) == "float32"  # the policy's
    keras.config.set_dtype_policy("mixed_float16")
    try:
        mixed = augment.RandomGrey(0.5, seed=3)(coloured, training=True)
    finally:
        keras.config.set_dtype_policy("float32")
    assert keras.backend.standardize_dtype(mixed.dtype) == "float16"
    model = keras.Sequential([keras.Input(coloured.shape[1:]), layer])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    expected = augment.RandomGrey(0.5, seed=3)(coloured, training=True)
    np.testing.assert_array_equal(loaded(coloured, training=True), expected)


def assert_uniform(draws, low, high):
    # Kolmogorov-Smirnov: distance of the distributions, at its 0.01 % point.
    draws = np.ravel(draws)
    assert low <= draws.min() and draws.max() <= high
    assert scipy.stats.kstest(draws, "uniform", (low, high - low)).pvalue > 1e-4


def assert_independent(columns):
    # Also from image to image: each column stands once more, one image later.
    columns = [np.asarray(each, float) for each in columns]
    pairs = [each[:-1] for each in columns] + [each[1:] for each in columns]
    correlation = np.corrcoef(pairs) - np.eye(len(pairs))
    assert np.abs(correlation).max() < 5 / np.sqrt(len(pairs[0]))


def test_affine_parameters_are_uniform_and_independent():
    drawn = {k: np.asarray(v) for k, v in MAKERS["affine"]().draw(20_000).items()}
    assert_uniform(drawn["degrees"], -20, 20)
    assert_uniform(drawn["scale"], 0.8, 1.25)
    assert_uniform(drawn["shear"], -0.3, 0.3)
    assert_uniform(drawn["shift"], -3, 3)
    assert_independent(
        [drawn["degrees"], *drawn["scale"].T, drawn["shear"], *drawn["shift"].T]
    )


def test_gains_are_uniform_one_an_image_and_clipped():
    grey = np.full((20_000, 2, 2), 0.5, "float32")
    changed = MAKERS["gain"]()(grey, training=True).numpy()
    assert (changed == changed[:, :1, :1]).all()
    assert_uniform(changed[:, 0, 0] / 0.5, 0.7, 1.3)
    bright = MAKERS["gain"]()(2 * grey, training=True).numpy()
    np.testing.assert_allclose(bright, np.minimum(2 * changed, 1))


def test_rotation_angles_are_uniform_and_nothing_else_moves():
    drawn = MAKERS["rotation"]().draw(20_000)
    assert_uniform(drawn["degrees"], -30, 30)
    assert_independent([drawn["degrees"]])
    assert (np.asarray(drawn["scale"]) == 1).all()
    assert not np.any(drawn["shear"]) and not np.any(drawn["shift"])


def test_every_crop_is_equally_likely():
    shift = np.asarray(MAKERS["crop"]().draw(20_000)["shift"])
    values, counts = np.unique(shift, axis=0, return_counts=True)
    assert {tuple(v) for v in values} == {
        (y, x) for y in range(-3, 4) for x in range(-3, 4)
    }
    assert scipy.stats.chisquare(counts).pvalue > 1e-4
    assert_independent(shift.T)


def test_layers_with_one_seed_draw_independently_of_each_other():
    n = 5_000
    angle = MAKERS["rotation"](0).draw(n)["degrees"]
    affine = MAKERS["affine"](0).draw(n)
    shift = np.asarray(MAKERS["crop"](0).draw(n)["shift"])
    halves = np.tile([[0.2], [0.8]], (n, 1, 1))  # a flip swaps the two pixels
    flipped = MAKERS["flip"](0)(halves, training=True).numpy()[:, 0, 0] > 0.5
    assert_independent([angle, affine["degrees"], affine["shear"], *shift.T, flipped])


@pytest.mark.parametrize(
    "mode, axes",
    [("horizontal", 2), ("vertical", 1), ("horizontal_and_vertical", (1, 2))],
)
def test_flips_are_those_of_numpy_with_probability_one_half(images, mode, axes):
    many = np.resize(images, (2_000, 28, 28))
    flipped = augment.RandomFlip(mode, seed=1)(many, training=True).numpy()
    was_flipped = (flipped == np.flip(many, axes)).all(axis=(1, 2))
    was_kept = (flipped == many).all(axis=(1, 2))
    assert (was_flipped ^ was_kept).all()
    assert scipy.stats.binomtest(int(was_flipped.sum()), 2_000).pvalue > 1e-4
    assert_independent([was_flipped])


def test_noise_on_mid_grey_is_gaussian_and_independent():
    grey = np.full((200, 28, 28), 0.5, "float32")
    noise = (augment.GaussianNoise(0.1, seed=3)(grey, training=True) - grey).numpy()
    assert noise.std() == pytest.approx(0.1, rel=0.02)
    normal = scipy.stats.norm(0, 0.1)
    assert scipy.stats.kstest(noise.ravel(), normal.cdf).pvalue > 1e-4
    assert_independent(noise.reshape(200, -1)[:, :5].T)


def test_noise_on_black_has_the_mean_of_a_rectified_gaussian():
    black = np.zeros((200, 28, 28), "float32")
    noisy = augment.GaussianNoise(0.2, seed=3)(black, training=True).numpy()
    assert noisy.mean() == pytest.approx(0.2 / np.sqrt(2 * np.pi), rel=0.02)


def test_binarised_pixels_are_coins_with_the_grey_level_as_probability():
    levels = np.linspace(0, 1, 28, dtype="float32")
    grey = np.tile(levels, (100, 28, 1))
    layer = MAKERS["binarise"]()
    first, second = (layer(grey, training=True).numpy() for _ in range(2))
    assert set(np.unique(first)) == {0, 1}
    for level, column, later in zip(
        levels.astype("float64"), first.T, second.T, strict=True
    ):
        ink, both = int(column.sum()), int((column * later).sum())
        assert scipy.stats.binomtest(ink, 2800, level).pvalue > 1e-5
        # Independent from pixel to pixel, from image to image and from call to call.
        assert scipy.stats.binomtest(both, 2800, level**2).pvalue > 1e-5
    middle = first[:, :, 14]
    assert_independent(middle[:, :5].T)


def test_black_and_white_stay_as_they_are_when_binarised(images):
    extreme = (images > 0.5).astype("float32")
    unchanged = MAKERS["binarise"]()(extreme, training=True)
    np.testing.assert_array_equal(unchanged, extreme)


def test_binarising_in_half_precision_draws_the_same_coins(images):
    expected = MAKERS["binarise"]()(images, training=True).numpy()
    half = MAKERS["binarise"](dtype="float16")(images.astype("float16"), training=True)
    assert keras.backend.standardize_dtype(half.dtype) == "float16"
    # Rounding a grey level may tip a coin, of which there are 12,544.
    assert np.mean(half.numpy() != expected) < 2e-3


@pytest.mark.parametrize(
    "patch, ratio, hidden",
    [(4, 0.75, 37), (7, 0.75, 12), (14, 0.5, 2), (2, 0.15, 29), (1, 0.1, 78)],
)
def test_mask_hides_whole_patches_in_exact_number(patch, ratio, hidden):
    ones = np.ones((50, 28, 28), "float32")
    masked = augment.RandomMask(patch, ratio, seed=0)(ones, training=True).numpy()
    grid = 28 // patch
    patches = masked.reshape(50, grid, patch, grid, patch).swapaxes(2, 3)
    patches = patches.reshape(50, grid * grid, patch * patch)
    assert (patches == patches[..., :1]).all()
    np.testing.assert_array_equal((patches[..., 0] == 0).sum(axis=1), hidden)


def test_every_patch_is_hidden_equally_often_and_masks_are_independent():
    layer = augment.RandomMask(7, 0.75, seed=0)
    mask = layer.draw_mask(np.ones((20_000, 28, 28))).numpy()[:, ::7, ::7]
    share = mask.mean(axis=0)
    np.testing.assert_allclose(share, 0.75, atol=5 * np.sqrt(0.75 * 0.25 / 20_000))
    corner = mask[:, 0, 0]
    assert_independent([corner])
    # Without replacement: given one hidden patch, 11 of the other 15 are hidden.
    assert mask[corner, 3, 3].mean() == pytest.approx(11 / 15, abs=0.02)


def test_the_mask_drawn_is_the_mask_applied(images):
    mask = MAKERS["mask"]().draw_mask(images).numpy()
    masked = MAKERS["mask"]()(images, training=True).numpy()
    np.testing.assert_array_equal(masked, np.where(mask, 0, images))


# What all layers promise


@every
def test_a_seed_fixes_the_sequence_and_another_seed_another(make, images):
    layer = make(7)
    first, second = layer(images, training=True), layer(images, training=True)
    assert np.abs(first - second).max() > 0
    twin = make(7)
    np.testing.assert_array_equal(twin(images, training=True), first)
    np.testing.assert_array_equal(twin(images, training=True), second)
    assert np.abs(make(8)(images, training=True) - first).max() > 0


@every
def test_images_of_a_batch_get_different_draws(make, images):
    same = np.repeat(images[:1], 16, axis=0)
    changed = make()(same, training=True).numpy()
    distinct = len(np.unique(changed.reshape(16, -1).round(4), axis=0))
    assert distinct == 2 if make is MAKERS["flip"] else distinct > 12


@every
def test_nothing_happens_without_training(make, images):
    for unchanged in (make()(images), make()(images, training=False)):
        np.testing.assert_array_equal(unchanged, images)


@every
def test_range_shape_and_dtype_are_kept(make, images):
    extreme = (images > 0.5).astype("float32")
    changed = make()(extreme, training=True).numpy()
    assert changed.shape == extreme.shape and changed.dtype == np.float32
    assert changed.min() >= 0 and changed.max() <= 1
    # Black and white pixels are certain of their colour.
    assert (np.abs(changed - extreme).max() > 0) == (make is not MAKERS["binarise"])
    assert make().compute_output_shape((None, 28, 28)) == (None, 28, 28)


@every
def test_channels_move_together_and_as_without_a_channel_axis(make, images):
    plain = make()(images, training=True).numpy()
    with_axis = make()(images[..., None], training=True).numpy()
    np.testing.assert_array_equal(with_axis[..., 0], plain)
    coloured = make()(np.stack([images, images / 2], -1), training=True).numpy()
    if make not in (MAKERS["noise"], MAKERS["binarise"], MAKERS["colour"]):
        np.testing.assert_allclose(coloured[..., 0], plain, atol=1e-6)
        inside = plain < 1  # a gain cuts off what is brighter
        np.testing.assert_allclose(
            coloured[..., 1][inside], plain[inside] / 2, atol=1e-6
        )


@every
def test_a_pipeline_draws_the_same_as_a_loop_and_two_views_differ(make, images):
    import tensorflow as tf

    layer, twin = make(), make()
    batches = tf.data.Dataset.from_tensors(images).repeat(3)
    pairs = batches.map(
        lambda x: (layer(x, training=True), layer(x, training=True))
    ).as_numpy_iterator()
    for first, second in pairs:
        np.testing.assert_allclose(first, twin(images, training=True), atol=1e-5)
        np.testing.assert_allclose(second, twin(images, training=True), atol=1e-5)
        assert np.abs(first - second).max() > 0


@every
def test_in_a_model_only_fit_changes_the_images(make, images):
    seen = []

    @keras.saving.register_keras_serializable()
    class Record(keras.layers.Layer):
        def call(self, x):
            import tensorflow as tf

            tf.py_function(lambda value: seen.append(value.numpy()), [x], [])
            return x

    model = keras.Sequential([keras.Input((28, 28)), make(), Record()])
    model.compile(optimizer="sgd", loss="mse", jit_compile=False)
    model.fit(images, images, epochs=2, batch_size=16, shuffle=False, verbose=0)
    twin = make()
    assert len(seen) == 2
    for each in seen:
        np.testing.assert_allclose(each, twin(images, training=True), atol=1e-5)
    np.testing.assert_array_equal(model.predict(images, verbose=0), images)
    np.testing.assert_array_equal(model(images), images)


@every
def test_configuration_and_saved_model_make_the_same_layer(make, images, tmp_path):
    layer = make(5, name="change")
    config = json.loads(json.dumps(layer.get_config()))
    copy = type(layer).from_config(config)
    model = keras.Sequential([keras.Input((28, 28)), layer])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    expected = layer(images, training=True)
    np.testing.assert_array_equal(copy(images, training=True), expected)
    np.testing.assert_array_equal(loaded(images, training=True), expected)
    assert copy.name == "change"


@pytest.mark.parametrize("make", list(MAKERS.values())[:-1], ids=list(MAKERS)[:-1])
def test_half_precision_input_and_policy_are_safe(make, images):
    expected = make()(images, training=True).numpy()
    half = make(dtype="float16")(images.astype("float16"), training=True)
    assert keras.backend.standardize_dtype(half.dtype) == "float16"
    np.testing.assert_allclose(half, expected, atol=2e-3)
    keras.config.set_dtype_policy("mixed_float16")
    try:
        mixed = make()(images, training=True)
    finally:
        keras.config.set_dtype_policy("float32")
    assert keras.backend.standardize_dtype(mixed.dtype) == "float16"
    np.testing.assert_allclose(mixed, expected, atol=2e-3)


@every
def test_batches_of_one_and_of_none_pass(make, images):
    assert make()(images[:1], training=True).shape == (1, 28, 28)
    assert make()(images[:0], training=True).shape == (0, 28, 28)


@pytest.mark.parametrize("name", ["affine", "rotation", "crop", "resized"])
def test_a_model_with_a_warp_trains_without_xla_and_says_so(images, name):
    model = keras.Sequential([keras.Input((28, 28)), MAKERS[name]()])
    with pytest.warns(UserWarning, match="jit_compile=False"):
        model.compile(optimizer="sgd", loss="mse", jit_compile=True)
    model.fit(images, images, verbose=0)


@pytest.mark.parametrize(
    "name", ["gain", "flip", "noise", "mask", "binarise", "colour"]
)
def test_the_other_layers_can_be_compiled_by_xla(images, name):
    model = keras.Sequential([keras.Input((28, 28)), MAKERS[name]()])
    model.compile(optimizer="sgd", loss="mse", jit_compile=True)
    assert model.jit_compile
    assert np.isfinite(model.fit(images, images, verbose=0).history["loss"][0])


# Bad input


@every
@pytest.mark.parametrize("shape", [(28, 28), (2, 3, 28, 28, 1)])
def test_images_of_wrong_rank_are_refused(make, shape):
    with pytest.raises(ValueError, match=r"images must have shape .*got \("):
        make()(np.zeros(shape, "float32"), training=True)


@every
def test_unscaled_pixels_are_refused(make, images):
    with pytest.raises(ValueError, match=r"floating point in \[0, 1\].*uint8"):
        make()((255 * images).astype("uint8"))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: augment.RandomAffine(-1, seed=0), "degrees must .*got -1"),
        (lambda: augment.RandomAffine(181, seed=0), "degrees must .*got 181"),
        (lambda: augment.RandomAffine("10", seed=0), "degrees must .*got '10'"),
        (lambda: augment.RandomAffine(float("nan"), seed=0), "degrees .*got nan"),
        (lambda: augment.RandomAffine(0, shear=2, seed=0), "shear must .*got 2"),
        (lambda: augment.RandomAffine(0, shift=-3, seed=0), "shift must .*got -3"),
        (lambda: augment.RandomAffine(0, (1.2, 0.8), seed=0), r"scale must .*1.2, 0"),
        (lambda: augment.RandomAffine(0, (0, 1), seed=0), r"scale must .*\(0, 1\)"),
        (lambda: augment.RandomAffine(0, (1,), seed=0), r"scale must .*\(1,\)"),
        (lambda: augment.RandomAffine(0, 1.2, seed=0), r"scale must .*1.2"),
        (lambda: augment.RandomRotation(200, seed=0), "degrees must .*got 200"),
        (lambda: augment.RandomElastic(-1, seed=0), "bend must .*got -1"),
        (lambda: augment.RandomGain(0, 1, seed=0), "low and high must .*got 0 and 1"),
        (lambda: augment.RandomGain(2, 1, seed=0), "low and high must .*got 2 and 1"),
        (lambda: augment.RandomCrop(0, seed=0), "padding must .*got 0"),
        (lambda: augment.RandomCrop(1.5, seed=0), "padding must .*got 1.5"),
        (lambda: augment.RandomResizedCrop((0, 1), seed=0), r"area must .*\(0, 1\)"),
        (lambda: augment.RandomResizedCrop((0.5, 2), seed=0), "area must .*at most 1"),
        (lambda: augment.RandomResizedCrop((0.9, 0.5), seed=0), "area must .*0.9, 0.5"),
        (lambda: augment.RandomResizedCrop(0.5, seed=0), "area must .*got 0.5"),
        (
            lambda: augment.RandomResizedCrop(aspect=(1, float("inf")), seed=0),
            "aspect must .*above 0, got .*inf",
        ),
        (lambda: augment.RandomColour(0, seed=0), "strength must .*got 0"),
        (lambda: augment.RandomColour(1.5, seed=0), "strength must .*got 1.5"),
        (lambda: augment.RandomColour("a", seed=0), "strength must .*got 'a'"),
        (lambda: augment.RandomGrey(1.5, seed=0), "probability must .*got 1.5"),
        (lambda: augment.RandomGrey(None, seed=0), "probability must .*got None"),
        (lambda: augment.RandomFlip("diagonal", seed=0), "mode must .*'diagonal'"),
        (lambda: augment.GaussianNoise(0, seed=0), "stddev must .*got 0"),
        (lambda: augment.GaussianNoise("a", seed=0), "stddev must .*got 'a'"),
        (lambda: augment.RandomMask(0, 0.5, seed=0), "patch must .*got 0"),
        (lambda: augment.RandomMask(4, 1.0, seed=0), "ratio must .*got 1.0"),
        (lambda: augment.RandomMask(4, 75, seed=0), "ratio must .*got 75"),
        (lambda: augment.RandomCrop(2, seed=None), "seed must .*got None"),
        (lambda: augment.Binarise(seed=1.0), "seed must .*got 1.0"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_mask_that_does_not_fit_the_images_is_refused(images):
    with pytest.raises(ValueError, match="patch must divide .*got 5 .*28 x 28"):
        augment.RandomMask(5, 0.5, seed=0)(images, training=True)
    with pytest.raises(ValueError, match=r"ratio must .*4 patches, got 0.1.*hides 0"):
        augment.RandomMask(14, 0.1, seed=0)(images, training=True)
