"""Time and memory of one dense autoencoder, trained in other ways and in ours.

Run as `python benchmarks/dense_autoencoder.py`; what is measured, and how, is in
README.md beside this file. Needs Linux or macOS.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

from rounds import (
    BATCH,
    IMAGES,
    Result,
    against_peers,
    import_framework,
    in_turns,
    peak_mb,
    plain_pixels,
    sample,
    table,
    tensor_batches,
    training_images,
    without_torch,
)

TIMED_EPOCHS = 5
Mark = Callable[[], None]

VARIANTS = {
    "plain": "float64 arrays, plain `fit`",
    "torch": "PyTorch, batches of one float32 tensor",
    "torch+compile": "the same, with `torch.compile`",
    "sslkit+pipeline": "uint8 arrays, `sslkit.data.batches`",
    "sslkit+xla": "the same, with XLA",
    "sslkit": "the same, with XLA and 47 batches per call",
}
SETTINGS = {
    "sslkit+pipeline": {"jit_compile": False, "steps_per_execution": 1},
    "sslkit+xla": {"jit_compile": True, "steps_per_execution": 1},
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


def torch_way(begin: Mark, end: Mark, compiled: bool) -> list[float]:
    """Train in PyTorch: the same network, batches gathered from one tensor."""
    import torch
    from torch import nn

    images = torch.as_tensor(plain_pixels()).view(-1, 784).float().div_(255)
    model = nn.Sequential(
        nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 784), nn.Sigmoid()
    )
    for layer in (model[0], model[2]):  # as Keras draws them
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
    optimizer = torch.optim.Adam(model.parameters(), eps=1e-7)
    network = torch.compile(model) if compiled else model
    batches = tensor_batches(images, torch.Generator().manual_seed(0))
    steps = len(images) // BATCH
    losses = []
    for _ in range(1 + TIMED_EPOCHS):
        begin()
        total = torch.zeros(())
        for _ in range(steps):
            x = next(batches)
            loss = nn.functional.mse_loss(network(x), x)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach()
        losses.append(float(total) / steps)
        end()
    return losses


def measure(variant: str) -> Result:
    """Train one variant in this process, which must be fresh."""
    import_framework(variant)
    imports_mb = peak_mb()
    starts: list[tuple[float, float]] = []
    wall: list[float] = []
    cpu: list[float] = []

    def begin() -> None:
        starts.append((time.perf_counter(), time.process_time()))

    def end() -> None:
        wall.append(time.perf_counter() - starts[-1][0])
        cpu.append(time.process_time() - starts[-1][1])

    if variant.startswith("torch"):
        losses = torch_way(begin, end, compiled=variant == "torch+compile")
    else:
        import keras

        clock = keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: begin(),
            on_epoch_end=lambda epoch, logs: end(),
        )
        plain = variant == "plain"
        losses = plain_way(clock) if plain else our_way(clock, **SETTINGS[variant])
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

    variants = without_torch(VARIANTS)
    runs, footnote = in_turns(__file__, variants, arguments.repeats)
    columns = {"cpu": "CPU s per epoch", "first": "first epoch, s"}
    print(f"{table(variants, runs, **columns)}\n\n{against_peers(runs)}\n{footnote}")

    losses = [statistics.median(r["loss"] for r in each) for each in runs.values()]
    spread = max(losses) / min(losses) - 1
    print(f"Losses after {1 + TIMED_EPOCHS} epochs differ by {100 * spread:.1f} %.")
    if spread > 0.1:  # Two seeds of one way differ by nearly as much.
        raise SystemExit("The variants did not do the same work: compare nothing.")


if __name__ == "__main__":
    main()
