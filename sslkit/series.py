"""Synthetic windows of a wearable sensor, and the views that leave an activity alone.

Chapter *Wider application*. No person wore this sensor: `wearable` draws every
recording from a formula, so that the chapter needs no download and its claims are
claims about the formula.
"""

import math
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from sslkit.distribute import SeedGenerator

ACTIVITIES = ("rest", "walk", "march", "stairs", "run", "cycle")
"""Names of the classes 0 to 5 of `wearable`."""

# Movements a second; acceleration along (vertical, forward, sideways), in units of
# gravity, which itself is taken out; share of the second harmonic; whether vertical
# and forward are a quarter turn apart.
_MOVEMENTS: tuple[tuple[float, tuple[float, float, float], float, bool], ...] = (
    (0.3, (0.03, 0.05, 0.05), 0.0, False),
    (1.8, (0.30, 0.15, 0.10), 0.3, False),
    (1.8, (0.75, 0.375, 0.25), 0.3, False),  # walk, 2.5 times as strong
    (1.5, (0.35, 0.25, 0.10), 1.2, False),
    (2.7, (1.00, 0.40, 0.20), 0.2, False),
    (1.3, (0.30, 0.30, 0.05), 0.0, True),
)


class SensorWindows(NamedTuple):
    """Answer of `wearable`.

    Attributes:
        x: Windows, float32 `[n, length, 3]`: time, then the three axes of the
            sensor, in units of gravity.
        y: Activities, integers `[n]`, positions in `ACTIVITIES`.
        subject: Who wore the sensor, integers `[n]`.
    """

    x: NDArray[np.float32]
    y: NDArray[np.int64]
    subject: NDArray[np.int64]


def wearable(
    subjects: int = 20,
    windows: int = 16,
    seed: int = 0,
    *,
    length: int = 64,
    rate: float = 25.0,
    noise: float = 0.02,
) -> SensorWindows:
    """Draw recordings of six activities and cut them into overlapping windows.

    Each subject has a pace, a strength, and a sensor fixed at an angle of its own
    (any rotation). Each recording is an oscillation with a second harmonic, whose pace
    and strength drift while it lasts. Gravity is left out, as sensors that report
    linear acceleration do. Consecutive windows of a recording share half of their
    samples. *Walk* and *march* differ in strength alone.

    Args:
        subjects: Number of subjects, at least 1.
        windows: Windows a subject and activity, at least 1.
        seed: Fixes everything that is drawn.
        length: Samples a window, even, at least 8.
        rate: Samples a second, above 0.
        noise: Standard deviation of the sensor's noise, at least 0.

    Returns:
        `SensorWindows`, sorted by subject, then activity, then time.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> wearable(subjects=2, windows=3).x.shape
        (36, 64, 3)
    """
    for name, value, low in [
        ("subjects", subjects, 1),
        ("windows", windows, 1),
        ("length", length, 8),
    ]:
        if not isinstance(value, int) or value < low:
            raise ValueError(f"{name} must be an integer from {low}, got {value!r}.")
    if length % 2:
        raise ValueError(f"length must be even, got {length}: windows overlap by half.")
    if not rate > 0 or not noise >= 0:
        raise ValueError(
            f"rate must be above 0 and noise at least 0, got {rate!r} and {noise!r}."
        )
    rng = np.random.default_rng(seed)
    samples = length // 2 * (windows + 1)
    starts = length // 2 * np.arange(windows)[:, None] + np.arange(length)
    cut = []
    for _ in range(subjects):
        pace, strength = np.exp(rng.normal(0, (0.12, 0.15)))
        mounted = np.asarray(_rotations(rng.normal(size=(1, 4))))[0]
        for movement in _MOVEMENTS:
            body = _recording(movement, pace, strength, samples, rate, rng)
            worn = body @ mounted.T + rng.normal(0, noise, (samples, 3))
            cut.append(worn[starts])
    each = len(_MOVEMENTS) * windows
    return SensorWindows(
        np.concatenate(cut).astype(np.float32),
        np.tile(np.repeat(np.arange(len(_MOVEMENTS)), windows), subjects),
        np.repeat(np.arange(subjects), each),
    )


