"""What every model of several networks promises: saving, loading, precision."""

import json
import warnings

import keras
import numpy as np
import pytest

from sslkit import aae, autoencoder, gan, networks, vae
from sslkit.base import Adversarial

# Measuring coverage takes a fifth longer, and the tests of each model see its lines.
pytestmark = pytest.mark.no_cover


def judge(inputs="image"):
    if inputs == "code":
        return networks.mlp(2, (8,))
    return networks.dense_encoder(1, (8,), activation="linear")


def pair(features=2, activation="sigmoid"):
    encoder = networks.dense_encoder(features, (8,), activation="linear")
    return encoder, networks.dense_decoder(2, (8,), activation=activation)


MAKERS = {
    "plain": lambda **kw: autoencoder.Autoencoder(*pair(), **kw),
    "denoising": lambda **kw: autoencoder.DenoisingAutoencoder(
        *pair(), noise=0.3, masked=0.2, **kw
    ),
    "sparse": lambda **kw: autoencoder.SparseAutoencoder(*pair(), penalty=0.1, **kw),
    "contractive": lambda **kw: autoencoder.ContractiveAutoencoder(
        *pair(), penalty=0.1, **kw
    ),
    "vae": lambda **kw: vae.VAE(*pair(4, "linear"), beta=2.0, **kw),
    "gaussian vae": lambda **kw: vae.VAE(
        *pair(4), likelihood="gaussian", sigma=0.5, **kw
    ),
    "aae": lambda **kw: aae.AdversarialAutoencoder(
        *pair(),
        judge("code"),
        aae.MixturePrior(3, 2.0, 0.5, 0.1),
        discriminator_steps=2,
        **kw,
    ),
    "gan": lambda **kw: gan.GAN(networks.dense_decoder(2, (8,)), judge(), **kw),
    "dcgan": lambda **kw: gan.GAN(
        networks.dcgan_generator(2, (2, 2)), networks.dcgan_discriminator((2, 2)), **kw
    ),
    "wgan": lambda **kw: gan.WassersteinGAN(
        networks.dense_decoder(2, (8,)), judge(), penalty=3.0, critic_steps=2, **kw
    ),
}
SETTINGS = (
    *("noise", "masked", "penalty", "likelihood", "sigma", "beta"),
    *("critic_steps", "discriminator_steps"),
)
RANDOM = [name for name in MAKERS if name not in ("plain", "sparse")]
every = pytest.mark.parametrize("name", MAKERS)
every_game = pytest.mark.parametrize("name", ["aae", "gan", "wgan"])


@pytest.fixture
def images():
    return np.random.default_rng(0).random((24, 28, 28)).astype("float32")


@pytest.fixture
def half_precision():
    keras.mixed_precision.set_global_policy("mixed_float16")
    yield
    keras.mixed_precision.set_global_policy("float32")


def optimizer_names(model):
    return model.optimizers if isinstance(model, Adversarial) else ("optimizer",)


def compiled(name, seed=0, **arguments):
    keras.utils.set_random_seed(5)
    model = MAKERS[name](seed=seed)
    optimizers = {
        each: keras.optimizers.Adam(1e-2 / (i + 1))
        for i, each in enumerate(optimizer_names(model))
    }
    model.compile(**optimizers, **arguments)
    return model


def fit(model, images, **arguments):
    options = {"batch_size": 8, "shuffle": False, "verbose": 0, **arguments}
    return model.fit(images, **options).history


def state(model):
    """Everything that further training depends on."""
    variables = [*model.variables, model.seed_generator.state]
    for name in optimizer_names(model):
        variables += getattr(model, name).variables
    return [keras.ops.convert_to_numpy(each) for each in variables]


def inputs_of(model, images):
    return images if not isinstance(model, gan.GAN) else images[:, 0, :2]


@every
def test_a_saved_model_goes_on_as_if_it_had_never_stopped(name, images, tmp_path):
    whole = compiled(name)
    fit(whole, images, epochs=2)
    whole.save(tmp_path / "model.keras")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded) is type(whole)
    for each in (whole, loaded):
        fit(each, images)
    for a, b in zip(state(whole), state(loaded), strict=True):
        np.testing.assert_array_equal(a, b)
    steps = 9 * (2 if name in ("aae", "wgan") else 1)
    for which in optimizer_names(loaded):
        expected = steps if which == "d_optimizer" else 9
        assert int(getattr(loaded, which).iterations) == expected


@every
def test_a_seed_fixes_training_and_another_changes_what_is_random(name, images):
    def losses(seed):
        model = compiled(name, seed=seed, run_eagerly=True)
        return fit(model, images[:16])

    first = losses(0)
    assert losses(0) == first
    assert (losses(1) != first) == (name in RANDOM)


@every
def test_validation_and_callbacks_work(name, images):
    model = compiled(name, run_eagerly=True)
    stop = keras.callbacks.EarlyStopping(monitor="val_sum", mode="min", patience=9)
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(dict(logs))
            logs["val_sum"] = sum(logs.values())

    history = fit(
        model,
        images[:16],
        epochs=2,
        validation_data=(images[16:],),
        callbacks=[Watch(), stop],
    )
    names = {key for key in history if not key.startswith("val_")}
    assert names and {f"val_{key}" for key in names} <= set(history)
    assert len(seen) == 2 and np.isfinite([list(logs.values()) for logs in seen]).all()
    assert stop.best < np.inf


