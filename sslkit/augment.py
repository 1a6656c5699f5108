r"""Random changes of images, as layers (chapter *Data preparation*).

Every augmentation is a Keras layer from images in [0, 1], `[batch, 28, 28]` or
`[batch, height, width, channels]`, to images of the same shape and range. It draws
anew for each image of each batch, and can be called on a NumPy array, mapped over a
`tf.data` pipeline of batches, or put into a model::

    augment = keras.Sequential(
        [RandomAffine(15, shift=2, seed=0), GaussianNoise(0.1, seed=0)]
    )
    view = augment(images, training=True)
    two_views = batches.map(
        lambda x: (augment(x, training=True), augment(x, training=True))
    )

**Nothing happens without `training=True`.** Inside a model, `fit` passes it and
`predict` and `evaluate` do not; everywhere else write it out. The image layers of
Keras have the opposite default, with which `encoder(images)` changes the images on
which features are judged, and nothing shows it.

**Randomness.** A seed fixes the whole sequence of draws of a layer: a second layer
made with the same seed repeats it, from the first batch on, and so does a layer that
was saved and loaded. Layers of different classes draw independently, also from the
same seed. In a pipeline, call `map` without `num_parallel_calls`: calls that run at
once share one random state, so that the order of the draws changes from run to run
and two batches can get the same ones.

**Why not the layers of Keras?** Where they fit they are used: `RandomFlip` and
`GaussianNoise` wrap them. The image layers of Keras take a batch `[batch, 28, 28]`
for one image with 28 channels and flip it as a whole; the wrapper adds the channel
axis. For the rest, `keras.layers.RandomCrop` cuts every image of a batch at the same
place, rotation, shear, zoom and translation are four layers and thus four
interpolations, each of which blurs the strokes a little, and there is none that masks
an exact share of patches.

The warps (affine, rotation, the crops) run an operation that XLA cannot compile. A
model that holds one is compiled without XLA, with a warning if `jit_compile=True`
was asked for; mapped over the pipeline they disturb nothing.
"""

import math
import zlib
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from sslkit.distribute import SeedGenerator, independent


def affine_matrix(
    degrees: Any, scale: Any, shear: Any, shift: Any, size: tuple[int, int]
) -> Any:
    r"""Coefficients with which `keras.ops.image.affine_transform` moves an image.

    An image is scaled, then sheared, then rotated, all about its centre $c$, then
    shifted. A point $p$ (right, down) of the image thus arrives at

    $$q = c + t + R\,H\,S\,(p - c),\quad
      R = \begin{pmatrix}\cos\theta & \sin\theta\\-\sin\theta & \cos\theta
      \end{pmatrix},\quad
      H = \begin{pmatrix}1 & k\\0 & 1\end{pmatrix},\quad
      S = \begin{pmatrix}s_x & 0\\0 & s_y\end{pmatrix}$$

    with angle $\theta$, shear $k$, scales $s$ and shift $t$. To fill each pixel of
    the result one asks where it came from, so the coefficients are those of the
    inverse map, $p = c + S^{-1} H^{-1} R^{-1} (q - c - t)$.

    Args:
        degrees: Angles $\theta$, counter-clockwise on the page, `[batch]`.
        scale: Vertical and horizontal scale ($s_y$, $s_x$), above 0; 2 doubles the
            size, `[batch, 2]`.
        shear: Shift $k$ to the right, in pixels, per row down, `[batch]`.
        shift: Shift $t$ down and to the right, in pixels, `[batch, 2]`.
        size: Height and width of the images in pixels.

    Returns:
        float32 coefficients `[batch, 8]`: $(a_0, a_1, a_2, b_0, b_1, b_2, 0, 0)$,
        where $p = (a_0 q_x + a_1 q_y + a_2,\; b_0 q_x + b_1 q_y + b_2)$.

    Example:
        >>> matrix = affine_matrix([0.0], [[1.0, 1.0]], [0.0], [[0.0, 3.0]], (28, 28))
        >>> print(ops.convert_to_numpy(matrix[0]))  # fetch from 3 pixels to the left
        [ 1. -0. -3.  0.  1.  0.  0.  0.]
    """
    degrees, scale, shear, shift = (
        ops.convert_to_tensor(each, "float32")
        for each in (degrees, scale, shear, shift)
    )
    theta = degrees * (math.pi / 180)
    cos, sin = ops.cos(theta), ops.sin(theta)
    a0, a1 = (cos - shear * sin) / scale[:, 1], (-sin - shear * cos) / scale[:, 1]
    b0, b1 = sin / scale[:, 0], cos / scale[:, 0]
    centre_y, centre_x = (size[0] - 1) / 2, (size[1] - 1) / 2
    to_y, to_x = centre_y + shift[:, 0], centre_x + shift[:, 1]
    a2 = centre_x - (a0 * to_x + a1 * to_y)
    b2 = centre_y - (b0 * to_x + b1 * to_y)
    zero = ops.zeros_like(a0)
    return ops.stack([a0, a1, a2, b0, b1, b2, zero, zero], axis=-1)


