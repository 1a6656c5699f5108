"""Processor seconds until the features of SimCLR reach an accuracy: ours and others'.

Run as `python benchmarks/simclr_to_accuracy.py`; what is measured, how, and what is
unfair about it, is in README.md beside this file. Needs Linux or macOS.
"""

import argparse
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from rounds import BATCH, Result, in_fresh_process, machine, without_torch

TARGETS = 0.97, 0.98
"""Accuracies to reach; training ends with the last."""
EVERY = 50
"""Steps between two checkpoints."""
NEIGHBOURS_AMONG = 20_000
"""Training images, the first ones, whose labels the checkpoints use."""
FIT = 50_000
"""Images to train on. The embedded sample is repeated up to that many."""
FEATURES = 128
CHANNELS = 32, 64, 128

KERAS_BATCH = 525
LIGHTLY = "lightly", "lightly+adam"
VARIANTS = {
    "ours": "`sslkit.contrastive.SimCLR`",
    "keras": "recipe of the Keras example",
    "keras-flip": "the same without flips",
    "lightly": "recipe of the lightly example",
    "lightly+adam": "the same with Adam at its default rate",
}


class Digits(NamedTuple):
    """Images to train on, and those to judge with; uint8 `[n, 28, 28]`."""

    fit: Any
    near: Any
    y_near: Any
    val: Any
    y_val: Any


def digits() -> Digits:
    """MNIST as `SSLKIT_DATA` has it, or the embedded sample."""
    import numpy as np

    from sslkit import data

    whole = data.load_mnist("folder" if "SSLKIT_DATA" in os.environ else "sample")
    x, y, x_val, y_val = whole.train_val()
    near = slice(NEIGHBOURS_AMONG)
    return Digits(np.resize(x, (FIT, 28, 28)), x[near], y[near], x_val, y_val)


class Clock:
    """Times of one training. They stand still while its encoder is judged.

    Args:
        images: What the encoder is judged with.
        encode: From float images `[batch, 28, 28]` in [0, 1] to features.
        budget: Processor seconds after which training ends in any case.
    """

    def __init__(
        self, images: Digits, encode: Callable[[Any], Any], budget: float
    ) -> None:
        self.images = images
        self.encode = encode
        self.budget = budget
        self.steps = 0
        self.spent = 0.0, 0.0
        self.checkpoints: list[tuple[int, float, float, float]] = []

    def start(self) -> None:
        """Let the times run on."""
        self.since = time.process_time(), time.perf_counter()

    def step(self) -> bool:
        """Count a step, judge if it is time to. Returns whether training is over."""
        self.steps += 1
        cpu = self.spent[0] + time.process_time() - self.since[0]
        if self.steps % EVERY == 0 or cpu >= self.budget:
            self.judge()
        return cpu >= self.budget or bool(
            self.checkpoints and self.checkpoints[-1][3] >= TARGETS[-1]
        )

    def judge(self) -> None:
        """Stop the times, note them beside the accuracy, let them run on."""
        cpu, wall = self.since
        self.spent = (
            self.spent[0] + time.process_time() - cpu,
            self.spent[1] + time.perf_counter() - wall,
        )
        from sslkit import evaluate

        images = self.images
        split = evaluate.Features(
            evaluate.embed(self.encode, images.near),
            images.y_near,
            evaluate.embed(self.encode, images.val),
            images.y_val,
        )
        accuracy = evaluate.knn_probe(split, k=20)
        self.checkpoints.append((self.steps, *self.spent, accuracy))
        self.start()

    def result(self) -> Result:
        """All checkpoints, the last one after the last step."""
        if not self.checkpoints or self.checkpoints[-1][0] < self.steps:
            self.judge()
        return {"checkpoints": self.checkpoints}


def fit(model: Any, batches: Any, clock: Clock, epochs: int) -> Result:
    """Train a Keras model until the clock says that it is over."""
    import keras

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.model.stop_training = clock.step()

    clock.start()
    model.fit(batches, epochs=epochs, shuffle=False, verbose=0, callbacks=[Watch()])
    return {**clock.result(), "parameters": model.encoder.count_params()}


