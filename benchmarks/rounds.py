"""What the benchmarks share: data, clock, rounds of fresh processes, the table."""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

IMAGES = 60_000
BATCH = 256
LEFT_OUT = 20
"""Batches at the beginning that `train` does not time."""
PROFILED = 10
"""Batches after those that `--profile` looks into."""
KINDS = {
    "convolutions": ("Conv2D",),
    "dense products": ("MatMul",),
    "activations, biases": ("Relu", "Sigmoid", "BiasAdd"),
}
"""Kinds of operations, by what their names in TensorFlow contain; first match."""
WRAPPERS = "While", "If", "PartitionedCall", "StatefulPartitionedCall"

Result = dict[str, Any]


def peak_mb() -> float:
    """Peak resident memory of this process so far, in MB (10^6 bytes)."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def sample() -> Any:
    """The training images of the embedded sample, uint8 `[4000, 28, 28]`."""
    from sslkit import data

    return data.load_mnist("sample").x_train


def training_images() -> Any:
    """Images as sslkit loads them, uint8 `[IMAGES, 28, 28]`."""
    import numpy as np

    from sslkit import data

    if "SSLKIT_DATA" in os.environ:
        return data.load_mnist("folder").x_train
    return np.resize(sample(), (IMAGES, 28, 28))


def plain_pixels() -> Any:
    """Training images as tutorials load them: the file as it is, uint8."""
    import numpy as np

    if "SSLKIT_DATA" in os.environ:
        with np.load(os.path.join(os.environ["SSLKIT_DATA"], "mnist.npz")) as file:
            return file["x_train"]
    return np.resize(sample(), (IMAGES, 28, 28))


def operations(folder: str) -> dict[str, float]:
    """Milliseconds per batch that a profile shows in each kind of operation."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    times = dict.fromkeys([*KINDS, "the rest"], 0.0)
    for file in Path(folder).rglob("*.xplane.pb"):
        space = xplane_pb2.XSpace()
        space.ParseFromString(file.read_bytes())
        for plane in space.planes:
            for event in (event for line in plane.lines for event in line.events):
                # Operations are called "path/in/graph:Type"; calls and the input
                # pipeline, which runs beside them, contain "::" or a space.
                name = plane.event_metadata[event.metadata_id].name
                kind = name.rpartition(":")[2]
                if ":" not in name or "::" in name or " " in name or kind in WRAPPERS:
                    continue
                found = (
                    k for k, parts in KINDS.items() if any(p in kind for p in parts)
                )
                times[next(found, "the rest")] += event.duration_ps / 1e9 / PROFILED
    return times


