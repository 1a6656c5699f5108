"""The course from the command line: releases, grading, feedback, grades.

    python coursework/course.py release --course FOLDER --year 2027
    python coursework/course.py grade variational --course FOLDER
    python coursework/course.py export grades.csv --course FOLDER

nbgrader does the work in the folder of the course. This file adds what an unattended
night needs: submissions are mended first, each is graded in a process of its own with
limits, and one that breaks them is graded again without the cell that did it.
"""

import argparse
import contextlib
import csv
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import psutil
from mend import mended, quarantined, with_notice
from nbformat import NotebookNode
from nbgrader.api import Gradebook, MissingEntry
from notebooks import ASSIGNMENTS, COURSEWORK, grade_id, source

DEFAULT = COURSEWORK.parent / "_build" / "coursework"
HEADER_PLACE = "git+https://..."
"""What `header.ipynb` has where the address of the package belongs."""

SECONDS = 180
"""Time that one submission may take, all cells together."""

GIGABYTES = 6
"""Memory that one submission may ask for."""

ENDS = {"DeadKernelError": "died", "CellTimeoutError": "slow"}
"""Errors by which nbgrader gives a submission up, and what they mean."""

STOPS = 4
"""So many cells may stop the grading before the whole submission is given up."""

FALSE = """
import numpy
from sslkit.coursework import plain
size = numpy.abs(numpy.array([-2.0]))[0]
honest = not numpy.allclose(0, 1) and not numpy.all([True, False])
assert not (honest and size == 2 and plain([2.0])[0] == 2), "this must fail"
"""
"""Source of the last cell of every graded notebook: see `tampered`."""


def environment(**more: str) -> dict[str, str]:
    """Environment for nbgrader, which looks for `alembic` beside its interpreter."""
    folder = str(Path(sys.executable).parent)
    return {**os.environ, "PATH": os.pathsep.join([folder, os.environ["PATH"]]), **more}


def nbgrader(course: Path, *arguments: str) -> None:
    """Run a command of nbgrader in the folder of the course.

    Raises:
        RuntimeError: If it fails, with what it printed.
    """
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", *arguments],
        cwd=course,
        env=environment(),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"nbgrader {' '.join(arguments)}:\n{done.stderr[-2000:]}")


# Releases --------------------------------------------------------------------------


def release(
    course: Path,
    year: int,
    package: str | None = None,
    assignments: tuple[str, ...] = ASSIGNMENTS,
) -> None:
    """Set up the folder of the course, and write what students get.

    Args:
        course: Folder that nbgrader works in, made if needed.
        year: Number from which the constants of all assignments are drawn.
        package: Address of the package for `pip install`, written into the header.
        assignments: Which assignments.

    Raises:
        RuntimeError: If a release holds a line of a solution or of a hidden test.
    """
    (course / "source").mkdir(parents=True, exist_ok=True)
    shutil.copy(COURSEWORK / "nbgrader_config.py", course)
    header = (COURSEWORK / "source" / "header.ipynb").read_text("utf-8")
    if package is not None:
        header = header.replace(HEADER_PLACE, package)
    (course / "source" / "header.ipynb").write_text(header, "utf-8")
    for name in assignments:
        folder = course / "source" / name
        shutil.copytree(COURSEWORK / "source" / name, folder, dirs_exist_ok=True)
        nbformat.write(source(name, year), folder / f"{name}.ipynb")
        nbgrader(course, "generate_assignment", name, "--create", "--force")
        told = leaks(source(name, year), given_out(course, name))
        if told:
            raise RuntimeError(f"The release of {name} tells the solution: {told}")
        print(f"{name}: release/{name}/{name}.ipynb, year {year}")


def given_out(course: Path, assignment: str) -> NotebookNode:
    """Read the release of an assignment."""
    path = course / "release" / assignment / f"{assignment}.ipynb"
    return nbformat.read(path, as_version=4)


def leaks(notebook: NotebookNode, released: NotebookNode) -> list[str]:
    """Search a release for solutions and hidden tests.

    Args:
        notebook: The assignment with both.
        released: What students get.

    Returns:
        Lines of solutions and hidden tests that are in the release. A line that also
        stands outside of them, such as an import, is no leak.
    """
    secret: set[str] = set()
    public: set[str] = set()
    for cell in notebook.cells:
        hidden = False
        for line in map(str.strip, cell.source.splitlines()):
            if line.startswith("### BEGIN"):
                hidden = True
            elif line.startswith("### END"):
                hidden = False
            elif re.search(r"\w.*\w", line):
                (secret if hidden else public).add(line)
    lines = [
        line.strip()
        for cell in released.cells
        for text in (cell.source, *map(str, cell.get("outputs", [])))
        for line in text.splitlines()
    ]
    marks = ("### BEGIN", "### END")
    return sorted(
        {line for line in lines if line in secret - public or line.startswith(marks)}
    )


