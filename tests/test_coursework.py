"""The assignments: each right answer keeps its marks, each wrong one loses them.

Cells run in this process here; `test_grading.py` sends notebooks through nbgrader.
"""

import ast
import contextlib
import re
import zipfile

import nbformat
import numpy as np
import pytest

pytest.importorskip("nbgrader")
pytest.importorskip("resource", reason="grading needs Linux or macOS")

import course  # noqa: E402
import mend  # noqa: E402
import notebooks  # noqa: E402

from sslkit.coursework import check, plain  # noqa: E402

ASSIGNMENTS = notebooks.ASSIGNMENTS
SOURCES = {name: notebooks.source(name) for name in ASSIGNMENTS}
MATRIX = [
    (assignment, function, attempt)
    for assignment in ASSIGNMENTS
    for function in notebooks.functions(SOURCES[assignment])
    for attempt in notebooks.attempts(assignment, function)
]
YEARS = range(2026, 2036)


@pytest.fixture(autouse=True)
def quiet_folder(monkeypatch):
    """Where the artefact of the project lies, as it does beside a submission."""
    monkeypatch.chdir(notebooks.COURSEWORK / "attempts" / "project")


def automatic(notebook):
    """Points of the tests, without the written questions."""
    worth = notebooks.points(notebook)
    return {name: most for name, most in worth.items() if name.startswith("check_")}


def unanswered(notebook):
    """The notebook with hidden tests, and every answer as it is given out."""
    stubs = notebooks.emptied(notebook)
    notebook = nbformat.from_dict(notebook)
    for cell, stub in zip(notebook.cells, stubs.cells, strict=True):
        if cell.metadata.get("nbgrader", {}).get("solution"):
            cell.source = stub.source
    return notebook


# The matrix -------------------------------------------------------------------------


# The project takes ten seconds a year: the years between wait for make test-coursework.
@pytest.mark.parametrize(
    ("assignment", "year"),
    [
        pytest.param(
            assignment,
            year,
            marks=[pytest.mark.grading] * (assignment == "project" and between),
        )
        for year in YEARS
        for between in [year not in (YEARS[0], YEARS[-1])]
        for assignment in ASSIGNMENTS
    ],
)
def test_reference_gets_full_marks_every_year(assignment, year):
    notebook = notebooks.source(assignment, year)
    earned, errors, _ = notebooks.run(notebook)
    assert errors == {}
    assert earned == automatic(notebook)


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_what_is_given_out_gets_nothing(assignment):
    earned, _, _ = notebooks.run(unanswered(SOURCES[assignment]))
    assert set(earned.values()) == {0.0}


@pytest.mark.parametrize(("assignment", "function", "attempt"), MATRIX)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.no_cover  # Most of the time here, and what it runs is no code of sslkit.
def test_attempts_keep_or_lose_their_marks(assignment, function, attempt):
    code = notebooks.attempts(assignment, function)[attempt]
    notebook = notebooks.answered(SOURCES[assignment], function, code)
    if function != "encode":  # Its tests take seconds, and see no other function.
        notebook.cells = [c for c in notebook.cells if not is_test_of(c, "encode")]
    earned, errors, _ = notebooks.run(notebook)
    worth = automatic(notebook)
    lost = {name for name in worth if earned[name] < worth[name]}
    if attempt.startswith("right_"):
        assert lost == set(), errors
    else:
        tests = [c for c in notebook.cells if is_test_of(c, function)]
        assert lost and lost <= set(map(notebooks.grade_id, tests)), errors


def is_test_of(cell, function):
    return (notebooks.grade_id(cell) or "").startswith(f"check_{function}")


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_every_function_has_enough_attempts(assignment):
    for function in notebooks.functions(SOURCES[assignment]):
        names = list(notebooks.attempts(assignment, function))
        assert sum(name.startswith("wrong_") for name in names) >= 5, function
        assert sum(name.startswith("right_") for name in names) >= 2, function


