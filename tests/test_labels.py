"""Graph of neighbours, propagation, the loss of SCAN, heads, names of clusters."""

import itertools
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.semi_supervised import LabelSpreading

from sslkit import labels, metrics


def cosines(a, b, centre):
    """The definition, pair by pair."""
    a, b = np.asarray(a, np.float64) - centre, np.asarray(b, np.float64) - centre
    return np.array(
        [[u @ v / math.sqrt(u @ u) / math.sqrt(v @ v) for v in b] for u in a]
    )


def graph(index, cosine, power):
    """The dense matrix W, edge by edge."""
    w = np.zeros((len(index), len(index)))
    for i, (row, values) in enumerate(zip(index, cosine, strict=True)):
        for j, s in zip(row, values, strict=True):
            if s > 0:
                w[i, j] = max(w[i, j], float(s) ** power)
                w[j, i] = max(w[j, i], float(s) ** power)
    return w


def normalised(w):
    """Each weight, divided by the roots of the two degrees."""
    degree = w.sum(axis=1)
    s = np.zeros_like(w)
    for i, j in zip(*np.nonzero(w), strict=True):
        s[i, j] = w[i, j] / math.sqrt(degree[i] * degree[j])
    return s


def softmax(a):
    e = np.exp(a - a.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def slow_loss(p, weight):
    """The definition, head by head and example by example."""
    batch, _, heads, clusters = p.shape
    losses = np.zeros(heads)
    for m in range(heads):
        for i in range(batch):
            losses[m] -= math.log(p[i, 0, m] @ p[i, 1, m]) / batch
        for k in range(clusters):
            share = p[:, :, m, k].sum() / (2 * batch)
            losses[m] += weight * share * math.log(share)
    return losses


def gradient(function, x):
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = function(x)
    return np.asarray(tape.gradient(value, x))


def features(n=60, d=6, seed=0):
    """Features far from the origin, of unequal lengths and scales."""
    rng = np.random.default_rng(seed)
    h = rng.normal(size=(n, d)) * rng.uniform(0.2, 3, (n, 1)) + rng.normal(size=d) * 4
    return h.astype("float32")


def test_directions_have_length_1_and_their_products_are_cosines():
    h = features()
    centre = np.arange(6) / 2
    u = labels.directions(h, centre)
    assert u.dtype == np.float32 and u.shape == h.shape
    np.testing.assert_allclose((u.astype("float64") ** 2).sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(u @ u.T, cosines(h, h, centre), atol=1e-5)


def test_directions_do_not_care_how_far_a_feature_is_from_the_centre():
    h, centre = features(), np.arange(6)
    far = centre + 50 * (h.astype("float64") - centre)
    np.testing.assert_allclose(
        labels.directions(far, centre), labels.directions(h, centre), atol=1e-5
    )
    assert np.isfinite(labels.directions([[1.0, 2.0]], [1.0, 2.0])).all()


@pytest.mark.parametrize("k", [1, 7, 59])
def test_neighbours_are_those_of_a_full_sort_of_all_cosines(k):
    h = features(seed=38)  # cosines lie far enough apart for single precision
    expected = cosines(h, h, h.astype("float64").mean(axis=0))
    np.fill_diagonal(expected, -np.inf)
    order = np.argsort(-expected, axis=1)[:, :k]
    index, cosine = labels.neighbours(h, k)
    np.testing.assert_array_equal(index, order)
    np.testing.assert_allclose(
        cosine, np.take_along_axis(expected, order, axis=1), atol=1e-5
    )
    assert np.issubdtype(index.dtype, np.integer) and cosine.dtype == np.float32


def test_neighbours_of_queries_are_sought_among_all_rows_around_their_own_mean():
    h, queries = features(), features(9, seed=1) + 1
    expected = cosines(queries, h, h.astype("float64").mean(axis=0))
    order = np.argsort(-expected, axis=1)[:, :4]
    index, cosine = labels.neighbours(h, 4, queries)
    np.testing.assert_array_equal(index, order)
    np.testing.assert_allclose(
        cosine, np.take_along_axis(expected, order, axis=1), atol=1e-5
    )
    # A row of h that is asked for as a query is its own nearest neighbour.
    index, cosine = labels.neighbours(h, 2, h[10:13])
    np.testing.assert_array_equal(index[:, 0], [10, 11, 12])
    np.testing.assert_allclose(cosine[:, 0], 1, atol=1e-6)


@pytest.mark.parametrize("k", [1, 2, 4])
def test_no_example_is_its_own_neighbour_even_among_exact_duplicates(k):
    copies = 5
    h = np.repeat(features(4), copies, axis=0)
    index, cosine = labels.neighbours(h, k)
    own = np.arange(len(h))[:, None]
    assert (index != own).all()
    np.testing.assert_array_equal(index // copies, np.repeat(own // copies, k, axis=1))
    assert all(len(set(row)) == k for row in index)
    np.testing.assert_allclose(cosine, 1, atol=1e-6)


@pytest.mark.parametrize("power", [0.5, 1.0, 4.0])
def test_affinity_is_its_definition(power):
    index, _ = labels.neighbours(features(), 8)
    # Any numbers will do, and these differ between i, j and j, i.
    cosine = np.random.default_rng(1).uniform(-1, 1, index.shape)
    w = graph(index, cosine, power)
    found = labels.affinity(index, cosine, power)
    np.testing.assert_allclose(found.toarray(), normalised(w), atol=1e-5)
    default = labels.affinity(index, cosine).toarray()
    np.testing.assert_allclose(default, normalised(graph(index, cosine, 4)), atol=1e-5)


def test_affinity_is_symmetric_and_its_eigenvalues_lie_between_minus_1_and_1():
    S = labels.affinity(*labels.neighbours(features(), 5)).toarray()
    np.testing.assert_allclose(S, S.T, atol=1e-6)
    assert S.min() >= 0 and not S.diagonal().any()
    values = np.linalg.eigvalsh(S.astype("float64"))
    assert values[0] >= -1 - 1e-6 and values[-1] == pytest.approx(1, abs=1e-6)
    # Two examples alone: both ends are reached.
    two = labels.affinity(np.array([[1], [0]]), np.array([[0.3], [0.3]])).toarray()
    np.testing.assert_allclose(np.linalg.eigvalsh(two), [-1, 1], atol=1e-6)


def test_an_example_without_similar_neighbours_is_left_alone():
    index = np.array([[1], [0], [0]])
    cosine = np.array([[0.5], [0.5], [-0.5]], np.float32)
    expected = [[0, 1, 0], [1, 0, 0], [0, 0, 0]]
    with np.errstate(all="raise"):
        S = labels.affinity(index, cosine)
    np.testing.assert_allclose(S.toarray(), expected, atol=1e-6)


def labelled_graph(classes=3):
    """A graph, as W and as S, and unequally many labels of each class."""
    index, cosine = labels.neighbours(features(), 8)
    labelled = np.array([3, 11, 17, 29, 40, 41])
    y = np.array([0, 1, 1, 2, 2, 2])
    one_hot = np.zeros((len(index), classes))
    for i, c in zip(labelled, y, strict=True):
        one_hot[i, c] = 1
    w = graph(index, cosine, 4)
    return w, labels.affinity(index, cosine), labelled, y, one_hot


def closed_form(w, one_hot, alpha):
    """Before the division by the sums of the columns."""
    system = np.eye(len(w)) - alpha * normalised(w)
    return (1 - alpha) * np.linalg.solve(system, one_hot)


@pytest.mark.parametrize("alpha", [0.3, 0.9, 0.99])
def test_propagation_for_ever_is_the_closed_form(alpha):
    w, S, labelled, y, one_hot = labelled_graph()
    expected = closed_form(w, one_hot, alpha)
    found = labels.propagate(S, labelled, y, 3, alpha, steps=3000)
    assert found.shape == (60, 3) and found.min() >= 0
    np.testing.assert_allclose(found, expected / expected.sum(axis=0), atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=0), 1, rtol=1e-12)


def test_propagation_of_few_steps_is_a_sum_of_powers():
    w, S, labelled, y, one_hot = labelled_graph()
    s, alpha = normalised(w), 0.8
    for steps in (0, 1, 4):
        power = np.linalg.matrix_power
        f = alpha**steps * power(s, steps) @ one_hot
        for t in range(steps):
            f += (1 - alpha) * alpha**t * power(s, t) @ one_hot
        found = labels.propagate(S, labelled, y, 3, alpha, steps)
        np.testing.assert_allclose(found, f / f.sum(axis=0), atol=1e-6)


def test_propagation_is_label_spreading_of_scikit_learn():
    w, S, labelled, y, one_hot = labelled_graph()
    target = np.full(60, -1)
    target[labelled] = y
    spread = LabelSpreading(lambda a, b: w, alpha=0.9, max_iter=2000, tol=1e-14)
    spread.fit(np.arange(60)[:, None], target)
    found = labels.propagate(S, labelled, y, 3, 0.9, steps=2000)
    # It divides rows by their sums, not columns, which are put back here.
    found = found * closed_form(w, one_hot, 0.9).sum(axis=0)
    found /= found.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, spread.label_distributions_, atol=1e-5)


def test_propagation_with_alpha_0_keeps_the_labels_and_nothing_else():
    _, S, labelled, y, one_hot = labelled_graph()
    found = labels.propagate(S, labelled, y, 3, alpha=0)
    # One, two and three labels share the 1 of their class.
    np.testing.assert_allclose(found, one_hot / [1, 2, 3], atol=1e-12)


def test_labels_stay_in_their_part_of_a_graph_in_pieces():
    rng = np.random.default_rng(0)
    towards = np.repeat(np.eye(10), 6, axis=0)
    h = 10 * towards + rng.normal(size=(60, 10))
    S = labels.affinity(*labels.neighbours(h, 4))
    scores = labels.propagate(S, np.arange(0, 60, 6), np.arange(10))
    np.testing.assert_array_equal(scores.argmax(axis=1), np.arange(60) // 6)


def test_settings_that_are_left_out_are_those_of_the_signatures():
    h = features()
    for left_out, given in zip(
        labels.neighbours(h), labels.neighbours(h, 15), strict=True
    ):
        np.testing.assert_array_equal(left_out, given)
    _, S, *_ = labelled_graph()
    rows = np.arange(10), np.arange(10)
    np.testing.assert_array_equal(
        labels.propagate(S, *rows), labels.propagate(S, *rows, 10, 0.99, 60)
    )


def random_logits(batch=7, heads=3, clusters=4, seed=0):
    return np.random.default_rng(seed).normal(size=(batch, 2, heads, clusters)) * 2


@pytest.mark.parametrize("weight", [0.0, 0.7, 3.0])
@pytest.mark.parametrize("rare", [0, 8])
def test_neighbour_loss_is_its_definition(weight, rare):
    a = random_logits()
    a[..., 0] -= rare  # a cluster that hardly any example is in
    p = softmax(a)
    found = np.asarray(labels.neighbour_loss(np.log(p), weight))
    assert found.shape == (3,) and found.dtype == np.float32
    np.testing.assert_allclose(found, slow_loss(p, weight), rtol=1e-5, atol=1e-5)
    swapped = np.asarray(labels.neighbour_loss(np.log(p[:, ::-1]), weight))
    np.testing.assert_allclose(swapped, found, rtol=1e-5)


def test_neighbour_loss_weighs_balance_threefold_if_not_told_otherwise():
    log_p = np.log(softmax(random_logits()))
    np.testing.assert_array_equal(
        labels.neighbour_loss(log_p), labels.neighbour_loss(log_p, 3.0)
    )


@pytest.mark.parametrize("weight", [0.0, 2.0])
def test_neighbour_loss_at_its_extremes(weight):
    clusters = 5

    def loss(log_p):
        pairs = np.repeat(log_p[:, None, None], 2, axis=1)
        return float(labels.neighbour_loss(pairs, weight)[0])

    balanced = np.where(np.eye(clusters).repeat(3, axis=0), 0.0, -1e4)
    assert loss(balanced) == pytest.approx(-weight * math.log(clusters), abs=1e-5)
    assert loss(balanced[:3]) == pytest.approx(0, abs=1e-5)  # one cluster for all
    doubt = np.full((6, clusters), -math.log(clusters))
    expected = (1 - weight) * math.log(clusters)
    assert loss(doubt) == pytest.approx(expected, abs=1e-5)


def test_neighbour_loss_is_never_below_minus_weight_log_k():
    for seed in range(50):
        log_p = np.log(softmax(random_logits(seed=seed) * (seed % 9)))
        assert (
            (labels.neighbour_loss(log_p, 2.0) >= -2 * math.log(4) - 1e-5).numpy().all()
        )


def test_gradient_of_neighbour_loss_is_that_of_finite_differences():
    a = random_logits(batch=3, heads=2, clusters=3)
    coefficients = np.array([1.0, -2.0])  # another one for each head

    def total(a):
        return slow_loss(softmax(a), 1.5) @ coefficients

    expected, h = np.zeros_like(a), 1e-5
    for place in np.ndindex(*a.shape):
        step = np.zeros_like(a)
        step[place] = h
        expected[place] = (total(a + step) - total(a - step)) / (2 * h)
    found = gradient(
        lambda x: tf.reduce_sum(
            labels.neighbour_loss(tf.nn.log_softmax(x), 1.5) * coefficients
        ),
        a.astype("float32"),
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_neighbour_loss_stays_finite_in_half_precision_if_neighbours_disagree():
    certain = np.array([[0, -65504], [-65504, 0]], np.float16)
    log_p = np.stack([certain, certain[::-1]], axis=1)[:, :, None]
    found = labels.neighbour_loss(log_p, 2.0)
    assert found.dtype == tf.float32
    # Both clusters are equally wrong, and equally large.
    expected = 65504 - math.log(2) - 2 * math.log(2)
    np.testing.assert_allclose(found, [expected], rtol=1e-6)
    slope = gradient(lambda x: labels.neighbour_loss(x, 2.0), log_p)
    assert np.isfinite(slope).all() and slope.any()
    # Agreement without doubt leaves two clusters empty, whose logarithm is -infinity.
    empty = np.full((3, 2, 1, 3), -65504, np.float16)
    empty[..., 0] = 0
    np.testing.assert_allclose(labels.neighbour_loss(empty), [0], atol=1e-6)
    slope = gradient(lambda x: labels.neighbour_loss(x, 2.0), empty)
    assert np.isfinite(slope).all()


def test_heads_do_not_disturb_one_another_in_the_loss():
    a = random_logits().astype("float32")
    b = a.copy()
    b[:, :, 1] = random_logits(seed=1)[:, :, 1]

    def loss(x):
        return labels.neighbour_loss(tf.nn.log_softmax(x))

    equal = np.asarray(loss(a)) == np.asarray(loss(b))
    np.testing.assert_array_equal(equal, [True, False, True])
    slopes = [gradient(lambda x: tf.reduce_sum(loss(x)), x) for x in (a, b)]
    for m, same in enumerate(equal):
        assert np.array_equal(slopes[0][:, :, m], slopes[1][:, :, m]) == same


def small_heads(seed=0, **kwargs):
    return labels.ClusterHeads(
        **{"clusters": 4, "heads": 3, "hidden": 5, "seed": seed, **kwargs}
    )


def randomised(model, inputs, seed=0):
    """Build a model and fill all weights, biases too, with noise."""
    model.build((None, inputs))
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(size=w.shape) for w in model.weights])
    return {w.name: np.asarray(w, np.float64) for w in model.weights}


def by_hand(weights, head, h):
    a = np.maximum(h @ weights["kernel_0"][head] + weights["bias_0"][head], 0)
    return np.log(softmax(a @ weights["kernel_1"][head] + weights["bias_1"][head]))


def test_each_head_is_a_layer_with_relu_and_a_softmax():
    model = small_heads()
    weights = randomised(model, 6)
    pairs = np.random.default_rng(1).normal(size=(9, 2, 6))
    found = np.asarray(model(pairs))
    assert found.shape == (9, 2, 3, 4)
    for m in range(3):
        np.testing.assert_allclose(
            found[:, :, m], by_hand(weights, m, pairs), rtol=1e-4, atol=1e-4
        )
    np.testing.assert_allclose(model(pairs[:, 0]), found[:, 0], atol=1e-5)


def test_heads_begin_unlike_one_another_and_the_seed_says_where():
    def start(seed):
        model = small_heads(seed)
        model.build((None, 6))
        return {w.name: np.asarray(w) for w in model.weights}

    one, again, other = start(0), start(0), start(1)
    assert {name: w.shape for name, w in one.items()} == {
        "kernel_0": (3, 6, 5),
        "bias_0": (3, 5),
        "kernel_1": (3, 5, 4),
        "bias_1": (3, 4),
    }
    for name, w in one.items():
        np.testing.assert_array_equal(w, again[name])
        if "bias" in name:
            assert not w.any()
            continue
        assert not np.isclose(w, other[name]).any()
        for i, j in itertools.combinations(range(3), 2):
            assert not np.isclose(w[i], w[j]).any()


def test_loss_of_the_heads_is_the_sum_of_their_losses():
    model = small_heads(weight=1.7)
    weights = randomised(model, 6)
    pairs = np.random.default_rng(2).normal(size=(8, 2, 6))
    p = np.exp(np.stack([by_hand(weights, m, pairs) for m in range(3)], axis=2))
    expected = slow_loss(p, 1.7).sum()
    assert float(model.compute_loss(y_pred=model(pairs))) == pytest.approx(
        expected, rel=1e-4
    )
    model.compile(optimizer=keras.optimizers.SGD(0.0), run_eagerly=True)
    history = model.fit(pairs, batch_size=8, verbose=0).history
    assert history["loss"] == [pytest.approx(expected, rel=1e-4)]


def test_a_head_learns_as_if_it_were_alone():
    pairs = np.random.default_rng(3).normal(size=(16, 2, 6)).astype("float32")
    together, alone = small_heads(), small_heads(heads=1)
    randomised(together, 6)
    alone.build((None, 6))
    before = together.get_weights()
    alone.set_weights([w[1:2] for w in before])
    for model in (together, alone):
        model.compile(optimizer=keras.optimizers.SGD(0.05), run_eagerly=True)
        model.fit(pairs, batch_size=8, epochs=3, shuffle=False, verbose=0)
    for old, many, one in zip(
        before, together.get_weights(), alone.get_weights(), strict=True
    ):
        np.testing.assert_allclose(many[1], one[0], rtol=1e-4, atol=1e-5)
        assert np.abs(many[1] - old[1]).max() > 1e-3


def trained(pairs, clusters, weight):
    """Heads after a hundred steps, and the cluster of each example from each head."""
    keras.utils.set_random_seed(0)
    model = labels.ClusterHeads(clusters, heads=4, hidden=16, weight=weight)
    model.compile(optimizer=keras.optimizers.Adam(1e-2))
    model.fit(pairs, batch_size=60, epochs=20, verbose=0)
    log_p = np.asarray(model(pairs))
    return np.asarray(labels.neighbour_loss(log_p, weight)), log_p[:, 0].argmax(axis=-1)


def test_the_head_with_the_lowest_loss_finds_well_separated_groups():
    rng = np.random.default_rng(0)
    y = np.arange(300) % 3
    centres = 4 * np.eye(5)[:3] - 4 / 3  # at equal distances
    pairs = (centres[y, None] + rng.normal(size=(300, 2, 5))).astype("float32")
    losses, cluster = trained(pairs, 3, weight=3.0)
    best = losses.argmin()
    assert losses[best] < -2.9 * math.log(3)  # at least -3 log 3
    assert metrics.clustering_accuracy(y, cluster[:, best]) > 0.95


@pytest.mark.parametrize("weight", [0.0, 3.0])
def test_without_the_entropy_all_examples_fall_into_one_cluster(weight):
    # Neighbours that have nothing in common agree only if everybody does.
    pairs = np.random.default_rng(0).normal(size=(300, 2, 5)).astype("float32")
    losses, cluster = trained(pairs, 3, weight)
    largest = [np.bincount(c).max() / 300 for c in cluster.T]
    if weight:
        assert max(largest) < 0.6
    else:
        assert min(largest) > 0.99 and losses.max() < 0.05


def test_saved_heads_sort_like_those_in_memory(tmp_path):
    model = small_heads(seed=7, weight=1.25)
    randomised(model, 6)
    model.save(tmp_path / "heads.keras")
    loaded = keras.models.load_model(tmp_path / "heads.keras")
    assert type(loaded) is labels.ClusterHeads
    config = loaded.get_config()
    settings = {"clusters": 4, "heads": 3, "hidden": 5, "weight": 1.25, "seed": 7}
    assert {name: config[name] for name in settings} == settings
    pairs = np.random.default_rng(4).normal(size=(8, 2, 6))
    np.testing.assert_array_equal(loaded(pairs), model(pairs))
    np.testing.assert_array_equal(
        loaded.compute_loss(y_pred=loaded(pairs)),
        model.compute_loss(y_pred=model(pairs)),
    )


def test_names_of_clusters_are_the_best_of_all_permutations():
    rng = np.random.default_rng(0)
    for n in (5, 8, 30):
        for _ in range(20):
            cluster = rng.integers(0, 4, n)  # of five examples, some cluster is empty
            scores = rng.dirichlet(np.full(4, 0.5), size=n) * rng.uniform(0.1, 9, 4)
            share = scores / scores.sum(axis=0)

            def held(names, cluster=cluster, share=share):
                return sum(s[names[c]] for c, s in zip(cluster, share, strict=True))

            best = max(itertools.permutations(range(4)), key=held)
            names = labels.name_clusters(cluster, scores)
            assert sorted(names) == [0, 1, 2, 3]
            # Two empty clusters may swap their names.
            assert held(names) == pytest.approx(held(best), abs=1e-12)
            if len(set(cluster)) >= 3:
                np.testing.assert_array_equal(names, best)


def test_renamed_classes_get_their_names_back():
    rng = np.random.default_rng(1)
    y, renamed = np.arange(50) % 5, rng.permutation(5)
    names = labels.name_clusters(renamed[y], np.eye(5)[y])
    np.testing.assert_array_equal(names[renamed[y]], y)
    np.testing.assert_array_equal(names, np.argsort(renamed))


def test_bad_arguments_are_named():
    h, pair = np.eye(4), np.array([[1], [0]])
    S = labels.affinity(pair, np.ones((2, 1)))
    log_p, scores = np.zeros((4, 2, 1, 3)), np.ones((3, 2))
    for call, message in [
        (lambda: labels.neighbours(h[0]), r"h must have shape \[n, d\], got \(4,\)"),
        (lambda: labels.neighbours(h, 0), "k must be from 1 to n - 1, got 0 for 4"),
        (lambda: labels.neighbours(h, 4), "k must be from 1 to n - 1, got 4 for 4"),
        (lambda: labels.neighbours(h, 1.5), "k must be from 1 to n - 1, got 1.5"),
        (lambda: labels.affinity(pair, np.ones((2, 2))), "index and cosine must have"),
        (lambda: labels.affinity(pair[0], pair[0]), "index and cosine must have one"),
        (lambda: labels.affinity(pair, pair, 0), "power must be above 0, got 0"),
        (lambda: labels.affinity(pair, pair, math.nan), "power must be above 0"),
        (lambda: labels.propagate(S, [0], [0, 1], 2), "labelled and y must have one"),
        (lambda: labels.propagate(S, pair, pair, 2), "labelled and y must have one"),
        (lambda: labels.propagate(S, [0], [0], 2), r"y must hold each .* got \[0\]"),
        (lambda: labels.propagate(S, [0, 1], [1, 2], 2), r"y must hold .*\[1, 2\]"),
        (lambda: labels.propagate(S, [0, 1], [0, 1]), "each class from 0 to 9"),
        (lambda: labels.propagate(S, [0], [0], 1, 1.0), "alpha must be from 0 to bel"),
        (lambda: labels.propagate(S, [0], [0], 1, -0.1), "alpha must .* got -0.1"),
        (lambda: labels.propagate(S, [0], [0], 1, math.nan), "alpha must be from 0"),
        (lambda: labels.neighbour_loss(log_p[0]), r"log_p must have .* got \(2, 1, 3"),
        (lambda: labels.neighbour_loss(log_p[:, :1]), r"log_p must have shape \[batc"),
        (lambda: labels.neighbour_loss(log_p, -1), "weight must be at least 0, got -1"),
        (lambda: labels.neighbour_loss(log_p, math.nan), "weight must be at least 0"),
        (lambda: small_heads(clusters=1), "clusters must be an integer of at least 2"),
        (lambda: small_heads(heads=0), "heads must be an integer of at least 1, got 0"),
        (lambda: small_heads(hidden=0), "hidden must be an integer of at least 1"),
        (lambda: small_heads(hidden=2.5), "hidden must be an integer .* got 2.5"),
        (lambda: labels.name_clusters([0, 1], scores), "cluster and scores must have"),
        (lambda: labels.name_clusters([0], scores[0]), "cluster and scores must have"),
        (lambda: labels.name_clusters([0, 1, 2], scores), "cluster must .* got 0 to 2"),
        (lambda: labels.name_clusters([0, 1, -1], scores), "cluster must .* got -1 to"),
        (lambda: labels.name_clusters([0, 1, 0], 0 * scores), "scores must have a pos"),
        (lambda: labels.neighbours(np.eye(4), 1, np.eye(3)), "queries must have shape"),
        (lambda: labels.ClusterHeads(weight=-1.0), "weight must be at least 0, got -1"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()


def test_row_at_the_centre_is_nobodys_neighbour():
    h = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1], [0, 0]])
    _, cosine = labels.neighbours(h, k=4)
    np.testing.assert_allclose(cosine[4], 0, atol=1e-6)


def test_weak_edges_are_normalised_like_strong_ones():
    S = labels.affinity(np.array([[1], [0]]), np.array([[1e-5], [1e-5]]))
    np.testing.assert_allclose(S.toarray(), [[0, 1], [1, 0]], rtol=1e-6)
