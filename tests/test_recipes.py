"""Every method by name: it trains on any images, and its encoder can be taken along."""

import math
import os
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from sslkit import networks, recipes

SHAPES = [(28, 28), (32, 32, 3), (64, 64, 3), (64, 64)]
METHODS = list(recipes.METHODS)
TINY = {"features": 8, "width": 0.0625}


def pictures(shape, n=12):
    stored = np.random.default_rng(0).integers(0, 256, (n, *shape), "uint8")
    return (stored / 255).astype("float32")


def build(method, shape, *arguments, seed=0, **settings):
    keras.utils.set_random_seed(seed)
    return recipes.build(method, shape, *arguments, seed=seed, **{**TINY, **settings})


def fit(model, x):
    # Two steps: eagerly, which is faster than tracing.
    recipes.compile(model, steps=2, run_eagerly=True)
    return model.fit(x, batch_size=len(x) // 2, shuffle=False, verbose=0).history


# One shape for each method, in turns: one after the other in a family, so that each
# family sees all.
TURNS = [(method, SHAPES[i % 4]) for i, method in enumerate(METHODS)]


@pytest.mark.no_cover  # The tests of each model see its lines, and `build` is tested.
@pytest.mark.parametrize(("method", "shape"), TURNS)
def test_every_method_trains_and_its_encoder_can_be_saved(method, shape, tmp_path):
    x, model = pictures(shape), build(method, shape)
    before = [np.asarray(w) for w in recipes.encoder(model).weights]
    history = fit(model, x)
    assert all(np.isfinite(values).all() for values in history.values())
    encoder = recipes.encoder(model)
    features = np.asarray(encoder(x))
    assert features.ndim == 2 and len(features) == len(x)
    assert features.dtype == np.float32 and np.isfinite(features).all()
    assert encoder.input_shape == (None, *shape)
    if method not in ("gan", "wgan"):
        assert features.shape[1] == 8
    # The weights are the model's own: training has moved them.
    after = [np.asarray(w) for w in encoder.weights]
    assert any((a != b).any() for a, b in zip(before, after, strict=True))
    encoder.save(tmp_path / "encoder.keras")
    again = keras.models.load_model(tmp_path / "encoder.keras")
    np.testing.assert_array_equal(again(x), features)


@pytest.mark.parametrize("shape", [(28, 28), (32, 32, 3)])
@pytest.mark.parametrize("name", recipes.ENCODERS)
def test_every_encoder_serves_an_autoencoder_and_two_views(name, shape):
    x = pictures(shape)
    for method in ("vae", "simclr"):
        model = build(method, shape, name)
        assert recipes.encoder(model)(x).shape == (12, 8)
        kinds = {type(layer) for layer in model.encoder.layers}
        assert (keras.layers.Conv2D in kinds) == (name != "dense")
        norm = keras.layers.BatchNormalization in kinds
        assert norm == (name in ("batchnorm", "residual"))
        assert (keras.layers.Add in kinds) == (name == "residual")
    assert build("autoencoder", shape, name)(x).shape == x.shape


@pytest.mark.parametrize("shape", [(28, 28), (32, 32, 3)])
@pytest.mark.parametrize("name", recipes.AUGMENTATIONS)
def test_every_augmentation_changes_images_but_none_does(name, shape):
    x = pictures(shape)

    def views(seed=0):
        model = build("simclr", shape, "dense", name, seed=seed)
        return np.split(np.asarray(model.views(x)), 2)

    first, second = views()
    assert first.shape == x.shape and 0 <= first.min() <= first.max() <= 1
    assert np.array_equal(first, second) == (name == "none")
    np.testing.assert_array_equal(views()[0], first)
    assert np.array_equal(views(seed=1)[0], first) == (name == "none")


def test_defaults_follow_the_images():
    for shape, encoder, views in [
        ((28, 28), "batchnorm", "digit"),
        ((24, 32), "batchnorm", "digit"),
        ((33, 28), "residual", "photo"),
        ((64, 64), "residual", "photo"),
        ((28, 28, 3), "residual", "photo"),
    ]:
        for method in METHODS:
            expected = (
                None if method in ("gan", "wgan", "mae") else encoder,
                views if METHODS.index(method) >= METHODS.index("simclr") else None,
            )
            assert recipes.defaults(method, shape) == expected
    for shape in SHAPES[:2]:
        names = recipes.defaults("byol", shape)
        chosen, left_out = build("byol", shape, *names), build("byol", shape)
        assert chosen.encoder.count_params() == left_out.encoder.count_params()
        kinds = [type(layer) for layer in chosen.augment.layers]
        assert kinds == [type(layer) for layer in left_out.augment.layers]


def test_networks_of_the_course_are_what_grey_images_of_28_pixels_get():
    model = recipes.build("gan", (28, 28))
    assert model.generator.count_params() == networks.dcgan_generator().count_params()
    critic = networks.dcgan_discriminator().count_params()
    assert model.discriminator.count_params() == critic
    encoder = recipes.build("simclr", (28, 28)).encoder
    assert encoder.count_params() == networks.batchnorm_encoder().count_params()
    decoder = recipes.build("autoencoder", (28, 28), features=64).decoder
    assert decoder.count_params() == networks.conv_decoder(64).count_params()


@pytest.mark.parametrize("shape", [(28, 28), (96, 96, 3), (128, 64)])
def test_convolutions_go_on_until_few_pixels_are_left(shape):
    decoder = build("autoencoder", shape, width=0.25).decoder
    rows, columns, _ = decoder.layers[1].output.shape[1:]
    assert 4 <= min(rows, columns) <= 12
    encoder = build("autoencoder", shape, "conv", width=0.25).encoder
    convolutions = [x for x in encoder.layers if isinstance(x, keras.layers.Conv2D)]
    assert 4 <= min(convolutions[-1].output.shape[1:3]) <= 6
    assert [layer.filters for layer in convolutions] == [8, 16, 32, 32, 32][
        : len(convolutions)
    ]


@pytest.mark.parametrize(
    "method", ["aae", "vae", "gan", "mae", "jigsaw", "simclr", "dino"]
)
def test_same_seed_gives_the_same_features(method):
    x = pictures((28, 28), 4)
    one, same = (
        np.asarray(recipes.encoder(build(method, (28, 28), seed=3))(x))
        for _ in range(2)
    )
    np.testing.assert_array_equal(one, same)
    assert len(np.unique(one.round(6), axis=0)) == 4  # images differ, so it can fail


def test_an_encoder_can_be_loaded_without_the_package(tmp_path):
    # The mean of a VAE is cut out of a layer, and MAE's alone needs the package.
    for method in ("vae", "gan", "simclr"):
        encoder = recipes.encoder(build(method, (32, 32, 3)))
        encoder.save(tmp_path / f"{method}.keras")
    program = (
        "import sys, keras, numpy as np\n"
        "for path in sys.argv[1:]:\n"
        "    print(keras.models.load_model(path)(np.zeros((2, 32, 32, 3))).shape)\n"
        "assert not any(name.startswith('sslkit') for name in sys.modules)\n"
    )
    paths = sorted(map(str, tmp_path.glob("*.keras")))
    result = subprocess.run(
        [sys.executable, "-c", program, *paths],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.split("\n")) == 4


@pytest.mark.parametrize("method", METHODS)
def test_the_smallest_batch_is_the_smallest_that_trains(method):
    def trains(n):
        encoder = None if method in recipes.OWN_NETWORKS else "dense"
        x, model = pictures((28, 28), n), build(method, (28, 28), encoder)
        recipes.compile(model, run_eagerly=True)
        try:
            model.fit(x, batch_size=n, shuffle=False, verbose=0)
        except tf.errors.InvalidArgumentError:  # an empty batch
            return False
        return all(np.isfinite(np.asarray(weight)).all() for weight in model.weights)

    smallest = recipes.SMALLEST.get(method, 1)
    assert trains(smallest)
    assert smallest == 1 or not trains(smallest - 1)


# --- what an encoder is -----------------------------------------------------------


def test_features_are_what_the_methods_say():
    x = pictures((28, 28))
    vae = build("vae", (28, 28))
    np.testing.assert_allclose(recipes.encoder(vae)(x), vae.features(x), atol=1e-6)
    gan = build("gan", (28, 28))
    last = gan.discriminator.layers[-1]
    hidden = np.asarray(recipes.encoder(gan)(x))
    logits = hidden @ np.asarray(last.kernel) + np.asarray(last.bias)
    np.testing.assert_allclose(gan.discriminator(x), logits, atol=1e-5)
    mae = build("mae", (28, 28))
    patches = x.reshape(12, 7, 4, 7, 4).swapaxes(2, 3).reshape(12, 49, 16)
    places = np.tile(np.arange(49), (12, 1))
    h = np.asarray(mae.encoder([patches, places])).mean(axis=1)
    np.testing.assert_allclose(recipes.encoder(mae)(x), h, atol=1e-5)
    byol = build("byol", (28, 28))
    assert recipes.encoder(byol) is byol.encoder


def test_what_has_no_encoder_is_named():
    with pytest.raises(
        ValueError, match="model must have an encoder, got a Sequential"
    ):
        recipes.encoder(networks.dense_encoder(4))


# --- optimizers -------------------------------------------------------------------


def rates(model, steps):
    """Learning rates of an optimizer before the first step and after some."""
    found = []
    for step in steps:
        model.optimizer.iterations.assign(step)
        found.append(float(model.optimizer.learning_rate))
    return found


def test_rates_fall_along_half_a_cosine_if_the_end_is_known():
    model = build("autoencoder", (28, 28), "dense")
    recipes.compile(model, 1e-2, steps=100)
    expected = [1e-2 * (1 + math.cos(math.pi * k / 100)) / 2 for k in (0, 25, 50, 100)]
    assert rates(model, (0, 25, 50, 100)) == pytest.approx(expected, abs=1e-8)
    recipes.compile(model)
    assert rates(model, (0, 100)) == pytest.approx([1e-3, 1e-3])


@pytest.mark.parametrize(("method", "players"), [("aae", 3), ("gan", 2), ("wgan", 2)])
def test_every_player_gets_an_optimizer_with_little_momentum(method, players):
    model = build(method, (28, 28))
    recipes.compile(model, steps=100)
    optimizers = [getattr(model, name) for name in model.optimizers]
    assert len({id(each) for each in optimizers}) == players
    assert {each.beta_1 for each in optimizers} == {0.5}
    assert rates(model, (0, 100)) == pytest.approx([2e-4, 2e-4])
    recipes.compile(model, 1e-3)
    assert rates(model, (0,)) == pytest.approx([1e-3])


@pytest.mark.parametrize("method", ["mae", "gan"])
def test_other_arguments_are_passed_on(method):
    model = build(method, (28, 28))
    recipes.compile(model, jit_compile=False, steps_per_execution=3)
    assert model.jit_compile is False and model.steps_per_execution == 3
    recipes.compile(model, jit_compile=True)
    assert model.jit_compile is True


# --- loss of collapsed features ---------------------------------------------------


def collapsed(method):
    """Model and loss when all projections or logits are the same, from the model."""
    model, batch = build(method, (28, 28), "dense"), 6
    if method in ("rotation", "jigsaw"):
        y_pred = np.zeros((batch, model.changes)), np.arange(batch) % model.changes
        return model, float(model.compute_loss(y_pred=y_pred))
    same = np.ones((2 * batch, model.projector.output_shape[-1]), "float32")
    y_pred = {
        "moco": {"q": same[:batch], "k": same[:batch]},
        "simsiam": {"p": same, "z": same},
        "byol": {"p": same, "z": same},
        "dino": {"student": same, "teacher": same},
    }.get(method, same)
    if method == "moco":
        model.queue.assign(np.ones(model.queue.shape))
    return model, float(model.compute_loss(y_pred=y_pred, training=False))


@pytest.mark.parametrize("method", METHODS[METHODS.index("rotation") :])
def test_loss_of_collapsed_features_is_known(method):
    model, loss = collapsed(method)
    assert recipes.chance(model, 6) == pytest.approx(loss, abs=1e-4)


@pytest.mark.parametrize("method", METHODS[: METHODS.index("rotation")])
def test_loss_of_collapsed_features_depends_on_the_images_elsewhere(method):
    encoder = None if method in recipes.OWN_NETWORKS else "dense"
    assert recipes.chance(build(method, (28, 28), encoder), 6) is None


def test_some_losses_of_collapsed_features_have_closed_forms():
    for method, expected in [
        ("simclr", math.log(255)),
        ("moco", math.log(1025)),
        ("jigsaw", math.log(24)),
    ]:
        model = build(method, (28, 28))
        assert recipes.chance(model, 128) == pytest.approx(expected)


# --- what does not fit ------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("simlcr", (28, 28)), "method must be one of autoencoder, .*mean 'simclr'"),
        (("simclr", (28, 28), "resnet"), "encoder must be one of dense, .*'res"),
        (("simclr", (28, 28), None, "photos"), "augment must be one of .*mean 'photo'"),
        (("simclr", (28, 28), None, ""), "augment must be one of photo"),
        (("gan", (28, 28), "conv"), "encoder must be left out for method='gan'"),
        (("mae", (28, 28), None, "photo"), "augment must be left out for method='mae'"),
        (("simclr", (28,)), r"shape must be \(height, width\) or .*got \(28,\)"),
        (("simclr", (28, 28.0)), r"shape must be \(height, width\) or .*28.0"),
        (("simclr", (28, 28, 1)), r"no axis of channels .*pass \(28, 28\)"),
        (("simclr", (7, 28)), r"at least 8 pixels .*got \(7, 28\)"),
        (("gan", (30, 30)), "halved.*nearest sizes that suit are 28 x 28 and 32 x 32"),
        (("vae", (50, 50, 3)), "halved.*suit are 48 x 48 and 56 x 56"),
        (("rotation", (28, 32)), "equal height and width.*suit are 30 x 30"),
        (("jigsaw", (29, 29)), "an even height.*suit are 28 x 28 and 30 x 30"),
        (("mae", (37, 37)), "4 to 16 square patches.*suit are 36 x 36 and 39 x 39"),
    ],
)
def test_what_does_not_fit_is_named_with_what_would(arguments, message):
    with pytest.raises(ValueError, match=message):
        build(*arguments)


