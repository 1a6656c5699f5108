r"""From a waveform to features of a spoken word (chapter *Audio*).

`log_mel` turns a waveform into a picture of its sound, time by frequency, and
`word_image` cuts the word out of it and stretches it to a fixed size. The layers
change such pictures at random in ways that leave the word what it is: another voice,
another tempo, another microphone, noise, holes. `encoder` reads them, and
`MaskedModel` trains an encoder by hiding parts and asking for them.

Pictures are `[batch, frames, bands]` in [0, 1]: 1 is the loudest value of the clip,
0 is 60 dB below it or less.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike, NDArray

from sslkit import distribute
from sslkit.augment import _Augmentation, _check_range
from sslkit.base import Composite
from sslkit.contrastive import SimCLR
from sslkit.networks import _check_widths
from sslkit.speech import RATE

FRAMES, BANDS = 32, 32
"""Size of the picture of a word: moments in time and mel bands."""

LOW, HIGH = 50.0, 4000.0
"""Lowest and highest frequency of the mel bands in hertz."""

WINDOW, HOP, FFT = 256, 64, 512
"""Samples of a window (32 ms), between two windows (8 ms), and of its transform."""

DECIBELS = 60.0
"""How far below the loudest value of a clip a picture reaches."""

SILENCE = 30.0
"""Sound that far below the loudest moment, in decibels, is not part of the word."""


# --------------------------------------------------------------- waveform to picture


def mel(hertz: ArrayLike) -> Any:
    r"""Pitch in mel, a scale on which equal steps sound about equally far apart.

    $$\operatorname{mel}(\nu) = 2595 \log_{10}(1 + \nu / 700)$$

    Args:
        hertz: Frequencies $\nu$, at least 0.

    Returns:
        The same shape.

    Example:
        >>> print(mel([0, 700, 7000]).round(1))
        [   0.   781.2 2702.4]
    """
    return 2595 * np.log10(1 + np.asarray(hertz) / 700)


def mel_centres(bands: int = BANDS) -> NDArray[np.float64]:
    """Centres of mel bands, equally spaced in mel between `LOW` and `HIGH`.

    Args:
        bands: Number of bands, at least 1.

    Returns:
        Frequencies in hertz, `[bands]`.

    Example:
        >>> print(mel_centres(3).round())
        [ 487. 1177. 2271.]
    """
    return _edges(bands)[1:-1]


def mel_filters(bands: int = BANDS) -> NDArray[np.float64]:
    """Triangles that sum the power of a spectrum into mel bands.

    Each triangle is 1 at the centre of its band and 0 at the centres of the two
    neighbours (at `LOW` and `HIGH` for the outermost).

    Args:
        bands: Number of bands, at least 1.

    Returns:
        Weights `[FFT / 2 + 1, bands]`.

    Raises:
        ValueError: If `bands` is not a positive integer, or so many that one of them
            holds no frequency of the transform.

    Example:
        >>> mel_filters(32).shape
        (257, 32)
    """
    if not isinstance(bands, int) or bands < 1:
        raise ValueError(f"bands must be a positive integer, got {bands!r}.")
    hertz = np.arange(FFT // 2 + 1) * RATE / FFT
    # A triangle is what linear interpolation makes of a one among zeros.
    peaks = np.eye(bands + 2)[:, 1:-1]
    filters = np.stack([np.interp(hertz, _edges(bands), peak) for peak in peaks.T], 1)
    if not filters.any(axis=0).all():
        raise ValueError(
            f"bands must be so few that each holds a frequency, got {bands}: take 40 "
            "or fewer."
        )
    return filters


def _edges(bands: int) -> NDArray[np.float64]:
    steps = np.linspace(mel(LOW), mel(HIGH), bands + 2)
    edges: NDArray[np.float64] = 700 * (10 ** (steps / 2595) - 1)
    return edges


def log_mel(waves: ArrayLike, bands: int = BANDS) -> NDArray[np.float32]:
    """Spectrogram in mel bands, in decibels.

    Power spectra of windows of `WINDOW` samples (Hann), `HOP` samples apart, the
    first centred on the first sample, summed by `mel_filters`.

    Args:
        waves: int16 `[n, samples]` at 8 kHz, as `sslkit.speech` returns them.
        bands: Number of mel bands.

    Returns:
        Decibels, float32 `[n, 1 + samples // HOP, bands]`; silence is -100.

    Raises:
        ValueError: If the waves are not int16 or have another rank.

    Example:
        >>> log_mel(np.zeros((1, 8000), np.int16)).shape
        (1, 126, 32)
    """
    waves = np.asarray(waves)
    if waves.dtype != np.int16 or waves.ndim != 2:
        raise ValueError(
            f"waves must be int16 [n, samples], got {waves.dtype} {waves.shape}: pass "
            "them as they were loaded, such as digits.waves."
        )
    filters = mel_filters(bands)
    # The periodic Hann window, whose copies overlap to a constant.
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    half = WINDOW // 2
    out = []
    for wave in waves:  # one by one, or the windows would fill gigabytes
        padded = np.pad(wave / 32768, half)
        windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
        power = np.abs(np.fft.rfft(windows * hann, FFT)) ** 2 / WINDOW
        out.append(10 * np.log10(power @ filters + 1e-10))
    return np.array(out, np.float32)


def word_image(
    waves: ArrayLike, frames: int = FRAMES, bands: int = BANDS
) -> NDArray[np.float32]:
    """Picture of a word: log-mel, without the silence around it, at a fixed size.

    The word begins and ends where its loudest band is `SILENCE` decibels below the
    loudest moment of the clip. What lies between is stretched to `frames` moments
    (linear interpolation), so that slow and fast speakers look alike. The scale is
    that of the clip itself: 1 is its loudest value, 0 is `DECIBELS` below it.

    Args:
        waves: int16 `[n, samples]` at 8 kHz.
        frames: Moments in time, at least 1.
        bands: Number of mel bands.

    Returns:
        float32 `[n, frames, bands]` in [0, 1].

    Raises:
        ValueError: As `log_mel`.

    Example:
        >>> from sslkit import speech
        >>> word_image(speech.synthesise(11).waves[:2]).shape
        (2, 32, 32)
    """
    pictures = []
    for sound in log_mel(waves, bands):
        loudness = sound.max(axis=1)
        heard = np.flatnonzero(loudness > loudness.max() - SILENCE)
        first, last = heard[0], heard[-1] + 1
        moments = first - 0.5 + (np.arange(frames) + 0.5) / frames * (last - first)
        weights = _hat(np.clip(moments, first, last - 1), len(sound))
        word = weights @ sound
        pictures.append(np.clip((word - word.max()) / DECIBELS + 1, 0, 1))
    return np.array(pictures, np.float32)


def _hat(positions: Any, n: int) -> NDArray[np.float64]:
    """Weights of linear interpolation between `n` values, `[..., n]`."""
    hat: NDArray[np.float64] = np.maximum(
        0, 1 - np.abs(np.asarray(positions)[..., None] - np.arange(n))
    )
    return hat


# ----------------------------------------------------------- random changes of a word


def _fetch(pictures: Any, positions: Any, axis: int) -> Any:
    """Interpolate pictures `[batch, frames, bands, 1]` along an axis.

    Args:
        pictures: What to read from.
        positions: Where, `[batch, places]`; beyond the ends, 0 is read.
        axis: 1 for time, 2 for frequency.

    Returns:
        The pictures at these places.
    """
    n = pictures.shape[axis]
    # As a product with a matrix of hat functions, which is much faster on a CPU than
    # looking the neighbours up.
    hat = ops.relu(1 - ops.abs(positions[..., None] - ops.arange(n, dtype="float32")))
    hat = ops.cast(hat, pictures.dtype)
    picture = pictures[..., 0]
    if axis == 1:
        return ops.matmul(hat, picture)[..., None]
    return ops.matmul(picture, ops.transpose(hat, (0, 2, 1)))[..., None]


@keras.saving.register_keras_serializable(package="sslkit")
class RandomVoice(_Augmentation):
    r"""Move all frequencies by one factor: another length of the vocal tract.

    A longer throat and mouth lower all resonances of a voice by about the same
    factor, so the band at frequency $\nu$ shows what was at $\alpha \nu$, with
    $\log \alpha$ drawn uniformly. What would come from beyond the last band repeats
    that band. Vocal tract length perturbation: Jaitly and Hinton, ICML workshop 2013.

    Args:
        warp: Largest $|\log \alpha|$, at least 0; 0.2 is about a fifth either way.
        seed: Fixes the sequence of draws.
        **kwargs: `name` and `dtype` of the layer.

    Raises:
        ValueError: If `warp` is out of range.

    Example:
        >>> layer = RandomVoice(0.2, seed=0)
        >>> layer(ops.ones((4, 32, 32)), training=True).shape
        TensorShape([4, 32, 32])
    """

    def __init__(self, warp: float, *, seed: int, **kwargs: Any) -> None:
        """Check and keep the range; see the class for the arguments."""
        _check_range("warp", warp, 0, math.inf)
        super().__init__(seed, **kwargs)
        self.warp = warp

    def augment(self, images: Any) -> Any:
        """Change pictures `[batch, frames, bands, 1]`."""
        batch, bands = ops.shape(images)[0], images.shape[2]
        log_alpha = keras.random.uniform(
            (batch, 1), -self.warp, self.warp, seed=self.generator
        )
        return _fetch(images, band_positions(ops.exp(log_alpha), bands), axis=2)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "warp": self.warp}


def band_positions(factor: Any, bands: int = BANDS) -> Any:
    """Say between which bands each band looks when frequencies move by a factor.

    Args:
        factor: What each centre is multiplied by, `[batch, 1]`.
        bands: Number of mel bands.

    Returns:
        Positions between 0 and `bands - 1`, `[batch, bands]`.

    Example:
        >>> print(ops.convert_to_numpy(band_positions(ops.ones((1, 1)), 4)).round(3))
        [[0. 1. 2. 3.]]
    """
    hertz = factor * mel_centres(bands).astype("float32")
    pitch = 2595 / math.log(10) * ops.log(1 + hertz / 700)
    step = (mel(HIGH) - mel(LOW)) / (bands + 1)
    return ops.clip((pitch - mel(LOW)) / step - 1, 0.0, bands - 1.0)


@keras.saving.register_keras_serializable(package="sslkit")
class RandomTempo(_Augmentation):
    r"""Shift a word, stretch it, and speak parts of it faster than others.

    The moment $t$ of the picture, from -1/2 to 1/2, shows what was at
    $a t + b + c_1 \sin 2\pi t + c_2 \cos 2\pi t$. Where that lies outside, there is
    silence.

    Args:
        stretch: Largest absolute logarithm of the factor $a$, at least 0.
        shift: Largest $b$ either way, in lengths of the picture, 0 to 1.
        bend: Largest $c_1$ and $c_2$ either way, 0 to 1.
        seed: Fixes the sequence of draws.
        **kwargs: `name` and `dtype` of the layer.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> layer = RandomTempo(0.1, 0.05, 0.02, seed=0)
        >>> layer(ops.ones((4, 32, 32)), training=True).shape
        TensorShape([4, 32, 32])
    """

    def __init__(
        self, stretch: float, shift: float, bend: float, *, seed: int, **kwargs: Any
    ) -> None:
        """Check and keep the ranges; see the class for the arguments."""
        _check_range("stretch", stretch, 0, math.inf)
        _check_range("shift", shift, 0, 1)
        _check_range("bend", bend, 0, 1)
        super().__init__(seed, **kwargs)
        self.stretch = stretch
        self.shift = shift
        self.bend = bend

    def augment(self, images: Any) -> Any:
        """Change pictures `[batch, frames, bands, 1]`."""
        batch, frames = ops.shape(images)[0], images.shape[1]

        def draw(most: float) -> Any:
            return keras.random.uniform((batch, 1), -most, most, seed=self.generator)

        t = np.linspace(-0.5, 0.5, frames, dtype="float32")
        wave = 2 * np.pi * t
        moments = ops.exp(draw(self.stretch)) * t + draw(self.shift)
        moments += draw(self.bend) * np.sin(wave) + draw(self.bend) * np.cos(wave)
        return _fetch(images, (moments + 0.5) * (frames - 1), axis=1)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {
            **super().get_config(),
            "stretch": self.stretch,
            "shift": self.shift,
            "bend": self.bend,
        }


@keras.saving.register_keras_serializable(package="sslkit")
class RandomMicrophone(_Augmentation):
    """Another loudness, other bass and treble, and a bed of noise.

    To the decibels of every band a smooth curve over frequency is added: a constant
    and one to seven half waves of a cosine, each with a Gaussian factor. Then noise,
    equally strong in all bands and at all moments but for a flicker of 3 decibels, is
    added to the sound. (To the sound, not to the decibels: only what is quieter than
    the noise drowns.)

    Args:
        tone: Standard deviation of the factors as a share of the range of the picture,
            at least 0; 0.05 is 3 decibels each.
        noise: Largest level of the noise, drawn uniformly from 0, as a share of the
            range of the picture, 0 to 1.
        seed: Fixes the sequence of draws.
        **kwargs: `name` and `dtype` of the layer.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> layer = RandomMicrophone(0.05, 0.3, seed=0)
        >>> layer(ops.ones((4, 32, 32)), training=True).shape
        TensorShape([4, 32, 32])
    """

    def __init__(self, tone: float, noise: float, *, seed: int, **kwargs: Any) -> None:
        """Check and keep the ranges; see the class for the arguments."""
        _check_range("tone", tone, 0, math.inf)
        _check_range("noise", noise, 0, 1)
        super().__init__(seed, **kwargs)
        self.tone = tone
        self.noise = noise

    def augment(self, images: Any) -> Any:
        """Change pictures `[batch, frames, bands, 1]`."""
        batch, bands = ops.shape(images)[0], images.shape[2]
        place = (np.arange(bands) + 0.5) / bands
        waves = np.cos(np.pi * np.arange(8)[:, None] * place).astype("float32")
        factors = keras.random.normal((batch, 8), stddev=self.tone, seed=self.generator)
        curve = ops.matmul(factors, waves)
        heard = ops.cast(images, "float32") + curve[:, None, :, None]
        if self.noise:
            level = keras.random.uniform(
                (batch, 1, 1, 1), 0, self.noise, seed=self.generator
            )
            flicker = keras.random.normal(
                ops.shape(images), stddev=3 / DECIBELS, seed=self.generator
            )
            heard = add_sounds(heard, level + flicker)
        return ops.cast(ops.clip(heard, 0.0, 1.0), images.dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "tone": self.tone, "noise": self.noise}


def add_sounds(first: Any, second: Any) -> Any:
    """Picture of two sounds at once: their powers add.

    Args:
        first: Values of a picture, in which 1 is `DECIBELS` above 0.
        second: The other sound on the same scale, same shape.

    Returns:
        Values of the same shape, at least the larger of the two.

    Example:
        >>> both = add_sounds(0.5, 0.5)  # twice the power is 3 decibels more
        >>> print(round(float(both - 0.5) * 60, 2))
        3.01
    """
    nats = DECIBELS * math.log(10) / 10
    return ops.logaddexp(first * nats, second * nats) / nats


@keras.saving.register_keras_serializable(package="sslkit")
class RandomStripes(_Augmentation):
    """Silence a stretch of time and a stretch of bands (SpecAugment, arXiv 1904.08779).

    Args:
        share: Largest width of each stripe as a share of the picture, drawn uniformly
            from 0; 0 to 1.
        seed: Fixes the sequence of draws.
        **kwargs: `name` and `dtype` of the layer.

    Raises:
        ValueError: If `share` is out of range.

    Example:
        >>> layer = RandomStripes(0.1, seed=0)
        >>> layer(ops.ones((4, 32, 32)), training=True).shape
        TensorShape([4, 32, 32])
    """

    def __init__(self, share: float, *, seed: int, **kwargs: Any) -> None:
        """Check and keep the range; see the class for the arguments."""
        _check_range("share", share, 0, 1)
        super().__init__(seed, **kwargs)
        self.share = share

    def augment(self, images: Any) -> Any:
        """Change pictures `[batch, frames, bands, 1]`."""
        batch, frames, bands = ops.shape(images)[0], images.shape[1], images.shape[2]

        def keep(n: int) -> Any:
            middle = keras.random.uniform((batch, 1), 0, n, seed=self.generator)
            half = keras.random.uniform(
                (batch, 1), 0, self.share * n / 2, seed=self.generator
            )
            place = ops.arange(n, dtype="float32") + 0.5
            return ops.cast(ops.abs(place - middle) > half, images.dtype)

        return images * keep(frames)[:, :, None, None] * keep(bands)[:, None, :, None]

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "share": self.share}


@keras.saving.register_keras_serializable(package="sslkit")
class RandomSpeaker(_Augmentation):
    """Add a random mixture of the differences between speakers.

    The mean picture of all clips of a speaker holds what they have in common: voice,
    microphone and room. A clip is moved along the differences of such means, each
    times a Gaussian number, so that these differences say nothing any more.

    Args:
        offsets: What `speaker_offsets` returned, `[speakers, frames, bands]`.
        scale: Standard deviation of the numbers, at least 0, divided by the square root
            of the number of speakers.
        seed: Fixes the sequence of draws.
        **kwargs: `name` and `dtype` of the layer.

    Raises:
        ValueError: If `scale` is out of range.

    Example:
        >>> layer = RandomSpeaker(np.zeros((6, 32, 32)), 1.5, seed=0)
        >>> layer(ops.ones((4, 32, 32)), training=True).shape
        TensorShape([4, 32, 32])
    """

    def __init__(
        self, offsets: ArrayLike, scale: float, *, seed: int, **kwargs: Any
    ) -> None:
        """Check and keep the arguments; see the class for them."""
        _check_range("scale", scale, 0, math.inf)
        super().__init__(seed, **kwargs)
        self.offsets = np.asarray(offsets, "float32")
        self.scale = scale

    def augment(self, images: Any) -> Any:
        """Change pictures `[batch, frames, bands, 1]`."""
        batch, speakers = ops.shape(images)[0], len(self.offsets)
        factors = keras.random.normal(
            (batch, speakers), stddev=self.scale / speakers**0.5, seed=self.generator
        )
        flat = self.offsets.reshape(speakers, -1)
        offset = ops.reshape(ops.matmul(factors, flat), ops.shape(images))
        return ops.clip(images + ops.cast(offset, images.dtype), 0.0, 1.0)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        offsets = self.offsets.tolist()
        return {**super().get_config(), "offsets": offsets, "scale": self.scale}


def speaker_offsets(pictures: ArrayLike, speaker: ArrayLike) -> NDArray[np.float32]:
    """Mean picture of each speaker, less the mean of these means.

    Args:
        pictures: `[n, frames, bands]`.
        speaker: Who speaks in each, `[n]`.

    Returns:
        float32 `[speakers, frames, bands]`, speakers in alphabetical order.

    Example:
        >>> pictures = np.array([1.0, 3.0, 6.0]).reshape(3, 1, 1)
        >>> print(speaker_offsets(pictures, ["a", "a", "b"]).ravel())
        [-2.  2.]
    """
    pictures, speaker = np.asarray(pictures), np.asarray(speaker)
    means = np.stack([pictures[speaker == name].mean(0) for name in np.unique(speaker)])
    return (means - means.mean(axis=0)).astype(np.float32)


def word_views(
    offsets: ArrayLike, voice: float = 0.15, speaker: float = 1.5, seed: int = 0
) -> keras.Sequential:
    """Random changes that leave a word what it is, for two views of it.

    Another speaker, voice, tempo and microphone, noise, and two silenced stripes.

    Args:
        offsets: What `speaker_offsets` returned for the training clips.
        voice: Range of `RandomVoice`; 0 leaves the voice alone.
        speaker: Scale of `RandomSpeaker`; 0 leaves the speaker alone.
        seed: Fixes the sequence of draws.

    Returns:
        A model from pictures `[batch, FRAMES, BANDS]` in [0, 1] to the same shape.

    Example:
        >>> views = word_views(np.zeros((6, 32, 32)))
        >>> views(ops.zeros((2, 32, 32)), training=True).shape
        TensorShape([2, 32, 32])
    """
    return keras.Sequential(
        [
            keras.Input((FRAMES, BANDS)),
            RandomSpeaker(offsets, speaker, seed=seed),
            RandomVoice(voice, seed=seed),
            RandomTempo(0.1, 0.05, 0.02, seed=seed),
            RandomMicrophone(0.045, 0.3, seed=seed),
            RandomStripes(0.1, seed=seed),
        ],
        name="word_views",
    )


# ------------------------------------------------------------- a neighbour as a view


def neighbours(
    h: ArrayLike, speaker: ArrayLike, k: int = 6
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find clips that probably hold the same word, without knowing any word.

    The mean of each speaker is subtracted from the features of his or her clips, and
    closeness is the cosine of what is left. Among clips of the same speaker the
    nearest ones are taken. Across speakers that would err too often, so a pair has to
    be mutual: each is, among the clips of its speaker, the one nearest to the other.

    Args:
        h: Features `[n, ...]`; longer shapes are flattened.
        speaker: Who speaks in each clip, `[n]`.
        k: Neighbours of the same speaker, at least 1.

    Returns:
        Positions of the `k` nearest clips of the same speaker, `[n, k]`, and of the
        mutual neighbour among each speaker's clips, `[n, speakers]`, where -1 stands
        for none, and for the speaker of the clip.

    Raises:
        ValueError: If a speaker has no more than `k` clips.

    Example:
        >>> h = np.array([[0, 1], [1, 0], [1, 2], [9, 6], [7, 6], [9, 8.1]])
        >>> same, other = neighbours(h, ["a"] * 3 + ["b"] * 3, k=1)
        >>> other.tolist()
        [[-1, 4], [-1, 3], [-1, 5], [1, -1], [0, -1], [2, -1]]
    """
    h, speaker = np.asarray(h), np.asarray(speaker)
    u = h.reshape(len(h), -1).astype(np.float64)
    names, code, counts = np.unique(speaker, return_inverse=True, return_counts=True)
    if counts.min() <= k:
        raise ValueError(
            f"k must be below the number of clips of each speaker, {counts.min()} at "
            f"least, got {k}."
        )
    rows = [np.flatnonzero(code == c) for c in range(len(names))]
    for own in rows:
        u[own] -= u[own].mean(axis=0)
    u /= np.linalg.norm(u, axis=1, keepdims=True) + 1e-12
    same = np.empty((len(u), k), np.int64)
    nearest = np.empty((len(u), len(names)), np.int64)
    for c, own in enumerate(rows):
        cosine = u @ u[own].T
        nearest[:, c] = own[cosine.argmax(axis=1)]
        inside = cosine[own]
        np.fill_diagonal(inside, -np.inf)
        same[own] = own[np.argsort(-inside, axis=1)[:, :k]]
    me = np.arange(len(u))
    mutual = nearest[nearest, code[:, None]] == me[:, None]
    mutual[me, code] = False
    return same, np.where(mutual, nearest, -1)


