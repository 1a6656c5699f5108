"""The quizzes: their data, what is refused, and the files for learning platforms.

The files are read back by other people's parsers. The pages are tested in
`test_quizzes_browser.py`.
"""

import doctest
import html
import io
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
import yaml

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "coursework"))

import quizzes  # noqa: E402

FILES = sorted(quizzes.FOLDER.glob("*.yaml"))
QUIZZES = quizzes.load_all()
QUESTIONS = [question for quiz in QUIZZES for question in quiz.questions]
PARTS = {"concepts", "algorithms", "mathematics", "mnist", "beyond", "future"}

# What Moodle accepts as percentages (question/engine/bank.php), positive and negative.
GRADES = [100, 90, 83.33333, 80, 75, 70, 66.66667, 60, 50, 40, 33.33333, 30, 25, 20]
GRADES += [16.66667, 14.28571, 12.5, 11.11111, 10, 5, 0]


def entry(number=1, kind="single", right=(True, False, False)):
    """One valid question as it stands in a file."""
    return {
        "id": f"question-{number}",
        "question": f"Is {number} a number?",
        "kind": kind,
        "see": "mnist/training",
        "answers": [
            {"text": f"answer {i}", "right": holds, "feedback": f"feedback {i}"}
            for i, holds in enumerate(right, start=1)
        ],
    }


@pytest.fixture
def load(tmp_path):
    """Return a function that writes a quiz of six questions, the first one given."""

    def write(first, more=5, **changes):
        questions = [first, *(entry(number) for number in range(2, 2 + more))]
        path = tmp_path / "part.yaml"
        quiz = {"title": "Part", "questions": questions} | changes
        path.write_text(yaml.safe_dump(quiz, sort_keys=False), "utf-8")
        return quizzes.load(path)

    return write


# --- the questions of the course --------------------------------------------------


def test_each_part_has_a_quiz_and_a_page_that_shows_it():
    assert {quiz.part for quiz in QUIZZES} == PARTS
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    last = {Path(part["chapters"][-1]["file"]) for part in toc["parts"]}
    for part in PARTS:
        page = Path("chapters") / part / "quiz"
        assert page in last
        text = (ROOT / page).with_suffix(".md").read_text("utf-8")
        assert re.findall(r"^```\{quiz\} (\w+)$", text, re.MULTILINE) == [part]


@pytest.mark.parametrize("quiz", QUIZZES, ids=lambda quiz: quiz.part)
def test_questions_are_answered_in_their_own_part(quiz):
    assert {question.see.partition("/")[0] for question in quiz.questions} == {
        quiz.part
    }


def test_the_right_answer_is_given_away_neither_by_length_nor_by_place():
    singles = [question for question in QUESTIONS if question.kind == "single"]
    places, longest = [], 0
    for question in singles:
        lengths = [len(answer.text) for answer in question.answers]
        (place,) = [i for i, answer in enumerate(question.answers) if answer.right]
        places.append(place)
        longest += lengths[place] == max(lengths)
    assert longest < len(singles) / 4
    for place in range(4):
        assert places.count(place) > len(singles) / 8


def test_answers_are_specific():
    for question in QUESTIONS:
        for answer in question.answers:
            assert not re.search(r"\b(all|none|both) of the\b", answer.text.lower())
        feedback = [answer.feedback for answer in question.answers]
        assert len(set(feedback)) == len(feedback)
        assert min(map(len, feedback)) > 20


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_texts_are_british_and_sober(path, tmp_path):
    test_book = pytest.importorskip("test_book")
    page = tmp_path / "page.md"
    page.write_text(path.read_text("utf-8"), "utf-8")
    test_book.test_prose_is_british_and_sober(page)


# --- what is refused --------------------------------------------------------------


