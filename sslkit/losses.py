"""Loss functions, as pure functions of `keras.ops` (chapters *Model building* on).

Each returns one value per image, so that the choice between sum and mean is made,
and seen, where the loss is used. A loss that is a sum of terms returns the terms by
name.
"""

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops


def squared_error(x: Any, x_hat: Any) -> Any:
    r"""Squared error of a reconstruction, summed over the pixels of each image.

    $$\mathrm{SE}(x, \hat x) = \sum_{i} (x_i - \hat x_i)^2$$

    Up to a constant and a factor this is the negative log-likelihood of a Gaussian
    with mean $\hat x$ and a fixed variance.

    Args:
        x: Images, `[batch, ...]`.
        x_hat: Reconstructions, same shape.

    Returns:
        Squared errors, `[batch]`. Divide by the number of pixels for the mean
        squared error per pixel.

    Raises:
        ValueError: If the two shapes differ. (Broadcasting would return a number,
            but not the one that was asked for.)

    Example:
        >>> import numpy as np
        >>> x, x_hat = np.zeros((2, 28, 28)), np.full((2, 28, 28), 0.5)
        >>> print(np.asarray(squared_error(x, x_hat)))
        [196. 196.]
    """
    _same_shape(x, x_hat, "x_hat")
    return _sum_but_batch(ops.square(ops.subtract(x, x_hat)))


def bernoulli_nll(x: Any, logits: Any) -> Any:
    r"""Negative log-likelihood of pixels under independent Bernoulli variables.

    $$-\sum_i \bigl[x_i \log \sigma(a_i) + (1 - x_i)\log(1 - \sigma(a_i))\bigr]
      = \sum_i \bigl[\max(a_i, 0) - a_i x_i + \log(1 + e^{-|a_i|})\bigr]$$

    The right-hand side, which is what is computed, does not overflow. For a grey
    pixel, $0 < x_i < 1$, the smallest value is the entropy of $x_i$ and not zero.

    Args:
        x: Images with values in [0, 1], `[batch, ...]`.
        logits: Pre-activations $a$ of the sigmoid $\sigma$, same shape.

    Returns:
        Negative log-likelihoods in nats, `[batch]`.

    Raises:
        ValueError: If the two shapes differ.

    Example:
        >>> import numpy as np
        >>> x, logits = np.ones((1, 2, 2)), np.zeros((1, 2, 2))
        >>> print(np.asarray(bernoulli_nll(x, logits)).round(4))  # 4 log 2
        [2.7726]
    """
    _same_shape(x, logits, "logits")
    nll = (
        ops.relu(logits)
        - ops.multiply(logits, x)
        + ops.log1p(ops.exp(-ops.abs(logits)))
    )
    return _sum_but_batch(nll)


def gaussian_nll(x: Any, mean: Any, sigma: float) -> Any:
    r"""Negative log-likelihood of pixels under Gaussians of one fixed width.

    $$\frac{1}{2\sigma^2} \lVert x - m \rVert^2 + \frac{n}{2} \log(2 \pi \sigma^2)$$

    with $n$ pixels and mean image $m$. It is a density and may be negative.

    Args:
        x: Images, `[batch, ...]`.
        mean: Means $m$, same shape.
        sigma: Standard deviation $\sigma$ of a pixel, above 0, in units of the
            range of a pixel.

    Returns:
        Negative log-densities in nats, `[batch]`.

    Raises:
        ValueError: If the two shapes differ or `sigma` is not above 0.

    Example:
        >>> import numpy as np
        >>> x = np.zeros((1, 2, 2))
        >>> print(np.asarray(gaussian_nll(x, x, sigma=1.0)).round(4))  # 2 log(2 pi)
        [3.6758]
    """
    if not 0 < sigma < math.inf:
        raise ValueError(
            f"sigma must be above 0, got {sigma!r}: pass the standard deviation of a "
            "pixel around its mean, say 0.1."
        )
    _same_shape(x, mean, "mean")
    pixels = math.prod(x.shape[1:])
    constant = pixels / 2 * math.log(2 * math.pi * sigma**2)
    return squared_error(x, mean) / (2 * sigma**2) + constant