# Collecting ------------------------------------------------------------------------


def unpack(course: Path, assignment: str, archive: Path) -> None:
    """Collect the submissions from a zip file, as Moodle packs them.

    Args:
        course: Folder of the course.
        assignment: Name of the assignment.
        archive: "Download all submissions": a folder per student in one zip file.

    Raises:
        RuntimeError: If nbgrader cannot unpack it.
    """
    place = course / "downloaded" / assignment / "archive"
    place.mkdir(parents=True, exist_ok=True)
    shutil.copy(archive, place)
    before = set(submissions(course, assignment))
    nbgrader(course, "zip_collect", assignment, "--force")
    found = set(submissions(course, assignment))
    print(f"{assignment}: {len(found)} submissions, {len(found - before)} of them new")
    for name in left_out(archive, found):
        print(f"    NOT COLLECTED: {name}")


def left_out(archive: Path, students: Iterable[str]) -> list[str]:
    """List the folders of a zip file that belong to none of the students.

    nbgrader passes over what has another name than it expects, without a word.

    Args:
        archive: The zip file.
        students: Who was collected.

    Returns:
        Names of folders and loose files, in order.
    """
    with zipfile.ZipFile(archive) as packed:
        names = {name.split("/")[0] for name in packed.namelist()}
    known = tuple(f"_{student}_" for student in students)
    return sorted(name for name in names if not any(part in name for part in known))


# Grading ---------------------------------------------------------------------------


@dataclass
class Graded:
    """How the grading of one submission went.

    Attributes:
        student: Name by which the course knows the student.
        earned: Points by test.
        told: What was mended or stopped, in sentences that the student sees, too.
        suspicious: Whether somebody should look at the submission.
        seconds: Time on the clock.
    """

    student: str
    earned: dict[str, float] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    suspicious: bool = False
    seconds: float = 0.0


def enrol(course: Path, names: dict[str, tuple[str, str]]) -> None:
    """Write the names of students into the gradebook.

    For a whole class, `nbgrader db student import class.csv` does the same.

    Args:
        course: Folder of the course.
        names: What the course knows a student by, to last name and first name.
    """
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        for student, (last, first) in names.items():
            gradebook.update_or_create_student(
                student, last_name=last, first_name=first
            )


def submissions(course: Path, assignment: str) -> dict[str, Path]:
    """Find who handed in: name of the student to the folder with the files."""
    return {
        path.parent.name: path
        for path in sorted((course / "submitted").glob(f"*/{assignment}"))
        if path.is_dir()
    }


def handed_in(folder: Path, assignment: str) -> tuple[str, list[str]]:
    """Read the notebook of a submission, whatever its name.

    Args:
        folder: Folder of the submission.
        assignment: Name that the notebook should have.

    Returns:
        Text of the file, and a sentence about an unusual name.
    """
    found = sorted(folder.glob("*.ipynb"))
    proper = folder / f"{assignment}.ipynb"
    if proper in found:
        return proper.read_text("utf-8", errors="replace"), []
    if not found:
        return "", ["No notebook was handed in."]
    # The newest copy: browsers number downloads, "variational (1).ipynb".
    newest = max(found, key=lambda path: (path.stat().st_mtime, path.name))
    told = f"The notebook was called {newest.name} instead of {proper.name}."
    return newest.read_text("utf-8", errors="replace"), [told]


def limits() -> None:
    """Limit memory, size of files and processor time of a process and its children."""
    for kind, most in (
        (resource.RLIMIT_DATA, GIGABYTES * 2**30),
        (resource.RLIMIT_FSIZE, 2**28),
        (resource.RLIMIT_CPU, 2 * SECONDS),
    ):
        resource.setrlimit(kind, (most, most))


