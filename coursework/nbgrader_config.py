"""Settings of nbgrader for this course, copied into its folder by `make coursework`."""

import os
import textwrap
from pathlib import Path
from typing import Any

from nbconvert.preprocessors import (
    ClearMetadataPreprocessor,
    CSSHTMLHeaderPreprocessor,
)
from nbformat import NotebookNode
from nbgrader.preprocessors import (
    AssignLatePenalties,
    CheckCellMetadata,
    ClearHiddenTests,
    Execute,
    GetGrades,
    IgnorePattern,
    LimitOutput,
    NbGraderPreprocessor,
    SaveAutoGrades,
)

c = get_config()  # type: ignore[name-defined]  # noqa: F821, nbgrader has it.


class ExecuteWatched(Execute):
    """Notes which cell is running, so that the one that ends a kernel is known."""

    def on_cell_start(self, cell: NotebookNode, cell_index: int) -> None:
        """Write the name of the cell into the file that the grading asks for."""
        if "COURSEWORK_PROGRESS" in os.environ:
            name = cell.metadata.get("nbgrader", {}).get("grade_id") or cell.id
            Path(os.environ["COURSEWORK_PROGRESS"]).write_text(name, "utf-8")


class OnlyErrorsCount(NbGraderPreprocessor):
    """Keeps warnings, and numbers that a cell returns, from changing the marks.

    nbgrader gives nothing for a test that wrote to stderr, and takes a number that it
    returned for the points. Of an error the last line is kept: the lines before it
    quote the hidden test.
    """

    def preprocess_cell(
        self, cell: NotebookNode, resources: Any, cell_index: int
    ) -> tuple[NotebookNode, Any]:
        """Drop what is no error from the output of a test."""
        if cell.metadata.get("nbgrader", {}).get("grade") and cell.cell_type == "code":
            cell.outputs = [
                output
                for output in cell.outputs
                if output.output_type != "execute_result"
                and output.get("name") != "stderr"
            ]
            for output in cell.outputs:
                if output.output_type == "error":
                    sentence = f"{output.ename}: {output.evalue}"
                    output.traceback = textwrap.wrap(sentence, 88)
        return cell, resources


class WithoutMachinery(NbGraderPreprocessor):
    """Leaves out of the feedback what only the grading needs."""

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        """Drop the cells that `mend.py` and `course.py` have put in."""
        nb.cells = [
            cell
            for cell in nb.cells
            if cell.id not in ("prelude", "canary") and "before-" not in cell.id
        ]
        return nb, resources


c.CourseDirectory.course_id = "features"
c.IncludeHeaderFooter.header = "source/header.ipynb"
c.ClearSolutions.code_stub = {
    "python": 'raise NotImplementedError("still to be written")'
}
c.ClearSolutions.text_stub = "*Your answer here.*"

# A cell that takes longer is interrupted and counts as an error; the next one runs.
c.Execute.timeout = 20
# Until a cell must have stopped after that. nbgrader's 4 s are too few on a machine
# that is busy with something else.
c.Execute.iopub_timeout = 20
c.Autograde.autograde_preprocessors = [
    ExecuteWatched,
    OnlyErrorsCount,
    IgnorePattern,
    ClearMetadataPreprocessor,
    LimitOutput,
    SaveAutoGrades,
    AssignLatePenalties,
    CheckCellMetadata,
]

# Feedback says what failed, and does not show next year's students the hidden tests.
c.GenerateFeedback.preprocessors = [
    GetGrades,
    WithoutMachinery,
    ClearHiddenTests,
    CSSHTMLHeaderPreprocessor,
]

# What Moodle's "Download all submissions" looks like once it is unpacked:
# Ada Lovelace_1815_assignsubmission_file/variational.ipynb
c.FileNameCollectorPlugin.named_regexp = (
    r".*/(?P<first_name>[^/_]+?)(?: (?P<last_name>[^/_ ]+))?"
    r"_(?P<student_id>\w+?)_assignsubmission_file_?/(?P<file_id>[^/]+)"
)
c.FileNameCollectorPlugin.valid_ext = [".ipynb", ".npz", ".h5"]