def test_attempts_differ_from_one_another():
    for assignment in ASSIGNMENTS:
        for function in notebooks.functions(SOURCES[assignment]):
            bodies = []
            for code in notebooks.attempts(assignment, function).values():
                body = ast.parse(code).body[-1].body
                bodies.append(ast.unparse(body[1:]))  # Without the docstring.
            assert len(set(bodies)) == len(bodies), function


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_the_numbers_of_one_year_fail_in_the_next(assignment):
    """Answers of the year before, written down as numbers, for ten years."""
    for year in YEARS:
        now, before = (notebooks.source(assignment, y) for y in (year, year - 1))
        spaces = [namespace(notebook) for notebook in (now, before)]
        numbers = [
            name
            for name in notebooks.functions(now)
            if spaces[0][name].__code__.co_argcount == 0
        ]
        assert numbers, "no task asks for a number of this year"
        for name in numbers:
            old = plain(spaces[1][name]()).tolist()
            code = f"def {name}():\n    return {old!r}"
            notebook = notebooks.answered(now, name, code)
            notebook.cells = [c for c in notebook.cells if not is_test_of(c, "encode")]
            earned, _, _ = notebooks.run(notebook)
            assert earned[f"check_{name}"] == 0, (year, name, old)


def namespace(notebook):
    """What the given cells and the solutions define."""
    space = {}
    for cell in notebooks.code_cells(notebook):
        if not (notebooks.grade_id(cell) or "").startswith("check_"):
            with contextlib.redirect_stdout(None):
                exec(cell.source, space)
    return space


