"""The first cell of every notebook, where it is to run, and what leads there.

Tests with the marker `colab` (`make test-colab`) need the network and Python 3.12. They
make an environment with the versions that Colab has, in `.venv-colab`, and run every
notebook in it as a reader on Colab would.
"""

import html
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from types import SimpleNamespace

import nbclient
import nbformat
import pytest
import yaml

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "_ext"))

import launch  # noqa: E402

NOTEBOOKS = launch.notebooks(ROOT)
GITHUB = "https://github.com/org/repo"
GIT = shutil.which("git")
needs_git = pytest.mark.skipif(not GIT, reason="no git")


def git(folder, *arguments):
    names = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    done = subprocess.run(
        [GIT, "-C", str(folder), *names, *arguments],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A course in a repository of its own, without a remote."""
    monkeypatch.delenv(launch.VARIABLE, raising=False)
    root = tmp_path / "course"
    (root / "chapters" / "part").mkdir(parents=True)
    (root / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    monkeypatch.setattr(launch, "ROOT", root)
    git(root, "init", "-q")
    return root


# --- the address ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("remote", "address"),
    [
        ("https://github.com/org/repo", "https://github.com/org/repo"),
        ("https://github.com/org/repo.git", "https://github.com/org/repo"),
        ("https://ada:s3cret@github.com/org/repo/", "https://github.com/org/repo"),
        ("https://ghp_token@github.com/org/repo", "https://github.com/org/repo"),
        ("git@github.com:org/repo.git", "https://github.com/org/repo"),
        ("github.com:org/repo", "https://github.com/org/repo"),
        ("ssh://git@codeberg.org:22/org/repo", "https://codeberg.org/org/repo"),
        ("git://git.example.org/a/b/c.git", "https://git.example.org/a/b/c.git"),
        ("https://git.example.org:8443/c", "https://git.example.org:8443/c"),
        ("https://140.82.121.3/org/repo", "https://140.82.121.3/org/repo"),
        ("/srv/git/course.git", None),
        ("../course", None),
        ("C:/Users/ada/course", None),
        (r"C:\Users\ada\course", None),
        ("file:///srv/git/course.git", None),
        ("git@work:org/repo.git", None),
        ("https://localhost/org/repo", None),
        ("https://git.campus.internal/org/repo", None),
        ("https://192.168.1.7/org/repo", None),
        ("https://127.0.0.1:8000/org/repo", None),
        ("https://github.com", None),
        ("https://github.com:x/org/repo", None),
        ("https://a b.org/repo", None),
        ("ftp://example.org/repo", None),
    ],
)
@needs_git
def test_address_of_a_remote_is_public_and_tells_no_secret(repository, remote, address):
    git(repository, "remote", "add", "origin", remote)
    assert launch.address() == address


@needs_git
def test_address_is_that_of_the_remote_and_not_an_abbreviation_for_it(repository):
    git(repository, "remote", "add", "origin", "https://github.com/org/repo")
    git(
        repository, "config", "url.https://mirror.org/.insteadOf", "https://github.com/"
    )
    assert launch.address() == "https://github.com/org/repo"


@needs_git
def test_variable_is_stronger_than_the_remote(repository, monkeypatch):
    git(repository, "remote", "add", "origin", "https://github.com/org/repo")
    for told, address in [
        ("https://gitlab.com/a/b", "https://gitlab.com/a/b"),
        ("https://git.campus.internal/a", "https://git.campus.internal/a"),
        ("git@github.com:me/fork.git", "https://github.com/me/fork"),
        ("file:///srv/course.git", "file:///srv/course.git"),
        (str(repository), repository.resolve().as_uri()),
        ("", None),
    ]:
        monkeypatch.setenv(launch.VARIABLE, told)
        assert launch.address() == address


@pytest.mark.parametrize("told", ["course", "/no/such/folder", "https://", "x://y/z"])
def test_variable_that_is_no_address_is_refused(repository, monkeypatch, told):
    monkeypatch.setenv(launch.VARIABLE, told)
    with pytest.raises(ValueError, match=r"SSLKIT_REPOSITORY = .* give one such as"):
        launch.address()


@needs_git
def test_version_is_the_commit(repository):
    assert launch.version() == "v1.2.3"  # nothing is committed yet
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "one")
    assert launch.version() == git(repository, "rev-parse", "HEAD")


@needs_git
def test_a_repository_around_the_course_is_not_the_course(repository, monkeypatch):
    inner = repository / "unpacked"
    inner.mkdir()
    shutil.copy(repository / "pyproject.toml", inner)
    git(repository, "remote", "add", "origin", "https://github.com/other/thing")
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "one")
    monkeypatch.setattr(launch, "ROOT", inner)
    assert (launch.address(), launch.version()) == (None, "v1.2.3")


def test_without_git_there_is_no_address(repository, monkeypatch):
    def missing(*_, **__):
        raise FileNotFoundError("git")

    monkeypatch.setattr(launch.subprocess, "run", missing)
    assert (launch.address(), launch.version()) == (None, "v1.2.3")


# --- putting the cell in ----------------------------------------------------------


def small_notebook(executed=True):
    """A title, a cell with a result, text, and a cell that prints."""
    v4 = nbformat.v4
    result = v4.new_output("execute_result", {"text/plain": "2"}, execution_count=1)
    printed = v4.new_output("stream", name="stdout", text="é")
    cells = [
        v4.new_markdown_cell("# Title", id="a"),
        v4.new_code_cell("1 + 1", id="b", execution_count=1, outputs=[result]),
        v4.new_markdown_cell("Text.", id="c"),
        v4.new_code_cell("print('é')", id="d", execution_count=2, outputs=[printed]),
    ]
    if not executed:
        for cell in (cells[1], cells[3]):
            cell.update(outputs=[], execution_count=None)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    language = {"name": "python"}
    return v4.new_notebook(
        cells=cells, metadata={"kernelspec": kernel, "language_info": language}
    )


@pytest.fixture
def course(repository):
    """Return a function that writes the small notebook as nbformat does."""
    path = repository / "chapters" / "part" / "one.ipynb"

    def write(notebook):
        nbformat.write(notebook, path)
        return path

    return write


def test_cell_is_put_below_the_title_and_counts_go_on(course, repository):
    path = course(small_notebook())
    assert launch.refresh(repository) == [path]
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert [cell.id for cell in notebook.cells] == ["a", "bootstrap", "b", "c", "d"]
    assert notebook.cells[1].source == launch.CELL
    counts = [c.execution_count for c in notebook.cells if c.cell_type == "code"]
    assert counts == [1, 2, 3]
    assert notebook.cells[2].outputs[0].execution_count == 2
    text = path.read_bytes()
    nbformat.write(notebook, path)
    assert path.read_bytes() == text  # no other formatting than nbformat's
    # A second time there is nothing to do.
    assert launch.refresh(repository) == []
    assert path.read_bytes() == text


def test_old_or_moved_cell_is_mended_and_nothing_else_changes(course, repository):
    path = course(small_notebook())
    launch.refresh(repository)
    wanted = path.read_bytes()
    notebook = nbformat.read(path, as_version=4)
    cell = notebook.cells.pop(1)
    cell.source = "import sslkit"
    notebook.cells.insert(3, cell)
    course(notebook)
    assert launch.refresh(repository) == [path]
    assert path.read_bytes() == wanted


def test_notebook_that_was_not_executed_has_no_counts(course, repository):
    path = course(small_notebook(executed=False))
    launch.refresh(repository)
    cells = nbformat.read(path, as_version=4).cells
    assert {c.execution_count for c in cells if c.cell_type == "code"} == {None}


def test_cell_is_short_and_stays_out_of_the_book():
    lines = launch.CELL.splitlines()
    assert len(lines) <= 14 and max(map(len, lines)) <= 88
    assert launch.CELL.count(launch.EMPTY) == 1
    cell = launch.refreshed(small_notebook())["cells"][1]
    assert cell["metadata"]["tags"] == ["bootstrap", "remove-cell"]


# --- stamping ---------------------------------------------------------------------


def told_in(notebook):
    """Evaluate the line of the cell that says where the package is."""
    (cell,) = [cell for cell in notebook["cells"] if launch.tagged(cell)]
    (line,) = [line for line in cell["source"] if line.startswith("repository")]
    names = {}
    exec(line, names)
    return names["repository"], names["version"]


def test_stamp_fills_in_copies_and_leaves_the_originals(
    course, repository, tmp_path, monkeypatch, capsys
):
    path = course(small_notebook())
    before = path.read_bytes()
    monkeypatch.setenv(launch.VARIABLE, "git@github.com:org/repo.git")
    target = tmp_path / "copies"
    monkeypatch.setattr(sys, "argv", ["launch.py", "stamp", str(target)])
    assert launch.main() == 0
    copy = target / "chapters" / "part" / "one.ipynb"
    assert capsys.readouterr().out == f"{copy}\n"
    assert path.read_bytes() == before
    notebook = json.loads(copy.read_text("utf-8"))
    nbformat.validate(nbformat.from_dict(notebook))
    assert told_in(notebook) == ("https://github.com/org/repo", "v1.2.3")
    assert [cell["id"] for cell in notebook["cells"]] == list("a") + ["bootstrap"] + [
        *"bcd"
    ]


def test_stamp_without_an_address_leaves_the_line_empty():
    assert told_in(launch.stamped(small_notebook(), None, "v1")) == ("", "")


def test_stamp_survives_odd_characters():
    odd = 'file:///srv/Ada\'s "git"/é'
    assert told_in(launch.stamped(small_notebook(), odd, "v1")) == (odd, "v1")


# --- what the cell does, without a network ----------------------------------------


@pytest.fixture
def run_cell(monkeypatch, capsys):
    """Return a function that runs the cell with a pretended machine.

    It gives what was printed, the commands, and the constraints that pip was given.
    """

    def run(missing, source=launch.CELL, gpu=None, pip=(0, ""), colab=False):
        asked, constraints = [], []

        def shell(command):
            asked.append(command)
            if "pip" in command:
                file = re.search(r'-c "([^"]+)"', command)[1]
                constraints.extend(Path(file).read_text().splitlines())
                return pip
            return (0, gpu) if gpu else (127, "nvidia-smi: not found")

        find = importlib.util.find_spec
        with monkeypatch.context() as patch:
            patch.setattr(subprocess, "getstatusoutput", shell)
            patch.setattr(
                importlib.util,
                "find_spec",
                lambda name: None if missing and name == "sslkit" else find(name),
            )
            if colab:
                patch.setitem(sys.modules, "google.colab", sys)
            exec(source, {})
        return capsys.readouterr().out, asked, constraints

    return run


def stamped_source(address="https://github.com/org/repo", version="abc"):
    notebook = launch.stamped(small_notebook(), address, version)
    return "".join(notebook["cells"][1]["source"])


def test_cell_does_nothing_where_the_package_is_installed(run_cell):
    assert run_cell(missing=False) == ("", [], [])
    assert run_cell(missing=False, source=stamped_source()) == ("", [], [])


def test_cell_asks_pip_for_this_version_and_to_keep_all_others(run_cell):
    printed, asked, constraints = run_cell(missing=True, source=stamped_source())
    assert asked[0].startswith(f'"{sys.executable}" -m pip install -c ')
    assert asked[0].endswith('"git+https://github.com/org/repo@abc"')
    assert asked[1:] == ["nvidia-smi -L"]
    assert printed.startswith("sslkit 0") and printed.count("\n") == 1
    assert "no GPU" in printed and "Change runtime type" in printed
    kept = dict(line.split("==") for line in constraints)
    # Which asks pip. Other tests may have imported what setuptools brings for itself,
    # which is then found, too.
    assert installed(sys.executable).items() <= normalised(kept).items()


def test_cell_names_the_gpu(run_cell):
    gpu = "GPU 0: Tesla T4 (UUID: GPU-1)"
    printed, _, _ = run_cell(missing=True, source=stamped_source(), gpu=gpu)
    assert printed.endswith(f"; {gpu}\n")


def test_on_colab_the_cell_speaks_of_the_gpu_even_where_nothing_is_missing(run_cell):
    printed, asked, _ = run_cell(missing=False, colab=True)
    assert asked == ["nvidia-smi -L"]
    assert printed.startswith("sslkit ") and "no GPU" in printed


def test_cell_without_an_address_says_what_to_type(run_cell):
    with pytest.raises(AssertionError, match="type %pip install .sslkit @ git"):
        run_cell(missing=True)


def test_what_pip_complains_of_is_shown(run_cell):
    with pytest.raises(AssertionError, match="no such keras"):
        run_cell(missing=True, source=stamped_source(), pip=(1, "no such keras"))


def test_of_two_installed_versions_the_one_that_is_imported_is_kept(
    run_cell, tmp_path, monkeypatch
):
    """Debian's packages lie below those of Python, on Colab for one."""
    pretend(tmp_path, "pytest", "0.1")
    pretend(tmp_path, "Thing", "1.0")
    (tmp_path / "broken-1.0.dist-info").mkdir()  # left by an interrupted pip
    monkeypatch.syspath_prepend(tmp_path)
    sys.path.append(sys.path.pop(0))
    try:
        _, _, constraints = run_cell(missing=True, source=stamped_source())
    finally:
        sys.path.remove(str(tmp_path))
    assert f"pytest=={importlib.metadata.version('pytest')}" in constraints
    assert "pytest==0.1" not in constraints and "Thing==1.0" in constraints
    assert not any(line.startswith("None") for line in constraints)


def pretend(folder, name, version):
    """Make a package look installed."""
    place = folder / f"{name}-{version}.dist-info"
    place.mkdir(parents=True)
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    (place / "METADATA").write_text(metadata)
    (place / "INSTALLER").write_text("pip\n")
    (place / "RECORD").write_text(f"{place.name}/METADATA,,\n")


def normalised(versions):
    return {re.sub(r"[-_.]+", "-", name).lower(): v for name, v in versions.items()}


# --- what the cell does, with pip itself, without a network -----------------------

BACKEND = """
import zipfile
from pathlib import Path

def build_wheel(folder, config_settings=None, metadata_directory=None):
    write(folder, "sslkit", "9.9", ["held>=1", "extra"])
    return "sslkit-9.9-py3-none-any.whl"

def write(folder, name, version, needs=()):
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n"
    metadata += "".join(f"Requires-Dist: {need}\\n" for need in needs)
    wheel = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
    files = {f"{name}/__init__.py": "", f"{info}/METADATA": metadata,
             f"{info}/WHEEL": wheel, f"{info}/RECORD": ""}
    target = Path(folder) / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(target, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
"""
"""A package `sslkit` that needs two others, made without any tool to be fetched."""

PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""


@pytest.fixture
def small_machine(tmp_path, repository):
    """A machine with `held`; pip finds `extra` and a newer `held`, and no network.

    Returns a function that runs the cell there with a version of `held`, and gives the
    finished process and what is installed then.
    """
    (repository / "pyproject.toml").write_text(PROJECT)
    (repository / "backend.py").write_text(BACKEND)
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "one")
    names = {}
    exec(BACKEND, names)
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    names["write"](wheels, "extra", "1.0")
    names["write"](wheels, "held", "2.0")
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "PYTHON"))},
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheels),
    }
    folder = tmp_path / "machine"
    venv.create(folder, with_pip=True)

    def run(held):
        (site,) = folder.rglob("site-packages")
        for old in site.glob("held-*"):
            shutil.rmtree(old)
        pretend(site, "held", held)
        commit = git(repository, "rev-parse", "HEAD")
        source = stamped_source(repository.as_uri(), commit)
        # No new process, no new kernel: the package is there at once.
        source += "\nimport extra, sslkit"
        done = subprocess.run(
            [python_of(folder), "-c", source],
            capture_output=True,
            text=True,
            env=environment,
            cwd=tmp_path,
        )
        return done, installed(python_of(folder))

    return run


