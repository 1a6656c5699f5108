import dataclasses
import os
import warnings

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from sslkit import data, evaluate, metrics
from sslkit.evaluate import Features


@pytest.fixture(scope="module")
def blobs() -> Features:
    """Three overlapping clouds in five dimensions, far from the origin."""
    h, y = make_blobs(900, 5, centers=3, cluster_std=4.0, random_state=0)
    h = (3.0 * h + 40.0).astype("float32")
    return Features(h[:600], y[:600], h[600:], y[600:])


# --- embed and features -----------------------------------------------------------


def test_embedding_does_not_depend_on_the_batch_size(make_dataset):
    images = make_dataset(n_train=25).x_train
    whole = evaluate.embed(evaluate.raw_pixels, images)
    np.testing.assert_array_equal(
        whole, evaluate.embed(evaluate.raw_pixels, images, batch_size=7)
    )
    np.testing.assert_allclose(whole, images.reshape(25, -1) / 255, rtol=1e-6)


def test_a_keras_model_and_a_function_go_through_the_same_door(make_dataset):
    from sslkit import networks

    model = networks.dense_encoder(4)
    images = make_dataset(n_train=12).x_train
    np.testing.assert_allclose(
        evaluate.embed(model, images, batch_size=5),
        model.predict(images / np.float32(255), verbose=0),
        rtol=1e-4,
        atol=1e-6,
    )


def test_pca_encoder_reconstructs_like_the_singular_value_decomposition(make_dataset):
    images = make_dataset(n_train=50).x_train
    flat = images.reshape(50, -1) / 255
    encoder = evaluate.pca_encoder(images, 10)
    back = encoder.pca.inverse_transform(encoder(images / np.float32(255)))
    s = np.linalg.svd(flat - flat.mean(axis=0), compute_uv=False)
    assert ((flat - back) ** 2).sum() == pytest.approx((s[10:] ** 2).sum(), rel=1e-4)


def test_validation_never_touches_the_test_set(make_dataset):
    dataset = make_dataset()
    split = evaluate.features(evaluate.raw_pixels, dataset)
    assert (len(split.y_train), len(split.y_eval)) == (50, 10)
    rows = evaluate.embed(evaluate.raw_pixels, dataset.x_train)
    np.testing.assert_array_equal(np.vstack([split.h_train, split.h_eval]), rows)


def test_the_test_set_comes_with_all_training_images(make_dataset):
    dataset = make_dataset()
    split = evaluate.features(evaluate.raw_pixels, dataset, on="test")
    assert (len(split.y_train), len(split.y_eval)) == (60, 30)
    np.testing.assert_array_equal(split.y_eval, dataset.y_test)


def test_features_refuses_an_unknown_split(make_dataset):
    with pytest.raises(ValueError, match="on must be 'val' or 'test', got 'train'"):
        evaluate.features(evaluate.raw_pixels, make_dataset(), on="train")


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (lambda x: x.sum(axis=(1, 2)), "one row of features per image"),
        (lambda x: x[:2], "one row of features per image"),
        (lambda x: np.full((len(x), 2), np.nan), "NaN or infinity in 5 of 5 rows"),
    ],
)
def test_a_faulty_encoder_is_named(encoder, message):
    with pytest.raises(ValueError, match=message):
        evaluate.embed(encoder, np.zeros((5, 28, 28), "uint8"))


@pytest.mark.parametrize(
    ("images", "batch_size", "message"),
    [
        (np.zeros((0, 28, 28), "uint8"), 10, "images is empty"),
        (np.zeros((5, 28, 28), "uint8"), 0, "batch_size must be at least 1"),
        (np.zeros((5, 784), "uint8"), 10, "28"),
        (np.zeros((5, 28, 28), "float64"), 10, "uint8"),
    ],
)
def test_embed_refuses_bad_images(images, batch_size, message):
    with pytest.raises(ValueError, match=message):
        evaluate.embed(evaluate.raw_pixels, images, batch_size)


@pytest.mark.parametrize("n", [0, 51, 785])
def test_pca_refuses_impossible_numbers_of_components(n, make_dataset):
    with pytest.raises(ValueError, match="n_components must be 1 to 50"):
        evaluate.pca_encoder(make_dataset(n_train=50).x_train, n)


# --- probes -------------------------------------------------------------------------


def test_knn_agrees_with_scikit_learn_by_cosine(blobs):
    k, temperature = 15, 0.07
    reference = KNeighborsClassifier(
        k,
        metric="cosine",
        algorithm="brute",
        weights=lambda distance: np.exp((1 - distance) / temperature),
    ).fit(blobs.h_train.astype("float64"), blobs.y_train)
    expected = reference.score(blobs.h_eval.astype("float64"), blobs.y_eval)
    assert evaluate.knn_probe(blobs, k, temperature) == pytest.approx(
        expected, abs=1 / len(blobs.y_eval)
    )