def test_a_valid_quiz_is_read(load):
    quiz = load(entry(kind="multiple", right=(True, False, True)))
    assert (quiz.part, quiz.title, len(quiz.questions)) == ("part", "Part", 6)
    first = quiz.questions[0]
    assert first.answers[2] == quizzes.Answer("answer 3", True, "feedback 3")
    assert (first.id, first.see) == ("question-1", "mnist/training")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "double"}, "kind is 'double'. Write single or multiple"),
        ({"see": "mnist/trainin"}, "see is 'mnist/trainin', which is no chapter"),
        ({"see": "mnist/training.ipynb"}, "without suffix"),
        ({"question": ""}, "question is ''. Write a text"),
        ({"question": "One.\n\nTwo."}, r"'One.\\n\\nTwo.' is no single paragraph"),
        ({"question": "- a list"}, "is no single paragraph"),
        ({"hint": "none"}, "hint. Write exactly id, question, kind, answers, see"),
        ({"answers": "yes"}, "answers is 'yes'. Write a list"),
        ({"answers": []}, "answers is .*Write a list, and not an empty one"),
        ({"answers": entry()["answers"][:2]}, "it has 2 answers. Write 3 to 6"),
        ({"answers": entry(right=[True] + [False] * 6)["answers"]}, "7 answers"),
        ({"answers": entry(right=[False] * 3)["answers"]}, "0 answers are right"),
        ({"answers": entry(right=[True] * 2 + [False])["answers"]}, "2 answers are"),
    ],
)
def test_a_bad_question_is_named_with_its_value_and_the_fix(load, change, message):
    with pytest.raises(ValueError, match=message) as error:
        load(entry() | change)
    assert str(error.value).startswith("part.yaml, question 'question-1'")


@pytest.mark.parametrize("right", [(True, True, True), (False, False, False)])
def test_a_multiple_question_needs_a_right_and_a_wrong_answer(load, right):
    with pytest.raises(ValueError, match="at least one be right, one wrong"):
        load(entry(kind="multiple", right=right))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"feedback": ""}, "feedback is ''. Write a text, and not an empty one"),
        ({"feedback": None}, "feedback is None"),
        ({"feedback": "A.\n\nB."}, "no single paragraph"),
        ({"text": "> quoted"}, "no single paragraph"),
        ({"text": 3}, "text is 3. Write a text"),
        ({"right": "yes, mostly"}, "right is 'yes, mostly'. Write true or false"),
        ({"text": "answer 3"}, "two answers have the same text"),
    ],
)
def test_a_bad_answer_is_refused(load, change, message):
    first = entry()
    first["answers"][1] |= change
    with pytest.raises(ValueError, match=message) as error:
        load(first)
    assert "part.yaml, question 'question-1'" in str(error.value)


def test_missing_feedback_is_named_with_its_answer(load):
    first = entry()
    del first["answers"][1]["feedback"]
    message = "'question-1', answer 2: it has text, right. Write exactly text, right, f"
    with pytest.raises(ValueError, match=message):
        load(first)


@pytest.mark.parametrize("id", ["Upper", "two words", "1st", "-"])
def test_ids_are_plain(load, id):
    with pytest.raises(ValueError, match="Use lower case, digits and hyphens"):
        load(entry() | {"id": id})


def test_ids_are_unique(load):
    with pytest.raises(ValueError, match="'question-2': its id occurs twice"):
        load(entry(2))


@pytest.mark.parametrize("more", [4, 10])
def test_a_quiz_has_six_to_ten_questions(load, more):
    with pytest.raises(ValueError, match=f"there are {more + 1}. Write 6 to 10"):
        load(entry(), more)


def test_six_and_ten_questions_are_enough(load):
    assert len(load(entry(), 5).questions) == 6
    assert len(load(entry(), 9).questions) == 10


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title: [a", "it is not YAML"),
        ("- a\n- b", "Write exactly title, questions"),
        ("", "it has None. Write exactly title, questions"),
        ("title: ''\nquestions: [1]", "title is ''"),
    ],
)
def test_a_bad_file_is_named(tmp_path, text, message):
    path = tmp_path / "part.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        quizzes.load(path)
    assert str(error.value).startswith("part.yaml, the whole file: ")


