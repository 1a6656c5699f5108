"""Images per second and memory of the course's methods on the device at hand.

Run as `python benchmarks/device.py`; README.md beside this file says what is measured,
and what to type on Colab. Needs Linux or macOS.
"""

import argparse
import datetime
import itertools
import json
import math
import os
import platform
import statistics
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rounds import (
    BATCH,
    IMAGES,
    LEFT_OUT,
    Result,
    in_fresh_process,
    peak_mb,
    training_images,
)

DIGITS, PHOTOS = (28, 28), (64, 64, 3)
MEASURED = {
    "autoencoder": ("dense autoencoder", "autoencoder", "dense", DIGITS),
    "vae": ("convolutional VAE", "vae", "conv", DIGITS),
    "gan": ("DCGAN", "gan", None, DIGITS),
    "simclr": ("SimCLR", "simclr", "batchnorm", DIGITS),
    "photos": ("SimCLR, photographs", "simclr", "residual", PHOTOS),
}
"""Name for readers; method and encoder in `sslkit.recipes`; shape of the images."""
PRECISIONS = "float32", "mixed_float16"
TARGET = 0.98
COLUMNS = {
    "device": "device",
    "method": "method",
    "precision": "precision",
    "images_per_s": "images per second",
    "memory_mb": "peak MB",
    "to_98_s": "s to 98 %",
}


