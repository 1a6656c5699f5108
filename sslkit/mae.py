"""Masked autoencoder: hide most patches of an image and rebuild them from the rest.

Chapter *Masked modelling*. The encoder is a small transformer that is given the
visible patches and nothing else; a light decoder fills the gaps and is thrown away.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from sslkit.base import Composite
from sslkit.distribute import share
from sslkit.networks import IMAGE_SHAPE


def patchify(images: Any, patch: int) -> Any:
    r"""Cut images into square patches, row by row, and flatten each of them.

    $$x_{p, i} = x_{r P + a,\; c P + b}, \qquad p = r \cdot (W / P) + c, \quad
      i = a P + b$$

    for patches of $P \times P$ pixels of an image $W$ pixels wide; the channels of a
    pixel of a colour image stay side by side. arXiv 2111.06377.

    Args:
        images: `[batch, height, width]`, or `[batch, height, width, channels]` with
            two channels or more.
        patch: Side of a patch in pixels, $P$; it divides height and width.

    Returns:
        Patches `[batch, patches, patch * patch]`, times the number of channels.

    Raises:
        ValueError: If `images` has another shape or `patch` does not divide its sides.

    Example:
        >>> import numpy as np
        >>> print(np.asarray(patchify(np.arange(16).reshape(1, 4, 4), 2))[0])
        [[ 0  1  4  5]
         [ 2  3  6  7]
         [ 8  9 12 13]
         [10 11 14 15]]
    """
    # From patches nobody could tell whether an image had an axis for one channel.
    if len(images.shape) not in (3, 4) or images.shape[3:] == (1,):
        raise ValueError(
            f"images must have shape [batch, height, width], or [batch, height, width, "
            f"channels] if they are coloured, got {tuple(images.shape)}: drop the axis "
            "of a single channel."
        )
    height, width, *channels = images.shape[1:]
    if not isinstance(patch, int) or patch < 1 or height % patch or width % patch:
        raise ValueError(
            f"patch must divide height and width, got {patch!r} for images of {height} "
            f"x {width} pixels: choose a common divisor."
        )
    rows, columns = height // patch, width // patch
    x = ops.reshape(images, (-1, rows, patch, columns, patch, *channels))
    x = ops.transpose(x, (0, 1, 3, 2, *range(4, 5 + len(channels))))
    return ops.reshape(x, (-1, rows * columns, patch * patch * math.prod(channels)))


def unpatchify(patches: Any, shape: Sequence[int] | None = None) -> Any:
    """Put the patches of images together again: the inverse of `patchify`.

    Args:
        patches: `[batch, patches, pixels]`. arXiv 2111.06377.
        shape: Shape of an image, `(height, width)` or `(height, width, channels)`.
            Left out, images are square and grey, and both numbers are squares.

    Returns:
        Images `[batch, *shape]`.

    Raises:
        ValueError: If there is another rank, a number is no square, or the patches
            are not those of an image of this shape.

    Example:
        >>> import numpy as np
        >>> patches = patchify(np.arange(16).reshape(1, 4, 4), 2)
        >>> print(np.asarray(unpatchify(patches))[0])
        [[ 0  1  2  3]
         [ 4  5  6  7]
         [ 8  9 10 11]
         [12 13 14 15]]
    """
    given = tuple(patches.shape)
    if len(given) != 3 or (
        shape is None and any(math.isqrt(n) ** 2 != n for n in given[1:])
    ):
        raise ValueError(
            f"patches must have shape [batch, patches, pixels] with two squares, got "
            f"{given}: pass what patchify made of square images, or give the shape."
        )
    if shape is None:
        side = math.isqrt(given[1] * given[2])
        shape = (side, side)
    height, width, *channels = shape
    patch = max(1, math.isqrt(given[2] // math.prod(channels)))
    rows, columns = height // patch, width // patch
    whole = height == rows * patch and width == columns * patch
    if not whole or given[1:] != (
        rows * columns,
        patch * patch * math.prod(channels),
    ):
        raise ValueError(
            f"patches must be those of images of shape {tuple(shape)}, got {given}: "
            "pass the shape of what patchify was given."
        )
    x = (-1, rows, columns, patch, patch, *channels)
    return ops.reshape(ops.swapaxes(ops.reshape(patches, x), 2, 3), (-1, *shape))


def random_mask(batch: Any, patches: int, ratio: float, seed: Any) -> tuple[Any, Any]:
    r"""Draw which patches of each image to hide, equally many in all.

    Each image draws $\operatorname{round}(\rho P)$ of its $P$ patches without
    replacement, so that the visible ones fill an array. arXiv 2111.06377, section 3.

    Args:
        batch: Number of images.
        patches: Patches an image, $P$.
        ratio: Share to hide, $\rho$, above 0 and below 1.
        seed: Integer, or a `keras.random.SeedGenerator` for a new draw each time.

    Returns:
        Places of the visible patches, integers `[batch, visible]` in no order, and
        the mask, 1 where hidden and 0 elsewhere, `[batch, patches]`.

    Raises:
        ValueError: If `ratio` is out of range, or hides none or all of the patches.

    Example:
        >>> visible, mask = random_mask(2, 16, 0.75, seed=0)
        >>> visible.shape, [int(hidden) for hidden in ops.sum(mask, axis=1)]
        (TensorShape([2, 4]), [12, 12])
    """
    hidden = _count_hidden(patches, ratio)
    lots = keras.random.uniform((batch, patches), seed=seed)
    _, visible = ops.top_k(lots, patches - hidden)
    return visible, 1 - ops.sum(ops.one_hot(visible, patches), axis=1)


def masked_error(patches: Any, guess: Any, mask: Any) -> Any:
    r"""Squared error per pixel, averaged over the patches that count.

    $$\frac{\sum_p M_p\, \tfrac1n \lVert x_p - \hat x_p \rVert^2}{\sum_p M_p}$$

    with $n$ pixels a patch. He et al., arXiv 2111.06377, section 3.

    Args:
        patches: The truth, `[batch, patches, n]`.
        guess: What was predicted, same shape.
        mask: $M$, 1 for patches that count and 0 for others, `[batch, patches]`.

    Returns:
        A number, in squared units of a pixel; 0 if no patch counts.

    Raises:
        ValueError: If the shapes do not fit together.

    Example:
        >>> x = ops.zeros((1, 2, 4))
        >>> guess = ops.stack([ops.full((1, 4), 0.5), ops.ones((1, 4))], axis=1)
        >>> float(masked_error(x, guess, ops.convert_to_tensor([[1.0, 0.0]])))
        0.25
    """
    if tuple(patches.shape) != tuple(guess.shape) or mask.shape[1:] != guess.shape[1:2]:
        raise ValueError(
            f"patches and guess must have one shape and mask that shape without its "
            f"last axis, got {tuple(patches.shape)}, {tuple(guess.shape)} and "
            f"{tuple(mask.shape)}: make all three with the same patch."
        )
    # In float16 the sum over a batch could overflow.
    x, guess, mask = (ops.cast(each, "float32") for each in (patches, guess, mask))
    error = ops.mean(ops.square(x - guess), axis=-1)
    return ops.sum(mask * error) / ops.maximum(ops.sum(mask), 1.0)


@keras.saving.register_keras_serializable(package="sslkit")
class Positions(keras.layers.Layer):
    r"""Add to each vector what tells its place, as sines and cosines.

    $$\bigl(\sin \omega_j r,\; \cos \omega_j r,\; \sin \omega_j c,\;
      \cos \omega_j c\bigr)_{j = 0, 1, \dots}, \qquad \omega_j = \pi\, 8^{-4 j / d}$$

    for the patch in row $r$ and column $c$ of a grid. The product of two such
    vectors depends on how far apart the places are, so that near ones are alike
    before anything is learnt. After arXiv 1706.03762, section 3.5, whose waves are up
    to ten thousand places long; on a grid of seven most of those would be constants.

    Args:
        patches: Number of places.
        columns: How many lie in a row. Left out, the grid is square.

    Raises:
        ValueError: If `patches` is no square, or no multiple of `columns` if that is
            given, or, when built, the length of the vectors is no multiple of 4.

    Example:
        >>> layer = Positions(4)
        >>> layer(ops.zeros((2, 3, 8)), ops.zeros((2, 3), "int32")).shape
        TensorShape([2, 3, 8])
    """

    def __init__(self, patches: int, columns: int | None = None, **kwargs: Any) -> None:
        """Keep the number of places; see the class for the arguments."""
        if columns is not None:
            if columns < 1 or patches < 1 or patches % columns:
                raise ValueError(
                    f"patches must be a multiple of columns, got {patches!r} and "
                    f"{columns!r}: pass rows times columns."
                )
        elif patches < 1 or math.isqrt(patches) ** 2 != patches:
            raise ValueError(f"patches must be a square number, got {patches!r}.")
        super().__init__(**kwargs)
        self.patches = patches
        self.columns = math.isqrt(patches) if columns is None else columns

    def build(self, shape: Any, *_: Any) -> None:
        """Compute the table of vectors; there is nothing to learn."""
        d, across = shape[-1], self.columns
        down = self.patches // across
        if d % 4:
            raise ValueError(f"the vectors must have a multiple of 4 numbers, got {d}.")
        speeds = np.pi * 8.0 ** (-4 * np.arange(d // 4) / d)
        angles = np.outer(np.arange(max(down, across)), speeds)
        waves = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
        rows = np.repeat(waves[:down], across, axis=0)
        columns = np.tile(waves[:across], (down, 1))
        self.table = np.concatenate([rows, columns], axis=1)

    def call(self, h: Any, places: Any = None) -> Any:
        """Add the vectors.

        Args:
            h: Vectors of patches `[batch, k, d]`.
            places: Where they belong, integers `[batch, k]`; all places in order if
                left out.

        Returns:
            Vectors of the same shape.
        """
        table = ops.cast(self.table, h.dtype)
        return h + (table if places is None else ops.take(table, places, axis=0))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        config = {**super().get_config(), "patches": self.patches}
        # A square grid is saved as it was before there were others.
        square = self.columns**2 == self.patches
        return config if square else {**config, "columns": self.columns}


def patch_encoder(
    patch: int = 4,
    d: int = 64,
    blocks: int = 3,
    heads: int = 4,
    shape: Sequence[int] = IMAGE_SHAPE,
    pixels: Sequence[float] = (0.13, 0.31),
) -> keras.Model:
    """Small transformer from some patches of an image to a vector for each.

    Pixels are standardised. A dense layer and the place make a
    vector of each patch; blocks of attention and
    of a dense layer of `4 d` units follow, each added to its input and after layer
    normalisation (arXiv 2010.11929).

    Args:
        patch: Side of a patch in pixels, a divisor of height and width.
        d: Length of the vectors, a multiple of `heads` and of 4.
        blocks: Number of blocks, at least 1.
        heads: Attention heads of a block.
        shape: Shape of an image, `(height, width)` or `(height, width, channels)`.
        pixels: Mean and standard deviation of all pixels, about; those of MNIST.

    Returns:
        A model from patches `[batch, k, patch * patch]`, times the channels if there
        are any, and their places, integers `[batch, k]`, to `[batch, k, d]`, for any
        number k. Its layers `block_0`, `block_1`, …, `end` return what each block
        makes of the vectors, and the last of these normalised.

    Raises:
        ValueError: If `patch` is no divisor of height and width, `d` no multiple of
            `heads` or of 4, a number is below 1, or the spread is not above 0.

    Example:
        >>> encoder = patch_encoder(7, d=8, blocks=1, heads=2)
        >>> encoder([ops.zeros((2, 4, 49)), ops.zeros((2, 4), "int32")]).shape
        TensorShape([2, 4, 8])
    """
    grid = _check_sizes(patch, d, blocks, heads, shape)
    mean, spread = pixels
    if not spread > 0:
        raise ValueError(
            f"pixels must be a mean and a spread above 0, got {tuple(pixels)}."
        )
    patches = keras.Input((None, patch * patch * math.prod(shape[2:])))
    places = keras.Input((None,), dtype="int32")
    # Pixels with mean 0 and standard deviation 1, or the places, whose waves have that
    # size, would drown them.
    standard = keras.layers.Rescaling(1 / spread, -mean / spread)(patches)
    h = Positions(*grid)(keras.layers.Dense(d)(standard), places)
    for i in range(blocks):
        h = _block(h, heads, name=f"block_{i}")
    h = keras.layers.LayerNormalization(name="end")(h)
    return keras.Model([patches, places], h, name="encoder")


def patch_decoder(
    patch: int = 4,
    d: int = 64,
    width: int = 32,
    blocks: int = 1,
    heads: int = 4,
    shape: Sequence[int] = IMAGE_SHAPE,
) -> keras.Model:
    """Light transformer from vectors with gaps to all patches of an image.

    Gaps get one and the same learnt vector, the *mask token*, and the vector of
    their place. arXiv 2111.06377, section 3.

    Args:
        patch: Side of a patch in pixels, a divisor of height and width.
        d: Length of the encoder's vectors.
        width: Length of the vectors inside, a multiple of `heads` and of 4.
        blocks: Number of blocks, at least 1.
        heads: Attention heads of a block.
        shape: As for `patch_encoder`.

    Returns:
        A model from vectors `[batch, patches, d]`, zero in the gaps, and the mask
        `[batch, patches, 1]`, 1 in the gaps, to patches
        `[batch, patches, patch * patch]`, times the channels if there are any,
        without an activation.

    Raises:
        ValueError: If `patch` is no divisor of height and width, `width` no multiple
            of `heads` or of 4, or a number is below 1.

    Example:
        >>> patch_decoder(7, d=8, width=4, heads=2).output_shape
        (None, 16, 49)
    """
    grid = _check_sizes(patch, width, blocks, heads, shape)
    count = grid[0]
    h, mask = keras.Input((count, d)), keras.Input((count, 1))
    shown = keras.layers.Dense(width, use_bias=False)(h)
    # Times 1 in a gap and times 0 elsewhere: its only weights are the mask token.
    token = keras.layers.Dense(width, use_bias=False, name="mask_token")(mask)
    x = Positions(*grid)(keras.layers.Add()([shown, token]))
    for i in range(blocks):
        x = _block(x, heads, name=f"block_{i}")
    # Small first weights: guesses begin near black, which most pixels are.
    start = keras.initializers.RandomNormal(stddev=0.02)
    pixels = patch * patch * math.prod(shape[2:])
    last = keras.layers.Dense(pixels, kernel_initializer=start)
    x = last(keras.layers.LayerNormalization()(x))
    return keras.Model([h, mask], x, name="decoder")


def _block(h: Any, heads: int, name: str) -> Any:
    d, layers = h.shape[-1], keras.layers
    normed = layers.LayerNormalization()(h)
    h = layers.Add()([h, layers.MultiHeadAttention(heads, d // heads)(normed, normed)])
    made = layers.Dense(4 * d, "relu")(layers.LayerNormalization()(h))
    return layers.Add(name=name)([h, layers.Dense(d)(made)])


@keras.saving.register_keras_serializable(package="sslkit")
class MaskedAutoencoder(Composite):
    r"""Encoder of visible patches, trained to let a decoder rebuild the hidden ones.

    $$\min_{f, g}\; \mathbb{E}\; \frac{\sum_p M_p\, \tfrac1n
      \lVert x_p - g(f(\{x_q : M_q = 0\}), M)_p \rVert^2}{\sum_p M_p}$$

    with patches $x_p$ of $n$ pixels, encoder $f$, decoder $g$ and a random mask $M$
    that is 1 for hidden patches. He et al., arXiv 2111.06377.

    Args:
        encoder: Model from patches and places to vectors, such as `patch_encoder`.
        decoder: Model from vectors with gaps and the mask to all patches, such as
            `patch_decoder`.
        ratio: Share of the patches to hide, above 0 and below 1.
        loss_on: `"hidden"` counts the error of hidden patches only, `"all"` that of
            all.
        seed: Seed of the masks.
        shape: Shape of an image, `(height, width)` or `(height, width, channels)`.

    Raises:
        ValueError: If the encoder's vectors are not what the decoder takes, the
            decoder's patches are not those of images of this shape, `ratio` hides
            none or all of the patches, or `loss_on` is neither.

    Example:
        >>> import numpy as np
        >>> model = MaskedAutoencoder(
        ...     patch_encoder(7, d=8, blocks=1, heads=2),
        ...     patch_decoder(7, d=8, width=4, heads=2),
        ... )
        >>> guess, mask = model(np.zeros((8, 28, 28), "float32"))
        >>> guess.shape, mask.shape
        (TensorShape([8, 16, 49]), TensorShape([8, 16]))
    """

    parts = ("encoder", "decoder")

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        ratio: float = 0.75,
        loss_on: str = "hidden",
        seed: int = 0,
        shape: Sequence[int] = IMAGE_SHAPE,
        **kwargs: Any,
    ) -> None:
        """Keep the parts; see the class for the arguments."""
        if loss_on not in ("hidden", "all"):
            raise ValueError(f"loss_on must be 'hidden' or 'all', got {loss_on!r}.")
        made, taken = encoder.output_shape[-1], decoder.input_shape[0][-1]
        if made != taken:
            raise ValueError(
                f"decoder must take vectors of the encoder's length {made}, got a "
                f"decoder of {taken}: make both with the same d."
            )
        super().__init__(seed, **kwargs)
        self.encoder = encoder
        self.decoder = decoder
        self.ratio = ratio
        self.loss_on = loss_on
        self.image_shape = tuple(shape)
        self.patches, pixels = decoder.output_shape[1:]
        self.patch = math.isqrt(pixels // math.prod(self.image_shape[2:]))
        _count_hidden(self.patches, ratio)
        if self.patches * pixels != math.prod(self.image_shape):
            raise ValueError(
                f"shape must be that of the decoder's images, got {self.image_shape} "
                f"for {self.patches} patches of {pixels} numbers: make encoder, "
                "decoder and model with one shape."
            )

    def rebuild(self, x: Any, visible: Any, mask: Any, training: bool = False) -> Any:
        """Guess all patches of images from some of them.

        Args:
            x: Images `[batch, *shape]`; what is hidden of them is not looked at.
            visible: Places of visible patches, as `random_mask` returns them.
            mask: The mask that goes with them.
            training: Passed to the networks.

        Returns:
            Patches `[batch, patches, pixels]`. Those that were visible are guessed,
            too, and badly if they do not count in the loss.
        """
        visible, mask = ops.convert_to_tensor(visible), ops.convert_to_tensor(mask)
        patches = patchify(x, self.patch)
        shown = ops.take_along_axis(patches, visible[..., None], axis=1)
        h = self.encoder([shown, visible], training=training)
        # A product puts each vector back to its place, and zeros where none was seen.
        back = ops.one_hot(visible, self.patches, axis=1, dtype=h.dtype)
        return self.decoder([ops.matmul(back, h), mask[..., None]], training=training)

    def call(self, x: Any, training: bool = False) -> tuple[Any, Any]:
        """Hide patches and guess them.

        Args:
            x: Images `[batch, *shape]`.
            training: Passed to the networks. The mask is drawn either way.

        Returns:
            Guesses of all patches `[batch, patches, pixels]` and the mask
            `[batch, patches]`.
        """
        visible, mask = random_mask(
            ops.shape(x)[0], self.patches, self.ratio, self.seed_generator
        )
        return self.rebuild(x, visible, mask, training), mask

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """`masked_error` of the batch."""
        guess, mask = y_pred
        if self.loss_on == "all":
            mask = ops.ones_like(mask)
        # As many patches are hidden of each image, so that all shares weigh the same.
        return share(masked_error(patchify(x, self.patch), guess, mask))

    def get_config(self) -> dict[str, Any]:
        """Configuration from which `from_config` makes the same architecture."""
        own: dict[str, Any] = {"ratio": self.ratio, "loss_on": self.loss_on}
        # Models of MNIST are saved as they were before there were others.
        if self.image_shape != IMAGE_SHAPE:
            own["shape"] = self.image_shape
        return {**super().get_config(), **own}


def image_encoder(
    encoder: keras.Model,
    layer: str = "end",
    pool: str = "mean",
    shape: Sequence[int] = IMAGE_SHAPE,
) -> keras.Model:
    """Features of a whole image: all patches are visible, and their vectors pooled.

    Args:
        encoder: A `patch_encoder`. Its weights are shared, not copied.
        layer: Name of the layer that gives the vectors.
        pool: `"mean"` over the patches, or `"concatenate"` all vectors.
        shape: Shape of an image, that which the encoder was made with.

    Returns:
        A model from images `[batch, *shape]` in [0, 1] to features `[batch, d]`, or
        `[batch, patches * d]`. arXiv 2111.06377, section 4.1.

    Raises:
        ValueError: If there is no such layer or `pool` is neither.

    Example:
        >>> image_encoder(patch_encoder(7, d=8, heads=2)).output_shape
        (None, 8)
    """
    names = [each.name for each in encoder.layers]
    names = [name for name in names if name == "end" or name.startswith("block_")]
    if layer not in names:
        raise ValueError(f"layer must be one of {names}, got {layer!r}.")
    if pool not in ("mean", "concatenate"):
        raise ValueError(f"pool must be 'mean' or 'concatenate', got {pool!r}.")
    inner = keras.Model(encoder.inputs, encoder.get_layer(layer).output)
    images = keras.Input(shape)
    pixels = encoder.inputs[0].shape[-1] // math.prod(shape[2:])
    patches = patchify(images, math.isqrt(pixels))
    everywhere = ops.cumsum(ops.ones_like(patches[..., 0], dtype="int32"), axis=1) - 1
    h = inner([patches, everywhere])
    if pool == "mean":
        h = ops.mean(h, axis=1)
    else:
        h = ops.reshape(h, (-1, patches.shape[1] * h.shape[-1]))
    return keras.Model(images, h, name="encoder")


def _count_hidden(patches: int, ratio: float) -> int:
    hidden = round(ratio * patches) if 0 < ratio < 1 else 0
    if not 0 < hidden < patches:
        raise ValueError(
            f"ratio must hide some and leave some of {patches} patches, got {ratio!r}: "
            "pass a share between 0 and 1, say 0.75."
        )
    return hidden


def _check_sizes(
    patch: int, d: int, blocks: int, heads: int, shape: Sequence[int]
) -> tuple[int, int | None]:
    """Number of patches, and how many lie in a row unless their grid is square."""
    height, width = shape[:2]
    if not isinstance(patch, int) or patch < 1 or height % patch or width % patch:
        sides = f"{height}" if height == width else f"{height} and {width}"
        raise ValueError(f"patch must be a divisor of {sides}, got {patch!r}.")
    if min(d, blocks, heads) < 1 or d % heads or d % 4:
        raise ValueError(
            f"all sizes must be positive, and the length of the vectors a multiple of "
            f"heads and of 4, got length {d}, blocks={blocks}, heads={heads}."
        )
    rows, columns = height // patch, width // patch
    return rows * columns, None if rows == columns else columns
