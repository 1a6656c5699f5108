"""Chromium, for all that needs a browser: the PDF, still pictures, frames, tests."""

import shutil

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find() -> str:
    """Find Chromium on the path.

    Returns:
        Where it is.

    Raises:
        FileNotFoundError: If there is none.
    """
    for name in NAMES:
        if path := shutil.which(name):
            return path
    raise FileNotFoundError(
        "no browser: install Chromium or Chrome, so that one of "
        f"{', '.join(NAMES)} is on the path."
    )
