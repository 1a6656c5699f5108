"""Quizzes at the end of the parts, from `coursework/quizzes/`.

    ```{quiz} concepts
    ```

shows the quiz of that part: a form for each question, a line that counts, and the
answers, folded, for paper and for browsers without JavaScript. `_static/quiz.js` reads
right and wrong out of those answers; without it there is nothing to press.
"""

import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.writers.html5 import HTML5Translator

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "coursework"))

import quizzes  # noqa: E402

VERDICTS = {True: "Right", False: "Wrong"}

SPOKEN = {
    r"\lVert": "norm of",
    r"\rVert": "",
    r"\Vert": "from",
    r"\mid": "given",
    r"^\top": "transposed",
    r"\approx": "is about",
    r"\,": "",
    r"\mathrm": "",
    r"\mathcal": "",
    r"\mathbb": "",
    "^2": "squared",
    "_": "sub",
}
"""How signs of TeX are said; of others their name is."""


class Tag(nodes.container):
    """An HTML element; other builders see a container."""


def tag(name: str, /, *content: nodes.Node | str, **attributes: str) -> Tag:
    """Make an element: its name, what it holds, and its attributes.

    Of a name such as `for_` or `data_answer`, the last underscore goes and the others
    become hyphens.
    """
    html = {
        key.rstrip("_").replace("_", "-"): value for key, value in attributes.items()
    }
    ids = [html.pop("id")] if "id" in html else []
    node = Tag("", tag=name, html=html, ids=ids)
    node += [nodes.Text(part) if isinstance(part, str) else part for part in content]
    return node


def names(prefix: str, content: list[nodes.Node], suffix: str = "") -> dict[str, str]:
    """Name a control for screen readers, where formulas are a part of its label.

    Browsers leave formulas out of the names that they derive from labels, so that an
    answer of a formula only would have none.
    """
    if not any(isinstance(node, nodes.math) for node in content):
        return {}
    parts = [
        spoken(node.astext()) if isinstance(node, nodes.math) else node.astext()
        for node in content
    ]
    return {"aria_label": " ".join(f"{prefix}{''.join(parts)}{suffix}".split())}


def spoken(formula: str) -> str:
    """Write a short formula in words, such as `beta norm of mu squared`."""
    for sign, word in SPOKEN.items():
        formula = formula.replace(sign, f" {word} ")
    formula = re.sub(r"\\([a-z]+)", r" \1 ", formula)
    return " ".join(re.sub(r"[{}\\]", "", formula).split())


def visit_tag(self: HTML5Translator, node: Tag) -> None:
    if node["tag"] == "input":
        self.body.append(self.emptytag(node, "input", "", **node["html"]))
        raise nodes.SkipNode
    self.body.append(self.starttag(node, node["tag"], "", **node["html"]))


def depart_tag(self: HTML5Translator, node: Tag) -> None:
    self.body.append(f"</{node['tag']}>\n")


class QuizDirective(SphinxDirective):
    """The quiz of the part that the argument names."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the questions, the count and the answers."""
        folder = Path(self.env.srcdir) / "coursework" / "quizzes"
        path = folder / f"{self.arguments[0]}.yaml"
        if not path.exists():
            known = ", ".join(sorted(file.stem for file in folder.glob("*.yaml")))
            raise self.error(f"no quiz {self.arguments[0]!r}; known: {known}")
        self.env.note_dependency(str(path))
        quiz = quizzes.load(path, Path(self.env.srcdir) / "chapters")
        total = len(quiz.questions)
        forms = [
            self.form(question, f"quiz-{quiz.part}-{question.id}", number, total)
            for number, question in enumerate(quiz.questions, start=1)
        ]
        count = tag(
            "div",
            tag("p", f"0 of {total} right", class_="quiz-count", role="status"),
            tag("button", "Try again", type="button", class_="quiz-again"),
            class_="quiz-bar",
            hidden="",
        )
        key = tag(
            "details",
            tag("summary", "Answers"),
            tag(
                "ol",
                *(
                    self.key(question, f"quiz-{quiz.part}-{question.id}")
                    for question in quiz.questions
                ),
                class_="quiz-key",
            ),
        )
        return [tag("div", *forms, count, key, class_="quiz")]

    def inline(self, text: str) -> list[nodes.Node]:
        """Read one paragraph with the book's own Markdown; return what it holds."""
        (paragraph,) = self.parse_text_to_nodes(text)
        return list(paragraph.children)

    def form(
        self, question: quizzes.Question, id: str, number: int, total: int
    ) -> nodes.Node:
        """Build what a reader fills in."""
        kind = "radio" if question.kind == "single" else "checkbox"
        choices = []
        for i, answer in enumerate(question.answers, start=1):
            name = f"{id}-{i}"
            text = self.inline(answer.text)
            given = {"type": kind, "name": id, "id": name, "value": str(i)}
            box = tag("input", **given, **names("", text))
            label = tag("label", *text, for_=name)
            choices.append(tag("div", box, label, class_="quiz-choice"))
        asked = self.inline(question.question)
        place = f"Question {number} of {total}. "
        kind_of = f" {quizzes.KINDS[question.kind]}"
        legend = tag(
            "legend",
            tag("span", place, class_="quiz-number"),
            *asked,
            tag("span", kind_of, class_="quiz-kind"),
        )
        # Disabled until there is a script: a form without one would reload the page.
        check = tag(
            "button",
            "Check",
            tag("span", f" question {number}", class_="visually-hidden"),
            type="submit",
            hidden="",
            disabled="",
        )
        status = tag("div", class_="quiz-status", role="status")
        return tag(
            "form",
            tag("fieldset", legend, *choices, **names(place, asked, kind_of)),
            check,
            status,
            class_="quiz-question",
            autocomplete="off",
        )

    def key(self, question: quizzes.Question, id: str) -> nodes.Node:
        """Build what is said to each answer, and where the question is answered."""
        entries = [
            tag(
                "li",
                tag("strong", f"{VERDICTS[answer.right]}: ", class_="quiz-verdict"),
                tag("q", *self.inline(answer.text)),
                tag("p", *self.inline(answer.feedback)),
                class_=f"quiz-{VERDICTS[answer.right].lower()}",
                data_answer=f"{id}-{i}",
            )
            for i, answer in enumerate(question.answers, start=1)
        ]
        (see,) = self.parse_text_to_nodes(f"See [](/chapters/{self.see(question)}).")
        return tag(
            "li",
            tag("p", *self.inline(question.question), class_="quiz-asked"),
            tag("ul", *entries),
            tag("div", see, class_="quiz-see", data_question=id),
        )

    def see(self, question: quizzes.Question) -> str:
        """Find the file of the chapter, as a path below `chapters`."""
        chapters = Path(self.env.srcdir) / "chapters"
        file = quizzes.chapter_file(question.see, chapters)
        assert file is not None  # `load` has looked.
        return file.relative_to(chapters).as_posix()


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_node(Tag, html=(visit_tag, depart_tag))
    app.add_directive("quiz", QuizDirective)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