class _Augmentation(keras.layers.Layer):
    """What all augmentations share: the seed, the shapes and the `training` switch."""

    def __init__(self, seed: int, **kwargs: Any) -> None:
        if not isinstance(seed, int):
            raise ValueError(f"seed must be an int, got {seed!r}: pass, say, seed=0.")
        super().__init__(**kwargs)
        self.seed = seed
        # With the bare number, a flip and a rotation that are both given seed 0 would
        # draw the same numbers: the flipped images would be those turned clockwise.
        self.own_seed = zlib.crc32(f"{type(self).__name__} {seed}".encode())
        self.generator = SeedGenerator(self.own_seed)

    def build(self, input_shape: tuple) -> None:
        """Make nothing: no augmentation has weights."""

    def call(self, images: Any, training: bool = False) -> Any:
        """Return changed images if `training`, else the images themselves."""
        if len(images.shape) not in (3, 4):
            raise ValueError(
                "images must have shape [batch, height, width] or [batch, height, "
                f"width, channels], got {tuple(images.shape)}: add a batch axis to "
                "a single image with images[None]."
            )
        if "float" not in keras.backend.standardize_dtype(images.dtype):
            raise ValueError(
                f"images must be floating point in [0, 1], got {images.dtype}: "
                "use sslkit.data.batches or sslkit.data.unit_interval."
            )
        if not training:
            return images
        if len(images.shape) == 3:
            return ops.squeeze(self.augment(images[..., None]), axis=-1)
        return self.augment(images)

    def augment(self, images: Any) -> Any:
        """Change images `[batch, height, width, channels]`."""
        raise NotImplementedError

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Return the shape of the input: no augmentation changes it."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "seed": self.seed}