# What is given out ------------------------------------------------------------------


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_what_is_given_out_runs_and_says_not_yet(assignment, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    released = notebooks.emptied(SOURCES[assignment])
    _, errors, printed = notebooks.run(released)
    assert errors == {}
    checks = [
        cell for cell in notebooks.code_cells(released) if "with check(" in cell.source
    ]
    told = re.findall(r"^(?:\d|stretch).*: (not yet|so far)", printed, re.M)
    assert len(told) >= len(checks) > 2
    assert set(told) == {"not yet"}


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_what_is_given_out_tells_no_solution(assignment):
    notebook = SOURCES[assignment]
    assert course.leaks(notebook, notebooks.emptied(notebook)) == []
    # The search finds what is there: the notebook with solutions.
    assert len(course.leaks(notebook, notebook)) > 20


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_assignments_have_their_parts(assignment):
    notebook = SOURCES[assignment]
    text = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    for part in ("# Assignment", "## What you will practise", "## Time, marks, rules"):
        assert part in text
    assert "## Stretch" in text
    worth = notebooks.points(notebook)
    assert sum(worth.values()) == 20
    assert sum(automatic(notebook).values()) == 16
    written = [name for name in worth if name.startswith("written_")]
    assert len(written) == 1 and "| marks | for |" in text
    ids = [notebooks.grade_id(c) for c in notebook.cells if notebooks.grade_id(c)]
    assert len(set(ids)) == len(ids)
    for cell in notebook.cells:
        lines = cell.source.splitlines()
        if cell.cell_type == "code":
            assert max(map(len, lines)) <= 88, cell.source
            assert not cell.outputs and cell.execution_count is None
            # A value at the end of a test would be taken for its points.
            if notebooks.grade_id(cell) in worth:
                assert not isinstance(ast.parse(cell.source).body[-1], ast.Expr)


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_hidden_tests_draw_their_own_inputs(assignment):
    """Functions of some input are tested on inputs that nobody could know."""
    for function in notebooks.functions(SOURCES[assignment]):
        answer = cell_of(SOURCES[assignment], function).source
        test = cell_of(SOURCES[assignment], f"check_{function}").source
        hidden = test.split("### BEGIN HIDDEN TESTS")[1]
        assert f"def {function}():" in answer or "default_rng()" in hidden, function


# Reading and filling notebooks ------------------------------------------------------


def test_year_is_written_once():
    notebook = notebooks.source("variational", 7)
    text = "\n".join(cell.source for cell in notebook.cells)
    assert re.findall(r"(?m)^YEAR = .*", text) == ["YEAR = 7"]
    with pytest.raises(ValueError, match="year = -1 is negative"):
        notebooks.source("variational", -1)
    empty = nbformat.v4.new_notebook()
    with pytest.raises(ValueError, match="0 lines say"):
        notebooks.set_year(empty, 1)


def test_unknown_names_are_told():
    with pytest.raises(ValueError, match="assignment = 'vae' is unknown"):
        notebooks.source("vae")
    with pytest.raises(ValueError, match="name = 'kl'"):
        notebooks.answered(SOURCES["variational"], "kl", "")


def test_marking_in_this_process_counts_an_exit_as_an_error():
    code = "import sys\n\ndef elbo(*_):\n    sys.exit()"
    notebook = notebooks.answered(SOURCES["variational"], "elbo", code)
    earned, errors, _ = notebooks.run(notebook)
    assert earned["check_elbo"] == 0 and "SystemExit" in errors["check_elbo"]
    assert earned["check_gaussian_kl"] == 4


# Mending ----------------------------------------------------------------------------

GIVEN = notebooks.emptied(SOURCES["variational"])
RIGHT = {
    notebooks.grade_id(cell): cell.source
    for cell in SOURCES["variational"].cells
    if cell.metadata.get("nbgrader", {}).get("solution")
}


@pytest.fixture
def homework():
    """What a student hands in who did everything right."""
    notebook = nbformat.from_dict(GIVEN)
    for cell in notebook.cells:
        cell.source = RIGHT.get(notebooks.grade_id(cell), cell.source)
    return notebook


def cell_of(notebook, name):
    return next(c for c in notebook.cells if notebooks.grade_id(c) == name)


def mended(notebook):
    result, told = mend.mended(nbformat.writes(notebook), GIVEN)
    nbformat.validate(result)
    return result, told


def answers(notebook):
    return {name: cell_of(notebook, name).source for name in RIGHT}


def test_sound_homework_is_left_alone(homework):
    result, told = mended(homework)
    assert told == []
    assert answers(result) == RIGHT
    given = [cell.source for cell in GIVEN.cells if cell.cell_type == "markdown"]
    assert [c.source for c in result.cells if c.cell_type == "markdown"][:3] == given[
        :3
    ]


def test_deleted_cells_are_put_back(homework):
    names = ["elbo", "check_elbo", "setup"]
    homework.cells = [c for c in homework.cells if notebooks.grade_id(c) not in names]
    result, told = mended(homework)
    assert cell_of(result, "elbo").source == cell_of(GIVEN, "elbo").source
    assert cell_of(result, "check_elbo").source == cell_of(GIVEN, "check_elbo").source
    assert told == [
        "The locked cell `setup` was missing and was put back.",
        "The cell `elbo` was missing: no answer.",
        "The locked cell `check_elbo` was missing and was put back.",
    ]
    assert result.cells[0].id == "mended" and all(
        t in result.cells[0].source for t in told
    )


def test_last_changed_copy_of_a_cell_counts(homework):
    place = homework.cells.index(cell_of(homework, "elbo"))
    stub = nbformat.from_dict(cell_of(GIVEN, "elbo"))
    first = nbformat.from_dict(stub)
    first.source = "def elbo(*_):\n    return 1"
    homework.cells[place:place] = [first]
    homework.cells.insert(place + 2, stub)
    result, told = mended(homework)
    assert answers(result) == RIGHT
    assert len([c for c in result.cells if notebooks.grade_id(c) == "elbo"]) == 1
    assert told == [
        "The cell `elbo` was there 3 times; the last one that was changed was graded."
    ]


def test_answers_are_found_without_their_marks(homework):
    for cell in homework.cells:
        if notebooks.grade_id(cell) == "elbo":
            cell.metadata, cell.id = nbformat.from_dict({}), "elsewhere"
    result, told = mended(homework)
    assert answers(result) == RIGHT
    assert told == ["The cell `elbo` had lost its mark and was found by its name."]
    assert sum("def elbo(" in cell.source for cell in result.cells) == 1


def test_marks_are_put_back_by_the_ids_of_cells(homework):
    for cell in homework.cells:
        cell.metadata = nbformat.from_dict({})
    result, told = mended(homework)
    assert answers(result) == RIGHT
    marks = sum(notebooks.grade_id(cell) is not None for cell in GIVEN.cells)
    assert told == [f"{marks} cells had lost their marks and were known by their ids."]
    assert [c.source for c in result.cells].count(RIGHT["elbo"]) == 1


def test_own_cells_at_the_top_stay_there_once(homework):
    homework.cells.insert(0, nbformat.v4.new_code_cell("import math"))
    result, _ = mended(homework)
    assert [cell.source for cell in result.cells].count("import math") == 1
    assert result.cells[1].source == "import math"


def test_cells_without_ids_are_taken_as_they_are(homework):
    """As Colab saves them: the marks are there, and ids are not."""
    homework.cells.insert(0, nbformat.v4.new_code_cell("import math"))
    for cell in homework.cells:
        del cell["id"]
    homework.nbformat_minor = 0
    result, told = mended(homework)
    assert told == [] and answers(result) == RIGHT
    assert [cell.source for cell in result.cells].count("import math") == 1


def test_what_was_not_collected_is_told(tmp_path):
    archive = tmp_path / "moodle.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for name in (
            "Ada_1815_assignsubmission_file/a.ipynb",
            "Ben/b.ipynb",
            "c.ipynb",
        ):
            packed.writestr(name, "")
    assert course.left_out(archive, ["1815"]) == ["Ben", "c.ipynb"]
    assert course.left_out(archive, ["181"])[0].startswith("Ada")


