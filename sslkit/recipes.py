"""The methods of the course by name, for images of any size (page *Your own images*).

`build` makes a model for images of a shape, `compile` gives it its optimizers, and
`encoder` takes out what is worth keeping. What is not asked for follows the images:

| images                       | encoder     | augmentation |
| ---------------------------- | ----------- | ------------ |
| grey, up to 32 pixels a side | `batchnorm` | `digit`      |
| grey, larger                 | `residual`  | `photo`      |
| colour                       | `residual`  | `photo`      |

Generative adversarial networks and the masked autoencoder have networks of their own
and take no encoder. Only the methods of two views take an augmentation. Convolutions
have 32 channels at first, twice as many each time height and width are halved, and at
most 128; they go on until four to twelve pixels of the shorter side are left.

Height and width have to suit the method:

| method                          | height and width                               |
| ------------------------------- | ---------------------------------------------- |
| all                             | at least 8 pixels                              |
| `rotation`                      | equal                                          |
| `jigsaw`                        | equal and even                                 |
| `mae`                           | 4 to 16 square patches along each              |
| `gan`, `wgan`; unless `dense`:  | can be halved, without a rest, until 12 pixels |
| `autoencoder`, `denoising`,     | or fewer are left                              |
| `vae`, `aae`                    |                                                |
"""

import difflib
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import keras

from sslkit import (
    aae,
    augment,
    autoencoder,
    clustering,
    contrastive,
    gan,
    mae,
    networks,
    noncontrastive,
    pretext,
    vae,
)
from sslkit.base import Adversarial

Shape = tuple[int, ...]


class _Plan(NamedTuple):
    """What `build` was asked for, with all defaults filled in."""

    shape: Shape
    encoder: str
    augment: str
    features: int
    seed: int
    width: float

    def network(self, outputs: int | None = None) -> keras.Model:
        """Encoder to `features` numbers, or to as many as are asked for."""
        return ENCODERS[self.encoder](self, outputs or self.features)

    def decoder(self, activation: str = "sigmoid") -> keras.Model:
        """Decoder of the encoder's kind, from `features` numbers to images."""
        if self.encoder == "dense":
            return networks.dense_decoder(
                self.features, self.widths(512), activation, shape=self.shape
            )
        channels = self.halving()[::-1]
        return networks.conv_decoder(self.features, channels, activation, self.shape)

    def parts(
        self, projector: keras.Model
    ) -> tuple[keras.Model, keras.Model, keras.Model]:
        """Encoder, projector and augmentation of a method of two views."""
        views = AUGMENTATIONS[self.augment](self.shape, self.seed)
        return self.network(), projector, views

    def widths(self, *widths: int) -> list[int]:
        """Numbers of units or channels, times `width`."""
        return [max(2, round(width * self.width)) for width in widths]

    def shrinking(self) -> list[int]:
        """Channels of convolutions that leave four to six pixels, rounded up."""
        return self._doubling(math.ceil(math.log2(min(self.shape[:2]) / 6)))

    def halving(self) -> list[int]:
        """Channels of convolutions that halve without a rest, to four pixels at least.

        An image of 8 to 12 pixels is halved once in any case.
        """
        counts, side = networks.halvings(self.shape), min(self.shape[:2])
        return self._doubling(max([n for n in counts if side >= 4 * 2**n] or counts))

    def _doubling(self, count: int) -> list[int]:
        return self.widths(*(min(32 * 2**i, 128) for i in range(max(1, count))))


def _dense(plan: _Plan, outputs: int) -> keras.Model:
    hidden = plan.widths(512)
    return networks.dense_encoder(outputs, hidden, "linear", shape=plan.shape)


def _conv(plan: _Plan, outputs: int) -> keras.Model:
    channels = plan.shrinking()
    return networks.conv_encoder(outputs, channels, "linear", shape=plan.shape)


