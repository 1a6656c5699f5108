"""A made-up class hands in an assignment, and all that an instructor does is done.

    python coursework/demo.py --course FOLDER --students 30

Half of the class comes in a zip file as Moodle packs it, the others through nbgrader's
folder. Each member shows one thing that happens in a real class: the answers differ,
cells are missing or doubled, a loop does not end. `expected` says what each should get.
"""

import argparse
import shutil
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import course
import nbformat
import notebooks
from nbformat import NotebookNode

DEFAULT = course.DEFAULT.with_name("grade-demo")
ASSIGNMENT = "variational"

LOOP = "def elbo(*_):\n    while True:\n        pass"
STUBBORN = """def elbo(*_):
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass"""
HOG = """def elbo(*_):
    held = []
    while True:
        held.append(np.ones(10**7))"""
EXIT = "import sys\n\n\ndef elbo(*_):\n    sys.exit()"
QUIT = "exit()"
DIES = "import os\n\n\ndef elbo(*_):\n    os._exit(0)"
NO_ASSERTIONS = """import ast


class Without(ast.NodeTransformer):
    def visit_Assert(self, node):
        return ast.Pass()


get_ipython().ast_transformers.append(Without())


def elbo(*_):
    return [0.0]"""
NO_ERRORS = """get_ipython().set_custom_exc((Exception,), lambda *_, **__: None)


def elbo(*_):
    return [0.0]"""
NO_COMPARISON = """np.abs = lambda *_: np.zeros(1)


def elbo(*_):
    return [0.0]"""
OWN_CONSTANTS = "PRIOR_STD, CODE_MEAN, CODE_STD = 1.0, np.zeros(4), np.ones(4)"

Change = Callable[[NotebookNode], NotebookNode | str]


@dataclass
class Member:
    """One member of the class.

    Attributes:
        last: Last name.
        first: First name.
        change: Makes what is handed in from the notebook with all right answers.
        expected: Points that the tests should give, of 16.
        told: Part of what the student should be told, or nothing.
    """

    last: str
    first: str
    change: Change
    expected: float
    told: str = ""


def answer(name: str, code: str) -> Change:
    """Replace one answer."""
    return lambda notebook: notebooks.answered(notebook, name, code)


def attempt(**names: str) -> Change:
    """Replace answers by attempts of the folder `attempts`."""

    def change(notebook: NotebookNode) -> NotebookNode:
        for function, name in names.items():
            code = notebooks.attempts(ASSIGNMENT, function)[name]
            notebook = notebooks.answered(notebook, function, code)
        return notebook

    return change


def without(*names: str) -> Change:
    """Delete cells."""

    def change(notebook: NotebookNode) -> NotebookNode:
        notebook.cells = [
            c for c in notebook.cells if notebooks.grade_id(c) not in names
        ]
        return notebook

    return change


def doubled(notebook: NotebookNode) -> NotebookNode:
    """Paste the cell of an answer a second time, as it was given out."""
    place = next(
        i for i, c in enumerate(notebook.cells) if notebooks.grade_id(c) == "elbo"
    )
    twin = nbformat.from_dict(notebook.cells[place])
    twin.source = "def elbo(*_):\n    raise NotImplementedError"
    notebook.cells.insert(place, twin)
    return notebook


def unmarked(notebook: NotebookNode) -> NotebookNode:
    """Drop all that nbgrader wrote into the notebook, as some editors do."""
    for cell in notebook.cells:
        cell.metadata.pop("nbgrader", None)
    return notebook


def from_colab(notebook: NotebookNode) -> NotebookNode:
    """Save as Colab does, without ids, and with a cell of the student's own."""
    notebook.cells.append(nbformat.v4.new_code_cell("import math"))
    for cell in notebook.cells:
        cell.pop("id")
    notebook.nbformat_minor = 0
    return notebook


def untouched(notebook: NotebookNode) -> NotebookNode:
    """Take the answers away again."""
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("solution"):
            stub = notebooks.TEXT_STUB
            if cell.cell_type == "code":
                stub = f"def {notebooks.grade_id(cell)}(*_):\n    {notebooks.STUB}"
            cell.source = stub
    return notebook


def own_cell(code: str) -> Change:
    """Add a cell at the end."""

    def change(notebook: NotebookNode) -> NotebookNode:
        place = next(
            i
            for i, c in enumerate(notebook.cells)
            if notebooks.grade_id(c) == "check_cost_of_code"
        )
        notebook.cells.insert(place, nbformat.v4.new_code_cell(code))
        return notebook

    return change


