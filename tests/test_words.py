"""The words of the course: spelt as in a dictionary or a list, and one term a thing.

The dictionary of pyspellchecker knows American spelling as well; what is British is in
`test_book.py`. Words that it does not know are in `words.txt`, one a line. Names of
people who are cited are taken from `references.bib`.
"""

import ast
import functools
import json
import re
from collections import defaultdict
from pathlib import Path

import pytest
import yaml

spellchecker = pytest.importorskip("spellchecker")

ROOT = Path(__file__).parent.parent
OURS = ("chapters", "coursework", "data", "benchmarks", "sslkit", "tests", "_ext")
SOURCES = sorted(
    path
    for path in [
        *ROOT.glob("*.md"),
        *(p for folder in OURS for p in (ROOT / folder).rglob("*.md")),
        *(ROOT / "chapters").rglob("*.ipynb"),
        *(ROOT / "coursework" / "source").rglob("*.ipynb"),
        *(ROOT / "coursework" / "quizzes").glob("*.yaml"),
        ROOT / "_ext" / "live.yaml",
        *(ROOT / "sslkit").glob("*.py"),
    ]
    if not path.name.startswith("LICENSE") and ".ipynb_checkpoints" not in path.parts
)
DICTIONARY = spellchecker.SpellChecker()
WORDS = (ROOT / "tests" / "words.txt").read_text("utf-8").split("\n")[:-1]

# What is neither prose nor ours: code, formulas, options, addresses, references. A
# fence of back quotes holds code or data, but for the words of these directives; one of
# colons holds prose.
FENCE = re.compile(r"^ *(`{3,})(?:\{(\w+)\})?")
WORDED = ("glossary", "picture")
ROLE = re.compile(r"\{[\w:+.-]+\}`[^`]*`")
OPTION = re.compile(r"^ *(?::::+\{[\w-]+\}|:[\w-]+:.*|\(\S+\)=)", re.MULTILINE)
MATHS = re.compile(r"\$\$.+?\$\$|\$[^$]+\$", re.DOTALL)
CODE = re.compile(r"``.+?``|`[^`]+`", re.DOTALL)
EXAMPLE = re.compile(r"^ *>>>.*(?:\n(?! *$).*)*", re.MULTILINE)
# In a docstring, the name before its description.
ARGUMENT = re.compile(r"^ +\*{0,2}\w+:", re.MULTILINE)
ADDRESS = re.compile(r"\]\([^)]*\)|<[^>]+>|https?:\S+")
FILE = re.compile(r"\S*\.[a-z]\S*")
# Works of others have the words of others.
TITLE = re.compile(r"(?<!\*)\*(?:[^*\n]|\n(?!\n))+\*(?!\*)|\[[^\]]+\]\(http[^)]*\)")
# A name with a digit or an underscore is that of a thing in code, or of a model.
TOKEN = re.compile(r"[\w'’]+")

# What is not written, and what is written in its place. Of two spellings the course has
# the one that it has used more often.
TERMS = {
    r"auto-encod\w+": "autoencoder",
    r"back-propagat\w+": "backpropagation",
    r"batch norms?\b": "batch normalisation",
    r"cooccur\w*|co-occurence": "co-occurrence",
    r"cross entropy": "cross-entropy",
    r"datasets?\b|data-sets?\b": "data set",
    r"finetun\w+|fine tun(?:e|ing|ed)\b": "fine-tune",
    r"[Hh]yper-parameters?": "hyperparameter",
    r"k-NN|KNN|knn\b": "kNN",
    r"kmeans|k means": "k-means",
    r"(?:Kullback|Jensen)–\w+": "Kullback-Leibler, Jensen-Shannon",
    r"learned": "learnt",
    r"loglikelihood|log likelihood": "log-likelihood",
    r"mini-?batch(?:es)?": "batch",
    r"multi-layer": "multilayer",
    r"nonlinear\w*": "non-linear",
    r"percent\b": "per cent",
    r"pretrain\w*": "pre-train",
    r"self supervis\w+|selfsupervis\w+": "self-supervised",
    r"semisupervis\w+|semi supervis\w+": "semi-supervised",
    r"stop gradient": "stop-gradient",
    r"Tensorflow|Numpy|Scipy|Jupyterlab|Jupyter Lab|Github|MatPlotLib": "its own name",
}


def strings(entry):
    """All texts in a list of YAML."""
    if isinstance(entry, str):
        yield entry
    elif isinstance(entry, dict):
        for key, value in entry.items():
            # These name things and are not read by anybody.
            yield from strings(value) if key not in ("id", "kind", "see") else ()
    elif isinstance(entry, list):
        for value in entry:
            yield from strings(value)