def test_one_submission_does_not_stop_the_others(tmp_path, monkeypatch, capsys):
    (tmp_path / "release" / "variational").mkdir(parents=True)
    nbformat.write(GIVEN, tmp_path / "release" / "variational" / "variational.ipynb")
    for student in ("ada", "ben"):
        (tmp_path / "submitted" / student / "variational").mkdir(parents=True)

    def grade_one(folder, assignment, student):
        if student == "ada":
            raise OSError("disk full")
        return course.Graded(student, {"check_elbo": 4.0})

    monkeypatch.setattr(course, "grade_one", grade_one)
    monkeypatch.setattr(course, "nbgrader", lambda *_: None)
    ada, ben = course.grade(tmp_path, "variational")
    assert ada.suspicious and "OSError: disk full" in ada.told[0]
    assert sum(ben.earned.values()) == 4
    assert "LOOK AT THIS ONE" in capsys.readouterr().out


def test_pages_tell_the_limits_of_the_code():
    pages = notebooks.COURSEWORK.parent / "chapters" / "teaching"
    servers = (pages / "servers.md").read_text("utf-8")
    seconds, memory = course.SECONDS, course.GIGABYTES
    config = (notebooks.COURSEWORK / "nbgrader_config.py").read_text("utf-8")
    cell = int(re.search(r"Execute\.timeout = (\d+)", config)[1])
    assert f"| one cell | {cell} s |" in servers
    assert f"| one submission, by the clock | {seconds} s |" in servers
    assert f"| processor time of one process | {2 * seconds} s |" in servers
    assert f"| memory that a process may ask for | {memory} GB |" in servers
    unusual = (pages / "assignments.md").read_text("utf-8")
    for limit in (f"after {cell} s", f"more than {seconds} s", f"than {memory} GB"):
        assert limit in unusual


def test_changed_locks_are_undone_and_told(homework):
    cell_of(homework, "setup").source += "\nimport scipy"
    cell_of(homework, "check_elbo").source = "pass"
    result, told = mended(homework)
    assert cell_of(result, "setup").source == cell_of(GIVEN, "setup").source
    assert [sentence.split("`")[1] for sentence in told] == ["setup", "check_elbo"]


def test_cells_of_their_own_stay_in_place(homework):
    place = homework.cells.index(cell_of(homework, "elbo"))
    helper = nbformat.v4.new_code_cell("def helper():\n    return 1")
    twin = nbformat.from_dict(helper)
    homework.cells[place:place] = [helper, twin]
    result, told = mended(homework)
    assert told == []
    sources = [cell.source for cell in result.cells]
    assert sources.count(helper.source) == 2
    assert sources.index(helper.source) < sources.index(RIGHT["elbo"])
    assert sources.index(helper.source) > sources.index(RIGHT["sample_codes"])


@pytest.mark.parametrize("text", ["", "{", '{"cells": 1}', "<html>", '{"nbformat": 4}'])
def test_broken_files_become_empty_homework(text):
    result, (told,) = mend.mended(text, GIVEN)
    assert told.startswith("The file is not a notebook that can be read")
    assert cell_of(result, "elbo").source == cell_of(GIVEN, "elbo").source
    assert told in result.cells[0].source