class NeighbourPairs(keras.utils.PyDataset):
    """Batches of pairs: a clip, and itself or one of its neighbours.

    Partners are drawn anew for every epoch, and so is the order. A clip that has no
    mutual neighbour with another speaker is its own partner in that case.

    Args:
        pictures: `[n, ...]`.
        same: Neighbours of the same speaker, as `neighbours` returns them.
        other: Neighbours among other speakers, likewise.
        shares: How often, of 1, the partner is a neighbour of the same speaker, and
            how often one of another speaker. Otherwise it is the clip itself.
        batch_size: Pairs a batch. A last batch that is not full is left out.
        seed: Fixes the sequence of draws.

    Raises:
        ValueError: If the shares are negative or sum to more than 1, or there are
            fewer clips than `batch_size`.

    Example:
        >>> x, same = np.zeros((8, 32, 32)), np.roll(np.arange(8), 1)[:, None]
        >>> pairs = NeighbourPairs(x, same, same, (0.5, 0.25), batch_size=4)
        >>> len(pairs), pairs[0][0].shape
        (2, (4, 2, 32, 32))
    """

    def __init__(
        self,
        pictures: ArrayLike,
        same: ArrayLike,
        other: ArrayLike,
        shares: tuple[float, float] = (0.4, 0.3),
        batch_size: int = 128,
        seed: int = 0,
    ) -> None:
        """Check and keep the arguments; see the class for them."""
        super().__init__()
        self.pictures = np.asarray(pictures)
        self.same, self.other = np.asarray(same), np.asarray(other)
        if min(shares) < 0 or sum(shares) > 1:
            raise ValueError(
                f"shares must be at least 0 and sum to 1 at most, got {shares}."
            )
        if len(self.pictures) < batch_size:
            raise ValueError(
                f"batch_size must be at most {len(self.pictures)}, the number of "
                f"clips, got {batch_size}."
            )
        self.shares = shares
        self.batch_size = batch_size
        self.rng = np.random.default_rng(seed)
        self.on_epoch_end()

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return len(self.pictures) // self.batch_size

    def on_epoch_end(self) -> None:
        """Draw the partners and the order of the next epoch."""
        n = len(self.pictures)
        me = np.arange(n)
        same = self.same[me, self.rng.integers(0, self.same.shape[1], n)]
        # Where there are several mutual neighbours, any of them; -1 is never drawn.
        lots = np.where(self.other >= 0, self.rng.random(self.other.shape), -1)
        other = self.other[me, lots.argmax(axis=1)]
        which = self.rng.random(n)
        partner = np.where(which < self.shares[0], same, me)
        use_other = (which >= self.shares[0]) & (which < sum(self.shares))
        self.partner = np.where(use_other & (other >= 0), other, partner)
        self.order = self.rng.permutation(n)

    def __getitem__(self, index: int) -> tuple[NDArray[Any]]:
        """Return the pairs of a batch, `[batch, 2, ...]`."""
        start = index * self.batch_size
        rows = self.order[start : start + self.batch_size]
        pairs = self.pictures[np.stack([rows, self.partner[rows]], axis=1)]
        return (pairs,)


