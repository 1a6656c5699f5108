import itertools

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.special import gamma, ive

from sslkit import metrics


def test_clustering_accuracy_agrees_with_trying_every_permutation():
    rng = np.random.default_rng(0)
    for _ in range(20):
        y, clusters = rng.integers(0, 4, 30), rng.integers(0, 4, 30)
        brute = max(
            np.mean(y == np.array(names)[clusters])
            for names in itertools.permutations(range(4))
        )
        assert metrics.clustering_accuracy(y, clusters) == pytest.approx(brute)


def test_surplus_clusters_count_as_wrong():
    y = np.repeat([0, 1], 6)
    assert metrics.clustering_accuracy(y, np.repeat([0, 1, 2], 4)) == pytest.approx(
        8 / 12
    )


def test_names_of_clusters_do_not_matter():
    y = np.array([5, 5, 9, 9])
    assert metrics.clustering_accuracy(y, [-3, -3, 100, 100]) == 1.0


@pytest.mark.parametrize(("y", "c"), [([], []), ([0, 1], [0]), ([[0]], [[0]])])
def test_clustering_accuracy_refuses_lengths_that_disagree(y, c):
    with pytest.raises(ValueError, match="y and clusters must be vectors"):
        metrics.clustering_accuracy(y, c)


@pytest.mark.parametrize("shape", [(200, 12), (12, 200)])
def test_effective_rank_agrees_with_the_singular_values(shape):
    h = np.random.default_rng(0).normal(size=shape) + 1.0
    s = np.linalg.svd(h, compute_uv=False)
    p = s / s.sum()
    assert metrics.effective_rank(h) == pytest.approx(np.exp(-np.sum(p * np.log(p))))


def test_effective_rank_of_k_equal_directions_is_k():
    rng = np.random.default_rng(0)
    left = np.linalg.qr(rng.normal(size=(100, 3)))[0]
    right = np.linalg.qr(rng.normal(size=(7, 3)))[0]
    assert metrics.effective_rank(left @ right.T) == pytest.approx(3, abs=1e-3)


def test_effective_rank_ignores_scale_and_rotation():
    rng = np.random.default_rng(0)
    h = rng.normal(size=(50, 6)) * np.arange(1, 7)
    rotation = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    assert metrics.effective_rank(1e3 * h @ rotation) == pytest.approx(
        metrics.effective_rank(h)
    )


@pytest.mark.parametrize(
    ("h", "message"),
    [
        (np.ones(5), "shape"),
        (np.ones((0, 3)), "shape"),
        (np.array([[np.nan, 1.0]]), "NaN or infinity"),
        (np.zeros((4, 3)), "collapsed"),
    ],
)
def test_effective_rank_refuses_what_has_none(h, message):
    with pytest.raises(ValueError, match=message):
        metrics.effective_rank(h)


def test_feature_std_of_an_even_sphere_is_one_over_root_d():
    # Directions of Gaussian vectors are spread evenly over the sphere.
    h = np.random.default_rng(0).normal(size=(40_000, 16)) * 5
    assert metrics.feature_std(h) == pytest.approx(0.25, abs=2e-3)


def test_feature_std_never_exceeds_one_over_root_d_and_ignores_length():
    rng = np.random.default_rng(1)
    for _ in range(20):
        h = rng.normal(size=(30, 5)) ** 3 + rng.normal(size=5)
        std = metrics.feature_std(h)
        assert 0 < std <= 5**-0.5
        longer = h * rng.uniform(0.1, 9, size=(30, 1))
        assert metrics.feature_std(longer) == pytest.approx(std)


@pytest.mark.parametrize(("h", "message"), [(np.ones(3), "shape"), ([[np.nan]], "NaN")])
def test_feature_std_refuses_what_it_cannot_judge(h, message):
    with pytest.raises(ValueError, match=message):
        metrics.feature_std(h)