def test_given_names_mean_the_same_before_each_test(homework):
    """Nobody gets away with setting this year's constants to suit an answer."""
    place = homework.cells.index(cell_of(homework, "check_cost_of_code"))
    homework.cells.insert(place, nbformat.v4.new_code_cell("CODE_MEAN = CODE_STD = 1"))
    result, _ = mended(homework)
    ids = [cell.id for cell in result.cells]
    again = ids.index("before-check_cost_of_code")
    assert cell_of(GIVEN, "constants_year").source in result.cells[again].source
    assert ids[again + 1] == "check-cost-of-code"
    assert result.cells[ids.index("own-0")].source == "CODE_MEAN = CODE_STD = 1"
    assert ids.index("own-0") < again


def test_quarantine_takes_out_one_answer_or_all(homework):
    result, _ = mended(homework)
    for name in ("elbo", "check_elbo", "before-check_elbo"):
        one = mend.quarantined(result, name, "why")
        changed = [n for n in RIGHT if answers(one)[n] != RIGHT[n]]
        assert changed == ["elbo"], name
        assert "RuntimeError('why')" in cell_of(one, "elbo").source
    twice = mend.quarantined(one, "check_elbo", "why")
    assert [n for n in RIGHT if answers(twice)[n] != RIGHT[n]] == [
        "sample_codes",
        "elbo",
    ]
    every = mend.quarantined(result, None, "why")
    code = [n for n in RIGHT if cell_of(result, n).cell_type == "code"]
    assert [n for n in RIGHT if answers(every)[n] != RIGHT[n]] == code


@pytest.mark.parametrize(
    ("names", "text", "told"),
    [
        (["variational.ipynb", "other.ipynb"], "variational.ipynb", ""),
        (["variational (1).ipynb"], "variational (1).ipynb", "was called variational"),
        (["notes.txt"], "", "No notebook was handed in."),
    ],
)
def test_a_notebook_of_another_name_is_found(tmp_path, names, text, told):
    for name in names:
        (tmp_path / name).write_text(name, "utf-8")
    found, sentences = course.handed_in(tmp_path, "variational")
    assert found == text
    assert told in "".join(sentences) and bool(told) == bool(sentences)


# Checks that students see -----------------------------------------------------------


def test_check_reports_whatever_happens(capsys):
    for error in (ValueError("seven"), ZeroDivisionError(), NotImplementedError()):
        with check("1 f"):
            raise error
    with check("1 f"):
        raise AssertionError
    with check("1 f"):
        pass
    lines = capsys.readouterr().out.splitlines()
    assert [": not yet" in line for line in lines] == [True] * 4 + [False]
    assert "ValueError: seven" in lines[0]


def test_check_lets_an_interruption_through():
    with pytest.raises(KeyboardInterrupt), check("1 f"):
        raise KeyboardInterrupt


class Agreeable:
    """Claims to be equal to everything, as a number of any size."""

    def __eq__(self, other):
        return True

    def __float__(self):
        return 0.5

    def __sub__(self, other):
        return 0.0


def test_plain_takes_numbers_of_all_kinds_and_nothing_else():
    import keras

    kinds = [2, 2.0, [2], (2,), np.float32(2), np.array([2]), keras.ops.ones(1) * 2]
    for value in kinds:
        numbers = plain(value)
        assert type(numbers) is np.ndarray and numbers.dtype == "float64"
        assert np.all(numbers == 2)
    assert plain(Agreeable()) != 0.25
    for value in (None, "two", [None, "x"], {"a": 1}, [[1], [1, 2]]):
        with pytest.raises(AssertionError, match="numbers are expected"):
            plain(value)
    with pytest.raises(AssertionError, match=r"shape \(2,\) is expected, not \(3,\)"):
        plain([1, 2, 3], (2,))


def test_plain_takes_off_the_class_of_an_array():
    class Odd(np.ndarray):
        def __sub__(self, other):
            return np.zeros(self.shape)

    assert np.all(plain(np.ones(2).view(Odd)) - 3 == -2)