class _RandomWarp(_Augmentation):
    """An affine map per image, applied with a single bilinear interpolation."""

    def __init__(self, seed: int, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        self.supports_jit = False

    def draw(self, batch: int) -> dict[str, Any]:
        """Draw the first four arguments of `affine_matrix` for `batch` images."""
        raise NotImplementedError

    def augment(self, images: Any) -> Any:
        batch, height, width, _ = ops.shape(images)
        matrix = affine_matrix(**self.draw(batch), size=(height, width))
        return ops.image.affine_transform(
            images, matrix, "bilinear", fill_mode="constant"
        )


@keras.saving.register_keras_serializable(package="sslkit")
class RandomAffine(_RandomWarp):
    """Rotate, scale, shear and shift at once, with one interpolation.

    Each number is drawn uniformly and independently, per image; what comes in from
    outside the image is black. The four moves in a row would interpolate, and thus
    blur, four times.

    Args:
        degrees: Largest rotation either way, 0 to 180.
        scale: Smallest and largest scale, drawn for each axis on its own; above 1
            enlarges.
        shear: Largest horizontal shift either way, in pixels per row, 0 to 1.
        shift: Largest shift either way along each axis, in pixels, at least 0.
        seed: Fixes the sequence of draws.
        **kwargs: `name` and `dtype` of the layer.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> import numpy as np
        >>> layer = RandomAffine(15, scale=(0.8, 1.2), shear=0.2, shift=2, seed=0)
        >>> images = np.random.default_rng(0).random((4, 28, 28), "float32")
        >>> layer(images, training=True).shape
        TensorShape([4, 28, 28])
        >>> np.array_equal(layer(images), images)  # no training=True, no change
        True
    """

    def __init__(
        self,
        degrees: float,
        scale: Sequence[float] = (1.0, 1.0),
        shear: float = 0.0,
        shift: float = 0.0,
        *,
        seed: int,
        **kwargs: Any,
    ) -> None:
        """Check and keep the ranges; see the class for the arguments."""
        _check_range("degrees", degrees, 0, 180)
        _check_range("shear", shear, 0, 1)
        _check_range("shift", shift, 0, math.inf)
        is_pair = isinstance(scale, (tuple, list)) and len(scale) == 2
        if not is_pair or not 0 < scale[0] <= scale[1] < math.inf:
            raise ValueError(
                f"scale must be a smallest and a largest factor above 0, got "
                f"{scale!r}: pass, say, scale=(0.8, 1.2)."
            )
        super().__init__(seed, **kwargs)
        self.degrees = degrees
        self.scale = tuple(scale)
        self.shear = shear
        self.shift = shift

    def draw(self, batch: int) -> dict[str, Any]:
        """Draw the moves of `batch` images.

        Args:
            batch: Number of images.

        Returns:
            `degrees` and `shear`, `[batch]`, and `scale` and `shift`, `[batch, 2]`,
            as `affine_matrix` takes them.
        """
        unit = keras.random.uniform((batch, 6), -1.0, 1.0, seed=self.generator)
        low, high = self.scale
        return {
            "degrees": self.degrees * unit[:, 0],
            "scale": (low + high) / 2 + (high - low) / 2 * unit[:, 1:3],
            "shear": self.shear * unit[:, 3],
            "shift": self.shift * unit[:, 4:6],
        }

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {
            **super().get_config(),
            "degrees": self.degrees,
            "scale": self.scale,
            "shear": self.shear,
            "shift": self.shift,
        }


@keras.saving.register_keras_serializable(package="sslkit")
class RandomElastic(RandomAffine):
    """Bend an image like rubber, on top of an affine map, with one interpolation.

    Displacements are drawn from a Gaussian on a coarse grid of 5 x 5 points and
    interpolated smoothly (bicubic) to every pixel, so that neighbouring strokes move
    together: what differs from one hand to another. Simard, Steinkraus & Platt (2003),
    doi 10.1109/ICDAR.2003.1227801, smoothed a displacement of every pixel instead.

    Args:
        bend: Standard deviation of the displacement of a grid point along each axis,
            in pixels, at least 0. For digits, 1 to 2.
        degrees: As for `RandomAffine`, and so the others.
        scale: As for `RandomAffine`.
        shear: As for `RandomAffine`.
        shift: As for `RandomAffine`.
        seed: Fixes the sequence of draws.
        **kwargs: `name` and `dtype` of the layer.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> import numpy as np
        >>> layer = RandomElastic(1.2, degrees=15, seed=0)
        >>> layer(np.ones((4, 28, 28), "float32"), training=True).shape
        TensorShape([4, 28, 28])
    """

    GRID = 5

    def __init__(
        self,
        bend: float,
        degrees: float = 0.0,
        scale: Sequence[float] = (1.0, 1.0),
        shear: float = 0.0,
        shift: float = 0.0,
        *,
        seed: int,
        **kwargs: Any,
    ) -> None:
        """Check and keep the ranges; see the class for the arguments."""
        _check_range("bend", bend, 0, math.inf)
        super().__init__(degrees, scale, shear, shift, seed=seed, **kwargs)
        self.bend = bend

    def draw_bend(self, batch: int, size: tuple[int, int]) -> Any:
        """Draw how far to the right and down each pixel is fetched from.

        Args:
            batch: Number of images.
            size: Their height and width in pixels.

        Returns:
            Displacements in pixels, `[batch, height, width, 2]`.
        """
        coarse = keras.random.normal(
            (batch, self.GRID, self.GRID, 2), stddev=self.bend, seed=self.generator
        )
        return ops.image.resize(coarse, size, interpolation="bicubic")

    def augment(self, images: Any) -> Any:
        """Change images `[batch, height, width, channels]`."""
        batch, height, width, channels = ops.shape(images)
        matrix = affine_matrix(**self.draw(batch), size=(height, width))
        matrix = ops.reshape(matrix, (batch, 8, 1, 1))
        a0, a1, a2, b0, b1, b2 = (matrix[:, i] for i in range(6))
        q_y = ops.reshape(ops.arange(height, dtype="float32"), (height, 1))
        q_x = ops.arange(width, dtype="float32")
        bend = self.draw_bend(batch, (height, width))
        p_x = a0 * q_x + a1 * q_y + a2 + bend[..., 0]
        p_y = b0 * q_x + b1 * q_y + b2 + bend[..., 1]
        # Half precision is too coarse for positions, and for the fractions of a pixel.
        # A black frame, to which everything from outside is sent.
        framed = ops.pad(ops.cast(images, "float32"), [[0, 0], [1, 2], [1, 2], [0, 0]])
        p_x = ops.clip(p_x + 1, 0.0, width + 1.0)
        p_y = ops.clip(p_y + 1, 0.0, height + 1.0)
        left, top = ops.floor(p_x), ops.floor(p_y)
        w_x, w_y = (p_x - left)[..., None], (p_y - top)[..., None]
        row = width + 3
        flat = ops.reshape(framed, (batch, (height + 3) * row, channels))
        corner = ops.cast(top * row + left, "int32")
        corner = ops.reshape(corner, (batch, height * width, 1))

        def fetch(offset: int) -> Any:
            found = ops.take_along_axis(flat, corner + offset, axis=1)
            return ops.reshape(found, (batch, height, width, channels))

        upper = (1 - w_x) * fetch(0) + w_x * fetch(1)
        lower = (1 - w_x) * fetch(row) + w_x * fetch(row + 1)
        return ops.cast((1 - w_y) * upper + w_y * lower, images.dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "bend": self.bend}


@keras.saving.register_keras_serializable(package="sslkit")
class RandomRotation(_RandomWarp):
    """Rotate about the centre by an angle drawn uniformly, per image.

    Args:
        degrees: Largest rotation either way, 0 to 180. A digit survives about 30;
            at 180, a 6 becomes a 9.
        seed: Fixes the sequence of draws.
        **kwargs: `name` and `dtype` of the layer.

    Raises:
        ValueError: If `degrees` is outside its range.

    Example:
        >>> import numpy as np
        >>> layer = RandomRotation(20, seed=0)
        >>> layer(np.ones((4, 28, 28), "float32"), training=True).shape
        TensorShape([4, 28, 28])
    """

    def __init__(self, degrees: float, *, seed: int, **kwargs: Any) -> None:
        """Check and keep the range; see the class for the arguments."""
        _check_range("degrees", degrees, 0, 180)
        super().__init__(seed, **kwargs)
        self.degrees = degrees

    def draw(self, batch: int) -> dict[str, Any]:
        """Draw the angles of `batch` images, as `affine_matrix` takes them."""
        return {
            "degrees": keras.random.uniform(
                (batch,), -self.degrees, self.degrees, seed=self.generator
            ),
            "scale": ops.ones((batch, 2)),
            "shear": ops.zeros((batch,)),
            "shift": ops.zeros((batch, 2)),
        }

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "degrees": self.degrees}


