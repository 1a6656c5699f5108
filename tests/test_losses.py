import keras
import numpy as np
import pytest
from scipy.special import expit, xlogy
from scipy.stats import bernoulli, norm

from sslkit import losses


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


@pytest.mark.parametrize("loss", [losses.squared_error, losses.bernoulli_nll])
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


@pytest.mark.parametrize("loss", [losses.squared_error, losses.bernoulli_nll])
def test_float16_stays_finite(loss, batch):
    x, a = (keras.ops.cast(array, "float16") for array in batch)
    assert np.isfinite(np.asarray(loss(x, a))).all()


@pytest.mark.parametrize("loss", [losses.squared_error, losses.bernoulli_nll])
@pytest.mark.parametrize("shape", [(5, 4, 1), (1, 4, 3), (5, 12)])
def test_shapes_that_would_broadcast_are_refused(loss, shape):
    with pytest.raises(ValueError, match=r"must have the same shape.*\(5, 4, 3\)"):
        loss(np.zeros((5, 4, 3)), np.zeros(shape))
