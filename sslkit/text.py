"""Text without labels: counts, word vectors, masked words (chapter *Text*).

The corpus is what the documentation of installed packages says in English, read from
their source files. Passages become rows of word numbers `[n, length]`, padded with
`PAD`, and every method starts from such rows.
"""

import ast
import hashlib
import importlib.util
import re
import textwrap
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.decomposition import TruncatedSVD

from sslkit import data, distribute
from sslkit.base import Composite

PACKAGES = ("numpy", "scipy", "sklearn", "matplotlib", "pandas")
"""Packages whose documentation is read; the first label of a passage."""

ROLES = ("Summary", "Parameters", "Returns", "Notes", "Examples")
"""Sections of a docstring that are read; the second label of a passage."""

_TENTHS = (2, 0, 0, 0, 0, 2, 0, 1, 0, 0)

SIDES = ("train", "val", "test")
"""Sides of the split, each with files of its own."""

PAD, UNKNOWN, MASK = 0, 1, 2
"""Numbers of the three entries that are no words: padding, rare word, hidden word."""

LENGTH = 32
"""Words in the longest passage."""

SHORTEST = 6
"""Words in the shortest passage."""

_HEADING = re.compile(r"^([A-Z][A-Za-z ]+)\n-{3,}[ ]*$", re.M)
_CODE = re.compile(
    r":[\w:]+:`[^`]+`|``.+?``|`[^`]+`_*|https?:\S+"
    r"|\S*(?:\w\(|[_=\[\]{}\\@]|[A-Za-z]{2}\.[A-Za-z]{2})\S*"
)
_NAME = re.compile(
    r"\b(?:scikit-learn|numpy|np|scipy|sklearn|scikit|matplotlib|pyplot|plt|mpl"
    r"|pylab|pandas|pd)\b"
)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_WORD = re.compile(r"<code>|<name>|<number>|[a-z]+(?:'[a-z]+)?")


@dataclass(frozen=True, eq=False, repr=False)
class Corpus:
    """Passages of English with two labels each.

    Attributes:
        passages: Lists of `SHORTEST` to `LENGTH` words, n of them.
        file: Source file of each, n names.
        package: Positions in `PACKAGES`, int64 `[n]`.
        role: Positions in `ROLES`, int64 `[n]`.
        side: Positions in `SIDES`, int64 `[n]`; the same for all of a file.
        found: Number of passages before repeats were dropped.
    """

    passages: list[list[str]]
    file: list[str]
    package: NDArray[np.int64]
    role: NDArray[np.int64]
    side: NDArray[np.int64]
    found: int

    @property
    def sha256(self) -> str:
        """Checksum of all passages and their labels, 64 hexadecimal digits."""
        digest = hashlib.sha256()
        for row in zip(self.passages, self.package, self.role, self.side, strict=True):
            digest.update(f"{' '.join(row[0])}|{row[1]}|{row[2]}|{row[3]}\n".encode())
        return digest.hexdigest()


def load_docstrings(every: int = 1) -> Corpus:
    """Read what the documentation of installed packages says in English.

    The source files of `PACKAGES` are parsed, not imported. A passage is a paragraph
    of a docstring, cut into pieces of `LENGTH` words. Example sessions, formulas,
    lists of names and section headings are left out. Code becomes the word `<code>`,
    a number `<number>`, the name of a package `<name>`. Passages that share eight
    words in a row with an earlier file are dropped (`drop_repeats`).

    A file belongs to one side: of ten files of a package, in the order of their names,
    two are for testing and one for validation.

    Args:
        every: Read each `every`-th file, 1 for all.

    Returns:
        `Corpus`. Other versions of the packages give other passages.

    Raises:
        ValueError: If `every` is not a positive integer.

    Example:
        >>> corpus = load_docstrings(every=200)
        Documentation strings: ... training and ... test passages, sample
        >>> max(len(passage) for passage in corpus.passages)
        32
    """
    if not isinstance(every, int) or every < 1:
        raise ValueError(f"every must be a positive integer, got {every!r}.")
    rows = [
        (words, file, PACKAGES.index(package), ROLES.index(role), _TENTHS[number % 10])
        for package in PACKAGES
        for number, (file, docstrings) in enumerate(_documented(package, every))
        for docstring in docstrings
        for role, words in passages(docstring)
    ]
    kept = drop_repeats([row[0] for row in rows], [row[1] for row in rows])
    texts, files, *labels = zip(*(rows[i] for i in kept), strict=True)
    package, role, side = map(np.array, labels)
    corpus = Corpus(list(texts), list(files), package, role, side, len(rows))
    train, _, test = np.bincount(corpus.side, minlength=3).tolist()
    # A part of the corpus is a stand-in, with which no notebook is stored.
    source = "installed" if every == 1 else "sample"
    name = "Documentation strings"
    data.note(name, source, corpus.sha256, train, test)
    print(f"{name}: {train:,} training and {test:,} test passages, {source}")
    return corpus


