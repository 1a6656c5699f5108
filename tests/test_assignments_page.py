"""The page of the assignments: complete, true to the notebooks, without solutions."""

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "_ext"))

pytest.importorskip("jupyter_book")

import assignments  # noqa: E402
import timetable  # noqa: E402
from docutils import nodes  # noqa: E402

SOURCE = ROOT / "coursework" / "source"
NAMES = sorted(path.parent.name for path in SOURCE.glob("*/*.ipynb"))
COURSE = assignments.read_assignments(ROOT)
TITLES = {lesson.name: lesson.title for lesson in timetable.read_course(ROOT)}
PAGE = assignments.page(COURSE, TITLES)


def cells_of(name):
    return json.loads((SOURCE / name / f"{name}.ipynb").read_text("utf-8"))["cells"]


def graded(name):
    """Points of the graded cells of code and of text, read once more."""
    points = {"code": 0.0, "markdown": 0.0}
    for cell in cells_of(name):
        told = cell["metadata"].get("nbgrader", {})
        if told.get("grade"):
            points[cell["cell_type"]] += told["points"]
    return points


# --- the course -------------------------------------------------------------------


def test_assignments_of_the_course_have_no_faults():
    assert assignments.problems(COURSE, TITLES) == []


def test_every_assignment_is_listed_once_in_order():
    assert len(NAMES) == 6 and sorted(one.name for one in COURSE) == NAMES
    assert [one.number for one in COURSE] == [1, 2, 3, 4, 5, 6]
    rows = re.findall(r"^\| (\d) \| (.+?) \|", PAGE, re.MULTILINE)
    assert rows == [(str(one.number), one.title) for one in COURSE]
    assert re.findall(r"^`(\w+)`\. ", PAGE, re.MULTILINE) == [o.name for o in COURSE]


@pytest.mark.parametrize("one", COURSE, ids=lambda one: one.name)
def test_marks_are_those_of_the_notebook_and_add_up(one):
    points = graded(one.name)
    assert sum(task.tests for task in one.tasks) == points["code"]
    assert sum(task.hand for task in one.tasks) == points["markdown"]
    section = PAGE.split(f"{{dropdown}} {one.number}. ")[1].split("\n::::")[0]
    rows = re.findall(r"^\| \d\. .+ \| (\d+) \| .+ \|$", section, re.MULTILINE)
    assert sum(map(int, rows)) == sum(points.values()) == one.total
    assert f"| *all* | *{one.total:g}* |" in section
    row = next(x for x in PAGE.splitlines() if x.startswith(f"| {one.number} |"))
    assert f"| {points['code']:g} | {points['markdown']:g} |" in row


@pytest.mark.parametrize("one", COURSE, ids=lambda one: one.name)
def test_goals_time_and_prerequisites_are_those_of_the_notebook(one):
    text = "\n\n".join("".join(cell["source"]) for cell in cells_of(one.name))
    assert one.goals.startswith("- ") and one.goals in text and one.goals in PAGE
    assert f"{one.time}." in text and "hours" in one.time
    assert one.before
    for title in one.before:
        name = assignments.lookup(title, TITLES)
        assert (ROOT / "chapters" / f"{name}.ipynb").exists()
        assert f"](/chapters/{name}.ipynb)" in PAGE


def test_the_project_is_handed_in_with_its_weights():
    files = {one.name: one.files for one in COURSE}
    assert files.pop("project") == ("encoder.weights.h5",)
    assert set(files.values()) == {()}


def test_no_line_of_a_solution_or_a_hidden_test_is_on_the_page():
    """What stands in cells of students, and between the marks, and nowhere else."""
    assert assignments.SECRET not in PAGE
    secret, public = set(), set()
    for name in NAMES:
        for cell in cells_of(name):
            hidden = cell["metadata"].get("nbgrader", {}).get("solution")
            for line in "".join(cell["source"]).splitlines():
                hidden = hidden or line.strip().startswith("### BEGIN")
                (secret if hidden else public).add(line.strip())
    secret = {line for line in secret - public if len(line) > 12}
    assert len(secret) > 300
    assert [line for line in secret if line in PAGE] == []


def test_syllabi_call_the_assignments_by_their_titles():
    path = ROOT / "chapters" / "teaching" / "syllabi.yaml"
    plan = yaml.safe_load(path.read_text("utf-8"))

    def words(title):
        return re.findall(r"[\w%]+", title.lower())

    told = {number: words(x["title"]) for number, x in plan["assignments"].items()}
    assert told == {one.number: words(one.title) for one in COURSE}


# --- what breaks the build --------------------------------------------------------


def cell(text, kind="markdown", **nbgrader):
    metadata = {"nbgrader": nbgrader} if nbgrader else {}
    return {"cell_type": kind, "source": text, "metadata": metadata}


TERMS = (
    f"{assignments.TERMS}\n\nAbout two hours. 5 marks: 3 and 2. Read *One* of the "
    "course first.\n\n**Hand in two files**, this notebook and `a.npz`."
)
SOUND = {
    "title": cell("# Assignment 1: counting\n\nOne, two."),
    "goals": cell(f"{assignments.GOALS}\n\n- Count."),
    "terms": cell(TERMS),
    "task": cell("## 1. Two (3 marks)\n\nWhat is two?"),
    "answer": cell("### BEGIN SOLUTION\n2\n### END SOLUTION", "code", solution=True),
    "check": cell("assert two == 2", "code", grade=True, points=3),
    "written": cell("## 2. Why? (2 marks)\n\nSay why."),
    "essay": cell(
        "### BEGIN SOLUTION\nSo.\n### END SOLUTION", grade=True, solution=True, points=2
    ),
    "stretch": cell("## Stretch: three (no marks)"),
    "free": cell("pass", "code", grade=False, points=9),
}


