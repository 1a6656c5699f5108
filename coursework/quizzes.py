"""Quizzes of the course: read from `coursework/quizzes/`, checked, and exported.

    python coursework/quizzes.py OUTPUT_FOLDER

writes two files for each part of the book: `PART.xml` in the XML format of Moodle, and
`PART.gift` in GIFT, which other learning platforms read as well. The pages of the book
show the same questions (`_ext/quiz.py`).
"""

import html
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from xml.etree import ElementTree

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.dollarmath import dollarmath_plugin

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "coursework" / "quizzes"
CHAPTERS = ROOT / "chapters"

COURSE = "Learning Features from Unlabelled Data"
"""Category of all questions; each part is a category inside it."""

SIZE = range(6, 11)
"""How many questions a quiz may have."""

KINDS = {"single": "Choose one answer.", "multiple": "Choose all that hold."}
"""Kinds of questions, with the sentence that tells a reader what to do."""


@dataclass(frozen=True)
class Answer:
    """One answer that can be chosen, and what is said to those who chose it."""

    text: str
    right: bool
    feedback: str


@dataclass(frozen=True)
class Question:
    """A question; `see` is the chapter that answers it, such as `mnist/training`."""

    id: str
    question: str
    kind: str
    answers: tuple[Answer, ...]
    see: str


@dataclass(frozen=True)
class Quiz:
    """The questions of one part of the book."""

    part: str
    title: str
    questions: tuple[Question, ...]


# --- reading ----------------------------------------------------------------------


def load(path: Path, chapters: Path = CHAPTERS) -> Quiz:
    """Read and check one quiz.

    Args:
        path: YAML file, named after the part, with `title` and `questions`.
        chapters: Folder that `see` is looked up in.

    Returns:
        The quiz.

    Raises:
        ValueError: If something is missing or wrong. The message names the file, the
            question, the value and the fix.
    """

    def bad(where: str, problem: str, fix: str) -> NoReturn:
        raise ValueError(f"{path.name}, {where}: {problem}. {fix}.")

    try:
        read = yaml.safe_load(path.read_text("utf-8"))
    except yaml.YAMLError as error:
        bad("the whole file", f"it is not YAML ({error})", "Put texts into quotes")
    check_keys(read, {"title": str, "questions": list}, "the whole file", bad)
    if len(read["questions"]) not in SIZE:
        bad(
            "questions",
            f"there are {len(read['questions'])}",
            f"Write {SIZE.start} to {SIZE.stop - 1}",
        )
    questions: list[Question] = []
    for number, entry in enumerate(read["questions"], start=1):
        question = read_question(entry, number, chapters, bad)
        if question.id in [other.id for other in questions]:
            bad(f"question {question.id!r}", "its id occurs twice", "Choose another")
        questions.append(question)
    return Quiz(path.stem, read["title"], tuple(questions))


def check_keys(
    entry: Any, keys: Mapping[str, type], where: str, bad: Callable[..., NoReturn]
) -> None:
    """Refuse an entry whose keys or types of values are not the expected ones."""
    names = ", ".join(keys)
    if not isinstance(entry, dict) or set(entry) != set(keys):
        found = ", ".join(map(str, entry)) if isinstance(entry, dict) else repr(entry)
        bad(where, f"it has {found or 'nothing'}", f"Write exactly {names}")
    for key, kind in keys.items():
        value = entry[key]
        if not isinstance(value, kind) or value in ("", []):
            name = {str: "a text", bool: "true or false", list: "a list"}[kind]
            bad(where, f"{key} is {value!r}", f"Write {name}, and not an empty one")