def test_knn_with_one_neighbour_recalls_its_own_training_set(blobs):
    same = Features(blobs.h_train, blobs.y_train, blobs.h_train, blobs.y_train)
    assert evaluate.knn_probe(same, k=1) == 1.0


def test_knn_ignores_length_and_uses_direction():
    h = np.array([[1, 0], [0, 1]], "float32")
    y = np.array([4, 7])
    assert evaluate.knn_probe(Features(h, y, 1e4 * h, y), k=1) == 1.0


def test_linear_probe_agrees_with_scikit_learn(blobs):
    h = blobs.h_train.astype("float64")
    scale = np.sqrt(np.mean((h - h.mean(axis=0)) ** 2))
    model = LogisticRegression(C=0.1, max_iter=1000, tol=1e-8)
    model.fit((h - h.mean(axis=0)) / scale, blobs.y_train)
    expected = model.score((blobs.h_eval - h.mean(axis=0)) / scale, blobs.y_eval)
    probe = evaluate.linear_probe(blobs, Cs=[0.1])
    assert probe.C == 0.1
    assert probe.accuracy == pytest.approx(expected, abs=1 / len(blobs.y_eval))


def test_linear_probe_does_not_depend_on_the_scale_of_the_features(blobs):
    scaled = blobs._replace(h_train=100 * blobs.h_train, h_eval=100 * blobs.h_eval)
    a, b = evaluate.linear_probe(blobs), evaluate.linear_probe(scaled)
    assert a.C == b.C
    assert a.accuracy == pytest.approx(b.accuracy, abs=1 / len(blobs.y_eval))


def test_linear_probe_chooses_on_the_last_sixth_of_its_training_side(blobs):
    # Labels of the last sixth are shuffled, so that the strongest regularisation,
    # which predicts little but the commonest class, fits it best.
    rng = np.random.default_rng(0)
    y = blobs.y_train.copy()
    y[500:] = np.where(rng.random(100) < 0.9, np.bincount(y[:500]).argmax(), 0)
    assert evaluate.linear_probe(blobs._replace(y_train=y), [1e-6, 10.0]).C == 1e-6
    assert evaluate.linear_probe(blobs, [1e-6, 10.0]).C == 10.0


def test_nothing_learnt_depends_on_the_evaluation_side(blobs):
    other = blobs._replace(h_eval=7 - 5 * blobs.h_eval, y_eval=2 - blobs.y_eval)
    assert evaluate.linear_probe(blobs).C == evaluate.linear_probe(other).C
    np.testing.assert_array_equal(
        evaluate._standardise(blobs).h_train, evaluate._standardise(other).h_train
    )


def test_probes_of_collapsed_features_are_at_chance():
    y = np.arange(300) % 10
    flat = np.ones((300, 8), "float32")
    split = Features(flat, y, flat, y)
    assert evaluate.linear_probe(split, Cs=[1.0]).accuracy == pytest.approx(0.1)
    assert evaluate.few_label_probe(split, [2], draws=2)[2].mean == pytest.approx(0.1)


def test_few_label_probe_is_the_mean_over_its_draws(blobs):
    h_train, y_train, h_eval, y_eval = evaluate._standardise(blobs)
    accuracies = []
    for seed in (5, 6, 7):
        chosen = data.few_labels(y_train, 4, seed)
        model = LogisticRegression(C=1.0, max_iter=200)
        accuracies.append(
            model.fit(h_train[chosen], y_train[chosen]).score(h_eval, y_eval)
        )
    score = evaluate.few_label_probe(blobs, [4], draws=3, seed=5)[4]
    assert score.mean == pytest.approx(np.mean(accuracies))
    assert score.sd == pytest.approx(np.std(accuracies, ddof=1))
    assert score.n == 3


def test_more_labels_help(blobs):
    scores = evaluate.few_label_probe(blobs, [1, 50], draws=5)
    assert scores[50].mean > scores[1].mean


def test_cluster_probe_finds_separate_clouds_and_needs_no_labels():
    h, y = make_blobs(400, 4, centers=4, cluster_std=0.1, random_state=1)
    h = h.astype("float32")
    split = Features(h[:200], y[:200], h[200:], y[200:])
    permuted = np.random.default_rng(0).permutation(split.y_train)
    assert evaluate.cluster_probe(split).mean == 1.0
    assert evaluate.cluster_probe(split._replace(y_train=permuted)).mean == 1.0