@keras.saving.register_keras_serializable(package="sslkit")
class PairSimCLR(SimCLR):
    """SimCLR whose two views come from the two members of a pair.

    With a pair of twice the same example it is SimCLR. With a neighbour as the second
    member it is a relative of NNCLR (Dwibedi et al., arXiv 2104.14548), which looks
    for the neighbour in every batch anew.

    Example:
        >>> from sslkit import networks
        >>> reader = encoder((4, 8, 8), 8)
        >>> views = word_views(np.zeros((6, 32, 32)))
        >>> model = PairSimCLR(reader, networks.projector(32), views)
        >>> model(np.zeros((5, 2, 32, 32), "float32")).shape
        TensorShape([10, 64])
    """

    def call(self, x: Any, training: bool = False) -> Any:
        """Draw a view of each member and project its features.

        Args:
            x: Pairs `[batch, 2, ...]`.
            training: Passed to the networks. The views are drawn either way.

        Returns:
            Projections `[2 batch, p]`: all first members, then all second members.
        """
        both = ops.concatenate([x[:, 0], x[:, 1]])
        views = self.augment(both, training=True)
        return self.projector(self.encoder(views, training=training), training=training)


# ---------------------------------------------------------------- networks and models


def encoder(
    channels: Sequence[int] = (24, 48, 96), features: int = 128
) -> keras.Sequential:
    """Convolutional encoder of a word, which keeps the order of its sounds.

    Each moment is brought to mean 0 and about variance 1 over its bands, which takes
    the loudness away and leaves the shape of the spectrum. (Moments in which all bands
    are nearly alike, such as silence, are not blown up.) Each convolution, 3 x 3, then
    halves time and frequency; a last one sees all frequencies of a moment. Batch
    normalisation and ReLU follow each of them. The features of the moments that are
    left, four with three convolutions, stand one after the other.

    Args:
        channels: Channels of the convolutions, first to last; at most five.
        features: Numbers a moment.

    Returns:
        A model from `[batch, FRAMES, BANDS]` to `[batch, moments * features]`.

    Raises:
        ValueError: If a width is not a positive integer.

    Example:
        >>> encoder().output_shape
        (None, 512)
    """
    _check_widths(features, channels)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((FRAMES, BANDS)),
            # A variance of 0.03 is one of (10 decibels) squared.
            layers.LayerNormalization(epsilon=0.03, center=False, scale=False),
            layers.Reshape((FRAMES, BANDS, 1)),
        ],
        name="encoder",
    )
    for width in channels:
        # Batch normalisation has a bias of its own.
        model.add(layers.Conv2D(width, 3, strides=2, padding="same", use_bias=False))
        model.add(layers.BatchNormalization())
        model.add(layers.ReLU())
    model.add(layers.Conv2D(features, (1, BANDS >> len(channels)), use_bias=False))
    model.add(layers.BatchNormalization())
    model.add(layers.ReLU())
    model.add(layers.Flatten())
    return model