def test_a_question_that_is_no_mapping_is_refused(load):
    with pytest.raises(ValueError, match="question 1: it has 'text'. Write exactly"):
        load("text")


# --- Markdown to HTML -------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a *b* `c`", "<p>a <em>b</em> <code>c</code></p>"),
        ("$a < b$ & 5 $", r"<p>\(a &lt; b\) &amp; 5 $</p>"),
        ("one\ntwo", "<p>one two</p>"),
        (r"$\{x\}_i$", r"<p>\(\{x\}_i\)</p>"),
        ("[in](../a.md) [out](https://a.b)", '<p>in <a href="https://a.b">out</a></p>'),
        ('so <b title="x">', '<p>so <b title="x"></p>'),
    ],
)
def test_markdown_becomes_html(text, written):
    assert quizzes.to_html(text) == written


def test_titles_of_chapters_are_read_from_notebooks_and_pages():
    assert quizzes.chapter_title("mnist/training") == "Training"
    assert quizzes.chapter_title("future/field") == "Where the field stands"
    assert quizzes.chapter_file("mnist/nothing") is None


# --- marks ------------------------------------------------------------------------


def question(right, kind="multiple", texts=None):
    answers = tuple(
        quizzes.Answer(texts[i] if texts else f"answer {i}", holds, f"feedback {i}")
        for i, holds in enumerate(right)
    )
    return quizzes.Question("id", "Text?", kind, answers, "mnist/training")


def test_a_single_question_counts_all_or_nothing():
    shares = quizzes.percentages(question([False, True, False], "single"))
    assert shares == ["0", "100", "0"]


@pytest.mark.parametrize("n", range(3, 7))
def test_right_answers_share_the_mark_and_wrong_ones_take_it_back(n):
    for right in range(1, n):
        marks = [i < right for i in range(n)]
        shares = [float(share) for share in quizzes.percentages(question(marks))]
        assert sum(shares[:right]) == pytest.approx(100, abs=1e-4)
        assert sum(shares[right:]) == pytest.approx(-100, abs=1e-4)
        assert {abs(share) for share in shares} <= set(GRADES)


# --- both files, read back --------------------------------------------------------

NASTY = quizzes.Quiz(
    "part",
    "Nasty",
    (
        quizzes.Question(
            "all-signs",
            r"Is {a: b} ~ c = d # $\frac{1}{2} \neq \{x : x < 1\}$ -> \\ `n\n` // %5%?",
            "multiple",
            (
                quizzes.Answer("=yes $x^{2}$ & <b>", True, "#right: ~50% & $a_{i}$"),
                quizzes.Answer("~%100%no ]]> }", False, "####none {} = \\"),
                quizzes.Answer("[html]maybe 'so' \"not\"", True, "::title:: \\} é ü ±"),
                quizzes.Answer(r"$\nabla_{x}$ // T", False, "// no comment, FALSE"),
            ),
            "mnist/training",
        ),
        quizzes.Question(
            "single-signs",
            "Which? {~a =b}",
            "single",
            (
                quizzes.Answer("a}", False, "no # {"),
                quizzes.Answer("=b", True, "yes : }"),
                quizzes.Answer("~c \\", False, "no \\# \\"),
            ),
            "future/field",
        ),
    ),
)
EVERY = pytest.mark.parametrize("quiz", [*QUIZZES, NASTY], ids=lambda quiz: quiz.title)


def expected(quiz):
    """What both files must hold: name, question, answers with marks and feedback."""
    return [
        (
            f"{quiz.part}: {question.id}",
            quizzes.to_html(question.question),
            [
                (quizzes.to_html(answer.text), quizzes.to_html(answer.feedback))
                for answer in question.answers
            ],
        )
        for question in quiz.questions
    ]


def marks(question):
    """Marks by definition: right answers share 100, wrong ones -100 or nothing."""
    right = sum(answer.right for answer in question.answers)
    wrong = len(question.answers) - right
    loss = -100 / wrong if question.kind == "multiple" else 0
    return [100 / right if answer.right else loss for answer in question.answers]