@keras.saving.register_keras_serializable(package="sslkit")
class RandomCrop(_RandomWarp):
    """Pad with black on all sides, then cut out the old size at a random place.

    That is a shift by whole pixels, so that nothing is blurred. Every place is
    equally likely, and drawn for each image on its own.

    Args:
        padding: Largest shift either way along each axis, in whole pixels, at
            least 1. The digits of MNIST have a margin of 4.
        seed: Fixes the sequence of draws.
        **kwargs: `name` and `dtype` of the layer.

    Raises:
        ValueError: If `padding` is not a positive integer.

    Example:
        >>> import numpy as np
        >>> layer = RandomCrop(2, seed=0)
        >>> layer(np.ones((4, 28, 28), "float32"), training=True).shape
        TensorShape([4, 28, 28])
    """

    def __init__(self, padding: int, *, seed: int, **kwargs: Any) -> None:
        """Check and keep the padding; see the class for the arguments."""
        _check_positive_integer("padding", padding)
        super().__init__(seed, **kwargs)
        self.padding = padding

    def draw(self, batch: int) -> dict[str, Any]:
        """Draw the shifts of `batch` images, as `affine_matrix` takes them."""
        shift = keras.random.randint(
            (batch, 2), -self.padding, self.padding + 1, seed=self.generator
        )
        return {
            "degrees": ops.zeros((batch,)),
            "scale": ops.ones((batch, 2)),
            "shear": ops.zeros((batch,)),
            "shift": ops.cast(shift, "float32"),
        }

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "padding": self.padding}


