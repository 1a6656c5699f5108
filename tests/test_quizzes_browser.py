"""The quizzes in a browser: by keyboard, for a screen reader, without a network.

Needs Chromium and a book in `_build/html` (`make book`), and is skipped without them.
What holds for every page, quizzes among them, is in `test_browser.py`.
"""

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "coursework"))

import quizzes  # noqa: E402

chromium = pytest.importorskip("chromium")

QUIZZES = quizzes.load_all()
PAGE = "chapters/{}/quiz.html"
MISSING = [q.part for q in QUIZZES if PAGE.format(q.part) not in chromium.PAGES]

pytestmark = [
    chromium.needs_book,
    pytest.mark.skipif(bool(MISSING), reason=f"no page for {', '.join(MISSING)}"),
]
EACH = pytest.mark.parametrize("quiz", QUIZZES, ids=lambda quiz: quiz.part)


def walk_to(tab, selector, steps=400):
    """Press Tab until the focus is on an element."""
    for _ in range(steps):
        if tab.run("to => document.activeElement.matches(to)", selector):
            return
        tab.page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not reach {selector}")


def text(tab, selector):
    """Text of an element as it is displayed, formulas left out."""
    return tab.page.locator(selector).first.inner_text().strip()


def words(markdown):
    """First words of a text up to its first formula or mark, as a page shows them."""
    return markdown.partition("$")[0].partition("*")[0].partition("`")[0].strip()


def long_words(question):
    """Whether what is said to each answer can be told apart by how it begins."""
    said = [words(answer.feedback) for answer in question.answers]
    return question.kind == "single" and min(map(len, said)) > 20


def open_quiz(tab, address, part, width=1280):
    tab.look(width, "light")
    tab.open(address + PAGE.format(part))


def names_of(tab, role):
    """Names that a screen reader speaks for the elements of a role."""
    tree = tab.protocol("Accessibility.getFullAXTree")["nodes"]
    return [
        node.get("name", {}).get("value", "").strip()
        for node in tree
        if not node["ignored"] and node["role"]["value"] == role
    ]


@EACH
def test_a_quiz_is_taken_by_keyboard_alone(tab, home, quiz):
    open_quiz(tab, home, quiz.part)
    total = len(quiz.questions)
    assert text(tab, ".quiz-count") == f"0 of {total} right"
    asked = next(question for question in quiz.questions if long_words(question))
    number = quiz.questions.index(asked) + 1
    form = f".quiz form:nth-of-type({number})"
    (right,) = [i for i, answer in enumerate(asked.answers) if answer.right]
    wrong = (right + 1) % len(asked.answers)
    walk_to(tab, f"{form} input")
    tab.page.keyboard.press("Space")
    at = 0
    for target, count in ((wrong, 0), (right, 1), (wrong, 0)):
        while at != target:
            tab.page.keyboard.press("ArrowDown")  # from the last answer to the first
            at = (at + 1) % len(asked.answers)
        assert text(tab, f"{form} .quiz-status") == ""
        walk_to(tab, f"{form} button")
        tab.page.keyboard.press("Enter")
        said = text(tab, f"{form} .quiz-status")
        answer = asked.answers[target]
        assert said.startswith("Right: " if answer.right else "Wrong: ")
        assert words(answer.feedback) in said
        others = [other for other in asked.answers if other != answer]
        assert not any(words(other.feedback)[:40] in said for other in others)
        assert text(tab, ".quiz-count") == f"{count} of {total} right"
        tab.run(f"document.querySelector('{form} input:checked').focus()")
    walk_to(tab, ".quiz-again")
    tab.page.keyboard.press("Space")
    assert text(tab, f"{form} .quiz-status") == ""
    assert tab.run("document.querySelectorAll('.quiz input:checked').length") == 0
    assert tab.run("document.activeElement.matches('.quiz form:first-of-type input')")
    assert tab.complaints(home) == []