@EVERY
def test_moodle_xml_holds_the_quiz(quiz):
    root = ElementTree.fromstring(quizzes.moodle_xml(quiz).encode("utf-8"))
    assert root.tag == "quiz"
    category, *entries = root
    assert category.get("type") == "category"
    place = category.findtext("category/text")
    assert place == f"$course$/top/{quizzes.COURSE}/{quiz.title}"
    assert expected(quiz) == [
        (
            entry.findtext("name/text"),
            entry.findtext("questiontext/text"),
            [
                (answer.findtext("text"), answer.findtext("feedback/text"))
                for answer in entry.findall("answer")
            ],
        )
        for entry in entries
    ]
    for question, entry in zip(quiz.questions, entries, strict=True):
        shares = [float(answer.get("fraction")) for answer in entry.findall("answer")]
        assert shares == pytest.approx(marks(question), abs=1e-4)
        assert {abs(share) for share in shares} <= set(GRADES)
        single = entry.findtext("single")
        assert single == ("true" if question.kind == "single" else "false")
        title = quizzes.chapter_title(question.see)
        assert f"<em>{title}</em>" in entry.findtext("generalfeedback/text")


@EVERY
def test_moodle_xml_has_what_the_format_asks_for(quiz):
    text = quizzes.moodle_xml(quiz)
    assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>\n<quiz>')
    entries = ElementTree.fromstring(text.encode("utf-8"))[1:]
    for entry in entries:
        assert entry.get("type") == "multichoice"
        for path in ("name/text", "questiontext/text", "generalfeedback/text"):
            assert entry.findtext(path).strip()
        for path in ("questiontext", "generalfeedback", "answer", "answer/feedback"):
            assert {part.get("format") for part in entry.findall(path)} == {"html"}
        assert float(entry.findtext("defaultgrade")) == 1
        assert 0 <= float(entry.findtext("penalty")) <= 1
        assert entry.findtext("hidden") == "0"
        assert entry.findtext("answernumbering") == "abc"
        assert entry.findtext("shuffleanswers") == "true"
    numbers = [entry.findtext("idnumber") for entry in entries]
    assert len(set(numbers)) == len(numbers)
    assert max(map(len, numbers)) <= 100  # the width of Moodle's column


@EVERY
def test_moodle_xml_has_the_elements_that_moodle_questions_writes(quiz):
    """Another writer of the format, given the same quiz, agrees wherever it writes."""
    package = pytest.importorskip("moodle_questions.questions.multiplechoice")
    entries = ElementTree.fromstring(quizzes.moodle_xml(quiz).encode("utf-8"))[1:]
    for question, ours in zip(quiz.questions, entries, strict=True):
        theirs = package.MultipleChoiceQuestion(
            name=f"{quiz.part}: {question.id}",
            question_text=quizzes.to_html(question.question),
            default_mark=1,
            general_feedback=quizzes.see_also(question),
            id_number=f"{quiz.part}-{question.id}",
        )
        for answer, share in zip(question.answers, marks(question), strict=True):
            text, feedback = map(quizzes.to_html, (answer.text, answer.feedback))
            theirs.add_answer(share, text, feedback)
        written = theirs._to_xml_element()
        assert len(written.findall("answer")) == len(question.answers)
        for element in {child.tag for child in written}:
            for one, other in zip(
                written.findall(element), ours.findall(element), strict=True
            ):
                assert [part.tag for part in one.iter()] == [
                    part.tag for part in other.iter()
                ]
                for a, b in zip(one.iter(), other.iter(), strict=True):
                    # It wraps some texts into the letters of a CDATA section.
                    cdata = re.fullmatch(
                        r"<!\[CDATA\[(.*)\]\]>", a.text or "", re.DOTALL
                    )
                    assert (cdata[1] if cdata else a.text or "").strip() == (
                        b.text or ""
                    ).strip()


