"""The adversarial autoencoder (chapter *Adversarial autoencoder*)."""

import math
from functools import partial
from typing import Any, Self

import keras
from keras import ops

from sslkit import losses
from sslkit.base import Adversarial


class _Prior:
    """What Keras needs to load a prior with the model."""

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Make a prior from `get_config`'s answer."""
        return cls(**config)


@keras.saving.register_keras_serializable(package="sslkit")
class GaussianPrior(_Prior):
    r"""$p(z) = \mathcal{N}(0, I)$ in `dim` dimensions.

    Args:
        dim: Length of a code, at least 1.

    Raises:
        ValueError: If `dim` is not a positive integer.

    Example:
        >>> GaussianPrior(8).sample(5, seed=0).shape
        TensorShape([5, 8])
    """

    def __init__(self, dim: int) -> None:
        """Keep the length of a code."""
        if not isinstance(dim, int) or dim < 1:
            raise ValueError(
                f"dim must be a positive integer, got {dim!r}: pass the length of "
                "a code."
            )
        self.dim = dim

    def sample(self, n: Any, seed: Any) -> Any:
        """Draw `n` codes, `[n, dim]`; `seed` is an int or a Keras `SeedGenerator`."""
        return keras.random.normal((n, self.dim), seed=seed)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {"dim": self.dim}


