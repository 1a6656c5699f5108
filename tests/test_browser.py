"""The rendered book in a browser: nothing foreign, nothing missing, nothing too wide.

Needs Chromium and a book in `_build/html` (`make book`), and is skipped without them.
"""

import contextlib
import functools
import http.server
import json
import shutil
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

import pytest

websocket = pytest.importorskip("websocket")

SITE = Path(__file__).parent.parent / "_build" / "html"
# Slides have a test of their own (test_slides.py).
PAGES = sorted(
    path.relative_to(SITE).as_posix()
    for path in SITE.rglob("*.html")
    if not {"_static", "slides"} & set(path.relative_to(SITE).parts[:-1])
)
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
    None,
)
VIEWS = [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")]
# Blocks of the page that hold more than they can show. Code, tables and formulas may
# scroll by themselves, a page may not.
TOO_WIDE = """
    [document.documentElement, ...document.querySelectorAll(
        ".bd-main, .bd-content, .bd-article-container, .bd-article")]
    .filter(block => block.scrollWidth > block.clientWidth)
    .map(block => `${block.className || block.tagName} ${block.scrollWidth}`)
    .join("; ")
"""
QUIET = [
    "--headless",
    "--no-sandbox",
    "--no-first-run",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
]

pytestmark = pytest.mark.skipif(
    not (PAGES and CHROMIUM), reason="no book in _build/html, or no Chromium"
)


class Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class Tab:
    """One tab of a browser, steered by the Chrome DevTools Protocol."""

    def __init__(self, port):
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/json/new", method="PUT"
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            address = json.load(answer)["webSocketDebuggerUrl"]
        self.socket = websocket.create_connection(
            address, timeout=30, suppress_origin=True
        )
        self.count, self.events = 0, []
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.ask(f"{domain}.enable")

    def receive(self):
        message = json.loads(self.socket.recv())
        if "method" in message:
            self.events.append((message["method"], message["params"]))
        return message

    def ask(self, method, **params):
        self.count += 1
        self.socket.send(
            json.dumps({"id": self.count, "method": method, "params": params})
        )
        while (message := self.receive()).get("id") != self.count:
            pass
        assert "error" not in message, message
        return message["result"]

    def run(self, script):
        answer = self.ask(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def becomes(self, condition, seconds=5):
        """Whether a condition holds by then."""
        deadline = time.monotonic() + seconds
        while not (holds := self.run(condition)) and time.monotonic() < deadline:
            time.sleep(0.02)
        return holds

    def open(self, address):
        # The empty page in between ends whatever the page before was still doing.
        for step in ("about:blank", address):
            self.events.clear()
            self.ask("Page.navigate", url=step)
            while not any(method == "Page.loadEventFired" for method, _ in self.events):
                self.receive()
        # Formulas and fonts arrive after the page.
        self.run("Promise.all([window.MathJax?.startup.promise, document.fonts.ready])")

    def look(self, width, scheme):
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=844,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        self.ask(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )

    def complaints(self, home):
        """What went wrong since the page was opened."""
        found = []
        for method, params in self.events:
            if method == "Network.requestWillBeSent":
                address = params["request"]["url"]
                if not address.startswith((home, "data:", "blob:")):
                    found.append(f"asks {address}")
            elif method == "Network.responseReceived":
                if params["response"]["status"] >= 400:
                    found.append(f"misses {params['response']['url']}")
            elif method == "Network.loadingFailed" and not params.get("canceled"):
                found.append(f"failed to load: {params['errorText']}")
            elif method == "Log.entryAdded":
                if params["entry"]["level"] in ("warning", "error"):
                    found.append(params["entry"]["text"])
            elif method == "Runtime.consoleAPICalled":
                if params["type"] in ("warning", "error", "assert"):
                    found.append(str(params["args"]))
            elif method == "Runtime.exceptionThrown":
                found.append(str(params["exceptionDetails"]))
        return found


@contextlib.contextmanager
def serve(folder):
    handler = functools.partial(Silent, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    profile = tmp_path_factory.mktemp("profile")
    command = [CHROMIUM, *QUIET, f"--user-data-dir={profile}", "about:blank"]
    browser = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    port = profile / "DevToolsActivePort"
    deadline = time.monotonic() + 30
    while not (port.exists() and port.read_text().strip()):
        assert time.monotonic() < deadline, "Chromium does not start"
        time.sleep(0.1)
    tab = Tab(port.read_text().split()[0])
    yield tab
    tab.socket.close()
    browser.terminate()
    browser.wait(timeout=20)


@pytest.fixture(scope="module")
def home():
    with serve(SITE) as address:
        yield address


def check(tab, home, page):
    """Open a page, look at it in every view, and list what is wrong with it."""
    tab.look(*VIEWS[0])
    tab.open(home + page)
    found = []
    for width, scheme in VIEWS:
        tab.look(width, scheme)
        if not tab.becomes(f"document.documentElement.dataset.theme == '{scheme}'"):
            found.append(f"does not turn {scheme}")
        too_wide = tab.run(TOO_WIDE)
        if too_wide:
            found.append(f"wider than {width}, {scheme}: {too_wide}")
    return found + tab.complaints(home)


@pytest.mark.parametrize("page", PAGES)
def test_page_is_self_contained_and_fits(tab, home, page):
    assert check(tab, home, page) == []
    formulas = "[...document.querySelectorAll('.math')]"
    unset = f"{formulas}.filter(e => !e.querySelector('mjx-container'))"
    assert tab.run(f"{unset}.map(e => e.textContent)") == []
    wrong = "[...document.querySelectorAll('mjx-merror')]"
    assert tab.run(f"{wrong}.map(e => e.title)") == []


def test_search_finds_a_word(tab, home):
    tab.open(f"{home}search.html?q=autoencoder")
    assert tab.becomes("document.querySelectorAll('#search-results li').length > 0", 20)
    assert tab.complaints(home) == []


def test_pages_work_from_a_folder_without_a_server(tab):
    folder = SITE.as_uri() + "/"
    maths = next(page for page in PAGES if page.endswith("notation.html"))
    tab.open(folder + maths)
    assert tab.run("document.querySelectorAll('mjx-container').length") > 20
    assert tab.complaints(folder) == []
    tab.open(f"{folder}search.html?q=autoencoder")
    assert tab.becomes("document.querySelectorAll('#search-results li').length > 0", 20)


def test_a_dark_page_is_printed_light_and_stays_dark(tab, home):
    tab.look(1280, "dark")
    tab.open(home + "index.html")
    theme = "document.documentElement.dataset.theme"
    assert tab.becomes(f"{theme} == 'dark'")
    tab.run(f"addEventListener('beforeprint', () => {{ window.printed = {theme}; }})")
    tab.ask("Page.printToPDF")
    assert tab.run("window.printed") == "light"
    assert tab.run(theme) == "dark"


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("<img src='http://localhost:9/x.png'>", "asks http://localhost:9/x.png"),
        ("<script src='gone.js'></script>", "misses"),
        ("<script>undefined.x</script>", "undefined"),
        ("<script>console.warn('careful')</script>", "careful"),
        ("<p style='width: 2000px'>wide</p>", "wider than 390, light: HTML 2"),
    ],
)
def test_each_fault_of_a_page_is_noticed(tab, tmp_path, body, complaint):
    start = (
        "<!doctype html><meta name=viewport content='width=device-width'>"
        "<link rel=icon href='data:,'><script>"
        "const dark = matchMedia('(prefers-color-scheme: dark)');"
        "const set = () => document.documentElement.dataset.theme ="
        " dark.matches ? 'dark' : 'light'; set(); dark.onchange = set;</script>"
    )
    (tmp_path / "good.html").write_text(start)
    (tmp_path / "bad.html").write_text(start + body)
    with serve(tmp_path) as address:
        assert check(tab, address, "good.html") == []
        assert complaint in " ".join(check(tab, address, "bad.html"))