@keras.saving.register_keras_serializable(package="sslkit")
class RandomResizedCrop(_RandomWarp):
    r"""Cut out a rectangle at a random place and enlarge it to the old size.

    Two crops of one photograph show different parts of it, or one shows a part of
    what the other shows, at another scale: to recognise one by the other takes more
    than comparing pixels. Szegedy et al., arXiv 1409.4842, section 6, for classifying;
    Chen et al., arXiv 2002.05709, for contrasting.

    A rectangle of the share $a$ of the area and the aspect $r$ has the share
    $\sqrt{a r}$ of the width and $\sqrt{a / r}$ of the height, each at most 1. Every
    place where it lies inside the image is equally likely. Pixels are interpolated
    bilinearly; beyond the outermost centres, the border goes on.

    Args:
        area: Smallest and largest share of the area, $a$, above 0 and at most 1; drawn
            uniformly.
        aspect: Smallest and largest width, divided by height, compared with those of
            the image, $r$; the logarithm is drawn uniformly.
        seed: Fixes the sequence of draws.
        **kwargs: `name` and `dtype` of the layer.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> import numpy as np
        >>> layer = RandomResizedCrop((0.2, 1.0), seed=0)
        >>> layer(np.ones((4, 64, 64, 3), "float32"), training=True).shape
        TensorShape([4, 64, 64, 3])
    """

    def __init__(
        self,
        area: Sequence[float] = (0.2, 1.0),
        aspect: Sequence[float] = (3 / 4, 4 / 3),
        *,
        seed: int,
        **kwargs: Any,
    ) -> None:
        """Check and keep the ranges; see the class for the arguments."""
        _check_factors("area", area, 1.0)
        _check_factors("aspect", aspect, math.inf)
        super().__init__(seed, **kwargs)
        self.area = tuple(area)
        self.aspect = tuple(aspect)

    def draw_boxes(self, batch: int) -> tuple[Any, Any]:
        """Draw the rectangles of `batch` images.

        Args:
            batch: Number of images.

        Returns:
            Size and upper left corner, as shares of height and width, `[batch, 2]`
            each: from 0 to 1, as is their sum.
        """
        unit = keras.random.uniform((batch, 4), seed=self.generator)
        low, high = self.area
        area = low + (high - low) * unit[:, 0]
        low, high = (math.log(each) for each in self.aspect)
        aspect = ops.exp(low + (high - low) * unit[:, 1])
        size = ops.stack([ops.sqrt(area / aspect), ops.sqrt(area * aspect)], axis=-1)
        size = ops.minimum(size, 1.0)
        return size, (1 - size) * unit[:, 2:]

    def augment(self, images: Any) -> Any:
        """Change images `[batch, height, width, channels]`."""
        batch, height, width, _ = ops.shape(images)
        size, corner = self.draw_boxes(batch)
        # The middle of the rectangle goes to the middle of the image.
        middle = corner + size / 2 - 0.5
        pixels = ops.convert_to_tensor([height, width], "float32")
        matrix = affine_matrix(
            degrees=ops.zeros((batch,)),
            scale=1 / size,
            shear=ops.zeros((batch,)),
            shift=-middle * pixels / size,
            size=(height, width),
        )
        return ops.image.affine_transform(
            images, matrix, "bilinear", fill_mode="nearest"
        )

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "area": self.area, "aspect": self.aspect}


@keras.saving.register_keras_serializable(package="sslkit")
class RandomFlip(_Augmentation):
    """Mirror each image with probability one half, with Keras's own layer.

    Wrong for digits: a mirrored 2, 3, 4, 5 or 7 is no digit, and an encoder that is
    trained to give both views the same features learns to overlook which way a
    stroke turns. It is here for the experiment that shows this, and for photographs.

    Args:
        mode: `"horizontal"` (left and right change places), `"vertical"`, or
            `"horizontal_and_vertical"` (both, with the same coin).
        seed: Fixes the sequence of draws.
        **kwargs: `name` and `dtype` of the layer.

    Raises:
        ValueError: If `mode` is none of the three.

    Example:
        >>> import numpy as np
        >>> layer = RandomFlip("horizontal", seed=0)
        >>> layer(np.ones((4, 28, 28), "float32"), training=True).shape
        TensorShape([4, 28, 28])
    """

    def __init__(self, mode: str = "horizontal", *, seed: int, **kwargs: Any) -> None:
        """Check and keep the mode; see the class for the arguments."""
        modes = ("horizontal", "vertical", "horizontal_and_vertical")
        if mode not in modes:
            raise ValueError(f"mode must be one of {modes}, got {mode!r}.")
        super().__init__(seed, **kwargs)
        self.mode = mode
        self.flip = keras.layers.RandomFlip(
            mode, seed=self.own_seed, dtype=self.dtype_policy
        )
        independent(self.flip)

    def augment(self, images: Any) -> Any:
        """Change images `[batch, height, width, channels]`."""
        return self.flip(images, training=True)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "mode": self.mode}


