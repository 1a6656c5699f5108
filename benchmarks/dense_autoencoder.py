"""Time and memory of one dense autoencoder, trained in the plain way and in ours.

Run as `python benchmarks/dense_autoencoder.py`; what is measured, and how, is in
README.md beside this file. Needs Linux or macOS.
"""

import argparse
import json
import os
import statistics
import time
from typing import Any

from rounds import (
    BATCH,
    IMAGES,
    in_turns,
    peak_mb,
    sample,
    table,
    training_images,
)

TIMED_EPOCHS = 5

VARIANTS = {
    "plain": "float64 arrays, plain `fit`",
    "pipeline": "uint8 arrays, `sslkit.data.batches`",
    "pipeline+xla": "the same, with XLA",
    "sslkit": "the same, with XLA and 47 batches per call",
}
SETTINGS = {
    "pipeline": {"jit_compile": False, "steps_per_execution": 1},
    "pipeline+xla": {"jit_compile": True, "steps_per_execution": 1},
    "sslkit": {"jit_compile": True, "steps_per_execution": 47},
}


def plain_way(callback: Any) -> list[float]:
    """Train as the tutorials do: everything float64, in memory, at once."""
    import keras
    import numpy as np

    if "SSLKIT_DATA" in os.environ:
        with np.load(os.path.join(os.environ["SSLKIT_DATA"], "mnist.npz")) as file:
            pixels = np.concatenate([file["x_train"], file["x_test"]])
    else:
        pixels = np.resize(sample(), (70_000, 28, 28))
    x = pixels.reshape(-1, 784) / 255.0
    x_train = x[:IMAGES]

    inputs = keras.Input((784,))
    code = keras.layers.Dense(64, activation="relu")(inputs)
    outputs = keras.layers.Dense(784, activation="sigmoid")(code)
    model = keras.Model(inputs, outputs)
    model.compile(optimizer="adam", loss="mse")
    history = model.fit(
        x_train,
        x_train,
        epochs=1 + TIMED_EPOCHS,
        batch_size=BATCH,
        callbacks=[callback],
        verbose=0,
    )
    return history.history["loss"]


def our_way(callback: Any, **settings: Any) -> list[float]:
    """Train with the package: uint8 in memory, floats batch by batch."""
    from sslkit import data
    from sslkit.autoencoder import dense_autoencoder

    model = dense_autoencoder(64)
    model.compile(optimizer="adam", **settings)
    history = model.fit(
        data.batches(training_images(), BATCH, seed=0),
        epochs=1 + TIMED_EPOCHS,
        shuffle=False,
        callbacks=[callback],
        verbose=0,
    )
    return history.history["loss"]


def measure(variant: str) -> dict[str, Any]:
    """Train one variant in this process, which must be fresh."""
    import keras
    import tensorflow  # noqa: F401  its memory is part of `imports_mb`

    imports_mb = peak_mb()
    wall: list[float] = []
    cpu: list[float] = []

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.start = time.perf_counter(), time.process_time()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            wall.append(time.perf_counter() - self.start[0])
            cpu.append(time.process_time() - self.start[1])

    keras.utils.set_random_seed(0)
    if variant == "plain":
        losses = plain_way(Clock())
    else:
        losses = our_way(Clock(), **SETTINGS[variant])
    # The first epoch traces and compiles: reported, but not part of the speed.
    return {
        "images_per_s": IMAGES / statistics.median(wall[1:]),
        "cpu": statistics.median(cpu[1:]),
        "first_s": wall[0],
        "peak_mb": peak_mb(),
        "above_imports_mb": peak_mb() - imports_mb,
        "loss": losses[-1],
    }


def main() -> None:
    """Run every variant in turn, `--repeats` times over."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5, help="rounds, at least 3")
    parser.add_argument("--variant", choices=VARIANTS, help="one, in this process")
    arguments = parser.parse_args()
    if arguments.variant:
        print(json.dumps(measure(arguments.variant)))
        return
    if arguments.repeats < 3:
        parser.error("--repeats must be at least 3: a median of fewer says little.")

    runs, footnote = in_turns(__file__, VARIANTS, arguments.repeats)
    columns = {"cpu": "CPU s per epoch", "first": "first epoch, s"}
    print(f"{table(VARIANTS, runs, **columns)}\n\n{footnote}")

    losses = [statistics.median(r["loss"] for r in each) for each in runs.values()]
    spread = max(losses) / min(losses) - 1
    print(f"Losses after {1 + TIMED_EPOCHS} epochs differ by {100 * spread:.1f} %.")
    if spread > 0.05:
        raise SystemExit("The variants did not do the same work: compare nothing.")


if __name__ == "__main__":
    main()