def gaussian_kl(mu: Any, log_var: Any) -> Any:
    r"""Kullback-Leibler divergence of a diagonal Gaussian from the standard one.

    $$D_{\mathrm{KL}}\bigl(\mathcal{N}(\mu, \operatorname{diag} \sigma^2) \,\Vert\,
      \mathcal{N}(0, I)\bigr)
      = \tfrac12 \sum_{j=1}^{d} \bigl(\mu_j^2 + \sigma_j^2 - 1 - \log \sigma_j^2\bigr)$$

    Kingma & Welling, arXiv 1312.6114, appendix B.

    Args:
        mu: Means, `[batch, d]`.
        log_var: Logarithms of the variances $\log \sigma^2$, `[batch, d]`.

    Returns:
        Divergences in nats, `[batch]`, at least 0.

    Raises:
        ValueError: If the two shapes differ.

    Example:
        >>> import numpy as np
        >>> mu = np.array([[1.0, 2.0]])
        >>> print(np.asarray(gaussian_kl(mu, np.zeros((1, 2)))))  # (1 + 4) / 2
        [2.5]
    """
    _same_shape(mu, log_var, "log_var", "mu")
    # expm1 keeps the digits that exp(v) - 1 loses for a variance close to 1.
    terms = ops.square(mu) + ops.expm1(log_var) - log_var
    return _sum_but_batch(terms) / 2


def elbo_terms(nll: Any, mu: Any, log_var: Any) -> dict[str, Any]:
    r"""The two terms of the negative evidence lower bound, image by image.

    $$-\mathrm{ELBO}(x) = \underbrace{-\mathbb{E}_{q(z \mid x)}
      \log p(x \mid z)}_{\text{reconstruction}}
      + \underbrace{D_{\mathrm{KL}}(q(z \mid x) \Vert p(z))}_{\text{kl}}$$

    Both are sums: over pixels and over latent variables. Taking the mean over pixels
    in one of them only is the same as multiplying the other by their number.

    Args:
        nll: $-\log p(x \mid z)$ for one draw of $z$ per image, `[batch]`, such as
            `bernoulli_nll` returns.
        mu: Means of $q(z \mid x)$, `[batch, d]`.
        log_var: Logarithms of its variances, `[batch, d]`.

    Returns:
        `{"reconstruction": [batch], "kl": [batch]}`, in nats.

    Raises:
        ValueError: If `mu` and `log_var` differ in shape, or `nll` is no vector.
    """
    if len(nll.shape) != 1:
        raise ValueError(
            f"nll must have shape [batch], got {tuple(nll.shape)}: sum it over the "
            "pixels of each image."
        )
    return {"reconstruction": nll, "kl": gaussian_kl(mu, log_var)}


def importance_weighted_bound(log_w: Any) -> Any:
    r"""Lower bound on the log-likelihood from K importance samples.

    $$\mathcal{L}_K(x) = \log \frac1K \sum_{k=1}^{K} w_k, \qquad
      w_k = \frac{p(x \mid z_k)\, p(z_k)}{q(z_k \mid x)}, \quad z_k \sim q(z \mid x)$$

    Its expectation is the ELBO for $K = 1$, does not fall when $K$ grows, and tends
    to $\log p(x)$. Burda, Grosse & Salakhutdinov, arXiv 1509.00519, theorem 1.

    Args:
        log_w: Logarithms of the weights, `[K, batch]`.

    Returns:
        Bounds in nats, `[batch]`.

    Raises:
        ValueError: If `log_w` has another rank.

    Example:
        >>> import numpy as np
        >>> bound = importance_weighted_bound(np.log([[1.0], [3.0]]))  # log 2
        >>> print(np.asarray(bound).round(4))
        [0.6931]
    """
    if len(log_w.shape) != 2:
        raise ValueError(
            f"log_w must have shape [K, batch], got {tuple(log_w.shape)}: stack the "
            "draws along the first axis."
        )
    return ops.logsumexp(log_w, axis=0) - math.log(log_w.shape[0])


