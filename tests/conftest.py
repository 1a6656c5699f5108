"""Fixtures shared by the tests."""

from collections.abc import Callable

import numpy as np
import pytest

from sslkit import data


@pytest.fixture(scope="session")
def sample() -> data.Dataset:
    """The 5,000-image sample, which every machine has."""
    return data.load_mnist("sample")


@pytest.fixture
def make_dataset() -> Callable[..., data.Dataset]:
    """Return a factory of small data sets with images made of noise."""

    def make(n_train: int = 60, n_test: int = 30, classes: int = 3) -> data.Dataset:
        rng = np.random.default_rng(0)

        def side(n: int) -> tuple[np.ndarray, np.ndarray]:
            images = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
            return images, np.arange(n) % classes

        return data.Dataset("noise", *side(n_train), *side(n_test), "sample", "0" * 64)

    return make


# Not for the whole session: until it stops, Playwright keeps an event loop running, in
# which tests that execute notebooks could not start theirs.
@pytest.fixture(scope="module")
def browser():
    """Chromium, steered by Playwright."""
    chromium = pytest.importorskip("chromium")
    with chromium.playwright.sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=chromium.CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def tab(browser):
    """One tab, which the tests of a file share; `reduced_motion` ends all moving."""
    chromium = pytest.importorskip("chromium")
    context = browser.new_context(reduced_motion="reduce")
    context.set_default_timeout(120_000)  # a busy machine is no fault of a page
    yield chromium.Tab(context.new_page())
    context.close()


@pytest.fixture(scope="module")
def home():
    """Address of the book on a server."""
    chromium = pytest.importorskip("chromium")
    with chromium.serve(chromium.SITE) as address:
        yield address