def passages(docstring: str) -> Iterator[tuple[str, list[str]]]:
    r"""Take the English out of a docstring in NumPy's style.

    Args:
        docstring: Text without indentation, as `ast.get_docstring` returns it.

    Yields:
        Role, one of `ROLES`, and the words of a passage.

    Example:
        >>> text = "Mean of an array of numbers.\n\n    >>> np.mean(2)"
        >>> list(passages(text))
        [('Summary', ['mean', 'of', 'an', 'array', 'of', 'numbers'])]
    """
    parts = _HEADING.split(docstring)
    headings = ["Summary", *parts[1::2]]
    for role, body in zip(headings, parts[::2], strict=True):
        if role not in ROLES:
            continue
        if role in ("Parameters", "Returns"):
            # Names and types stand at the margin, what is said of them is indented.
            lines = body.splitlines()
            inner = [line if line[:1] == " " else "" for line in lines]
            body = textwrap.dedent("\n".join(inner))
        for paragraph in re.split(r"\n\s*\n", body):
            if re.search(r"^\s*(?:>>>|\.\.|[|+=])", paragraph, re.M):
                continue  # a session, a directive, a table
            if all(line[:1] in (" ", "") for line in paragraph.splitlines()):
                continue  # an indented block: code or a formula
            found = words(paragraph)
            for start in range(0, len(found), LENGTH):
                piece = found[start : start + LENGTH]
                if len(piece) >= SHORTEST:
                    yield role, piece


def words(text: str) -> list[str]:
    """Split a text into words in lower case, without punctuation.

    Args:
        text: Any text.

    Returns:
        Words; `<code>`, `<name>` and `<number>` stand for what they say.

    Example:
        >>> words("If True, `axis` of NumPy's 2 arrays isn't used.")[:8]
        ['if', 'true', '<code>', 'of', '<name>', 's', '<number>', 'arrays']
    """
    text = _CODE.sub(" <code> ", text).lower()
    text = _NUMBER.sub(" <number> ", _NAME.sub(" <name> ", text))
    return _WORD.findall(text)


def drop_repeats(
    passages: Sequence[Sequence[str]], files: Sequence[str], run: int = 8
) -> list[int]:
    """Find the passages that repeat no passage of an earlier file, nor one exactly.

    Args:
        passages: Lists of words, n of them.
        files: The file of each.
        run: So many words in a row count as a repeat. In a shorter passage, all.

    Returns:
        Positions of the passages to keep, ascending.

    Raises:
        ValueError: If there are not as many files as passages.

    Example:
        >>> drop_repeats(["abcdef", "xabc", "abcx", "yz"], ["1", "2", "1", "2"], run=3)
        [0, 2, 3]
    """
    if len(passages) != len(files):
        raise ValueError(
            f"files has {len(files)} names for {len(passages)} passages: pass one each."
        )
    owner: dict[tuple[str, ...], str] = {}
    seen, kept = set(), []
    for i, (passage, file) in enumerate(zip(passages, files, strict=True)):
        starts = range(max(1, len(passage) - run + 1))
        runs = [tuple(passage[start : start + run]) for start in starts]
        if tuple(passage) in seen or any(owner.get(r, file) != file for r in runs):
            continue
        seen.add(tuple(passage))
        owner.update(dict.fromkeys(runs, file))
        kept.append(i)
    return kept