def read_gift(text):
    """Read a file with pygiftparser.

    It ends the answers of a question at the first closing brace, even an escaped one,
    and leaves escapes in the texts. Such braces are therefore hidden from it.
    """
    parser = pytest.importorskip("pygiftparser.parser")
    hidden = re.sub(r"(\\\\)|\\\}", lambda m: m[1] or "\ue000", text)
    return parser.parseFile(io.StringIO(hidden))


def plain(text):
    r"""Undo the escapes, and the line break that pygiftparser makes of `\n`."""
    text = text.replace("\\\n", "\\\\n").replace("\ue000", "}")
    return re.sub(r"\\([~=#{}:\\])", r"\1", text)


@EVERY
def test_gift_holds_the_quiz(quiz):
    read = read_gift(quizzes.gift(quiz))
    assert all(question.valid for question in read)
    assert expected(quiz) == [
        (
            plain(found.title),
            plain(found.text),
            [(plain(a.answer), plain(a.feedback)) for a in found.answers.answers],
        )
        for found in read
    ]
    for question, found in zip(quiz.questions, read, strict=True):
        shares = [answer.fraction for answer in found.answers.answers]
        assert shares == pytest.approx(marks(question), abs=1e-4)
        assert found.markup == "html"
        kind = "SelectSet" if question.kind == "single" else "MultipleChoicesSet"
        assert type(found.answers).__name__ == kind
        title = quizzes.chapter_title(question.see)
        assert f"<em>{title}</em>" in plain(found.generalFeedback)
        assert found.tail == ""


@EVERY
def test_gift_names_its_category_and_keeps_questions_apart(quiz):
    category, *blocks = quizzes.gift(quiz).split("\n\n")
    assert category == f"$CATEGORY: $course$/top/{quizzes.COURSE}/{quiz.title}"
    assert len(blocks) == len(quiz.questions)
    for block in blocks:
        assert block.startswith("::")
        assert not any(line.startswith("//") for line in block.splitlines())


def test_formulas_reach_both_files_as_mathjax_reads_them():
    root = ElementTree.fromstring(quizzes.moodle_xml(NASTY).encode("utf-8"))
    asked = html.unescape(root.findtext("question[2]/questiontext/text"))
    assert r"\(\frac{1}{2} \neq \{x : x < 1\}\)" in asked
    assert r"\\(\\frac\{1\}\{2\} \\neq \\\{x \: x &lt; 1\\\}\\)" in quizzes.gift(NASTY)


# --- the command line -------------------------------------------------------------


def test_export_writes_two_files_for_each_part(tmp_path, capsys):
    quizzes.main([str(tmp_path / "new" / "folder")])
    written = {path.name for path in (tmp_path / "new" / "folder").iterdir()}
    assert written == {f"{part}{end}" for part in PARTS for end in (".xml", ".gift")}
    assert len(capsys.readouterr().out.splitlines()) == len(written)
    text = (tmp_path / "new" / "folder" / "mnist.gift").read_text("utf-8")
    (mnist,) = [quiz for quiz in QUIZZES if quiz.part == "mnist"]
    assert text == quizzes.gift(mnist)


@pytest.mark.parametrize("arguments", [[], ["a", "b"]])
def test_the_command_line_says_how_it_is_used(arguments):
    with pytest.raises(SystemExit, match="OUTPUT_FOLDER"):
        quizzes.main(arguments)


def test_examples_of_the_module():
    assert doctest.testmod(quizzes) == (0, 1)


# --- the directive ----------------------------------------------------------------


def test_an_unknown_quiz_is_named_with_the_known_ones():
    pytest.importorskip("sphinx")
    sys.path.insert(0, str(ROOT / "_ext"))
    import quiz

    env = SimpleNamespace(srcdir=str(ROOT))
    self = SimpleNamespace(env=env, arguments=["concept"], error=ValueError)
    with pytest.raises(ValueError, match="no quiz 'concept'; known: .*concepts, futu"):
        quiz.QuizDirective.run(self)
