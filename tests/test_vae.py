import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from scipy.special import expit
from scipy.stats import bernoulli, multivariate_normal, norm

from sslkit import networks
from sslkit.vae import VAE, log_likelihood_bound

W = np.array([[1.0, 0.5], [-0.4, 0.8], [0.3, -1.2]])  # three pixels, two codes
B = np.array([0.2, -0.1, 0.5])
SIGMA = 0.6


@pytest.fixture
def images():
    return np.random.default_rng(0).random((16, 28, 28)).astype("float32")


def dense(rows, kernel, bias):
    model = keras.Sequential([keras.Input((rows,)), keras.layers.Dense(len(bias))])
    model.set_weights([np.asarray(each, "float32") for each in (kernel, bias)])
    return model


def linear_gaussian(posterior="exact", seed=0):
    """x = W z + b + noise of width sigma; log p(x) is then known.

    A decoder with orthogonal columns has a posterior of independent codes, which the
    encoder can be given exactly.
    """
    weights = W.copy()
    weights[:, 1] -= W[:, 0] * (W[:, 0] @ W[:, 1]) / (W[:, 0] @ W[:, 0])
    precision = 1 + (weights**2).sum(axis=0) / SIGMA**2
    to_mean = weights / SIGMA**2 / precision
    kernel = np.hstack([to_mean, np.zeros((3, 2))])
    bias = np.concatenate([-B @ to_mean, -np.log(precision)])
    if posterior == "wrong":
        bias = bias + [0.3, -0.2, 0.5, 0.4]
    model = VAE(
        dense(3, kernel, bias),
        dense(2, weights.T, B),
        likelihood="gaussian",
        sigma=SIGMA,
        seed=seed,
    )
    cov = weights @ weights.T + SIGMA**2 * np.eye(3)
    x = multivariate_normal(B, cov).rvs(40, random_state=0)
    return model, x.astype("float32"), multivariate_normal(B, cov).logpdf(x)


def bernoulli_vae(**settings):
    keras.utils.set_random_seed(0)
    model = VAE(
        networks.dense_encoder(4, (8,), activation="linear"),
        networks.dense_decoder(2, (8,), activation="linear"),
        **settings,
    )
    model.compile(optimizer=keras.optimizers.SGD(0.0), run_eagerly=True)
    return model


def kl_of(answer):
    """From entropies: -H(q) - E_q log p, with the expectation in closed form."""
    mu = np.asarray(answer["mu"], "float64")
    sd = np.exp(np.asarray(answer["log_var"], "float64") / 2)
    cross = (np.log(2 * np.pi) + mu**2 + sd**2) / 2
    return (cross - norm(mu, sd).entropy()).sum(axis=1)


# Codes


def test_first_half_of_the_encoders_output_is_the_mean_and_the_second_the_variance():
    model = VAE(dense(3, np.zeros((3, 4)), [1, 2, -3, 0.5]), dense(2, W.T, B))
    mu, log_var = model.encode(np.zeros((2, 3), "float32"))
    np.testing.assert_array_equal(mu, [[1, 2]] * 2)
    np.testing.assert_array_equal(log_var, [[-3, 0.5]] * 2)
    np.testing.assert_array_equal(model.features(np.zeros((2, 3), "float32")), mu)


def test_drawn_codes_have_the_mean_and_the_variance_asked_for():
    model, n = bernoulli_vae(), 4000
    mu = np.tile(np.array([3.0, -1.0], "float32"), (n, 1))
    log_var = np.tile(np.log(np.array([0.25, 9.0], "float32")), (n, 1))
    z = np.asarray(model.sample_code(mu, log_var), "float64")
    for column, mean, sd in zip(z.T, (3.0, -1.0), (0.5, 3.0), strict=True):
        assert scipy.stats.kstest(column, "norm", (mean, sd)).pvalue > 1e-4
    assert abs(np.corrcoef(z.T)[0, 1]) < 5 / np.sqrt(n)