def device() -> Result:
    """Kind and name of the device that TensorFlow takes by itself."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:  # Memory as it is needed, or the peak would be all there is.
        tf.config.experimental.set_memory_growth(gpu, True)
    if not gpus:
        return {"kind": "CPU", "name": f"{os.cpu_count()} cores, {platform.machine()}"}
    details = tf.config.experimental.get_device_details(gpus[0])
    return {"kind": "GPU", "name": details.get("device_name", "GPU without a name")}


def memory() -> Result:
    """Peak memory in MB (10^6 bytes): of the GPU, else of this process."""
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        return {"memory_mb": round(peak_mb()), "memory_of": "process"}
    peak = tf.config.experimental.get_memory_info("GPU:0")["peak"]
    return {"memory_mb": round(peak / 1e6), "memory_of": "device"}


def images(shape: tuple[int, ...]) -> Any:
    """Digits, or noise in the shape of photographs, as uint8: speed is the same."""
    import numpy as np

    if shape == DIGITS:
        return training_images()
    return np.random.default_rng(0).integers(0, 256, (4096, *shape), np.uint8)


def measure(what: str, precision: str, xla: bool, steps: int) -> Result:
    """Time the steps of one training in this process, which must be fresh."""
    import keras

    from sslkit import data, recipes

    where, (name, method, encoder, shape) = device(), MEASURED[what]
    keras.config.set_dtype_policy(precision)
    keras.utils.set_random_seed(0)
    marks: list[float] = []

    class Clock(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            marks.append(time.perf_counter())

    model = recipes.build(method, shape, encoder)
    recipes.compile(model, jit_compile=xla)
    batches = data.batches(images(shape), BATCH).repeat()
    try:
        history = model.fit(
            batches,
            epochs=1,
            steps_per_epoch=steps,
            shuffle=False,
            verbose=0,
            callbacks=[Clock()],
        ).history
    except Exception as why:
        if not xla:
            raise
        return {"left_out": f"XLA does not compile it ({type(why).__name__})"}
    losses = [value for values in history.values() for value in values]
    if not all(math.isfinite(value) for value in losses):
        return {"left_out": f"its losses are not finite: {losses}"}
    times = [after - before for before, after in itertools.pairwise(marks[LEFT_OUT:])]
    return {
        "device": where["name"],
        "method": name,
        "encoder": encoder,
        "shape": list(shape),
        "precision": precision,
        "xla": xla,
        "batch": BATCH,
        "images_per_s": round(BATCH / statistics.median(times), 1),
        "parameters": sum(w.shape.num_elements() for w in model.trainable_weights),
        **memory(),
        "to_98_s": None,
        "versions": {
            "python": platform.python_version(),
            "keras": version("keras"),
            "tensorflow": version("tensorflow"),
        },
        "date": datetime.date.today().isoformat(),
    }


def seconds_to_target(budget: float) -> Result:
    """Wall seconds of SimCLR to `TARGET`, None if it ends without."""
    import keras
    from simclr_to_accuracy import digits, our_way

    from sslkit import data, download

    device()
    if "SSLKIT_DATA" not in os.environ:
        data.load_mnist("download")  # which leaves the file in the cache
        os.environ["SSLKIT_DATA"] = str(download.cache_folder())
    keras.utils.set_random_seed(0)
    checkpoints = our_way(digits(), 0, budget)["checkpoints"]
    passed = (wall for _, _, wall, accuracy in checkpoints if accuracy >= TARGET)
    found = next(passed, None)
    return {"to_98_s": None if found is None else round(found, 1)}


def table(rows: list[Result]) -> str:
    """Lay rows out in Markdown."""
    lines = [
        "| " + " | ".join(COLUMNS.values()) + " |",
        "|:---|:---|:---|---:|---:|---:|",
    ]
    for row in rows:
        reached = row["to_98_s"]
        cells = [
            row["device"],
            row["method"],
            row["precision"] + (", XLA" if row["xla"] else ""),
            f"{row['images_per_s']:,.0f}",
            f"{row['memory_mb']:,}",
            "" if reached is None else f"{reached:.0f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def append(path: Path, rows: list[Result]) -> None:
    """Add rows to a file, in place of older ones of the same device and setting."""

    def key(row: Result) -> tuple[Any, ...]:
        named = "device", "method", "shape", "precision", "xla", "batch"
        return tuple(map(str, (row[name] for name in named)))

    new = {key(row) for row in rows}
    old = json.loads(path.read_text("utf-8")) if path.exists() else []
    kept = [row for row in old if key(row) not in new]
    path.write_text(json.dumps(kept + rows, indent=1) + "\n", "utf-8")


def child(variant: str, steps: int, budget: float) -> Result:
    """What this process is to do for the one that started it."""
    if variant == "device":
        return device()
    if variant == "target":
        return seconds_to_target(budget)
    what, precision, xla = variant.split(":")
    return measure(what, precision, xla == "xla", steps)


def main() -> None:
    """Measure each method in each precision, one fresh process after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--methods", nargs="+", choices=MEASURED, default=list(MEASURED), help="which")
    add("--steps", type=int, default=120, help="batches, 20 of them not timed")
    add("--no-xla", action="store_true", help="leave out what XLA compiles")
    add("--to-98", action="store_true", help="train SimCLR on MNIST to 98 %%, too")
    add("--budget", type=float, default=1800, help="CPU seconds for that, at most")
    add("--append", type=Path, metavar="FILE", help="add the rows to a JSON file")
    add("--variant", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not LEFT_OUT + 2 <= arguments.steps <= IMAGES // BATCH:
        parser.error(f"--steps must be from {LEFT_OUT + 2} to {IMAGES // BATCH}.")
    options = "--steps", str(arguments.steps), "--budget", str(arguments.budget)
    if arguments.variant:
        found = child(arguments.variant, arguments.steps, arguments.budget)
        print(json.dumps(found))
        return

    kind = in_fresh_process(__file__, "device", *options)["kind"]
    # Half precision is for devices that compute faster in it.
    precisions = PRECISIONS if kind == "GPU" else PRECISIONS[:1]
    compiled = [""] if arguments.no_xla else ["", "xla"]
    rows = []
    for settings in itertools.product(arguments.methods, precisions, compiled):
        row = in_fresh_process(__file__, ":".join(settings), *options)
        if "left_out" in row:
            print(f"{' '.join(settings)} is left out: {row['left_out']}.")
            continue
        if arguments.to_98 and settings == ("simclr", "float32", ""):
            row |= in_fresh_process(__file__, "target", *options)
        rows.append(row)
        print(json.dumps(row), file=sys.stderr, flush=True)
    print(table(rows))
    if arguments.append:
        append(arguments.append, rows)


if __name__ == "__main__":
    main()
