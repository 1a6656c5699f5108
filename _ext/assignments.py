"""The assignments of the course, from their notebooks in `coursework/source`.

The directive `assignments` makes a table of all of them and unfolds each: what it
practises, how long it takes, which notebooks come first, and the marks of every task.

Only headings, the list below *What you will practise* and the cell *Time, marks, rules*
are shown. Cells in which students write, and with them the solutions, are not even
read. Marks that do not add up and prerequisites that are no notebooks of the book break
the strict build, with a sentence that names the notebook and what to do.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from timetable import below, read_course, shorten

logger = logging.getLogger(__name__)

FOLDER = "coursework/source"
GOALS = "## What you will practise"
TERMS = "## Time, marks, rules"
TASK = re.compile(r"## (\d+)\. (.+) \((\d+) marks?\)")
SECRET = "### BEGIN"
"""How solutions and hidden tests begin."""
WHO = {"tests": "hidden test", "hand": "a person"}
"""Fields of a task to who gives those marks."""


@dataclass(frozen=True)
class Task:
    """One task: its number and heading, and where its marks come from.

    Attributes:
        number: As in the heading.
        title: Heading without number and marks.
        marks: As the heading says.
        tests: Points of the graded cells of code below the heading.
        hand: Points of the graded cells of text.
    """

    number: int
    title: str
    marks: float
    tests: float
    hand: float


@dataclass(frozen=True)
class Assignment:
    """What the page says of one assignment.

    Attributes:
        name: Name of its folder and notebook.
        number: As in its title, 0 where there is none.
        title: Heading without *Assignment 3:*, with a capital.
        goals: The list of what is practised, Markdown.
        time: First sentence of the terms, without its full stop.
        total: Marks that the terms announce.
        before: Titles of the notebooks to be read first.
        files: Files to be handed in besides the notebook.
        tasks: All tasks with marks.
        graded: Points of all graded cells together.
        faults: What is wrong, as sentences without their subject.
    """

    name: str
    number: int
    title: str
    goals: str
    time: str
    total: float
    before: tuple[str, ...]
    files: tuple[str, ...]
    tasks: tuple[Task, ...]
    graded: float
    faults: tuple[str, ...]

    @property
    def path(self) -> str:
        """Path of the notebook below the root of the book."""
        return f"{FOLDER}/{self.name}/{self.name}.ipynb"


def marks_of(cell: Mapping[str, Any]) -> float:
    """Points of a graded cell, 0 for any other."""
    told = cell["metadata"].get("nbgrader", {})
    return float(told.get("points") or 0) if told.get("grade") else 0.0


def read_tasks(cells: Iterable[Mapping[str, Any]]) -> list[Task]:
    """Collect tasks: a heading with marks, and the graded cells until the next one."""
    tasks: list[Task] = []
    heading: tuple[int, str, float] | None = None
    tests = hand = 0.0

    def close() -> None:
        if heading:
            tasks.append(Task(*heading, tests=tests, hand=hand))

    for cell in cells:
        first = "".join(cell["source"]).partition("\n")[0]
        if cell["cell_type"] == "markdown" and first.startswith("## "):
            close()
            found = TASK.fullmatch(first.strip())
            heading = (int(found[1]), found[2], float(found[3])) if found else None
            tests = hand = 0.0
        elif cell["cell_type"] == "code":
            tests += marks_of(cell)
        else:
            hand += marks_of(cell)
    close()
    return tasks


def read_assignment(root: Path, name: str) -> Assignment:
    """Read what the page says of the notebook of one assignment."""
    path = root / FOLDER / name / f"{name}.ipynb"
    cells = json.loads(path.read_text("utf-8"))["cells"]
    texts = [
        "".join(cell["source"])
        for cell in cells
        if cell["cell_type"] == "markdown"
        and not cell["metadata"].get("nbgrader", {}).get("solution")
    ]
    faults = []
    title = re.match(r"# Assignment (\d+): (.+)", texts[0] if texts else "")
    if not title:
        faults.append(
            'has no first cell that begins with "# Assignment 1: ...": add it.'
        )
    goals, terms = below(GOALS, texts), below(TERMS, texts)
    for heading, text in ((GOALS, goals), (TERMS, terms)):
        if not text:
            faults.append(f'has no cell that begins with "{heading}": add one.')
        if SECRET in text:
            faults.append(f'has "{SECRET}" below "{heading}": students read that cell.')
    total = re.search(r"(\d+) marks", terms)
    if terms and not total:
        faults.append(f'does not say "20 marks" below "{TERMS}": say how many.')
    sentence = re.search(r"Read (\*.+?\*) of the course first\.", terms)
    if terms and not sentence:
        faults.append(f'does not say "Read *...* of the course first." in "{TERMS}".')
    files = re.search(r"^\*\*Hand in .+", terms, re.MULTILINE)
    tasks = read_tasks(cells)
    for task in tasks:
        if task.tests + task.hand != task.marks:
            faults.append(
                f"promises {task.marks:g} marks for task {task.number}, and its graded "
                f"cells have {task.tests + task.hand:g}: change one of them."
            )
    graded = sum(map(marks_of, cells))
    promised = float(total[1]) if total else graded
    if graded != promised or graded != sum(task.marks for task in tasks):
        faults.append(
            f"promises {promised:g} marks, its headings have "
            f"{sum(task.marks for task in tasks):g} and its graded cells {graded:g}: "
            "make them agree."
        )
    return Assignment(
        name=name,
        number=int(title[1]) if title else 0,
        title=title[2][0].upper() + title[2][1:] if title else name,
        goals=goals,
        time=re.split(r"\.(?:\s|$)", terms, maxsplit=1)[0],
        total=promised,
        before=tuple(re.findall(r"\*(.+?)\*", sentence[1])) if sentence else (),
        files=tuple(re.findall(r"`(.+?)`", files[0])) if files else (),
        tasks=tuple(tasks),
        graded=graded,
        faults=tuple(faults),
    )


def read_assignments(root: Path) -> list[Assignment]:
    """Read all assignments, in the order of their numbers."""
    names = [
        folder.name
        for folder in sorted((root / FOLDER).iterdir())
        if (folder / f"{folder.name}.ipynb").exists()
    ]
    return sorted((read_assignment(root, name) for name in names), key=number)


def number(assignment: Assignment) -> int:
    """Tell the number of an assignment, for sorting."""
    return assignment.number


def lookup(title: str, titles: Mapping[str, str]) -> str | None:
    """Find the notebook that a text calls by its title or by the beginning of it.

    Args:
        title: What the text says, such as `Ten labels`.
        titles: Names of the notebooks to their titles.

    Returns:
        Name of the notebook, or None where none or several fit.
    """
    for fits in (str.__eq__, str.startswith):
        found = [name for name, full in titles.items() if fits(full, title)]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def problems(course: Sequence[Assignment], titles: Mapping[str, str]) -> list[str]:
    """List what is wrong with the assignments.

    Args:
        course: All assignments, in order.
        titles: Names of the notebooks of the book to their titles.

    Returns:
        Sentences, each of which names the notebook and the remedy.
    """
    found = [f"{one.path} {fault}" for one in course for fault in one.faults]
    for place, one in enumerate(course, start=1):
        if one.number and one.number != place:
            found.append(
                f"{one.path} is assignment {one.number}, and {place} is due: number "
                "assignments from 1 on, without gaps."
            )
        found += [
            f"{one.path} asks for {title!r} first, which is not the title of one "
            "notebook in _toc.yml: correct it."
            for title in one.before
            if lookup(title, titles) is None
        ]
    return found


def listed(words: Sequence[str]) -> str:
    """Join words as one says them: `a, b and c`."""
    return " and ".join(
        filter(None, [", ".join(words[:-1]), words[-1] if words else ""])
    )


def page(course: Sequence[Assignment], titles: Mapping[str, str]) -> str:
    """Write the table and what is folded below it as Markdown with MyST directives."""
    lines = [
        "| no. | assignment | time | by tests | by hand | hand in |",
        "|---:|:---|:---|---:|---:|:---|",
    ]
    for one in course:
        tests, hand = (sum(getattr(t, kind) for t in one.tasks) for kind in WHO)
        files = listed(["notebook", *(f"`{file}`" for file in one.files)])
        time = one.time.split(",")[0].removeprefix("About ")
        lines.append(
            f"| {one.number} | {one.title} | {time} | {tests:g} | {hand:g} | {files} |"
        )
    for one in course:
        names = [lookup(title, titles) or title for title in one.before]
        links = listed([shorten(name, titles) for name in names])
        lines += [
            "",
            f"::::{{dropdown}} {one.number}. {one.title}",
            f"`{one.name}`. {one.time}. Read first: {links}.",
            "",
            one.goals,
            "",
            "| task | marks | by |",
            "|:---|---:|:---|",
        ]
        lines += [
            f"| {task.number}. {task.title} | {task.marks:g} | {how(task)} |"
            for task in one.tasks
        ]
        lines += [f"| *all* | *{one.graded:g}* | |", "::::"]
    return "\n".join(lines)


def how(task: Task) -> str:
    """Say who marks a task."""
    return listed([who for kind, who in WHO.items() if getattr(task, kind)])


class Assignments(SphinxDirective):
    """All assignments: a table, and more on each, folded."""

    def run(self) -> list[nodes.Node]:
        """Read the notebooks, complain, and return the table and the rest."""
        root = Path(self.env.srcdir)
        course = read_assignments(root)
        lessons = read_course(root)
        for path in [one.path for one in course] + [one.path for one in lessons]:
            self.env.note_dependency(str(root / path))
        titles = {lesson.name: lesson.title for lesson in lessons}
        for problem in problems(course, titles):
            logger.warning(problem, location=self.get_location())
        text = page(course, titles)
        if SECRET in text:  # A solution must not get onto a page, not even once.
            return []
        return self.parse_text_to_nodes(text)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("assignments", Assignments)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
