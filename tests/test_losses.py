import keras
import numpy as np
import pytest
import scipy.integrate
from scipy.special import expit, xlogy
from scipy.stats import bernoulli, norm

from sslkit import losses

PAIRS = {
    "squared_error": losses.squared_error,
    "bernoulli_nll": losses.bernoulli_nll,
    "gaussian_nll": lambda x, a: losses.gaussian_nll(x, a, 0.3),
    "gaussian_kl": losses.gaussian_kl,
    "elbo": lambda x, a: sum(
        losses.elbo_terms(losses.squared_error(x, a), x, a).values()
    ),
    "game": lambda x, a: sum(losses.discriminator_terms(x, a).values()),
    "non_saturating": lambda x, a: losses.non_saturating(a),
    "contraction": lambda x, a: losses.contraction(lambda h: h**2, x, a),
}
every = pytest.mark.parametrize("loss", PAIRS.values(), ids=PAIRS)


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    return rng.random((5, 4, 3)), rng.normal(size=(5, 4, 3))


def test_squared_error_is_a_gaussian_log_likelihood_up_to_a_constant(batch):
    x, x_hat = batch
    nll = -norm(loc=x_hat, scale=1.0).logpdf(x).sum(axis=(1, 2))
    constant = x[0].size * np.log(2 * np.pi) / 2
    np.testing.assert_allclose(
        losses.squared_error(x, x_hat), 2 * (nll - constant), rtol=1e-5
    )


def test_bernoulli_nll_agrees_with_scipy_on_binary_pixels(batch):
    x, logits = (batch[0] > 0.5).astype(float), batch[1]
    expected = -bernoulli(expit(logits)).logpmf(x).sum(axis=(1, 2))
    np.testing.assert_allclose(losses.bernoulli_nll(x, logits), expected, rtol=1e-5)


def test_bernoulli_nll_of_grey_pixels_is_least_at_their_entropy():
    x = np.linspace(0.05, 0.95, 19).reshape(1, 19)
    entropy = -(xlogy(x, x) + xlogy(1 - x, 1 - x)).sum()
    best_logits = np.log(x / (1 - x))
    assert float(losses.bernoulli_nll(x, best_logits)[0]) == pytest.approx(
        entropy, rel=1e-5
    )
    for shift in (-0.1, 0.1):
        assert float(losses.bernoulli_nll(x, best_logits + shift)[0]) > entropy


def test_bernoulli_nll_survives_extreme_logits():
    x, logits = np.array([[0.0, 1.0, 1.0]]), np.array([[-1e4, 1e4, -1e4]])
    assert float(losses.bernoulli_nll(x, logits)[0]) == pytest.approx(1e4)


@every
def test_gradient_agrees_with_finite_differences(loss, batch):
    import tensorflow as tf

    x, a = (tf.constant(array, tf.float64) for array in batch)
    with tf.GradientTape() as tape:
        tape.watch(a)
        total = tf.reduce_sum(loss(x, a))
    gradient = tape.gradient(total, a).numpy()
    step = 1e-6
    for index in [(0, 0, 0), (2, 3, 1), (4, 1, 2)]:
        nudge = np.zeros(a.shape)
        nudge[index] = step
        above, below = (np.sum(loss(x, a + s * nudge)) for s in (1, -1))
        assert gradient[index] == pytest.approx((above - below) / (2 * step), rel=1e-5)


@every
def test_float16_stays_finite(loss, batch):
    x, a = (keras.ops.cast(array, "float16") for array in batch)
    assert np.isfinite(np.asarray(loss(x, a))).all()


@pytest.mark.parametrize(
    "loss",
    [PAIRS[name] for name in ("squared_error", "bernoulli_nll", "gaussian_nll")]
    + [PAIRS[name] for name in ("gaussian_kl", "contraction")],
)
@pytest.mark.parametrize("shape", [(5, 4, 1), (1, 4, 3), (5, 12)])
def test_shapes_that_would_broadcast_are_refused(loss, shape):
    with pytest.raises(ValueError, match=r"must have the same shape.*\(5, 4, 3\)"):
        loss(np.zeros((5, 4, 3)), np.zeros(shape))


# Likelihoods, divergences, bounds


@pytest.mark.parametrize("sigma", [0.05, 1.0, 3.0])
def test_gaussian_nll_agrees_with_scipy(batch, sigma):
    x, mean = batch
    expected = -norm(mean, sigma).logpdf(x).sum(axis=(1, 2))
    np.testing.assert_allclose(losses.gaussian_nll(x, mean, sigma), expected, rtol=1e-5)


@pytest.mark.parametrize("sigma", [0, -0.1, float("inf"), float("nan")])
def test_a_width_that_is_none_is_refused(batch, sigma):
    with pytest.raises(ValueError, match="sigma must be above 0, got"):
        losses.gaussian_nll(*batch, sigma)


