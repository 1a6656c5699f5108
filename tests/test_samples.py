import numpy as np
import pytest
import scipy.linalg
import scipy.stats
from sklearn.metrics import roc_auc_score

from sslkit import data, samples
from sslkit.samples import classes_present, frechet_distance, two_sample_auc


@pytest.fixture
def clouds():
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(4, 4))
    return rng.normal(size=(60, 4)), 1.0 + rng.normal(size=(80, 4)) @ mix


def test_frechet_distance_agrees_with_the_matrix_root_of_scipy(clouds):
    a, b = clouds
    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    root = scipy.linalg.sqrtm(cov_a @ cov_b).real
    gap = a.mean(axis=0) - b.mean(axis=0)
    expected = gap @ gap + np.trace(cov_a + cov_b - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_of_independent_features_adds_up_over_them():
    # In one dimension: difference of the means and of the standard deviations.
    x = scipy.stats.zscore(np.random.default_rng(0).normal(size=50), ddof=1)
    pair = np.stack([x, scipy.stats.zscore(np.roll(x, 25) - x, ddof=1)])
    flat = np.linalg.qr(np.column_stack([np.ones(50), *pair]))[0][:, 1:] * 7  # sd 1
    a, b = flat * [1, 2], flat * [3, 0.5] + [1, -2]
    expected = (1 + 4) + (3 - 1) ** 2 + (2 - 0.5) ** 2
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
    column = x[:, None]
    assert frechet_distance(column, 3 * column + 1) == pytest.approx(1 + 4)


def test_frechet_distance_is_zero_for_equal_sets_also_when_features_are_dead(clouds):
    a = np.column_stack([clouds[0], np.zeros((60, 3))])
    assert abs(frechet_distance(a, a)) < 1e-6
    assert abs(frechet_distance(a, a[::-1])) < 1e-6
    assert abs(frechet_distance(np.ones((3, 5)), np.ones((4, 5)))) < 1e-12


def test_frechet_distance_of_features_in_a_subspace_is_that_within_it(clouds):
    # Rounding may make zero eigenvalues negative, which have no root.
    basis = np.linalg.qr(np.random.default_rng(1).normal(size=(12, 4)))[0].T
    expected = frechet_distance(*clouds)
    a, b = (cloud @ basis for cloud in clouds)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)


def test_frechet_distance_takes_single_precision_but_computes_in_double(clouds):
    a, b = (each.astype("float32") + 1000 for each in clouds)
    exact = frechet_distance(a.astype("float64"), b.astype("float64"))
    assert frechet_distance(a, b) == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.zeros(5), np.zeros((5, 1)), "a and b must have shapes"),
        (np.zeros((5, 1)), np.zeros(5), "a and b must have shapes"),
        (np.zeros((5, 2)), np.zeros((5, 3)), r"got \(5, 2\) and \(5, 3\)"),
        (np.zeros((1, 2)), np.zeros((5, 2)), "n and m at least 2"),
        (np.zeros((5, 2)), np.zeros((1, 2)), "n and m at least 2"),
        (np.full((5, 2), np.nan), np.zeros((5, 2)), "a or b holds NaN"),
        (np.zeros((5, 2)), np.full((5, 2), np.inf), "a or b holds NaN"),
    ],
)
def test_frechet_distance_refuses_what_it_cannot_compare(a, b, message):
    with pytest.raises(ValueError, match=message):
        frechet_distance(a, b)


@pytest.mark.parametrize(
    ("labels", "options", "count"),
    [
        (np.arange(10), {}, 10),
        ([4] * 1000, {}, 1),
        ([0] * 99 + [9], {}, 2),  # exactly one in a hundred counts
        ([0] * 100 + [9], {}, 1),
        ([0, 0, 0, 1], {"share": 0.5}, 1),
        ([0, 1, 2], {"classes": 3}, 3),
    ],
)
def test_classes_count_from_a_share_of_the_samples_on(labels, options, count):
    assert classes_present(labels, **options) == count


