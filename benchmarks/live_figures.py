"""Frames per second of the live figures, untouched and while a pointer is dragged.

    python benchmarks/live_figures.py [latent draw ...]

builds a page for each figure, opens it in Chromium without a window, counts the frames
of four seconds in which the figure plays by itself, and of four in which the mouse is
dragged over its plane, its patches or its first slider. 60 is the most that a browser
shows.
"""

import argparse
import itertools
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "_ext"))

import browsers  # noqa: E402
import live  # noqa: E402
import live_pages  # noqa: E402

SECONDS = 4
# What is dragged over where it is not the first canvas: patches, and a slider.
DRAGGED = {"mask": ".mask-patches", "views": "input[type=range]"}
SIZES = {"wide page": (1280, 900), "phone": (390, 844)}
RECORD = """() => {
    window.times = [];
    const note = now => { times.push(now); window.note = requestAnimationFrame(note); };
    requestAnimationFrame(note);
}"""
STOP = "() => { cancelAnimationFrame(window.note); return times; }"


def wait(page: Page) -> None:
    page.wait_for_timeout(1000 * SECONDS)


def drag(page: Page) -> None:
    """Drag the mouse in circles over a figure for as long as is measured."""
    name = page.locator("figure.live").get_attribute("data-live") or ""
    place = page.locator(f".live {DRAGGED.get(name, 'canvas')}").first
    place.scroll_into_view_if_needed()
    box = place.bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    radius = min(box["width"], box["height"]) / 3
    end = time.monotonic() + SECONDS
    page.mouse.move(x, y)
    page.mouse.down()
    for step in itertools.count():
        page.mouse.move(
            x + radius * math.cos(step / 9), y + radius * math.sin(step / 7)
        )
        if time.monotonic() > end:
            break
    page.mouse.up()


def measure(page: Page, work: Callable[[Page], None]) -> list[float]:
    """Frames per second, slowest frame but 5 %, processor time a frame, both in ms."""
    session = page.context.new_cdp_session(page)
    # Time that the page's thread ran: it depends little on what else the machine does.
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def busy() -> float:
        metrics = session.send("Performance.getMetrics")["metrics"]
        return {each["name"]: each["value"] for each in metrics}["TaskDuration"]

    before = busy()
    page.evaluate(RECORD)
    work(page)
    times = page.evaluate(STOP)
    gaps = [after - before for before, after in itertools.pairwise(times)]
    return [
        1000 / statistics.mean(gaps),
        statistics.quantiles(gaps, n=20)[-1],
        1000 * (busy() - before) / len(times),
    ]


def main(names: list[str]) -> None:
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    print("| figure | size | | frames/s | slow frame, ms | processor, ms a frame |")
    print("|---|---|---|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        site = live_pages.build(Path(folder), names)
        browser = playwright.chromium.launch(
            executable_path=browsers.find(), args=["--no-sandbox"]
        )
        for name, (size, (width, height)) in itertools.product(names, SIZES.items()):
            page = browser.new_page(
                viewport={"width": width, "height": height},
                reduced_motion="no-preference",
            )
            page.goto((site / f"{name}.html").as_uri())
            page.locator(
                "figure.live canvas, .live-stage"
            ).first.scroll_into_view_if_needed()
            page.wait_for_selector("figure.live[data-running]")
            for state, work in {"untouched": wait, "dragged": drag}.items():
                rate, slow, busy = measure(page, work)
                print(
                    f"| `{name}` | {size} | {state} | {rate:.0f} | {slow:.0f} "
                    f"| {busy:.1f} |",
                    flush=True,
                )
            page.close()
        browser.close()
    print(f"load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="figures; all of live.yaml by default")
    main(parser.parse_args().names or list(live.FIGURES))