@pytest.mark.parametrize(
    ("mu", "variance"), [(0.0, 1.0), (1.5, 1.0), (0.0, 0.01), (-2.0, 6.0)]
)
def test_gaussian_kl_is_the_integral_that_defines_it(mu, variance):
    q, p = norm(mu, np.sqrt(variance)), norm()
    ends = mu + 12 * np.sqrt(variance) * np.array([-1, 1])
    expected, _ = scipy.integrate.quad(
        lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), *ends, points=[mu]
    )
    kl = losses.gaussian_kl(np.array([[mu]]), np.log([[variance]]))
    assert float(kl[0]) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_gaussian_kl_adds_up_over_the_code_and_agrees_with_monte_carlo():
    rng = np.random.default_rng(0)
    mu, log_var = rng.normal(size=(2, 4, 3))
    q = norm(mu, np.exp(log_var / 2))
    z = q.rvs((20_000, 4, 3), random_state=1)
    log_ratio = (q.logpdf(z) - norm.logpdf(z)).sum(axis=-1)
    error = 5 * log_ratio.std(axis=0) / np.sqrt(20_000)
    kl = np.asarray(losses.gaussian_kl(mu, log_var))
    assert kl.shape == (4,) and np.all(np.abs(kl - log_ratio.mean(axis=0)) < error)


def test_gaussian_kl_keeps_its_digits_close_to_the_prior_and_is_never_negative():
    # To second order the divergence is a quarter of the square of the log-variance.
    log_var = np.array([[1e-3], [-1e-3], [0.0]], "float32")
    kl = np.asarray(losses.gaussian_kl(np.zeros_like(log_var), log_var))
    np.testing.assert_allclose(kl, [2.5e-7, 2.5e-7, 0], rtol=2e-3)
    assert kl.min() >= 0


def test_elbo_terms_are_named_and_one_value_per_image(batch):
    nll, mu, log_var = np.arange(5.0), batch[0][:, 0], batch[1][:, 0]
    terms = losses.elbo_terms(nll, mu, log_var)
    assert list(terms) == ["reconstruction", "kl"]
    np.testing.assert_array_equal(terms["reconstruction"], nll)
    cross = (np.log(2 * np.pi) + mu**2 + np.exp(log_var)) / 2
    expected = (cross - norm(mu, np.exp(log_var / 2)).entropy()).sum(axis=1)
    np.testing.assert_allclose(terms["kl"], expected, rtol=1e-5)


@pytest.mark.parametrize("shape", [(), (5, 3), (5, 1)])
def test_elbo_takes_one_likelihood_per_image(shape):
    with pytest.raises(ValueError, match=r"nll must have shape \[batch\]"):
        losses.elbo_terms(np.zeros(shape), np.zeros((5, 2)), np.zeros((5, 2)))


def model_weights(x, draws, posterior):
    """Log-weights of z ~ N(0, 1), x | z ~ N(2 z, 0.5), and log p(x) besides."""
    q = {
        "exact": norm(2 * x / (4 + 0.25), np.sqrt(0.25 / (4 + 0.25))),
        "wrong": norm(0.4 * x, 0.5 * np.ones_like(x)),
    }[posterior]
    z = q.rvs((draws, len(x)), random_state=0)
    log_w = norm(2 * z, 0.5).logpdf(x) + norm.logpdf(z) - q.logpdf(z)
    return log_w, norm(0, np.sqrt(4 + 0.25)).logpdf(x)


@pytest.mark.parametrize("draws", [1, 7])
def test_importance_weighted_bound_is_tight_with_the_exact_posterior(draws):
    log_w, exact = model_weights(np.linspace(-3, 3, 5), draws, "exact")
    bound = losses.importance_weighted_bound(log_w)
    np.testing.assert_allclose(bound, exact, rtol=1e-6)


def test_importance_weighted_bound_rises_with_the_draws_to_the_truth():
    log_w, exact = model_weights(np.linspace(-3, 3, 5), 50_000, "wrong")
    means = []
    for k in (1, 2, 5, 50, 50_000):
        groups = log_w.reshape(k, -1, 5)  # 50,000 / k sets of k draws
        flat = groups.reshape(k, -1)
        bound = np.asarray(losses.importance_weighted_bound(flat)).reshape(-1, 5)
        means.append(bound.mean(axis=0))
    np.testing.assert_allclose(means[0], log_w.mean(axis=0), rtol=1e-6)
    assert np.all(np.diff(means, axis=0)[:3] > 0) and np.all(means[3] < exact + 0.02)
    np.testing.assert_allclose(means[-1], exact, atol=0.05)


def test_importance_weighted_bound_survives_tiny_weights():
    log_w = np.array([[-1e6, -5e4], [-1e6, -1e6]], "float32")
    bound = np.asarray(losses.importance_weighted_bound(log_w))
    np.testing.assert_allclose(bound, [-1e6, -5e4 - np.log(2)], rtol=1e-7)