@EACH
def test_by_mouse_the_answers_of_the_data_are_right_and_others_are_not(tab, home, quiz):
    open_quiz(tab, home, quiz.part)
    choose = """(right) => [...document.querySelectorAll('.quiz form')].forEach(
        (form, i) => {
            form.querySelectorAll('input').forEach((box, k) => {
                box.checked = right[i].includes(k);
            });
            form.querySelector('button').click();
        })"""
    right = [
        [k for k, answer in enumerate(question.answers) if answer.right]
        for question in quiz.questions
    ]
    total = len(right)
    for number, holds in enumerate(right, start=1):
        form = tab.page.locator(f".quiz form:nth-of-type({number})")
        for place in holds:
            form.locator("label").nth(place).click()
        form.locator("button").click()
        assert text(tab, ".quiz-count") == f"{number} of {total} right"
    others = [
        [k for k in range(len(question.answers)) if k not in holds][:1]
        for question, holds in zip(quiz.questions, right, strict=True)
    ]
    tab.run(choose, others)
    assert text(tab, ".quiz-count") == f"0 of {total} right"
    tab.run(choose, [[] for _ in right])
    assert text(tab, ".quiz-status") == "Choose an answer first."


def test_several_answers_are_judged_together(tab, home):
    (quiz,) = [quiz for quiz in QUIZZES if quiz.part == "concepts"]
    (number, asked) = next(
        (i, question)
        for i, question in enumerate(quiz.questions, start=1)
        if question.kind == "multiple"
    )
    open_quiz(tab, home, "concepts")
    form = f".quiz form:nth-of-type({number})"
    right = [i for i, answer in enumerate(asked.answers) if answer.right]
    wrong = [i for i, answer in enumerate(asked.answers) if not answer.right]
    assert len(right) > 1

    def choose(places):
        boxes = f"document.querySelectorAll('{form} input')"
        tab.run(f"{boxes}.forEach((box, i) => box.checked = {places}.includes(i))")
        tab.run(f"document.querySelector('{form} button').click()")
        return text(tab, f"{form} .quiz-status"), text(tab, ".quiz-count")

    total = len(quiz.questions)
    said, count = choose(right)
    assert said.startswith("Right: this is all that holds.")
    assert said.count("Right: ") == 1 + len(right)
    assert count == f"1 of {total} right"
    for places, verdict in (
        (right[:1], "Not complete: more holds than this."),
        (right + wrong[:1], "Not right: not all of this holds."),
        (wrong[:1], "Not right: not all of this holds."),
    ):
        said, count = choose(places)
        assert said.startswith(verdict)
        assert said.count("Wrong: ") == len(set(places) & set(wrong))
        assert count == f"0 of {total} right"


def test_a_new_choice_takes_the_old_verdict_away(tab, home):
    open_quiz(tab, home, "mnist")
    form = ".quiz form"
    tab.run(f"document.querySelectorAll('{form} input')[1].click()")
    tab.run(f"document.querySelector('{form} button').click()")
    assert text(tab, f"{form} .quiz-status").startswith("Right: ")
    assert text(tab, ".quiz-count").startswith("1 of ")
    tab.run(f"document.querySelectorAll('{form} input')[0].click()")
    assert text(tab, f"{form} .quiz-status") == ""
    assert text(tab, ".quiz-count").startswith("0 of ")


@EACH
def test_a_screen_reader_has_names_for_everything(tab, home, quiz):
    open_quiz(tab, home, quiz.part)
    for role, kind in (("radio", "single"), ("checkbox", "multiple")):
        asked = [question for question in quiz.questions if question.kind == kind]
        spoken = names_of(tab, role)
        answers = [answer.text for question in asked for answer in question.answers]
        assert len(spoken) == len(answers)
        for name, answer in zip(spoken, answers, strict=True):
            assert name and name.startswith(words(answer))
            assert not set(name) & set("\\{}$")
            # A formula is a part of the name: its first letter or digit is there.
            for formula in re.findall(r"\$([^$]+)\$", answer):
                first = re.search(r"\w", re.sub(r"\\math[a-z]+", "", formula))[0]
                assert first in name[len(words(answer)) :]
    groups = [name for name in names_of(tab, "group") if name.startswith("Question ")]
    for number, (name, question) in enumerate(
        zip(groups, quiz.questions, strict=True), start=1
    ):
        assert name.startswith(
            f"Question {number} of {len(groups)}. {words(question.question)}"
        )
        assert name.endswith(quizzes.KINDS[question.kind])
    buttons = names_of(tab, "button")
    assert {f"Check question {i + 1}" for i in range(len(groups))} <= set(buttons)
    assert "Try again" in buttons and "" not in buttons
    assert len(names_of(tab, "status")) == len(groups) + 1