def discriminator_terms(real_logits: Any, fake_logits: Any) -> dict[str, Any]:
    r"""What the discriminator minimises: cross-entropy of real against fake.

    $$-\log \sigma(a_{\text{real}}) \quad\text{and}\quad
      -\log \bigl(1 - \sigma(a_{\text{fake}})\bigr)$$

    Goodfellow et al., arXiv 1406.2661, equation 1, with the sign changed. A
    discriminator that cannot tell has $\log 2$ for each. "Real" means drawn from the
    distribution to be matched: images in a GAN, the prior in an adversarial
    autoencoder.

    Args:
        real_logits: Outputs before the sigmoid for real inputs, `[batch, 1]`.
        fake_logits: The same for fake ones.

    Returns:
        `{"real": [batch], "fake": [batch]}`, in nats.

    Example:
        >>> import numpy as np
        >>> terms = discriminator_terms(np.zeros((1, 1)), np.zeros((1, 1)))
        >>> print({name: round(float(value[0]), 4) for name, value in terms.items()})
        {'real': 0.6931, 'fake': 0.6931}
    """
    return {
        "real": _sum_but_batch(ops.softplus(ops.negative(real_logits))),
        "fake": _sum_but_batch(ops.softplus(fake_logits)),
    }


def non_saturating(fake_logits: Any) -> Any:
    r"""What the generator minimises: $-\log \sigma(a_{\text{fake}})$.

    Goodfellow et al., arXiv 1406.2661, section 3. It has the fixed point of
    $\log(1 - \sigma(a))$, the game's own loss, and a gradient where that one has
    none: while the discriminator still wins.

    Args:
        fake_logits: Outputs of the discriminator before the sigmoid, `[batch, 1]`.

    Returns:
        Losses in nats, `[batch]`.

    Example:
        >>> import numpy as np
        >>> print(np.asarray(non_saturating(np.zeros((1, 1)))).round(4))
        [0.6931]
    """
    return _sum_but_batch(ops.softplus(ops.negative(fake_logits)))


def critic_terms(real_scores: Any, fake_scores: Any, gradients: Any) -> dict[str, Any]:
    r"""What the critic of a Wasserstein GAN minimises, with gradient penalty.

    $$c(\text{fake}) - c(\text{real}) \quad\text{and}\quad
      \bigl(\lVert \nabla_{\bar x}\, c(\bar x) \rVert - 1\bigr)^2$$

    Gulrajani et al., arXiv 1704.00028, equation 3, which weights the penalty by 10.

    Args:
        real_scores: The critic's scores $c$ of real inputs, `[batch, 1]`.
        fake_scores: Its scores of fake inputs, `[batch, 1]`.
        gradients: Its gradient at points $\bar x$ drawn uniformly between pairs of
            real and fake inputs, `[batch, ...]`.

    Returns:
        `{"wasserstein": [batch], "penalty": [batch]}`.
    """
    # In float16 the squares would underflow. The small number keeps the derivative
    # of the root finite at zero.
    squares = ops.square(ops.cast(gradients, "float32"))
    norm = ops.sqrt(_sum_but_batch(squares) + 1e-12)
    return {
        "wasserstein": _sum_but_batch(fake_scores - real_scores),
        "penalty": ops.square(norm - 1.0),
    }


def contraction(
    encoder: Callable[[Any], Any], x: Any, v: Any, eps: float = 1e-2
) -> Any:
    r"""Squared Frobenius norm of the encoder's Jacobian, from one random direction.

    $$\lVert J_f(x) \rVert_F^2 = \mathbb{E}_{v \sim \mathcal{N}(0, I)}
      \lVert J_f(x)\, v \rVert^2 \approx
      \lVert f(x + \epsilon v) - f(x) \rVert^2 / \epsilon^2$$

    The penalty of contractive autoencoders (Rifai et al. 2011), by finite difference,
    so that no Jacobian is ever formed.

    Args:
        encoder: Function $f$ from `[batch, ...]` to `[batch, d]`.
        x: Images, `[batch, ...]`.
        v: Directions of the same shape, drawn from a standard Gaussian.
        eps: Length of the step, above 0.

    Returns:
        One estimate per image, `[batch]`.

    Raises:
        ValueError: If `x` and `v` differ in shape.
    """
    _same_shape(x, v, "v")
    return _sum_but_batch(ops.square((encoder(x + eps * v) - encoder(x)) / eps))