@pytest.mark.parametrize("shape", [(3,), (3, 2, 2)])
def test_importance_weights_come_draw_by_draw(shape):
    with pytest.raises(ValueError, match=r"log_w must have shape \[K, batch\]"):
        losses.importance_weighted_bound(np.zeros(shape))


# Games


def test_terms_of_the_game_are_logarithms_of_probabilities():
    real, fake = np.random.default_rng(0).normal(size=(2, 6, 1), scale=3)
    terms = losses.discriminator_terms(real, fake)
    assert list(terms) == ["real", "fake"]
    np.testing.assert_allclose(terms["real"], -np.log(expit(real[:, 0])), rtol=1e-5)
    np.testing.assert_allclose(terms["fake"], -np.log(1 - expit(fake[:, 0])), rtol=1e-5)
    np.testing.assert_allclose(
        losses.non_saturating(fake), -np.log(expit(fake[:, 0])), rtol=1e-5
    )


def test_the_game_survives_certain_discriminators():
    sure = np.array([[1000.0], [-1000.0]], "float32")
    terms = losses.discriminator_terms(sure, sure)
    np.testing.assert_array_equal(terms["real"], [0, 1000])
    np.testing.assert_array_equal(terms["fake"], [1000, 0])
    np.testing.assert_array_equal(losses.non_saturating(sure), [0, 1000])


def test_critic_terms_of_a_linear_critic_have_a_closed_form():
    weight = np.array([3.0, 4.0])  # of slope 5, here times 1 to 6
    real, fake = np.random.default_rng(0).normal(size=(2, 6, 2))
    terms = losses.critic_terms(
        (real @ weight)[:, None],
        (fake @ weight)[:, None],
        weight * np.arange(1, 7)[:, None],
    )
    assert list(terms) == ["wasserstein", "penalty"]
    np.testing.assert_allclose(terms["wasserstein"], (fake - real) @ weight, rtol=1e-5)
    np.testing.assert_allclose(
        terms["penalty"], (5 * np.arange(1, 7) - 1) ** 2, rtol=1e-5
    )


def test_the_slope_is_measured_over_all_axes_of_an_image_and_may_be_zero():
    import tensorflow as tf

    gradients = tf.constant(np.stack([np.full((4, 4), 0.5), np.zeros((4, 4))]))
    with tf.GradientTape() as tape:
        tape.watch(gradients)
        zero = tf.zeros((2, 1))
        penalty = losses.critic_terms(zero, zero, gradients)["penalty"]
    np.testing.assert_allclose(penalty, [1, 1], rtol=1e-4)  # slopes 2 and 0
    assert np.isfinite(tape.gradient(penalty, gradients)).all()


def test_contraction_of_a_linear_encoder_is_the_length_of_what_it_does():
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(12, 3))
    x, v = rng.random((50_000, 4, 3)), rng.normal(size=(50_000, 4, 3))

    def encoder(images):
        return images.reshape(-1, 12) @ weight + 5

    estimates = np.asarray(losses.contraction(encoder, x, v))
    expected = ((v.reshape(-1, 12) @ weight) ** 2).sum(axis=1)
    np.testing.assert_allclose(estimates, expected, rtol=1e-6)
    error = 5 * estimates.std() / np.sqrt(50_000)
    assert abs(estimates.mean() - (weight**2).sum()) < error


def test_contraction_of_a_curved_encoder_is_the_norm_of_its_jacobian():
    rng = np.random.default_rng(1)
    weight, x = rng.normal(size=(5, 3)), rng.random((1, 5))
    jacobian = weight * (1 - np.tanh(x @ weight) ** 2)
    v = rng.normal(size=(100_000, 5))
    estimates = np.asarray(
        losses.contraction(
            lambda a: np.tanh(a @ weight), np.tile(x, (100_000, 1)), v, 1e-4
        )
    )
    error = 5 * estimates.std() / np.sqrt(100_000)
    assert abs(estimates.mean() - (jacobian**2).sum()) < error


def test_the_default_step_of_contraction_suits_single_precision():
    rng = np.random.default_rng(2)
    weight = rng.normal(size=(784, 8)).astype("float32") / 28
    x, v = rng.random((20, 784)).astype("float32"), rng.normal(size=(20, 784))

    def encoder(images):
        return keras.ops.tanh(keras.ops.matmul(images, weight))

    slopes = 1 - np.tanh(x.astype("float64") @ weight) ** 2
    expected = ((slopes * (v @ weight)) ** 2).sum(axis=1)
    estimates = losses.contraction(encoder, x, v.astype("float32"))
    np.testing.assert_allclose(estimates, expected, rtol=0.1)


# All


@every
def test_each_image_has_a_loss_of_its_own(loss, batch):
    order = [3, 0, 4, 2, 1]
    values = np.asarray(loss(*batch))
    assert values.shape == (5,)
    shuffled = loss(batch[0][order], batch[1][order])
    np.testing.assert_allclose(shuffled, values[order], rtol=1e-6)
