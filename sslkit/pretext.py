r"""Pretext tasks: name the change that was made to an image (chapter *Pretext tasks*).

Both tasks have one form. A change $k$ is drawn, made to the image, and has to be named:

$$\min_{f,\,c}\; \mathbb{E}_{x}\,\mathbb{E}_{k}\; {-\log p_k}, \qquad
  p = \operatorname{softmax}\bigl(c(f(T_k(x)))\bigr)$$

with encoder $f$, head $c$ and change $T_k$. `Pretext` holds this; `RotationPredictor`
and `Jigsaw` say what a change is.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from sslkit.base import Composite
from sslkit.distribute import share
from sslkit.networks import IMAGE_SHAPE

TILE = IMAGE_SHAPE[0] // 2
"""Side of a tile of the jigsaw in pixels: an image is cut into 2 x 2 of them."""


def rotate(images: Any, turns: Any) -> Any:
    """Turn each image by its own number of quarter turns, counter-clockwise.

    A quarter turn of a square image moves pixels and interpolates nothing. One turn is
    a transposition with a flip, two are two flips, and three are both.

    Args:
        images: Square images, `[batch, side, side]` or `[batch, side, side,
            channels]`.
        turns: Quarter turns, integers 0 to 3, `[batch]`.

    Returns:
        Images of the same shape. Gidaris et al., arXiv 1803.07728.

    Raises:
        ValueError: If the images are not square.

    Example:
        >>> print(np.asarray(rotate([[[1, 2], [3, 4]]], [1]))[0])
        [[2 4]
         [1 3]]
    """
    images = ops.convert_to_tensor(images)
    if len(images.shape) not in (3, 4) or images.shape[1] != images.shape[2]:
        raise ValueError(
            f"images must have shape [batch, side, side], with channels or without, "
            f"got {tuple(images.shape)}: a quarter turn would change height and width."
        )
    turns = ops.reshape(turns, (-1, *[1] * (len(images.shape) - 1)))
    quarter = ops.flip(ops.swapaxes(images, 1, 2), axis=1)
    images = ops.where(turns % 2 == 1, quarter, images)
    # One axis at a time: older versions of Keras flip no more at once.
    half = ops.flip(ops.flip(images, axis=1), axis=2)
    return ops.where(turns >= 2, half, images)


def cut(images: Any) -> Any:
    """Cut images into 2 x 2 tiles.

    Args:
        images: `[batch, height, width]` or `[batch, height, width, channels]`, with
            an even height and width.

    Returns:
        Tiles `[batch, 4, height / 2, width / 2]`, with the channels if there are any:
        upper left, upper right, lower left, lower right.

    Raises:
        ValueError: If height or width is odd.

    Example:
        >>> cut(np.zeros((5, 28, 28))).shape
        TensorShape([5, 4, 14, 14])
    """
    height, width, *channels = images.shape[1:]
    if height % 2 or width % 2:
        raise ValueError(
            f"images must have an even height and width, got {tuple(images.shape)}: "
            "cut a row or column off."
        )
    down, across = height // 2, width // 2
    tiles = ops.reshape(images, (-1, 2, down, 2, across, *channels))
    return ops.reshape(ops.swapaxes(tiles, 2, 3), (-1, 4, down, across, *channels))


def crop(tiles: Any, corners: Any, size: int) -> Any:
    """Cut a window out of each tile, at a place of its own.

    Args:
        tiles: `[batch, 4, side, side]`, maybe with an axis of channels.
        corners: Row and column of the upper left corner of each window, integers 0 to
            `side - size`, `[batch, 4, 2]`.
        size: Side of the windows in pixels, 1 to `side`.

    Returns:
        Windows `[batch, 4, size, size]`, with the channels if there are any.

    Example:
        >>> tiles = np.arange(4 * 14 * 14).reshape(1, 4, 14, 14)
        >>> corners = np.full((1, 4, 2), 1)
        >>> print(np.asarray(crop(tiles, corners, 2))[0, 0])
        [[15 16]
         [29 30]]
    """
    inside = corners[..., None] + ops.arange(size, dtype="int32")  # [batch, 4, 2, size]
    rows, columns = inside[:, :, 0, :, None], inside[:, :, 1, None, :]
    if len(tiles.shape) == 5:
        rows, columns = rows[..., None], columns[..., None]
    tiles = ops.take_along_axis(tiles, rows, axis=2)
    return ops.take_along_axis(tiles, columns, axis=3)


def assemble(tiles: Any, side: int = TILE) -> Any:
    """Put tiles together to an image, each in the middle of its place.

    Args:
        tiles: `[batch, 4, height, width]`, in the order of `cut`, maybe with an axis
            of channels. Height and width are at most `side`.
        side: Side of a place in pixels, half of the side of an image.

    Returns:
        Images `[batch, 2 * side, 2 * side]`, with the channels if there are any, and
        with zeros between tiles that are smaller than their places.

    Example:
        >>> images = np.arange(784.0).reshape(1, 28, 28)
        >>> bool(ops.all(assemble(cut(images)) == images))
        True
    """
    edges = [(0, 0)] * len(tiles.shape)
    for axis in (2, 3):
        gap = side - tiles.shape[axis]
        edges[axis] = (gap // 2, gap - gap // 2)
    tiles, channels = ops.pad(tiles, edges), tiles.shape[4:]
    rows = ops.swapaxes(ops.reshape(tiles, (-1, 2, 2, side, side, *channels)), 2, 3)
    return ops.reshape(rows, (-1, 2 * side, 2 * side, *channels))


def permutations(count: int = 24) -> NDArray[np.int64]:
    """Choose orders of four tiles that differ from one another in many places.

    Beginning with the right order, each choice is the one whose smallest Hamming
    distance (number of places that differ) to those before is largest. Noroozi and
    Favaro, arXiv 1603.09246, do the same with nine tiles.

    Args:
        count: How many, 2 to 24.

    Returns:
        Integers `[count, 4]`, each row an order of 0, 1, 2, 3. Of up to 4, all places
        differ between any two; of up to 12, at least three.

    Raises:
        ValueError: If `count` is out of range.

    Example:
        >>> permutations(4)
        array([[0, 1, 2, 3],
               [1, 0, 3, 2],
               [2, 3, 0, 1],
               [3, 2, 1, 0]])
    """
    if count not in range(2, 25):
        raise ValueError(
            f"count must be 2 to 24, got {count!r}: four tiles have 24 orders."
        )
    orders = np.array(list(itertools.permutations(range(4))))
    distance = (orders[:, None] != orders).sum(axis=2)
    chosen = [0]
    while len(chosen) < count:
        nearest = distance[:, chosen].min(axis=1)  # 0 for those chosen already
        chosen.append(int(nearest.argmax()))
    return orders[chosen]


class Pretext(Composite):
    """What models that name a change to their input have in common.

    Input and target are drawn inside the model, from its own random numbers, so that
    `fit` and `evaluate` take images alone. Both report the loss in nats and the
    accuracy, a fraction. A subclass says in `change` what is drawn.

    Args:
        encoder: Model from images `[batch, ...]` to features `[batch, d]`. After
            training, `model.encoder` is what the probes judge.
        head: Model from features to logits `[batch, changes]`, not used afterwards.
        changes: Number of changes there are.
        seed: Fixes the changes that are drawn.
        **kwargs: `name` and `dtype` of the model.

    Raises:
        ValueError: If the head has another number of outputs.
    """

    parts = ("encoder", "head")

    def __init__(
        self,
        encoder: keras.Model,
        head: keras.Model,
        changes: int,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Keep the parts; see the class for the arguments."""
        if head.output_shape[-1] != changes:
            raise ValueError(
                f"head must have {changes} outputs, one for each change, got "
                f"{head.output_shape[-1]}: make its last layer that wide."
            )
        super().__init__(seed, **kwargs)
        self.encoder = encoder
        self.head = head
        self.changes = changes
        self.accuracy = keras.metrics.SparseCategoricalAccuracy("accuracy")

    def change(self, x: Any, k: Any) -> Any:
        """Make change number `k[i]` to image `i`."""
        raise NotImplementedError

    def draw(self, x: Any) -> tuple[Any, Any]:
        """Draw a change for each image and make it.

        Args:
            x: Images, `[batch, ...]`.

        Returns:
            The changed images, and the numbers of the changes, int32 `[batch]`.
        """
        k = keras.random.randint(
            (ops.shape(x)[0],), 0, self.changes, seed=self.seed_generator
        )
        return self.change(x, k), k

    def call(self, x: Any, training: bool = False) -> tuple[Any, Any]:
        """Change each image at random and guess the change.

        Args:
            x: Images, `[batch, ...]`.
            training: Passed to the networks. The changes are drawn either way.

        Returns:
            Logits `[batch, changes]`, and the changes that were made, `[batch]`.
        """
        changed, k = self.draw(x)
        h = self.encoder(changed, training=training)
        return self.head(h, training=training), k

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Mean cross-entropy of the batch, in nats."""
        logits, k = y_pred
        # In float16, the sum of exponentials would overflow for logits above 11.
        nll = keras.losses.sparse_categorical_crossentropy(
            k, ops.cast(logits, "float32"), from_logits=True
        )
        return share(ops.mean(nll))

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Count the changes that were named correctly."""
        logits, k = y_pred
        self.accuracy.update_state(k, logits)
        return self.get_metrics_result()