def nt_xent(z_a: Any, z_b: Any, temperature: float) -> Any:
    r"""Normalised, temperature-scaled cross-entropy of two views of each example.

    $$\ell(z) = -\log \frac{e^{s(z, z^+)/\tau}}{\sum_{z' \ne z} e^{s(z, z')/\tau}}$$

    with the cosine similarity $s$, the other view $z^+$ of the same example, and a
    sum over the $2B - 1$ other views of a batch of $B$ examples: $z^+$ itself and
    $2B - 2$ negatives. If all views get the same $z$, every loss is
    $\log(2B - 1)$. Chen et al., arXiv 2002.05709, equation 1.

    Args:
        z_a: Projections of the first views, `[batch, p]`. Their length does not
            matter.
        z_b: Projections of the second views, same shape.
        temperature: $\tau$, above 0.

    Returns:
        Losses in nats, each the mean over the two views of an example, `[batch]`.

    Raises:
        ValueError: If the two shapes differ.

    Example:
        >>> import numpy as np
        >>> same = np.ones((4, 3), "float32")
        >>> print(np.asarray(nt_xent(same, same, 0.5)).round(4))  # log 7
        [1.9459 1.9459 1.9459 1.9459]
    """
    _same_shape(z_a, z_b, "z_b", "z_a")
    n = ops.shape(z_a)[0]
    z = ops.normalize(ops.cast(ops.concatenate([z_a, z_b]), "float32"), axis=-1)
    logits = ops.matmul(z, ops.transpose(z)) / temperature
    # A view is not its own candidate: exp(-1e9) is 0.
    logits = logits - 1e9 * ops.eye(2 * n)
    positive = ops.roll(ops.arange(2 * n), n)
    nll = keras.losses.sparse_categorical_crossentropy(
        positive, logits, from_logits=True
    )
    return (nll[:n] + nll[n:]) / 2


def info_nce(q: Any, k: Any, queue: Any, temperature: float) -> Any:
    r"""Cross-entropy of finding the key of each query among keys from elsewhere.

    $$-\log \frac{e^{s(q, k)/\tau}}
      {e^{s(q, k)/\tau} + \sum_{k' \in \text{queue}} e^{s(q, k')/\tau}}$$

    with the cosine similarity $s$. If all vectors are the same, every loss is
    $\log(Q + 1)$ for a queue of $Q$ keys. He et al., arXiv 1911.05722, equation 1.

    Args:
        q: Queries, `[batch, p]`. Their length does not matter, nor does that of keys.
        k: The key that belongs to each query, same shape.
        queue: Keys of other examples, `[Q, p]`, the negatives of all queries.
        temperature: $\tau$, above 0.

    Returns:
        Losses in nats, `[batch]`.

    Raises:
        ValueError: If `q` and `k` differ in shape.

    Example:
        >>> import numpy as np
        >>> same = np.ones((2, 3), "float32")
        >>> print(np.asarray(info_nce(same, same, np.ones((7, 3)), 0.2)).round(4))
        [2.0794 2.0794]
    """
    _same_shape(q, k, "k", "q")
    q, k, queue = (
        ops.normalize(ops.cast(each, "float32"), axis=-1) for each in (q, k, queue)
    )
    positive = ops.sum(q * k, axis=-1, keepdims=True)
    negatives = ops.matmul(q, ops.transpose(queue))
    logits = ops.concatenate([positive, negatives], axis=-1) / temperature
    return ops.logsumexp(logits, axis=-1) - logits[:, 0]


def negative_cosine(p: Any, z: Any) -> Any:
    r"""Negative cosine similarity of two vectors per example.

    $$-s(p, z) = -\frac{p^\top z}{\lVert p \rVert\, \lVert z \rVert}$$

    From -1 (same direction) to 1. For vectors of length 1 it is half their squared
    distance, less one. Which side gets a gradient is up to the model. Grill et al.,
    arXiv 2006.07733; Chen and He, arXiv 2011.10566.

    Args:
        p: Predictions, `[batch, d]`. Their length does not matter.
        z: What they are to point at, same shape.

    Returns:
        One number per example, `[batch]`.

    Raises:
        ValueError: If the two shapes differ.

    Example:
        >>> import numpy as np
        >>> p, z = [[2.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 1.0]]
        >>> print(np.asarray(negative_cosine(np.array(p), np.array(z))).round(4))
        [-1.     -0.7071]
    """
    _same_shape(p, z, "z", "p")
    p, z = (ops.normalize(ops.cast(v, "float32"), axis=-1) for v in (p, z))
    return -ops.sum(p * z, axis=-1)