def _batchnorm(plan: _Plan, outputs: int) -> keras.Model:
    return networks.batchnorm_encoder(
        outputs, plan.shrinking(), momentum=0.9, shape=plan.shape
    )


def _residual(plan: _Plan, outputs: int) -> keras.Model:
    # Three stages halve three times; the stem does the rest, or images of 32 pixels
    # would end as 2 x 2.
    return networks.residual_encoder(
        outputs,
        plan.shape,
        plan.widths(32, 64, 128),
        stem=1 if min(plan.shape[:2]) <= 32 else 2,
    )


ENCODERS: dict[str, Callable[[_Plan, int], keras.Model]] = {
    "dense": _dense,
    "conv": _conv,
    "batchnorm": _batchnorm,
    "residual": _residual,
}
"""Encoders by name: the networks of `sslkit.networks`, without a last activation."""


def _photo(shape: Shape, seed: int) -> keras.Model:
    # Half strength, as the paper has it for the small images of CIFAR-10.
    return contrastive.photo_views(shape, seed, strength=0.5)


def _digit(shape: Shape, seed: int) -> keras.Model:
    return contrastive.digit_views(seed, shape)


def _crop(shape: Shape, seed: int) -> keras.Model:
    return keras.Sequential([keras.Input(shape), augment.RandomResizedCrop(seed=seed)])


def _none(shape: Shape, seed: int) -> keras.Model:
    return keras.Sequential([keras.Input(shape), keras.layers.Identity()])


AUGMENTATIONS: dict[str, Callable[[Shape, int], keras.Model]] = {
    "photo": _photo,
    "digit": _digit,
    "crop": _crop,
    "none": _none,
}
"""Augmentations of the methods of two views by name.

`photo`: `sslkit.contrastive.photo_views` at strength 0.5, which mirrors images and is
thus wrong for writing. `digit`: `sslkit.contrastive.digit_views`, for drawn strokes on
black of about 28 pixels. `crop`: `sslkit.augment.RandomResizedCrop`. `none`: both
views are the image itself, which most methods cannot learn from.
"""


def _autoencoder(plan: _Plan) -> keras.Model:
    return autoencoder.Autoencoder(plan.network(), plan.decoder(), plan.seed)


def _denoising(plan: _Plan) -> keras.Model:
    networks = plan.network(), plan.decoder()
    return autoencoder.DenoisingAutoencoder(*networks, noise=0.3, seed=plan.seed)


def _vae(plan: _Plan) -> keras.Model:
    # Grey levels of strokes are taken for probabilities of ink; those of photographs
    # are what they are.
    drawn = _drawn(plan.shape)
    return vae.VAE(
        plan.network(2 * plan.features),
        plan.decoder("linear" if drawn else "sigmoid"),
        likelihood="bernoulli" if drawn else "gaussian",
        sigma=1.0 if drawn else 0.2,
        seed=plan.seed,
    )


def _aae(plan: _Plan) -> keras.Model:
    return aae.AdversarialAutoencoder(
        plan.network(),
        plan.decoder(),
        networks.mlp(plan.features, plan.widths(256, 256), name="discriminator"),
        aae.GaussianPrior(plan.features),
        seed=plan.seed,
    )


def _players(plan: _Plan) -> tuple[keras.Model, keras.Model]:
    channels = plan.halving()
    return (
        networks.dcgan_generator(channels=channels[::-1], shape=plan.shape),
        networks.dcgan_discriminator(channels, shape=plan.shape),
    )