@keras.saving.register_keras_serializable(package="sslkit")
class RotationPredictor(Pretext):
    r"""Encoder trained to tell by how many quarter turns an image was turned.

    $$\min_{f,\,c}\; \mathbb{E}_{x}\; \frac{1}{4} \sum_{k=0}^{3} {-\log}\,
      p(k \mid R_k\,x)$$

    with $R_k$ a rotation by $k$ quarter turns. Here one $k$ is drawn for each image
    and batch; the paper shows all four. Gidaris et al., arXiv 1803.07728.

    Args:
        encoder: Model from square images, with channels or without, to features
            `[batch, d]`.
        head: Model from features to logits, one for each entry of `turns`.
        turns: Quarter turns to draw from, different integers 0 to 3.
        seed: Fixes the turns that are drawn.
        **kwargs: `name` and `dtype` of the model.

    Raises:
        ValueError: If `turns` are not at least two different integers 0 to 3, or the
            head has another number of outputs.

    Example:
        >>> from sslkit import networks
        >>> model = RotationPredictor(
        ...     networks.dense_encoder(8), networks.projector(8, 16, 4)
        ... )
        >>> model.compile(optimizer="adam")
        >>> images = np.random.default_rng(0).random((32, 28, 28), "float32")
        >>> sorted(model.fit(images, verbose=0).history)
        ['accuracy', 'loss']
    """

    def __init__(
        self,
        encoder: keras.Model,
        head: keras.Model,
        turns: Sequence[int] = (0, 1, 2, 3),
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Keep the parts; see the class for the arguments."""
        turns = tuple(turns)
        if len(turns) < 2 or len(set(turns)) < len(turns) or set(turns) - {0, 1, 2, 3}:
            raise ValueError(
                f"turns must be at least two different integers 0 to 3, got {turns!r}: "
                "pass, say, (0, 1, 2, 3)."
            )
        super().__init__(encoder, head, len(turns), seed, **kwargs)
        self.turns = turns

    def change(self, x: Any, k: Any) -> Any:
        """Turn image `i` by `turns[k[i]]` quarter turns."""
        return rotate(x, ops.take(ops.array(self.turns), k))

    def get_config(self) -> dict[str, Any]:
        """Configuration from which `from_config` makes the same architecture."""
        return {**super().get_config(), "turns": list(self.turns)}


@keras.saving.register_keras_serializable(package="sslkit")
class Jigsaw(Pretext):
    r"""Encoder trained to name the order in which the tiles of an image were put.

    $$\min_{f,\,c}\; \mathbb{E}_{x}\,\mathbb{E}_{k}\; {-\log}\,p(k \mid P_k\,x)$$

    with $P_k$ the image whose place $i$ holds tile $\pi_k(i)$, $\pi_k$ the permutation
    number $k$. With `size` below that of a tile, only a window of each is shown,
    at a random place within the tile, so that strokes do not go on across the seam.

    The encoder sees the puzzle as one image, so that it also takes whole images. In
    Noroozi and Favaro, arXiv 1603.09246, it sees each tile by itself, and the head
    sees the features of all of them.

    Args:
        encoder: Model from square images, with channels or without, to features
            `[batch, d]`. A tile has half the side of its input, for images of the
            course `TILE` pixels.
        head: Model from features to logits, one for each permutation.
        orders: The permutations, `[changes, 4]`, such as `permutations(24)`.
        size: Side of the windows in pixels, from 1 to the side of a tile, which is
            taken if it is left out; then tiles touch.
        seed: Fixes the permutations and windows that are drawn.
        **kwargs: `name` and `dtype` of the model.

    Raises:
        ValueError: If `orders` are not different permutations of 0, 1, 2, 3, `size` is
            out of range, or the head has another number of outputs.

    Example:
        >>> from sslkit import networks
        >>> model = Jigsaw(
        ...     networks.dense_encoder(8), networks.projector(8, 16, 4), permutations(4)
        ... )
        >>> puzzles, k = model.draw(np.zeros((32, 28, 28), "float32"))
        >>> puzzles.shape, k.shape
        (TensorShape([32, 28, 28]), TensorShape([32]))
    """

    def __init__(
        self,
        encoder: keras.Model,
        head: keras.Model,
        orders: Any,
        size: int | None = None,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Keep the parts; see the class for the arguments."""
        orders = np.asarray(orders)
        if (
            orders.ndim != 2
            or not np.array_equal(
                np.sort(orders), np.tile(np.arange(4), (len(orders), 1))
            )
            or len(np.unique(orders, axis=0)) < len(orders)
        ):
            raise ValueError(
                f"orders must be different permutations of 0, 1, 2, 3, got "
                f"{orders.tolist()!r}: pass, say, permutations(24)."
            )
        height, width = encoder.input_shape[1:3]
        if height != width or height % 2:
            raise ValueError(
                f"encoder must take images with equal, even height and width, got "
                f"{height} x {width} pixels: they are cut into 2 x 2 square tiles."
            )
        side = height // 2
        size = side if size is None else size
        if not isinstance(size, int) or not 1 <= size <= side:
            raise ValueError(
                f"size must be an integer 1 to {side}, got {size!r}: the windows are "
                "cut out of tiles of that many pixels."
            )
        super().__init__(encoder, head, len(orders), seed, **kwargs)
        self.orders = orders
        self.side = side
        self.size = size

    def change(self, x: Any, k: Any) -> Any:
        """Cut a window out of each tile of image `i`, and put them in order `k[i]`."""
        tiles = cut(x)
        if self.size < self.side:
            corners = keras.random.randint(
                (ops.shape(x)[0], 4, 2),
                0,
                self.side - self.size + 1,
                seed=self.seed_generator,
            )
            tiles = crop(tiles, corners, self.size)
        order = ops.take(ops.array(self.orders, "int32"), k, axis=0)
        order = ops.reshape(order, (-1, 4, *[1] * (len(tiles.shape) - 2)))
        return assemble(ops.take_along_axis(tiles, order, axis=1), self.side)

    def get_config(self) -> dict[str, Any]:
        """Configuration from which `from_config` makes the same architecture."""
        config = {"orders": self.orders.tolist(), "size": self.size}
        return {**super().get_config(), **config}