@functools.cache
def raw(path):
    """What a file says to readers, in Markdown."""
    text = path.read_text("utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        parts = ["".join(c["source"]) for c in cells if c["cell_type"] == "markdown"]
    elif path.suffix == ".yaml":
        parts = list(strings(yaml.safe_load(text)))
    elif path.suffix == ".py":
        # Docstrings, those of constants among them: strings that are statements.
        parts = [
            node.value.value
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ]
        parts = [ARGUMENT.sub(" ", part) for part in parts]
    else:
        parts = [text]
    return "\n\n".join(parts)


def unfenced(text):
    """Lines of Markdown outside code and data."""
    fence, keep = "", True
    for line in text.split("\n"):
        begins = FENCE.match(line)
        if fence and line.strip() == fence:
            fence, keep = "", True
        elif begins and not fence:
            fence, keep = begins[1], begins[2] in WORDED
        elif keep:
            yield line


def prose(text, also=()):
    text = "\n".join(unfenced(text))
    for pattern in (EXAMPLE, ROLE, OPTION, MATHS, CODE, *also, ADDRESS, FILE):
        text = pattern.sub(" ", text)
    return text


def tokens(text):
    """Words of a text, without what is a number or a name in code."""
    for token in TOKEN.findall(text):
        word = re.sub(r"['’]s?$", "", token.strip("'’"))
        if word and not re.search(r"[\d_½]", word):
            yield word.replace("’", "'")


def unknown(found):
    """Words that neither the dictionary nor the bibliography has."""
    cited = set(tokens(re.sub(r"[{}\\]", "", (ROOT / "references.bib").read_text())))
    known = DICTIONARY.known({word.lower() for word in found})
    return {word for word in found if word.lower() not in known and word not in cited}


def accepted(word, listed):
    """Whether a list has a word; what it has in lower case may begin a sentence."""
    return word in listed or (
        word[0].isupper() and word[0].lower() + word[1:] in listed
    )


@pytest.fixture(scope="module")
def found():
    """Every word of the course, with the files that have it."""
    found = defaultdict(set)
    for path in SOURCES:
        for word in tokens(prose(raw(path))):
            found[word].add(path.relative_to(ROOT).as_posix())
    return found


def test_every_word_is_in_the_dictionary_or_in_the_list(found):
    wrong = {w for w in unknown(found) if not accepted(w, WORDS)}
    # If one of these is right, it belongs into tests/words.txt.
    assert {word: sorted(found[word]) for word in sorted(wrong)} == {}


def test_the_list_has_no_word_too_many(found):
    needed = unknown(found)
    assert [w for w in WORDS if not any(accepted(n, [w]) for n in needed)] == []
    assert sorted(WORDS, key=lambda word: (word.lower(), word)) == WORDS
    assert len(WORDS) == len(set(WORDS))


@pytest.fixture(scope="module")
def texts():
    """What the course says in its own words, a line a file."""
    return {
        path.relative_to(ROOT).as_posix(): re.sub(
            r"\s+", " ", prose(raw(path), [TITLE])
        )
        for path in SOURCES
    }


@pytest.mark.parametrize("wrong", TERMS)
def test_a_thing_has_one_name(texts, wrong):
    pattern = re.compile(rf"\b(?:{wrong})")
    found = {
        name: hits for name, text in texts.items() if (hits := pattern.findall(text))
    }
    assert found == {}, f"write {TERMS[wrong]}"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("A data set and sslkit.data.Dataset.", 0),
        ("A dataset, two datasets, a data-set.", 3),
        ("Hyper-parameters; a k-NN; learned by co-occurence.", 4),
        ("Co-occurrence is learnt by the hyperparameters.", 0),
        ("Kullback–Leibler in percent of the non-linear Numpy.", 3),
    ],
)
def test_each_wrong_term_is_noticed(text, count):
    assert sum(len(re.findall(rf"\b(?:{t})", text)) for t in TERMS) == count


def test_only_prose_is_read():
    text = (
        "Fine, isn’t it? Keras's `cod` of $frml$\n\n$$\nfrmla\n$$\n\n"
        "```python\nlistng\n```\n\n```{picture} fil\nA picture\n```\n\n"
        "(trgt)=\n:::{note}\n:class: clss\nNoted in MNIST.\n:::\n\n"
        "See [a link](addrss.md), {cite}`smth` and https://exmpl.org/pg.\n\n"
        "    >>> exmple\n    outpt\n\nDINOv2, x_train, cours.py and .ipynb end."
    )
    expected = "Fine isn't it Keras of A picture Noted in MNIST See a link and and end"
    assert " ".join(tokens(prose(text))) == expected


def test_a_misspelling_is_noticed():
    assert unknown({"recieve", "receive", "Autoencodr", "Vincent"}) == {
        "recieve",
        "Autoencodr",
    }
    assert accepted("Colour", ["colour"]) and accepted("Keras", ["Keras"])
    assert not accepted("keras", ["Keras"]) and not accepted("COLOUR", ["colour"])