@pytest.mark.parametrize(
    ("labels", "options"),
    [([], {}), ([[1, 2]], {}), ([-1, 2], {}), ([10], {}), ([3], {"classes": 3})],
)
def test_impossible_labels_are_refused(labels, options):
    with pytest.raises(ValueError, match="labels must"):
        classes_present(labels, **options)


@pytest.mark.parametrize("shift", [0.0, 1.0, 2.5])
def test_auc_of_shifted_gaussians_is_that_of_their_likelihood_ratio(shift):
    # P(a > b) for a ~ N(shift, 1), b ~ N(0, 1); the scale of the numbers is no help.
    rng = np.random.default_rng(1)
    a, b = 1e3 * (shift + rng.normal(size=(1200, 1))), 1e3 * rng.normal(size=(1200, 1))
    expected = scipy.stats.norm.cdf(shift / np.sqrt(2))
    assert two_sample_auc(a, b) == pytest.approx(expected, abs=0.05)


def test_auc_sees_a_difference_in_shape_alone():
    # Mean 0 and variance 1 in both, which no linear discriminator tells apart.
    rng, n = np.random.default_rng(0), 1000
    narrow = scipy.stats.norm([-0.98, 0.98], np.sqrt(1 - 0.98**2))
    a = narrow.rvs((n, 2), random_state=rng)[np.arange(n), rng.integers(2, size=n)]
    b = rng.normal(size=n)
    # No discriminator beats the likelihood ratio (here 0.85).
    ratio = [
        narrow.pdf(x[:, None]).mean(axis=1) / scipy.stats.norm.pdf(x) for x in (a, b)
    ]
    best = roc_auc_score(np.repeat([1, 0], n), np.concatenate(ratio))
    assert 0.75 < two_sample_auc(a[:, None], b[:, None]) < best + 0.05


def test_auc_judges_on_what_the_discriminator_has_not_seen():
    # 40 random points in 30 dimensions: separable by heart, not by rule.
    rng = np.random.default_rng(0)
    values = [
        two_sample_auc(rng.normal(size=(20, 30)), rng.normal(size=(20, 30)), seed=i)
        for i in range(8)
    ]
    assert 0.3 < np.mean(values) < 0.7


def test_auc_repeats_itself_with_its_seed():
    a, b = np.random.default_rng(0).normal(size=(2, 40, 2))
    values = [two_sample_auc(a, b, seed=seed) for seed in (3, 3, 4)]
    assert values[0] == values[1] != values[2]


@pytest.mark.parametrize("shape", [(5,), (5, 3)])
def test_auc_needs_samples_of_one_kind(shape):
    for pair in [
        (np.zeros(shape), np.zeros((5, 2))),
        (np.zeros((5, 2)), np.ones(shape)),
    ]:
        with pytest.raises(ValueError, match=r"a and b must have shapes \[n, d\]"):
            two_sample_auc(*pair)


@pytest.fixture(scope="module")
def small(sample):
    return data.Dataset(
        "small", sample.x_train[:600], sample.y_train[:600],
        sample.x_test[:200], sample.y_test[:200], "sample", "0" * 64,
    )  # fmt: skip


@pytest.fixture(scope="module")
def judge(small):
    return samples.train_judge(small, epochs=3)


def test_the_judge_knows_digits_that_it_was_not_trained_on(judge, small):
    images = data.unit_interval(small.x_test)
    labels = judge.labels(images)
    assert labels.shape == (200,)
    assert np.mean(labels == small.y_test) > 0.6


def test_the_judge_describes_by_the_layer_below_its_verdict(judge, small):
    images = data.unit_interval(small.x_test[:20])
    described = judge.describe(images)
    assert described.shape == (20, 64)
    kernel, bias = judge.classify.layers[-1].get_weights()
    verdict = (described @ kernel + bias).argmax(axis=1)
    np.testing.assert_array_equal(verdict, judge.labels(images))


def test_the_seed_fixes_the_judge(small, make_dataset):
    noise = make_dataset(n_train=40)
    first, second, third = (
        samples.train_judge(noise, epochs=1, seed=seed).features.get_weights()[0]
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - third).max() > 0