@keras.saving.register_keras_serializable(package="sslkit")
class RandomGain(_Augmentation):
    """Multiply each image by a number of its own, then clip to [0, 1].

    How much ink an image holds is a cue by which a network can tell images apart
    without looking at any shape. A random gain takes it away.

    Args:
        low: Smallest factor, above 0.
        high: Largest factor, drawn uniformly in between; at least `low`.
        seed: Fixes the sequence of draws.
        **kwargs: `name` and `dtype` of the layer.

    Raises:
        ValueError: If the factors are out of range or in the wrong order.

    Example:
        >>> import numpy as np
        >>> layer = RandomGain(0.5, 0.5, seed=0)
        >>> print(layer(np.ones((1, 2, 2), "float32"), training=True).numpy())
        [[[0.5 0.5]
          [0.5 0.5]]]
    """

    def __init__(self, low: float, high: float, *, seed: int, **kwargs: Any) -> None:
        """Check and keep the factors; see the class for the arguments."""
        if not 0 < low <= high < math.inf:
            raise ValueError(
                f"low and high must be factors above 0 in this order, got {low!r} and "
                f"{high!r}: pass, say, 0.7 and 1.3."
            )
        super().__init__(seed, **kwargs)
        self.low = low
        self.high = high

    def augment(self, images: Any) -> Any:
        """Change images `[batch, height, width, channels]`."""
        gain = keras.random.uniform(
            (ops.shape(images)[0], 1, 1, 1), self.low, self.high, seed=self.generator
        )
        return ops.clip(images * ops.cast(gain, images.dtype), 0.0, 1.0)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "low": self.low, "high": self.high}


@keras.saving.register_keras_serializable(package="sslkit")
class RandomColour(_Augmentation):
    r"""Change hue, saturation, contrast and brightness of each image.

    Two crops of one photograph have much the same colours, so that a network could
    match them by colour alone. With $g$ the mean of the channels of a pixel $x$,
    $R$ a rotation by the angle $\theta$ about the axis of greys, and $m$ the mean of an
    image, each pixel becomes

    $$y = g + s\, R\, (x - g), \qquad b\, (m + k\, (y - m))$$

    clipped to [0, 1]. At the strength $S$, factors $s$, $k$ and $b$ are uniform within
    $1 \pm 0.8\,S$, and $\theta$ within $\pm 0.2\,S$ of a full turn. Chen et al., arXiv
    2002.05709, appendix A, whose hue turns within a hexagon of colours, whose order is
    random, and who leave every fifth image as it is.

    Grey images get contrast and brightness alone; hue takes three channels.

    Args:
        strength: $S$, above 0 and at most 1.25, where contrast may vanish.
        seed: Fixes the sequence of draws.
        **kwargs: `name` and `dtype` of the layer.

    Raises:
        ValueError: If `strength` is outside its range.

    Example:
        >>> import numpy as np
        >>> layer = RandomColour(0.5, seed=0)
        >>> layer(np.ones((4, 64, 64, 3), "float32"), training=True).shape
        TensorShape([4, 64, 64, 3])
    """

    def __init__(self, strength: float = 1.0, *, seed: int, **kwargs: Any) -> None:
        """Check and keep the strength; see the class for the arguments."""
        if not isinstance(strength, (int, float)) or not 0 < strength <= 1.25:
            raise ValueError(
                f"strength must be above 0 and at most 1.25, got {strength!r}: pass, "
                "say, 0.5; for none leave the layer out."
            )
        super().__init__(seed, **kwargs)
        self.strength = strength

    def draw(self, batch: int) -> dict[str, Any]:
        """Draw the changes of `batch` images.

        Args:
            batch: Number of images.

        Returns:
            Factors `brightness`, `contrast` and `saturation`, and `hue` in full
            turns, `[batch]` each.
        """
        unit = keras.random.uniform((batch, 4), -1.0, 1.0, seed=self.generator)
        names = ("brightness", "contrast", "saturation")
        factors = {
            name: 1 + 0.8 * self.strength * unit[:, i] for i, name in enumerate(names)
        }
        return {**factors, "hue": 0.2 * self.strength * unit[:, 3]}

    def augment(self, images: Any) -> Any:
        """Change images `[batch, height, width, channels]`."""
        batch, channels = ops.shape(images)[0], images.shape[-1]
        drawn = {
            name: ops.reshape(each, (batch, 1, 1, 1))
            for name, each in self.draw(batch).items()
        }
        x = ops.cast(images, "float32")  # half precision is coarse for sums of pixels
        if channels > 1:
            grey = ops.mean(x, axis=-1, keepdims=True)
            colour = x - grey
            if channels == 3:
                # What is left without grey is perpendicular to the axis: its turn is
                # a mix of itself and of itself turned by a quarter, the product with
                # the axis.
                theta = 2 * math.pi * drawn["hue"]
                quarter = ops.roll(colour, 1, axis=-1) - ops.roll(colour, -1, axis=-1)
                colour = ops.cos(theta) * colour + ops.sin(theta) / 3**0.5 * quarter
            x = grey + drawn["saturation"] * colour
        middle = ops.mean(x, axis=(1, 2, 3), keepdims=True)
        x = drawn["brightness"] * (middle + drawn["contrast"] * (x - middle))
        return ops.cast(ops.clip(x, 0.0, 1.0), images.dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "strength": self.strength}