CLASS = [
    Member("Lovelace", "Ada", lambda notebook: notebook, 16),
    Member("Kovalevskaya", "Sofya", attempt(elbo="right_numpy_loop"), 16),
    Member("Ångström", "Anders", attempt(gaussian_kl="right_loop"), 16),
    Member("Noether", "Emmy", attempt(gaussian_kl="wrong_without_half"), 12),
    Member(
        "Al-Khwarizmi, Jr.",
        "Musa",
        attempt(
            gaussian_kl="wrong_log_var_is_std",
            sample_codes="wrong_variance_for_std",
            elbo="wrong_mean_over_pixels",
            cost_of_code="wrong_hard_coded",
        ),
        0,
    ),
    Member("Galois", "Évariste", untouched, 0),
    Member("Zeno", "of Elea", answer("elbo", LOOP), 12),
    Member("Sisyphus", "K.", answer("elbo", STUBBORN), 12, "went on when its time"),
    Member("Gargantua", "F.", answer("elbo", HOG), 12),
    Member("Bartleby", "H.", answer("elbo", EXIT), 12),
    Member("Oates", "Lawrence", answer("elbo", QUIT), 12),
    Member("Icarus", "D.", answer("elbo", DIES), 12, "ended Python itself"),
    Member("Fermat", "Pierre", without("elbo"), 12, "was missing: no answer"),
    Member("Echo", "N.", doubled, 16, "was there 2 times"),
    Member("Cloud", "J.", from_colab, 16),
    Member("Lethe", "R.", unmarked, 16, "were known by their ids"),
    Member(
        "Torn", "P.", lambda n: nbformat.writes(n)[:4000], 0, "not a notebook that can"
    ),
    Member("Protagoras", "A.", own_cell(OWN_CONSTANTS), 16),
    Member("Gyges", "L.", answer("elbo", NO_ASSERTIONS), 0, "kept the checks"),
    Member("Nemo", "C.", answer("elbo", NO_ERRORS), 12),
    Member("Procrustes", "D.", answer("elbo", NO_COMPARISON), 0, "kept the checks"),
]


def full_marks(folder: Path, assignment: str, year: int) -> NotebookNode:
    """Fill in what was given out with the right answers.

    Args:
        folder: Folder of the course.
        assignment: Name of the assignment.
        year: Year of the release.

    Returns:
        A notebook as a student would hand it in.
    """
    notebook = course.given_out(folder, assignment)
    for cell in notebooks.source(assignment, year).cells:
        name = notebooks.grade_id(cell)
        if name and cell.metadata.nbgrader.solution:
            notebook = notebooks.answered(notebook, name, cell.source)
    return notebook


def hand_in(folder: Path, members: dict[str, Member], year: int) -> None:
    """Write the submissions: the first half as a zip of Moodle's, the others directly.

    Args:
        folder: Folder of the course.
        members: Number of the student to the member of the class.
        year: Year of the release.
    """
    archive = folder / "moodle.zip"
    right = full_marks(folder, ASSIGNMENT, year)
    with zipfile.ZipFile(archive, "w") as packed:
        for number, (student, member) in enumerate(members.items()):
            changed = member.change(nbformat.from_dict(right))
            text = changed if isinstance(changed, str) else nbformat.writes(changed)
            if number < len(members) / 2:
                name = f"{member.first} {member.last}_{student}_assignsubmission_file"
                packed.writestr(f"{name}/{ASSIGNMENT}.ipynb", text)
            else:
                place = folder / "submitted" / student / ASSIGNMENT
                place.mkdir(parents=True)
                (place / f"{ASSIGNMENT}.ipynb").write_text(text, "utf-8")
    course.unpack(folder, ASSIGNMENT, archive)


def run(
    folder: Path, group: Sequence[Member], year: int = 2026
) -> tuple[list[course.Graded], list[str]]:
    """Release, collect, grade, write feedback, export.

    Args:
        folder: Folder of the course; it is emptied first.
        group: The class. Its members get the numbers 1001, 1002, ...
        year: Year of the release.

    Returns:
        How the grading of each submission went, and what is not as expected, in
        sentences.
    """
    shutil.rmtree(folder, ignore_errors=True)
    course.release(folder, year, assignments=(ASSIGNMENT,))
    members = {str(1001 + i): member for i, member in enumerate(group)}
    course.enrol(folder, {s: (m.last, m.first) for s, m in members.items()})
    hand_in(folder, members, year)
    began = time.perf_counter()
    results = course.grade(folder, ASSIGNMENT)
    minutes = (time.perf_counter() - began) / 60
    print(f"{len(results)} submissions graded in {minutes:.1f} minutes")
    course.export(folder, folder / "grades.csv")
    wrong = []
    for result in results:
        member = members[result.student]
        earned = sum(result.earned.values())
        if earned != member.expected:
            wrong.append(f"{member.last}: {earned:g} points, not {member.expected:g}")
        if member.told not in " ".join(result.told):
            wrong.append(f"{member.last}: was not told {member.told!r}")
        if result.suspicious != (member.told == "kept the checks"):
            wrong.append(f"{member.last}: suspicious is {result.suspicious}")
        feedback = folder / "feedback" / result.student / ASSIGNMENT
        if not (feedback / f"{ASSIGNMENT}.html").exists():
            wrong.append(f"{member.last}: has no feedback")
    if len(results) != len(group):
        wrong.append(f"{len(results)} submissions instead of {len(group)}")
    return results, wrong


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--course", type=Path, default=DEFAULT)
    parser.add_argument("--students", type=int, default=len(CLASS))
    told = parser.parse_args()
    group = [CLASS[i % len(CLASS)] for i in range(told.students)]
    _, wrong = run(told.course.resolve(), group)
    if wrong:
        raise SystemExit("\n".join(wrong))


if __name__ == "__main__":
    main()