def test_codes_are_drawn_anew_at_every_call_with_training_or_without(images):
    model = bernoulli_vae()
    draws = [np.asarray(model(images, training=t)["z"]) for t in (True, True, False)]
    assert np.abs(draws[0] - draws[1]).min() > 0
    assert np.abs(draws[1] - draws[2]).min() > 0


def test_the_code_lies_where_mean_variance_and_noise_put_it_and_is_decoded(images):
    model = bernoulli_vae()
    answer = model(images)
    np.testing.assert_allclose(
        answer["output"], model.decoder(answer["z"]), rtol=1e-4, atol=1e-5
    )
    mu, log_var = model.encode(images)
    np.testing.assert_allclose(answer["mu"], mu, atol=1e-6)
    np.testing.assert_allclose(answer["log_var"], log_var, atol=1e-6)


# The loss


def test_likelihoods_are_those_of_scipy():
    rng = np.random.default_rng(0)
    x, output = (rng.random((5, 3)) > 0.5).astype("float32"), rng.normal(size=(5, 3))
    output = output.astype("float32")
    coins = VAE(dense(3, np.zeros((3, 4)), np.zeros(4)), dense(2, W.T, B))
    expected = -bernoulli(expit(output)).logpmf(x).sum(axis=1)
    np.testing.assert_allclose(coins.nll(x, output), expected, rtol=1e-5)
    expected = -norm(output, SIGMA).logpdf(x).sum(axis=1)
    np.testing.assert_allclose(linear_gaussian()[0].nll(x, output), expected, rtol=1e-5)


@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
def test_loss_is_reconstruction_plus_beta_times_divergence(beta, images):
    x = (images > 0.5).astype("float32")
    model, twin = bernoulli_vae(beta=beta), bernoulli_vae(beta=beta)
    report = model.evaluate(x, batch_size=16, verbose=0, return_dict=True)
    answer = twin(x)  # the same draws of the code
    logits = np.asarray(answer["output"], "float64")
    nll = -bernoulli(expit(logits)).logpmf(x).sum(axis=(1, 2)).mean()
    kl = kl_of(answer).mean()
    assert report["reconstruction"] == pytest.approx(nll, rel=1e-5)
    assert report["kl"] == pytest.approx(kl, rel=1e-4)
    assert report["loss"] == pytest.approx(nll + beta * kl, rel=1e-5)
    # A step of length zero reports the loss of new draws.
    history = model.fit(x, batch_size=16, verbose=0).history
    assert set(history) == {"loss", "reconstruction", "kl"}


def test_mean_over_batches_is_the_mean_over_images(images):
    whole, parts = bernoulli_vae(), bernoulli_vae()
    kl = [
        model.evaluate(images, batch_size=size, verbose=0, return_dict=True)["kl"]
        for model, size in ((whole, 16), (parts, 10))
    ]
    assert kl[0] == pytest.approx(kl[1], rel=1e-5)


def test_gradient_is_that_of_the_elbo_with_the_noise_fixed():
    model, x, _ = linear_gaussian("wrong")
    model.beta = 3.0
    with tf.GradientTape() as tape:
        answer = model(x, training=True)
        loss = model.compute_loss(x=x, y_pred=answer)
    variables = [*model.encoder.weights, *model.decoder.weights]
    gradients = tape.gradient(loss, [variable.value for variable in variables])
    sd = np.exp(np.asarray(answer["log_var"], "float64") / 2)
    z, mu = (np.asarray(answer[name], "float64") for name in ("z", "mu"))
    noise = (z - mu) / sd

    def elbo(encoder, bias, decoder, shift):
        mu, log_var = np.split(x @ encoder + bias, 2, axis=1)
        z = mu + np.exp(log_var / 2) * noise
        log_p = norm(z @ decoder + shift, SIGMA).logpdf(x).sum(axis=1)
        return np.mean(log_p - 3.0 * kl_of({"mu": mu, "log_var": log_var}))

    x = x.astype("float64")
    start = [np.asarray(variable.value, "float64") for variable in variables]
    assert float(loss) == pytest.approx(-elbo(*start), rel=1e-4)
    for i, gradient in enumerate(gradients):
        for index in np.ndindex(start[i].shape):
            ends = []
            for step in (1e-5, -1e-5):
                moved = [each.copy() for each in start]
                moved[i][index] += step
                ends.append(-elbo(*moved))
            slope = (ends[0] - ends[1]) / 2e-5
            assert float(gradient[index]) == pytest.approx(slope, rel=1e-4, abs=1e-4)


