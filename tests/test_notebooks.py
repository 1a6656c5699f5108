"""The stored notebooks: complete, current, described, and agreeing with the results."""

import json
import re
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "_ext"))

import launch  # noqa: E402
import run_notebooks  # noqa: E402

from sslkit.record import format_value  # noqa: E402

NOTEBOOKS = run_notebooks.course_notebooks()
CHAPTERS = [path for path in NOTEBOOKS if path.name != "template.ipynb"]


def read(path):
    return nbformat.read(path, as_version=4)


def codes(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def problems(notebook):
    """What is wrong with a stored notebook, as a list of sentences."""
    found = []
    made = notebook.metadata.get("sslkit", {})
    if made.get("code_sha256") != run_notebooks.code_sha256(notebook):
        found.append("code was edited after the stored run: make run NB=...")
    if made.get("scale") != "full":
        found.append("outputs are not of full scale")
    for number, cell in enumerate(codes(notebook), start=1):
        if cell.execution_count != number:
            found.append(f"code cell {number} was not executed in order")
        for output in cell.outputs:
            if output.output_type == "error":
                found.append(f"code cell {number} holds an error")
            if output.get("name") == "stderr":
                found.append(f"code cell {number} holds stderr")
            if any(mime.startswith("image/") for mime in output.get("data", {})):
                alt = output.metadata.get("image/png", {}).get("alt", "")
                if not alt.strip():
                    found.append(f"code cell {number} has a picture without alt text")
                told = cell.metadata.get("mystnb", {}).get("image", {}).get("alt")
                if told != alt:
                    found.append(f"code cell {number} hides its alt text from the book")
            elif "application/vnd.jupyter.widget-view+json" in output.get("data", {}):
                found.append(f"code cell {number} holds a widget, dead on a page")
    return found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_outputs_are_complete_and_current(path):
    assert problems(read(path)) == []


def sound_notebook():
    """A notebook with one of everything, as `make run` would store it."""
    picture = nbformat.v4.new_output(
        "display_data", {"image/png": ""}, metadata={"image/png": {"alt": "a line"}}
    )
    cell = nbformat.v4.new_code_cell(
        "1 + 1",
        execution_count=1,
        outputs=[picture],
        metadata={"mystnb": {"image": {"alt": "a line"}}},
    )
    notebook = nbformat.v4.new_notebook(cells=[cell])
    digest = run_notebooks.code_sha256(notebook)
    notebook.metadata["sslkit"] = {"scale": "full", "code_sha256": digest}
    return notebook


def spoil(change):
    notebook = sound_notebook()
    change(notebook.cells[0], notebook)
    return problems(notebook)


def add_output(cell, kind, **fields):
    cell.outputs.append(nbformat.v4.new_output(kind, **fields))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda c, n: c.update(source="1 + 2"), "edited after the stored run"),
        (lambda c, n: n.metadata.sslkit.update(scale="quick"), "not of full scale"),
        (lambda c, n: c.update(execution_count=None), "not executed"),
        (lambda c, n: c.update(execution_count=2), "not executed in order"),
        (lambda c, n: add_output(c, "error", ename="E"), "holds an error"),
        (
            lambda c, n: add_output(c, "stream", name="stderr", text="x"),
            "holds stderr",
        ),
        (lambda c, n: c.outputs[0].metadata.clear(), "without alt text"),
        (lambda c, n: c.metadata.clear(), "hides its alt text"),
    ],
)
def test_each_fault_of_a_notebook_is_noticed(change, complaint):
    assert problems(sound_notebook()) == []
    assert complaint in " ".join(spoil(change))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_first_code_cell_is_the_one_that_installs_the_package(path):
    notebook = launch.read(path)
    assert notebook == launch.refreshed(notebook), "python _ext/launch.py refresh"


def test_only_the_cell_that_installs_the_package_may_change_unnoticed():
    notebook = sound_notebook()
    digest = run_notebooks.code_sha256(notebook)
    notebook = nbformat.from_dict(launch.refreshed(notebook))
    assert [launch.tagged(cell) for cell in notebook.cells] == [False, True]
    notebook.cells[1].source = "import sslkit"
    assert run_notebooks.code_sha256(notebook) == digest
    notebook.cells[1].metadata.tags = ["remove-cell"]
    assert run_notebooks.code_sha256(notebook) != digest