def read_question(
    entry: Any, number: int, chapters: Path, bad: Callable[..., NoReturn]
) -> Question:
    """Check one question; `number` stands for its id until that has been read."""
    where = f"question {number}"
    if isinstance(entry, dict) and isinstance(entry.get("id"), str):
        where = f"question {entry['id']!r}"
    keys: dict[str, type] = {"id": str, "question": str, "kind": str}
    check_keys(entry, keys | {"answers": list, "see": str}, where, bad)
    if not re.fullmatch(r"[a-z][a-z0-9-]*", entry["id"]):
        bad(where, f"id is {entry['id']!r}", "Use lower case, digits and hyphens")
    if entry["kind"] not in KINDS:
        bad(where, f"kind is {entry['kind']!r}", f"Write {' or '.join(KINDS)}")
    for i, answer in enumerate(entry["answers"], start=1):
        keys = {"text": str, "right": bool, "feedback": str}
        check_keys(answer, keys, f"{where}, answer {i}", bad)
    answers = tuple(Answer(**answer) for answer in entry["answers"])
    if len(answers) not in range(3, 7):
        bad(where, f"it has {len(answers)} answers", "Write 3 to 6")
    if len({answer.text for answer in answers}) < len(answers):
        bad(where, "two answers have the same text", "Change or drop one")
    right = sum(answer.right for answer in answers)
    if entry["kind"] == "single" and right != 1:
        bad(where, f"{right} answers are right", "Mark one as right, or write multiple")
    if right in (0, len(answers)):
        bad(where, f"{right} answers are right", "Let at least one be right, one wrong")
    for text in (
        entry["question"],
        *(text for answer in answers for text in (answer.text, answer.feedback)),
    ):
        if not is_paragraph(text):
            bad(where, f"{text!r} is no single paragraph", "Write one, without lists")
    if chapter_file(entry["see"], chapters) is None:
        bad(
            where,
            f"see is {entry['see']!r}, which is no chapter",
            "Write a path below chapters/ without suffix, such as mnist/training",
        )
    return Question(
        entry["id"], entry["question"], entry["kind"], answers, entry["see"]
    )


def chapter_file(see: str, chapters: Path = CHAPTERS) -> Path | None:
    """Find the notebook or page of a chapter."""
    files = [chapters / f"{see}{suffix}" for suffix in (".ipynb", ".md")]
    return next((file for file in files if file.is_file()), None)


def chapter_title(see: str, chapters: Path = CHAPTERS) -> str:
    """Read the title of a chapter: its first heading."""
    file = chapter_file(see, chapters)
    assert file is not None  # `load` has looked.
    text = file.read_text("utf-8")
    if file.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n".join("".join(cell["source"]) for cell in cells[:2])
    return re.findall(r"^# (.+)$", text, re.MULTILINE)[0]


def load_all(folder: Path = FOLDER) -> list[Quiz]:
    """Read all quizzes, in the order of their file names."""
    return [load(path) for path in sorted(folder.glob("*.yaml"))]


# --- Markdown to HTML -------------------------------------------------------------

# Dollars are read as in the book (`_config.yml`).
markdown = MarkdownIt("commonmark").use(dollarmath_plugin)


def is_paragraph(text: str) -> bool:
    """Tell whether Markdown is one paragraph, which a label or a legend can hold."""
    kinds = [token.type for token in markdown.parse(text)]
    return kinds == ["paragraph_open", "inline", "paragraph_close"]


def to_html(text: str) -> str:
    r"""Write one paragraph of Markdown as HTML, with formulas as `\(...\)`.

    Links that lead into the book are left out, since a learning platform does not have
    the book beside it; their text stays.
    """
    (inline,) = [token for token in markdown.parse(text) if token.type == "inline"]
    kept, leads = [], []
    for token in inline.children or []:
        if token.type == "link_open":
            leads.append(str(token.attrs.get("href", "")).startswith("http"))
        if token.type in ("link_open", "link_close"):
            if leads[-1]:
                kept.append(token)
            if token.type == "link_close":
                leads.pop()
        elif token.type.startswith("math_inline"):
            formula = f"\\({token.content}\\)"
            kept.append(Token("html_inline", "", 0, content=html.escape(formula)))
        else:
            kept.append(token)
    written = markdown.renderer.render(kept, markdown.options, {})
    return f"<p>{' '.join(written.split())}</p>"


# --- marks ------------------------------------------------------------------------


def percentages(question: Question) -> list[str]:
    """Compute what each answer counts, in per cent of the mark.

    With one right answer, it counts 100 and the others nothing. With several, the right
    ones share 100 and the wrong ones share -100, so that choosing everything brings
    nothing. Moodle admits 100/q for q up to 10, written with five decimals.
    """
    if question.kind == "single":
        return ["100" if answer.right else "0" for answer in question.answers]
    right = sum(answer.right for answer in question.answers)
    wrong = len(question.answers) - right
    shares = (100 / right if a.right else -100 / wrong for a in question.answers)
    return [f"{share:.5f}".rstrip("0").rstrip(".") for share in shares]