def test_the_divergence_alone_moves_the_encoder_and_not_the_decoder(images):
    model = bernoulli_vae()
    with tf.GradientTape() as tape:
        answer = model(images, training=True)
        model.nll(images, answer["output"])
        kl = model.compute_loss(
            x=images, y_pred={**answer, "output": tf.stop_gradient(answer["output"])}
        )
    weights = [[w.value for w in net.weights] for net in (model.encoder, model.decoder)]
    encoder, decoder = tape.gradient(kl, weights)
    assert all(np.abs(gradient).max() > 0 for gradient in encoder)
    assert all(gradient is None for gradient in decoder)


def test_training_raises_the_elbo_and_moves_every_weight(images):
    model = bernoulli_vae()
    before = model.get_weights()
    model.compile(optimizer=keras.optimizers.Adam(1e-2), run_eagerly=True)
    x = np.repeat((images > 0.9).astype("float32"), 4, axis=0)
    loss = model.fit(x, batch_size=16, epochs=3, verbose=0).history["loss"]
    assert loss[-1] < loss[0] - 50
    network = len(model.encoder.weights) + len(model.decoder.weights)
    moved = [
        np.abs(a - b).max() > 0
        for a, b in zip(before, model.get_weights(), strict=True)
    ]
    assert sum(moved) >= network


# Images


def test_mean_images_are_probabilities_or_the_output_itself():
    z = np.random.default_rng(0).normal(size=(6, 2)).astype("float32")
    coins = bernoulli_vae()
    np.testing.assert_allclose(
        coins.decode(z), expit(np.asarray(coins.decoder(z))), rtol=1e-5
    )
    model = linear_gaussian()[0]
    np.testing.assert_array_equal(model.decode(z), model.decoder(z))


def test_generated_images_are_decoded_draws_of_the_prior():
    model, n = linear_gaussian()[0], 20_000
    images = np.asarray(model.generate(n), "float64")
    weights = np.asarray(model.decoder.get_weights()[0], "float64")
    cov = weights.T @ weights
    sd = np.sqrt(np.diag(cov))
    assert np.all(np.abs(images.mean(axis=0) - B) < 5 * sd / np.sqrt(n))
    np.testing.assert_allclose(np.cov(images.T), cov, atol=0.05 * cov.max())
    assert np.abs(np.asarray(model.generate(3)) - images[:3]).max() > 0
    coins = np.asarray(bernoulli_vae().generate(3))
    assert coins.shape == (3, 28, 28) and 0 <= coins.min() <= coins.max() <= 1


# log p(x)


@pytest.mark.parametrize(
    ("samples", "chunk", "batch_size"), [(1, 1, 200), (6, 3, 7), (6, 6, 40), (6, 1, 1)]
)
def test_bound_is_tight_with_the_exact_posterior(samples, chunk, batch_size):
    model, x, exact = linear_gaussian()
    bound = log_likelihood_bound(model, x, samples, chunk, batch_size)
    np.testing.assert_allclose(bound, exact, rtol=1e-4, atol=1e-4)


