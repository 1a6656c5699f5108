"""Corpus, counts, skip-gram and masked words against definitions and slow loops."""

import math

import keras
import numpy as np
import pytest
from scipy import optimize, sparse
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.metrics import mutual_info_score

from sslkit import data, text

DOCSTRING = """\
Mean of an array of numbers, by NumPy.

    indented = "is code or a formula, and is left out of it"

Parameters
----------
a_name_at_the_margin : array of many many more types
    The numbers whose mean is wanted, 1-D.

Returns
-------
out : float
    The mean of ``a`` as np.float64 in the end.

See Also
--------
median : This section is not read at all, whatever it says.

Examples
--------
A mean of two numbers is between the two.

>>> this line is part of a session and left out
"""


# --- corpus -----------------------------------------------------------------------


def test_passages_are_the_english_of_the_sections():
    found = [(role, " ".join(words)) for role, words in text.passages(DOCSTRING)]
    assert found == [
        ("Summary", "mean of an array of numbers by <name>"),
        ("Parameters", "the numbers whose mean is wanted <number> d"),
        ("Returns", "the mean of <code> as <code> in the end"),
        ("Examples", "a mean of two numbers is between the two"),
    ]


def test_long_paragraphs_are_cut_and_short_ends_dropped():
    lengths = [len(w) for _, w in text.passages("word " * (2 * text.LENGTH + 5))]
    assert lengths == [text.LENGTH, text.LENGTH]
    assert list(text.passages("five words are too few")) == []


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("See :func:`scipy.stats.norm` or `~x`.", "see <code> or <code>"),
        ("Use n_jobs=2 and fit() or a.shape[0]", "use <code> and <code> or <code>"),
        ("i.e. scikit-learn's 0.5", "i e <name> s <number>"),
        ("https://example.org/a isn't it", "<code> isn't it"),
        ("NumPy, SciPy and pd", "<name> <name> and <name>"),
    ],
)
def test_words_hide_code_numbers_and_names(raw, expected):
    assert " ".join(text.words(raw)) == expected


def test_drop_repeats_leaves_no_run_in_two_files():
    rng = np.random.default_rng(0)
    passages = [list(rng.integers(0, 2, rng.integers(3, 9))) for _ in range(60)]
    files = [str(i) for i in rng.integers(0, 4, 60)]
    kept = text.drop_repeats(passages, files, run=4)
    assert 1 < len(kept) < 60

    def runs(i):
        p = passages[i]
        return {tuple(p[s : s + 4]) for s in range(max(1, len(p) - 3))}

    for i in range(60):
        earlier = [j for j in kept if j < i]
        repeats = any(passages[i] == passages[j] for j in earlier) or any(
            runs(i) & runs(j) for j in earlier if files[i] != files[j]
        )
        assert (i in kept) == (not repeats)
    with pytest.raises(ValueError, match="files has 1 names for 2 passages"):
        text.drop_repeats(["a", "b"], ["1"])


def test_vocabulary_goes_by_frequency_and_knows_what_it_does_not_know():
    vocabulary = text.Vocabulary([["b", "a"], ["a", "c", "b", "d"]], least=1)
    assert vocabulary.words[3:] == ("a", "b", "c", "d")
    assert len(vocabulary) == 7
    ids = vocabulary.encode([["a", "z", "c", "d"], []], length=3)
    assert ids.tolist() == [[3, text.UNKNOWN, 5], [0, 0, 0]]
    assert ids.dtype == np.int32


@pytest.fixture(scope="module")
def corpus():
    return text.load_docstrings(every=60)


def test_corpus_has_whole_files_on_a_side_and_is_remembered(corpus, capsys):
    by_file = {}
    for file, side in zip(corpus.file, corpus.side, strict=True):
        assert by_file.setdefault(file, side) == side
    for package, file in zip(corpus.package, corpus.file, strict=True):
        assert file.startswith(text.PACKAGES[package] + "/")
    assert set(corpus.side) == {0, 1, 2} and set(corpus.role) == set(range(5))
    assert all(6 <= len(passage) <= 32 for passage in corpus.passages)
    assert len(corpus.passages) < corpus.found
    noted = [e for e in data.loaded() if e["sha256"] == corpus.sha256]
    assert noted[0]["source"] == "sample"
    assert noted[0]["train"] == np.sum(corpus.side == 0)
    for name in ("numpy", "matplotlib", "pandas", "sklearn", "scipy"):
        assert not any(name in passage for passage in corpus.passages)