def train(model: Any, images: Any, steps: int, **settings: Any) -> Result:
    """Fit a model for some batches; time all but the first of them.

    Args:
        model: Compiled Keras model.
        images: What `fit` takes.
        steps: Batches in all, of which `LEFT_OUT` are not timed: the first call
            traces the training step, and the threads need a while to settle.
        **settings: Further arguments of `fit`.
    """
    import keras
    import tensorflow as tf

    arguments = {"epochs": 1, "steps_per_epoch": steps, "verbose": 0, **settings}
    marks: dict[int, tuple[float, float]] = {}

    class Profile(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch + 1 == LEFT_OUT:
                tf.profiler.experimental.start(folder)
            if batch + 1 == LEFT_OUT + PROFILED:
                tf.profiler.experimental.stop()

    if "--profile" in sys.argv:
        with TemporaryDirectory() as folder:
            model.fit(images, callbacks=[Profile()], **arguments)
            return {"operations": operations(folder)}

    class Clock(keras.callbacks.Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            marks[0] = time.perf_counter(), time.process_time()

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            # With several batches per call this runs once per call, after it.
            marks[batch + 1] = time.perf_counter(), time.process_time()

    history = model.fit(images, callbacks=[Clock()], **arguments).history
    wall, cpu = (marks[steps][i] - marks[LEFT_OUT][i] for i in (0, 1))
    return {
        "images_per_s": (steps - LEFT_OUT) * BATCH / wall,
        "cpu": 1000 * cpu / (steps - LEFT_OUT),
        "first_s": marks[LEFT_OUT][0] - marks[0][0],
        "parameters": sum(w.shape.num_elements() for w in model.trainable_weights),
        "history": {name: values[-1] for name, values in history.items()},
    }


def in_fresh_process(file: str, variant: str, *options: str) -> Result:
    """Measure in a child, whose peak memory is then its own."""
    command = [sys.executable, file, "--variant", variant, *options]
    environment = dict(os.environ)
    if variant == "plain+onednn":
        environment["TF_ENABLE_ONEDNN_OPTS"] = "1"
    child = subprocess.run(command, capture_output=True, text=True, env=environment)
    if child.returncode:
        raise SystemExit(f"{variant} failed:\n{child.stderr}")
    return json.loads(child.stdout.splitlines()[-1])


def table(
    variants: dict[str, str],
    runs: dict[str, list[Result]],
    cpu: str = "CPU ms per batch",
    first: str = f"first {LEFT_OUT} batches, s",
) -> str:
    """Lay out medians over the runs, and ratios to the plain way, in Markdown."""
    lines = [
        f"| way | images per second | times plain (range) | {cpu} "
        f"| {first} | peak MB | of plain | MB above imports | loss |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    keys = "images_per_s", "cpu", "first_s", "peak_mb", "above_imports_mb", "loss"
    for variant, what in variants.items():
        middle = {
            key: statistics.median(run[key] for run in runs[variant]) for key in keys
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
            f"| {middle['cpu']:.2f} | {middle['first_s']:.1f} "
            f"| {middle['peak_mb']:,.0f} | {statistics.median(memory):.2f} "
            f"| {middle['above_imports_mb']:,.0f} | {middle['loss']:.5g} |"
        )
    return "\n".join(lines)


def shares(found: dict[str, dict[str, float]]) -> str:
    """Lay out what each kind of operation takes, in Markdown."""
    lines = [
        "| operations | " + " | ".join(f"{way}, ms (share)" for way in found) + " |",
        "|---" + "|---:" * len(found) + "|",
    ]
    for kind in [*KINDS, "the rest", "all"]:
        cells = []
        for times in found.values():
            whole = sum(times.values())
            part = times.get(kind, whole)
            cells.append(f"{part:.1f} ({100 * part / whole:.0f} %)")
        lines.append(f"| {kind} | " + " | ".join(cells) + " |")
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


def in_turns(
    file: str, variants: dict[str, str], repeats: int, *options: str
) -> tuple[dict[str, list[Result]], str]:
    """Measure all variants, one after the other, `repeats` times over.

    Returns:
        The results per variant, and two lines on what they depend on.
    """
    load_before = os.getloadavg()[0]
    runs: dict[str, list[Result]] = {variant: [] for variant in variants}
    for _ in range(repeats):
        for variant, results in runs.items():
            results.append(in_fresh_process(file, variant, *options))
    if "SSLKIT_DATA" in os.environ:
        images = "the training images of MNIST"
    else:
        images = "the embedded sample, repeated (SSLKIT_DATA is not set)"
    return runs, (
        f"{IMAGES:,} images: {images}. Medians of {repeats} runs each.\n"
        f"Machine: {machine(load_before)}."
    )


def benchmark(
    file: str,
    what: str,
    variants: dict[str, str],
    measure: Callable[[str, int], Result],
    loss: str,
    tolerance: float,
) -> None:
    """Command line of a benchmark that times the batches of one epoch.

    Args:
        file: The script, `__file__`.
        what: Its first line, for `--help`.
        variants: Name and description of each way, `"plain"` first.
        measure: From a way and a number of batches to the answer of `train`, in a
            process that is fresh.
        loss: Metric of `fit` that must agree between the ways.
        tolerance: How far it may differ, relative to the smallest.
    """
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--repeats", type=int, default=5, help="rounds, at least 3")
    parser.add_argument("--steps", type=int, default=120, help="batches, times 10")
    parser.add_argument("--variant", choices=variants, help="one, in this process")
    parser.add_argument(
        "--profile", action="store_true", help="where the time goes, not how much"
    )
    arguments = parser.parse_args()
    steps = arguments.steps
    if steps <= LEFT_OUT or steps % 10 or steps * BATCH > IMAGES:
        parser.error("--steps must be a multiple of 10 from 30 to 230.")
    if arguments.variant:
        import keras
        import tensorflow  # noqa: F401  its memory is part of `imports_mb`

        imports_mb = peak_mb()
        keras.utils.set_random_seed(0)
        result = measure(arguments.variant, steps)
        if arguments.profile:
            print(json.dumps(result))
            return
        result["loss"] = result["history"][loss]
        result["peak_mb"] = peak_mb()
        result["above_imports_mb"] = result["peak_mb"] - imports_mb
        print(json.dumps(result))
        return
    if arguments.profile:
        options = "--profile", "--steps", str(LEFT_OUT + PROFILED)
        found = {
            variant: in_fresh_process(file, variant, *options)["operations"]
            for variant in ("plain", "sslkit")
        }
        print(shares(found))
        return
    if arguments.repeats < 3:
        parser.error("--repeats must be at least 3: a median of fewer says little.")

    runs, footnote = in_turns(file, variants, arguments.repeats, "--steps", str(steps))
    print(f"{table(variants, runs)}\n\n{footnote}")
    counts = {run["parameters"] for each in runs.values() for run in each}
    if len(counts) > 1:
        raise SystemExit(f"Networks differ, in parameters: {sorted(counts)}.")
    losses = [statistics.median(r["loss"] for r in each) for each in runs.values()]
    spread = max(losses) / min(losses) - 1
    print(
        f"{counts.pop():,} trained parameters in each. Losses, means over {steps} "
        f"batches, differ by {100 * spread:.1f} %."
    )
    if spread > tolerance:
        raise SystemExit("The variants did not do the same work: compare nothing.")