class Vocabulary:
    """The words that have a number, most frequent first.

    Args:
        passages: Lists of words.
        least: Words that occur less often become `UNKNOWN`.

    Attributes:
        words: `words[number]` is the word, a tuple.
        number: `number[word]` is the number, a dictionary.

    Example:
        >>> vocabulary = Vocabulary([["a", "b", "a", "c", "b"]], least=2)
        >>> vocabulary.words
        ('<pad>', '<rare>', '<hidden>', 'a', 'b')
        >>> vocabulary.encode([["b", "c"]], length=3)
        array([[4, 1, 0]], dtype=int32)
    """

    def __init__(self, passages: Sequence[Sequence[str]], least: int = 5) -> None:
        """Count the words; see the class for the arguments."""
        counts = Counter(word for passage in passages for word in passage)
        # In alphabetical order where counts agree, so that numbers are reproducible.
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        self.words = (
            "<pad>",
            "<rare>",
            "<hidden>",
            *(word for word, count in ranked if count >= least),
        )
        self.number = {word: i for i, word in enumerate(self.words)}

    def __len__(self) -> int:
        """Number of entries V, the three that are no words included."""
        return len(self.words)

    def encode(
        self, passages: Sequence[Sequence[str]], length: int = LENGTH
    ) -> NDArray[np.int32]:
        """Write words as numbers.

        Args:
            passages: Lists of words, n of them.
            length: Longer passages are cut, shorter ones padded.

        Returns:
            int32 `[n, length]`.
        """
        ids = np.full((len(passages), length), PAD, np.int32)
        for row, passage in zip(ids, passages, strict=True):
            numbers = [self.number.get(word, UNKNOWN) for word in passage[:length]]
            row[: len(numbers)] = numbers
        return ids


# ------------------------------------------------------------------ counting


def pairs(ids: ArrayLike, window: int) -> NDArray[np.int32]:
    """Pair every word with every word near it, in both directions.

    Padding and rare words are in no pair; they keep their place.

    Args:
        ids: Word numbers, integers `[n, length]`.
        window: Largest distance of the two, at least 1.

    Returns:
        Word and context word, int32 `[pairs, 2]`.

    Raises:
        ValueError: If `window` is not a positive integer.

    Example:
        >>> pairs([[5, 7, 0]], window=2).tolist()
        [[5, 7], [7, 5]]
    """
    if not isinstance(window, int) or window < 1:
        raise ValueError(f"window must be a positive integer, got {window!r}.")
    ids = np.asarray(ids, np.int32)
    found = []
    for distance in range(1, window + 1):
        left, right = ids[:, :-distance].ravel(), ids[:, distance:].ravel()
        both = (left > UNKNOWN) & (right > UNKNOWN)
        found += [
            np.stack([left[both], right[both]], axis=1),
            np.stack([right[both], left[both]], axis=1),
        ]
    return np.concatenate(found)


def cooccurrence(ids: ArrayLike, size: int, window: int) -> sparse.csr_array:
    """Count how often each word stands near each other word.

    Args:
        ids: Word numbers, integers `[n, length]`.
        size: Number of entries V of the vocabulary.
        window: As for `pairs`.

    Returns:
        Counts, sparse `[V, V]`, symmetric.

    Example:
        >>> cooccurrence([[3, 4, 3]], size=5, window=1).toarray()[3:, 3:].tolist()
        [[0.0, 2.0], [2.0, 0.0]]
    """
    word, context = pairs(ids, window).T
    ones = np.ones(len(word))
    return sparse.coo_array((ones, (word, context)), shape=(size, size)).tocsr()