@pytest.mark.parametrize("every", [0, 1.5])
def test_corpus_refuses_a_part_that_is_none(every):
    with pytest.raises(ValueError, match="every must be a positive integer"):
        text.load_docstrings(every)


# --- counting ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def ids():
    """Random rows of words 3 to 8, some rare, padded at the end."""
    rng = np.random.default_rng(0)
    rows = rng.choice([1, 3, 4, 5, 6, 7, 8], (40, 9), p=[0.1] + [0.15] * 6)
    rows[np.arange(9) >= rng.integers(2, 10, (40, 1))] = text.PAD
    return rows.astype(np.int32)


def test_counts_are_those_of_a_loop(ids):
    slow = np.zeros((9, 9))
    for row in ids:
        for i in range(9):
            for j in range(max(0, i - 2), min(9, i + 3)):
                if i != j and row[i] > 1 and row[j] > 1:
                    slow[row[i], row[j]] += 1
    fast = text.cooccurrence(ids, size=9, window=2)
    np.testing.assert_array_equal(fast.toarray(), slow)
    assert len(text.pairs(ids, 2)) == slow.sum()


def test_mean_of_pmi_is_the_mutual_information_of_scikit_learn(ids):
    word, context = text.pairs(ids, 2).T
    counts = text.cooccurrence(ids, size=9, window=2)
    mean = (counts * text.pmi(counts)).sum() / counts.sum()
    assert mean == pytest.approx(mutual_info_score(word, context), rel=1e-9)


def test_pmi_of_a_table_by_hand():
    counts = sparse.csr_array([[4.0, 0.0, 2.0], [1.0, 5.0, 0.0]])
    expected = np.log(
        np.array([4 * 12 / (6 * 5), 2 * 12 / (6 * 2), 12 / (6 * 5), 5 * 12 / (6 * 5)])
    )
    matrix = text.pmi(counts)
    np.testing.assert_allclose(matrix.data, expected)
    positive = text.ppmi(counts, negatives=1.5)
    np.testing.assert_allclose(
        positive.toarray(),
        [
            [np.log(1.6 / 1.5), 0, np.log(2 / 1.5)],
            [0, np.log(2 / 1.5), 0],
        ],
    )
    assert positive.nnz == 3


def test_word_document_counts_of_scikit_learn_are_sums_over_rows():
    vectorizer = CountVectorizer(analyzer=lambda p: p)
    counts = vectorizer.fit_transform([["a", "b", "a"], ["b"]])
    assert counts.toarray().tolist() == [[2, 1], [0, 1]]


