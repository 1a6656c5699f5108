import keras
import numpy as np
import pytest
import scipy.stats
from sklearn.metrics import log_loss, mean_squared_error

from sslkit import networks
from sslkit.aae import AdversarialAutoencoder, GaussianPrior, MixturePrior

OPTIMIZERS = ("optimizer", "d_optimizer", "g_optimizer")


@pytest.fixture
def images():
    return np.random.default_rng(0).random((32, 28, 28)).astype("float32")


def make(prior=None, steps=1, **rates):
    keras.utils.set_random_seed(0)
    model = AdversarialAutoencoder(
        networks.dense_encoder(2, (8,), activation="linear"),
        networks.dense_decoder(2, (8,)),
        networks.mlp(2, (16,)),
        prior or GaussianPrior(2),
        discriminator_steps=steps,
    )
    chosen = {k: keras.optimizers.SGD(rates.get(k, 0.0)) for k in OPTIMIZERS}
    model.compile(**chosen, run_eagerly=True)
    return model


def weights(model):
    parts = ("encoder", "decoder", "discriminator")
    return {part: getattr(model, part).get_weights() for part in parts}


def logits(model, codes):
    return np.asarray(model.discriminator(codes), "float64").ravel()


# Priors


def test_gaussian_prior_is_standard_and_independent():
    draws = np.asarray(GaussianPrior(3).sample(4000, seed=0))
    assert draws.shape == (4000, 3)
    assert scipy.stats.kstest(draws.ravel(), "norm").pvalue > 1e-4
    correlation = np.corrcoef(draws.T) - np.eye(3)
    assert np.abs(correlation).max() < 5 / np.sqrt(4000)


@pytest.mark.parametrize(
    ("components", "mean", "variances"),
    [
        # Sum over the spokes of their covariances and of that of their means.
        (1, (3.0, 0.0), (0.5**2, 0.2**2)),
        (2, (0.0, 0.0), (3**2 + 0.5**2, 0.2**2)),
        (5, (0.0, 0.0), ((3**2 + 0.5**2 + 0.2**2) / 2,) * 2),
    ],
)
def test_mixture_prior_has_the_moments_of_its_closed_form(components, mean, variances):
    prior, n = MixturePrior(components, radius=3.0, along=0.5, across=0.2), 20_000
    draws = np.asarray(prior.sample(n, keras.random.SeedGenerator(1)), "float64")
    sd = np.sqrt(variances)
    assert np.all(np.abs(draws.mean(axis=0) - mean) < 5 * sd / np.sqrt(n))
    cov = np.cov(draws.T)
    np.testing.assert_allclose(np.diag(cov), variances, rtol=0.05)
    assert abs(cov[0, 1]) < 5 * sd[0] * sd[1] / np.sqrt(n)


def test_every_spoke_of_the_mixture_is_equally_likely_and_stands_at_its_angle():
    prior = MixturePrior(4, radius=10.0, along=1.0, across=0.1)
    x, y = np.asarray(prior.sample(4000, keras.random.SeedGenerator(2)), "float64").T
    along = np.stack([x, y, -x, -y])  # spokes at 0, 90, 180 and 270 degrees
    across = np.stack([y, -x, -y, x])
    which = along.argmax(axis=0)
    assert scipy.stats.chisquare(np.bincount(which, minlength=4)).pvalue > 1e-4
    pick = which, np.arange(4000)
    for values, location, sd in ((along[pick], 10, 1), (across[pick], 0, 0.1)):
        assert scipy.stats.kstest(values, "norm", (location, sd)).pvalue > 1e-4


@pytest.mark.parametrize("prior", [GaussianPrior(2), MixturePrior(7, 3.0, 0.5, 0.1)])
def test_priors_repeat_themselves_and_survive_their_configuration(prior):
    copy = type(prior).from_config(prior.get_config())
    assert vars(copy) == vars(prior)
    mine, other = keras.random.SeedGenerator(4), keras.random.SeedGenerator(4)
    first, second = prior.sample(9, mine), prior.sample(9, mine)
    np.testing.assert_array_equal(copy.sample(9, other), first)
    np.testing.assert_array_equal(copy.sample(9, other), second)
    assert np.abs(np.asarray(first) - np.asarray(second)).max() > 0