def _recording(
    movement: tuple[float, tuple[float, float, float], float, bool],
    pace: float,
    strength: float,
    samples: int,
    rate: float,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Acceleration in the frame of the body, `[samples, 3]`."""
    frequency, amplitudes, harmonic, quarter = movement
    # Pace and strength wander by some per cent around their mean.
    wander = np.cumsum(rng.normal(0, 0.01, (samples, 2)), axis=0)
    phase = np.cumsum(2 * np.pi * frequency * pace * np.exp(wander[:, 0]) / rate)
    phase = (phase + rng.uniform(0, 2 * np.pi))[:, None]
    delay = np.array([0.0, np.pi / 2 if quarter else 0.4, 0.9])
    second = harmonic * np.sin(2 * phase + rng.uniform(0, 2 * np.pi) + delay)
    wave = (np.sin(phase + delay) + second) / math.sqrt(1 + harmonic**2)
    return wave * np.array(amplitudes) * strength * np.exp(wander[:, 1:])


def _rotations(q: Any) -> Any:
    """Rotation matrices `[n, 3, 3]` from quaternions `[n, 4]`, not yet of length 1."""
    q = q / ops.sqrt(ops.sum(ops.square(q), axis=1, keepdims=True))
    w, x, y, z = (q[:, i] for i in range(4))
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return ops.stack([ops.stack(row, axis=-1) for row in rows], axis=-2)


@keras.saving.register_keras_serializable(package="sslkit")
class SensorViews(keras.layers.Layer):
    """Random changes of a window that leave the activity what it is.

    In this order: cut out a stretch of time, turn the axes of the sensor by a random
    rotation, multiply by a factor, add noise.

    Args:
        crop: Samples to keep, at least 1. Where they begin is drawn per example.
        rotate: Whether to turn the axes, uniformly over all rotations.
        scale: Largest factor, at least 1. The logarithm of the factor is uniform
            between those of `1 / scale` and `scale`.
        noise: Standard deviation of the noise, at least 0.
        seed: Fixes the sequence of draws.
        **kwargs: `name` and `dtype` of the layer.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> views = SensorViews(crop=48, seed=0)
        >>> views(np.zeros((2, 64, 3), "float32"), training=True).shape
        TensorShape([2, 48, 3])
    """

    def __init__(
        self,
        crop: int,
        rotate: bool = True,
        scale: float = 1.2,
        noise: float = 0.1,
        *,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Check and keep the ranges; see the class for the arguments."""
        if not isinstance(crop, int) or crop < 1:
            raise ValueError(f"crop must be a positive integer, got {crop!r}.")
        if not 1 <= scale < math.inf or not 0 <= noise < math.inf:
            raise ValueError(
                f"scale must be at least 1 and noise at least 0, got {scale!r} and "
                f"{noise!r}: 1 and 0 switch them off."
            )
        super().__init__(**kwargs)
        self.crop, self.rotate, self.scale, self.noise = crop, rotate, scale, noise
        self.seed = seed
        self.generator = SeedGenerator(seed)

    def call(self, x: Any, training: bool = False) -> Any:
        """Change windows `[batch, time, 3]` if `training`, else return them."""
        if not training:
            return x
        batch, time, seed = ops.shape(x)[0], x.shape[1], self.generator
        if time < self.crop:
            raise ValueError(
                f"crop={self.crop} is longer than the windows, which have {time} "
                "samples."
            )
        start = keras.random.randint((batch, 1), 0, time - self.crop + 1, seed=seed)
        x = ops.take_along_axis(x, (start + ops.arange(self.crop))[..., None], axis=1)
        if self.rotate:
            turn = _rotations(keras.random.normal((batch, 4), seed=seed))
            x = ops.matmul(x, ops.transpose(turn, (0, 2, 1)))
        limit = math.log(self.scale)
        log = keras.random.uniform((batch, 1, 1), -limit, limit, seed=seed)
        x = x * ops.exp(log)
        return x + self.noise * keras.random.normal(ops.shape(x), seed=seed)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {
            **super().get_config(),
            "crop": self.crop,
            "rotate": self.rotate,
            "scale": self.scale,
            "noise": self.noise,
            "seed": self.seed,
        }


def series_encoder(features: int = 64, channels: int = 3) -> keras.Sequential:
    """Small convolutional encoder of a series, for windows of any length.

    Two convolutions over time, 5 samples wide, halve the length and are followed by
    batch normalisation and ReLU; the mean over time and a dense layer follow.

    Args:
        features: Length d of the feature vector, at least 1.
        channels: Channels of the series, such as the axes of a sensor, at least 1.

    Returns:
        A model from `[batch, time, channels]` to `[batch, features]`.

    Raises:
        ValueError: If an argument is not a positive integer.

    Example:
        >>> series_encoder(32).output_shape
        (None, 32)
    """
    for name, value in [("features", features), ("channels", channels)]:
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be a positive integer, got {value!r}.")
    layers = keras.layers
    model = keras.Sequential([keras.Input((None, channels))], name="encoder")
    for width in (32, 64):
        model.add(layers.Conv1D(width, 5, strides=2, padding="same", use_bias=False))
        model.add(layers.BatchNormalization())
        model.add(layers.ReLU())
    model.add(layers.GlobalAveragePooling1D())
    model.add(layers.Dense(features))
    return model