@pytest.mark.parametrize(
    ("method", "encoder"), [("vae", "dense"), ("simclr", "conv"), ("byol", None)]
)
def test_odd_sizes_are_no_trouble_where_nothing_is_halved(method, encoder):
    x = pictures((29, 37, 3))
    model = build(method, (29, 37, 3), encoder)
    assert np.isfinite(fit(model, x)["loss"]).all()


@pytest.mark.parametrize("method", ["mae", "gan", "denoising", "jigsaw"])
@pytest.mark.parametrize("side", [37, 53])
def test_sizes_that_are_named_do_suit(method, side):
    encoder = None if method in ("mae", "gan") else "conv"
    with pytest.raises(ValueError) as refusal:
        build(method, (side, side), encoder)
    sizes = re.findall(r"(\d+) x \1", str(refusal.value))
    assert sizes and all(build(method, (int(n),) * 2, encoder) for n in sizes)


def test_numbers_out_of_range_are_named():
    with pytest.raises(ValueError, match="width must be above 0, got 0"):
        build("simclr", (28, 28), width=0)
    for features in (0, 2.5):
        with pytest.raises(ValueError, match="features must be a positive integer"):
            build("simclr", (28, 28), features=features)
    with pytest.raises(ValueError, match="features must be a multiple of 4 .*got 6"):
        build("mae", (28, 28), features=6)
    with pytest.raises(ValueError, match="seed must be an int, got 1.5"):
        recipes.build("simclr", (28, 28), seed=1.5)
    model = build("autoencoder", (28, 28), "dense")
    with pytest.raises(ValueError, match="rate must be above 0, got 0"):
        recipes.compile(model, rate=0)
    with pytest.raises(ValueError, match="steps must be a positive integer or None"):
        recipes.compile(model, steps=1.5)
    with pytest.raises(ValueError, match="batch_size must be a positive integer"):
        recipes.chance(model, 0)
