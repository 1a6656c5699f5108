"""Notebooks that run away from the course: on Colab, or from a download.

    python _ext/launch.py refresh         # the first code cell of every notebook
    python _ext/launch.py stamp FOLDER    # copies that know where the package is

Every notebook begins with the same code cell, which installs the package of the course
where it is missing. Whence is empty in the repository itself, and is filled in
(stamped) in the copies that readers get: those in the book, behind its download
buttons, and those in the branch `colab`, behind its Colab buttons.

The address is that of the git remote `origin`, or the one in the environment variable
`SSLKIT_REPOSITORY`; empty, the variable says that there is none. Without an address
the book has no button that would lead nowhere. As an extension of the book this module
sets the buttons and writes the copies. It needs nothing but Python, so that stamping
needs no environment.
"""

import argparse
import ipaddress
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.config import Config

ROOT = Path(__file__).resolve().parent.parent

VARIABLE = "SSLKIT_REPOSITORY"
COLAB = "https://colab.research.google.com"
BRANCH = "colab"
"""Branch with the stamped notebooks, which `publish.yml` pushes."""

BARE = {"github.com", "gitlab.com", "codeberg.org"}
"""Hosts that answer to git without the ending `.git`, as their pages do."""

TAG = "bootstrap"
EMPTY = 'repository, version = "", ""'
CELL = f"""\
import importlib.metadata as have, importlib.util, pathlib, subprocess, sys, tempfile
{EMPTY}  # of the package of this course
if missing := importlib.util.find_spec("sslkit") is None:  # as on Colab
    assert repository, 'sslkit is missing: type %pip install "sslkit @ git+https://..."'
    keep = pathlib.Path(tempfile.mkdtemp(), "keep.txt")  # what pip must not replace
    names = {{found.name for found in have.distributions() if found.name}}
    keep.write_text("\\n".join(f"{{name}}=={{have.version(name)}}" for name in names))
    pip = f'-m pip install -c "{{keep}}" "git+{{repository}}@{{version}}"'
    failed, told = subprocess.getstatusoutput(f'"{{sys.executable}}" {{pip}}')
    assert not failed, told
if missing or "google.colab" in sys.modules:
    no_gpu, gpu = subprocess.getstatusoutput("nvidia-smi -L")
    hint = "no GPU (Runtime > Change runtime type offers one)"
    print(f"sslkit {{have.version('sslkit')}};", hint if no_gpu else gpu)"""
"""Source of the first code cell.

What is installed is written into a file of constraints first, so that pip refuses
rather than replaces. `have.version` is the version that Python imports where two are
installed, as on Colab, where packages of the system lie below those of Python.
"""

Notebook = dict[str, Any]

# --- where the package is ---------------------------------------------------------


def git(*arguments: str) -> str | None:
    """Answer of git about the repository of this file, None if there is none."""
    if not (ROOT / ".git").exists():  # Else git would look in the folders above.
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True
        )
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def web_address(remote: str) -> str | None:
    """Turn the address of a remote into https, without user names and tokens.

    Args:
        remote: As git takes it: `git@host:org/repo.git`, `ssh://...`, `https://...`.

    Returns:
        The address, or None for folders and for what is no address.
    """
    if short := re.fullmatch(r"(?:[^/:]+@)?([^/:@]+):(?!//)/?(.+)", remote):
        remote = "ssh://{}/{}".format(*short.groups())
    try:
        parts = urlsplit(remote)
        port = parts.port if parts.scheme in ("http", "https") else None
    except ValueError:  # A port that is no number.
        return None
    path = parts.path.strip("/")
    if parts.hostname in BARE:
        path = path.removesuffix(".git")
    if parts.scheme not in ("http", "https", "ssh", "git") or not parts.hostname:
        return None
    if not path or not re.fullmatch(r"[\w.-]+", parts.hostname):
        return None
    return f"https://{parts.hostname}{f':{port}' if port else ''}/{path}"


def is_public(address: str) -> bool:
    """Whether readers elsewhere may reach the host, as far as its name tells."""
    host = urlsplit(address).hostname or ""
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        ends = r"\.(local|localhost|localdomain|internal|intranet|lan|home\.arpa|test)"
        return "." in host and not re.search(f"{ends}$", host)


def address() -> str | None:
    """Address from which the package can be installed, None if there is none.

    Raises:
        ValueError: If `SSLKIT_REPOSITORY` is neither an address nor a folder.
    """
    told = os.environ.get(VARIABLE)
    if told is None:
        # Not `git remote get-url`, which answers with the user's own abbreviations
        # (`insteadOf`) put in.
        found = web_address(git("config", "--get", "remote.origin.url") or "")
        return found if found and is_public(found) else None
    if not told or told.startswith("file://"):
        return told or None
    if Path(told).is_dir():
        return Path(told).resolve().as_uri()
    if found := web_address(told):
        return found
    raise ValueError(
        f"{VARIABLE} = {told!r} is no address: give one such as "
        "https://github.com/ORG/REPO, a folder, or nothing for no address."
    )


