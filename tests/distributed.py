"""What `test_distribute.py` runs in processes of its own; see `main` at the end.

TensorFlow can be told to see two devices, or to be one of several workers, only before
it does anything else.
"""

import json
import sys
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from sslkit import (
    aae,
    audio,
    augment,
    autoencoder,
    clustering,
    contrastive,
    distribute,
    gan,
    labels,
    losses,
    mae,
    noncontrastive,
    pretext,
    text,
    vae,
)

# ------------------------------------------- numbers that do not depend on the replica


def _table(shape):
    rest = [int(n) for n in shape[1:]]
    return np.random.default_rng([9, *rest]).random((2, *rest)), shape[0]


def _rows(table, n):
    # Odd and even rows differ, and the first row of a part is an even one.
    return tf.gather(tf.constant(table), tf.range(n) % 2)


def uniform(shape, minval=0.0, maxval=1.0, dtype=None, seed=None):
    table, n = _table(shape)
    return _rows((minval + (maxval - minval) * table).astype("float32"), n)


def normal(shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
    table, n = _table(shape)
    return _rows((mean + stddev * 3.4 * (table - 0.5)).astype("float32"), n)


def randint(shape, minval, maxval, dtype="int32", seed=None):
    table, n = _table(shape)
    return _rows(np.floor(minval + (maxval - minval) * table).astype(dtype), n)


class TwoShifts(keras.layers.Layer):
    """The first view as it is, the second a bit lower: calls take turns."""

    calls = 0

    def call(self, x, training=False):
        self.calls += 1
        return ops.roll(x, 2 * (self.calls % 2), axis=1) * (1 - 0.2 * (self.calls % 2))


# ----------------------------------------------------------------------- small models


def network(inputs, *widths, activation=None, shape=None, norm=False):
    layers = [keras.Input(inputs), keras.layers.Flatten()]
    if norm:
        layers += [keras.layers.Dense(8), keras.layers.BatchNormalization(momentum=0.9)]
        layers += [keras.layers.Activation("tanh")]
    layers += [keras.layers.Dense(width) for width in widths[:-1]]
    layers += [keras.layers.Dense(widths[-1], activation=activation)]
    if shape:
        layers.append(keras.layers.Reshape(shape))
    return keras.Sequential(layers)


def encoder(features=6):
    return network((28, 28), features, norm=True)


def decoder(features=6, activation="sigmoid", norm=False):
    shape = (28, 28)
    return network((features,), 784, activation=activation, shape=shape, norm=norm)


def judge(inputs=(28, 28), norm=False):
    return network(inputs, 8, 1, norm=norm)


def views(projector=6):
    return encoder(), network((6,), projector), TwoShifts()


def predictor():
    return network((6,), 6, norm=True)


METHODS = {
    "autoencoder": lambda: autoencoder.Autoencoder(encoder(), decoder()),
    "denoising": lambda: autoencoder.DenoisingAutoencoder(
        encoder(), decoder(), noise=0.3, masked=0.2
    ),
    "sparse": lambda: autoencoder.SparseAutoencoder(encoder(), decoder(), penalty=0.1),
    "contractive": lambda: autoencoder.ContractiveAutoencoder(
        encoder(), decoder(), penalty=0.01
    ),
    "vae": lambda: vae.VAE(encoder(12), decoder(activation=None), beta=2.0),
    "aae": lambda: aae.AdversarialAutoencoder(
        encoder(2), decoder(2), judge((2,)), aae.MixturePrior(3), discriminator_steps=2
    ),
    "gan": lambda: gan.GAN(decoder(norm=True), judge(norm=True)),
    "wgan": lambda: gan.WassersteinGAN(decoder(norm=True), judge(), critic_steps=2),
    "rotation": lambda: pretext.RotationPredictor(encoder(), network((6,), 4)),
    "jigsaw": lambda: pretext.Jigsaw(
        encoder(), network((6,), 4), pretext.permutations(4), size=10
    ),
    "mae": lambda: mae.MaskedAutoencoder(
        mae.patch_encoder(7, d=8, blocks=1, heads=2),
        mae.patch_decoder(7, d=8, width=4, heads=2),
    ),
    "simclr": lambda: contrastive.SimCLR(*views()),
    "moco": lambda: contrastive.MoCo(*views(), momentum=0.9, queue=12),
    "simsiam": lambda: noncontrastive.SimSiam(*views(), predictor=predictor()),
    "byol": lambda: noncontrastive.BYOL(*views(), predictor=predictor(), momentum=0.9),
    "barlow": lambda: noncontrastive.BarlowTwins(*views(), weight=0.1),
    "vicreg": lambda: noncontrastive.VICReg(*views()),
    "swav": lambda: clustering.SwAV(*views(4)),
    "dino": lambda: clustering.DINO(*views(4), momentum=0.9),
    "iic": lambda: clustering.IIC(*views(7), clusters=(3, 4)),
    "heads": lambda: labels.ClusterHeads(clusters=3, heads=2, hidden=8),
    "skip-gram": lambda: text.SkipGram(
        np.arange(1, 21), d=6, negatives=3, word=keras.layers.Embedding(20, 6)
    ),
    "masked words": lambda: text.MaskedLanguageModel(
        text.transformer_encoder(20, d=8, heads=2, blocks=1, length=10),
        text.word_head(20, d=8),
        share=0.4,
    ),
    "masked sound": lambda: audio.MaskedModel(
        network((32, 32), 6, norm=True),
        network((6,), 1024, shape=(32, 32)),
        augment.RandomMask(4, 0.5, seed=0),
    ),
}


# Steps of about the same length, whatever a loss is the mean of.
RATES = {"autoencoder": 30.0, "denoising": 30.0, "sparse": 0.5, "mae": 3.0}
RATES |= {"heads": 1.0, "skip-gram": 30.0, "wgan": 0.01, "vicreg": 0.03, "iic": 3.0}
RATES |= {"masked sound": 3.0, "aae": 0.2}


# A graph takes longer to make than to run. These gather nothing, for which the shapes
# in a graph matter.
EAGER = {"autoencoder", "denoising", "vae", "wgan", "rotation", "jigsaw", "mae", "byol"}
EAGER |= {"simsiam", "skip-gram", "masked words", "masked sound"}


def inputs(name):
    rng = np.random.default_rng(1)
    if name == "heads":
        return rng.normal(size=(16, 2, 8)).astype("float32")
    if name == "skip-gram":
        return rng.integers(0, 20, (16, 2), "int32")
    if name == "masked words":
        ids = rng.integers(text.MASK + 1, 20, (16, 10), "int32")
        ids[np.arange(10) >= rng.integers(2, 11, (16, 1))] = text.PAD
        return ids
    side = 32 if name == "masked sound" else 28
    return rng.random((16, side, side)).astype("float32")


def make(name, rate=None, **kwargs):
    rate = rate or RATES.get(name, 0.1)
    keras.utils.set_random_seed(7)
    model = METHODS[name]()
    names = getattr(model, "optimizers", ("optimizer",))
    model.compile(**{each: keras.optimizers.SGD(rate) for each in names}, **kwargs)
    return model


def report(model, x, judge):
    reported = model.fit(x, batch_size=8, shuffle=False, verbose=0).history
    if judge:
        judged = model.evaluate(x, batch_size=8, verbose=0, return_dict=True)
        reported |= {f"val_{key}": value for key, value in judged.items()}
    return {key: np.ravel(value) for key, value in reported.items()}


def together(name, strategy, judge=False, **kwargs):
    """Take two steps with eight examples each; the model, and what it reported."""
    with strategy.scope():
        model = distribute.synchronise(make(name, **kwargs))
    return model, report(model, inputs(name), judge)


def alone(name, judge=False, **kwargs):
    """The same on one device, and the weights before."""
    model, x = make(name, run_eagerly=True, **kwargs), inputs(name)
    if not model.built:
        model(x[:8])
    before = trained(model)
    return model, report(model, x, judge), before


def trained(model):
    return [ops.convert_to_numpy(weight) for weight in model.trainable_weights]


def difference(truth, found):
    """Largest difference, as a share of what is above 1."""
    return max(
        float(np.max(np.abs(np.subtract(x, y)) / np.maximum(1, np.abs(x))))
        for x, y in zip(truth, found, strict=True)
    )


# ------------------------------------------------------------------- two devices


def compare(name, two):
    """How much one device and two replicas differ after two steps."""
    judge = name == "gan"
    ours, reported = together(name, two, judge, run_eagerly=name in EAGER)
    model, truth, before = alone(name, judge)
    assert sorted(truth) == sorted(reported)
    expected = model.get_weights()
    return {
        "moved": difference(trained(model), before),
        "weights": difference(expected, ours.get_weights()),
        "reported": difference(truth.values(), [reported[key] for key in truth]),
        "names": sorted(truth),
    }


def draws(two):
    """Random numbers of both replicas, and those of one device."""

    def pair(generator):
        return [keras.random.uniform((3,), seed=generator) for _ in range(2)]

    one = pair(keras.random.SeedGenerator(5))
    with two.scope():
        generator = distribute.SeedGenerator(5)
        dropout = distribute.independent(keras.layers.Dropout(0.5, seed=1))
        noise = augment.GaussianNoise(0.5, seed=1)
    ones = np.full((1, 8, 8), 0.5, "float32")
    found = {"numbers": two.run(pair, (generator,))}
    for layer in (dropout, noise):
        found[layer.name] = two.run(lambda layer=layer: layer(ones, training=True))
    replicas = {
        name: [
            np.stack(
                [np.asarray(part) for part in two.experimental_local_results(each)]
            )
            for each in tf.nest.flatten(value)
        ]
        for name, value in found.items()
    }
    state = [
        np.asarray(v) for v in two.experimental_local_results(generator.state.value)
    ]
    return {
        "one": np.asarray(one).tolist(),
        "replicas": {k: np.asarray(v).tolist() for k, v in replicas.items()},
        "state": np.asarray(state).tolist(),
    }


def contrast(two):
    """Gradient of NT-Xent by a matrix that makes projections, and what goes in."""
    rng = np.random.default_rng(3)
    x, matrix = rng.normal(size=(2, 8, 5)), rng.normal(size=(5, 4))
    x, matrix = x.astype("float32"), matrix.astype("float32")
    with two.scope():
        variable = tf.Variable(matrix)

    def step(a, b):
        with tf.GradientTape() as tape:
            z = distribute.gather(tf.matmul(a, variable), tf.matmul(b, variable))
            loss = distribute.share(ops.mean(losses.nt_xent(*z, 0.3)))
        return loss, tape.gradient(loss, variable)

    def part(context):
        rows = slice(4 * context.replica_id_in_sync_group, None)
        return tuple(tf.constant(each[rows][:4]) for each in x)

    parts = two.experimental_distribute_values_from_function(part)
    loss, gradient = tf.function(lambda: two.run(step, parts))()
    loss, gradient = (two.reduce("SUM", each, None) for each in (loss, gradient))
    return {
        "x": x.tolist(),
        "matrix": matrix.tolist(),
        "loss": float(loss),
        "gradient": np.asarray(gradient).tolist(),
    }


def weighted(two):
    """Shares of weighted means, and their sum."""
    values, weights = np.arange(4.0), np.array([1.0, 2.0, 0.0, 4.0])

    def step(value, weight):
        mean = tf.math.divide_no_nan(
            tf.reduce_sum(value * weight), tf.reduce_sum(weight)
        )
        return distribute.share(mean, tf.reduce_sum(weight))

    def part(context):
        rows = slice(2 * context.replica_id_in_sync_group, None)
        return tuple(tf.constant(each[rows][:2]) for each in (values, weights))

    parts = two.experimental_distribute_values_from_function(part)
    total = two.reduce("SUM", two.run(step, parts), None)
    return {"total": float(total), "expected": float(values @ weights / weights.sum())}


def mixed(two):
    """One device and two replicas in mixed precision."""
    keras.mixed_precision.set_global_policy("mixed_float16")
    ours, model = together("aae", two, run_eagerly=True)[0], alone("aae")[0]
    keras.mixed_precision.set_global_policy("float32")
    optimizers = [getattr(ours, name) for name in ours.optimizers]
    kind = keras.optimizers.LossScaleOptimizer
    return {
        "scaled": all(isinstance(each, kind) for each in optimizers),
        "weights": difference(model.get_weights(), ours.get_weights()),
    }


def mirrored(folder, *names):
    (cpu,) = tf.config.list_physical_devices("CPU")
    devices = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, devices)
    two = distribute.strategy("mirrored")
    found = {"replicas": two.num_replicas_in_sync, "draws": draws(two)}
    found |= {"contrast": contrast(two), "weighted": weighted(two)}
    keras.random.uniform, keras.random.normal = uniform, normal
    keras.random.randint = randint
    found["methods"] = {name: compare(name, two) for name in names or METHODS}
    for name in TOGETHER:  # what the workers are compared with
        save(Path(folder, f"{name}-one.npz"), *alone(name)[:2])
    found["half"] = mixed(two)
    Path(folder, "mirrored.json").write_text(json.dumps(found))


# ------------------------------------------------------------------- two workers

TOGETHER = ("simclr", "gan")


class Beat(keras.callbacks.Callback):
    def __init__(self, path):
        super().__init__()
        self.path = path

    def on_train_batch_end(self, batch, logs=None):
        self.path.touch()
        time.sleep(1)  # leaves the processor to the other tests


def save(path, model, reported):
    np.savez(path, *model.get_weights(), **reported)


def worker(folder, index):
    workers = distribute.strategy()  # "auto" finds out
    assert workers.num_replicas_in_sync == 2
    keras.random.uniform, keras.random.normal = uniform, normal
    for name in TOGETHER:
        model, reported = together(name, workers)
        save(Path(folder, f"{name}-{index}.npz"), model, reported)
    with distribute.explain_lost_worker():
        beat = Beat(Path(folder, f"beat-{index}"))
        model.fit(
            inputs(name), batch_size=8, epochs=10_000, verbose=0, callbacks=[beat]
        )


if __name__ == "__main__":
    {"mirrored": mirrored, "worker": worker}[sys.argv[1]](*sys.argv[2:])
