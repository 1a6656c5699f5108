"""Pages in the browser that the machine has: what they do, ask for and look like.

Playwright steers Debian's Chromium, or the Chrome of a runner; it brings no browser of
its own. The fixtures are in `conftest.py`.
"""

import contextlib
import functools
import http.server
import shutil
import sys
import threading
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "_ext"))
import browsers  # noqa: E402

playwright = pytest.importorskip("playwright.sync_api")

SITE = Path(__file__).parent.parent / "_build" / "html"
# Slides have a test of their own (test_slides.py).
PAGES = sorted(
    path.relative_to(SITE).as_posix()
    for path in SITE.rglob("*.html")
    if not {"_static", "slides"} & set(path.relative_to(SITE).parts[:-1])
)
CHROMIUM = next(filter(None, map(shutil.which, browsers.NAMES)), None)
needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="no Chromium")
needs_book = pytest.mark.skipif(
    not (PAGES and CHROMIUM), reason="no book in _build/html, or no Chromium"
)
HEIGHT = 844
# Blocks of the page that hold more than they can show. Code, tables and formulas may
# scroll by themselves, a page may not.
TOO_WIDE = """
    [document.documentElement, ...document.querySelectorAll(
        ".bd-main, .bd-content, .bd-article-container, .bd-article")]
    .filter(block => block.scrollWidth > block.clientWidth)
    .map(block => `${block.className || block.tagName} ${block.scrollWidth}`)
    .join("; ")
"""


class Silent(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # or every file would need a connection of its own

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serve(folder, handler=Silent):
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(handler, directory=folder)
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


class Tab:
    """One tab of the browser, with a record of what went wrong in it."""

    def __init__(self, page):
        self.page = page
        self.asked, self.found = [], []
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("websocket", lambda socket: self.asked.append(socket.url))
        page.on("response", self.hear)
        page.on("requestfailed", self.hear_failure)
        page.on("console", self.hear_console)
        page.on("pageerror", lambda error: self.found.append(str(error)))

    def hear(self, response):
        if response.status >= 400:
            self.found.append(f"misses {response.url}")

    def hear_failure(self, request):
        # What a page gave up by itself is not missing.
        if request.failure != "net::ERR_ABORTED":
            self.found.append(f"failed to load {request.url}: {request.failure}")

    def hear_console(self, message):
        if message.type in ("warning", "error", "assert"):
            self.found.append(message.text)

    def run(self, script, *given):
        return self.page.evaluate(script, *given)

    def becomes(self, condition, seconds=5):
        """Whether a condition holds by then."""
        with contextlib.suppress(playwright.TimeoutError):
            self.page.wait_for_function(condition, timeout=1000 * seconds)
        return self.run(condition)

    def open(self, address):
        # The empty page in between ends whatever the page before was still doing.
        self.page.goto("about:blank")
        self.asked.clear()
        self.found.clear()
        self.page.goto(address)
        self.run("document.fonts.ready.then(() => 1)")

    def look(self, width, scheme):
        self.page.set_viewport_size({"width": width, "height": HEIGHT})
        self.page.emulate_media(color_scheme=scheme)

    def turns(self, scheme):
        return self.becomes(f"document.documentElement.dataset.theme == '{scheme}'", 3)

    def protocol(self, method, **params):
        """Ask Chromium itself for what Playwright has no words for."""
        session = self.page.context.new_cdp_session(self.page)
        answer = session.send(method, params)
        session.detach()
        return answer

    def complaints(self, home):
        """What went wrong since the page was opened."""
        self.run("1")  # events that were sent before this answer have arrived with it
        foreign = [
            f"asks {address}"
            for address in self.asked
            if not address.startswith((home, "data:", "blob:"))
        ]
        return foreign + self.found
