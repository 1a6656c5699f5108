"""Time and memory of one convolutional VAE, trained in the plain way and in ours.

Run as `python benchmarks/convolutional_vae.py`; what is measured, and how, is in
README.md beside this file. Needs Linux or macOS.
"""

from typing import Any

from rounds import BATCH, benchmark, plain_pixels, train, training_images

LATENT = 16
VARIANTS = {
    "plain": "float32 array, `train_step` of our own",
    "plain+onednn": "the same, with `TF_ENABLE_ONEDNN_OPTS=1`",
    "sslkit": "`sslkit.vae.VAE`, `data.batches`",
    "sslkit+calls": "the same, 10 batches per call",
}


def plain_way(steps: int) -> dict[str, Any]:
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


def our_way(steps: int, steps_per_execution: int) -> dict[str, Any]:
    """Train with the package: uint8 in memory, floats batch by batch."""
    from sslkit import data, networks
    from sslkit.vae import VAE

    encoder = networks.conv_encoder(2 * LATENT, activation="linear")
    decoder = networks.conv_decoder(LATENT, activation="linear")
    model = VAE(encoder, decoder)
    model.compile(optimizer="adam", steps_per_execution=steps_per_execution)
    batches = data.batches(training_images(), BATCH)
    return train(model, batches, steps, shuffle=False)


def measure(variant: str, steps: int) -> dict[str, Any]:
    """Train one variant in this process, which must be fresh."""
    if variant.startswith("plain"):
        return plain_way(steps)
    return our_way(steps, 10 if variant == "sslkit+calls" else 1)


if __name__ == "__main__":
    benchmark(__file__, __doc__.splitlines()[0], VARIANTS, measure, "loss", 0.1)
