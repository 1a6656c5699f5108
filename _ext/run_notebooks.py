"""Execute notebooks in place and store how their outputs were made.

    python _ext/run_notebooks.py                           # every notebook
    python _ext/run_notebooks.py chapters/mnist/training.ipynb

Runs at full scale unless `--scale quick` asks for a trial, which stores nothing. A
notebook is written only after its last cell has passed, together with its provenance
(`metadata.sslkit`) and its figures in `data/results.json`.
"""

import argparse
import datetime
import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import launch
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "data" / "results.json"
CELL_TIMEOUT = 1800


def code_sha256(notebook: Any) -> str:
    """Digest of the code cells, which changes when any of them is edited.

    The cell that installs the package is left out: it decides no figure, and does
    nothing where outputs are stored, so that they stay current when it is edited.
    """
    sources = [
        cell.source
        for cell in notebook.cells
        if cell.cell_type == "code" and not launch.tagged(cell)
    ]
    return hashlib.sha256("\0".join(sources).encode()).hexdigest()


def course_notebooks() -> list[Path]:
    """All notebooks of the course, the template included, in a stable order."""
    return launch.notebooks(ROOT)


def execute(path: Path, scale: str) -> Any:
    """Run one notebook and return it with outputs and provenance, not yet stored."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        record_timing=False,
        extra_arguments=[
            # Notices that C++ libraries write to the terminal are no cell's output.
            "--IPKernelApp.capture_fd_output=False",
            # Nor does whoever runs notebooks want to hear of the kernel's transport.
            "--IPKernelApp.log_level=ERROR",
        ],
    )
    client.on_cell_start = lambda cell, cell_index: progress(
        path, cell_index, len(notebook.cells), started
    )
    os.environ["SSLKIT_SCALE"] = scale
    if os.environ.get("SSLKIT_DATA"):
        # The kernel starts in the notebook's own folder.
        os.environ["SSLKIT_DATA"] = str(Path(os.environ["SSLKIT_DATA"]).resolve())
    started = time.perf_counter()
    with client.setup_kernel():
        for index, cell in enumerate(notebook.cells):
            client.execute_cell(cell, index)
        wall = time.perf_counter() - started
        made = ask_provenance(client, notebook)
    notebook.metadata["sslkit"] = {
        **made,
        "wall_s": round(wall, 1),
        "date": datetime.date.today().isoformat(),
        "code_sha256": code_sha256(notebook),
    }
    tidy(notebook)
    return notebook


def ask_provenance(client: NotebookClient, notebook: Any) -> dict[str, Any]:
    """Have the notebook's own kernel describe the run, in a cell that is not kept."""
    question = nbformat.v4.new_code_cell(
        "import json as _json\n"
        "from sslkit import record as _record\n"
        "print(_json.dumps(_record.provenance()))"
    )
    notebook.cells.append(question)
    try:
        client.execute_cell(question, len(notebook.cells) - 1, store_history=False)
    finally:
        notebook.cells.pop()
    answer: dict[str, Any] = json.loads(
        "".join(output.text for output in question.outputs if output.name == "stdout")
    )
    return answer


def tidy(notebook: Any) -> None:
    """Give the pictures' alt texts to the book, and drop what differs by machine."""
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        for output in cell.outputs:
            alt = output.get("metadata", {}).get("image/png", {}).get("alt")
            if alt:
                # MyST-NB reads alt texts from the metadata of the cell alone.
                cell.metadata["mystnb"] = {"image": {"alt": alt}}
    notebook.metadata["kernelspec"] = {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    }
    notebook.metadata["language_info"] = {"name": "python"}


def complaints(notebook: Any, scale: str) -> list[str]:
    """Reasons not to store a notebook that ran through."""
    found = [
        f"cell {number} wrote to stderr: {output.text.strip()[:300]}"
        for number, cell in enumerate(notebook.cells)
        for output in cell.get("outputs", [])
        if output.get("name") == "stderr"
    ]
    if scale == "full":
        found += [
            f"{entry['name']} is not the full data set: put mnist.npz into a folder "
            "and name the folder in SSLKIT_DATA, or allow the download"
            for entry in notebook.metadata["sslkit"]["data"]
            if entry["source"] == "sample"
        ]
    return found


def store(path: Path, notebook: Any) -> None:
    """Write the notebook and bring its figures into `data/results.json`."""
    name = path.relative_to(ROOT).as_posix()
    made = notebook.metadata["sslkit"]
    results = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    results = {id: r for id, r in results.items() if r["notebook"] != name}
    taken = sorted(set(results) & set(made["results"]))
    if taken:
        raise ValueError(f"{name} records ids of another notebook: {taken}.")
    sources = " and ".join(entry["name"] for entry in made["data"])
    for id, result in made["results"].items():
        results[id] = {**result, "data": sources, "notebook": name}
    nbformat.validate(notebook)
    nbformat.write(notebook, path)
    text = json.dumps(dict(sorted(results.items())), indent=1, ensure_ascii=False)
    RESULTS.write_text(text + "\n", "utf-8")


def progress(path: Path, cell: int, cells: int, started: float) -> None:
    """Show which cell is running, on one line that is written over."""
    if sys.stderr.isatty():
        bar = "█" * (20 * cell // cells)
        clock = time.strftime("%M:%S", time.gmtime(time.perf_counter() - started))
        line = f"\r{path.name:28.28} {bar:20} cell {cell}/{cells} {clock} "
        print(line, end="", file=sys.stderr, flush=True)


def main() -> int:
    """Run the notebooks named on the command line; 1 if one of them failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("notebooks", nargs="*", type=Path, metavar="NOTEBOOK")
    parser.add_argument("--scale", choices=("full", "quick"), default="full")
    arguments = parser.parse_args()
    paths = [path.resolve() for path in arguments.notebooks] or course_notebooks()
    failed = 0
    for path in paths:
        try:
            notebook = execute(path, arguments.scale)
        except CellExecutionError as error:
            print(f"\n{path.name} failed, and is left as it was:\n{error}")
            failed += 1
            continue
        made = notebook.metadata["sslkit"]
        reasons = complaints(notebook, arguments.scale)
        verdict = "not stored: " + "; ".join(reasons) if reasons else "passed"
        if arguments.scale == "full" and not reasons:
            store(path, notebook)
            verdict = "stored"
        failed += bool(reasons)
        peak = f", peak {made['peak_mb']} MB" if made["peak_mb"] else ""
        print(f"\r{path.name}: {verdict} ({made['wall_s']} s{peak})", flush=True)
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
