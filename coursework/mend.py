"""Make what was handed in fit to be graded, and say what was done to it.

Students delete cells, paste them twice, and use editors that drop the marks by which
nbgrader knows its cells. nbgrader leaves those cases to the instructor; here each
answer is put back into the notebook that was given out, wherever it can be found.
"""

import re
import warnings

import nbformat
from nbformat import NotebookNode
from notebooks import grade_id

OUT = "raise RuntimeError("
"""How the source of an answer begins that was taken out."""


def mended(text: str, release: NotebookNode) -> tuple[NotebookNode, list[str]]:
    """Put the answers of a submission into the notebook that was given out.

    An answer is the last changed cell with the right mark or, where the mark is lost,
    the last cell that defines the function. Code in cells of the student's own stays
    where it was; everything that was given stays as it was given.

    Args:
        text: Contents of the file that was handed in.
        release: The notebook that was given out.

    Returns:
        The notebook to be graded, and sentences for the student, one per repair.
    """
    notebook = nbformat.from_dict(release)
    try:
        with warnings.catch_warnings(action="ignore"):  # Copied cells share an id.
            # Colab saves an older format, whose cells have no ids.
            handed_in = nbformat.v4.upgrade(nbformat.reads(text, as_version=4))
            nbformat.validate(handed_in)
    except Exception as error:  # nbformat raises many things at a broken file.
        reason = str(error).splitlines()[0][:200] or type(error).__name__
        told = [
            "The file is not a notebook that can be read, so nothing in it could be "
            f"graded ({reason}). Download the notebook anew and hand it in again."
        ]
        return with_notice(notebook, told), told

    told = remarked(handed_in, release)
    own = own_cells(handed_in, release)
    # In a kernel, exit() ends everything, some cells later; an error ends one cell.
    prelude = nbformat.v4.new_code_cell(
        "import sys\n\nexit = quit = sys.exit", id="prelude"
    )
    cells: list[NotebookNode] = [prelude, *own.get(None, [])]
    given = ["%%capture", "# The given cells again, so that their names mean the same."]
    for cell in notebook.cells:
        name = grade_id(cell)
        if name and cell.metadata.nbgrader.solution:
            cell.source, repair = answer(cell, handed_in)
            told.extend(repair)
        elif name and cell.metadata.nbgrader.locked:
            told.extend(changed_lock(cell, handed_in))
            if cell.metadata.nbgrader.grade:
                again = nbformat.v4.new_code_cell("\n".join(given), id=f"before-{name}")
                cells.append(again)
            elif not name.startswith("check_"):
                given.append(cell.source)
        cells += [cell, *(own.get(name, []) if name else [])]
    notebook.cells = cells
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return with_notice(notebook, told), told


def remarked(handed_in: NotebookNode, release: NotebookNode) -> list[str]:
    """Give cells that kept their ids their lost marks back, and say so."""
    known = {cell.id: cell for cell in release.cells if grade_id(cell)}
    present = {grade_id(cell) for cell in handed_in.cells}
    lost = [
        cell
        for cell in handed_in.cells
        if cell.get("id") in known
        and grade_id(cell) is None
        and grade_id(known[cell.id]) not in present
    ]
    for cell in lost:
        cell.metadata = nbformat.from_dict(known[cell.id].metadata)
    if not lost:
        return []
    return [f"{len(lost)} cells had lost their marks and were known by their ids."]


def marked(notebook: NotebookNode, name: str) -> list[NotebookNode]:
    """Find the cells that carry a mark."""
    return [cell for cell in notebook.cells if grade_id(cell) == name]


def defining(notebook: NotebookNode, name: str) -> list[NotebookNode]:
    """Find the cells of code that define a function."""
    pattern = rf"(?m)^def {re.escape(name)}\("
    return [
        cell
        for cell in notebook.cells
        if cell.cell_type == "code" and re.search(pattern, cell.source)
    ]


