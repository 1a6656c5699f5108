import itertools

import numpy as np
import pytest

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