def decoder(features: int, hidden: int = 512) -> keras.Sequential:
    """Network from features back to the picture of a word, for `MaskedModel`.

    Args:
        features: Length of the feature vectors.
        hidden: Units of the ReLU layer between.

    Returns:
        A model from `[batch, features]` to `[batch, FRAMES, BANDS]`.

    Raises:
        ValueError: If a width is not a positive integer.

    Example:
        >>> decoder(512).output_shape
        (None, 32, 32)
    """
    _check_widths(features, (hidden,))
    return keras.Sequential(
        [
            keras.Input((features,)),
            keras.layers.Dense(hidden, activation="relu"),
            keras.layers.Dense(FRAMES * BANDS),
            keras.layers.Reshape((FRAMES, BANDS)),
        ],
        name="decoder",
    )


@keras.saving.register_keras_serializable(package="sslkit")
class MaskedModel(Composite):
    r"""Encoder trained to say what was hidden.

    $$\min_{f, g}\; \mathbb{E}\;
      \frac{\sum_i M_i\, (x_i - g(f((1 - M) \odot x))_i)^2}{\sum_i M_i}$$

    with encoder $f$, decoder $g$ and a random mask $M$ that is 1 where the picture
    $x$ is hidden. Only hidden values count: the others would be had by copying. After
    He et al., arXiv 2111.06377, section 3, who let the encoder see visible patches
    only; a convolution has to be shown the holes.

    Args:
        encoder: Model from pictures `[batch, ...]` to features `[batch, d]`.
        decoder: Model from features to pictures of the same shape.
        mask: `sslkit.augment.RandomMask`, which says what to hide.
        seed: Kept with the model. The mask has a seed of its own.

    Example:
        >>> from sslkit.augment import RandomMask
        >>> mask = RandomMask(4, 0.5, seed=0)
        >>> model = MaskedModel(encoder((4, 8), 8), decoder(64), mask)
        >>> model.compile(optimizer="adam")
        >>> list(model.fit(np.zeros((8, 32, 32), "float32"), verbose=0).history)
        ['loss']
    """

    parts = ("encoder", "decoder", "mask")

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        mask: Any,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Keep the parts; see the class for the arguments."""
        super().__init__(seed, **kwargs)
        self.encoder = encoder
        self.decoder = decoder
        self.mask = mask
        # It is asked for masks and never called, so that Keras would not build it.
        self.mask.build(None)

    def call(self, x: Any, training: bool = False) -> Any:
        """Hide a part of each picture and guess the whole.

        Args:
            x: Pictures `[batch, ...]`.
            training: Passed to the networks. The mask is drawn either way.

        Returns:
            The guess, and the mask, 1 where the picture was hidden; both of the shape
            of `x`.
        """
        hidden = ops.cast(self.mask.draw_mask(x), x.dtype)
        code = self.encoder((1 - hidden) * x, training=training)
        return self.decoder(code, training=training), hidden

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Mean squared error of the hidden values."""
        guess, hidden = y_pred
        error = ops.sum(hidden * ops.square(x - guess)) / ops.sum(hidden)
        return distribute.share(error)
