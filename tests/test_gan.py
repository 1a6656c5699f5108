import keras
import numpy as np
import pytest
import scipy.stats
from sklearn.metrics import log_loss

from sslkit import networks
from sslkit.gan import GAN, WassersteinGAN


@pytest.fixture
def images():
    return np.random.default_rng(0).random((30, 28, 28)).astype("float32")


def make(cls=GAN, rate=0.0, d_rate=0.0, **settings):
    keras.utils.set_random_seed(0)
    model = cls(
        networks.dense_decoder(3, (8,)),
        networks.dense_encoder(1, (8,), activation="linear"),
        **settings,
    )
    model.compile(
        optimizer=keras.optimizers.SGD(rate),
        d_optimizer=keras.optimizers.SGD(d_rate),
        run_eagerly=True,
    )
    return model


def linear_critic(weight, bias=0.0):
    """Model from `[batch, d]` to the scalar product with `weight`."""
    weight = np.asarray(weight, "float32")
    critic = keras.Sequential([keras.Input(weight.shape), keras.layers.Dense(1)])
    critic.set_weights([weight[:, None], np.array([bias], "float32")])
    return critic


def identity_generator(d):
    return keras.Sequential([keras.Input((d,)), keras.layers.Activation("linear")])


def scores(model, images):
    return np.asarray(model.discriminator(images), "float64").ravel()


both = pytest.mark.parametrize("cls", [GAN, WassersteinGAN])


@both
def test_noise_is_standard_and_drawn_anew(cls):
    model = make(cls)
    first, second = np.asarray(model.noise(2000)), np.asarray(model.noise(2000))
    assert first.shape == (2000, 3)
    assert scipy.stats.kstest(first.ravel(), "norm").pvalue > 1e-4
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 5 / np.sqrt(6000)


def test_generated_images_are_those_of_the_noise():
    model, twin = make(), make()
    for _ in range(2):
        np.testing.assert_allclose(
            model.generate(4), twin.generator(twin.noise(4)), atol=1e-6
        )


def test_discriminator_loss_is_the_log_loss_of_scikit_learn(images):
    model = make()
    fake = np.asarray(model.generate(30))
    a = np.concatenate([scores(model, images), scores(model, fake)])
    real = np.repeat([1, 0], 30)
    expected = 2 * log_loss(real, 1 / (1 + np.exp(-a)))
    loss = float(model.discriminator_loss(images, fake))
    assert loss == pytest.approx(expected, rel=1e-5)
    accuracy = float(model.terms["accuracy"].result())
    assert accuracy == pytest.approx(np.mean((a > 0) == real), abs=1e-6)


def test_generator_loss_is_the_log_loss_of_fakes_called_real():
    model = make()
    z = model.noise(30)
    a = scores(model, model.generator(z))
    expected = log_loss(np.ones(30), 1 / (1 + np.exp(-a)), labels=[0, 1])
    fake = model.generator(z)
    assert float(model.generator_loss(fake)) == pytest.approx(expected, rel=1e-5)


@both
@pytest.mark.parametrize(
    ("rates", "moving"),
    [({"rate": 0.1}, "generator"), ({"d_rate": 0.1}, "discriminator")],
)
def test_each_player_moves_its_own_network_only(cls, rates, moving, images):
    model = make(cls, **rates)
    before = {part: getattr(model, part).get_weights() for part in model.parts}
    model.fit(images, batch_size=30, verbose=0)
    for part in model.parts:
        after = getattr(model, part).get_weights()
        moved = [
            np.abs(a - b).max() > 0 for a, b in zip(before[part], after, strict=True)
        ]
        # The loss of a Wasserstein GAN does not see the critic's last bias.
        if part == moving:
            assert all(moved[:-1]) and (moved[-1] or cls is WassersteinGAN)
        else:
            assert not any(moved)


@both
def test_the_generator_steps_down_the_slope_that_the_moved_discriminator_has(
    cls, images
):
    """By finite differences, with the same noise, after the discriminator's step."""
    model, twin = make(cls, rate=0.1, d_rate=0.3), make(cls, d_rate=0.3)
    if cls is WassersteinGAN:
        model.critic_steps = twin.critic_steps = 1
    before = model.generator.get_weights()
    for each in (model, twin):
        each.train_on_batch(images)
    z = make(cls).noise(30)
    if cls is WassersteinGAN:  # The second draw is the generator's.
        drawn = make(cls)
        drawn.noise(30), keras.random.uniform((30, 1, 1), seed=drawn.seed_generator)
        z = drawn.noise(30)
    after = model.generator.get_weights()
    slope = [(old - new) / 0.1 for old, new in zip(before, after, strict=True)]
    assert sum(np.sum(part**2) for part in slope) > 1e-8

    def loss(step):
        moved = [w + step * part for w, part in zip(before, slope, strict=True)]
        twin.generator.set_weights(moved)
        return float(twin.generator_loss(twin.generator(z)))

    rise = (loss(0.5) - loss(-0.5)) / 1.0
    assert rise == pytest.approx(sum(np.sum(part**2) for part in slope), rel=0.02)