def _mae(plan: _Plan) -> keras.Model:
    patch, d, shape = _patch(plan.shape), plan.features, plan.shape
    assert patch is not None
    # Mean and spread of the pixels: those of MNIST, or what photographs have.
    pixels = (0.13, 0.31) if _drawn(shape) else (0.45, 0.25)
    narrow = max(4, d // 8 * 4)
    return mae.MaskedAutoencoder(
        mae.patch_encoder(patch, d, shape=shape, pixels=pixels),
        mae.patch_decoder(patch, d, narrow, shape=shape),
        seed=plan.seed,
        shape=shape,
    )


def _rotation(plan: _Plan) -> keras.Model:
    head = networks.projector(plan.features, outputs=4)
    return pretext.RotationPredictor(plan.network(), head, seed=plan.seed)


def _jigsaw(plan: _Plan) -> keras.Model:
    orders, tile = pretext.permutations(24), plan.shape[0] // 2
    head = networks.projector(plan.features, outputs=len(orders))
    # Windows a seventh smaller than tiles, so that nothing goes on across a seam.
    size = tile - max(1, round(tile / 7))
    return pretext.Jigsaw(plan.network(), head, orders, size, seed=plan.seed)


def _simclr(plan: _Plan) -> keras.Model:
    parts = plan.parts(networks.projector(plan.features))
    return contrastive.SimCLR(*parts, seed=plan.seed)


def _moco(plan: _Plan) -> keras.Model:
    parts = plan.parts(networks.projector(plan.features))
    return contrastive.MoCo(*parts, queue=1024, seed=plan.seed)


def _simsiam(plan: _Plan) -> keras.Model:
    projector = noncontrastive.batchnorm_mlp(plan.features, normalise=True)
    return noncontrastive.SimSiam(
        *plan.parts(projector),
        predictor=noncontrastive.batchnorm_mlp(256, 64),
        seed=plan.seed,
    )


def _byol(plan: _Plan) -> keras.Model:
    projector = noncontrastive.batchnorm_mlp(plan.features)
    return noncontrastive.BYOL(
        *plan.parts(projector),
        predictor=noncontrastive.batchnorm_mlp(256),
        seed=plan.seed,
    )


def _barlow(plan: _Plan) -> keras.Model:
    parts = plan.parts(noncontrastive.batchnorm_mlp(plan.features))
    return noncontrastive.BarlowTwins(*parts, seed=plan.seed)


def _vicreg(plan: _Plan) -> keras.Model:
    parts = plan.parts(noncontrastive.batchnorm_mlp(plan.features))
    return noncontrastive.VICReg(*parts, seed=plan.seed)


def _swav(plan: _Plan) -> keras.Model:
    parts = plan.parts(clustering.cluster_head(plan.features, 30))
    return clustering.SwAV(*parts, seed=plan.seed)


def _dino(plan: _Plan) -> keras.Model:
    parts = plan.parts(clustering.cluster_head(plan.features, 30))
    return clustering.DINO(*parts, seed=plan.seed)


def _iic(plan: _Plan) -> keras.Model:
    parts = plan.parts(networks.projector(plan.features, outputs=40))
    return clustering.IIC(*parts, clusters=(10, 30), seed=plan.seed)


METHODS: dict[str, Callable[[_Plan], keras.Model]] = {
    "autoencoder": _autoencoder,
    "denoising": _denoising,
    "vae": _vae,
    "aae": _aae,
    "gan": lambda plan: gan.GAN(*_players(plan), seed=plan.seed),
    "wgan": lambda plan: gan.WassersteinGAN(*_players(plan), seed=plan.seed),
    "mae": _mae,
    "rotation": _rotation,
    "jigsaw": _jigsaw,
    "simclr": _simclr,
    "moco": _moco,
    "simsiam": _simsiam,
    "byol": _byol,
    "barlow": _barlow,
    "vicreg": _vicreg,
    "swav": _swav,
    "dino": _dino,
    "iic": _iic,
}
"""Methods by name. `build` is how to use them."""

TWO_VIEWS = tuple(METHODS)[tuple(METHODS).index("simclr") :]
"""The methods that compare two views of an image, and so take an augmentation."""
OWN_NETWORKS = ("gan", "wgan", "mae")
"""The methods that take no encoder."""
DECODING = ("autoencoder", "denoising", "vae", "aae")
"""The methods whose encoder needs a decoder of its kind."""
SMALLEST = {"wgan": 5, "vicreg": 2}
"""Examples per step, of one replica, below which a method cannot train.

The critic of `wgan` takes five steps, each with its share of the batch; `vicreg`
divides by the number of examples less one. One suffices for all others.
"""


def defaults(method: str, shape: Sequence[int]) -> tuple[str | None, str | None]:
    """Encoder and augmentation that `build` takes when none is asked for.

    Args:
        method: A name in `METHODS`.
        shape: `(height, width)` of grey images, or `(height, width, channels)`.

    Returns:
        A name in `ENCODERS` and one in `AUGMENTATIONS`; `None` for what the method
        does not take.

    Raises:
        ValueError: If there is no such method.

    Example:
        >>> defaults("simclr", (28, 28)), defaults("jigsaw", (64, 64, 3))
        (('batchnorm', 'digit'), ('residual', None))
    """
    _known("method", method, METHODS)
    encoder, views = ("residual", "photo")
    if _drawn(shape):
        encoder, views = ("batchnorm", "digit")
    return (
        None if method in OWN_NETWORKS else encoder,
        views if method in TWO_VIEWS else None,
    )


def build(
    method: str,
    shape: Sequence[int],
    encoder: str | None = None,
    augment: str | None = None,
    features: int = 128,
    seed: int = 0,
    width: float = 1.0,
) -> keras.Model:
    """Make the model of a method for images of a shape, not compiled yet.

    First weights come from Keras's global generator: call
    `keras.utils.set_random_seed` before.

    Args:
        method: A name in `METHODS`.
        shape: `(height, width)` of grey images, or `(height, width, channels)` with
            two channels or more. The module says which sizes suit which method.
        encoder: A name in `ENCODERS`; left out, as `defaults` says.
        augment: A name in `AUGMENTATIONS`; left out, as `defaults` says.
        features: Length d of a feature vector, at least 1; for `"mae"` a multiple of
            4. `"gan"` and `"wgan"` have as many as their discriminator's last layer.
        seed: Fixes what model and augmentation draw.
        width: Factor for the channels and hidden units of encoders, decoders and
            players, above 0. Half of them are about three times as fast.

    Returns:
        A model that `fit` trains on float images `[batch, *shape]` in [0, 1] alone,
        once it is compiled.

    Raises:
        ValueError: If a name is unknown, the method does not take what is asked for,
            or the shape does not suit it; the message names what would.

    Example:
        >>> model = build("simclr", (32, 32, 3), features=16, width=0.25)
        >>> type(model).__name__, model.encoder.output_shape
        ('SimCLR', (None, 16))
    """
    shape = _check_shape(shape)
    usual = defaults(method, shape)
    chosen = []
    for name, value, default, table in (
        ("encoder", encoder, usual[0], ENCODERS),
        ("augment", augment, usual[1], AUGMENTATIONS),
    ):
        if value is not None:
            _known(name, value, table)
            if default is None and value != "none":
                raise ValueError(
                    f"{name} must be left out for method={method!r}, which takes "
                    f"none, got {value!r}."
                )
        chosen.append(value or default or "none")
    least = 4 if method == "mae" else 1
    if not isinstance(features, int) or features < 1 or features % least:
        whole = "a multiple of 4" if method == "mae" else "a positive integer"
        raise ValueError(
            f"features must be {whole} for method={method!r}, got {features!r}: pass, "
            "say, 128."
        )
    if not 0 < width < math.inf:
        raise ValueError(f"width must be above 0, got {width!r}: pass, say, 0.5.")
    wrong = _misfit(method, shape, chosen[0])
    if wrong:
        raise ValueError(
            f"shape must have {wrong} for method={method!r}, got {shape}: the nearest "
            f"sizes that suit are {_nearest(method, shape, chosen[0])}."
        )
    plan = _Plan(shape, chosen[0], chosen[1], features, seed, width)
    model: keras.Model = METHODS[method](plan)
    return model


def compile(
    model: keras.Model,
    rate: float | None = None,
    steps: int | None = None,
    **arguments: Any,
) -> None:
    """Give a model the optimizers that its method needs: Adam, one for each player.

    Args:
        model: What `build` returned.
        rate: Learning rate, above 0; left out, 1e-3, and 2e-4 for methods with
            players (`"aae"`, `"gan"`, `"wgan"`), as in arXiv 1511.06434.
        steps: Over how many steps the rate falls to 0 along half a cosine
            (arXiv 1608.03983); left out, it stays. With players it stays in any case,
            and momentum is 0.5: neither is to get ahead for good.
        **arguments: What `keras.Model.compile` takes besides, such as `jit_compile`.

    Raises:
        ValueError: If `rate` is not above 0 or `steps` is not a positive integer.

    Example:
        >>> model = build("autoencoder", (28, 28), "dense", features=8)
        >>> compile(model, steps=100)
        >>> type(model.optimizer).__name__
        'Adam'
    """
    players = isinstance(model, Adversarial)
    rate = (2e-4 if players else 1e-3) if rate is None else rate
    if not 0 < rate < math.inf:
        raise ValueError(f"rate must be above 0, got {rate!r}: pass, say, 1e-3.")
    if steps is not None and (not isinstance(steps, int) or steps < 1):
        raise ValueError(
            f"steps must be a positive integer or None, got {steps!r}: pass the "
            "number of batches of the whole training."
        )
    if players:
        each = {
            name: keras.optimizers.Adam(rate, beta_1=0.5) for name in model.optimizers
        }
        model.compile(**each, **arguments)
        return
    schedule = keras.optimizers.schedules.CosineDecay(rate, steps) if steps else rate
    model.compile(optimizer=keras.optimizers.Adam(schedule), **arguments)


def encoder(model: keras.Model) -> keras.Model:
    """Take the encoder out of a model: what is kept after training.

    Its weights are the model's own, not a copy. A `.keras` file of it can be loaded
    without sslkit, except that of a masked autoencoder, which needs
    `import sslkit.mae` first.

    Args:
        model: What `build` returned.

    Returns:
        A model from images `[batch, *shape]` in [0, 1] to features `[batch, d]`:

        - for a variational autoencoder the mean of the code,
        - for `GAN` and `WassersteinGAN` the discriminator's last hidden layer,
        - for `MaskedAutoencoder` the mean of the vectors of all patches,
        - else the output of the model's encoder.

    Raises:
        ValueError: If the model is none of this course's with an encoder.

    Example:
        >>> encoder(build("vae", (28, 28), features=8)).output_shape
        (None, 8)
    """
    if isinstance(model, gan.GAN):
        judge = model.discriminator
        return keras.Model(judge.inputs[0], judge.layers[-2].output, name="encoder")
    if isinstance(model, mae.MaskedAutoencoder):
        return mae.image_encoder(model.encoder, shape=model.image_shape)
    inner = getattr(model, "encoder", None)
    if not isinstance(inner, keras.Model):
        raise ValueError(
            f"model must have an encoder, got a {type(model).__name__}: pass what "
            "build returned."
        )
    if isinstance(model, vae.VAE):
        mean = inner.outputs[0][:, : inner.output_shape[-1] // 2]
        return keras.Model(inner.inputs[0], mean, name="encoder")
    return inner


def chance(model: keras.Model, batch_size: int) -> float | None:
    """Loss of a model whose features are the same for all images, where it is known.

    A loss that stays there says that features have collapsed, or that nothing was
    learnt yet. For clusters and pretext tasks it is the least that such features can
    reach, for `DINO` once its centre has caught up. `SimSiam` and `BYOL` have their
    minimum there, so that their loss cannot tell.

    Args:
        model: What `build` returned.
        batch_size: Images a batch, at least 1.

    Returns:
        The value that `fit` would report as `loss`, or `None` where it depends on the
        images.

    Raises:
        ValueError: If `batch_size` is not a positive integer.

    Example:
        >>> print(round(chance(build("simclr", (28, 28)), 128), 4))  # log 255
        5.5413
    """
    if not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"batch_size must be a positive integer, got {batch_size!r}.")
    if isinstance(model, contrastive.SimCLR):
        return math.log(2 * batch_size - 1)
    if isinstance(model, contrastive.MoCo):
        return math.log(model.queue.shape[0] + 1)
    if isinstance(model, noncontrastive.SimSiam):  # and BYOL, which is one
        return -1.0
    if isinstance(model, noncontrastive.BarlowTwins):
        return 1.0
    if isinstance(model, noncontrastive.VICReg):
        # Of the variance term, one less the root of what keeps its slope finite.
        return model.term_weights["variance"] * 0.99
    if isinstance(model, (clustering.SwAV, clustering.DINO)):
        return math.log(model.projector.output_shape[-1])
    if isinstance(model, clustering.IIC):
        return 0.0
    if isinstance(model, pretext.Pretext):
        return math.log(model.changes)
    return None


def _known(argument: str, name: str, names: Iterable[str]) -> None:
    if name not in names:
        (close,) = difflib.get_close_matches(str(name), list(names), 1, cutoff=0.0)
        raise ValueError(
            f"{argument} must be one of {', '.join(names)}, got {name!r}: did you "
            f"mean {close!r}?"
        )


def _check_shape(shape: Sequence[int]) -> Shape:
    shape = tuple(shape)
    if len(shape) not in (2, 3) or not all(isinstance(n, int) and n > 0 for n in shape):
        raise ValueError(
            f"shape must be (height, width) or (height, width, channels), got {shape}."
        )
    if shape[2:] == (1,):
        raise ValueError(
            f"shape must have no axis of channels for grey images, got {shape}: pass "
            f"{shape[:2]}, and images [batch, height, width]."
        )
    return shape


def _drawn(shape: Sequence[int]) -> bool:
    """Whether images are taken for drawings like those of MNIST, not photographs."""
    return len(shape) == 2 and max(shape) <= 32


def _patch(shape: Shape) -> int | None:
    """Side of the patches that come closest to eight along the longer side."""
    height, width = shape[:2]
    sides = [
        patch
        for patch in range(1, max(shape[:2]))
        if height % patch == width % patch == 0
        and 4 <= min(height, width) // patch <= max(height, width) // patch <= 16
    ]
    return min(sides, key=lambda patch: abs(max(shape[:2]) / patch - 8), default=None)


def _misfit(method: str, shape: Shape, encoder: str) -> str | None:
    """Say what a shape should have and has not, if it does not suit the method."""
    height, width = shape[:2]
    if min(height, width) < 8:
        return "at least 8 pixels each way"
    if method in ("rotation", "jigsaw") and height != width:
        return "equal height and width"
    if method == "jigsaw" and height % 2:
        return "an even height and width"
    if method == "mae" and _patch(shape) is None:
        return "a height and width that hold 4 to 16 square patches"
    halved = method in ("gan", "wgan") or method in DECODING and encoder != "dense"
    if halved and not networks.halvings(shape):
        return (
            "a height and width that can be halved, without a rest, until 12 pixels "
            "or fewer are left"
        )
    return None


def _nearest(method: str, shape: Shape, encoder: str) -> str:
    """Name the next smaller and the next larger square that suits a method."""
    side = round(sum(shape[:2]) / 2)

    def fits(n: int) -> bool:
        return _misfit(method, (n, n, *shape[2:]), encoder) is None

    smaller = next((n for n in range(side, 7, -1) if fits(n)), None)
    larger = next((n for n in range(side, 4 * side + 64) if fits(n)), None)
    found = sorted({n for n in (smaller, larger) if n is not None})
    return " and ".join(f"{n} x {n}" for n in found)
