"""The check of external addresses, on a server of our own: nothing foreign is asked.

`make links` asks the addresses of the book, and a workflow does so every week.
"""

import http.server
import json
import shlex
import sys
import threading
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "_ext"))

application = pytest.importorskip("sphinx.application")
docutils = pytest.importorskip("sphinx.util.docutils")

import links  # noqa: E402

SETTINGS = {
    name: value
    for name, value in yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))[
        "sphinx"
    ]["config"].items()
    if name.startswith("linkcheck_") or name == "user_agent"
}


class Answers(http.server.BaseHTTPRequestHandler):
    """Answers to an address with the number that it ends with."""

    def answer(self, code):
        self.server.asked.append((self.command, self.path, self.headers["User-Agent"]))
        self.send_response(code)
        self.end_headers()

    def do_GET(self):  # noqa: N802
        self.answer(200 if self.path == "/405" else int(self.path[1:]))

    def do_HEAD(self):  # noqa: N802
        self.answer(int(self.path[1:]))

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_what_is_gone_is_told_from_what_is_refused(server, tmp_path):
    home = f"http://127.0.0.1:{server.server_port}"
    codes = [200, 403, 404, 405, 410, 500]
    # Nothing has a name that ends with .invalid, whatever the network (RFC 2606).
    addresses = [*(f"{home}/{code}" for code in codes), "http://gone.invalid/"]
    source = tmp_path / "source"
    source.mkdir()
    (source / "conf.py").touch()
    (source / "index.rst").write_text(
        "A\n=\n\n"
        + "\n\n".join(
            f"`<{address}>`__ and again `b <{address}>`__" for address in addresses
        )
    )
    output = tmp_path / "output"
    with docutils.patch_docutils(), docutils.docutils_namespace():
        book = application.Sphinx(
            source,
            source,
            output,
            tmp_path / "trees",
            "linkcheck",
            confoverrides=SETTINGS,
            status=None,
            warning=None,
        )
        book.build()
    entries = links.read((output / "output.json").read_text("utf-8"))
    assert {entry["uri"] for entry in entries} == set(addresses)
    gone, unsure = links.judge(entries)
    assert [line.split(" (")[0] for line in gone] == [
        f"{home}/404",
        f"{home}/410",
        "http://gone.invalid/",
    ]
    assert [line.split(" (")[0] for line in unsure] == [f"{home}/403", f"{home}/500"]
    # Politely: only the head where that is enough, and by name.
    asked = [(method, path) for method, path, _ in server.asked]
    assert asked.count(("HEAD", "/200")) == 1 and ("GET", "/200") not in asked
    assert ("GET", "/405") in asked
    assert {agent for *_, agent in server.asked} == {SETTINGS["user_agent"]}


@pytest.mark.parametrize(
    ("status", "info", "verdict"),
    [
        ("working", "", (0, 0)),
        ("redirected", "https://example.org/new", (0, 0)),
        ("broken", "404 Client Error: Not Found for url: http://a", (1, 0)),
        ("broken", "410 Client Error: Gone for url: http://a", (1, 0)),
        ("broken", "NameResolutionError(\"Failed to resolve 'a'\")", (1, 0)),
        ("broken", "NameResolutionError('[Errno -3] Temporary failure')", (0, 1)),
        ("broken", "[Errno -2] Name or service not known", (1, 0)),
        ("broken", "403 Client Error: Forbidden for url: http://a/404 ", (0, 1)),
        ("broken", "429 Client Error: Too Many Requests", (0, 1)),
        ("timeout", "Read timed out.", (0, 1)),
    ],
)
def test_verdicts(status, info, verdict):
    entry = {"uri": "http://a", "status": status, "info": info, "filename": "b.md"}
    gone, unsure = links.judge([entry, entry])
    assert (len(gone), len(unsure)) == verdict
    assert gone + unsure == [f"http://a (b.md): {info}"] * sum(verdict)


def test_lines_are_in_order():
    entries = [
        {"uri": f"{i}", "status": "broken", "info": f"{code} Error", "filename": "b"}
        for i in range(9)
        for code in (404, 403)
    ]
    for lines in links.judge(entries):
        assert [line[0] for line in lines] == list("012345678")


def test_an_empty_list_is_no_good_news():
    with pytest.raises(ValueError, match="the build before has failed"):
        links.read('{"uri": "chapters/a.html", "status": "working", "info": ""}\n')


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """Put a script in the place of `jupyter-book`: it writes these lines, and fails."""
    output, python = tmp_path / "output.json", tmp_path / "bin" / "python"
    python.parent.mkdir()
    monkeypatch.setattr(links, "OUTPUT", output)
    monkeypatch.setattr(links.sys, "executable", str(python))

    def write(*answers):
        lines = "".join(
            json.dumps({"uri": uri, "status": "broken", "info": info, "filename": "b"})
            + "\n"
            for uri, info in answers
        )
        (tmp_path / "lines").write_text(lines)
        copy = f"cp {shlex.quote(str(tmp_path / 'lines'))} {shlex.quote(str(output))}"
        script = python.with_name("jupyter-book")
        command = f"echo $@ > {shlex.quote(str(tmp_path / 'said'))}"
        script.write_text(f"#!/bin/sh\n{command}\n{copy if lines else ''}\nexit 1\n")
        script.chmod(0o755)
        return tmp_path / "said"

    return write


def test_the_exit_status_tells_of_what_is_gone(asked, capsys):
    busy, gone = (
        ("http://busy", "429 Client Error"),
        ("http://gone", "404 Client Error"),
    )
    said = asked(busy, ("http://slow", "503 Server Error"), gone)
    assert links.main() == 1
    found = capsys.readouterr().out
    assert "3 addresses, 1 gone, 2 unsure" in found
    assert "unsure: http://busy (b): 429" in found
    assert "gone:   http://gone (b): 404" in found
    words = said.read_text().split()
    assert words[:2] == ["build", str(ROOT)]
    assert words[words.index("--builder") + 1] == "custom"
    assert words[words.index("--custom-builder") + 1] == "linkcheck"
    asked(busy)
    assert links.main() == 0


def test_answers_of_an_earlier_run_do_not_count(asked):
    asked(("http://a", "403 Client Error"))
    links.main()
    asked()
    with pytest.raises(FileNotFoundError, match="output.json"):
        links.main()


@pytest.mark.usefixtures("asked")
def test_an_environment_without_the_book_is_named():
    with pytest.raises(FileNotFoundError, match="jupyter-book is missing .*: make env"):
        links.main()
