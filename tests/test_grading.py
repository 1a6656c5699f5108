"""Whole gradings: releases, kernels, feedback and the table of grades.

Minutes long, and so not part of `make test`: `make test-coursework`.
"""

import csv
import re
import shutil

import nbformat
import pytest

pytest.importorskip("nbgrader")

import course  # noqa: E402
import demo  # noqa: E402
import notebooks  # noqa: E402

pytestmark = pytest.mark.grading
YEAR = 2031
OTHERS = [name for name in notebooks.ASSIGNMENTS if name != demo.ASSIGNMENT]


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """The made-up class after its grading, and what was not as expected."""
    folder = tmp_path_factory.mktemp("class")
    return folder, demo.run(folder, len(demo.CLASS), YEAR)


def test_everybody_of_the_class_gets_what_is_due(graded):
    _, wrong = graded
    assert wrong == []


def rows(path):
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_table_has_names_points_and_totals(graded):
    folder, _ = graded
    table = rows(folder / f"grades-{demo.ASSIGNMENT}.csv")
    assert len(table) == len(demo.CLASS)
    titles = list(table[0])
    assert titles[:3] == ["student", "last name", "first name"]
    assert titles[-3:] == ["to mark by hand", "total", "maximum"]
    by_name = {row["last name"]: row for row in table}
    for member in demo.CLASS:
        row = by_name[member.last]
        assert row["first name"] == member.first
        assert float(row["total"]) == member.expected
        assert float(row["maximum"]) == 20
        tasks = [row[title] for title in titles[3:-3]]
        assert sum(map(float, filter(None, tasks))) == member.expected
    noether = by_name["Noether"]
    assert (noether["gaussian_kl (4)"], noether["elbo (4)"]) == ("0.0", "4.0")
    assert noether["to mark by hand"] == "1"


def test_feedback_tells_what_was_done(graded):
    folder, _ = graded
    for number, member in enumerate(demo.CLASS):
        page = folder / "feedback" / str(1001 + number) / demo.ASSIGNMENT
        text = (page / f"{demo.ASSIGNMENT}.html").read_text("utf-8")
        text = re.sub(r"<[^>]+>", "", text)
        assert member.told in text, member.last
    noether = folder / "feedback" / "1004" / demo.ASSIGNMENT
    assert "the divergence is wrong" in next(noether.glob("*.html")).read_text("utf-8")


def test_what_was_handed_in_is_kept(graded):
    folder, _ = graded
    torn = folder / "submitted" / "1016" / demo.ASSIGNMENT / f"{demo.ASSIGNMENT}.ipynb"
    assert len(torn.read_text("utf-8")) == 4000


def test_only_tampering_is_marked_for_a_look(graded, capsys):
    folder, _ = graded
    result = course.grade_one(folder, demo.ASSIGNMENT, "1001")
    assert not result.suspicious and sum(result.earned.values()) == 16
    result = course.grade_one(folder, demo.ASSIGNMENT, "1018")
    assert result.suspicious and sum(result.earned.values()) == 0


def test_a_notebook_of_another_name_is_found(graded):
    folder, _ = graded
    place = folder / "submitted" / "1001" / demo.ASSIGNMENT
    proper = place / f"{demo.ASSIGNMENT}.ipynb"
    proper.rename(place / f"{demo.ASSIGNMENT} (1).ipynb")
    result = course.grade_one(folder, demo.ASSIGNMENT, "1001")
    assert sum(result.earned.values()) == 16
    assert "was called variational (1).ipynb" in result.told[0]
    (place / f"{demo.ASSIGNMENT} (1).ipynb").unlink()
    result = course.grade_one(folder, demo.ASSIGNMENT, "1001")
    assert sum(result.earned.values()) == 0
    assert "No notebook was handed in." in result.told


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    folder = tmp_path_factory.mktemp("course")
    course.release(folder, YEAR, "git+https://example.org/course", tuple(OTHERS))
    return folder


@pytest.mark.parametrize("assignment", OTHERS)
def test_right_answers_and_none(released, assignment):
    right = demo.full_marks(released, assignment, YEAR)
    for student, notebook in (("all", right), ("none", None)):
        place = released / "submitted" / student / assignment
        place.mkdir(parents=True)
        nbformat.write(
            notebook or course.given_out(released, assignment),
            place / f"{assignment}.ipynb",
        )
    weights = notebooks.COURSEWORK / "attempts" / "project" / "encoder.weights.h5"
    if assignment == "project":
        shutil.copy(weights, released / "submitted" / "all" / assignment)
    by_student = {r.student: r for r in course.grade(released, assignment)}
    assert sum(by_student["all"].earned.values()) == 16
    assert sum(by_student["none"].earned.values()) == 0
    assert by_student["all"].told == by_student["none"].told == []


@pytest.mark.parametrize("assignment", OTHERS)
def test_releases_are_of_the_year_and_empty(released, assignment):
    notebook = course.given_out(released, assignment)
    text = "\n".join(cell.source for cell in notebook.cells)
    assert f"YEAR = {YEAR}" in text
    assert "git+https://example.org/course" in text and "**Name:**" in text
    assert "BEGIN" not in text and "fresh" not in text
    assert text.count(notebooks.STUB) >= 4 and notebooks.TEXT_STUB in text


@pytest.mark.parametrize("assignment", notebooks.ASSIGNMENTS)
@pytest.mark.filterwarnings("ignore")
def test_a_kernel_marks_as_this_process_does(tmp_path, assignment):
    """One wrong and one right attempt of each function, through nbgrader."""
    course.release(tmp_path, YEAR, assignments=(assignment,))
    right = demo.full_marks(tmp_path, assignment, YEAR)
    weights = notebooks.COURSEWORK / "attempts" / "project" / "encoder.weights.h5"
    for kind in ("right_", "wrong_"):
        notebook = right
        for function in notebooks.functions(notebooks.source(assignment)):
            tried = notebooks.attempts(assignment, function)
            code = next(text for name, text in tried.items() if name.startswith(kind))
            notebook = notebooks.answered(notebook, function, code)
        place = tmp_path / "submitted" / kind.strip("_") / assignment
        place.mkdir(parents=True)
        nbformat.write(notebook, place / f"{assignment}.ipynb")
        if assignment == "project":
            shutil.copy(weights, place)
    results = {r.student: r.earned for r in course.grade(tmp_path, assignment)}
    assert sum(results["right"].values()) == 16
    tests = {f"check_{f}" for f in notebooks.functions(notebooks.source(assignment))}
    assert {name for name, points in results["wrong"].items() if not points} >= tests