def test_formulas_are_spoken_in_words(tab, home):
    open_quiz(tab, home, "mathematics")
    spoken = names_of(tab, "radio")
    assert "3/4" in spoken
    assert "The mean image, for every Z" in spoken
    assert "At most log 64 is about 4.2 nats" in spoken
    (asked,) = [name for name in names_of(tab, "group") if "A loss consists" in name]
    assert "(q(z given x) from N(0, I)) and beta norm of mu squared, with" in asked
    open_quiz(tab, home, "beyond")
    assert "PMI(w, c) - log k" in names_of(tab, "radio")


@EACH
def test_a_phone_has_room_for_a_finger(tab, home, quiz):
    open_quiz(tab, home, quiz.part, 390)
    small = """[...document.querySelectorAll('.quiz label, .quiz button')].filter(
        part => part.getBoundingClientRect().height < 44
        || part.getBoundingClientRect().width < 44).map(part => part.textContent)"""
    assert tab.run(small) == []
    boxes = "document.querySelectorAll('.quiz input').forEach(box => box.click())"
    tab.run(
        f"{boxes}; "
        "document.querySelectorAll('.quiz form button').forEach(b => b.click())"
    )
    assert tab.run("document.querySelectorAll('.quiz-status li').length") > 5
    assert tab.run(chromium.TOO_WIDE) == ""


def test_a_quiz_works_from_a_folder_without_a_network(tab):
    folder = chromium.SITE.as_uri() + "/"
    tab.page.context.set_offline(True)
    open_quiz(tab, folder, "mathematics")
    tab.run("document.querySelector('.quiz form input').click()")
    tab.run("document.querySelector('.quiz form button').click()")
    assert text(tab, ".quiz-status").startswith("Wrong: ")
    # The formula in what is said has been set.
    assert tab.run("document.querySelectorAll('.quiz-status mjx-container').length") > 0
    assert tab.complaints(folder) == []
    tab.page.context.set_offline(False)


def test_a_quiz_is_taken_by_touch(browser, home):
    context = browser.new_context(has_touch=True, is_mobile=True)
    tab = chromium.Tab(context.new_page())
    open_quiz(tab, home, "mnist", 390)
    (quiz,) = [quiz for quiz in QUIZZES if quiz.part == "mnist"]
    form = tab.page.locator(".quiz form").first
    (right,) = [i for i, a in enumerate(quiz.questions[0].answers) if a.right]
    form.locator("label").nth(right).tap()
    form.locator("button").tap()
    assert text(tab, ".quiz-status").startswith("Right: ")
    assert text(tab, ".quiz-count") == f"1 of {len(quiz.questions)} right"
    assert tab.complaints(home) == []
    context.close()


def test_without_scripts_the_answers_are_there_and_no_button_is(browser, home):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(home + PAGE.format("mnist"))
    assert not page.locator(".quiz form button").first.is_visible()
    assert not page.locator(".quiz-bar").is_visible()
    page.locator(".quiz summary").click()
    said = page.locator(".quiz-key").inner_text()
    (quiz,) = [quiz for quiz in QUIZZES if quiz.part == "mnist"]
    for question in quiz.questions:
        for answer in question.answers:
            assert words(answer.feedback) in said
    context.close()


def test_on_paper_the_answers_are_unfolded_and_buttons_are_gone(tab, home):
    open_quiz(tab, home, "mnist")
    tab.page.emulate_media(media="print")
    assert tab.run("document.querySelector('.quiz-key').offsetHeight") > 500
    assert tab.run("document.querySelector('.quiz form button').offsetHeight") == 0
    assert tab.run("document.querySelector('.quiz-bar').offsetHeight") == 0
    tab.page.emulate_media(media="screen")
