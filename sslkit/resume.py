"""Runs that survive a crash: whole files, and all that further training depends on.

Page *Your own images*. A file is either the old one or the new one, never half of one:
it is written under another name, forced to the disk, and renamed. A checkpoint holds
every variable of a model and of its optimizers, states of random numbers included, so
that a run which goes on from it ends with the weights of one that was never stopped.
"""

import contextlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

KEPT = 2
"""Checkpoints that are kept: the last, and one before it in case it is damaged."""


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[BinaryIO]:
    """Write a file that appears under its name only when it is complete.

    Args:
        path: Name of the file; its folder is made if need be.

    Yields:
        A file to write bytes to.

    Raises:
        OSError: If it cannot be written, such as when the disk is full. An older file
            of that name is still there, whole.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with atomic(folder / "note.txt") as file:
        ...     _ = file.write(b"whole")
        >>> [path.name for path in folder.iterdir()]
        ['note.txt']
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own: two processes, on two computers even, may write the same file.
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with open(unfinished, "w+b") as file:
            yield file
            file.flush()
            # Renaming is recorded at once, contents later: after a power cut a name
            # could otherwise stand for an empty file.
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def variables(model: Any) -> list[Any]:
    """All that a compiled model changes while it is trained.

    Args:
        model: A compiled Keras model; its optimizers are built if they were not.

    Returns:
        Variables in an order that is the same for two models made alike: weights,
        states of random numbers and metrics, then those of the optimizers.
    """
    names = getattr(model, "optimizers", ("optimizer",))
    # Keras does not count metrics among them: an epoch would lose its first half.
    found = [*model.variables, *model.metrics_variables]
    for name in names:
        optimizer = getattr(model, name)
        if not optimizer.built:
            optimizer.build(model.trainable_variables)
        found += optimizer.variables
    return list({id(each): each for each in found}.values())


def save(folder: str | Path, step: int, model: Any) -> Path:
    """Write a checkpoint, then remove all but the last `KEPT`.

    Args:
        folder: Where checkpoints lie.
        step: Steps of training that the model has had.
        model: The compiled model.

    Returns:
        Path of the checkpoint.

    Raises:
        OSError: If it cannot be written. Older checkpoints are untouched.
    """
    path = Path(folder) / f"step-{step:09d}.npz"
    spared = _spared(model)
    with atomic(path) as file:
        # By position: `arr_0`, `arr_1` and so on.
        np.savez(
            file,
            *(
                np.zeros(value.shape) if id(value) in spared else np.asarray(value)
                for value in variables(model)
            ),
        )
    tidy(folder)
    return path


def tidy(folder: str | Path) -> None:
    """Remove all checkpoints but the last `KEPT`, and what killed processes left.

    Args:
        folder: Where checkpoints lie, in which nobody else is writing.
    """
    for old in [*checkpoints(folder)[:-KEPT], *Path(folder).glob(".step-*.part")]:
        old.unlink(missing_ok=True)


def checkpoints(folder: str | Path) -> list[Path]:
    """Checkpoints in a folder, oldest first; none if there is no folder."""
    return sorted(Path(folder).glob("step-*.npz"))


def load(folder: str | Path, model: Any) -> int:
    """Put a model into the state of the last checkpoint that can be read.

    Args:
        folder: Where checkpoints lie.
        model: A model made and compiled as the saved one.

    Returns:
        Steps of training that it has had, 0 if there is no checkpoint.

    Raises:
        ValueError: If a checkpoint is of another model, or none of those there are
            can be read.
    """
    paths, damaged = checkpoints(folder), []
    for path in reversed(paths):
        try:
            with np.load(path) as file:
                values = [file[f"arr_{i}"] for i in range(len(file.files))]
        except Exception as why:  # Whatever a damaged archive makes NumPy raise.
            damaged.append(f"{path.name} ({why})")
            continue
        _assign(path, model, values)
        return int(re.findall(r"\d+", path.name)[0])
    if damaged:
        raise ValueError(
            f"no checkpoint in {folder} can be read: {'; '.join(damaged)}. Remove "
            "the folder and start anew."
        )
    return 0


def _assign(path: Path, model: Any, values: list[Any]) -> None:
    targets = variables(model)
    shapes = [tuple(target.shape) for target in targets]
    if shapes != [value.shape for value in values]:
        raise ValueError(
            f"{path} is a checkpoint of another model: it was made with other "
            "settings, or with another version of sslkit or Keras."
        )
    spared = _spared(model)
    for target, value in zip(targets, values, strict=True):
        if id(target) not in spared:
            target.assign(value)


def _spared(model: Any) -> set[int]:
    """Identities of variables that one of several workers cannot read by itself.

    Each worker has its own sums of the metrics, and reading them adds them up over all
    workers, who would all have to read at once. Without them the row of an epoch that
    was broken off has the mean of its second part; the weights are the same.
    """
    import tensorflow as tf

    resolver = tf.distribute.get_strategy().cluster_resolver
    if resolver is None or len(resolver.cluster_spec().as_dict().get("worker", ())) < 2:
        return set()
    return {id(variable) for variable in model.metrics_variables}