def python_of(folder):
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def installed(python):
    """What is installed in an environment, names normalised, told by its pip."""
    listed = subprocess.run(
        [python, "-m", "pip", "list", "--format=json", "--disable-pip-version-check"],
        capture_output=True,
        text=True,
        check=True,
    )
    entries = json.loads(listed.stdout)
    return normalised({entry["name"]: entry["version"] for entry in entries})


@needs_git
def test_pip_adds_what_is_missing_and_refuses_rather_than_replaces(small_machine):
    done, versions = small_machine(held="0.5")
    assert done.returncode != 0
    assert "AssertionError" in done.stderr and "held" in done.stderr
    assert versions["held"] == "0.5"
    assert not {"sslkit", "extra"} & set(versions)

    done, versions = small_machine(held="1.5")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("sslkit 9.9; ") and done.stdout.count("\n") == 1
    assert versions["held"] == "1.5"
    assert (versions["sslkit"], versions["extra"]) == ("9.9", "1.0")


# --- the buttons of the book ------------------------------------------------------

CONF = """
import sys
sys.path.insert(0, "_ext")
extensions = ["myst_nb", "sphinx_book_theme", "launch"]
html_theme = "sphinx_book_theme"
html_title = "Small"
nb_execution_mode = "off"
"""


@pytest.fixture
def build(tmp_path, repository):
    """Return a function that makes a book of a notebook and a page.

    It gives the folder and the links among the buttons of both.
    """
    pytest.importorskip("sphinx_book_theme")
    root = repository
    nbformat.write(small_notebook(), root / "chapters" / "part" / "one.ipynb")
    (root / "chapters" / "page.md").write_text("# Page\n")
    contents = "# Small\n\n```{toctree}\nchapters/page\nchapters/part/one\n```\n"
    (root / "index.md").write_text(contents)
    (root / "conf.py").write_text(CONF)
    (root / "_ext").mkdir()
    shutil.copy(launch.__file__, root / "_ext")

    def make(told=None, remote=None):
        if remote:
            git(root, "remote", "add", "origin", remote)
        variable = {} if told is None else {launch.VARIABLE: told}
        done = subprocess.run(
            [sys.executable, "-m", "sphinx", "-W", "-q", ".", str(tmp_path / "html")],
            cwd=root,
            env={**os.environ, **variable},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return tmp_path / "html", *(
            buttons((tmp_path / "html" / "chapters" / name).read_text("utf-8"))
            for name in ("part/one.html", "page.html")
        )

    return make


def buttons(page):
    """Links among the buttons at the top of a page, by their tips."""
    head = page.partition('class="article-header-buttons"')[2].partition("<article")[0]
    links = re.findall(r'<a href="([^"]+)"[^>]*?title="([^"]+)"', head)
    return {tip: html.unescape(link) for link, tip in links}


DOWNLOAD = {"Download notebook": "../../notebooks/chapters/part/one.ipynb"}
SOURCE = {"Download source file": "../_sources/chapters/page.md"}


@needs_git
def test_without_an_address_a_page_only_offers_a_download(build):
    folder, notebook, page = build()
    assert (notebook, page) == (DOWNLOAD, SOURCE)
    for file in folder.rglob("*.html"):
        text = file.read_text("utf-8")
        assert "colab" not in text and "github.com/org" not in text


@needs_git
def test_on_github_there_are_colab_source_and_issues(build):
    folder, notebook, page = build(remote="git@github.com:org/repo.git")
    assert notebook == {
        **DOWNLOAD,
        "Launch on Colab": "https://colab.research.google.com/github/org/repo/blob/"
        "colab/chapters/part/one.ipynb",
        "Source repository": GITHUB,
        "Show source": f"{GITHUB}/blob/colab/chapters/part/one.ipynb?plain=1",
        "Open an issue": f"{GITHUB}/issues/new?title=Issue%20on%20page%20%2Fchapters/"
        "part/one.html&body=Your%20issue%20content%20here.",
    }
    assert "Launch on Colab" not in page
    assert page["Show source"] == f"{GITHUB}/blob/colab/chapters/page.md?plain=1"
    # The download is the stamped notebook, and no other copy is there.
    (copy,) = folder.rglob("*.ipynb")
    target = folder / "chapters" / "part" / notebook["Download notebook"]
    assert target.resolve() == copy
    assert told_in(json.loads(copy.read_text("utf-8"))) == (GITHUB, "v1.2.3")
    html_page = (folder / "chapters/part/one.html").read_text("utf-8")
    assert 'one.ipynb" download="one.ipynb"' in html_page
    assert "find_spec" not in html_page  # the page does not show the cell


@needs_git
def test_elsewhere_there_is_a_link_to_the_repository(build):
    _, notebook, page = build("https://git.example.org/a/b.git")
    repository = {"Source repository": "https://git.example.org/a/b"}
    assert (notebook, page) == (DOWNLOAD | repository, SOURCE | repository)


@pytest.mark.parametrize(
    ("told", "options", "context"),
    [
        ("", {}, {}),
        ("file:///srv/course.git", {}, {}),
        ("https://github.com/org", {}, {"repository_page": "https://github.com/org"}),
        (
            "https://github.com.evil.org/org/repo",
            {},
            {"repository_page": "https://github.com.evil.org/org/repo"},
        ),
    ],
)
def test_only_repositories_on_github_have_its_buttons(
    monkeypatch, told, options, context
):
    monkeypatch.setenv(launch.VARIABLE, told)
    config = SimpleNamespace(html_theme_options={}, html_context={})
    launch.set_buttons(None, config)
    assert (config.html_theme_options, config.html_context) == (options, context)


# --- the branch that Colab reads ---------------------------------------------------


@needs_git
def test_publishing_pushes_stamped_notebooks_as_one_commit(course, repository):
    """The commands of the workflow, with a bare repository for the server."""
    course(small_notebook())
    (repository / "_ext").mkdir()
    shutil.copy(launch.__file__, repository / "_ext")
    workflows = repository / ".github" / "workflows"
    workflows.mkdir(parents=True)
    shutil.copy(ROOT / ".github" / "workflows" / "publish.yml", workflows)
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "one")
    server = repository.parent / "server.git"
    git(repository, "clone", "-q", "--bare", ".", str(server))
    told = yaml.safe_load((workflows / "publish.yml").read_text("utf-8"))
    jobs = told["jobs"]
    writers = [n for n, job in jobs.items() if "contents" in job.get("permissions", {})]
    assert writers == ["colab"] and told["permissions"]["contents"] == "read"
    assert "colab" in jobs["deploy"]["needs"]  # no button before there is a notebook
    commands = jobs["colab"]["steps"][-1]["run"]
    for number in range(2):  # the second time over the first
        checkout = repository.parent / str(number) / "course"
        git(repository, "clone", "-q", "--depth=1", server.as_uri(), str(checkout))
        subprocess.run(
            ["bash", "-e", "-c", commands],
            cwd=checkout,
            check=True,
            capture_output=True,
            env={**os.environ, "GITHUB_SHA": "abc", launch.VARIABLE: GITHUB},
        )
    assert git(server, "rev-list", "--count", launch.BRANCH) == "1"
    files = git(server, "ls-tree", "-r", "--name-only", launch.BRANCH).split()
    assert files == ["_ext/launch.py", "chapters/part/one.ipynb", "pyproject.toml"]
    copy = json.loads(git(server, "show", f"{launch.BRANCH}:chapters/part/one.ipynb"))
    assert told_in(copy) == (GITHUB, git(repository, "rev-parse", "HEAD"))