def test_results_file_holds_what_the_notebooks_hold_and_nothing_else():
    from_notebooks = {}
    for path in NOTEBOOKS:
        made = read(path).metadata["sslkit"]
        for id, result in made["results"].items():
            assert id not in from_notebooks, f"{id} is recorded by two notebooks"
            from_notebooks[id] = {
                **result,
                "data": " and ".join(entry["name"] for entry in made["data"]),
                "notebook": path.relative_to(ROOT).as_posix(),
            }
    assert json.loads(run_notebooks.RESULTS.read_text("utf-8")) == from_notebooks


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_reader_sees_the_recorded_figures_in_the_outputs(path):
    notebook = read(path)
    printed = "".join(
        output.get("text", "") for cell in codes(notebook) for output in cell.outputs
    )
    for id, r in notebook.metadata["sslkit"]["results"].items():
        assert f"{id} = {format_value(r['value'], r['unit'], r['spread'])} (" in printed


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_siblings(path):
    notebook = read(path)
    headings = [
        line
        for cell in notebook.cells
        if cell.cell_type == "markdown"
        for line in re.sub("```.*?```", "", cell.source, flags=re.DOTALL).splitlines()
        if line.startswith(("# ", "## "))
    ]
    assert headings[0].startswith("# ")
    assert sum(line.startswith("# ") for line in headings) == 1
    wanted = [
        "## What you will be able to do",
        "## Prerequisites and running time",
        "## What we showed",
        "## Exercises",
        "## Further reading",
    ]
    assert [line for line in headings if line in wanted] == wanted
    assert headings[1:3] == wanted[:2] and headings[-3:] == wanted[2:]
    for cell in codes(notebook):
        assert len(cell.source.splitlines()) <= 14, cell.source
    for before, cell in zip(notebook.cells, notebook.cells[1:], strict=False):
        hidden = "hide-cell" in cell.metadata.get("tags", [])
        if cell.cell_type == "code" and not hidden and before.cell_type == "code":
            raise AssertionError(f"code without prose before it:\n{cell.source}")
    prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    assert not any("```{" in text or ":::" in text for text in prose), "MyST directive"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_figures_have_a_caption(path):
    cells = read(path).cells
    for cell, after in zip(cells, [*cells[1:], None], strict=True):
        if "mystnb" in cell.metadata:
            assert after is not None and after.source.startswith("**Figure"), (
                f"no caption after:\n{cell.source}"
            )


# --- the runner itself ------------------------------------------------------------


@pytest.fixture
def small_course(tmp_path, monkeypatch):
    """A course of one notebook in a folder of its own."""
    path = tmp_path / "chapters" / "one.ipynb"
    path.parent.mkdir()
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(run_notebooks, "ROOT", tmp_path)
    monkeypatch.setattr(run_notebooks, "RESULTS", tmp_path / "data" / "results.json")
    monkeypatch.setenv("SSLKIT_SCALE", "quick")

    def write(*sources):
        cells = [nbformat.v4.new_code_cell(source) for source in sources]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
        monkeypatch.setattr(sys, "argv", ["run_notebooks.py", str(path)])
        return path

    return write


START = "from sslkit import record\nrun = record.start()"
RESULT = "run.result('a.b', 0.25, what='a test', unit='fraction')"


def test_runner_stores_outputs_provenance_and_results(small_course):
    path = small_course(START, RESULT)
    assert run_notebooks.main() == 0
    notebook = read(path)
    assert problems(notebook) == []
    assert "a.b = 25.00 %" in notebook.cells[1].outputs[0].text
    stored = json.loads(run_notebooks.RESULTS.read_text())
    assert stored["a.b"]["value"] == 0.25
    assert stored["a.b"]["notebook"] == "chapters/one.ipynb"
    path = small_course(START)
    assert run_notebooks.main() == 0
    assert json.loads(run_notebooks.RESULTS.read_text()) == {}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("assert False, 'no such claim'", "no such claim"),
        ("import sys; print('noise', file=sys.stderr)", "wrote to stderr: noise"),
        (
            "from sslkit import data\nmnist = data.load_mnist('sample')",
            "not the full data set",
        ),
    ],
)
def test_runner_leaves_a_notebook_alone_that_must_not_be_stored(
    small_course, source, message, capsys
):
    path = small_course(START, source)
    before = path.read_bytes()
    assert run_notebooks.main() == 1
    assert path.read_bytes() == before
    assert not run_notebooks.RESULTS.exists()
    assert message in capsys.readouterr().out


def test_runner_refuses_an_id_of_another_notebook(small_course):
    path = small_course(START, RESULT)
    other = {"a.b": {"value": 1.0, "notebook": "chapters/two.ipynb"}}
    run_notebooks.RESULTS.write_text(json.dumps(other))
    with pytest.raises(ValueError, match="ids of another notebook"):
        run_notebooks.main()
    assert "sslkit" not in read(path).metadata