@keras.saving.register_keras_serializable(package="sslkit")
class RandomGrey(_Augmentation):
    """Take the colour from some images: all channels become their mean.

    Args:
        probability: That an image turns grey, from 0 to 1. arXiv 2002.05709, appendix
            A, has 0.2.
        seed: Fixes the sequence of draws.
        **kwargs: `name` and `dtype` of the layer.

    Raises:
        ValueError: If `probability` is outside its range.

    Example:
        >>> import numpy as np
        >>> red = np.array([[[[0.75, 0.0, 0.0]]]], "float32")
        >>> print(RandomGrey(1.0, seed=0)(red, training=True).numpy()[0, 0, 0])
        [0.25 0.25 0.25]
    """

    def __init__(self, probability: float = 0.2, *, seed: int, **kwargs: Any) -> None:
        """Check and keep the probability; see the class for the arguments."""
        if not isinstance(probability, (int, float)) or not 0 <= probability <= 1:
            raise ValueError(
                f"probability must be a number from 0 to 1, got {probability!r}."
            )
        super().__init__(seed, **kwargs)
        self.probability = probability

    def augment(self, images: Any) -> Any:
        """Change images `[batch, height, width, channels]`."""
        lots = keras.random.uniform(
            (ops.shape(images)[0], 1, 1, 1), seed=self.generator
        )
        grey = ops.mean(ops.cast(images, "float32"), axis=-1, keepdims=True)
        return ops.where(lots < self.probability, ops.cast(grey, images.dtype), images)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "probability": self.probability}


@keras.saving.register_keras_serializable(package="sslkit")
class GaussianNoise(_Augmentation):
    """Add independent Gaussian noise to every pixel, then clip to [0, 1].

    The noise is Keras's own layer; clipping keeps the result an image. On a black
    background half of the noise is thereby cut off: what is below 0 becomes 0.

    Args:
        stddev: Standard deviation before clipping, in units of the range of a
            pixel, above 0.
        seed: Fixes the sequence of draws.
        **kwargs: `name` and `dtype` of the layer.

    Raises:
        ValueError: If `stddev` is not a positive number.

    Example:
        >>> import numpy as np
        >>> noisy = GaussianNoise(0.3, seed=0)(np.zeros((4, 28, 28)), training=True)
        >>> print(noisy.shape, float(ops.min(noisy)))
        (4, 28, 28) 0.0
    """

    def __init__(self, stddev: float, *, seed: int, **kwargs: Any) -> None:
        """Check and keep the standard deviation; see the class for the arguments."""
        if not isinstance(stddev, (int, float)) or not 0 < stddev < math.inf:
            raise ValueError(
                f"stddev must be a number above 0, got {stddev!r}: pass, say, 0.1; "
                "for no noise leave the layer out."
            )
        super().__init__(seed, **kwargs)
        self.stddev = stddev
        self.noise = keras.layers.GaussianNoise(
            stddev, seed=self.own_seed, dtype=self.dtype_policy
        )
        independent(self.noise)

    def augment(self, images: Any) -> Any:
        """Change images `[batch, height, width, channels]`."""
        return ops.clip(self.noise(images, training=True), 0.0, 1.0)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "stddev": self.stddev}


@keras.saving.register_keras_serializable(package="sslkit")
class Binarise(_Augmentation):
    """Make each pixel 0 or 1, with its grey level as the probability of 1.

    Drawn anew for each batch: the "dynamic binarisation" under which likelihoods of
    MNIST are published (Burda et al., arXiv 1509.00519, section 5.1). For test images,
    which are to stay the same, see `sslkit.data.binarise`.

    Args:
        seed: Fixes the sequence of draws.
        **kwargs: `name` and `dtype` of the layer.

    Example:
        >>> import numpy as np
        >>> grey = np.full((1, 28, 28), 0.5, "float32")
        >>> drawn = Binarise(seed=0)(grey, training=True)
        >>> print(np.unique(drawn))
        [0. 1.]
    """

    def __init__(self, *, seed: int, **kwargs: Any) -> None:
        """Keep the seed; see the class for the arguments."""
        super().__init__(seed, **kwargs)

    def augment(self, images: Any) -> Any:
        """Change images `[batch, height, width, channels]`."""
        lots = keras.random.uniform(ops.shape(images), seed=self.generator)
        return ops.cast(lots < ops.cast(images, "float32"), images.dtype)


