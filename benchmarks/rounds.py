"""What the benchmarks share: data, clock, rounds of fresh processes, the table."""

import argparse
import itertools
import json
import math
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
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
SQUARE = 2048
"""Side of the matrices whose product shows what the machine can do."""

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

    arguments = {"epochs": 1, "steps_per_epoch": steps, "verbose": 0, **settings}
    marks: dict[int, tuple[float, float]] = {}

    class Clock(keras.callbacks.Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            marks[0] = time.perf_counter(), time.process_time()

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            # With several batches per call this runs once per call, after it.
            marks[batch + 1] = time.perf_counter(), time.process_time()

    profile = profiled(model, images, arguments) if "--profile" in sys.argv else {}
    history = model.fit(images, callbacks=[Clock()], **arguments).history
    wall, cpu = (marks[steps][i] - marks[LEFT_OUT][i] for i in (0, 1))
    return {
        "images_per_s": (steps - LEFT_OUT) * BATCH / wall,
        "cpu": 1000 * cpu / (steps - LEFT_OUT),
        "first_s": marks[LEFT_OUT][0] - marks[0][0],
        "parameters": sum(w.shape.num_elements() for w in model.trainable_weights),
        "history": {name: values[-1] for name, values in history.items()},
        **profile,
    }


def profiled(model: Any, images: Any, arguments: Result) -> Result:
    """What the operations of a step take, how many they are, what products could do.

    Trains for the first `LEFT_OUT + PROFILED` batches.
    """
    import keras
    import tensorflow as tf

    class Profile(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch + 1 == LEFT_OUT:
                tf.profiler.experimental.start(folder)
            if batch + 1 == LEFT_OUT + PROFILED:
                tf.profiler.experimental.stop()

    with TemporaryDirectory() as folder:
        steps = {"steps_per_epoch": LEFT_OUT + PROFILED}
        model.fit(images, callbacks=[Profile()], **{**arguments, **steps})
        found = operations(folder)
    shape = getattr(images, "element_spec", images).shape
    return {
        "operations": found,
        "products": products_per_step(model, tuple(shape[1:])),
        "product_rate": product_rate(),
    }


def train_torch(
    step: Callable[[Any], dict[str, Any]], batches: Iterable[Any], steps: int
) -> Result:
    """Time training in PyTorch as `train` does that of Keras models.

    Args:
        step: Takes a batch, changes the weights, returns the losses by name.
        batches: What to train on, endless or at least `steps` long.
        steps: Batches in all, of which `LEFT_OUT` are not timed.
    """
    history: dict[str, list[Any]] = {}
    marks = {0: (time.perf_counter(), time.process_time())}
    for number, batch in enumerate(itertools.islice(batches, steps), 1):
        for name, loss in step(batch).items():
            history.setdefault(name, []).append(loss.detach())
        marks[number] = time.perf_counter(), time.process_time()
    wall, cpu = (marks[steps][i] - marks[LEFT_OUT][i] for i in (0, 1))
    return {
        "images_per_s": (steps - LEFT_OUT) * BATCH / wall,
        "cpu": 1000 * cpu / (steps - LEFT_OUT),
        "first_s": marks[LEFT_OUT][0] - marks[0][0],
        "history": {
            name: statistics.fmean(float(loss) for loss in losses)
            for name, losses in history.items()
        },
    }


def tensor_batches(images: Any, generator: Any) -> Iterator[Any]:
    """Endless batches `[BATCH, ...]` of a PyTorch tensor, in a new order each time.

    They are gathered with one operation each, which a `DataLoader`, going image by
    image, is no match for.
    """
    import torch

    while True:
        order = torch.randperm(len(images), generator=generator)
        for start in range(0, len(images) - BATCH + 1, BATCH):
            yield images[order[start : start + BATCH]]


def torch_parameters(*networks: Any) -> int:
    """Number of weights that PyTorch trains."""
    return sum(w.numel() for network in networks for w in network.parameters())


def product_rate() -> float:
    """Floating-point operations per second of large matrix products in float32."""
    import tensorflow as tf

    a = tf.random.normal((SQUARE, SQUARE))
    seconds = []
    for _ in range(12):
        start = time.perf_counter()
        tf.matmul(a, a).numpy()
        seconds.append(time.perf_counter() - start)
    return 2 * SQUARE**3 / statistics.median(seconds[2:])


def products_per_step(model: Any, shape: tuple[int, ...]) -> float:
    """Floating-point operations of a training step in products and convolutions.

    Counted by TensorFlow in the graph of `train_step`: the gradients are in.
    """
    import tensorflow as tf

    spec = tf.TensorSpec((BATCH, *shape), tf.float32)
    graph = tf.function(model.train_step).get_concrete_function(spec).graph
    profiler = tf.compat.v1.profiler
    everything = profiler.ProfileOptionBuilder.float_operation()
    builder = profiler.ProfileOptionBuilder(everything).with_empty_output()
    options = builder.with_accounted_types([".*MatMul", "Conv2D.*"]).build()
    return float(profiler.profile(graph=graph, options=options).total_float_ops)


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


def against_peers(runs: dict[str, list[Result]]) -> str:
    """One line: the package's fastest way against the fastest of the others.

    PyTorch and plain Keras count as peers; of every way the median over the rounds.
    """
    speed = {
        way: statistics.median(run["images_per_s"] for run in each)
        for way, each in runs.items()
    }
    ours, peer = (
        max((way for way in speed if way.startswith(names)), key=lambda way: speed[way])
        for names in ("sslkit", ("plain", "torch"))
    )
    ratios = sorted(
        a["images_per_s"] / b["images_per_s"]
        for a, b in zip(runs[ours], runs[peer], strict=True)
    )
    return (
        f"`{ours}` over the better peer, `{peer}`: {statistics.median(ratios):.2f} "
        f"times ({ratios[0]:.2f} to {ratios[-1]:.2f})."
    )


def import_framework(variant: str) -> None:
    """Import what a way needs, whose memory is then not counted as its own; seed it."""
    if variant.startswith("torch"):
        import torch

        torch.manual_seed(0)
        return
    import keras
    import tensorflow  # noqa: F401

    keras.utils.set_random_seed(0)


def shares(found: dict[str, Result]) -> str:
    """Lay out what each kind of operation takes, and how fast it is, in Markdown."""
    rows: dict[str, list[str]] = {}
    for result in found.values():
        times = result["operations"]
        whole = sum(times.values())
        for kind in [*KINDS, "the rest", "all"]:
            part = times.get(kind, whole)
            cell = f"{part:.1f} ({100 * part / whole:.0f} %)"
            rows.setdefault(f"{kind}, ms (share)", []).append(cell)
        passed = BATCH / result["images_per_s"]
        rate, best = result["products"] / passed, result["product_rate"]
        for name, cell in {
            "a step by the clock, ms": f"{1000 * passed:.1f}",
            "GFLOP of products and convolutions": f"{result['products'] / 1e9:.2f}",
            "GFLOP/s of the step": f"{rate / 1e9:.0f}",
            f"GFLOP/s of a product of {SQUARE} x {SQUARE}": f"{best / 1e9:.0f}",
            "reached": f"{100 * rate / best:.0f} %",
        }.items():
            rows.setdefault(name, []).append(cell)
    lines = ["| | " + " | ".join(found) + " |", "|---" + "|---:" * len(found) + "|"]
    lines += [f"| {name} | " + " | ".join(cells) + " |" for name, cells in rows.items()]
    return "\n".join(lines)


def importable(*modules: str) -> bool:
    """Whether another process can import them; this one stays as it is."""
    command = [sys.executable, "-c", f"import {', '.join(modules)}"]
    return subprocess.run(command, capture_output=True).returncode == 0


def without_torch(variants: dict[str, str]) -> dict[str, str]:
    """The ways that this environment can go, with a line on those it cannot."""
    if importable("torch", "torchvision", "lightly.loss", "lightly.transforms"):
        return variants
    print("Left out, since PyTorch and lightly cannot be imported: their ways.\n")
    theirs = "torch", "lightly"
    return {way: what for way, what in variants.items() if not way.startswith(theirs)}


def machine(load_before: float) -> str:
    """Name what the figures depend on, but neither host nor path."""
    from importlib.metadata import version

    names = ["keras", "tensorflow", "numpy"]
    if importable("torch", "lightly.loss"):
        names += ["torch", "lightly"]
    packages = ", ".join(f"{name} {version(name)}" for name in names)
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
    tolerance: float = math.inf,
) -> None:
    """Command line of a benchmark that times the batches of one epoch.

    Args:
        file: The script, `__file__`.
        what: Its first line, for `--help`.
        variants: Name and description of each way, `"plain"` first. Names that begin
            with "torch" need PyTorch and lightly, the package's begin with "sslkit".
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
        import_framework(arguments.variant)
        imports_mb = peak_mb()
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
        options = "--profile", "--steps", str(steps)
        found = {
            variant: in_fresh_process(file, variant, *options)
            for variant in ("plain", "sslkit")
        }
        print(shares(found))
        return
    if arguments.repeats < 3:
        parser.error("--repeats must be at least 3: a median of fewer says little.")

    variants = without_torch(variants)
    runs, footnote = in_turns(file, variants, arguments.repeats, "--steps", str(steps))
    print(f"{table(variants, runs)}\n\n{against_peers(runs)}\n{footnote}")
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
