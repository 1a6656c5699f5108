"""Time and memory of one dense autoencoder, trained in the plain way and in ours.

Run as `python benchmarks/dense_autoencoder.py`; what is measured, and how, is in
README.md beside this file. Needs Linux or macOS.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from typing import Any

IMAGES = 60_000
BATCH = 256
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


def peak_mb() -> float:
    """Peak resident memory of this process so far, in MB (10^6 bytes)."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


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
    import numpy as np

    from sslkit import data
    from sslkit.autoencoder import dense_autoencoder

    if "SSLKIT_DATA" in os.environ:
        images = data.load_mnist("folder").x_train
    else:
        images = np.resize(sample(), (IMAGES, 28, 28))
    model = dense_autoencoder(64)
    model.compile(optimizer="adam", **settings)
    history = model.fit(
        data.batches(images, BATCH, seed=0),
        epochs=1 + TIMED_EPOCHS,
        shuffle=False,
        callbacks=[callback],
        verbose=0,
    )
    return history.history["loss"]


def sample() -> Any:
    """The training images of the embedded sample, uint8 `[4000, 28, 28]`."""
    from sslkit import data

    return data.load_mnist("sample").x_train


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
        "cpu_s": statistics.median(cpu[1:]),
        "first_epoch_s": wall[0],
        "peak_mb": peak_mb(),
        "above_imports_mb": peak_mb() - imports_mb,
        "loss": losses[-1],
    }


def in_fresh_process(variant: str) -> dict[str, Any]:
    """Measure in a child, whose peak memory is then its own."""
    command = [sys.executable, __file__, "--variant", variant]
    child = subprocess.run(command, capture_output=True, text=True)
    if child.returncode:
        raise SystemExit(f"{variant} failed:\n{child.stderr}")
    return json.loads(child.stdout.splitlines()[-1])


def table(runs: dict[str, list[dict[str, Any]]]) -> str:
    """Lay out medians over the runs, and ratios to the plain way, in Markdown."""
    lines = [
        "| way | images per second | times plain (range) | CPU s per epoch "
        "| first epoch, s | peak MB | of plain | MB above imports | loss |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for variant, what in VARIANTS.items():
        middle = {
            key: statistics.median(run[key] for run in runs[variant])
            for key in runs[variant][0]
        }

        def ratios(key: str, variant: str = variant) -> list[float]:
            # Neighbours in time, which met the same other load on the machine.
            pairs = zip(runs[variant], runs["plain"], strict=True)
            return sorted(ours[key] / plain[key] for ours, plain in pairs)

        faster, memory = ratios("images_per_s"), ratios("peak_mb")
        lines.append(
            f"| {what} | {middle['images_per_s']:,.0f} "
            f"| {statistics.median(faster):.2f} "
            f"({faster[0]:.2f} to {faster[-1]:.2f}) "
            f"| {middle['cpu_s']:.2f} | {middle['first_epoch_s']:.1f} "
            f"| {middle['peak_mb']:,.0f} | {statistics.median(memory):.2f} "
            f"| {middle['above_imports_mb']:,.0f} | {middle['loss']:.5f} |"
        )
    return "\n".join(lines)


def machine(load_before: float) -> str:
    """Name what the figures depend on, but neither host nor path."""
    from importlib.metadata import version

    packages = ", ".join(f"{p} {version(p)}" for p in ("keras", "tensorflow", "numpy"))
    return (
        f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python "
        f"{platform.python_version()}, {packages}; load average {load_before:.1f} "
        f"before, {os.getloadavg()[0]:.1f} after (an idle machine ends near "
        f"{os.cpu_count()})"
    )


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

    load_before = os.getloadavg()[0]
    runs: dict[str, list[dict[str, Any]]] = {variant: [] for variant in VARIANTS}
    for _ in range(arguments.repeats):
        for variant, results in runs.items():
            results.append(in_fresh_process(variant))
    print(table(runs))
    if "SSLKIT_DATA" in os.environ:
        images = "the training images of MNIST"
    else:
        images = "the embedded sample, repeated (SSLKIT_DATA is not set)"
    print(f"\n{IMAGES:,} images: {images}. Medians of {arguments.repeats} runs each.")
    print(f"Machine: {machine(load_before)}.")

    losses = [statistics.median(r["loss"] for r in each) for each in runs.values()]
    spread = max(losses) / min(losses) - 1
    print(f"Losses after {1 + TIMED_EPOCHS} epochs differ by {100 * spread:.1f} %.")
    if spread > 0.05:
        raise SystemExit("The variants did not do the same work: compare nothing.")


if __name__ == "__main__":
    main()
