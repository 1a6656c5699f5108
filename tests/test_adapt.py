"""Entropy, statistics of the stream, and Tent, against independent computations."""

import keras
import numpy as np
import pytest
from scipy.special import log_softmax
from scipy.stats import entropy as scipy_entropy

from sslkit import adapt


def classifier(seed=0):
    """A small one with two batch normalisations, one of them in an inner model."""
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    inner = keras.Sequential(
        [keras.Input((5,)), layers.Dense(6), layers.BatchNormalization(), layers.ReLU()]
    )
    return keras.Sequential(
        [keras.Input((5,)), inner, layers.BatchNormalization(), layers.Dense(3)]
    )


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(1, 3, (40, 5)).astype("float32")


def test_entropy_is_scipys_and_does_not_overflow():
    logits = np.random.default_rng(0).normal(0, 5, (20, 4))
    wanted = scipy_entropy(np.exp(log_softmax(logits, axis=1)), axis=1)
    assert np.allclose(adapt.entropy(logits), wanted, atol=1e-6)
    assert np.allclose(adapt.entropy(np.array([[1e4, 0.0, -1e4]])), 0, atol=1e-6)


def test_statistics_of_a_batch_are_its_moments(x):
    model = classifier()
    first, second = adapt.normalisations(model)
    out = np.asarray(adapt.update_statistics(model, x))
    inside = x @ model.layers[0].layers[0].get_weights()[0]
    assert np.allclose(first.moving_mean, inside.mean(axis=0), atol=1e-4)
    assert np.allclose(first.moving_variance, inside.var(axis=0), rtol=1e-4)
    # With weight 1 the answer is that of Keras in training mode.
    assert np.allclose(out, classifier()(x, training=True), atol=1e-4)
    # The second layer saw what the first one sent under its new statistics.
    hidden = np.maximum((inside - inside.mean(0)) / np.sqrt(inside.var(0) + 1e-3), 0)
    assert np.allclose(second.moving_mean, hidden.mean(axis=0), atol=1e-4)


def test_statistics_follow_the_stream_as_a_moving_mean():
    layer = keras.layers.BatchNormalization()
    model = keras.Sequential([keras.Input((2, 2, 1)), layer])
    batches = np.random.default_rng(3).normal(2, 1, (4, 5, 2, 2, 1)).astype("float32")
    mean, variance = 0.0, 1.0
    for batch in batches:
        adapt.update_statistics(model, batch, weight=0.3)
        mean = 0.7 * mean + 0.3 * batch.mean()
        variance = 0.7 * variance + 0.3 * batch.var()
    assert np.allclose(layer.moving_mean, mean, atol=1e-5)
    assert np.allclose(layer.moving_variance, variance, atol=1e-5)


def mean_entropy(model, x):
    return float(np.mean(adapt.entropy(model(x, training=True))))


def test_tent_takes_the_step_that_finite_differences_give(x):
    model, rate, small = classifier(1), 0.5, 1e-2
    tent = adapt.Tent(model, keras.optimizers.SGD(rate))
    assert len(tent.variables) == 4  # a scale and an offset for each of two layers
    before = [variable.numpy().copy() for variable in tent.variables]
    frozen = [w.copy() for w in model.layers[0].layers[0].get_weights()]
    reference = np.asarray(model(x, training=True))
    assert np.allclose(tent(x), reference, atol=1e-5)  # predicts first
    after = [variable.numpy().copy() for variable in tent.variables]
    for variable, old in zip(tent.variables, before, strict=True):
        variable.assign(old)
    for variable, old, new in zip(tent.variables, before, after, strict=True):
        for i in range(len(old)):
            slope = 0.0
            for sign in (1, -1):
                moved = old.copy()
                moved[i] += sign * small
                variable.assign(moved)
                slope += sign * mean_entropy(model, x) / (2 * small)
            variable.assign(old)
            assert abs((old[i] - new[i]) / rate - slope) < 2e-3
    assert all(
        np.array_equal(a, b)
        for a, b in zip(frozen, model.layers[0].layers[0].get_weights(), strict=True)
    )


def test_tent_lowers_the_entropy(x):
    model = classifier(2)
    tent = adapt.Tent(model, keras.optimizers.Adam(1e-2))
    before = mean_entropy(model, x)
    for _ in range(20):
        tent(x)
    assert mean_entropy(model, x) < 0.9 * before


def test_tent_compiled_and_not_are_the_same(x):
    compiled, plain = (
        adapt.Tent(classifier(3), keras.optimizers.SGD(0.1)) for _ in range(2)
    )
    for _ in range(2):
        assert np.allclose(compiled(x), plain.step(x), atol=1e-5)


@pytest.mark.parametrize("weight", [0, -0.1, 1.5, float("nan")])
def test_weight_out_of_range(x, weight):
    with pytest.raises(ValueError, match="weight must be above 0"):
        adapt.update_statistics(classifier(), x, weight)


def test_models_without_anything_to_adapt(x):
    plain = keras.Sequential([keras.Input((5,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="no batch normalisation"):
        adapt.update_statistics(plain, x)
    functional = keras.Model(plain.inputs, plain.outputs)
    with pytest.raises(ValueError, match="must be a keras.Sequential"):
        adapt.Tent(functional, keras.optimizers.SGD(0.1))
