"""Time and memory of `python -m sslkit pretrain` on a large folder of pictures.

Makes a folder of JPEG files, trains SimCLR with the encoder that `pretrain` chooses
for some steps of the first epoch, then reads as many batches without training.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rounds import Result, machine, peak_mb

CLASSES = 10
BATCH = 128
LEFT_OUT = 10
"""Steps at the beginning that are not timed."""
TARGETS = {
    "first_s": ("s until the first step is done", "below", 30),
    "peak_mb": ("peak MB", "below", 3000),
    "read_per_s": ("pictures per s, reading alone", "", None),
    "train_per_s": ("pictures per s, training", "", None),
    "ratio": ("reading over training", "at least", 3),
}


def make(folder: Path, count: int, side: int) -> None:
    """Cut squares out of the two photographs that scikit-learn brings along."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_sample_images

    rng, photographs = np.random.default_rng(0), load_sample_images().images
    for i in range(CLASSES):
        (folder / f"class {i}").mkdir(parents=True)
    for i in range(count):
        photograph = photographs[i % 2]
        top, left = (rng.integers(n - side) for n in photograph.shape[:2])
        square = photograph[top : top + side, left : left + side]
        path = folder / f"class {i % CLASSES}" / f"{i:07d}.jpg"
        Image.fromarray(square).save(path, quality=85)


def train(folder: str, steps: int, started: float) -> Result:
    """Run the command itself, and stop it after some steps."""
    from sslkit import __main__ as command
    from sslkit import pretrain

    marks: list[float] = []

    class Clock(pretrain.Journal):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            marks.append(time.time())
            if len(marks) == steps:
                self.interrupt()
            super().on_train_batch_end(batch, logs)

    pretrain.Journal = Clock  # type: ignore[misc]
    words = ["pretrain", "simclr", folder, "--batch", str(BATCH), "--quiet"]
    with TemporaryDirectory() as run:
        command.main([*words, "--epochs", "1", "--run", run])
    rate = (steps - LEFT_OUT) * BATCH / (marks[-1] - marks[LEFT_OUT - 1])
    return {
        "first_s": marks[0] - started,
        "peak_mb": peak_mb(),
        "train_per_s": rate,
    }


def read(folder: str, steps: int, started: float) -> Result:
    """Go through batches as training does, and do nothing with them."""
    from sslkit.images import open_images

    source = open_images(folder)
    feed = iter(source.feed(BATCH, 0, 0, steps))
    for _ in range(LEFT_OUT):
        next(feed)
    before = time.perf_counter()
    count = sum(len(batch) for batch in feed)
    return {"read_per_s": count / (time.perf_counter() - before)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100_000, help="pictures")
    parser.add_argument("--side", type=int, default=64, help="their height and width")
    parser.add_argument("--steps", type=int, default=60, help="steps, more than 10")
    parser.add_argument("--folder", help="keep the pictures there, or take them")
    parser.add_argument("--measure", choices=("train", "read"), help="in this process")
    parser.add_argument("--started", type=float, help="by the clock of the parent")
    options = parser.parse_args()
    if options.measure:
        measure = {"train": train, "read": read}[options.measure]
        print(json.dumps(measure(options.folder, options.steps, options.started)))
        return
    if not LEFT_OUT < options.steps <= options.count // BATCH:
        parser.error(f"--steps must be 11 to {options.count // BATCH}.")
    load, found = os.getloadavg()[0], {}
    with TemporaryDirectory() as scratch:
        folder = Path(options.folder or Path(scratch, "pictures"))
        if not folder.exists():
            make(folder, options.count, options.side)
        for name, steps in (("train", options.steps), ("read", 5 * options.steps)):
            steps = min(steps, options.count // BATCH)
            words = ["--folder", str(folder), "--steps", str(steps), "--measure", name]
            command = [sys.executable, __file__, *words, "--started", str(time.time())]
            child = subprocess.run(command, capture_output=True, text=True)
            if child.returncode:
                raise SystemExit(f"{name} failed:\n{child.stderr}")
            found |= json.loads(child.stdout.splitlines()[-1])
    found["ratio"] = found["read_per_s"] / found["train_per_s"]
    print("| what | found | wanted |\n|---|---:|---:|")
    for key, (what, relation, target) in TARGETS.items():
        wanted = f"{relation} {target:,}" if target else ""
        value = f"{found[key]:,.0f}" if found[key] >= 100 else f"{found[key]:.1f}"
        print(f"| {what} | {value} | {wanted} |")
    print(
        f"\n{options.count:,} JPEG files of {options.side} x {options.side} pixels, "
        f"batches of {BATCH}, {options.steps} steps.\nMachine: {machine(load)}."
    )


if __name__ == "__main__":
    main()