def pmi(counts: sparse.csr_array) -> sparse.csr_array:
    r"""Pointwise mutual information of the pairs that were counted.

    $$\mathrm{PMI}(w, c) = \log \frac{\#(w, c) \; T}{\#(w)\, \#(c)}$$

    with $T$ the number of all pairs. 0 for words that meet as often as by chance. For
    a pair that was never seen it is minus infinity; it is left out of the answer.
    Church & Hanks 1990.

    Args:
        counts: Answer of `cooccurrence`, or any counts, sparse `[V, W]`.

    Returns:
        Sparse, of the same shape and with the same entries stored.

    Example:
        >>> together = sparse.csr_array([[2.0, 0.0], [0.0, 2.0]])
        >>> np.round(pmi(together).toarray(), 4).tolist()  # log 2
        [[0.6931, 0.0], [0.0, 0.6931]]
    """
    counts = counts.tocoo()
    of_word, of_context = counts.sum(axis=1), counts.sum(axis=0)
    expected = of_word[counts.row] * of_context[counts.col] / counts.sum()
    values = np.log(counts.data / expected)
    return sparse.coo_array((values, (counts.row, counts.col)), counts.shape).tocsr()


def ppmi(counts: sparse.csr_array, negatives: float = 1) -> sparse.csr_array:
    r"""Positive PMI, $\max(0, \mathrm{PMI}(w, c) - \log k)$.

    Args:
        counts: As for `pmi`.
        negatives: $k$, at least 1. Above 1, PMI is shifted as negative sampling does
            it (Levy & Goldberg 2014).

    Returns:
        Sparse, of the same shape.

    Raises:
        ValueError: If `negatives` is below 1.

    Example:
        >>> together = sparse.csr_array([[2.0, 0.0], [0.0, 2.0]])
        >>> np.round(ppmi(together, negatives=2).toarray(), 4).tolist()
        [[0.0, 0.0], [0.0, 0.0]]
    """
    if negatives < 1:
        raise ValueError(f"negatives must be at least 1, got {negatives!r}.")
    matrix = pmi(counts)
    matrix.data = np.maximum(matrix.data - np.log(negatives), 0)
    matrix.eliminate_zeros()
    return matrix


def svd_vectors(matrix: sparse.csr_array, d: int, seed: int = 0) -> NDArray[np.float32]:
    r"""Word vectors $U_d \Sigma_d^{1/2}$ of a matrix $\approx U_d \Sigma_d V_d^\top$.

    The square root gives rare directions more weight than $U_d \Sigma_d$ would
    (Levy, Goldberg & Dagan 2015).

    Args:
        matrix: Sparse `[V, W]`, such as the answer of `ppmi`.
        d: Length of the vectors, below V and W.
        seed: Seed of the randomised algorithm (scikit-learn's `TruncatedSVD`).

    Returns:
        float32 `[V, d]`.

    Raises:
        ValueError: If `d` is not between 1 and the size of the matrix.

    Example:
        >>> svd_vectors(sparse.csr_array(np.diag([4.0, 1.0, 0.0])), d=1).shape
        (3, 1)
    """
    if not 1 <= d < min(matrix.shape):
        raise ValueError(f"d must be 1 to {min(matrix.shape) - 1}, got {d!r}.")
    svd = TruncatedSVD(d, random_state=seed).fit(matrix)
    # U S = M V, and half of S is taken back.
    table = svd.transform(matrix) / np.sqrt(np.maximum(svd.singular_values_, 1e-12))
    return table.astype(np.float32)


# ------------------------------------------------------------------ skip-gram


def sgns_loss(seen: Any, drawn: Any) -> Any:
    r"""Loss of skip-gram with negative sampling, of each pair.

    $$-\log \sigma(a) - \sum_{i=1}^{k} \log \sigma(-a_i)$$

    with $a$ the product of the vectors of a word and of a context that was seen, and
    $a_i$ the same with contexts drawn at random. Mikolov et al., arXiv 1310.4546.

    Args:
        seen: $a$, `[batch]`.
        drawn: $a_i$, `[batch, k]`.

    Returns:
        `[batch]`, in nats.

    Example:
        >>> float(sgns_loss(ops.zeros(1), ops.zeros((1, 1)))[0])  # 2 log 2
        1.3862943...
    """
    return ops.softplus(-seen) + ops.sum(ops.softplus(drawn), axis=-1)