def test_no_warning_reaches_the_notebook(blobs):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate.linear_probe(blobs, Cs=[1e6])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_train": np.zeros(3, int)}, "h_train must have shape"),
        ({"y_eval": np.zeros(3, int)}, "h_eval must have shape"),
        ({"h_train": np.zeros(600, "float32")}, "h_train must have shape"),
        ({"h_eval": np.zeros((300, 6), "float32")}, "one encoder for both"),
        ({"h_eval": np.full((300, 5), np.inf)}, "h_eval hold NaN or infinity"),
        (
            {"h_eval": np.zeros((0, 5), "float32"), "y_eval": np.zeros(0, int)},
            "h_eval must have shape",
        ),
    ],
)
@pytest.mark.parametrize(
    "probe",
    [
        evaluate.linear_probe,
        evaluate.knn_probe,
        evaluate.few_label_probe,
        evaluate.cluster_probe,
    ],
)
def test_every_probe_refuses_bad_features(probe, change, message, blobs):
    with pytest.raises(ValueError, match=message):
        probe(blobs._replace(**change))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: evaluate.knn_probe(s, k=0), "k must be 1 to 600"),
        (lambda s: evaluate.knn_probe(s, k=601), "k must be 1 to 600"),
        (lambda s: evaluate.knn_probe(s, temperature=0), "temperature"),
        (lambda s: evaluate.linear_probe(s, Cs=[1, -1]), "Cs must hold positive"),
        (lambda s: evaluate.linear_probe(s, Cs=[]), "Cs must hold positive"),
        (lambda s: evaluate.few_label_probe(s, draws=1), "draws must be at least 2"),
        (lambda s: evaluate.few_label_probe(s, [500]), "500"),
        (lambda s: evaluate.cluster_probe(s, seeds=[0]), "at least two values"),
    ],
)
def test_settings_out_of_range_are_refused(call, message, blobs):
    with pytest.raises(ValueError, match=message):
        call(blobs)


def test_too_few_examples_to_choose_with_are_refused():
    h, y = np.eye(4, dtype="float32"), np.array([0, 1, 0, 1])
    with pytest.raises(ValueError, match="single C"):
        evaluate.linear_probe(Features(h, y, h, y))


# --- protocol -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def few(sample):
    return data.Dataset(
        "few", sample.x_train[:600], sample.y_train[:600],
        sample.x_test[:100], sample.y_test[:100], "sample", "0" * 64,
    )  # fmt: skip


def coarse(images):
    return images[:, 7::14, 7::14].reshape(len(images), -1)


@pytest.mark.parametrize("on", ["val", "test"])
def test_protocol_is_every_probe_on_one_split(on, few):
    scores = evaluate.protocol(coarse, few, on=on)
    split = evaluate.features(coarse, few, on=on)
    shots = evaluate.few_label_probe(split)
    assert scores == {
        "knn": evaluate.knn_probe(split),
        "linear": evaluate.linear_probe(split).accuracy,
        "rank": metrics.effective_rank(split.h_eval),
        **{f"shot{n}": shots[n] for n in (1, 5, 10, 16)},
        "cluster": evaluate.cluster_probe(split),
    }


def test_protocol_judges_on_validation_unless_told_otherwise(few):
    # Whatever the test set holds, the answer is that of the training images.
    other = dataclasses.replace(few, x_test=255 - few.x_test, y_test=few.y_test[::-1])
    assert evaluate.protocol(coarse, other) == evaluate.protocol(coarse, few, on="val")


def test_protocol_of_several_encoders_has_their_mean_and_spread(few):
    def finer(images):
        return images[:, 5::14, 7::14].reshape(len(images), -1)

    a, b = (evaluate.protocol(encoder, few) for encoder in (coarse, finer))
    group = evaluate.protocol([coarse, finer], few)
    for name in ("knn", "linear", "rank"):
        assert group[name] == evaluate.spread([a[name], b[name]])
    for name in set(a) - {"knn", "linear", "rank"}:
        assert group[name] == a[name]
    assert evaluate.protocol([coarse], few) == a


@pytest.mark.skipif(not os.environ.get("SSLKIT_DATA"), reason="needs all of MNIST")
def test_pca_reproduces_the_figure_printed_in_2006():
    # Hinton & Salakhutdinov (2006), figure 2B: 13.87 per image with 30 components.
    mnist = data.load_mnist("folder")
    encoder = evaluate.pca_encoder(mnist.x_train, 30)
    x = evaluate.raw_pixels(data.unit_interval(mnist.x_test))
    back = encoder.pca.inverse_transform(encoder.pca.transform(x))
    assert ((x - back) ** 2).sum(axis=1).mean() == pytest.approx(13.87, abs=0.005)
