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
# In parts, so that two processes have equal shares of the work.
PARTS = [demo.CLASS[start::3] for start in range(3)]


@pytest.mark.parametrize(
    "group",
    [
        pytest.param(part, id=part[0].last, marks=pytest.mark.xdist_group(part[0].last))
        for part in PARTS
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_everybody_of_the_class_gets_what_is_due(tmp_path, group):
    _, wrong = demo.run(tmp_path, group, YEAR)
    assert wrong == []
    check_table(tmp_path / f"grades-{demo.ASSIGNMENT}.csv", group)
    check_feedback(tmp_path / "feedback", group)
    for number, member in enumerate(group):
        if member.last == "Torn":  # What was handed in is kept.
            place = tmp_path / "submitted" / str(1001 + number) / demo.ASSIGNMENT
            text = (place / f"{demo.ASSIGNMENT}.ipynb").read_text("utf-8")
            assert len(text) == 4000


def check_table(path, group):
    """Names, points per task and totals, as a spreadsheet reads them."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        table = list(csv.DictReader(file))
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    assert len(table) == len(group)
    titles = list(table[0])
    assert titles[:3] == ["student", "last name", "first name"]
    assert titles[-4:] == ["to mark by hand", "late penalty", "total", "maximum"]
    by_name = {row["last name"]: row for row in table}
    for member in group:
        row = by_name[member.last]
        assert row["first name"] == member.first
        assert float(row["total"]) == member.expected
        assert float(row["maximum"]) == 20
        tasks = [row[title] for title in titles[3:-4]]
        assert sum(map(float, filter(None, tasks))) == member.expected
        if member.last == "Noether":
            points = row["gaussian_kl (4)"], row["elbo (4)"], row["to mark by hand"]
            assert points == ("0.0", "4.0", "1")


def check_feedback(folder, group):
    """Students read what was done and what failed, and not the hidden tests."""
    for number, member in enumerate(group):
        page = folder / str(1001 + number) / demo.ASSIGNMENT
        text = (page / f"{demo.ASSIGNMENT}.html").read_text("utf-8")
        text = re.sub(r"<[^>]+>", "", text)
        assert member.told in text, member.last
        assert "fresh.normal" not in text and "%%capture" not in text
        if member.last == "Noether":
            assert "the divergence is wrong" in text


def hand_in(folder, student, assignment, notebook):
    place = folder / "submitted" / student / assignment
    place.mkdir(parents=True)
    nbformat.write(notebook, place / f"{assignment}.ipynb")
    if assignment == "project":
        shutil.copy(WEIGHTS, place)


@pytest.mark.parametrize(
    "assignment",
    [
        pytest.param(name, marks=pytest.mark.xdist_group(name))
        for name in notebooks.ASSIGNMENTS
        if name != demo.ASSIGNMENT
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_a_kernel_marks_as_this_process_does(tmp_path, assignment):
    """The model answers; and a loop, an exit and a wrong attempt in one notebook."""
    course.release(tmp_path, YEAR, "git+https://example.org/course", (assignment,))
    given = course.given_out(tmp_path, assignment)
    text = "\n".join(cell.source for cell in given.cells)
    assert f"YEAR = {YEAR}" in text
    assert "git+https://example.org/course" in text and "**Name:**" in text
    assert "BEGIN" not in text and "fresh" not in text
    assert text.count(notebooks.STUB) >= 4 and notebooks.TEXT_STUB in text

    right = demo.full_marks(tmp_path, assignment, YEAR)
    hand_in(tmp_path, "right", assignment, right)
    first, second, third, *_ = notebooks.functions(notebooks.source(assignment))
    tried = notebooks.attempts(assignment, third)
    mixed = right
    for function, code in (
        (first, f"def {first}(*_):\n    while True:\n        pass"),
        (second, f"import sys\n\n\ndef {second}(*_):\n    sys.exit()"),
        (third, next(text for name, text in tried.items() if name[:6] == "wrong_")),
    ):
        mixed = notebooks.answered(mixed, function, code)
    hand_in(tmp_path, "mixed", assignment, mixed)
    results = {r.student: r for r in course.grade(tmp_path, assignment)}
    assert all(r.told == [] and not r.suspicious for r in results.values())
    assert sum(results["right"].earned.values()) == 16
    lost = {name for name, got in results["mixed"].earned.items() if not got}
    assert lost == {f"check_{name}" for name in (first, second, third)}