@keras.saving.register_keras_serializable(package="sslkit")
class SkipGram(Composite):
    """Two tables of vectors, trained to tell seen pairs from random ones.

    Trained on the answer of `pairs`: a row is a word and a context word. At its
    optimum the product of two vectors is PMI minus the logarithm of `negatives`, as
    far as `d` numbers a word allow (Levy & Goldberg 2014), if contexts are drawn as
    often as they occur (`power=1`).

    Args:
        counts: How often each entry occurs as a context, `[V]`, numbers from 0.
        d: Length of the vectors.
        negatives: Contexts $k$ drawn for each pair.
        power: Contexts are drawn in proportion to `counts ** power`.
        word: Table of words, an `Embedding` of V entries; made when left out.
        context: Table of contexts, likewise.
        seed: Seed of the vectors and of the draws.

    Raises:
        ValueError: If `counts` are negative or all 0, or a number is below 1.

    Example:
        >>> model = SkipGram([0, 0, 0, 2, 2], d=3)
        >>> model.compile(optimizer="adam")
        >>> list(model.fit(np.array([[3, 4], [4, 3]]), verbose=0).history)
        ['loss']
        >>> model.vectors.shape
        (5, 3)
    """

    parts = ("word", "context")

    def __init__(
        self,
        counts: ArrayLike,
        d: int = 64,
        negatives: int = 5,
        power: float = 1.0,
        word: keras.Layer | None = None,
        context: keras.Layer | None = None,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Make the tables; see the class for the arguments."""
        often = np.asarray(counts, np.float64)
        if often.ndim != 1 or often.min() < 0 or often.sum() == 0:
            raise ValueError("counts must be a vector of numbers from 0, not all 0.")
        for name, value in [("d", d), ("negatives", negatives)]:
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a positive integer, got {value!r}.")
        super().__init__(seed, **kwargs)
        self.counts, self.d = often.tolist(), d
        self.negatives, self.power = negatives, power
        shares = np.where(often > 0, often**power, 0)
        self.cumulative = np.cumsum(shares / shares.sum()).astype("float32")
        start = keras.initializers.RandomUniform(-0.5 / d, 0.5 / d, seed=seed)
        self.word = word or keras.layers.Embedding(len(often), d, start)
        self.context = context or keras.layers.Embedding(len(often), d, "zeros")

    def draw(self, shape: tuple[int, ...]) -> Any:
        """Draw contexts at random, by how often they occur."""
        u = keras.random.uniform(shape, seed=self.seed_generator)
        found = ops.searchsorted(self.cumulative, ops.reshape(u, (-1,)), side="right")
        return ops.reshape(ops.minimum(found, len(self.counts) - 1), shape)

    def call(self, x: Any) -> Any:
        """Products of the vectors of each pair, and of the word with random contexts.

        Args:
            x: Word and context, integers `[batch, 2]`.

        Returns:
            `[batch, 1 + negatives]`, the seen pair first.
        """
        drawn = self.draw((ops.shape(x)[0], self.negatives))
        contexts = ops.concatenate([x[:, 1:], ops.cast(drawn, x.dtype)], axis=1)
        return ops.einsum("bd,bkd->bk", self.word(x[:, 0]), self.context(contexts))

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Mean `sgns_loss` of the batch."""
        return distribute.share(ops.mean(sgns_loss(y_pred[:, 0], y_pred[:, 1:])))

    @property
    def vectors(self) -> NDArray[np.float32]:
        """Word vectors, float32 `[V, d]`."""
        return np.asarray(self.word.embeddings)

    def get_config(self) -> dict[str, Any]:
        """Configuration from which `from_config` makes the same architecture."""
        return {
            **super().get_config(),
            "counts": self.counts,
            "d": self.d,
            "negatives": self.negatives,
            "power": self.power,
        }


# --------------------------------------------------------------- masked words


def transformer_encoder(
    size: int,
    d: int = 128,
    blocks: int = 2,
    heads: int = 4,
    length: int = LENGTH,
) -> keras.Model:
    """Small transformer from word numbers to a vector for each place.

    Vectors of words and of places are added. Each block then adds what attention
    brings from other places and what a dense layer of `4 d` units makes of it, both
    after layer normalisation (arXiv 1706.03762, in the order of arXiv 2002.04745).

    Args:
        size: Number of entries V of the vocabulary.
        d: Length of the vectors, a multiple of `heads`.
        blocks: Number of blocks, at least 1.
        heads: Attention heads of a block.
        length: Places in a row.

    Returns:
        A model from integers `[batch, length]` to `[batch, length, d]`. Its layers
        `words`, `block_0`, `block_1`, …, `end` return the vectors of the words, what
        each block makes of them, and the last of these normalised.

    Raises:
        ValueError: If `d` is not a multiple of `heads`, or a number is below 1.

    Example:
        >>> transformer_encoder(100, d=8, heads=2, length=5).output_shape
        (None, 5, 8)
    """
    if min(size, d, blocks, heads, length) < 1 or d % heads:
        raise ValueError(
            f"all sizes must be positive and d a multiple of heads, got size={size}, "
            f"d={d}, blocks={blocks}, heads={heads}, length={length}."
        )
    layers = keras.layers
    start = keras.initializers.RandomNormal(stddev=0.02)
    ids = keras.Input((length,), dtype="int32")
    places = ops.cumsum(ops.ones_like(ids), axis=1) - 1
    real = ops.expand_dims(ids != PAD, axis=1)  # nobody attends to padding
    h = layers.Embedding(size, d, start, name="words")(ids)
    h = layers.Add()([h, layers.Embedding(length, d, start, name="places")(places)])
    for i in range(blocks):
        normed = layers.LayerNormalization()(h)
        attention = layers.MultiHeadAttention(heads, d // heads)
        brought = attention(normed, normed, attention_mask=real)
        h = layers.Add()([h, brought])
        made = layers.Dense(4 * d, "relu")(layers.LayerNormalization()(h))
        h = layers.Add(name=f"block_{i}")([h, layers.Dense(d)(made)])
    return keras.Model(ids, layers.LayerNormalization(name="end")(h), name="encoder")


def masked_cross_entropy(words: Any, logits: Any, weights: Any) -> Any:
    """Mean cross-entropy of hidden words, and of no others.

    Args:
        words: The words that were hidden, integers `[batch, k]`.
        logits: What is predicted at their places, `[batch, k, V]`.
        weights: 1 for a place that counts, 0 for one that does not, `[batch, k]`.

    Returns:
        A number, in nats a word.

    Example:
        >>> logits = ops.zeros((1, 2, 4))
        >>> float(masked_cross_entropy([[1, 0]], logits, [[1.0, 0.0]]))  # log 4
        1.3862943...
    """
    losses = keras.losses.sparse_categorical_crossentropy(
        ops.convert_to_tensor(words), logits, from_logits=True
    )
    weights = ops.cast(weights, losses.dtype)
    return ops.sum(losses * weights) / ops.maximum(ops.sum(weights), 1)


@keras.saving.register_keras_serializable(package="sslkit")
class MaskedLanguageModel(Composite):
    r"""Encoder trained to say which words were hidden from it.

    $$\min_f\; \mathbb{E}\; \frac{1}{\lvert M \rvert}
      \sum_{i \in M} -\log p(x_i \mid \tilde x)$$

    with $x_i$ the word at place $i$, $M$ a random 15 % of the places and $\tilde x$
    the passage with those hidden: of ten chosen words eight become `MASK`, one
    another word, one stays. Devlin et al., arXiv 1810.04805.

    Args:
        encoder: Model from word numbers `[batch, length]` to `[batch, length, d]`,
            such as `transformer_encoder`. After training it is what gives features.
        head: Model from `[..., d]` to logits of all words `[..., V]`.
        share: Part of the words to choose, above 0 and below 1. At least one is.
        seed: Seed of the choices.

    Raises:
        ValueError: If `share` is out of range.

    Example:
        >>> encoder = transformer_encoder(20, d=8, heads=2, length=10)
        >>> model = MaskedLanguageModel(encoder, word_head(20, d=8))
        >>> model.compile(optimizer="adam")
        >>> ids = np.random.default_rng(0).integers(3, 20, (16, 10), "int32")
        >>> list(model.fit(ids, verbose=0).history)
        ['loss']
    """

    parts = ("encoder", "head")

    def __init__(
        self,
        encoder: keras.Model,
        head: keras.Model,
        share: float = 0.15,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Keep the parts; see the class for the arguments."""
        if not 0 < share < 1:
            raise ValueError(f"share must be above 0 and below 1, got {share!r}.")
        super().__init__(seed, **kwargs)
        self.encoder = encoder
        self.head = head
        self.share = share
        self.length = encoder.input_shape[1]
        self.size = head.output_shape[-1]

    def choose(self, ids: Any) -> tuple[Any, Any]:
        """Choose the places to be predicted, anew each time.

        Args:
            ids: Word numbers `[batch, length]`.

        Returns:
            Places, integers `[batch, k]`, and weights, 1 for those that count and 0
            for what fills up the row, `[batch, k]`.
        """
        noise = keras.random.uniform(ops.shape(ids), seed=self.seed_generator)
        real = ops.cast(ids > UNKNOWN, noise.dtype)
        k = max(1, round(self.share * self.length))
        _, places = ops.top_k(noise * real, k)
        wanted = ops.round(self.share * ops.sum(real, axis=1, keepdims=True))
        wanted = ops.minimum(ops.maximum(wanted, 1), ops.sum(real, 1, keepdims=True))
        return places, ops.cast(ops.arange(k, dtype=noise.dtype) < wanted, noise.dtype)

    def hide(self, ids: Any, places: Any, weights: Any) -> Any:
        """Hide the chosen words: 80 % behind `MASK`, 10 % swapped, 10 % as they are.

        Args:
            ids: Word numbers `[batch, length]`.
            places: Answer of `choose`.
            weights: Answer of `choose`.

        Returns:
            Damaged word numbers `[batch, length]`.
        """
        chosen = ops.sum(ops.one_hot(places, self.length) * weights[..., None], axis=1)
        fate = keras.random.uniform(ops.shape(ids), seed=self.seed_generator)
        other = keras.random.randint(
            ops.shape(ids), MASK + 1, self.size, seed=self.seed_generator
        )
        other = ops.cast(other, ids.dtype)
        hidden = ops.where(fate < 0.8, MASK, ops.where(fate < 0.9, other, ids))
        return ops.where(chosen > 0, hidden, ids)

    def call(self, ids: Any, training: bool = False) -> dict[str, Any]:
        """Hide words and predict them.

        Args:
            ids: Word numbers `[batch, length]`.
            training: Passed to the networks. Words are hidden either way.

        Returns:
            `words`, `logits` and `weights`, as `masked_cross_entropy` takes them.
        """
        places, weights = self.choose(ids)
        h = self.encoder(self.hide(ids, places, weights), training=training)
        # As a product, because the gradient of a gather is slow on a CPU.
        chosen = ops.matmul(ops.one_hot(places, self.length, dtype=h.dtype), h)
        return {
            "words": ops.take_along_axis(ids, places, axis=1),
            "logits": self.head(chosen, training=training),
            "weights": weights,
        }

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """`masked_cross_entropy` of the batch."""
        # Long passages have more places that count than short ones.
        loss, places = masked_cross_entropy(**y_pred), ops.sum(y_pred["weights"])
        return distribute.share(loss, places)

    def get_config(self) -> dict[str, Any]:
        """Configuration from which `from_config` makes the same architecture."""
        return {**super().get_config(), "share": self.share}


def word_head(size: int, d: int = 128) -> keras.Sequential:
    """Network from the vector of a place to logits of all words.

    Args:
        size: Number of entries V of the vocabulary.
        d: Length of the vectors.

    Returns:
        A model from `[..., d]` to `[..., size]`.

    Example:
        >>> word_head(20, d=8)(ops.zeros((2, 3, 8))).shape
        TensorShape([2, 3, 20])
    """
    return keras.Sequential(
        [
            keras.Input((None, d)),
            keras.layers.Dense(d, "relu"),
            keras.layers.LayerNormalization(),
            keras.layers.Dense(size),
        ],
        name="head",
    )


# ------------------------------------------------------------------- features


def mean_vectors(
    encoder: Callable[[Any], Any], ids: ArrayLike, batch_size: int = 500
) -> NDArray[np.float32]:
    """Features of a passage: the mean of the vectors of its words.

    Args:
        encoder: Maps word numbers `[batch, length]` to vectors `[batch, length, d]`:
            a network, or `table.__getitem__` for a table of word vectors `[V, d]`.
        ids: Word numbers, integers `[n, length]`. Padding does not count.
        batch_size: Passages per call. It bounds the memory and changes nothing else.

    Returns:
        float32 `[n, d]`; zeros for a passage without words.

    Raises:
        ValueError: If `ids` is empty or no matrix.

    Example:
        >>> table = np.array([[9.0], [0.0], [0.0], [1.0], [3.0]])
        >>> mean_vectors(table.__getitem__, [[3, 4, 0]])
        array([[2.]], dtype=float32)
    """
    ids = np.asarray(ids, np.int32)
    if ids.ndim != 2 or len(ids) == 0:
        raise ValueError(f"ids must have shape [n, length], n > 0, got {ids.shape}.")
    means = []
    for start in range(0, len(ids), batch_size):
        batch = ids[start : start + batch_size]
        real = (batch != PAD)[..., None]
        total = (np.asarray(encoder(batch)) * real).sum(axis=1)
        means.append(total / np.maximum(real.sum(axis=1), 1))
    return np.concatenate(means).astype(np.float32)


def nearest(
    table: ArrayLike, vocabulary: Vocabulary, word: str, count: int = 5
) -> list[str]:
    """Find the words whose vectors point most nearly in the direction of a word's.

    Args:
        table: Word vectors, `[V, d]`.
        vocabulary: Its words.
        word: One of them.
        count: How many to return.

    Returns:
        Words, the nearest by cosine first.

    Raises:
        ValueError: If the vocabulary lacks the word.

    Example:
        >>> vocabulary = Vocabulary([["up", "higher", "left"]], least=1)
        >>> table = [[0, 0], [0, 0], [0, 0], [1, 2], [2, 0], [0, 1]]
        >>> nearest(table, vocabulary, "up", count=1)
        ['higher']
    """
    if word not in vocabulary.number:
        raise ValueError(f"word {word!r} is not in the vocabulary: take another.")
    table = np.asarray(table, np.float64)
    unit = table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-12)
    cosine = unit @ unit[vocabulary.number[word]]
    cosine[[PAD, UNKNOWN, MASK, vocabulary.number[word]]] = -np.inf
    return [vocabulary.words[i] for i in np.argsort(-cosine, kind="stable")[:count]]


# --------------------------------------------------------------------- helpers


def _documented(package: str, every: int) -> Iterator[tuple[str, list[str]]]:
    """Names of a package's files and their docstrings, if there are any."""
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.origin is not None  # a dependency of sslkit
    root = Path(spec.origin).parent
    skipped = {"tests", "test", "testing", "externals", "_vendored"}
    for path in sorted(root.rglob("*.py"))[::every]:
        inner = path.relative_to(root)
        if skipped & set(inner.parts):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in strings, not our business
            tree = ast.parse(path.read_text("utf-8"))
        found = [
            ast.get_docstring(node) or ""
            for node in ast.walk(tree)
            if isinstance(
                node,
                ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef,
            )
        ]
        if any(found):
            yield f"{package}/{inner.as_posix()}", found
