"""Real colour pictures that need no download, cut into patches (*Your own images*).

Ten photographs come with scikit-learn and scikit-image. Which of them a patch was cut
from is a class that nobody had to label, and a fair one to judge features by: patches
that are learnt from and patches that are judged never share a pixel.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray
from skimage import data as scikit_image
from sklearn.datasets import load_sample_images

from sslkit.data import Dataset

BLOCK = 64
"""Side in pixels of the blocks that belong to one side of the split as a whole."""


def colour_pictures() -> dict[str, NDArray[np.uint8]]:
    """Photographs of the two packages, of different sizes.

    Returns:
        uint8 `[height, width, 3]` by name, in the order of the classes of
        `cut_patches`. What they show and who took them stands in the documentation of
        `skimage.data` and of `sklearn.datasets.load_sample_images`.

    Example:
        >>> pictures = colour_pictures()
        >>> len(pictures), pictures["coffee"].shape
        (10, (400, 600, 3))
    """
    china, flower = load_sample_images().images
    return {
        "astronaut": scikit_image.astronaut(),
        "cat": scikit_image.chelsea(),
        "coffee": scikit_image.coffee(),
        "galaxies": scikit_image.hubble_deep_field(),
        "motorcycle": scikit_image.stereo_motorcycle()[0],
        "retina": scikit_image.retina(),
        "rocket": scikit_image.rocket(),
        "temple": china,
        "flower": flower,
        "tissue": scikit_image.immunohistochemistry(),
    }


def cut_patches(
    pictures: dict[str, NDArray[np.uint8]],
    side: int = 32,
    per_picture: int = 600,
    seed: int = 0,
) -> Dataset:
    """Cut squares out of pictures, and split them so that no two sides share a pixel.

    Each picture is laid out in blocks of 64 x 64 pixels. A random sixth of its blocks
    is for the test side, another for validation, and patches lie within a block,
    anywhere. Those of one block overlap, so that they are fewer in effect than in
    number.

    Args:
        pictures: uint8 `[height, width, 3]` by name, each with six blocks at least.
        side: Height and width of a patch in pixels, 1 to 64.
        per_picture: Patches per picture on both sides together, a positive multiple
            of 36.
        seed: Fixes blocks, places and order.

    Returns:
        A `sslkit.data.Dataset` with classes 0, 1, … in the order of the pictures. A
        sixth of the patches is for the test, and of the others the last sixth, which
        `train_val` splits off, comes from the blocks for validation.

    Raises:
        ValueError: If a number is out of range or a picture is too small.

    Example:
        >>> patches = cut_patches(colour_pictures(), per_picture=36)
        >>> patches.x_train.shape, patches.x_test.shape
        ((300, 32, 32, 3), (60, 32, 32, 3))
    """
    if not 1 <= side <= BLOCK:
        raise ValueError(f"side must be 1 to {BLOCK} pixels, got {side!r}.")
    if per_picture < 36 or per_picture % 36:
        raise ValueError(
            f"per_picture must be a positive multiple of 36, got {per_picture!r}: a "
            f"sixth of a sixth has to be whole. Take {max(per_picture // 36, 1) * 36}."
        )
    rng = np.random.default_rng(seed)
    test = per_picture // 6
    val = (per_picture - test) // 6
    counts = {"fit": per_picture - test - val, "val": val, "test": test}
    x: dict[str, list[NDArray[np.uint8]]] = {part: [] for part in counts}
    for name, picture in pictures.items():
        blocks = rng.permutation(_blocks(name, picture))
        sixth = max(1, len(blocks) // 6)
        shares = np.split(blocks, [sixth, 2 * sixth])
        for part, some in zip(("test", "val", "fit"), shares, strict=True):
            corners = some[rng.integers(len(some), size=counts[part])]
            corners = corners + rng.integers(BLOCK - side + 1, size=corners.shape)
            x[part] += [picture[i : i + side, j : j + side] for i, j in corners]
    sides = []
    for part, count in counts.items():
        order = rng.permutation(len(x[part]))
        classes = np.repeat(np.arange(len(pictures)), count)
        sides.append((np.stack(x[part])[order], classes[order]))
    (x_fit, y_fit), (x_val, y_val), (x_test, y_test) = sides
    x_train = np.concatenate([x_fit, x_val])
    y_train = np.concatenate([y_fit, y_val])
    checksum = hashlib.sha256(x_train.tobytes()).hexdigest()
    return Dataset(
        "patches", x_train, y_train, x_test, y_test, "scikit-image", checksum
    )


def _blocks(name: str, picture: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Upper left corners of the blocks of a picture, `[n, 2]`."""
    rows, columns = (np.arange(0, n - BLOCK + 1, BLOCK) for n in picture.shape[:2])
    corners = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1)
    if corners[..., 0].size < 6:
        raise ValueError(
            f"pictures must have six blocks of {BLOCK} pixels at least, got "
            f"{corners[..., 0].size} in {name!r}: leave it out or enlarge it."
        )
    return corners.reshape(-1, 2)