@pytest.fixture
def write(tmp_path):
    """Return a function that writes an assignment and lists all faults."""

    def make(name="one", titles=None, **changes):
        folder = tmp_path / assignments.FOLDER / name
        folder.mkdir(parents=True, exist_ok=True)
        cells = [c for c in {**SOUND, **changes}.values() if c]
        (folder / f"{name}.ipynb").write_text(json.dumps({"cells": cells}))
        course = assignments.read_assignments(tmp_path)
        return assignments.problems(course, titles or {"a/one": "One"})

    return make


def test_a_sound_assignment(write, tmp_path):
    assert write() == []
    (one,) = assignments.read_assignments(tmp_path)
    assert (one.title, one.time, one.goals) == (
        "Counting",
        "About two hours",
        "- Count.",
    )
    assert (one.total, one.before, one.files) == (5, ("One",), ("a.npz",))
    text = assignments.page([one], {"a/one": "One"})
    assert "| 1 | Counting | two hours | 3 | 2 | notebook and `a.npz` |" in text
    assert "Read first: [One](/chapters/a/one.ipynb)." in text
    assert "| 1. Two | 3 | hidden test |\n| 2. Why? | 2 | a person |" in text
    assert "Stretch" not in text and "So." not in text


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"title": cell("# Counting")}, "has no first cell that begins with"),
        ({"title": cell("# Assignment 2: counting")}, "is assignment 2, and 1 is due"),
        ({"goals": None}, 'has no cell that begins with "## What you will practise"'),
        (
            {"goals": cell(f"{assignments.GOALS}\n\n2", solution=True)},
            'has no cell that begins with "## What you will practise"',
        ),
        ({"terms": None}, 'has no cell that begins with "## Time, marks, rules"'),
        (
            {"goals": cell(f"{assignments.GOALS}\n\n- Count.\n### BEGIN SOLUTION\n2")},
            'has "### BEGIN" below "## What you will practise"',
        ),
        (
            {"terms": cell(TERMS.replace("5 marks", "Marks"))},
            'does not say "20 marks"',
        ),
        (
            {"terms": cell(TERMS.replace("5 marks", "6 marks"))},
            "promises 6 marks, its headings have 5 and its graded cells 5",
        ),
        (
            {"terms": cell(TERMS.replace("Read", "Know"))},
            'does not say "Read *...* of the course first."',
        ),
        (
            {"terms": cell(TERMS.replace("*One*", "*Two*"))},
            "asks for 'Two' first, which is not the title of one notebook",
        ),
        (
            {"task": cell("## 1. Two (4 marks)")},
            "promises 4 marks for task 1, and its graded cells have 3",
        ),
        ({"check": None}, "promises 3 marks for task 1, and its graded cells have 0"),
        (
            {"free": cell("pass", "code", grade=True, points=1)},
            "promises 5 marks, its headings have 5 and its graded cells 6",
        ),
    ],
)
def test_each_fault_of_an_assignment_is_named(write, changes, complaint):
    found = write(**changes)
    assert complaint in " ".join(found)
    assert all(text.startswith("coursework/source/one/one.ipynb ") for text in found)


def test_numbers_have_no_gaps_and_no_doubles(write):
    write("one")
    assert "two/two.ipynb is assignment 1, and 2 is due" in " ".join(write("two"))
    third = cell("# Assignment 3: more")
    assert "is assignment 3, and 2 is due" in " ".join(write("two", title=third))


def test_a_notebook_is_called_by_its_title_or_the_beginning_of_it():
    titles = {"a": "Ten", "b": "Ten labels", "c": "Twelve months", "d": "Twelve men"}
    found = [assignments.lookup(t, titles) for t in ("Ten", "Ten l", "Twelve", "No")]
    assert found == ["a", "b", None, None]


def run(monkeypatch, root):
    """Run the directive as Sphinx does; return what it made and what it watches."""
    lesson = SimpleNamespace(name="a/one", title="One", path="chapters/a/one.ipynb")
    monkeypatch.setattr(assignments, "read_course", lambda _: [lesson])
    watched = []
    self = SimpleNamespace(
        env=SimpleNamespace(srcdir=str(root), note_dependency=watched.append),
        get_location=lambda: "page.md:7",
        parse_text_to_nodes=lambda text, **_: [nodes.Text(text)],
    )
    made = assignments.Assignments.run(self)
    return "".join(node.astext() for node in made), watched


def test_the_directive_watches_and_warns(write, tmp_path, monkeypatch, caplog):
    write()
    text, watched = run(monkeypatch, tmp_path)
    assert "{dropdown} 1. Counting" in text
    assert {Path(path).name for path in watched} == {"one.ipynb"} and len(watched) == 2
    assert caplog.records == []
    write(check=None)
    run(monkeypatch, tmp_path)
    assert "graded cells have 0: change one of them." in caplog.text


def test_the_directive_shows_nothing_rather_than_a_solution(
    write, tmp_path, monkeypatch, caplog
):
    write(goals=cell(f"{assignments.GOALS}\n\n- Count.\n### BEGIN SOLUTION\n2"))
    text, _ = run(monkeypatch, tmp_path)
    assert text == "" and "students read that cell" in caplog.text


def test_nbgrader_is_not_needed():
    text = (ROOT / "_ext" / "assignments.py").read_text("utf-8")
    assert not re.search(r"^(import|from) (nb|course|notebooks)", text, re.MULTILINE)
