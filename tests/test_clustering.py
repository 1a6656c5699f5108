"""Sinkhorn, swapped prediction, distillation, mutual information; three models."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.optimize import linear_sum_assignment

from sslkit import augment, clustering, networks


def slow_sinkhorn(scores, epsilon, steps):
    """The matrix itself, rows and columns divided in turn, in double precision."""
    q = np.exp(np.asarray(scores, np.float64) / epsilon)
    batch, clusters = q.shape
    for _ in range(steps):
        for k in range(clusters):
            q[:, k] *= (batch / clusters) / q[:, k].sum()
        for i in range(batch):
            q[i] /= q[i].sum()
    return q


def softmax(a):
    e = np.exp(a - a.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def slow_information(p_a, p_b):
    """The definition, cell by cell."""
    n, clusters = p_a.shape
    joint = np.zeros((clusters, clusters))
    for i in range(n):
        for k in range(clusters):
            for m in range(clusters):
                joint[k, m] += (p_a[i, k] * p_b[i, m] + p_b[i, k] * p_a[i, m]) / 2 / n
    total = 0.0
    for k in range(clusters):
        for m in range(clusters):
            if joint[k, m] > 0:
                ratio = joint[k, m] / (joint[k].sum() * joint[:, m].sum())
                total += joint[k, m] * math.log(ratio)
    return total


def gradient(function, x):
    x = tf.constant(x, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = function(x)
    return np.asarray(tape.gradient(value, x))


def finite_differences(function, x, h=1e-5):
    """Of a function in double precision, one number at a time."""
    found = np.zeros_like(x)
    for index in np.ndindex(*x.shape):
        up, down = x.copy(), x.copy()
        up[index] += h
        down[index] -= h
        found[index] = (function(up) - function(down)) / (2 * h)
    return found


@pytest.mark.parametrize(("epsilon", "steps"), [(0.05, 1), (0.05, 3), (0.5, 10)])
def test_sinkhorn_is_the_slow_iteration(epsilon, steps):
    scores = np.random.default_rng(0).uniform(-1, 1, (12, 4))
    fast = np.asarray(clustering.sinkhorn(scores, epsilon, steps))
    np.testing.assert_allclose(
        fast, slow_sinkhorn(scores, epsilon, steps), atol=1e-5, rtol=1e-4
    )


def test_sinkhorn_has_balanced_marginals_even_if_all_prefer_one_cluster():
    scores = np.random.default_rng(1).normal(size=(30, 5))
    scores[:, 0] += 3
    q = np.asarray(clustering.sinkhorn(scores, 0.3, steps=200))
    np.testing.assert_allclose(q.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(q.sum(axis=0), 6, rtol=1e-4)
    unbalanced = np.asarray(clustering.sinkhorn(scores, 0.3, steps=0))
    np.testing.assert_allclose(unbalanced, softmax(scores / 0.3), atol=1e-5)
    assert unbalanced.sum(axis=0)[0] > 25


def test_sinkhorn_for_small_epsilon_is_the_best_balanced_assignment():
    scores = np.random.default_rng(2).uniform(-1, 1, (12, 4))
    q = np.asarray(clustering.sinkhorn(scores, 0.005, steps=500))
    # Three places in each of four clusters: an assignment problem, solved by SciPy.
    rows, places = linear_sum_assignment(scores.repeat(3, axis=1), maximize=True)
    assert np.array_equal(q.argmax(axis=1)[rows], places // 3)


def test_sinkhorn_does_not_overflow_and_takes_half_precision():
    scores = np.array([[900.0, -900.0], [900.0, 0.0]], np.float16)
    q = np.asarray(clustering.sinkhorn(scores, 0.01, steps=3))
    assert q.dtype == np.float32 and np.isfinite(q).all()
    np.testing.assert_allclose(q.sum(axis=1), 1, rtol=1e-5)


def slow_swapped(s_a, s_b, temperature, epsilon, steps):
    q_a, q_b = (slow_sinkhorn(s, epsilon, steps) for s in (s_a, s_b))
    p_a, p_b = (softmax(s / temperature) for s in (s_a, s_b))
    rows = zip(q_a, q_b, p_a, p_b, strict=True)
    return np.array(
        [-(qb @ np.log(pa) + qa @ np.log(pb)) / 2 for qa, qb, pa, pb in rows]
    )


def test_swapped_prediction_is_its_definition():
    s_a, s_b = np.random.default_rng(3).uniform(-1, 1, (2, 8, 5))
    fast = np.asarray(clustering.swapped_prediction(s_a, s_b, 0.2, 0.1, 3))
    np.testing.assert_allclose(fast, slow_swapped(s_a, s_b, 0.2, 0.1, 3), rtol=1e-5)
    one = np.ones((4, 7), np.float16)
    constant = np.asarray(clustering.swapped_prediction(one, one))
    assert constant.dtype == np.float32
    np.testing.assert_allclose(constant, math.log(7), rtol=1e-5)


def test_no_gradient_flows_into_the_targets_of_a_swapped_prediction():
    s_a, s_b = np.random.default_rng(4).uniform(-1, 1, (2, 6, 3))
    q_b = slow_sinkhorn(s_b, 0.1, 3)
    # With the targets held fixed, half of the cross-entropy is left of s_a.
    expected = (softmax(s_a / 0.2) - q_b) / 0.2 / 2
    found = gradient(
        lambda s: tf.reduce_sum(clustering.swapped_prediction(s, s_b, 0.2, 0.1, 3)), s_a
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_distillation_is_its_definition_and_only_the_student_learns():
    student, teacher = np.random.default_rng(5).normal(size=(2, 6, 4))
    centre = teacher.mean(axis=0)
    target = softmax((teacher - centre) / 0.3)
    expected = [
        -t @ np.log(softmax(s / 0.7)) for t, s in zip(target, student, strict=True)
    ]
    settings = centre, 0.7, 0.3
    fast = np.asarray(clustering.distillation(student, teacher, *settings))
    np.testing.assert_allclose(fast, expected, rtol=1e-5)

    def total(s):
        return float(-(target * np.log(softmax(s / 0.7))).sum())

    np.testing.assert_allclose(
        gradient(
            lambda s: tf.reduce_sum(clustering.distillation(s, teacher, *settings)),
            student,
        ),
        finite_differences(total, student),
        atol=1e-5,
    )
    # The second term keeps the gradient from being None.
    into_the_teacher = gradient(
        lambda t: tf.reduce_sum(
            clustering.distillation(student, t, *settings) + 0 * t[:, 0]
        ),
        teacher,
    )
    assert not into_the_teacher.any()


def test_distillation_ignores_what_all_outputs_of_a_teacher_share():
    student, teacher = np.random.default_rng(6).normal(size=(2, 6, 4))
    shift = np.array([9.0, -2.0, 0.0, 1.0])
    np.testing.assert_allclose(
        clustering.distillation(student, teacher + shift, shift),
        clustering.distillation(student, teacher, 0.0),
        rtol=1e-3,
    )
    half = clustering.distillation(
        student.astype("float16"), 900 * teacher.astype("float16"), 0.0
    )
    assert np.isfinite(half).all()


def test_mutual_information_is_its_definition():
    rng = np.random.default_rng(7)
    p_a, p_b = rng.dirichlet(np.full(4, 0.3), size=(2, 20))
    fast = float(clustering.mutual_information(p_a, p_b))
    assert fast == pytest.approx(slow_information(p_a, p_b), rel=1e-4)
    assert fast == pytest.approx(
        float(clustering.mutual_information(p_b, p_a)), rel=1e-5
    )


def test_mutual_information_at_its_extremes():
    one_hot = np.eye(5).repeat(4, axis=0)
    information = clustering.mutual_information
    # Balanced and agreed: the maximum. Names of clusters do not matter.
    assert float(information(one_hot, one_hot)) == pytest.approx(math.log(5), abs=1e-5)
    # Every pair of clusters equally often: one view tells nothing about the other.
    rows, columns = np.divmod(np.arange(25), 5)
    assert float(information(np.eye(5)[rows], np.eye(5)[columns])) == pytest.approx(
        0, abs=1e-5
    )
    # One cluster for all, and full doubt.
    assert float(information(one_hot[:4], one_hot[:4])) == pytest.approx(0, abs=1e-5)
    flat = np.full((20, 5), 0.2)
    assert float(information(flat, flat)) == pytest.approx(0, abs=1e-5)
    # Agreement without balance: the entropy of the sizes.
    uneven = np.eye(2)[[0, 0, 0, 1]]
    expected = -0.75 * math.log(0.75) - 0.25 * math.log(0.25)
    assert float(information(uneven, uneven)) == pytest.approx(expected, abs=1e-5)


def test_gradient_of_mutual_information_is_that_of_finite_differences():
    rng = np.random.default_rng(8)
    a, p_b = rng.normal(size=(6, 3)), rng.dirichlet(np.ones(3), size=6)
    found = gradient(lambda x: clustering.mutual_information(tf.nn.softmax(x), p_b), a)
    expected = finite_differences(lambda x: slow_information(softmax(x), p_b), a)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_mutual_information_stays_finite_in_half_precision_and_for_certain_clusters():
    one_hot = np.eye(4, dtype=np.float16)
    value = clustering.mutual_information(one_hot, one_hot)
    assert float(value) == pytest.approx(math.log(4), abs=1e-5)
    found = gradient(lambda x: clustering.mutual_information(x, one_hot), np.eye(4))
    assert np.isfinite(found).all()


def test_prototypes_return_cosines():
    layer = clustering.Prototypes(3)
    z = np.random.default_rng(9).normal(size=(5, 4)).astype("float32")
    found = np.asarray(layer(z))
    c = np.asarray(layer.directions)
    for i in range(5):
        for k in range(3):
            cosine = z[i] @ c[:, k] / np.linalg.norm(z[i]) / np.linalg.norm(c[:, k])
            assert found[i, k] == pytest.approx(cosine, abs=1e-5)


def test_centre_follows_the_mean_only_in_training():
    layer = clustering.Centre(0.9)
    a = np.tile([1.0, -2.0], (4, 1)).astype("float32")
    layer(a)
    assert not np.asarray(layer.mean).any()
    for _ in range(5):
        np.testing.assert_array_equal(layer(a, training=True), a)
    expected = (1 - 0.9**5) * a[0]  # towards a constant
    np.testing.assert_allclose(layer.mean, expected, rtol=1e-5)


@pytest.fixture
def images():
    """Coarse patterns, which survive a rotation and a shift."""
    coarse = np.random.default_rng(0).random((40, 4, 4)) > 0.5
    return coarse.repeat(7, axis=1).repeat(7, axis=2).astype("float32")


def small_model(name, seed=0, **kwargs):
    keras.utils.set_random_seed(seed)
    encoder = networks.batchnorm_encoder(8, channels=(4, 8))
    views = augment.RandomAffine(10, shift=2, seed=seed)
    if name == "IIC":
        projector = networks.projector(8, 32, 11)
        kwargs = {"clusters": (4, 7), **kwargs}
    else:
        projector = clustering.cluster_head(8, 6, 32, 8)
    return getattr(clustering, name)(encoder, projector, views, **kwargs)


MODELS = ("SwAV", "DINO", "IIC")


def test_loss_of_a_model_is_that_of_its_outputs(images):
    swav = small_model("SwAV", temperature=0.2, epsilon=0.1, steps=2)
    s = np.asarray(swav(images), np.float64)
    expected = slow_swapped(s[:40], s[40:], 0.2, 0.1, 2).mean()
    assert float(swav.compute_loss(y_pred=s)) == pytest.approx(expected, rel=1e-4)

    iic = small_model("IIC")
    a = np.asarray(iic(images), np.float64)
    one, two = softmax(a[:, :4]), softmax(a[:, 4:])
    expected = -sum(slow_information(p[:40], p[40:]) for p in (one, two)) / 2
    assert float(iic.compute_loss(y_pred=a)) == pytest.approx(expected, abs=1e-5)


def test_dino_compares_each_view_with_the_other_one_and_then_centres(images):
    dino = small_model("DINO", temperature=0.5, teacher_temperature=0.2)
    out = {name: np.asarray(value) for name, value in dino(images).items()}
    targets = softmax(np.roll(out["teacher"], 40, axis=0) / 0.2)
    expected = -(targets * np.log(softmax(out["student"] / 0.5))).sum(axis=1).mean()
    found = float(dino.compute_loss(y_pred=out, training=True))
    assert found == pytest.approx(expected, rel=1e-4)
    np.testing.assert_allclose(
        dino.centre.mean, 0.1 * out["teacher"].mean(axis=0), atol=1e-6
    )


def test_teacher_follows_the_student_and_takes_no_gradient(images):
    dino = small_model("DINO", momentum=0.75)
    student = [*dino.encoder.weights, *dino.projector.weights]
    before = [np.asarray(w) for w in student]
    for old, new in zip(dino.teacher.get_weights(), before, strict=True):
        np.testing.assert_array_equal(old, new)
    own = {id(w) for w in dino.teacher.weights}
    assert not own & {id(w) for w in dino.trainable_variables}
    dino.compile(optimizer=keras.optimizers.SGD(0.1))
    dino.fit(images, batch_size=40, verbose=0)
    kernels = [i for i, w in enumerate(student) if "moving" not in w.path]
    for i in kernels:
        expected = 0.75 * before[i] + 0.25 * np.asarray(student[i])
        np.testing.assert_allclose(dino.teacher.weights[i], expected, atol=1e-6)
    assert any(not np.array_equal(before[i], student[i]) for i in kernels)


@pytest.mark.parametrize("name", MODELS)
def test_training_lowers_the_loss_and_saving_keeps_all(name, images, tmp_path):
    model = small_model(name)
    # A dozen steps take less time than tracing them; the test above traces.
    model.compile(optimizer=keras.optimizers.Adam(1e-2), run_eagerly=True)
    loss = model.fit(images, epochs=6, batch_size=20, verbose=0).history["loss"]
    # Not for DINO: the better its teacher, the harder the task.
    assert name == "DINO" or loss[-1] < loss[0] - 0.05
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded) is type(model)
    settings, found = (
        {
            key: value
            for key, value in each.get_config().items()
            if key not in each.parts
        }
        for each in (model, loaded)
    )
    assert found == settings
    for old, new in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(old, new)


def test_iic_assigns_with_its_first_head(images):
    p = np.asarray(small_model("IIC").assign(images))
    assert p.shape == (40, 4)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)


def test_bad_arguments_are_named():
    s = np.zeros((4, 3))
    for call, message in [
        (lambda: clustering.sinkhorn(s[0]), r"scores must have shape \[batch, K\]"),
        (lambda: clustering.sinkhorn(s, 0.0), "epsilon must be above 0"),
        (lambda: clustering.sinkhorn(s, steps=-1), "steps must be at least 0"),
        (lambda: clustering.swapped_prediction(s, s[:2]), "scores_a and scores_b must"),
        (lambda: clustering.swapped_prediction(s, s, 0), "temperature must be above"),
        (lambda: clustering.distillation(s, s[:, :2], 0), "student and teacher must"),
        (lambda: clustering.distillation(s, s, 0, 0.1, -1), "teacher_temperature must"),
        (lambda: clustering.mutual_information(s, s[:2]), "p_a and p_b must have the"),
        (lambda: clustering.Prototypes(0), "clusters must be a positive integer"),
        (lambda: clustering.Centre(1.5), "momentum must be from 0 to 1"),
        (lambda: small_model("SwAV", temperature=0), "temperature must be above 0"),
        (lambda: small_model("SwAV", epsilon=math.inf), "epsilon must be above 0"),
        (lambda: small_model("DINO", momentum=-1), "momentum must be from 0 to 1"),
        (lambda: small_model("DINO", teacher_temperature=0), "teacher_temperature"),
        (lambda: small_model("IIC", clusters=(4, 8)), "need 12 outputs, but"),
        (lambda: small_model("IIC", clusters=(11, 0)), "must be a positive integer"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