def version() -> str:
    """Commit that the notebooks are of, or else the tag of the package's version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return git("rev-parse", "--verify", "HEAD") or f"v{project['version']}"


# --- the cell in the notebooks ----------------------------------------------------


def notebooks(root: Path) -> list[Path]:
    """All notebooks of the course, the template included, in a stable order."""
    return sorted(
        path
        for path in (root / "chapters").rglob("*.ipynb")
        if ".ipynb_checkpoints" not in path.parts
    )


def tagged(cell: Notebook) -> bool:
    """Whether this is the cell that installs the package."""
    return TAG in cell["metadata"].get("tags", [])


def counted_on(cell: Notebook) -> Notebook:
    """Add one to the count of a cell and of its outputs, where they have one."""
    counted = dict(cell)
    if cell.get("execution_count"):
        counted["execution_count"] += 1
    if "outputs" in cell:
        counted["outputs"] = [counted_on(output) for output in cell["outputs"]]
    return counted


def refreshed(notebook: Notebook) -> Notebook:
    """Put the cell below the title, and let the counts of executions go on.

    Args:
        notebook: As JSON, with the cell or without. It is not changed.

    Returns:
        A notebook that differs in this cell, and in the counts if it had none.
    """
    cells = list(notebook["cells"])
    old = next((cell for cell in cells if tagged(cell)), None)
    rest = [cell for cell in cells if not tagged(cell)]
    counts = [cell["execution_count"] for cell in rest if "execution_count" in cell]
    new = {
        "cell_type": "code",
        "execution_count": old["execution_count"] if old else None,
        "id": TAG,
        # The book does not show it: there is nothing in it to read.
        "metadata": {"tags": [TAG, "remove-cell"]},
        "outputs": [],
        "source": CELL.splitlines(keepends=True),
    }
    if old is None and counts and counts[0]:
        new["execution_count"] = counts[0]
        rest = [counted_on(cell) for cell in rest]
    return {**notebook, "cells": [*rest[:1], new, *rest[1:]]}


def stamped(notebook: Notebook, repository: str | None, version: str) -> Notebook:
    """Fill the address into the cell of a notebook; without one it stays empty."""
    copy = refreshed(notebook)
    if repository is None:
        return copy
    told = f"repository, version = {json.dumps(repository)}, {json.dumps(version)}"
    cell = next(cell for cell in copy["cells"] if tagged(cell))
    cell["source"] = [line.replace(EMPTY, told) for line in cell["source"]]
    return copy


def read(path: Path) -> Notebook:
    notebook: Notebook = json.loads(path.read_text("utf-8"))
    return notebook


def write(notebook: Notebook, path: Path) -> None:
    """Write a notebook as nbformat does, so that nothing else differs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(notebook, indent=1, ensure_ascii=False)
    path.write_text(text + "\n", "utf-8", newline="\n")


def refresh(root: Path) -> list[Path]:
    """Bring the cell of all notebooks up to date, and say which have changed."""
    changed = []
    for path in notebooks(root):
        before = read(path)
        if (after := refreshed(before)) != before:
            write(after, path)
            changed.append(path)
    return changed


def stamp(folder: Path, root: Path) -> Iterator[Path]:
    """Write stamped copies of all notebooks below a folder, by the same paths."""
    repository, commit = address(), version()
    for path in notebooks(root):
        target = folder / path.relative_to(root)
        write(stamped(read(path), repository, commit), target)
        yield target


# --- the book ---------------------------------------------------------------------

SOURCE_BUTTON = ("download-source-button", ".ipynb")
"""How the theme calls the button that gives the source of a notebook."""


def set_buttons(app: "Sphinx", config: "Config") -> None:
    """Let the theme have those buttons that lead somewhere."""
    told = address()
    if told is None or not told.startswith("https:"):
        return
    page = told.removesuffix(".git")
    if re.fullmatch(r"https://github\.com/[^/]+/[^/]+", page):
        config.html_theme_options |= {
            "repository_url": page,
            "repository_branch": BRANCH,
            "use_repository_button": True,
            "use_source_button": True,
            "use_issues_button": True,
            "launch_buttons": {"colab_url": COLAB},
        }
    else:
        config.html_context["repository_page"] = page


def point_buttons(
    app: "Sphinx", pagename: str, template: str, context: dict[str, Any], doctree: Any
) -> None:
    """Let the download button give the stamped notebook, and add the repository's."""
    buttons = context["header_buttons"]
    for button in (one for group in buttons for one in group.get("buttons", [])):
        if (button.get("label"), button["text"]) == SOURCE_BUTTON:
            url = context["pathto"](f"notebooks/{pagename}.ipynb", 1)
            # The template writes `href="{{ url }}"` and takes no other attribute.
            # Without `download` some browsers show the file as text; pages that are
            # opened from a folder may do so all the same.
            button["url"] = f'{url}" download="{pagename.rpartition("/")[2]}.ipynb'
            button["tooltip"] = "Download notebook"
    if page := context.get("repository_page"):
        # The theme's own knows three hosts and refuses all others.
        buttons.append(
            {
                "type": "link",
                "url": page,
                "tooltip": "Source repository",
                "icon": "fab fa-git-alt",
                "label": "source-repository-button",
            }
        )


def write_copies(app: "Sphinx", exception: Exception | None) -> None:
    """Put stamped notebooks into the book, in place of Sphinx's plain copies."""
    if exception is None and app.builder.format == "html":
        folder = Path(app.outdir)
        for path in stamp(folder / "notebooks", Path(app.srcdir)):
            name = path.relative_to(folder / "notebooks")
            (folder / "_sources" / name).unlink(missing_ok=True)


def setup(app: "Sphinx") -> dict[str, Any]:
    app.connect("config-inited", set_buttons)
    # After the theme, which puts its buttons in with priority 501.
    app.connect("html-page-context", point_buttons, priority=600)
    app.connect("build-finished", write_copies)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("refresh", help="update the first code cell of all notebooks")
    copies = commands.add_parser("stamp", help="write copies that know the address")
    copies.add_argument("folder", type=Path)
    told = parser.parse_args()
    if told.command == "refresh":
        paths: Iterable[Path] = refresh(ROOT)
    else:
        paths = stamp(told.folder, ROOT)
    for path in paths:
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