def views(n=40, d=5, seed=0):
    """Two views of n examples, features of any length."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, d))
    noisy = z + 0.4 * rng.normal(size=(n, d))
    return z * rng.uniform(0.1, 9, (n, 1)), noisy * rng.uniform(0.1, 9, (n, 1))


def on_the_circle(angles):
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def test_alignment_agrees_with_its_definition_and_with_the_cosine():
    z_a, z_b = views()
    loop = [
        np.linalg.norm(a / np.linalg.norm(a) - b / np.linalg.norm(b)) ** 2
        for a, b in zip(z_a, z_b, strict=True)
    ]
    assert metrics.alignment(z_a, z_b) == pytest.approx(np.mean(loop), abs=1e-12)
    cosines = [
        a @ b / (np.linalg.norm(a) * np.linalg.norm(b))
        for a, b in zip(z_a, z_b, strict=True)
    ]
    assert metrics.alignment(z_a, z_b) == pytest.approx(2 - 2 * np.mean(cosines))


def test_alignment_of_a_turn_is_known_and_its_range_is_0_to_4():
    angles = np.linspace(0, 6, 50)
    u, turned = on_the_circle(angles), on_the_circle(angles + 0.7)
    assert metrics.alignment(u, turned) == pytest.approx(2 - 2 * np.cos(0.7))
    assert metrics.alignment(u, 5 * u) == pytest.approx(0)
    assert metrics.alignment(u, -u) == pytest.approx(4)


@pytest.mark.parametrize("t", [0.5, 2.0, 2000.0])
def test_uniformity_agrees_with_a_loop_over_pairs(t):
    z = views()[0]
    u = z / np.linalg.norm(z, axis=1, keepdims=True)
    least = pdist(u).min() ** 2
    pairs = [
        np.exp(t * (least - np.sum((u[i] - u[j]) ** 2)))
        for i, j in itertools.permutations(range(len(u)), 2)
    ]
    expected = np.log(np.mean(pairs)) - t * least
    assert metrics.uniformity(z, t) == pytest.approx(expected)
    assert np.isfinite(metrics.uniformity(z, 1e6))


def test_uniformity_of_an_even_circle_has_a_closed_form():
    # Over all pairs, self-pairs included, the mean is the integral over the circle,
    # up to Bessel functions of order n; self-pairs contribute 1 / n.
    n, t = 60, 2.0
    mean = ive(0, 2 * t)
    expected = np.log((n * mean - 1) / (n - 1))
    even = on_the_circle(2 * np.pi * np.arange(n) / n)
    assert metrics.uniformity(even, t) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("d", [2, 3, 16])
def test_uniformity_of_a_random_sphere_approaches_the_closed_form(d):
    # Directions of Gaussian vectors are spread evenly over the sphere.
    h = np.random.default_rng(0).normal(size=(3000, d))
    order, kappa = d / 2 - 1, 4.0
    closed = np.log(gamma(d / 2) * (2 / kappa) ** order * ive(order, kappa))
    assert metrics.uniformity(h) == pytest.approx(closed, abs=0.01)


def test_uniformity_ignores_length_and_rotation_and_ends_at_0_and_minus_4t():
    z = views()[0]
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(5, 5)))[0]
    assert metrics.uniformity(1e3 * z @ rotation) == pytest.approx(
        metrics.uniformity(z)
    )
    assert metrics.uniformity(np.ones((9, 4))) == pytest.approx(0)
    assert metrics.uniformity([[1.0, 0.0], [-3.0, 0.0]], t=1.5) == pytest.approx(-6)


def test_alignment_and_uniformity_of_float16_are_computed_in_double_precision():
    z_a, z_b = (z.astype("float16") for z in views(d=200))
    wide = z_a.astype("float64"), z_b.astype("float64")
    assert metrics.alignment(z_a, z_b) == metrics.alignment(*wide)
    # The squares of these would overflow in float16.
    long = 300 * z_a
    assert metrics.uniformity(long) == metrics.uniformity(long.astype("float64"))


@pytest.mark.parametrize(
    ("z", "message"),
    [
        (np.ones(3), r"shape \[n, d\]"),
        (np.ones((0, 3)), r"shape \[n, d\]"),
        ([[np.inf, 1.0], [1.0, 1.0]], "NaN or infinity"),
        ([[0.0, 0.0], [1.0, 1.0]], "row of zeros"),
    ],
)
def test_alignment_and_uniformity_refuse_what_has_no_direction(z, message):
    with pytest.raises(ValueError, match=f"z .*{message}"):
        metrics.uniformity(z)
    with pytest.raises(ValueError, match=f"z_a .*{message}"):
        metrics.alignment(z, np.ones((2, 2)))
    with pytest.raises(ValueError, match=f"z_b .*{message}"):
        metrics.alignment(np.ones((2, 2)), z)


def test_alignment_refuses_views_that_do_not_match():
    with pytest.raises(ValueError, match=r"same shape, got \(3, 2\) and \(2, 2\)"):
        metrics.alignment(np.ones((3, 2)), np.ones((2, 2)))


def test_uniformity_refuses_a_single_point():
    with pytest.raises(ValueError, match="two rows or more, got 1"):
        metrics.uniformity(np.ones((1, 2)))


@pytest.mark.parametrize("t", [0, -2.0, np.inf, np.nan])
def test_uniformity_refuses_a_sharpness_that_is_not_above_zero(t):
    with pytest.raises(ValueError, match="t must be above 0"):
        metrics.uniformity(np.eye(2), t)
