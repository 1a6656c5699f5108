"""The variational autoencoder (chapter *Variational autoencoder*)."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike, NDArray

from sslkit import losses
from sslkit.base import Composite
from sslkit.distribute import share

LIKELIHOODS = ("bernoulli", "gaussian")
"""What the decoder's output means: logits of ink, or mean grey levels."""


@keras.saving.register_keras_serializable(package="sslkit")
class VAE(Composite):
    r"""Encoder to a distribution of codes, decoder to a distribution of images.

    $$\min\; \mathbb{E}_x \bigl[ -\mathbb{E}_{q(z \mid x)} \log p(x \mid z)
      + \beta\, D_{\mathrm{KL}}(q(z \mid x) \Vert p(z)) \bigr]$$

    with $q(z \mid x) = \mathcal{N}(\mu(x), \operatorname{diag} \sigma^2(x))$ and
    $p(z) = \mathcal{N}(0, I)$; for $\beta = 1$ that is the negative evidence lower
    bound. Both terms are sums, over pixels and over latent variables, then means over
    the batch: in nats per image. `fit` reports them as `reconstruction` and `kl`.
    Kingma & Welling, arXiv 1312.6114; $\beta$: Higgins et al. (2017).

    Args:
        encoder: Model from images `[batch, ...]` to $\mu$ and $\log \sigma^2$ side
            by side, `[batch, 2 d]`, without activation. The size d of the latent
            space is free.
        decoder: Model from codes `[batch, d]` to logits (Bernoulli) or means
            (Gaussian) of the shape of the images.
        likelihood: `"bernoulli"` for pixels that are 0 or 1 (grey levels are taken
            for probabilities), `"gaussian"` for real ones.
        sigma: Standard deviation of a pixel under the Gaussian likelihood, above 0.
            The Bernoulli likelihood has none.
        beta: Weight of the divergence, at least 0.
        seed: Integer that fixes the random codes.

    Raises:
        ValueError: If `likelihood`, `sigma` or `beta` is outside its range, or the
            encoder does not return twice what the decoder takes.
    """

    parts = ("encoder", "decoder")

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        likelihood: str = "bernoulli",
        sigma: float = 1.0,
        beta: float = 1.0,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Keep networks and settings; see the class for the arguments."""
        if likelihood not in LIKELIHOODS:
            raise ValueError(
                f"likelihood must be one of {LIKELIHOODS}, got {likelihood!r}."
            )
        for name, value, least in (
            ("sigma", sigma, "above 0"),
            ("beta", beta, "0 or more"),
        ):
            if not 0 <= value < math.inf or (name == "sigma" and value == 0):
                raise ValueError(f"{name} must be {least}, got {value!r}.")
        latent = decoder.input_shape[-1]
        if encoder.output_shape[-1] != 2 * latent:
            raise ValueError(
                f"encoder must return 2 x {latent} numbers, mean and log-variance of "
                f"each number that the decoder takes, got {encoder.output_shape[-1]}: "
                f"make it with features={2 * latent}."
            )
        super().__init__(seed, **kwargs)
        self.encoder = encoder
        self.decoder = decoder
        self.likelihood = likelihood
        self.sigma = sigma
        self.beta = beta
        self.terms = {
            name: keras.metrics.Mean(name=name) for name in ("reconstruction", "kl")
        }

    def encode(self, images: Any, training: bool = False) -> tuple[Any, Any]:
        r"""Mean and log-variance of $q(z \mid x)$, `[batch, d]` each."""
        mu, log_var = ops.split(self.encoder(images, training=training), 2, axis=-1)
        return ops.cast(mu, "float32"), ops.cast(log_var, "float32")

    def features(self, images: Any) -> Any:
        r"""Mean of $q(z \mid x)$, `[batch, d]`: what the probes judge."""
        return self.encode(images)[0]

    def sample_code(self, mu: Any, log_var: Any) -> Any:
        r"""Draw $z = \mu + \sigma \odot \epsilon$ with standard Gaussian $\epsilon$.

        The noise does not depend on the networks, so the gradient passes through
        $\mu$ and $\sigma$.
        """
        noise = keras.random.normal(ops.shape(mu), seed=self.seed_generator)
        return mu + ops.exp(log_var / 2) * noise

    def decode(self, z: Any) -> Any:
        r"""Mean image of $p(x \mid z)$, in [0, 1] for the Bernoulli likelihood."""
        output = self.decoder(z)
        return ops.sigmoid(output) if self.likelihood == "bernoulli" else output

    def nll(self, x: Any, output: Any) -> Any:
        r"""$-\log p(x \mid z)$ in nats, `[batch]`, from the decoder's output."""
        output = ops.cast(output, "float32")
        if self.likelihood == "bernoulli":
            return losses.bernoulli_nll(x, output)
        return losses.gaussian_nll(x, output, self.sigma)

    def call(self, images: Any, training: bool = False) -> dict[str, Any]:
        """Encode, draw one code per image, decode.

        Args:
            images: `[batch, ...]` in [0, 1].
            training: Passed to the networks. The code is drawn either way.

        Returns:
            `mu`, `log_var` and `z`, `[batch, d]`, and the decoder's `output`.
        """
        mu, log_var = self.encode(images, training)
        z = self.sample_code(mu, log_var)
        output = self.decoder(z, training=training)
        return {"mu": mu, "log_var": log_var, "z": z, "output": output}

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Mean over the batch of reconstruction + beta x divergence."""
        nll = self.nll(x, y_pred["output"])
        terms = losses.elbo_terms(nll, y_pred["mu"], y_pred["log_var"])
        for name, values in terms.items():
            self.terms[name].update_state(values)
        return share(ops.mean(terms["reconstruction"] + self.beta * terms["kl"]))

    def generate(self, n: int) -> Any:
        """Decode `n` codes drawn from the prior, to `[n, ...]`."""
        latent = self.decoder.input_shape[-1]
        return self.decode(keras.random.normal((n, latent), seed=self.seed_generator))

    def get_config(self) -> dict[str, Any]:
        """Configuration from which `from_config` makes the same architecture."""
        settings = ("likelihood", "sigma", "beta")
        return {
            **super().get_config(),
            **{name: getattr(self, name) for name in settings},
        }


def log_likelihood_bound(
    model: VAE,
    images: ArrayLike,
    samples: int = 500,
    chunk: int = 50,
    batch_size: int = 200,
    seed: int = 0,
) -> NDArray[np.float32]:
    r"""Importance-weighted lower bound on $\log p(x)$ for each image.

    Args:
        model: A trained VAE.
        images: Images `[n, ...]`, floating point in [0, 1]; exactly 0 or 1 if the
            figure is to be compared with published ones for binarised MNIST.
        samples: Number K of draws per image. The bound rises with K; K = 1 is a
            noisy ELBO.
        chunk: Draws that are decoded at once, a divisor of `samples`.
        batch_size: Images at once. With `chunk` it bounds the memory.
        seed: Integer that fixes the draws.

    Returns:
        Bounds in nats, `[n]`. Minus their mean is an upper bound on the negative
        log-likelihood.

    Raises:
        ValueError: If `chunk` does not divide `samples`.
    """
    if samples < 1 or chunk < 1 or samples % chunk:
        raise ValueError(
            f"samples must be a positive multiple of chunk, got {samples} and {chunk}: "
            "pass, say, samples=500 and chunk=50."
        )
    x = np.asarray(images)
    generator = keras.random.SeedGenerator(seed)
    bounds = []
    for start in range(0, len(x), batch_size):
        batch = ops.convert_to_tensor(x[start : start + batch_size])
        mu, log_var = model.encode(batch)
        log_w = [
            _log_weights(model, batch, mu, log_var, chunk, generator)
            for _ in range(samples // chunk)
        ]
        bound = losses.importance_weighted_bound(ops.concatenate(log_w, axis=0))
        bounds.append(ops.convert_to_numpy(bound))
    return np.concatenate(bounds)


def _log_weights(
    model: VAE, x: Any, mu: Any, log_var: Any, draws: int, generator: Any
) -> Any:
    # log p(x | z) + log p(z) - log q(z | x), [draws, batch]. The constants of the two
    # Gaussians cancel, and (z - mu) / sigma is the noise itself.
    noise = keras.random.normal((draws, *ops.shape(mu)), seed=generator)
    z = mu + ops.exp(log_var / 2) * noise
    log_ratio = ops.sum(ops.square(noise) - ops.square(z) + log_var, axis=-1) / 2
    output = model.decoder(ops.reshape(z, (-1, z.shape[-1])))
    nll = model.nll(ops.tile(x, (draws, *[1] * (len(x.shape) - 1))), output)
    return log_ratio - ops.reshape(nll, (draws, -1))