def answer(given: NotebookNode, handed_in: NotebookNode) -> tuple[str, list[str]]:
    """Find the answer that belongs into one cell.

    Args:
        given: The empty cell as it was given out.
        handed_in: The notebook that was handed in.

    Returns:
        Source of the answer, and sentences about what was unusual.
    """
    name = grade_id(given)
    assert name is not None
    found = marked(handed_in, name)
    told = []
    if not found:
        found = defining(handed_in, name)
        if not found:
            return given.source, [f"The cell `{name}` was missing: no answer."]
        told = [f"The cell `{name}` had lost its mark and was found by its name."]
    elif len(found) > 1:
        told = [
            f"The cell `{name}` was there {len(found)} times; the last one that was "
            "changed was graded."
        ]
    changed = [cell for cell in found if cell.source != given.source]
    return (changed or found)[-1].source, told


def changed_lock(given: NotebookNode, handed_in: NotebookNode) -> list[str]:
    """Say whether a locked cell is missing or was changed."""
    name = grade_id(given)
    assert name is not None
    found = marked(handed_in, name)
    if not found:
        return [f"The locked cell `{name}` was missing and was put back."]
    if any(cell.source.strip() != given.source.strip() for cell in found):
        return [
            f"The locked cell `{name}` was changed. It was put back as it was given; "
            "imports of your own belong into cells of your own."
        ]
    return []


def own_cells(
    handed_in: NotebookNode, release: NotebookNode
) -> dict[str | None, list[NotebookNode]]:
    """Collect the cells that a student added, by the given cell that they follow.

    Args:
        handed_in: The notebook that was handed in.
        release: The notebook that was given out.

    Returns:
        Name of a given cell, or None for the top of the notebook, to the cells.
    """
    names = {name for cell in release.cells if (name := grade_id(cell))}
    given = {cell.source for cell in release.cells}
    lost = [
        cell.id
        for name in names
        if not marked(handed_in, name)
        for cell in defining(handed_in, name)
    ]
    own: dict[str | None, list[NotebookNode]] = {}
    place = None
    for cell in handed_in.cells:
        if grade_id(cell) in names:
            place = grade_id(cell)
        elif cell.source.strip() and cell.source not in given and cell.id not in lost:
            cell.metadata = {}
            own.setdefault(place, []).append(cell)
    # Copies have the id of what they were copied from, and two cells may not share one.
    for number, cell in enumerate(cell for cells in own.values() for cell in cells):
        cell.id = f"own-{number}"
    return own


def with_notice(notebook: NotebookNode, told: list[str]) -> NotebookNode:
    """Put a cell on top that says what was done, for the feedback."""
    if told:
        lines = "\n".join(f"- {sentence}" for sentence in told)
        text = f"**Before it was graded, this notebook was mended.**\n\n{lines}"
        notice = nbformat.v4.new_markdown_cell(text, id="mended")
        notebook.cells = [notice, *(c for c in notebook.cells if c.id != "mended")]
    return notebook


def quarantined(notebook: NotebookNode, name: str | None, reason: str) -> NotebookNode:
    """Keep an answer from being run, because it would stop the grading.

    Args:
        notebook: A mended notebook; it is left as it is.
        name: The cell in which grading stopped, by its mark or else its id. The last
            code of the student at or before it is taken out. None, and all is.
        reason: Sentence for the student.

    Returns:
        A copy in which that code raises `RuntimeError` with the reason.
    """
    notebook = nbformat.from_dict(notebook)
    theirs = []
    for cell in notebook.cells:
        told = cell.metadata.get("nbgrader", {})
        own = not told and cell.id.startswith("own-")
        runs = cell.cell_type == "code" and not cell.source.startswith(OUT)
        if runs and (own or told.get("solution")):
            theirs.append(cell)
        if name is not None and name in (grade_id(cell), cell.id):
            theirs = theirs[-1:]
            break
    for cell in theirs:
        body = "\n".join(f"# {line}" for line in cell.source.splitlines())
        cell.source = f"{OUT}{reason!r})\n\n{body}"
    return notebook
