"""Losses without negatives against NumPy and closed forms; models as Keras models."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from sslkit import augment, losses, networks
from sslkit.noncontrastive import BYOL, BarlowTwins, SimSiam, VICReg, batchnorm_mlp


@pytest.fixture
def z():
    rng = np.random.default_rng(0)
    z_a = rng.normal(size=(16, 5))
    return z_a, 0.7 * z_a + rng.normal(size=(16, 5))


# ------------------------------------------------------------------------- losses


def test_negative_cosine_is_half_the_squared_distance_on_the_sphere(z):
    unit_a, unit_b = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in z)
    expected = ((unit_a - unit_b) ** 2).sum(axis=1) / 2 - 1
    np.testing.assert_allclose(losses.negative_cosine(*z), expected, atol=1e-6)
    np.testing.assert_allclose(
        losses.negative_cosine(3 * z[0], z[1]), expected, atol=1e-6
    )


def test_barlow_terms_are_sums_over_numpys_correlations(z):
    C = np.corrcoef(*z, rowvar=False)[:5, 5:]
    off = ~np.eye(5, dtype=bool)
    terms = losses.barlow_terms(*z)
    assert float(terms["invariance"]) == pytest.approx(
        ((1 - np.diag(C)) ** 2).sum(), 1e-5
    )
    assert float(terms["redundancy"]) == pytest.approx((C[off] ** 2).sum(), 1e-5)


def test_barlow_terms_ignore_shift_and_scale_of_each_number(z):
    rng = np.random.default_rng(1)
    scale, shift = rng.uniform(0.5, 2, 5), rng.normal(size=5)
    one, two = losses.barlow_terms(*z), losses.barlow_terms(z[0] * scale + shift, z[1])
    for name in one:
        assert float(one[name]) == pytest.approx(float(two[name]), rel=1e-4)


def test_barlow_terms_of_a_collapsed_batch_are_finite_and_count_as_uncorrelated():
    terms = losses.barlow_terms(np.ones((8, 3)), np.ones((8, 3)))
    assert {name: float(term) for name, term in terms.items()} == {
        "invariance": 3.0,
        "redundancy": 0.0,
    }


def test_vicreg_terms_are_the_authors_formulas(z):
    terms = losses.vicreg_terms(*z)
    invariance = variance = covariance = 0.0
    for i in range(16):
        for j in range(5):
            invariance += (z[0][i, j] - z[1][i, j]) ** 2 / (16 * 5)
    for view in z:
        cov = np.cov(view, rowvar=False)
        for i in range(5):
            variance += max(0.0, 1 - np.sqrt(cov[i, i] + 1e-4)) / (2 * 5)
            covariance += sum(cov[i, j] ** 2 for j in range(5) if j != i) / 5
    expected = {
        "invariance": invariance,
        "variance": variance,
        "covariance": covariance,
    }
    for name, value in expected.items():
        assert float(terms[name]) == pytest.approx(value, rel=1e-5, abs=1e-7)


def test_variance_term_vanishes_exactly_when_all_numbers_vary_enough(z):
    z_a = z[0] / z[0].std(axis=0, ddof=1)
    assert float(losses.vicreg_terms(z_a, z_a)["variance"]) == 0
    assert float(losses.vicreg_terms(0.9 * z_a, z_a)["variance"]) > 0


TWO_VIEWS = {
    "cosine": lambda a, b: ops.mean(losses.negative_cosine(a, b)),
    "barlow": lambda a, b: sum(losses.barlow_terms(a, b).values()),
    "vicreg": lambda a, b: sum(losses.vicreg_terms(a, b).values()),
}


@pytest.mark.parametrize("loss", TWO_VIEWS.values(), ids=TWO_VIEWS)
def test_gradients_agree_with_finite_differences(loss, z):
    z_a, z_b = (v.astype("float32") for v in z)
    variable = tf.Variable(z_a)
    with tf.GradientTape() as tape:
        value = loss(variable, z_b)
    gradient = tape.gradient(value, variable).numpy()
    direction = np.random.default_rng(2).normal(size=z_a.shape).astype("float32")
    h = 1e-2
    rise = float(loss(z_a + h * direction, z_b)) - float(loss(z_a - h * direction, z_b))
    assert (gradient * direction).sum() == pytest.approx(rise / (2 * h), rel=1e-2)


@pytest.mark.parametrize("loss", TWO_VIEWS.values(), ids=TWO_VIEWS)
def test_losses_are_symmetric_finite_in_float16_and_refuse_other_shapes(loss, z):
    assert float(loss(*z)) == pytest.approx(float(loss(*z[::-1])), rel=1e-5)
    large = [(100 * v).astype("float16") for v in z]
    assert np.isfinite(float(loss(*large)))
    with pytest.raises(ValueError, match="must have the same shape"):
        loss(z[0], z[1][:4])


# ------------------------------------------------------------------------- models


@pytest.fixture
def images():
    """Coarse patterns, which survive a rotation and a shift."""
    coarse = np.random.default_rng(0).random((40, 4, 4)) > 0.5
    return coarse.repeat(7, axis=1).repeat(7, axis=2).astype("float32")


def make(kind, seed=0, **kwargs):
    keras.utils.set_random_seed(seed)
    if issubclass(kind, SimSiam):
        kwargs["predictor"] = batchnorm_mlp(6, 32, 6)
    return kind(
        networks.batchnorm_encoder(8, channels=(4, 8)),
        batchnorm_mlp(8, 32, 6, normalise=issubclass(kind, SimSiam)),
        augment.RandomAffine(10, shift=2, seed=seed),
        **kwargs,
    )


OWN = {
    SimSiam: {"stop_gradient": True},
    BYOL: {"momentum": 0.75},
    BarlowTwins: {"weight": 0.25},
    VICReg: {"invariance": 20.0, "variance": 15.0, "covariance": 2.0},
}


@pytest.mark.parametrize("kind", OWN)
def test_training_lowers_the_loss_and_the_saved_model_is_the_same(
    kind, images, tmp_path
):
    model = make(kind, **OWN[kind])
    # Compiling these small networks takes longer than running them.
    model.compile(optimizer=keras.optimizers.Adam(3e-3), jit_compile=False)
    fit = model.fit(images, batch_size=20, epochs=8, shuffle=False, verbose=0)
    assert np.mean(fit.history["loss"][-3:]) < fit.history["loss"][0]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False)
    assert type(loaded) is kind
    for name in OWN[kind]:
        assert loaded.get_config()[name] == OWN[kind][name]
    for old, new in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    np.testing.assert_array_equal(model.encoder(images), loaded.encoder(images))


def test_loss_of_simsiam_is_that_of_its_answer_in_both_directions(images):
    model = make(SimSiam)
    answer = {name: np.asarray(value) for name, value in model(images).items()}
    p, z = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in answer.values())
    crossed = -(p[:40] * z[40:]).sum(1).mean() / 2 - (p[40:] * z[:40]).sum(1).mean() / 2
    assert float(model.compute_loss(y_pred=answer)) == pytest.approx(crossed, rel=1e-4)


@pytest.mark.parametrize("stop_gradient", [True, False])
def test_stopping_the_gradient_stops_it_and_nothing_else(images, stop_gradient):
    model = make(SimSiam, stop_gradient=stop_gradient)
    p, z = (
        np.random.default_rng(i).normal(size=(8, 6)).astype("float32") for i in (0, 1)
    )
    z = tf.Variable(z)
    with tf.GradientTape() as tape:
        loss = model.compute_loss(
            y_pred={"p": ops.convert_to_tensor(p), "z": z.value()}
        )
    gradient = tape.gradient(loss, z)
    assert (gradient is None) == stop_gradient


def test_byol_copy_follows_at_its_momentum_and_has_no_gradient(images):
    model = make(BYOL, momentum=0.9)
    learnt = model.encoder.trainable_variables + model.projector.trainable_variables
    pairs = {w.path: w for w in learnt}
    assert not {id(w) for w in model.trainable_variables} & {
        id(w) for w in model.target.weights
    }
    # Towards a constant: after k steps the part m^k of the start is left.
    network = model.encoder.weights + model.projector.weights
    slow = [
        (t, w)
        for t, w in zip(model.target.weights, network, strict=True)
        if w.path in pairs
    ]
    start = [t.numpy() for t, _ in slow]
    assert all(np.array_equal(t, w) for t, w in slow)
    for _, w in slow:
        w.assign(ops.ones_like(w))
    model.compile(optimizer=keras.optimizers.SGD(0.0), jit_compile=False)
    model.fit(images, batch_size=8, verbose=0)
    for (t, _), first in zip(slow, start, strict=True):
        np.testing.assert_allclose(t, 0.9**5 * first + 1 - 0.9**5, atol=1e-5)


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_loss_of_barlow_twins_is_the_weighted_sum_a_number(images, weight):
    model = make(BarlowTwins, weight=weight)
    z = np.asarray(model(images))
    C = np.corrcoef(z[:40], z[40:], rowvar=False)[:6, 6:]
    total = ((1 - np.diag(C)) ** 2).sum() + weight * (
        C[~np.eye(6, dtype=bool)] ** 2
    ).sum()
    assert float(model.compute_loss(y_pred=z)) == pytest.approx(total / 6, rel=1e-3)


def test_loss_of_vicreg_is_the_weighted_sum(images):
    model = make(VICReg, invariance=2.0, variance=3.0, covariance=5.0)
    z = np.asarray(model(images))
    terms = losses.vicreg_terms(z[:40], z[40:])
    total = sum(k * float(t) for k, t in zip((2, 3, 5), terms.values(), strict=True))
    assert float(model.compute_loss(y_pred=z)) == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize(
    ("kind", "argument"),
    [
        (BYOL, {"momentum": 1.1}),
        (BarlowTwins, {"weight": -1.0}),
        (VICReg, {"variance": -1.0}),
    ],
)
def test_bad_arguments_are_named(kind, argument):
    (name,) = argument
    with pytest.raises(ValueError, match=f"{name} must be"):
        make(kind, **argument)