# --- Moodle XML -------------------------------------------------------------------


def moodle_xml(quiz: Quiz) -> str:
    """Write a quiz in the XML format of Moodle (docs.moodle.org/en/Moodle_XML_format).

    Args:
        quiz: The quiz.

    Returns:
        The text of the file: a category, then a question of type `multichoice` for each
        question.
    """
    root = ElementTree.Element("quiz")

    def put(parent: ElementTree.Element, tag: str, text: str, **given: str) -> None:
        child = ElementTree.SubElement(parent, tag, given)
        inner = ElementTree.SubElement(child, "text") if "format" in given else child
        inner.text = text

    category = ElementTree.SubElement(root, "question", type="category")
    place = ElementTree.SubElement(category, "category")
    put(place, "text", f"$course$/top/{COURSE}/{quiz.title}")
    put(category, "info", "", format="html")
    put(category, "idnumber", quiz.part)
    for question in quiz.questions:
        entry = ElementTree.SubElement(root, "question", type="multichoice")
        name = ElementTree.SubElement(entry, "name")
        put(name, "text", f"{quiz.part}: {question.id}")
        put(entry, "questiontext", to_html(question.question), format="html")
        put(entry, "generalfeedback", see_also(question), format="html")
        put(entry, "defaultgrade", "1.0")
        put(entry, "penalty", "0.3333333")
        put(entry, "hidden", "0")
        put(entry, "idnumber", f"{quiz.part}-{question.id}")
        put(entry, "single", "true" if question.kind == "single" else "false")
        put(entry, "shuffleanswers", "true")
        put(entry, "answernumbering", "abc")
        put(entry, "showstandardinstruction", "1")
        for feedback in ("correct", "partiallycorrect", "incorrect"):
            put(entry, f"{feedback}feedback", "", format="html")
        for answer, share in zip(question.answers, percentages(question), strict=True):
            put(entry, "answer", to_html(answer.text), fraction=share, format="html")
            put(entry[-1], "feedback", to_html(answer.feedback), format="html")
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode", short_empty_elements=False)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def see_also(question: Question) -> str:
    """Say as HTML which chapter answers the question."""
    title = html.escape(chapter_title(question.see), quote=False)
    return f"<p>The chapter <em>{title}</em> answers this question.</p>"


# --- GIFT -------------------------------------------------------------------------


def escape_gift(text: str) -> str:
    r"""Put a backslash before what GIFT would read as its own: `~ = # { } : \`.

    >>> print(escape_gift(r"\(\frac{1}{2} = x\)"))
    \\(\\frac\{1\}\{2\} \= x\\)
    """
    return re.sub(r"([~=#{}:\\])", r"\\\1", text)


def gift(quiz: Quiz) -> str:
    """Write a quiz in GIFT (docs.moodle.org/en/GIFT_format), with HTML as its texts."""
    entries = [f"$CATEGORY: $course$/top/{COURSE}/{quiz.title}"]
    for question in quiz.questions:
        name = escape_gift(f"{quiz.part}: {question.id}")
        lines = [f"::{name}::[html]{escape_gift(to_html(question.question))} {{"]
        for answer, share in zip(question.answers, percentages(question), strict=True):
            if question.kind == "single":
                mark = "=" if answer.right else "~"
            else:
                mark = f"~%{share}%"
            text, feedback = to_html(answer.text), to_html(answer.feedback)
            lines.append(f"{mark}{escape_gift(text)}#{escape_gift(feedback)}")
        lines.append(f"####{escape_gift(see_also(question))}")
        entries.append("\n".join([*lines, "}"]))
    return "\n\n".join(entries) + "\n"


# --- command line -----------------------------------------------------------------


def export(folder: Path) -> list[Path]:
    """Write both files of every quiz into a folder, and list them."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for quiz in load_all():
        for suffix, write in ((".xml", moodle_xml), (".gift", gift)):
            written.append(folder / (quiz.part + suffix))
            written[-1].write_text(write(quiz), "utf-8")
    return written


def main(arguments: Sequence[str]) -> None:
    """Export to the folder that is the only argument."""
    if len(arguments) != 1:
        raise SystemExit("usage: python coursework/quizzes.py OUTPUT_FOLDER")
    for path in export(Path(arguments[0])):
        print(path)


if __name__ == "__main__":
    main(sys.argv[1:])
