"""Time and memory of one convolutional VAE, trained in the plain way and in ours.

Run as `python benchmarks/convolutional_vae.py`; what is measured, and how, is in
README.md beside this file. Needs Linux or macOS.
"""

from typing import Any

from rounds import (
    BATCH,
    Result,
    benchmark,
    plain_pixels,
    tensor_batches,
    torch_parameters,
    train,
    train_torch,
    training_images,
)

LATENT = 16
VARIANTS = {
    "plain": "float32 array, `train_step` of our own",
    "plain+onednn": "the same, with `TF_ENABLE_ONEDNN_OPTS=1`",
    "torch": "PyTorch, batches of one float32 tensor",
    "torch+last": "the same, channels last in memory",
    "sslkit": "`sslkit.vae.VAE`, `data.batches`",
    "sslkit+calls": "the same, 10 batches per call",
}


def plain_way(steps: int) -> Result:
    """Train as tutorials do: a model with a training step, one array of floats."""
    import keras
    import numpy as np
    import tensorflow as tf
    from keras import layers

    x = plain_pixels().astype("float32") / 255
    x = np.expand_dims(x, -1)

    class Sampling(layers.Layer):
        """Draw z from its mean and log-variance."""

        def __init__(self) -> None:
            super().__init__()
            self.seed_generator = keras.random.SeedGenerator(0)

        def call(self, inputs: Any) -> Any:
            mean, log_var = inputs
            shape = tf.shape(mean)
            epsilon = keras.random.normal(shape, seed=self.seed_generator)
            return mean + tf.exp(0.5 * log_var) * epsilon

    images = keras.Input((28, 28, 1))
    h = layers.Conv2D(32, 3, strides=2, padding="same", activation="relu")(images)
    h = layers.Conv2D(64, 3, strides=2, padding="same", activation="relu")(h)
    h = layers.Flatten()(h)
    mean = layers.Dense(LATENT)(h)
    log_var = layers.Dense(LATENT)(h)
    encoder = keras.Model(images, [mean, log_var, Sampling()([mean, log_var])])

    codes = keras.Input((LATENT,))
    h = layers.Dense(7 * 7 * 64, activation="relu")(codes)
    h = layers.Reshape((7, 7, 64))(h)
    h = layers.Conv2DTranspose(64, 3, strides=2, padding="same", activation="relu")(h)
    h = layers.Conv2DTranspose(32, 3, strides=2, padding="same", activation="relu")(h)
    outputs = layers.Conv2D(1, 3, padding="same", activation="sigmoid")(h)
    decoder = keras.Model(codes, outputs)

    class PlainVAE(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder
            self.decoder = decoder
            self.total = keras.metrics.Mean(name="loss")
            self.reconstruction = keras.metrics.Mean(name="reconstruction")
            self.kl = keras.metrics.Mean(name="kl")

        @property
        def metrics(self) -> list[Any]:
            return [self.total, self.reconstruction, self.kl]

        def train_step(self, data: Any) -> dict[str, Any]:
            with tf.GradientTape() as tape:
                mean, log_var, z = self.encoder(data)
                decoded = self.decoder(z)
                pixels = keras.losses.binary_crossentropy(data, decoded)
                reconstruction = tf.reduce_mean(tf.reduce_sum(pixels, axis=(1, 2)))
                terms = 1 + log_var - tf.square(mean) - tf.exp(log_var)
                kl = tf.reduce_mean(-0.5 * tf.reduce_sum(terms, axis=1))
                total = reconstruction + kl
            gradients = tape.gradient(total, self.trainable_weights)
            self.optimizer.apply_gradients(
                zip(gradients, self.trainable_weights, strict=True)
            )
            self.total.update_state(total)
            self.reconstruction.update_state(reconstruction)
            self.kl.update_state(kl)
            return {metric.name: metric.result() for metric in self.metrics}

    model = PlainVAE()
    model.compile(optimizer="adam")
    return train(model, x, steps, batch_size=BATCH)


def torch_way(steps: int, channels_last: bool) -> Result:
    """Train as tutorials for PyTorch do: the same networks, a loop of our own."""
    import torch
    from torch import nn
    from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

    layout = torch.channels_last if channels_last else torch.contiguous_format
    images = torch.as_tensor(plain_pixels())[:, None].float().div_(255)
    images = images.contiguous(memory_format=layout)
    encoder = nn.Sequential(
        nn.Conv2d(1, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(7 * 7 * 64, 2 * LATENT),
    ).to(memory_format=layout)
    decoder = nn.Sequential(
        nn.Linear(LATENT, 7 * 7 * 64),
        nn.ReLU(),
        nn.Unflatten(1, (64, 7, 7)),
        nn.ConvTranspose2d(64, 64, 3, stride=2, padding=1, output_padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(64, 32, 3, stride=2, padding=1, output_padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 1, 3, padding=1),
    ).to(memory_format=layout)
    weights = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.Adam(weights, eps=1e-7)

    def step(x: Any) -> Any:
        mean, log_var = encoder(x).chunk(2, dim=1)
        z = mean + torch.exp(0.5 * log_var) * torch.randn_like(mean)
        reconstruction = cross_entropy(decoder(z), x, reduction="sum") / BATCH
        kl = -0.5 * (1 + log_var - mean**2 - log_var.exp()).sum() / BATCH
        loss = reconstruction + kl
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return {"loss": loss}

    batches = tensor_batches(images, torch.Generator().manual_seed(0))
    return {
        **train_torch(step, batches, steps),
        "parameters": torch_parameters(encoder, decoder),
    }


def our_way(steps: int, steps_per_execution: int) -> Result:
    """Train with the package: uint8 in memory, floats batch by batch."""
    from sslkit import data, networks
    from sslkit.vae import VAE

    encoder = networks.conv_encoder(2 * LATENT, activation="linear")
    decoder = networks.conv_decoder(LATENT, activation="linear")
    model = VAE(encoder, decoder)
    model.compile(optimizer="adam", steps_per_execution=steps_per_execution)
    batches = data.batches(training_images(), BATCH)
    return train(model, batches, steps, shuffle=False)


def measure(variant: str, steps: int) -> Result:
    """Train one variant in this process, which must be fresh."""
    if variant.startswith("plain"):
        return plain_way(steps)
    if variant.startswith("torch"):
        return torch_way(steps, variant == "torch+last")
    return our_way(steps, 10 if variant == "sslkit+calls" else 1)


if __name__ == "__main__":
    benchmark(__file__, __doc__.splitlines()[0], VARIANTS, measure, "loss", 0.1)