@every
def test_evaluation_takes_no_step(name, images):
    model = compiled(name, run_eagerly=True)
    before = model.get_weights()
    model.evaluate(images[:8], verbose=0)
    for network in model.parts:
        assert network == "prior" or getattr(model, network).built
    for a, b, variable in zip(before, model.get_weights(), model.weights, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=variable.path)


@every
def test_predict_answers_for_every_image(name, images):
    model = compiled(name, run_eagerly=True)
    inputs = inputs_of(model, images)
    answer = model.predict(inputs, batch_size=10, verbose=0)
    output = answer["output"] if isinstance(answer, dict) else answer
    assert output.shape == images.shape
    if name not in ("vae", "gaussian vae"):
        np.testing.assert_allclose(output, model(inputs), atol=1e-5)


@every
def test_one_step_in_half_precision_stays_finite(name, images, half_precision):
    model = compiled(name, run_eagerly=True)
    history = fit(model, images[:8])
    assert np.isfinite(list(history.values())).all()
    for weight in model.get_weights():
        assert np.isfinite(weight).all()


@every_game
def test_half_precision_scales_the_loss_of_every_player(name, images, half_precision):
    model = compiled(name)
    for each in model.optimizers:
        assert isinstance(getattr(model, each), keras.optimizers.LossScaleOptimizer), (
            each
        )


def test_half_precision_takes_the_step_of_single_precision(images, request):
    def steps():
        keras.utils.set_random_seed(5)
        model = MAKERS["aae"]()
        rates = {"optimizer": 1.0, "d_optimizer": 0.1, "g_optimizer": 0.0}
        optimizers = {k: keras.optimizers.SGD(v) for k, v in rates.items()}
        model.compile(**optimizers, run_eagerly=True)
        before = model.get_weights()
        losses = fit(model, images[:8])
        after = model.get_weights()
        return [b - a for a, b in zip(before, after, strict=True)], losses

    expected, losses = steps()
    request.getfixturevalue("half_precision")
    taken, reported = steps()
    for name, values in losses.items():
        assert reported[name] == pytest.approx(values, rel=0.02), name
    for a, b in zip(expected, taken, strict=True):
        assert np.abs(a).max() > 0
        np.testing.assert_allclose(b, a, atol=0.05 * np.abs(a).max())


@pytest.mark.parametrize("name", ["vae", "aae"])
def test_dense_models_can_be_compiled_by_xla(name, images, tmp_path):
    model = compiled(name, jit_compile=True)
    before = model.get_weights()
    assert np.isfinite(list(fit(model, images).values())).all()
    for a, b in zip(before, model.get_weights(), strict=True):
        assert np.abs(a - b).max() > 0
    model.save(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras").jit_compile is True


@every
def test_configuration_survives_json_and_makes_the_same_model(name):
    model = MAKERS[name](seed=3, name="copied")
    copy = type(model).from_config(json.loads(json.dumps(model.get_config())))
    assert (copy.seed, copy.name) == (3, "copied")
    for setting in set(SETTINGS) & set(vars(model)):
        assert getattr(copy, setting) == getattr(model, setting)
    for part in model.parts:
        mine, other = getattr(model, part), getattr(copy, part)
        assert mine is not other
        if part == "prior":
            assert mine.get_config() == other.get_config()
        else:
            shapes = [weight.shape for weight in mine.weights]
            assert [weight.shape for weight in other.weights] == shapes


@every
@pytest.mark.parametrize("seed", [None, 1.5, "0"])
def test_a_seed_that_is_no_integer_is_refused(name, seed):
    with pytest.raises(ValueError, match="seed must be an int, got"):
        MAKERS[name](seed=seed)


@every_game
def test_every_player_needs_an_optimizer(name):
    for missing in MAKERS[name]().optimizers:
        model = MAKERS[name]()
        rest = {each: "adam" for each in model.optimizers if each != missing}
        with pytest.raises(ValueError, match=f"needs an optimizer for {missing}:"):
            model.compile(**rest)


@every_game
def test_players_do_not_share_an_optimizer(name):
    model, shared = MAKERS[name](), keras.optimizers.Adam()
    chosen = {each: keras.optimizers.Adam() for each in model.optimizers}
    with pytest.raises(ValueError, match="an optimizer of its own"):
        model.compile(**{**chosen, "optimizer": shared, "d_optimizer": shared})


@every_game
def test_optimizers_may_be_named(name, images):
    model = MAKERS[name]()
    model.compile(**dict.fromkeys(model.optimizers, "adam"), run_eagerly=True)
    assert np.isfinite(list(fit(model, images[:8]).values())).all()


def test_a_game_without_players_says_so():
    with pytest.raises(NotImplementedError):
        Adversarial().player("optimizer")


@every_game
@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_minimize_returns_the_loss_before_a_step_along_its_gradient(name):
    model = MAKERS[name]()
    model.compile(
        **{each: keras.optimizers.SGD(0.5) for each in model.optimizers},
    )
    for which in model.optimizers:
        weight = model.player(which)[0]
        before = keras.ops.convert_to_numpy(weight)
        # The gradient of half the sum of squares is the weight itself.
        value = model.minimize(
            which, lambda weight=weight: keras.ops.sum(weight.value**2) / 2
        )
        assert float(value) == pytest.approx((before**2).sum() / 2, rel=1e-5)
        np.testing.assert_allclose(weight, before / 2, rtol=1e-5, atol=1e-8)
