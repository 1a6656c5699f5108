"""Time and memory of one DCGAN, trained in the plain way and in ours.

Run as `python benchmarks/dcgan.py`; what is measured, and how, is in README.md beside
this file. Needs Linux or macOS.
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

LATENT = 64
VARIANTS = {
    "plain": "float32 `from_tensor_slices`, `train_step` of our own",
    "plain+onednn": "the same, with `TF_ENABLE_ONEDNN_OPTS=1`",
    "torch": "PyTorch, batches of one float32 tensor",
    "torch+last": "the same, channels last in memory",
    "sslkit": "`sslkit.gan.GAN`, `data.batches`",
    "sslkit+calls": "the same, 10 batches per call",
}


def plain_way(steps: int) -> Result:
    """Train as tutorials do: labels for both halves, new noise for the generator."""
    import keras
    import numpy as np
    import tensorflow as tf
    from keras import layers

    x = plain_pixels().astype("float32") / 255
    x = np.expand_dims(x, -1)
    dataset = tf.data.Dataset.from_tensor_slices(x).shuffle(1024).batch(BATCH)

    discriminator = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 4, strides=2, padding="same"),
            layers.LeakyReLU(0.2),
            layers.Conv2D(64, 4, strides=2, padding="same"),
            layers.LeakyReLU(0.2),
            layers.Flatten(),
            layers.Dense(1),
        ]
    )
    generator = keras.Sequential(
        [
            keras.Input((LATENT,)),
            layers.Dense(7 * 7 * 64, use_bias=False),
            layers.Reshape((7, 7, 64)),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2DTranspose(32, 4, strides=2, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2DTranspose(
                1, 4, strides=2, padding="same", activation="sigmoid"
            ),
        ]
    )

    class PlainGAN(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.discriminator = discriminator
            self.generator = generator
            self.seed_generator = keras.random.SeedGenerator(0)
            self.d_metric = keras.metrics.Mean(name="discriminator_loss")
            self.g_metric = keras.metrics.Mean(name="generator_loss")

        @property
        def metrics(self) -> list[Any]:
            return [self.d_metric, self.g_metric]

        def compile(self, d_optimizer: Any, g_optimizer: Any) -> None:
            super().compile()
            self.d_optimizer = d_optimizer
            self.g_optimizer = g_optimizer
            self.loss_fn = keras.losses.BinaryCrossentropy(from_logits=True)

        def train_step(self, real: Any) -> dict[str, Any]:
            size = tf.shape(real)[0]
            z = keras.random.normal((size, LATENT), seed=self.seed_generator)
            fake = self.generator(z, training=True)
            images = tf.concat([real, fake], axis=0)
            labels = tf.concat([tf.ones((size, 1)), tf.zeros((size, 1))], axis=0)
            with tf.GradientTape() as tape:
                d_loss = self.loss_fn(labels, self.discriminator(images, training=True))
            weights = self.discriminator.trainable_weights
            gradients = tape.gradient(d_loss, weights)
            self.d_optimizer.apply_gradients(zip(gradients, weights, strict=True))

            z = keras.random.normal((size, LATENT), seed=self.seed_generator)
            with tf.GradientTape() as tape:
                fake = self.generator(z, training=True)
                logits = self.discriminator(fake, training=True)
                g_loss = self.loss_fn(tf.ones((size, 1)), logits)
            weights = self.generator.trainable_weights
            gradients = tape.gradient(g_loss, weights)
            self.g_optimizer.apply_gradients(zip(gradients, weights, strict=True))

            # The mean over both halves; sslkit reports their sum.
            self.d_metric.update_state(2 * d_loss)
            self.g_metric.update_state(g_loss)
            return {metric.name: metric.result() for metric in self.metrics}

    model = PlainGAN()
    model.compile(
        d_optimizer=keras.optimizers.Adam(2e-4, beta_1=0.5),
        g_optimizer=keras.optimizers.Adam(2e-4, beta_1=0.5),
    )
    return train(model, dataset, steps)


def torch_way(steps: int, channels_last: bool) -> Result:
    """Train as PyTorch's own example does: the networks of the others, two Adams."""
    import torch
    from torch import nn
    from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

    layout = torch.channels_last if channels_last else torch.contiguous_format
    images = torch.as_tensor(plain_pixels())[:, None].float().div_(255)
    images = images.contiguous(memory_format=layout)

    def normalised(channels: int) -> list[nn.Module]:
        return [nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01), nn.ReLU()]

    discriminator = nn.Sequential(
        nn.Conv2d(1, 32, 4, stride=2, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(32, 64, 4, stride=2, padding=1),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(7 * 7 * 64, 1),
    ).to(memory_format=layout)
    generator = nn.Sequential(
        nn.Linear(LATENT, 7 * 7 * 64, bias=False),
        nn.Unflatten(1, (64, 7, 7)),
        *normalised(64),
        nn.ConvTranspose2d(64, 32, 4, stride=2, padding=1, bias=False),
        *normalised(32),
        nn.ConvTranspose2d(32, 1, 4, stride=2, padding=1),
        nn.Sigmoid(),
    ).to(memory_format=layout)
    settings = {"lr": 2e-4, "betas": (0.5, 0.999), "eps": 1e-7}
    d_optimizer = torch.optim.Adam(discriminator.parameters(), **settings)
    g_optimizer = torch.optim.Adam(generator.parameters(), **settings)
    ones, zeros = torch.ones(BATCH, 1), torch.zeros(BATCH, 1)

    def step(real: Any) -> Any:
        fake = generator(torch.randn(BATCH, LATENT))
        d_loss = cross_entropy(discriminator(real), ones)
        d_loss = d_loss + cross_entropy(discriminator(fake.detach()), zeros)
        d_optimizer.zero_grad()
        d_loss.backward()
        d_optimizer.step()
        # The same images serve both steps, as in sslkit.
        g_loss = cross_entropy(discriminator(fake), ones)
        g_optimizer.zero_grad()
        g_loss.backward()
        g_optimizer.step()
        return {"discriminator_loss": d_loss, "generator_loss": g_loss}

    batches = tensor_batches(images, torch.Generator().manual_seed(0))
    return {
        **train_torch(step, batches, steps),
        "parameters": torch_parameters(generator, discriminator),
    }


def our_way(steps: int, steps_per_execution: int) -> Result:
    """Train with the package: uint8 in memory, floats batch by batch."""
    import keras

    from sslkit import data, networks
    from sslkit.gan import GAN

    model = GAN(networks.dcgan_generator(LATENT), networks.dcgan_discriminator())
    model.compile(
        optimizer=keras.optimizers.Adam(2e-4, beta_1=0.5),
        d_optimizer=keras.optimizers.Adam(2e-4, beta_1=0.5),
        steps_per_execution=steps_per_execution,
    )
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
    benchmark(
        __file__, __doc__.splitlines()[0], VARIANTS, measure, "discriminator_loss", 0.25
    )