def test_bound_of_a_wrong_posterior_starts_at_the_elbo_and_rises_to_the_truth():
    model, x, exact = linear_gaussian("wrong")
    x, exact = x[:8], exact[:8]
    tiled = np.tile(x, (2000, 1))
    bounds = [
        log_likelihood_bound(model, tiled, k, k, 16_000).reshape(2000, 8)
        for k in (1, 3, 10)
    ]
    means = [bound.mean(axis=0) for bound in bounds]
    # In closed form: the ELBO misses the truth by the divergence of the posteriors,
    # whose means and log-variances differ by what `linear_gaussian` adds.
    precision = np.exp(-model.encoder.get_weights()[1][2:] + [0.5, 0.4])
    ratio = np.exp([0.5, 0.4])
    shift = np.array([0.3, -0.2]) ** 2 * precision
    miss = (ratio - 1 - np.log(ratio) + shift).sum() / 2
    error = 5 * bounds[0].std(axis=0) / np.sqrt(2000)
    assert np.all(np.abs(means[0] - (exact - miss)) < error)
    assert means[0].mean() + 0.01 < means[1].mean() < means[2].mean() < exact.mean()
    many = log_likelihood_bound(model, x, samples=20_000, chunk=2000)
    np.testing.assert_allclose(many, exact, atol=0.05)


def test_chunks_and_batches_change_the_bound_by_chance_only():
    model, x, _ = linear_gaussian("wrong")
    means = [
        log_likelihood_bound(model, x, 4000, chunk, batch_size)
        for chunk, batch_size in ((4000, 200), (500, 200), (4000, 13), (1000, 40))
    ]
    for other in means[1:]:
        np.testing.assert_allclose(other, means[0], atol=0.1)


def test_bound_repeats_itself_and_leaves_the_models_random_numbers_alone(images):
    model = bernoulli_vae()
    x = (images > 0.5).astype("float32")
    before = np.asarray(model.seed_generator.state.value)
    first = log_likelihood_bound(model, x, samples=4, chunk=2, seed=1)
    assert first.shape == (16,)
    np.testing.assert_array_equal(model.seed_generator.state.value, before)
    again = log_likelihood_bound(model, x, samples=4, chunk=2, seed=1)
    np.testing.assert_array_equal(again, first)
    other = log_likelihood_bound(model, x, samples=4, chunk=2, seed=2)
    assert np.abs(other - first).min() > 0


def test_bound_of_images_with_impossible_pixels_is_finite():
    decoder = dense(2, np.zeros((2, 3)), np.full(3, 1e4))
    model = VAE(dense(3, np.zeros((3, 4)), np.zeros(4)), decoder)
    bound = log_likelihood_bound(model, np.zeros((2, 3), "float32"), 4, 2)
    np.testing.assert_allclose(bound, -3e4, rtol=1e-4)


@pytest.mark.parametrize(
    ("samples", "chunk"), [(0, 1), (5, 0), (5, 2), (2, 4), (-4, 2)]
)
def test_draws_come_in_whole_chunks(samples, chunk):
    model, x, _ = linear_gaussian()
    with pytest.raises(
        ValueError, match="samples must be a positive multiple of chunk"
    ):
        log_likelihood_bound(model, x, samples, chunk)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"likelihood": "laplace"}, "likelihood must be one of .*'laplace'"),
        ({"sigma": 0}, "sigma must be above 0, got 0"),
        ({"sigma": -1}, "sigma must be above 0, got -1"),
        ({"sigma": float("inf")}, "sigma must be above 0, got inf"),
        ({"sigma": float("nan")}, "sigma must be above 0, got nan"),
        ({"beta": -0.5}, "beta must be 0 or more, got -0.5"),
        ({"beta": float("nan")}, "beta must be 0 or more, got nan"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(settings, message):
    with pytest.raises(ValueError, match=message):
        bernoulli_vae(**settings)


@pytest.mark.parametrize("features", [2, 5])
def test_an_encoder_of_the_wrong_size_is_refused(features):
    with pytest.raises(
        ValueError, match=f"encoder must return 2 x 2 .* got {features}"
    ):
        VAE(networks.dense_encoder(features), networks.dense_decoder(2))
