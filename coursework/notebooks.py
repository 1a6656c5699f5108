"""The notebooks of the course as data: read, emptied, answered and marked.

An assignment lies in `source/<name>/<name>.ipynb`, with solutions and hidden tests.
Names join its cells: the answer to a task is the cell `kl`, which defines the function
`kl`, and its test is the cell `check_kl`.

`run` executes the code cells in this process, as nbgrader would run them in a kernel: a
test that raises gets nothing, one that does not gets its points. That takes a second
where a kernel takes ten, so that every attempt in `attempts/` can be marked in a test.
"""

import ast
import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbgrader.preprocessors import ClearHiddenTests, ClearSolutions
from traitlets.config import Config

COURSEWORK = Path(__file__).resolve().parent
ASSIGNMENTS = (
    "features",
    "autoencoders",
    "variational",
    "adversarial",
    "contrastive",
    "project",
)
"""In the order in which they are given out."""

STUB = 'raise NotImplementedError("still to be written")'
TEXT_STUB = "*Your answer here.*"


def source(assignment: str, year: int | None = None) -> NotebookNode:
    """Read an assignment with its solutions and hidden tests.

    Args:
        assignment: One of `ASSIGNMENTS`.
        year: Number from which the constants of the assignment are drawn. Left out,
            it is the one in the file.

    Returns:
        The notebook.

    Raises:
        ValueError: If there is no such assignment, or it does not set its year.
    """
    if assignment not in ASSIGNMENTS:
        raise ValueError(
            f"assignment = {assignment!r} is unknown: take one of {ASSIGNMENTS}."
        )
    path = COURSEWORK / "source" / assignment / f"{assignment}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    return notebook if year is None else set_year(notebook, year)


def set_year(notebook: NotebookNode, year: int) -> NotebookNode:
    """Write another year into the one line of a notebook that says `YEAR = ...`.

    Args:
        notebook: An assignment; it is changed.
        year: Whole number, 0 or above.

    Returns:
        The notebook.

    Raises:
        ValueError: If `year` is negative, or the notebook has not one such line.
    """
    if year < 0:
        raise ValueError(f"year = {year} is negative: take a whole number from 0 on.")
    found = 0
    for cell in code_cells(notebook):
        cell.source, n = re.subn(r"(?m)^YEAR = \d+", f"YEAR = {year}", cell.source)
        found += n
    if found != 1:
        raise ValueError(f"{found} lines say `YEAR = ...`: there must be one.")
    return notebook


def emptied(notebook: NotebookNode) -> NotebookNode:
    """Take solutions and hidden tests away, by nbgrader's own means.

    Args:
        notebook: An assignment; it is left as it is.

    Returns:
        What students get, without the header.
    """
    config = Config()
    config.ClearSolutions.code_stub = {"python": STUB}
    config.ClearSolutions.text_stub = TEXT_STUB
    notebook = nbformat.from_dict(notebook)
    for step in (ClearSolutions, ClearHiddenTests):
        notebook, _ = step(config=config).preprocess(notebook, {})
    return notebook


def code_cells(notebook: NotebookNode) -> Iterator[NotebookNode]:
    """Go through the cells of code."""
    return (cell for cell in notebook.cells if cell.cell_type == "code")


def grade_id(cell: NotebookNode) -> str | None:
    """Tell the name of a cell, or None if nbgrader does not know it."""
    return cell.metadata.get("nbgrader", {}).get("grade_id")


def points(notebook: NotebookNode) -> dict[str, float]:
    """Tell what each test and each written question is worth.

    Args:
        notebook: An assignment.

    Returns:
        Name of the cell to its points.
    """
    return {
        cell.metadata.nbgrader.grade_id: float(cell.metadata.nbgrader.points)
        for cell in notebook.cells
        if cell.metadata.get("nbgrader", {}).get("grade")
    }


def functions(notebook: NotebookNode) -> list[str]:
    """List the functions that are marked by tests, in order."""
    return [
        name
        for cell in code_cells(notebook)
        if (name := grade_id(cell)) and f"check_{name}" in points(notebook)
    ]


def answered(notebook: NotebookNode, name: str, code: str) -> NotebookNode:
    """Put code into the cell of one answer.

    Args:
        notebook: An assignment; it is left as it is.
        name: Name of the cell.
        code: What a student might write there.

    Returns:
        The changed copy.

    Raises:
        ValueError: If there is no such cell.
    """
    notebook = nbformat.from_dict(notebook)
    for cell in notebook.cells:
        if grade_id(cell) == name:
            cell.source = code
            return notebook
    raise ValueError(f"name = {name!r}: the notebook has no such cell.")


def attempts(assignment: str, name: str) -> dict[str, str]:
    """Read the right and wrong answers to one task.

    They are the functions of `attempts/<assignment>/<name>.py` whose names begin with
    `right_` or `wrong_`; imports and other functions of the file belong to each.

    Args:
        assignment: One of `ASSIGNMENTS`.
        name: The function that is marked.

    Returns:
        Name of the attempt to its code, in which the function has its proper name.
    """
    text = (COURSEWORK / "attempts" / assignment / f"{name}.py").read_text("utf-8")
    tried, shared = {}, []
    for node in ast.parse(text).body:
        segment = ast.get_source_segment(text, node)
        assert segment is not None
        if isinstance(node, ast.FunctionDef) and node.name.startswith(
            ("right_", "wrong_")
        ):
            tried[node.name] = segment.replace(f"def {node.name}(", f"def {name}(", 1)
        elif not isinstance(node, ast.Expr):  # All but the docstring.
            shared.append(segment)
    return {key: "\n\n".join([*shared, code]) for key, code in tried.items()}


def run(notebook: NotebookNode) -> tuple[dict[str, float], dict[str, str], str]:
    """Run the code cells in this process and mark the tests among them.

    Args:
        notebook: An assignment, answered or not.

    Returns:
        Points by test; errors by cell, as text; and everything printed.
    """
    space: dict[str, Any] = {"__name__": "__main__"}
    earned, errors = {}, {}
    printed = io.StringIO()
    for number, cell in enumerate(code_cells(notebook)):
        name = grade_id(cell) or f"cell {number}"
        told = cell.metadata.get("nbgrader", {})
        try:
            with contextlib.redirect_stdout(printed):
                exec(compile(cell.source, f"<{name}>", "exec"), space)
        except (Exception, SystemExit) as error:  # Whatever students' code raises.
            errors[name] = f"{type(error).__name__}: {error}"
        if told.get("grade"):
            earned[name] = 0.0 if name in errors else float(told.points)
    return earned, errors, printed.getvalue()
