"""Fixtures shared by the tests."""

from collections.abc import Callable

import numpy as np
import pytest

from sslkit import data


@pytest.fixture(scope="session")
def sample() -> data.Dataset:
    """The 5,000-image sample, which every machine has."""
    return data.load_mnist("sample")


@pytest.fixture
def make_dataset() -> Callable[..., data.Dataset]:
    """Return a factory of small data sets with images made of noise."""

    def make(n_train: int = 60, n_test: int = 30, classes: int = 3) -> data.Dataset:
        rng = np.random.default_rng(0)

        def side(n: int) -> tuple[np.ndarray, np.ndarray]:
            images = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
            return images, np.arange(n) % classes

        return data.Dataset("noise", *side(n_train), *side(n_test), "sample", "0" * 64)

    return make