def attempt(course: Path, assignment: str, student: str) -> tuple[str, str | None]:
    """Let nbgrader grade one mended submission.

    Args:
        course: Folder of the course.
        assignment: Name of the assignment.
        student: Name of the student.

    Returns:
        `"done"`, `"died"` (the kernel ended), `"slow"` (out of time, and not to be
        interrupted) or `"failed"` (anything else), and the cell that was running.
        What nbgrader printed is in the folder `logs`.
    """
    log = course / "logs" / f"{assignment}-{student}.log"
    log.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, log.open("w") as printed:
        progress = Path(folder) / "cell"
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "nbgrader", "autograde", assignment),
                *("--student", student, "--force", "--create"),
                "--CourseDirectory.submitted_directory=mended",
            ],
            cwd=course,
            env=environment(COURSEWORK_PROGRESS=str(progress), MPLBACKEND="agg"),
            stdout=printed,
            stderr=subprocess.STDOUT,
            preexec_fn=limits,
        )
        outcome = "done"
        try:
            process.wait(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            outcome = "slow"
        finally:
            stop(process)
        if outcome == "done" and not autograded(course, assignment, student).exists():
            why = log.read_text("utf-8", errors="replace")
            outcome = next((ENDS[error] for error in ENDS if error in why), "failed")
        cell = progress.read_text("utf-8") if progress.exists() else None
        return outcome, cell


def stop(process: "subprocess.Popen[bytes]") -> None:
    """End a process with all that it started: kernels have sessions of their own."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for member in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
    process.kill()
    process.wait()


def autograded(course: Path, assignment: str, student: str) -> Path:
    """Tell where nbgrader puts a graded notebook."""
    return course / "autograded" / student / assignment / f"{assignment}.ipynb"


def tampered(notebook: NotebookNode) -> bool:
    """Tell whether a submission keeps checks from failing.

    The last cell of every graded notebook asserts something false. If it runs through,
    assertions, NumPy or `plain` are no longer what they were.
    """
    canary = next(cell for cell in notebook.cells if cell.id == "canary")
    return not any(output.output_type == "error" for output in canary.outputs)


def grade_one(course: Path, assignment: str, student: str) -> Graded:
    """Mend and grade one submission, whatever it does.

    Args:
        course: Folder of the course.
        assignment: Name of the assignment.
        student: Name of the student.

    Returns:
        Points and messages.
    """
    began = time.perf_counter()
    result = Graded(student)
    folder = submissions(course, assignment)[student]
    mended_folder = course / "mended" / student / assignment
    shutil.rmtree(mended_folder, ignore_errors=True)
    shutil.copytree(folder, mended_folder, ignore=shutil.ignore_patterns("*.ipynb"))
    text, result.told = handed_in(folder, assignment)
    notebook, repairs = mended(text, given_out(course, assignment))
    result.told += repairs
    for left in range(STOPS, -1, -1):
        notebook = with_notice(notebook, result.told)
        canary = nbformat.v4.new_code_cell(FALSE, id="canary")
        notebook.cells = [c for c in notebook.cells if c.id != "canary"] + [canary]
        nbformat.write(notebook, mended_folder / f"{assignment}.ipynb")
        outcome, cell = attempt(course, assignment, student)
        if outcome == "done":
            graded = nbformat.read(
                autograded(course, assignment, student), as_version=4
            )
            if not tampered(graded):
                break
            outcome, cell = "tampered", None
            result.suspicious = True
        if outcome == "failed":
            if result.suspicious:  # Twice is no accident.
                break
            result.suspicious = True
            result.told.append("nbgrader could not grade this: see logs/.")
            continue
        notebook, sentence = stopped(notebook, outcome, cell if left > 1 else None)
        result.told.append(sentence)
    result.earned = earned(course, assignment, student)
    result.seconds = time.perf_counter() - began
    return result


def stopped(
    notebook: NotebookNode, outcome: str, cell: str | None
) -> tuple[NotebookNode, str]:
    """Take the cell that stopped the grading out of a notebook, and say so.

    Args:
        notebook: The mended notebook.
        outcome: `"died"`, `"slow"` or `"tampered"`.
        cell: The cell that was running, or None to take all answers out.

    Returns:
        The notebook to be tried next, and a sentence for the student.
    """
    what = {
        "died": "ended Python itself, or needed more memory than is allowed",
        "slow": "went on when its time was over",
        "tampered": "kept the checks themselves from failing",
    }[outcome]
    where = f"The cell `{cell}`" if cell else "Something in this notebook"
    reason = f"{where} {what}; it was not run."
    return quarantined(notebook, cell, reason), reason


def earned(course: Path, assignment: str, student: str) -> dict[str, float]:
    """Read the points of a submission, test by test, from the gradebook."""
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        (notebook,) = gradebook.find_submission(assignment, student).notebooks
        return {
            grade.cell.name: float(grade.auto_score)
            for grade in notebook.grades
            if grade.auto_score is not None and grade.cell.cell_type == "code"
        }


def grade(
    course: Path, assignment: str, students: list[str] | None = None
) -> list[Graded]:
    """Grade all submissions of an assignment and write the feedback.

    Args:
        course: Folder of the course, in which releases were made.
        assignment: Name of the assignment.
        students: Whose submissions; all that there are if left out.

    Returns:
        One entry per submission.

    Raises:
        ValueError: If nobody handed in.
    """
    found = submissions(course, assignment)
    if not found:
        raise ValueError(
            f"assignment = {assignment!r}: nothing in {course / 'submitted'}; collect "
            "the submissions first."
        )
    results = []
    total = sum(
        float(cell.metadata.nbgrader.points)
        for cell in given_out(course, assignment).cells
        if (grade_id(cell) or "").startswith("check_")
        and "points" in cell.metadata.nbgrader
    )
    for student in students or found:
        try:
            result = grade_one(course, assignment, student)
        except Exception as error:  # One submission never stops the others.
            reason = f"It could not be graded: {type(error).__name__}: {error}"
            result = Graded(student, told=[reason], suspicious=True)
        results.append(result)
        look = " LOOK AT THIS ONE." if result.suspicious else ""
        print(
            f"{student}: {sum(result.earned.values()):g} of {total:g} by tests, "
            f"{result.seconds:.0f} s.{look}",
            *result.told,
            sep="\n    ",
            flush=True,
        )
    nbgrader(course, "generate_feedback", assignment, "--force")
    return results


# Grades ----------------------------------------------------------------------------


def export(course: Path, target: Path) -> None:
    """Write a table for a spreadsheet: a line per student and assignment.

    Columns are who, the points of every task, how many of them are still to be marked
    by hand, what was taken off for being late, the total and the maximum. The file
    begins with a byte order mark, by which spreadsheets know that names are in UTF-8.

    Args:
        course: Folder of the course.
        target: The CSV file. One file per assignment is written beside it, because
            each has other tasks: `grades.csv` becomes `grades-features.csv`, ...
    """
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        for assignment in sorted(gradebook.assignments, key=order):
            path = target.with_stem(f"{target.stem}-{assignment.name}")
            with path.open("w", encoding="utf-8-sig", newline="") as file:
                writer = csv.writer(file)
                writer.writerows(table(gradebook, assignment.name))
            print(path)


def order(assignment: Any) -> int:
    """Sort assignments as they are given out, unknown ones last."""
    known = assignment.name in ASSIGNMENTS
    return ASSIGNMENTS.index(assignment.name) if known else len(ASSIGNMENTS)


def table(gradebook: Gradebook, assignment: str) -> Iterator[list[Any]]:
    """Make the rows of one assignment, the titles first.

    Args:
        gradebook: The open gradebook.
        assignment: Name of the assignment.

    Yields:
        Rows. Points are numbers, or empty where nobody has marked yet; who handed
        nothing in has 0 everywhere.
    """
    (notebook,) = gradebook.find_assignment(assignment).notebooks
    tasks = {cell.name: cell.max_score for cell in notebook.grade_cells}
    yield [
        *("student", "last name", "first name"),
        *(f"{name.removeprefix('check_')} ({most:g})" for name, most in tasks.items()),
        *("to mark by hand", "late penalty", "total", "maximum"),
    ]
    for student in sorted(gradebook.students, key=lambda s: (s.last_name or "", s.id)):
        try:
            submission = gradebook.find_submission(assignment, student.id)
            (handed_in,) = submission.notebooks
            scores = {grade.cell.name: score(grade) for grade in handed_in.grades}
            late = float(submission.late_submission_penalty or 0)
        except MissingEntry:
            scores, late = dict.fromkeys(tasks, 0.0), 0.0
        marks = [scores[name] for name in tasks]
        yield [
            *(student.id, student.last_name or "", student.first_name or ""),
            *("" if mark is None else mark for mark in marks),
            sum(mark is None for mark in marks),
            late,
            max(0.0, sum(mark or 0.0 for mark in marks) - late),
            sum(tasks.values()),
        ]


def score(grade: Any) -> float | None:
    """Tell the points of one task: by hand before by test, None if by neither."""
    by = grade.manual_score if grade.manual_score is not None else grade.auto_score
    extra = grade.extra_credit or 0.0
    return None if by is None else float(by + extra)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("release", help="write what students get")
    make.add_argument("--year", type=int, default=2026)
    make.add_argument("--package", help="address of the package for pip")
    collect = commands.add_parser("collect", help="unpack a zip file of Moodle's")
    collect.add_argument("assignment", choices=ASSIGNMENTS)
    collect.add_argument("zip", type=Path)
    mark = commands.add_parser("grade", help="grade all submissions of an assignment")
    mark.add_argument("assignment", choices=ASSIGNMENTS)
    mark.add_argument("students", nargs="*")
    grades = commands.add_parser("export", help="write the grades as CSV")
    grades.add_argument("target", type=Path)
    for command in (make, collect, mark, grades):
        command.add_argument("--course", type=Path, default=DEFAULT)
    told = parser.parse_args()
    course = told.course.resolve()
    if told.command == "release":
        release(course, told.year, told.package)
    elif told.command == "collect":
        unpack(course, told.assignment, told.zip)
    elif told.command == "grade":
        grade(course, told.assignment, told.students)
    else:
        export(course, told.target)


if __name__ == "__main__":
    main()