@keras.saving.register_keras_serializable(package="sslkit")
class RandomMask(_Augmentation):
    """Black out an exact share of the square patches of each image.

    Which patches go is drawn without replacement and for each image on its own, as
    in masked autoencoders (He et al., arXiv 2111.06377, section 3). Black is also
    the background of a digit, so the result does not tell what was hidden: a model
    that needs to know, to count its loss there only, draws the mask itself with
    `draw_mask`.

    Args:
        patch: Side of a patch in pixels; it divides height and width. For 28 x 28
            pixels: 1, 2, 4, 7 or 14, that is 784, 196, 49, 16 or 4 patches.
        ratio: Share of the patches to hide, above 0 and below 1. The number of
            patches is rounded to the nearest integer, the same for every image.
        seed: Fixes the sequence of draws.
        **kwargs: `name` and `dtype` of the layer.

    Raises:
        ValueError: If an argument is outside its range, or, at the first batch, if
            `patch` does not divide the size of the images or `ratio` rounds to
            none or all of the patches.

    Example:
        >>> import numpy as np
        >>> masked = RandomMask(7, 0.75, seed=0)(np.ones((4, 28, 28)), training=True)
        >>> print(ops.convert_to_numpy(ops.mean(masked, axis=(1, 2))))
        [0.25 0.25 0.25 0.25]
    """

    def __init__(self, patch: int, ratio: float, *, seed: int, **kwargs: Any) -> None:
        """Check and keep patch and ratio; see the class for the arguments."""
        _check_positive_integer("patch", patch)
        if not isinstance(ratio, (int, float)) or not 0 < ratio < 1:
            raise ValueError(
                f"ratio must be a number above 0 and below 1, got {ratio!r}: pass the "
                "share of patches to hide, say 0.75."
            )
        super().__init__(seed, **kwargs)
        self.patch = patch
        self.ratio = ratio

    def draw_mask(self, images: Any) -> Any:
        """Draw which pixels to hide.

        Args:
            images: Images `[batch, height, width]`, or with a channel axis; only
                their shape is used.

        Returns:
            bool `[batch, height, width]`, true where hidden.

        Raises:
            ValueError: As the class says.
        """
        batch, height, width = ops.shape(images)[:3]
        if height % self.patch or width % self.patch:
            raise ValueError(
                f"patch must divide height and width, got {self.patch} for images "
                f"of {height} x {width} pixels: choose a common divisor."
            )
        rows, columns = height // self.patch, width // self.patch
        hidden = round(self.ratio * rows * columns)
        if not 0 < hidden < rows * columns:
            raise ValueError(
                f"ratio must hide some and leave some of the {rows * columns} "
                f"patches, got {self.ratio!r}, which hides {hidden}: choose another "
                "ratio or smaller patches."
            )
        lots = keras.random.uniform((batch, rows * columns), seed=self.generator)
        # The rank of each lot among those of its image; the lowest ones are hidden.
        rank = ops.argsort(ops.argsort(lots, axis=-1), axis=-1)
        mask = ops.reshape(rank < hidden, (batch, rows, columns))
        return ops.repeat(ops.repeat(mask, self.patch, axis=1), self.patch, axis=2)

    def augment(self, images: Any) -> Any:
        """Change images `[batch, height, width, channels]`."""
        return ops.where(self.draw_mask(images)[..., None], 0.0, images)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "patch": self.patch, "ratio": self.ratio}


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not isinstance(value, (int, float)) or not low <= value <= high:
        limits = f"from {low} to {high}" if high < math.inf else f"at least {low}"
        raise ValueError(
            f"{name} must be a number {limits}, got {value!r}: it is the largest "
            "change either way."
        )


def _check_factors(name: str, value: Sequence[float], limit: float) -> None:
    is_pair = isinstance(value, (tuple, list)) and len(value) == 2
    if not is_pair or not 0 < value[0] <= value[1] <= limit or value[1] == math.inf:
        most = "" if limit == math.inf else f" and at most {limit:g}"
        raise ValueError(
            f"{name} must be a smallest and a largest number above 0{most}, got "
            f"{value!r}: pass, say, (0.5, 1.0)."
        )


def _check_positive_integer(name: str, value: int) -> None:
    if not isinstance(value, int) or value < 1:
        raise ValueError(
            f"{name} must be a positive integer, got {value!r}: pass a number of "
            "pixels."
        )