@pytest.mark.parametrize("seed", [0, None, np.int64(3)])
def test_one_number_cannot_seed_both_draws_of_the_mixture(seed):
    with pytest.raises(ValueError, match=r"^seed must be .*pass keras.random.Seed"):
        MixturePrior(3).sample(4, seed=seed)
    assert GaussianPrior(2).sample(4, seed=0).shape == (4, 2)


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (lambda: GaussianPrior(0), "dim"),
        (lambda: GaussianPrior(2.0), "dim"),
        (lambda: MixturePrior(0), "components"),
        (lambda: MixturePrior(2.5), "components"),
        (lambda: MixturePrior(radius=0), "radius"),
        (lambda: MixturePrior(along=-1), "along"),
        (lambda: MixturePrior(across=0), "across"),
        (lambda: MixturePrior(across=float("nan")), "across"),
        (lambda: make(GaussianPrior(3)), "prior"),
        (lambda: make(steps=0), "discriminator_steps"),
        (lambda: make(steps=2.0), "discriminator_steps"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(build, name):
    with pytest.raises(ValueError, match=f"^{name} must .*got"):
        build()


# The three losses


def test_phase_one_is_the_mean_squared_error_of_scikit_learn(images):
    model = make()
    expected = mean_squared_error(
        images.reshape(32, -1), np.asarray(model(images)).reshape(32, -1)
    )
    assert float(model.reconstruction_loss(images)) == pytest.approx(expected, rel=1e-5)


def test_phase_two_is_the_log_loss_of_scikit_learn_with_the_prior_as_real():
    model = make()
    rng = np.random.default_rng(1)
    codes, drawn = rng.normal(size=(2, 50, 2)).astype("float32")
    a = np.concatenate([logits(model, drawn), logits(model, codes)])
    real = np.repeat([1, 0], 50)
    # log_loss is the mean over both halves, the loss the sum of their means.
    expected = 2 * log_loss(real, 1 / (1 + np.exp(-a)))
    loss = float(model.discriminator_loss(codes, drawn))
    assert loss == pytest.approx(expected, rel=1e-5)
    accuracy = float(model.terms["accuracy"].result())
    assert accuracy == pytest.approx(np.mean((a > 0) == real), abs=1e-6)


def test_phase_three_is_the_log_loss_of_codes_called_real(images):
    model = make()
    a = logits(model, model.encoder(images))
    expected = log_loss(np.ones(32), 1 / (1 + np.exp(-a)), labels=[0, 1])
    assert float(model.encoder_loss(images)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.filterwarnings("error:Gradients do not exist")
@pytest.mark.parametrize(
    ("optimizer", "moving"),
    [
        ("optimizer", {"encoder", "decoder"}),
        ("d_optimizer", {"discriminator"}),
        ("g_optimizer", {"encoder"}),
    ],
)
def test_each_phase_moves_its_own_networks_only(optimizer, moving, images):
    model = make(**{optimizer: 0.1})
    before = weights(model)
    model.fit(images, batch_size=32, verbose=0)
    for part, after in weights(model).items():
        moved = [
            np.abs(a - b).max() > 0 for a, b in zip(before[part], after, strict=True)
        ]
        assert all(moved) if part in moving else not any(moved), part


@pytest.mark.parametrize(
    ("optimizer", "rate", "loss"),
    [
        ("optimizer", 1.0, lambda m, x, z: m.reconstruction_loss(x)),
        ("d_optimizer", 0.1, lambda m, x, z: m.discriminator_loss(m.encoder(x), z)),
        ("g_optimizer", 0.1, lambda m, x, z: m.encoder_loss(x)),
    ],
)
def test_each_phase_lowers_its_loss(optimizer, rate, loss, images):
    model = make(**{optimizer: rate})
    drawn = model.prior.sample(32, keras.random.SeedGenerator(0))
    before = float(loss(model, images, drawn))
    model.fit(images, batch_size=32, epochs=4, verbose=0)
    assert float(loss(model, images, drawn)) < before


def test_the_discriminator_learns_to_take_the_prior_for_real(images):
    model = make(MixturePrior(1, radius=20.0), d_optimizer=0.1)
    history = model.fit(images, batch_size=32, epochs=8, verbose=0).history
    drawn = np.asarray(model.prior.sample(50, keras.random.SeedGenerator(0)))
    assert logits(model, drawn).min() > 0 > logits(model, model.encoder(images)).max()
    assert history["accuracy"][-1] == pytest.approx(1.0)
    assert set(history) == {
        "reconstruction",
        "discriminator",
        "encoder_loss",
        "accuracy",
    }


@pytest.mark.parametrize("steps", [1, 3])
def test_every_step_draws_anew_from_the_prior(steps, images):
    drawn = []

    class Watched(GaussianPrior):
        def sample(self, n, seed):
            drawn.append(np.asarray(super().sample(n, seed)))
            return drawn[-1]

    model = make(Watched(2), steps)
    model.fit(images, batch_size=16, epochs=2, verbose=0)
    assert [len(each) for each in drawn] == [16] * 4 * steps
    assert len(np.unique(np.concatenate(drawn), axis=0)) == 64 * steps
    iterations = [int(getattr(model, name).iterations) for name in OPTIMIZERS]
    assert iterations == [4, 4 * steps, 4]


def test_reported_losses_are_those_of_the_batch(images):
    model = make(MixturePrior(3))
    drawn = model.prior.sample(32, keras.random.SeedGenerator(0))
    expected = float(model.discriminator_loss(model.encoder(images), drawn))
    report = model.evaluate(images, batch_size=32, verbose=0, return_dict=True)
    assert report["discriminator"] == pytest.approx(expected, rel=1e-5)
    for name, value in (
        ("reconstruction", model.reconstruction_loss(images)),
        ("encoder_loss", model.encoder_loss(images)),
    ):
        assert report[name] == pytest.approx(float(value), rel=1e-5)
    trained = model.fit(images, batch_size=32, verbose=0).history
    assert trained["reconstruction"][0] == pytest.approx(report["reconstruction"])
    assert trained["encoder_loss"][0] == pytest.approx(report["encoder_loss"])
    twin = make(MixturePrior(3))
    trained = twin.fit(images, batch_size=32, verbose=0).history
    assert trained["discriminator"][0] == pytest.approx(expected, rel=1e-5)


def test_generated_images_are_decoded_draws_of_the_prior(images):
    model = make(MixturePrior(3))
    generator = keras.random.SeedGenerator(0)
    for _ in range(2):
        expected = model.decoder(model.prior.sample(5, generator))
        np.testing.assert_allclose(model.generate(5), expected, atol=1e-6)
