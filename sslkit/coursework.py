"""What the assignments share: checks that teach, and answers as plain numbers.

The notebooks of the folder `coursework` show their visible checks inside `check`, which
reports and never raises, so that an unfinished notebook still runs from top to bottom.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sslkit import record

ops = record.import_keras_quietly().ops


@contextlib.contextmanager
def check(task: str) -> Iterator[None]:
    """Run visible checks of one task, and print what they say.

    An assertion that fails prints its message, and so does any other error of the
    code that is checked. Only an interruption by the user goes through.

    Args:
        task: Number and name of the task, printed in front.

    Example:
        >>> def double(x):
        ...     raise NotImplementedError
        >>> with check("1 double"):
        ...     assert double(2) == 4
        1 double: not yet. The function is still to be written.
        >>> with check("1 double"):
        ...     assert 2 + 2 == 5, "twice two is not five"
        1 double: not yet. twice two is not five
        >>> with check("1 double"):
        ...     assert 2 + 2 == 4
        1 double: so far, so good. The marks depend on other inputs.
    """
    try:
        yield
    except NotImplementedError:
        print(f"{task}: not yet. The function is still to be written.")
    except AssertionError as error:
        print(f"{task}: not yet. {error or 'An assertion of the check does not hold.'}")
    except Exception as error:  # Whatever a beginner's code may raise.
        print(f"{task}: not yet. Your code stops with {type(error).__name__}: {error}")
    else:
        print(f"{task}: so far, so good. The marks depend on other inputs.")


def plain(value: Any, shape: tuple[int, ...] | None = None) -> NDArray[np.float64]:
    """Turn an answer into an array of NumPy's own, before it is compared.

    Accepts NumPy arrays, tensors of Keras, numbers and lists of numbers. The copy is of
    no class but `numpy.ndarray`: an object that claims to be equal to everything is a
    plain number afterwards.

    Args:
        value: What a function returned.
        shape: The shape that it must have; any shape if left out.

    Returns:
        The numbers, as float64.

    Raises:
        AssertionError: If `value` holds anything but numbers, or has another shape.

    Example:
        >>> plain([1, 2.5], shape=(2,))
        array([1. , 2.5])
        >>> plain(None)
        Traceback (most recent call last):
            ...
        AssertionError: numbers are expected, and the function returned None
    """
    try:
        if ops.is_tensor(value):
            value = ops.convert_to_numpy(value)
        numbers = np.array(value, dtype="float64", subok=False)
    except (TypeError, ValueError):
        numbers = None
    # np.array(None, dtype=float) is nan, without a complaint.
    if numbers is None or value is None:
        told = repr(value) if value is None else f"a {type(value).__name__}"
        raise AssertionError(f"numbers are expected, and the function returned {told}")
    if shape is not None and numbers.shape != shape:
        raise AssertionError(f"shape {shape} is expected, not {numbers.shape}")
    return numbers


@contextlib.contextmanager
def refusing(*functions: Any) -> Iterator[None]:
    """Make functions of the package raise, by whatever name they are called.

    For tasks whose answer the package has already.

    Args:
        functions: Functions written in Python, none of them defined within another.

    Example:
        >>> def double(x):
        ...     return 2 * x
        >>> alias = double
        >>> with refusing(double):
        ...     alias(2)
        Traceback (most recent call last):
            ...
        AssertionError: this task is to be solved without the package's own function
        >>> alias(2)
        4
    """
    kept = [function.__code__ for function in functions]
    try:
        for function in functions:
            # The code is exchanged, since a student may have imported the function
            # under another name, long before.
            function.__code__ = _refuse.__code__
        yield
    finally:
        for function, code in zip(functions, kept, strict=True):
            function.__code__ = code


def _refuse(*_: Any, **__: Any) -> None:
    raise AssertionError("this task is to be solved without the package's own function")