@keras.saving.register_keras_serializable(package="sslkit")
class MixturePrior(_Prior):
    r"""Equal mixture of Gaussians in the plane, the spokes of a wheel.

    Component k of K has its mean at `radius` times $(\cos \phi_k, \sin \phi_k)$,
    $\phi_k = 2 \pi k / K$, and is longer along the spoke than across it. Makhzani et
    al., arXiv 1511.05644, figure 4, draw such a prior.

    Args:
        components: Number K of components, at least 1.
        radius: Distance of the means from the origin, above 0.
        along: Standard deviation along the spoke, above 0.
        across: Standard deviation across it, above 0.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> MixturePrior().sample(5, seed=keras.random.SeedGenerator(0)).shape
        TensorShape([5, 2])
    """

    dim = 2

    def __init__(
        self,
        components: int = 10,
        radius: float = 4.0,
        along: float = 1.0,
        across: float = 0.3,
    ) -> None:
        """Check and keep the arguments; see the class."""
        if not isinstance(components, int) or components < 1:
            raise ValueError(
                f"components must be a positive integer, got {components!r}."
            )
        for name, value in (("radius", radius), ("along", along), ("across", across)):
            if not 0 < value < math.inf:
                raise ValueError(f"{name} must be above 0, got {value!r}.")
        self.components = components
        self.radius = radius
        self.along = along
        self.across = across

    def sample(self, n: Any, seed: Any) -> Any:
        """Draw `n` codes, `[n, 2]`; `seed` is a Keras `SeedGenerator`.

        An int is refused (`ValueError`): component and noise would share its draw.
        """
        if not isinstance(seed, keras.random.SeedGenerator):
            raise ValueError(
                f"seed must be a keras.random.SeedGenerator, got {seed!r}: the "
                "component and the noise need a draw each, pass "
                "keras.random.SeedGenerator(0)."
            )
        k = keras.random.randint((n,), 0, self.components, seed=seed)
        phi = ops.cast(k, "float32") * (2 * math.pi / self.components)
        noise = keras.random.normal((n, 2), seed=seed)
        r, t = self.radius + self.along * noise[:, 0], self.across * noise[:, 1]
        cos, sin = ops.cos(phi), ops.sin(phi)
        return ops.stack([r * cos - t * sin, r * sin + t * cos], axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {
            "components": self.components,
            "radius": self.radius,
            "along": self.along,
            "across": self.across,
        }


@keras.saving.register_keras_serializable(package="sslkit")
class AdversarialAutoencoder(Adversarial):
    r"""Autoencoder whose codes a discriminator cannot tell from draws of a prior.

    Each step has three phases (Makhzani et al., arXiv 1511.05644, section 2):

    1. *Reconstruction*: encoder $f$ and decoder $g$ lower
       $\tfrac1n \lVert x - g(f(x)) \rVert^2$.
    2. *Discriminator*: $D$ lowers $-\log D(z) - \log(1 - D(f(x)))$, $z \sim p(z)$.
    3. *Encoder against discriminator*: $f$ lowers $-\log D(f(x))$.

    The discriminator sees codes, never images. What phases 2 and 3 match is the
    aggregated posterior $q(z) = \mathbb{E}_x\, q(z \mid x)$, the distribution of the
    codes of all images together, and not the code of each image by itself.

    Args:
        encoder: Model from images `[batch, ...]` to codes `[batch, d]`, without
            activation.
        decoder: Model from codes `[batch, d]` to images in [0, 1].
        discriminator: Model from codes `[batch, d]` to logits `[batch, 1]`.
        prior: `GaussianPrior` or `MixturePrior`, or another object with `dim`,
            `sample` and `get_config`.
        discriminator_steps: Steps of phase 2 for one of the others, at least 1, each
            with fresh draws from the prior. The paper takes one; a discriminator that
            keeps up with the encoder matches the prior far more closely.
        seed: Integer that fixes the draws from the prior.

    Raises:
        ValueError: If code and prior differ in length, or `discriminator_steps` is
            not a positive integer.

    Compile with `optimizer` for phase 1, `d_optimizer` for 2 and `g_optimizer` for 3.
    """

    parts = ("encoder", "decoder", "discriminator", "prior")
    optimizers = ("optimizer", "d_optimizer", "g_optimizer")

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        discriminator: keras.Model,
        prior: Any,
        discriminator_steps: int = 1,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Keep the networks and the prior; see the class for the arguments."""
        if encoder.output_shape[-1] != prior.dim:
            raise ValueError(
                f"prior must have the length of a code, {encoder.output_shape[-1]}, "
                f"got {prior.dim}: change one of the two."
            )
        if not isinstance(discriminator_steps, int) or discriminator_steps < 1:
            raise ValueError(
                "discriminator_steps must be a positive integer, got "
                f"{discriminator_steps!r}: pass 1 for the algorithm of the paper."
            )
        super().__init__(seed, **kwargs)
        self.encoder = encoder
        self.decoder = decoder
        self.discriminator = discriminator
        self.prior = prior
        self.discriminator_steps = discriminator_steps
        names = ("reconstruction", "discriminator", "encoder_loss", "accuracy")
        self.terms = {name: keras.metrics.Mean(name=name) for name in names}
        self.built = True

    def player(self, optimizer: str) -> list[keras.Variable]:
        """Weights of phase 1 (`optimizer`), 2 (`d_optimizer`) or 3 (`g_optimizer`)."""
        networks = {
            "optimizer": [self.encoder, self.decoder],
            "d_optimizer": [self.discriminator],
            "g_optimizer": [self.encoder],
        }
        return [
            weight
            for network in networks[optimizer]
            for weight in network.trainable_variables
        ]

    def call(self, images: Any, training: bool = False) -> Any:
        """Reconstruct images, `[batch, ...]` in [0, 1], to the same shape."""
        return self.decoder(self.encoder(images, training=training), training=training)

    def reconstruction_loss(self, images: Any, training: bool = False) -> Any:
        """Phase 1: mean squared error per pixel."""
        x_hat = self(images, training=training)
        error = losses.squared_error(images, ops.cast(x_hat, "float32"))
        return ops.mean(error) / math.prod(images.shape[1:])

    def discriminator_loss(self, codes: Any, drawn: Any) -> Any:
        """Phase 2: cross-entropy of draws from the prior against codes."""
        real, fake = self._logits(drawn), self._logits(codes)
        right = ops.concatenate([real > 0, fake <= 0], axis=0)
        self.terms["accuracy"].update_state(ops.cast(right, "float32"))
        terms = losses.discriminator_terms(real, fake)
        return ops.mean(terms["real"] + terms["fake"])

    def encoder_loss(self, images: Any, training: bool = False) -> Any:
        """Phase 3: codes shall be taken for draws from the prior."""
        codes = self.encoder(images, training=training)
        return ops.mean(losses.non_saturating(self._logits(codes)))

    def train_step(self, data: Any) -> dict[str, Any]:
        """The three phases, on one batch of images."""
        images, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        reconstruction = self.minimize(
            "optimizer", lambda: self.reconstruction_loss(images, training=True)
        )
        codes = self.encoder(images, training=True)
        for _ in range(self.discriminator_steps):
            drawn = self.prior.sample(ops.shape(images)[0], self.seed_generator)
            discriminator = self.minimize(
                "d_optimizer", partial(self.discriminator_loss, codes, drawn)
            )
        encoder = self.minimize(
            "g_optimizer", lambda: self.encoder_loss(images, training=True)
        )
        return self._report(reconstruction, discriminator, encoder)

    def test_step(self, data: Any) -> dict[str, Any]:
        """The three losses of one batch, without a step."""
        images, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        drawn = self.prior.sample(ops.shape(images)[0], self.seed_generator)
        return self._report(
            self.reconstruction_loss(images),
            self.discriminator_loss(self.encoder(images), drawn),
            self.encoder_loss(images),
        )

    def generate(self, n: int) -> Any:
        """Decode `n` draws from the prior, to `[n, ...]`."""
        return self.decoder(self.prior.sample(n, self.seed_generator))

    def get_config(self) -> dict[str, Any]:
        """Configuration from which `from_config` makes the same architecture."""
        steps = {"discriminator_steps": self.discriminator_steps}
        return {**super().get_config(), **steps}

    def _logits(self, codes: Any) -> Any:
        return ops.cast(self.discriminator(codes), "float32")

    def _report(self, *values: Any) -> dict[str, Any]:
        names = ("reconstruction", "discriminator", "encoder_loss")
        for name, value in zip(names, values, strict=True):
            self.terms[name].update_state(value)
        return {name: metric.result() for name, metric in self.terms.items()}