@both
def test_the_discriminator_learns_to_prefer_real_images(cls, images):
    model = make(cls, d_rate=0.03)
    model.fit(images, batch_size=30, epochs=4, verbose=0)
    fake = np.asarray(model.generate(30))
    assert scores(model, images).mean() > scores(model, fake).mean() + 0.1


@both
def test_the_generator_learns_to_be_preferred(cls, images):
    model = make(cls, rate=0.05)
    z = model.noise(30)
    before = scores(model, model.generator(z)).mean()
    model.fit(images, batch_size=30, epochs=4, verbose=0)
    assert scores(model, model.generator(z)).mean() > before


@both
def test_reported_losses_are_those_of_the_batch(cls, images):
    model, twin = make(cls), make(cls)
    report = model.evaluate(images, batch_size=30, verbose=0, return_dict=True)
    z = twin.noise(30)
    fake = twin.generator(z)
    loss = float(twin.discriminator_loss(images, fake))
    assert report["discriminator_loss"] == pytest.approx(loss, rel=1e-4)
    loss = float(twin.generator_loss(fake))
    assert report["generator_loss"] == pytest.approx(loss, rel=1e-4)
    history = model.fit(images, batch_size=30, verbose=0).history
    third = "penalty" if cls is WassersteinGAN else "accuracy"
    assert set(history) == {"generator_loss", "discriminator_loss", third}


# Wasserstein


@pytest.mark.parametrize("penalty", [0.0, 1.0, 10.0])
def test_a_linear_critic_has_the_closed_form(penalty):
    # Slope 5 everywhere; the scores differ by the scalar product of the means.
    model = WassersteinGAN(
        identity_generator(2), linear_critic([3, 4], bias=7.0), penalty=penalty
    )
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(2, 20, 2)).astype("float32")
    gap = (fake.mean(axis=0) - real.mean(axis=0)) @ [3, 4]
    expected = gap + penalty * (5 - 1) ** 2
    loss = float(model.discriminator_loss(real, fake))
    assert loss == pytest.approx(expected, rel=1e-4, abs=1e-4)
    assert float(model.terms["penalty"].result()) == pytest.approx(16.0, rel=1e-4)
    assert float(model.generator_loss(fake)) == pytest.approx(
        -(fake @ [3, 4] + 7).mean(), rel=1e-4
    )


def test_the_penalty_is_measured_at_one_uniform_point_between_each_pair():
    @keras.saving.register_keras_serializable("tests")
    class HalfSquare(keras.layers.Layer):
        def call(self, x):
            return keras.ops.sum(x**2, axis=-1, keepdims=True) / 2

    # The gradient of half the square is the point itself, so that its length, u
    # times 10 with u uniform, is what the penalty sees: E (10 u - 1)^2 = 73 / 3.
    critic = keras.Sequential([keras.Input((100,)), HalfSquare()])
    model = WassersteinGAN(identity_generator(100), critic)
    for real, fake in ((0.0, 1.0), (1.0, 0.0)):
        model.terms["penalty"].reset_state()
        shape = (20_000, 100)
        model.discriminator_loss(
            np.full(shape, real, "float32"), np.full(shape, fake, "float32")
        )
        value = float(model.terms["penalty"].result())
        assert value == pytest.approx(73 / 3, abs=5 * 23 / np.sqrt(20_000))


def test_the_critic_takes_its_steps_on_shares_of_the_batch(images):
    seen = []

    class Watched(WassersteinGAN):
        def discriminator_loss(self, real, fake, training=False):
            assert real.shape == fake.shape
            seen.append((np.asarray(real), np.asarray(fake)))
            return super().discriminator_loss(real, fake, training)

    model = make(Watched, critic_steps=3)
    model.fit(images, batch_size=30, shuffle=False, verbose=0)
    assert [len(real) for real, _ in seen] == [10, 10, 10]
    real, fake = (
        np.concatenate(each).reshape(30, -1) for each in zip(*seen, strict=True)
    )
    np.testing.assert_array_equal(
        np.unique(real, axis=0), np.unique(images.reshape(30, -1), axis=0)
    )
    assert len(np.unique(fake, axis=0)) == 30
    assert int(model.d_optimizer.iterations) == 3
    assert int(model.optimizer.iterations) == 1


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"penalty": -1}, "penalty"),
        ({"penalty": float("nan")}, "penalty"),
        ({"critic_steps": 0}, "critic_steps"),
        ({"critic_steps": 2.0}, "critic_steps"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(settings, name):
    with pytest.raises(ValueError, match=f"^{name} must"):
        make(WassersteinGAN, **settings)
