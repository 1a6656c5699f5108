"""Pictures of your own, from a folder, an array or a data set on disk, as a stream.

Page *Your own images*. `open_images` looks at a place and returns a `Source`: it knows
how many pictures there are, reads any of them as uint8, and feeds training in an order
that depends on nothing but the seed, so that a run that was stopped can go on where
it was. Pictures stay on the disk until they are needed.
"""

import csv
import hashlib
import json
import math
import os
import shutil
import threading
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from sslkit import download
from sslkit.resume import atomic

if TYPE_CHECKING:
    import tensorflow as tf

SUFFIXES = frozenset(Image.registered_extensions()) & {
    *(".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
}
"""Endings of the files that a folder is searched for, in lower case."""
SIDES = (28, 32, 64, 96, 128, 224)
"""Sides in pixels that `open_images` chooses from."""
LOOKED_AT = 64
"""Pictures that are opened to choose a side and the number of channels."""

CHANNELS = ((), (1,), (3,), (4,))
"""What may follow height and width in the shape of a picture."""

Shape = tuple[int, ...]


class Source:
    """Pictures by number, each uint8 of one shape.

    Args:
        count: Number of pictures, at least 1.
        shape: Shape of a picture, `(height, width)` if grey or
            `(height, width, 3)`.
        names: What to call each picture in messages, `count` of them.
        labels: Names of the classes, one per picture, `""` where none is known;
            `None` if nothing is known.
        bad: Largest share of unreadable pictures, from 0 to below 1.

    Attributes:
        broken: What is wrong with unreadable pictures, by number. It grows as they
            are met.
        failure: The error that ended reading, if there was one.
    """

    def __init__(
        self,
        count: int,
        shape: Shape,
        names: Sequence[str],
        labels: Sequence[str] | None = None,
        bad: float = 0.01,
    ) -> None:
        """Keep what is known; see the class for the arguments."""
        if not 0 <= bad < 1:
            raise ValueError(f"bad must be a share from 0 to below 1, got {bad!r}.")
        self.count = count
        self.shape = shape
        self.names = names
        self.labels = labels
        self.bad = bad
        self.broken: dict[int, str] = {}
        self.failure: ValueError | None = None
        self._lock = threading.Lock()

    def picture(self, index: int) -> NDArray[np.uint8]:
        """Picture number `index` as uint8; raises `OSError` or `ValueError`."""
        raise NotImplementedError

    def fingerprint(self) -> str:
        """Short text that changes with the set of pictures, for a run to compare."""
        raise NotImplementedError

    def read(self, index: int) -> NDArray[np.uint8] | None:
        """Read a picture, or note that it cannot be read.

        Args:
            index: Number of the picture, 0 to `count - 1`.

        Returns:
            uint8 of `shape`, or `None` for an unreadable picture.

        Raises:
            ValueError: If more pictures than the share `bad` are unreadable.
        """
        if index in self.broken:
            return None
        try:
            return self.picture(index)
        # Whatever a damaged file makes Pillow raise: SyntaxError for a broken header,
        # an error of its own for a picture so large that it is taken for an attack.
        except Exception as why:
            self._note(index, why)
            return None

    def batch(self, chosen: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Read pictures for training: the next readable one stands in for a bad one.

        Args:
            chosen: Numbers of the pictures, `[n]`.

        Returns:
            uint8 `[n, *shape]`.
        """
        pictures = np.empty((len(chosen), *self.shape), np.uint8)
        for row, index in enumerate(chosen):
            found = self.read(int(index))
            while found is None:
                index = (index + 1) % self.count
                found = self.read(int(index))
            pictures[row] = found
        return pictures

    def in_order(
        self, size: int = 256, chosen: NDArray[np.integer] | None = None
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
        """Go once through pictures, leaving out unreadable ones.

        Args:
            size: Pictures per batch, at least 1.
            chosen: Their numbers; all if left out.

        Yields:
            Numbers `[n]` and pictures, uint8 `[n, *shape]`.
        """
        numbers = np.arange(self.count) if chosen is None else chosen
        for start in range(0, len(numbers), size):
            some = numbers[start : start + size]
            read = [(int(index), self.read(int(index))) for index in some]
            kept = [(index, picture) for index, picture in read if picture is not None]
            if kept:
                indices, pictures = zip(*kept, strict=True)
                yield np.array(indices), np.stack(pictures)

    def order(self, epoch: int, seed: int) -> NDArray[np.int64]:
        """Order of the pictures in an epoch, counted from 0."""
        return np.random.default_rng((seed, epoch)).permutation(self.count)

    def feed(
        self,
        batch: int,
        seed: int,
        start: int,
        stop: int,
        replicas: Sequence[int] = (0,),
        of: int = 1,
    ) -> "tf.data.Dataset":
        """Batches of the training steps `start` to `stop - 1`, in [0, 1].

        What a step sees depends on its number and the seed alone: an epoch is an
        order of the pictures, cut into whole batches; what is left over is left out.

        Args:
            batch: Pictures per step, on all replicas together; a multiple of `of`
                and at most `count`.
            seed: Fixes the orders.
            start: First step, counted from 0 over all epochs.
            stop: Step to end before.
            replicas: Numbers of the replicas that this process feeds. Each gets its
                own part of the batch, one after the other.
            of: Number of replicas there are.

        Returns:
            A `tf.data.Dataset` of known length with float32 `[batch / of, *shape]`.

        Raises:
            ValueError: If `batch` is out of range or cannot be shared out evenly.
        """
        import tensorflow as tf

        check_batch(batch, of, self.count)
        part, steps, local = batch // of, self.count // batch, len(replicas)
        orders: dict[int, NDArray[np.int64]] = {}

        def load(number: Any) -> NDArray[np.uint8]:
            step, which = divmod(int(number), local)
            epoch, step = divmod(step, steps)
            with self._lock:
                if epoch not in orders:  # At an epoch's end two of them are at hand.
                    orders[epoch] = self.order(epoch, seed)
                    orders.pop(epoch - 2, None)
                order = orders[epoch]
            first = step * batch + replicas[which] * part
            return self.batch(order[first : first + part])

        def scaled(number: tf.Tensor) -> tf.Tensor:
            pictures = tf.numpy_function(load, [number], tf.uint8)
            pictures = tf.ensure_shape(pictures, (part, *self.shape))
            return tf.cast(pictures, tf.float32) / 255

        numbers = tf.data.Dataset.range(start * local, stop * local)
        # Pillow leaves Python's lock while it decodes, so that two calls run at once.
        calls = {"num_parallel_calls": tf.data.AUTOTUNE, "deterministic": True}
        return numbers.map(scaled, **calls).prefetch(2)

    def _note(self, index: int, why: Exception) -> None:
        with self._lock:
            self.broken[index] = f"{type(why).__name__}: {why}"
            # Not a product: 0.29 * 100 is less than 29.
            if len(self.broken) / self.count > self.bad:
                first = [f"{self.names[i]} ({self.broken[i]})" for i in self.broken]
                self.failure = ValueError(
                    f"{len(self.broken)} of {self.count} pictures cannot be read, more "
                    f"than the share bad={self.bad:g} allows: "
                    f"{'; '.join(first[:5])}. Allow more, or start a new run after "
                    "they are mended or removed."
                )
                raise self.failure


class Folder(Source):
    """Pictures in a folder and its subfolders, one file each.

    Every picture is cut to a square about its centre and scaled. Subfolders are
    classes if every picture lies in one and there are at least two.

    Args:
        folder: Path of the folder.
        side: Height and width in pixels; chosen by `open_images` if left out.
        channels: 1 or 3; chosen likewise.
        bad: As for `Source`.

    Raises:
        ValueError: If there is no picture.
    """

    def __init__(
        self,
        folder: str | Path,
        side: int | None = None,
        channels: int | None = None,
        bad: float = 0.01,
    ) -> None:
        """List the files; see the class for the arguments."""
        self.folder = Path(folder)
        # Names as text: a hundred thousand Path objects take seconds and memory.
        names = sorted(_list(self.folder))
        if not names:
            raise ValueError(
                f"{folder} holds no picture, in no subfolder: their names have to end "
                f"in one of {', '.join(sorted(SUFFIXES))}."
            )
        if side is None or channels is None:
            found_side, found_channels = self._look(names)
            side, channels = side or found_side, channels or found_channels
        shape = (side, side) if channels == 1 else (side, side, 3)
        classes = [name.partition("/")[0] if "/" in name else "" for name in names]
        labels = classes if "" not in classes and len(set(classes)) > 1 else None
        super().__init__(len(names), shape, names, labels, bad)

    def picture(self, index: int) -> NDArray[np.uint8]:
        """Decode a file, turn it upright, cut it square and scale it."""
        with Image.open(self.folder / self.names[index]) as file:
            side = self.shape[0]
            file.draft("RGB" if len(self.shape) == 3 else "L", (2 * side, 2 * side))
            return _fit(ImageOps.exif_transpose(file), self.shape)

    def fingerprint(self) -> str:
        """Checksum of names and sizes of the files."""
        digest = hashlib.sha256()
        for name in self.names:
            try:
                size = (self.folder / name).stat().st_size
            except OSError:
                size = -1
            digest.update(f"{name}\0{size}\n".encode("utf-8", "surrogateescape"))
        return f"{self.count} files, {digest.hexdigest()[:16]}"

    def _look(self, names: Sequence[str]) -> tuple[int, int]:
        sides, grey = [], []
        for name in names[:: max(1, len(names) // LOOKED_AT)]:
            try:
                with Image.open(self.folder / name) as file:
                    sides.append(min(file.size))
                    grey.append(file.mode in ("1", "L", "LA", "I", "I;16", "I;16B"))
            except Exception:
                continue  # It is reported when its turn to be read comes.
        if not sides:
            raise ValueError(
                f"none of the pictures looked at in {self.folder} can be read: open "
                f"one, say {names[0]}, with a viewer."
            )
        return _nearest_side(float(np.median(sides))), 1 if all(grey) else 3


class Array(Source):
    """Pictures in an array, such as one of an `.npz` file mapped from the disk.

    Args:
        pictures: uint8 `[n, height, width]` or `[n, height, width, 3]`; a last axis
            of length 1 is dropped.
        labels: As for `Source`.
        side: Height and width to scale to; as they are if left out.
        channels: 1 or 3 to turn them into; as they are if left out.
        bad: As for `Source`.

    Raises:
        ValueError: If type or shape is another.
    """

    def __init__(
        self,
        pictures: NDArray[np.uint8],
        labels: Sequence[str] | None = None,
        side: int | None = None,
        channels: int | None = None,
        bad: float = 0.01,
    ) -> None:
        """Check the array and keep it; see the class for the arguments."""
        if pictures.ndim == 4 and pictures.shape[-1] == 1:
            pictures = pictures[..., 0]
        right = pictures.ndim == 3 or (pictures.ndim == 4 and pictures.shape[-1] == 3)
        if pictures.dtype != np.uint8 or not right or not len(pictures):
            raise ValueError(
                "pictures must be uint8 of shape [n, height, width] or [n, height, "
                f"width, 3], n at least 1, got {pictures.dtype} {pictures.shape}."
            )
        if labels is not None and len(labels) != len(pictures):
            raise ValueError(
                f"labels must be one per picture, got {len(labels)} for "
                f"{len(pictures)} pictures."
            )
        self.pictures = pictures
        shape = _shape_of(pictures[0], side, channels)
        names = [f"picture {i}" for i in range(len(pictures))]
        super().__init__(len(pictures), shape, names, labels, bad)

    def picture(self, index: int) -> NDArray[np.uint8]:
        """Row of the array, scaled if need be."""
        return _fit(_as_image(self.pictures[index]), self.shape)

    def batch(self, chosen: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Rows of the array: none of them can be unreadable."""
        if self.shape == self.pictures.shape[1:]:
            return np.asarray(self.pictures[chosen])  # All at once.
        return super().batch(chosen)

    def fingerprint(self) -> str:
        """Checksum of shape and of some pictures."""
        some = self.pictures[:: max(1, self.count // 100)]
        digest = hashlib.sha256(some.tobytes()).hexdigest()
        return f"array {self.pictures.shape}, {digest[:16]}"


def open_images(
    where: str | Path,
    side: int | None = None,
    channels: int | None = None,
    bad: float = 0.01,
    scratch: str | Path | None = None,
) -> Source:
    """Find out what kind of place holds the pictures, and open it.

    Args:
        where: One of

            - a folder of image files, in subfolders or not;
            - an `.npz` file with uint8 pictures, `x` or the only array of a fitting
              shape, and perhaps classes `y`;
            - a folder that `tf.data.Dataset.save` wrote;
            - a folder of a TensorFlow data set (TFDS), with its `dataset_info.json`.
        side: Height and width of the pictures in pixels. Left out, files are
            scaled to the one of `SIDES` that their median smaller side reaches.
        channels: 1 for grey, 3 for colour. Left out, colour if any of the first
            pictures looked at has it.
        bad: Largest share of unreadable pictures, from 0 to below 1.
        scratch: Folder in which arrays and data sets are laid out to be read in any
            order, a byte per pixel and channel; that of the cache if left out.

    Returns:
        A `Source`.

    Raises:
        ValueError: If there is no such place, it holds no pictures, or a number is
            out of range.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for i in range(3):
        ...         Image.new("L", (40, 30), 80 * i).save(f"{folder}/{i}.png")
        ...     source = open_images(folder)
        ...     [int(source.read(i).max()) for i in range(source.count)]
        [0, 80, 160]
        >>> source.shape
        (28, 28)
    """
    place, scratch = Path(where), Path(scratch or download.cache_folder())
    if side is not None and (not isinstance(side, int) or side < 8):
        raise ValueError(f"side must be an integer from 8 pixels, got {side!r}.")
    if channels not in (None, 1, 3):
        raise ValueError(f"channels must be 1 (grey) or 3 (colour), got {channels!r}.")
    if not place.exists():
        raise ValueError(f"there is no file or folder {place}: check the path.")
    if not os.access(place, os.R_OK):
        raise ValueError(f"{place} cannot be read: get leave to read it, or copy it.")
    known = "dataset_info.json", "dataset_spec.pb"
    if place.is_dir() and not any((place / name).exists() for name in known):
        return Folder(place, side, channels, bad)
    if place.is_dir():
        laid, labels = _dataset(place, side, channels, scratch)
    elif place.suffix == ".npz":
        laid, labels = _npz(place, scratch)
    else:
        raise ValueError(
            f"{place} is neither a folder nor an .npz file: pass one of the two."
        )
    return Array(np.load(laid, mmap_mode="r"), labels, side, channels, bad)


def shrink(pictures: NDArray[np.uint8], numbers: int = 784) -> NDArray[np.uint8]:
    """Copies so small that classifiers of pixels can be fitted.

    Args:
        pictures: uint8 `[n, height, width]` or `[n, height, width, 3]`.
        numbers: Most numbers that a copy may have, at least 3.

    Returns:
        uint8, square and scaled, or the pictures themselves if they are small enough.

    Example:
        >>> shrink(np.zeros((2, 64, 64, 3), np.uint8)).shape
        (2, 16, 16, 3)
    """
    if pictures[0].size <= numbers:
        return pictures
    channels = pictures.shape[3:]
    side = math.isqrt(numbers // math.prod(channels))
    return np.stack(
        [_fit(Image.fromarray(x), (side, side, *channels)) for x in pictures]
    )


def read_labels(path: str | Path, names: Sequence[str]) -> list[str]:
    """Classes of some pictures, from a table of two columns: name, class.

    Args:
        path: CSV file with a row per picture whose class is known. A first row
            `name,label` is a heading.
        names: Names of all pictures, as in `Source.names`.

    Returns:
        A class for each name, `""` where none is known.

    Raises:
        ValueError: If the file cannot be read, a row has no two columns, or a name is
            not among the pictures.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as why:
        raise ValueError(f"labels {path} cannot be read as text: {why}.") from None
    if rows and [cell.strip().lower() for cell in rows[0]] == ["name", "label"]:
        rows = rows[1:]
    known = set(names)
    classes = {}
    for row in rows:
        if len(row) != 2 or row[0] not in known:
            raise ValueError(
                f"each row of {path} has to be the name of a picture, such as "
                f"{names[0]}, and its class, got {','.join(row)!r}."
            )
        classes[row[0]] = row[1].strip()
    return [classes.get(name, "") for name in names]


def _list(
    folder: str | Path, prefix: str = "", above: tuple[str, ...] = ()
) -> Iterator[str]:
    """Names of picture files, relative to the folder, with forward slashes."""
    here = os.path.realpath(folder)
    if here in above:  # A link led back to a folder that it lies in.
        return
    try:
        entries = list(os.scandir(folder))
    except OSError as why:
        raise ValueError(f"the folder {folder} cannot be listed: {why}.") from None
    for entry in entries:
        if entry.name.startswith("."):  # Thumbnails and leftovers of programs.
            continue
        link = entry.is_symlink()
        if os.path.isdir(entry.path) if link else entry.is_dir():
            yield from _list(entry.path, f"{prefix}{entry.name}/", (*above, here))
        elif os.path.splitext(entry.name)[1].lower() in SUFFIXES and (
            link or entry.is_file()  # Opening a pipe would wait for ever.
        ):
            yield prefix + entry.name


def _npz(place: Path, scratch: Path) -> tuple[Path, list[str] | None]:
    """Lay the pictures of an `.npz` file out as one that can be mapped."""
    try:
        with zipfile.ZipFile(place) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            key = "x" if "x" in names else names[0]
            if key != "x" and len(names) > 1:
                raise ValueError(
                    f"{place} holds {', '.join(names)}: call the pictures x, and "
                    "their classes y."
                )
            # Packed or not, no more than a piece of it is ever in memory.
            laid = scratch / f"{_stamp(place)}.npy"
            if not laid.exists():
                with archive.open(f"{key}.npy") as packed, atomic(laid) as file:
                    shutil.copyfileobj(packed, file, 1 << 20)
        labels = None
        if "y" in names:
            with np.load(place) as file:
                labels = [str(label) for label in file["y"]]
        return laid, labels
    # Of zip files that hold no arrays, are empty, damaged, locked or packed otherwise.
    except (
        *(KeyError, IndexError, EOFError, RuntimeError),
        *(zipfile.BadZipFile, zlib.error),
    ) as why:
        raise ValueError(f"{place} cannot be read as an .npz file: {why}.") from None


def _dataset(
    place: Path, side: int | None, channels: int | None, scratch: Path
) -> tuple[Path, list[str] | None]:
    """Lay the pictures of a data set out as one array, in a single pass."""
    read = _saved if (place / "dataset_spec.pb").exists() else _tfds
    first = next(read(place), None)
    if first is None:
        raise ValueError(f"{place} holds no pictures.")
    _as_image(first[0])  # Whatever is no picture is refused before anything is written.
    shape = _shape_of(first[0], side, channels)
    name = f"{_stamp(place)}-{'x'.join(map(str, shape))}"
    laid, listed = (scratch / f"{name}{end}" for end in (".npy", ".json"))
    if not (laid.exists() and listed.exists()):
        labels: list[str] = []
        with atomic(laid) as file:
            # The number of pictures is written when it is known.
            _header(file, (0, *shape))
            for picture, label in read(place):
                file.write(_fit(_as_image(picture), shape).tobytes())
                labels.append(label)
            file.seek(0)
            _header(file, (len(labels), *shape))
        with atomic(listed) as file:
            file.write(json.dumps(labels).encode())
    labels = json.loads(listed.read_text())
    return laid, labels if any(labels) else None


def _saved(place: Path) -> Iterator[tuple[NDArray[Any], str]]:
    """Pictures and classes of what `tf.data.Dataset.save` wrote."""
    import tensorflow as tf

    try:
        for element in tf.data.Dataset.load(str(place)).as_numpy_iterator():
            if isinstance(element, dict):
                element = element.get("image"), element.get("label", "")
            elif not isinstance(element, tuple):
                element = (element,)
            picture, label = (*element, "")[:2]
            yield picture, label.decode() if isinstance(label, bytes) else str(label)
    except tf.errors.OpError as why:
        raise ValueError(
            f"{place} cannot be read as a data set of tf.data: {why.message}"
        ) from None


def _tfds(place: Path) -> Iterator[tuple[NDArray[Any], str]]:
    """Pictures and classes of a TensorFlow data set, training part."""
    try:
        import tensorflow_datasets as tfds
    except ModuleNotFoundError:
        raise ValueError(
            f"{place} is a TensorFlow data set, which needs one more package: pip "
            "install tensorflow-datasets."
        ) from None
    builder = tfds.builder_from_directory(str(place))
    named = getattr(builder.info.features.get("label"), "int2str", str)
    split = (
        "train" if "train" in builder.info.splits else next(iter(builder.info.splits))
    )
    for element in tfds.as_numpy(builder.as_dataset(split=split)):
        label = element.get("label")
        yield element.get("image"), "" if label is None else named(int(label))


def _header(file: BinaryIO, shape: Shape) -> None:
    """Write the head of an array file, as long for any number of pictures."""
    head = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, head)


def _as_image(picture: NDArray[Any]) -> Image.Image:
    kind, shape = getattr(picture, "dtype", None), np.shape(picture)
    if kind != np.uint8 or len(shape) not in (2, 3) or shape[2:] not in CHANNELS:
        raise ValueError(
            "a picture must be uint8, from 0 to 255, of shape [height, width] or "
            f"[height, width, channels], got {kind} {list(shape)}: save pictures as "
            "such, one by one, and call them image."
        )
    return Image.fromarray(picture[..., 0] if shape[2:] == (1,) else picture)


def _fit(image: Image.Image, shape: Shape) -> NDArray[np.uint8]:
    """Cut a picture about its centre to the proportions of a shape, and scale it."""
    if image.mode.startswith("I"):  # 16 bits, which Pillow would cut off at 255.
        image = Image.fromarray((np.asarray(image) / 257).clip(0, 255).astype(np.uint8))
    image = image.convert("RGB" if len(shape) == 3 else "L")
    size = shape[1], shape[0]
    if image.size != size:
        image = ImageOps.fit(image, size, Image.Resampling.BILINEAR)
    return np.asarray(image)


def _shape_of(picture: NDArray[Any], side: int | None, channels: int | None) -> Shape:
    """Shape to lay pictures out in: as the first one is, unless told otherwise."""
    size = (side, side) if side else picture.shape[:2]
    if not side and size[0] != size[1]:
        size = (_nearest_side(min(size)),) * 2
    colour = channels == 3 or (channels is None and picture.shape[2:] in CHANNELS[2:])
    return (*size, 3) if colour else size


def _nearest_side(pixels: float) -> int:
    """Return the largest of `SIDES` that needs no enlarging, else the smallest."""
    return max((side for side in SIDES if side <= pixels), default=SIDES[0])


def _stamp(place: Path) -> str:
    """Name that changes when a file or the files of a folder do."""
    files = sorted(place.rglob("*")) if place.is_dir() else [place]
    stats = [(str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    return f"{place.stem}-{hashlib.sha256(repr(stats).encode()).hexdigest()[:12]}"


def check_batch(batch: int, replicas: int, count: int) -> None:
    """Refuse a batch that cannot be filled or shared out evenly.

    Args:
        batch: Pictures per step.
        replicas: Number of replicas that share them.
        count: Number of pictures there are.

    Raises:
        ValueError: If `batch` is not from 1 to `count`, or no multiple of `replicas`.
    """
    if not isinstance(batch, int | np.integer) or not 1 <= batch <= count:
        raise ValueError(
            f"batch must be an integer from 1 to the {count} pictures there are, got "
            f"{batch!r}."
        )
    if batch % replicas:
        raise ValueError(
            f"batch must be a multiple of the {replicas} replicas, got {batch}: each "
            f"of them gets as many pictures. Take {batch // replicas * replicas} or "
            f"{-(-batch // replicas) * replicas}."
        )