def our_way(images: Digits, seed: int, budget: float) -> Result:
    """Train with the package, as the chapter on contrastive learning does."""
    import keras

    from sslkit import contrastive, data, networks

    epochs = 5
    encoder = networks.batchnorm_encoder(FEATURES, CHANNELS, momentum=0.9)
    model = contrastive.SimCLR(
        encoder,
        networks.projector(FEATURES),
        contrastive.digit_views(seed),
        temperature=0.2,
    )
    batches = data.batches(images.fit, BATCH, seed=seed)
    rate = keras.optimizers.schedules.CosineDecay(2e-3, epochs * len(batches))
    model.compile(optimizer=keras.optimizers.Adam(rate))
    return fit(model, batches, Clock(images, encoder, budget), epochs)


def keras_model(flip: bool) -> Any:
    """Model of the Keras example, compiled, in plain Keras and TensorFlow.

    keras.io/examples/vision/semisupervised_simclr: its views, loss, head and
    optimizer. The images have one channel, and the encoder is that of our way.
    """
    import keras
    import tensorflow as tf
    from keras import layers

    width, temperature = 128, 0.1
    min_area, brightness, jitter = 0.25, 0.6, 0.2

    class ColourAffine(layers.Layer):
        """Random linear map of the channels: with one channel, a gain, clipped."""

        def call(self, images: Any, training: bool = True) -> Any:
            if not training:
                return images
            size = tf.shape(images)[0]
            gain = 1 + tf.random.uniform((size, 1, 1, 1), -brightness, brightness)
            mixed = tf.random.uniform((size, 1, 1, 1), -jitter, jitter)
            change = tf.eye(1, batch_shape=[size, 1]) * gain + mixed
            return tf.clip_by_value(tf.matmul(images, change), 0, 1)

    zoom = 1 - math.sqrt(min_area)
    changes = [
        layers.Rescaling(1 / 255),
        layers.RandomFlip("horizontal"),
        layers.RandomTranslation(zoom / 2, zoom / 2),
        layers.RandomZoom((-zoom, 0.0), (-zoom, 0.0)),
        ColourAffine(),
    ]
    if not flip:
        del changes[1]

    network: list[Any] = [keras.Input((28, 28, 1))]
    for channels in CHANNELS:
        network += [
            layers.Conv2D(channels, 3, strides=2, padding="same", use_bias=False),
            layers.BatchNormalization(momentum=0.9),
            layers.ReLU(),
        ]
    network += [layers.Flatten(), layers.Dense(FEATURES)]

    class Contrastive(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.augmenter = keras.Sequential(changes)
            self.encoder = keras.Sequential(network)
            self.head = keras.Sequential(
                [
                    keras.Input((FEATURES,)),
                    layers.Dense(width, activation="relu"),
                    layers.Dense(width),
                ]
            )
            self.tracker = keras.metrics.Mean(name="loss")

        @property
        def metrics(self) -> list[Any]:
            return [self.tracker]

        def compile(self, contrastive_optimizer: Any) -> None:
            super().compile()
            self.contrastive_optimizer = contrastive_optimizer

        def project(self, images: Any) -> Any:
            features = self.encoder(images, training=True)
            return tf.math.l2_normalize(self.head(features, training=True), axis=1)

        def train_step(self, images: Any) -> dict[str, Any]:
            first = self.augmenter(images, training=True)
            second = self.augmenter(images, training=True)
            with tf.GradientTape() as tape:
                alike = tf.matmul(
                    self.project(first), self.project(second), transpose_b=True
                )
                logits = alike / temperature
                own = tf.range(tf.shape(logits)[0])
                there, back = (
                    keras.losses.sparse_categorical_crossentropy(
                        own, each, from_logits=True
                    )
                    for each in (logits, tf.transpose(logits))
                )
                # One number per image, whose sum the tape differentiates.
                loss = (there + back) / 2
            weights = self.encoder.trainable_weights + self.head.trainable_weights
            gradients = tape.gradient(loss, weights)
            self.contrastive_optimizer.apply_gradients(
                zip(gradients, weights, strict=True)
            )
            self.tracker.update_state(loss)
            return {"loss": self.tracker.result()}

    model = Contrastive()
    model.compile(contrastive_optimizer=keras.optimizers.Adam())
    return model


def keras_batches(images: Any, batch: int) -> Any:
    """Batches of uint8 images `[n, 28, 28]` as the Keras example makes them."""
    import tensorflow as tf

    return (
        tf.data.Dataset.from_tensor_slices(images[..., None])
        .shuffle(10 * batch)
        .batch(batch)
        .prefetch(tf.data.AUTOTUNE)
    )


def keras_way(images: Digits, budget: float, flip: bool) -> Result:
    """Train by the recipe of the Keras example."""
    model = keras_model(flip)
    clock = Clock(images, lambda x: model.encoder(x[..., None], training=False), budget)
    # The example's 20 epochs have 4,000 steps. At a constant rate it can go on.
    return fit(model, keras_batches(images.fit, KERAS_BATCH), clock, epochs=10**6)


def lightly_networks() -> tuple[Any, Any]:
    """Encoder of our way and projection head of lightly's example, in PyTorch."""
    import torch
    from lightly.models.modules import SimCLRProjectionHead
    from torch import nn

    network: list[nn.Module] = []
    for before, after in zip((1, *CHANNELS), CHANNELS, strict=False):
        network += [
            nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(after, eps=1e-3, momentum=0.1),  # momentum 0.9 in Keras
            nn.ReLU(),
        ]
    encoder = nn.Sequential(*network, nn.Flatten(), nn.LazyLinear(FEATURES))
    encoder(torch.zeros(2, 1, 28, 28))
    return encoder, SimCLRProjectionHead(FEATURES, FEATURES, 128)


def lightly_loader(images: Any, workers: int) -> Any:
    """Batches of two views of uint8 images `[n, 28, 28]`, as lightly makes them.

    Its views for SimCLR, without blur; the images are not standardised.
    """
    import torch
    from lightly.transforms import SimCLRTransform
    from PIL import Image

    transform = SimCLRTransform(input_size=28, gaussian_blur=0.0, normalize=None)

    class Views(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(images)

        def __getitem__(self, i: int) -> Any:
            return transform(Image.fromarray(images[i]))

    return torch.utils.data.DataLoader(
        Views(), batch_size=BATCH, shuffle=True, drop_last=True, num_workers=workers
    )


def lightly_way(images: Digits, seed: int, budget: float, adam: bool) -> Result:
    """Train by the recipe of lightly's example for PyTorch, `examples/pytorch/simclr`.

    Its views without blur, loss, head, batches and optimizer. The images have one
    channel and are not standardised; the encoder is that of our way.
    """
    import torch
    from lightly.loss import NTXentLoss

    torch.manual_seed(seed)
    encoder, head = lightly_networks()
    weights = [*encoder.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(weights) if adam else torch.optim.SGD(weights, lr=0.06)
    criterion = NTXentLoss()

    def encode(x: Any) -> Any:
        encoder.eval()
        with torch.no_grad():
            features = encoder(torch.as_tensor(x)[:, None]).numpy()
        encoder.train()
        return features

    # No workers: the clock sees the processor seconds of this process only.
    loader = lightly_loader(images.fit, workers=0)
    clock = Clock(images, encode, budget)
    over = False
    clock.start()
    while not over:
        for first, second in loader:
            loss = criterion(head(encoder(first)), head(encoder(second)))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            over = clock.step()
            if over:
                break
    # Keras counts the running averages too.
    tensors = {**encoder.state_dict()}.items()
    count = sum(t.numel() for name, t in tensors if "num_batches" not in name)
    return {**clock.result(), "parameters": count}


def measure(variant: str, seed: int, budget: float) -> Result:
    """Train one variant in this process, which must be fresh."""
    images = digits()
    if variant in LIGHTLY:
        return lightly_way(images, seed, budget, adam=variant == "lightly+adam")
    import keras

    keras.utils.set_random_seed(seed)
    if variant == "ours":
        return our_way(images, seed, budget)
    return keras_way(images, budget, flip=variant == "keras")


def seconds_to(run: Result, target: float) -> float:
    """Processor seconds to the first checkpoint that reaches it, or infinity."""
    passed = (cpu for _, cpu, _, accuracy in run["checkpoints"] if accuracy >= target)
    return next(passed, math.inf)


def steps_and_images(variant: str, runs: list[Result]) -> float:
    """About how many images the runs took in all, the median."""
    batch = KERAS_BATCH if variant.startswith("keras") else BATCH
    return batch * statistics.median(run["checkpoints"][-1][0] for run in runs)


def cell(runs: list[Result], target: float) -> str:
    """Median over the runs, and the range; or how far they got without reaching it."""
    times = sorted(seconds_to(run, target) for run in runs)
    middle = statistics.median(times)
    if math.isinf(middle):
        used = statistics.median(run["checkpoints"][-1][1] for run in runs)
        # Of two runs the worse, or it might say that the target was reached.
        best = statistics.median_low(
            max(row[3] for row in run["checkpoints"]) for run in runs
        )
        return f"not in {used:.0f} s, best {100 * best:.1f} %"
    if len(times) == 1:
        return f"{middle:.1f}"
    last = "not reached" if math.isinf(times[-1]) else f"{times[-1]:.1f}"
    return f"{middle:.1f} ({times[0]:.1f} to {last})"


def ratio(runs: list[Result], ours: list[Result], target: float) -> str:
    """Median of the runs over that of ours; a lower bound if they did not reach it."""
    theirs, own = (
        statistics.median(seconds_to(run, target) for run in each)
        for each in (runs, ours)
    )
    if math.isinf(own):
        return "–"
    if math.isinf(theirs):
        used = min(run["checkpoints"][-1][1] for run in runs)
        return f"above {used / own:.1f}"
    return f"{theirs / own:.2f}"


def table(runs: dict[str, list[Result]]) -> str:
    """Lay out what each way took, in Markdown."""
    names = [f"{100 * target:.0f} %" for target in TARGETS]
    heads = [
        "way",
        *(f"CPU s to {name}" for name in names),
        "wall s in all",
        "images in all",
        *(f"times ours, {name}" for name in names),
    ]
    lines = ["| " + " | ".join(heads) + " |", "|---" + "|---:" * (len(heads) - 1) + "|"]
    for variant, each in runs.items():
        wall = statistics.median(run["checkpoints"][-1][2] for run in each)
        cells = [
            VARIANTS[variant],
            *(cell(each, target) for target in TARGETS),
            f"{wall:.1f}",
            f"{steps_and_images(variant, each):,.0f}",
            *(ratio(each, runs["ours"], target) for target in TARGETS),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run every way in turn, once per seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1, help="runs of each way")
    parser.add_argument(
        "--budget", type=float, default=600, help="CPU seconds of a run, at most"
    )
    parser.add_argument("--save", type=Path, help="JSON file for all checkpoints")
    parser.add_argument("--variant", choices=VARIANTS, help="one, in this process")
    parser.add_argument("--seed", type=int, default=0, help="of that one")
    arguments = parser.parse_args()
    if arguments.seeds < 1 or arguments.budget <= 0:
        parser.error("--seeds must be at least 1, and --budget above 0.")
    if arguments.variant:
        print(json.dumps(measure(arguments.variant, arguments.seed, arguments.budget)))
        return

    load_before = os.getloadavg()[0]
    runs: dict[str, list[Result]] = {way: [] for way in without_torch(VARIANTS)}
    for seed in range(arguments.seeds):
        for way, results in runs.items():
            options = "--seed", str(seed), "--budget", str(arguments.budget)
            results.append(in_fresh_process(__file__, way, *options))
            steps, cpu, wall, accuracy = results[-1]["checkpoints"][-1]
            print(
                f"{way}, seed {seed}: {steps} steps, {cpu:.0f} CPU s, {wall:.0f} s, "
                f"{100 * accuracy:.2f} %",
                file=sys.stderr,
                flush=True,
            )
            if arguments.save:
                arguments.save.write_text(json.dumps(runs))

    if "SSLKIT_DATA" in os.environ:
        source = "MNIST"
    else:
        source = "the embedded sample, repeated (SSLKIT_DATA is not set)"
    print(
        f"{table(runs)}\n\n{FIT:,} training images: {source}. A checkpoint every "
        f"{EVERY} steps. Runs of each way: {arguments.seeds}; medians.\n"
        f"Machine: {machine(load_before)}."
    )
    counts = {run["parameters"] for each in runs.values() for run in each}
    if len(counts) > 1:
        raise SystemExit(f"Encoders differ, in parameters: {sorted(counts)}.")
    print(f"{counts.pop():,} parameters in each encoder, running averages included.")


if __name__ == "__main__":
    main()
