"""Whole gradings: releases, kernels, feedback and the table of grades.

Minutes long, and so not part of `make test`: `make test-coursework`.
"""

import csv
import re
import shutil

import nbformat
import pytest

pytest.importorskip("nbgrader")
pytest.importorskip("resource", reason="grading needs Linux or macOS")

import course  # noqa: E402
import demo  # noqa: E402
import notebooks  # noqa: E402

pytestmark = pytest.mark.grading
YEAR = 2031
WEIGHTS = notebooks.COURSEWORK / "attempts" / "project" / "encoder.weights.h5"
OTHERS = [name for name in notebooks.ASSIGNMENTS if name != demo.ASSIGNMENT]


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """The made-up class after its grading, and what was not as expected."""
    folder = tmp_path_factory.mktemp("class")
    return folder, demo.run(folder, len(demo.CLASS), YEAR)


@pytest.mark.xdist_group("class")
def test_everybody_of_the_class_gets_what_is_due(graded):
    _, wrong = graded
    assert wrong == []


def rows(path):
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.xdist_group("class")
def test_table_has_names_points_and_totals(graded):
    folder, _ = graded
    table = rows(folder / f"grades-{demo.ASSIGNMENT}.csv")
    assert len(table) == len(demo.CLASS)
    titles = list(table[0])
    assert titles[:3] == ["student", "last name", "first name"]
    assert titles[-4:] == ["to mark by hand", "late penalty", "total", "maximum"]
    by_name = {row["last name"]: row for row in table}
    for member in demo.CLASS:
        row = by_name[member.last]
        assert row["first name"] == member.first
        assert float(row["total"]) == member.expected
        assert float(row["maximum"]) == 20
        tasks = [row[title] for title in titles[3:-4]]
        assert sum(map(float, filter(None, tasks))) == member.expected
    noether = by_name["Noether"]
    assert (noether["gaussian_kl (4)"], noether["elbo (4)"]) == ("0.0", "4.0")
    assert noether["to mark by hand"] == "1"


@pytest.mark.xdist_group("class")
def test_feedback_tells_what_was_done(graded):
    folder, _ = graded
    for number, member in enumerate(demo.CLASS):
        page = folder / "feedback" / str(1001 + number) / demo.ASSIGNMENT
        text = (page / f"{demo.ASSIGNMENT}.html").read_text("utf-8")
        text = re.sub(r"<[^>]+>", "", text)
        assert member.told in text, member.last
        # Students of next year may read this, too.
        assert "fresh.normal" not in text and "%%capture" not in text
    noether = folder / "feedback" / "1004" / demo.ASSIGNMENT
    assert "the divergence is wrong" in next(noether.glob("*.html")).read_text("utf-8")


@pytest.mark.xdist_group("class")
def test_what_was_handed_in_is_kept(graded):
    folder, _ = graded
    torn = folder / "submitted" / "1016" / demo.ASSIGNMENT / f"{demo.ASSIGNMENT}.ipynb"
    assert len(torn.read_text("utf-8")) == 4000


@pytest.mark.xdist_group("class")
def test_only_tampering_is_marked_for_a_look(graded, capsys):
    folder, _ = graded
    result = course.grade_one(folder, demo.ASSIGNMENT, "1001")
    assert not result.suspicious and sum(result.earned.values()) == 16
    result = course.grade_one(folder, demo.ASSIGNMENT, "1018")
    assert result.suspicious and sum(result.earned.values()) == 0


@pytest.mark.xdist_group("class")
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


def hand_in(folder, student, assignment, notebook):
    place = folder / "submitted" / student / assignment
    place.mkdir(parents=True)
    nbformat.write(notebook, place / f"{assignment}.ipynb")
    if assignment == "project":
        shutil.copy(WEIGHTS, place)


@pytest.mark.xdist_group("others")
@pytest.mark.parametrize("assignment", OTHERS)
@pytest.mark.filterwarnings("ignore")
def test_a_kernel_marks_as_this_process_does(released, assignment):
    """The model answers, none, right and wrong attempts, and a hostile submission."""
    right = demo.full_marks(released, assignment, YEAR)
    hand_in(released, "all", assignment, right)
    hand_in(released, "none", assignment, course.given_out(released, assignment))
    functions = notebooks.functions(notebooks.source(assignment))
    for kind in ("right_", "wrong_"):
        notebook = right
        for function in functions:
            tried = notebooks.attempts(assignment, function)
            code = next(text for name, text in tried.items() if name.startswith(kind))
            notebook = notebooks.answered(notebook, function, code)
        hand_in(released, kind.strip("_"), assignment, notebook)
    first, second, *_ = functions
    loops = f"def {first}(*_):\n    while True:\n        pass"
    leaves = f"import sys\n\n\ndef {second}(*_):\n    sys.exit()"
    notebook = notebooks.answered(right, first, loops)
    hostile = notebooks.answered(notebook, second, leaves)
    hand_in(released, "hostile", assignment, hostile)
    results = {r.student: r for r in course.grade(released, assignment)}
    assert all(r.told == [] and not r.suspicious for r in results.values())
    earned = {student: r.earned for student, r in results.items()}
    assert sum(earned["all"].values()) == sum(earned["right"].values()) == 16
    assert sum(earned["none"].values()) == 0
    worth = notebooks.points(notebooks.source(assignment))
    lost = worth[f"check_{first}"] + worth[f"check_{second}"]
    assert sum(earned["hostile"].values()) == 16 - lost
    for function in functions:
        assert earned["wrong"][f"check_{function}"] == 0, function


@pytest.mark.xdist_group("others")
@pytest.mark.parametrize("assignment", OTHERS)
def test_releases_are_of_the_year_and_empty(released, assignment):
    notebook = course.given_out(released, assignment)
    text = "\n".join(cell.source for cell in notebook.cells)
    assert f"YEAR = {YEAR}" in text
    assert "git+https://example.org/course" in text and "**Name:**" in text
    assert "BEGIN" not in text and "fresh" not in text
    assert text.count(notebooks.STUB) >= 4 and notebooks.TEXT_STUB in text
