"""Still pictures of the live figures, for paper and for browsers without JavaScript.

    python _ext/stills.py latent draw

opens each figure in Chromium, as it is for readers who asked for less motion, and
writes `_static/live/still/NAME.webp`. To be run after models or figures have changed.
"""

import argparse
import io
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent))

import browsers  # noqa: E402
import live_pages  # noqa: E402

STILLS = live_pages.ROOT / "_static" / "live" / "still"
WIDTH = 1280  # of the window, in pixels
# There is nothing to press in a picture. The legend of `gan` is made of labels, and the
# patches of `mask` are buttons.
HIDE = """.live :is(button:not(.mask-patch), input, select, .live-bar, .views-sliders,
    label:not(.gan-legend label), .gan-legend label:has(input:not(:checked)),
    p:has(+ .live-digits)) {
    display: none !important;
}"""


def take(names: list[str]) -> None:
    """Take and store the pictures of these figures."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        site = live_pages.build(Path(folder), names)
        browser = playwright.chromium.launch(
            executable_path=browsers.find(), args=["--no-sandbox"]
        )
        page = browser.new_page(
            viewport={"width": WIDTH, "height": 1000},
            color_scheme="light",
            reduced_motion="reduce",
            device_scale_factor=1.5,
        )
        for name in names:
            page.goto((site / f"{name}.html").as_uri())
            page.locator("figure.live").scroll_into_view_if_needed()
            page.wait_for_selector("figure.live[data-running]")
            page.add_style_tag(content=f"{HIDE} .live-stage {{ min-height: 0 }}")
            page.wait_for_timeout(1000)
            png = page.locator(".live-stage").screenshot()
            file = STILLS / f"{name}.webp"
            Image.open(io.BytesIO(png)).convert("RGB").save(file, quality=80, method=6)
            print(f"{file.relative_to(live_pages.ROOT)}: {file.stat().st_size:,} bytes")
        browser.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="+", help="figures of live.yaml")
    take(parser.parse_args().names)
