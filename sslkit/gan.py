"""Generative adversarial networks (chapter *Generative adversarial network*)."""

from functools import partial
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from sslkit import losses
from sslkit.base import Adversarial


@keras.saving.register_keras_serializable(package="sslkit")
class GAN(Adversarial):
    r"""Generator and discriminator, each trained against the other.

    The discriminator $D$ lowers $-\log D(x) - \log(1 - D(G(z)))$, with images $x$ and
    noise $z \sim \mathcal{N}(0, I)$; the generator $G$ lowers $-\log D(G(z))$, the
    non-saturating loss. Goodfellow et al., arXiv 1406.2661. There is no target for any
    single $G(z)$, and no encoder.

    Args:
        generator: Model from noise `[batch, d]` to images `[batch, ...]`.
        discriminator: Model from images to logits `[batch, 1]`.
        seed: Integer that fixes the noise.

    Compile with `optimizer` for the generator and `d_optimizer` for the discriminator.
    """

    parts = ("generator", "discriminator")
    names = ("generator_loss", "discriminator_loss", "accuracy")

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Keep the two networks; see the class for the arguments."""
        super().__init__(seed, **kwargs)
        self.generator = generator
        self.discriminator = discriminator
        self.terms = {name: keras.metrics.Mean(name=name) for name in self.names}
        self.built = True

    def player(self, optimizer: str) -> list[keras.Variable]:
        """Weights of the generator (`optimizer`) or discriminator (`d_optimizer`)."""
        return {
            "optimizer": self.generator.trainable_variables,
            "d_optimizer": self.discriminator.trainable_variables,
        }[optimizer]

    def noise(self, n: Any) -> Any:
        """Draw `n` noise vectors, `[n, d]`."""
        shape = (n, self.generator.input_shape[-1])
        return keras.random.normal(shape, seed=self.seed_generator)

    def call(self, z: Any, training: bool = False) -> Any:
        """Turn noise `[batch, d]` into images."""
        return self.generator(z, training=training)

    def generate(self, n: int) -> Any:
        """Draw `n` images, `[n, ...]`."""
        return self(self.noise(n))

    def discriminator_loss(self, real: Any, fake: Any, training: bool = False) -> Any:
        """Cross-entropy of real against fake images."""
        # Both halves in one call, which is faster; they do not influence each other.
        both = self.discriminator(ops.concatenate([real, fake]), training=training)
        real_logits, fake_logits = ops.split(ops.cast(both, "float32"), 2)
        right = ops.concatenate([real_logits > 0, fake_logits <= 0])
        self.terms["accuracy"].update_state(ops.cast(right, "float32"))
        terms = losses.discriminator_terms(real_logits, fake_logits)
        return ops.mean(terms["real"] + terms["fake"])

    def generator_loss(self, fake: Any, training: bool = False) -> Any:
        """Generated images shall be taken for real ones."""
        logits = self.discriminator(fake, training=training)
        return ops.mean(losses.non_saturating(ops.cast(logits, "float32")))

    def train_step(self, data: Any) -> dict[str, Any]:
        """One step of the discriminator, one of the generator."""
        images, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        z = self.noise(ops.shape(images)[0])
        # The same images serve both steps: only the discriminator moves in between.
        with tf.GradientTape() as tape:
            fake = self.generator(z, training=True)
        discriminator = self.minimize(
            "d_optimizer", partial(self.discriminator_loss, images, fake, True)
        )
        generator = self.minimize(
            "optimizer", partial(self.generator_loss, fake, True), tape
        )
        return self._report(generator, discriminator)

    def test_step(self, data: Any) -> dict[str, Any]:
        """The losses of both players on one batch, without a step."""
        images, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        fake = self.generator(self.noise(ops.shape(images)[0]))
        discriminator = self.discriminator_loss(images, fake)
        return self._report(self.generator_loss(fake), discriminator)

    def _report(self, generator: Any, discriminator: Any) -> dict[str, Any]:
        self.terms["generator_loss"].update_state(generator)
        self.terms["discriminator_loss"].update_state(discriminator)
        return {name: metric.result() for name, metric in self.terms.items()}


@keras.saving.register_keras_serializable(package="sslkit")
class WassersteinGAN(GAN):
    r"""GAN whose critic estimates a distance, with gradient penalty (WGAN-GP).

    The critic $c$ lowers
    $c(G(z)) - c(x) + \lambda (\lVert \nabla c(\bar x) \rVert - 1)^2$ at points
    $\bar x$ between real and generated images, and the generator lowers $-c(G(z))$.
    Gulrajani et al., arXiv 1704.00028.

    Args:
        generator: As for `GAN`.
        discriminator: The critic, from images to scores `[batch, 1]`. No batch
            normalisation: the penalty is one of each image by itself.
        penalty: Weight $\lambda$, at least 0.
        critic_steps: Steps of the critic for one of the generator, at least 1. Each
            takes its own share of the batch, so let the batch be that much larger.
        seed: As for `GAN`.

    Raises:
        ValueError: If `penalty` or `critic_steps` is outside its range.
    """

    names = ("generator_loss", "discriminator_loss", "penalty")

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        penalty: float = 10.0,
        critic_steps: int = 5,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Keep networks and settings; see the class for the arguments."""
        if not penalty >= 0:
            raise ValueError(f"penalty must be at least 0, got {penalty!r}.")
        if not isinstance(critic_steps, int) or critic_steps < 1:
            raise ValueError(
                f"critic_steps must be a positive integer, got {critic_steps!r}."
            )
        super().__init__(generator, discriminator, seed, **kwargs)
        self.penalty = penalty
        self.critic_steps = critic_steps

    def discriminator_loss(self, real: Any, fake: Any, training: bool = False) -> Any:
        """Difference of the scores, and the penalty between."""
        mix = keras.random.uniform(
            (ops.shape(real)[0], *[1] * (len(real.shape) - 1)), seed=self.seed_generator
        )
        between = mix * real + (1 - mix) * ops.cast(fake, real.dtype)
        with tf.GradientTape() as tape:
            tape.watch(between)
            scores = self.discriminator(between, training=training)
        gradients = tape.gradient(scores, between)
        both = self.discriminator(ops.concatenate([real, fake]), training=training)
        real_scores, fake_scores = ops.split(ops.cast(both, "float32"), 2)
        terms = losses.critic_terms(real_scores, fake_scores, gradients)
        self.terms["penalty"].update_state(terms["penalty"])
        return ops.mean(terms["wasserstein"] + self.penalty * terms["penalty"])

    def generator_loss(self, fake: Any, training: bool = False) -> Any:
        """Generated images shall get high scores."""
        scores = self.discriminator(fake, training=training)
        return -ops.mean(ops.cast(scores, "float32"))

    def train_step(self, data: Any) -> dict[str, Any]:
        """Steps of the critic, each on its share of the batch, then the generator's."""
        images, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        for i in range(self.critic_steps):
            real = images[i :: self.critic_steps]
            fake = self.generator(self.noise(ops.shape(real)[0]), training=True)
            critic = self.minimize(
                "d_optimizer", partial(self.discriminator_loss, real, fake, True)
            )
        z = self.noise(ops.shape(real)[0])
        generator = self.minimize(
            "optimizer",
            lambda: self.generator_loss(self.generator(z, training=True), True),
        )
        return self._report(generator, critic)

    def get_config(self) -> dict[str, Any]:
        """Configuration from which `from_config` makes the same architecture."""
        settings = ("penalty", "critic_steps")
        return {
            **super().get_config(),
            **{name: getattr(self, name) for name in settings},
        }