def test_svd_vectors_are_those_of_numpy_up_to_sign():
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(12, 3)) @ np.diag([9, 4, 1]) @ rng.normal(size=(3, 10))
    U, S, _ = np.linalg.svd(matrix)
    found = text.svd_vectors(sparse.csr_array(matrix), d=2)
    expected = U[:, :2] * np.sqrt(S[:2])
    np.testing.assert_allclose(np.abs(found), np.abs(expected), rtol=1e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: text.pairs([[3, 4]], 0), "window must be a positive integer"),
        (lambda: text.ppmi(sparse.csr_array([[1.0]]), 0.5), "negatives must be at"),
        (lambda: text.svd_vectors(sparse.csr_array(np.eye(3)), 3), "d must be 1 to 2"),
        (lambda: text.mean_vectors(abs, []), "ids must have shape"),
        (lambda: text.SkipGram([0, 0]), "counts must be"),
        (lambda: text.SkipGram([1, -1]), "counts must be"),
        (lambda: text.SkipGram([1, 1], d=0), "d must be a positive"),
        (lambda: text.SkipGram([1, 1], negatives=0), "negatives must be a positive"),
        (lambda: text.transformer_encoder(9, d=6, heads=4), "multiple of heads"),
        (lambda: text.transformer_encoder(9, blocks=0), "must be positive"),
        (lambda: masked_model(share=1.0), "share must be above 0"),
        (lambda: text.nearest(np.eye(4), text.Vocabulary([]), "no"), "not in the voc"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# --- skip-gram --------------------------------------------------------------------


def test_sgns_loss_is_its_definition():
    seen, drawn = np.array([0.3, -2.0]), np.array([[1.0, -1.0], [0.5, 3.0]])
    slow = [
        -math.log(1 / (1 + math.exp(-a)))
        - sum(math.log(1 / (1 + math.exp(b))) for b in row)
        for a, row in zip(seen, drawn, strict=True)
    ]
    np.testing.assert_allclose(text.sgns_loss(seen, drawn), slow, rtol=1e-6)


@pytest.mark.parametrize("k", [1, 5])
def test_best_product_is_pmi_minus_log_k(k):
    """The mean loss as a function of one product, minimised by SciPy."""
    counts = np.array([[6.0, 2.0], [1.0, 7.0]])
    share = counts / counts.sum()
    expected = np.outer(share.sum(axis=1), share.sum(axis=0))
    for (i, j), together in np.ndenumerate(share):

        def loss(a, together=together, apart=k * expected[i, j]):
            one = np.array([a], "float64")
            seen = float(text.sgns_loss(one, np.zeros((1, 0)))[0])
            drawn = float(text.sgns_loss(-one, np.zeros((1, 0)))[0])
            return together * seen + apart * drawn

        best = optimize.minimize_scalar(loss, bounds=(-5, 5), method="bounded").x
        pmi = np.log(together / expected[i, j])
        assert best == pytest.approx(pmi - np.log(k), abs=1e-3)


def test_trained_products_approach_pmi_minus_log_k():
    counts = np.array([[30, 10, 5], [10, 20, 15], [5, 15, 40]])
    found = np.argwhere(counts)
    pairs = np.repeat(found, counts[counts > 0], axis=0).astype(np.int32)
    pairs = np.tile(pairs, (40, 1))
    keras.utils.set_random_seed(0)
    model = text.SkipGram(counts.sum(axis=0), d=3, negatives=2)
    decay = keras.optimizers.schedules.CosineDecay(0.1, 600)
    model.compile(optimizer=keras.optimizers.Adam(decay))
    model.fit(pairs, batch_size=300, epochs=30, verbose=0)
    products = model.vectors @ np.asarray(model.context.embeddings).T
    shifted = text.pmi(sparse.csr_array(counts)).toarray() - np.log(2)
    np.testing.assert_allclose(products, shifted, atol=0.12)


def test_contexts_are_drawn_as_often_as_they_occur():
    model = text.SkipGram([0, 1, 0, 16], d=2, power=0.5)
    drawn = np.asarray(model.draw((200, 100))).ravel()
    shares = np.bincount(drawn, minlength=4) / drawn.size
    np.testing.assert_allclose(shares, [0, 0.2, 0, 0.8], atol=0.02)


def test_skip_gram_goes_on_after_loading_as_it_would_have(tmp_path):
    model = text.SkipGram([0, 3, 3], d=2, negatives=2, power=0.75, seed=4)
    model.compile(optimizer="adam")
    pairs = np.array([[1, 2], [2, 1]], np.int32)
    model.fit(pairs, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.vectors, model.vectors)
    np.testing.assert_allclose(loaded(pairs), model(pairs))


# --- masked words -----------------------------------------------------------------


def masked_model(share=0.15, size=30, length=20):
    encoder = text.transformer_encoder(size, d=8, blocks=1, heads=2, length=length)
    return text.MaskedLanguageModel(encoder, text.word_head(size, d=8), share=share)


@pytest.fixture(scope="module")
def rows():
    """Rows of 0 to 20 words from 3 to 29, padded at the end."""
    rng = np.random.default_rng(0)
    rows = rng.integers(3, 30, (2000, 20)).astype(np.int32)
    rows[np.arange(20) >= rng.integers(0, 21, (2000, 1))] = text.PAD
    return rows


@pytest.mark.parametrize("share", [0.15, 0.5])
def test_as_many_words_are_chosen_as_were_asked_for(rows, share):
    places, weights = map(np.asarray, masked_model(share).choose(rows))
    real = (rows > text.UNKNOWN).sum(axis=1)
    wanted = np.minimum(np.maximum(np.round(share * real), 1), real)
    np.testing.assert_array_equal(weights.sum(axis=1), wanted)
    for row, place, weight in zip(rows, places, weights, strict=True):
        own = place[weight > 0]
        assert len(set(own)) == len(own) and (row[own] > text.UNKNOWN).all()


def test_eight_of_ten_are_hidden_one_swapped_one_kept(rows):
    model = masked_model(0.5)
    full = rows[(rows > 0).all(axis=1)]
    full = np.tile(full, (20, 1))
    places, weights = model.choose(full)
    damaged = np.asarray(model.hide(full, places, weights))
    chosen = np.zeros(full.shape, bool)
    np.put_along_axis(chosen, np.asarray(places), True, axis=1)
    np.testing.assert_array_equal(damaged[~chosen], full[~chosen])
    before, after = full[chosen], damaged[chosen]
    assert np.mean(after == text.MASK) == pytest.approx(0.8, abs=0.02)
    # One of 27 swapped words is drawn as what it was.
    assert np.mean(after == before) == pytest.approx(0.1 + 0.1 / 27, abs=0.02)
    assert set(after) <= {text.MASK, *range(3, 30)}


def test_loss_looks_at_the_chosen_words_only():
    rng = np.random.default_rng(0)
    words, logits = rng.integers(0, 7, (4, 3)), rng.normal(size=(4, 3, 7))
    weights = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [1, 1, 1]])
    slow, n = 0.0, 0
    for i, j in np.argwhere(weights):
        exps = [math.exp(a) for a in logits[i, j]]
        slow -= math.log(exps[words[i, j]] / sum(exps))
        n += 1
    found = float(text.masked_cross_entropy(words, logits, weights))
    assert found == pytest.approx(slow / n, rel=1e-5)
    logits[weights == 0] += 100 * rng.normal(size=7)
    assert float(text.masked_cross_entropy(words, logits, weights)) == found
    assert float(text.masked_cross_entropy(words, logits, 0 * weights)) == 0