def barlow_terms(z_a: Any, z_b: Any) -> dict[str, Any]:
    r"""Barlow Twins: how the numbers of two views' projections are correlated.

    $$\sum_i (1 - C_{ii})^2 \qquad\text{and}\qquad \sum_{i \ne j} C_{ij}^2$$

    with $C_{ij}$ the correlation over the batch of number $i$ of the first views with
    number $j$ of the second. The first term asks that views agree, the second that
    no number repeats another. Shifting or scaling a number changes neither. Zbontar
    et al., arXiv 2103.03230, equation 1, who weigh the second with 0.005.

    Args:
        z_a: Projections of the first views, `[batch, d]`, at least two rows.
        z_b: Projections of the second views, same shape.

    Returns:
        `invariance` and `redundancy`, a number each. A number that does not vary
        counts as correlated with nothing.

    Raises:
        ValueError: If the two shapes differ.

    Example:
        >>> import numpy as np
        >>> z = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        >>> terms = barlow_terms(z, z[:, ::-1])
        >>> print({name: round(float(term), 3) for name, term in terms.items()})
        {'invariance': 2.0, 'redundancy': 2.0}
    """
    _same_shape(z_a, z_b, "z_b", "z_a")
    standard = []
    for z in (z_a, z_b):
        z = ops.cast(z, "float32")
        z = z - ops.mean(z, axis=0)
        # The small number keeps a constant column at zero instead of NaN.
        standard.append(z / ops.sqrt(ops.mean(ops.square(z), axis=0) + 1e-8))
    n = ops.cast(ops.shape(z_a)[0], "float32")
    c = ops.matmul(ops.transpose(standard[0]), standard[1]) / n
    own = ops.diagonal(c)
    return {
        "invariance": ops.sum(ops.square(1 - own)),
        "redundancy": ops.sum(ops.square(c)) - ops.sum(ops.square(own)),
    }


def vicreg_terms(z_a: Any, z_b: Any) -> dict[str, Any]:
    r"""VICReg: invariance, variance and covariance of two views' projections.

    $$\frac{1}{B d} \sum_b \lVert z_{a,b} - z_{b,b} \rVert^2, \qquad
      \frac{1}{d} \sum_i \max\bigl(0,\, 1 - \sqrt{v_i + 10^{-4}}\bigr), \qquad
      \frac{1}{d} \sum_{i \ne j} \mathrm{cov}_{ij}^2$$

    with $v_i$ the variance of number $i$ over the batch of $B$, one less than $B$ in
    the denominator. The second and third are added up over both views, the second
    with the factor one half that the authors' code has. Bardes et al., arXiv
    2105.04906, who weigh the terms with 25, 25 and 1.

    Args:
        z_a: Projections of the first views, `[batch, d]`, at least two rows.
        z_b: Projections of the second views, same shape.

    Returns:
        `invariance`, `variance` and `covariance`, a number each.

    Raises:
        ValueError: If the two shapes differ.

    Example:
        >>> import numpy as np
        >>> z = np.zeros((8, 3))
        >>> terms = vicreg_terms(z, z)
        >>> print({name: round(float(term), 3) for name, term in terms.items()})
        {'invariance': 0.0, 'variance': 0.99, 'covariance': 0.0}
    """
    _same_shape(z_a, z_b, "z_b", "z_a")
    d = z_a.shape[-1]
    views = [ops.cast(z, "float32") for z in (z_a, z_b)]
    terms = {"invariance": ops.mean(ops.square(views[0] - views[1]))}
    variance = covariance = 0.0
    for z in views:
        z = z - ops.mean(z, axis=0)
        cov = ops.matmul(ops.transpose(z), z) / (
            ops.cast(ops.shape(z)[0], "float32") - 1
        )
        own = ops.diagonal(cov)
        gaps = ops.maximum(1 - ops.sqrt(own + 1e-4), 0)
        variance += ops.mean(gaps) / 2
        covariance += (ops.sum(ops.square(cov)) - ops.sum(ops.square(own))) / d
    return {**terms, "variance": variance, "covariance": covariance}


def _same_shape(x: Any, other: Any, name: str, first: str = "x") -> None:
    # Inside a traced function the batch size is unknown (None) and matches any.
    shapes = tuple(x.shape), tuple(other.shape)
    same = len(shapes[0]) == len(shapes[1]) and all(
        a == b or None in (a, b) for a, b in zip(*shapes, strict=True)
    )
    if not same:
        raise ValueError(
            f"{first} and {name} must have the same shape, got {shapes[0]} and "
            f"{shapes[1]}: reshape {name} to the shape of {first}."
        )


def _sum_but_batch(values: Any) -> Any:
    return ops.sum(values, axis=tuple(range(1, len(values.shape))))