# --- on Colab, as far as its versions make it -------------------------------------

COLAB = ROOT / ".venv-colab"
RECORDED = ROOT / "tests" / "colab-constraints.txt"


def recorded():
    lines = RECORDED.read_text("utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and line[0] != "#"]
    return normalised(dict(pairs))


def test_record_of_colab_names_everything_that_the_package_needs():
    needs = importlib.metadata.requires("sslkit") or []
    names = {re.match(r"[\w.-]+", need)[0] for need in needs if "extra ==" not in need}
    assert names <= set(recorded())


@pytest.fixture(scope="session")
def colab_python():
    """Python of an environment with exactly the recorded versions."""
    python = shutil.which("python3.12")
    # pyenv has a stand-in for every version, installed or not.
    if not python or subprocess.run([python, "-c", ""], capture_output=True).returncode:
        pytest.skip("no Python 3.12")
    target = python_of(COLAB)
    if not target.exists() or installed(target) != recorded():
        subprocess.run([python, "-m", "venv", "--clear", COLAB], check=True)
        pip = [target, "-m", "pip"]
        subprocess.run([*pip, "install", "-q", "-r", RECORDED], check=True)
        subprocess.run([*pip, "uninstall", "-q", "-y", "jedi"], check=True)
    assert installed(target) == recorded()
    return target


@pytest.fixture
def on_colab(colab_python, tmp_path, monkeypatch):
    """Return a function that runs a notebook there, and gives back its cells.

    What it installed is taken away again afterwards.
    """
    argv = [str(colab_python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel = {"argv": argv, "display_name": "Colab", "language": "python"}
    place = tmp_path / "kernels" / "colab"
    place.mkdir(parents=True)
    (place / "kernel.json").write_text(json.dumps(kernel))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    for variable in ("SSLKIT_DATA", "PYTHONPATH"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("SSLKIT_SCALE", "quick")
    monkeypatch.setenv("SSLKIT_CACHE", str(tmp_path / "cache"))
    content = tmp_path / "content"
    content.mkdir()

    def run(path):
        notebook = nbformat.read(path, as_version=4)
        nbclient.NotebookClient(
            notebook,
            kernel_name="colab",
            timeout=1200,
            resources={"metadata": {"path": str(content)}},
        ).execute()
        return notebook.cells

    yield run
    added = set(installed(colab_python)) - set(recorded())
    if added:
        pip = [colab_python, "-m", "pip", "uninstall", "-q", "-y"]
        subprocess.run([*pip, *added], check=True)


@pytest.fixture(scope="session")
def published(tmp_path_factory):
    """Address and commit of a bare copy of this repository, as a server has it."""
    folder = tmp_path_factory.mktemp("server") / "course.git"
    git(ROOT, "clone", "-q", "--bare", ".", str(folder))
    return folder.as_uri(), git(folder, "rev-parse", "HEAD")


@pytest.mark.colab
@pytest.mark.parametrize(
    "path", NOTEBOOKS, ids=lambda path: path.relative_to(ROOT / "chapters").as_posix()
)
def test_notebook_runs_on_colab(path, on_colab, colab_python, published, tmp_path):
    assert installed(colab_python) == recorded()
    copy = tmp_path / path.name
    launch.write(launch.stamped(launch.read(path), *published), copy)

    cells = on_colab(copy)  # raises the error of a cell that fails

    assert cells[1].source.startswith("import importlib")
    (told,) = cells[1].outputs
    assert re.fullmatch(r"sslkit [\d.]+; (no GPU|GPU 0).*\n", told.text)
    versions = installed(colab_python)
    assert versions | recorded() == versions  # nothing went and nothing changed
    assert set(versions) - set(recorded()) == {"sslkit", "jedi"}
    (origin,) = COLAB.rglob("sslkit-*.dist-info/direct_url.json")
    told = json.loads(origin.read_text())
    assert (told["url"], told["vcs_info"]["commit_id"]) == published