def test_model_predicts_the_words_it_hid(rows):
    model = masked_model()
    answer = {key: np.asarray(value) for key, value in model(rows[:50]).items()}
    assert answer["logits"].shape == (50, 3, 30)
    for row, words, weights in zip(
        rows[:50], answer["words"], answer["weights"], strict=True
    ):
        assert set(words[weights > 0]) <= set(row[row > text.UNKNOWN])
    loss = model.compute_loss(x=rows[:50], y_pred=answer)
    assert float(loss) == pytest.approx(math.log(30), abs=0.5)


def test_model_learns_a_word_from_its_neighbour():
    rng = np.random.default_rng(0)
    first = rng.integers(3, 16, (3000, 1))
    ids = np.repeat(first, 4, axis=1).astype(np.int32)  # a word, four times
    keras.utils.set_random_seed(0)
    encoder = text.transformer_encoder(16, d=16, blocks=1, heads=2, length=4)
    model = text.MaskedLanguageModel(encoder, text.word_head(16, d=16), share=0.25)
    model.compile(optimizer=keras.optimizers.Adam(1e-2))
    losses = model.fit(ids, batch_size=100, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < 0.3 < math.log(13) - 0.3


def test_padding_changes_no_vector():
    encoder = text.transformer_encoder(30, d=8, blocks=2, heads=2, length=6)
    row = np.array([[5, 9, 0, 0, 0, 0]])
    longer = np.array([[5, 9, 12, 0, 0, 0]])
    alone, more = np.asarray(encoder(row)), np.asarray(encoder(longer))
    assert not np.allclose(alone[0, :2], more[0, :2], atol=1e-4)
    table = encoder.get_layer("words").get_weights()[0]
    table[0] = 1000.0
    encoder.get_layer("words").set_weights([table])
    np.testing.assert_allclose(np.asarray(encoder(row))[0, :2], alone[0, :2], atol=1e-5)


def test_masked_model_goes_on_after_loading_as_it_would_have(rows, tmp_path):
    model = masked_model(share=0.3)
    model.compile(optimizer="adam")
    model.fit(rows[:64], verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.share == 0.3
    one, other = model(rows[:5]), loaded(rows[:5])
    for key in one:
        np.testing.assert_allclose(one[key], other[key], rtol=1e-5)
    np.testing.assert_allclose(loaded.encoder(rows[:5]), model.encoder(rows[:5]))


# --- features ---------------------------------------------------------------------


def test_means_are_those_of_a_loop_whatever_the_batches(ids):
    table = np.random.default_rng(0).normal(size=(9, 4))
    table[text.PAD] = 99
    slow = [np.mean([table[i] for i in row if i != text.PAD], axis=0) for row in ids]
    for batch_size in (7, 500):
        found = text.mean_vectors(table.__getitem__, ids, batch_size)
        np.testing.assert_allclose(found, slow, rtol=1e-5)
    assert text.mean_vectors(table.__getitem__, [[0, 0]]).tolist() == [[0, 0, 0, 0]]


def test_nearest_goes_by_angle_and_leaves_out_what_is_no_word():
    vocabulary = text.Vocabulary([["a", "b", "c", "d"]], least=1)
    table = np.array([[1, 0], [1, 0], [1, 0], [1, 0], [0, 1], [5, 1], [1, 1]])
    assert text.nearest(table, vocabulary, "a", count=3) == ["c", "d", "b"]
